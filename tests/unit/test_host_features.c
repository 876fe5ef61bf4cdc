/* SPDX-License-Identifier: Apache-2.0 */
/* The host kernel beyond dense attention: every feature, all pairs and many together, on every instruction set; what is not
 * read; and bits that depend on nothing but the row. */
#include <math.h>
#include <stdbool.h>
#include <sys/mman.h>

#include "feature_rig.h"
#include "fl4_test.h"
#include "host/forward.h"
#include "oracle/check.h"
#include "util/random.h"

enum { N_ISAS = 3 };

/* Number `i` of the instruction sets that were compiled and this CPU has; NULL behind the last. */
static const char *isa_name(int i)
{
  for (const fl4__host_isa *isa = fl4__host_isas; isa->name; isa++)
    if (isa->supported() && i-- == 0) return isa->name;
  return NULL;
}

static fl4_context *open_host(const char *isa, const char *variant, int threads)
{
  fl4_context *ctx;
  fl4_context_options options = FL4_CONTEXT_OPTIONS_INIT;
  options.device = "host", options.variant = variant, options.threads = threads;
  fl4__host_isa_forced = isa;
  ck_assert_fl4(fl4_context_create(&ctx, &options));
  fl4__host_isa_forced = NULL;
  return ctx;
}

static void check(fl4_context *ctx, const feature_case *c)
{
  char why[512], text[256];
  feature_describe(c, text);
  const bool right = feature_run(ctx, c, NULL, why);
  ck_assert_msg(right, "%s: %s", text, why);
}

/* ---------------------------------------------------------------- against the oracle */

START_TEST(each_feature)
{
  if (!isa_name(_i)) return;
  fl4_context *ctx = open_host(isa_name(_i), NULL, 0);
  for (int i = 0; i < FEATURE_SINGLES; i++)
    for (int dtype = 0; dtype < 3; dtype++)
      for (int size = 0; size < 2; size++) {
        feature_case c = feature_single(i);
        c.dtype = dtype, c.lse = true;
        if (size) c.D = 72, c.Sq = 130, c.Sk = c.Sk < 150 ? c.Sk * 4 : 340;
        check(ctx, &c);
      }
  fl4_context_destroy(&ctx);
}
END_TEST

/* What a call may have beyond dense attention; of one group only one. */
static const struct {
  int group;
  feature_case is;
} pieces[] = {
    {0, {.mask = FL4_MASK_CAUSAL}},
    {0, {.mask = FL4_MASK_WINDOW, .left = 40, .right = 0}},
    {0, {.mask = FL4_MASK_WINDOW, .left = -1, .right = 9}},
    {0, {.mask = FL4_MASK_WINDOW, .left = 3, .right = -1}},
    {0, {.mask = FL4_MASK_WINDOW, .left = 0, .right = 1}},
    {1, {.softcap = 4}},
    {2, {.alibi = true}},
    {3, {.sinks = true}},
    {4, {.bias = 1}},
    {4, {.bias = 2, .broadcast = 5}},
    {4, {.bias = 3, .broadcast = 8}},
    {4, {.bias = 4, .broadcast = 3}},
    {5, {.ragged_q = true}},
    {6, {.ragged_k = true}},
    {6, {.page_size = 8}},
    {6, {.page_size = 64, .heads_first = true}},
    {7, {.used_k = true}},
};
enum { N_PIECES = sizeof pieces / sizeof *pieces };

static void add_piece(feature_case *c, const feature_case *piece)
{
  if (piece->mask) c->mask = piece->mask, c->left = piece->left, c->right = piece->right;
  if (piece->softcap > 0) c->softcap = piece->softcap;
  if (piece->bias) c->bias = piece->bias, c->broadcast = piece->broadcast;
  if (piece->page_size) c->page_size = piece->page_size, c->heads_first = piece->heads_first;
  c->alibi |= piece->alibi, c->sinks |= piece->sinks;
  c->ragged_q |= piece->ragged_q, c->ragged_k |= piece->ragged_k, c->used_k |= piece->used_k;
}

static bool allowed(const feature_case *c)
{
  return !c->bias || (!c->ragged_q && !c->ragged_k);
}

START_TEST(all_pairs)
{
  static const int groups[] = {1, 4, 7};
  if (!isa_name(_i)) return;
  fl4_context *ctx = open_host(isa_name(_i), NULL, 0);
  int ran = 0;
  for (int i = 0; i < N_PIECES; i++)
    for (int j = i + 1; j < N_PIECES; j++) {
      feature_case c = {.B = 3, .Sq = 37, .Sk = 150, .D = 40, .lse = true, .seed = (uint64_t)(i * N_PIECES + j)};
      const int n = i + j * 5;
      c.dtype = n % 3, c.Hkv = 1 + n % 2, c.Hq = c.Hkv * groups[n / 2 % 3], c.edges = n % 4 == 0;
      c.Sk = n % 5 == 4 ? 20 : 150; /* fewer keys than queries: some see none */
      add_piece(&c, &pieces[i].is), add_piece(&c, &pieces[j].is);
      if (pieces[i].group == pieces[j].group || !allowed(&c)) continue;
      check(ctx, &c), ran++;
    }
  ck_assert_int_eq(ran, 109);
  fl4_context_destroy(&ctx);
}
END_TEST

START_TEST(many_together)
{
  static const int dims[] = {8, 16, 24, 40, 64, 80, 128, 136, 200, 256};
  if (!isa_name(_i)) return;
  fl4_context *ctx = open_host(isa_name(_i), NULL, 2);
  for (int i = 0; i < 150; i++) {
    feature_case c = feature_random(4000 + (uint64_t)i, dims[i % 10], 70, 300);
    if (i % 5 == 4) c.dtype = FL4_DTYPE_FP32;
    check(ctx, &c);
  }
  fl4_context_destroy(&ctx);
}
END_TEST

START_TEST(every_variant)
{
  const int bms[] = {4, 12, 24, 48, 96, 192, 384}, bns[] = {32, 64, 128, 256};
  for (int m = 0; m < 7; m++)
    for (int n = 0; n < 4; n++) {
      char variant[64];
      snprintf(variant, sizeof variant, "host:bm=%d,bn=%d", bms[m], bns[n]);
      fl4_context *ctx = open_host(NULL, variant, 3);
      for (int i = 0; i < 5; i++) {
        feature_case c = feature_random(7000 + (uint64_t)(i + 5 * (m + 7 * n)), 24, 60, 300);
        c.edges = i % 2;
        check(ctx, &c);
      }
      fl4_context_destroy(&ctx);
    }
}
END_TEST

/* ---------------------------------------------------------------- a call of the test's own */

enum { B = 3, HQ = 4, HKV = 2, QUERIES = 60, KEYS = 300, DIM = 32 };

/* Tensors are [row][head][d]. */
static float queries[B * QUERIES * HQ * DIM], keys[B * KEYS * HKV * DIM], values[B * KEYS * HKV * DIM];
static float slopes[HQ] = {0.5f, 0.11f, 0.02f, 0}, sinks[HQ] = {1, -2, 9, 0};

static void fill(float *x, int n, uint64_t seed)
{
  fl4__random random;
  fl4__random_init(&random, seed);
  for (int i = 0; i < n; i++) x[i] = (float)fl4__random_unit(&random) * 4 - 2;
}

static fl4_attention_args make_args(float *o, float *lse)
{
  fill(queries, B * QUERIES * HQ * DIM, 1), fill(keys, B * KEYS * HKV * DIM, 2), fill(values, B * KEYS * HKV * DIM, 3);
  fl4_attention_args a = FL4_ATTENTION_ARGS_INIT;
  a.dtype = FL4_DTYPE_FP32, a.B = B, a.Hq = HQ, a.Hkv = HKV, a.Sq = QUERIES, a.Sk = KEYS, a.D = DIM;
  a.q = queries, a.k = keys, a.v = values, a.o = o, a.lse = lse;
  a.q_stride[0] = a.o_stride[0] = QUERIES * HQ * DIM, a.q_stride[1] = a.o_stride[1] = DIM;
  a.q_stride[2] = a.o_stride[2] = HQ * DIM;
  a.lse_stride[0] = QUERIES * HQ, a.lse_stride[1] = 1, a.lse_stride[2] = HQ;
  a.k_stride[0] = a.v_stride[0] = KEYS * HKV * DIM, a.k_stride[1] = a.v_stride[1] = DIM;
  a.k_stride[2] = a.v_stride[2] = HKV * DIM;
  return a;
}

/* ---------------------------------------------------------------- bits */

static fl4_attention_args scored_args(int mask, float *o, float *lse)
{
  fl4_attention_args a = make_args(o, lse);
  a.flags = FL4_BATCH_INVARIANT;
  a.mask = mask ? FL4_MASK_WINDOW : FL4_MASK_NONE;
  a.window_left = mask == 1 ? -1 : mask == 2 ? 37 : 130, a.window_right = mask == 1 ? 0 : mask == 2 ? 2 : -1;
  if (!mask) a.window_left = a.window_right = 0;
  a.softcap = 20, a.alibi_slopes = slopes, a.sinks = sinks;
  return a;
}

/* One slice of a sequence's queries, with as many keys as leave its diagonal where it is; compared with the whole batch. */
static void check_slice(fl4_context *ctx, int mask, int s, const float *whole, const float *whole_lse)
{
  static const int slices[][2] = {{0, 60}, {0, 1}, {59, 60}, {7, 20}, {13, 38}, {30, 33}};
  static float part[QUERIES * HQ * DIM], lse[QUERIES * HQ];
  const int b = s % B, first = slices[s][0], end = slices[s][1], row = (b * QUERIES + first) * HQ;
  /* What lies right of the slice's last diagonal is not there: only rows that do not see it are the same. */
  const int beyond = end == QUERIES || mask == 1 ? 0 : mask == 2 ? 2 : QUERIES, rows = end - first - beyond;
  if (rows < 1) return;
  const int32_t used = KEYS - QUERIES + end;
  fl4_attention_args one = scored_args(mask, part, lse);
  one.B = 1, one.Sq = end - first, one.Sk = used;
  if (s % 2) one.seqused_k = &used, one.Sk += b < B - 1 ? 90 : 0;
  one.q = queries + row * DIM, one.k = keys + b * KEYS * HKV * DIM, one.v = values + b * KEYS * HKV * DIM;
  ck_assert_fl4(fl4_attention_forward(ctx, &one, NULL));
  ck_assert_msg(memcmp(part, whole + row * DIM, sizeof(float) * (size_t)(rows * HQ * DIM)) == 0, "O: mask %d, slice %d",
                mask, s);
  ck_assert_msg(memcmp(lse, whole_lse + row, sizeof(float) * (size_t)(rows * HQ)) == 0, "LSE: mask %d, slice %d", mask,
                s);
}

/*
 * A row has the same bits in its whole batch as when a few of its sequence's queries are a batch of one: of another Sq, and
 * Sk, with other tasks, on other threads.
 */
START_TEST(bits_depend_on_the_row_alone)
{
  static const char *const variants[] = {NULL, "host:bm=4", "host:bm=12", "host:bm=48", "host:bm=384"};
  static float whole[B * QUERIES * HQ * DIM], lse[B * QUERIES * HQ];
  if (!isa_name(_i)) return;
  fl4_context *all = open_host(isa_name(_i), "host:bm=24", 3);
  for (int mask = 0; mask < 4; mask++) {
    const fl4_attention_args a = scored_args(mask, whole, lse);
    ck_assert_fl4(fl4_attention_forward(all, &a, NULL));
    for (int v = 0; v < 5; v++) {
      fl4_context *ctx = open_host(isa_name(_i), variants[v], 1 + v % 3);
      for (int s = 0; s < 6; s++) check_slice(ctx, mask, s, whole, lse);
      fl4_context_destroy(&ctx);
    }
  }
  fl4_context_destroy(&all);
}
END_TEST

/* A sequence alone, and first in batches of others. */
START_TEST(bits_do_not_depend_on_the_batch)
{
  enum { MOST = 8 * 64 * (40 + 2) };
  static uint16_t alone[MOST], among[MOST];
  for (int i = 0; i < 200; i++) {
    char why[512], text[256];
    feature_case c = feature_random(9000 + (uint64_t)i, 40, 60, 300);
    if (c.Hq > 8) c.Hq = c.Hkv * 4;
    if (c.bias) c.broadcast = (c.broadcast | 1) & 7; /* one for all sequences */
    const int ids[] = {5, i, i + 1, 5, i + 2, 7, 8};
    c.flags = FL4_BATCH_INVARIANT, c.ids = ids, c.B = 1;
    memset(alone, 0, sizeof alone), memset(among, 0, sizeof among);
    feature_describe(&c, text);
    fl4_context *one = open_host(NULL, NULL, 1), *many = open_host(NULL, NULL, 1 + i % 4);
    ck_assert_msg(feature_run(one, &c, alone, why), "%s: %s", text, why);
    c.B = 2 + i % 6;
    ck_assert_msg(feature_run(many, &c, among, why), "%s, %d sequences: %s", text, c.B, why);
    ck_assert_msg(memcmp(alone, among, sizeof alone) == 0, "%s: other bits among %d sequences", text, c.B);
    fl4_context_destroy(&one), fl4_context_destroy(&many);
  }
}
END_TEST

/* And in batches of up to 18, of all lengths. */
START_TEST(the_same_in_each_batch)
{
  fl4_context *ctx = open_host(NULL, NULL, 2);
  for (int i = 0; i < 20; i++) {
    char why[512], text[256];
    feature_case c = feature_random(2000 + (uint64_t)i, i % 2 ? 40 : 64, i % 4 ? 40 : 8, i % 4 ? 200 : 500);
    c.flags = FL4_BATCH_INVARIANT, c.lse = true;
    feature_describe(&c, text);
    ck_assert_msg(feature_same_in_batches(ctx, &c, 10, FEATURE_MOST_BATCH, why), "%s: %s", text, why);
  }
  fl4_context_destroy(&ctx);
}
END_TEST

/* ---------------------------------------------------------------- what is read */

/* Lengths and pages that are none: as if they had been clamped, which is what the oracle does. */
START_TEST(wrong_numbers_stay_inside)
{
  static float o[B * QUERIES * HQ * DIM];
  static double ref[B * HQ * QUERIES * DIM];
  int32_t cu_q[] = {-5, 17, 100, INT32_MAX}, cu_k[] = {INT32_MIN, 40, 39, INT32_MAX}, used[] = {-1, 1000, 30};
  int32_t falling[] = {INT32_MAX, -3, 50, 20};
  int32_t table[B * 19];
  for (int i = 0; i < B * 19; i++) table[i] = i % 3 == 0 ? INT32_MAX : i % 3 == 1 ? INT32_MIN : i;
  fl4_context *ctx = open_host(NULL, "host:bm=12", 2);
  for (int i = 0; i < 4; i++) {
    fl4_attention_args a = make_args(o, NULL);
    fl4__canary_fill(o, sizeof o);
    if (i == 0 || i == 3) a.cu_seqlens_q = i ? falling : cu_q, a.total_q = B * QUERIES;
    if (i == 0) a.cu_seqlens_k = cu_k, a.total_k = B * KEYS;
    if (i == 1) a.seqused_k = used;
    if (i == 2) {
      a.page_size = 16, a.block_table = table, a.n_pages = B * KEYS / 16, a.block_table_stride = 19;
      a.k_stride[0] = a.v_stride[0] = 16 * HKV * DIM;
    }
    ck_assert_fl4(fl4_attention_forward(ctx, &a, NULL));
    if (i == 3) continue; /* sequences lie over each other: any of their rows may be the last */
    /* Sequences of 83 and 80 queries, where 60 is the most. */
    for (int r = 77; i == 0 && r < B * QUERIES; r++)
      if (r < 100 || r >= 160) ck_assert(isnan(o[r * HQ * DIM]));
    ck_assert_fl4(fl4_oracle_fp64(&a, NULL, 0, ref, NULL, NULL));
    for (int b = 0; b < B; b++) {
      const int lengths[] = {17, 60, 60}, firsts[] = {0, 17, 100}, n = i ? QUERIES : lengths[b];
      const int64_t first = i ? b * QUERIES : firsts[b];
      for (int r = 0; r < n * HQ; r++)
        for (int d = 0; d < DIM; d++) {
          const double want = ref[((b * HQ + r % HQ) * QUERIES + r / HQ) * DIM + d];
          ck_assert_double_eq_tol((double)o[(first * HQ + r) * DIM + d], want, 1e-5);
        }
    }
  }
  fl4_context_destroy(&ctx);
}
END_TEST

enum { FAR_KEYS = 8192, PAGE = 4096 };

/* [FAR_KEYS][DIM], of which the keys from lo to hi − 1 are not to be touched. */
static float *far_keys(int lo, int hi)
{
  const size_t bytes = FAR_KEYS * DIM * sizeof(float);
  float *x = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ck_assert(x != MAP_FAILED);
  fill(x, FAR_KEYS * DIM, 4);
  const size_t row = DIM * sizeof(float), from = (size_t)lo * row, to = (size_t)hi * row;
  ck_assert(from % PAGE == 0 && to % PAGE == 0);
  ck_assert_int_eq(mprotect((char *)x + from, to - from, PROT_NONE), 0);
  return x;
}

/* Tiles that nobody sees are not loaded: their memory cannot be. */
START_TEST(skipped_tiles_are_not_read)
{
  static float q[32 * DIM], o[32 * DIM];
  static unsigned char mask[32 * FAR_KEYS];
  int32_t used = 992; /* not a multiple of any tile */
  fill(q, 32 * DIM, 5);
  for (int i = 0; i < 32; i++)
    for (int j = 0; j < FAR_KEYS; j++) mask[i * FAR_KEYS + j] = j / 1024 == 3 || j / 1024 == 5;
  const struct {
    int lo, hi;
  } hole[] = {{0, 7808}, {992, 8192}, {6144, 8192}, {4096, 5120}};
  fl4_attention_args a = FL4_ATTENTION_ARGS_INIT;
  a.dtype = FL4_DTYPE_FP32, a.B = a.Hq = a.Hkv = 1, a.Sq = 32, a.Sk = FAR_KEYS, a.D = DIM, a.q = q, a.o = o;
  if (_i == 0) a.mask = FL4_MASK_WINDOW, a.window_left = 300; /* from key 8160 − 300 on */
  if (_i == 1) a.seqused_k = &used;
  if (_i >= 2) a.bias = mask, a.bias_type = FL4_BIAS_BOOL;
  a.k = far_keys(hole[_i].lo, hole[_i].hi), a.v = far_keys(hole[_i].lo, hole[_i].hi);
  fl4_context *ctx = open_host(NULL, NULL, 0);
  ck_assert_fl4(fl4_attention_forward(ctx, &a, NULL));
  for (int i = 0; i < 32 * DIM; i++) ck_assert(isfinite(o[i]));
  fl4_context_destroy(&ctx);
  munmap((void *)(uintptr_t)a.k, FAR_KEYS * DIM * sizeof(float));
  munmap((void *)(uintptr_t)a.v, FAR_KEYS * DIM * sizeof(float));
}
END_TEST

/* ---------------------------------------------------------------- the plan */

/* Tasks of ragged queries are bounded by their rows and sequences, not by Sq times B. */
START_TEST(tasks_of_ragged_queries)
{
  fl4_context *ctx = open_host(NULL, "host:bm=48", 2);
  fl4_attention_args a = FL4_ATTENTION_ARGS_INIT;
  fl4_plan_info info = FL4_PLAN_INFO_INIT;
  static const int32_t somewhere[65];
  a.B = 64, a.Hq = 8, a.Hkv = 2, a.Sq = 100000, a.Sk = 100000, a.D = 64;
  a.cu_seqlens_q = somewhere, a.total_q = 100000 + 63 * 100;
  ck_assert_fl4(fl4_attention_plan_info(ctx, &a, &info));
  ck_assert_int_eq(info.blocks, 2 * (4 * (100000 + 6300) / 48 + 64));
  fl4_context_destroy(&ctx);
}
END_TEST

static Suite *suite(void)
{
  Suite *s = suite_create("host_features");
  TCase *t = tcase_create("oracle");
  tcase_set_timeout(t, 240);
  tcase_add_loop_test(t, each_feature, 0, N_ISAS);
  tcase_add_loop_test(t, all_pairs, 0, N_ISAS);
  tcase_add_loop_test(t, many_together, 0, N_ISAS);
  tcase_add_test(t, every_variant);
  suite_add_tcase(s, t);

  t = tcase_create("bits");
  tcase_set_timeout(t, 240);
  tcase_add_loop_test(t, bits_depend_on_the_row_alone, 0, N_ISAS);
  tcase_add_test(t, bits_do_not_depend_on_the_batch);
  tcase_add_test(t, the_same_in_each_batch);
  suite_add_tcase(s, t);

  t = tcase_create("reads");
  tcase_add_test(t, wrong_numbers_stay_inside);
  tcase_add_loop_test(t, skipped_tiles_are_not_read, 0, 4);
  tcase_add_test(t, tasks_of_ragged_queries);
  suite_add_tcase(s, t);
  return s;
}

FL4_TEST_MAIN(suite)

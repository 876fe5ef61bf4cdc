/* SPDX-License-Identifier: Apache-2.0 */
/* New keys and values into a cache, on the host device: against a model, in plain cases, and every bad argument. */
#include <math.h>

#include "append_rig.h"
#include "fl4_test.h"

enum { B = 2, HQ = 4, HKV = 2, SN = 3, SK = 20, D = 16, PAGE = 8, PAGES = 7, POSITIONS = 32, N_RANDOM = 400 };

static fl4_context *ctx;
static _Alignas(16) float k_new[B * HKV * SN * D], v_new[B * HKV * SN * D], q[B * HQ * SN * D], q_out[B * HQ * SN * D];
static _Alignas(16) float k[PAGES * PAGE * HKV * D], v[PAGES * PAGE * HKV * D];
static _Alignas(16) float cosines[POSITIONS * D / 2], sines[POSITIONS * D / 2];
static int32_t used[B], after[B], cu[B + 1], table[B * 3];

static void open_host(void)
{
  fl4_context_options options = FL4_CONTEXT_OPTIONS_INIT;
  options.device = "host", options.threads = 2;
  ck_assert_fl4(fl4_context_create(&ctx, &options));
  used[0] = 5, used[1] = 0;
  for (int b = 0; b <= B; b++) cu[b] = b * SN;
  for (int i = 0; i < B * 3; i++) table[i] = i + 1;
}

static void close_host(void)
{
  fl4_context_destroy(&ctx);
}

static fl4_kv_append_args plain_args(void)
{
  fl4_kv_append_args a = FL4_KV_APPEND_ARGS_INIT;
  a.dtype = FL4_DTYPE_FP32;
  a.B = B, a.Hkv = HKV, a.Sn = SN, a.Sk = SK, a.D = D;
  a.k_new = k_new, a.v_new = v_new, a.k = k, a.v = v, a.seqused_k = used;
  return a;
}

/* With all there is. */
static fl4_kv_append_args good_args(void)
{
  fl4_kv_append_args a = plain_args();
  a.Hq = HQ, a.q = q, a.q_out = q_out;
  a.rotary = FL4_ROTARY_HALVES, a.rotary_cos = cosines, a.rotary_sin = sines;
  a.rotary_dim = D, a.max_position = POSITIONS;
  a.seqused_k_after = after, a.cu_seqlens_new = cu, a.total_new = B * SN;
  a.block_table = table, a.page_size = PAGE, a.n_pages = PAGES;
  return a;
}

START_TEST(random_cases)
{
  char why[512], text[192];
  for (uint64_t seed = 0; seed < N_RANDOM; seed++) {
    const append_case c = append_random(seed, true);
    append_describe(&c, text);
    ck_assert_msg(append_run(ctx, &c, why), "%s: %s", text, why);
  }
}
END_TEST

/* The position's angle turns each pair; position 0 turns nothing, and a quarter turn swaps the two. */
START_TEST(rotation)
{
  fl4_kv_append_args a = plain_args();
  a.B = 1, a.Hkv = 1, a.Sn = 2, a.seqused_k = NULL;
  a.rotary_cos = cosines, a.rotary_sin = sines, a.rotary_dim = 4, a.max_position = POSITIONS;
  const float at_1[2] = {0, (float)M_PI_2}; /* angles of position 1 */
  for (int i = 0; i < 2; i++) {
    cosines[i] = 1, sines[i] = 0;
    cosines[2 + i] = cosf(at_1[i]), sines[2 + i] = sinf(at_1[i]);
  }
  for (int i = 0; i < 2 * D; i++) k_new[i] = (float)(i % D + 1);
  const struct {
    int rotary;
    float first[4];
  } kinds[] = {{FL4_ROTARY_HALVES, {1, -4, 3, 2}}, {FL4_ROTARY_PAIRS, {1, 2, -4, 3}}};
  for (int i = 0; i < 2; i++) {
    a.rotary = kinds[i].rotary;
    memset(k, 0, sizeof k);
    ck_assert_fl4(fl4_kv_append(ctx, &a, NULL));
    ck_assert_mem_eq(k, k_new, D * sizeof *k);
    for (int d = 0; d < 4; d++) ck_assert_float_eq_tol(k[D + d], kinds[i].first[d], 1e-6f);
    ck_assert_mem_eq(k + D + 4, k_new + D + 4, (D - 4) * sizeof *k);
  }
}
END_TEST

/* What is appended in two pieces, the lengths handed on, is what is appended at once; and attention reads it. */
START_TEST(pieces_make_the_whole)
{
  enum { N = 13 };
  static float all_k[B * HKV * N * D], all_v[B * HKV * N * D], query[B * HQ * D], whole[B * HQ * D], pieces[B * HQ * D];
  for (int i = 0; i < B * HKV * N * D; i++) all_k[i] = sinf((float)i), all_v[i] = cosf((float)i);
  for (int i = 0; i < B * HQ * D; i++) query[i] = sinf(5 * (float)i);
  fl4_attention_args attention = FL4_ATTENTION_ARGS_INIT;
  attention.dtype = FL4_DTYPE_FP32;
  attention.B = B, attention.Hq = HQ, attention.Hkv = HKV, attention.Sq = 1, attention.Sk = N, attention.D = D;
  attention.q = query, attention.k = all_k, attention.v = all_v, attention.o = whole;
  ck_assert_fl4(fl4_attention_forward(ctx, &attention, NULL));

  static float cache_k[B * HKV * N * D], cache_v[B * HKV * N * D];
  int32_t lengths[2][B] = {{0, 0}};
  fl4_kv_append_args a = plain_args();
  a.Sk = N, a.k = cache_k, a.v = cache_v;
  const int64_t stride[3] = {(int64_t)HKV * N * D, (int64_t)N * D, D};
  memcpy(a.k_new_stride, stride, sizeof stride), memcpy(a.v_new_stride, stride, sizeof stride);
  const int sizes[] = {4, 1, 8};
  int at = 0;
  for (int i = 0; i < 3; i++) {
    a.Sn = sizes[i], a.k_new = all_k + at * D, a.v_new = all_v + at * D;
    a.seqused_k = lengths[i % 2], a.seqused_k_after = lengths[(i + 1) % 2];
    ck_assert_fl4(fl4_kv_append(ctx, &a, NULL));
    at += sizes[i];
    for (int b = 0; b < B; b++) ck_assert_int_eq(a.seqused_k_after[b], at);
  }
  ck_assert_mem_eq(cache_k, all_k, sizeof all_k);
  ck_assert_mem_eq(cache_v, all_v, sizeof all_v);
  attention.k = cache_k, attention.v = cache_v, attention.o = pieces;
  ck_assert_fl4(fl4_attention_forward(ctx, &attention, NULL));
  ck_assert_mem_eq(pieces, whole, sizeof whole);
}
END_TEST

/* Beyond the capacity nothing is written, and the length stays at it. */
START_TEST(full_cache)
{
  fl4_kv_append_args a = plain_args();
  memset(k, 0, sizeof k);
  for (int i = 0; i < B * HKV * SN * D; i++) k_new[i] = v_new[i] = 1;
  used[0] = SK - 1, used[1] = SK;
  a.seqused_k_after = after;
  ck_assert_fl4(fl4_kv_append(ctx, &a, NULL));
  int written = 0;
  for (int i = 0; i < B * HKV * SK * D; i++) written += k[i] != 0;
  ck_assert_int_eq(written, HKV * D);
  ck_assert_int_eq(after[0], SK);
  ck_assert_int_eq(after[1], SK);
}
END_TEST

START_TEST(nothing_to_do)
{
  fl4_kv_append_args a = good_args();
  ck_assert_fl4(fl4_kv_append(ctx, &a, NULL));
  a.k = NULL, a.v = NULL, a.k_new = NULL, a.v_new = NULL, a.q_out = NULL, a.block_table = NULL, a.rotary_cos = NULL;
  ck_assert_fl4(fl4_kv_append_prepare(ctx, &a));
  a = plain_args(), a.B = 0;
  ck_assert_fl4(fl4_kv_append(ctx, &a, NULL));
  /* No token: lengths are handed on all the same. */
  a = plain_args(), a.Sn = 0, a.k_new = NULL, a.v_new = NULL;
  ck_assert_fl4(fl4_kv_append(ctx, &a, NULL));
  a.seqused_k_after = after, after[0] = 99;
  ck_assert_fl4(fl4_kv_append(ctx, &a, NULL));
  ck_assert_int_eq(after[0], used[0]);
}
END_TEST

/* The call from `make`, with one thing changed, is refused, by the function that makes it ready too, if `by_both`. */
#define REFUSED_OF(make, by_both, change, words)                                                                       \
  do {                                                                                                                 \
    fl4_kv_append_args a = make();                                                                                     \
    change;                                                                                                            \
    ck_assert_fl4_fails(fl4_kv_append(ctx, &a, NULL), FL4_INVALID_ARGUMENT, "fl4_kv_append_args." words);              \
    if (by_both)                                                                                                       \
      ck_assert_fl4_fails(fl4_kv_append_prepare(ctx, &a), FL4_INVALID_ARGUMENT, "fl4_kv_append_args." words);          \
    else                                                                                                               \
      ck_assert_fl4(fl4_kv_append_prepare(ctx, &a));                                                                   \
  } while (0)
#define REFUSED(change, words) REFUSED_OF(good_args, true, change, words)
#define REFUSED_RUN(change, words) REFUSED_OF(good_args, false, change, words)
#define REFUSED_PLAIN(change, words) REFUSED_OF(plain_args, true, change, words)

START_TEST(bad_calls)
{
  fl4_kv_append_args good = good_args();
  ck_assert_fl4_fails(fl4_kv_append(NULL, &good, NULL), FL4_INVALID_ARGUMENT, "fl4_kv_append: ctx: is NULL");
  ck_assert_fl4_fails(fl4_kv_append(ctx, NULL, NULL), FL4_INVALID_ARGUMENT, "fl4_kv_append: args: is NULL");
  ck_assert_fl4_fails(fl4_kv_append_prepare(NULL, &good), FL4_INVALID_ARGUMENT, "fl4_kv_append_prepare: ctx");
  ck_assert_fl4_fails(fl4_kv_append_prepare(ctx, NULL), FL4_INVALID_ARGUMENT, "fl4_kv_append_prepare: args");
  ck_assert_fl4_fails(fl4_kv_append(ctx, &good, (fl4_stream)&good), FL4_INVALID_ARGUMENT,
                      "fl4_kv_append: stream: is 0x");
}
END_TEST

START_TEST(bad_sizes)
{
  REFUSED(a.struct_size = 3, "struct_size: is 3");
  REFUSED(a.dtype = 3, "dtype: is 3");
  REFUSED(a.dtype = -1, "dtype: is -1");
  REFUSED(a.B = -1, "B: is -1, must be from 0");
  REFUSED(a.Hq = 0, "Hq: is 0, must be from 1");
  REFUSED_PLAIN(a.Hq = -1, "Hq: is -1, must be from 0");
  REFUSED(a.Hkv = 0, "Hkv: is 0, must be from 1");
  REFUSED(a.Sn = INT64_MAX, "Sn: is 9223372036854775807");
  REFUSED(a.Sk = -7, "Sk: is -7, must be from 0");
  REFUSED(a.D = 20, "D: is 20, must be a multiple of 8 from 8 to 256");
  REFUSED(a.D = 0, "D: is 0");
  REFUSED(a.D = 264, "D: is 264");
  REFUSED(a.reserved0 = 1, "reserved0: is 1");
  REFUSED(a.reserved[3] = 9, "reserved[3]: is 9");
}
END_TEST

START_TEST(bad_tensors)
{
  REFUSED_RUN(a.k_new = NULL, "k_new: is NULL");
  REFUSED_RUN(a.v_new = NULL, "v_new: is NULL");
  REFUSED_RUN(a.k = NULL, "k: is NULL");
  REFUSED_RUN(a.v = NULL, "v: is NULL");
  REFUSED_RUN(a.q_out = NULL, "q_out: is NULL");
  REFUSED(a.q = NULL, "q_out: is set, must be NULL without q");
  REFUSED(a.k_new = (char *)k_new + 2, "k_new: is 0x");
  REFUSED(a.v_new = (char *)v_new + 1, "v_new: is 0x");
  REFUSED(a.k = (char *)k + 2, "k: is 0x");
  REFUSED(a.v = (char *)v + 2, "v: is 0x");
  REFUSED(a.q = (char *)q + 2, "q: is 0x");
  REFUSED(a.q_out = (char *)q_out + 2, "q_out: is 0x");
  REFUSED(a.k_new_stride[1] = -1, "k_new_stride[1]: is -1");
  REFUSED(a.v_new_stride[2] = INT64_MAX, "v_new_stride[2]");
  REFUSED(a.k_stride[1] = 8, "k_stride[0]: is 0, must be at least");
  REFUSED(a.v_stride[2] = -16, "v_stride[2]: is -16");
  REFUSED(a.q_stride[2] = -16, "q_stride[2]: is -16");
  REFUSED(a.q_out_stride[2] = 8, "q_out_stride[1]: is 0, must be at least");
}
END_TEST

START_TEST(bad_rotary)
{
  REFUSED(a.rotary = 3, "rotary: is 3, must be FL4_ROTARY_NONE, _HALVES or _PAIRS");
  REFUSED(a.rotary = -1, "rotary: is -1");
  REFUSED(a.rotary_dim = 0, "rotary_dim: is 0, must be even, from 2 to D = 16");
  REFUSED(a.rotary_dim = 7, "rotary_dim: is 7");
  REFUSED(a.rotary_dim = 18, "rotary_dim: is 18");
  REFUSED(a.max_position = 0, "max_position: is 0, must be from 1");
  REFUSED(a.max_position = INT64_MAX, "max_position: is 9");
  REFUSED_RUN(a.rotary_cos = NULL, "rotary_cos: is NULL");
  REFUSED_RUN(a.rotary_sin = NULL, "rotary_sin: is NULL");
  REFUSED(a.rotary_cos = (const float *)(const void *)((char *)cosines + 2), "rotary_cos: is 0x");
  REFUSED(a.rotary_sin = (const float *)(const void *)((char *)sines + 2), "rotary_sin: is 0x");
  REFUSED_PLAIN(a.rotary_cos = cosines, "rotary_cos: is set, must be NULL with FL4_ROTARY_NONE");
  REFUSED_PLAIN(a.rotary_sin = sines, "rotary_sin: is set");
  REFUSED_PLAIN((a.Hq = HQ, a.q = q), "q: is set, must be NULL with FL4_ROTARY_NONE");
  REFUSED_PLAIN(a.rotary_dim = 8, "rotary_dim: is 8, must be 0 with FL4_ROTARY_NONE");
  REFUSED_PLAIN(a.max_position = 8, "max_position: is 8, must be 0 with FL4_ROTARY_NONE");
}
END_TEST

START_TEST(bad_lengths_and_pages)
{
  int32_t *const odd = (int32_t *)(void *)((char *)cu + 2);
  REFUSED(a.seqused_k = odd, "seqused_k: is 0x");
  REFUSED(a.seqused_k_after = odd, "seqused_k_after: is 0x");
  REFUSED(a.cu_seqlens_new = odd, "cu_seqlens_new: is 0x");
  REFUSED(a.block_table = odd, "block_table: is 0x");
  REFUSED(a.seqused_k_after = used, "seqused_k_after: is seqused_k, must be memory of its own");
  REFUSED(a.total_new = -1, "total_new: is -1, must be from 0");
  REFUSED_PLAIN(a.total_new = 1, "total_new: is 1, must be 0 without cu_seqlens_new");
  REFUSED(a.page_size = 12, "page_size: is 12, must be a power of two from 8 to 65536");
  REFUSED(a.n_pages = 0, "n_pages: is 0, must be from 1");
  REFUSED_RUN(a.block_table = NULL, "block_table: is NULL");
  REFUSED(a.block_table_stride = 2, "block_table_stride: is 2, must be at least 3");
  REFUSED(a.block_table_stride = INT64_MAX, "block_table_stride: is 9");
  REFUSED_PLAIN(a.block_table = table, "block_table: is set, must be NULL without page_size");
  REFUSED_PLAIN(a.n_pages = 4, "n_pages: is 4, must be 0 without page_size");
  REFUSED_PLAIN(a.block_table_stride = 4, "block_table_stride: is 4, must be 0 without page_size");
}
END_TEST

static Suite *suite(void)
{
  Suite *s = suite_create("kv_append");
  TCase *t = tcase_create("host");
  tcase_add_checked_fixture(t, open_host, close_host);
  tcase_set_timeout(t, 60);
  tcase_add_test(t, random_cases);
  tcase_add_test(t, rotation);
  tcase_add_test(t, pieces_make_the_whole);
  tcase_add_test(t, full_cache);
  tcase_add_test(t, nothing_to_do);
  tcase_add_test(t, bad_calls);
  tcase_add_test(t, bad_sizes);
  tcase_add_test(t, bad_tensors);
  tcase_add_test(t, bad_rotary);
  tcase_add_test(t, bad_lengths_and_pages);
  suite_add_tcase(s, t);
  return s;
}

FL4_TEST_MAIN(suite)

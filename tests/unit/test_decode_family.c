/* SPDX-License-Identifier: Apache-2.0 */
/* decode_mma's table: which problems it takes, how many blocks share keys, and what they need. */
#include "families/families.h"
#include "fl4_test.h"

static const fl4__family *const family = &fl4__family_decode_mma;

static fl4_device_info gpu_of(int sm, int multiprocessors, int smem_per_block, int smem_per_sm)
{
  fl4_device_info d = FL4_DEVICE_INFO_INIT;
  d.kind = FL4_DEVICE_CUDA, d.sm = sm, d.multiprocessors = multiprocessors;
  d.smem_per_block = smem_per_block, d.smem_per_sm = smem_per_sm;
  d.registers_per_sm = 65536, d.l2_bytes = 48 << 20;
  snprintf(d.name, sizeof d.name, "GPU"), snprintf(d.isa, sizeof d.isa, "sm_%d", sm);
  return d;
}

static fl4_device_info h200(void)
{
  return gpu_of(90, 132, 227 << 10, 228 << 10);
}

static fl4_device_info l4(void)
{
  return gpu_of(89, 58, 99 << 10, 100 << 10);
}

static fl4__problem problem_of(int64_t B, int64_t Hq, int64_t Hkv, int64_t Sq, int64_t Sk, int64_t D)
{
  fl4__problem p;
  memset(&p, 0, sizeof p);
  p.B = B, p.Hq = Hq, p.Hkv = Hkv, p.Sq = Sq, p.Sk = Sk, p.D = D, p.dtype = FL4_DTYPE_BF16, p.aligned = 1;
  return p;
}

/* The variant, with what is not named as the family chooses it. */
static fl4__variant variant_of(const char *text, const fl4__problem *p, const fl4_device_info *device)
{
  fl4__variant forced, v;
  ck_assert_fl4(fl4__variant_parse(text, &forced));
  ck_assert_fl4(fl4__select(&forced, p, device, &v));
  return v;
}

static fl4__geometry geometry_of(const char *text, const fl4__problem *p, const fl4_device_info *device)
{
  const fl4__variant v = variant_of(text, p, device);
  fl4__geometry g;
  memset(&g, 0xff, sizeof g);
  family->geometry(&v, p, device, &g);
  return g;
}

/* ---------------------------------------------------------------- what it takes */

/* It is for few queries; others keep the rest, and what it refuses. */
START_TEST(is_for_few_queries)
{
  const struct {
    fl4__problem p;
    bool is_for, refuses;
  } cases[] = {
      {problem_of(1, 32, 8, 1, 4096, 128), true, false},  {problem_of(1, 32, 8, 8, 4096, 128), true, false},
      {problem_of(1, 32, 8, 9, 4096, 128), false, false}, {problem_of(1, 64, 1, 1, 4096, 128), true, false},
      {problem_of(1, 65, 1, 1, 4096, 128), false, true},  {problem_of(1, 8, 8, 1, 4096, 72), true, true},
      {problem_of(1, 8, 8, 1, 0, 64), true, false},       {problem_of(4, 8, 8, 4, 100, 256), true, false},
  };
  const fl4_device_info device = h200();
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    fl4__variant forced, v;
    ck_assert_int_eq(family->is_for(&cases[i].p), cases[i].is_for);
    ck_assert_fl4(fl4__variant_parse("decode_mma", &forced));
    ck_assert_int_eq(fl4__select(&forced, &cases[i].p, &device, &v) != FL4_OK, cases[i].refuses);
    ck_assert_fl4(fl4__select(NULL, &cases[i].p, &device, &v));
    ck_assert_int_eq(v.family == family, cases[i].is_for && !cases[i].refuses);
  }
}
END_TEST

#define POINT(warps, stages, keys, rows, splits)                                                                       \
  "decode_mma:warps=" #warps ",stages=" #stages ",keys=" #keys ",rows=" #rows ",splits=" #splits ",hint=0"

static const struct refusal {
  const char *words, *variant;
  int64_t Hq, Sq, D, B;
  int sm, dtype, features, odd, invariant;
} refusals[] = {
    {"a bias is not built in", "decode_mma", 8, 1, 64, 1, 90, FL4_DTYPE_BF16, FL4__FEATURE_BIAS, 0, 0},
    {"dtype is fp32: GPU kernels take fp16", "decode_mma", 8, 1, 64, 1, 90, FL4_DTYPE_FP32, 0, 0, 0},
    {"the GPU is sm_75, needed is sm_80", "decode_mma", 8, 1, 64, 1, 75, FL4_DTYPE_BF16, 0, 0, 0},
    {"rows are not aligned", "decode_mma", 8, 1, 64, 1, 90, FL4_DTYPE_BF16, 0, 1, 0},
    {"D is 72, must be a multiple of 16", "decode_mma", 8, 1, 72, 1, 90, FL4_DTYPE_BF16, 0, 0, 0},
    {"66 queries share a key/value head, at most 64", "decode_mma", 6, 11, 64, 1, 90, FL4_DTYPE_BF16, 0, 0, 0},
    {"ragged queries: whether this family is chosen", "decode_mma", 8, 1, 64, 1, 90, FL4_DTYPE_BF16,
     FL4__FEATURE_RAGGED_Q, 0, 1},
    {"warps=2,keys=16,splits=0: results that are the same in each batch need 4, 16 and 0", "decode_mma:warps=2", 8, 1,
     64, 1, 90, FL4_DTYPE_BF16, 0, 0, 1},
    {"warps=4,keys=32,splits=0: results", "decode_mma:keys=32", 8, 1, 64, 1, 90, FL4_DTYPE_BF16, 0, 0, 1},
    {"warps=4,keys=16,splits=3: results", "decode_mma:splits=3", 8, 1, 64, 1, 90, FL4_DTYPE_BF16, 0, 0, 1},
    {"needs 395264 bytes of shared memory, a block may have 232448", POINT(8, 3, 32, 8, 0), 8, 1, 128, 1, 90,
     FL4_DTYPE_BF16, 0, 0, 0},
    {"needs about 383 registers a thread, may have 255", POINT(1, 1, 16, 32, 0), 8, 1, 256, 1, 90, FL4_DTYPE_BF16, 0, 0,
     0},
    {"more than 2^31 blocks", POINT(1, 1, 16, 8, 2), 8, 1, 64, 1 << 30, 90, FL4_DTYPE_BF16, 0, 0, 0},
    {"2 blocks would share the keys of each of 4104 others, at most 4096", POINT(1, 1, 16, 8, 2), 8, 1, 64, 4104, 90,
     FL4_DTYPE_BF16, 0, 0, 0},
};
enum { N_REFUSALS = sizeof refusals / sizeof *refusals };

START_TEST(refusal)
{
  const struct refusal *r = &refusals[_i];
  fl4_device_info device = h200();
  fl4__problem p = problem_of(r->B, r->Hq, 1, r->Sq, 4096, r->D);
  fl4__variant forced, v;
  device.sm = r->sm;
  p.dtype = r->dtype, p.features = r->features, p.invariant = r->invariant;
  if (r->odd) p.aligned = 0;
  ck_assert_fl4(fl4__variant_parse(r->variant, &forced));
  ck_assert_fl4_fails(fl4__select(&forced, &p, &device, &v), FL4_UNSUPPORTED, r->words);
  ck_assert_ptr_nonnull(
      family->refuse(&forced, &p, &device, NULL)); /* without words it is quicker, and says the same */
}
END_TEST

/* All that it is for has a choice of the table, which fits both GPUs. */
START_TEST(choices)
{
  static const int64_t batches[] = {0, 1, 5, 64, 5000}, heads[] = {1, 4, 7, 8, 64},
                       lengths[] = {0, 1, 300, 4096, 1 << 20};
  enum { FEATURES = FL4__FEATURE_ALIBI | FL4__FEATURE_PAGED | FL4__FEATURE_USED_K | FL4__FEATURE_SOFTCAP };
  const fl4_device_info devices[] = {h200(), l4(), gpu_of(80, 108, 163 << 10, 164 << 10)};
  for (int D = 16; D <= 256; D += 16)
    for (int i = 0; i < 5 * 5 * 5 * 8; i++)
      for (int k = 0; k < 3 * 3; k++) {
        fl4__problem p = problem_of(batches[i % 5], heads[i / 5 % 5] * 2, 2, i / 125 + 1, lengths[i / 25 % 5], D);
        if (p.Hq / 2 * p.Sq > 64) continue;
        p.features = k / 3 == 1 ? FEATURES : 0, p.invariant = k / 3 == 2 && p.B < 5000;
        fl4__variant forced, v, parsed;
        char text[FL4__VARIANT_TEXT], why[160];
        ck_assert_fl4(fl4__variant_parse("decode_mma", &forced));
        ck_assert_fl4(fl4__select(&forced, &p, &devices[k % 3], &v));
        fl4__variant_format(&v, text);
        ck_assert_msg(v.family == family, "%s for D %d", text, D);
        ck_assert_ptr_null(family->refuse(&v, &p, &devices[k % 3], why));
        ck_assert_fl4(fl4__variant_parse(text, &parsed));
        ck_assert_mem_eq(&v, &parsed, sizeof v);
      }
}
END_TEST

/* ---------------------------------------------------------------- how it is launched */

START_TEST(geometry)
{
  const fl4_device_info device = h200();
  fl4__problem p = problem_of(2, 12, 2, 3, 1000, 64); /* 18 rows of each key/value head */
  fl4__geometry g = geometry_of(POINT(2, 3, 32, 8, 6), &p, &device);
  ck_assert_int_eq(g.row_tiles, 3);
  ck_assert_int_eq(g.splits, 6);
  ck_assert_int_eq(g.blocks, 2 * 2 * 3 * 6);
  ck_assert_int_eq(g.split_keys, 2 * 32);
  ck_assert_int_eq(g.threads, 64);
  ck_assert_int_eq(g.smem_bytes, 2 * 3 * (2 * 32) * 128 + 8 * 128);
  ck_assert_uint_eq(g.workspace_bytes, FL4_TICKET_BYTES + 72 * 8 * (64 + 8) * 4);
  ck_assert(g.tma_rows[0] == 0 && g.tma_rows[1] == 0 && g.tma_rows[2] == 0);

  /* A warp's rows need more than a ring of one stage. */
  g = geometry_of(POINT(4, 1, 16, 32, 1), &p, &device);
  ck_assert_int_eq(g.smem_bytes, 4 * 32 * (64 + 4) * 4 + 32 * 128);
  ck_assert_int_eq(g.row_tiles, 1);
  ck_assert_int_eq(g.blocks, 4);
  ck_assert_uint_eq(g.workspace_bytes, 0);
}
END_TEST

/* Where splits are many, their groups have tickets and parts too, as long as there are tickets for all. */
START_TEST(groups_of_splits)
{
  static const struct {
    int64_t B;
    int splits, parts; /* parts: of a unit */
  } cases[] = {{1, 2, 2},     {1, 24, 24},       {1, 32, 32 + 5}, {1, 64, 64 + 9}, {409, 64, 64 + 9},
               {410, 64, 64}, {682, 32, 32 + 5}, {683, 32, 32},   {4096, 64, 64}};
  const fl4_device_info device = h200();
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    const fl4__problem p = problem_of(cases[i].B, 1, 1, 1, 4096, 64);
    char text[96];
    snprintf(text, sizeof text, "decode_mma:warps=1,stages=2,keys=16,rows=8,splits=%d,hint=0", cases[i].splits);
    const fl4__geometry g = geometry_of(text, &p, &device);
    ck_assert_int_eq(g.blocks, cases[i].B * cases[i].splits);
    ck_assert_uint_eq(g.workspace_bytes, FL4_TICKET_BYTES + (size_t)(cases[i].B * cases[i].parts) * 8 * (64 + 8) * 4);
  }
}
END_TEST

/*
 * As many blocks as run at once, one a multiprocessor, if each has some keys. Where they would leave many multiprocessors idle, or
 * come one after the other, long keys are cut into more.
 */
START_TEST(blocks_fill_the_machine)
{
  static const struct {
    int64_t B, Sk;
    int splits;
  } cases[] = {{1, 256, 1},     {1, 257, 2},    {1, 4096, 16},   {1, 32768, 16},  {1, 1 << 20, 16}, {4, 32768, 4},
               {10, 4096, 1},   {10, 16384, 4}, {16, 4096, 1},   {16, 131072, 1}, {17, 4096, 2},    {20, 16384, 8},
               {24, 32768, 10}, {32, 4096, 1},  {32, 131072, 1}, {64, 1024, 1},   {64, 4096, 2},    {64, 131072, 12}};
  const fl4_device_info device = h200();
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    const fl4__problem p = problem_of(cases[i].B, 32, 8, 1, cases[i].Sk, 128);
    const fl4__geometry g = geometry_of("decode_mma", &p, &device);
    ck_assert_msg(g.splits == cases[i].splits, "B %d Sk %d: %d splits", (int)p.B, (int)p.Sk, (int)g.splits);
    ck_assert_int_eq(g.split_keys, 256);
    ck_assert_int_eq(g.threads, 256);
    ck_assert_int_eq(g.smem_bytes, 8 * 2 * 2 * 16 * 256 + 8 * 256);
  }
  /* One unit: all multiprocessors. Very many: there are no tickets for more than one block each. */
  fl4__problem p = problem_of(1, 4, 1, 1, 1 << 20, 128);
  ck_assert_int_eq(geometry_of("decode_mma", &p, &device).splits, 132);
  p = problem_of(5000, 1, 1, 1, 1 << 20, 16);
  ck_assert_int_eq(geometry_of("decode_mma", &p, &device).splits, 1);
}
END_TEST

/* A window is shared out as if there were no other keys. */
START_TEST(windows)
{
  const fl4_device_info device = h200();
  fl4__problem p = problem_of(1, 32, 8, 4, 1 << 20, 128);
  p.features = FL4__FEATURE_WINDOW, p.window_left = 1020, p.window_right = 0;
  ck_assert_int_eq(geometry_of("decode_mma", &p, &device).splits, 4);
  p.window_left = FL4_NO_WINDOW, p.window_right = 3;
  ck_assert_int_eq(geometry_of("decode_mma:rows=16", &p, &device).splits, 16);
  p.window_left = 5000, p.Sk = 300;
  ck_assert_int_eq(geometry_of("decode_mma", &p, &device).splits, 2);
}
END_TEST

/* What adds a row's keys up in another order is the same whatever else there is. */
START_TEST(invariant)
{
  static const int64_t batches[] = {1, 3, 64, 512}, lengths[] = {1, 2048, 2049, 5000, 1 << 20};
  const fl4_device_info devices[] = {h200(), l4()};
  for (int i = 0; i < 4 * 5 * 8; i++)
    for (int window = 0; window < 2; window++) {
      fl4__problem p = problem_of(batches[i % 4], 8, 8, i / 20 + 1, lengths[i / 4 % 5], i % 3 ? 128 : 64);
      p.invariant = 1;
      if (window) p.features = FL4__FEATURE_WINDOW, p.window_left = 3000, p.window_right = 0;
      const fl4__variant v = variant_of("decode_mma", &p, &devices[i % 2]);
      const fl4__geometry g = geometry_of("decode_mma", &p, &devices[i % 2]);
      const int64_t seen = window ? fl4__min64(p.Sk, 3000 + p.Sq) : p.Sk;
      ck_assert_int_eq(fl4__variant_get(&v, "warps"), 4);
      ck_assert_int_eq(fl4__variant_get(&v, "keys"), 16);
      ck_assert(g.split_keys == 2048 && g.split_anchor == 2048);
      ck_assert_int_eq(g.splits, (seen + 2047) / 2048 + window);
    }
}
END_TEST

/* Those that were fastest on an H200 (docs/decode.md). Rows that other blocks read too stay in the cache. */
START_TEST(rows_of_a_block)
{
  static const struct {
    int64_t B, Hq, Hkv, Sq, Sk, D;
    int rows, hint;
  } cases[] = {
      {1, 32, 1, 1, 1024, 128, 8, 0},    {1, 32, 1, 1, 4096, 128, 8, 0},    {1, 32, 1, 1, 32768, 128, 8, 0},
      {1, 32, 1, 1, 131072, 128, 16, 0}, {4, 32, 1, 1, 8192, 128, 8, 0},    {16, 32, 1, 1, 4096, 128, 16, 0},
      {16, 32, 1, 1, 4096, 64, 16, 0},   {16, 32, 1, 1, 32768, 128, 32, 1}, {64, 32, 1, 1, 1024, 128, 16, 0},
      {64, 32, 1, 1, 1024, 64, 16, 0},   {64, 32, 1, 1, 4096, 128, 16, 0},  {1, 32, 8, 8, 4096, 128, 8, 0},
      {16, 32, 8, 8, 4096, 128, 32, 1},  {1, 32, 8, 1, 4096, 128, 8, 1},    {64, 8, 8, 1, 131072, 64, 8, 1},
  };
  const fl4_device_info device = h200();
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    const fl4__problem p = problem_of(cases[i].B, cases[i].Hq, cases[i].Hkv, cases[i].Sq, cases[i].Sk, cases[i].D);
    const fl4__variant v = variant_of("decode_mma", &p, &device);
    ck_assert_msg(fl4__variant_get(&v, "rows") == cases[i].rows && fl4__variant_get(&v, "hint") == cases[i].hint,
                  "case %d: rows %d hint %d", (int)i, fl4__variant_get(&v, "rows"), fl4__variant_get(&v, "hint"));
  }
}
END_TEST

/* Blocks of an L4 have four warps: eight with two stages each do not fit. Memory is so slow that keys are read once. */
START_TEST(on_an_l4)
{
  const fl4_device_info device = l4();
  for (int64_t D = 64; D <= 256; D += 64) {
    const fl4__problem p = problem_of(4, 32, 4, 1, 8192, D), q = problem_of(16, 16, 1, 1, 8192, D);
    const fl4__variant v = variant_of("decode_mma", &p, &device), w = variant_of("decode_mma", &q, &device);
    ck_assert_int_eq(fl4__variant_get(&v, "warps"), 4);
    ck_assert_int_eq(fl4__variant_get(&v, "stages"), D == 64 ? 3 : D == 128 ? 3 : D == 192 ? 2 : 1);
    ck_assert_int_eq(fl4__variant_get(&v, "rows"), 8);
    ck_assert_int_eq(fl4__variant_get(&w, "rows"), 16);
  }
  /* One round of 58 blocks: what is left idle in it the others read for. */
  static const struct {
    int64_t B;
    int splits;
  } cases[] = {{1, 7}, {2, 3}, {4, 1}, {8, 1}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    const fl4__problem p = problem_of(cases[i].B, 32, 8, 1, 32768, 128);
    ck_assert_int_eq(geometry_of("decode_mma", &p, &device).splits, cases[i].splits);
  }
}
END_TEST

static Suite *make_suite(void)
{
  Suite *suite = suite_create("decode_family");
  TCase *c = tcase_create("decode_mma");
  tcase_add_test(c, is_for_few_queries);
  tcase_add_loop_test(c, refusal, 0, N_REFUSALS);
  tcase_add_test(c, choices);
  tcase_add_test(c, geometry);
  tcase_add_test(c, groups_of_splits);
  tcase_add_test(c, blocks_fill_the_machine);
  tcase_add_test(c, windows);
  tcase_add_test(c, invariant);
  tcase_add_test(c, rows_of_a_block);
  tcase_add_test(c, on_an_l4);
  suite_add_tcase(suite, c);
  return suite;
}

FL4_TEST_MAIN(make_suite)

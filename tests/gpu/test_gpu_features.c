/* SPDX-License-Identifier: Apache-2.0 */
/* What is not dense attention, on the GPU, by the library's own choice and by each family: every feature, and many together. */
#include "feature_rig.h"
#include "gpu_test.h"
#include "problem.h"

enum { N_FAMILIES = 4, N_RANDOM = 160, N_CASES = 2 * FEATURE_SINGLES + N_RANDOM };
static const char *const families[N_FAMILIES] = {NULL, "fwd_wgmma", "fwd_mma", "decode_mma"};
static fl4_context *contexts[N_FAMILIES];

/* The singles, small and larger; then many together. */
static feature_case case_number(int i)
{
  static const int dims[] = {64, 128, 80, 256, 40, 192};
  if (i >= 2 * FEATURE_SINGLES) {
    const int n = i - 2 * FEATURE_SINGLES;
    return feature_random(1000 + (uint64_t)n, dims[n % 6], n < 100 ? 400 : 8, n < 100 ? 1500 : 6000);
  }
  feature_case c = feature_single(i % FEATURE_SINGLES);
  if (i >= FEATURE_SINGLES) c.D = 128, c.Sq = 300, c.Sk = c.Sk < 150 ? c.Sk * 4 : 704;
  return c;
}

/*
 * Mixes of features, of which one sequence is put into batches; the last ones are as when a model generates. `flags`: without
 * FL4_BATCH_INVARIANT its bits may be others in each.
 */
enum { N_MIXES = 20, N_PROMPTS = 12, N_BATCHES = 10 };

static feature_case mix_number(int i, uint32_t flags)
{
  static const int dims[] = {64, 128, 80, 256, 192};
  const bool prompt = i < N_PROMPTS;
  feature_case c = feature_random(2000 + (uint64_t)i, dims[i % 5], prompt ? 100 : 8, prompt ? 400 : 5000);
  if (!prompt) c.ragged_q = i % 2 == 0, c.bias = c.broadcast = 0; /* decode_mma takes those without either */
  c.flags = flags, c.lse = true;
  return c;
}

static void set_up(void)
{
  for (int f = 0; f < N_FAMILIES; f++) {
    fl4_context_options o = FL4_CONTEXT_OPTIONS_INIT;
    o.device = "cuda", o.variant = families[f];
    ck_assert_fl4(fl4_context_create(&contexts[f], &o));
  }
  /* What cannot be compiled, or is not for a family, is told when it is run. */
#pragma omp parallel for schedule(dynamic) num_threads(16)
  for (int i = 0; i < N_FAMILIES * N_CASES; i++) {
    const feature_case c = case_number(i / N_FAMILIES);
    if (feature_prepare(contexts[i % N_FAMILIES], &c) != FL4_OK) continue;
  }
#pragma omp parallel for schedule(dynamic) num_threads(16)
  for (int i = 0; i < N_MIXES * (N_BATCHES + 1); i++) {
    int ids[FEATURE_MOST_BATCH];
    const feature_case mix = mix_number(i % N_MIXES, FL4_BATCH_INVARIANT);
    const feature_case c = feature_batch(&mix, i / N_MIXES, FEATURE_MOST_BATCH, ids);
    if (feature_prepare(contexts[0], &c) != FL4_OK) continue;
  }
}

static void tear_down(void)
{
  for (int f = 0; f < N_FAMILIES; f++) fl4_context_destroy(&contexts[f]);
}

/* A family may refuse a case by name: then it is not for it. */
static void check_all(const feature_case *c)
{
  char why[512], text[256];
  feature_describe(c, text);
  for (int f = 0; f < N_FAMILIES; f++) {
    const bool right = feature_run(contexts[f], c, NULL, why);
    if (!right && families[f] && strstr(why, families[f]) &&
        (strstr(why, "is not built in") || strstr(why, "needed is sm_90") || strstr(why, "must be a multiple of 16") ||
         strstr(why, "share a key/value head")))
      continue;
    ck_assert_msg(right, "%s, %s: %s", text, families[f] ? families[f] : "own choice", why);
  }
}

START_TEST(right)
{
  const feature_case c = case_number(_i);
  check_all(&c);
}
END_TEST

/* 200 random batches, by the library's own choice: the first sequence has the bits that it has alone. */
START_TEST(the_same_in_each_batch)
{
  char why[512], text[256];
  const feature_case c = mix_number(_i, FL4_BATCH_INVARIANT);
  feature_describe(&c, text);
  const bool same = feature_same_in_batches(contexts[0], &c, N_BATCHES, FEATURE_MOST_BATCH, why);
  ck_assert_msg(same, "%s: %s", text, why);
}
END_TEST

/* The test above would notice: without the flag blocks share keys as it suits the batch. */
START_TEST(others_without_the_flag)
{
  bool differs = false;
  for (int i = N_PROMPTS; i < N_MIXES && !differs; i++) {
    char why[512];
    const feature_case c = mix_number(i, 0);
    differs = !feature_same_in_batches(contexts[0], &c, N_BATCHES, FEATURE_MOST_BATCH, why);
    if (differs) ck_assert_ptr_nonnull(strstr(why, "other bits"));
  }
  ck_assert(differs);
}
END_TEST

/*
 * Many tiles at full speed: what small cases do not meet. Where tiles are narrow, matrix products keep shared memory so busy that a
 * load from it may come very late.
 */
static const struct {
  const char *line, *variant;
} busy[] = {
    {"hq8hkv2sq4096d128:bf16:bias=bf16", "fwd_wgmma:groups=3,bn=48,qbuf=1"},
    {"hq8hkv2sq4096d128:bf16:bias=bf16", "fwd_wgmma:groups=3,bn=64,qbuf=1"},
    {"hq8hkv2sq4096d128:bf16:bias=bf16:causal", "fwd_wgmma:groups=2,bn=80,qbuf=1"},
    {"hq8hkv2sq4096d128:bias=fp16/ij:causal", "fwd_wgmma:groups=3,bn=80,qbuf=1"},
    {"hq8hkv2sq4096d128:bias=fp32/ij", "fwd_wgmma:groups=3,bn=64,qbuf=1"},
    {"hq8hkv2sq4096d128:bf16:bias=bool", "fwd_wgmma:groups=3,bn=64,qbuf=1"},
    {"hq8hkv2sq4096d64:bf16:bias=bf16", "fwd_wgmma:groups=3,bn=64,qbuf=1"},
    {"b2hq4hkv2sq4096d128:bf16:page=16", "fwd_wgmma"},
    {"b2hq4hkv2sq4096d128:bf16:lens", "fwd_wgmma"},
    {"b2hq4hkv2sq4096d128:bf16:window=1023,0", "fwd_wgmma"},
    {"b16hq32hkv1sq1sk32768d128:bf16:page=16", "decode_mma"},
    {"b16hq32hkv8sq1sk16384d128:bf16:lens", "decode_mma"},
};
enum { N_BUSY = sizeof busy / sizeof *busy };

START_TEST(right_when_busy)
{
  if (!on_hopper() && strncmp(busy[_i].variant, "fwd_wgmma", 9) == 0) return;
  fl4_context *ctx = open_variant(busy[_i].variant, 0);
  fl4_problem p = FL4_PROBLEM_INIT;
  fl4_check_options o = FL4_CHECK_OPTIONS_INIT;
  fl4_check_result r = FL4_CHECK_RESULT_INIT;
  ck_assert_fl4(fl4_problem_parse(busy[_i].line, &p));
  ck_assert_fl4(fl4_check(ctx, &p, &o, &r));
  ck_assert_msg(r.passed, "%s, %s: max error %g, allowed %g", busy[_i].line, busy[_i].variant, r.max_error,
                r.max_allowed);
  fl4_context_destroy(&ctx);
}
END_TEST

/* Masks of bytes that hide most tiles, however little there is to compute. */
enum { N_HIDDEN = 24 };

START_TEST(hidden_tiles)
{
  static const int broadcasts[] = {3, 0, 1, 2, 7, 3}, dims[] = {64, 128, 256, 72};
  feature_case c = {.D = dims[_i % 4], .seed = (uint64_t)_i};
  c.dtype = _i % 2 ? FL4_DTYPE_FP16 : FL4_DTYPE_BF16;
  c.B = 2, c.Hq = 4, c.Hkv = 2, c.Sq = 300 + 50 * _i, c.Sk = _i % 3 ? 2000 + 16 * _i : 1777;
  c.bias = 1 + FL4_BIAS_BOOL, c.broadcast = broadcasts[_i % 6], c.blocks = 100 + 13 * _i, c.lse = _i % 5 == 0;
  c.mask = _i / 6 == 1 ? FL4_MASK_CAUSAL : _i / 6 == 2 ? FL4_MASK_WINDOW : FL4_MASK_NONE;
  if (c.mask == FL4_MASK_WINDOW) c.left = 900, c.right = _i % 2 ? 0 : 200;
  if (_i / 6 == 3) c.used_k = c.edges = true, c.page_size = _i % 2 ? 16 : 0, c.softcap = _i % 3 ? 0 : 5;
  const int64_t fewest = fl4__fewest_scores_to_skip;
  fl4__fewest_scores_to_skip = 0;
  check_all(&c);
  fl4__fewest_scores_to_skip = fewest;
}
END_TEST

static Suite *suite(void)
{
  Suite *s = suite_create("gpu_features");
  TCase *t = tcase_create("features");
  tcase_set_timeout(t, 0);
  tcase_add_unchecked_fixture(t, set_up, tear_down);
  tcase_add_loop_test(t, right, 0, N_CASES);
  tcase_add_loop_test(t, hidden_tiles, 0, N_HIDDEN);
  tcase_add_loop_test(t, the_same_in_each_batch, 0, N_MIXES);
  tcase_add_test(t, others_without_the_flag);
  suite_add_tcase(s, t);
  t = tcase_create("busy");
  tcase_set_timeout(t, 0);
  tcase_add_loop_test(t, right_when_busy, 0, N_BUSY);
  suite_add_tcase(s, t);
  return s;
}

FL4_TEST_MAIN_CUDA(suite)

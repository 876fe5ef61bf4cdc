/* SPDX-License-Identifier: Apache-2.0 */
/* What is not dense attention, on the GPU, by the library's own choice and by each family: every feature, and many together. */
#include "feature_rig.h"
#include "gpu_test.h"

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

static Suite *suite(void)
{
  Suite *s = suite_create("gpu_features");
  TCase *t = tcase_create("features");
  tcase_set_timeout(t, 0);
  tcase_add_unchecked_fixture(t, set_up, tear_down);
  tcase_add_loop_test(t, right, 0, N_CASES);
  suite_add_tcase(s, t);
  return s;
}

FL4_TEST_MAIN_CUDA(suite)

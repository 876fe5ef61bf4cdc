/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fl4_tune() on a GPU that is made up: it finds the optimum that was planted, is not taken in by what is
 * fast and wrong or by noise, and lives through all that candidates do.
 */
#include "fake_tune.h"

/* ---------------------------------------------------------------- the optimum */

START_TEST(finds_the_planted)
{
  plant();
  options.budget = _i == 0 ? FL4_TUNE_EXHAUSTIVE : FL4_TUNE_PATIENT;
  if (_i == 2) options.max_evaluations = 400;
  ck_assert_fl4(tune());
  check_report();
  ck_assert_str_eq(report.variant, planted);
  ck_assert_str_eq(candidates[0].variant, planted);
  ck_assert_int_eq(report.improved, 1);
  ck_assert_double_eq_tol(report.best_us, 1000, 1e-9);
  ck_assert_double_eq_tol(report.against.ratio, report.best_us / report.default_us, 1e-9);
  ck_assert(report.against.n >= 100 && report.against.paired && report.against.high < 1);
  if (_i == 0) ck_assert_int_eq(report.n_candidates, report.space);
  if (_i == 0) ck_assert_int_eq(report.stop, FL4_TUNE_STOP_SPACE);
  ck_assert_int_eq(report.failed, 0);
  ck_assert_int_ge(candidates[0].samples, 100); /* the final's */
  ck_assert_int_eq(candidates[0].registers, 128);
  ck_assert_int_eq(candidates[0].spill_bytes, 4);
  ck_assert_int_gt(candidates[0].smem_bytes, 0);
  ck_assert(candidates[0].compile_ms == 7 && report.compile_seconds > 0.1);
  /* Far slower ones have few samples. */
  if (_i == 0) ck_assert_int_eq(candidates[report.n_candidates - 1].samples, 3);
}
END_TEST

/* Without a difference nothing changes, whatever noise says. */
START_TEST(null_mutation)
{
  int stayed = 0;
  options.max_evaluations = 20, options.strategy = "random";
  fake.noise = 0.03;
  for (uint64_t seed = 0; seed < 100; seed++) {
    options.seed = seed;
    fl4__random_init(&fake_random, seed);
    ck_assert_fl4(tune());
    check_report();
    stayed += !report.improved;
  }
  ck_assert_msg(stayed >= 95, "the built-in choice stayed in %d of 100", stayed);
}
END_TEST

/* With noise the winner is within 1 % of the optimum. */
START_TEST(noise)
{
  plant();
  fake.noise = 0.03;
  options.budget = FL4_TUNE_EXHAUSTIVE;
  fl4__random_init(&fake_random, (uint64_t)_i);
  options.seed = (uint64_t)_i;
  ck_assert_fl4(tune());
  check_report();
  fl4__variant v;
  ck_assert_fl4(fl4__variant_parse(report.variant, &v));
  ck_assert_msg(us_planted(&v) <= 1010, "%s takes %g", report.variant, us_planted(&v));
}
END_TEST

/* A gain below the threshold is none. */
static double us_small_gain(const fl4__variant *v)
{
  char text[FL4__VARIANT_TEXT];
  choice_text(text);
  fl4__variant choice;
  ck_assert_fl4(fl4__variant_parse(text, &choice));
  return memcmp(&choice, v, sizeof choice) == 0 ? 1000 : 980;
}

START_TEST(threshold)
{
  fake.us = us_small_gain;
  options.max_evaluations = 10;
  ck_assert_fl4(tune());
  ck_assert_int_eq(report.improved, 1);
  ck_assert_double_eq_tol(report.against.ratio, 0.98, 1e-9);
  options.threshold = 0.03;
  ck_assert_fl4(tune());
  check_report();
  ck_assert_int_eq(report.improved, 0);
  ck_assert_double_eq_tol(report.against.ratio, 0.98, 1e-9);
  ck_assert_double_eq_tol(report.best_us, 1000, 1e-9);
  ck_assert_double_eq_tol(report.default_us, 1000, 1e-9);
  ck_assert_double_eq_tol(candidates[0].p50, 980, 1e-9);
}
END_TEST

/* Of those that are as fast, within the threshold, the one that the caller wished for. */
static const char *const wish =
    "fwd_mma:bm=16,bn=16,warps=1,stages=2,qreg=0,slice=16,weave=0,kgroups=1,share=0,splits=1,ctas=2";

static double us_seed(const fl4__variant *v)
{
  char text[FL4__VARIANT_TEXT];
  fl4__variant_format(v, text);
  return strcmp(text, wish) == 0 ? 985 : us_small_gain(v);
}

START_TEST(seeds)
{
  const char *wishes[] = {wish, NULL};
  fake.us = us_seed;
  options.max_evaluations = 6, options.seeds = wishes;
  ck_assert_fl4(tune());
  check_report();
  ck_assert_str_eq(evaluation(1)->variant, wishes[0]);
  ck_assert_str_eq(report.variant, wishes[0]);
  ck_assert(candidates[0].p50 == 980 && report.best_us == 985);
  wishes[0] = "fwd_mma:stages=3"; /* the rest is chosen */
  ck_assert_fl4(tune());
  ck_assert_ptr_nonnull(strstr(evaluation(1)->variant, "stages=3"));

  wishes[0] = "fwd_mma:bm=33";
  ck_assert_fl4_fails(tune(), FL4_INVALID_ARGUMENT, "fl4_tune_options.seeds[0]");
  wishes[0] = "host";
  ck_assert_fl4_fails(tune(), FL4_INVALID_ARGUMENT, "must be of the family fwd_mma");
  wishes[0] = "fwd_mma:bm=16,warps=4,kgroups=1";
  ck_assert_fl4_fails(tune(), FL4_UNSUPPORTED, "is 4 rows a warp");
  const char *many[70];
  for (int i = 0; i < 70; i++) many[i] = planted;
  many[69] = NULL;
  options.seeds = many;
  ck_assert_fl4_fails(tune(), FL4_INVALID_ARGUMENT, "more than 64");
}
END_TEST

/* ---------------------------------------------------------------- fast and wrong */

static bool is_planted(const fl4__variant *v)
{
  return memcmp(v, &planted_variant, sizeof *v) == 0;
}

/* The planted one is ten times as fast as it should be, and wrong in one way or another. */
static double us_too_good(const fl4__variant *v)
{
  return is_planted(v) ? 100 : us_planted(v);
}

static bool wrong_always(const fl4__variant *v, const fl4_fwd_params *p)
{
  (void)p;
  return is_planted(v);
}

/* On inputs that bite alone: those of everyday are within ±6. */
static bool wrong_on_large(const fl4__variant *v, const fl4_fwd_params *p)
{
  bool large = false;
  for (int i = 0; i < 16; i++) large |= fabs((double)fl4__load((void *)(uintptr_t)p->q, FL4_DTYPE_FP16, i)) > 6;
  return large && is_planted(v);
}

static int launches_of_planted, right_for;

/* The first calls are right, timed ones are not. */
static bool wrong_later(const fl4__variant *v, const fl4_fwd_params *p)
{
  (void)p;
  return is_planted(v) && ++launches_of_planted > right_for;
}

START_TEST(wrong_never_wins)
{
  static bool (*const ways[])(const fl4__variant *, const fl4_fwd_params *) = {wrong_always, wrong_on_large,
                                                                               wrong_later};
  plant();
  right_for = 5;
  fake.us = us_too_good, fake.wrong = ways[_i];
  options.budget = FL4_TUNE_EXHAUSTIVE;
  ck_assert_fl4(tune());
  check_report();
  ck_assert_str_ne(report.variant, planted);
  ck_assert_double_eq_tol(report.best_us, 1050, 1e-9);
  const fl4_tune_candidate *c = candidate(planted);
  ck_assert_int_eq(c->invalidity, FL4_INVALIDITY_CORRECTNESS);
  ck_assert_ptr_nonnull(strstr(c->error, "wrong output"));
  ck_assert_int_eq(report.failed, 1);
  if (_i == 0) ck_assert(c->max_error > 1);
}
END_TEST

/* Wrong only after so many calls that the search takes it for the best: the final does not. */
START_TEST(wrong_in_the_final)
{
  plant();
  right_for = 250;
  fake.us = us_too_good, fake.wrong = wrong_later;
  options.budget = FL4_TUNE_EXHAUSTIVE;
  ck_assert_fl4(tune());
  check_report();
  ck_assert_int_eq(candidate(planted)->invalidity, FL4_INVALIDITY_CORRECTNESS);
  ck_assert(report.improved && strcmp(report.variant, planted) != 0);
  ck_assert_double_eq_tol(report.best_us, 1050, 1e-9);
}
END_TEST

/* A clock that errs once: what is much faster than all before is timed again. */
static int samples_of_planted;
static double us_glitch(const fl4__variant *v)
{
  if (!is_planted(v)) return 1000;
  return samples_of_planted++ < 25 ? 100 : 2000;
}

static double best_told;
static int listen_to_best(const fl4_tune_progress *p, void *user)
{
  (void)user;
  if (p->best) best_told = p->best->p50;
  return 0;
}

START_TEST(suspiciously_fast)
{
  plant();
  fake.us = us_glitch;
  const char *const wishes[] = {planted, NULL};
  options.max_evaluations = 2, options.seeds = wishes, options.progress = listen_to_best;
  ck_assert_fl4(tune());
  check_report();
  ck_assert_double_eq_tol(best_told, 1000, 1e-9); /* by the search alone */
  ck_assert_double_eq_tol(candidate(planted)->p50, 2000, 1e-9);
  ck_assert_int_eq(report.improved, 0);
}
END_TEST

/* The built-in choice itself. */
static bool wrong_choice(const fl4__variant *v, const fl4_fwd_params *p)
{
  (void)p;
  char text[FL4__VARIANT_TEXT], own[FL4__VARIANT_TEXT];
  choice_text(text);
  fl4__variant_format(v, own);
  return strcmp(text, own) == 0;
}

START_TEST(the_choice_is_wrong)
{
  plant();
  fake.wrong = wrong_choice;
  options.max_evaluations = 40;
  ck_assert_fl4(tune());
  check_report();
  ck_assert_int_eq(evaluation(0)->invalidity, FL4_INVALIDITY_CORRECTNESS);
  ck_assert_int_eq(report.improved, 1);
  ck_assert_str_eq(report.variant, candidates[0].variant);
  ck_assert(isnan(report.default_us) && report.best_us == candidates[0].p50 && report.against.n == 0);
}
END_TEST

static bool wrong_all(const fl4__variant *v, const fl4_fwd_params *p)
{
  (void)v, (void)p;
  return true;
}

START_TEST(all_are_wrong)
{
  fake.wrong = wrong_all;
  options.max_evaluations = 10;
  ck_assert_fl4(tune());
  check_report();
  ck_assert_int_eq(report.failed, 10);
  ck_assert(!report.improved && isnan(report.best_us) && isnan(report.default_us));
}
END_TEST

/* ---------------------------------------------------------------- failures */

/* Not the choice's, which has larger tiles. */
static fl4_status bn16_does_not_compile(const fl4__variant *v)
{
  return fl4__variant_get(v, "bn") == 16 ? fl4__fail(FL4_COMPILE_FAILED, "no 16 for me") : FL4_OK;
}

static fl4_status bn16_faults(const fl4__variant *v)
{
  return fl4__variant_get(v, "bn") == 16 ? fl4__fail(FL4_DEVICE_ERROR, "16 is a fault") : FL4_OK;
}

static fl4_status no_compiler(const fl4__variant *v)
{
  (void)v;
  return fl4__fail(FL4_LIBRARY_MISSING, "no NVRTC here");
}

static void check_16(fl4_invalidity how, const char *why)
{
  int n = 0;
  for (int64_t i = 0; i < report.n_candidates; i++) {
    const fl4_tune_candidate *c = &candidates[i];
    const bool is_16 = strstr(c->variant, "bn=16") != NULL;
    n += is_16;
    ck_assert_int_eq(c->invalidity, is_16 ? how : FL4_INVALIDITY_CORRECT);
    if (is_16) ck_assert_ptr_nonnull(strstr(c->error, why));
  }
  ck_assert_int_gt(n, 3);
  ck_assert_int_eq(report.failed, n);
}

START_TEST(compile_failures)
{
  plant();
  fake.build = bn16_does_not_compile;
  options.max_evaluations = 60, options.strategy = "random";
  ck_assert_fl4(tune());
  check_report();
  check_16(FL4_INVALIDITY_COMPILE, "no 16 for me");
  fake.build = no_compiler;
  fl4_context_destroy(&ctx);
  ctx = fake_context();
  ck_assert_fl4_fails(tune(), FL4_LIBRARY_MISSING, "no NVRTC here");
}
END_TEST

START_TEST(runtime_failures)
{
  plant();
  fake.launch = bn16_faults;
  options.max_evaluations = 60, options.strategy = "random";
  ck_assert_fl4(tune());
  check_report();
  check_16(FL4_INVALIDITY_RUNTIME, "16 is a fault");
}
END_TEST

static fl4_status bn16_kills(const fl4__variant *v)
{
  if (fl4__variant_get(v, "bn") != 16) return FL4_OK;
  fake.lost = true;
  return fl4__fail(FL4_DEVICE_ERROR, "16 is fatal");
}

START_TEST(a_lost_device_ends_the_run)
{
  fake.launch = bn16_kills;
  options.max_evaluations = 60, options.strategy = "random";
  ck_assert_fl4_fails(tune(), FL4_DEVICE_ERROR, "took the device with it: 16 is fatal");
}
END_TEST

static double us_slow_16(const fl4__variant *v)
{
  return fl4__variant_get(v, "bn") == 16 ? 16e3 : 1000;
}

START_TEST(far_too_slow)
{
  fake.us = us_slow_16;
  options.max_evaluations = 60, options.strategy = "random";
  ck_assert_fl4(tune());
  check_report();
  check_16(FL4_INVALIDITY_TIMEOUT, "a call takes 1.6e+04 us, the fastest so far 1000");
}
END_TEST

START_TEST(time_limit)
{
  fake.sample_us = 3000;
  options.max_evaluations = 3, options.time_limit = 1e-3;
  ck_assert_fl4(tune());
  check_report();
  ck_assert_int_eq(report.failed, 3);
  for (int i = 0; i < 3; i++) ck_assert_int_eq(candidates[i].invalidity, FL4_INVALIDITY_TIMEOUT);
  ck_assert_ptr_nonnull(strstr(candidates[0].error, "1 of 3 samples within 0.001 s"));
}
END_TEST

/* ---------------------------------------------------------------- the same code */

/* How the candidate would be launched. */
static fl4__geometry launch_of(const fl4_tune_candidate *c)
{
  fl4__problem p;
  fl4__variant v;
  fl4__geometry g;
  memset(&g, 0, sizeof g);
  ck_assert_fl4(fl4__problem_call(&problem, &p));
  ck_assert_fl4(fl4__variant_parse(c->variant, &v));
  v.family->geometry(&v, &p, &ctx->device->info, &g);
  return g;
}

/* Nobody who was timed has the code and the launch of another who was. */
START_TEST(same_code_is_timed_once)
{
  plant();
  fake.hash = fake_hash_of_few;
  options.budget = FL4_TUNE_EXHAUSTIVE;
  ck_assert_fl4(tune());
  check_report();
  static fl4__geometry launches[MOST];
  int64_t same = 0;
  for (int64_t i = 0; i < report.n_candidates; i++) {
    const fl4_tune_candidate *c = &candidates[i];
    same += c->same_as >= 0;
    launches[i] = launch_of(c);
    for (int64_t k = 0; k < i && c->same_as < 0; k++) {
      if (candidates[k].same_as >= 0 || candidates[k].kernel_hash != c->kernel_hash) continue;
      ck_assert_msg(memcmp(&launches[i], &launches[k], sizeof launches[i]) != 0, "%s is %s", c->variant,
                    candidates[k].variant);
    }
    if (c->same_as < 0) continue;
    const fl4_tune_candidate *as = evaluation(c->same_as);
    ck_assert(as->kernel_hash == c->kernel_hash && as->same_as < 0 && as->evaluation < c->evaluation);
    ck_assert(as->samples == c->samples && as->max_error == c->max_error);
  }
  ck_assert_int_gt(same, report.space / 4);
  ck_assert_int_eq(report.evaluations, report.space);
  ck_assert_int_eq(fake_builds, report.space);
}
END_TEST

/* Launched otherwise it is another thing: with a causal mask ctas decides how many heads are a section. */
START_TEST(same_code_launched_otherwise)
{
  const char *const wishes[] = {
      "fwd_mma:bm=16,bn=32,warps=1,stages=2,qreg=0,slice=32,weave=0,kgroups=1,share=0,splits=1,ctas=1",
      "fwd_mma:bm=16,bn=32,warps=1,stages=2,qreg=0,slice=32,weave=0,kgroups=1,share=0,splits=1,ctas=2", NULL};
  fake.hash = fake_hash_of_few;
  options.max_evaluations = 3, options.seeds = wishes;
  for (int causal = 0; causal < 2; causal++) {
    problem = problem_of(causal ? "hq8sq64d16:causal" : "hq8sq64d16");
    ck_assert_fl4(tune());
    const fl4_tune_candidate *one = candidate(wishes[0]), *two = candidate(wishes[1]);
    ck_assert(one->kernel_hash == two->kernel_hash && one->same_as == -1);
    ck_assert_int_eq(two->same_as, causal ? -1 : one->evaluation);
  }
}
END_TEST

/* ---------------------------------------------------------------- workspaces */

/* Calls that need a workspace are given one, in the search and in the final. */
START_TEST(workspaces)
{
  const char *const wishes[] = {planted, NULL};
  plant();
  options.max_evaluations = 2, options.seeds = wishes;
  ck_assert_fl4(tune());
  check_report();
  ck_assert(report.improved && candidate(planted)->samples >= 100);
  ck_assert_int_gt(fake_shared, 100);
  ck_assert_int_eq(fake_scratches, 0);
}
END_TEST

/* ---------------------------------------------------------------- two families */

static size_t known(void)
{
  return fl4_wisdom_count(ctx);
}

static double us_of_any(const fl4__variant *v)
{
  return 1000 + fake_hash_of(v) % 100;
}

/*
 * The family of the built-in choice is tuned, or the one that is named. Whether another family's best beats the choice is not
 * asked, so that it does not become wisdom.
 */
START_TEST(two_families)
{
  static const char *const families[] = {NULL, "fwd_wgmma", "fwd_mma"};
  fl4_context_destroy(&ctx);
  fake.sm = 90, fake.smem = 227 << 10, fake.us = us_of_any;
  ctx = fake_context();
  ck_assert_fl4(fl4_wisdom_forget(ctx));
  problem = problem_of("hq8sq200d64:causal");
  options.max_evaluations = 40, options.no_wisdom = 0, options.family = families[_i];
  ck_assert_fl4(tune());
  const char *family = _i == 2 ? "fwd_mma:" : "fwd_wgmma:";
  for (int i = 0; i < report.n_candidates; i++)
    ck_assert_msg(strncmp(candidates[i].variant, family, strlen(family)) == 0, "%s", candidates[i].variant);
  ck_assert(strncmp(report.variant, family, strlen(family)) == 0 && report.failed == 0);
  ck_assert_int_ge(report.n_candidates, 40);
  ck_assert_uint_eq(known(), _i == 2 ? 0 : 1);
  ck_assert_int_gt(atomic_load(&fake_shared), 0); /* blocks that share a workspace */
}
END_TEST

static Suite *make_suite(void)
{
  Suite *s = suite_create("tune_fake");
  TCase *tc = tcase_create("tune");
  tcase_add_checked_fixture(tc, setup, teardown);
  tcase_set_timeout(tc, 200);
  tcase_add_loop_test(tc, finds_the_planted, 0, 3);
  tcase_add_test(tc, null_mutation);
  tcase_add_loop_test(tc, noise, 0, 3);
  tcase_add_test(tc, threshold);
  tcase_add_test(tc, seeds);
  tcase_add_loop_test(tc, wrong_never_wins, 0, 3);
  tcase_add_test(tc, wrong_in_the_final);
  tcase_add_test(tc, suspiciously_fast);
  tcase_add_test(tc, the_choice_is_wrong);
  tcase_add_test(tc, all_are_wrong);
  tcase_add_test(tc, compile_failures);
  tcase_add_test(tc, runtime_failures);
  tcase_add_test(tc, a_lost_device_ends_the_run);
  tcase_add_test(tc, far_too_slow);
  tcase_add_test(tc, time_limit);
  tcase_add_test(tc, same_code_is_timed_once);
  tcase_add_test(tc, same_code_launched_otherwise);
  tcase_add_test(tc, workspaces);
  tcase_add_loop_test(tc, two_families, 0, 3);
  suite_add_tcase(s, tc);
  return s;
}

FL4_TEST_MAIN(make_suite)

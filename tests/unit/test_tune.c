/* SPDX-License-Identifier: Apache-2.0 */
/* fl4_tune() on the host, for real, and with arguments that are wrong; what it does to wisdom. */
#include "scratch.h"
#include "fake_gpu.h"
#include <flashl4/wisdom.h>

enum { MOST = 400 };

static fl4_context *ctx;
static fl4_problem problem;
static fl4_tune_options options;
static fl4_tune_report report;
static fl4_tune_candidate candidates[MOST];

static void clear_report(void)
{
  report = (fl4_tune_report)FL4_TUNE_REPORT_INIT;
  for (int i = 0; i < MOST; i++) candidates[i] = (fl4_tune_candidate)FL4_TUNE_CANDIDATE_INIT;
  report.candidates = candidates, report.candidates_size = MOST;
}

static void setup(void)
{
  scratch_setup();
  setenv("FLASHL4_WISDOM", "off", 1);
  fl4_context_options o = FL4_CONTEXT_OPTIONS_INIT;
  o.device = "host", o.threads = 1;
  ck_assert_fl4(fl4_context_create(&ctx, &o));
  problem = problem_of("hq2sq40d16:causal");
  options = (fl4_tune_options)FL4_TUNE_OPTIONS_INIT;
  options.max_evaluations = 4;
  clear_report();
}

static void teardown(void)
{
  fl4_context_destroy(&ctx);
  scratch_teardown();
}

static fl4_status tune(void)
{
  clear_report();
  return fl4_tune(ctx, &problem, &options, &report);
}

/* ---------------------------------------------------------------- for real */

START_TEST(all_of_a_space)
{
  options.max_evaluations = 0, options.budget = FL4_TUNE_EXHAUSTIVE;
  options.log = in_scratch("tune.log");
  ck_assert_fl4(tune());
  ck_assert(report.space == 8 && report.n_candidates == 8 && report.evaluations == 8 && report.resumed == 0);
  ck_assert_int_eq(report.stop, FL4_TUNE_STOP_SPACE);
  ck_assert_int_eq(report.failed, 0);
  ck_assert(report.seconds > 0 && report.compile_seconds == 0);
  for (int i = 0; i < 8; i++) {
    const fl4_tune_candidate *c = &candidates[i];
    fl4__variant v;
    ck_assert_fl4(fl4__variant_parse(c->variant, &v));
    ck_assert(c->invalidity == FL4_INVALIDITY_CORRECT && c->p50 > 0 && c->samples >= 3 && c->same_as == -1);
    ck_assert(c->max_error > 0 && c->max_error < 1e-2);
    if (i) ck_assert(c->p50 >= candidates[i - 1].p50);
    for (int k = 0; k < i; k++) ck_assert_str_ne(c->variant, candidates[k].variant);
  }
  ck_assert(report.against.n >= 6 && report.default_us > 0 && report.best_us > 0);
  const fl4_tune_candidate *choice = candidates;
  while (choice->evaluation != 0) choice++;
  ck_assert_int_eq(report.improved, strcmp(report.variant, choice->variant) != 0);
  if (report.improved) ck_assert(report.best_us < report.default_us && report.against.high < 1);

  /* Again, with what the log knows. */
  ck_assert_fl4(tune());
  ck_assert(report.evaluations == 0 && report.resumed == 8);

  /* What is chosen runs, and is right. */
  fl4_context *forced = NULL;
  fl4_context_options o = FL4_CONTEXT_OPTIONS_INIT;
  fl4_check_result result = FL4_CHECK_RESULT_INIT;
  o.device = "host", o.variant = report.variant;
  ck_assert_fl4(fl4_context_create(&forced, &o));
  ck_assert_fl4(fl4_check(forced, &problem, NULL, &result));
  ck_assert_int_eq(result.passed, 1);
  fl4_context_destroy(&forced);
}
END_TEST

START_TEST(strategies)
{
  static const char *const names[] = {NULL, "evolve", "exhaustive", "random", "genetic"};
  options.strategy = names[_i];
  ck_assert_fl4(tune());
  ck_assert(report.n_candidates == 4 && report.stop == FL4_TUNE_STOP_EVALUATIONS);
}
END_TEST

/* Sizes that the second inputs, of a smaller problem, must get along with. */
START_TEST(problems)
{
  static const char *const lines[] = {
      "hq1sq1sk1d8",  "b3hq6hkv3sq17d24:packed:bf16", "hq2sq9sk33d40:odd:lse:fp32", "hq12hkv1sq3sk800d8:causal",
      "hq1sq5sk0d16", "hq3sq800sk20d8:causal:bshd",
  };
  options.max_evaluations = 2, options.mode = FL4_BENCH_EAGER;
  problem = problem_of(lines[_i]);
  ck_assert_fl4(tune());
  ck_assert_int_eq(report.failed, 0);
}
END_TEST

/* A context's own variant does not matter: what is tuned is what runs without it. */
START_TEST(a_forced_context)
{
  fl4_context_options o = FL4_CONTEXT_OPTIONS_INIT;
  fl4_context_destroy(&ctx);
  o.device = "host", o.threads = 1, o.variant = "host:bm=4";
  ck_assert_fl4(fl4_context_create(&ctx, &o));
  options.max_evaluations = 1;
  ck_assert_fl4(tune());
  ck_assert_ptr_null(strstr(candidates[0].variant, "bm=4,"));
  ck_assert_str_eq(report.variant, candidates[0].variant);
}
END_TEST

/* The caller's array: none, too short, of structs that are longer or shorter than ours. */
START_TEST(arrays)
{
  report.candidates = NULL, report.candidates_size = 0;
  ck_assert_fl4(fl4_tune(ctx, &problem, &options, &report));
  ck_assert_int_eq(report.n_candidates, 4);

  clear_report();
  report.candidates_size = 2;
  ck_assert_fl4(fl4_tune(ctx, &problem, &options, &report));
  ck_assert_int_eq(report.n_candidates, 4);
  ck_assert(candidates[1].variant[0] != '\0' && candidates[2].variant[0] == '\0');
  ck_assert_ptr_eq(report.candidates, candidates);

  struct longer {
    fl4_tune_candidate c;
    uint64_t more[2];
  } longer[4];
  memset(longer, 0, sizeof longer);
  for (int i = 0; i < 4; i++) longer[i].c.struct_size = sizeof *longer;
  clear_report();
  report.candidates = &longer[0].c, report.candidates_size = 4;
  ck_assert_fl4(fl4_tune(ctx, &problem, &options, &report));
  for (int i = 0; i < 4; i++) {
    ck_assert(longer[i].c.struct_size == sizeof *longer && longer[i].more[0] == 0);
    ck_assert_int_gt((int)strlen(longer[i].c.variant), 6);
    if (i) ck_assert(longer[i].c.p50 >= longer[i - 1].c.p50);
  }
  clear_report();
  longer[2].c.struct_size = sizeof(fl4_tune_candidate);
  report.candidates = &longer[0].c, report.candidates_size = 4;
  ck_assert_fl4_fails(fl4_tune(ctx, &problem, &options, &report), FL4_INVALID_ARGUMENT, "as that of the first");
}
END_TEST

/* ---------------------------------------------------------------- wisdom */

static double us(const fl4__variant *v)
{
  return 1000 + (double)(fake_hash_of(v) >> 11 & 255);
}

START_TEST(wisdom)
{
  fl4_wisdom_entry entry = FL4_WISDOM_ENTRY_INIT;
  char learnt[128];
  fl4_context_destroy(&ctx);
  fake.us = us;
  ctx = fake_context();
  problem = problem_of("hq1sq20sk40d16");
  options.max_evaluations = 30, options.no_wisdom = 1;
  ck_assert_fl4(tune());
  ck_assert_int_eq(report.improved, 1);
  ck_assert_uint_eq(fl4_wisdom_count(ctx), 0);

  options.no_wisdom = 0;
  ck_assert_fl4(tune());
  ck_assert_uint_eq(fl4_wisdom_count(ctx), 1);
  ck_assert_fl4(fl4_wisdom_lookup(ctx, &problem, &entry));
  ck_assert_int_eq(entry.match, FL4_MATCH_EXACT);
  ck_assert_str_eq(entry.variant, report.variant);
  ck_assert_str_eq(entry.mode, "eager");
  ck_assert(entry.improved == 1 && entry.evaluations == 30 && entry.budget == FL4_TUNE_MEASURE);
  ck_assert(entry.p50_us == report.best_us && entry.default_us == report.default_us);
  ck_assert_uint_eq(entry.kernel_hash, candidates[0].kernel_hash);
  ck_assert_double_eq_tol(entry.max_error, candidates[0].max_error, 1e-8);
  ck_assert_int_eq(entry.nvrtc, 13000);
  strcpy(learnt, report.variant);

  /* What the neighbour taught is tried right after the built-in choice, which stays evaluation 0. */
  problem = problem_of("hq1sq20sk50d16");
  ck_assert_fl4(tune());
  const char *second = NULL, *first = NULL;
  for (int i = 0; i < 30; i++) {
    if (candidates[i].evaluation == 0) first = candidates[i].variant;
    if (candidates[i].evaluation == 1) second = candidates[i].variant;
  }
  ck_assert_str_eq(second, learnt);
  ck_assert_str_ne(first, learnt);

  /* A cancelled tuning teaches nothing, nor does one that tried nothing. */
  const size_t before = fl4_wisdom_count(ctx);
  problem = problem_of("hq3sq300d64");
  options.budget = FL4_TUNE_ESTIMATE, options.max_evaluations = 0;
  ck_assert_fl4(tune());
  ck_assert_uint_eq(fl4_wisdom_count(ctx), before);
}
END_TEST

/* ---------------------------------------------------------------- what is wrong */

static fl4_status tune_with(fl4_tune_options o)
{
  fl4_tuner *tuner = (fl4_tuner *)(void *)&o;
  const fl4_status status = fl4_tuner_create(ctx, &problem, &o, &tuner);
  if (status != FL4_OK) ck_assert_ptr_null(tuner);
  fl4_tuner_destroy(&tuner);
  if (status != FL4_OK) return fl4_tune(ctx, &problem, &o, &report);
  return status;
}

#define refuses(field, value, words)                                                                                   \
  do {                                                                                                                 \
    fl4_tune_options o_ = options;                                                                                     \
    o_.field = value;                                                                                                  \
    ck_assert_fl4_fails(tune_with(o_), FL4_INVALID_ARGUMENT, words);                                                   \
  } while (0)

START_TEST(wrong_options)
{
  refuses(budget, -1, "budget: is -1");
  refuses(budget, FL4_TUNE_BUDGET_COUNT, "budget");
  refuses(max_evaluations, -1, "max_evaluations");
  refuses(max_seconds, -1, "max_seconds");
  refuses(max_seconds, (double)NAN, "max_seconds");
  refuses(max_seconds, (double)INFINITY, "max_seconds");
  refuses(target_us, -1, "target_us");
  refuses(strategy, "luck", "strategy: is \"luck\", must be one of evolve exhaustive random genetic");
  refuses(family, "luck", "unknown family 'luck'");
  refuses(family, "host:bm=4", "is a variant");
  refuses(mode, FL4_BENCH_MODE_COUNT, "mode");
  refuses(mode, -1, "mode");
  refuses(cold, 2, "cold");
  refuses(inputs, FL4_INPUTS_COUNT, "inputs");
  refuses(compile_threads, -1, "compile_threads");
  refuses(compile_threads, 257, "compile_threads");
  refuses(time_limit, -1, "time_limit");
  refuses(threshold, -0.1, "threshold");
  refuses(threshold, 1, "threshold");
  refuses(no_wisdom, 2, "no_wisdom");
  refuses(reserved0, 1, "reserved0");
  refuses(reserved[2], 1, "reserved[2]");
  refuses(struct_size, 2, "struct_size");
  options.family = "fwd_mma";
  ck_assert_fl4_fails(tune(), FL4_UNSUPPORTED, "fl4_tune_options.family: variant fwd_mma");
  options.family = "host";
  ck_assert_fl4(tune());
}
END_TEST

START_TEST(wrong_arguments)
{
  fl4_tuner *tuner = NULL;
  int32_t done;
  ck_assert_fl4_fails(fl4_tune(NULL, &problem, NULL, &report), FL4_INVALID_ARGUMENT, "fl4_tune: ctx: is NULL");
  ck_assert_fl4_fails(fl4_tune(ctx, NULL, NULL, &report), FL4_INVALID_ARGUMENT, "fl4_tune: problem: is NULL");
  ck_assert_fl4_fails(fl4_tune(ctx, &problem, NULL, NULL), FL4_INVALID_ARGUMENT, "fl4_tune: report: is NULL");
  ck_assert_fl4_fails(fl4_tuner_create(NULL, &problem, NULL, &tuner), FL4_INVALID_ARGUMENT, "fl4_tuner_create: ctx");
  ck_assert_fl4_fails(fl4_tuner_create(ctx, NULL, NULL, &tuner), FL4_INVALID_ARGUMENT, "fl4_tuner_create: problem");
  ck_assert_fl4_fails(fl4_tuner_create(ctx, &problem, NULL, NULL), FL4_INVALID_ARGUMENT, "tuner: is NULL");
  ck_assert_fl4_fails(fl4_tune_step(NULL, &done), FL4_INVALID_ARGUMENT, "tuner: is NULL");
  ck_assert_fl4(fl4_tuner_create(ctx, &problem, &options, &tuner));
  ck_assert_fl4_fails(fl4_tune_step(tuner, NULL), FL4_INVALID_ARGUMENT, "done: is NULL");
  ck_assert_fl4_fails(fl4_tuner_finish(NULL, &report), FL4_INVALID_ARGUMENT, "tuner: is NULL");
  ck_assert_fl4_fails(fl4_tuner_finish(tuner, NULL), FL4_INVALID_ARGUMENT, "fl4_tuner_finish: report: is NULL");
  report.candidates_size = -1;
  ck_assert_fl4_fails(fl4_tuner_finish(tuner, &report), FL4_INVALID_ARGUMENT, "candidates_size: is -1");
  report.struct_size = 0;
  ck_assert_fl4_fails(fl4_tuner_finish(tuner, &report), FL4_INVALID_ARGUMENT, "fl4_tune_report.struct_size: is 0");
  clear_report();
  candidates[3].struct_size = 0;
  ck_assert_fl4_fails(fl4_tuner_finish(tuner, &report), FL4_INVALID_ARGUMENT, "fl4_tune_candidate.struct_size");
  fl4_tuner_destroy(&tuner);
}
END_TEST

START_TEST(wrong_problems)
{
  problem.Sq = 0;
  ck_assert_fl4_fails(tune(), FL4_INVALID_ARGUMENT, "has no query");
  problem.Sq = 40, problem.B = 0;
  ck_assert_fl4_fails(tune(), FL4_INVALID_ARGUMENT, "has no query");
  problem.B = 1, problem.Hkv = 7;
  ck_assert_fl4_fails(tune(), FL4_INVALID_ARGUMENT, "Hkv");
  problem.struct_size = 1;
  ck_assert_fl4_fails(tune(), FL4_INVALID_ARGUMENT, "struct_size");
}
END_TEST

START_TEST(nothing_to_time_with)
{
  fl4__backend backend = fl4__backend_host;
  backend.timing = NULL;
  ctx->device->backend = &backend;
  const fl4_status status = tune();
  ctx->device->backend = &fl4__backend_host;
  ck_assert_int_eq(status, FL4_UNSUPPORTED);
  ck_assert_ptr_nonnull(strstr(fl4_last_error(), "on which nothing can be timed"));
}
END_TEST

START_TEST(names)
{
  ck_assert_str_eq(fl4_tune_budget_name(FL4_TUNE_MEASURE), "measure");
  ck_assert_str_eq(fl4_tune_budget_name(FL4_TUNE_EXHAUSTIVE), "exhaustive");
  ck_assert_str_eq(fl4_tune_stop_name(FL4_TUNE_STOP_NONE), "not ended");
  ck_assert_str_eq(fl4_tune_stop_name(FL4_TUNE_STOP_STALE), "stale");
  ck_assert_str_eq(fl4_invalidity_name(FL4_INVALIDITY_CORRECT), "correct");
  ck_assert_str_eq(fl4_invalidity_name(FL4_INVALIDITY_CORRECTNESS), "correctness");
  for (int i = -1; i <= 8; i += 9) {
    ck_assert_ptr_null(fl4_tune_budget_name((fl4_tune_budget)i));
    ck_assert_ptr_null(fl4_tune_stop_name((fl4_tune_stop)i));
    ck_assert_ptr_null(fl4_invalidity_name((fl4_invalidity)i));
  }
  for (int i = 0; i < FL4_TUNE_BUDGET_COUNT; i++) ck_assert_ptr_nonnull(fl4_tune_budget_name((fl4_tune_budget)i));
  for (int i = 0; i < FL4_TUNE_STOP_COUNT; i++) ck_assert_ptr_nonnull(fl4_tune_stop_name((fl4_tune_stop)i));
  for (int i = 0; i < FL4_INVALIDITY_COUNT; i++) ck_assert_ptr_nonnull(fl4_invalidity_name((fl4_invalidity)i));
}
END_TEST

static Suite *make_suite(void)
{
  Suite *s = suite_create("tune");
  TCase *tc = tcase_create("tune");
  tcase_add_checked_fixture(tc, setup, teardown);
  tcase_set_timeout(tc, 100);
  tcase_add_test(tc, all_of_a_space);
  tcase_add_loop_test(tc, strategies, 0, 5);
  tcase_add_loop_test(tc, problems, 0, 6);
  tcase_add_test(tc, a_forced_context);
  tcase_add_test(tc, arrays);
  tcase_add_test(tc, wisdom);
  tcase_add_test(tc, wrong_options);
  tcase_add_test(tc, wrong_arguments);
  tcase_add_test(tc, wrong_problems);
  tcase_add_test(tc, nothing_to_time_with);
  tcase_add_test(tc, names);
  suite_add_tcase(s, tc);
  return s;
}

FL4_TEST_MAIN(make_suite)

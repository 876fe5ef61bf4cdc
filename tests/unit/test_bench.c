/* SPDX-License-Identifier: Apache-2.0 */
/* fl4_bench() for real, on the host device: with an honest clock, beside other builds of the library. */
#include <math.h>

#include "check_data.h"

#define OTHER(name) FL4_OTHER_BUILDS "/libfl4_" name ".so"

enum { MAX = 8 };

static fl4_context *ctx;
static fl4_bench_contender contenders[MAX];
static fl4_bench_options options;
static fl4_bench_result results[MAX];

static void defaults(void)
{
  options = (fl4_bench_options)FL4_BENCH_OPTIONS_INIT;
  options.max_seconds = 0.2, options.warmup_seconds = 0.005;
  options.contenders = contenders;
  for (int i = 0; i < MAX; i++) {
    contenders[i] = (fl4_bench_contender)FL4_BENCH_CONTENDER_INIT;
    results[i] = (fl4_bench_result)FL4_BENCH_RESULT_INIT;
  }
}

static void setup(void)
{
  fl4_context_options o = FL4_CONTEXT_OPTIONS_INIT;
  o.device = "host", o.threads = 1;
  ck_assert_fl4(fl4_context_create(&ctx, &o));
  defaults();
}

static void teardown(void)
{
  fl4_context_destroy(&ctx);
}

static fl4_status bench(const char *line)
{
  const fl4_problem p = problem_of(line);
  return fl4_bench(ctx, &p, 1, &options, results);
}

static void assert_timed(const fl4_bench_result *r)
{
  ck_assert_msg(r->status == FL4_OK, "%s: %s: %s", r->name, fl4_status_name((fl4_status)r->status), r->error);
  ck_assert_int_eq(r->checked, 1);
  ck_assert_str_eq(r->error, "");
  ck_assert_int_gt(r->stats.n, 5);
  ck_assert(r->stats.min > 0 && r->stats.min <= r->stats.p50 && r->stats.p50 <= r->stats.max);
  ck_assert(r->stats.p50_low <= r->stats.p50 && r->stats.p50 <= r->stats.p50_high);
  ck_assert(r->tflops > 0 && r->gbps > 0 && r->seconds > 0);
  ck_assert(r->stop > FL4_BENCH_STOP_NONE && r->stop < FL4_BENCH_STOP_CANCELLED);
  ck_assert(r->calls >= 1 && r->copies >= 1 && r->copies <= r->calls);
  ck_assert(r->max_error <= r->max_allowed);
}

static void assert_not_timed(const fl4_bench_result *r, fl4_status status, const char *words)
{
  ck_assert_msg(r->status == status, "%s: %s: %s", r->name, fl4_status_name((fl4_status)r->status), r->error);
  ck_assert_msg(strstr(r->error, words) != NULL, "%s: \"%s\" does not say \"%s\"", r->name, r->error, words);
  ck_assert_int_eq(r->checked, 0);
  ck_assert_int_eq(r->stats.n, 0);
  ck_assert_int_eq(r->against.n, 0);
  ck_assert_int_eq(r->stop, FL4_BENCH_STOP_NONE);
  const double unknown[] = {r->stats.p50,      r->stats.mean,   r->stats.min, r->stats.p50_low,
                            r->against.ratio,  r->against.low,  r->tflops,    r->gbps,
                            r->percent_matrix, r->percent_read, r->seconds};
  for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++) ck_assert_msg(isnan(unknown[i]), "number %zu", i);
}

/* ---------------------------------------------------------------- what a result says */

START_TEST(a_result_is_complete)
{
  static double samples[20000];
  results[0].samples = samples, results[0].samples_size = 20000;
  ck_assert_fl4(bench("hq4hkv2sq64d64:causal:lse"));
  const fl4_bench_result *r = &results[0];
  assert_timed(r);
  ck_assert_str_eq(r->name, "default");
  ck_assert_int_eq(strncmp(r->variant, "host:bm=", 8), 0);
  ck_assert_str_eq(r->library, fl4_version_string());
  ck_assert_str_eq(r->oracle, "fp64");
  ck_assert(r->kernel_hash != 0 && r->blocks > 0);
  ck_assert_int_eq(r->mode, FL4_BENCH_EAGER);
  ck_assert_int_eq(r->cold, 0);
  ck_assert_int_eq(r->copies, 3);
  ck_assert_int_eq(r->calls % 3, 0);
  ck_assert_int_eq(r->against.n, 0);
  ck_assert(isnan(r->against.ratio) && isnan(r->percent_matrix) && isnan(r->percent_read));
  const fl4_problem p = problem_of("hq4hkv2sq64d64:causal:lse");
  ck_assert_double_eq_tol(r->tflops * r->stats.p50, fl4_problem_flops(&p) * 1e-6, 1e-9);
  ck_assert_double_eq_tol(r->gbps * r->stats.p50, fl4_problem_bytes(&p) * 1e-3, 1e-6);
  /* A sample is long enough for the clock, if not for a machine that does other things as well. */
  ck_assert_double_gt(r->stats.max * r->calls, 100);
  ck_assert_int_eq(r->before.throttle_reasons, -1);
  ck_assert_str_eq(r->after.driver, "unknown");

  /* The samples are those of the statistics. */
  fl4_statistics again = FL4_STATISTICS_INIT;
  ck_assert_ptr_eq(r->samples, samples);
  ck_assert_fl4(fl4_statistics_compute(samples, r->stats.n, &again));
  ck_assert_mem_eq(&again, &r->stats, sizeof again);
  ck_assert_double_eq(samples[r->stats.n], 0);
}
END_TEST

START_TEST(cold_and_warm)
{
  options.cold = 1, options.max_seconds = 0.5;
  ck_assert_fl4(bench("hq1sq16d16"));
  assert_timed(&results[0]);
  ck_assert_int_eq(results[0].cold, 1);
  ck_assert_int_eq(results[0].calls, 1);
  ck_assert_int_eq(results[0].copies, 1);
}
END_TEST

/* The CPU has no graphs and no events: whatever is asked for, the result says what was done. */
START_TEST(modes)
{
  options.mode = _i;
  ck_assert_fl4(bench("hq1sq16d16"));
  assert_timed(&results[0]);
  ck_assert_int_eq(results[0].mode, FL4_BENCH_EAGER);
}
END_TEST

START_TEST(every_kind_of_input)
{
  options.inputs = _i;
  options.max_seconds = 0.05;
  ck_assert_fl4(bench("hq4sq32d32:bf16:causal:lse:packed"));
  assert_timed(&results[0]);
}
END_TEST

START_TEST(problems_in_turn)
{
  fl4_problem problems[3] = {problem_of("hq1sq16d16"), problem_of("hq2sq9sk40d24:fp32:lse:odd"),
                             problem_of("b2hq2sq20d16:bshd")};
  fl4_bench_result own[6];
  for (int i = 0; i < 6; i++) own[i] = (fl4_bench_result)FL4_BENCH_RESULT_INIT;
  options.n_contenders = 2, options.max_seconds = 0.05;
  contenders[1].variant = "host:bm=4";
  ck_assert_fl4(fl4_bench(ctx, problems, 3, &options, own));
  for (int i = 0; i < 6; i++) {
    assert_timed(&own[i]);
    ck_assert_str_eq(own[i].name, i % 2 ? "host:bm=4" : "default");
    ck_assert_int_eq(own[i].against.n, i % 2 ? own[i].stats.n : 0);
  }
}
END_TEST

/* A program that was built with larger structs, of which this library knows the beginning. */
START_TEST(structs_of_another_size)
{
  struct {
    fl4_problem problem;
    uint64_t more[3];
  } problems[2];
  struct {
    fl4_bench_contender contender;
    uint64_t more;
  } larger[2];
  struct {
    fl4_bench_result result;
    uint64_t more[5];
  } own[4];
  memset(problems, 0, sizeof problems);
  memset(larger, 0, sizeof larger);
  memset(own, 0, sizeof own);
  problems[0].problem = problem_of("hq1sq16d16");
  problems[1].problem = problem_of("hq1sq24d16");
  for (int i = 0; i < 2; i++) {
    problems[i].problem.struct_size = sizeof *problems;
    larger[i].contender.struct_size = sizeof *larger;
  }
  for (int i = 0; i < 4; i++) own[i].result.struct_size = sizeof *own;
  larger[1].contender.variant = "host:bm=4";
  options.n_contenders = 2, options.contenders = &larger[0].contender, options.max_seconds = 0.05;
  ck_assert_fl4(fl4_bench(ctx, &problems[0].problem, 2, &options, &own[0].result));
  for (int i = 0; i < 4; i++) {
    assert_timed(&own[i].result);
    ck_assert_str_eq(own[i].result.name, i % 2 ? "host:bm=4" : "default");
    ck_assert_uint_eq(own[i].result.struct_size, sizeof *own);
    ck_assert_uint_eq(own[i].more[0], 0);
  }
  problems[1].more[1] = 1;
  ck_assert_fl4_fails(fl4_bench(ctx, &problems[0].problem, 2, &options, &own[0].result), FL4_INVALID_ARGUMENT,
                      "too old to know it");
}
END_TEST

/* ---------------------------------------------------------------- contenders */

START_TEST(slow_is_slower)
{
  options.n_contenders = 2, options.max_seconds = 0.4;
  contenders[1].library = OTHER("slow");
  ck_assert_fl4(bench("hq4sq128d64"));
  assert_timed(&results[0]);
  assert_timed(&results[1]);
  ck_assert_str_eq(results[1].library, fl4_version_string());
  const fl4_comparison *c = &results[1].against;
  ck_assert_msg(c->verdict == FL4_VERDICT_SLOWER, "%s: %g (%g to %g)", fl4_verdict_name((fl4_verdict)c->verdict),
                c->ratio, c->low, c->high);
  ck_assert(c->paired && c->n == results[0].stats.n && c->n == results[1].stats.n);
  ck_assert(c->low > 1.2 && c->low <= c->ratio && c->ratio <= c->high && c->ratio < 4);
  ck_assert(c->p_adjusted < 0.01);
}
END_TEST

/* On a machine that is busy with other things; a tenth is far above what placement of memory makes. */
START_TEST(the_same_is_neither_faster_nor_slower)
{
  fl4_compare_options compare = FL4_COMPARE_OPTIONS_INIT;
  compare.threshold = 0.1;
  options.compare = &compare;
  options.n_contenders = 3, options.max_seconds = 0.3;
  contenders[1].library = FL4_THIS_BUILD;
  contenders[2].name = "default";
  ck_assert_fl4(bench("hq4sq128d64"));
  ck_assert_str_eq(results[2].name, "default 2");
  ck_assert_int_eq(strncmp(results[1].name, "library ", 8), 0);
  for (int i = 0; i < 3; i++) {
    assert_timed(&results[i]);
    const fl4_comparison *c = &results[i].against;
    ck_assert_msg(c->verdict == FL4_VERDICT_SAME || c->verdict == FL4_VERDICT_AMBIGUOUS, "%s: %s, %g (%g to %g)",
                  results[i].name, fl4_verdict_name((fl4_verdict)c->verdict), c->ratio, c->low, c->high);
    ck_assert_uint_eq(results[i].kernel_hash, results[0].kernel_hash);
  }
  ck_assert_double_eq(results[1].against.threshold, 0.1);
}
END_TEST

START_TEST(wrong_is_not_timed)
{
  static double samples[100];
  for (int i = 0; i < 100; i++) samples[i] = -1;
  options.n_contenders = 3;
  contenders[1].library = OTHER("wrong");
  contenders[2].variant = "host:bm=4";
  results[1].samples = samples, results[1].samples_size = 100;
  ck_assert_fl4(bench(_i ? "hq2sq40d16:fp32:lse" : "hq2sq40d16"));
  assert_timed(&results[0]);
  assert_not_timed(&results[1], FL4_WRONG_OUTPUT, "wrong output: max error ");
  ck_assert_ptr_nonnull(strstr(results[1].error, "allowed "));
  ck_assert_ptr_nonnull(strstr(results[1].error, "before timing"));
  ck_assert(results[1].max_error > results[1].max_allowed);
  for (int i = 0; i < 100; i++) ck_assert_double_eq(samples[i], -1);
  assert_timed(&results[2]); /* its array does not count either */
  ck_assert_int_gt(results[2].against.n, 0);
}
END_TEST

static const char *const later[] = {OTHER("late_wrong"), OTHER("lazy")};

/* Also what goes wrong by leaving the results of earlier calls where they are. */
START_TEST(what_goes_wrong_later_is_found)
{
  static double samples[10000];
  options.n_contenders = 2;
  options.copies = 1; /* one call before timing */
  contenders[1].library = later[_i];
  results[1].samples = samples, results[1].samples_size = 10000;
  ck_assert_fl4(bench("hq2sq40d16"));
  assert_timed(&results[0]);
  assert_not_timed(&results[1], FL4_WRONG_OUTPUT, _i ? "wrong output: NaN" : "wrong output: max error ");
  ck_assert_ptr_nonnull(strstr(results[1].error, "after timing"));
  ck_assert(results[1].max_error <= results[1].max_allowed); /* so it was, before */
  for (int i = 0; i < 10000; i++) ck_assert_double_eq(samples[i], 0);
}
END_TEST

START_TEST(without_a_first_there_is_no_comparison)
{
  options.n_contenders = 3;
  contenders[0].library = OTHER("wrong");
  ck_assert_fl4(bench("hq2sq40d16"));
  assert_not_timed(&results[0], FL4_WRONG_OUTPUT, "wrong output");
  for (int i = 1; i < 3; i++) {
    assert_timed(&results[i]);
    ck_assert_int_eq(results[i].against.n, 0);
  }
}
END_TEST

START_TEST(host_and_oracle)
{
  options.n_contenders = 3, options.max_seconds = 0.5;
  contenders[1].device = "host";
  contenders[2].kind = FL4_CONTENDER_ORACLE;
  ck_assert_fl4(bench("b2hq2sq40sk30d32:causal:lse:bshd"));
  for (int i = 0; i < 3; i++) assert_timed(&results[i]);
  ck_assert_str_eq(results[1].name, "host");
  ck_assert_str_eq(results[2].name, "oracle");
  ck_assert_str_eq(results[2].variant, "fp64");
  ck_assert_int_eq(results[2].against.verdict, FL4_VERDICT_SLOWER);
}
END_TEST

START_TEST(who_cannot_run_it_stands_aside)
{
  options.n_contenders = 2;
  contenders[1].variant = "fwd_mma:bm=64";
  ck_assert_fl4(bench("hq2sq40d16"));
  assert_timed(&results[0]);
  assert_not_timed(&results[1], FL4_UNSUPPORTED, "fwd_mma");
  ck_assert_str_eq(results[1].variant, "");
  ck_assert(isnan(results[1].max_error));
}
END_TEST

START_TEST(no_work_at_all)
{
  options.n_contenders = 2;
  ck_assert_fl4(bench(_i ? "b0hq2sq5d16:lse" : "hq2sq0sk5d16"));
  for (int i = 0; i < 2; i++) {
    ck_assert_msg(results[i].status == FL4_OK, "%s", results[i].error);
    ck_assert_int_eq(results[i].checked, 1);
    ck_assert_double_eq(results[i].tflops, 0);
  }
}
END_TEST

START_TEST(an_oracle_that_is_not_there)
{
  options.oracle = FL4_ORACLE_CUBLAS;
  ck_assert_fl4(bench("hq2sq40d16"));
  assert_not_timed(&results[0], FL4_UNSUPPORTED, "CUDA");
}
END_TEST

/* ---------------------------------------------------------------- what is refused */

START_TEST(arguments_are_checked)
{
  const fl4_problem p = problem_of("hq1sq8d8");
  fl4_problem two[2] = {p, p};
  fl4_bench_options plain = FL4_BENCH_OPTIONS_INIT;
  ck_assert_fl4_fails(fl4_bench(NULL, &p, 1, &plain, results), FL4_INVALID_ARGUMENT, "fl4_bench: ctx: is NULL");
  ck_assert_fl4_fails(fl4_bench(ctx, NULL, 1, &plain, results), FL4_INVALID_ARGUMENT, "fl4_bench: problems: is NULL");
  ck_assert_fl4_fails(fl4_bench(ctx, &p, 1, &plain, NULL), FL4_INVALID_ARGUMENT, "fl4_bench: results: is NULL");
  ck_assert_fl4_fails(fl4_bench(ctx, &p, 0, &plain, results), FL4_INVALID_ARGUMENT, "n_problems: is 0");
  ck_assert_fl4_fails(fl4_bench(ctx, &p, -5, &plain, results), FL4_INVALID_ARGUMENT, "n_problems: is -5");

  two[1].D = 7;
  ck_assert_fl4_fails(fl4_bench(ctx, two, 2, &plain, results), FL4_INVALID_ARGUMENT, "problem 1: fl4_problem.D: is 7");
  two[1].D = 8, two[1].struct_size -= 8;
  ck_assert_fl4_fails(fl4_bench(ctx, two, 2, &plain, results), FL4_INVALID_ARGUMENT, "fl4_problem 1: struct_size is ");
  two[0].struct_size = 0;
  ck_assert_fl4_fails(fl4_bench(ctx, two, 2, &plain, results), FL4_INVALID_ARGUMENT, "fl4_problem.struct_size: is 0");

  two[0] = two[1] = p;
  results[1].struct_size = 99;
  ck_assert_fl4_fails(fl4_bench(ctx, two, 2, &plain, results), FL4_INVALID_ARGUMENT,
                      "fl4_bench_result 1: struct_size is 99");
  results[0].struct_size = 0;
  ck_assert_fl4_fails(fl4_bench(ctx, two, 2, &plain, results), FL4_INVALID_ARGUMENT, "fl4_bench_result.struct_size");
  defaults();
  double sample;
  results[0].samples = &sample;
  ck_assert_fl4_fails(fl4_bench(ctx, &p, 1, &plain, results), FL4_INVALID_ARGUMENT, "samples_size is 0");
}
END_TEST

START_TEST(options_are_checked)
{
  fl4_limits limits = FL4_LIMITS_INIT;
  fl4_compare_options compare = FL4_COMPARE_OPTIONS_INIT;
  const fl4_problem p = problem_of("hq1sq8d8");
#define REFUSES(change, words)                                                                                         \
  do {                                                                                                                 \
    fl4_bench_options o = FL4_BENCH_OPTIONS_INIT;                                                                      \
    change;                                                                                                            \
    ck_assert_fl4_fails(fl4_bench(ctx, &p, 1, &o, results), FL4_INVALID_ARGUMENT, words);                              \
  } while (0)
  REFUSES(o.struct_size = 3, "fl4_bench_options.struct_size");
  REFUSES(o.mode = FL4_BENCH_MODE_COUNT, "fl4_bench_options.mode: is 4, must be from 0 to 3");
  REFUSES(o.mode = -1, "fl4_bench_options.mode: is -1");
  REFUSES(o.cold = 2, "fl4_bench_options.cold: is 2, must be from 0 to 1");
  REFUSES(o.inputs = FL4_INPUTS_COUNT, "fl4_bench_options.inputs: is ");
  REFUSES(o.copies = 65, "fl4_bench_options.copies: is 65, must be from 0 to 64");
  REFUSES(o.copies = -1, "fl4_bench_options.copies: is -1");
  REFUSES(o.precision = 1, "fl4_bench_options.precision: is 1, must be between 0 and 1");
  REFUSES(o.precision = -0.1, "fl4_bench_options.precision: is -0.1");
  REFUSES(o.precision = (double)NAN, "fl4_bench_options.precision: is nan");
  REFUSES(o.warmup_seconds = -1, "fl4_bench_options.warmup_seconds: is -1");
  REFUSES(o.warmup_seconds = (double)INFINITY, "fl4_bench_options.warmup_seconds: is inf");
  REFUSES(o.max_seconds = -2, "fl4_bench_options.max_seconds: is -2");
  REFUSES(o.max_seconds = (double)INFINITY, "fl4_bench_options.max_seconds: is inf");
  REFUSES(o.min_samples = -1, "fl4_bench_options.min_samples: is -1");
  REFUSES(o.max_samples = -1, "fl4_bench_options.max_samples: is -1");
  REFUSES((o.min_samples = 11, o.max_samples = 10), "min_samples: is 11, must not be above max_samples, 10");
  REFUSES(o.oracle = 3, "fl4_bench_options.oracle: is 3");
  REFUSES(o.n_contenders = 33, "fl4_bench_options.n_contenders: is 33, must be from 0 to 32");
  REFUSES(o.n_contenders = -1, "fl4_bench_options.n_contenders: is -1");
  REFUSES(o.n_contenders = 2, "fl4_bench_options.contenders: is NULL, must point to 2 contenders");
  REFUSES(o.reserved[2] = 7, "fl4_bench_options.reserved[2]: is 7");
  REFUSES((limits.read_gbps = -1, o.limits = &limits), "fl4_limits.read_gbps: is -1");
  REFUSES((limits.struct_size = 1, o.limits = &limits), "fl4_limits.struct_size");
  REFUSES((compare.threshold = -1, o.compare = &compare), "threshold: is -1");
  REFUSES((compare.struct_size = 1, o.compare = &compare), "fl4_compare_options.struct_size");
  /* Of contenders. */
  REFUSES((o.n_contenders = 2, o.contenders = contenders, contenders[1].kind = 9), "fl4_bench: contender 1: ");
  REFUSES((o.n_contenders = 2, o.contenders = contenders, contenders[1].struct_size = 32),
          "fl4_bench_contender 1: struct_size is 32");
  REFUSES((o.n_contenders = 2, o.contenders = contenders, contenders[0].struct_size = 0),
          "fl4_bench_contender.struct_size");
#undef REFUSES
  defaults();
  options.n_contenders = 2;
  contenders[1].library = "/nowhere/libflashl4.so";
  ck_assert_fl4_fails(bench("hq1sq8d8"), FL4_LIBRARY_MISSING, "fl4_bench: contender 1: ");
  contenders[1].library = NULL, contenders[1].device = "host:3";
  ck_assert_fl4_fails(bench("hq1sq8d8"), FL4_NO_DEVICE, "fl4_bench: contender 1: ");
}
END_TEST

static Suite *suite(void)
{
  Suite *s = suite_create("bench");
  TCase *t = tcase_create("host");
  tcase_add_checked_fixture(t, setup, teardown);
  tcase_set_timeout(t, 60);
  tcase_add_test(t, a_result_is_complete);
  tcase_add_test(t, cold_and_warm);
  tcase_add_loop_test(t, modes, 0, FL4_BENCH_MODE_COUNT);
  tcase_add_loop_test(t, every_kind_of_input, 0, FL4_INPUTS_COUNT);
  tcase_add_test(t, problems_in_turn);
  tcase_add_test(t, structs_of_another_size);
  tcase_add_test(t, slow_is_slower);
  tcase_add_test(t, the_same_is_neither_faster_nor_slower);
  tcase_add_loop_test(t, wrong_is_not_timed, 0, 2);
  tcase_add_loop_test(t, what_goes_wrong_later_is_found, 0, 2);
  tcase_add_test(t, without_a_first_there_is_no_comparison);
  tcase_add_test(t, host_and_oracle);
  tcase_add_test(t, who_cannot_run_it_stands_aside);
  tcase_add_loop_test(t, no_work_at_all, 0, 2);
  tcase_add_test(t, an_oracle_that_is_not_there);
  tcase_add_test(t, arguments_are_checked);
  tcase_add_test(t, options_are_checked);
  suite_add_tcase(s, t);
  return s;
}

FL4_TEST_MAIN(suite)

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fl4_bench() with a clock that says what the test wants, on a device that fails when the test wants:
 * the calls of a sample, the figures, the reasons to stop, failures on the way, progress.
 */
#include <math.h>
#include <unistd.h>

#include "bench/run.h"
#include "check_data.h"
#include "error.h"

enum { MAX = 4, LOG = 4000 };

/* The clock: by contender, in the order in which timers were first opened or samples first taken. */
static double us_of[MAX];   /* of a call */
static double jitter;       /* every other sample takes so much longer, relative */
static int fail_after[MAX]; /* samples of a contender that go well; 0: all do */
static fl4_status fail_with;
static fl4_status open_fails; /* for contender 1 */
static bool device_lost;
static size_t device_memory; /* largest allocation that works; 0: all do */
static int allocations_left; /* of the device; negative: any number */
static fl4_bench_mode mode_asked, mode_used;
static bool cold_asked, waits;
static int n_samples[MAX], calls_of[MAX];
static int order[LOG], n_order; /* who was sampled */
static int64_t throttle[] = {0, 4, 0, 64, 0}, looks;
static int sample_ms;

struct fl4__timer {
  const fl4__work *work;
};

static int number_of(const fl4__work *work)
{
  const fl4__entrant *e = work->user;
  return (int)(e->contender - e->bench->contenders);
}

static fl4_status open_timer(fl4__device *device, const fl4__work *work, fl4_bench_mode mode, bool cold,
                             fl4_bench_mode *used, fl4__timer **timer)
{
  (void)device;
  mode_asked = mode, cold_asked = cold, waits = work->waits;
  *used = mode_used ? mode_used : mode;
  if (open_fails && number_of(work) == 1) return fl4__fail(open_fails, "no clock to be had");
  *timer = malloc(sizeof **timer);
  (*timer)->work = work;
  return FL4_OK;
}

static fl4_status take_sample(fl4__timer *timer, double *us)
{
  const fl4__work *work = timer->work;
  const int who = number_of(work);
  if (n_order < LOG) order[n_order++] = who;
  calls_of[who] = work->calls;
  n_samples[who]++;
  if (fail_after[who] && n_samples[who] > fail_after[who]) return fl4__fail(fail_with, "sample %d", n_samples[who]);
  for (int i = 0; i < work->calls; i++) FL4_TRY(work->run(work->user, i, NULL));
  if (sample_ms) usleep(1000u * (unsigned)sample_ms);
  *us = us_of[who] * (n_samples[who] % 2 ? 1 : 1 + jitter);
  return FL4_OK;
}

static void close_timer(fl4__timer *timer)
{
  free(timer);
}

static void health(fl4__device *device, fl4_device_health *out)
{
  (void)device;
  fl4__health_unknown(out);
  out->sm_clock_mhz = 1000 + (int)looks;
  out->throttle_reasons = throttle[looks < 4 ? looks : 4];
  looks++;
}

static const fl4__timing timing = {open_timer, take_sample, close_timer, NULL, health};

static fl4_status synchronize(fl4__device *device)
{
  (void)device;
  return device_lost ? fl4__fail(FL4_DEVICE_ERROR, "the device is gone") : FL4_OK;
}

static fl4_status allocate(fl4__device *device, size_t bytes, void **memory)
{
  *memory = NULL;
  if ((device_memory && bytes > device_memory) || allocations_left == 0)
    return fl4__fail(FL4_OUT_OF_MEMORY, "the device has no memory for %zu bytes", bytes);
  if (allocations_left > 0) allocations_left--;
  return fl4__backend_host.alloc(device, bytes, memory);
}

static fl4_context *ctx;
static fl4__backend backend;
static fl4_bench_contender contenders[MAX];
static fl4_bench_options options;
static fl4_bench_result results[2 * MAX];

/* For children of Check, one a test: nothing has to be put back. */
static void setup(void)
{
  fl4_context_options o = FL4_CONTEXT_OPTIONS_INIT;
  o.device = "host", o.threads = 1;
  ck_assert_fl4(fl4_context_create(&ctx, &o));
  backend = fl4__backend_host;
  backend.timing = &timing, backend.synchronize = synchronize, backend.alloc = allocate;
  ctx->device->backend = &backend;
  options = (fl4_bench_options)FL4_BENCH_OPTIONS_INIT;
  options.warmup_seconds = 1e-6;
  options.contenders = contenders;
  allocations_left = -1;
  for (int i = 0; i < MAX; i++) {
    us_of[i] = 100;
    contenders[i] = (fl4_bench_contender)FL4_BENCH_CONTENDER_INIT;
  }
  for (int i = 0; i < 2 * MAX; i++) results[i] = (fl4_bench_result)FL4_BENCH_RESULT_INIT;
}

static void teardown(void)
{
  ctx->device->backend = &fl4__backend_host;
  fl4_context_destroy(&ctx);
}

static const char *const line = "hq2sq24d16:causal:lse";

static fl4_status bench(void)
{
  const fl4_problem p = problem_of(line);
  return fl4_bench(ctx, &p, 1, &options, results);
}

/* ---------------------------------------------------------------- samples */

START_TEST(calls_of_a_sample)
{
  static const struct {
    double us;
    int copies, calls, used;
  } cases[] = {
      {7, 0, 30, 3}, /* 200 µs are 28.6 calls, and three sets take turns */
      {7, 1, 29, 1},   {7, 64, 64, 64},  {0.1, 0, 198, 3}, {0.1, 64, 192, 64},
      {0, 1, 200, 1},  {150, 0, 3, 3},   {3300, 0, 3, 3},  {3400, 0, 1, 1}, /* three of them would be more than 10 ms */
      {3400, 2, 2, 2}, {50000, 0, 1, 1},
  };
  options.max_samples = options.min_samples = 6;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    us_of[0] = cases[i].us, options.copies = cases[i].copies;
    ck_assert_fl4(bench());
    ck_assert_msg(results[0].calls == cases[i].calls && results[0].copies == cases[i].used,
                  "%g us, %d copies: %d calls of %d sets", cases[i].us, cases[i].copies, results[0].calls,
                  results[0].copies);
    ck_assert_int_eq(calls_of[0], cases[i].calls);
    ck_assert_int_eq(results[0].checked, 1);
  }
}
END_TEST

START_TEST(figures)
{
  fl4_limits limits = FL4_LIMITS_INIT;
  limits.mma_tflops = 0.001, limits.gemm_tflops = 0.002, limits.read_gbps = 0.5;
  options.limits = &limits;
  ck_assert_fl4(bench());
  const fl4_problem p = problem_of(line);
  const fl4_bench_result *r = &results[0];
  ck_assert_double_eq(r->stats.p50, 100);
  ck_assert_double_eq_tol(r->tflops, fl4_problem_flops(&p) / 100e-6 / 1e12, 1e-15);
  ck_assert_double_eq_tol(r->gbps, fl4_problem_bytes(&p) / 100e-6 / 1e9, 1e-12);
  ck_assert_double_eq_tol(r->percent_matrix, 100 * r->tflops / 0.002, 1e-9);
  ck_assert_double_eq_tol(r->percent_read, 100 * r->gbps / 0.5, 1e-9);
  limits.read_gbps = 0;
  ck_assert_fl4(bench());
  ck_assert(isnan(results[0].percent_read) && !isnan(results[0].percent_matrix));
}
END_TEST

/* Limits are those of the context's device. */
START_TEST(figures_of_another_device)
{
  fl4_limits limits = FL4_LIMITS_INIT;
  limits.mma_tflops = limits.read_gbps = 1;
  options.limits = &limits;
  options.n_contenders = 2, options.max_seconds = 0.05;
  contenders[1].device = "host";
  ctx->device->info.ordinal = 7; /* so the host is another device, with a clock that is right */
  ck_assert_fl4(bench());
  for (int i = 0; i < 2; i++) ck_assert_msg(results[i].checked == 1, "%s", results[i].error);
  ck_assert(results[0].percent_matrix > 0 && results[0].percent_read > 0);
  ck_assert(isnan(results[1].percent_matrix) && isnan(results[1].percent_read));
  ck_assert_int_eq(results[0].before.sm_clock_mhz, 1000);
  ck_assert_int_eq(results[1].before.sm_clock_mhz, -1);
  ck_assert(results[1].stats.p50 != 100);
}
END_TEST

START_TEST(stops_when_precise)
{
  ck_assert_fl4(bench());
  ck_assert_int_eq(results[0].stop, FL4_BENCH_STOP_PRECISE);
  ck_assert_int_eq(results[0].stats.n, 100);
  options.min_samples = 7;
  ck_assert_fl4(bench());
  ck_assert_int_eq(results[0].stats.n, 7);
}
END_TEST

START_TEST(stops_at_the_most_samples)
{
  jitter = 0.5, options.max_samples = 40;
  ck_assert_fl4(bench());
  ck_assert_int_eq(results[0].stop, FL4_BENCH_STOP_SAMPLES);
  ck_assert_int_eq(results[0].stats.n, 40);
}
END_TEST

START_TEST(stops_after_the_time)
{
  jitter = 0.5, sample_ms = 1, options.max_seconds = 0.05;
  ck_assert_fl4(bench());
  ck_assert_int_eq(results[0].stop, FL4_BENCH_STOP_TIME);
  ck_assert(results[0].seconds >= 0.05 && results[0].seconds < 5);
  ck_assert_int_lt(results[0].stats.n, 51);
}
END_TEST

START_TEST(stops_when_an_array_is_full)
{
  double few[14], many[50];
  for (int i = 0; i < 14; i++) few[i] = -1;
  for (int i = 0; i < 50; i++) many[i] = -1;
  options.n_contenders = 2;
  jitter = 0.25, us_of[1] = 80;
  results[0].samples = many, results[0].samples_size = 50;
  results[1].samples = few, results[1].samples_size = 13;
  ck_assert_fl4(bench());
  for (int i = 0; i < 2; i++) {
    ck_assert_int_eq(results[i].stop, FL4_BENCH_STOP_SAMPLES);
    ck_assert_int_eq(results[i].stats.n, 13);
  }
  /* All of them, in order. */
  for (int i = 1; i < 13; i++) {
    ck_assert(few[i] != few[i - 1] && (few[i] == 80 || few[i] == 100));
    ck_assert(many[i] != many[i - 1] && (many[i] == 100 || many[i] == 125));
  }
  ck_assert(few[13] == -1 && many[13] == -1);
}
END_TEST

START_TEST(cold_is_one_call_and_one_set)
{
  options.cold = 1, us_of[0] = 1;
  ck_assert_fl4(bench());
  ck_assert(cold_asked);
  ck_assert_int_eq(results[0].calls, 1);
  ck_assert_int_eq(results[0].copies, 1);
  ck_assert_int_eq(results[0].cold, 1);
}
END_TEST

START_TEST(modes_are_asked_for_and_reported)
{
  ck_assert_fl4(bench());
  ck_assert_int_eq(mode_asked, FL4_BENCH_EAGER);
  options.mode = FL4_BENCH_GRAPH, mode_used = FL4_BENCH_EVENTS;
  ck_assert_fl4(bench());
  ck_assert_int_eq(mode_asked, FL4_BENCH_GRAPH);
  ck_assert_int_eq(results[0].mode, FL4_BENCH_EVENTS);
}
END_TEST

/* Of work that waits for its result there can be no graph; the timer has to know. */
START_TEST(who_waits)
{
  ck_assert_fl4(bench());
  ck_assert(!waits);
  ctx->device->config.debug = true;
  ck_assert_fl4(bench());
  ck_assert(waits);
  ctx->device->config.debug = false;
  options.n_contenders = 1, contenders[0].kind = FL4_CONTENDER_ORACLE;
  ck_assert_fl4(bench());
  ck_assert(waits);
}
END_TEST

/* Each round has everybody once, in an order that the seed decides. */
START_TEST(rounds_are_in_random_order)
{
  int first[LOG], by_seed[2] = {0, 0};
  options.n_contenders = 3, options.min_samples = options.max_samples = 200, options.precision = 1e-9;
  jitter = 0.1;
  for (int turn = 0; turn < 3; turn++) {
    options.seed = turn == 2;
    n_order = 0;
    ck_assert_fl4(bench());
    const int start = n_order - 600;
    int positions[3] = {0, 0, 0};
    for (int round = 0; round < 200; round++) {
      const int *three = &order[start + 3 * round];
      ck_assert_int_eq(1 << three[0] | 1 << three[1] | 1 << three[2], 7);
      positions[three[0]]++;
    }
    for (int i = 0; i < 3; i++) ck_assert_msg(positions[i] > 35 && positions[i] < 100, "first %d times", positions[i]);
    if (turn == 0) memcpy(first, order + start, 600 * sizeof *first);
    if (turn > 0) by_seed[turn - 1] = memcmp(first, order + start, 600 * sizeof *first) == 0;
  }
  ck_assert(by_seed[0] && !by_seed[1]);
}
END_TEST

START_TEST(verdicts)
{
  static const double times[MAX] = {100, 105, 95, 100.2};
  static const fl4_verdict expected[MAX] = {FL4_VERDICT_AMBIGUOUS, FL4_VERDICT_SLOWER, FL4_VERDICT_FASTER,
                                            FL4_VERDICT_SAME};
  memcpy(us_of, times, sizeof us_of);
  options.n_contenders = MAX;
  ck_assert_fl4(bench());
  for (int i = 1; i < MAX; i++) {
    const fl4_comparison *c = &results[i].against;
    ck_assert_msg(c->verdict == (int)expected[i], "%d: %s", i, fl4_verdict_name((fl4_verdict)c->verdict));
    ck_assert_double_eq_tol(c->ratio, times[i] / 100, 1e-12);
    ck_assert(c->paired && c->n == 100 && c->low <= c->ratio && c->ratio <= c->high);
  }
  /* Three comparisons of one run: the smallest p-value counts for three of the same size. */
  fl4_comparison alone = results[1].against, *one = &alone;
  ck_assert_fl4(fl4_compare_judge(&one, 1));
  ck_assert_double_eq_tol(results[1].against.p_adjusted / alone.p_adjusted, 3, 1e-9);
  ck_assert_str_eq(results[3].name, "default 4");
}
END_TEST

START_TEST(reasons_of_throttling_add_up)
{
  sample_ms = 5, jitter = 0.5;
  options.max_seconds = 0.8;
  ck_assert_fl4(bench());
  ck_assert_int_eq(results[0].before.throttle_reasons, 0);
  ck_assert_int_eq(results[0].before.sm_clock_mhz, 1000);
  ck_assert_int_eq(results[0].after.throttle_reasons, 4 | 64);
  ck_assert_int_eq(results[0].after.sm_clock_mhz, 1000 + (int)looks - 1);
  ck_assert_int_lt(looks, 7);
}
END_TEST

/* ---------------------------------------------------------------- failures */

/* The others start over, so that rounds are whole. */
START_TEST(one_fails_in_the_middle)
{
  options.n_contenders = 3;
  fail_after[_i] = 40, fail_with = FL4_UNSUPPORTED;
  ck_assert_fl4(bench());
  for (int i = 0; i < 3; i++) {
    ck_assert_int_eq(results[i].status, i == _i ? FL4_UNSUPPORTED : FL4_OK);
    ck_assert_int_eq(results[i].checked, i != _i);
    ck_assert_int_eq(results[i].stats.n, i == _i ? 0 : 100);
    ck_assert_int_eq(results[i].against.n, i == 0 || i == _i || _i == 0 ? 0 : 100);
  }
  ck_assert_str_eq(results[_i].error, "sample 41");
  ck_assert_int_eq(results[_i].stop, FL4_BENCH_STOP_NONE);
  ck_assert(isnan(results[_i].stats.p50) && isnan(results[_i].tflops));
}
END_TEST

START_TEST(all_fail)
{
  options.n_contenders = 2;
  fail_after[0] = 1, fail_after[1] = 30, fail_with = FL4_OUT_OF_MEMORY;
  ck_assert_fl4(bench());
  for (int i = 0; i < 2; i++) ck_assert_int_eq(results[i].status, FL4_OUT_OF_MEMORY);
}
END_TEST

START_TEST(no_clock)
{
  options.n_contenders = 2, open_fails = FL4_LIBRARY_MISSING;
  ck_assert_fl4(bench());
  ck_assert_int_eq(results[0].status, FL4_OK);
  ck_assert_int_eq(results[1].status, FL4_LIBRARY_MISSING);
  ck_assert_str_eq(results[1].error, "no clock to be had");
}
END_TEST

/* An error of the device ends the run only if the device is lost. */
START_TEST(device_errors)
{
  const fl4_problem problems[2] = {problem_of(line), problem_of("hq1sq8d8")};
  options.n_contenders = 2;
  fail_after[1] = 150, fail_with = FL4_DEVICE_ERROR; /* on the second problem */
  ck_assert_fl4(fl4_bench(ctx, problems, 2, &options, results));
  ck_assert(results[0].status == FL4_OK && results[1].status == FL4_OK && results[2].status == FL4_OK);
  ck_assert_int_eq(results[3].status, FL4_DEVICE_ERROR);
  ck_assert_int_eq(results[2].stats.n, 100);
}
END_TEST

static fl4_status lose_device(fl4__device *device)
{
  if (n_samples[1] > 200) return fl4__fail(FL4_DEVICE_ERROR, "the device is gone");
  return fl4__backend_host.synchronize(device);
}

START_TEST(a_lost_device_ends_the_run)
{
  const fl4_problem problems[2] = {problem_of(line), problem_of("hq1sq8d8")};
  options.n_contenders = 2, us_of[1] = 110;
  fail_after[1] = 200, fail_with = FL4_DEVICE_ERROR;
  backend.synchronize = lose_device;
  ck_assert_fl4_fails(fl4_bench(ctx, problems, 2, &options, results), FL4_DEVICE_ERROR, "default 2: sample 201");
  ck_assert(results[0].status == FL4_OK && results[1].status == FL4_OK);
  ck_assert_int_eq(results[0].stats.n, 100);
  ck_assert_int_eq(results[1].against.verdict, FL4_VERDICT_SLOWER);
  for (int i = 2; i < 4; i++) {
    ck_assert_int_eq(results[i].status, FL4_DEVICE_ERROR);
    ck_assert_int_eq(results[i].stop, FL4_BENCH_STOP_NONE);
    ck_assert_int_eq(results[i].stats.n, 0);
    ck_assert_ptr_nonnull(strstr(results[i].error, "sample 201"));
  }
}
END_TEST

START_TEST(a_lost_device_at_once)
{
  device_lost = true;
  ck_assert_fl4_fails(bench(), FL4_DEVICE_ERROR, "the device is gone");
  ck_assert_int_eq(results[0].status, FL4_DEVICE_ERROR);
}
END_TEST

START_TEST(nothing_can_be_timed_there)
{
  backend.timing = NULL, backend.name = "emu";
  ck_assert_fl4_fails(bench(), FL4_UNSUPPORTED, "is on the device \"emu\", on which nothing can be timed");
}
END_TEST

/* A problem that does not fit is a result; those that fit are timed. */
START_TEST(a_problem_too_large)
{
  const fl4_problem problems[2] = {problem_of("hq64sq64d64"), problem_of("hq1sq8d8")};
  device_memory = 100000;
  ck_assert_fl4(fl4_bench(ctx, problems, 2, &options, results));
  ck_assert_int_eq(results[0].status, FL4_OUT_OF_MEMORY);
  ck_assert_ptr_nonnull(strstr(results[0].error, "no memory for"));
  ck_assert_int_eq(results[1].status, FL4_OK);
}
END_TEST

/* With less memory there are fewer sets: inputs, O and LSE of each. */
START_TEST(fewer_sets_than_asked_for)
{
  /* Inputs, O and LSE for each; and before the second the workspace, which all share. */
  static const int expected[] = {0, 0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4};
  options.copies = 4;
  allocations_left = _i;
  ck_assert_fl4(bench());
  ck_assert_int_eq(results[0].status, expected[_i] ? FL4_OK : FL4_OUT_OF_MEMORY);
  ck_assert_int_eq(results[0].copies, expected[_i]);
  ck_assert_int_eq(results[0].checked, expected[_i] > 0);
}
END_TEST

START_TEST(two_share_what_memory_there_is)
{
  options.copies = 4, options.n_contenders = 2;
  allocations_left = 1 + 4 + 2 + 5 + 4; /* two workspaces; the third set lacks an LSE */
  ck_assert_fl4(bench());
  for (int i = 0; i < 2; i++) {
    ck_assert_int_eq(results[i].status, FL4_OK);
    ck_assert_int_eq(results[i].copies, 2);
  }
}
END_TEST

/* ---------------------------------------------------------------- progress */

typedef struct watcher {
  const char *stop_at; /* phase */
  int64_t stop_problem;
  int n;
  char phases[512];
  fl4_bench_progress last;
} watcher;

static int watch(const fl4_bench_progress *p, void *user)
{
  watcher *w = user;
  w->n++;
  w->last = *p;
  if (!w->phases[0] || !strstr(w->phases, p->phase)) {
    strcat(w->phases, p->phase);
    strcat(w->phases, ";");
  }
  return w->stop_at && strcmp(w->stop_at, p->phase) == 0 && p->problem == w->stop_problem;
}

START_TEST(progress_is_told)
{
  watcher w = {0};
  const fl4_problem problems[2] = {problem_of(line), problem_of("hq1sq8d8")};
  options.progress = watch, options.progress_user = &w;
  jitter = 0.2, sample_ms = 2, options.max_seconds = 0.5;
  ck_assert_fl4(fl4_bench(ctx, problems, 2, &options, results));
  ck_assert_str_eq(w.phases, "inputs;checking;warming up;timing;");
  ck_assert_uint_eq(w.last.struct_size, sizeof w.last);
  ck_assert(w.last.problem == 1 && w.last.n_problems == 2);
  ck_assert(w.last.round > 10 && w.last.seconds > 0.2 && w.last.precision > 0);
  /* Some ten a second, and one where a phase begins. */
  ck_assert_msg(w.n >= 10 && w.n <= 30, "%d times in a second", w.n);
}
END_TEST

START_TEST(cancelled)
{
  static const char *const phases[] = {"inputs", "checking", "warming up", "timing"};
  double samples[1000];
  watcher w = {.stop_at = phases[_i % 4], .stop_problem = _i / 4};
  const fl4_problem problems[3] = {problem_of(line), problem_of("hq1sq8d8"), problem_of("hq2sq8d8")};
  options.progress = watch, options.progress_user = &w;
  options.n_contenders = 2, us_of[1] = 110;
  results[0].samples = samples, results[0].samples_size = 1000;
  ck_assert_fl4_fails(fl4_bench(ctx, problems, 3, &options, results), FL4_CANCELLED, phases[_i % 4]);
  ck_assert_int_eq(w.last.problem, _i / 4);
  for (int i = 0; i < 6; i++) {
    const bool finished = i < _i / 4 * 2;
    ck_assert_int_eq(results[i].status, finished ? FL4_OK : FL4_CANCELLED);
    ck_assert_int_eq(results[i].stop, finished ? FL4_BENCH_STOP_PRECISE : FL4_BENCH_STOP_CANCELLED);
    ck_assert_int_eq(results[i].stats.n, finished ? 100 : 0);
    ck_assert_int_eq(results[i].checked, finished);
    ck_assert_int_eq(results[i].against.verdict, finished && i % 2 ? FL4_VERDICT_SLOWER : FL4_VERDICT_AMBIGUOUS);
    ck_assert_str_eq(results[i].name, i % 2 ? "default 2" : "default");
  }
}
END_TEST

static Suite *suite(void)
{
  Suite *s = suite_create("bench_clock");
  TCase *t = tcase_create("samples");
  tcase_add_checked_fixture(t, setup, teardown);
  tcase_set_timeout(t, 60);
  tcase_add_test(t, calls_of_a_sample);
  tcase_add_test(t, figures);
  tcase_add_test(t, figures_of_another_device);
  tcase_add_test(t, stops_when_precise);
  tcase_add_test(t, stops_at_the_most_samples);
  tcase_add_test(t, stops_after_the_time);
  tcase_add_test(t, stops_when_an_array_is_full);
  tcase_add_test(t, cold_is_one_call_and_one_set);
  tcase_add_test(t, modes_are_asked_for_and_reported);
  tcase_add_test(t, who_waits);
  tcase_add_test(t, rounds_are_in_random_order);
  tcase_add_test(t, verdicts);
  tcase_add_test(t, reasons_of_throttling_add_up);
  suite_add_tcase(s, t);

  t = tcase_create("failures");
  tcase_add_checked_fixture(t, setup, teardown);
  tcase_set_timeout(t, 60);
  tcase_add_loop_test(t, one_fails_in_the_middle, 0, 3);
  tcase_add_test(t, all_fail);
  tcase_add_test(t, no_clock);
  tcase_add_test(t, device_errors);
  tcase_add_test(t, a_lost_device_ends_the_run);
  tcase_add_test(t, a_lost_device_at_once);
  tcase_add_test(t, nothing_can_be_timed_there);
  tcase_add_test(t, a_problem_too_large);
  tcase_add_loop_test(t, fewer_sets_than_asked_for, 0, 15);
  tcase_add_test(t, two_share_what_memory_there_is);
  suite_add_tcase(s, t);

  t = tcase_create("progress");
  tcase_add_checked_fixture(t, setup, teardown);
  tcase_set_timeout(t, 60);
  tcase_add_test(t, progress_is_told);
  tcase_add_loop_test(t, cancelled, 0, 8);
  suite_add_tcase(s, t);
  return s;
}

FL4_TEST_MAIN(suite)

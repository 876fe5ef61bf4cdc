/* SPDX-License-Identifier: Apache-2.0 */
/* fl4_tune() with a log: what is in it is not tried again, whatever ended the call that wrote it. */
#include "scratch.h"
#include "fake_gpu.h"

enum { EVALUATIONS = 30 };

static fl4_context *ctx;
static fl4_problem problem;
static fl4_tune_options options;
static fl4_tune_report report;
static fl4_tune_candidate candidates[100];
static char file[PATH_MAX];

static double us(const fl4__variant *v)
{
  return 1000 + (double)(fake_hash_of(v) >> 11 & 255);
}

static void setup(void)
{
  scratch_setup();
  strcpy(file, in_scratch("tune.log"));
  ctx = fake_context();
  problem = problem_of("hq1sq20sk40d16");
  options = (fl4_tune_options)FL4_TUNE_OPTIONS_INIT;
  options.no_wisdom = 1, options.max_evaluations = EVALUATIONS, options.seed = 3;
  options.family = "fwd_mma"; /* a large space */
  options.log = file;
  fake.us = us;
}

static void teardown(void)
{
  fl4_context_destroy(&ctx);
  scratch_teardown();
}

static fl4_status tune(void)
{
  report = (fl4_tune_report)FL4_TUNE_REPORT_INIT;
  for (int i = 0; i < 100; i++) candidates[i] = (fl4_tune_candidate)FL4_TUNE_CANDIDATE_INIT;
  report.candidates = candidates, report.candidates_size = 100;
  return fl4_tune(ctx, &problem, &options, &report);
}

static const fl4_tune_candidate *evaluation(int number)
{
  for (int64_t i = 0; i < report.n_candidates; i++)
    if (candidates[i].evaluation == number) return &candidates[i];
  ck_abort_msg("no evaluation %d", number);
  return NULL;
}

static char sequence[EVALUATIONS][128];
static double costs[EVALUATIONS];

/* A run that nothing disturbs, without a log. */
static void undisturbed(void)
{
  options.log = NULL;
  ck_assert_fl4(tune());
  for (int i = 0; i < EVALUATIONS; i++) {
    strcpy(sequence[i], evaluation(i)->variant);
    costs[i] = evaluation(i)->p50;
  }
  options.log = file;
  fl4_context_destroy(&ctx);
  ctx = fake_context();
  fake_builds = fake_launches = 0;
}

/* The same points in the same order, but for `failed`, which may have changed what came after it. */
static void check_sequence(int until, int failed)
{
  for (int i = 0; i < until; i++) {
    ck_assert_msg(strcmp(evaluation(i)->variant, sequence[i]) == 0, "%d: %s, not %s", i, evaluation(i)->variant,
                  sequence[i]);
    if (i == failed)
      ck_assert_int_eq(evaluation(i)->invalidity, FL4_INVALIDITY_RUNTIME);
    else
      ck_assert_double_eq(evaluation(i)->p50, costs[i]);
  }
}

static int64_t cancel_at;
static int cancel(const fl4_tune_progress *p, void *user)
{
  (void)user;
  return p->evaluations >= cancel_at;
}

START_TEST(after_a_cancel)
{
  undisturbed();
  options.progress = cancel, cancel_at = 11;
  ck_assert_fl4_fails(tune(), FL4_CANCELLED, "after 11 evaluations");
  ck_assert_int_eq(report.evaluations, 11);
  options.progress = NULL;
  fake_launches = 0;
  ck_assert_fl4(tune());
  ck_assert_int_eq(report.resumed, 11);
  ck_assert_int_eq(report.evaluations, EVALUATIONS - 11);
  check_sequence(EVALUATIONS, -1);
  ck_assert_int_eq(report.failed, 0);
  /* All of it is there: only the final runs. */
  ck_assert_fl4(tune());
  ck_assert_int_eq(report.resumed, EVALUATIONS);
  ck_assert_int_eq(report.evaluations, 0);
  check_sequence(EVALUATIONS, -1);
  ck_assert(report.best_us == candidates[0].p50 && report.default_us > 0);
  ck_assert_str_eq(report.variant, candidates[0].variant);
  /* A larger budget goes on. */
  options.max_evaluations = EVALUATIONS + 10;
  ck_assert_fl4(tune());
  ck_assert_int_eq(report.resumed, EVALUATIONS);
  ck_assert_int_eq(report.evaluations, 10);
}
END_TEST

static int kill_in, kill_launch;

/* The process dies in the launches of evaluation `kill_in`: evaluations are told apart by their variants. */
static fl4_status deadly(const fl4__variant *v)
{
  char text[FL4__VARIANT_TEXT];
  fl4__variant_format(v, text);
  if (strcmp(text, sequence[kill_in]) == 0 && kill_launch-- == 0) raise(SIGKILL);
  return FL4_OK;
}

static int tune_until_killed(void *user)
{
  (void)user;
  fake.launch = deadly;
  (void)tune();
  return 1;
}

/* kill -9 anywhere loses one evaluation at most, and that is not tried again. */
START_TEST(after_a_kill)
{
  static const int where[][2] = {{0, 0}, {0, 5}, {1, 2}, {7, 0}, {8, 9}, {13, 20}, {21, 1}, {29, 3}};
  undisturbed();
  kill_in = where[_i][0], kill_launch = where[_i][1];
  const pid_t pid = start_child(tune_until_killed, NULL);
  int status;
  ck_assert_int_eq(waitpid(pid, &status, 0), pid);
  ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);

  fake.launch = deadly, kill_launch = 0; /* it would do it again */
  ck_assert_fl4(tune());
  ck_assert_int_eq(report.resumed, kill_in + 1);
  ck_assert_int_eq(report.evaluations, EVALUATIONS - kill_in - 1);
  ck_assert_int_eq(report.failed, 1);
  check_sequence(kill_in + 1, kill_in);
}
END_TEST

/* The last line was cut off: its evaluation counts as begun and not ended. */
START_TEST(after_a_torn_line)
{
  undisturbed();
  options.max_evaluations = 5;
  ck_assert_fl4(tune());
  struct stat s;
  ck_assert_int_eq(stat(file, &s), 0);
  ck_assert_int_eq(truncate(file, s.st_size - 20), 0);
  options.max_evaluations = 10;
  ck_assert_fl4(tune());
  ck_assert_int_eq(report.resumed, 5);
  ck_assert_int_eq(report.failed, 1);
  check_sequence(5, 4);
}
END_TEST

/* What is of something else does not count. */
START_TEST(other_subjects)
{
  options.max_evaluations = 5;
  ck_assert_fl4(tune());
  ck_assert_int_eq(report.evaluations, 5);
  problem = problem_of("hq1sq20sk41d16");
  ck_assert_fl4(tune());
  ck_assert(report.evaluations == 5 && report.resumed == 0);
  options.cold = 1;
  ck_assert_fl4(tune());
  ck_assert(report.evaluations == 5 && report.resumed == 0);
  options.cold = 0, options.inputs = FL4_INPUTS_SINK;
  ck_assert_fl4(tune());
  ck_assert(report.evaluations == 5 && report.resumed == 0);
  options.inputs = 0, options.mode = FL4_BENCH_EVENTS;
  ck_assert_fl4(tune());
  ck_assert(report.evaluations == 5 && report.resumed == 0);
  options.mode = 0;
  ck_assert_fl4(tune());
  ck_assert(report.evaluations == 0 && report.resumed == 5);
}
END_TEST

/* What another seed would ask for later is known from the log when it does. */
START_TEST(another_seed)
{
  options.max_evaluations = 60;
  ck_assert_fl4(tune());
  options.seed = 4;
  ck_assert_fl4(tune());
  ck_assert(report.resumed > 0 && report.evaluations > 0 && report.resumed + report.evaluations == 60);
  for (int i = 0; i < 60; i++) (void)evaluation(i); /* numbered anew */
}
END_TEST

static bool wrong_48(const fl4__variant *v, const fl4_fwd_params *p)
{
  (void)p;
  return fl4__variant_get(v, "bn") == 48;
}

static fl4_status no_64(const fl4__variant *v)
{
  return fl4__variant_get(v, "bn") == 64 ? fl4__fail(FL4_COMPILE_FAILED, "no 64 for me") : FL4_OK;
}

/* Failures, and what is the same as another, come back as they were. */
START_TEST(outcomes_come_back)
{
  static fl4_tune_candidate before[100];
  /* A space so small that some of those that are tried are the same. */
  fl4_context_destroy(&ctx);
  fake.sm = 89, fake.smem = 99 << 10;
  ctx = fake_context();
  problem = problem_of("hq1sq20sk40d192");
  fake.hash = fake_hash_of_few, fake.wrong = wrong_48, fake.build = no_64;
  options.max_evaluations = 80, options.strategy = "random";
  ck_assert_fl4(tune());
  ck_assert_int_gt(report.failed, 0);
  const int64_t failed = report.failed;
  int same = 0;
  memcpy(before, candidates, sizeof before);
  ck_assert_fl4(tune());
  ck_assert_int_eq(report.resumed, 80);
  ck_assert_int_eq(report.failed, failed);
  for (int i = 0; i < 80; i++) {
    const fl4_tune_candidate *c = evaluation(before[i].evaluation);
    ck_assert_str_eq(c->variant, before[i].variant);
    ck_assert_int_eq(c->same_as, before[i].same_as);
    ck_assert(c->kernel_hash == before[i].kernel_hash && c->registers == before[i].registers);
    ck_assert_int_eq(c->invalidity, before[i].invalidity);
    ck_assert_str_eq(c->error, before[i].error);
    same += c->same_as >= 0;
  }
  ck_assert_int_gt(same, 0);
}
END_TEST

START_TEST(the_log_cannot_be_written)
{
  options.log = in_scratch("no/such/folder");
  ck_assert_fl4_fails(tune(), FL4_IO_ERROR, "no/such/folder");
  options.log = scratch;
  ck_assert_fl4_fails(tune(), FL4_IO_ERROR, scratch);
  write_file(file, "hello\n", 6);
  options.log = file;
  ck_assert_fl4_fails(tune(), FL4_IO_ERROR, "is not a log");
}
END_TEST

static Suite *make_suite(void)
{
  Suite *s = suite_create("tune_resume");
  TCase *tc = tcase_create("resume");
  tcase_add_checked_fixture(tc, setup, teardown);
  tcase_set_timeout(tc, 100);
  tcase_add_test(tc, after_a_cancel);
  tcase_add_loop_test(tc, after_a_kill, 0, 8);
  tcase_add_test(tc, after_a_torn_line);
  tcase_add_test(tc, other_subjects);
  tcase_add_test(tc, another_seed);
  tcase_add_test(tc, outcomes_come_back);
  tcase_add_test(tc, the_log_cannot_be_written);
  suite_add_tcase(s, tc);
  return s;
}

FL4_TEST_MAIN(make_suite)

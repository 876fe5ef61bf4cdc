/* SPDX-License-Identifier: Apache-2.0 */
/* How a tuning goes on a GPU that is made up: the same run again, budgets, progress, cancelling, steps. */
#include "fake_tune.h"

/* ---------------------------------------------------------------- determinism */

static unsigned delays_seed;
static fl4_status delayed(const fl4__variant *v)
{
  usleep((unsigned)((fake_hash_of(v) >> 7) * (delays_seed + 1) % 4000));
  return FL4_OK;
}

START_TEST(same_seed_same_run)
{
  static fl4_tune_candidate first[MOST];
  char variant[128] = "";
  plant();
  fake.build = delayed;
  options.max_evaluations = 60, options.seed = 5;
  for (int turn = 0; turn < 4; turn++) {
    delays_seed = (unsigned)turn;
    options.compile_threads = 1 + 3 * turn;
    if (turn == 3) options.seed = 6;
    fl4_context_destroy(&ctx);
    ctx = fake_context();
    ck_assert_fl4(tune());
    bool same = true;
    for (int i = 0; i < 60; i++) {
      const fl4_tune_candidate *c = evaluation(i);
      if (turn == 0) first[i] = *c;
      same &= strcmp(first[i].variant, c->variant) == 0 && first[i].p50 == c->p50 && first[i].samples == c->samples;
    }
    if (turn == 0) strcpy(variant, report.variant);
    ck_assert_msg(same == (turn < 3), "turn %d", turn);
    if (turn < 3) ck_assert_str_eq(report.variant, variant);
  }
}
END_TEST

/* ---------------------------------------------------------------- budgets and reasons to stop */

START_TEST(estimate_tries_nothing)
{
  options.budget = FL4_TUNE_ESTIMATE;
  ck_assert_fl4(tune());
  check_report();
  ck_assert(report.n_candidates == 0 && report.evaluations == 0 && report.stop == FL4_TUNE_STOP_EVALUATIONS);
  ck_assert(isnan(report.best_us) && isnan(report.default_us) && report.space > 100);
  ck_assert_int_eq(fake_launches, 0);
  ck_assert_int_eq(fake_builds, 0);
}
END_TEST

START_TEST(measure_is_64)
{
  plant();
  ck_assert_fl4(tune());
  check_report();
  ck_assert_int_eq(report.n_candidates, 64);
  ck_assert_int_eq(report.stop, FL4_TUNE_STOP_EVALUATIONS);
  ck_assert_int_eq(fake_builds, 64);
}
END_TEST

START_TEST(stops_at_the_target)
{
  plant();
  options.target_us = 1200, options.budget = FL4_TUNE_PATIENT;
  ck_assert_fl4(tune());
  check_report();
  ck_assert_int_eq(report.stop, FL4_TUNE_STOP_TARGET);
  ck_assert_int_lt(report.n_candidates, 300);
  for (int i = 0; i < report.n_candidates; i++)
    ck_assert(i == report.n_candidates - 1 ? evaluation(i)->p50 <= 1200 : evaluation(i)->p50 > 1200);
}
END_TEST

START_TEST(stops_after_the_seconds)
{
  fake.sample_us = 5000;
  options.max_seconds = 2.5, options.budget = FL4_TUNE_PATIENT; /* of which the space takes some */
  ck_assert_fl4(tune());
  ck_assert_int_eq(report.stop, FL4_TUNE_STOP_SECONDS);
  ck_assert(report.seconds >= 2.5 && report.n_candidates >= 2 && report.n_candidates < 100);
}
END_TEST

START_TEST(stops_when_stale)
{
  options.budget = FL4_TUNE_PATIENT;
  ck_assert_fl4(tune());
  check_report();
  ck_assert_int_eq(report.stop, FL4_TUNE_STOP_STALE);
  ck_assert_int_eq(report.n_candidates, 129);
}
END_TEST

START_TEST(modes)
{
  options.max_evaluations = 2, options.mode = FL4_BENCH_EVENTS, options.cold = 1;
  ck_assert_fl4(tune());
  check_report();
}
END_TEST

/* ---------------------------------------------------------------- progress */

static const char *cancel_phase;
static int64_t cancel_at, n_told, n_latest;
static int phases;

static int on_progress(const fl4_tune_progress *p, void *user)
{
  static const char *const names[] = {"inputs", "compiling", "searching", "final"};
  ck_assert_ptr_eq(user, &options);
  ck_assert_uint_eq(p->struct_size, sizeof *p);
  for (int i = 0; i < 4; i++)
    if (strcmp(names[i], p->phase) == 0) phases |= 1 << i;
  n_told++;
  ck_assert((p->evaluations == 0) == (p->latest == NULL) && p->evaluations <= p->most);
  if (p->latest) ck_assert_int_eq(p->latest->evaluation, p->evaluations - 1);
  if (p->latest && p->latest->evaluation == n_latest) n_latest++;
  if (p->best) ck_assert(p->best->invalidity == FL4_INVALIDITY_CORRECT && p->best->p50 > 0);
  return cancel_phase && strcmp(p->phase, cancel_phase) == 0 && p->evaluations >= cancel_at;
}

static fl4_status slow_build(const fl4__variant *v)
{
  (void)v;
  usleep(150000);
  return FL4_OK;
}

static void listen_to_progress(void)
{
  options.progress = on_progress, options.progress_user = &options;
  options.max_evaluations = 8, options.compile_threads = 8;
  fake.build = slow_build;
}

START_TEST(progress)
{
  listen_to_progress();
  ck_assert_fl4(tune());
  check_report();
  ck_assert_int_eq(phases, 15);
  ck_assert_int_eq(n_latest, 8); /* after each */
}
END_TEST

START_TEST(cancelled)
{
  static const char *const where[] = {"inputs", "compiling", "searching", "searching", "final"};
  static const int64_t after[] = {0, 0, 1, 5, 8}, tried[] = {0, 0, 1, 5, 8};
  const char *const wishes[] = {planted, NULL};
  plant();
  listen_to_progress();
  cancel_phase = where[_i], cancel_at = after[_i], options.seeds = wishes;
  ck_assert_fl4_fails(tune(), FL4_CANCELLED, "the progress callback cancelled");
  ck_assert_ptr_nonnull(strstr(fl4_last_error(), where[_i]));
  check_report();
  ck_assert_int_eq(report.stop, FL4_TUNE_STOP_CANCELLED);
  ck_assert(report.n_candidates >= tried[_i] && report.n_candidates <= tried[_i] + 1);
  ck_assert_int_eq(report.against.n, 0);
  if (report.improved) ck_assert_str_eq(report.variant, candidates[0].variant);
  if (_i == 4) ck_assert(report.improved && report.best_us == candidates[0].p50);
}
END_TEST

/* What has begun is brought to its end, with fewer samples. */
static int in_the_middle(const fl4_tune_progress *p, void *user)
{
  (void)user;
  return fake_samples > 0 && p->evaluations == 0;
}

START_TEST(cancelled_in_an_evaluation)
{
  fake.sample_us = 30000;
  options.progress = in_the_middle;
  ck_assert_fl4_fails(tune(), FL4_CANCELLED, "after 1 evaluations, searching");
  check_report();
  ck_assert_int_eq(report.n_candidates, 1);
  ck_assert_int_eq(candidates[0].invalidity, FL4_INVALIDITY_CORRECT);
  ck_assert(candidates[0].samples >= 3 && candidates[0].samples < 12);
  ck_assert_str_eq(report.variant, candidates[0].variant);
}
END_TEST

/* ---------------------------------------------------------------- steps */

START_TEST(steps)
{
  fl4_tuner *tuner = NULL;
  int32_t done = 7;
  plant();
  options.max_evaluations = 20;
  ck_assert_fl4(fl4_tuner_create(ctx, &problem, &options, &tuner));
  ck_assert_ptr_nonnull(tuner);
  for (int i = 1; i <= 10; i++) {
    ck_assert_fl4(fl4_tune_step(tuner, &done));
    ck_assert_int_eq(done, 0);
  }
  clear_report();
  ck_assert_fl4(fl4_tuner_finish(tuner, &report));
  check_report();
  ck_assert(report.n_candidates == 10 && report.stop == FL4_TUNE_STOP_NONE && report.best_us > 0);
  /* It goes on. */
  for (int i = 11; i <= 20; i++) {
    ck_assert_fl4(fl4_tune_step(tuner, &done));
    ck_assert_int_eq(done, i == 20);
  }
  ck_assert_fl4(fl4_tune_step(tuner, &done));
  ck_assert_int_eq(done, 1);
  clear_report();
  ck_assert_fl4(fl4_tuner_finish(tuner, &report));
  check_report();
  ck_assert(report.n_candidates == 20 && report.stop == FL4_TUNE_STOP_EVALUATIONS);
  const double seconds = report.seconds;
  usleep(50000); /* is not the tuning's */
  clear_report();
  ck_assert_fl4(fl4_tuner_finish(tuner, &report));
  ck_assert(report.seconds >= seconds);
  fl4_tuner_destroy(&tuner);
  ck_assert_ptr_null(tuner);
  fl4_tuner_destroy(&tuner);
  fl4_tuner_destroy(NULL);

  /* As fl4_tune() does it. */
  static fl4_tune_candidate by_steps[20];
  memcpy(by_steps, candidates, sizeof by_steps);
  ck_assert_fl4(tune());
  for (int i = 0; i < 20; i++) ck_assert_str_eq(by_steps[i].variant, candidates[i].variant);
}
END_TEST

/* After a cancelled step the next goes on. */
START_TEST(a_cancelled_step)
{
  fl4_tuner *tuner = NULL;
  int32_t done;
  listen_to_progress();
  cancel_phase = "compiling", cancel_at = 0;
  ck_assert_fl4(fl4_tuner_create(ctx, &problem, &options, &tuner));
  ck_assert_fl4_fails(fl4_tune_step(tuner, &done), FL4_CANCELLED, "after 0 evaluations, compiling");
  cancel_phase = NULL;
  for (int i = 1; i <= 8; i++) {
    ck_assert_fl4(fl4_tune_step(tuner, &done));
    ck_assert_int_eq(done, i == 8);
  }
  clear_report();
  ck_assert_fl4(fl4_tuner_finish(tuner, &report));
  ck_assert_int_eq(report.n_candidates, 8);
  ck_assert_int_eq(fake_builds, 8);
  fl4_tuner_destroy(&tuner);
  /* A tuning that ends while kernels are being built. */
  fl4_context_destroy(&ctx);
  ctx = fake_context();
  cancel_phase = "compiling";
  ck_assert_fl4(fl4_tuner_create(ctx, &problem, &options, &tuner));
  ck_assert_fl4_fails(fl4_tune_step(tuner, &done), FL4_CANCELLED, "compiling");
  fl4_tuner_destroy(&tuner);
}
END_TEST

static Suite *make_suite(void)
{
  Suite *s = suite_create("tune_run");
  TCase *tc = tcase_create("tune");
  tcase_add_checked_fixture(tc, setup, teardown);
  tcase_set_timeout(tc, 200);
  tcase_add_test(tc, same_seed_same_run);
  tcase_add_test(tc, estimate_tries_nothing);
  tcase_add_test(tc, measure_is_64);
  tcase_add_test(tc, stops_at_the_target);
  tcase_add_test(tc, stops_after_the_seconds);
  tcase_add_test(tc, stops_when_stale);
  tcase_add_test(tc, modes);
  tcase_add_test(tc, progress);
  tcase_add_loop_test(tc, cancelled, 0, 5);
  tcase_add_test(tc, cancelled_in_an_evaluation);
  tcase_add_test(tc, steps);
  tcase_add_test(tc, a_cancelled_step);
  suite_add_tcase(s, tc);
  return s;
}

FL4_TEST_MAIN(make_suite)

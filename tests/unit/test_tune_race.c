/* SPDX-License-Identifier: Apache-2.0 */
/* How many samples a candidate gets. */
#include <math.h>

#include "error.h"
#include "fl4_test.h"
#include "tune/race.h"

/* Sample number i takes us[i % n_us]. */
static double us[8];
static int n_us, taken, fails_at;
static fl4__hurry hurry_from[FL4__RACE_MOST + 1]; /* by samples taken */

static fl4_status sample(void *user, double *out)
{
  ck_assert_ptr_eq(user, us);
  if (fails_at && taken + 1 == fails_at) return fl4__fail(FL4_DEVICE_ERROR, "sample %d", fails_at);
  *out = us[taken++ % n_us];
  return FL4_OK;
}

static fl4__hurry hurry(void *user)
{
  (void)user;
  return hurry_from[taken];
}

static fl4__race race_of(double best, double best_high)
{
  taken = 0;
  return (fl4__race){.best = best, .best_high = best_high, .sample = sample, .hurry = hurry, .user = us};
}

static void times(int n, double a, double b)
{
  n_us = n;
  for (int i = 0; i < n; i++) us[i] = i % 2 ? b : a;
}

START_TEST(the_first_is_timed_until_it_is_known)
{
  fl4__race r = race_of((double)INFINITY, (double)NAN);
  times(1, 100, 0);
  ck_assert_fl4(fl4__race_run(&r));
  ck_assert(r.n == FL4__RACE_FIRM && r.p50 == 100 && r.low == 100 && r.high == 100 && !r.too_slow);
  /* ±2 %: never within 0.5 % */
  times(2, 98, 102);
  r = race_of((double)INFINITY, (double)NAN);
  ck_assert_fl4(fl4__race_run(&r));
  ck_assert(r.n == FL4__RACE_MOST && taken == FL4__RACE_MOST && r.p50 == 100 && r.low == 98 && r.high == 102);
}
END_TEST

START_TEST(far_slower_gets_three)
{
  static const struct {
    double a, b;
    int n;
  } cases[] = {{151, 151, 3}, {151, 400, 3}, {149, 400, FL4__RACE_FIRM}, {400, 149, FL4__RACE_FIRM}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    fl4__race r = race_of(100, 101);
    times(2, cases[i].a, cases[i].b);
    ck_assert_fl4(fl4__race_run(&r));
    ck_assert_msg(r.n == cases[i].n && !r.too_slow, "%zu: %d samples", i, r.n);
    if (r.n == 3) ck_assert(r.p50 == fmin(cases[i].a, cases[i].b) || r.p50 == cases[i].a);
    if (r.n == 3) ck_assert(isnan(r.low) && isnan(r.high));
  }
}
END_TEST

START_TEST(surely_slower_gets_twelve)
{
  fl4__race r = race_of(100, 103);
  times(2, 104, 110);
  ck_assert_fl4(fl4__race_run(&r));
  ck_assert(r.n == FL4__RACE_FIRM && r.low > 103);
  /* The intervals overlap. */
  r = race_of(100, 105);
  ck_assert_fl4(fl4__race_run(&r));
  ck_assert_int_eq(r.n, FL4__RACE_MOST);
  /* The best's is not known. */
  r = race_of(100, (double)NAN);
  ck_assert_fl4(fl4__race_run(&r));
  ck_assert_int_eq(r.n, FL4__RACE_MOST);
}
END_TEST

/* Later samples decide as well: at 12 the interval is wide, then it narrows. */
START_TEST(looks_again)
{
  fl4__race r = race_of(100, 103);
  times(8, 100, 100);
  us[0] = 104;
  ck_assert_fl4(fl4__race_run(&r));
  ck_assert_int_eq(r.n, FL4__RACE_FIRM);
  us[2] = us[4] = 104; /* 3 of 8 */
  r = race_of(100, 103);
  ck_assert_fl4(fl4__race_run(&r));
  ck_assert(r.n > FL4__RACE_FIRM && (r.n - FL4__RACE_FIRM) % FL4__RACE_STEP == 0);
}
END_TEST

START_TEST(hopeless_is_not_timed)
{
  static const struct {
    double best, us;
    bool too_slow;
  } cases[] = {
      {100, 10501, true}, {100, 10499, false}, {1e5, 5.2e5, true}, {1e5, 5.05e5, false}, {INFINITY, 1e9, false}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    fl4__race r = race_of(cases[i].best, (double)NAN);
    times(1, cases[i].us, 0);
    ck_assert_fl4(fl4__race_run(&r));
    ck_assert_msg(r.too_slow == cases[i].too_slow, "%zu", i);
    ck_assert_msg(isnan(r.p50) == r.too_slow, "%zu", i);
    if (r.too_slow) ck_assert_int_eq(taken, 2);
  }
}
END_TEST

/* At the beginning as later. */
START_TEST(one_outlier_is_not_hopeless)
{
  for (int at = 0; at < 8; at++) {
    fl4__race r = race_of(100, 100);
    times(8, 100, 100.2);
    us[at] = 20000;
    ck_assert_fl4(fl4__race_run(&r));
    ck_assert(!r.too_slow && r.n >= FL4__RACE_FIRM && r.p50 < 101);
  }
}
END_TEST

START_TEST(hurry_ends_it)
{
  times(2, 100, 110);
  fl4__race r = race_of((double)INFINITY, (double)NAN);
  for (int i = 0; i <= FL4__RACE_MOST; i++) hurry_from[i] = FL4__HURRY_SOME;
  ck_assert_fl4(fl4__race_run(&r));
  ck_assert(r.n == 3 && r.p50 == 100 && !r.too_slow);

  for (int i = 0; i <= FL4__RACE_MOST; i++) hurry_from[i] = FL4__HURRY_OVER;
  r = race_of((double)INFINITY, (double)NAN);
  ck_assert_fl4(fl4__race_run(&r));
  ck_assert(r.n == 1 && r.too_slow && isnan(r.p50));

  for (int i = 0; i < 7; i++) hurry_from[i] = FL4__HURRY_NONE;
  r = race_of((double)INFINITY, (double)NAN);
  ck_assert_fl4(fl4__race_run(&r));
  ck_assert(r.n == 7 && !r.too_slow && r.p50 == 100);
}
END_TEST

START_TEST(failures)
{
  times(1, 100, 0);
  fails_at = 5;
  fl4__race r = race_of((double)INFINITY, (double)NAN);
  ck_assert_fl4_fails(fl4__race_run(&r), FL4_DEVICE_ERROR, "sample 5");
  fails_at = 0;
  static const double bad[] = {NAN, INFINITY, -1};
  for (int i = 0; i < 3; i++) {
    us[0] = bad[i];
    r = race_of((double)INFINITY, (double)NAN);
    ck_assert_fl4_fails(fl4__race_run(&r), FL4_DEVICE_ERROR, "the clock gave");
  }
}
END_TEST

static Suite *make_suite(void)
{
  Suite *s = suite_create("race");
  TCase *tc = tcase_create("samples");
  tcase_add_test(tc, the_first_is_timed_until_it_is_known);
  tcase_add_test(tc, far_slower_gets_three);
  tcase_add_test(tc, surely_slower_gets_twelve);
  tcase_add_test(tc, looks_again);
  tcase_add_test(tc, hopeless_is_not_timed);
  tcase_add_test(tc, one_outlier_is_not_hopeless);
  tcase_add_test(tc, hurry_ends_it);
  tcase_add_test(tc, failures);
  suite_add_tcase(s, tc);
  return s;
}

FL4_TEST_MAIN(make_suite)

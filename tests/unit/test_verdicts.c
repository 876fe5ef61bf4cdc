/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Has the gate teeth? Whole comparisons of simulated timings, 20 problems judged together: noise of
 * 1 to 3 %, outliers, and clocks that drift by far more than what is to be found.
 */
#include <stdbool.h>

#include "noise.h"

enum { PROBLEMS = 20, ROUNDS = 100, RUNS = 100 };

/* One problem: both sides of a pair run at the same clock, each has its own noise and its own outliers. */
static void measure(fl4__random *random, double ratio, double *base, double *other, int rounds)
{
  const double sigma = 0.01 + 0.02 * noise_unit(random), time = exp(8 * noise_unit(random));
  const double phase = 6.283185307179586 * noise_unit(random);
  for (int i = 0; i < rounds; i++) {
    const double drift = time * (1 + 0.04 * sin(phase + 5.0 * i / rounds)); /* 8 % from end to end */
    base[i] = drift * noise_lognormal(random, sigma) * (noise_unit(random) < 0.02 ? 1.2 : 1);
    other[i] = drift * ratio * noise_lognormal(random, sigma) * (noise_unit(random) < 0.02 ? 1.2 : 1);
  }
}

/* A run: problems with these true ratios, compared and judged together. */
static void judge(fl4__random *random, const double *ratio, const fl4_compare_options *options, fl4_comparison *c,
                  bool swapped)
{
  fl4_comparison *together[PROBLEMS];
  double base[ROUNDS], other[ROUNDS];
  for (int p = 0; p < PROBLEMS; p++) {
    measure(random, ratio[p], base, other, ROUNDS);
    c[p] = (fl4_comparison)FL4_COMPARISON_INIT;
    together[p] = &c[p];
    ck_assert_fl4(fl4_compare_samples(swapped ? other : base, ROUNDS, swapped ? base : other, ROUNDS, options, &c[p]));
  }
  ck_assert_fl4(fl4_compare_judge(together, PROBLEMS));
}

static int count(const fl4_comparison *c, fl4_verdict verdict)
{
  int n = 0;
  for (int p = 0; p < PROBLEMS; p++) n += c[p].verdict == (int)verdict;
  return n;
}

static void all_ratios(double *ratio, double value)
{
  for (int p = 0; p < PROBLEMS; p++) ratio[p] = value;
}

static fl4_compare_options paired(void)
{
  fl4_compare_options o = FL4_COMPARE_OPTIONS_INIT;
  o.paired = 1;
  return o;
}

/* Every problem slower by 5 %, or one of them: red in 95 runs of 100 at least. */
START_TEST(a_slowdown_is_found)
{
  const fl4_compare_options o = paired();
  double ratio[PROBLEMS];
  for (int slow = 1; slow <= PROBLEMS; slow += PROBLEMS - 1) {
    fl4__random random;
    fl4__random_init(&random, (uint64_t)slow);
    int red = 0, verdicts = 0, wrong = 0;
    for (int run = 0; run < RUNS; run++) {
      fl4_comparison c[PROBLEMS];
      all_ratios(ratio, 1);
      for (int p = 0; p < slow; p++) ratio[p] = 1.05;
      judge(&random, ratio, &o, c, false);
      int found = 0;
      for (int p = 0; p < slow; p++) found += c[p].verdict == FL4_VERDICT_SLOWER;
      red += found > 0, verdicts += found;
      wrong += count(c, FL4_VERDICT_SLOWER) > found || count(c, FL4_VERDICT_FASTER) > 0;
    }
    printf(
        "# %d of 20 slower by 5 %%: %d of 100 runs red; %d of %d slow problems \"slower\"; %d runs with a false one\n",
        slow, red, verdicts, RUNS * slow, wrong);
    ck_assert_int_ge(red, 95);
    ck_assert_int_ge(verdicts, RUNS * slow * 95 / 100);
    ck_assert_int_le(wrong, 5);
  }
}
END_TEST

/* A build against itself: green in 95 runs of 100 at least, and mostly "same" rather than undecided. */
START_TEST(identical_builds_stay_green)
{
  const fl4_compare_options o = paired();
  fl4__random random;
  fl4__random_init(&random, 30);
  int green = 0, same = 0, ambiguous = 0;
  double ratio[PROBLEMS];
  all_ratios(ratio, 1);
  for (int run = 0; run < RUNS; run++) {
    fl4_comparison c[PROBLEMS];
    judge(&random, ratio, &o, c, false);
    green += count(c, FL4_VERDICT_SLOWER) + count(c, FL4_VERDICT_FASTER) == 0;
    same += count(c, FL4_VERDICT_SAME), ambiguous += count(c, FL4_VERDICT_AMBIGUOUS);
  }
  printf("# identical: %d of 100 runs green; of 2000 problems %d \"same\", %d \"ambiguous\"\n", green, same, ambiguous);
  ck_assert_int_ge(green, 95);
  ck_assert_int_gt(same, RUNS * PROBLEMS / 2);
}
END_TEST

/*
 * The risk that is promised, where it is hardest to keep: a threshold far below the noise, so that
 * both directions can be taken wrongly.
 */
START_TEST(the_risk_is_alpha)
{
  enum { TRIALS = 600 };
  fl4_compare_options o = paired();
  o.threshold = 1e-5, o.resamples = 100;
  o.alpha = 0.215; /* of 100 pairs 38 give p = 0.0105: 20 hypotheses would reject it, 40 do not */
  fl4__random random;
  fl4__random_init(&random, 31);
  double ratio[PROBLEMS];
  all_ratios(ratio, 1);
  int wrong = 0, one_direction = 0;
  for (int run = 0; run < TRIALS; run++) {
    fl4_comparison c[PROBLEMS];
    judge(&random, ratio, &o, c, false);
    wrong += count(c, FL4_VERDICT_SLOWER) + count(c, FL4_VERDICT_FASTER) > 0;
    double least = 1;
    for (int p = 0; p < PROBLEMS; p++) least = fmin(least, fmin(c[p].p_slower, c[p].p_faster));
    one_direction += PROBLEMS * least < o.alpha;
  }
  printf("# threshold 0: a wrong verdict in %d of %d runs at alpha 0.215 (%d with 20 hypotheses, not 40)\n", wrong,
         TRIALS, one_direction);
  ck_assert(wrong < TRIALS * o.alpha || noise_deviations(wrong, TRIALS, o.alpha) < 4);
  ck_assert_double_gt(noise_deviations(one_direction, TRIALS, o.alpha), 4);
}
END_TEST

/* Who is called base changes the words only. */
START_TEST(swapped_roles_mirror_every_verdict)
{
  static const int mirrored[] = {FL4_VERDICT_AMBIGUOUS, FL4_VERDICT_SAME, FL4_VERDICT_SLOWER, FL4_VERDICT_FASTER};
  const fl4_compare_options o = paired();
  int seen[FL4_VERDICT_COUNT] = {0}, differ = 0;
  double ratio[PROBLEMS];
  for (int p = 0; p < PROBLEMS; p++) ratio[p] = 0.95 + 0.005 * p;
  for (int run = 0; run < 20; run++) {
    fl4_comparison c[PROBLEMS], back[PROBLEMS];
    fl4__random random;
    fl4__random_init(&random, (uint64_t)run);
    judge(&random, ratio, &o, c, false);
    fl4__random_init(&random, (uint64_t)run);
    judge(&random, ratio, &o, back, true);
    for (int p = 0; p < PROBLEMS; p++) {
      differ += back[p].verdict != mirrored[c[p].verdict];
      seen[c[p].verdict]++;
    }
  }
  ck_assert_int_eq(differ, 0);
  for (int i = 0; i < FL4_VERDICT_COUNT; i++) ck_assert_int_ge(seen[i], 20);
}
END_TEST

/* The order of problems changes nothing. */
START_TEST(order_of_problems_is_free)
{
  const fl4_compare_options o = paired();
  fl4__random random;
  fl4__random_init(&random, 33);
  double ratio[PROBLEMS];
  for (int p = 0; p < PROBLEMS; p++) ratio[p] = 1 + 0.003 * p;
  fl4_comparison c[PROBLEMS], again[PROBLEMS], *backwards[PROBLEMS];
  judge(&random, ratio, &o, c, false);
  memcpy(again, c, sizeof c);
  for (int p = 0; p < PROBLEMS; p++) {
    again[p].verdict = 0, again[p].p_adjusted = 0;
    backwards[p] = &again[PROBLEMS - 1 - p];
  }
  ck_assert_fl4(fl4_compare_judge(backwards, PROBLEMS));
  ck_assert_mem_eq(again, c, sizeof c);
}
END_TEST

/* Two runs that share nothing, clocks steady: noise does not cancel, but 5 % are still found. */
START_TEST(unpaired_runs_are_judged)
{
  const fl4_compare_options o = FL4_COMPARE_OPTIONS_INIT;
  fl4__random random;
  fl4__random_init(&random, 34);
  int red = 0, green = 0, same = 0;
  for (int run = 0; run < 4 * RUNS; run++) {
    const double ratio = run % 2 ? 1.05 : 1, sigma = 0.01 + 0.02 * noise_unit(&random);
    double base[ROUNDS], other[ROUNDS - 20];
    for (int i = 0; i < ROUNDS; i++) base[i] = noise_lognormal(&random, sigma) * (noise_unit(&random) < 0.02 ? 1.2 : 1);
    for (int i = 0; i < ROUNDS - 20; i++)
      other[i] = ratio * noise_lognormal(&random, sigma) * (noise_unit(&random) < 0.02 ? 1.2 : 1);
    fl4_comparison c = FL4_COMPARISON_INIT;
    ck_assert_fl4(fl4_compare_samples(base, ROUNDS, other, ROUNDS - 20, &o, &c));
    if (run % 2)
      red += c.verdict == FL4_VERDICT_SLOWER;
    else
      green += c.verdict == FL4_VERDICT_SAME || c.verdict == FL4_VERDICT_AMBIGUOUS,
          same += c.verdict == FL4_VERDICT_SAME;
  }
  printf("# unpaired: %d of 200 slower by 5 %% red; of 200 identical %d green, %d of them \"same\"\n", red, green,
         same);
  ck_assert_int_ge(red, 190);
  ck_assert_int_ge(green, 190);
}
END_TEST

/* ---------------------------------------------------------------- intervals */

/* How often does the interval hold the true ratio? A percentile bootstrap is a little narrow when n is small. */
START_TEST(intervals_cover)
{
  enum { TRIALS = 2000 };
  static const int sizes[] = {6, 15, 40, 100};
  for (int skewed = 0; skewed < 2; skewed++)
    for (int s = 0; s < 4; s++) {
      const int n = sizes[s];
      fl4__random random;
      fl4__random_init(&random, (uint64_t)(40 + 4 * skewed + s));
      int covered[2] = {0};
      for (int t = 0; t < TRIALS; t++) {
        double base[100], other[100];
        for (int i = 0; i < n; i++) {
          base[i] = skewed ? 1 - log(noise_unit(&random)) : noise_lognormal(&random, 0.03);
          other[i] = 1.02 * (skewed ? 1 - log(noise_unit(&random)) : noise_lognormal(&random, 0.03));
        }
        fl4_compare_options o = FL4_COMPARE_OPTIONS_INIT;
        o.resamples = 400, o.seed = (uint64_t)t;
        for (o.paired = 0; o.paired < 2; o.paired++) {
          fl4_comparison c = FL4_COMPARISON_INIT;
          if (fl4_compare_samples(base, n, other, n, &o, &c) != FL4_OK) ck_abort();
          covered[o.paired] += c.low <= 1.02 && 1.02 <= c.high;
        }
      }
      printf("# %s, n = %d: %.1f %% paired, %.1f %% unpaired\n", skewed ? "exponential" : "lognormal", n,
             100.0 * covered[1] / TRIALS, 100.0 * covered[0] / TRIALS);
      for (int i = 0; i < 2; i++) {
        /* Between 92 and 99 %, with four deviations of chance. */
        ck_assert(covered[i] >= TRIALS * 0.92 || noise_deviations(covered[i], TRIALS, 0.92) < 4);
        ck_assert(covered[i] <= TRIALS * 0.99 || noise_deviations(covered[i], TRIALS, 0.99) < 4);
      }
    }
}
END_TEST

static Suite *make_suite(void)
{
  Suite *suite = suite_create("verdicts");
  TCase *c = tcase_create("verdicts");
  tcase_set_timeout(c, 200);
  tcase_add_test(c, a_slowdown_is_found);
  tcase_add_test(c, identical_builds_stay_green);
  tcase_add_test(c, the_risk_is_alpha);
  tcase_add_test(c, swapped_roles_mirror_every_verdict);
  tcase_add_test(c, order_of_problems_is_free);
  tcase_add_test(c, unpaired_runs_are_judged);
  tcase_add_test(c, intervals_cover);
  suite_add_tcase(suite, c);
  return suite;
}

FL4_TEST_MAIN(make_suite)

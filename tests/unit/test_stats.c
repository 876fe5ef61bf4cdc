/* SPDX-License-Identifier: Apache-2.0 */
/* Statistics of a sample against published values, brute force and simulation. */
#include <float.h>
#include <stdint.h>

#include "bench/stats.h"
#include "no_memory.h"
#include "noise.h"

static fl4_statistics statistics(const double *x, int64_t n)
{
  fl4_statistics s = FL4_STATISTICS_INIT;
  ck_assert_fl4(fl4_statistics_compute(x, n, &s));
  ck_assert_int_eq(s.n, n);
  return s;
}

/* ---------------------------------------------------------------- moments */

/* NIST, Statistical Reference Datasets, univariate: NumAcc1 to NumAcc4 with their certified values. */
START_TEST(moments_are_certified)
{
  const double first[] = {10000001, 10000003, 10000002};
  fl4_statistics s = statistics(first, 3);
  ck_assert_double_eq(s.mean, 10000002);
  ck_assert_double_eq(s.stdev, 1);

  const struct {
    double middle, tolerance; /* relative, of the deviation: decimal fractions are not exact in binary */
  } sets[] = {{1.2, 1e-14}, {1000000.2, 1e-8}, {10000000.2, 1e-7}};
  for (int i = 0; i < 3; i++) {
    double x[1001] = {sets[i].middle};
    for (int k = 1; k < 1001; k++) x[k] = sets[i].middle + (k % 2 ? -0.1 : 0.1);
    s = statistics(x, 1001);
    ck_assert_double_eq_tol(s.mean, sets[i].middle, 1e-15 * sets[i].middle);
    ck_assert_double_eq_tol(s.stdev, 0.1, 0.1 * sets[i].tolerance);
  }
}
END_TEST

START_TEST(extremes_do_not_overflow)
{
  const double huge[] = {DBL_MAX, DBL_MAX, DBL_MAX, DBL_MAX, DBL_MAX, DBL_MAX};
  fl4_statistics s = statistics(huge, 6);
  ck_assert(s.mean == DBL_MAX && s.p50 == DBL_MAX && s.min == DBL_MAX && s.p50_low == DBL_MAX && s.stdev == 0);
  const double both[] = {-DBL_MAX, DBL_MAX, -DBL_MAX, DBL_MAX, -DBL_MAX, DBL_MAX};
  s = statistics(both, 6);
  ck_assert(s.mean == 0 && s.p50 == 0 && s.p50_low == -DBL_MAX && s.p50_high == DBL_MAX);
  const double tiny[] = {5e-324, 5e-324, 5e-324, 5e-324, 5e-324, 5e-324};
  s = statistics(tiny, 6);
  ck_assert(s.mean == 5e-324 && s.p50 == 5e-324);
}
END_TEST

/* ---------------------------------------------------------------- order */

START_TEST(small_samples_promise_nothing)
{
  const double x[] = {3, 1, 2, 5, 4, 6};
  fl4_statistics s = statistics(x, 1);
  ck_assert(s.min == 3 && s.max == 3 && s.mean == 3 && isnan(s.stdev));
  ck_assert(isnan(s.p50) && isnan(s.p50_low) && isnan(s.p50_high) && isnan(s.p90) && isnan(s.p95) && isnan(s.p99));
  s = statistics(x, 5);
  ck_assert(s.min == 1 && s.max == 5 && s.mean == 3 && isnan(s.p50) && isnan(s.p50_low) && isnan(s.p50_high));
  s = statistics(x, 6);
  ck_assert(s.p50 == 3.5 && s.p50_low == 1 && s.p50_high == 6 && isnan(s.p90));
}
END_TEST

/* The least n with 1 − pⁿ ≥ 0.975: the largest of n is above the percentile so often. */
static int least_samples(double p)
{
  int n = 1;
  while (1 - pow(p, n) < 0.975) n++;
  return n;
}

/* Of 1 … n the smallest that `percent` of them do not exceed. */
static int counted_percentile(int n, int percent)
{
  for (int value = 1;; value++)
    if (100 * value >= percent * n) return value;
}

static void check_percentile(double found, int n, int percent)
{
  if (n < least_samples(percent / 100.0))
    ck_assert_msg(isnan(found), "p%d of %d: %g", percent, n, found);
  else
    ck_assert_msg(found == counted_percentile(n, percent), "p%d of %d: %g", percent, n, found);
}

/* Every size up to 800, 1 … n in random order. */
START_TEST(percentiles_are_counted)
{
  ck_assert_int_eq(least_samples(0.5), 6);
  ck_assert_int_eq(least_samples(0.9), 36);
  ck_assert_int_eq(least_samples(0.95), 72);
  ck_assert_int_eq(least_samples(0.99), 368);
  fl4__random random;
  fl4__random_init(&random, 1);
  for (int n = 1; n <= 800; n++) {
    double x[800], before[800];
    for (int i = 0; i < n; i++) x[i] = i + 1;
    for (int i = n - 1; i > 0; i--) {
      const uint32_t other = fl4__random_below(&random, (uint32_t)i + 1);
      const double swapped = x[i];
      x[i] = x[other], x[other] = swapped;
    }
    memcpy(before, x, sizeof x);
    fl4_statistics s = statistics(x, n);
    ck_assert_mem_eq(before, x, sizeof x);
    ck_assert(s.min == 1 && s.max == n && s.mean == (n + 1) / 2.0);
    ck_assert(n < 6 ? isnan(s.p50) : s.p50 == (n + 1) / 2.0);
    if (n > 1) ck_assert_double_eq_tol(s.stdev, sqrt(n * (n + 1) / 12.0), 1e-12 * n);
    check_percentile(s.p90, n, 90);
    check_percentile(s.p95, n, 95);
    check_percentile(s.p99, n, 99);
    const double rank = (double)fl4__median_rank(n);
    ck_assert(n < 6 ? isnan(s.p50_low) && isnan(s.p50_high) : s.p50_low == rank && s.p50_high == n + 1 - rank);
  }
}
END_TEST

/* ---------------------------------------------------------------- the median's interval */

/* P(X ≤ k) of n throws, from Pascal's triangle. */
static long double pascal_tail(int n, int k)
{
  static long double row[1001];
  memset(row, 0, sizeof row);
  row[0] = 1;
  for (int i = 1; i <= n; i++)
    for (int j = i; j >= 0; j--) row[j] = (row[j] + (j ? row[j - 1] : 0)) / 2;
  long double sum = 0;
  for (int i = 0; i <= k; i++) sum += row[i];
  return sum;
}

START_TEST(binomial_is_exact)
{
  static const int sizes[] = {1, 2, 3, 4, 5, 6, 7, 10, 31, 64, 101, 400, 1000};
  for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
    for (int n = sizes[s], k = -1; k <= n + 1; k += n > 50 ? 7 : 1) {
      const double expected = k < 0 ? 0 : k >= n ? 1 : (double)pascal_tail(n, k);
      ck_assert_double_le(fabs(fl4__binomial_tail(n, k) - expected), 1e-12 * expected);
    }
  /* R: pbinom(40, 100, 0.5) */
  ck_assert_double_eq_tol(fl4__binomial_tail(100, 40), 0.02844397, 1e-8);
  ck_assert_double_eq_tol(fl4__binomial_tail(1000, 0), ldexp(1, -1000), 1e-12 * ldexp(1, -1000));
  ck_assert_double_eq(fl4__binomial_tail(100000, 0), 0); /* 10⁻³⁰¹⁰³ */
  ck_assert_double_eq_tol(fl4__binomial_tail(999999, 499999), 0.5, 1e-12);

  /* A million throws, against logarithms of factorials. */
  long double sum = 0;
  for (int i = 480000; i <= 499000; i++)
    sum += expl(lgammal(1000001) - lgammal(i + 1.0L) - lgammal(1000001.0L - i) - 1000000 * logl(2));
  ck_assert_double_eq_tol(fl4__binomial_tail(1000000, 499000), (double)sum, 1e-9 * (double)sum);
}
END_TEST

/*
 * Critical values of the two-sided sign test at 5 %, Triola, Elementary Statistics, table A-7, for n
 * from 6: the interval begins one rank above.
 */
START_TEST(ranks_are_published)
{
  static const int critical[] = {0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 4, 4, 4, 5, 5, 5, 6, 6, 7};
  for (int n = 1; n < 6; n++) ck_assert_int_eq(fl4__median_rank(n), 0);
  for (int i = 0; i < 20; i++) ck_assert_int_eq(fl4__median_rank(6 + i), critical[i] + 1);
  for (int n = 6; n <= 1000; n++) {
    const int rank = (int)fl4__median_rank(n);
    ck_assert(pascal_tail(n, rank - 1) <= 0.025 && pascal_tail(n, rank) > 0.025);
  }
  for (int64_t n = 1001; n <= 1000000; n += n / 7) {
    const int64_t rank = fl4__median_rank(n);
    ck_assert(fl4__binomial_tail(n, rank - 1) <= 0.025 && fl4__binomial_tail(n, rank) > 0.025);
  }
}
END_TEST

/* Distributions with their median. */
static double draw(int distribution, fl4__random *random)
{
  switch (distribution) {
  case 0: return noise_normal(random);
  case 1: return noise_lognormal(random, 1) - 1;
  case 2: return -log(noise_unit(random)) - log(2);                    /* exponential */
  default: return tan(3.141592653589793 * (noise_unit(random) - 0.5)); /* Cauchy: has no mean */
  }
}

/* The interval holds the median as often as the binomial distribution says, whatever is sampled. */
START_TEST(interval_covers)
{
  enum { TRIALS = 10000 };
  static const int sizes[] = {6, 25, 100};
  for (int d = 0; d < 4; d++)
    for (int s = 0; s < 3; s++) {
      const int n = sizes[s];
      fl4__random random;
      fl4__random_init(&random, (uint64_t)(10 * d + s));
      int covered = 0;
      for (int t = 0; t < TRIALS; t++) {
        double x[100];
        for (int i = 0; i < n; i++) x[i] = draw(d, &random);
        const fl4_statistics found = statistics(x, n);
        covered += found.p50_low <= 0 && 0 <= found.p50_high;
      }
      int rank = 1;
      while (pascal_tail(n, rank) <= 0.025) rank++;
      const double expected = (double)(1 - 2 * pascal_tail(n, rank - 1));
      ck_assert_double_ge(expected, 0.95);
      ck_assert_msg(noise_deviations(covered, TRIALS, expected) < 4.5, "distribution %d, n %d: %d covered, not %g", d,
                    n, covered, TRIALS * expected);
      /* One rank further in or out would be seen. */
      const double tighter = (double)(1 - 2 * pascal_tail(n, rank));
      const double wider = rank > 1 ? (double)(1 - 2 * pascal_tail(n, rank - 2)) : 1;
      ck_assert(noise_deviations(covered, TRIALS, tighter) > 4.5);
      ck_assert(rank == 1 || noise_deviations(covered, TRIALS, wider) > 4.5);
    }
}
END_TEST

/* ---------------------------------------------------------------- the call */

START_TEST(refuses)
{
  double x[] = {1, 2, 3};
  fl4_statistics s = FL4_STATISTICS_INIT;
  s.n = 77;
  ck_assert_fl4_fails(fl4_statistics_compute(NULL, 3, &s), FL4_INVALID_ARGUMENT, "samples: is NULL");
  ck_assert_fl4_fails(fl4_statistics_compute(x, 3, NULL), FL4_INVALID_ARGUMENT, "out: is NULL");
  ck_assert_fl4_fails(fl4_statistics_compute(x, 0, &s), FL4_INVALID_ARGUMENT, "n: is 0, must be at least 1");
  ck_assert_fl4_fails(fl4_statistics_compute(x, INT64_MIN, &s), FL4_INVALID_ARGUMENT, "n: is -9223372036854775808");
  x[1] = NAN;
  ck_assert_fl4_fails(fl4_statistics_compute(x, 3, &s), FL4_INVALID_ARGUMENT, "samples[1]: is nan, must be finite");
  x[1] = 2, x[2] = -INFINITY;
  ck_assert_fl4_fails(fl4_statistics_compute(x, 3, &s), FL4_INVALID_ARGUMENT, "samples[2]: is -inf, must be finite");
  ck_assert_fl4(fl4_statistics_compute(x, 2, &s));
  s.n = 77, s.struct_size = 0;
  ck_assert_fl4_fails(fl4_statistics_compute(x, 2, &s), FL4_INVALID_ARGUMENT, "fl4_statistics.struct_size: is 0");
  ck_assert_int_eq(s.n, 77);
}
END_TEST

/* A caller that knows fewer fields, and one that knows more. */
START_TEST(fills_what_the_caller_has)
{
  const double x[] = {1, 2, 3};
  fl4_statistics s = FL4_STATISTICS_INIT;
  s.max = 77, s.struct_size = offsetof(fl4_statistics, max);
  ck_assert_fl4(fl4_statistics_compute(x, 3, &s));
  ck_assert(s.n == 3 && s.min == 1 && s.max == 77);

  struct {
    fl4_statistics known;
    uint64_t more;
  } later = {FL4_STATISTICS_INIT, 0};
  later.known.struct_size = sizeof later;
  ck_assert_fl4(fl4_statistics_compute(x, 3, &later.known));
  ck_assert(later.known.max == 3 && later.known.struct_size == sizeof later);
  later.more = 1;
  ck_assert_fl4_fails(fl4_statistics_compute(x, 3, &later.known), FL4_INVALID_ARGUMENT, "too old");
}
END_TEST

START_TEST(memory_runs_out)
{
  const double x[] = {1, 2, 3};
  fl4_statistics s = FL4_STATISTICS_INIT;
  ck_assert_fl4_needs(1, fl4_statistics_compute(x, 3, &s));
}
END_TEST

static Suite *make_suite(void)
{
  Suite *suite = suite_create("stats");
  TCase *c = tcase_create("stats");
  tcase_set_timeout(c, 120);
  tcase_add_test(c, moments_are_certified);
  tcase_add_test(c, extremes_do_not_overflow);
  tcase_add_test(c, small_samples_promise_nothing);
  tcase_add_test(c, percentiles_are_counted);
  tcase_add_test(c, binomial_is_exact);
  tcase_add_test(c, ranks_are_published);
  tcase_add_test(c, interval_covers);
  tcase_add_test(c, refuses);
  tcase_add_test(c, fills_what_the_caller_has);
  tcase_add_test(c, memory_runs_out);
  suite_add_tcase(suite, c);
  return suite;
}

FL4_TEST_MAIN(make_suite)

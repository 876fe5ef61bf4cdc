/* SPDX-License-Identifier: Apache-2.0 */
/* Tests and verdicts against published examples, brute force and their own rules. */
#include <stdint.h>

#include "bench/stats.h"
#include "no_memory.h"
#include "noise.h"

static int rising(const void *a, const void *b)
{
  const double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static fl4_comparison compared(const double *base, int64_t n_base, const double *other, int64_t n_other,
                               const fl4_compare_options *options)
{
  fl4_comparison c = FL4_COMPARISON_INIT;
  ck_assert_fl4(fl4_compare_samples(base, n_base, other, n_other, options, &c));
  return c;
}

/* ---------------------------------------------------------------- Mann–Whitney */

static double mann_whitney(const double *x, int nx, const double *y, int ny)
{
  double a[64], b[64];
  memcpy(a, x, (size_t)nx * sizeof *x), memcpy(b, y, (size_t)ny * sizeof *y);
  qsort(a, (size_t)nx, sizeof *a, rising), qsort(b, (size_t)ny, sizeof *b, rising);
  return fl4__mann_whitney(a, nx, b, ny, 1);
}

/* What SciPy's and R's manuals print; two-sided p-values are twice the smaller one-sided. */
START_TEST(mann_whitney_is_published)
{
  /* scipy.stats.mannwhitneyu, age of diagnosis of diabetes, method='asymptotic' */
  const double men[] = {19, 22, 16, 29, 24}, women[] = {20, 11, 17, 12};
  ck_assert_double_eq_tol(2 * mann_whitney(men, 5, women, 4), 0.11134688653314041, 1e-14);

  /* R, ?wilcox.test: ozone in May and August of 1973 in New York; W = 127.5, p = 0.0001208. Many ties. */
  const double may[] = {41, 36, 12, 18, 28, 23, 19, 8, 7,  16, 11, 14,  18,
                        14, 34, 6,  30, 11, 1,  11, 4, 32, 23, 45, 115, 37};
  const double august[] = {39, 9,  16, 78, 35, 66, 122, 89,  110, 44, 28,  65, 22,
                           59, 23, 31, 44, 21, 9,  45,  168, 73,  76, 118, 84, 85};
  ck_assert_double_eq_tol(2 * mann_whitney(august, 26, may, 26), 0.0001208, 5e-8);
  ck_assert_double_gt(mann_whitney(may, 26, august, 26), 0.9999);

  /* Hollander and Wolfe 1973, p. 69 f.: permeability of a membrane, exact one-sided p 0.127 */
  const double term[] = {0.80, 0.83, 1.89, 1.04, 1.45, 1.38, 1.91, 1.64, 0.73, 1.46};
  const double early[] = {1.15, 0.88, 0.90, 0.74, 1.21};
  ck_assert_double_eq_tol(mann_whitney(term, 10, early, 5), 0.127, 0.005);
}
END_TEST

/* Against all ways to deal the values to the two sides: 8 and 7, without and with ties. */
START_TEST(mann_whitney_is_near_the_exact_test)
{
  enum { NX = 8, NY = 7, N = NX + NY };
  fl4__random random;
  fl4__random_init(&random, 9);
  for (int set = 0; set < 12; set++) {
    double values[N];
    for (int i = 0; i < N; i++) values[i] = set % 2 ? 1 + fl4__random_below(&random, 5) : noise_unit(&random);
    double observed = 0;
    int as_high = 0, deals = 0;
    for (int pass = 0; pass < 2; pass++)
      for (int mask = pass ? 0 : (1 << NX) - 1; mask < 1 << N; mask++) {
        if (__builtin_popcount((unsigned)mask) != NX) continue;
        double u = 0;
        for (int i = 0; i < N; i++)
          for (int j = 0; j < N; j++)
            if (mask >> i & 1 && !(mask >> j & 1)) u += values[i] > values[j] ? 1 : values[i] == values[j] ? 0.5 : 0;
        if (pass == 0) {
          observed = u; /* the first NX values are x */
          break;
        }
        deals++, as_high += u >= observed;
      }
    ck_assert_int_eq(deals, 6435);
    /* With ties u goes in steps of a half, which the correction for continuity does not know. */
    const double exact = (double)as_high / deals, tolerance = set % 2 ? 0.04 : 0.006;
    ck_assert_double_eq_tol(mann_whitney(values, NX, values + NX, NY), exact, tolerance);
  }
}
END_TEST

START_TEST(mann_whitney_needs_evidence)
{
  const double same[] = {2, 2, 2, 2}, one = 2, two = 3;
  ck_assert_double_eq(fl4__mann_whitney(same, 4, same, 4, 1), 1); /* no variance */
  ck_assert_double_eq(fl4__mann_whitney(&one, 1, &one, 1, 1), 1);
  ck_assert_double_ge(fl4__mann_whitney(&two, 1, &one, 1, 1), 0.3);
  ck_assert_double_gt(fl4__mann_whitney(same, 4, same, 4, 1.01), 0.97); /* scaled base is above */
  ck_assert_double_lt(fl4__mann_whitney(same, 4, same, 4, 0.99), 0.01);
}
END_TEST

/* ---------------------------------------------------------------- sign test */

/* All 2ⁿ outcomes of n fair throws, and what compare makes of the same number of pairs. */
START_TEST(sign_test_is_counted)
{
  enum { N = 10 };
  fl4_compare_options o = FL4_COMPARE_OPTIONS_INIT;
  o.paired = 1, o.resamples = 100, o.threshold = 0.5;
  for (int above = 0; above <= N; above++)
    for (int at = 0; above + at <= N; at++) { /* pairs exactly at the threshold, which are not above it */
      double base[N], other[N];
      for (int i = 0; i < N; i++) base[i] = 2, other[i] = i < above ? 3.25 : i < above + at ? 3 : 2.75;
      int as_many = 0;
      for (unsigned mask = 0; mask < 1u << N; mask++) as_many += __builtin_popcount(mask) >= above;
      fl4_comparison c = compared(base, N, other, N, &o);
      ck_assert_double_eq_tol(c.p_slower, (double)as_many / (1 << N), 1e-15);
      ck_assert_double_eq_tol(c.p_faster, 1, 1e-15);
      c = compared(other, N, base, N, &o);
      ck_assert_double_eq_tol(c.p_faster, (double)as_many / (1 << N), 1e-15);
      ck_assert_double_eq_tol(c.p_slower, 1, 1e-15);
    }
}
END_TEST

/* ---------------------------------------------------------------- Holm */

START_TEST(holm_is_published)
{
  /* The example of Wikipedia, "Holm–Bonferroni method": at 0.05 the first and the last are rejected. */
  double p[] = {0.01, 0.04, 0.03, 0.005};
  const double adjusted[] = {0.03, 0.06, 0.06, 0.02};
  ck_assert_fl4(fl4__holm(p, 4));
  for (int i = 0; i < 4; i++) ck_assert_double_eq_tol(p[i], adjusted[i], 1e-15);
  double one = 0.3;
  ck_assert_fl4(fl4__holm(&one, 1));
  ck_assert_double_eq(one, 0.3);
}
END_TEST

/* By Holm's own words: reject the smallest while p ≤ α / (hypotheses left), then stop. */
START_TEST(holm_is_holms)
{
  fl4__random random;
  fl4__random_init(&random, 10);
  int wrong = 0;
  for (int trial = 0; trial < 200; trial++) {
    const int n = 1 + (int)fl4__random_below(&random, 12);
    double p[12], adjusted[12];
    for (int i = 0; i < n; i++) adjusted[i] = p[i] = fl4__random_below(&random, 20) / 40.0; /* ties, zeros */
    ck_assert_fl4(fl4__holm(adjusted, n));
    for (int level = 0; level < 200; level++) { /* below 1: adjusted values end there */
      const double alpha = level / 200.0 + 1e-9;
      bool rejected[12] = {false};
      for (int left = n; left > 0; left--) {
        int least = -1;
        for (int i = 0; i < n; i++)
          if (!rejected[i] && (least < 0 || p[i] < p[least])) least = i;
        if (p[least] > alpha / left) break;
        rejected[least] = true;
      }
      for (int i = 0; i < n; i++) wrong += (adjusted[i] <= alpha) != rejected[i];
    }
  }
  ck_assert_int_eq(wrong, 0);
}
END_TEST

/* ---------------------------------------------------------------- comparing */

START_TEST(ratio_is_of_the_medians)
{
  const double base[] = {1, 2, 3, 4, 5, 60}, other[] = {2, 2, 6, 2, 25, 6};
  fl4_compare_options o = FL4_COMPARE_OPTIONS_INIT;
  fl4_comparison c = compared(base, 6, other, 5, NULL);
  ck_assert_double_eq(c.ratio, 2 / 3.5);
  ck_assert(c.n == 5 && c.paired == 0 && c.threshold == 0.01 && c.alpha == 0.05);
  o.paired = 1, o.threshold = 0.2, o.alpha = 0.3;
  c = compared(base, 6, other, 6, &o); /* ratios 2 1 2 0.5 5 0.1 */
  ck_assert_double_eq_tol(c.ratio, sqrt(2), 1e-15);
  ck_assert(c.n == 6 && c.paired == 1 && c.threshold == 0.2 && c.alpha == 0.3);
  ck_assert_double_eq(c.p_adjusted, fmin(1, 2 * fmin(c.p_slower, c.p_faster)));
  c = compared(base, 5, other, 5, &o);
  ck_assert_double_eq(c.ratio, 2);
}
END_TEST

/* Five samples cannot bound a median: whatever they say, it is no verdict. */
START_TEST(few_samples_decide_nothing)
{
  const double base[] = {1, 1, 1, 1, 1, 1}, other[] = {2, 2, 2, 2, 2, 2};
  fl4_compare_options o = FL4_COMPARE_OPTIONS_INIT;
  for (o.paired = 0; o.paired < 2; o.paired++) {
    for (int n = 1; n < 6; n++) {
      fl4_comparison c = compared(base, n, other, n, &o);
      ck_assert(c.ratio == 2 && isnan(c.low) && isnan(c.high) && c.verdict == FL4_VERDICT_AMBIGUOUS);
      c = compared(base, n, base, n, &o);
      ck_assert(c.ratio == 1 && c.verdict == FL4_VERDICT_AMBIGUOUS);
    }
    fl4_comparison c = compared(base, 6, other, 6, &o);
    ck_assert(c.low == 2 && c.high == 2 && c.verdict == FL4_VERDICT_SLOWER);
    ck_assert_int_eq(compared(other, 6, base, 6, &o).verdict, FL4_VERDICT_FASTER);
    ck_assert_int_eq(compared(base, 6, base, 6, &o).verdict, FL4_VERDICT_SAME);
  }
}
END_TEST

/* Base and other change places: everything is its reciprocal. */
START_TEST(roles_are_mirrored)
{
  static const int mirrored[] = {FL4_VERDICT_AMBIGUOUS, FL4_VERDICT_SAME, FL4_VERDICT_SLOWER, FL4_VERDICT_FASTER};
  fl4__random random;
  fl4__random_init(&random, 14);
  fl4_compare_options o = FL4_COMPARE_OPTIONS_INIT;
  int seen[FL4_VERDICT_COUNT] = {0};
  for (int trial = 0; trial < 400; trial++) {
    double base[60], other[60];
    const int n = 6 + (int)fl4__random_below(&random, 55);
    const double shift = 0.94 + 0.03 * fl4__random_below(&random, 5), sigma = 0.02 * noise_unit(&random);
    for (int i = 0; i < n; i++) {
      base[i] = noise_lognormal(&random, sigma), other[i] = shift * noise_lognormal(&random, sigma);
      /* Ticks of a coarse clock make ties. */
      if (trial % 2) base[i] = ceil(200 * base[i]) / 200, other[i] = ceil(200 * other[i]) / 200;
    }
    o.paired = 1, o.resamples = 500, o.seed = (uint64_t)trial;
    const fl4_comparison c = compared(base, n, other, n, &o), back = compared(other, n, base, n, &o);
    ck_assert_double_eq_tol(back.ratio, 1 / c.ratio, 1e-15);
    ck_assert_double_eq_tol(back.low, 1 / c.high, 1e-15);
    ck_assert_double_eq_tol(back.high, 1 / c.low, 1e-15);
    ck_assert(back.p_slower == c.p_faster && back.p_faster == c.p_slower && back.p_adjusted == c.p_adjusted);
    ck_assert_int_eq(back.verdict, mirrored[c.verdict]);
    ck_assert(c.low <= c.ratio && c.ratio <= c.high);
    seen[c.verdict]++;

    o.paired = 0;
    const fl4_comparison alone = compared(base, n, other, n, &o), alone_back = compared(other, n, base, n, &o);
    ck_assert_double_eq_tol(alone_back.ratio, 1 / alone.ratio, 1e-15);
    ck_assert(alone_back.p_slower == alone.p_faster && alone_back.p_faster == alone.p_slower);
    ck_assert_double_eq_tol(alone_back.low, 1 / alone.high, 0.02); /* drawn otherwise */
  }
  for (int i = 0; i < FL4_VERDICT_COUNT; i++) ck_assert_int_ge(seen[i], 15);
}
END_TEST

START_TEST(refuses_samples)
{
  double good[] = {1, 2, 3, 4, 5, 6}, bad[] = {1, 2, 3, 4, 5, 6};
  fl4_compare_options o = FL4_COMPARE_OPTIONS_INIT;
  fl4_comparison c = FL4_COMPARISON_INIT;
  c.ratio = 77;
#define REFUSED(words, ...) ck_assert_fl4_fails(fl4_compare_samples(__VA_ARGS__), FL4_INVALID_ARGUMENT, words)
  REFUSED("base: is NULL", NULL, 6, good, 6, NULL, &c);
  REFUSED("other: is NULL", good, 6, NULL, 6, NULL, &c);
  REFUSED("out: is NULL", good, 6, good, 6, NULL, NULL);
  REFUSED("n_base: is 0, must be from 1 to 2147483647", good, 0, good, 6, NULL, &c);
  REFUSED("n_other: is -3", good, 6, good, -3, NULL, &c);
  REFUSED("n_other: is 2147483648", good, 6, good, (int64_t)INT32_MAX + 1, NULL, &c);
  static const double wrong[] = {0, -1, NAN, INFINITY, -INFINITY};
  for (int i = 0; i < 5; i++) {
    bad[4] = wrong[i];
    REFUSED("base[4]: is", bad, 6, good, 6, NULL, &c);
    REFUSED("other[4]: is", good, 6, bad, 6, NULL, &c);
    REFUSED("must be finite and positive", good, 6, bad, 6, NULL, &c);
  }
  o.paired = 1;
  REFUSED("n_other: is 5, must be n_base = 6", good, 6, good, 5, &o, &c);
  ck_assert_double_eq(c.ratio, 77);
  c.struct_size = 3;
  REFUSED("fl4_comparison.struct_size: is 3", good, 6, good, 6, &o, &c);
#undef REFUSED
}
END_TEST

START_TEST(refuses_options)
{
  const double x[] = {1, 2, 3, 4, 5, 6};
  fl4_comparison c = FL4_COMPARISON_INIT;
#define REFUSED(field, value, words)                                                                                   \
  do {                                                                                                                 \
    fl4_compare_options o = FL4_COMPARE_OPTIONS_INIT;                                                                  \
    o.field = (value);                                                                                                 \
    ck_assert_fl4_fails(fl4_compare_samples(x, 6, x, 6, &o, &c), FL4_INVALID_ARGUMENT, "fl4_compare_options." words);  \
  } while (0)
  REFUSED(struct_size, 1, "struct_size: is 1");
  REFUSED(threshold, 1, "threshold: is 1, must be above 0 and below 1");
  REFUSED(threshold, -0.01, "threshold: is -0.01");
  REFUSED(threshold, NAN, "threshold: is nan");
  REFUSED(alpha, 1, "alpha: is 1, must be above 0 and below 1");
  REFUSED(alpha, -1, "alpha: is -1");
  REFUSED(alpha, NAN, "alpha: is nan");
  REFUSED(resamples, 99, "resamples: is 99, must be from 100 to 100000");
  REFUSED(resamples, -1, "resamples: is -1");
  REFUSED(resamples, 100001, "resamples: is 100001");
  REFUSED(paired, 2, "paired: is 2, must be 0 or 1");
  REFUSED(paired, -1, "paired: is -1");
  REFUSED(reserved[2], 5, "reserved[2]: is 5, must be 0");
#undef REFUSED
  fl4_compare_options o = FL4_COMPARE_OPTIONS_INIT;
  o.threshold = 0.999, o.alpha = 0.001, o.resamples = 100;
  ck_assert_fl4(fl4_compare_samples(x, 6, x, 6, &o, &c));
  o.resamples = 100000;
  ck_assert_fl4(fl4_compare_samples(x, 6, x, 6, &o, &c));
}
END_TEST

/* ---------------------------------------------------------------- judging */

static fl4_comparison made(double low, double high, double p_slower, double p_faster)
{
  fl4_comparison c = FL4_COMPARISON_INIT;
  c.n = 100, c.threshold = 0.02, c.alpha = 0.05;
  c.low = low, c.high = high, c.p_slower = p_slower, c.p_faster = p_faster;
  return c;
}

static const char *verdict_alone(fl4_comparison c)
{
  fl4_comparison *one = &c;
  ck_assert_fl4(fl4_compare_judge(&one, 1));
  return fl4_verdict_name((fl4_verdict)c.verdict);
}

START_TEST(verdicts_follow_the_rule)
{
  static const struct {
    double low, high, p_slower, p_faster;
    const char *verdict;
  } cases[] = {
      {1.03, 1.05, 1e-6, 1, "slower"},      {1.03, 1.05, 0.03, 1, "ambiguous"}, /* 0.06 of the two directions */
      {1.0199, 1.05, 1e-6, 1, "ambiguous"},                                     /* reaches into the threshold */
      {1.03, 1.05, 1, 1e-6, "ambiguous"},                                       /* the test points elsewhere */
      {0.95, 0.97, 1, 1e-6, "faster"},      {0.95, 0.97, 1, 0.03, "ambiguous"},
      {0.95, 0.9805, 1, 1e-6, "ambiguous"}, /* 1 / 1.02 = 0.98039 */
      {0.95, 0.97, 1e-6, 1, "ambiguous"},   {0.99, 1.01, 1, 1, "same"},
      {0.9805, 1.0199, 1, 1, "same"},       {0.9803, 1.0199, 1, 1, "ambiguous"},
      {0.9805, 1.0201, 1, 1, "ambiguous"},  {1.005, 1.015, 1, 1, "same"}, /* differs, by less than matters */
      {0.9, 1.1, 1, 1, "ambiguous"},        {NAN, NAN, 1e-6, 1, "ambiguous"},
      {NAN, 1.01, 1, 1, "ambiguous"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    ck_assert_str_eq(verdict_alone(made(cases[i].low, cases[i].high, cases[i].p_slower, cases[i].p_faster)),
                     cases[i].verdict);
}
END_TEST

/* Twenty hypotheses of ten comparisons, each with its own threshold and alpha. */
START_TEST(judges_together)
{
  fl4_comparison c[11], *p[11];
  for (int i = 0; i < 11; i++) c[i] = made(1.05, 1.06, 0.0024, 1), p[i] = &c[i];
  c[3] = made(0.999, 1.001, 0.9, 0.8);
  c[5].alpha = 0.04;
  c[6].threshold = 0.055;
  c[7].n = 0, c[7].p_slower = 99, c[7].verdict = 42; /* was not compared */
  const fl4_comparison untouched = c[7];
  ck_assert_fl4(fl4_compare_judge(p, 11));
  for (int i = 0; i < 11; i++) {
    if (i == 7) continue;
    /* The nine equal ones: 20 · 0.0024. */
    ck_assert_double_eq_tol(c[i].p_adjusted, i == 3 ? 1 : 0.048, 1e-15);
    const fl4_verdict expected = i == 3             ? FL4_VERDICT_SAME
                                 : i == 5 || i == 6 ? FL4_VERDICT_AMBIGUOUS
                                                    : FL4_VERDICT_SLOWER;
    ck_assert_int_eq(c[i].verdict, expected);
  }
  ck_assert_mem_eq(&c[7], &untouched, sizeof untouched);

  fl4_comparison *alone[] = {&c[0], &c[7]};
  ck_assert_fl4(fl4_compare_judge(alone, 2)); /* judged again, among fewer */
  ck_assert_double_eq_tol(c[0].p_adjusted, 0.0048, 1e-15);
  ck_assert_fl4(fl4_compare_judge(&alone[1], 1));
  ck_assert_fl4(fl4_compare_judge(NULL, 0));
}
END_TEST

START_TEST(judge_refuses)
{
  fl4_comparison c[3], *p[] = {&c[0], &c[1], &c[2]};
  for (int i = 0; i < 3; i++) c[i] = made(1.05, 1.06, 1e-6, 1);
  ck_assert_fl4_fails(fl4_compare_judge(p, -1), FL4_INVALID_ARGUMENT, "n: is -1");
  ck_assert_fl4_fails(fl4_compare_judge(NULL, 3), FL4_INVALID_ARGUMENT, "comparisons: is NULL");
#define REFUSED(field, value, words)                                                                                   \
  do {                                                                                                                 \
    c[2] = made(1.05, 1.06, 1e-6, 1);                                                                                  \
    c[2].field = (value);                                                                                              \
    ck_assert_fl4_fails(fl4_compare_judge(p, 3), FL4_INVALID_ARGUMENT, words);                                         \
    ck_assert_int_eq(c[0].verdict, FL4_VERDICT_AMBIGUOUS); /* none is judged */                                        \
  } while (0)
  REFUSED(struct_size, 0, "fl4_comparison.struct_size: is 0");
  REFUSED(n, -1, "comparisons[2].n: is -1");
  REFUSED(p_slower, 1.5, "comparisons[2].p_slower, .p_faster: are 1.5 and 1");
  REFUSED(p_slower, NAN, "are nan and 1");
  REFUSED(p_faster, -0.5, "are 1e-06 and -0.5, must be from 0 to 1");
  REFUSED(p_faster, NAN, "are 1e-06 and nan");
  REFUSED(threshold, 0, "comparisons[2].threshold, .alpha: are 0 and 0.05, must be above 0 and below 1");
  REFUSED(threshold, 1, "are 1 and 0.05");
  REFUSED(threshold, NAN, "are nan and 0.05");
  REFUSED(alpha, 0, "are 0.02 and 0");
  REFUSED(alpha, 1, "are 0.02 and 1");
  REFUSED(alpha, NAN, "are 0.02 and nan");
#undef REFUSED
  p[1] = NULL;
  ck_assert_fl4_fails(fl4_compare_judge(p, 3), FL4_INVALID_ARGUMENT, "comparisons[1]: is NULL");
}
END_TEST

START_TEST(memory_runs_out)
{
  const double base[] = {1, 2, 3, 4, 5, 6, 7}, other[] = {2, 1, 3, 5, 4, 6, 7};
  fl4_compare_options o = FL4_COMPARE_OPTIONS_INIT;
  fl4_comparison c = FL4_COMPARISON_INIT, *one = &c;
  o.resamples = 100;
  ck_assert_fl4_needs(10, fl4_compare_samples(base, 7, other, 7, &o, &c));
  o.paired = 1;
  ck_assert_fl4_needs(8, fl4_compare_samples(base, 7, other, 7, &o, &c));
  ck_assert_fl4_needs(2, fl4_compare_judge(&one, 1));
}
END_TEST

START_TEST(names)
{
  ck_assert_str_eq(fl4_verdict_name(FL4_VERDICT_AMBIGUOUS), "ambiguous");
  ck_assert_str_eq(fl4_verdict_name(FL4_VERDICT_SAME), "same");
  ck_assert_str_eq(fl4_verdict_name(FL4_VERDICT_FASTER), "faster");
  ck_assert_str_eq(fl4_verdict_name(FL4_VERDICT_SLOWER), "slower");
  ck_assert_ptr_null(fl4_verdict_name(FL4_VERDICT_COUNT));
  ck_assert_ptr_null(fl4_verdict_name((fl4_verdict)-1));
}
END_TEST

static Suite *make_suite(void)
{
  Suite *suite = suite_create("judge");
  TCase *c = tcase_create("judge");
  tcase_set_timeout(c, 120);
  tcase_add_test(c, mann_whitney_is_published);
  tcase_add_test(c, mann_whitney_is_near_the_exact_test);
  tcase_add_test(c, mann_whitney_needs_evidence);
  tcase_add_test(c, sign_test_is_counted);
  tcase_add_test(c, holm_is_published);
  tcase_add_test(c, holm_is_holms);
  tcase_add_test(c, ratio_is_of_the_medians);
  tcase_add_test(c, few_samples_decide_nothing);
  tcase_add_test(c, roles_are_mirrored);
  tcase_add_test(c, refuses_samples);
  tcase_add_test(c, refuses_options);
  tcase_add_test(c, verdicts_follow_the_rule);
  tcase_add_test(c, judges_together);
  tcase_add_test(c, judge_refuses);
  tcase_add_test(c, memory_runs_out);
  tcase_add_test(c, names);
  suite_add_tcase(suite, c);
  return suite;
}

FL4_TEST_MAIN(make_suite)

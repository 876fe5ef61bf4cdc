/* SPDX-License-Identifier: Apache-2.0 */
/* The bootstrap and its random numbers against published ones and full enumeration. */
#include <stdbool.h>
#include <time.h>

#include "noise.h"

static fl4_comparison compared(const double *base, int64_t n_base, const double *other, int64_t n_other,
                               const fl4_compare_options *options)
{
  fl4_comparison c = FL4_COMPARISON_INIT;
  ck_assert_fl4(fl4_compare_samples(base, n_base, other, n_other, options, &c));
  return c;
}

/* ---------------------------------------------------------------- random numbers */

/* PCG32 as published, with its stream as a parameter. */
static uint32_t pcg32(uint64_t *state, uint64_t increment)
{
  const uint64_t old = *state;
  *state = old * 6364136223846793005u + increment;
  const uint32_t shifted = (uint32_t)(((old >> 18u) ^ old) >> 27u), turn = (uint32_t)(old >> 59u);
  return (shifted >> turn) | (shifted << ((32 - turn) & 31));
}

START_TEST(random_numbers_are_pcg32)
{
  /* O'Neill's demonstration: seed 42, stream 54. */
  static const uint32_t published[] = {0xa15c02b7, 0x7b47f409, 0xba1d3330, 0x83d2f293, 0xbfa4784b, 0xcbed606e};
  uint64_t state = 0;
  pcg32(&state, 109);
  state += 42;
  pcg32(&state, 109);
  for (int i = 0; i < 6; i++) ck_assert_uint_eq(pcg32(&state, 109), published[i]);

  fl4__random random;
  fl4__random_init(&random, 7);
  state = random.state;
  for (int i = 0; i < 1000; i++) ck_assert_uint_eq(fl4__random_next(&random), pcg32(&state, 1442695040888963407u));
}
END_TEST

START_TEST(draws_are_even)
{
  fl4__random random;
  fl4__random_init(&random, 8);
  enum { SIDES = 7, DRAWS = 70000 };
  int counts[SIDES] = {0};
  for (int i = 0; i < DRAWS; i++) counts[fl4__random_below(&random, SIDES)]++;
  for (int i = 0; i < SIDES; i++) ck_assert_double_lt(noise_deviations(counts[i], DRAWS, 1.0 / SIDES), 4.5);
  /* Where the low numbers would be favoured by half: 3 · 2³⁰ sides. */
  int low = 0;
  for (int i = 0; i < DRAWS; i++) low += fl4__random_below(&random, 3u << 30) < 1u << 30;
  ck_assert_double_lt(noise_deviations(low, DRAWS, 1.0 / 3), 4.5);
}
END_TEST

/* ---------------------------------------------------------------- bootstrap */

/* Values and probabilities of the median of all nⁿ resamples. */
enum { VALUES = 1024 };
typedef struct distribution {
  int n;
  double value[VALUES], p[VALUES];
} distribution;

static void tally(distribution *d, double value, double p)
{
  int i = 0;
  while (i < d->n && fabs(d->value[i] - value) > 1e-12 * value) i++;
  if (i == VALUES) ck_abort();
  if (i == d->n) d->value[d->n++] = value;
  d->p[i] += p;
}

static void all_medians(const double *x, int n, bool geometric, distribution *d)
{
  const int64_t all = (int64_t)pow(n, n);
  d->n = 0;
  memset(d->p, 0, sizeof d->p);
  for (int64_t code = 0; code < all; code++) {
    double drawn[8];
    int64_t rest = code;
    for (int i = 0; i < n; i++, rest /= n) { /* sorted by insertion */
      int at = i;
      for (; at > 0 && drawn[at - 1] > x[rest % n]; at--) drawn[at] = drawn[at - 1];
      drawn[at] = x[rest % n];
    }
    const double a = drawn[(n - 1) / 2], b = drawn[n / 2];
    tally(d, geometric ? sqrt(a * b) : (a + b) / 2, 1 / (double)all);
  }
}

static void all_ratios(const distribution *over, const distribution *under, distribution *d)
{
  d->n = 0;
  memset(d->p, 0, sizeof d->p);
  for (int i = 0; i < over->n; i++)
    for (int j = 0; j < under->n; j++) tally(d, over->value[i] / under->value[j], over->p[i] * under->p[j]);
}

/* P(X < value) and P(X ≤ value), equal but for rounding. */
static void around(const distribution *d, double value, double *below, double *up_to)
{
  *below = *up_to = 0;
  for (int i = 0; i < d->n; i++) {
    if (d->value[i] < value * (1 - 1e-12)) *below += d->p[i];
    if (d->value[i] < value * (1 + 1e-12)) *up_to += d->p[i];
  }
}

/* `low` and `high` are the 2.5 % points of the distribution, as far as 100000 draws of it can tell. */
static void ck_interval(const distribution *d, const fl4_comparison *c)
{
  const double error = 5 * sqrt(0.025 * 0.975 / 100000);
  double below, up_to;
  around(d, c->low, &below, &up_to);
  ck_assert_msg(below < 0.025 + error && up_to > 0.025 - error, "low %g: %g … %g", c->low, below, up_to);
  around(d, c->high, &below, &up_to);
  ck_assert_msg(below < 0.975 + error && up_to > 0.975 - error, "high %g: %g … %g", c->high, below, up_to);
}

START_TEST(bootstrap_is_the_enumeration)
{
  static distribution over, under, ratios;
  fl4_compare_options o = FL4_COMPARE_OPTIONS_INIT;
  o.resamples = 100000;
  fl4__random random;
  fl4__random_init(&random, 11);
  for (int n = 6; n <= 7; n++)
    for (int set = 0; set < 3; set++) {
      double base[7], other[7], ratio[7];
      for (int i = 0; i < n; i++) base[i] = noise_lognormal(&random, 0.3), other[i] = noise_lognormal(&random, 0.3);
      if (set == 2) base[1] = base[0], other[1] = other[0]; /* a tie */
      for (int i = 0; i < n; i++) ratio[i] = other[i] / base[i];
      o.paired = 1, o.seed = (uint64_t)set;
      all_medians(ratio, n, true, &ratios);
      fl4_comparison c = compared(base, n, other, n, &o);
      ck_interval(&ratios, &c);

      o.paired = 0; /* of unequal sizes: every median of the one over every median of the other */
      all_medians(other, n, false, &over);
      all_medians(base, 6, false, &under);
      all_ratios(&over, &under, &ratios);
      c = compared(base, 6, other, n, &o);
      ck_interval(&ratios, &c);
    }
}
END_TEST

START_TEST(seeds_decide)
{
  double base[50], other[50];
  fl4__random random;
  fl4__random_init(&random, 12);
  for (int i = 0; i < 50; i++) base[i] = noise_lognormal(&random, 0.1), other[i] = noise_lognormal(&random, 0.1);
  fl4_compare_options o = FL4_COMPARE_OPTIONS_INIT;
  for (o.paired = 0; o.paired < 2; o.paired++) {
    int differ = 0;
    o.seed = 0;
    const fl4_comparison first = compared(base, 50, other, 50, &o);
    for (o.seed = 0; o.seed < 10; o.seed++) {
      const fl4_comparison c = compared(base, 50, other, 50, &o), again = compared(base, 50, other, 50, &o);
      ck_assert_mem_eq(&c, &again, sizeof c);
      differ += c.low != first.low || c.high != first.high;
      ck_assert_double_eq(c.ratio, first.ratio);
      ck_assert_double_eq_tol(c.low, first.low, 0.02);
    }
    ck_assert_int_ge(differ, 5);
  }
}
END_TEST

/* 10000 samples, 2000 resamples: paired a median of one array, unpaired of two. */
START_TEST(costs_little)
{
  enum { N = 10000 };
  static double base[N], other[N];
  fl4__random random;
  fl4__random_init(&random, 13);
  for (int i = 0; i < N; i++) base[i] = noise_lognormal(&random, 0.1), other[i] = noise_lognormal(&random, 0.1);
  fl4_compare_options o = FL4_COMPARE_OPTIONS_INIT;
  for (o.paired = 0; o.paired < 2; o.paired++) {
    const clock_t start = clock();
    compared(base, N, other, N, &o);
    const double seconds = (double)(clock() - start) / CLOCKS_PER_SEC;
    printf("# %s: %.0f ms\n", o.paired ? "paired" : "unpaired", 1e3 * seconds);
    ck_assert_double_lt(seconds, 5); /* also under a sanitizer */
  }
}
END_TEST

static Suite *make_suite(void)
{
  Suite *suite = suite_create("bootstrap");
  TCase *c = tcase_create("bootstrap");
  tcase_set_timeout(c, 120);
  tcase_add_test(c, random_numbers_are_pcg32);
  tcase_add_test(c, draws_are_even);
  tcase_add_test(c, bootstrap_is_the_enumeration);
  tcase_add_test(c, seeds_decide);
  tcase_add_test(c, costs_little);
  suite_add_tcase(suite, c);
  return suite;
}

FL4_TEST_MAIN(make_suite)

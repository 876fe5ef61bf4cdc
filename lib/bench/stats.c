/* SPDX-License-Identifier: Apache-2.0 */
/* Order statistics and moments of one sample. */
#include "bench/stats.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "problem.h"

/* ---------------------------------------------------------------- binomial */

double fl4__binomial_tail(int64_t n, int64_t k)
{
  if (k < 0) return 0;
  if (k >= n) return 1;
  if (k > n - k - 1) return 1 - fl4__binomial_tail(n, n - k - 1); /* X > k is as likely as X ≤ n − k − 1 */
  /*
   * Probabilities from the middle down, relative to the middle's: no factorial, so nothing overflows
   * or cancels, and the steps are some 20·√n, since what is too small to be a double ends the walk.
   */
  double one = 1, lower = 0, tail = 0;
  for (int64_t i = n / 2; i >= 0 && one > 1e-300; i--) {
    lower += one;
    if (i <= k) tail += one;
    one *= (double)i / (double)(n - i + 1);
  }
  return tail / (n % 2 ? 2 * lower : 2 * lower - 1); /* of an even n the middle is one, not two */
}

int64_t fl4__median_rank(int64_t n)
{
  /* P(the value at rank r is above the median) = P(X ≤ r − 1), which rises with r. */
  int64_t low = 0, high = n / 2 + 1;
  while (high - low > 1) {
    const int64_t r = low + (high - low) / 2;
    *(fl4__binomial_tail(n, r - 1) <= 0.025 ? &low : &high) = r;
  }
  return low;
}

/* ---------------------------------------------------------------- the sample */

static int by_value(const void *a, const void *b)
{
  const double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

/* The value at rank ⌈percent · n / 100⌉, or NaN below the number of samples that bounds it. */
static double percentile(const double *sorted, int64_t n, int percent, int64_t least)
{
  return n < least ? (double)NAN : sorted[(n * percent + 99) / 100 - 1];
}

/* In long double, so that no finite numbers overflow on the way. */
static void moments(const double *x, int64_t n, fl4_statistics *s)
{
  long double sum = 0, squares = 0;
  for (int64_t i = 0; i < n; i++) sum += x[i];
  const long double mean = sum / (long double)n;
  for (int64_t i = 0; i < n; i++) squares += (x[i] - mean) * (x[i] - mean);
  s->mean = (double)mean;
  s->stdev = n > 1 ? (double)sqrtl(squares / (long double)(n - 1)) : (double)NAN;
}

static void order(const double *sorted, int64_t n, fl4_statistics *s)
{
  s->min = sorted[0], s->max = sorted[n - 1];
  const long double both = (long double)sorted[(n - 1) / 2] + sorted[n / 2];
  const int64_t rank = fl4__median_rank(n);
  s->p50 = rank ? (double)(both / 2) : (double)NAN;
  s->p50_low = rank ? sorted[rank - 1] : (double)NAN;
  s->p50_high = rank ? sorted[n - rank] : (double)NAN;
  s->p90 = percentile(sorted, n, 90, 36);
  s->p95 = percentile(sorted, n, 95, 72);
  s->p99 = percentile(sorted, n, 99, 368);
}

fl4_status fl4_statistics_compute(const double *samples, int64_t n, fl4_statistics *out)
{
  if (!samples)
    return fl4__fail(FL4_INVALID_ARGUMENT, "fl4_statistics_compute: samples: is NULL, must point to the samples");
  if (n < 1) return fl4__fail(FL4_INVALID_ARGUMENT, "fl4_statistics_compute: n: is %" PRId64 ", must be at least 1", n);
  if (!out) return fl4__fail(FL4_INVALID_ARGUMENT, "fl4_statistics_compute: out: is NULL, must receive the outcome");
  fl4_statistics s;
  FL4_TRY(fl4__struct_read(&s, sizeof s, out, "fl4_statistics"));
  for (int64_t i = 0; i < n; i++)
    if (!isfinite(samples[i]))
      return fl4__fail(FL4_INVALID_ARGUMENT, "fl4_statistics_compute: samples[%" PRId64 "]: is %g, must be finite", i,
                       samples[i]);

  double *sorted = malloc((size_t)n * sizeof *sorted);
  if (!sorted) return fl4__fail(FL4_OUT_OF_MEMORY, "fl4_statistics_compute: no memory for %" PRId64 " samples", n);
  memcpy(sorted, samples, (size_t)n * sizeof *sorted);
  qsort(sorted, (size_t)n, sizeof *sorted, by_value);
  memset(&s, 0, sizeof s);
  s.n = n;
  order(sorted, n, &s);
  moments(samples, n, &s);
  free(sorted);
  fl4__struct_write(out, &s, sizeof s);
  return FL4_OK;
}

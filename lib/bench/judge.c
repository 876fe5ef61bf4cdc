/* SPDX-License-Identifier: Apache-2.0 */
/* Is the other faster than the base? Tests, intervals and verdicts. */
#include <flashl4/stats.h>

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench/bootstrap.h"
#include "bench/stats.h"
#include "error.h"
#include "problem.h"

/* Below this no 95 % interval of a median lies inside a sample, and a bootstrap's would be too narrow. */
enum { LEAST_FOR_INTERVAL = 6 };

/* ---------------------------------------------------------------- tests */

/*
 * Sign test: p-value against "x is not above factor · y", in the median of the ratios. A pair that is
 * exactly at the factor is one that is not above it: dropping such pairs would make the test reject a
 * median that many pairs hit.
 */
static double sign_test(const double *x, const double *y, int64_t n, double factor)
{
  int64_t not_above = 0;
  for (int64_t i = 0; i < n; i++) not_above += !(x[i] > factor * y[i]);
  return fl4__binomial_tail(n, not_above);
}

double fl4__mann_whitney(const double *x, int64_t nx, const double *y, int64_t ny, double factor)
{
  double u = 0, ties = 0; /* pairs with x above, ties counting half; Σ t³ − t over groups of t equal values */
  for (int64_t i = 0, j = 0; i < nx || j < ny;) {
    const double next = j == ny || (i < nx && x[i] <= factor * y[j]) ? x[i] : factor * y[j];
    const int64_t below = j;
    int64_t xs = 0, ys = 0;
    for (; i < nx && x[i] == next; i++) xs++;
    for (; j < ny && factor * y[j] == next; j++) ys++;
    const double t = (double)(xs + ys);
    u += (double)xs * ((double)below + 0.5 * (double)ys);
    ties += t * t * t - t;
  }
  const double product = (double)nx * (double)ny, n = (double)(nx + ny);
  const double variance = product / 12 * (n + 1 - ties / (n * (n - 1)));
  /* Half of one off: u goes in steps of one, the normal distribution does not. All equal: no evidence. */
  return variance > 0 ? erfc((u - product / 2 - 0.5) / sqrt(2 * variance)) / 2 : 1;
}

typedef struct ranked {
  double p;
  int64_t index;
} ranked;

static int by_p(const void *a, const void *b)
{
  const double x = ((const ranked *)a)->p, y = ((const ranked *)b)->p;
  return (x > y) - (x < y);
}

fl4_status fl4__holm(double *p, int64_t n)
{
  ranked *order = malloc((size_t)n * sizeof *order);
  if (!order) return fl4__fail(FL4_OUT_OF_MEMORY, "fl4_compare_judge: no memory for %" PRId64 " p-values", n);
  for (int64_t i = 0; i < n; i++) order[i] = (ranked){p[i], i};
  qsort(order, (size_t)n, sizeof *order, by_p);
  double adjusted = 0; /* never falls: what is less certain is not accepted before what is more so */
  for (int64_t i = 0; i < n; i++) {
    adjusted = fmax(adjusted, fmin(1, (double)(n - i) * order[i].p));
    p[order[i].index] = adjusted;
  }
  free(order);
  return FL4_OK;
}

/* ---------------------------------------------------------------- judging */

static bool is_fraction(double x)
{
  return x > 0 && x < 1;
}

static bool is_probability(double x)
{
  return x >= 0 && x <= 1;
}

static fl4_status read_comparison(const fl4_comparison *given, int64_t i, fl4_comparison *c)
{
#define AT "fl4_compare_judge: comparisons[%" PRId64 "]"
  if (!given) return fl4__fail(FL4_INVALID_ARGUMENT, AT ": is NULL, must be a comparison", i);
  FL4_TRY(fl4__struct_read(c, sizeof *c, given, "fl4_comparison"));
  if (c->n < 0) return fl4__fail(FL4_INVALID_ARGUMENT, AT ".n: is %" PRId64 ", must not be negative", i, c->n);
  if (c->n == 0) return FL4_OK;
  if (!is_probability(c->p_slower) || !is_probability(c->p_faster))
    return fl4__fail(FL4_INVALID_ARGUMENT, AT ".p_slower, .p_faster: are %g and %g, must be from 0 to 1", i,
                     c->p_slower, c->p_faster);
  if (!is_fraction(c->threshold) || !is_fraction(c->alpha))
    return fl4__fail(FL4_INVALID_ARGUMENT, AT ".threshold, .alpha: are %g and %g, must be above 0 and below 1", i,
                     c->threshold, c->alpha);
  return FL4_OK;
#undef AT
}

/* An interval that is not known is NaN and decides nothing. */
static fl4_verdict verdict_of(const fl4_comparison *c, double p_slower, double p_faster)
{
  const double most = 1 + c->threshold, least = 1 / most;
  if (p_slower < c->alpha && c->low > most) return FL4_VERDICT_SLOWER;
  if (p_faster < c->alpha && c->high < least) return FL4_VERDICT_FASTER;
  return c->low >= least && c->high <= most ? FL4_VERDICT_SAME : FL4_VERDICT_AMBIGUOUS;
}

fl4_status fl4_compare_judge(fl4_comparison *const *comparisons, int64_t n)
{
  if (n < 0) return fl4__fail(FL4_INVALID_ARGUMENT, "fl4_compare_judge: n: is %" PRId64 ", must not be negative", n);
  if (n == 0) return FL4_OK;
  if (!comparisons)
    return fl4__fail(FL4_INVALID_ARGUMENT, "fl4_compare_judge: comparisons: is NULL, must point to %" PRId64, n);
  /*
   * Both directions of each are hypotheses of their own: with a threshold far below the noise either
   * could be rejected by chance.
   */
  double *p = malloc((size_t)n * 2 * sizeof *p);
  if (!p) return fl4__fail(FL4_OUT_OF_MEMORY, "fl4_compare_judge: no memory for %" PRId64 " comparisons", n);
  fl4_comparison c;
  int64_t compared = 0;
  fl4_status status = FL4_OK;
  for (int64_t i = 0; i < n; i++) {
    FL4_TRY_GOTO(read_comparison(comparisons[i], i, &c));
    if (c.n == 0) continue;
    p[2 * compared] = c.p_slower, p[2 * compared + 1] = c.p_faster;
    compared++;
  }
  if (compared) FL4_TRY_GOTO(fl4__holm(p, 2 * compared));
  for (int64_t i = 0, next = 0; i < n; i++) {
    FL4_TRY_GOTO(read_comparison(comparisons[i], i, &c));
    if (c.n == 0) continue;
    c.p_adjusted = fmin(p[next], p[next + 1]);
    c.verdict = (int32_t)verdict_of(&c, p[next], p[next + 1]);
    fl4__struct_write(comparisons[i], &c, sizeof c);
    next += 2;
  }
done:
  free(p);
  return status;
}

/* ---------------------------------------------------------------- comparing */

static fl4_status read_options(const fl4_compare_options *given, fl4_compare_options *o)
{
  *o = (fl4_compare_options)FL4_COMPARE_OPTIONS_INIT;
  if (given) FL4_TRY(fl4__struct_read(o, sizeof *o, given, "fl4_compare_options"));
  if (o->threshold == 0) o->threshold = 0.01;
  if (o->alpha == 0) o->alpha = 0.05;
  if (o->resamples == 0) o->resamples = 2000;
  if (!is_fraction(o->threshold))
    return fl4__fail(FL4_INVALID_ARGUMENT, "fl4_compare_options.threshold: is %g, must be above 0 and below 1",
                     o->threshold);
  if (!is_fraction(o->alpha))
    return fl4__fail(FL4_INVALID_ARGUMENT, "fl4_compare_options.alpha: is %g, must be above 0 and below 1", o->alpha);
  if (o->resamples < 100 || o->resamples > 100000)
    return fl4__fail(FL4_INVALID_ARGUMENT, "fl4_compare_options.resamples: is %d, must be from 100 to 100000",
                     o->resamples);
  if (o->paired != 0 && o->paired != 1)
    return fl4__fail(FL4_INVALID_ARGUMENT, "fl4_compare_options.paired: is %d, must be 0 or 1", o->paired);
  for (int i = 0; i < 4; i++)
    if (o->reserved[i])
      return fl4__fail(FL4_INVALID_ARGUMENT, "fl4_compare_options.reserved[%d]: is %" PRIu64 ", must be 0", i,
                       o->reserved[i]);
  return FL4_OK;
}

static fl4_status check_sample(const char *name, const double *sample, int64_t n)
{
  if (!sample)
    return fl4__fail(FL4_INVALID_ARGUMENT, "fl4_compare_samples: %s: is NULL, must point to the samples", name);
  if (n < 1 || n > INT32_MAX)
    return fl4__fail(FL4_INVALID_ARGUMENT, "fl4_compare_samples: n_%s: is %" PRId64 ", must be from 1 to %d", name, n,
                     INT32_MAX);
  for (int64_t i = 0; i < n; i++)
    if (!isfinite(sample[i]) || sample[i] <= 0)
      return fl4__fail(FL4_INVALID_ARGUMENT, "fl4_compare_samples: %s[%" PRId64 "]: is %g, must be finite and positive",
                       name, i, sample[i]);
  return FL4_OK;
}

static fl4_status compare_paired(const double *base, const double *other, const fl4_compare_options *o,
                                 fl4_comparison *c)
{
  fl4__ordered ordered = {0};
  double *ratios = malloc((size_t)c->n * sizeof *ratios);
  fl4_status status =
      ratios ? FL4_OK : fl4__fail(FL4_OUT_OF_MEMORY, "fl4_compare_samples: no memory for %" PRId64 " ratios", c->n);
  if (status != FL4_OK) goto done;
  for (int64_t i = 0; i < c->n; i++) ratios[i] = other[i] / base[i];
  FL4_TRY_GOTO(fl4__ordered_open(ratios, c->n, &ordered));
  c->ratio = fl4__ordered_median(&ordered, fl4__middle_geometric);
  c->p_slower = sign_test(other, base, c->n, 1 + o->threshold);
  c->p_faster = sign_test(base, other, c->n, 1 + o->threshold);
  if (c->n >= LEAST_FOR_INTERVAL)
    status = fl4__bootstrap(&ordered, NULL, fl4__middle_geometric, o->resamples, o->seed, &c->low, &c->high);
done:
  fl4__ordered_close(&ordered);
  free(ratios);
  return status;
}

static fl4_status compare_unpaired(const double *base, int64_t n_base, const double *other, int64_t n_other,
                                   const fl4_compare_options *o, fl4_comparison *c)
{
  fl4__ordered b = {0}, x = {0};
  fl4_status status;
  FL4_TRY_GOTO(fl4__ordered_open(base, n_base, &b));
  FL4_TRY_GOTO(fl4__ordered_open(other, n_other, &x));
  c->ratio = fl4__ordered_median(&x, fl4__middle_mean) / fl4__ordered_median(&b, fl4__middle_mean);
  c->p_slower = fl4__mann_whitney(x.value, n_other, b.value, n_base, 1 + o->threshold);
  c->p_faster = fl4__mann_whitney(b.value, n_base, x.value, n_other, 1 + o->threshold);
  if (c->n >= LEAST_FOR_INTERVAL)
    status = fl4__bootstrap(&x, &b, fl4__middle_mean, o->resamples, o->seed, &c->low, &c->high);
done:
  fl4__ordered_close(&b);
  fl4__ordered_close(&x);
  return status;
}

fl4_status fl4_compare_samples(const double *base, int64_t n_base, const double *other, int64_t n_other,
                               const fl4_compare_options *options, fl4_comparison *out)
{
  fl4_compare_options o;
  fl4_comparison c, *one = &c;
  FL4_TRY(check_sample("base", base, n_base));
  FL4_TRY(check_sample("other", other, n_other));
  if (!out) return fl4__fail(FL4_INVALID_ARGUMENT, "fl4_compare_samples: out: is NULL, must receive the outcome");
  FL4_TRY(fl4__struct_read(&c, sizeof c, out, "fl4_comparison"));
  FL4_TRY(read_options(options, &o));
  if (o.paired && n_other != n_base)
    return fl4__fail(FL4_INVALID_ARGUMENT,
                     "fl4_compare_samples: n_other: is %" PRId64 ", must be n_base = %" PRId64 " of paired samples",
                     n_other, n_base);

  c = (fl4_comparison)FL4_COMPARISON_INIT;
  c.n = fl4__min64(n_base, n_other), c.paired = o.paired;
  c.threshold = o.threshold, c.alpha = o.alpha;
  c.low = c.high = (double)NAN;
  FL4_TRY(o.paired ? compare_paired(base, other, &o, &c) : compare_unpaired(base, n_base, other, n_other, &o, &c));
  FL4_TRY(fl4_compare_judge(&one, 1));
  fl4__struct_write(out, &c, sizeof c);
  return FL4_OK;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Percentile bootstrap (Efron 1979) of a median, and of a ratio of medians. */
#ifndef FL4_BENCH_BOOTSTRAP_H
#define FL4_BENCH_BOOTSTRAP_H

#include <flashl4/status.h>

#include <stdint.h>

/* A sample in rising order that knows what stood where. */
typedef struct fl4__ordered {
  int64_t n;      /* at most INT32_MAX */
  double *value;  /* rising */
  int32_t *index; /* value[i] was number index[i] */
} fl4__ordered;

fl4_status fl4__ordered_open(const double *sample, int64_t n, fl4__ordered *ordered);
void fl4__ordered_close(fl4__ordered *ordered); /* also after a failed open, and twice */

/* Of an even number of values a median lies between two. */
typedef double (*fl4__middle)(double, double);
double fl4__middle_mean(double a, double b);      /* as fl4_statistics has it */
double fl4__middle_geometric(double a, double b); /* of ratios: that of 1/x is 1 over that of x */

double fl4__ordered_median(const fl4__ordered *ordered, fl4__middle middle);

/*
 * 95 % interval of the median of x, or with y of the ratio of both medians. Resamples are drawn from
 * the sample as it was measured, so that a sample of reciprocals is drawn alike: its interval is the
 * reciprocal one.
 *
 * Costs `resamples` times n draws and a walk over half of the counts: no sorting, no moving.
 */
fl4_status fl4__bootstrap(const fl4__ordered *x, const fl4__ordered *y, fl4__middle middle, int resamples,
                          uint64_t seed, double *low, double *high);

#endif

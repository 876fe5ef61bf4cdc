/* SPDX-License-Identifier: Apache-2.0 */
/* What statistics and tests are made of. */
#ifndef FL4_BENCH_STATS_H
#define FL4_BENCH_STATS_H

#include <flashl4/stats.h>

/* P(X ≤ k) for X of the binomial distribution of n ≥ 1 throws of a fair coin; exact up to rounding. */
double fl4__binomial_tail(int64_t n, int64_t k);

/*
 * The largest r for which the values at ranks r and n + 1 − r of a sample enclose the median with
 * 95 % confidence at least; 0 if there is none: n < 6.
 */
int64_t fl4__median_rank(int64_t n);

/*
 * One-sided Mann–Whitney test: p-value against "x is not above factor · y", both rising. Normal
 * approximation with corrections for ties and for continuity.
 */
double fl4__mann_whitney(const double *x, int64_t nx, const double *y, int64_t ny, double factor);

/* Replaces n ≥ 1 p-values by Holm's adjusted ones. */
fl4_status fl4__holm(double *p, int64_t n);

#endif

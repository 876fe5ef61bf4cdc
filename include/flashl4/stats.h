/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file stats.h
 * @brief What a set of timings says, and whether one set is faster than another.
 */
#ifndef FLASHL4_STATS_H
#define FLASHL4_STATS_H

#include <stddef.h>
#include <stdint.h>

#include <flashl4/export.h>
#include <flashl4/status.h>

FL4_BEGIN_DECLS

/**
 * Order statistics and moments of a sample, in the unit of the sample.
 *
 * A percentile is the value at rank ⌈p·n⌉. It is NaN where the sample is too small to bound it: no
 * 95 % confidence interval of it would lie inside the sample. p50 needs 6 samples, p90 36, p95 72 and
 * p99 368 (the n with 1 − pⁿ ≥ 0.975; for p50 also its lower side).
 */
typedef struct fl4_statistics {
  size_t struct_size; /**< set by the FL4_…_INIT */
  int64_t n;            /**< samples */
  double min;           /**< smallest */
  double max;           /**< largest */
  double mean;          /**< arithmetic mean */
  double stdev;         /**< of the sample (n − 1); NaN for one sample */
  double p50;           /**< median, of an even number the mean of the middle two; or NaN */
  double p90;           /**< 90th percentile, or NaN */
  double p95;           /**< 95th percentile, or NaN */
  double p99;           /**< 99th percentile, or NaN */
  double p50_low;       /**< lower end of the 95 % confidence interval of the median, or NaN */
  double p50_high;      /**< upper end; both are order statistics (binomial), free of any distribution */
  uint64_t reserved[4]; /**< zero */
} fl4_statistics;

/** Initial value of an ::fl4_statistics. */
#define FL4_STATISTICS_INIT { sizeof(fl4_statistics), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, {0} }

/**
 * Computes the statistics of a sample.
 *
 * @param samples  n finite numbers in any order; not changed
 * @param n        at least 1
 * @param out      filled; the caller's
 * @return ::FL4_INVALID_ARGUMENT (a number that is not finite is named by its index), ::FL4_OUT_OF_MEMORY
 *
 * Thread-safety: safe. Since: 0.1.
 */
FL4_API FL4_NODISCARD fl4_status fl4_statistics_compute(const double *samples, int64_t n, fl4_statistics *out);

/** What a comparison says of the other against the base. X(name, text) */
#define FL4_VERDICT_MAP(X)                                                                         \
  X(AMBIGUOUS, "ambiguous") /* the interval does not decide: more samples, or less noise */        \
  X(SAME, "same")           /* the interval lies within the threshold */                           \
  X(FASTER, "faster")       /* the other takes less time, by more than the threshold */            \
  X(SLOWER, "slower")       /* the other takes more time, by more than the threshold */

/** Verdict of a comparison. */
typedef enum fl4_verdict {
#define FL4_VERDICT_ENUM(name, text) FL4_VERDICT_##name,
  FL4_VERDICT_MAP(FL4_VERDICT_ENUM)
#undef FL4_VERDICT_ENUM
  FL4_VERDICT_COUNT
} fl4_verdict;

/** Text of a verdict, "faster"; NULL if there is none such. Since: 0.1. */
FL4_API const char *fl4_verdict_name(fl4_verdict verdict);

/** How two samples are compared. */
typedef struct fl4_compare_options {
  size_t struct_size; /**< set by the FL4_…_INIT */
  double threshold;     /**< relative difference that matters; 0: 0.01 */
  double alpha;         /**< risk of a wrong "faster" or "slower" over all comparisons judged together; 0: 0.05 */
  int32_t resamples;    /**< of the bootstrap; 0: 2000 */
  int32_t paired;       /**< 1: base[i] and other[i] were measured side by side, in the same round */
  uint64_t seed;        /**< of the bootstrap; the same seed gives the same interval */
  uint64_t reserved[4]; /**< zero */
} fl4_compare_options;

/** Initial value of an ::fl4_compare_options. */
#define FL4_COMPARE_OPTIONS_INIT { sizeof(fl4_compare_options), 0, 0, 0, 0, 0, {0} }

/** Outcome of a comparison: other against base, times. */
typedef struct fl4_comparison {
  size_t struct_size; /**< set by the FL4_…_INIT */
  int64_t n;            /**< pairs, or samples of the smaller side; 0: not compared */
  int32_t paired;       /**< as in the options */
  int32_t verdict;      /**< ::fl4_verdict, set by fl4_compare_judge() */
  double ratio;         /**< time of other / base: paired, the median of the ratios; else the ratio of the medians */
  double low;           /**< lower end of its 95 % bootstrap interval (percentile method); NaN below 6 samples */
  double high;          /**< upper end */
  double p_slower;      /**< p-value against "other is not slower by more than the threshold" */
  double p_faster;      /**< p-value against "other is not faster by more than the threshold" */
  double p_adjusted;    /**< the smaller of the two after Holm's correction, set by fl4_compare_judge() */
  double threshold;     /**< as used */
  double alpha;         /**< as used */
  uint64_t reserved[4]; /**< zero */
} fl4_comparison;

/** Initial value of an ::fl4_comparison. */
#define FL4_COMPARISON_INIT { sizeof(fl4_comparison), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, {0} }

/**
 * Compares two samples of times.
 *
 * Paired samples share what disturbs them (clocks, temperature, neighbours), so the ratio of a pair
 * is steadier than either time: take them in turn, in random order within a round. p-values: paired,
 * the exact sign test on the ratios against 1 + threshold and 1 / (1 + threshold); else the
 * Mann–Whitney U test (normal approximation with ties) with the base scaled by the same factors. The
 * verdict is that of fl4_compare_judge() for this comparison alone.
 *
 * @param base     n_base positive numbers, in the order measured
 * @param n_base   at least 1
 * @param other    n_other positive numbers
 * @param n_other  at least 1; paired: must be n_base
 * @param options  NULL for the defaults
 * @param out      filled; the caller's
 * @return ::FL4_INVALID_ARGUMENT, ::FL4_OUT_OF_MEMORY
 *
 * Thread-safety: safe. Since: 0.1.
 */
FL4_API FL4_NODISCARD fl4_status fl4_compare_samples(const double *base, int64_t n_base, const double *other,
                                                     int64_t n_other, const fl4_compare_options *options,
                                                     fl4_comparison *out);

/**
 * Judges comparisons that belong together, such as all problems of a run: Holm's correction (1979)
 * keeps the risk of even one wrong "slower" or "faster" among them at alpha; both directions of
 * each comparison count, so that of one alone p_adjusted is twice the smaller p-value. Then, each by itself:
 * slower or faster if its adjusted p-value is below alpha and its interval lies beyond the
 * threshold on that side; same if its interval lies within 1 / (1 + threshold) … 1 + threshold; else
 * ambiguous. Comparisons with n = 0 are left alone.
 *
 * @param comparisons  n pointers, as fl4_compare_samples() filled what they point to; each with its own threshold and alpha
 * @param n            how many; 0 is no error
 * @return ::FL4_INVALID_ARGUMENT, ::FL4_OUT_OF_MEMORY
 *
 * Thread-safety: safe. Since: 0.1.
 */
FL4_API FL4_NODISCARD fl4_status fl4_compare_judge(fl4_comparison *const *comparisons, int64_t n);

FL4_END_DECLS

#endif /* FLASHL4_STATS_H */

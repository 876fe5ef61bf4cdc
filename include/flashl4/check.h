/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file check.h
 * @brief Is the forward right on this device? Inputs that bite, an oracle, one rule.
 */
#ifndef FLASHL4_CHECK_H
#define FLASHL4_CHECK_H

#include <stddef.h>
#include <stdint.h>

#include <flashl4/context.h>
#include <flashl4/export.h>
#include <flashl4/problem.h>
#include <flashl4/status.h>

FL4_BEGIN_DECLS

/** Kinds of input data: X(name, text, what it catches). Q, K and V are always independent. */
#define FL4_INPUTS_MAP(X)                                                                          \
  X(NORMAL, "normal", "N(0, 1): the everyday case")                                                \
  X(PEAKED, "peaked", "Q scaled by 8: few keys carry a row, wrong scores show at once")            \
  X(ONEHOT, "onehot", "each query picks exactly one key: index and swizzle faults show as swaps")  \
  X(LARGE, "large", "scores of about ±1e4: overflow and lost maxima")                              \
  X(EQUAL, "equal", "all scores equal: O is the mean of V, a dropped or doubled key shows")        \
  X(SINK, "sink", "key 0 ten units above the rest, as in real language models")                    \
  X(GROWING, "growing", "the maximum grows with every key: each tile rescales")                    \
  X(SHRINKING, "shrinking", "the maximum comes first: each later tile is negligible")              \
  X(MIXED, "mixed", "key/value heads, counted through the batch, in turn normal, sink, growing and "    \
                    "peaked, and their query heads with them: blocks of unlike cost")

/** Kind of input data. */
typedef enum fl4_inputs {
#define FL4_INPUTS_ENUM(name, text, what) FL4_INPUTS_##name,
  FL4_INPUTS_MAP(FL4_INPUTS_ENUM)
#undef FL4_INPUTS_ENUM
  FL4_INPUTS_COUNT
} fl4_inputs;

/** Name of a kind of input data, "normal"; NULL if there is none such. Since: 0.1. */
FL4_API const char *fl4_inputs_name(fl4_inputs inputs);

/** Which oracle judges a check. */
typedef enum fl4_oracle {
  FL4_ORACLE_AUTO = 0,   /**< as fl4_check() describes */
  FL4_ORACLE_FP64 = 1,   /**< fl4_oracle_fp64(): all rows if that takes a second or so, else a sample */
  FL4_ORACLE_CUBLAS = 2, /**< fl4_oracle_cublas(): all rows; CUDA devices only */
} fl4_oracle;

/** How a check is done. */
typedef struct fl4_check_options {
  size_t struct_size; /**< set by the FL4_…_INIT */
  uint64_t seed;        /**< of the inputs; the same seed gives the same data on every machine */
  int32_t inputs;       /**< ::fl4_inputs */
  int32_t timed_calls;  /**< calls to time after the check; 0: none */
  int32_t oracle;       /**< ::fl4_oracle */
  uint32_t reserved0;   /**< zero */
  uint64_t reserved[4]; /**< zero */
} fl4_check_options;

/** Initial value of an ::fl4_check_options. */
#define FL4_CHECK_OPTIONS_INIT { sizeof(fl4_check_options), 0, 0, 0, 0, 0, {0} }

/** Outcome of a check. Errors are absolute, in units of O. */
typedef struct fl4_check_result {
  size_t struct_size; /**< set by the FL4_…_INIT */
  int32_t passed;         /**< 1 if everything below is in order */
  int32_t finite;         /**< 1: no NaN or infinity in O, none wrong in the LSE */
  int32_t canaries;       /**< 1: nothing was written outside O and LSE */
  int32_t deterministic;  /**< 1: a second run gave the same bits */
  int32_t accurate;       /**< 1: the rule below holds */
  int32_t lse_accurate;   /**< 1: the LSE is within `lse_allowed`, or was not asked for */
  double max_error;       /**< max |out − ref| */
  double mean_error;      /**< mean |out − ref| */
  double max_low;         /**< max |low − ref|: what the dtype itself costs */
  double mean_low;        /**< mean |low − ref| */
  double max_allowed;     /**< 2 · max_low + ε · max |ref| */
  double mean_allowed;    /**< 1.5 · mean_low + ε/2 · mean |ref| */
  double lse_error;       /**< max |lse − ref| */
  double lse_allowed;     /**< 1e-3 + (D/16 + 3) · 2⁻²³ · max |lse|, see fl4_check() */
  double correlation;     /**< of out and ref; 1 for a good result */
  double scale;           /**< least-squares factor of ref in out; 1 for a good result */
  int64_t worst[4];       /**< b, h, i, d of the largest error */
  double worst_out;       /**< what the device wrote there */
  double worst_ref;       /**< what it should be */
  int64_t rows_checked;   /**< rows of O compared with an oracle, of B·Hq·Sq */
  char oracle[32];        /**< "fp64", "fp64, sampled rows", "cublas + fp64 rows" */
  char variant[128];      /**< what ran */
  double time_us;         /**< median of the timed calls; 0 if none */
  double build_ms;        /**< time of the first call's compilation or cache read */
  int32_t origin;         /**< ::fl4_kernel_origin */
  int32_t registers;      /**< as in ::fl4_plan_info, like the next two */
  int32_t spill_bytes;    /**< of a thread */
  int32_t smem_bytes;     /**< of a block */
  uint64_t reserved[4];   /**< zero */
} fl4_check_result;

/** Initial value of an ::fl4_check_result. */
#define FL4_CHECK_RESULT_INIT                                                                      \
  { sizeof(fl4_check_result), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, {0}, 0, 0, 0, {0}, {0}, 0, 0, 0, 0, 0, 0, {0} }

/**
 * Runs one problem on the context's device, twice, on data made from a seed, into outputs that were
 * poisoned and stand between canaries, with NaN in all memory that must not be read; compares O and
 * LSE with an oracle; and times some further calls if asked.
 *
 * On a CUDA device every element is compared with fl4_oracle_cublas(), and a sample of rows with
 * fl4_oracle_fp64(); on the host every element with fl4_oracle_fp64() if that takes a second or so,
 * else a sample of rows. ε is the dtype's unit in the last place of 1. A score is D/16 sums of the
 * matrix unit, and three more fp32 operations bring it to the LSE; each may cut off one unit in the
 * last place, which counts only for scores in the thousands. A mismatch is a result, not
 * an error: the call returns ::FL4_OK with `passed` 0.
 *
 * @param ctx      its device runs it
 * @param problem  what to run; scale 0 is 1/√D
 * @param options  NULL: seed 0, normal inputs, no timing
 * @param result   filled; the caller's
 * @return errors of fl4_attention_forward() and of the oracles
 *
 * Thread-safety: safe. Allocates device memory for the tensors. Since: 0.1.
 */
FL4_API FL4_NODISCARD fl4_status fl4_check(fl4_context *ctx, const fl4_problem *problem,
                                           const fl4_check_options *options, fl4_check_result *result);

FL4_END_DECLS

#endif /* FLASHL4_CHECK_H */

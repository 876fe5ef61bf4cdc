/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file tune.h
 * @brief Which variant is fastest on this device? An evolutionary search that checks what it times.
 */
#ifndef FLASHL4_TUNE_H
#define FLASHL4_TUNE_H

#include <stddef.h>
#include <stdint.h>

#include <flashl4/check.h>
#include <flashl4/context.h>
#include <flashl4/export.h>
#include <flashl4/problem.h>
#include <flashl4/stats.h>
#include <flashl4/status.h>

FL4_BEGIN_DECLS

/** How much a tuning may try. X(name, text, evaluations) */
#define FL4_TUNE_BUDGET_MAP(X)                                                                     \
  X(MEASURE, "measure", 64)                                                                        \
  X(ESTIMATE, "estimate", 0) /* the built-in choice, untried */                                    \
  X(PATIENT, "patient", 300)                                                                       \
  X(EXHAUSTIVE, "exhaustive", INT32_MAX) /* every valid variant */

/** How much a tuning may try. */
typedef enum fl4_tune_budget {
#define FL4_TUNE_BUDGET_ENUM(name, text, evaluations) FL4_TUNE_##name,
  FL4_TUNE_BUDGET_MAP(FL4_TUNE_BUDGET_ENUM)
#undef FL4_TUNE_BUDGET_ENUM
  FL4_TUNE_BUDGET_COUNT
} fl4_tune_budget;

/** Name of a budget, "measure"; NULL if there is none such. Since: 0.1. */
FL4_API const char *fl4_tune_budget_name(fl4_tune_budget budget);

/** Why a tuning ended. X(name, text) */
#define FL4_TUNE_STOP_MAP(X)                                                                       \
  X(NONE, "not ended")                                                                             \
  X(EVALUATIONS, "evaluations") /* the budget is used up */                                        \
  X(SPACE, "space")             /* every valid variant was tried */                                \
  X(SECONDS, "seconds")         /* max_seconds is over */                                          \
  X(TARGET, "target")           /* the target was reached */                                       \
  X(STALE, "stale")             /* nothing better for a long time */                               \
  X(CANCELLED, "cancelled")

/** Why a tuning ended. */
typedef enum fl4_tune_stop {
#define FL4_TUNE_STOP_ENUM(name, text) FL4_TUNE_STOP_##name,
  FL4_TUNE_STOP_MAP(FL4_TUNE_STOP_ENUM)
#undef FL4_TUNE_STOP_ENUM
  FL4_TUNE_STOP_COUNT
} fl4_tune_stop;

/** Name of a reason to stop, "stale"; NULL if there is none such. Since: 0.1. */
FL4_API const char *fl4_tune_stop_name(fl4_tune_stop stop);

/** Outcome of trying a variant: the words of the T4 format for auto-tuning results. X(name, text) */
#define FL4_INVALIDITY_MAP(X)                                                                      \
  X(CORRECT, "correct")                                                                            \
  X(CONSTRAINTS, "constraints") /* the family refuses it for this problem and device */            \
  X(COMPILE, "compile")         /* the compiler does */                                            \
  X(RUNTIME, "runtime")         /* it failed, or took the process with it */                       \
  X(TIMEOUT, "timeout")         /* it took far too long */                                         \
  X(CORRECTNESS, "correctness") /* its output is wrong */

/** Outcome of trying a variant. */
typedef enum fl4_invalidity {
#define FL4_INVALIDITY_ENUM(name, text) FL4_INVALIDITY_##name,
  FL4_INVALIDITY_MAP(FL4_INVALIDITY_ENUM)
#undef FL4_INVALIDITY_ENUM
  FL4_INVALIDITY_COUNT
} fl4_invalidity;

/** Name of an outcome, "correct"; NULL if there is none such. Since: 0.1. */
FL4_API const char *fl4_invalidity_name(fl4_invalidity invalidity);

/** One variant that was tried. Times are microseconds of a call; NaN: not known. */
typedef struct fl4_tune_candidate {
  size_t struct_size; /**< set by the FL4_…_INIT */
  char variant[128];     /**< in full */
  int32_t evaluation;    /**< 0: the built-in choice, then in the order tried */
  int32_t invalidity;    /**< ::fl4_invalidity */
  double p50;            /**< median; of few samples if it was given up early */
  double p50_low;        /**< lower end of its 95 % interval, or NaN */
  double p50_high;       /**< upper end */
  int64_t samples;       /**< how many; fewer than others have: given up early as too slow */
  double max_error;      /**< of the output */
  double compile_ms;     /**< time that compiling took; 0: it was known already */
  int32_t registers;     /**< as in ::fl4_plan_info, like the next two */
  int32_t spill_bytes;   /**< of a thread */
  int32_t smem_bytes;    /**< of a block */
  int32_t same_as;       /**< evaluation with the same machine code, whose times these are; −1: none */
  uint64_t kernel_hash;  /**< of the machine code */
  char error[128];       /**< why it is not correct */
  uint64_t reserved[4];  /**< zero */
} fl4_tune_candidate;

/** Initial value of an ::fl4_tune_candidate. */
#define FL4_TUNE_CANDIDATE_INIT                                                                    \
  { sizeof(fl4_tune_candidate), {0}, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, {0}, {0} }

/** What fl4_tune() is doing. */
typedef struct fl4_tune_progress {
  size_t struct_size; /**< bytes that the library filled */
  const char *phase;    /**< "inputs", "compiling", "searching", "final"; static */
  int64_t evaluations;  /**< tried so far */
  int64_t most;         /**< of how many at most */
  double seconds;       /**< so far */
  const fl4_tune_candidate *latest; /**< tried last; NULL before the first. Valid during the call */
  const fl4_tune_candidate *best;   /**< fastest so far; NULL before there is one. Valid during the call */
  uint64_t reserved[4]; /**< zero */
} fl4_tune_progress;

/** Called for each evaluation, and some ten times a second between; anything but 0 cancels. */
typedef int (*fl4_tune_progress_fn)(const fl4_tune_progress *progress, void *user);

/** How a problem is tuned. Zero means default. */
typedef struct fl4_tune_options {
  size_t struct_size; /**< set by the FL4_…_INIT */
  int32_t budget;          /**< ::fl4_tune_budget */
  int32_t max_evaluations; /**< in place of the budget's; 0: the budget's */
  double max_seconds;      /**< 0: no limit */
  double target_us;        /**< stop when a p50 is at most this; 0: no target */
  uint64_t seed;           /**< of the search, the inputs and the bootstrap */
  const char *strategy;    /**< NULL: "evolve"; "exhaustive", "random", "genetic" */
  const char *family;      /**< NULL: that of the built-in choice; else by name: of another one wisdom learns nothing */
  const char *log;         /**< NULL, or a file: each evaluation is appended as a line in T4's words, and what is
                                there of this problem, device and space already is not tried again */
  int32_t mode;            /**< ::fl4_bench_mode, how it will be used: graph on a GPU by default */
  int32_t cold;            /**< 1: with caches flushed */
  int32_t inputs;          /**< ::fl4_inputs that are timed; correctness is checked on others too */
  int32_t compile_threads; /**< that compile ahead; 0: cores − 1, at most 8 */
  double time_limit;       /**< seconds for a candidate; 0: 30 */
  double threshold;        /**< gain that matters; 0: 0.01 */
  int32_t no_wisdom;       /**< 1: the context's wisdom is neither asked for seeds nor told the result */
  uint32_t reserved0;      /**< zero */
  const char *const *seeds; /**< NULL, or variants to try first, ended by NULL */
  fl4_tune_progress_fn progress; /**< NULL: none */
  void *progress_user;     /**< handed to `progress` */
  uint64_t reserved[4];    /**< zero */
} fl4_tune_options;

/** Initial value of an ::fl4_tune_options. */
#define FL4_TUNE_OPTIONS_INIT { sizeof(fl4_tune_options), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, {0} }

/** Outcome of a tuning. */
typedef struct fl4_tune_report {
  size_t struct_size; /**< set by the FL4_…_INIT */
  fl4_tune_candidate *candidates; /**< in: NULL, or the caller's array, which receives the best first */
  int64_t candidates_size; /**< in: how many it can hold */
  int64_t n_candidates;    /**< out: how many were tried, also beyond the array */
  char variant[128];       /**< the one to use: the built-in choice unless another is surely better */
  int32_t improved;        /**< 1: it is not the built-in choice */
  int32_t stop;            /**< ::fl4_tune_stop */
  int64_t space;           /**< valid variants */
  int64_t evaluations;     /**< tried in this call, those read from the log not counted */
  int64_t resumed;         /**< read from the log */
  int64_t failed;          /**< of all tried, those that are not correct */
  double seconds;          /**< that the call took */
  double compile_seconds;  /**< of all compilations together, on all threads */
  double default_us;       /**< p50 of the built-in choice, in the final; after a cancel in the search */
  double best_us;          /**< p50 of the one to use, likewise */
  fl4_comparison against;  /**< the best other candidate against the built-in choice, paired, in the final; n = 0: none */
  uint64_t reserved[4];    /**< zero */
} fl4_tune_report;

/** Initial value of an ::fl4_tune_report. */
#define FL4_TUNE_REPORT_INIT                                                                       \
  { sizeof(fl4_tune_report), 0, 0, 0, {0}, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, FL4_COMPARISON_INIT, {0} }

/**
 * Tunes a problem on the context's device.
 *
 * Evaluation 0 is the built-in choice. Every candidate is compiled ahead on other threads, checked on
 * poisoned outputs before it is timed, given few samples at first and more only while it may still
 * win; candidates of the same machine code are timed once; what is suspiciously fast is checked and
 * timed again. At the end the best and the built-in choice are timed side by side, and the choice
 * stays unless the 95 % interval of the ratio excludes 1 and the gain is at least `threshold`: "no
 * improvement" is a normal result. The same seed and the same answers give the same search, in
 * whatever order compilations end.
 *
 * A candidate that ends the process (an illegal access, a hang that somebody kills) is found in the
 * log as begun and not ended, and is not tried again by the next call with that log.
 *
 * @param ctx      its device runs it; the result goes to its wisdom, see wisdom.h
 * @param problem  what to tune for
 * @param options  NULL for the defaults
 * @param report   filled, also with ::FL4_CANCELLED; the caller's
 * @return ::FL4_INVALID_ARGUMENT, ::FL4_UNSUPPORTED, ::FL4_OUT_OF_MEMORY, ::FL4_LIBRARY_MISSING,
 *         ::FL4_DEVICE_ERROR, ::FL4_IO_ERROR (the log), ::FL4_CANCELLED (the best so far holds)
 *
 * Thread-safety: as fl4_bench(). Since: 0.1.
 */
FL4_API FL4_NODISCARD fl4_status fl4_tune(fl4_context *ctx, const fl4_problem *problem, const fl4_tune_options *options,
                                          fl4_tune_report *report);

/** A tuning in steps. Opaque. */
typedef struct fl4_tuner fl4_tuner;

/**
 * Begins a tuning that goes on in steps, for programs that have idle time now and then.
 * Arguments and errors as fl4_tune(); the options' strings are copied. Since: 0.1.
 *
 * @param ctx      its device runs it; must outlive the tuning
 * @param problem  what to tune for
 * @param options  NULL for the defaults
 * @param tuner    receives the tuning, or NULL on failure; give it to fl4_tuner_destroy()
 */
FL4_API FL4_NODISCARD fl4_status fl4_tuner_create(fl4_context *ctx, const fl4_problem *problem,
                                                  const fl4_tune_options *options, fl4_tuner **tuner);

/**
 * Makes one evaluation. Errors as fl4_tune(). Since: 0.1.
 * @param tuner  the tuning
 * @param done   receives 1 when there is nothing left to try
 */
FL4_API FL4_NODISCARD fl4_status fl4_tune_step(fl4_tuner *tuner, int32_t *done);

/** The final over what was tried so far, and the report; the tuning may go on afterwards. Since: 0.1. */
FL4_API FL4_NODISCARD fl4_status fl4_tuner_finish(fl4_tuner *tuner, fl4_tune_report *report);

/** Ends a tuning and sets `*tuner` to NULL. NULL is fine. Since: 0.1. */
FL4_API void fl4_tuner_destroy(fl4_tuner **tuner);

/** What there is to choose from, for a problem on a device. */
typedef struct fl4_tune_space_info {
  size_t struct_size; /**< set by the FL4_…_INIT */
  char family[32];       /**< its name */
  int64_t combinations;  /**< of all values of all parameters */
  int64_t valid;         /**< of those, what can run; variants without a difference count once */
  int64_t same;          /**< of those that can run, how many are another in disguise */
  int32_t n_parameters;  /**< of the family */
  int32_t n_reasons;     /**< in `reasons` */
  struct {
    char name[16];       /**< "bm" */
    char what[96];       /**< for people */
    int32_t n_values;    /**< in `values` */
    int32_t values[12];  /**< in rising order */
  } parameters[16];      /**< n_parameters of them */
  struct {
    char reason[160];    /**< of the first combination that was refused for it; numbers differ in others */
    int64_t count;       /**< how many were refused for it */
  } reasons[16];         /**< the most frequent first */
  uint64_t reserved[4];  /**< zero */
} fl4_tune_space_info;

/** Initial value of an ::fl4_tune_space_info. */
#define FL4_TUNE_SPACE_INFO_INIT { sizeof(fl4_tune_space_info), {0}, 0, 0, 0, 0, 0, {{{0}, {0}, 0, {0}}}, {{{0}, 0}}, {0} }

/**
 * Describes the search space of a problem on the context's device. Compiles nothing.
 * @param ctx      has the device
 * @param problem  what would be tuned
 * @param family   NULL: that of the built-in choice; else by name
 * @param info     filled; the caller's
 * @return ::FL4_INVALID_ARGUMENT, ::FL4_UNSUPPORTED, ::FL4_OUT_OF_MEMORY. Thread-safety: safe. Since: 0.1.
 */
FL4_API FL4_NODISCARD fl4_status fl4_tune_space(fl4_context *ctx, const fl4_problem *problem, const char *family,
                                                fl4_tune_space_info *info);

/** How a strategy did on a recorded space, over many seeds. Evaluations that never got there are counted as `cap`. */
typedef struct fl4_replay_report {
  size_t struct_size; /**< set by the FL4_…_INIT */
  int64_t points;         /**< in the record */
  int64_t failed;         /**< of those, not correct */
  double best;            /**< the least cost, in the record's unit */
  double difficulty;      /**< share of all points within 5 % of the best */
  int32_t cap;            /**< evaluations a run */
  int32_t seeds;          /**< runs */
  int32_t to_95[3];       /**< evaluations to 95 % of the best speed: median, 90th percentile, worst run */
  int32_t to_99[3];       /**< to 99 % */
  double at[4];           /**< mean share of the best speed after 25, 50, 100 and 200 evaluations */
  uint64_t reserved[4];   /**< zero */
} fl4_replay_report;

/** Initial value of an ::fl4_replay_report. */
#define FL4_REPLAY_REPORT_INIT { sizeof(fl4_replay_report), 0, 0, 0, 0, 0, 0, {0}, {0}, {0}, {0} }

/**
 * Plays a search on a recorded space, without a device: every evaluation is looked up.
 *
 * @param file      in the T4 format, or a log of fl4_tune(), one object a line; either may be gzipped. A
 *                  point that is there several times counts as its last. The objective is the
 *                  measurement named "time" (its mean, if it is a list)
 * @param strategy  as in ::fl4_tune_options
 * @param seeds     runs, with the seeds 0 … seeds − 1
 * @param cap       evaluations a run at most; 0: 1500, or all points if there are fewer
 * @param curve     NULL, or cap numbers: mean share of the best speed after 1, 2 … evaluations
 * @param report    filled; the caller's
 * @return ::FL4_INVALID_ARGUMENT, ::FL4_IO_ERROR (with file and place), ::FL4_OUT_OF_MEMORY
 *
 * Thread-safety: safe. Uses OpenMP threads; the result does not depend on how many. Since: 0.1.
 */
FL4_API FL4_NODISCARD fl4_status fl4_tune_replay(const char *file, const char *strategy, int32_t seeds, int32_t cap,
                                                 double *curve, fl4_replay_report *report);

FL4_END_DECLS

#endif /* FLASHL4_TUNE_H */

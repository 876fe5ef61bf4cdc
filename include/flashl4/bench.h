/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file bench.h
 * @brief How fast is it? Timings that hold, of one contender or of several, paired.
 */
#ifndef FLASHL4_BENCH_H
#define FLASHL4_BENCH_H

#include <stddef.h>
#include <stdint.h>

#include <flashl4/check.h>
#include <flashl4/context.h>
#include <flashl4/export.h>
#include <flashl4/problem.h>
#include <flashl4/stats.h>
#include <flashl4/status.h>

FL4_BEGIN_DECLS

/** How calls are timed. X(name, text, what a sample is) */
#define FL4_BENCH_MODE_MAP(X)                                                                      \
  X(AUTO, "auto", "graph on a GPU, eager on the host")                                             \
  X(GRAPH, "graph", "a CUDA graph of some calls, between two events: the GPU's time alone")        \
  X(EVENTS, "events", "the same calls launched one by one, between two events")                    \
  X(EAGER, "eager", "the same by the host's clock, with a wait at the end: host time included")

/** How calls are timed. */
typedef enum fl4_bench_mode {
#define FL4_BENCH_MODE_ENUM(name, text, what) FL4_BENCH_##name,
  FL4_BENCH_MODE_MAP(FL4_BENCH_MODE_ENUM)
#undef FL4_BENCH_MODE_ENUM
  FL4_BENCH_MODE_COUNT
} fl4_bench_mode;

/** Why sampling ended. X(name, text) */
#define FL4_BENCH_STOP_MAP(X)                                                                      \
  X(NONE, "not timed")                                                                             \
  X(PRECISE, "precise")   /* the interval of the median is narrow enough */                        \
  X(TIME, "time")         /* max_seconds is over */                                                \
  X(SAMPLES, "samples")   /* max_samples, or the caller's array is full */                         \
  X(CANCELLED, "cancelled")

/** Why sampling ended. */
typedef enum fl4_bench_stop {
#define FL4_BENCH_STOP_ENUM(name, text) FL4_BENCH_STOP_##name,
  FL4_BENCH_STOP_MAP(FL4_BENCH_STOP_ENUM)
#undef FL4_BENCH_STOP_ENUM
  FL4_BENCH_STOP_COUNT
} fl4_bench_stop;

/** Name of a mode, "graph"; NULL if there is none such. Since: 0.1. */
FL4_API const char *fl4_bench_mode_name(fl4_bench_mode mode);
/** Name of a reason to stop, "precise"; NULL if there is none such. Since: 0.1. */
FL4_API const char *fl4_bench_stop_name(fl4_bench_stop stop);

/** What a contender runs. */
typedef enum fl4_contender_kind {
  FL4_CONTENDER_FORWARD = 0, /**< fl4_attention_forward() */
  FL4_CONTENDER_ORACLE = 1,  /**< the unfused computation: fl4_oracle_cublas() on CUDA, fl4_oracle_fp64() on the host */
} fl4_contender_kind;

/** One of those that are compared. All strings are read during the call only. */
typedef struct fl4_bench_contender {
  size_t struct_size; /**< set by the FL4_…_INIT */
  int32_t kind;         /**< ::fl4_contender_kind */
  uint32_t reserved0;   /**< zero */
  const char *name;     /**< in results; NULL: made of what follows, "default" if nothing does */
  const char *device;   /**< NULL: the context's; "host": this machine's CPU */
  const char *variant;  /**< NULL: what the context forces, else the library's choice; as in ::fl4_context_options */
  const char *library;  /**< NULL: this library; else the file of another build of libflashl4 */
  uint64_t reserved[4]; /**< zero */
} fl4_bench_contender;

/** Initial value of an ::fl4_bench_contender. */
#define FL4_BENCH_CONTENDER_INIT { sizeof(fl4_bench_contender), 0, 0, 0, 0, 0, 0, {0} }

/** What a device can do at most, as measured by fl4_bench_limits(). 0: not measured. */
typedef struct fl4_limits {
  size_t struct_size; /**< set by the FL4_…_INIT */
  double mma_tflops;    /**< 10¹² operations a second: mma.sync, 16-bit, fp32 sums; on the host fp32 multiply-adds */
  double gemm_tflops;   /**< cuBLAS, fp16, 8192³, fp32 sums; 0 on the host and without cuBLAS */
  double read_gbps;     /**< 10⁹ bytes a second read from memory */
  uint64_t reserved[4]; /**< zero */
} fl4_limits;

/** Initial value of an ::fl4_limits. */
#define FL4_LIMITS_INIT { sizeof(fl4_limits), 0, 0, 0, {0} }

/** State of a device at a moment, from NVML. -1 where it is not known. */
typedef struct fl4_device_health {
  size_t struct_size; /**< set by the FL4_…_INIT */
  int32_t sm_clock_mhz;        /**< of the multiprocessors */
  int32_t sm_clock_max_mhz;    /**< the most it can be */
  int32_t memory_clock_mhz;    /**< of the memory */
  int32_t temperature_c;       /**< degrees Celsius */
  double power_w;              /**< watts drawn */
  double power_limit_w;        /**< watts allowed */
  int64_t throttle_reasons;    /**< NVML's bits, see fl4_throttle_text(); 0: none */
  char driver[32];             /**< version of the driver, "unknown" */
  uint64_t reserved[4];        /**< zero */
} fl4_device_health;

/** Initial value of an ::fl4_device_health. */
#define FL4_DEVICE_HEALTH_INIT { sizeof(fl4_device_health), 0, 0, 0, 0, 0, 0, 0, {0}, {0} }

/** What fl4_bench() is doing. */
typedef struct fl4_bench_progress {
  size_t struct_size; /**< bytes that the library filled */
  int64_t problem;      /**< index of the problem */
  int64_t n_problems;   /**< of how many */
  const char *phase;    /**< "inputs", "checking", "warming up", "timing"; static */
  int64_t round;        /**< samples taken of each contender */
  double seconds;       /**< timing of this problem so far */
  double precision;     /**< half width of the widest interval of a median, relative; NaN before there is one */
  uint64_t reserved[4]; /**< zero */
} fl4_bench_progress;

/** Called some ten times a second; anything but 0 cancels. */
typedef int (*fl4_bench_progress_fn)(const fl4_bench_progress *progress, void *user);

/** How problems are timed. Zero means default. */
typedef struct fl4_bench_options {
  size_t struct_size; /**< set by the FL4_…_INIT */
  int32_t mode;            /**< ::fl4_bench_mode */
  int32_t cold;            /**< 1: caches are flushed before each call, which is then a sample by itself */
  int32_t inputs;          /**< ::fl4_inputs */
  int32_t copies;          /**< sets of tensors used in turn, at most 64, fewer if memory runs out; 0: 3 */
  uint64_t seed;           /**< of inputs, order and bootstrap */
  double precision;        /**< stop when the 95 % interval of every median is within ± this; 0: 0.005 */
  double warmup_seconds;   /**< calls before the first sample; 0: 0.05; at least three rounds in any case */
  double max_seconds;      /**< of timing, a problem; 0: 5 */
  int32_t min_samples;     /**< of each contender, unless max_seconds is over; 0: 100 */
  int32_t max_samples;     /**< of each contender; 0: 10000 */
  int32_t oracle;          /**< ::fl4_oracle */
  int32_t n_contenders;    /**< at most 32; 0: one, the context as it is */
  const fl4_bench_contender *contenders; /**< the first is the base of the comparisons */
  const fl4_limits *limits;     /**< NULL: percentages of the limits are NaN */
  const fl4_compare_options *compare; /**< NULL: the defaults; `paired` and `seed` are not used */
  fl4_bench_progress_fn progress; /**< NULL: none */
  void *progress_user;     /**< handed to `progress` */
  uint64_t reserved[4];    /**< zero */
} fl4_bench_options;

/** Initial value of an ::fl4_bench_options. */
#define FL4_BENCH_OPTIONS_INIT { sizeof(fl4_bench_options), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, {0} }

/**
 * One contender on one problem. Times are microseconds of one call. What could not be measured is
 * NaN, and text is "".
 */
typedef struct fl4_bench_result {
  size_t struct_size; /**< set by the FL4_…_INIT */
  double *samples;         /**< in: NULL, or the caller's array, which receives all samples in order */
  int64_t samples_size;    /**< in: numbers that it can hold; sampling ends when it is full */
  int32_t status;          /**< ::fl4_status of this contender on this problem; only ::FL4_OK has timings, and
                                a wrong output, before or after them, is ::FL4_WRONG_OUTPUT */
  int32_t checked;         /**< 1: the output was right before and after timing; wrong ones are not timed */
  char error[256];         /**< why not ::FL4_OK, or what was wrong with the output */
  char name[64];           /**< of the contender */
  char variant[128];       /**< what ran */
  char library[64];        /**< version of the library that ran it */
  uint64_t kernel_hash;    /**< as in ::fl4_plan_info, like the next four */
  int32_t registers;       /**< of a thread */
  int32_t spill_bytes;     /**< of a thread */
  int32_t smem_bytes;      /**< of a block */
  int32_t blocks;          /**< launched */
  double max_error;        /**< max |out − ref| before timing */
  double max_allowed;      /**< what the rule of fl4_check() allows */
  char oracle[32];         /**< which oracle judged */
  int32_t mode;            /**< ::fl4_bench_mode that was used, never AUTO */
  int32_t cold;            /**< as asked for */
  int32_t copies;          /**< sets of tensors that were used */
  int32_t calls;           /**< calls of a sample, which is their mean */
  int32_t stop;            /**< ::fl4_bench_stop */
  int32_t reserved0;       /**< zero */
  double seconds;          /**< that timing this problem took, all contenders together */
  fl4_statistics stats;    /**< of the samples */
  fl4_comparison against;  /**< this one against the first contender; n = 0 for the first itself */
  double tflops;           /**< 10¹² operations a second at p50, masked pairs not counted */
  double gbps;             /**< 10⁹ bytes a second at p50: Q, K, V and O once each */
  double percent_matrix;   /**< tflops in percent of the larger of mma_tflops and gemm_tflops */
  double percent_read;     /**< gbps in percent of read_gbps */
  fl4_device_health before; /**< at the first sample */
  fl4_device_health after;  /**< at the last; its throttle reasons are those of the whole time */
  uint64_t reserved[4];    /**< zero */
} fl4_bench_result;

/** Initial value of an ::fl4_bench_result; in C, of each of an array: `= {FL4_BENCH_RESULT_INIT, …}` or a loop. */
#define FL4_BENCH_RESULT_INIT                                                                      \
  { sizeof(fl4_bench_result), 0, 0, 0, 0, {0}, {0}, {0}, {0}, 0, 0, 0, 0, 0, 0, 0, {0}, 0, 0, 0, 0, 0, 0, 0, \
    FL4_STATISTICS_INIT, FL4_COMPARISON_INIT, 0, 0, 0, 0, FL4_DEVICE_HEALTH_INIT, FL4_DEVICE_HEALTH_INIT, {0} }

/**
 * Times problems.
 *
 * Each problem's data is made from the seed and laid out as for fl4_check(), in `copies` sets. Every
 * contender runs on it and is judged by the oracle; a wrong one is not timed. Then rounds: in each,
 * every contender gives one sample, in random order, so that clocks and temperature drift the same
 * for all. After timing the outputs that the timed calls left are judged again. At the end each
 * contender is compared with the first, and all comparisons of the call are judged together.
 *
 * @param ctx         its device runs what names no other
 * @param problems    n_problems of them, `struct_size` bytes apart
 * @param n_problems  at least 1
 * @param options     NULL for the defaults
 * @param results     n_problems × contenders, `struct_size` bytes apart, problem by problem; the caller's
 * @return ::FL4_OK also if some result's own status is not; ::FL4_INVALID_ARGUMENT, ::FL4_OUT_OF_MEMORY,
 *         ::FL4_NO_DEVICE, ::FL4_LIBRARY_MISSING (a contender's), ::FL4_DEVICE_ERROR,
 *         ::FL4_CANCELLED (results of problems that were finished hold; of the others `stop` tells)
 *
 * Allocates device memory, uses streams of its own, and waits for the device. Thread-safety: no
 * other call may use the context or load the device meanwhile. Since: 0.1.
 */
FL4_API FL4_NODISCARD fl4_status fl4_bench(fl4_context *ctx, const fl4_problem *problems, int64_t n_problems,
                                           const fl4_bench_options *options, fl4_bench_result *results);

/**
 * Measures what the context's device can do at most: some seconds of matrix products and of reading
 * memory. An application's bound on a long run is lower where power is limited: see
 * ::fl4_device_health.
 *
 * @return ::FL4_INVALID_ARGUMENT, ::FL4_UNSUPPORTED, ::FL4_OUT_OF_MEMORY, ::FL4_LIBRARY_MISSING (NVRTC),
 *         ::FL4_COMPILE_FAILED, ::FL4_DEVICE_ERROR
 *
 * Thread-safety: as fl4_bench(). Since: 0.1.
 */
FL4_API FL4_NODISCARD fl4_status fl4_bench_limits(fl4_context *ctx, fl4_limits *limits);

/**
 * State of the context's device now. Without NVML, and on the host, all is unknown; that is no error.
 * @return ::FL4_INVALID_ARGUMENT. Thread-safety: safe. Since: 0.1.
 */
FL4_API FL4_NODISCARD fl4_status fl4_context_get_health(fl4_context *ctx, fl4_device_health *health);

/**
 * Writes throttle reasons as words, "power cap, thermal"; "none", or "unknown" for -1.
 * @return `text`. Thread-safety: safe. Since: 0.1.
 */
FL4_API const char *fl4_throttle_text(int64_t reasons, char text[128]);

FL4_END_DECLS

#endif /* FLASHL4_BENCH_H */

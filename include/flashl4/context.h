/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file context.h
 * @brief Devices, and the context that holds one device with its compiled kernels.
 */
#ifndef FLASHL4_CONTEXT_H
#define FLASHL4_CONTEXT_H

#include <stddef.h>
#include <stdint.h>

#include <flashl4/export.h>
#include <flashl4/status.h>

FL4_BEGIN_DECLS

/**
 * One device with its kernels and scratch memory. Opaque.
 *
 * Thread-safety: any number of threads may call forward, prepare and the queries on one context at
 * once. Only fl4_context_destroy() must come after all other calls on it have returned.
 */
typedef struct fl4_context fl4_context;

/** Kinds of device. */
typedef enum fl4_device_kind {
  FL4_DEVICE_HOST = 0, /**< this machine's CPU, always there */
  FL4_DEVICE_CUDA = 1, /**< an NVIDIA GPU of compute capability 8.0 or newer */
  FL4_DEVICE_EMU = 2,  /**< the GPU kernels on an emulated GPU; only in the library's own tests */
} fl4_device_kind;

/** What a device is and what it allows. Sizes in bytes; what does not apply to a device is 0. */
typedef struct fl4_device_info {
  size_t struct_size; /**< set by the FL4_…_INIT */
  int32_t kind;                /**< ::fl4_device_kind */
  int32_t ordinal;             /**< N of "cuda:N"; 0 for the host */
  char name[64];               /**< "NVIDIA H200", or the CPU's model */
  char isa[16];                /**< "sm_90", or the host's vector code path: "avx512" "avx2" "generic" */
  int32_t sm;                  /**< compute capability × 10: 89 for sm_89; 0 for the host */
  int32_t multiprocessors;     /**< streaming multiprocessors, or CPU threads used */
  int32_t smem_per_block;      /**< shared memory one block may ask for (the opt-in limit) */
  int32_t smem_per_sm;         /**< shared memory of one multiprocessor */
  int32_t registers_per_sm;    /**< 32-bit registers of one multiprocessor */
  int32_t threads_per_sm;      /**< resident threads of one multiprocessor */
  int64_t l2_bytes;            /**< last-level cache of the GPU */
  int64_t memory_bytes;        /**< device memory, all of it */
  uint64_t reserved[4];        /**< zero */
} fl4_device_info;

/** Initial value of an ::fl4_device_info. */
#define FL4_DEVICE_INFO_INIT { sizeof(fl4_device_info), 0, 0, {0}, {0}, 0, 0, 0, 0, 0, 0, 0, 0, {0} }

/**
 * Number of devices: the CUDA devices that the driver shows, then the host, so at least 1.
 * Without a driver, or in a build without CUDA, it is 1. Initialises the CUDA driver.
 * Thread-safety: safe. Since: 0.1.
 */
FL4_API int fl4_device_count(void);

/**
 * Describes device number `index` of fl4_device_count(), in the order in which a context that is not
 * told otherwise tries them (it passes over GPUs older than compute capability 8.0).
 *
 * @param index  0 … fl4_device_count() - 1
 * @param info   filled, up to `info->struct_size` bytes; the caller's
 * @return ::FL4_INVALID_ARGUMENT (NULL, index out of range, struct_size), ::FL4_DEVICE_ERROR
 *
 * Thread-safety: safe. Since: 0.1.
 */
FL4_API FL4_NODISCARD fl4_status fl4_device_get_info(int index, fl4_device_info *info);

/** Severity of a log message. */
typedef enum fl4_log_level {
  FL4_LOG_ERROR = 1, /**< something failed */
  FL4_LOG_WARN = 2,  /**< something is worse than it should be: cache unusable, kernel directory overridden */
  FL4_LOG_INFO = 3,  /**< compilations, choices */
  FL4_LOG_DEBUG = 4, /**< why a variant was refused, cache hits */
} fl4_log_level;

/**
 * Receives log messages. May be called from any thread that calls the library, and must not call
 * the library. `message` is one line without the newline, valid during the call.
 */
typedef void (*fl4_log_fn)(void *user, fl4_log_level level, const char *message);

/** Flags of ::fl4_context_options. */
enum {
  /** Keep compiled kernels in memory only; neither read nor write the cubin cache on disk. */
  FL4_CONTEXT_NO_DISK_CACHE = 1u << 0,
  /**
   * Build kernels with their invariants checked (softmax sums and maxima, indices, alignment) and wait for
   * each call, so that a violation comes back from it as ::FL4_INVARIANT_VIOLATED. Slow. CUDA only.
   */
  FL4_CONTEXT_DEBUG = 1u << 1,
};

/**
 * How a context is made. Environment variables give the defaults of empty fields; they are ignored
 * in set-user-ID programs.
 */
typedef struct fl4_context_options {
  size_t struct_size; /**< set by the FL4_…_INIT */
  /** "cuda:N", "cuda" (= "cuda:0"), "host", or NULL / "auto": $FLASHL4_DEVICE, else the first CUDA
   *  device, else the host. */
  const char *device;
  /** Run this variant wherever it applies, "fwd_mma:bm=64,bn=64,…"; parameters not named keep the
   *  default of the problem. A problem that it cannot run fails with the reason.
   *  NULL: $FLASHL4_VARIANT, else chosen per problem. */
  const char *variant;
  /** Folder of the cubin cache. NULL: $FLASHL4_CACHE_DIR, else $XDG_CACHE_HOME/flashl4, else
   *  ~/.cache/flashl4. Must belong to this user and be writable by nobody else, or it is not used.
   *  FLASHL4_CACHE=0 in the environment turns the cache on disk off. The compiler that fills it is
   *  the first of libnvrtc.so.13 and .12 that the loader finds, or the file $FLASHL4_NVRTC. */
  const char *cache_dir;
  /** Folder with kernel sources to use in place of those built in. NULL: $FLASHL4_KERNEL_DIR, else
   *  built in. For work on the kernels. */
  const char *kernel_dir;
  fl4_log_fn log;      /**< receives messages; NULL: standard error */
  void *log_user;      /**< handed to `log` */
  int32_t log_level;   /**< most verbose ::fl4_log_level passed on; 0: $FLASHL4_LOG (a number), else WARN */
  int32_t threads;     /**< threads of the host device; 0: as OpenMP decides (OMP_NUM_THREADS) */
  uint32_t flags;      /**< FL4_CONTEXT_… */
  uint32_t reserved0;  /**< zero */
  uint64_t reserved[4]; /**< zero */
} fl4_context_options;

/** Initial value of an ::fl4_context_options. */
#define FL4_CONTEXT_OPTIONS_INIT { sizeof(fl4_context_options), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, {0} }

/**
 * Makes a context on one device. Opening a CUDA device initialises its primary context if nobody
 * has; nothing is compiled and no device memory is allocated yet.
 *
 * @param ctx      receives the context, or NULL on failure; give it to fl4_context_destroy()
 * @param options  NULL for the defaults; strings are copied
 * @return ::FL4_INVALID_ARGUMENT, ::FL4_NO_DEVICE, ::FL4_UNSUPPORTED (GPU older than 8.0),
 *         ::FL4_OUT_OF_MEMORY, ::FL4_DEVICE_ERROR
 *
 * Thread-safety: safe. Since: 0.1.
 */
FL4_API FL4_NODISCARD fl4_status fl4_context_create(fl4_context **ctx, const fl4_context_options *options);

/**
 * Frees a context with its kernels and scratch memory, and sets `*ctx` to NULL. `ctx` or `*ctx` may
 * be NULL. Work that was launched with it must have finished. Since: 0.1.
 */
FL4_API void fl4_context_destroy(fl4_context **ctx);

/** Describes the context's device; otherwise as fl4_device_get_info(). Since: 0.1. */
FL4_API FL4_NODISCARD fl4_status fl4_context_get_device_info(fl4_context *ctx, fl4_device_info *info);

/** State of the cubin cache and of the compiler, for diagnosis. */
typedef struct fl4_cache_info {
  size_t struct_size; /**< set by the FL4_…_INIT */
  char dir[256];           /**< folder in use, "" if the disk cache is off */
  char why_off[128];       /**< if it is off: the reason, else "" */
  int64_t bytes;           /**< size of all entries on disk */
  int64_t entries;         /**< number of entries on disk */
  int64_t limit_bytes;     /**< the least recently used entries go when it is exceeded */
  int64_t kernels_loaded;  /**< kernels in this context's memory */
  int64_t compiled;        /**< of those, compiled by this context */
  int64_t from_disk;       /**< of those, read from disk */
  int32_t nvrtc_version;   /**< major × 1000 + minor × 10 as NVRTC counts, 0 if not known */
  int32_t nvrtc_loaded;    /**< 1 if this process has loaded NVRTC through flashl4 */
  uint64_t reserved[4];    /**< zero */
} fl4_cache_info;

/** Initial value of an ::fl4_cache_info. */
#define FL4_CACHE_INFO_INIT { sizeof(fl4_cache_info), {0}, {0}, 0, 0, 0, 0, 0, 0, 0, 0, {0} }

/**
 * Describes the context's cubin cache. On the host device, which compiles nothing, `why_off` says so.
 *
 * @return ::FL4_INVALID_ARGUMENT
 *
 * Thread-safety: safe. Since: 0.1.
 */
FL4_API FL4_NODISCARD fl4_status fl4_context_get_cache_info(fl4_context *ctx, fl4_cache_info *info);

FL4_END_DECLS

#endif /* FLASHL4_CONTEXT_H */

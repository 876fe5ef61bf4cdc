/* SPDX-License-Identifier: Apache-2.0 */
/* The CUDA backend's own view of its device. Nothing outside lib/cuda/ and the cuBLAS oracle sees it. */
#ifndef FL4_CUDA_DEVICE_H
#define FL4_CUDA_DEVICE_H

#include <cuda_runtime_api.h>
#include <pthread.h>
#include <stdatomic.h>

#include "cuda/cublas.h"
#include "cuda/cubin_cache.h"
#include "device.h"

/* A program of kernels, loaded. */
typedef struct fl4__module {
  cudaLibrary_t library;
  fl4__resources resources;
  int32_t origin; /* fl4_kernel_origin */
  float build_ms;
  uint64_t hash;
} fl4__module;

typedef struct fl4__cuda_kernel {
  fl4__kernel base; /* first: the rest of the library sees this part */
  fl4__module module;
  cudaKernel_t handle;
  struct fl4__cuda_kernel *next;
} fl4__cuda_kernel;

/* A kernel that did not compile, so that no thread tries again; or one that a thread compiles now. */
typedef struct fl4__cuda_pending {
  fl4__build build;
  char *error; /* NULL while it compiles */
  struct fl4__cuda_pending *next;
} fl4__cuda_pending;

typedef struct fl4__cuda_oracle {
  fl4__module module;
  cudaKernel_t gather, softmax, round;
  bool loaded;
} fl4__cuda_oracle;

/* A kernel beside attention. */
typedef struct fl4__cuda_aux fl4__cuda_aux;

typedef struct fl4__cuda_device {
  fl4__device base;
  int ordinal;
  char arch[16]; /* what kernels are compiled for: "sm_90a" */
  fl4__cubin_cache *cache;

  /* Kernels are only ever added: readers walk the list without a lock. */
  _Atomic(fl4__cuda_kernel *) kernels;
  pthread_mutex_t build_lock; /* `pending`, and adding to `kernels` */
  pthread_cond_t built;
  fl4__cuda_pending *pending;
  atomic_int n_compiled, n_from_disk;

  pthread_mutex_t debug_lock; /* `debug_record` */
  fl4_debug_record *debug_record; /* device memory, in debug contexts */

  pthread_mutex_t oracle_lock; /* `oracle`, `blas` */
  fl4__cuda_oracle oracle[2]; /* by dtype: fp16, bf16 */
  fl4__cublas *blas;

  _Atomic(fl4__cuda_aux *) aux; /* as `kernels` */
  pthread_mutex_t aux_lock;     /* adding to it */

  pthread_mutex_t timer_lock; /* the next two */
  fl4__module timer_module;
  cudaKernel_t timer_hold;
} fl4__cuda_device;

static inline fl4__cuda_device *fl4__cuda(fl4__device *device)
{
  return (fl4__cuda_device *)device;
}

/* Status of a CUDA call; the sentence names the call, the error, and `what` we were about. */
fl4_status fl4__cuda_status(cudaError_t error, const char *what);

#define FL4_CUDA_TRY(expr) FL4_TRY(fl4__cuda_status((expr), #expr))
#define FL4_CUDA_TRY_GOTO(expr) FL4_TRY_GOTO(fl4__cuda_status((expr), #expr))

/* Makes the device current for this thread; `leave` gives the caller its own back. */
fl4_status fl4__cuda_enter(const fl4__cuda_device *device, int *previous);
void fl4__cuda_leave(const fl4__cuda_device *device, int previous);

/* Compiles a source of kernels/, or takes it from the cache, and loads it. */
fl4_status fl4__module_load(fl4__cuda_device *device, const char *source, const char *const *options, int n_options,
                            fl4__module *module);
void fl4__module_unload(fl4__module *module);

/*
 * Loading code may wait for the device, so nobody loads any while a timer holds a stream back for the
 * host: both take this lock. Of the whole process, as all contexts share the device; recursive, since
 * what is timed may have to load.
 */
pthread_mutex_t *fl4__cuda_load_lock(void);

/* Backend functions, a file each; see device.h. */
fl4_status fl4__cuda_kernel_find(fl4__device *device, const fl4__build *build, bool may_build,
                                 const fl4__kernel **kernel);
void fl4__cuda_kernels_free(fl4__cuda_device *device);
bool fl4__cuda_capturing(fl4__device *device, fl4_stream stream);
fl4_status fl4__cuda_launch(fl4__device *device, const fl4__kernel *kernel, const fl4__geometry *geometry,
                            const fl4_fwd_params *params, void *workspace, fl4_stream stream);
fl4_status fl4__cuda_aux_run(fl4__device *device, const fl4__aux *aux, fl4_stream stream);
void fl4__cuda_aux_free(fl4__cuda_device *device);
fl4_status fl4__cuda_scratch_take(fl4__device *device, size_t bytes, fl4_stream stream, void **memory);
void fl4__cuda_scratch_give(fl4__device *device, void *memory, size_t bytes, fl4_stream stream);
fl4_status fl4__cuda_alloc(fl4__device *device, size_t bytes, void **memory);
void fl4__cuda_release(fl4__device *device, void *memory);
fl4_status fl4__cuda_upload(fl4__device *device, void *to, const void *from, size_t bytes);
fl4_status fl4__cuda_download(fl4__device *device, void *to, const void *from, size_t bytes);
fl4_status fl4__cuda_synchronize(fl4__device *device);
fl4_status fl4__cuda_copy(fl4__device *device, void *to, const void *from, size_t bytes);
fl4_status fl4__cuda_limits(fl4__device *device, fl4_limits *limits);

#endif

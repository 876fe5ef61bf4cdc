/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A CUDA runtime that knows no GPU but keeps account: what is made and destroyed, in which order
 * things are queued, whether anyone waits behind a closed gate. Any one of its calls can be made to
 * fail. With it, what lib/cuda/timer.c uses of the rest of the library.
 */
#ifndef FL4_FAKE_CUDA_H
#define FL4_FAKE_CUDA_H

#include "cuda/cuda_device.h"
#include "cuda/nvml.h"
#include "error.h"
#include "fl4_test.h"

/* ---------------------------------------------------------------- the runtime */

static int n_calls, fails_at;          /* calls of the runtime; which one fails, 0: none */
static int objects;                    /* made and not destroyed yet */
static int entered;                    /* fl4__cuda_enter() without its leave */
static bool capturing, held, gives_up; /* gives_up: the host is always too slow for the gate */
static unsigned *gate;                 /* of the kernel that holds the stream */
static char queued[4096];              /* what was queued, a word each */
static const char *failed_word;        /* the word of what failed, if it was to be queued */

static cudaError_t call(void)
{
  ck_assert_int_eq(entered, 1);
  return ++n_calls == fails_at ? cudaErrorUnknown : cudaSuccess;
}

static cudaError_t queue(const char *word)
{
  const cudaError_t error = call();
  if (error != cudaSuccess) return failed_word = word, error;
  ck_assert_uint_lt(strlen(queued) + 20, sizeof queued);
  strcat(strcat(queued, *queued ? " " : ""), word);
  return cudaSuccess;
}

static cudaError_t make(void *object)
{
  static char something[64];
  const cudaError_t error = call();
  *(void **)object = error == cudaSuccess ? something : NULL;
  objects += error == cudaSuccess;
  return error;
}

static cudaError_t destroy(void *object)
{
  ck_assert_ptr_nonnull(object);
  objects--;
  return cudaSuccess;
}

static int n_events;

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *s, unsigned flags)
{
  ck_assert_uint_eq(flags, cudaStreamNonBlocking);
  return make(s);
}
cudaError_t cudaStreamDestroy(cudaStream_t s)
{
  return destroy(s);
}
cudaError_t cudaEventCreate(cudaEvent_t *e)
{
  const cudaError_t error = make(e);
  if (error == cudaSuccess) *e = (cudaEvent_t)(uintptr_t)(++n_events % 2 ? 1 : 2); /* start, stop */
  return error;
}
cudaError_t cudaEventDestroy(cudaEvent_t e)
{
  return destroy(e);
}
cudaError_t cudaEventRecord(cudaEvent_t e, cudaStream_t s)
{
  ck_assert_ptr_nonnull(s);
  return queue((uintptr_t)e == 1 ? "start" : "stop");
}
cudaError_t cudaEventElapsedTime(float *ms, cudaEvent_t a, cudaEvent_t b)
{
  ck_assert((uintptr_t)a == 1 && (uintptr_t)b == 2);
  *ms = 6;
  return call();
}
cudaError_t cudaMalloc(void **p, size_t n)
{
  ck_assert_uint_eq(n, 2 << 20); /* twice the L2 cache */
  return make(p);
}
cudaError_t cudaFree(void *p)
{
  return destroy(p);
}
cudaError_t cudaHostAlloc(void **p, size_t n, unsigned flags)
{
  ck_assert_uint_ge(n, 8);
  ck_assert_uint_eq(flags, cudaHostAllocMapped);
  return make(p);
}
cudaError_t cudaFreeHost(void *p)
{
  return destroy(p);
}
cudaError_t cudaHostGetDevicePointer(void **device_pointer, void *host, unsigned flags)
{
  ck_assert_uint_eq(flags, 0);
  *device_pointer = host;
  return call();
}
cudaError_t cudaGetLastError(void)
{
  return cudaSuccess;
}
cudaError_t cudaCtxResetPersistingL2Cache(void)
{
  ck_assert(!held); /* it may wait */
  return queue("reset");
}
cudaError_t cudaMemsetAsync(void *p, int byte, size_t n, cudaStream_t s)
{
  (void)s;
  ck_assert(p && byte == 0x5a && n == 2 << 20);
  return queue("flush");
}

/* Loading takes the lock, which is recursive: what this thread may do, another may not. */
static bool may_load(void)
{
  if (pthread_mutex_trylock(fl4__cuda_load_lock()) != 0) return false;
  pthread_mutex_unlock(fl4__cuda_load_lock());
  return true;
}

static void *try_to_load(void *got)
{
  *(bool *)got = may_load();
  return NULL;
}

static bool others_may_load(void)
{
  bool got = false;
  pthread_t thread;
  ck_assert_int_eq(pthread_create(&thread, NULL, try_to_load, &got), 0);
  pthread_join(thread, NULL);
  return got;
}

cudaError_t cudaLaunchKernel(const void *kernel, dim3 grid, dim3 block, void **args, size_t smem, cudaStream_t s)
{
  (void)smem, (void)s;
  ck_assert(kernel && grid.x == 1 && block.x == 1);
  const cudaError_t error = queue("hold");
  if (error != cudaSuccess) return error;
  held = true, gate = *(unsigned **)args[0];
  ck_assert_msg(!others_may_load(), "the stream is held, and another thread may load code");
  ck_assert(gate[0] == 0 && gate[1] == 0);
  ck_assert_uint_ge(*(unsigned long long *)args[1], 100000000);
  return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t s)
{
  (void)s;
  ck_assert_msg(others_may_load(), "waits for the device with the lock of loading");
  if (held && gives_up) gate[1] = 1;
  if (held) ck_assert_msg(gate[0] == 1 || gives_up, "waits for a stream that is held");
  held = false;
  ck_assert(!capturing);
  return call();
}
cudaError_t cudaStreamBeginCapture(cudaStream_t s, enum cudaStreamCaptureMode mode)
{
  (void)s;
  ck_assert_int_eq(mode, cudaStreamCaptureModeThreadLocal);
  const cudaError_t error = call();
  capturing = error == cudaSuccess;
  return error;
}
cudaError_t cudaStreamEndCapture(cudaStream_t s, cudaGraph_t *graph)
{
  (void)s;
  ck_assert(capturing);
  capturing = false;
  return make(graph);
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph)
{
  return destroy(graph);
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t *exec, cudaGraph_t graph, unsigned long long flags)
{
  ck_assert(graph && !flags);
  return make(exec);
}
cudaError_t cudaGraphUpload(cudaGraphExec_t exec, cudaStream_t s)
{
  ck_assert(exec && s);
  return call();
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t s)
{
  ck_assert(exec && s);
  return queue("graph");
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec)
{
  return destroy(exec);
}
cudaError_t cudaLibraryGetKernel(cudaKernel_t *kernel, cudaLibrary_t library, const char *name)
{
  ck_assert_ptr_nonnull(library);
  ck_assert_str_eq(name, "fl4_timer_hold");
  const cudaError_t error = call();
  *kernel = error == cudaSuccess ? (cudaKernel_t)(void *)queued : NULL;
  return error;
}
cudaError_t cudaDeviceGetPCIBusId(char *id, int length, int ordinal)
{
  snprintf(id, (size_t)length, "0000:0%d:00.0", ordinal);
  return fails_at ? cudaErrorUnknown : cudaSuccess;
}

/* ---------------------------------------------------------------- the rest of the library */

fl4_status fl4__cuda_status(cudaError_t error, const char *what)
{
  return error == cudaSuccess ? FL4_OK : fl4__fail(FL4_DEVICE_ERROR, "%s failed", what);
}
fl4_status fl4__cuda_enter(const fl4__cuda_device *device, int *previous)
{
  (void)device;
  ck_assert_int_eq(entered, 0);
  *previous = 7;
  entered = 1;
  return FL4_OK;
}
void fl4__cuda_leave(const fl4__cuda_device *device, int previous)
{
  (void)device;
  ck_assert_int_eq(previous, 7);
  entered = 0;
}
fl4_status fl4__module_load(fl4__cuda_device *device, const char *source, const char *const *options, int n_options,
                            fl4__module *module)
{
  (void)device, (void)options, (void)n_options;
  ck_assert_str_eq(source, "timer.cu");
  if (call() != cudaSuccess) return fl4__fail(FL4_DEVICE_ERROR, "fl4__module_load failed");
  module->library = (cudaLibrary_t)(void *)queued;
  return FL4_OK;
}
fl4_status fl4__cuda_limits(fl4__device *device, fl4_limits *limits)
{
  (void)device, (void)limits;
  return FL4_INTERNAL;
}
void fl4__health_unknown(fl4_device_health *health)
{
  health->sm_clock_mhz = -1;
}
void fl4__nvml_health(const char *bus_id, fl4_device_health *health)
{
  ck_assert_str_eq(bus_id, "0000:03:00.0");
  health->sm_clock_mhz = 1234;
}

#endif

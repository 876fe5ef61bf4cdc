/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Time on the GPU: two events around the calls, on a stream of the timer's own. While the host queues
 * them, a kernel holds the stream back, so that between the events lies the device's work and no
 * waiting for the host. Eager mode leaves all that out and reads the host's clock.
 */
#include <stdlib.h>

#include "cuda/cuda_device.h"
#include "cuda/nvml.h"
#include "error.h"
#include "util/os.h"

enum {
  HELD_CALLS = 256, /* the driver takes some thousand launches; then it makes the host wait for the device */
  TRIES = 3,        /* of a sample that the host was too slow for */
};
static const unsigned long long hold_ns = 1000000000;

/* Two words of the host's memory that the device reaches; see kernels/timer.cu. */
typedef struct gate {
  _Atomic uint32_t open;
  _Atomic uint32_t gave_up;
} gate;

struct fl4__timer {
  fl4__cuda_device *device;
  const fl4__work *work;
  fl4_bench_mode mode;
  cudaStream_t stream;
  cudaEvent_t start, stop;
  cudaGraphExec_t graph; /* graph mode */
  void *flush;           /* cold: memory to write over */
  size_t flush_bytes;
  gate *gate; /* NULL: the stream is not held */
  void *device_gate;
};

/* ---------------------------------------------------------------- the lock of loading */

static pthread_mutex_t load_lock;

/* The initialiser of a recursive mutex is not portable, so it is made when first needed. */
static void make_load_lock(void)
{
  pthread_mutexattr_t attributes;
  pthread_mutexattr_init(&attributes);
  pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_RECURSIVE);
  pthread_mutex_init(&load_lock, &attributes);
  pthread_mutexattr_destroy(&attributes);
}

pthread_mutex_t *fl4__cuda_load_lock(void)
{
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, make_load_lock);
  return &load_lock;
}

/* ---------------------------------------------------------------- one sample */

static void open_gate(fl4__timer *t)
{
  if (t->gate) atomic_store_explicit(&t->gate->open, 1, memory_order_release);
}

static fl4_status hold(fl4__timer *t)
{
  atomic_store(&t->gate->open, 0);
  atomic_store(&t->gate->gave_up, 0);
  unsigned long long most_ns = hold_ns;
  void *args[] = {&t->device_gate, &most_ns};
  return fl4__cuda_status(
      cudaLaunchKernel((const void *)t->device->timer_hold, (dim3){1, 1, 1}, (dim3){1, 1, 1}, args, 0, t->stream),
      "cudaLaunchKernel");
}

/*
 * Writing does not push out lines that were made persistent, so those become ordinary lines first.
 * That may wait for the device, so it comes before the gate; where nothing can persist it fails, and
 * need not work.
 */
static void reset_persisting(const fl4__timer *t)
{
  if (t->flush && cudaCtxResetPersistingL2Cache() != cudaSuccess) (void)cudaGetLastError();
}

static fl4_status flush(fl4__timer *t)
{
  if (!t->flush) return FL4_OK;
  return fl4__cuda_status(cudaMemsetAsync(t->flush, 0x5a, t->flush_bytes, t->stream), "cudaMemsetAsync");
}

static fl4_status run_calls(fl4__timer *t)
{
  for (int i = 0; i < t->work->calls; i++) {
    if (i == HELD_CALLS) open_gate(t);
    FL4_TRY(t->work->run(t->work->user, i, t->stream));
  }
  return FL4_OK;
}

static fl4_status queue(fl4__timer *t)
{
  reset_persisting(t);
  if (t->gate) FL4_TRY(hold(t));
  FL4_TRY(flush(t));
  FL4_CUDA_TRY(cudaEventRecord(t->start, t->stream));
  if (t->graph)
    FL4_CUDA_TRY(cudaGraphLaunch(t->graph, t->stream));
  else
    FL4_TRY(run_calls(t));
  FL4_CUDA_TRY(cudaEventRecord(t->stop, t->stream));
  return FL4_OK;
}

/* Whatever fails, the gate is opened and the stream is left empty. */
static fl4_status between_events(fl4__timer *t, double *us)
{
  if (t->gate) pthread_mutex_lock(fl4__cuda_load_lock());
  const fl4_status queued = queue(t);
  open_gate(t);
  if (t->gate) pthread_mutex_unlock(fl4__cuda_load_lock());
  const cudaError_t waited = cudaStreamSynchronize(t->stream);
  FL4_TRY(queued);
  FL4_TRY(fl4__cuda_status(waited, "cudaStreamSynchronize"));
  float ms;
  FL4_CUDA_TRY(cudaEventElapsedTime(&ms, t->start, t->stop));
  *us = 1e3 * (double)ms / t->work->calls;
  return FL4_OK;
}

static fl4_status by_host_clock(fl4__timer *t, double *us)
{
  reset_persisting(t);
  FL4_TRY(flush(t));
  FL4_CUDA_TRY(cudaStreamSynchronize(t->stream));
  const double start = fl4__now_ms();
  const fl4_status queued = run_calls(t);
  const cudaError_t waited = cudaStreamSynchronize(t->stream);
  const double end = fl4__now_ms();
  FL4_TRY(queued);
  FL4_TRY(fl4__cuda_status(waited, "cudaStreamSynchronize"));
  *us = 1e3 * (end - start) / t->work->calls;
  return FL4_OK;
}

static fl4_status take(fl4__timer *t, double *us)
{
  if (t->mode == FL4_BENCH_EAGER) return by_host_clock(t, us);
  for (int i = 0; i < TRIES; i++) {
    FL4_TRY(between_events(t, us));
    if (!t->gate || !atomic_load(&t->gate->gave_up)) return FL4_OK;
  }
  return fl4__fail(FL4_DEVICE_ERROR,
                   "%d times the device waited %g s for the host to queue %d calls: do they wait for it?", (int)TRIES,
                   1e-9 * (double)hold_ns, t->work->calls < HELD_CALLS ? t->work->calls : HELD_CALLS);
}

static fl4_status sample(fl4__timer *t, double *us)
{
  int previous;
  FL4_TRY(fl4__cuda_enter(t->device, &previous));
  const fl4_status status = take(t, us);
  fl4__cuda_leave(t->device, previous);
  return status;
}

/* ---------------------------------------------------------------- making a timer */

static fl4_status capture(fl4__timer *t)
{
  cudaGraph_t graph = NULL;
  FL4_CUDA_TRY(cudaStreamBeginCapture(t->stream, cudaStreamCaptureModeThreadLocal));
  fl4_status status = run_calls(t);
  const cudaError_t ended = cudaStreamEndCapture(t->stream, &graph); /* in any case, or the stream is of no more use */
  if (status == FL4_OK) status = fl4__cuda_status(ended, "cudaStreamEndCapture");
  if (status == FL4_OK) status = fl4__cuda_status(cudaGraphInstantiate(&t->graph, graph, 0), "cudaGraphInstantiate");
  if (status == FL4_OK) status = fl4__cuda_status(cudaGraphUpload(t->graph, t->stream), "cudaGraphUpload");
  if (graph) cudaGraphDestroy(graph);
  return status;
}

/* The kernel that holds streams, loaded with the device's first timer. */
static fl4_status load(fl4__cuda_device *d)
{
  fl4_status status = FL4_OK;
  pthread_mutex_lock(&d->timer_lock);
  if (!d->timer_module.library) status = fl4__module_load(d, "timer.cu", NULL, 0, &d->timer_module);
  if (status == FL4_OK && !d->timer_hold)
    status = fl4__cuda_status(cudaLibraryGetKernel(&d->timer_hold, d->timer_module.library, "fl4_timer_hold"),
                              "cudaLibraryGetKernel");
  pthread_mutex_unlock(&d->timer_lock);
  return status;
}

static fl4_status make_gate(fl4__timer *t)
{
  FL4_TRY(load(t->device));
  FL4_CUDA_TRY(cudaHostAlloc((void **)&t->gate, sizeof *t->gate, cudaHostAllocMapped));
  FL4_CUDA_TRY(cudaHostGetDevicePointer(&t->device_gate, t->gate, 0));
  return FL4_OK;
}

static fl4_status make(fl4__timer *t, bool cold, bool waits)
{
  FL4_CUDA_TRY(cudaStreamCreateWithFlags(&t->stream, cudaStreamNonBlocking));
  FL4_CUDA_TRY(cudaEventCreate(&t->start));
  FL4_CUDA_TRY(cudaEventCreate(&t->stop));
  if (cold) {
    t->flush_bytes = 2 * (size_t)t->device->base.info.l2_bytes;
    FL4_CUDA_TRY(cudaMalloc(&t->flush, t->flush_bytes));
  }
  if (t->mode == FL4_BENCH_GRAPH) FL4_TRY(capture(t));
  if (t->mode == FL4_BENCH_EAGER || waits) return FL4_OK;
  /* What a first run has to load is loaded now: behind the gate, loading could wait for the stream for ever. */
  double us;
  FL4_TRY(between_events(t, &us));
  return make_gate(t);
}

static void destroy(fl4__timer *t)
{
  int previous;
  const bool entered = fl4__cuda_enter(t->device, &previous) == FL4_OK;
  if (t->graph) cudaGraphExecDestroy(t->graph);
  if (t->start) cudaEventDestroy(t->start);
  if (t->stop) cudaEventDestroy(t->stop);
  if (t->flush) cudaFree(t->flush);
  if (t->gate) cudaFreeHost(t->gate);
  if (t->stream) cudaStreamDestroy(t->stream);
  if (entered) fl4__cuda_leave(t->device, previous);
  free(t);
}

static fl4_status open_timer(fl4__device *device, const fl4__work *work, fl4_bench_mode mode, bool cold,
                             fl4_bench_mode *used, fl4__timer **timer)
{
  fl4__cuda_device *d = fl4__cuda(device);
  const bool waits = work->waits || d->debug_record; /* a debug context looks at each launch's record */
  *timer = NULL;
  fl4__timer *t = calloc(1, sizeof *t);
  if (!t) return fl4__fail(FL4_OUT_OF_MEMORY, "no memory for a timer (%zu bytes)", sizeof *t);
  t->device = d, t->work = work, t->mode = mode == FL4_BENCH_GRAPH && waits ? FL4_BENCH_EVENTS : mode;
  *used = t->mode;
  int previous;
  fl4_status status = fl4__cuda_enter(d, &previous);
  if (status == FL4_OK) {
    status = make(t, cold, waits);
    fl4__cuda_leave(d, previous);
  }
  if (status == FL4_OK)
    *timer = t;
  else
    destroy(t);
  return status;
}

static void close_timer(fl4__timer *t)
{
  if (t) destroy(t);
}

static void health(fl4__device *device, fl4_device_health *out)
{
  char bus_id[32];
  if (cudaDeviceGetPCIBusId(bus_id, sizeof bus_id, fl4__cuda(device)->ordinal) == cudaSuccess)
    fl4__nvml_health(bus_id, out);
  else
    fl4__health_unknown(out);
}

const fl4__timing fl4__timing_cuda = {
    .open = open_timer,
    .sample = sample,
    .close = close_timer,
    .limits = fl4__cuda_limits,
    .health = health,
};

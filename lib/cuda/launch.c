/* SPDX-License-Identifier: Apache-2.0 */
/* Launching a kernel on a stream; and, in debug contexts, looking at what it found. */
#include "cuda/cuda_device.h"
#include "cuda/tensor_map.h"
#include "error.h"

bool fl4__cuda_capturing(fl4__device *device, fl4_stream stream)
{
  (void)device;
  enum cudaStreamCaptureStatus capture = cudaStreamCaptureStatusNone;
  /* The query itself fails where another thread's capture forbids work on the default stream. */
  return cudaStreamIsCapturing(stream, &capture) != cudaSuccess || capture != cudaStreamCaptureStatusNone;
}

static fl4_status launch(const fl4__cuda_kernel *kernel, const fl4__geometry *geometry, const fl4_fwd_params *params,
                         fl4_stream stream)
{
  const cudaLaunchConfig_t config = {
      .gridDim = {(unsigned)geometry->blocks, 1, 1},
      .blockDim = {(unsigned)geometry->threads, 1, 1},
      .dynamicSmemBytes = (size_t)geometry->smem_bytes,
      .stream = stream,
  };
  fl4_fwd_tma_params with_maps;
  void *args[] = {(void *)params};
  if (geometry->tma_rows[0]) {
    FL4_TRY(fl4__tensor_maps(&kernel->base.build, geometry, params, &with_maps));
    args[0] = &with_maps;
  }
  return fl4__cuda_status(cudaLaunchKernelExC(&config, (const void *)kernel->handle, args), "cudaLaunchKernelExC");
}

static const char *invariant_text(fl4_u32 code)
{
  switch (code) {
#define CASE(name, code, text)                                                                                         \
  case (code): return #name ": " text;
    FL4_INVARIANT_MAP(CASE)
#undef CASE
  }
  return "unknown invariant";
}

/* Runs to the end and reads the record. One launch at a time: the record is the device's only one. */
static fl4_status launch_watched(fl4__cuda_device *d, const fl4__cuda_kernel *kernel, const fl4__geometry *geometry,
                                 const fl4_fwd_params *params, fl4_stream stream)
{
  fl4_fwd_params watched = *params;
  watched.debug = (uintptr_t)d->debug_record;
  fl4_debug_record found;
  FL4_CUDA_TRY(cudaMemsetAsync(d->debug_record, 0, sizeof found, stream));
  FL4_TRY(launch(kernel, geometry, &watched, stream));
  FL4_CUDA_TRY(cudaMemcpyAsync(&found, d->debug_record, sizeof found, cudaMemcpyDeviceToHost, stream));
  FL4_CUDA_TRY(cudaStreamSynchronize(stream));
  if (!found.code) return FL4_OK;
  return fl4__fail(FL4_INVARIANT_VIOLATED, "%s; block %u, thread %u: value %g, bound %g", invariant_text(found.code),
                   found.block, found.thread, (double)found.value, (double)found.bound);
}

fl4_status fl4__cuda_launch(fl4__device *device, const fl4__kernel *kernel, const fl4__geometry *geometry,
                            const fl4_fwd_params *params, void *workspace, fl4_stream stream)
{
  fl4__cuda_device *d = fl4__cuda(device);
  const fl4__cuda_kernel *k = (const fl4__cuda_kernel *)kernel;
  int previous;
  FL4_TRY(fl4__cuda_enter(d, &previous));
  fl4_fwd_params p = *params;
  p.workspace = (uintptr_t)workspace;
  fl4_status status;
  if (d->debug_record && !fl4__cuda_capturing(device, stream)) {
    pthread_mutex_lock(&d->debug_lock);
    status = launch_watched(d, k, geometry, &p, stream);
    pthread_mutex_unlock(&d->debug_lock);
  } else {
    status = launch(k, geometry, &p, stream);
  }
  fl4__cuda_leave(d, previous);
  return status;
}

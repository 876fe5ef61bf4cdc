/* SPDX-License-Identifier: Apache-2.0 */
/* Device memory. */
#include "cuda/cuda_device.h"
#include "error.h"

fl4_status fl4__cuda_scratch_take(fl4__device *device, size_t bytes, fl4_stream stream, void **memory)
{
  int previous;
  *memory = NULL;
  FL4_TRY(fl4__cuda_enter(fl4__cuda(device), &previous));
  /* Stream-ordered: reused without synchronising, and legal during capture. */
  fl4_status status = fl4__cuda_status(cudaMallocAsync(memory, bytes, stream), "cudaMallocAsync");
  const size_t tickets = bytes < FL4_TICKET_BYTES ? bytes : FL4_TICKET_BYTES;
  if (status == FL4_OK) {
    status = fl4__cuda_status(cudaMemsetAsync(*memory, 0, tickets, stream), "cudaMemsetAsync");
    if (status != FL4_OK) cudaFreeAsync(*memory, stream), *memory = NULL;
  }
  fl4__cuda_leave(fl4__cuda(device), previous);
  return status;
}

void fl4__cuda_scratch_give(fl4__device *device, void *memory, size_t bytes, fl4_stream stream)
{
  (void)bytes;
  int previous;
  if (fl4__cuda_enter(fl4__cuda(device), &previous) != FL4_OK) return;
  cudaFreeAsync(memory, stream);
  fl4__cuda_leave(fl4__cuda(device), previous);
}

fl4_status fl4__cuda_alloc(fl4__device *device, size_t bytes, void **memory)
{
  int previous;
  *memory = NULL;
  FL4_TRY(fl4__cuda_enter(fl4__cuda(device), &previous));
  fl4_status status = fl4__cuda_status(cudaMalloc(memory, bytes ? bytes : 1), "cudaMalloc");
  fl4__cuda_leave(fl4__cuda(device), previous);
  return status;
}

void fl4__cuda_release(fl4__device *device, void *memory)
{
  int previous;
  if (!memory || fl4__cuda_enter(fl4__cuda(device), &previous) != FL4_OK) return;
  cudaFree(memory);
  fl4__cuda_leave(fl4__cuda(device), previous);
}

/*
 * All are done when they return, also for streams that do not wait for the default stream:
 * cudaMemcpy() alone promises that only of copies to the host.
 */
static fl4_status copy(fl4__device *device, void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind)
{
  if (!bytes) return FL4_OK;
  int previous;
  FL4_TRY(fl4__cuda_enter(fl4__cuda(device), &previous));
  fl4_status status = fl4__cuda_status(cudaMemcpy(to, from, bytes, kind), "cudaMemcpy");
  if (status == FL4_OK && kind != cudaMemcpyDeviceToHost)
    status = fl4__cuda_status(cudaStreamSynchronize(NULL), "cudaStreamSynchronize");
  fl4__cuda_leave(fl4__cuda(device), previous);
  return status;
}

fl4_status fl4__cuda_upload(fl4__device *device, void *to, const void *from, size_t bytes)
{
  return copy(device, to, from, bytes, cudaMemcpyHostToDevice);
}

fl4_status fl4__cuda_download(fl4__device *device, void *to, const void *from, size_t bytes)
{
  return copy(device, to, from, bytes, cudaMemcpyDeviceToHost);
}

fl4_status fl4__cuda_copy(fl4__device *device, void *to, const void *from, size_t bytes)
{
  return copy(device, to, from, bytes, cudaMemcpyDeviceToDevice);
}

fl4_status fl4__cuda_synchronize(fl4__device *device)
{
  int previous;
  FL4_TRY(fl4__cuda_enter(fl4__cuda(device), &previous));
  fl4_status status = fl4__cuda_status(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
  fl4__cuda_leave(fl4__cuda(device), previous);
  return status;
}

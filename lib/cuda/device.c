/* SPDX-License-Identifier: Apache-2.0 */
/* CUDA devices: finding, describing, opening. cudart finds the driver at run time, or finds none. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cuda/cuda_device.h"
#include "error.h"

fl4_status fl4__cuda_status(cudaError_t error, const char *what)
{
  if (error == cudaSuccess) return FL4_OK;
  fl4_status status = FL4_DEVICE_ERROR;
  if (error == cudaErrorMemoryAllocation) status = FL4_OUT_OF_MEMORY;
  if (error == cudaErrorNoDevice || error == cudaErrorInsufficientDriver) status = FL4_NO_DEVICE;
  return fl4__fail(status, "%s: %s (%s)", what, cudaGetErrorString(error), cudaGetErrorName(error));
}

fl4_status fl4__cuda_enter(const fl4__cuda_device *device, int *previous)
{
  FL4_CUDA_TRY(cudaGetDevice(previous));
  if (*previous != device->ordinal) FL4_CUDA_TRY(cudaSetDevice(device->ordinal));
  return FL4_OK;
}

void fl4__cuda_leave(const fl4__cuda_device *device, int previous)
{
  if (previous != device->ordinal) cudaSetDevice(previous);
}

static int count(void)
{
  int n = 0;
  return cudaGetDeviceCount(&n) == cudaSuccess ? n : 0;
}

static fl4_status describe(int ordinal, fl4_device_info *info)
{
  struct cudaDeviceProp p;
  FL4_CUDA_TRY(cudaGetDeviceProperties(&p, ordinal));
  memset(info, 0, sizeof *info);
  info->struct_size = sizeof *info;
  info->kind = FL4_DEVICE_CUDA;
  info->ordinal = ordinal;
  snprintf(info->name, sizeof info->name, "%.*s", (int)sizeof info->name - 1, p.name);
  info->sm = p.major * 10 + p.minor;
  snprintf(info->isa, sizeof info->isa, "sm_%d", info->sm);
  info->multiprocessors = p.multiProcessorCount;
  info->smem_per_block = (int32_t)p.sharedMemPerBlockOptin;
  info->smem_per_sm = (int32_t)p.sharedMemPerMultiprocessor;
  info->registers_per_sm = p.regsPerMultiprocessor;
  info->threads_per_sm = p.maxThreadsPerMultiProcessor;
  info->l2_bytes = p.l2CacheSize;
  info->memory_bytes = (int64_t)p.totalGlobalMem;
  return FL4_OK;
}

static void close_device(fl4__device *device)
{
  fl4__cuda_device *d = fl4__cuda(device);
  int previous;
  const bool entered = fl4__cuda_enter(d, &previous) == FL4_OK;
  fl4__cuda_kernels_free(d);
  fl4__cuda_aux_free(d);
  for (int i = 0; i < 2; i++) fl4__module_unload(&d->oracle[i].module);
  fl4__cublas_close(d->blas);
  fl4__module_unload(&d->timer_module);
  if (d->debug_record) cudaFree(d->debug_record);
  if (entered) fl4__cuda_leave(d, previous);
  fl4__cubin_cache_close(d->cache);
  pthread_mutex_destroy(&d->build_lock);
  pthread_cond_destroy(&d->built);
  pthread_mutex_destroy(&d->debug_lock);
  pthread_mutex_destroy(&d->oracle_lock);
  pthread_mutex_destroy(&d->aux_lock);
  pthread_mutex_destroy(&d->timer_lock);
  free(d);
}

static fl4_status open_device(int ordinal, const fl4__device_config *config, fl4__device **device)
{
  *device = NULL;
  fl4_device_info info;
  FL4_TRY(describe(ordinal, &info));
  if (info.sm < 80)
    return fl4__fail(FL4_UNSUPPORTED, "cuda:%d (%s) is sm_%d; the kernels need sm_80 or newer", ordinal, info.name,
                     info.sm);

  fl4__cuda_device *d = calloc(1, sizeof *d);
  if (!d) return fl4__fail(FL4_OUT_OF_MEMORY, "fl4_context_create: no memory for %zu bytes", sizeof *d);
  d->base.backend = &fl4__backend_cuda;
  d->base.info = info;
  d->base.config = *config;
  d->ordinal = ordinal;
  fl4__nvrtc_arch(info.sm, d->arch);
  pthread_mutex_init(&d->build_lock, NULL);
  pthread_cond_init(&d->built, NULL);
  pthread_mutex_init(&d->debug_lock, NULL);
  pthread_mutex_init(&d->oracle_lock, NULL);
  pthread_mutex_init(&d->aux_lock, NULL);
  pthread_mutex_init(&d->timer_lock, NULL);

  fl4_status status;
  int previous = ordinal;
  if (config->disk_cache) FL4_TRY_GOTO(fl4__cubin_cache_open(config->log, config->cache_dir, 0, &d->cache));
  FL4_TRY_GOTO(fl4__cuda_enter(d, &previous));
  if (config->debug)
    status = fl4__cuda_status(cudaMalloc((void **)&d->debug_record, sizeof *d->debug_record), "cudaMalloc");
  fl4__cuda_leave(d, previous);
  if (status != FL4_OK) goto done;
  *device = &d->base;
  return FL4_OK;

done:
  close_device(&d->base);
  return status;
}

static void cache_info(fl4__device *device, fl4_cache_info *info)
{
  fl4__cuda_device *d = fl4__cuda(device);
  if (d->cache)
    fl4__cubin_cache_describe(d->cache, info);
  else
    snprintf(info->why_off, sizeof info->why_off, "turned off by FL4_CONTEXT_NO_DISK_CACHE");
  for (fl4__cuda_kernel *k = atomic_load(&d->kernels); k; k = k->next) info->kernels_loaded++;
  info->compiled = atomic_load(&d->n_compiled);
  info->from_disk = atomic_load(&d->n_from_disk);
  info->nvrtc_loaded = fl4__nvrtc_loaded();
}

const fl4__backend fl4__backend_cuda = {
    .kind = FL4_DEVICE_CUDA,
    .name = "cuda",
    .count = count,
    .info = describe,
    .open = open_device,
    .close = close_device,
    .kernel = fl4__cuda_kernel_find,
    .capturing = fl4__cuda_capturing,
    .launch = fl4__cuda_launch,
    .run_aux = fl4__cuda_aux_run,
    .scratch_take = fl4__cuda_scratch_take,
    .scratch_give = fl4__cuda_scratch_give,
    .alloc = fl4__cuda_alloc,
    .release = fl4__cuda_release,
    .upload = fl4__cuda_upload,
    .download = fl4__cuda_download,
    .synchronize = fl4__cuda_synchronize,
    .copy = fl4__cuda_copy,
    .cache_info = cache_info,
    .timing = &fl4__timing_cuda,
};

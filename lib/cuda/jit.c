/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernels of a device: found without a lock, built by one thread while the others that need the
 * same one wait.
 */
#include <stdlib.h>
#include <string.h>

#include "cuda/cuda_device.h"
#include "error.h"

static fl4__cuda_kernel *find(fl4__cuda_device *d, const fl4__build *build)
{
  fl4__cuda_kernel *k = atomic_load_explicit(&d->kernels, memory_order_acquire);
  while (k && memcmp(&k->base.build, build, sizeof *build) != 0) k = k->next;
  return k;
}

static fl4__cuda_pending **find_pending(fl4__cuda_device *d, const fl4__build *build)
{
  fl4__cuda_pending **at = &d->pending;
  while (*at && memcmp(&(*at)->build, build, sizeof *build) != 0) at = &(*at)->next;
  return at;
}

/* The kernel's own settings. */
static fl4_status set_up(fl4__cuda_device *d, fl4__cuda_kernel *k)
{
  const fl4__family *family = k->base.build.variant.family;
  FL4_CUDA_TRY(cudaLibraryGetKernel(&k->handle, k->module.library, family->entry));
  struct cudaFuncAttributes attributes;
  FL4_CUDA_TRY(cudaFuncGetAttributes(&attributes, (const void *)k->handle));
  FL4_CUDA_TRY(cudaFuncSetAttribute((const void *)k->handle, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                    d->base.info.smem_per_block - (int)attributes.sharedSizeBytes));
  return FL4_OK;
}

static fl4_status build_kernel(fl4__cuda_device *d, const fl4__build *build, fl4__cuda_kernel **kernel)
{
  char text[FL4__MAX_OPTIONS][FL4__OPTION_TEXT];
  const char *options[FL4__MAX_OPTIONS];
  const fl4__family *family = build->variant.family;
  const int n = fl4__build_options(build, text);
  for (int i = 0; i < n; i++) options[i] = text[i];

  fl4__cuda_kernel *k = calloc(1, sizeof *k);
  if (!k) return fl4__fail(FL4_OUT_OF_MEMORY, "no memory for %zu bytes", sizeof *k);
  k->base.build = *build;
  int previous;
  fl4_status status = fl4__cuda_enter(d, &previous);
  if (status == FL4_OK) {
    status = fl4__module_load(d, family->source, options, n, &k->module);
    if (status == FL4_OK)
      status = fl4__resources_check(family->source, &k->module.resources, fl4__launch_registers(&build->variant));
    pthread_mutex_lock(fl4__cuda_load_lock());
    if (status == FL4_OK) status = set_up(d, k);
    pthread_mutex_unlock(fl4__cuda_load_lock());
    if (status != FL4_OK) fl4__module_unload(&k->module);
    fl4__cuda_leave(d, previous);
  }
  if (status != FL4_OK) {
    free(k);
    return status;
  }
  k->base.registers = k->module.resources.registers;
  k->base.spill_bytes = k->module.resources.spill_bytes;
  k->base.origin = k->module.origin;
  k->base.build_ms = k->module.build_ms;
  k->base.hash = k->module.hash;
  *kernel = k;
  return FL4_OK;
}

/*
 * Takes over the building, waits for the thread that has, or learns how it failed. Called and left
 * with the lock held; *kernel and *mine stay empty on failure.
 */
static fl4_status join(fl4__cuda_device *d, const fl4__build *build, fl4__cuda_kernel **kernel,
                       fl4__cuda_pending **mine)
{
  for (;;) {
    if ((*kernel = find(d, build))) return FL4_OK;
    fl4__cuda_pending **at = find_pending(d, build);
    if (*at && (*at)->error) return fl4__fail(FL4_COMPILE_FAILED, "%s", (*at)->error);
    if (!*at) {
      fl4__cuda_pending *pending = calloc(1, sizeof *pending);
      if (!pending) return fl4__fail(FL4_OUT_OF_MEMORY, "no memory for %zu bytes", sizeof *pending);
      pending->build = *build;
      *at = *mine = pending;
      return FL4_OK;
    }
    pthread_cond_wait(&d->built, &d->build_lock);
  }
}

/* A source that does not compile never will: that is remembered. Other failures may pass. */
static bool remember_failure(fl4__cuda_pending *pending, fl4_status status)
{
  if (status != FL4_COMPILE_FAILED) return false;
  const size_t size = strlen(fl4_last_error()) + 1;
  pending->error = malloc(size);
  if (pending->error) memcpy(pending->error, fl4_last_error(), size);
  return pending->error != NULL;
}

fl4_status fl4__cuda_kernel_find(fl4__device *device, const fl4__build *build, bool may_build,
                                 const fl4__kernel **kernel)
{
  fl4__cuda_device *d = fl4__cuda(device);
  fl4__cuda_kernel *k = find(d, build);
  *kernel = k ? &k->base : NULL;
  if (k || !may_build) return FL4_OK;

  fl4__cuda_pending *mine = NULL;
  pthread_mutex_lock(&d->build_lock);
  fl4_status status = join(d, build, &k, &mine);
  if (mine) {
    pthread_mutex_unlock(&d->build_lock);
    status = build_kernel(d, build, &k);
    pthread_mutex_lock(&d->build_lock);
    if (status == FL4_OK) {
      k->next = atomic_load(&d->kernels);
      atomic_store_explicit(&d->kernels, k, memory_order_release);
    }
    if (status == FL4_OK || !remember_failure(mine, status)) {
      fl4__cuda_pending **at = find_pending(d, build);
      *at = mine->next;
      free(mine);
    }
    pthread_cond_broadcast(&d->built);
  }
  pthread_mutex_unlock(&d->build_lock);
  *kernel = status == FL4_OK ? &k->base : NULL;
  return status;
}

void fl4__cuda_kernels_free(fl4__cuda_device *d)
{
  for (fl4__cuda_kernel *k = atomic_load(&d->kernels), *next; k; k = next) {
    next = k->next;
    fl4__module_unload(&k->module);
    free(k);
  }
  for (fl4__cuda_pending *p = d->pending, *next; p; p = next) {
    next = p->next;
    free(p->error);
    free(p);
  }
}

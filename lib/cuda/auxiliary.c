/* SPDX-License-Identifier: Apache-2.0 */
/* Kernels beside attention on a GPU: loaded when first needed, found without a lock, launched. */
#include "auxiliary.h"

#include <stdlib.h>
#include <string.h>

#include "cuda/cuda_device.h"
#include "error.h"

struct fl4__cuda_aux {
  fl4__aux_build build;
  fl4__module module;
  cudaKernel_t handle;
  struct fl4__cuda_aux *next;
};

static fl4__cuda_aux *find(fl4__cuda_device *d, const fl4__aux_build *build)
{
  fl4__cuda_aux *a = atomic_load_explicit(&d->aux, memory_order_acquire);
  while (a && memcmp(&a->build, build, sizeof *build) != 0) a = a->next;
  return a;
}

static fl4_status load(fl4__cuda_device *d, const fl4__aux_build *build, fl4__cuda_aux *a)
{
  char text[FL4__AUX_OPTIONS][FL4__OPTION_TEXT];
  const char *options[FL4__AUX_OPTIONS];
  const int n = fl4__aux_options(build, text);
  for (int i = 0; i < n; i++) options[i] = text[i];
  a->build = *build;
  FL4_TRY(fl4__module_load(d, build->kernel->source, options, n, &a->module));
  return fl4__cuda_status(cudaLibraryGetKernel(&a->handle, a->module.library, build->kernel->entry),
                          "cudaLibraryGetKernel");
}

/* There are few of them, and they compile quickly: whoever comes second waits. */
static fl4_status find_or_load(fl4__cuda_device *d, const fl4__aux_build *build, fl4__cuda_aux **found)
{
  fl4_status status = FL4_OK;
  pthread_mutex_lock(&d->aux_lock);
  fl4__cuda_aux *a = find(d, build);
  if (!a && !(a = calloc(1, sizeof *a))) status = fl4__fail(FL4_OUT_OF_MEMORY, "no memory for %zu bytes", sizeof *a);
  if (status == FL4_OK && !a->handle) {
    status = load(d, build, a);
    if (status == FL4_OK) {
      a->next = atomic_load(&d->aux);
      atomic_store_explicit(&d->aux, a, memory_order_release);
    } else {
      fl4__module_unload(&a->module);
      free(a);
    }
  }
  pthread_mutex_unlock(&d->aux_lock);
  *found = status == FL4_OK ? a : NULL;
  return status;
}

static fl4_status launch(const fl4__cuda_aux *a, const fl4__aux *aux, fl4_stream stream)
{
  void *args[] = {(void *)aux->params};
  return fl4__cuda_status(cudaLaunchKernel((const void *)a->handle, (dim3){(unsigned)aux->blocks, 1, 1},
                                           (dim3){FL4_AUX_THREADS, 1, 1}, args, (size_t)aux->smem_bytes, stream),
                          "cudaLaunchKernel");
}

fl4_status fl4__cuda_aux_run(fl4__device *device, const fl4__aux *aux, fl4_stream stream)
{
  fl4__cuda_device *d = fl4__cuda(device);
  fl4__cuda_aux *a = find(d, &aux->build);
  if (!a && aux->params && fl4__cuda_capturing(device, stream)) return fl4__aux_not_prepared(aux);
  if (a && !aux->params) return FL4_OK;
  int previous;
  FL4_TRY(fl4__cuda_enter(d, &previous));
  fl4_status status = a ? FL4_OK : find_or_load(d, &aux->build, &a);
  if (status == FL4_OK && aux->params) status = launch(a, aux, stream);
  fl4__cuda_leave(d, previous);
  return status;
}

void fl4__cuda_aux_free(fl4__cuda_device *d)
{
  for (fl4__cuda_aux *a = atomic_load(&d->aux), *next; a; a = next) {
    next = a->next;
    fl4__module_unload(&a->module);
    free(a);
  }
}

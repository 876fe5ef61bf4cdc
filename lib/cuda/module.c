/* SPDX-License-Identifier: Apache-2.0 */
/* From a kernel source to a loaded program: cache, compiler, driver. */
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "cuda/cuda_device.h"
#include "cuda/sources.h"
#include "error.h"
#include "util/os.h"

/* Loading is lazy: only asking for a kernel's attributes shows whether the driver takes the code. */
static fl4_status prove(cudaLibrary_t library)
{
  cudaKernel_t kernel = NULL;
  struct cudaFuncAttributes attributes;
  FL4_CUDA_TRY(cudaLibraryEnumerateKernels(&kernel, 1, library));
  FL4_CUDA_TRY(cudaFuncGetAttributes(&attributes, (const void *)kernel));
  return FL4_OK;
}

static fl4_status load_cubin(const fl4__cubin *cubin, fl4__module *module)
{
  /* The driver is handed no size, so what is not even an ELF file must not get that far. */
  if (cubin->size < 64 || memcmp(cubin->data, "\177ELF", 4) != 0)
    return fl4__fail(FL4_INTERNAL, "%zu bytes that are not a cubin", cubin->size);
  pthread_mutex_lock(fl4__cuda_load_lock());
  fl4_status status = fl4__cuda_status(cudaLibraryLoadData(&module->library, cubin->data, NULL, NULL, 0, NULL, NULL, 0),
                                       "cudaLibraryLoadData");
  if (status == FL4_OK && (status = prove(module->library)) != FL4_OK) fl4__module_unload(module);
  pthread_mutex_unlock(fl4__cuda_load_lock());
  FL4_TRY(status);
  module->resources = cubin->resources;
  module->hash = XXH3_64bits(cubin->data, cubin->size);
  return FL4_OK;
}

static fl4_status compile(fl4__cuda_device *d, const fl4__sources *sources, const char *const *options, int n_options,
                          const fl4__cache_key *key, fl4__module *module)
{
  fl4__cubin cubin = {0};
  FL4_TRY(fl4__nvrtc_compile(d->base.config.log, &sources->main, sources->headers, sources->n_headers, options,
                             n_options, d->arch, &cubin));
  fl4_status status = load_cubin(&cubin, module);
  if (status == FL4_OK) {
    module->origin = FL4_KERNEL_COMPILED;
    atomic_fetch_add(&d->n_compiled, 1);
    if (d->cache) fl4__cubin_cache_store(d->cache, key, &cubin);
  }
  fl4__cubin_free(&cubin);
  return status;
}

/* From disk. An entry that the driver refuses goes, and the kernel is compiled like any other. */
static bool load_from_disk(fl4__cuda_device *d, const fl4__cache_key *key, fl4__module *module)
{
  fl4__cubin cubin = {0};
  if (!d->cache || !fl4__cubin_cache_load(d->cache, key, &cubin)) return false;
  const bool loaded = load_cubin(&cubin, module) == FL4_OK;
  fl4__cubin_free(&cubin);
  if (!loaded) {
    fl4__cubin_cache_remove(d->cache, key);
    return false;
  }
  module->origin = FL4_KERNEL_FROM_DISK;
  atomic_fetch_add(&d->n_from_disk, 1);
  return true;
}

fl4_status fl4__module_load(fl4__cuda_device *d, const char *source, const char *const *options, int n_options,
                            fl4__module *module)
{
  const double start = fl4__now_ms();
  memset(module, 0, sizeof *module);
  fl4__sources sources;
  FL4_TRY(fl4__sources_load(d->base.config.log, d->base.config.kernel_dir, source, &sources));

  fl4_status status = FL4_OK;
  fl4__cache_key key = {0};
  if (d->cache)
    FL4_TRY_GOTO(fl4__cubin_cache_key(d->cache, &sources.main, sources.headers, sources.n_headers, options, n_options,
                                      d->arch, &key));
  if (!load_from_disk(d, &key, module)) status = compile(d, &sources, options, n_options, &key, module);
  module->build_ms = (float)(fl4__now_ms() - start);
  if (status == FL4_OK)
    fl4__log_write(d->base.config.log, FL4_LOG_INFO, "%s for %s: %s in %.1f ms, %d registers, %d bytes of spills",
                   source, d->arch, module->origin == FL4_KERNEL_COMPILED ? "compiled" : "read from the cache",
                   (double)module->build_ms, module->resources.registers, module->resources.spill_bytes);
done:
  fl4__sources_free(&sources);
  return status;
}

void fl4__module_unload(fl4__module *module)
{
  if (module->library) cudaLibraryUnload(module->library);
  module->library = NULL;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The host device: this machine's CPU behind the same interface as a GPU. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "auxiliary.h"
#include "device.h"
#include "error.h"
#include "forward.h"

enum { LINE = 64 }; /* alignment of all memory: a cache line, the widest vector */

/* A kernel in the device's list, which only grows. */
typedef struct host_kernel {
  fl4__kernel kernel; /* first: what the rest of the library sees */
  struct host_kernel *next;
} host_kernel;

/* Scratch that is not in use, or the head of a piece that is; the memory itself follows. */
typedef struct scratch {
  struct scratch *next;
  size_t bytes;
} scratch;

typedef struct host_device {
  fl4__device device; /* first */
  const fl4__host_isa *isa;
  pthread_mutex_t lock; /* of the two lists */
  host_kernel *kernels;
  scratch *free_scratch;
} host_device;

static host_device *host_of(fl4__device *device)
{
  return (host_device *)device;
}

static void *aligned_memory(size_t bytes)
{
  return bytes <= SIZE_MAX - LINE ? aligned_alloc(LINE, (bytes + LINE - 1) / LINE * LINE) : NULL;
}

/* ---------------------------------------------------------------- what the device is */

static int count(void)
{
  return 1;
}

/* "model name : AMD EPYC", as Linux tells it on x86. */
static void cpu_name(char *name, size_t size)
{
  snprintf(name, size, "CPU");
  FILE *file = fopen("/proc/cpuinfo", "re");
  if (!file) return;
  char line[256];
  while (fgets(line, sizeof line, file)) {
    const char *colon = strchr(line, ':');
    if (strncmp(line, "model name", 10) != 0 || !colon) continue;
    colon += 1 + strspn(colon + 1, " \t");
    const size_t length = strcspn(colon, "\n");
    if (length) snprintf(name, size, "%.*s", (int)length, colon);
    break;
  }
  fclose(file);
}

static fl4_status info(int ordinal, fl4_device_info *out)
{
  memset(out, 0, sizeof *out);
  out->struct_size = sizeof *out;
  out->kind = FL4_DEVICE_HOST;
  out->ordinal = ordinal;
  cpu_name(out->name, sizeof out->name);
  snprintf(out->isa, sizeof out->isa, "%s", fl4__host_isa_best()->name);
  out->multiprocessors = fl4__host_default_threads();
  const long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
  out->memory_bytes = pages > 0 && page > 0 ? (int64_t)pages * page : 0;
  return FL4_OK;
}

static fl4_status open_device(int ordinal, const fl4__device_config *config, fl4__device **device)
{
  *device = NULL;
  host_device *host = calloc(1, sizeof *host);
  if (!host) return fl4__fail(FL4_OUT_OF_MEMORY, "host device: no memory for %zu bytes", sizeof *host);
  if (pthread_mutex_init(&host->lock, NULL) != 0) {
    free(host);
    return fl4__fail(FL4_OUT_OF_MEMORY, "host device: no mutex");
  }
  host->device.backend = &fl4__backend_host;
  host->device.config = *config;
  (void)info(ordinal, &host->device.info);
  if (config->threads > 0) host->device.info.multiprocessors = config->threads;
  host->isa = fl4__host_isa_best();
  *device = &host->device;
  return FL4_OK;
}

static void close_device(fl4__device *device)
{
  host_device *host = host_of(device);
  for (host_kernel *k = host->kernels, *next; k; k = next) next = k->next, free(k);
  for (scratch *s = host->free_scratch, *next; s; s = next) next = s->next, free(s);
  pthread_mutex_destroy(&host->lock);
  free(host);
}

/* ---------------------------------------------------------------- kernels */

/* FNV-1a: all variants of an instruction set are the same code. */
static uint64_t hash_of(const char *text)
{
  uint64_t hash = 0xcbf29ce484222325u;
  for (; *text; text++) hash = (hash ^ (unsigned char)*text) * 0x100000001b3u;
  return hash;
}

/* Nothing is compiled: a kernel is only the note of a build, made when it is first asked for. */
static fl4_status kernel(fl4__device *device, const fl4__build *build, bool may_build, const fl4__kernel **out)
{
  host_device *host = host_of(device);
  (void)may_build;
  pthread_mutex_lock(&host->lock);
  host_kernel *k = host->kernels;
  while (k && memcmp(&k->kernel.build, build, sizeof *build) != 0) k = k->next;
  if (!k && (k = calloc(1, sizeof *k))) {
    k->kernel.build = *build;
    k->kernel.origin = FL4_KERNEL_BUILT_IN;
    k->kernel.hash = hash_of(host->isa->name);
    k->next = host->kernels;
    host->kernels = k;
  }
  pthread_mutex_unlock(&host->lock);
  *out = k ? &k->kernel : NULL;
  return k ? FL4_OK : fl4__fail(FL4_OUT_OF_MEMORY, "host device: no memory for %zu bytes", sizeof *k);
}

static bool capturing(fl4__device *device, fl4_stream stream)
{
  (void)device, (void)stream;
  return false;
}

static fl4_status launch(fl4__device *device, const fl4__kernel *k, const fl4__geometry *geometry,
                         const fl4_fwd_params *params, void *workspace, fl4_stream stream)
{
  if (stream)
    return fl4__fail(FL4_INVALID_ARGUMENT, "fl4_attention_forward: stream: is %p, must be NULL on the host device",
                     (void *)stream);
  if (geometry->blocks == 0) return FL4_OK;
  const int bm = fl4__variant_get(&k->build.variant, "bm"), bn = fl4__variant_get(&k->build.variant, "bn");
  const fl4__host_job job = {
      .params = params,
      .dtype = k->build.dtype,
      .D = k->build.D,
      .causal = k->build.mask == FL4_MASK_CAUSAL,
      .features = k->build.features,
      .bias_type = k->build.bias_type,
      .bm = bm,
      .bn = bn,
      .row_tiles = fl4__host_row_tiles(params->Hq, params->Hkv, params->Sq, bm),
      .tasks = geometry->blocks,
  };
  fl4__host_forward(host_of(device)->isa, &job, geometry->threads, workspace);
  return FL4_OK;
}

static fl4_status run_aux(fl4__device *device, const fl4__aux *aux, fl4_stream stream)
{
  if (stream)
    return fl4__fail(FL4_INVALID_ARGUMENT, "%s: stream: is %p, must be NULL on the host device", aux->function,
                     (void *)stream);
  if (aux->params) aux->build.kernel->host(aux->params, device->info.multiprocessors);
  return FL4_OK;
}

/* ---------------------------------------------------------------- scratch */

/* Calls that run at once have a piece each; a piece too small for its next call is replaced. */
static fl4_status scratch_take(fl4__device *device, size_t bytes, fl4_stream stream, void **memory)
{
  host_device *host = host_of(device);
  (void)stream;
  pthread_mutex_lock(&host->lock);
  scratch **at = &host->free_scratch;
  while (*at && (*at)->bytes < bytes && (*at)->next) at = &(*at)->next;
  scratch *piece = *at;
  if (piece) *at = piece->next;
  pthread_mutex_unlock(&host->lock);

  if (piece && piece->bytes < bytes) free(piece), piece = NULL;
  if (!piece) {
    piece = bytes <= SIZE_MAX - LINE ? aligned_memory(LINE + bytes) : NULL;
    if (!piece) return fl4__fail(FL4_OUT_OF_MEMORY, "host device: no memory for %zu bytes of scratch", bytes);
    piece->bytes = bytes;
  }
  *memory = (char *)piece + LINE;
  return FL4_OK;
}

static void scratch_give(fl4__device *device, void *memory, size_t bytes, fl4_stream stream)
{
  host_device *host = host_of(device);
  (void)bytes, (void)stream;
  if (!memory) return;
  scratch *piece = (scratch *)(void *)((char *)memory - LINE);
  pthread_mutex_lock(&host->lock);
  piece->next = host->free_scratch;
  host->free_scratch = piece;
  pthread_mutex_unlock(&host->lock);
}

/* ---------------------------------------------------------------- memory */

static fl4_status alloc(fl4__device *device, size_t bytes, void **memory)
{
  (void)device;
  *memory = aligned_memory(bytes ? bytes : 1);
  return *memory ? FL4_OK : fl4__fail(FL4_OUT_OF_MEMORY, "host device: no memory for %zu bytes", bytes);
}

static void release(fl4__device *device, void *memory)
{
  (void)device;
  free(memory);
}

static fl4_status copy(fl4__device *device, void *to, const void *from, size_t bytes)
{
  (void)device;
  if (bytes) memcpy(to, from, bytes);
  return FL4_OK;
}

static fl4_status synchronize(fl4__device *device)
{
  (void)device;
  return FL4_OK;
}

static void cache_info(fl4__device *device, fl4_cache_info *out)
{
  host_device *host = host_of(device);
  snprintf(out->why_off, sizeof out->why_off, "the host device compiles nothing");
  pthread_mutex_lock(&host->lock);
  for (const host_kernel *k = host->kernels; k; k = k->next) out->kernels_loaded++;
  pthread_mutex_unlock(&host->lock);
}

const fl4__backend fl4__backend_host = {
    .kind = FL4_DEVICE_HOST,
    .name = "host",
    .count = count,
    .info = info,
    .open = open_device,
    .close = close_device,
    .kernel = kernel,
    .capturing = capturing,
    .launch = launch,
    .run_aux = run_aux,
    .scratch_take = scratch_take,
    .scratch_give = scratch_give,
    .alloc = alloc,
    .release = release,
    .upload = copy,
    .download = copy,
    .synchronize = synchronize,
    .copy = copy,
    .cache_info = cache_info,
    .timing = &fl4__timing_host,
};

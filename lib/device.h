/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A device as the rest of the library sees it. One backend a kind: lib/host/, lib/cuda/, and the
 * emulator in the tests. Everything above this line is the same for all of them.
 */
#ifndef FL4_DEVICE_H
#define FL4_DEVICE_H

#include "log.h"
#include "timing.h"
#include "variant.h"

/* A kernel that is ready to launch. Lives as long as its device. */
typedef struct fl4__kernel {
  fl4__build build;
  int32_t registers, spill_bytes;
  int32_t origin; /* fl4_kernel_origin */
  float build_ms;
  uint64_t hash; /* of the machine code */
} fl4__kernel;

/* What a device needs to know of its context. Strings live as long as the context. */
typedef struct fl4__device_config {
  const fl4__log *log;
  const char *cache_dir;  /* NULL: the default */
  const char *kernel_dir; /* NULL: built in */
  int threads;            /* of the host device; 0: as OpenMP decides */
  bool disk_cache;
  bool debug;
} fl4__device_config;

/* See auxiliary.h. */
typedef struct fl4__aux_kernel fl4__aux_kernel;
typedef struct fl4__aux fl4__aux;

typedef struct fl4__backend {
  fl4_device_kind kind;
  const char *name; /* "cuda", "host" */
  /* Devices of this kind that work; never fails. */
  int (*count)(void);
  fl4_status (*info)(int ordinal, fl4_device_info *info);
  fl4_status (*open)(int ordinal, const fl4__device_config *config, fl4__device **device);
  void (*close)(fl4__device *device);

  /* The kernel of a build: from memory, else, if `may_build`, read or compiled; else NULL in *kernel. */
  fl4_status (*kernel)(fl4__device *device, const fl4__build *build, bool may_build, const fl4__kernel **kernel);
  /* True if the stream is being captured into a graph. */
  bool (*capturing)(fl4__device *device, fl4_stream stream);
  fl4_status (*launch)(fl4__device *device, const fl4__kernel *kernel, const fl4__geometry *geometry,
                       const fl4_fwd_params *params, void *workspace, fl4_stream stream);
  /* Runs a kernel beside attention, or makes it ready; FL4_NOT_PREPARED: it is not, and the stream is being captured. */
  fl4_status (*run_aux)(fl4__device *device, const fl4__aux *aux, fl4_stream stream);

  /* Scratch for a call without a workspace of its own: taken, used by launches on `stream`, given back. */
  fl4_status (*scratch_take)(fl4__device *device, size_t bytes, fl4_stream stream, void **memory);
  void (*scratch_give)(fl4__device *device, void *memory, size_t bytes, fl4_stream stream);

  /* Memory for the check, the oracles and the benchmark; all synchronous. */
  fl4_status (*alloc)(fl4__device *device, size_t bytes, void **memory);
  void (*release)(fl4__device *device, void *memory);
  fl4_status (*upload)(fl4__device *device, void *to, const void *from, size_t bytes);
  fl4_status (*download)(fl4__device *device, void *to, const void *from, size_t bytes);
  fl4_status (*synchronize)(fl4__device *device);
  fl4_status (*copy)(fl4__device *device, void *to, const void *from, size_t bytes); /* within its memory */

  void (*cache_info)(fl4__device *device, fl4_cache_info *info);
  const fl4__timing *timing; /* NULL: nothing can be timed on it */
} fl4__backend;

struct fl4__device {
  const fl4__backend *backend;
  fl4_device_info info;
  fl4__device_config config;
};

extern const fl4__backend fl4__backend_host;
#if FL4_HAVE_CUDA
extern const fl4__backend fl4__backend_cuda;
#endif

/* A backend of the tests' own, tried first if set: how the emulator gets in. NULL outside the tests. */
extern const fl4__backend *fl4__backend_extra;

/* Opens "cuda:N", "cuda", "host", "auto" or NULL. */
fl4_status fl4__device_open(const char *text, const fl4__device_config *config, fl4__device **device);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NVRTC, opened on first use. Needs neither a GPU nor a driver. $FLASHL4_NVRTC names the library's
 * file; else libnvrtc.so.13, then libnvrtc.so.12, is looked for as in fl4__open_library(). It is
 * never closed. An attempt that failed is made again by the next call.
 */
#ifndef FL4_NVRTC_H
#define FL4_NVRTC_H

#include <stdbool.h>
#include <stddef.h>

#include "log.h"

/* What the compiler said of a kernel's resources. */
typedef struct fl4__resources {
  int registers;   /* of a thread */
  int spill_bytes; /* spill stores + spill loads in the code, of a thread */
  int smem_static; /* shared memory without the dynamic part */
  int serialised;  /* 7510 to 7519: how ptxas says that matrix products wait for each other, the least; or 0 */
} fl4__resources;

/*
 * FL4_COMPILE_FAILED if code that was compiled from `name` must not run: its matrix products wait for each other, or a
 * thread has not the registers that it needs at the launch.
 */
fl4_status fl4__resources_check(const char *name, const fl4__resources *resources, int launch_registers);

/* One source file for the compiler. */
typedef struct fl4__source {
  const char *name; /* "fwd_mma.cu" */
  const char *text; /* zero-terminated */
} fl4__source;

/* A compiled kernel; free with fl4__cubin_free(). */
typedef struct fl4__cubin {
  void *data;
  size_t size;
  fl4__resources resources;
} fl4__cubin;

void fl4__cubin_free(fl4__cubin *cubin);

/* Options that every compilation gets besides the caller's and the architecture; ended by NULL. */
extern const char *const fl4__nvrtc_options[];

/*
 * Compiles `main_source` with `headers` to machine code for "sm_89" and the like. On a compile
 * error the NVRTC log is in fl4_last_error() (its beginning) and whole in the log at ERROR level.
 * FL4_LIBRARY_MISSING if NVRTC cannot be opened: the sentence names what was tried. Thread-safe.
 */
fl4_status fl4__nvrtc_compile(const fl4__log *log, const fl4__source *main_source, const fl4__source *headers,
                              int n_headers, const char *const *options, int n_options, const char *arch,
                              fl4__cubin *cubin);

/* What kernels are compiled for on a GPU of compute capability `sm`: "sm_89"; sm_90 with the instructions that only it has. */
void fl4__nvrtc_arch(int sm, char arch[16]);

/* True once this process has opened NVRTC. Opens nothing. */
bool fl4__nvrtc_loaded(void);

/* Who the compiler is: version, and the file it was loaded from (path "" if unknown). Opens NVRTC. */
typedef struct fl4__nvrtc_identity {
  int version;    /* major * 1000 + minor * 10 */
  char path[512]; /* real path of the shared object */
  long long size; /* of that file */
  long long mtime_ns;
} fl4__nvrtc_identity;

fl4_status fl4__nvrtc_identify(fl4__nvrtc_identity *identity);

#endif

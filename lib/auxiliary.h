/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kernels beside attention: small, with parameters of their own (kernels/fl4_aux.h), and compiled for a few properties of a
 * call rather than chosen among variants. Each has a twin for the host.
 */
#ifndef FL4_AUXILIARY_H
#define FL4_AUXILIARY_H

#include <stdbool.h>
#include <stdint.h>

#include "device.h"
#include "fl4_aux.h"

enum { FL4__AUX_OPTIONS = 4 };

struct fl4__aux_kernel {
  const char *source, *entry;            /* file in kernels/, its kernel */
  const char *option[FL4__AUX_OPTIONS];  /* "FL4_BF16"; NULL behind the last */
  void (*host)(const void *params, int threads); /* NULL: serves kernels that the host has not */
};

/* A kernel with a value for each option. Plain data, compared as bytes. */
typedef struct fl4__aux_build {
  const fl4__aux_kernel *kernel;
  int32_t value[FL4__AUX_OPTIONS];
} fl4__aux_build;

/* One call of it. */
struct fl4__aux {
  const char *function; /* of the public interface, for messages */
  fl4__aux_build build;
  const void *params;   /* of `entry`; NULL: it is only made ready */
  int64_t blocks;       /* of FL4_AUX_THREADS threads, ≥ 1 */
  int32_t smem_bytes;   /* of a block */
};

/* The compiler's options of a build, "-DFL4_BF16=1" …; returns their number. */
int fl4__aux_options(const fl4__aux_build *build, char options[FL4__AUX_OPTIONS][FL4__OPTION_TEXT]);

/* FL4_NOT_PREPARED, in words for this call. */
fl4_status fl4__aux_not_prepared(const fl4__aux *aux);

/* Threads of a row of D elements, 8 each, up to a power of two: log2. */
int fl4__aux_lanes_log2(int64_t D);

/* Blocks for so many rows: all that there is work for, but no more than the device runs at a time. */
int64_t fl4__aux_blocks(const fl4__device *device, double rows, int lanes_log2);

#endif

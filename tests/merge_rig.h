/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Merges of partial results on any device, against sums in fp64. What must not be read holds NaN, what must not be written a
 * canary, and each call is made twice.
 */
#ifndef FL4_MERGE_RIG_H
#define FL4_MERGE_RIG_H

#include <stdbool.h>
#include <stdint.h>

#include <flashl4/flashl4.h>

#ifdef __cplusplus
extern "C" {
#endif

/* How tensors lie. */
typedef enum merge_layout {
  MERGE_CONTIGUOUS, /* strides are not given */
  MERGE_ROWS_FIRST, /* [b][i][h][d], 8 elements between rows */
  MERGE_ODD,        /* rows start anywhere */
  MERGE_LAYOUTS,
} merge_layout;

typedef struct merge_case {
  int dtype, n, B, Hq, Sq, D;
  bool parts_fp32, list, lse;
  bool in_place; /* the output is the first part */
  merge_layout layout;
  uint64_t seed;
} merge_case;

/* One of the cases there may be. */
merge_case merge_random(uint64_t seed);

/* "n3 b2h4s7d64 bf16 list odd …" */
void merge_describe(const merge_case *c, char text[128]);

/* Runs the case. True if all is right; else `why` says what is not, which may be the library's error. */
bool merge_run(fl4_context *ctx, const merge_case *c, char why[512]);

#ifdef __cplusplus
}
#endif

#endif

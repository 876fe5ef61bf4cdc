/* SPDX-License-Identifier: Apache-2.0 */
/* The canonical problem: what selection, plans and kernels see of a call. */
#ifndef FL4_PROBLEM_INTERNAL_H
#define FL4_PROBLEM_INTERNAL_H

#include <stdbool.h>

#include <flashl4/attention.h>
#include <flashl4/problem.h>

#include "fl4_abi.h"

/* Plain data, memset to 0 before it is filled, so that it can be compared and hashed as bytes. */
typedef struct fl4__problem {
  int64_t B, Hq, Hkv, Sq, Sk, D;
  int32_t dtype, mask;
  int32_t aligned; /* every row of q, k, v and o starts at a multiple of 16 bytes, less than 2^40 from the next */
  int32_t lse;
} fl4__problem;

/* How much of the arguments must be there. */
typedef enum fl4__need { FL4__NEED_SHAPE, FL4__NEED_POINTERS } fl4__need;

/*
 * Validates the arguments and splits them: what the problem is, and what this call's kernel
 * parameters are (without the fields that belong to the launch: row_tiles, section_heads, debug).
 */
fl4_status fl4__problem_from_args(const fl4_attention_args *args, fl4__need need, fl4__problem *problem,
                                  fl4_fwd_params *params);

/* Copies min(struct_size) of a caller's struct over `copy`, zeroes the rest, refuses nonzero unknown bytes. */
fl4_status fl4__struct_read(void *copy, size_t known_size, const void *caller, const char *name);

/* Writes the struct back, at most what the caller's struct_size allows. */
void fl4__struct_write(void *caller, const void *copy, size_t known_size);

/* Validates a public problem (names the field), and applies no default. */
fl4_status fl4__problem_validate(const fl4_problem *problem, fl4_problem *copy);

const char *fl4__dtype_name(int dtype); /* "fp16" */
int fl4__dtype_size(int dtype);         /* bytes of an element */

static inline int64_t fl4__min64(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t fl4__max64(int64_t a, int64_t b) { return a > b ? a : b; }
static inline int64_t fl4__ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

#endif

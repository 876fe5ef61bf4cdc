/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Appends to a cache on any device, against a model of what each element of memory must be afterwards: copied bit for bit,
 * turned, or as it was. Lengths and page numbers may be anything, and each call is made twice.
 */
#ifndef FL4_APPEND_RIG_H
#define FL4_APPEND_RIG_H

#include <stdbool.h>
#include <stdint.h>

#include <flashl4/flashl4.h>

#ifdef __cplusplus
extern "C" {
#endif

/* How rows lie. */
typedef enum append_layout {
  APPEND_CONTIGUOUS, /* strides are not given */
  APPEND_ROWS_FIRST, /* [b][row][h][d], 8 elements between rows */
  APPEND_ODD,        /* rows start anywhere */
  APPEND_LAYOUTS,
} append_layout;

typedef struct append_case {
  int dtype, B, Hq, Hkv, Sn, Sk, D; /* Hq 0: no queries */
  int rotary, rotary_dim, max_position;
  int page_size;
  bool ragged, used, after;
  bool in_place; /* queries are turned in place */
  bool bad;      /* lengths and page numbers that are none are among the others */
  bool wild;     /* starts of ragged sequences are anything: only memory around the tensors is checked */
  append_layout layout;
  uint64_t seed;
} append_case;

/* One of the cases there may be. */
append_case append_random(uint64_t seed, bool fp32);

/* "b2hq4hkv2 new5 of33 d64 bf16 halves32 page8 …" */
void append_describe(const append_case *c, char text[192]);

/* Runs the case. True if all is right; else `why` says what is not, which may be the library's error. */
bool append_run(fl4_context *ctx, const append_case *c, char why[512]);

#ifdef __cplusplus
}
#endif

#endif

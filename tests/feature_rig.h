/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls beyond dense attention, on any device, against the fp64 oracle: windows, scores, biases, ragged batches, pages. Memory
 * that must not be read holds NaN, memory that must not be written a canary, inputs stay as they are, and each call is made
 * twice, with the same bits. unit/test_feature_rig.c plants mistakes, which must be noticed.
 */
#ifndef FL4_FEATURE_RIG_H
#define FL4_FEATURE_RIG_H

#include <stdbool.h>
#include <stdint.h>

#include <flashl4/flashl4.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A call of at most 64 sequences. Zero is dense attention, as everywhere. */
typedef struct feature_case {
  int dtype, B, Hq, Hkv, Sq, Sk, D;
  int mask, left, right;
  float softcap;
  bool alibi, sinks;
  bool own_slopes; /* of ALiBi: each sequence has its own */
  int bias;        /* 1 + fl4_bias_type; 0: none */
  int broadcast;   /* of the bias: bits 0 to 3 for b, h, i, j */
  int blocks;      /* a mask of bytes hides, or shows, most squares of so many queries and keys as a whole; 0: keys one by one */
  bool ragged_q, ragged_k, used_k;
  int page_size;
  bool heads_first; /* pages are [page][head][slot]; with odd seeds those of v are the other way */
  bool edges;       /* lengths are 0, 1, the page's size and its neighbours, and the most there may be */
  int pad;          /* elements between rows of q, k, v and o; if not a multiple of 8, rows are not aligned */
  int spare;        /* the call's Sq and Sk are so much more than any sequence has, where they may be */
  bool lse;
  uint32_t flags;
  float spread; /* queries are multiplied with it; 0: 1 */
  uint64_t seed;
  const int *ids; /* which sequences these are, [B]: the same id and seed, the same data; NULL: 0, 1, … */
} feature_case;

/* One feature each, and what is like it: case number i, of small sizes. */
enum { FEATURE_SINGLES = 27 };
feature_case feature_single(int i);

/* One of the cases there may be, with sizes up to these. */
feature_case feature_random(uint64_t seed, int D, int most_queries, int most_keys);

/* "b2hq4hkv2sq7sk33d64 bf16 window=3,0 sinks page=16 …" */
void feature_describe(const feature_case *c, char text[256]);

/*
 * Runs the case. True if all is right; else `why` says what is not, which may be the library's error. `kept`: NULL, or room
 * for Hq·Sq·(D + 2) elements of two bytes: what was written for the first sequence, as [h][i][d], and its LSE behind it.
 */
bool feature_run(fl4_context *ctx, const feature_case *c, uint16_t *kept, char why[512]);

/*
 * Batch `number` of those that have one sequence of the case in front, one that is long for it: 0 is that alone, others have 2
 * to `most` sequences, and may be for more queries and keys than any has. `ids` is part of the case.
 */
enum { FEATURE_MOST_BATCH = 18 };
feature_case feature_batch(const feature_case *c, int number, int most, int ids[FEATURE_MOST_BATCH]);

/* Runs the first of them alone, and in `n` batches more: true if all are right, and what it gets has the same bits in each. */
bool feature_same_in_batches(fl4_context *ctx, const feature_case *c, int n, int most, char why[512]);

/* Makes the case's kernel ready, without running it. Thread-safe, so that many may be compiled at once. */
fl4_status feature_prepare(fl4_context *ctx, const feature_case *c);

#ifdef __cplusplus
}
#endif

#endif

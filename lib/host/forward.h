/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attention forward on the CPU: the tiled online softmax of the GPU kernels, in plain C. A task is a
 * tile of query rows that share one key/value head; threads take tasks; the inner loops (tile.c) are
 * compiled once for each instruction set.
 */
#ifndef FL4_HOST_FORWARD_H
#define FL4_HOST_FORWARD_H

#include "problem.h"

/* One call, as the inner loops see it. */
typedef struct fl4__host_job {
  const fl4_fwd_params *params;
  int dtype, D;
  bool causal;
  int features, bias_type; /* of fl4__problem */
  int bm, bn;        /* query rows of a task; keys of a tile */
  int64_t row_tiles; /* tasks of one key/value head; not with ragged queries */
  int64_t tasks;     /* of the call */
} fl4__host_job;

/* Computes task number `task` with this thread's scratch. */
typedef void fl4__host_task(const fl4__host_job *job, int64_t task, float *scratch);

/* Multiply-adds without memory, on one thread: returns how many operations they were. */
typedef double fl4__host_fma(int64_t rounds, float *result);

/* Reads memory, on one thread: a multiple of 512 bytes. */
typedef uint32_t fl4__host_read(const void *memory, size_t bytes);

/* The inner loops in the code of one instruction set. */
typedef struct fl4__host_isa {
  const char *name; /* "avx512", "avx2", "generic" */
  bool (*supported)(void);
  fl4__host_task *task;
  fl4__host_fma *fma; /* for the limits, as is the next */
  fl4__host_read *read;
} fl4__host_isa;

/* All that were compiled, best first; "generic" is last and runs everywhere. Ended by name NULL. */
extern const fl4__host_isa fl4__host_isas[];

/* Set by the tests: the only instruction set that devices opened from now on may use. NULL outside. */
extern const char *fl4__host_isa_forced;

/* The best instruction set that this CPU has. */
const fl4__host_isa *fl4__host_isa_best(void);

/*
 * The group of Hq/Hkv query heads that share a key/value head is one list of rows, query by query and
 * head by head within a query: so a tile's rows see nearly the same keys, and every converted key
 * tile serves the whole group. Row r is head r % group of query r / group.
 */
static inline int64_t fl4__host_row_tiles(int64_t Hq, int64_t Hkv, int64_t Sq, int bm)
{
  return fl4__ceil_div(Hq / Hkv * Sq, bm);
}

/* With ragged queries the tiles of all sequences, of one key/value head: no more than these, however long each is. */
static inline int64_t fl4__host_ragged_tiles(int64_t B, int64_t Hq, int64_t Hkv, int64_t total_q, int bm)
{
  return Hq / Hkv * total_q / bm + B;
}

/* Floats in one thread's scratch; where each part lies. Every part starts at a multiple of 64 bytes. */
typedef struct fl4__host_scratch {
  size_t q;   /* [bm][D]: query rows in fp32, scaled */
  size_t k;   /* [panels][D][panel]: keys, transposed in panels of two vectors */
  size_t v;   /* [panels][bn][panel]: values, in panels of D */
  size_t s;   /* [FL4__HOST_ROWS][bn]: scores, then weights, of the rows at work */
  size_t part; /* [FL4__HOST_ROWS][Dv]: what these rows gain of a tile */
  size_t o;   /* [bm][Dv]: output sums */
  size_t sum; /* [bm][FL4__HOST_LANES]: sums of weights, lane by lane */
  size_t max; /* [bm] */
  size_t total;
} fl4__host_scratch;

enum {
  FL4__HOST_LANES = 16, /* floats of the widest vector of any instruction set */
  FL4__HOST_ROWS = 12,  /* most rows that the inner loops work on at once */
};

static inline fl4__host_scratch fl4__host_scratch_layout(int bm, int bn, int D)
{
  const size_t lanes = FL4__HOST_LANES, Dv = ((size_t)D + lanes - 1) / lanes * lanes;
  fl4__host_scratch at = {0};
  at.k = at.q + (size_t)bm * Dv;
  at.v = at.k + (size_t)bn * Dv;
  at.s = at.v + (size_t)bn * Dv;
  at.o = at.s + FL4__HOST_ROWS * (size_t)bn;
  at.sum = at.o + (size_t)bm * Dv;
  at.max = at.sum + (size_t)bm * lanes;
  at.part = at.max + ((size_t)bm + lanes - 1) / lanes * lanes;
  at.total = at.part + FL4__HOST_ROWS * Dv;
  return at;
}

/* Threads that OpenMP would use now; 1 without OpenMP. */
int fl4__host_default_threads(void);

/* Runs all tasks on `threads` threads; `scratch` holds one part for each. Results do not depend on `threads`. */
void fl4__host_forward(const fl4__host_isa *isa, const fl4__host_job *job, int threads, float *scratch);

#endif

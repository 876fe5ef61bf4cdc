/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which rows a task has, how long the sequences of a batch are, and where their rows lie. Lengths and pages come from memory
 * and may be anything: rows stay inside of their tensors all the same.
 */
#ifndef FL4_HOST_SEQUENCE_H
#define FL4_HOST_SEQUENCE_H

#include "forward.h"

typedef struct sequence {
  int64_t b, queries, keys;
  int64_t first_query, first_key; /* rows of ragged tensors, else 0 */
  const int32_t *pages;           /* its line of the block table; NULL: not paged */
} sequence;

static int64_t clamp(int64_t x, int64_t least, int64_t most)
{
  return x < least ? least : x > most ? most : x;
}

/* Where sequence b of a ragged tensor begins. */
static int64_t start_of(fl4_u64 starts, int64_t b, int64_t total)
{
  return clamp(((const int32_t *)(uintptr_t)starts)[b], 0, total);
}

static sequence sequence_of(const fl4__host_job *job, int64_t b)
{
  const fl4_fwd_params *p = job->params;
  sequence s = {.b = b, .queries = p->Sq, .keys = p->Sk};
  if (job->features & FL4__FEATURE_RAGGED_Q) {
    s.first_query = start_of(p->cu_q, b, p->total_q);
    s.queries = clamp(start_of(p->cu_q, b + 1, p->total_q) - s.first_query, 0, p->Sq);
  }
  if (job->features & FL4__FEATURE_RAGGED_K) {
    s.first_key = start_of(p->cu_k, b, p->total_k);
    s.keys = clamp(start_of(p->cu_k, b + 1, p->total_k) - s.first_key, 0, p->Sk);
  }
  if (job->features & FL4__FEATURE_USED_K) s.keys = clamp(((const int32_t *)(uintptr_t)p->used_k)[b], 0, s.keys);
  if (job->features & FL4__FEATURE_PAGED) s.pages = (const int32_t *)(uintptr_t)p->block_table + b * p->table_stride;
  return s;
}

/* ---------------------------------------------------------------- where rows lie, in elements */

static inline int64_t query_row(const fl4__host_job *job, const sequence *s, const fl4_i64 stride[3], int64_t h, int64_t i)
{
  const bool ragged = job->features & FL4__FEATURE_RAGGED_Q;
  return (ragged ? s->first_query * stride[2] : s->b * stride[0]) + h * stride[1] + i * stride[2];
}

/* Where the keys or values of a sequence and a head lie. By itself, so that it stays in registers while they are copied. */
typedef struct key_rows {
  int64_t first, step;  /* of key 0, and from one key to the next */
  const int32_t *pages; /* NULL: there are none */
  int64_t page_step, last_page;
  int page_shift;
} key_rows;

static inline key_rows key_rows_of(const fl4__host_job *job, const sequence *s, const fl4_i64 stride[3], int64_t hk)
{
  const fl4_fwd_params *p = job->params;
  key_rows rows = {.first = hk * stride[1], .step = stride[2], .pages = s->pages};
  rows.page_step = stride[0], rows.last_page = p->n_pages - 1, rows.page_shift = p->page_shift;
  if (!s->pages) rows.first += job->features & FL4__FEATURE_RAGGED_K ? s->first_key * stride[2] : s->b * stride[0];
  return rows;
}

static inline int64_t key_row(const key_rows *rows, int64_t j)
{
  if (!rows->pages) return rows->first + j * rows->step;
  const int64_t page = clamp(rows->pages[j >> rows->page_shift], 0, rows->last_page);
  return rows->first + page * rows->page_step + (j & (((int64_t)1 << rows->page_shift) - 1)) * rows->step;
}

/* ---------------------------------------------------------------- tasks */

/* The rows of a task: from row0 on, of a sequence and a key/value head. */
typedef struct place {
  int64_t b, hk, row0;
} place;

/*
 * Row tiles of ragged queries: those of sequence b are numbered from (its first row) / bm + b on. So they do not overlap, there are
 * no more than fl4__host_ragged_tiles(), and nobody has to add up lengths. Tasks go sequence by sequence, head by head within one.
 */
static int64_t first_tile(const fl4__host_job *job, int64_t b)
{
  const fl4_fwd_params *p = job->params;
  return start_of(p->cu_q, b, p->total_q) * (p->Hq / p->Hkv) / job->bm + b;
}

/* The last sequence whose tasks begin at or before this one. */
static int64_t sequence_of_task(const fl4__host_job *job, int64_t task)
{
  const fl4_fwd_params *p = job->params;
  int64_t b = 0, end = p->B;
  while (end - b > 1) {
    const int64_t middle = (b + end) / 2;
    if (first_tile(job, middle) * p->Hkv <= task)
      b = middle;
    else
      end = middle;
  }
  return b;
}

/* Last rows come first: under a causal mask they are the longest tasks. Numbers without a row have row0 < 0, or beyond the last. */
static place place_of(const fl4__host_job *job, int64_t task)
{
  const fl4_fwd_params *p = job->params;
  if (!(job->features & FL4__FEATURE_RAGGED_Q)) {
    const int64_t head = task / job->row_tiles;
    return (place){head / p->Hkv, head % p->Hkv, (job->row_tiles - 1 - task % job->row_tiles) * job->bm};
  }
  const int64_t b = sequence_of_task(job, task), first = first_tile(job, b);
  const int64_t tiles = first_tile(job, b + 1) - first, at = task - first * p->Hkv;
  if (at < 0 || tiles < 1 || at >= tiles * p->Hkv) return (place){b, 0, -1};
  return (place){b, at / tiles, (tiles - 1 - at % tiles) * job->bm};
}

#endif

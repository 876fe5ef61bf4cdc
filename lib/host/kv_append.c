/* SPDX-License-Identifier: Apache-2.0 */
/* New keys and values into a cache on the CPU: kernels/kv_append.cu in plain C, for fp32 too. */
#include "auxiliary.h"
#include "fl4_aux.h"
#include "host/aux_kernels.h"
#include "host/row.h"

enum { MAX_D = 256 };

static int64_t length(fl4_u64 lengths, int64_t at, int64_t most)
{
  return fl4__max64(0, fl4__min64(((const int32_t *)(uintptr_t)lengths)[at], most));
}

static int64_t keys_before(const fl4_append_params *p, int64_t b)
{
  return p->used ? length(p->used, b, p->Sk) : 0;
}

/* New tokens of a sequence, and the row of ragged tensors with the first. */
static int64_t tokens_of(const fl4_append_params *p, int64_t b, int64_t *first)
{
  *first = 0;
  if (!p->cu_new) return p->Sn;
  *first = length(p->cu_new, b, p->total_new);
  return fl4__max64(0, fl4__min64(length(p->cu_new, b + 1, p->total_new) - *first, p->Sn));
}

static char *row_at(const fl4_append_params *p, fl4_u64 base, const fl4_i64 stride[3], int64_t batch, int64_t head,
                    int64_t row)
{
  return (char *)(uintptr_t)base + (batch * stride[0] + head * stride[1] + row * stride[2]) * fl4__dtype_size(p->dtype);
}

/* Copies a row; what the embedding turns, it turns by the angles of the position. `to` may be `from`. */
static void turn_row(const fl4_append_params *p, const char *from, char *to, int64_t position)
{
  const size_t element = (size_t)fl4__dtype_size(p->dtype);
  if (to != from) memcpy(to, from, (size_t)p->D * element);
  if (!p->rotary) return;
  const int half = p->rotary_dim / 2;
  const int64_t angles = fl4__min64(position, p->max_position - 1) * half;
  const float *c = (const float *)(uintptr_t)p->rotary_cos + angles,
              *s = (const float *)(uintptr_t)p->rotary_sin + angles;
  float x[MAX_D], turned[MAX_D] = {0};
  char row[MAX_D * sizeof(float)];
  for (int d = 0; d < p->D; d += 8) load_8(from, d, p->dtype, x + d);
  for (int i = 0; i < half; i++) {
    const bool pairs = p->rotary == FL4_AUX_ROTARY_PAIRS;
    const int a = pairs ? 2 * i : i, b = pairs ? 2 * i + 1 : i + half;
    turned[a] = x[a] * c[i] - x[b] * s[i];
    turned[b] = x[a] * s[i] + x[b] * c[i];
  }
  for (int d = 0; d < p->rotary_dim; d += 8) store_8(row, d, p->dtype, turned + d);
  memcpy(to, row, (size_t)p->rotary_dim * element);
}

/* The key's batch, or page, and its row in that; false if it has no place. */
static bool place_of(const fl4_append_params *p, int64_t b, int64_t position, int64_t *batch, int64_t *row)
{
  *batch = b, *row = position;
  if (position >= p->Sk) return false;
  if (!p->block_table) return true;
  *batch = ((const int32_t *)(uintptr_t)p->block_table)[b * p->table_stride + (position >> p->page_shift)];
  *row = position & ((INT64_C(1) << p->page_shift) - 1);
  return *batch >= 0 && *batch < p->n_pages;
}

static void append_token(const fl4_append_params *p, int64_t b, int64_t new_batch, int64_t new_row, int64_t position)
{
  int64_t batch, row;
  const bool there = place_of(p, b, position, &batch, &row);
  for (int h = 0; there && h < p->Hkv; h++) {
    turn_row(p, row_at(p, p->k_new, p->k_new_stride, new_batch, h, new_row),
             row_at(p, p->k, p->k_stride, batch, h, row), position);
    memcpy(row_at(p, p->v, p->v_stride, batch, h, row), row_at(p, p->v_new, p->v_new_stride, new_batch, h, new_row),
           (size_t)p->D * (size_t)fl4__dtype_size(p->dtype));
  }
  for (int h = 0; p->q && h < p->Hq; h++)
    turn_row(p, row_at(p, p->q, p->q_stride, new_batch, h, new_row),
             row_at(p, p->q_out, p->q_out_stride, new_batch, h, new_row), position);
}

void fl4__host_kv_append(const void *params, int threads)
{
  const fl4_append_params *p = params;
  for (int64_t b = 0; b < p->B; b++) {
    int64_t first;
    const int64_t n = tokens_of(p, b, &first), before = keys_before(p, b);
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1 && n > 1)
    for (int64_t i = 0; i < n; i++) append_token(p, b, p->cu_new ? 0 : b, first + i, before + i);
    if (p->used_after) ((int32_t *)(uintptr_t)p->used_after)[b] = (int32_t)fl4__min64(before + n, p->Sk);
  }
  (void)threads;
}

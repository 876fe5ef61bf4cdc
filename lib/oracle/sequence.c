/* SPDX-License-Identifier: Apache-2.0 */
/* Lengths, pages and masks as the arguments define them. */
#include "oracle/sequence.h"

static int64_t clamp(int64_t x, int64_t least, int64_t most)
{
  return x < least ? least : x > most ? most : x;
}

static int64_t element(fl4_u64 base, int64_t index)
{
  return ((const int32_t *)(uintptr_t)base)[index];
}

/* Sequence b of a ragged tensor: where it begins, and how long it is. */
static int64_t ragged(fl4_u64 cu, int64_t b, int64_t total, int64_t most, int64_t *first)
{
  *first = clamp(element(cu, b), 0, total);
  return clamp(clamp(element(cu, b + 1), 0, total) - *first, 0, most);
}

fl4__sequence fl4__sequence_of(const fl4__problem *problem, const fl4_fwd_params *params, int64_t b)
{
  fl4__sequence s = {.b = b, .queries = problem->Sq, .keys = problem->Sk};
  if (params->cu_q) s.queries = ragged(params->cu_q, b, params->total_q, problem->Sq, &s.first_query);
  if (params->cu_k) s.keys = ragged(params->cu_k, b, params->total_k, problem->Sk, &s.first_key);
  if (params->used_k) s.keys = clamp(element(params->used_k, b), 0, s.keys);
  return s;
}

fl4__key_range fl4__keys_seen(const fl4__problem *problem, const fl4_fwd_params *params, const fl4__sequence *s,
                              int64_t i)
{
  const int64_t diagonal = i + s->keys - s->queries;
  fl4__key_range seen = {0, s->keys};
  if (problem->mask == FL4_MASK_CAUSAL) seen.end = clamp(diagonal + 1, 0, s->keys);
  if (problem->features & FL4__FEATURE_WINDOW) {
    if (params->window_right != FL4_NO_WINDOW) seen.end = clamp(diagonal + params->window_right + 1, 0, s->keys);
    if (params->window_left != FL4_NO_WINDOW) seen.first = clamp(diagonal - params->window_left, 0, seen.end);
  }
  return seen;
}

int64_t fl4__query_row(const fl4__problem *problem, const fl4__sequence *s, const fl4_i64 stride[3], int64_t h,
                       int64_t i)
{
  if (problem->features & FL4__FEATURE_RAGGED_Q) return h * stride[1] + (s->first_query + i) * stride[2];
  return s->b * stride[0] + h * stride[1] + i * stride[2];
}

int64_t fl4__key_row(const fl4__problem *problem, const fl4_fwd_params *params, const fl4__sequence *s,
                     const fl4_i64 stride[3], int64_t h, int64_t j)
{
  if (problem->features & FL4__FEATURE_RAGGED_K) return h * stride[1] + (s->first_key + j) * stride[2];
  if (!(problem->features & FL4__FEATURE_PAGED)) return s->b * stride[0] + h * stride[1] + j * stride[2];
  const int64_t at = s->b * params->table_stride + (j >> params->page_shift);
  const int64_t page = clamp(element(params->block_table, at), 0, params->n_pages - 1);
  return page * stride[0] + h * stride[1] + (j & ((INT64_C(1) << params->page_shift) - 1)) * stride[2];
}

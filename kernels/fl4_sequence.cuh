// SPDX-License-Identifier: Apache-2.0
//
// How long the sequences of a batch are, and where their rows lie. Lengths come from memory and may be anything: rows
// stay inside of their tensors all the same.
#ifndef FL4_SEQUENCE_CUH
#define FL4_SEQUENCE_CUH

#include "fl4_abi.h"
#include "fl4_common.cuh"
#include "fl4_problem.cuh"

struct Sequence {
  int queries, keys;           // how many there are
  int first_query, first_key;  // rows of ragged tensors, else 0
};

// Where sequence b of a ragged tensor begins.
FL4_DEV int sequence_start(u64 starts, int b, int total)
{
  return clamp_i32((int)load_global_32(reinterpret_cast<const char *>(starts) + 4 * (i64)b), 0, total);
}

FL4_DEV Sequence sequence_of(const fl4_fwd_params &p, int b)
{
  Sequence s = {p.Sq, p.Sk, 0, 0};
  if (RAGGED_Q) {
    s.first_query = sequence_start(p.cu_q, b, p.total_q);
    s.queries = clamp_i32(sequence_start(p.cu_q, b + 1, p.total_q) - s.first_query, 0, p.Sq);
  }
  if (RAGGED_K) {
    s.first_key = sequence_start(p.cu_k, b, p.total_k);
    s.keys = clamp_i32(sequence_start(p.cu_k, b + 1, p.total_k) - s.first_key, 0, p.Sk);
  }
  if (USED_K) s.keys = clamp_i32((int)load_global_32(reinterpret_cast<const char *>(p.used_k) + 4 * (i64)b), 0, s.keys);
  return s;
}

// Keys that row `row` of a sequence sees end here, …
FL4_DEV int keys_end(const fl4_fwd_params &p, int queries, int keys, int row)
{
  if (CAUSAL) return clamp_i32(row + (keys - queries) + 1, 0, keys);
  if (WINDOW) return max_i32(0, keys - max_i32(0, queries - 1 - row - p.window_right));
  return keys;
}
// … and begin here. Both without a sum that may be 2^31.
FL4_DEV int keys_begin(const fl4_fwd_params &p, int queries, int keys, int row)
{
  return WINDOW ? clamp_i32(keys - (queries - row + p.window_left), 0, keys) : 0;
}

// Row tiles of ragged queries, `rows` each: those of sequence b are numbered from its first row / rows + b on. So they do
// not overlap, no more than total / rows + B numbers are needed, and nobody has to add up lengths. The sequence of a number: the last
// that begins at or before it.
FL4_DEV int sequence_of_tile(const fl4_fwd_params &p, int tile, int rows)
{
  int b = 0, end = p.B;
  while (end - b > 1) {
    const int middle = (b + end) / 2;
    if (sequence_start(p.cu_q, middle, p.total_q) / rows + middle <= tile)
      b = middle;
    else
      end = middle;
  }
  return b;
}

// The page of key `key` of sequence b.
FL4_DEV int page_of(const fl4_fwd_params &p, int b, int key)
{
  const i64 at = b * p.table_stride + (min_i32(key, p.Sk - 1) >> p.page_shift);
  return clamp_i32((int)load_global_32(reinterpret_cast<const char *>(p.block_table) + 4 * at), 0, p.n_pages - 1);
}

#endif

// SPDX-License-Identifier: Apache-2.0
//
// What warps, and blocks that share rows, know of a row after different keys is put together: those of a block through shared
// memory, the blocks of a unit through the workspace. Always in the same order, so that the result is the same to the bit,
// whoever is last.
//
// A thread takes four columns of a row at a time, over all parts.
#ifndef DECODE_MERGE_CUH
#define DECODE_MERGE_CUH

#include "decode_softmax.cuh"

constexpr int QUARTERS = D / 4;  // groups of four columns of a row

// Of four columns of a row: the reference of its weights, a power of two, their sum, and the output.
struct Part {
  float reference, sum, o[4];
};

// Where parts of rows lie: rows of D floats, then {reference, sum, -, -}.
struct SharedRows {
  u32 base;
  FL4_MEMBER void load(int part, int row, int quarter, float (&x)[4]) const
  {
    load_shared_f32x4(x, base + part * WARP_BYTES + row * PARTIAL_ROW_BYTES + quarter * 16);
  }
};
struct GlobalRows {
  char *base;
  FL4_MEMBER void load(int part, int row, int quarter, float (&x)[4]) const
  {
    load_global_f32x4_shared(x, base + (i64)(part * ROWS + row) * GLOBAL_ROW_BYTES + quarter * 16);
  }
};

// Adds parts first … first + N - 1 of a row, of those that there are: 0 … n - 1. All are asked for before the first is used.
template <int N, class From> FL4_DEV void merge(Part &to, const From &from, int first, int n, int row, int quarter)
{
  float state[N][4], o[N][4];
#pragma unroll
  for (int i = 0; i < N; i++) {
    const bool there = first + i >= 0 && first + i < n;
#pragma unroll
    for (int e = 0; e < 4; e++) state[i][e] = e == 0 ? MINUS_INFINITY : 0.f, o[i][e] = 0.f;
    if (there) from.load(first + i, row, QUARTERS, state[i]), from.load(first + i, row, quarter, o[i]);
  }
  float now = to.reference;
#pragma unroll
  for (int i = 0; i < N; i++) now = max_f32(now, state[i][0]);
  const float reference = finite_reference(now), kept = exp2_approx(to.reference - reference);
  to.reference = now, to.sum *= kept;
#pragma unroll
  for (int e = 0; e < 4; e++) to.o[e] *= kept;
#pragma unroll
  for (int i = 0; i < N; i++) {
    const float factor = exp2_approx(state[i][0] - reference);
    to.sum += state[i][1] * factor;
#pragma unroll
    for (int e = 0; e < 4; e++) to.o[e] += o[i][e] * factor;
  }
}

FL4_DEV Part no_part() { return {MINUS_INFINITY, 0.f, {0.f, 0.f, 0.f, 0.f}}; }

// The warp's rows, in the place of its ring.
FL4_DEV void store_rows(const Rows &rows, u32 to, float scale)
{
#pragma unroll
  for (int n = 0; n < R8; n++)
#pragma unroll
    for (int e = 0; e < 2; e++) {
      const u32 row = to + lane_row(n, e) * PARTIAL_ROW_BYTES;
      const float state[4] = {reference_of(rows.largest[n][e], scale), key_sum(rows.sum[n][e]), 0.f, 0.f};
      if (lane() < 4) store_shared_f32x4(row + QUARTERS * 16, state);
#pragma unroll
      for (int d = 0; d < D16; d++)
#pragma unroll
        for (int half = 0; half < 2; half++)
          store_shared_f32(row + (d * 16 + half * 8 + lane() / 4) * 4, rows.o[d][n][2 * half + e]);
    }
}

// Four columns of a row's output, and, by the thread that has the first of them, its log-sum-exp.
FL4_DEV void finish(const fl4_fwd_params &p, const Work &w, int row, int quarter, const Part &x)
{
  const Place at = place_of(p, w, row);
  if (!at.there) return;
  invariant(p, x.reference == MINUS_INFINITY || !(x.sum < 0.99f), FL4_INVARIANT_SUM_AT_LEAST_ONE, x.sum, 1);
  invariant(p, !(x.sum > keys(p, w) * 1.001f), FL4_INVARIANT_SUM_AT_MOST_KEYS, x.sum, keys(p, w));
  const Ending end = with_sink(p, at.h, x.reference, x.sum);
  const float inverse = end.factor * inverse_sum(end.sum);
  float o[4];
#pragma unroll
  for (int e = 0; e < 4; e++) {
    o[e] = x.o[e] * inverse;
    invariant(p, is_finite(o[e]), FL4_INVARIANT_FINITE, o[e], 0);
  }
  const u32 packed[2] = {pack_2(o[0], o[1]), pack_2(o[2], o[3])};
  store_global_64(reinterpret_cast<char *>(p.o) + query_offset(p, w, p.o_stride, at) * 2 + quarter * 8, packed);
  if (LSE && p.lse && quarter == 0)
    store_global_32(reinterpret_cast<char *>(p.lse) + query_offset(p, w, p.lse_stride, at) * 4,
                    log_sum_exp(end.reference, end.sum));
}

FL4_DEV void store_part(char *to, int row, int quarter, const Part &x)
{
  const float state[4] = {x.reference, x.sum, 0.f, 0.f};
  to += row * GLOBAL_ROW_BYTES;
  store_global_f32x4(to + quarter * 16, x.o);
  if (quarter == 0) store_global_f32x4(to + QUARTERS * 16, state);
}

// The last block of a unit to come here. It knows what the others have left.
FL4_DEV bool is_last(const fl4_fwd_params &p, const Work &w, u32 smem)
{
  block_barrier();  // the whole block's part is there; and nobody reads shared memory any more
  if (thread_index() == 0) {
    gpu_fence();
    const u32 drawn = atomic_wrapping_increment(reinterpret_cast<char *>(p.workspace) + w.unit * 4, w.splits - 1);
    gpu_fence();
    store_shared_32(smem, drawn);
  }
  block_barrier();
  return (int)load_shared_32(smem) == w.splits - 1;
}

// All that the block's warps know of its rows goes to the output, or, if blocks share them, to the workspace; whoever comes
// last takes it all from there.
FL4_DEV void merge_all(const fl4_fwd_params &p, const Work &w, const Rows &rows, float scale, u32 smem)
{
  store_rows(rows, smem + warp() * WARP_BYTES, scale);
  block_barrier();
  char *const parts = reinterpret_cast<char *>(p.workspace) + FL4_TICKET_BYTES +
                      (i64)w.unit * p.splits * (ROWS * GLOBAL_ROW_BYTES);
  const int items = w.rows * QUARTERS;
#pragma unroll 1
  for (int item = thread_index(); item < items; item += THREADS) {
    const int row = item / QUARTERS, quarter = item % QUARTERS;
    Part x = no_part();
    merge<WARPS>(x, SharedRows{smem}, 0, WARPS, row, quarter);
    if (!SHARED_ROWS || w.splits == 1)
      finish(p, w, row, quarter, x);
    else
      store_part(parts + (i64)w.split * (ROWS * GLOBAL_ROW_BYTES), row, quarter, x);
  }
  if (!SHARED_ROWS || w.splits == 1 || !is_last(p, w, smem)) return;
#pragma unroll 1
  for (int item = thread_index(); item < items; item += THREADS) {
    const int row = item / QUARTERS, quarter = item % QUARTERS;
    Part x = no_part();
#pragma unroll 1
    for (int first = -w.before; first < w.splits; first += MERGED_AT_A_TIME)
      merge<MERGED_AT_A_TIME>(x, GlobalRows{parts}, first, w.splits, row, quarter);
    finish(p, w, row, quarter, x);
  }
}

#endif

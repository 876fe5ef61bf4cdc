// SPDX-License-Identifier: Apache-2.0
//
// What warps, and blocks that share rows, know of a row after different keys is put together: those of a block through shared
// memory, the blocks of a unit through the workspace, eight splits at a time, a group, and then the groups. Always in the same
// order, so that the result is the same to the bit, whoever is last.
//
// Where splits are many, the last block of each group puts its group together, and the last block of the unit the groups; where
// they are few, or tickets are, the last block of the unit does all of it. That is the same order: the same bits again.
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

FL4_DEV Part no_part() { return {MINUS_INFINITY, 0.f, {0.f, 0.f, 0.f, 0.f}}; }

// Parts first … first + N - 1 of a row, of those that there are: 0 … n - 1. All are asked for before the first is used.
template <int N, class From>
FL4_DEV void load_parts(Part (&x)[N], const From &from, int first, int n, int row, int quarter)
{
#pragma unroll
  for (int i = 0; i < N; i++) {
    x[i] = no_part();
    if (first + i < 0 || first + i >= n) continue;
    float state[4];
    from.load(first + i, row, QUARTERS, state), from.load(first + i, row, quarter, x[i].o);
    x[i].reference = state[0], x[i].sum = state[1];
  }
}

// Those parts as one.
template <int N, class From> FL4_DEV Part merge(const From &from, int first, int n, int row, int quarter)
{
  Part x[N], all = no_part();
  load_parts(x, from, first, n, row, quarter);
#pragma unroll
  for (int i = 0; i < N; i++) all.reference = max_f32(all.reference, x[i].reference);
  const float reference = finite_reference(all.reference);
#pragma unroll
  for (int i = 0; i < N; i++) {
    const float factor = exp2_approx(x[i].reference - reference);
    all.sum = fma_f32(x[i].sum, factor, all.sum);
#pragma unroll
    for (int e = 0; e < 4; e++) all.o[e] = fma_f32(x[i].o[e], factor, all.o[e]);
  }
  return all;
}

// One more, however many there were. A part without a key leaves everything as it is.
FL4_DEV void add(Part &to, const Part &x)
{
  const float now = max_f32(to.reference, x.reference), reference = finite_reference(now);
  const float kept = exp2_approx(to.reference - reference), factor = exp2_approx(x.reference - reference);
  to.reference = now;
  to.sum = fma_f32(x.sum, factor, to.sum * kept);
#pragma unroll
  for (int e = 0; e < 4; e++) to.o[e] = fma_f32(x.o[e], factor, to.o[e] * kept);
}

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

FL4_DEV void store_part(const GlobalRows &to, int part, int row, int quarter, const Part &x)
{
  const float state[4] = {x.reference, x.sum, 0.f, 0.f};
  char *const at = to.base + (i64)(part * ROWS + row) * GLOBAL_ROW_BYTES;
  store_global_f32x4(at + quarter * 16, x.o);
  if (quarter == 0) store_global_f32x4(at + QUARTERS * 16, state);
}

// The last of `n` blocks to come here. It knows what the others have left.
FL4_DEV bool is_last(char *ticket, int n, u32 smem)
{
  block_barrier();  // the whole block's part is there; and nobody reads shared memory any more
  if (thread_index() == 0) {
    gpu_fence();
    const u32 drawn = atomic_wrapping_increment(ticket, n - 1);
    gpu_fence();
    store_shared_32(smem, drawn);
  }
  block_barrier();
  return (int)load_shared_32(smem) == n - 1;
}

// A unit has a ticket, then one for each group; and parts of its splits, then of its groups.
struct Exchange {
  char *tickets;
  GlobalRows parts, groups;
  bool two_levels;
};
FL4_DEV Exchange exchange_of(const fl4_fwd_params &p, const Work &w)
{
  const int groups = group_places(p);
  char *const workspace = reinterpret_cast<char *>(p.workspace);
  char *const parts = workspace + FL4_TICKET_BYTES + (i64)w.unit * (p.splits + groups) * PART_BYTES;
  return {workspace + w.unit * (1 + groups) * 4, {parts}, {parts + (i64)p.splits * PART_BYTES},
          groups > 0 && w.splits > MOST_ALONE};
}

// Four columns of a row of the whole unit.
FL4_DEV Part merge_unit(const Work &w, const Exchange &x, int row, int quarter)
{
  Part all = no_part();
  if (x.two_levels) {
    const int n = group_of(w, w.splits - 1) + 1;
#pragma unroll 1
    for (int first = 0; first < n; first += MERGED_AT_A_TIME) {
      Part group[MERGED_AT_A_TIME];
      load_parts(group, x.groups, first, n, row, quarter);
#pragma unroll
      for (int i = 0; i < MERGED_AT_A_TIME; i++) add(all, group[i]);
    }
  } else {
#pragma unroll 1
    for (int first = -w.before; first < w.splits; first += MERGED_AT_A_TIME)
      add(all, merge<MERGED_AT_A_TIME>(x.parts, first, w.splits, row, quarter));
  }
  return all;
}

// All that the block's warps know of its rows goes to the output, or, if blocks share them, to the workspace; whoever comes
// last takes it all from there.
FL4_DEV void merge_all(const fl4_fwd_params &p, const Work &w, const Rows &rows, float scale, u32 smem)
{
  store_rows(rows, smem + warp() * WARP_BYTES, scale);
  block_barrier();
  const Exchange x = exchange_of(p, w);
  const int items = w.rows * QUARTERS;
#pragma unroll 1
  for (int item = thread_index(); item < items; item += THREADS) {
    const int row = item / QUARTERS, quarter = item % QUARTERS;
    const Part mine = merge<WARPS>(SharedRows{smem}, 0, WARPS, row, quarter);
    if (!SHARED_ROWS || w.splits == 1)
      finish(p, w, row, quarter, mine);
    else
      store_part(x.parts, w.split, row, quarter, mine);
  }
  if (!SHARED_ROWS || w.splits == 1) return;
  int drawers = w.splits;
  if (x.two_levels) {
    const int group = group_of(w, w.split), first = first_of_group(w, group);
    const int n = min_i32(first + MERGED_AT_A_TIME, w.splits) - max_i32(first, 0);
    if (!is_last(x.tickets + (1 + group) * 4, n, smem)) return;
#pragma unroll 1
    for (int item = thread_index(); item < items; item += THREADS) {
      const int row = item / QUARTERS, quarter = item % QUARTERS;
      store_part(x.groups, group, row, quarter, merge<MERGED_AT_A_TIME>(x.parts, first, w.splits, row, quarter));
    }
    drawers = group_of(w, w.splits - 1) + 1;
  }
  if (!is_last(x.tickets, drawers, smem)) return;
#pragma unroll 1
  for (int item = thread_index(); item < items; item += THREADS) {
    const int row = item / QUARTERS, quarter = item % QUARTERS;
    finish(p, w, row, quarter, merge_unit(w, x, row, quarter));
  }
}

#endif

// SPDX-License-Identifier: Apache-2.0
//
// Attention forward for sm_80 and newer: cp.async, ldmatrix, mma.sync.
//
// A block computes BM query rows of one head; its warps share the rows, and with several key groups the keys
// too. Key and value tiles pass through rings in shared memory, from right to left: so only the very first
// can be partial, and only its loads are guarded. A tile is taken in slice by slice: scores, weights,
// product with the values. Or four warps share their rows, and each takes its part of the scores and of the output (mma_share.cuh).
//
// Tiles that may need a mask come first, each slice by its true maxima; then the steady loop of fl4_softmax.cuh.
#include "fl4_abi.h"
#include "fl4_config.cuh"
#include "fl4_ptx.cuh"

#include "fl4_debug.cuh"
#include "fl4_smem.cuh"
#include "fl4_schedule.cuh"
#include "fl4_mask.cuh"
#include "mma_scores.cuh"
#include "fl4_softmax.cuh"
#include "fl4_merge.cuh"
#include "fl4_epilogue.cuh"
#include "mma_products.cuh"
#include "mma_ring.cuh"
#if FL4_SHARE
#include "mma_share.cuh"
#endif

FL4_DEV void add_sums(Rows &rows, const SliceSums &sums)
{
  if (!EXACT_SUM) return;
#pragma unroll
  for (int m = 0; m < M16; m++)
#pragma unroll
    for (int half = 0; half < 2; half++) rows.exact[m][half] += sums[m][half];
}

// The lane's addresses in slot 0, at the keys of its group.
struct Lane {
  u32 k, v;
};

// A tile of which the warp's rows do not see all: slice by slice, as far as they see.
FL4_DEV void take_masked(Rows &rows, const Query &q, const Lane &lane_at, const Slots &at, const fl4_fwd_params &p,
                         const Work &w, int row0, int key0, bool biases)
{
  int seen = CAUSAL ? min_i32(keys(p, w), row0 + WARP_ROWS + w.shift) : keys(p, w), hidden = 0;
  if (WINDOW) {
    seen = keys_end(p, queries(p, w), keys(p, w), row0 + WARP_ROWS - 1);
    hidden = keys_begin(p, queries(p, w), keys(p, w), row0);
  }
#pragma unroll 1
  for (int slice = 0; slice < SLICES && key0 + slice * SLICE < seen; slice++) {
    if (WINDOW && key0 + (slice + 1) * SLICE <= hidden) continue;
    Scores s;
    Weights weights;
    SliceSums sums;
    multiply_query_keys(s, q, k_slot(lane_at.k, at.k) + slice * SLICE * ROW_BYTES);
    transform_scores(s, p, w, row0, key0 + slice * SLICE, biases);
    mask_scores(s, p, w, row0, key0 + slice * SLICE);
    const Values values = begin_values(v_slot(lane_at.v, at.v) + slice * SLICE * ROW_BYTES);
    renew(rows, weights, sums, s, score_scale(p), p);
    add_sums(rows, sums);
    multiply_weights_values(rows, weights, values, p);
  }
}

// Scores and weights of a slice that all rows see. `rising`: scores were seen to rise so fast that it is not worth trying
// the references as they stand; so it is at the start, where there are none. Returns the values, which are begun between.
FL4_DEV Values weigh_slice(Rows &rows, Weights &weights, SliceSums &sums, bool &rising, const Query &q, u32 keys,
                           u32 values_at, const fl4_fwd_params &p, const Work &w, int row0, int key0, bool biases)
{
  Values values;
  if (KEEP_SCORES || !rising) {
    Scores s;
    multiply_query_keys(s, q, keys);
    transform_scores(s, p, w, row0, key0, biases);
    values = begin_values(values_at);
    if (!rising) {
      weigh(weights, sums, s, rows, score_scale(p), 0, WEIGHT_PAIRS);
      rising = beyond_limit(weights, rows);
    }
    if (KEEP_SCORES && rising) rising = renew(rows, weights, sums, s, score_scale(p), p) || ALWAYS_EXACT;
  } else {
    values = begin_values(values_at);
  }
  if (!KEEP_SCORES && rising) {
    Scores s;
    multiply_query_keys(s, q, keys);
    transform_scores(s, p, w, row0, key0, biases);
    rising = renew(rows, weights, sums, s, score_scale(p), p) || ALWAYS_EXACT;
  }
  return values;
}

FL4_DEV void take_open(Rows &rows, bool &rising, const Query &q, const Lane &lane_at, const Slots &at,
                       const fl4_fwd_params &p, const Work &w, int row0, int key0, bool biases)
{
#pragma unroll 1
  for (int slice = 0; slice < SLICES; slice++) {
    Weights weights;
    SliceSums sums;
    const Values values =
        weigh_slice(rows, weights, sums, rising, q, k_slot(lane_at.k, at.k) + slice * SLICE * ROW_BYTES,
                    v_slot(lane_at.v, at.v) + slice * SLICE * ROW_BYTES, p, w, row0, key0 + slice * SLICE, biases);
    add_sums(rows, sums);
    multiply_weights_values(rows, weights, values, p);
  }
}

// The same with weaving: the scores of the first slice are there, and those of the next tile's first are left. After
// the last tile these are of no use; then they are computed from keys that are there.
FL4_DEV void take_open_weaving(Rows &rows, Scores (&s)[2], const Query &q, const Lane &lane_at, const Slots &at,
                               bool last, const fl4_fwd_params &p, const Work &w, int row0, int key0, int next_key0,
                               bool biases, bool next_biases)
{
  const u32 tile = k_slot(lane_at.k, at.k), next_tile = k_slot(lane_at.k, last ? at.k : at.k_next);
#pragma unroll
  for (int slice = 0; slice < SLICES; slice++) {
    const u32 keys = tile + slice * SLICE * ROW_BYTES;
    Weights weights;
    SliceSums sums;
    multiply_query_keys_and_weigh(s[(slice + 1) % 2], q, slice + 1 < SLICES ? keys + SLICE * ROW_BYTES : next_tile,
                                  weights, sums, s[slice % 2], rows, score_scale(p));
    if (slice + 1 < SLICES || !last)
      transform_scores(s[(slice + 1) % 2], p, w, row0, slice + 1 < SLICES ? key0 + (slice + 1) * SLICE : next_key0,
                       slice + 1 < SLICES ? biases : next_biases);
    const Values values = begin_values(v_slot(lane_at.v, at.v) + slice * SLICE * ROW_BYTES);
    if (beyond_limit(weights, rows)) renew(rows, weights, sums, s[slice % 2], score_scale(p), p);
    add_sums(rows, sums);
    multiply_weights_values(rows, weights, values, p);
  }
}

// O and the log-sum-exp of the warp's rows. Where they go is worked out anew: the loop over the tiles
// has no registers to spare for it.
FL4_DEV void finish(Rows &rows, u32 smem, const fl4_fwd_params &p)
{
  merge_groups(rows, smem);
  if (key_group() > 0 || !merge_splits(rows, p)) return;
  const Work w = work_of_block(p);
  const int row0 = first_row(w);
  store_lse(rows, p, w, row0);
  // Through the warp's own rows of Q, or where another group's part of its rows was.
  const u32 tile = smem + (KGROUPS == 1 ? Q_OFFSET + row_warp() * WARP_ROWS * ROW_BYTES : row_warp() * PARTIAL_BYTES);
  if (KGROUPS > 1 || !Q_IN_REGISTERS) warp_barrier(); // its lanes have read what was there
  store_output(rows, tile, p, w, row0);
}

FL4_KERNEL(fl4_fwd_mma, THREADS, CTAS)(FL4_PARAM fl4_fwd_params p)
{
  Work w = work_of_block(p);
  if constexpr (RAGGED_Q) {
    if (!has_rows(w)) return;
  }
  w.slope = alibi_slope(p, w.b, w.h);
  const u32 smem = smem_base();
#if FL4_SHARE
  share_rows(p, w, smem);
#else
  Rows rows;
  clear(rows);

  if (w.first < w.end) {
    const Ring ring = ring_of(p, w, smem);
    begin_walk(ring, p, w);

    Query q;
    q.base = smem + Q_OFFSET + row_warp() * WARP_ROWS * ROW_BYTES + lane_offset_q();
    if (Q_IN_REGISTERS) {
      cp_async_wait<STAGES - 2>();
      block_barrier();
#pragma unroll
      for (int d = 0; d < D16; d++) read_query(q.fragment[Q_IN_REGISTERS ? d : 0], q, d);
    }

    const Lane lane_at = {smem + key_group() * GROUP_KEYS * ROW_BYTES + lane_offset_k(),
                          smem + key_group() * GROUP_KEYS * ROW_BYTES + lane_offset_v()};
    Slots at = {0, 1, 0};
    int tile = w.first;
#pragma unroll 1
    for (; tile < min_i32(w.exact, w.end); tile++) {
      begin_tile(ring, p, tile, at);
      take_masked(rows, q, lane_at, at, p, w, first_row(w), first_key(w, tile), MAY_HIDE(w, tile));
      end_tile(at);
    }
    const int open_end = WINDOW ? min_i32(w.tail, w.end) : w.end;
    if (!WEAVE) {
      bool rising = tile == w.first || ALWAYS_EXACT;
#pragma unroll 1
      for (; tile < open_end; tile++) {
        begin_tile(ring, p, tile, at);
        take_open(rows, rising, q, lane_at, at, p, w, first_row(w), first_key(w, tile), MAY_HIDE(w, tile));
        end_tile(at);
      }
    } else if (tile < open_end) {
      Scores s[2];
      begin_tile(ring, p, tile, at);
      multiply_query_keys(s[0], q, k_slot(lane_at.k, at.k));
      transform_scores(s[0], p, w, first_row(w), first_key(w, tile), MAY_HIDE(w, tile));
      while (true) {
        const bool last = tile + 1 == open_end;
        const int key0 = first_key(w, tile), next = last ? tile : tile + 1,
                  next_key0 = SKIP ? first_key(w, next) : key0 - BN;
        take_open_weaving(rows, s, q, lane_at, at, last, p, w, first_row(w), key0, next_key0, MAY_HIDE(w, tile),
                          MAY_HIDE(w, next));
        end_tile(at);
        if (++tile == open_end) break;
        begin_tile(ring, p, tile, at);
      }
    }
    if (WINDOW) {
#pragma unroll 1
      for (; tile < w.end; tile++) {
        begin_tile(ring, p, tile, at);
        take_masked(rows, q, lane_at, at, p, w, first_row(w), first_key(w, tile), MAY_HIDE(w, tile));
        end_tile(at);
      }
    }
    if (Q_IN_REGISTERS && KGROUPS == 1) block_barrier(); // O goes where the last slots were
  }
  finish(rows, smem, p);
#endif
}

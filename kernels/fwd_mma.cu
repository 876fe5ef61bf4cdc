// SPDX-License-Identifier: Apache-2.0
//
// Attention forward for sm_80 and newer: cp.async, ldmatrix, mma.sync.
//
// A block computes BM query rows of one head; its warps share the rows, and with several key groups the keys
// too. Key and value tiles pass through rings in shared memory, from right to left: so only the very first
// can be partial, and only its loads are guarded. A tile is taken in slice by slice: scores, weights,
// product with the values. Weights go from one matrix product to the next in registers: the result layout
// of the first is the operand layout of the second. (FlashAttention-2, Dao, arXiv 2307.08691.)
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

// ---------------------------------------------------------------- S = Q Kᵀ

// Q of the warp's rows, as the A operand; with Q in shared memory it is read anew for each slice.
struct Query {
  u32 fragment[Q_IN_REGISTERS ? D16 : 1][M16][4];
  u32 base; // the lane's address in the Q tile
};

FL4_DEV void read_query(u32 (&fragment)[M16][4], const Query &q, int d)
{
#pragma unroll
  for (int m = 0; m < M16; m++) ldmatrix_x4(fragment[m], along_row(q.base, d) + m * 16 * ROW_BYTES);
}

FL4_DEV void read_keys(u32 (&fragment)[S16][4], u32 keys, int d)
{
#pragma unroll
  for (int n = 0; n < S16; n++) ldmatrix_x4(fragment[n], along_row(keys, d) + n * 16 * ROW_BYTES);
}

// 16 elements of the head dimension.
FL4_DEV void multiply_step(Scores &s, const Query &q, const u32 (&k)[S16][4], int d)
{
  u32 rows[M16][4];
  if (Q_IN_REGISTERS) {
#pragma unroll
    for (int m = 0; m < M16; m++)
#pragma unroll
      for (int e = 0; e < 4; e++) rows[m][e] = q.fragment[Q_IN_REGISTERS ? d : 0][m][e];
  } else {
    read_query(rows, q, d);
  }
#pragma unroll
  for (int n = 0; n < S16; n++)
#pragma unroll
    for (int m = 0; m < M16; m++) {
      if (d == 0) {
        mma_16x8x16_first(s[m][2 * n], rows[m], k[n][0], k[n][1]);
        mma_16x8x16_first(s[m][2 * n + 1], rows[m], k[n][2], k[n][3]);
      } else {
        mma_16x8x16(s[m][2 * n], rows[m], k[n][0], k[n][1]);
        mma_16x8x16(s[m][2 * n + 1], rows[m], k[n][2], k[n][3]);
      }
    }
}

// `keys`: the lane's address in the slice.
FL4_DEV void multiply_query_keys(Scores &s, const Query &q, u32 keys)
{
#pragma unroll
  for (int d = 0; d < D16; d++) {
    u32 k[S16][4];
    read_keys(k, keys, d);
    multiply_step(s, q, k, d);
  }
}

// The same, with the weights of the slice before in between: the matrix pipe works while the exponentials are
// taken. Fragments are read one step ahead.
FL4_DEV void multiply_query_keys_and_weigh(Scores &s, const Query &q, u32 keys, Weights &weights, SliceSums &sums,
                                           const Scores &ready, const Rows &rows, float scale)
{
  u32 k[2][S16][4];
  read_keys(k[0], keys, 0);
#pragma unroll
  for (int d = 0; d < D16; d++) {
    if (d + 1 < D16) read_keys(k[(d + 1) % 2], keys, d + 1);
    multiply_step(s, q, k[d % 2], d);
    weigh(weights, sums, ready, rows, scale, d * WEIGHT_PAIRS / D16, (d + 1) * WEIGHT_PAIRS / D16);
  }
}

// ---------------------------------------------------------------- O += P V

// The values of a slice: the lane's address, and the first fragment, which is read ahead. The compiler moves nothing
// across the vote on the weights, and would have the product wait for it.
struct Values {
  u32 at;
  u32 first[4];
};

FL4_DEV Values begin_values(u32 at)
{
  Values v;
  v.at = at;
  ldmatrix_x4_trans(v.first, along_row(at, 0));
  return v;
}

// The sums are one more column of V, of ones.
FL4_DEV void multiply_weights_values(Rows &rows, const Weights &weights, const Values &values, const fl4_fwd_params &p)
{
  float before[M16][2];
#pragma unroll
  for (int m = 0; m < M16; m++) before[m][0] = rows.sum[m][0], before[m][1] = rows.sum[m][2];
#pragma unroll
  for (int n = 0; n < S16; n++) {
#pragma unroll
    for (int m = 0; m < M16; m++) mma_16x8x16(rows.sum[m], weights[n][m], PACKED_ONES, PACKED_ONES);
#pragma unroll
    for (int d = 0; d < D16; d++) {
      u32 v[4];
      if (n == 0 && d == 0) {
#pragma unroll
        for (int e = 0; e < 4; e++) v[e] = values.first[e];
      } else {
        ldmatrix_x4_trans(v, along_row(values.at, d) + n * 16 * ROW_BYTES);
      }
#pragma unroll
      for (int m = 0; m < M16; m++) {
        mma_16x8x16(rows.o[m][2 * d], weights[n][m], v[0], v[1]);
        mma_16x8x16(rows.o[m][2 * d + 1], weights[n][m], v[2], v[3]);
      }
    }
  }
  if (DEBUG) check_sums(rows, before, p);
}

FL4_DEV void add_sums(Rows &rows, const SliceSums &sums)
{
  if (!EXACT_SUM) return;
#pragma unroll
  for (int m = 0; m < M16; m++)
#pragma unroll
    for (int half = 0; half < 2; half++) rows.exact[m][half] += sums[m][half];
}

// ---------------------------------------------------------------- the rings

// Tiles are numbered as they are walked: tile 0 is the rightmost.
struct Ring {
  const char *k, *v; // row 0 of the head
  i64 k_row, v_row;  // bytes between rows
  u32 smem;
  int tiles, end; // of the row tile, and where this block stops
  int keys;       // that there are
  int b;          // whose pages they are
#if FL4_SKIP
  const char *list; // of the tiles
#endif
};

// Where the walk stands: the slots of this tile's keys, the next tile's keys, and this tile's values.
struct Slots {
  int k, k_next, v;
};

FL4_DEV int slot_after(int slot, int slots)
{
  return slot + 1 == slots ? 0 : slot + 1;
}
FL4_DEV int slot_before(int slot, int slots)
{
  return slot == 0 ? slots - 1 : slot - 1;
}
FL4_DEV u32 k_slot(u32 smem, int slot)
{
  return smem + (slot == K_SLOTS - 1 ? RING_BYTES - TILE_BYTES : slot * TILE_BYTES);
}
FL4_DEV u32 v_slot(u32 smem, int slot)
{
  return smem + (K_SLOTS - 1 + slot) * TILE_BYTES;
}

template <bool GUARD> FL4_DEV void load_keys(const Ring &r, const fl4_fwd_params &p, int tile, int slot)
{
  const int key0 = FIRST_KEY(r, tile);
  invariant(p, key0 >= 0 && key0 < r.keys, FL4_INVARIANT_IN_RANGE, key0, r.keys);
  if (PAGED)
    load_paged_tile<BN, GUARD>(p, k_slot(r.smem, slot), r.k, p.k_stride[0] * 2, r.k_row, r.b, key0, r.keys - key0);
  else
    load_tile<BN, GUARD>(p, k_slot(r.smem, slot), r.k + key0 * r.k_row, r.k_row, r.keys - key0);
}
template <bool GUARD> FL4_DEV void load_values(const Ring &r, const fl4_fwd_params &p, int tile, int slot)
{
  const int key0 = FIRST_KEY(r, tile);
  invariant(p, key0 >= 0 && key0 < r.keys, FL4_INVARIANT_IN_RANGE, key0, r.keys);
  if (PAGED)
    load_paged_tile<BN, GUARD>(p, v_slot(r.smem, slot), r.v, p.v_stride[0] * 2, r.v_row, r.b, key0, r.keys - key0);
  else
    load_tile<BN, GUARD>(p, v_slot(r.smem, slot), r.v + key0 * r.v_row, r.v_row, r.keys - key0);
}

// What a tile needs beyond the tiles before it: its values, and its keys, or with weaving the next tile's keys.
// One group is committed a tile, also when nothing is copied, so that the count of pending groups
// means the same on the last tiles as on the first.
template <bool GUARD_VALUES, bool GUARD_KEYS>
FL4_DEV void load_for(const Ring &r, const fl4_fwd_params &p, int tile, int k, int v)
{
  if (tile + WEAVE < r.end) load_keys<GUARD_KEYS>(r, p, tile + WEAVE, k);
  if (tile < r.end) load_values<GUARD_VALUES>(r, p, tile, v);
  cp_async_commit();
}

// Waits for what a tile needs, and refills what the tile before it has left.
FL4_DEV void begin_tile(const Ring &r, const fl4_fwd_params &p, int tile, const Slots &at)
{
  cp_async_wait<STAGES - 2>();
  block_barrier(); // it is there for all; all have done with the tile before it
  load_for<false, false>(r, p, tile + STAGES - 1, slot_before(at.k, K_SLOTS), slot_before(at.v, V_SLOTS));
}

FL4_DEV void end_tile(Slots &at)
{
  at.v = slot_after(at.v, V_SLOTS);
  at.k = WEAVE ? at.k_next : slot_after(at.k, K_SLOTS);
  if (WEAVE) at.k_next = slot_after(at.k, K_SLOTS);
}

// ---------------------------------------------------------------- the walk

// The lane's addresses in slot 0, at the keys of its group.
struct Lane {
  u32 k, v;
};

// The warp's first row, and the first key of its group in a tile.
FL4_DEV int first_row(const Work &w)
{
  return w.row0 + row_warp() * WARP_ROWS;
}
FL4_DEV int first_key(const Work &w, int tile)
{
  return FIRST_KEY(w, tile) + key_group() * GROUP_KEYS;
}

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
  if (KGROUPS > 1) warp_barrier();
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
  Rows rows;
  clear(rows);

  if (w.first < w.end) {
    const Ring ring = {
      reinterpret_cast<const char *>(p.k) + key_offset(w, p.k_stride) * 2,
      reinterpret_cast<const char *>(p.v) + key_offset(w, p.v_stride) * 2,
      p.k_stride[2] * 2,
      p.v_stride[2] * 2,
      smem,
      w.tiles,
      w.end,
      keys(p, w),
      w.b,
#if FL4_SKIP
      w.list,
#endif
    };
    const char *q_rows = reinterpret_cast<const char *>(p.q) + query_offset(p, w, p.q_stride, w.row0) * 2;

    // Group 0: Q and all that the first tile needs; then a group for each further stage but one.
    load_tile<BM, true>(p, smem + Q_OFFSET, q_rows, p.q_stride[2] * 2, queries(p, w) - w.row0);
    if (WEAVE) load_keys<true>(ring, p, w.first, 0);
    load_for<true, !WEAVE>(ring, p, w.first, WEAVE, 0);
#pragma unroll
    for (int i = 1; i < STAGES - 1; i++) load_for<false, false>(ring, p, w.first + i, i + WEAVE, i);

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
}

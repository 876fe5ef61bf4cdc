// SPDX-License-Identifier: Apache-2.0
//
// Rows that four warps share, for wide heads.
//
// At a head dimension of 256 a warp has no registers for the output of 32 rows beside their scores; with 16 rows it reads each key
// and value for half as many products, and shared memory is the limit. Here a team of four warps has 64 rows. For the scores each
// warp takes 32 of them and half of a tile's keys; for the output all 64 and every fourth block of 16 columns. So of the keys
// it reads half and of the values a quarter. The weights go from one product to the other through shared memory.
//
// The scores of a tile are computed before the output of the tile before, among whose products its weights are taken. A barrier
// a tile: behind it copies are there and weights to be seen. It also tells whether any row's reference was too low; then the
// scores are still there, all rows of the block move to their true maxima, and the weights are taken again (fl4_softmax.cuh).
#ifndef MMA_SHARE_CUH
#define MMA_SHARE_CUH

#include "fl4_epilogue.cuh"
#include "mma_products.cuh"
#include "mma_ring.cuh"
#include "mma_scores.cuh"

typedef Swizzle<BN / 8> WeightSwizzle;
constexpr int COLUMNS16 = DP / 16 / TEAM_WARPS; // blocks of 16 columns that a warp has
constexpr int OUT_M16 = TEAM_ROWS / 16;

// A lane's part of the state of its rows: of `o` [m][half] is row 16·m + 8·half + lane/4 of the team, of the rest of the warp, and
// sums are those of its half of the keys. `tile_…`: the last tile's, which count when its weights are found to be good.
struct SharedRows {
  float o[OUT_M16][2 * COLUMNS16][4];
  float sum[M16][2], tile_sum[M16][4];
  float reference[M16][2];
  SliceSums exact, tile_exact;
  u32 largest; // weights of the last tile
};

FL4_DEV void clear(SharedRows &rows)
{
#pragma unroll
  for (int m = 0; m < OUT_M16; m++)
#pragma unroll
    for (int n = 0; n < 2 * COLUMNS16; n++)
#pragma unroll
      for (int e = 0; e < 4; e++) rows.o[m][n][e] = 0.f;
#pragma unroll
  for (int m = 0; m < M16; m++)
#pragma unroll
    for (int half = 0; half < 2; half++)
      rows.sum[m][half] = rows.exact[m][half] = 0.f, rows.reference[m][half] = MINUS_INFINITY;
}

// The warp's place: its team, and which of four it is there.
FL4_DEV int team() { return row_warp() / 2; }
FL4_DEV int team_warp() { return key_group() * 2 + row_warp() % 2; }

// Addresses: of the lane's weights in tile 0, where it leaves them and where it reads the team's.
struct WeightPlaces {
  u32 row, read;
};
FL4_DEV WeightPlaces weight_places(u32 smem)
{
  const u32 tiles = smem + WEIGHTS_OFFSET;
  return {tiles + (row_warp() * WARP_ROWS + lane() / 4) * WEIGHT_ROW_BYTES + lane() % 4 * 4,
          tiles + team() * TEAM_ROWS * WEIGHT_ROW_BYTES + WeightSwizzle::offset(lane() % 16, lane() / 16)};
}

// 16 keys of the warp's weights: left for the team, summed up as they were rounded, and looked at.
FL4_DEV void leave_weights(SharedRows &rows, const Weights &weights, const WeightPlaces &at, int buffer, int n)
{
#pragma unroll
  for (int m = 0; m < M16; m++) {
#pragma unroll
    for (int i = 0; i < 4; i++) {
      const int chunk = key_group() * S8 + 2 * n + i / 2, row = lane() / 4; // as the swizzle sees it: every eighth row is alike
      const u32 offset = WeightSwizzle::offset(row, chunk) - row * WEIGHT_ROW_BYTES;
      store_shared_32(at.row + buffer * WEIGHT_TILE_BYTES + (m * 16 + i % 2 * 8) * WEIGHT_ROW_BYTES + offset, weights[n][m][i]);
      rows.largest = n == 0 && m == 0 && i == 0 ? weights[n][m][i] : max_packed_2(rows.largest, weights[n][m][i]);
    }
    if (n == 0)
      mma_16x8x16_first(rows.tile_sum[m], weights[n][m], PACKED_ONES, PACKED_ONES);
    else
      mma_16x8x16(rows.tile_sum[m], weights[n][m], PACKED_ONES, PACKED_ONES);
  }
}

// O += P V, and if WEIGHS the weights of the next tile among it.
template <bool WEIGHS>
FL4_DEV void multiply_shared_weights_values(SharedRows &rows, u32 weights, u32 values, const Scores &s,
                                            const WeightPlaces &at, int buffer, float scale)
{
  constexpr int STEPS = BN / 16 * COLUMNS16;
  u32 p[OUT_M16][4], v[2][4];
  Weights next;
#pragma unroll
  for (int m = 0; m < OUT_M16; m++) ldmatrix_x4(p[m], weights + m * 16 * WEIGHT_ROW_BYTES);
  ldmatrix_x4_trans(v[0], values);
#pragma unroll
  for (int n = 0; n < BN / 16; n++)
#pragma unroll
    for (int c = 0; c < COLUMNS16; c++) {
      const int step = n * COLUMNS16 + c;
      if (step + 1 < STEPS)
        ldmatrix_x4_trans(v[(step + 1) % 2], values + (step + 1) / COLUMNS16 * 16 * ROW_BYTES + (step + 1) % COLUMNS16 * 128);
#pragma unroll
      for (int m = 0; m < OUT_M16; m++) {
        mma_16x8x16(rows.o[m][2 * c], p[m], v[step % 2][0], v[step % 2][1]);
        mma_16x8x16(rows.o[m][2 * c + 1], p[m], v[step % 2][2], v[step % 2][3]);
        if (c + 1 == COLUMNS16 && n + 1 < BN / 16)
          ldmatrix_x4(p[m], WeightSwizzle::along(weights, n + 1) + m * 16 * WEIGHT_ROW_BYTES);
      }
      if (!WEIGHS) continue;
      weigh(next, rows.tile_exact, s, rows, scale, step * WEIGHT_PAIRS / STEPS, (step + 1) * WEIGHT_PAIRS / STEPS);
      if (n % 2 == 1 && c + 1 == COLUMNS16) leave_weights(rows, next, at, buffer, n / 2);
    }
}

// S = Q Kᵀ of the warp's rows and keys, fragments read one step ahead.
FL4_DEV void multiply_query_keys_ahead(Scores &s, const Query &q, u32 keys)
{
  u32 k[2][S16][4], rows[2][M16][4];
  read_keys(k[0], keys, 0);
  read_query(rows[0], q, 0);
#pragma unroll
  for (int d = 0; d < D16; d++) {
    if (d + 1 < D16) read_keys(k[(d + 1) % 2], keys, d + 1), read_query(rows[(d + 1) % 2], q, d + 1);
#pragma unroll
    for (int n = 0; n < S16; n++)
#pragma unroll
      for (int m = 0; m < M16; m++)
#pragma unroll
        for (int e = 0; e < 2; e++) {
          if (d == 0)
            mma_16x8x16_first(s[m][2 * n + e], rows[d % 2][m], k[d % 2][n][2 * e], k[d % 2][n][2 * e + 1]);
          else
            mma_16x8x16(s[m][2 * n + e], rows[d % 2][m], k[d % 2][n][2 * e], k[d % 2][n][2 * e + 1]);
        }
  }
}

// Under a causal mask, does any of the `rows` rows from `row0` on see a key from `key0` on?
FL4_DEV bool any_seen(const Work &w, int row0, int rows, int key0) { return !CAUSAL || key0 < row0 + rows + w.shift; }

// The scores of a tile. `masked`: not all rows may see all of it.
FL4_DEV void score_shared_tile(Scores &s, const Query &q, u32 keys, const fl4_fwd_params &p, const Work &w, int tile, bool masked)
{
  const int row0 = first_row(w), key0 = first_key(w, tile);
  if (!any_seen(w, row0, WARP_ROWS, key0)) {
#pragma unroll
    for (int m = 0; m < M16; m++)
#pragma unroll
      for (int n = 0; n < S8; n++)
#pragma unroll
        for (int e = 0; e < 4; e++) s[m][n][e] = MINUS_INFINITY;
    return;
  }
  multiply_query_keys_ahead(s, q, keys);
  transform_scores(s, p, w, row0, key0, MAY_HIDE(w, tile));
  if (masked) mask_scores(s, p, w, row0, key0);
}

// Has the warp a row without a reference, or whose reference is too low?
FL4_DEV bool must_move(const SharedRows &rows)
{
  bool none = false;
  if (BIAS) {
#pragma unroll
    for (int m = 0; m < M16; m++) none |= rows.reference[m][0] == MINUS_INFINITY || rows.reference[m][1] == MINUS_INFINITY;
  }
  return none || (rows.largest & 0xffff) > WEIGHT_LIMIT_BITS || rows.largest > (WEIGHT_LIMIT_BITS << 16 | 0xffff);
}

// Moves all references of the block to the maxima with the tile whose scores these are, and takes its weights again.
FL4_DEV void move_references(SharedRows &rows, const Scores &s, u32 smem, const WeightPlaces &at, int buffer, float scale,
                             const fl4_fwd_params &p)
{
  const u32 row = smem + (row_warp() * WARP_ROWS + lane() / 4) * 4;
  float largest[M16][2];
#pragma unroll
  for (int m = 0; m < M16; m++)
#pragma unroll
    for (int half = 0; half < 2; half++) {
      float x = max_f32(s[m][0][2 * half], s[m][0][2 * half + 1]);
#pragma unroll
      for (int n = 1; n < S8; n++) x = max_f32(x, max_f32(s[m][n][2 * half], s[m][n][2 * half + 1]));
      largest[m][half] = row_max(x);
      if (lane() % 4 == 0)
        store_shared_32(row + MAXIMA_OFFSET + key_group() * BM * 4 + (m * 16 + half * 8) * 4, bits_from_float(largest[m][half]));
    }
  block_barrier();
#pragma unroll
  for (int m = 0; m < M16; m++)
#pragma unroll
    for (int half = 0; half < 2; half++) {
      const float other =
          float_from_bits(load_shared_32(row + MAXIMA_OFFSET + (1 - key_group()) * BM * 4 + (m * 16 + half * 8) * 4));
      const float before = rows.reference[m][half], now = max_f32(before, max_f32(largest[m][half], other) * scale);
      invariant(p, !(now < before), FL4_INVARIANT_MAX_GROWS, now, before);
      const float factor = exp2_approx(before - finite_reference(now));
      rows.reference[m][half] = finite_reference(now);
      rows.sum[m][half] *= factor;
      if (EXACT_SUM) rows.exact[m][half] *= factor;
      if (key_group() == 0 && lane() % 4 == 0)
        store_shared_32(row + FACTORS_OFFSET + (m * 16 + half * 8) * 4, bits_from_float(factor));
      largest[m][half] = now;
    }
  Weights weights;
  weigh(weights, rows.tile_exact, s, rows, scale, 0, WEIGHT_PAIRS);
#pragma unroll
  for (int n = 0; n < S16; n++) leave_weights(rows, weights, at, buffer, n);
#pragma unroll
  for (int m = 0; m < M16; m++) rows.reference[m][0] = largest[m][0], rows.reference[m][1] = largest[m][1];
  block_barrier();
#pragma unroll
  for (int m = 0; m < OUT_M16; m++)
#pragma unroll
    for (int half = 0; half < 2; half++) {
      const float factor = float_from_bits(
          load_shared_32(smem + FACTORS_OFFSET + (team() * TEAM_ROWS + m * 16 + half * 8 + lane() / 4) * 4));
#pragma unroll
      for (int n = 0; n < 2 * COLUMNS16; n++)
#pragma unroll
        for (int e = 0; e < 2; e++) rows.o[m][n][2 * half + e] *= factor;
    }
}

FL4_DEV void count_tile(SharedRows &rows)
{
#pragma unroll
  for (int m = 0; m < M16; m++)
#pragma unroll
    for (int half = 0; half < 2; half++) {
      rows.sum[m][half] += rows.tile_sum[m][2 * half];
      if (EXACT_SUM) rows.exact[m][half] += rows.tile_exact[m][half];
    }
}

// From the first tile to the last.
FL4_DEV void walk_shared(SharedRows &rows, u32 smem, const fl4_fwd_params &p, const Work &w)
{
  const Ring ring = ring_of(p, w, smem);
  begin_walk(ring, p, w);
  Query q;
  q.base = smem + Q_OFFSET + row_warp() * WARP_ROWS * ROW_BYTES + lane_offset_q();
  const u32 keys = smem + key_group() * GROUP_KEYS * ROW_BYTES + lane_offset_k();
  const u32 values = (smem + lane_offset_v()) ^ (team_warp() * 32); // every fourth block: in the swizzle's lowest bits
  const WeightPlaces at = weight_places(smem);
  const float scale = score_scale(p);
  Scores s;
  cp_async_wait<STAGES - 1>();
  block_barrier();
  score_shared_tile(s, q, k_slot(keys, 0), p, w, w.first, true);
  bool move = true;
  Slots slots = {1, 0, 0};
  int buffer = 0;
#pragma unroll 1
  for (int tile = w.first;; tile++) {
    cp_async_wait<STAGES - 2>();
    move = block_any(move);
    load_for<false, false>(ring, p, tile + STAGES - 1, slot_before(slots.k, K_SLOTS), slot_before(slots.v, V_SLOTS));
    if (move) move_references(rows, s, smem, at, buffer, scale, p);
    count_tile(rows);
    const u32 weights = at.read + buffer * WEIGHT_TILE_BYTES, v = v_slot(values, slots.v);
    const int next = tile + 1;
    buffer ^= 1;
    if (next < w.end) {
      move = next < w.exact || (WINDOW && next >= w.tail);
      score_shared_tile(s, q, k_slot(keys, slots.k), p, w, next, move);
    }
    if (next == w.end || move) { // those weights are taken when the references have moved
      if (any_seen(w, w.row0 + team() * TEAM_ROWS, TEAM_ROWS, FIRST_KEY(w, tile)))
        multiply_shared_weights_values<false>(rows, weights, v, s, at, 0, scale);
      if (next == w.end) break;
    } else {
      multiply_shared_weights_values<true>(rows, weights, v, s, at, buffer, scale);
      move = must_move(rows);
    }
    slots.k = slot_after(slots.k, K_SLOTS), slots.v = slot_after(slots.v, V_SLOTS);
  }
}

// Both halves' sums put together, then O and the log-sum-exp.
FL4_DEV void finish_shared(SharedRows &rows, u32 smem, const fl4_fwd_params &p)
{
  const Work w = work_of_block(p);
  const u32 row = smem + (row_warp() * WARP_ROWS + lane() / 4) * 4;
  char *head = reinterpret_cast<char *>(p.lse) + query_offset(p, w, p.lse_stride, 0) * 4;
#pragma unroll
  for (int m = 0; m < M16; m++)
#pragma unroll
    for (int half = 0; half < 2; half++) {
      const int place = (m * 16 + half * 8) * 4;
      const float exact = EXACT_SUM ? row_sum(rows.exact[m][half]) : 0.f;
      if (key_group() == 0 || lane() % 4 != 0) continue;
      store_shared_32(row + MAXIMA_OFFSET + place, bits_from_float(rows.sum[m][half]));
      if (EXACT_SUM) store_shared_32(row + MAXIMA_OFFSET + BM * 4 + place, bits_from_float(exact));
    }
  block_barrier();
#pragma unroll
  for (int m = 0; m < M16; m++)
#pragma unroll
    for (int half = 0; half < 2; half++) {
      const int place = (m * 16 + half * 8) * 4;
      float exact = EXACT_SUM ? row_sum(rows.exact[m][half]) : 0.f;
      if (key_group() != 0) continue;
      const float sum = rows.sum[m][half] + float_from_bits(load_shared_32(row + MAXIMA_OFFSET + place));
      if (EXACT_SUM) exact += float_from_bits(load_shared_32(row + MAXIMA_OFFSET + BM * 4 + place));
      const Ending end = with_sink(p, w.h, rows.reference[m][half], sum);
      const float inverse = SINKS ? end.factor * inverse_sum(end.sum) : inverse_sum(end.sum);
      if (lane() % 4 == 0) store_shared_32(row + FACTORS_OFFSET + place, bits_from_float(inverse));
      if (LSE && p.lse)
        store_lse_of_row(p, w, head, first_row(w) + m * 16 + half * 8 + lane() / 4, rows.reference[m][half],
                         EXACT_SUM ? exact : sum);
    }
  block_barrier();
  const u32 tile = smem + Q_OFFSET + team() * TEAM_ROWS * ROW_BYTES;
#pragma unroll
  for (int m = 0; m < OUT_M16; m++)
#pragma unroll
    for (int half = 0; half < 2; half++) {
      const int of_team = m * 16 + half * 8 + lane() / 4;
      const float inverse = float_from_bits(load_shared_32(smem + FACTORS_OFFSET + (team() * TEAM_ROWS + of_team) * 4));
#pragma unroll
      for (int n = 0; n < 2 * COLUMNS16; n++) {
        const float a = rows.o[m][n][2 * half] * inverse, b = rows.o[m][n][2 * half + 1] * inverse;
        invariant(p, is_finite(a) && is_finite(b), FL4_INVARIANT_FINITE, a, b);
        const int chunk = (n / 2 * TEAM_WARPS + team_warp()) * 2 + n % 2;
        store_shared_32(tile + chunk_offset(of_team, chunk) + lane() % 4 * 4, pack_2(a, b));
      }
    }
  block_barrier();
  const int first = team_warp() * 16;
  store_gathered<16>(tile + first * ROW_BYTES, p, w, w.row0 + team() * TEAM_ROWS + first);
}

FL4_DEV void share_rows(const fl4_fwd_params &p, const Work &w, u32 smem)
{
  SharedRows rows;
  clear(rows);
  if (w.first < w.end) walk_shared(rows, smem, p, w);
  finish_shared(rows, smem, p);
}

#endif

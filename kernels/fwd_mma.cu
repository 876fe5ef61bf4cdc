// SPDX-License-Identifier: Apache-2.0
//
// Attention forward for sm_80 and newer: cp.async, ldmatrix, mma.sync.
//
// A block computes BM query rows of one head; its warps share the rows. Key and value tiles pass
// through a ring of STAGES stages in shared memory, from right to left: so only the very first can be
// partial, and only its loads are guarded. Weights go from one matrix product to the next
// in registers: the result layout of the first is the operand layout of the second.
// (FlashAttention-2, Dao, arXiv 2307.08691.)
#include "fl4_abi.h"
#include "fl4_config.cuh"
#include "fl4_ptx.cuh"

#include "fl4_debug.cuh"
#include "fl4_smem.cuh"
#include "fl4_schedule.cuh"
#include "fl4_mask.cuh"
#include "fl4_softmax.cuh"
#include "fl4_epilogue.cuh"

// Q of the warp's rows, as the A operand; with Q in shared memory it is read anew for each tile.
struct Query {
  u32 fragment[Q_IN_REGISTERS ? D16 : 1][M16][4];
  u32 base; // the lane's address in the Q tile
};

FL4_DEV void read_query(u32 (&fragment)[M16][4], const Query &q, int d)
{
#pragma unroll
  for (int m = 0; m < M16; m++) ldmatrix_x4(fragment[m], along_row(q.base, d) + m * 16 * ROW_BYTES);
}

// S = Q Kᵀ: the warp's rows against the keys of a tile. `keys`: the lane's address in the K tile.
FL4_DEV void multiply_query_keys(float (&s)[M16][N8][4], const Query &q, u32 keys)
{
#pragma unroll
  for (int d = 0; d < D16; d++) {
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
    for (int n = 0; n < N16; n++) {
      u32 k[4];
      ldmatrix_x4(k, along_row(keys, d) + n * 16 * ROW_BYTES);
#pragma unroll
      for (int m = 0; m < M16; m++) {
        if (d == 0) {
          mma_16x8x16_first(s[m][2 * n], rows[m], k[0], k[1]);
          mma_16x8x16_first(s[m][2 * n + 1], rows[m], k[2], k[3]);
        } else {
          mma_16x8x16(s[m][2 * n], rows[m], k[0], k[1]);
          mma_16x8x16(s[m][2 * n + 1], rows[m], k[2], k[3]);
        }
      }
    }
  }
}

// O += P V. `values`: the lane's address in the V tile.
FL4_DEV void multiply_weights_values(float (&o)[M16][D8][4], const u32 (&weights)[N16][M16][4], u32 values)
{
#pragma unroll
  for (int n = 0; n < N16; n++)
#pragma unroll
    for (int d = 0; d < D16; d++) {
      u32 v[4];
      ldmatrix_x4_trans(v, along_row(values, d) + n * 16 * ROW_BYTES);
#pragma unroll
      for (int m = 0; m < M16; m++) {
        mma_16x8x16(o[m][2 * d], weights[n][m], v[0], v[1]);
        mma_16x8x16(o[m][2 * d + 1], weights[n][m], v[2], v[3]);
      }
    }
}

// The ring of key/value tiles. Tiles are numbered as they are walked: tile 0 is the rightmost.
struct Ring {
  const char *k, *v; // row 0 of the head
  i64 k_row, v_row;  // bytes between rows
  u32 smem;          // stage 0
  int tiles;
};

template <bool GUARD> FL4_DEV void load_stage(const Ring &r, const fl4_fwd_params &p, int tile, int stage)
{
  const int key0 = (r.tiles - 1 - tile) * BN;
  invariant(p, key0 >= 0 && key0 < p.Sk, FL4_INVARIANT_IN_RANGE, key0, p.Sk);
  const u32 at = r.smem + stage * STAGE_BYTES;
  load_tile<BN, GUARD>(p, at, r.k + key0 * r.k_row, r.k_row, p.Sk - key0);
  load_tile<BN, GUARD>(p, at + TILE_BYTES, r.v + key0 * r.v_row, r.v_row, p.Sk - key0);
}

// Waits for a tile, refills the stage that the tile before it has left, and takes the tile in.
// One group is committed a tile, also when nothing is copied, so that the count of pending groups
// means the same on the last tiles as on the first.
FL4_DEV void take_tile(Softmax &state, float (&o)[M16][D8][4], const Query &q, const Ring &r, const fl4_fwd_params &p,
                       const Work &w, int tile, int stage)
{
  cp_async_wait<STAGES - 2>();
  block_barrier(); // the tile is there for all; all have done with the tile before it
  const int ahead = tile + STAGES - 1;
  if (ahead < r.tiles) load_stage<false>(r, p, ahead, stage == 0 ? STAGES - 1 : stage - 1);
  cp_async_commit();

  float s[M16][N8][4];
  u32 weights[N16][M16][4];
  const u32 at = r.smem + stage * STAGE_BYTES;
  multiply_query_keys(s, q, at + lane_offset_k());
  if (tile < w.tiles - w.open_tiles) mask_scores(s, p, w.row0 + warp() * WARP_ROWS, (r.tiles - 1 - tile) * BN, w.shift);
  softmax_step(state, s, weights, o, p);
  multiply_weights_values(o, weights, at + TILE_BYTES + lane_offset_v());
}

// O and the log-sum-exp of the warp's rows. Where they go is worked out anew: the loop over the tiles
// has no registers to spare for it.
FL4_DEV void finish(const Softmax &state, const float (&o)[M16][D8][4], u32 tile, const fl4_fwd_params &p)
{
  float sum[M16][2];
#pragma unroll
  for (int m = 0; m < M16; m++)
#pragma unroll
    for (int half = 0; half < 2; half++) sum[m][half] = row_sum(state.sum[m][half]);
  const Work w = work_of_block(p);
  const int row0 = w.row0 + warp() * WARP_ROWS;
  store_lse(state, sum, p, w, row0);
  store_output(o, sum, tile, p, w, row0);
}

FL4_KERNEL(fl4_fwd_mma, THREADS, CTAS)(FL4_PARAM fl4_fwd_params p)
{
  const Work w = work_of_block(p);
  const u32 smem = smem_base();
  const u32 q_tile = smem + Q_OFFSET + warp() * WARP_ROWS * ROW_BYTES; // the warp's own rows

  float o[M16][D8][4];
#pragma unroll
  for (int m = 0; m < M16; m++)
#pragma unroll
    for (int n = 0; n < D8; n++)
#pragma unroll
      for (int e = 0; e < 4; e++) o[m][n][e] = 0.f;
  Softmax state;
  softmax_init(state);

  if (w.tiles > 0) {
    const Ring ring = {
        reinterpret_cast<const char *>(p.k) + (w.b * p.k_stride[0] + w.h_kv * p.k_stride[1]) * 2,
        reinterpret_cast<const char *>(p.v) + (w.b * p.v_stride[0] + w.h_kv * p.v_stride[1]) * 2,
        p.k_stride[2] * 2,
        p.v_stride[2] * 2,
        smem,
        w.tiles,
    };
    const char *rows = reinterpret_cast<const char *>(p.q) +
                       (w.b * p.q_stride[0] + w.h * p.q_stride[1] + w.row0 * p.q_stride[2]) * 2;

    // Group 0: Q and the first tile, then a group for each further stage but one.
    load_tile<BM, true>(p, smem + Q_OFFSET, rows, p.q_stride[2] * 2, p.Sq - w.row0);
    load_stage<true>(ring, p, 0, 0);
    cp_async_commit();
#pragma unroll
    for (int tile = 1; tile < STAGES - 1; tile++) {
      if (tile < w.tiles) load_stage<false>(ring, p, tile, tile);
      cp_async_commit();
    }

    Query q;
    q.base = q_tile + lane_offset_q();
    if (Q_IN_REGISTERS) {
      cp_async_wait<STAGES - 2>();
      block_barrier();
#pragma unroll
      for (int d = 0; d < D16; d++) read_query(q.fragment[Q_IN_REGISTERS ? d : 0], q, d);
    }

#pragma unroll 1
    for (int tile = 0, stage = 0; tile < w.tiles; tile++, stage = stage + 1 == STAGES ? 0 : stage + 1)
      take_tile(state, o, q, ring, p, w, tile, stage);
    if (Q_IN_REGISTERS) block_barrier(); // O goes where the last stage was
  }
  finish(state, o, q_tile, p);
}

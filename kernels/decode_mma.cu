// SPDX-License-Identifier: Apache-2.0
//
// Attention forward where queries are few and keys are many, as when a model generates: for sm_80 and newer.
//
// Reading keys and values takes the time, so each is read once for all query heads that share it, in whole lines, with as
// many bytes under way as memory wants. A block has up to 32 rows: queries of all heads that share a key/value head. Each of
// its warps walks keys of its own; what they know in the end is put together, and what the blocks know that share a row.
#include "fl4_abi.h"
#include "decode_config.cuh"
#include "fl4_ptx.cuh"

#include "decode_schedule.cuh"
#include "decode_ring.cuh"
#include "decode_softmax.cuh"
#include "decode_merge.cuh"

// ---------------------------------------------------------------- Sᵀ = K Qᵀ

struct Query {
  u32 fragment[Q_IN_REGISTERS ? D16 : 1][R8][2];
  u32 base; // the lane's address
};

// 16 columns of the rows, as the right operand.
FL4_DEV void read_query(u32 (&fragment)[R8][2], const Query &q, int d)
{
#pragma unroll
  for (int n = 0; n < R8; n += 2) {
    u32 x[4];
    ldmatrix_x4(x, along_row(q.base, d) + n * 8 * ROW_BYTES);
#pragma unroll
    for (int i = 0; i < 2 && n + i < R8; i++) fragment[n + i][0] = x[2 * i], fragment[n + i][1] = x[2 * i + 1];
  }
}

// `keys`: the lane's address in the slot. Two sums, of which each waits for half as many products.
FL4_DEV void multiply_keys_query(Scores &s, const Query &q, u32 keys)
{
  Scores odd;
#pragma unroll
  for (int d = 0; d < D16; d++) {
    u32 b[R8][2];
    if (!Q_IN_REGISTERS) read_query(b, q, d);
#pragma unroll
    for (int n = 0; n < R8 && Q_IN_REGISTERS; n++)
      b[n][0] = q.fragment[Q_IN_REGISTERS ? d : 0][n][0], b[n][1] = q.fragment[Q_IN_REGISTERS ? d : 0][n][1];
#pragma unroll
    for (int k = 0; k < K16; k++) {
      u32 a[4];
      ldmatrix_x4(a, along_row(keys, d) + k * 16 * ROW_BYTES);
#pragma unroll
      for (int n = 0; n < R8; n++) {
        float(&to)[4] = d % 2 ? odd[k][n] : s[k][n];
        if (d < 2)
          mma_16x8x16_first(to, a, b[n][0], b[n][1]);
        else
          mma_16x8x16(to, a, b[n][0], b[n][1]);
      }
    }
  }
  if (D16 == 1) return;
#pragma unroll
  for (int k = 0; k < K16; k++)
#pragma unroll
    for (int n = 0; n < R8; n++)
#pragma unroll
      for (int e = 0; e < 4; e++) s[k][n][e] += odd[k][n][e];
}

// ---------------------------------------------------------------- Oᵀ += Vᵀ Pᵀ

FL4_DEV void multiply_values_weights(Rows &rows, const Weights &weights, u32 values)
{
#pragma unroll
  for (int k = 0; k < K16; k++)
#pragma unroll
    for (int d = 0; d < D16; d++) {
      u32 a[4];
      ldmatrix_x4_trans(a, along_row(values, d) + k * 16 * ROW_BYTES);
#pragma unroll
      for (int n = 0; n < R8; n++) mma_16x8x16(rows.o[d][n], a, weights[k][n][0], weights[k][n][1]);
    }
}

// ---------------------------------------------------------------- the walk

// The oldest copies under way have arrived, for all lanes: those of a step's keys, then of its values.
FL4_DEV void wait_for_copies()
{
  cp_async_wait<2 * STAGES - 1>();
  warp_barrier();
}

FL4_KERNEL(fl4_decode_mma, THREADS, 1)(FL4_PARAM fl4_fwd_params p)
{
  const Work w = work_of_block(p);
  if (w.split >= w.splits || (RAGGED_Q && w.s.queries == 0)) return;
  const u32 smem = smem_base();
  const float scale = score_scale(p);

  load_query(p, w, smem);
  Stream stream = stream_of(p, w, smem);
#pragma unroll 1
  for (int i = 0; i < STAGES; i++) {
    load_keys(p, w, stream);
    load_values(p, w, stream);
  }
  const Heights heights = heights_of(p, w);
  Rows rows;
  clear(rows);

  cp_async_wait<2 * STAGES>();
  block_barrier();
  Query q;
  q.base = smem + Q_OFFSET + lane_offset_q();
  if (Q_IN_REGISTERS) {
#pragma unroll
    for (int d = 0; d < D16; d++) read_query(q.fragment[Q_IN_REGISTERS ? d : 0], q, d);
  }

  const u32 k_lane = stream.ring + lane_offset_k(), v_lane = stream.ring + lane_offset_v();
  int slot = 0;
#pragma unroll 1
  for (int key = first_key(w); key < w.end; key += TILE) {
    Scores s;
    Weights weights;
    wait_for_copies();
    multiply_keys_query(s, q, k_slot(k_lane, slot));
    warp_barrier(); // all lanes have read the keys
    load_keys(p, w, stream);
    transform_scores(s, p, heights, key);
    mask_scores(s, p, w, key);
    if (rising(s, rows)) renew(rows, s, scale, p);
    weigh(weights, rows, s, scale);
    wait_for_copies();
    multiply_values_weights(rows, weights, v_slot(v_lane, slot));
    warp_barrier(); // and the values
    load_values(p, w, stream);
    slot = slot_after(slot);
  }
  merge_all(p, w, rows, scale, smem);
}

// SPDX-License-Identifier: Apache-2.0
//
// Blocks that share the keys of a row tile put their results together, through the workspace. Each warp leaves what it has of
// its rows and draws a ticket; the one that draws the last takes all parts, in their order, so that the result is the same to
// the bit, whoever is last. The tickets end as they began, at 0.
#ifndef WGMMA_MERGE_CUH
#define WGMMA_MERGE_CUH

#include "wgmma_softmax.cuh"

// Of a warp: 16 bytes of a lane lie beside the next lane's.
constexpr int PARTIAL_PIECES = 1 + D / 8, PARTIAL_BYTES = PARTIAL_PIECES * 32 * 16;

// Parts that are on their way together, as registers allow.
constexpr int AT_ONCE = GROUPS == 1 && D <= 128 ? 2 : 1;

FL4_DEV char *piece_of(char *partial, int piece) { return partial + (piece * 32 + lane()) * 16; }

// A lane keeps its own part of the sums: rows have the same reference in all of their lanes.
FL4_DEV void store_partial(char *to, const Rows &rows)
{
  const float state[4] = {rows.reference[0], rows.reference[1], rows.sum[0], rows.sum[1]};
  store_global_f32x4(piece_of(to, 0), state);
#pragma unroll
  for (int i = 0; i < D / 8; i++) {
    const float o[4] = {rows.o[4 * i], rows.o[4 * i + 1], rows.o[4 * i + 2], rows.o[4 * i + 3]};
    store_global_f32x4(piece_of(to, 1 + i), o);
  }
}

FL4_DEV void merge_partial(Rows &rows, char *from)
{
  float state[4], kept[2], factor[2];
  load_global_f32x4_shared(state, piece_of(from, 0));
#pragma unroll
  for (int half = 0; half < 2; half++) {
    const float now = max_f32(rows.reference[half], state[half]), reference = finite_reference(now);
    kept[half] = exp2_approx(rows.reference[half] - reference), factor[half] = exp2_approx(state[half] - reference);
    rows.reference[half] = now;
    rows.sum[half] = rows.sum[half] * kept[half] + state[2 + half] * factor[half];
  }
#pragma unroll
  for (int i = 0; i < D / 8; i++) {
    float o[4];
    load_global_f32x4_shared(o, piece_of(from, 1 + i));
#pragma unroll
    for (int e = 0; e < 4; e++) rows.o[4 * i + e] = rows.o[4 * i + e] * kept[e / 2] + o[e] * factor[e / 2];
  }
}

// Afterwards the last warp of its rows has everything, the others nothing.
FL4_DEV bool merge_splits(Rows &rows, const fl4_fwd_params &p)
{
  if (SPLITS == 1) return true;
  const i64 row_warp = (i64)(block_index() / SPLITS) * (4 * GROUPS) + thread_index() / 32;
  char *const workspace = reinterpret_cast<char *>(p.workspace);
  char *const parts = workspace + FL4_TICKET_BYTES + row_warp * (SPLITS * PARTIAL_BYTES);
  // Fences and barriers as in fl4_merge.cuh.
  store_partial(parts + block_index() % SPLITS * PARTIAL_BYTES, rows);
  warp_barrier();
  bool last = false;
  if (lane() == 0) {
    gpu_fence();
    last = atomic_wrapping_increment(workspace + row_warp * 4, SPLITS - 1) == SPLITS - 1;
    if (last) gpu_fence();
  }
  if (!warp_any(last)) return false;
  warp_barrier();
  clear(rows);
#pragma unroll AT_ONCE
  for (int split = 0; split < SPLITS; split++) merge_partial(rows, parts + split * PARTIAL_BYTES);
  return true;
}

#endif

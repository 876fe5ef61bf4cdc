// SPDX-License-Identifier: Apache-2.0
//
// Warps that have seen different keys of the same rows put their results together: the key groups of a
// block through shared memory, the blocks that share a row tile through the workspace.
//
// Two partial results of a row, each with its reference, are brought to the larger reference and added.
// Always in the same order, so that the result is the same to the bit, whoever is last.
#ifndef FL4_MERGE_CUH
#define FL4_MERGE_CUH

#include "fl4_softmax.cuh"

// Where partial results lie: shared memory, or global memory that other blocks read and write too.
struct SharedPieces {
  u32 base;
  FL4_MEMBER void store(int piece, const float (&x)[4]) const { store_shared_f32x4(base + (piece * 32 + lane()) * 16, x); }
  FL4_MEMBER void load(int piece, float (&x)[4]) const { load_shared_f32x4(x, base + (piece * 32 + lane()) * 16); }
};
struct GlobalPieces {
  char *base;
  FL4_MEMBER void store(int piece, const float (&x)[4]) const { store_global_f32x4(base + (piece * 32 + lane()) * 16, x); }
  FL4_MEMBER void load(int piece, float (&x)[4]) const { load_global_f32x4_shared(x, base + (piece * 32 + lane()) * 16); }
};

template <class Pieces> FL4_DEV void store_partial(const Pieces &to, const Rows &rows)
{
#pragma unroll
  for (int m = 0; m < M16; m++) {
    const int first = m * (D8 + 1 + EXACT_SUM);
    const float state[4] = {rows.reference[m][0], rows.reference[m][1], rows.sum[m][0], rows.sum[m][2]};
    to.store(first, state);
    if (EXACT_SUM) {
      const float exact[4] = {rows.exact[m][0], rows.exact[m][1], 0.f, 0.f};
      to.store(first + 1, exact);
    }
#pragma unroll
    for (int n = 0; n < D8; n++) to.store(first + 1 + EXACT_SUM + n, rows.o[m][n]);
  }
}

template <class Pieces> FL4_DEV void merge_partial(Rows &rows, const Pieces &from)
{
#pragma unroll
  for (int m = 0; m < M16; m++) {
    const int first = m * (D8 + 1 + EXACT_SUM);
    float state[4], exact[4], factor[2];
    from.load(first, state);
    if (EXACT_SUM) from.load(first + 1, exact);
#pragma unroll
    for (int half = 0; half < 2; half++) {
      const float now = max_f32(rows.reference[m][half], state[half]), reference = finite_reference(now);
      rescale(rows, m, half, exp2_approx(rows.reference[m][half] - reference));
      factor[half] = exp2_approx(state[half] - reference);
      rows.reference[m][half] = now;
      if (EXACT_SUM) rows.exact[m][half] += exact[half] * factor[half];
    }
#pragma unroll
    for (int e = 0; e < 4; e++) rows.sum[m][e] += state[2 + e / 2] * factor[e / 2];
#pragma unroll
    for (int n = 0; n < D8; n++) {
      float x[4];
      from.load(first + 1 + EXACT_SUM + n, x);
#pragma unroll
      for (int e = 0; e < 4; e++) rows.o[m][n][e] += x[e] * factor[e / 2];
    }
  }
}

// The key groups of the block: afterwards the warps of the first group have everything.
FL4_DEV void merge_groups(Rows &rows, u32 smem)
{
  if (KGROUPS == 1) return;
  block_barrier();  // all have done with the tiles
  if (key_group() > 0) store_partial(SharedPieces{smem + (warp() - ROW_WARPS) * PARTIAL_BYTES}, rows);
  block_barrier();
  if (key_group() > 0) return;
#pragma unroll 1
  for (int group = 1; group < KGROUPS; group++)
    merge_partial(rows, SharedPieces{smem + ((group - 1) * ROW_WARPS + warp()) * PARTIAL_BYTES});
}

// The blocks of a row tile: each warp leaves its part in the workspace and draws a ticket; the one that draws the
// last ticket has everything afterwards, the others nothing. The tickets end as they began, at 0.
FL4_DEV bool merge_splits(Rows &rows, const fl4_fwd_params &p)
{
  if (SPLITS == 1) return true;
  const i64 row_warp = (i64)(block_index() / SPLITS) * ROW_WARPS + warp();
  char *const workspace = reinterpret_cast<char *>(p.workspace);
  char *const parts = workspace + FL4_TICKET_BYTES + row_warp * (SPLITS * PARTIAL_BYTES);
  // In the words of the PTX memory model: one lane draws the ticket, so only its fences make a release and an acquire of
  // the atomic, and they pass on what that lane knows of. Hence a warp barrier on the far side of each: the other lanes'
  // stores come before the release, and the acquire before their loads. The vote orders nothing.
  store_partial(GlobalPieces{parts + block_index() % SPLITS * PARTIAL_BYTES}, rows);
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
#pragma unroll 1
  for (int split = 0; split < SPLITS; split++) merge_partial(rows, GlobalPieces{parts + split * PARTIAL_BYTES});
  return true;
}

#endif

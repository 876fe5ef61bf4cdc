// SPDX-License-Identifier: Apache-2.0
//
// Scores beyond their scale: softcap, ALiBi, bias.
//
// The producer copies the biases of a group's rows and a key tile to shared memory, while the tile before is worked on, if
// the copy engine can find them; else lanes read them one by one.
#ifndef WGMMA_SCORES_CUH
#define WGMMA_SCORES_CUH

#include "fl4_scores.cuh"
#include "wgmma_schedule.cuh"

typedef float Scores[BN / 2];  // [4i + 2·half + e]: key 8i + 2·(lane%4) + e, row 8·half + lane/4 of the warp

// ---------------------------------------------------------------- by the producer

// Where a dimension of the bias is broadcast its tensor has one of it.
FL4_DEV void load_biases(const fl4_fwd_tma_params &p, const Pipeline &pipe, Place &at, const RowTile &t, int key0)
{
  if (!BIAS || !p.bias_rows) return;
  const int b = p.fwd.bias_stride[0] ? t.b : 0, h = p.fwd.bias_stride[1] ? t.h : 0;
#pragma unroll 1
  for (int group = 0; group < GROUPS; group++) {
    const int slot = at.slot * GROUPS + group;
    if (!wait_for(p.fwd, pipe.bias_empty, slot, at.phase + 1)) return;
    mbarrier_arrive_expect(pipe.bias_full + 8 * slot, BIAS_PAGES * 128 * p.bias_rows);
    for (int page = 0; page < BIAS_PAGES; page++)
      tma_load(pipe.bias + slot * BIAS_TILE + page * BIAS_PAGE, &p.bias, pipe.bias_full + 8 * slot,
               key0 * BIAS_BYTES / 2 + page * 64, p.bias_rows == 1 ? 0 : t.row0 + group * GROUP_ROWS, h, b);
  }
  advance<BIAS_SLOTS>(at);
}

// ---------------------------------------------------------------- by the groups that compute

// Biases of sixteen keys: [eight][half][e].
typedef float SixteenBiases[2][2][2];

// Where a lane finds its biases of the first eight keys in a tile: those of its rows, or with ldmatrix the row that it names. Chunk
// c of row r lies at c ^ (r % 8), so those of the keys that follow are an XOR away.
FL4_DEV u32 bias_place(const fl4_fwd_tma_params &p, u32 tile)
{
  const int warp_row = thread_index() % 128 / 32 * 16, lane = lane_index();  // asked for anew: addresses would be dear to keep
  int row = warp_row + lane / 4, byte = lane % 4 * 2 * BIAS_BYTES;
  if (BIAS == 1 || BIAS == 2) row = warp_row + lane % 16, byte = lane / 16 * 16;
  if (p.bias_rows == 1) row = 0;
  return tile + row * 128 + (byte ^ row % 8 * 16);
}
FL4_DEV u32 along_bias_row(u32 place, int eight)
{
  const int byte = eight * 8 * BIAS_BYTES;
  return (place ^ (byte % 128 / 16 * 16)) + byte % 16 + byte / 128 * BIAS_PAGE;
}

// From a tile in shared memory. Those of 16 bits lie in registers as ldmatrix leaves them just as scores do. `below`: from a row to
// the one eight further.
FL4_DEV void copied_biases(SixteenBiases &x, u32 place, int below, int first_eight)
{
  if (BIAS == 1 || BIAS == 2) {
    u32 two[4];
    ldmatrix_x4(two, along_bias_row(place, first_eight));
#pragma unroll
    for (int i = 0; i < 8; i++) {
      const u32 word = two[i / 2];
      x[i / 4][i / 2 % 2][i % 2] = bias_value(i % 2 ? word >> 16 : word & 0xffff);
    }
  }
#pragma unroll
  for (int i = 0; i < (BIAS >= 3 ? 4 : 0); i++) {
    const u32 from = along_bias_row(place, first_eight + i / 2) + i % 2 * below;
    if (BIAS == 3) {
      u32 two[2];
      load_shared_64(two, from);
      x[i / 2][i % 2][0] = bias_value(two[0]), x[i / 2][i % 2][1] = bias_value(two[1]);
    } else {
      const u32 two = load_shared_16(from);
      x[i / 2][i % 2][0] = bias_value(two & 0xff), x[i / 2][i % 2][1] = bias_value(two >> 8);
    }
  }
}

// From the caller's memory. `r`: of the lane's two rows, `key`: its first key.
FL4_DEV void single_biases(SixteenBiases &x, const fl4_fwd_params &p, const RowScores (&r)[2], int key)
{
#pragma unroll
  for (int i = 0; i < 8; i++) x[i / 4][i / 2 % 2][i % 2] = bias_of(p, r[i / 2 % 2], key + i / 4 * 8 + i % 2);
}

// `row`: the lane's first row. FROM: where biases are read, if the scores of this tile have any. `tile`: where those lie that have
// been copied.
enum { NOWHERE, SHARED, GLOBAL };
template <int FROM>
FL4_DEV void score_tile(Scores &s, const fl4_fwd_tma_params &p, const RowTile &t, float slope, int row, int key0, u32 tile)
{
  const int first = key0 + 2 * (lane() % 4);
  RowScores r[2];
#pragma unroll
  for (int half = 0; half < 2; half++)
    r[half] = row_scores(p.fwd, slope, t.b, t.h, row + 8 * half, diagonal(p.fwd, t, row + 8 * half), first);
  const u32 place = BIAS && FROM == SHARED ? bias_place(p, tile) : 0;
  const int below = p.bias_rows == 1 ? 0 : 8 * 128;
#pragma unroll
  for (int i = 0; i < BN / 8; i += 2) {
    SixteenBiases bias;
    if (BIAS && FROM == SHARED) copied_biases(bias, place, below, i);
    if (BIAS && FROM == GLOBAL) single_biases(bias, p.fwd, r, first + 8 * i);
#pragma unroll
    for (int n = 0; n < 8; n++) {
      const int eight = n / 4, half = n / 2 % 2, e = n % 2;
      float &x = s[4 * (i + eight) + 2 * half + e];
      x = scored(p.fwd, r[half], x, 8 * (i + eight) + e);
      if (BIAS && FROM != NOWHERE) x += bias[eight][half][e];
    }
  }
}

// `biases`: false where a mask hides nothing.
FL4_DEV void score(Scores &s, const fl4_fwd_tma_params &p, const Pipeline &pipe, Place &at, const RowTile &t, float slope,
                   int row, int key0, bool biases)
{
  if (!SCORED) return;
  if (!BIAS || !biases) return score_tile<NOWHERE>(s, p, t, slope, row, key0, 0);
  if (!p.bias_rows) return score_tile<GLOBAL>(s, p, t, slope, row, key0, 0);
  const int slot = at.slot * GROUPS + warpgroup_index();
  wait_for(p.fwd, pipe.bias_full, slot, at.phase);
  score_tile<SHARED>(s, p, t, slope, row, key0, pipe.bias + slot * BIAS_TILE);
  // That loads are issued is not enough: where matrix products keep shared memory busy, one was overtaken by the release, the next
  // copy and its data. Only a proxy fence puts the copy engine behind loads.
  async_fence();
  warp_barrier();
  release(pipe.bias_empty, slot);
  advance<BIAS_SLOTS>(at);
}

#endif

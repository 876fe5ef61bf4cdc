// SPDX-License-Identifier: Apache-2.0
//
// Online softmax over the steps of a warp (Milakov & Gimelshein, arXiv 1805.02867), by true maxima.
//
// A row's reference is the largest score that the warp has met of it: no weight is above 1. Most steps move none, and it
// takes one vote to see that; then nothing is exchanged between lanes and nothing rescaled.
//
// Products are taken with their operands swapped, Sᵀ = K Qᵀ and Oᵀ = Vᵀ Pᵀ: so query rows are the 8 columns of a product and
// not its 16 rows, of which few rows would waste more. A lane has the scores of keys lane/4 and lane/4 + 8 of rows 2·(lane%4)
// and the next one; eight lanes share a row.
#ifndef DECODE_SOFTMAX_CUH
#define DECODE_SOFTMAX_CUH

#include "decode_schedule.cuh"
#include "fl4_debug.cuh"
#include "fl4_scores.cuh"

typedef float Scores[K16][R8][4];  // of a step: [2·half + e] is key 8·half + lane/4, row 2·(lane%4) + e of the block of 8
typedef u32 Weights[K16][R8][2];   // rounded and transposed, as the second product takes them

// A lane's part of the state of the block's rows.
struct Rows {
  float o[D16][R8][4];    // output so far: [2·half + e] is column 8·half + lane/4
  float sum[R8][2];       // of the lane's weights before they are rounded
  float largest[R8][2];   // score, without its scale; -inf before the first key
};

// What scores beyond the scale need of the lane's rows.
struct Heights {
  float slope[R8][2];
  int diagonal[R8][2];
};

FL4_DEV int lane_row(int n, int e) { return n * 8 + lane() % 4 * 2 + e; }

FL4_DEV void clear(Rows &rows)
{
#pragma unroll
  for (int n = 0; n < R8; n++) {
#pragma unroll
    for (int d = 0; d < D16; d++)
#pragma unroll
      for (int e = 0; e < 4; e++) rows.o[d][n][e] = 0.f;
#pragma unroll
    for (int e = 0; e < 2; e++) rows.sum[n][e] = 0.f, rows.largest[n][e] = MINUS_INFINITY;
  }
}

FL4_DEV Heights heights_of(const fl4_fwd_params &p, const Work &w)
{
  Heights h = {};
  if (!ALIBI) return h;
#pragma unroll
  for (int n = 0; n < R8; n++)
#pragma unroll
    for (int e = 0; e < 2; e++) {
      const Place at = place_of(p, w, lane_row(n, e));
      h.slope[n][e] = alibi_slope(p, w.b, at.h);
      h.diagonal[n][e] = at.i + keys(p, w) - queries(p, w);
    }
  return h;
}

// `key0`: the step's first key.
FL4_DEV void transform_scores(Scores &s, const fl4_fwd_params &p, const Heights &h, int key0)
{
  if (!SCORED) return;
#pragma unroll
  for (int n = 0; n < R8; n++)
#pragma unroll
    for (int e = 0; e < 2; e++) {
      const RowScores r = row_scores(p, h.slope[n][e], 0, 0, 0, h.diagonal[n][e], key0 + lane() / 4);
#pragma unroll
      for (int k = 0; k < 2 * K16; k++) s[k / 2][n][k % 2 * 2 + e] = scored(p, r, s[k / 2][n][k % 2 * 2 + e], k * 8);
    }
}

// Scores of keys that a row does not see become -inf.
FL4_DEV void mask_scores(Scores &s, const fl4_fwd_params &p, const Work &w, int key0)
{
  if (key0 >= w.all_begin && key0 + KEYS <= min_i32(w.all_end, w.end)) return;
#pragma unroll
  for (int n = 0; n < R8; n++)
#pragma unroll
    for (int e = 0; e < 2; e++) {
      int begin = w.begin, end = w.end;
      if (CAUSAL || WINDOW) {
        const Place at = place_of(p, w, lane_row(n, e));
        begin = max_i32(begin, keys_begin(p, queries(p, w), keys(p, w), at.i));
        end = min_i32(end, keys_end(p, queries(p, w), keys(p, w), at.i));
      }
#pragma unroll
      for (int k = 0; k < 2 * K16; k++) {
        const int key = key0 + k * 8 + lane() / 4;
        if (key >= end || (WINDOW && key < begin)) s[k / 2][n][k % 2 * 2 + e] = MINUS_INFINITY;
      }
    }
}

// Maximum or sum over the eight lanes that share a row.
FL4_DEV float key_max(float x)
{
  x = max_f32(x, shuffle_xor(x, 4));
  x = max_f32(x, shuffle_xor(x, 8));
  return max_f32(x, shuffle_xor(x, 16));
}
FL4_DEV float key_sum(float x)
{
  x += shuffle_xor(x, 4);
  x += shuffle_xor(x, 8);
  return x + shuffle_xor(x, 16);
}

// A score as a power of two. Without a key it stays -inf, whatever the scale.
FL4_DEV float reference_of(float largest, float scale) { return largest == MINUS_INFINITY ? largest : largest * scale; }

// Is there a score above its row's reference?
FL4_DEV bool rising(const Scores &s, const Rows &rows)
{
  bool above = false;
#pragma unroll
  for (int k = 0; k < K16; k++)
#pragma unroll
    for (int n = 0; n < R8; n++)
#pragma unroll
      for (int e = 0; e < 4; e++) above |= s[k][n][e] > rows.largest[n][e % 2];
  return warp_any(above);
}

// Moves the references up to the maxima of the step.
FL4_DEV void renew(Rows &rows, const Scores &s, float scale, const fl4_fwd_params &p)
{
#pragma unroll
  for (int n = 0; n < R8; n++)
#pragma unroll
    for (int e = 0; e < 2; e++) {
      const float before = rows.largest[n][e];
      float now = before;
#pragma unroll
      for (int k = 0; k < K16; k++) now = max_f32(now, max_f32(s[k][n][e], s[k][n][e + 2]));
      now = key_max(now);
      invariant(p, !(now < before), FL4_INVARIANT_MAX_GROWS, now, before);
      const float factor = exp2_approx((before - finite_reference(now)) * scale);
      rows.largest[n][e] = now;
      rows.sum[n][e] *= factor;
#pragma unroll
      for (int d = 0; d < D16; d++) rows.o[d][n][e] *= factor, rows.o[d][n][e + 2] *= factor;
    }
}

FL4_DEV void weigh(Weights &weights, Rows &rows, const Scores &s, float scale)
{
#pragma unroll
  for (int n = 0; n < R8; n++) {
    float reference[2];
#pragma unroll
    for (int e = 0; e < 2; e++) reference[e] = finite_reference(rows.largest[n][e]) * scale;
#pragma unroll
    for (int k = 0; k < K16; k++) {
      float x[4];
#pragma unroll
      for (int e = 0; e < 4; e++) {
        x[e] = exp2_approx(s[k][n][e] * scale - reference[e % 2]);
        rows.sum[n][e % 2] += x[e];
      }
      weights[k][n][0] = transpose_matrix(pack_2(x[0], x[1]));
      weights[k][n][1] = transpose_matrix(pack_2(x[2], x[3]));
    }
  }
}

#endif

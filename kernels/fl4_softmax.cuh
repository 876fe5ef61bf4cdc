// SPDX-License-Identifier: Apache-2.0
//
// Online softmax over key tiles (Milakov & Gimelshein, arXiv 1805.02867). Maxima are kept times
// scale · log2 e, so that each weight is one fused multiply-add and one power of two.
#ifndef FL4_SOFTMAX_CUH
#define FL4_SOFTMAX_CUH

#include "fl4_mask.cuh"

// A lane's part of the state of its rows: [m][half] is row 16·m + 8·half + lane/4 of the warp.
struct Softmax {
  float max[M16][2];  // the same in the four lanes of a row; -inf before the first key
  float sum[M16][2];  // of the weights of the lane's own columns
};

FL4_DEV void softmax_init(Softmax &state)
{
#pragma unroll
  for (int m = 0; m < M16; m++)
#pragma unroll
    for (int half = 0; half < 2; half++) state.max[m][half] = MINUS_INFINITY, state.sum[m][half] = 0.f;
}

// Sum or maximum over the four lanes that share a row.
FL4_DEV float row_sum(float x)
{
  x += shuffle_xor(x, 1);
  return x + shuffle_xor(x, 2);
}
FL4_DEV float row_max(float x)
{
  x = max_f32(x, shuffle_xor(x, 1));
  return max_f32(x, shuffle_xor(x, 2));
}

// Takes a tile of scores in: turns them into weights, 2^(score - max), packed as the A operand of the
// next matrix product; and brings the sums, and the output so far, to the new maximum.
// A tile may hold -inf, even whole rows of it.
FL4_DEV void softmax_step(Softmax &state, float (&s)[M16][N8][4], u32 (&weights)[N16][M16][4],
                          float (&o)[M16][D8][4], const fl4_fwd_params &p)
{
  const float scale = p.scale_log2;
  float correction[M16][2];
  bool grown = false;
#pragma unroll
  for (int m = 0; m < M16; m++)
#pragma unroll
    for (int half = 0; half < 2; half++) {
      float tile_max = max_f32(s[m][0][2 * half], s[m][0][2 * half + 1]);
#pragma unroll
      for (int n = 1; n < N8; n++)
        tile_max = max_f32(tile_max, max_f32(s[m][n][2 * half], s[m][n][2 * half + 1]));
      const float old_max = state.max[m][half];
      const float new_max = max_f32(old_max, row_max(tile_max) * scale);
      // A row without a key yet has no maximum to subtract: -inf - -inf would be NaN.
      const float reference = new_max == MINUS_INFINITY ? 0.f : new_max;
      state.max[m][half] = new_max;
      correction[m][half] = exp2_approx(old_max - reference);
      grown |= new_max != old_max;

      float sum = 0.f;
#pragma unroll
      for (int n = 0; n < N8; n++) {
        const float a = exp2_approx(s[m][n][2 * half] * scale - reference);
        const float b = exp2_approx(s[m][n][2 * half + 1] * scale - reference);
        sum += a + b;
        weights[n / 2][m][n % 2 * 2 + half] = pack_2(a, b);
      }
      const float old_sum = state.sum[m][half];
      state.sum[m][half] = old_sum * correction[m][half] + sum;

      if (DEBUG) {
        const float l = row_sum(state.sum[m][half]), kept = row_sum(old_sum) * correction[m][half];
        invariant(p, !(new_max < old_max), FL4_INVARIANT_MAX_GROWS, new_max, old_max);
        invariant(p, !(l < kept * 0.9999f), FL4_INVARIANT_SUM_GROWS, l, kept);
        invariant(p, new_max == MINUS_INFINITY || !(l < 0.999f), FL4_INVARIANT_SUM_AT_LEAST_ONE, l, 1);
        invariant(p, !(l > p.Sk * 1.001f), FL4_INVARIANT_SUM_AT_MOST_KEYS, l, p.Sk);
        invariant(p, is_finite(l), FL4_INVARIANT_FINITE, l, 0);
      }
    }

  // Late tiles seldom raise a maximum; then every correction is exactly 1.
  if (!warp_any(grown)) return;
#pragma unroll
  for (int m = 0; m < M16; m++)
#pragma unroll
    for (int n = 0; n < D8; n++)
#pragma unroll
      for (int e = 0; e < 4; e++) o[m][n][e] *= correction[m][e / 2];
}

#endif

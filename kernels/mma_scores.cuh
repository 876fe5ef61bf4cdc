// SPDX-License-Identifier: Apache-2.0
//
// Scores of a slice beyond their scale: softcap, ALiBi, bias.
#ifndef MMA_SCORES_CUH
#define MMA_SCORES_CUH

#include "fl4_schedule.cuh"
#include "fl4_scores.cuh"
#include "fl4_smem.cuh"

// Biases of two neighbouring keys that lie in one word, or two.
FL4_DEV void bias_of_pair(float (&x)[2], const char *at)
{
  if (BIAS == 3) {
    u32 two[2];
    load_global_64(two, at);
    x[0] = bias_value(two[0]), x[1] = bias_value(two[1]);
  } else {
    const u32 two = BIAS == 4 ? load_global_16(at) : load_global_32(at);
    x[0] = bias_value(BIAS == 4 ? two & 0xff : two & 0xffff), x[1] = bias_value(BIAS == 4 ? two >> 8 : two >> 16);
  }
}

// May two keys' biases be read at once, of whatever row?
FL4_DEV bool biases_in_pairs(const fl4_fwd_params &p)
{
  const i64 strides = p.bias_stride[0] | p.bias_stride[1] | p.bias_stride[2];
  return p.bias_stride[3] == 1 && (strides * BIAS_BYTES | (i64)p.bias) % (2 * BIAS_BYTES) == 0;
}

// Adds the biases of a row to the lane's scores of it, of which the first is key `first`.
FL4_DEV void add_biases(float (&s)[S8][4], int half, const fl4_fwd_params &p, const RowScores &r, int first, bool pairs)
{
#pragma unroll
  for (int n = 0; n < S8; n++) {
    const int key = first + n * 8;
    float bias[2];
    if (pairs)
      bias_of_pair(bias, r.bias + (i64)key * BIAS_BYTES);
    else
      bias[0] = bias_of(p, r, key), bias[1] = bias_of(p, r, key + 1);
#pragma unroll
    for (int e = 0; e < 2; e++) s[n][2 * half + e] += bias[e];
  }
}

// `row0` is the warp's first row, `key0` the slice's first key. `biases`: false where a mask hides nothing.
FL4_DEV void transform_scores(float (&s)[M16][S8][4], const fl4_fwd_params &p, const Work &w, int row0, int key0, bool biases)
{
  if (!SCORED || (!NATURAL && !biases)) return;
  const int first = key0 + 2 * (lane() % 4);
  const bool pairs = BIAS && biases && key0 + SLICE <= p.Sk && biases_in_pairs(p);
#pragma unroll
  for (int m = 0; m < M16; m++)
#pragma unroll
    for (int half = 0; half < 2; half++) {
      const int row = row0 + m * 16 + half * 8 + lane() / 4;
      const RowScores r = row_scores(p, w.slope, w.b, w.h, row, row + w.shift, first);
#pragma unroll
      for (int n = 0; n < S8; n++)
#pragma unroll
        for (int e = 0; e < 2; e++) s[m][n][2 * half + e] = scored(p, r, s[m][n][2 * half + e], n * 8 + e);
      if (BIAS && biases) add_biases(s[m], half, p, r, first, pairs);
    }
}

#endif

// SPDX-License-Identifier: Apache-2.0
//
// Scores, from what the first product leaves to what is weighed: transforms and masks.
#ifndef FL4_MASK_CUH
#define FL4_MASK_CUH

#include "fl4_schedule.cuh"
#include "fl4_scores.cuh"
#include "fl4_smem.cuh"

// What is done to scores beyond their scale. `row0` is the warp's first row, `key0` the slice's first key. Biases of a slice
// in which they end are read one by one.
FL4_DEV void transform_scores(float (&s)[M16][S8][4], const fl4_fwd_params &p, const Work &w, int row0, int key0)
{
  if (!SCORED) return;
  const int first = key0 + 2 * (lane() % 4);
  const bool whole = key0 + SLICE <= p.Sk;
#pragma unroll
  for (int m = 0; m < M16; m++)
#pragma unroll
    for (int half = 0; half < 2; half++) {
      const int row = row0 + m * 16 + half * 8 + lane() / 4;
      const RowScores r = row_scores(p, w.slope, w.b, w.h, row, queries(p, w), keys(p, w));
#pragma unroll
      for (int n = 0; n < S8; n++) {
        const int key = first + n * 8;
        float bias[2] = {0.f, 0.f};
        if (BIAS && whole && r.pairs) bias_of_pair(r, key, bias);
        if (BIAS && !(whole && r.pairs)) bias[0] = bias_of(p, r, key), bias[1] = bias_of(p, r, key + 1);
#pragma unroll
        for (int e = 0; e < 2; e++) s[m][n][2 * half + e] = scored(p, r, s[m][n][2 * half + e], key + e) + bias[e];
      }
    }
}

// Scores of keys that a row does not see become -inf: keys past the end, keys right of the diagonal, keys beyond the
// window.
FL4_DEV void mask_scores(float (&s)[M16][S8][4], const fl4_fwd_params &p, const Work &w, int row0, int key0)
{
  // Keys seen, counted from the lane's first: in all, and by the lane's first row under the causal mask.
  const int first = key0 + 2 * (lane() % 4), present = keys(p, w) - first;
  const int seen = row0 + lane() / 4 + w.shift + 1 - first;
#pragma unroll
  for (int m = 0; m < M16; m++)
#pragma unroll
    for (int half = 0; half < 2; half++) {
      const int row = row0 + lane() / 4 + m * 16 + half * 8;
      const int mine = CAUSAL   ? min_i32(present, seen + m * 16 + half * 8)
                       : WINDOW ? keys_end(p, queries(p, w), keys(p, w), row) - first
                                : present;
      const int hidden = WINDOW ? keys_begin(p, queries(p, w), keys(p, w), row) - first : 0;
#pragma unroll
      for (int n = 0; n < S8; n++)
#pragma unroll
        for (int e = 0; e < 2; e++)
          if (n * 8 + e >= mine || (WINDOW && n * 8 + e < hidden)) s[m][n][2 * half + e] = MINUS_INFINITY;
    }
}

#endif

// SPDX-License-Identifier: Apache-2.0
//
// Masks of scores.
#ifndef FL4_MASK_CUH
#define FL4_MASK_CUH

#include "fl4_schedule.cuh"
#include "fl4_smem.cuh"

// Scores of keys that a row does not see become -inf: keys past the end, keys right of the diagonal, and keys beyond a
// window. `row0` is the warp's first row, `key0` the slice's first key.
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

// SPDX-License-Identifier: Apache-2.0
//
// The two matrix products, of a warp and a slice of keys, by mma.sync. Weights go from one to the other in registers: the result
// layout of the first is the operand layout of the second. (FlashAttention-2, Dao, arXiv 2307.08691.)
#ifndef MMA_PRODUCTS_CUH
#define MMA_PRODUCTS_CUH

#include "fl4_smem.cuh"
#include "fl4_softmax.cuh"

// ---------------------------------------------------------------- S = Q Kᵀ

// Q of the warp's rows, as the A operand; with Q in shared memory it is read anew for each slice.
struct Query {
  u32 fragment[Q_IN_REGISTERS ? D16 : 1][M16][4];
  u32 base; // the lane's address in the Q tile
};

FL4_DEV void read_query(u32 (&fragment)[M16][4], const Query &q, int d)
{
#pragma unroll
  for (int m = 0; m < M16; m++) ldmatrix_x4(fragment[m], along_row(q.base, d) + m * 16 * ROW_BYTES);
}

FL4_DEV void read_keys(u32 (&fragment)[S16][4], u32 keys, int d)
{
#pragma unroll
  for (int n = 0; n < S16; n++) ldmatrix_x4(fragment[n], along_row(keys, d) + n * 16 * ROW_BYTES);
}

// 16 elements of the head dimension.
FL4_DEV void multiply_step(Scores &s, const Query &q, const u32 (&k)[S16][4], int d)
{
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
  for (int n = 0; n < S16; n++)
#pragma unroll
    for (int m = 0; m < M16; m++) {
      if (d == 0) {
        mma_16x8x16_first(s[m][2 * n], rows[m], k[n][0], k[n][1]);
        mma_16x8x16_first(s[m][2 * n + 1], rows[m], k[n][2], k[n][3]);
      } else {
        mma_16x8x16(s[m][2 * n], rows[m], k[n][0], k[n][1]);
        mma_16x8x16(s[m][2 * n + 1], rows[m], k[n][2], k[n][3]);
      }
    }
}

// `keys`: the lane's address in the slice.
FL4_DEV void multiply_query_keys(Scores &s, const Query &q, u32 keys)
{
#pragma unroll
  for (int d = 0; d < D16; d++) {
    u32 k[S16][4];
    read_keys(k, keys, d);
    multiply_step(s, q, k, d);
  }
}

// The same, with the weights of the slice before in between: the matrix pipe works while the exponentials are
// taken. Fragments are read one step ahead.
FL4_DEV void multiply_query_keys_and_weigh(Scores &s, const Query &q, u32 keys, Weights &weights, SliceSums &sums,
                                           const Scores &ready, const Rows &rows, float scale)
{
  u32 k[2][S16][4];
  read_keys(k[0], keys, 0);
#pragma unroll
  for (int d = 0; d < D16; d++) {
    if (d + 1 < D16) read_keys(k[(d + 1) % 2], keys, d + 1);
    multiply_step(s, q, k[d % 2], d);
    weigh(weights, sums, ready, rows, scale, d * WEIGHT_PAIRS / D16, (d + 1) * WEIGHT_PAIRS / D16);
  }
}

// ---------------------------------------------------------------- O += P V

// The values of a slice: the lane's address, and the first fragment, which is read ahead. The compiler moves nothing
// across the vote on the weights, and would have the product wait for it.
struct Values {
  u32 at;
  u32 first[4];
};

FL4_DEV Values begin_values(u32 at)
{
  Values v;
  v.at = at;
  ldmatrix_x4_trans(v.first, along_row(at, 0));
  return v;
}

// The sums are one more column of V, of ones.
FL4_DEV void multiply_weights_values(Rows &rows, const Weights &weights, const Values &values, const fl4_fwd_params &p)
{
  float before[M16][2];
#pragma unroll
  for (int m = 0; m < M16; m++) before[m][0] = rows.sum[m][0], before[m][1] = rows.sum[m][2];
#pragma unroll
  for (int n = 0; n < S16; n++) {
#pragma unroll
    for (int m = 0; m < M16; m++) mma_16x8x16(rows.sum[m], weights[n][m], PACKED_ONES, PACKED_ONES);
#pragma unroll
    for (int d = 0; d < D16; d++) {
      u32 v[4];
      if (n == 0 && d == 0) {
#pragma unroll
        for (int e = 0; e < 4; e++) v[e] = values.first[e];
      } else {
        ldmatrix_x4_trans(v, along_row(values.at, d) + n * 16 * ROW_BYTES);
      }
#pragma unroll
      for (int m = 0; m < M16; m++) {
        mma_16x8x16(rows.o[m][2 * d], weights[n][m], v[0], v[1]);
        mma_16x8x16(rows.o[m][2 * d + 1], weights[n][m], v[2], v[3]);
      }
    }
  }
  if (DEBUG) check_sums(rows, before, p);
}

#endif

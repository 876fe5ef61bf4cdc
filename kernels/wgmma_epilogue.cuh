// SPDX-License-Identifier: Apache-2.0
//
// The end of a row: divide by the sum, write O and the log-sum-exp.
#ifndef WGMMA_EPILOGUE_CUH
#define WGMMA_EPILOGUE_CUH

#include "wgmma_softmax.cuh"

// Four lanes that have four words each exchange them: lane t gets word t of all, in the order of the lanes.
FL4_DEV void transpose(u32 (&x)[4])
{
  const bool odd = lane() % 2, upper = lane() / 2 % 2;
#pragma unroll
  for (int i = 0; i < 4; i += 2) {
    const u32 got = shuffle_xor_32(odd ? x[i] : x[i + 1], 1);
    (odd ? x[i] : x[i + 1]) = got;
  }
#pragma unroll
  for (int i = 0; i < 2; i++) {
    const u32 got = shuffle_xor_32(upper ? x[i] : x[i + 2], 2);
    (upper ? x[i] : x[i + 2]) = got;
  }
}

// `row`: the lane's first row. What a lane has of a row is scattered over it; its four lanes gather it into whole
// 16-byte chunks, so that each writes one of four neighbours.
FL4_DEV void finish(Rows &rows, const RowTile &t, int row, const fl4_fwd_params &p)
{
  const i64 b = RAGGED_Q ? 0 : t.b, first_row = RAGGED_Q ? t.s.first_query : 0;
  char *o = reinterpret_cast<char *>(p.o) + (b * p.o_stride[0] + t.h * p.o_stride[1] + first_row * p.o_stride[2]) * 2;
  char *lse =
      reinterpret_cast<char *>(p.lse) + (b * p.lse_stride[0] + t.h * p.lse_stride[1] + first_row * p.lse_stride[2]) * 4;
#pragma unroll
  for (int half = 0; half < 2; half++) {
    const int at = (row + 8 * half) / PACK, head = (row + 8 * half) % PACK;
    const float l = row_sum(rows.sum[half]);
    const Ending end = with_sink(p, t.h + head, rows.reference[half], l);
    const float inverse = inverse_sum(end.sum) * end.factor;
    invariant(p, rows.reference[half] == MINUS_INFINITY || !(l < 0.99f), FL4_INVARIANT_SUM_AT_LEAST_ONE, l, 1);
    invariant(p, !(l > p.Sk * SUM_LIMIT), FL4_INVARIANT_SUM_AT_MOST_KEYS, l, p.Sk * SUM_LIMIT);
    invariant(p, is_finite(l), FL4_INVARIANT_FINITE, l, 0);
#pragma unroll
    for (int first = 0; first < D / 8; first += 4) {
      u32 x[4];
#pragma unroll
      for (int i = 0; i < 4; i++) {
        const int c = min_i32(first + i, D / 8 - 1);
        x[i] = pack_2(rows.o[4 * c + 2 * half] * inverse, rows.o[4 * c + 2 * half + 1] * inverse);
      }
      transpose(x);
      const int chunk = first + lane() % 4;
      store_global_128_if(at < queries(p, t) && chunk < D / 8, o + (at * p.o_stride[2] + head * p.o_stride[1]) * 2 + chunk * 16, x);
    }
    if (!LSE || !p.lse) continue;
    const float value = log_sum_exp(end.reference, end.sum);
    if (lane() % 4 == 0 && at < queries(p, t)) store_global_32(lse + (at * p.lse_stride[2] + head * p.lse_stride[1]) * 4, value);
  }
}

#endif

// SPDX-License-Identifier: Apache-2.0
//
// The end of a row: count the sink, divide by the sum, write O and the log-sum-exp.
#ifndef FL4_EPILOGUE_CUH
#define FL4_EPILOGUE_CUH

#include "fl4_softmax.cuh"

// By one of the lanes that share the row; `head`: where row 0's goes.
FL4_DEV void store_lse_of_row(const fl4_fwd_params &p, const Work &w, char *head, int row, float reference, float sum)
{
  const Ending end = with_sink(p, w.h, reference, sum);
  const float lse = log_sum_exp(end.reference, end.sum);
  if (lane() % 4 == 0 && row < queries(p, w)) store_global_32(head + row * p.lse_stride[2] * 4, lse);
}

// Natural log-sum-exp of the warp's rows; -inf for a row that saw no key and has no sink. `row0`: the warp's first row.
FL4_DEV void store_lse(const Rows &rows, const fl4_fwd_params &p, const Work &w, int row0)
{
  if (!LSE || !p.lse) return;
  char *head = reinterpret_cast<char *>(p.lse) + query_offset(p, w, p.lse_stride, 0) * 4;
#pragma unroll
  for (int m = 0; m < M16; m++)
#pragma unroll
    for (int half = 0; half < 2; half++) {
      const int row = row0 + m * 16 + half * 8 + lane() / 4;
      const float l = EXACT_SUM ? row_sum(rows.exact[m][half]) : rows.sum[m][2 * half];
      store_lse_of_row(p, w, head, row, rows.reference[m][half], l);
    }
}

// Rows that lie in `tile` leave, by the lanes of a warp.
template <int ROWS> FL4_DEV void store_gathered(u32 tile, const fl4_fwd_params &p, const Work &w, int row0)
{
  char *to = reinterpret_cast<char *>(p.o) + query_offset(p, w, p.o_stride, row0) * 2;
#pragma unroll
  for (int i = 0; i < ROWS * CHUNKS / 32; i++) {
    const int row = (i * 32 + lane()) / CHUNKS, chunk = (i * 32 + lane()) % CHUNKS;
    u32 x[4];
    load_shared_128(x, tile + chunk_offset(row, chunk));
    if (row0 + row >= queries(p, w) || chunk >= D / 8) continue;
    char *at = to + row * p.o_stride[2] * 2 + chunk * 16;
    if (ALIGNED) {
      store_global_128(at, x);
    } else {
#pragma unroll
      for (int e = 0; e < 8; e++) store_global_16(at + 2 * e, (u16)(x[e / 2] >> (e % 2 * 16)));
    }
  }
}

// The warp's rows of O: rounded and gathered in `tile`, which is the warp's own, so that they leave in
// whole 16-byte chunks.
FL4_DEV void store_output(const Rows &rows, u32 tile, const fl4_fwd_params &p, const Work &w, int row0)
{
#pragma unroll
  for (int m = 0; m < M16; m++)
#pragma unroll
    for (int half = 0; half < 2; half++) {
      const Ending end = with_sink(p, w.h, rows.reference[m][half], rows.sum[m][2 * half]);
      const float inverse = SINKS ? end.factor * inverse_sum(end.sum) : inverse_sum(end.sum);
      const int row = m * 16 + half * 8 + lane() / 4;
#pragma unroll
      for (int n = 0; n < D8; n++) {
        const float a = rows.o[m][n][2 * half] * inverse, b = rows.o[m][n][2 * half + 1] * inverse;
        invariant(p, is_finite(a) && is_finite(b), FL4_INVARIANT_FINITE, a, b);
        store_shared_32(tile + chunk_offset(row, n) + lane() % 4 * 4, pack_2(a, b));
      }
    }
  warp_barrier();
  store_gathered<WARP_ROWS>(tile, p, w, row0);
}

#endif

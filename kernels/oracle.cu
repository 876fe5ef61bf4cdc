// SPDX-License-Identifier: Apache-2.0
//
// The parts of the cuBLAS oracle between its matrix products. As plain as can be: one thread an
// element, one block a row, exact library functions, no tiles.
#include "fl4_ptx.cuh"

FL4_DEV float to_float(u16 x)
{
#if FL4_BF16
  return float_from_bits((u32)x << 16);
#else
  return half_to_float(x);
#endif
}

// `x` rounded to the call's dtype.
FL4_DEV float rounded(float x)
{
  return to_float((u16)pack_2(x, 0.f));
}

// A strided tensor [B][H][S][D] to contiguous fp32.
FL4_KERNEL(fl4_oracle_gather, 256, 1)
(const u16 *from, i64 stride_b, i64 stride_h, i64 stride_s, int H, int S, int D, i64 n, float *to)
{
  for (i64 i = block_index() * 256ll + thread_index(); i < n; i += grid_blocks() * 256ll) {
    const i64 d = i % D, s = i / D % S, h = i / D / S % H, b = i / D / S / H;
    to[i] = to_float(from[b * stride_b + h * stride_h + s * stride_s + d]);
  }
}

// Rounds n elements in place.
FL4_KERNEL(fl4_oracle_round, 256, 1)(float *x, i64 n)
{
  for (i64 i = block_index() * 256ll + thread_index(); i < n; i += grid_blocks() * 256ll) x[i] = rounded(x[i]);
}

// Sum or maximum of x over the block; `shared` has 8 floats.
FL4_DEV float block_reduce(float x, bool maximum, float *shared)
{
  for (int mask = 16; mask > 0; mask /= 2) {
    const float y = shuffle_xor(x, mask);
    x = maximum ? max_f32(x, y) : x + y;
  }
  if (thread_index() % 32 == 0) shared[thread_index() / 32] = x;
  block_barrier();
  x = shared[0];
  for (int i = 1; i < 8; i++) x = maximum ? max_f32(x, shared[i]) : x + shared[i];
  block_barrier();
  return x;
}

// Softmax of one row of scaled scores a block, row `i` of a head by `rows % Sq`. Writes the weights
// in fp32 over the scores (if `exact`); and the weights of rounded scores, rounded (if `low`).
FL4_KERNEL(fl4_oracle_softmax, 256, 1)
(float *scores, float *low, float *lse, int exact, int causal, int Sq, int Sk)
{
  __shared__ float shared[8];
  const float minus_infinity = float_from_bits(0xff800000u);
  const i64 row = block_index();
  float *s = scores + row * Sk;
  const int i = (int)(row % Sq), seen = causal ? min(Sk, i + Sk - Sq + 1) : Sk;

  float top = minus_infinity, low_top = minus_infinity;
  for (int j = thread_index(); j < seen; j += 256) {
    top = max_f32(top, s[j]);
    low_top = max_f32(low_top, rounded(s[j]));
  }
  top = block_reduce(top, true, shared);
  low_top = block_reduce(low_top, true, shared);

  float sum = 0.f, low_sum = 0.f;
  for (int j = thread_index(); j < seen; j += 256) {
    sum += expf(s[j] - top);
    low_sum += expf(rounded(s[j]) - low_top);
  }
  sum = block_reduce(sum, false, shared);
  low_sum = block_reduce(low_sum, false, shared);

  if (lse && thread_index() == 0) lse[row] = seen > 0 ? top + logf(sum) : minus_infinity;
  for (int j = thread_index(); j < Sk; j += 256) {
    const float x = s[j];
    if (low) low[row * Sk + j] = j < seen ? rounded(expf(rounded(x) - low_top) / low_sum) : 0.f;
    if (exact) s[j] = j < seen ? expf(x - top) / sum : 0.f;
  }
}

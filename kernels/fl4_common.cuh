// SPDX-License-Identifier: Apache-2.0
//
// Small things that all forward kernels need.
#ifndef FL4_COMMON_CUH
#define FL4_COMMON_CUH

#include "fl4_ptx.cuh"

#define MINUS_INFINITY float_from_bits(0xff800000u)

FL4_DEV int lane() { return thread_index() % 32; }
FL4_DEV int min_i32(int a, int b) { return a < b ? a : b; }
FL4_DEV int max_i32(int a, int b) { return a > b ? a : b; }
FL4_DEV int clamp_i32(int x, int least, int most) { return max_i32(least, min_i32(x, most)); }

// Sum or maximum over the four lanes that share a row of a matrix product.
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

// What is subtracted from scores. A row without a key yet has none: -inf - -inf would be NaN.
FL4_DEV float finite_reference(float reference) { return reference == MINUS_INFINITY ? 0.f : reference; }

// What a row's output is multiplied with at the end. A row that saw no key has weights of 0 only: its output is 0, not 0 / 0.
FL4_DEV float inverse_sum(float l) { return l == 0.f ? 0.f : reciprocal_approx(l); }

// Natural log-sum-exp of a row: from its reference, a power of two, and its sum. -inf without a key; NaN stays NaN.
FL4_DEV float log_sum_exp(float reference, float l)
{
  return l > 0.f ? (reference + log2_approx(l)) * 0.6931471805599453f : l == 0.f ? MINUS_INFINITY : l;
}

#endif

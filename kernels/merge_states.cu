// SPDX-License-Identifier: Apache-2.0
//
// Partial results of the same queries over different keys become one: LSE = ln Σ exp lse_k, O = Σ exp(lse_k - LSE) O_k.
//
// A row has up to 32 threads, all of one warp, with 8 elements each. The parts are added in their order. Compiled with
// FL4_BF16 for the 16-bit type there is, FL4_PARTS_FP32 and FL4_OUT_FP32 where fp32 takes its place, FL4_ALIGNED.
#include "fl4_aux.h"
#include "fl4_common.cuh"

#define LOG2_E 1.4426950408889634f
#define LN_2 0.6931471805599453f

FL4_DEV float from_16(u32 x)
{
#if FL4_BF16
  return float_from_bits(x << 16);
#else
  return half_to_float((u16)x);
#endif
}

// 8 elements of a part.
FL4_DEV void load_8(float (&x)[8], const char *from)
{
#if FL4_PARTS_FP32
  if (FL4_ALIGNED) {
#pragma unroll
    for (int half = 0; half < 2; half++) {
      u32 bits[4];
      load_global_128(bits, from + 16 * half);
#pragma unroll
      for (int e = 0; e < 4; e++) x[4 * half + e] = float_from_bits(bits[e]);
    }
  } else {
#pragma unroll
    for (int e = 0; e < 8; e++) x[e] = float_from_bits(load_global_32(from + 4 * e));
  }
#else
  if (FL4_ALIGNED) {
    u32 bits[4];
    load_global_128(bits, from);
#pragma unroll
    for (int e = 0; e < 8; e++) x[e] = from_16(e % 2 ? bits[e / 2] >> 16 : bits[e / 2] & 0xffffu);
  } else {
#pragma unroll
    for (int e = 0; e < 8; e++) x[e] = from_16(load_global_16(from + 2 * e));
  }
#endif
}

FL4_DEV void store_8(char *to, const float (&x)[8])
{
#if FL4_OUT_FP32
  if (FL4_ALIGNED) {
    const float low[4] = {x[0], x[1], x[2], x[3]}, high[4] = {x[4], x[5], x[6], x[7]};
    store_global_f32x4(to, low);
    store_global_f32x4(to + 16, high);
  } else {
#pragma unroll
    for (int e = 0; e < 8; e++) store_global_32(to + 4 * e, x[e]);
  }
#else
  const u32 bits[4] = {pack_2(x[0], x[1]), pack_2(x[2], x[3]), pack_2(x[4], x[5]), pack_2(x[6], x[7])};
  if (FL4_ALIGNED) {
    store_global_128(to, bits);
  } else {
#pragma unroll
    for (int e = 0; e < 8; e++) store_global_16(to + 2 * e, (u16)(bits[e / 2] >> (e % 2 * 16)));
  }
#endif
}

// The address of part k: from the list, or `stride` bytes behind the one before.
FL4_DEV const char *part_of(const fl4_u64 *address, int is_list, i64 stride, int k)
{
  return reinterpret_cast<const char *>(is_list ? address[k] : address[0] + (u64)(k * stride));
}

FL4_KERNEL(fl4_merge_states, 256, 4)(FL4_PARAM fl4_merge_params p)
{
  constexpr int part_bytes = FL4_PARTS_FP32 ? 4 : 2, out_bytes = FL4_OUT_FP32 ? 4 : 2;
  const int chunk = thread_index() & ((1 << p.lanes_log2) - 1), rows_at_once = FL4_AUX_THREADS >> p.lanes_log2;
  const i64 rows = (i64)p.B * p.Hq * p.Sq;
  for (i64 first = (i64)block_index() * rows_at_once; first < rows; first += (i64)grid_blocks() * rows_at_once) {
    const i64 row = first + (thread_index() >> p.lanes_log2), i = row % p.Sq, h = row / p.Sq % p.Hq,
              b = row / p.Sq / p.Hq;
    const bool there = row < rows;
    const i64 part_row = b * p.part_stride[1] + h * p.part_stride[2] + i * p.part_stride[3];
    const i64 lse_row = b * p.part_lse_stride[1] + h * p.part_lse_stride[2] + i * p.part_lse_stride[3];

    float top = MINUS_INFINITY, sum = 0.f, o[8] = {0.f, 0.f, 0.f, 0.f, 0.f, 0.f, 0.f, 0.f};
    for (int k = 0; there && k < p.n; k++) {
      const char *lse = part_of(p.part_lse, p.is_list, p.part_lse_stride[0] * 4, k);
      top = max_f32(top, float_from_bits(load_global_32(lse + lse_row * 4)));
    }
    for (int k = 0; there && k < p.n; k++) {
      const char *lse = part_of(p.part_lse, p.is_list, p.part_lse_stride[0] * 4, k);
      const float weight =
          exp2_approx((float_from_bits(load_global_32(lse + lse_row * 4)) - finite_reference(top)) * LOG2_E);
      // A part that counts nothing is not even multiplied with 0: it may hold NaN.
      if (weight == 0.f) continue;
      sum += weight;
      if (chunk * 8 >= p.D) continue;
      const char *part = part_of(p.part, p.is_list, p.part_stride[0] * part_bytes, k);
      float x[8];
      load_8(x, part + (part_row + chunk * 8) * part_bytes);
#pragma unroll
      for (int e = 0; e < 8; e++) o[e] += weight * x[e];
    }

    // All threads of the row have read the LSEs, one of which may be overwritten.
    warp_barrier();
    if (!there) continue;
    const float inverse = inverse_sum(sum);
#pragma unroll
    for (int e = 0; e < 8; e++) o[e] *= inverse;
    if (chunk * 8 < p.D) {
      const i64 at = b * p.o_stride[0] + h * p.o_stride[1] + i * p.o_stride[2] + chunk * 8;
      store_8(reinterpret_cast<char *>(p.o) + at * out_bytes, o);
    }
    if (p.lse && chunk == 0) {
      const i64 at = b * p.lse_stride[0] + h * p.lse_stride[1] + i * p.lse_stride[2];
      store_global_32(reinterpret_cast<char *>(p.lse) + at * 4,
                      sum == 0.f ? MINUS_INFINITY : top + log2_approx(sum) * LN_2);
    }
  }
}

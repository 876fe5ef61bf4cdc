/* SPDX-License-Identifier: Apache-2.0 */
/* Elements of a row, 8 at a time, as fp32: what code needs that is compiled for every CPU. */
#ifndef FL4_HOST_ROW_H
#define FL4_HOST_ROW_H

#include "problem.h"
#include "vector.h"

/* Elements offset … offset + 7 of a tensor. */
INLINE void load_8(const void *base, int64_t offset, int dtype, float to[8])
{
  if (dtype == FL4_DTYPE_FP32) {
    memcpy(to, (const float *)base + offset, 8 * sizeof *to);
    return;
  }
  for (int i = 0; i < 8; i += VL) {
    vh half;
    memcpy(&half, (const uint16_t *)base + offset + i, sizeof half);
    const vu upper = __builtin_convertvector(half, vu) << 16;
    store(to + i, dtype == FL4_DTYPE_FP16 ? fp16_upper(upper) : bf16_upper(upper));
  }
}

INLINE void store_8(void *base, int64_t offset, int dtype, const float from[8])
{
  if (dtype == FL4_DTYPE_FP32) {
    memcpy((float *)base + offset, from, 8 * sizeof *from);
    return;
  }
  for (int i = 0; i < 8; i += VL) {
    const vf x = load(from + i);
    const vh half = __builtin_convertvector(dtype == FL4_DTYPE_FP16 ? fp16_from(x) : bf16_from(x), vh);
    memcpy((uint16_t *)base + offset + i, &half, sizeof half);
  }
}

#endif

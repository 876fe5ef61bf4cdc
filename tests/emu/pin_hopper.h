/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What pin_hopper.cu, the program that runs it on a GPU and the test that runs it on the emulator agree on. As pin.h,
 * for the instructions of sm_90a: a case writes four words a thread, of a warpgroup.
 */
#ifndef FL4_PIN_HOPPER_H
#define FL4_PIN_HOPPER_H

/* X(name) */
#define FL4_PIN_HOPPER_CASES(X)                                                                                        \
  X(TMA_INSIDE)          /* boxes of 64 rows, and what lies where: a hash of each 16-byte chunk … */                   \
  X(TMA_COLUMNS)         /* … 24 columns of which are inside */                                                        \
  X(TMA_ROWS)            /* … 10 rows of which are */                                                                  \
  X(TMA_BEFORE)          /* … that begin before the tensor */                                                          \
  X(TMA_ODD)             /* … that begin in the middle of a page: at a chunk, for elsewhere the engine breaks off */    \
  X(TMA_OUTSIDE)         /* … of a head that there is not */                                                           \
  X(SHARED_8)            /* both operands in shared memory, over two pages: a hash of a thread's results */           \
  X(SHARED_80)           /* … and three of them */                                                                       \
  X(SHARED_128)                                                                                                        \
  X(SHARED_256)                                                                                                        \
  X(SHARED_ADD)          /* N = 64, onto what was there */                                                             \
  X(REGISTERS_8)         /* A in registers; B over one page, … */                                                      \
  X(REGISTERS_80)        /* … two, … */                                                                                \
  X(REGISTERS_128)                                                                                                     \
  X(REGISTERS_256)       /* … four */                                                                                  \
  X(SPECIAL)             /* subnormal, infinite and NaN operands, times a tile of ones that threads stored */          \
  X(SHUFFLE_32)          /* masks 1, 2, 16, 31, of bits that are NaN */                                                \
  X(STORE_IF)            /* by every third thread */                                                                   \
  X(MBARRIER)            /* which phases are over, before and after arrivals and copies */

enum {
#define FL4_PIN_HOPPER_ENUM(name) FL4_PIN_HOPPER_##name,
  FL4_PIN_HOPPER_CASES(FL4_PIN_HOPPER_ENUM)
#undef FL4_PIN_HOPPER_ENUM
      FL4_PIN_HOPPER_N_CASES,
  FL4_PIN_HOPPER_THREADS = 128,
  FL4_PIN_HOPPER_WORDS = 4 * FL4_PIN_HOPPER_THREADS, /* of a case: word thread · 4 + register */
  FL4_PIN_HOPPER_RESULTS = FL4_PIN_HOPPER_N_CASES * FL4_PIN_HOPPER_WORDS,

  /* Shared memory: pages of 64 columns of A and of both kinds of B, then a barrier. */
  FL4_PIN_Q_ROWS = 64,
  FL4_PIN_K_ROWS = 256,
  FL4_PIN_V_ROWS = 32,
  FL4_PIN_K_AT = 2 * FL4_PIN_Q_ROWS * 128,
  FL4_PIN_V_AT = FL4_PIN_K_AT + 2 * FL4_PIN_K_ROWS * 128,
  FL4_PIN_BARRIER_AT = FL4_PIN_V_AT + 4 * FL4_PIN_V_ROWS * 128,
  FL4_PIN_HOPPER_SMEM_BYTES = FL4_PIN_BARRIER_AT + 64,

  /* The tensor: columns, rows, heads, batches; strides in elements. */
  FL4_PIN_COLUMNS = 248,
  FL4_PIN_ROWS = 300,
  FL4_PIN_HEADS = 2,
  FL4_PIN_BATCHES = 2,
  FL4_PIN_ROW_STRIDE = FL4_PIN_COLUMNS + 16,
  FL4_PIN_HEAD_STRIDE = FL4_PIN_ROWS * FL4_PIN_ROW_STRIDE + 8,
  FL4_PIN_BATCH_STRIDE = FL4_PIN_HEADS * FL4_PIN_HEAD_STRIDE + 24,
  FL4_PIN_ELEMENTS = FL4_PIN_BATCHES * FL4_PIN_BATCH_STRIDE
};

#if !defined(__CUDACC_RTC__)
#include <stdint.h>
#include <string.h>

#include "fl4_abi.h"

/* Whole numbers from -63 to 63, which both formats hold, and whose products' sums fp32 does. */
static inline void fl4_pin_hopper_fill(uint16_t *tensor, int bf16)
{
  for (uint32_t i = 0; i < FL4_PIN_ELEMENTS; i++) {
    const uint32_t mixed = (i ^ i >> 7) * 2654435761u;
    const float x = (float)(int)(mixed >> 16) - 32768.f;
    const float small = (float)(int)(x / 520.f);
    uint32_t bits;
    memcpy(&bits, &small, sizeof bits);
    /* No number is so small that a format's exponent would not do. */
    const uint32_t half = (bits >> 16 & 0x8000) | (bits & 0x7fffffff ? ((bits & 0x7fffffff) - 0x38000000) >> 13 : 0);
    tensor[i] = (uint16_t)(bf16 ? bits >> 16 : half);
  }
}

/* What the maps are made of: q, k and v are the same tensor, their boxes have FL4_PIN_Q_ROWS, … rows. */
static inline fl4_fwd_params fl4_pin_hopper_params(const void *tensor, void *out)
{
  fl4_fwd_params p;
  memset(&p, 0, sizeof p);
  p.q = p.k = p.v = (uintptr_t)tensor, p.o = (uintptr_t)out;
  p.B = FL4_PIN_BATCHES, p.Hq = p.Hkv = FL4_PIN_HEADS, p.Sq = p.Sk = FL4_PIN_ROWS;
  const fl4_i64 stride[3] = {FL4_PIN_BATCH_STRIDE, FL4_PIN_HEAD_STRIDE, FL4_PIN_ROW_STRIDE};
  memcpy(p.q_stride, stride, sizeof stride);
  memcpy(p.k_stride, stride, sizeof stride);
  memcpy(p.v_stride, stride, sizeof stride);
  return p;
}
#endif

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What pin.cu, the program that runs it on a GPU and the test that runs it on the emulator agree on:
 * the cases, their results' layout, and the input.
 */
#ifndef FL4_PIN_H
#define FL4_PIN_H

/* X(name): a case writes four words a lane; its name in lower case is the one in the data. */
#define FL4_PIN_CASES(X)                                                                                               \
  X(LDMATRIX)          /* 32 rows in permuted order, of a tile filled by 32-bit stores */                              \
  X(LDMATRIX_TRANS)    /* the same, transposed */                                                                      \
  X(SHARED_128)        /* 128-bit stores and loads of shared memory, each lane another's chunk */                      \
  X(CP_ASYNC)          /* 16-byte copies, then 128-bit loads */                                                        \
  X(CP_ASYNC_GROUPS)   /* three groups, each waited for by its own count */                                            \
  X(CP_ASYNC_ZFILL)    /* every third lane copies 0 bytes, over a tile of ones; 128-bit loads */                       \
  X(CP_ASYNC_MATRIX)   /* the same chunks by ldmatrix */                                                               \
  X(MMA_FIRST)         /* A · B, all elements distinct */                                                             \
  X(MMA)               /* C += A · B, all elements distinct */                                                        \
  X(MMA_IDENTITY_A)    /* shows where the elements of B are */                                                         \
  X(MMA_IDENTITY_B)    /* shows where the first 8 columns of A are */                                                  \
  X(MMA_SPECIAL)       /* subnormal, infinite and NaN operands */                                                      \
  X(PACK)              /* ties, subnormals, overflow, infinities, NaN, zeros of both signs */                          \
  X(PACK_STEPS)        /* the 128 floats at every half step of the format from 1 on, and a bit off */                  \
  X(HALF_TO_FLOAT)     /* one of each kind and sign, and others */                                                     \
  X(HALF_TO_FLOAT_ALL) /* all 65536, as hashes of 512 in a row */                                                      \
  X(EXP2)              /* integers, both ends, beyond them, infinities, NaN */                                         \
  X(LOG2)              /* powers of two, 0, negative, infinity, NaN */                                                 \
  X(LOG2_SMALL)        /* powers of two from the smallest subnormal on */                                              \
  X(MAX)               /* with NaN on either side or both, zeros of both signs, subnormals */                          \
  X(SHUFFLE)           /* masks 1, 2, 4, 8 */                                                                          \
  X(SHUFFLE_WIDE)      /* masks 16, 31, 5, 0 */                                                                        \
  X(VOTE)              /* no lane, all lanes, one lane, half of the lanes */                                           \
  X(ATOMIC)            /* compare-and-swap that fits, does not fit, and is contended */                                \
  X(GLOBAL)            /* 16- and 32-bit stores and 16-bit loads of global memory */                                   \
  X(MAX_PACKED)        /* of each kind with each: NaN, infinities, subnormals, zeros of both signs */                  \
  X(INCREMENT)         /* counts, wraps, comes back from beyond the last, and is contended */                          \
  X(FLOAT_VECTORS)     /* four floats at a time through shared and global memory */                                    \
  X(RECIPROCAL)        /* powers of two and others, 0, infinities, NaN, subnormals, the ends */

enum {
#define FL4_PIN_ENUM(name) FL4_PIN_##name,
  FL4_PIN_CASES(FL4_PIN_ENUM)
#undef FL4_PIN_ENUM
      FL4_PIN_N_CASES,
  FL4_PIN_WORDS = 128, /* of a case: word lane · 4 + register */
  FL4_PIN_RESULTS = FL4_PIN_N_CASES * FL4_PIN_WORDS,
  FL4_PIN_OUTPUT_BYTES = (FL4_PIN_RESULTS + 4) * 4, /* and two words that all lanes fight for */
  FL4_PIN_TILE_BYTES = 1024,
  FL4_PIN_SMEM_BYTES = 4 * FL4_PIN_TILE_BYTES,

  /* The input, in 16-bit elements: distinct values, then the floats and the halves of the tables. */
  FL4_PIN_N_DISTINCT = 2048,
  FL4_PIN_FLOATS = FL4_PIN_N_DISTINCT,
  FL4_PIN_N_FLOATS = 64,
  FL4_PIN_HALVES = FL4_PIN_FLOATS + 2 * FL4_PIN_N_FLOATS,
  FL4_PIN_N_HALVES = 32,
  FL4_PIN_INPUT = FL4_PIN_HALVES + FL4_PIN_N_HALVES
};

#if !defined(__CUDACC_RTC__)
#include <stdint.h>

static inline void fl4_pin_fill_input(uint16_t *input)
{
  /* clang-format off */
  static const uint32_t floats[FL4_PIN_N_FLOATS] = {
      0x00000000, 0x80000000, 0x3f800000, 0xbf800000, 0x7f800000, 0xff800000, 0x7fc00000, 0xffc00000, /* 0 1 inf NaN */
      0x7f800001, 0xffffffff, 0x00000001, 0x807fffff, 0x00800000, 0x80800000, 0x7f7fffff, 0xff7fffff, /* NaN, ends */
      0x3f801000, 0x3f801001, 0x3f800fff, 0x3f803000, 0x3f803001, 0x3f802fff, 0xbf801000, 0xbf803000, /* fp16 ties */
      0x3f808000, 0x3f808001, 0x3f807fff, 0x3f818000, 0x3f818001, 0x3f817fff, 0xbf808000, 0xbf818000, /* bf16 ties */
      0x477fe000, 0x477fefff, 0x477ff000, 0x477ff001, 0xc77fefff, 0xc77ff000, 0x47800000, 0xc7800000, /* fp16 overflow */
      0x7f7f0000, 0x7f7f7fff, 0x7f7f8000, 0x7f7f8001, 0xff7f7fff, 0xff7f8000, 0x7f000000, 0xff000000, /* bf16 overflow */
      0x33000000, 0x33000001, 0x32ffffff, 0x33c00000, 0x33bfffff, 0x38800000, 0x387fffff, 0x387fe000, /* fp16 subnormals */
      0x00008000, 0x00008001, 0x00007fff, 0x00018000, 0x00017fff, 0x007f8000, 0x007f7fff, 0x807f8000, /* bf16 subnormals */
  };
  static const uint16_t halves[FL4_PIN_N_HALVES] = {
      0x0000, 0x0001, 0x0002, 0x0003, 0x0155, 0x0200, 0x03fe, 0x03ff, /* subnormals */
      0x0400, 0x0401, 0x07ff, 0x0800, 0x1400, 0x2e66, 0x3555, 0x3bff, /* below 1 */
      0x3c00, 0x3c01, 0x3e00, 0x4000, 0x4248, 0x5640, 0x63d0, 0x77ff, /* from 1 on */
      0x7800, 0x7bfe, 0x7bff, 0x7c00, 0x7c01, 0x7dff, 0x7e00, 0x7fff, /* largest, infinity, NaN */
  };
  /* clang-format on */
  for (uint32_t i = 0; i < FL4_PIN_N_DISTINCT; i++) input[i] = (uint16_t)(i * 40503u + 1u); /* odd factor: distinct */
  for (int i = 0; i < FL4_PIN_N_FLOATS; i++) {
    input[FL4_PIN_FLOATS + 2 * i] = (uint16_t)floats[i];
    input[FL4_PIN_FLOATS + 2 * i + 1] = (uint16_t)(floats[i] >> 16);
  }
  for (int i = 0; i < FL4_PIN_N_HALVES; i++) input[FL4_PIN_HALVES + i] = halves[i];
}
#endif

#endif

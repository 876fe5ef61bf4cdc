/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Vectors of the widest kind that this compilation's instruction set has, in the C extensions that
 * GCC and clang share, and what the inner loops need of them: exp2 and element conversion.
 */
#ifndef FL4_HOST_VECTOR_H
#define FL4_HOST_VECTOR_H

#include <stdint.h>
#include <string.h>

#if defined(__AVX512F__)
enum { VL = 16 }; /* floats of a vector */
#elif defined(__AVX2__)
enum { VL = 8 };
#else
enum { VL = 4 };
#endif

typedef float vf __attribute__((vector_size(VL * 4)));
typedef int32_t vi __attribute__((vector_size(VL * 4)));
typedef uint32_t vu __attribute__((vector_size(VL * 4)));
typedef uint16_t vh __attribute__((vector_size(VL * 2)));
typedef uint8_t vb __attribute__((vector_size(VL)));

#define INLINE static inline __attribute__((always_inline))
/* What is not for every tile stays out of the way of what is: its registers would be missing there. */
#define APART static __attribute__((noinline))

/* Loops over registers must be unrolled, or the compiler keeps the array in memory. */
#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif

INLINE vf load(const float *p)
{
  vf x;
  memcpy(&x, p, sizeof x);
  return x;
}

INLINE void store(float *p, vf x)
{
  memcpy(p, &x, sizeof x);
}

INLINE vf splat(float x)
{
  return x - (vf){0};
}

INLINE vf pick(vi mask, vf a, vf b)
{
  return (vf)(((vi)a & mask) | ((vi)b & ~mask));
}

/* The larger, lane by lane; b where a is NaN. */
INLINE vf max(vf a, vf b)
{
  return pick(a > b, a, b);
}

INLINE float max_of_lanes(vf x)
{
  float lane[VL];
  memcpy(lane, &x, sizeof x);
  for (int half = VL / 2; half; half /= 2)
    for (int i = 0; i < half; i++) lane[i] = lane[i] > lane[i + half] ? lane[i] : lane[i + half];
  return lane[0];
}

INLINE vi lane_index(void)
{
  vi x;
  for (int i = 0; i < VL; i++) x[i] = i;
  return x;
}

/*
 * 2^x for x ≤ 0: x = n + f with |f| ≤ ½, a polynomial for 2^f, n put into the exponent. Relative
 * error below 1.5·2⁻²³, exactly 1 at 0 and 0 below −126 (also for −∞); NaN stays NaN.
 */
INLINE vf exp2_nonpositive(vf x)
{
  const vf round = splat(12582912.0f); /* 1.5·2²³: adding it leaves an integer in the low bits */
  const vi tiny = x < splat(-126.0f);
  x = pick(tiny, splat(-126.0f), x);
  const vf shifted = x + round, f = x - (shifted - round);
  vf y = splat(1.69553095e-4f);
  y = y * f + splat(1.34356471e-3f);
  y = y * f + splat(9.61261117e-3f);
  y = y * f + splat(5.55020393e-2f);
  y = y * f + splat(2.40226965e-1f);
  y = y * f + splat(6.93147303e-1f);
  y = y * f + splat(1.0f);
  const vi power = ((vi)shifted + 127) << 23; /* what the constant leaves above is shifted out */
  return (vf)((vi)(y * (vf)power) & ~tiny);
}

/*
 * fp16 in the upper halves of 32-bit lanes (the lower are ignored) → fp32. Its exponent and mantissa,
 * moved to fp32's places, are the number times 2⁻¹¹², subnormals included; infinity and NaN are the
 * only ones that then come out at 2¹⁶ or more, and get the exponent of an infinity.
 */
INLINE vf fp16_upper(vu x)
{
  const vi moved = ((vi)x >> 3) & (int32_t)0x8fffe000;
  const vf y = (vf)moved * splat(0x1p112f);
  const vi special = (moved & 0x0f800000) == 0x0f800000;
  return (vf)((vi)y | (special & 0x7f800000));
}

/* The same for bf16, which is the upper half of an fp32. */
INLINE vf bf16_upper(vu x)
{
  return (vf)(x & 0xffff0000u);
}

/* fp32 → fp16, to nearest even, in the lower halves. */
INLINE vu fp16_from(vf x)
{
  const vu bits = (vu)x, sign = bits >> 16 & 0x8000u, magnitude = bits & 0x7fffffffu;
  const vu nan = (vu)(magnitude > 0x7f800000u), small = (vu)(magnitude < 0x38800000u);
  /* Normal: round the 13 bits that go away, then change the exponent's bias by 112. */
  vu normal = (magnitude + 0xfffu + (magnitude >> 13 & 1u) - 0x38000000u) >> 13;
  const vu over = (vu)(magnitude >= 0x47800000u);
  normal = (0x7c00u & over) | (normal & ~over);
  /* Below 2⁻¹⁴: adding ½ rounds to a multiple of 2⁻²⁴ and leaves that multiple in the low bits. */
  const vu subnormal = (vu)((vf)magnitude + splat(0.5f)) - 0x3f000000u;
  const vu number = (subnormal & small) | (normal & ~small);
  return sign | (0x7e00u & nan) | (number & ~nan);
}

/* fp32 → bf16, to nearest even, in the lower halves. */
INLINE vu bf16_from(vf x)
{
  const vu bits = (vu)x, nan = (vu)((bits & 0x7fffffffu) > 0x7f800000u);
  const vu rounded = (bits + 0x7fffu + (bits >> 16 & 1u)) >> 16;
  return ((bits >> 16 | 0x40u) & nan) | (rounded & ~nan);
}

#endif

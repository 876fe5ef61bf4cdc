/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Elements of the three dtypes as numbers. Written apart from the kernels' conversions, which they
 * check: these go through fp64 and round by arithmetic.
 */
#include <math.h>
#include <string.h>

#include "oracle/check.h"

/* A binary format: bits of the stored fraction, exponent of the smallest normal and the largest number. */
typedef struct format {
  int fraction, min_exponent, max_exponent;
} format;

static format format_of(int dtype)
{
  if (dtype == FL4_DTYPE_FP16) return (format){10, -14, 15};
  if (dtype == FL4_DTYPE_BF16) return (format){7, -126, 127};
  return (format){23, -126, 127};
}

static double power_of_two(int n)
{
  const uint64_t bits = (uint64_t)(n + 1023) << 52;
  double x;
  memcpy(&x, &bits, sizeof x);
  return x;
}

static uint64_t bits_of(double x)
{
  uint64_t bits;
  memcpy(&bits, &x, sizeof bits);
  return bits;
}

double fl4__epsilon(int dtype)
{
  return power_of_two(-format_of(dtype).fraction);
}

double fl4__round_to(double x, int dtype)
{
  const format f = format_of(dtype);
  const int exponent = (int)(bits_of(x) >> 52 & 0x7ff) - 1023;
  if (x == 0 || exponent == 1024) return x; /* zero, infinity, NaN */
  /* A sum with 1.5·2⁵² units in the last place of x rounds x to such a unit, to even. */
  const int unit = (exponent < f.min_exponent ? f.min_exponent : exponent) - f.fraction;
  if (unit + 52 > 1000) return x > 0 ? INFINITY : -INFINITY;
  const double big = 1.5 * power_of_two(52 + unit);
  const volatile double sum = x + big; /* volatile: also where the FPU keeps more bits */
  const double y = sum - big;
  if (fabs(y) >= power_of_two(f.max_exponent + 1)) return x > 0 ? INFINITY : -INFINITY;
  return y == 0 ? copysign(0, x) : y;
}

/* The 16 bits of a format. */
static double decode(uint16_t bits, int dtype)
{
  const format f = format_of(dtype);
  const int exponent = (bits & 0x7fff) >> f.fraction, fraction = bits & ((1 << f.fraction) - 1);
  const double sign = bits & 0x8000 ? -1 : 1;
  if (exponent == f.max_exponent - f.min_exponent + 2) return fraction ? (double)NAN : sign * INFINITY;
  if (exponent == 0) return sign * fraction * power_of_two(f.min_exponent - f.fraction);
  return sign * (fraction + (1 << f.fraction)) * power_of_two(exponent - 1 + f.min_exponent - f.fraction);
}

static uint16_t encode(double x, int dtype)
{
  const format f = format_of(dtype);
  const uint16_t sign = signbit(x) ? 0x8000 : 0;
  const uint16_t infinity = (uint16_t)((f.max_exponent - f.min_exponent + 2) << f.fraction);
  if (isnan(x)) return (uint16_t)(sign | infinity | 1u << (f.fraction - 1));
  const double y = fabs(fl4__round_to(x, dtype));
  if (isinf(y)) return sign | infinity;
  const double least = power_of_two(f.min_exponent);
  if (y < least) return (uint16_t)(sign | (unsigned)(y / power_of_two(f.min_exponent - f.fraction)));
  const int exponent = (int)(bits_of(y) >> 52) - 1023;
  const unsigned fraction = (unsigned)(bits_of(y) >> (52 - f.fraction)) & ((1u << f.fraction) - 1);
  return (uint16_t)(sign | (unsigned)(exponent - f.min_exponent + 1) << f.fraction | fraction);
}

float fl4__load(const void *elements, int dtype, int64_t index)
{
  if (dtype == FL4_DTYPE_FP32) return ((const float *)elements)[index];
  return (float)decode(((const uint16_t *)elements)[index], dtype);
}

void fl4__store(void *elements, int dtype, int64_t index, float value)
{
  if (dtype == FL4_DTYPE_FP32)
    ((float *)elements)[index] = value;
  else
    ((uint16_t *)elements)[index] = encode((double)value, dtype);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What one thread can do at most: multiply-adds without memory, and reading without arithmetic.
 * Compiled once for each instruction set, as fl4__host_fma_<FL4_HOST_ISA> and fl4__host_read_<…>.
 */
#include "forward.h"
#include "vector.h"

#define JOIN2(a, b) a##b
#define JOIN(a, b) JOIN2(a, b)
#define FMA JOIN(fl4__host_fma_, FL4_HOST_ISA)
#define READ JOIN(fl4__host_read_, FL4_HOST_ISA)

enum { SUMS = 12, LOADS = 8 }; /* enough that are independent to hide latency, few enough for the registers */

fl4__host_fma FMA;
fl4__host_read READ;

double FMA(int64_t rounds, float *result)
{
  const vf a = splat(0.9375f), b = splat(0.0625f);
  vf sum[SUMS];
  for (int i = 0; i < SUMS; i++) sum[i] = splat((float)(i + 2));
  for (int64_t round = 0; round < rounds; round++) {
    UNROLL for (int i = 0; i < SUMS; i++) sum[i] = sum[i] * a + b;
  }
  vf total = sum[0];
  for (int i = 1; i < SUMS; i++) total += sum[i];
  *result = max_of_lanes(total);
  return 2.0 * VL * SUMS * (double)rounds;
}

uint32_t READ(const void *memory, size_t bytes)
{
  const char *at = memory;
  vu sum[LOADS];
  for (int i = 0; i < LOADS; i++) sum[i] = (vu){0};
  for (const char *end = at + bytes; at < end; at += sizeof sum) {
    UNROLL for (int i = 0; i < LOADS; i++)
    {
      vu x;
      memcpy(&x, at + i * (int)sizeof x, sizeof x);
      sum[i] ^= x;
    }
  }
  uint32_t lanes[VL], result = 0;
  for (int i = 1; i < LOADS; i++) sum[0] ^= sum[i];
  memcpy(lanes, sum, sizeof lanes);
  for (int i = 0; i < VL; i++) result ^= lanes[i];
  return result;
}

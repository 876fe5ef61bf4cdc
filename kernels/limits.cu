// SPDX-License-Identifier: Apache-2.0
//
// What the machine can do at most: matrix products without memory, and memory without arithmetic.
// Operands are random, since power, and so the clock, depends on the bits that change.
#include "fl4_ptx.cuh"

// Two fp16 numbers of random sign and size between 1/8 and 2.
FL4_DEV u32 random_pair(u32 n)
{
  n *= 0x9e3779b1u;
  n = (n ^ n >> 16) * 0x85ebca6bu;
  n = (n ^ n >> 13) * 0xc2b2ae35u;
  return ((n ^ n >> 16) & 0x8fff8fffu) | 0x30003000u;
}

// Fills memory, `steps` times 16 bytes a thread of the grid.
FL4_KERNEL(fl4_limits_fill, 256, 1)(char *to, i64 steps)
{
  const i64 threads = grid_blocks() * 256ll, me = block_index() * 256ll + thread_index();
  for (i64 step = 0; step < steps; step++) {
    const i64 i = step * threads + me;
    u32 x[4];
#pragma unroll
    for (int j = 0; j < 4; j++) x[j] = random_pair((u32)(4 * i + j));
    store_global_128(to + 16 * i, x);
  }
}

// Products of a 32×16 by a 16×64 matrix in registers, 16 a round; the sums are all independent. The
// operands stay the same, so the sums grow steadily and few of their bits change: no kernel on real
// data is cooler, so none is faster. With signs that change every round an H200 did 510 in place of
// 621 TFLOP/s, at its power limit.
FL4_KERNEL(fl4_limits_mma, 256, 2)(int rounds, float *sums)
{
  const u32 me = block_index() * 256u + thread_index();
  u32 a[2][4], b[8][2];
  float c[2][8][4];
#pragma unroll
  for (int i = 0; i < 8; i++) a[i / 4][i % 4] = random_pair(24 * me + i);
#pragma unroll
  for (int i = 0; i < 16; i++) b[i / 2][i % 2] = random_pair(24 * me + 8 + i);
#pragma unroll
  for (int i = 0; i < 64; i++) c[i / 32][i / 4 % 8][i % 4] = 0.f;

  for (int round = 0; round < rounds; round++) {
#pragma unroll
    for (int m = 0; m < 2; m++)
#pragma unroll
      for (int n = 0; n < 8; n++) mma_16x8x16(c[m][n], a[m], b[n][0], b[n][1]);
  }

  float sum = 0.f;
#pragma unroll
  for (int i = 0; i < 64; i++) sum += c[i / 32][i / 4 % 8][i % 4];
  sums[me] = sum;
}

// Reads memory `passes` times: `steps` times 8 × 16 bytes a thread of the grid, which are under way together.
FL4_KERNEL(fl4_limits_read, 256, 4)(const char *from, i64 steps, int passes, u32 *sums)
{
  enum { LOADS = 8 };
  const i64 stride = grid_blocks() * 256ll * 16, me = block_index() * 256ll + thread_index();
  u32 sum = 0;
  for (int pass = 0; pass < passes; pass++) {
    const char *at = from + 16 * me;
    for (i64 step = 0; step < steps; step++) {
      u32 x[LOADS][4];
#pragma unroll
      for (int i = 0; i < LOADS; i++) load_global_128_once(x[i], at + i * stride);
#pragma unroll
      for (int i = 0; i < LOADS; i++) sum ^= x[i][0] ^ x[i][1] ^ x[i][2] ^ x[i][3];
      at += LOADS * stride;
    }
  }
  sums[me] = sum;
}

// SPDX-License-Identifier: Apache-2.0
//
// Every instruction of fl4_ptx_hopper.cuh that has a result, by one warpgroup, as pin.cu has those of fl4_ptx.cuh. A
// GPU has run it once (tests/gpu/dump_pin.c) and what it wrote is pinned_hopper_h200.txt; the emulator must write the
// same.
#include "fl4_abi.h"
#include "fl4_ptx_hopper.cuh"
#include "pin_hopper.h"

FL4_WGMMA(8)
FL4_WGMMA(64)
FL4_WGMMA(80)
FL4_WGMMA(128)
FL4_WGMMA(256)

struct Pin {
  const fl4_fwd_tma_params *params;
  char *out; // words, FL4_PIN_HOPPER_WORDS a case
  u32 q, k, v, barrier;
  int thread;
};

FL4_DEV char *result(const Pin &p, int test, int e = 0)
{
  return p.out + (test * FL4_PIN_HOPPER_WORDS + p.thread * 4 + e) * 4;
}
FL4_DEV void put(const Pin &p, int test, const u32 (&x)[4])
{
  store_global_128(result(p, test), x);
}
// NaNs have one bit pattern here.
FL4_DEV void put(const Pin &p, int test, const float (&x)[4])
{
  for (int e = 0; e < 4; e++) store_global_32(result(p, test, e), x[e] != x[e] ? float_from_bits(0x7fc00000) : x[e]);
}
FL4_DEV u32 hash(u32 before, u32 x)
{
  return (before ^ x) * 16777619u;
} // FNV-1a

// ---------------------------------------------------------------- copies

// One box after the other, each in a phase of the barrier.
struct Copies {
  u32 phase;
};

FL4_DEV void load(const Pin &p, Copies &c, u32 to, const fl4_tensor_map *map, int rows, int pages, int column, int row,
                  int head, int batch)
{
  async_fence(); // behind this thread's reads of what was there
  block_barrier();
  if (p.thread == 0) {
    mbarrier_arrive_expect(p.barrier, pages * rows * 128);
    for (int page = 0; page < pages; page++)
      tma_load(to + page * rows * 128, map, p.barrier, column + page * 64, row, head, batch);
  }
  mbarrier_wait(p.barrier, c.phase & 1);
  c.phase++;
}

FL4_DEV void box(const Pin &p, Copies &c, int test, int column, int row, int head, int batch)
{
  u32 r[4];
  load(p, c, p.q, &p.params->q, FL4_PIN_Q_ROWS, 1, column, row, head, batch);
  for (int e = 0; e < 4; e++) {
    u32 x[4];
    load_shared_128(x, p.q + (e * 128 + p.thread) * 16);
    r[e] = 2166136261u;
    for (int i = 0; i < 4; i++) r[e] = hash(r[e], x[i]);
  }
  put(p, test, r);
}

FL4_DEV void boxes(const Pin &p, Copies &c)
{
  box(p, c, FL4_PIN_HOPPER_TMA_INSIDE, 64, 5, 1, 0);
  box(p, c, FL4_PIN_HOPPER_TMA_COLUMNS, FL4_PIN_COLUMNS - 24, 17, 0, 1);
  box(p, c, FL4_PIN_HOPPER_TMA_ROWS, 0, FL4_PIN_ROWS - 10, 1, 1);
  box(p, c, FL4_PIN_HOPPER_TMA_BEFORE, -16, -3, 0, 0);
  box(p, c, FL4_PIN_HOPPER_TMA_ODD, 40, 100, 1, 1);
  box(p, c, FL4_PIN_HOPPER_TMA_OUTSIDE, 0, 0, FL4_PIN_HEADS, 0);
}

// ---------------------------------------------------------------- products

// What is there before. By way of an exchange, lest the compiler keeps the numbers of one case for the next.
template <int N> FL4_DEV void fill(const Pin &p, float (&d)[N])
{
  const int first = shuffle_xor_32(p.thread, 1);
#pragma unroll
  for (int i = 0; i < N; i++) d[i] = i * 128 + first;
}

// Sums are whole numbers. All are hashed, and some shown.
template <int N> FL4_DEV void put_sums(const Pin &p, int test, const float (&d)[N])
{
  u32 all = 2166136261u;
#pragma unroll
  for (int i = 0; i < N; i++) all = hash(all, (u32)(int)d[i]);
  const u32 r[4] = {all, (u32)(int)d[0], (u32)(int)d[N / 2 - 1], (u32)(int)d[N - 1]};
  put(p, test, r);
}

template <int N> FL4_DEV void shared(const Pin &p, int test, bool add)
{
  const u32 a = wgmma_matrix(p.q, 16), b = wgmma_matrix(p.k, 16);
  float d[N / 2];
  fill(p, d);
  wgmma_fence();
#pragma unroll
  for (int i = 0; i < 8; i++)
    Wgmma<N>::shared(d, a + i / 4 * (FL4_PIN_Q_ROWS * 128 >> 4) + i % 4 * WGMMA_NEXT_COLUMNS,
                     b + i / 4 * (FL4_PIN_K_ROWS * 128 >> 4) + i % 4 * WGMMA_NEXT_COLUMNS, i > 0 || add);
  wgmma_commit();
  wgmma_wait<0>();
  wgmma_arrived(d);
  put_sums(p, test, d);
}

// A: whole numbers, distinct in a thread and nearly so beyond it.
FL4_DEV u32 weights(const Pin &p, int n)
{
  const int i = n * 128 + p.thread;
  return pack_2((i * 37 + 11) % 127 - 63, (i * 53 + 5) % 125 - 62);
}

template <int N> FL4_DEV void registers(const Pin &p, int test)
{
  const u32 b = wgmma_matrix(p.v, FL4_PIN_V_ROWS * 128);
  float d[N / 2];
  u32 a[FL4_PIN_V_ROWS / 4];
  fill(p, d);
  for (int i = 0; i < FL4_PIN_V_ROWS / 4; i++) a[i] = weights(p, i);
  wgmma_fence();
#pragma unroll
  for (int i = 0; i < FL4_PIN_V_ROWS / 16; i++)
    Wgmma<N>::registers(d, a[4 * i], a[4 * i + 1], a[4 * i + 2], a[4 * i + 3], b + i * WGMMA_NEXT_ROWS);
  wgmma_commit();
  wgmma_wait<0>();
  wgmma_arrived(d);
  put_sums(p, test, d);
}

// Row i of a warp's part of A is all zeros but for one element, at k = i, of a kind each; B is all 1, or in bf16, whose
// smallest products would be subnormal floats, all 2^20.
FL4_DEV void special(const Pin &p)
{
  const u32 one = FL4_BF16 ? 0x4980 : 0x3c00, number = FL4_BF16 ? 0x3f80 : 0x3c00;
  const u32 infinity = FL4_BF16 ? 0x7f80 : 0x7c00;
  const u32 ones[4] = {one | one << 16, one | one << 16, one | one << 16, one | one << 16};
  const int lane = p.thread % 32, g = lane / 4, t = lane % 4;
  u32 a[4];
  block_barrier();
  store_shared_128(p.v + p.thread * 16, ones); // 16 rows
  mbarrier_init_fence();                       // it is a fence for the asynchronous units
  block_barrier();
  for (int e = 0; e < 4; e++) {
    const int i = g + e % 2 * 8, k = 2 * t + e / 2 * 8;
    u32 kind = number + i;
    if (i == 1) kind = 1; // the smallest subnormal
    if (i == 3) kind = 0x8003;
    if (i == 5) kind = infinity;
    if (i == 7) kind = infinity | 0x8000;
    if (i == 8) kind = infinity + 1;
    if (i == 12) kind = infinity - 1; // the largest number: in bf16 its product is infinite
    a[e] = i == k ? kind : i == k + 1 ? kind << 16 : 0;
    if (i == 9 && k == 8) a[e] = infinity | (infinity | 0x8000) << 16; // inf - inf
  }
  float d[4] = {0, 0, 0, 0};
  wgmma_fence();
  Wgmma<8>::registers(d, a[0], a[1], a[2], a[3], wgmma_matrix(p.v, 16));
  wgmma_commit();
  wgmma_wait<0>();
  wgmma_arrived(d);
  put(p, FL4_PIN_HOPPER_SPECIAL, d);
}

FL4_DEV void products(const Pin &p, Copies &c)
{
  load(p, c, p.q, &p.params->q, FL4_PIN_Q_ROWS, 2, 0, 3, 0, 1);
  load(p, c, p.k, &p.params->k, FL4_PIN_K_ROWS, 2, 128, 40, 1, 0); // the last columns are outside
  load(p, c, p.v, &p.params->v, FL4_PIN_V_ROWS, 4, 0, 77, 1, 1);
  // Each by itself: together they would want too many registers.
  if (block_index() == 0) shared<8>(p, FL4_PIN_HOPPER_SHARED_8, false);
  if (block_index() == 0) shared<80>(p, FL4_PIN_HOPPER_SHARED_80, false);
  if (block_index() == 0) shared<128>(p, FL4_PIN_HOPPER_SHARED_128, false);
  if (block_index() == 0) shared<256>(p, FL4_PIN_HOPPER_SHARED_256, false);
  if (block_index() == 0) shared<64>(p, FL4_PIN_HOPPER_SHARED_ADD, true);
  if (block_index() == 0) registers<8>(p, FL4_PIN_HOPPER_REGISTERS_8);
  if (block_index() == 0) registers<80>(p, FL4_PIN_HOPPER_REGISTERS_80);
  if (block_index() == 0) registers<128>(p, FL4_PIN_HOPPER_REGISTERS_128);
  if (block_index() == 0) registers<256>(p, FL4_PIN_HOPPER_REGISTERS_256);
  special(p);
}

// ---------------------------------------------------------------- the rest

FL4_DEV void exchanges(const Pin &p)
{
  u32 r[4];
  const int masks[4] = {1, 2, 16, 31};
  for (int e = 0; e < 4; e++) r[e] = shuffle_xor_32(0x7f800001 + p.thread * 4 + e, masks[e]);
  put(p, FL4_PIN_HOPPER_SHUFFLE_32, r);
  for (int e = 0; e < 4; e++) r[e] = 7;
  put(p, FL4_PIN_HOPPER_STORE_IF, r);
  for (int e = 0; e < 4; e++) r[e] = p.thread * 4 + e;
  store_global_128_if(p.thread % 3 == 0, result(p, FL4_PIN_HOPPER_STORE_IF), r);
}

// Two bits a test: is the phase of parity 0 over, and that of parity 1?
FL4_DEV u32 phases(u32 barrier)
{
  return mbarrier_test(barrier, 0) | (u32)mbarrier_test(barrier, 1) << 1;
}

// By thread 0; the others write zeros.
FL4_DEV void barriers(const Pin &p)
{
  u32 r[4] = {0, 0, 0, 0};
  const u32 own = p.barrier + 8;
  block_barrier();
  if (p.thread == 0) {
    mbarrier_init(own, 2);
    mbarrier_init_fence();
    r[0] = phases(own);
    mbarrier_arrive(own);
    r[0] |= phases(own) << 2;
    mbarrier_arrive(own);
    r[0] |= phases(own) << 4;
    mbarrier_arrive(own);
    mbarrier_arrive(own);
    r[0] |= phases(own) << 6;
    // All have arrived, and a copy is missing.
    mbarrier_arrive(own);
    mbarrier_arrive_expect(own, FL4_PIN_Q_ROWS * 128);
    r[1] = phases(own);
    tma_load(p.q, &p.params->q, own, 0, 0, 0, 0);
    mbarrier_wait(own, 0);
    r[2] = phases(own);
    mbarrier_wait(own, 0);
    r[3] = 1;
  }
  put(p, FL4_PIN_HOPPER_MBARRIER, r);
}

FL4_KERNEL(fl4_pin_hopper, FL4_PIN_HOPPER_THREADS, 1)(FL4_PARAM fl4_fwd_tma_params params)
{
  const u32 base = smem_base();
  const Pin p = {&params,
                 reinterpret_cast<char *>(params.fwd.o),
                 base,
                 base + FL4_PIN_K_AT,
                 base + FL4_PIN_V_AT,
                 base + FL4_PIN_BARRIER_AT,
                 thread_index()};
  Copies c = {0};
  if (p.thread == 0) mbarrier_init(p.barrier, 1), mbarrier_init_fence();
  block_barrier();
  boxes(p, c);
  products(p, c);
  exchanges(p);
  barriers(p);
}

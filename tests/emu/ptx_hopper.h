/* SPDX-License-Identifier: Apache-2.0 */
/* kernels/fl4_ptx_hopper.cuh for the emulator, as ptx.h is fl4_ptx.cuh: included behind it, ahead of any kernel. */
#ifndef FL4_PTX_HOPPER_CUH
#define FL4_PTX_HOPPER_CUH

#include "fl4_abi.h"
#include "ptx.h"

FL4_DEV int warpgroup_index() { return thread_index() / 128; }
template <int N> FL4_DEV void give_registers(FL4_SITE) { emu::give_registers(FL4_AT("setmaxnreg.dec"), N); }
template <int N> FL4_DEV void take_registers(FL4_SITE) { emu::take_registers(FL4_AT("setmaxnreg.inc"), N); }
FL4_DEV void named_barrier(int id, int threads, FL4_SITE) { emu::named_barrier(FL4_AT("bar.sync"), id, threads); }
FL4_DEV void named_barrier_arrive(int id, int threads, FL4_SITE)
{
  emu::named_barrier_arrive(FL4_AT("bar.arrive"), id, threads);
}

FL4_DEV void mbarrier_init(u32 barrier, u32 count, FL4_SITE)
{
  emu::mbarrier_init(FL4_AT("mbarrier.init"), barrier, count);
}
FL4_DEV void mbarrier_init_fence() { emu::mbarrier_init_fence(); }
FL4_DEV void async_fence() { emu::async_fence(); }
FL4_DEV void mbarrier_arrive(u32 barrier, FL4_SITE) { emu::mbarrier_arrive(FL4_AT("mbarrier.arrive"), barrier); }
FL4_DEV void mbarrier_arrive_expect(u32 barrier, u32 bytes, FL4_SITE)
{
  emu::mbarrier_arrive_expect(FL4_AT("mbarrier.arrive.expect_tx"), barrier, bytes);
}
FL4_DEV bool mbarrier_test(u32 barrier, u32 parity, FL4_SITE)
{
  return emu::mbarrier_test(FL4_AT("mbarrier.test_wait"), barrier, parity);
}
FL4_DEV void mbarrier_wait(u32 barrier, u32 parity, FL4_SITE)
{
  emu::mbarrier_wait(FL4_AT("mbarrier.try_wait"), barrier, parity);
}

FL4_DEV void tma_prefetch(const fl4_tensor_map *map, FL4_SITE) { emu::tma_prefetch(FL4_AT("prefetch.tensormap"), map); }
FL4_DEV void tma_load(u32 to, const fl4_tensor_map *map, u32 barrier, int column, int row, int head, int batch,
                      FL4_SITE)
{
  emu::tma_load(FL4_AT("cp.async.bulk"), to, map, barrier, column, row, head, batch);
}

FL4_DEV void wgmma_fence() { emu::wgmma_fence(); }
FL4_DEV void wgmma_commit(FL4_SITE) { emu::wgmma_commit(FL4_AT("wgmma.commit_group")); }
template <int N> FL4_DEV void wgmma_wait(FL4_SITE) { emu::wgmma_wait(FL4_AT("wgmma.wait_group"), N); }
template <int N> FL4_DEV void wgmma_arrived(float (&d)[N], FL4_SITE) { emu::wgmma_arrived(FL4_AT("wgmma"), d); }

constexpr u32 WGMMA_NEXT_COLUMNS = 32 >> 4, WGMMA_NEXT_ROWS = 16 * 128 >> 4, WGMMA_HIGH = 0x40000000u | 1024 >> 4;
FL4_DEV u32 wgmma_matrix(u32 address, u32 page_bytes) { return (address & 0x3ffff) >> 4 | (page_bytes >> 4) << 16; }

template <int N> struct Wgmma {
  static FL4_MEMBER void shared(float (&d)[N / 2], u32 a, u32 b, int add, FL4_SITE)
  {
    emu::wgmma_shared(FL4_AT("wgmma"), d, N, a, b, add, FL4_BF16);
  }
  static FL4_MEMBER void registers(float (&d)[N / 2], u32 a0, u32 a1, u32 a2, u32 a3, u32 b, FL4_SITE)
  {
    emu::wgmma_registers(FL4_AT("wgmma"), d, N, {a0, a1, a2, a3}, b, FL4_BF16);
  }
};
#define FL4_WGMMA(n)

FL4_DEV u32 shuffle_xor_32(u32 x, int mask, FL4_SITE) { return emu::exchange_xor(FL4_AT("shfl"), x, mask); }
FL4_DEV void store_global_128_if(bool there, void *address, const u32 (&x)[4], FL4_SITE)
{
  if (there) emu::store_global(FL4_AT("st.global.v4"), address, x, 16);
}

#endif

// SPDX-License-Identifier: Apache-2.0
//
// The machine, continued: what sm_90a adds. Barriers in shared memory, the bulk copy engine, matrix products of a
// warpgroup. As in fl4_ptx.cuh one PTX instruction is one function, and an emulator replaces this file with it.
// Section numbers are those of the PTX ISA manual, 8.5.
#ifndef FL4_PTX_HOPPER_CUH
#define FL4_PTX_HOPPER_CUH

#include "fl4_abi.h"
#include "fl4_ptx.cuh"

// ---------------------------------------------------------------- warps and warpgroups

// The warpgroup of this thread: 128 threads. The same value for all lanes, so that the compiler knows it.
FL4_DEV int warpgroup_index() { return __shfl_sync(0xffffffffu, (int)threadIdx.x >> 7, 0); }

// Moves registers from a warpgroup to the block's pool, and from there to another one, which waits until there are enough.
// All warps of the group; N a multiple of 8 from 24 to 256. setmaxnreg, 9.7.19.5
template <int N> FL4_DEV void give_registers() { asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(N)); }
template <int N> FL4_DEV void take_registers() { asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(N)); }

// A barrier of `threads` threads of the block, whole warps; number 0 is the block's own. The second function arrives
// and goes on. 9.7.13.1
FL4_DEV void named_barrier(int id, int threads)
{
  asm volatile("bar.sync %0, %1;" ::"r"(id), "r"(threads) : "memory");
}
FL4_DEV void named_barrier_arrive(int id, int threads)
{
  asm volatile("bar.arrive %0, %1;" ::"r"(id), "r"(threads) : "memory");
}

// ---------------------------------------------------------------- barriers in shared memory, 9.7.13.15

// A barrier of 8 bytes. Its phase is complete when `count` threads have arrived, and all bytes that were announced in
// the phase have been copied; then the next phase begins.
FL4_DEV void mbarrier_init(u32 barrier, u32 count)
{
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(barrier), "r"(count) : "memory");
}
// Makes initialised barriers known to the copy engine; a barrier of the block must follow.
FL4_DEV void mbarrier_init_fence()
{
  asm volatile("fence.mbarrier_init.release.cluster;\nfence.proxy.async;" ::: "memory");
}
// Puts copies to shared memory, and matrix products from it, behind the thread's loads and stores there. Of global memory too it
// would wait for the whole GPU. 9.7.13.4
FL4_DEV void async_fence() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }
FL4_DEV void mbarrier_arrive(u32 barrier)
{
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(barrier) : "memory");
}
// Announces bytes that will be copied in this phase, and arrives.
FL4_DEV void mbarrier_arrive_expect(u32 barrier, u32 bytes)
{
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(barrier), "r"(bytes) : "memory");
}
// Is the phase of this parity over? 0 is that of the first, the third, …; while the first goes on, parity 1 is over.
FL4_DEV bool mbarrier_test(u32 barrier, u32 parity)
{
  u32 over;
  asm volatile("{ .reg .pred p; mbarrier.test_wait.parity.shared::cta.b64 p, [%1], %2; selp.u32 %0, 1, 0, p; }"
               : "=r"(over)
               : "r"(barrier), "r"(parity)
               : "memory");
  return over;
}
// Waits until it is.
FL4_DEV void mbarrier_wait(u32 barrier, u32 parity)
{
  asm volatile("{ .reg .pred p;\n"
               "again: mbarrier.try_wait.parity.shared::cta.b64 p, [%0], %1;\n"
               "@!p bra.uni again; }" ::"r"(barrier),
               "r"(parity)
               : "memory");
}

// ---------------------------------------------------------------- the bulk copy engine, 9.7.9.27

// Fetches a tensor map ahead of its first use.
FL4_DEV void tma_prefetch(const fl4_tensor_map *map)
{
  asm volatile("prefetch.tensormap [%0];" ::"l"(map) : "memory");
}
// Copies a box of the map's tensor, which begins at (column, row, head, batch), to shared memory, and completes
// its bytes on `barrier`. What lies outside of the tensor becomes 0, and counts as copied. `to`: 1024-byte aligned; rows are 128
// bytes apart, and 16-byte chunk c of row r lies at place c ^ (r % 8). By one thread.
FL4_DEV void tma_load(u32 to, const fl4_tensor_map *map, u32 barrier, int column, int row, int head, int batch)
{
  asm volatile("cp.async.bulk.tensor.4d.shared::cluster.global.tile.mbarrier::complete_tx::bytes "
               "[%0], [%1, {%3, %4, %5, %6}], [%2];" ::"r"(to),
               "l"(map), "r"(barrier), "r"(column), "r"(row), "r"(head), "r"(batch)
               : "memory");
}

// ---------------------------------------------------------------- matrix products of a warpgroup, 9.7.15

// Orders this thread's accesses to the registers of products before the products that follow. wgmma.fence, 9.7.15.7.1
FL4_DEV void wgmma_fence() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
// Closes the group of products issued since the last commit. 9.7.15.7.2
FL4_DEV void wgmma_commit() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
// Waits until at most N of the latest groups are pending. 9.7.15.7.3
template <int N> FL4_DEV void wgmma_wait() { asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(N) : "memory"); }
// Tells the compiler that these registers have changed by now: to be said behind the wait.
template <int N> FL4_DEV void wgmma_arrived(float (&d)[N])
{
#pragma unroll
  for (int i = 0; i < N; i++) asm volatile("" : "+f"(d[i])::"memory");
}

// Describes a matrix in shared memory that tma_load() has written, by the low half of a descriptor; the high half is the
// same for all: 8 rows are 1024 bytes, their 16-byte chunks swizzled. 9.7.15.5.1
// - Rows along a dimension of the result (Q and K): 64 columns, a page, of which a product takes 16; the next ones are
//   WGMMA_NEXT_COLUMNS further. `page_bytes` does not matter.
// - Rows along the dimension that is summed (V): pages of 64 columns, `page_bytes` apart. A product takes 16 rows; the
//   next ones are WGMMA_NEXT_ROWS further.
constexpr u32 WGMMA_NEXT_COLUMNS = 32 >> 4, WGMMA_NEXT_ROWS = 16 * 128 >> 4, WGMMA_HIGH = 0x40000000u | 1024 >> 4;
FL4_DEV u32 wgmma_matrix(u32 address, u32 page_bytes) { return (address & 0x3ffff) >> 4 | (page_bytes >> 4) << 16; }

// D (64×N, fp32) += A (64×16) · B (16×N), fp16 or bf16 by FL4_BF16. Asynchronous: D may be touched again, and A's
// registers or memory and B's memory changed, when it has been waited for. With g = lane/4, t = lane%4 and warp w of the
// group: d[4i], d[4i+1] are D[16w + g][8i + 2t, 8i + 2t + 1], d[4i+2], d[4i+3] the same of row 16w + g + 8.
// - shared:    A and B in shared memory, both with rows along D's dimensions. Without `add` D = A · B.
// - registers: a[0..3] as in mma_16x8x16(), of rows 16w…; B in shared memory, with rows along the summed dimension.
// wgmma.mma_async, 9.7.15.5.2. N is a multiple of 8 up to 256; FL4_WGMMA(N) defines the two for a kernel that needs them.
template <int N> struct Wgmma;

#if FL4_BF16
#define FL4_WGMMA_TYPES "k16.f32.bf16.bf16"
#else
#define FL4_WGMMA_TYPES "k16.f32.f16.f16"
#endif
// Both have five operands ahead of the accumulators, which so are %5, %6, … in either. All are written down as read
// and written, for an operand that is only read would come behind the accumulators, at a number that depends on N.
#define FL4_WGMMA(n) FL4_WGMMA_SHAPE(n) // n may be a macro
#define FL4_WGMMA_SHAPE(n)                                                                                             \
  template <> struct Wgmma<n> {                                                                                        \
    static FL4_MEMBER void shared(float (&d)[n / 2], u32 a, u32 b, int add)                                            \
    {                                                                                                                  \
      u32 a_high = WGMMA_HIGH, b_high = WGMMA_HIGH;                                                                    \
      asm volatile("{ .reg .b64 a, b; .reg .pred add;\n"                                                               \
                   "mov.b64 a, {%0, %1}; mov.b64 b, {%2, %3}; setp.ne.b32 add, %4, 0;\n"                               \
                   "wgmma.mma_async.sync.aligned.m64n" #n FL4_WGMMA_TYPES " {" FL4_WGMMA_NAMES_##n                     \
                   "}, a, b, add, 1, 1, 0, 0; }"                                                                       \
                   : "+r"(a), "+r"(a_high), "+r"(b), "+r"(b_high), "+r"(add), FL4_WGMMA_BIND_##n(d));                  \
    }                                                                                                                  \
    static FL4_MEMBER void registers(float (&d)[n / 2], u32 a0, u32 a1, u32 a2, u32 a3, u32 b)                         \
    {                                                                                                                  \
      asm volatile("{ .reg .b32 high; .reg .b64 b; .reg .pred add;\n"                                                  \
                   "mov.b32 high, 0x40000040; mov.b64 b, {%4, high}; setp.eq.b32 add, 0, 0;\n"                         \
                   "wgmma.mma_async.sync.aligned.m64n" #n FL4_WGMMA_TYPES " {" FL4_WGMMA_NAMES_##n                     \
                   "}, {%0, %1, %2, %3}, b, add, 1, 1, 1; }"                                                           \
                   : "+r"(a0), "+r"(a1), "+r"(a2), "+r"(a3), "+r"(b), FL4_WGMMA_BIND_##n(d));                          \
    }                                                                                                                  \
  };

// The accumulators of each N, each line from the one before.
// clang-format off
#define FL4_WGMMA_BIND(d, i) "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3])
#define FL4_WGMMA_BIND_8(d) FL4_WGMMA_BIND(d, 0)
#define FL4_WGMMA_BIND_16(d) FL4_WGMMA_BIND_8(d), FL4_WGMMA_BIND(d, 4)
#define FL4_WGMMA_BIND_24(d) FL4_WGMMA_BIND_16(d), FL4_WGMMA_BIND(d, 8)
#define FL4_WGMMA_BIND_32(d) FL4_WGMMA_BIND_24(d), FL4_WGMMA_BIND(d, 12)
#define FL4_WGMMA_BIND_40(d) FL4_WGMMA_BIND_32(d), FL4_WGMMA_BIND(d, 16)
#define FL4_WGMMA_BIND_48(d) FL4_WGMMA_BIND_40(d), FL4_WGMMA_BIND(d, 20)
#define FL4_WGMMA_BIND_56(d) FL4_WGMMA_BIND_48(d), FL4_WGMMA_BIND(d, 24)
#define FL4_WGMMA_BIND_64(d) FL4_WGMMA_BIND_56(d), FL4_WGMMA_BIND(d, 28)
#define FL4_WGMMA_BIND_72(d) FL4_WGMMA_BIND_64(d), FL4_WGMMA_BIND(d, 32)
#define FL4_WGMMA_BIND_80(d) FL4_WGMMA_BIND_72(d), FL4_WGMMA_BIND(d, 36)
#define FL4_WGMMA_BIND_88(d) FL4_WGMMA_BIND_80(d), FL4_WGMMA_BIND(d, 40)
#define FL4_WGMMA_BIND_96(d) FL4_WGMMA_BIND_88(d), FL4_WGMMA_BIND(d, 44)
#define FL4_WGMMA_BIND_104(d) FL4_WGMMA_BIND_96(d), FL4_WGMMA_BIND(d, 48)
#define FL4_WGMMA_BIND_112(d) FL4_WGMMA_BIND_104(d), FL4_WGMMA_BIND(d, 52)
#define FL4_WGMMA_BIND_120(d) FL4_WGMMA_BIND_112(d), FL4_WGMMA_BIND(d, 56)
#define FL4_WGMMA_BIND_128(d) FL4_WGMMA_BIND_120(d), FL4_WGMMA_BIND(d, 60)
#define FL4_WGMMA_BIND_136(d) FL4_WGMMA_BIND_128(d), FL4_WGMMA_BIND(d, 64)
#define FL4_WGMMA_BIND_144(d) FL4_WGMMA_BIND_136(d), FL4_WGMMA_BIND(d, 68)
#define FL4_WGMMA_BIND_152(d) FL4_WGMMA_BIND_144(d), FL4_WGMMA_BIND(d, 72)
#define FL4_WGMMA_BIND_160(d) FL4_WGMMA_BIND_152(d), FL4_WGMMA_BIND(d, 76)
#define FL4_WGMMA_BIND_168(d) FL4_WGMMA_BIND_160(d), FL4_WGMMA_BIND(d, 80)
#define FL4_WGMMA_BIND_176(d) FL4_WGMMA_BIND_168(d), FL4_WGMMA_BIND(d, 84)
#define FL4_WGMMA_BIND_184(d) FL4_WGMMA_BIND_176(d), FL4_WGMMA_BIND(d, 88)
#define FL4_WGMMA_BIND_192(d) FL4_WGMMA_BIND_184(d), FL4_WGMMA_BIND(d, 92)
#define FL4_WGMMA_BIND_200(d) FL4_WGMMA_BIND_192(d), FL4_WGMMA_BIND(d, 96)
#define FL4_WGMMA_BIND_208(d) FL4_WGMMA_BIND_200(d), FL4_WGMMA_BIND(d, 100)
#define FL4_WGMMA_BIND_216(d) FL4_WGMMA_BIND_208(d), FL4_WGMMA_BIND(d, 104)
#define FL4_WGMMA_BIND_224(d) FL4_WGMMA_BIND_216(d), FL4_WGMMA_BIND(d, 108)
#define FL4_WGMMA_BIND_232(d) FL4_WGMMA_BIND_224(d), FL4_WGMMA_BIND(d, 112)
#define FL4_WGMMA_BIND_240(d) FL4_WGMMA_BIND_232(d), FL4_WGMMA_BIND(d, 116)
#define FL4_WGMMA_BIND_248(d) FL4_WGMMA_BIND_240(d), FL4_WGMMA_BIND(d, 120)
#define FL4_WGMMA_BIND_256(d) FL4_WGMMA_BIND_248(d), FL4_WGMMA_BIND(d, 124)
#define FL4_WGMMA_NAMES_8 "%5, %6, %7, %8"
#define FL4_WGMMA_NAMES_16 FL4_WGMMA_NAMES_8 ", %9, %10, %11, %12"
#define FL4_WGMMA_NAMES_24 FL4_WGMMA_NAMES_16 ", %13, %14, %15, %16"
#define FL4_WGMMA_NAMES_32 FL4_WGMMA_NAMES_24 ", %17, %18, %19, %20"
#define FL4_WGMMA_NAMES_40 FL4_WGMMA_NAMES_32 ", %21, %22, %23, %24"
#define FL4_WGMMA_NAMES_48 FL4_WGMMA_NAMES_40 ", %25, %26, %27, %28"
#define FL4_WGMMA_NAMES_56 FL4_WGMMA_NAMES_48 ", %29, %30, %31, %32"
#define FL4_WGMMA_NAMES_64 FL4_WGMMA_NAMES_56 ", %33, %34, %35, %36"
#define FL4_WGMMA_NAMES_72 FL4_WGMMA_NAMES_64 ", %37, %38, %39, %40"
#define FL4_WGMMA_NAMES_80 FL4_WGMMA_NAMES_72 ", %41, %42, %43, %44"
#define FL4_WGMMA_NAMES_88 FL4_WGMMA_NAMES_80 ", %45, %46, %47, %48"
#define FL4_WGMMA_NAMES_96 FL4_WGMMA_NAMES_88 ", %49, %50, %51, %52"
#define FL4_WGMMA_NAMES_104 FL4_WGMMA_NAMES_96 ", %53, %54, %55, %56"
#define FL4_WGMMA_NAMES_112 FL4_WGMMA_NAMES_104 ", %57, %58, %59, %60"
#define FL4_WGMMA_NAMES_120 FL4_WGMMA_NAMES_112 ", %61, %62, %63, %64"
#define FL4_WGMMA_NAMES_128 FL4_WGMMA_NAMES_120 ", %65, %66, %67, %68"
#define FL4_WGMMA_NAMES_136 FL4_WGMMA_NAMES_128 ", %69, %70, %71, %72"
#define FL4_WGMMA_NAMES_144 FL4_WGMMA_NAMES_136 ", %73, %74, %75, %76"
#define FL4_WGMMA_NAMES_152 FL4_WGMMA_NAMES_144 ", %77, %78, %79, %80"
#define FL4_WGMMA_NAMES_160 FL4_WGMMA_NAMES_152 ", %81, %82, %83, %84"
#define FL4_WGMMA_NAMES_168 FL4_WGMMA_NAMES_160 ", %85, %86, %87, %88"
#define FL4_WGMMA_NAMES_176 FL4_WGMMA_NAMES_168 ", %89, %90, %91, %92"
#define FL4_WGMMA_NAMES_184 FL4_WGMMA_NAMES_176 ", %93, %94, %95, %96"
#define FL4_WGMMA_NAMES_192 FL4_WGMMA_NAMES_184 ", %97, %98, %99, %100"
#define FL4_WGMMA_NAMES_200 FL4_WGMMA_NAMES_192 ", %101, %102, %103, %104"
#define FL4_WGMMA_NAMES_208 FL4_WGMMA_NAMES_200 ", %105, %106, %107, %108"
#define FL4_WGMMA_NAMES_216 FL4_WGMMA_NAMES_208 ", %109, %110, %111, %112"
#define FL4_WGMMA_NAMES_224 FL4_WGMMA_NAMES_216 ", %113, %114, %115, %116"
#define FL4_WGMMA_NAMES_232 FL4_WGMMA_NAMES_224 ", %117, %118, %119, %120"
#define FL4_WGMMA_NAMES_240 FL4_WGMMA_NAMES_232 ", %121, %122, %123, %124"
#define FL4_WGMMA_NAMES_248 FL4_WGMMA_NAMES_240 ", %125, %126, %127, %128"
#define FL4_WGMMA_NAMES_256 FL4_WGMMA_NAMES_248 ", %129, %130, %131, %132"
// clang-format on

// ---------------------------------------------------------------- arithmetic

// The value of lane ^ mask, 32 bits. 9.7.8.6
FL4_DEV u32 shuffle_xor_32(u32 x, int mask)
{
  u32 y;
  asm volatile("shfl.sync.bfly.b32 %0, %1, %2, 0x1f, 0xffffffff;" : "=r"(y) : "r"(x), "r"(mask));
  return y;
}
// The same as store_global_128(), if `there`; without a branch.
FL4_DEV void store_global_128_if(bool there, void *address, const u32 (&x)[4])
{
  asm volatile("{ .reg .pred p; setp.ne.u32 p, %5, 0; @p st.global.v4.b32 [%0], {%1,%2,%3,%4}; }" ::"l"(address),
               "r"(x[0]), "r"(x[1]), "r"(x[2]), "r"(x[3]), "r"((u32)there)
               : "memory");
}

#endif

// SPDX-License-Identifier: Apache-2.0
//
// The machine: one PTX instruction, one function. This is the only file with inline assembly, and
// the only one that an emulator has to replace. Section numbers are those of the PTX ISA manual, 8.5.
#ifndef FL4_PTX_CUH
#define FL4_PTX_CUH

typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef long long i64;

#define FL4_DEV static __device__ __forceinline__
#define FL4_MEMBER __device__ __forceinline__
#define FL4_KERNEL(name, threads, ctas) extern "C" __global__ void __launch_bounds__(threads, ctas) name
#define FL4_PARAM const __grid_constant__

// ---------------------------------------------------------------- where am I

FL4_DEV int thread_index() { return threadIdx.x; }
// Volatile, so that what follows from it can be worked out again where it would be dear to keep.
FL4_DEV int block_index()
{
  int x;
  asm volatile("mov.u32 %0, %%ctaid.x;" : "=r"(x));
  return x;
}
FL4_DEV int lane_index()
{
  int x;
  asm volatile("mov.u32 %0, %%laneid;" : "=r"(x));
  return x;
}
FL4_DEV int grid_blocks() { return gridDim.x; }

// Address of the block's dynamic shared memory in the shared window (32 bits). 5.1.7
FL4_DEV u32 smem_base()
{
  extern __shared__ __align__(1024) unsigned char dynamic_smem[];
  u32 address;
  asm("{ .reg .u64 t; cvta.to.shared.u64 t, %1; cvt.u32.u64 %0, t; }" : "=r"(address) : "l"((u64)dynamic_smem));
  return address;
}

// ---------------------------------------------------------------- order

// All threads of the block. bar.sync, 9.7.13.1
FL4_DEV void block_barrier() { asm volatile("bar.sync 0;" ::: "memory"); }
// The same; true if p holds in any of them. 9.7.13.1
FL4_DEV bool block_any(bool p)
{
  u32 r;
  asm volatile("{ .reg .pred p, q; setp.ne.u32 p, %1, 0; bar.red.or.pred q, 0, p; selp.u32 %0, 1, 0, q; }"
               : "=r"(r)
               : "r"((u32)p)
               : "memory");
  return r;
}
// All threads of the warp; orders their shared memory accesses. bar.warp.sync, 9.7.13.2
FL4_DEV void warp_barrier() { asm volatile("bar.warp.sync 0xffffffff;" ::: "memory"); }

// ---------------------------------------------------------------- asynchronous copies, sm_80, 9.7.9.25

// 16 bytes from global to shared memory, past L1; both addresses multiples of 16.
FL4_DEV void cp_async_16(u32 to, const void *from)
{
  asm volatile("cp.async.cg.shared.global.L2::128B [%0], [%1], 16;" ::"r"(to), "l"(from) : "memory");
}
// The same, of which only the first `bytes` (0 or 16) are read; the rest becomes zero.
FL4_DEV void cp_async_16_zfill(u32 to, const void *from, u32 bytes)
{
  asm volatile("cp.async.cg.shared.global.L2::128B [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(bytes) : "memory");
}
// How the L2 cache is to keep lines: these are the first to leave it. createpolicy, 9.7.9.13
FL4_DEV u64 evict_first_policy()
{
  u64 policy;
  asm volatile("createpolicy.fractional.L2::evict_first.b64 %0, 1.0;" : "=l"(policy));
  return policy;
}
// cp_async_16() by such a policy.
FL4_DEV void cp_async_16_by(u64 policy, u32 to, const void *from)
{
  asm volatile("cp.async.cg.shared.global.L2::cache_hint.L2::128B [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "l"(policy)
               : "memory");
}
// Closes the group of copies issued since the last commit; a group may be empty.
FL4_DEV void cp_async_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
// Waits until at most N of this thread's latest groups are pending.
template <int N> FL4_DEV void cp_async_wait() { asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory"); }

// ---------------------------------------------------------------- shared and global memory

// Four 8×8 matrices of 16-bit elements; lane l gives the address of row l%8 of matrix l/8, 16-byte
// aligned, and receives from each matrix elements 2(l%4), 2(l%4)+1 of row l/4. sm_75, 9.7.14.5.15
FL4_DEV void ldmatrix_x4(u32 (&r)[4], u32 address)
{
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(address));
}
// The same, each matrix transposed.
FL4_DEV void ldmatrix_x4_trans(u32 (&r)[4], u32 address)
{
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(address));
}
FL4_DEV void store_shared_32(u32 address, u32 x)
{
  asm volatile("st.shared.b32 [%0], %1;" ::"r"(address), "r"(x) : "memory");
}
FL4_DEV void store_shared_f32(u32 address, float x)
{
  asm volatile("st.shared.f32 [%0], %1;" ::"r"(address), "f"(x) : "memory");
}
FL4_DEV u32 load_shared_32(u32 address)
{
  u32 x;
  asm volatile("ld.shared.b32 %0, [%1];" : "=r"(x) : "r"(address) : "memory");
  return x;
}
FL4_DEV u32 load_shared_16(u32 address)
{
  u16 x;
  asm volatile("ld.shared.u16 %0, [%1];" : "=h"(x) : "r"(address) : "memory");
  return x;
}
FL4_DEV void load_shared_64(u32 (&x)[2], u32 address)
{
  asm volatile("ld.shared.v2.b32 {%0,%1}, [%2];" : "=r"(x[0]), "=r"(x[1]) : "r"(address) : "memory");
}
FL4_DEV void store_shared_128(u32 address, const u32 (&x)[4])
{
  asm volatile("st.shared.v4.b32 [%0], {%1,%2,%3,%4};" ::"r"(address), "r"(x[0]), "r"(x[1]), "r"(x[2]), "r"(x[3])
               : "memory");
}
FL4_DEV void store_shared_f32x4(u32 address, const float (&x)[4])
{
  asm volatile("st.shared.v4.f32 [%0], {%1,%2,%3,%4};" ::"r"(address), "f"(x[0]), "f"(x[1]), "f"(x[2]), "f"(x[3])
               : "memory");
}
FL4_DEV void load_shared_f32x4(float (&x)[4], u32 address)
{
  asm volatile("ld.shared.v4.f32 {%0,%1,%2,%3}, [%4];"
               : "=f"(x[0]), "=f"(x[1]), "=f"(x[2]), "=f"(x[3])
               : "r"(address)
               : "memory");
}
FL4_DEV void load_shared_128(u32 (&x)[4], u32 address)
{
  asm volatile("ld.shared.v4.b32 {%0,%1,%2,%3}, [%4];"
               : "=r"(x[0]), "=r"(x[1]), "=r"(x[2]), "=r"(x[3])
               : "r"(address)
               : "memory");
}
FL4_DEV u16 load_global_16(const void *address)
{
  u16 x;
  asm volatile("ld.global.u16 %0, [%1];" : "=h"(x) : "l"(address) : "memory");
  return x;
}
FL4_DEV u32 load_global_8(const void *address)
{
  u32 x;
  asm volatile("ld.global.u8 %0, [%1];" : "=r"(x) : "l"(address) : "memory");
  return x;
}
FL4_DEV u32 load_global_32(const void *address)
{
  u32 x;
  asm volatile("ld.global.u32 %0, [%1];" : "=r"(x) : "l"(address) : "memory");
  return x;
}
FL4_DEV void load_global_64(u32 (&x)[2], const void *address)
{
  asm volatile("ld.global.v2.u32 {%0,%1}, [%2];" : "=r"(x[0]), "=r"(x[1]) : "l"(address) : "memory");
}
FL4_DEV void load_global_128(u32 (&x)[4], const void *address)
{
  asm volatile("ld.global.v4.u32 {%0,%1,%2,%3}, [%4];"
               : "=r"(x[0]), "=r"(x[1]), "=r"(x[2]), "=r"(x[3])
               : "l"(address)
               : "memory");
}
FL4_DEV void store_global_16(void *address, u16 x)
{
  asm volatile("st.global.u16 [%0], %1;" ::"l"(address), "h"(x) : "memory");
}
FL4_DEV void store_global_32(void *address, float x)
{
  asm volatile("st.global.f32 [%0], %1;" ::"l"(address), "f"(x) : "memory");
}
FL4_DEV void store_global_64(void *address, const u32 (&x)[2])
{
  asm volatile("st.global.v2.b32 [%0], {%1,%2};" ::"l"(address), "r"(x[0]), "r"(x[1]) : "memory");
}
FL4_DEV void store_global_128(void *address, const u32 (&x)[4])
{
  asm volatile("st.global.v4.b32 [%0], {%1,%2,%3,%4};" ::"l"(address), "r"(x[0]), "r"(x[1]), "r"(x[2]), "r"(x[3])
               : "memory");
}
FL4_DEV void store_global_f32x4(void *address, const float (&x)[4])
{
  asm volatile("st.global.v4.f32 [%0], {%1,%2,%3,%4};" ::"l"(address), "f"(x[0]), "f"(x[1]), "f"(x[2]), "f"(x[3])
               : "memory");
}
// What other blocks may have written: not from this multiprocessor's own cache. ld.global.cg, 9.7.9.8
FL4_DEV void load_global_f32x4_shared(float (&x)[4], const void *address)
{
  asm volatile("ld.global.cg.v4.f32 {%0,%1,%2,%3}, [%4];"
               : "=f"(x[0]), "=f"(x[1]), "=f"(x[2]), "=f"(x[3])
               : "l"(address)
               : "memory");
}
// All earlier accesses of this thread happen before all later ones, as any thread of the GPU sees them. 9.7.13.4
FL4_DEV void gpu_fence() { asm volatile("fence.acq_rel.gpu;" ::: "memory"); }
// Adds 1, from `last` back to 0; returns what was there. atom.inc, 9.7.13.5
FL4_DEV u32 atomic_wrapping_increment(void *address, u32 last)
{
  u32 old;
  asm volatile("atom.global.inc.u32 %0, [%1], %2;" : "=r"(old) : "l"(address), "r"(last) : "memory");
  return old;
}
// Writes `value` if the word is `expected`; returns what was there. 9.7.13.5
FL4_DEV u32 atomic_cas_global(void *address, u32 expected, u32 value)
{
  u32 old;
  asm volatile("atom.global.cas.b32 %0, [%1], %2, %3;" : "=r"(old) : "l"(address), "r"(expected), "r"(value) : "memory");
  return old;
}

// ---------------------------------------------------------------- for measuring (limits.cu, timer.cu; not emulated)

// 16 bytes that are used once: they are the first to leave the caches. ld.global.cs, 9.7.9.8
FL4_DEV void load_global_128_once(u32 (&x)[4], const void *address)
{
  asm volatile("ld.global.cs.v4.b32 {%0,%1,%2,%3}, [%4];"
               : "=r"(x[0]), "=r"(x[1]), "=r"(x[2]), "=r"(x[3])
               : "l"(address)
               : "memory");
}
// A word that the host may change meanwhile. ld.acquire.sys, sm_70, 9.7.9.8
FL4_DEV u32 load_system_32(const void *address)
{
  u32 x;
  asm volatile("ld.acquire.sys.global.b32 %0, [%1];" : "=r"(x) : "l"(address) : "memory");
  return x;
}
// The GPU's clock in nanoseconds; it ticks coarsely. %globaltimer, 10
FL4_DEV u64 nanoseconds()
{
  u64 x;
  asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(x)::"memory");
  return x;
}

// ---------------------------------------------------------------- matrix product, sm_80, 9.7.14.5

// C (16×8, fp32) += A (16×16) · B (16×8), fp16 or bf16 by FL4_BF16. With g = lane/4, t = lane%4:
// c[0,1] are C[g][2t, 2t+1], c[2,3] the same of row g+8; a[0..3] are A[g][2t..], A[g+8][2t..],
// A[g][2t+8..], A[g+8][2t+8..], two elements a register; b0, b1 are B[2t..][g], B[2t+8..][g].
#if FL4_BF16
#define FL4_MMA "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32"
#else
#define FL4_MMA "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32"
#endif
FL4_DEV void mma_16x8x16(float (&c)[4], const u32 (&a)[4], u32 b0, u32 b1)
{
  asm(FL4_MMA " {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
// C = A · B: saves clearing the accumulator.
FL4_DEV void mma_16x8x16_first(float (&c)[4], const u32 (&a)[4], u32 b0, u32 b1)
{
  asm(FL4_MMA " {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%10,%10,%10,%10};"
      : "=f"(c[0]), "=f"(c[1]), "=f"(c[2]), "=f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1), "f"(0.f));
}

// ---------------------------------------------------------------- arithmetic

// Two floats to packed fp16 or bf16 (by FL4_BF16), round to nearest even; `low` in the low half. 9.7.9.21
FL4_DEV u32 pack_2(float low, float high)
{
  u32 r;
#if FL4_BF16
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(high), "f"(low));
#else
  asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(high), "f"(low));
#endif
  return r;
}
// The larger one, half by half; a NaN loses against a number. sm_80, 9.7.3.12
FL4_DEV u32 max_packed_2(u32 a, u32 b)
{
  u32 r;
#if FL4_BF16
  asm("max.bf16x2 %0, %1, %2;" : "=r"(r) : "r"(a), "r"(b));
#else
  asm("max.f16x2 %0, %1, %2;" : "=r"(r) : "r"(a), "r"(b));
#endif
  return r;
}
// fp16 to fp32, exact. 9.7.9.21
FL4_DEV float half_to_float(u16 x)
{
  float y;
  asm("cvt.f32.f16 %0, %1;" : "=f"(y) : "h"(x));
  return y;
}
// 2^x, within 2 ulp; 2^-inf is 0, and results below 2^-126 are 0. 9.7.3.21
FL4_DEV float exp2_approx(float x)
{
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
// log2 x, absolute error below 2^-22 for x in [0.5, 2], else relative. 9.7.3.20
FL4_DEV float log2_approx(float x)
{
  float y;
  asm("lg2.approx.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
// 1/x, within 1 ulp; of 0 and of what is below 2^-126 it is infinite. 9.7.3.14
FL4_DEV float reciprocal_approx(float x)
{
  float y;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
// The larger one; a NaN loses against a number. 9.7.3.12
FL4_DEV float max_f32(float a, float b)
{
  float y;
  asm("max.f32 %0, %1, %2;" : "=f"(y) : "f"(a), "f"(b));
  return y;
}
// a·b + c, rounded once, wherever it stands: of a sum of two products the compiler would choose which is. 9.7.3.6
FL4_DEV float fma_f32(float a, float b, float c)
{
  float y;
  asm("fma.rn.f32 %0, %1, %2, %3;" : "=f"(y) : "f"(a), "f"(b), "f"(c));
  return y;
}
FL4_DEV float float_from_bits(u32 bits) { return __uint_as_float(bits); }
FL4_DEV u32 bits_from_float(float x) { return __float_as_uint(x); }

// ---------------------------------------------------------------- across the warp

// The value of lane ^ mask. 9.7.8.6
FL4_DEV float shuffle_xor(float x, int mask)
{
  float y;
  asm volatile("shfl.sync.bfly.b32 %0, %1, %2, 0x1f, 0xffffffff;" : "=f"(y) : "f"(x), "r"(mask));
  return y;
}
// The value of lane `from`. 9.7.8.6
FL4_DEV u32 shuffle_from(u32 x, int from)
{
  u32 y;
  asm volatile("shfl.sync.idx.b32 %0, %1, %2, 0x1f, 0xffffffff;" : "=r"(y) : "r"(x), "r"(from));
  return y;
}
// An 8×8 matrix of 16-bit elements, transposed: a lane has, and receives, elements 2(l%4), 2(l%4)+1 of row l/4. sm_75,
// 9.7.14.5.17
FL4_DEV u32 transpose_matrix(u32 x)
{
  u32 y;
  asm volatile("movmatrix.sync.aligned.m8n8.trans.b16 %0, %1;" : "=r"(y) : "r"(x));
  return y;
}
// True if p holds in any lane. 9.7.13.10
FL4_DEV bool warp_any(bool p)
{
  u32 r;
  asm volatile("{ .reg .pred p, q; setp.ne.u32 p, %1, 0; vote.sync.any.pred q, p, 0xffffffff; selp.u32 %0, 1, 0, q; }"
               : "=r"(r)
               : "r"((u32)p));
  return r;
}

#endif

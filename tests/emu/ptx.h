/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kernels/fl4_ptx.cuh for the emulator: the same functions by the same names. Included ahead of a
 * kernel (-include), it takes that header's place by its guard. Each instruction learns where it
 * stands from its caller's line.
 */
#ifndef FL4_PTX_CUH
#define FL4_PTX_CUH

#include <cmath>
#include <cstring>

#include "machine.h"

typedef uint16_t u16;
typedef uint32_t u32;
typedef unsigned long long u64;
typedef long long i64;

#ifndef FL4_BF16
#define FL4_BF16 0
#endif
#define FL4_DEV static inline
#define FL4_MEMBER inline
#define FL4_KERNEL(name, threads, ctas) static void name
#define FL4_PARAM const

#define FL4_SITE const char *file = __builtin_FILE(), int line = __builtin_LINE()
#define FL4_AT(what) (emu::Site{file, line, what})

FL4_DEV int thread_index() { return emu::thread_index(); }
FL4_DEV int block_index() { return emu::block_index(); }
FL4_DEV int lane_index() { return emu::thread_index() % 32; }
FL4_DEV int grid_blocks() { return emu::grid_blocks(); }
FL4_DEV u32 smem_base() { return emu::smem_base(); }

FL4_DEV void block_barrier(FL4_SITE) { emu::block_barrier(FL4_AT("bar.sync")); }
FL4_DEV bool block_any(bool p, FL4_SITE) { return emu::block_any(FL4_AT("bar.red"), p); }
FL4_DEV void warp_barrier(FL4_SITE) { emu::warp_barrier(FL4_AT("bar.warp.sync")); }

FL4_DEV void cp_async_16(u32 to, const void *from, FL4_SITE) { emu::copy_async(FL4_AT("cp.async"), to, from, 16); }
FL4_DEV void cp_async_16_zfill(u32 to, const void *from, u32 bytes, FL4_SITE)
{
  emu::copy_async(FL4_AT("cp.async"), to, from, bytes);
}
FL4_DEV u64 evict_first_policy() { return 1; }
FL4_DEV void cp_async_16_by(u64, u32 to, const void *from, FL4_SITE)
{
  emu::copy_async(FL4_AT("cp.async"), to, from, 16);
}
FL4_DEV void cp_async_commit(FL4_SITE) { emu::copy_commit(FL4_AT("cp.async.commit_group")); }
template <int N> FL4_DEV void cp_async_wait(FL4_SITE) { emu::copy_wait(FL4_AT("cp.async.wait_group"), N); }

FL4_DEV void ldmatrix_x4(u32 (&r)[4], u32 address, FL4_SITE)
{
  emu::load_matrices(FL4_AT("ldmatrix"), r, address, false);
}
FL4_DEV void ldmatrix_x4_trans(u32 (&r)[4], u32 address, FL4_SITE)
{
  emu::load_matrices(FL4_AT("ldmatrix.trans"), r, address, true);
}
FL4_DEV void store_shared_32(u32 address, u32 x, FL4_SITE) { emu::store_shared(FL4_AT("st.shared.b32"), address, &x, 4); }
FL4_DEV void store_shared_f32(u32 address, float x, FL4_SITE)
{
  emu::store_shared(FL4_AT("st.shared.f32"), address, &x, 4);
}
FL4_DEV u32 load_shared_32(u32 address, FL4_SITE)
{
  u32 x;
  emu::load_shared(FL4_AT("ld.shared.b32"), address, &x, 4);
  return x;
}
FL4_DEV u32 load_shared_16(u32 address, FL4_SITE)
{
  u16 x;
  emu::load_shared(FL4_AT("ld.shared.u16"), address, &x, 2);
  return x;
}
FL4_DEV void load_shared_64(u32 (&x)[2], u32 address, FL4_SITE)
{
  emu::load_shared(FL4_AT("ld.shared.v2"), address, x, 8);
}
FL4_DEV void store_shared_128(u32 address, const u32 (&x)[4], FL4_SITE)
{
  emu::store_shared(FL4_AT("st.shared.v4"), address, x, 16);
}
FL4_DEV void store_shared_f32x4(u32 address, const float (&x)[4], FL4_SITE)
{
  emu::store_shared(FL4_AT("st.shared.v4"), address, x, 16);
}
FL4_DEV void load_shared_f32x4(float (&x)[4], u32 address, FL4_SITE)
{
  emu::load_shared(FL4_AT("ld.shared.v4"), address, x, 16);
}
FL4_DEV void load_shared_128(u32 (&x)[4], u32 address, FL4_SITE)
{
  emu::load_shared(FL4_AT("ld.shared.v4"), address, x, 16);
}
FL4_DEV u16 load_global_16(const void *address, FL4_SITE)
{
  u16 x;
  emu::load_global(FL4_AT("ld.global.u16"), address, &x, 2);
  return x;
}
FL4_DEV u32 load_global_8(const void *address, FL4_SITE)
{
  unsigned char x;
  emu::load_global(FL4_AT("ld.global.u8"), address, &x, 1);
  return x;
}
FL4_DEV u32 load_global_32(const void *address, FL4_SITE)
{
  u32 x;
  emu::load_global(FL4_AT("ld.global.u32"), address, &x, 4);
  return x;
}
FL4_DEV void load_global_64(u32 (&x)[2], const void *address, FL4_SITE)
{
  emu::load_global(FL4_AT("ld.global.v2.u32"), address, x, 8);
}
FL4_DEV void load_global_128(u32 (&x)[4], const void *address, FL4_SITE)
{
  emu::load_global(FL4_AT("ld.global.v4.u32"), address, x, 16);
}
FL4_DEV void store_global_16(void *address, u16 x, FL4_SITE)
{
  emu::store_global(FL4_AT("st.global.u16"), address, &x, 2);
}
FL4_DEV void store_global_32(void *address, float x, FL4_SITE)
{
  emu::store_global(FL4_AT("st.global.f32"), address, &x, 4);
}
FL4_DEV void store_global_64(void *address, const u32 (&x)[2], FL4_SITE)
{
  emu::store_global(FL4_AT("st.global.v2"), address, x, 8);
}
FL4_DEV void store_global_128(void *address, const u32 (&x)[4], FL4_SITE)
{
  emu::store_global(FL4_AT("st.global.v4"), address, x, 16);
}
FL4_DEV void store_global_f32x4(void *address, const float (&x)[4], FL4_SITE)
{
  emu::store_global(FL4_AT("st.global.v4"), address, x, 16);
}
FL4_DEV void load_global_f32x4_shared(float (&x)[4], const void *address, FL4_SITE)
{
  emu::load_global(FL4_AT("ld.global.cg.v4"), address, x, 16);
}
FL4_DEV void gpu_fence() { emu::gpu_fence(); }
FL4_DEV u32 atomic_wrapping_increment(void *address, u32 last, FL4_SITE)
{
  return emu::wrapping_increment(FL4_AT("atom.inc"), address, last);
}
FL4_DEV u32 atomic_cas_global(void *address, u32 expected, u32 value, FL4_SITE)
{
  return emu::compare_and_swap(FL4_AT("atom.cas"), address, expected, value);
}

FL4_DEV void mma_16x8x16(float (&c)[4], const u32 (&a)[4], u32 b0, u32 b1, FL4_SITE)
{
  emu::multiply(FL4_AT("mma"), c, a, b0, b1, true, FL4_BF16);
}
FL4_DEV void mma_16x8x16_first(float (&c)[4], const u32 (&a)[4], u32 b0, u32 b1, FL4_SITE)
{
  emu::multiply(FL4_AT("mma"), c, a, b0, b1, false, FL4_BF16);
}

FL4_DEV u32 pack_2(float low, float high)
{
  return FL4_BF16 ? emu::to_bf16(low) | (u32)emu::to_bf16(high) << 16
                  : emu::to_half(low) | (u32)emu::to_half(high) << 16;
}
// As max_f32; two zeros are equal, and of two with different signs +0 is the larger.
FL4_DEV u16 max_16(u16 a, u16 b)
{
  const float x = FL4_BF16 ? emu::from_bf16(a) : emu::from_half(a);
  const float y = FL4_BF16 ? emu::from_bf16(b) : emu::from_half(b);
  if (x != x) return b;
  if (y != y) return a;
  return x > y ? a : y > x ? b : a & b;
}
FL4_DEV u32 max_packed_2(u32 a, u32 b)
{
  return max_16((u16)a, (u16)b) | (u32)max_16((u16)(a >> 16), (u16)(b >> 16)) << 16;
}
FL4_DEV float half_to_float(u16 x) { return emu::from_half(x); }
FL4_DEV float exp2_approx(float x) { return emu::exp2_ftz(x); }
FL4_DEV float log2_approx(float x) { return std::log2(x); }
FL4_DEV float reciprocal_approx(float x)
{
  const float y = 1.f / (std::fabs(x) < 0x1p-126f ? std::copysign(0.f, x) : x);
  return std::fabs(y) < 0x1p-126f ? std::copysign(0.f, y) : y;
}
// A NaN loses, and -0 is less than 0: as the hardware has it (tests/emu/pinned_h200.txt).
FL4_DEV float max_f32(float a, float b)
{
  if (a != a) return b;
  if (b != b) return a;
  return a > b ? a : b > a ? b : a == 0 ? a + b : a;
}
FL4_DEV float fma_f32(float a, float b, float c) { return std::fma(a, b, c); }
FL4_DEV u32 bits_from_float(float x)
{
  u32 bits;
  std::memcpy(&bits, &x, sizeof bits);
  return bits;
}
FL4_DEV float float_from_bits(u32 bits)
{
  float x;
  std::memcpy(&x, &bits, sizeof x);
  return x;
}

FL4_DEV float shuffle_xor(float x, int mask, FL4_SITE)
{
  u32 bits;
  std::memcpy(&bits, &x, sizeof bits);
  return float_from_bits(emu::exchange_xor(FL4_AT("shfl"), bits, mask));
}
FL4_DEV u32 shuffle_from(u32 x, int from, FL4_SITE) { return emu::exchange_from(FL4_AT("shfl"), x, from); }
FL4_DEV u32 transpose_matrix(u32 x, FL4_SITE) { return emu::transpose(FL4_AT("movmatrix"), x); }
FL4_DEV bool warp_any(bool p, FL4_SITE) { return emu::vote_any(FL4_AT("vote"), p); }

#endif

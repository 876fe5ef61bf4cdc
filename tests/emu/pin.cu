// SPDX-License-Identifier: Apache-2.0
//
// Every instruction of fl4_ptx.cuh, by one warp, on inputs whose exact results tell all layouts and
// roundings. A GPU has run it once (tests/gpu/dump_pin.c) and what it wrote is pinned_h200.txt; the
// emulator must write the same (test_pin.cc). NaNs have one bit pattern here, 0x7fc00000 for floats
// and 0x7fff for halves: which NaN an operation returns means nothing to us.
#include "fl4_abi.h"
#include "fl4_ptx.cuh"
#include "pin.h"

struct Pin {
  const char *in; // 16-bit elements
  char *out;      // words, FL4_PIN_WORDS a case
  u32 tile;       // two tiles of 16 rows of 64 bytes, each row four chunks of 16 bytes
  int lane;
};

FL4_DEV char *result(const Pin &p, int test, int e = 0)
{
  return p.out + (test * FL4_PIN_WORDS + p.lane * 4 + e) * 4;
}
FL4_DEV void put(const Pin &p, int test, const u32 (&x)[4])
{
  store_global_128(result(p, test), x);
}
FL4_DEV void put(const Pin &p, int test, const float (&x)[4])
{
  for (int e = 0; e < 4; e++) store_global_32(result(p, test, e), x[e] != x[e] ? float_from_bits(0x7fc00000) : x[e]);
}

FL4_DEV u16 input(const Pin &p, int i)
{
  return load_global_16(p.in + i * 2);
}
FL4_DEV u32 input_32(const Pin &p, int i)
{
  return input(p, i) | (u32)input(p, i + 1) << 16;
}
FL4_DEV float table(const Pin &p, int i)
{
  return float_from_bits(input_32(p, FL4_PIN_FLOATS + i % FL4_PIN_N_FLOATS * 2));
}

// Some permutations of the 64 chunks of a tile, 32 lanes at a time.
FL4_DEV int shuffled(int i, int factor, int shift)
{
  return (i * factor + shift) % 64;
}

// ---------------------------------------------------------------- shared memory

FL4_DEV void matrices(const Pin &p)
{
  u32 r[4];
  for (int i = 0; i < 8; i++) store_shared_32(p.tile + (i * 32 + p.lane) * 4, input_32(p, (i * 32 + p.lane) * 2));
  warp_barrier();
  ldmatrix_x4(r, p.tile + shuffled(p.lane, 11, 7) * 16);
  put(p, FL4_PIN_LDMATRIX, r);
  ldmatrix_x4_trans(r, p.tile + shuffled(p.lane, 11, 7) * 16);
  put(p, FL4_PIN_LDMATRIX_TRANS, r);
  block_barrier();
}

FL4_DEV void vectors(const Pin &p)
{
  u32 r[4];
  for (int half = 0; half < 2; half++) {
    const int chunk = half * 32 + p.lane;
    for (int e = 0; e < 4; e++) r[e] = input_32(p, 1000 + chunk * 8 + e * 2);
    store_shared_128(p.tile + shuffled(chunk, 13, 5) * 16, r);
  }
  block_barrier();
  load_shared_128(r, p.tile + shuffled(p.lane, 27, 3) * 16);
  put(p, FL4_PIN_SHARED_128, r);
  block_barrier();
}

FL4_DEV void copies(const Pin &p)
{
  u32 r[4];
  for (int half = 0; half < 2; half++) {
    const int chunk = half * 32 + p.lane;
    cp_async_16(p.tile + shuffled(chunk, 7, 1) * 16, p.in + shuffled(chunk, 5, 9) * 16);
  }
  cp_async_commit();
  cp_async_wait<0>();
  block_barrier();
  load_shared_128(r, p.tile + shuffled(p.lane, 3, 20) * 16);
  put(p, FL4_PIN_CP_ASYNC, r);
  block_barrier();

  u32 words[4];
  for (int group = 0; group < 3; group++) {
    cp_async_16(p.tile + group * FL4_PIN_TILE_BYTES + p.lane * 16, p.in + (group * 64 + p.lane) * 16);
    cp_async_commit();
  }
  cp_async_commit(); // an empty group counts too
  cp_async_wait<3>();
  load_shared_128(r, p.tile + p.lane * 16); // the lane's own copy needs no barrier
  words[0] = r[0];
  cp_async_wait<2>();
  load_shared_128(r, p.tile + FL4_PIN_TILE_BYTES + p.lane * 16);
  words[1] = r[1];
  cp_async_wait<1>();
  load_shared_128(r, p.tile + 2 * FL4_PIN_TILE_BYTES + p.lane * 16);
  words[2] = r[2], words[3] = r[3];
  cp_async_wait<0>();
  put(p, FL4_PIN_CP_ASYNC_GROUPS, words);
  block_barrier();
}

FL4_DEV void zero_fill(const Pin &p)
{
  u32 r[4];
  const u32 ones[4] = {0x3c003c00, 0x3c003c00, 0x3c003c00, 0x3c003c00};
  for (int half = 0; half < 2; half++) store_shared_128(p.tile + (half * 32 + p.lane) * 16, ones);
  block_barrier();
  cp_async_16_zfill(p.tile + shuffled(p.lane, 9, 2) * 16, p.in + (64 + p.lane) * 16, p.lane % 3 == 0 ? 0 : 16);
  cp_async_commit();
  cp_async_wait<0>();
  block_barrier();
  load_shared_128(r, p.tile + shuffled(p.lane, 5, 11) * 16); // some of the chunks are still ones
  put(p, FL4_PIN_CP_ASYNC_ZFILL, r);
  ldmatrix_x4(r, p.tile + shuffled(p.lane, 21, 30) * 16);
  put(p, FL4_PIN_CP_ASYNC_MATRIX, r);
  block_barrier();
}

// ---------------------------------------------------------------- matrix product

// Integers that bf16 holds, so that products and sums are exact. Distinct, so that no two elements
// of a matrix can change places unseen: of A they meet different rows of B, and the other way round.
struct Distinct {
  FL4_DEV float a(int i, int k) { return ((i * 16 + k) * 37 + 11) % 256 - 128; }
  FL4_DEV float b(int k, int n) { return ((k * 8 + n) * 53 + 5) % 128 - 64; }
};
struct IdentityA : Distinct {
  FL4_DEV float a(int i, int k) { return i == k; }
};
struct IdentityB : Distinct {
  FL4_DEV float b(int k, int n) { return k == n; }
};

template <class M> FL4_DEV void fragments(const Pin &p, u32 (&a)[4], u32 (&b)[2])
{
  const int g = p.lane / 4, t = p.lane % 4;
  for (int e = 0; e < 4; e++) {
    const int i = g + e % 2 * 8, k = 2 * t + e / 2 * 8;
    a[e] = pack_2(M::a(i, k), M::a(i, k + 1));
  }
  for (int e = 0; e < 2; e++) b[e] = pack_2(M::b(2 * t + e * 8, g), M::b(2 * t + e * 8 + 1, g));
}

template <class M> FL4_DEV void multiply(const Pin &p, int test)
{
  u32 a[4], b[2];
  float c[4];
  fragments<M>(p, a, b);
  mma_16x8x16_first(c, a, b[0], b[1]);
  put(p, test, c);
}

FL4_DEV void multiply_add(const Pin &p)
{
  u32 a[4], b[2];
  float c[4];
  fragments<Distinct>(p, a, b);
  for (int e = 0; e < 4; e++) c[e] = (p.lane * 4 + e) * 1000 + 0.5f;
  mma_16x8x16(c, a, b[0], b[1]);
  put(p, FL4_PIN_MMA, c);
}

// Row i of A is all zeros but for one element, at k = i, of a kind each; B is all 1, or in bf16,
// whose smallest products would be subnormal floats, all 2^20.
FL4_DEV void multiply_special(const Pin &p)
{
#if FL4_BF16
  const u32 one = 0x4980, one_c = 0x3f80, infinity = 0x7f80;
#else
  const u32 one = 0x3c00, one_c = 0x3c00, infinity = 0x7c00;
#endif
  u32 a[4];
  float c[4];
  const int g = p.lane / 4, t = p.lane % 4;
  for (int e = 0; e < 4; e++) {
    const int i = g + e % 2 * 8, k = 2 * t + e / 2 * 8;
    u32 kind = one_c + i; // an ordinary number
    if (i == 1) kind = 1; // the smallest subnormal
    if (i == 3) kind = 0x8003;
    if (i == 5) kind = infinity;
    if (i == 7) kind = infinity | 0x8000;
    if (i == 8) kind = infinity + 1;
    if (i == 12) kind = infinity - 1; // the largest number: in bf16 its product is infinite
    a[e] = i == k ? kind : i == k + 1 ? kind << 16 : 0;
    if (i == 9 && k == 8) a[e] = infinity | (infinity | 0x8000) << 16; // inf - inf
  }
  mma_16x8x16_first(c, a, one | one << 16, one | one << 16);
  put(p, FL4_PIN_MMA_SPECIAL, c);
}

// ---------------------------------------------------------------- arithmetic

FL4_DEV u32 one_nan(u32 packed)
{
  const u32 infinity = FL4_BF16 ? 0x7f80 : 0x7c00;
  if ((packed & 0x7fff) > infinity) packed |= 0x7fff, packed &= 0xffff7fff;
  if ((packed >> 16 & 0x7fff) > infinity) packed |= 0x7fff0000, packed &= 0x7fffffff;
  return packed;
}

FL4_DEV void conversions(const Pin &p)
{
  u32 r[4];
  float x[4];
  const u32 step = FL4_BF16 ? 0x8000 : 0x1000; // half a step of the format, in bits of a float
  for (int e = 0; e < 4; e++) {
    const int i = p.lane * 4 + e;
    r[e] = one_nan(pack_2(table(p, i), table(p, i * 5 + i / 64 + 3)));
  }
  put(p, FL4_PIN_PACK, r);
  for (int e = 0; e < 4; e++) {
    const int i = p.lane * 4 + e;
    r[e] = pack_2(float_from_bits(0x3f800000 + i * step), float_from_bits(0xbf800000 + i * step + i % 3 - 1));
  }
  put(p, FL4_PIN_PACK_STEPS, r);

  for (int e = 0; e < 4; e++) {
    const u16 sign = e % 2 * 0x8000, other = e / 2 * 0x0291; // both signs of the table, and of other numbers
    x[e] = half_to_float((input(p, FL4_PIN_HALVES + p.lane) ^ sign) + other);
  }
  put(p, FL4_PIN_HALF_TO_FLOAT, x);
}

// FNV-1a over the results' words: their bits are only to be had by way of memory.
FL4_DEV void all_halves(const Pin &p)
{
  u32 r[4], bits[4];
  for (int e = 0; e < 4; e++) {
    r[e] = 2166136261u;
    for (int i = 0; i < 512; i += 4) {
      for (int j = 0; j < 4; j++) {
        float x = half_to_float((p.lane * 4 + e) * 512 + i + j);
        if (x != x) x = float_from_bits(0x7fc00000);
        // A float as two 16-bit halves through global memory: the lane's own words of this case.
        store_global_32(result(p, FL4_PIN_HALF_TO_FLOAT_ALL, j), x);
        const char *word = result(p, FL4_PIN_HALF_TO_FLOAT_ALL, j);
        bits[j] = load_global_16(word) | (u32)load_global_16(word + 2) << 16;
      }
      for (int j = 0; j < 4; j++) r[e] = (r[e] ^ bits[j]) * 16777619u;
    }
  }
  put(p, FL4_PIN_HALF_TO_FLOAT_ALL, r);
}

FL4_DEV void functions(const Pin &p)
{
  float x[4];
  // Integers near 0 and both ends (2^-126 is the smallest result, 2^128 is infinite), and in the last
  // register what else has an exact result.
  for (int e = 0; e < 4; e++) {
    const int i = p.lane * 3 + e;
    float argument = i < 32 ? i - 16 : i < 64 ? i - 32 - 136 : i + 36;
    if (e == 3) argument = table(p, p.lane % 16);       // 0, infinities, NaN, subnormals, the largest
    if (e == 3 && p.lane % 16 == 2) argument = -126.5f; // below the smallest: 0
    if (e == 3 && p.lane % 16 == 3) argument = -149.f;
    if (e == 3 && p.lane >= 28) argument = 126 + p.lane - 28; // 126 … 129
    x[e] = exp2_approx(argument);
  }
  put(p, FL4_PIN_EXP2, x);

  for (int e = 0; e < 4; e++) {
    u32 bits = (p.lane * 8 + e * 2 + 1) << 23; // 2^-126 … 2^126, every second
    if (e == 3 && p.lane == 0) bits = 0;
    if (e == 3 && p.lane == 1) bits = 0x80000000;
    if (e == 3 && p.lane == 2) bits = 0x7f800000;
    if (e == 3 && p.lane == 3) bits = 0xff800000;
    if (e == 3 && p.lane == 4) bits = 0xbf800000;
    if (e == 3 && p.lane == 5) bits = 0x7fc00000;
    if (e == 3 && p.lane == 6) bits = 0x3f800000;
    if (e == 3 && p.lane == 7) bits = 0x7f000000;
    x[e] = log2_approx(float_from_bits(bits));
  }
  put(p, FL4_PIN_LOG2, x);
  for (int e = 0; e < 4; e++) {
    const int i = p.lane * 4 + e;
    x[e] = log2_approx(float_from_bits(i < 23 ? 1u << i : (i - 22) << 23));
  }
  put(p, FL4_PIN_LOG2_SMALL, x);

  for (int e = 0; e < 4; e++) {
    const int i = p.lane * 4 + e;
    x[e] = max_f32(table(p, i % 16), table(p, i / 16 + i / 8 % 2 * 8));
  }
  put(p, FL4_PIN_MAX, x);
}

// Of the table; of powers of two from 2^-126 on, most of which have an exact result; of numbers between.
FL4_DEV void reciprocals(const Pin &p)
{
  float x[4];
  for (int e = 0; e < 4; e++) {
    const int i = p.lane * 2 + e % 2;
    float argument = table(p, i);
    if (e == 2) argument = float_from_bits((p.lane * 8 + 1) << 23);
    if (e == 3) argument = float_from_bits(0x3f800000 + p.lane * 262147);
    x[e] = reciprocal_approx(argument);
  }
  put(p, FL4_PIN_RECIPROCAL, x);
}

// Of each sign: 0, the smallest subnormal, 1 and the next number, the largest, infinity, two NaNs.
FL4_DEV u32 kind(int i)
{
  const u32 one = FL4_BF16 ? 0x3f80 : 0x3c00, infinity = FL4_BF16 ? 0x7f80 : 0x7c00;
  const u32 kinds[8] = {0, 1, one, one + 1, infinity - 1, infinity, infinity + 1, 0x7fff};
  return kinds[i % 8] | i / 8 * 0x8000;
}

// 16 kinds, each with each.
FL4_DEV void packed_maxima(const Pin &p)
{
  u32 r[4];
  for (int e = 0; e < 4; e++) {
    const int i = (p.lane * 4 + e) * 2;
    r[e] = one_nan(max_packed_2(kind(i / 16) | kind((i + 1) / 16) << 16, kind(i % 16) | kind((i + 1) % 16) << 16));
  }
  put(p, FL4_PIN_MAX_PACKED, r);
}

// ---------------------------------------------------------------- across the warp, global memory

FL4_DEV void exchanges(const Pin &p)
{
  float x[4];
  u32 r[4];
  for (int e = 0; e < 4; e++) x[e] = shuffle_xor(p.lane * 4 + e + 0.25f, 1 << e);
  put(p, FL4_PIN_SHUFFLE, x);
  const int masks[4] = {16, 31, 5, 0};
  for (int e = 0; e < 4; e++) x[e] = shuffle_xor(p.lane * 4 + e + 0.25f, masks[e]);
  put(p, FL4_PIN_SHUFFLE_WIDE, x);

  r[0] = warp_any(false);
  r[1] = warp_any(true);
  r[2] = warp_any(p.lane == 13);
  r[3] = warp_any(p.lane % 2 == 1);
  put(p, FL4_PIN_VOTE, r);
}

FL4_DEV void atomics(const Pin &p)
{
  const u32 one = 0x3f800000;
  char *own = result(p, FL4_PIN_ATOMIC), *contended = p.out + FL4_PIN_RESULTS * 4;
  u32 r[4];
  store_global_32(own, 1.f);
  if (p.lane == 0) store_global_32(contended, 1.f);
  block_barrier();
  r[1] = atomic_cas_global(own, one, 0xabc0 + p.lane);   // fits: the word changes
  r[2] = atomic_cas_global(own, one, 5);                 // does not: it stays
  const u32 old = atomic_cas_global(contended, one, 77); // one lane wins, no matter which
  float wins = old == one;
  for (int mask = 16; mask > 0; mask /= 2) wins += shuffle_xor(wins, mask);
  r[3] = wins == 1 && !warp_any(old != one && old != 77);
  r[0] = load_global_16(own) | (u32)load_global_16(own + 2) << 16;
  put(p, FL4_PIN_ATOMIC, r);
}

FL4_DEV void increments(const Pin &p)
{
  char *own = result(p, FL4_PIN_INCREMENT), *contended = p.out + FL4_PIN_RESULTS * 4 + 4;
  u32 r[4] = {0, 0, 0, 0};
  store_global_32(own, 0.f);
  if (p.lane == 0) store_global_32(contended, 0.f);
  block_barrier();
  for (int i = 0; i < 4; i++) r[0] |= atomic_wrapping_increment(own, 2) << 8 * i; // 0 1 2 0
  r[1] = atomic_wrapping_increment(own, 0);                                       // 1 is beyond 0
  r[1] |= atomic_wrapping_increment(own, 0xffffffff) << 8;                        // so it was 0, and is 1
  float sum = atomic_wrapping_increment(contended, 31); // each lane gets another, and the last wraps
  for (int mask = 16; mask > 0; mask /= 2) sum += shuffle_xor(sum, mask);
  block_barrier();
  r[2] = sum;
  r[3] = load_global_16(contended) | (u32)load_global_16(own) << 16;
  put(p, FL4_PIN_INCREMENT, r);
}

FL4_DEV void float_vectors(const Pin &p)
{
  float x[4], y[4];
  for (int e = 0; e < 4; e++) x[e] = table(p, p.lane * 4 + e);
  store_shared_f32x4(p.tile + (p.lane * 5 + 3) % 32 * 16, x);
  block_barrier();
  load_shared_f32x4(x, p.tile + (p.lane * 3 + 7) % 32 * 16);
  store_global_f32x4(result(p, FL4_PIN_FLOAT_VECTORS), x);
  load_global_f32x4_shared(y, result(p, FL4_PIN_FLOAT_VECTORS));
  for (int e = 0; e < 4; e++) x[e] = y[(e + 1) % 4];
  put(p, FL4_PIN_FLOAT_VECTORS, x);
}

FL4_DEV void global_memory(const Pin &p)
{
  char *own = result(p, FL4_PIN_GLOBAL);
  for (int i = 0; i < 2; i++) store_global_16(own + i * 2, input(p, p.lane * 3 + i));
  store_global_32(own + 4, float_from_bits(0x00000001 + p.lane)); // subnormals stay as they are
  store_global_32(own + 8, -0.f);
  store_global_16(own + 12, load_global_16(own));
  store_global_16(own + 14, 0x8000 | p.lane);
}

FL4_KERNEL(fl4_pin, 32, 1)(FL4_PARAM fl4_fwd_params params)
{
  const Pin p = {
      reinterpret_cast<const char *>(params.q),
      reinterpret_cast<char *>(params.o),
      smem_base(),
      thread_index(),
  };
  matrices(p);
  vectors(p);
  copies(p);
  zero_fill(p);
  multiply<Distinct>(p, FL4_PIN_MMA_FIRST);
  multiply_add(p);
  multiply<IdentityA>(p, FL4_PIN_MMA_IDENTITY_A);
  multiply<IdentityB>(p, FL4_PIN_MMA_IDENTITY_B);
  multiply_special(p);
  conversions(p);
  all_halves(p);
  functions(p);
  exchanges(p);
  atomics(p);
  global_memory(p);
  packed_maxima(p);
  increments(p);
  float_vectors(p);
  reciprocals(p);
}

// SPDX-License-Identifier: Apache-2.0
//
// New keys and values go to their places in a cache, keys and queries turned by a rotary embedding on the way.
//
// A row is one head of one token: a key with its value, or a query. It has up to 32 threads, all of one warp, with 8 elements
// each. Compiled with FL4_ROTARY (0, 1 halves, 2 pairs), FL4_BF16, which only the embedding has to know, and FL4_ALIGNED:
// rows, tables and rotary_dim are such that 8 elements are one copy, and are turned all or none.
#include "fl4_aux.h"
#include "fl4_common.cuh"

constexpr int ROTARY = FL4_ROTARY;
constexpr bool ALIGNED = FL4_ALIGNED;

// ---------------------------------------------------------------- 8 elements

FL4_DEV void load_8(u32 (&x)[4], const char *from)
{
  if (ALIGNED) return load_global_128(x, from);
#pragma unroll
  for (int i = 0; i < 4; i++) x[i] = load_global_16(from + 4 * i) | (u32)load_global_16(from + 4 * i + 2) << 16;
}

FL4_DEV void store_8(char *to, const u32 (&x)[4])
{
  if (ALIGNED) return store_global_128(to, x);
#pragma unroll
  for (int e = 0; e < 8; e++) store_global_16(to + 2 * e, (u16)(x[e / 2] >> (e % 2 * 16)));
}

FL4_DEV float from_16(u32 x)
{
#if FL4_BF16
  return float_from_bits(x << 16);
#else
  return half_to_float((u16)x);
#endif
}

FL4_DEV float load_float(u64 table, i64 at)
{
  return float_from_bits(load_global_32(reinterpret_cast<const char *>(table) + 4 * at));
}

// N elements of a table, in copies of 16 bytes.
template <int N> FL4_DEV void load_floats(float (&x)[8], u64 table, i64 at)
{
#pragma unroll
  for (int i = 0; i < N; i += 4) {
    u32 bits[4];
    load_global_128(bits, reinterpret_cast<const char *>(table) + 4 * (at + i));
#pragma unroll
    for (int e = 0; e < 4; e++) x[i + e] = float_from_bits(bits[e]);
  }
}

// ---------------------------------------------------------------- rotary embedding

// Elements `first` … first + 7 of `row`, which `x` has, turned by the angles of a position.
FL4_DEV void turn(u32 (&x)[4], const char *row, const fl4_append_params &p, int position, int first)
{
  if (ROTARY == 0 || first >= p.rotary_dim) return;
  const bool pairs = ROTARY == FL4_AUX_ROTARY_PAIRS;
  const int half = p.rotary_dim / 2;
  const i64 angles = (i64)min_i32(position, p.max_position - 1) * half;

  // Each element has a partner: its neighbour, or the one half of the elements away.
  u32 partner[4] = {x[0] >> 16 | x[0] << 16, x[1] >> 16 | x[1] << 16, x[2] >> 16 | x[2] << 16, x[3] >> 16 | x[3] << 16};
  float c[8], s[8];
  if (ALIGNED && pairs) {
    load_floats<4>(c, p.rotary_cos, angles + first / 2);
    load_floats<4>(s, p.rotary_sin, angles + first / 2);
  } else if (ALIGNED) {
    const int away = first < half ? half : -half, angle = first < half ? first : first - half;
    load_8(partner, row + 2 * (first + away));
    load_floats<8>(c, p.rotary_cos, angles + angle);
    load_floats<8>(s, p.rotary_sin, angles + angle);
  }

#pragma unroll
  for (int i = 0; i < 4; i++) {
    float turned[2];
#pragma unroll
    for (int side = 0; side < 2; side++) {
      const int e = 2 * i + side, d = first + e;
      const bool later = pairs ? side : d >= half; // of its pair
      const int angle = pairs ? i : e;
      float other = from_16(partner[i] >> (side * 16) & 0xffffu), cosine = c[angle], sine = s[angle];
      if (!ALIGNED) {
        if (d >= p.rotary_dim) continue;
        const int pair = pairs ? d / 2 : later ? d - half : d;
        cosine = load_float(p.rotary_cos, angles + pair), sine = load_float(p.rotary_sin, angles + pair);
        if (!pairs) other = from_16(load_global_16(row + 2 * (later ? d - half : d + half)));
      }
      const float own = from_16(x[i] >> (side * 16) & 0xffffu);
      turned[side] = later ? other * sine + own * cosine : own * cosine - other * sine;
    }
    // rotary_dim is even, but may end anywhere in the 8.
    if (ALIGNED || first + 2 * i < p.rotary_dim) x[i] = pack_2(turned[0], turned[1]);
  }
}

// ---------------------------------------------------------------- where

FL4_DEV int length(u64 lengths, i64 at, int most)
{
  return clamp_i32((int)load_global_32(reinterpret_cast<const char *>(lengths) + 4 * at), 0, most);
}

FL4_DEV int keys_before(const fl4_append_params &p, int b)
{
  return p.used ? length(p.used, b, p.Sk) : 0;
}

struct Token {
  bool there;
  int b, position;
  i64 batch, row; // in the new tensors: ragged ones are one batch
};

// Token number `n` of all there are. Of ragged tokens the sequence is the last that begins at or before it.
FL4_DEV Token token_of(const fl4_append_params &p, i64 n)
{
  if (!p.cu_new) {
    const int b = (int)(n / p.Sn), i = (int)(n % p.Sn);
    return Token{true, b, keys_before(p, b) + i, b, i};
  }
  int b = 0, end = p.B;
  while (end - b > 1) {
    const int middle = (b + end) / 2;
    if (length(p.cu_new, middle, p.total_new) <= n)
      b = middle;
    else
      end = middle;
  }
  const i64 i = n - length(p.cu_new, b, p.total_new);
  const bool there = i >= 0 && i < p.Sn && n < length(p.cu_new, b + 1, p.total_new);
  return Token{there, b, there ? keys_before(p, b) + (int)i : 0, 0, n};
}

// Where a key of a sequence has its place, by the strides of keys or of values. What has none must not be asked for.
struct Place {
  bool there;
  i64 batch, row;
};
FL4_DEV Place place_of(const fl4_append_params &p, int b, int position)
{
  if (position >= p.Sk) return Place{false, 0, 0};
  if (!p.block_table) return Place{true, b, position};
  const i64 at = b * p.table_stride + (position >> p.page_shift);
  const int page = (int)load_global_32(reinterpret_cast<const char *>(p.block_table) + 4 * at);
  return Place{page >= 0 && page < p.n_pages, page, position & ((1 << p.page_shift) - 1)};
}

FL4_DEV char *row_at(u64 base, const fl4_i64 (&stride)[3], i64 batch, int head, i64 row)
{
  return reinterpret_cast<char *>(base) + 2 * (batch * stride[0] + head * stride[1] + row * stride[2]);
}

// Keys that are there afterwards.
FL4_DEV void write_lengths(const fl4_append_params &p)
{
  if (!p.used_after) return;
  for (i64 b = (i64)block_index() * FL4_AUX_THREADS + thread_index(); b < p.B;
       b += (i64)grid_blocks() * FL4_AUX_THREADS) {
    int n = p.Sn;
    if (p.cu_new) n = clamp_i32(length(p.cu_new, b + 1, p.total_new) - length(p.cu_new, b, p.total_new), 0, p.Sn);
    const int after = min_i32(keys_before(p, (int)b) + n, p.Sk);
    store_global_32(reinterpret_cast<char *>(p.used_after) + 4 * b, float_from_bits((u32)after));
  }
}

FL4_KERNEL(fl4_kv_append, 256, 3)(FL4_PARAM fl4_append_params p)
{
  write_lengths(p);
  const int chunk = thread_index() & ((1 << p.lanes_log2) - 1), rows_at_once = FL4_AUX_THREADS >> p.lanes_log2;
  const int heads = p.Hkv + (p.q ? p.Hq : 0), first = chunk * 8;
  const i64 rows = (p.cu_new ? (i64)p.total_new : (i64)p.B * p.Sn) * heads;
  for (i64 begin = (i64)block_index() * rows_at_once; begin < rows; begin += (i64)grid_blocks() * rows_at_once) {
    const i64 row = begin + (thread_index() >> p.lanes_log2);
    const int head = (int)(row % heads);
    const bool is_key = head < p.Hkv, mine = row < rows && first < p.D;
    Token t = {};
    if (mine) t = token_of(p, row / heads);

    u32 x[4], value[4];
    Place place = {};
    if (t.there && is_key) place = place_of(p, t.b, t.position);
    if (place.there) {
      const char *from = row_at(p.k_new, p.k_new_stride, t.batch, head, t.row);
      load_8(x, from + 2 * first);
      load_8(value, row_at(p.v_new, p.v_new_stride, t.batch, head, t.row) + 2 * first);
      turn(x, from, p, t.position, first);
    } else if (t.there && !is_key) {
      const char *from = row_at(p.q, p.q_stride, t.batch, head - p.Hkv, t.row);
      load_8(x, from + 2 * first);
      turn(x, from, p, t.position, first);
    }

    // All threads of the row have read it: queries may be turned in place.
    warp_barrier();
    if (place.there) {
      store_8(row_at(p.k, p.k_stride, place.batch, head, place.row) + 2 * first, x);
      store_8(row_at(p.v, p.v_stride, place.batch, head, place.row) + 2 * first, value);
    } else if (t.there && !is_key) {
      store_8(row_at(p.q_out, p.q_out_stride, t.batch, head - p.Hkv, t.row) + 2 * first, x);
    }
  }
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Instructions of a whole warp: matrix loads and products, exchanges, votes; and conversions. */
#include <cmath>
#include <cstring>

#include "state.h"

namespace emu {

/* ---------------------------------------------------------------- conversions */

static float from_bits(u32 x)
{
  float f;
  std::memcpy(&f, &x, sizeof f);
  return f;
}

static u32 bits_of(float f)
{
  u32 x;
  std::memcpy(&x, &f, sizeof x);
  return x;
}

u16 to_bf16(float x)
{
  const u32 b = bits_of(x);
  if (std::isnan(x)) return 0x7fff;
  return (u16)((b + 0x7fff + (b >> 16 & 1)) >> 16);
}

float from_bf16(u16 x)
{
  return from_bits((u32)x << 16);
}

/* By arithmetic: the value in units of the result's last place, rounded by nearbyint (to even). */
u16 to_half(float x)
{
  if (std::isnan(x)) return 0x7fff;
  const u16 sign = (u16)(bits_of(x) >> 16 & 0x8000);
  const float a = std::fabs(x);
  int exponent;
  std::frexp(a, &exponent);                              /* a < 2^exponent */
  const int unit = std::max(exponent - 11, -24);         /* log2 of the last place */
  const float rounded = std::ldexp(std::nearbyint(std::ldexp(a, -unit)), unit);
  if (rounded >= 65536.f) return (u16)(sign | 0x7c00);
  if (rounded < 0x1p-14f) return (u16)(sign | (u16)std::ldexp(rounded, 24)); /* subnormal */
  std::frexp(rounded, &exponent);
  return (u16)(sign | (u16)((exponent + 14) << 10) | ((u16)std::ldexp(rounded, 11 - exponent) & 0x3ff));
}

static float half_value(u16 x)
{
  const int exponent = x >> 10 & 31, fraction = x & 0x3ff;
  float a;
  if (exponent == 31) a = fraction ? NAN : INFINITY;
  else if (exponent == 0) a = std::ldexp((float)fraction, -24);
  else a = std::ldexp((float)(fraction | 0x400), exponent - 25);
  return x & 0x8000 ? -a : a;
}

float from_half(u16 x)
{
  static const std::vector<float> values = [] {
    std::vector<float> all(0x10000);
    for (u32 i = 0; i < all.size(); i++) all[i] = half_value((u16)i);
    return all;
  }();
  return values[x];
}

float exp2_ftz(float x)
{
  const float y = std::exp2(x);
  return y < 0x1p-126f ? 0.f : y;
}

/* ---------------------------------------------------------------- ldmatrix */

struct MatrixOperand {
  u32 address;
  u32 *r;
};

void load_matrices(Site site, u32 (&r)[4], u32 address, bool transposed)
{
  MatrixOperand mine = {address, r};
  with_warp(site, &mine, [&](void *const *operands) {
    u16 matrix[4][8][8];
    u32 rows[WARP];
    for (int l = 0; l < WARP; l++) {
      rows[l] = static_cast<MatrixOperand *>(operands[l])->address;
      const size_t index = shared_index(site, rows[l], 16);
      note_shared_read(site, index, 16, true);
      std::memcpy(matrix[l / 8][l % 8], &block->smem[index], 16);
    }
    for (int l = 0; l < WARP; l++)
      for (int m = 0; m < 4; m++) {
        const int row = l / 4, column = l % 4 * 2;
        const u16 low = transposed ? matrix[m][column][row] : matrix[m][row][column];
        const u16 high = transposed ? matrix[m][column + 1][row] : matrix[m][row][column + 1];
        static_cast<MatrixOperand *>(operands[l])->r[m] = low | (u32)high << 16;
      }
    count_shared_rows(site, rows, WARP);
  });
}

/* ---------------------------------------------------------------- mma */

struct ProductOperand {
  float *c;
  const u32 *a;
  u32 b[2];
};

static float element(u32 pair, int which, bool bf16)
{
  const u16 x = (u16)(pair >> (16 * which));
  return bf16 ? from_bf16(x) : from_half(x);
}

void multiply(Site site, float (&c)[4], const u32 (&a)[4], u32 b0, u32 b1, bool accumulate, bool bf16)
{
  ProductOperand mine = {c, a, {b0, b1}};
  with_warp(site, &mine, [&](void *const *operands) {
    float A[16][16], B[16][8];
    for (int l = 0; l < WARP; l++) {
      const ProductOperand &o = *static_cast<ProductOperand *>(operands[l]);
      const int g = l / 4, t = l % 4 * 2;
      for (int e = 0; e < 2; e++) {
        A[g][t + e] = element(o.a[0], e, bf16), A[g + 8][t + e] = element(o.a[1], e, bf16);
        A[g][t + 8 + e] = element(o.a[2], e, bf16), A[g + 8][t + 8 + e] = element(o.a[3], e, bf16);
        B[t + e][g] = element(o.b[0], e, bf16), B[t + 8 + e][g] = element(o.b[1], e, bf16);
      }
    }
    for (int l = 0; l < WARP; l++) {
      ProductOperand &o = *static_cast<ProductOperand *>(operands[l]);
      for (int i = 0; i < 4; i++) {
        const int row = l / 4 + i / 2 * 8, column = l % 4 * 2 + i % 2;
        float sum = accumulate ? o.c[i] : 0.f;
        for (int k = 0; k < 16; k++) sum += A[row][k] * B[k][column];
        o.c[i] = sum;
      }
    }
    block->counts.mma++;
  });
}

/* ---------------------------------------------------------------- exchanges */

struct ExchangeOperand {
  u32 in, out;
  int mask; /* or the lane */
};

u32 exchange_xor(Site site, u32 x, int mask)
{
  ExchangeOperand mine = {x, 0, mask};
  with_warp(site, &mine, [](void *const *operands) {
    for (int l = 0; l < WARP; l++) {
      ExchangeOperand &o = *static_cast<ExchangeOperand *>(operands[l]);
      o.out = static_cast<ExchangeOperand *>(operands[(l ^ o.mask) % WARP])->in;
    }
  });
  return mine.out;
}

u32 exchange_from(Site site, u32 x, int from)
{
  ExchangeOperand mine = {x, 0, from};
  with_warp(site, &mine, [](void *const *operands) {
    for (int l = 0; l < WARP; l++) {
      ExchangeOperand &o = *static_cast<ExchangeOperand *>(operands[l]);
      o.out = static_cast<ExchangeOperand *>(operands[o.mask % WARP])->in;
    }
  });
  return mine.out;
}

u32 transpose(Site site, u32 x)
{
  ExchangeOperand mine = {x, 0, 0};
  with_warp(site, &mine, [](void *const *operands) {
    const auto element = [&](int row, int column) {
      const u32 pair = static_cast<ExchangeOperand *>(operands[row * 4 + column / 2])->in;
      return pair >> (column % 2 * 16) & 0xffff;
    };
    for (int l = 0; l < WARP; l++)
      static_cast<ExchangeOperand *>(operands[l])->out = element(l % 4 * 2, l / 4) | element(l % 4 * 2 + 1, l / 4) << 16;
  });
  return mine.out;
}

struct VoteOperand {
  bool in, out;
};

bool vote_any(Site site, bool p)
{
  VoteOperand mine = {p, false};
  with_warp(site, &mine, [](void *const *operands) {
    bool any = false;
    for (int l = 0; l < WARP; l++) any |= static_cast<VoteOperand *>(operands[l])->in;
    for (int l = 0; l < WARP; l++) static_cast<VoteOperand *>(operands[l])->out = any;
  });
  return mine.out;
}

} // namespace emu

// SPDX-License-Identifier: Apache-2.0
//
// Scores beyond their scale: softcap, ALiBi, bias.
//
// A lane has two neighbouring keys of each eight of a row, so it would read a bias in pieces of 4 bytes. Instead it reads
// the eight keys of one eight in four, and the four lanes of a row exchange what they have; and it does so while the product of
// the scores is still under way, if a bias is aligned and a tile's keys are all there.
#ifndef WGMMA_SCORES_CUH
#define WGMMA_SCORES_CUH

#include "fl4_scores.cuh"
#include "wgmma_schedule.cuh"

typedef float Scores[BN / 2];  // [4i + 2·half + e]: key 8i + 2·(lane%4) + e, row 8·half + lane/4 of the warp

// Four lanes that have four words each exchange them: lane t gets word t of all, in the order of the lanes.
FL4_DEV void transpose(u32 (&x)[4])
{
  const bool odd = lane() % 2, upper = lane() / 2 % 2;
#pragma unroll
  for (int i = 0; i < 4; i += 2) {
    const u32 got = shuffle_xor_32(odd ? x[i] : x[i + 1], 1);
    (odd ? x[i] : x[i + 1]) = got;
  }
#pragma unroll
  for (int i = 0; i < 2; i++) {
    const u32 got = shuffle_xor_32(upper ? x[i] : x[i + 2], 2);
    (upper ? x[i] : x[i + 2]) = got;
  }
}

constexpr int FOURS = BN / 32;                  // of eights; what is left of a tile is read key by key
constexpr bool EARLY = BIAS == 1 || BIAS == 2 || BIAS == 4;  // biases of 4 bytes would take too many registers
constexpr int EIGHT_WORDS = BIAS == 4 ? 2 : 4;  // of eight biases

// Biases of a tile as they were read, before lanes exchange them.
struct Biases {
  bool here;
  u32 words[EARLY && FOURS ? 2 : 1][FOURS ? FOURS : 1][EIGHT_WORDS];
};

// May eight keys be read at once?
FL4_DEV bool bias_is_aligned(const fl4_fwd_params &p)
{
  const i64 strides = p.bias_stride[0] | p.bias_stride[1] | p.bias_stride[2];
  return EARLY && p.bias_stride[3] == 1 && (strides * BIAS_BYTES | (i64)p.bias) % (8 * BIAS_BYTES) == 0;
}

FL4_DEV void load_eight(u32 (&x)[4], const char *from) { load_global_128(x, from); }
FL4_DEV void load_eight(u32 (&x)[2], const char *from) { load_global_64(x, from); }

// Begins to read the biases of a tile. `row`: the lane's first row.
FL4_DEV void read_biases(Biases &x, const fl4_fwd_params &p, const RowTile &t, bool aligned, int row, int key0)
{
  if (!BIAS) return;
  x.here = aligned && key0 + BN <= p.Sk;
  if (!EARLY || !x.here) return;
#pragma unroll
  for (int half = 0; half < (EARLY ? 2 : 0); half++) {
    const RowScores r = row_scores(p, 0.f, t.b, t.h, row + 8 * half, 0, 0);
#pragma unroll
    for (int i = 0; i < FOURS; i++)
      load_eight(x.words[EARLY ? half : 0][i], r.bias + (key0 + 32 * i + 8 * (lane() % 4)) * BIAS_BYTES);
  }
}

// Two biases from a word.
FL4_DEV float bias_of_word(u32 two, int e)
{
  if (BIAS == 4) return bias_value(two >> 8 * e & 0xff);
  return bias_value(e ? two >> 16 : two & 0xffff);
}

// `row`: the lane's first row.
FL4_DEV void score(Scores &s, const Biases &biases, const fl4_fwd_params &p, const RowTile &t, float slope, int row, int key0)
{
  if (!SCORED) return;
  const int first = key0 + 2 * (lane() % 4);
#pragma unroll
  for (int half = 0; half < 2; half++) {
    const RowScores r =
        row_scores(p, slope, t.b, t.h, row + 8 * half, diagonal(p, t, row + 8 * half), first);
#pragma unroll
    for (int i = 0; i < BN / 8; i++)
#pragma unroll
      for (int e = 0; e < 2; e++) {
        float &x = s[4 * i + 2 * half + e];
        x = scored(p, r, x, 8 * i + e);
      }
    if (EARLY && biases.here) {
#pragma unroll
      for (int i = 0; i < FOURS; i++) {
        u32 x[4];
#pragma unroll
        for (int w = 0; w < 4; w++) {
          const u32 word = biases.words[EARLY ? half : 0][i][BIAS == 4 ? w / 2 : w % EIGHT_WORDS];
          x[w] = BIAS == 4 ? word >> 16 * (w % 2) & 0xffff : word;
        }
        transpose(x);
#pragma unroll
        for (int w = 0; w < 4; w++)
#pragma unroll
          for (int e = 0; e < 2; e++) s[4 * (4 * i + w) + 2 * half + e] += bias_of_word(x[w], e);
      }
    }
    if (BIAS) {
      const int from = EARLY && biases.here ? 4 * FOURS : 0;
#pragma unroll
      for (int i = 0; i < BN / 8; i++)
#pragma unroll
        for (int e = 0; e < 2; e++)
          if (i >= from) s[4 * i + 2 * half + e] += bias_of(p, r, first + 8 * i + e);
    }
  }
}

#endif

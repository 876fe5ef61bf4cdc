// SPDX-License-Identifier: Apache-2.0
//
// Online softmax over key tiles, with a reference that lags behind: the idea is told in fl4_softmax.cuh. Here the
// sums, which are needed anyway, tell when a reference is too low.
//
// They are of the weights before they are rounded. That is as good while weights are many or small, for the errors
// average out; a key that dominates its row becomes the reference, for the limit is low: its weight is 1, and not rounded.
#ifndef WGMMA_SOFTMAX_CUH
#define WGMMA_SOFTMAX_CUH

#include "wgmma_scores.cuh"

typedef u32 Weights[BN / 4];   // the same rounded and packed, as the second product takes them: [2i + half]

// A lane's part of its rows.
struct Rows {
  float o[D / 2];       // output so far, as Scores
  float sum[2];         // of the lane's weights
  float reference[2];   // log2; -inf: no key yet
};

// Key tiles of which all rows of a group see all keys.
struct OpenTiles {
  int first, end, rows;
  FL4_MEMBER bool has(int tile) const { return tile < end && (!WINDOW || tile >= first) && (!RAGGED_Q || rows >= GROUP_ROWS); }
};
FL4_DEV OpenTiles open_tiles(const fl4_fwd_params &p, const RowTile &t, int group)
{
  const int row = t.row0 + group * GROUP_ROWS;
  OpenTiles open = {};
  open.end = keys_seen(p, t, row) / BN;
  if (WINDOW) open.first = (first_seen(p, t, row + GROUP_ROWS - 1) + BN - 1) / BN;
  if (RAGGED_Q) open.rows = queries(p, t) - row;
  return open;
}

// Keys that a row does not see get -inf. `row`: the lane's first row, `key0`: the tile's first key. Behind the last of ragged
// queries are those of another sequence, or anything: so that no row that counts depends on them, they all score the
// same in a tile, and less in each that comes later.
FL4_DEV void mask_scores(Scores &s, const fl4_fwd_params &p, const RowTile &t, int row, int key0)
{
  const int first = key0 + 2 * (lane() % 4);
#pragma unroll
  for (int half = 0; half < 2; half++) {
    const int seen = keys_seen(p, t, row + 8 * half) - first, hidden = WINDOW ? first_seen(p, t, row + 8 * half) - first : 0;
    const bool none = RAGGED_Q && row + 8 * half >= queries(p, t);
#pragma unroll
    for (int i = 0; i < BN / 8; i++)
#pragma unroll
      for (int e = 0; e < 2; e++) {
        float &x = s[4 * i + 2 * half + e];
        if (8 * i + e >= seen || (WINDOW && 8 * i + e < hidden)) x = MINUS_INFINITY;
        if (none) x = (float)key0;
      }
  }
}

// The weights of a key tile by the references given, and their sums.
FL4_DEV void weigh(Weights &weights, float (&sums)[2], const Scores &s, float reference0, float reference1, float scale)
{
  const float reference[2] = {reference0, reference1};
#pragma unroll
  for (int i = 0; i < BN / 8; i++)
#pragma unroll
    for (int half = 0; half < 2; half++) {
      const float a = exp2_approx(s[4 * i + 2 * half] * scale - reference[half]);
      const float b = exp2_approx(s[4 * i + 2 * half + 1] * scale - reference[half]);
      weights[2 * i + half] = pack_2(a, b);
      sums[half] = i == 0 ? a + b : sums[half] + (a + b);
    }
}

// Has a row of the warp a sum beyond the limit, or NaN? It is NaN where there is no reference yet.
FL4_DEV bool beyond_limit(const float (&sums)[2]) { return warp_any(!(sums[0] <= SUM_LIMIT && sums[1] <= SUM_LIMIT)); }

// Weighs a key tile by its maxima: if one is above its row's reference by more than `slack`, all rows of the warp get theirs
// as references.
FL4_DEV void renew(Rows &rows, Weights &weights, float (&sums)[2], const Scores &s, float scale, float slack,
                   const fl4_fwd_params &p)
{
  float highest[2];
  bool above = false;
#pragma unroll
  for (int half = 0; half < 2; half++) {
    float largest = max_f32(s[2 * half], s[2 * half + 1]);
#pragma unroll
    for (int i = 1; i < BN / 8; i++) largest = max_f32(largest, max_f32(s[4 * i + 2 * half], s[4 * i + 2 * half + 1]));
    highest[half] = row_max(largest) * scale;
    above |= highest[half] > rows.reference[half] + slack;
  }
  if (warp_any(above)) {
    float factor[2];
    bool output = false;
#pragma unroll
    for (int half = 0; half < 2; half++) {
      const float before = rows.reference[half], now = max_f32(before, highest[half]);
      invariant(p, !(now < before), FL4_INVARIANT_MAX_GROWS, now, before);
      rows.reference[half] = now;
      factor[half] = exp2_approx(before - finite_reference(now));
      rows.sum[half] *= factor[half];
      output |= before != MINUS_INFINITY;
    }
    if (warp_any(output)) {
#pragma unroll
      for (int i = 0; i < D / 2; i++) rows.o[i] *= factor[i / 2 % 2];
    }
  }
  weigh(weights, sums, s, finite_reference(rows.reference[0]), finite_reference(rows.reference[1]), scale);
}

// How a row tile goes: it begins with maxima; then references are tried as they stand; and once that has failed twice,
// scores seem to rise, and it is not worth trying any more. Then references lag behind by up to RISING_SLACK, lest the output is
// rescaled at each tile.
enum { BEGINNING, STEADY, WARNED, RISING };

// Scores to weights. `few`: some row sees but a few keys of this tile, whose maximum is a poor reference: the next tile begins
// too.
FL4_DEV void softmax(Rows &rows, Weights &weights, int &course, const Scores &s, bool few, const fl4_fwd_params &p)
{
  float sums[2];
  bool good = false;
  if (course == STEADY || course == WARNED) {
    weigh(weights, sums, s, rows.reference[0], rows.reference[1], score_scale(p));
    good = !beyond_limit(sums);
  }
  if (!good) {
    renew(rows, weights, sums, s, score_scale(p), course == RISING ? RISING_SLACK : 0.f, p);
    if (course < RISING && !few) course++;
  }
#pragma unroll
  for (int half = 0; half < 2; half++) rows.sum[half] += sums[half];
}

// The state before the first key tile.
FL4_DEV void clear(Rows &rows)
{
#pragma unroll
  for (int i = 0; i < D / 2; i++) rows.o[i] = 0.f;
#pragma unroll
  for (int half = 0; half < 2; half++) rows.sum[half] = 0.f, rows.reference[half] = MINUS_INFINITY;
}

#endif

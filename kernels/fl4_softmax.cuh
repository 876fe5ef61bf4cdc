// SPDX-License-Identifier: Apache-2.0
//
// Online softmax over slices of keys (Milakov & Gimelshein, arXiv 1805.02867), with a reference that
// lags behind.
//
// A weight is 2^(score - reference), the reference some score that the row has seen: any will do, as long
// as no weight overflows, for the division by the sum at the end takes it out again. So the steady
// loop takes the reference as it stands (weigh), looks at the weights that came out, and only if one
// is beyond the limit moves the reference to the true maximum of the slice and weighs again (renew).
// No maximum, no exchange between lanes and no rescaling is in the loop, and nothing waits for them.
// Before the first slice the reference is -inf, all weights are infinite, and the rule does the right thing.
//
// The sums are those of the rounded weights, gained by one more column of the second product, which is
// all ones. So the weights that V is multiplied with add up to 1 exactly, however the reference stands.
//
// Scores are scaled by scale · log2 e as they are used: a weight is one fused multiply-add and one power of two. Scores that
// were transformed (fl4_scores.cuh) have been scaled already.
#ifndef FL4_SOFTMAX_CUH
#define FL4_SOFTMAX_CUH

#include "fl4_mask.cuh"
#include "fl4_scores.cuh"

typedef float Scores[M16][S8][4];    // of a slice, as the first product leaves them
typedef u32 Weights[S16][M16][4];    // the same rounded and packed, as the second product takes them
typedef float SliceSums[M16][2];     // of the lane's weights before they are rounded (EXACT_SUM)

// A lane's part of the state of its rows: [m][half] is row 16·m + 8·half + lane/4 of the warp.
struct Rows {
  float o[M16][D8][4];        // output so far
  float sum[M16][4];          // of the rounded weights; [2·half] and [2·half + 1] are the same
  float reference[M16][2];    // -inf before the first key
  SliceSums exact;            // sum of the lane's weights before they are rounded (EXACT_SUM)
};

FL4_DEV void clear(Rows &rows)
{
#pragma unroll
  for (int m = 0; m < M16; m++) {
#pragma unroll
    for (int n = 0; n < D8; n++)
#pragma unroll
      for (int e = 0; e < 4; e++) rows.o[m][n][e] = 0.f;
#pragma unroll
    for (int e = 0; e < 4; e++) rows.sum[m][e] = 0.f;
#pragma unroll
    for (int half = 0; half < 2; half++) rows.reference[m][half] = MINUS_INFINITY, rows.exact[m][half] = 0.f;
  }
}

// Brings a row to a new reference.
FL4_DEV void rescale(Rows &rows, int m, int half, float factor)
{
#pragma unroll
  for (int n = 0; n < D8; n++)
#pragma unroll
    for (int e = 0; e < 2; e++) rows.o[m][n][2 * half + e] *= factor;
#pragma unroll
  for (int e = 0; e < 2; e++) rows.sum[m][2 * half + e] *= factor;
  if (EXACT_SUM) rows.exact[m][half] *= factor;
}

constexpr int WEIGHT_PAIRS = M16 * S8 * 2;  // of a lane in a slice

// The pairs [first, last) of a slice's weights, along the keys, by the references as they stand.
template <class AnyRows>
FL4_DEV void weigh(Weights &weights, SliceSums &sums, const Scores &s, const AnyRows &rows, float scale, int first, int last)
{
#pragma unroll
  for (int pair = 0; pair < WEIGHT_PAIRS; pair++) {
    if (pair < first || pair >= last) continue;
    const int n = pair / (2 * M16), m = pair / 2 % M16, half = pair % 2;
    const float a = exp2_approx(s[m][n][2 * half] * scale - rows.reference[m][half]);
    const float b = exp2_approx(s[m][n][2 * half + 1] * scale - rows.reference[m][half]);
    weights[n / 2][m][n % 2 * 2 + half] = pack_2(a, b);
    if (EXACT_SUM) sums[m][half] = n == 0 ? a + b : sums[m][half] + (a + b);
  }
}

// Is a reference of the warp's too low for these weights? A bias may have hidden all that a row has met, which then has no
// reference: its weights are no numbers, and lose against others.
FL4_DEV bool beyond_limit(const Weights &weights, const Rows &rows)
{
  bool none = false;
  if (BIAS) {
#pragma unroll
    for (int m = 0; m < M16; m++) none |= rows.reference[m][0] == MINUS_INFINITY || rows.reference[m][1] == MINUS_INFINITY;
  }
  u32 largest = weights[0][0][0];
#pragma unroll
  for (int i = 1; i < WEIGHT_PAIRS; i++) largest = max_packed_2(largest, weights[i / (4 * M16)][i / 4 % M16][i % 4]);
  return warp_any(none || (largest & 0xffff) > WEIGHT_LIMIT_BITS || largest > (WEIGHT_LIMIT_BITS << 16 | 0xffff));
}

// Moves the references up to the maxima of the slice, and weighs it. The slice may hold -inf, even whole rows of it.
// True if a row's reference has moved far: then the next slice may well do the same.
FL4_DEV bool renew(Rows &rows, Weights &weights, SliceSums &sums, const Scores &s, float scale, const fl4_fwd_params &p)
{
  bool far = false;
#pragma unroll
  for (int m = 0; m < M16; m++)
#pragma unroll
    for (int half = 0; half < 2; half++) {
      float largest = max_f32(s[m][0][2 * half], s[m][0][2 * half + 1]);
#pragma unroll
      for (int n = 1; n < S8; n++) largest = max_f32(largest, max_f32(s[m][n][2 * half], s[m][n][2 * half + 1]));
      const float before = rows.reference[m][half], now = max_f32(before, row_max(largest) * scale);
      const float reference = finite_reference(now);
      invariant(p, !(now < before), FL4_INVARIANT_MAX_GROWS, now, before);
      far |= before != MINUS_INFINITY && now - before > LOG2_WEIGHT_LIMIT;
      rows.reference[m][half] = now;
      rescale(rows, m, half, exp2_approx(before - reference));

      float sum = 0.f;
#pragma unroll
      for (int n = 0; n < S8; n++) {
        const float a = exp2_approx(s[m][n][2 * half] * scale - reference);
        const float b = exp2_approx(s[m][n][2 * half + 1] * scale - reference);
        weights[n / 2][m][n % 2 * 2 + half] = pack_2(a, b);
        sum += a + b;
      }
      if (EXACT_SUM) sums[m][half] = sum;
    }
  return warp_any(far);
}

// What must hold of the sums after each slice; `before`: what they were.
FL4_DEV void check_sums(const Rows &rows, const float (&before)[M16][2], const fl4_fwd_params &p)
{
#pragma unroll
  for (int m = 0; m < M16; m++)
#pragma unroll
    for (int half = 0; half < 2; half++) {
      const float l = rows.sum[m][2 * half], most = p.Sk * WEIGHT_LIMIT;
      invariant(p, !(l < before[m][half]), FL4_INVARIANT_SUM_GROWS, l, before[m][half]);
      invariant(p, rows.reference[m][half] == MINUS_INFINITY || !(l < 0.999f), FL4_INVARIANT_SUM_AT_LEAST_ONE, l, 1);
      invariant(p, !(l > most), FL4_INVARIANT_SUM_AT_MOST_KEYS, l, most);
      invariant(p, is_finite(l), FL4_INVARIANT_FINITE, l, 0);
    }
}

#endif

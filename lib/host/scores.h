/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is done to the scores of a row beyond scale · q·k: softcap, ALiBi, bias, in this order. All in powers of two: a score
 * times log2 e. Keys are counted from the first of a tile; those outside of lo … hi − 1 are not the row's, and not read.
 */
#ifndef FL4_HOST_SCORES_H
#define FL4_HOST_SCORES_H

#include <math.h>

#include "problem.h"
#include "vector.h"

typedef struct row_scores {
  float softcap;    /* times log2 e; 0: none */
  float slope;      /* of ALiBi, times log2 e; 0: none */
  int diagonal;     /* the key that its distance counts from */
  const char *bias; /* of key 0; NULL: none */
  int bias_type;    /* fl4_bias_type */
  int bias_step;    /* 1, or 0: one bias for all keys */
} row_scores;

/* Features that change scores. */
enum { SCORED = FL4__FEATURE_SOFTCAP | FL4__FEATURE_ALIBI | FL4__FEATURE_BIAS };

static const float LOG2_E = 1.4426950408889634f;

/* Lanes of the vector from key j on that are among lo … hi − 1. */
INLINE vi lanes_within(int j, int lo, int hi)
{
  const vi key = lane_index() + j;
  return (key >= lo) & (key < hi);
}

/*
 * tanh, by 1 − e^(−2|x|) = (1 − 2ⁿ) − 2ⁿ·(2^f − 1), with n and f as in exp2_nonpositive(): the polynomial has no constant
 * term, so that small results are as exact, relatively, as large ones.
 */
INLINE vf tanh_of(vf x)
{
  const vf round = splat(12582912.0f);
  vf t = (vf)((vi)x & 0x7fffffff) * (-2 * LOG2_E);
  t = pick(t < splat(-126.0f), splat(-126.0f), t);
  const vf shifted = t + round, f = t - (shifted - round);
  const vf power = (vf)(((vi)shifted + 127) << 23);
  vf y = splat(1.54531634e-4f);
  y = y * f + splat(1.33908633e-3f);
  y = y * f + splat(9.61808302e-3f);
  y = y * f + splat(5.55035695e-2f);
  y = y * f + splat(2.40226507e-1f);
  y = y * f + splat(6.93147182e-1f);
  const vf fall = (splat(1.0f) - power) - power * (y * f);
  return (vf)((vi)(fall / (splat(2.0f) - fall)) | ((vi)x & INT32_MIN));
}

INLINE int bias_size(int bias_type)
{
  return bias_type == FL4_BIAS_BOOL ? 1 : bias_type == FL4_BIAS_FP32 ? 4 : 2;
}

/* The biases of keys j … j + VL − 1, not yet times log2 e; 0 where they are not the row's. */
INLINE vf bias_of(const row_scores *r, int j, int lo, int hi)
{
  const int size = bias_size(r->bias_type);
  const int from = lo > j ? lo - j : 0, to = hi - j < VL ? hi - j : VL;
  char elements[VL * 4] = {0};
  if (!r->bias_step)
    for (int i = from; i < to; i++) memcpy(elements + i * size, r->bias, (size_t)size);
  else if (from == 0 && to == VL)
    memcpy(elements, r->bias + (int64_t)j * size, (size_t)(VL * size));
  else if (from < to)
    memcpy(elements + from * size, r->bias + (int64_t)(j + from) * size, (size_t)((to - from) * size));

  vf whole;
  vh half;
  vb byte;
  memcpy(&whole, elements, sizeof whole), memcpy(&half, elements, sizeof half), memcpy(&byte, elements, sizeof byte);
  if (r->bias_type == FL4_BIAS_FP32) return whole;
  if (r->bias_type == FL4_BIAS_BOOL) return pick(__builtin_convertvector(byte, vi) != 0, splat(0), splat(-INFINITY));
  const vu upper = __builtin_convertvector(half, vu) << 16;
  return r->bias_type == FL4_BIAS_FP16 ? fp16_upper(upper) : bf16_upper(upper);
}

/* Whether the biases hide all keys of the row. */
INLINE bool bias_hides_all(const row_scores *r, int lo, int hi)
{
  vi seen = {0};
  for (int j = lo / VL * VL; j < hi; j += VL)
    seen |= lanes_within(j, lo, hi) & (bias_of(r, j, lo, hi) != splat(-INFINITY));
  return max_of_lanes(pick(seen, splat(1), splat(0))) == 0;
}

/* Scores s[lo … hi) of a row from scale · q·k; with a softcap that is what tanh is taken of. */
INLINE void transform(const row_scores *r, float *s, int lo, int hi)
{
  for (int j = lo / VL * VL; j < hi; j += VL) {
    vf x = load(s + j);
    if (r->softcap > 0) x = tanh_of(x) * r->softcap;
    if (r->slope != 0) {
      const vi distance = r->diagonal - (lane_index() + j), sign = distance >> 31;
      x -= r->slope * __builtin_convertvector((distance ^ sign) - sign, vf);
    }
    if (r->bias) {
      const vf bias = bias_of(r, j, lo, hi);
      /* A key that is hidden by a mask may hold NaN. */
      x = r->bias_type == FL4_BIAS_BOOL ? pick(bias == splat(0), x, bias) : x + bias * LOG2_E;
    }
    store(s + j, x);
  }
}

#endif

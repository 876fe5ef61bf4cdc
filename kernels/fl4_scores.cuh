// SPDX-License-Identifier: Apache-2.0
//
// What is done to a score beyond scale · q·k: softcap, ALiBi, bias, in this order; and the sink at the end of a row. These
// scores are natural logarithms, so that a bias is added as it is; those that have only a scale, or a mask, are as the product
// left them.
#ifndef FL4_SCORES_CUH
#define FL4_SCORES_CUH

#include "fl4_sequence.cuh"

constexpr bool MASKED = BIAS == 4, NATURAL = SOFTCAP || ALIBI || (BIAS && !MASKED), SCORED = NATURAL || MASKED;
constexpr float LOG2_E = 1.4426950408889634f, LN_2 = 0.6931471805599453f;

FL4_DEV float load_float(const void *address) { return float_from_bits(load_global_32(address)); }
// What makes a score a power of two.
FL4_DEV float score_scale(const fl4_fwd_params &p) { return NATURAL ? LOG2_E : p.scale_log2; }

// By 1 - 2 / (1 + e^2x), which is good to some 1e-7, where tanh.approx is to 1e-3.
FL4_DEV float tanh_by_exp2(float x)
{
  return 1.f - 2.f * reciprocal_approx(1.f + exp2_approx(2.f * LOG2_E * x));
}

// Of a row, what its scores need.
struct RowScores {
  float slope;       // ALiBi's
  float distance;    // of key `first` from the diagonal: exact, for keys are fewer than 2^24 where it matters
  const char *bias;  // of key 0
};

FL4_DEV float alibi_slope(const fl4_fwd_params &p, int b, int h)
{
  if (!ALIBI) return 0.f;
  const i64 at = b * p.slope_stride[0] + h * p.slope_stride[1];
  return load_float(reinterpret_cast<const char *>(p.slopes) + 4 * at);
}

// Rows beyond the last have the bias of the last. `diagonal`: the key from which the row's distances count.
FL4_DEV RowScores row_scores(const fl4_fwd_params &p, float slope, int b, int h, int row, int diagonal, int first)
{
  RowScores r = {slope, ALIBI ? (float)(diagonal - first) : 0.f, nullptr};
  if (!BIAS) return r;
  const i64 at = b * p.bias_stride[0] + h * p.bias_stride[1] + min_i32(row, p.Sq - 1) * p.bias_stride[2];
  r.bias = reinterpret_cast<const char *>(p.bias) + at * BIAS_BYTES;
  return r;
}

// A bias as it lies in memory: what is added to the score. (To select the score by the byte would be an instruction less, but
// takes registers that there are not.)
FL4_DEV float bias_value(u32 bits)
{
  if (MASKED) return bits ? 0.f : MINUS_INFINITY;
  if (BIAS == 3) return float_from_bits(bits);
  return BIAS == 2 ? float_from_bits(bits << 16) : half_to_float((u16)bits);
}

FL4_DEV float bias_of(const fl4_fwd_params &p, const RowScores &r, int key)
{
  const char *at = r.bias + min_i32(key, p.Sk - 1) * p.bias_stride[3] * BIAS_BYTES;
  return bias_value(BIAS == 4 ? load_global_8(at) : BIAS == 3 ? load_global_32(at) : load_global_16(at));
}

// The score of key `first` + `step` without its bias, from q·k. With a softcap the parameter is the scale divided by it.
FL4_DEV float scored(const fl4_fwd_params &p, const RowScores &r, float s, int step)
{
  if (!NATURAL) return s;
  s = SOFTCAP ? p.softcap_log2 * LN_2 * tanh_by_exp2(s * p.scale_log2) : s * (p.scale_log2 * LN_2);
  const float distance = r.distance - (float)step;
  return ALIBI ? s - r.slope * (distance < 0.f ? -distance : distance) : s;
}

// How a row ends: its output is multiplied with `factor` and divided by `sum`.
struct Ending {
  float reference, sum, factor;
};

// A sink is one more key, whose value is 0.
FL4_DEV Ending with_sink(const fl4_fwd_params &p, int h, float reference, float sum)
{
  if (!SINKS) return {reference, sum, 1.f};
  const float sink = LOG2_E * load_float(reinterpret_cast<const char *>(p.sinks) + 4 * h);
  const float now = max_f32(reference, sink), factor = exp2_approx(reference - finite_reference(now));
  return {now, sum * factor + exp2_approx(sink - finite_reference(now)), factor};
}

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* The yardsticks: conversion of elements, and the fp64 oracle against what can be said in closed form. */
#include <math.h>

#include "fl4_test.h"
#include "oracle/check.h"

static const int dtypes[] = {FL4_DTYPE_FP16, FL4_DTYPE_BF16, FL4_DTYPE_FP32};

/* ---------------------------------------------------------------- elements */

START_TEST(every_16_bit_pattern_comes_back)
{
  const int dtype = dtypes[_i];
  for (int bits = 0; bits < 65536; bits++) {
    const uint16_t in = (uint16_t)bits;
    uint16_t out;
    const float x = fl4__load(&in, dtype, 0);
    fl4__store(&out, dtype, 0, x);
    if (isnan(x))
      ck_assert(isnan(fl4__load(&out, dtype, 0)));
    else
      ck_assert_msg(in == out, "%s 0x%04x came back as 0x%04x", fl4__dtype_name(dtype), in, out);
  }
}
END_TEST

START_TEST(known_elements)
{
  const struct {
    int dtype;
    uint16_t bits;
    double value;
  } known[] = {
      {FL4_DTYPE_FP16, 0x3c00, 1},
      {FL4_DTYPE_FP16, 0xc000, -2},
      {FL4_DTYPE_FP16, 0x0001, 0x1p-24},
      {FL4_DTYPE_FP16, 0x0400, 0x1p-14},
      {FL4_DTYPE_FP16, 0x7bff, 65504},
      {FL4_DTYPE_FP16, 0xfc00, -INFINITY},
      {FL4_DTYPE_FP16, 0x3555, 0.333251953125},
      {FL4_DTYPE_BF16, 0x3f80, 1},
      {FL4_DTYPE_BF16, 0xc000, -2},
      {FL4_DTYPE_BF16, 0x0001, 0x1p-133},
      {FL4_DTYPE_BF16, 0x7f7f, 0x1.fep127},
      {FL4_DTYPE_BF16, 0x7f80, INFINITY},
      {FL4_DTYPE_BF16, 0x4049, 3.140625},
  };
  for (size_t i = 0; i < sizeof known / sizeof *known; i++)
    ck_assert_double_eq((double)fl4__load(&known[i].bits, known[i].dtype, 0), known[i].value);
}
END_TEST

START_TEST(rounds_once_to_nearest_even)
{
  const struct {
    int dtype;
    double x, rounded;
  } cases[] = {
      {FL4_DTYPE_FP16, 1 + 0x1p-11, 1},                     /* ties go to even … */
      {FL4_DTYPE_FP16, 1 + 0x3p-11, 1 + 0x1p-9},            /* … up as well as down */
      {FL4_DTYPE_FP16, 1 + 0x1p-11 + 0x1p-40, 1 + 0x1p-10}, /* by way of fp32 this were a tie */
      {FL4_DTYPE_FP16, 65519.99, 65504},
      {FL4_DTYPE_FP16, -65520, -INFINITY},
      {FL4_DTYPE_FP16, 0x1p-25, 0},
      {FL4_DTYPE_FP16, 0x1.00001p-25, 0x1p-24},
      {FL4_DTYPE_FP16, -0x3p-25, -0x1p-23},
      {FL4_DTYPE_FP16, 0x1.ffffp-15, 0x1p-14},
      {FL4_DTYPE_BF16, 1 + 0x1p-8, 1},
      {FL4_DTYPE_BF16, 1 + 0x3p-8, 1 + 0x1p-6},
      {FL4_DTYPE_BF16, 0x1p-134, 0},
      {FL4_DTYPE_BF16, 0x1.8p-134, 0x1p-133},
      {FL4_DTYPE_BF16, 0x1.ffp127, INFINITY},
      {FL4_DTYPE_FP32, 1 + 0x1p-24, 1},
      {FL4_DTYPE_FP32, 1 + 0x3p-24, 1 + 0x1p-22},
      {FL4_DTYPE_FP32, 1e300, INFINITY},
      {FL4_DTYPE_FP32, 1e-300, 0},
      {FL4_DTYPE_FP32, -INFINITY, -INFINITY},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    const double y = fl4__round_to(cases[i].x, cases[i].dtype);
    ck_assert_msg(y == cases[i].rounded, "%s: %a became %a, not %a", fl4__dtype_name(cases[i].dtype), cases[i].x, y,
                  cases[i].rounded);
  }
  for (int i = 0; i < 3; i++) ck_assert(isnan(fl4__round_to(NAN, dtypes[i])));
  ck_assert(signbit(fl4__round_to(-1e-30, FL4_DTYPE_FP16)));
  ck_assert_double_eq(fl4__epsilon(FL4_DTYPE_FP16), 0x1p-10);
  ck_assert_double_eq(fl4__epsilon(FL4_DTYPE_BF16), 0x1p-7);
  ck_assert_double_eq(fl4__epsilon(FL4_DTYPE_FP32), 0x1p-23);
}
END_TEST

START_TEST(rounding_agrees_with_the_machine)
{
  /* The CPU's own conversion is the judge for fp32; neighbours' distances for the others. */
  uint64_t state = 1;
  for (int n = 0; n < 200000; n++) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    double x = ldexp((double)(int64_t)state, -63 + (int)(state >> 40 & 63) - 40);
    ck_assert(fl4__round_to(x, FL4_DTYPE_FP32) == (double)(float)x);
    uint16_t bits;
    fl4__store(&bits, FL4_DTYPE_FP16, 0, (float)x);
    const double y = fl4__round_to((double)(float)x, FL4_DTYPE_FP16);
    ck_assert((double)fl4__load(&bits, FL4_DTYPE_FP16, 0) == y);
    const uint16_t up = (uint16_t)(bits + 1), down = (uint16_t)(bits - 1);
    if (isinf(y) || (bits & 0x7fff) == 0 || (bits & 0x7fff) == 0x7bff) continue;
    const double error = fabs((double)(float)x - y);
    ck_assert(error <= fabs((double)(float)x - (double)fl4__load(&up, FL4_DTYPE_FP16, 0)));
    ck_assert(error <= fabs((double)(float)x - (double)fl4__load(&down, FL4_DTYPE_FP16, 0)));
  }
}
END_TEST

/* ---------------------------------------------------------------- the fp64 oracle */

enum { MAX = 1 << 16 };
static float q[MAX], k[MAX], v[MAX];
static double ref[MAX], low[MAX], lse[MAX], other[MAX];

/* Contiguous fp32 tensors in the arrays above, filled with something that is not special. */
static fl4_attention_args small_call(int B, int Hq, int Hkv, int Sq, int Sk, int D)
{
  fl4_attention_args a = FL4_ATTENTION_ARGS_INIT;
  a.dtype = FL4_DTYPE_FP32;
  a.B = B, a.Hq = Hq, a.Hkv = Hkv, a.Sq = Sq, a.Sk = Sk, a.D = D;
  a.q = q, a.k = k, a.v = v;
  for (int i = 0; i < B * Hq * Sq * D; i++) q[i] = (float)(i * 37 % 101 - 50) / 40;
  for (int i = 0; i < B * Hkv * Sk * D; i++)
    k[i] = (float)(i * 53 % 103 - 51) / 30, v[i] = (float)(i * 71 % 107 - 53) / 9;
  return a;
}

START_TEST(one_key_gives_its_value)
{
  fl4_attention_args a = small_call(2, 2, 2, 3, 1, 16);
  ck_assert_fl4(fl4_oracle_fp64(&a, NULL, 0, ref, NULL, lse));
  for (int row = 0; row < 12; row++) {
    double score = 0;
    for (int d = 0; d < 16; d++) {
      score += (double)q[row * 16 + d] * (double)k[row / 3 * 16 + d];
      ck_assert_double_eq(ref[row * 16 + d], (double)v[row / 3 * 16 + d]);
    }
    ck_assert_double_eq_tol(lse[row], score / 4, 1e-12); /* 1/√16 */
  }
}
END_TEST

START_TEST(equal_scores_give_the_mean)
{
  fl4_attention_args a = small_call(1, 1, 1, 5, 37, 8);
  memset(k, 0, sizeof k);
  ck_assert_fl4(fl4_oracle_fp64(&a, NULL, 0, ref, low, lse));
  for (int d = 0; d < 8; d++) {
    double mean = 0;
    for (int j = 0; j < 37; j++) mean += (double)v[j * 8 + d] / 37;
    for (int i = 0; i < 5; i++) ck_assert_double_eq_tol(ref[i * 8 + d], mean, 1e-14);
    ck_assert_double_eq_tol(low[d], mean, 1e-6);
  }
  for (int i = 0; i < 5; i++) ck_assert_double_eq_tol(lse[i], log(37), 1e-14);
}
END_TEST

START_TEST(values_of_one_give_one)
{
  fl4_attention_args a = small_call(1, 2, 1, 6, 50, 24);
  a.mask = FL4_MASK_CAUSAL;
  for (int i = 0; i < 50 * 24; i++) v[i] = 1;
  ck_assert_fl4(fl4_oracle_fp64(&a, NULL, 0, ref, NULL, NULL));
  for (int i = 0; i < 2 * 6 * 24; i++) ck_assert_double_eq_tol(ref[i], 1, 1e-14);
}
END_TEST

START_TEST(two_keys_give_a_logistic)
{
  fl4_attention_args a = small_call(1, 1, 1, 1, 2, 8);
  a.scale = 0.75f;
  double difference = 0, score0 = 0;
  for (int d = 0; d < 8; d++) {
    difference += (double)q[d] * ((double)k[d] - (double)k[8 + d]) * 0.75;
    score0 += (double)q[d] * (double)k[d] * 0.75;
  }
  const double weight = 1 / (1 + exp(-difference));
  ck_assert_fl4(fl4_oracle_fp64(&a, NULL, 0, ref, NULL, lse));
  for (int d = 0; d < 8; d++)
    ck_assert_double_eq_tol(ref[d], weight * (double)v[d] + (1 - weight) * (double)v[8 + d], 1e-13);
  ck_assert_double_eq_tol(lse[0], score0 - log(weight), 1e-13);
}
END_TEST

/* With K = 0 the LSE counts the keys that a row sees. */
START_TEST(causal_is_aligned_bottom_right)
{
  const int sizes[][2] = {{5, 5}, {3, 9}, {9, 3}, {1, 4}, {4, 1}};
  for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
    const int Sq = sizes[s][0], Sk = sizes[s][1];
    fl4_attention_args a = small_call(1, 1, 1, Sq, Sk, 8);
    a.mask = FL4_MASK_CAUSAL;
    memset(k, 0, sizeof k);
    ck_assert_fl4(fl4_oracle_fp64(&a, NULL, 0, ref, low, lse));
    for (int i = 0; i < Sq; i++) {
      const int seen = i + Sk - Sq + 1;
      if (seen > 0) {
        ck_assert_double_eq_tol(lse[i], log(seen), 1e-14);
        continue;
      }
      ck_assert(lse[i] == -INFINITY);
      for (int d = 0; d < 8; d++) ck_assert(ref[i * 8 + d] == 0 && low[i * 8 + d] == 0);
    }
  }
}
END_TEST

START_TEST(masked_keys_are_not_touched)
{
  fl4_attention_args a = small_call(1, 1, 1, 4, 4, 8);
  a.mask = FL4_MASK_CAUSAL;
  for (int d = 0; d < 8; d++) k[3 * 8 + d] = v[3 * 8 + d] = NAN; /* only the last query sees key 3 */
  ck_assert_fl4(fl4_oracle_fp64(&a, NULL, 0, ref, low, lse));
  for (int i = 0; i < 3 * 8; i++) ck_assert(isfinite(ref[i]) && isfinite(low[i]));
  ck_assert(isnan(ref[3 * 8]));
}
END_TEST

START_TEST(heads_share_keys_in_groups)
{
  fl4_attention_args a = small_call(2, 6, 2, 3, 1, 8);
  ck_assert_fl4(fl4_oracle_fp64(&a, NULL, 0, ref, NULL, NULL));
  for (int b = 0; b < 2; b++)
    for (int h = 0; h < 6; h++) ck_assert_double_eq(ref[(b * 6 + h) * 3 * 8], (double)v[(b * 2 + h / 3) * 8]);
}
END_TEST

START_TEST(strides_say_where_rows_are)
{
  fl4_attention_args a = small_call(2, 2, 2, 5, 7, 8);
  ck_assert_fl4(fl4_oracle_fp64(&a, NULL, 0, ref, NULL, NULL));
  /* The same tensors as [S][B][H][D + 3], keys and values one buffer behind the other. */
  static float q2[MAX], k2[MAX], v2[MAX];
  for (int b = 0; b < 2; b++)
    for (int h = 0; h < 2; h++)
      for (int s = 0; s < 7; s++)
        for (int d = 0; d < 8; d++) {
          const int to = ((s * 2 + b) * 2 + h) * 11 + d;
          if (s < 5) q2[to] = q[((b * 2 + h) * 5 + s) * 8 + d];
          k2[to] = k[((b * 2 + h) * 7 + s) * 8 + d], v2[to] = v[((b * 2 + h) * 7 + s) * 8 + d];
        }
  a.q = q2, a.k = k2, a.v = v2;
  const int64_t stride[3] = {22, 11, 44};
  memcpy(a.q_stride, stride, sizeof stride);
  memcpy(a.k_stride, stride, sizeof stride);
  memcpy(a.v_stride, stride, sizeof stride);
  ck_assert_fl4(fl4_oracle_fp64(&a, NULL, 0, other, NULL, NULL));
  ck_assert_mem_eq(ref, other, 2 * 2 * 5 * 8 * sizeof *ref);
}
END_TEST

START_TEST(wanted_rows_are_those_of_all_rows)
{
  static double some_ref[MAX], some_low[MAX], some_lse[MAX];
  fl4_attention_args a = small_call(2, 2, 1, 9, 20, 16);
  a.mask = FL4_MASK_CAUSAL;
  const int64_t rows[] = {8, 0, 4, 4};
  ck_assert_fl4(fl4_oracle_fp64(&a, NULL, 0, ref, low, lse));
  ck_assert_fl4(fl4_oracle_fp64(&a, rows, 4, some_ref, some_low, some_lse));
  for (int head = 0; head < 4; head++)
    for (int r = 0; r < 4; r++) {
      const int64_t at = head * 9 + rows[r];
      ck_assert_mem_eq(&some_ref[(head * 4 + r) * 16], &ref[at * 16], 16 * sizeof *ref);
      ck_assert_mem_eq(&some_low[(head * 4 + r) * 16], &low[at * 16], 16 * sizeof *low);
      ck_assert_double_eq(some_lse[head * 4 + r], lse[at]);
    }
  ck_assert_fl4(fl4_oracle_fp64(&a, rows, 0, NULL, NULL, some_lse)); /* no row: nothing is written */
  ck_assert_double_eq(some_lse[0], lse[8]);
}
END_TEST

/* Scores, weights and outputs of `low` are rounded, so its outputs are elements of the dtype. */
START_TEST(low_is_the_dtype_unfused)
{
  static uint16_t half[3][MAX];
  for (int dtype = 0; dtype < 2; dtype++) {
    fl4_attention_args a = small_call(1, 1, 1, 8, 64, 32);
    float *from[] = {q, k, v};
    for (int t = 0; t < 3; t++)
      for (int i = 0; i < 64 * 32; i++) fl4__store(half[t], dtype, i, from[t][i]);
    a.dtype = dtype, a.q = half[0], a.k = half[1], a.v = half[2];
    ck_assert_fl4(fl4_oracle_fp64(&a, NULL, 0, ref, low, NULL));
    double error = 0, size = 0;
    for (int i = 0; i < 8 * 32; i++) {
      ck_assert_double_eq(low[i], fl4__round_to(low[i], dtype));
      error = fmax(error, fabs(low[i] - ref[i])), size = fmax(size, fabs(ref[i]));
    }
    /* Not exact, yet no more than a few roundings. */
    ck_assert_double_gt(error, 0.2 * fl4__epsilon(dtype) * size);
    ck_assert_double_lt(error, 10 * fl4__epsilon(dtype) * size);
  }
}
END_TEST

START_TEST(low_rounds_scores_and_weights)
{
  static uint16_t ones[11 * 8], keys[11 * 8], values[11 * 8];
  fl4_attention_args a = FL4_ATTENTION_ARGS_INIT;
  a.B = a.Hq = a.Hkv = a.Sq = 1, a.D = 8, a.scale = 1;
  a.q = ones, a.k = keys, a.v = values;
  for (int i = 0; i < 11 * 8; i++) fl4__store(ones, FL4_DTYPE_FP16, i, 1), fl4__store(values, FL4_DTYPE_FP16, i, 1);
  /* Eleven equal keys: the weight 1/11 is 1489·2⁻¹⁴ in fp16, and eleven of them 2047·2⁻¹¹. */
  a.Sk = 11;
  ck_assert_fl4(fl4_oracle_fp64(&a, NULL, 0, ref, low, NULL));
  ck_assert_double_eq_tol(ref[0], 1, 1e-14);
  ck_assert_double_eq(low[0], 2047 * 0x1p-11);
  /* Scores 2049 and 2048: the same in fp16. */
  a.Sk = 2;
  fl4__store(keys, FL4_DTYPE_FP16, 0, 2048);
  fl4__store(keys, FL4_DTYPE_FP16, 1, 1);
  fl4__store(keys, FL4_DTYPE_FP16, 8, 2048);
  for (int d = 0; d < 8; d++) fl4__store(values, FL4_DTYPE_FP16, 8 + d, 0);
  ck_assert_fl4(fl4_oracle_fp64(&a, NULL, 0, ref, low, NULL));
  ck_assert_double_eq_tol(ref[0], 1 / (1 + exp(-1)), 1e-14);
  ck_assert_double_eq(low[0], 0.5);
}
END_TEST

START_TEST(nothing_to_do)
{
  fl4_attention_args a = small_call(1, 2, 1, 3, 0, 8);
  a.q = a.k = a.v = NULL; /* without keys nothing is read */
  ref[0] = 7;
  ck_assert_fl4(fl4_oracle_fp64(&a, NULL, 0, ref, low, lse));
  for (int i = 0; i < 2 * 3 * 8; i++) ck_assert(ref[i] == 0 && low[i] == 0);
  for (int i = 0; i < 6; i++) ck_assert(lse[i] == -INFINITY);
  ref[0] = 7;
  a.Sq = 0;
  ck_assert_fl4(fl4_oracle_fp64(&a, NULL, 0, ref, low, lse));
  a.Sq = 3, a.Sk = 5, a.B = 0;
  ck_assert_fl4(fl4_oracle_fp64(&a, NULL, 0, ref, low, lse));
  ck_assert_double_eq(ref[0], 7);
  a = small_call(1, 1, 1, 2, 2, 8);
  ck_assert_fl4(fl4_oracle_fp64(&a, NULL, 0, NULL, NULL, NULL));
}
END_TEST

START_TEST(oracle_refuses)
{
  const fl4_attention_args good = small_call(1, 2, 1, 3, 4, 8);
  fl4_attention_args a = good;
  ck_assert_fl4_fails(fl4_oracle_fp64(NULL, NULL, 0, ref, NULL, NULL), FL4_INVALID_ARGUMENT, "args: is NULL");
  a.struct_size = 0;
  ck_assert_fl4_fails(fl4_oracle_fp64(&a, NULL, 0, ref, NULL, NULL), FL4_INVALID_ARGUMENT, "struct_size");
  a = good, a.D = 7;
  ck_assert_fl4_fails(fl4_oracle_fp64(&a, NULL, 0, ref, NULL, NULL), FL4_INVALID_ARGUMENT, "D");
  a = good, a.q = NULL;
  ck_assert_fl4_fails(fl4_oracle_fp64(&a, NULL, 0, ref, NULL, NULL), FL4_INVALID_ARGUMENT, "args->q: is NULL");
  a = good, a.k = NULL;
  ck_assert_fl4_fails(fl4_oracle_fp64(&a, NULL, 0, ref, NULL, NULL), FL4_INVALID_ARGUMENT, "args->k: is NULL");
  a = good, a.v = NULL;
  ck_assert_fl4_fails(fl4_oracle_fp64(&a, NULL, 0, ref, NULL, NULL), FL4_INVALID_ARGUMENT, "args->v: is NULL");
  const int64_t high[] = {0, 3}, negative[] = {-1};
  ck_assert_fl4_fails(fl4_oracle_fp64(&good, high, 2, ref, NULL, NULL), FL4_INVALID_ARGUMENT, "rows[1]: is 3");
  ck_assert_fl4_fails(fl4_oracle_fp64(&good, negative, 1, ref, NULL, NULL), FL4_INVALID_ARGUMENT, "rows[0]: is -1");
  ck_assert_fl4_fails(fl4_oracle_fp64(&good, high, -2, ref, NULL, NULL), FL4_INVALID_ARGUMENT, "n_rows: is -2");
}
END_TEST

static Suite *suite(void)
{
  Suite *s = suite_create("oracle");
  TCase *t = tcase_create("elements");
  tcase_set_timeout(t, 60);
  tcase_add_loop_test(t, every_16_bit_pattern_comes_back, 0, 2);
  tcase_add_test(t, known_elements);
  tcase_add_test(t, rounds_once_to_nearest_even);
  tcase_add_test(t, rounding_agrees_with_the_machine);
  suite_add_tcase(s, t);

  t = tcase_create("fp64");
  tcase_add_test(t, one_key_gives_its_value);
  tcase_add_test(t, equal_scores_give_the_mean);
  tcase_add_test(t, values_of_one_give_one);
  tcase_add_test(t, two_keys_give_a_logistic);
  tcase_add_test(t, causal_is_aligned_bottom_right);
  tcase_add_test(t, masked_keys_are_not_touched);
  tcase_add_test(t, heads_share_keys_in_groups);
  tcase_add_test(t, strides_say_where_rows_are);
  tcase_add_test(t, wanted_rows_are_those_of_all_rows);
  tcase_add_test(t, low_is_the_dtype_unfused);
  tcase_add_test(t, low_rounds_scores_and_weights);
  tcase_add_test(t, nothing_to_do);
  tcase_add_test(t, oracle_refuses);
  suite_add_tcase(s, t);
  return s;
}

FL4_TEST_MAIN(suite)

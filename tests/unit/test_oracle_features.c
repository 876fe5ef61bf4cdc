/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fp64 oracle beyond dense attention: each feature said in another way that is already known. A window is a mask,
 * ALiBi a bias, a sink a factor; ragged, paged and shortened sequences are dense ones by themselves.
 */
#include <math.h>
#include <stdbool.h>

#include "fl4_test.h"
#include "util/random.h"

enum {
  B = 2,
  HQ = 4,
  HKV = 2,
  SQ = 9,
  SK = 23,
  D = 16,
  Q_N = B * HQ * SQ * D,
  KV_N = B * HKV * SK * D,
  ROWS = B * HQ * SQ
};

static float q[Q_N], k[KV_N], v[KV_N], bias[B * HQ * SQ * SK], slopes[HQ], sinks[HQ];
static double out[Q_N], lse[ROWS], expected[Q_N], expected_lse[ROWS];

static float noise(fl4__random *random)
{
  return (float)(fl4__random_unit(random) * 4 - 2);
}

static void setup(void)
{
  fl4__random seed;
  fl4__random_init(&seed, 11);
  for (int i = 0; i < Q_N; i++) q[i] = noise(&seed);
  for (int i = 0; i < KV_N; i++) k[i] = noise(&seed), v[i] = noise(&seed);
  for (int h = 0; h < HQ; h++) slopes[h] = exp2f(-(float)h), sinks[h] = noise(&seed);
}

static fl4_attention_args dense(void)
{
  fl4_attention_args a = FL4_ATTENTION_ARGS_INIT;
  a.dtype = FL4_DTYPE_FP32;
  a.B = B, a.Hq = HQ, a.Hkv = HKV, a.Sq = SQ, a.Sk = SK, a.D = D;
  a.q = q, a.k = k, a.v = v;
  return a;
}

static void compute(const fl4_attention_args *a, double *o, double *l)
{
  ck_assert_fl4(fl4_oracle_fp64(a, NULL, 0, o, NULL, l));
}

static bool same(double a, double b)
{
  return a == b || fabs(a - b) <= 1e-12 * (1 + fabs(b));
}

static void check_same(void)
{
  for (int i = 0; i < ROWS; i++)
    ck_assert_msg(same(lse[i], expected_lse[i]), "lse[%d]: %g, not %g", i, lse[i], expected_lse[i]);
  for (int i = 0; i < Q_N; i++) ck_assert_msg(same(out[i], expected[i]), "o[%d]: %g, not %g", i, out[i], expected[i]);
}

static void fill_bias(double (*f)(int h, int i, int j))
{
  for (int b = 0; b < B; b++)
    for (int h = 0; h < HQ; h++)
      for (int i = 0; i < SQ; i++)
        for (int j = 0; j < SK; j++) bias[((b * HQ + h) * SQ + i) * SK + j] = (float)f(h, i, j);
}

static int64_t left, right;

static double hidden_by_window(int h, int i, int j)
{
  (void)h;
  const int64_t diagonal = i + SK - SQ;
  return (left < 0 || j >= diagonal - left) && (right < 0 || j <= diagonal + right) ? 0 : -INFINITY;
}

START_TEST(a_window_is_a_mask)
{
  static const int64_t sides[][2] = {{-1, -1}, {-1, 0}, {3, -1}, {4, 0}, {0, 0}, {2, 5}, {30, 30}};
  for (size_t n = 0; n < sizeof sides / sizeof *sides; n++) {
    fl4_attention_args a = dense();
    a.mask = FL4_MASK_WINDOW, a.window_left = left = sides[n][0], a.window_right = right = sides[n][1];
    compute(&a, out, lse);
    fill_bias(hidden_by_window);
    a = dense(), a.bias = bias, a.bias_type = FL4_BIAS_FP32;
    compute(&a, expected, expected_lse);
    check_same();
  }
}
END_TEST

START_TEST(a_window_beyond_all_keys_leaves_none)
{
  fl4_attention_args a = dense();
  a.Sk = 4, a.mask = FL4_MASK_WINDOW, a.window_left = 1, a.window_right = 0; /* the first rows lie before key 0 */
  compute(&a, out, lse);
  for (int b = 0; b < B * HQ; b++)
    for (int i = 0; i < SQ; i++) {
      ck_assert(i + 4 - SQ < 0 ? lse[b * SQ + i] == -INFINITY : isfinite(lse[b * SQ + i]));
      ck_assert(i + 4 - SQ >= 0 || out[(b * SQ + i) * D] == 0);
    }
}
END_TEST

static double distance(int h, int i, int j)
{
  return -(double)slopes[h] * fabs((double)(i + SK - SQ - j));
}

START_TEST(alibi_is_a_bias)
{
  fl4_attention_args a = dense();
  a.alibi_slopes = slopes;
  compute(&a, out, lse);
  fill_bias(distance); /* slopes are powers of two: nothing is rounded */
  a = dense(), a.bias = bias, a.bias_type = FL4_BIAS_FP32;
  compute(&a, expected, expected_lse);
  check_same();
  float each[B * HQ];
  for (int n = 0; n < B * HQ; n++) each[n] = slopes[n % HQ];
  a = dense(), a.alibi_slopes = each, a.alibi_stride[0] = HQ, a.alibi_stride[1] = 1;
  compute(&a, out, lse);
  check_same();
}
END_TEST

START_TEST(types_of_a_bias)
{
  static uint16_t halves[SK];
  static unsigned char bytes[SK];
  for (int type = FL4_BIAS_FP16; type <= FL4_BIAS_BOOL; type++) {
    for (int b = 0; b < B * HQ * SQ; b++)
      for (int j = 0; j < SK; j++)
        bias[b * SK + j] = j % 3 == 1 ? -INFINITY : type == FL4_BIAS_BOOL ? 0 : (float)(j % 5) / 4;
    for (int j = 0; j < SK; j++) {
      const float x = bias[j];
      uint32_t bits;
      memcpy(&bits, &x, 4);
      halves[j] = (uint16_t)(type == FL4_BIAS_BF16 ? bits >> 16
                             : x == 0              ? 0
                             : x < 0               ? 0xfc00
                                                   : ((bits >> 23) - 112) << 10 | (bits >> 13 & 0x3ff));
      bytes[j] = x == 0 ? (unsigned char)(1 + j) : 0;
    }
    fl4_attention_args a = dense();
    a.bias_type = type, a.bias_stride[3] = 1; /* one row for all */
    a.bias = type == FL4_BIAS_BOOL ? (void *)bytes : type == FL4_BIAS_FP32 ? (void *)bias : (void *)halves;
    compute(&a, out, lse);
    a = dense(), a.bias = bias, a.bias_type = FL4_BIAS_FP32;
    compute(&a, expected, expected_lse);
    check_same();
  }
}
END_TEST

START_TEST(a_bias_that_hides_all_is_a_row_without_keys)
{
  static const unsigned char none[1] = {0};
  fl4_attention_args a = dense();
  a.bias = none, a.bias_type = FL4_BIAS_BOOL, a.bias_stride[0] = 1, a.B = 1; /* one element for all */
  compute(&a, out, lse);
  for (int i = 0; i < HQ * SQ; i++) ck_assert(lse[i] == -INFINITY && out[i * D] == 0);
}
END_TEST

START_TEST(a_softcap_bends_scores)
{
  /* Two keys, so that the log-odds of their weights are the difference of their scores. */
  static const float one[8] = {3, 0, 0, 0, 0, 0, 0, 0}, keys[16] = {2, 0, 0, 0, 0, 0, 0, 0, -1}, values[16] = {1, 0};
  fl4_attention_args a = FL4_ATTENTION_ARGS_INIT;
  a.dtype = FL4_DTYPE_FP32, a.B = a.Hq = a.Hkv = a.Sq = 1, a.Sk = 2, a.D = 8;
  a.q = one, a.k = keys, a.v = values, a.scale = 0.5f, a.softcap = 2;
  double o[8], l;
  compute(&a, o, &l);
  const double first = 2 * tanh(3.0 / 2), second = 2 * tanh(-1.5 / 2);
  ck_assert(same(o[0], 1 / (1 + exp(second - first))));
  ck_assert(same(l, log(exp(first) + exp(second))));
}
END_TEST

START_TEST(a_sink_takes_its_share)
{
  fl4_attention_args a = dense();
  a.mask = FL4_MASK_CAUSAL;
  compute(&a, expected, expected_lse);
  a.sinks = sinks;
  compute(&a, out, lse);
  for (int i = 0; i < ROWS; i++) {
    const double sink = (double)sinks[i / SQ % HQ], with = log(exp(expected_lse[i]) + exp(sink));
    for (int d = 0; d < D; d++) expected[i * D + d] *= exp(expected_lse[i] - with);
    expected_lse[i] = with;
  }
  check_same();
  a = dense(), a.sinks = sinks, a.Sk = 0;
  compute(&a, out, lse);
  for (int i = 0; i < ROWS; i++) ck_assert(lse[i] == (double)sinks[i / SQ % HQ] && out[i * D] == 0);
}
END_TEST

/* Sequence `b` of `a` by itself, dense, with these lengths; its rows follow those of the sequences before it. */
static void expect_sequence(const fl4_attention_args *a, int b, int lq, int lk, const float *qb, const float *kb,
                            const float *vb)
{
  fl4_attention_args one = dense();
  double o[HQ * SQ * D], l[HQ * SQ];
  one.mask = a->mask, one.B = 1, one.Sq = lq, one.Sk = lk;
  one.q = qb, one.k = kb, one.v = vb;
  memcpy(one.q_stride, a->q_stride, sizeof one.q_stride);
  memcpy(one.k_stride, a->k_stride, sizeof one.k_stride);
  memcpy(one.v_stride, a->v_stride, sizeof one.v_stride);
  compute(&one, o, l);
  for (int h = 0; h < HQ; h++)
    for (int i = 0; i < SQ; i++) {
      const int row = (b * HQ + h) * SQ + i;
      expected_lse[row] = i < lq ? l[h * lq + i] : -INFINITY;
      for (int d = 0; d < D; d++) expected[row * D + d] = i < lq ? o[(h * lq + i) * D + d] : 0;
    }
}

START_TEST(ragged_sequences_are_dense_ones)
{
  static const int32_t cu_q[] = {0, 7, 13}, cu_k[] = {0, 5, 22};
  fl4_attention_args a = dense();
  a.mask = FL4_MASK_CAUSAL, a.cu_seqlens_q = cu_q, a.cu_seqlens_k = cu_k, a.total_q = 13, a.total_k = 22;
  a.q_stride[1] = D, a.q_stride[2] = HQ * D; /* [total][h][d] */
  a.k_stride[1] = a.v_stride[1] = D, a.k_stride[2] = a.v_stride[2] = HKV * D;
  compute(&a, out, lse);
  expect_sequence(&a, 0, 7, 5, q, k, v);
  expect_sequence(&a, 1, 6, 17, q + 7 * HQ * D, k + 5 * HKV * D, v + 5 * HKV * D);
  check_same();
}
END_TEST

START_TEST(lengths_in_use_shorten)
{
  static const int32_t used[] = {0, 21};
  fl4_attention_args a = dense();
  a.mask = FL4_MASK_CAUSAL, a.seqused_k = used;
  compute(&a, out, lse);
  a.q_stride[0] = HQ * SQ * D, a.q_stride[1] = SQ * D, a.q_stride[2] = D;
  a.k_stride[0] = a.v_stride[0] = HKV * SK * D, a.k_stride[1] = a.v_stride[1] = SK * D,
  a.k_stride[2] = a.v_stride[2] = D;
  expect_sequence(&a, 0, SQ, 0, q, k, v);
  expect_sequence(&a, 1, SQ, 21, q + HQ * SQ * D, k + HKV * SK * D, v + HKV * SK * D);
  check_same();
}
END_TEST

START_TEST(pages_are_rows_elsewhere)
{
  enum { PAGE = 8, COLUMNS = 3, PAGES = 7 };
  static const int32_t table[B * COLUMNS] = {5, 0, 3, 6, 2, 1};
  static float k_pool[PAGES * PAGE * HKV * D], v_pool[PAGES * PAGE * HKV * D];
  for (size_t i = 0; i < sizeof k_pool / sizeof *k_pool; i++) k_pool[i] = v_pool[i] = NAN; /* pages 4, ends of pages */
  for (int b = 0; b < B; b++)
    for (int h = 0; h < HKV; h++)
      for (int j = 0; j < SK; j++) {
        const int page = table[b * COLUMNS + j / PAGE], to = ((page * PAGE + j % PAGE) * HKV + h) * D;
        memcpy(k_pool + to, k + ((b * HKV + h) * SK + j) * D, D * sizeof *k);
        memcpy(v_pool + to, v + ((b * HKV + h) * SK + j) * D, D * sizeof *v);
      }
  fl4_attention_args a = dense();
  compute(&a, expected, expected_lse);
  a.k = k_pool, a.v = v_pool, a.page_size = PAGE, a.n_pages = PAGES, a.block_table = table;
  compute(&a, out, lse);
  check_same();
}
END_TEST

START_TEST(numbers_out_of_range_stay_inside)
{
  static const int32_t cu_q[] = {-5, INT32_MAX, 3}, cu_k[] = {INT32_MIN, 9, INT32_MAX}, used[] = {INT32_MIN, INT32_MAX};
  static const int32_t table[B * 3] = {-1, INT32_MIN, INT32_MAX, 1000000, -7, 0};
  fl4_attention_args a = dense();
  a.cu_seqlens_q = cu_q, a.cu_seqlens_k = cu_k, a.total_q = 13, a.total_k = 22, a.seqused_k = used;
  compute(&a, out, lse); /* under ASan this is the test */
  for (int h = 0; h < HQ; h++)
    for (int i = 0; i < SQ; i++) ck_assert(lse[(HQ + h) * SQ + i] == -INFINITY); /* it ends before it begins */
  a = dense(), a.page_size = 8, a.n_pages = 2, a.block_table = table, a.seqused_k = used;
  compute(&a, out, lse);
  for (int i = 0; i < HQ * SQ; i++) ck_assert(lse[i] == -INFINITY);
  for (int i = HQ * SQ; i < ROWS; i++) ck_assert(isfinite(lse[i]));
}
END_TEST

static Suite *suite(void)
{
  Suite *s = suite_create("oracle_features");
  TCase *t = tcase_create("features");
  tcase_add_checked_fixture(t, setup, NULL);
  tcase_add_test(t, a_window_is_a_mask);
  tcase_add_test(t, a_window_beyond_all_keys_leaves_none);
  tcase_add_test(t, alibi_is_a_bias);
  tcase_add_test(t, types_of_a_bias);
  tcase_add_test(t, a_bias_that_hides_all_is_a_row_without_keys);
  tcase_add_test(t, a_softcap_bends_scores);
  tcase_add_test(t, a_sink_takes_its_share);
  tcase_add_test(t, ragged_sequences_are_dense_ones);
  tcase_add_test(t, lengths_in_use_shorten);
  tcase_add_test(t, pages_are_rows_elsewhere);
  tcase_add_test(t, numbers_out_of_range_stay_inside);
  suite_add_tcase(s, t);
  return s;
}

FL4_TEST_MAIN(suite)

/* SPDX-License-Identifier: Apache-2.0 */
/* Partial results put together, on the host device: against fp64, what is special, and every bad argument. */
#include <math.h>

#include "fl4_test.h"
#include "merge_rig.h"

enum { N = 3, B = 2, HQ = 3, SQ = 4, D = 16, ROWS = B * HQ * SQ, N_RANDOM = 200 };

static fl4_context *ctx;
static _Alignas(16) float parts[N * ROWS * D], parts_lse[N * ROWS], o[ROWS * D], lse[ROWS];

static void open_host(void)
{
  fl4_context_options options = FL4_CONTEXT_OPTIONS_INIT;
  options.device = "host", options.threads = 2;
  ck_assert_fl4(fl4_context_create(&ctx, &options));
}

static void close_host(void)
{
  fl4_context_destroy(&ctx);
}

static fl4_merge_states_args good_args(void)
{
  fl4_merge_states_args a = FL4_MERGE_STATES_ARGS_INIT;
  a.dtype = FL4_DTYPE_FP32;
  a.n = N, a.B = B, a.Hq = HQ, a.Sq = SQ, a.D = D;
  a.parts = parts, a.parts_lse = parts_lse, a.o = o, a.lse = lse;
  return a;
}

START_TEST(random_cases)
{
  char why[512], text[128];
  for (uint64_t seed = 0; seed < N_RANDOM; seed++) {
    const merge_case c = merge_random(seed);
    merge_describe(&c, text);
    ck_assert_msg(merge_run(ctx, &c, why), "%s: %s", text, why);
  }
}
END_TEST

START_TEST(equal_weights_make_the_mean)
{
  fl4_merge_states_args a = good_args();
  for (int i = 0; i < N * ROWS * D; i++) parts[i] = (float)(i % 7);
  for (int i = 0; i < N * ROWS; i++) parts_lse[i] = 0;
  ck_assert_fl4(fl4_merge_states(ctx, &a, NULL));
  /* Equal weights: the mean. */
  for (int i = 0; i < ROWS * D; i++) {
    const double mean = ((double)parts[i] + (double)parts[i + ROWS * D] + (double)parts[i + 2 * ROWS * D]) / 3;
    ck_assert_double_eq_tol((double)o[i], mean, 1e-6);
  }
  for (int i = 0; i < ROWS; i++) ck_assert_double_eq_tol((double)lse[i], log(3), 1e-6);
}
END_TEST

/* Attention over two halves of the keys, put together, is attention over all. */
START_TEST(halves_make_the_whole)
{
  enum { SK = 30, FIRST = 11 };
  static float q[ROWS * D], k[B * HQ * SK * D], v[B * HQ * SK * D], whole[ROWS * D], whole_lse[ROWS];
  for (int i = 0; i < ROWS * D; i++) q[i] = sinf((float)i);
  for (int i = 0; i < B * HQ * SK * D; i++) k[i] = cosf(3 * (float)i), v[i] = sinf(7 * (float)i);
  fl4_attention_args a = FL4_ATTENTION_ARGS_INIT;
  a.dtype = FL4_DTYPE_FP32;
  a.B = B, a.Hq = HQ, a.Hkv = HQ, a.Sq = SQ, a.Sk = SK, a.D = D, a.q = q, a.k = k, a.v = v, a.o = whole,
  a.lse = whole_lse;
  ck_assert_fl4(fl4_attention_forward(ctx, &a, NULL));
  const int64_t stride[3] = {(int64_t)HQ * SK * D, (int64_t)SK * D, D};
  memcpy(a.k_stride, stride, sizeof stride), memcpy(a.v_stride, stride, sizeof stride);
  for (int half = 0; half < 2; half++) {
    a.Sk = half ? SK - FIRST : FIRST;
    a.k = k + half * FIRST * D, a.v = v + half * FIRST * D;
    a.o = parts + half * ROWS * D, a.lse = parts_lse + half * ROWS;
    ck_assert_fl4(fl4_attention_forward(ctx, &a, NULL));
  }
  fl4_merge_states_args m = good_args();
  m.n = 2;
  ck_assert_fl4(fl4_merge_states(ctx, &m, NULL));
  for (int i = 0; i < ROWS * D; i++) ck_assert_double_eq_tol((double)o[i], (double)whole[i], 1e-5);
  for (int i = 0; i < ROWS; i++) ck_assert_double_eq_tol((double)lse[i], (double)whole_lse[i], 1e-5);
}
END_TEST

/* One part is that part, bit for bit; an LSE of +∞ or NaN is no number, one of −∞ counts nothing. */
START_TEST(special_values)
{
  fl4_merge_states_args a = good_args();
  for (int i = 0; i < N * ROWS * D; i++) parts[i] = sinf((float)i);
  for (int i = 0; i < N * ROWS; i++) parts_lse[i] = 10 * cosf((float)i);
  a.n = 1;
  ck_assert_fl4(fl4_merge_states(ctx, &a, NULL));
  ck_assert_mem_eq(o, parts, sizeof o);
  ck_assert_mem_eq(lse, parts_lse, sizeof lse);

  a.n = N;
  parts_lse[0] = INFINITY, parts_lse[ROWS + 1] = NAN;
  for (int k = 0; k < N; k++) parts_lse[k * ROWS + 2] = -INFINITY;
  parts_lse[3] = -INFINITY, parts_lse[ROWS + 3] = -INFINITY, parts[3 * D] = NAN;
  ck_assert_fl4(fl4_merge_states(ctx, &a, NULL));
  ck_assert(isnan(o[0]) && isnan(lse[0]) && isnan(o[D]) && isnan(lse[1]));
  ck_assert(o[2 * D] == 0 && lse[2] == -INFINITY);
  ck_assert_mem_eq(o + 3 * D, parts + 2 * ROWS * D + 3 * D, D * sizeof *o);
  ck_assert(lse[3] == parts_lse[2 * ROWS + 3]);
}
END_TEST

START_TEST(nothing_to_do)
{
  fl4_merge_states_args a = good_args();
  a.parts = NULL, a.parts_lse = NULL, a.o = NULL, a.lse = NULL;
  ck_assert_fl4(fl4_merge_states_prepare(ctx, &a));
  a.B = 0;
  ck_assert_fl4(fl4_merge_states(ctx, &a, NULL));
  a = good_args(), a.Sq = 0;
  ck_assert_fl4(fl4_merge_states(ctx, &a, NULL));
}
END_TEST

#define REFUSED(change, words)                                                                                         \
  do {                                                                                                                 \
    fl4_merge_states_args a = good_args();                                                                             \
    change;                                                                                                            \
    ck_assert_fl4_fails(fl4_merge_states(ctx, &a, NULL), FL4_INVALID_ARGUMENT, words);                                 \
    ck_assert_fl4_fails(fl4_merge_states_prepare(ctx, &a), FL4_INVALID_ARGUMENT, words);                               \
  } while (0)
/* What only the call itself must have. */
#define REFUSED_RUN(change, words)                                                                                     \
  do {                                                                                                                 \
    fl4_merge_states_args a = good_args();                                                                             \
    change;                                                                                                            \
    ck_assert_fl4_fails(fl4_merge_states(ctx, &a, NULL), FL4_INVALID_ARGUMENT, words);                                 \
    ck_assert_fl4(fl4_merge_states_prepare(ctx, &a));                                                                  \
  } while (0)

START_TEST(bad_arguments)
{
  fl4_merge_states_args good = good_args();
  ck_assert_fl4_fails(fl4_merge_states(NULL, &good, NULL), FL4_INVALID_ARGUMENT, "fl4_merge_states: ctx: is NULL");
  ck_assert_fl4_fails(fl4_merge_states(ctx, NULL, NULL), FL4_INVALID_ARGUMENT, "fl4_merge_states: args: is NULL");
  ck_assert_fl4_fails(fl4_merge_states_prepare(NULL, &good), FL4_INVALID_ARGUMENT, "fl4_merge_states_prepare: ctx");
  ck_assert_fl4_fails(fl4_merge_states_prepare(ctx, NULL), FL4_INVALID_ARGUMENT, "fl4_merge_states_prepare: args");
  ck_assert_fl4_fails(fl4_merge_states(ctx, &good, (fl4_stream)&good), FL4_INVALID_ARGUMENT,
                      "fl4_merge_states: stream: is 0x");
  REFUSED(a.struct_size = 3, "fl4_merge_states_args.struct_size: is 3");
  REFUSED(a.dtype = 3, "fl4_merge_states_args.dtype: is 3");
  REFUSED(a.dtype = -1, "fl4_merge_states_args.dtype: is -1");
  REFUSED(a.parts_fp32 = 2, "fl4_merge_states_args.parts_fp32: is 2, must be 0 or 1");
  REFUSED(a.n = 0, "fl4_merge_states_args.n: is 0, must be from 1");
  REFUSED(a.n = INT64_MAX, "fl4_merge_states_args.n: is 9223372036854775807");
  REFUSED(a.B = -1, "fl4_merge_states_args.B: is -1, must be from 0");
  REFUSED(a.Hq = 0, "fl4_merge_states_args.Hq: is 0, must be from 1");
  REFUSED(a.Sq = (int64_t)1 << 31, "fl4_merge_states_args.Sq: is 2147483648");
  REFUSED(a.D = 12, "fl4_merge_states_args.D: is 12, must be a multiple of 8 from 8 to 256");
  REFUSED(a.D = 264, "fl4_merge_states_args.D: is 264");
  REFUSED(a.D = 0, "fl4_merge_states_args.D: is 0");
  REFUSED(a.reserved[2] = 5, "fl4_merge_states_args.reserved[2]: is 5");
  REFUSED_RUN(a.parts = NULL, "fl4_merge_states_args.parts: is NULL");
  REFUSED_RUN(a.parts_lse = NULL, "fl4_merge_states_args.parts_lse: is NULL");
  REFUSED_RUN(a.o = NULL, "fl4_merge_states_args.o: is NULL");
  REFUSED(a.parts = (char *)parts + 2, "fl4_merge_states_args.parts: is 0x");
  REFUSED(a.parts_lse = (float *)(void *)((char *)parts_lse + 2), "fl4_merge_states_args.parts_lse: is 0x");
  REFUSED(a.o = (char *)o + 2, "fl4_merge_states_args.o: is 0x");
  REFUSED(a.lse = (float *)(void *)((char *)lse + 1), "fl4_merge_states_args.lse: is 0x");
  REFUSED(a.parts_stride[1] = -1, "fl4_merge_states_args.parts_stride[1]: is -1, must not be negative");
  REFUSED(a.parts_lse_stride[3] = INT64_MAX, "fl4_merge_states_args.parts_lse_stride[3]");
  REFUSED(a.o_stride[2] = 8, "fl4_merge_states_args.o_stride[0]: is 0, must be at least");
  REFUSED(a.lse_stride[0] = -2, "fl4_merge_states_args.lse_stride[0]: is -2");
}
END_TEST

START_TEST(bad_lists)
{
  const void *list[N] = {parts, parts + ROWS * D, parts + 2 * ROWS * D};
  const float *lses[N] = {parts_lse, parts_lse + ROWS, parts_lse + 2 * ROWS};
#define WITH_LISTS a.parts = NULL, a.parts_lse = NULL, a.parts_list = list, a.parts_lse_list = lses
  fl4_merge_states_args good = good_args();
  {
    fl4_merge_states_args a = good;
    WITH_LISTS;
    ck_assert_fl4(fl4_merge_states(ctx, &a, NULL));
  }
  REFUSED(a.parts_lse_list = lses, "fl4_merge_states_args.parts_lse_list: is set, must be NULL without parts_list");
  REFUSED((WITH_LISTS, a.parts_lse_list = NULL), "fl4_merge_states_args.parts_lse_list: is NULL");
  REFUSED((WITH_LISTS, a.parts = parts), "fl4_merge_states_args.parts: is set, must be NULL with parts_list");
  REFUSED((WITH_LISTS, a.parts_lse = parts_lse), "fl4_merge_states_args.parts_lse: is set");
  REFUSED((WITH_LISTS, a.parts_stride[0] = 8),
          "fl4_merge_states_args.parts_stride[0]: is 8, must be 0 with parts_list");
  REFUSED((WITH_LISTS, a.parts_lse_stride[0] = 9), "fl4_merge_states_args.parts_lse_stride[0]: is 9, must be 0");
  REFUSED((WITH_LISTS, a.parts_stride[2] = -8), "fl4_merge_states_args.parts_stride[2]: is -8");
  REFUSED((WITH_LISTS, a.n = FL4_MERGE_LIST_MAX + 1),
          "fl4_merge_states_args.n: is 33, must be from 1 to 32 with parts_list");
  list[1] = NULL;
  REFUSED_RUN(WITH_LISTS, "fl4_merge_states_args.parts_list[1]: is NULL");
  list[1] = (const char *)parts + 1;
  REFUSED(WITH_LISTS, "fl4_merge_states_args.parts_list[1]: is 0x");
  list[1] = parts, lses[2] = NULL;
  REFUSED_RUN(WITH_LISTS, "fl4_merge_states_args.parts_lse_list[2]: is NULL");
  lses[2] = (const float *)(const void *)((const char *)parts_lse + 3);
  REFUSED(WITH_LISTS, "fl4_merge_states_args.parts_lse_list[2]: is 0x");
}
END_TEST

static Suite *suite(void)
{
  Suite *s = suite_create("merge_states");
  TCase *t = tcase_create("host");
  tcase_add_checked_fixture(t, open_host, close_host);
  tcase_set_timeout(t, 60);
  tcase_add_test(t, random_cases);
  tcase_add_test(t, equal_weights_make_the_mean);
  tcase_add_test(t, halves_make_the_whole);
  tcase_add_test(t, special_values);
  tcase_add_test(t, nothing_to_do);
  tcase_add_test(t, bad_arguments);
  tcase_add_test(t, bad_lists);
  suite_add_tcase(s, t);
  return s;
}

FL4_TEST_MAIN(suite)

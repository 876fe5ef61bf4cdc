/* SPDX-License-Identifier: Apache-2.0 */
/* Arguments beyond dense attention: what they become for selection and kernels, and every way to be wrong. */
#include <float.h>
#include <math.h>

#include "fl4_test.h"
#include "problem.h"

/* Never read, but for their addresses. */
static _Alignas(64) char memory[64];
static void *const here = memory, *const odd = memory + 1;

static fl4_attention_args dense(void)
{
  fl4_attention_args a = FL4_ATTENTION_ARGS_INIT;
  a.B = 2, a.Hq = 4, a.Hkv = 2, a.Sq = 10, a.Sk = 40, a.D = 16;
  a.q = a.k = a.v = a.o = here;
  return a;
}

static fl4_attention_args paged(void)
{
  fl4_attention_args a = dense();
  a.page_size = 16, a.n_pages = 9, a.block_table = here;
  return a;
}

static fl4_attention_args ragged(void)
{
  fl4_attention_args a = dense();
  a.cu_seqlens_q = a.cu_seqlens_k = here, a.total_q = 15, a.total_k = 70;
  return a;
}

static fl4__problem problem;
static fl4_fwd_params params;

static void take(const fl4_attention_args *a)
{
  ck_assert_fl4(fl4__problem_from_args(a, FL4__NEED_POINTERS, &problem, &params));
}

/* ---------------------------------------------------------------- what they become */

START_TEST(dense_is_dense)
{
  const fl4_attention_args a = dense();
  take(&a);
  ck_assert(problem.features == 0 && problem.mask == FL4_MASK_NONE && !problem.invariant);
  ck_assert(params.window_left == FL4_NO_WINDOW && params.window_right == FL4_NO_WINDOW);
  ck_assert(!params.cu_q && !params.cu_k && !params.used_k && !params.block_table && !params.bias && !params.sinks);
  ck_assert_float_eq(params.scale_log2, (float)(0.25 * 1.4426950408889634));
}
END_TEST

/* Windows that are something simpler are that. */
START_TEST(windows)
{
  static const struct {
    int64_t left, right;
    int mask;
    bool window;
    fl4_i32 params_left, params_right;
  } cases[] = {
      {-1, -1, FL4_MASK_NONE, false, FL4_NO_WINDOW, FL4_NO_WINDOW},
      {-1, 0, FL4_MASK_CAUSAL, false, FL4_NO_WINDOW, FL4_NO_WINDOW},
      {0, 0, FL4_MASK_NONE, true, 0, 0},
      {7, -1, FL4_MASK_NONE, true, 7, FL4_NO_WINDOW},
      {-1, 3, FL4_MASK_NONE, true, FL4_NO_WINDOW, 3},
      {INT32_MAX / 2, 5, FL4_MASK_NONE, true, INT32_MAX / 2, 5},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    fl4_attention_args a = dense();
    a.mask = FL4_MASK_WINDOW, a.window_left = cases[i].left, a.window_right = cases[i].right;
    take(&a);
    ck_assert_int_eq(problem.mask, cases[i].mask);
    ck_assert_int_eq(problem.features, cases[i].window ? FL4__FEATURE_WINDOW : 0);
    ck_assert(params.window_left == cases[i].params_left && params.window_right == cases[i].params_right);
    ck_assert_int_eq(problem.window_left, cases[i].window ? cases[i].params_left : 0);
    ck_assert_int_eq(problem.window_right, cases[i].window ? cases[i].params_right : 0);
  }
}
END_TEST

START_TEST(scores)
{
  fl4_attention_args a = dense();
  a.softcap = 20, a.scale = 0.5f, a.sinks = here, a.alibi_slopes = here, a.flags = FL4_BATCH_INVARIANT;
  take(&a);
  ck_assert_int_eq(problem.features, FL4__FEATURE_SOFTCAP | FL4__FEATURE_ALIBI | FL4__FEATURE_SINKS);
  ck_assert_int_eq(problem.invariant, 1);
  ck_assert_float_eq(params.scale_log2, 0.025f);
  ck_assert_float_eq(params.softcap_log2, (float)(20 * 1.4426950408889634));
  ck_assert(params.slope_stride[0] == 0 && params.slope_stride[1] == 1);
  a.alibi_stride[0] = 8;
  take(&a);
  ck_assert(params.slope_stride[0] == 8 && params.slope_stride[1] == 0);
}
END_TEST

START_TEST(biases)
{
  fl4_attention_args a = dense();
  a.bias = here, a.bias_type = FL4_BIAS_FP32;
  take(&a);
  ck_assert(problem.features == FL4__FEATURE_BIAS && problem.bias_type == FL4_BIAS_FP32);
  ck_assert(params.bias_stride[0] == 1600 && params.bias_stride[1] == 400 && params.bias_stride[2] == 40 &&
            params.bias_stride[3] == 1);
  a.bias_stride[1] = 7;
  take(&a);
  ck_assert(params.bias_stride[0] == 0 && params.bias_stride[1] == 7 && params.bias_stride[2] == 0 &&
            params.bias_stride[3] == 0);
  a.bias = odd, a.bias_type = FL4_BIAS_BOOL; /* bytes lie anywhere */
  take(&a);

  /* Without one its size is no matter. */
  a = dense();
  a.Sq = a.Sk = 1 << 29, a.B = 1, a.bias_stride[3] = 5;
  take(&a);
  ck_assert_int_eq(problem.features, 0);
}
END_TEST

START_TEST(lengths_and_pages)
{
  fl4_attention_args a = ragged();
  a.seqused_k = here;
  take(&a);
  ck_assert_int_eq(problem.features, FL4__FEATURE_RAGGED_Q | FL4__FEATURE_RAGGED_K | FL4__FEATURE_USED_K);
  ck_assert(problem.total_q == 15 && problem.total_k == 70 && params.total_q == 15 && params.total_k == 70);
  /* Rows of all heads in turn: q is [1][Hq][total_q][D]. */
  ck_assert(params.q_stride[1] == 15 * 16 && params.k_stride[1] == 70 * 16 && params.lse_stride[1] == 15);

  a = paged();
  take(&a);
  ck_assert(problem.features == FL4__FEATURE_PAGED && problem.page_size == 16);
  ck_assert(params.page_shift == 4 && params.n_pages == 9 && params.table_stride == 3);
  ck_assert(params.k_stride[0] == 16 * 2 * 16 && params.k_stride[1] == 16 && params.k_stride[2] == 2 * 16);
  a.block_table_stride = 5, a.k_stride[0] = 16 * 16 * 2, a.k_stride[1] = 16 * 16, a.k_stride[2] = 16;
  take(&a);
  ck_assert(params.table_stride == 5 && params.k_stride[1] == 16 * 16 && params.v_stride[1] == 16);
}
END_TEST

/* ---------------------------------------------------------------- what is refused */

#define REFUSED(make, change, status, words)                                                                           \
  do {                                                                                                                 \
    fl4_attention_args a = make();                                                                                     \
    change;                                                                                                            \
    ck_assert_fl4_fails(fl4__problem_from_args(&a, FL4__NEED_POINTERS, &problem, &params), status,                     \
                        "fl4_attention_args." words);                                                                  \
  } while (0)
#define INVALID(make, change, words) REFUSED(make, change, FL4_INVALID_ARGUMENT, words)

START_TEST(refuses_masks_and_scores)
{
  INVALID(dense, a.mask = 3, "mask: is 3, must be FL4_MASK_NONE, _CAUSAL or _WINDOW");
  INVALID(dense, a.window_left = 5, "window_left: is 5, must be 0 without FL4_MASK_WINDOW");
  INVALID(dense, (a.mask = FL4_MASK_CAUSAL, a.window_right = -1), "window_right: is -1, must be 0 without");
  INVALID(dense, (a.mask = FL4_MASK_WINDOW, a.window_left = -2), "window_left: is -2, must be from -1 (all keys)");
  INVALID(dense, (a.mask = FL4_MASK_WINDOW, a.window_right = INT64_C(1) << 30),
          "window_right: is 1073741824, must be from -1 (all keys) to 1073741823");
  INVALID(dense, a.softcap = -1, "softcap: is -1, must be finite and not negative");
  INVALID(dense, a.softcap = NAN, "softcap: is nan, must be finite");
  INVALID(dense, a.softcap = INFINITY, "softcap: is inf, must be finite");
  INVALID(dense, a.softcap = FLT_MAX, "softcap: is 3.40282e+38, must be such that softcap / ln 2 and");
  INVALID(dense, a.softcap = FLT_TRUE_MIN, "softcap: is 1.4013e-45, must be such that");
  INVALID(dense, a.alibi_slopes = odd, "alibi_slopes: is 0x");
  INVALID(dense, a.sinks = odd, "sinks: is 0x");
  INVALID(dense, a.alibi_stride[1] = -1, "alibi_stride[1]: is -1, must be from 0 to 2147483647");
  INVALID(dense, a.alibi_stride[0] = INT64_C(1) << 31, "alibi_stride[0]: is 2147483648, must be from 0");
  INVALID(dense, a.flags = 2, "flags: is 0x2, must be 0 or FL4_BATCH_INVARIANT");
}
END_TEST

START_TEST(refuses_biases)
{
  INVALID(dense, a.bias_type = 4, "bias_type: is 4, must be FL4_BIAS_FP16, _BF16, _FP32 or _BOOL");
  INVALID(dense, a.bias_type = -1, "bias_type: is -1");
  INVALID(dense, a.bias = odd, "bias: is 0x");
  INVALID(dense, (a.bias = memory + 2, a.bias_type = FL4_BIAS_FP32), "bias: is 0x");
  INVALID(dense, (a.bias = here, a.bias_stride[0] = -1), "bias_stride[0]: is -1, must not be negative");
  INVALID(dense, (a.bias = here, a.bias_stride[3] = 2), "bias_stride[3]: is 2, must be 0 or 1");
  INVALID(dense, (a.bias = here, a.bias_stride[3] = -1), "bias_stride[3]: is -1, must be 0 or 1");
  INVALID(dense, (a.bias = here, a.bias_stride[2] = INT64_MAX / 4),
          "bias_stride[2]: is 2305843009213693951 over 10 elements: offsets overflow 64 bits");
  INVALID(dense, (a.bias = here, a.Sq = a.Sk = 1 << 29, a.Hq = a.Hkv = 1 << 5, a.B = 1),
          "bias_stride[1]: is 0 over 32");
  REFUSED(dense, (a.bias = here, a.cu_seqlens_q = here, a.total_q = 20), FL4_UNSUPPORTED,
          "bias: is set with ragged queries; a bias needs sequences of one length");
  REFUSED(dense, (a.bias = here, a.cu_seqlens_k = here, a.total_k = 80), FL4_UNSUPPORTED,
          "bias: is set with ragged keys");
}
END_TEST

START_TEST(refuses_lengths)
{
  INVALID(ragged, a.cu_seqlens_q = odd, "cu_seqlens_q: is 0x");
  INVALID(ragged, a.cu_seqlens_k = odd, "cu_seqlens_k: is 0x");
  INVALID(dense, a.seqused_k = odd, "seqused_k: is 0x");
  INVALID(dense, a.total_q = 5, "total_q: is 5, must be 0 without its cu_seqlens");
  INVALID(dense, a.total_k = 5, "total_k: is 5, must be 0 without its cu_seqlens");
  INVALID(ragged, a.total_q = -1, "total_q: is -1, must be from 0 to 1073741823");
  INVALID(ragged, a.total_k = INT64_C(1) << 30, "total_k: is 1073741824, must be from 0 to 1073741823");
}
END_TEST

START_TEST(refuses_pages)
{
  INVALID(dense, a.block_table = here, "block_table: is set, must be NULL without page_size");
  INVALID(dense, a.n_pages = 3, "n_pages: is 3, must be 0 without page_size");
  INVALID(dense, a.block_table_stride = 3, "block_table_stride: is 3, must be 0 without page_size");
  INVALID(paged, a.page_size = 4, "page_size: is 4, must be a power of two from 8 to 65536");
  INVALID(paged, a.page_size = 24, "page_size: is 24, must be a power of two");
  INVALID(paged, a.page_size = -16, "page_size: is -16, must be a power of two");
  INVALID(paged, a.page_size = 1 << 17, "page_size: is 131072, must be a power of two");
  INVALID(paged, a.block_table_stride = 2, "block_table_stride: is 2, must be at least 3, the pages of Sk keys");
  INVALID(paged, a.block_table_stride = -1, "block_table_stride: is -1, must be at least 3");
  INVALID(paged, a.block_table_stride = INT64_C(1) << 31, "block_table_stride: is 2147483648, must be at most");
  INVALID(paged, a.n_pages = 0, "n_pages: is 0, must be from 1 to 2147483647");
  INVALID(paged, a.n_pages = INT64_C(1) << 31, "n_pages: is 2147483648, must be from 1");
  INVALID(paged, a.block_table = odd, "block_table: is 0x");
  INVALID(paged, a.block_table = NULL, "block_table: is NULL, must point to the table with page_size = 16");
  REFUSED(paged, (a.cu_seqlens_k = here, a.total_k = 70), FL4_UNSUPPORTED,
          "cu_seqlens_k: is set with page_size: pages have no ragged keys, seqused_k says how many there are");
  /* Without a sequence or a key there is nothing to look up. */
  fl4_attention_args a = paged();
  a.block_table = NULL, a.B = 0;
  take(&a);
  a.B = 2, a.Sk = 0;
  take(&a);
}
END_TEST

/* Which feature a family lacks, in words; the first if there are several. */
START_TEST(features_have_names)
{
  ck_assert_ptr_null(fl4__feature_beyond(0, 0));
  ck_assert_ptr_null(fl4__feature_beyond(FL4__ALL_FEATURES, FL4__ALL_FEATURES));
  ck_assert_str_eq(fl4__feature_beyond(FL4__ALL_FEATURES, 0), "a window");
  ck_assert_str_eq(fl4__feature_beyond(FL4__FEATURE_SINKS | FL4__FEATURE_PAGED, FL4__FEATURE_SINKS), "pages");
}
END_TEST

static Suite *make_suite(void)
{
  Suite *suite = suite_create("arguments");
  TCase *c = tcase_create("taken");
  tcase_add_test(c, dense_is_dense);
  tcase_add_test(c, windows);
  tcase_add_test(c, scores);
  tcase_add_test(c, biases);
  tcase_add_test(c, lengths_and_pages);
  suite_add_tcase(suite, c);

  c = tcase_create("refused");
  tcase_add_test(c, refuses_masks_and_scores);
  tcase_add_test(c, refuses_biases);
  tcase_add_test(c, refuses_lengths);
  tcase_add_test(c, refuses_pages);
  tcase_add_test(c, features_have_names);
  suite_add_tcase(suite, c);
  return suite;
}

FL4_TEST_MAIN(make_suite)

/* SPDX-License-Identifier: Apache-2.0 */
/* Every public function with every bad argument: the right status, and a message that names it. */
#include <math.h>
#include <stdint.h>

#include "fl4_test.h"

enum { B = 2, Hq = 4, Hkv = 2, Sq = 5, Sk = 7, D = 16, ROOM = 4096 };

static fl4_context *ctx;
static _Alignas(256) uint16_t q[ROOM], k[ROOM], v[ROOM], o[ROOM];
static _Alignas(256) float lse[ROOM];

static void open_host(void)
{
  fl4_context_options options = FL4_CONTEXT_OPTIONS_INIT;
  options.device = "host";
  ck_assert_fl4(fl4_context_create(&ctx, &options));
}

static void close_host(void)
{
  fl4_context_destroy(&ctx);
}

static fl4_attention_args good_args(void)
{
  fl4_attention_args a = FL4_ATTENTION_ARGS_INIT;
  a.dtype = FL4_DTYPE_BF16;
  a.B = B, a.Hq = Hq, a.Hkv = Hkv, a.Sq = Sq, a.Sk = Sk, a.D = D;
  a.q = q, a.k = k, a.v = v, a.o = o, a.lse = lse;
  return a;
}

/* The functions that take arguments; all refuse the same shapes in the same words. */
static fl4_status forward(const fl4_attention_args *a)
{
  return fl4_attention_forward(ctx, a, NULL);
}

static fl4_status prepare(const fl4_attention_args *a)
{
  return fl4_attention_prepare(ctx, a);
}

static fl4_status workspace_size(const fl4_attention_args *a)
{
  size_t bytes;
  return fl4_attention_workspace_size(ctx, a, &bytes);
}

static fl4_status plan_info(const fl4_attention_args *a)
{
  fl4_plan_info info = FL4_PLAN_INFO_INIT;
  return fl4_attention_plan_info(ctx, a, &info);
}

static fl4_status oracle(const fl4_attention_args *a)
{
  static double ref[B * Hq * Sq * D];
  return fl4_oracle_fp64(a, NULL, 0, ref, NULL, NULL);
}

typedef fl4_status takes_args(const fl4_attention_args *);
static takes_args *const functions[] = {forward, prepare, workspace_size, plan_info, oracle};
enum { N_FUNCTIONS = 5, WITHOUT_ORACLE = 4, FORWARD_ONLY = 1 };

/* The call with one thing changed fails in the first `n` functions, and the message says so. */
#define REFUSED(n, change, words)                                                                                      \
  for (int f_ = 0; f_ < (n); f_++) {                                                                                   \
    fl4_attention_args a = good_args();                                                                                \
    change;                                                                                                            \
    ck_assert_fl4_fails(functions[f_](&a), FL4_INVALID_ARGUMENT, words);                                               \
  }

START_TEST(good_call_is_good)
{
  for (int f = 0; f < N_FUNCTIONS; f++) {
    fl4_attention_args a = good_args();
    ck_assert_fl4(functions[f](&a));
  }
}
END_TEST

START_TEST(args_sizes)
{
  REFUSED(N_FUNCTIONS, a.dtype = 3, "fl4_attention_args.dtype: is 3");
  REFUSED(N_FUNCTIONS, a.dtype = -1, "fl4_attention_args.dtype: is -1");
  REFUSED(N_FUNCTIONS, a.mask = 3, "fl4_attention_args.mask: is 3");
  REFUSED(N_FUNCTIONS, a.B = -1, "fl4_attention_args.B: is -1");
  REFUSED(N_FUNCTIONS, a.B = INT64_MAX, "fl4_attention_args.B: is 9223372036854775807");
  REFUSED(N_FUNCTIONS, a.Hq = 0, "fl4_attention_args.Hq: is 0");
  REFUSED(N_FUNCTIONS, a.Hkv = 0, "fl4_attention_args.Hkv: is 0");
  REFUSED(N_FUNCTIONS, a.Hkv = 3, "fl4_attention_args.Hkv: is 3, must divide Hq = 4");
  REFUSED(N_FUNCTIONS, a.Hkv = 8, "fl4_attention_args.Hkv: is 8, must divide Hq = 4");
  REFUSED(N_FUNCTIONS, a.Sq = -1, "fl4_attention_args.Sq: is -1");
  REFUSED(N_FUNCTIONS, a.Sq = (int64_t)1 << 31, "fl4_attention_args.Sq: is 2147483648");
  REFUSED(N_FUNCTIONS, a.Sk = INT64_MIN, "fl4_attention_args.Sk: is -9223372036854775808");
  REFUSED(N_FUNCTIONS, a.D = 0, "fl4_attention_args.D: is 0, must be a multiple of 8 from 8 to 256");
  REFUSED(N_FUNCTIONS, a.D = 7, "fl4_attention_args.D: is 7");
  REFUSED(N_FUNCTIONS, a.D = 12, "fl4_attention_args.D: is 12");
  REFUSED(N_FUNCTIONS, a.D = 264, "fl4_attention_args.D: is 264");
  REFUSED(N_FUNCTIONS, a.scale = NAN, "fl4_attention_args.scale: is nan");
  REFUSED(N_FUNCTIONS, a.scale = INFINITY, "fl4_attention_args.scale: is inf");
}
END_TEST

START_TEST(args_pointers)
{
  REFUSED(FORWARD_ONLY, a.q = NULL, "fl4_attention_args.q: is NULL");
  REFUSED(FORWARD_ONLY, a.k = NULL, "fl4_attention_args.k: is NULL");
  REFUSED(FORWARD_ONLY, a.v = NULL, "fl4_attention_args.v: is NULL");
  REFUSED(FORWARD_ONLY, a.o = NULL, "fl4_attention_args.o: is NULL");
  REFUSED(WITHOUT_ORACLE, a.q = (char *)q + 1, "fl4_attention_args.q: is 0x");
  REFUSED(WITHOUT_ORACLE, a.k = (char *)k + 1, "must be aligned to 2 bytes");
  REFUSED(WITHOUT_ORACLE, a.v = (char *)v + 3, "fl4_attention_args.v");
  REFUSED(WITHOUT_ORACLE, a.o = (char *)o + 1, "fl4_attention_args.o");
  REFUSED(WITHOUT_ORACLE, (a.dtype = FL4_DTYPE_FP32, a.q = q + 1), "fl4_attention_args.q: is 0x");
  REFUSED(WITHOUT_ORACLE, a.lse = (float *)(void *)((char *)lse + 2), "fl4_attention_args.lse: is 0x");
  REFUSED(WITHOUT_ORACLE, (a.workspace = lse + 4, a.workspace_size = 1024), "fl4_attention_args.workspace");
}
END_TEST

START_TEST(args_pointers_may_be_null_to_ask)
{
  fl4_attention_args a = good_args();
  a.q = a.k = a.v = NULL, a.o = NULL, a.lse = NULL;
  ck_assert_fl4(prepare(&a));
  ck_assert_fl4(workspace_size(&a));
  ck_assert_fl4(plan_info(&a));
  /* An empty tensor has no address. */
  a.B = 0;
  ck_assert_fl4(forward(&a));
  a = good_args();
  a.Sk = 0, a.k = a.v = NULL;
  ck_assert_fl4(forward(&a));
}
END_TEST

START_TEST(args_strides)
{
  const int64_t far = INT64_MAX / 2;
  REFUSED(N_FUNCTIONS, a.q_stride[0] = -1, "fl4_attention_args.q_stride[0]: is -1, must not be negative");
  REFUSED(N_FUNCTIONS, a.k_stride[1] = -16, "fl4_attention_args.k_stride[1]: is -16");
  REFUSED(N_FUNCTIONS, a.v_stride[2] = INT64_MIN, "fl4_attention_args.v_stride[2]");
  REFUSED(WITHOUT_ORACLE, a.o_stride[2] = -16, "fl4_attention_args.o_stride[2]: is -16");
  REFUSED(WITHOUT_ORACLE, a.lse_stride[0] = -1, "fl4_attention_args.lse_stride[0]: is -1");
  REFUSED(N_FUNCTIONS, (a.k_stride[0] = far, a.k_stride[1] = far, a.k_stride[2] = 16), "overflow");
  REFUSED(N_FUNCTIONS, a.q_stride[2] = INT64_MAX, "fl4_attention_args.q_stride[2]");
  REFUSED(N_FUNCTIONS, a.v_stride[0] = far + 1, "fl4_attention_args.v");
  REFUSED(N_FUNCTIONS, a.B = a.Hq = a.Hkv = a.Sq = 1 << 29, "overflow"); /* contiguous, but too large */

  /* Outputs whose elements overlap: rows, heads, batches, two dimensions in one place. */
  REFUSED(WITHOUT_ORACLE, (a.o_stride[0] = 640, a.o_stride[1] = 80, a.o_stride[2] = 8),
          "fl4_attention_args.o_stride[2]: is 8, must be at least 16");
  REFUSED(WITHOUT_ORACLE, (a.o_stride[0] = 640, a.o_stride[1] = 64, a.o_stride[2] = 16), "o_stride[1]: is 64");
  REFUSED(WITHOUT_ORACLE, (a.o_stride[0] = 100, a.o_stride[1] = 80, a.o_stride[2] = 16), "o_stride[");
  REFUSED(WITHOUT_ORACLE, (a.o_stride[0] = 0, a.o_stride[1] = 80, a.o_stride[2] = 16), "o_stride[0]: is 0");
  REFUSED(WITHOUT_ORACLE, (a.lse_stride[0] = 20, a.lse_stride[1] = 4, a.lse_stride[2] = 1), "lse_stride[1]: is 4");
}
END_TEST

/* What is unusual and allowed: broadcast inputs, strides of dimensions of size 1. */
START_TEST(args_strides_allowed)
{
  fl4_attention_args a = good_args();
  a.k_stride[0] = 0, a.k_stride[1] = 0, a.k_stride[2] = D;
  ck_assert_fl4(forward(&a));
  a.B = 1, a.o_stride[0] = 0, a.o_stride[1] = D, a.o_stride[2] = Hq * D; /* [B][S][H][D] */
  a.q_stride[0] = INT64_MAX, a.q_stride[1] = D * Sq, a.q_stride[2] = D;
  ck_assert_fl4(forward(&a));
}
END_TEST

START_TEST(args_struct)
{
  REFUSED(N_FUNCTIONS, a.struct_size = 0, "fl4_attention_args.struct_size: is 0");
  REFUSED(N_FUNCTIONS, a.struct_size = SIZE_MAX, "fl4_attention_args.struct_size: is 18446744073709551615");
  REFUSED(N_FUNCTIONS, a.reserved0 = 1, "fl4_attention_args.reserved0: is 1");
  REFUSED(N_FUNCTIONS, a.reserved[0] = 1, "fl4_attention_args.reserved[0]: is 1");
  REFUSED(N_FUNCTIONS, a.reserved[3] = 7, "fl4_attention_args.reserved[3]: is 7");
  for (int f = 0; f < WITHOUT_ORACLE; f++)
    ck_assert_fl4_fails(functions[f](NULL), FL4_INVALID_ARGUMENT, "args: is NULL");

  struct {
    fl4_attention_args a;
    unsigned char later[24];
  } newer = {good_args(), {0}};
  newer.a.struct_size = sizeof newer;
  for (int f = 0; f < N_FUNCTIONS; f++) ck_assert_fl4(functions[f](&newer.a));
  newer.later[23] = 1;
  for (int f = 0; f < N_FUNCTIONS; f++)
    ck_assert_fl4_fails(functions[f](&newer.a), FL4_INVALID_ARGUMENT, "fl4_attention_args: byte");
}
END_TEST

/* Nothing of a refused call reaches the output. */
START_TEST(refused_call_writes_nothing)
{
  memset(o, 0x5A, sizeof o);
  fl4_attention_args a = good_args();
  a.D = 7;
  ck_assert_int_eq(forward(&a), FL4_INVALID_ARGUMENT);
  for (int i = 0; i < ROOM; i++) ck_assert_uint_eq(o[i], 0x5A5A);
}
END_TEST

START_TEST(forward_arguments)
{
  fl4_attention_args a = good_args();
  ck_assert_fl4_fails(fl4_attention_forward(NULL, &a, NULL), FL4_INVALID_ARGUMENT,
                      "fl4_attention_forward: ctx: is NULL");
  ck_assert_fl4_fails(fl4_attention_forward(ctx, NULL, NULL), FL4_INVALID_ARGUMENT, "fl4_attention_forward: args: is");
  ck_assert_fl4_fails(fl4_attention_forward(ctx, &a, (fl4_stream)(uintptr_t)64), FL4_INVALID_ARGUMENT, "stream");
}
END_TEST

START_TEST(forward_workspace)
{
  fl4_attention_args a = good_args();
  size_t bytes;
  ck_assert_fl4(fl4_attention_workspace_size(ctx, &a, &bytes));
  ck_assert_uint_gt(bytes, 0); /* the host keeps its tiles there */
  a.workspace = aligned_alloc(256, (bytes + 255) / 256 * 256);
  ck_assert_ptr_nonnull(a.workspace);
  a.workspace_size = bytes;
  ck_assert_fl4(forward(&a));
  a.workspace_size = bytes - 1;
  ck_assert_fl4_fails(forward(&a), FL4_WORKSPACE_TOO_SMALL, "fl4_attention_args.workspace_size: is ");
  free(a.workspace);
}
END_TEST

START_TEST(query_arguments)
{
  fl4_attention_args a = good_args();
  fl4_plan_info info = FL4_PLAN_INFO_INIT;
  size_t bytes;
  ck_assert_fl4_fails(fl4_attention_prepare(NULL, &a), FL4_INVALID_ARGUMENT, "fl4_attention_prepare: ctx: is NULL");
  ck_assert_fl4_fails(fl4_attention_workspace_size(NULL, &a, &bytes), FL4_INVALID_ARGUMENT, "ctx: is NULL");
  ck_assert_fl4_fails(fl4_attention_workspace_size(ctx, &a, NULL), FL4_INVALID_ARGUMENT, "bytes: is NULL");
  ck_assert_fl4_fails(fl4_attention_plan_info(NULL, &a, &info), FL4_INVALID_ARGUMENT, "ctx: is NULL");
  ck_assert_fl4_fails(fl4_attention_plan_info(ctx, &a, NULL), FL4_INVALID_ARGUMENT, "info: is NULL");
  info.struct_size = 0;
  ck_assert_fl4_fails(fl4_attention_plan_info(ctx, &a, &info), FL4_INVALID_ARGUMENT, "fl4_plan_info.struct_size: is 0");
}
END_TEST

/* A smaller struct of an older caller gets its part, and not a byte more. */
START_TEST(small_result_structs)
{
  struct {
    fl4_plan_info info;
  } old;
  fl4_attention_args a = good_args();
  memset(&old, 0x77, sizeof old);
  old.info.struct_size = offsetof(fl4_plan_info, aligned);
  ck_assert_fl4(fl4_attention_plan_info(ctx, &a, &old.info));
  ck_assert_uint_eq(old.info.struct_size, offsetof(fl4_plan_info, aligned));
  ck_assert_msg(strncmp(old.info.variant, "host", 4) == 0, "%s", old.info.variant);
  ck_assert_int_eq(old.info.aligned, 0x77777777);
}
END_TEST

static int32_t aligned(const fl4_attention_args *a)
{
  fl4_plan_info info = FL4_PLAN_INFO_INIT;
  ck_assert_fl4(fl4_attention_plan_info(ctx, a, &info));
  return info.aligned;
}

/* Rows that begin at multiples of 16 bytes, and less than 2^40 bytes further; where there is but one, it is not asked. */
START_TEST(aligned_rows)
{
  const int64_t far = INT64_C(1) << 39; /* elements of 2 bytes */
  fl4_attention_args a = good_args();
  a.q = a.k = a.v = NULL, a.o = NULL, a.lse = NULL;
  int64_t *const strides[] = {a.q_stride, a.k_stride, a.v_stride, a.o_stride};
  ck_assert_int_eq(aligned(&a), 1);
  for (int i = 0; i < 4; i++)
    for (int n = 0; n < 3; n++) {
      int64_t *stride = strides[i];
      stride[0] = 1 << 20, stride[1] = 1 << 10, stride[2] = 64;
      stride[n] += 8;
      ck_assert_int_eq(aligned(&a), 1);
      stride[n] -= 4;
      ck_assert_int_eq(aligned(&a), 0);
      stride[n] = far - 8;
      ck_assert_int_eq(aligned(&a), 1);
      stride[n] = far;
      ck_assert_int_eq(aligned(&a), 0);
      stride[0] = stride[1] = stride[2] = 0;
    }
  a.B = 1;
  a.k_stride[0] = far + 1, a.k_stride[1] = 1 << 10, a.k_stride[2] = 64;
  ck_assert_int_eq(aligned(&a), 1);
  a.q = (const void *)8;
  ck_assert_int_eq(aligned(&a), 0);
}
END_TEST

START_TEST(check_arguments)
{
  fl4_problem p = FL4_PROBLEM_INIT;
  fl4_check_options options = FL4_CHECK_OPTIONS_INIT;
  fl4_check_result result = FL4_CHECK_RESULT_INIT;
  ck_assert_fl4(fl4_problem_parse("hq1sq8d8", &p));
  ck_assert_fl4(fl4_check(ctx, &p, NULL, &result));
  ck_assert_int_eq(result.passed, 1);
  ck_assert_fl4_fails(fl4_check(NULL, &p, &options, &result), FL4_INVALID_ARGUMENT, "ctx: is NULL");
  ck_assert_fl4_fails(fl4_check(ctx, NULL, &options, &result), FL4_INVALID_ARGUMENT, "problem: is NULL");
  ck_assert_fl4_fails(fl4_check(ctx, &p, &options, NULL), FL4_INVALID_ARGUMENT, "result: is NULL");

#define CHECK_REFUSED(change, words)                                                                                   \
  do {                                                                                                                 \
    fl4_problem bad_p = p;                                                                                             \
    fl4_check_options bad_o = options;                                                                                 \
    fl4_check_result bad_r = FL4_CHECK_RESULT_INIT;                                                                    \
    change;                                                                                                            \
    ck_assert_fl4_fails(fl4_check(ctx, &bad_p, &bad_o, &bad_r), FL4_INVALID_ARGUMENT, words);                          \
  } while (0)
  CHECK_REFUSED(bad_p.D = 7, "fl4_problem.D: is 7");
  CHECK_REFUSED(bad_p.struct_size = 0, "fl4_problem.struct_size: is 0");
  CHECK_REFUSED(bad_p.reserved[1] = 1, "fl4_problem.reserved[1]: is 1");
  CHECK_REFUSED(bad_p.layout = 4, "fl4_problem.layout: is 4");
  CHECK_REFUSED(bad_o.struct_size = 0, "fl4_check_options.struct_size: is 0");
  CHECK_REFUSED(bad_o.inputs = FL4_INPUTS_COUNT, "fl4_check_options.inputs: is 9");
  CHECK_REFUSED(bad_o.inputs = -1, "fl4_check_options.inputs: is -1");
  CHECK_REFUSED(bad_o.oracle = 3, "fl4_check_options.oracle: is 3");
  CHECK_REFUSED(bad_o.oracle = -1, "fl4_check_options.oracle: is -1");
  CHECK_REFUSED(bad_o.reserved0 = 1, "fl4_check_options.reserved0: is 1");
  CHECK_REFUSED(bad_o.timed_calls = -1, "fl4_check_options.timed_calls: is -1");
  CHECK_REFUSED(bad_o.reserved[2] = 1, "fl4_check_options.reserved[2]: is 1");
  CHECK_REFUSED(bad_r.struct_size = 0, "fl4_check_result.struct_size: is 0");
#undef CHECK_REFUSED
}
END_TEST

START_TEST(oracle_arguments)
{
  static double ref[B * Hq * Sq * D];
  fl4_attention_args a = good_args();
  int64_t rows[2] = {0, Sq - 1};
  ck_assert_fl4(fl4_oracle_fp64(&a, rows, 2, ref, NULL, NULL));
  ck_assert_fl4_fails(fl4_oracle_fp64(NULL, NULL, 0, ref, NULL, NULL), FL4_INVALID_ARGUMENT, "args: is NULL");
  ck_assert_fl4_fails(fl4_oracle_fp64(&a, rows, -1, ref, NULL, NULL), FL4_INVALID_ARGUMENT, "n_rows: is -1");
  rows[1] = Sq;
  ck_assert_fl4_fails(fl4_oracle_fp64(&a, rows, 2, ref, NULL, NULL), FL4_INVALID_ARGUMENT, "rows[1]: is 5");
  rows[1] = -1;
  ck_assert_fl4_fails(fl4_oracle_fp64(&a, rows, 2, ref, NULL, NULL), FL4_INVALID_ARGUMENT, "rows[1]: is -1");
  a.k = NULL;
  ck_assert_fl4_fails(fl4_oracle_fp64(&a, NULL, 0, ref, NULL, NULL), FL4_INVALID_ARGUMENT, "k: is NULL");

  a = good_args();
  ck_assert_fl4_fails(fl4_oracle_cublas(ctx, &a, lse, NULL, NULL, NULL), FL4_UNSUPPORTED, "CUDA");
  ck_assert_fl4_fails(fl4_oracle_cublas(NULL, &a, lse, NULL, NULL, NULL), FL4_INVALID_ARGUMENT, "ctx: is NULL");
  ck_assert_fl4_fails(fl4_oracle_cublas(ctx, NULL, lse, NULL, NULL, NULL), FL4_INVALID_ARGUMENT, "args: is NULL");
}
END_TEST

START_TEST(context_query_arguments)
{
  fl4_device_info device = FL4_DEVICE_INFO_INIT;
  fl4_cache_info cache = FL4_CACHE_INFO_INIT;
  ck_assert_fl4_fails(fl4_context_get_device_info(NULL, &device), FL4_INVALID_ARGUMENT, "ctx: is NULL");
  ck_assert_fl4_fails(fl4_context_get_device_info(ctx, NULL), FL4_INVALID_ARGUMENT, "info: is NULL");
  ck_assert_fl4_fails(fl4_context_get_cache_info(NULL, &cache), FL4_INVALID_ARGUMENT, "ctx: is NULL");
  ck_assert_fl4_fails(fl4_context_get_cache_info(ctx, NULL), FL4_INVALID_ARGUMENT, "info: is NULL");
  ck_assert_fl4_fails(fl4_device_get_info(0, NULL), FL4_INVALID_ARGUMENT, "info: is NULL");
  device.struct_size = cache.struct_size = 0;
  ck_assert_fl4_fails(fl4_context_get_device_info(ctx, &device), FL4_INVALID_ARGUMENT, "fl4_device_info.struct_size");
  ck_assert_fl4_fails(fl4_context_get_cache_info(ctx, &cache), FL4_INVALID_ARGUMENT, "fl4_cache_info.struct_size");
  ck_assert_fl4_fails(fl4_device_get_info(0, &device), FL4_INVALID_ARGUMENT, "fl4_device_info.struct_size: is 0");
}
END_TEST

START_TEST(texts)
{
  ck_assert_str_eq(fl4_status_string(FL4_OK), "success");
  ck_assert_str_eq(fl4_status_string(FL4_INVALID_ARGUMENT), "invalid argument");
  ck_assert_str_eq(fl4_status_name(FL4_OUT_OF_MEMORY), "FL4_OUT_OF_MEMORY");
  ck_assert_str_eq(fl4_status_string((fl4_status)-1000), "unknown status");
  ck_assert_str_eq(fl4_status_name((fl4_status)1), "unknown status");
#define DISTINCT(name, value, text)                                                                                    \
  ck_assert_int_eq(FL4_##name, value);                                                                                 \
  ck_assert_str_eq(fl4_status_string(FL4_##name), text);
  FL4_STATUS_MAP(DISTINCT)
#undef DISTINCT
  ck_assert_str_eq(fl4_inputs_name(FL4_INPUTS_NORMAL), "normal");
  ck_assert_str_eq(fl4_inputs_name(FL4_INPUTS_SHRINKING), "shrinking");
  ck_assert_ptr_null(fl4_inputs_name(FL4_INPUTS_COUNT));
  ck_assert_ptr_null(fl4_inputs_name((fl4_inputs)-1));
  ck_assert_int_eq(fl4_version(), FL4_VERSION);
  char version[32];
  snprintf(version, sizeof version, "%d.%d.%d", FL4_VERSION_MAJOR, FL4_VERSION_MINOR, FL4_VERSION_PATCH);
  ck_assert_str_eq(fl4_version_string(), version);
}
END_TEST

/* A success leaves the last sentence alone. */
START_TEST(last_error_stays)
{
  fl4_attention_args a = good_args();
  char before[256];
  a.D = 7;
  ck_assert_int_eq(forward(&a), FL4_INVALID_ARGUMENT);
  snprintf(before, sizeof before, "%s", fl4_last_error());
  a.D = D;
  ck_assert_fl4(forward(&a));
  ck_assert_str_eq(fl4_last_error(), before);
}
END_TEST

static Suite *make_suite(void)
{
  Suite *suite = suite_create("api");
  TCase *c = tcase_create("api");
  tcase_add_checked_fixture(c, open_host, close_host);
  tcase_add_test(c, good_call_is_good);
  tcase_add_test(c, args_sizes);
  tcase_add_test(c, args_pointers);
  tcase_add_test(c, args_pointers_may_be_null_to_ask);
  tcase_add_test(c, args_strides);
  tcase_add_test(c, args_strides_allowed);
  tcase_add_test(c, args_struct);
  tcase_add_test(c, refused_call_writes_nothing);
  tcase_add_test(c, forward_arguments);
  tcase_add_test(c, forward_workspace);
  tcase_add_test(c, query_arguments);
  tcase_add_test(c, small_result_structs);
  tcase_add_test(c, aligned_rows);
  tcase_add_test(c, check_arguments);
  tcase_add_test(c, oracle_arguments);
  tcase_add_test(c, context_query_arguments);
  tcase_add_test(c, texts);
  tcase_add_test(c, last_error_stays);
  suite_add_tcase(suite, c);
  return suite;
}

FL4_TEST_MAIN(make_suite)

/* SPDX-License-Identifier: Apache-2.0 */
/* Tensor maps, with a driver that notes down what it is asked to encode: no GPU has to be there. */
#include <cuda.h>
#include <cuda_runtime_api.h>
#include <stdint.h>

#include "cuda/cuda_device.h"
#include "cuda/tensor_map.h"
#include "error.h"
#include "fl4_test.h"

/* ---------------------------------------------------------------- the driver */

static struct request {
  void *map, *address;
  int type, rank, interleave, swizzle, promotion, fill;
  cuuint64_t sizes[4], strides[3];
  cuuint32_t box[4], element_strides[4];
} requests[8];
static int n_requests, fails_at; /* which one is refused, 0: none */

static CUresult encode(CUtensorMap *map, CUtensorMapDataType type, cuuint32_t rank, void *address,
                       const cuuint64_t *sizes, const cuuint64_t *strides, const cuuint32_t *box,
                       const cuuint32_t *element_strides, CUtensorMapInterleave interleave, CUtensorMapSwizzle swizzle,
                       CUtensorMapL2promotion promotion, CUtensorMapFloatOOBfill fill)
{
  ck_assert_int_lt(n_requests, 8);
  struct request *r = &requests[n_requests++];
  r->map = map, r->address = address, r->type = (int)type, r->rank = (int)rank;
  r->interleave = (int)interleave, r->swizzle = (int)swizzle, r->promotion = (int)promotion, r->fill = (int)fill;
  memcpy(r->sizes, sizes, sizeof r->sizes);
  memcpy(r->strides, strides, sizeof r->strides);
  memcpy(r->box, box, sizeof r->box);
  memcpy(r->element_strides, element_strides, sizeof r->element_strides);
  if (n_requests == fails_at) return CUDA_ERROR_INVALID_VALUE;
  memset(map, n_requests, sizeof *map);
  return CUDA_SUCCESS;
}

static int n_searches;
static enum cudaDriverEntryPointQueryResult found_as = cudaDriverEntryPointSuccess;
static cudaError_t search_error = cudaSuccess;

cudaError_t cudaGetDriverEntryPointByVersion(const char *symbol, void **function, unsigned version,
                                             unsigned long long flags, enum cudaDriverEntryPointQueryResult *result)
{
  CUresult (*const it)(CUtensorMap *, CUtensorMapDataType, cuuint32_t, void *, const cuuint64_t *, const cuuint64_t *,
                       const cuuint32_t *, const cuuint32_t *, CUtensorMapInterleave, CUtensorMapSwizzle,
                       CUtensorMapL2promotion, CUtensorMapFloatOOBfill) = encode;
  ck_assert_str_eq(symbol, "cuTensorMapEncodeTiled");
  ck_assert(version == 12000 && flags == cudaEnableDefault);
  n_searches++;
  *result = found_as;
  *function = NULL;
  if (search_error == cudaSuccess && found_as == cudaDriverEntryPointSuccess) memcpy(function, &it, sizeof it);
  return search_error;
}

/* The rest of the library that is used. */
fl4_status fl4__cuda_status(cudaError_t error, const char *what)
{
  return error == cudaSuccess ? FL4_OK : fl4__fail(FL4_DEVICE_ERROR, "%s failed", what);
}

/* ---------------------------------------------------------------- the tests */

static fl4__build build;
static fl4__geometry geometry;
static fl4_fwd_params fwd;
static fl4_fwd_tma_params params;

/* Two batches, six heads of queries and two of keys; rows of 80 in [batch, row, head]. */
static void setup(void)
{
  static const fl4_i64 q[3] = {100 * 6 * 80, 80, 6 * 80}, kv[3] = {70 * 2 * 80, 80, 2 * 80};
  n_requests = fails_at = 0;
  build = (fl4__build){.dtype = FL4_DTYPE_FP16, .D = 80};
  geometry = (fl4__geometry){.tma_rows = {64, 128, 96}};
  fwd = (fl4_fwd_params){.q = 0x1000, .k = 0x2000, .v = 0x3000, .B = 2, .Hq = 6, .Hkv = 2, .Sq = 100, .Sk = 70};
  fwd.debug = 7, fwd.row_tiles = 9;
  memcpy(fwd.q_stride, q, sizeof q), memcpy(fwd.k_stride, kv, sizeof kv), memcpy(fwd.v_stride, kv, sizeof kv);
  memset(&params, 0, sizeof params);
}

static fl4_status encode_all(void)
{
  return fl4__tensor_maps(&build, &geometry, &fwd, &params);
}

START_TEST(what_is_asked)
{
  ck_assert_fl4(encode_all());
  ck_assert_int_eq(n_requests, 3);
  void *const maps[] = {&params.q, &params.k, &params.v};
  for (int i = 0; i < 3; i++) {
    const struct request *r = &requests[i];
    ck_assert_ptr_eq(r->map, maps[i]);
    ck_assert_uint_eq((uintptr_t)r->map % 64, 0);
    ck_assert_uint_eq((uintptr_t)r->address, 0x1000u * (unsigned)(i + 1));
    ck_assert_int_eq(r->rank, 4);
    /* From the innermost dimension: columns, rows, heads, batches. */
    ck_assert_uint_eq(r->sizes[0], 80);
    ck_assert_uint_eq(r->sizes[1], i ? 70 : 100);
    ck_assert_uint_eq(r->sizes[2], i ? 2 : 6);
    ck_assert_uint_eq(r->sizes[3], 2);
    ck_assert_uint_eq(r->strides[0], (i ? 2 : 6) * 160);
    ck_assert_uint_eq(r->strides[1], 160);
    ck_assert_uint_eq(r->strides[2], (i ? 70 * 2 : 100 * 6) * 160);
    const cuuint32_t rows[] = {64, 128, 96};
    ck_assert(r->box[0] == 64 && r->box[1] == rows[i] && r->box[2] == 1 && r->box[3] == 1);
    for (int k = 0; k < 4; k++) ck_assert_uint_eq(r->element_strides[k], 1);
    ck_assert_int_eq(r->type, CU_TENSOR_MAP_DATA_TYPE_FLOAT16);
    ck_assert_int_eq(r->interleave, CU_TENSOR_MAP_INTERLEAVE_NONE);
    ck_assert_int_eq(r->swizzle, CU_TENSOR_MAP_SWIZZLE_128B);
    ck_assert_int_eq(r->promotion, CU_TENSOR_MAP_L2_PROMOTION_L2_128B);
    ck_assert_int_eq(r->fill, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE); /* zeros, not NaN */
    ck_assert_int_eq(((unsigned char *)r->map)[127], i + 1);
  }
  ck_assert_mem_eq(&params.fwd, &fwd, sizeof fwd);
}
END_TEST

/* Packed, heads are the inner ones: a box has the rows of all of them of some queries. */
START_TEST(packed)
{
  geometry.tma_heads = 2;
  ck_assert_fl4(encode_all());
  const struct request *r = &requests[0];
  ck_assert(r->sizes[0] == 80 && r->sizes[1] == 6 && r->sizes[2] == 100 && r->sizes[3] == 2);
  ck_assert(r->strides[0] == 160 && r->strides[1] == 960 && r->strides[2] == 96000);
  ck_assert(r->box[0] == 64 && r->box[1] == 2 && r->box[2] == 32 && r->box[3] == 1);
  ck_assert(requests[1].box[1] == 128 && requests[1].box[2] == 1);
}
END_TEST

/* A bias in columns of 16 bits. */
START_TEST(biases)
{
  static const struct {
    int type;
    fl4_i64 stride[4];
    int sizes[4], strides[3], rows; /* as they should be */
  } cases[] = {{FL4_BIAS_BF16, {48000, 8000, 80, 1}, {70, 100, 6, 2}, {160, 16000, 96000}, 64},
               {FL4_BIAS_FP32, {48000, 8000, 80, 1}, {140, 100, 6, 2}, {320, 32000, 192000}, 64},
               {FL4_BIAS_BOOL, {48000, 8000, 80, 1}, {35, 100, 6, 2}, {80, 8000, 48000}, 64},
               {FL4_BIAS_FP16, {80, 0, 0, 1}, {70, 1, 1, 2}, {16, 16, 160}, 1},
               {FL4_BIAS_FP16, {0, 8000, 80, 1}, {70, 100, 6, 1}, {160, 16000, 16}, 64}};
  for (int i = 0; i < 5; i++) {
    n_requests = 0;
    build.bias_type = cases[i].type, fwd.bias = 0x4000;
    memcpy(fwd.bias_stride, cases[i].stride, sizeof fwd.bias_stride);
    ck_assert_fl4(encode_all());
    ck_assert_int_eq(n_requests, 4);
    const struct request *r = &requests[3];
    ck_assert_ptr_eq(r->map, &params.bias);
    ck_assert_uint_eq((uintptr_t)r->address, 0x4000u);
    for (int k = 0; k < 4; k++) ck_assert_int_eq((int)r->sizes[k], cases[i].sizes[k]);
    for (int k = 0; k < 3; k++) ck_assert_int_eq((int)r->strides[k], cases[i].strides[k]);
    ck_assert(r->box[0] == 64 && (int)r->box[1] == cases[i].rows && r->box[2] == 1 && r->box[3] == 1);
    ck_assert_int_eq(params.bias_rows, cases[i].rows);
  }
}
END_TEST

/* Those that the engine cannot find: kernels read them otherwise. */
START_TEST(biases_without_a_map)
{
  static const struct {
    fl4_u64 address;
    fl4_i64 stride[4];
    int type, Sk;
  } cases[] = {{0, {48000, 8000, 80, 1}, FL4_BIAS_FP16, 70},
               {0x4002, {48000, 8000, 80, 1}, FL4_BIAS_FP16, 70},
               {0x4000, {48000, 8000, 80, 0}, FL4_BIAS_FP16, 70},
               {0x4000, {48000, 8000, 81, 1}, FL4_BIAS_FP16, 70},
               {0x4000, {48000, 8000, 88, 1}, FL4_BIAS_BOOL, 70},
               {0x4000, {48000, 8000, 80, 1}, FL4_BIAS_BOOL, 71},
               {0x4000, {(fl4_i64)1 << 40, 8000, 80, 1}, FL4_BIAS_FP16, 70}};
  for (int i = 0; i < 7; i++) {
    n_requests = 0;
    build.bias_type = cases[i].type, fwd.bias = cases[i].address, fwd.Sk = cases[i].Sk;
    memcpy(fwd.bias_stride, cases[i].stride, sizeof fwd.bias_stride);
    ck_assert_fl4(encode_all());
    ck_assert_int_eq(n_requests, 3);
    ck_assert_int_eq(params.bias_rows, 0);
  }
}
END_TEST

START_TEST(bf16)
{
  build.dtype = FL4_DTYPE_BF16;
  ck_assert_fl4(encode_all());
  for (int i = 0; i < 3; i++) ck_assert_int_eq(requests[i].type, CU_TENSOR_MAP_DATA_TYPE_BFLOAT16);
}
END_TEST

/* Where there is but one of a kind, callers may give any stride, and the engine may not. */
START_TEST(one_of_a_kind)
{
  fwd.B = fwd.Hkv = fwd.Sq = 1;
  fwd.q_stride[0] = 0, fwd.q_stride[2] = 3;
  fwd.k_stride[0] = (fl4_i64)1 << 60, fwd.k_stride[1] = 1;
  ck_assert_fl4(encode_all());
  for (int i = 0; i < 3; i++)
    for (int k = 0; k < 3; k++) {
      ck_assert_uint_gt(requests[i].strides[k], 0);
      ck_assert_uint_eq(requests[i].strides[k] % 16, 0);
      ck_assert_uint_lt(requests[i].strides[k], (cuuint64_t)1 << 40);
    }
  ck_assert_uint_eq(requests[0].strides[1], 160); /* of heads, of which there are six */
  ck_assert_uint_eq(requests[1].strides[0], 2 * 160);
}
END_TEST

/* Heads that share their memory: the driver says whether that can be. */
START_TEST(refused)
{
  static const char *const says[] = {"for q: sizes 80 100 6 2, strides 960 160 96000 bytes",
                                     "for k: sizes 80 70 2 2, strides 320 0 22400 bytes",
                                     "for v: sizes 80 70 2 2, strides 320 160 22400 bytes"};
  fwd.k_stride[1] = 0;
  fails_at = _i + 1;
  ck_assert_fl4_fails(encode_all(), FL4_DEVICE_ERROR, says[_i]);
  ck_assert_ptr_nonnull(strstr(fl4_last_error(), "cuTensorMapEncodeTiled: error 1 "));
  fails_at = 0;
  n_requests = 0;
  ck_assert_fl4(encode_all());
}
END_TEST

/* A search that failed is made again, one that did not never is. */
START_TEST(found_once)
{
  search_error = cudaErrorUnknown;
  ck_assert_fl4_fails(encode_all(), FL4_DEVICE_ERROR, "cudaGetDriverEntryPointByVersion");
  search_error = cudaSuccess;
  found_as = cudaDriverEntryPointVersionNotSufficent;
  ck_assert_fl4_fails(encode_all(), FL4_LIBRARY_MISSING, "needed is 12.0");
  found_as = cudaDriverEntryPointSymbolNotFound;
  ck_assert_fl4_fails(encode_all(), FL4_LIBRARY_MISSING, "cuTensorMapEncodeTiled");
  ck_assert_int_eq(n_requests, 0);
  found_as = cudaDriverEntryPointSuccess;
  ck_assert_fl4(encode_all());
  ck_assert_fl4(encode_all());
  ck_assert_int_eq(n_searches, 4);
}
END_TEST

static Suite *suite(void)
{
  Suite *s = suite_create("tensor_map");
  TCase *t = tcase_create("tensor_map");
  tcase_add_checked_fixture(t, setup, NULL);
  tcase_add_test(t, found_once); /* first, in case tests do not fork */
  tcase_add_test(t, what_is_asked);
  tcase_add_test(t, packed);
  tcase_add_test(t, biases);
  tcase_add_test(t, biases_without_a_map);
  tcase_add_test(t, bf16);
  tcase_add_test(t, one_of_a_kind);
  tcase_add_loop_test(t, refused, 0, 3);
  suite_add_tcase(s, t);
  return s;
}

FL4_TEST_MAIN(suite)

/* SPDX-License-Identifier: Apache-2.0 */
/* Tensor maps, encoded by the driver, which cudart finds for us. */
#include "cuda/tensor_map.h"

#include <stdatomic.h>
#include <string.h>

#include <cuda.h> /* types and constants; nothing of the driver is linked */
#include <cuda_runtime_api.h>

#include "cuda/cuda_device.h"
#include "error.h"
#include "tensor_boxes.h"

typedef CUresult (*encode_fn)(CUtensorMap *, CUtensorMapDataType, cuuint32_t rank, void *address,
                              const cuuint64_t *sizes, const cuuint64_t *strides, const cuuint32_t *box,
                              const cuuint32_t *element_strides, CUtensorMapInterleave, CUtensorMapSwizzle,
                              CUtensorMapL2promotion, CUtensorMapFloatOOBfill);

/* Threads that look for it at the same time find the same. */
static fl4_status find_encode(encode_fn *encode)
{
  static _Atomic(encode_fn) found;
  *encode = atomic_load_explicit(&found, memory_order_relaxed);
  if (*encode) return FL4_OK;

  enum { SINCE = 12000 };
  void *symbol = NULL;
  enum cudaDriverEntryPointQueryResult result = cudaDriverEntryPointSymbolNotFound;
  FL4_CUDA_TRY(cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &symbol, SINCE, cudaEnableDefault, &result));
  if (!symbol || result != cudaDriverEntryPointSuccess)
    return fl4__fail(FL4_LIBRARY_MISSING, "the CUDA driver has no cuTensorMapEncodeTiled, needed is 12.0 or newer");
  memcpy(encode, &symbol, sizeof symbol); /* ISO C has no cast from data to function */
  atomic_store_explicit(&found, *encode, memory_order_relaxed);
  return FL4_OK;
}

enum { PAGE = 64 }; /* columns of a box: 128 bytes, as wide as the swizzle */

/* The engine wants a valid stride also where there is but one, and nobody takes a step. */
static fl4_status encode_map(encode_fn encode, bool bf16, const fl4__tensor_box *b, fl4_tensor_map *map)
{
  const cuuint64_t sizes[4] = {(cuuint64_t)b->columns, (cuuint64_t)b->size[2], (cuuint64_t)b->size[1],
                               (cuuint64_t)b->size[0]};
  const cuuint32_t box[4] = {PAGE, (cuuint32_t)b->box[0], (cuuint32_t)b->box[1], 1}, element_strides[4] = {1, 1, 1, 1};
  cuuint64_t strides[3];
  for (int i = 0; i < 3; i++) strides[i] = b->size[2 - i] > 1 ? (cuuint64_t)b->stride[2 - i] * 2 : 16;
  const CUresult result =
      encode((CUtensorMap *)map, bf16 ? CU_TENSOR_MAP_DATA_TYPE_BFLOAT16 : CU_TENSOR_MAP_DATA_TYPE_FLOAT16, 4,
             (void *)(uintptr_t)b->address, sizes, strides, box, element_strides, CU_TENSOR_MAP_INTERLEAVE_NONE,
             CU_TENSOR_MAP_SWIZZLE_128B, CU_TENSOR_MAP_L2_PROMOTION_L2_128B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  if (result == CUDA_SUCCESS) return FL4_OK;
  return fl4__fail(FL4_DEVICE_ERROR,
                   "cuTensorMapEncodeTiled: error %d for %s: sizes %llu %llu %llu %llu, strides %llu %llu %llu bytes",
                   (int)result, b->name, (unsigned long long)sizes[0], (unsigned long long)sizes[1],
                   (unsigned long long)sizes[2], (unsigned long long)sizes[3], (unsigned long long)strides[0],
                   (unsigned long long)strides[1], (unsigned long long)strides[2]);
}

fl4_status fl4__tensor_maps(const fl4__build *build, const fl4__geometry *geometry, const fl4_fwd_params *fwd,
                            fl4_fwd_tma_params *params)
{
  _Static_assert(sizeof(fl4_tensor_map) == sizeof(CUtensorMap), "the same bytes");
  fl4_tensor_map *const maps[FL4__MAX_BOXES] = {&params->q, &params->k, &params->v, &params->bias};
  fl4__tensor_box boxes[FL4__MAX_BOXES];
  const int n = fl4__tensor_boxes(build, geometry, fwd, boxes);
  encode_fn encode;
  FL4_TRY(find_encode(&encode));
  for (int i = 0; i < n; i++) FL4_TRY(encode_map(encode, build->dtype == FL4_DTYPE_BF16, &boxes[i], maps[i]));
  params->bias_rows = fl4__bias_rows(boxes, n);
  params->fwd = *fwd;
  return FL4_OK;
}

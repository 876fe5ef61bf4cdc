/* SPDX-License-Identifier: Apache-2.0 */
/* cuBLAS, opened on first use; $FLASHL4_CUBLAS names its file. Its prototypes stand here, so that nothing of it is needed to build. */
#include "cuda/cublas.h"

#include <dlfcn.h>
#include <stdlib.h>

#include "error.h"
#include "util/os.h"

typedef struct cublasContext *handle_t;
enum { OP_N = 0, OP_T = 1, MATH_DEFAULT = 0, MATH_PEDANTIC = 2 }; /* cublasOperation_t, cublasMath_t */
enum {
  TYPE_FP16 = 2,
  COMPUTE_FP32 = 68,
  ALGO_DEFAULT = -1
}; /* cudaDataType_t, cublasComputeType_t, cublasGemmAlgo_t */

struct fl4__cublas {
  void *library;
  handle_t handle;
  int (*create)(handle_t *);
  int (*destroy)(handle_t);
  int (*set_stream)(handle_t, fl4_stream);
  int (*set_math)(handle_t, int);
  int (*gemm)(handle_t, int, int, int, int, int, const float *, const float *, int, long long, const float *, int,
              long long, const float *, float *, int, long long, int);
  int (*gemm_ex)(handle_t, int, int, int, int, int, const void *, const void *, int, int, const void *, int, int,
                 const void *, void *, int, int, int, int);
};

static fl4_status load_symbols(fl4__cublas *blas)
{
  const struct {
    const char *name;
    void *slot;
  } symbols[] = {
      {"cublasCreate_v2", &blas->create},         {"cublasDestroy_v2", &blas->destroy},
      {"cublasSetStream_v2", &blas->set_stream},  {"cublasSetMathMode", &blas->set_math},
      {"cublasSgemmStridedBatched", &blas->gemm}, {"cublasGemmEx", &blas->gemm_ex},
  };
  for (size_t i = 0; i < sizeof symbols / sizeof *symbols; i++) {
    void *symbol = dlsym(blas->library, symbols[i].name);
    if (!symbol) return fl4__fail(FL4_LIBRARY_MISSING, "cuBLAS has no function %s", symbols[i].name);
    *(void **)symbols[i].slot = symbol;
  }
  return FL4_OK;
}

fl4_status fl4__cublas_open(fl4__cublas **blas)
{
  static const char *const names[] = {"libcublas.so.13", "libcublas.so.12", NULL};
  *blas = NULL;
  fl4__cublas *b = calloc(1, sizeof *b);
  if (!b) return fl4__fail(FL4_OUT_OF_MEMORY, "cuBLAS: no memory for %zu bytes", sizeof *b);
  fl4_status status = FL4_OK;
  char tried[512];
  const char *asked = fl4__getenv("FLASHL4_CUBLAS");
  const char *const file[] = {asked, NULL};
  b->library = fl4__open_library(asked ? file : names, tried, sizeof tried);
  if (!b->library) {
    status = fl4__fail(FL4_LIBRARY_MISSING, "cuBLAS cannot be opened; tried %s%s", tried,
                       asked ? " (from FLASHL4_CUBLAS)" : "; FLASHL4_CUBLAS can name its file");
    goto done;
  }
  FL4_TRY_GOTO(load_symbols(b));
  int error = b->create(&b->handle);
  if (!error) error = b->set_math(b->handle, MATH_PEDANTIC);
  if (error) {
    status = fl4__fail(FL4_DEVICE_ERROR, "cublasCreate: error %d", error);
    goto done;
  }
  *blas = b;
  return FL4_OK;

done:
  fl4__cublas_close(b);
  return status;
}

void fl4__cublas_close(fl4__cublas *blas)
{
  if (!blas) return;
  /* The library stays open: its threads may outlive its handles. */
  if (blas->handle) blas->destroy(blas->handle);
  free(blas);
}

fl4_status fl4__cublas_gemm(fl4__cublas *blas, fl4_stream stream, bool transpose_a, int m, int n, int k, float alpha,
                            fl4__matrices a, fl4__matrices b, float *c, int ldc, int64_t stride_c, int batch)
{
  const float zero = 0;
  int error = blas->set_stream(blas->handle, stream);
  if (!error)
    error = blas->gemm(blas->handle, transpose_a ? OP_T : OP_N, OP_N, m, n, k, &alpha, a.data, a.ld, a.stride, b.data,
                       b.ld, b.stride, &zero, c, ldc, stride_c, batch);
  if (error)
    return fl4__fail(error == 3 ? FL4_OUT_OF_MEMORY : FL4_DEVICE_ERROR,
                     "cublasSgemmStridedBatched(m=%d, n=%d, k=%d, batch=%d): error %d", m, n, k, batch, error);
  return FL4_OK;
}

fl4_status fl4__cublas_gemm_fp16(fl4__cublas *blas, fl4_stream stream, int n, const void *a, const void *b, void *c)
{
  const float one = 1, zero = 0;
  int error = blas->set_stream(blas->handle, stream);
  if (!error) error = blas->set_math(blas->handle, MATH_DEFAULT);
  if (!error)
    error = blas->gemm_ex(blas->handle, OP_N, OP_N, n, n, n, &one, a, TYPE_FP16, n, b, TYPE_FP16, n, &zero, c,
                          TYPE_FP16, n, COMPUTE_FP32, ALGO_DEFAULT);
  const int back = blas->set_math(blas->handle, MATH_PEDANTIC);
  if (!error) error = back;
  if (error)
    return fl4__fail(error == 3 ? FL4_OUT_OF_MEMORY : FL4_DEVICE_ERROR, "cublasGemmEx(n=%d): error %d", n, error);
  return FL4_OK;
}

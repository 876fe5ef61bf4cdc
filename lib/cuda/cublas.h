/* SPDX-License-Identifier: Apache-2.0 */
/* What the oracle and the limits need of cuBLAS; the library is opened on first use. */
#ifndef FL4_CUBLAS_H
#define FL4_CUBLAS_H

#include <stdbool.h>
#include <stdint.h>

#include <flashl4/attention.h>

typedef struct fl4__cublas fl4__cublas;

/* Opens libcublas (13, then 12) and makes a handle on the current device. */
fl4_status fl4__cublas_open(fl4__cublas **blas);
void fl4__cublas_close(fl4__cublas *blas);

/* A batch of fp32 matrices, `stride` elements apart, `ld` elements between columns (column-major). */
typedef struct fl4__matrices {
  const float *data;
  int ld;
  int64_t stride;
} fl4__matrices;

/* C = alpha · op(A) · B for each of `batch`, column-major, op(A) m×k and B k×n; in fp32, no TF32. */
fl4_status fl4__cublas_gemm(fl4__cublas *blas, fl4_stream stream, bool transpose_a, int m, int n, int k, float alpha,
                            fl4__matrices a, fl4__matrices b, float *c, int ldc, int64_t stride_c, int batch);

/* C = A · B, all n×n in fp16, sums in fp32: as fast as cuBLAS can. */
fl4_status fl4__cublas_gemm_fp16(fl4__cublas *blas, fl4_stream stream, int n, const void *a, const void *b, void *c);

#endif

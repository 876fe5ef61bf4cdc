/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file oracle.h
 * @brief Reference attention: slow, simple, and written independently of the kernels it judges.
 *
 * Each oracle computes up to two results. `ref` is the reference in the oracle's own precision.
 * `low` is the same-dtype unfused computation, that is with scores, weights and output each rounded
 * to the call's dtype: its distance from `ref` is what the dtype itself costs, and the yardstick of
 * fl4_check() (the rule of FlashAttention's own tests).
 */
#ifndef FLASHL4_ORACLE_H
#define FLASHL4_ORACLE_H

#include <flashl4/attention.h>
#include <flashl4/export.h>
#include <flashl4/status.h>

FL4_BEGIN_DECLS

/**
 * Attention in fp64 on the CPU, in three passes: scores, softmax, weighted sum. It knows all that ::fl4_attention_args
 * can say. `low` rounds a score once, when all has been done to it.
 *
 * @param args    the call; pointers are host memory, lengths and tables too; `o`, `lse` and the workspace are not used
 * @param rows    NULL for all query rows, or the rows i wanted, each 0 … Sq − 1
 * @param n_rows  number of rows; ignored if `rows` is NULL
 * @param ref     [B][Hq][n][D], contiguous, n = n_rows or Sq; or NULL. Rows beyond the end of a ragged sequence are 0
 * @param low     the same shape; or NULL
 * @param lse     [B][Hq][n]; natural logarithm, −∞ for a row without a key; or NULL
 * @return ::FL4_INVALID_ARGUMENT, ::FL4_OUT_OF_MEMORY
 *
 * Thread-safety: safe; uses OpenMP threads. Since: 0.1.
 */
FL4_API FL4_NODISCARD fl4_status fl4_oracle_fp64(const fl4_attention_args *args, const int64_t *rows, int64_t n_rows,
                                                 double *ref, double *low, double *lse);

/**
 * Attention as GEMM – softmax – GEMM with cuBLAS in fp32 (no TF32) on the context's GPU. Scores are
 * formed a few heads at a time in at most 1 GiB of device memory, which the call allocates and frees.
 * Waits for the result.
 *
 * @param ctx   a context on a CUDA device
 * @param args  the call; pointers are device memory, `o`, `lse` and the workspace are not used
 * @param ref   device memory, [B][Hq][Sq][D] contiguous; or NULL
 * @param low   the same; or NULL
 * @param lse   device memory, [B][Hq][Sq]; or NULL
 * @param stream does the work; a stream of the context's device
 * @return ::FL4_INVALID_ARGUMENT, ::FL4_UNSUPPORTED (not a CUDA context), ::FL4_LIBRARY_MISSING
 *         (cuBLAS or NVRTC), ::FL4_OUT_OF_MEMORY, ::FL4_DEVICE_ERROR
 *
 * Thread-safety: safe. Since: 0.1.
 */
FL4_API FL4_NODISCARD fl4_status fl4_oracle_cublas(fl4_context *ctx, const fl4_attention_args *args, float *ref,
                                                   float *low, float *lse, fl4_stream stream);

FL4_END_DECLS

#endif /* FLASHL4_ORACLE_H */

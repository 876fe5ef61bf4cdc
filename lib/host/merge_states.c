/* SPDX-License-Identifier: Apache-2.0 */
/* Partial results put together on the CPU: kernels/merge_states.cu in plain C. */
#include <math.h>

#include "auxiliary.h"
#include "fl4_aux.h"
#include "host/aux_kernels.h"
#include "host/row.h"

enum { MAX_D = 256 };

static const void *part_of(const fl4_u64 *address, const fl4_merge_params *p, fl4_i64 stride_bytes, int k)
{
  return (const void *)(uintptr_t)(p->is_list ? address[k] : address[0] + (fl4_u64)(k * stride_bytes));
}

static float lse_of(const fl4_merge_params *p, int64_t row, int k)
{
  return ((const float *)part_of(p->part_lse, p, p->part_lse_stride[0] * 4, k))[row];
}

static void merge_row(const fl4_merge_params *p, int64_t b, int64_t h, int64_t i)
{
  const int64_t part_row = b * p->part_stride[1] + h * p->part_stride[2] + i * p->part_stride[3];
  const int64_t lse_row = b * p->part_lse_stride[1] + h * p->part_lse_stride[2] + i * p->part_lse_stride[3];
  const int64_t o_row = b * p->o_stride[0] + h * p->o_stride[1] + i * p->o_stride[2];
  float top = -INFINITY, sum = 0, o[MAX_D] = {0};
  for (int k = 0; k < p->n; k++) top = fmaxf(top, lse_of(p, lse_row, k));
  const float reference = top == -INFINITY ? 0 : top;
  for (int k = 0; k < p->n; k++) {
    const float weight = expf(lse_of(p, lse_row, k) - reference);
    /* A part that counts nothing is not even multiplied with 0: it may hold NaN. */
    if (weight == 0) continue;
    sum += weight;
    const void *part = part_of(p->part, p, p->part_stride[0] * fl4__dtype_size(p->parts_dtype), k);
    for (int d = 0; d < p->D; d += 8) {
      float x[8];
      load_8(part, part_row + d, p->parts_dtype, x);
      for (int e = 0; e < 8; e++) o[d + e] += weight * x[e];
    }
  }
  const float inverse = sum == 0 ? 0 : 1 / sum;
  for (int d = 0; d < p->D; d += 8) {
    for (int e = 0; e < 8; e++) o[d + e] *= inverse;
    store_8((void *)(uintptr_t)p->o, o_row + d, p->dtype, o + d);
  }
  if (p->lse)
    ((float *)(uintptr_t)p->lse)[b * p->lse_stride[0] + h * p->lse_stride[1] + i * p->lse_stride[2]] =
        sum == 0 ? -INFINITY : top + logf(sum);
}

void fl4__host_merge_states(const void *params, int threads)
{
  const fl4_merge_params *p = params;
  const int64_t heads = (int64_t)p->B * p->Hq, rows = heads * p->Sq;
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
  for (int64_t row = 0; row < rows; row++) merge_row(p, row / p->Sq / p->Hq, row / p->Sq % p->Hq, row % p->Sq);
  (void)threads, (void)heads;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* What the bulk copy engine of sm_90 copies for a kernel, in words that no driver is needed for. */
#ifndef FL4_TENSOR_BOXES_H
#define FL4_TENSOR_BOXES_H

#include "variant.h"

/*
 * A tensor of rows of 16-bit columns, and the box of it that is copied at a time: box[0] steps of the innermost dimension but the
 * columns, box[1] of the next, one batch.
 */
typedef struct fl4__tensor_box {
  const char *name;
  fl4_u64 address;
  int64_t columns, size[3]; /* outermost first: batch, head, row; of packed queries batch, row, head */
  fl4_i64 stride[3];        /* in columns; where there is but one, nobody takes a step */
  int32_t box[2];
} fl4__tensor_box;

enum { FL4__MAX_BOXES = 4 };

/* Of q, k, v, and of a bias that can be copied. Returns how many. */
int fl4__tensor_boxes(const fl4__build *build, const fl4__geometry *geometry, const fl4_fwd_params *fwd,
                      fl4__tensor_box boxes[FL4__MAX_BOXES]);

/* Rows of a bias that are copied at a time: fl4_fwd_tma_params.bias_rows. */
static inline int32_t fl4__bias_rows(const fl4__tensor_box *boxes, int n)
{
  return n > 3 ? boxes[3].box[0] : 0;
}

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#include "tensor_boxes.h"

#include <string.h>

static fl4__tensor_box tensor_box(const char *name, fl4_u64 address, int64_t D, const int64_t size[3],
                                  const fl4_i64 stride[3], int rows)
{
  fl4__tensor_box b = {.name = name, .address = address, .columns = D, .box = {rows, 1}};
  memcpy(b.size, size, sizeof b.size), memcpy(b.stride, stride, sizeof b.stride);
  return b;
}

/* Heads become the inner dimension, so that rows of several heads lie side by side in a box of as many rows. */
static void pack(fl4__tensor_box *q, int heads)
{
  const int64_t n = q->size[1], stride = q->stride[1];
  q->size[1] = q->size[2], q->stride[1] = q->stride[2];
  q->size[2] = n, q->stride[2] = stride;
  q->box[1] = q->box[0] / heads, q->box[0] = heads;
}

/* One of each dimension that is broadcast. False if there is no bias, or its rows do not begin at multiples of 16 bytes. */
static bool bias_box(const fl4_fwd_params *p, int type, int rows, fl4__tensor_box *box)
{
  const int64_t bytes = fl4__bias_size(type), n[3] = {p->B, p->Hq, p->Sq};
  if (!p->bias || p->bias_stride[3] != 1 || p->bias % 16 || p->Sk * bytes % 2) return false;
  *box = (fl4__tensor_box){.name = "bias", .address = p->bias, .columns = p->Sk * bytes / 2, .box = {rows, 1}};
  for (int i = 0; i < 3; i++) {
    const fl4_i64 stride = p->bias_stride[i];
    if (stride % (16 / bytes) || stride >= (INT64_C(1) << 40) / bytes) return false;
    box->size[i] = stride ? n[i] : 1;
    box->stride[i] = stride * bytes / 2;
  }
  if (box->size[2] == 1) box->box[0] = 1;
  return true;
}

int fl4__tensor_boxes(const fl4__build *build, const fl4__geometry *geometry, const fl4_fwd_params *fwd,
                      fl4__tensor_box boxes[FL4__MAX_BOXES])
{
  int64_t q[3], kv[3];
  fl4__tensor_sizes(build->features, fwd, q, kv);
  const int32_t *rows = geometry->tma_rows;
  boxes[0] = tensor_box("q", fwd->q, build->D, q, fwd->q_stride, rows[0]);
  boxes[1] = tensor_box("k", fwd->k, build->D, kv, fwd->k_stride, rows[1]);
  boxes[2] = tensor_box("v", fwd->v, build->D, kv, fwd->v_stride, rows[2]);
  if (geometry->tma_heads > 1) pack(&boxes[0], geometry->tma_heads);
  return bias_box(fwd, build->bias_type, rows[0], &boxes[3]) ? 4 : 3;
}

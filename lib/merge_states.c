/* SPDX-License-Identifier: Apache-2.0 */
/* fl4_merge_states(): arguments → parameters → the device's kernel. */
#include <flashl4/merge.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "auxiliary.h"
#include "context.h"
#include "error.h"
#include "host/aux_kernels.h"

#define ARGS "fl4_merge_states_args"

_Static_assert((int)FL4_MERGE_LIST == (int)FL4_MERGE_LIST_MAX, "the kernel takes the list that the header allows");

static const fl4__aux_kernel merge_kernel = {
    .source = "merge_states.cu",
    .entry = "fl4_merge_states",
    .option = {"FL4_BF16", "FL4_PARTS_FP32", "FL4_OUT_FP32", "FL4_ALIGNED"},
    .host = fl4__host_merge_states,
};

static fl4_status check_sizes(const fl4_merge_states_args *a)
{
  if (a->dtype < FL4_DTYPE_FP16 || a->dtype > FL4_DTYPE_FP32)
    return fl4__fail(FL4_INVALID_ARGUMENT, ARGS ".dtype: is %d, must be FL4_DTYPE_FP16, _BF16 or _FP32", a->dtype);
  if (a->parts_fp32 != 0 && a->parts_fp32 != 1)
    return fl4__fail(FL4_INVALID_ARGUMENT, ARGS ".parts_fp32: is %d, must be 0 or 1", a->parts_fp32);
  const int64_t most_parts = a->parts_list ? FL4_MERGE_LIST_MAX : INT32_MAX / 2;
  if (a->n < 1 || a->n > most_parts)
    return fl4__fail(FL4_INVALID_ARGUMENT, ARGS ".n: is %" PRId64 ", must be from 1 to %" PRId64 "%s", a->n, most_parts,
                     a->parts_list ? " with parts_list" : "");
  const struct {
    const char *name;
    int64_t value, min;
  } sizes[] = {{"B", a->B, 0}, {"Hq", a->Hq, 1}, {"Sq", a->Sq, 0}};
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
    if (sizes[i].value < sizes[i].min || sizes[i].value > INT32_MAX / 2)
      return fl4__fail(FL4_INVALID_ARGUMENT, ARGS ".%s: is %" PRId64 ", must be from %" PRId64 " to %d", sizes[i].name,
                       sizes[i].value, sizes[i].min, INT32_MAX / 2);
  if (a->D < 8 || a->D > 256 || a->D % 8)
    return fl4__fail(FL4_INVALID_ARGUMENT, ARGS ".D: is %" PRId64 ", must be a multiple of 8 from 8 to 256", a->D);
  for (int i = 0; i < 4; i++)
    if (a->reserved[i])
      return fl4__fail(FL4_INVALID_ARGUMENT, ARGS ".reserved[%d]: is %" PRIu64 ", must be 0", i, a->reserved[i]);
  return FL4_OK;
}

/* Either one tensor, or both lists. */
static fl4_status check_lists(const fl4_merge_states_args *a)
{
  if (!a->parts_list && a->parts_lse_list)
    return fl4__fail(FL4_INVALID_ARGUMENT, ARGS ".parts_lse_list: is set, must be NULL without parts_list");
  if (!a->parts_list) return FL4_OK;
  if (!a->parts_lse_list)
    return fl4__fail(FL4_INVALID_ARGUMENT,
                     ARGS ".parts_lse_list: is NULL, must have an address for each of parts_list");
  if (a->parts || a->parts_lse)
    return fl4__fail(FL4_INVALID_ARGUMENT, ARGS ".%s: is set, must be NULL with parts_list",
                     a->parts ? "parts" : "parts_lse");
  if (a->parts_stride[0] || a->parts_lse_stride[0])
    return fl4__fail(FL4_INVALID_ARGUMENT, ARGS ".%s[0]: is %" PRId64 ", must be 0 with parts_list",
                     a->parts_stride[0] ? "parts_stride" : "parts_lse_stride",
                     a->parts_stride[0] ? a->parts_stride[0] : a->parts_lse_stride[0]);
  return FL4_OK;
}

/* The parts: `t` is one tensor with all of them, or each in turn with the addresses of a list. */
static fl4_status take_parts(fl4__tensor_arg t, const void *const *list, fl4__need need, fl4_u64 *address,
                             fl4_i64 stride[4], int32_t *aligned)
{
  if (!list) {
    address[0] = (uintptr_t)t.data;
    return fl4__tensor_check(&t, need, stride, aligned);
  }
  const int n = (int)t.n[0];
  t.n[0] = 1;
  /* Strides, which are the same for all, by the argument's name; then addresses by their place in the list. */
  FL4_TRY(fl4__tensor_check(&t, FL4__NEED_SHAPE, stride, NULL));
  char name[32];
  for (int k = 0; k < n; k++) {
    fl4__tensor_arg one = t;
    snprintf(name, sizeof name, "%s_list[%d]", t.name, k);
    one.name = name, one.data = list[k];
    FL4_TRY(fl4__tensor_check(&one, need, stride, aligned));
    address[k] = (uintptr_t)list[k];
  }
  return FL4_OK;
}

static fl4_status from_args(const fl4_merge_states_args *a, fl4__need need, fl4_merge_params *p, int32_t *aligned)
{
  FL4_TRY(check_sizes(a));
  FL4_TRY(check_lists(a));
  memset(p, 0, sizeof *p);
  p->n = (fl4_i32)a->n, p->is_list = a->parts_list != NULL;
  p->B = (fl4_i32)a->B, p->Hq = (fl4_i32)a->Hq, p->Sq = (fl4_i32)a->Sq, p->D = (fl4_i32)a->D;
  p->dtype = a->dtype, p->parts_dtype = a->parts_fp32 ? FL4_DTYPE_FP32 : a->dtype;
  p->lanes_log2 = fl4__aux_lanes_log2(a->D);
  p->o = (uintptr_t)a->o, p->lse = (uintptr_t)a->lse;

  const fl4__tensor_arg parts = {
      ARGS, "parts", a->parts, a->parts_stride, 4, {a->n, a->B, a->Hq, a->Sq}, a->D, fl4__dtype_size(p->parts_dtype),
      false};
  const fl4__tensor_arg parts_lse = {
      ARGS, "parts_lse", a->parts_lse, a->parts_lse_stride, 4, {a->n, a->B, a->Hq, a->Sq}, 1, 4, false};
  const fl4__tensor_arg o = {ARGS, "o", a->o, a->o_stride, 3, {a->B, a->Hq, a->Sq}, a->D, fl4__dtype_size(a->dtype),
                             true};
  const fl4__tensor_arg lse = {ARGS, "lse", a->lse, a->lse_stride, 3, {a->B, a->Hq, a->Sq}, 1, 4, true};
  *aligned = 1;
  FL4_TRY(take_parts(parts, a->parts_list, need, p->part, p->part_stride, aligned));
  FL4_TRY(take_parts(parts_lse, (const void *const *)a->parts_lse_list, need, p->part_lse, p->part_lse_stride, NULL));
  FL4_TRY(fl4__tensor_check(&o, need, p->o_stride, aligned));
  return fl4__tensor_check(&lse, FL4__NEED_SHAPE, p->lse_stride, NULL);
}

static fl4_status run(fl4_context *ctx, const fl4_merge_states_args *args, fl4__need need, const char *function,
                      fl4_stream stream)
{
  if (!ctx) return fl4__fail(FL4_INVALID_ARGUMENT, "%s: ctx: is NULL, must be a context", function);
  if (!args) return fl4__fail(FL4_INVALID_ARGUMENT, "%s: args: is NULL, must point to the arguments", function);
  fl4_merge_states_args a;
  fl4_merge_params params;
  int32_t aligned;
  FL4_TRY(fl4__struct_read(&a, sizeof a, args, ARGS));
  FL4_TRY(from_args(&a, need, &params, &aligned));
  if (a.B == 0 || a.Sq == 0) return FL4_OK;
  const fl4__aux aux = {
      .function = "fl4_merge_states",
      .build = {&merge_kernel,
                {a.dtype == FL4_DTYPE_BF16, a.parts_fp32 || a.dtype == FL4_DTYPE_FP32, a.dtype == FL4_DTYPE_FP32,
                 aligned}},
      .params = need == FL4__NEED_POINTERS ? &params : NULL,
      .blocks = fl4__aux_blocks(ctx->device, (double)a.B * (double)a.Hq * (double)a.Sq, params.lanes_log2),
  };
  return ctx->device->backend->run_aux(ctx->device, &aux, stream);
}

fl4_status fl4_merge_states(fl4_context *ctx, const fl4_merge_states_args *args, fl4_stream stream)
{
  return run(ctx, args, FL4__NEED_POINTERS, "fl4_merge_states", stream);
}

fl4_status fl4_merge_states_prepare(fl4_context *ctx, const fl4_merge_states_args *args)
{
  return run(ctx, args, FL4__NEED_SHAPE, "fl4_merge_states_prepare", NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* fl4_kv_append(): arguments → parameters → the device's kernel. */
#include <flashl4/kv_cache.h>

#include <inttypes.h>
#include <string.h>

#include "auxiliary.h"
#include "context.h"
#include "error.h"
#include "host/aux_kernels.h"

#define ARGS "fl4_kv_append_args"

_Static_assert((int)FL4_AUX_ROTARY_HALVES == (int)FL4_ROTARY_HALVES &&
                   (int)FL4_AUX_ROTARY_PAIRS == (int)FL4_ROTARY_PAIRS,
               "the kernels' numbers are the header's");

static const fl4__aux_kernel append_kernel = {
    .source = "kv_append.cu",
    .entry = "fl4_kv_append",
    .option = {"FL4_BF16", "FL4_ROTARY", "FL4_ALIGNED"},
    .host = fl4__host_kv_append,
};

static fl4_status check_sizes(const fl4_kv_append_args *a)
{
  if (a->dtype < FL4_DTYPE_FP16 || a->dtype > FL4_DTYPE_FP32)
    return fl4__fail(FL4_INVALID_ARGUMENT, ARGS ".dtype: is %d, must be FL4_DTYPE_FP16, _BF16 or _FP32", a->dtype);
  const struct {
    const char *name;
    int64_t value, min;
  } sizes[] = {{"B", a->B, 0}, {"Hq", a->Hq, a->q != NULL}, {"Hkv", a->Hkv, 1}, {"Sn", a->Sn, 0}, {"Sk", a->Sk, 0}};
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
    if (sizes[i].value < sizes[i].min || sizes[i].value > INT32_MAX / 2)
      return fl4__fail(FL4_INVALID_ARGUMENT, ARGS ".%s: is %" PRId64 ", must be from %" PRId64 " to %d", sizes[i].name,
                       sizes[i].value, sizes[i].min, INT32_MAX / 2);
  if (a->D < 8 || a->D > 256 || a->D % 8)
    return fl4__fail(FL4_INVALID_ARGUMENT, ARGS ".D: is %" PRId64 ", must be a multiple of 8 from 8 to 256", a->D);
  if (a->reserved0) return fl4__fail(FL4_INVALID_ARGUMENT, ARGS ".reserved0: is %u, must be 0", a->reserved0);
  for (int i = 0; i < 4; i++)
    if (a->reserved[i])
      return fl4__fail(FL4_INVALID_ARGUMENT, ARGS ".reserved[%d]: is %" PRIu64 ", must be 0", i, a->reserved[i]);
  return FL4_OK;
}

/* What only an embedding has must not be there without one. */
static fl4_status check_no_rotary(const fl4_kv_append_args *a)
{
  const struct {
    const char *name;
    const void *value;
  } pointers[] = {{"rotary_cos", a->rotary_cos}, {"rotary_sin", a->rotary_sin}, {"q", a->q}};
  for (size_t i = 0; i < sizeof pointers / sizeof *pointers; i++)
    if (pointers[i].value)
      return fl4__fail(FL4_INVALID_ARGUMENT, ARGS ".%s: is set, must be NULL with FL4_ROTARY_NONE", pointers[i].name);
  if (a->rotary_dim || a->max_position)
    return fl4__fail(FL4_INVALID_ARGUMENT, ARGS ".%s: is %" PRId64 ", must be 0 with FL4_ROTARY_NONE",
                     a->rotary_dim ? "rotary_dim" : "max_position", a->rotary_dim ? a->rotary_dim : a->max_position);
  return FL4_OK;
}

/* Tables that copies of 16 bytes can read, and chunks of 8 elements that are turned all or none, are part of `aligned`. */
static fl4_status take_rotary(const fl4_kv_append_args *a, fl4__need need, fl4_append_params *p, int32_t *aligned)
{
  if (a->rotary < FL4_ROTARY_NONE || a->rotary > FL4_ROTARY_PAIRS)
    return fl4__fail(FL4_INVALID_ARGUMENT, ARGS ".rotary: is %d, must be FL4_ROTARY_NONE, _HALVES or _PAIRS",
                     a->rotary);
  if (a->q_out && !a->q) return fl4__fail(FL4_INVALID_ARGUMENT, ARGS ".q_out: is set, must be NULL without q");
  if (!a->rotary) return check_no_rotary(a);
  if (a->rotary_dim < 2 || a->rotary_dim > a->D || a->rotary_dim % 2)
    return fl4__fail(FL4_INVALID_ARGUMENT, ARGS ".rotary_dim: is %" PRId64 ", must be even, from 2 to D = %" PRId64,
                     a->rotary_dim, a->D);
  if (a->max_position < 1 || a->max_position > INT32_MAX / 2)
    return fl4__fail(FL4_INVALID_ARGUMENT, ARGS ".max_position: is %" PRId64 ", must be from 1 to %d", a->max_position,
                     INT32_MAX / 2);
  const struct {
    const char *name;
    const float *table;
  } tables[] = {{"rotary_cos", a->rotary_cos}, {"rotary_sin", a->rotary_sin}};
  for (int i = 0; i < 2; i++) {
    if (need == FL4__NEED_POINTERS && !tables[i].table)
      return fl4__fail(FL4_INVALID_ARGUMENT, ARGS ".%s: is NULL, must point to the table", tables[i].name);
    FL4_TRY(fl4__aligned_check(ARGS, tables[i].name, tables[i].table, 4));
    if ((uintptr_t)tables[i].table % 16) *aligned = 0;
  }
  if (a->rotary_dim % 16) *aligned = 0;
  p->rotary = a->rotary, p->rotary_dim = (fl4_i32)a->rotary_dim, p->max_position = (fl4_i32)a->max_position;
  p->rotary_cos = (uintptr_t)a->rotary_cos, p->rotary_sin = (uintptr_t)a->rotary_sin;
  return FL4_OK;
}

static fl4_status take_lengths(const fl4_kv_append_args *a, fl4_append_params *p)
{
  FL4_TRY(fl4__aligned_check(ARGS, "seqused_k", a->seqused_k, 4));
  FL4_TRY(fl4__aligned_check(ARGS, "seqused_k_after", a->seqused_k_after, 4));
  FL4_TRY(fl4__aligned_check(ARGS, "cu_seqlens_new", a->cu_seqlens_new, 4));
  if (a->seqused_k_after && a->seqused_k_after == a->seqused_k)
    return fl4__fail(FL4_INVALID_ARGUMENT, ARGS ".seqused_k_after: is seqused_k, must be memory of its own");
  if (a->total_new < 0 || a->total_new > INT32_MAX / 2 || (a->total_new && !a->cu_seqlens_new))
    return fl4__fail(FL4_INVALID_ARGUMENT, ARGS ".total_new: is %" PRId64 ", must be %s", a->total_new,
                     a->cu_seqlens_new ? "from 0 to 1073741823" : "0 without cu_seqlens_new");
  p->used = (uintptr_t)a->seqused_k, p->used_after = (uintptr_t)a->seqused_k_after;
  p->cu_new = (uintptr_t)a->cu_seqlens_new, p->total_new = (fl4_i32)a->total_new;
  return FL4_OK;
}

static fl4_status take_tensors(const fl4_kv_append_args *a, fl4__need need, fl4_append_params *p, int32_t *aligned)
{
  const bool ragged = a->cu_seqlens_new, paged = a->page_size;
  const int64_t batch = ragged ? 1 : a->B, tokens = ragged ? a->total_new : a->Sn;
  const int64_t caches = paged ? a->n_pages : a->B, keys = paged ? a->page_size : a->Sk;
  const int element = fl4__dtype_size(a->dtype);
  int64_t k_pages[3], v_pages[3];
  const int64_t *k_stride = fl4__page_strides(a->page_size, a->Hkv, a->D, a->k_stride, k_pages);
  const int64_t *v_stride = fl4__page_strides(a->page_size, a->Hkv, a->D, a->v_stride, v_pages);
  const struct {
    fl4__tensor_arg tensor;
    fl4_u64 *address;
    fl4_i64 *stride;
  } all[] = {
      {{ARGS, "k_new", a->k_new, a->k_new_stride, 3, {batch, a->Hkv, tokens}, a->D, element, false},
       &p->k_new,
       p->k_new_stride},
      {{ARGS, "v_new", a->v_new, a->v_new_stride, 3, {batch, a->Hkv, tokens}, a->D, element, false},
       &p->v_new,
       p->v_new_stride},
      {{ARGS, "k", a->k, k_stride, 3, {caches, a->Hkv, keys}, a->D, element, true}, &p->k, p->k_stride},
      {{ARGS, "v", a->v, v_stride, 3, {caches, a->Hkv, keys}, a->D, element, true}, &p->v, p->v_stride},
      {{ARGS, "q", a->q, a->q_stride, 3, {batch, a->Hq, tokens}, a->D, element, false}, &p->q, p->q_stride},
      {{ARGS, "q_out", a->q_out, a->q_out_stride, 3, {batch, a->Hq, tokens}, a->D, element, true},
       &p->q_out,
       p->q_out_stride},
  };
  for (int i = 0; i < (a->q ? 6 : 4); i++) {
    FL4_TRY(fl4__tensor_check(&all[i].tensor, need, all[i].stride, aligned));
    *all[i].address = (uintptr_t)all[i].tensor.data;
  }
  return FL4_OK;
}

static fl4_status from_args(const fl4_kv_append_args *a, fl4__need need, fl4_append_params *p, int32_t *aligned)
{
  FL4_TRY(check_sizes(a));
  memset(p, 0, sizeof *p);
  p->B = (fl4_i32)a->B, p->Hq = (fl4_i32)a->Hq, p->Hkv = (fl4_i32)a->Hkv;
  p->Sn = (fl4_i32)a->Sn, p->Sk = (fl4_i32)a->Sk, p->D = (fl4_i32)a->D;
  p->dtype = a->dtype;
  p->lanes_log2 = fl4__aux_lanes_log2(a->D);
  *aligned = 1;
  FL4_TRY(take_rotary(a, need, p, aligned));
  FL4_TRY(take_lengths(a, p));
  const fl4__pages_arg pages = {ARGS, a->block_table, a->block_table_stride, a->n_pages, a->page_size, a->B, a->Sk};
  FL4_TRY(fl4__pages_check(&pages, need, &p->table_stride));
  if (a->page_size) {
    p->block_table = (uintptr_t)a->block_table, p->n_pages = (fl4_i32)a->n_pages;
    p->page_shift = __builtin_ctz((unsigned)a->page_size);
  }
  return take_tensors(a, need, p, aligned);
}

static fl4_status run(fl4_context *ctx, const fl4_kv_append_args *args, fl4__need need, const char *function,
                      fl4_stream stream)
{
  if (!ctx) return fl4__fail(FL4_INVALID_ARGUMENT, "%s: ctx: is NULL, must be a context", function);
  if (!args) return fl4__fail(FL4_INVALID_ARGUMENT, "%s: args: is NULL, must point to the arguments", function);
  fl4_kv_append_args a;
  fl4_append_params params;
  int32_t aligned;
  FL4_TRY(fl4__struct_read(&a, sizeof a, args, ARGS));
  FL4_TRY(from_args(&a, need, &params, &aligned));
  fl4__device *device = ctx->device;
  if (a.dtype == FL4_DTYPE_FP32 && device->info.kind != FL4_DEVICE_HOST)
    return fl4__fail(FL4_UNSUPPORTED,
                     ARGS ".dtype: is FL4_DTYPE_FP32, which only the host device takes; must be "
                          "FL4_DTYPE_FP16 or _BF16 on %s",
                     device->backend->name);
  const int64_t tokens = a.cu_seqlens_new ? a.total_new : a.B * a.Sn;
  if (a.B == 0 || (tokens == 0 && !a.seqused_k_after)) return FL4_OK;
  const fl4__aux aux = {
      .function = "fl4_kv_append",
      .build = {&append_kernel, {a.rotary && a.dtype == FL4_DTYPE_BF16, a.rotary, aligned}},
      .params = need == FL4__NEED_POINTERS ? &params : NULL,
      .blocks = fl4__aux_blocks(device, (double)tokens * (double)(a.Hkv + (a.q ? a.Hq : 0)), params.lanes_log2),
  };
  return device->backend->run_aux(device, &aux, stream);
}

fl4_status fl4_kv_append(fl4_context *ctx, const fl4_kv_append_args *args, fl4_stream stream)
{
  return run(ctx, args, FL4__NEED_POINTERS, "fl4_kv_append", stream);
}

fl4_status fl4_kv_append_prepare(fl4_context *ctx, const fl4_kv_append_args *args)
{
  return run(ctx, args, FL4__NEED_SHAPE, "fl4_kv_append_prepare", NULL);
}

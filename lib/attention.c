/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The path of a call, top to bottom: arguments → problem → plan → kernel → launch.
 */
#include <flashl4/attention.h>

#include <inttypes.h>
#include <string.h>

#include "capture.h"
#include "context.h"
#include "error.h"
#include "plan.h"
#include "tile_lists.h"

/* What all entry points start with. */
typedef struct call {
  fl4_attention_args args;
  fl4_fwd_params params;
  fl4__plan plan;
  fl4__tile_lists lists;
} call;

static fl4_status begin(fl4_context *ctx, const fl4_attention_args *args, fl4__need need, const char *function, call *c)
{
  if (!ctx) return fl4__fail(FL4_INVALID_ARGUMENT, "%s: ctx: is NULL, must be a context", function);
  if (!args) return fl4__fail(FL4_INVALID_ARGUMENT, "%s: args: is NULL, must point to the arguments", function);
  FL4_TRY(fl4__struct_read(&c->args, sizeof c->args, args, "fl4_attention_args"));
  fl4__problem problem;
  FL4_TRY(fl4__problem_from_args(&c->args, need, &problem, &c->params));
  FL4_TRY(fl4__plan_make(ctx->device, &ctx->forced, ctx->wisdom, &problem, &c->plan));
  c->params.row_tiles = c->plan.geometry.row_tiles;
  c->params.section_heads = c->plan.geometry.section_heads;
  c->params.splits = c->plan.geometry.splits;
  c->params.split_keys = c->plan.geometry.split_keys;
  c->params.split_anchor = c->plan.geometry.split_anchor;
  return fl4__tile_lists_plan(&c->plan, &c->params, &c->lists);
}

/* No query: nothing to compute, nothing to launch. */
static bool empty(const fl4__problem *p)
{
  return p->B == 0 || p->Sq == 0 || (p->features & FL4__FEATURE_RAGGED_Q && p->total_q == 0);
}

fl4_status fl4_attention_forward(fl4_context *ctx, const fl4_attention_args *args, fl4_stream stream)
{
  call c;
  FL4_TRY(begin(ctx, args, FL4__NEED_POINTERS, "fl4_attention_forward", &c));
  if (empty(&c.plan.problem)) return FL4_OK;
  if (ctx->capture) fl4__capture_problem(ctx->capture, &c.plan.problem, &c.params);
  fl4__device *device = ctx->device;
  FL4_TRY(fl4__plan_kernel(device, &c.plan, true, stream));

  const size_t need = c.plan.geometry.workspace_bytes;
  if (c.args.workspace && c.args.workspace_size < need)
    return fl4__fail(FL4_WORKSPACE_TOO_SMALL,
                     "fl4_attention_args.workspace_size: is %zu, must be at least %zu for this problem",
                     c.args.workspace_size, need);
  void *workspace = c.args.workspace;
  const bool own = !workspace && need > 0;
  if (own) FL4_TRY(device->backend->scratch_take(device, need, stream, &workspace));
  fl4_status status = fl4__tile_lists_make(device, &c.plan, &c.lists, &c.params, workspace, stream);
  if (status == FL4_OK)
    status = device->backend->launch(device, c.plan.kernel, &c.plan.geometry, &c.params, workspace, stream);
  if (own) device->backend->scratch_give(device, workspace, need, stream);
  return status;
}

fl4_status fl4_attention_prepare(fl4_context *ctx, const fl4_attention_args *args)
{
  call c;
  FL4_TRY(begin(ctx, args, FL4__NEED_SHAPE, "fl4_attention_prepare", &c));
  if (empty(&c.plan.problem)) return FL4_OK;
  FL4_TRY(fl4__tile_lists_make(ctx->device, &c.plan, &c.lists, &c.params, NULL, NULL));
  return fl4__plan_kernel(ctx->device, &c.plan, false, NULL);
}

fl4_status fl4_attention_workspace_size(fl4_context *ctx, const fl4_attention_args *args, size_t *bytes)
{
  if (!bytes)
    return fl4__fail(FL4_INVALID_ARGUMENT, "fl4_attention_workspace_size: bytes: is NULL, must receive the size");
  call c;
  FL4_TRY(begin(ctx, args, FL4__NEED_SHAPE, "fl4_attention_workspace_size", &c));
  *bytes = empty(&c.plan.problem) ? 0 : c.plan.geometry.workspace_bytes;
  return FL4_OK;
}

fl4_status fl4_attention_plan_info(fl4_context *ctx, const fl4_attention_args *args, fl4_plan_info *info)
{
  if (!info) return fl4__fail(FL4_INVALID_ARGUMENT, "fl4_attention_plan_info: info: is NULL, must receive the plan");
  fl4_plan_info out;
  FL4_TRY(fl4__struct_read(&out, sizeof out, info, "fl4_plan_info"));
  call c;
  FL4_TRY(begin(ctx, args, FL4__NEED_SHAPE, "fl4_attention_plan_info", &c));
  FL4_TRY(fl4__plan_kernel(ctx->device, &c.plan, false, NULL));

  const fl4__geometry *g = &c.plan.geometry;
  const fl4__kernel *kernel = c.plan.kernel;
  memset(&out, 0, sizeof out);
  fl4__variant_format(&c.plan.variant, out.variant);
  out.aligned = c.plan.problem.aligned;
  out.blocks = g->blocks > INT32_MAX ? INT32_MAX : (int32_t)g->blocks;
  out.threads = g->threads;
  out.registers = kernel->registers;
  out.spill_bytes = kernel->spill_bytes;
  out.smem_bytes = g->smem_bytes;
  out.origin = kernel->origin;
  out.build_ms = kernel->build_ms;
  out.kernel_hash = kernel->hash;
  out.workspace_bytes = g->workspace_bytes;
  fl4__struct_write(info, &out, sizeof out);
  return FL4_OK;
}

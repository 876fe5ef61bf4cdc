/* SPDX-License-Identifier: Apache-2.0 */
/* Lists of key tiles: whether there are any, how large they are, and the launch that makes them. */
#include "tile_lists.h"

#include "auxiliary.h"
#include "error.h"

static const fl4__aux_kernel kernel = {
    .source = "mask_tiles.cu",
    .entry = "fl4_mask_tiles",
    .option = {"FL4_D", "FL4_CAUSAL", "FL4_WINDOW", "FL4_USED_K"},
};

/* A list: how many, then room for all tiles, and for one where there are none. */
fl4_status fl4__tile_lists_plan(fl4__plan *plan, fl4_fwd_params *params, fl4__tile_lists *lists)
{
  *lists = (fl4__tile_lists){0};
  fl4__geometry *g = &plan->geometry;
  if (!fl4__skips(&plan->variant, &plan->problem)) return FL4_OK;
  const int64_t words = 1 + fl4__max64(1, fl4__ceil_div(plan->problem.Sk, g->tile_keys));
  lists->batches = params->bias_stride[0] || plan->problem.features & FL4__FEATURE_USED_K ? params->B : 1;
  lists->heads = params->bias_stride[1] ? params->Hq : 1;
  params->list_stride[2] = words;
  params->list_stride[1] = lists->heads > 1 ? words * g->row_tiles : 0;
  params->list_stride[0] = lists->batches > 1 ? words * g->row_tiles * lists->heads : 0;
  const int64_t n = (int64_t)lists->batches * lists->heads * g->row_tiles;
  if (n > INT32_MAX || words > INT64_MAX / 8 / n)
    return fl4__fail(FL4_UNSUPPORTED, "fl4_attention_args.bias: has %lld row tiles of its own, may have %d",
                     (long long)n, INT32_MAX);
  lists->bytes = (size_t)(n * words) * 4;
  /* Tickets, which are 0 between launches, stay so for whoever gets this workspace next. */
  lists->offset = g->workspace_bytes > FL4_TICKET_BYTES ? (g->workspace_bytes + 15) / 16 * 16 : FL4_TICKET_BYTES;
  g->workspace_bytes = lists->offset + lists->bytes;
  return FL4_OK;
}

fl4_status fl4__tile_lists_make(fl4__device *device, const fl4__plan *plan, const fl4__tile_lists *lists,
                                fl4_fwd_params *params, void *workspace, fl4_stream stream)
{
  if (!lists->bytes) return FL4_OK;
  params->tile_lists = (uintptr_t)workspace + lists->offset;
  const fl4_mask_tiles_params of_lists = {
      .fwd = *params,
      .batches = lists->batches,
      .heads = lists->heads,
      .tile_rows = plan->geometry.tile_rows,
      .tile_keys = plan->geometry.tile_keys,
  };
  const int32_t features = plan->problem.features;
  const fl4__aux aux = {
      .function = "fl4_attention",
      .build = {&kernel,
                {8, plan->problem.mask == FL4_MASK_CAUSAL, (features & FL4__FEATURE_WINDOW) != 0,
                 (features & FL4__FEATURE_USED_K) != 0}},
      .params = workspace ? &of_lists : NULL,
      .blocks = (int64_t)lists->batches * lists->heads * plan->geometry.row_tiles,
      .smem_bytes = FL4_MASK_TILES_SMEM,
  };
  return device->backend->run_aux(device, &aux, stream);
}

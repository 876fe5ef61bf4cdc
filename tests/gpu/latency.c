/* SPDX-License-Identifier: Apache-2.0 */
/*
 * latency LABEL [LINE [VARIANT]]: host time of calls of a problem in a fresh process, as one line of JSON. The cubin cache
 * decides what the first call is: empty, it is cold (NVRTC is opened and compiles); filled by an earlier run, it is
 * warm. Run by tests/gpu/run.sh.
 */
#include <cuda_runtime_api.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <flashl4/flashl4.h>

#include "context.h"
#include "cuda/cuda_device.h"
#include "cuda/tensor_map.h"
#include "oracle/check.h"
#include "plan.h"
#include "util/os.h"

enum { CALLS = 50, ROUNDS = 200 };

/* One problem, and what the library makes of it. */
typedef struct job {
  fl4_context *ctx;
  fl4_attention_args args;
  fl4_fwd_params params;
  fl4__plan plan;
  fl4_fwd_tma_params with_maps;
  bool has_maps;
} job;

static fl4_status forward(job *j)
{
  return fl4_attention_forward(j->ctx, &j->args, NULL);
}

/* The launch alone, of the same kernel with the same parameters: the floor of a forward call. */
static fl4_status bare_launch(job *j)
{
  const fl4__geometry *g = &j->plan.geometry;
  const cudaLaunchConfig_t config = {
      .gridDim = {(unsigned)g->blocks, 1, 1},
      .blockDim = {(unsigned)g->threads, 1, 1},
      .dynamicSmemBytes = (size_t)g->smem_bytes,
  };
  void *args[] = {j->has_maps ? (void *)&j->with_maps : (void *)&j->params};
  const fl4__cuda_kernel *kernel = (const fl4__cuda_kernel *)j->plan.kernel;
  return cudaLaunchKernelExC(&config, (const void *)kernel->handle, args) == cudaSuccess ? FL4_OK : FL4_DEVICE_ERROR;
}

/* What each call of such a kernel has on top: its three tensor maps. */
static fl4_status encode_maps(job *j)
{
  return fl4__tensor_maps(&j->plan.kernel->build, &j->plan.geometry, &j->params, &j->with_maps);
}

static int by_value(const void *a, const void *b)
{
  const double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

/* Median microseconds of a call on this side, queue not full. -1 if one fails. */
static double median_us(job *j, fl4_status (*call)(job *))
{
  static double us[ROUNDS];
  for (int round = 0; round < ROUNDS; round++) {
    cudaDeviceSynchronize();
    const double start = fl4__now_ms();
    for (int i = 0; i < CALLS; i++)
      if (call(j) != FL4_OK) return -1;
    us[round] = (fl4__now_ms() - start) * 1e3 / CALLS;
  }
  if (cudaDeviceSynchronize() != cudaSuccess) return -1;
  qsort(us, ROUNDS, sizeof *us, by_value);
  return us[ROUNDS / 2];
}

/* The plan of the call, with the caller's workspace. */
static fl4_status look_inside(job *j)
{
  fl4__problem problem;
  fl4_status status = fl4__problem_from_args(&j->args, FL4__NEED_POINTERS, &problem, &j->params);
  if (status == FL4_OK) status = fl4__plan_make(j->ctx->device, &j->ctx->forced, j->ctx->wisdom, &problem, &j->plan);
  if (status == FL4_OK) status = fl4__plan_kernel(j->ctx->device, &j->plan, false, NULL);
  if (status != FL4_OK) return status;
  j->params.row_tiles = j->plan.geometry.row_tiles, j->params.section_heads = j->plan.geometry.section_heads;
  j->params.splits = j->plan.geometry.splits, j->params.split_keys = j->plan.geometry.split_keys;
  j->params.split_anchor = j->plan.geometry.split_anchor;
  j->params.workspace = (uintptr_t)j->args.workspace;
  j->has_maps = j->plan.geometry.tma_rows[0] > 0;
  return j->has_maps ? encode_maps(j) : FL4_OK;
}

/* Tensors of zeros. */
static fl4_status set_up(job *j, const char *line)
{
  fl4_problem p = FL4_PROBLEM_INIT;
  fl4__placement at;
  char *input, *output, *lse;
  fl4_status status = fl4_problem_parse(line, &p);
  if (status == FL4_OK) status = fl4__place(&p, &at);
  if (status != FL4_OK) return status;
  const size_t bytes[3] = {(size_t)at.input_elements * 2, (size_t)at.output_elements * 2, (size_t)at.lse_elements * 4};
  char **memory[3] = {&input, &output, &lse};
  for (int i = 0; i < 3; i++)
    if (cudaMalloc((void **)memory[i], bytes[i]) != cudaSuccess || cudaMemset(*memory[i], 0, bytes[i]) != cudaSuccess)
      return FL4_OUT_OF_MEMORY;
  fl4_attention_args *a = &j->args;
  *a = (fl4_attention_args)FL4_ATTENTION_ARGS_INIT;
  a->dtype = p.dtype, a->mask = p.mask, a->B = p.B, a->Hq = p.Hq, a->Hkv = p.Hkv, a->Sq = p.Sq, a->Sk = p.Sk,
  a->D = p.D;
  a->q = input + at.q.offset * 2, a->k = input + at.k.offset * 2, a->v = input + at.v.offset * 2;
  a->o = output + at.o.offset * 2, a->lse = p.lse ? (float *)(void *)lse + at.lse_offset : NULL;
  memcpy(a->q_stride, at.q.stride, sizeof a->q_stride);
  memcpy(a->k_stride, at.k.stride, sizeof a->k_stride);
  memcpy(a->v_stride, at.v.stride, sizeof a->v_stride);
  memcpy(a->o_stride, at.o.stride, sizeof a->o_stride);
  return FL4_OK;
}

/* Zeroed, as much as the call wants; then without it the call has to take some each time. */
static fl4_status give_workspace(job *j)
{
  fl4_attention_args *a = &j->args;
  const fl4_status status = fl4_attention_workspace_size(j->ctx, a, &a->workspace_size);
  if (status != FL4_OK || a->workspace_size == 0) return status;
  if (cudaMalloc(&a->workspace, a->workspace_size) != cudaSuccess) return FL4_OUT_OF_MEMORY;
  return cudaMemset(a->workspace, 0, a->workspace_size) == cudaSuccess ? FL4_OK : FL4_DEVICE_ERROR;
}

int main(int argc, char **argv)
{
  static job j;
  const char *line = argc > 2 ? argv[2] : "hq8sq64d128";
  if (cudaFree(NULL) != cudaSuccess) return fputs("no CUDA device\n", stderr), 77;
  fl4_status status = set_up(&j, line);
  fl4_context_options options = FL4_CONTEXT_OPTIONS_INIT;
  options.device = "cuda", options.variant = argc > 3 ? argv[3] : NULL;

  const double start = fl4__now_ms();
  if (status == FL4_OK) status = fl4_context_create(&j.ctx, &options);
  const double created = fl4__now_ms();
  if (status == FL4_OK) status = forward(&j);
  const double first = fl4__now_ms();
  fl4_cache_info info = FL4_CACHE_INFO_INIT;
  if (status == FL4_OK) status = fl4_context_get_cache_info(j.ctx, &info);
  const double without = status == FL4_OK ? median_us(&j, forward) : -1;
  if (status == FL4_OK) status = give_workspace(&j);
  if (status == FL4_OK) status = look_inside(&j);
  if (status != FL4_OK) return fprintf(stderr, "%s\n", fl4_last_error()), 1;

  const double warm = median_us(&j, forward), bare = median_us(&j, bare_launch);
  const double maps = j.has_maps ? median_us(&j, encode_maps) : 0;
  char variant[FL4__VARIANT_TEXT];
  fl4__variant_format(&j.plan.variant, variant);
  printf("{\"run\": \"%s\", \"problem\": \"%s\", \"variant\": \"%s\", \"kernel\": \"%s\", \"nvrtc_loaded\": %d, "
         "\"context_ms\": %.2f, \"first_call_ms\": %.2f, \"build_ms\": %.2f, \"warm_call_us\": %.3f, "
         "\"bare_launch_us\": %.3f, "
         "\"over_bare_us\": %.3f, \"tensor_maps_us\": %.3f, \"without_workspace_us\": %.3f}\n",
         argc > 1 ? argv[1] : "", line, variant, info.compiled ? "compiled" : "from disk", info.nvrtc_loaded,
         created - start, first - created, (double)j.plan.kernel->build_ms, warm, bare, warm - bare, maps, without);
  fl4_context_destroy(&j.ctx);
  return warm > 0 && bare > 0 && maps >= 0 && without > 0 ? 0 : 1;
}

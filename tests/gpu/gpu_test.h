/* SPDX-License-Identifier: Apache-2.0 */
/* What the GPU tests share: contexts, the families that this GPU has, and a call on device memory. */
#ifndef FL4_GPU_TEST_H
#define FL4_GPU_TEST_H

#include <cuda_runtime_api.h>
#include <stdio.h>

#include "context.h"
#include "fl4_test.h"
#include "oracle/check.h"

#define ck_assert_cuda(expr)                                                                                           \
  do {                                                                                                                 \
    cudaError_t error_ = (expr);                                                                                       \
    ck_assert_msg(error_ == cudaSuccess, "%s: %s", #expr, cudaGetErrorString(error_));                                 \
  } while (0)

/* Families of kernels, each also a variant's text; what is not aligned, and what has no keys, only the first one takes. */
static const char *const gpu_families[] = {"fwd_mma", "fwd_wgmma"};

static inline bool on_hopper(void)
{
  fl4_device_info info = FL4_DEVICE_INFO_INIT;
  return fl4_device_get_info(0, &info) == FL4_OK && info.sm == 90;
}

/* How many of them this GPU has. */
static inline int gpu_families_count(void)
{
  return on_hopper() ? 2 : 1;
}

/* `variant`: NULL, or what is forced. */
static inline fl4_context *open_variant(const char *variant, uint32_t flags)
{
  fl4_context_options options = FL4_CONTEXT_OPTIONS_INIT;
  options.device = "cuda", options.variant = variant, options.flags = flags;
  fl4_context *ctx;
  ck_assert_fl4(fl4_context_create(&ctx, &options));
  return ctx;
}

static inline fl4_context *open_context(uint32_t flags)
{
  return open_variant(NULL, flags);
}

/* A problem's tensors on the GPU with seeded inputs. */
typedef struct gpu_call {
  fl4_problem problem;
  fl4__placement place;
  void *input, *output;
  float *lse;
  size_t output_bytes;
  fl4_attention_args args;
} gpu_call;

static inline gpu_call make_call(const char *line, uint64_t seed)
{
  gpu_call c;
  memset(&c, 0, sizeof c);
  c.problem = (fl4_problem)FL4_PROBLEM_INIT;
  ck_assert_fl4(fl4_problem_parse(line, &c.problem));
  ck_assert_fl4(fl4__place(&c.problem, &c.place));
  const size_t bytes = (size_t)c.place.input_elements * 2;
  void *host = malloc(bytes);
  ck_assert_ptr_nonnull(host);
  fl4__inputs_fill(&c.problem, &c.place, seed, FL4_INPUTS_NORMAL, host);
  c.output_bytes = (size_t)c.place.output_elements * 2;
  ck_assert_cuda(cudaMalloc(&c.input, bytes));
  ck_assert_cuda(cudaMalloc(&c.output, c.output_bytes));
  ck_assert_cuda(cudaMalloc((void **)&c.lse, (size_t)(c.place.lse_elements + 1) * 4));
  ck_assert_cuda(cudaMemcpy(c.input, host, bytes, cudaMemcpyHostToDevice));
  ck_assert_cuda(cudaMemset(c.output, 0xff, c.output_bytes));
  free(host);

  c.args = fl4__placement_args(&c.problem, &c.place, c.input, c.output, c.lse);
  return c;
}

static inline void free_call(gpu_call *c)
{
  cudaFree(c->input);
  cudaFree(c->output);
  cudaFree(c->lse);
  cudaFree(c->args.workspace);
}

/* The output's bytes, on the host; free() them. */
static inline void *output_of(const gpu_call *c)
{
  void *host = malloc(c->output_bytes);
  ck_assert_ptr_nonnull(host);
  ck_assert_cuda(cudaMemcpy(host, c->output, c->output_bytes, cudaMemcpyDeviceToHost));
  return host;
}

static inline void clear_output(const gpu_call *c)
{
  ck_assert_cuda(cudaMemset(c->output, 0xff, c->output_bytes));
}

/* O and LSE of a plain call on this machine, one behind the other. */
static inline unsigned char *results_of(const gpu_call *c, size_t *bytes)
{
  const size_t o = (size_t)(c->problem.B * c->problem.Hq * c->problem.Sq * c->problem.D) * 2;
  const size_t lse = c->args.lse ? (size_t)(c->problem.B * c->problem.Hq * c->problem.Sq) * 4 : 0;
  unsigned char *host = malloc(o + lse);
  ck_assert_ptr_nonnull(host);
  ck_assert_cuda(cudaMemcpy(host, c->args.o, o, cudaMemcpyDeviceToHost));
  if (lse) ck_assert_cuda(cudaMemcpy(host + o, c->args.lse, lse, cudaMemcpyDeviceToHost));
  *bytes = o + lse;
  return host;
}

/* Zeroed device memory of the size that the call asks for, with an end that must stay as it is; its arguments get it. */
enum { WORKSPACE_END = 256, WORKSPACE_MARK = 0x5a };

static inline void give_workspace(fl4_context *ctx, gpu_call *c)
{
  size_t bytes = 0;
  ck_assert_fl4(fl4_attention_workspace_size(ctx, &c->args, &bytes));
  ck_assert_cuda(cudaMalloc(&c->args.workspace, bytes + WORKSPACE_END));
  ck_assert_cuda(cudaMemset(c->args.workspace, 0, bytes));
  ck_assert_cuda(cudaMemset((char *)c->args.workspace + bytes, WORKSPACE_MARK, WORKSPACE_END));
  c->args.workspace_size = bytes;
}

/* After its calls: all tickets are 0 again, and nothing was written behind it. */
static inline void check_workspace(const gpu_call *c)
{
  const size_t bytes = c->args.workspace_size;
  unsigned char *host = malloc(bytes + WORKSPACE_END);
  ck_assert_ptr_nonnull(host);
  ck_assert_cuda(cudaMemcpy(host, c->args.workspace, bytes + WORKSPACE_END, cudaMemcpyDeviceToHost));
  for (size_t i = 0; i < bytes && i < FL4_TICKET_BYTES; i++)
    ck_assert_msg(host[i] == 0, "byte %zu of the tickets is %d, must be 0", i, host[i]);
  for (size_t i = bytes; i < bytes + WORKSPACE_END; i++)
    ck_assert_msg(host[i] == WORKSPACE_MARK, "byte %zu behind the workspace was written", i - bytes);
  free(host);
}

#endif

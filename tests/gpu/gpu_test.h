/* SPDX-License-Identifier: Apache-2.0 */
/* What the GPU tests share: a context without the disk cache, and a call on device memory. */
#ifndef FL4_GPU_TEST_H
#define FL4_GPU_TEST_H

#include <cuda_runtime_api.h>
#include <stdio.h>

#include "context.h"
#include "fl4_test.h"
#include "oracle/check.h"

#define ck_assert_cuda(expr)                                                                       \
  do {                                                                                             \
    cudaError_t error_ = (expr);                                                                   \
    ck_assert_msg(error_ == cudaSuccess, "%s: %s", #expr, cudaGetErrorString(error_));             \
  } while (0)

static inline fl4_context *open_context(uint32_t flags)
{
  fl4_context_options options = FL4_CONTEXT_OPTIONS_INIT;
  options.device = "cuda", options.flags = flags;
  fl4_context *ctx;
  ck_assert_fl4(fl4_context_create(&ctx, &options));
  return ctx;
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

  c.args = (fl4_attention_args)FL4_ATTENTION_ARGS_INIT;
  c.args.dtype = c.problem.dtype, c.args.mask = c.problem.mask, c.args.scale = c.problem.scale;
  c.args.B = c.problem.B, c.args.Hq = c.problem.Hq, c.args.Hkv = c.problem.Hkv;
  c.args.Sq = c.problem.Sq, c.args.Sk = c.problem.Sk, c.args.D = c.problem.D;
  c.args.q = (char *)c.input + c.place.q.offset * 2, c.args.k = (char *)c.input + c.place.k.offset * 2;
  c.args.v = (char *)c.input + c.place.v.offset * 2, c.args.o = (char *)c.output + c.place.o.offset * 2;
  c.args.lse = c.problem.lse ? c.lse + c.place.lse_offset : NULL;
  for (int i = 0; i < 3; i++) {
    c.args.q_stride[i] = c.place.q.stride[i], c.args.k_stride[i] = c.place.k.stride[i];
    c.args.v_stride[i] = c.place.v.stride[i], c.args.o_stride[i] = c.place.o.stride[i];
  }
  return c;
}

static inline void free_call(gpu_call *c)
{
  cudaFree(c->input);
  cudaFree(c->output);
  cudaFree(c->lse);
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

#endif

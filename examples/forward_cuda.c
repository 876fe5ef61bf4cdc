/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attention on a GPU, in bf16, on memory and a stream that the program made with the CUDA runtime.
 * Tensors are [B][S][H][D], as a projection writes them; four query heads share a key/value head.
 * Exit status 77: there is no GPU.
 */
#include <cuda_runtime_api.h>
#include <flashl4/flashl4.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { B = 2, Hq = 16, Hkv = 4, S = 1024, D = 128, SKIP = 77 };

static void *or_die(void *memory)
{
  if (memory) return memory;
  fputs("out of memory\n", stderr);
  exit(EXIT_FAILURE);
}

static void cuda(cudaError_t status)
{
  if (status == cudaSuccess) return;
  fprintf(stderr, "CUDA: %s\n", cudaGetErrorString(status));
  exit(EXIT_FAILURE);
}

static void fl4(fl4_status status)
{
  if (status == FL4_OK) return;
  fprintf(stderr, "%s: %s\n", fl4_status_name(status), fl4_last_error());
  exit(EXIT_FAILURE);
}

/* bfloat16 is the upper half of a float; these numbers need no rounding. */
static uint16_t bf16(float x)
{
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  return (uint16_t)(bits >> 16);
}

/* Device memory with small numbers, kept in *host too. */
static void *make_tensor(size_t n, int seed, uint16_t **host)
{
  void *device;
  *host = or_die(malloc(n * sizeof **host));
  for (size_t i = 0; i < n; i++) (*host)[i] = bf16((float)((i * 37 + (size_t)seed) % 31) / 16 - 1);
  cuda(cudaMalloc(&device, n * sizeof **host));
  cuda(cudaMemcpy(device, *host, n * sizeof **host, cudaMemcpyHostToDevice));
  return device;
}

int main(void)
{
  fl4_context_options options = FL4_CONTEXT_OPTIONS_INIT;
  options.device = "cuda:0";
  fl4_context *ctx;
  fl4_status status = fl4_context_create(&ctx, &options);
  if (status == FL4_NO_DEVICE) {
    printf("no CUDA device: %s\n", fl4_last_error());
    return SKIP;
  }
  fl4(status);
  cuda(cudaSetDevice(0));
  cudaStream_t stream;
  cuda(cudaStreamCreate(&stream));

  const size_t nq = (size_t)B * S * Hq * D, nkv = (size_t)B * S * Hkv * D;
  uint16_t *q, *k, *v, *o = or_die(malloc(nq * sizeof *o));
  fl4_attention_args args = FL4_ATTENTION_ARGS_INIT;
  args.dtype = FL4_DTYPE_BF16, args.mask = FL4_MASK_CAUSAL;
  args.B = B, args.Hq = Hq, args.Hkv = Hkv, args.Sq = S, args.Sk = S, args.D = D;
  args.q = make_tensor(nq, 1, &q), args.k = make_tensor(nkv, 2, &k), args.v = make_tensor(nkv, 3, &v);
  cuda(cudaMalloc(&args.o, nq * sizeof *o));
  const int64_t q_stride[3] = {(int64_t)S * Hq * D, D, (int64_t)Hq * D};    /* of [b, h, s] */
  const int64_t kv_stride[3] = {(int64_t)S * Hkv * D, D, (int64_t)Hkv * D}; /* of [b, h, s] */
  memcpy(args.q_stride, q_stride, sizeof q_stride);
  memcpy(args.o_stride, q_stride, sizeof q_stride);
  memcpy(args.k_stride, kv_stride, sizeof kv_stride);
  memcpy(args.v_stride, kv_stride, sizeof kv_stride);

  fl4(fl4_attention_forward(ctx, &args, stream)); /* the first call compiles; later ones only launch */
  cuda(cudaMemcpyAsync(o, args.o, nq * sizeof *o, cudaMemcpyDeviceToHost, stream));
  cuda(cudaStreamSynchronize(stream));

  /* The first query of each head sees the first key only, so its output is the first value. */
  int wrong = 0;
  for (int h = 0; h < Hq; h++) wrong += memcmp(o + h * D, v + h / (Hq / Hkv) * D, D * sizeof *o) != 0;

  fl4_plan_info plan = FL4_PLAN_INFO_INIT;
  fl4(fl4_attention_plan_info(ctx, &args, &plan));
  printf("%s: %d registers, %d bytes of shared memory, built in %.0f ms; %d heads wrong\n", plan.variant,
         plan.registers, plan.smem_bytes, (double)plan.build_ms, wrong);

  cuda(cudaFree((void *)args.q)), cuda(cudaFree((void *)args.k)), cuda(cudaFree((void *)args.v));
  cuda(cudaFree(args.o));
  cuda(cudaStreamDestroy(stream));
  fl4_context_destroy(&ctx);
  free(q), free(k), free(v), free(o);
  return wrong ? EXIT_FAILURE : EXIT_SUCCESS;
}

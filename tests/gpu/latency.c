/* SPDX-License-Identifier: Apache-2.0 */
/*
 * latency LABEL: host time of calls in a fresh process, as one line of JSON. The cubin cache decides
 * what the first call is: empty, it is cold (NVRTC is opened and compiles); filled by an earlier run,
 * it is warm. Run by tests/gpu/run.sh.
 */
#include <cuda_runtime_api.h>
#include <stdio.h>
#include <stdlib.h>

#include <flashl4/flashl4.h>

#include "context.h"
#include "cuda/cuda_device.h"
#include "util/os.h"

enum { CALLS = 100, ROUNDS = 200 };

static int by_value(const void *a, const void *b)
{
  const double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

/* What a launch of the same kernel costs without the library: the floor of a forward call. */
static cudaError_t bare_launch(const fl4__cuda_kernel *kernel, fl4_fwd_params *params)
{
  const cudaLaunchConfig_t config = {.gridDim = {1, 1, 1}, .blockDim = {32, 1, 1}, .dynamicSmemBytes = 64 << 10};
  void *args[] = {params};
  return cudaLaunchKernelExC(&config, (const void *)kernel->handle, args);
}

/* Median microseconds of a call, queue not full. */
static double median_us(fl4_context *ctx, const fl4_attention_args *args)
{
  static double us[ROUNDS];
  const fl4__cuda_kernel *kernel = atomic_load(&fl4__cuda(ctx->device)->kernels);
  fl4_fwd_params params = {.Hq = 1, .Hkv = 1, .B = 1, .row_tiles = 1, .section_heads = 1};
  for (int round = 0; round < ROUNDS; round++) {
    cudaDeviceSynchronize();
    const double start = fl4__now_ms();
    for (int i = 0; i < CALLS; i++) {
      if (args ? fl4_attention_forward(ctx, args, NULL) != FL4_OK : bare_launch(kernel, &params) != cudaSuccess)
        return -1;
    }
    us[round] = (fl4__now_ms() - start) * 1e3 / CALLS;
  }
  cudaDeviceSynchronize();
  qsort(us, ROUNDS, sizeof *us, by_value);
  return us[ROUNDS / 2];
}

int main(int argc, char **argv)
{
  fl4_context *ctx = NULL;
  void *memory = NULL;
  const size_t tensor = 8 * 64 * 128 * 2;
  if (cudaMalloc(&memory, 4 * tensor) != cudaSuccess) return puts("no CUDA device"), 77;
  cudaMemset(memory, 0, 4 * tensor);
  fl4_attention_args args = FL4_ATTENTION_ARGS_INIT;
  args.B = 1, args.Hq = args.Hkv = 8, args.Sq = args.Sk = 64, args.D = 128;
  args.q = memory, args.k = (char *)memory + tensor, args.v = (char *)memory + 2 * tensor;
  args.o = (char *)memory + 3 * tensor;

  const double start = fl4__now_ms();
  fl4_status status = fl4_context_create(&ctx, NULL);
  const double created = fl4__now_ms();
  if (status == FL4_OK) status = fl4_attention_forward(ctx, &args, NULL);
  const double first = fl4__now_ms();
  if (status != FL4_OK) return fprintf(stderr, "%s\n", fl4_last_error()), 1;
  fl4_cache_info info = FL4_CACHE_INFO_INIT;
  if (fl4_context_get_cache_info(ctx, &info) != FL4_OK) return 1;

  const double forward = median_us(ctx, &args), bare = median_us(ctx, NULL);
  printf("{\"run\": \"%s\", \"kernel\": \"%s\", \"nvrtc_loaded\": %d, \"context_ms\": %.2f, \"first_call_ms\": %.2f, "
         "\"warm_call_us\": %.3f, \"bare_launch_us\": %.3f, \"over_bare_us\": %.3f}\n",
         argc > 1 ? argv[1] : "", info.compiled ? "compiled" : "from disk", info.nvrtc_loaded, created - start,
         first - created, forward, bare, forward - bare);
  fl4_context_destroy(&ctx);
  cudaFree(memory);
  return forward > 0 && bare > 0 ? 0 : 1;
}

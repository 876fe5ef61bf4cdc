/* SPDX-License-Identifier: Apache-2.0 */
/*
 * forward_once [--variant V] LINE…: one forward call for each problem, into outputs that were written before, and
 * nothing else: no oracle, no other kernel. The variant is for the lines behind it. For compute-sanitizer; run by
 * tests/gpu/run.sh.
 */
#include <cuda_runtime_api.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <flashl4/flashl4.h>

#include "oracle/check.h"
#include "problem.h"

static char *host_bytes(size_t n)
{
  char *memory = malloc(n ? n : 1);
  if (!memory) exit(3);
  fl4__canary_fill(memory, n);
  return memory;
}

/* A buffer on the GPU with the same contents. */
static char *on_device(const char *host, size_t n)
{
  void *memory;
  if (cudaMalloc(&memory, n ? n : 1) != cudaSuccess) exit(3);
  if (cudaMemcpy(memory, host, n, cudaMemcpyHostToDevice) != cudaSuccess) exit(3);
  return memory;
}

static fl4_status forward(fl4_context *ctx, const char *line)
{
  fl4_problem p = FL4_PROBLEM_INIT;
  fl4__placement at;
  fl4_status status = fl4_problem_parse(line, &p);
  if (status == FL4_OK) status = fl4__place(&p, &at);
  if (status != FL4_OK) return status;
  const size_t sizes[3] = {(size_t)at.input_elements * 2, (size_t)at.output_elements * 2, (size_t)at.lse_elements * 4};
  char *host[3], *device[3];
  for (int i = 0; i < 3; i++) host[i] = host_bytes(sizes[i]);
  fl4__inputs_fill(&p, &at, 1, FL4_INPUTS_NORMAL, host[0]);
  for (int i = 0; i < 3; i++) device[i] = on_device(host[i], sizes[i]);

  const fl4_attention_args a = fl4__placement_args(&p, &at, device[0], device[1], device[2]);
  status = fl4_attention_forward(ctx, &a, NULL);
  if (status == FL4_OK && cudaMemcpy(host[1], device[1], sizes[1], cudaMemcpyDeviceToHost) != cudaSuccess) exit(4);
  for (int i = 0; i < 3; i++) cudaFree(device[i]), free(host[i]);
  return status;
}

static fl4_status open_variant(const char *variant, fl4_context **ctx)
{
  fl4_context_options options = FL4_CONTEXT_OPTIONS_INIT;
  options.device = "cuda", options.variant = variant;
  fl4_context_destroy(ctx);
  return fl4_context_create(ctx, &options);
}

int main(int argc, char **argv)
{
  fl4_context *ctx = NULL;
  fl4__fewest_scores_to_skip = 0; /* so that small masks are looked at, too */
  fl4_status status = open_variant(NULL, &ctx);
  for (int i = 1; i < argc && status == FL4_OK; i++)
    if (strcmp(argv[i], "--variant") == 0 && i + 1 < argc)
      status = open_variant(argv[++i], &ctx);
    else
      status = forward(ctx, argv[i]);
  if (status != FL4_OK) fprintf(stderr, "%s\n", fl4_last_error());
  fl4_context_destroy(&ctx);
  return status == FL4_OK ? 0 : 1;
}

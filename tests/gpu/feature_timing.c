/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is not dense attention beside the dense call that it stands for: a window beside the causal mask, ragged sequences
 * beside as many equal ones, pages beside contiguous keys, a bias beside none, a mask of bytes that hides most tiles beside
 * none. Graphs of calls, replayed in turn; a line of JSON
 * each: medians, and the median of the ratios of neighbours. bf16, D 128.
 */
#include <cuda_runtime_api.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <flashl4/flashl4.h>

enum { ROUNDS = 25 };

static void check_cuda(cudaError_t error)
{
  if (error == cudaSuccess) return;
  fprintf(stderr, "feature_timing: %s\n", cudaGetErrorString(error));
  exit(1);
}

static void check(fl4_status status)
{
  if (status == FL4_OK) return;
  fprintf(stderr, "feature_timing: %s\n", fl4_last_error());
  exit(1);
}

/* Memory of random bits that are numbers from -2 to 2 as bf16. */
static void *numbers(size_t n)
{
  void *memory;
  uint16_t *host = malloc(n * 2);
  if (!host) exit(1);
  uint32_t state = 1;
  for (size_t i = 0; i < n; i++) {
    state = state * 1664525u + 1013904223u;
    host[i] = (uint16_t)((state >> 31) << 15 | (0x3f00 + (state >> 16 & 0xff)));
  }
  check_cuda(cudaMalloc(&memory, n * 2));
  check_cuda(cudaMemcpy(memory, host, n * 2, cudaMemcpyHostToDevice));
  free(host);
  return memory;
}

static void *integers(const int32_t *from, int n)
{
  void *memory;
  check_cuda(cudaMalloc(&memory, (size_t)n * 4));
  check_cuda(cudaMemcpy(memory, from, (size_t)n * 4, cudaMemcpyHostToDevice));
  return memory;
}

typedef struct contender {
  fl4_attention_args args;
  cudaGraphExec_t graph;
  cudaEvent_t begin, end;
  int calls;
  char variant[128];
} contender;

static contender prepare(fl4_context *ctx, cudaStream_t stream, fl4_attention_args args)
{
  contender c = {.args = args};
  fl4_plan_info info = FL4_PLAN_INFO_INIT;
  cudaGraph_t graph;
  float ms;
  check(fl4_attention_plan_info(ctx, &args, &info));
  memcpy(c.variant, info.variant, sizeof c.variant);
  if (info.workspace_bytes) {
    check_cuda(cudaMalloc(&c.args.workspace, info.workspace_bytes));
    check_cuda(cudaMemset(c.args.workspace, 0, info.workspace_bytes));
    c.args.workspace_size = info.workspace_bytes;
  }
  check_cuda(cudaEventCreate(&c.begin));
  check_cuda(cudaEventCreate(&c.end));
  check(fl4_attention_forward(ctx, &c.args, stream));
  check_cuda(cudaEventRecord(c.begin, stream));
  check(fl4_attention_forward(ctx, &c.args, stream));
  check_cuda(cudaEventRecord(c.end, stream));
  check_cuda(cudaEventSynchronize(c.end));
  check_cuda(cudaEventElapsedTime(&ms, c.begin, c.end));
  c.calls = ms > 2 ? 1 : (int)(2 / (ms + 0.005f)) + 1;
  check_cuda(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
  for (int i = 0; i < c.calls; i++) check(fl4_attention_forward(ctx, &c.args, stream));
  check_cuda(cudaStreamEndCapture(stream, &graph));
  check_cuda(cudaGraphInstantiate(&c.graph, graph, 0));
  check_cuda(cudaGraphDestroy(graph));
  return c;
}

static double microseconds(const contender *c, cudaStream_t stream)
{
  float ms;
  check_cuda(cudaEventRecord(c->begin, stream));
  check_cuda(cudaGraphLaunch(c->graph, stream));
  check_cuda(cudaEventRecord(c->end, stream));
  check_cuda(cudaEventSynchronize(c->end));
  check_cuda(cudaEventElapsedTime(&ms, c->begin, c->end));
  return (double)ms * 1000 / c->calls;
}

static int by_value(const void *a, const void *b)
{
  const double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static double median(double *x)
{
  qsort(x, ROUNDS, sizeof *x, by_value);
  return x[ROUNDS / 2];
}

static void compare(const char *what, fl4_context *ctx, cudaStream_t stream, fl4_attention_args feature,
                    fl4_attention_args dense)
{
  contender a = prepare(ctx, stream, feature), b = prepare(ctx, stream, dense);
  double us_a[ROUNDS], us_b[ROUNDS], ratio[ROUNDS];
  for (int i = -3; i < ROUNDS; i++) {
    const double x = microseconds(&a, stream), y = microseconds(&b, stream);
    if (i < 0) continue;
    us_a[i] = x, us_b[i] = y, ratio[i] = x / y;
  }
  printf("{\"what\": \"%s\", \"us\": %.2f, \"dense_us\": %.2f, \"ratio\": %.4f, \"variant\": \"%s\", "
         "\"dense_variant\": \"%s\"}\n",
         what, median(us_a), median(us_b), median(ratio), a.variant, b.variant);
  fflush(stdout);
  check_cuda(cudaGraphExecDestroy(a.graph));
  check_cuda(cudaGraphExecDestroy(b.graph));
  cudaFree(a.args.workspace), cudaFree(b.args.workspace);
}

/* A mask [i][j] of bytes: documents of `length` tokens that see nothing of each other, and a band of `band` keys before each query. */
static void *sparse_mask(int n, int length, int band)
{
  void *memory;
  unsigned char *host = calloc((size_t)n, (size_t)n);
  if (!host) exit(1);
  for (int i = 0; i < n; i++) {
    const int first = i - band + 1 > i / length * length ? i - band + 1 : i / length * length;
    memset(host + (size_t)i * (size_t)n + first, 1, (size_t)(i - first + 1));
  }
  check_cuda(cudaMalloc(&memory, (size_t)n * (size_t)n));
  check_cuda(cudaMemcpy(memory, host, (size_t)n * (size_t)n, cudaMemcpyHostToDevice));
  free(host);
  return memory;
}

int main(void)
{
  enum { D = 128, HQ = 32, HKV = 8, TOKENS = 16384, PAGE = 16 };
  fl4_context_options options = FL4_CONTEXT_OPTIONS_INIT;
  fl4_context *ctx;
  cudaStream_t stream;
  options.device = "cuda";
  check(fl4_context_create(&ctx, &options));
  check_cuda(cudaStreamCreate(&stream));
  fl4_attention_args dense = FL4_ATTENTION_ARGS_INIT;
  dense.dtype = FL4_DTYPE_BF16, dense.mask = FL4_MASK_CAUSAL;
  dense.B = 1, dense.Hq = HQ, dense.Hkv = HKV, dense.Sq = dense.Sk = TOKENS, dense.D = D;
  dense.q = numbers((size_t)TOKENS * HQ * D), dense.o = numbers((size_t)TOKENS * HQ * D);
  dense.k = numbers((size_t)TOKENS * HKV * D), dense.v = numbers((size_t)TOKENS * HKV * D);

  fl4_attention_args a = dense;
  a.mask = FL4_MASK_WINDOW, a.window_left = 1023;
  compare("window of 1024 at 16384, beside causal", ctx, stream, a, dense);

  /* As many tokens as ragged sequences: equal ones, and very unequal ones beside what they are by themselves. */
  int32_t equal[9], unequal[66];
  for (int i = 0; i < 9; i++) equal[i] = i * (TOKENS / 8);
  fl4_attention_args b = dense;
  b.B = 8, b.Sq = b.Sk = TOKENS / 8;
  b.q_stride[0] = b.o_stride[0] = (int64_t)TOKENS / 8 * HQ * D, b.q_stride[1] = b.o_stride[1] = D,
  b.q_stride[2] = b.o_stride[2] = HQ * D;
  b.k_stride[0] = b.v_stride[0] = (int64_t)TOKENS / 8 * HKV * D, b.k_stride[1] = b.v_stride[1] = D,
  b.k_stride[2] = b.v_stride[2] = HKV * D;
  for (int causal = 0; causal < 2; causal++) {
    b.mask = causal ? FL4_MASK_CAUSAL : FL4_MASK_NONE;
    a = b, a.cu_seqlens_q = a.cu_seqlens_k = integers(equal, 9), a.total_q = a.total_k = TOKENS;
    compare(causal ? "8 ragged sequences of 2048, causal" : "8 ragged sequences of 2048, full", ctx, stream, a, b);
  }
  for (int i = 0; i < 65; i++) unequal[i] = i < 20 ? i * 100 : i == 20 ? 2000 : TOKENS - (64 - i) * 100;
  a = b, a.mask = FL4_MASK_CAUSAL, a.B = 64, a.Sq = a.Sk = TOKENS;
  a.cu_seqlens_q = a.cu_seqlens_k = integers(unequal, 65), a.total_q = a.total_k = TOKENS;
  b = dense, b.Sq = b.Sk = unequal[21] - unequal[20];
  compare("one long sequence among 63 of 100, causal, beside it alone", ctx, stream, a, b);

  int32_t table[TOKENS / PAGE];
  for (int i = 0; i < TOKENS / PAGE; i++) table[i] = (int32_t)((i * 389u) % (TOKENS / PAGE));
  for (int page = PAGE; page <= 64; page *= 4) {
    a = dense, a.page_size = page, a.n_pages = TOKENS / page;
    for (int i = 0; i < TOKENS / page; i++) table[i] = (int32_t)((i * 389u) % (unsigned)(TOKENS / page));
    a.block_table = integers(table, TOKENS / page);
    compare(page == 16 ? "pages of 16, prefill" : "pages of 64, prefill", ctx, stream, a, dense);
  }

  /* What a window and what sequences could say, said by a mask. */
  a = dense, a.bias_type = FL4_BIAS_BOOL, a.bias_stride[2] = TOKENS, a.bias_stride[3] = 1;
  a.bias = sparse_mask(TOKENS, TOKENS, 1024);
  compare("mask bool [i][j] of a band of 1024 at 16384, beside causal", ctx, stream, a, dense);
  a.bias = sparse_mask(TOKENS, 2048, TOKENS);
  compare("mask bool [i][j] of 8 documents of 2048 at 16384, beside causal", ctx, stream, a, dense);

  fl4_attention_args small = dense;
  small.Sq = small.Sk = 4096, small.Hkv = HQ / 4;
  void *bias = numbers((size_t)4096 * 4096 * HQ);
  for (int causal = 0; causal < 2; causal++) {
    small.mask = causal ? FL4_MASK_CAUSAL : FL4_MASK_NONE;
    a = small, a.bias = bias, a.bias_type = FL4_BIAS_BF16;
    compare(causal ? "bias bf16 [b][h][i][j], 4096, causal" : "bias bf16 [b][h][i][j], 4096, full", ctx, stream, a,
            small);
    a.bias_stride[2] = 4096, a.bias_stride[3] = 1;
    compare(causal ? "bias bf16 [i][j], 4096, causal" : "bias bf16 [i][j], 4096, full", ctx, stream, a, small);
    a.bias_type = FL4_BIAS_BOOL;
    compare(causal ? "mask bool [i][j], 4096, causal" : "mask bool [i][j], 4096, full", ctx, stream, a, small);
    a = small, a.softcap = 30;
    compare(causal ? "softcap, 4096, causal" : "softcap, 4096, full", ctx, stream, a, small);
    a = small, a.alibi_slopes = (const float *)bias;
    compare(causal ? "ALiBi, 4096, causal" : "ALiBi, 4096, full", ctx, stream, a, small);
    a = small, a.sinks = (const float *)bias;
    compare(causal ? "sinks, 4096, causal" : "sinks, 4096, full", ctx, stream, a, small);
  }
  fl4_context_destroy(&ctx);
  return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * soak [SECONDS]: some problems again and again, each result held to the first one's bits, while another stream writes memory
 * without a pause: a copy that lands late, a barrier passed too early or a ticket drawn twice show as a difference sooner
 * or later. A line for each problem; exit 1 if one differs or has not had its 1000 turns in time (35 s). Run by
 * tests/gpu/run.sh.
 */
#include <cuda_runtime_api.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <flashl4/flashl4.h>

#include "oracle/check.h"
#include "util/os.h"

enum { TURNS = 1000, NOISE_BYTES = 1 << 30, MOST_JOBS = 16 };

/* By schedule and head dimension; `workspace`: the caller's own, else one from the stream. */
typedef struct job {
  const char *variant, *line;
  bool workspace;
} job;

static const job jobs_of_sm_90[] = {
    {"fwd_wgmma", "hq8sq512d64", false},
    {"fwd_wgmma", "b4hq16sq700d64", false},
    {"fwd_wgmma:sched=2", "b4hq16hkv4sq500d64:causal:lse", true},
    {"fwd_wgmma", "b2hq16sq700sk1333d128", false},
    {"fwd_wgmma:sched=2", "b2hq16hkv2sq640d128:bf16:causal", true},
    {"fwd_wgmma:sched=2", "b2hq16hkv2sq640d128:bf16:causal", false},
    {"fwd_wgmma:groups=3,bn=80,stages=2,qbuf=2,pingpong=1,sched=1", "b2hq24sq600d128:causal", false},
    {"fwd_wgmma:groups=4,bn=64,stages=2,qbuf=1,pingpong=1,sched=2", "b4hq24sq500d64:causal", true},
    {"fwd_wgmma", "b2hq16sq600d256:lse", false},
    {"fwd_wgmma:sched=2", "b3hq16sq400sk600d256:bf16:causal", true},
    {"fwd_wgmma", "b5hq8hkv1sq65sk191d40:causal:lse", false},
};
static const job jobs_of_all[] = {
    {"fwd_mma", "b2hq16sq500d128:causal", false},
    {"fwd_mma:bm=128,bn=64,warps=8,stages=2,qreg=0,slice=32,weave=0,kgroups=1,share=1,splits=1,ctas=1",
     "b2hq16sq500d256:bf16:causal:lse", true},
    {"fwd_mma:bm=64,bn=80,warps=4,stages=2,qreg=1,slice=80,weave=0,kgroups=1,splits=8,ctas=1",
     "b2hq8sq333sk517d64:causal:lse", true},
};
enum { N_SM_90 = sizeof jobs_of_sm_90 / sizeof *jobs_of_sm_90, N_ALL = sizeof jobs_of_all / sizeof *jobs_of_all };
_Static_assert(N_SM_90 + N_ALL <= MOST_JOBS, "room for all");

/* A problem on the GPU: its context, its buffers there, and its first result and the latest one here. */
typedef struct state {
  job job;
  fl4_context *ctx;
  fl4_attention_args args;
  char *input, *result;
  char *first, *latest; /* page-locked */
  size_t bytes;         /* of the result: O with its guards, then the LSE */
  const char *error;
} state;

static cudaStream_t stream;
static double started_ms;

/* ---------------------------------------------------------------- noise */

static atomic_bool quiet;
static long long noise_bytes;

/* Fills and copies a gigabyte, some of each queued at a time. */
static void *make_noise(void *memory)
{
  cudaStream_t other;
  char *to = memory, *from = to + NOISE_BYTES;
  if (cudaStreamCreateWithFlags(&other, cudaStreamNonBlocking) != cudaSuccess) return NULL;
  for (int i = 0; !atomic_load(&quiet); i++) {
    for (int k = 0; k < 4; k++) {
      cudaMemsetAsync(to, i + k, NOISE_BYTES, other);
      cudaMemcpyAsync(from, to, NOISE_BYTES, cudaMemcpyDeviceToDevice, other);
      noise_bytes += 2 * (long long)NOISE_BYTES;
    }
    if (cudaStreamSynchronize(other) != cudaSuccess) break;
  }
  cudaStreamDestroy(other);
  return NULL;
}

/* ---------------------------------------------------------------- a problem */

static const char *failed(cudaError_t error)
{
  return error == cudaSuccess ? NULL : cudaGetErrorString(error);
}

#define TRY(expr)                                                                                                      \
  do {                                                                                                                 \
    const char *error_ = (expr);                                                                                       \
    if (error_) return error_;                                                                                         \
  } while (0)
#define TRY_FL4(expr) TRY((expr) == FL4_OK ? NULL : fl4_last_error())
#define TRY_CUDA(expr) TRY(failed(expr))

/* Seeded inputs on the GPU, and room for results. */
static const char *set_up(state *s)
{
  fl4_problem p = FL4_PROBLEM_INIT;
  fl4__placement at;
  TRY_FL4(fl4_problem_parse(s->job.line, &p));
  TRY_FL4(fl4__place(&p, &at));
  const size_t input = (size_t)at.input_elements * 2, o = ((size_t)at.output_elements * 2 + 15) / 16 * 16;
  s->bytes = o + (size_t)at.lse_elements * 4;
  char *host = malloc(input);
  if (!host) return "no memory";
  fl4__inputs_fill(&p, &at, 1, FL4_INPUTS_NORMAL, host);
  const cudaError_t error = cudaMalloc((void **)&s->input, input);
  if (error == cudaSuccess) cudaMemcpy(s->input, host, input, cudaMemcpyHostToDevice);
  free(host);
  TRY_CUDA(error);
  TRY_CUDA(cudaMalloc((void **)&s->result, s->bytes));
  TRY_CUDA(cudaMallocHost((void **)&s->first, s->bytes));
  TRY_CUDA(cudaMallocHost((void **)&s->latest, s->bytes));

  fl4_attention_args *a = &s->args;
  *a = (fl4_attention_args)FL4_ATTENTION_ARGS_INIT;
  a->dtype = p.dtype, a->mask = p.mask, a->scale = p.scale;
  a->B = p.B, a->Hq = p.Hq, a->Hkv = p.Hkv, a->Sq = p.Sq, a->Sk = p.Sk, a->D = p.D;
  a->q = s->input + at.q.offset * 2, a->k = s->input + at.k.offset * 2, a->v = s->input + at.v.offset * 2;
  a->o = s->result + at.o.offset * 2;
  a->lse = p.lse ? (float *)(void *)(s->result + o) + at.lse_offset : NULL;
  TRY_FL4(fl4_attention_workspace_size(s->ctx, a, &a->workspace_size));
  if (s->job.workspace && a->workspace_size == 0) return "needs no workspace, and should";
  if (!s->job.workspace) return NULL;
  TRY_CUDA(cudaMalloc(&a->workspace, a->workspace_size));
  TRY_CUDA(cudaMemset(a->workspace, 0, a->workspace_size));
  return NULL;
}

/* Makes the context, holds its result to the oracle's, and prepares the rest. */
static const char *open_job(state *s)
{
  fl4_problem p = FL4_PROBLEM_INIT;
  fl4_check_result r = FL4_CHECK_RESULT_INIT;
  fl4_context_options options = FL4_CONTEXT_OPTIONS_INIT;
  options.device = "cuda", options.variant = s->job.variant;
  TRY_FL4(fl4_context_create(&s->ctx, &options));
  TRY_FL4(fl4_problem_parse(s->job.line, &p));
  TRY_FL4(fl4_check(s->ctx, &p, NULL, &r));
  if (!r.passed) return "the check fails";
  return set_up(s);
}

static void *open_in_thread(void *arg)
{
  state *s = arg;
  cudaSetDevice(0);
  s->error = open_job(s);
  if (s->error) s->error = strdup(s->error); /* the last error is the thread's */
  return NULL;
}

static void close_job(state *s)
{
  fl4_context_destroy(&s->ctx);
  cudaFree(s->input);
  cudaFree(s->result);
  cudaFree(s->args.workspace);
  cudaFreeHost(s->first);
  cudaFreeHost(s->latest);
}

/* One turn into poisoned memory. */
static const char *turn(state *s, char *to)
{
  TRY_CUDA(cudaMemsetAsync(s->result, 0xff, s->bytes, stream));
  TRY_FL4(fl4_attention_forward(s->ctx, &s->args, stream));
  TRY_CUDA(cudaMemcpyAsync(to, s->result, s->bytes, cudaMemcpyDeviceToHost, stream));
  return failed(cudaStreamSynchronize(stream));
}

/* Byte, of the first differing one. */
static size_t first_difference(const state *s)
{
  size_t i = 0;
  while (i < s->bytes && s->first[i] == s->latest[i]) i++;
  return i;
}

static const char *soak(state *s, double until_ms, int *turns, int *different)
{
  TRY(turn(s, s->first));
  for (*turns = 1; *turns < TURNS && fl4__now_ms() < until_ms; ++*turns) {
    TRY(turn(s, s->latest));
    if (memcmp(s->first, s->latest, s->bytes) == 0) continue;
    if ((*different)++ == 0)
      printf("%s %s: turn %d differs at byte %zu of %zu\n", s->job.variant, s->job.line, *turns, first_difference(s),
             s->bytes);
  }
  return NULL;
}

/* ---------------------------------------------------------------- all of them */

static bool run(state *s, double until_ms)
{
  int turns = 0, different = 0;
  const double start = fl4__now_ms();
  const char *error = s->error ? s->error : soak(s, until_ms, &turns, &different);
  const bool good = !error && different == 0 && turns == TURNS;
  printf("%s %s %s%s: %d turns in %.1f s, %d different%s%s\n", good ? "ok    " : "FAILED", s->job.variant, s->job.line,
         s->job.workspace ? ", own workspace" : "", turns, (fl4__now_ms() - start) / 1e3, different, error ? "; " : "",
         error ? error : "");
  fflush(stdout);
  return good;
}

int main(int argc, char **argv)
{
  static state states[MOST_JOBS];
  fl4_device_info device = FL4_DEVICE_INFO_INIT;
  if (fl4_device_get_info(0, &device) != FL4_OK || device.kind != FL4_DEVICE_CUDA) return puts("no CUDA device"), 77;
  const double seconds = argc > 1 ? atof(argv[1]) : 35;
  started_ms = fl4__now_ms();
  int n = 0;
  for (int i = 0; i < N_SM_90 && device.sm == 90; i++) states[n++].job = jobs_of_sm_90[i];
  for (int i = 0; i < N_ALL; i++) states[n++].job = jobs_of_all[i];

  /* Kernels compile at the same time. */
  pthread_t threads[MOST_JOBS];
  for (int i = 0; i < n; i++)
    if (pthread_create(&threads[i], NULL, open_in_thread, &states[i]) != 0) return puts("no thread"), 1;
  for (int i = 0; i < n; i++) pthread_join(threads[i], NULL);
  printf("set up in %.1f s\n", (fl4__now_ms() - started_ms) / 1e3);

  void *memory;
  pthread_t noise;
  if (cudaMalloc(&memory, 2 * (size_t)NOISE_BYTES) != cudaSuccess) return puts("no memory"), 1;
  if (cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking) != cudaSuccess) return puts("no stream"), 1;
  if (pthread_create(&noise, NULL, make_noise, memory) != 0) return puts("no thread"), 1;
  int bad = 0;
  const double start = fl4__now_ms();
  for (int i = 0; i < n; i++) bad += !run(&states[i], started_ms + seconds * 1e3);
  const double ms = fl4__now_ms() - start;
  atomic_store(&quiet, true);
  pthread_join(noise, NULL);
  printf("%d problems, %d failed, %.1f s; meanwhile another stream moved %.0f GB/s\n", n, bad, ms / 1e3,
         (double)noise_bytes / ms / 1e6);
  for (int i = 0; i < n; i++) close_job(&states[i]);
  cudaFree(memory);
  return bad > 0 || noise_bytes == 0;
}

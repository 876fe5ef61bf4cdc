/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Serving: prompts of several lengths go into a paged cache, then every sequence grows token by token. On a GPU one such step
 * is captured into a CUDA graph, which is replayed for all of them: lengths live on the device, and grow in the graph itself.
 * Without a GPU, or built without CUDA, the same calls are made in a plain loop on the host device.
 *
 * Queries, keys and values of a token lie side by side, as a fused projection writes them. What comes out is compared with the
 * fp64 oracle: decode_reference.c.
 */
#include <flashl4/flashl4.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "decode_reference.h"

#if ENGINE_CUDA
#include <cuda_runtime_api.h>
#endif

enum { STEPS = 64, PAGE = 16 };

typedef struct engine {
  model m;
  int64_t prompt_tokens, pages; /* of all sequences */
  bool gpu;
  fl4_stream stream;
  fl4_context *ctx;
  /* Memory of the device. */
  uint16_t *prompt, *token; /* rows of new tokens: of the prompts, and of a step */
  uint16_t *k, *v;          /* the cache */
  uint16_t *o;              /* results of a call */
  int32_t *first;           /* where prompts begin */
  int32_t *length, *grown;  /* keys of each sequence before and after a call */
  int32_t *table;           /* which pages are whose */
  float *cosine, *sine;
  void *workspace;
  size_t workspace_size;
} engine;

/* ---------------------------------------------------------------- the device: a GPU, or this machine */

#if ENGINE_CUDA
static void cuda(cudaError_t status)
{
  if (status == cudaSuccess) return;
  fprintf(stderr, "CUDA: %s\n", cudaGetErrorString(status));
  exit(EXIT_FAILURE);
}
#endif

/* Behind what is on the stream, as all work on it; part of the graph while the stream is captured. */
static void copy(const engine *e, void *to, const void *from, size_t bytes)
{
  if (!e->gpu) memcpy(to, from, bytes);
#if ENGINE_CUDA
  if (e->gpu) cuda(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, e->stream));
#endif
}

static void finish(const engine *e)
{
#if ENGINE_CUDA
  if (e->gpu) cuda(cudaStreamSynchronize(e->stream));
#endif
  (void)e;
}

/* Zeroed: a workspace must be, before its first use. */
static void *allocate(const engine *e, size_t bytes)
{
  void *memory = NULL;
  const size_t some = (bytes + 256) / 256 * 256;
  if (!e->gpu) memset(or_die(memory = aligned_alloc(256, some)), 0, some);
#if ENGINE_CUDA
  if (e->gpu) cuda(cudaMalloc(&memory, some)), cuda(cudaMemsetAsync(memory, 0, some, e->stream));
#endif
  return memory;
}

static void *upload(const engine *e, const void *from, size_t bytes)
{
  void *memory = allocate(e, bytes);
  copy(e, memory, from, bytes);
  return memory;
}

static void release(const engine *e, void *memory)
{
  if (!e->gpu) free(memory);
#if ENGINE_CUDA
  if (e->gpu) cuda(cudaFree(memory));
#endif
}

/* ---------------------------------------------------------------- calls */

/* What a layer does with new tokens. */
typedef struct calls {
  fl4_kv_append_args append;
  fl4_attention_args attend;
} calls;

/* One token more of each sequence; `rows` has them. Keys go into the cache, and queries are turned where they are. */
static calls step_calls(const engine *e, uint16_t *rows)
{
  const model *m = &e->m;
  const int64_t D = m->D, row = token_size(m), o_row = (int64_t)m->Hq * D;
  const int64_t in[3] = {row, D, row}, out[3] = {o_row, D, o_row}; /* strides of [b, h, i] */
  fl4_kv_append_args a = FL4_KV_APPEND_ARGS_INIT;
  a.dtype = FL4_DTYPE_BF16, a.B = m->B, a.Hq = m->Hq, a.Hkv = m->Hkv, a.Sn = 1, a.Sk = m->capacity, a.D = D;
  a.q = a.q_out = rows, a.k_new = rows + m->Hq * D, a.v_new = rows + (m->Hq + m->Hkv) * D;
  memcpy(a.q_stride, in, sizeof in), memcpy(a.q_out_stride, in, sizeof in);
  memcpy(a.k_new_stride, in, sizeof in), memcpy(a.v_new_stride, in, sizeof in);
  a.k = e->k, a.v = e->v, a.block_table = e->table, a.n_pages = e->pages, a.page_size = PAGE;
  a.seqused_k = e->length, a.seqused_k_after = e->grown;
  a.rotary = FL4_ROTARY_HALVES, a.rotary_dim = D, a.max_position = m->capacity;
  a.rotary_cos = e->cosine, a.rotary_sin = e->sine;

  fl4_attention_args t = FL4_ATTENTION_ARGS_INIT;
  t.dtype = FL4_DTYPE_BF16, t.B = m->B, t.Hq = m->Hq, t.Hkv = m->Hkv, t.Sq = 1, t.Sk = m->capacity, t.D = D;
  t.mask = FL4_MASK_CAUSAL;
  t.q = rows, t.o = e->o;
  memcpy(t.q_stride, in, sizeof in), memcpy(t.o_stride, out, sizeof out);
  t.k = e->k, t.v = e->v, t.block_table = e->table, t.n_pages = e->pages, t.page_size = PAGE;
  t.seqused_k = e->grown; /* the new keys are among them */
  t.workspace = e->workspace, t.workspace_size = e->workspace_size;
  return (calls){a, t};
}

/* The prompts are ragged: their rows lie one behind the other, and there are as many as tokens. */
static calls prompt_calls(const engine *e)
{
  calls c = step_calls(e, e->prompt);
  c.append.Sn = c.attend.Sq = e->m.longest;
  c.append.total_new = c.attend.total_q = e->prompt_tokens;
  c.append.cu_seqlens_new = c.attend.cu_seqlens_q = e->first;
  return c;
}

/* Compiles what is missing, which a capture cannot; and makes the workspace large enough for this call too. */
static void prepare(engine *e, const calls *c)
{
  size_t bytes;
  fl4(fl4_kv_append_prepare(e->ctx, &c->append));
  fl4(fl4_attention_prepare(e->ctx, &c->attend));
  fl4(fl4_attention_workspace_size(e->ctx, &c->attend, &bytes));
  if (bytes <= e->workspace_size) return;
  release(e, e->workspace);
  e->workspace = allocate(e, bytes), e->workspace_size = bytes;
}

/* The lengths that it leaves are those that the next one begins with. */
static void run(const engine *e, const calls *c)
{
  fl4(fl4_kv_append(e->ctx, &c->append, e->stream));
  fl4(fl4_attention_forward(e->ctx, &c->attend, e->stream));
  copy(e, e->length, e->grown, (size_t)e->m.B * sizeof *e->length);
}

/*
 * All steps. A step's rows come from `tokens`, its results go to `results`: both are memory of the device, and stand for the
 * rest of the model. Returns how long it took, in seconds.
 */
static double decode(const engine *e, const uint16_t *tokens, uint16_t *results)
{
  const size_t in = (size_t)(e->m.B * token_size(&e->m)), out = (size_t)(e->m.B * e->m.Hq * e->m.D);
  const calls c = step_calls(e, e->token);
  struct timespec start, end;
#if ENGINE_CUDA
  cudaGraph_t graph;
  cudaGraphExec_t exec;
  if (e->gpu) {
    cuda(cudaStreamBeginCapture(e->stream, cudaStreamCaptureModeThreadLocal));
    run(e, &c);
    cuda(cudaStreamEndCapture(e->stream, &graph));
    cuda(cudaGraphInstantiate(&exec, graph, 0));
  }
#endif
  finish(e);
  timespec_get(&start, TIME_UTC);
  for (size_t i = 0; i < STEPS; i++) {
    copy(e, e->token, tokens + i * in, in * sizeof *tokens);
    if (!e->gpu) run(e, &c);
#if ENGINE_CUDA
    if (e->gpu) cuda(cudaGraphLaunch(exec, e->stream));
#endif
    copy(e, results + i * out, e->o, out * sizeof *results);
  }
  finish(e);
  timespec_get(&end, TIME_UTC);
#if ENGINE_CUDA
  if (e->gpu) cuda(cudaGraphExecDestroy(exec)), cuda(cudaGraphDestroy(graph));
#endif
  return (double)(end.tv_sec - start.tv_sec) + 1e-9 * (double)(end.tv_nsec - start.tv_nsec);
}

/* ---------------------------------------------------------------- the whole of it */

static void open_device(engine *e)
{
  fl4_context_options options = FL4_CONTEXT_OPTIONS_INIT;
  if (!ENGINE_CUDA) options.device = "host"; /* else the best there is */
  fl4(fl4_context_create(&e->ctx, &options));
  fl4_device_info info = FL4_DEVICE_INFO_INIT;
  fl4(fl4_context_get_device_info(e->ctx, &info));
  e->gpu = info.kind == FL4_DEVICE_CUDA;
#if ENGINE_CUDA
  if (e->gpu) cuda(cudaSetDevice(info.ordinal)), cuda(cudaStreamCreate(&e->stream));
#endif
  printf("%s", info.name);
}

/* Pages are dealt out in turn, so that none of a sequence is beside the next. An engine would give them out as they are needed. */
static void make_cache(engine *e)
{
  const int columns = (e->m.capacity + PAGE - 1) / PAGE;
  int32_t *table = or_die(malloc((size_t)(e->m.B * columns) * sizeof *table));
  for (int b = 0; b < e->m.B; b++)
    for (int c = 0; c < columns; c++) table[b * columns + c] = c * e->m.B + b;
  e->pages = (int64_t)e->m.B * columns;
  const size_t pool = (size_t)(e->pages * PAGE * e->m.Hkv * e->m.D) * sizeof *e->k;
  e->k = allocate(e, pool), e->v = allocate(e, pool);
  e->table = upload(e, table, (size_t)e->pages * sizeof *table);
  e->length = allocate(e, (size_t)e->m.B * sizeof *e->length); /* nothing is there yet */
  e->grown = allocate(e, (size_t)e->m.B * sizeof *e->grown);
  finish(e), free(table);
}

static void close_engine(engine *e)
{
  void *const memory[] = {e->prompt, e->token, e->k,     e->v,      e->o,    e->first,
                          e->length, e->grown, e->table, e->cosine, e->sine, e->workspace};
  for (size_t i = 0; i < sizeof memory / sizeof *memory; i++) release(e, memory[i]);
#if ENGINE_CUDA
  if (e->gpu) cuda(cudaStreamDestroy(e->stream));
#endif
  fl4_context_destroy(&e->ctx);
}

int main(void)
{
  static const model small = {2, 4, 2, 64, 40, 40 + STEPS}, large = {16, 32, 8, 128, 1000, 1000 + STEPS};
  engine e = {0};
  open_device(&e);
  e.m = e.gpu ? large : small;
  reference r = reference_of(&e.m, STEPS); /* inputs, and what to expect */
  const size_t row = (size_t)token_size(&e.m) * sizeof(uint16_t), o_row = (size_t)(e.m.Hq * e.m.D) * sizeof(uint16_t);
  const size_t tokens = (size_t)(e.prompt_tokens = r.first[e.m.B]), steps = (size_t)(STEPS * e.m.B);
  make_cache(&e);
  e.cosine = upload(&e, r.cosine, (size_t)(e.m.capacity * e.m.D / 2) * sizeof *e.cosine);
  e.sine = upload(&e, r.sine, (size_t)(e.m.capacity * e.m.D / 2) * sizeof *e.sine);
  e.first = upload(&e, r.first, (size_t)(e.m.B + 1) * sizeof *e.first);
  e.prompt = upload(&e, r.prompt, tokens * row);
  e.token = allocate(&e, (size_t)e.m.B * row);
  e.o = allocate(&e, tokens * o_row);
  uint16_t *all = upload(&e, r.steps, steps * row), *results = allocate(&e, steps * o_row);

  calls prompt = prompt_calls(&e), one = step_calls(&e, e.token);
  prepare(&e, &prompt), prepare(&e, &one);
  prompt = prompt_calls(&e); /* now that the workspace is there */
  run(&e, &prompt);
  uint16_t *found = or_die(malloc((tokens + steps) * o_row));
  copy(&e, found, e.o, tokens * o_row);
  const double seconds = decode(&e, all, results);
  copy(&e, found + tokens * o_row / 2, results, steps * o_row);
  finish(&e);

  fl4_plan_info plan = FL4_PLAN_INFO_INIT;
  fl4(fl4_attention_plan_info(e.ctx, &one.attend, &plan));
  printf(", %s: %d sequences, %d steps, %.0f tokens/s of one layer\n", plan.variant, e.m.B, STEPS,
         (double)steps / seconds);
  const int wrong = reference_check(&r, found, STEPS);
  free(found), reference_free(&r);
  release(&e, all), release(&e, results), close_engine(&e);
  return wrong ? EXIT_FAILURE : EXIT_SUCCESS;
}

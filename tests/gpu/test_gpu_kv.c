/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The cache and the merging of parts on the GPU: the cases that the emulated one has too, and decode steps in a graph, which
 * reads lengths anew each time it is replayed.
 */
#include "ahead.h"
#include "append_rig.h"
#include "merge_rig.h"
#include "util/random.h"

enum { N_MERGES = 200, N_APPENDS = 400 };

START_TEST(merges)
{
  fl4_context *ctx = open_context(0);
  char why[512], text[128];
  for (uint64_t seed = 0; seed < N_MERGES; seed++) {
    const merge_case c = merge_random(1000 + seed);
    merge_describe(&c, text);
    ck_assert_msg(merge_run(ctx, &c, why), "%s: %s", text, why);
  }
  fl4_context_destroy(&ctx);
}
END_TEST

START_TEST(appends)
{
  fl4_context *ctx = open_context(0);
  char why[512], text[192];
  for (uint64_t seed = 0; seed < N_APPENDS; seed++) {
    const append_case c = append_random(1000 + seed, false);
    append_describe(&c, text);
    ck_assert_msg(append_run(ctx, &c, why), "%s: %s", text, why);
  }
  fl4_context_destroy(&ctx);
}
END_TEST

/* ---------------------------------------------------------------- a cache that grows */

enum {
  B = 5,
  Hq = 8,
  Hkv = 2,
  D = 64,
  PAGE = 16,
  CAPACITY = 320,
  COLUMNS = CAPACITY / PAGE,
  POOL = B * CAPACITY * Hkv * D,
  LONGEST = 200,
};
static const int32_t prompts[B + 1] = {0, 1, 17, 34, 134, 134 + LONGEST}; /* where they begin */

/* Prompts in a paged cache of bf16, and calls that add some tokens to each sequence. */
typedef struct decoder {
  fl4_context *ctx;
  cudaStream_t stream;
  int tokens;
  uint16_t *k, *v, *k_new, *v_new, *q, *turned, *o;
  float *lse, *cosine, *sine;
  int32_t *before, *after, *table;
  void *workspace;
  fl4_kv_append_args append;
  fl4_attention_args attend;
} decoder;

static void *on_gpu(const void *host, size_t bytes)
{
  void *memory;
  ck_assert_cuda(cudaMalloc(&memory, bytes));
  if (host)
    ck_assert_cuda(cudaMemcpy(memory, host, bytes, cudaMemcpyHostToDevice));
  else
    ck_assert_cuda(cudaMemset(memory, 0xff, bytes)); /* NaN */
  return memory;
}

static void *on_host(const void *memory, size_t bytes)
{
  void *host = malloc(bytes);
  ck_assert_ptr_nonnull(host);
  ck_assert_cuda(cudaMemcpy(host, memory, bytes, cudaMemcpyDeviceToHost));
  return host;
}

/* N(0, 1), about, into memory of the GPU. */
static void put_numbers(uint16_t *memory, int n, uint64_t seed)
{
  fl4__random r;
  fl4__random_init(&r, seed);
  uint16_t *host = malloc((size_t)n * 2);
  ck_assert_ptr_nonnull(host);
  for (int i = 0; i < n; i++) {
    double x = -6;
    for (int j = 0; j < 12; j++) x += fl4__random_unit(&r);
    fl4__store(host, FL4_DTYPE_BF16, i, (float)x);
  }
  ck_assert_cuda(cudaMemcpy(memory, host, (size_t)n * 2, cudaMemcpyHostToDevice));
  free(host);
}

static void make_tables(decoder *d)
{
  static float cosine[CAPACITY * D / 2], sine[CAPACITY * D / 2];
  int32_t table[B * COLUMNS];
  for (int i = 0; i < CAPACITY * D / 2; i++) { /* any two will do */
    cosine[i] = (float)(i % 97) / 97;
    sine[i] = 1 - cosine[i];
  }
  for (int b = 0; b < B; b++)
    for (int c = 0; c < COLUMNS; c++) table[b * COLUMNS + c] = (c * B + b) * 7 % (B * COLUMNS);
  d->cosine = on_gpu(cosine, sizeof cosine), d->sine = on_gpu(sine, sizeof sine);
  d->table = on_gpu(table, sizeof table);
}

/* Calls of `tokens` for each sequence, on rows [b][i][h][d]. */
static void make_calls(decoder *d)
{
  fl4_kv_append_args a = FL4_KV_APPEND_ARGS_INIT;
  a.dtype = FL4_DTYPE_BF16, a.B = B, a.Hq = Hq, a.Hkv = Hkv, a.Sn = d->tokens, a.Sk = CAPACITY, a.D = D;
  const int64_t kv_row[3] = {(int64_t)d->tokens * Hkv * D, D, Hkv * D};
  const int64_t q_row[3] = {(int64_t)d->tokens * Hq * D, D, Hq * D};
  a.k_new = d->k_new, a.v_new = d->v_new, a.k = d->k, a.v = d->v, a.q = d->q, a.q_out = d->turned;
  memcpy(a.k_new_stride, kv_row, sizeof kv_row), memcpy(a.v_new_stride, kv_row, sizeof kv_row);
  memcpy(a.q_stride, q_row, sizeof q_row), memcpy(a.q_out_stride, q_row, sizeof q_row);
  a.block_table = d->table, a.n_pages = B * COLUMNS, a.page_size = PAGE;
  a.rotary = FL4_ROTARY_HALVES, a.rotary_dim = D, a.max_position = CAPACITY;
  a.rotary_cos = d->cosine, a.rotary_sin = d->sine;
  a.seqused_k = d->before, a.seqused_k_after = d->after;
  d->append = a;

  fl4_attention_args t = FL4_ATTENTION_ARGS_INIT;
  t.dtype = FL4_DTYPE_BF16, t.mask = FL4_MASK_CAUSAL;
  t.B = B, t.Hq = Hq, t.Hkv = Hkv, t.Sq = d->tokens, t.Sk = CAPACITY, t.D = D;
  t.q = d->turned, t.k = d->k, t.v = d->v, t.o = d->o, t.lse = d->lse;
  memcpy(t.q_stride, q_row, sizeof q_row), memcpy(t.o_stride, q_row, sizeof q_row);
  t.block_table = d->table, t.n_pages = B * COLUMNS, t.page_size = PAGE, t.seqused_k = d->after;
  d->attend = t;
}

/* The prompts' keys and values, all else in the cache is NaN. */
static void put_prompts(decoder *d)
{
  const int rows = prompts[B];
  uint16_t *k = on_gpu(NULL, (size_t)rows * Hkv * D * 2), *v = on_gpu(NULL, (size_t)rows * Hkv * D * 2);
  int32_t *first = on_gpu(prompts, sizeof prompts);
  put_numbers(k, rows * Hkv * D, 1), put_numbers(v, rows * Hkv * D, 2);
  fl4_kv_append_args a = d->append;
  a.q = NULL, a.q_out = NULL, a.k_new = k, a.v_new = v, a.Sn = LONGEST;
  a.cu_seqlens_new = first, a.total_new = rows, a.seqused_k = NULL;
  ck_assert_fl4(fl4_kv_append(d->ctx, &a, d->stream));
  ck_assert_cuda(cudaMemcpyAsync(d->before, d->after, B * 4, cudaMemcpyDeviceToDevice, d->stream));
  ck_assert_cuda(cudaStreamSynchronize(d->stream));
  cudaFree(k), cudaFree(v), cudaFree(first);
}

static decoder open_decoder(fl4_context *ctx, int tokens)
{
  decoder d = {.ctx = ctx, .tokens = tokens};
  const size_t rows = (size_t)(B * tokens);
  d.k = on_gpu(NULL, (size_t)POOL * 2), d.v = on_gpu(NULL, (size_t)POOL * 2);
  d.k_new = on_gpu(NULL, rows * Hkv * D * 2), d.v_new = on_gpu(NULL, rows * Hkv * D * 2);
  d.q = on_gpu(NULL, rows * Hq * D * 2), d.turned = on_gpu(NULL, rows * Hq * D * 2);
  d.o = on_gpu(NULL, rows * Hq * D * 2), d.lse = on_gpu(NULL, rows * Hq * 4);
  d.before = on_gpu(NULL, B * 4), d.after = on_gpu(NULL, B * 4);
  ck_assert_cuda(cudaStreamCreateWithFlags(&d.stream, cudaStreamNonBlocking));
  make_tables(&d);
  make_calls(&d);
  return d;
}

static void close_decoder(decoder *d)
{
  void *const memory[] = {d->k,   d->v,      d->k_new, d->v_new,  d->q,     d->turned, d->o,
                          d->lse, d->cosine, d->sine,  d->before, d->after, d->table,  d->workspace};
  for (size_t i = 0; i < sizeof memory / sizeof *memory; i++) cudaFree(memory[i]);
  cudaStreamDestroy(d->stream);
  fl4_context_destroy(&d->ctx);
}

static void take_workspace(decoder *d)
{
  size_t bytes = 0;
  ck_assert_fl4(fl4_attention_workspace_size(d->ctx, &d->attend, &bytes));
  if (!bytes) return;
  d->workspace = on_gpu(NULL, bytes);
  ck_assert_cuda(cudaMemset(d->workspace, 0, bytes));
  d->attend.workspace = d->workspace, d->attend.workspace_size = bytes;
}

/* New tokens for each sequence. */
static void put_tokens(const decoder *d, uint64_t seed)
{
  put_numbers(d->k_new, B * d->tokens * Hkv * D, 3 * seed);
  put_numbers(d->v_new, B * d->tokens * Hkv * D, 3 * seed + 1);
  put_numbers(d->q, B * d->tokens * Hq * D, 3 * seed + 2);
}

/* A step as it is captured: `counts` has it leave the lengths for the next one. */
static cudaGraphExec_t capture(const decoder *d, bool counts)
{
  cudaGraph_t graph;
  cudaGraphExec_t exec;
  ck_assert_fl4(fl4_kv_append_prepare(d->ctx, &d->append));
  ck_assert_fl4(fl4_attention_prepare(d->ctx, &d->attend));
  ck_assert_cuda(cudaStreamBeginCapture(d->stream, cudaStreamCaptureModeGlobal));
  ck_assert_fl4(fl4_kv_append(d->ctx, &d->append, d->stream));
  ck_assert_fl4(fl4_attention_forward(d->ctx, &d->attend, d->stream));
  if (counts) ck_assert_cuda(cudaMemcpyAsync(d->before, d->after, B * 4, cudaMemcpyDeviceToDevice, d->stream));
  ck_assert_cuda(cudaStreamEndCapture(d->stream, &graph));
  ck_assert_cuda(cudaGraphInstantiate(&exec, graph, 0));
  ck_assert_cuda(cudaGraphDestroy(graph));
  return exec;
}

/* Lengths are these, and results those of the oracle for what is in the cache. Appended rows are the rig's affair. */
static void expect(const decoder *d, const int32_t lengths[B])
{
  fl4_attention_args a = d->attend;
  const int rows = B * Hq * d->tokens;
  int32_t *after = on_host(d->after, B * 4);
  for (int b = 0; b < B; b++) ck_assert_int_eq(after[b], lengths[b]);
  uint16_t *q = on_host(d->turned, (size_t)(rows * D) * 2), *o = on_host(d->o, (size_t)(rows * D) * 2);
  uint16_t *k = on_host(d->k, (size_t)POOL * 2), *v = on_host(d->v, (size_t)POOL * 2);
  float *lse = on_host(d->lse, (size_t)rows * 4);
  int32_t *table = on_host(d->table, B * COLUMNS * 4);
  double *ref = malloc((size_t)(rows * D) * sizeof *ref), *low = malloc((size_t)(rows * D) * sizeof *low),
         *ref_lse = malloc((size_t)rows * sizeof *ref_lse);
  a.q = q, a.k = k, a.v = v, a.block_table = table, a.seqused_k = after;
  ck_assert_fl4(fl4_oracle_fp64(&a, NULL, 0, ref, low, ref_lse));
  fl4__compare c;
  fl4__compare_init(&c, FL4_DTYPE_BF16, D);
  for (int n = 0; n < rows; n++) {
    const int i = n % d->tokens, h = n / d->tokens % Hq, b = n / d->tokens / Hq;
    for (int e = 0; e < D; e++)
      fl4__compare_add(&c, (const int64_t[4]){b, h, i, e},
                       (double)fl4__load(o, FL4_DTYPE_BF16, ((b * d->tokens + i) * Hq + h) * D + e), ref[n * D + e],
                       low[n * D + e]);
    fl4__compare_lse(&c, (double)lse[n], ref_lse[n]);
  }
  fl4_check_result r = FL4_CHECK_RESULT_INIT;
  fl4__compare_judge(&c, true, &r);
  ck_assert_msg(r.finite && r.accurate && r.lse_accurate,
                "max error %g of %g, LSE %g of %g; at b%lld h%lld i%lld d%lld is %g, must be %g", r.max_error,
                r.max_allowed, r.lse_error, r.lse_allowed, (long long)r.worst[0], (long long)r.worst[1],
                (long long)r.worst[2], (long long)r.worst[3], r.worst_out, r.worst_ref);
  free(q), free(o), free(k), free(v), free(lse), free(table), free(after), free(ref), free(low), free(ref_lse);
}

/* ---------------------------------------------------------------- graphs */

static const char *const decoders[] = {NULL, "fwd_mma", "decode_mma", "fwd_wgmma"};

static int decoders_count(void)
{
  return on_hopper() ? 4 : 3;
}

/* One or four tokens a step, with a workspace or none, by each family. */
enum { TOKENS_OR_NOT = 4 };

static decoder decoder_number(int i)
{
  decoder d = open_decoder(open_variant(decoders[i / TOKENS_OR_NOT], 0), i & 1 ? 4 : 1);
  if (i & 2) take_workspace(&d);
  put_prompts(&d);
  return d;
}

/* Captured once, replayed with other tokens and other lengths: as it goes on, back to fewer keys, to none, and on again. */
START_TEST(replay_follows_lengths)
{
  enum { REPLAYS = 9 };
  decoder d = decoder_number(_i);
  cudaGraphExec_t step = capture(&d, false);
  int32_t lengths[B];
  for (int b = 0; b < B; b++) lengths[b] = prompts[b + 1] - prompts[b];
  for (int n = 0; n < REPLAYS; n++) {
    for (int b = 0; b < B && n == 4; b++) lengths[b] /= 2;
    for (int b = 0; b < B && n == 6; b += 2) lengths[b] = 0;
    put_tokens(&d, 10 + (uint64_t)n);
    ck_assert_cuda(cudaMemcpy(d.before, lengths, sizeof lengths, cudaMemcpyHostToDevice));
    ck_assert_cuda(cudaDeviceSynchronize());
    ck_assert_cuda(cudaGraphLaunch(step, d.stream));
    ck_assert_cuda(cudaStreamSynchronize(d.stream));
    for (int b = 0; b < B; b++) lengths[b] += d.tokens;
    expect(&d, lengths);
  }
  cudaGraphExecDestroy(step);
  close_decoder(&d);
}
END_TEST

/* The graph counts for itself: many replays one behind the other, which nobody waits for, up to the end of the longest. */
START_TEST(replay_counts_on)
{
  decoder d = decoder_number(_i);
  const int replays = (CAPACITY - LONGEST) / d.tokens;
  cudaGraphExec_t step = capture(&d, true);
  int32_t lengths[B];
  for (int b = 0; b < B; b++) lengths[b] = prompts[b + 1] - prompts[b] + replays * d.tokens;
  ck_assert_int_eq(lengths[B - 1], CAPACITY);
  put_tokens(&d, 5);
  ck_assert_cuda(cudaDeviceSynchronize());
  for (int n = 0; n < replays; n++) ck_assert_cuda(cudaGraphLaunch(step, d.stream));
  ck_assert_cuda(cudaStreamSynchronize(d.stream));
  expect(&d, lengths);
  cudaGraphExecDestroy(step);
  close_decoder(&d);
}
END_TEST

/* A merge of two parts, of memory that may hold anything. */
static fl4_merge_states_args merge_args(const decoder *d)
{
  static const void *parts[2];
  static const float *lses[2];
  fl4_merge_states_args m = FL4_MERGE_STATES_ARGS_INIT;
  m.dtype = FL4_DTYPE_BF16, m.n = 2, m.B = B, m.Hq = Hq, m.Sq = d->tokens, m.D = D;
  parts[0] = parts[1] = d->turned, lses[0] = lses[1] = d->lse;
  m.parts_list = parts, m.parts_lse_list = lses, m.o = d->o;
  return m;
}

/* During a capture nothing may be compiled: the error says what to do, the capture is unharmed, and doing it helps. */
START_TEST(graph_needs_prepare)
{
  decoder d = open_decoder(open_context(FL4_CONTEXT_NO_DISK_CACHE), 1);
  const fl4_merge_states_args merge = merge_args(&d);
  cudaGraph_t graph;
  size_t nodes = 99;
  ck_assert_cuda(cudaStreamBeginCapture(d.stream, cudaStreamCaptureModeGlobal));
  ck_assert_fl4_fails(fl4_kv_append(d.ctx, &d.append, d.stream), FL4_NOT_PREPARED, "fl4_kv_append_prepare");
  ck_assert_fl4_fails(fl4_attention_forward(d.ctx, &d.attend, d.stream), FL4_NOT_PREPARED, "fl4_attention_prepare");
  ck_assert_fl4_fails(fl4_merge_states(d.ctx, &merge, d.stream), FL4_NOT_PREPARED, "fl4_merge_states_prepare");
  ck_assert_cuda(cudaStreamEndCapture(d.stream, &graph));
  ck_assert_cuda(cudaGraphGetNodes(graph, NULL, &nodes));
  ck_assert_uint_eq(nodes, 0);
  cudaGraphDestroy(graph);

  ck_assert_fl4(fl4_kv_append_prepare(d.ctx, &d.append));
  ck_assert_fl4(fl4_attention_prepare(d.ctx, &d.attend));
  ck_assert_fl4(fl4_merge_states_prepare(d.ctx, &merge));
  ck_assert_cuda(cudaStreamBeginCapture(d.stream, cudaStreamCaptureModeGlobal));
  ck_assert_fl4(fl4_kv_append(d.ctx, &d.append, d.stream));
  ck_assert_fl4(fl4_attention_forward(d.ctx, &d.attend, d.stream));
  ck_assert_fl4(fl4_merge_states(d.ctx, &merge, d.stream));
  ck_assert_cuda(cudaStreamEndCapture(d.stream, &graph));
  cudaGraphDestroy(graph);
  close_decoder(&d);
}
END_TEST

static Suite *suite(void)
{
  Suite *s = suite_create("gpu_kv");
  TCase *t = tcase_create("kv");
  tcase_set_timeout(t, 0);
  tcase_add_unchecked_fixture(t, share_cache, unshare_cache);
  tcase_add_test(t, merges);
  tcase_add_test(t, appends);
  tcase_add_loop_test(t, replay_follows_lengths, 0, TOKENS_OR_NOT * decoders_count());
  tcase_add_loop_test(t, replay_counts_on, 0, TOKENS_OR_NOT * decoders_count());
  tcase_add_test(t, graph_needs_prepare);
  suite_add_tcase(s, t);
  return s;
}

FL4_TEST_MAIN_CUDA(suite)

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A workspace or none, any schedule, graphs, several streams: such calls must give the same bits as a plain one, whose result
 * test_gpu_parity judges.
 */
#include "ahead.h"

/* ---------------------------------------------------------------- schedules and workspaces */

/* More row tiles than a GPU has multiprocessors, of unlike length. */
#define MANY_TILES "b5hq16hkv4sq333sk517d64:causal:lse"
#define MORE_TILES "b5hq20hkv5sq411sk411d128:bf16:causal"

static const char *const with_workspace[] = {
    "fwd_mma:bm=64,bn=80,warps=4,stages=2,qreg=1,slice=80,weave=0,kgroups=1,splits=8,ctas=1",
    "fwd_wgmma:sched=2",
};

/* Given or not, exactly as large as it must be, and used again and again: the same bits, tickets of 0, nothing beyond. */
START_TEST(workspace)
{
  fl4_context *ctx = open_variant(with_workspace[_i], 0);
  gpu_call c = make_call(MANY_TILES, 3), other = make_call(MORE_TILES, 4);
  size_t need = 0, bytes;
  ck_assert_fl4(fl4_attention_workspace_size(ctx, &other.args, &need));
  ck_assert_uint_gt(need, 0);
  ck_assert_fl4(fl4_attention_workspace_size(ctx, &c.args, &need));
  ck_assert_uint_gt(need, 0);

  ck_assert_fl4(fl4_attention_forward(ctx, &c.args, NULL));
  unsigned char *expected = results_of(&c, &bytes);
  give_workspace(ctx, &c);
  give_workspace(ctx, &other);
  ck_assert_uint_eq(c.args.workspace_size, need);
  fl4_attention_args small = c.args;
  small.workspace_size--;
  ck_assert_fl4_fails(fl4_attention_forward(ctx, &small, NULL), FL4_WORKSPACE_TOO_SMALL, "workspace_size");

  /* What lies behind the tickets may be anything. */
  if (need > FL4_TICKET_BYTES)
    ck_assert_cuda(cudaMemset((char *)c.args.workspace + FL4_TICKET_BYTES, 0xff, need - FL4_TICKET_BYTES));
  for (int i = 0; i < 20; i++) {
    clear_output(&c);
    ck_assert_fl4(fl4_attention_forward(ctx, &c.args, NULL));
    unsigned char *found = results_of(&c, &bytes);
    ck_assert_mem_eq(found, expected, bytes);
    free(found);
    check_workspace(&c);
    /* Another problem, of another number of row tiles, with this one's if it is large enough, else with its own. */
    fl4_attention_args between = other.args;
    if (other.args.workspace_size <= need) between.workspace = c.args.workspace, between.workspace_size = need;
    ck_assert_fl4(fl4_attention_forward(ctx, &between, NULL));
    check_workspace(&c);
    check_workspace(&other);
  }
  free(expected);
  free_call(&other);
  free_call(&c);
  fl4_context_destroy(&ctx);
}
END_TEST

/* How row tiles are dealt out, and how many wait in shared memory, must not show in the result. */
START_TEST(schedules_agree)
{
  static const char *const same[] = {
      "fwd_wgmma:groups=2,bn=64,stages=2,qbuf=1,pingpong=0,sched=0",
      "fwd_wgmma:groups=2,bn=64,stages=3,qbuf=2,pingpong=1,sched=0",
      "fwd_wgmma:groups=2,bn=64,stages=2,qbuf=1,pingpong=1,sched=1",
      "fwd_wgmma:groups=2,bn=64,stages=4,qbuf=2,pingpong=0,sched=1",
      "fwd_wgmma:groups=2,bn=64,stages=2,qbuf=2,pingpong=1,sched=2",
      "fwd_wgmma:groups=2,bn=64,stages=3,qbuf=1,pingpong=0,sched=2",
  };
  gpu_call c = make_call(MANY_TILES, 6);
  unsigned char *expected = NULL;
  size_t bytes;
  for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
    fl4_context *ctx = open_variant(same[i], 0);
    clear_output(&c);
    ck_assert_fl4(fl4_attention_forward(ctx, &c.args, NULL));
    unsigned char *found = results_of(&c, &bytes);
    if (!expected) expected = found;
    ck_assert_msg(memcmp(found, expected, bytes) == 0, "%s and %s differ", same[i], same[0]);
    if (found != expected) free(found);
    fl4_context_destroy(&ctx);
  }
  free(expected);
  free_call(&c);
}
END_TEST

/* ---------------------------------------------------------------- graphs and streams */

/* A captured call, replayed with new inputs each time, does what a call does; with its own workspace and without. */
START_TEST(replay_follows_inputs)
{
  fl4_context *ctx = open_variant(with_workspace[_i / 2], 0);
  gpu_call c = make_call(MANY_TILES, 0);
  if (_i % 2) give_workspace(ctx, &c);
  ck_assert_fl4(fl4_attention_prepare(ctx, &c.args));
  cudaStream_t stream;
  cudaGraph_t graph;
  cudaGraphExec_t exec;
  ck_assert_cuda(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  ck_assert_cuda(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
  for (int i = 0; i < 2; i++) ck_assert_fl4(fl4_attention_forward(ctx, &c.args, stream));
  ck_assert_cuda(cudaStreamEndCapture(stream, &graph));
  ck_assert_cuda(cudaGraphInstantiate(&exec, graph, 0));
  const size_t input_bytes = (size_t)c.place.input_elements * 2;
  void *host = malloc(input_bytes);
  ck_assert_ptr_nonnull(host);
  for (uint64_t seed = 1; seed <= 6; seed++) {
    size_t bytes;
    fl4__inputs_fill(&c.problem, &c.place, seed, FL4_INPUTS_NORMAL, host);
    ck_assert_cuda(cudaMemcpy(c.input, host, input_bytes, cudaMemcpyHostToDevice));
    clear_output(&c);
    ck_assert_fl4(fl4_attention_forward(ctx, &c.args, NULL));
    unsigned char *expected = results_of(&c, &bytes);
    clear_output(&c);
    ck_assert_cuda(cudaDeviceSynchronize());
    for (int i = 0; i < 3; i++) ck_assert_cuda(cudaGraphLaunch(exec, stream));
    ck_assert_cuda(cudaStreamSynchronize(stream));
    unsigned char *found = results_of(&c, &bytes);
    ck_assert_mem_eq(found, expected, bytes);
    free(found);
    free(expected);
    if (_i % 2) check_workspace(&c);
  }
  free(host);
  cudaGraphExecDestroy(exec);
  cudaGraphDestroy(graph);
  cudaStreamDestroy(stream);
  free_call(&c);
  fl4_context_destroy(&ctx);
}
END_TEST

/* Two streams of one context at the same time, each with a problem and a workspace of its own, or with none. */
START_TEST(two_streams)
{
  enum { CALLS = 60 };
  fl4_context *ctx = open_variant(with_workspace[_i / 2], 0);
  gpu_call c[2] = {make_call(MANY_TILES, 8), make_call(MORE_TILES, 9)};
  cudaStream_t stream[2];
  unsigned char *expected[2];
  size_t bytes[2];
  for (int i = 0; i < 2; i++) {
    ck_assert_fl4(fl4_attention_forward(ctx, &c[i].args, NULL));
    expected[i] = results_of(&c[i], &bytes[i]);
    if (_i % 2) give_workspace(ctx, &c[i]);
    clear_output(&c[i]);
    ck_assert_cuda(cudaStreamCreateWithFlags(&stream[i], cudaStreamNonBlocking));
  }
  ck_assert_cuda(cudaDeviceSynchronize());
  for (int round = 0; round < 5; round++) {
    for (int call = 0; call < CALLS; call++)
      for (int i = 0; i < 2; i++) ck_assert_fl4(fl4_attention_forward(ctx, &c[i].args, stream[i]));
    ck_assert_cuda(cudaDeviceSynchronize());
    for (int i = 0; i < 2; i++) {
      size_t n;
      unsigned char *found = results_of(&c[i], &n);
      ck_assert_mem_eq(found, expected[i], n);
      free(found);
      if (_i % 2) check_workspace(&c[i]);
      clear_output(&c[i]);
    }
    ck_assert_cuda(cudaDeviceSynchronize());
  }
  for (int i = 0; i < 2; i++) {
    cudaStreamDestroy(stream[i]);
    free(expected[i]);
    free_call(&c[i]);
  }
  fl4_context_destroy(&ctx);
}
END_TEST

static Suite *suite(void)
{
  const int families = gpu_families_count();
  Suite *s = suite_create("gpu_calls");
  TCase *t = tcase_create("calls");
  tcase_add_unchecked_fixture(t, share_cache, unshare_cache);
  tcase_add_loop_test(t, workspace, 0, families);
  if (on_hopper()) tcase_add_test(t, schedules_agree);
  tcase_add_loop_test(t, replay_follows_inputs, 0, 2 * families);
  tcase_add_loop_test(t, two_streams, 0, 2 * families);
  suite_add_tcase(s, t);
  return s;
}

FL4_TEST_MAIN_CUDA(suite)

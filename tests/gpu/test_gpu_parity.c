/* SPDX-License-Identifier: Apache-2.0 */
/* fwd_mma against the oracles on the GPU: the parity grid, and everything off its beaten track. */
#include "gpu_test.h"

static fl4_context *ctx;

static void open_shared(void)
{
  ctx = open_context(FL4_CONTEXT_NO_DISK_CACHE);
}
static void close_shared(void)
{
  fl4_context_destroy(&ctx);
}

static void check(const char *line, int inputs)
{
  fl4_problem problem = FL4_PROBLEM_INIT;
  fl4_check_options options = FL4_CHECK_OPTIONS_INIT;
  fl4_check_result r = FL4_CHECK_RESULT_INIT;
  options.seed = 42, options.inputs = inputs;
  ck_assert_fl4(fl4_problem_parse(line, &problem));
  ck_assert_fl4(fl4_check(ctx, &problem, &options, &r));
  ck_assert_msg(r.passed,
                "%s (%s), %s, %s: finite %d canaries %d deterministic %d accurate %d lse %d; max %g of %g, mean %g of "
                "%g, lse %g of %g; at [%d %d %d %d] %g, should be %g",
                line, fl4_inputs_name((fl4_inputs)inputs), r.variant, r.oracle, r.finite, r.canaries, r.deterministic,
                r.accurate, r.lse_accurate, r.max_error, r.max_allowed, r.mean_error, r.mean_allowed, r.lse_error,
                r.lse_allowed, (int)r.worst[0], (int)r.worst[1], (int)r.worst[2], (int)r.worst[3], r.worst_out,
                r.worst_ref);
}

START_TEST(smoke)
{
  check(fl4_shapes_line("smoke", (size_t)_i), FL4_INPUTS_NORMAL);
}
END_TEST
START_TEST(parity)
{
  check(fl4_shapes_line("parity", (size_t)_i), FL4_INPUTS_NORMAL);
}
END_TEST
START_TEST(extreme)
{
  check(fl4_shapes_line("extreme", (size_t)_i), FL4_INPUTS_NORMAL);
}
END_TEST

START_TEST(head_dims)
{
  char line[FL4_PROBLEM_LINE_MAX];
  const int D = 8 * (_i + 1);
  snprintf(line, sizeof line, "b1hq4hkv2sq203sk333d%d:bf16:causal:lse", D);
  check(line, FL4_INPUTS_NORMAL);
  snprintf(line, sizeof line, "b2hq2sq113sk97d%d:lse:odd", D);
  check(line, FL4_INPUTS_NORMAL);
}
END_TEST

/* Every pair of odd sizes, with and without mask. */
START_TEST(odd_sizes)
{
  static const int sizes[] = {1, 17, 113, 203, 1023, 1025};
  char line[FL4_PROBLEM_LINE_MAX];
  for (int i = 0; i < 6; i++)
    for (int causal = 0; causal < 2; causal++) {
      snprintf(line, sizeof line, "b1hq2sq%dsk%dd128:lse%s", sizes[_i], sizes[i], causal ? ":causal" : "");
      check(line, FL4_INPUTS_NORMAL);
    }
}
END_TEST

START_TEST(inputs)
{
  static const char *const lines[] = {
      "b2hq4sq512sk512d128:lse",       "b2hq4sq512sk512d64:bf16:causal:lse", "b1hq8hkv2sq333sk777d80:causal:lse",
      "b1hq2sq260sk4096d128:bf16:lse", "b1hq2sq1000sk1000d256:causal:lse",
  };
  for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) check(lines[i], _i);
}
END_TEST

START_TEST(groups_and_layouts)
{
  static const char *const lines[] = {
      "b2hq32hkv8sq512d128:bf16:causal:lse",
      "b3hq12hkv1sq257sk511d64:lse",
      "b2hq6hkv3sq200d96:bshd:lse",
      "b2hq8hkv2sq300d128:packed:causal:lse",
      "b2hq8hkv2sq300d72:bf16:packed:lse",
      "b1hq4sq129sk65d40:bshd:causal:lse",
      "b2hq4hkv2sq100sk1000d128:odd:causal",
      "b5hq3sq64sk64d16:bf16:odd",
      "b1hq1sq5000sk40d64:causal:lse",
      "b1hq2sq300sk0d64:lse",
      "b1hq2sq0sk64d64:lse",
      "b0hq2sq64d64:lse",
      "b1hq2sq256d64:scale=1e-6:lse",
      "b1hq2sq256d64:scale=3:causal:lse",
  };
  for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) check(lines[i], FL4_INPUTS_NORMAL);
}
END_TEST

/* Each value of each parameter at least once, also where it is not the default. */
START_TEST(variants)
{
  static const char *const forced[] = {
      "fwd_mma:bm=16,bn=16,warps=1,stages=2,qreg=0,slice=16,weave=0,kgroups=1,splits=1,ctas=1",
      "fwd_mma:bm=32,bn=32,warps=1,stages=3,qreg=1,slice=16,weave=1,kgroups=1,splits=2,ctas=1",
      "fwd_mma:bm=32,bn=48,warps=2,stages=4,qreg=1,slice=48,weave=0,kgroups=1,splits=4,ctas=2",
      "fwd_mma:bm=64,bn=64,warps=2,stages=2,qreg=0,slice=32,weave=1,kgroups=1,splits=1,ctas=2",
      "fwd_mma:bm=64,bn=80,warps=4,stages=2,qreg=1,slice=80,weave=0,kgroups=1,splits=8,ctas=1",
      "fwd_mma:bm=128,bn=96,warps=8,stages=2,qreg=0,slice=96,weave=0,kgroups=1,splits=1,ctas=1",
      "fwd_mma:bm=128,bn=128,warps=8,stages=2,qreg=0,slice=128,weave=0,kgroups=1,splits=1,ctas=1",
      "fwd_mma:bm=256,bn=64,warps=8,stages=3,qreg=0,slice=16,weave=0,kgroups=1,splits=16,ctas=1",
      "fwd_mma:bm=32,bn=64,warps=4,stages=2,qreg=1,slice=16,weave=1,kgroups=2,splits=32,ctas=3",
      "fwd_mma:bm=16,bn=64,warps=4,stages=2,qreg=0,slice=16,weave=0,kgroups=4,splits=2,ctas=4",
      "fwd_mma:bm=64,bn=32,warps=4,stages=4,qreg=1,slice=32,weave=0,kgroups=1,splits=1,ctas=3",
      "fwd_mma:bm=64,bn=16,warps=4,stages=3,qreg=0,slice=16,weave=0,kgroups=1,splits=1,ctas=4",
      "fwd_mma:bm=64,bn=128,warps=8,stages=2,qreg=1,slice=32,weave=1,kgroups=2,splits=1,ctas=1",
      "fwd_mma:bm=32,bn=128,warps=8,stages=2,qreg=1,slice=32,weave=0,kgroups=4,splits=4,ctas=1",
      "fwd_mma:bm=64,bn=64,warps=4,stages=2,qreg=1,slice=64,weave=0,kgroups=1,splits=1,ctas=2",
  };
  static const char *const lines[] = {"b2hq3sq333sk517d64:causal:lse", "b1hq2sq257sk130d96:bf16:lse"};
  fl4_context_options options = FL4_CONTEXT_OPTIONS_INIT;
  options.device = "cuda", options.variant = forced[_i], options.flags = FL4_CONTEXT_NO_DISK_CACHE;
  fl4_context *shared = ctx;
  ck_assert_fl4(fl4_context_create(&ctx, &options));
  for (size_t i = 0; i < 2; i++)
    for (int kind = FL4_INPUTS_NORMAL; kind < FL4_INPUTS_COUNT; kind += FL4_INPUTS_GROWING) check(lines[i], kind);
  fl4_context_destroy(&ctx);
  ctx = shared;
}
END_TEST

static Suite *suite(void)
{
  Suite *s = suite_create("gpu_parity");
  TCase *t = tcase_create("parity");
  tcase_add_unchecked_fixture(t, open_shared, close_shared);
  tcase_add_loop_test(t, smoke, 0, (int)fl4_shapes_count("smoke"));
  tcase_add_loop_test(t, head_dims, 0, 32);
  tcase_add_loop_test(t, odd_sizes, 0, 6);
  tcase_add_loop_test(t, inputs, 0, FL4_INPUTS_COUNT);
  tcase_add_test(t, groups_and_layouts);
  tcase_add_loop_test(t, variants, 0, 15);
  tcase_add_loop_test(t, parity, 0, (int)fl4_shapes_count("parity"));
  tcase_add_loop_test(t, extreme, 0, (int)fl4_shapes_count("extreme"));
  suite_add_tcase(s, t);
  return s;
}

FL4_TEST_MAIN_CUDA(suite)

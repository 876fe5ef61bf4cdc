/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The real kernels on the emulated GPU, through the library's own path from call to launch: every D
 * class, masks, groups, odd sizes, strides, each parameter value; and the same seeds, the same run.
 */
#include <cstdio>

#include "backend.h"
extern "C" {
#include "fl4_test.h"
#include "oracle/check.h"
}

static fl4_context *open_emu(const char *variant)
{
  fl4_context_options o = FL4_CONTEXT_OPTIONS_INIT;
  fl4_context *ctx;
  o.device = "emu", o.variant = variant;
  ck_assert_fl4(fl4_context_create(&ctx, &o));
  return ctx;
}

static void check(fl4_context *ctx, const char *line, fl4_inputs inputs)
{
  fl4_problem problem = FL4_PROBLEM_INIT;
  fl4_check_options options = FL4_CHECK_OPTIONS_INIT;
  fl4_check_result r = FL4_CHECK_RESULT_INIT;
  options.seed = 5, options.inputs = inputs;
  ck_assert_fl4(fl4_problem_parse(line, &problem));
  ck_assert_fl4(fl4_check(ctx, &problem, &options, &r));
  ck_assert_msg(r.passed, "%s (%s), %s: finite %d canaries %d deterministic %d accurate %d lse %d; max %g of %g", line,
                fl4_inputs_name(inputs), r.variant, r.finite, r.canaries, r.deterministic, r.accurate, r.lse_accurate,
                r.max_error, r.max_allowed);
  ck_assert_msg(r.origin == FL4_KERNEL_BUILT_IN, "%s: %s is not among the built-in instances", line, r.variant);
}

/* Late copies for one half of the lines, early ones for the other; another schedule for each. */
static void schedule(int i)
{
  emu::options.seed = (emu::u64)i + 1;
  emu::options.copies = i % 2 ? emu::Copies::early : emu::Copies::late;
}

START_TEST(every_head_dim)
{
  const int D = 16 * (_i + 1);
  const char *dtype = D / 16 % 2 ? ":bf16" : "";
  fl4_context *ctx = open_emu(nullptr);
  char line[FL4_PROBLEM_LINE_MAX];
  schedule(_i);
  snprintf(line, sizeof line, "hq5sq77sk203d%d%s:lse", D, dtype);
  check(ctx, line, FL4_INPUTS_NORMAL);
  snprintf(line, sizeof line, "hq8hkv2sq113sk113d%d%s:causal:lse:bshd", D, dtype);
  check(ctx, line, FL4_INPUTS_PEAKED);
  fl4_context_destroy(&ctx);
}
END_TEST

static const char *const shapes[] = {
    "b2hq8hkv2sq128d64:causal:packed", "hq4sq1sk113d64",       "hq4sq128sk1d64:lse",          "hq4sq200sk70d64:causal:lse",
    "hq4sq70sk300d64:causal:lse",      "hq4sq64sk0d64:lse",    "hq6hkv3sq65sk257d128",        "b2hq2sq100sk64d32:causal:lse",
    "hq4sq128d40:lse",                 "hq4sq90d40:causal",    "hq4sq90sk130d72:bf16:lse",    "hq4sq65d72:bf16:causal:bshd",
    "hq4sq130sk66d64:odd:lse",         "hq4sq80d64:odd:causal", "hq4sq70sk90d72:odd",          "hq4sq128d72:odd:causal:lse",
};
enum { N_SHAPES = sizeof shapes / sizeof *shapes };

START_TEST(shapes_of_all_kinds)
{
  schedule(_i + 100);
  fl4_context *ctx = open_emu(nullptr);
  check(ctx, shapes[_i], FL4_INPUTS_NORMAL);
  fl4_context_destroy(&ctx);
}
END_TEST

START_TEST(inputs_of_all_kinds)
{
  schedule(_i + 200);
  fl4_context *ctx = open_emu(nullptr);
  check(ctx, "hq4sq100sk140d64:causal:lse", (fl4_inputs)_i);
  fl4_context_destroy(&ctx);
}
END_TEST

/* Each value of each parameter, as tests/emu/meson.build instantiates them. */
static const char *const variants[] = {
    "fwd_mma:bm=16,bn=16,warps=1,stages=2,qreg=0,ctas=1",   "fwd_mma:bm=32,bn=32,warps=1,stages=3,qreg=1,ctas=1",
    "fwd_mma:bm=32,bn=48,warps=2,stages=4,qreg=1,ctas=2",   "fwd_mma:bm=64,bn=64,warps=2,stages=2,qreg=0,ctas=2",
    "fwd_mma:bm=64,bn=80,warps=4,stages=2,qreg=1,ctas=1",   "fwd_mma:bm=128,bn=96,warps=4,stages=2,qreg=0,ctas=1",
    "fwd_mma:bm=128,bn=128,warps=8,stages=2,qreg=0,ctas=1", "fwd_mma:bm=256,bn=64,warps=8,stages=3,qreg=0,ctas=1",
    "fwd_mma:bm=64,bn=32,warps=4,stages=4,qreg=1,ctas=3",   "fwd_mma:bm=64,bn=16,warps=4,stages=3,qreg=0,ctas=4",
};
enum { N_VARIANTS = sizeof variants / sizeof *variants };

START_TEST(each_parameter_value)
{
  fl4_context *ctx = open_emu(variants[_i]);
  for (int early = 0; early < 2; early++) {
    schedule(2 * _i + early);
    check(ctx, "hq2sq145sk301d32:lse", FL4_INPUTS_NORMAL);
    check(ctx, "hq4hkv2sq99sk131d32:causal:lse", FL4_INPUTS_GROWING);
  }
  fl4_context_destroy(&ctx);
}
END_TEST

/* The bytes that a schedule gives, and what it costs. */
static std::vector<unsigned char> output_of(fl4_context *ctx, emu::u64 seed)
{
  enum { ROWS = 2 * 70, D = 64 };
  const size_t bytes = ROWS * D * 2;
  std::vector<emu::u16> host(ROWS * D);
  for (size_t i = 0; i < host.size(); i++) host[i] = emu::to_half((float)(i * 7919 % 257) / 128.f - 1.f);
  char *memory = static_cast<char *>(emu::global_alloc(2 * bytes));
  memcpy(memory, host.data(), bytes);
  emu::global_written(memory, bytes);
  fl4_attention_args a = FL4_ATTENTION_ARGS_INIT;
  a.B = 1, a.Hq = 2, a.Hkv = 2, a.Sq = 70, a.Sk = 70, a.D = D, a.mask = FL4_MASK_CAUSAL;
  a.q = a.k = a.v = memory, a.o = memory + bytes;
  emu::options.seed = seed, emu::options.copies = emu::Copies::late;
  ck_assert_fl4(fl4_attention_forward(ctx, &a, nullptr));
  std::vector<unsigned char> out(memory + bytes, memory + 2 * bytes);
  emu::global_free(memory);
  return out;
}

/* The order of threads is the seed's, and changes nothing that a sound kernel computes. */
START_TEST(seeds)
{
  fl4_context *ctx = open_emu(nullptr);
  const auto first = output_of(ctx, 1);
  ck_assert(first == output_of(ctx, 1));
  for (emu::u64 seed = 2; seed < 6; seed++) ck_assert(first == output_of(ctx, seed));
  fl4_context_destroy(&ctx);
}
END_TEST

/* ---------------------------------------------------------------- what accesses cost */

/* Default variants: no bank conflict in any access of shared memory, no sector fetched in vain. */
START_TEST(no_conflicts_and_full_coalescing)
{
  const int D = 16 * (_i + 1);
  char line[FL4_PROBLEM_LINE_MAX];
  snprintf(line, sizeof line, "hq4sq128sk128d%d%s", D, D / 16 % 2 ? ":bf16" : "");
  fl4_context *ctx = open_emu(nullptr);
  schedule(_i);
  emu::reset_counts();
  check(ctx, line, FL4_INPUTS_NORMAL);
  const emu::Counts &counts = emu::counts();
  ck_assert_uint_gt(counts.shared.size(), 3);
  for (const auto &[site, c] : counts.shared)
    ck_assert_msg(c.wavefronts == c.ideal, "D=%d %s:%d %s: %llu passes, %llu would do", D, site.file, site.line,
                  site.what, (unsigned long long)c.wavefronts, (unsigned long long)c.ideal);
  ck_assert_uint_gt(counts.global.size(), 1);
  for (const auto &[site, c] : counts.global)
    ck_assert_msg(c.sectors == c.ideal, "D=%d %s:%d %s: %llu sectors, %llu would do", D, site.file, site.line, site.what,
                  (unsigned long long)c.sectors, (unsigned long long)c.ideal);
  /* Both products, D/8 and Sk/8 tiles wide, and no more: two runs of fl4_check(). */
  ck_assert_uint_eq(counts.mma, 2ull * 4 * (128 / 16) * (128 / 8) * (D / 16) * 2);
  fl4_context_destroy(&ctx);
}
END_TEST

static Suite *suite(void)
{
  emu::add_device();
  Suite *s = suite_create("emu");
  TCase *t = tcase_create("kernels");
  tcase_set_timeout(t, 300);
  tcase_add_loop_test(t, every_head_dim, 0, 16);
  tcase_add_loop_test(t, shapes_of_all_kinds, 0, N_SHAPES);
  tcase_add_loop_test(t, inputs_of_all_kinds, 0, FL4_INPUTS_COUNT);
  tcase_add_loop_test(t, each_parameter_value, 0, N_VARIANTS);
  tcase_add_test(t, seeds);
  tcase_add_loop_test(t, no_conflicts_and_full_coalescing, 0, 16);
  suite_add_tcase(s, t);
  return s;
}

FL4_TEST_MAIN_MODE(suite, CK_NOFORK)

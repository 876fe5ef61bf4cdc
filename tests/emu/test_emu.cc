/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The real kernels on the emulated GPU, through the library's own path from call to launch: each D
 * class, each parameter value, masks, groups, odd sizes, strides, hostile scores, a workspace; and the same
 * seeds, the same run.
 */
#include <algorithm>
#include <cstdio>

#include "backend.h"
#include "instances.h"
extern "C" {
#include "fl4_test.h"
#include "oracle/check.h"
}

/* Each family on the GPU that it is for. */
static bool for_hopper(const std::string &variant)
{
  return variant.compare(0, 9, "fwd_wgmma") == 0;
}

static fl4_context *open_emu(const char *variant, const char *device = nullptr, int flags = 0)
{
  fl4_context_options o = FL4_CONTEXT_OPTIONS_INIT;
  fl4_context *ctx;
  if (!device) device = variant && for_hopper(variant) ? "emu:1" : "emu";
  o.device = device, o.variant = variant, o.flags |= flags;
  ck_assert_fl4(fl4_context_create(&ctx, &o));
  return ctx;
}

static fl4_check_result check(fl4_context *ctx, const char *line, fl4_inputs inputs)
{
  fl4_problem problem = FL4_PROBLEM_INIT;
  fl4_check_options options = FL4_CHECK_OPTIONS_INIT;
  fl4_check_result r = FL4_CHECK_RESULT_INIT;
  options.seed = 5, options.inputs = inputs;
  ck_assert_fl4(fl4_problem_parse(line, &problem));
  const fl4_status status = fl4_check(ctx, &problem, &options, &r);
  ck_assert_msg(status == FL4_OK, "%s (%s), %s: %s", line, fl4_inputs_name(inputs), r.variant, fl4_last_error());
  ck_assert_msg(r.passed, "%s (%s), %s: finite %d canaries %d deterministic %d accurate %d lse %d; max %g of %g", line,
                fl4_inputs_name(inputs), r.variant, r.finite, r.canaries, r.deterministic, r.accurate, r.lse_accurate,
                r.max_error, r.max_allowed);
  return r;
}

/* Late copies for one half of the runs, early ones for the other; another schedule for each. */
static void schedule(int i)
{
  emu::options.seed = (emu::u64)i + 1;
  emu::options.copies = i % 2 ? emu::Copies::early : emu::Copies::late;
}

/* ---------------------------------------------------------------- the built-in instances */

static int option(const std::string &options, const std::string &name)
{
  const size_t at = options.find("-DFL4_" + name + "=");
  return std::atoi(options.c_str() + options.find('=', at) + 1);
}

/* "fwd_mma:bm=64,bn=…" of "-DFL4_BM=64 -DFL4_BN=… … -DFL4_D=…": the parameters come before the problem. */
static std::string variant_of(const std::string &options)
{
  std::string variant = options.find("-DFL4_GROUPS=") == std::string::npos ? "fwd_mma:" : "fwd_wgmma:";
  for (size_t i = 0, end = options.find("-DFL4_D="); i < end; i = options.find(' ', i) + 1) {
    const size_t name = i + strlen("-DFL4_");
    if (i) variant += ',';
    for (size_t k = name; options[k] != ' '; k++) variant += (char)tolower(options[k]);
  }
  return variant;
}

/* Rows of a tile. */
static int rows_of(const std::string &options)
{
  return for_hopper(variant_of(options)) ? 64 * option(options, "GROUPS") : option(options, "BM");
}

/* A problem of an instance's kind. */
static std::string problem_of(const std::string &options, const char *heads, int Sq, int Sk)
{
  std::string line = heads;
  line += "sq" + std::to_string(Sq) + "sk" + std::to_string(Sk) + "d" + std::to_string(option(options, "D"));
  if (option(options, "BF16")) line += ":bf16";
  if (option(options, "CAUSAL")) line += ":causal";
  if (option(options, "LSE")) line += ":lse";
  if (!option(options, "ALIGNED")) line += ":odd";
  return line;
}

static void check_built_in(fl4_context *ctx, const std::string &line, fl4_inputs inputs)
{
  const fl4_check_result r = check(ctx, line.c_str(), inputs);
  ck_assert_msg(r.origin == FL4_KERNEL_BUILT_IN, "%s: %s is not among the built-in instances", line.c_str(), r.variant);
}

/*
 * Each on sizes that fit no tile: some tiles that all rows see and a partial one; fewer keys than a tile, and with a
 * mask rows that see none. Inputs that move the references take turns.
 */
START_TEST(each_instance)
{
  static const fl4_inputs inputs[] = {FL4_INPUTS_NORMAL, FL4_INPUTS_GROWING, FL4_INPUTS_PEAKED, FL4_INPUTS_SINK,
                                      FL4_INPUTS_LARGE};
  const std::string options = emu::built_in_instances()[(size_t)_i], variant = variant_of(options);
  const int bm = rows_of(options), bn = option(options, "BN");
  fl4_context *ctx = open_emu(variant.c_str());
  schedule(_i);
  check_built_in(ctx, problem_of(options, "hq1", bm + bm / 2 + 1, 3 * bn + bn / 2 + 3), inputs[_i % 5]);
  schedule(_i + 1);
  check_built_in(ctx, problem_of(options, "hq2hkv1", bm / 2 + 5, bn / 2 + 1), FL4_INPUTS_NORMAL);
  fl4_context_destroy(&ctx);
}
END_TEST

/* ---------------------------------------------------------------- a few variants on everything */

/* As tests/emu/meson.build instantiates them for D = 32, those that share rows for 64, with LSE: all pieces of the kernels are in one of them. */
static const struct {
  const char *text;
  bool bf16; /* the log-sum-exp has a sum of its own */
} variants[] = {
    {"fwd_mma:bm=16,bn=16,warps=1,stages=2,qreg=0,slice=16,weave=0,kgroups=1,splits=1,ctas=1", false},
    {"fwd_mma:bm=32,bn=32,warps=1,stages=3,qreg=1,slice=16,weave=1,kgroups=1,splits=1,ctas=1", false},
    {"fwd_mma:bm=16,bn=128,warps=4,stages=2,qreg=1,slice=16,weave=1,kgroups=4,splits=1,ctas=1", false},
    {"fwd_mma:bm=64,bn=128,warps=8,stages=2,qreg=0,slice=16,weave=0,kgroups=4,splits=2,ctas=1", false},
    {"fwd_mma:bm=64,bn=32,warps=4,stages=4,qreg=1,slice=32,weave=0,kgroups=1,splits=4,ctas=2", false},
    {"fwd_mma:bm=16,bn=16,warps=1,stages=3,qreg=0,slice=16,weave=0,kgroups=1,splits=32,ctas=1", false},
    {"fwd_mma:bm=128,bn=128,warps=4,stages=2,qreg=0,slice=128,weave=0,kgroups=1,splits=1,ctas=1", false},
    {"fwd_mma:bm=64,bn=128,warps=8,stages=3,qreg=0,slice=32,weave=1,kgroups=2,splits=1,ctas=1", true},
    {"fwd_mma:bm=32,bn=48,warps=2,stages=4,qreg=1,slice=48,weave=0,kgroups=1,splits=2,ctas=2", true},
    {"fwd_mma:bm=32,bn=64,warps=4,stages=2,qreg=1,slice=16,weave=0,kgroups=2,splits=4,ctas=1", true},
    {"fwd_mma:bm=64,bn=32,warps=4,stages=2,qreg=0,slice=16,weave=0,kgroups=1,share=1,splits=1,ctas=1", false},
    {"fwd_mma:bm=128,bn=64,warps=8,stages=3,qreg=0,slice=32,weave=0,kgroups=1,share=1,splits=1,ctas=1", true},
    {"fwd_wgmma:groups=1,bn=64,stages=2,qbuf=1,pingpong=0,sched=0,splits=1,pack=1", false},
    {"fwd_wgmma:groups=2,bn=48,stages=3,qbuf=2,pingpong=1,sched=2,splits=1,pack=1", false},
    {"fwd_wgmma:groups=3,bn=64,stages=2,qbuf=1,pingpong=1,sched=1,splits=1,pack=1", false},
    {"fwd_wgmma:groups=2,bn=80,stages=2,qbuf=2,pingpong=0,sched=1,splits=1,pack=1", true},
    {"fwd_wgmma:groups=4,bn=48,stages=4,qbuf=2,pingpong=1,sched=2,splits=1,pack=1", true},
    {"fwd_wgmma:groups=1,bn=48,stages=2,qbuf=1,pingpong=0,sched=0,splits=4,pack=1", false},
    {"fwd_wgmma:groups=2,bn=64,stages=2,qbuf=1,pingpong=1,sched=0,splits=2,pack=1", true},
};
enum { N_VARIANTS = sizeof variants / sizeof *variants, SHARING = 10, FIRST_HOPPER = 12 };

/* Blocks draw tickets, from a workspace. */
static bool has_tickets(const std::string &variant)
{
  return variant.find("sched=2") != std::string::npos || variant.find("splits=1,") == std::string::npos;
}

static int width_for(int variant)
{
  return variant == SHARING || variant == SHARING + 1 ? 64 : 32;
}

/* A line with d32, for the variant. */
static std::string fitted(int variant, const char *line)
{
  std::string text = line;
  text.replace(text.find("d32"), 3, "d" + std::to_string(width_for(variant)));
  return text + (variants[variant].bf16 ? ":bf16:lse" : ":lse");
}

/* All kinds of inputs, most of which move the references again and again, or seldom but far. */
START_TEST(hostile_scores)
{
  const int variant = _i / FL4_INPUTS_COUNT, inputs = _i % FL4_INPUTS_COUNT;
  fl4_context *ctx = open_emu(variants[variant].text);
  schedule(_i);
  check_built_in(ctx, fitted(variant, "hq4sq79sk271d32"), (fl4_inputs)inputs);
  schedule(_i + 1);
  check_built_in(ctx, fitted(variant, "hq4sq81sk197d32:causal"), (fl4_inputs)inputs);
  fl4_context_destroy(&ctx);
}
END_TEST

static const char *const shapes[] = {
    "b2hq4hkv2sq67d32:causal:packed", "hq2sq1sk113d32",        "hq2sq65sk1d32",         "hq2sq130sk70d32:causal",
    "hq2sq70sk300d32:causal",         "hq3sq34sk0d32",         "hq6hkv3sq17sk257d32",   "b2hq2sq100sk64d32:causal",
    "hq2sq48sk20d32:causal",          "hq1sq1sk1d32:causal",   "hq2sq64sk128d32:bshd",
};
enum { N_SHAPES = sizeof shapes / sizeof *shapes };

START_TEST(shapes_of_all_kinds)
{
  const int variant = _i / N_SHAPES;
  if (for_hopper(variants[variant].text) && strstr(shapes[_i % N_SHAPES], "sk0")) return; /* refused: no keys */
  fl4_context *ctx = open_emu(variants[variant].text);
  schedule(_i);
  check_built_in(ctx, fitted(variant, shapes[_i % N_SHAPES]), FL4_INPUTS_NORMAL);
  fl4_context_destroy(&ctx);
}
END_TEST

/* Blocks that stay share the row tiles, however many there are of them, even fewer than multiprocessors. */
START_TEST(blocks_that_stay)
{
  static const char *const lines[] = {"hq4sq150sk100d32:causal", "b2hq2hkv1sq300sk130d32", "hq1sq70sk65d32:causal"};
  const int variant = FIRST_HOPPER + _i / 3;
  fl4_context *ctx = open_emu(variants[variant].text, "emu:2");
  for (int i = 0; i < 2; i++) {
    schedule(2 * _i + i);
    check_built_in(ctx, fitted(variant, lines[_i % 3]), FL4_INPUTS_NORMAL);
  }
  fl4_context_destroy(&ctx);
}
END_TEST

/* Debug builds, compiled here: no invariant is violated, and who polls a barrier instead of waiting hears in time. */
START_TEST(debug_builds)
{
  static const int some[] = {3, FIRST_HOPPER + 1, FIRST_HOPPER + 3, SHARING};
  const int variant = some[_i];
  fl4_context *ctx = open_emu(variants[variant].text, nullptr, FL4_CONTEXT_DEBUG);
  schedule(_i);
  const fl4_check_result r = check(ctx, fitted(variant, "hq2sq81sk197d32:causal").c_str(), FL4_INPUTS_GROWING);
  ck_assert_int_eq(r.origin, FL4_KERNEL_COMPILED);
  fl4_context_destroy(&ctx);
}
END_TEST

/* What the library chooses by itself, built in or not. */
START_TEST(own_choice)
{
  static const char *const lines[] = {"hq2sq77sk203d64:causal:lse", "hq2sq70sk90d128:bf16:lse", "hq1sq65sk65d72:odd",
                                      "hq1sq33sk129d256"};
  const bool hopper = _i / 4;
  fl4_context *ctx = open_emu(nullptr, hopper ? "emu:1" : "emu");
  schedule(_i);
  const fl4_check_result r = check(ctx, lines[_i % 4], FL4_INPUTS_NORMAL);
  const bool as_it_should = for_hopper(r.variant) == (hopper && !strstr(lines[_i % 4], "odd"));
  ck_assert_msg(as_it_should, "%s is by %s", lines[_i % 4], r.variant);
  fl4_context_destroy(&ctx);
}
END_TEST

/* ---------------------------------------------------------------- the same bits */

/* A call on data of its own, with rows that see from one key to all. */
enum { ROWS = 70 };

struct Call {
  const size_t D;
  fl4_attention_args args = FL4_ATTENTION_ARGS_INIT;
  char *memory;

  explicit Call(int variant) : D((size_t)width_for(variant))
  {
    const bool bf16 = variants[variant].bf16;
    const size_t bytes = 2 * ROWS * D * 2;
    std::vector<emu::u16> host(2 * ROWS * D);
    for (size_t i = 0; i < host.size(); i++) {
      const float x = (float)(i * 7919 % 257) / 64.f - 2.f;
      host[i] = bf16 ? emu::to_bf16(x) : emu::to_half(x);
    }
    memory = static_cast<char *>(emu::global_alloc(2 * bytes + 2 * ROWS * 4));
    memcpy(memory, host.data(), bytes);
    emu::global_written(memory, bytes);
    args.B = 1, args.Hq = 2, args.Hkv = 2, args.Sq = ROWS, args.Sk = ROWS, args.D = D, args.mask = FL4_MASK_CAUSAL;
    args.dtype = bf16 ? FL4_DTYPE_BF16 : FL4_DTYPE_FP16;
    args.q = args.k = args.v = memory, args.o = memory + bytes;
    args.lse = reinterpret_cast<float *>(memory + 2 * bytes);
  }
  ~Call() { emu::global_free(memory); }

  /* O and the LSE. */
  std::vector<unsigned char> run(fl4_context *ctx)
  {
    unsigned char *const out = static_cast<unsigned char *>(args.o);
    const size_t bytes = 2 * ROWS * (D * 2 + 4);
    memset(out, 0xff, bytes);
    ck_assert_fl4(fl4_attention_forward(ctx, &args, nullptr));
    return std::vector<unsigned char>(out, out + bytes);
  }
};

/* The order of threads and of blocks is the seed's, and changes nothing that a sound kernel computes. */
START_TEST(seeds)
{
  fl4_context *ctx = open_emu(variants[_i].text);
  Call call(_i);
  schedule(0);
  const auto first = call.run(ctx);
  for (int i = 0; i < 6; i++) {
    schedule(i);
    ck_assert_msg(first == call.run(ctx), "%s: other bits with seed %d", variants[_i].text, i + 1);
  }
  fl4_context_destroy(&ctx);
}
END_TEST

/* A caller's own workspace, zeroed once: its tickets are 0 after each call, whatever else is left in it. */
START_TEST(workspace)
{
  fl4_context *ctx = open_emu(variants[_i].text);
  Call call(_i);
  size_t bytes;
  ck_assert_fl4(fl4_attention_workspace_size(ctx, &call.args, &bytes));
  const bool tickets = has_tickets(variants[_i].text);
  ck_assert_msg(tickets ? bytes >= FL4_TICKET_BYTES : bytes == 0, "%s: a workspace of %zu bytes", variants[_i].text,
                bytes);
  schedule(_i);
  const auto own = call.run(ctx);
  if (tickets) {
    char *memory = static_cast<char *>(emu::global_alloc(bytes));
    memset(memory, 0, FL4_TICKET_BYTES);
    emu::global_written(memory, FL4_TICKET_BYTES);
    call.args.workspace = memory, call.args.workspace_size = bytes;
    for (int i = 0; i < 4; i++) {
      schedule(i);
      ck_assert_msg(own == call.run(ctx), "%s: other bits in call %d", variants[_i].text, i + 1);
      for (int byte = 0; byte < FL4_TICKET_BYTES; byte++)
        ck_assert_msg(memory[byte] == 0, "%s: ticket %d is not 0 after call %d", variants[_i].text, byte / 4, i + 1);
      /* Numbers of the call before are not to be read. */
      memset(memory + FL4_TICKET_BYTES, 0xff, bytes - FL4_TICKET_BYTES);
    }
    memory[4] = 1;
    ck_assert_fl4_fails(fl4_attention_forward(ctx, &call.args, nullptr), FL4_DEVICE_ERROR, "ticket 1 is 1 before");
    call.args.workspace_size = bytes - 1;
    ck_assert_fl4_fails(fl4_attention_forward(ctx, &call.args, nullptr), FL4_WORKSPACE_TOO_SMALL, "workspace_size");
    emu::global_free(memory);
  }
  fl4_context_destroy(&ctx);
}
END_TEST

/* ---------------------------------------------------------------- what accesses cost */

/* Instances without a mask whose rows are whole sectors: what they cost follows from the sizes. */
static std::vector<std::string> countable_instances()
{
  std::vector<std::string> some;
  for (const std::string &options : emu::built_in_instances())
    if (option(options, "ALIGNED") && !option(options, "CAUSAL") && option(options, "D") % 16 == 0)
      some.push_back(options);
  return some;
}

/*
 * The mma of one row tile: both products, and the column of ones that counts the weights. With weaving each walk takes
 * the scores of one slice in vain at its end.
 */
static emu::u64 mma_of(const std::string &options, int tiles)
{
  if (for_hopper(variant_of(options))) {
    const int Sk = tiles * option(options, "BN"), D16 = (option(options, "D") + 15) / 16;
    return (emu::u64)(rows_of(options) / 16 * (Sk / 8 * D16 + Sk / 16 * option(options, "D") / 8));
  }
  const int rows16 = option(options, "BM") / 16, Sk = tiles * option(options, "BN"), D16 = option(options, "D") / 16;
  const int walks = option(options, "KGROUPS") * std::min(option(options, "SPLITS"), tiles);
  const int vain = option(options, "WEAVE") * walks * option(options, "SLICE");
  return (emu::u64)rows16 * (emu::u64)((Sk + vain) / 8 * D16 + Sk / 16 * (2 * D16 + 1));
}

/* No bank conflict in any access of shared memory, no sector fetched in vain, and no more work than there is. */
START_TEST(no_conflicts_and_full_coalescing)
{
  enum { HEADS = 2, TILES = 2, RUNS = 2 /* of fl4_check() */ };
  const std::string options = countable_instances()[(size_t)_i], variant = variant_of(options);
  fl4_context *ctx = open_emu(variant.c_str());
  schedule(_i);
  emu::reset_counts();
  const int Sq = rows_of(options), Sk = TILES * option(options, "BN");
  check_built_in(ctx, problem_of(options, "hq2", Sq, Sk), FL4_INPUTS_EQUAL);
  const emu::Counts &counts = emu::counts();
  const bool hopper = for_hopper(variant); /* products and bulk copies are no accesses of threads */
  if (!hopper) ck_assert_uint_gt(counts.shared.size(), option(options, "KGROUPS") > 1 ? 5 : 3);
  for (const auto &[site, c] : counts.shared)
    ck_assert_msg(c.wavefronts == c.ideal, "%s %s:%d %s: %llu passes, %llu would do", options.c_str(), site.file,
                  site.line, site.what, (unsigned long long)c.wavefronts, (unsigned long long)c.ideal);
  ck_assert_uint_gt(counts.global.size(), option(options, "SPLITS") > 1 ? 3 : 1);
  for (const auto &[site, c] : counts.global)
    ck_assert_msg(c.sectors == c.ideal, "%s %s:%d %s: %llu sectors, %llu would do", options.c_str(), site.file,
                  site.line, site.what, (unsigned long long)c.sectors, (unsigned long long)c.ideal);
  emu::u64 copied = 0;
  for (const auto &[site, c] : counts.global) copied += strcmp(site.what, "cp.async.bulk") ? 0 : c.bytes;
  const int shares = hopper ? std::min(option(options, "SPLITS"), (int)TILES) : 1; /* of the keys, each with all queries */
  if (hopper) ck_assert_uint_eq(copied, RUNS * HEADS * (shares * Sq + 2 * Sk) * option(options, "D") * 2);
  ck_assert_msg(counts.mma == RUNS * HEADS * mma_of(options, TILES), "%s: %llu mma, not %llu", options.c_str(),
                (unsigned long long)counts.mma, (unsigned long long)(RUNS * HEADS * mma_of(options, TILES)));
  fl4_context_destroy(&ctx);
}
END_TEST

static Suite *suite(void)
{
  emu::add_device();
  const int n_instances = (int)emu::built_in_instances().size();
  Suite *s = suite_create("emu");
  TCase *t = tcase_create("kernels");
  tcase_set_timeout(t, 300);
  tcase_add_loop_test(t, each_instance, 0, n_instances);
  tcase_add_loop_test(t, hostile_scores, 0, N_VARIANTS * FL4_INPUTS_COUNT);
  tcase_add_loop_test(t, shapes_of_all_kinds, 0, N_VARIANTS * N_SHAPES);
  tcase_add_loop_test(t, blocks_that_stay, 0, 3 * (N_VARIANTS - FIRST_HOPPER));
  tcase_add_loop_test(t, debug_builds, 0, 4);
  tcase_add_loop_test(t, own_choice, 0, 8);
  tcase_add_loop_test(t, seeds, 0, N_VARIANTS);
  tcase_add_loop_test(t, workspace, 0, N_VARIANTS);
  tcase_add_loop_test(t, no_conflicts_and_full_coalescing, 0, (int)countable_instances().size());
  suite_add_tcase(s, t);
  return s;
}

FL4_TEST_MAIN_MODE(suite, CK_NOFORK)

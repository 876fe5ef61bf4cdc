/* SPDX-License-Identifier: Apache-2.0 */
/*
 * decode_mma on the emulated GPU: few queries, heads that share keys, all features and many of them together, hostile
 * scores. test_decode_calls.cc has what fl4_check() and the feature rig do not do.
 */
#include "backend.h"
#include "feature_rig.h"
extern "C" {
#include "fl4_test.h"
#include "oracle/check.h"
}

static const char *const variants[] = {
    "decode_mma:warps=4,stages=3,keys=16,rows=8,splits=1,hint=1",
    "decode_mma:warps=2,stages=2,keys=32,rows=16,splits=4,hint=0",
    "decode_mma:warps=4,stages=1,keys=16,rows=32,splits=2,hint=1",
    "decode_mma:warps=1,stages=6,keys=16,rows=8,splits=12,hint=0",
    "decode_mma:warps=4,stages=4,keys=16,rows=16,splits=0,hint=1",
    "decode_mma:warps=8,stages=2,keys=16,rows=8,splits=6,hint=1",
    "decode_mma:warps=4,stages=1,keys=32,rows=8,splits=3,hint=0",
};
enum { N_VARIANTS = sizeof variants / sizeof *variants };

static fl4_context *open_emu(const char *variant, const char *device = "emu", int flags = 0)
{
  fl4_context_options o = FL4_CONTEXT_OPTIONS_INIT;
  fl4_context *ctx;
  o.device = device, o.variant = variant, o.flags |= flags;
  ck_assert_fl4(fl4_context_create(&ctx, &o));
  return ctx;
}

/* Another order of threads for each; late copies for one half of them, early ones for the other. */
static void schedule(uint64_t i)
{
  emu::options.seed = i + 1;
  emu::options.copies = i % 2 ? emu::Copies::early : emu::Copies::late;
}

static void check(fl4_context *ctx, const char *line, fl4_inputs inputs)
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
}

static void run(const char *variant, const feature_case &c, uint16_t *kept = nullptr, const char *device = "emu")
{
  char why[512], text[256];
  fl4_context *ctx = open_emu(variant, device);
  schedule(c.seed);
  feature_describe(&c, text);
  const bool right = feature_run(ctx, &c, kept, why);
  ck_assert_msg(right, "%s: %s %s", text, variant ? variant : "", why);
  fl4_context_destroy(&ctx);
}

/* ---------------------------------------------------------------- shapes */

/* What the family chooses, for both kinds of GPU. */
START_TEST(own_choice)
{
  static const char *const lines[] = {
      "hq8hkv2sq1sk500d128:bf16:lse", "b2hq4hkv4sq1sk129d64",  "hq7hkv1sq2sk333d64:causal:lse",
      "hq8hkv1sq8sk257d128:causal",   "hq16hkv1sq1sk1d96",     "hq4hkv1sq5sk3d80:causal",
      "b2hq2sq3sk4096d16:causal:lse", "hq2hkv1sq1sk300d256",   "hq3sq1sk700d192:bf16:bshd",
      "hq8hkv2sq4sk64d64:causal:lse", "b3hq6hkv3sq1sk0d32:lse"};
  enum { N = sizeof lines / sizeof *lines };
  fl4_context *ctx = open_emu("decode_mma", _i % 2 ? "emu:2" : "emu");
  fl4_problem problem = FL4_PROBLEM_INIT;
  fl4_check_options options = FL4_CHECK_OPTIONS_INIT;
  fl4_check_result r = FL4_CHECK_RESULT_INIT;
  const char *line = lines[_i / 2];
  ck_assert_int_lt(_i / 2, N);
  schedule((uint64_t)_i);
  ck_assert_fl4(fl4_problem_parse(line, &problem));
  ck_assert_fl4(fl4_check(ctx, &problem, &options, &r));
  ck_assert_msg(strncmp(r.variant, "decode_mma:", 11) == 0, "%s is by %s", line, r.variant);
  ck_assert_msg(r.passed, "%s, %s: max %g of %g", line, r.variant, r.max_error, r.max_allowed);
  fl4_context_destroy(&ctx);
}
END_TEST

static const int head_dims[] = {16, 32, 48, 64, 80, 96, 112, 128, 160, 192, 256};
enum { N_HEAD_DIMS = sizeof head_dims / sizeof *head_dims };

/* Each head dimension: how its rows are copied and where they lie is another matter for each. */
START_TEST(each_head_dimension)
{
  char line[64];
  snprintf(line, sizeof line, "hq4hkv2sq2sk%dd%d:causal:lse", 70 + _i, head_dims[_i]);
  fl4_context *ctx = open_emu("decode_mma:warps=2,stages=2,keys=16,splits=3");
  schedule((uint64_t)_i);
  check(ctx, line, FL4_INPUTS_NORMAL);
  fl4_context_destroy(&ctx);
}
END_TEST

/* Inputs that move the references, or leave them, in all variants. */
START_TEST(hostile_scores)
{
  const char *variant = variants[_i / FL4_INPUTS_COUNT];
  fl4_context *ctx = open_emu(variant);
  schedule((uint64_t)_i);
  check(ctx, _i % 2 ? "hq6hkv2sq3sk517d32:causal:lse" : "hq6hkv2sq3sk517d32:bf16:lse",
        (fl4_inputs)(_i % FL4_INPUTS_COUNT));
  fl4_context_destroy(&ctx);
}
END_TEST

START_TEST(shapes_of_all_kinds)
{
  static const char *const lines[] = {
      "hq1sq1sk1d32:lse",
      "hq2sq1sk0d32:lse",
      "b3hq2hkv1sq8sk5d32:causal:lse",
      "hq64hkv1sq1sk100d32:lse",
      "hq8hkv1sq8sk90d32:lse",
      "b2hq7hkv1sq5sk40d32:causal",
      "b2hq4hkv2sq7sk300d32:packed",
      "hq5sq8sk3d32:causal:lse",
      "hq9hkv3sq1sk767d32:bshd",
  };
  enum { N = sizeof lines / sizeof *lines };
  fl4_context *ctx = open_emu(variants[_i % N_VARIANTS]);
  for (int i = 0; i < N; i++) {
    schedule((uint64_t)(_i + i));
    if (!strstr(lines[i], "packed") || !strstr(lines[i], "sk300")) check(ctx, lines[i], FL4_INPUTS_NORMAL);
  }
  fl4_context_destroy(&ctx);
}
END_TEST

/* Splits around a group's and around what one block puts together alone; more groups than are put together at a time, by a
 * window that begins inside of one; sequences of which each has another number. */
static const char *const many_splits[] = {
    "b2hq2hkv1sq1sk144d32:lse",  /* 9 splits */
    "b2hq2hkv1sq1sk256d32:lse",  /* 16 */
    "b2hq2hkv1sq2sk258d32:lse",  /* 17 */
    "b2hq4hkv2sq1sk384d32:lse",  /* 24 */
    "b2hq4hkv2sq1sk385d32:lse",  /* 25 */
    "hq12hkv1sq1sk520d32:lse",   /* 33, two row blocks */
    "b2hq2hkv1sq3sk1024d32:lse", /* 64 */
    "hq2hkv1sq1sk3000d32:lse",   /* 63 of three tiles */
    "b7hq2hkv1sq1sk1024d32:lens:lse",
    "b2hq2hkv1sq1sk1040d32:window=1020,0:lse",        /* 64 from the second one on: nine groups */
    "b3hq2hkv1sq4sk544d32:window=428,0:lse",          /* 27 from the eighth one on: five groups */
    "b5hq4hkv2sq5sk900d32:window=500,0:lens:page=16", /* begin anywhere */
    "b5hq2hkv1sq5sk800d32:ragged:lse",
};
enum { N_MANY_SPLITS = sizeof many_splits / sizeof *many_splits };

START_TEST(splits_in_groups)
{
  static const fl4_inputs inputs[] = {FL4_INPUTS_NORMAL, FL4_INPUTS_GROWING, FL4_INPUTS_SHRINKING};
  fl4_context *ctx = open_emu("decode_mma:warps=1,stages=2,keys=16,rows=8,splits=64");
  for (int i = 0; i < 3; i++) {
    schedule((uint64_t)(3 * _i + i));
    check(ctx, many_splits[_i], inputs[i]);
  }
  fl4_context_destroy(&ctx);
}
END_TEST

/* Query heads that share a key/value head, from one row a block to several blocks. */
START_TEST(group_sizes)
{
  static const int groups[] = {1, 4, 7, 8, 16, 40};
  char line[64];
  snprintf(line, sizeof line, "b2hq%dhkv2sq1sk150d32:lens:lse", 2 * groups[_i % 6]);
  fl4_context *ctx = open_emu(variants[(_i + _i / 6) % N_VARIANTS]);
  schedule((uint64_t)_i);
  check(ctx, line, FL4_INPUTS_NORMAL);
  fl4_context_destroy(&ctx);
}
END_TEST

/* ---------------------------------------------------------------- features */

/* A case of the rig with as few queries as this is for, and without what others do. */
static feature_case for_few(feature_case c)
{
  c.bias = 0, c.broadcast = 0;
  if (c.Sq > 8) c.Sq = 1 + (int)(c.seed % 8);
  return c;
}

START_TEST(single)
{
  run(variants[_i % N_VARIANTS], for_few(feature_single(_i)));
}
END_TEST

enum { N_RANDOM = 42 };

START_TEST(together)
{
  static const int D[] = {32, 64, 16, 96};
  run(variants[_i % N_VARIANTS], for_few(feature_random((uint64_t)_i + 3000, D[_i / N_VARIANTS % 4], 8, 400)));
}
END_TEST

/* Pages of all sizes, lengths next to theirs. */
START_TEST(pages)
{
  feature_case c = {};
  c.B = 4, c.Hq = 4, c.Hkv = 2, c.Sq = 1 + _i % 3, c.Sk = 290, c.D = 32, c.mask = FL4_MASK_CAUSAL;
  c.page_size = 8 << _i % 5, c.used_k = c.edges = true, c.heads_first = _i % 2 != 0, c.lse = true,
  c.seed = (uint64_t)_i;
  run(variants[_i % N_VARIANTS], c);
}
END_TEST

/* Debug builds: no invariant is violated. */
START_TEST(debug_build)
{
  fl4_context *ctx = open_emu(variants[_i], "emu", FL4_CONTEXT_DEBUG);
  schedule((uint64_t)_i);
  check(ctx, "hq6hkv2sq3sk517d32:causal:lse", FL4_INPUTS_GROWING);
  check(ctx, "hq2sq2sk0d32:lse", FL4_INPUTS_NORMAL);
  fl4_context_destroy(&ctx);
}
END_TEST

/* ---------------------------------------------------------------- what accesses cost */

/* No bank conflict, no sector of keys, values or queries in vain, each key read once, and no more products than there are. */
START_TEST(no_conflicts_and_full_coalescing)
{
  static const int D_of[] = {32, 64, 96, 128, 192, 256};
  enum { KV_HEADS = 2, SK = 384, RUNS = 2 /* of fl4_check() */ };
  const int D16 = D_of[_i % 6] / 16, rows = _i / 6 ? 16 : 8;
  char line[64], variant[96];
  snprintf(line, sizeof line, "hq%dhkv2sq1sk%dd%d", 2 * rows, SK, D_of[_i % 6]);
  snprintf(variant, sizeof variant, "decode_mma:warps=4,stages=2,keys=16,rows=%d,splits=3,hint=%d", rows, _i % 2);
  if (D_of[_i % 6] > 128) memcpy(strstr(variant, "stages="), "stages=1", 8);
  fl4_context *ctx = open_emu(variant);
  schedule((uint64_t)_i);
  emu::reset_counts();
  check(ctx, line, FL4_INPUTS_NORMAL);
  emu::u64 copied = 0;
  ck_assert_uint_ge(emu::counts().shared.size(), 8);
  for (const auto &[site, c] : emu::counts().shared)
    ck_assert_msg(c.wavefronts == c.ideal, "%s %s:%d %s: %d passes, %d would do", line, site.file, site.line, site.what,
                  (int)c.wavefronts, (int)c.ideal);
  for (const auto &[site, c] : emu::counts().global) {
    if (strcmp(site.what, "cp.async")) continue;
    copied += c.bytes;
    ck_assert_msg(c.sectors == c.ideal, "%s %s:%d: %d sectors, %d would do", line, site.file, site.line, (int)c.sectors,
                  (int)c.ideal);
  }
  /* Each of the three blocks of a unit reads its queries. */
  ck_assert_uint_eq(copied, RUNS * KV_HEADS * D16 * 32 * (2 * SK + 3 * rows));
  ck_assert_uint_eq(emu::counts().mma, RUNS * KV_HEADS * SK / 16 * 2 * D16 * rows / 8);
  fl4_context_destroy(&ctx);
}
END_TEST

static Suite *suite()
{
  emu::add_device();
  Suite *s = suite_create("decode");
  TCase *t = tcase_create("decode_mma");
  tcase_set_timeout(t, 120);
  tcase_add_loop_test(t, own_choice, 0, 22);
  tcase_add_loop_test(t, each_head_dimension, 0, N_HEAD_DIMS);
  tcase_add_loop_test(t, hostile_scores, 0, N_VARIANTS * FL4_INPUTS_COUNT);
  tcase_add_loop_test(t, shapes_of_all_kinds, 0, N_VARIANTS);
  tcase_add_loop_test(t, splits_in_groups, 0, N_MANY_SPLITS);
  tcase_add_loop_test(t, group_sizes, 0, 12);
  tcase_add_loop_test(t, single, 0, FEATURE_SINGLES);
  tcase_add_loop_test(t, together, 0, N_RANDOM);
  tcase_add_loop_test(t, pages, 0, 15);
  tcase_add_loop_test(t, debug_build, 0, 3);
  tcase_add_loop_test(t, no_conflicts_and_full_coalescing, 0, 12);
  suite_add_tcase(s, t);
  return s;
}

FL4_TEST_MAIN_MODE(suite, CK_NOFORK)

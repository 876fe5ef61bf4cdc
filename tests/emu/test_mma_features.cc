/* SPDX-License-Identifier: Apache-2.0 */
/* fwd_mma beyond dense attention on the emulated GPU: each feature, and many of them together, by kernels of each kind; and
 * sequences in batches of all kinds, by the library's own choice. */
#include <vector>

#include "backend.h"
#include "feature_rig.h"
extern "C" {
#include "fl4_test.h"
}

/* Small tiles, so that a few keys are many of them. */
static const char *const variants[] = {
    "fwd_mma:bm=64,bn=32,warps=4,stages=2,qreg=1,slice=16,weave=0,kgroups=1,splits=1,ctas=1",
    "fwd_mma:bm=32,bn=32,warps=2,stages=2,qreg=0,slice=16,weave=1,kgroups=1,splits=1,ctas=1",
    "fwd_mma:bm=32,bn=64,warps=4,stages=3,qreg=1,slice=32,weave=0,kgroups=2,splits=1,ctas=1",
    "fwd_mma:bm=16,bn=32,warps=2,stages=2,qreg=0,slice=16,weave=0,kgroups=2,splits=4,ctas=1",
    "fwd_mma:bm=64,bn=16,warps=2,stages=3,qreg=0,slice=16,weave=0,kgroups=1,splits=2,ctas=1",
    "fwd_mma:bm=64,bn=32,warps=2,stages=4,qreg=0,slice=16,weave=1,kgroups=1,splits=1,ctas=1",
    "fwd_mma:bm=64,bn=32,warps=4,stages=2,qreg=0,slice=16,weave=0,kgroups=1,share=1,splits=1,ctas=1",
};
enum { N_VARIANTS = sizeof variants / sizeof *variants, TALL_AND_SPLIT = 4, SHARING = 6 };

/* Warps of 32 rows whose blocks share keys have no registers left for biases. */
static const char *variant_for(int i, const feature_case &c)
{
  i %= N_VARIANTS;
  return variants[c.bias && i == TALL_AND_SPLIT ? TALL_AND_SPLIT + 1 : i];
}

static void run(const char *variant, const feature_case &c, uint16_t *kept)
{
  fl4_context_options o = FL4_CONTEXT_OPTIONS_INIT;
  fl4_context *ctx;
  char why[512], text[256];
  o.device = "emu", o.variant = variant;
  ck_assert_fl4(fl4_context_create(&ctx, &o));
  emu::options.seed = c.seed + 1;
  emu::options.copies = c.seed % 2 ? emu::Copies::early : emu::Copies::late;
  feature_describe(&c, text);
  const bool right = feature_run(ctx, &c, kept, why);
  ck_assert_msg(right, "%s: %s %s", text, variant ? variant : "", why);
  fl4_context_destroy(&ctx);
}

START_TEST(single)
{
  feature_case c = feature_single(_i);
  if (_i % N_VARIANTS == SHARING) c.D = 64;
  run(variant_for(_i, c), c, nullptr);
}
END_TEST

/* Each by warps that share rows. */
START_TEST(single_sharing)
{
  feature_case c = feature_single(_i);
  c.D = 64;
  run(variants[SHARING], c, nullptr);
}
END_TEST

enum { N_RANDOM = 56 };

/* Every third with rows that are not aligned, or further apart than they are long. */
START_TEST(together)
{
  static const int D[] = {16, 32, 40}, pads[] = {0, 2, 8};
  const int width = _i % N_VARIANTS == SHARING ? 64 : D[_i / N_VARIANTS % 3];
  feature_case c = feature_random((uint64_t)_i + 1000, width, 70, 120);
  c.pad = pads[_i % 9 / 3], c.spare = _i % 4 == 3 ? 37 : 0;
  run(variant_for(_i, c), c, nullptr);
}
END_TEST

/* Rows of 16, of which the sequences that have one query take the place of another's. */
START_TEST(one_query)
{
  feature_case c = {};
  c.B = 3, c.Hq = 7, c.Hkv = 1, c.Sq = 1, c.Sk = 1 + _i % 2 * 99, c.D = 32, c.mask = FL4_MASK_CAUSAL, c.lse = true;
  c.page_size = 16, c.used_k = c.edges = true, c.sinks = _i % 4 > 1, c.seed = (uint64_t)_i;
  run(variants[3], c, nullptr);
}
END_TEST

/* Nothing to do: no key at all, no query of any sequence. */
START_TEST(nothing)
{
  feature_case c = {};
  c.B = 2, c.Hq = c.Hkv = 2, c.Sq = 20, c.Sk = 0, c.D = _i % N_VARIANTS == SHARING ? 64 : 32, c.lse = true;
  c.sinks = _i % 2;
  if (_i > 1) c.used_k = c.ragged_q = true, c.mask = FL4_MASK_WINDOW, c.left = c.right = 3;
  run(variants[_i % N_VARIANTS], c, nullptr);
}
END_TEST

/* A sequence alone, and among others in a call that is made for more: the same bits. */
static void alone_and_among(feature_case c, const char *variant)
{
  static const int ids[] = {11, 4, 8, 2};
  const size_t n = (size_t)(c.Hq * c.Sq * (c.D + 2));
  std::vector<uint16_t> alone(n, 1), among(n, 1);
  c.ids = ids, c.flags = FL4_BATCH_INVARIANT;
  c.B = 1;
  run(variant, c, alone.data());
  c.B = 4, c.spare = 90;
  run(variant, c, among.data());
  for (size_t i = 0; i < n; i++)
    ck_assert_msg(alone[i] == among[i], "element %d of %d is %#x alone, %#x among others", (int)i, (int)n, alone[i],
                  among[i]);
}

/* `spread`: scores rise, so that references move. */
START_TEST(invariant)
{
  feature_case c = {};
  c.Hq = 2, c.Hkv = 1, c.Sq = 80, c.Sk = 200, c.D = 32, c.dtype = FL4_DTYPE_BF16, c.seed = 5, c.spread = 6;
  switch (_i) {
  case 0: c.used_k = true; break;
  case 1: c.ragged_q = c.ragged_k = true, c.mask = FL4_MASK_CAUSAL; break;
  case 2: c.ragged_q = c.used_k = true, c.page_size = 16, c.mask = FL4_MASK_CAUSAL, c.sinks = true; break;
  case 3:
    c.ragged_q = c.ragged_k = c.alibi = true, c.softcap = 20, c.mask = FL4_MASK_WINDOW, c.left = 50;
    c.right = 0;
    break;
  case 4: c.Sq = 1, c.used_k = true, c.page_size = 16; break;
  }
  alone_and_among(c, "fwd_mma");
}
END_TEST

/* Mixes of features, by whatever family is chosen; the last ones are as when a model generates. */
enum { N_MIXES = 12, N_PROMPTS = 8, N_BATCHES = 3, MOST_BATCH = 6 };

static bool same_in_batches(int i, uint32_t flags, char why[512])
{
  fl4_context_options o = FL4_CONTEXT_OPTIONS_INIT;
  fl4_context *ctx;
  const bool prompt = i < N_PROMPTS;
  feature_case c = feature_random(2000 + (uint64_t)i, 32, prompt ? 60 : 4, prompt ? 200 : 4500);
  if (!prompt) c.ragged_q = i % 2 == 0, c.bias = c.broadcast = 0; /* decode_mma takes those without either */
  c.flags = flags, c.lse = true;
  c.dtype = FL4_DTYPE_FP16; /* which shows more of the last bits */
  o.device = prompt && i % 2 ? "emu" : "emu:2";
  ck_assert_fl4(fl4_context_create(&ctx, &o));
  emu::options.seed = c.seed + 1;
  emu::options.copies = i / 2 % 2 ? emu::Copies::early : emu::Copies::late;
  const bool same = feature_same_in_batches(ctx, &c, N_BATCHES, MOST_BATCH, why);
  fl4_context_destroy(&ctx);
  return same;
}

START_TEST(the_same_in_each_batch)
{
  char why[512];
  ck_assert_msg(same_in_batches(_i, FL4_BATCH_INVARIANT, why), "%s", why);
}
END_TEST

/* The test above would notice: without the flag blocks share keys as it suits the batch. */
START_TEST(others_without_the_flag)
{
  bool differs = false;
  for (int i = N_PROMPTS; i < N_MIXES && !differs; i++) {
    char why[512];
    differs = !same_in_batches(i, 0, why);
    if (differs) ck_assert_msg(strstr(why, "other bits"), "%s", why);
  }
  ck_assert(differs);
}
END_TEST

static Suite *suite()
{
  emu::add_device();
  Suite *s = suite_create("features of fwd_mma");
  TCase *t = tcase_create("fwd_mma");
  tcase_set_timeout(t, 120);
  tcase_add_loop_test(t, single, 0, FEATURE_SINGLES);
  tcase_add_loop_test(t, single_sharing, 0, FEATURE_SINGLES);
  tcase_add_loop_test(t, together, 0, N_RANDOM);
  tcase_add_loop_test(t, one_query, 0, 4);
  tcase_add_loop_test(t, nothing, 0, 2 * N_VARIANTS);
  tcase_add_loop_test(t, invariant, 0, 5);
  suite_add_tcase(s, t);
  t = tcase_create("batches");
  tcase_set_timeout(t, 240);
  tcase_add_loop_test(t, the_same_in_each_batch, 0, N_MIXES);
  tcase_add_test(t, others_without_the_flag);
  suite_add_tcase(s, t);
  return s;
}

FL4_TEST_MAIN_MODE(suite, CK_NOFORK)

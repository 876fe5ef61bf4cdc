/* SPDX-License-Identifier: Apache-2.0 */
/* Kernels beyond dense attention on the emulated GPU: each feature, and many of them together. */
#include "backend.h"
#include "feature_rig.h"
extern "C" {
#include "fl4_test.h"
}

static const char *const wgmma_variants[] = {
    "fwd_wgmma:groups=1,bn=64,stages=2,qbuf=1,pingpong=0,sched=0",
    "fwd_wgmma:groups=2,bn=48,stages=2,qbuf=2,pingpong=1,sched=2",
    "fwd_wgmma:groups=2,bn=80,stages=3,qbuf=1,pingpong=1,sched=1",
    "fwd_wgmma:groups=2,bn=48,stages=2,qbuf=1,pingpong=1,sched=0,splits=3",
};
enum { N_WGMMA = sizeof wgmma_variants / sizeof *wgmma_variants };

static void run(const char *device, const char *variant, const feature_case &c)
{
  fl4_context_options o = FL4_CONTEXT_OPTIONS_INIT;
  fl4_context *ctx;
  char why[512], text[256];
  o.device = device, o.variant = variant;
  ck_assert_fl4(fl4_context_create(&ctx, &o));
  emu::options.seed = c.seed + 1;
  emu::options.copies = c.seed % 2 ? emu::Copies::early : emu::Copies::late;
  feature_describe(&c, text);
  const bool right = feature_run(ctx, &c, nullptr, why);
  ck_assert_msg(right, "%s: %s %s", text, variant, why);
  fl4_context_destroy(&ctx);
}

enum { N_RANDOM = 40 };

START_TEST(wgmma_single)
{
  run("emu:1", wgmma_variants[_i % N_WGMMA], feature_single(_i));
}
END_TEST

START_TEST(wgmma_random)
{
  run("emu:1", wgmma_variants[_i % N_WGMMA], feature_random((uint64_t)_i, _i % 2 ? 32 : 72, 150, 200));
}
END_TEST

/* Biases that the copy engine can find: each type, each way to be broadcast but over keys. */
enum { N_BIASES = 4 * 8 };

START_TEST(wgmma_biases)
{
  feature_case c = {};
  c.dtype = _i % 3 ? FL4_DTYPE_FP16 : FL4_DTYPE_BF16;
  c.B = 2, c.Hq = 4, c.Hkv = 2, c.Sq = 100 + _i, c.Sk = 16 * (9 + _i % 5), c.D = _i % 2 ? 72 : 64;
  c.bias = 1 + _i % 4, c.broadcast = _i / 4, c.seed = (uint64_t)_i, c.lse = true;
  if (_i % 5 == 1) c.mask = FL4_MASK_CAUSAL;
  if (_i % 5 == 2) c.mask = FL4_MASK_WINDOW, c.left = 60, c.right = 20;
  if (_i % 5 == 3) c.used_k = true;
  if (_i % 5 == 4) c.softcap = 3, c.alibi = true;
  run("emu:1", wgmma_variants[_i / 3 % N_WGMMA], c);
}
END_TEST

/* Heads packed into row tiles, with all that goes with it. */
enum { N_PACKED = 30 };

START_TEST(wgmma_packed)
{
  static const int packs[] = {2, 4, 8, 16, 64};
  static const char *const variants[] = {"groups=1,bn=64,stages=2,qbuf=1,pingpong=0,sched=0,splits=2",
                                         "groups=2,bn=48,stages=2,qbuf=2,pingpong=1,sched=2,splits=1",
                                         "groups=3,bn=48,stages=2,qbuf=1,pingpong=1,sched=1,splits=1"};
  const int pack = packs[_i % 5];
  feature_case c = {};
  c.dtype = _i % 2 ? FL4_DTYPE_FP16 : FL4_DTYPE_BF16;
  c.B = 2, c.Hkv = 1 + _i % 2, c.Hq = c.Hkv * pack * (pack < 8 ? 3 : 1), c.D = _i % 4 ? 32 : 72;
  c.Sq = _i % 3 == 2 ? 90 / pack + 1 : 1 + _i, c.Sk = 100 + 7 * _i, c.seed = (uint64_t)_i, c.lse = _i % 3 > 0;
  switch (_i % 7) {
  case 0: c.mask = FL4_MASK_CAUSAL; break;
  case 1: c.mask = FL4_MASK_WINDOW, c.left = 30, c.right = 4; break;
  case 2: c.sinks = true, c.softcap = 5; break;
  case 3: c.page_size = 16, c.used_k = c.edges = true, c.mask = FL4_MASK_CAUSAL; break;
  case 4: c.ragged_k = true, c.sinks = true; break;
  case 5: c.used_k = true, c.mask = FL4_MASK_CAUSAL; break;
  }
  char variant[160];
  snprintf(variant, sizeof variant, "fwd_wgmma:%s,pack=%d", variants[_i % 3], pack);
  run("emu:1", variant, c);
}
END_TEST

static Suite *suite()
{
  emu::add_device();
  Suite *s = suite_create("features");
  TCase *t = tcase_create("fwd_wgmma");
  tcase_set_timeout(t, 120);
  tcase_add_loop_test(t, wgmma_single, 0, FEATURE_SINGLES);
  tcase_add_loop_test(t, wgmma_random, 0, N_RANDOM);
  tcase_add_loop_test(t, wgmma_biases, 0, N_BIASES);
  tcase_add_loop_test(t, wgmma_packed, 0, N_PACKED);
  suite_add_tcase(s, t);
  return s;
}

FL4_TEST_MAIN_MODE(suite, CK_NOFORK)

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

static feature_case base(int i)
{
  feature_case c = {};
  c.dtype = i % 2 ? FL4_DTYPE_BF16 : FL4_DTYPE_FP16;
  c.B = 2, c.Hq = 4, c.Hkv = 2, c.Sq = 70, c.Sk = 150, c.D = 32, c.lse = i % 3 == 0, c.seed = (uint64_t)i;
  return c;
}

/* One feature each, and what is like it. */
static feature_case single(int i)
{
  feature_case c = base(i);
  switch (i) {
  case 0: c.mask = FL4_MASK_WINDOW, c.left = 20, c.right = 0; break;
  case 1: c.mask = FL4_MASK_WINDOW, c.left = -1, c.right = 5; break;
  case 2: c.mask = FL4_MASK_WINDOW, c.left = 3, c.right = 70; break;
  case 3: c.mask = FL4_MASK_WINDOW, c.left = 0, c.right = 0, c.Sk = 30; break;
  case 4: c.softcap = 3, c.spread = 4; break;
  case 5: c.alibi = true, c.mask = FL4_MASK_CAUSAL; break;
  case 6: c.alibi = true; break;
  case 7: c.sinks = true, c.mask = FL4_MASK_CAUSAL, c.Sk = 40, c.lse = true; break;
  case 8:
  case 9:
  case 10:
  case 11: c.bias = 1 + i - 8; break;
  case 12: c.bias = 1, c.broadcast = 5; break;
  case 13: c.bias = 4, c.broadcast = 7; break;
  case 14: c.bias = 3, c.broadcast = 8, c.mask = FL4_MASK_CAUSAL; break;
  case 15: c.ragged_q = true, c.B = 4; break;
  case 16: c.ragged_k = true, c.B = 4; break;
  case 17: c.ragged_q = c.ragged_k = true, c.mask = FL4_MASK_CAUSAL, c.B = 4; break;
  case 18: c.used_k = c.edges = true, c.B = 4; break;
  case 19: c.page_size = 8; break;
  case 20: c.page_size = 32, c.heads_first = true, c.mask = FL4_MASK_CAUSAL; break;
  case 21: c.page_size = 128, c.used_k = c.edges = true, c.B = 4; break;
  case 22: c.ragged_q = c.ragged_k = c.edges = true, c.B = 6, c.lse = true; break;
  case 23: c.used_k = true, c.mask = FL4_MASK_WINDOW, c.left = 30, c.right = 0, c.B = 3; break;
  }
  return c;
}
enum { N_SINGLE = 24, N_RANDOM = 40 };

START_TEST(wgmma_single)
{
  run("emu:1", wgmma_variants[_i % N_WGMMA], single(_i));
}
END_TEST

START_TEST(wgmma_random)
{
  run("emu:1", wgmma_variants[_i % N_WGMMA], feature_random((uint64_t)_i, _i % 2 ? 32 : 72, 150, 200));
}
END_TEST

static Suite *suite()
{
  emu::add_device();
  Suite *s = suite_create("features");
  TCase *t = tcase_create("fwd_wgmma");
  tcase_set_timeout(t, 120);
  tcase_add_loop_test(t, wgmma_single, 0, N_SINGLE);
  tcase_add_loop_test(t, wgmma_random, 0, N_RANDOM);
  suite_add_tcase(s, t);
  return s;
}

FL4_TEST_MAIN_MODE(suite, CK_NOFORK)

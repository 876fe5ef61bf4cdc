/* SPDX-License-Identifier: Apache-2.0 */
/* fwd_mma beyond dense attention on the emulated GPU: each feature, and many of them together, by kernels of each kind. */
#include "backend.h"
#include "feature_rig.h"
extern "C" {
#include "fl4_test.h"
}

/* Small tiles: so that a few hundred keys are many of them. */
static const char *const variants[] = {
    "fwd_mma:bm=64,bn=32,warps=4,stages=2,qreg=1,slice=16,weave=0,kgroups=1,splits=1,ctas=1",
    "fwd_mma:bm=32,bn=32,warps=2,stages=2,qreg=0,slice=16,weave=1,kgroups=1,splits=1,ctas=1",
    "fwd_mma:bm=32,bn=64,warps=4,stages=3,qreg=1,slice=32,weave=0,kgroups=2,splits=1,ctas=1",
    "fwd_mma:bm=16,bn=32,warps=2,stages=2,qreg=0,slice=16,weave=0,kgroups=2,splits=4,ctas=1",
    "fwd_mma:bm=64,bn=16,warps=2,stages=3,qreg=0,slice=16,weave=0,kgroups=1,splits=2,ctas=1",
    "fwd_mma:bm=64,bn=32,warps=2,stages=4,qreg=1,slice=16,weave=1,kgroups=1,splits=2,ctas=1",
};
enum { N_VARIANTS = sizeof variants / sizeof *variants };

static void run(const char *variant, const feature_case &c)
{
  fl4_context_options o = FL4_CONTEXT_OPTIONS_INIT;
  fl4_context *ctx;
  char why[512], text[256];
  o.device = "emu", o.variant = variant;
  ck_assert_fl4(fl4_context_create(&ctx, &o));
  emu::options.seed = c.seed + 1;
  emu::options.copies = c.seed % 2 ? emu::Copies::early : emu::Copies::late;
  feature_describe(&c, text);
  const bool right = feature_run(ctx, &c, nullptr, why);
  ck_assert_msg(right, "%s: %s %s", text, variant, why);
  fl4_context_destroy(&ctx);
}

enum { N_RANDOM = 60 };

START_TEST(single)
{
  run(variants[_i % N_VARIANTS], feature_single(_i));
}
END_TEST

START_TEST(together)
{
  static const int D[] = {32, 16, 72};
  run(variants[_i % N_VARIANTS], feature_random((uint64_t)_i + 1000, D[_i / N_VARIANTS % 3], 90, 150));
}
END_TEST

static Suite *suite()
{
  emu::add_device();
  Suite *s = suite_create("features of fwd_mma");
  TCase *t = tcase_create("fwd_mma");
  tcase_set_timeout(t, 120);
  tcase_add_loop_test(t, single, 0, FEATURE_SINGLES);
  tcase_add_loop_test(t, together, 0, N_RANDOM);
  suite_add_tcase(s, t);
  return s;
}

FL4_TEST_MAIN_MODE(suite, CK_NOFORK)

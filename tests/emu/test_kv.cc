/* SPDX-License-Identifier: Apache-2.0 */
/* The kernels beside attention on the emulated GPU. */
#include "backend.h"
#include "merge_rig.h"
extern "C" {
#include "fl4_test.h"
}

enum { N_MERGES = 60 };

static fl4_context *open_emu()
{
  fl4_context_options o = FL4_CONTEXT_OPTIONS_INIT;
  fl4_context *ctx;
  o.device = "emu";
  ck_assert_fl4(fl4_context_create(&ctx, &o));
  return ctx;
}

START_TEST(merges)
{
  fl4_context *ctx = open_emu();
  char why[512], text[128];
  for (uint64_t seed = 0; seed < N_MERGES; seed++) {
    const merge_case c = merge_random(1000 + seed);
    merge_describe(&c, text);
    emu::options.seed = seed + 1;
    ck_assert_msg(merge_run(ctx, &c, why), "%s: %s", text, why);
  }
  fl4_context_destroy(&ctx);
}
END_TEST

static Suite *suite()
{
  emu::add_device();
  Suite *s = suite_create("kv");
  TCase *t = tcase_create("kv");
  tcase_set_timeout(t, 300);
  tcase_add_test(t, merges);
  suite_add_tcase(s, t);
  return s;
}

FL4_TEST_MAIN_MODE(suite, CK_NOFORK)

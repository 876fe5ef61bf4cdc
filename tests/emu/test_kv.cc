/* SPDX-License-Identifier: Apache-2.0 */
/* The kernels beside attention on the emulated GPU. */
#include "append_rig.h"
#include "backend.h"
#include "merge_rig.h"
extern "C" {
#include "fl4_test.h"
}

enum { N_MERGES = 60, N_APPENDS = 150 };

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

START_TEST(appends)
{
  fl4_context *ctx = open_emu();
  char why[512], text[192];
  for (uint64_t seed = 0; seed < N_APPENDS; seed++) {
    const append_case c = append_random(1000 + seed, false);
    append_describe(&c, text);
    emu::options.seed = seed + 1;
    ck_assert_msg(append_run(ctx, &c, why), "%s: %s", text, why);
  }
  fl4_context_destroy(&ctx);
}
END_TEST

/* fp32 is the host's alone. */
START_TEST(append_of_fp32)
{
  fl4_context *ctx = open_emu();
  fl4_kv_append_args a = FL4_KV_APPEND_ARGS_INIT;
  a.dtype = FL4_DTYPE_FP32, a.B = 1, a.Hkv = 1, a.Sn = 1, a.Sk = 8, a.D = 8;
  ck_assert_fl4_fails(fl4_kv_append_prepare(ctx, &a), FL4_UNSUPPORTED, "fl4_kv_append_args.dtype: is FL4_DTYPE_FP32");
  a.dtype = FL4_DTYPE_FP16;
  ck_assert_fl4(fl4_kv_append_prepare(ctx, &a));
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
  tcase_add_test(t, appends);
  tcase_add_test(t, append_of_fp32);
  suite_add_tcase(s, t);
  return s;
}

FL4_TEST_MAIN_MODE(suite, CK_NOFORK)

/* SPDX-License-Identifier: Apache-2.0 */
/* Which family a plan is of, and what is said of the better ones, on a GPU that is made up. */
#include <stddef.h>

#include "fake_gpu.h"

static fl4_context *ctx;
static int n_said; /* messages so far, and the last of them */
static char said[256];

static void hear(void *user, fl4_log_level level, const char *message)
{
  (void)user, (void)level;
  n_said++;
  snprintf(said, sizeof said, "%s", message);
}

static void setup(void)
{
  fl4__backend_extra = &fake_backend;
}

static void teardown(void)
{
  fl4_context_destroy(&ctx);
}

static void open_gpu(int sm, const char *variant)
{
  fl4_context_options o = FL4_CONTEXT_OPTIONS_INIT;
  fake.sm = sm;
  o.device = "fake", o.variant = variant;
  o.log = hear, o.log_level = FL4_LOG_INFO;
  ck_assert_fl4(fl4_context_create(&ctx, &o));
  n_said = 0;
}

/* The plan's variant, for rows of 64 that are `pitch` elements apart. */
static const char *variant_for(int64_t pitch)
{
  static fl4_plan_info info;
  fl4_attention_args a = FL4_ATTENTION_ARGS_INIT;
  info = (fl4_plan_info)FL4_PLAN_INFO_INIT;
  a.dtype = FL4_DTYPE_FP16, a.B = 1, a.Hq = 4, a.Hkv = 4, a.Sq = 100, a.Sk = 100, a.D = 64;
  a.k_stride[0] = 400 * pitch, a.k_stride[1] = 100 * pitch, a.k_stride[2] = pitch;
  ck_assert_fl4(fl4_attention_plan_info(ctx, &a, &info));
  return info.variant;
}

#define starts_with(text, words) ck_assert_msg(strncmp(text, words, strlen(words)) == 0, "%s", text)

START_TEST(the_best_runs)
{
  open_gpu(90, NULL);
  starts_with(variant_for(64), "fwd_wgmma:");
  ck_assert_int_eq(n_said, 0);
}
END_TEST

/* When its kernel is built, it is said why a better one does not run; calls that follow are silent. */
START_TEST(another_one_runs)
{
  open_gpu(90, NULL);
  for (int i = 0; i < 3; i++) {
    starts_with(variant_for(65), "fwd_mma:");
    ck_assert_int_eq(n_said, 1);
  }
  starts_with(said, "fwd_wgmma: rows are not aligned");
  ck_assert_ptr_nonnull(strstr(said, "; fwd_mma runs"));
}
END_TEST

START_TEST(another_gpu)
{
  open_gpu(89, NULL);
  starts_with(variant_for(64), "fwd_mma:");
  ck_assert_int_eq(n_said, 1);
  starts_with(said, "fwd_wgmma: the GPU is sm_89, needed is sm_90; fwd_mma runs");
}
END_TEST

/* Whoever asks for a family knows why it runs. */
START_TEST(asked_for)
{
  open_gpu(90, "fwd_mma");
  starts_with(variant_for(64), "fwd_mma:");
  ck_assert_int_eq(n_said, 0);
}
END_TEST

static Suite *suite(void)
{
  Suite *s = suite_create("plan");
  TCase *t = tcase_create("plan");
  tcase_add_checked_fixture(t, setup, teardown);
  tcase_add_test(t, the_best_runs);
  tcase_add_test(t, another_one_runs);
  tcase_add_test(t, another_gpu);
  tcase_add_test(t, asked_for);
  suite_add_tcase(s, t);
  return s;
}

FL4_TEST_MAIN(suite)

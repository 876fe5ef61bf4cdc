/* SPDX-License-Identifier: Apache-2.0 */
/* FlashAttention's grids on the GPU, by the library's own choice. Their kernels are compiled ahead. */
#include "ahead.h"
#include "flash_grid.h"

static ahead_job *jobs;
static fl4_context *ctx;
static char cache_dir[64];

static void open_shared(void)
{
  make_temporary(cache_dir, sizeof cache_dir);
  ahead_all(cache_dir);
  ctx = ahead_context(NULL, 0, cache_dir);
  ck_assert_ptr_nonnull(ctx);
}

static void close_shared(void)
{
  fl4_context_destroy(&ctx);
  remove_temporary(cache_dir);
}

START_TEST(right)
{
  fl4_problem problem = FL4_PROBLEM_INIT;
  fl4_check_options options = FL4_CHECK_OPTIONS_INIT;
  fl4_check_result r = FL4_CHECK_RESULT_INIT;
  ck_assert_fl4(fl4_problem_parse(jobs[_i].line, &problem));
  options.seed = (uint64_t)_i;
  const fl4_status status = fl4_check(ctx, &problem, &options, &r);
  ck_assert_msg(status == FL4_OK, "%s: %s", jobs[_i].line, fl4_last_error());
  ck_assert_msg(r.passed,
                "%s, %s: finite %d canaries %d deterministic %d; max error %g of %g, mean %g of %g, LSE %g of %g",
                jobs[_i].line, r.variant, r.finite, r.canaries, r.deterministic, r.max_error, r.max_allowed,
                r.mean_error, r.mean_allowed, r.lse_error, r.lse_allowed);
}
END_TEST

static Suite *suite(void)
{
  const int n = flash_grid_count();
  Suite *s = suite_create("gpu_flash");
  TCase *t = tcase_create("own choice");
  jobs = calloc((size_t)n, sizeof *jobs);
  if (!jobs) abort();
  for (int i = 0; i < n; i++) flash_grid_line(i, jobs[i].line);
  ahead_share(jobs, n);
  tcase_add_unchecked_fixture(t, open_shared, close_shared);
  tcase_add_loop_test(t, right, 0, n);
  suite_add_tcase(s, t);
  return s;
}

FL4_TEST_MAIN_CUDA(suite)

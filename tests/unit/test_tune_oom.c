/* SPDX-License-Identifier: Apache-2.0 */
/* Memory runs out at each allocation of a tuning in turn: it says so, and the next one works. */
#include "no_memory.h"
#include "scratch.h"
#include "fake_gpu.h"

static fl4__backend backend;
static fl4_context *ctx;
static fl4_problem problem;
static fl4_tune_options options;

/* The host, with a clock that makes no noise; nothing is compiled there, so there are no other threads. */
static void setup(void)
{
  scratch_setup();
  setenv("FLASHL4_WISDOM", "off", 1);
  fl4_context_options o = FL4_CONTEXT_OPTIONS_INIT;
  o.device = "host", o.threads = 1;
  ck_assert_fl4(fl4_context_create(&ctx, &o));
  backend = fl4__backend_host;
  backend.timing = &fake_timing;
  ctx->device->backend = &backend;
  problem = problem_of("hq1sq9sk12d8:lse");
  options = (fl4_tune_options)FL4_TUNE_OPTIONS_INIT;
  options.max_evaluations = 2, options.log = in_scratch("tune.log");
}

static void teardown(void)
{
  ctx->device->backend = &fl4__backend_host;
  fl4_context_destroy(&ctx);
  scratch_teardown();
}

static fl4_status run_tune(void)
{
  fl4_tune_candidate candidates[2] = {FL4_TUNE_CANDIDATE_INIT, FL4_TUNE_CANDIDATE_INIT};
  fl4_tune_report report = FL4_TUNE_REPORT_INIT;
  report.candidates = candidates, report.candidates_size = 2;
  (void)unlink(options.log);
  return fl4_tune(ctx, &problem, &options, &report);
}

static fl4_status run_space(void)
{
  fl4_tune_space_info info = FL4_TUNE_SPACE_INFO_INIT;
  return fl4_tune_space(ctx, &problem, NULL, &info);
}

/* Until nothing fails any more. What can be done without, such as a second set of inputs, may be. */
static int walk(fl4_status (*what)(void))
{
  int failed = 0;
  for (int after = 0;; after++) {
    ck_assert_int_lt(after, 5000);
    no_memory_after = after;
    const fl4_status status = what();
    const bool hit = no_memory_after < 0;
    no_memory_after = -1;
    if (!hit) {
      ck_assert_fl4(status);
      return failed;
    }
    failed += status != FL4_OK;
    if (status == FL4_OK) continue;
    ck_assert_msg(status == FL4_OUT_OF_MEMORY, "allocation %d: %s: %s", after + 1, fl4_status_name(status),
                  fl4_last_error());
    ck_assert_msg(strstr(fl4_last_error(), "no memory") != NULL, "allocation %d: %s", after + 1, fl4_last_error());
  }
}

START_TEST(tuning)
{
  ck_assert_int_gt(walk(run_tune), 40);
}
END_TEST

START_TEST(space)
{
  ck_assert_int_ge(walk(run_space), 1);
}
END_TEST

static Suite *make_suite(void)
{
  Suite *s = suite_create("tune_oom");
  TCase *tc = tcase_create("memory");
  tcase_add_checked_fixture(tc, setup, teardown);
  tcase_set_timeout(tc, 200);
  tcase_add_test(tc, tuning);
  tcase_add_test(tc, space);
  suite_add_tcase(s, tc);
  return s;
}

FL4_TEST_MAIN(make_suite)

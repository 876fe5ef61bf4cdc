/* SPDX-License-Identifier: Apache-2.0 */
/* FlashAttention's grids on the host: of those that a CPU and its fp64 oracle do in a moment, each third. */
#include "flash_grid.h"

#include "fl4_test.h"
#include "oracle/check.h"

enum { MOST_CASES = 1000, EACH = 3, MOST_SCORES = 1200000 };

static int chosen[MOST_CASES], n_chosen;
static fl4_context *ctx;

static void choose(void)
{
  for (int i = 0; i < flash_grid_count(); i++) {
    char line[FL4_PROBLEM_LINE_MAX];
    fl4_problem p = FL4_PROBLEM_INIT;
    flash_grid_line(i, line);
    if (fl4_problem_parse(line, &p) != FL4_OK) abort();
    if (p.B * p.Hq * p.Sq * p.Sk <= MOST_SCORES && i % EACH == 0) chosen[n_chosen++] = i;
  }
}

static void set_up(void)
{
  fl4_context_options o = FL4_CONTEXT_OPTIONS_INIT;
  o.device = "host";
  ck_assert_fl4(fl4_context_create(&ctx, &o));
}

static void tear_down(void)
{
  fl4_context_destroy(&ctx);
}

START_TEST(right)
{
  char line[FL4_PROBLEM_LINE_MAX];
  fl4_problem problem = FL4_PROBLEM_INIT;
  fl4_check_options options = FL4_CHECK_OPTIONS_INIT;
  fl4_check_result r = FL4_CHECK_RESULT_INIT;
  flash_grid_line(chosen[_i], line);
  ck_assert_fl4(fl4_problem_parse(line, &problem));
  options.seed = (uint64_t)_i;
  const fl4_status status = fl4_check(ctx, &problem, &options, &r);
  ck_assert_msg(status == FL4_OK, "%s: %s", line, fl4_last_error());
  ck_assert_msg(r.passed, "%s: max error %g of %g, LSE %g of %g", line, r.max_error, r.max_allowed, r.lse_error,
                r.lse_allowed);
}
END_TEST

/* Cases differ, and a line is what the library writes for its problem. */
START_TEST(lines)
{
  static char all[MOST_CASES][FL4_PROBLEM_LINE_MAX];
  const int n = flash_grid_count();
  ck_assert_int_le(n, MOST_CASES);
  for (int i = 0; i < n; i++) {
    fl4_problem problem = FL4_PROBLEM_INIT;
    char again[FL4_PROBLEM_LINE_MAX];
    flash_grid_line(i, all[i]);
    ck_assert_fl4(fl4_problem_parse(all[i], &problem));
    ck_assert_fl4(fl4_problem_format(&problem, again, sizeof again));
    fl4_problem same = FL4_PROBLEM_INIT;
    ck_assert_fl4(fl4_problem_parse(again, &same));
    ck_assert_int_eq(memcmp(&problem, &same, sizeof same), 0);
    for (int k = 0; k < i; k++) ck_assert_str_ne(all[i], all[k]);
  }
}
END_TEST

static Suite *suite(void)
{
  Suite *s = suite_create("flash_grid");
  TCase *t = tcase_create("host");
  tcase_add_unchecked_fixture(t, set_up, tear_down);
  tcase_set_timeout(t, 120);
  tcase_add_test(t, lines);
  choose();
  tcase_add_loop_test(t, right, 0, n_chosen);
  suite_add_tcase(s, t);
  return s;
}

FL4_TEST_MAIN(suite)

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The search on spaces of other people's kernels, exhaustively measured by them: T4 files in the folder that
 * $FL4_TUNING_SPACES names. Without it the program is skipped.
 */
#include <glob.h>

#include <flashl4/tune.h>

#include "fl4_test.h"

enum { SEEDS = 100, MOST_FILES = 64 };

static glob_t files;

static fl4_replay_report replayed(const char *file, const char *strategy)
{
  fl4_replay_report report = FL4_REPLAY_REPORT_INIT;
  ck_assert_fl4(fl4_tune_replay(file, strategy, SEEDS, 0, NULL, &report));
  return report;
}

/* On every space the median run is ahead of the yardsticks. */
START_TEST(ahead_of_random_and_genetic)
{
  const char *file = files.gl_pathv[_i];
  const fl4_replay_report e = replayed(file, "evolve"), g = replayed(file, "genetic"), r = replayed(file, "random");
  ck_assert_msg(e.to_95[0] < g.to_95[0] && e.to_95[0] < r.to_95[0], "%s: to 95 %%: evolve %d, genetic %d, random %d",
                file, (int)e.to_95[0], (int)g.to_95[0], (int)r.to_95[0]);
  ck_assert_msg(e.to_99[0] < g.to_99[0] && e.to_99[0] < r.to_99[0], "%s: to 99 %%: evolve %d, genetic %d, random %d",
                file, (int)e.to_99[0], (int)g.to_99[0], (int)r.to_99[0]);
}
END_TEST

static int ascending(const void *a, const void *b)
{
  return *(const int *)a - *(const int *)b;
}

START_TEST(median_of_the_medians)
{
  int to_95[MOST_FILES];
  const int n = (int)files.gl_pathc;
  for (int i = 0; i < n; i++) to_95[i] = replayed(files.gl_pathv[i], "evolve").to_95[0];
  qsort(to_95, (size_t)n, sizeof *to_95, ascending);
  ck_assert_int_le(to_95[n / 2], 100); /* of an even number the worse one */
}
END_TEST

static Suite *make_suite(void)
{
  Suite *s = suite_create("replay spaces");
  TCase *t = tcase_create("spaces");
  tcase_set_timeout(t, 600);
  tcase_add_loop_test(t, ahead_of_random_and_genetic, 0, (int)files.gl_pathc);
  tcase_add_test(t, median_of_the_medians);
  suite_add_tcase(s, t);
  return s;
}

int main(void)
{
  char pattern[4096];
  const char *folder = getenv("FL4_TUNING_SPACES");
  snprintf(pattern, sizeof pattern, "%s/*.json.gz", folder ? folder : "");
  if (!folder || glob(pattern, 0, NULL, &files) != 0 || files.gl_pathc > MOST_FILES) {
    puts("1..0 # SKIP FL4_TUNING_SPACES names no folder with *.json.gz files");
    return EXIT_SUCCESS;
  }
  SRunner *runner = srunner_create(make_suite());
  srunner_set_tap(runner, "-");
  srunner_run_all(runner, CK_SILENT);
  const int failed = srunner_ntests_failed(runner);
  srunner_free(runner);
  globfree(&files);
  return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* What every test program shares: TAP on standard output, and assertions about statuses. */
#ifndef FL4_TEST_H
#define FL4_TEST_H

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <flashl4/flashl4.h>

/* The call succeeds; else its sentence is shown. */
#define ck_assert_fl4(expr)                                                                        \
  do {                                                                                             \
    fl4_status got_ = (expr);                                                                      \
    ck_assert_msg(got_ == FL4_OK, "%s: %s: %s", #expr, fl4_status_name(got_), fl4_last_error());   \
  } while (0)

/* The call fails with this status, and its sentence contains `words`. */
#define ck_assert_fl4_fails(expr, expected, words)                                                 \
  do {                                                                                             \
    fl4_status got_ = (expr);                                                                      \
    ck_assert_msg(got_ == (expected), "%s: got %s (%s), expected %s", #expr, fl4_status_name(got_), \
                  fl4_last_error(), fl4_status_name(expected));                                    \
    ck_assert_msg(strstr(fl4_last_error(), (words)) != NULL, "%s: \"%s\" does not say \"%s\"", #expr, \
                  fl4_last_error(), (words));                                                      \
  } while (0)

/* What this machine has been tuned for must not change what a test runs. */
#define FL4_TEST_NO_WISDOM() setenv("FLASHL4_WISDOM", "off", 1)

/* One suite a program. GPU programs never fork: a CUDA context does not survive it. */
#define FL4_TEST_MAIN_MODE(make_suite, fork_mode)                                                  \
  int main(void)                                                                                   \
  {                                                                                                \
    FL4_TEST_NO_WISDOM();                                                                          \
    SRunner *runner = srunner_create(make_suite());                                                \
    srunner_set_fork_status(runner, fork_mode);                                                    \
    srunner_set_tap(runner, "-");                                                                  \
    srunner_run_all(runner, CK_SILENT);                                                            \
    int failed = srunner_ntests_failed(runner);                                                    \
    srunner_free(runner);                                                                          \
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;                                                   \
  }
#define FL4_TEST_MAIN(make_suite) FL4_TEST_MAIN_MODE(make_suite, CK_FORK_GETENV)

/* CUDA programs: without a device the whole program is skipped, with the reason. */
#define FL4_TEST_MAIN_CUDA(make_suite)                                                             \
  int main(void)                                                                                   \
  {                                                                                                \
    FL4_TEST_NO_WISDOM();                                                                          \
    fl4_device_info info_ = FL4_DEVICE_INFO_INIT;                                                  \
    if (fl4_device_get_info(0, &info_) != FL4_OK || info_.kind != FL4_DEVICE_CUDA) {               \
      puts("1..0 # SKIP no CUDA device");                                                          \
      return 0;                                                                                    \
    }                                                                                              \
    SRunner *runner_ = srunner_create(make_suite());                                               \
    srunner_set_fork_status(runner_, CK_NOFORK);                                                   \
    srunner_set_tap(runner_, "-");                                                                 \
    srunner_run_all(runner_, CK_SILENT);                                                           \
    int failed_ = srunner_ntests_failed(runner_);                                                  \
    srunner_free(runner_);                                                                         \
    return failed_ ? EXIT_FAILURE : EXIT_SUCCESS;                                                  \
  }

#endif

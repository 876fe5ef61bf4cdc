/* SPDX-License-Identifier: Apache-2.0 */
/* Sentences for programs (error.h) and for people (log.h). */
#include <unistd.h>

#include "context.h"
#include "error.h"
#include "fl4_test.h"

/* Errors */

static fl4_status tries(fl4_status status)
{
  FL4_TRY(status);
  return FL4_INTERNAL; /* gone on */
}

static fl4_status tries_goto(fl4_status given, int *cleaned)
{
  fl4_status status;
  FL4_TRY_GOTO(given);
  status = FL4_INTERNAL;
done:
  ++*cleaned;
  return status;
}

START_TEST(fail_records_and_returns)
{
  ck_assert_str_eq(fl4_last_error(), "");
  ck_assert_int_eq(fl4__fail(FL4_IO_ERROR, "file %s: %d", "x", 7), FL4_IO_ERROR);
  ck_assert_str_eq(fl4_last_error(), "file x: 7");
  ck_assert_int_eq(fl4__fail_context(FL4_IO_ERROR, "opening %s", "y"), FL4_IO_ERROR);
  ck_assert_str_eq(fl4_last_error(), "opening y: file x: 7");
  /* The last sentence may be part of the next. */
  ck_assert_int_eq(fl4__fail(FL4_INTERNAL, "<%s>", fl4_last_error()), FL4_INTERNAL);
  ck_assert_str_eq(fl4_last_error(), "<opening y: file x: 7>");
}
END_TEST

START_TEST(long_sentences_are_cut)
{
  char text[10000];
  memset(text, 'x', sizeof text - 1);
  text[sizeof text - 1] = '\0';
  ck_assert_int_eq(fl4__fail(FL4_INTERNAL, "%s", text), FL4_INTERNAL);
  size_t length = strlen(fl4_last_error());
  ck_assert_uint_ge(length, 1000);
  ck_assert_uint_lt(length, sizeof text - 1);
  ck_assert_int_eq(fl4__fail_context(FL4_INTERNAL, "%s", text), FL4_INTERNAL);
  ck_assert_uint_eq(strlen(fl4_last_error()), length);
}
END_TEST

START_TEST(failures_travel)
{
  int cleaned = 0;
  ck_assert_int_eq(tries(FL4_NO_DEVICE), FL4_NO_DEVICE);
  ck_assert_int_eq(tries(FL4_OK), FL4_INTERNAL);
  ck_assert_int_eq(tries_goto(FL4_NO_DEVICE, &cleaned), FL4_NO_DEVICE);
  ck_assert_int_eq(tries_goto(FL4_OK, &cleaned), FL4_INTERNAL);
  ck_assert_int_eq(cleaned, 2);
}
END_TEST

/* Log */

static struct {
  int calls;
  fl4_log_level level;
  char text[8192];
} heard;

static void hear(void *user, fl4_log_level level, const char *message)
{
  ck_assert_ptr_eq(user, &heard);
  heard.calls++;
  heard.level = level;
  snprintf(heard.text, sizeof heard.text, "%s", message);
}

START_TEST(log_calls_the_function)
{
  fl4__log log = {hear, &heard, FL4_LOG_WARN};
  fl4__log_write(&log, FL4_LOG_WARN, "%d of %s", 3, "four");
  ck_assert_int_eq(heard.calls, 1);
  ck_assert_int_eq(heard.level, FL4_LOG_WARN);
  ck_assert_str_eq(heard.text, "3 of four");
  fl4__log_write(&log, FL4_LOG_INFO, "too much");
  ck_assert_int_eq(heard.calls, 1);
  fl4__log_write(&log, FL4_LOG_ERROR, "bad");
  ck_assert_int_eq(heard.calls, 2);
  ck_assert_int_eq(heard.level, FL4_LOG_ERROR);
  fl4__log_write(NULL, FL4_LOG_ERROR, "to nobody");
  ck_assert_int_eq(heard.calls, 2);
  fl4__log_write(&log, FL4_LOG_ERROR, "%7000s", "long");
  ck_assert_uint_ge(strlen(heard.text), 1000);
}
END_TEST

/* What a log with this function says on standard error. */
static void capture_stderr(const fl4__log *log, char *text, size_t size)
{
  int pipe_ends[2], saved = dup(STDERR_FILENO);
  ck_assert_int_eq(pipe(pipe_ends), 0);
  dup2(pipe_ends[1], STDERR_FILENO);
  fl4__log_write(log, FL4_LOG_WARN, "look out");
  fflush(stderr);
  dup2(saved, STDERR_FILENO);
  close(saved);
  close(pipe_ends[1]);
  ssize_t n = read(pipe_ends[0], text, size - 1);
  text[n > 0 ? n : 0] = '\0';
  close(pipe_ends[0]);
}

START_TEST(log_goes_to_stderr_else)
{
  fl4__log warns = {.level = FL4_LOG_WARN}, quiet = {.level = FL4_LOG_ERROR};
  char text[256];
  capture_stderr(&warns, text, sizeof text);
  ck_assert_str_eq(text, "flashl4: look out\n");
  capture_stderr(&quiet, text, sizeof text);
  ck_assert_str_eq(text, "");
}
END_TEST

static void ck_assert_level(int given, const char *variable, int expected)
{
  fl4_context *ctx = NULL;
  fl4_context_options options = FL4_CONTEXT_OPTIONS_INIT;
  options.device = "host", options.log_level = given, options.log = hear, options.log_user = &heard;
  if (variable)
    setenv("FLASHL4_LOG", variable, 1);
  else
    unsetenv("FLASHL4_LOG");
  ck_assert_fl4(fl4_context_create(&ctx, &options));
  ck_assert_int_eq(ctx->log.level, expected);
  ck_assert_ptr_eq(ctx->log.fn, hear);
  ck_assert_ptr_eq(ctx->log.user, &heard);
  ck_assert_ptr_eq(ctx->device->config.log, &ctx->log);
  fl4_context_destroy(&ctx);
}

START_TEST(log_level_comes_from_options_or_environment)
{
  ck_assert_level(0, NULL, FL4_LOG_WARN);
  ck_assert_level(0, "4", FL4_LOG_DEBUG);
  ck_assert_level(FL4_LOG_ERROR, "4", FL4_LOG_ERROR);
  ck_assert_level(0, "9", FL4_LOG_WARN);
  ck_assert_level(0, "loud", FL4_LOG_WARN);
}
END_TEST

static Suite *make_suite(void)
{
  Suite *suite = suite_create("messages");
  TCase *c = tcase_create("messages");
  tcase_add_test(c, fail_records_and_returns);
  tcase_add_test(c, long_sentences_are_cut);
  tcase_add_test(c, failures_travel);
  tcase_add_test(c, log_calls_the_function);
  tcase_add_test(c, log_goes_to_stderr_else);
  tcase_add_test(c, log_level_comes_from_options_or_environment);
  suite_add_tcase(suite, c);
  return suite;
}

FL4_TEST_MAIN(make_suite)

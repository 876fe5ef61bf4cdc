/* SPDX-License-Identifier: Apache-2.0 */
/* The log of a tuning: what is written, what comes back of it, who may not write. */
#include <jansson.h>

#include "tune/space.h"
#include "tune_log_data.h"

START_TEST(comes_back)
{
  const char *file = in_scratch("log");
  fl4__tune_log *log = opened(file, "p");
  ck_assert_int_eq(back.n, 0);
  fl4_tune_candidate written[16 + FL4_INVALIDITY_COUNT];
  int n = 0;
  for (int i = 0; i < 16; i++) written[n++] = candidate_of(i);
  for (int i = 0; i < FL4_INVALIDITY_COUNT; i++)
    if (i != FL4_INVALIDITY_CORRECT) written[n++] = failed_of(i, (fl4_invalidity)i, "because of \"this\"\n and that");
  for (int i = 0; i < n; i++) write_one(log, &written[i]);
  fl4__tune_log_close(log);
  for (int times = 0; times < 2; times++) {
    read_back(file, "p");
    ck_assert_int_eq(back.n, n);
    for (int i = 0; i < n; i++) ck_assert_same(&back.c[i], &written[i]);
  }
}
END_TEST

/* The words of T4, and one line about what is tuned however often it is opened. */
START_TEST(lines)
{
  const char *file = in_scratch("log");
  fl4_tune_candidate c = candidate_of(5);
  fl4__tune_log *log = opened(file, "p");
  write_one(log, &c);
  fl4__tune_log_close(log);
  read_back(file, "p");
  size_t size;
  char *text = read_file(file, &size), *at = text;
  json_t *line[3];
  for (int i = 0; i < 3; i++) {
    char *end = strchr(at, '\n');
    ck_assert_ptr_nonnull(end);
    line[i] = json_loadb(at, (size_t)(end - at), 0, NULL);
    ck_assert(json_is_object(line[i]));
    const char *stamp = json_string_value(json_object_get(line[i], "timestamp"));
    ck_assert(stamp && strlen(stamp) == strlen("2026-01-01T00:00:00.000000Z"));
    at = end + 1;
  }
  ck_assert_str_eq(at, "");
  const char *problem, *device, *family, *space, *source, *mode, *inputs, *version, *system;
  int schema, cold;
  ck_assert_int_eq(json_unpack_ex(line[0], NULL, JSON_STRICT,
                                  "{s:{s:i,s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:b},s:{s:s,s:s},s:o}", "tuning", "schema",
                                  &schema, "problem", &problem, "device", &device, "family", &family, "space", &space,
                                  "source", &source, "mode", &mode, "inputs", &inputs, "cold", &cold, "environment",
                                  "flashl4", &version, "system", &system, "timestamp", &(json_t *){0}),
                   0);
  ck_assert(schema == 1 && !cold);
  ck_assert_str_eq(problem, "p");
  ck_assert_str_eq(device, "host avx2 2T");
  ck_assert_str_eq(family, "host");
  ck_assert_str_eq(space, "123456789abcdef0");
  ck_assert_str_eq(source, "0000000000000000");
  ck_assert_str_eq(version, fl4_version_string());
  const char *variant;
  int evaluation, bm, bn, threads;
  ck_assert_int_eq(json_unpack(line[1], "{s:{s:s,s:i,s:{s:i,s:i,s:i}}}", "begin", "variant", &variant, "evaluation",
                               &evaluation, "configuration", "bm", &bm, "bn", &bn, "threads", &threads),
                   0);
  ck_assert_str_eq(variant, c.variant);
  ck_assert(evaluation == 5 && bm == 12 && bn == 64 && threads == 2);
  const char *invalidity, *name, *unit, *objective;
  double compilation, run[3], value;
  int correctness;
  ck_assert_int_eq(json_unpack(line[2], "{s:{s:i,s:i,s:i},s:{s:f,s:[fff!]},s:s,s:i,s:[{s:s,s:f,s:s}!],s:[s!],s:{s:i}}",
                               "configuration", "bm", &bm, "bn", &bn, "threads", &threads, "times", "compilation",
                               &compilation, "runtimes", &run[0], &run[1], &run[2], "invalidity", &invalidity,
                               "correctness", &correctness, "measurements", "name", &name, "value", &value, "unit",
                               &unit, "objectives", &objective, "flashl4", "evaluation", &evaluation),
                   0);
  ck_assert(bm == 12 && bn == 64 && threads == 2 && correctness == 1 && evaluation == 5 && compilation == 2.5);
  ck_assert_double_eq_tol(run[1], 0.1015, 1e-15);
  ck_assert_double_eq_tol(value, c.p50 * 1e-3, 1e-15);
  ck_assert_str_eq(invalidity, "correct");
  ck_assert_str_eq(name, "time");
  ck_assert_str_eq(unit, "ms");
  ck_assert_str_eq(objective, "time");
  for (int i = 0; i < 3; i++) json_decref(line[i]);
  free(text);
}
END_TEST

START_TEST(strange_values)
{
  const char *file = in_scratch("log");
  fl4__tune_log *log = opened(file, "p");
  fl4_tune_candidate c = failed_of(1, FL4_INVALIDITY_COMPILE, "caf\xc3\xa9");
  write_one(log, &c);
  c = failed_of(2, FL4_INVALIDITY_COMPILE, "caf\xc3");
  c.compile_ms = (double)NAN;
  write_one(log, &c);
  fl4__tune_log_close(log);
  read_back(file, "p");
  ck_assert_str_eq(back.c[0].error, "caf\xc3\xa9");
  ck_assert_str_eq(back.c[1].error, "caf?");
  ck_assert_double_eq(back.c[1].compile_ms, 0);
}
END_TEST

START_TEST(other_subjects)
{
  const char *file = in_scratch("log");
  static const char *const problems[] = {"p", "q", "p", "r", "q"};
  for (int i = 0; i < 5; i++) {
    fl4__tune_log *log = opened(file, problems[i]);
    const fl4_tune_candidate c = candidate_of(i);
    write_one(log, &c);
    fl4__tune_log_close(log);
  }
  read_back(file, "p");
  ck_assert(back.n == 2 && back.c[0].evaluation == 0 && back.c[1].evaluation == 2);
  read_back(file, "q");
  ck_assert(back.n == 2 && back.c[0].evaluation == 1 && back.c[1].evaluation == 4);
  read_back(file, "s");
  ck_assert_int_eq(back.n, 0);

  /* Any other thing about the subject makes another of it. */
  fl4__tune_subject others[7];
  for (int i = 0; i < 7; i++) others[i] = subject_of("p");
  strcpy(others[0].device, "host avx2 4T");
  others[1].space_hash++;
  others[2].source_hash++;
  strcpy(others[3].mode, "eager");
  strcpy(others[4].inputs, "peaked");
  others[5].cold = 1;
  for (int i = 0; i < 7; i++) {
    fl4__tune_log *log;
    back.n = 0;
    ck_assert_fl4(fl4__tune_log_open(file, &others[i], take, &back, &log));
    ck_assert_int_eq(back.n, i < 6 ? 0 : 2);
    fl4__tune_log_close(log);
  }
}
END_TEST

/* ---------------------------------------------------------------- what began */

START_TEST(begun_and_not_ended)
{
  const char *file = in_scratch("log");
  const fl4_tune_candidate a = candidate_of(1), b = candidate_of(2), c = candidate_of(3);
  fl4__tune_log *log = opened(file, "p");
  write_one(log, &a);
  ck_assert_fl4(fl4__tune_log_begin(log, b.variant, 2));
  fl4__tune_log_close(log);

  log = opened(file, "p");
  ck_assert_int_eq(back.n, 2);
  ck_assert_same(&back.c[0], &a);
  ck_assert_str_eq(back.c[1].variant, b.variant);
  ck_assert(back.c[1].evaluation == 2 && back.c[1].invalidity == FL4_INVALIDITY_RUNTIME && back.c[1].same_as == -1);
  ck_assert(isnan(back.c[1].p50) && strstr(back.c[1].error, "did not end"));
  write_one(log, &c);
  ck_assert_fl4(fl4__tune_log_begin(log, a.variant, 4)); /* again, and this time it was the end */
  fl4__tune_log_close(log);

  log = opened(file, "p");
  ck_assert_int_eq(back.n, 4);
  ck_assert_same(&back.c[0], &a);
  ck_assert_same(&back.c[1], &c);
  ck_assert_str_eq(back.c[2].variant, b.variant);
  ck_assert_str_eq(back.c[3].variant, a.variant);
  ck_assert_int_eq(back.c[3].invalidity, FL4_INVALIDITY_RUNTIME);
  write_one(log, &b); /* somebody tried it after all */
  fl4__tune_log_close(log);

  read_back(file, "p");
  ck_assert_int_eq(back.n, 4);
  ck_assert_same(&back.c[2], &b);
  ck_assert_str_eq(back.c[3].variant, a.variant);
}
END_TEST

START_TEST(replayable)
{
  const char *file = in_scratch("log");
  fl4__tune_log *log = opened(file, "p");
  for (int i = 0; i < 14; i++) {
    const fl4_tune_candidate c = i == 6 ? failed_of(i, FL4_INVALIDITY_TIMEOUT, "slow") : candidate_of(i);
    write_one(log, &c);
  }
  ck_assert_fl4(fl4__tune_log_begin(log, candidate_of(14).variant, 14));
  fl4__tune_log_close(log);
  fl4__record r;
  ck_assert_fl4(fl4__record_read(file, &r));
  ck_assert_int_eq(r.space->n_points, 15);
  ck_assert_int_eq(r.space->n_axes, 3);
  ck_assert_int_eq(r.failed, 2);
  for (int i = 0; i < 15; i++) {
    const uint16_t values[] = {(uint16_t)(i / 4), (uint16_t)(i % 4), 0};
    const double cost = r.cost[fl4__space_find(r.space, values)];
    if (i == 6 || i == 14)
      ck_assert(isinf(cost));
    else
      ck_assert_double_eq_tol(cost, candidate_of(i).p50 * 1e-3, 1e-12);
  }
  fl4__record_close(&r);
  fl4_replay_report report = FL4_REPLAY_REPORT_INIT;
  ck_assert_fl4(fl4_tune_replay(file, "exhaustive", 1, 0, NULL, &report));
  ck_assert(report.points == 15 && report.failed == 2);
  log = opened(file, "q");
  const fl4_tune_candidate c = candidate_of(0);
  write_one(log, &c);
  fl4__tune_log_close(log);
  ck_assert_fl4_fails(fl4__record_read(file, &r), FL4_IO_ERROR, "another tuning than that of line 1");
}
END_TEST

/* ---------------------------------------------------------------- errors */

static int cannot_open(void *user)
{
  fl4__tune_log *log;
  EXPECT(try_open(user, "p", &log) == FL4_IO_ERROR);
  EXPECT(log == NULL && strstr(fl4_last_error(), "log: another process tunes with it"));
  return 0;
}

START_TEST(one_at_a_time)
{
  const char *file = in_scratch("log");
  fl4__tune_log *log = opened(file, "p"), *other;
  in_child(cannot_open, (void *)(uintptr_t)file);
  ck_assert_fl4_fails(try_open(file, "q", &other), FL4_IO_ERROR, "another process tunes with it");
  fl4__tune_log_close(log);
  fl4__tune_log_close(NULL);
  read_back(file, "q");
}
END_TEST

START_TEST(not_a_log)
{
  static const char *const texts[] = {"int main(void)\n", "{\"results\": []}", "\x1f\x8b\x08\x00 packed", "\n"};
  const char *file = in_scratch("log");
  fl4__tune_log *log;
  for (int i = 0; i < 4; i++) {
    write_file(file, texts[i], strlen(texts[i]));
    ck_assert_fl4_fails(try_open(file, "p", &log), FL4_IO_ERROR, "log: is not a log of a tuning");
    ck_assert_ptr_null(log);
    size_t size;
    char *text = read_file(file, &size);
    ck_assert_str_eq(text, texts[i]);
    free(text);
  }
  ck_assert_fl4_fails(try_open(in_scratch("no/log"), "p", &log), FL4_IO_ERROR, "log: cannot be opened: No such file");
  ck_assert_fl4_fails(try_open(scratch, "p", &log), FL4_IO_ERROR, "cannot be opened: Is a directory");
  ck_assert_fl4_fails(try_open("/dev/null", "p", &log), FL4_IO_ERROR, "/dev/null: is not a regular file");
}
END_TEST

START_TEST(bad_variants)
{
  const char *file = in_scratch("log");
  fl4__tune_log *log = opened(file, "p");
  fl4_tune_candidate c = candidate_of(0);
  strcpy(c.variant, "nobody:bm=1");
  ck_assert_fl4_fails(fl4__tune_log_begin(log, c.variant, 0), FL4_INVALID_ARGUMENT, "unknown family 'nobody'");
  ck_assert_fl4_fails(fl4__tune_log_end(log, &c, NULL, 0), FL4_INVALID_ARGUMENT, "unknown family 'nobody'");
  c = candidate_of(0);
  ck_assert_fl4(fl4__tune_log_end(log, &c, NULL, 5));
  fl4__tune_log_close(log);
  read_back(file, "p");
  ck_assert_int_eq(back.n, 1);
}
END_TEST

static fl4_status take_none(const fl4_tune_candidate *candidate, void *user)
{
  (void)candidate;
  return --*(int *)user < 0 ? FL4_OUT_OF_MEMORY : FL4_OK;
}

/* What the receiver of earlier outcomes returns ends the opening. */
START_TEST(receiver_fails)
{
  const char *file = in_scratch("log");
  fl4__tune_log *log = opened(file, "p");
  const fl4_tune_candidate c = candidate_of(0);
  write_one(log, &c);
  ck_assert_fl4(fl4__tune_log_begin(log, candidate_of(1).variant, 1));
  fl4__tune_log_close(log);
  const fl4__tune_subject subject = subject_of("p");
  for (int i = 0; i <= 2; i++) {
    int left = i;
    ck_assert_int_eq(fl4__tune_log_open(file, &subject, take_none, &left, &log), i < 2 ? FL4_OUT_OF_MEMORY : FL4_OK);
    ck_assert((log != NULL) == (i == 2));
  }
  fl4__tune_log_close(log);
}
END_TEST

static Suite *make_suite(void)
{
  Suite *s = suite_create("tuning log");
  TCase *t = tcase_create("log");
  tcase_add_checked_fixture(t, scratch_setup, scratch_teardown);
  tcase_set_timeout(t, 120);
  tcase_add_test(t, comes_back);
  tcase_add_test(t, lines);
  tcase_add_test(t, strange_values);
  tcase_add_test(t, other_subjects);
  tcase_add_test(t, begun_and_not_ended);
  tcase_add_test(t, replayable);
  tcase_add_test(t, one_at_a_time);
  tcase_add_test(t, not_a_log);
  tcase_add_test(t, bad_variants);
  tcase_add_test(t, receiver_fails);
  suite_add_tcase(s, t);
  return s;
}

FL4_TEST_MAIN(make_suite)

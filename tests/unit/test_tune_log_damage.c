/* SPDX-License-Identifier: Apache-2.0 */
/* The log of a tuning after damage: cut off, torn, altered, its writer killed. */
#include <sys/resource.h>

#include "tune_log_data.h"
#include "util/random.h"

/* A last line cut off anywhere: what stands before it holds, and what is appended then does too. */
START_TEST(cut_off)
{
  const char *file = in_scratch("log"), *cut = in_scratch("cut");
  const fl4_tune_candidate a = candidate_of(1), b = candidate_of(2), c = candidate_of(3);
  fl4__tune_log *log = opened(file, "p");
  write_one(log, &a);
  fl4__tune_log_close(log);
  size_t before, size;
  free(read_file(file, &before));
  log = opened(file, "p");
  write_one(log, &b);
  fl4__tune_log_close(log);
  char *text = read_file(file, &size);
  const size_t begin_end = (size_t)(strchr(text + before, '\n') - text);
  for (size_t at = 1; at < size; at++) {
    write_file(cut, text, at);
    log = opened(cut, "p");
    if (at >= before - 1) { /* the end of the line is not needed */
      ck_assert_int_eq(back.n, 1 + (at >= begin_end));
      ck_assert_same(&back.c[0], &a);
      if (at >= begin_end)
        ck_assert_int_eq(back.c[1].invalidity, at == size - 1 ? FL4_INVALIDITY_CORRECT : FL4_INVALIDITY_RUNTIME);
    }
    const int known = back.n;
    write_one(log, &c);
    fl4__tune_log_close(log);
    read_back(cut, "p");
    ck_assert_int_eq(back.n, known + 1);
    bool found_c = false;
    for (int i = 0; i < back.n; i++) found_c |= back.c[i].evaluation == 3 && back.c[i].p50 == c.p50;
    ck_assert(found_c);
  }
  free(text);
}
END_TEST

/* A disk that is full in the middle of a line: an error, and the log goes on when there is room. */
START_TEST(full_disk)
{
  const char *file = in_scratch("log");
  fl4__tune_log *log = opened(file, "p");
  const fl4_tune_candidate a = candidate_of(1), b = candidate_of(2);
  struct rlimit old, limit;
  size_t size;
  write_one(log, &a);
  free(read_file(file, &size));
  signal(SIGXFSZ, SIG_IGN);
  getrlimit(RLIMIT_FSIZE, &old);
  limit = old;
  limit.rlim_cur = size + 20;
  ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
  const fl4_status torn = fl4__tune_log_begin(log, b.variant, 2);
  char first[256], second[256];
  snprintf(first, sizeof first, "%s", fl4_last_error());
  const fl4_status none = fl4__tune_log_begin(log, b.variant, 2);
  snprintf(second, sizeof second, "%s", fl4_last_error());
  setrlimit(RLIMIT_FSIZE, &old);
  ck_assert(torn == FL4_IO_ERROR && none == FL4_IO_ERROR);
  ck_assert_ptr_nonnull(strstr(first, "log: 20 of "));
  ck_assert_ptr_nonnull(strstr(second, "log: cannot be written: File too large"));
  ck_assert_fl4(fl4__tune_log_end(log, &b, NULL, 0));
  fl4__tune_log_close(log);
  read_back(file, "p");
  ck_assert_int_eq(back.n, 2);
  ck_assert_same(&back.c[1], &b);
}
END_TEST

START_TEST(damaged_logs)
{
  const char *file = in_scratch("log"), *bad = in_scratch("bad");
  fl4__random random;
  fl4__random_init(&random, (uint64_t)_i);
  fl4__tune_log *log = opened(file, "p");
  for (int i = 0; i < 3; i++) {
    const fl4_tune_candidate c = i == 1 ? failed_of(i, FL4_INVALIDITY_COMPILE, "no") : candidate_of(i);
    write_one(log, &c);
  }
  fl4__tune_log_close(log);
  size_t size;
  char *good = read_file(file, &size), *text = malloc(size);
  int passed_over = 0, refused = 0;
  for (int n = 0; n < 1000; n++) {
    static const char letters[] = "{}[]\",:0123456789eE-+.\\\n truefalsn\0\x80\xff";
    memcpy(text, good, size);
    for (int changes = 1 + (int)fl4__random_below(&random, 5); changes > 0; changes--)
      text[fl4__random_below(&random, (uint32_t)size)] = letters[fl4__random_below(&random, sizeof letters - 1)];
    write_file(bad, text, n % 4 ? size : fl4__random_below(&random, (uint32_t)size));
    const fl4_status status = try_open(bad, "p", &log);
    refused += status != FL4_OK;
    if (status != FL4_OK) {
      ck_assert_int_eq(status, FL4_IO_ERROR);
      continue;
    }
    passed_over += back.n < 3;
    for (int i = 0; i < back.n; i++) {
      const fl4_tune_candidate *c = &back.c[i];
      ck_assert(c->invalidity >= 0 && c->invalidity < FL4_INVALIDITY_COUNT && strlen(c->variant) < sizeof c->variant);
      ck_assert(c->invalidity != FL4_INVALIDITY_CORRECT || c->p50 > 0);
    }
    const int known = back.n;
    const fl4_tune_candidate c = candidate_of(9);
    write_one(log, &c);
    fl4__tune_log_close(log);
    read_back(bad, "p");
    ck_assert_int_ge(back.n, known); /* one that had begun may be this one now */
    bool there = false;
    for (int i = 0; i < back.n; i++) there |= back.c[i].evaluation == 9 && back.c[i].p50 == c.p50;
    ck_assert(there);
  }
  ck_assert(passed_over > 100 && refused > 1);
  free(good);
  free(text);
}
END_TEST

/* ---------------------------------------------------------------- kill -9 */

enum { KILLS = 25 };

static int greatest_evaluation(void)
{
  int greatest = -1;
  for (int i = 0; i < back.n; i++)
    if (back.c[i].evaluation > greatest) greatest = back.c[i].evaluation;
  return greatest;
}

/* One evaluation after the other, from the first that no one has begun; the file `user` knows the last that ended. */
static int go_on_writing(void *user)
{
  fl4__tune_log *log;
  const double samples[] = {1, 2, 3};
  const fl4__tune_subject subject = subject_of("p");
  back.n = 0;
  EXPECT(fl4__tune_log_open(in_scratch("log"), &subject, take, &back, &log) == FL4_OK);
  for (int n = greatest_evaluation() + 1;; n++) {
    fl4_tune_candidate c = candidate_of(n % 16);
    c.evaluation = n;
    EXPECT(fl4__tune_log_begin(log, c.variant, n) == FL4_OK);
    EXPECT(fl4__tune_log_end(log, &c, samples, 3) == FL4_OK);
    EXPECT(pwrite(*(int *)user, &n, sizeof n, 0) == sizeof n);
  }
}

/* Writers are killed at random moments. Each loses at most the evaluation that was under way. */
START_TEST(killed)
{
  fl4__random random;
  fl4__random_init(&random, 1);
  int done = open(in_scratch("done"), O_RDWR | O_CREAT, 0600), last = -1, interrupted = 0;
  for (int kills = 1; kills <= KILLS && last < MOST / 2; kills++) {
    int status, ended = 0, greatest = -1;
    pid_t child = start_child(go_on_writing, &done);
    usleep(2000 + fl4__random_below(&random, 60000));
    ck_assert_int_eq(kill(child, SIGKILL), 0);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_msg(WIFSIGNALED(status), "the writer ended by itself");
    (void)pread(done, &last, sizeof last, 0);
    read_back(in_scratch("log"), "p"); /* nobody holds it any more */
    for (int i = 0; i < back.n; i++) {
      if (back.c[i].invalidity != FL4_INVALIDITY_CORRECT) continue;
      ended++;
      if (back.c[i].evaluation > greatest) greatest = back.c[i].evaluation;
    }
    ck_assert_msg(greatest >= last, "%d ended last, the log has %d", last, greatest);
    ck_assert_msg(ended >= greatest + 1 - kills, "%d of %d after %d kills", ended, greatest + 1, kills);
    interrupted += ended < back.n;
  }
  ck_assert_int_gt(last, 20);
  ck_assert_int_gt(interrupted, 0); /* else no moment was a bad one */
  close(done);
}
END_TEST

static Suite *make_suite(void)
{
  Suite *s = suite_create("damaged tuning log");
  TCase *t = tcase_create("log");
  tcase_add_checked_fixture(t, scratch_setup, scratch_teardown);
  tcase_set_timeout(t, 120);
  tcase_add_test(t, cut_off);
  tcase_add_test(t, full_disk);
  tcase_add_loop_test(t, damaged_logs, 0, 3);
  tcase_add_test(t, killed);
  suite_add_tcase(s, t);
  return s;
}

FL4_TEST_MAIN(make_suite)

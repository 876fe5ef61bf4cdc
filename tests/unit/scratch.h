/* SPDX-License-Identifier: Apache-2.0 */
/* For tests that touch files: a folder of their own, a clean environment, children, a log that listens. */
#ifndef FL4_TEST_SCRATCH_H
#define FL4_TEST_SCRATCH_H

#include <fcntl.h>
#include <ftw.h>
#include <grp.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fl4_test.h"
#include "log.h"

static char scratch[64]; /* of the test that runs */

/* A path below the scratch folder; a few results stay valid. */
static inline const char *in_scratch(const char *format, ...)
{
  static char paths[8][PATH_MAX];
  static int turn;
  char *path = paths[turn++ % 8];
  int n = snprintf(path, PATH_MAX, "%s/", scratch);
  va_list ap;
  va_start(ap, format);
  vsnprintf(path + n, (size_t)(PATH_MAX - n), format, ap);
  va_end(ap);
  return path;
}

static inline int remove_one(const char *path, const struct stat *s, int type, struct FTW *walk)
{
  (void)s, (void)type, (void)walk;
  return remove(path);
}

static inline void scratch_setup(void)
{
  static const char *const names[] = {"FLASHL4_CACHE", "FLASHL4_CACHE_DIR", "FLASHL4_NVRTC", "XDG_CACHE_HOME",
                                      "CUDA_HOME", "CUDA_PATH"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) unsetenv(names[i]);
  strcpy(scratch, "/tmp/fl4-test-XXXXXX");
  ck_assert_ptr_nonnull(mkdtemp(scratch));
  setenv("HOME", scratch, 1);
}

static inline void scratch_teardown(void)
{
  nftw(scratch, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static inline void write_file(const char *path, const void *data, size_t size)
{
  FILE *file = fopen(path, "wb");
  ck_assert_msg(file != NULL, "cannot write %s", path);
  ck_assert_uint_eq(fwrite(data, 1, size, file), size);
  ck_assert_int_eq(fclose(file), 0);
}

/* The whole file, with a zero behind it; free it. */
static inline char *read_file(const char *path, size_t *size)
{
  FILE *file = fopen(path, "rb");
  ck_assert_msg(file != NULL, "cannot read %s", path);
  fseek(file, 0, SEEK_END);
  *size = (size_t)ftell(file);
  rewind(file);
  char *data = calloc(1, *size + 1);
  ck_assert_uint_eq(fread(data, 1, *size, file), *size);
  fclose(file);
  return data;
}

static inline bool exists(const char *path)
{
  struct stat s;
  return lstat(path, &s) == 0;
}

/* In children, where Check's assertions do not reach. */
#define EXPECT(condition)                                                                          \
  do {                                                                                             \
    if (!(condition)) {                                                                            \
      fprintf(stderr, "%s:%d: not so: %s [%s]\n", __FILE__, __LINE__, #condition, fl4_last_error()); \
      return 1;                                                                                    \
    }                                                                                              \
  } while (0)

static inline pid_t start_child(int (*body)(void *), void *user)
{
  fflush(NULL);
  pid_t pid = fork();
  ck_assert_int_ge(pid, 0);
  if (pid == 0) _exit(body(user));
  return pid;
}

static inline void wait_child(pid_t pid)
{
  int status;
  ck_assert_int_eq(waitpid(pid, &status, 0), pid);
  ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "a child failed; standard error says where");
}

static inline void in_child(int (*body)(void *), void *user)
{
  wait_child(start_child(body, user));
}

/* For a child that permissions are to stop: if it is root, it and the scratch folder become nobody's. */
static inline int become_ordinary_user(void)
{
  enum { NOBODY = 65534 };
  if (geteuid() != 0) return 0;
  if (chown(scratch, NOBODY, NOBODY) != 0 || setgroups(0, NULL) != 0) return -1;
  return setresgid(NOBODY, NOBODY, NOBODY) != 0 || setresuid(NOBODY, NOBODY, NOBODY) != 0 ? -1 : 0;
}

/* What was logged: how often at each level, and the last sentence of each. */
typedef struct listener {
  int count[FL4_LOG_DEBUG + 1];
  char last[FL4_LOG_DEBUG + 1][1024];
} listener;

static inline void listen_fn(void *user, fl4_log_level level, const char *message)
{
  listener *heard = user;
  heard->count[level]++;
  snprintf(heard->last[level], sizeof heard->last[level], "%s", message);
}

#endif

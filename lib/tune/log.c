/* SPDX-License-Identifier: Apache-2.0 */
/* The log's file: held alone, read when it is opened, then only appended to, a line at a time. */
#include "tune/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "error.h"
#include "tune/log_line.h"

struct fl4__tune_log {
  int fd;
  bool torn;   /* the last line in the file has no end */
  char name[]; /* of the file */
};

static fl4_status fail_io(const fl4__tune_log *log, const char *what)
{
  return fl4__fail(FL4_IO_ERROR, "%s: %s: %s", log->name, what, strerror(errno));
}

static fl4_status no_memory(const fl4__tune_log *log)
{
  return fl4__fail(FL4_OUT_OF_MEMORY, "%s: no memory for a line", log->name);
}

/* ---------------------------------------------------------------- appending */

/* One write, so that lines stay whole; after one that did not, the next line begins with its end. */
static fl4_status append_text(fl4__tune_log *log, const char *text, size_t n)
{
  ssize_t written;
  do written = write(log->fd, text, n);
  while (written < 0 && errno == EINTR);
  if (written < 0) return fail_io(log, "cannot be written");
  log->torn = (size_t)written < n;
  if ((size_t)written < n) return fl4__fail(FL4_IO_ERROR, "%s: %zd of %zu bytes were written", log->name, written, n);
  if (fdatasync(log->fd) != 0 && errno != EINVAL && errno != EROFS) return fail_io(log, "cannot be synced");
  return FL4_OK;
}

/* Takes over the line. */
static fl4_status append(fl4__tune_log *log, json_t *line)
{
  char *text = line ? json_dumps(line, JSON_COMPACT) : NULL;
  json_decref(line);
  if (!text) return no_memory(log);
  const size_t n = strlen(text);
  char *whole = malloc(n + 2);
  fl4_status status = whole ? FL4_OK : no_memory(log);
  if (whole) {
    whole[0] = '\n';
    memcpy(whole + 1, text, n);
    whole[n + 1] = '\n';
    status = append_text(log, whole + !log->torn, n + 1 + log->torn);
  }
  free(whole);
  free(text);
  return status;
}

fl4_status fl4__tune_log_begin(fl4__tune_log *log, const char *variant, int evaluation)
{
  fl4__variant v;
  FL4_TRY(fl4__variant_parse(variant, &v));
  return append(log, fl4__log_begin(&v, evaluation));
}

fl4_status fl4__tune_log_end(fl4__tune_log *log, const fl4_tune_candidate *candidate, const double *samples, int64_t n)
{
  fl4__variant v;
  FL4_TRY(fl4__variant_parse(candidate->variant, &v));
  return append(log, fl4__log_end(candidate, &v, samples, n));
}

/* ---------------------------------------------------------------- reading */

typedef struct replayer {
  const json_t *tuning; /* what we tune */
  bool ours;            /* lines are about it */
  json_t *begun;        /* by variant: begun and not ended */
  fl4_status (*earlier)(const fl4_tune_candidate *candidate, void *user);
  void *user;
} replayer;

static fl4_status take_line(replayer *r, const json_t *line)
{
  fl4_tune_candidate c;
  const json_t *tuning = json_object_get(line, "tuning");
  json_t *begin = json_object_get(line, "begin");
  if (tuning) r->ours = json_equal(tuning, r->tuning);
  if (!r->ours) return FL4_OK;
  if (fl4__log_read_begin(begin, &c) && json_object_set(r->begun, c.variant, begin) != 0)
    return fl4__fail(FL4_OUT_OF_MEMORY, "no memory for a line");
  if (!fl4__log_read_end(line, &c)) return FL4_OK;
  (void)json_object_del(r->begun, c.variant);
  return r->earlier(&c, r->user);
}

static fl4_status take_begun(replayer *r)
{
  for (void *at = json_object_iter(r->begun); at; at = json_object_iter_next(r->begun, at)) {
    fl4_tune_candidate c;
    if (fl4__log_read_begin(json_object_iter_value(at), &c)) FL4_TRY(r->earlier(&c, r->user));
  }
  return FL4_OK;
}

static fl4_status take_lines(replayer *r, const char *text, size_t size)
{
  for (size_t at = 0; at < size;) {
    const char *end = memchr(text + at, '\n', size - at);
    const size_t n = end ? (size_t)(end - text) - at : size - at;
    json_error_t ignored;
    json_t *line = json_loadb(text + at, n, 0, &ignored);
    const fl4_status status = take_line(r, line);
    json_decref(line);
    if (status != FL4_OK) return status;
    at += n + 1;
  }
  return take_begun(r);
}

/* All that is in the file; free it. */
static fl4_status read_all(const fl4__tune_log *log, char **text, size_t *size)
{
  struct stat s;
  *size = 0;
  if (fstat(log->fd, &s) != 0) return fail_io(log, "cannot be read");
  if (!S_ISREG(s.st_mode)) return fl4__fail(FL4_IO_ERROR, "%s: is not a regular file", log->name);
  *text = malloc((size_t)s.st_size + 1);
  if (!*text) return fl4__fail(FL4_OUT_OF_MEMORY, "%s: no memory for %zu bytes", log->name, (size_t)s.st_size);
  while (*size < (size_t)s.st_size) {
    const ssize_t got = pread(log->fd, *text + *size, (size_t)s.st_size - *size, (off_t)*size);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail_io(log, "cannot be read");
    if (got == 0) break;
    *size += (size_t)got;
  }
  return FL4_OK;
}

/* We append to logs only. The first line may have been cut off, and is forgotten if little of it is there. */
static fl4_status check_is_log(const fl4__tune_log *log, const char *text, size_t *size)
{
  const size_t n = sizeof FL4__LOG_MAGIC - 1;
  if (memcmp(text, FL4__LOG_MAGIC, *size < n ? *size : n) != 0)
    return fl4__fail(FL4_IO_ERROR, "%s: is not a log of a tuning", log->name);
  if (*size >= n) return FL4_OK;
  *size = 0;
  return ftruncate(log->fd, 0) == 0 ? FL4_OK : fail_io(log, "cannot be cut");
}

/* ---------------------------------------------------------------- opening */

static fl4_status open_file(fl4__tune_log *log)
{
  log->fd = open(log->name, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NONBLOCK, 0666);
  if (log->fd < 0) return fail_io(log, "cannot be opened");
  if (flock(log->fd, LOCK_EX | LOCK_NB) == 0) return FL4_OK;
  if (errno == EWOULDBLOCK) return fl4__fail(FL4_IO_ERROR, "%s: another process tunes with it", log->name);
  return fail_io(log, "cannot be locked");
}

static fl4_status open_log(fl4__tune_log *log, json_t *line, replayer *r)
{
  char *text = NULL;
  size_t size;
  fl4_status status;
  if (!line || !r->begun) return no_memory(log);
  FL4_TRY(open_file(log));
  FL4_TRY_GOTO(read_all(log, &text, &size));
  FL4_TRY_GOTO(check_is_log(log, text, &size));
  log->torn = size > 0 && text[size - 1] != '\n';
  FL4_TRY_GOTO(take_lines(r, text, size));
  FL4_TRY_GOTO(r->ours ? FL4_OK : append(log, json_incref(line)));
done:
  free(text);
  return status;
}

fl4_status fl4__tune_log_open(const char *file, const fl4__tune_subject *subject,
                              fl4_status (*earlier)(const fl4_tune_candidate *candidate, void *user), void *user,
                              fl4__tune_log **log)
{
  const size_t n = strlen(file) + 1;
  fl4__tune_log *l = malloc(sizeof *l + n);
  *log = NULL;
  if (!l) return fl4__fail(FL4_OUT_OF_MEMORY, "%s: no memory for %zu bytes", file, sizeof *l + n);
  l->fd = -1;
  l->torn = false;
  memcpy(l->name, file, n);
  json_t *line = fl4__log_tuning(subject);
  replayer r = {json_object_get(line, "tuning"), false, json_object(), earlier, user};
  const fl4_status status = open_log(l, line, &r);
  json_decref(line);
  json_decref(r.begun);
  if (status == FL4_OK)
    *log = l;
  else
    fl4__tune_log_close(l);
  return status;
}

void fl4__tune_log_close(fl4__tune_log *log)
{
  if (!log) return;
  if (log->fd >= 0) (void)close(log->fd);
  free(log);
}

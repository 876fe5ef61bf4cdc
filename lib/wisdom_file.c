/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files of wisdom: read as a whole, appended to in one write under a lock, merged into a new file that takes
 * the old one's name.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "error.h"
#include "wisdom_store.h"

enum { FILE_MAX = 256 << 20 }; /* bytes; a line has some 400 */

/* ---------------------------------------------------------------- text */

fl4_status fl4__text_add(fl4__text *text, const char *data, size_t n)
{
  if (n > text->room - text->n) {
    size_t room = text->room ? text->room : 4096;
    while (room - text->n < n) room *= 2;
    char *more = realloc(text->data, room);
    if (!more) return fl4__fail(FL4_OUT_OF_MEMORY, "wisdom: no memory for %zu bytes", room);
    text->data = more, text->room = room;
  }
  if (n) memcpy(text->data + text->n, data, n);
  text->n += n;
  return FL4_OK;
}

bool fl4__wisdom_next(const char **text, size_t *size, const char **line, size_t *n)
{
  if (*size == 0) return false;
  const char *end = memchr(*text, '\n', *size);
  *line = *text;
  *n = end ? (size_t)(end - *text) : *size;
  const size_t step = *n + (end != NULL);
  *text += step, *size -= step;
  return true;
}

/* ---------------------------------------------------------------- reading */

static fl4_status fail_file(const char *file, const char *what)
{
  return fl4__fail(FL4_IO_ERROR, "wisdom: %s: %s: %s", file, what, strerror(errno));
}

static fl4_status read_all(int fd, const char *file, fl4__text *text)
{
  struct stat s;
  if (fstat(fd, &s) != 0) return fail_file(file, "cannot be read");
  if (!S_ISREG(s.st_mode)) return fl4__fail(FL4_IO_ERROR, "wisdom: %s: is not a regular file", file);
  char part[1 << 14];
  for (;;) {
    const ssize_t n = read(fd, part, sizeof part);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail_file(file, "cannot be read");
    if (n == 0) return FL4_OK;
    if (text->n + (size_t)n > FILE_MAX)
      return fl4__fail(FL4_IO_ERROR, "wisdom: %s: is larger than %d bytes", file, FILE_MAX);
    FL4_TRY(fl4__text_add(text, part, (size_t)n));
  }
}

fl4_status fl4__wisdom_read(const char *file, fl4__text *text)
{
  memset(text, 0, sizeof *text);
  const int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO must not hold us up */
  if (fd < 0) return fail_file(file, "cannot be opened");
  fl4_status status = read_all(fd, file, text);
  close(fd);
  if (status != FL4_OK) {
    free(text->data);
    memset(text, 0, sizeof *text);
  }
  return status;
}

/* ---------------------------------------------------------------- writing */

/*
 * Opens the file, made if need be, and locks it against whoever appends or merges. Who waited while it was
 * replaced holds a file without a name, and opens it anew.
 */
static fl4_status open_locked(const char *file, int flags, int *fd, bool *made)
{
  *made = false;
  for (;;) {
    *fd = open(file, O_RDWR | O_CLOEXEC | O_NONBLOCK | flags);
    if (*fd < 0 && errno == ENOENT) {
      *fd = open(file, O_RDWR | O_CLOEXEC | O_NONBLOCK | O_CREAT | O_EXCL | flags, 0666);
      if (*fd < 0 && errno == EEXIST) continue;
      *made = *fd >= 0;
    }
    if (*fd < 0) return fail_file(file, "cannot be written");
    struct stat mine, named;
    int locked;
    while ((locked = flock(*fd, LOCK_EX)) != 0 && errno == EINTR) continue;
    if (locked != 0 || fstat(*fd, &mine) != 0) {
      const fl4_status status = fail_file(file, "cannot be locked");
      close(*fd);
      return status;
    }
    if (!S_ISREG(mine.st_mode)) {
      close(*fd);
      return fl4__fail(FL4_IO_ERROR, "wisdom: %s: is not a regular file", file);
    }
    if (stat(file, &named) == 0 && named.st_dev == mine.st_dev && named.st_ino == mine.st_ino) return FL4_OK;
    close(*fd);
  }
}

static bool write_all(int fd, const char *data, size_t n)
{
  while (n > 0) {
    const ssize_t done = write(fd, data, n);
    if (done < 0 && errno == EINTR) continue;
    if (done <= 0) return false;
    data += done, n -= (size_t)done;
  }
  return true;
}

fl4_status fl4__wisdom_append(const char *file, const char *lines, size_t n)
{
  fl4__text text = {0};
  struct stat s;
  char last = '\n';
  bool made;
  int fd;
  FL4_TRY(open_locked(file, O_APPEND, &fd, &made));
  fl4_status status = FL4_OK;
  if (fstat(fd, &s) != 0 || (s.st_size > 0 && pread(fd, &last, 1, s.st_size - 1) != 1))
    status = fail_file(file, "cannot be read");
  if (status == FL4_OK && last != '\n') status = fl4__text_add(&text, "\n", 1); /* somebody did not get to the end */
  if (status == FL4_OK && s.st_size == 0) status = fl4__text_add(&text, fl4__wisdom_header, strlen(fl4__wisdom_header));
  if (status == FL4_OK) status = fl4__text_add(&text, lines, n);
  if (status == FL4_OK && !write_all(fd, text.data, text.n)) {
    status = fail_file(file, "cannot be written");
    if (ftruncate(fd, s.st_size) != 0) (void)0; /* a line that is cut off is passed over */
  }
  close(fd);
  free(text.data);
  return status;
}

/* ---------------------------------------------------------------- merging */

/* A line that is kept: a piece, or one that is passed over. */
typedef struct kept {
  fl4__piece *piece; /* NULL: text */
  const char *text;
  size_t n, order;
} kept;

typedef struct merging {
  kept *lines;
  size_t n, room;
  fl4_wisdom_counts counts;
  bool prune;
} merging;

static fl4_status keep(merging *m, kept line)
{
  if (m->n == m->room) {
    const size_t room = m->room ? 2 * m->room : 256;
    kept *more = realloc(m->lines, room * sizeof *more);
    if (!more) {
      free(line.piece);
      return fl4__fail(FL4_OUT_OF_MEMORY, "wisdom: no memory for %zu lines", room);
    }
    m->lines = more, m->room = room;
  }
  line.order = m->n;
  m->lines[m->n++] = line;
  return FL4_OK;
}

static fl4_status merge_text(merging *m, const fl4__text *text)
{
  const char *at = text->data, *line;
  size_t left = text->n, n;
  while (fl4__wisdom_next(&at, &left, &line, &n)) {
    kept one = {.text = line, .n = n};
    const fl4__line what = fl4__piece_read(line, n, "", &one.piece);
    if (what == FL4__LINE_NO_MEMORY) return fl4__fail(FL4_OUT_OF_MEMORY, "wisdom: no memory for a line");
    if (what == FL4__LINE_EMPTY) continue;
    m->counts.stale += what == FL4__LINE_STALE;
    m->counts.damaged += what == FL4__LINE_DAMAGED;
    if (what == FL4__LINE_GOOD || !m->prune) FL4_TRY(keep(m, one));
  }
  return FL4_OK;
}

/* Pieces first, those of one device and problem beside each other; then the other lines, equal ones likewise. */
static int same_key(const kept *a, const kept *b)
{
  if (!a->piece != !b->piece) return a->piece ? -1 : 1;
  if (a->piece) {
    const int device = strcmp(a->piece->entry.device, b->piece->entry.device);
    return device ? device : memcmp(&a->piece->problem, &b->piece->problem, sizeof a->piece->problem);
  }
  if (a->n != b->n) return a->n < b->n ? -1 : 1;
  return memcmp(a->text, b->text, a->n);
}

static int by_key_and_order(const void *a, const void *b)
{
  const kept *x = a, *y = b;
  const int key = same_key(x, y);
  return key ? key : x->order < y->order ? -1 : 1;
}

static int by_order(const void *a, const void *b)
{
  const kept *x = a, *y = b;
  return x->order < y->order ? -1 : 1;
}

/* Leaves the best of each key, at the place of the first. */
static void choose_best(merging *m)
{
  size_t n = 0;
  if (m->n == 0) return;
  qsort(m->lines, m->n, sizeof *m->lines, by_key_and_order);
  for (size_t i = 0; i < m->n; i++) {
    kept *best = n ? &m->lines[n - 1] : NULL, *line = &m->lines[i];
    if (!best || same_key(best, line) != 0) {
      m->lines[n++] = *line;
      m->counts.used += line->piece != NULL;
      continue;
    }
    if (!line->piece) continue;
    m->counts.replaced++;
    fl4__piece *worse = line->piece;
    if (fl4__piece_beats(line->piece, best->piece)) {
      worse = best->piece;
      best->piece = line->piece, best->text = line->text, best->n = line->n;
    }
    free(worse);
  }
  m->n = n;
  qsort(m->lines, m->n, sizeof *m->lines, by_order);
}

/* Writes beside `to`, which is locked as fd, and renames. */
static fl4_status replace(const merging *m, const char *to, int fd)
{
  static const char ending[] = ".XXXXXX";
  fl4__text text = {0};
  fl4_status status = fl4__text_add(&text, fl4__wisdom_header, strlen(fl4__wisdom_header));
  for (size_t i = 0; i < m->n && status == FL4_OK; i++) {
    status = fl4__text_add(&text, m->lines[i].text, m->lines[i].n);
    if (status == FL4_OK) status = fl4__text_add(&text, "\n", 1);
  }
  char *beside = malloc(strlen(to) + sizeof ending);
  if (status == FL4_OK && !beside) status = fl4__fail(FL4_OUT_OF_MEMORY, "wisdom: no memory for %s", to);
  if (status == FL4_OK) {
    strcpy(beside, to);
    strcat(beside, ending);
    struct stat s;
    const int temporary = mkostemp(beside, O_CLOEXEC);
    if (temporary < 0) {
      status = fail_file(to, "cannot be replaced");
    } else {
      bool good = fstat(fd, &s) == 0 && fchmod(temporary, s.st_mode & 0777) == 0;
      good = good && write_all(temporary, text.data, text.n) && fsync(temporary) == 0 && rename(beside, to) == 0;
      if (!good) {
        status = fail_file(to, "cannot be replaced");
        (void)unlink(beside);
      }
      close(temporary);
    }
  }
  free(beside);
  free(text.data);
  return status;
}

static fl4_status merge(const char *const *files, size_t n, const char *to, int fd, merging *m)
{
  fl4__text *texts = calloc(n, sizeof *texts); /* lines point into them */
  fl4_status status = texts ? FL4_OK : fl4__fail(FL4_OUT_OF_MEMORY, "wisdom: no memory for %zu files", n);
  for (size_t i = 0; i < n && status == FL4_OK; i++) {
    status = fl4__wisdom_read(files[i], &texts[i]);
    if (status == FL4_OK) status = merge_text(m, &texts[i]);
  }
  if (status == FL4_OK) {
    choose_best(m);
    status = replace(m, to, fd);
  }
  for (size_t i = 0; i < n && texts; i++) free(texts[i].data);
  free(texts);
  for (size_t i = 0; i < m->n; i++) free(m->lines[i].piece);
  free(m->lines);
  return status;
}

fl4_status fl4_wisdom_merge(const char *const *files, size_t n, const char *to, int32_t prune,
                            fl4_wisdom_counts *counts)
{
  if (!files) return fl4__fail(FL4_INVALID_ARGUMENT, "fl4_wisdom_merge: files: is NULL, must be the files' names");
  if (n == 0 || n > INT32_MAX)
    return fl4__fail(FL4_INVALID_ARGUMENT, "fl4_wisdom_merge: n: is %zu, must be from 1 to %d", n, INT32_MAX);
  for (size_t i = 0; i < n; i++)
    if (!files[i] || !*files[i])
      return fl4__fail(FL4_INVALID_ARGUMENT, "fl4_wisdom_merge: files[%zu]: is %s, must be a file's name", i,
                       files[i] ? "empty" : "NULL");
  if (!to || !*to)
    return fl4__fail(FL4_INVALID_ARGUMENT, "fl4_wisdom_merge: to: is %s, must be a file's name", to ? "empty" : "NULL");
  if (prune & ~1) return fl4__fail(FL4_INVALID_ARGUMENT, "fl4_wisdom_merge: prune: is %d, must be 0 or 1", prune);
  merging m = {.counts = FL4_WISDOM_COUNTS_INIT, .prune = prune};
  fl4_wisdom_counts ignored;
  if (counts) FL4_TRY(fl4__struct_read(&ignored, sizeof ignored, counts, "fl4_wisdom_counts"));

  /* Before `to` is made: it may be one of them. */
  for (size_t i = 0; i < n; i++)
    if (access(files[i], F_OK) != 0) return fail_file(files[i], "cannot be opened");
  char before[2048]; /* a line that is passed over is no error of the call */
  strncpy(before, fl4_last_error(), sizeof before - 1)[sizeof before - 1] = '\0';
  int fd;
  bool made;
  FL4_TRY(open_locked(to, 0, &fd, &made));
  char *target = realpath(to, NULL); /* a link stays a link */
  fl4_status status = target ? merge(files, n, target, fd, &m) : fail_file(to, "cannot be found");
  if (status != FL4_OK && made) (void)unlink(to);
  close(fd);
  free(target);
  if (status != FL4_OK) return status;
  fl4__fail(FL4_OK, "%s", before);
  if (counts) fl4__struct_write(counts, &m.counts, sizeof m.counts);
  return FL4_OK;
}

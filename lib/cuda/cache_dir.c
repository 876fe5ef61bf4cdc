/* SPDX-License-Identifier: Apache-2.0 */
/* The private folder: where it is, whether it can be trusted, reading and replacing its files. */
#include "cache_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "error.h"
#include "util/os.h"

static void __attribute__((format(printf, 2, 3))) turn_off(fl4__cache_dir *folder, const char *format, ...)
{
  va_list ap;
  va_start(ap, format);
  vsnprintf(folder->why_off, sizeof folder->why_off, format, ap);
  va_end(ap);
}

/* Writes the default folder's path; false if there is none. */
static bool default_path(char *path, size_t size)
{
  const char *own = fl4__getenv("FLASHL4_CACHE_DIR");
  const char *xdg = fl4__getenv("XDG_CACHE_HOME"), *home = fl4__getenv("HOME");
  int length;
  if (own)
    length = snprintf(path, size, "%s", own);
  else if (xdg && *xdg == '/') /* the XDG specification: a relative path is to be ignored */
    length = snprintf(path, size, "%s/flashl4", xdg);
  else if (home)
    length = snprintf(path, size, "%s/.cache/flashl4", home);
  else
    return false;
  return (size_t)length < size;
}

/* mkdir -p -m 0700; what is there already is left as it is. */
static void make_folders(char *path)
{
  for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
    *slash = '\0';
    (void)mkdir(path, 0700);
    *slash = '/';
  }
  (void)mkdir(path, 0700);
}

/* Ours, and nobody else may write? */
static bool is_private(const struct stat *s)
{
  return s->st_uid == geteuid() && (s->st_mode & (S_IWGRP | S_IWOTH)) == 0;
}

/* Opens the folder and looks at what was opened, so that nothing can be swapped in between. */
static void open_folder(fl4__cache_dir *folder, const char *path)
{
  struct stat s = {0};
  folder->fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (folder->fd < 0) {
    int error = errno;
    bool link = lstat(path, &s) == 0 && S_ISLNK(s.st_mode);
    if (link)
      turn_off(folder, "the folder is a symbolic link");
    else
      turn_off(folder, "the folder cannot be opened: %s", strerror(error));
    return;
  }
  if (fstat(folder->fd, &s) == 0 && is_private(&s)) return;
  turn_off(folder,
           s.st_uid != geteuid() ? "the folder belongs to another user" : "the folder can be written by other users");
  close(folder->fd);
  folder->fd = -1;
}

fl4_status fl4__cache_dir_open(const char *dir, fl4__cache_dir *folder)
{
  *folder = (fl4__cache_dir){.fd = -1};
  if (dir && !*dir) dir = NULL;
  const char *enabled = fl4__getenv("FLASHL4_CACHE");
  char path[PATH_MAX];
  if (geteuid() != getuid() || getegid() != getgid() || getauxval(AT_SECURE)) {
    turn_off(folder, "the program runs with another user's rights");
  } else if (enabled && strcmp(enabled, "0") == 0) {
    folder->on_purpose = true;
    turn_off(folder, "FLASHL4_CACHE is 0");
  } else if (dir ? snprintf(path, sizeof path, "%s", dir) >= (int)sizeof path : !default_path(path, sizeof path)) {
    turn_off(folder, dir ? "the folder's path is too long" : "there is no default folder: HOME is not set");
  } else {
    size_t length = strlen(path); /* "dir/" would follow a symbolic link */
    while (length > 1 && path[length - 1] == '/') path[--length] = '\0';
    make_folders(path);
    open_folder(folder, path);
    if (folder->fd >= 0 && !(folder->path = strdup(path))) {
      fl4__cache_dir_close(folder);
      return fl4__fail(FL4_OUT_OF_MEMORY, "cubin cache: no memory");
    }
  }
  return FL4_OK;
}

void fl4__cache_dir_close(fl4__cache_dir *folder)
{
  if (folder->fd >= 0) close(folder->fd);
  free(folder->path);
  *folder = (fl4__cache_dir){.fd = -1};
}

/* Reads up to `size` bytes; the number read, or -1. */
static ssize_t read_all(int fd, char *data, size_t size)
{
  size_t done = 0;
  while (done < size) {
    ssize_t n = read(fd, data + done, size - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return -1;
    if (n == 0) break;
    done += (size_t)n;
  }
  return (ssize_t)done;
}

fl4__read fl4__cache_dir_read(const fl4__cache_dir *folder, const char *name, size_t max_size, char **data,
                              size_t *size)
{
  *data = NULL, *size = 0;
  /* O_NONBLOCK: a FIFO must not hold us up. */
  int fd = openat(folder->fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) return errno == ELOOP ? FL4__READ_REFUSED : FL4__READ_MISSING;

  fl4__read result = FL4__READ_REFUSED;
  struct stat s;
  if (fstat(fd, &s) == 0 && S_ISREG(s.st_mode) && is_private(&s) && s.st_size <= (off_t)max_size) {
    char *buffer = malloc((size_t)s.st_size + 1);
    ssize_t n = buffer ? read_all(fd, buffer, (size_t)s.st_size) : -1;
    if (n < 0) {
      free(buffer);
      result = FL4__READ_MISSING;
    } else {
      buffer[n] = '\0';
      *data = buffer, *size = (size_t)n;
      result = FL4__READ_OK;
    }
  }
  close(fd);
  return result;
}

static bool write_all(int fd, const char *data, size_t size)
{
  while (size > 0) {
    ssize_t n = write(fd, data, size);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    data += n, size -= (size_t)n;
  }
  return true;
}

bool fl4__cache_dir_write(const fl4__cache_dir *folder, const char *name, const void *data, size_t size)
{
  static atomic_uint counter;
  char temporary[64];
  int fd;
  do { /* O_EXCL: a name in use, whatever it is, is passed over */
    snprintf(temporary, sizeof temporary, ".tmp-%ld-%u", (long)getpid(), atomic_fetch_add(&counter, 1));
    fd = openat(folder->fd, temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  } while (fd < 0 && errno == EEXIST);
  if (fd < 0) return false;

  bool good = write_all(fd, data, size);
  int error = errno;
  if (close(fd) != 0 && good) good = false, error = errno;
  /* No fsync: a file that a crash cut short is found out by its checksum. */
  if (good && renameat(folder->fd, temporary, folder->fd, name) != 0) good = false, error = errno;
  if (good) {
    fl4__cache_dir_touch(folder, name);
  } else {
    (void)unlinkat(folder->fd, temporary, 0);
    errno = error;
  }
  return good;
}

void fl4__cache_dir_touch(const fl4__cache_dir *folder, const char *name)
{
  /* The clock's own time: the kernel's "now" is too coarse to put two uses in order. */
  struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}};
  clock_gettime(CLOCK_REALTIME, &times[1]);
  (void)utimensat(folder->fd, name, times, AT_SYMLINK_NOFOLLOW);
}

void fl4__cache_dir_remove(const fl4__cache_dir *folder, const char *name)
{
  (void)unlinkat(folder->fd, name, 0);
}

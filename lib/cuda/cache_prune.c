/* SPDX-License-Identifier: Apache-2.0 */
/* Keeping the private folder within its limit. */
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cache_dir.h"

enum { STALE_S = 3600 }; /* no write takes this long */

typedef struct entry {
  char name[64];
  int64_t bytes;
  struct timespec used;
} entry;

/* A regular file of the folder, seen without following links. */
static bool look(int fd, const char *name, entry *e)
{
  struct stat s;
  if (strlen(name) >= sizeof e->name) return false; /* not one of ours */
  if (fstatat(fd, name, &s, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(s.st_mode)) return false;
  strcpy(e->name, name);
  e->bytes = (int64_t)s.st_size;
  e->used = s.st_mtim;
  return true;
}

static bool ends_in(const char *name, const char *suffix)
{
  size_t n = strlen(name), m = strlen(suffix);
  return n > m && strcmp(name + n - m, suffix) == 0;
}

/* The folder from its beginning, with a position of its own; NULL if that cannot be had. */
static DIR *list(const fl4__cache_dir *folder)
{
  int fd = openat(folder->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return NULL;
  DIR *files = fdopendir(fd);
  if (!files) close(fd);
  return files;
}

void fl4__cache_dir_usage(const fl4__cache_dir *folder, const char *suffix, int64_t *n_files, int64_t *bytes)
{
  *n_files = *bytes = 0;
  DIR *files = list(folder);
  if (!files) return;
  entry e;
  for (struct dirent *d; (d = readdir(files));) {
    if (ends_in(d->d_name, suffix) && look(folder->fd, d->d_name, &e)) *n_files += 1, *bytes += e.bytes;
  }
  closedir(files);
}

static int by_use(const void *a, const void *b)
{
  const struct timespec *x = &((const entry *)a)->used, *y = &((const entry *)b)->used;
  if (x->tv_sec != y->tv_sec) return x->tv_sec < y->tv_sec ? -1 : 1;
  return (x->tv_nsec > y->tv_nsec) - (x->tv_nsec < y->tv_nsec);
}

/* Gathers the entries, and removes stale temporary files on the way. NULL for want of memory. */
static entry *gather(const fl4__cache_dir *folder, DIR *files, const char *suffix, size_t *n, int64_t *total)
{
  size_t room = 256;
  entry *entries = malloc(room * sizeof *entries), e;
  time_t now = time(NULL);
  *n = 0, *total = 0;
  for (struct dirent *d; entries && (d = readdir(files));) {
    if (!look(folder->fd, d->d_name, &e)) continue;
    if (strncmp(e.name, ".tmp-", 5) == 0 && e.used.tv_sec < now - STALE_S) {
      fl4__cache_dir_remove(folder, e.name);
    } else if (ends_in(e.name, suffix)) {
      if (*n == room) {
        entry *more = realloc(entries, 2 * room * sizeof *entries);
        if (!more) break; /* then those seen so far must do */
        entries = more, room *= 2;
      }
      entries[(*n)++] = e;
      *total += e.bytes;
    }
  }
  return entries;
}

void fl4__cache_dir_prune(const fl4__cache_dir *folder, const char *suffix, int64_t limit_bytes)
{
  int lock = openat(folder->fd, "lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
  if (lock < 0) return;
  DIR *files = flock(lock, LOCK_EX | LOCK_NB) == 0 ? list(folder) : NULL;
  if (files) {
    size_t n;
    int64_t total;
    entry *entries = gather(folder, files, suffix, &n, &total);
    if (entries && total > limit_bytes) {
      qsort(entries, n, sizeof *entries, by_use);
      for (size_t i = 0; i < n && total > limit_bytes; i++) {
        fl4__cache_dir_remove(folder, entries[i].name);
        total -= entries[i].bytes;
      }
    }
    free(entries);
    closedir(files);
  }
  close(lock);
}

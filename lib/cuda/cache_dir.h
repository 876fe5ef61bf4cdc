/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A private folder of small files. A cubin is code that runs with this process' memory in reach, so
 * the folder and every file in it must belong to this user and be writable by nobody else. Files
 * are replaced whole, by rename: any number of processes may read and write at once.
 */
#ifndef FL4_CACHE_DIR_H
#define FL4_CACHE_DIR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <flashl4/status.h>

typedef struct fl4__cache_dir {
  int fd;          /* of the folder, so that a rename of it cannot divert us; -1: off */
  char *path;      /* NULL: off */
  bool on_purpose; /* off because the user asked for it */
  char why_off[128];
} fl4__cache_dir;

/*
 * Opens `dir`, or the default folder if NULL; see fl4__cubin_cache_open(). $FLASHL4_CACHE=0 turns
 * it off. Fails only for want of memory.
 */
fl4_status fl4__cache_dir_open(const char *dir, fl4__cache_dir *folder);
void fl4__cache_dir_close(fl4__cache_dir *folder);

typedef enum fl4__read {
  FL4__READ_OK,
  FL4__READ_MISSING, /* not there, or cannot be read now */
  FL4__READ_REFUSED, /* not a private regular file of a sane size */
} fl4__read;

/* Reads a whole file into memory that the caller frees; a zero is put behind it. */
fl4__read fl4__cache_dir_read(const fl4__cache_dir *folder, const char *name, size_t max_size, char **data,
                              size_t *size);

/* Replaces a file. On failure errno says why, and nothing is left behind. */
bool fl4__cache_dir_write(const fl4__cache_dir *folder, const char *name, const void *data, size_t size);

/* Makes a file the most recently used. */
void fl4__cache_dir_touch(const fl4__cache_dir *folder, const char *name);

void fl4__cache_dir_remove(const fl4__cache_dir *folder, const char *name);

/* Number and size of the files whose names end in `suffix`. */
void fl4__cache_dir_usage(const fl4__cache_dir *folder, const char *suffix, int64_t *files, int64_t *bytes);

/*
 * Removes the least recently used files whose names end in `suffix` until the rest fits, and
 * temporary files that a killed process left. Does nothing while another process is at it.
 */
void fl4__cache_dir_prune(const fl4__cache_dir *folder, const char *suffix, int64_t limit_bytes);

#endif

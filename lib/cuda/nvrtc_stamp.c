/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The stamp: lines of text, the first a checksum of the rest.
 *
 *     flashl4-nvrtc 2d358dccaa6c78a5
 *     version 13000
 *     size 109338064
 *     mtime_ns 1760564160000000000
 *     path /usr/local/cuda-13.0/targets/x86_64-linux/lib/libnvrtc.so.13
 *     asked                                     what $FLASHL4_NVRTC was
 */
#include "nvrtc_stamp.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "util/os.h"

static const char stamp_name[] = "nvrtc";
enum { STAMP_MAX = 2 * PATH_MAX };

/* Writes the whole stamp; false if it does not fit, or the library's file is not known. */
static bool format_stamp(const fl4__nvrtc_identity *identity, char text[STAMP_MAX])
{
  char body[STAMP_MAX - 64];
  const char *asked = fl4__getenv("FLASHL4_NVRTC");
  if (!asked) asked = "";
  if (!*identity->path || strchr(identity->path, '\n') || strchr(asked, '\n')) return false;
  int length = snprintf(body, sizeof body, "version %d\nsize %lld\nmtime_ns %lld\npath %s\nasked %s\n",
                        identity->version, identity->size, identity->mtime_ns, identity->path, asked);
  if (length >= (int)sizeof body) return false;
  snprintf(text, STAMP_MAX, "flashl4-nvrtc %016llx\n%s", (unsigned long long)XXH3_64bits(body, (size_t)length), body);
  return true;
}

bool fl4__nvrtc_stamp_read(const fl4__cache_dir *folder, fl4__nvrtc_identity *identity)
{
  char *text, again[STAMP_MAX];
  size_t size;
  *identity = (fl4__nvrtc_identity){0};
  if (fl4__cache_dir_read(folder, stamp_name, STAMP_MAX - 1, &text, &size) != FL4__READ_OK) return false;
  /* Sound is what would be written again for what was read: checksum, order and $FLASHL4_NVRTC at once. */
  bool sound = sscanf(text, "flashl4-nvrtc %*16[0-9a-f]\nversion %d\nsize %lld\nmtime_ns %lld\npath %511[^\n]",
                      &identity->version, &identity->size, &identity->mtime_ns, identity->path) == 4 &&
               format_stamp(identity, again) && strcmp(text, again) == 0;
  free(text);
  return sound;
}

bool fl4__nvrtc_stamp_holds(const fl4__nvrtc_identity *identity)
{
  struct stat s;
  return stat(identity->path, &s) == 0 && (long long)s.st_size == identity->size &&
         (long long)s.st_mtim.tv_sec * 1000000000 + s.st_mtim.tv_nsec == identity->mtime_ns;
}

void fl4__nvrtc_stamp_write(const fl4__cache_dir *folder, const fl4__nvrtc_identity *identity)
{
  char text[STAMP_MAX];
  if (format_stamp(identity, text)) (void)fl4__cache_dir_write(folder, stamp_name, text, strlen(text));
}

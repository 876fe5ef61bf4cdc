/* SPDX-License-Identifier: Apache-2.0 */
/* Where wisdom comes from: compiled in, the system's folders, $FLASHL4_WISDOM, the user's file. */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "error.h"
#include "log.h"
#include "util/os.h"
#include "wisdom_store.h"

#define SYSTEM_FOLDERS "/usr/local/share:/usr/share"

bool fl4__wisdom_user_file(char *path, size_t size)
{
  const char *data = fl4__getenv("XDG_DATA_HOME"), *home = fl4__getenv("HOME");
  int length;
  if (data && *data == '/') /* the XDG specification: a relative path is to be ignored */
    length = snprintf(path, size, "%s/flashl4/user.wisdom", data);
  else if (home)
    length = snprintf(path, size, "%s/.local/share/flashl4/user.wisdom", home);
  else
    return false;
  return (size_t)length < size;
}

/* What is wrong with a source, in one message. */
static void report(const struct fl4__log *log, const char *source, bool system, const fl4_wisdom_counts *c)
{
  const fl4_log_level level = system && !c->damaged ? FL4_LOG_INFO : FL4_LOG_WARN;
  if (c->stale || c->damaged)
    fl4__log_write(log, level,
                   "wisdom: %s: %lld lines cannot be read, %lld are of kernels or parameters that have changed since; "
                   "they are passed over",
                   source, (long long)c->damaged, (long long)c->stale);
  fl4__log_write(log, FL4_LOG_DEBUG, "wisdom: %s: %lld lines count, %lld are replaced, %lld of other devices", source,
                 (long long)c->used, (long long)c->replaced, (long long)c->foreign);
}

/* The name as an entry shows it: as much of its end as there is room for. */
static const char *short_name(const char *file)
{
  const size_t n = strlen(file), room = sizeof((fl4_wisdom_entry *)0)->source - 1;
  return n > room ? file + n - room : file;
}

fl4_status fl4__wisdom_load_file(fl4__wisdom *wisdom, const fl4_device_info *device, const char *file,
                                 fl4_wisdom_counts *counts)
{
  fl4__text text;
  fl4_wisdom_counts mine;
  FL4_TRY(fl4__wisdom_read(file, &text));
  const fl4_status status = fl4__wisdom_take(wisdom, device, text.data, text.n, short_name(file), &mine);
  free(text.data);
  if (status == FL4_OK) report(fl4__wisdom_log(wisdom), file, false, &mine);
  if (status == FL4_OK && counts) *counts = mine;
  return status;
}

/* A file that cannot be read is reported, unless it only is not there; passes on want of memory. */
static fl4_status load(fl4__wisdom *wisdom, const fl4_device_info *device, const char *file, bool must_exist)
{
  if (!must_exist && access(file, F_OK) != 0) return FL4_OK;
  const fl4_status status = fl4__wisdom_load_file(wisdom, device, file, NULL);
  if (status == FL4_OK || status == FL4_OUT_OF_MEMORY) return status;
  fl4__log_write(fl4__wisdom_log(wisdom), FL4_LOG_WARN, "%s", fl4_last_error());
  return FL4_OK;
}

static int is_wisdom(const struct dirent *entry)
{
  static const char ending[] = ".wisdom";
  const size_t n = strlen(entry->d_name), m = sizeof ending - 1;
  return n > m && entry->d_name[0] != '.' && strcmp(entry->d_name + n - m, ending) == 0;
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
  return strcmp((*a)->d_name, (*b)->d_name);
}

/* flashl4/ *.wisdom of one folder, in the order of their names. */
static fl4_status load_folder(fl4__wisdom *wisdom, const fl4_device_info *device, const char *folder, size_t length)
{
  char path[PATH_MAX];
  struct dirent **entries;
  fl4_status status = FL4_OK;
  if (length == 0 || folder[0] != '/' || length > sizeof path / 2) return FL4_OK;
  snprintf(path, sizeof path, "%.*s/flashl4", (int)length, folder);
  const int n = scandir(path, &entries, is_wisdom, by_name);
  for (int i = 0; i < n; i++) {
    snprintf(path, sizeof path, "%.*s/flashl4/%s", (int)length, folder, entries[i]->d_name);
    if (status == FL4_OK) status = load(wisdom, device, path, true);
    free(entries[i]);
  }
  if (n >= 0) free(entries);
  return status;
}

/* A list of folders, the most important first: read last, so that it is preferred. */
static fl4_status load_folders(fl4__wisdom *wisdom, const fl4_device_info *device, const char *folders)
{
  size_t end = strlen(folders);
  for (;;) {
    size_t start = end;
    while (start > 0 && folders[start - 1] != ':') start--;
    FL4_TRY(load_folder(wisdom, device, folders + start, end - start));
    if (start == 0) return FL4_OK;
    end = start - 1;
  }
}

static fl4_status load_files(fl4__wisdom *wisdom, const fl4_device_info *device, const char *files)
{
  while (*files) {
    const size_t length = strcspn(files, ":");
    char path[PATH_MAX];
    if (length > 0 && length < sizeof path) {
      memcpy(path, files, length);
      path[length] = '\0';
      FL4_TRY(load(wisdom, device, path, true));
    }
    files += length + (files[length] == ':');
  }
  return FL4_OK;
}

static fl4_status load_layers(fl4__wisdom *wisdom, const fl4_device_info *device, const char *named)
{
  fl4_wisdom_counts counts;
  FL4_TRY(fl4__wisdom_take(wisdom, device, fl4__system_wisdom, strlen(fl4__system_wisdom), "system", &counts));
  report(fl4__wisdom_log(wisdom), "system", true, &counts);
  const char *folders = fl4__getenv("XDG_DATA_DIRS");
  FL4_TRY(load_folders(wisdom, device, folders ? folders : SYSTEM_FOLDERS));
  if (named) FL4_TRY(load_files(wisdom, device, named));
  char path[PATH_MAX];
  return fl4__wisdom_user_file(path, sizeof path) ? load(wisdom, device, path, false) : FL4_OK;
}

fl4_status fl4__wisdom_load_layers(fl4__wisdom *wisdom, const fl4_device_info *device)
{
  const char *named = fl4__getenv("FLASHL4_WISDOM");
  if (named && strcmp(named, "off") == 0) return FL4_OK;
  char before[2048]; /* a file that cannot be read is no error of the call */
  strncpy(before, fl4_last_error(), sizeof before - 1)[sizeof before - 1] = '\0';
  const fl4_status status = load_layers(wisdom, device, named);
  if (status == FL4_OK) fl4__fail(FL4_OK, "%s", before);
  return status;
}

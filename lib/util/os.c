/* SPDX-License-Identifier: Apache-2.0 */
/* Environment, clock, and libraries that are opened at run time. */
#include "os.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

const char *fl4__getenv(const char *name)
{
  const char *value = secure_getenv(name);
  return value && *value ? value : NULL;
}

double fl4__now_ms(void)
{
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return 1e3 * (double)now.tv_sec + 1e-6 * (double)now.tv_nsec;
}

/* Adds "name" to the list; for a file that is there but does not load, also the loader's reason. */
static void note_tried(char *tried, int tried_size, const char *name)
{
  size_t used = strlen(tried), room = (size_t)tried_size - used;
  const char *comma = used ? ", " : "";
  if (strchr(name, '/') && access(name, F_OK) == 0) {
    const char *reason = dlerror();
    snprintf(tried + used, room, "%s%s (%s)", comma, name, reason ? reason : "cannot be loaded");
  } else {
    snprintf(tried + used, room, "%s%s", comma, name);
  }
}

static void *open_one(const char *name, char *tried, int tried_size)
{
  void *library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
  if (!library) note_tried(tried, tried_size, name);
  return library;
}

void *fl4__open_library(const char *const *names, char *tried, int tried_size)
{
  const char *roots[] = {fl4__getenv("CUDA_HOME"), fl4__getenv("CUDA_PATH"), "/usr/local/cuda"};
  static const char *const folders[] = {"lib64", "lib"};
  enum { N_ROOTS = sizeof roots / sizeof *roots, N_FOLDERS = sizeof folders / sizeof *folders };

  tried[0] = '\0';
  for (; *names; names++) {
    void *library = open_one(*names, tried, tried_size);
    if (library) return library;
    if (strchr(*names, '/')) continue; /* a file, not a name to look for */
    for (int i = 0; i < N_ROOTS; i++) {
      for (int j = 0; roots[i] && j < N_FOLDERS; j++) {
        char path[PATH_MAX];
        int length = snprintf(path, sizeof path, "%s/%s/%s", roots[i], folders[j], *names);
        if (length >= (int)sizeof path) continue;
        library = open_one(path, tried, tried_size);
        if (library) return library;
      }
    }
  }
  return NULL;
}

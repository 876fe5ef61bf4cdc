/* SPDX-License-Identifier: Apache-2.0 */
/* Kernel sources by name. */
#include "sources.h"

#include <errno.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"

enum { SOURCE_MAX = 4 << 20 }; /* bytes of a file; a kernel has a few thousand */

static bool is_header(const char *name)
{
  const char *dot = strrchr(name, '.');
  return dot && (strcmp(dot, ".cuh") == 0 || strcmp(dot, ".h") == 0);
}

/* Reads a text file into memory that the caller frees. */
static fl4_status read_text(const char *folder, const char *name, const char **text)
{
  char path[PATH_MAX];
  *text = NULL;
  if (snprintf(path, sizeof path, "%s/%s", folder, name) >= (int)sizeof path)
    return fl4__fail(FL4_IO_ERROR, "kernel source: the path of %s is too long", name);
  FILE *file = fopen(path, "re");
  if (!file) return fl4__fail(FL4_IO_ERROR, "kernel source: %s: %s", path, strerror(errno));

  fl4_status status = FL4_OK;
  size_t size = 0, room = 1 << 16;
  char *data = malloc(room), *more;
  while (data && size <= SOURCE_MAX) {
    size += fread(data + size, 1, room - 1 - size, file);
    if (size < room - 1) break;
    more = realloc(data, room *= 2);
    if (!more) free(data);
    data = more;
  }
  if (!data) {
    status = fl4__fail(FL4_OUT_OF_MEMORY, "kernel source: no memory for %s", path);
  } else if (ferror(file)) {
    status = fl4__fail(FL4_IO_ERROR, "kernel source: %s: %s", path, strerror(errno));
  } else if (size > SOURCE_MAX) {
    status = fl4__fail(FL4_IO_ERROR, "kernel source: %s: is larger than %d bytes", path, SOURCE_MAX);
  } else {
    data[size] = '\0';
    *text = data;
    data = NULL;
  }
  free(data);
  fclose(file);
  return status;
}

void fl4__sources_free(fl4__sources *sources)
{
  if (sources->read_from_folder) {
    for (int i = 0; i < sources->n_headers; i++) free((char *)sources->headers[i].text);
    free((char *)sources->main.text);
  }
  free(sources->headers);
  memset(sources, 0, sizeof *sources);
}

static fl4_status load(const char *kernel_dir, const char *main_name, fl4__sources *sources)
{
  sources->read_from_folder = kernel_dir != NULL;
  sources->headers = calloc((size_t)fl4__n_embedded_sources + 1, sizeof *sources->headers);
  if (!sources->headers) return fl4__fail(FL4_OUT_OF_MEMORY, "kernel source: no memory for %s", main_name);

  for (int i = 0; i < fl4__n_embedded_sources; i++) {
    fl4__source source = fl4__embedded_sources[i];
    bool header = is_header(source.name);
    if (!header && strcmp(source.name, main_name) != 0) continue;
    if (kernel_dir) FL4_TRY(read_text(kernel_dir, source.name, &source.text));
    if (header)
      sources->headers[sources->n_headers++] = source;
    else
      sources->main = source;
  }
  if (!sources->main.text) return fl4__fail(FL4_INTERNAL, "kernel source: there is no %s", main_name);
  return FL4_OK;
}

fl4_status fl4__sources_load(const fl4__log *log, const char *kernel_dir, const char *main_name, fl4__sources *sources)
{
  static atomic_flag said = ATOMIC_FLAG_INIT;
  memset(sources, 0, sizeof *sources);
  fl4_status status = load(kernel_dir, main_name, sources);
  if (status != FL4_OK)
    fl4__sources_free(sources);
  else if (kernel_dir && !atomic_flag_test_and_set(&said))
    fl4__log_write(log, FL4_LOG_WARN, "kernel sources come from %s, not from the library", kernel_dir);
  return status;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Which devices there are, and opening one by its name. */
#include "device.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "util/os.h"

const fl4__backend *fl4__backend_extra = NULL;

/* In order of preference; the host is last and always there. */
static const fl4__backend *backend_at(int i)
{
  static const fl4__backend *const built_in[] = {
#if FL4_HAVE_CUDA
    &fl4__backend_cuda,
#endif
    &fl4__backend_host,
    NULL,
  };
  if (fl4__backend_extra) return i == 0 ? fl4__backend_extra : built_in[i - 1];
  return built_in[i];
}

int fl4_device_count(void)
{
  int n = 0;
  for (int i = 0; backend_at(i); i++) n += backend_at(i)->count();
  return n;
}

fl4_status fl4_device_get_info(int index, fl4_device_info *info)
{
  if (!info) return fl4__fail(FL4_INVALID_ARGUMENT, "fl4_device_get_info: info: is NULL, must receive the description");
  fl4_device_info out;
  FL4_TRY(fl4__struct_read(&out, sizeof out, info, "fl4_device_info"));
  int first = 0;
  for (int i = 0; backend_at(i); i++) {
    const int n = backend_at(i)->count();
    if (index >= first && index < first + n) {
      FL4_TRY(backend_at(i)->info(index - first, &out));
      fl4__struct_write(info, &out, sizeof out);
      return FL4_OK;
    }
    first += n;
  }
  return fl4__fail(FL4_INVALID_ARGUMENT, "fl4_device_get_info: index: is %d, must be from 0 to %d", index, first - 1);
}

/* The first device of a kind that is not too old for the kernels; -1 if there is none. */
static int first_usable(const fl4__backend *backend)
{
  const int n = backend->count();
  for (int i = 0; i < n; i++) {
    fl4_device_info info;
    if (backend->info(i, &info) == FL4_OK && (info.kind != FL4_DEVICE_CUDA || info.sm >= 80)) return i;
  }
  return -1;
}

static fl4_status open_on(const fl4__backend *backend, int ordinal, const fl4__device_config *config,
                          fl4__device **device)
{
  const int n = backend->count();
  if (ordinal >= n)
    return fl4__fail(FL4_NO_DEVICE, "fl4_context_options.device: is \"%s:%d\", but there %s %d %s device%s",
                     backend->name, ordinal, n == 1 ? "is" : "are", n, backend->name, n == 1 ? "" : "s");
  return backend->open(ordinal, config, device);
}

fl4_status fl4__device_open(const char *text, const fl4__device_config *config, fl4__device **device)
{
  if (!text || strcmp(text, "auto") == 0) {
    for (int i = 0; backend_at(i); i++) {
      const int ordinal = first_usable(backend_at(i));
      if (ordinal >= 0) return backend_at(i)->open(ordinal, config, device);
    }
  } else {
    for (int i = 0; backend_at(i); i++) {
      const fl4__backend *backend = backend_at(i);
      const size_t n = strlen(backend->name);
      if (strncmp(text, backend->name, n) != 0) continue;
      if (!text[n]) return open_on(backend, 0, config, device);
      char *end;
      errno = 0;
      const bool number = text[n] == ':' && text[n + 1] >= '0' && text[n + 1] <= '9';
      const long ordinal = number ? strtol(text + n + 1, &end, 10) : -1;
      if (number && !*end && !errno && ordinal < INT_MAX) return open_on(backend, (int)ordinal, config, device);
    }
#if !FL4_HAVE_CUDA
    if (strncmp(text, "cuda", 4) == 0)
      return fl4__fail(FL4_NO_DEVICE, "fl4_context_options.device: is \"%s\", but this library was built without CUDA",
                       text);
#endif
  }
  return fl4__fail(FL4_INVALID_ARGUMENT,
                   "fl4_context_options.device: is \"%s\", must be \"auto\", \"host\", \"cuda\" or \"cuda:N\"",
                   text ? text : "");
}

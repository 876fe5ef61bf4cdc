/* SPDX-License-Identifier: Apache-2.0 */
/* Other builds of the library, opened beside this one. */
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#include <flashl4/version.h>

#include "bench/contender.h"
#include "error.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#endif

/* The build finds its own functions before this one's of the same names; sanitizers cannot do that. */
#if defined(RTLD_DEEPBIND) && !defined(SANITIZED)
enum { HOW = RTLD_NOW | RTLD_LOCAL | RTLD_DEEPBIND };
#else
enum { HOW = RTLD_NOW | RTLD_LOCAL };
#endif

/* A function is no object, so its address is copied rather than cast. */
static fl4_status find(const fl4__library *library, const char *file, const char *name, void *function)
{
  void *address = dlsym(library->handle, name);
  if (!address)
    return fl4__fail(FL4_LIBRARY_MISSING, "fl4_bench_contender.library: \"%s\" has no %s(): no libflashl4, or too old",
                     file, name);
  memcpy(function, &address, sizeof address);
  return FL4_OK;
}

fl4_status fl4__library_open(const char *file, fl4__library *library)
{
  *library = (fl4__library){
      .context_create = fl4_context_create,
      .context_destroy = fl4_context_destroy,
      .attention_forward = fl4_attention_forward,
      .attention_prepare = fl4_attention_prepare,
      .attention_plan_info = fl4_attention_plan_info,
      .last_error = fl4_last_error,
  };
  const char *(*version)(void) = fl4_version_string;
  if (file) {
    library->handle = dlopen(file, HOW);
    if (!library->handle) {
      const char *why = dlerror();
      return fl4__fail(FL4_LIBRARY_MISSING, "fl4_bench_contender.library: \"%s\" cannot be opened: %s", file,
                       why ? why : "no reason given");
    }
    FL4_TRY(find(library, file, "fl4_version_string", &version));
    FL4_TRY(find(library, file, "fl4_context_create", &library->context_create));
    FL4_TRY(find(library, file, "fl4_context_destroy", &library->context_destroy));
    FL4_TRY(find(library, file, "fl4_attention_forward", &library->attention_forward));
    FL4_TRY(find(library, file, "fl4_attention_prepare", &library->attention_prepare));
    FL4_TRY(find(library, file, "fl4_attention_plan_info", &library->attention_plan_info));
    FL4_TRY(find(library, file, "fl4_last_error", &library->last_error));
  }
  snprintf(library->version, sizeof library->version, "%s", version());
  return FL4_OK;
}

void fl4__library_close(fl4__library *library)
{
  if (library->handle) dlclose(library->handle);
  memset(library, 0, sizeof *library);
}

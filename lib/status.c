/* SPDX-License-Identifier: Apache-2.0 */
/* Status codes as text, and each thread's last error. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <flashl4/version.h>

#include "error.h"

/* Room for the beginning of a compiler's log. Static, so that reporting a failure cannot fail. */
static _Thread_local char last_error[2048];

const char *fl4_status_string(fl4_status status)
{
  switch (status) {
#define CASE(name, value, text)                                                                                        \
  case FL4_##name: return text;
    FL4_STATUS_MAP(CASE)
#undef CASE
  }
  return "unknown status";
}

const char *fl4_status_name(fl4_status status)
{
  switch (status) {
#define CASE(name, value, text)                                                                                        \
  case FL4_##name: return "FL4_" #name;
    FL4_STATUS_MAP(CASE)
#undef CASE
  }
  return "unknown status";
}

const char *fl4_last_error(void)
{
  return last_error;
}

fl4_status fl4__fail(fl4_status status, const char *format, ...)
{
  /* Formatted aside first: an argument may be the last error itself. */
  char text[sizeof last_error];
  va_list ap;
  va_start(ap, format);
  vsnprintf(text, sizeof text, format, ap);
  va_end(ap);
  memcpy(last_error, text, sizeof text);
  return status;
}

fl4_status fl4__fail_context(fl4_status status, const char *format, ...)
{
  char prefix[256];
  va_list ap;
  va_start(ap, format);
  vsnprintf(prefix, sizeof prefix, format, ap);
  va_end(ap);
  return fl4__fail(status, "%s: %s", prefix, last_error);
}

int fl4_version(void)
{
  return FL4_VERSION;
}

#define TEXT_(x) #x
#define TEXT(x) TEXT_(x)

const char *fl4_version_string(void)
{
  return TEXT(FL4_VERSION_MAJOR) "." TEXT(FL4_VERSION_MINOR) "." TEXT(FL4_VERSION_PATCH);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Log messages to the caller's function, or to standard error. */
#include "log.h"

#include <stdarg.h>
#include <stdio.h>

void fl4__log_write(const fl4__log *log, fl4_log_level level, const char *format, ...)
{
  if (!log || (int)level > log->level) return;
  char line[4096];
  va_list ap;
  va_start(ap, format);
  vsnprintf(line, sizeof line, format, ap);
  va_end(ap);
  if (log->fn)
    log->fn(log->user, level, line);
  else
    fprintf(stderr, "flashl4: %s\n", line);
}

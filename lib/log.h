/* SPDX-License-Identifier: Apache-2.0 */
/* Messages for the person who runs the program; errors for the program go through error.h. */
#ifndef FL4_LOG_H
#define FL4_LOG_H

#include <flashl4/context.h>

typedef struct fl4__log {
  fl4_log_fn fn; /* NULL: standard error */
  void *user;
  int level; /* most verbose level passed on */
} fl4__log;

/* `log` may be NULL: then nothing is said. */
void fl4__log_write(const fl4__log *log, fl4_log_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* How an error travels: a status up the stack, a sentence in the thread's slot (fl4_last_error). */
#ifndef FL4_ERROR_H
#define FL4_ERROR_H

#include <flashl4/status.h>

/* Records the sentence and returns `status`, so that a failure is one line: return fl4__fail(…). */
fl4_status fl4__fail(fl4_status status, const char *format, ...) __attribute__((format(printf, 2, 3), cold));

/* Puts "prefix: " before the sentence recorded last, and returns `status`. */
fl4_status fl4__fail_context(fl4_status status, const char *format, ...) __attribute__((format(printf, 2, 3), cold));

/* Passes a failure on. */
#define FL4_TRY(expr)                                                                              \
  do {                                                                                             \
    fl4_status try_status_ = (expr);                                                               \
    if (try_status_ != FL4_OK) return try_status_;                                                 \
  } while (0)

/* Passes a failure on through the function's single exit: `fl4_status status` and a label `done`. */
#define FL4_TRY_GOTO(expr)                                                                         \
  do {                                                                                             \
    status = (expr);                                                                               \
    if (status != FL4_OK) goto done;                                                               \
  } while (0)

#endif

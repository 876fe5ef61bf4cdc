/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file status.h
 * @brief What every call returns, and the sentence that says why it failed.
 */
#ifndef FLASHL4_STATUS_H
#define FLASHL4_STATUS_H

#include <stdint.h>

#include <flashl4/export.h>

FL4_BEGIN_DECLS

/**
 * All status codes: X(name, value, text). The values are frozen; new ones are added at the end.
 */
#define FL4_STATUS_MAP(X)                                                                          \
  X(OK, 0, "success")                                                                              \
  X(INVALID_ARGUMENT, -1, "invalid argument")                                                      \
  X(UNSUPPORTED, -2, "not supported on this device")                                               \
  X(OUT_OF_MEMORY, -3, "out of memory")                                                            \
  X(NO_DEVICE, -4, "no such device")                                                               \
  X(LIBRARY_MISSING, -5, "a library that is loaded at run time was not found")                     \
  X(COMPILE_FAILED, -6, "kernel compilation failed")                                               \
  X(DEVICE_ERROR, -7, "the device reported an error")                                              \
  X(NOT_PREPARED, -8, "the kernel is not ready and cannot be compiled during stream capture")      \
  X(WORKSPACE_TOO_SMALL, -9, "workspace too small")                                                \
  X(IO_ERROR, -10, "input or output error")                                                        \
  X(INVARIANT_VIOLATED, -11, "a debug kernel found an invariant violated")                         \
  X(INTERNAL, -12, "internal error")                                                               \
  X(CANCELLED, -13, "cancelled by the caller")                                                     \
  X(WRONG_OUTPUT, -14, "the output is wrong")

/** Result of a call: ::FL4_OK, or a negative code. */
typedef enum fl4_status {
#define FL4_STATUS_ENUM(name, value, text) FL4_##name = (value),
  FL4_STATUS_MAP(FL4_STATUS_ENUM)
#undef FL4_STATUS_ENUM
} fl4_status;

/**
 * Text of a status code, "invalid argument". The string is static; an unknown code gives
 * "unknown status". Thread-safety: safe. Since: 0.1.
 */
FL4_API const char *fl4_status_string(fl4_status status);

/** Name of a status code, "FL4_INVALID_ARGUMENT". Otherwise as fl4_status_string(). Since: 0.1. */
FL4_API const char *fl4_status_name(fl4_status status);

/**
 * Why the last call on this thread failed: which argument, what it was, what is allowed; or the
 * compiler's log. Never NULL; empty before the first failure. A call that succeeds leaves it.
 *
 * The string belongs to the library and stays valid until the next flashl4 call on this thread.
 * Thread-safety: safe, each thread has its own. Since: 0.1.
 */
FL4_API const char *fl4_last_error(void);

FL4_END_DECLS

#endif /* FLASHL4_STATUS_H */

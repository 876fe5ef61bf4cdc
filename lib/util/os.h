/* SPDX-License-Identifier: Apache-2.0 */
/* Small things asked of the operating system. */
#ifndef FL4_OS_H
#define FL4_OS_H

#include <stdbool.h>

/* Environment variable, or NULL if unset, empty, or this is a set-user-ID program. */
const char *fl4__getenv(const char *name);

/* Monotonic clock in milliseconds. */
double fl4__now_ms(void);

/*
 * Opens the first of `names` (NULL-terminated, "libnvrtc.so.13" …) that the loader finds: as named,
 * then in lib64/ and lib/ of $CUDA_HOME, $CUDA_PATH and /usr/local/cuda. NULL if none; then `tried`
 * holds the list for an error message. A name with a slash is a file, tried only there.
 */
void *fl4__open_library(const char *const *names, char *tried, int tried_size);

#endif

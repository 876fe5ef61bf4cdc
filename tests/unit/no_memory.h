/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For programs linked with -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc: the library's n-th
 * allocation fails. See test_oom.c for whole calls with leaks counted.
 */
#ifndef FL4_TEST_NO_MEMORY_H
#define FL4_TEST_NO_MEMORY_H

#include <stdbool.h>

#include "fl4_test.h"

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *old, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *old, size_t size);

static int no_memory_after = -1; /* allocations that still succeed; negative: all */

static bool no_memory_now(void)
{
  return no_memory_after >= 0 && no_memory_after-- == 0;
}

void *__wrap_malloc(size_t size)
{
  return no_memory_now() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
  return no_memory_now() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *old, size_t size)
{
  return no_memory_now() ? NULL : __real_realloc(old, size);
}

/* Each of the allocations of expr fails once, which it reports; with all of them it succeeds. Check allocates too. */
#define ck_assert_fl4_needs(allocations, expr)                                                     \
  do {                                                                                             \
    for (int fails_ = 0; fails_ <= (allocations); fails_++) {                                      \
      no_memory_after = fails_;                                                                    \
      const fl4_status status_ = (expr);                                                           \
      const int left_ = no_memory_after;                                                           \
      no_memory_after = -1;                                                                        \
      const fl4_status expected_ = fails_ < (allocations) ? FL4_OUT_OF_MEMORY : FL4_OK;            \
      ck_assert_msg(status_ == expected_, "%s: allocation %d: %s", #expr, fails_ + 1, fl4_status_name(status_)); \
      if (status_ != FL4_OK) ck_assert_ptr_nonnull(strstr(fl4_last_error(), "no memory"));         \
      ck_assert_msg(status_ != FL4_OK || left_ == 0, "%s: %d allocations, not %d", #expr, fails_ - left_, fails_); \
    }                                                                                              \
  } while (0)

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* Fibers: functions that can be left in the middle and gone on with later, each on its own stack. */
#ifndef FL4_EMU_FIBER_H
#define FL4_EMU_FIBER_H

#include <setjmp.h>
#include <ucontext.h>

#include <cstddef>
#include <memory>

#if defined(__SANITIZE_ADDRESS__)
#define FL4_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define FL4_ASAN 1
#endif
#endif
#ifndef FL4_ASAN
#define FL4_ASAN 0
#endif

namespace emu {

struct Fiber {
  ucontext_t context;
  jmp_buf place; /* where it was left */
  bool begun = true;
  std::unique_ptr<char[]> stack; /* none: the operating system's thread */
  const void *bottom = nullptr;
  size_t size = 0;
  void *fake_stack = nullptr; /* AddressSanitizer's */
};

/* `fiber` will begin with `function`, which must not return. */
void fiber_prepare(Fiber &fiber, void (*function)());

/* Leaves `from`, in which we are, for `to`; returns when somebody comes back. `for_good`: nobody will. */
void fiber_switch(Fiber &from, Fiber &to, bool for_good);

/* To be called first in a new fiber; `from`: what was left for it. */
void fiber_begin(Fiber &from);

} // namespace emu

#endif

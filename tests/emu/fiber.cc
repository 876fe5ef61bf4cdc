/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A fiber begins by its context. Later switches are jumps between stacks: a context would be saved and restored with
 * two system calls. Under AddressSanitizer, which has to follow, they are contexts all the same.
 */
#undef _FORTIFY_SOURCE /* it takes a jump to another stack for a mistake */
#include "fiber.h"

#if FL4_ASAN
#include <sanitizer/common_interface_defs.h>
#endif

namespace emu {

enum { STACK_BYTES = FL4_ASAN ? 512 << 10 : 128 << 10 };

void fiber_prepare(Fiber &fiber, void (*function)())
{
  fiber.stack.reset(new char[STACK_BYTES]);
  fiber.bottom = fiber.stack.get(), fiber.size = STACK_BYTES;
  fiber.begun = false;
  getcontext(&fiber.context);
  fiber.context.uc_stack.ss_sp = fiber.stack.get();
  fiber.context.uc_stack.ss_size = STACK_BYTES;
  fiber.context.uc_link = nullptr;
  makecontext(&fiber.context, function, 0);
}

#if FL4_ASAN

void fiber_switch(Fiber &from, Fiber &to, bool for_good)
{
  __sanitizer_start_switch_fiber(for_good ? nullptr : &from.fake_stack, to.bottom, to.size);
  swapcontext(&from.context, &to.context);
  __sanitizer_finish_switch_fiber(from.fake_stack, nullptr, nullptr);
}

void fiber_begin(Fiber &from)
{
  __sanitizer_finish_switch_fiber(nullptr, &from.bottom, &from.size);
}

#else

void fiber_switch(Fiber &from, Fiber &to, bool)
{
  if (_setjmp(from.place)) return;
  if (to.begun) _longjmp(to.place, 1);
  to.begun = true;
  setcontext(&to.context);
}

void fiber_begin(Fiber &) {}

#endif

} // namespace emu

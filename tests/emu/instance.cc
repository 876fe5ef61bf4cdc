/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One kernel, compiled for the emulator as NVRTC compiles it for a GPU: -DFL4_… options, ptx.h and ptx_hopper.h
 * included ahead. Built with the tests it registers itself; built at run time it is a plugin with one entry.
 */
#include <type_traits>

#include "instances.h"

/* Kernels of different options have types of the same names. */
namespace {
#include FL4_EMU_SOURCE

/* Whichever parameters the kernel takes. */
template <class Params> void call(void (*kernel)(Params), const void *params)
{
  kernel(*static_cast<const std::remove_const_t<Params> *>(params));
}

void run(const void *params)
{
  call(FL4_EMU_ENTRY, params);
}
} // namespace

#ifdef FL4_EMU_PLUGIN
extern "C" __attribute__((visibility("default"))) void fl4_emu_run(const void *params);
void fl4_emu_run(const void *params)
{
  run(params);
}
#else
static const emu::Registration registration(FL4_EMU_OPTIONS, run);
#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One kernel, compiled for the emulator as NVRTC compiles it for a GPU: -DFL4_… options, ptx.h included
 * ahead. Built with the tests it registers itself; built at run time it is a plugin with one entry.
 */
#include "instances.h"

/* Kernels of different options have types of the same names. */
namespace {
#include FL4_EMU_SOURCE

void run(const void *params)
{
  FL4_EMU_ENTRY(*static_cast<const fl4_fwd_params *>(params));
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

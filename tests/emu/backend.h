/* SPDX-License-Identifier: Apache-2.0 */
/* The device "emu": GPU kernels on the emulated machine, behind the interface of real devices. */
#ifndef FL4_EMU_BACKEND_H
#define FL4_EMU_BACKEND_H

#include "machine.h"

namespace emu {

/* Adds the device to the library's; until then it is not there. */
void add_device();

/* How launches run from now on; at first from $FL4_EMU_SEED and $FL4_EMU_MODE ("late", "early"). */
extern Options options;

/* What all launches since reset_counts() have cost. */
const Counts &counts();
void reset_counts();
/* As a table. */
void print_counts(FILE *file);

} // namespace emu

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* Linked into the fl4 command, adds the device "emu" to it: fl4_emu check --device emu … */
#include <cstdio>
#include <cstdlib>

#include "backend.h"

namespace {

struct AddDevice {
  AddDevice() { emu::add_device(); }
  ~AddDevice()
  {
    if (std::getenv("FL4_EMU_COUNTS")) emu::print_counts(stderr);
  }
};
const AddDevice add_device;

} // namespace

// SPDX-License-Identifier: Apache-2.0
//
// Keeps a stream busy until the host has queued what is to be timed, so that the time between two
// events is the device's alone.
#include "fl4_ptx.cuh"

// Waits until gate[0], a word of the host's memory, is set; gives up after `most_ns` and sets gate[1].
FL4_KERNEL(fl4_timer_hold, 32, 1)(u32 *gate, u64 most_ns)
{
  const u64 start = nanoseconds();
  while (!load_system_32(gate)) {
    if (nanoseconds() - start < most_ns) continue;
    gate[1] = 1;
    return;
  }
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Clocks, power, temperature and throttling, from NVML: opened on first use; $FLASHL4_NVML names its file. */
#ifndef FL4_NVML_H
#define FL4_NVML_H

#include <flashl4/bench.h>

/* State of the GPU at a PCI address, "0000:1b:00.0". What NVML does not tell is unknown. Thread-safe. */
void fl4__nvml_health(const char *bus_id, fl4_device_health *health);

#endif

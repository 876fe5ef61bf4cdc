/* SPDX-License-Identifier: Apache-2.0 */
/* What the host's timer and its limits share. */
#ifndef FL4_HOST_MEASURE_H
#define FL4_HOST_MEASURE_H

#include <stddef.h>

#include "timing.h"

#define FL4__HOST_CPUS "/sys/devices/system/cpu"

/*
 * Bytes of all last-level caches together, as `folder` (FL4__HOST_CPUS, but in tests) describes them,
 * else as sysconf() says, else 64 MiB.
 */
size_t fl4__host_cache_bytes(const char *folder);

fl4_status fl4__host_limits(fl4__device *device, fl4_limits *limits);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* A plan: a problem, the variant that runs it, its kernel, and how it is launched. */
#ifndef FL4_PLAN_H
#define FL4_PLAN_H

#include "device.h"

struct fl4__wisdom;

typedef struct fl4__plan {
  fl4__problem problem;
  fl4__variant variant;
  fl4__geometry geometry;
  const fl4__kernel *kernel; /* NULL until fl4__plan_kernel() */
} fl4__plan;

/*
 * Chooses variant and geometry: the forced variant (family NULL: none), else what wisdom knows (may be
 * NULL), else the family's own choice. Some hundred nanoseconds, so plans are made anew for each call.
 */
fl4_status fl4__plan_make(fl4__device *device, const fl4__variant *forced, const struct fl4__wisdom *wisdom,
                          const fl4__problem *problem, fl4__plan *plan);

/* Finds the kernel in memory, else builds it; while `stream` is captured nothing is built. */
fl4_status fl4__plan_kernel(fl4__device *device, fl4__plan *plan, bool capturable, fl4_stream stream);

#endif

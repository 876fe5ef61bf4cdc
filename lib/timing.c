/* SPDX-License-Identifier: Apache-2.0 */
/* A device's limits and health, for the caller; what its backend does not know is unknown. */
#include <stdlib.h>
#include <string.h>

#include "context.h"
#include "error.h"

void fl4__health_unknown(fl4_device_health *health)
{
  *health = (fl4_device_health){.struct_size = sizeof *health,
                                .sm_clock_mhz = -1,
                                .sm_clock_max_mhz = -1,
                                .memory_clock_mhz = -1,
                                .temperature_c = -1,
                                .power_w = -1,
                                .power_limit_w = -1,
                                .throttle_reasons = -1,
                                .driver = "unknown"};
}

static int by_value(const void *a, const void *b)
{
  const double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

double fl4__median(double *values, int n)
{
  qsort(values, (size_t)n, sizeof *values, by_value);
  return (values[(n - 1) / 2] + values[n / 2]) / 2;
}

fl4_status fl4_bench_limits(fl4_context *ctx, fl4_limits *limits)
{
  if (!ctx) return fl4__fail(FL4_INVALID_ARGUMENT, "fl4_bench_limits: ctx: is NULL, must be a context");
  if (!limits) return fl4__fail(FL4_INVALID_ARGUMENT, "fl4_bench_limits: limits: is NULL, must receive the limits");
  fl4_limits out;
  FL4_TRY(fl4__struct_read(&out, sizeof out, limits, "fl4_limits"));
  const fl4__backend *backend = ctx->device->backend;
  if (!backend->timing)
    return fl4__fail(FL4_UNSUPPORTED, "fl4_bench_limits: ctx: is on the device \"%s\", on which nothing can be timed",
                     backend->name);
  out = (fl4_limits)FL4_LIMITS_INIT;
  fl4_status status = backend->timing->limits(ctx->device, &out);
  if (status != FL4_OK) return fl4__fail_context(status, "fl4_bench_limits");
  fl4__struct_write(limits, &out, sizeof out);
  return FL4_OK;
}

fl4_status fl4_context_get_health(fl4_context *ctx, fl4_device_health *health)
{
  if (!ctx) return fl4__fail(FL4_INVALID_ARGUMENT, "fl4_context_get_health: ctx: is NULL, must be a context");
  if (!health)
    return fl4__fail(FL4_INVALID_ARGUMENT, "fl4_context_get_health: health: is NULL, must receive the state");
  fl4_device_health out;
  FL4_TRY(fl4__struct_read(&out, sizeof out, health, "fl4_device_health"));
  const fl4__timing *timing = ctx->device->backend->timing;
  if (timing)
    timing->health(ctx->device, &out);
  else
    fl4__health_unknown(&out);
  fl4__struct_write(health, &out, sizeof out);
  return FL4_OK;
}

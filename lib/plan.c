/* SPDX-License-Identifier: Apache-2.0 */
/* Problem → plan. Nothing is kept: choosing is cheap, and what is dear, the kernel, the device keeps. */
#include "plan.h"

#include <string.h>

#include "error.h"
#include "wisdom.h"

fl4_status fl4__plan_make(fl4__device *device, const fl4__variant *forced, const struct fl4__wisdom *wisdom,
                          const fl4__problem *problem, fl4__plan *plan)
{
  memset(plan, 0, sizeof *plan);
  plan->problem = *problem;
  fl4_match match;
  if ((forced && forced->family) || !fl4__wisdom_find(wisdom, problem, &device->info, &plan->variant, &match))
    FL4_TRY(fl4__select(forced, problem, &device->info, &plan->variant));
  plan->variant.family->geometry(&plan->variant, problem, &device->info, &plan->geometry);
  return FL4_OK;
}

/* Which better families do not run the problem. Said when a kernel is built, not at each call. */
static void tell_refusals(const fl4__device *device, const fl4__plan *plan)
{
  char why[160];
  const fl4__family *mine = plan->variant.family;
  for (const fl4__family *const *f = fl4__families; *f && *f != mine; f++) {
    const char *reason = fl4__family_refusal(*f, &plan->problem, &device->info, why);
    if (reason) fl4__log_write(device->config.log, FL4_LOG_INFO, "%s: %s; %s runs", (*f)->name, reason, mine->name);
  }
}

fl4_status fl4__plan_kernel(fl4__device *device, fl4__plan *plan, bool capturable, fl4_stream stream)
{
  const fl4__backend *backend = device->backend;
  fl4__build build;
  fl4__build_from(&plan->variant, &plan->problem, device->config.debug, &build);
  FL4_TRY(backend->kernel(device, &build, false, &plan->kernel));
  if (plan->kernel) return FL4_OK;

  /* Building synchronises and allocates, which would break the caller's capture. */
  if (capturable && backend->capturing(device, stream))
    return fl4__fail(FL4_NOT_PREPARED, "fl4_attention_forward: stream: is being captured, and the kernel of this "
                                       "problem is not ready; call fl4_attention_prepare() before the capture");
  tell_refusals(device, plan);
  return backend->kernel(device, &build, true, &plan->kernel);
}

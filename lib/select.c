/* SPDX-License-Identifier: Apache-2.0 */
/* Which variant runs a problem: the one that was asked for, else the first family that can. */
#include <stdio.h>
#include <string.h>

#include "error.h"
#include "variant.h"

/* An emulated GPU runs the kernels of real ones. */
static bool runs_on(const fl4__family *family, const fl4_device_info *device)
{
  int kind = device->kind == FL4_DEVICE_EMU ? FL4_DEVICE_CUDA : device->kind;
  return (int)family->device == kind;
}

static bool is_for(const fl4__family *family, const fl4__problem *problem, const fl4_device_info *device)
{
  return runs_on(family, device) && (!family->is_for || family->is_for(problem));
}

/* The family's choice, overruled by the values that `forced` gives. */
static void choose(const fl4__family *family, const fl4__variant *forced, const fl4__problem *problem,
                   const fl4_device_info *device, fl4__variant *variant)
{
  memset(variant, 0, sizeof *variant);
  variant->family = family;
  family->choose(variant, problem, device);
  for (int i = 0; forced && i < family->n_params; i++)
    if (forced->value[i] != FL4__UNSET) variant->value[i] = forced->value[i];
}

const char *fl4__family_refusal(const fl4__family *family, const fl4__problem *problem, const fl4_device_info *device,
                                char why[160])
{
  fl4__variant variant;
  if (!is_for(family, problem, device)) return NULL;
  choose(family, NULL, problem, device, &variant);
  return family->refuse(&variant, problem, device, why);
}

bool fl4__variant_fits(const fl4__variant *wish, const fl4__problem *problem, const fl4_device_info *device,
                       fl4__variant *variant)
{
  const fl4__family *family = wish->family;
  char why[160];
  bool gaps = false;
  if (!runs_on(family, device)) return false;
  for (int i = 0; i < family->n_params; i++) gaps |= wish->value[i] == FL4__UNSET;
  if (gaps)
    choose(family, wish, problem, device, variant);
  else
    *variant = *wish;
  return !family->refuse(variant, problem, device, why);
}

static fl4_status select_forced(const fl4__variant *forced, const fl4__problem *problem, const fl4_device_info *device,
                                fl4__variant *variant)
{
  char text[FL4__VARIANT_TEXT], why[160] = "";
  if (!runs_on(forced->family, device)) {
    fl4__variant_format(forced, text);
    return fl4__fail(FL4_UNSUPPORTED, "variant %s: is for the %s, this device is %s (%s)", text,
                     forced->family->device == FL4_DEVICE_HOST ? "host" : "GPU", device->name, device->isa);
  }
  choose(forced->family, forced, problem, device, variant);
  const char *reason = forced->family->refuse(variant, problem, device, why);
  if (!reason) return FL4_OK;
  fl4__variant_format(variant, text);
  return fl4__fail(FL4_UNSUPPORTED, "variant %s: %s", text, reason);
}

fl4_status fl4__select(const fl4__variant *forced, const fl4__problem *problem, const fl4_device_info *device,
                       fl4__variant *variant)
{
  if (forced && forced->family) return select_forced(forced, problem, device, variant);

  char reasons[512] = "this build has no kernels for it";
  size_t length = 0;
  for (int i = 0; fl4__families[i]; i++) {
    const fl4__family *family = fl4__families[i];
    if (!is_for(family, problem, device)) continue;
    char why[160] = "";
    choose(family, NULL, problem, device, variant);
    const char *reason = family->refuse(variant, problem, device, why);
    if (!reason) return FL4_OK;
    int n = snprintf(reasons + length, sizeof reasons - length, "%s%s: %s", length ? "; " : "", family->name, reason);
    if (n > 0) length = (size_t)fl4__min64((int64_t)length + n, (int64_t)sizeof reasons - 1);
  }
  return fl4__fail(FL4_UNSUPPORTED, "no kernel runs this problem on %s (%s): %s", device->name, device->isa, reasons);
}

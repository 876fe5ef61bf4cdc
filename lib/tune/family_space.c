/* SPDX-License-Identifier: Apache-2.0 */
/* A family's table, a problem and a device → all variants that can run, and why the others cannot. */
#include "tune/family_space.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "context.h"
#include "error.h"
#include "oracle/check.h"

enum {
  MAX_REASONS = sizeof((fl4_tune_space_info *)0)->reasons / sizeof((fl4_tune_space_info *)0)->reasons[0],
  REASON = sizeof((fl4_tune_space_info *)0)->reasons[0].reason,
};

/* ---------------------------------------------------------------- choice */

fl4_status fl4__tune_choice(const char *family, const fl4__problem *problem, const fl4_device_info *device,
                            fl4__variant *choice)
{
  if (!family) return fl4__select(NULL, problem, device, choice);
  fl4__variant any;
  FL4_TRY(fl4__variant_parse(family, &any));
  for (int i = 0; i < any.family->n_params; i++)
    if (any.value[i] != FL4__UNSET)
      return fl4__fail(FL4_INVALID_ARGUMENT, "\"%s\" is a variant, must be the name of a family", family);
  return fl4__select(&any, problem, device, choice);
}

/* ---------------------------------------------------------------- reasons */

/* Kinds of refusals in the order in which they were met: as families tell them apart. */
typedef struct kinds {
  const char *kind[MAX_REASONS];
} kinds;

/* Counts a refusal, in the words of the first of its kind. Once there are too many kinds, new ones share the last place. */
static void count_reason(fl4__family_space *s, kinds *k, const char *kind, const fl4__variant *variant)
{
  fl4_tune_space_info *info = &s->info;
  int i = 0;
  while (i < info->n_reasons && k->kind[i] != kind) i++;
  if (i == MAX_REASONS) {
    i = MAX_REASONS - 1;
    snprintf(info->reasons[i].reason, REASON, "other reasons");
  } else if (i == info->n_reasons) {
    char why[160] = "";
    snprintf(info->reasons[i].reason, REASON, "%s", s->family->refuse(variant, &s->problem, &s->device, why));
    k->kind[i] = kind;
    info->n_reasons++;
  }
  info->reasons[i].count++;
}

static void sort_reasons(fl4_tune_space_info *info)
{
  for (int i = 1; i < info->n_reasons; i++)
    for (int k = i; k > 0 && info->reasons[k].count > info->reasons[k - 1].count; k--) {
      char swap[sizeof info->reasons[0]];
      memcpy(swap, &info->reasons[k], sizeof swap);
      memcpy(&info->reasons[k], &info->reasons[k - 1], sizeof swap);
      memcpy(&info->reasons[k - 1], swap, sizeof swap);
    }
}

/* ---------------------------------------------------------------- points */

static void describe(const fl4__family *family, fl4_tune_space_info *info)
{
  *info = (fl4_tune_space_info)FL4_TUNE_SPACE_INFO_INIT;
  snprintf(info->family, sizeof info->family, "%s", family->name);
  info->n_parameters = family->n_params;
  info->combinations = 1;
  for (int i = 0; i < family->n_params; i++) {
    const fl4__param *param = &family->params[i];
    snprintf(info->parameters[i].name, sizeof info->parameters[i].name, "%s", param->name);
    snprintf(info->parameters[i].what, sizeof info->parameters[i].what, "%s", param->what);
    info->parameters[i].n_values = param->n_values;
    for (int k = 0; k < param->n_values; k++) info->parameters[i].values[k] = param->values[k];
    info->combinations *= param->n_values;
  }
}

/* Combination number n: the last parameter changes fastest. */
static void combination(const fl4__family *family, int64_t n, fl4__variant *variant)
{
  memset(variant, 0, sizeof *variant);
  variant->family = family;
  for (int i = family->n_params - 1; i >= 0; i--) {
    variant->value[i] = family->params[i].values[n % family->params[i].n_values];
    n /= family->params[i].n_values;
  }
}

/* Indices of the values; false if one is not in the table. */
static bool indices_of(const fl4__variant *variant, uint16_t indices[FL4__MAX_PARAMS])
{
  for (int i = 0; i < variant->family->n_params; i++) {
    const fl4__param *param = &variant->family->params[i];
    int k = 0;
    while (k < param->n_values && param->values[k] != variant->value[i]) k++;
    if (k == param->n_values) return false;
    indices[i] = (uint16_t)k;
  }
  return true;
}

static void make_canonical(const fl4__family_space *s, fl4__variant *variant)
{
  if (s->family->canonical) s->family->canonical(variant, &s->problem, &s->device);
}

static fl4_status enumerate(fl4__family_space *s)
{
  int64_t can_run = 0;
  kinds k;
  for (int64_t n = 0; n < s->info.combinations; n++) {
    fl4__variant variant;
    uint16_t indices[FL4__MAX_PARAMS] = {0};
    combination(s->family, n, &variant);
    const char *kind = s->family->refuse(&variant, &s->problem, &s->device, NULL);
    if (kind) {
      count_reason(s, &k, kind, &variant);
      continue;
    }
    can_run++;
    make_canonical(s, &variant);
    if (!indices_of(&variant, indices))
      return fl4__fail(FL4_INTERNAL, "family %s: canonical() left its table", s->family->name);
    FL4_TRY(fl4__space_add(&s->space, indices));
  }
  fl4__space_seal(&s->space);
  s->info.valid = s->space.n_points;
  s->info.same = can_run - s->space.n_points;
  sort_reasons(&s->info);
  return FL4_OK;
}

fl4_status fl4__family_space_open(const fl4__family *family, const fl4__problem *problem, const fl4_device_info *device,
                                  fl4__family_space *s)
{
  int size[FL4__MAX_PARAMS];
  bool ordinal[FL4__MAX_PARAMS];
  memset(s, 0, sizeof *s);
  s->family = family, s->problem = *problem, s->device = *device;
  describe(family, &s->info);
  for (int i = 0; i < family->n_params; i++)
    size[i] = family->params[i].n_values, ordinal[i] = !family->params[i].categorical;
  FL4_TRY(fl4__space_open(&s->space, family->n_params, size, ordinal));
  return enumerate(s);
}

void fl4__family_space_close(fl4__family_space *s)
{
  fl4__space_close(&s->space);
}

void fl4__family_space_variant(const fl4__family_space *s, int64_t point, fl4__variant *variant)
{
  const uint16_t *indices = fl4__space_point(&s->space, point);
  memset(variant, 0, sizeof *variant);
  variant->family = s->family;
  for (int i = 0; i < s->family->n_params; i++) variant->value[i] = s->family->params[i].values[indices[i]];
}

int64_t fl4__family_space_find(const fl4__family_space *s, const fl4__variant *variant)
{
  uint16_t indices[FL4__MAX_PARAMS] = {0};
  char why[160] = "";
  fl4__variant v = *variant;
  if (v.family != s->family || !indices_of(&v, indices)) return -1;
  if (s->family->refuse(&v, &s->problem, &s->device, why)) return -1;
  make_canonical(s, &v);
  return indices_of(&v, indices) ? fl4__space_find(&s->space, indices) : -1;
}

/* ---------------------------------------------------------------- the call */

fl4_status fl4_tune_space(fl4_context *ctx, const fl4_problem *problem, const char *family, fl4_tune_space_info *info)
{
  if (!ctx) return fl4__fail(FL4_INVALID_ARGUMENT, "fl4_tune_space: ctx: is NULL, must be a context");
  if (!problem) return fl4__fail(FL4_INVALID_ARGUMENT, "fl4_tune_space: problem: is NULL, must be a problem");
  if (!info) return fl4__fail(FL4_INVALID_ARGUMENT, "fl4_tune_space: info: is NULL, must receive the description");
  fl4_tune_space_info ignored;
  FL4_TRY(fl4__struct_read(&ignored, sizeof ignored, info, "fl4_tune_space_info"));
  const fl4_device_info *device = &ctx->device->info;
  fl4_problem valid;
  fl4__problem p;
  fl4__variant choice;
  fl4__family_space s;
  FL4_TRY(fl4__problem_validate(problem, &valid));
  FL4_TRY(fl4__problem_call(&valid, &p));
  fl4_status status = fl4__tune_choice(family, &p, device, &choice);
  if (status != FL4_OK) return fl4__fail_context(status, "fl4_tune_space: family");
  status = fl4__family_space_open(choice.family, &p, device, &s);
  if (status == FL4_OK) fl4__struct_write(info, &s.info, sizeof s.info);
  fl4__family_space_close(&s);
  return status;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* A tuning and its context's wisdom: seeds from it, the outcome to it. */
#include <stdio.h>
#include <string.h>

#include "context.h"
#include "error.h"
#include "tune/tuner.h"
#include "wisdom.h"

int fl4__tune_wisdom_seeds(const fl4_tuner *t, int n, fl4__variant *seeds)
{
  if (t->options.no_wisdom) return 0;
  return fl4__wisdom_seeds(t->ctx->wisdom, &t->family.problem, &t->family.device, n, seeds);
}

/* Who was timed in the final, and with what it was compiled. */
static fl4_status describe(const fl4_tuner *t, const fl4__final *f, fl4_wisdom_entry *e)
{
  const fl4__tried *x = &t->tried[f->winner];
  FL4_TRY(fl4_problem_format(&t->problem, e->problem, sizeof e->problem));
  fl4__variant_format(&x->variant, e->variant);
  snprintf(e->mode, sizeof e->mode, "%s", fl4_bench_mode_name(t->mode));
  e->budget = t->options.budget;
  e->evaluations = (int32_t)t->n_tried;
  e->improved = f->winner > 0;
  e->p50_us = f->best_us, e->default_us = f->choice_us;
  e->max_error = x->result.max_error;
  e->kernel_hash = x->result.kernel_hash;
  return FL4_OK;
}

/*
 * A tuning of another family than that of the built-in choice finds the best of that family, and never asks whether that is
 * better than the choice: as wisdom it might replace a faster one.
 */
static bool is_of_choice(const fl4_tuner *t)
{
  fl4__variant choice;
  return fl4__select(NULL, &t->family.problem, &t->family.device, &choice) == FL4_OK &&
         choice.family == t->family.family;
}

fl4_status fl4__tune_wisdom_learn(const fl4_tuner *t, const fl4__final *f)
{
  if (t->options.no_wisdom || f->winner < 0 || f->n == 0 || !is_of_choice(t)) return FL4_OK;
  fl4_wisdom_entry entry = FL4_WISDOM_ENTRY_INIT;
  fl4_device_health health;
  fl4_cache_info cache = FL4_CACHE_INFO_INIT;
  fl4__device *device = t->ctx->device;
  FL4_TRY(describe(t, f, &entry));
  fl4__health_unknown(&health);
  device->backend->timing->health(device, &health);
  device->backend->cache_info(device, &cache);
  snprintf(entry.driver, sizeof entry.driver, "%s", health.driver);
  entry.nvrtc = cache.nvrtc_version;
  return fl4__wisdom_learn(t->ctx->wisdom, &device->info, &entry);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* What a tuning is asked for: options, the search space, and what is to be tried first. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "context.h"
#include "error.h"
#include "tune/tuner.h"

#define OPTIONS "fl4_tune_options"

enum { MAX_SEEDS = 64, WISDOM_SEEDS = 5, MOST_THREADS = 256 };

/* ---------------------------------------------------------------- options */

static fl4_status check_range(const char *name, int64_t value, int64_t min, int64_t max)
{
  if (value >= min && value <= max) return FL4_OK;
  return fl4__fail(FL4_INVALID_ARGUMENT, OPTIONS ".%s: is %" PRId64 ", must be from %" PRId64 " to %" PRId64, name,
                   value, min, max);
}

static fl4_status check_number(const char *name, double value, const char *zero)
{
  if (isfinite(value) && value >= 0) return FL4_OK;
  return fl4__fail(FL4_INVALID_ARGUMENT, OPTIONS ".%s: is %g, must be finite and above 0 (0: %s)", name, value, zero);
}

static fl4_status check_strategy(const char *name)
{
  char list[128] = "";
  size_t length = 0;
  if (!name || fl4__strategy_find(name)) return FL4_OK;
  for (const fl4__strategy *const *s = fl4__strategies; *s; s++)
    length += (size_t)snprintf(list + length, sizeof list - length, " %s", (*s)->name);
  return fl4__fail(FL4_INVALID_ARGUMENT, OPTIONS ".strategy: is \"%s\", must be one of%s", name, list);
}

static fl4_status check_options(const fl4_tune_options *o)
{
  FL4_TRY(check_range("budget", o->budget, 0, FL4_TUNE_BUDGET_COUNT - 1));
  FL4_TRY(check_range("max_evaluations", o->max_evaluations, 0, INT32_MAX));
  FL4_TRY(check_number("max_seconds", o->max_seconds, "no limit"));
  FL4_TRY(check_number("target_us", o->target_us, "none"));
  FL4_TRY(check_strategy(o->strategy));
  FL4_TRY(check_range("mode", o->mode, 0, FL4_BENCH_MODE_COUNT - 1));
  FL4_TRY(check_range("cold", o->cold, 0, 1));
  FL4_TRY(check_range("inputs", o->inputs, 0, FL4_INPUTS_COUNT - 1));
  FL4_TRY(check_range("compile_threads", o->compile_threads, 0, MOST_THREADS));
  FL4_TRY(check_number("time_limit", o->time_limit, "30 s"));
  FL4_TRY(check_number("threshold", o->threshold, "0.01"));
  if (o->threshold >= 1)
    return fl4__fail(FL4_INVALID_ARGUMENT, OPTIONS ".threshold: is %g, must be below 1, as 0.01", o->threshold);
  FL4_TRY(check_range("no_wisdom", o->no_wisdom, 0, 1));
  FL4_TRY(check_range("reserved0", o->reserved0, 0, 0));
  for (int i = 0; i < 4; i++)
    if (o->reserved[i])
      return fl4__fail(FL4_INVALID_ARGUMENT, OPTIONS ".reserved[%d]: is %" PRIu64 ", must be 0", i, o->reserved[i]);
  return FL4_OK;
}

static int default_threads(void)
{
  const long cores = sysconf(_SC_NPROCESSORS_ONLN);
  return (int)fl4__max64(1, fl4__min64(cores - 1, 8));
}

fl4_status fl4__tune_options_read(const fl4_tune_options *given, fl4_tune_options *o)
{
  *o = (fl4_tune_options)FL4_TUNE_OPTIONS_INIT;
  if (given) FL4_TRY(fl4__struct_read(o, sizeof *o, given, OPTIONS));
  FL4_TRY(check_options(o));
  if (!o->strategy) o->strategy = fl4__strategies[0]->name;
  if (o->compile_threads == 0) o->compile_threads = default_threads();
  if (o->time_limit == 0) o->time_limit = 30;
  if (o->threshold == 0) o->threshold = 0.01;
  return FL4_OK;
}

/* ---------------------------------------------------------------- seeds */

/* A variant to be tried before the search begins. Points that are there already are passed over. */
static void add_first(fl4_tuner *t, const fl4__variant *variant)
{
  const int64_t point = fl4__family_space_find(&t->family, variant);
  if (point < 0) return;
  for (int i = 0; i < t->n_first; i++)
    if (t->first[i] == point) return;
  t->first[t->n_first++] = point;
}

/* A variant that the caller wishes for must be one that can run. */
static fl4_status add_seed(fl4_tuner *t, int i)
{
  fl4__variant wish, variant;
  const char *text = t->options.seeds[i];
  fl4_status status = fl4__variant_parse(text, &wish);
  if (status == FL4_OK && wish.family != t->family.family)
    status = fl4__fail(FL4_INVALID_ARGUMENT, "is \"%s\", must be of the family %s", text, t->family.family->name);
  if (status == FL4_OK) status = fl4__select(&wish, &t->family.problem, &t->family.device, &variant);
  if (status != FL4_OK) return fl4__fail_context(status, OPTIONS ".seeds[%d]", i);
  add_first(t, &variant);
  return FL4_OK;
}

static fl4_status add_seeds(fl4_tuner *t)
{
  int n = 0;
  while (t->options.seeds && t->options.seeds[n])
    if (++n > MAX_SEEDS)
      return fl4__fail(FL4_INVALID_ARGUMENT, OPTIONS ".seeds: are more than %d, or not ended by NULL", MAX_SEEDS);
  t->first = malloc((size_t)(1 + n + WISDOM_SEEDS) * sizeof *t->first);
  if (!t->first) return fl4__fail(FL4_OUT_OF_MEMORY, "fl4_tune: no memory for %d seeds", n);
  add_first(t, &t->choice);
  for (int i = 0; i < n; i++) FL4_TRY(add_seed(t, i));
  fl4__variant known[WISDOM_SEEDS];
  n = fl4__tune_wisdom_seeds(t, WISDOM_SEEDS, known);
  for (int i = 0; i < n; i++) add_first(t, &known[i]);
  return FL4_OK;
}

/* ---------------------------------------------------------------- subject */

fl4_status fl4__tune_subject_open(fl4_tuner *t, const fl4_problem *problem)
{
  static const int32_t evaluations[FL4_TUNE_BUDGET_COUNT] = {
#define EVALUATIONS(name, text, evaluations) evaluations,
      FL4_TUNE_BUDGET_MAP(EVALUATIONS)
#undef EVALUATIONS
  };
  const fl4_device_info *device = &t->ctx->device->info;
  fl4__problem p;
  FL4_TRY(fl4__problem_validate(problem, &t->problem));
  if (t->problem.B == 0 || t->problem.Sq == 0)
    return fl4__fail(FL4_INVALID_ARGUMENT, "problem: has no query, so there is nothing to tune");
  FL4_TRY(fl4__problem_call(&t->problem, &p));
  fl4_status status = fl4__tune_choice(t->options.family, &p, device, &t->choice);
  if (status != FL4_OK) return t->options.family ? fl4__fail_context(status, OPTIONS ".family") : status;
  FL4_TRY(fl4__family_space_open(t->choice.family, &p, device, &t->family));
  t->strategy = fl4__strategy_find(t->options.strategy);
  t->mode = t->options.mode != FL4_BENCH_AUTO ? (fl4_bench_mode)t->options.mode
            : device->kind == FL4_DEVICE_CUDA ? FL4_BENCH_GRAPH
                                              : FL4_BENCH_EAGER;
  const int64_t budget = t->options.max_evaluations ? t->options.max_evaluations : evaluations[t->options.budget];
  t->most = fl4__min64(budget, t->family.space.n_points);
  return add_seeds(t);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* fl4 tune --ablate: each parameter of a variant changed to each other value, timed beside it. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tune.h"

enum { MOST_CONTENDERS = 32, MOST_SAMPLES = 10000, TEXT = 128 };

/* One parameter at another value. */
typedef struct change {
  const char *parameter;
  int32_t value;
  char name[32], variant[TEXT];
  char why_not[256]; /* "": it is timed */
  double p50;
  bool same_code;
  fl4_comparison against;
} change;

typedef struct ablation {
  tune *tune;
  const cli_problem *problem;
  char variant[TEXT]; /* in full */
  char why[256];      /* it could not be timed by itself; "": the library says why */
  fl4_tune_space_info space;
  change *changes;
  size_t n;
  double *samples; /* [MOST_CONTENDERS][most_samples] */
  int64_t most_samples;
} ablation;

/* Some ten times a second, but not while a kernel hangs. */
static int on_progress(const fl4_bench_progress *p, void *user)
{
  const tune *t = user;
  if (t->parent && strcmp(p->phase, "inputs") == 0)
    supervised_idle(t->parent);
  else if (t->parent)
    supervised_alive(t->parent);
  return tune_interrupted();
}

/* Times `first` and n further ones side by side. */
static fl4_status time_them(ablation *a, const char *first, change *const *others, int n, fl4_bench_result *results)
{
  const tune *t = a->tune;
  fl4_bench_contender contenders[MOST_CONTENDERS];
  fl4_bench_options options = FL4_BENCH_OPTIONS_INIT;
  for (int i = 0; i <= n; i++) {
    contenders[i] = (fl4_bench_contender)FL4_BENCH_CONTENDER_INIT;
    contenders[i].name = i ? others[i - 1]->name : "base";
    contenders[i].variant = i ? others[i - 1]->variant : first;
    results[i] = (fl4_bench_result)FL4_BENCH_RESULT_INIT;
    results[i].samples = a->samples + i * a->most_samples;
    results[i].samples_size = a->most_samples;
  }
  options.mode = t->settings.mode;
  options.cold = t->settings.cold;
  options.inputs = t->settings.inputs;
  options.seed = t->settings.seed;
  options.max_samples = (int32_t)a->most_samples;
  if (options.max_samples < 100) options.min_samples = options.max_samples;
  options.contenders = contenders;
  options.n_contenders = n + 1;
  options.progress = on_progress;
  options.progress_user = a->tune;
  if (n == 0) options.max_samples = options.min_samples = 1; /* only what runs is asked for */
  return fl4_bench(t->ctx, &a->problem->problem, 1, &options, results);
}

static fl4_status find_variant(ablation *a, const char *variant)
{
  fl4_bench_result result = FL4_BENCH_RESULT_INIT;
  fl4_status status = time_them(a, variant, NULL, 0, &result);
  if (status == FL4_OK) status = (fl4_status)result.status;
  if (status == FL4_OK) snprintf(a->variant, sizeof a->variant, "%s", result.variant);
  if (status != FL4_OK) snprintf(a->why, sizeof a->why, "%s", result.error);
  return status;
}

/* "fwd_mma:bm=64,bn=32" with bm=128. Returns false if the variant does not name it. */
static bool changed(const char *variant, const char *parameter, int32_t value, char text[TEXT])
{
  const size_t length = strlen(parameter);
  const char *at = strchr(variant, ':');
  while (at && *at) {
    at++;
    if (strncmp(at, parameter, length) == 0 && at[length] == '=') {
      snprintf(text, TEXT, "%.*s%s=%d%s", (int)(at - variant), variant, parameter, value, at + strcspn(at, ","));
      return true;
    }
    at = strchr(at, ',');
  }
  return false;
}

/* What the tuning found to fail is not run again. */
static void note_failure(change *c, const json_t *result)
{
  size_t i;
  json_t *row;
  json_array_foreach(json_object_get(result, "candidates"), i, row)
  {
    const char *invalidity = tune_text(row, "invalidity");
    if (strcmp(tune_text(row, "variant"), c->variant) != 0) continue;
    if (strcmp(invalidity, fl4_invalidity_name(FL4_INVALIDITY_CORRECT)) != 0)
      snprintf(c->why_not, sizeof c->why_not, "%s: %s", invalidity, tune_text(row, "error"));
  }
}

static fl4_status list_changes(ablation *a, const json_t *result)
{
  size_t most = 0;
  for (int i = 0; i < a->space.n_parameters; i++) most += (size_t)a->space.parameters[i].n_values;
  a->changes = calloc(most + 1, sizeof *a->changes);
  if (!a->changes) return FL4_OUT_OF_MEMORY;
  for (int i = 0; i < a->space.n_parameters; i++)
    for (int k = 0; k < a->space.parameters[i].n_values; k++) {
      change *c = &a->changes[a->n];
      *c = (change){.parameter = a->space.parameters[i].name, .value = a->space.parameters[i].values[k], .p50 = NAN};
      c->against = (fl4_comparison)FL4_COMPARISON_INIT;
      if (!changed(a->variant, c->parameter, c->value, c->variant) || strcmp(c->variant, a->variant) == 0) continue;
      snprintf(c->name, sizeof c->name, "%s=%d", c->parameter, c->value);
      note_failure(c, result);
      a->n++;
    }
  return FL4_OK;
}

static void take(ablation *a, change *c, const fl4_bench_result *base, const fl4_bench_result *r)
{
  if (r->status != FL4_OK) {
    char prefix[TEXT + 16]; /* who it is stands in its row already */
    snprintf(prefix, sizeof prefix, "variant %s: ", c->variant);
    const size_t known = strncmp(r->error, prefix, strlen(prefix)) == 0 ? strlen(prefix) : 0;
    snprintf(c->why_not, sizeof c->why_not, "%s", r->error + known);
    return;
  }
  c->p50 = r->stats.p50;
  c->against = r->against;
  c->same_code = a->tune->device.kind != FL4_DEVICE_HOST && r->kernel_hash == base->kernel_hash;
}

static fl4_status time_changes(ablation *a)
{
  fl4_bench_result results[MOST_CONTENDERS];
  results[0] = (fl4_bench_result)FL4_BENCH_RESULT_INIT;
  for (size_t i = 0; i < a->n;) {
    change *group[MOST_CONTENDERS - 1];
    int n = 0;
    for (; i < a->n && n < MOST_CONTENDERS - 1; i++)
      if (!*a->changes[i].why_not) group[n++] = &a->changes[i];
    if (n == 0) continue;
    fl4_status status = time_them(a, a->variant, group, n, results);
    if (status == FL4_OK) status = (fl4_status)results[0].status;
    if (status != FL4_OK) return snprintf(a->why, sizeof a->why, "%s", results[0].error), status;
    for (int k = 0; k < n; k++) take(a, group[k], &results[0], &results[k + 1]);
  }
  return FL4_OK;
}

/* All at once, so that among many none is called slower by luck. */
static fl4_status judge(ablation *a)
{
  fl4_comparison **all = calloc(a->n + 1, sizeof *all);
  if (!all) return FL4_OUT_OF_MEMORY;
  for (size_t i = 0; i < a->n; i++) all[i] = &a->changes[i].against;
  fl4_status status = fl4_compare_judge(all, (int64_t)a->n);
  free(all);
  return status;
}

/* The most expensive change first; what could not be timed last. */
static int by_cost(const void *x, const void *y)
{
  const change *a = x, *b = y;
  const double left = a->against.n > 0 ? a->against.ratio : -1, right = b->against.n > 0 ? b->against.ratio : -1;
  if (left != right) return left < right ? 1 : -1;
  const int order = strcmp(a->parameter, b->parameter);
  return order ? order : a->value < b->value ? -1 : 1;
}

static json_t *change_json(const change *c)
{
  json_t *row = cli_object(), *against = json_null();
  if (c->against.n > 0) {
    against = cli_object();
    cli_set(against, "n", json_integer(c->against.n));
    cli_set(against, "ratio", cli_real(c->against.ratio));
    cli_set(against, "low", cli_real(c->against.low));
    cli_set(against, "high", cli_real(c->against.high));
    cli_set(against, "verdict", cli_text(fl4_verdict_name((fl4_verdict)c->against.verdict)));
    cli_set(against, "threshold", cli_real(c->against.threshold));
  }
  cli_set(row, "parameter", cli_text(c->parameter));
  cli_set(row, "value", json_integer(c->value));
  cli_set(row, "variant", cli_text(c->variant));
  cli_set(row, "p50_us", cli_real(c->p50));
  cli_set(row, "against", against);
  cli_set(row, "same_code", json_boolean(c->same_code));
  cli_set(row, "error", cli_text(c->why_not));
  return row;
}

json_t *tune_ablate(tune *t, const cli_problem *problem, const char *variant, const json_t *result, fl4_status *status)
{
  ablation a = {.tune = t, .problem = problem, .space = FL4_TUNE_SPACE_INFO_INIT};
  char family[32];
  if (t->parent) supervised_alive(t->parent);
  a.most_samples = t->options->samples ? t->options->samples : MOST_SAMPLES;
  a.samples = malloc(MOST_CONTENDERS * (size_t)a.most_samples * sizeof *a.samples);
  *status = a.samples ? find_variant(&a, variant) : FL4_OUT_OF_MEMORY;
  snprintf(family, sizeof family, "%.*s", (int)strcspn(a.variant, ":"), a.variant);
  if (*status == FL4_OK) *status = fl4_tune_space(t->ctx, &problem->problem, family, &a.space);
  if (*status == FL4_OK) *status = list_changes(&a, result);
  if (*status == FL4_OK) *status = time_changes(&a);
  if (*status == FL4_OK) *status = judge(&a);
  if (t->parent) supervised_idle(t->parent);

  json_t *root = cli_object(), *changes = cli_array();
  cli_set(root, "variant", cli_text(*a.variant ? a.variant : variant));
  cli_set(root, "error", cli_text(*status == FL4_OK ? "" : *a.why ? a.why : fl4_last_error()));
  if (*status == FL4_OK && a.n > 1) qsort(a.changes, a.n, sizeof *a.changes, by_cost);
  for (size_t i = 0; *status == FL4_OK && i < a.n; i++) cli_append(changes, change_json(&a.changes[i]));
  cli_set(root, "changes", changes);
  free(a.samples);
  free(a.changes);
  return root;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* fl4 tune: which variant is fastest? Problems one after the other, each remembered before the next. */
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tune.h"

/* What is asked for */

/* A word that the library has a number for. */
static int read_word(const char *option, const char *text, const char *(*name)(int), int32_t *value)
{
  if (!text) return CLI_GOOD;
  char known[160] = "";
  for (int i = 0; name(i); i++) {
    if (strcmp(text, name(i)) == 0) return *value = i, CLI_GOOD;
    size_t at = strlen(known);
    snprintf(known + at, sizeof known - at, "%s%s", i ? ", " : "", name(i));
  }
  return cli_fail(CLI_UNUSABLE, "%s: is \"%s\", must be one of %s", option, text, known);
}

static const char *budget_name(int i)
{
  return fl4_tune_budget_name((fl4_tune_budget)i);
}

static const char *mode_name(int i)
{
  return fl4_bench_mode_name((fl4_bench_mode)i);
}

static int check_options(const cli_options *o)
{
  if (o->space + o->ablate + !!o->replay > 1)
    return cli_fail(CLI_UNUSABLE, "tune: only one of --space, --ablate and --replay");
  if (o->n_variants && !o->ablate) return cli_fail(CLI_UNUSABLE, "--variant: goes with --ablate");
  if (o->n_variants > 1) return cli_fail(CLI_UNUSABLE, "--variant: %zu given, must be one", o->n_variants);
  if (o->samples && !o->ablate) return cli_fail(CLI_UNUSABLE, "--samples: goes with --ablate");
  if (o->seeds && !o->replay) return cli_fail(CLI_UNUSABLE, "--seeds: goes with --replay");
  if (o->replay && (o->shapes || o->n_problems))
    return cli_fail(CLI_UNUSABLE, "--replay: takes no problems, they are in the files");
  if (o->replay && o->markdown) return cli_fail(CLI_UNUSABLE, "--markdown: does not go with --replay");
  if (o->space && o->markdown) return cli_fail(CLI_UNUSABLE, "--markdown: does not go with --space");
  if (o->no_wisdom && o->wisdom) return cli_fail(CLI_UNUSABLE, "only one of --wisdom and --no-wisdom");
  if (o->json && o->markdown && strcmp(o->json, "-") == 0 && strcmp(o->markdown, "-") == 0)
    return cli_fail(CLI_UNUSABLE, "only one of --json and --markdown can go to standard output");
  return CLI_GOOD;
}

static int read_settings(tune *t)
{
  const cli_options *o = t->options;
  fl4_tune_options *s = &t->settings;
  fl4_inputs kinds[FL4_INPUTS_COUNT];
  int n_kinds, code = cli_inputs(o->inputs, "normal", kinds, &n_kinds);
  if (code == CLI_GOOD && n_kinds != 1)
    code = cli_fail(CLI_UNUSABLE, "--inputs: is \"%s\", must be one kind", o->inputs);
  if (code == CLI_GOOD) code = read_word("--budget", o->budget, budget_name, &s->budget);
  if (code == CLI_GOOD) code = read_word("--mode", o->mode, mode_name, &s->mode);
  if (code != CLI_GOOD) return code;
  s->inputs = (int32_t)kinds[0];
  s->max_evaluations = o->evals;
  s->max_seconds = o->seconds;
  s->target_us = o->target;
  s->seed = o->seed;
  s->strategy = o->strategy;
  s->family = o->family;
  s->log = o->log;
  s->cold = o->cold;
  s->compile_threads = o->threads;
  s->time_limit = o->time_limit;
  s->threshold = o->threshold;
  s->no_wisdom = o->no_wisdom;
  return CLI_GOOD;
}

/* The document, see docs/tune.md */

static json_t *options_json(const tune *t)
{
  const fl4_tune_options *s = &t->settings;
  const cli_options *o = t->options;
  json_t *options = cli_object();
  cli_set(options, "budget", cli_text(budget_name(s->budget)));
  cli_set(options, "max_evaluations", s->max_evaluations ? json_integer(s->max_evaluations) : json_null());
  cli_set(options, "max_seconds", s->max_seconds > 0 ? cli_real(s->max_seconds) : json_null());
  cli_set(options, "target_us", s->target_us > 0 ? cli_real(s->target_us) : json_null());
  cli_set(options, "seed", json_integer((json_int_t)s->seed));
  cli_set(options, "strategy", s->strategy ? cli_text(s->strategy) : json_null());
  cli_set(options, "family", s->family ? cli_text(s->family) : json_null());
  cli_set(options, "mode", cli_text(mode_name(s->mode)));
  cli_set(options, "cold", json_boolean(s->cold));
  cli_set(options, "inputs", cli_text(fl4_inputs_name((fl4_inputs)s->inputs)));
  cli_set(options, "threshold", s->threshold > 0 ? cli_real(s->threshold) : json_null());
  cli_set(options, "time_limit", s->time_limit > 0 ? cli_real(s->time_limit) : json_null());
  cli_set(options, "log", o->log ? cli_text(o->log) : json_null());
  cli_set(options, "wisdom", json_boolean(!o->no_wisdom));
  cli_set(options, "wisdom_file", o->wisdom ? cli_text(o->wisdom) : json_null());
  return options;
}

static size_t n_good(const tune *t)
{
  size_t n = 0;
  for (size_t i = 0; i < t->problems.n; i++) {
    const json_t *result = json_object_get(t->results, t->problems.items[i].line);
    n += strcmp(tune_text(result, "status"), fl4_status_name(FL4_OK)) == 0;
  }
  return n;
}

/* In the order in which they were asked for; what was not reached is not there. */
static json_t *document(const tune *t, int code)
{
  json_t *root = cli_object(), *results = cli_array(), *summary = cli_object();
  int improved = 0;
  for (size_t i = 0; i < t->problems.n; i++) {
    json_t *result = json_object_get(t->results, t->problems.items[i].line);
    if (!result) continue;
    improved += json_is_true(json_object_get(result, "improved"));
    cli_append(results, json_incref(result));
  }
  cli_set(root, "schema", cli_text(t->options->space ? "flashl4-tune-space-1" : "flashl4-tune-1"));
  cli_set(root, "environment", cli_environment_json(t->options));
  cli_set(root, "device", cli_device_json(&t->device));
  cli_set(root, "options", options_json(t));
  cli_set(root, "results", results);
  cli_set(summary, "problems", json_integer((json_int_t)t->problems.n));
  cli_set(summary, "good", json_integer((json_int_t)n_good(t)));
  cli_set(summary, "improved", json_integer(improved));
  cli_set(summary, "restarts", json_integer(t->parent ? t->parent->restarts : 0));
  cli_set(summary, "exit", json_integer(code));
  cli_set(root, "summary", summary);
  return root;
}

/* What is finished stays so, for this process and for the next one. */
static int keep(tune *t, json_t *result)
{
  int code = t->parent ? supervised_leave(t->parent, result) : CLI_GOOD;
  cli_set(t->results, tune_text(result, "problem"), result);
  return code;
}

/* Takes over what earlier processes have finished: it is not done again, nor shown again. */
static void take_over(tune *t)
{
  json_t *left = supervised_left(t->parent), *result;
  size_t i;
  json_array_foreach(left, i, result) cli_set(t->results, tune_text(result, "problem"), json_incref(result));
  json_decref(left);
}

/* The work */

/* Of the status of one problem; those that follow may still be done after CLI_GOOD. */
static int judge(const tune *t, const char *line, fl4_status status)
{
  if (status == FL4_OK || status == FL4_UNSUPPORTED || status == FL4_CANCELLED) return CLI_GOOD;
  cli_fail(0, "%s: %s: %s", line, fl4_status_string(status), fl4_last_error());
  if (status == FL4_DEVICE_ERROR && t->parent) return SUPERVISED_AGAIN;
  return status == FL4_IO_ERROR ? CLI_UNUSABLE : cli_code(status);
}

static int save_wisdom(const tune *t)
{
  if (t->options->no_wisdom || fl4_wisdom_save(t->ctx, t->options->wisdom) == FL4_OK) return CLI_GOOD;
  return cli_fail(CLI_UNUSABLE, "cannot save what was learnt: %s", fl4_last_error());
}

static int tune_and_save(tune *t, size_t index, bool show)
{
  json_t *result;
  fl4_status status = tune_problem(t, index, &result);
  int code = judge(t, t->problems.items[index].line, status);
  if (code == SUPERVISED_AGAIN) {
    json_decref(result); /* not finished */
    return code;
  }
  if (show) tune_show(result, t->options->quiet);
  if (status == FL4_OK || status == FL4_CANCELLED) code = save_wisdom(t);
  int kept = keep(t, result);
  return kept > code ? kept : code;
}

static const char lost[] = "it did not survive its timing";

static json_t *copy(const json_t *object)
{
  json_t *same = json_deep_copy(object);
  if (!same) exit(cli_fail(CLI_DEVICE, "out of memory"));
  return same;
}

/* What takes the process with it is not tried again: that it has begun is noted before. */
static int ablate(tune *t, const cli_problem *problem, const char *variant, bool show)
{
  fl4_status status;
  json_t *result = copy(json_object_get(t->results, problem->line)), *ablation = cli_object();
  cli_set(ablation, "variant", cli_text(variant));
  cli_set(ablation, "error", cli_text(lost));
  cli_set(ablation, "changes", cli_array());
  cli_set(result, "ablation", ablation);
  int code = keep(t, result);
  if (code != CLI_GOOD) return code;
  ablation = tune_ablate(t, problem, variant, result, &status);
  if (status != FL4_OK && status != FL4_CANCELLED) {
    cli_fail(0, "%s: %s: %s", problem->line, fl4_status_string(status), tune_text(ablation, "error"));
    code = status == FL4_DEVICE_ERROR && t->parent ? SUPERVISED_AGAIN : cli_code(status);
  }
  result = copy(result);
  cli_set(result, "ablation", ablation);
  if (show) tune_show_ablation(result);
  int kept = keep(t, result);
  return kept > code ? kept : code;
}

/* --ablate of a variant that is given. */
static int ablate_given(tune *t, const cli_problem *problem, bool show)
{
  json_t *result = cli_object();
  cli_set(result, "problem", cli_text(problem->line));
  cli_set(result, "status", cli_text(fl4_status_name(FL4_OK)));
  cli_set(result, "error", cli_text(""));
  cli_set(result, "variant", cli_text(t->options->variant));
  int code = keep(t, result);
  if (show) printf("\n%s\n", problem->line);
  return code == CLI_GOOD ? ablate(t, problem, t->options->variant, show) : code;
}

static int one(tune *t, size_t index, bool show)
{
  const cli_options *o = t->options;
  const cli_problem *problem = &t->problems.items[index];
  const json_t *result = json_object_get(t->results, problem->line);
  fl4_status status;
  if (o->space) {
    cli_set(t->results, problem->line, tune_space(t, problem, show, &status));
    return judge(t, problem->line, status);
  }
  if (o->n_variants) return result ? CLI_GOOD : ablate_given(t, problem, show);
  int code = result ? CLI_GOOD : tune_and_save(t, index, show);
  if (code != CLI_GOOD || !o->ablate || tune_interrupted()) return code;
  result = json_object_get(t->results, problem->line);
  if (json_object_get(result, "ablation") || strcmp(tune_text(result, "status"), fl4_status_name(FL4_OK)) != 0)
    return CLI_GOOD;
  char variant[128];
  snprintf(variant, sizeof variant, "%s", tune_text(result, "variant"));
  return ablate(t, problem, variant, show);
}

/* An ablation that took an earlier process with it. */
static int look_for_lost(const tune *t)
{
  for (size_t i = 0; i < t->problems.n; i++) {
    const json_t *ablation = json_object_get(json_object_get(t->results, t->problems.items[i].line), "ablation");
    if (strcmp(tune_text(ablation, "error"), lost) == 0)
      return cli_fail(CLI_DEVICE, "%s: --ablate: %s", t->problems.items[i].line, lost);
  }
  return CLI_GOOD;
}

static int all(tune *t, bool show)
{
  const bool again = t->parent && t->parent->restarts, titles = show && !t->options->quiet;
  char name[32];
  int code = CLI_GOOD;
  cli_device_name(&t->device, name);
  if (titles && !again) printf("%s: %s, %s\n", name, t->device.name, t->device.isa);
  fflush(stdout); /* else it is lost with this process */
  for (size_t i = 0; i < t->problems.n && code == CLI_GOOD && !tune_interrupted(); i++) code = one(t, i, show);
  if (code == CLI_GOOD && tune_interrupted())
    return cli_fail(CLI_UNUSABLE, "interrupted; %zu of %zu done", n_good(t), t->problems.n);
  if (code == CLI_GOOD) code = look_for_lost(t);
  if (code == CLI_GOOD && n_good(t) == 0) return cli_fail(CLI_UNUSABLE, "none of the problems can run here");
  return code;
}

/* The context knows what was learnt into --wisdom before, so that it seeds what is tuned now. */
static int open_context(tune *t)
{
  const cli_options *o = t->options;
  cli_options unforced = *o; /* a variant is what is ablated, not what is run */
  unforced.variant = NULL;
  int code = cli_open(&unforced, &t->ctx, &t->device);
  if (code != CLI_GOOD || !o->wisdom || access(o->wisdom, F_OK) != 0) return code;
  if (fl4_wisdom_load(t->ctx, o->wisdom, NULL) == FL4_OK) return CLI_GOOD;
  return cli_fail(CLI_UNUSABLE, "--wisdom: %s", fl4_last_error());
}

static int work(tune *t)
{
  const cli_options *o = t->options;
  FILE *json = NULL, *markdown = NULL;
  char log[PATH_MAX + 8];
  if (t->parent && !o->log) {
    snprintf(log, sizeof log, "%s/log", t->parent->folder);
    t->settings.log = log;
  }
  if (t->parent) take_over(t);
  tune_catch_interrupts(t);
  int code = open_context(t);
  if (code == CLI_GOOD)
    code =
        cli_problems_read(o, &t->device, t->device.kind == FL4_DEVICE_HOST ? "demo-host" : "canonical", &t->problems);
  if (code == CLI_GOOD) code = cli_json_open(o, &json);
  if (code == CLI_GOOD) code = cli_file_open("--markdown", o->markdown, &markdown);
  if (code == CLI_GOOD) code = all(t, json != stdout && markdown != stdout);
  if (code == SUPERVISED_AGAIN) return code; /* the next process writes the files */
  json_t *root = document(t, code);
  if (markdown) tune_markdown(json_object_get(root, "results"), markdown);
  code = cli_file_close("--markdown", o->markdown, markdown, code);
  cli_set(json_object_get(root, "summary"), "exit", json_integer(code));
  return cli_json_close(o, json, root, code);
}

/* Is one of the sources "-"? */
static bool reads_input(const cli_options *o)
{
  for (const char *shapes = o->shapes; shapes; shapes = strchr(shapes, ',') ? strchr(shapes, ',') + 1 : NULL)
    if (strcspn(shapes, ",") == 1 && *shapes == '-') return true;
  return false;
}

int cli_tune(const cli_options *options)
{
  supervised parent;
  tune t = {.options = options, .device = FL4_DEVICE_INFO_INIT, .settings = FL4_TUNE_OPTIONS_INIT};
  int code = check_options(options);
  if (code == CLI_GOOD && options->replay) return tune_replay(options);
  if (code == CLI_GOOD) code = read_settings(&t);
  if (code != CLI_GOOD) return code;
  if (supervised_open(&parent)) {
    t.parent = &parent;
  } else if (!options->in_process && !options->space) {
    const double limit = options->time_limit > 0 ? options->time_limit : 30;
    const double patience = limit + (limit > 10 ? limit : 10);
    return supervise_run(&(supervise){options, options->log, patience, reads_input(options)});
  }
  t.results = cli_object();
  code = work(&t);
  json_decref(t.results);
  cli_problems_free(&t.problems);
  fl4_context_destroy(&t.ctx);
  return code;
}

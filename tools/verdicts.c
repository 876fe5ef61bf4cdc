/* SPDX-License-Identifier: Apache-2.0 */
/* What compare and gate have in common: from two sides' times to a table and an exit code. */
#include "verdicts.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "report.h"

static const char *const state_names[VERDICT_N_STATES] = {"judged", "wrong", "not in old", "not in new", "not timed"};

verdict *verdicts_add(verdicts *v)
{
  if (v->n == v->room) {
    size_t room = v->room ? 2 * v->room : 64;
    verdict *items = realloc(v->items, room * sizeof *items);
    if (!items) return NULL;
    v->items = items, v->room = room;
  }
  verdict *item = &v->items[v->n++];
  *item = (verdict){.old_variant = "", .new_variant = ""};
  item->old_times = item->new_times = (fl4_statistics)FL4_STATISTICS_INIT;
  item->comparison = (fl4_comparison)FL4_COMPARISON_INIT;
  return item;
}

void verdicts_free(verdicts *v)
{
  free(v->items);
}

void verdicts_warn(verdicts *v, const char *format, ...)
{
  if (v->n_warnings == VERDICTS_WARNINGS) return;
  char *text = v->warnings[v->n_warnings++];
  va_list args;
  va_start(args, format);
  vsnprintf(text, sizeof v->warnings[0], format, args);
  va_end(args);
  cli_fail(0, "WARNING: %s", text);
}

void verdict_remark(verdict *v, const char *format, ...)
{
  va_list args;
  va_start(args, format);
  vsnprintf(v->remark, sizeof v->remark, format, args);
  va_end(args);
  for (char *c = v->remark; *c; c++) {
    if (*c == '\n') *c = '\0';
    if ((unsigned char)*c < ' ' && *c) *c = ' ';
    if (!*c) break;
  }
}

int verdict_compare(verdict *v, double threshold, const double *old_samples, int64_t n_old, const double *new_samples,
                    int64_t n_new)
{
  fl4_compare_options options = FL4_COMPARE_OPTIONS_INIT;
  options.threshold = threshold;
  if (fl4_compare_samples(old_samples, n_old, new_samples, n_new, &options, &v->comparison) == FL4_OK) return CLI_GOOD;
  return cli_fail(CLI_DEVICE, "%s: %s", v->problem, fl4_last_error());
}

int verdicts_judge(verdicts *v)
{
  fl4_comparison **all = calloc(v->n ? v->n : 1, sizeof *all);
  if (!all) return cli_fail(CLI_DEVICE, "out of memory");
  int64_t n = 0;
  for (size_t i = 0; i < v->n; i++)
    if (v->items[i].state == VERDICT_JUDGED) all[n++] = &v->items[i].comparison;
  fl4_status status = n ? fl4_compare_judge(all, n) : FL4_OK;
  free(all);
  return status == FL4_OK ? CLI_GOOD : cli_fail(cli_code(status), "%s", fl4_last_error());
}

static size_t count_state(const verdicts *v, verdict_state state)
{
  size_t n = 0;
  for (size_t i = 0; i < v->n; i++) n += v->items[i].state == state;
  return n;
}

static size_t count_verdict(const verdicts *v, fl4_verdict which)
{
  size_t n = 0;
  for (size_t i = 0; i < v->n; i++)
    n += v->items[i].state == VERDICT_JUDGED && v->items[i].comparison.verdict == (int32_t)which;
  return n;
}

int verdicts_exit(const verdicts *v, const cli_options *o)
{
  bool missing = count_state(v, VERDICT_NOT_IN_OLD) + count_state(v, VERDICT_NOT_IN_NEW) > 0;
  bool negative = count_state(v, VERDICT_WRONG) + count_verdict(v, FL4_VERDICT_SLOWER) > 0;
  if (missing && !o->allow_missing) return CLI_UNUSABLE;
  if (negative) return CLI_NEGATIVE;
  if (count_state(v, VERDICT_JUDGED) == 0) return cli_fail(CLI_UNUSABLE, "there is nothing to compare");
  return o->strict && count_verdict(v, FL4_VERDICT_AMBIGUOUS) > 0 ? CLI_AMBIGUOUS : CLI_GOOD;
}

/* As text */

enum { COLUMNS = 8 };

typedef struct cells {
  const char *at[COLUMNS];
  char text[COLUMNS][48];
} cells;

static int make_columns(const verdicts *v, cli_column columns[COLUMNS])
{
  int problem = 7, contender = 9;
  for (size_t i = 0; i < v->n; i++) {
    int line = (int)strlen(v->items[i].problem), name = (int)strlen(v->items[i].contender);
    if (line > problem) problem = line;
    if (name > contender) contender = name;
  }
  const cli_column all[COLUMNS] = {
      {"problem", problem, false}, {"inputs", 9, false}, {"contender", contender, false}, {"old µs", 11, true},
      {"new µs", 11, true},        {"new/old", 7, true}, {"95 % interval", 13, true},     {"verdict", 0, false},
  };
  memcpy(columns, all, sizeof all);
  return COLUMNS;
}

static void fill(const verdict *v, cells *c)
{
  c->at[0] = v->problem;
  c->at[1] = fl4_inputs_name(v->inputs);
  c->at[2] = v->contender;
  for (int i = 3; i < COLUMNS - 1; i++) c->at[i] = "-";
  c->at[COLUMNS - 1] = v->state == VERDICT_WRONG ? "WRONG" : state_names[v->state];
  const fl4_statistics *times[] = {&v->old_times, &v->new_times};
  for (int i = 0; i < 2; i++) {
    if (times[i]->n == 0) continue;
    snprintf(c->text[3 + i], sizeof c->text[0], times[i]->p50 < 100 ? "%.3f" : "%.1f", times[i]->p50);
    c->at[3 + i] = c->text[3 + i];
  }
  if (v->state != VERDICT_JUDGED) return;
  snprintf(c->text[5], sizeof c->text[0], "%.4f", v->comparison.ratio);
  c->at[5] = c->text[5];
  c->at[6] = report_interval(&v->comparison, c->text[6]);
  c->at[7] = v->comparison.verdict == FL4_VERDICT_SLOWER ? "SLOWER"
                                                         : fl4_verdict_name((fl4_verdict)v->comparison.verdict);
}

/* "1 SLOWER, 3 same; 1 not in new": the parts that are not 0. */
static void write_summary(const verdicts *v, FILE *file)
{
  const char *separator = "";
  for (int i = FL4_VERDICT_COUNT - 1; i >= 0; i--) {
    size_t n = count_verdict(v, (fl4_verdict)i);
    if (!n) continue;
    fprintf(file, "%s%zu %s", separator, n, fl4_verdict_name((fl4_verdict)i));
    separator = ", ";
  }
  for (int i = VERDICT_WRONG; i < VERDICT_N_STATES; i++) {
    size_t n = count_state(v, (verdict_state)i);
    if (!n) continue;
    fprintf(file, "%s%zu %s", separator, n, state_names[i]);
    separator = ", ";
  }
  fprintf(file, "; threshold %g %%\n", 100 * v->threshold);
}

void verdicts_show(const verdicts *v, const cli_options *o)
{
  cli_column columns[COLUMNS];
  const char *titles[COLUMNS];
  int n = make_columns(v, columns);
  for (int i = 0; i < n; i++) titles[i] = columns[i].title;
  if (!o->quiet) cli_row(columns, n, titles);
  for (size_t i = 0; i < v->n; i++) {
    const verdict *item = &v->items[i];
    bool bad = item->state == VERDICT_JUDGED ? item->comparison.verdict == FL4_VERDICT_SLOWER
                                             : item->state != VERDICT_NOT_TIMED;
    if (o->quiet && !bad) continue;
    cells c;
    fill(item, &c);
    cli_row(columns, n, c.at);
    if (item->remark[0]) printf("    %s\n", item->remark);
  }
  write_summary(v, stdout);
}

void verdicts_markdown(const verdicts *v, FILE *file)
{
  cli_column columns[COLUMNS];
  int n = make_columns(v, columns);
  for (size_t i = 0; i < v->n_warnings; i++) fprintf(file, "**Warning:** %s.\n\n", v->warnings[i]);
  markdown_header(file, columns, n);
  for (size_t i = 0; i < v->n; i++) {
    cells c;
    fill(&v->items[i], &c);
    markdown_row(file, n, c.at);
  }
  fputc('\n', file);
  write_summary(v, file);
  for (size_t i = 0; i < v->n; i++) {
    const verdict *item = &v->items[i];
    if (item->remark[0])
      fprintf(file, "\n- %s, %s, %s: %s", item->problem, fl4_inputs_name(item->inputs), item->contender, item->remark);
  }
  fputc('\n', file);
}

/* JSON */

static json_t *side_json(const fl4_statistics *times, const char *variant)
{
  json_t *side = cli_object();
  cli_set(side, "variant", cli_text(variant));
  cli_set(side, "statistics", times->n ? report_statistics_json(times) : json_null());
  return side;
}

static json_t *verdict_json(const verdict *v)
{
  json_t *object = cli_object();
  cli_set(object, "problem", cli_text(v->problem));
  cli_set(object, "inputs", cli_text(fl4_inputs_name(v->inputs)));
  cli_set(object, "contender", cli_text(v->contender));
  cli_set(object, "mode", cli_text(v->mode));
  cli_set(object, "cold", json_boolean(v->cold));
  cli_set(object, "state", cli_text(state_names[v->state]));
  cli_set(object, "remark", cli_text(v->remark));
  cli_set(object, "old", side_json(&v->old_times, v->old_variant));
  cli_set(object, "new", side_json(&v->new_times, v->new_variant));
  cli_set(object, "comparison",
          v->state == VERDICT_JUDGED ? report_comparison_json(&v->comparison, "old") : json_null());
  return object;
}

void verdicts_json(const verdicts *v, json_t *object, int code)
{
  json_t *warnings = cli_array(), *items = cli_array(), *summary = cli_object();
  for (size_t i = 0; i < v->n_warnings; i++) cli_append(warnings, cli_text(v->warnings[i]));
  for (size_t i = 0; i < v->n; i++) cli_append(items, verdict_json(&v->items[i]));
  for (int i = 0; i < FL4_VERDICT_COUNT; i++)
    cli_set(summary, fl4_verdict_name((fl4_verdict)i), json_integer((json_int_t)count_verdict(v, (fl4_verdict)i)));
  for (int i = VERDICT_WRONG; i < VERDICT_N_STATES; i++)
    cli_set(summary, state_names[i], json_integer((json_int_t)count_state(v, (verdict_state)i)));
  cli_set(summary, "exit", json_integer(code));
  cli_set(object, "threshold", cli_real(v->threshold));
  cli_set(object, "warnings", warnings);
  cli_set(object, "verdicts", items);
  cli_set(object, "summary", summary);
}

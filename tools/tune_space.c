/* SPDX-License-Identifier: Apache-2.0 */
/* fl4 tune --space: the parameters, and how many combinations of them can run. */
#include <inttypes.h>

#include "tune.h"

static void values_text(const int32_t *values, int n, char *text, size_t size)
{
  size_t at = 0;
  for (int i = 0; i < n && at < size; i++)
    at += (size_t)snprintf(text + at, size - at, "%s%d", i ? "," : "", values[i]);
}

static void show(const char *line, const fl4_tune_space_info *s)
{
  static const cli_column columns[] = {{"", 10, false}, {"", 36, false}, {"", 0, false}};
  printf("\n%s: family %s\n", line, s->family);
  for (int i = 0; i < s->n_parameters; i++) {
    char values[160] = "";
    values_text(s->parameters[i].values, s->parameters[i].n_values, values, sizeof values);
    cli_row(columns, 3, (const char *const[]){s->parameters[i].name, values, s->parameters[i].what});
  }
  printf("%" PRId64 " valid of %" PRId64 " combinations; %" PRId64
         " more could run, but are one of these in disguise\n",
         s->valid, s->combinations, s->same);
  for (int i = 0; i < s->n_reasons; i++)
    printf("  %8" PRId64 " refused, such as: %s\n", s->reasons[i].count, s->reasons[i].reason);
}

static json_t *space_json(const fl4_tune_space_info *s)
{
  json_t *space = cli_object(), *parameters = cli_array(), *reasons = cli_array();
  cli_set(space, "family", cli_text(s->family));
  cli_set(space, "combinations", json_integer(s->combinations));
  cli_set(space, "valid", json_integer(s->valid));
  cli_set(space, "same", json_integer(s->same));
  for (int i = 0; i < s->n_parameters; i++) {
    json_t *row = cli_object(), *values = cli_array();
    cli_set(row, "name", cli_text(s->parameters[i].name));
    cli_set(row, "what", cli_text(s->parameters[i].what));
    for (int k = 0; k < s->parameters[i].n_values; k++) cli_append(values, json_integer(s->parameters[i].values[k]));
    cli_set(row, "values", values);
    cli_append(parameters, row);
  }
  for (int i = 0; i < s->n_reasons; i++) {
    json_t *row = cli_object();
    cli_set(row, "reason", cli_text(s->reasons[i].reason));
    cli_set(row, "count", json_integer(s->reasons[i].count));
    cli_append(reasons, row);
  }
  cli_set(space, "parameters", parameters);
  cli_set(space, "reasons", reasons);
  return space;
}

json_t *tune_space(tune *t, const cli_problem *problem, bool shown, fl4_status *status)
{
  fl4_tune_space_info info = FL4_TUNE_SPACE_INFO_INIT;
  *status = fl4_tune_space(t->ctx, &problem->problem, t->settings.family, &info);
  json_t *result = cli_object();
  cli_set(result, "problem", cli_text(problem->line));
  cli_set(result, "status", cli_text(fl4_status_name(*status)));
  cli_set(result, "error", cli_text(*status == FL4_OK ? "" : fl4_last_error()));
  cli_set(result, "space", *status == FL4_OK ? space_json(&info) : json_null());
  if (shown && *status == FL4_OK) show(problem->line, &info);
  if (shown && *status != FL4_OK) printf("\n%s: %s\n", problem->line, tune_text(result, "error"));
  return result;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The problems of a command, from wherever they come. */
#include "problems.h"

#include <stdlib.h>
#include <string.h>

/* The list */

void cli_problems_free(cli_problems *problems)
{
  for (size_t i = 0; i < problems->n; i++) {
    free(problems->items[i].line);
    free(problems->items[i].note);
  }
  free(problems->items);
  memset(problems, 0, sizeof *problems);
}

/* The room doubles whenever the number reaches a power of two. */
static cli_problem *room(cli_problems *problems)
{
  const size_t n = problems->n;
  if ((n & (n - 1)) == 0) {
    cli_problem *more = realloc(problems->items, (n ? 2 * n : 1) * sizeof *more);
    if (!more) return NULL;
    problems->items = more;
  }
  return &problems->items[n];
}

int cli_problems_add(cli_problems *problems, const char *where, const char *line, const char *note)
{
  if (problems->n == CLI_PROBLEMS_MAX)
    return cli_fail(CLI_UNUSABLE, "%s: more than %d problems", where, CLI_PROBLEMS_MAX);
  cli_problem *item = room(problems);
  if (!item) return cli_fail(CLI_DEVICE, "out of memory");

  char canonical[FL4_PROBLEM_LINE_MAX];
  item->problem = (fl4_problem)FL4_PROBLEM_INIT;
  if (fl4_problem_parse(line, &item->problem) != FL4_OK ||
      fl4_problem_format(&item->problem, canonical, sizeof canonical) != FL4_OK)
    return cli_fail(CLI_UNUSABLE, "%s: %s", where, fl4_last_error());
  item->line = strdup(canonical);
  item->note = strdup(note);
  if (!item->line || !item->note) {
    free(item->line);
    free(item->note);
    return cli_fail(CLI_DEVICE, "out of memory");
  }
  problems->n++;
  return CLI_GOOD;
}

/* Equal lines beside each other, the first one first. */
static int by_line_and_age(const void *a, const void *b)
{
  const cli_problem *x = *(cli_problem *const *)a, *y = *(cli_problem *const *)b;
  const int order = strcmp(x->line, y->line);
  return order ? order : x < y ? -1 : x > y;
}

/* Results are told apart by their problem, so each may stand there once; its first note stays. */
static int drop_repeated(cli_problems *problems)
{
  cli_problem **sorted = malloc((problems->n + 1) * sizeof *sorted);
  if (!sorted) return cli_fail(CLI_DEVICE, "out of memory");
  for (size_t i = 0; i < problems->n; i++) sorted[i] = &problems->items[i];
  qsort(sorted, problems->n, sizeof *sorted, by_line_and_age);

  for (size_t i = 0, first = 0; i < problems->n; i++) {
    if (i == first || strcmp(sorted[i]->line, sorted[first]->line) != 0) {
      first = i;
      continue;
    }
    if (!*sorted[first]->note) {
      char *empty = sorted[first]->note;
      sorted[first]->note = sorted[i]->note, sorted[i]->note = empty;
    }
    sorted[i]->problem.struct_size = 0; /* marks it; the lines are still compared */
  }
  free(sorted);

  size_t kept = 0;
  for (size_t i = 0; i < problems->n; i++) {
    cli_problem *item = &problems->items[i];
    if (item->problem.struct_size == 0) {
      free(item->line);
      free(item->note);
    } else {
      problems->items[kept++] = *item;
    }
  }
  problems->n = kept;
  return CLI_GOOD;
}

/* The sources */

int cli_problems_add_set(cli_problems *problems, const char *where, const char *set, const fl4_device_info *device)
{
  const size_t n = fl4_shapes_count(set);
  if (n == 0) {
    char names[256] = "";
    for (size_t i = 0, at = 0; fl4_shapes_name(i) && at < sizeof names; i++)
      at += (size_t)snprintf(names + at, sizeof names - at, " %s", fl4_shapes_name(i));
    return cli_fail(CLI_UNUSABLE, "%s: unknown set \"%.40s\"; sets are%s", where, set, names);
  }
  if (strcmp(set, "demo") == 0 && device->kind == FL4_DEVICE_HOST)
    return cli_problems_add_set(problems, where, "demo-host", device);
  int code = CLI_GOOD;
  for (size_t i = 0; i < n && code == CLI_GOOD; i++)
    code = cli_problems_add(problems, where, fl4_shapes_line(set, i), fl4_shapes_note(set, i));
  return code;
}

static int add_line(cli_problems *problems, const char *name, char *line, size_t length, size_t number)
{
  char where[320];
  snprintf(where, sizeof where, "%.256s:%zu", name, number);
  if (strlen(line) != length) return cli_fail(CLI_UNUSABLE, "%s: holds a zero byte", where);
  line[strcspn(line, "#\r\n")] = '\0';
  line += strspn(line, " \t");
  size_t end = strlen(line);
  while (end && (line[end - 1] == ' ' || line[end - 1] == '\t')) line[--end] = '\0';
  return end ? cli_problems_add(problems, where, line, "") : CLI_GOOD;
}

/* One a line, as on standard input or as FLASHL4_CAPTURE wrote them. */
static int add_lines(cli_problems *problems, const char *name, FILE *file)
{
  char *line = NULL;
  size_t size = 0, before = problems->n;
  ssize_t length;
  int code = CLI_GOOD;
  for (size_t number = 1; code == CLI_GOOD && (length = getline(&line, &size, file)) >= 0; number++)
    code = add_line(problems, name, line, (size_t)length, number);
  free(line);
  if (code == CLI_GOOD && ferror(file)) return cli_fail(CLI_UNUSABLE, "%s: cannot be read", name);
  if (code == CLI_GOOD && problems->n == before)
    return cli_fail(CLI_UNUSABLE, "%s: holds no problem; one a line, as in hq8sq1024d64:bf16:causal", name);
  return code;
}

static bool ends_with(const char *text, const char *end)
{
  const size_t n = strlen(text), m = strlen(end);
  return n > m && strcmp(text + n - m, end) == 0;
}

static int add_source(cli_problems *problems, const char *source, const fl4_device_info *device)
{
  if (strcmp(source, "-") == 0) return add_lines(problems, "standard input", stdin);
  if (ends_with(source, ".yaml") || ends_with(source, ".yml")) return cli_problems_add_yaml(problems, source, device);
  FILE *file = fl4_shapes_count(source) == 0 ? fopen(source, "r") : NULL;
  if (!file) return cli_problems_add_set(problems, "--shapes", source, device);
  int code = add_lines(problems, source, file);
  fclose(file);
  return code;
}

int cli_problems_read(const cli_options *options, const fl4_device_info *device, const char *fallback,
                      cli_problems *problems)
{
  const char *shapes = options->shapes ? options->shapes : options->n_problems ? NULL : fallback;
  int code = CLI_GOOD;
  memset(problems, 0, sizeof *problems);
  while (shapes && code == CLI_GOOD) {
    const size_t length = strcspn(shapes, ",");
    char *source = strndup(shapes, length);
    code = source ? add_source(problems, source, device) : cli_fail(CLI_DEVICE, "out of memory");
    free(source);
    shapes = shapes[length] ? shapes + length + 1 : NULL;
  }
  for (size_t i = 0; i < options->n_problems && code == CLI_GOOD; i++)
    code = cli_problems_add(problems, "--problem", options->problems[i], "");
  if (code == CLI_GOOD) code = drop_repeated(problems);
  for (size_t i = 0; i < problems->n; i++) {
    const int width = (int)strlen(problems->items[i].line);
    if (width > problems->width) problems->width = width;
  }
  return code;
}

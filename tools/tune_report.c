/* SPDX-License-Identifier: Apache-2.0 */
/* What came of a tuning, on a terminal and as Markdown: the leaderboard, what failed, the verdict. */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "tune.h"

enum { LEADERS = 10, COLUMNS = 8, CELL = 160 };

double tune_number(const json_t *object, const char *key)
{
  const json_t *value = json_object_get(object, key);
  return json_is_number(value) ? json_number_value(value) : NAN;
}

const char *tune_text(const json_t *object, const char *key)
{
  const char *text = json_string_value(json_object_get(object, key));
  return text ? text : "";
}

static json_int_t whole(const json_t *object, const char *key)
{
  return json_integer_value(json_object_get(object, key));
}

static bool is_correct(const json_t *candidate)
{
  return strcmp(tune_text(candidate, "invalidity"), fl4_invalidity_name(FL4_INVALIDITY_CORRECT)) == 0;
}

/* Numbers as people read them: four digits, "-" for what is not known. */
static const char *number_cell(double value, const char *format, char cell[CELL])
{
  if (isnan(value))
    snprintf(cell, CELL, "-");
  else
    snprintf(cell, CELL, format, value);
  return cell;
}

static const char *microseconds(double us)
{
  return us < 10 ? "%.3f" : us < 100 ? "%.2f" : us < 1000 ? "%.1f" : "%.0f";
}

/* "0.932 [0.930, 0.935]" */
static void ratio_text(const json_t *against, char text[CELL])
{
  char low[CELL], high[CELL];
  snprintf(text, CELL, "%.3f [%.20s, %.20s]", tune_number(against, "ratio"),
           number_cell(tune_number(against, "low"), "%.3f", low),
           number_cell(tune_number(against, "high"), "%.3f", high));
}

/* The leaderboard */

static const cli_column columns[COLUMNS] = {{"#", 2, true},         {"variant", 0, false}, {"p50 µs", 24, false},
                                            {"registers", 9, true}, {"spills B", 8, true}, {"smem KiB", 8, true},
                                            {"max error", 9, true}, {"", 0, false}};

typedef struct leader {
  char cells[COLUMNS][CELL];
  const char *at[COLUMNS];
} leader;

/* Place of an evaluation among the correct ones, from 1; 0: it is not there. */
static int rank_of(const json_t *candidates, json_int_t evaluation)
{
  size_t i;
  json_t *c;
  int rank = 0;
  json_array_foreach(candidates, i, c)
  {
    if (!is_correct(c)) continue;
    rank++;
    if (whole(c, "evaluation") == evaluation) return rank;
  }
  return 0;
}

static void note_of(const json_t *candidates, const json_t *c, char note[CELL])
{
  const json_t *same = json_object_get(c, "same_as");
  note[0] = '\0';
  if (json_is_integer(same)) {
    int rank = rank_of(candidates, json_integer_value(same));
    snprintf(note, CELL, rank ? "same code as #%d" : "same code as evaluation %d",
             rank ? rank : (int)json_integer_value(same));
  } else if (isnan(tune_number(c, "p50_low_us"))) {
    snprintf(note, CELL, "given up after %" JSON_INTEGER_FORMAT " samples", whole(c, "samples"));
  }
  if (whole(c, "evaluation") == 0) {
    size_t n = strlen(note);
    snprintf(note + n, CELL - n, "%sthe built-in choice", n ? ", " : "");
  }
}

static void fill(leader *l, const json_t *candidates, const json_t *c, int rank)
{
  char p50[CELL], low[CELL], high[CELL];
  const double us = tune_number(c, "p50_us");
  snprintf(l->cells[0], CELL, "%d", rank);
  snprintf(l->cells[1], CELL, "%s", tune_text(c, "variant"));
  number_cell(us, microseconds(us), p50);
  if (isnan(tune_number(c, "p50_low_us")))
    snprintf(l->cells[2], CELL, "%.40s", p50);
  else
    snprintf(l->cells[2], CELL, "%.40s [%.40s, %.40s]", p50,
             number_cell(tune_number(c, "p50_low_us"), microseconds(us), low),
             number_cell(tune_number(c, "p50_high_us"), microseconds(us), high));
  number_cell(tune_number(c, "registers"), "%.0f", l->cells[3]);
  number_cell(tune_number(c, "spill_bytes"), "%.0f", l->cells[4]);
  number_cell(tune_number(c, "smem_bytes") / 1024, "%.1f", l->cells[5]);
  number_cell(tune_number(c, "max_error"), "%.1e", l->cells[6]);
  note_of(candidates, c, l->cells[7]);
  for (int i = 0; i < COLUMNS; i++) l->at[i] = l->cells[i];
}

/* The fastest, and in any case the built-in choice. */
static int leaders(const json_t *result, leader rows[LEADERS + 1])
{
  const json_t *candidates = json_object_get(result, "candidates");
  size_t i;
  json_t *c;
  int n = 0, rank = 0;
  json_array_foreach(candidates, i, c) if (is_correct(c) && (++rank <= LEADERS || whole(c, "evaluation") == 0))
      fill(&rows[n++], candidates, c, rank);
  return n;
}

static void show_leaders(const json_t *result)
{
  leader rows[LEADERS + 1];
  cli_column sized[COLUMNS];
  const char *titles[COLUMNS];
  const int n = leaders(result, rows);
  memcpy(sized, columns, sizeof sized);
  for (int i = 0; i < n; i++)
    if ((int)strlen(rows[i].cells[1]) > sized[1].width) sized[1].width = (int)strlen(rows[i].cells[1]);
  for (int i = 0; i < COLUMNS; i++) titles[i] = columns[i].title;
  if (n) cli_row(sized, COLUMNS, titles);
  for (int i = 0; i < n; i++) cli_row(sized, COLUMNS, rows[i].at);
}

/* What failed */

/* Of one kind: how many, and the earliest; NULL: none. */
static const json_t *first_failure(const json_t *result, const char *invalidity, int *count)
{
  const json_t *first = NULL;
  size_t i;
  json_t *c;
  *count = 0;
  json_array_foreach(json_object_get(result, "candidates"), i, c)
  {
    if (strcmp(tune_text(c, "invalidity"), invalidity) != 0) continue;
    ++*count;
    if (!first || whole(c, "evaluation") < whole(first, "evaluation")) first = c;
  }
  return first;
}

static void write_failures(const json_t *result, const char *start, FILE *file)
{
  for (int i = FL4_INVALIDITY_CORRECT + 1; i < FL4_INVALIDITY_COUNT; i++) {
    const char *name = fl4_invalidity_name((fl4_invalidity)i);
    int count;
    const json_t *first = first_failure(result, name, &count);
    if (first)
      fprintf(file, "%s%d failed, %s; the first %s: %s\n", start, count, name, tune_text(first, "variant"),
              *tune_text(first, "error") ? tune_text(first, "error") : "no reason known");
  }
}

/* The verdict */

static void write_effort(const json_t *result, FILE *file)
{
  fprintf(file, "%" JSON_INTEGER_FORMAT " tried of %" JSON_INTEGER_FORMAT " valid variants in %.1f s",
          whole(result, "evaluations"), whole(result, "space"), tune_number(result, "seconds"));
  if (whole(result, "resumed"))
    fprintf(file, ", %" JSON_INTEGER_FORMAT " more known from the log", whole(result, "resumed"));
  fprintf(file, "; ended by: %s\n", tune_text(result, "stop"));
}

static void write_verdict(const json_t *result, FILE *file)
{
  char before[CELL], after[CELL], ratio[CELL];
  const double default_us = tune_number(result, "default_us"), best_us = tune_number(result, "best_us");
  const json_t *against = json_object_get(result, "against");
  number_cell(default_us, microseconds(default_us), before);
  number_cell(best_us, microseconds(best_us), after);
  ratio_text(against, ratio);
  if (json_is_true(json_object_get(result, "improved"))) {
    fprintf(file, "improved: %s over default %s µs -> %s µs, ratio %s\n", tune_text(result, "variant"), before, after,
            json_is_object(against) ? ratio : "not known");
    return;
  }
  fprintf(file, "no improvement found; the built-in choice stays: %s", tune_text(result, "variant"));
  if (!isnan(default_us)) fprintf(file, ", %s µs", before);
  if (json_is_object(against)) fprintf(file, "; the best other one: ratio %s", ratio);
  fputc('\n', file);
}

static bool is_tuned(const json_t *result)
{
  const char *status = tune_text(result, "status");
  return strcmp(status, fl4_status_name(FL4_OK)) == 0 || strcmp(status, fl4_status_name(FL4_CANCELLED)) == 0;
}

void tune_show(const json_t *result, bool quiet)
{
  printf("%s%s%s%s%s\n", quiet ? "" : "\n", tune_text(result, "problem"), *tune_text(result, "note") ? "  (" : "",
         tune_text(result, "note"), *tune_text(result, "note") ? ")" : "");
  if (!is_tuned(result)) {
    printf("  not tuned: %s\n", tune_text(result, "error"));
  } else {
    if (!quiet) {
      show_leaders(result);
      write_failures(result, "", stdout);
      write_effort(result, stdout);
    }
    write_verdict(result, stdout);
  }
  fflush(stdout);
}

/* The ablation: what each other value of each parameter costs */

static const cli_column effect_columns[] = {
    {"change", 16, false}, {"ratio", 22, false}, {"", 9, false}, {"p50 µs", 8, true}, {"", 0, false}};
enum { EFFECT_COLUMNS = sizeof effect_columns / sizeof *effect_columns };

typedef struct effect {
  char cells[EFFECT_COLUMNS][CELL];
  const char *at[EFFECT_COLUMNS];
} effect;

static void fill_effect(effect *e, const json_t *row)
{
  const double us = tune_number(row, "p50_us");
  const bool timed = json_is_object(json_object_get(row, "against"));
  memset(e->cells, 0, sizeof e->cells);
  snprintf(e->cells[0], CELL, "%s=%" JSON_INTEGER_FORMAT, tune_text(row, "parameter"), whole(row, "value"));
  if (timed) {
    ratio_text(json_object_get(row, "against"), e->cells[1]);
    snprintf(e->cells[2], CELL, "%s", tune_text(json_object_get(row, "against"), "verdict"));
    number_cell(us, microseconds(us), e->cells[3]);
  }
  snprintf(e->cells[4], CELL, "%s",
           timed && json_is_true(json_object_get(row, "same_code")) ? "same code" : tune_text(row, "error"));
  for (int i = 0; i < EFFECT_COLUMNS; i++) e->at[i] = e->cells[i];
}

void tune_show_ablation(const json_t *result)
{
  const json_t *ablation = json_object_get(result, "ablation");
  const char *titles[EFFECT_COLUMNS];
  size_t i;
  json_t *row;
  if (!json_is_object(ablation)) return;
  printf("one parameter changed, beside %s\n", tune_text(ablation, "variant"));
  if (*tune_text(ablation, "error")) printf("  not timed: %s\n", tune_text(ablation, "error"));
  for (int k = 0; k < EFFECT_COLUMNS; k++) titles[k] = effect_columns[k].title;
  if (json_array_size(json_object_get(ablation, "changes"))) cli_row(effect_columns, EFFECT_COLUMNS, titles);
  json_array_foreach(json_object_get(ablation, "changes"), i, row)
  {
    effect e;
    fill_effect(&e, row);
    cli_row(effect_columns, EFFECT_COLUMNS, e.at);
  }
  fflush(stdout);
}

/* Markdown */

static void markdown_row(const char *const *cells, int n, FILE *file)
{
  for (int i = 0; i < n; i++) fprintf(file, "| %s ", cells[i]);
  fputs("|\n", file);
}

static void markdown_rule(int n, FILE *file)
{
  for (int i = 0; i < n; i++) fputs("| --- ", file);
  fputs("|\n", file);
}

static void markdown_leaders(const json_t *result, FILE *file)
{
  static const char *const titles[COLUMNS] = {"#",        "variant",  "p50 µs",    "registers",
                                              "spills B", "smem KiB", "max error", "note"};
  leader rows[LEADERS + 1];
  const int n = leaders(result, rows);
  if (n == 0) return;
  markdown_row(titles, COLUMNS, file);
  markdown_rule(COLUMNS, file);
  for (int i = 0; i < n; i++) markdown_row(rows[i].at, COLUMNS, file);
  fputc('\n', file);
}

static void markdown_ablation(const json_t *result, FILE *file)
{
  static const char *const titles[EFFECT_COLUMNS] = {"change", "ratio", "verdict", "p50 µs", "note"};
  const json_t *ablation = json_object_get(result, "ablation");
  size_t i;
  json_t *row;
  if (!json_is_object(ablation)) return;
  fprintf(file, "\nOne parameter changed, beside `%s`:%s%s\n\n", tune_text(ablation, "variant"),
          *tune_text(ablation, "error") ? " not timed: " : "", tune_text(ablation, "error"));
  if (json_array_size(json_object_get(ablation, "changes")) == 0) return;
  markdown_row(titles, EFFECT_COLUMNS, file);
  markdown_rule(EFFECT_COLUMNS, file);
  json_array_foreach(json_object_get(ablation, "changes"), i, row)
  {
    effect e;
    fill_effect(&e, row);
    markdown_row(e.at, EFFECT_COLUMNS, file);
  }
}

void tune_markdown(const json_t *results, FILE *file)
{
  size_t i;
  json_t *result;
  json_array_foreach(results, i, result)
  {
    fprintf(file, "%s## %s\n\n", i ? "\n" : "", tune_text(result, "problem"));
    if (!is_tuned(result)) {
      fprintf(file, "Not tuned: %s\n", tune_text(result, "error"));
      continue;
    }
    markdown_leaders(result, file);
    write_verdict(result, file);
    fputc('\n', file);
    write_effort(result, file);
    write_failures(result, "\n", file);
    markdown_ablation(result, file);
  }
}

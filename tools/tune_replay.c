/* SPDX-License-Identifier: Apache-2.0 */
/* fl4 tune --replay: how the strategies do on recorded spaces, file by file. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tune.h"

enum { COLUMNS = 9, CELL = 64, DEFAULT_CAP = 1500, DEFAULT_SEEDS = 100 };

static const cli_column columns[COLUMNS] = {
    {"file", 32, false},      {"strategy", 10, false}, {"points", 7, true},
    {"within 5 %", 10, true}, {"to 95 %", 7, true},    {"p90", 6, true},
    {"to 99 %", 7, true},     {"p90", 6, true},        {"% of the best after 25, 50, 100, 200", 0, false}};

/* What never got there is counted as the cap. */
static void evaluations_cell(int32_t n, int32_t cap, char cell[CELL])
{
  snprintf(cell, CELL, n >= cap ? "≥%d" : "%d", n);
}

static void show(const char *file, const char *strategy, const fl4_replay_report *r)
{
  char cells[COLUMNS][CELL];
  const char *at[COLUMNS], *slash = strrchr(file, '/');
  snprintf(cells[0], CELL, "%.60s", slash ? slash + 1 : file);
  snprintf(cells[1], CELL, "%.60s", strategy);
  snprintf(cells[2], CELL, "%" PRId64, r->points);
  snprintf(cells[3], CELL, "%.2f %%", 100 * r->difficulty);
  evaluations_cell(r->to_95[0], r->cap, cells[4]);
  evaluations_cell(r->to_95[1], r->cap, cells[5]);
  evaluations_cell(r->to_99[0], r->cap, cells[6]);
  evaluations_cell(r->to_99[1], r->cap, cells[7]);
  snprintf(cells[8], CELL, "%.1f  %.1f  %.1f  %.1f", 100 * r->at[0], 100 * r->at[1], 100 * r->at[2], 100 * r->at[3]);
  for (int i = 0; i < COLUMNS; i++) at[i] = cells[i];
  cli_row(columns, COLUMNS, at);
  fflush(stdout);
}

static json_t *evaluations_json(const int32_t to[3])
{
  json_t *row = cli_object();
  cli_set(row, "median", json_integer(to[0]));
  cli_set(row, "p90", json_integer(to[1]));
  cli_set(row, "worst", json_integer(to[2]));
  return row;
}

static json_t *result_json(const char *file, const char *strategy, const fl4_replay_report *r, const double *curve)
{
  json_t *row = cli_object(), *at = cli_object(), *points = cli_array();
  cli_set(row, "file", cli_text(file));
  cli_set(row, "strategy", cli_text(strategy));
  cli_set(row, "points", json_integer(r->points));
  cli_set(row, "failed", json_integer(r->failed));
  cli_set(row, "best", cli_real(r->best));
  cli_set(row, "difficulty", cli_real(r->difficulty));
  cli_set(row, "cap", json_integer(r->cap));
  cli_set(row, "seeds", json_integer(r->seeds));
  cli_set(row, "to_95", evaluations_json(r->to_95));
  cli_set(row, "to_99", evaluations_json(r->to_99));
  cli_set(at, "25", cli_real(r->at[0]));
  cli_set(at, "50", cli_real(r->at[1]));
  cli_set(at, "100", cli_real(r->at[2]));
  cli_set(at, "200", cli_real(r->at[3]));
  cli_set(row, "at", at);
  for (int i = 0; i < r->cap; i++) cli_append(points, cli_real(curve[i]));
  cli_set(row, "curve", points);
  return row;
}

typedef struct replay {
  const cli_options *options;
  double *curve; /* [cap or DEFAULT_CAP] */
  bool show;
  json_t *results;
} replay;

static int replay_one(const char *file, const char *strategy, replay *r)
{
  const cli_options *o = r->options;
  fl4_replay_report report = FL4_REPLAY_REPORT_INIT;
  const bool progress = !o->quiet && isatty(STDERR_FILENO);
  if (progress) fprintf(stderr, "%s: %s", file, strategy);
  fl4_status status = fl4_tune_replay(file, strategy, o->seeds ? o->seeds : DEFAULT_SEEDS, o->evals, r->curve, &report);
  if (progress) fputs("\r\033[K", stderr);
  if (status != FL4_OK) {
    cli_fail(0, "--replay: %s: %s", fl4_status_string(status), fl4_last_error());
    return status == FL4_OUT_OF_MEMORY ? CLI_DEVICE : CLI_UNUSABLE;
  }
  if (r->show) show(file, strategy, &report);
  cli_append(r->results, result_json(file, strategy, &report, r->curve));
  return CLI_GOOD;
}

/* Each of a list that is separated by commas. */
static int for_each(const char *list, int (*call)(const char *item, void *user), void *user)
{
  int code = CLI_GOOD;
  while (code == CLI_GOOD) {
    const size_t length = strcspn(list, ",");
    char *item = strndup(list, length);
    code = item ? call(item, user) : cli_fail(CLI_DEVICE, "out of memory");
    free(item);
    if (!list[length]) break;
    list += length + 1;
  }
  return code;
}

typedef struct pair {
  replay *replay;
  const char *file;
} pair;

static int with_strategy(const char *strategy, void *user)
{
  const pair *p = user;
  return replay_one(p->file, strategy, p->replay);
}

static int with_file(const char *file, void *user)
{
  replay *r = user;
  const char *strategies = r->options->strategy ? r->options->strategy : "evolve,genetic,random,exhaustive";
  return for_each(strategies, with_strategy, &(pair){r, file});
}

int tune_replay(const cli_options *o)
{
  replay r = {.options = o, .results = cli_array()};
  FILE *file = NULL;
  json_t *root = cli_object();
  cli_set(root, "schema", cli_text("flashl4-tune-replay-1"));
  cli_set(root, "environment", cli_environment_json(o));
  cli_set(root, "results", r.results);
  r.curve = calloc((size_t)(o->evals ? o->evals : DEFAULT_CAP), sizeof *r.curve);
  int code = r.curve ? cli_json_open(o, &file) : cli_fail(CLI_DEVICE, "out of memory");
  if (code == CLI_GOOD) {
    r.show = file != stdout;
    const char *titles[COLUMNS];
    for (int i = 0; i < COLUMNS; i++) titles[i] = columns[i].title;
    if (r.show && !o->quiet) cli_row(columns, COLUMNS, titles);
    code = for_each(o->replay, with_file, &r);
    cli_set(root, "exit", json_integer(code));
  }
  free(r.curve);
  return cli_json_close(o, file, root, code);
}

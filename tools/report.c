/* SPDX-License-Identifier: Apache-2.0 */
/* The rows of a report: what became of each, and its text. */
#include "report.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *const outcome_names[REPORT_N_OUTCOMES] = {"timed", "wrong", "unsupported", "error"};

const char *report_outcome_name(report_outcome outcome)
{
  return outcome_names[outcome];
}

report_outcome report_outcome_of(const fl4_bench_result *result)
{
  if (result->status == FL4_WRONG_OUTPUT) return REPORT_WRONG;
  if (result->status == FL4_UNSUPPORTED) return REPORT_UNSUPPORTED;
  if (result->status != FL4_OK) return REPORT_ERROR;
  return result->checked ? REPORT_TIMED : REPORT_WRONG;
}

size_t report_count(const report *r, report_outcome outcome)
{
  size_t n = 0;
  for (size_t i = 0; i < r->n_rows; i++) n += report_outcome_of(&r->rows[i].result) == outcome;
  return n;
}

void report_init(report *r, const cli_options *o)
{
  *r = (report){.options = o, .problem_width = 7, .name_width = 9};
  r->device = (fl4_device_info)FL4_DEVICE_INFO_INIT;
  r->limits = (fl4_limits)FL4_LIMITS_INIT;
  r->compare = (fl4_compare_options)FL4_COMPARE_OPTIONS_INIT;
  r->settings = (fl4_bench_options)FL4_BENCH_OPTIONS_INIT;

  r->compare.threshold = o->threshold > 0 ? o->threshold : 0.01;
  r->compare.alpha = 0.05;
  r->compare.resamples = 2000;
  r->settings.cold = o->cold;
  r->settings.copies = o->copies ? o->copies : 3;
  r->settings.seed = o->seed;
  r->settings.precision = o->precision > 0 ? o->precision : 0.005;
  r->settings.warmup_seconds = o->warmup > 0 ? o->warmup : 0.05;
  r->settings.max_seconds = o->seconds > 0 ? o->seconds : 5;
  r->settings.max_samples = o->samples ? o->samples : 10000;
  r->settings.min_samples = r->settings.max_samples < 100 ? r->settings.max_samples : 100;
}

void report_free(report *r)
{
  for (size_t i = 0; i < r->n_rows; i++) free(r->rows[i].result.samples);
  free(r->rows);
  free(r->contenders);
  fl4_context_destroy(&r->ctx);
}

int report_room(report *r, size_t most)
{
  r->contenders = calloc(most, sizeof *r->contenders);
  return r->contenders ? CLI_GOOD : cli_fail(CLI_DEVICE, "out of memory");
}

int report_add_contender(report *r, const fl4_bench_contender *d)
{
  const char *what = d->kind == FL4_CONTENDER_ORACLE ? "oracle" : d->device ? d->device : d->library ? d->library : "";
  char name[4200];
  snprintf(name, sizeof name, "%s%s%s", what, *what && d->variant ? " " : "", d->variant ? d->variant : "");
  if (!*name) snprintf(name, sizeof name, "default");

  report_contender *c = &r->contenders[r->n_contenders];
  c->description = *d;
  size_t length = strlen(name), most = sizeof c->name - 1;
  if (length > most) /* a file's name tells more at its end */
    snprintf(c->name, sizeof c->name, "...%s", name + length - (most - 3));
  else
    memcpy(c->name, name, length + 1);
  for (size_t i = 0; i < r->n_contenders; i++)
    if (strcmp(r->contenders[i].name, c->name) == 0)
      return cli_fail(CLI_UNUSABLE, "\"%s\" is a contender twice", c->name);
  int width = (int)strlen(c->name);
  if (width > r->name_width) r->name_width = width;
  r->n_contenders++;
  return CLI_GOOD;
}

report_row *report_add(report *r, const char *problem, fl4_inputs inputs, size_t contender, size_t base,
                       const fl4_bench_result *result)
{
  if (r->n_rows == r->room) {
    size_t room = r->room ? 2 * r->room : 64;
    report_row *rows = realloc(r->rows, room * sizeof *rows);
    if (!rows) return NULL;
    r->rows = rows, r->room = room;
  }
  report_row *row = &r->rows[r->n_rows];
  *row = (report_row){.note = "", .inputs = inputs, .contender = contender, .base = base, .result = *result};
  snprintf(row->problem, sizeof row->problem, "%s", problem);

  /* Times of an output that turned out wrong mean nothing. */
  size_t n = report_outcome_of(result) == REPORT_TIMED ? (size_t)result->stats.n : 0;
  row->result.samples = malloc((n ? n : 1) * sizeof *result->samples);
  if (!row->result.samples) return NULL;
  if (n) memcpy(row->result.samples, result->samples, n * sizeof *result->samples);
  row->result.samples_size = (int64_t)n;
  r->n_rows++;
  return row;
}

int report_judge(report *r)
{
  fl4_comparison **all = calloc(r->n_rows ? r->n_rows : 1, sizeof *all);
  if (!all) return cli_fail(CLI_DEVICE, "out of memory");
  int64_t n = 0;
  for (size_t i = 0; i < r->n_rows; i++)
    if (r->rows[i].result.against.n > 0) all[n++] = &r->rows[i].result.against;
  fl4_status status = n ? fl4_compare_judge(all, n) : FL4_OK;
  free(all);
  return status == FL4_OK ? CLI_GOOD : cli_fail(cli_code(status), "%s", fl4_last_error());
}

/* Text */

int report_columns(const report *r, cli_column columns[REPORT_COLUMNS])
{
  const cli_column plain[] = {
      {"problem", r->problem_width, false},
      {"inputs", 9, false},
      {"contender", r->name_width, false},
      {"p50 µs", 11, true},
      {"±", 8, true},
      {"p90 µs", 10, true},
      {r->device.kind == FL4_DEVICE_HOST ? "GFLOP/s" : "TFLOP/s", 8, true},
      {"GB/s", 7, true},
  };
  int n = sizeof plain / sizeof plain[0];
  memcpy(columns, plain, sizeof plain);
  if (r->limits_measured) {
    columns[n++] = (cli_column){"of matrix", 9, true};
    columns[n++] = (cli_column){"of read", 7, true};
  }
  if (r->n_contenders > 1) {
    columns[n++] = (cli_column){"ratio", 6, true};
    columns[n++] = (cli_column){"95 % interval", 13, true};
    columns[n++] = (cli_column){"verdict", 9, false};
  }
  columns[n++] = (cli_column){"stop", 0, false};
  return n;
}

/* The next cell: a number, or "-" for what is not known. */
static void number(report_cells *cells, int *n, const char *format, double value)
{
  int i = (*n)++;
  if (isnan(value)) return; /* all cells are "-" from the start */
  snprintf(cells->text[i], sizeof cells->text[i], format, value);
  cells->at[i] = cells->text[i];
}

void report_fill(const report *r, const report_row *row, report_cells *cells)
{
  static const char *const marks[REPORT_N_OUTCOMES] = {"", "WRONG", "unsupported", "ERROR"};
  cli_column columns[REPORT_COLUMNS];
  const fl4_bench_result *result = &row->result;
  const fl4_statistics *s = &result->stats;
  report_outcome outcome = report_outcome_of(result);
  int all = report_columns(r, columns), n = 0;
  for (int i = 0; i < all; i++) cells->at[i] = "-";
  cells->at[n++] = row->problem;
  cells->at[n++] = fl4_inputs_name(row->inputs);
  cells->at[n++] = r->contenders[row->contender].name;
  if (outcome != REPORT_TIMED) {
    cells->at[n] = marks[outcome];
    return;
  }
  double below = s->p50 - s->p50_low, above = s->p50_high - s->p50;
  number(cells, &n, s->p50 < 100 ? "%.3f" : "%.1f", s->p50);
  number(cells, &n, "%.2f %%", 100 * (above > below ? above : below) / s->p50);
  number(cells, &n, s->p50 < 100 ? "%.3f" : "%.1f", s->p90);
  number(cells, &n, "%.1f", result->tflops * (r->device.kind == FL4_DEVICE_HOST ? 1e3 : 1));
  number(cells, &n, "%.1f", result->gbps);
  if (r->limits_measured) {
    number(cells, &n, "%.1f %%", result->percent_matrix);
    number(cells, &n, "%.1f %%", result->percent_read);
  }
  if (r->n_contenders > 1) {
    const fl4_comparison *c = &result->against;
    if (c->n > 0) {
      number(cells, &n, "%.4f", c->ratio);
      cells->at[n] = report_interval(c, cells->text[n]);
      cells->at[n + 1] = fl4_verdict_name((fl4_verdict)c->verdict);
      n += 2;
    } else {
      n += 3;
    }
  }
  cells->at[n] = fl4_bench_stop_name((fl4_bench_stop)result->stop);
}

const char *report_reason(const report_row *row, char text[320])
{
  const fl4_bench_result *result = &row->result;
  report_outcome outcome = report_outcome_of(result);
  if (outcome == REPORT_TIMED)
    text[0] = '\0';
  else if (outcome == REPORT_WRONG)
    snprintf(text, 320, "%s", result->error);
  else
    snprintf(text, 320, "%s: %s", fl4_status_string((fl4_status)result->status), result->error);
  return text;
}

const char *report_interval(const fl4_comparison *c, char text[48])
{
  if (isnan(c->low) || isnan(c->high)) return "-";
  snprintf(text, 48, "%.4f…%.4f", c->low, c->high);
  return text;
}

void report_limits_line(const report *r, FILE *file)
{
  bool host = r->device.kind == FL4_DEVICE_HOST;
  fprintf(file, "limits: %s %.1f %s", host ? "multiply-adds" : "mma", r->limits.mma_tflops * (host ? 1e3 : 1),
          host ? "GFLOP/s" : "TFLOP/s");
  if (r->limits.gemm_tflops > 0) fprintf(file, ", cuBLAS %.1f TFLOP/s", r->limits.gemm_tflops);
  fprintf(file, ", read %.1f GB/s\n", r->limits.read_gbps);
}

const char *report_footnote(const report *r)
{
  for (size_t i = 0; i < r->n_rows; i++) {
    const fl4_statistics *s = &r->rows[i].result.stats;
    bool unknown = isnan(s->p50) || isnan(s->p90) || isnan(s->p50_low) || isnan(s->p50_high);
    if (report_outcome_of(&r->rows[i].result) == REPORT_TIMED && unknown)
      return "-: too few samples to say; ± needs 6, p90 needs 36";
  }
  return "";
}

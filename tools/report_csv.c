/* SPDX-License-Identifier: Apache-2.0 */
/* A report as CSV: a header, then a line for each row. What is not known is empty. */
#include <csv.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "report.h"

typedef struct line {
  FILE *file;
  bool started;
} line;

static void text(line *l, const char *value)
{
  if (l->started) fputc(',', l->file);
  l->started = true;
  csv_fwrite(l->file, value, strlen(value));
}

static void real(line *l, double value)
{
  char number[32] = "";
  if (isfinite(value)) snprintf(number, sizeof number, "%.9g", value);
  text(l, number);
}

static void whole(line *l, int64_t value)
{
  char number[32];
  snprintf(number, sizeof number, "%" PRId64, value);
  text(l, number);
}

static void end(line *l)
{
  fputc('\n', l->file);
  l->started = false;
}

static void header(line *l)
{
  static const char *const titles[] = {
      "problem",
      "inputs",
      "contender",
      "kind",
      "contender_device",
      "asked_variant",
      "library_file",
      "library",
      "outcome",
      "error",
      "variant",
      "kernel_hash",
      "registers",
      "spill_bytes",
      "smem_bytes",
      "blocks",
      "oracle",
      "max_error",
      "max_allowed",
      "mode",
      "cold",
      "copies",
      "calls",
      "stop",
      "seconds",
      "n",
      "min_us",
      "mean_us",
      "stdev_us",
      "p50_us",
      "p50_low_us",
      "p50_high_us",
      "p90_us",
      "p95_us",
      "p99_us",
      "max_us",
      "tflops",
      "gbps",
      "percent_matrix",
      "percent_read",
      "ratio",
      "ratio_low",
      "ratio_high",
      "p_adjusted",
      "verdict",
      "note",
  };
  for (size_t i = 0; i < sizeof titles / sizeof titles[0]; i++) text(l, titles[i]);
  end(l);
}

static void identity(line *l, const report *r, const report_row *row)
{
  const report_contender *contender = &r->contenders[row->contender];
  const fl4_bench_contender *description = &contender->description;
  const fl4_bench_result *result = &row->result;
  char hash[32];
  snprintf(hash, sizeof hash, "%016" PRIx64, result->kernel_hash);
  text(l, row->problem);
  text(l, fl4_inputs_name(row->inputs));
  text(l, contender->name);
  text(l, description->kind == FL4_CONTENDER_ORACLE ? "oracle" : "forward");
  text(l, description->device ? description->device : "");
  text(l, description->variant ? description->variant : "");
  text(l, description->library ? description->library : "");
  text(l, result->library);
  text(l, report_outcome_name(report_outcome_of(result)));
  text(l, result->error);
  text(l, result->variant);
  text(l, hash);
  whole(l, result->registers);
  whole(l, result->spill_bytes);
  whole(l, result->smem_bytes);
  whole(l, result->blocks);
  text(l, result->oracle);
  real(l, result->max_error);
  real(l, result->max_allowed);
}

static void timing(line *l, const fl4_bench_result *result)
{
  const fl4_statistics *s = &result->stats;
  text(l, fl4_bench_mode_name((fl4_bench_mode)result->mode));
  whole(l, result->cold);
  whole(l, result->copies);
  whole(l, result->calls);
  text(l, fl4_bench_stop_name((fl4_bench_stop)result->stop));
  real(l, result->seconds);
  whole(l, result->samples_size);
  const double us[] = {s->min, s->mean, s->stdev, s->p50, s->p50_low, s->p50_high, s->p90, s->p95, s->p99, s->max};
  const double rates[] = {result->tflops, result->gbps, result->percent_matrix, result->percent_read};
  const double ratios[] = {result->against.ratio, result->against.low, result->against.high,
                           result->against.p_adjusted};
  bool timed = report_outcome_of(result) == REPORT_TIMED, compared = timed && result->against.n > 0;
  for (size_t i = 0; i < sizeof us / sizeof us[0]; i++) real(l, timed ? us[i] : NAN);
  for (size_t i = 0; i < sizeof rates / sizeof rates[0]; i++) real(l, timed ? rates[i] : NAN);
  for (size_t i = 0; i < sizeof ratios / sizeof ratios[0]; i++) real(l, compared ? ratios[i] : NAN);
  text(l, compared ? fl4_verdict_name((fl4_verdict)result->against.verdict) : "");
}

void report_csv(const report *r, FILE *file)
{
  line l = {.file = file};
  header(&l);
  for (size_t i = 0; i < r->n_rows; i++) {
    identity(&l, r, &r->rows[i]);
    timing(&l, &r->rows[i].result);
    text(&l, r->rows[i].note);
    end(&l);
  }
}

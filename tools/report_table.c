/* SPDX-License-Identifier: Apache-2.0 */
/* A report on a terminal. */
#include <inttypes.h>

#include "report.h"

void report_show_header(const report *r)
{
  cli_column columns[REPORT_COLUMNS];
  const char *titles[REPORT_COLUMNS];
  char name[32];
  int n = report_columns(r, columns);
  for (int i = 0; i < n; i++) titles[i] = columns[i].title;
  cli_device_name(&r->device, name);
  printf("%s: %s, %s; ", name, r->device.name, r->device.isa);
  if (r->settings.mode != FL4_BENCH_AUTO) printf("%s, ", fl4_bench_mode_name((fl4_bench_mode)r->settings.mode));
  printf("%s caches, seed %" PRIu64 "\n", r->settings.cold ? "cold" : "warm", r->settings.seed);
  if (r->limits_measured) report_limits_line(r, stdout);
  cli_row(columns, n, titles);
}

void report_show_row(const report *r, const report_row *row)
{
  cli_column columns[REPORT_COLUMNS];
  report_cells cells;
  char reason[320];
  int n = report_columns(r, columns);
  report_fill(r, row, &cells);
  cli_row(columns, n, cells.at);
  if (report_reason(row, reason)[0]) printf("    %s\n", reason);
  fflush(stdout);
}

void report_show_summary(const report *r)
{
  const char *footnote = report_footnote(r);
  size_t verdicts[FL4_VERDICT_COUNT] = {0}, compared = 0;
  for (size_t i = 0; i < r->n_rows; i++) {
    const fl4_comparison *c = &r->rows[i].result.against;
    if (c->n <= 0) continue;
    verdicts[c->verdict]++, compared++;
  }
  if (*footnote && !r->options->quiet) puts(footnote);
  printf("%zu timed", report_count(r, REPORT_TIMED));
  for (int outcome = REPORT_WRONG; outcome < REPORT_N_OUTCOMES; outcome++) {
    size_t n = report_count(r, (report_outcome)outcome);
    if (n) printf(", %zu %s", n, outcome == REPORT_ERROR ? "errors" : report_outcome_name((report_outcome)outcome));
  }
  if (r->left_out) printf(", %zu not run", r->left_out);
  if (compared) {
    printf("; compared with %s:", r->contenders[0].name);
    const char *separator = " ";
    for (int i = FL4_VERDICT_COUNT - 1; i >= 0; i--) {
      if (!verdicts[i]) continue;
      printf("%s%zu %s", separator, verdicts[i], fl4_verdict_name((fl4_verdict)i));
      separator = ", ";
    }
  }
  putchar('\n');
}

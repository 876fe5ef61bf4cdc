/* SPDX-License-Identifier: Apache-2.0 */
/* A report as Markdown: where, how and when, then the table. */
#include <string.h>
#include <time.h>

#include "report.h"

/* A cell's text must not end the cell. */
static void escaped(FILE *file, const char *text)
{
  for (; *text; text++) {
    if (*text == '|') fputc('\\', file);
    fputc(*text == '\n' ? ' ' : *text, file);
  }
}

void markdown_row(FILE *file, int n, const char *const *cells)
{
  for (int i = 0; i < n; i++) {
    fputs(i ? " | " : "| ", file);
    escaped(file, cells[i]);
  }
  fputs(" |\n", file);
}

void markdown_header(FILE *file, const cli_column *columns, int n)
{
  const char *cells[32] = {""};
  for (int i = 0; i < n; i++) cells[i] = columns[i].title;
  markdown_row(file, n, cells);
  for (int i = 0; i < n; i++) cells[i] = columns[i].right ? "---:" : "---";
  markdown_row(file, n, cells);
}

void report_markdown_head(const report *r, FILE *file)
{
  char name[32], when[32] = "";
  time_t now = time(NULL);
  struct tm utc;
  fl4_device_health health = FL4_DEVICE_HEALTH_INIT;
  if (gmtime_r(&now, &utc)) strftime(when, sizeof when, "%Y-%m-%d %H:%M UTC", &utc);
  cli_device_name(&r->device, name);
  fprintf(file, "%s (%s, %s)", r->device.name, name, r->device.isa);
  if (r->ctx && fl4_context_get_health(r->ctx, &health) == FL4_OK && strcmp(health.driver, "unknown") != 0)
    fprintf(file, ", driver %s", health.driver);
  fprintf(file, "; flashl4 %s; %s.\n\n    ", fl4_version_string(), when);
  for (int i = 0; i < r->options->argc; i++) fprintf(file, "%s%s", i ? " " : "", r->options->argv[i]);
  fputs("\n\n", file);
}

void report_markdown(const report *r, FILE *file)
{
  cli_column columns[REPORT_COLUMNS];
  int n = report_columns(r, columns);
  report_markdown_head(r, file);
  if (r->limits_measured) {
    fputs("Measured ", file);
    report_limits_line(r, file);
    fputc('\n', file);
  }
  if (!r->n_rows) return;
  markdown_header(file, columns, n);
  for (size_t i = 0; i < r->n_rows; i++) {
    report_cells cells;
    report_fill(r, &r->rows[i], &cells);
    markdown_row(file, n, cells.at);
  }
  fputc('\n', file);
  if (*report_footnote(r)) fprintf(file, "%s.\n\n", report_footnote(r));
  for (size_t i = 0; i < r->n_rows; i++) {
    char reason[320];
    if (!report_reason(&r->rows[i], reason)[0]) continue;
    fprintf(file, "- %s, %s, %s: ", r->rows[i].problem, fl4_inputs_name(r->rows[i].inputs),
            r->contenders[r->rows[i].contender].name);
    escaped(file, reason);
    fputc('\n', file);
  }
}

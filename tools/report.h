/* SPDX-License-Identifier: Apache-2.0 */
/* What was measured: a row for each contender on each problem. All writers work on these rows. */
#ifndef FL4_REPORT_H
#define FL4_REPORT_H

#include "cli.h"

/* Who was timed. The texts are the command line's, or of a file that was read. */
typedef struct report_contender {
  char name[128]; /* no two are alike */
  fl4_bench_contender description;
} report_contender;

typedef struct report_row {
  char problem[FL4_PROBLEM_LINE_MAX];
  const char *note; /* what the problem is known for, "" for most */
  fl4_inputs inputs;
  size_t contender, base;  /* indexes into the report's: who, and compared with whom */
  fl4_bench_result result; /* its samples belong to the row */
} report_row;

typedef struct report {
  const cli_options *options;
  fl4_context *ctx;
  fl4_device_info device;
  fl4_limits limits;
  bool limits_measured;
  fl4_bench_options settings; /* all defaults filled in */
  fl4_compare_options compare;
  fl4_inputs inputs[FL4_INPUTS_COUNT];
  int n_inputs;
  report_contender *contenders;
  size_t n_contenders;
  report_row *rows;
  size_t n_rows, room;
  int problem_width, name_width;
  size_t left_out; /* problems with inputs that were not run, for lack of time or of a device */
} report;

/* What became of a row. */
typedef enum report_outcome {
  REPORT_TIMED,
  REPORT_WRONG,
  REPORT_UNSUPPORTED,
  REPORT_ERROR,
  REPORT_N_OUTCOMES,
} report_outcome;
report_outcome report_outcome_of(const fl4_bench_result *result);
const char *report_outcome_name(report_outcome outcome);
size_t report_count(const report *report, report_outcome outcome);

/* All settings at their defaults, written out, but for those that the options give. */
void report_init(report *report, const cli_options *options);
void report_free(report *report);
/* Adds one, named by what it runs; at most `most` of them were foreseen by report_room(). */
int report_room(report *report, size_t most);
int report_add_contender(report *report, const fl4_bench_contender *description);
/* Adds a row and returns it; NULL without memory. `result`: its samples are copied. */
report_row *report_add(report *report, const char *problem, fl4_inputs inputs, size_t contender, size_t base,
                       const fl4_bench_result *result);
/* Judges all comparisons of all rows together. */
int report_judge(report *report);

/* A row as text, for a terminal or Markdown. */
enum { REPORT_COLUMNS = 15 };
typedef struct report_cells {
  const char *at[REPORT_COLUMNS];
  char text[REPORT_COLUMNS][48];
} report_cells;
int report_columns(const report *report, cli_column columns[REPORT_COLUMNS]);
void report_fill(const report *report, const report_row *row, report_cells *cells);
/* Why a row has no times; "" if it has. */
const char *report_reason(const report_row *row, char text[320]);
/* "0.9871…1.0123", or "-" where there is no interval. */
const char *report_interval(const fl4_comparison *comparison, char text[48]);
/* "limits: mma 800.1 TFLOP/s, read 4400.0 GB/s" */
void report_limits_line(const report *report, FILE *file);
/* What "-" stands for; "" if no row has one. */
const char *report_footnote(const report *report);

void report_show_header(const report *report);
void report_show_row(const report *report, const report_row *row);
void report_show_summary(const report *report);

/* The whole as JSON; a command may add to it. */
json_t *report_json(const report *report);
json_t *report_statistics_json(const fl4_statistics *statistics);
/* null if n is 0 */
json_t *report_comparison_json(const fl4_comparison *comparison, const char *base);
void report_csv(const report *report, FILE *file);
void report_markdown(const report *report, FILE *file);
void report_markdown_head(const report *report, FILE *file);
void markdown_header(FILE *file, const cli_column *columns, int n);
void markdown_row(FILE *file, int n, const char *const *cells);

#endif

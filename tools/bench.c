/* SPDX-License-Identifier: Apache-2.0 */
/* fl4 bench: times problems, one contender beside the other, and writes what was measured. */
#include <stdlib.h>
#include <string.h>

#include "measure.h"
#include "problems.h"

/* Who is timed */

/* One library, NULL being this one, with each variant. */
static int add_library(report *r, const char *library)
{
  const cli_options *o = r->options;
  int code = CLI_GOOD;
  for (size_t i = 0; i < (o->n_variants ? o->n_variants : 1) && code == CLI_GOOD; i++) {
    fl4_bench_contender c = FL4_BENCH_CONTENDER_INIT;
    c.library = library;
    c.variant = o->n_variants ? o->variants[i] : NULL;
    code = report_add_contender(r, &c);
  }
  return code;
}

static int add_contenders(report *r)
{
  const cli_options *o = r->options;
  int code = report_room(r, (o->n_libs + 1) * (o->n_variants ? o->n_variants : 1) + o->n_withs);
  for (size_t i = 0; i < o->n_libs && code == CLI_GOOD; i++) code = add_library(r, o->libs[i]);
  if (code == CLI_GOOD) code = add_library(r, NULL);
  for (size_t i = 0; i < o->n_withs && code == CLI_GOOD; i++) {
    fl4_bench_contender c = FL4_BENCH_CONTENDER_INIT;
    if (strcmp(o->withs[i], "oracle") == 0)
      c.kind = FL4_CONTENDER_ORACLE;
    else if (strcmp(o->withs[i], "host") == 0)
      c.device = "host";
    else
      return cli_fail(CLI_UNUSABLE, "--with: is \"%s\", must be oracle or host", o->withs[i]);
    code = report_add_contender(r, &c);
  }
  return code;
}

static int read_mode(report *r)
{
  const char *text = r->options->mode;
  for (int i = 0; i < FL4_BENCH_MODE_COUNT; i++)
    if (!text || strcmp(text, fl4_bench_mode_name((fl4_bench_mode)i)) == 0) return r->settings.mode = i, CLI_GOOD;
  return cli_fail(CLI_UNUSABLE, "--mode: is \"%s\", must be auto, graph, events or eager", text);
}

/* What is written */

typedef struct files {
  FILE *json, *csv, *markdown;
} files;

static int open_files(const cli_options *o, files *f)
{
  const char *const names[] = {o->json, o->csv, o->markdown};
  int to_stdout = 0;
  for (int i = 0; i < 3; i++) to_stdout += names[i] && strcmp(names[i], "-") == 0;
  if (to_stdout > 1)
    return cli_fail(CLI_UNUSABLE, "only one of --json, --csv and --markdown can go to standard output");
  int code = cli_json_open(o, &f->json);
  if (code == CLI_GOOD) code = cli_file_open("--csv", o->csv, &f->csv);
  if (code == CLI_GOOD) code = cli_file_open("--markdown", o->markdown, &f->markdown);
  return code;
}

static bool shows_table(const files *f)
{
  return f->json != stdout && f->csv != stdout && f->markdown != stdout;
}

static int write_files(const report *r, files *f, int code)
{
  if (f->csv) report_csv(r, f->csv);
  if (f->markdown) report_markdown(r, f->markdown);
  code = cli_file_close("--csv", r->options->csv, f->csv, code);
  code = cli_file_close("--markdown", r->options->markdown, f->markdown, code);
  json_t *root = report_json(r);
  cli_set(json_object_get(root, "summary"), "exit", json_integer(code));
  return cli_json_close(r->options, f->json, root, code);
}

/* The run */

/* Rows are shown as they come, with the verdict of each by itself; see show_changes(). */
static void show_rows(const report *r, size_t from)
{
  for (size_t i = from; i < r->n_rows; i++) {
    report_outcome outcome = report_outcome_of(&r->rows[i].result);
    if (!r->options->quiet || outcome == REPORT_WRONG || outcome == REPORT_ERROR) report_show_row(r, &r->rows[i]);
  }
}

/* Judged together, some verdicts may have become ambiguous. */
static void show_changes(const report *r, const int32_t *before)
{
  for (size_t i = 0; i < r->n_rows; i++) {
    const fl4_comparison *c = &r->rows[i].result.against;
    if (c->n > 0 && c->verdict != before[i])
      printf("%s, %s, %s: judged with all others %s\n", r->rows[i].problem, fl4_inputs_name(r->rows[i].inputs),
             r->contenders[r->rows[i].contender].name, fl4_verdict_name((fl4_verdict)c->verdict));
  }
}

static int judge(report *r, bool table)
{
  int32_t *before = calloc(r->n_rows ? r->n_rows : 1, sizeof *before);
  if (!before) return cli_fail(CLI_DEVICE, "out of memory");
  for (size_t i = 0; i < r->n_rows; i++) before[i] = r->rows[i].result.against.verdict;
  int code = report_judge(r);
  if (code == CLI_GOOD && table && !r->options->quiet) show_changes(r, before);
  free(before);
  return code;
}

/* The worst that happened; see "Exit status" in docs/bench.md. */
static int exit_code(const report *r, int code)
{
  for (size_t i = 0; i < r->n_rows; i++) {
    const fl4_bench_result *result = &r->rows[i].result;
    int own = report_outcome_of(result) == REPORT_WRONG   ? CLI_NEGATIVE
              : report_outcome_of(result) == REPORT_ERROR ? cli_code((fl4_status)result->status)
                                                          : CLI_GOOD;
    if (own > code) code = own;
  }
  if (code == CLI_GOOD && report_count(r, REPORT_TIMED) == 0)
    return cli_fail(CLI_UNUSABLE, "none of the problems could be timed");
  return code;
}

static int bench_all(report *r, const cli_problems *problems, bool table)
{
  measure m;
  size_t total = problems->n * (size_t)r->n_inputs;
  int code = measure_open(&m, r, r->n_contenders, total);
  if (code == CLI_GOOD && table && !r->options->quiet) report_show_header(r);
  for (size_t i = 0; i < problems->n && code == CLI_GOOD; i++)
    for (int k = 0; k < r->n_inputs && code == CLI_GOOD; k++) {
      size_t from = r->n_rows;
      fl4_status status = measure_problem(&m, problems->items[i].line, r->inputs[k], 0, r->n_contenders);
      if (status != FL4_OK) code = measure_failed(&m, status);
      if (code != CLI_GOOD) r->left_out = total - m.done;
      for (size_t row = from; row < r->n_rows; row++) r->rows[row].note = problems->items[i].note;
      if (table) show_rows(r, from);
    }
  measure_close(&m);
  int judged = judge(r, table);
  if (table) report_show_summary(r);
  return exit_code(r, judged > code ? judged : code);
}

int cli_bench(const cli_options *options)
{
  report r;
  cli_problems problems = {0};
  files f = {0};
  cli_options unforced = *options; /* a variant is that of its contender, not of the context */
  unforced.variant = NULL;
  report_init(&r, options);
  bool only_limits = options->limits && !options->shapes && !options->n_problems;

  int code = cli_inputs(options->inputs, "normal,sink", r.inputs, &r.n_inputs);
  if (code == CLI_GOOD) code = read_mode(&r);
  if (code == CLI_GOOD) code = add_contenders(&r);
  if (code == CLI_GOOD) code = cli_open(&unforced, &r.ctx, &r.device);
  if (code == CLI_GOOD && !only_limits) {
    const char *set = r.device.kind == FL4_DEVICE_HOST ? "demo-host" : "canonical";
    code = cli_problems_read(options, &r.device, set, &problems);
  }
  if (code == CLI_GOOD) {
    if (problems.width > r.problem_width) r.problem_width = problems.width;
    code = open_files(options, &f);
  }
  bool opened = code == CLI_GOOD;
  if (code == CLI_GOOD && options->limits) code = measure_limits(&r);
  if (code == CLI_GOOD && only_limits && shows_table(&f)) report_limits_line(&r, stdout);
  if (code == CLI_GOOD && !only_limits) code = bench_all(&r, &problems, shows_table(&f));
  if (opened) code = write_files(&r, &f, code);
  cli_problems_free(&problems);
  report_free(&r);
  return code;
}

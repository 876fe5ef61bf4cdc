/* SPDX-License-Identifier: Apache-2.0 */
/* fl4 gate: the problems of a baseline file once more, beside the older library or against its samples. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "measure.h"
#include "results.h"
#include "verdicts.h"

typedef struct gate {
  const cli_options *options;
  const char *library; /* NULL: against the file's samples */
  results baseline;
  report report;
  verdicts verdicts;
  size_t *row_of; /* for each result of the baseline the report's row of this library; NOT_RUN */
  size_t n_runs;
} gate;

static const size_t NOT_RUN = (size_t)-1;

static bool same_text(const char *a, const char *b)
{
  return a == b || (a && b && strcmp(a, b) == 0);
}

/* What other libraries and peers did is no matter of this library's; what is not supported has no time. */
static bool is_run(const result *r)
{
  return r->again && r->outcome != REPORT_UNSUPPORTED;
}

/* What is not named runs on the kind of device that the baseline is of. */
static int open_device(gate *g)
{
  char kind[32];
  cli_options options = *g->options;
  snprintf(kind, sizeof kind, "%s", g->baseline.device);
  kind[strcspn(kind, ":")] = '\0';
  if (!options.device) options.device = kind;
  int code = cli_open(&options, &g->report.ctx, &g->report.device);
  if (code != CLI_GOOD || g->library) return code;

  const fl4_device_info *d = &g->report.device;
  if (strcmp(d->name, g->baseline.name) != 0 || strcmp(d->isa, g->baseline.isa) != 0 ||
      d->multiprocessors != g->baseline.multiprocessors)
    return cli_fail(CLI_UNUSABLE,
                    "%s: is of %s, %s (%lld), and this is %s, %s (%d): times of two devices say nothing of the "
                    "library; give the older build with --lib, and both are timed here",
                    g->baseline.file, g->baseline.name, g->baseline.isa, (long long)g->baseline.multiprocessors,
                    d->name, d->isa, d->multiprocessors);
  return CLI_GOOD;
}

/* The contender of this library that runs `variant`; the older library's is the one before it. */
static int find_contender(gate *g, const char *variant, size_t *index)
{
  report *r = &g->report;
  for (*index = 0; *index < r->n_contenders; (*index)++) {
    const fl4_bench_contender *c = &r->contenders[*index].description;
    if (!c->library && same_text(c->variant, variant)) return CLI_GOOD;
  }
  fl4_bench_contender c = FL4_BENCH_CONTENDER_INIT;
  c.variant = variant;
  int code = CLI_GOOD;
  if (g->library) {
    c.library = g->library;
    code = report_add_contender(r, &c);
    c.library = NULL;
  }
  *index = r->n_contenders;
  return code == CLI_GOOD ? report_add_contender(r, &c) : code;
}

static void add_inputs(report *r, fl4_inputs inputs)
{
  for (int i = 0; i < r->n_inputs; i++)
    if (r->inputs[i] == inputs) return;
  r->inputs[r->n_inputs++] = inputs;
}

/* Times are taken as the baseline's were, but for what the command line says. */
static void take_settings(gate *g)
{
  double seconds = g->options->seconds;
  g->report.settings = g->baseline.options;
  if (seconds > 0) g->report.settings.max_seconds = seconds;
  g->report.compare.threshold = g->verdicts.threshold;
  if (g->report.settings.min_samples > g->report.settings.max_samples)
    g->report.settings.min_samples = g->report.settings.max_samples;
}

static int plan(gate *g)
{
  const results *b = &g->baseline;
  g->row_of = calloc(b->n, sizeof *g->row_of);
  if (!g->row_of) return cli_fail(CLI_DEVICE, "out of memory");
  int code = report_room(&g->report, 2 * b->n);
  for (size_t i = 0; i < b->n && code == CLI_GOOD; i++) {
    size_t contender;
    g->row_of[i] = NOT_RUN;
    if (!is_run(&b->rows[i])) continue;
    code = find_contender(g, b->rows[i].asked_variant, &contender);
    add_inputs(&g->report, b->rows[i].inputs);
    int width = (int)strlen(b->rows[i].problem);
    if (width > g->report.problem_width) g->report.problem_width = width;
    g->n_runs++;
  }
  if (code == CLI_GOOD && !g->n_runs)
    return cli_fail(CLI_UNUSABLE, "%s: has no result that can be measured again", b->file);
  return code;
}

static int measure_all(gate *g)
{
  measure m;
  size_t n = g->library ? 2 : 1;
  int code = measure_open(&m, &g->report, n, g->n_runs);
  for (size_t i = 0; i < g->baseline.n && code == CLI_GOOD; i++) {
    const result *b = &g->baseline.rows[i];
    size_t contender;
    if (!is_run(b)) continue;
    code = find_contender(g, b->asked_variant, &contender);
    if (code != CLI_GOOD) break;
    g->report.settings.cold = b->cold;
    for (int mode = 0; mode < FL4_BENCH_MODE_COUNT; mode++)
      if (strcmp(b->mode, fl4_bench_mode_name((fl4_bench_mode)mode)) == 0) g->report.settings.mode = mode;
    fl4_status status = measure_problem(&m, b->problem, b->inputs, contender + 1 - n, n);
    if (status == FL4_OK)
      g->row_of[i] = g->report.n_rows - 1;
    else
      code = measure_failed(&m, status);
  }
  g->report.left_out = g->n_runs - m.done;
  measure_close(&m);
  return code;
}

static void take_times(const fl4_bench_result *measured, fl4_statistics *times, const char **variant)
{
  *variant = measured->variant;
  if (report_outcome_of(measured) == REPORT_TIMED) *times = measured->stats;
}

/* Both sides of one problem, as far as they are there. */
static int judge_one(gate *g, const result *b, const report_row *row)
{
  verdict *v = verdicts_add(&g->verdicts);
  if (!v) return cli_fail(CLI_DEVICE, "out of memory");
  v->problem = b->problem;
  v->inputs = b->inputs;
  v->contender = b->contender;
  v->mode = b->mode;
  v->cold = b->cold;
  const report_row *base = g->library && row ? row - 1 : NULL;
  if (row) take_times(&row->result, &v->new_times, &v->new_variant);
  if (base) {
    take_times(&base->result, &v->old_times, &v->old_variant);
  } else if (!g->library && b->outcome == REPORT_TIMED) {
    v->old_times = b->statistics;
    v->old_variant = b->variant;
  }

  char reason[320];
  if (row && report_outcome_of(&row->result) == REPORT_WRONG) {
    v->state = VERDICT_WRONG;
    verdict_remark(v, "%s", row->result.error);
  } else if (!v->new_times.n) {
    v->state = VERDICT_NOT_IN_NEW;
    verdict_remark(v, "%s", row ? report_reason(row, reason) : "not run");
  } else if (!v->old_times.n) {
    v->state = VERDICT_NOT_IN_OLD;
    verdict_remark(v, "%s", base ? report_reason(base, reason) : b->error);
  } else {
    v->state = VERDICT_JUDGED;
    if (strcmp(v->old_variant, v->new_variant) != 0)
      verdict_remark(v, "another variant: old %s, new %s", v->old_variant, v->new_variant);
    v->comparison = row->result.against;
    if (!g->library)
      return verdict_compare(v, g->verdicts.threshold, b->samples, b->n, row->result.samples, row->result.samples_size);
  }
  return CLI_GOOD;
}

static int judge_all(gate *g)
{
  int code = CLI_GOOD;
  for (size_t i = 0; i < g->baseline.n && code == CLI_GOOD; i++)
    if (is_run(&g->baseline.rows[i]))
      code = judge_one(g, &g->baseline.rows[i], g->row_of[i] == NOT_RUN ? NULL : &g->report.rows[g->row_of[i]]);
  if (code == CLI_GOOD) code = verdicts_judge(&g->verdicts);
  return code == CLI_GOOD ? report_judge(&g->report) : code;
}

/* The new run as a file that can be the next baseline, with the verdicts in it. */
static int write_files(gate *g, FILE *json, FILE *markdown, int code)
{
  const cli_options *o = g->options;
  if (markdown) {
    report_markdown_head(&g->report, markdown);
    fprintf(markdown, "Old: %s.\n\n", g->library ? g->library : g->baseline.file);
    verdicts_markdown(&g->verdicts, markdown);
  }
  code = cli_file_close("--markdown", o->markdown, markdown, code);
  json_t *root = report_json(&g->report), *own = cli_object();
  cli_set(json_object_get(root, "summary"), "exit", json_integer(code));
  cli_set(own, "baseline", cli_text(g->baseline.file));
  cli_set(own, "paired", json_boolean(g->library != NULL));
  verdicts_json(&g->verdicts, own, code);
  cli_set(root, "gate", own);
  return cli_json_close(o, json, root, code);
}

static void warn(gate *g)
{
  struct stat old, own;
  const char *file = cli_library_file();
  if (!g->library)
    verdicts_warn(&g->verdicts, "two runs are compared: on a GPU at its power limit they drift by up to 8 percent; "
                                "give the older build with --lib, and both are timed side by side");
  else if (file && stat(g->library, &old) == 0 && stat(file, &own) == 0 && old.st_dev == own.st_dev &&
           old.st_ino == own.st_ino)
    verdicts_warn(&g->verdicts, "%s is the library that runs here: it is compared with itself", g->library);
}

static int run_gate(gate *g)
{
  FILE *json = NULL, *markdown = NULL;
  int code = cli_json_open(g->options, &json);
  if (code == CLI_GOOD) code = cli_file_open("--markdown", g->options->markdown, &markdown);
  if (code != CLI_GOOD) return code;
  warn(g);
  code = measure_all(g);
  int judged = judge_all(g);
  if (judged == CLI_GOOD) judged = verdicts_exit(&g->verdicts, g->options);
  if (judged > code) code = judged; /* a run that broke off outweighs what it found so far */
  if (g->report.n_rows && json != stdout && markdown != stdout) verdicts_show(&g->verdicts, g->options);
  return write_files(g, json, markdown, code);
}

int cli_gate(const cli_options *options)
{
  if (options->n_libs > 1) return cli_fail(CLI_UNUSABLE, "--lib: gate takes one older library");
  gate g = {.options = options, .library = options->n_libs ? options->libs[0] : NULL};
  g.verdicts.threshold = options->threshold > 0 ? options->threshold : g.library ? 0.01 : 0.03;
  report_init(&g.report, options);
  int code = results_read(options->arguments[0], &g.baseline);
  if (code == CLI_GOOD) code = open_device(&g);
  if (code == CLI_GOOD) {
    take_settings(&g);
    code = plan(&g);
  }
  if (code == CLI_GOOD) code = run_gate(&g);
  free(g.row_of);
  verdicts_free(&g.verdicts);
  report_free(&g.report);
  results_free(&g.baseline);
  return code;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* fl4 check: runs problems on a device, compares them with the oracle, and says so. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "problems.h"

typedef struct run {
  const cli_options *options;
  fl4_context *ctx;
  fl4_device_info device;
  cli_problems problems;
  fl4_inputs inputs[FL4_INPUTS_COUNT];
  int n_inputs, oracle;
  bool table, progress;
  json_t *results;
  int64_t passed, failed, unsupported, errors;
  int error_code; /* of the worst error so far */
} run;

enum { VERDICT_PASSED, VERDICT_FAILED, VERDICT_UNSUPPORTED, VERDICT_ERROR };
static const char *const verdict_text[] = {"passed", "FAILED", "unsupported", "ERROR"};

/* What to run */

static int read_oracle(run *r)
{
  static const char *const names[] = {"auto", "fp64", "cublas"}; /* as fl4_oracle */
  const char *text = r->options->oracle ? r->options->oracle : names[FL4_ORACLE_AUTO];
  for (int i = FL4_ORACLE_AUTO; i <= FL4_ORACLE_CUBLAS; i++)
    if (strcmp(text, names[i]) == 0) return r->oracle = i, CLI_GOOD;
  return cli_fail(CLI_UNUSABLE, "--oracle: is \"%s\", must be auto, fp64 or cublas", text);
}

/* The terminal */

enum { COLUMNS = 14 };

static int make_columns(const run *r, cli_column columns[COLUMNS])
{
  const char *rate = r->device.kind == FL4_DEVICE_HOST ? "GFLOP/s" : "TFLOP/s";
  const cli_column plain[] = {
      {"problem", r->problems.width, false},
      {"inputs", 9, false},
      {"verdict", 11, false},
      {"max error", 9, true},
      {"allowed", 9, true},
      {"mean error", 10, true},
      {"LSE error", 9, true},
      {"correlation", 11, true},
  };
  int n = sizeof plain / sizeof plain[0];
  memcpy(columns, plain, sizeof plain);
  if (r->options->time) {
    columns[n++] = (cli_column){"µs", 10, true};
    columns[n++] = (cli_column){rate, 8, true};
  }
  if (r->device.kind != FL4_DEVICE_HOST) {
    columns[n++] = (cli_column){"regs", 4, true};
    columns[n++] = (cli_column){"spill", 5, true};
    columns[n++] = (cli_column){"smem", 6, true};
  }
  columns[n++] = (cli_column){"variant", 0, false};
  return n;
}

static void show_header(const run *r)
{
  cli_column columns[COLUMNS];
  const char *titles[COLUMNS];
  char name[32];
  int n = make_columns(r, columns);
  for (int i = 0; i < n; i++) titles[i] = columns[i].title;
  cli_device_name(&r->device, name);
  printf("%s: %s, %s; seed %" PRIu64 "\n", name, r->device.name, r->device.isa, r->options->seed);
  cli_row(columns, n, titles);
}

static double rate_of(const run *r, const cli_problem *it, const fl4_check_result *result)
{
  double per_us = result->time_us > 0 ? fl4_problem_flops(&it->problem) / result->time_us : 0;
  return per_us / (r->device.kind == FL4_DEVICE_HOST ? 1e3 : 1e6);
}

static void show_row(const run *r, const cli_problem *it, int inputs, int verdict, const fl4_check_result *result)
{
  cli_column columns[COLUMNS];
  const char *cells[COLUMNS];
  char text[COLUMNS][32];
  bool ran = verdict == VERDICT_PASSED || verdict == VERDICT_FAILED;
  int n = make_columns(r, columns);
  for (int i = 0; i < n; i++) cells[i] = ran ? text[i] : "-";
  cells[0] = it->line;
  cells[1] = fl4_inputs_name((fl4_inputs)inputs);
  cells[2] = verdict_text[verdict];
  if (ran) {
    snprintf(text[3], sizeof text[3], "%.2e", result->max_error);
    snprintf(text[4], sizeof text[4], "%.2e", result->max_allowed);
    snprintf(text[5], sizeof text[5], "%.2e", result->mean_error);
    if (it->problem.lse)
      snprintf(text[6], sizeof text[6], "%.1e", result->lse_error);
    else
      cells[6] = "-";
    snprintf(text[7], sizeof text[7], "%.7f", result->correlation);
    if (r->options->time) {
      snprintf(text[8], sizeof text[8], "%.1f", result->time_us);
      snprintf(text[9], sizeof text[9], "%.1f", rate_of(r, it, result));
    }
    if (r->device.kind != FL4_DEVICE_HOST) {
      snprintf(text[n - 4], sizeof text[n - 4], "%d", result->registers);
      snprintf(text[n - 3], sizeof text[n - 3], "%d", result->spill_bytes);
      snprintf(text[n - 2], sizeof text[n - 2], "%d", result->smem_bytes);
    }
    cells[n - 1] = result->variant;
  }
  cli_row(columns, n, cells);
}

/* What is wrong with a result, one line for each reason. */
static void explain(const cli_problem *it, const fl4_check_result *c)
{
  if (!c->finite) puts("    NaN or infinity in the result");
  if (!c->accurate) {
    printf("    max error %.3e, allowed %.3e; mean error %.3e, allowed %.3e\n", c->max_error, c->max_allowed,
           c->mean_error, c->mean_allowed);
    printf("    correlation %.9f, scale %.9f\n", c->correlation, c->scale);
  }
  if (!c->accurate || !c->finite)
    printf("    worst element b,h,i,d = %" PRId64 ",%" PRId64 ",%" PRId64 ",%" PRId64 ": %.9g, should be %.9g\n",
           c->worst[0], c->worst[1], c->worst[2], c->worst[3], c->worst_out, c->worst_ref);
  if (it->problem.lse && !c->lse_accurate) printf("    LSE error %.3e, allowed %.3e\n", c->lse_error, c->lse_allowed);
  if (!c->canaries) puts("    canaries: something was written outside the output");
  if (!c->deterministic) puts("    a second run gave other bits");
}

static void clear_progress(const run *r)
{
  if (r->progress) fputs("\r\033[K", stderr);
}

static void show_progress(const run *r, size_t done, size_t total, const cli_problem *it, int inputs)
{
  if (!r->progress) return;
  fprintf(stderr, "\r\033[K%zu/%zu %s %s", done + 1, total, it->line, fl4_inputs_name((fl4_inputs)inputs));
  fflush(stderr);
}

/* JSON */

static json_t *result_json(const run *r, const cli_problem *it, int inputs, fl4_status status, int verdict,
                           const fl4_check_result *c)
{
  json_t *row = cli_object();
  cli_set(row, "problem", cli_text(it->line));
  cli_set(row, "inputs", cli_text(fl4_inputs_name((fl4_inputs)inputs)));
  cli_set(row, "status", cli_text(fl4_status_name(status)));
  cli_set(row, "verdict",
          cli_text(verdict == VERDICT_FAILED  ? "failed"
                   : verdict == VERDICT_ERROR ? "error"
                                              : verdict_text[verdict]));
  if (status != FL4_OK) {
    cli_set(row, "error", cli_text(fl4_last_error()));
    return row;
  }
  cli_set(row, "variant", cli_text(c->variant));
  cli_set(row, "oracle", cli_text(c->oracle));
  cli_set(row, "rows_checked", json_integer(c->rows_checked));
  cli_set(row, "finite", json_boolean(c->finite));
  cli_set(row, "canaries", json_boolean(c->canaries));
  cli_set(row, "deterministic", json_boolean(c->deterministic));
  cli_set(row, "accurate", json_boolean(c->accurate));
  cli_set(row, "max_error", cli_real(c->max_error));
  cli_set(row, "max_allowed", cli_real(c->max_allowed));
  cli_set(row, "max_low", cli_real(c->max_low));
  cli_set(row, "mean_error", cli_real(c->mean_error));
  cli_set(row, "mean_allowed", cli_real(c->mean_allowed));
  cli_set(row, "mean_low", cli_real(c->mean_low));
  if (it->problem.lse) {
    cli_set(row, "lse_accurate", json_boolean(c->lse_accurate));
    cli_set(row, "lse_error", cli_real(c->lse_error));
    cli_set(row, "lse_allowed", cli_real(c->lse_allowed));
  }
  cli_set(row, "correlation", cli_real(c->correlation));
  cli_set(row, "scale", cli_real(c->scale));
  json_t *worst = cli_object(), *at = cli_array();
  for (int i = 0; i < 4; i++) cli_append(at, json_integer(c->worst[i]));
  cli_set(worst, "bhid", at);
  cli_set(worst, "out", cli_real(c->worst_out));
  cli_set(worst, "ref", cli_real(c->worst_ref));
  cli_set(row, "worst", worst);
  cli_set(row, "build_ms", cli_real(c->build_ms));
  cli_set(row, "origin", json_integer(c->origin));
  cli_set(row, "registers", json_integer(c->registers));
  cli_set(row, "spill_bytes", json_integer(c->spill_bytes));
  cli_set(row, "smem_bytes", json_integer(c->smem_bytes));
  if (r->options->time) {
    cli_set(row, "time_us", cli_real(c->time_us));
    cli_set(row, "flops", cli_real(fl4_problem_flops(&it->problem)));
  }
  return row;
}

/* The run */

/* One problem with one kind of inputs. False: the device is gone, there is no use in going on. */
static bool check_one(run *r, const cli_problem *it, int inputs)
{
  fl4_check_options options = FL4_CHECK_OPTIONS_INIT;
  fl4_check_result result = FL4_CHECK_RESULT_INIT;
  options.seed = r->options->seed;
  options.inputs = inputs;
  options.oracle = r->oracle;
  if (r->options->time) options.timed_calls = r->device.kind == FL4_DEVICE_HOST ? 5 : 20;

  fl4_status status = fl4_check(r->ctx, &it->problem, &options, &result);
  int verdict = VERDICT_ERROR;
  if (status == FL4_OK)
    verdict = result.passed ? VERDICT_PASSED : VERDICT_FAILED;
  else if (status == FL4_UNSUPPORTED)
    verdict = VERDICT_UNSUPPORTED;
  r->passed += verdict == VERDICT_PASSED;
  r->failed += verdict == VERDICT_FAILED;
  r->unsupported += verdict == VERDICT_UNSUPPORTED;
  r->errors += verdict == VERDICT_ERROR;
  if (verdict == VERDICT_ERROR && cli_code(status) > r->error_code) r->error_code = cli_code(status);

  clear_progress(r);
  if (r->table && (!r->options->quiet || verdict == VERDICT_FAILED || verdict == VERDICT_ERROR)) {
    show_row(r, it, inputs, verdict, &result);
    if (status != FL4_OK)
      printf("    %s: %s\n", fl4_status_string(status), fl4_last_error());
    else if (verdict == VERDICT_FAILED)
      explain(it, &result);
    fflush(stdout);
  }
  cli_append(r->results, result_json(r, it, inputs, status, verdict, &result));
  return status != FL4_DEVICE_ERROR && status != FL4_LIBRARY_MISSING;
}

static int exit_code(const run *r)
{
  if (r->error_code > CLI_NEGATIVE) return r->error_code;
  if (r->failed || r->error_code == CLI_NEGATIVE) return CLI_NEGATIVE;
  return r->passed ? CLI_GOOD : CLI_UNUSABLE;
}

static int check_all(run *r, FILE *file)
{
  json_t *root = cli_object(), *summary = cli_object();
  r->results = cli_array();
  cli_set(root, "schema", cli_text("flashl4-check-1"));
  cli_set(root, "environment", cli_environment_json(r->options));
  cli_set(root, "device", cli_device_json(&r->device));
  cli_set(root, "seed", json_integer((json_int_t)r->options->seed));
  cli_set(root, "results", r->results);

  size_t total = r->problems.n * (size_t)r->n_inputs, done = 0;
  bool going = true;
  if (r->table && !r->options->quiet) show_header(r);
  for (size_t i = 0; i < r->problems.n && going; i++)
    for (int k = 0; k < r->n_inputs && going; k++) {
      show_progress(r, done, total, &r->problems.items[i], r->inputs[k]);
      going = check_one(r, &r->problems.items[i], r->inputs[k]);
      done++;
    }

  int code = exit_code(r);
  if (r->table) {
    printf("%" PRId64 " passed, %" PRId64 " failed", r->passed, r->failed);
    if (r->unsupported) printf(", %" PRId64 " unsupported", r->unsupported);
    if (r->errors) printf(", %" PRId64 " errors", r->errors);
    if (done < total) printf(", %zu not run", total - done);
    putchar('\n');
  }
  cli_set(summary, "passed", json_integer(r->passed));
  cli_set(summary, "failed", json_integer(r->failed));
  cli_set(summary, "unsupported", json_integer(r->unsupported));
  cli_set(summary, "errors", json_integer(r->errors));
  cli_set(summary, "not_run", json_integer((json_int_t)(total - done)));
  cli_set(summary, "exit", json_integer(code));
  cli_set(root, "summary", summary);
  return cli_json_close(r->options, file, root, code);
}

int cli_check(const cli_options *options)
{
  run r = {.options = options};
  r.device = (fl4_device_info)FL4_DEVICE_INFO_INIT;
  FILE *file = NULL;
  int code = cli_inputs(options->inputs, "normal", r.inputs, &r.n_inputs);
  if (code == CLI_GOOD) code = read_oracle(&r);
  if (code == CLI_GOOD) code = cli_open(options, &r.ctx, &r.device);
  if (code == CLI_GOOD) code = cli_problems_read(options, &r.device, "smoke", &r.problems);
  if (code == CLI_GOOD) code = cli_json_open(options, &file);
  if (code == CLI_GOOD) {
    r.table = file != stdout;
    r.progress = !options->quiet && isatty(STDERR_FILENO);
    code = check_all(&r, file);
  }
  cli_problems_free(&r.problems);
  fl4_context_destroy(&r.ctx);
  return code;
}

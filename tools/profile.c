/* SPDX-License-Identifier: Apache-2.0 */
/* fl4 profile: Nsight Compute on one launch of the forward kernel, and what its numbers say. */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "ncu.h"
#include "process.h"
#include "profile_lines.h"

typedef struct profile {
  const cli_options *options;
  const char *device, *inputs; /* as the child is told */
  char line[FL4_PROBLEM_LINE_MAX];
  profile_facts facts;
  char ncu[PATH_MAX], self[PATH_MAX], result_file[PATH_MAX];
  double seconds; /* that ncu may take */
  cli_process process;
  json_t *result; /* what fl4 check found, NULL if it did not get there */
  ncu_report report;
  profile_line lines[PROFILE_LINES];
  profile_stall stalls[PROFILE_STALLS];
  int n_stalls;
} profile;

/* What to run. Nothing here opens a GPU: that is for ncu and what it runs. */

static int read_problem(profile *p)
{
  const cli_options *o = p->options;
  size_t n = o->n_arguments + o->n_problems;
  if (n != 1) return cli_fail(CLI_UNUSABLE, "profile: %zu problems given, must be one; see fl4 help profile", n);
  fl4_problem problem = FL4_PROBLEM_INIT;
  if (fl4_problem_parse(o->n_arguments ? o->arguments[0] : o->problems[0], &problem) != FL4_OK ||
      fl4_problem_format(&problem, p->line, sizeof p->line) != FL4_OK)
    return cli_fail(CLI_UNUSABLE, "profile: %s", fl4_last_error());
  double bytes = fl4_problem_bytes(&problem);
  p->facts.intensity = bytes > 0 ? fl4_problem_flops(&problem) / bytes : 0;
  p->facts.spill_bytes = NAN;

  fl4_inputs kinds[FL4_INPUTS_COUNT];
  int n_kinds, code = cli_inputs(o->inputs, "normal", kinds, &n_kinds);
  if (code != CLI_GOOD) return code;
  if (n_kinds != 1) return cli_fail(CLI_UNUSABLE, "--inputs: is \"%s\", must be one kind", o->inputs);
  p->inputs = fl4_inputs_name(kinds[0]);
  return CLI_GOOD;
}

static int read_seconds(profile *p)
{
  const char *text = getenv("FLASHL4_NCU_SECONDS");
  p->seconds = 600;
  if (!text || !*text) return CLI_GOOD;
  char *end;
  errno = 0;
  long value = strtol(text, &end, 10);
  if (end == text || *end || errno || value < 1 || value > 86400)
    return cli_fail(CLI_UNUSABLE, "FLASHL4_NCU_SECONDS: is \"%s\", must be a whole number from 1 to 86400", text);
  p->seconds = (double)value;
  return CLI_GOOD;
}

/* The host cannot be profiled. Whoever names an ncu knows better than we do whether there is a GPU. */
static int read_device(profile *p)
{
  static const char advice[] =
      "only a GPU can be profiled; for the host use: perf record fl4 check --device host --problem LINE";
  const char *named = p->options->device ? p->options->device : getenv("FLASHL4_DEVICE");
  p->device = named && *named && strcmp(named, "auto") != 0 ? named : "cuda";
  if (strcmp(p->device, "host") == 0) return cli_fail(CLI_UNUSABLE, "profile: the device is the host; %s", advice);
  if (strncmp(p->device, "cuda", 4) != 0)
    return cli_fail(CLI_UNUSABLE, "profile: the device is \"%s\", must be cuda or cuda:N; %s", p->device, advice);
  const char *ncu = getenv("FLASHL4_NCU");
  if ((ncu && *ncu) || fl4_device_count() > 1) return CLI_GOOD;
  return cli_fail(p->device == named ? CLI_DEVICE : CLI_UNUSABLE, "profile: there is no GPU here; %s", advice);
}

static int read_self(profile *p)
{
  ssize_t n = readlink("/proc/self/exe", p->self, sizeof p->self - 1);
  if (n < 0) return cli_fail(CLI_DEVICE, "profile: cannot find this program: %s", strerror(errno));
  p->self[n] = '\0';
  return CLI_GOOD;
}

static int make_result_file(profile *p)
{
  const char *folder = getenv("TMPDIR");
  snprintf(p->result_file, sizeof p->result_file, "%s/fl4-profile-XXXXXX", folder && *folder ? folder : "/tmp");
  int fd = mkstemp(p->result_file);
  if (fd >= 0) close(fd);
  if (fd < 0) {
    int code = cli_fail(CLI_DEVICE, "profile: cannot make a file like %s: %s", p->result_file, strerror(errno));
    p->result_file[0] = '\0';
    return code;
  }
  return CLI_GOOD;
}

/* The run */

/*
 * What is profiled is fl4 check: it makes the data, launches the kernel twice and says whether the
 * result is right. The second launch is taken; the first has loaded code and tables. The fp64 oracle
 * launches nothing, so no other kernel is in the way.
 */
static int run_ncu(profile *p)
{
  char seed[24];
  snprintf(seed, sizeof seed, "%" PRIu64, p->options->seed);
  const char *argv[48];
  int n = 0;
  /* clang-format off */
  const char *const ncu[] = {
    p->ncu, "--csv", "--page", "raw", "--print-units", "base", "--clock-control", "none", "--target-processes", "all",
    "--kernel-name", "regex:^fl4_", "--launch-skip", "1", "--launch-count", "1", "--section", PROFILE_SECTION,
    "--metrics", profile_metrics()};
  const char *const check[] = {
    p->self, "check", "--device", p->device, "--problem", p->line, "--inputs", p->inputs, "--seed", seed,
    "--oracle", "fp64", "--quiet", "--json", p->result_file};
  /* clang-format on */
  for (size_t i = 0; i < sizeof ncu / sizeof *ncu; i++) argv[n++] = ncu[i];
  for (size_t i = 0; i < sizeof check / sizeof *check; i++) argv[n++] = check[i];
  if (p->options->variant) argv[n++] = "--variant", argv[n++] = p->options->variant;
  argv[n] = NULL;
  setenv("LC_ALL", "C", 1); /* numbers with a decimal point */
  if (isatty(STDERR_FILENO)) fprintf(stderr, "%s is at work; it replays the kernel several times\n", p->ncu);
  int error = cli_process_run(argv, p->seconds, &p->process);
  if (error) return cli_fail(CLI_DEVICE, "profile: cannot run %s: %s", p->ncu, strerror(error));
  if (p->process.interrupted) {
    if (*p->result_file) unlink(p->result_file);
    raise(p->process.interrupted);
  }
  return CLI_GOOD;
}

static void read_result(profile *p)
{
  json_t *root = json_load_file(p->result_file, 0, NULL);
  p->result = json_incref(json_array_get(json_object_get(root, "results"), 0));
  json_decref(root);
  json_t *spills = json_object_get(p->result, "spill_bytes");
  if (json_is_integer(spills)) p->facts.spill_bytes = (double)json_integer_value(spills);
}

static const char *result_text(const profile *p, const char *key)
{
  const char *text = json_string_value(json_object_get(p->result, key));
  return text ? text : "";
}

/* Why there is nothing to show */

/* The last lines of what was said, on standard error. */
static void show_words(const char *who, const char *text)
{
  const int most = 20;
  size_t end = strlen(text), start = end;
  for (int lines = 0; start > 0; start--)
    if (text[start - 1] == '\n' && start != end && ++lines == most) break;
  if (end == 0) return;
  fprintf(stderr, "%s%s:\n", who, start ? ", the last lines" : "");
  fputs(text + start, stderr);
  if (text[end - 1] != '\n') fputc('\n', stderr);
}

static int fail_with_words(const profile *p, int code, const char *why)
{
  cli_fail(0, "profile: %s", why);
  show_words("output of ncu", p->process.out);
  show_words("errors of ncu", p->process.err);
  return code;
}

/* fl4 check ended with a reason of its own. CLI_GOOD: it did not. */
static int judge_result(const profile *p)
{
  char why[512];
  const char *verdict = result_text(p, "verdict"), *error = result_text(p, "error");
  if (strcmp(verdict, "failed") == 0)
    return cli_fail(CLI_NEGATIVE,
                    "profile: %s: the kernel's result is wrong, so its profile says nothing; see fl4 check", p->line);
  if (strcmp(verdict, "unsupported") == 0) return cli_fail(CLI_UNUSABLE, "profile: %s: %s", p->line, error);
  if (strcmp(verdict, "error") == 0) {
    snprintf(why, sizeof why, "fl4 check failed under ncu: %s", error);
    return fail_with_words(p, CLI_DEVICE, why);
  }
  /* It did not get as far as a result: usage, or no device. ncu passes on how it ended. */
  const char *ended = strstr(p->process.out, "The application returned an error code (");
  if (!ended) ended = strstr(p->process.err, "The application returned an error code (");
  int code = ended ? atoi(strchr(ended, '(') + 1) : 0;
  if (p->result || code < CLI_NEGATIVE || code > CLI_DEVICE) return CLI_GOOD;
  return fail_with_words(p, code, "fl4 check failed under ncu");
}

static int judge_run(profile *p)
{
  char why[512];
  const cli_process *run = &p->process;
  if (run->timed_out) {
    snprintf(why, sizeof why, "ncu did not end within %.0f s and was stopped; FLASHL4_NCU_SECONDS=N allows more",
             p->seconds);
    return fail_with_words(p, CLI_DEVICE, why);
  }
  const char *known = ncu_explain(run->err);
  if (!known) known = ncu_explain(run->out);
  bool none = known && strstr(known, "no launch");
  int code = known && !none ? CLI_GOOD : judge_result(p);
  if (code != CLI_GOOD) return code;
  if (known) return fail_with_words(p, CLI_DEVICE, known);
  if (run->exit_code != 0) {
    snprintf(why, sizeof why, "ncu failed with exit code %d", run->exit_code);
    return fail_with_words(p, CLI_DEVICE, why);
  }
  if (run->cut) return fail_with_words(p, CLI_DEVICE, "ncu wrote more than it can have to say");
  switch (ncu_read(run->out, &p->report)) {
  case NCU_READ: return CLI_GOOD;
  case NCU_GARBLED: return fail_with_words(p, CLI_DEVICE, "the table that ncu wrote cannot be read");
  default: return fail_with_words(p, CLI_DEVICE, *run->out ? "ncu wrote no table of results" : "ncu wrote nothing");
  }
}

/* What there is to show */

static const char *text_of(const profile *p, const char *column)
{
  const ncu_metric *m = ncu_find_metric(&p->report, column);
  return m && *m->text ? m->text : "n/a";
}

static double number_of(const profile *p, const char *column)
{
  const ncu_metric *m = ncu_find_metric(&p->report, column);
  return m ? m->value : NAN;
}

/* Base units are nanoseconds; older releases of ncu spell them out. */
static double microseconds(const profile *p)
{
  static const struct {
    const char *unit;
    double us;
  } units[] = {{"ns", 1e-3},      {"us", 1},      {"ms", 1e3},      {"s", 1e6},
               {"nsecond", 1e-3}, {"usecond", 1}, {"msecond", 1e3}, {"second", 1e6}};
  const ncu_metric *m = ncu_find_metric(&p->report, "gpu__time_duration.sum");
  for (size_t i = 0; m && i < sizeof units / sizeof *units; i++)
    if (strcmp(m->unit, units[i].unit) == 0) return m->value * units[i].us;
  return NAN;
}

static const char *const verdicts[] = {"", "good", "look here", "n/a"};

static void show(const profile *p)
{
  const char *variant = *result_text(p, "variant") ? result_text(p, "variant") : "variant not known";
  double us = microseconds(p), smem = number_of(p, "launch__shared_mem_per_block_dynamic");
  printf("%s, inputs %s, seed %" PRIu64 "\n", p->line, p->inputs, p->options->seed);
  printf("%s (%s), compute capability %s\n", text_of(p, "Kernel Name"), variant, text_of(p, "CC"));
  printf("grid %s, block %s, %s registers", text_of(p, "Grid Size"), text_of(p, "Block Size"),
         text_of(p, "launch__registers_per_thread"));
  if (!isnan(smem)) printf(", %.0f B shared memory", smem);
  if (!isnan(us)) printf("; %.1f µs, caches cold", us);
  fputs("\n\n", stdout);

  static const cli_column columns[] = {{"", 21, false}, {"", 18, true}, {"", 7, true}, {"", 0, false}};
  cli_row(columns, 4, (const char *const[]){"", "measured", "limit", "verdict"});
  for (int i = 0; i < PROFILE_LINES; i++) {
    const profile_line *l = &p->lines[i];
    bool remark = l->verdict == PROFILE_INFO;
    cli_row(columns, 4,
            (const char *const[]){l->name, l->measured, l->limit, remark ? l->advice : verdicts[l->verdict]});
    if (l->verdict == PROFILE_LOOK) printf("    %s\n", l->advice);
  }
  puts("\nwhat warps wait for, cycles an instruction");
  for (int i = 0; i < p->n_stalls; i++) {
    char share[24] = "";
    if (!isnan(p->stalls[i].share)) snprintf(share, sizeof share, " (%.0f %%)", 100 * p->stalls[i].share);
    printf("  %-20s %5.2f%-7s %s\n", p->stalls[i].name, p->stalls[i].cycles, share, p->stalls[i].advice);
  }
  if (p->n_stalls == 0) puts("  n/a");

  int looks = 0, unknown = 0;
  for (int i = 0; i < PROFILE_LINES; i++) {
    looks += p->lines[i].verdict == PROFILE_LOOK;
    unknown += p->lines[i].verdict == PROFILE_UNKNOWN;
  }
  printf("\n%s", looks ? "" : "nothing to look at");
  if (looks) printf("%d of %d to look at", looks, PROFILE_LINES);
  if (unknown) printf(", %d not measured", unknown);
  putchar('\n');
}

static json_t *line_json(const profile_line *l)
{
  json_t *row = cli_object();
  cli_set(row, "name", cli_text(l->name));
  cli_set(row, "metric", cli_text(l->metric));
  cli_set(row, "value", cli_real(l->value));
  cli_set(row, "bound", cli_real(l->bound));
  cli_set(row, "at_least", isnan(l->bound) ? json_null() : json_boolean(l->at_least));
  cli_set(row, "verdict", cli_text(l->verdict == PROFILE_INFO ? "no limit" : verdicts[l->verdict]));
  cli_set(row, "advice", cli_text(l->advice));
  return row;
}

/* Where nothing was measured there are no lines, and `exit` says so. */
static json_t *profile_json(const profile *p, int code)
{
  json_t *root = cli_object(), *lines = cli_array(), *stalls = cli_array(), *metrics = cli_object();
  cli_set(root, "schema", cli_text("flashl4-profile-1"));
  cli_set(root, "environment", cli_environment_json(p->options));
  cli_set(root, "problem", cli_text(p->line));
  cli_set(root, "inputs", cli_text(p->inputs));
  cli_set(root, "seed", json_integer((json_int_t)p->options->seed));
  cli_set(root, "device", cli_text(p->device));
  cli_set(root, "variant", cli_text(result_text(p, "variant")));
  cli_set(root, "ncu", cli_text(p->ncu));
  cli_set(root, "duration_us", cli_real(microseconds(p)));
  cli_set(root, "memory_bound", json_boolean(profile_memory_bound(&p->facts)));
  for (int i = 0; i < PROFILE_LINES && code == CLI_GOOD; i++) cli_append(lines, line_json(&p->lines[i]));
  cli_set(root, "lines", lines);
  for (int i = 0; i < p->n_stalls; i++) {
    json_t *row = cli_object();
    cli_set(row, "name", cli_text(p->stalls[i].name));
    cli_set(row, "cycles", cli_real(p->stalls[i].cycles));
    cli_set(row, "share", cli_real(p->stalls[i].share));
    cli_set(row, "advice", cli_text(p->stalls[i].advice));
    cli_append(stalls, row);
  }
  cli_set(root, "stalls", stalls);
  for (size_t i = 0; i < p->report.n; i++) {
    const ncu_metric *m = &p->report.metrics[i];
    json_t *row = cli_object();
    cli_set(row, "text", cli_text(m->text));
    cli_set(row, "value", cli_real(m->value));
    cli_set(row, "unit", cli_text(m->unit));
    cli_set(metrics, m->name, row);
  }
  cli_set(root, "metrics", metrics);
  cli_set(root, "exit", json_integer(code));
  return root;
}

static int measure(profile *p)
{
  int code = run_ncu(p);
  if (code != CLI_GOOD) return code;
  read_result(p);
  code = judge_run(p);
  if (code != CLI_GOOD) return code;
  profile_judge(&p->report, &p->facts, p->lines);
  p->n_stalls = profile_stalls(&p->report, p->stalls);
  for (int i = 0; i < PROFILE_LINES; i++)
    if (p->lines[i].verdict != PROFILE_UNKNOWN) return CLI_GOOD;
  return fail_with_words(p, CLI_DEVICE, "ncu measured none of the numbers that were asked for");
}

int cli_profile(const cli_options *options)
{
  profile p = {.options = options};
  FILE *file = NULL;
  int code = read_problem(&p);
  if (code == CLI_GOOD) code = read_seconds(&p);
  if (code == CLI_GOOD) code = read_device(&p);
  if (code == CLI_GOOD) code = ncu_find(p.ncu);
  if (code == CLI_GOOD) code = read_self(&p);
  if (code == CLI_GOOD) code = make_result_file(&p);
  if (code == CLI_GOOD) code = cli_json_open(options, &file);
  if (code == CLI_GOOD) {
    code = measure(&p);
    if (code == CLI_GOOD && file != stdout) show(&p);
    code = cli_json_close(options, file, profile_json(&p, code), code);
  }
  if (*p.result_file) unlink(p.result_file);
  json_decref(p.result);
  ncu_free(&p.report);
  cli_process_free(&p.process);
  return code;
}

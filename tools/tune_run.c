/* SPDX-License-Identifier: Apache-2.0 */
/* One tuning after the other: progress while it runs, and what came of it. */
#include <inttypes.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "tune.h"

static volatile sig_atomic_t interrupted;

static void on_interrupt(int signal)
{
  (void)signal;
  interrupted = 1;
}

bool tune_interrupted(void)
{
  return interrupted;
}

void tune_catch_interrupts(const tune *t)
{
  struct sigaction action = {.sa_handler = on_interrupt};
  sigemptyset(&action.sa_mask);
  interrupted = 0;
  if (t->parent) { /* the terminal tells both; the supervisor decides */
    signal(SIGINT, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    sigaction(SIGTERM, &action, NULL);
  } else {
    action.sa_flags = (int)SA_RESETHAND;
    sigaction(SIGINT, &action, NULL);
  }
}

/* Progress */

typedef struct run {
  tune *tune;
  const char *line;
  size_t index;
  bool terminal;
  double default_us; /* NaN: not known yet */
  double shown;      /* when */
  int64_t seen;      /* evaluations told */
} run;

static double now(void)
{
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static bool is_correct(const fl4_tune_candidate *c)
{
  return c && c->invalidity == FL4_INVALIDITY_CORRECT;
}

static void describe(const run *r, const fl4_tune_progress *p, char *text, size_t size)
{
  size_t at = (size_t)snprintf(text, size, "%zu/%zu %s: %s %" PRId64, r->index + 1, r->tune->problems.n, r->line,
                               p->phase, p->evaluations);
  if (p->most < INT32_MAX && at < size) at += (size_t)snprintf(text + at, size - at, "/%" PRId64, p->most);
  if (is_correct(p->best) && at < size) {
    at += (size_t)snprintf(text + at, size - at, ", best %.2f µs", p->best->p50);
    if (r->default_us > 0 && at < size)
      at += (size_t)snprintf(text + at, size - at, " (%.3fx)", r->default_us / p->best->p50);
    if (at < size) at += (size_t)snprintf(text + at, size - at, " %s", p->best->variant);
  }
  if (!p->latest || at >= size) return;
  if (is_correct(p->latest))
    snprintf(text + at, size - at, "; last %.2f µs", p->latest->p50);
  else
    snprintf(text + at, size - at, "; last %s", fl4_invalidity_name((fl4_invalidity)p->latest->invalidity));
}

/* On one line of the terminal, or what was longer would stay there. */
static void show_progress(run *r, const fl4_tune_progress *p)
{
  char text[512];
  struct winsize window;
  size_t width = ioctl(STDERR_FILENO, TIOCGWINSZ, &window) == 0 && window.ws_col > 1 ? window.ws_col - 1U : 100, n = 0;
  describe(r, p, text, sizeof text);
  for (size_t shown = 0; text[n]; n++) {
    shown += ((unsigned char)text[n] & 0xC0) != 0x80;
    if (shown > width) break;
  }
  fprintf(stderr, "\r\033[K%.*s", (int)n, text);
  fflush(stderr);
  r->shown = now();
}

static int on_progress(const fl4_tune_progress *p, void *user)
{
  run *r = user;
  const bool news = p->evaluations != r->seen, inputs = strcmp(p->phase, "inputs") == 0;
  if (is_correct(p->latest) && p->latest->evaluation == 0) r->default_us = p->latest->p50;
  /* A search that only waits must not count as one that gets on. */
  if (r->tune->parent && inputs)
    supervised_idle(r->tune->parent);
  else if (r->tune->parent && (news || strcmp(p->phase, "searching") != 0 || r->seen < 0))
    supervised_alive(r->tune->parent);
  if (!inputs) r->seen = p->evaluations;
  if (r->terminal && (news || now() - r->shown > 0.1)) show_progress(r, p);
  return interrupted;
}

/* The result, see docs/tune.md */

static json_t *candidate_json(const fl4_tune_candidate *c)
{
  char hash[20];
  json_t *row = cli_object();
  snprintf(hash, sizeof hash, "%016" PRIx64, c->kernel_hash);
  cli_set(row, "variant", cli_text(c->variant));
  cli_set(row, "evaluation", json_integer(c->evaluation));
  cli_set(row, "invalidity", cli_text(fl4_invalidity_name((fl4_invalidity)c->invalidity)));
  cli_set(row, "p50_us", cli_real(c->p50));
  cli_set(row, "p50_low_us", cli_real(c->p50_low));
  cli_set(row, "p50_high_us", cli_real(c->p50_high));
  cli_set(row, "samples", json_integer(c->samples));
  cli_set(row, "max_error", cli_real(c->max_error));
  cli_set(row, "compile_ms", cli_real(c->compile_ms));
  cli_set(row, "registers", json_integer(c->registers));
  cli_set(row, "spill_bytes", json_integer(c->spill_bytes));
  cli_set(row, "smem_bytes", json_integer(c->smem_bytes));
  cli_set(row, "same_as", c->same_as < 0 ? json_null() : json_integer(c->same_as));
  cli_set(row, "kernel_hash", cli_text(hash));
  cli_set(row, "error", cli_text(c->error));
  return row;
}

static json_t *against_json(const fl4_comparison *c)
{
  if (c->n <= 0) return json_null();
  json_t *row = cli_object();
  cli_set(row, "n", json_integer(c->n));
  cli_set(row, "ratio", cli_real(c->ratio));
  cli_set(row, "low", cli_real(c->low));
  cli_set(row, "high", cli_real(c->high));
  cli_set(row, "verdict", cli_text(fl4_verdict_name((fl4_verdict)c->verdict)));
  cli_set(row, "threshold", cli_real(c->threshold));
  return row;
}

static json_t *result_json(const cli_problem *problem, fl4_status status, const fl4_tune_report *r)
{
  const bool good = status == FL4_OK || status == FL4_CANCELLED;
  json_t *result = cli_object(), *candidates = cli_array();
  cli_set(result, "problem", cli_text(problem->line));
  cli_set(result, "note", cli_text(problem->note));
  cli_set(result, "status", cli_text(fl4_status_name(status)));
  cli_set(result, "error", cli_text(good ? "" : fl4_last_error()));
  cli_set(result, "variant", cli_text(good ? r->variant : ""));
  cli_set(result, "improved", json_boolean(good && r->improved));
  cli_set(result, "stop", cli_text(fl4_tune_stop_name((fl4_tune_stop)r->stop)));
  cli_set(result, "space", json_integer(r->space));
  cli_set(result, "evaluations", json_integer(r->evaluations));
  cli_set(result, "resumed", json_integer(r->resumed));
  cli_set(result, "failed", json_integer(r->failed));
  cli_set(result, "seconds", cli_real(r->seconds));
  cli_set(result, "compile_seconds", cli_real(r->compile_seconds));
  cli_set(result, "default_us", cli_real(r->default_us > 0 ? r->default_us : NAN));
  cli_set(result, "best_us", cli_real(r->best_us > 0 ? r->best_us : NAN));
  cli_set(result, "against", against_json(&r->against));
  const int64_t n = r->n_candidates < r->candidates_size ? r->n_candidates : r->candidates_size;
  for (int64_t i = 0; good && i < n; i++) cli_append(candidates, candidate_json(&r->candidates[i]));
  cli_set(result, "candidates", candidates);
  return result;
}

/* Room for all that can be tried; what a log knows of is in there, too. */
static fl4_status make_room(const tune *t, const fl4_problem *problem, fl4_tune_report *report)
{
  fl4_tune_space_info space = FL4_TUNE_SPACE_INFO_INIT;
  fl4_status status = fl4_tune_space(t->ctx, problem, t->settings.family, &space);
  if (status != FL4_OK) return status;
  const int64_t n = space.valid + space.same + 1;
  report->candidates = calloc((size_t)n, sizeof *report->candidates);
  if (!report->candidates) return FL4_OUT_OF_MEMORY;
  for (int64_t i = 0; i < n; i++) report->candidates[i] = (fl4_tune_candidate)FL4_TUNE_CANDIDATE_INIT;
  report->candidates_size = n;
  return FL4_OK;
}

fl4_status tune_problem(tune *t, size_t index, json_t **result)
{
  const cli_problem *problem = &t->problems.items[index];
  run r = {.tune = t, .line = problem->line, .index = index, .default_us = NAN, .seen = -1};
  r.terminal = !t->options->quiet && isatty(STDERR_FILENO);
  fl4_tune_report report = FL4_TUNE_REPORT_INIT;
  fl4_tune_options settings = t->settings;
  settings.progress = on_progress;
  settings.progress_user = &r;
  fl4_status status = make_room(t, &problem->problem, &report);
  if (status == FL4_OK) status = fl4_tune(t->ctx, &problem->problem, &settings, &report);
  *result = result_json(problem, status, &report);
  if (t->parent) supervised_idle(t->parent);
  if (r.terminal) fputs("\r\033[K", stderr);
  free(report.candidates);
  return status;
}

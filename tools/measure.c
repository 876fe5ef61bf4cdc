/* SPDX-License-Identifier: Apache-2.0 */
/* One call of fl4_bench() after the other. */
#include "measure.h"

#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static volatile sig_atomic_t interrupted;
static struct sigaction before;

static void on_interrupt(int signal)
{
  (void)signal;
  interrupted = 1;
}

bool measure_interrupted(void)
{
  return interrupted;
}

int measure_open(measure *m, report *r, size_t most_contenders, size_t total)
{
  *m = (measure){.report = r, .total = total, .most_contenders = most_contenders};
  m->progress = !r->options->quiet && isatty(STDERR_FILENO);
  m->samples = calloc(most_contenders * (size_t)r->settings.max_samples, sizeof *m->samples);
  m->results = calloc(most_contenders, sizeof *m->results);
  if (!m->samples || !m->results) return cli_fail(CLI_DEVICE, "out of memory");

  struct sigaction action = {.sa_handler = on_interrupt, .sa_flags = (int)SA_RESETHAND};
  sigemptyset(&action.sa_mask);
  interrupted = 0;
  sigaction(SIGINT, &action, &before);
  return CLI_GOOD;
}

void measure_close(measure *m)
{
  if (m->samples && m->results) sigaction(SIGINT, &before, NULL);
  free(m->samples);
  free(m->results);
}

static void clear_progress(const measure *m)
{
  if (m->progress) fputs("\r\033[K", stderr);
}

static int on_progress(const fl4_bench_progress *p, void *user)
{
  const measure *m = user;
  if (m->progress) {
    fprintf(stderr, "\r\033[K%zu/%zu %s %s: %s", m->done + 1, m->total, m->line, fl4_inputs_name(m->inputs), p->phase);
    if (p->round) fprintf(stderr, ", %lld samples, %.1f s", (long long)p->round, p->seconds);
    if (p->round && !isnan(p->precision)) fprintf(stderr, ", ± %.2f %%", 100 * p->precision);
    fflush(stderr);
  }
  return interrupted;
}

/* The samples go where the caller said; all else is the library's to fill. */
static void prepare(measure *m, fl4_bench_contender *contenders, size_t first, size_t n)
{
  size_t room = (size_t)m->report->settings.max_samples;
  for (size_t i = 0; i < n; i++) {
    contenders[i] = m->report->contenders[first + i].description;
    contenders[i].name = m->report->contenders[first + i].name;
    m->results[i] = (fl4_bench_result)FL4_BENCH_RESULT_INIT;
    m->results[i].samples = m->samples + i * room;
    m->results[i].samples_size = (int64_t)room;
  }
}

fl4_status measure_problem(measure *m, const char *line, fl4_inputs inputs, size_t first, size_t n)
{
  report *r = m->report;
  fl4_problem problem = FL4_PROBLEM_INIT;
  fl4_status status = fl4_problem_parse(line, &problem);
  if (status != FL4_OK) return status;
  if (interrupted) return FL4_CANCELLED;
  fl4_bench_contender *contenders = calloc(n, sizeof *contenders);
  if (!contenders) return FL4_OUT_OF_MEMORY;
  prepare(m, contenders, first, n);
  m->line = line, m->inputs = inputs;

  fl4_bench_options options = r->settings;
  options.inputs = inputs;
  options.contenders = contenders;
  options.n_contenders = (int32_t)n;
  options.limits = r->limits_measured ? &r->limits : NULL;
  options.compare = &r->compare;
  options.progress = on_progress;
  options.progress_user = m;
  status = fl4_bench(r->ctx, &problem, 1, &options, m->results);
  clear_progress(m);
  free(contenders);
  for (size_t i = 0; i < n && status == FL4_OK; i++)
    if (!report_add(r, line, inputs, first + i, first, &m->results[i])) status = FL4_OUT_OF_MEMORY;
  m->done += status == FL4_OK;
  return status;
}

int measure_failed(const measure *m, fl4_status status)
{
  if (status == FL4_CANCELLED) return cli_fail(CLI_UNUSABLE, "interrupted; %zu of %zu done", m->done, m->total);
  cli_fail(0, "%s: %s: %s", m->line, fl4_status_string(status), fl4_last_error());
  /* A file that is no build of the library is the user's mistake, not the machine's. */
  const cli_options *o = m->report->options;
  for (size_t i = 0; i < o->n_libs && status == FL4_LIBRARY_MISSING; i++)
    if (strstr(fl4_last_error(), o->libs[i])) return CLI_UNUSABLE;
  return cli_code(status);
}

int measure_limits(report *r)
{
  bool show = !r->options->quiet && isatty(STDERR_FILENO);
  if (show) fputs("measuring the device's limits", stderr);
  fl4_status status = fl4_bench_limits(r->ctx, &r->limits);
  if (show) fputs("\r\033[K", stderr);
  if (status != FL4_OK) {
    cli_fail(0, "--limits: %s: %s", fl4_status_string(status), fl4_last_error());
    return cli_code(status);
  }
  r->limits_measured = true;
  return CLI_GOOD;
}

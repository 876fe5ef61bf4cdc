/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Makes a command whose tunings die: linked into fl4 with -Wl,--wrap=fl4_tune,--wrap=fl4_bench. How is
 * told by $MORTAL: "crash" (SIGKILL, which sanitizers leave alone), "exit", "hang" or "device" (the call
 * fails with FL4_DEVICE_ERROR) once $MORTAL_AT evaluations are there; "early", a crash before all; or
 * "ablate", a crash when variants are timed side by side. It happens once for each byte of the file
 * $MORTAL_LEFT, with $MORTAL_SQ only on problems of so many queries. And "dress" makes of the report what only a GPU could give.
 */
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <flashl4/bench.h>
#include <flashl4/tune.h>

fl4_status __real_fl4_tune(fl4_context *ctx, const fl4_problem *problem, const fl4_tune_options *options,
                           fl4_tune_report *report);
fl4_status __wrap_fl4_tune(fl4_context *ctx, const fl4_problem *problem, const fl4_tune_options *options,
                           fl4_tune_report *report);

fl4_status __real_fl4_bench(fl4_context *ctx, const fl4_problem *problems, int64_t n_problems,
                            const fl4_bench_options *options, fl4_bench_result *results);
fl4_status __wrap_fl4_bench(fl4_context *ctx, const fl4_problem *problems, int64_t n_problems,
                            const fl4_bench_options *options, fl4_bench_result *results);

static const fl4_tune_options *given;
static int device_died;

static const char *setting(const char *name)
{
  const char *text = getenv(name);
  return text ? text : "";
}

static int is(const char *how)
{
  return strcmp(setting("MORTAL"), how) == 0;
}

/* Once more? */
static int takes_one(void)
{
  struct stat left;
  const char *name = setting("MORTAL_LEFT");
  return stat(name, &left) == 0 && left.st_size > 0 && truncate(name, left.st_size - 1) == 0;
}

static int on_progress(const fl4_tune_progress *p, void *user)
{
  const int other = given->progress(p, user);
  if (strcmp(p->phase, "searching") != 0 || p->evaluations < atoi(setting("MORTAL_AT"))) return other;
  if (!takes_one()) return other;
  if (is("crash")) raise(SIGKILL);
  if (is("exit")) _exit(99);
  while (is("hang")) pause();
  device_died = is("device");
  return 1;
}

fl4_status __wrap_fl4_bench(fl4_context *ctx, const fl4_problem *problems, int64_t n_problems,
                            const fl4_bench_options *options, fl4_bench_result *results)
{
  if (is("ablate") && options->n_contenders > 1 && takes_one()) raise(SIGKILL);
  return __real_fl4_bench(ctx, problems, n_problems, options, results);
}

/* Of five candidates, the fastest first. */
static void dress(fl4_tune_report *r)
{
  fl4_tune_candidate *c = r->candidates;
  for (int i = 0; i < 5; i++) c[i].evaluation = i < 3 ? 2 - i : i, c[i].p50 = 10.5 + i;
  c[0].registers = 168, c[0].spill_bytes = 24, c[0].smem_bytes = 98816;
  c[1].same_as = c[0].evaluation;
  c[2].p50_low = c[2].p50_high = (double)NAN, c[2].samples = 3;
  c[3].invalidity = c[4].invalidity = FL4_INVALIDITY_COMPILE;
  snprintf(c[3].error, sizeof c[3].error, "too many registers");
  snprintf(c[4].error, sizeof c[4].error, "another reason");
  r->improved = 1, r->failed = 2, r->default_us = 123.44, r->best_us = 115.04;
  r->against.n = 31, r->against.ratio = 0.932, r->against.low = 0.9301, r->against.high = 0.9349;
}

fl4_status __wrap_fl4_tune(fl4_context *ctx, const fl4_problem *problem, const fl4_tune_options *options,
                           fl4_tune_report *report)
{
  fl4_tune_options mine = *options;
  if (is("early") && takes_one()) raise(SIGKILL);
  given = options;
  const int chosen = !*setting("MORTAL_SQ") || problem->Sq == atoi(setting("MORTAL_SQ"));
  if (chosen && (is("crash") || is("exit") || is("hang") || is("device"))) mine.progress = on_progress;
  device_died = 0;
  fl4_status status = __real_fl4_tune(ctx, problem, &mine, report);
  if (is("dress")) dress(report);
  return device_died ? FL4_DEVICE_ERROR : status;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fl4_tune(): asks the search for points, has their kernels built ahead, evaluates them in the order asked,
 * tells the search what they cost; at the end the final, the report and wisdom.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "context.h"
#include "error.h"
#include "tune/tuner.h"
#include "util/os.h"
#include "wisdom.h"

enum { STALE = 128, TICK_MS = 100 };

/* ---------------------------------------------------------------- progress */

void fl4__tune_tick(fl4_tuner *t, const char *phase, bool now)
{
  const bool other = phase != t->phase;
  t->phase = phase;
  if (!t->options.progress) return;
  const double ms = fl4__now_ms();
  if (!now && !other && ms - t->told_ms < TICK_MS) return;
  t->told_ms = ms;
  const fl4_tune_progress progress = {
      .struct_size = sizeof progress,
      .phase = phase,
      .evaluations = t->n_tried,
      .most = t->most,
      .seconds = t->seconds + 1e-3 * (ms - t->start_ms),
      .latest = t->n_tried > 0 ? &t->tried[t->n_tried - 1].result : NULL,
      .best = t->best >= 0 ? &t->tried[t->best].result : NULL,
  };
  if (t->options.progress(&progress, t->options.progress_user) != 0) t->cancel = true;
}

fl4_status fl4__tune_cancelled(const fl4_tuner *t)
{
  return fl4__fail(FL4_CANCELLED, "fl4_tune: the progress callback cancelled after %d evaluations, %s", (int)t->n_tried,
                   t->phase ? t->phase : "before the first");
}

/* Entrants tell their benchmark where they are. An evaluation that has begun is brought to its end. */
static int on_bench_progress(const fl4_bench_progress *progress, void *user)
{
  (void)progress;
  fl4__tune_tick(user, "searching", false);
  return 0;
}

/* The time between these is the tuning's. */
static void clock_in(fl4_tuner *t)
{
  t->start_ms = fl4__now_ms();
  t->cancel = false;
}

static void clock_out(fl4_tuner *t)
{
  t->seconds += 1e-3 * (fl4__now_ms() - t->start_ms);
}

/* ---------------------------------------------------------------- what is known */

/* The fastest; of equals the one tried first. */
static void find_best(fl4_tuner *t)
{
  t->best = -1;
  for (int64_t i = 0; i < t->n_tried; i++) {
    const fl4_tune_candidate *r = &t->tried[i].result;
    if (r->invalidity != FL4_INVALIDITY_CORRECT) continue;
    if (t->best < 0 || r->p50 < t->tried[t->best].result.p50) t->best = i;
  }
}

/* Tells the search, and the caller, what came of the latest. */
static void tell(fl4_tuner *t)
{
  const fl4__tried *x = &t->tried[t->n_tried++];
  const bool right = x->result.invalidity == FL4_INVALIDITY_CORRECT;
  fl4__search_tell(&t->search, x->point, right ? x->result.p50 : (double)INFINITY);
  if (right && (t->best < 0 || x->result.p50 < t->tried[t->best].result.p50)) {
    t->best = t->n_tried - 1;
    t->best_at = t->n_tried;
  }
}

fl4_status fl4__tune_disqualify(fl4_tuner *t, int64_t tried, fl4_invalidity how, const char *why)
{
  for (int64_t i = 0; i < t->n_tried; i++) {
    fl4_tune_candidate *r = &t->tried[i].result;
    if (i != tried && r->same_as != tried) continue;
    r->invalidity = how;
    r->p50 = r->p50_low = r->p50_high = (double)NAN;
    snprintf(r->error, sizeof r->error, "%.*s", (int)sizeof r->error - 1, why);
    if (t->log) FL4_TRY(fl4__tune_log_end(t->log, r, NULL, 0));
  }
  find_best(t);
  return FL4_OK;
}

/* ---------------------------------------------------------------- the log */

/* An outcome of an earlier call with this log, to be told when the search asks for it. The last one counts. */
static fl4_status take_earlier(const fl4_tune_candidate *candidate, void *user)
{
  fl4_tuner *t = user;
  fl4__variant variant;
  if (fl4__variant_parse(candidate->variant, &variant) != FL4_OK) return FL4_OK;
  const int64_t point = fl4__family_space_find(&t->family, &variant);
  const bool timed = isfinite(candidate->p50) && candidate->p50 >= 0;
  if (point < 0 || (candidate->invalidity == FL4_INVALIDITY_CORRECT && !timed)) return FL4_OK;
  if (t->earlier_of[point] < 0) t->earlier_of[point] = t->n_earlier++;
  t->earlier[t->earlier_of[point]] = *candidate;
  return FL4_OK;
}

static fl4_status open_log(fl4_tuner *t)
{
  if (!t->options.log) return FL4_OK;
  const size_t n = (size_t)t->family.space.n_points;
  t->earlier = malloc(n * sizeof *t->earlier);
  t->earlier_of = malloc(n * sizeof *t->earlier_of);
  if (!t->earlier || !t->earlier_of)
    return fl4__fail(FL4_OUT_OF_MEMORY, "fl4_tune: no memory for the log's %zu candidates", n);
  for (size_t i = 0; i < n; i++) t->earlier_of[i] = -1;

  fl4__tune_subject subject = {.family = t->family.family, .cold = t->options.cold};
  FL4_TRY(fl4_problem_format(&t->problem, subject.problem, sizeof subject.problem));
  fl4__device_key(&t->family.device, subject.device);
  subject.space_hash = fl4__space_hash(t->family.family);
  subject.source_hash = fl4__source_hash(t->family.family);
  snprintf(subject.mode, sizeof subject.mode, "%s", fl4_bench_mode_name(t->mode));
  snprintf(subject.inputs, sizeof subject.inputs, "%s", fl4_inputs_name((fl4_inputs)t->options.inputs));
  return fl4__tune_log_open(t->options.log, &subject, take_earlier, t, &t->log);
}

/* What the log says of a point; the numbers are those of this call. */
static void take_from_log(fl4_tuner *t, fl4__tried *x)
{
  const int32_t evaluation = x->result.evaluation;
  x->result = t->earlier[t->earlier_of[x->point]];
  x->result.evaluation = evaluation;
  if (x->result.same_as < 0) return;
  x->result.same_as = -1;
  for (int64_t i = 0; i < t->n_tried && x->result.same_as < 0; i++)
    if (t->tried[i].result.kernel_hash == x->result.kernel_hash && t->tried[i].result.same_as < 0 &&
        memcmp(&t->tried[i].geometry, &x->geometry, sizeof x->geometry) == 0)
      x->result.same_as = t->tried[i].result.evaluation;
}

/* ---------------------------------------------------------------- a point */

static void variant_of(const fl4_tuner *t, int64_t point, fl4__variant *variant)
{
  if (point == t->first[0])
    *variant = t->choice; /* as it is, though another may stand for it in the space */
  else
    fl4__family_space_variant(&t->family, point, variant);
}

/* The next points: all that the log does not know are built ahead. */
static void ask(fl4_tuner *t)
{
  fl4__build builds[FL4__BATCH];
  int n = 0;
  const int64_t left = t->most - t->n_tried;
  t->at_batch = 0;
  t->n_batch = fl4__search_ask(&t->search, (int)fl4__min64(left, FL4__BATCH), t->batch);
  for (int i = 0; i < t->n_batch; i++) {
    t->job_of[i] = -1;
    if (t->earlier_of && t->earlier_of[t->batch[i]] >= 0) continue;
    fl4__variant variant;
    variant_of(t, t->batch[i], &variant);
    fl4__build_from(&variant, &t->family.problem, t->ctx->device->config.debug, &builds[n]);
    t->job_of[i] = n++;
  }
  fl4__compiler_begin(t->compiler, builds, n);
}

/* The kernel, built meanwhile, of what was asked for in this order: whichever is ready first. */
static fl4_status wait_for_kernel(fl4_tuner *t, fl4__job *job)
{
  while (!fl4__compiler_wait(t->compiler, t->job_of[t->at_batch], TICK_MS, job)) {
    fl4__tune_tick(t, "compiling", false);
    if (t->cancel) return fl4__tune_cancelled(t);
  }
  return FL4_OK;
}

static void begin_point(fl4_tuner *t, int64_t point, fl4__tried *x)
{
  const double unknown = (double)NAN;
  memset(x, 0, sizeof *x);
  x->point = point;
  variant_of(t, point, &x->variant);
  x->variant.family->geometry(&x->variant, &t->family.problem, &t->family.device, &x->geometry);
  x->result = (fl4_tune_candidate)FL4_TUNE_CANDIDATE_INIT;
  fl4__variant_format(&x->variant, x->result.variant);
  x->result.evaluation = (int32_t)t->n_tried;
  x->result.same_as = -1;
  x->result.p50 = x->result.p50_low = x->result.p50_high = x->result.max_error = unknown;
}

/* *fresh: it was evaluated, and not known from the log. */
static fl4_status try_point(fl4_tuner *t, bool *fresh)
{
  fl4__tried *x = &t->tried[t->n_tried];
  begin_point(t, t->batch[t->at_batch], x);
  *fresh = t->job_of[t->at_batch] >= 0;
  if (!*fresh) {
    take_from_log(t, x);
    t->resumed++;
  } else {
    fl4__job job;
    FL4_TRY(wait_for_kernel(t, &job));
    FL4_TRY(fl4__evaluate(t, &job, x));
    t->compile_ms += job.ms;
    t->evaluated++;
  }
  t->at_batch++;
  tell(t);
  return FL4_OK;
}

/* ---------------------------------------------------------------- steps */

static fl4_tune_stop reason_to_stop(const fl4_tuner *t, double seconds)
{
  const bool all = t->options.budget == FL4_TUNE_EXHAUSTIVE || strcmp(t->strategy->name, "exhaustive") == 0;
  if (t->options.target_us > 0 && t->best >= 0 && t->tried[t->best].result.p50 <= t->options.target_us)
    return FL4_TUNE_STOP_TARGET;
  if (t->n_tried >= t->family.space.n_points) return FL4_TUNE_STOP_SPACE;
  if (t->n_tried >= t->most) return FL4_TUNE_STOP_EVALUATIONS;
  if (t->options.max_seconds > 0 && seconds >= t->options.max_seconds) return FL4_TUNE_STOP_SECONDS;
  if (!all && t->best >= 0 && t->n_tried - t->best_at >= STALE) return FL4_TUNE_STOP_STALE;
  return FL4_TUNE_STOP_NONE;
}

/* Points until one is not known from the log. *done as fl4_tune_step() says. */
static fl4_status step(fl4_tuner *t, int32_t *done)
{
  for (bool fresh = false; !fresh;) {
    t->stop = reason_to_stop(t, t->seconds + 1e-3 * (fl4__now_ms() - t->start_ms));
    if (t->stop != FL4_TUNE_STOP_NONE) break;
    if (t->at_batch == t->n_batch) ask(t);
    if (t->n_batch == 0) {
      t->stop = FL4_TUNE_STOP_SPACE; /* the strategy has no more questions */
      break;
    }
    FL4_TRY(try_point(t, &fresh));
    fl4__tune_tick(t, "searching", true);
    if (t->cancel) return fl4__tune_cancelled(t);
  }
  if (t->stop == FL4_TUNE_STOP_NONE) t->stop = reason_to_stop(t, t->seconds + 1e-3 * (fl4__now_ms() - t->start_ms));
  *done = t->stop != FL4_TUNE_STOP_NONE;
  return FL4_OK;
}

fl4_status fl4_tune_step(fl4_tuner *tuner, int32_t *done)
{
  if (!tuner) return fl4__fail(FL4_INVALID_ARGUMENT, "fl4_tune_step: tuner: is NULL, must be a tuning");
  if (!done) return fl4__fail(FL4_INVALID_ARGUMENT, "fl4_tune_step: done: is NULL, must receive whether it is done");
  *done = 0;
  clock_in(tuner);
  const fl4_status status = step(tuner, done);
  clock_out(tuner);
  if (status == FL4_CANCELLED) tuner->stop = FL4_TUNE_STOP_CANCELLED;
  return status;
}

/* ---------------------------------------------------------------- begin and end */

static fl4_status open_tuner(fl4_tuner *t, const fl4_problem *problem)
{
  fl4__device *device = t->ctx->device;
  if (!device->backend->timing)
    return fl4__fail(FL4_UNSUPPORTED, "ctx: is on the device \"%s\", on which nothing can be timed",
                     device->backend->name);
  FL4_TRY(fl4__tune_subject_open(t, problem));
  FL4_TRY(open_log(t));
  t->tried = malloc((size_t)t->family.space.n_points * sizeof *t->tried);
  if (!t->tried) return fl4__fail(FL4_OUT_OF_MEMORY, "no memory for %d candidates", (int)t->family.space.n_points);
  t->bench.ctx = t->ctx;
  t->bench.options = (fl4_bench_options)FL4_BENCH_OPTIONS_INIT;
  t->bench.options.mode = t->mode, t->bench.options.cold = t->options.cold;
  t->bench.options.progress = on_bench_progress, t->bench.options.progress_user = t;
  FL4_TRY(fl4__search_open(&t->search, &t->family.space, t->strategy, t->options.seed, t->first, t->n_first));
  t->searching = true;
  /* Nothing is compiled without a source. */
  return fl4__compiler_open(device, t->family.family->source ? t->options.compile_threads : 0, &t->compiler);
}

static fl4_status create(fl4_context *ctx, const fl4_problem *problem, const fl4_tune_options *options,
                         const char *function, fl4_tuner **tuner)
{
  fl4_tune_options o;
  if (!ctx) return fl4__fail(FL4_INVALID_ARGUMENT, "%s: ctx: is NULL, must be a context", function);
  if (!problem) return fl4__fail(FL4_INVALID_ARGUMENT, "%s: problem: is NULL, must be a problem", function);
  FL4_TRY(fl4__tune_options_read(options, &o));
  fl4_tuner *t = calloc(1, sizeof *t);
  if (!t) return fl4__fail(FL4_OUT_OF_MEMORY, "%s: no memory for %zu bytes", function, sizeof *t);
  t->ctx = ctx, t->options = o, t->best = -1;
  clock_in(t);
  const fl4_status status = open_tuner(t, problem);
  clock_out(t);
  if (status != FL4_OK) {
    fl4_tuner_destroy(&t);
    return fl4__fail_context(status, "%s", function);
  }
  /* The caller's strings were read. */
  t->options.strategy = t->options.family = t->options.log = NULL;
  t->options.seeds = NULL;
  *tuner = t;
  return FL4_OK;
}

fl4_status fl4_tuner_create(fl4_context *ctx, const fl4_problem *problem, const fl4_tune_options *options,
                            fl4_tuner **tuner)
{
  if (!tuner) return fl4__fail(FL4_INVALID_ARGUMENT, "fl4_tuner_create: tuner: is NULL, must receive the tuning");
  *tuner = NULL;
  return create(ctx, problem, options, "fl4_tuner_create", tuner);
}

static fl4_status finish(fl4_tuner *t, fl4_tune_report *report)
{
  fl4__final final;
  clock_in(t);
  fl4__tune_tick(t, "final", true);
  fl4_status status = t->cancel ? fl4__tune_cancelled(t) : fl4__final_run(t, &final);
  if (status == FL4_OK) status = fl4__tune_wisdom_learn(t, &final);
  clock_out(t);
  if (status == FL4_CANCELLED) {
    t->stop = FL4_TUNE_STOP_CANCELLED;
    fl4__final_by_samples(t, &final);
  }
  if (status != FL4_OK && status != FL4_CANCELLED) return status;
  FL4_TRY(fl4__tune_report_write(t, &final, report));
  return status == FL4_OK ? FL4_OK : fl4__tune_cancelled(t);
}

fl4_status fl4_tuner_finish(fl4_tuner *tuner, fl4_tune_report *report)
{
  if (!tuner) return fl4__fail(FL4_INVALID_ARGUMENT, "fl4_tuner_finish: tuner: is NULL, must be a tuning");
  FL4_TRY(fl4__tune_report_check(report, "fl4_tuner_finish"));
  return finish(tuner, report);
}

void fl4_tuner_destroy(fl4_tuner **tuner)
{
  if (!tuner || !*tuner) return;
  fl4_tuner *t = *tuner;
  fl4__compiler_close(t->compiler);
  fl4__grounds_close(t);
  if (t->searching) fl4__search_close(&t->search);
  fl4__tune_log_close(t->log);
  fl4__family_space_close(&t->family);
  free(t->earlier);
  free(t->earlier_of);
  free(t->first);
  free(t->tried);
  free(t);
  *tuner = NULL;
}

fl4_status fl4_tune(fl4_context *ctx, const fl4_problem *problem, const fl4_tune_options *options,
                    fl4_tune_report *report)
{
  fl4_tuner *t = NULL;
  int32_t done = 0;
  FL4_TRY(fl4__tune_report_check(report, "fl4_tune"));
  FL4_TRY(create(ctx, problem, options, "fl4_tune", &t));
  fl4_status status = FL4_OK;
  while (status == FL4_OK && !done) status = fl4_tune_step(t, &done);
  if (status == FL4_OK) {
    status = finish(t, report);
  } else if (status == FL4_CANCELLED) {
    fl4__final by_samples;
    fl4__final_by_samples(t, &by_samples);
    status = fl4__tune_report_write(t, &by_samples, report);
    if (status == FL4_OK) status = fl4__tune_cancelled(t);
  }
  fl4_tuner_destroy(&t);
  return status;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One candidate: what it takes, whether it is right, how long it takes. It runs as the benchmark's
 * entrants do, on the caller's device with the variant forced.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "context.h"
#include "error.h"
#include "tune/race.h"
#include "tune/tuner.h"
#include "util/os.h"

/* So much faster than the best so far is suspicious. */
static const double suspicious = 0.8;

fl4_context fl4__tune_context(const fl4_tuner *t, const fl4__variant *variant)
{
  fl4_context ctx = *t->ctx;
  ctx.forced = *variant;
  ctx.capture = NULL; /* what is tuned is not what the program does */
  return ctx;
}

/* ---------------------------------------------------------------- grounds */

/*
 * A problem of the same kind that is judged in no time: the same build runs it. 640 keys and some are
 * more than any ring holds at once; what is left over at the end of a tile stays left over.
 */
static fl4_problem smaller(const fl4_problem *p)
{
  fl4_problem s = *p;
  const int64_t group = fl4__min64(p->Hq / p->Hkv, 8);
  s.B = fl4__min64(p->B, 2);
  s.Hkv = fl4__min64(p->Hkv, group > 2 ? 1 : 2);
  s.Hq = group * s.Hkv;
  s.Sk = p->Sk <= 704 ? p->Sk : 640 + p->Sk % 64;
  if (p->Sq == p->Sk)
    s.Sq = s.Sk;
  else
    s.Sq = p->Sq <= 320 ? p->Sq : 256 + p->Sq % 64;
  return s;
}

static fl4_status open_ground(fl4_tuner *t, fl4__ground *g, const fl4_problem *problem, fl4_inputs inputs, int copies)
{
  fl4__tune_tick(t, "inputs", false);
  if (t->cancel) return fl4__tune_cancelled(t);
  g->site.home = t->ctx;
  FL4_TRY(fl4__trial_open(&g->site.trial, t->ctx, problem, t->options.seed, inputs, 1));
  FL4_TRY(fl4__output_open(&g->site.trial, &g->outputs[0]));
  g->n_outputs = 1;
  /* Before there are copies: an oracle on the device needs memory too. */
  FL4_TRY(fl4__reference_open(&g->site.trial, FL4_ORACLE_AUTO, &g->reference));
  while (g->n_outputs < copies) {
    FL4_TRY(fl4__trial_set_copies(&g->site.trial, g->n_outputs + 1));
    if (g->site.trial.copies == g->n_outputs) break;
    const fl4_status status = fl4__output_open(&g->site.trial, &g->outputs[g->n_outputs]);
    if (status == FL4_OUT_OF_MEMORY) return fl4__trial_set_copies(&g->site.trial, g->n_outputs);
    FL4_TRY(status);
    g->n_outputs++;
  }
  return FL4_OK;
}

static void close_ground(fl4__ground *g)
{
  while (g->n_outputs > 0) fl4__output_close(&g->site.trial, &g->outputs[--g->n_outputs]);
  fl4__trial_close(&g->site.trial);
  fl4__reference_close(g->reference);
  memset(g, 0, sizeof *g);
}

void fl4__grounds_close(fl4_tuner *t)
{
  for (int i = 0; i < FL4__TUNE_GATES; i++) close_ground(&t->grounds[i]);
  t->has_grounds = false;
}

fl4_status fl4__grounds_open(fl4_tuner *t)
{
  if (t->has_grounds) return FL4_OK;
  const fl4_inputs timed = (fl4_inputs)t->options.inputs;
  const fl4_inputs one = timed == FL4_INPUTS_ONEHOT ? FL4_INPUTS_PEAKED : FL4_INPUTS_ONEHOT;
  const fl4_inputs two = timed == FL4_INPUTS_LARGE ? FL4_INPUTS_PEAKED : FL4_INPUTS_LARGE;
  const fl4_problem less = smaller(&t->problem);
  fl4_status status;
  FL4_TRY_GOTO(open_ground(t, &t->grounds[0], &t->problem, timed, t->options.cold ? 1 : FL4__TUNE_COPIES));
  FL4_TRY_GOTO(open_ground(t, &t->grounds[1], &less, one, 1));
  FL4_TRY_GOTO(open_ground(t, &t->grounds[2], &less, two, 1));
  t->has_grounds = true;
  return FL4_OK;
done:
  fl4__grounds_close(t);
  return status;
}

/* ---------------------------------------------------------------- running */

/* A candidate on a ground. */
typedef struct runner {
  fl4_tuner *tuner;
  fl4_context ctx;
  fl4__contender contender;
  fl4_bench_result result;
  fl4__entrant entrant;
} runner;

/* close() also after a failed open. */
static fl4_status runner_open(fl4_tuner *t, const fl4__variant *variant, fl4__ground *g, runner *r)
{
  fl4_plan_info plan;
  memset(r, 0, sizeof *r);
  r->tuner = t;
  r->ctx = fl4__tune_context(t, variant);
  r->contender.kind = FL4_CONTENDER_FORWARD;
  (void)fl4__library_open(NULL, &r->contender.library); /* this one: cannot fail */
  r->contender.ctx = &r->ctx, r->contender.home = t->ctx;
  r->result = (fl4_bench_result)FL4_BENCH_RESULT_INIT;
  fl4__entrant *e = &r->entrant;
  e->bench = &t->bench, e->contender = &r->contender, e->site = &g->site, e->result = &r->result;
  /* Timed calls write all outputs; one of them is judged, as the data are equal. */
  e->n_outputs = 1;
  for (int i = 0; i < g->n_outputs; i++) {
    e->outputs[i] = g->outputs[i];
    e->args[i] = fl4__trial_args(&g->site.trial, i, &g->outputs[i]);
  }
  return fl4__contender_prepare(&r->contender, &e->args[0], &plan);
}

static void runner_close(runner *r)
{
  r->entrant.n_outputs = 0; /* the ground's */
  fl4__entrant_close(&r->entrant);
}

static fl4_status pass_gate(fl4_tuner *t, int gate, fl4__tried *x)
{
  runner r;
  fl4_status status = runner_open(t, &x->variant, &t->grounds[gate], &r);
  if (status == FL4_OK) status = fl4__entrant_check(&r.entrant, t->grounds[gate].reference);
  /* The timed inputs' error counts, unless another one is why it is wrong. */
  if ((gate == 0 && status == FL4_OK) || status == FL4_WRONG_OUTPUT) x->result.max_error = r.result.max_error;
  runner_close(&r);
  return status;
}

static fl4_status sample(void *user, double *us)
{
  runner *r = user;
  fl4__tune_tick(r->tuner, "searching", false);
  return fl4__entrant_sample(&r->entrant, us);
}

static fl4__hurry hurry(void *user)
{
  const runner *r = user;
  if (r->tuner->cancel) return FL4__HURRY_SOME;
  return fl4__now_ms() >= r->tuner->deadline_ms ? FL4__HURRY_OVER : FL4__HURRY_NONE;
}

static fl4_status too_slow(const fl4_tuner *t, const fl4__race *race)
{
  const double us = race->us[race->n - 1];
  if (isfinite(race->best) && us > 5 * race->best)
    return fl4__fail(FL4_CANCELLED, "a call takes %.4g us, the fastest so far %.4g", us, race->best);
  return fl4__fail(FL4_CANCELLED, "a call takes %.4g us: %d of %d samples within %g s", us, race->n, FL4__RACE_LEAST,
                   t->options.time_limit);
}

/* FL4_CANCELLED: it is too slow. */
static fl4_status run_race(runner *r, fl4__race *race)
{
  const fl4_tuner *t = r->tuner;
  const fl4_tune_candidate *best = t->best >= 0 ? &t->tried[t->best].result : NULL;
  *race = (fl4__race){.best = best ? best->p50 : (double)INFINITY,
                      .best_high = best ? best->p50_high : (double)NAN,
                      .sample = sample,
                      .hurry = hurry,
                      .user = r};
  FL4_TRY(fl4__entrant_open_timer(&r->entrant));
  FL4_TRY(fl4__race_run(race));
  return race->too_slow ? too_slow(t, race) : FL4_OK;
}

/*
 * What the timed calls leave is judged if it would be the best, since timed calls may take another
 * way than the first (a graph); and what is suspiciously fast is timed again, by a new timer.
 */
static fl4_status time_it(runner *r, fl4__race *race)
{
  fl4__entrant *e = &r->entrant;
  double us;
  FL4_TRY(run_race(r, race));
  if (!(race->p50 < race->best)) return FL4_OK;
  FL4_TRY(fl4__entrant_poison(e));
  FL4_TRY(fl4__entrant_sample(e, &us));
  FL4_TRY(fl4__entrant_check_again(e, r->tuner->grounds[0].reference));
  return isfinite(race->best) && race->p50 < suspicious * race->best ? run_race(r, race) : FL4_OK;
}

/* ---------------------------------------------------------------- one candidate */

/* An earlier one of the same machine code, launched the same way. Without a source, code is the same for all. */
static const fl4__tried *twin_of(const fl4_tuner *t, const fl4__tried *x)
{
  if (!x->variant.family->source || !x->result.kernel_hash) return NULL;
  for (int64_t i = 0; i < t->n_tried; i++) {
    const fl4__tried *y = &t->tried[i];
    if (y->result.kernel_hash == x->result.kernel_hash && y->result.same_as < 0 &&
        memcmp(&y->geometry, &x->geometry, sizeof x->geometry) == 0)
      return y;
  }
  return NULL;
}

static void take_over(const fl4__tried *twin, fl4_tune_candidate *r)
{
  r->same_as = twin->result.evaluation;
  r->invalidity = twin->result.invalidity;
  r->p50 = twin->result.p50, r->p50_low = twin->result.p50_low, r->p50_high = twin->result.p50_high;
  r->samples = twin->result.samples;
  r->max_error = twin->result.max_error;
  memcpy(r->error, twin->result.error, sizeof r->error);
}

static fl4_status run_and_time(fl4_tuner *t, fl4__tried *x, fl4__race *race)
{
  for (int gate = 0; gate < FL4__TUNE_GATES; gate++) FL4_TRY(pass_gate(t, gate, x));
  runner r;
  fl4_status status = runner_open(t, &x->variant, &t->grounds[0], &r);
  if (status == FL4_OK) status = time_it(&r, race);
  runner_close(&r);
  if (status != FL4_OK) return status;
  x->result.p50 = race->p50, x->result.p50_low = race->low, x->result.p50_high = race->high;
  x->result.samples = race->n;
  return FL4_OK;
}

/* How a failure is called; CORRECT: it is not the candidate's. */
static fl4_invalidity kind_of(fl4_status status)
{
  switch (status) {
  case FL4_UNSUPPORTED: return FL4_INVALIDITY_CONSTRAINTS;
  case FL4_COMPILE_FAILED: return FL4_INVALIDITY_COMPILE;
  case FL4_DEVICE_ERROR: return FL4_INVALIDITY_RUNTIME;
  case FL4_INVARIANT_VIOLATED:
  case FL4_WRONG_OUTPUT: return FL4_INVALIDITY_CORRECTNESS;
  case FL4_CANCELLED: return FL4_INVALIDITY_TIMEOUT;
  default: return FL4_INVALIDITY_CORRECT;
  }
}

/* After a fault in a kernel a GPU may refuse everything. */
static fl4_status still_there(fl4_tuner *t, const fl4__tried *x)
{
  char why[256];
  snprintf(why, sizeof why, "%s", fl4_last_error());
  fl4__device *device = t->ctx->device;
  if (device->backend->synchronize(device) == FL4_OK) return FL4_OK;
  return fl4__fail(FL4_DEVICE_ERROR, "fl4_tune: %s took the device with it: %s", x->result.variant, why);
}

static fl4_status note(const fl4_tuner *t, const fl4_tune_candidate *r, const fl4__race *race)
{
  if (!t->log) return FL4_OK;
  return fl4__tune_log_end(t->log, r, race ? race->us : NULL, race ? race->n : 0);
}

fl4_status fl4__evaluate(fl4_tuner *t, const fl4__job *job, fl4__tried *x)
{
  fl4_tune_candidate *r = &x->result;
  fl4__race race = {.n = 0};
  r->compile_ms = job->ms;
  r->smem_bytes = x->geometry.smem_bytes;
  fl4_status status = job->status;
  if (status != FL4_OK) {
    (void)fl4__fail(status, "%s", job->error);
  } else {
    r->registers = job->kernel->registers, r->spill_bytes = job->kernel->spill_bytes;
    r->kernel_hash = job->kernel->hash;
    const fl4__tried *twin = twin_of(t, x);
    if (twin) {
      take_over(twin, r);
      return note(t, r, NULL);
    }
    FL4_TRY(fl4__grounds_open(t));
    if (t->log) FL4_TRY(fl4__tune_log_begin(t->log, r->variant, r->evaluation));
    t->deadline_ms = fl4__now_ms() + 1e3 * t->options.time_limit;
    status = run_and_time(t, x, &race);
  }
  r->invalidity = kind_of(status);
  if (status == FL4_OK) return note(t, r, &race);
  if (r->invalidity == FL4_INVALIDITY_CORRECT) return status;
  snprintf(r->error, sizeof r->error, "%.*s", (int)sizeof r->error - 1, fl4_last_error());
  const fl4_status there = still_there(t, x);
  FL4_TRY(note(t, r, NULL));
  return there;
}

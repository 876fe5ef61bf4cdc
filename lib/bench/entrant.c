/* SPDX-License-Identifier: Apache-2.0 */
/* A contender on one problem: its outputs, whether they are right, and its samples. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "bench/run.h"
#include "error.h"

static fl4__device *device_of(const fl4__entrant *e)
{
  return e->site->home->device;
}

/* ---------------------------------------------------------------- calls and outputs */

fl4_status fl4__entrant_add_output(fl4__entrant *e, int copy)
{
  if (e->contender->kind != FL4_CONTENDER_ORACLE || copy == 0) {
    FL4_TRY(fl4__output_open(&e->site->trial, &e->outputs[copy]));
    e->n_outputs = copy + 1;
  }
  e->args[copy] = fl4__trial_args(&e->site->trial, copy, &e->outputs[copy < e->n_outputs ? copy : 0]);
  return FL4_OK;
}

void fl4__entrant_remove_output(fl4__entrant *e, int copy)
{
  if (copy >= e->n_outputs) return;
  fl4__output_close(&e->site->trial, &e->outputs[copy]);
  e->n_outputs = copy;
}

fl4_status fl4__entrant_prepare(fl4__entrant *e)
{
  fl4_bench_result *r = e->result;
  fl4_plan_info plan;
  FL4_TRY(fl4__entrant_add_output(e, 0));
  FL4_TRY(fl4__contender_prepare(e->contender, &e->args[0], &plan));
  memcpy(r->variant, plan.variant, sizeof r->variant);
  r->kernel_hash = plan.kernel_hash;
  r->registers = plan.registers;
  r->spill_bytes = plan.spill_bytes;
  r->smem_bytes = plan.smem_bytes;
  r->blocks = plan.blocks;
  return FL4_OK;
}

static fl4_status run(void *user, int call, fl4_stream stream)
{
  fl4__entrant *e = user;
  return fl4__contender_run(e->contender, &e->args[call % e->site->trial.copies], stream);
}

void fl4__entrant_close(fl4__entrant *e)
{
  device_of(e)->backend->timing->close(e->timer);
  e->timer = NULL;
  fl4__contender_rest(e->contender);
  while (e->n_outputs > 0) fl4__entrant_remove_output(e, e->n_outputs - 1);
}

/* ---------------------------------------------------------------- right or wrong */

static fl4_status wrong(const fl4_check_result *r, const char *when)
{
  char where[128];
  snprintf(where, sizeof where, "[%" PRId64 ", %" PRId64 ", %" PRId64 ", %" PRId64 "] is %g, must be %g", r->worst[0],
           r->worst[1], r->worst[2], r->worst[3], r->worst_out, r->worst_ref);
  if (!r->finite) return fl4__fail(FL4_WRONG_OUTPUT, "wrong output: NaN or infinity, %s; %s timing", where, when);
  if (!r->accurate && r->max_error > r->max_allowed)
    return fl4__fail(FL4_WRONG_OUTPUT, "wrong output: max error %.3g, allowed %.3g: %s; %s timing", r->max_error,
                     r->max_allowed, where, when);
  if (!r->accurate)
    return fl4__fail(FL4_WRONG_OUTPUT, "wrong output: mean error %.3g, allowed %.3g; %s timing", r->mean_error,
                     r->mean_allowed, when);
  if (!r->lse_accurate)
    return fl4__fail(FL4_WRONG_OUTPUT, "wrong output: max error of the LSE %.3g, allowed %.3g; %s timing", r->lse_error,
                     r->lse_allowed, when);
  return fl4__fail(FL4_WRONG_OUTPUT, "wrong output: something was written outside O and LSE; %s timing", when);
}

/* The first `n` outputs. *last: the verdict on the wrong one, else on the last, with the worst error of all. */
static fl4_status judge(fl4__entrant *e, const fl4__reference *reference, int n, const char *when,
                        fl4_check_result *last)
{
  double max_error = 0;
  FL4_TRY(fl4__contender_collect(e->contender, &e->site->trial, &e->outputs[0]));
  for (int i = 0; i < n; i++) {
    FL4_TRY(fl4__bench_tick(e->bench, "checking"));
    FL4_TRY(fl4__output_judge(&e->site->trial, &e->outputs[i], reference, last));
    last->max_error = max_error = fmax(max_error, last->max_error);
    if (!last->passed) return wrong(last, when);
  }
  return FL4_OK;
}

fl4_status fl4__entrant_check(fl4__entrant *e, const fl4__reference *reference)
{
  for (int i = 0; i < e->n_outputs; i++) FL4_TRY(fl4__output_poison(&e->site->trial, &e->outputs[i]));
  for (int i = 0; i < e->n_outputs; i++) {
    FL4_TRY(fl4__bench_tick(e->bench, "checking"));
    FL4_TRY(fl4__contender_run(e->contender, &e->args[i], NULL));
    FL4_TRY(device_of(e)->backend->synchronize(device_of(e)));
  }
  fl4_check_result verdict = FL4_CHECK_RESULT_INIT;
  const fl4_status status = judge(e, reference, e->n_outputs, "before", &verdict);
  if (verdict.oracle[0]) {
    e->result->max_error = verdict.max_error;
    e->result->max_allowed = verdict.max_allowed;
    memcpy(e->result->oracle, verdict.oracle, sizeof e->result->oracle);
  }
  return status;
}

/* Calls of a sample go through the sets in turn, so few calls leave some of them out. */
static int timed_outputs(const fl4__entrant *e)
{
  return e->n_outputs < e->work.calls ? e->n_outputs : e->work.calls;
}

fl4_status fl4__entrant_poison(fl4__entrant *e)
{
  for (int i = 0; i < timed_outputs(e); i++) FL4_TRY(fl4__output_poison(&e->site->trial, &e->outputs[i]));
  return FL4_OK;
}

fl4_status fl4__entrant_check_again(fl4__entrant *e, const fl4__reference *reference)
{
  fl4_check_result verdict = FL4_CHECK_RESULT_INIT;
  FL4_TRY(judge(e, reference, timed_outputs(e), "after", &verdict));
  e->result->checked = 1;
  return FL4_OK;
}

fl4_status fl4__entrant_fail(fl4__entrant *e, fl4_status status)
{
  if (status == FL4_CANCELLED) return status;
  fl4__result_drop(e->result, status);
  if (status != FL4_DEVICE_ERROR) return FL4_OK;
  /* Was it this call alone? After a fault in a kernel a GPU refuses everything. */
  if (device_of(e)->backend->synchronize(device_of(e)) == FL4_OK) return FL4_OK;
  return fl4__fail(status, "%s: %s", e->result->name, e->result->error);
}

/* ---------------------------------------------------------------- time */

static fl4_status open_timer(fl4__entrant *e, int calls)
{
  const fl4__timing *timing = device_of(e)->backend->timing;
  const fl4_bench_options *o = &e->bench->options;
  const bool cuda = device_of(e)->info.kind == FL4_DEVICE_CUDA;
  const fl4_bench_mode mode = o->mode != FL4_BENCH_AUTO ? (fl4_bench_mode)o->mode
                              : cuda                    ? FL4_BENCH_GRAPH
                                                        : FL4_BENCH_EAGER;
  fl4_bench_mode used = mode;
  timing->close(e->timer);
  e->timer = NULL;
  e->work = (fl4__work){.run = run, .user = e, .calls = calls};
  e->work.waits = e->contender->kind == FL4_CONTENDER_ORACLE || device_of(e)->config.debug;
  FL4_TRY(timing->open(device_of(e), &e->work, mode, o->cold != 0, &used, &e->timer));
  e->result->mode = used;
  e->result->calls = calls;
  e->result->copies = calls < e->site->trial.copies ? calls : e->site->trial.copies;
  return FL4_OK;
}

/* So many calls that clocks and launches do not show, and each set as often as the others if that is not long. */
static int calls_for(double us, int copies, double sample_us)
{
  const double longest_us = 10e3;
  const int most = FL4__BENCH_MAX_CALLS / copies * copies;
  const double wanted = ceil(sample_us / fmax(us, 1e-3));
  if (wanted >= most) return most;
  const int calls = wanted < 1 ? 1 : (int)wanted, turns = (calls + copies - 1) / copies * copies;
  return turns * us > longest_us ? calls : turns;
}

fl4_status fl4__entrant_open_timer(fl4__entrant *e)
{
  const double sample_us = device_of(e)->info.kind == FL4_DEVICE_CUDA ? 300 : 200;
  const int copies = e->site->trial.copies;
  int calls = 1;
  for (int attempt = 0;; attempt++) {
    double us, again;
    FL4_TRY(open_timer(e, calls));
    FL4_TRY(fl4__bench_tick(e->bench, "warming up"));
    if (e->bench->options.cold) return FL4_OK;
    FL4_TRY(fl4__entrant_sample(e, &us));
    /* Few calls look slower than many: what is around them counts too. So look again with more. */
    if (us * calls < 10e3) {
      FL4_TRY(fl4__entrant_sample(e, &again));
      us = fmin(us, again);
    }
    const int better = calls_for(us, copies, sample_us);
    if (better <= calls || attempt == 3) return FL4_OK;
    calls = better;
  }
}

fl4_status fl4__entrant_sample(fl4__entrant *e, double *us)
{
  return device_of(e)->backend->timing->sample(e->timer, us);
}

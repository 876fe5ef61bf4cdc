/* SPDX-License-Identifier: Apache-2.0 */
/* fl4_check(): one problem, run for real on the context's device and judged by the oracles. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "context.h"
#include "error.h"
#include "oracle/trial.h"

typedef struct session {
  fl4_context *ctx;
  fl4_check_options options;
  fl4__trial trial;
  fl4__output output;
  fl4__reference *reference;
  char *first; /* the first run's output, and its LSE behind it */
  fl4_attention_args args;
} session;

static fl4_status allocate(void **memory, size_t bytes)
{
  *memory = malloc(bytes ? bytes : 1);
  return *memory ? FL4_OK : fl4__fail(FL4_OUT_OF_MEMORY, "fl4_check: no memory for %zu bytes", bytes);
}

static fl4_status describe(session *s, fl4_check_result *result)
{
  fl4_plan_info plan = FL4_PLAN_INFO_INIT;
  FL4_TRY(fl4_attention_plan_info(s->ctx, &s->args, &plan));
  memcpy(result->variant, plan.variant, sizeof result->variant);
  result->build_ms = (double)plan.build_ms;
  result->origin = plan.origin;
  result->registers = plan.registers;
  result->spill_bytes = plan.spill_bytes;
  result->smem_bytes = plan.smem_bytes;
  return FL4_OK;
}

/* One run into poisoned memory. */
static fl4_status run_once(const session *s)
{
  fl4__device *device = s->ctx->device;
  FL4_TRY(fl4__output_poison(&s->trial, &s->output));
  FL4_TRY(fl4_attention_forward(s->ctx, &s->args, NULL));
  return device->backend->synchronize(device);
}

/* Runs again: the bits must be those of the first run, which the judge brought to this machine. */
static fl4_status run_again(session *s, fl4_check_result *result)
{
  fl4__device *device = s->ctx->device;
  const fl4__trial *t = &s->trial;
  FL4_TRY(allocate((void **)&s->first, t->output_bytes + t->lse_bytes));
  memcpy(s->first, t->output, t->output_bytes);
  memcpy(s->first + t->output_bytes, t->lse, t->lse_bytes);
  FL4_TRY(run_once(s));
  FL4_TRY(device->backend->download(device, t->output, s->output.o, t->output_bytes));
  FL4_TRY(device->backend->download(device, t->lse, s->output.lse, t->lse_bytes));
  result->deterministic = memcmp(s->first, t->output, t->output_bytes) == 0 &&
                          memcmp(s->first + t->output_bytes, t->lse, t->lse_bytes) == 0;
  return FL4_OK;
}

/* ---------------------------------------------------------------- timing */

static fl4_status run_timed(void *user, int call, fl4_stream stream)
{
  const session *s = user;
  (void)call;
  return fl4_attention_forward(s->ctx, &s->args, stream);
}

static int by_value(const void *a, const void *b)
{
  const double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

/* Each call by itself, by the device's clock. Where nothing can be timed, as on the emulator: 0. */
static fl4_status time_calls(session *s, double *median_us)
{
  const int n = s->options.timed_calls;
  fl4__device *device = s->ctx->device;
  const fl4__timing *timing = device->backend->timing;
  if (!timing || n == 0) return FL4_OK;
  const fl4__work work = {.run = run_timed, .user = s, .calls = 1, .waits = device->config.debug};
  const fl4_bench_mode mode = device->info.kind == FL4_DEVICE_CUDA ? FL4_BENCH_EVENTS : FL4_BENCH_EAGER;
  fl4_bench_mode used;
  fl4__timer *timer = NULL;
  double *us;
  fl4_status status;
  FL4_TRY(allocate((void **)&us, (size_t)n * sizeof *us));
  FL4_TRY_GOTO(timing->open(device, &work, mode, false, &used, &timer));
  for (int i = 0; i < n; i++) FL4_TRY_GOTO(timing->sample(timer, &us[i]));
  qsort(us, (size_t)n, sizeof *us, by_value);
  *median_us = n % 2 ? us[n / 2] : (us[n / 2 - 1] + us[n / 2]) / 2;
done:
  timing->close(timer);
  free(us);
  return status;
}

/* ---------------------------------------------------------------- the check */

static fl4_status check(session *s, const fl4_problem *problem, fl4_check_result *result)
{
  FL4_TRY(fl4__trial_open(&s->trial, s->ctx, problem, s->options.seed, (fl4_inputs)s->options.inputs, 1));
  FL4_TRY(fl4__output_open(&s->trial, &s->output));
  s->args = fl4__trial_args(&s->trial, 0, &s->output);
  FL4_TRY(describe(s, result));
  FL4_TRY(run_once(s));
  FL4_TRY(fl4__reference_open(&s->trial, (fl4_oracle)s->options.oracle, &s->reference));
  FL4_TRY(fl4__output_judge(&s->trial, &s->output, s->reference, result));
  FL4_TRY(run_again(s, result));
  result->passed = result->passed && result->deterministic;
  return time_calls(s, &result->time_us);
}

static void tear_down(session *s)
{
  fl4__reference_close(s->reference);
  if (s->trial.ctx) fl4__output_close(&s->trial, &s->output);
  fl4__trial_close(&s->trial);
  free(s->first);
}

static fl4_status read_options(const fl4_check_options *given, fl4_check_options *o)
{
  *o = (fl4_check_options)FL4_CHECK_OPTIONS_INIT;
  if (given) FL4_TRY(fl4__struct_read(o, sizeof *o, given, "fl4_check_options"));
  if (o->inputs < 0 || o->inputs >= FL4_INPUTS_COUNT)
    return fl4__fail(FL4_INVALID_ARGUMENT, "fl4_check_options.inputs: is %d, must be from 0 to %d", o->inputs,
                     FL4_INPUTS_COUNT - 1);
  if (o->timed_calls < 0 || o->timed_calls > 1000000)
    return fl4__fail(FL4_INVALID_ARGUMENT, "fl4_check_options.timed_calls: is %d, must be from 0 to 1000000",
                     o->timed_calls);
  if (o->oracle < FL4_ORACLE_AUTO || o->oracle > FL4_ORACLE_CUBLAS)
    return fl4__fail(FL4_INVALID_ARGUMENT, "fl4_check_options.oracle: is %d, must be from 0 to %d", o->oracle,
                     FL4_ORACLE_CUBLAS);
  if (o->reserved0)
    return fl4__fail(FL4_INVALID_ARGUMENT, "fl4_check_options.reserved0: is %u, must be 0", o->reserved0);
  for (int i = 0; i < 4; i++)
    if (o->reserved[i])
      return fl4__fail(FL4_INVALID_ARGUMENT, "fl4_check_options.reserved[%d]: is %" PRIu64 ", must be 0", i,
                       o->reserved[i]);
  return FL4_OK;
}

fl4_status fl4_check(fl4_context *ctx, const fl4_problem *problem, const fl4_check_options *options,
                     fl4_check_result *result)
{
  if (!ctx) return fl4__fail(FL4_INVALID_ARGUMENT, "fl4_check: ctx: is NULL, must be a context");
  if (!problem) return fl4__fail(FL4_INVALID_ARGUMENT, "fl4_check: problem: is NULL, must be a problem");
  if (!result) return fl4__fail(FL4_INVALID_ARGUMENT, "fl4_check: result: is NULL, must receive the outcome");
  fl4_check_result out;
  FL4_TRY(fl4__struct_read(&out, sizeof out, result, "fl4_check_result"));
  memset(&out, 0, sizeof out);
  fl4_problem valid;
  session s = {.ctx = ctx};
  FL4_TRY(fl4__problem_validate(problem, &valid));
  FL4_TRY(read_options(options, &s.options));
  fl4_status status = check(&s, &valid, &out);
  tear_down(&s);
  if (status == FL4_OK) fl4__struct_write(result, &out, sizeof out);
  return status;
}

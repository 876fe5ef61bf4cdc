/* SPDX-License-Identifier: Apache-2.0 */
/* fl4_check(): one problem, run for real on the context's device and judged by the oracles. */
#include "oracle/check.h"

#include <flashl4/oracle.h>

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "context.h"
#include "error.h"

/* Multiply-adds that the fp64 oracle is given: about a second on two cores; a sample beside cuBLAS. */
static const double fp64_budget = 1 << 30, fp64_sample_budget = 1 << 27;

typedef struct session {
  fl4_context *ctx;
  fl4_problem problem;
  fl4_check_options options;
  fl4__placement placement;
  int element; /* bytes */
  size_t input_bytes, output_bytes, lse_bytes;
  char *input, *output, *again; /* on this machine */
  float *lse, *lse_again;
  void *d_input, *d_output, *d_lse;   /* on the device */
  fl4_attention_args args, host_args; /* the call; the same on this machine's copies */
} session;

static void *at(void *base, int64_t elements, int element)
{
  return base ? (char *)base + elements * element : NULL;
}

static fl4_attention_args args_on(const session *s, void *input, void *output, void *lse)
{
  const fl4_problem *p = &s->problem;
  const fl4__placement *where = &s->placement;
  fl4_attention_args a = FL4_ATTENTION_ARGS_INIT;
  a.dtype = p->dtype, a.mask = p->mask, a.scale = p->scale;
  a.B = p->B, a.Hq = p->Hq, a.Hkv = p->Hkv, a.Sq = p->Sq, a.Sk = p->Sk, a.D = p->D;
  a.q = at(input, where->q.offset, s->element);
  a.k = at(input, where->k.offset, s->element);
  a.v = at(input, where->v.offset, s->element);
  a.o = at(output, where->o.offset, s->element);
  a.lse = p->lse ? at(lse, where->lse_offset, sizeof(float)) : NULL;
  memcpy(a.q_stride, where->q.stride, sizeof a.q_stride);
  memcpy(a.k_stride, where->k.stride, sizeof a.k_stride);
  memcpy(a.v_stride, where->v.stride, sizeof a.v_stride);
  memcpy(a.o_stride, where->o.stride, sizeof a.o_stride);
  return a;
}

/* At least one byte, so that NULL always means that there was no memory. */
static fl4_status allocate(void **memory, size_t bytes)
{
  *memory = malloc(bytes ? bytes : 1);
  return *memory ? FL4_OK : fl4__fail(FL4_OUT_OF_MEMORY, "fl4_check: no memory for %zu bytes", bytes);
}

static fl4_status set_up(session *s)
{
  const fl4__device *device = s->ctx->device;
  const fl4__backend *backend = device->backend;
  s->element = fl4__dtype_size(s->problem.dtype);
  FL4_TRY(fl4__place(&s->problem, &s->placement));
  s->input_bytes = (size_t)s->placement.input_elements * (size_t)s->element;
  s->output_bytes = (size_t)s->placement.output_elements * (size_t)s->element;
  s->lse_bytes = (size_t)s->placement.lse_elements * sizeof(float);
  FL4_TRY(allocate((void **)&s->input, s->input_bytes));
  FL4_TRY(allocate((void **)&s->output, s->output_bytes));
  FL4_TRY(allocate((void **)&s->again, s->output_bytes));
  FL4_TRY(allocate((void **)&s->lse, s->lse_bytes));
  FL4_TRY(allocate((void **)&s->lse_again, s->lse_bytes));
  FL4_TRY(backend->alloc(s->ctx->device, s->input_bytes, &s->d_input));
  FL4_TRY(backend->alloc(s->ctx->device, s->output_bytes, &s->d_output));
  FL4_TRY(backend->alloc(s->ctx->device, s->lse_bytes, &s->d_lse));

  fl4__inputs_fill(&s->problem, &s->placement, s->options.seed, (fl4_inputs)s->options.inputs, s->input);
  FL4_TRY(backend->upload(s->ctx->device, s->d_input, s->input, s->input_bytes));
  s->args = args_on(s, s->d_input, s->d_output, s->d_lse);
  s->host_args = args_on(s, s->input, s->output, s->lse);
  return FL4_OK;
}

static void tear_down(session *s)
{
  const fl4__backend *backend = s->ctx->device->backend;
  backend->release(s->ctx->device, s->d_input);
  backend->release(s->ctx->device, s->d_output);
  backend->release(s->ctx->device, s->d_lse);
  free(s->input);
  free(s->output);
  free(s->again);
  free(s->lse);
  free(s->lse_again);
}

/* One run into poisoned memory, brought back. */
static fl4_status run_once(const session *s, char *output, float *lse)
{
  fl4__device *device = s->ctx->device;
  fl4__canary_fill(output, s->output_bytes);
  fl4__canary_fill(lse, s->lse_bytes);
  FL4_TRY(device->backend->upload(device, s->d_output, output, s->output_bytes));
  FL4_TRY(device->backend->upload(device, s->d_lse, lse, s->lse_bytes));
  FL4_TRY(fl4_attention_forward(s->ctx, &s->args, NULL));
  FL4_TRY(device->backend->synchronize(device));
  FL4_TRY(device->backend->download(device, output, s->d_output, s->output_bytes));
  return device->backend->download(device, lse, s->d_lse, s->lse_bytes);
}

/* ---------------------------------------------------------------- comparing */

/* Query rows that fit the budget: both ends, and a seeded choice between. NULL: all of them. */
static fl4_status sample_rows(const session *s, double budget, int64_t **rows, int64_t *n)
{
  const fl4_problem *p = &s->problem;
  const double row = (double)p->B * (double)p->Hq * (double)p->Sk * (double)p->D;
  *rows = NULL, *n = p->Sq;
  if (row * (double)p->Sq <= budget || p->Sq <= 2) return FL4_OK;
  *n = fl4__min64(fl4__max64((int64_t)(budget / row), 2), p->Sq);
  FL4_TRY(allocate((void **)rows, (size_t)*n * sizeof **rows));
  uint64_t state = s->options.seed + 1;
  for (int64_t i = 0; i < *n; i++) {
    /* One row from each of n equal parts: spread out, rising, no row twice. */
    const int64_t first = i * p->Sq / *n, next = (i + 1) * p->Sq / *n;
    state = state * 6364136223846793005u + 1442695040888963407u;
    (*rows)[i] = i == 0 ? 0 : i == *n - 1 ? p->Sq - 1 : first + (int64_t)((state >> 33) % (uint64_t)(next - first));
  }
  return FL4_OK;
}

/* References as either oracle gives them: `wide` in fp64, else fp32. */
typedef struct reference {
  const void *ref, *low, *lse;
  bool wide;
  const int64_t *rows; /* NULL: all */
  int64_t n;           /* rows of a head */
} reference;

static double element_of(const void *values, bool wide, int64_t i)
{
  return wide ? ((const double *)values)[i] : (double)((const float *)values)[i];
}

static void compare_head(const session *s, const reference *r, int64_t head, fl4__compare *c)
{
  const fl4_problem *p = &s->problem;
  const fl4__tensor *o = &s->placement.o;
  const int64_t b = head / p->Hq, h = head % p->Hq;
  for (int64_t n = 0; n < r->n; n++) {
    const int64_t i = r->rows ? r->rows[n] : n;
    const int64_t out = o->offset + b * o->stride[0] + h * o->stride[1] + i * o->stride[2];
    const int64_t ref = (head * r->n + n) * p->D;
    for (int64_t d = 0; d < p->D; d++)
      fl4__compare_add(c, (const int64_t[4]){b, h, i, d}, (double)fl4__load(s->output, p->dtype, out + d),
                       element_of(r->ref, r->wide, ref + d), element_of(r->low, r->wide, ref + d));
    if (p->lse)
      fl4__compare_lse(c, (double)s->lse[s->placement.lse_offset + head * p->Sq + i],
                       element_of(r->lse, r->wide, head * r->n + n));
  }
}

static void compare(const session *s, const reference *r, fl4_check_result *result)
{
  const int64_t heads = s->problem.B * s->problem.Hq;
  fl4__compare total;
  fl4__compare_init(&total, s->problem.dtype, s->problem.D);
#pragma omp parallel
  {
    fl4__compare part;
    fl4__compare_init(&part, s->problem.dtype, s->problem.D);
#pragma omp for schedule(dynamic)
    for (int64_t head = 0; head < heads; head++) compare_head(s, r, head, &part);
#pragma omp critical
    fl4__compare_merge(&total, &part);
  }
  fl4__compare_judge(&total, s->problem.lse != 0, result);
  result->rows_checked = heads * r->n;
}

static fl4_status check_fp64(const session *s, double budget, fl4_check_result *result)
{
  const fl4_problem *p = &s->problem;
  int64_t *rows = NULL, n = 0;
  double *values = NULL;
  fl4_status status;
  FL4_TRY_GOTO(sample_rows(s, budget, &rows, &n));
  const int64_t heads = p->B * p->Hq, elements = heads * n * p->D;
  FL4_TRY_GOTO(allocate((void **)&values, (size_t)(2 * elements + heads * n) * sizeof(double)));
  double *ref = values, *low = ref + elements, *lse = low + elements;
  FL4_TRY_GOTO(fl4_oracle_fp64(&s->host_args, rows, n, ref, low, lse));
  compare(s, &(reference){ref, low, lse, true, rows, n}, result);
  strcpy(result->oracle, rows ? "fp64, sampled rows" : "fp64");
done:
  free(rows);
  free(values);
  return status;
}

static fl4_status check_cublas(const session *s, fl4_check_result *result)
{
  const fl4_problem *p = &s->problem;
  fl4__device *device = s->ctx->device;
  const int64_t heads = p->B * p->Hq, elements = heads * p->Sq * p->D, floats = 2 * elements + heads * p->Sq;
  const size_t bytes = (size_t)floats * sizeof(float);
  float *values = NULL, *d_values = NULL;
  fl4_status status;
  FL4_TRY_GOTO(allocate((void **)&values, bytes));
  FL4_TRY_GOTO(device->backend->alloc(device, bytes, (void **)&d_values));
  FL4_TRY_GOTO(fl4_oracle_cublas(s->ctx, &s->args, d_values, d_values + elements, d_values + 2 * elements, NULL));
  FL4_TRY_GOTO(device->backend->download(device, values, d_values, bytes));
  compare(s, &(reference){values, values + elements, values + 2 * elements, false, NULL, p->Sq}, result);
  strcpy(result->oracle, "cublas");
done:
  device->backend->release(device, d_values);
  free(values);
  return status;
}

/*
 * On a GPU all of it against cuBLAS, and rows against fp64, so that a mistake which kernel and
 * cuBLAS share would still show: the verdict that counts is the first that is bad.
 */
static fl4_status check_accuracy(const session *s, fl4_check_result *result)
{
  const bool cuda = s->ctx->device->info.kind == FL4_DEVICE_CUDA;
  if (s->options.oracle == FL4_ORACLE_CUBLAS) return check_cublas(s, result);
  if (s->options.oracle == FL4_ORACLE_FP64 || !cuda) return check_fp64(s, fp64_budget, result);
  fl4_check_result by_rows = *result;
  FL4_TRY(check_cublas(s, result));
  FL4_TRY(check_fp64(s, fp64_sample_budget, &by_rows));
  const bool good = result->finite && result->accurate && result->lse_accurate;
  const bool rows_good = by_rows.finite && by_rows.accurate && by_rows.lse_accurate;
  if (good && !rows_good)
    *result = by_rows;
  else
    strcpy(result->oracle, "cublas + fp64 rows");
  return FL4_OK;
}

/* ---------------------------------------------------------------- timing */

static fl4_status run_timed(void *user)
{
  const session *s = user;
  return fl4_attention_forward(s->ctx, &s->args, NULL);
}

static int by_value(const void *a, const void *b)
{
  const double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static fl4_status time_calls(session *s, double *median_us)
{
  const int n = s->options.timed_calls;
  fl4__device *device = s->ctx->device;
  double *us;
  fl4_status status = FL4_OK;
  FL4_TRY(allocate((void **)&us, (size_t)n * sizeof *us));
  for (int i = 0; i < n; i++) FL4_TRY_GOTO(device->backend->time_us(device, run_timed, s, &us[i]));
  qsort(us, (size_t)n, sizeof *us, by_value);
  *median_us = n % 2 ? us[n / 2] : (us[n / 2 - 1] + us[n / 2]) / 2;
done:
  free(us);
  return status;
}

/* ---------------------------------------------------------------- the check */

static fl4_status check(session *s, fl4_check_result *result)
{
  FL4_TRY(set_up(s));
  fl4_plan_info plan = FL4_PLAN_INFO_INIT;
  FL4_TRY(fl4_attention_plan_info(s->ctx, &s->args, &plan));
  memcpy(result->variant, plan.variant, sizeof result->variant);
  result->build_ms = (double)plan.build_ms;
  result->origin = plan.origin;
  result->registers = plan.registers;
  result->spill_bytes = plan.spill_bytes;
  result->smem_bytes = plan.smem_bytes;

  FL4_TRY(run_once(s, s->output, s->lse));
  FL4_TRY(run_once(s, s->again, s->lse_again));
  result->deterministic = memcmp(s->output, s->again, s->output_bytes) == 0 &&
                          memcmp(s->lse, s->lse_again, s->lse_bytes) == 0;
  result->canaries = fl4__canary_check_output(&s->problem, &s->placement, s->output) < 0 &&
                     fl4__canary_check_lse(&s->problem, &s->placement, s->lse) < 0;
  FL4_TRY(check_accuracy(s, result));
  result->passed = result->finite && result->canaries && result->deterministic && result->accurate &&
                   result->lse_accurate;
  return s->options.timed_calls > 0 ? time_calls(s, &result->time_us) : FL4_OK;
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
  session s = {.ctx = ctx};
  FL4_TRY(fl4__problem_validate(problem, &s.problem));
  FL4_TRY(read_options(options, &s.options));
  fl4_status status = check(&s, &out);
  tear_down(&s);
  if (status == FL4_OK) fl4__struct_write(result, &out, sizeof out);
  return status;
}

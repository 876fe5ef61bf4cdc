/* SPDX-License-Identifier: Apache-2.0 */
/* What the oracles say of a problem, and outputs held to it. */
#include "oracle/trial.h"

#include <flashl4/oracle.h>

#include <stdlib.h>
#include <string.h>

#include "context.h"
#include "error.h"

/* Multiply-adds that the fp64 oracle is given: about a second on two cores; a sample beside cuBLAS. */
static const double fp64_budget = 1 << 30, fp64_sample_budget = 1 << 27;

/* One oracle's values, contiguous in [B][Hq][n][D]: doubles if `wide`, else floats. */
typedef struct values {
  char name[32];
  void *ref; /* the memory of all three */
  const void *low, *lse;
  bool wide;
  int64_t *rows; /* NULL: all */
  int64_t n;     /* rows of a head */
} values;

struct fl4__reference {
  int n;
  values by[2]; /* in the order in which they judge */
};

static fl4_status allocate(void **memory, size_t bytes)
{
  *memory = malloc(bytes ? bytes : 1);
  return *memory ? FL4_OK : fl4__fail(FL4_OUT_OF_MEMORY, "no memory for %zu bytes of a reference", bytes);
}

/* ---------------------------------------------------------------- references */

/* Query rows that fit the budget: both ends, and a seeded choice between. NULL: all of them. */
static fl4_status sample_rows(const fl4__trial *trial, double budget, int64_t **rows, int64_t *n)
{
  const fl4_problem *p = &trial->problem;
  const double row = (double)p->B * (double)p->Hq * (double)p->Sk * (double)p->D;
  *rows = NULL, *n = p->Sq;
  if (row * (double)p->Sq <= budget || p->Sq <= 2) return FL4_OK;
  *n = fl4__min64(fl4__max64((int64_t)(budget / row), 2), p->Sq);
  FL4_TRY(allocate((void **)rows, (size_t)*n * sizeof **rows));
  uint64_t state = trial->seed + 1;
  for (int64_t i = 0; i < *n; i++) {
    /* One row from each of n equal parts: spread out, rising, no row twice. */
    const int64_t first = i * p->Sq / *n, next = (i + 1) * p->Sq / *n;
    state = state * 6364136223846793005u + 1442695040888963407u;
    (*rows)[i] = i == 0 ? 0 : i == *n - 1 ? p->Sq - 1 : first + (int64_t)((state >> 33) % (uint64_t)(next - first));
  }
  return FL4_OK;
}

static fl4_status compute_fp64(const fl4__trial *trial, double budget, values *v)
{
  const fl4_problem *p = &trial->problem;
  const fl4_attention_args args = fl4__trial_host_args(trial);
  FL4_TRY(sample_rows(trial, budget, &v->rows, &v->n));
  const int64_t heads = p->B * p->Hq, elements = heads * v->n * p->D;
  FL4_TRY(allocate(&v->ref, (size_t)(2 * elements + heads * v->n) * sizeof(double)));
  double *ref = v->ref, *low = ref + elements, *lse = low + elements;
  v->low = low, v->lse = lse, v->wide = true;
  strcpy(v->name, v->rows ? "fp64, sampled rows" : "fp64");
  return fl4_oracle_fp64(&args, v->rows, v->n, ref, low, lse);
}

static fl4_status compute_cublas(const fl4__trial *trial, values *v)
{
  const fl4_problem *p = &trial->problem;
  fl4__device *device = trial->ctx->device;
  const fl4_attention_args args = fl4__trial_args(trial, 0, &(fl4__output){trial->output, trial->lse});
  const int64_t heads = p->B * p->Hq, elements = heads * p->Sq * p->D, floats = 2 * elements + heads * p->Sq;
  const size_t bytes = (size_t)floats * sizeof(float);
  float *d_values = NULL;
  fl4_status status;
  FL4_TRY_GOTO(allocate(&v->ref, bytes));
  FL4_TRY_GOTO(device->backend->alloc(device, bytes, (void **)&d_values));
  FL4_TRY_GOTO(fl4_oracle_cublas(trial->ctx, &args, d_values, d_values + elements, d_values + 2 * elements, NULL));
  FL4_TRY_GOTO(device->backend->download(device, v->ref, d_values, bytes));
  v->low = (float *)v->ref + elements, v->lse = (float *)v->ref + 2 * elements;
  v->n = p->Sq;
  strcpy(v->name, "cublas");
done:
  device->backend->release(device, d_values);
  return status;
}

/*
 * On a GPU all of it by cuBLAS, and rows by fp64, so that a mistake which kernel and cuBLAS share shows too. What is not dense
 * only fp64 knows.
 */
static fl4_status compute(const fl4__trial *trial, fl4_oracle oracle, fl4__reference *r)
{
  const bool cuda = trial->ctx->device->info.kind == FL4_DEVICE_CUDA;
  const bool both = oracle == FL4_ORACLE_AUTO && cuda && !trial->call.features;
  if (both || oracle == FL4_ORACLE_CUBLAS) FL4_TRY(compute_cublas(trial, &r->by[r->n++]));
  if (oracle == FL4_ORACLE_CUBLAS) return FL4_OK;
  return compute_fp64(trial, both ? fp64_sample_budget : fp64_budget, &r->by[r->n++]);
}

fl4_status fl4__reference_open(const fl4__trial *trial, fl4_oracle oracle, fl4__reference **reference)
{
  fl4__reference *r;
  *reference = NULL;
  FL4_TRY(allocate((void **)&r, sizeof *r));
  memset(r, 0, sizeof *r);
  const fl4_status status = compute(trial, oracle, r);
  if (status == FL4_OK)
    *reference = r;
  else
    fl4__reference_close(r);
  return status;
}

void fl4__reference_close(fl4__reference *reference)
{
  if (!reference) return;
  for (int i = 0; i < reference->n; i++) {
    free(reference->by[i].ref);
    free(reference->by[i].rows);
  }
  free(reference);
}

/* ---------------------------------------------------------------- judging */

static double element_of(const void *elements, bool wide, int64_t i)
{
  return wide ? ((const double *)elements)[i] : (double)((const float *)elements)[i];
}

/* Of a head; returns how many rows there are. */
static int64_t compare_head(const fl4__trial *trial, const values *v, int64_t head, fl4__compare *c)
{
  const fl4_problem *p = &trial->problem;
  const int64_t b = head / p->Hq, h = head % p->Hq;
  const fl4__sequence s = fl4__sequence_of(&trial->call, &trial->params, b);
  int64_t rows = 0;
  for (int64_t n = 0; n < v->n; n++) {
    const int64_t i = v->rows ? v->rows[n] : n, ref = (head * v->n + n) * p->D;
    if (i >= s.queries) continue;
    const int64_t out = fl4__trial_output_row(trial, &s, h, i);
    for (int64_t d = 0; d < p->D; d++)
      fl4__compare_add(c, (const int64_t[4]){b, h, i, d}, (double)fl4__load(trial->output, p->dtype, out + d),
                       element_of(v->ref, v->wide, ref + d), element_of(v->low, v->wide, ref + d));
    if (p->lse)
      fl4__compare_lse(c, (double)trial->lse[fl4__trial_lse_row(trial, &s, h, i)],
                       element_of(v->lse, v->wide, head * v->n + n));
    rows++;
  }
  return rows;
}

static void compare(const fl4__trial *trial, const values *v, fl4_check_result *result)
{
  const fl4_problem *p = &trial->problem;
  const int64_t heads = p->B * p->Hq;
  int64_t rows = 0;
  fl4__compare total;
  fl4__compare_init(&total, p->dtype, p->D);
#pragma omp parallel
  {
    fl4__compare part;
    fl4__compare_init(&part, p->dtype, p->D);
#pragma omp for schedule(dynamic) reduction(+ : rows)
    for (int64_t head = 0; head < heads; head++) rows += compare_head(trial, v, head, &part);
#pragma omp critical
    fl4__compare_merge(&total, &part);
  }
  fl4__compare_judge(&total, p->lse != 0, result);
  result->rows_checked = rows;
  strcpy(result->oracle, v->name);
}

static bool good(const fl4_check_result *result)
{
  return result->finite && result->accurate && result->lse_accurate;
}

/* Of two verdicts the one that counts is the first that is bad. */
static void accuracy(const fl4__trial *trial, const fl4__reference *r, fl4_check_result *result)
{
  compare(trial, &r->by[0], result);
  if (r->n == 1) return;
  fl4_check_result by_rows = *result;
  compare(trial, &r->by[1], &by_rows);
  if (good(result) && !good(&by_rows))
    *result = by_rows;
  else
    strcpy(result->oracle, "cublas + fp64 rows");
}

fl4_status fl4__output_judge(const fl4__trial *trial, const fl4__output *output, const fl4__reference *reference,
                             fl4_check_result *result)
{
  fl4__device *device = trial->ctx->device;
  FL4_TRY(device->backend->synchronize(device));
  FL4_TRY(device->backend->download(device, trial->output, output->o, trial->output_bytes));
  FL4_TRY(device->backend->download(device, trial->lse, output->lse, trial->lse_bytes));
  result->canaries = fl4__canary_check_output(&trial->problem, &trial->placement, trial->output) < 0 &&
                     fl4__canary_check_lse(&trial->problem, &trial->placement, trial->lse) < 0;
  accuracy(trial, reference, result);
  result->passed = result->canaries && good(result);
  return FL4_OK;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The fp64 oracle: scores, softmax, weighted sum, each in its own pass over the keys of a row. */
#include <flashl4/oracle.h>

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "oracle/check.h"
#include "oracle/sequence.h"

#ifdef _OPENMP
#include <omp.h>
#endif

typedef struct oracle {
  fl4__problem problem;
  fl4_fwd_params params; /* addresses and strides */
  double scale, softcap;
  const int64_t *rows; /* NULL: all */
  int64_t n_rows;
  double *ref, *low, *lse; /* results, or NULL */
  float *k, *v;            /* one key/value head, [Sk][D]; fp32 holds every dtype exactly */
  double *weight;          /* Sk weights for each thread */
} oracle;

/* What is done to the scores of a row beyond scale · q·k. */
typedef struct row_scores {
  double softcap;   /* 0: none */
  double slope;     /* of ALiBi */
  int64_t diagonal; /* the key from which its distance counts */
  const void *bias; /* NULL: none */
  int bias_type;
  int64_t bias_row, bias_step; /* elements */
} row_scores;

static void load_row(const oracle *o, fl4_u64 base, int64_t offset, float *to)
{
  for (int64_t d = 0; d < o->problem.D; d++)
    to[d] = fl4__load((const void *)(uintptr_t)base, o->problem.dtype, offset + d);
}

static void load_head(const oracle *o, const fl4__sequence *s, int64_t hk)
{
  const int64_t D = o->problem.D;
#pragma omp parallel for
  for (int64_t j = 0; j < s->keys; j++) {
    load_row(o, o->params.k, fl4__key_row(&o->problem, &o->params, s, o->params.k_stride, hk, j), o->k + j * D);
    load_row(o, o->params.v, fl4__key_row(&o->problem, &o->params, s, o->params.v_stride, hk, j), o->v + j * D);
  }
}

static row_scores row_scores_of(const oracle *o, const fl4__sequence *s, int64_t h, int64_t i)
{
  const fl4_fwd_params *p = &o->params;
  row_scores r = {.softcap = o->softcap, .diagonal = i + s->keys - s->queries};
  if (p->slopes)
    r.slope = (double)((const float *)(uintptr_t)p->slopes)[s->b * p->slope_stride[0] + h * p->slope_stride[1]];
  r.bias = (const void *)(uintptr_t)p->bias, r.bias_type = o->problem.bias_type;
  r.bias_row = s->b * p->bias_stride[0] + h * p->bias_stride[1] + i * p->bias_stride[2];
  r.bias_step = p->bias_stride[3];
  return r;
}

static double bias_of(const row_scores *r, int64_t j)
{
  const int64_t at = r->bias_row + j * r->bias_step;
  if (r->bias_type == FL4_BIAS_BOOL) return ((const unsigned char *)r->bias)[at] ? 0 : -INFINITY;
  return (double)fl4__load(r->bias, r->bias_type, at); /* the other types are numbered as dtypes are */
}
_Static_assert((int)FL4_BIAS_FP16 == FL4_DTYPE_FP16 && (int)FL4_BIAS_BF16 == FL4_DTYPE_BF16 &&
                   (int)FL4_BIAS_FP32 == FL4_DTYPE_FP32,
               "bias types are numbered as dtypes are");

/* The score of key j from scale · q·k. */
static double whole_score(const row_scores *r, double score, int64_t j)
{
  if (r->softcap > 0) score = r->softcap * tanh(score / r->softcap);
  if (r->slope != 0) score -= r->slope * (double)llabs(r->diagonal - j);
  if (r->bias) score += bias_of(r, j);
  return score;
}

/*
 * Each pass comes twice: in fp64 for `ref`; and for `low` as the dtype's own unfused computation does
 * it, with arithmetic in fp32 and every result rounded to the dtype.
 */

/* First pass: weight[j] = score of key first + j; returns the largest. */
static double scores(const oracle *o, const float *q, const row_scores *r, int64_t first, int64_t n, double *weight)
{
  const int64_t D = o->problem.D;
  double largest = -INFINITY;
  for (int64_t j = 0; j < n; j++) {
    const float *k = o->k + (first + j) * D;
    double sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t d = 0; d < D; d++) sum += (double)q[d] * (double)k[d];
    weight[j] = whole_score(r, sum * o->scale, first + j);
    largest = fmax(largest, weight[j]);
  }
  return largest;
}

static double scores_low(const oracle *o, const float *q, const row_scores *r, int64_t first, int64_t n, double *weight)
{
  const int64_t D = o->problem.D;
  double largest = -INFINITY;
  for (int64_t j = 0; j < n; j++) {
    const float *k = o->k + (first + j) * D;
    float sum = 0;
    for (int64_t d = 0; d < D; d++) sum += q[d] * k[d];
    weight[j] = fl4__round_to(whole_score(r, (double)(sum * (float)o->scale), first + j), o->problem.dtype);
    largest = fmax(largest, weight[j]);
  }
  return largest;
}

/* Second pass: scores become weights; returns ln Σ exp(score). The sink is one more score, −∞ if there is none. */
static double softmax(int64_t n, double largest, double sink, double *weight)
{
  largest = fmax(largest, sink);
  double total = exp(sink - largest);
  for (int64_t j = 0; j < n; j++) total += weight[j] = exp(weight[j] - largest);
  for (int64_t j = 0; j < n; j++) weight[j] /= total;
  return largest + log(total);
}

static void softmax_low(int64_t n, double largest, double sink, double *weight, int dtype)
{
  largest = fmax(largest, sink);
  float total = (float)exp(sink - largest);
  for (int64_t j = 0; j < n; j++) {
    const float w = (float)exp(weight[j] - largest);
    weight[j] = (double)w;
    total += w;
  }
  for (int64_t j = 0; j < n; j++) weight[j] = fl4__round_to((double)((float)weight[j] / total), dtype);
}

/* Third pass: the weighted sum of the values. */
static void weigh(const oracle *o, const double *weight, int64_t first, int64_t n, double *out)
{
  const int64_t D = o->problem.D;
  memset(out, 0, (size_t)D * sizeof *out);
  for (int64_t j = 0; j < n; j++) {
    const float *v = o->v + (first + j) * D;
    const double w = weight[j];
#pragma omp simd
    for (int64_t d = 0; d < D; d++) out[d] += w * (double)v[d];
  }
}

static void weigh_low(const oracle *o, const double *weight, int64_t first, int64_t n, double *out)
{
  const int64_t D = o->problem.D;
  float sum[256] = {0};
  for (int64_t j = 0; j < n; j++) {
    const float *v = o->v + (first + j) * D, w = (float)weight[j];
#pragma omp simd
    for (int64_t d = 0; d < D; d++) sum[d] += w * v[d];
  }
  for (int64_t d = 0; d < D; d++) out[d] = fl4__round_to((double)sum[d], o->problem.dtype);
}

/* A row that sees no key: nothing, or its sink. */
static void no_keys(const oracle *o, int64_t at, double lse)
{
  const int64_t D = o->problem.D;
  for (int64_t d = 0; o->ref && d < D; d++) o->ref[at * D + d] = 0;
  for (int64_t d = 0; o->low && d < D; d++) o->low[at * D + d] = 0;
  if (o->lse) o->lse[at] = lse;
}

/* Row number `r` of the wanted rows of query head h. */
static void compute_row(const oracle *o, const fl4__sequence *s, int64_t h, int64_t r, double *weight)
{
  const fl4__problem *p = &o->problem;
  const int64_t i = o->rows ? o->rows[r] : r, at = (s->b * p->Hq + h) * o->n_rows + r;
  if (i >= s->queries) return no_keys(o, at, -INFINITY);

  const double sink = o->params.sinks ? (double)((const float *)(uintptr_t)o->params.sinks)[h] : -INFINITY;
  const fl4__key_range seen = fl4__keys_seen(p, &o->params, s, i);
  const row_scores rs = row_scores_of(o, s, h, i);
  const int64_t first = seen.first, n = seen.end - seen.first;
  float q[256];
  if (n > 0) load_row(o, o->params.q, fl4__query_row(p, s, o->params.q_stride, h, i), q);
  const double largest = n > 0 ? scores(o, q, &rs, first, n, weight) : -INFINITY;
  if (largest == -INFINITY) return no_keys(o, at, sink); /* a bias may hide them all */
  if (o->ref || o->lse) {
    const double lse = softmax(n, largest, sink, weight);
    if (o->lse) o->lse[at] = lse;
    if (o->ref) weigh(o, weight, first, n, o->ref + at * p->D);
  }
  if (o->low) {
    softmax_low(n, scores_low(o, q, &rs, first, n, weight), sink, weight, p->dtype);
    weigh_low(o, weight, first, n, o->low + at * p->D);
  }
}

static int thread_count(void)
{
#ifdef _OPENMP
  return omp_get_max_threads();
#else
  return 1;
#endif
}

static int thread_number(void)
{
#ifdef _OPENMP
  return omp_get_thread_num();
#else
  return 0;
#endif
}

/* All query heads that share a key/value head. */
static void compute_group(const oracle *o, const fl4__sequence *s, int64_t hk, int threads)
{
  const int64_t group = o->problem.Hq / o->problem.Hkv, n = o->n_rows;
  load_head(o, s, hk);
  (void)threads;
#pragma omp parallel for schedule(dynamic, 4) num_threads(threads)
  for (int64_t t = 0; t < group * n; t++)
    compute_row(o, s, hk * group + t / n, t % n, o->weight + o->problem.Sk * thread_number());
}

static fl4_status compute(oracle *o)
{
  const fl4__problem *p = &o->problem;
  if (p->B == 0 || o->n_rows == 0 || (!o->ref && !o->low && !o->lse)) return FL4_OK;
  const int threads = thread_count();
  const size_t Sk = (size_t)p->Sk, D = (size_t)p->D;
  const size_t bytes = Sk * ((size_t)threads * sizeof(double) + 2 * D * sizeof(float)); /* Sk < 2^31: no overflow */
  double *memory = malloc(bytes ? bytes : 1);
  if (!memory) return fl4__fail(FL4_OUT_OF_MEMORY, "fl4_oracle_fp64: no memory for %zu bytes", bytes);
  o->weight = memory;
  o->k = (float *)(memory + Sk * (size_t)threads), o->v = o->k + Sk * D;
  for (int64_t b = 0; b < p->B; b++) {
    const fl4__sequence s = fl4__sequence_of(p, &o->params, b);
    for (int64_t hk = 0; hk < p->Hkv; hk++) compute_group(o, &s, hk, threads);
  }
  free(memory);
  return FL4_OK;
}

/* Only what is read must be there: the output is not. */
static fl4_status check_pointers(const oracle *o)
{
  const fl4__problem *p = &o->problem;
  if (p->B == 0 || o->n_rows == 0 || p->Sk == 0) return FL4_OK;
  const bool paged = p->features & FL4__FEATURE_PAGED;
  const char *missing = !o->params.q                      ? "q"
                        : !o->params.k                    ? "k"
                        : !o->params.v                    ? "v"
                        : paged && !o->params.block_table ? "block_table"
                                                          : NULL;
  if (!missing) return FL4_OK;
  return fl4__fail(FL4_INVALID_ARGUMENT, "fl4_oracle_fp64: args->%s: is NULL, must point to its memory", missing);
}

static fl4_status check_rows(const oracle *o)
{
  if (o->n_rows < 0)
    return fl4__fail(FL4_INVALID_ARGUMENT, "fl4_oracle_fp64: n_rows: is %" PRId64 ", must not be negative", o->n_rows);
  for (int64_t r = 0; o->rows && r < o->n_rows; r++)
    if (o->rows[r] < 0 || o->rows[r] >= o->problem.Sq)
      return fl4__fail(FL4_INVALID_ARGUMENT,
                       "fl4_oracle_fp64: rows[%" PRId64 "]: is %" PRId64 ", must be from 0 to Sq - 1 = %" PRId64, r,
                       o->rows[r], o->problem.Sq - 1);
  return FL4_OK;
}

fl4_status fl4_oracle_fp64(const fl4_attention_args *args, const int64_t *rows, int64_t n_rows, double *ref,
                           double *low, double *lse)
{
  if (!args) return fl4__fail(FL4_INVALID_ARGUMENT, "fl4_oracle_fp64: args: is NULL, must point to the arguments");
  fl4_attention_args a;
  FL4_TRY(fl4__struct_read(&a, sizeof a, args, "fl4_attention_args"));
  oracle o = {.rows = rows, .ref = ref, .low = low, .lse = lse};
  FL4_TRY(fl4__problem_from_args(&a, FL4__NEED_SHAPE, &o.problem, &o.params));
  o.n_rows = rows ? n_rows : o.problem.Sq;
  FL4_TRY(check_rows(&o));
  FL4_TRY(check_pointers(&o));
  o.softcap = (double)a.softcap;
  o.scale = a.scale != 0 ? (double)a.scale : 1 / sqrt((double)o.problem.D);
  return compute(&o);
}

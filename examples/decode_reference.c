/* SPDX-License-Identifier: Apache-2.0 */
#include "decode_reference.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void *or_die(void *memory)
{
  if (memory) return memory;
  fputs("out of memory\n", stderr);
  exit(EXIT_FAILURE);
}

void fl4(fl4_status status)
{
  if (status == FL4_OK) return;
  fprintf(stderr, "%s: %s\n", fl4_status_name(status), fl4_last_error());
  exit(EXIT_FAILURE);
}

/* ---------------------------------------------------------------- bfloat16: the upper half of a float */

static float from_bf16(uint16_t x)
{
  const uint32_t bits = (uint32_t)x << 16;
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

static uint16_t to_bf16(float x)
{
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16); /* to nearest, to even between two */
}

/* ---------------------------------------------------------------- tokens */

/* Numbers of mean 0 and variance 1. */
static uint16_t *random_rows(size_t n, uint64_t state)
{
  uint16_t *rows = or_die(malloc((n ? n : 1) * sizeof *rows));
  for (size_t i = 0; i < n; i++) {
    double sum = -6;
    for (int k = 0; k < 12; k++) {
      state = state * 6364136223846793005u + 1442695040888963407u;
      sum += (double)(state >> 40) * 0x1p-24;
    }
    rows[i] = to_bf16((float)sum);
  }
  return rows;
}

reference reference_of(const model *m, int steps)
{
  reference r = {.m = *m};
  const size_t angles = (size_t)(m->capacity * m->D / 2);
  r.first = or_die(calloc((size_t)m->B + 1, sizeof *r.first));
  for (int b = 0; b < m->B; b++) r.first[b + 1] = r.first[b] + m->longest - b * m->longest / (2 * m->B);
  r.prompt = random_rows((size_t)(r.first[m->B] * token_size(m)), 1);
  r.steps = random_rows((size_t)(steps * m->B * token_size(m)), 2);
  r.cosine = or_die(malloc(angles * sizeof *r.cosine)), r.sine = or_die(malloc(angles * sizeof *r.sine));
  for (int position = 0; position < m->capacity; position++)
    for (int i = 0; i < m->D / 2; i++) {
      const double angle = position * pow(10000, -2.0 * i / m->D);
      r.cosine[position * m->D / 2 + i] = (float)cos(angle), r.sine[position * m->D / 2 + i] = (float)sin(angle);
    }
  return r;
}

void reference_free(reference *r)
{
  free(r->first), free(r->prompt), free(r->steps), free(r->cosine), free(r->sine);
}

/* ---------------------------------------------------------------- what to expect */

/* The row of sequence b's token number `position`. */
static const uint16_t *row_of(const reference *r, int b, int position)
{
  const int prompt = r->first[b + 1] - r->first[b], step = position - prompt;
  if (step < 0) return r->prompt + (r->first[b] + position) * token_size(&r->m);
  return r->steps + (step * r->m.B + b) * token_size(&r->m);
}

static void turn(const reference *r, const uint16_t *x, int position, uint16_t *turned)
{
  const int half = r->m.D / 2;
  const float *c = r->cosine + position * half, *s = r->sine + position * half;
  for (int i = 0; i < half; i++) {
    const float low = from_bf16(x[i]), high = from_bf16(x[i + half]);
    turned[i] = to_bf16(low * c[i] - high * s[i]), turned[i + half] = to_bf16(low * s[i] + high * c[i]);
  }
}

/* Sequence b's last `queries` of `keys` tokens, as one call of contiguous [H][S][D] tensors. */
static fl4_attention_args sequence(const reference *r, int b, int queries, int keys)
{
  const model *m = &r->m;
  const int D = m->D;
  uint16_t *q = or_die(malloc((size_t)(m->Hq * queries * D) * sizeof *q));
  uint16_t *k = or_die(malloc((size_t)(m->Hkv * keys * D) * sizeof *k));
  uint16_t *v = or_die(malloc((size_t)(m->Hkv * keys * D) * sizeof *v));
  for (int h = 0; h < m->Hq; h++)
    for (int i = 0; i < queries; i++)
      turn(r, row_of(r, b, keys - queries + i) + h * D, keys - queries + i, q + (h * queries + i) * D);
  for (int h = 0; h < m->Hkv; h++)
    for (int j = 0; j < keys; j++) {
      turn(r, row_of(r, b, j) + (m->Hq + h) * D, j, k + (h * keys + j) * D);
      memcpy(v + (h * keys + j) * D, row_of(r, b, j) + (m->Hq + m->Hkv + h) * D, (size_t)D * sizeof *v);
    }
  fl4_attention_args a = FL4_ATTENTION_ARGS_INIT;
  a.dtype = FL4_DTYPE_BF16, a.mask = FL4_MASK_CAUSAL;
  a.B = 1, a.Hq = m->Hq, a.Hkv = m->Hkv, a.Sq = queries, a.Sk = keys, a.D = D;
  a.q = q, a.k = k, a.v = v;
  return a;
}

/* ---------------------------------------------------------------- the verdict */

enum { MOST_ROWS = 6 };

/* Errors of a call, and what bf16 itself costs: the yardstick of fl4_check(). */
typedef struct errors {
  double most, sum, low_most, low_sum, ref_most, ref_sum;
} errors;

static void compare(errors *e, double out, double ref, double low)
{
  e->most = fmax(e->most, fabs(out - ref));
  e->sum += fabs(out - ref); /* where a NaN stays */
  e->low_most = fmax(e->low_most, fabs(low - ref)), e->low_sum += fabs(low - ref);
  e->ref_most = fmax(e->ref_most, fabs(ref)), e->ref_sum += fabs(ref);
}

static bool good(const errors *e)
{
  const double epsilon = 0x1p-7; /* of bf16 */
  return e->most <= 2 * e->low_most + epsilon * e->ref_most && e->sum <= 1.5 * e->low_sum + epsilon / 2 * e->ref_sum;
}

/* Some rows of a sequence; `found` has its results, [query][head][D]. */
static void check_sequence(const reference *r, int b, int queries, int keys, const uint16_t *found, errors *e)
{
  const model *m = &r->m;
  const int n = queries < MOST_ROWS ? queries : MOST_ROWS;
  int64_t rows[MOST_ROWS];
  for (int i = 0; i < n; i++) rows[i] = n > 1 ? (int64_t)i * (queries - 1) / (n - 1) : 0;
  const fl4_attention_args a = sequence(r, b, queries, keys);
  const int size = m->Hq * n * m->D;
  double *ref = or_die(malloc((size_t)size * sizeof *ref)), *low = or_die(malloc((size_t)size * sizeof *low));
  fl4(fl4_oracle_fp64(&a, rows, n, ref, low, NULL));
  for (int i = 0; i < size; i++) {
    const int h = i / m->D / n, d = i % m->D;
    const int64_t row = rows[i / m->D % n];
    compare(e, (double)from_bf16(found[(row * m->Hq + h) * m->D + d]), ref[i], low[i]);
  }
  free(ref), free(low);
  free((void *)a.q), free((void *)a.k), free((void *)a.v);
}

int reference_check(const reference *r, const uint16_t *found, int steps)
{
  const model *m = &r->m;
  const int64_t row = (int64_t)m->Hq * m->D;
  const int checked[] = {-1, 0, 1, steps / 3, steps / 2, steps - 1}; /* the prompts are step -1 */
  int wrong = 0;
  for (size_t c = 0; c < sizeof checked / sizeof *checked; c++) {
    const int step = checked[c];
    errors e = {0};
    for (int b = 0; b < m->B; b++) {
      const int prompt = r->first[b + 1] - r->first[b], queries = step < 0 ? prompt : 1;
      const int64_t at = step < 0 ? r->first[b] : r->first[m->B] + (int64_t)step * m->B + b;
      check_sequence(r, b, queries, prompt + step + 1, found + at * row, &e);
    }
    printf("step %d: max error %.2e, of bf16 itself %.2e%s\n", step, e.most, e.low_most, good(&e) ? "" : ": WRONG");
    wrong += !good(&e);
  }
  return wrong;
}

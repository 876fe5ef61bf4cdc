/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Input data. Every element is a function of (seed, tensor, b, h, s, d) alone, so the data is the
 * same for every layout, machine and number of threads. Only +, ×, ÷ and √ are used, which IEEE 754
 * rounds alike everywhere.
 */
#include <math.h>
#include <string.h>

#include "oracle/check.h"
#include "oracle/sequence.h"

typedef enum tensor_id { Q, K, V, SINKS, BIAS, PAGES } tensor_id;

typedef struct maker {
  const fl4_problem *p;
  fl4__problem call;     /* the call that will be made */
  fl4_fwd_params params; /* on the buffer: where rows lie, and how long sequences are */
  fl4_inputs inputs;
  uint64_t seed;
  float scale;      /* softmax scale */
  int base, digits; /* of the key codes of "onehot" */
} maker;

/* ---------------------------------------------------------------- random numbers */

/* A bijection that leaves no pattern (the finisher of SplitMix64; Steele, Lea, Flood 2014). */
static uint64_t mix(uint64_t x)
{
  x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
  x = (x ^ x >> 27) * 0x94d049bb133111ebu;
  return x ^ x >> 31;
}

static uint64_t next(uint64_t state, uint64_t value)
{
  return mix(state + 0x9e3779b97f4a7c15u * (value + 1));
}

static uint64_t row_key(const maker *m, tensor_id tensor, int64_t b, int64_t h, int64_t s)
{
  return next(next(next(next(mix(m->seed), (uint64_t)tensor), (uint64_t)b), (uint64_t)h), (uint64_t)s);
}

/*
 * About N(0, 1): the sum of four uniform numbers, scaled to variance 1. Its fourth moment is 2.7 in
 * place of 3, and nothing lies beyond ±3.5.
 */
static float normal(uint64_t key, int64_t d)
{
  const uint64_t x = next(key, (uint64_t)d);
  const int sum = (int)(x & 0xffff) + (int)(x >> 16 & 0xffff) + (int)(x >> 32 & 0xffff) + (int)(x >> 48);
  return (float)(sum - 131070) * (1 / 37837.227f);
}

static void normal_row(const maker *m, tensor_id tensor, int64_t b, int64_t h, int64_t s, float factor, float *row)
{
  const uint64_t key = row_key(m, tensor, b, h, s);
  for (int64_t d = 0; d < m->p->D; d++) row[d] = factor * normal(key, d);
}

/* ---------------------------------------------------------------- onehot */

/*
 * Key j has a code: one digit x for each pair of dimensions, of which the first `digits` are those of
 * j and the rest random. k = (x, x²) and q = c (2t, −1) for the picked key's digit t give
 * c (t² − (x − t)²): the picked key leads all others by at least c, in whole numbers.
 */
static void code_row(const maker *m, int64_t b, int64_t hk, int64_t j, float *x)
{
  /* Each head starts elsewhere, so that another head's keys would pick other values. */
  const uint64_t head = row_key(m, K, b, hk, -1), key = row_key(m, K, b, hk, j);
  uint64_t rest = ((uint64_t)j + head % (uint64_t)m->p->Sk) % (uint64_t)m->p->Sk;
  for (int pair = 0; pair < m->p->D / 2; pair++) {
    const uint64_t digit = pair < m->digits ? rest : next(key, (uint64_t)pair);
    x[pair] = (float)((int)(digit % (uint64_t)m->base) - m->base / 2);
    rest /= (uint64_t)m->base;
  }
}

static void choose_code(maker *m)
{
  for (m->base = 2;; m->base++) {
    int64_t codes = 1;
    for (m->digits = 0; codes < m->p->Sk && m->digits < m->p->D / 2; m->digits++) codes *= m->base;
    if (codes >= m->p->Sk) return;
  }
}

/* Weights of other keys are e^-30 or less. A power of two, so that the products are exact. */
static float lead(const maker *m)
{
  float c = 1;
  while (c * m->scale < 30 && c < 16384) c *= 2;
  return c;
}

/*
 * Whether a bias hides the key: one value in eight does, of bytes one in four; and of one row in four every other run of keys, so
 * that a row may see none of a kernel's tile, or of several, when others see theirs.
 */
static bool hidden(const maker *m, uint64_t row, int64_t j)
{
  enum { RUN = 48 };
  const int lots = m->p->bias == 1 + FL4_BIAS_BOOL ? 2 : 1;
  const bool runs = next(row, 1) % 4 == 0 && next(row, (uint64_t)1 << 62 | (uint64_t)(j / RUN)) % 2 == 0;
  return runs || (int)(next(row, ~(uint64_t)j) % 8) < lots;
}

/* Values of a bias hang on the place in it, which is 0 in the dimensions that it lacks. */
static uint64_t bias_row_key(const maker *m, int64_t b, int64_t h, int64_t i)
{
  const int shared = m->p->bias_shared;
  return row_key(m, BIAS, shared & 1 ? 0 : b, shared & 2 ? 0 : h, shared & 4 ? 0 : i);
}

/* The first of these keys from `start` on, and round, that a bias does not hide; `start` if it hides all. */
static int64_t unhidden_key(const maker *m, int64_t b, int64_t h, int64_t i, fl4__key_range seen, int64_t start)
{
  const uint64_t row = bias_row_key(m, b, h, i);
  const int64_t n = seen.end - seen.first;
  for (int64_t k = 0; m->p->bias && k < n; k++) {
    const int64_t j = seen.first + (start - seen.first + k) % n;
    if (!hidden(m, row, m->p->bias_shared & 8 ? 0 : j)) return j;
  }
  return start;
}

/* Picked among the keys that the query sees. */
static int64_t picked_key(const maker *m, int64_t b, int64_t h, int64_t i)
{
  const fl4__sequence s = fl4__sequence_of(&m->call, &m->params, b);
  const fl4__key_range seen = fl4__keys_seen(&m->call, &m->params, &s, i);
  const int64_t n = seen.end - seen.first;
  const int64_t j = seen.first + (int64_t)(row_key(m, Q, b, h, i) % (uint64_t)(n > 0 ? n : m->p->Sk));
  return unhidden_key(m, b, h, i, seen, j);
}

static void onehot_query(const maker *m, int64_t b, int64_t h, int64_t i, float *row)
{
  float t[128];
  if (m->p->Sk == 0) {
    normal_row(m, Q, b, h, i, 1, row);
    return;
  }
  code_row(m, b, h / (m->p->Hq / m->p->Hkv), picked_key(m, b, h, i), t);
  const float c = lead(m);
  for (int pair = 0; pair < m->p->D / 2; pair++) row[2 * pair] = 2 * c * t[pair], row[2 * pair + 1] = -c;
}

static void onehot_key(const maker *m, int64_t b, int64_t hk, int64_t j, float *row)
{
  float x[128];
  code_row(m, b, hk, j, x);
  for (int pair = 0; pair < m->p->D / 2; pair++) row[2 * pair] = x[pair], row[2 * pair + 1] = x[pair] * x[pair];
}

/* ---------------------------------------------------------------- slopes */

/*
 * Scores that rise (or fall) by `slope` from key to key: two dimensions hold j = 256·high + low, each
 * exact in every dtype; the rest add noise of a few percent of a step.
 */
static void slope_query(const maker *m, int64_t b, int64_t h, int64_t i, float slope, float *row)
{
  normal_row(m, Q, b, h, i, 1, row);
  row[1] = slope / m->scale;
  row[0] = 256 * row[1];
}

static void slope_key(const maker *m, int64_t b, int64_t hk, int64_t j, float *row)
{
  normal_row(m, K, b, hk, j, 0x1p-8f, row);
  row[0] = (float)(j / 256);
  row[1] = (float)(j % 256);
}

/* ---------------------------------------------------------------- the kinds */

static const float rise = 0.0625f, fall = -0.5f, sink_query = 4, sink_lead = 10;

/* Scores of standard deviation 4000: the largest of a row is about 10⁴. */
static float large_factor(const maker *m)
{
  return sqrtf(4000 / (m->scale * sqrtf((float)m->p->D)));
}

/*
 * "mixed" gives each key/value head its own kind, since the kinds differ in K too; the query heads that
 * share it follow. Heads are counted through the batch, so that a model with a single one varies as well.
 */
static fl4_inputs kind_of(const maker *m, int64_t b, int64_t hk)
{
  static const fl4_inputs turn[] = {FL4_INPUTS_NORMAL, FL4_INPUTS_SINK, FL4_INPUTS_GROWING, FL4_INPUTS_PEAKED};
  return m->inputs == FL4_INPUTS_MIXED ? turn[(b * m->p->Hkv + hk) % 4] : m->inputs;
}

static void query_row(const maker *m, int64_t b, int64_t h, int64_t i, float *row)
{
  switch (kind_of(m, b, h / (m->p->Hq / m->p->Hkv))) {
  case FL4_INPUTS_PEAKED: normal_row(m, Q, b, h, i, 8, row); break;
  case FL4_INPUTS_ONEHOT: onehot_query(m, b, h, i, row); break;
  case FL4_INPUTS_LARGE: normal_row(m, Q, b, h, i, large_factor(m), row); break;
  case FL4_INPUTS_GROWING: slope_query(m, b, h, i, rise, row); break;
  case FL4_INPUTS_SHRINKING: slope_query(m, b, h, i, fall, row); break;
  case FL4_INPUTS_SINK:
    normal_row(m, Q, b, h, i, 1, row);
    row[0] = sink_query;
    break;
  default: normal_row(m, Q, b, h, i, 1, row);
  }
}

static void key_row(const maker *m, int64_t b, int64_t hk, int64_t j, float *row)
{
  switch (kind_of(m, b, hk)) {
  case FL4_INPUTS_ONEHOT: onehot_key(m, b, hk, j, row); break;
  case FL4_INPUTS_LARGE: normal_row(m, K, b, hk, j, large_factor(m), row); break;
  case FL4_INPUTS_EQUAL: normal_row(m, K, b, hk, 0, 1, row); break;
  case FL4_INPUTS_GROWING:
  case FL4_INPUTS_SHRINKING: slope_key(m, b, hk, j, row); break;
  case FL4_INPUTS_SINK:
    normal_row(m, K, b, hk, j, 1, row);
    row[0] = j == 0 ? sink_lead / (m->scale * sink_query) : 0;
    break;
  default: normal_row(m, K, b, hk, j, 1, row);
  }
}

/* Extreme scales must not make infinities of the data. */
static float bounded(float x)
{
  return x > 60000 ? 60000 : x < -60000 ? -60000 : x;
}

static void fill_row(const maker *m, tensor_id id, int64_t b, int64_t h, int64_t s, int64_t at, void *buffer)
{
  float row[256];
  if (id == Q)
    query_row(m, b, h, s, row);
  else if (id == K)
    key_row(m, b, h, s, row);
  else
    normal_row(m, V, b, h, s, 1, row);
  for (int64_t d = 0; d < m->p->D; d++) fl4__store(buffer, m->p->dtype, at + d, bounded(row[d]));
}

/* Rows that there are, in a tensor whose [b, h, s] they are: those of a sequence, wherever they lie. */
static void fill_tensor(const maker *m, tensor_id id, const fl4__tensor *t, void *buffer)
{
  const int64_t H = t->H, S = id == Q ? m->p->Sq : m->p->Sk, rows = m->p->B * H * S;
#pragma omp parallel for
  for (int64_t r = 0; r < rows; r++) {
    const int64_t s = r % S, h = r / S % H, b = r / S / H;
    const fl4__sequence at = fl4__sequence_of(&m->call, &m->params, b);
    if (id == Q && s < at.queries)
      fill_row(m, id, b, h, s, t->offset + fl4__query_row(&m->call, &at, t->stride, h, s), buffer);
    if (id != Q && s < at.keys)
      fill_row(m, id, b, h, s, t->offset + fl4__key_row(&m->call, &m->params, &at, t->stride, h, s), buffer);
  }
}

/* ---------------------------------------------------------------- beyond q, k and v */

/* Those of a model with 8 heads, exact: 1/2 … 1/256. */
static void fill_slopes(const maker *m, float *slopes)
{
  for (int64_t h = 0; h < m->p->Hq; h++) slopes[h] = 1.f / (float)(2 << h % 8);
}

/* About as much as all keys of a row together, so that they count: ln Sk is 0.7 log2 Sk. */
static void fill_sinks(const maker *m, float *sinks)
{
  const int octaves = 63 - __builtin_clzll((unsigned long long)m->p->Sk + 1);
  for (int64_t h = 0; h < m->p->Hq; h++) sinks[h] = 0.7f * (float)octaves + normal(row_key(m, SINKS, 0, h, 0), 0);
}

/* N(0, 1), but for what hides. */
static void fill_bias(const maker *m, const fl4__placement *at, void *bias)
{
  const int64_t *n = at->bias_size, rows = n[0] * n[1] * n[2];
  const int type = m->p->bias - 1;
#pragma omp parallel for
  for (int64_t r = 0; r < rows; r++) {
    const uint64_t key = bias_row_key(m, r / n[2] / n[1], r / n[2] % n[1], r % n[2]);
    for (int64_t j = 0; j < n[3]; j++) {
      const bool hides = hidden(m, key, j);
      if (type == FL4_BIAS_BOOL)
        ((unsigned char *)bias)[r * n[3] + j] = hides ? 0 : (unsigned char)(1 + j % 255); /* any byte but 0 shows */
      else
        fl4__store(bias, type, r * n[3] + j, hides ? -INFINITY : normal(key, j));
    }
  }
}

static void fill_lengths(const maker *m, int32_t *cu_q, int32_t *cu_k, int32_t *used_k)
{
  int32_t queries = 0, keys = 0;
  for (int64_t b = 0; b < m->p->B; b++) {
    const fl4__lengths l = fl4__problem_lengths(m->p, b);
    if (cu_q) cu_q[b] = queries;
    if (cu_k) cu_k[b] = keys;
    if (used_k) used_k[b] = (int32_t)l.keys;
    queries += (int32_t)l.queries, keys += (int32_t)l.room;
  }
  if (cu_q) cu_q[m->p->B] = queries;
  if (cu_k) cu_k[m->p->B] = keys;
}

/* Pages in random order, each 17th left over. Beyond the keys in use the table has −1, as the rest of the buffer. */
static void fill_table(const maker *m, const fl4__placement *at, int32_t *table)
{
  const int64_t columns = at->columns, cells = m->p->B * columns;
  const uint64_t key = row_key(m, PAGES, 0, 0, 0);
  for (int64_t i = 0; i < cells; i++) table[i] = (int32_t)(i + i / 16);
  for (int64_t i = 0; i < cells; i++) { /* Fisher and Yates */
    const int64_t other = i + (int64_t)(next(key, (uint64_t)i) % (uint64_t)(cells - i));
    const int32_t mine = table[i];
    table[i] = table[other], table[other] = mine;
  }
  for (int64_t b = 0; b < m->p->B; b++)
    for (int64_t c = fl4__ceil_div(fl4__problem_lengths(m->p, b).keys, m->p->page_size); c < columns; c++)
      table[b * columns + c] = -1;
}

static void fill_others(const maker *m, const fl4__placement *at, const fl4_attention_args *a)
{
  if (a->alibi_slopes) fill_slopes(m, (float *)a->alibi_slopes);
  if (a->sinks) fill_sinks(m, (float *)a->sinks);
  if (a->bias) fill_bias(m, at, (void *)a->bias);
  fill_lengths(m, (int32_t *)a->cu_seqlens_q, (int32_t *)a->cu_seqlens_k, (int32_t *)a->seqused_k);
  if (a->block_table) fill_table(m, at, (int32_t *)a->block_table);
}

void fl4__inputs_fill(const fl4_problem *problem, const fl4__placement *placement, uint64_t seed, fl4_inputs inputs,
                      void *buffer)
{
  fl4_attention_args a = fl4__placement_args(problem, placement, buffer, buffer, buffer);
  maker m = {.p = problem, .inputs = inputs, .seed = seed};
  m.scale = problem->scale != 0 ? problem->scale : 1 / sqrtf((float)problem->D);
  a.scale = 0; /* a call refuses some; here rows are all that is wanted */
  (void)fl4__problem_from_args(&a, FL4__NEED_SHAPE, &m.call,
                               &m.params); /* of what fl4__place() accepts it can be made */
  choose_code(&m);
  /* All bits set is a NaN in every dtype. */
  memset(buffer, 0xff, (size_t)placement->input_elements * (size_t)fl4__dtype_size(problem->dtype));
  fill_others(&m, placement, &a);
  fill_tensor(&m, Q, &placement->q, buffer);
  fill_tensor(&m, K, &placement->k, buffer);
  fill_tensor(&m, V, &placement->v, buffer);
}

const char *fl4_inputs_name(fl4_inputs inputs)
{
  switch (inputs) {
#define NAME(name, text, what)                                                                                         \
  case FL4_INPUTS_##name: return text;
    FL4_INPUTS_MAP(NAME)
#undef NAME
  default: return NULL;
  }
}

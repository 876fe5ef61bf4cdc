/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host kernel: one task, that is one tile of query rows against all keys that they see.
 *
 * It reads as the algorithm: load Q; for each key tile: convert K and V to fp32 once; then, a few
 * rows at a time, S = Q Kᵀ, softmax step, O += P V; last, divide by the sums and write. Rows are
 * taken as many at once as leave two vectors a row in registers.
 *
 * Tiles begin at multiples of bn keys, and each row adds up its own keys in their order. So what a row becomes depends, to the
 * bit, on bn and on what it sees, but not on the rows beside it, the task it is in, or the batch.
 *
 * Compiled once for each instruction set, as fl4__host_task_<FL4_HOST_ISA>.
 */
#include <math.h>

#include "forward.h"
#include "scores.h"
#include "sequence.h"
#include "vector.h"

#define JOIN2(a, b) a##b
#define JOIN(a, b) JOIN2(a, b)
#define TASK JOIN(fl4__host_task_, FL4_HOST_ISA)

enum {
  PANEL = 2 * VL,                       /* width of a panel: two vectors */
  ROWS = VL == 16 ? FL4__HOST_ROWS : 6, /* rows × two vectors of sums fit the registers */
  FEW = ROWS == FL4__HOST_ROWS ? 4 : 2, /* for what is left of a tile */
  CHUNK = 32,                           /* products summed in one go: short sums round less */
  LEFT = VL < 8 ? VL : 8,               /* lanes of a row's last vector, as D is a multiple of 8 */
};

/* A task at work. */
typedef struct tile {
  const fl4__host_job *job;
  sequence seq;
  int64_t hk, row0;    /* key/value head, first row */
  int rows;            /* rows of this tile */
  int64_t group;       /* query heads of a key/value head */
  int64_t left, right; /* keys beside the diagonal that are seen */
  float *q, *k, *v, *s, *part, *o, *sum, *max;
} tile;

/* ---------------------------------------------------------------- rows and what they see */

static const int64_t ALL = (int64_t)1 << 40; /* keys beside the diagonal: more than there can be */

static int64_t query_of(const tile *t, int row)
{
  return (t->row0 + row) / t->group;
}

static int64_t head_of(const tile *t, int row)
{
  return t->hk * t->group + (t->row0 + row) % t->group;
}

/* Element offset of a row in q, o or lse. */
static int64_t row_offset(const tile *t, int row, const fl4_i64 stride[3])
{
  return query_row(t->job, &t->seq, stride, head_of(t, row), query_of(t, row));
}

/* The key that masks and distances of a row count from. */
static int64_t diagonal_of(const tile *t, int row)
{
  return query_of(t, row) + t->seq.keys - t->seq.queries;
}

/* Keys lo … hi − 1; none: lo = hi. Neither falls from one row to the next. */
typedef struct span {
  int64_t lo, hi;
} span;

static span keys_of(const tile *t, int row)
{
  const int64_t diagonal = diagonal_of(t, row);
  const int64_t hi = clamp(diagonal + t->right + 1, 0, t->seq.keys);
  return (span){clamp(diagonal - t->left, 0, hi), hi};
}

/* Of those, the ones among the n keys from j0 on, counted from there. */
static span keys_in(const tile *t, int row, int64_t j0, int n)
{
  const span keys = keys_of(t, row);
  const int64_t hi = clamp(keys.hi - j0, 0, n);
  return (span){clamp(keys.lo - j0, 0, hi), hi};
}

static row_scores scores_of(const tile *t, int row, int64_t j0)
{
  const fl4_fwd_params *p = t->job->params;
  const int64_t b = t->seq.b, h = head_of(t, row);
  row_scores r = {
      .softcap = p->softcap_log2, .diagonal = (int)(diagonal_of(t, row) - j0), .bias_type = t->job->bias_type};
  if (t->job->features & FL4__FEATURE_ALIBI)
    r.slope = LOG2_E * ((const float *)(uintptr_t)p->slopes)[b * p->slope_stride[0] + h * p->slope_stride[1]];
  if (t->job->features & FL4__FEATURE_BIAS) {
    const int64_t at = b * p->bias_stride[0] + h * p->bias_stride[1] + query_of(t, row) * p->bias_stride[2] +
                       j0 * p->bias_stride[3];
    r.bias_step = (int)p->bias_stride[3];
    r.bias = (const char *)(uintptr_t)p->bias + at * bias_size(r.bias_type);
  }
  return r;
}

/* ---------------------------------------------------------------- conversion */

/* n ≤ VL 16-bit elements in the upper halves of the lanes; no byte behind them is read. */
INLINE vu load_upper(const uint16_t *from, int n)
{
  vh half = {0};
  if (n >= VL)
    memcpy(&half, from, sizeof half);
  else
    memcpy(&half, from, LEFT * sizeof *from);
  return __builtin_convertvector(half, vu) << 16;
}

INLINE vf load_elements(const void *base, int64_t offset, int n, int dtype)
{
  if (dtype == FL4_DTYPE_FP32) {
    vf x = {0};
    memcpy(&x, (const float *)base + offset, n >= VL ? sizeof x : LEFT * sizeof(float));
    return x;
  }
  const vu upper = load_upper((const uint16_t *)base + offset, n);
  return dtype == FL4_DTYPE_FP16 ? fp16_upper(upper) : bf16_upper(upper);
}

INLINE void store_elements(void *base, int64_t offset, int n, int dtype, vf x)
{
  if (dtype == FL4_DTYPE_FP32) {
    memcpy((float *)base + offset, &x, n >= VL ? sizeof x : LEFT * sizeof(float));
    return;
  }
  const vh half = __builtin_convertvector(dtype == FL4_DTYPE_FP16 ? fp16_from(x) : bf16_from(x), vh);
  memcpy((uint16_t *)base + offset, &half, n >= VL ? sizeof half : LEFT * sizeof(uint16_t));
}

INLINE void load_queries_as(const tile *t, int dtype)
{
  const fl4_fwd_params *p = t->job->params;
  const int D = t->job->D;
  for (int row = 0; row < t->rows; row++) {
    const int64_t offset = row_offset(t, row, p->q_stride);
    float *to = t->q + (size_t)row * (size_t)D;
    for (int d = 0; d < D; d += VL) {
      const vf x = load_elements((const void *)(uintptr_t)p->q, offset + d, D - d, dtype) * p->scale_log2;
      memcpy(to + d, &x, D - d >= VL ? sizeof x : LEFT * sizeof(float));
    }
  }
}

/*
 * Keys j0 + lo … j0 + n − 1, transposed: k[panel][d][key]. 16-bit elements travel in pairs, so that half as
 * many single moves are made, and are converted where vectors hold one key a lane.
 */
INLINE void load_keys_as(const tile *t, int64_t j0, int lo, int n, int dtype)
{
  const fl4_fwd_params *p = t->job->params;
  const int D = t->job->D;
  const key_rows at = key_rows_of(t->job, &t->seq, p->k_stride, t->hk);
  for (int key0 = lo; key0 < n; key0 += PANEL) {
    float *panel = t->k + (size_t)key0 * (size_t)D;
    const int keys = n - key0 < PANEL ? n - key0 : PANEL;
    /* Lanes without a key hold zero. */
    if (keys < PANEL) memset(panel, 0, (size_t)D * PANEL * sizeof *panel);
    const int elements = dtype == FL4_DTYPE_FP32 ? 1 : 2, words = D / elements;
    /* Pairs go to the panel's second half, from where they are widened to all of it. */
    float *to = panel + (D - words) * PANEL;
    for (int key = 0; key < keys; key++) {
      const char *from = (const char *)(uintptr_t)p->k +
                         key_row(&at, j0 + key0 + key) * (dtype == FL4_DTYPE_FP32 ? 4 : 2);
      for (int w = 0; w < words; w++) memcpy(to + w * PANEL + key, from + 4 * w, 4);
    }
    if (dtype == FL4_DTYPE_FP32) continue;
    for (int w = 0; w < words; w++)
      for (int c = 0; c < PANEL; c += VL) {
        const vu pair = (vu)load(to + w * PANEL + c);
        store(panel + 2 * w * PANEL + c, dtype == FL4_DTYPE_FP16 ? fp16_upper(pair << 16) : bf16_upper(pair << 16));
        store(panel + (2 * w + 1) * PANEL + c, dtype == FL4_DTYPE_FP16 ? fp16_upper(pair) : bf16_upper(pair));
      }
  }
}

/* Values j0 + lo … j0 + n − 1: v[panel][key][d]; the last panel may be one vector wide. */
INLINE void load_values_as(const tile *t, int64_t j0, int lo, int n, int dtype)
{
  const fl4_fwd_params *p = t->job->params;
  const int D = t->job->D;
  const key_rows at = key_rows_of(t->job, &t->seq, p->v_stride, t->hk);
  for (int key = lo; key < n; key++) {
    const int64_t offset = key_row(&at, j0 + key);
    for (int d = 0; d < D; d += VL) {
      const int panel = d / PANEL * PANEL, width = panel + VL < D ? PANEL : VL;
      const vf x = load_elements((const void *)(uintptr_t)p->v, offset + d, D - d, dtype);
      store(t->v + (size_t)panel * (size_t)t->job->bn + (size_t)(key * width + d - panel), x);
    }
  }
}

/* One copy of a loader for each dtype. */
#define FOR_DTYPE(dtype, call)                                                                                         \
  do {                                                                                                                 \
    if (dtype == FL4_DTYPE_FP16) call(FL4_DTYPE_FP16);                                                                 \
    if (dtype == FL4_DTYPE_BF16) call(FL4_DTYPE_BF16);                                                                 \
    if (dtype == FL4_DTYPE_FP32) call(FL4_DTYPE_FP32);                                                                 \
  } while (0)

static void load_queries(const tile *t)
{
#define CALL(dtype) load_queries_as(t, dtype)
  FOR_DTYPE(t->job->dtype, CALL);
#undef CALL
}

/* Keys and values j0 + lo … j0 + n − 1; lo is where a panel begins. */
static void load_tile(const tile *t, int64_t j0, int lo, int n)
{
#define CALL(dtype) load_keys_as(t, j0, lo, n, dtype), load_values_as(t, j0, lo, n, dtype)
  FOR_DTYPE(t->job->dtype, CALL);
#undef CALL
}

/* ---------------------------------------------------------------- the two products */

/* s[row][0 … PANEL) = q[row] · k for `rows` (a constant) rows and one panel of keys. */
INLINE void scores(int rows, const float *q, const float *k, int D, float *s, int bn)
{
  for (int d0 = 0; d0 < D; d0 += CHUNK) {
    const int d1 = d0 + CHUNK < D ? d0 + CHUNK : D;
    vf sum[ROWS][2];
    UNROLL for (int r = 0; r < rows; r++) sum[r][0] = sum[r][1] = (vf){0};
    for (int d = d0; d < d1; d++) {
      const vf k0 = load(k + d * PANEL), k1 = load(k + d * PANEL + VL);
      UNROLL for (int r = 0; r < rows; r++)
      {
        const vf x = splat(q[r * D + d]);
        sum[r][0] += x * k0;
        sum[r][1] += x * k1;
      }
    }
    UNROLL for (int r = 0; r < rows; r++)
    {
      float *to = s + r * bn;
      store(to, d0 ? load(to) + sum[r][0] : sum[r][0]);
      store(to + VL, d0 ? load(to + VL) + sum[r][1] : sum[r][1]);
    }
  }
}

/*
 * to[row] = to[row]·scale[row] + (from[row] + Σ s[row][j]·v[j]) for j0 ≤ j < j1, over `vectors` (1 or 2) vectors of D. Without
 * `from` or `scale` (NULL) that term is not there. A sum has the same bits in however many calls it is made, each from the last.
 */
INLINE void outputs(int rows, int vectors, const float *s, int bn, const float *v, int j0, int j1, const float *from,
                    const float *scale, float *to, int Dv)
{
  const int width = vectors * VL;
  vf sum[ROWS][2];
  UNROLL for (int r = 0; r < rows; r++)
  {
    sum[r][0] = from ? load(from + r * Dv) : (vf){0};
    sum[r][1] = from && vectors > 1 ? load(from + r * Dv + VL) : (vf){0};
  }
  for (int j = j0; j < j1; j++) {
    const vf v0 = load(v + j * width), v1 = vectors > 1 ? load(v + j * width + VL) : v0;
    UNROLL for (int r = 0; r < rows; r++)
    {
      const vf x = splat(s[r * bn + j]);
      sum[r][0] += x * v0;
      if (vectors > 1) sum[r][1] += x * v1;
    }
  }
  UNROLL for (int r = 0; r < rows; r++)
  {
    float *o = to + r * Dv;
    store(o, scale ? load(o) * scale[r] + sum[r][0] : sum[r][0]);
    if (vectors > 1) store(o + VL, scale ? load(o + VL) * scale[r] + sum[r][1] : sum[r][1]);
  }
}

/* The same over all panels of D. */
INLINE void outputs_all(const tile *t, int rows, const float *s, int j0, int j1, const float *from, const float *scale,
                        float *to, int Dv)
{
  const int bn = t->job->bn;
  int d = 0;
  for (; d + VL < t->job->D; d += PANEL)
    outputs(rows, 2, s, bn, t->v + (size_t)d * (size_t)bn, j0, j1, from ? from + d : NULL, scale, to + d, Dv);
  if (d < t->job->D)
    outputs(rows, 1, s, bn, t->v + (size_t)d * (size_t)bn, j0, j1, from ? from + d : NULL, scale, to + d, Dv);
}

/* Of one row, how its sum goes on, and how it ends. */
APART void outputs_on(const tile *t, const float *s, int j0, int j1, float *part, int Dv)
{
  outputs_all(t, 1, s, j0, j1, part, NULL, part, Dv);
}

APART void outputs_end(const tile *t, const float *s, int j0, int j1, const float *part, float scale, float *o, int Dv)
{
  outputs_all(t, 1, s, j0, j1, part, &scale, o, Dv);
}

/*
 * Outputs of rows that do not see the same keys: first, row by row, the keys before those that all see, then these, then
 * those behind them. A value that a row does not see is not even multiplied with 0, it may be NaN.
 */
INLINE void outputs_ragged(const tile *t, int rows, const span *seen, const float *scale, float *o, int Dv)
{
  const int bn = t->job->bn, all_lo = (int)seen[rows - 1].lo, all_hi = (int)seen[0].hi;
  const bool common = all_lo < all_hi, before = seen[0].lo < all_lo;
  float *part = t->part;
  if (before || !common) memset(part, 0, (size_t)rows * (size_t)Dv * sizeof *part);
  if (before && common)
    for (int r = 0; r < rows; r++) outputs_on(t, t->s + r * bn, (int)seen[r].lo, all_lo, part + r * Dv, Dv);
  if (common) outputs_all(t, rows, t->s, all_lo, all_hi, before ? part : NULL, NULL, part, Dv);
  for (int r = 0; r < rows; r++)
    outputs_end(t, t->s + r * bn, common ? all_hi : (int)seen[r].lo, (int)seen[r].hi, part + r * Dv, scale[r],
                o + r * Dv, Dv);
}

/* ---------------------------------------------------------------- softmax */

/* Scores of a vector that a row sees only in part: the others become −∞. */
INLINE void hide_others(float *s, int j, int lo, int hi)
{
  store(s + j, pick(lanes_within(j, lo, hi), load(s + j), splat(-INFINITY)));
}

/*
 * The softmax step of one row: scores s[lo … hi) become weights relative to the row's running maximum.
 * Returns the factor that what was summed before must be multiplied with.
 */
INLINE float softmax_row(float *s, int lo, int hi, float *row_max, float *row_sum)
{
  const int from = lo & -VL;
  if (lo > from) hide_others(s, from, lo, hi);
  if (hi & (VL - 1)) hide_others(s, hi & -VL, lo, hi);
  vf top = splat(*row_max);
  for (int j = from; j < hi; j += VL) top = max(load(s + j), top);
  const float new_max = max_of_lanes(top);
  /* Without any key yet: 0 in place of −∞, so that no −∞ − −∞ arises; all weights become 0. */
  const vf base = splat(new_max == -INFINITY ? 0 : new_max);
  const vf factor = exp2_nonpositive(splat(*row_max) - base);

  vf sum = load(row_sum) * factor;
  for (int j = from; j < hi; j += VL) {
    const vf weight = exp2_nonpositive(load(s + j) - base);
    store(s + j, weight);
    sum += weight;
  }
  store(row_sum, sum);
  *row_max = new_max;
  return factor[0];
}

/* ---------------------------------------------------------------- a task */

/* A few rows against a tile of n keys from j0 on. */
typedef struct meeting {
  int row, n;
  int64_t j0;
  span first, last; /* what the first and the last of the rows see: both ends rise from row to row */
} meeting;

/* Whether the biases hide all keys that `rows` rows see. */
static bool hidden(const tile *t, const meeting *m, int rows)
{
  if (!(t->job->features & FL4__FEATURE_BIAS)) return false;
  for (int r = m->row; r < m->row + rows; r++) {
    const span seen = keys_in(t, r, m->j0, m->n);
    const row_scores scores = scores_of(t, r, m->j0);
    if (!bias_hides_all(&scores, (int)seen.lo, (int)seen.hi)) return false;
  }
  return true;
}

APART void transform_row(const tile *t, int row, int64_t j0, float *s, int lo, int hi)
{
  const row_scores scores = scores_of(t, row, j0);
  transform(&scores, s, lo, hi);
}

/* Scores of a row become weights; returns the factor of what was summed before. */
INLINE float weigh(const tile *t, int row, int64_t j0, float *s, int lo, int hi)
{
  if (t->job->features & SCORED) transform_row(t, row, j0, s, lo, hi);
  return softmax_row(s, lo, hi, t->max + row, t->sum + (size_t)row * FL4__HOST_LANES);
}

APART float weigh_one(const tile *t, int row, int64_t j0, float *s, int lo, int hi)
{
  return weigh(t, row, j0, s, lo, hi);
}

/* Scores of `rows` (a constant) rows against all keys that any of them sees. */
INLINE void scores_all(const tile *t, const meeting *m, int rows)
{
  const int D = t->job->D;
  for (int key = (int)m->first.lo / PANEL * PANEL; key < m->last.hi; key += PANEL)
    scores(rows, t->q + (size_t)m->row * (size_t)D, t->k + (size_t)key * (size_t)D, D, t->s + key, t->job->bn);
}

/* Rows that all see the same keys of the tile. */
INLINE void step(const tile *t, const meeting *m, int rows)
{
  const int bn = t->job->bn, Dv = (t->job->D + VL - 1) / VL * VL, lo = (int)m->first.lo, hi = (int)m->last.hi;
  scores_all(t, m, rows);
  float factor[ROWS];
  for (int r = 0; r < rows; r++) factor[r] = weigh(t, m->row + r, m->j0, t->s + r * bn, lo, hi);
  outputs_all(t, rows, t->s, lo, hi, NULL, factor, t->o + (size_t)m->row * (size_t)Dv, Dv);
}

/* Rows that do not. */
INLINE void step_ragged(const tile *t, const meeting *m, int rows)
{
  const int bn = t->job->bn, Dv = (t->job->D + VL - 1) / VL * VL;
  scores_all(t, m, rows);
  float factor[ROWS];
  span seen[ROWS];
  for (int r = 0; r < rows; r++) {
    seen[r] = keys_in(t, m->row + r, m->j0, m->n);
    factor[r] = weigh_one(t, m->row + r, m->j0, t->s + r * bn, (int)seen[r].lo, (int)seen[r].hi);
  }
  outputs_ragged(t, rows, seen, factor, t->o + (size_t)m->row * (size_t)Dv, Dv);
}

/* One row always sees what it sees. */
#define FOR_ROWS(name, step, rows)                                                                                     \
  APART void name(const tile *t, const meeting *m)                                                                     \
  {                                                                                                                    \
    step(t, m, rows);                                                                                                  \
  }
FOR_ROWS(step_many, step, ROWS)
FOR_ROWS(step_few, step, FEW)
FOR_ROWS(step_one, step, 1)
FOR_ROWS(ragged_many, step_ragged, ROWS)
FOR_ROWS(ragged_few, step_ragged, FEW)

/* How a row ends: what its output is multiplied with, and its LSE. */
typedef struct ending {
  float factor, lse;
} ending;

/* The sink is one more key, whose value is 0. Without it a row that sees no key has a sum of 0: its output stays 0. */
static ending ending_of(const tile *t, int row, float sum)
{
  const double top = (double)t->max[row] * M_LN2;
  if (!(t->job->features & FL4__FEATURE_SINKS))
    return (ending){sum == 0 ? 0 : 1 / sum, sum == 0 ? -INFINITY : (float)(top + log((double)sum))};
  const double sink = (double)((const float *)(uintptr_t)t->job->params->sinks)[head_of(t, row)];
  const double most = fmax(top, sink);
  if (most == -INFINITY) return (ending){0, -INFINITY};
  const double keys = exp(top - most), all = (double)sum * keys + exp(sink - most);
  return (ending){(float)(keys / all), (float)(most + log(all))};
}

INLINE void finish_as(const tile *t, int dtype)
{
  const fl4_fwd_params *p = t->job->params;
  const int D = t->job->D, Dv = (D + VL - 1) / VL * VL;
  for (int row = 0; row < t->rows; row++) {
    float sum = 0;
    for (int i = 0; i < VL; i++) sum += t->sum[(size_t)row * FL4__HOST_LANES + (size_t)i];
    const ending end = ending_of(t, row, sum);
    const int64_t offset = row_offset(t, row, p->o_stride);
    /* Adding 0 makes one zero of two: tiles that a row passes through, but sees nothing of, may have changed its sign. */
    for (int d = 0; d < D; d += VL)
      store_elements((void *)(uintptr_t)p->o, offset + d, D - d, dtype,
                     load(t->o + row * Dv + d) * end.factor + splat(0));
    if (p->lse) ((float *)(uintptr_t)p->lse)[row_offset(t, row, p->lse_stride)] = end.lse;
  }
}

static void finish(const tile *t)
{
#define CALL(dtype) finish_as(t, dtype)
  FOR_DTYPE(t->job->dtype, CALL);
#undef CALL
}

/* All rows against the n keys from j0 on, of which those before lo are not seen by any. */
static void take_keys(const tile *t, int64_t j0, int lo, int n)
{
  bool loaded = false;
  for (int row = 0, rows; row < t->rows; row += rows) {
    const int rest = t->rows - row;
    rows = rest >= ROWS ? ROWS : rest >= FEW ? FEW : 1;
    const meeting m = {row, n, j0, keys_in(t, row, j0, n), keys_in(t, row + rows - 1, j0, n)};
    if (m.first.lo >= m.last.hi || hidden(t, &m, rows)) continue;
    if (!loaded) load_tile(t, j0, lo / PANEL * PANEL, n), loaded = true;
    if (m.first.lo == m.last.lo && m.first.hi == m.last.hi)
      (rows == ROWS ? step_many : rows == FEW ? step_few : step_one)(t, &m);
    else
      (rows == ROWS ? ragged_many : ragged_few)(t, &m);
  }
}

fl4__host_task TASK;

void TASK(const fl4__host_job *job, int64_t task, float *scratch)
{
  const fl4_fwd_params *p = job->params;
  const fl4__host_scratch at = fl4__host_scratch_layout(job->bm, job->bn, job->D);
  const place from = place_of(job, task);
  tile t = {.job = job, .seq = sequence_of(job, from.b), .hk = from.hk, .row0 = from.row0, .group = p->Hq / p->Hkv};
  t.left = p->window_left == FL4_NO_WINDOW ? ALL : p->window_left;
  t.right = job->causal ? 0 : p->window_right == FL4_NO_WINDOW ? ALL : p->window_right;
  t.q = scratch + at.q, t.k = scratch + at.k, t.v = scratch + at.v, t.s = scratch + at.s, t.part = scratch + at.part;
  t.o = scratch + at.o, t.sum = scratch + at.sum, t.max = scratch + at.max;
  if (t.row0 < 0 || t.row0 >= t.group * t.seq.queries) return;
  t.rows = (int)fl4__min64(job->bm, t.group * t.seq.queries - t.row0);

  load_queries(&t);
  memset(t.o, 0, (at.sum - at.o) * sizeof *t.o);
  memset(t.sum, 0, (size_t)t.rows * FL4__HOST_LANES * sizeof *t.sum);
  for (int row = 0; row < t.rows; row++) t.max[row] = -INFINITY;

  /* Tiles before what the first row sees are skipped, and those beyond what the last one does. */
  const int64_t first = keys_of(&t, 0).lo, end = keys_of(&t, t.rows - 1).hi;
  for (int64_t j0 = first / job->bn * job->bn; j0 < end; j0 += job->bn)
    take_keys(&t, j0, (int)fl4__max64(0, first - j0), (int)fl4__min64(job->bn, end - j0));
  finish(&t);
}

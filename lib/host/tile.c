/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host kernel: one task, that is one tile of query rows against all keys that they see.
 *
 * It reads as the algorithm: load Q; for each key tile: convert K and V to fp32 once; then, a few
 * rows at a time, S = Q Kᵀ, softmax step, O += P V; last, divide by the sums and write. Rows are
 * taken as many at once as leave two vectors a row in registers.
 *
 * Compiled once for each instruction set, as fl4__host_task_<FL4_HOST_ISA>.
 */
#include <math.h>

#include "forward.h"
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
  int64_t b, hk, row0; /* batch, key/value head, first row */
  int rows;            /* rows of this tile */
  int64_t group;       /* query heads of a key/value head */
  float *q, *k, *v, *s, *o, *sum, *max;
} tile;

/* ---------------------------------------------------------------- rows and what they see */

static int64_t query_of(const tile *t, int row)
{
  return (t->row0 + row) / t->group;
}

/* Element offset of a row in q, o or lse. */
static int64_t row_offset(const tile *t, int row, const fl4_i64 stride[3])
{
  const int64_t head = t->hk * t->group + (t->row0 + row) % t->group;
  return t->b * stride[0] + head * stride[1] + query_of(t, row) * stride[2];
}

/* Keys 0 … n − 1 are those that a row sees. */
static int64_t keys_of(const tile *t, int row)
{
  const int64_t Sq = t->job->params->Sq, Sk = t->job->params->Sk;
  return t->job->causal ? fl4__max64(0, query_of(t, row) + Sk - Sq + 1) : Sk;
}

/* Of those, how many lie in the n keys from j0 on. */
static int keys_in(const tile *t, int row, int64_t j0, int n)
{
  return (int)fl4__max64(0, fl4__min64(n, keys_of(t, row) - j0));
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
 * Keys j0 … j0 + n − 1, transposed: k[panel][d][key]. 16-bit elements travel in pairs, so that half as
 * many single moves are made, and are converted where vectors hold one key a lane.
 */
INLINE void load_keys_as(const tile *t, int64_t j0, int n, int dtype)
{
  const fl4_fwd_params *p = t->job->params;
  const int D = t->job->D;
  const int64_t base = t->b * p->k_stride[0] + t->hk * p->k_stride[1] + j0 * p->k_stride[2];
  for (int key0 = 0; key0 < n; key0 += PANEL) {
    float *panel = t->k + (size_t)key0 * (size_t)D;
    const int keys = n - key0 < PANEL ? n - key0 : PANEL;
    /* Lanes without a key hold zero. */
    if (keys < PANEL) memset(panel, 0, (size_t)D * PANEL * sizeof *panel);
    const int elements = dtype == FL4_DTYPE_FP32 ? 1 : 2, words = D / elements;
    /* Pairs go to the panel's second half, from where they are widened to all of it. */
    float *to = panel + (D - words) * PANEL;
    for (int key = 0; key < keys; key++) {
      const char *from = (const char *)(uintptr_t)p->k +
                         (base + (key0 + key) * p->k_stride[2]) * (dtype == FL4_DTYPE_FP32 ? 4 : 2);
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

/* Values j0 … j0 + n − 1: v[panel][key][d]; the last panel may be one vector wide. */
INLINE void load_values_as(const tile *t, int64_t j0, int n, int dtype)
{
  const fl4_fwd_params *p = t->job->params;
  const int D = t->job->D;
  const int64_t base = t->b * p->v_stride[0] + t->hk * p->v_stride[1] + j0 * p->v_stride[2];
  for (int key = 0; key < n; key++)
    for (int d = 0; d < D; d += VL) {
      const int panel = d / PANEL * PANEL, width = panel + VL < D ? PANEL : VL;
      const vf x = load_elements((const void *)(uintptr_t)p->v, base + key * p->v_stride[2] + d, D - d, dtype);
      store(t->v + (size_t)panel * (size_t)t->job->bn + (size_t)(key * width + d - panel), x);
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

static void load_tile(const tile *t, int64_t j0, int n)
{
#define CALL(dtype) load_keys_as(t, j0, n, dtype), load_values_as(t, j0, n, dtype)
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

/* o[row] = o[row]·scale[row] + Σ s[row][j]·v[j] for j0 ≤ j < j1, over `vectors` (1 or 2) vectors of D. */
INLINE void outputs(int rows, int vectors, const float *s, int bn, const float *v, int j0, int j1, const float *scale,
                    float *o, int Dv)
{
  const int width = vectors * VL;
  vf sum[ROWS][2];
  UNROLL for (int r = 0; r < rows; r++) sum[r][0] = sum[r][1] = (vf){0};
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
    float *to = o + r * Dv;
    store(to, load(to) * scale[r] + sum[r][0]);
    if (vectors > 1) store(to + VL, load(to + VL) * scale[r] + sum[r][1]);
  }
}

/* The same over all panels of D. */
INLINE void outputs_all(const tile *t, int rows, const float *s, int j0, int j1, const float *scale, float *o, int Dv)
{
  const int bn = t->job->bn;
  int d = 0;
  for (; d + VL < t->job->D; d += PANEL)
    outputs(rows, 2, s, bn, t->v + (size_t)d * (size_t)bn, j0, j1, scale, o + d, Dv);
  if (d < t->job->D) outputs(rows, 1, s, bn, t->v + (size_t)d * (size_t)bn, j0, j1, scale, o + d, Dv);
}

/* ---------------------------------------------------------------- softmax */

/*
 * The softmax step of one row: scores s[0 … n) become weights relative to the row's running maximum.
 * Returns the factor that what was summed before must be multiplied with.
 */
INLINE float softmax_row(float *s, int n, float *row_max, float *row_sum)
{
  const int whole = n / VL * VL;
  const vi in = lane_index() < (n - whole) - (vi){0};
  vf top = splat(*row_max);
  for (int j = 0; j < whole; j += VL) top = max(load(s + j), top);
  if (whole < n) {
    const vf last = pick(in, load(s + whole), splat(-INFINITY));
    store(s + whole, last);
    top = max(last, top);
  }
  const float new_max = max_of_lanes(top);
  /* Without any key yet: 0 in place of −∞, so that no −∞ − −∞ arises; all weights become 0. */
  const vf base = splat(new_max == -INFINITY ? 0 : new_max);
  const vf factor = exp2_nonpositive(splat(*row_max) - base);

  vf sum = load(row_sum) * factor;
  for (int j = 0; j < n; j += VL) {
    const vf weight = exp2_nonpositive(load(s + j) - base);
    store(s + j, weight);
    sum += weight;
  }
  store(row_sum, sum);
  *row_max = new_max;
  return factor[0];
}

/* ---------------------------------------------------------------- a task */

/* The rows from `row` on, `rows` (a constant) of them, against a tile of n keys from j0 on. */
INLINE void step(const tile *t, int row, int rows, int64_t j0, int n)
{
  const int D = t->job->D, bn = t->job->bn, Dv = (D + VL - 1) / VL * VL;
  /* Rows see more keys the later they come. */
  const int least = keys_in(t, row, j0, n), most = keys_in(t, row + rows - 1, j0, n);
  if (most == 0) return;
  for (int key = 0; key < most; key += PANEL)
    scores(rows, t->q + (size_t)row * (size_t)D, t->k + (size_t)key * (size_t)D, D, t->s + key, bn);

  float factor[ROWS];
  int seen[ROWS];
  for (int r = 0; r < rows; r++) {
    seen[r] = least == most ? most : keys_in(t, row + r, j0, n);
    factor[r] = softmax_row(t->s + r * bn, seen[r], t->max + row + r, t->sum + (size_t)(row + r) * FL4__HOST_LANES);
  }

  float *o = t->o + (size_t)row * (size_t)Dv;
  outputs_all(t, rows, t->s, 0, least, factor, o, Dv);
  /* On the diagonal: a value that a row does not see is not even multiplied with 0, it may be NaN. */
  if (least < most)
    for (int r = 0; r < rows; r++)
      if (least < seen[r]) outputs_all(t, 1, t->s + r * bn, least, seen[r], &(const float){1}, o + r * Dv, Dv);
}

static void step_many(const tile *t, int row, int64_t j0, int n)
{
  step(t, row, ROWS, j0, n);
}

static void step_few(const tile *t, int row, int64_t j0, int n)
{
  step(t, row, FEW, j0, n);
}

static void step_one(const tile *t, int row, int64_t j0, int n)
{
  step(t, row, 1, j0, n);
}

INLINE void finish_as(const tile *t, int dtype)
{
  const fl4_fwd_params *p = t->job->params;
  const int D = t->job->D, Dv = (D + VL - 1) / VL * VL;
  for (int row = 0; row < t->rows; row++) {
    float sum = 0;
    for (int i = 0; i < VL; i++) sum += t->sum[(size_t)row * FL4__HOST_LANES + (size_t)i];
    /* A row that sees no key: nothing was summed, O stays 0. */
    const float factor = sum == 0 ? 0 : 1 / sum;
    const int64_t offset = row_offset(t, row, p->o_stride);
    for (int d = 0; d < D; d += VL)
      store_elements((void *)(uintptr_t)p->o, offset + d, D - d, dtype, load(t->o + row * Dv + d) * factor);
    if (p->lse)
      ((float *)(uintptr_t)p->lse)[row_offset(t, row, p->lse_stride)] =
          sum == 0 ? -INFINITY : (float)(t->max[row] * M_LN2 + log(sum));
  }
}

static void finish(const tile *t)
{
#define CALL(dtype) finish_as(t, dtype)
  FOR_DTYPE(t->job->dtype, CALL);
#undef CALL
}

fl4__host_task TASK;

void TASK(const fl4__host_job *job, int64_t task, float *scratch)
{
  const fl4_fwd_params *p = job->params;
  const fl4__host_scratch at = fl4__host_scratch_layout(job->bm, job->bn, job->D);
  tile t = {.job = job, .group = p->Hq / p->Hkv};
  t.q = scratch + at.q, t.k = scratch + at.k, t.v = scratch + at.v, t.s = scratch + at.s;
  t.o = scratch + at.o, t.sum = scratch + at.sum, t.max = scratch + at.max;

  /* The last rows first: under a causal mask they are the longest tasks. */
  const int64_t head = task / job->row_tiles;
  t.b = head / p->Hkv, t.hk = head % p->Hkv;
  t.row0 = (job->row_tiles - 1 - task % job->row_tiles) * job->bm;
  t.rows = (int)fl4__min64(job->bm, t.group * p->Sq - t.row0);

  load_queries(&t);
  memset(t.o, 0, (at.sum - at.o) * sizeof *t.o);
  memset(t.sum, 0, (size_t)t.rows * FL4__HOST_LANES * sizeof *t.sum);
  for (int row = 0; row < t.rows; row++) t.max[row] = -INFINITY;

  /* Tiles beyond what the last row sees are skipped. */
  const int64_t keys = keys_of(&t, t.rows - 1);
  for (int64_t j0 = 0; j0 < keys; j0 += job->bn) {
    const int n = (int)fl4__min64(job->bn, keys - j0);
    load_tile(&t, j0, n);
    int row = 0;
    for (; row + ROWS <= t.rows; row += ROWS) step_many(&t, row, j0, n);
    for (; row + FEW <= t.rows; row += FEW) step_few(&t, row, j0, n);
    for (; row < t.rows; row++) step_one(&t, row, j0, n);
  }
  finish(&t);
}

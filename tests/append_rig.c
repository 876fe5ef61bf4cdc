/* SPDX-License-Identifier: Apache-2.0 */
#include "append_rig.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "context.h"
#include "oracle/check.h"
#include "util/random.h"

enum { GUARD = 64, MOST_B = 8 }; /* elements before and behind all that is in a buffer; sequences */

/* Memory here, as it is uploaded, and on the device; and what must be there afterwards. */
typedef struct buffer {
  size_t elements, element; /* their number and bytes */
  char *host, *expected, *found[2];
  double *turned, *slack; /* by element: slack > 0: `turned` within it, and not the expected bits */
  void *device;
  int64_t stride[3]; /* [b, h, row] or [page, h, slot] */
} buffer;

enum { K_NEW, V_NEW, K, V, Q, Q_OUT, USED, AFTER, CU_NEW, TABLE, COS, SIN, N_BUFFERS };

typedef struct rig {
  const append_case *c;
  fl4_context *ctx;
  fl4__random random;
  buffer at[N_BUFFERS];
  int new_tokens[MOST_B], used[MOST_B];
  int64_t total_new, n_pages, columns;
  char *why;
} rig;

append_case append_random(uint64_t seed, bool fp32)
{
  static const int dims[] = {8, 24, 64, 72, 128, 256}, pages[] = {0, 0, 8, 16, 64};
  fl4__random r;
  fl4__random_init(&r, seed);
  append_case c = {.seed = seed};
  c.dtype = (int)fl4__random_below(&r, fp32 ? 3 : 2);
  c.B = 1 + (int)fl4__random_below(&r, 5), c.Hkv = 1 + (int)fl4__random_below(&r, 3);
  c.Sn = (int)fl4__random_below(&r, fl4__random_below(&r, 2) ? 3 : 40), c.Sk = (int)fl4__random_below(&r, 100);
  c.D = dims[fl4__random_below(&r, 6)];
  c.rotary = (int)fl4__random_below(&r, 3);
  if (c.rotary) {
    c.rotary_dim = fl4__random_below(&r, 2) ? c.D : 2 + 2 * (int)fl4__random_below(&r, (uint32_t)c.D / 2);
    if (fl4__random_below(&r, 3) == 0 && c.D >= 16) c.rotary_dim = 16;
    c.max_position = fl4__random_below(&r, 4) ? 150 : 1 + (int)fl4__random_below(&r, 30);
    c.Hq = fl4__random_below(&r, 3) ? c.Hkv * (1 + (int)fl4__random_below(&r, 3)) : 0;
    c.in_place = c.Hq && fl4__random_below(&r, 2);
  }
  c.page_size = pages[fl4__random_below(&r, 5)];
  c.ragged = fl4__random_below(&r, 2), c.used = fl4__random_below(&r, 4) > 0, c.after = fl4__random_below(&r, 2);
  c.bad = fl4__random_below(&r, 3) == 0, c.wild = c.ragged && fl4__random_below(&r, 6) == 0;
  c.layout = (append_layout)fl4__random_below(&r, APPEND_LAYOUTS);
  return c;
}

void append_describe(const append_case *c, char text[192])
{
  static const char *const dtypes[] = {"fp16", "bf16", "fp32"}, *const kinds[] = {"", " halves", " pairs"},
                           *const layouts[] = {"", " rows-first", " odd"};
  snprintf(text, 192, "b%dhq%dhkv%d new%d of%d d%d %s%s%d@%d page%d%s%s%s%s%s%s%s seed %llu", c->B, c->Hq, c->Hkv,
           c->Sn, c->Sk, c->D, dtypes[c->dtype], kinds[c->rotary], c->rotary_dim, c->max_position, c->page_size,
           c->ragged ? " ragged" : "", c->used ? " used" : "", c->after ? " after" : "", c->in_place ? " in-place" : "",
           c->bad ? " bad" : "", c->wild ? " wild" : "", layouts[c->layout], (unsigned long long)c->seed);
}

/* ---------------------------------------------------------------- memory */

static void reserve(rig *r, int which, int64_t elements, int element)
{
  buffer *b = &r->at[which];
  b->elements = (size_t)elements + 2 * GUARD, b->element = (size_t)element;
  b->host = malloc(b->elements * b->element);
  fl4__canary_fill(b->host, b->elements * b->element);
}

/* Rows [n0][n1][n2] of D elements in the case's layout. */
static void reserve_rows(rig *r, int which, int64_t n0, int64_t n1, int64_t n2)
{
  const append_case *c = r->c;
  int64_t row = c->D, *stride = r->at[which].stride;
  if (c->layout == APPEND_ROWS_FIRST) row += 8;
  if (c->layout == APPEND_ODD) row += 3;
  const bool rows_first = c->layout == APPEND_ROWS_FIRST ||
                          (c->layout == APPEND_CONTIGUOUS && c->page_size && (which == K || which == V));
  stride[1] = rows_first ? row : n2 * row;
  stride[2] = rows_first ? n1 * row : row;
  stride[0] = n1 * n2 * row;
  reserve(r, which, n0 * stride[0], fl4__dtype_size(c->dtype));
}

static void *inside(const rig *r, int which)
{
  const buffer *b = &r->at[which];
  return b->host ? b->host + GUARD * b->element : NULL;
}

static void *there(const rig *r, int which)
{
  const buffer *b = &r->at[which];
  return b->host ? (char *)b->device + GUARD * b->element : NULL;
}

static fl4_status upload(rig *r)
{
  fl4__device *d = r->ctx->device;
  for (int i = 0; i < N_BUFFERS; i++) {
    buffer *b = &r->at[i];
    if (!b->host) continue;
    fl4_status status = b->device ? FL4_OK : d->backend->alloc(d, b->elements * b->element, &b->device);
    if (status == FL4_OK) status = d->backend->upload(d, b->device, b->host, b->elements * b->element);
    if (status != FL4_OK) return status;
  }
  return d->backend->synchronize(d);
}

static fl4_status download(rig *r, int run)
{
  fl4__device *d = r->ctx->device;
  fl4_status status = d->backend->synchronize(d);
  for (int i = 0; i < N_BUFFERS && status == FL4_OK; i++) {
    buffer *b = &r->at[i];
    if (!b->host) continue;
    b->found[run] = malloc(b->elements * b->element);
    status = d->backend->download(d, b->found[run], b->device, b->elements * b->element);
  }
  return status;
}

static void tear_down(rig *r)
{
  fl4__device *d = r->ctx->device;
  for (int i = 0; i < N_BUFFERS; i++) {
    buffer *b = &r->at[i];
    if (b->device) d->backend->release(d, b->device);
    free(b->host), free(b->expected), free(b->found[0]), free(b->found[1]), free(b->turned), free(b->slack);
  }
}

/* ---------------------------------------------------------------- lengths and pages */

static const int32_t bad_numbers[] = {-1, INT32_MIN, INT32_MAX, 1 << 20};

static bool now_bad(rig *r)
{
  return r->c->bad && fl4__random_below(&r->random, 3) == 0;
}

static void make_lengths(rig *r)
{
  const append_case *c = r->c;
  int32_t *cu = NULL, *used = NULL;
  r->total_new = 2;
  if (c->ragged) reserve(r, CU_NEW, c->B + 1, 4), cu = inside(r, CU_NEW), cu[0] = 2;
  if (c->used) reserve(r, USED, c->B, 4), used = inside(r, USED);
  if (c->after) reserve(r, AFTER, c->B, 4);
  for (int b = 0; b < c->B; b++) {
    r->new_tokens[b] = c->ragged ? (int)fl4__random_below(&r->random, (uint32_t)c->Sn + 1) : c->Sn;
    r->total_new += r->new_tokens[b];
    if (cu) cu[b + 1] = (int32_t)r->total_new;
    r->used[b] = c->used ? (int)fl4__random_below(&r->random, (uint32_t)c->Sk + 1) : 0;
    if (!used) continue;
    used[b] = now_bad(r) ? bad_numbers[fl4__random_below(&r->random, 4)] : r->used[b];
    r->used[b] = used[b] < 0 ? 0 : used[b] > c->Sk ? c->Sk : used[b];
  }
  r->total_new += 3;
  for (int b = 0; c->wild && b <= c->B; b++)
    cu[b] = fl4__random_below(&r->random, 2) ? bad_numbers[fl4__random_below(&r->random, 4)]
                                             : (int32_t)fl4__random_below(&r->random, (uint32_t)r->total_new);
}

/* Pages in any order, each of one sequence. */
static void make_pages(rig *r)
{
  const append_case *c = r->c;
  if (!c->page_size) return;
  r->columns = fl4__ceil_div(c->Sk, c->page_size);
  const int n = c->B * (int)r->columns;
  r->n_pages = n + 3;
  reserve(r, TABLE, n, 4);
  int32_t *table = inside(r, TABLE);
  for (int i = 0; i < n; i++) {
    const int j = (int)fl4__random_below(&r->random, (uint32_t)i + 1);
    table[i] = table[j], table[j] = i + 1;
  }
  for (int i = 0; i < n; i++)
    if (now_bad(r))
      table[i] = fl4__random_below(&r->random, 2) ? (int32_t)r->n_pages : bad_numbers[fl4__random_below(&r->random, 4)];
}

/* ---------------------------------------------------------------- rows */

static float normal(rig *r)
{
  double x = 0;
  for (int i = 0; i < 4; i++) x += fl4__random_unit(&r->random) - 0.5;
  return (float)(x * 1.7320508);
}

/* Numbers where the row will be turned, else whatever the bits may be. */
static void fill_row(rig *r, int which, int64_t at, int turned)
{
  const append_case *c = r->c;
  buffer *b = &r->at[which];
  for (int d = 0; d < c->D; d++) {
    const uint32_t bits = fl4__random_next(&r->random);
    memcpy((char *)inside(r, which) + (size_t)(at + d) * b->element, &bits, b->element);
    if (d < turned) fl4__store(inside(r, which), c->dtype, at + d, normal(r));
  }
}

static int64_t offset(const rig *r, int which, int64_t n0, int64_t h, int64_t row)
{
  const int64_t *s = r->at[which].stride;
  return n0 * s[0] + h * s[1] + row * s[2];
}

static void make_tensors(rig *r)
{
  const append_case *c = r->c;
  const int64_t batch = c->ragged ? 1 : c->B, rows = c->ragged ? r->total_new : c->Sn;
  reserve_rows(r, K_NEW, batch, c->Hkv, rows), reserve_rows(r, V_NEW, batch, c->Hkv, rows);
  reserve_rows(r, K, c->page_size ? r->n_pages : c->B, c->Hkv, c->page_size ? c->page_size : c->Sk);
  reserve_rows(r, V, c->page_size ? r->n_pages : c->B, c->Hkv, c->page_size ? c->page_size : c->Sk);
  if (c->Hq) reserve_rows(r, Q, batch, c->Hq, rows);
  if (c->Hq && !c->in_place) reserve_rows(r, Q_OUT, batch, c->Hq, rows);
  for (int which = COS; c->rotary && which <= SIN; which++) {
    const int64_t n = (int64_t)c->max_position * (c->rotary_dim / 2);
    reserve(r, which, n, 4);
    for (int64_t i = 0; i < n; i++) ((float *)inside(r, which))[i] = normal(r);
  }
  /* Rows that no sequence has stay NaN. */
  const int32_t *cu = inside(r, CU_NEW);
  for (int b = 0; b < c->B; b++)
    for (int i = 0; i < r->new_tokens[b]; i++) {
      const int64_t n0 = c->ragged ? 0 : b, row = c->ragged && !c->wild ? cu[b] + i : i;
      for (int h = 0; h < c->Hkv; h++) {
        fill_row(r, K_NEW, offset(r, K_NEW, n0, h, row), c->rotary_dim);
        fill_row(r, V_NEW, offset(r, V_NEW, n0, h, row), 0);
      }
      for (int h = 0; h < c->Hq; h++) fill_row(r, Q, offset(r, Q, n0, h, row), c->rotary_dim);
    }
}

/* ---------------------------------------------------------------- the model */

static void expect_row(rig *r, int from, int64_t at, int to, int64_t to_at, int turned, int position)
{
  const append_case *c = r->c;
  buffer *b = &r->at[to];
  memcpy(b->expected + (size_t)(GUARD + to_at) * b->element, (char *)inside(r, from) + (size_t)at * b->element,
         (size_t)c->D * b->element);
  const int half = turned / 2;
  const int64_t angles = (int64_t)(position < c->max_position ? position : c->max_position - 1) * half;
  for (int d = 0; d < turned; d++) {
    const bool pairs = c->rotary == FL4_ROTARY_PAIRS, later = pairs ? d % 2 : d >= half;
    const int pair = pairs ? d / 2 : d % half, other = pairs ? d ^ 1 : later ? d - half : d + half;
    const double cosine = (double)((float *)inside(r, COS))[angles + pair],
                 sine = (double)((float *)inside(r, SIN))[angles + pair];
    const double x = (double)fl4__load(inside(r, from), c->dtype, at + d),
                 y = (double)fl4__load(inside(r, from), c->dtype, at + other);
    const double turned_x = x * cosine + (later ? y * sine : -y * sine);
    b->turned[GUARD + to_at + d] = turned_x;
    /* One rounding to the dtype, and what fp32 loses. */
    b->slack[GUARD + to_at + d] = 0.5001 * fl4__epsilon(c->dtype) * fabs(turned_x) + 0x1p-25 +
                                  0x1p-22 * (fabs(x * cosine) + fabs(y * sine));
  }
}

static void expect_key(rig *r, int b, int64_t n0, int64_t row, int position)
{
  const append_case *c = r->c;
  int64_t place = b, slot = position;
  if (position >= c->Sk) return;
  if (c->page_size) {
    place = ((int32_t *)inside(r, TABLE))[b * r->columns + position / c->page_size], slot = position % c->page_size;
    if (place < 0 || place >= r->n_pages) return;
  }
  for (int h = 0; h < c->Hkv; h++) {
    expect_row(r, K_NEW, offset(r, K_NEW, n0, h, row), K, offset(r, K, place, h, slot), c->rotary_dim, position);
    expect_row(r, V_NEW, offset(r, V_NEW, n0, h, row), V, offset(r, V, place, h, slot), 0, 0);
  }
}

static void expect_all(rig *r)
{
  const append_case *c = r->c;
  for (int i = 0; i < N_BUFFERS; i++) {
    buffer *b = &r->at[i];
    if (!b->host) continue;
    b->expected = malloc(b->elements * b->element);
    memcpy(b->expected, b->host, b->elements * b->element);
    b->turned = calloc(b->elements, sizeof *b->turned), b->slack = calloc(b->elements, sizeof *b->slack);
  }
  const int32_t *cu = inside(r, CU_NEW);
  for (int b = 0; b < c->B && !c->wild; b++) {
    const int after = r->used[b] + r->new_tokens[b];
    if (c->after) ((int32_t *)(void *)r->at[AFTER].expected)[GUARD + b] = after < c->Sk ? after : c->Sk;
    for (int i = 0; i < r->new_tokens[b]; i++) {
      const int64_t n0 = c->ragged ? 0 : b, row = c->ragged ? cu[b] + i : i;
      expect_key(r, b, n0, row, r->used[b] + i);
      for (int h = 0; h < c->Hq; h++)
        expect_row(r, Q, offset(r, Q, n0, h, row), c->in_place ? Q : Q_OUT, offset(r, Q, n0, h, row), c->rotary_dim,
                   r->used[b] + i);
    }
  }
}

static bool check_buffer(const rig *r, int which)
{
  static const char *const names[] = {"k_new", "v_new", "k",      "v",     "q",   "q_out",
                                      "used",  "after", "cu_new", "table", "cos", "sin"};
  const buffer *b = &r->at[which];
  for (size_t i = 0; i < b->elements; i++) {
    if (r->c->wild && i >= GUARD && i < b->elements - GUARD) continue;
    const char *found = b->found[0] + i * b->element;
    if (b->slack[i] > 0) {
      const double x = (double)fl4__load(b->found[0], r->c->dtype, (int64_t)i);
      if (fabs(x - b->turned[i]) <= b->slack[i]) continue;
      snprintf(r->why, 512, "%s[%lld] is %g, must be %g", names[which], (long long)i - GUARD, x, b->turned[i]);
      return false;
    }
    if (memcmp(found, b->expected + i * b->element, b->element) == 0) continue;
    snprintf(r->why, 512, "%s[%lld] of %lld has not the bits it must have", names[which], (long long)i - GUARD,
             (long long)b->elements - 2 * GUARD);
    return false;
  }
  return true;
}

/* ---------------------------------------------------------------- the call */

static fl4_status call(rig *r)
{
  const append_case *c = r->c;
  fl4_kv_append_args a = FL4_KV_APPEND_ARGS_INIT;
  a.dtype = c->dtype, a.rotary = c->rotary;
  a.B = c->B, a.Hq = c->Hq, a.Hkv = c->Hkv, a.Sn = c->Sn, a.Sk = c->Sk, a.D = c->D;
  a.k_new = there(r, K_NEW), a.v_new = there(r, V_NEW), a.k = there(r, K), a.v = there(r, V);
  a.q = there(r, Q), a.q_out = there(r, c->in_place ? Q : Q_OUT);
  a.seqused_k = there(r, USED), a.seqused_k_after = there(r, AFTER);
  a.cu_seqlens_new = there(r, CU_NEW), a.total_new = c->ragged ? r->total_new : 0;
  a.rotary_cos = there(r, COS), a.rotary_sin = there(r, SIN);
  a.rotary_dim = c->rotary_dim, a.max_position = c->max_position;
  if (c->page_size) a.block_table = there(r, TABLE), a.n_pages = r->n_pages, a.page_size = c->page_size;
  int64_t *const strides[] = {a.k_new_stride, a.v_new_stride, a.k_stride, a.v_stride, a.q_stride, a.q_out_stride};
  for (int i = 0; i < 6 && c->layout != APPEND_CONTIGUOUS; i++)
    memcpy(strides[i], r->at[i == Q_OUT && c->in_place ? Q : i].stride, sizeof r->at[i].stride);
  return fl4_kv_append(r->ctx, &a, NULL);
}

bool append_run(fl4_context *ctx, const append_case *c, char why[512])
{
  rig r = {.c = c, .ctx = ctx, .why = why};
  fl4__random_init(&r.random, c->seed + 99);
  make_lengths(&r);
  make_pages(&r);
  make_tensors(&r);
  expect_all(&r);
  fl4_status status = FL4_OK;
  for (int run = 0; run < 2 && status == FL4_OK; run++) {
    status = upload(&r);
    if (status == FL4_OK) status = call(&r);
    if (status == FL4_OK) status = download(&r, run);
  }
  bool right = status == FL4_OK;
  if (!right) snprintf(why, 512, "%s: %s", fl4_status_name(status), fl4_last_error());
  for (int i = 0; i < N_BUFFERS && right; i++) {
    const buffer *b = &r.at[i];
    if (!b->host) continue;
    right = memcmp(b->found[0], b->found[1], b->elements * b->element) == 0;
    if (!right) snprintf(why, 512, "two runs differ");
    if (right) right = check_buffer(&r, i);
  }
  tear_down(&r);
  return right;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "feature_rig.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "context.h"
#include "oracle/check.h"
#include "util/random.h"

enum { MOST_SEQUENCES = 64, GUARD = 64 };

/* Memory here and on the device. */
typedef struct buffer {
  size_t bytes;
  char *host;
  void *device;
} buffer;

enum { Q, K, V, O, LSE, SLOPES, SINKS, BIAS, CU_Q, CU_K, USED_K, TABLE, N_BUFFERS };

typedef struct rig {
  const feature_case *c;
  fl4_context *ctx;
  buffer at[N_BUFFERS];
  int element, Sq, Sk;
  int queries[MOST_SEQUENCES], keys[MOST_SEQUENCES], room[MOST_SEQUENCES]; /* room: keys that there is memory for */
  int64_t total_q, total_k, n_pages;
  fl4_attention_args args; /* with this machine's memory */
  double *ref, *low, *lse;
  char *why;
} rig;

/* ---------------------------------------------------------------- memory */

static bool reserve(rig *r, int which, size_t bytes)
{
  buffer *b = &r->at[which];
  b->bytes = bytes + 2 * GUARD * 4;
  b->host = malloc(b->bytes);
  if (!b->host) return false;
  fl4__canary_fill(b->host, b->bytes); /* which is NaN */
  return true;
}

static void *inside(const rig *r, int which)
{
  return r->at[which].host ? r->at[which].host + (size_t)GUARD * 4 : NULL;
}

/* The same place on the device. */
static void *there(const rig *r, int which)
{
  return r->at[which].host ? (char *)r->at[which].device + (size_t)GUARD * 4 : NULL;
}

static fl4_status upload(rig *r)
{
  fl4__device *d = r->ctx->device;
  for (int i = 0; i < N_BUFFERS; i++) {
    buffer *b = &r->at[i];
    if (!b->host) continue;
    fl4_status status = b->device ? FL4_OK : d->backend->alloc(d, b->bytes, &b->device);
    if (status == FL4_OK) status = d->backend->upload(d, b->device, b->host, b->bytes);
    if (status != FL4_OK) return status;
  }
  return d->backend->synchronize(d);
}

static void tear_down(rig *r)
{
  fl4__device *d = r->ctx->device;
  for (int i = 0; i < N_BUFFERS; i++) {
    if (r->at[i].device) d->backend->release(d, r->at[i].device);
    free(r->at[i].host);
  }
  free(r->ref), free(r->low), free(r->lse);
}

/* ---------------------------------------------------------------- lengths */

static int length(const feature_case *c, fl4__random *random, int most)
{
  if (!c->edges) return (int)fl4__random_below(random, (uint32_t)most + 1);
  const int page = c->page_size ? c->page_size : 16, edges[] = {0, 1, page - 1, page, page + 1, most};
  const int n = edges[fl4__random_below(random, 6)];
  return n < most ? n : most;
}

static int id_of(const feature_case *c, int b)
{
  return c->ids ? c->ids[b] : b;
}

static fl4__random stream(const feature_case *c, int b, int what)
{
  fl4__random random;
  fl4__random_init(&random, c->seed * 1000003u + (uint64_t)id_of(c, b) * 101u + (uint64_t)what);
  return random;
}

static void choose_lengths(rig *r)
{
  const feature_case *c = r->c;
  r->Sq = c->Sq + (c->ragged_q ? c->spare : 0), r->Sk = c->Sk + (c->ragged_k || c->used_k ? c->spare : 0);
  r->total_q = r->total_k = 2; /* rows before the first sequence, and behind the last */
  for (int b = 0; b < c->B; b++) {
    fl4__random random = stream(c, b, 0);
    r->queries[b] = c->ragged_q ? length(c, &random, c->Sq) : c->Sq;
    r->room[b] = c->ragged_k ? length(c, &random, c->Sk) : c->Sk;
    r->keys[b] = c->used_k ? length(c, &random, r->room[b]) : r->room[b];
    if (!c->ragged_k) r->room[b] = r->Sk;
    r->total_q += r->queries[b], r->total_k += r->room[b];
  }
  r->total_q += 3, r->total_k += 3;
}

static bool make_lengths(rig *r)
{
  const feature_case *c = r->c;
  int32_t *cu_q = NULL, *cu_k = NULL, *used = NULL;
  if (c->ragged_q && (!reserve(r, CU_Q, 4 * ((size_t)c->B + 1)) || !(cu_q = inside(r, CU_Q)))) return false;
  if (c->ragged_k && (!reserve(r, CU_K, 4 * ((size_t)c->B + 1)) || !(cu_k = inside(r, CU_K)))) return false;
  if (c->used_k && (!reserve(r, USED_K, 4 * (size_t)c->B) || !(used = inside(r, USED_K)))) return false;
  if (cu_q) cu_q[0] = 2;
  if (cu_k) cu_k[0] = 2;
  for (int b = 0; b < c->B; b++) {
    if (cu_q) cu_q[b + 1] = cu_q[b] + r->queries[b];
    if (cu_k) cu_k[b + 1] = cu_k[b] + r->room[b];
    if (used) used[b] = r->keys[b];
  }
  return true;
}

/* ---------------------------------------------------------------- tensors */

static void fill_row(const rig *r, void *base, int64_t offset, fl4__random *random, float factor)
{
  for (int d = 0; d < r->c->D; d++) {
    /* Sum of four: nearly normal, of variance 1. */
    double x = -2;
    for (int i = 0; i < 4; i++) x += fl4__random_unit(random);
    fl4__store(base, r->c->dtype, offset + d, (float)(x * 1.7320508) * factor);
  }
}

static bool make_queries(rig *r)
{
  const feature_case *c = r->c;
  const int64_t D = c->D + c->pad, rows = c->ragged_q ? r->total_q : (int64_t)c->B * r->Sq;
  if (!reserve(r, Q, (size_t)(rows * c->Hq * D * r->element)) ||
      !reserve(r, O, (size_t)(rows * c->Hq * D * r->element)))
    return false;
  if (c->lse && !reserve(r, LSE, (size_t)(rows * c->Hq) * 4)) return false;
  fl4_attention_args *a = &r->args;
  if (c->ragged_q) { /* [total][h][d] */
    a->q_stride[1] = a->o_stride[1] = D, a->q_stride[2] = a->o_stride[2] = c->Hq * D;
    a->lse_stride[1] = rows, a->lse_stride[2] = 1;
  } else {
    a->q_stride[0] = a->o_stride[0] = c->Hq * c->Sq * D, a->q_stride[1] = a->o_stride[1] = c->Sq * D;
    a->q_stride[2] = a->o_stride[2] = D;
    a->lse_stride[0] = (int64_t)c->Hq * c->Sq, a->lse_stride[1] = c->Sq, a->lse_stride[2] = 1;
  }
  int64_t first = 2;
  for (int b = 0; b < c->B; first += r->queries[b++]) {
    fl4__random random = stream(c, b, 1);
    for (int h = 0; h < c->Hq; h++)
      for (int i = 0; i < r->queries[b]; i++)
        fill_row(r, inside(r, Q),
                 c->ragged_q ? h * a->q_stride[1] + (first + i) * a->q_stride[2]
                             : b * a->q_stride[0] + h * a->q_stride[1] + i * a->q_stride[2],
                 &random, c->spread != 0 ? c->spread : 1);
  }
  return true;
}

/* Pages in disorder, some that nobody uses, and table entries behind the last key that are no page at all. */
static bool make_table(rig *r, int columns)
{
  const feature_case *c = r->c;
  const int n = c->B * columns;
  if (!reserve(r, TABLE, 4 * (size_t)(n ? n : 1))) return false;
  int32_t *table = inside(r, TABLE);
  int32_t *order = malloc(sizeof *order * (size_t)r->n_pages);
  if (!order) return false;
  fl4__random random = stream(c, 0, 2);
  for (int32_t i = 0; i < r->n_pages; i++) order[i] = i;
  for (int32_t i = (int32_t)r->n_pages - 1; i > 0; i--) {
    const int32_t j = (int32_t)fl4__random_below(&random, (uint32_t)i + 1), x = order[i];
    order[i] = order[j], order[j] = x;
  }
  for (int i = 0; i < n; i++) {
    const bool used = i % columns * c->page_size < r->keys[i / columns];
    table[i] = used ? order[i] : i % 3 == 0 ? -7 : i % 3 == 1 ? INT32_MAX : order[i];
  }
  free(order);
  return true;
}

static int64_t key_row(const rig *r, const int64_t stride[3], int b, int h, int j, int64_t first)
{
  const feature_case *c = r->c;
  if (c->ragged_k) return h * stride[1] + (first + j) * stride[2];
  if (!c->page_size) return b * stride[0] + h * stride[1] + j * stride[2];
  const int columns = (r->Sk + c->page_size - 1) / c->page_size;
  const int32_t page = ((const int32_t *)inside(r, TABLE))[b * columns + j / c->page_size];
  return page * stride[0] + h * stride[1] + j % c->page_size * stride[2];
}

static bool make_keys(rig *r)
{
  const feature_case *c = r->c;
  fl4_attention_args *a = &r->args;
  const int64_t D = c->D + c->pad, H = c->Hkv;
  int64_t rows = (int64_t)c->B * r->Sk;
  const int64_t dense[3] = {H * r->Sk * D, r->Sk * D, D}, ragged[3] = {0, D, H * D};
  const int64_t slots[3] = {c->page_size * H * D, D, H * D}, heads[3] = {c->page_size * H * D, c->page_size * D, D};
  const int64_t *stride = c->ragged_k ? ragged : !c->page_size ? dense : c->heads_first ? heads : slots;
  if (c->ragged_k) rows = r->total_k;
  if (c->page_size) {
    const int columns = (r->Sk + c->page_size - 1) / c->page_size;
    r->n_pages = (int64_t)c->B * columns + 3, rows = r->n_pages * c->page_size;
    if (!make_table(r, columns)) return false;
  }
  const int64_t *v_stride = c->page_size && c->seed % 2 ? (c->heads_first ? slots : heads) : stride;
  memcpy(a->k_stride, stride, sizeof a->k_stride), memcpy(a->v_stride, v_stride, sizeof a->v_stride);
  if (!reserve(r, K, (size_t)(rows * H * D * r->element)) || !reserve(r, V, (size_t)(rows * H * D * r->element)))
    return false;
  int64_t first = 2;
  for (int b = 0; b < c->B; first += r->room[b++]) {
    fl4__random random = stream(c, b, 3);
    for (int h = 0; h < c->Hkv; h++)
      for (int j = 0; j < r->keys[b]; j++) {
        fill_row(r, inside(r, K), key_row(r, stride, b, h, j, first), &random, 1);
        fill_row(r, inside(r, V), key_row(r, v_stride, b, h, j, first), &random, 1);
      }
  }
  return true;
}

/* ---------------------------------------------------------------- scores */

/* Whether element i of the bias belongs to a key that some sequence has. */
static bool bias_counts(const rig *r, int64_t i)
{
  const feature_case *c = r->c;
  const int64_t j = c->broadcast & 8 ? 0 : i % c->Sk, of_b = r->args.bias_stride[0];
  for (int b = 0; b < c->B; b++)
    if ((!of_b || i / of_b == b) && j < r->keys[b]) return true;
  return false;
}

/* Of the square that element i of a mask lies in: most are hidden as a whole, many shown as a whole. */
enum square { HIDDEN, SHOWN, MIXED };
static enum square square_of(const rig *r, int64_t i)
{
  const feature_case *c = r->c;
  const int64_t n[4] = {c->B, c->Hq, r->Sq, r->Sk};
  uint64_t square = 0;
  for (int d = 3; d >= 0; d--) {
    if (c->broadcast >> d & 1) continue;
    square = square * 1009 + (uint64_t)(d < 2 ? i % n[d] : i % n[d] / c->blocks);
    i /= n[d];
  }
  fl4__random random;
  fl4__random_init(&random, c->seed * 7919u + square);
  const double x = fl4__random_unit(&random);
  return x < 0.65 ? HIDDEN : x < 0.9 ? SHOWN : MIXED;
}

/* The bias of keys that are not there stays NaN; as bytes, it shows them. */
static bool make_scores(rig *r)
{
  const feature_case *c = r->c;
  fl4__random random = stream(c, 0, 4);
  const int n_slopes = c->own_slopes ? c->B * c->Hq : c->Hq;
  if (c->alibi && !reserve(r, SLOPES, 4 * (size_t)n_slopes)) return false;
  if (c->sinks && !reserve(r, SINKS, 4 * (size_t)c->Hq)) return false;
  for (int i = 0; c->alibi && i < n_slopes; i++) {
    const int at = i % c->Hq + (c->own_slopes ? 3 * id_of(c, i / c->Hq) : 0);
    ((float *)inside(r, SLOPES))[i] = exp2f(-(float)(at % 8) * 0.7f) * 0.3f;
  }
  for (int h = 0; c->sinks && h < c->Hq; h++)
    ((float *)inside(r, SINKS))[h] = h % 4 == 3 ? 9.f : (float)fl4__random_unit(&random) * 4 - 1;
  if (!c->bias) return true;

  const int type = c->bias - 1, element = type == FL4_BIAS_BOOL ? 1 : type == FL4_BIAS_FP32 ? 4 : 2;
  const int64_t n[4] = {c->B, c->Hq, r->Sq, r->Sk};
  int64_t size = 1;
  for (int i = 3; i >= 0; i--) {
    const bool one = c->broadcast >> i & 1;
    r->args.bias_stride[i] = one ? 0 : size;
    size *= one ? 1 : n[i];
  }
  if (!reserve(r, BIAS, (size_t)(size * element))) return false;
  for (int64_t i = 0; i < size; i++) {
    const double x = fl4__random_unit(&random), y = fl4__random_unit(&random);
    if (!bias_counts(r, i)) continue;
    if (type == FL4_BIAS_BOOL) {
      const enum square square = c->blocks ? square_of(r, i) : MIXED;
      const bool hidden = square == HIDDEN || (square == MIXED && x < 0.3);
      ((unsigned char *)inside(r, BIAS))[i] = hidden ? 0 : (unsigned char)(1 + 200 * y);
    } else
      fl4__store(inside(r, BIAS), type, i, x < 0.2 ? -INFINITY : (float)(y * 4 - 2));
  }
  return true;
}

/* ---------------------------------------------------------------- the call */

static void make_args(rig *r)
{
  const feature_case *c = r->c;
  fl4_attention_args *a = &r->args;
  a->dtype = c->dtype, a->mask = c->mask, a->B = c->B, a->Hq = c->Hq, a->Hkv = c->Hkv;
  a->Sq = r->Sq, a->Sk = r->Sk, a->D = c->D;
  a->window_left = c->left, a->window_right = c->right, a->softcap = c->softcap, a->flags = c->flags;
  a->bias_type = c->bias ? c->bias - 1 : 0;
  if (c->alibi && c->own_slopes) a->alibi_stride[0] = c->Hq, a->alibi_stride[1] = 1;
  a->page_size = c->page_size, a->n_pages = r->n_pages;
  a->total_q = c->ragged_q ? r->total_q : 0, a->total_k = c->ragged_k ? r->total_k : 0;
}

static fl4_attention_args args_at(const rig *r, void *(*place)(const rig *, int))
{
  fl4_attention_args a = r->args;
  a.q = place(r, Q), a.k = place(r, K), a.v = place(r, V), a.o = place(r, O), a.lse = place(r, LSE);
  a.alibi_slopes = place(r, SLOPES), a.sinks = place(r, SINKS), a.bias = place(r, BIAS);
  a.cu_seqlens_q = place(r, CU_Q), a.cu_seqlens_k = place(r, CU_K), a.seqused_k = place(r, USED_K);
  a.block_table = place(r, TABLE);
  return a;
}

static bool make(rig *r)
{
  r->args = (fl4_attention_args)FL4_ATTENTION_ARGS_INIT;
  r->element = fl4__dtype_size(r->c->dtype);
  choose_lengths(r);
  const size_t rows = (size_t)r->c->B * (size_t)r->c->Hq * (size_t)r->Sq, D = (size_t)r->c->D;
  r->ref = malloc((rows * D + 1) * sizeof *r->ref), r->low = malloc((rows * D + 1) * sizeof *r->low);
  r->lse = malloc((rows + 1) * sizeof *r->lse);
  if (!r->ref || !r->low || !r->lse || !make_lengths(r) || !make_queries(r) || !make_keys(r) || !make_scores(r))
    return false;
  make_args(r);
  return true;
}

/* ---------------------------------------------------------------- the verdict */

static int64_t out_row(const rig *r, const int64_t stride[3], int b, int h, int i)
{
  const int64_t first = r->c->ragged_q ? ((const int32_t *)inside(r, CU_Q))[b] : 0;
  return (r->c->ragged_q ? 0 : b * stride[0]) + h * stride[1] + (first + i) * stride[2];
}

/* Compares a row, and puts the canary back, so that what is left of it afterwards is what was not to be written. */
static void take_row(rig *r, fl4__compare *c, int b, int h, int i)
{
  const int64_t D = r->c->D, from = out_row(r, r->args.o_stride, b, h, i);
  const int64_t row = ((int64_t)b * r->c->Hq + h) * r->Sq + i;
  for (int64_t d = 0; d < D; d++) {
    const double out = (double)fl4__load(inside(r, O), r->c->dtype, from + d);
    fl4__compare_add(c, (const int64_t[4]){b, h, i, d}, out, r->ref[row * D + d], r->low[row * D + d]);
  }
  fl4__canary_fill((char *)inside(r, O) + from * r->element, (size_t)(D * r->element));
  if (!r->c->lse) return;
  float *lse = (float *)inside(r, LSE) + out_row(r, r->args.lse_stride, b, h, i);
  fl4__compare_lse(c, (double)*lse, r->lse[row]);
  fl4__canary_fill(lse, sizeof *lse);
}

static bool untouched(const rig *r, int which)
{
  const buffer *b = &r->at[which];
  if (!b->host) return true;
  char *canary = malloc(b->bytes);
  if (!canary) return false;
  fl4__canary_fill(canary, b->bytes);
  const bool same = memcmp(canary, b->host, b->bytes) == 0;
  free(canary);
  return same;
}

static bool judge(rig *r)
{
  const feature_case *c = r->c;
  fl4_check_result result = FL4_CHECK_RESULT_INIT;
  fl4__compare compare;
  fl4__compare_init(&compare, c->dtype, c->D);
  for (int b = 0; b < c->B; b++)
    for (int h = 0; h < c->Hq; h++)
      for (int i = 0; i < r->queries[b]; i++) take_row(r, &compare, b, h, i);
  fl4__compare_judge(&compare, c->lse, &result);
  const int64_t *w = result.worst;
  if (compare.n > 0 && (!result.finite || !result.accurate || !result.lse_accurate)) {
    snprintf(
        r->why, 512,
        "finite %d, max error %g of %g, mean %g of %g, lse %g of %g; worst at b %d h %d i %d d %d: %g, not %g (of %d "
        "queries, %d keys)",
        result.finite, result.max_error, result.max_allowed, result.mean_error, result.mean_allowed, result.lse_error,
        result.lse_allowed, (int)w[0], (int)w[1], (int)w[2], (int)w[3], result.worst_out, result.worst_ref,
        r->queries[w[0]], r->keys[w[0]]);
    return false;
  }
  if (!untouched(r, O)) return snprintf(r->why, 512, "O is written outside of its rows"), false;
  if (!untouched(r, LSE)) return snprintf(r->why, 512, "the LSE is written outside of its rows"), false;
  return true;
}

static void keep(const rig *r, uint16_t *kept)
{
  const feature_case *c = r->c;
  uint16_t *const kept_lse = kept + c->Hq * c->Sq * c->D;
  for (int h = 0; h < c->Hq; h++)
    for (int i = 0; i < r->queries[0]; i++) {
      const int row = h * c->Sq + i;
      memcpy(kept + row * c->D, (uint16_t *)inside(r, O) + out_row(r, r->args.o_stride, 0, h, i), (size_t)c->D * 2);
      if (c->lse) memcpy(kept_lse + row * 2, (float *)inside(r, LSE) + out_row(r, r->args.lse_stride, 0, h, i), 4);
    }
}

/* Outputs hold canaries before each call: what one leaves must not do for the next. */
static fl4_status run_once(rig *r, const fl4_attention_args *a)
{
  fl4__device *d = r->ctx->device;
  buffer *outputs[] = {&r->at[O], &r->at[LSE]};
  fl4_status status = FL4_OK;
  for (int i = 0; i < 2; i++) {
    if (!outputs[i]->host) continue;
    fl4__canary_fill(outputs[i]->host, outputs[i]->bytes);
    if (status == FL4_OK) status = d->backend->upload(d, outputs[i]->device, outputs[i]->host, outputs[i]->bytes);
  }
  if (status == FL4_OK) status = d->backend->synchronize(d);
  if (status == FL4_OK) status = fl4_attention_forward(r->ctx, a, NULL);
  if (status == FL4_OK) status = d->backend->synchronize(d);
  for (int i = 0; i < 2; i++)
    if (status == FL4_OK && outputs[i]->host)
      status = d->backend->download(d, outputs[i]->host, outputs[i]->device, outputs[i]->bytes);
  return status;
}

static bool failed(rig *r, const char *what)
{
  snprintf(r->why, 512, "%s", what);
  return false;
}

/* Runs the call again; the outputs of the first one are here. */
static bool same_again(rig *r, const fl4_attention_args *a)
{
  const size_t o = r->at[O].bytes, lse = r->at[LSE].bytes;
  char *first = malloc(o + lse);
  if (!first) return failed(r, "no memory");
  memcpy(first, r->at[O].host, o);
  if (lse) memcpy(first + o, r->at[LSE].host, lse);
  const fl4_status status = run_once(r, a);
  const bool same = memcmp(first, r->at[O].host, o) == 0 && (!lse || memcmp(first + o, r->at[LSE].host, lse) == 0);
  free(first);
  if (status != FL4_OK) return failed(r, fl4_last_error());
  return same || failed(r, "a second call gives other bits");
}

static bool inputs_untouched(rig *r)
{
  static const char *const names[N_BUFFERS] = {
      "q",         "k",          "v", "o", "lse", "alibi_slopes", "sinks", "bias", "cu_seqlens_q", "cu_seqlens_k",
      "seqused_k", "block_table"};
  fl4__device *d = r->ctx->device;
  for (int i = 0; i < N_BUFFERS; i++) {
    const buffer *b = &r->at[i];
    if (!b->host || i == O || i == LSE) continue;
    char *now = malloc(b->bytes);
    if (!now) return failed(r, "no memory");
    const fl4_status status = d->backend->download(d, now, b->device, b->bytes);
    const bool same = status == FL4_OK && memcmp(now, b->host, b->bytes) == 0;
    free(now);
    if (status != FL4_OK) return failed(r, fl4_last_error());
    if (!same) return snprintf(r->why, 512, "%s, an input, was written to", names[i]), false;
  }
  return true;
}

static bool run(rig *r, uint16_t *kept)
{
  if (r->c->B > MOST_SEQUENCES)
    return snprintf(r->why, 512, "feature_case.B: is %d, may be at most %d", r->c->B, MOST_SEQUENCES), false;
  if (!make(r)) return failed(r, "no memory");
  const fl4_attention_args host = args_at(r, inside);
  if (fl4_oracle_fp64(&host, NULL, 0, r->ref, r->low, r->lse) != FL4_OK || upload(r) != FL4_OK)
    return failed(r, fl4_last_error());
  const fl4_attention_args device = args_at(r, there);
  if (run_once(r, &device) != FL4_OK) return failed(r, fl4_last_error());
  if (!inputs_untouched(r) || !same_again(r, &device)) return false;
  if (kept) keep(r, kept);
  return judge(r);
}

bool feature_run(fl4_context *ctx, const feature_case *c, uint16_t *kept, char why[512])
{
  rig r = {.c = c, .ctx = ctx, .why = why};
  why[0] = '\0';
  const bool right = run(&r, kept);
  tear_down(&r);
  return right;
}

/* ---------------------------------------------------------------- batches */

/* The first sequence that has at least half of the queries and keys that there may be. */
static int long_one(const feature_case *like)
{
  for (int id = 0;; id++) {
    feature_case c = *like;
    c.B = 1, c.ids = &id;
    rig r = {.c = &c};
    choose_lengths(&r);
    if (2 * r.queries[0] >= c.Sq && 2 * r.keys[0] >= c.Sk) return id;
  }
}

feature_case feature_batch(const feature_case *like, int number, int most, int ids[FEATURE_MOST_BATCH])
{
  feature_case c = *like;
  fl4__random random;
  fl4__random_init(&random, c.seed * 1009u + (uint64_t)number);
  c.B = number ? 2 + (int)fl4__random_below(&random, (uint32_t)most - 1) : 1;
  ids[0] = long_one(&c), c.ids = ids;
  for (int b = 1; b < c.B; b++) ids[b] = (int)fl4__random_below(&random, 1000);
  /* A bias for more is another one. */
  if (number && !c.bias) c.spare = (int)fl4__random_below(&random, (uint32_t)(c.ragged_q ? c.Sq : c.Sk) / 2 + 1);
  return c;
}

bool feature_same_in_batches(fl4_context *ctx, const feature_case *like, int n, int most, char why[512])
{
  const size_t bytes = (size_t)(like->Hq * like->Sq) * (size_t)(like->D + 2) * 2;
  uint16_t *alone = calloc(1, bytes), *among = calloc(1, bytes);
  bool right = alone && among;
  if (!right) snprintf(why, 512, "no memory");
  for (int i = 0; right && i <= n; i++) {
    int ids[FEATURE_MOST_BATCH];
    const feature_case c = feature_batch(like, i, most, ids);
    right = feature_run(ctx, &c, i ? among : alone, why);
    if (!right || i == 0 || memcmp(alone, among, bytes) == 0) continue;
    snprintf(why, 512, "other bits in batch %d of %d sequences, with %d keys to spare", i, c.B, c.spare);
    right = false;
  }
  free(alone), free(among);
  return right;
}

/* Nothing is read through these: that they are there says what is wanted. */
static void *somewhere(const rig *r, int which)
{
  const feature_case *c = r->c;
  const bool wanted[N_BUFFERS] = {
      [LSE] = c->lse,       [SLOPES] = c->alibi,  [SINKS] = c->sinks,   [BIAS] = c->bias != 0,
      [CU_Q] = c->ragged_q, [CU_K] = c->ragged_k, [USED_K] = c->used_k, [TABLE] = c->page_size != 0,
  };
  return wanted[which] ? (void *)(uintptr_t)4096 : NULL;
}

fl4_status feature_prepare(fl4_context *ctx, const feature_case *c)
{
  rig r = {.c = c, .ctx = ctx, .args = FL4_ATTENTION_ARGS_INIT};
  choose_lengths(&r);
  if (c->page_size) r.n_pages = (int64_t)c->B * ((r.Sk + c->page_size - 1) / c->page_size) + 3;
  make_args(&r);
  const fl4_attention_args a = args_at(&r, somewhere);
  return fl4_attention_prepare(ctx, &a);
}

/* ---------------------------------------------------------------- cases */

static feature_case base(int i)
{
  feature_case c = {0};
  c.dtype = i % 2 ? FL4_DTYPE_BF16 : FL4_DTYPE_FP16;
  c.B = 2, c.Hq = 4, c.Hkv = 2, c.Sq = 70, c.Sk = 150, c.D = 32, c.lse = i % 3 == 0, c.seed = (uint64_t)i;
  return c;
}

feature_case feature_single(int i)
{
  feature_case c = base(i);
  switch (i) {
  case 0: c.mask = FL4_MASK_WINDOW, c.left = 20, c.right = 0; break;
  case 1: c.mask = FL4_MASK_WINDOW, c.left = -1, c.right = 5; break;
  case 2: c.mask = FL4_MASK_WINDOW, c.left = 3, c.right = 70; break;
  case 3: c.mask = FL4_MASK_WINDOW, c.left = 0, c.right = 0, c.Sk = 30; break;
  case 4: c.softcap = 3, c.spread = 4; break;
  case 5: c.alibi = true, c.mask = FL4_MASK_CAUSAL; break;
  case 6: c.alibi = true; break;
  case 7: c.sinks = true, c.mask = FL4_MASK_CAUSAL, c.Sk = 40, c.lse = true; break;
  case 8:
  case 9:
  case 10:
  case 11: c.bias = 1 + i - 8; break;
  case 12: c.bias = 1, c.broadcast = 5; break;
  case 13: c.bias = 4, c.broadcast = 7; break;
  case 14: c.bias = 3, c.broadcast = 8, c.mask = FL4_MASK_CAUSAL; break;
  case 15: c.ragged_q = true, c.B = 4; break;
  case 16: c.ragged_k = true, c.B = 4; break;
  case 17: c.ragged_q = c.ragged_k = true, c.mask = FL4_MASK_CAUSAL, c.B = 4; break;
  case 18: c.used_k = c.edges = true, c.B = 4; break;
  case 19: c.page_size = 8; break;
  case 20: c.page_size = 32, c.heads_first = true, c.mask = FL4_MASK_CAUSAL; break;
  case 21: c.page_size = 128, c.used_k = c.edges = true, c.B = 4; break;
  case 22: c.ragged_q = c.ragged_k = c.edges = true, c.B = 6, c.lse = true; break;
  case 23: c.used_k = true, c.mask = FL4_MASK_WINDOW, c.left = 30, c.right = 0, c.B = 3; break;
  case 24:
  case 25:
  case 26:
    c.bias = i == 26 ? 4 : i - 23, c.Sk = 192,
    c.mask = i == 25 ? FL4_MASK_CAUSAL : FL4_MASK_NONE; /* rows of whole chunks */
    break;
  }
  return c;
}
static bool sometimes(fl4__random *random, int one_in)
{
  return fl4__random_below(random, (uint32_t)one_in) == 0;
}

feature_case feature_random(uint64_t seed, int D, int most_queries, int most_keys)
{
  static const int groups[] = {1, 1, 4, 7};
  fl4__random random;
  fl4__random_init(&random, seed + 77);
  feature_case c = {.D = D, .seed = seed};
  c.dtype = sometimes(&random, 2) ? FL4_DTYPE_FP16 : FL4_DTYPE_BF16;
  c.B = 1 + (int)fl4__random_below(&random, 4), c.Hkv = 1 + (int)fl4__random_below(&random, 2);
  c.Hq = c.Hkv * groups[fl4__random_below(&random, 4)];
  c.Sq = 1 + (int)fl4__random_below(&random, (uint32_t)most_queries);
  c.Sk = 1 + (int)fl4__random_below(&random, (uint32_t)most_keys);
  c.mask = (int)fl4__random_below(&random, 3);
  if (c.mask == FL4_MASK_WINDOW) {
    c.left = (int)fl4__random_below(&random, (uint32_t)c.Sk + 1) - 1;
    c.right = sometimes(&random, 2) ? 0 : (int)fl4__random_below(&random, (uint32_t)c.Sk + 1) - 1;
  }
  if (sometimes(&random, 3)) c.softcap = 1 + (float)fl4__random_unit(&random) * 20;
  c.alibi = sometimes(&random, 3), c.sinks = sometimes(&random, 3), c.lse = sometimes(&random, 2);
  c.used_k = sometimes(&random, 2), c.edges = sometimes(&random, 3);
  if (sometimes(&random, 3)) {
    c.page_size = 8 << fl4__random_below(&random, 5), c.heads_first = sometimes(&random, 2);
  } else {
    c.ragged_k = sometimes(&random, 2);
  }
  c.ragged_q = sometimes(&random, 2);
  if (!c.ragged_q && !c.ragged_k && sometimes(&random, 2))
    c.bias = 1 + (int)fl4__random_below(&random, 4),
    c.broadcast = (int)fl4__random_below(&random, 15); /* strides that are all 0 are those of a whole tensor */
  c.spread = sometimes(&random, 4) ? 6 : 1;
  c.own_slopes = c.alibi && sometimes(&random, 2);
  return c;
}

void feature_describe(const feature_case *c, char text[256])
{
  int n = snprintf(text, 256, "b%dhq%dhkv%dsq%dsk%dd%d %s seed %d:", c->B, c->Hq, c->Hkv, c->Sq, c->Sk, c->D,
                   fl4__dtype_name(c->dtype), (int)c->seed);
  if (c->mask == FL4_MASK_CAUSAL) n += snprintf(text + n, 256 - (size_t)n, " causal");
  if (c->mask == FL4_MASK_WINDOW) n += snprintf(text + n, 256 - (size_t)n, " window=%d,%d", c->left, c->right);
  if (c->softcap > 0) n += snprintf(text + n, 256 - (size_t)n, " softcap=%g", (double)c->softcap);
  if (c->bias) n += snprintf(text + n, 256 - (size_t)n, " bias=%d/%d", c->bias - 1, c->broadcast);
  if (c->blocks) n += snprintf(text + n, 256 - (size_t)n, " blocks=%d", c->blocks);
  if (c->page_size) n += snprintf(text + n, 256 - (size_t)n, " page=%d%s", c->page_size, c->heads_first ? "h" : "");
  snprintf(text + n, 256 - (size_t)n, "%s%s%s%s%s%s%s%s",
           !c->alibi       ? ""
           : c->own_slopes ? " alibi=own"
                           : " alibi",
           c->sinks ? " sinks" : "", c->ragged_q ? " ragged_q" : "", c->ragged_k ? " ragged_k" : "",
           c->used_k ? " used_k" : "", c->edges ? " edges" : "", c->lse ? " lse" : "", c->flags ? " invariant" : "");
}

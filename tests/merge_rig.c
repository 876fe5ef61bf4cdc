/* SPDX-License-Identifier: Apache-2.0 */
#include "merge_rig.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "context.h"
#include "oracle/check.h"
#include "util/random.h"

enum { GUARD = 64 }; /* elements before and behind a tensor */

/* A tensor, with guards, in this machine's memory and on the device. */
typedef struct tensor {
  int64_t stride[4]; /* of [k, b, h, i] */
  bool given;        /* strides are */
  int D, dtype;
  size_t elements;
  void *host, *device;
} tensor;

typedef struct rig {
  const merge_case *c;
  fl4_context *ctx;
  tensor parts, lses, o, lse;
  char *why;
} rig;

merge_case merge_random(uint64_t seed)
{
  static const int dims[] = {8, 24, 64, 72, 128, 192, 256};
  fl4__random r;
  fl4__random_init(&r, seed);
  merge_case c = {.seed = seed};
  c.dtype = (int)fl4__random_below(&r, 3);
  c.n = 1 + (int)fl4__random_below(&r, fl4__random_below(&r, 4) ? 6 : 32);
  c.B = 1 + (int)fl4__random_below(&r, 3), c.Hq = 1 + (int)fl4__random_below(&r, 5);
  c.Sq = 1 + (int)fl4__random_below(&r, 20), c.D = dims[fl4__random_below(&r, 7)];
  c.parts_fp32 = fl4__random_below(&r, 2), c.list = fl4__random_below(&r, 2), c.lse = fl4__random_below(&r, 3) > 0;
  c.layout = (merge_layout)fl4__random_below(&r, MERGE_LAYOUTS);
  c.in_place = fl4__random_below(&r, 4) == 0 && (!c.parts_fp32 || c.dtype == FL4_DTYPE_FP32);
  return c;
}

void merge_describe(const merge_case *c, char text[128])
{
  static const char *const dtypes[] = {"fp16", "bf16", "fp32"}, *const layouts[] = {"", " rows-first", " odd"};
  snprintf(text, 128, "n%d b%dh%ds%dd%d %s%s%s%s%s%s seed %llu", c->n, c->B, c->Hq, c->Sq, c->D, dtypes[c->dtype],
           c->parts_fp32 ? " of-fp32" : "", c->list ? " list" : "", c->lse ? " lse" : "",
           c->in_place ? " in-place" : "", layouts[c->layout], (unsigned long long)c->seed);
}

/* ---------------------------------------------------------------- tensors */

static tensor make(const merge_case *c, int n, int D, int dtype)
{
  tensor t = {.given = c->layout != MERGE_CONTIGUOUS, .D = D, .dtype = dtype};
  int64_t row = D;
  if (c->layout == MERGE_ROWS_FIRST) {
    row += 8;
    t.stride[2] = row, t.stride[3] = c->Hq * row, t.stride[1] = c->Sq * t.stride[3];
  } else {
    if (c->layout == MERGE_ODD) row += 1;
    t.stride[3] = row, t.stride[2] = c->Sq * row, t.stride[1] = c->Hq * t.stride[2];
  }
  t.stride[0] = c->B * t.stride[1];
  t.elements = (size_t)(n * t.stride[0]) + 2 * GUARD;
  t.host = malloc(t.elements * (size_t)fl4__dtype_size(dtype));
  if (t.host) fl4__canary_fill(t.host, t.elements * (size_t)fl4__dtype_size(dtype));
  return t;
}

static int64_t row_of(const merge_case *c, const tensor *t, int k, int64_t row)
{
  const int64_t i = row % c->Sq, h = row / c->Sq % c->Hq, b = row / c->Sq / c->Hq;
  return GUARD + k * t->stride[0] + b * t->stride[1] + h * t->stride[2] + i * t->stride[3];
}

static void *there(const tensor *t, int k)
{
  return (char *)t->device + (size_t)(GUARD + k * t->stride[0]) * (size_t)fl4__dtype_size(t->dtype);
}

static float normal(fl4__random *random)
{
  double x = 0;
  for (int i = 0; i < 4; i++) x += fl4__random_unit(random) - 0.5;
  return (float)(x * 1.7320508);
}

/* Weights of all sizes: near each other, far apart, and parts without a key, whose output stays NaN. */
static void fill(rig *r)
{
  const merge_case *c = r->c;
  fl4__random random;
  fl4__random_init(&random, c->seed + 77);
  for (int64_t row = 0; row < (int64_t)c->B * c->Hq * c->Sq; row++) {
    const uint32_t kind = fl4__random_below(&random, 5);
    const float spread = kind < 3 ? 2 : 60, middle = kind == 1 ? 900 : 0;
    for (int k = 0; k < c->n; k++) {
      const bool without_key = kind == 4 || (kind > 1 && fl4__random_below(&random, 3) == 0);
      float *lse = (float *)r->lses.host + row_of(c, &r->lses, k, row);
      *lse = without_key ? -INFINITY : middle + spread * normal(&random);
      for (int d = 0; d < c->D && !without_key; d++)
        fl4__store(r->parts.host, r->parts.dtype, row_of(c, &r->parts, k, row) + d, normal(&random));
    }
  }
}

static fl4_status upload(const rig *r, tensor *t)
{
  fl4__device *d = r->ctx->device;
  const size_t bytes = t->elements * (size_t)fl4__dtype_size(t->dtype);
  fl4_status status = t->device ? FL4_OK : d->backend->alloc(d, bytes, &t->device);
  return status == FL4_OK ? d->backend->upload(d, t->device, t->host, bytes) : status;
}

static fl4_status upload_all(rig *r)
{
  fl4_status status = upload(r, &r->parts);
  if (status == FL4_OK) status = upload(r, &r->lses);
  if (status == FL4_OK) status = upload(r, &r->o);
  if (status == FL4_OK) status = upload(r, &r->lse);
  return status == FL4_OK ? r->ctx->device->backend->synchronize(r->ctx->device) : status;
}

/* ---------------------------------------------------------------- the call */

static fl4_status call(rig *r)
{
  const merge_case *c = r->c;
  const void *list[32];
  const float *lse_list[32];
  fl4_merge_states_args a = FL4_MERGE_STATES_ARGS_INIT;
  a.dtype = c->dtype, a.parts_fp32 = c->parts_fp32;
  a.n = c->n, a.B = c->B, a.Hq = c->Hq, a.Sq = c->Sq, a.D = c->D;
  for (int k = 0; k < c->n; k++) list[k] = there(&r->parts, k), lse_list[k] = there(&r->lses, k);
  if (c->list)
    a.parts_list = list, a.parts_lse_list = lse_list;
  else
    a.parts = list[0], a.parts_lse = lse_list[0];
  a.o = c->in_place ? there(&r->parts, 0) : there(&r->o, 0);
  if (c->lse) a.lse = c->in_place ? there(&r->lses, 0) : there(&r->lse, 0);
  for (int i = c->list; i < 4 && r->parts.given; i++)
    a.parts_stride[i] = r->parts.stride[i], a.parts_lse_stride[i] = r->lses.stride[i];
  for (int i = 0; i < 3 && r->parts.given; i++) {
    a.o_stride[i] = (c->in_place ? &r->parts : &r->o)->stride[i + 1];
    a.lse_stride[i] = (c->in_place ? &r->lses : &r->lse)->stride[i + 1];
  }
  return fl4_merge_states(r->ctx, &a, NULL);
}

static bool wrong(const rig *r, const char *what, int64_t row, int d, double found, double expected)
{
  snprintf(r->why, 512, "%s[row %lld][%d] is %g, must be %g", what, (long long)row, d, found, expected);
  return false;
}

/* One row in fp64. */
static bool check_row(const rig *r, const tensor *o, const void *o_found, const tensor *lse, const float *lse_found,
                      int64_t row)
{
  const merge_case *c = r->c;
  double top = -INFINITY, sum = 0, ref[256] = {0}, size[256] = {0};
  for (int k = 0; k < c->n; k++) top = fmax(top, (double)((float *)r->lses.host)[row_of(c, &r->lses, k, row)]);
  for (int k = 0; k < c->n; k++) {
    const double x = (double)((float *)r->lses.host)[row_of(c, &r->lses, k, row)];
    if (x == -INFINITY) continue;
    sum += exp(x - top);
    for (int d = 0; d < c->D; d++) {
      const double part = (double)fl4__load(r->parts.host, r->parts.dtype, row_of(c, &r->parts, k, row) + d);
      ref[d] += exp(x - top) * part, size[d] += exp(x - top) * fabs(part);
    }
  }
  for (int d = 0; d < c->D; d++) {
    const double expected = sum > 0 ? ref[d] / sum : 0,
                 found = (double)fl4__load(o_found, o->dtype, row_of(c, o, 0, row) + d);
    const double allowed = 0.501 * fl4__epsilon(c->dtype) * fabs(expected) +
                           (sum > 0 ? (c->n + 8) * 0x1p-23 * size[d] / sum + 0x1p-25 : 0);
    if (!(fabs(found - expected) <= allowed)) return wrong(r, "o", row, d, found, expected);
  }
  if (!c->lse) return true;
  const double expected = sum > 0 ? top + log(sum) : -INFINITY, found = (double)lse_found[row_of(c, lse, 0, row)];
  if (found != expected && !(fabs(found - expected) <= 0x1p-21 + 0x1p-23 * fabs(expected)))
    return wrong(r, "lse", row, 0, found, expected);
  return true;
}

/* All that is not an output is as it was uploaded; what is becomes so, so that the rest can be compared as bytes. */
static bool check_rest(const rig *r, const tensor *t, bool output, char *found)
{
  const size_t element = (size_t)fl4__dtype_size(t->dtype);
  for (int64_t row = 0; output && row < (int64_t)r->c->B * r->c->Hq * r->c->Sq; row++) {
    const size_t at = (size_t)row_of(r->c, t, 0, row) * element;
    memcpy(found + at, (char *)t->host + at, (size_t)t->D * element);
  }
  if (memcmp(found, t->host, t->elements * element) == 0) return true;
  snprintf(r->why, 512, "memory beside the output was written");
  return false;
}

static bool judge(const rig *r, void *const found[4])
{
  const merge_case *c = r->c;
  const tensor *tensors[] = {&r->parts, &r->lses, &r->o, &r->lse};
  const int o = c->in_place ? 0 : 2, lse = c->in_place ? 1 : 3;
  for (int64_t row = 0; row < (int64_t)c->B * c->Hq * c->Sq; row++)
    if (!check_row(r, tensors[o], found[o], tensors[lse], found[lse], row)) return false;
  for (int i = 0; i < 4; i++)
    if (!check_rest(r, tensors[i], i == o || (i == lse && c->lse), found[i])) return false;
  return true;
}

static fl4_status download(const rig *r, void *found[4])
{
  fl4__device *d = r->ctx->device;
  const tensor *tensors[] = {&r->parts, &r->lses, &r->o, &r->lse};
  fl4_status status = d->backend->synchronize(d);
  for (int i = 0; i < 4; i++) {
    const size_t bytes = tensors[i]->elements * (size_t)fl4__dtype_size(tensors[i]->dtype);
    if (!found[i]) found[i] = malloc(bytes);
    if (status == FL4_OK) status = d->backend->download(d, found[i], tensors[i]->device, bytes);
  }
  return status;
}

static bool run_twice(rig *r)
{
  void *found[2][4] = {{NULL}};
  fl4_status status = FL4_OK;
  for (int i = 0; i < 2 && status == FL4_OK; i++) {
    status = upload_all(r);
    if (status == FL4_OK) status = call(r);
    if (status == FL4_OK) status = download(r, found[i]);
  }
  bool right = status == FL4_OK;
  if (!right) snprintf(r->why, 512, "%s: %s", fl4_status_name(status), fl4_last_error());
  const tensor *tensors[] = {&r->parts, &r->lses, &r->o, &r->lse};
  for (int i = 0; i < 4 && right; i++) {
    right = memcmp(found[0][i], found[1][i], tensors[i]->elements * (size_t)fl4__dtype_size(tensors[i]->dtype)) == 0;
    if (!right) snprintf(r->why, 512, "two runs differ");
  }
  if (right) right = judge(r, found[0]);
  for (int i = 0; i < 8; i++) free(found[i / 4][i % 4]);
  return right;
}

bool merge_run(fl4_context *ctx, const merge_case *c, char why[512])
{
  rig r = {.c = c, .ctx = ctx, .why = why};
  r.parts = make(c, c->n, c->D, c->parts_fp32 ? FL4_DTYPE_FP32 : c->dtype);
  r.lses = make(c, c->n, 1, FL4_DTYPE_FP32);
  r.o = make(c, 1, c->D, c->dtype), r.lse = make(c, 1, 1, FL4_DTYPE_FP32);
  fill(&r);
  const bool right = run_twice(&r);
  tensor *tensors[] = {&r.parts, &r.lses, &r.o, &r.lse};
  for (int i = 0; i < 4; i++) {
    if (tensors[i]->device) ctx->device->backend->release(ctx->device, tensors[i]->device);
    free(tensors[i]->host);
  }
  return right;
}

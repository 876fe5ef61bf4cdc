/* SPDX-License-Identifier: Apache-2.0 */
/* A contender: its library, its contexts, its name, and what one call of it is. */
#include "bench/contender.h"

#include <flashl4/oracle.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"

/* ---------------------------------------------------------------- opening */

/* "cuda:1", "host:0" */
static void device_text(const fl4_context *ctx, char text[32])
{
  const fl4__device *device = ctx->device;
  snprintf(text, 32, "%s:%d", device->backend->name, (int)device->info.ordinal);
}

static bool is_device(const fl4_context *ctx, const char *text)
{
  char own[32];
  device_text(ctx, own);
  return strcmp(text, own) == 0 || (ctx->device->info.ordinal == 0 && strcmp(text, ctx->device->backend->name) == 0);
}

/* A context of `library`, like the caller's but for the device and the variant. */
static fl4_status make_context(const fl4_context *like, const fl4__library *library, const char *device,
                               const char *variant, fl4_context **ctx)
{
  const fl4__device_config *config = &like->device->config;
  fl4_context_options o = FL4_CONTEXT_OPTIONS_INIT;
  o.device = device, o.variant = variant;
  o.cache_dir = config->cache_dir, o.kernel_dir = config->kernel_dir;
  o.log = like->log.fn, o.log_user = like->log.user, o.log_level = like->log.level;
  o.threads = config->threads;
  o.flags = (config->disk_cache ? 0 : FL4_CONTEXT_NO_DISK_CACHE) | (config->debug ? FL4_CONTEXT_DEBUG : 0);
  const fl4_status status = library->context_create(ctx, &o);
  if (status != FL4_OK && library->handle) return fl4__fail(status, "%s", library->last_error());
  return status;
}

/* What sets it apart, as words: "library old.so host", "host:bm=8"; "default" if nothing does. */
static void make_name(const fl4_bench_contender *d, char name[64])
{
  const char *parts[] = {d->library ? "library" : NULL, d->library, d->device,
                         d->kind == FL4_CONTENDER_ORACLE ? "oracle" : NULL, d->variant};
  name[0] = '\0';
  for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
    const size_t used = strlen(name);
    if (parts[i] && used < 63) snprintf(name + used, 64 - used, "%s%s", used ? " " : "", parts[i]);
  }
  if (!name[0]) strcpy(name, "default");
}

static fl4_status check_description(const fl4_bench_contender *d)
{
  if (d->kind != FL4_CONTENDER_FORWARD && d->kind != FL4_CONTENDER_ORACLE)
    return fl4__fail(FL4_INVALID_ARGUMENT, "fl4_bench_contender.kind: is %d, must be %d or %d", d->kind,
                     FL4_CONTENDER_FORWARD, FL4_CONTENDER_ORACLE);
  if (d->reserved0)
    return fl4__fail(FL4_INVALID_ARGUMENT, "fl4_bench_contender.reserved0: is %u, must be 0", d->reserved0);
  for (int i = 0; i < 4; i++)
    if (d->reserved[i])
      return fl4__fail(FL4_INVALID_ARGUMENT, "fl4_bench_contender.reserved[%d]: is %llu, must be 0", i,
                       (unsigned long long)d->reserved[i]);
  if (d->kind == FL4_CONTENDER_ORACLE && (d->variant || d->library))
    return fl4__fail(FL4_INVALID_ARGUMENT, "fl4_bench_contender.%s: is \"%s\", must be NULL for an oracle",
                     d->variant ? "variant" : "library", d->variant ? d->variant : d->library);
  return FL4_OK;
}

fl4_status fl4__contender_open(fl4_context *ctx, const fl4_bench_contender *d, fl4__contender *c)
{
  memset(c, 0, sizeof *c);
  FL4_TRY(check_description(d));
  c->kind = (fl4_contender_kind)d->kind;
  if (d->name)
    snprintf(c->name, sizeof c->name, "%s", d->name);
  else
    make_name(d, c->name);
  FL4_TRY(fl4__library_open(d->library, &c->library));

  const bool here = !d->device || is_device(ctx, d->device);
  char device[32], forced[FL4__VARIANT_TEXT];
  device_text(ctx, device);
  const char *where = here ? device : d->device, *variant = d->variant;
  c->home = ctx;
  if (!here) {
    const fl4__library own = {.context_create = fl4_context_create};
    c->home = NULL;
    FL4_TRY(make_context(ctx, &own, where, NULL, &c->home));
    c->own_home = true;
  }
  c->ctx = c->home;
  if (!d->library && !d->variant) return FL4_OK;

  /* What the caller's context forces, it forces in another build too: like is compared with like. */
  if (!variant && here && ctx->forced.family) {
    fl4__variant_format(&ctx->forced, forced);
    variant = forced;
  }
  c->ctx = NULL;
  FL4_TRY(make_context(ctx, &c->library, where, variant, &c->ctx));
  c->own_ctx = true;
  return FL4_OK;
}

void fl4__contender_close(fl4__contender *c)
{
  fl4__contender_rest(c);
  if (c->own_ctx) c->library.context_destroy(&c->ctx);
  if (c->own_home) fl4_context_destroy(&c->home);
  fl4__library_close(&c->library);
  memset(c, 0, sizeof *c);
}

/* ---------------------------------------------------------------- calls */

/* Errors of another build stand in its own slot. */
static fl4_status passed_on(const fl4__contender *c, fl4_status status)
{
  if (status != FL4_OK && c->library.handle) return fl4__fail(status, "%s", c->library.last_error());
  return status;
}

/* An oracle's scratch: O and the LSE, contiguous, in the oracle's own precision. */
typedef struct wide {
  int element;
  int64_t elements; /* of O; the LSE stands behind them */
  size_t bytes;
} wide;

static wide wide_of(const fl4__contender *c, int64_t B, int64_t Hq, int64_t Sq, int64_t D)
{
  wide w = {.element = c->home->device->info.kind == FL4_DEVICE_CUDA ? sizeof(float) : sizeof(double)};
  w.elements = B * Hq * Sq * D;
  w.bytes = (size_t)(w.elements + B * Hq * Sq) * (size_t)w.element;
  return w;
}

static fl4_status run_oracle(fl4__contender *c, const fl4_attention_args *a, fl4_stream stream)
{
  const wide w = wide_of(c, a->B, a->Hq, a->Sq, a->D);
  if (w.element == sizeof(float)) {
    float *o = c->scratch;
    return fl4_oracle_cublas(c->home, a, o, NULL, a->lse ? o + w.elements : NULL, stream);
  }
  double *o = c->scratch;
  return fl4_oracle_fp64(a, NULL, 0, o, NULL, a->lse ? o + w.elements : NULL);
}

/* Canaries are NaN in every precision. `here` is memory of this machine to make them in. */
static fl4_status poison(fl4__contender *c, void *here, size_t bytes)
{
  fl4__device *device = c->home->device;
  fl4__canary_fill(here, bytes);
  FL4_TRY(device->backend->upload(device, c->scratch, here, bytes));
  return device->backend->synchronize(device); /* timers have streams of their own */
}

static fl4_status prepare_oracle(fl4__contender *c, const fl4_attention_args *a, fl4_plan_info *plan)
{
  fl4__device *device = c->home->device;
  const wide w = wide_of(c, a->B, a->Hq, a->Sq, a->D);
  FL4_TRY(device->backend->alloc(device, w.bytes, &c->scratch));
  void *here = malloc(w.bytes ? w.bytes : 1);
  if (!here) return fl4__fail(FL4_OUT_OF_MEMORY, "no memory for %zu bytes of an oracle's result", w.bytes);
  const fl4_status status = poison(c, here, w.bytes);
  free(here);
  strcpy(plan->variant, w.element == sizeof(float) ? "cublas" : "fp64");
  return status;
}

/*
 * As an engine does it: memory that all calls share, zeroed once. Calls that have to find some themselves take
 * longer, and that is not what is to be timed.
 */
static fl4_status take_workspace(fl4__contender *c, size_t bytes)
{
  enum { ALIGNMENT = 256 };
  if (bytes == 0) return FL4_OK;
  fl4__device *device = c->home->device;
  void *zeros = calloc(1, bytes);
  if (!zeros) return fl4__fail(FL4_OUT_OF_MEMORY, "no memory for %zu bytes of zeros", bytes);
  fl4_status status;
  FL4_TRY_GOTO(device->backend->alloc(device, bytes + ALIGNMENT - 1, &c->scratch));
  c->workspace = (char *)c->scratch + (ALIGNMENT - (uintptr_t)c->scratch % ALIGNMENT) % ALIGNMENT;
  c->workspace_bytes = bytes;
  FL4_TRY_GOTO(device->backend->upload(device, c->workspace, zeros, bytes));
  status = device->backend->synchronize(device); /* timers have streams of their own */
done:
  free(zeros);
  return status;
}

fl4_status fl4__contender_prepare(fl4__contender *c, const fl4_attention_args *args, fl4_plan_info *plan)
{
  *plan = (fl4_plan_info)FL4_PLAN_INFO_INIT;
  fl4__contender_rest(c);
  if (c->kind == FL4_CONTENDER_ORACLE) return prepare_oracle(c, args, plan);
  FL4_TRY(passed_on(c, c->library.attention_prepare(c->ctx, args)));
  FL4_TRY(passed_on(c, c->library.attention_plan_info(c->ctx, args, plan)));
  return take_workspace(c, plan->workspace_bytes);
}

fl4_status fl4__contender_run(fl4__contender *c, const fl4_attention_args *args, fl4_stream stream)
{
  if (c->kind == FL4_CONTENDER_ORACLE) return run_oracle(c, args, stream);
  fl4_attention_args a = *args;
  a.workspace = c->workspace, a.workspace_size = c->workspace_bytes;
  return passed_on(c, c->library.attention_forward(c->ctx, &a, stream));
}

void fl4__contender_rest(fl4__contender *c)
{
  if (!c->scratch) return;
  fl4__device *device = c->home->device;
  device->backend->release(device, c->scratch);
  c->scratch = c->workspace = NULL;
  c->workspace_bytes = 0;
}

/* ---------------------------------------------------------------- an oracle's result */

static double element_of(const void *elements, int element, int64_t i)
{
  return element == sizeof(float) ? (double)((const float *)elements)[i] : ((const double *)elements)[i];
}

/* Into the trial's output on this machine, which holds canaries; the dtype rounds. */
static void lay_out(const fl4__trial *trial, const void *from, const wide *w)
{
  const fl4_problem *p = &trial->problem;
  for (int64_t head = 0; head < p->B * p->Hq; head++) {
    const fl4__sequence s = fl4__sequence_of(&trial->call, &trial->params, head / p->Hq);
    for (int64_t i = 0; i < s.queries; i++) {
      const int64_t row = head * p->Sq + i, to = fl4__trial_output_row(trial, &s, head % p->Hq, i);
      for (int64_t d = 0; d < p->D; d++)
        fl4__store(trial->output, p->dtype, to + d,
                   (float)fl4__round_to(element_of(from, w->element, row * p->D + d), p->dtype));
      if (p->lse)
        trial->lse[fl4__trial_lse_row(trial, &s, head % p->Hq, i)] =
            (float)element_of(from, w->element, w->elements + row);
    }
  }
}

fl4_status fl4__contender_collect(fl4__contender *c, const fl4__trial *trial, const fl4__output *output)
{
  if (c->kind != FL4_CONTENDER_ORACLE) return FL4_OK;
  fl4__device *device = c->home->device;
  const fl4_problem *p = &trial->problem;
  const wide w = wide_of(c, p->B, p->Hq, p->Sq, p->D);
  void *here = malloc(w.bytes ? w.bytes : 1);
  if (!here) return fl4__fail(FL4_OUT_OF_MEMORY, "no memory for %zu bytes of an oracle's result", w.bytes);
  fl4_status status;
  FL4_TRY_GOTO(device->backend->synchronize(device));
  FL4_TRY_GOTO(device->backend->download(device, here, c->scratch, w.bytes));
  fl4__canary_fill(trial->output, trial->output_bytes);
  fl4__canary_fill(trial->lse, trial->lse_bytes);
  lay_out(trial, here, &w);
  FL4_TRY_GOTO(device->backend->upload(device, output->o, trial->output, trial->output_bytes));
  FL4_TRY_GOTO(device->backend->upload(device, output->lse, trial->lse, trial->lse_bytes));
  status = poison(c, here, w.bytes);
done:
  free(here);
  return status;
}

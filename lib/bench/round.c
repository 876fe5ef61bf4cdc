/* SPDX-License-Identifier: Apache-2.0 */
/* One problem: data and references, every contender checked, then rounds until the sampler has enough. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/run.h"
#include "bench/sampler.h"
#include "error.h"
#include "util/os.h"

static const double watch_ms = 250; /* between looks at clocks and temperature */

typedef struct race {
  fl4__bench *bench;
  const fl4_problem *problem;
  fl4__site *sites;
  int n_sites;
  fl4__entrant *entrants;
  int n;
  fl4__reference *reference;
  fl4__sampler sampler;
  bool sampling; /* the sampler is open */
} race;

static bool is_in(const fl4__entrant *e)
{
  return e->result->status == FL4_OK;
}

/* Those that are still in, in order. */
static int still_in(race *r, fl4__entrant *list[FL4__BENCH_MAX_CONTENDERS])
{
  int n = 0;
  for (int i = 0; i < r->n; i++)
    if (is_in(&r->entrants[i])) list[n++] = &r->entrants[i];
  return n;
}

/* Does something with each that is still in; who fails is out. */
static fl4_status each(race *r, const char *phase, fl4_status (*step)(race *, fl4__entrant *))
{
  for (int i = 0; i < r->n; i++) {
    if (!is_in(&r->entrants[i])) continue;
    FL4_TRY(fl4__bench_tick(r->bench, phase));
    const fl4_status status = step(r, &r->entrants[i]);
    if (status != FL4_OK) FL4_TRY(fl4__entrant_fail(&r->entrants[i], status));
  }
  return FL4_OK;
}

/* Puts all out that work on a site, or all. */
static fl4_status fail_all(race *r, const fl4__site *site, fl4_status status)
{
  char why[256];
  snprintf(why, sizeof why, "%s", fl4_last_error());
  for (int i = 0; i < r->n; i++) {
    if (!is_in(&r->entrants[i]) || (site && r->entrants[i].site != site)) continue;
    (void)fl4__fail(status, "%s", why);
    FL4_TRY(fl4__entrant_fail(&r->entrants[i], status));
  }
  return FL4_OK;
}

/* ---------------------------------------------------------------- data */

static bool same_device(const fl4_context *a, const fl4_context *b)
{
  return a->device->backend == b->device->backend && a->device->info.ordinal == b->device->info.ordinal;
}

static fl4__site *site_for(race *r, fl4_context *home)
{
  for (int i = 0; i < r->n_sites; i++)
    if (same_device(r->sites[i].home, home)) return &r->sites[i];
  fl4__site *site = &r->sites[r->n_sites++];
  site->home = home;
  site->before = site->after = (fl4_device_health)FL4_DEVICE_HEALTH_INIT;
  fl4__health_unknown(&site->before);
  fl4__health_unknown(&site->after);
  return site;
}

static fl4_status open_race(race *r, int64_t problem)
{
  fl4__bench *b = r->bench;
  r->problem = &b->problems[problem];
  r->entrants = calloc((size_t)b->n, sizeof *r->entrants);
  r->sites = calloc((size_t)b->n, sizeof *r->sites);
  if (!r->entrants || !r->sites) return fl4__fail(FL4_OUT_OF_MEMORY, "fl4_bench: no memory for %d contenders", b->n);
  r->n = b->n;
  for (int i = 0; i < r->n; i++) {
    fl4__entrant *e = &r->entrants[i];
    e->bench = b;
    e->contender = &b->contenders[i];
    e->site = site_for(r, e->contender->home);
    e->result = &b->results[problem * b->n + i];
  }
  return FL4_OK;
}

static void close_race(race *r)
{
  if (r->sampling) fl4__sampler_close(&r->sampler);
  for (int i = 0; i < r->n; i++) fl4__entrant_close(&r->entrants[i]);
  for (int i = 0; i < r->n_sites; i++) fl4__trial_close(&r->sites[i].trial);
  fl4__reference_close(r->reference);
  free(r->entrants);
  free(r->sites);
}

static fl4_status prepare(race *r, fl4__entrant *e)
{
  (void)r;
  return fl4__entrant_prepare(e);
}

/* One set of inputs on each device, and the plans. */
static fl4_status make_data(race *r)
{
  const fl4_bench_options *o = &r->bench->options;
  for (int i = 0; i < r->n_sites; i++) {
    fl4__site *site = &r->sites[i];
    FL4_TRY(fl4__bench_tick(r->bench, "inputs"));
    const fl4_status status = fl4__trial_open(&site->trial, site->home, r->problem, o->seed, (fl4_inputs)o->inputs, 1);
    if (status == FL4_OK) continue;
    fl4__trial_close(&site->trial);
    FL4_TRY(fail_all(r, site, status));
  }
  return each(r, "inputs", prepare);
}

/* By the context's own device if it takes part. Before there are copies, since an oracle needs memory too. */
static fl4_status make_reference(race *r)
{
  fl4__entrant *in[FL4__BENCH_MAX_CONTENDERS];
  const int n = still_in(r, in);
  if (n == 0) return FL4_OK;
  const fl4__site *site = in[0]->site;
  for (int i = 0; i < n; i++)
    if (same_device(in[i]->site->home, r->bench->ctx)) site = in[i]->site;
  FL4_TRY(fl4__bench_tick(r->bench, "inputs"));
  const fl4_status status = fl4__reference_open(&site->trial, (fl4_oracle)r->bench->options.oracle, &r->reference);
  return status == FL4_OK ? FL4_OK : fail_all(r, NULL, status);
}

/* Set number `copy`: inputs, and an output for each that works on the site. */
static fl4_status add_copy(race *r, fl4__site *site, int copy)
{
  FL4_TRY(fl4__trial_set_copies(&site->trial, copy + 1));
  if (site->trial.copies == copy) return FL4_OUT_OF_MEMORY;
  for (int i = 0; i < r->n; i++)
    if (is_in(&r->entrants[i]) && r->entrants[i].site == site) FL4_TRY(fl4__entrant_add_output(&r->entrants[i], copy));
  return FL4_OK;
}

static bool in_use(const race *r, const fl4__site *site)
{
  for (int i = 0; i < r->n; i++)
    if (is_in(&r->entrants[i]) && r->entrants[i].site == site) return true;
  return false;
}

/* As many sets as are wanted or fit. With flushed caches there is nothing that more sets would keep out. */
static fl4_status make_copies(race *r, fl4__site *site)
{
  const int wanted = r->bench->options.cold ? 1 : r->bench->options.copies;
  for (int copy = 1; copy < wanted && in_use(r, site); copy++) {
    FL4_TRY(fl4__bench_tick(r->bench, "inputs"));
    const fl4_status status = add_copy(r, site, copy);
    if (status == FL4_OK) continue;
    for (int i = 0; i < r->n; i++)
      if (r->entrants[i].site == site) fl4__entrant_remove_output(&r->entrants[i], copy);
    if (status != FL4_OUT_OF_MEMORY) return fail_all(r, site, status);
    return fl4__trial_set_copies(&site->trial, copy);
  }
  return FL4_OK;
}

/* ---------------------------------------------------------------- checks */

static fl4_status check(race *r, fl4__entrant *e)
{
  return fl4__entrant_check(e, r->reference);
}

static fl4_status check_again(race *r, fl4__entrant *e)
{
  return fl4__entrant_check_again(e, r->reference);
}

/* ---------------------------------------------------------------- time */

static fl4_status open_timer(race *r, fl4__entrant *e)
{
  (void)r;
  return fl4__entrant_open_timer(e);
}

static fl4_status poison(race *r, fl4__entrant *e)
{
  (void)r;
  return fl4__entrant_poison(e);
}

static fl4_status warm_up_one(race *r, fl4__entrant *e)
{
  double us;
  (void)r;
  return fl4__entrant_sample(e, &us);
}

static fl4_status warm_up(race *r)
{
  const double start = fl4__now_ms();
  for (int round = 0; round < 3 || fl4__now_ms() - start < 1e3 * r->bench->options.warmup_seconds; round++) {
    fl4__entrant *in[FL4__BENCH_MAX_CONTENDERS];
    if (still_in(r, in) == 0) return FL4_OK;
    FL4_TRY(each(r, "warming up", warm_up_one));
  }
  return FL4_OK;
}

/* Reads the state of each device; reasons of throttling add up. */
static void watch(race *r, bool first)
{
  for (int i = 0; i < r->n_sites; i++) {
    fl4__site *site = &r->sites[i];
    fl4_device_health *now = first ? &site->before : &site->after;
    site->home->device->backend->timing->health(site->home->device, now);
    if (first)
      site->throttled = now->throttle_reasons;
    else if (now->throttle_reasons > 0)
      site->throttled = (site->throttled > 0 ? site->throttled : 0) | now->throttle_reasons;
  }
}

/* A round: one sample of each, in random order. *lost: who failed in it, or NULL. */
static fl4_status round_of(race *r, fl4__entrant **in, int n, double *us, fl4__entrant **lost)
{
  for (int i = n - 1; i > 0; i--) {
    const int j = (int)fl4__random_below(&r->bench->random, (uint32_t)i + 1);
    fl4__entrant *other = in[i];
    in[i] = in[j], in[j] = other;
  }
  *lost = NULL;
  for (int i = 0; i < n; i++) {
    const fl4_status status = fl4__entrant_sample(in[i], &us[in[i]->slot]);
    if (status == FL4_OK) continue;
    *lost = in[i];
    return fl4__entrant_fail(in[i], status);
  }
  return FL4_OK;
}

/* Rounds until there are enough, or somebody is lost: then the others start over, since rounds are whole. */
static fl4_status take_samples(race *r, fl4__entrant **in, int n, fl4_bench_stop *stop, double *seconds,
                               fl4__entrant **lost)
{
  fl4_bench_progress *progress = &r->bench->progress;
  const double start = fl4__now_ms();
  double us[FL4__BENCH_MAX_CONTENDERS], watched = start;
  *stop = FL4_BENCH_STOP_NONE;
  watch(r, true);
  while (*stop == FL4_BENCH_STOP_NONE) {
    progress->round = r->sampler.n;
    progress->seconds = 1e-3 * (fl4__now_ms() - start);
    progress->precision = r->sampler.widest;
    FL4_TRY(fl4__bench_tick(r->bench, "timing"));
    FL4_TRY(round_of(r, in, n, us, lost));
    if (*lost) return FL4_OK;
    const double now = fl4__now_ms();
    *seconds = 1e-3 * (now - start);
    FL4_TRY(fl4__sampler_add(&r->sampler, us, *seconds, stop));
    if (now - watched < watch_ms && *stop == FL4_BENCH_STOP_NONE) continue;
    watch(r, false);
    watched = now;
  }
  return FL4_OK;
}

/* Callers' arrays may end the sampling before max_samples. */
static int64_t most_samples(const race *r, fl4__entrant **in, int n)
{
  int64_t most = r->bench->options.max_samples;
  for (int i = 0; i < n; i++)
    if (in[i]->result->samples) most = fl4__min64(most, in[i]->result->samples_size);
  return most;
}

static fl4_status sample(race *r)
{
  const fl4_bench_options *o = &r->bench->options;
  fl4__entrant *in[FL4__BENCH_MAX_CONTENDERS], *lost = NULL;
  fl4_bench_stop stop;
  double seconds = 0;
  do {
    const int n = still_in(r, in);
    if (n == 0) return FL4_OK;
    for (int i = 0; i < n; i++) in[i]->slot = i;
    if (r->sampling) fl4__sampler_close(&r->sampler);
    r->sampling = false;
    const int64_t most = most_samples(r, in, n);
    FL4_TRY(fl4__sampler_open(&r->sampler, n, o->precision, o->max_seconds, fl4__min64(o->min_samples, most), most));
    r->sampling = true;
    FL4_TRY(take_samples(r, in, n, &stop, &seconds, &lost));
  } while (lost);

  fl4__entrant *timed[FL4__BENCH_MAX_CONTENDERS];
  const int n = still_in(r, timed);
  for (int i = 0; i < n; i++) {
    fl4_bench_result *result = timed[i]->result;
    result->stop = stop;
    result->seconds = seconds;
    result->before = timed[i]->site->before;
    result->after = timed[i]->site->after;
    result->after.throttle_reasons = timed[i]->site->throttled;
  }
  return FL4_OK;
}

/* ---------------------------------------------------------------- figures */

static double percent(double value, double of)
{
  return of > 0 ? 100 * value / of : (double)NAN;
}

static fl4_status figures(race *r, fl4__entrant *e)
{
  const fl4_limits *limits = &r->bench->limits;
  fl4_bench_result *result = e->result;
  const double *samples = r->sampler.samples[e->slot];
  const int64_t n = r->sampler.n;
  FL4_TRY(fl4_statistics_compute(samples, n, &result->stats));
  if (result->samples) memcpy(result->samples, samples, (size_t)n * sizeof *samples);
  result->tflops = fl4_problem_flops(r->problem) / result->stats.p50 * 1e-6;
  result->gbps = fl4_problem_bytes(r->problem) / result->stats.p50 * 1e-3;
  /* The limits are those of the context's device. */
  if (!same_device(e->site->home, r->bench->ctx)) return FL4_OK;
  result->percent_matrix = percent(result->tflops, fmax(limits->mma_tflops, limits->gemm_tflops));
  result->percent_read = percent(result->gbps, limits->read_gbps);
  return FL4_OK;
}

/* Against the first, if both were timed. Times of 0, as of problems without a query, cannot be compared. */
static fl4_status against_first(race *r, fl4__entrant *e)
{
  const fl4__entrant *first = &r->entrants[0];
  if (e == first || !is_in(first)) return FL4_OK;
  const int64_t n = r->sampler.n;
  const double *base = r->sampler.samples[first->slot], *other = r->sampler.samples[e->slot];
  fl4_comparison comparison = FL4_COMPARISON_INIT;
  const fl4_status status = fl4_compare_samples(base, n, other, n, &r->bench->compare, &comparison);
  if (status == FL4_OK) e->result->against = comparison;
  return status == FL4_INVALID_ARGUMENT ? FL4_OK : status;
}

static fl4_status time_problem(race *r, int64_t problem)
{
  FL4_TRY(open_race(r, problem));
  FL4_TRY(make_data(r));
  FL4_TRY(make_reference(r));
  for (int i = 0; i < r->n_sites; i++) FL4_TRY(make_copies(r, &r->sites[i]));
  FL4_TRY(each(r, "checking", check));
  FL4_TRY(each(r, "warming up", open_timer));
  FL4_TRY(warm_up(r));
  FL4_TRY(each(r, "warming up", poison));
  FL4_TRY(sample(r));
  FL4_TRY(each(r, "checking", check_again));
  FL4_TRY(each(r, "checking", figures));
  return each(r, "checking", against_first);
}

fl4_status fl4__bench_problem(fl4__bench *bench, int64_t problem)
{
  race r = {.bench = bench};
  bench->progress.problem = problem;
  bench->progress.round = 0;
  bench->progress.seconds = 0;
  bench->progress.precision = (double)NAN;
  bench->progress.phase = NULL;
  const fl4_status status = time_problem(&r, problem);
  close_race(&r);
  return status;
}

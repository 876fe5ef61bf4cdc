/* SPDX-License-Identifier: Apache-2.0 */
/* fl4_bench(): what the caller wants, the problems one after the other, and the judgement of all. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/run.h"
#include "error.h"
#include "util/os.h"

enum { MOST_SAMPLES = 10000000 };

/* ---------------------------------------------------------------- progress and results */

fl4_status fl4__bench_tick(fl4__bench *b, const char *phase)
{
  if (!b->options.progress) return FL4_OK;
  const double now = fl4__now_ms();
  if (phase == b->progress.phase && now - b->told_ms < 100) return FL4_OK;
  b->progress.phase = phase;
  b->told_ms = now;
  if (b->options.progress(&b->progress, b->options.progress_user) == 0) return FL4_OK;
  return fl4__fail(FL4_CANCELLED, "fl4_bench: the progress callback cancelled at problem %" PRId64 ", %s",
                   b->progress.problem, phase);
}

/* What only a timing fills. */
static void clear_figures(fl4_bench_result *r)
{
  const double unknown = (double)NAN;
  r->checked = 0;
  r->stop = FL4_BENCH_STOP_NONE;
  r->seconds = unknown;
  r->stats = (fl4_statistics)FL4_STATISTICS_INIT;
  r->stats.min = r->stats.max = r->stats.mean = r->stats.stdev = unknown;
  r->stats.p50 = r->stats.p90 = r->stats.p95 = r->stats.p99 = r->stats.p50_low = r->stats.p50_high = unknown;
  r->against = (fl4_comparison)FL4_COMPARISON_INIT;
  r->against.ratio = r->against.low = r->against.high = unknown;
  r->against.p_slower = r->against.p_faster = r->against.p_adjusted = unknown;
  r->tflops = r->gbps = r->percent_matrix = r->percent_read = unknown;
}

static void begin_result(const fl4__bench *b, const fl4__contender *c, fl4_bench_result *r)
{
  double *samples = r->samples;
  const int64_t samples_size = r->samples_size;
  *r = (fl4_bench_result)FL4_BENCH_RESULT_INIT;
  r->samples = samples, r->samples_size = samples_size;
  memcpy(r->name, c->name, sizeof r->name);
  memcpy(r->library, c->library.version, sizeof r->library);
  r->max_error = r->max_allowed = (double)NAN;
  r->mode = b->options.mode;
  if (r->mode == FL4_BENCH_AUTO)
    r->mode = c->home->device->info.kind == FL4_DEVICE_CUDA ? FL4_BENCH_GRAPH : FL4_BENCH_EAGER;
  r->cold = b->options.cold;
  fl4__health_unknown(&r->before);
  fl4__health_unknown(&r->after);
  clear_figures(r);
}

void fl4__result_drop(fl4_bench_result *r, fl4_status status)
{
  clear_figures(r);
  r->status = status;
  snprintf(r->error, sizeof r->error, "%s", fl4_last_error());
}

/* The call ends here: what was not finished says why. */
static void drop_rest(fl4__bench *b, int64_t problem, fl4_status status)
{
  for (int64_t i = problem * b->n; i < b->n_problems * b->n; i++) {
    if (b->results[i].status != FL4_OK) continue;
    fl4__result_drop(&b->results[i], status);
    if (status == FL4_CANCELLED) b->results[i].stop = FL4_BENCH_STOP_CANCELLED;
  }
}

/* ---------------------------------------------------------------- options */

#define OPTIONS "fl4_bench_options"

static fl4_status check_range(const char *name, int64_t value, int64_t min, int64_t max)
{
  if (value >= min && value <= max) return FL4_OK;
  return fl4__fail(FL4_INVALID_ARGUMENT, OPTIONS ".%s: is %" PRId64 ", must be from %" PRId64 " to %" PRId64, name,
                   value, min, max);
}

static fl4_status check_positive(const char *name, double value)
{
  if (isfinite(value) && value >= 0) return FL4_OK;
  return fl4__fail(FL4_INVALID_ARGUMENT, OPTIONS ".%s: is %g, must be finite and above 0 (0: the default)", name,
                   value);
}

static fl4_status check_options(const fl4_bench_options *o)
{
  FL4_TRY(check_range("mode", o->mode, 0, FL4_BENCH_MODE_COUNT - 1));
  FL4_TRY(check_range("cold", o->cold, 0, 1));
  FL4_TRY(check_range("inputs", o->inputs, 0, FL4_INPUTS_COUNT - 1));
  FL4_TRY(check_range("copies", o->copies, 0, FL4__BENCH_MAX_COPIES));
  FL4_TRY(check_positive("precision", o->precision));
  if (o->precision >= 1)
    return fl4__fail(FL4_INVALID_ARGUMENT, OPTIONS ".precision: is %g, must be between 0 and 1, as 0.005",
                     o->precision);
  FL4_TRY(check_positive("warmup_seconds", o->warmup_seconds));
  FL4_TRY(check_positive("max_seconds", o->max_seconds));
  FL4_TRY(check_range("min_samples", o->min_samples, 0, MOST_SAMPLES));
  FL4_TRY(check_range("max_samples", o->max_samples, 0, MOST_SAMPLES));
  if (o->max_samples && o->min_samples > o->max_samples)
    return fl4__fail(FL4_INVALID_ARGUMENT, OPTIONS ".min_samples: is %d, must not be above max_samples, %d",
                     o->min_samples, o->max_samples);
  FL4_TRY(check_range("oracle", o->oracle, FL4_ORACLE_AUTO, FL4_ORACLE_CUBLAS));
  FL4_TRY(check_range("n_contenders", o->n_contenders, 0, FL4__BENCH_MAX_CONTENDERS));
  if (o->n_contenders && !o->contenders)
    return fl4__fail(FL4_INVALID_ARGUMENT, OPTIONS ".contenders: is NULL, must point to %d contenders",
                     o->n_contenders);
  for (int i = 0; i < 4; i++)
    if (o->reserved[i])
      return fl4__fail(FL4_INVALID_ARGUMENT, OPTIONS ".reserved[%d]: is %" PRIu64 ", must be 0", i, o->reserved[i]);
  return FL4_OK;
}

static void fill_defaults(fl4_bench_options *o)
{
  if (o->copies == 0) o->copies = 3;
  if (o->precision == 0) o->precision = 0.005;
  if (o->warmup_seconds == 0) o->warmup_seconds = 0.05;
  if (o->max_seconds == 0) o->max_seconds = 5;
  if (o->max_samples == 0) o->max_samples = o->min_samples > 10000 ? o->min_samples : 10000;
  if (o->min_samples == 0) o->min_samples = o->max_samples < 100 ? o->max_samples : 100;
}

static fl4_status read_limits(const fl4_limits *given, fl4_limits *limits)
{
  *limits = (fl4_limits)FL4_LIMITS_INIT;
  if (given) FL4_TRY(fl4__struct_read(limits, sizeof *limits, given, "fl4_limits"));
  const double values[] = {limits->mma_tflops, limits->gemm_tflops, limits->read_gbps};
  static const char *const names[] = {"mma_tflops", "gemm_tflops", "read_gbps"};
  for (int i = 0; i < 3; i++)
    if (!isfinite(values[i]) || values[i] < 0)
      return fl4__fail(FL4_INVALID_ARGUMENT, "fl4_limits.%s: is %g, must be finite and not negative", names[i],
                       values[i]);
  return FL4_OK;
}

/* Tried on nothing much at once: a wrong option must not show after minutes of timing. */
static fl4_status read_compare(const fl4_compare_options *given, uint64_t seed, fl4_compare_options *compare)
{
  *compare = (fl4_compare_options)FL4_COMPARE_OPTIONS_INIT;
  if (given) FL4_TRY(fl4__struct_read(compare, sizeof *compare, given, "fl4_compare_options"));
  compare->paired = 1;
  compare->seed = seed;
  const double times[8] = {1, 1, 1, 1, 1, 1, 1, 1};
  fl4_comparison out = FL4_COMPARISON_INIT;
  return fl4_compare_samples(times, 8, times, 8, compare, &out);
}

static fl4_status read_options(fl4__bench *b, const fl4_bench_options *given)
{
  b->options = (fl4_bench_options)FL4_BENCH_OPTIONS_INIT;
  if (given) FL4_TRY(fl4__struct_read(&b->options, sizeof b->options, given, OPTIONS));
  FL4_TRY(check_options(&b->options));
  FL4_TRY(read_limits(b->options.limits, &b->limits));
  FL4_TRY(read_compare(b->options.compare, b->options.seed, &b->compare));
  fill_defaults(&b->options);
  fl4__random_init(&b->random, b->options.seed);
  return FL4_OK;
}

/* ---------------------------------------------------------------- arrays of structs of any version */

/* Element i of the caller's array, whose elements are as large as its first one says. */
static const void *element(const void *array, int64_t i)
{
  size_t size;
  memcpy(&size, array, sizeof size);
  return (const char *)array + (size_t)i * size;
}

static fl4_status read_element(const void *array, int64_t i, void *copy, size_t known, const char *name)
{
  size_t first, size;
  memcpy(&first, array, sizeof first);
  memcpy(&size, element(array, i), sizeof size);
  if (size != first)
    return fl4__fail(FL4_INVALID_ARGUMENT, "%s %" PRId64 ": struct_size is %zu, must be %zu as that of the first", name,
                     i, size, first);
  return fl4__struct_read(copy, known, element(array, i), name);
}

static fl4_status read_problems(fl4__bench *b, const fl4_problem *given)
{
  fl4_problem first; /* its size is how far apart they are: it must be one */
  FL4_TRY(fl4__struct_read(&first, sizeof first, given, "fl4_problem"));
  b->problems = calloc((size_t)b->n_problems, sizeof *b->problems);
  if (!b->problems) return fl4__fail(FL4_OUT_OF_MEMORY, "fl4_bench: no memory for %" PRId64 " problems", b->n_problems);
  for (int64_t i = 0; i < b->n_problems; i++) {
    fl4_problem problem;
    FL4_TRY(read_element(given, i, &problem, sizeof problem, "fl4_problem"));
    const fl4_status status = fl4__problem_validate(&problem, &b->problems[i]);
    if (status != FL4_OK) return fl4__fail_context(status, "problem %" PRId64, i);
  }
  return FL4_OK;
}

static fl4_status read_results(fl4__bench *b, const fl4_bench_result *given)
{
  const int64_t n = b->n_problems * b->n;
  fl4_bench_result first;
  FL4_TRY(fl4__struct_read(&first, sizeof first, given, "fl4_bench_result"));
  b->results = calloc((size_t)n, sizeof *b->results);
  if (!b->results) return fl4__fail(FL4_OUT_OF_MEMORY, "fl4_bench: no memory for %" PRId64 " results", n);
  for (int64_t i = 0; i < n; i++) {
    fl4_bench_result *r = &b->results[i];
    FL4_TRY(read_element(given, i, r, sizeof *r, "fl4_bench_result"));
    if (r->samples && r->samples_size < 1)
      return fl4__fail(FL4_INVALID_ARGUMENT,
                       "fl4_bench_result %" PRId64 ": samples_size is %" PRId64 ", must be at least 1", i,
                       r->samples_size);
    begin_result(b, &b->contenders[i % b->n], r);
  }
  return FL4_OK;
}

static void write_results(const fl4__bench *b, fl4_bench_result *results)
{
  for (int64_t i = 0; i < b->n_problems * b->n; i++)
    fl4__struct_write((void *)(uintptr_t)element(results, i), &b->results[i], sizeof b->results[i]);
}

/* ---------------------------------------------------------------- contenders */

static bool taken(const fl4__bench *b, int n, const char *name)
{
  for (int i = 0; i < n; i++)
    if (strcmp(b->contenders[i].name, name) == 0) return true;
  return false;
}

/* Results are found by name: the second of a name becomes "name 2". */
static void make_unique(const fl4__bench *b, int i)
{
  char name[64];
  memcpy(name, b->contenders[i].name, sizeof name);
  for (unsigned number = 2; taken(b, i, name); number++)
    snprintf(name, sizeof name, "%.59s %u", b->contenders[i].name, number % 1000);
  memcpy(b->contenders[i].name, name, sizeof name);
}

static fl4_status open_contenders(fl4__bench *b)
{
  const fl4_bench_contender *given = b->options.contenders;
  fl4_bench_contender description = FL4_BENCH_CONTENDER_INIT;
  const int n = b->options.n_contenders ? b->options.n_contenders : 1;
  b->contenders = calloc((size_t)n, sizeof *b->contenders);
  if (!b->contenders) return fl4__fail(FL4_OUT_OF_MEMORY, "fl4_bench: no memory for %d contenders", n);
  if (b->options.n_contenders)
    FL4_TRY(fl4__struct_read(&description, sizeof description, given, "fl4_bench_contender"));
  for (int i = 0; i < n; i++) {
    if (b->options.n_contenders)
      FL4_TRY(read_element(given, i, &description, sizeof description, "fl4_bench_contender"));
    fl4__contender *c = &b->contenders[i];
    b->n = i + 1; /* to be closed in any case */
    const fl4_status status = fl4__contender_open(b->ctx, &description, c);
    if (status != FL4_OK) return fl4__fail_context(status, "fl4_bench: contender %d", i);
    make_unique(b, i);
    const fl4__backend *backend = c->home->device->backend;
    if (!backend->timing)
      return fl4__fail(FL4_UNSUPPORTED,
                       "fl4_bench: contender %d is on the device \"%s\", on which nothing can be timed", i,
                       backend->name);
  }
  return FL4_OK;
}

/* ---------------------------------------------------------------- the call */

static fl4_status judge_all(fl4__bench *b)
{
  const int64_t n = b->n_problems * b->n;
  fl4_comparison **all = calloc((size_t)n, sizeof *all);
  if (!all) return fl4__fail(FL4_OUT_OF_MEMORY, "fl4_bench: no memory for %" PRId64 " comparisons", n);
  for (int64_t i = 0; i < n; i++) all[i] = &b->results[i].against;
  const fl4_status status = fl4_compare_judge(all, n);
  free(all);
  return status;
}

/* Every problem, whatever becomes of it, unless the call itself must end; then what was finished is judged. */
static fl4_status bench_all(fl4__bench *b)
{
  fl4_status status = FL4_OK;
  for (int64_t i = 0; i < b->n_problems && status == FL4_OK; i++) {
    status = fl4__bench_problem(b, i);
    if (status != FL4_OK) drop_rest(b, i, status);
  }
  const fl4_status judged = b->n > 1 ? judge_all(b) : FL4_OK;
  return status != FL4_OK ? status : judged;
}

static void close_bench(fl4__bench *b)
{
  for (int i = 0; i < b->n; i++) fl4__contender_close(&b->contenders[i]);
  free(b->contenders);
  free(b->problems);
  free(b->results);
}

fl4_status fl4_bench(fl4_context *ctx, const fl4_problem *problems, int64_t n_problems,
                     const fl4_bench_options *options, fl4_bench_result *results)
{
  if (!ctx) return fl4__fail(FL4_INVALID_ARGUMENT, "fl4_bench: ctx: is NULL, must be a context");
  if (!problems) return fl4__fail(FL4_INVALID_ARGUMENT, "fl4_bench: problems: is NULL, must point to problems");
  if (n_problems < 1 || n_problems > INT32_MAX)
    return fl4__fail(FL4_INVALID_ARGUMENT, "fl4_bench: n_problems: is %" PRId64 ", must be from 1 to %d", n_problems,
                     INT32_MAX);
  if (!results) return fl4__fail(FL4_INVALID_ARGUMENT, "fl4_bench: results: is NULL, must receive the results");
  fl4__bench b = {.ctx = ctx, .n_problems = n_problems};
  b.progress.struct_size = sizeof b.progress;
  b.progress.n_problems = n_problems;
  fl4_status status;
  FL4_TRY_GOTO(read_options(&b, options));
  FL4_TRY_GOTO(read_problems(&b, problems));
  FL4_TRY_GOTO(open_contenders(&b));
  FL4_TRY_GOTO(read_results(&b, results));
  status = bench_all(&b);
  write_results(&b, results);
done:
  close_bench(&b);
  return status;
}

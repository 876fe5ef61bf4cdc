/* SPDX-License-Identifier: Apache-2.0 */
/* A search on a recorded space: every answer is looked up. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <flashl4/tune.h>

#include "error.h"
#include "problem.h"
#include "tune/log.h"
#include "tune/search.h"

enum { CAP = 1500, MOST_SEEDS = 1 << 20 };

static const int marks[] = {25, 50, 100, 200}; /* of fl4_replay_report.at */

/* Shares are summed as whole numbers, so that the sum does not depend on the threads. */
static const double SHARE = (double)(1LL << 40);

typedef struct replay {
  const fl4__record *record;
  const fl4__strategy *strategy;
  double best; /* cost */
  int32_t cap, seeds;
  int32_t *to_95, *to_99; /* [seeds] */
  int64_t *share;         /* [cap] sum over seeds */
} replay;

/* Of the best speed. */
static bool reaches(double share, double best, double cost)
{
  return share * cost <= best;
}

/* One run, until it has found the best: what comes then is known. */
static fl4_status run(const replay *r, int32_t seed, int64_t *share)
{
  fl4__search search;
  int64_t points[FL4__BATCH];
  double best = (double)INFINITY;
  int32_t n = 0;
  FL4_TRY(fl4__search_open(&search, r->record->space, r->strategy, (uint64_t)seed, NULL, 0));
  r->to_95[seed] = r->to_99[seed] = r->cap;
  while (n < r->cap && best > r->best) {
    const int got = fl4__search_ask(&search, (int)fl4__min64(FL4__BATCH, r->cap - n), points);
    if (got == 0) break;
    for (int i = 0; i < got; i++, n++) {
      const double cost = r->record->cost[points[i]];
      fl4__search_tell(&search, points[i], cost);
      if (reaches(0.95, r->best, cost) && !reaches(0.95, r->best, best)) r->to_95[seed] = n + 1;
      if (reaches(0.99, r->best, cost) && !reaches(0.99, r->best, best)) r->to_99[seed] = n + 1;
      if (cost < best) best = cost;
      share[n] += llround(r->best / best * SHARE);
    }
  }
  for (; n < r->cap; n++) share[n] += llround(r->best / best * SHARE);
  fl4__search_close(&search);
  return FL4_OK;
}

static fl4_status run_all(replay *r)
{
  bool failed = false;
#pragma omp parallel
  {
    int64_t *share = calloc((size_t)r->cap, sizeof *share);
    bool mine = !share;
#pragma omp for schedule(dynamic)
    for (int32_t seed = 0; seed < r->seeds; seed++)
      if (!mine && run(r, seed, share) != FL4_OK) mine = true;
#pragma omp critical
    {
      if (mine) failed = true;
      for (int32_t i = 0; !mine && i < r->cap; i++) r->share[i] += share[i];
    }
    free(share);
  }
  /* The sentence stands in the thread that failed; there is only one reason. */
  return failed ? fl4__fail(FL4_OUT_OF_MEMORY, "fl4_tune_replay: no memory for the searches") : FL4_OK;
}

/* ---------------------------------------------------------------- report */

static int ascending(const void *a, const void *b)
{
  const int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
  return (x > y) - (x < y);
}

/* The least number of evaluations that half, nine tenths, all of the runs were done with. */
static void percentiles(int32_t *runs, int32_t n, int32_t out[3])
{
  qsort(runs, (size_t)n, sizeof *runs, ascending);
  out[0] = runs[(n + 1) / 2 - 1];
  out[1] = runs[(int32_t)(((int64_t)n * 9 + 9) / 10) - 1];
  out[2] = runs[n - 1];
}

static double mean_share(const replay *r, int32_t evaluation)
{
  return (double)r->share[evaluation - 1] / SHARE / r->seeds;
}

static void report_on(replay *r, double *curve, fl4_replay_report *report)
{
  const int64_t n = r->record->space->n_points;
  int64_t good = 0;
  for (int64_t i = 0; i < n; i++) good += reaches(0.95, r->best, r->record->cost[i]);
  *report = (fl4_replay_report)FL4_REPLAY_REPORT_INIT;
  report->points = n;
  report->failed = r->record->failed;
  report->best = r->best;
  report->difficulty = (double)good / (double)n;
  report->cap = r->cap;
  report->seeds = r->seeds;
  percentiles(r->to_95, r->seeds, report->to_95);
  percentiles(r->to_99, r->seeds, report->to_99);
  for (int i = 0; i < 4; i++) {
    /* Beyond the cap nothing is known, but where all points were tried. */
    const double beyond = n <= r->cap ? 1 : (double)NAN;
    report->at[i] = marks[i] <= r->cap ? mean_share(r, marks[i]) : beyond;
  }
  for (int32_t i = 0; curve && i < r->cap; i++) curve[i] = mean_share(r, i + 1);
}

/* ---------------------------------------------------------------- the call */

static fl4_status replay_record(replay *r, double *curve, fl4_replay_report *report)
{
  r->to_95 = malloc((size_t)r->seeds * sizeof *r->to_95);
  r->to_99 = malloc((size_t)r->seeds * sizeof *r->to_99);
  r->share = calloc((size_t)r->cap, sizeof *r->share);
  fl4_status status = FL4_OK;
  if (!r->to_95 || !r->to_99 || !r->share)
    status = fl4__fail(FL4_OUT_OF_MEMORY, "fl4_tune_replay: no memory for %d runs", (int)r->seeds);
  if (status == FL4_OK) status = run_all(r);
  if (status == FL4_OK) report_on(r, curve, report);
  free(r->to_95);
  free(r->to_99);
  free(r->share);
  return status;
}

static double best_of(const fl4__record *record)
{
  double best = (double)INFINITY;
  for (int64_t i = 0; i < record->space->n_points; i++)
    if (record->cost[i] < best) best = record->cost[i];
  return best;
}

static fl4_status check(const char *file, const char *strategy, int32_t seeds, int32_t cap,
                        const fl4_replay_report *report)
{
  if (!file) return fl4__fail(FL4_INVALID_ARGUMENT, "fl4_tune_replay: file: is NULL, must be a file's name");
  if (!fl4__strategy_find(strategy))
    return fl4__fail(FL4_INVALID_ARGUMENT,
                     "fl4_tune_replay: strategy: is \"%s\", must be evolve, exhaustive, random or genetic", strategy);
  if (seeds < 1 || seeds > MOST_SEEDS)
    return fl4__fail(FL4_INVALID_ARGUMENT, "fl4_tune_replay: seeds: is %d, must be 1 to %d", (int)seeds, MOST_SEEDS);
  if (cap < 0 || cap > FL4__MAX_POINTS)
    return fl4__fail(FL4_INVALID_ARGUMENT, "fl4_tune_replay: cap: is %d, must be 0 to %d", (int)cap, FL4__MAX_POINTS);
  if (!report) return fl4__fail(FL4_INVALID_ARGUMENT, "fl4_tune_replay: report: is NULL, must receive the outcome");
  return FL4_OK;
}

fl4_status fl4_tune_replay(const char *file, const char *strategy, int32_t seeds, int32_t cap, double *curve,
                           fl4_replay_report *report)
{
  fl4_replay_report out;
  fl4__record record;
  if (!strategy) strategy = "evolve";
  FL4_TRY(check(file, strategy, seeds, cap, report));
  FL4_TRY(fl4__struct_read(&out, sizeof out, report, "fl4_replay_report"));
  fl4_status status = fl4__record_read(file, &record);
  if (status != FL4_OK) return fl4__fail_context(status, "fl4_tune_replay");
  replay r = {.record = &record, .strategy = fl4__strategy_find(strategy), .best = best_of(&record), .seeds = seeds};
  r.cap = cap ? cap : (int32_t)fl4__min64(CAP, record.space->n_points);
  if (isfinite(r.best))
    status = replay_record(&r, curve, &out);
  else
    status = fl4__fail(FL4_IO_ERROR, "fl4_tune_replay: %s: none of its evaluations is correct", file);
  if (status == FL4_OK) fl4__struct_write(report, &out, sizeof out);
  fl4__record_close(&record);
  return status;
}

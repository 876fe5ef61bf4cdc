/* SPDX-License-Identifier: Apache-2.0 */
/* What a tuning tells at its end: the choice, the leaderboard, what it took. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "tune/tuner.h"

/* Element i of the caller's array, whose elements are as large as its first one says. */
static const fl4_tune_candidate *element(const fl4_tune_candidate *candidates, int64_t i)
{
  return (const void *)((const char *)candidates + (size_t)i * candidates->struct_size);
}

fl4_status fl4__tune_report_check(const fl4_tune_report *report, const char *function)
{
  if (!report) return fl4__fail(FL4_INVALID_ARGUMENT, "%s: report: is NULL, must receive the outcome", function);
  fl4_tune_report r;
  FL4_TRY(fl4__struct_read(&r, sizeof r, report, "fl4_tune_report"));
  if (r.candidates_size < 0)
    return fl4__fail(FL4_INVALID_ARGUMENT, "fl4_tune_report.candidates_size: is %" PRId64 ", must not be negative",
                     r.candidates_size);
  for (int64_t i = 0; r.candidates && i < r.candidates_size; i++) {
    fl4_tune_candidate c;
    FL4_TRY(fl4__struct_read(&c, sizeof c, element(r.candidates, i), "fl4_tune_candidate"));
    if (element(r.candidates, i)->struct_size != r.candidates->struct_size)
      return fl4__fail(FL4_INVALID_ARGUMENT,
                       "fl4_tune_candidate %" PRId64 ": struct_size is %zu, must be %zu as that of the first", i,
                       element(r.candidates, i)->struct_size, r.candidates->struct_size);
  }
  return FL4_OK;
}

/* The fastest first, then what is not correct; as tried where that does not decide. */
static int by_rank(const void *a, const void *b)
{
  const fl4_tune_candidate *x = a, *y = b;
  const bool right_x = x->invalidity == FL4_INVALIDITY_CORRECT, right_y = y->invalidity == FL4_INVALIDITY_CORRECT;
  if (right_x != right_y) return right_x ? -1 : 1;
  if (right_x && x->p50 != y->p50) return x->p50 < y->p50 ? -1 : 1;
  return (x->evaluation > y->evaluation) - (x->evaluation < y->evaluation);
}

/* Finalists' times are those of the final. */
static void take_final_times(const fl4__final *f, fl4_tune_candidate *candidates)
{
  for (int i = 0; i < f->n; i++) {
    fl4_tune_candidate *c = &candidates[f->who[i]];
    if (c->invalidity != FL4_INVALIDITY_CORRECT) continue;
    c->p50 = f->stats[i].p50, c->p50_low = f->stats[i].p50_low, c->p50_high = f->stats[i].p50_high;
    c->samples = f->stats[i].n;
  }
}

/* Candidates of the same code have the same times, so that they stand beside each other. */
static void share_times(fl4_tune_candidate *candidates, int64_t n)
{
  for (int64_t i = 0; i < n; i++) {
    fl4_tune_candidate *c = &candidates[i];
    if (c->same_as < 0) continue;
    const fl4_tune_candidate *as = &candidates[c->same_as];
    c->p50 = as->p50, c->p50_low = as->p50_low, c->p50_high = as->p50_high, c->samples = as->samples;
  }
}

static fl4_status write_candidates(const fl4_tuner *t, const fl4__final *f, const fl4_tune_report *report)
{
  if (!report->candidates || report->candidates_size == 0 || t->n_tried == 0) return FL4_OK;
  fl4_tune_candidate *all = malloc((size_t)t->n_tried * sizeof *all);
  if (!all) return fl4__fail(FL4_OUT_OF_MEMORY, "fl4_tune: no memory for %" PRId64 " candidates", t->n_tried);
  for (int64_t i = 0; i < t->n_tried; i++) all[i] = t->tried[i].result;
  take_final_times(f, all);
  share_times(all, t->n_tried);
  qsort(all, (size_t)t->n_tried, sizeof *all, by_rank);
  const int64_t n = fl4__min64(t->n_tried, report->candidates_size);
  for (int64_t i = 0; i < n; i++)
    fl4__struct_write((void *)(uintptr_t)element(report->candidates, i), &all[i], sizeof all[i]);
  free(all);
  return FL4_OK;
}

fl4_status fl4__tune_report_write(const fl4_tuner *t, const fl4__final *f, fl4_tune_report *report)
{
  fl4_tune_report r;
  FL4_TRY(fl4__struct_read(&r, sizeof r, report, "fl4_tune_report"));
  FL4_TRY(write_candidates(t, f, &r));
  const fl4_tune_report out = {
      .struct_size = sizeof out,
      .candidates = r.candidates,
      .candidates_size = r.candidates_size,
      .n_candidates = t->n_tried,
      .improved = f->winner > 0,
      .stop = t->stop,
      .space = t->family.info.valid,
      .evaluations = t->evaluated,
      .resumed = t->resumed,
      .seconds = t->seconds,
      .compile_seconds = 1e-3 * t->compile_ms,
      .default_us = f->choice_us,
      .best_us = f->best_us,
      .against = f->against,
  };
  r = out;
  for (int64_t i = 0; i < t->n_tried; i++) r.failed += t->tried[i].result.invalidity != FL4_INVALIDITY_CORRECT;
  fl4__variant_format(f->winner > 0 ? &t->tried[f->winner].variant : &t->choice, r.variant);
  fl4__struct_write(report, &r, sizeof r);
  return FL4_OK;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The final: the fastest and the built-in choice side by side, as fl4_bench() times contenders, judged
 * before and after. Who would replace the choice must do it once more, alone against it: of many that are
 * equal one is always ahead by chance.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "context.h"
#include "error.h"
#include "tune/tuner.h"

/* Slower ones than this, by the search's samples, are not worth the final's time; but one always is. */
static const double worth_a_final = 1.1;

static const double final_seconds = 3;

/* ---------------------------------------------------------------- who */

static bool is_right(const fl4_tuner *t, int64_t i)
{
  return i < t->n_tried && t->tried[i].result.invalidity == FL4_INVALIDITY_CORRECT;
}

/* The choice if it is right, then the fastest others of code of their own: at most FL4__TUNE_FINALISTS. */
static int finalists(const fl4_tuner *t, int64_t who[FL4__TUNE_FINALISTS + 1])
{
  int n = 0;
  const bool choice = is_right(t, 0);
  if (choice) who[n++] = 0;
  const int first = n;
  for (int64_t i = 1; i < t->n_tried; i++) {
    const fl4_tune_candidate *r = &t->tried[i].result;
    if (r->invalidity != FL4_INVALIDITY_CORRECT || r->same_as >= 0) continue;
    /* Insertion, the fastest first; of equals the one tried first. */
    int at = n < first + FL4__TUNE_FINALISTS ? n++ : n;
    while (at > first && r->p50 < t->tried[who[at - 1]].result.p50) {
      if (at < n) who[at] = who[at - 1];
      at--;
    }
    if (at < n) who[at] = i;
  }
  while (n > first + 1 && t->tried[who[n - 1]].result.p50 > worth_a_final * t->tried[t->best].result.p50) n--;
  return n;
}

/* Wished for by the caller or by wisdom. */
static bool is_seed(const fl4_tuner *t, int64_t i)
{
  for (int k = 1; k < t->n_first; k++)
    if (t->first[k] == t->tried[i].point) return true;
  return false;
}

/* ---------------------------------------------------------------- side by side */

typedef struct round_of {
  int n;
  fl4_context ctx[FL4__TUNE_FINALISTS + 1];
  fl4__contender contenders[FL4__TUNE_FINALISTS + 1];
  fl4_bench_result results[FL4__TUNE_FINALISTS + 1]; /* the first is the base of the others' comparisons */
  bool lost;                                         /* somebody was wrong, or failed */
} round_of;

static int on_progress(const fl4_bench_progress *progress, void *user)
{
  fl4_tuner *t = user;
  (void)progress;
  fl4__tune_tick(t, "final", false);
  return t->cancel;
}

static void set_up(const fl4_tuner *t, int i, const int64_t *who, round_of *r)
{
  const fl4__tried *x = &t->tried[who[i]];
  r->ctx[i] = fl4__tune_context(t, &x->variant);
  fl4__contender *c = &r->contenders[i];
  memset(c, 0, sizeof *c);
  c->kind = FL4_CONTENDER_FORWARD;
  snprintf(c->name, sizeof c->name, "%.63s", x->result.variant);
  (void)fl4__library_open(NULL, &c->library); /* this one: cannot fail */
  c->ctx = &r->ctx[i], c->home = t->ctx;
  r->results[i] = (fl4_bench_result)FL4_BENCH_RESULT_INIT;
  memcpy(r->results[i].name, c->name, sizeof c->name);
}

static fl4_status time_round(fl4_tuner *t, const int64_t *who, int n, round_of *r)
{
  fl4_problem problem = t->problem;
  fl4__bench b = {.ctx = t->ctx, .n = n, .contenders = r->contenders, .n_problems = 1, .problems = &problem};
  b.results = r->results;
  b.options = (fl4_bench_options)FL4_BENCH_OPTIONS_INIT;
  b.options.mode = t->mode, b.options.cold = t->options.cold, b.options.inputs = t->options.inputs;
  b.options.copies = FL4__TUNE_COPIES, b.options.seed = t->options.seed;
  b.options.precision = 0.005, b.options.warmup_seconds = 0.05, b.options.max_seconds = final_seconds;
  b.options.min_samples = 100, b.options.max_samples = 10000;
  b.options.progress = on_progress, b.options.progress_user = t;
  b.compare = (fl4_compare_options)FL4_COMPARE_OPTIONS_INIT;
  b.compare.paired = 1, b.compare.seed = t->options.seed, b.compare.threshold = t->options.threshold;
  fl4__random_init(&b.random, t->options.seed);
  r->n = n, r->lost = false;
  for (int i = 0; i < n; i++) set_up(t, i, who, r);
  fl4_status status = fl4__bench_problem(&b, 0);
  if (status == FL4_CANCELLED) return fl4__tune_cancelled(t);
  if (status != FL4_OK) return fl4__fail_context(status, "fl4_tune: final");
  for (int i = 0; i < n; i++)
    if (r->results[i].status == FL4_OUT_OF_MEMORY) return fl4__fail(FL4_OUT_OF_MEMORY, "%s", r->results[i].error);
  for (int i = 0; i < n; i++)
    if (r->results[i].status != FL4_OK) {
      const bool wrong = r->results[i].status == FL4_WRONG_OUTPUT;
      r->lost = true;
      FL4_TRY(fl4__tune_disqualify(t, who[i], wrong ? FL4_INVALIDITY_CORRECTNESS : FL4_INVALIDITY_RUNTIME,
                                   r->results[i].error));
    }
  return FL4_OK;
}

/* Keeps what a round says of its contenders' times: of two rounds the later counts. */
static void keep(const round_of *r, const int64_t *who, fl4__final *f)
{
  for (int i = 0; i < r->n; i++) {
    int k = 0;
    while (k < f->n && f->who[k] != who[i]) k++;
    if (k == f->n) f->n++;
    f->who[k] = who[i];
    f->stats[k] = r->results[i].stats;
    if (who[i] == 0) f->choice_us = r->results[i].stats.p50;
    if (who[i] == f->winner) f->best_us = r->results[i].stats.p50;
  }
}

/* ---------------------------------------------------------------- the verdict */

/* The fastest of a round but for the base, -1: none. A seed, if it is as fast within the threshold. */
static int ahead(const fl4_tuner *t, const round_of *r, const int64_t *who, int first)
{
  int best = -1;
  for (int i = first; i < r->n; i++)
    if (best < 0 || r->results[i].stats.p50 < r->results[best].stats.p50) best = i;
  for (int i = first; best >= 0 && i < r->n; i++)
    if (is_seed(t, who[i]) && r->results[i].stats.p50 <= (1 + t->options.threshold) * r->results[best].stats.p50)
      return i;
  return best;
}

static bool surely_faster(const fl4_tuner *t, const fl4_comparison *c)
{
  return c->n > 0 && c->high < 1 && c->ratio * (1 + t->options.threshold) <= 1;
}

void fl4__final_by_samples(const fl4_tuner *t, fl4__final *f)
{
  memset(f, 0, sizeof *f);
  f->winner = is_right(t, 0) ? 0 : t->best;
  f->choice_us = is_right(t, 0) ? t->tried[0].result.p50 : (double)NAN;
  if (t->best > 0 && is_right(t, 0)) {
    const fl4_tune_candidate *base = &t->tried[0].result, *best = &t->tried[t->best].result;
    if (best->p50_high < base->p50_low && best->p50 * (1 + t->options.threshold) <= base->p50) f->winner = t->best;
  }
  f->best_us = f->winner >= 0 ? t->tried[f->winner].result.p50 : (double)NAN;
  f->against = (fl4_comparison)FL4_COMPARISON_INIT;
}

/* The choice is right, and is the first of the round. Who is ahead of it must be so in a round of two. */
static fl4_status challenge(fl4_tuner *t, round_of *r, const int64_t *who, fl4__final *f)
{
  const int best = ahead(t, r, who, 1);
  f->winner = 0;
  f->choice_us = f->best_us = r->results[0].stats.p50;
  if (best < 0) return FL4_OK;
  f->against = r->results[best].against;
  if (!surely_faster(t, &f->against)) return FL4_OK;

  const int64_t two[2] = {0, who[best]};
  FL4_TRY(time_round(t, two, 2, r));
  if (r->lost) return FL4_OK;
  f->against = r->results[1].against;
  if (surely_faster(t, &f->against)) f->winner = two[1];
  keep(r, two, f);
  return FL4_OK;
}

static fl4_status run(fl4_tuner *t, round_of *r, fl4__final *f)
{
  int64_t who[FL4__TUNE_FINALISTS + 1];
  const int n = finalists(t, who);
  r->lost = false;
  if (n == 0) return FL4_OK;
  FL4_TRY(time_round(t, who, n, r));
  if (r->lost) return FL4_OK;
  keep(r, who, f);
  if (who[0] == 0) return challenge(t, r, who, f);
  /* The choice does not run, or is wrong: the fastest that does and is not. */
  const int best = ahead(t, r, who, 0);
  f->winner = who[best];
  f->choice_us = (double)NAN;
  f->best_us = r->results[best].stats.p50;
  return FL4_OK;
}

fl4_status fl4__final_run(fl4_tuner *t, fl4__final *f)
{
  round_of *r = malloc(sizeof *r);
  if (!r) return fl4__fail(FL4_OUT_OF_MEMORY, "fl4_tune: no memory for %zu bytes of the final", sizeof *r);
  fl4__grounds_close(t);
  fl4_status status;
  do { /* who lost, is out; and then others may be worth a final */
    fl4__final_by_samples(t, f);
    status = run(t, r, f);
  } while (status == FL4_OK && r->lost);
  free(r);
  return status;
}

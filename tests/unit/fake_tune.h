/* SPDX-License-Identifier: Apache-2.0 */
/* Tunings on the fake GPU: a call, what holds of every report, and an optimum to be found. */
#ifndef FL4_TEST_FAKE_TUNE_H
#define FL4_TEST_FAKE_TUNE_H

#include "fake_gpu.h"

enum { MOST = 4096 };

static fl4_context *ctx;
static fl4_problem problem;
static fl4_tune_options options;
static fl4_tune_report report;
static fl4_tune_candidate candidates[MOST];

/* Little shared memory and a large head dimension: some hundreds of variants, of which all can be tried. */
static inline void setup(void)
{
  fake.sm = 89, fake.smem = 99 << 10;
  ctx = fake_context();
  problem = problem_of("hq1sq20sk40d192");
  options = (fl4_tune_options)FL4_TUNE_OPTIONS_INIT;
  options.no_wisdom = 1;
}

static inline void teardown(void)
{
  fl4_context_destroy(&ctx);
}

static inline void clear_report(void)
{
  report = (fl4_tune_report)FL4_TUNE_REPORT_INIT;
  for (int i = 0; i < MOST; i++) candidates[i] = (fl4_tune_candidate)FL4_TUNE_CANDIDATE_INIT;
  report.candidates = candidates, report.candidates_size = MOST;
}

static inline fl4_status tune(void)
{
  clear_report();
  return fl4_tune(ctx, &problem, &options, &report);
}

static inline const fl4_tune_candidate *candidate(const char *variant)
{
  for (int64_t i = 0; i < report.n_candidates; i++)
    if (strcmp(candidates[i].variant, variant) == 0) return &candidates[i];
  return NULL;
}

/* The candidate with an evaluation's number. */
static inline const fl4_tune_candidate *evaluation(int number)
{
  for (int64_t i = 0; i < report.n_candidates; i++)
    if (candidates[i].evaluation == number) return &candidates[i];
  return NULL;
}

static inline void choice_text(char text[FL4__VARIANT_TEXT])
{
  fl4__problem p;
  fl4__variant v;
  ck_assert_fl4(fl4__problem_call(&problem, &p));
  ck_assert_fl4(fl4__tune_choice(NULL, &p, &ctx->device->info, &v));
  fl4__variant_format(&v, text);
}

/* What holds of every report. */
static inline void check_report(void)
{
  ck_assert_int_le(report.n_candidates, report.space);
  ck_assert_int_eq(report.evaluations + report.resumed, report.n_candidates);
  int64_t failed = 0;
  for (int64_t i = 0; i < report.n_candidates; i++) {
    const fl4_tune_candidate *c = &candidates[i];
    const bool right = c->invalidity == FL4_INVALIDITY_CORRECT;
    failed += !right;
    ck_assert_msg(right == (c->error[0] == '\0') && right == !isnan(c->p50), "%s: %s, %g", c->variant, c->error,
                  c->p50);
    if (i > 0 && right) ck_assert(candidates[i - 1].p50 <= c->p50);
    if (c->same_as >= 0) ck_assert(evaluation(c->same_as)->p50 == c->p50 || !right);
  }
  ck_assert_int_eq(failed, report.failed);
  for (int i = 0; i < report.n_candidates; i++) ck_assert_ptr_nonnull(evaluation(i));
  char text[FL4__VARIANT_TEXT];
  choice_text(text);
  if (report.n_candidates) ck_assert_str_eq(evaluation(0)->variant, text);
  if (!report.improved) ck_assert_str_eq(report.variant, text);
  if (report.improved) ck_assert_str_ne(report.variant, text);
}

/* ---------------------------------------------------------------- a planted optimum */

static const char *const planted =
    "fwd_mma:bm=128,bn=32,warps=8,stages=2,qreg=0,slice=16,weave=0,kgroups=1,share=0,splits=8,ctas=1";
static fl4__variant planted_variant;

/* 5 % a step from the planted one. */
static inline double us_planted(const fl4__variant *v)
{
  int steps = 0;
  for (int i = 0; i < v->family->n_params; i++) {
    const fl4__param *p = &v->family->params[i];
    int at = 0, best = 0;
    for (int k = 0; k < p->n_values; k++) {
      if (p->values[k] == v->value[i]) at = k;
      if (p->values[k] == planted_variant.value[i]) best = k;
    }
    steps += abs(at - best);
  }
  return 1000 * pow(1.05, steps);
}

static inline void plant(void)
{
  ck_assert_fl4(fl4__variant_parse(planted, &planted_variant));
  fake.us = us_planted;
}

#endif

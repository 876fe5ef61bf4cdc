/* SPDX-License-Identifier: Apache-2.0 */
/* A tuning, as its files share it. */
#ifndef FL4_TUNE_TUNER_H
#define FL4_TUNE_TUNER_H

#include <flashl4/tune.h>

#include "bench/run.h"
#include "tune/compile.h"
#include "tune/family_space.h"
#include "tune/log.h"
#include "tune/search.h"

enum {
  FL4__TUNE_COPIES = 3, /* sets of inputs that timed calls go through */
  FL4__TUNE_GATES = 3,  /* the timed inputs, and two that bite */
  FL4__TUNE_FINALISTS = 8,
};

/* A point that was tried, or read from the log. */
typedef struct fl4__tried {
  fl4_tune_candidate result;
  int64_t point;
  fl4__variant variant;
  fl4__geometry geometry;
} fl4__tried;

/* A problem on the device, with the reference for what candidates make of it. */
typedef struct fl4__ground {
  fl4__site site;
  fl4__reference *reference;
  fl4__output outputs[FL4__TUNE_COPIES]; /* one for each set of inputs */
  int n_outputs;
} fl4__ground;

struct fl4_tuner {
  fl4_context *ctx;
  fl4_problem problem;
  fl4_tune_options options; /* defaults filled in; strings are not kept */
  const fl4__strategy *strategy;
  fl4_bench_mode mode; /* never AUTO */
  int64_t most;        /* evaluations */

  fl4__family_space family;
  fl4__variant choice; /* built in: evaluation 0 */
  int64_t *first;      /* points: the choice's, then seeds' */
  int n_first;
  fl4__search search;
  bool searching;

  fl4__compiler *compiler;
  fl4__tune_log *log;             /* NULL: none */
  fl4_tune_candidate *earlier;    /* [n_earlier] from the log */
  int64_t n_earlier, *earlier_of; /* [points]: index in `earlier`, -1: none */

  /* What the search asked for last. */
  int64_t batch[FL4__BATCH];
  int n_batch, at_batch, job_of[FL4__BATCH]; /* -1: known from the log */

  fl4__ground grounds[FL4__TUNE_GATES];
  bool has_grounds;
  fl4__bench bench; /* what entrants ask of a benchmark: modes, and whom to tell */

  fl4__tried *tried;              /* [n_tried] in order; room for all points */
  int64_t n_tried, best, best_at; /* the fastest, -1: none; evaluation that was the last to be better */
  int64_t resumed, evaluated;
  double seconds, compile_ms;
  fl4_tune_stop stop;

  /* The step that runs. */
  double start_ms, told_ms, deadline_ms;
  const char *phase;
  bool cancel;
};

/*
 * Tells the caller where we are: `now`, or if it is a new phase or a tenth of a second has passed. Takes note
 * if it wants no more. `phase` is static.
 */
void fl4__tune_tick(fl4_tuner *tuner, const char *phase, bool now);
fl4_status fl4__tune_cancelled(const fl4_tuner *tuner);

/* The context, with the variant forced. For the time of a call: it owns nothing. */
fl4_context fl4__tune_context(const fl4_tuner *tuner, const fl4__variant *variant);

/* Data and references: made when they are needed, given back before the final, which has its own. */
fl4_status fl4__grounds_open(fl4_tuner *tuner);
void fl4__grounds_close(fl4_tuner *tuner);

/*
 * Judges and times a candidate whose kernel was built, or not; `x->point` and `x->variant` are given. What is
 * wrong with it is an outcome; failures are those that end the tuning.
 */
fl4_status fl4__evaluate(fl4_tuner *tuner, const fl4__job *job, fl4__tried *x);

/* What a tuning comes to. */
typedef struct fl4__final {
  int64_t winner; /* in `tried`; -1: the built-in choice, as nothing was right or tried */
  double choice_us, best_us;
  fl4_comparison against;
  int n; /* finalists, and what the final knows of their times */
  int64_t who[FL4__TUNE_FINALISTS + 1];
  fl4_statistics stats[FL4__TUNE_FINALISTS + 1];
} fl4__final;

/* By what the search measured alone. */
void fl4__final_by_samples(const fl4_tuner *tuner, fl4__final *final);
/* Side by side. FL4_CANCELLED and what ends the tuning. */
fl4_status fl4__final_run(fl4_tuner *tuner, fl4__final *final);

/* Wisdom's variants that may do well for the problem, at most n; and what came of it. Nothing if it is not wanted. */
int fl4__tune_wisdom_seeds(const fl4_tuner *tuner, int n, fl4__variant *seeds);
fl4_status fl4__tune_wisdom_learn(const fl4_tuner *tuner, const fl4__final *final);

/* Takes note that a candidate, and those of the same code, are no good after all. */
fl4_status fl4__tune_disqualify(fl4_tuner *tuner, int64_t tried, fl4_invalidity how, const char *why);

/* The caller's options, checked, with defaults filled in. */
fl4_status fl4__tune_options_read(const fl4_tune_options *given, fl4_tune_options *options);
/* Problem, search space, built-in choice and seeds, from valid options. */
fl4_status fl4__tune_subject_open(fl4_tuner *tuner, const fl4_problem *problem);

/* What the caller's report and its array can hold, before anything is tried. */
fl4_status fl4__tune_report_check(const fl4_tune_report *report, const char *function);
/* All fields, from what was tried and the final. */
fl4_status fl4__tune_report_write(const fl4_tuner *tuner, const fl4__final *final, fl4_tune_report *report);

#endif

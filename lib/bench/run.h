/* SPDX-License-Identifier: Apache-2.0 */
/* One call of fl4_bench(), as its files share it: the call, a problem in it, a contender on the problem. */
#ifndef FL4_BENCH_RUN_H
#define FL4_BENCH_RUN_H

#include "bench/contender.h"
#include "util/random.h"

enum { FL4__BENCH_MAX_CONTENDERS = 32, FL4__BENCH_MAX_COPIES = 64, FL4__BENCH_MAX_CALLS = 200 };

/* A call of fl4_bench(). */
typedef struct fl4__bench {
  fl4_context *ctx;
  fl4_bench_options options; /* defaults filled in */
  fl4_compare_options compare;
  fl4_limits limits; /* zeros if none were given */
  int n;             /* contenders */
  fl4__contender *contenders;
  int64_t n_problems;
  fl4_problem *problems;     /* valid */
  fl4_bench_result *results; /* [problem][contender]: whole structs, written back at the end */
  fl4__random random;        /* order of the rounds */

  /* What the callback was told last. */
  fl4_bench_progress progress;
  double told_ms;
} fl4__bench;

/*
 * Tells the caller where we are, if it is a new phase or a tenth of a second has passed since.
 * FL4_CANCELLED if it wants no more.
 */
fl4_status fl4__bench_tick(fl4__bench *bench, const char *phase);

/* Times one problem: bench->results[problem] are complete, or the failure is that of the whole call. */
fl4_status fl4__bench_problem(fl4__bench *bench, int64_t problem);

/* The result of a contender that is not timed, or was in vain: why, and no figures. The reason is fl4_last_error(). */
void fl4__result_drop(fl4_bench_result *result, fl4_status status);

/* A device on a problem: its data there, and how the device was while it was timed. */
typedef struct fl4__site {
  fl4_context *home;
  fl4__trial trial;
  fl4_device_health before, after;
  int64_t throttled; /* reasons seen so far; -1: not known */
} fl4__site;

/* A contender on a problem. It is out when result->status is not FL4_OK. */
typedef struct fl4__entrant {
  fl4__bench *bench;
  fl4__contender *contender;
  fl4__site *site;
  fl4_bench_result *result;
  fl4__output outputs[FL4__BENCH_MAX_COPIES]; /* one for each set of inputs; an oracle has one */
  int n_outputs;
  fl4_attention_args args[FL4__BENCH_MAX_COPIES];
  fl4__work work;
  fl4__timer *timer;
  int slot; /* among those that are timed */
} fl4__entrant;

/* The first output, the call, and the plan. */
fl4_status fl4__entrant_prepare(fl4__entrant *entrant);
/* An output for set number `copy`, which the site has. */
fl4_status fl4__entrant_add_output(fl4__entrant *entrant, int copy);
void fl4__entrant_remove_output(fl4__entrant *entrant, int copy);
/* Runs on every set and judges every output. A wrong one is a failure. */
fl4_status fl4__entrant_check(fl4__entrant *entrant, const fl4__reference *reference);
/* Chooses the calls of a sample and opens the timer. */
fl4_status fl4__entrant_open_timer(fl4__entrant *entrant);
/* One sample, in microseconds of a call. */
fl4_status fl4__entrant_sample(fl4__entrant *entrant, double *us);
/* Poisons the outputs that timed calls write, and afterwards judges them. */
fl4_status fl4__entrant_poison(fl4__entrant *entrant);
fl4_status fl4__entrant_check_again(fl4__entrant *entrant, const fl4__reference *reference);
/*
 * Takes note of a failure, which puts the entrant out. FL4_OK if the others can go on; else the failure
 * is that of the whole call: the caller cancelled, or the device is lost.
 */
fl4_status fl4__entrant_fail(fl4__entrant *entrant, fl4_status status);
void fl4__entrant_close(fl4__entrant *entrant);

#endif

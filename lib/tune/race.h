/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How long a candidate is timed: less, the less it can win. Knows no device: it asks for samples.
 *
 * - After 3 samples it is given up if even the least is above 1.5 times the best so far.
 * - From 12 on, and every 6, it is given up if it is surely slower: the interval of its median lies above
 *   the best's; and it is known well enough if that is within ±0.5 %.
 * - 60 are the most.
 * - If the first two are above 5 times the best and 10 ms, it is too slow to be timed at all. One may be
 *   the machine's doing.
 */
#ifndef FL4_TUNE_RACE_H
#define FL4_TUNE_RACE_H

#include <stdbool.h>

#include <flashl4/status.h>

/* How much time there is: enough; 3 samples must do; none, with fewer than 3 it is too slow. */
typedef enum fl4__hurry { FL4__HURRY_NONE, FL4__HURRY_SOME, FL4__HURRY_OVER } fl4__hurry;

enum { FL4__RACE_LEAST = 3, FL4__RACE_FIRM = 12, FL4__RACE_STEP = 6, FL4__RACE_MOST = 60 };

typedef struct fl4__race {
  /* In. */
  double best;      /* median of the fastest so far; INFINITY: there is none */
  double best_high; /* upper end of its interval; NaN: not known */
  fl4_status (*sample)(void *user, double *us);
  fl4__hurry (*hurry)(void *user); /* asked after each sample */
  void *user;
  /* Out. */
  double us[FL4__RACE_MOST];
  int n;
  bool too_slow;         /* not timed; p50 is NaN */
  double p50, low, high; /* median and its 95 % interval; NaN: not known */
} fl4__race;

/* FL4_OK also for the slow; else the failure of a sample. */
fl4_status fl4__race_run(fl4__race *race);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* When to stop sampling. Knows no clock and no device: it is told, so tests can tell it anything. */
#ifndef FL4_BENCH_SAMPLER_H
#define FL4_BENCH_SAMPLER_H

#include <flashl4/bench.h>

typedef struct fl4__sampler {
  double precision, max_seconds; /* as in fl4_bench_options, defaults filled in */
  int64_t min_samples, max_samples;
  int n_contenders;
  double **samples; /* [contender][round], in order */
  int64_t n;        /* rounds so far */
  int64_t next_look; /* round at which the intervals are computed again: rarely, since it sorts */
  double widest;    /* relative half width of the widest interval at the last look; NaN before */
} fl4__sampler;

/* Room for max_samples rounds of n_contenders, growing as needed. */
fl4_status fl4__sampler_open(fl4__sampler *sampler, int n_contenders, double precision, double max_seconds,
                             int64_t min_samples, int64_t max_samples);
void fl4__sampler_close(fl4__sampler *sampler);

/*
 * Adds a round, us[contender] each, `seconds` after sampling began. *stop: FL4_BENCH_STOP_NONE to go
 * on, else the reason: all rounds are kept in any case. Looks at the intervals when the number of
 * rounds has grown by a tenth since the last look, so that looking costs little and cannot be lucky often.
 */
fl4_status fl4__sampler_add(fl4__sampler *sampler, const double *us, double seconds, fl4_bench_stop *stop);

#endif

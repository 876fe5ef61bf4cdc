/* SPDX-License-Identifier: Apache-2.0 */
/* What a device offers to the benchmark and the tuner: samples of time, its limits, its health. */
#ifndef FL4_TIMING_H
#define FL4_TIMING_H

#include <stdbool.h>

#include <flashl4/attention.h>
#include <flashl4/bench.h>

typedef struct fl4__device fl4__device;
typedef struct fl4__timer fl4__timer;

/* Something to time: `calls` calls, run(user, 0 … calls − 1, stream). Must stay until the timer is closed. */
typedef struct fl4__work {
  fl4_status (*run)(void *user, int call, fl4_stream stream);
  void *user;
  int calls;
  bool waits; /* run() waits for its result: such work cannot be captured, graph mode becomes events */
} fl4__work;

typedef struct fl4__timing {
  /*
   * Makes a timer for work; graph mode captures it here, so whatever it needs must be ready. `mode`
   * is never AUTO; *used receives the mode that is really used. Cold: every sample is one call,
   * work->calls being 1, behind a flush of twice the last-level cache that is not timed.
   */
  fl4_status (*open)(fl4__device *device, const fl4__work *work, fl4_bench_mode mode, bool cold, fl4_bench_mode *used,
                     fl4__timer **timer);
  /* One sample: runs the work once and waits; microseconds of one call. */
  fl4_status (*sample)(fl4__timer *timer, double *us);
  void (*close)(fl4__timer *timer); /* NULL is fine */

  fl4_status (*limits)(fl4__device *device, fl4_limits *limits);
  void (*health)(fl4__device *device, fl4_device_health *health); /* unknown where it does not know */
} fl4__timing;

/* All fields unknown. */
void fl4__health_unknown(fl4_device_health *health);

/* Of n ≥ 1 values, which it sorts. */
double fl4__median(double *values, int n);

extern const fl4__timing fl4__timing_host;
#if FL4_HAVE_CUDA
extern const fl4__timing fl4__timing_cuda;
#endif

#endif

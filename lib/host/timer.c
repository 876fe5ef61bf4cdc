/* SPDX-License-Identifier: Apache-2.0 */
/* Time on the CPU, by the monotonic clock. Calls return when they are done, so every mode is eager. */
#include <stdlib.h>
#include <string.h>

#include "device.h"
#include "error.h"
#include "measure.h"
#include "util/os.h"

struct fl4__timer {
  const fl4__work *work;
  int threads;
  uint64_t *flush; /* cold: memory to go through; else NULL */
  int64_t lines;   /* of 64 bytes */
};

enum { LINE = 64, WORDS = LINE / sizeof(uint64_t) };

/*
 * Reads and changes every line: plain writing of so much may go past the caches. All threads take
 * part, as each may have caches of its own.
 */
static void flush(fl4__timer *t)
{
#pragma omp parallel for schedule(static) num_threads(t->threads)
  for (int64_t i = 0; i < t->lines; i++) t->flush[i * WORDS] += 0x5a5a5a5a5a5a5a5b;
}

static fl4_status open_timer(fl4__device *device, const fl4__work *work, fl4_bench_mode mode, bool cold,
                             fl4_bench_mode *used, fl4__timer **timer)
{
  (void)mode;
  *timer = NULL;
  *used = FL4_BENCH_EAGER;
  fl4__timer *t = calloc(1, sizeof *t);
  if (!t) return fl4__fail(FL4_OUT_OF_MEMORY, "no memory for a timer (%zu bytes)", sizeof *t);
  t->work = work, t->threads = device->info.multiprocessors;
  if (cold) {
    const size_t bytes = 2 * fl4__host_cache_bytes(FL4__HOST_CPUS) / LINE * LINE;
    t->flush = aligned_alloc(LINE, bytes);
    if (!t->flush) {
      free(t);
      return fl4__fail(FL4_OUT_OF_MEMORY, "no memory to flush the caches with (%zu bytes)", bytes);
    }
    memset(t->flush, 0x5a, bytes);
    t->lines = (int64_t)(bytes / LINE);
  }
  *timer = t;
  return FL4_OK;
}

static fl4_status sample(fl4__timer *t, double *us)
{
  if (t->flush) flush(t);
  const double start = fl4__now_ms();
  for (int i = 0; i < t->work->calls; i++) FL4_TRY(t->work->run(t->work->user, i, NULL));
  *us = 1e3 * (fl4__now_ms() - start) / t->work->calls;
  return FL4_OK;
}

static void close_timer(fl4__timer *t)
{
  if (t) free(t->flush);
  free(t);
}

static void health(fl4__device *device, fl4_device_health *out)
{
  (void)device;
  fl4__health_unknown(out);
}

const fl4__timing fl4__timing_host = {
    .open = open_timer,
    .sample = sample,
    .close = close_timer,
    .limits = fl4__host_limits,
    .health = health,
};

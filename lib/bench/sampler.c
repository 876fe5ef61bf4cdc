/* SPDX-License-Identifier: Apache-2.0 */
/* Keeps the samples of some contenders, round by round, and says when there are enough. */
#include "bench/sampler.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "problem.h"

enum { FIRST_ROOM = 64 };

fl4_status fl4__sampler_open(fl4__sampler *sampler, int n_contenders, double precision, double max_seconds,
                             int64_t min_samples, int64_t max_samples)
{
  *sampler = (fl4__sampler){.precision = precision,
                            .max_seconds = max_seconds,
                            .min_samples = min_samples,
                            .max_samples = max_samples,
                            .n_contenders = n_contenders,
                            .widest = (double)NAN};
  sampler->samples = calloc((size_t)n_contenders, sizeof *sampler->samples);
  if (!sampler->samples)
    return fl4__fail(FL4_OUT_OF_MEMORY, "no memory for the samples of %d contenders", n_contenders);
  return FL4_OK;
}

void fl4__sampler_close(fl4__sampler *sampler)
{
  for (int i = 0; sampler->samples && i < sampler->n_contenders; i++) free(sampler->samples[i]);
  free(sampler->samples);
  sampler->samples = NULL;
}

/* Room for one more round; it doubles when it is full: at 0, 64, 128 … */
static fl4_status make_room(fl4__sampler *sampler)
{
  const int64_t n = sampler->n;
  if (n != 0 && (n < FIRST_ROOM || (n & (n - 1)) != 0)) return FL4_OK;
  const int64_t room = n ? 2 * n : FIRST_ROOM;
  for (int i = 0; i < sampler->n_contenders; i++) {
    double *samples = realloc(sampler->samples[i], (size_t)room * sizeof *samples);
    if (!samples) return fl4__fail(FL4_OUT_OF_MEMORY, "no memory for %" PRId64 " samples of a contender", room);
    sampler->samples[i] = samples;
  }
  return FL4_OK;
}

/* Half width of the widest interval of a median, relative to the median. */
static fl4_status look(fl4__sampler *sampler)
{
  double widest = 0;
  for (int i = 0; i < sampler->n_contenders; i++) {
    fl4_statistics s = FL4_STATISTICS_INIT;
    FL4_TRY(fl4_statistics_compute(sampler->samples[i], sampler->n, &s));
    const double half = (s.p50_high - s.p50_low) / 2;
    /* Not fmax(), which drops a NaN: an interval that is not known is wider than all others. */
    const double relative = half <= 0 ? half : half / s.p50;
    if (!(relative <= widest)) widest = relative;
    if (isnan(relative)) break;
  }
  sampler->widest = widest;
  return FL4_OK;
}

fl4_status fl4__sampler_add(fl4__sampler *sampler, const double *us, double seconds, fl4_bench_stop *stop)
{
  *stop = FL4_BENCH_STOP_NONE;
  for (int i = 0; i < sampler->n_contenders; i++)
    if (!(isfinite(us[i]) && us[i] >= 0))
      return fl4__fail(FL4_DEVICE_ERROR, "contender %d: the clock gave %g microseconds for a call", i, us[i]);
  FL4_TRY(make_room(sampler));
  for (int i = 0; i < sampler->n_contenders; i++) sampler->samples[i][sampler->n] = us[i];
  sampler->n++;

  if (sampler->n >= fl4__max64(sampler->min_samples, sampler->next_look)) {
    FL4_TRY(look(sampler));
    sampler->next_look = sampler->n + fl4__ceil_div(sampler->n, 10);
    if (sampler->widest <= sampler->precision) *stop = FL4_BENCH_STOP_PRECISE;
  }
  if (*stop == FL4_BENCH_STOP_NONE && sampler->n >= sampler->max_samples) *stop = FL4_BENCH_STOP_SAMPLES;
  if (*stop == FL4_BENCH_STOP_NONE && seconds >= sampler->max_seconds) *stop = FL4_BENCH_STOP_TIME;
  return FL4_OK;
}

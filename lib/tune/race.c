/* SPDX-License-Identifier: Apache-2.0 */
/* Samples until a candidate is known, or known to be no good. */
#include "tune/race.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#include <flashl4/stats.h>

#include "error.h"
#include "timing.h"

static const double precise = 0.005, given_up = 1.5, hopeless = 5, hopeless_us = 10e3;

static double least_of(const fl4__race *r)
{
  double least = r->us[0];
  for (int i = 1; i < r->n; i++) least = fmin(least, r->us[i]);
  return least;
}

/* An interval that is not known, of too few samples, is NaN and decides nothing. */
static fl4_status look(fl4__race *r)
{
  double sorted[FL4__RACE_MOST];
  fl4_statistics s = FL4_STATISTICS_INIT;
  FL4_TRY(fl4_statistics_compute(r->us, r->n, &s));
  memcpy(sorted, r->us, (size_t)r->n * sizeof *sorted);
  r->p50 = fl4__median(sorted, r->n);
  r->low = s.p50_low, r->high = s.p50_high;
  return FL4_OK;
}

static bool settled(const fl4__race *r)
{
  return r->low > r->best_high || (r->high - r->low) / 2 <= precise * r->p50;
}

fl4_status fl4__race_run(fl4__race *r)
{
  r->n = 0;
  r->too_slow = false;
  r->p50 = r->low = r->high = (double)NAN;
  while (r->n < FL4__RACE_MOST) {
    double us;
    FL4_TRY(r->sample(r->user, &us));
    if (!isfinite(us) || us < 0) return fl4__fail(FL4_DEVICE_ERROR, "the clock gave %g microseconds for a call", us);
    r->us[r->n++] = us;
    r->too_slow = r->n == 2 && least_of(r) > hopeless * r->best + hopeless_us;
    if (r->too_slow) return FL4_OK;
    const fl4__hurry hurry = r->hurry(r->user);
    if (r->n < FL4__RACE_LEAST) {
      r->too_slow = hurry == FL4__HURRY_OVER;
      if (r->too_slow) return FL4_OK;
      continue;
    }
    if (hurry != FL4__HURRY_NONE || (r->n == FL4__RACE_LEAST && least_of(r) > given_up * r->best)) break;
    if (r->n < FL4__RACE_FIRM || (r->n - FL4__RACE_FIRM) % FL4__RACE_STEP != 0) continue;
    FL4_TRY(look(r));
    if (settled(r)) return FL4_OK;
  }
  return look(r);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* For tests of statistics: seeded noise of known distributions, and bounds on what is counted in it. */
#ifndef FL4_TEST_NOISE_H
#define FL4_TEST_NOISE_H

#include <math.h>

#include "fl4_test.h"
#include "util/random.h"

/* 0 < x < 1 */
static inline double noise_unit(fl4__random *random)
{
  return (fl4__random_next(random) + 0.5) / 4294967296.0;
}

/* Box–Muller */
static inline double noise_normal(fl4__random *random)
{
  const double radius = sqrt(-2 * log(noise_unit(random)));
  return radius * cos(6.283185307179586 * noise_unit(random));
}

static inline double noise_lognormal(fl4__random *random, double sigma)
{
  return exp(sigma * noise_normal(random));
}

/* Standard deviations by which a count of `trials` differs from one expected with probability p. */
static inline double noise_deviations(int count, int trials, double p)
{
  return fabs(count - trials * p) / sqrt(trials * p * (1 - p));
}

#endif

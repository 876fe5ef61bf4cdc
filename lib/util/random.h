/* SPDX-License-Identifier: Apache-2.0 */
/* Seeded random numbers, the same on every machine: PCG32 (O'Neill 2014). */
#ifndef FL4_RANDOM_H
#define FL4_RANDOM_H

#include <stdint.h>

typedef struct fl4__random {
  uint64_t state;
} fl4__random;

static inline uint32_t fl4__random_next(fl4__random *random)
{
  const uint64_t old = random->state;
  random->state = old * 6364136223846793005u + 1442695040888963407u;
  const uint32_t mixed = (uint32_t)((old >> 18 ^ old) >> 27), turn = (uint32_t)(old >> 59);
  return mixed >> turn | mixed << (-turn & 31);
}

static inline void fl4__random_init(fl4__random *random, uint64_t seed)
{
  random->state = seed + 1442695040888963407u;
  (void)fl4__random_next(random);
  random->state += seed * 0x9e3779b97f4a7c15u;
  (void)fl4__random_next(random);
}

/* 0 … n − 1, n ≥ 1, all alike: what would favour the low ones is drawn again. */
static inline uint32_t fl4__random_below(fl4__random *random, uint32_t n)
{
  const uint32_t least = -n % n;
  for (;;) {
    const uint32_t x = fl4__random_next(random);
    if (x >= least) return x % n;
  }
}

/* 0 ≤ x < 1. */
static inline double fl4__random_unit(fl4__random *random)
{
  return (double)fl4__random_next(random) / 4294967296.0;
}

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* The strategies there are, a file each. */
#ifndef FL4_TUNE_STRATEGIES_H
#define FL4_TUNE_STRATEGIES_H

#include "tune/search.h"

extern const fl4__strategy fl4__strategy_evolve, fl4__strategy_exhaustive, fl4__strategy_random, fl4__strategy_genetic;

#endif

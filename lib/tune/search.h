/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Search strategies, ask and tell: a strategy names points, somebody says what they cost. It sees
 * neither clock nor device, so the same seed and the same answers give the same questions.
 */
#ifndef FL4_TUNE_SEARCH_H
#define FL4_TUNE_SEARCH_H

#include "tune/space.h"
#include "util/random.h"

enum { FL4__BATCH = 8 }; /* points asked for at a time, which compile together */

/* What is known of a space so far; every strategy reads it. Ask and tell keep it. */
typedef struct fl4__history {
  const fl4__space *space;
  fl4__random random;
  int64_t n;             /* evaluations told */
  int64_t *order;        /* [n] points, as asked for; those told unasked first */
  double *cost;          /* [n_points] time; INFINITY: failed; NaN: not known */
  bool *asked;           /* [n_points] */
  int64_t n_asked, best; /* best point; -1: none yet */
} fl4__history;

typedef struct fl4__strategy {
  const char *name, *what;
  fl4_status (*open)(const fl4__history *history, void **state);
  /* Up to n points that were not asked for yet; 0: nothing left. The history marks them as asked. */
  int (*ask)(void *state, fl4__history *history, int n, int64_t *points);
  void (*close)(void *state);
} fl4__strategy;

/* "evolve" (the default), "exhaustive", "random", "genetic"; NULL ends. */
extern const fl4__strategy *const fl4__strategies[];
const fl4__strategy *fl4__strategy_find(const char *name);

typedef struct fl4__search {
  const fl4__strategy *strategy;
  fl4__history history;
  void *state;
  int64_t *first; /* points to be asked for before the strategy is: the default, wisdom's */
  int n_first, at_first;
  int64_t batch[FL4__BATCH]; /* asked for last */
  int n_batch;
  int64_t known; /* told before those were asked for */
} fl4__search;

fl4_status fl4__search_open(fl4__search *search, const fl4__space *space, const fl4__strategy *strategy, uint64_t seed,
                            const int64_t *first, int n_first);
void fl4__search_close(fl4__search *search);
/*
 * Up to FL4__BATCH new points, 0: nothing is left. All are told, in any order, before the next are asked
 * for: what is asked next does not depend on the order.
 */
int fl4__search_ask(fl4__search *search, int n, int64_t *points);
/* What is not finite failed. A point may be told again: the last cost counts. */
void fl4__search_tell(fl4__search *search, int64_t point, double cost);

/* For strategies. */
int64_t fl4__history_random(fl4__history *history); /* a point not asked for, -1: none left */
void fl4__history_mark(fl4__history *history, int64_t point);

#endif

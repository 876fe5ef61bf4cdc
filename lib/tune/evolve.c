/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Elitist evolution without generations. Of all neighbours of good points and many of their children it
 * asks for those that are the most promising by a guess from known points nearby (knn.h), to which also
 * the unknown is promising. When nothing gets better it tries all neighbours of the best, then begins
 * anew with other points; the guess still goes by all that is known.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "tune/knn.h"
#include "tune/strategies.h"

enum {
  BEGIN = 8,     /* points at random, at first also beside seeds: those may mislead */
  ARCHIVE = 16,  /* good points */
  REACH = 32,    /* how far neighbours are on a long axis */
  CHILDREN = 64, /* bred at a time */
  GENES = 3,     /* that mutate at most */
  PATIENCE = 48, /* evaluations without a gain */
};

static const double gain = 0.005, cross = 0.6, mutate = 0.85, mutate_more = 0.35, step = 0.5;

typedef struct evolve {
  int to_draw;           /* points to draw at random before the next are bred */
  int64_t epoch;         /* evaluations before it began anew: they have no children */
  int64_t since;         /* evaluations at the last gain */
  double best;           /* cost then, in this epoch */
  int64_t good[ARCHIVE]; /* of this epoch, the best first */
  int n_good;
  int axes[FL4__MAX_AXES], n_axes; /* with more than one value */
  fl4__knn knn;
  int64_t n, room; /* candidates */
  int64_t *candidate;
  double *guess;
  bool *listed; /* [points] as a candidate */
} evolve;

static void close_evolve(void *state)
{
  evolve *e = state;
  fl4__knn_close(&e->knn);
  free(e->candidate);
  free(e->guess);
  free(e->listed);
  free(e);
}

static int64_t count_neighbours(const fl4__space *s)
{
  int64_t n = 0;
  for (int i = 0; i < s->n_axes; i++) n += s->size[i] - 1 < 2 * REACH ? s->size[i] - 1 : 2 * REACH;
  return n;
}

static fl4_status open_evolve(const fl4__history *h, void **state)
{
  const fl4__space *s = h->space;
  evolve *e = calloc(1, sizeof *e);
  if (!e) return fl4__fail(FL4_OUT_OF_MEMORY, "search: no memory for %zu bytes", sizeof *e);
  e->to_draw = BEGIN;
  e->best = (double)INFINITY;
  for (int i = 0; i < s->n_axes; i++)
    if (s->size[i] > 1) e->axes[e->n_axes++] = i;
  e->room = ARCHIVE * count_neighbours(s) + CHILDREN;
  e->candidate = malloc((size_t)e->room * sizeof *e->candidate);
  e->guess = malloc((size_t)e->room * sizeof *e->guess);
  e->listed = calloc((size_t)s->n_points + 1, sizeof *e->listed);
  fl4_status status = fl4__knn_open(&e->knn);
  if (status == FL4_OK && (!e->candidate || !e->guess || !e->listed))
    status = fl4__fail(FL4_OUT_OF_MEMORY, "search: no memory for %zu points", (size_t)s->n_points);
  if (status == FL4_OK)
    *state = e;
  else
    close_evolve(e);
  return status;
}

/* ---------------------------------------------------------------- what is known */

static void find_good(evolve *e, const fl4__history *h)
{
  e->n_good = 0;
  for (int64_t i = e->epoch; i < h->n; i++) {
    const int64_t point = h->order[i];
    const double cost = h->cost[point];
    if (!isfinite(cost)) continue;
    if (e->n_good == ARCHIVE && cost >= h->cost[e->good[ARCHIVE - 1]]) continue;
    int at = e->n_good < ARCHIVE ? e->n_good++ : ARCHIVE - 1;
    for (; at > 0 && h->cost[e->good[at - 1]] > cost; at--) e->good[at] = e->good[at - 1];
    e->good[at] = point;
  }
}

static void note_gain(evolve *e, const fl4__history *h)
{
  if (e->n_good == 0 || h->cost[e->good[0]] >= e->best * (1 - gain)) return;
  e->best = h->cost[e->good[0]];
  e->since = h->n;
}

static void begin_anew(evolve *e, const fl4__history *h)
{
  e->to_draw = BEGIN;
  e->epoch = e->since = h->n;
  e->best = (double)INFINITY;
}

/* ---------------------------------------------------------------- candidates */

static void list(evolve *e, const fl4__history *h, int64_t point)
{
  if (point < 0 || h->asked[point] || e->listed[point] || e->n == e->room) return;
  e->listed[point] = true;
  e->candidate[e->n++] = point;
}

/* All valid points that differ in one value; on an ordinal axis by at most `reach` steps. */
static void list_neighbours(evolve *e, fl4__history *h, int64_t point, int reach)
{
  const fl4__space *s = h->space;
  uint16_t values[FL4__MAX_AXES];
  memcpy(values, fl4__space_point(s, point), (size_t)s->n_axes * sizeof *values);
  for (int k = 0; k < e->n_axes; k++) {
    const int axis = e->axes[k], old = values[axis], far = s->ordinal[axis] ? reach : REACH;
    for (int gap = 1; gap <= far; gap++)
      for (int to = old - gap; to <= old + gap; to += 2 * gap) {
        if (to < 0 || to >= s->size[axis]) continue;
        values[axis] = (uint16_t)to;
        list(e, h, fl4__space_find(s, values));
      }
    values[axis] = (uint16_t)old;
  }
}

/* The best of three. */
static int64_t pick(evolve *e, fl4__random *random)
{
  uint32_t best = (uint32_t)e->n_good;
  for (int i = 0; i < 3; i++) {
    const uint32_t rank = fl4__random_below(random, (uint32_t)e->n_good);
    if (rank < best) best = rank;
  }
  return e->good[best];
}

/* A step up or down, or any value. */
static void mutate_one(const evolve *e, const fl4__space *s, fl4__random *random, uint16_t *values)
{
  const int axis = e->axes[fl4__random_below(random, (uint32_t)e->n_axes)];
  if (s->ordinal[axis] && fl4__random_unit(random) < step) {
    const int up = fl4__random_next(random) & 1 ? 1 : -1;
    const int to = values[axis] + up;
    values[axis] = (uint16_t)(to < 0 || to >= s->size[axis] ? values[axis] - up : to);
  } else {
    values[axis] = (uint16_t)fl4__random_below(random, (uint32_t)s->size[axis]);
  }
}

static void list_child(evolve *e, fl4__history *h)
{
  const fl4__space *s = h->space;
  fl4__random *random = &h->random;
  for (int tries = 0; tries < 100; tries++) { /* many are not valid or were asked for */
    const uint16_t *a = fl4__space_point(s, pick(e, random)), *b = fl4__space_point(s, pick(e, random));
    const bool crossed = fl4__random_unit(random) < cross;
    uint16_t child[FL4__MAX_AXES];
    for (int i = 0; i < s->n_axes; i++) child[i] = crossed && fl4__random_next(random) & 1 ? b[i] : a[i];
    if (fl4__random_unit(random) < mutate) {
      mutate_one(e, s, random, child);
      for (int more = 1; more < GENES && fl4__random_unit(random) < mutate_more; more++)
        mutate_one(e, s, random, child);
    }
    const int64_t point = fl4__space_find(s, child), before = e->n;
    list(e, h, point);
    if (e->n > before) return;
  }
}

/* Asks for the n most promising, and forgets the others. */
static int take(evolve *e, fl4__history *h, int n, int64_t *points)
{
  int got = 0;
  for (int64_t i = 0; i < e->n; i++) {
    e->listed[e->candidate[i]] = false;
    e->guess[i] = fl4__knn_guess(&e->knn, h->space, e->candidate[i]);
  }
  for (; got < n && e->n > 0; got++) {
    int64_t best = 0;
    for (int64_t i = 1; i < e->n; i++)
      if (e->guess[i] < e->guess[best]) best = i;
    fl4__history_mark(h, e->candidate[best]);
    points[got] = e->candidate[best];
    e->n--;
    e->candidate[best] = e->candidate[e->n], e->guess[best] = e->guess[e->n];
  }
  e->n = 0;
  return got;
}

/* ---------------------------------------------------------------- questions */

static int draw(fl4__history *h, int n, int64_t *points)
{
  int got = 0;
  for (int64_t point; got < n && (point = fl4__history_random(h)) >= 0; got++) {
    fl4__history_mark(h, point);
    points[got] = point;
  }
  return got;
}

static int draw_first(evolve *e, fl4__history *h, int n, int64_t *points)
{
  const int got = draw(h, n < e->to_draw ? n : e->to_draw, points);
  e->to_draw -= got;
  return got;
}

static int breed(evolve *e, fl4__history *h, int n, int64_t *points)
{
  for (int i = 0; i < e->n_good; i++) list_neighbours(e, h, e->good[i], REACH);
  for (int i = 0; i < CHILDREN; i++) list_child(e, h);
  const int got = take(e, h, n, points);
  return got + draw(h, n - got, points + got);
}

static int ask_evolve(void *state, fl4__history *h, int n, int64_t *points)
{
  evolve *e = state;
  if (e->to_draw > 0) return draw_first(e, h, n, points);
  find_good(e, h);
  note_gain(e, h);
  if (e->n_good == 0) return draw(h, n, points); /* nothing has worked yet */
  fl4__knn_learn(&e->knn, h);
  if (h->n - e->since < PATIENCE) return breed(e, h, n, points);
  list_neighbours(e, h, e->good[0], 1);
  if (e->n > 0) return take(e, h, n, points);
  begin_anew(e, h);
  return draw_first(e, h, n, points);
}

const fl4__strategy fl4__strategy_evolve = {
    "evolve", "evolution with local search, led by what is known nearby", open_evolve, ask_evolve, close_evolve,
};

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A generational genetic algorithm after Kernel Tuner's with its defaults, to compare with: population
 * 26, parents by rank, single-point crossover, repair by neighbours, one child in 55 mutated, no
 * elitism. What it breeds again costs nothing.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "tune/strategies.h"

enum {
  POPULATION = 26,
  MUTATION = 55,  /* one child in so many */
  TRIES = 1000,   /* pairs bred for a generation at most: a population may have become too much alike */
  PATIENCE = 100, /* generations without a new point, then it begins anew */
};

typedef struct genetic {
  int64_t now[POPULATION]; /* this generation, all different; those before `at` were asked for */
  int n, at;
  int stale; /* generations without a new point */
} genetic;

static fl4_status open_genetic(const fl4__history *h, void **state)
{
  (void)h;
  *state = calloc(1, sizeof(genetic));
  return *state ? FL4_OK : fl4__fail(FL4_OUT_OF_MEMORY, "search: no memory for %zu bytes", sizeof(genetic));
}

static bool in_generation(const genetic *g, int64_t point)
{
  for (int i = 0; i < g->n; i++)
    if (g->now[i] == point) return true;
  return false;
}

/* A generation at random, at least one of it new. */
static void begin(genetic *g, fl4__history *h)
{
  const int64_t n = h->space->n_points;
  g->n = g->at = g->stale = 0;
  g->now[g->n++] = fl4__history_random(h);
  while (g->n < POPULATION && g->n < n) {
    const int64_t point = fl4__random_below(&h->random, (uint32_t)n);
    if (!in_generation(g, point)) g->now[g->n++] = point;
  }
}

typedef bool neighbours(const uint16_t *a, const uint16_t *b, int n_axes);

static bool adjacent(const uint16_t *a, const uint16_t *b, int n_axes)
{
  for (int i = 0; i < n_axes; i++)
    if (abs((int)a[i] - (int)b[i]) > 1) return false;
  return true;
}

static bool one_value_apart(const uint16_t *a, const uint16_t *b, int n_axes)
{
  int apart = 0;
  for (int i = 0; i < n_axes; i++) apart += a[i] != b[i];
  return apart == 1;
}

/* Any one of the valid neighbours, all alike; -1: there is none. */
static int64_t any_neighbour(fl4__history *h, const uint16_t *values, neighbours *near)
{
  const fl4__space *s = h->space;
  int64_t chosen = -1;
  uint32_t seen = 0;
  for (int64_t point = 0; point < s->n_points; point++)
    if (near(values, fl4__space_point(s, point), s->n_axes) && fl4__random_below(&h->random, ++seen) == 0)
      chosen = point;
  return chosen;
}

static int64_t repair(fl4__history *h, const uint16_t *values)
{
  int64_t point = fl4__space_find(h->space, values);
  if (point < 0) point = any_neighbour(h, values, adjacent);
  if (point < 0) point = any_neighbour(h, values, one_value_apart);
  return point;
}

static int64_t mutate(fl4__history *h, int64_t point)
{
  if (point < 0 || fl4__random_below(&h->random, MUTATION) != 0) return point;
  const int64_t other = any_neighbour(h, fl4__space_point(h->space, point), one_value_apart);
  return other >= 0 ? other : point;
}

static void sort_by_cost(const fl4__history *h, int64_t *points, int n)
{
  for (int i = 1; i < n; i++)
    for (int k = i; k > 0 && h->cost[points[k]] < h->cost[points[k - 1]]; k--) {
      const int64_t t = points[k];
      points[k] = points[k - 1], points[k - 1] = t;
    }
}

/* A rank, good ones more often: Beta(1, 2.5). */
static int rank(fl4__random *random, int n)
{
  return (int)((1 - pow(1 - fl4__random_unit(random), 1 / 2.5)) * n);
}

static void breed(genetic *g, fl4__history *h)
{
  const int n_axes = h->space->n_axes, n = g->n;
  int64_t parents[POPULATION];
  memcpy(parents, g->now, sizeof parents);
  sort_by_cost(h, parents, n);
  g->n = g->at = 0;
  for (int tries = 0; tries < TRIES && g->n < n; tries++) {
    const int a = rank(&h->random, n);
    int b = rank(&h->random, n);
    while (b == a && n > 1) b = rank(&h->random, n);
    const uint16_t *pair[] = {fl4__space_point(h->space, parents[a]), fl4__space_point(h->space, parents[b])};
    const int cut = (int)fl4__random_below(&h->random, (uint32_t)n_axes);
    for (int side = 0; side < 2 && g->n < n; side++) {
      uint16_t child[FL4__MAX_AXES];
      for (int i = 0; i < n_axes; i++) child[i] = pair[(i < cut) == side][i];
      const int64_t point = mutate(h, repair(h, child));
      if (point >= 0 && !in_generation(g, point)) g->now[g->n++] = point;
    }
  }
}

static int ask_genetic(void *state, fl4__history *h, int n, int64_t *points)
{
  genetic *g = state;
  int got = 0;
  while (got == 0 && h->n_asked < h->space->n_points) {
    if (g->at == g->n) { /* all of this generation are known */
      if (g->n < 2 || ++g->stale > PATIENCE)
        begin(g, h);
      else
        breed(g, h);
    }
    for (; g->at < g->n && got < n; g->at++) {
      if (h->asked[g->now[g->at]]) continue;
      fl4__history_mark(h, g->now[g->at]);
      points[got++] = g->now[g->at];
      g->stale = 0;
    }
  }
  return got;
}

const fl4__strategy fl4__strategy_genetic = {
    "genetic", "generations as Kernel Tuner breeds them", open_genetic, ask_genetic, free,
};

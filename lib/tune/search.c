/* SPDX-License-Identifier: Apache-2.0 */
/* The part of a search that all strategies share: what was asked, what was told. */
#include "tune/search.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "tune/strategies.h"

const fl4__strategy *const fl4__strategies[] = {
    &fl4__strategy_evolve, &fl4__strategy_exhaustive, &fl4__strategy_random, &fl4__strategy_genetic, NULL,
};

const fl4__strategy *fl4__strategy_find(const char *name)
{
  for (const fl4__strategy *const *s = fl4__strategies; *s; s++)
    if (strcmp((*s)->name, name) == 0) return *s;
  return NULL;
}

void fl4__history_mark(fl4__history *h, int64_t point)
{
  if (h->asked[point]) return;
  h->asked[point] = true;
  h->n_asked++;
}

int64_t fl4__history_random(fl4__history *h)
{
  const int64_t n = h->space->n_points;
  if (h->n_asked >= n) return -1;
  /* A random start, then the next free one: near the end of a space drawing again would take long. */
  for (int tries = 0; tries < 64; tries++) {
    const int64_t point = fl4__random_below(&h->random, (uint32_t)n);
    if (!h->asked[point]) return point;
  }
  int64_t point = fl4__random_below(&h->random, (uint32_t)n);
  while (h->asked[point]) point = (point + 1) % n;
  return point;
}

fl4_status fl4__search_open(fl4__search *s, const fl4__space *space, const fl4__strategy *strategy, uint64_t seed,
                            const int64_t *first, int n_first)
{
  memset(s, 0, sizeof *s);
  s->strategy = strategy;
  fl4__history *h = &s->history;
  h->space = space;
  h->best = -1;
  fl4__random_init(&h->random, seed);
  const size_t n = (size_t)space->n_points;
  h->order = malloc((n + 1) * sizeof *h->order);
  h->cost = malloc((n + 1) * sizeof *h->cost);
  h->asked = calloc(n + 1, sizeof *h->asked);
  s->first = malloc(((size_t)n_first + 1) * sizeof *s->first);
  fl4_status status = FL4_OK;
  if (!h->order || !h->cost || !h->asked || !s->first)
    status = fl4__fail(FL4_OUT_OF_MEMORY, "search: no memory for %zu points", n);
  if (status == FL4_OK) {
    for (size_t i = 0; i < n; i++) h->cost[i] = NAN;
    if (n_first) memcpy(s->first, first, (size_t)n_first * sizeof *first);
    s->n_first = n_first;
    status = strategy->open(h, &s->state);
  }
  if (status != FL4_OK) fl4__search_close(s);
  return status;
}

void fl4__search_close(fl4__search *s)
{
  if (s->state) s->strategy->close(s->state);
  free(s->history.order);
  free(s->history.cost);
  free(s->history.asked);
  free(s->first);
  memset(s, 0, sizeof *s);
}

/* The latest answers in the order of the questions, whoever was ready first. */
static void put_in_order(fl4__search *s)
{
  fl4__history *h = &s->history;
  int64_t at = s->known;
  for (int i = 0; i < s->n_batch; i++)
    for (int64_t k = at; k < h->n; k++)
      if (h->order[k] == s->batch[i]) {
        h->order[k] = h->order[at];
        h->order[at++] = s->batch[i];
        break;
      }
}

static int ask_first(fl4__search *s, int n, int64_t *points)
{
  int got = 0;
  while (got < n && s->at_first < s->n_first) {
    const int64_t point = s->first[s->at_first++];
    if (point < 0 || point >= s->history.space->n_points || s->history.asked[point]) continue;
    fl4__history_mark(&s->history, point);
    points[got++] = point;
  }
  return got;
}

int fl4__search_ask(fl4__search *s, int n, int64_t *points)
{
  if (n > FL4__BATCH) n = FL4__BATCH;
  put_in_order(s);
  s->known = s->history.n;
  s->n_batch = ask_first(s, n, s->batch);
  /* The strategy starts when those are known. */
  if (s->n_batch == 0 && n > 0) s->n_batch = s->strategy->ask(s->state, &s->history, n, s->batch);
  if (s->n_batch) memcpy(points, s->batch, (size_t)s->n_batch * sizeof *points);
  return s->n_batch;
}

/* The fastest; of equals the one with the least index, whatever the order of the answers. */
static bool is_better(const fl4__history *h, int64_t point)
{
  if (!isfinite(h->cost[point]) || h->best < 0) return isfinite(h->cost[point]);
  return h->cost[point] < h->cost[h->best] || (h->cost[point] == h->cost[h->best] && point < h->best);
}

void fl4__search_tell(fl4__search *s, int64_t point, double cost)
{
  fl4__history *h = &s->history;
  const bool again = !isnan(h->cost[point]);
  fl4__history_mark(h, point);
  if (!again) h->order[h->n++] = point;
  h->cost[point] = isfinite(cost) ? cost : (double)INFINITY;
  if (again) h->best = -1;
  for (int64_t i = again ? 0 : h->n - 1; i < h->n; i++)
    if (is_better(h, h->order[i])) h->best = h->order[i];
}

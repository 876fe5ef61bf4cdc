/* SPDX-License-Identifier: Apache-2.0 */
/* The yardsticks: all points in order, and points at random. */
#include <stdlib.h>

#include "error.h"
#include "tune/strategies.h"

/* The state is the next point. */
static fl4_status open_exhaustive(const fl4__history *h, void **state)
{
  (void)h;
  *state = calloc(1, sizeof(int64_t));
  return *state ? FL4_OK : fl4__fail(FL4_OUT_OF_MEMORY, "search: no memory for %zu bytes", sizeof(int64_t));
}

static int ask_exhaustive(void *state, fl4__history *h, int n, int64_t *points)
{
  int64_t *next = state;
  int got = 0;
  for (; got < n && *next < h->space->n_points; ++*next) {
    if (h->asked[*next]) continue;
    fl4__history_mark(h, *next);
    points[got++] = *next;
  }
  return got;
}

static fl4_status open_random(const fl4__history *h, void **state)
{
  (void)h;
  *state = NULL;
  return FL4_OK;
}

static int ask_random(void *state, fl4__history *h, int n, int64_t *points)
{
  (void)state;
  int got = 0;
  for (int64_t point; got < n && (point = fl4__history_random(h)) >= 0; got++) {
    fl4__history_mark(h, point);
    points[got] = point;
  }
  return got;
}

const fl4__strategy fl4__strategy_exhaustive = {
    "exhaustive", "every point, in the order of the space", open_exhaustive, ask_exhaustive, free,
};

const fl4__strategy fl4__strategy_random = {
    "random", "points at random, none twice", open_random, ask_random, free,
};

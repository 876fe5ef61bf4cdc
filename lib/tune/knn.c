/* SPDX-License-Identifier: Apache-2.0 */
/* Nearest neighbours, weighted by the inverse square of their distance; far from all that is known may be better. */
#include "tune/knn.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"

enum {
  NEAREST = 5,
  MEMORY = 2048, /* points at most: a guess must stay cheap beside a measurement */
};

/* What a step away from the nearest known point takes off a guess: without it a search stays where it is. */
static const double curiosity = 0.4;

fl4_status fl4__knn_open(fl4__knn *knn)
{
  memset(knn, 0, sizeof *knn);
  knn->points = malloc(MEMORY * sizeof *knn->points);
  knn->value = malloc(MEMORY * sizeof *knn->value);
  knn->scratch = malloc(MEMORY * sizeof *knn->scratch);
  if (knn->points && knn->value && knn->scratch) return FL4_OK;
  fl4__knn_close(knn);
  return fl4__fail(FL4_OUT_OF_MEMORY, "search: no memory for %d points", MEMORY);
}

void fl4__knn_close(fl4__knn *knn)
{
  free(knn->points);
  free(knn->value);
  free(knn->scratch);
  memset(knn, 0, sizeof *knn);
}

typedef struct ranking {
  const fl4__knn *knn;
  const double *cost;
} ranking;

static int by_cost(const void *a, const void *b, void *user)
{
  const ranking *r = user;
  const double x = r->cost[r->knn->points[*(const int64_t *)a]], y = r->cost[r->knn->points[*(const int64_t *)b]];
  return (x > y) - (x < y);
}

void fl4__knn_learn(fl4__knn *knn, const fl4__history *h)
{
  ranking r = {knn, h->cost};
  knn->n = h->n < MEMORY ? h->n : MEMORY;
  if (knn->n == 0) return;
  memcpy(knn->points, h->order + (h->n - knn->n), (size_t)knn->n * sizeof *knn->points);
  for (int64_t i = 0; i < knn->n; i++) knn->scratch[i] = i;
  qsort_r(knn->scratch, (size_t)knn->n, sizeof *knn->scratch, by_cost, &r);
  for (int64_t i = 0, end; i < knn->n; i = end) {
    for (end = i + 1; end < knn->n && by_cost(&knn->scratch[i], &knn->scratch[end], &r) == 0;) end++;
    /* Equals share the rank in their middle; failures are the last together. */
    const double value = log1p(0.5 * (double)(i + end - 1));
    for (int64_t k = i; k < end; k++) knn->value[knn->scratch[k]] = value;
  }
}

double fl4__knn_guess(const fl4__knn *knn, const fl4__space *space, int64_t point)
{
  double distance[NEAREST], value[NEAREST], sum = 0, weights = 0;
  int n = 0;
  for (int64_t i = 0; i < knn->n; i++) {
    const double d = fl4__space_distance(space, point, knn->points[i]);
    if (n == NEAREST && d >= distance[n - 1]) continue;
    int at = n < NEAREST ? n++ : n - 1;
    for (; at > 0 && distance[at - 1] > d; at--) distance[at] = distance[at - 1], value[at] = value[at - 1];
    distance[at] = d, value[at] = knn->value[i];
  }
  for (int i = 0; i < n; i++) {
    const double weight = 1 / (distance[i] * distance[i] + 1e-3);
    sum += weight * value[i], weights += weight;
  }
  return sum / weights - curiosity * distance[0];
}

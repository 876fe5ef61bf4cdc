/* SPDX-License-Identifier: Apache-2.0 */
/* A resample is a count for each member of the sample; its median is found by adding counts in order of value. */
#include "bench/bootstrap.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "problem.h"
#include "util/random.h"

/* ---------------------------------------------------------------- ordered samples */

typedef struct member {
  double value;
  int32_t index;
} member;

static int by_value(const void *a, const void *b)
{
  const double x = ((const member *)a)->value, y = ((const member *)b)->value;
  return (x > y) - (x < y);
}

static fl4_status no_memory(int64_t n)
{
  return fl4__fail(FL4_OUT_OF_MEMORY, "no memory to compare %" PRId64 " samples", n);
}

fl4_status fl4__ordered_open(const double *sample, int64_t n, fl4__ordered *ordered)
{
  ordered->n = n;
  ordered->value = malloc((size_t)n * sizeof *ordered->value);
  ordered->index = malloc((size_t)n * sizeof *ordered->index);
  member *members = malloc((size_t)n * sizeof *members);
  if (!ordered->value || !ordered->index || !members) {
    free(members);
    fl4__ordered_close(ordered);
    return no_memory(n);
  }
  for (int64_t i = 0; i < n; i++) members[i] = (member){sample[i], (int32_t)i};
  qsort(members, (size_t)n, sizeof *members, by_value);
  for (int64_t i = 0; i < n; i++) ordered->value[i] = members[i].value, ordered->index[i] = members[i].index;
  free(members);
  return FL4_OK;
}

void fl4__ordered_close(fl4__ordered *ordered)
{
  free(ordered->value);
  free(ordered->index);
  ordered->value = NULL, ordered->index = NULL;
}

/* ---------------------------------------------------------------- medians */

double fl4__middle_mean(double a, double b)
{
  return (double)(((long double)a + b) / 2);
}

double fl4__middle_geometric(double a, double b)
{
  return a == b ? a : sqrt(a) * sqrt(b);
}

double fl4__ordered_median(const fl4__ordered *ordered, fl4__middle middle)
{
  return middle(ordered->value[(ordered->n - 1) / 2], ordered->value[ordered->n / 2]);
}

/* The median of n draws from n members. `counts` has room for n. */
static double resampled_median(const fl4__ordered *x, fl4__middle middle, fl4__random *random, uint32_t *counts)
{
  const uint32_t n = (uint32_t)x->n;
  memset(counts, 0, n * sizeof *counts);
  for (uint32_t i = 0; i < n; i++) counts[fl4__random_below(random, n)]++;
  /* The value at rank r is the first with r or more draws at or below it. */
  const int64_t lower_rank = ((int64_t)n + 1) / 2, upper_rank = (int64_t)n / 2 + 1;
  int64_t i = 0, below = counts[x->index[0]];
  while (below < lower_rank) below += counts[x->index[++i]];
  const double lower = x->value[i];
  while (below < upper_rank) below += counts[x->index[++i]];
  return middle(lower, x->value[i]);
}

static int by_number(const void *a, const void *b)
{
  const double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

fl4_status fl4__bootstrap(const fl4__ordered *x, const fl4__ordered *y, fl4__middle middle, int resamples,
                          uint64_t seed, double *low, double *high)
{
  const int64_t room = y ? fl4__max64(x->n, y->n) : x->n;
  uint32_t *counts = malloc((size_t)room * sizeof *counts);
  double *medians = malloc((size_t)resamples * sizeof *medians);
  fl4_status status = counts && medians ? FL4_OK : no_memory(room);
  if (status != FL4_OK) goto done;

  fl4__random random;
  fl4__random_init(&random, seed);
  for (int i = 0; i < resamples; i++) {
    medians[i] = resampled_median(x, middle, &random, counts);
    if (y) medians[i] /= resampled_median(y, middle, &random, counts);
  }
  qsort(medians, (size_t)resamples, sizeof *medians, by_number);
  /* Ranks that lie the same from both ends, so that reciprocals give the reciprocal interval. */
  const int rank = (resamples + 1) / 40; /* 2.5 % */
  *low = medians[rank - 1], *high = medians[resamples - rank];
done:
  free(counts);
  free(medians);
  return status;
}

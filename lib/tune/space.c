/* SPDX-License-Identifier: Apache-2.0 */
/* Search spaces: sorted points. */
#include "tune/space.h"

#include <stdlib.h>
#include <string.h>

#include "error.h"

enum { ROOM = 256 }; /* the array of points grows by doubling from here */

fl4_status fl4__space_open(fl4__space *space, int n_axes, const int *size, const bool *ordinal)
{
  memset(space, 0, sizeof *space);
  if (n_axes < 1 || n_axes > FL4__MAX_AXES)
    return fl4__fail(FL4_INVALID_ARGUMENT, "search space: has %d parameters, must have 1 to %d", n_axes, FL4__MAX_AXES);
  for (int i = 0; i < n_axes; i++)
    if (size[i] < 1 || size[i] > UINT16_MAX + 1)
      return fl4__fail(FL4_INVALID_ARGUMENT, "search space: parameter %d has %d values, must have 1 to %d", i, size[i],
                       UINT16_MAX + 1);
  space->n_axes = n_axes;
  memcpy(space->size, size, (size_t)n_axes * sizeof *size);
  memcpy(space->ordinal, ordinal, (size_t)n_axes * sizeof *ordinal);
  return FL4_OK;
}

void fl4__space_close(fl4__space *space)
{
  free(space->points);
  space->points = NULL;
  space->n_points = 0;
}

static size_t stride(const fl4__space *space)
{
  return (size_t)space->n_axes * sizeof *space->points;
}

fl4_status fl4__space_add(fl4__space *space, const uint16_t *values)
{
  const int64_t n = space->n_points;
  for (int i = 0; i < space->n_axes; i++)
    if (values[i] >= space->size[i])
      return fl4__fail(FL4_INVALID_ARGUMENT, "search space: parameter %d: value %d of %d", i, values[i],
                       space->size[i]);
  if (n == FL4__MAX_POINTS) return fl4__fail(FL4_UNSUPPORTED, "search space: more than %d points", FL4__MAX_POINTS);
  if (n == 0 || (n >= ROOM && (n & (n - 1)) == 0)) {
    const size_t room = n == 0 ? ROOM : 2 * (size_t)n;
    uint16_t *points = realloc(space->points, room * stride(space));
    if (!points) return fl4__fail(FL4_OUT_OF_MEMORY, "search space: no memory for %zu points", room);
    space->points = points;
  }
  memcpy(space->points + n * space->n_axes, values, stride(space));
  space->n_points = n + 1;
  return FL4_OK;
}

static int compare(const uint16_t *a, const uint16_t *b, int n)
{
  for (int i = 0; i < n; i++)
    if (a[i] != b[i]) return a[i] < b[i] ? -1 : 1;
  return 0;
}

static int by_values(const void *a, const void *b, void *n_axes)
{
  return compare(a, b, *(int *)n_axes);
}

void fl4__space_seal(fl4__space *space)
{
  const int n_axes = space->n_axes;
  if (space->n_points) qsort_r(space->points, (size_t)space->n_points, stride(space), by_values, &space->n_axes);
  int64_t kept = 0;
  for (int64_t i = 0; i < space->n_points; i++) {
    const uint16_t *point = space->points + i * n_axes;
    if (kept && compare(point, space->points + (kept - 1) * n_axes, n_axes) == 0) continue;
    if (kept < i) memcpy(space->points + kept * n_axes, point, stride(space));
    kept++;
  }
  space->n_points = kept;
}

const uint16_t *fl4__space_point(const fl4__space *space, int64_t point)
{
  return space->points + point * space->n_axes;
}

int64_t fl4__space_find(const fl4__space *space, const uint16_t *values)
{
  int64_t low = 0, high = space->n_points;
  while (low < high) {
    const int64_t middle = (low + high) / 2;
    const int order = compare(fl4__space_point(space, middle), values, space->n_axes);
    if (order == 0) return middle;
    if (order < 0)
      low = middle + 1;
    else
      high = middle;
  }
  return -1;
}

double fl4__space_distance(const fl4__space *space, int64_t a, int64_t b)
{
  const uint16_t *x = fl4__space_point(space, a), *y = fl4__space_point(space, b);
  double sum = 0;
  for (int i = 0; i < space->n_axes; i++) {
    if (x[i] == y[i]) continue;
    const double gap = (double)abs((int)x[i] - (int)y[i]) / (space->size[i] - 1);
    sum += space->ordinal[i] ? 0.6 + 0.4 * gap : 1;
  }
  return sum;
}

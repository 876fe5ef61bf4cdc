/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A search space: axes with a few values each, and the points that are valid. Knows nothing of kernels:
 * points come from a family's table or from somebody's log.
 */
#ifndef FL4_TUNE_SPACE_H
#define FL4_TUNE_SPACE_H

#include <stdbool.h>
#include <stdint.h>

#include <flashl4/status.h>

enum { FL4__MAX_AXES = 32, FL4__MAX_POINTS = 1 << 24 };

typedef struct fl4__space {
  int n_axes;
  int size[FL4__MAX_AXES];     /* values of an axis */
  bool ordinal[FL4__MAX_AXES]; /* neighbouring values are alike */
  int64_t n_points;
  uint16_t *points; /* [n_points][n_axes], indices of values; sorted, so that a point is found */
} fl4__space;

/* Without points yet. FL4_INVALID_ARGUMENT for too many axes or values. */
fl4_status fl4__space_open(fl4__space *space, int n_axes, const int *size, const bool *ordinal);
void fl4__space_close(fl4__space *space);

/* `values`: an index for each axis. */
fl4_status fl4__space_add(fl4__space *space, const uint16_t *values);
/* Sorts, and drops points that are there twice. Before this nothing can be found. */
void fl4__space_seal(fl4__space *space);

const uint16_t *fl4__space_point(const fl4__space *space, int64_t point);
/* Index of the point with these values, -1 if it is not valid. */
int64_t fl4__space_find(const fl4__space *space, const uint16_t *values);

/* How unlike two points are, 0 … n_axes: unlike values count, distant ones on an ordinal axis more. */
double fl4__space_distance(const fl4__space *space, int64_t a, int64_t b);

#endif

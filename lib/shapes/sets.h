/* SPDX-License-Identifier: Apache-2.0 */
/* The built-in sets of problems. All lines are as fl4_problem_format() writes them. */
#ifndef FL4_SHAPES_SETS_H
#define FL4_SHAPES_SETS_H

#include <stddef.h>

typedef struct fl4__shape {
  const char *line;
  const char *note; /* "" for most */
} fl4__shape;

typedef struct fl4__shape_set {
  const char *name, *what;
  const fl4__shape *shapes;
  size_t count;
} fl4__shape_set;

/* For benchmarks. */
extern const fl4__shape_set fl4__canonical, fl4__l4, fl4__prefill, fl4__stress, fl4__decode, fl4__models;
/* For checks. */
extern const fl4__shape_set fl4__smoke, fl4__features, fl4__parity, fl4__extreme, fl4__demo, fl4__demo_host;

#define FL4__SHAPE_SET(name, what, shapes)                                                                             \
  {                                                                                                                    \
    name, what, shapes, sizeof(shapes) / sizeof((shapes)[0])                                                           \
  }

/* A problem without a note. */
#define FL4__SHAPE(line)                                                                                               \
  {                                                                                                                    \
    line, ""                                                                                                           \
  }

/* The batches, heads and masks that "parity" and "l4" share: 3 × 2 × 2 problems for a length, a D and a dtype. */
#define FL4__GRID_MASK(b, h, s, d, dtype)                                                                              \
  FL4__SHAPE(b "hq" h "sq" s "d" d dtype), FL4__SHAPE(b "hq" h "sq" s "d" d dtype ":causal")
#define FL4__GRID_HEADS(b, s, d, dtype) FL4__GRID_MASK(b, "8", s, d, dtype), FL4__GRID_MASK(b, "16", s, d, dtype)
#define FL4__GRID(s, d, dtype)                                                                                         \
  FL4__GRID_HEADS("", s, d, dtype), FL4__GRID_HEADS("b4", s, d, dtype), FL4__GRID_HEADS("b8", s, d, dtype)

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* The built-in sets by name. */
#include <string.h>

#include <flashl4/shapes.h>

#include "shapes/sets.h"

static const fl4__shape_set *const sets[] = {
    &fl4__canonical, &fl4__l4,       &fl4__prefill, &fl4__stress,  &fl4__decode, &fl4__models,
    &fl4__smoke,     &fl4__features, &fl4__parity,  &fl4__extreme, &fl4__demo,   &fl4__demo_host,
};
enum { N_SETS = sizeof sets / sizeof sets[0] };

static const fl4__shape_set *find(const char *name)
{
  for (int i = 0; name && i < N_SETS; i++)
    if (strcmp(name, sets[i]->name) == 0) return sets[i];
  return NULL;
}

static const fl4__shape *find_shape(const char *name, size_t index)
{
  const fl4__shape_set *set = find(name);
  return set && index < set->count ? &set->shapes[index] : NULL;
}

const char *fl4_shapes_name(size_t index)
{
  return index < N_SETS ? sets[index]->name : NULL;
}

const char *fl4_shapes_what(const char *set)
{
  const fl4__shape_set *found = find(set);
  return found ? found->what : NULL;
}

size_t fl4_shapes_count(const char *set)
{
  const fl4__shape_set *found = find(set);
  return found ? found->count : 0;
}

const char *fl4_shapes_line(const char *set, size_t index)
{
  const fl4__shape *shape = find_shape(set, index);
  return shape ? shape->line : NULL;
}

const char *fl4_shapes_note(const char *set, size_t index)
{
  const fl4__shape *shape = find_shape(set, index);
  return shape ? shape->note : NULL;
}

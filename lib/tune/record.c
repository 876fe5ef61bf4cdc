/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Recorded spaces. The axes are the keys of the configurations, their values those that occur, sorted.
 * Three numbers or more have an order; two, strings and booleans are only different.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "tune/log.h"
#include "tune/results.h"
#include "tune/space.h"

/* Of a parameter. The text is the JSON's. */
typedef struct value {
  enum { NUMBER, STRING, BOOLEAN } type;
  double number; /* 0 or 1 of a boolean */
  const char *text;
} value;

static const char *const type_names[] = {"a number", "a string", "a boolean"};

typedef struct axis {
  const char *name;
  int n;         /* different values */
  value *values; /* [n], sorted */
} axis;

static int by_value(const void *a, const void *b)
{
  const value *x = a, *y = b;
  return x->type == STRING ? strcmp(x->text, y->text) : (x->number > y->number) - (x->number < y->number);
}

static bool read_value(const json_t *json, value *v)
{
  memset(v, 0, sizeof *v);
  if (json_is_number(json))
    v->type = NUMBER, v->number = json_number_value(json);
  else if (json_is_boolean(json))
    v->type = BOOLEAN, v->number = json_is_true(json);
  else if (json_is_string(json))
    v->type = STRING, v->text = json_string_value(json);
  else
    return false;
  return true;
}

/* ---------------------------------------------------------------- axes */

typedef struct reader {
  const char *file;
  fl4__results results;
  size_t n; /* of them */
  int n_axes;
  axis axes[FL4__MAX_AXES];
} reader;

static const json_t *configuration(const reader *r, size_t index)
{
  return json_object_get(json_array_get(r->results.array, index), "configuration");
}

static fl4_status fail_at(const reader *r, size_t index, const char *what, const char *name)
{
  char place[32];
  fl4__results_place(&r->results, index, place);
  return fl4__fail(FL4_IO_ERROR, "%s: %s: parameter \"%s\": %s", r->file, place, name, what);
}

static fl4_status find_axes(reader *r)
{
  json_t *first = (json_t *)configuration(r, 0); /* jansson iterates over what it might change */
  for (void *at = json_object_iter(first); at; at = json_object_iter_next(first, at)) {
    if (r->n_axes == FL4__MAX_AXES)
      return fl4__fail(FL4_IO_ERROR, "%s: has more than %d parameters", r->file, FL4__MAX_AXES);
    r->axes[r->n_axes++].name = json_object_iter_key(at);
  }
  if (r->n_axes == 0) return fl4__fail(FL4_IO_ERROR, "%s: its configurations have no parameters", r->file);
  return FL4_OK;
}

/* Every configuration has these parameters and no other. */
static fl4_status check_names(const reader *r, size_t index)
{
  json_t *c = (json_t *)configuration(r, index);
  for (int k = 0; k < r->n_axes; k++)
    if (!json_object_get(c, r->axes[k].name)) return fail_at(r, index, "is missing", r->axes[k].name);
  for (void *at = json_object_iter(c); at; at = json_object_iter_next(c, at)) {
    const char *name = json_object_iter_key(at);
    if (!json_object_get(configuration(r, 0), name)) return fail_at(r, index, "the first has none of this name", name);
  }
  return FL4_OK;
}

static fl4_status find_values(const reader *r, axis *a)
{
  a->values = malloc(r->n * sizeof *a->values);
  if (!a->values) return fl4__fail(FL4_OUT_OF_MEMORY, "%s: no memory for %zu values", r->file, r->n);
  for (size_t i = 0; i < r->n; i++) {
    char what[64];
    value *v = &a->values[i];
    if (!read_value(json_object_get(configuration(r, i), a->name), v))
      return fail_at(r, i, "must be a number, a string or a boolean", a->name);
    if (v->type == a->values[0].type) continue;
    snprintf(what, sizeof what, "is %s, the first is %s", type_names[v->type], type_names[a->values[0].type]);
    return fail_at(r, i, what, a->name);
  }
  qsort(a->values, r->n, sizeof *a->values, by_value);
  for (size_t i = 0; i < r->n; i++)
    if (a->n == 0 || by_value(&a->values[a->n - 1], &a->values[i]) != 0) a->values[a->n++] = a->values[i];
  return FL4_OK;
}

static void values_of(const reader *r, size_t index, uint16_t *values)
{
  for (int k = 0; k < r->n_axes; k++) {
    const axis *a = &r->axes[k];
    value v;
    (void)read_value(json_object_get(configuration(r, index), a->name), &v);
    const value *found = bsearch(&v, a->values, (size_t)a->n, sizeof v, by_value);
    values[k] = (uint16_t)(found - a->values);
  }
}

/* ---------------------------------------------------------------- costs */

/* A number, or the mean of a list of them; NaN: neither. */
static double mean(const json_t *json)
{
  if (json_is_number(json)) return json_number_value(json);
  if (!json_is_array(json) || json_array_size(json) == 0) return (double)NAN;
  double sum = 0;
  for (size_t i = 0; i < json_array_size(json); i++) {
    const json_t *one = json_array_get(json, i);
    if (!json_is_number(one)) return (double)NAN;
    sum += json_number_value(one);
  }
  return sum / (double)json_array_size(json);
}

static double cost_of(const json_t *result)
{
  const char *invalidity = json_string_value(json_object_get(result, "invalidity"));
  if (!invalidity || strcmp(invalidity, "correct") != 0) return (double)INFINITY;
  const json_t *measurements = json_object_get(result, "measurements");
  const json_t *time = json_object_get(json_object_get(result, "times"), "runtimes");
  for (size_t i = 0; i < json_array_size(measurements); i++) {
    const json_t *one = json_array_get(measurements, i);
    const char *name = json_string_value(json_object_get(one, "name"));
    if (!name || strcmp(name, "time") != 0) continue;
    time = json_object_get(one, "value");
    break;
  }
  const double cost = mean(time);
  return isfinite(cost) && cost > 0 ? cost : (double)INFINITY;
}

/* ---------------------------------------------------------------- records */

static fl4_status build_space(const reader *r, fl4__space *space)
{
  int size[FL4__MAX_AXES];
  bool ordinal[FL4__MAX_AXES];
  for (int k = 0; k < r->n_axes; k++) {
    size[k] = r->axes[k].n;
    ordinal[k] = r->axes[k].values[0].type == NUMBER && r->axes[k].n > 2;
  }
  fl4_status status = fl4__space_open(space, r->n_axes, size, ordinal);
  for (size_t i = 0; i < r->n && status == FL4_OK; i++) {
    uint16_t values[FL4__MAX_AXES];
    values_of(r, i, values);
    status = fl4__space_add(space, values);
  }
  if (status != FL4_OK) return fl4__fail_context(status, "%s", r->file);
  fl4__space_seal(space);
  return FL4_OK;
}

static fl4_status take_costs(const reader *r, fl4__record *record)
{
  const fl4__space *space = record->space;
  record->cost = malloc((size_t)space->n_points * sizeof *record->cost);
  if (!record->cost) return fl4__fail(FL4_OUT_OF_MEMORY, "%s: no memory for %zu points", r->file, r->n);
  for (size_t i = 0; i < r->n; i++) {
    uint16_t values[FL4__MAX_AXES];
    values_of(r, i, values);
    record->cost[fl4__space_find(space, values)] = cost_of(json_array_get(r->results.array, i));
  }
  for (int64_t i = 0; i < space->n_points; i++) record->failed += !isfinite(record->cost[i]);
  return FL4_OK;
}

static fl4_status build(reader *r, fl4__record *record)
{
  r->n = json_array_size(r->results.array);
  if (r->n == 0) return fl4__fail(FL4_IO_ERROR, "%s: holds no evaluation", r->file);
  FL4_TRY(find_axes(r));
  for (size_t i = 0; i < r->n; i++) FL4_TRY(check_names(r, i));
  for (int k = 0; k < r->n_axes; k++) FL4_TRY(find_values(r, &r->axes[k]));
  record->space = calloc(1, sizeof *record->space);
  if (!record->space)
    return fl4__fail(FL4_OUT_OF_MEMORY, "%s: no memory for %zu bytes", r->file, sizeof *record->space);
  FL4_TRY(build_space(r, record->space));
  return take_costs(r, record);
}

fl4_status fl4__record_read(const char *file, fl4__record *record)
{
  reader r = {.file = file};
  memset(record, 0, sizeof *record);
  FL4_TRY(fl4__results_read(file, &r.results));
  const fl4_status status = build(&r, record);
  for (int k = 0; k < r.n_axes; k++) free(r.axes[k].values);
  fl4__results_close(&r.results);
  if (status != FL4_OK) fl4__record_close(record);
  return status;
}

void fl4__record_close(fl4__record *record)
{
  if (record->space) fl4__space_close(record->space);
  free(record->space);
  free(record->cost);
  memset(record, 0, sizeof *record);
}

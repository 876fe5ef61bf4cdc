/* SPDX-License-Identifier: Apache-2.0 */
/* What is in a line of a log: T4's words first, under "flashl4" what they cannot say. */
#include "tune/log_line.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>

#include <flashl4/version.h>

enum { SCHEMA = 1 };

/* ---------------------------------------------------------------- writing */

/* A number; what is not known is left out, as JSON has no word for it. */
static int set_real(json_t *object, const char *name, double x)
{
  return isfinite(x) ? json_object_set_new(object, name, json_real(x)) : 0;
}

/* A compiler's words may have been cut within a letter: then only ASCII is kept. */
static int set_text(json_t *object, const char *name, const char *text, size_t size)
{
  char ascii[256];
  const size_t n = strnlen(text, size < sizeof ascii ? size : sizeof ascii - 1);
  json_t *string = json_stringn(text, n);
  if (!string) {
    for (size_t i = 0; i < n; i++) ascii[i] = (unsigned char)text[i] < 0x80 ? text[i] : '?';
    string = json_stringn(ascii, n);
  }
  return json_object_set_new(object, name, string);
}

static int set_hash(json_t *object, const char *name, uint64_t hash)
{
  char text[17];
  snprintf(text, sizeof text, "%016" PRIx64, hash);
  return json_object_set_new(object, name, json_string(text));
}

static int set_now(json_t *object)
{
  char text[40];
  struct timespec now;
  struct tm utc;
  clock_gettime(CLOCK_REALTIME, &now);
  gmtime_r(&now.tv_sec, &utc);
  const size_t n = strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &utc);
  snprintf(text + n, sizeof text - n, ".%06ldZ", now.tv_nsec / 1000);
  return json_object_set_new(object, "timestamp", json_string(text));
}

/* The object, if all went well. */
static json_t *checked(json_t *object, int failed)
{
  if (!failed) return object;
  json_decref(object);
  return NULL;
}

static json_t *environment(void)
{
  char text[256] = "unknown";
  struct utsname u;
  if (uname(&u) == 0) snprintf(text, sizeof text, "%.64s %.64s %.64s", u.sysname, u.release, u.machine);
  json_t *object = json_object();
  int failed = json_object_set_new(object, "flashl4", json_string(fl4_version_string()));
  failed |= set_text(object, "system", text, sizeof text);
  return checked(object, failed);
}

json_t *fl4__log_tuning(const fl4__tune_subject *s)
{
  json_t *tuning = json_object(), *line = json_object();
  int failed = json_object_set_new(tuning, "schema", json_integer(SCHEMA));
  failed |= set_text(tuning, "problem", s->problem, sizeof s->problem);
  failed |= set_text(tuning, "device", s->device, sizeof s->device);
  failed |= json_object_set_new(tuning, "family", json_string(s->family->name));
  failed |= set_hash(tuning, "space", s->space_hash);
  failed |= set_hash(tuning, "source", s->source_hash);
  failed |= set_text(tuning, "mode", s->mode, sizeof s->mode);
  failed |= set_text(tuning, "inputs", s->inputs, sizeof s->inputs);
  failed |= json_object_set_new(tuning, "cold", json_boolean(s->cold != 0));
  failed |= json_object_set_new(line, "tuning", tuning);
  failed |= json_object_set_new(line, "environment", environment());
  failed |= set_now(line);
  return checked(line, failed);
}

static json_t *configuration(const fl4__variant *v)
{
  json_t *object = json_object();
  int failed = !object;
  for (int i = 0; i < v->family->n_params; i++)
    failed |= json_object_set_new(object, v->family->params[i].name, json_integer(v->value[i]));
  return checked(object, failed);
}

static int set_variant(json_t *object, const fl4__variant *v)
{
  char text[FL4__VARIANT_TEXT];
  fl4__variant_format(v, text);
  return json_object_set_new(object, "variant", json_string(text));
}

json_t *fl4__log_begin(const fl4__variant *variant, int evaluation)
{
  json_t *begin = json_object(), *line = json_object();
  int failed = set_variant(begin, variant);
  failed |= json_object_set_new(begin, "evaluation", json_integer(evaluation));
  failed |= json_object_set_new(begin, "configuration", configuration(variant));
  failed |= json_object_set_new(line, "begin", begin);
  failed |= set_now(line);
  return checked(line, failed);
}

/* In milliseconds, as T4 has them. */
static json_t *times(const fl4_tune_candidate *c, const double *samples, int64_t n)
{
  json_t *object = json_object(), *runtimes = json_array();
  int failed = set_real(object, "compilation", c->compile_ms);
  for (int64_t i = 0; i < n; i++)
    if (isfinite(samples[i])) failed |= json_array_append_new(runtimes, json_real(samples[i] * 1e-3));
  failed |= json_object_set_new(object, "runtimes", runtimes);
  return checked(object, failed);
}

static json_t *measurements(const fl4_tune_candidate *c)
{
  json_t *list = json_array();
  if (!isfinite(c->p50)) return list;
  json_t *one = json_object();
  int failed = json_object_set_new(one, "name", json_string("time"));
  failed |= set_real(one, "value", c->p50 * 1e-3);
  failed |= json_object_set_new(one, "unit", json_string("ms"));
  failed |= json_array_append_new(list, one);
  return checked(list, failed);
}

static json_t *rest(const fl4_tune_candidate *c, const fl4__variant *variant)
{
  json_t *object = json_object();
  int failed = set_variant(object, variant);
  failed |= json_object_set_new(object, "evaluation", json_integer(c->evaluation));
  failed |= set_real(object, "p50_us", c->p50);
  failed |= set_real(object, "p50_low_us", c->p50_low);
  failed |= set_real(object, "p50_high_us", c->p50_high);
  failed |= json_object_set_new(object, "samples", json_integer(c->samples));
  failed |= set_real(object, "max_error", c->max_error);
  failed |= json_object_set_new(object, "registers", json_integer(c->registers));
  failed |= json_object_set_new(object, "spill_bytes", json_integer(c->spill_bytes));
  failed |= json_object_set_new(object, "smem_bytes", json_integer(c->smem_bytes));
  failed |= json_object_set_new(object, "same_as", json_integer(c->same_as));
  failed |= set_hash(object, "kernel_hash", c->kernel_hash);
  if (c->error[0]) failed |= set_text(object, "error", c->error, sizeof c->error);
  return checked(object, failed);
}

json_t *fl4__log_end(const fl4_tune_candidate *c, const fl4__variant *variant, const double *samples, int64_t n)
{
  json_t *line = json_object();
  int failed = set_now(line);
  failed |= json_object_set_new(line, "configuration", configuration(variant));
  failed |= json_object_set_new(line, "times", times(c, samples, samples ? n : 0));
  failed |= json_object_set_new(line, "invalidity", json_string(fl4_invalidity_name((fl4_invalidity)c->invalidity)));
  failed |= json_object_set_new(line, "correctness", json_integer(c->invalidity == FL4_INVALIDITY_CORRECT));
  failed |= json_object_set_new(line, "measurements", measurements(c));
  failed |= json_object_set_new(line, "objectives", json_pack("[s]", "time"));
  failed |= json_object_set_new(line, "flashl4", rest(c, variant));
  return checked(line, failed);
}

/* ---------------------------------------------------------------- reading */

/* A text that fits; if it need not be there, "" without it. */
static bool get_text(const json_t *object, const char *name, char *text, size_t size, bool needed)
{
  const json_t *json = json_object_get(object, name);
  text[0] = '\0';
  if (!json) return !needed;
  if (!json_is_string(json) || json_string_length(json) >= size) return false;
  memcpy(text, json_string_value(json), json_string_length(json) + 1);
  return true;
}

static bool get_int(const json_t *object, const char *name, int64_t most, int64_t *x)
{
  const json_t *json = json_object_get(object, name);
  if (!json_is_integer(json) || json_integer_value(json) < -1 || json_integer_value(json) > most) return false;
  *x = json_integer_value(json);
  return true;
}

static bool get_int32(const json_t *object, const char *name, int32_t *x)
{
  int64_t wide = 0;
  if (!get_int(object, name, INT32_MAX, &wide)) return false;
  *x = (int32_t)wide;
  return true;
}

static bool get_real(const json_t *object, const char *name, double *x)
{
  const json_t *json = json_object_get(object, name);
  *x = json ? json_number_value(json) : (double)NAN;
  return !json || (json_is_number(json) && *x >= 0);
}

static bool get_hash(const json_t *object, const char *name, uint64_t *hash)
{
  char text[17];
  if (!get_text(object, name, text, sizeof text, true)) return false;
  if (strlen(text) != 16 || strspn(text, "0123456789abcdef") != 16) return false;
  *hash = strtoull(text, NULL, 16);
  return true;
}

static bool get_invalidity(const json_t *line, int32_t *invalidity)
{
  const char *word = json_string_value(json_object_get(line, "invalidity"));
  for (int32_t i = 0; word && i < FL4_INVALIDITY_COUNT; i++)
    if (strcmp(fl4_invalidity_name((fl4_invalidity)i), word) == 0) return *invalidity = i, true;
  return false;
}

bool fl4__log_read_end(const json_t *line, fl4_tune_candidate *c)
{
  const json_t *rest = json_object_get(line, "flashl4");
  *c = (fl4_tune_candidate)FL4_TUNE_CANDIDATE_INIT;
  if (!get_invalidity(line, &c->invalidity)) return false;
  if (!get_real(json_object_get(line, "times"), "compilation", &c->compile_ms)) return false;
  if (isnan(c->compile_ms)) c->compile_ms = 0;
  if (!get_text(rest, "variant", c->variant, sizeof c->variant, true)) return false;
  if (!get_text(rest, "error", c->error, sizeof c->error, false)) return false;
  if (!get_int32(rest, "evaluation", &c->evaluation) || !get_int(rest, "samples", INT64_MAX, &c->samples)) return false;
  if (!get_real(rest, "p50_us", &c->p50) || !get_real(rest, "p50_low_us", &c->p50_low)) return false;
  if (!get_real(rest, "p50_high_us", &c->p50_high) || !get_real(rest, "max_error", &c->max_error)) return false;
  if (!get_int32(rest, "registers", &c->registers) || !get_int32(rest, "spill_bytes", &c->spill_bytes)) return false;
  if (!get_int32(rest, "smem_bytes", &c->smem_bytes) || !get_int32(rest, "same_as", &c->same_as)) return false;
  if (!get_hash(rest, "kernel_hash", &c->kernel_hash)) return false;
  return c->invalidity != FL4_INVALIDITY_CORRECT || c->p50 > 0;
}

bool fl4__log_read_begin(const json_t *begin, fl4_tune_candidate *c)
{
  const double unknown = (double)NAN;
  *c = (fl4_tune_candidate)FL4_TUNE_CANDIDATE_INIT;
  c->invalidity = FL4_INVALIDITY_RUNTIME;
  c->p50 = c->p50_low = c->p50_high = c->max_error = unknown;
  c->same_as = -1;
  strcpy(c->error, "it began and did not end: the process ended with it");
  return get_text(begin, "variant", c->variant, sizeof c->variant, true) &&
         get_int32(begin, "evaluation", &c->evaluation);
}

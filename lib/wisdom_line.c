/* SPDX-License-Identifier: Apache-2.0 */
/* A piece of wisdom as a line of text, and back: a JSON object whose last member is its checksum. */
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <zlib.h>

#include <flashl4/tune.h>

#include "error.h"
#include "wisdom_store.h"

enum { VERSION = 1 };

const char fl4__wisdom_header[] = "{\"flashl4_wisdom\":1}\n";

/* ,"crc":"01234567"} of all that stands before it. */
#define CRC_START ",\"crc\":\""
#define CRC_END "\"}"
enum { CRC_DIGITS = 8, CRC_TEXT = sizeof CRC_START - 1 + CRC_DIGITS + sizeof CRC_END - 1 };

static void crc_text(const char *line, size_t n, char text[CRC_TEXT + 1])
{
  const uLong crc = crc32_z(crc32_z(0, NULL, 0), (const Bytef *)line, n);
  snprintf(text, CRC_TEXT + 1, CRC_START "%08lx" CRC_END, crc & 0xffffffff);
}

static bool crc_is_right(const char *line, size_t n)
{
  char text[CRC_TEXT + 1];
  if (n < CRC_TEXT) return false;
  crc_text(line, n - CRC_TEXT, text);
  return memcmp(line + n - CRC_TEXT, text, CRC_TEXT) == 0;
}

static const struct {
  const char *name;
  int evaluations;
} budgets[FL4_TUNE_BUDGET_COUNT] = {
#define BUDGET_ROW(name, text, evaluations) [FL4_TUNE_##name] = {text, evaluations},
    FL4_TUNE_BUDGET_MAP(BUDGET_ROW)
#undef BUDGET_ROW
};

/* ---------------------------------------------------------------- reading */

/* A text that fits, else false; what is not there stays as it is. Jansson lets no zero in. */
static bool get_text(const json_t *object, const char *name, char *text, size_t size)
{
  const json_t *value = json_object_get(object, name);
  if (!value) return true;
  if (!json_is_string(value) || json_string_length(value) >= size) return false;
  memcpy(text, json_string_value(value), json_string_length(value) + 1);
  return true;
}

static bool get_hash(const json_t *object, const char *name, uint64_t *hash)
{
  char text[17] = "0", *end;
  if (!get_text(object, name, text, sizeof text) || !text[0] || strspn(text, "0123456789abcdef") != strlen(text))
    return false;
  *hash = strtoull(text, &end, 16);
  return true;
}

static bool get_number(const json_t *object, const char *name, double *number)
{
  const json_t *value = json_object_get(object, name);
  *number = NAN;
  if (!value || json_is_null(value)) return true;
  if (!json_is_number(value)) return false;
  *number = json_number_value(value);
  return true;
}

static bool get_int(const json_t *object, const char *name, int32_t *number)
{
  const json_t *value = json_object_get(object, name);
  if (!value) return true;
  if (!json_is_integer(value) || json_integer_value(value) < 0 || json_integer_value(value) > INT32_MAX) return false;
  *number = (int32_t)json_integer_value(value);
  return true;
}

static bool get_budget(const json_t *object, int32_t *budget)
{
  char text[32] = "";
  if (!get_text(object, "budget", text, sizeof text)) return false;
  for (int i = 0; i < FL4_TUNE_BUDGET_COUNT; i++)
    if (strcmp(text, budgets[i].name) == 0) return *budget = i, true;
  return false;
}

static bool get_entry(const json_t *object, fl4_wisdom_entry *e)
{
  return get_text(object, "problem", e->problem, sizeof e->problem) &&
         get_text(object, "device", e->device, sizeof e->device) && e->device[0] &&
         get_text(object, "variant", e->variant, sizeof e->variant) &&
         get_text(object, "date", e->date, sizeof e->date) && get_text(object, "mode", e->mode, sizeof e->mode) &&
         get_text(object, "driver", e->driver, sizeof e->driver) && get_budget(object, &e->budget) &&
         get_int(object, "evaluations", &e->evaluations) && get_int(object, "improved", &e->improved) &&
         e->improved <= 1 && get_int(object, "nvrtc", &e->nvrtc) && get_number(object, "p50_us", &e->p50_us) &&
         get_number(object, "default_us", &e->default_us) && get_number(object, "max_error", &e->max_error) &&
         get_hash(object, "kernel", &e->kernel_hash);
}

static fl4__line read_object(const json_t *object, fl4__piece *piece)
{
  int32_t version = 0;
  uint64_t space = 0, source = 0;
  if (!json_is_object(object) || !get_int(object, "wisdom", &version)) return FL4__LINE_DAMAGED;
  if (version != VERSION) return FL4__LINE_STALE;
  if (!get_entry(object, &piece->entry) || !get_hash(object, "space", &space) || !get_hash(object, "source", &source))
    return FL4__LINE_DAMAGED;

  fl4_problem problem = FL4_PROBLEM_INIT;
  if (fl4_problem_parse(piece->entry.problem, &problem) != FL4_OK ||
      fl4__wisdom_problem(&problem, &piece->problem) != FL4_OK)
    return FL4__LINE_DAMAGED;
  piece->key = fl4__wisdom_key(&piece->problem);

  /* A family or a value that is not known has been there once. */
  if (fl4__variant_parse(piece->entry.variant, &piece->variant) != FL4_OK) return FL4__LINE_STALE;
  const fl4__family *family = piece->variant.family;
  if (space != fl4__space_hash(family)) return FL4__LINE_STALE;
  /* A build without GPU kernels cannot tell whether theirs are old, and runs none of them. */
  const uint64_t built_in = fl4__source_hash(family);
  if (built_in && source != built_in) return FL4__LINE_STALE;

  piece->other = piece->variant;
  for (int i = 0; i < family->n_params && !piece->entry.improved; i++) piece->other.value[i] = FL4__UNSET;
  return FL4__LINE_GOOD;
}

static bool starts_with(const char *line, size_t n, const char *start)
{
  return n >= strlen(start) && memcmp(line, start, strlen(start)) == 0;
}

fl4__line fl4__piece_read(const char *line, size_t n, const char *source, fl4__piece **piece)
{
  *piece = NULL;
  if (n == 0) return FL4__LINE_EMPTY;
  /* Which version it is of, each line says itself, so that files can be joined. */
  if (starts_with(line, n, "{\"flashl4_wisdom\":") && line[n - 1] == '}' && n < 64) return FL4__LINE_EMPTY;
  if (!crc_is_right(line, n)) return FL4__LINE_DAMAGED;

  fl4__piece *p = calloc(1, sizeof *p + n + 1);
  if (!p) return FL4__LINE_NO_MEMORY;
  json_t *object = json_loadb(line, n, JSON_REJECT_DUPLICATES, NULL);
  fl4__line what = object ? read_object(object, p) : FL4__LINE_DAMAGED;
  json_decref(object);
  if (what != FL4__LINE_GOOD) {
    free(p);
    return what;
  }
  p->entry.struct_size = sizeof p->entry;
  snprintf(p->entry.source, sizeof p->entry.source, "%s", source);
  p->length = n;
  memcpy(p->line, line, n);
  *piece = p;
  return FL4__LINE_GOOD;
}

/* ---------------------------------------------------------------- writing */

/* A text as JSON takes it: what is not ASCII came from a driver, and is of no use here. */
static json_t *text_of(const char *text)
{
  char plain[sizeof(fl4_wisdom_entry)];
  snprintf(plain, sizeof plain, "%s", text);
  for (char *c = plain; *c; c++)
    if ((unsigned char)*c >= 0x80) *c = '?';
  return json_string(plain);
}

static json_t *hash_of(uint64_t hash)
{
  char text[17];
  snprintf(text, sizeof text, "%016" PRIx64, hash);
  return json_string(text);
}

static json_t *number_of(double number)
{
  return isfinite(number) ? json_real(number) : json_null();
}

static json_t *object_of(const fl4_wisdom_entry *e, const fl4__family *family)
{
  const struct {
    const char *name;
    json_t *value;
  } members[] = {
      {"wisdom", json_integer(VERSION)},
      {"problem", text_of(e->problem)},
      {"device", text_of(e->device)},
      {"variant", text_of(e->variant)},
      {"budget", json_string(budgets[e->budget].name)},
      {"evaluations", json_integer(e->evaluations)},
      {"improved", json_integer(e->improved)},
      {"p50_us", number_of(e->p50_us)},
      {"default_us", number_of(e->default_us)},
      {"max_error", number_of(e->max_error)},
      {"mode", text_of(e->mode)},
      {"date", text_of(e->date)},
      {"space", hash_of(fl4__space_hash(family))},
      {"source", hash_of(fl4__source_hash(family))},
      {"kernel", hash_of(e->kernel_hash)},
      {"driver", text_of(e->driver)},
      {"nvrtc", json_integer(e->nvrtc)},
  };
  json_t *object = json_object();
  bool good = object != NULL;
  for (size_t i = 0; i < sizeof members / sizeof *members; i++) /* takes each value over, also if it fails */
    if (json_object_set_new(object, members[i].name, members[i].value) != 0) good = false;
  if (good) return object;
  json_decref(object);
  return NULL;
}

/* The line with its checksum in `line`, which has room for `size` bytes; its length, or 0. */
static size_t write_line(const fl4_wisdom_entry *entry, const fl4__family *family, char *line, size_t size)
{
  json_t *object = object_of(entry, family);
  size_t n = object ? json_dumpb(object, line, size, JSON_COMPACT | JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(9)) : 0;
  json_decref(object);
  if (n == 0 || n + CRC_TEXT + 1 > size) return 0;
  n--; /* the brace that closes comes with the checksum */
  crc_text(line, n, line + n);
  return n + CRC_TEXT;
}

fl4_status fl4__piece_make(const fl4_wisdom_entry *entry, fl4__piece **piece)
{
  fl4_wisdom_entry e = *entry;
  fl4__variant variant;
  fl4_problem problem = FL4_PROBLEM_INIT;
  *piece = NULL;
  FL4_TRY(fl4_problem_parse(e.problem, &problem));
  FL4_TRY(fl4__variant_parse(e.variant, &variant));
  if (e.budget < 0 || e.budget >= FL4_TUNE_BUDGET_COUNT)
    return fl4__fail(FL4_INVALID_ARGUMENT, "fl4_wisdom_entry.budget: is %d, must be an fl4_tune_budget", e.budget);
  if (e.evaluations < 0 || e.nvrtc < 0 || (e.improved & ~1))
    return fl4__fail(FL4_INVALID_ARGUMENT,
                     "fl4_wisdom_entry: evaluations and nvrtc must not be negative, improved "
                     "must be 0 or 1; they are %d, %d and %d",
                     e.evaluations, e.nvrtc, e.improved);
  fl4__variant_format(&variant, e.variant);
  FL4_TRY(fl4_problem_format(&problem, e.problem, sizeof e.problem));
  struct tm utc;
  const time_t now = time(NULL);
  if (!e.date[0] && gmtime_r(&now, &utc)) strftime(e.date, sizeof e.date, "%Y-%m-%dT%H:%M:%SZ", &utc);

  char line[4096]; /* all members together are less than 1 KB */
  const size_t n = write_line(&e, variant.family, line, sizeof line);
  const fl4__line what = n ? fl4__piece_read(line, n, e.source, piece) : FL4__LINE_NO_MEMORY;
  if (what == FL4__LINE_GOOD) return FL4_OK;
  if (what == FL4__LINE_NO_MEMORY) return fl4__fail(FL4_OUT_OF_MEMORY, "wisdom: no memory for a piece");
  return fl4__fail(FL4_INTERNAL, "wisdom: a line cannot be read back: %s", line);
}

/* ---------------------------------------------------------------- comparing */

static double known(double us)
{
  return us > 0 ? us : INFINITY; /* also if it is NaN */
}

bool fl4__piece_beats(const fl4__piece *a, const fl4__piece *b)
{
  const bool hand_a = strcmp(a->entry.mode, "hand") == 0, hand_b = strcmp(b->entry.mode, "hand") == 0;
  if (hand_a != hand_b) return hand_a;
  const int budget_a = budgets[a->entry.budget].evaluations, budget_b = budgets[b->entry.budget].evaluations;
  if (budget_a != budget_b) return budget_a > budget_b;
  const bool same = memcmp(&a->problem, &b->problem, sizeof a->problem) == 0; /* else times say nothing */
  const double us_a = known(a->entry.p50_us), us_b = known(b->entry.p50_us);
  if (same && !hand_a && us_a != us_b) return us_a < us_b;
  return strcmp(a->entry.date, b->entry.date) >= 0; /* of equals, what comes later */
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Reading flashl4-bench-1: every field is there, of its type, and makes sense, or the file is refused. */
#include "results.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* What a field must be. NULLABLE goes with any other. */
enum { TEXT = 1, WHOLE = 2, NUMBER = 4, FLAG = 8, OBJECT = 16, ARRAY = 32, NULLABLE = 64 };

typedef struct field {
  const char *name;
  int type;
} field;

static const field root_fields[] = {{"environment", OBJECT}, {"device", OBJECT},    {"limits", OBJECT | NULLABLE},
                                    {"options", OBJECT},     {"contenders", ARRAY}, {"results", ARRAY},
                                    {"summary", OBJECT}};
static const field environment_fields[] = {
    {"library", TEXT}, {"time", TEXT}, {"driver", TEXT}, {"command", ARRAY}, {"nvrtc", WHOLE | NULLABLE}};
static const field device_fields[] = {{"device", TEXT}, {"name", TEXT}, {"isa", TEXT}, {"multiprocessors", WHOLE}};
static const field limits_fields[] = {{"mma_tflops", NUMBER}, {"gemm_tflops", NUMBER}, {"read_gbps", NUMBER}};
static const field options_fields[] = {
    {"mode", TEXT},         {"cold", FLAG},         {"inputs", ARRAY},       {"copies", WHOLE},
    {"seed", WHOLE},        {"precision", NUMBER},  {"max_seconds", NUMBER}, {"warmup_seconds", NUMBER},
    {"min_samples", WHOLE}, {"max_samples", WHOLE}, {"threshold", NUMBER},   {"alpha", NUMBER}};
static const field contender_fields[] = {{"name", TEXT},
                                         {"kind", TEXT},
                                         {"device", TEXT | NULLABLE},
                                         {"variant", TEXT | NULLABLE},
                                         {"library_file", TEXT | NULLABLE}};
static const field result_fields[] = {{"problem", TEXT},     {"inputs", TEXT}, {"contender", TEXT}, {"outcome", TEXT},
                                      {"status", TEXT},      {"error", TEXT},  {"variant", TEXT},   {"library", TEXT},
                                      {"kernel_hash", TEXT}, {"mode", TEXT},   {"cold", FLAG},      {"copies", WHOLE},
                                      {"calls", WHOLE},      {"stop", TEXT}};
static const field timed_fields[] = {{"samples_us", ARRAY}, {"statistics", OBJECT}, {"health", OBJECT}};

#define FIELDS(list) list, sizeof list / sizeof list[0]

/* Of a file that is being read: where we are, "results[3]". */
typedef struct place {
  const char *file;
  char at[64];
} place;

static int refuse(const place *p, const char *format, ...) __attribute__((format(printf, 2, 3)));
static int refuse(const place *p, const char *format, ...)
{
  char text[512];
  va_list args;
  va_start(args, format);
  vsnprintf(text, sizeof text, format, args);
  va_end(args);
  return cli_fail(CLI_UNUSABLE, "%s: %s%s", p->file, p->at, text);
}

static bool has_type(const json_t *value, int type)
{
  switch (json_typeof(value)) {
  case JSON_STRING: return type & TEXT;
  case JSON_INTEGER: return type & (WHOLE | NUMBER);
  case JSON_REAL: return type & NUMBER;
  case JSON_TRUE:
  case JSON_FALSE: return type & FLAG;
  case JSON_OBJECT: return type & OBJECT;
  case JSON_ARRAY: return type & ARRAY;
  default: return type & NULLABLE;
  }
}

static int check_fields(const place *p, const json_t *object, const field *fields, size_t n)
{
  static const struct {
    int type;
    const char *name;
  } names[] = {{TEXT, "a text"}, {WHOLE, "a whole number"}, {NUMBER, "a number"},
               {FLAG, "a flag"}, {OBJECT, "an object"},     {ARRAY, "an array"}};
  const char *dot = p->at[0] ? "." : "";
  if (!json_is_object(object)) return refuse(p, " must be an object");
  for (size_t i = 0; i < n; i++) {
    const json_t *value = json_object_get(object, fields[i].name);
    if (!value) return refuse(p, "%s%s: is missing", dot, fields[i].name);
    if (has_type(value, fields[i].type)) continue;
    for (size_t k = 0; k < sizeof names / sizeof names[0]; k++)
      if (fields[i].type & names[k].type) return refuse(p, "%s%s: must be %s", dot, fields[i].name, names[k].name);
  }
  return CLI_GOOD;
}

static const char *text_of(const json_t *object, const char *name)
{
  return json_string_value(json_object_get(object, name));
}

static double number_of(const json_t *object, const char *name)
{
  return json_number_value(json_object_get(object, name));
}

static int64_t whole_of(const json_t *object, const char *name)
{
  return json_integer_value(json_object_get(object, name));
}

/* The name's number in a list of names, -1 if it is not there. */
static int find_name(const char *name, int n, const char *(*nth)(int))
{
  for (int i = 0; i < n; i++)
    if (strcmp(name, nth(i)) == 0) return i;
  return -1;
}
static const char *nth_inputs(int i)
{
  return fl4_inputs_name((fl4_inputs)i);
}
static const char *nth_mode(int i)
{
  return fl4_bench_mode_name((fl4_bench_mode)i);
}
static const char *nth_outcome(int i)
{
  return report_outcome_name((report_outcome)i);
}

/* Counts of the file's options, within what the library takes. */
static int read_counts(const place *p, const json_t *options, fl4_bench_options *o)
{
  const struct {
    const char *name;
    int32_t *count;
  } counts[] = {{"copies", &o->copies}, {"min_samples", &o->min_samples}, {"max_samples", &o->max_samples}};
  for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
    int64_t value = whole_of(options, counts[i].name);
    if (value < 1 || value > 1000000)
      return refuse(p, ".%s: is %lld, must be from 1 to 1000000", counts[i].name, (long long)value);
    *counts[i].count = (int32_t)value;
  }
  return CLI_GOOD;
}

static int read_options(results *r)
{
  place p = {.file = r->file, .at = "options"};
  const json_t *options = json_object_get(r->root, "options");
  int code = check_fields(&p, options, FIELDS(options_fields));
  if (code != CLI_GOOD) return code;
  fl4_bench_options *o = &r->options;
  *o = (fl4_bench_options)FL4_BENCH_OPTIONS_INIT;
  o->mode = find_name(text_of(options, "mode"), FL4_BENCH_MODE_COUNT, nth_mode);
  if (o->mode < 0) return refuse(&p, ".mode: is no mode: \"%.40s\"", text_of(options, "mode"));
  o->cold = json_is_true(json_object_get(options, "cold"));
  if (whole_of(options, "seed") < 0) return refuse(&p, ".seed: must not be negative");
  o->seed = (uint64_t)whole_of(options, "seed");
  const struct {
    const char *name;
    double *number;
  } numbers[] = {
      {"precision", &o->precision}, {"max_seconds", &o->max_seconds}, {"warmup_seconds", &o->warmup_seconds}};
  for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
    *numbers[i].number = number_of(options, numbers[i].name);
    if (*numbers[i].number <= 0) return refuse(&p, ".%s: must be above 0", numbers[i].name);
  }
  return read_counts(&p, options, o);
}

static int read_head(results *r)
{
  place p = {.file = r->file};
  const char *schema = json_is_object(r->root) ? text_of(r->root, "schema") : NULL;
  if (!schema || strcmp(schema, "flashl4-bench-1") != 0)
    return refuse(&p, "schema: is \"%.40s\", must be \"flashl4-bench-1\"", schema ? schema : "");
  int code = check_fields(&p, r->root, FIELDS(root_fields));
  if (code != CLI_GOOD) return code;

  const json_t *environment = json_object_get(r->root, "environment"), *device = json_object_get(r->root, "device");
  const json_t *limits = json_object_get(r->root, "limits");
  place in_environment = {.file = r->file, .at = "environment"}, in_device = {.file = r->file, .at = "device"};
  place in_limits = {.file = r->file, .at = "limits"};
  code = check_fields(&in_environment, environment, FIELDS(environment_fields));
  if (code == CLI_GOOD) code = check_fields(&in_device, device, FIELDS(device_fields));
  if (code == CLI_GOOD && json_is_object(limits)) code = check_fields(&in_limits, limits, FIELDS(limits_fields));
  if (code != CLI_GOOD) return code;
  r->library = text_of(environment, "library");
  r->time = text_of(environment, "time");
  r->device = text_of(device, "device");
  r->name = text_of(device, "name");
  r->isa = text_of(device, "isa");
  r->multiprocessors = whole_of(device, "multiprocessors");
  r->limits = (fl4_limits)FL4_LIMITS_INIT;
  if (!json_is_object(limits)) return CLI_GOOD;
  r->limits.mma_tflops = number_of(limits, "mma_tflops");
  r->limits.gemm_tflops = number_of(limits, "gemm_tflops");
  r->limits.read_gbps = number_of(limits, "read_gbps");
  return CLI_GOOD;
}

static int check_contenders(const results *r)
{
  const json_t *contenders = json_object_get(r->root, "contenders");
  for (size_t i = 0; i < json_array_size(contenders); i++) {
    place p = {.file = r->file};
    snprintf(p.at, sizeof p.at, "contenders[%zu]", i);
    int code = check_fields(&p, json_array_get(contenders, i), FIELDS(contender_fields));
    if (code != CLI_GOOD) return code;
    const char *name = text_of(json_array_get(contenders, i), "name");
    for (const char *c = name; *c; c++) /* it is shown in tables */
      if ((unsigned char)*c < ' ' || *c == 0x7F) return refuse(&p, ".name: holds a control character");
    if (!*name || strlen(name) >= sizeof((report_contender *)0)->name)
      return refuse(&p, ".name: must have from 1 to %zu bytes", sizeof((report_contender *)0)->name - 1);
  }
  return CLI_GOOD;
}

static int read_samples(const place *p, const json_t *object, result *row)
{
  int code = check_fields(p, object, FIELDS(timed_fields));
  if (code != CLI_GOOD) return code;
  const json_t *samples = json_object_get(object, "samples_us");
  size_t n = json_array_size(samples);
  if (n == 0) return refuse(p, ".samples_us: is empty, though the result was timed");
  row->samples = malloc(n * sizeof *row->samples);
  if (!row->samples) return cli_fail(CLI_DEVICE, "out of memory");
  for (size_t i = 0; i < n; i++) {
    const json_t *sample = json_array_get(samples, i);
    row->samples[i] = json_is_number(sample) ? json_number_value(sample) : NAN;
    if (!(row->samples[i] > 0) || !isfinite(row->samples[i]))
      return refuse(p, ".samples_us[%zu]: must be a positive number", i);
  }
  row->n = (int64_t)n;
  row->statistics = (fl4_statistics)FL4_STATISTICS_INIT;
  if (fl4_statistics_compute(row->samples, row->n, &row->statistics) != FL4_OK)
    return refuse(p, ".samples_us: %s", fl4_last_error());
  return CLI_GOOD;
}

static int find_contender(const place *p, const json_t *root, result *row)
{
  const json_t *contenders = json_object_get(root, "contenders");
  for (size_t i = 0; i < json_array_size(contenders); i++) {
    const json_t *contender = json_array_get(contenders, i);
    if (strcmp(text_of(contender, "name"), row->contender) != 0) continue;
    row->asked_variant = text_of(contender, "variant");
    row->again = strcmp(text_of(contender, "kind"), "forward") == 0 && !text_of(contender, "device") &&
                 !text_of(contender, "library_file");
    return CLI_GOOD;
  }
  return refuse(p, ".contender: \"%.64s\" is none of the contenders", row->contender);
}

static int read_problem(const place *p, result *row)
{
  fl4_problem problem = FL4_PROBLEM_INIT;
  char line[FL4_PROBLEM_LINE_MAX];
  if (fl4_problem_parse(row->problem, &problem) != FL4_OK) return refuse(p, ".problem: %s", fl4_last_error());
  if (fl4_problem_format(&problem, line, sizeof line) != FL4_OK || strcmp(line, row->problem) != 0)
    return refuse(p, ".problem: is \"%.200s\", which is written \"%s\"", row->problem, line);
  return CLI_GOOD;
}

static int read_row(const results *r, size_t index, result *row)
{
  place p = {.file = r->file};
  snprintf(p.at, sizeof p.at, "results[%zu]", index);
  const json_t *object = json_array_get(json_object_get(r->root, "results"), index);
  int code = check_fields(&p, object, FIELDS(result_fields));
  if (code != CLI_GOOD) return code;
  row->problem = text_of(object, "problem");
  row->contender = text_of(object, "contender");
  row->mode = text_of(object, "mode");
  row->variant = text_of(object, "variant");
  row->error = text_of(object, "error");
  row->cold = json_is_true(json_object_get(object, "cold"));

  const char *inputs = text_of(object, "inputs"), *outcome = text_of(object, "outcome");
  int kind = find_name(inputs, FL4_INPUTS_COUNT, nth_inputs),
      became = find_name(outcome, REPORT_N_OUTCOMES, nth_outcome);
  if (kind < 0) return refuse(&p, ".inputs: is no kind of inputs: \"%.40s\"", inputs);
  if (became < 0) return refuse(&p, ".outcome: is no outcome: \"%.40s\"", outcome);
  if (find_name(row->mode, FL4_BENCH_MODE_COUNT, nth_mode) < 0)
    return refuse(&p, ".mode: is no mode: \"%.40s\"", row->mode);
  row->inputs = (fl4_inputs)kind;
  row->outcome = (report_outcome)became;
  code = read_problem(&p, row);
  if (code == CLI_GOOD) code = find_contender(&p, r->root, row);
  if (code == CLI_GOOD && row->outcome == REPORT_TIMED) code = read_samples(&p, object, row);
  return code;
}

/* In the order of what tells results apart. */
static int by_identity(const void *a, const void *b)
{
  const result *x = *(result *const *)a, *y = *(result *const *)b;
  int order = strcmp(x->problem, y->problem);
  if (!order) order = (int)x->inputs - (int)y->inputs;
  if (!order) order = strcmp(x->contender, y->contender);
  if (!order) order = strcmp(x->mode, y->mode);
  return order ? order : (int)x->cold - (int)y->cold;
}

static int refuse_repeated(const results *r)
{
  result **sorted = calloc(r->n, sizeof *sorted);
  if (!sorted) return cli_fail(CLI_DEVICE, "out of memory");
  for (size_t i = 0; i < r->n; i++) sorted[i] = &r->rows[i];
  qsort(sorted, r->n, sizeof *sorted, by_identity);
  int code = CLI_GOOD;
  for (size_t i = 1; i < r->n && code == CLI_GOOD; i++)
    if (by_identity(&sorted[i - 1], &sorted[i]) == 0)
      code = cli_fail(CLI_UNUSABLE, "%s: results[%td] and results[%td] are of the same problem and contender", r->file,
                      sorted[i - 1] - r->rows, sorted[i] - r->rows);
  free(sorted);
  return code;
}

static int load(const char *file, json_t **root)
{
  enum { MOST_MIB = 1024 };
  struct stat info;
  json_error_t error;
  if (stat(file, &info) != 0) return cli_fail(CLI_UNUSABLE, "%s: %s", file, strerror(errno));
  if (S_ISDIR(info.st_mode)) return cli_fail(CLI_UNUSABLE, "%s: is a folder", file);
  if (info.st_size > MOST_MIB * (off_t)1048576)
    return cli_fail(CLI_UNUSABLE, "%s: is larger than %d MiB", file, MOST_MIB);
  *root = json_load_file(file, JSON_REJECT_DUPLICATES, &error);
  if (*root) return CLI_GOOD;
  if (error.line < 0) return cli_fail(CLI_UNUSABLE, "%s: %s", file, error.text);
  return cli_fail(CLI_UNUSABLE, "%s:%d:%d: %s", file, error.line, error.column, error.text);
}

int results_read(const char *file, results *r)
{
  *r = (results){.file = file};
  int code = load(file, &r->root);
  if (code == CLI_GOOD) code = read_head(r);
  if (code == CLI_GOOD) code = read_options(r);
  if (code == CLI_GOOD) code = check_contenders(r);
  if (code != CLI_GOOD) return code;
  r->n = json_array_size(json_object_get(r->root, "results"));
  if (r->n == 0) return cli_fail(CLI_UNUSABLE, "%s: results: is empty", file);
  r->rows = calloc(r->n, sizeof *r->rows);
  if (!r->rows) return cli_fail(CLI_DEVICE, "out of memory");
  for (size_t i = 0; i < r->n && code == CLI_GOOD; i++) code = read_row(r, i, &r->rows[i]);
  return code == CLI_GOOD ? refuse_repeated(r) : code;
}

void results_free(results *r)
{
  for (size_t i = 0; r->rows && i < r->n; i++) free(r->rows[i].samples);
  free(r->rows);
  json_decref(r->root);
}

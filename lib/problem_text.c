/* SPDX-License-Identifier: Apache-2.0 */
/* Problems as text and back. */
#include <errno.h>
#include <locale.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "problem.h"

/* The sizes in the order in which they are written. */
typedef struct size_name {
  const char *name;
  size_t offset; /* of the int64_t in fl4_problem */
} size_name;

enum { SIZE_B, SIZE_HQ, SIZE_HKV, SIZE_SQ, SIZE_SK, SIZE_D, N_SIZES };

static const size_name sizes[N_SIZES] = {
    [SIZE_B] = {"b", offsetof(fl4_problem, B)},       [SIZE_HQ] = {"hq", offsetof(fl4_problem, Hq)},
    [SIZE_HKV] = {"hkv", offsetof(fl4_problem, Hkv)}, [SIZE_SQ] = {"sq", offsetof(fl4_problem, Sq)},
    [SIZE_SK] = {"sk", offsetof(fl4_problem, Sk)},    [SIZE_D] = {"d", offsetof(fl4_problem, D)},
};

/* What may stand behind the sizes, in the order in which it is written. Value 0 is the default. */
enum { DTYPE, MASK, LSE, SCALE, LAYOUT, SOFTCAP, ALIBI, SINKS, BIAS, RAGGED, LENS, PAGE, INVARIANT, N_PROPERTIES };

static const struct {
  const char *what;
  size_t offset;      /* of the int32_t or float in fl4_problem */
  const char *number; /* what stands before a number; NULL: words say all */
} properties[N_PROPERTIES] = {
    [DTYPE] = {"dtype", offsetof(fl4_problem, dtype), NULL},
    [MASK] = {"mask", offsetof(fl4_problem, mask), "window="},
    [LSE] = {"lse", offsetof(fl4_problem, lse), NULL},
    [SCALE] = {"scale", offsetof(fl4_problem, scale), "scale="},
    [LAYOUT] = {"layout", offsetof(fl4_problem, layout), NULL},
    [SOFTCAP] = {"softcap", offsetof(fl4_problem, softcap), "softcap="},
    [ALIBI] = {"alibi", offsetof(fl4_problem, alibi), NULL},
    [SINKS] = {"sinks", offsetof(fl4_problem, sinks), NULL},
    [BIAS] = {"bias", offsetof(fl4_problem, bias), "bias="},
    [RAGGED] = {"ragged", offsetof(fl4_problem, ragged), NULL},
    [LENS] = {"lens", offsetof(fl4_problem, lens), NULL},
    [PAGE] = {"page", offsetof(fl4_problem, page_size), "page="},
    [INVARIANT] = {"invariant", offsetof(fl4_problem, flags), NULL},
};

static const struct {
  const char *text;
  int property;
  int32_t value;
} words[] = {
    {"fp16", DTYPE, FL4_DTYPE_FP16},
    {"bf16", DTYPE, FL4_DTYPE_BF16},
    {"fp32", DTYPE, FL4_DTYPE_FP32},
    {"causal", MASK, FL4_MASK_CAUSAL},
    {"lse", LSE, 1},
    {"bhsd", LAYOUT, FL4_LAYOUT_BHSD},
    {"bshd", LAYOUT, FL4_LAYOUT_BSHD},
    {"packed", LAYOUT, FL4_LAYOUT_PACKED},
    {"odd", LAYOUT, FL4_LAYOUT_ODD},
    {"alibi", ALIBI, 1},
    {"sinks", SINKS, 1},
    {"ragged", RAGGED, FL4_LENGTHS_DRAWN},
    {"ragged=full", RAGGED, FL4_LENGTHS_FULL},
    {"ragged=one", RAGGED, FL4_LENGTHS_ONE},
    {"lens", LENS, FL4_LENGTHS_DRAWN},
    {"lens=full", LENS, FL4_LENGTHS_FULL},
    {"lens=one", LENS, FL4_LENGTHS_ONE},
    {"invariant", INVARIANT, FL4_BATCH_INVARIANT},
};
enum { N_WORDS = sizeof words / sizeof words[0] };

/* Behind "bias=", in the order of fl4_bias_type; and the dimensions, in that of fl4_problem.bias_shared's bits. */
static const char *const bias_types[] = {"fp16", "bf16", "fp32", "bool"};
static const char bias_dims[] = "bhij";

enum { MAX_SIZE = FL4__PROBLEM_MAX_SIZE };

#define SIZES_ALLOWED "sizes are b hq hkv sq sk d"
#define WORDS_ALLOWED                                                                                                  \
  "behind the sizes go fp16 bf16 fp32 causal window=L,R lse scale=X bhsd bshd packed odd softcap=X alibi sinks "       \
  "bias=TYPE ragged lens page=N invariant"

static int64_t *size_field(fl4_problem *problem, int size)
{
  return (int64_t *)(void *)((char *)problem + sizes[size].offset);
}

static int32_t *property_field(fl4_problem *problem, int property)
{
  return (int32_t *)(void *)((char *)problem + properties[property].offset);
}

static float *float_field(fl4_problem *problem, int property)
{
  return (float *)(void *)((char *)problem + properties[property].offset);
}

/* Numbers with a point whatever the program's locale is. */

static float read_float(const char *text, char **end)
{
  locale_t c = newlocale(LC_ALL_MASK, "C", (locale_t)0), before = uselocale(c);
  float value = strtof(text, end);
  uselocale(before);
  freelocale(c);
  return value;
}

static int write_float(char *text, size_t size, const char *name, float value)
{
  locale_t c = newlocale(LC_ALL_MASK, "C", (locale_t)0), before = uselocale(c);
  int length = snprintf(text, size, ":%s%.9g", name, (double)value); /* 9 digits bring any float back */
  uselocale(before);
  freelocale(c);
  return length;
}

/* Parsing */

typedef struct parser {
  const char *line, *at; /* the whole, and what is still to be read */
  fl4_problem problem;
  bool have_size[N_SIZES], have_property[N_PROPERTIES];
} parser;

/* The sentence names the line and ends with its own words about the place. */
#define PARSE_FAIL(parser, format, ...)                                                                                \
  fl4__fail(FL4_INVALID_ARGUMENT, "fl4_problem_parse: \"%s\": " format, (parser)->line, __VA_ARGS__)

static int column(const parser *s, const char *at)
{
  return (int)(at - s->line) + 1;
}

static bool same(const char *text, size_t length, const char *word)
{
  return strlen(word) == length && memcmp(text, word, length) == 0;
}

/* One letter group and its number: "hq32". */
static fl4_status parse_size(parser *s)
{
  const char *name = s->at;
  size_t length = strspn(name, "abcdefghijklmnopqrstuvwxyz");
  if (length == 0) return PARSE_FAIL(s, "unexpected '%c' at column %d; " SIZES_ALLOWED, *name, column(s, name));
  int size = 0;
  while (size < N_SIZES && !same(name, length, sizes[size].name)) size++;
  if (size == N_SIZES)
    return PARSE_FAIL(s, "unknown size '%.*s' at column %d; " SIZES_ALLOWED, (int)length, name, column(s, name));
  if (s->have_size[size])
    return PARSE_FAIL(s, "size '%s' a second time at column %d", sizes[size].name, column(s, name));

  const char *number = name + length, *digits = number + (*number == '-');
  size_t n_digits = strspn(digits, "0123456789");
  if (n_digits == 0) return PARSE_FAIL(s, "size '%s' needs a number at column %d", sizes[size].name, column(s, number));
  errno = 0;
  long long value = strtoll(number, NULL, 10);
  if (errno == ERANGE)
    return PARSE_FAIL(s, "number out of range at column %d; at most %d", column(s, number), MAX_SIZE);
  *size_field(&s->problem, size) = value;
  s->have_size[size] = true;
  s->at = digits + n_digits;
  return FL4_OK;
}

/* What stands behind the "=" of a word, for messages and for what is to be done with it. */
typedef struct number_text {
  const char *name;     /* "scale" */
  const char *at, *end; /* the number, and the end of the word */
} number_text;

static fl4_status parse_float(parser *s, const number_text *t, float *to)
{
  char *end;
  /* Only plain decimal numbers: strtof would also take blanks, hexadecimal, infinities and NaN. */
  size_t plain = strspn(t->at, "0123456789.eE+-");
  errno = 0;
  float value = read_float(t->at, &end);
  if (plain == 0 || t->at + plain != t->end || end != t->end)
    return PARSE_FAIL(s, "%s needs a number at column %d, as in %s=0.125", t->name, column(s, t->at), t->name);
  /* Denormals set ERANGE too, and are fine. */
  if (!isfinite(value) || (errno == ERANGE && value == 0))
    return PARSE_FAIL(s, "%s out of range at column %d, must be a finite fp32 number", t->name, column(s, t->at));
  *to = value == 0 ? 0 : value; /* no negative zero */
  return FL4_OK;
}

/* A whole number, all of at … end − 1. Its range is left to validation. */
static bool parse_whole(const char *at, const char *end, int64_t *value)
{
  const char *digits = at + (*at == '-');
  size_t n = strspn(digits, "0123456789");
  if (n == 0 || n > 10 || digits + n != end) return false; /* 10 digits are more than any size has */
  *value = strtoll(at, NULL, 10);
  return true;
}

static fl4_status parse_window(parser *s, const number_text *t)
{
  const char *comma = t->at + strcspn(t->at, ",:"), *right = comma + (*comma == ',');
  if (!parse_whole(t->at, comma, &s->problem.window_left) || !parse_whole(right, t->end, &s->problem.window_right))
    return PARSE_FAIL(s, "window needs two numbers at column %d, as in window=1023,0; -1 is all keys",
                      column(s, t->at));
  s->problem.mask = FL4_MASK_WINDOW;
  return FL4_OK;
}

static fl4_status parse_page(parser *s, const number_text *t)
{
  int64_t value = 0;
  if (!parse_whole(t->at, t->end, &value) || value < 1 || value > MAX_SIZE)
    return PARSE_FAIL(s, "page needs a power of two at column %d, as in page=16", column(s, t->at));
  s->problem.page_size = (int32_t)value;
  return FL4_OK;
}

/* "fp16", or "fp16/ij": then the dimensions that are not named share. */
static fl4_status parse_bias(parser *s, const number_text *t)
{
  const size_t length = strcspn(t->at, "/:");
  const char *dim = t->at + length;
  int type = 0, missing = 0;
  while (type < 4 && !same(t->at, length, bias_types[type])) type++;
  if (*dim == '/') {
    dim++;
    for (int i = 0; i < 4; i++)
      if (*dim == bias_dims[i])
        dim++;
      else
        missing |= 1 << i;
  }
  if (type == 4 || dim != t->end || missing == 15)
    return PARSE_FAIL(s,
                      "bias needs fp16, bf16, fp32 or bool at column %d, and may name its dimensions, of bhij in this "
                      "order, as in bias=fp16/ij",
                      column(s, t->at));
  s->problem.bias = 1 + type;
  s->problem.bias_shared = missing;
  return FL4_OK;
}

static fl4_status parse_number(parser *s, int property, const number_text *t)
{
  switch (property) {
  case MASK: return parse_window(s, t);
  case BIAS: return parse_bias(s, t);
  case PAGE: return parse_page(s, t);
  default: return parse_float(s, t, float_field(&s->problem, property));
  }
}

/* The property whose number a word gives, or N_PROPERTIES. */
static int numbered(const char *text)
{
  int i = 0;
  while (i < N_PROPERTIES &&
         (!properties[i].number || strncmp(text, properties[i].number, strlen(properties[i].number)) != 0))
    i++;
  return i;
}

/* One word behind a colon. */
static fl4_status parse_word(parser *s)
{
  const char *text = s->at;
  size_t length = strcspn(text, ":");
  int property = numbered(text), word = 0;
  const bool number = property < N_PROPERTIES;
  if (length == 0) return PARSE_FAIL(s, "nothing between colons at column %d; " WORDS_ALLOWED, column(s, text));
  while (!number && word < N_WORDS && !same(text, length, words[word].text)) word++;
  if (word == N_WORDS)
    return PARSE_FAIL(s, "unknown word '%.*s' at column %d; " WORDS_ALLOWED, (int)length, text, column(s, text));

  if (!number) property = words[word].property;
  if (s->have_property[property])
    return PARSE_FAIL(s, "'%.*s' at column %d gives the %s a second time", (int)length, text, column(s, text),
                      properties[property].what);
  s->have_property[property] = true;
  s->at = text + length;
  if (!number) return *property_field(&s->problem, property) = words[word].value, FL4_OK;
  const number_text t = {property == MASK ? "window" : properties[property].what,
                         text + strlen(properties[property].number), text + length};
  return parse_number(s, property, &t);
}

/* What the caller's struct has no room for must be 0, or parts of the line would be lost unseen. */
static fl4_status give(fl4_problem *problem, const fl4_problem *valid)
{
  for (size_t i = problem->struct_size; i < sizeof *valid; i++)
    if (((const unsigned char *)valid)[i])
      return fl4__fail(FL4_INVALID_ARGUMENT, "fl4_problem.struct_size: is %zu, must be %zu for what the line has",
                       problem->struct_size, sizeof *valid);
  fl4__struct_write(problem, valid, sizeof *valid);
  return FL4_OK;
}

fl4_status fl4_problem_parse(const char *line, fl4_problem *problem)
{
  if (!line) return fl4__fail(FL4_INVALID_ARGUMENT, "fl4_problem_parse: line: is NULL, must be a problem line");
  if (!problem)
    return fl4__fail(FL4_INVALID_ARGUMENT, "fl4_problem_parse: problem: is NULL, must point to an fl4_problem");
  /* All fields of the first release must find room. */
  if (problem->struct_size < offsetof(fl4_problem, window_left) || problem->struct_size > 65536)
    return fl4__fail(FL4_INVALID_ARGUMENT,
                     "fl4_problem.struct_size: is %zu, must be sizeof(fl4_problem) (use its FL4_..._INIT)",
                     problem->struct_size);
  if (strnlen(line, FL4_PROBLEM_LINE_MAX) == FL4_PROBLEM_LINE_MAX)
    return fl4__fail(FL4_INVALID_ARGUMENT, "fl4_problem_parse: \"%.40s…\": line is too long, at most %d characters",
                     line, FL4_PROBLEM_LINE_MAX - 1);

  parser s = {.line = line, .at = line, .problem = FL4_PROBLEM_INIT};
  while (*s.at && *s.at != ':') FL4_TRY(parse_size(&s));
  while (*s.at) {
    s.at++; /* the colon */
    FL4_TRY(parse_word(&s));
  }

  static const int needed[] = {SIZE_HQ, SIZE_SQ, SIZE_D};
  for (int i = 0; i < 3; i++)
    if (!s.have_size[needed[i]])
      return PARSE_FAIL(&s, "size '%s' is missing; hq, sq and d must be there", sizes[needed[i]].name);
  if (!s.have_size[SIZE_B]) s.problem.B = 1;
  if (!s.have_size[SIZE_HKV]) s.problem.Hkv = s.problem.Hq;
  if (!s.have_size[SIZE_SK]) s.problem.Sk = s.problem.Sq;

  fl4_problem valid;
  fl4_status status = fl4__problem_validate(&s.problem, &valid);
  if (status == FL4_OK) status = give(problem, &valid);
  return status == FL4_OK ? FL4_OK : fl4__fail_context(status, "fl4_problem_parse: \"%s\"", line);
}

/* Formatting */

static const char *word_of(int property, int32_t value)
{
  for (int i = 0; i < N_WORDS; i++)
    if (words[i].property == property && words[i].value == value) return words[i].text;
  return "?";
}

static int write_bias(char *text, size_t size, const fl4_problem *p)
{
  char dims[8] = "";
  int n = 0;
  for (int i = 0; p->bias_shared && i < 4; i++) {
    if (n == 0) dims[n++] = '/';
    if (!(p->bias_shared >> i & 1)) dims[n++] = bias_dims[i];
  }
  return snprintf(text, size, ":bias=%s%s", bias_types[p->bias - 1], dims);
}

/* One property, unless it is the default. */
static int write_property(char *text, size_t size, fl4_problem *p, int property)
{
  const int32_t value = *property_field(p, property);
  if (property == SCALE || property == SOFTCAP) {
    const float number = *float_field(p, property);
    return number != 0 ? write_float(text, size, properties[property].number, number) : 0;
  }
  if (value == 0) return 0;
  if (property == BIAS) return write_bias(text, size, p);
  if (property == PAGE) return snprintf(text, size, ":page=%d", value);
  if (property == MASK && value == FL4_MASK_WINDOW)
    return snprintf(text, size, ":window=%lld,%lld", (long long)p->window_left, (long long)p->window_right);
  return snprintf(text, size, ":%s", word_of(property, value));
}

fl4_status fl4_problem_format(const fl4_problem *problem, char *buffer, size_t size)
{
  if (!buffer) return fl4__fail(FL4_INVALID_ARGUMENT, "fl4_problem_format: buffer: is NULL, must receive the line");
  if (size == 0) return fl4__fail(FL4_INVALID_ARGUMENT, "fl4_problem_format: size: is 0, must be at least 1");
  buffer[0] = '\0';
  fl4_problem p;
  FL4_TRY(fl4__problem_validate(problem, &p));

  char line[FL4_PROBLEM_LINE_MAX];
  int length = 0;
  for (int i = 0; i < N_SIZES; i++) {
    bool implied = (i == SIZE_B && p.B == 1) || (i == SIZE_HKV && p.Hkv == p.Hq) || (i == SIZE_SK && p.Sk == p.Sq);
    if (!implied)
      length +=
          snprintf(line + length, sizeof line - (size_t)length, "%s%lld", sizes[i].name, (long long)*size_field(&p, i));
  }
  for (int i = 0; i < N_PROPERTIES; i++) length += write_property(line + length, sizeof line - (size_t)length, &p, i);
  if ((size_t)length >= size)
    return fl4__fail(FL4_INVALID_ARGUMENT, "fl4_problem_format: size: is %zu, must be at least %d for this problem",
                     size, length + 1);
  memcpy(buffer, line, (size_t)length + 1);
  return FL4_OK;
}

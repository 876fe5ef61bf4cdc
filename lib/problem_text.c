/* SPDX-License-Identifier: Apache-2.0 */
/* Problems as text and back, their validation, and how much work they are. */
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
enum { DTYPE, MASK, LSE, SCALE, LAYOUT, N_PROPERTIES };

static const struct {
  const char *what;
  size_t offset; /* of the int32_t in fl4_problem; not used for the scale */
} properties[N_PROPERTIES] = {
    [DTYPE] = {"dtype", offsetof(fl4_problem, dtype)},    [MASK] = {"mask", offsetof(fl4_problem, mask)},
    [LSE] = {"lse", offsetof(fl4_problem, lse)},          [SCALE] = {"scale", offsetof(fl4_problem, scale)},
    [LAYOUT] = {"layout", offsetof(fl4_problem, layout)},
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
};
enum { N_WORDS = sizeof words / sizeof words[0] };

#define SIZES_ALLOWED "sizes are b hq hkv sq sk d"
#define WORDS_ALLOWED "behind the sizes go fp16 bf16 fp32 causal lse scale=X bhsd bshd packed odd"

static int64_t *size_field(fl4_problem *problem, int size)
{
  return (int64_t *)(void *)((char *)problem + sizes[size].offset);
}

static int32_t *property_field(fl4_problem *problem, int property)
{
  return (int32_t *)(void *)((char *)problem + properties[property].offset);
}

const char *fl4__dtype_name(int dtype)
{
  return dtype == FL4_DTYPE_FP16 ? "fp16" : dtype == FL4_DTYPE_BF16 ? "bf16" : dtype == FL4_DTYPE_FP32 ? "fp32" : "?";
}

int fl4__dtype_size(int dtype)
{
  return dtype == FL4_DTYPE_FP16 || dtype == FL4_DTYPE_BF16 ? 2 : dtype == FL4_DTYPE_FP32 ? 4 : 0;
}

/* Validation */

/* Kernels count rows and keys in 32 bits, with room for a tile beyond the end. */
enum { MAX_SIZE = INT32_MAX / 2 };

#define INVALID(...) fl4__fail(FL4_INVALID_ARGUMENT, "fl4_problem." __VA_ARGS__)

static fl4_status check_size(const char *field, int64_t value, int64_t least)
{
  if (value < least || value > MAX_SIZE)
    return INVALID("%s: is %lld, must be from %lld to %d", field, (long long)value, (long long)least, MAX_SIZE);
  return FL4_OK;
}

/* All tensors of the problem together, with the odd layout's gaps, must be countable in bytes. */
static bool countable(const fl4_problem *p)
{
  int64_t elements = fl4__max64(p->Sq, p->Sk);
  return !__builtin_mul_overflow(elements, p->D + 1, &elements) &&
         !__builtin_mul_overflow(elements, 2 * p->Hq + 2 * p->Hkv, &elements) &&
         !__builtin_mul_overflow(elements, p->B, &elements) && elements <= INT64_MAX / 16;
}

fl4_status fl4__problem_validate(const fl4_problem *problem, fl4_problem *copy)
{
  if (!problem) return fl4__fail(FL4_INVALID_ARGUMENT, "problem: is NULL, must point to an fl4_problem");
  FL4_TRY(fl4__struct_read(copy, sizeof *copy, problem, "fl4_problem"));
  const fl4_problem *p = copy;

  if (p->dtype < FL4_DTYPE_FP16 || p->dtype > FL4_DTYPE_FP32)
    return INVALID("dtype: is %d, must be FL4_DTYPE_FP16, FL4_DTYPE_BF16 or FL4_DTYPE_FP32", p->dtype);
  if (p->mask != FL4_MASK_NONE && p->mask != FL4_MASK_CAUSAL)
    return INVALID("mask: is %d, must be FL4_MASK_NONE or FL4_MASK_CAUSAL", p->mask);
  if (p->layout < FL4_LAYOUT_BHSD || p->layout > FL4_LAYOUT_ODD)
    return INVALID("layout: is %d, must be FL4_LAYOUT_BHSD, _BSHD, _PACKED or _ODD", p->layout);
  if (p->lse != 0 && p->lse != 1) return INVALID("lse: is %d, must be 0 or 1", p->lse);

  FL4_TRY(check_size("B", p->B, 0));
  FL4_TRY(check_size("Hq", p->Hq, 1));
  FL4_TRY(check_size("Hkv", p->Hkv, 1));
  FL4_TRY(check_size("Sq", p->Sq, 0));
  FL4_TRY(check_size("Sk", p->Sk, 0));
  if (p->D < 8 || p->D > 256 || p->D % 8 != 0)
    return INVALID("D: is %lld, must be a multiple of 8 from 8 to 256", (long long)p->D);
  if (p->Hq % p->Hkv != 0)
    return INVALID("Hkv: is %lld, must divide Hq, which is %lld", (long long)p->Hkv, (long long)p->Hq);
  if (p->layout == FL4_LAYOUT_PACKED && p->Sq != p->Sk)
    return INVALID("layout: is FL4_LAYOUT_PACKED, which needs Sq = Sk; they are %lld and %lld", (long long)p->Sq,
                   (long long)p->Sk);
  if (!countable(p)) return INVALID("B: is %lld, must be less: the tensors' size overflows", (long long)p->B);
  if (!isfinite(p->scale)) return INVALID("scale: is %g, must be finite; 0 is 1/sqrt(D)", (double)p->scale);

  if (p->reserved0 != 0) return INVALID("reserved0: is %u, must be 0", (unsigned)p->reserved0);
  for (int i = 0; i < 4; i++)
    if (p->reserved[i] != 0) return INVALID("reserved[%d]: is %llu, must be 0", i, (unsigned long long)p->reserved[i]);
  return FL4_OK;
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

static int write_float(char *text, size_t size, float value)
{
  locale_t c = newlocale(LC_ALL_MASK, "C", (locale_t)0), before = uselocale(c);
  int length = snprintf(text, size, ":scale=%.9g", (double)value); /* 9 digits bring any float back */
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

static fl4_status parse_scale(parser *s, const char *text, size_t length)
{
  const char *number = text + strlen("scale=");
  char *end;
  /* Only plain decimal numbers: strtof would also take blanks, hexadecimal, infinities and NaN. */
  size_t plain = strspn(number, "0123456789.eE+-");
  errno = 0;
  float value = read_float(number, &end);
  if (plain == 0 || number + plain != text + length || end != text + length)
    return PARSE_FAIL(s, "scale needs a number at column %d, as in scale=0.125", column(s, number));
  /* Denormals set ERANGE too, and are fine. */
  if (!isfinite(value) || (errno == ERANGE && value == 0))
    return PARSE_FAIL(s, "scale out of range at column %d, must be a finite fp32 number", column(s, number));
  s->problem.scale = value == 0 ? 0 : value; /* no negative zero */
  return FL4_OK;
}

/* One word behind a colon. */
static fl4_status parse_word(parser *s)
{
  const char *text = s->at;
  size_t length = strcspn(text, ":");
  bool scale = strncmp(text, "scale=", strlen("scale=")) == 0;
  int word = 0;
  if (length == 0) return PARSE_FAIL(s, "nothing between colons at column %d; " WORDS_ALLOWED, column(s, text));
  while (!scale && word < N_WORDS && !same(text, length, words[word].text)) word++;
  if (word == N_WORDS)
    return PARSE_FAIL(s, "unknown word '%.*s' at column %d; " WORDS_ALLOWED, (int)length, text, column(s, text));

  int property = scale ? SCALE : words[word].property;
  if (s->have_property[property])
    return PARSE_FAIL(s, "'%.*s' at column %d gives the %s a second time", (int)length, text, column(s, text),
                      properties[property].what);
  s->have_property[property] = true;
  s->at = text + length;
  if (scale) return parse_scale(s, text, length);
  *property_field(&s->problem, property) = words[word].value;
  return FL4_OK;
}

fl4_status fl4_problem_parse(const char *line, fl4_problem *problem)
{
  if (!line) return fl4__fail(FL4_INVALID_ARGUMENT, "fl4_problem_parse: line: is NULL, must be a problem line");
  if (!problem)
    return fl4__fail(FL4_INVALID_ARGUMENT, "fl4_problem_parse: problem: is NULL, must point to an fl4_problem");
  /* All fields of the first release must find room, or parts of the line would be lost unseen. */
  if (problem->struct_size < sizeof(fl4_problem) || problem->struct_size > 65536)
    return INVALID("struct_size: is %zu, must be sizeof(fl4_problem) (use its FL4_..._INIT)", problem->struct_size);
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
  if (status != FL4_OK) return fl4__fail_context(status, "fl4_problem_parse: \"%s\"", line);
  fl4__struct_write(problem, &valid, sizeof valid);
  return FL4_OK;
}

/* Formatting */

static const char *word_of(int property, int32_t value)
{
  for (int i = 0; i < N_WORDS; i++)
    if (words[i].property == property && words[i].value == value) return words[i].text;
  return "?";
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
  for (int i = 0; i < N_PROPERTIES; i++) {
    if (i == SCALE && p.scale != 0)
      length += write_float(line + length, sizeof line - (size_t)length, p.scale);
    else if (i != SCALE && *property_field(&p, i) != 0)
      length += snprintf(line + length, sizeof line - (size_t)length, ":%s", word_of(i, *property_field(&p, i)));
  }
  if ((size_t)length >= size)
    return fl4__fail(FL4_INVALID_ARGUMENT, "fl4_problem_format: size: is %zu, must be at least %d for this problem",
                     size, length + 1);
  memcpy(buffer, line, (size_t)length + 1);
  return FL4_OK;
}

double fl4_problem_flops(const fl4_problem *problem)
{
  fl4_problem p;
  if (fl4__problem_validate(problem, &p) != FL4_OK) return 0;
  double pairs = (double)p.Sq * (double)p.Sk;
  if (p.mask == FL4_MASK_CAUSAL) {
    /* Only the last n rows see keys; the last of all sees Sk, each one above it one less. */
    double n = (double)fl4__min64(p.Sq, p.Sk);
    pairs = n * (double)p.Sk - n * (n - 1) / 2;
  }
  return 4.0 * (double)p.D * (double)p.B * (double)p.Hq * pairs;
}

double fl4_problem_bytes(const fl4_problem *problem)
{
  fl4_problem p;
  if (fl4__problem_validate(problem, &p) != FL4_OK) return 0;
  const double rows = (double)p.B * (double)p.Hq * (double)p.Sq;  /* of Q and of O */
  const double keys = (double)p.B * (double)p.Hkv * (double)p.Sk; /* of K and of V */
  return 2 * (rows + keys) * (double)p.D * fl4__dtype_size(p.dtype) + (p.lse ? 4 * rows : 0);
}

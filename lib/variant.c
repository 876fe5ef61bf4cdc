/* SPDX-License-Identifier: Apache-2.0 */
/* Variants as text, as compiler options and as the key of a build. Knows no family by name. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "variant.h"

/* A text that grows in a fixed buffer and is cut off at its end. */
typedef struct text_buffer {
  char *text;
  size_t size, length;
} text_buffer;

__attribute__((format(printf, 2, 3))) static void append(text_buffer *b, const char *format, ...)
{
  va_list args;
  va_start(args, format);
  int n = vsnprintf(b->text + b->length, b->size - b->length, format, args);
  va_end(args);
  if (n > 0) b->length += (size_t)n < b->size - b->length ? (size_t)n : b->size - b->length - 1;
}

static bool same(const char *text, size_t length, const char *word)
{
  return strlen(word) == length && memcmp(text, word, length) == 0;
}

static int find_param(const fl4__family *family, const char *name, size_t length)
{
  for (int i = 0; i < family->n_params; i++)
    if (same(name, length, family->params[i].name)) return i;
  return -1;
}

/* Reading */

static fl4_status fail_family(const char *text, size_t length)
{
  char list[256] = "";
  text_buffer b = {list, sizeof list, 0};
  for (int i = 0; fl4__families[i]; i++) append(&b, " %s", fl4__families[i]->name);
  return fl4__fail(FL4_INVALID_ARGUMENT, "variant \"%s\": unknown family '%.*s'; families are%s", text, (int)length,
                   text, list);
}

static fl4_status fail_param(const char *text, const fl4__family *family, const char *name, size_t length)
{
  char list[256] = "";
  text_buffer b = {list, sizeof list, 0};
  for (int i = 0; i < family->n_params; i++) append(&b, " %s", family->params[i].name);
  return fl4__fail(FL4_INVALID_ARGUMENT, "variant \"%s\": %s has no parameter '%.*s'; it has%s", text, family->name,
                   (int)length, name, list);
}

static fl4_status fail_value(const char *text, const fl4__param *param, const char *value, size_t length)
{
  char list[256] = "";
  text_buffer b = {list, sizeof list, 0};
  for (int i = 0; i < param->n_values; i++) append(&b, " %d", param->values[i]);
  return fl4__fail(FL4_INVALID_ARGUMENT, "variant \"%s\": parameter '%s' is '%.*s', must be one of%s", text,
                   param->name, (int)length, value, list);
}

/* A number of the table, all of text[0 … length). */
static bool parse_value(const fl4__param *param, const char *text, size_t length, int32_t *value)
{
  char *end;
  if (length == 0 || text[0] < '0' || text[0] > '9') return false; /* strtol would skip blanks and signs */
  errno = 0;
  long number = strtol(text, &end, 10);
  if (errno == ERANGE || end != text + length) return false;
  for (int i = 0; i < param->n_values; i++)
    if (param->values[i] == number) return *value = param->values[i], true;
  return false;
}

fl4_status fl4__variant_parse(const char *text, fl4__variant *variant)
{
  fl4__variant v;
  memset(&v, 0, sizeof v);
  size_t length = strcspn(text, ":");
  for (int i = 0; fl4__families[i] && !v.family; i++)
    if (same(text, length, fl4__families[i]->name)) v.family = fl4__families[i];
  if (!v.family) return fail_family(text, length);

  for (int i = 0; i < v.family->n_params; i++) v.value[i] = FL4__UNSET;
  for (const char *at = text + length; *at;) {
    const char *name = ++at; /* behind the colon or comma */
    size_t name_length = strcspn(name, "=,");
    int param = find_param(v.family, name, name_length);
    if (param < 0) return fail_param(text, v.family, name, name_length);
    const char *value = name + name_length + (name[name_length] == '=');
    size_t value_length = strcspn(value, ",");
    if (v.value[param] != FL4__UNSET)
      return fl4__fail(FL4_INVALID_ARGUMENT, "variant \"%s\": parameter '%.*s' is given twice", text, (int)name_length,
                       name);
    if (name[name_length] != '=' || !parse_value(&v.family->params[param], value, value_length, &v.value[param]))
      return fail_value(text, &v.family->params[param], value, name[name_length] == '=' ? value_length : 0);
    at = value + value_length;
  }
  *variant = v;
  return FL4_OK;
}

/* Writing. What is not set is left out, so that what was parsed comes back. */
void fl4__variant_format(const fl4__variant *variant, char text[FL4__VARIANT_TEXT])
{
  const fl4__family *family = variant->family;
  text_buffer b = {text, FL4__VARIANT_TEXT, 0};
  text[0] = '\0';
  append(&b, "%s", family->name);
  char separator = ':';
  for (int i = 0; i < family->n_params; i++) {
    if (variant->value[i] == FL4__UNSET) continue;
    append(&b, "%c%s=%d", separator, family->params[i].name, (int)variant->value[i]);
    separator = ',';
  }
}

int fl4__variant_get(const fl4__variant *variant, const char *name)
{
  int param = find_param(variant->family, name, strlen(name));
  return param < 0 ? 0 : variant->value[param];
}

int fl4__launch_registers(const fl4__variant *variant)
{
  return variant->family->launch_registers ? variant->family->launch_registers(variant) : 0;
}

/* Builds */

bool fl4__skips(const fl4__variant *variant, const fl4__problem *problem)
{
  return variant->family->takes_lists && problem->skips;
}

void fl4__build_from(const fl4__variant *variant, const fl4__problem *problem, bool debug, fl4__build *build)
{
  memset(build, 0, sizeof *build);
  build->variant = *variant;
  build->dtype = problem->dtype;
  build->D = (int32_t)problem->D;
  build->mask = problem->mask;
  build->aligned = problem->aligned != 0;
  build->lse = problem->lse != 0;
  build->debug = debug;
  build->features = problem->features;
  build->bias_type = problem->bias_type;
  build->skips = fl4__skips(variant, problem);
}

int fl4__build_options(const fl4__build *build, char options[FL4__MAX_OPTIONS][FL4__OPTION_TEXT])
{
  const fl4__family *family = build->variant.family;
  int n = 0;
  for (int i = 0; i < family->n_params; i++, n++) {
    char name[FL4__OPTION_TEXT / 2] = "";
    /* Not toupper(): kernels' names do not depend on the program's locale. */
    for (size_t k = 0; family->params[i].name[k] && k + 1 < sizeof name; k++) {
      char c = family->params[i].name[k];
      name[k] = c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c;
    }
    snprintf(options[n], FL4__OPTION_TEXT, "-DFL4_%s=%d", name, (int)build->variant.value[i]);
  }
  snprintf(options[n++], FL4__OPTION_TEXT, "-DFL4_D=%d", (int)build->D);
  snprintf(options[n++], FL4__OPTION_TEXT, "-DFL4_BF16=%d", build->dtype == FL4_DTYPE_BF16);
  snprintf(options[n++], FL4__OPTION_TEXT, "-DFL4_CAUSAL=%d", build->mask == FL4_MASK_CAUSAL);
  snprintf(options[n++], FL4__OPTION_TEXT, "-DFL4_ALIGNED=%d", build->aligned != 0);
  snprintf(options[n++], FL4__OPTION_TEXT, "-DFL4_LSE=%d", build->lse != 0);
  snprintf(options[n++], FL4__OPTION_TEXT, "-DFL4_DEBUG=%d", build->debug != 0);
  /* Only what is there: kernels of dense attention are named as ever. */
#define OPTION(name, bit, macro, text)                                                                                 \
  if (build->features & FL4__FEATURE_##name)                                                                           \
    snprintf(options[n++], FL4__OPTION_TEXT, "-DFL4_" macro "=%d",                                                     \
             FL4__FEATURE_##name == FL4__FEATURE_BIAS ? 1 + (int)build->bias_type : 1);
  FL4__FEATURE_MAP(OPTION)
#undef OPTION
  if (build->skips) snprintf(options[n++], FL4__OPTION_TEXT, "-DFL4_SKIP=1");
  return n;
}

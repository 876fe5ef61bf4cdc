/* SPDX-License-Identifier: Apache-2.0 */
/* Problems from a YAML file; docs/shapes.md describes it. What is wrong is said with line and column. */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "problems.h"

enum { MAX_FILE = 16 << 20, MAX_NOTE = 200 };

#define TOP_ALLOWED "must be a mapping with problems, include or both, and defaults"
#define AXES_ALLOWED                                                                                                   \
  "axes are b hq hkv sq sk d dtype mask lse scale layout softcap alibi sinks bias ragged lens page invariant"

typedef struct reader {
  const char *path;
  const fl4_device_info *device;
  yaml_document_t document;
  cli_problems *problems;
} reader;

/* Messages */

static void make_where(const reader *r, yaml_mark_t mark, char where[512])
{
  snprintf(where, 512, "%.400s:%zu:%zu", r->path, mark.line + 1, mark.column + 1);
}

__attribute__((format(printf, 3, 4))) static int fail_at(const reader *r, yaml_mark_t mark, const char *format, ...)
{
  char where[512], words[512];
  va_list args;
  va_start(args, format);
  vsnprintf(words, sizeof words, format, args);
  va_end(args);
  make_where(r, mark, where);
  return cli_fail(CLI_UNUSABLE, "%s: %s", where, words);
}

#define FAIL(r, node, ...) fail_at(r, (node)->start_mark, __VA_ARGS__)

/* Nodes */

static yaml_node_t *node_at(reader *r, int index)
{
  return yaml_document_get_node(&r->document, index);
}

/* A scalar's text, NULL if there is none or it holds characters that would garble a terminal or a table. */
static const char *text_of(const yaml_node_t *node)
{
  if (node->type != YAML_SCALAR_NODE) return NULL;
  const unsigned char *text = node->data.scalar.value;
  for (size_t i = 0; i < node->data.scalar.length; i++)
    if (text[i] < 0x20 || text[i] == 0x7f) return NULL;
  return (const char *)text;
}

/* What stands there, for a message; at most 40 bytes of it. */
static const char *shown(const yaml_node_t *node, char buffer[48])
{
  const char *text = text_of(node);
  if (node->type == YAML_SEQUENCE_NODE) return "a list";
  if (node->type == YAML_MAPPING_NODE) return "a mapping";
  if (!text) return "a text with control characters";
  if (!*text) return "empty";
  size_t n = strlen(text), most = 40;
  while (n > most && ((unsigned char)text[most] & 0xC0) == 0x80) most--; /* no half characters */
  snprintf(buffer, 48, "\"%.*s%s\"", (int)(n > most ? most : n), text, n > most ? "…" : "");
  return buffer;
}

static bool is_plain(const yaml_node_t *node)
{
  return node->type == YAML_SCALAR_NODE && node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
}

/* A value and a list of values read alike. */
static size_t length_of(const yaml_node_t *node)
{
  if (node->type != YAML_SEQUENCE_NODE) return 1;
  return (size_t)(node->data.sequence.items.top - node->data.sequence.items.start);
}

static yaml_node_t *item_of(reader *r, yaml_node_t *node, size_t i)
{
  return node->type == YAML_SEQUENCE_NODE ? node_at(r, node->data.sequence.items.start[i]) : node;
}

/* Tags other than those that every untagged node gets could change what a value means. */
static int check_tags(const reader *r)
{
  static const char *const plain[] = {
      [YAML_SCALAR_NODE] = YAML_STR_TAG, [YAML_SEQUENCE_NODE] = YAML_SEQ_TAG, [YAML_MAPPING_NODE] = YAML_MAP_TAG};
  for (const yaml_node_t *node = r->document.nodes.start; node < r->document.nodes.top; node++)
    if (node->type != YAML_NO_NODE && strcmp((const char *)node->tag, plain[node->type]) != 0)
      return FAIL(r, node, "has a tag; tags are not supported");
  return CLI_GOOD;
}

/* Gives each pair's key, as an index into `names`, and value to `take`. */
typedef int take_pair(reader *r, void *into, int key, yaml_node_t *value);

static int read_mapping(reader *r, const yaml_node_t *mapping, const char *const *names, int n, const char *allowed,
                        take_pair *take, void *into)
{
  char buffer[48];
  unsigned seen = 0;
  for (const yaml_node_pair_t *pair = mapping->data.mapping.pairs.start; pair < mapping->data.mapping.pairs.top;
       pair++) {
    const yaml_node_t *key = node_at(r, pair->key);
    const char *text = text_of(key);
    int i = 0;
    while (i < n && (!text || strcmp(text, names[i]) != 0)) i++;
    if (i == n) return FAIL(r, key, "unknown key: is %s; %s", shown(key, buffer), allowed);
    if (seen & 1u << i) return FAIL(r, key, "key \"%s\" a second time", names[i]);
    seen |= 1u << i;
    const int code = take(r, into, i, node_at(r, pair->value));
    if (code != CLI_GOOD) return code;
  }
  return CLI_GOOD;
}

/* Axes, in the order in which their products are made; the last one changes fastest. */
enum { SIZES = 6, N_AXES = 19, KEY_LINE = N_AXES, KEY_NOTE, N_ENTRY_KEYS };
static const char *const entry_keys[N_ENTRY_KEYS] = {"b",    "hq",     "hkv",   "sq",     "sk",        "d",     "dtype",
                                                     "mask", "lse",    "scale", "layout", "softcap",   "alibi", "sinks",
                                                     "bias", "ragged", "lens",  "page",   "invariant", "line",  "note"};

typedef struct axes {
  yaml_node_t *values[N_AXES]; /* NULL: not given */
} axes;

/* A value, and what it adds to a problem line. */
typedef struct word {
  const char *value, *text;
} word;
static const word dtypes[] = {{"fp16", ":fp16"}, {"bf16", ":bf16"}, {"fp32", ":fp32"}, {NULL, NULL}};
static const word masks[] = {{"none", ""}, {"causal", ":causal"}, {NULL, NULL}};
static const word layouts[] = {
    {"bhsd", ":bhsd"}, {"bshd", ":bshd"}, {"packed", ":packed"}, {"odd", ":odd"}, {NULL, NULL}};
static const word none[] = {{"none", ""}, {NULL, NULL}}, nothing[] = {{NULL, NULL}};
static const word lse_flag[] = {{"false", ""}, {"true", ":lse"}, {NULL, NULL}};
static const word alibi_flag[] = {{"false", ""}, {"true", ":alibi"}, {NULL, NULL}};
static const word sinks_flag[] = {{"false", ""}, {"true", ":sinks"}, {NULL, NULL}};
static const word invariant_flag[] = {{"false", ""}, {"true", ":invariant"}, {NULL, NULL}};
static const word ragged[] = {
    {"none", ""}, {"drawn", ":ragged"}, {"full", ":ragged=full"}, {"one", ":ragged=one"}, {NULL, NULL}};
static const word lens[] = {
    {"none", ""}, {"drawn", ":lens"}, {"full", ":lens=full"}, {"one", ":lens=one"}, {NULL, NULL}};

static const char digits[] = "0123456789", numerals[] = "0123456789.eE+-", bias_letters[] = "bfhijlop1236/";
static const char size_must[] = "must be a whole number of at most 10 digits, or a list of them";
static const char flag_must[] = "must be true or false, or a list of them";
static const char number_must[] = "must be a number as 0.125, or a list of them";
static const char lengths_must[] = "must be none, drawn, full or one, or a list of them";

/* What an axis may be: one of some words, or something that begins so and goes on with these characters. */
static const struct {
  const word *words;
  const char *start, *made_of; /* made_of NULL: words only */
  const char *before;          /* in a problem line */
  const char *must;
} axis_kinds[N_AXES] = {
    {nothing, "", digits, "b", size_must},
    {nothing, "", digits, "hq", size_must},
    {nothing, "", digits, "hkv", size_must},
    {nothing, "", digits, "sq", size_must},
    {nothing, "", digits, "sk", size_must},
    {nothing, "", digits, "d", size_must},
    {dtypes, NULL, NULL, NULL, "must be fp16, bf16 or fp32, or a list of them"},
    {masks, "window=", "0123456789,-", ":", "must be none, causal or as window=1023,0, or a list of them"},
    {lse_flag, NULL, NULL, NULL, flag_must},
    {nothing, "", numerals, ":scale=", number_must},
    {layouts, NULL, NULL, NULL, "must be bhsd, bshd, packed or odd, or a list of them"},
    {nothing, "", numerals, ":softcap=", number_must},
    {alibi_flag, NULL, NULL, NULL, flag_must},
    {sinks_flag, NULL, NULL, NULL, flag_must},
    {none, "", bias_letters, ":bias=", "must be none, or as fp16 or fp16/ij, or a list of them"},
    {ragged, NULL, NULL, NULL, lengths_must},
    {lens, NULL, NULL, NULL, lengths_must},
    {none, "", digits, ":page=", "must be none or a whole number, or a list of them"},
    {invariant_flag, NULL, NULL, NULL, flag_must},
};

static const word *find_word(int axis, const char *text)
{
  const word *w = axis_kinds[axis].words;
  while (w->value && strcmp(w->value, text) != 0) w++;
  return w->value ? w : NULL;
}

static bool good_value(int axis, const yaml_node_t *node)
{
  const char *text = text_of(node), *made_of = axis_kinds[axis].made_of;
  if (!text) return false;
  if (find_word(axis, text)) return true;
  if (!made_of || strncmp(text, axis_kinds[axis].start, strlen(axis_kinds[axis].start)) != 0) return false;
  /* A quoted number is a text; one with a leading zero is octal to some readers. */
  const char *value = text + strlen(axis_kinds[axis].start);
  const size_t n = strlen(value), most = made_of == digits ? 10 : 32;
  const bool number = made_of == digits || made_of == numerals;
  return (is_plain(node) || !number) && n > 0 && n <= most && strspn(value, made_of) == n &&
         !(made_of == digits && n > 1 && value[0] == '0');
}

static int take_axis(reader *r, void *into, int axis, yaml_node_t *value)
{
  char buffer[48];
  axes *a = into;
  if (length_of(value) == 0) return FAIL(r, value, "%s: is an empty list, %s", entry_keys[axis], axis_kinds[axis].must);
  for (size_t i = 0; i < length_of(value); i++) {
    const yaml_node_t *item = item_of(r, value, i);
    if (!good_value(axis, item))
      return FAIL(r, item, "%s: is %s, %s", entry_keys[axis], shown(item, buffer), axis_kinds[axis].must);
  }
  a->values[axis] = value;
  return CLI_GOOD;
}

static size_t append_value(char *line, size_t size, int axis, const char *text)
{
  const word *w = find_word(axis, text);
  return (size_t)snprintf(line, size, "%s%s", w ? w->text : axis_kinds[axis].before, w ? "" : text);
}

static int add_product(reader *r, const axes *a, const yaml_node_t *entry, const char *note)
{
  size_t total = 1;
  for (int axis = 0; axis < N_AXES; axis++)
    if (a->values[axis]) {
      total *= length_of(a->values[axis]);
      if (total > CLI_PROBLEMS_MAX - r->problems->n)
        return FAIL(r, entry, "makes more than %d problems in all", CLI_PROBLEMS_MAX);
    }

  char where[512];
  make_where(r, entry->start_mark, where);
  for (size_t product = 0; product < total; product++) {
    const char *texts[N_AXES] = {NULL};
    size_t rest = product, at = 0;
    for (int axis = N_AXES - 1; axis >= 0; axis--) {
      if (!a->values[axis]) continue;
      texts[axis] = text_of(item_of(r, a->values[axis], rest % length_of(a->values[axis])));
      rest /= length_of(a->values[axis]);
    }
    char line[512]; /* 6 sizes of 13 bytes, 9 words of 12, a mask, a scale, a softcap, a bias and a page of up to 41 */
    for (int axis = 0; axis < N_AXES; axis++)
      if (texts[axis]) at += append_value(line + at, sizeof line - at, axis, texts[axis]);
    line[at] = '\0';
    const int code = cli_problems_add(r->problems, where, line, note);
    if (code != CLI_GOOD) return code;
  }
  return CLI_GOOD;
}

/* Entries */

typedef struct entry {
  axes axes;
  yaml_node_t *line;
  const char *note;
  bool has_axes;
} entry;

static int take_entry(reader *r, void *into, int key, yaml_node_t *value)
{
  char buffer[48];
  entry *e = into;
  if (key < N_AXES) {
    e->has_axes = true;
    return take_axis(r, &e->axes, key, value);
  }
  const char *text = text_of(value);
  if (!text || !*text)
    return FAIL(r, value, "%s: is %s, must be a line of text", entry_keys[key], shown(value, buffer));
  if (key == KEY_NOTE && strlen(text) > MAX_NOTE)
    return FAIL(r, value, "note: is %zu bytes long, must be at most %d", strlen(text), MAX_NOTE);
  if (key == KEY_NOTE)
    e->note = text;
  else
    e->line = value;
  return CLI_GOOD;
}

static int add_line(reader *r, const yaml_node_t *node, const char *note)
{
  char where[512];
  make_where(r, node->start_mark, where);
  return cli_problems_add(r->problems, where, text_of(node), note);
}

static int add_entry(reader *r, yaml_node_t *node, const axes *defaults)
{
  char buffer[48];
  const char *text = text_of(node);
  if (text && *text) return add_line(r, node, "");
  if (node->type != YAML_MAPPING_NODE)
    return FAIL(r, node, "problems: is %s, must be a problem line, or a mapping of line or axes", shown(node, buffer));

  entry e = {.axes = *defaults, .note = ""};
  int code = read_mapping(r, node, entry_keys, N_ENTRY_KEYS, "keys are line and note, or axes and note; " AXES_ALLOWED,
                          take_entry, &e);
  if (code != CLI_GOOD) return code;
  if (e.line && e.has_axes) return FAIL(r, node, "has both a line and axes, must have one of them");
  return e.line ? add_line(r, e.line, e.note) : add_product(r, &e.axes, node, e.note);
}

/* The file */

enum { KEY_PROBLEMS, KEY_DEFAULTS, KEY_INCLUDE, N_KEYS };
static const char *const keys[N_KEYS] = {"problems", "defaults", "include"};

static int take_top(reader *r, void *into, int key, yaml_node_t *value)
{
  (void)r;
  ((yaml_node_t **)into)[key] = value;
  return CLI_GOOD;
}

static int add_included(reader *r, yaml_node_t *list)
{
  char where[512], buffer[48];
  int code = CLI_GOOD;
  if (length_of(list) == 0) return FAIL(r, list, "include: is an empty list, must name built-in sets");
  for (size_t i = 0; i < length_of(list) && code == CLI_GOOD; i++) {
    const yaml_node_t *item = item_of(r, list, i);
    if (!text_of(item)) return FAIL(r, item, "include: is %s, must be the name of a built-in set", shown(item, buffer));
    make_where(r, item->start_mark, where);
    code = cli_problems_add_set(r->problems, where, text_of(item), r->device);
  }
  return code;
}

/* Whatever the order of the keys: what is included comes first, and defaults hold for all entries. */
static int read_document(reader *r)
{
  char buffer[48];
  axes defaults = {{NULL}};
  yaml_node_t *top[N_KEYS] = {NULL}, *root = yaml_document_get_root_node(&r->document);
  if (!root) return fail_at(r, r->document.end_mark, "is empty, " TOP_ALLOWED);
  int code = check_tags(r);
  if (code == CLI_GOOD && root->type != YAML_MAPPING_NODE)
    return FAIL(r, root, "is %s, " TOP_ALLOWED, shown(root, buffer));
  if (code == CLI_GOOD) code = read_mapping(r, root, keys, N_KEYS, "keys are problems defaults include", take_top, top);
  if (code != CLI_GOOD) return code;

  yaml_node_t *entries = top[KEY_PROBLEMS];
  if (!entries && !top[KEY_INCLUDE]) return FAIL(r, root, "names no problems, " TOP_ALLOWED);
  if (top[KEY_DEFAULTS]) {
    if (top[KEY_DEFAULTS]->type != YAML_MAPPING_NODE)
      return FAIL(r, top[KEY_DEFAULTS], "defaults: is %s, must be a mapping of axes", shown(top[KEY_DEFAULTS], buffer));
    code = read_mapping(r, top[KEY_DEFAULTS], entry_keys, N_AXES, AXES_ALLOWED, take_axis, &defaults);
  }
  if (code == CLI_GOOD && top[KEY_INCLUDE]) code = add_included(r, top[KEY_INCLUDE]);
  if (code != CLI_GOOD || !entries) return code;
  if (entries->type != YAML_SEQUENCE_NODE || length_of(entries) == 0)
    return FAIL(r, entries, "problems: is %s, must be a list with at least one entry",
                entries->type == YAML_SEQUENCE_NODE ? "an empty list" : shown(entries, buffer));
  for (size_t i = 0; i < length_of(entries) && code == CLI_GOOD; i++)
    code = add_entry(r, item_of(r, entries, i), &defaults);
  return code;
}

/* The reader's errors know an offset only, the others a place. */
static int syntax_error(const reader *r, const yaml_parser_t *parser, const char *bytes, size_t size)
{
  yaml_mark_t mark = parser->problem_mark;
  if (parser->error == YAML_MEMORY_ERROR) return cli_fail(CLI_DEVICE, "out of memory");
  if (parser->error == YAML_READER_ERROR) {
    mark = (yaml_mark_t){0, 0, 0};
    for (size_t i = 0; i < parser->problem_offset && i < size; i++)
      if (bytes[i] == '\n')
        mark.line++, mark.column = 0;
      else
        mark.column++;
  }
  const char *problem = parser->problem ? parser->problem : "unknown fault";
  if (!parser->context) return fail_at(r, mark, "not YAML: %s", problem);
  return fail_at(r, mark, "not YAML: %s, %s that starts at %zu:%zu", problem, parser->context,
                 parser->context_mark.line + 1, parser->context_mark.column + 1);
}

static int read_bytes(reader *r, const char *bytes, size_t size)
{
  yaml_parser_t parser;
  if (!yaml_parser_initialize(&parser)) return cli_fail(CLI_DEVICE, "out of memory");
  yaml_parser_set_input_string(&parser, (const unsigned char *)bytes, size);

  int code;
  if (!yaml_parser_load(&parser, &r->document)) {
    code = syntax_error(r, &parser, bytes, size);
  } else {
    code = read_document(r);
    yaml_document_delete(&r->document);
    if (code == CLI_GOOD && !yaml_parser_load(&parser, &r->document)) {
      code = syntax_error(r, &parser, bytes, size);
    } else if (code == CLI_GOOD) {
      if (yaml_document_get_root_node(&r->document))
        code = fail_at(r, r->document.start_mark, "a second document starts; a file is one document");
      yaml_document_delete(&r->document);
    }
  }
  yaml_parser_delete(&parser);
  return code;
}

int cli_problems_add_yaml(cli_problems *problems, const char *path, const fl4_device_info *device)
{
  reader r = {.path = path, .device = device, .problems = problems};
  FILE *file = fopen(path, "rb");
  if (!file) return cli_fail(CLI_UNUSABLE, "%s: %s", path, strerror(errno));

  char *bytes = malloc(MAX_FILE + 1);
  size_t size = bytes ? fread(bytes, 1, MAX_FILE + 1, file) : 0;
  int code = CLI_GOOD;
  if (!bytes)
    code = cli_fail(CLI_DEVICE, "out of memory");
  else if (ferror(file))
    code = cli_fail(CLI_UNUSABLE, "%s: %s", path, strerror(errno));
  else if (size > MAX_FILE)
    code = cli_fail(CLI_UNUSABLE, "%s: is larger than %d MiB", path, MAX_FILE >> 20);
  fclose(file);
  if (code == CLI_GOOD) code = read_bytes(&r, bytes, size);
  free(bytes);
  return code;
}

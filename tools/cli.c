/* SPDX-License-Identifier: Apache-2.0 */
/* Options, exit codes and tables of the commands. */
#include "cli.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct {
  const char *name, *argument, *what;
} all_options[CLI_N_OPTIONS] = {
#define CLI_OPTION_ROW(name, argument, what) {#name, argument, what},
    CLI_OPTIONS_MAP(CLI_OPTION_ROW)
#undef CLI_OPTION_ROW
};

enum { CLI_INDEX_help = CLI_N_OPTIONS }; /* every command takes it */

int cli_fail(int code, const char *format, ...)
{
  va_list args;
  va_start(args, format);
  fputs("fl4: ", stderr);
  vfprintf(stderr, format, args);
  fputc('\n', stderr);
  va_end(args);
  return code;
}

int cli_code(fl4_status status)
{
  switch (status) {
  case FL4_OK: return CLI_GOOD;
  case FL4_INVARIANT_VIOLATED: return CLI_NEGATIVE;
  case FL4_INVALID_ARGUMENT:
  case FL4_UNSUPPORTED: return CLI_UNUSABLE;
  default: return CLI_DEVICE;
  }
}

static int parse_seed(const char *text, uint64_t *seed)
{
  /* JSON integers are signed, so seeds end at 2⁶³ − 1. */
  char *end;
  errno = 0;
  long long value = strtoll(text, &end, 0);
  if (end == text || *end || errno || value < 0)
    return cli_fail(CLI_UNUSABLE, "--seed: is \"%s\", must be a whole number from 0 to %lld", text, INT64_MAX + 0LL);
  *seed = (uint64_t)value;
  return CLI_GOOD;
}

static int parse_count(const char *option, const char *text, int most, int *count)
{
  char *end;
  errno = 0;
  long value = strtol(text, &end, 10);
  if (end == text || *end || errno || value < 1 || value > most)
    return cli_fail(CLI_UNUSABLE, "--%s: is \"%s\", must be a whole number from 1 to %d", option, text, most);
  *count = (int)value;
  return CLI_GOOD;
}

/* A positive number, "%" behind it being allowed if it is one of percent. */
static int parse_number(const char *option, const char *text, bool percent, double most, double *number)
{
  char *end;
  double value = strtod(text, &end);
  if (percent && *end == '%') end++;
  if (end == text || *end || !(value > 0 && value <= most))
    return cli_fail(CLI_UNUSABLE, "--%s: is \"%s\", must be a number above 0, up to %g%s", option, text, most,
                    percent ? " percent" : "");
  *number = percent ? value / 100 : value;
  return CLI_GOOD;
}

/* A file, never a name that the loader looks up: it would find the library that is loaded already. */
static int add_library(const char *name, cli_options *o)
{
  size_t size = strlen(name) + 3;
  char *file = malloc(size);
  if (!file) return cli_fail(CLI_DEVICE, "out of memory");
  snprintf(file, size, "%s%s", strchr(name, '/') ? "" : "./", name);
  o->libs[o->n_libs++] = file;
  if (access(file, R_OK) == 0) return CLI_GOOD;
  return cli_fail(CLI_UNUSABLE, "--lib: cannot read \"%s\": %s", file, strerror(errno));
}

static int take_option(int index, char *value, cli_options *o)
{
  switch (index) {
  case CLI_INDEX_device: o->device = value; break;
  case CLI_INDEX_problem: o->problems[o->n_problems++] = value; break;
  case CLI_INDEX_shapes: o->shapes = value; break;
  case CLI_INDEX_inputs: o->inputs = value; break;
  case CLI_INDEX_oracle: o->oracle = value; break;
  case CLI_INDEX_seed: return parse_seed(value, &o->seed);
  case CLI_INDEX_variant: o->variants[o->n_variants++] = o->variant = value; break;
  case CLI_INDEX_with: o->withs[o->n_withs++] = value; break;
  case CLI_INDEX_lib: return add_library(value, o);
  case CLI_INDEX_mode: o->mode = value; break;
  case CLI_INDEX_cold: o->cold = true; break;
  case CLI_INDEX_copies: return parse_count("copies", value, 64, &o->copies);
  case CLI_INDEX_precision: return parse_number("precision", value, true, 50, &o->precision);
  case CLI_INDEX_seconds: return parse_number("seconds", value, false, 86400, &o->seconds);
  case CLI_INDEX_samples: return parse_count("samples", value, 1000000, &o->samples);
  case CLI_INDEX_warmup: return parse_number("warmup", value, false, 3600, &o->warmup);
  case CLI_INDEX_threshold: return parse_number("threshold", value, true, 99, &o->threshold);
  case CLI_INDEX_budget: o->budget = value; break;
  case CLI_INDEX_evals: return parse_count("evals", value, 1000000, &o->evals);
  case CLI_INDEX_target: return parse_number("target", value, false, 1e12, &o->target);
  case CLI_INDEX_strategy: o->strategy = value; break;
  case CLI_INDEX_family: o->family = value; break;
  case CLI_INDEX_log: o->log = value; break;
  case CLI_INDEX_threads: return parse_count("threads", value, 256, &o->threads);
  case CLI_INDEX_time_limit: return parse_number("time-limit", value, false, 86400, &o->time_limit);
  case CLI_INDEX_wisdom: o->wisdom = value; break;
  case CLI_INDEX_no_wisdom: o->no_wisdom = true; break;
  case CLI_INDEX_in_process: o->in_process = true; break;
  case CLI_INDEX_space: o->space = true; break;
  case CLI_INDEX_ablate: o->ablate = true; break;
  case CLI_INDEX_replay: o->replay = value; break;
  case CLI_INDEX_seeds: return parse_count("seeds", value, 100000, &o->seeds);
  case CLI_INDEX_limits: o->limits = true; break;
  case CLI_INDEX_strict: o->strict = true; break;
  case CLI_INDEX_allow_missing: o->allow_missing = true; break;
  case CLI_INDEX_time: o->time = true; break;
  case CLI_INDEX_json: o->json = value ? value : "-"; break;
  case CLI_INDEX_csv: o->csv = value; break;
  case CLI_INDEX_markdown: o->markdown = value; break;
  case CLI_INDEX_quiet: o->quiet = true; break;
  default: o->help = true;
  }
  return CLI_GOOD;
}

bool cli_takes(const cli_command *command, const char *option)
{
  const size_t length = strlen(option);
  for (const char *word = command->options; *word; word += strspn(word, " ")) {
    const size_t n = strcspn(word, " ");
    if (n == length && strncmp(word, option, n) == 0) return true;
    word += n;
  }
  return false;
}

enum { NAME_MAX_LENGTH = 24 };

/* "allow-missing": as it is typed. */
static const char *option_name(int index, char name[NAME_MAX_LENGTH])
{
  snprintf(name, NAME_MAX_LENGTH, "%s", all_options[index].name);
  for (char *c = name; *c; c++)
    if (*c == '_') *c = '-';
  return name;
}

/* How many arguments a command takes at most, and in *needed how many it needs. */
static size_t count_arguments(const char *text, size_t *needed)
{
  size_t n = 0;
  *needed = 0;
  for (const char *word = text; *word; word += strspn(word, " ")) {
    n++;
    *needed += *word != '[';
    word += strcspn(word, " ");
  }
  if (strstr(text, "...")) return SIZE_MAX;
  return n;
}

void cli_free(cli_options *o)
{
  for (size_t i = 0; i < o->n_libs; i++) free((void *)(uintptr_t)o->libs[i]);
  free(o->problems);
}

static int open_lists(int argc, cli_options *o)
{
  enum { LISTS = 5 };
  size_t n = (size_t)argc;
  o->problems = calloc(LISTS * n, sizeof *o->problems);
  if (!o->problems) return cli_fail(CLI_DEVICE, "out of memory");
  o->variants = o->problems + n;
  o->withs = o->variants + n;
  o->libs = o->withs + n;
  o->arguments = o->libs + n;
  return CLI_GOOD;
}

int cli_parse(const cli_command *command, int argc, char **argv, cli_options *o)
{
  struct option longs[CLI_N_OPTIONS + 2];
  char names[CLI_N_OPTIONS][NAME_MAX_LENGTH];
  memset(longs, 0, sizeof longs);
  int n = 0;
  for (int i = 0; i < CLI_N_OPTIONS; i++) {
    if (!cli_takes(command, all_options[i].name)) continue;
    const char *argument = all_options[i].argument;
    int has = !argument ? no_argument : argument[0] == '[' ? optional_argument : required_argument;
    longs[n++] = (struct option){option_name(i, names[i]), has, NULL, i + 1};
  }
  longs[n] = (struct option){"help", no_argument, NULL, CLI_INDEX_help + 1};

  size_t needed, wanted = count_arguments(command->arguments, &needed);
  int code = open_lists(argc, o);
  if (code != CLI_GOOD) return code;
  opterr = 0;
  for (;;) {
    int option = getopt_long(argc, argv, "+:h", longs, NULL);
    if (option == -1) {
      bool only_arguments = strcmp(argv[optind - 1], "--") == 0; /* from here on */
      size_t before = o->n_arguments;
      while (optind < argc && o->n_arguments < wanted && (only_arguments || o->n_arguments == before))
        o->arguments[o->n_arguments++] = argv[optind++];
      if (only_arguments || o->n_arguments == before) break;
      continue;
    }
    if (option == 'h') option = CLI_INDEX_help + 1;
    if (option == ':' || option == '?')
      return cli_fail(CLI_UNUSABLE, "%s: %s '%s'; see fl4 help %s", command->name,
                      option == ':' ? "a value is missing behind" : "unknown or misused option", argv[optind - 1],
                      command->name);
    char *value = optarg;
    /*
     * getopt_long sees an optional value only in --json=FILE; take it from --json FILE too, but not
     * where it could be an argument that would be overwritten.
     */
    bool loose = option == CLI_INDEX_json + 1 && !value && optind < argc;
    if (loose && (strcmp(argv[optind], "-") == 0 || (argv[optind][0] != '-' && argv[optind][0] && !wanted)))
      value = argv[optind++];
    code = take_option(option - 1, value, o);
    if (code != CLI_GOOD) return code;
  }
  if (o->help) return CLI_GOOD;
  if (optind < argc)
    return cli_fail(CLI_UNUSABLE, "%s: unexpected '%s'; see fl4 help %s", command->name, argv[optind], command->name);
  if (o->n_arguments < needed)
    return cli_fail(CLI_UNUSABLE, "%s: needs %s; see fl4 help %s", command->name, command->arguments, command->name);
  return CLI_GOOD;
}

void cli_help(const cli_command *command)
{
  static const cli_column columns[] = {{"", 0, false}, {"", 16, false}, {"", 0, false}};
  printf("fl4 %s%s%s: %s\n\nOptions:\n", command->name, *command->arguments ? " " : "", command->arguments,
         command->summary);
  for (int i = 0; i <= CLI_N_OPTIONS; i++) {
    char name[NAME_MAX_LENGTH] = "help", left[48];
    const char *argument = i < CLI_N_OPTIONS ? all_options[i].argument : NULL;
    if (i < CLI_N_OPTIONS && !cli_takes(command, all_options[i].name)) continue;
    if (i < CLI_N_OPTIONS) option_name(i, name);
    snprintf(left, sizeof left, "--%s%s%s", name, argument ? " " : "", argument ? argument : "");
    cli_row(columns, 3, (const char *[]){"", left, i < CLI_N_OPTIONS ? all_options[i].what : "show this"});
  }
  printf("\n%s", command->notes);
}

static int add_inputs(const char *name, size_t length, fl4_inputs kinds[FL4_INPUTS_COUNT], int *n)
{
  bool all = length == 3 && strncmp(name, "all", 3) == 0, found = false;
  for (int i = 0; i < FL4_INPUTS_COUNT; i++) {
    const char *known = fl4_inputs_name((fl4_inputs)i);
    if (!all && !(strlen(known) == length && strncmp(name, known, length) == 0)) continue;
    found = true;
    bool there = false; /* naming a kind twice does not run it twice */
    for (int j = 0; j < *n; j++) there |= kinds[j] == (fl4_inputs)i;
    if (!there) kinds[(*n)++] = (fl4_inputs)i;
  }
  if (found) return CLI_GOOD;
  fprintf(stderr, "fl4: --inputs: unknown kind \"%.*s\"; kinds are all", (int)length, name);
  for (int i = 0; i < FL4_INPUTS_COUNT; i++) fprintf(stderr, " %s", fl4_inputs_name((fl4_inputs)i));
  fputc('\n', stderr);
  return CLI_UNUSABLE;
}

int cli_inputs(const char *text, const char *fallback, fl4_inputs kinds[FL4_INPUTS_COUNT], int *n)
{
  *n = 0;
  if (!text) text = fallback;
  for (;;) {
    size_t length = strcspn(text, ",");
    int code = add_inputs(text, length, kinds, n);
    if (code != CLI_GOOD || !text[length]) return code;
    text += length + 1;
  }
}

int cli_open(const cli_options *o, fl4_context **ctx, fl4_device_info *info)
{
  fl4_context_options options = FL4_CONTEXT_OPTIONS_INIT;
  options.device = o->device;
  options.variant = o->variant;
  fl4_status status = fl4_context_create(ctx, &options);
  if (status == FL4_OK) status = fl4_context_get_device_info(*ctx, info);
  if (status == FL4_OK) return CLI_GOOD;
  cli_fail(0, "%s: %s", fl4_status_string(status), fl4_last_error());
  fl4_context_destroy(ctx);
  return cli_code(status);
}

void cli_device_name(const fl4_device_info *info, char text[32])
{
  if (info->kind == FL4_DEVICE_HOST)
    snprintf(text, 32, "host");
  else
    snprintf(text, 32, "%s:%d", info->kind == FL4_DEVICE_CUDA ? "cuda" : "emu", info->ordinal);
}

/* Characters of a UTF-8 text: bytes that do not continue one. */
static int text_width(const char *text)
{
  int width = 0;
  for (; *text; text++) width += ((unsigned char)*text & 0xC0) != 0x80;
  return width;
}

void cli_row(const cli_column *columns, int n, const char *const *cells)
{
  for (int i = 0; i < n; i++) {
    int gap = columns[i].width - text_width(cells[i]);
    if (gap < 0) gap = 0;
    printf("%s%*s%s%*s", i ? "  " : "", columns[i].right ? gap : 0, "", cells[i], columns[i].right ? 0 : gap, "");
  }
  putchar('\n');
}

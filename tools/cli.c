/* SPDX-License-Identifier: Apache-2.0 */
/* Options, exit codes and tables of the commands. */
#include "cli.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

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

static int take_option(int index, char *value, cli_options *o)
{
  switch (index) {
  case CLI_INDEX_device: o->device = value; break;
  case CLI_INDEX_problem: o->problems[o->n_problems++] = value; break;
  case CLI_INDEX_shapes: o->shapes = value; break;
  case CLI_INDEX_inputs: o->inputs = value; break;
  case CLI_INDEX_oracle: o->oracle = value; break;
  case CLI_INDEX_seed: return parse_seed(value, &o->seed);
  case CLI_INDEX_variant: o->variant = value; break;
  case CLI_INDEX_time: o->time = true; break;
  case CLI_INDEX_json: o->json = value ? value : "-"; break;
  case CLI_INDEX_quiet: o->quiet = true; break;
  default: o->help = true;
  }
  return CLI_GOOD;
}

int cli_parse(const cli_command *command, int argc, char **argv, cli_options *o)
{
  struct option longs[CLI_N_OPTIONS + 2];
  memset(longs, 0, sizeof longs);
  int n = 0;
  for (int i = 0; i < CLI_N_OPTIONS; i++) {
    if (!(command->options & (1 << i))) continue;
    const char *argument = all_options[i].argument;
    int has = !argument ? no_argument : argument[0] == '[' ? optional_argument : required_argument;
    longs[n++] = (struct option){all_options[i].name, has, NULL, i + 1};
  }
  longs[n] = (struct option){"help", no_argument, NULL, CLI_INDEX_help + 1};

  o->problems = calloc((size_t)argc, sizeof *o->problems);
  if (!o->problems) return cli_fail(CLI_DEVICE, "out of memory");
  opterr = 0;
  for (;;) {
    int option = getopt_long(argc, argv, "+:h", longs, NULL);
    if (option == -1) break;
    if (option == 'h') option = CLI_INDEX_help + 1;
    if (option == ':' || option == '?')
      return cli_fail(CLI_UNUSABLE, "%s: %s '%s'; see fl4 help %s", command->name,
                      option == ':' ? "a value is missing behind" : "unknown or misused option", argv[optind - 1],
                      command->name);
    char *value = optarg;
    /* getopt_long sees an optional value only in --json=FILE; take it from --json FILE too. */
    bool loose = option == CLI_INDEX_json + 1 && !value && optind < argc;
    if (loose && (argv[optind][0] != '-' || !argv[optind][1])) value = argv[optind++];
    int code = take_option(option - 1, value, o);
    if (code != CLI_GOOD) return code;
  }
  if (optind < argc)
    return cli_fail(CLI_UNUSABLE, "%s: unexpected '%s'; see fl4 help %s", command->name, argv[optind], command->name);
  return CLI_GOOD;
}

void cli_help(const cli_command *command)
{
  printf("fl4 %s: %s\n\nOptions:\n", command->name, command->summary);
  for (int i = 0; i < CLI_N_OPTIONS; i++) {
    if (!(command->options & (1 << i))) continue;
    const char *argument = all_options[i].argument;
    char left[32];
    snprintf(left, sizeof left, "--%s%s%s", all_options[i].name, argument ? " " : "", argument ? argument : "");
    printf("  %-16s %s\n", left, all_options[i].what);
  }
  printf("  %-16s %s\n\n%s", "--help", "show this", command->notes);
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

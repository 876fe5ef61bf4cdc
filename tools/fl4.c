/* SPDX-License-Identifier: Apache-2.0 */
/* fl4: the library from the command line. */
#include <errno.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

/* clang-format off */
static const cli_command commands[] = {
  {"info", "what the library finds here: devices, limits, cubin cache",
   "The cache shown is that of the device that --device names.\n\n"
   "Exit: 0 good, 3 usage, 4 the device cannot be opened.\n",
   CLI_device | CLI_json, cli_info},
  {"check", "is the result of attention forward right on this device?",
   "Each problem runs twice on data made from the seed, between canaries and NaN, and is\n"
   "compared with an oracle. Without --shapes and --problem the set \"smoke\" runs.\n"
   "\"demo\" is smaller on the host. What a device or variant does not support is shown\n"
   "and counted, and fails the run only if nothing else was checked.\n\n"
   "Kinds of input: " /* followed by their names */,
   CLI_device | CLI_problem | CLI_shapes | CLI_inputs | CLI_oracle | CLI_seed | CLI_variant | CLI_time |
     CLI_json | CLI_quiet,
   cli_check},
};
/* clang-format on */
enum { N_COMMANDS = sizeof commands / sizeof commands[0] };

static const cli_command *find_command(const char *name)
{
  for (int i = 0; i < N_COMMANDS; i++)
    if (strcmp(name, commands[i].name) == 0) return &commands[i];
  return NULL;
}

static void show_usage(FILE *file)
{
  fputs("fl4: attention forward, checked\n\nUsage: fl4 COMMAND [OPTIONS]\n\nCommands:\n", file);
  for (int i = 0; i < N_COMMANDS; i++) fprintf(file, "  %-8s %s\n", commands[i].name, commands[i].summary);
  fputs("  help     help COMMAND: what a command does, and its options\n"
        "\nfl4 --version shows the versions of the command and of the library.\n",
        file);
}

static void show_help(const cli_command *command)
{
  cli_help(command);
  if (command->run != cli_check) return;
  for (int i = 0; i < FL4_INPUTS_COUNT; i++) printf("%s%s", i ? ", " : "", fl4_inputs_name((fl4_inputs)i));
  puts(".\n\nExit: 0 all passed, 1 mismatch, 3 usage or unusable input, 4 device failure.");
}

static int run_command(int argc, char **argv)
{
  const char *name = argc > 1 ? argv[1] : "";
  if (strcmp(name, "--version") == 0) {
    printf("fl4 %d.%d.%d, libflashl4 %s, ABI %d\n", FL4_VERSION_MAJOR, FL4_VERSION_MINOR, FL4_VERSION_PATCH,
           fl4_version_string(), FL4_ABI_VERSION);
    return CLI_GOOD;
  }
  if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || (strcmp(name, "help") == 0 && argc == 2)) {
    show_usage(stdout);
    return CLI_GOOD;
  }
  bool help = strcmp(name, "help") == 0;
  const cli_command *command = find_command(help ? argv[2] : name);
  if (argc < 2) {
    show_usage(stderr);
    return CLI_UNUSABLE;
  }
  if (!command) return cli_fail(CLI_UNUSABLE, "unknown command '%s'; see fl4 --help", help ? argv[2] : name);
  if (help) {
    show_help(command);
    return CLI_GOOD;
  }

  cli_options options = {.argc = argc, .argv = argv};
  int code = cli_parse(command, argc - 1, argv + 1, &options);
  if (code == CLI_GOOD && options.help)
    show_help(command);
  else if (code == CLI_GOOD)
    code = command->run(&options);
  free(options.problems);
  return code;
}

int main(int argc, char **argv)
{
  setlocale(LC_CTYPE, "");
  int code = run_command(argc, argv);
  /* A full disk or a closed pipe must not look like a good run. */
  if (fflush(stdout) != 0 || ferror(stdout)) {
    if (code == CLI_GOOD) code = CLI_UNUSABLE;
    cli_fail(0, "cannot write to standard output: %s", strerror(errno));
  }
  return code;
}

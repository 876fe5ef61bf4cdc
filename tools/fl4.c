/* SPDX-License-Identifier: Apache-2.0 */
/* fl4: the library from the command line. */
#include <errno.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

/* clang-format off */
static const cli_command commands[] = {
  {"info", "", "what the library finds here: devices, limits, cubin cache",
   "The cache shown is that of the device that --device names.\n\n"
   "Exit: 0 good, 3 usage, 4 the device cannot be opened.\n",
   "device json", cli_info},
  {"check", "", "is the result of attention forward right on this device?",
   "Each problem runs twice on data made from the seed, between canaries and NaN, and is\n"
   "compared with an oracle. Without --shapes and --problem the set \"smoke\" runs; --inputs is\n"
   "normal. \"demo\" is smaller on the host. What a device or variant does not support is shown\n"
   "and counted, and fails the run only if nothing else was checked.\n",
   "device problem shapes inputs oracle seed variant time json quiet",
   cli_check},
  {"bench", "", "how fast is attention forward on this device?",
   "Times each problem with each kind of input data (default normal,sink) on data made from the\n"
   "seed. Outputs are checked before and after timing; wrong ones are not timed. Without --shapes\n"
   "and --problem the set \"canonical\" runs, on the host \"demo-host\".\n\n"
   "Contenders are timed in turn, in random order, and compared with the first: each --lib, then\n"
   "this library, each with every --variant (without any, its own choice), then every --with,\n"
   "oracle or host. Verdicts do not change the exit code; that is what compare and gate are for.\n\n"
   "Ctrl-C ends the run; what is finished is written.\n",
   "device problem shapes inputs oracle seed variant with lib mode cold copies precision seconds samples warmup "
   "threshold limits json csv markdown quiet",
   cli_bench},
  {"tune", "", "which variant is fastest on this device? Tries them, and remembers the winner",
   "Tunes one problem after the other; without --shapes and --problem the set \"canonical\", on the\n"
   "host \"demo-host\". Every variant is checked before it is timed. The built-in choice stays unless\n"
   "another is surely faster, by --threshold (1 percent): \"no improvement\" is a normal result. What\n"
   "wins is saved after each problem, and used from then on by every program on this machine.\n\n"
   "A second process does the work, so that a variant that crashes or hangs costs only itself.\n"
   "--space, --ablate and --replay look at a search rather than make one; see docs/tune.md.\n\n"
   "Ctrl-C ends the search and keeps the best so far; a second one ends the program.\n",
   "device problem shapes budget evals seconds target seed strategy family log mode cold inputs threads time_limit "
   "threshold no_wisdom wisdom in_process space ablate variant samples replay seeds json markdown quiet",
   cli_tune},
  {"compare", "OLD NEW", "is NEW slower than OLD? Both are files of fl4 bench --json",
   "Results are matched by problem, inputs, mode and contender. The threshold is 3 percent: two\n"
   "runs differ by more than their samples tell.\n",
   "threshold strict allow_missing json markdown quiet", cli_compare},
  {"gate", "BASELINE", "has the library become slower than BASELINE, a file of fl4 bench --json?",
   "Times the problems of the file again, as they were timed. With --lib, the older build, both\n"
   "libraries are timed side by side, and the threshold is 1 percent; without, this run is compared\n"
   "with the file's samples, which must come from the same device, and it is 3 percent.\n",
   "device lib seconds threshold strict json markdown quiet", cli_gate},
  {"profile", "[PROBLEM]", "what holds one launch back? Runs Nsight Compute, and says what its numbers mean",
   "The problem is given as it is, or with --problem. Nsight Compute is looked for in $FLASHL4_NCU,\n"
   "on the PATH and where its installers put it.\n",
   "device problem inputs seed variant json", cli_profile},
  {"wisdom", "ACTION [WHAT...]", "what tuning has learnt: list, show PROBLEM, merge TO FROM..., prune FILE",
   "list           the pieces that a context on --device reads; list FILE: those of the file\n"
   "show PROBLEM   what runs for it, and on which evidence\n"
   "merge TO FROM...  the best line of each problem and device, in TO, which may be one of the others\n"
   "prune FILE     the same of one file, without lines that are stale or damaged\n",
   "device json", cli_wisdom},
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
  fputs("fl4: attention forward, checked and timed\n\nUsage: fl4 COMMAND [OPTIONS]\n\nCommands:\n", file);
  for (int i = 0; i < N_COMMANDS; i++) fprintf(file, "  %-8s %s\n", commands[i].name, commands[i].summary);
  fputs("  help     help COMMAND: what a command does, and its options\n"
        "\nfl4 --version shows the versions of the command and of the library.\n",
        file);
}

static void show_help(const cli_command *command)
{
  cli_help(command);
  if (cli_takes(command, "inputs")) {
    printf("\nKinds of input: ");
    for (int i = 0; i < FL4_INPUTS_COUNT; i++) printf("%s%s", i ? ", " : "", fl4_inputs_name((fl4_inputs)i));
    puts(".");
  }
  if (cli_takes(command, "shapes")) {
    puts("\nSets of problems:");
    static const cli_column columns[] = {{"", 0, false}, {"", 10, false}, {"", 0, false}};
    const char *name;
    for (size_t i = 0; (name = fl4_shapes_name(i)); i++)
      cli_row(columns, 3, (const char *[]){"", name, fl4_shapes_what(name)});
  }
  if (command->run != cli_info)
    puts("\nExit: 0 good, 1 a wrong result or a confirmed regression, 2 ambiguous with --strict,\n"
         "3 usage or unusable input, 4 device failure.");
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
  cli_free(&options);
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

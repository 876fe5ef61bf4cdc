/* SPDX-License-Identifier: Apache-2.0 */
/* What the commands of fl4 share: options, exit codes, tables and JSON. Uses the public API only. */
#ifndef FL4_CLI_H
#define FL4_CLI_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include <flashl4/flashl4.h>

/* Exit codes, the same for every command. */
enum {
  CLI_GOOD = 0,
  CLI_NEGATIVE = 1, /* a verdict: mismatch, regression */
  CLI_AMBIGUOUS = 2,
  CLI_UNUSABLE = 3, /* usage, or input that cannot be used */
  CLI_DEVICE = 4,   /* the device, or a library that it needs, failed */
};

/* All options there are; each command takes some of them. X(name, argument, what it does) */
#define CLI_OPTIONS_MAP(X)                                                                                             \
  X(device, "D", "auto (default), host, cuda or cuda:N")                                                               \
  X(problem, "LINE", "a problem, as in b2hq32hkv8sq4096d128:bf16:causal; may be repeated")                             \
  X(shapes, "SET,…", "sets of problems: built in, FILE.yaml, a file of lines, or - for standard input")                \
  X(inputs, "KIND,…", "kinds of input data, or all")                                                                   \
  X(oracle, "ORACLE", "which oracle judges: auto (default), fp64 or cublas")                                           \
  X(seed, "N", "seed of the input data; default 0")                                                                    \
  X(variant, "V", "run this variant, as in fwd_mma:bm=64; what is not named is chosen")                                \
  X(with, "WHAT", "time the oracle, or the host, beside it; may be repeated")                                          \
  X(lib, "FILE", "another build of the library, to which this one is compared")                                        \
  X(mode, "MODE", "how calls are timed: auto (default), graph, events or eager")                                       \
  X(cold, NULL, "flush the caches before each call")                                                                   \
  X(copies, "N", "sets of tensors used in turn; default 3")                                                            \
  X(precision, "PCT", "stop when the median is known to ± this many percent; default 0.5")                             \
  X(seconds, "T", "spend at most this long on a problem; default 5, tune: no limit")                                   \
  X(samples, "N", "take at most this many samples; default 10000")                                                     \
  X(warmup, "T", "seconds of calls before the first sample; default 0.05")                                             \
  X(threshold, "PCT", "difference in percent that matters")                                                            \
  X(limits, NULL, "measure what the device can do at most; without problems, only that")                               \
  X(strict, NULL, "exit with 2 if a verdict is ambiguous")                                                             \
  X(allow_missing, NULL, "problems that one side lacks are shown, but are no error")                                   \
  X(time, NULL, "time each problem as well")                                                                           \
  X(budget, "B", "how much to try: estimate (nothing), measure (64, the default), patient (300) or exhaustive")        \
  X(evals, "N", "variants to try at most, in place of the budget's")                                                   \
  X(target, "US", "stop when this many microseconds are reached")                                                      \
  X(strategy, "S", "how to search: evolve (default), exhaustive, random or genetic")                                   \
  X(family, "F", "tune this family; default: that of the built-in choice")                                             \
  X(log, "FILE", "record each variant tried, and go on from what is there")                                            \
  X(threads, "N", "threads that compile ahead")                                                                        \
  X(time_limit, "T", "seconds for one variant; default 30")                                                            \
  X(wisdom, "FILE", "save what was learnt there, not in the user's file")                                              \
  X(no_wisdom, NULL, "neither use what is known nor save what is learnt")                                              \
  X(in_process, NULL, "without the second process that survives a crash or a hang")                                    \
  X(space, NULL, "only show what there is to choose from")                                                             \
  X(ablate, NULL, "change each parameter of the winner, or of --variant, and time what it does")                       \
  X(replay, "FILE,…", "play the search on recorded spaces; needs no device")                                           \
  X(seeds, "N", "runs of each replay; default 100")                                                                    \
  X(json, "[FILE]", "write everything as JSON; - or nothing is standard output")                                       \
  X(csv, "FILE", "write a line for each result as CSV; - is standard output")                                          \
  X(markdown, "FILE", "write the table as Markdown; - is standard output")                                             \
  X(quiet, NULL, "show only what is wrong, and the summary")

enum {
#define CLI_OPTION_INDEX(name, argument, what) CLI_INDEX_##name,
  CLI_OPTIONS_MAP(CLI_OPTION_INDEX)
#undef CLI_OPTION_INDEX
      CLI_N_OPTIONS
};

/* What is not given is NULL, or 0. */
typedef struct cli_options {
  int argc; /* the whole command line, to record it */
  char **argv;
  const char *device, *shapes, *inputs, *oracle, *mode, *json, *csv, *markdown;
  const char *budget, *strategy, *family, *log, *wisdom, *replay;
  const char *variant;   /* the last one given */
  const char **problems; /* these lists share one allocation */
  const char **variants, **withs, **libs;
  const char **arguments; /* what is no option, such as files */
  size_t n_problems, n_variants, n_withs, n_libs, n_arguments;
  uint64_t seed;
  double precision, threshold; /* ratios: 0.005 for the 0.5 of the command line */
  double seconds, warmup, target, time_limit;
  int copies, samples, evals, threads, seeds;
  bool cold, limits, strict, allow_missing, time, quiet, help;
  bool no_wisdom, in_process, space, ablate;
} cli_options;

typedef struct cli_command {
  const char *name;
  const char *arguments; /* "OLD NEW": a word each, "[PROBLEM]" if it may be left out, "[FILE...]": any number */
  const char *summary, *notes;
  const char *options; /* those that it takes: "device json", as in CLI_OPTIONS_MAP */
  int (*run)(const cli_options *options);
} cli_command;

int cli_bench(const cli_options *options);
int cli_check(const cli_options *options);
int cli_compare(const cli_options *options);
int cli_gate(const cli_options *options);
int cli_info(const cli_options *options);
int cli_profile(const cli_options *options);
int cli_wisdom(const cli_options *options);
int cli_tune(const cli_options *options);

/* Says what is wrong on standard error, and returns `code`. */
int cli_fail(int code, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The exit code of a failed call. */
int cli_code(fl4_status status);

/* Reads the options of `command`, argv[0] being its name. Returns CLI_GOOD or CLI_UNUSABLE. */
int cli_parse(const cli_command *command, int argc, char **argv, cli_options *options);
void cli_free(cli_options *options);
void cli_help(const cli_command *command);
bool cli_takes(const cli_command *command, const char *option);

/* Reads "normal,sink", or "all", into kinds; NULL is `fallback`. Returns CLI_GOOD or CLI_UNUSABLE. */
int cli_inputs(const char *text, const char *fallback, fl4_inputs kinds[FL4_INPUTS_COUNT], int *n);

/* Makes the context that the options ask for. Returns CLI_GOOD, or says why not. */
int cli_open(const cli_options *options, fl4_context **ctx, fl4_device_info *info);

/* "cuda:0" or "host". */
void cli_device_name(const fl4_device_info *info, char text[32]);

/* A column of a table; its width counts characters, not bytes. */
typedef struct cli_column {
  const char *title;
  int width; /* 0 for the last */
  bool right;
} cli_column;
void cli_row(const cli_column *columns, int n, const char *const *cells);

/* JSON. All take over what they are given, and end the program if memory runs out. */
json_t *cli_object(void);
json_t *cli_array(void);
void cli_set(json_t *object, const char *key, json_t *value);
void cli_append(json_t *array, json_t *value);
json_t *cli_real(double value); /* null for what JSON cannot say: NaN and infinities */
json_t *cli_text(const char *text);
json_t *cli_device_json(const fl4_device_info *info);
/* Library, build, system, time, command line and variables: what a result depends on. */
json_t *cli_environment_json(const cli_options *options);
/* Where the loader found the library; NULL if it does not tell. Static. */
const char *cli_library_file(void);

/* Files are opened before the work starts, so that a bad name costs nothing. NULL: none wanted. */
int cli_file_open(const char *option, const char *name, FILE **file);
/* Returns `code`, or CLI_UNUSABLE if not all could be written. NULL is fine. */
int cli_file_close(const char *option, const char *name, FILE *file, int code);
int cli_json_open(const cli_options *options, FILE **file);
/* Writes, closes and frees all. Returns `code`, or CLI_UNUSABLE if it could not be written. */
int cli_json_close(const cli_options *options, FILE *file, json_t *root, int code);

#endif

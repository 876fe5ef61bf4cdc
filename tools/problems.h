/* SPDX-License-Identifier: Apache-2.0 */
/* Which problems a command works on: lines, built-in sets, YAML files, standard input. */
#ifndef FL4_PROBLEMS_H
#define FL4_PROBLEMS_H

#include "cli.h"

typedef struct cli_problem {
  char *line;          /* as fl4_problem_format() writes it */
  char *note;          /* what it is known for, "" for most */
  fl4_problem problem;
} cli_problem;

typedef struct cli_problems {
  cli_problem *items;
  size_t n;
  int width; /* of the longest line, for tables */
} cli_problems;

enum { CLI_PROBLEMS_MAX = 100000 };

/*
 * Reads --shapes (a set's name, a .yaml or .yml file, another file of lines, or - for lines on standard
 * input; several separated by commas) and then --problem, all before any work starts, so that a typing error costs
 * nothing. A problem that comes a second time is dropped. `fallback`: the set if neither is given.
 * "demo" means "demo-host" on the host. Returns CLI_GOOD, or says what is wrong (file, line, what is
 * allowed) and returns CLI_UNUSABLE. Free with cli_problems_free() in any case.
 */
int cli_problems_read(const cli_options *options, const fl4_device_info *device, const char *fallback,
                      cli_problems *problems);
void cli_problems_free(cli_problems *problems);

/* For readers of files. Each adds to the list; `where` starts the message about what is wrong. */
int cli_problems_add(cli_problems *problems, const char *where, const char *line, const char *note);
int cli_problems_add_set(cli_problems *problems, const char *where, const char *set, const fl4_device_info *device);
int cli_problems_add_yaml(cli_problems *problems, const char *path, const fl4_device_info *device);

#endif

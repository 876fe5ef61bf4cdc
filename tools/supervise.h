/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A command that runs itself a second time, watches that process, and starts it again when it crashes
 * or hangs. What the child has finished, it leaves with the supervisor; the rest it must find again by
 * itself, as a tuning does in its log.
 */
#ifndef FL4_SUPERVISE_H
#define FL4_SUPERVISE_H

#include <limits.h>

#include "cli.h"

/* How a child asks to be started again. */
enum { SUPERVISED_AGAIN = 75 };

/* The child's side. */
typedef struct supervised {
  int restarts;          /* how often it was started again */
  int pipe;              /* signs of life go there */
  char folder[PATH_MAX]; /* for its files; goes when all is over */
} supervised;

/* Is this process such a child? */
bool supervised_open(supervised *child);

/* It works and has just got on: from now on it is killed when it falls silent. */
void supervised_alive(const supervised *child);
/* What it does now may take any time. */
void supervised_idle(const supervised *child);

/* Leaves an object with the supervisor; it is still the caller's. Returns CLI_GOOD, or says why not. */
int supervised_leave(const supervised *child, const json_t *object);
/* All that was left so far, also by those who ran before, in order. */
json_t *supervised_left(const supervised *child);

/* The supervisor's side. */
typedef struct supervise {
  const cli_options *options;
  const char *log; /* a file that grows is a sign of life too; NULL: "log" in the folder */
  double patience; /* seconds of silence that it bears */
  bool input;      /* the child wants standard input */
} supervise;

/*
 * Runs the command under supervision; the exit code is the child's. Ctrl-C asks the child to end, a
 * second one kills it. At most 20 restarts.
 */
int supervise_run(const supervise *supervise);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* Runs another program without a shell, keeps what it says, and ends it when its time is over. */
#ifndef FL4_PROCESS_H
#define FL4_PROCESS_H

#include <stdbool.h>

typedef struct cli_process {
  char *out, *err; /* all that it wrote, with a final zero; free with cli_process_free() */
  int exit_code;   /* as a shell shows it: 128 + N if signal N ended it */
  bool timed_out;  /* it was ended after its time */
  int interrupted; /* the signal that asked us to end while it ran, 0 if none did; it was ended */
  bool cut;        /* it wrote more than is kept */
} cli_process;

/*
 * Runs argv[0], a file, with the arguments argv and no input, in a process group of its own, and
 * waits for it. After `seconds`, or on SIGINT, SIGTERM or SIGHUP, the whole group is killed; what is
 * left of the group when the program itself ends is killed too. Not for several threads at once.
 * Returns 0, or the errno of what failed; then nothing was run.
 */
int cli_process_run(const char *const *argv, double seconds, cli_process *process);
void cli_process_free(cli_process *process);

#endif

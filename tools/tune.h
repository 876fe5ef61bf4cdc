/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of fl4 tune: one tuning, its report, the space, the ablation, the replay. */
#ifndef FL4_TOOLS_TUNE_H
#define FL4_TOOLS_TUNE_H

#include <flashl4/bench.h>
#include <flashl4/tune.h>
#include <flashl4/wisdom.h>

#include "cli.h"
#include "problems.h"
#include "supervise.h"

typedef struct tune {
  const cli_options *options;
  fl4_context *ctx;
  fl4_device_info device;
  fl4_tune_options settings;
  cli_problems problems;
  supervised *parent; /* who watches; NULL: nobody */
  json_t *results;    /* by problem line: what docs/tune.md calls a result */
} tune;

/*
 * Tunes one problem, with a line of progress, and gives what docs/tune.md calls a result; the status
 * is that of fl4_tune(). FL4_CANCELLED has a result, too.
 */
fl4_status tune_problem(tune *tune, size_t index, json_t **result);

/* From here on Ctrl-C asks to stop, and a second one ends the program; the supervisor asks its child likewise. */
void tune_catch_interrupts(const tune *tune);
bool tune_interrupted(void);

/* What a result says, for people. */
void tune_show(const json_t *result, bool quiet);
void tune_show_ablation(const json_t *result);
void tune_markdown(const json_t *results, FILE *file);

/* What there is to choose from. Returns the object of docs/tune.md, and shows it unless `show` is false. */
json_t *tune_space(tune *tune, const cli_problem *problem, bool show, fl4_status *status);

/*
 * Times `variant` (what it does not name is chosen) beside itself with each parameter changed, but for
 * what `result` (may be NULL) knows to fail. Returns the object of docs/tune.md.
 */
json_t *tune_ablate(tune *tune, const cli_problem *problem, const char *variant, const json_t *result,
                    fl4_status *status);

/* --replay; needs no device. Returns the exit code. */
int tune_replay(const cli_options *options);

/* Of a result's object. NaN, 0 or "" where there is no such number or text. */
double tune_number(const json_t *object, const char *key);
const char *tune_text(const json_t *object, const char *key);

#endif

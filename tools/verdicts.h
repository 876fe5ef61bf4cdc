/* SPDX-License-Identifier: Apache-2.0 */
/* Old against new, problem by problem: judged together, shown, and turned into an exit code. */
#ifndef FL4_VERDICTS_H
#define FL4_VERDICTS_H

#include "cli.h"

typedef enum verdict_state {
  VERDICT_JUDGED,     /* both sides have times */
  VERDICT_WRONG,      /* the new side's output is wrong */
  VERDICT_NOT_IN_OLD, /* only the new side has times */
  VERDICT_NOT_IN_NEW, /* only the old side has times */
  VERDICT_NOT_TIMED,  /* neither has, as for what is not supported */
  VERDICT_N_STATES,
} verdict_state;

/* Texts and samples belong to whoever made the verdict. */
typedef struct verdict {
  const char *problem, *contender, *mode, *old_variant, *new_variant;
  fl4_inputs inputs;
  bool cold;
  verdict_state state;
  char remark[256]; /* why it is not judged, or by what it was matched */
  fl4_statistics old_times, new_times;
  fl4_comparison comparison;
} verdict;

enum { VERDICTS_WARNINGS = 8 };
typedef struct verdicts {
  verdict *items;
  size_t n, room;
  double threshold;
  char warnings[VERDICTS_WARNINGS][320];
  size_t n_warnings;
} verdicts;

/* A new verdict at the end, all empty; NULL without memory. */
verdict *verdicts_add(verdicts *v);
void verdicts_free(verdicts *v);

/* Says something loudly, and keeps it for the reports. */
void verdicts_warn(verdicts *v, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Of a remark or an error only the first line, since it goes into a table. */
void verdict_remark(verdict *v, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Compares two samples from two runs. */
int verdict_compare(verdict *v, double threshold, const double *old_samples, int64_t n_old, const double *new_samples,
                    int64_t n_new);
/* All together; before it no comparison has its final verdict. */
int verdicts_judge(verdicts *v);
/* CLI_GOOD, CLI_NEGATIVE, CLI_AMBIGUOUS or CLI_UNUSABLE. */
int verdicts_exit(const verdicts *v, const cli_options *options);

void verdicts_show(const verdicts *v, const cli_options *options);
void verdicts_markdown(const verdicts *v, FILE *file);
/* Sets "threshold", "warnings", "verdicts" and "summary". */
void verdicts_json(const verdicts *v, json_t *object, int code);

#endif

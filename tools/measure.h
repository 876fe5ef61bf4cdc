/* SPDX-License-Identifier: Apache-2.0 */
/* Times problems into a report, with a line of progress, and so that Ctrl-C loses nothing. */
#ifndef FL4_MEASURE_H
#define FL4_MEASURE_H

#include "report.h"

typedef struct measure {
  report *report;
  bool progress;
  size_t done, total; /* problems with inputs */
  double *samples;    /* room for the samples of most_contenders */
  fl4_bench_result *results;
  size_t most_contenders;
  const char *line; /* the problem that is being timed */
  fl4_inputs inputs;
} measure;

/* From here on Ctrl-C asks to stop; a second one ends the program. */
int measure_open(measure *measure, report *report, size_t most_contenders, size_t total);
void measure_close(measure *measure);

/* Did somebody press Ctrl-C? */
bool measure_interrupted(void);

/*
 * Times a problem with the report's settings and n of its contenders from `first` on, of which the
 * first is the base, and adds a row for each. FL4_CANCELLED adds none.
 */
fl4_status measure_problem(measure *measure, const char *line, fl4_inputs inputs, size_t first, size_t n);

/* The exit code of a failed measure_problem(), said on standard error. */
int measure_failed(const measure *measure, fl4_status status);

/* Measures what the device can do at most; its rows then tell how much of it they reach. */
int measure_limits(report *report);

#endif

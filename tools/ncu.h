/* SPDX-License-Identifier: Apache-2.0 */
/* Nsight Compute's command line: where it is, what it measured, why it did not. */
#ifndef FL4_NCU_H
#define FL4_NCU_H

#include <limits.h>
#include <stddef.h>

typedef struct ncu_metric {
  char *name, *unit, *text; /* as ncu wrote them */
  double value;             /* NaN: the text is no number, as "n/a" where this GPU has no such metric */
} ncu_metric;

/* The first launch that ncu reports: its columns, "Kernel Name" and the like among them. */
typedef struct ncu_report {
  ncu_metric *metrics;
  size_t n;
} ncu_report;

/*
 * Finds ncu: $FLASHL4_NCU (a file, or a name to look for on the PATH), else on the PATH, else where
 * its installers put it. Returns CLI_GOOD, or says what is missing and returns CLI_DEVICE.
 */
int ncu_find(char path[PATH_MAX]);

/* A number as ncu prints it, "1,234.5"; NaN for anything else. */
double ncu_number(const char *text);

typedef enum ncu_outcome {
  NCU_READ,    /* a launch was read */
  NCU_NONE,    /* no table of results, or an empty one */
  NCU_GARBLED, /* a table that is not as ncu writes it */
} ncu_outcome;

/*
 * Reads what `ncu --csv --page raw` wrote: a row of names, one of units, one for each launch,
 * between ncu's own messages and what the program wrote. Ends the program if memory runs out. Free
 * with ncu_free() in any case.
 */
ncu_outcome ncu_read(const char *output, ncu_report *report);
void ncu_free(ncu_report *report);

/* NULL if there is no such column. */
const ncu_metric *ncu_find_metric(const ncu_report *report, const char *name);

/* What a message of ncu means and what to do about it; NULL if it says nothing known. */
const char *ncu_explain(const char *output);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* The evaluations of a file, as JSON: a T4 file, or a log of ours, either gzipped or not. */
#ifndef FL4_TUNE_RESULTS_H
#define FL4_TUNE_RESULTS_H

#include <jansson.h>
#include <stdint.h>

#include <flashl4/status.h>

typedef struct fl4__results {
  json_t *array; /* objects, each with an object "configuration" */
  int64_t *line; /* of a log: where each stands; NULL: a T4 file, where it is its index */
} fl4__results;

/* FL4_IO_ERROR with file and place. */
fl4_status fl4__results_read(const char *file, fl4__results *results);
void fl4__results_close(fl4__results *results);

/* "line 12", "results[11]". */
void fl4__results_place(const fl4__results *results, size_t index, char place[32]);

#endif

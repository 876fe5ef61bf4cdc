/* SPDX-License-Identifier: Apache-2.0 */
/* Reads a file of schema flashl4-bench-1. Whatever is wrong with it is said with the place, "results[3].cold". */
#ifndef FL4_RESULTS_H
#define FL4_RESULTS_H

#include "report.h"

/* A result that was read. Texts belong to the file. */
typedef struct result {
  const char *problem, *contender, *mode, *variant, *error;
  fl4_inputs inputs;
  bool cold;
  bool again; /* its contender can be run again from the file: it is neither a peer nor another library */
  const char *asked_variant; /* NULL: the library's choice */
  report_outcome outcome;
  double *samples; /* of a timed one, at least one */
  int64_t n;
  fl4_statistics statistics; /* of the samples, not what the file says */
} result;

typedef struct results {
  const char *file;
  json_t *root;
  const char *device, *name, *isa; /* "cuda:0", "NVIDIA H200", "sm_90" */
  int64_t multiprocessors;
  const char *library, *time;
  fl4_limits limits; /* 0: not measured */
  fl4_bench_options options;
  result *rows;
  size_t n;
} results;

/* Returns CLI_GOOD, or says what is wrong and returns CLI_UNUSABLE. Free in any case. */
int results_read(const char *file, results *results);
void results_free(results *results);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The log of a tuning: one JSON object a line in the words of the T4 format, appended and synced line
 * by line, so that whatever ends the process loses at most the evaluation that was under way.
 *
 * First a line that says what is tuned ("tuning": schema, problem, device, family, space hash, source
 * hash, mode, inputs, environment); then for each evaluation a line that it begins ("begin": variant,
 * evaluation, configuration) and one with its outcome (timestamp, configuration, times, invalidity, correctness,
 * measurements, and in "flashl4" what T4 has no word for). A reader of T4 skips what has no
 * "configuration". A begin without an outcome is a candidate that took the process with it.
 */
#ifndef FL4_TUNE_LOG_H
#define FL4_TUNE_LOG_H

#include <flashl4/tune.h>

#include "variant.h"

typedef struct fl4__tune_log fl4__tune_log;

/* What a log is about: lines of anything else in the file are passed over. */
typedef struct fl4__tune_subject {
  char problem[FL4_PROBLEM_LINE_MAX];
  char device[64];
  const fl4__family *family;
  uint64_t space_hash;  /* of the family's parameters and their values */
  uint64_t source_hash; /* of the kernel's sources; 0 on the host */
  char mode[16], inputs[16];
  int32_t cold;
} fl4__tune_subject;

/*
 * Opens (makes) the file and hands each earlier outcome of the same subject to `earlier`, in order: the
 * last one of a variant counts. A begin without an outcome comes as FL4_INVALIDITY_RUNTIME. A last line
 * that was cut off is passed over. FL4_IO_ERROR with the file's name; a file that two processes write is refused.
 */
fl4_status fl4__tune_log_open(const char *file, const fl4__tune_subject *subject,
                              fl4_status (*earlier)(const fl4_tune_candidate *candidate, void *user), void *user,
                              fl4__tune_log **log);
void fl4__tune_log_close(fl4__tune_log *log); /* NULL is fine */

fl4_status fl4__tune_log_begin(fl4__tune_log *log, const char *variant, int evaluation);
/* `samples`: n times in microseconds, or NULL. */
fl4_status fl4__tune_log_end(fl4__tune_log *log, const fl4_tune_candidate *candidate, const double *samples, int64_t n);

/* A recorded space, from any T4 file or log: axes from the configurations, costs by point. */
typedef struct fl4__record {
  struct fl4__space *space;
  double *cost; /* [n_points]; INFINITY: failed */
  int64_t failed;
} fl4__record;

fl4_status fl4__record_read(const char *file, fl4__record *record);
void fl4__record_close(fl4__record *record);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* The lines of a log as JSON. Writers return NULL for want of memory; readers false where something is not right. */
#ifndef FL4_TUNE_LOG_LINE_H
#define FL4_TUNE_LOG_LINE_H

#include <jansson.h>
#include <stdbool.h>

#include "tune/log.h"

/* A log begins with this. */
#define FL4__LOG_MAGIC "{\"tuning\":"

json_t *fl4__log_tuning(const fl4__tune_subject *subject);
json_t *fl4__log_begin(const fl4__variant *variant, int evaluation);
json_t *fl4__log_end(const fl4_tune_candidate *candidate, const fl4__variant *variant, const double *samples,
                     int64_t n);

/* The outcome that a line tells of. */
bool fl4__log_read_end(const json_t *line, fl4_tune_candidate *candidate);
/* What began and has no outcome. */
bool fl4__log_read_begin(const json_t *begin, fl4_tune_candidate *candidate);

#endif

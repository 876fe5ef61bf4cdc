/* SPDX-License-Identifier: Apache-2.0 */
/* FLASHL4_CAPTURE=file: each distinct problem that a program runs, once, as a line that tuning reads. */
#ifndef FL4_CAPTURE_H
#define FL4_CAPTURE_H

#include "log.h"
#include "problem.h"

typedef struct fl4__capture fl4__capture;

/*
 * The recording into the file that the variable names; NULL if it names none, or the file cannot be
 * written, which is logged. One a process and file, shared by all contexts; it stays until the end.
 */
fl4__capture *fl4__capture_open(const fl4__log *log);

/* Appends the problem's line, unless this process has done so. Some ten nanoseconds then. */
void fl4__capture_problem(fl4__capture *capture, const fl4__problem *problem, const fl4_fwd_params *params);

#endif

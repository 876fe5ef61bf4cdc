/* SPDX-License-Identifier: Apache-2.0 */
/* What the numbers of a profile say: each beside its limit, with what to do if it does not hold. */
#ifndef FL4_PROFILE_LINES_H
#define FL4_PROFILE_LINES_H

#include <stdbool.h>

#include "ncu.h"

typedef enum profile_verdict {
  PROFILE_INFO, /* no limit belongs to it */
  PROFILE_GOOD,
  PROFILE_LOOK,    /* the limit does not hold */
  PROFILE_UNKNOWN, /* ncu has no such number here */
} profile_verdict;

typedef struct profile_line {
  const char *name;
  char measured[64], limit[24];
  profile_verdict verdict;
  const char *metric; /* where the value comes from */
  double value;       /* NaN: unknown */
  double bound;       /* NaN: none */
  bool at_least;      /* the value must be at least the bound, else at most */
  char advice[320];   /* for PROFILE_LOOK: what it means and what to try; else "", or a remark */
} profile_line;

/* A reason why warps wait. */
typedef struct profile_stall {
  const char *name, *advice;
  double cycles; /* between two instructions of a warp, on average */
  double share;  /* of all that is between them, 0 … 1; NaN if the whole is not known */
} profile_stall;

/* What is known besides ncu's numbers. */
typedef struct profile_facts {
  double intensity;   /* operations of the problem for each byte it must move */
  double spill_bytes; /* as the compiler says; NaN: not known */
} profile_facts;

enum { PROFILE_LINES = 9, PROFILE_STALLS = 3 };

/* All metrics that are wanted, with commas between, as ncu takes them. */
const char *profile_metrics(void);
/* The section of ncu that counts what the addresses of shared-memory instructions cost, instruction by instruction. */
#define PROFILE_SECTION "SourceCounters"

/* Few operations a byte: what it can reach at best is the speed of the memory. */
bool profile_memory_bound(const profile_facts *facts);

void profile_judge(const ncu_report *report, const profile_facts *facts, profile_line lines[PROFILE_LINES]);

/* The reasons that cost most, the worst first. Returns how many there are, at most PROFILE_STALLS. */
int profile_stalls(const ncu_report *report, profile_stall stalls[PROFILE_STALLS]);

#endif

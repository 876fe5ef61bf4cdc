/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tokens for engine_decode.c, and the results that it must get: by the fp64 oracle, from keys and values that are put side by
 * side and turned here, so that it shares nothing with the cache.
 */
#ifndef DECODE_REFERENCE_H
#define DECODE_REFERENCE_H

#include <flashl4/flashl4.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Sequence b begins with a prompt, none longer than `longest`, and never has more than `capacity` tokens. */
typedef struct model {
  int B, Hq, Hkv, D, longest, capacity;
} model;

/* Elements of a token's row: queries, keys and values. */
static inline int64_t token_size(const model *m)
{
  return (int64_t)(m->Hq + 2 * m->Hkv) * m->D;
}

typedef struct reference {
  model m;
  int32_t *first;       /* [B + 1] where prompts begin */
  uint16_t *prompt;     /* rows of the prompts' tokens, bf16 */
  uint16_t *steps;      /* [step][B] rows of later tokens */
  float *cosine, *sine; /* [capacity][D / 2] */
} reference;

reference reference_of(const model *m, int steps);

/* `found` has the results of the prompts, then those of each step. Returns how many calls are wrong, and says which. */
int reference_check(const reference *r, const uint16_t *found, int steps);

void reference_free(reference *r);

/* Ends the program if something failed. */
void *or_die(void *memory);
void fl4(fl4_status status);

#endif

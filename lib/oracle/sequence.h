/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a sequence's rows lie, and which keys its queries see: the specification of fl4_attention_args in code, for what
 * runs on this machine. Lengths, tables and tensors are in this machine's memory.
 */
#ifndef FL4_ORACLE_SEQUENCE_H
#define FL4_ORACLE_SEQUENCE_H

#include "problem.h"

/* A sequence of the batch. Whatever the lengths in memory say, rows lie inside their tensors. */
typedef struct fl4__sequence {
  int64_t b;                      /* of what has a batch dimension */
  int64_t queries, keys;          /* how many there are */
  int64_t first_query, first_key; /* row of ragged tensors, else 0 */
} fl4__sequence;

fl4__sequence fl4__sequence_of(const fl4__problem *problem, const fl4_fwd_params *params, int64_t b);

/* Keys first … end − 1 that query i sees by the mask; none: first = end. */
typedef struct fl4__key_range {
  int64_t first, end;
} fl4__key_range;

fl4__key_range fl4__keys_seen(const fl4__problem *problem, const fl4_fwd_params *params, const fl4__sequence *s,
                              int64_t i);

/* Element offsets of rows, by the strides of their tensor: of query i, with b and h; of key j of a key/value head. */
int64_t fl4__query_row(const fl4__problem *problem, const fl4__sequence *s, const fl4_i64 stride[3], int64_t h,
                       int64_t i);
int64_t fl4__key_row(const fl4__problem *problem, const fl4_fwd_params *params, const fl4__sequence *s,
                     const fl4_i64 stride[3], int64_t h, int64_t j);

#endif

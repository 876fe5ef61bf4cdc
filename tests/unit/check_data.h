/* SPDX-License-Identifier: Apache-2.0 */
/* For tests of the check's pieces: a problem's inputs in memory, and a call on them. */
#ifndef FL4_TEST_CHECK_DATA_H
#define FL4_TEST_CHECK_DATA_H

#include <math.h>
#include <stdbool.h>

#include "fl4_test.h"
#include "oracle/check.h"

static inline fl4_problem problem_of(const char *line)
{
  fl4_problem p = FL4_PROBLEM_INIT;
  ck_assert_fl4(fl4_problem_parse(line, &p));
  return p;
}

/* A problem's inputs in memory. */
typedef struct data {
  fl4_problem p;
  fl4__placement at;
  void *buffer;
} data;

static inline data make_data(const char *line, fl4_inputs inputs, uint64_t seed)
{
  data d = {.p = problem_of(line)};
  ck_assert_fl4(fl4__place(&d.p, &d.at));
  d.buffer = malloc((size_t)d.at.input_elements * (size_t)fl4__dtype_size(d.p.dtype));
  ck_assert_ptr_nonnull(d.buffer);
  fl4__inputs_fill(&d.p, &d.at, seed, inputs, d.buffer);
  return d;
}

static inline double element(const data *x, const fl4__tensor *t, int64_t b, int64_t h, int64_t s, int64_t d)
{
  return (double)fl4__load(x->buffer, x->p.dtype,
                           t->offset + b * t->stride[0] + h * t->stride[1] + s * t->stride[2] + d);
}

static inline fl4_attention_args args_of(const data *x)
{
  fl4_attention_args a = fl4__placement_args(&x->p, &x->at, x->buffer, x->buffer, x->buffer);
  a.o = NULL, a.lse = NULL;
  return a;
}

#endif

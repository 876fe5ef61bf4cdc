/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pieces of a check, shared by fl4_check(), the tests and (later) the tuner: inputs that bite,
 * tensors laid out with NaN around them, and the one rule by which an output is judged.
 */
#ifndef FL4_ORACLE_CHECK_H
#define FL4_ORACLE_CHECK_H

#include <flashl4/attention.h>
#include <flashl4/check.h>

#include "problem.h"

/* Element conversion, round to nearest even; NaN stays NaN. */
float fl4__load(const void *elements, int dtype, int64_t index);
void fl4__store(void *elements, int dtype, int64_t index, float value);
/* `x` rounded to the dtype, as a double: one rounding, also from fp64. */
double fl4__round_to(double x, int dtype);
/* Unit in the last place of 1: 2⁻¹⁰, 2⁻⁷, 2⁻²³. */
double fl4__epsilon(int dtype);

/* One tensor of a problem in its buffer, all in elements. */
typedef struct fl4__tensor {
  int64_t offset;    /* of element [0][0][0][0] in the buffer */
  int64_t stride[3]; /* [b, h, s] */
  int64_t B, H, S;   /* batches, heads, rows: as in memory, so 1 and all rows if they are ragged; pages are batches */
} fl4__tensor;

/*
 * Where everything lies. Input buffer: q, k and v with gaps, and what else the call reads, if it does. Output buffer: o with
 * guards around.
 */
typedef struct fl4__placement {
  fl4__tensor q, k, v, o;
  int64_t input_elements, output_elements;
  int64_t lse_offset, lse_elements; /* floats, contiguous [B][Hq][Sq] (or [Hq][rows]) between guards */
  /* In the input buffer; 0: not there. Types are their own, offsets count elements of the problem's type. */
  int64_t slopes, sinks, bias, cu_q, cu_k, used_k, table;
  int64_t bias_size[4]; /* [b, h, i, j]; 1 where it is shared */
  int64_t columns;      /* of the table */
} fl4__placement;

enum { FL4__GUARD = 512 }; /* elements before and behind each tensor */

fl4_status fl4__place(const fl4_problem *problem, fl4__placement *placement);

/* The call on buffers that are laid out so. Nothing is read through them. */
fl4_attention_args fl4__placement_args(const fl4_problem *problem, const fl4__placement *placement, void *input,
                                       void *output, void *lse);

/* What the library makes of that call, whatever the buffers. */
fl4_status fl4__problem_call(const fl4_problem *problem, fl4__problem *call);

/*
 * Fills the input buffer: data in the tensors, as far as the lengths go, NaN everywhere else. Same data for every layout,
 * ragged, paged or not.
 */
void fl4__inputs_fill(const fl4_problem *problem, const fl4__placement *placement, uint64_t seed, fl4_inputs inputs,
                      void *buffer);

/* Fills outputs with a canary pattern that is a NaN in every dtype. */
void fl4__canary_fill(void *buffer, size_t bytes);
/* Index of the first element outside the tensor `o` (or the LSE) that is no longer the canary, or -1. */
int64_t fl4__canary_check_output(const fl4_problem *problem, const fl4__placement *placement, const void *buffer);
int64_t fl4__canary_check_lse(const fl4_problem *problem, const fl4__placement *placement, const float *buffer);

/* Running comparison of an output with a reference; add rows, then judge. */
typedef struct fl4__compare {
  int dtype;
  int64_t D;
  int64_t n, nonfinite;
  double max_error, sum_error, max_low, sum_low, max_ref, sum_ref;
  double sum_out, sum_out2, sum_ref1, sum_ref2, sum_out_ref; /* for correlation and scale */
  int64_t worst[4];
  double worst_out, worst_ref;
  double max_lse_error, max_lse;
  int64_t lse_wrong; /* rows where one is infinite and the other is not, or NaN */
} fl4__compare;

void fl4__compare_init(fl4__compare *c, int dtype, int64_t D);
/* One element of O at [b, h, i, d]. */
void fl4__compare_add(fl4__compare *c, const int64_t at[4], double out, double ref, double low);
void fl4__compare_lse(fl4__compare *c, double out, double ref);
/* Joins two parts, as threads make them. */
void fl4__compare_merge(fl4__compare *into, const fl4__compare *from);
/* Applies the rule: fills the accuracy fields of `result` (not canaries, determinism, oracle). */
void fl4__compare_judge(const fl4__compare *c, bool lse, fl4_check_result *result);

#endif

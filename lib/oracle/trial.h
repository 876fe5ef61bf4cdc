/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A problem for real: its data on a device, in one or several sets, and the reference by which outputs
 * are judged. Shared by fl4_check(), the benchmark and the tuner.
 */
#ifndef FL4_ORACLE_TRIAL_H
#define FL4_ORACLE_TRIAL_H

#include <flashl4/attention.h>

#include "oracle/check.h"
#include "oracle/sequence.h"

/* One set of outputs. */
typedef struct fl4__output {
  void *o, *lse; /* device memory: whole buffers, guards included */
} fl4__output;

/* The data of a problem on a device. */
typedef struct fl4__trial {
  fl4_context *ctx;
  fl4_problem problem;
  uint64_t seed;
  fl4_inputs inputs;
  fl4__placement placement;
  int element; /* bytes */
  size_t input_bytes, output_bytes, lse_bytes;
  int copies;
  void **d_input;        /* [copies], device memory; equal data */
  fl4__problem call;     /* what the library makes of it */
  fl4_fwd_params params; /* on this machine's memory */
  char *input;           /* the same on this machine, for the fp64 oracle */
  char *output;          /* where an output is brought to be judged */
  float *lse;
} fl4__trial;

/*
 * Lays the problem out, makes its inputs and brings them to the device, `copies` times; if device
 * memory runs out for a second or later copy, with fewer (trial->copies tells). close() also after a
 * failed open.
 */
fl4_status fl4__trial_open(fl4__trial *trial, fl4_context *ctx, const fl4_problem *problem, uint64_t seed,
                           fl4_inputs inputs, int copies);
/* More sets of inputs, as far as device memory goes, or fewer: at least one. trial->copies tells. */
fl4_status fl4__trial_set_copies(fl4__trial *trial, int copies);
void fl4__trial_close(fl4__trial *trial);

/* Outputs for the trial, on its device. */
fl4_status fl4__output_open(const fl4__trial *trial, fl4__output *output);
void fl4__output_close(const fl4__trial *trial, fl4__output *output);
/* Fills outputs with canaries, which are NaN. Waits. */
fl4_status fl4__output_poison(const fl4__trial *trial, const fl4__output *output);

/* The call: set number `copy` of the inputs, into these outputs. */
fl4_attention_args fl4__trial_args(const fl4__trial *trial, int copy, const fl4__output *output);
/* The same on this machine's memory. */
fl4_attention_args fl4__trial_host_args(const fl4__trial *trial);

/* Where a row of O lies in trial->output, and its LSE in trial->lse; elements. */
int64_t fl4__trial_output_row(const fl4__trial *trial, const fl4__sequence *s, int64_t h, int64_t i);
int64_t fl4__trial_lse_row(const fl4__trial *trial, const fl4__sequence *s, int64_t h, int64_t i);

/* References for a trial's data: computed once, used for any number of outputs, on any device. */
typedef struct fl4__reference fl4__reference;
fl4_status fl4__reference_open(const fl4__trial *trial, fl4_oracle oracle, fl4__reference **reference);
void fl4__reference_close(fl4__reference *reference);

/*
 * Brings an output here (trial->output, trial->lse) and judges it: canaries and the oracle's rule.
 * `trial` may be on another device than the reference's, if problem, seed and inputs are the same.
 * Fills all fields of `result` but deterministic, variant, times and resources; `passed` is that of
 * the rest.
 */
fl4_status fl4__output_judge(const fl4__trial *trial, const fl4__output *output, const fl4__reference *reference,
                             fl4_check_result *result);

#endif

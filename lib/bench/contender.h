/* SPDX-License-Identifier: Apache-2.0 */
/* Those that are timed beside each other: this library as it is, a forced variant, an oracle, another build. */
#ifndef FL4_BENCH_CONTENDER_H
#define FL4_BENCH_CONTENDER_H

#include <flashl4/bench.h>

#include "context.h"
#include "oracle/trial.h"

/* The functions of a build of the library, this one or one that was opened. */
typedef struct fl4__library {
  void *handle; /* NULL: this library */
  char version[64];
  fl4_status (*context_create)(fl4_context **, const fl4_context_options *);
  void (*context_destroy)(fl4_context **);
  fl4_status (*attention_forward)(fl4_context *, const fl4_attention_args *, fl4_stream);
  fl4_status (*attention_prepare)(fl4_context *, const fl4_attention_args *);
  fl4_status (*attention_plan_info)(fl4_context *, const fl4_attention_args *, fl4_plan_info *);
  const char *(*last_error)(void);
} fl4__library;

/* NULL: this library. A file that is none, or too old, is FL4_LIBRARY_MISSING with the reason. close() also then. */
fl4_status fl4__library_open(const char *file, fl4__library *library);
void fl4__library_close(fl4__library *library);

typedef struct fl4__contender {
  fl4_contender_kind kind;
  char name[64];
  fl4__library library;
  fl4_context *ctx;  /* of `library`: opaque unless it is this one */
  bool own_ctx;      /* made for the contender */
  fl4_context *home; /* a context of this library on the contender's device: its memory and its clock */
  bool own_home;
  void *scratch;   /* memory on the home device: for an oracle's result, or around the workspace */
  void *workspace; /* for the calls on one problem; NULL: they need none */
  size_t workspace_bytes;
} fl4__contender;

/*
 * `ctx` is the caller's context: options not given by the contender (cache, kernels, log, threads) are
 * the same as its own.
 */
fl4_status fl4__contender_open(fl4_context *ctx, const fl4_bench_contender *description, fl4__contender *contender);
void fl4__contender_close(fl4__contender *contender); /* also after a failed open */

/*
 * Makes the call ready, takes the workspace that it needs, and tells its plan. Errors of another library
 * become this one's fl4_last_error().
 */
fl4_status fl4__contender_prepare(fl4__contender *contender, const fl4_attention_args *args, fl4_plan_info *plan);
/* One call, with the workspace; calls must not overlap. An oracle leaves its result in the scratch, not in args->o. */
fl4_status fl4__contender_run(fl4__contender *contender, const fl4_attention_args *args, fl4_stream stream);
/*
 * Brings an oracle's result, rounded to the dtype, from its scratch into an output of the trial, so that
 * it can be judged like any other, and poisons the scratch. Nothing to do for other contenders.
 */
fl4_status fl4__contender_collect(fl4__contender *contender, const fl4__trial *trial, const fl4__output *output);
/* Frees what prepare() took for one problem. */
void fl4__contender_rest(fl4__contender *contender);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kernels of a batch, built on other threads while one measures. They are taken in the batch's order,
 * in whatever order they get ready.
 */
#ifndef FL4_TUNE_COMPILE_H
#define FL4_TUNE_COMPILE_H

#include "device.h"
#include "tune/search.h"

/* A build and what came of it. */
typedef struct fl4__job {
  fl4__build build;
  const fl4__kernel *kernel;
  fl4_status status;
  double ms; /* that building took; 0: it was there already */
  char error[256];
} fl4__job;

typedef struct fl4__compiler fl4__compiler;

/* 0 threads: who waits builds. The device must outlive it. */
fl4_status fl4__compiler_open(fl4__device *device, int threads, fl4__compiler **compiler);
/* Waits for what is being built; NULL is fine. */
void fl4__compiler_close(fl4__compiler *compiler);

/* The next batch, at most FL4__BATCH builds; the one before is forgotten, after what is under way. */
void fl4__compiler_begin(fl4__compiler *compiler, const fl4__build *builds, int n);
/* True with the outcome of a build; false if it is not ready within `ms`, then wait again. */
bool fl4__compiler_wait(fl4__compiler *compiler, int i, int ms, fl4__job *job);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* The host kernel's driver: which instruction set, which thread does which task. */
#include "forward.h"

#include <string.h>

#ifdef _OPENMP
#include <omp.h>
#endif

/* ---------------------------------------------------------------- instruction sets */

fl4__host_task fl4__host_task_generic;
fl4__host_fma fl4__host_fma_generic;
fl4__host_read fl4__host_read_generic;

static bool always(void)
{
  return true;
}

#ifdef FL4_HOST_HAS_AVX2
fl4__host_task fl4__host_task_avx2;
fl4__host_fma fl4__host_fma_avx2;
fl4__host_read fl4__host_read_avx2;

/* The file is compiled for x86-64-v3; every CPU with these has the rest of v3 too. */
static bool has_avx2(void)
{
  __builtin_cpu_init();
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi") &&
         __builtin_cpu_supports("bmi2");
}
#endif

#ifdef FL4_HOST_HAS_AVX512
fl4__host_task fl4__host_task_avx512;
fl4__host_fma fl4__host_fma_avx512;
fl4__host_read fl4__host_read_avx512;

static bool has_avx512(void)
{
  return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}
#endif

const fl4__host_isa fl4__host_isas[] = {
#ifdef FL4_HOST_HAS_AVX512
    {"avx512", has_avx512, fl4__host_task_avx512, fl4__host_fma_avx512, fl4__host_read_avx512},
#endif
#ifdef FL4_HOST_HAS_AVX2
    {"avx2", has_avx2, fl4__host_task_avx2, fl4__host_fma_avx2, fl4__host_read_avx2},
#endif
    {"generic", always, fl4__host_task_generic, fl4__host_fma_generic, fl4__host_read_generic},
    {NULL, NULL, NULL, NULL, NULL},
};

const char *fl4__host_isa_forced = NULL;

const fl4__host_isa *fl4__host_isa_best(void)
{
  const fl4__host_isa *isa = fl4__host_isas;
  for (; isa[1].name; isa++)
    if (isa->supported() && (!fl4__host_isa_forced || strcmp(fl4__host_isa_forced, isa->name) == 0)) break;
  return isa;
}

/* ---------------------------------------------------------------- threads */

int fl4__host_default_threads(void)
{
#ifdef _OPENMP
  return omp_get_max_threads();
#else
  return 1;
#endif
}

void fl4__host_forward(const fl4__host_isa *isa, const fl4__host_job *job, int threads, float *scratch)
{
#ifdef _OPENMP
  const size_t part = fl4__host_scratch_layout(job->bm, job->bn, job->D).total;
  /* Tasks differ in length (masks, ragged batches), and threads in speed: each takes the next when it is free. */
#pragma omp parallel for schedule(dynamic, 1) num_threads(threads) if (threads > 1)
  for (int64_t task = 0; task < job->tasks; task++) isa->task(job, task, scratch + part * (size_t)omp_get_thread_num());
#else
  (void)threads;
  for (int64_t task = 0; task < job->tasks; task++) isa->task(job, task, scratch);
#endif
}

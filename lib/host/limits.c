/* SPDX-License-Identifier: Apache-2.0 */
/* What the CPU can do at most, measured in well under two seconds: see peak.c for what each thread runs. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "device.h"
#include "error.h"
#include "forward.h"
#include "measure.h"
#include "util/os.h"

enum { FEWEST = 5, MOST = 64 }; /* timed runs */
static const double run_ms = 8, all_ms = 300;

typedef struct probe {
  const fl4__host_isa *isa;
  int threads;
  int64_t rounds;  /* of multiply-adds */
  char *memory;    /* a part for each thread */
  size_t part;     /* bytes */
  double done;     /* operations or bytes of a run */
  double nonsense; /* what came out: nobody wants it, but the compiler cannot know */
} probe;

static void run_fma(probe *p)
{
  double done = 0, nonsense = 0;
#pragma omp parallel for schedule(static, 1) num_threads(p->threads) reduction(+ : done, nonsense)
  for (int i = 0; i < p->threads; i++) {
    float result;
    done += p->isa->fma(p->rounds, &result);
    nonsense += (double)result;
  }
  p->done = done, p->nonsense += nonsense;
}

static void run_read(probe *p)
{
  double nonsense = 0;
#pragma omp parallel for schedule(static, 1) num_threads(p->threads) reduction(+ : nonsense)
  for (int i = 0; i < p->threads; i++) nonsense += p->isa->read(p->memory + p->part * (size_t)i, p->part);
  p->done = (double)p->part * p->threads, p->nonsense += nonsense;
}

static double time_of(probe *p, void (*run)(probe *p))
{
  const double start = fl4__now_ms();
  run(p);
  return fl4__now_ms() - start;
}

/* 10⁹ operations or bytes a second: the median of some runs. */
static double rate(probe *p, void (*run)(probe *p))
{
  double each[MOST];
  int n = 0;
  const double start = fl4__now_ms();
  while (n < FEWEST || (n < MOST && fl4__now_ms() - start < all_ms)) each[n++] = time_of(p, run);
  return p->done / fl4__median(each, n) * 1e-6;
}

/*
 * Runs so long that starting and joining threads counts for nothing. How long that is one thread
 * finds out, by the fastest of three: on a busy machine threads wait for each other.
 */
static double fma_gflops(probe *p)
{
  const int threads = p->threads;
  double fastest = 0;
  p->threads = 1;
  for (p->rounds = 1 << 13; fastest < run_ms;) {
    p->rounds *= 2;
    fastest = time_of(p, run_fma);
    for (int i = 0; i < 2; i++) fastest = fmin(fastest, time_of(p, run_fma));
  }
  p->threads = threads;
  return rate(p, run_fma);
}

/* Of memory several times as large as the caches, but no more than an eighth of all. */
static fl4_status read_gbps(probe *p, int64_t memory_bytes, double *gbps)
{
  const size_t page = 4096, caches = 4 * fl4__host_cache_bytes(FL4__HOST_CPUS), most = (size_t)memory_bytes / 8;
  const size_t bytes = most && most < caches ? most : caches;
  p->part = bytes / (size_t)p->threads / page * page + page;
  p->memory = aligned_alloc(page, p->part * (size_t)p->threads);
  if (!p->memory)
    return fl4__fail(FL4_OUT_OF_MEMORY, "host device: no memory for %zu bytes", p->part * (size_t)p->threads);

    /* Each thread touches its part first, so that it lies where that thread runs. */
#pragma omp parallel for schedule(static, 1) num_threads(p->threads)
  for (int i = 0; i < p->threads; i++) memset(p->memory + p->part * (size_t)i, 0x5a + i, p->part);
  *gbps = rate(p, run_read);
  free(p->memory);
  return FL4_OK;
}

fl4_status fl4__host_limits(fl4__device *device, fl4_limits *limits)
{
  probe p = {.isa = fl4__host_isa_best(), .threads = device->info.multiprocessors};
  limits->mma_tflops = 1e-3 * fma_gflops(&p);
  return read_gbps(&p, device->info.memory_bytes, &limits->read_gbps);
}

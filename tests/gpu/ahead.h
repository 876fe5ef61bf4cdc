/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kernels compiled ahead, by as many processes as there are cores: within one process NVRTC compiles little at the same
 * time. The program starts itself again with FL4_TEST_SHARE set; such a process makes the same list of jobs, compiles its
 * share of them into a cubin cache, and ends. The tests then read all from there.
 */
#ifndef FL4_GPU_AHEAD_H
#define FL4_GPU_AHEAD_H

#include <sys/wait.h>
#include <unistd.h>

#include "gpu_test.h"
#include "plan.h"
#include "util/os.h"

typedef struct ahead_job {
  const char *variant;    /* NULL: the library's choice */
  const char *kernel_dir; /* NULL: built in */
  uint32_t flags;         /* of the context */
  char line[FL4_PROBLEM_LINE_MAX];
} ahead_job;

enum { AHEAD_MOST = 32 }; /* processes; each is told "which:of how many:folder of the cache" */

static inline void ahead_quiet(void *user, fl4_log_level level, const char *message)
{
  (void)user, (void)level, (void)message;
}

/* NULL if there can be none: Check allows no assertions outside of its tests. */
static inline fl4_context *ahead_context(const char *kernel_dir, uint32_t flags, const char *cache_dir)
{
  fl4_context_options o = FL4_CONTEXT_OPTIONS_INIT;
  o.device = "cuda", o.kernel_dir = kernel_dir, o.cache_dir = cache_dir, o.flags = flags, o.log = ahead_quiet;
  fl4_context *ctx = NULL;
  return fl4_context_create(&ctx, &o) == FL4_OK ? ctx : NULL;
}

/* What runs a job, as far as it is known without its kernel. Nothing is read at the addresses of the arguments. */
static inline bool ahead_plan(fl4_context *ctx, const ahead_job *job, fl4__plan *plan)
{
  fl4_problem problem = FL4_PROBLEM_INIT;
  fl4__placement place;
  fl4__variant forced = {0};
  fl4__problem p;
  fl4_fwd_params params;
  void *const nowhere = (void *)(uintptr_t)4096;
  if (job->variant && fl4__variant_parse(job->variant, &forced) != FL4_OK) return false;
  if (fl4_problem_parse(job->line, &problem) != FL4_OK || fl4__place(&problem, &place) != FL4_OK) return false;
  const fl4_attention_args args = fl4__placement_args(&problem, &place, nowhere, nowhere, nowhere);
  return fl4__problem_from_args(&args, FL4__NEED_POINTERS, &p, &params) == FL4_OK &&
         fl4__plan_make(ctx->device, &forced, ctx->wisdom, &p, plan) == FL4_OK;
}

/* Compiles every `of`-th kernel of the list, from number `which` on. What fails is left for the tests to meet again. */
static inline bool ahead_compile(const ahead_job *jobs, int n, int which, int of, const char *cache_dir)
{
  fl4__build *seen = calloc((size_t)n + 1, sizeof *seen);
  fl4_context *ctx = NULL;
  int kernels = 0, first = 0; /* those seen from here on are of the same sources */
  for (int i = 0; i < n && seen; i++) {
    if (i == 0 || jobs[i].kernel_dir != jobs[i - 1].kernel_dir || jobs[i].flags != jobs[i - 1].flags) {
      fl4_context_destroy(&ctx);
      ctx = ahead_context(jobs[i].kernel_dir, jobs[i].flags, cache_dir);
      if (!ctx) break;
      first = kernels;
    }
    fl4__plan plan;
    if (!ahead_plan(ctx, &jobs[i], &plan)) continue;
    fl4__build_from(&plan.variant, &plan.problem, ctx->device->config.debug, &seen[kernels]);
    bool known = false;
    for (int k = first; k < kernels && !known; k++) known = memcmp(&seen[k], &seen[kernels], sizeof *seen) == 0;
    if (!known && kernels++ % of == which) (void)fl4__plan_kernel(ctx->device, &plan, false, NULL);
  }
  const bool done = ctx || n == 0;
  fl4_context_destroy(&ctx);
  free(seen);
  return done;
}

/* The first thing that a suite function does once it has its list: ends the program if it is one of those processes. */
static inline void ahead_share(const ahead_job *jobs, int n)
{
  int which, of, length = 0;
  const char *share = getenv("FL4_TEST_SHARE");
  if (!share) return;
  const bool read = sscanf(share, "%d:%d:%n", &which, &of, &length) == 2 && length > 0;
  exit(read && ahead_compile(jobs, n, which, of, share + length) ? 0 : 1);
}

/* Starts those processes and waits for them. */
static inline void ahead_all(const char *cache_dir)
{
  const double start = fl4__now_ms();
  const long cores = sysconf(_SC_NPROCESSORS_ONLN);
  const int of = cores < 1 ? 1 : cores > AHEAD_MOST ? AHEAD_MOST : (int)cores;
  char self[512] = "";
  if (readlink("/proc/self/exe", self, sizeof self - 1) <= 0) ck_abort_msg("this program's file is not known");
  fflush(stdout);
  pid_t process[AHEAD_MOST];
  for (int i = 0; i < of; i++) {
    char share[600];
    snprintf(share, sizeof share, "%d:%d:%s", i, of, cache_dir);
    process[i] = fork();
    ck_assert_int_ge(process[i], 0);
    if (process[i] > 0) continue;
    setenv("FL4_TEST_SHARE", share, 1);
    setenv("OMP_NUM_THREADS", "1", 1);
    execl(self, self, (char *)NULL);
    _exit(127);
  }
  int failed = 0;
  for (int i = 0, status; i < of; i++) failed += waitpid(process[i], &status, 0) != process[i] || status != 0;
  printf("# compiled ahead by %d processes in %.0f s\n", of, (fl4__now_ms() - start) / 1e3);
  fflush(stdout);
  ck_assert_msg(failed == 0, "%d of %d processes that compile ahead failed", failed, of);
}

/* A folder of this run's own. */
static inline void make_temporary(char *folder, size_t size)
{
  snprintf(folder, size, "/tmp/fl4-gpu-XXXXXX");
  ck_assert_ptr_nonnull(mkdtemp(folder));
}

static inline void remove_temporary(const char *folder)
{
  char command[128];
  snprintf(command, sizeof command, "rm -rf '%s'", folder);
  ck_assert_int_eq(system(command), 0);
}

/* For programs that need but few kernels: each is compiled once, whatever the context. */
static char shared_cache_dir[64];

static inline void share_cache(void)
{
  make_temporary(shared_cache_dir, sizeof shared_cache_dir);
  setenv("FLASHL4_CACHE_DIR", shared_cache_dir, 1);
}
static inline void unshare_cache(void)
{
  remove_temporary(shared_cache_dir);
}

#endif

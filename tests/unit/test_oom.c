/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory runs out: the n-th allocation of the library fails, for n = 1, 2, 3 … until a whole
 * scenario gets through. Every failure must be reported as such, free all that was made before, and
 * leave the library usable. Linked with -Wl,--wrap for the functions below, which sees the library's
 * own objects and not those of other shared libraries.
 */
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "fl4_test.h"

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *old, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
int __real_posix_memalign(void **memory, size_t alignment, size_t size);
void __real_free(void *memory);

void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *old, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);
int __wrap_posix_memalign(void **memory, size_t alignment, size_t size);
void __wrap_free(void *memory);

static atomic_int countdown; /* the allocation that makes it 0 fails; negative: none does */
static atomic_int live;      /* blocks that are not freed yet */
static atomic_int failures;  /* allocations that were refused */

static bool refused(void)
{
  if (atomic_load(&countdown) < 0 || atomic_fetch_sub(&countdown, 1) != 1) return false;
  atomic_fetch_add(&failures, 1);
  return true;
}

static void *counted(void *memory)
{
  if (memory) atomic_fetch_add(&live, 1);
  return memory;
}

void *__wrap_malloc(size_t size)
{
  return refused() ? NULL : counted(__real_malloc(size));
}

void *__wrap_calloc(size_t n, size_t size)
{
  return refused() ? NULL : counted(__real_calloc(n, size));
}

void *__wrap_realloc(void *old, size_t size)
{
  if (refused()) return NULL;
  void *memory = __real_realloc(old, size);
  return old ? memory : counted(memory);
}

void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
  return refused() ? NULL : counted(__real_aligned_alloc(alignment, size));
}

int __wrap_posix_memalign(void **memory, size_t alignment, size_t size)
{
  int error = refused() ? 12 /* ENOMEM */ : __real_posix_memalign(memory, alignment, size);
  if (error == 0) counted(*memory);
  return error;
}

void __wrap_free(void *memory)
{
  if (memory) atomic_fetch_sub(&live, 1);
  __real_free(memory);
}

/* All that a program does with memory: a context with all its texts, a call, a check, the end. */
enum { B = 1, Hq = 4, Hkv = 2, Sq = 40, Sk = 50, D = 24 };
static uint16_t q[B * Hq * Sq * D], k[B * Hkv * Sk * D], v[B * Hkv * Sk * D], o[B * Hq * Sq * D];
static float lse[B * Hq * Sq];

static fl4_status use(fl4_context *ctx)
{
  fl4_attention_args args = FL4_ATTENTION_ARGS_INIT;
  args.B = B, args.Hq = Hq, args.Hkv = Hkv, args.Sq = Sq, args.Sk = Sk, args.D = D;
  args.q = q, args.k = k, args.v = v, args.o = o, args.lse = lse;
  fl4_status status = fl4_attention_prepare(ctx, &args);
  if (status == FL4_OK) status = fl4_attention_forward(ctx, &args, NULL);
  if (status != FL4_OK) return status;

  fl4_problem problem = FL4_PROBLEM_INIT;
  fl4_check_options options = FL4_CHECK_OPTIONS_INIT;
  fl4_check_result result = FL4_CHECK_RESULT_INIT;
  options.timed_calls = 2;
  status = fl4_problem_parse("b2hq4hkv2sq33sk41d40:bf16:causal:lse:bshd", &problem);
  if (status == FL4_OK) status = fl4_check(ctx, &problem, &options, &result);
  if (status == FL4_OK && !result.passed) return FL4_INTERNAL; /* memory that is there must do */
  return status;
}

static fl4_status scenario(void)
{
  fl4_context *ctx = NULL;
  fl4_context_options options = FL4_CONTEXT_OPTIONS_INIT;
  options.device = "host", options.variant = "host", options.cache_dir = "x", options.kernel_dir = "y";
  fl4_status status = fl4_context_create(&ctx, &options);
  if (status == FL4_OK) status = use(ctx);
  fl4_context_destroy(&ctx);
  return status;
}

START_TEST(each_allocation_may_fail)
{
  int n = 0;
  for (;;) {
    n++;
    ck_assert_int_lt(n, 10000);
    int before = atomic_load(&live);
    atomic_store(&failures, 0);
    atomic_store(&countdown, n);
    fl4_status status = scenario();
    bool hit = atomic_load(&failures) > 0;
    atomic_store(&countdown, -1);
    ck_assert_msg(atomic_load(&live) == before, "allocation %d: %d blocks leaked", n, atomic_load(&live) - before);
    if (!hit) {
      ck_assert_fl4(status);
      break;
    }
    ck_assert_msg(status == FL4_OUT_OF_MEMORY, "allocation %d: %s: %s", n, fl4_status_name(status), fl4_last_error());
    ck_assert_msg(strstr(fl4_last_error(), "memory") != NULL, "allocation %d: %s", n, fl4_last_error());
    ck_assert_fl4(scenario());
  }
  ck_assert_int_gt(n, 8); /* the wrapped functions were those that ran */
}
END_TEST

/* The context that saw a failure goes on working. */
START_TEST(context_survives)
{
  fl4_context *ctx = NULL;
  fl4_context_options options = FL4_CONTEXT_OPTIONS_INIT;
  options.device = "host";
  ck_assert_fl4(fl4_context_create(&ctx, &options));
  int before = atomic_load(&live);
  for (int n = 1;; n++) {
    ck_assert_int_lt(n, 10000);
    atomic_store(&failures, 0);
    atomic_store(&countdown, n);
    fl4_status status = use(ctx);
    bool hit = atomic_load(&failures) > 0;
    atomic_store(&countdown, -1);
    if (!hit) {
      ck_assert_fl4(status);
      break;
    }
    ck_assert_msg(status == FL4_OUT_OF_MEMORY, "allocation %d: %s: %s", n, fl4_status_name(status), fl4_last_error());
  }
  ck_assert_fl4(use(ctx));
  fl4_context_destroy(&ctx);
  ck_assert_int_lt(atomic_load(&live), before); /* what the context kept is gone as well */
}
END_TEST

/* A benchmark goes on with what can go on: the failure is its own, or some results', or there are fewer sets. */
static fl4_status benchmark(int *failed, int *fewer)
{
  enum { N = 3 };
  fl4_problem problems[2] = {FL4_PROBLEM_INIT, FL4_PROBLEM_INIT};
  fl4_bench_contender contenders[N] = {FL4_BENCH_CONTENDER_INIT, FL4_BENCH_CONTENDER_INIT, FL4_BENCH_CONTENDER_INIT};
  fl4_bench_result results[2 * N];
  double samples[8];
  for (int i = 0; i < 2 * N; i++) results[i] = (fl4_bench_result)FL4_BENCH_RESULT_INIT;
  results[4].samples = samples, results[4].samples_size = 8;
  contenders[1].variant = "host:bm=4";
  contenders[2].kind = FL4_CONTENDER_ORACLE;
  fl4_bench_options options = FL4_BENCH_OPTIONS_INIT;
  options.contenders = contenders, options.n_contenders = N, options.copies = 2;
  options.min_samples = options.max_samples = 8, options.warmup_seconds = 1e-6;
  fl4_context *ctx = NULL;
  fl4_context_options context_options = FL4_CONTEXT_OPTIONS_INIT;
  context_options.device = "host", context_options.cache_dir = "x";
  fl4_status status = fl4_problem_parse("hq2sq8d8:lse", &problems[0]);
  if (status == FL4_OK) status = fl4_problem_parse("hq1sq9d16:bf16", &problems[1]);
  if (status == FL4_OK) status = fl4_context_create(&ctx, &context_options);
  if (status == FL4_OK) status = fl4_bench(ctx, problems, 2, &options, results);
  fl4_context_destroy(&ctx);
  if (status != FL4_OK) return status;

  *failed = *fewer = 0;
  for (int i = 0; i < 2 * N; i++) {
    *failed += results[i].status == FL4_OUT_OF_MEMORY && strstr(results[i].error, "memory");
    *fewer += results[i].status == FL4_OK && results[i].copies < 2;
    if (results[i].status == FL4_OK && !results[i].checked) return FL4_INTERNAL;
    if (results[i].status != FL4_OK && results[i].status != FL4_OUT_OF_MEMORY) return FL4_INTERNAL;
  }
  return FL4_OK;
}

START_TEST(benchmark_notices_each)
{
  for (int n = 1;; n++) {
    ck_assert_int_lt(n, 10000);
    int failed = 0, fewer = 0;
    const int before = atomic_load(&live);
    atomic_store(&failures, 0);
    atomic_store(&countdown, n);
    const fl4_status status = benchmark(&failed, &fewer);
    const bool hit = atomic_load(&failures) > 0;
    atomic_store(&countdown, -1);
    ck_assert_msg(atomic_load(&live) == before, "allocation %d: %d blocks leaked", n, atomic_load(&live) - before);
    if (!hit) {
      ck_assert_fl4(status);
      ck_assert_int_eq(failed, 0);
      ck_assert_int_gt(n, 50);
      break;
    }
    ck_assert_msg(status == FL4_OUT_OF_MEMORY || (status == FL4_OK && failed + fewer > 0), "allocation %d: %s: %s", n,
                  fl4_status_name(status), fl4_last_error());
  }
}
END_TEST

static Suite *make_suite(void)
{
  Suite *suite = suite_create("oom");
  TCase *c = tcase_create("oom");
  tcase_set_timeout(c, 120);
  atomic_store(&countdown, -1);
  tcase_add_test(c, each_allocation_may_fail);
  tcase_add_test(c, context_survives);
  tcase_add_test(c, benchmark_notices_each);
  suite_add_tcase(suite, c);
  return suite;
}

FL4_TEST_MAIN(make_suite)

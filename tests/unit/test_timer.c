/* SPDX-License-Identifier: Apache-2.0 */
/* The host's timer and limits, and the public functions around a device's limits and health. */
#include <math.h>
#include <sys/stat.h>
#include <time.h>

#include "context.h"
#include "error.h"
#include "host/forward.h"
#include "host/measure.h"
#include "scratch.h"
#include "util/os.h"

static fl4_context *open_host(void)
{
  fl4_context *ctx;
  fl4_context_options options = FL4_CONTEXT_OPTIONS_INIT;
  options.device = "host";
  ck_assert_fl4(fl4_context_create(&ctx, &options));
  return ctx;
}

static const fl4__timing *timing_of(fl4_context *ctx)
{
  ck_assert_ptr_nonnull(ctx->device->backend->timing);
  return ctx->device->backend->timing;
}

/* Calls that take a known time at least, and note how they were called. */
typedef struct known {
  long ns;      /* of a call */
  int fails_at; /* call that fails, or -1 */
  int next;     /* number of the next call */
  bool wrong;   /* called in another order, or with a stream */
} known;

static fl4_status sleep_a_while(void *user, int call, fl4_stream stream)
{
  known *k = user;
  if (call != k->next || stream) k->wrong = true;
  k->next++;
  if (call == k->fails_at) return fl4__fail(FL4_IO_ERROR, "call %d fails", call);
  const struct timespec pause = {0, k->ns};
  nanosleep(&pause, NULL);
  return FL4_OK;
}

START_TEST(measures_a_known_time)
{
  fl4_context *ctx = open_host();
  const fl4__timing *timing = timing_of(ctx);
  known k = {.ns = 3000000, .fails_at = -1};
  fl4__work work = {.run = sleep_a_while, .user = &k, .calls = 1};
  for (work.calls = 1; work.calls <= 5; work.calls += 4) { /* a sample is the mean of its calls */
    fl4_bench_mode used = FL4_BENCH_AUTO;
    fl4__timer *timer = NULL;
    ck_assert_fl4(timing->open(ctx->device, &work, FL4_BENCH_EAGER, false, &used, &timer));
    ck_assert_int_eq(used, FL4_BENCH_EAGER);
    for (int i = 0; i < 3; i++) {
      double us = 0;
      k.next = 0;
      const double start = fl4__now_ms();
      ck_assert_fl4(timing->sample(timer, &us));
      const double all_us = 1e3 * (fl4__now_ms() - start);
      ck_assert_double_ge(us, 3000);
      ck_assert_double_le(us * work.calls, all_us);
      ck_assert_double_ge(us * work.calls, all_us - 2e5); /* as far as a busy machine lets one say */
      ck_assert_int_eq(k.next, work.calls);
      ck_assert(!k.wrong);
    }
    timing->close(timer);
  }
  timing->close(NULL);
  fl4_context_destroy(&ctx);
}
END_TEST

START_TEST(every_mode_is_eager)
{
  static const fl4_bench_mode modes[] = {FL4_BENCH_GRAPH, FL4_BENCH_EVENTS, FL4_BENCH_EAGER};
  fl4_context *ctx = open_host();
  known k = {.ns = 1000, .fails_at = -1};
  const fl4__work work = {.run = sleep_a_while, .user = &k, .calls = 1, .waits = _i % 2};
  fl4_bench_mode used = FL4_BENCH_AUTO;
  fl4__timer *timer;
  ck_assert_fl4(timing_of(ctx)->open(ctx->device, &work, modes[_i / 2], false, &used, &timer));
  ck_assert_int_eq(used, FL4_BENCH_EAGER);
  ck_assert_int_eq(k.next, 0); /* nothing runs before the first sample */
  timing_of(ctx)->close(timer);
  fl4_context_destroy(&ctx);
}
END_TEST

START_TEST(an_error_comes_through)
{
  fl4_context *ctx = open_host();
  known k = {.ns = 1000, .fails_at = 2};
  const fl4__work work = {.run = sleep_a_while, .user = &k, .calls = 5};
  fl4_bench_mode used;
  fl4__timer *timer;
  double us = -7;
  ck_assert_fl4(timing_of(ctx)->open(ctx->device, &work, FL4_BENCH_EAGER, false, &used, &timer));
  ck_assert_fl4_fails(timing_of(ctx)->sample(timer, &us), FL4_IO_ERROR, "call 2 fails");
  ck_assert_int_eq(k.next, 3); /* no call after it */
  ck_assert(us == -7);
  k.next = 0, k.fails_at = -1; /* and the timer lives on */
  ck_assert_fl4(timing_of(ctx)->sample(timer, &us));
  ck_assert_double_gt(us, 0);
  timing_of(ctx)->close(timer);
  fl4_context_destroy(&ctx);
}
END_TEST

/* ---------------------------------------------------------------- cold */

enum { TABLE = 32768 };

static fl4_status read_table(void *user, int call, fl4_stream stream)
{
  volatile uint64_t *table = user;
  (void)call, (void)stream;
  uint64_t sum = 0;
  for (int i = 0; i < TABLE; i += 8) sum += table[i];
  table[0] = sum;
  return FL4_OK;
}

/* The least of some samples, or their median; and the least that taking one took. */
static double table_us(fl4_context *ctx, bool cold, uint64_t *table, double *all_us)
{
  enum { N = 15 };
  const fl4__work work = {.run = read_table, .user = table, .calls = 1};
  fl4_bench_mode used;
  fl4__timer *timer;
  double us[N];
  *all_us = INFINITY;
  ck_assert_fl4(timing_of(ctx)->open(ctx->device, &work, FL4_BENCH_EAGER, cold, &used, &timer));
  for (int i = 0; i < N; i++) {
    const double start = fl4__now_ms();
    ck_assert_fl4(timing_of(ctx)->sample(timer, &us[i]));
    *all_us = fmin(*all_us, 1e3 * (fl4__now_ms() - start));
  }
  timing_of(ctx)->close(timer);
  const double median = fl4__median(us, N);
  return cold ? median : us[0]; /* sorted now; caches keep some lines some times, whatever goes through them */
}

/* The flush empties the caches, and its time is not in the sample. */
START_TEST(cold_is_cold)
{
  fl4_context *ctx = open_host();
  uint64_t *table = calloc(TABLE, sizeof *table);
  ck_assert_ptr_nonnull(table);
  double all_us;
  const double warm = table_us(ctx, false, table, &all_us), cold = table_us(ctx, true, table, &all_us);
  ck_assert_double_gt(cold, 1.5 * warm);
  ck_assert_double_lt(cold, all_us / 4);
  free(table);
  fl4_context_destroy(&ctx);
}
END_TEST

static void write_cache(int cpu, int index, const char *size, const char *shared)
{
  mkdir(in_scratch("cpu%d", cpu), 0700);
  mkdir(in_scratch("cpu%d/cache", cpu), 0700);
  ck_assert_int_eq(mkdir(in_scratch("cpu%d/cache/index%d", cpu, index), 0700), 0);
  write_file(in_scratch("cpu%d/cache/index%d/size", cpu, index), size, strlen(size));
  write_file(in_scratch("cpu%d/cache/index%d/shared_cpu_list", cpu, index), shared, strlen(shared));
}

START_TEST(caches_are_added_up)
{
  scratch_setup();
  const size_t fallback = fl4__host_cache_bytes(scratch); /* nothing is known: a guess, but never 0 */
  ck_assert_uint_ge(fallback, 1 << 20);
  write_cache(0, 2, "512K\n", "0\n");
  ck_assert_uint_eq(fl4__host_cache_bytes(scratch), fallback);
  /* Four CPUs, two by two with a cache. */
  write_cache(0, 3, "32768K\n", "0,2\n");
  write_cache(1, 3, "16384K\n", "1,3\n");
  write_cache(2, 3, "32768K\n", "0,2\n");
  write_cache(3, 3, "16384K\n", "1,3\n");
  ck_assert_uint_eq(fl4__host_cache_bytes(scratch), 48 << 20);
  write_file(in_scratch("cpu0/cache/index3/size"), "?\n", 2);
  ck_assert_uint_eq(fl4__host_cache_bytes(scratch), fallback);
  scratch_teardown();
}
END_TEST

/* ---------------------------------------------------------------- limits */

/* The inner loops do what they are counted for. */
START_TEST(loops_of_the_limits)
{
  const fl4__host_isa *isa = &fl4__host_isas[_i];
  if (!isa->name || !isa->supported()) return;
  float result = 0;
  const double some = isa->fma(10, &result), more = isa->fma(1000, &result);
  const double lanes = strcmp(isa->name, "avx512") == 0 ? 16 : strcmp(isa->name, "avx2") == 0 ? 8 : 4;
  ck_assert(some == 10 * 12 * lanes * 2);
  ck_assert(more == 100 * some);
  ck_assert_double_eq_tol((double)result, 12, 1e-4); /* x ← x·a + b ends at 1, in each of twelve sums */
  (void)isa->fma(1, &result);
  ck_assert_double_gt((double)result, 12.5); /* but not at once */

  static _Alignas(64) uint32_t memory[512];
  uint32_t expected = 0, n = sizeof memory / sizeof *memory;
  for (uint32_t i = 0; i < n; i++) memory[i] = i * 2654435761u, expected ^= memory[i];
  ck_assert_uint_eq(isa->read(memory, sizeof memory), expected);
  for (uint32_t i = 0; i < n; i += 37) { /* each word counts */
    memory[i] ^= 1u << i % 32;
    ck_assert_uint_eq(isa->read(memory, sizeof memory), expected ^ 1u << i % 32);
    memory[i] ^= 1u << i % 32;
  }
}
END_TEST

/* Orders of magnitude: a busy machine may run at a fraction of its speed. */
START_TEST(limits_of_the_host)
{
  fl4_context *ctx = open_host();
  fl4_limits limits = FL4_LIMITS_INIT;
  limits.gemm_tflops = 5;
  ck_assert_fl4(fl4_bench_limits(ctx, &limits));
  const double threads = fl4__host_default_threads();
  ck_assert(isfinite(limits.mma_tflops) && isfinite(limits.read_gbps));
  ck_assert_double_gt(limits.mma_tflops, 1e-4);
  ck_assert_double_lt(limits.mma_tflops, 0.5 * threads); /* 5 GHz × 2 units × 16 lanes × 2 are 0.32 */
  ck_assert_double_gt(limits.read_gbps, 0.1);
  ck_assert_double_lt(limits.read_gbps, 500 * threads);
  ck_assert(limits.gemm_tflops == 0);
  ck_assert_uint_eq(limits.struct_size, sizeof limits);
  fl4_context_destroy(&ctx);
}
END_TEST

START_TEST(bad_arguments)
{
  fl4_context *ctx = open_host();
  fl4_limits limits = FL4_LIMITS_INIT;
  fl4_device_health health = FL4_DEVICE_HEALTH_INIT;
  ck_assert_fl4_fails(fl4_bench_limits(NULL, &limits), FL4_INVALID_ARGUMENT, "fl4_bench_limits: ctx: is NULL");
  ck_assert_fl4_fails(fl4_bench_limits(ctx, NULL), FL4_INVALID_ARGUMENT, "fl4_bench_limits: limits: is NULL");
  ck_assert_fl4_fails(fl4_context_get_health(NULL, &health), FL4_INVALID_ARGUMENT,
                      "fl4_context_get_health: ctx: is NULL");
  ck_assert_fl4_fails(fl4_context_get_health(ctx, NULL), FL4_INVALID_ARGUMENT,
                      "fl4_context_get_health: health: is NULL");
  limits.struct_size = 0, health.struct_size = 1;
  ck_assert_fl4_fails(fl4_bench_limits(ctx, &limits), FL4_INVALID_ARGUMENT, "fl4_limits.struct_size");
  ck_assert_fl4_fails(fl4_context_get_health(ctx, &health), FL4_INVALID_ARGUMENT, "fl4_device_health.struct_size");
  fl4_context_destroy(&ctx);
}
END_TEST

static fl4_status no_limits(fl4__device *device, fl4_limits *limits)
{
  (void)device;
  limits->mma_tflops = 3;
  return fl4__fail(FL4_COMPILE_FAILED, "the compiler's words");
}

/* A device that nothing can be timed on; and one whose limits cannot be measured. */
START_TEST(devices_that_cannot)
{
  fl4_context *ctx = open_host();
  fl4__backend dumb = *ctx->device->backend;
  const fl4__backend *host = ctx->device->backend;
  fl4_limits limits = FL4_LIMITS_INIT;
  fl4_device_health health = FL4_DEVICE_HEALTH_INIT;
  limits.mma_tflops = 7;
  dumb.name = "dumb", dumb.timing = NULL;
  ctx->device->backend = &dumb;
  ck_assert_fl4_fails(fl4_bench_limits(ctx, &limits), FL4_UNSUPPORTED, "on the device \"dumb\"");
  ck_assert_fl4(fl4_context_get_health(ctx, &health));
  ck_assert_int_eq(health.sm_clock_mhz, -1);
  ck_assert_str_eq(health.driver, "unknown");

  const fl4__timing failing = {.limits = no_limits, .health = host->timing->health};
  dumb.timing = &failing;
  ck_assert_fl4_fails(fl4_bench_limits(ctx, &limits), FL4_COMPILE_FAILED, "fl4_bench_limits: the compiler's words");
  ck_assert(limits.mma_tflops == 7); /* left alone */
  ctx->device->backend = host;
  fl4_context_destroy(&ctx);
}
END_TEST

/* ---------------------------------------------------------------- health, median */

START_TEST(health_of_the_host_is_unknown)
{
  fl4_context *ctx = open_host();
  fl4_device_health h = FL4_DEVICE_HEALTH_INIT;
  ck_assert_fl4(fl4_context_get_health(ctx, &h));
  ck_assert_uint_eq(h.struct_size, sizeof h);
  ck_assert_int_eq(h.sm_clock_mhz, -1);
  ck_assert_int_eq(h.sm_clock_max_mhz, -1);
  ck_assert_int_eq(h.memory_clock_mhz, -1);
  ck_assert_int_eq(h.temperature_c, -1);
  ck_assert(h.power_w == -1 && h.power_limit_w == -1);
  ck_assert_int_eq(h.throttle_reasons, -1);
  ck_assert_str_eq(h.driver, "unknown");
  for (int i = 0; i < 4; i++) ck_assert_uint_eq(h.reserved[i], 0);

  /* A caller who knows only the first fields gets only those. */
  memset(&h, 0x55, sizeof h);
  h.struct_size = offsetof(fl4_device_health, temperature_c);
  ck_assert_fl4(fl4_context_get_health(ctx, &h));
  ck_assert_int_eq(h.memory_clock_mhz, -1);
  ck_assert_int_eq(h.temperature_c, 0x55555555);
  fl4_context_destroy(&ctx);
}
END_TEST

START_TEST(median)
{
  double one[] = {4}, odd[] = {9, 1, 5}, even[] = {8, 1, 2, 40};
  ck_assert(fl4__median(one, 1) == 4);
  ck_assert(fl4__median(odd, 3) == 5);
  ck_assert(fl4__median(even, 4) == 5);
}
END_TEST

static Suite *suite(void)
{
  Suite *s = suite_create("timer");
  TCase *t = tcase_create("host");
  tcase_set_timeout(t, 60);
  tcase_add_test(t, measures_a_known_time);
  tcase_add_loop_test(t, every_mode_is_eager, 0, 6);
  tcase_add_test(t, an_error_comes_through);
  tcase_add_test(t, cold_is_cold);
  tcase_add_test(t, caches_are_added_up);
  tcase_add_loop_test(t, loops_of_the_limits, 0, 3);
  tcase_add_test(t, limits_of_the_host);
  suite_add_tcase(s, t);
  TCase *api = tcase_create("api");
  tcase_add_test(api, bad_arguments);
  tcase_add_test(api, devices_that_cannot);
  tcase_add_test(api, health_of_the_host_is_unknown);
  tcase_add_test(api, median);
  suite_add_tcase(s, api);
  return s;
}

FL4_TEST_MAIN(suite)

/* SPDX-License-Identifier: Apache-2.0 */
/* Measuring on the GPU: the timer's modes and failures, limits, health, and a contender against itself. */
#include "gpu_test.h"

#include <math.h>

#include "error.h"
#include "timing.h"

static fl4_context *ctx;

static void open_shared(void)
{
  ctx = open_context(FL4_CONTEXT_NO_DISK_CACHE);
}
static void close_shared(void)
{
  fl4_context_destroy(&ctx);
}

/* ---------------------------------------------------------------- what is timed */

typedef struct job {
  gpu_call call;
  int fails_at; /* call that fails, or -1 */
  bool waits;   /* each call waits for its end */
  int ran;
} job;

static fl4_status run_forward(void *user, int call, fl4_stream stream)
{
  job *j = user;
  j->ran++;
  if (call == j->fails_at) return fl4__fail(FL4_IO_ERROR, "call %d fails", call);
  FL4_TRY(fl4_attention_forward(ctx, &j->call.args, stream));
  if (j->waits && cudaStreamSynchronize(stream) != cudaSuccess) return fl4__fail(FL4_IO_ERROR, "cannot wait");
  return FL4_OK;
}

/* By this family from here on; NULL: by the library's choice. */
static void force(const char *family)
{
  memset(&ctx->forced, 0, sizeof ctx->forced);
  if (family) ck_assert_fl4(fl4__variant_parse(family, &ctx->forced));
}

static void unforce(void)
{
  force(NULL);
}

static job make_job(const char *line)
{
  job j = {.call = make_call(line, 5), .fails_at = -1};
  ck_assert_fl4(fl4_attention_prepare(ctx, &j.call.args));
  return j;
}

static fl4_status open_timer(const fl4__work *work, fl4_bench_mode mode, bool cold, fl4_bench_mode *used,
                             fl4__timer **timer)
{
  return ctx->device->backend->timing->open(ctx->device, work, mode, cold, used, timer);
}

/* Median microseconds of a call. */
static double median_us(job *j, int calls, fl4_bench_mode mode, bool cold)
{
  enum { N = 41 };
  const fl4__work work = {.run = run_forward, .user = j, .calls = calls, .waits = j->waits};
  fl4_bench_mode used = FL4_BENCH_AUTO;
  fl4__timer *timer;
  double us[N];
  ck_assert_fl4(open_timer(&work, mode, cold, &used, &timer));
  ck_assert_int_eq(used, j->waits && mode == FL4_BENCH_GRAPH ? FL4_BENCH_EVENTS : mode);
  for (int i = 0; i < N; i++) {
    ck_assert_fl4(ctx->device->backend->timing->sample(timer, &us[i]));
    ck_assert(isfinite(us[i]) && us[i] > 0);
  }
  ctx->device->backend->timing->close(timer);
  return fl4__median(us, N);
}

/* ---------------------------------------------------------------- modes */

START_TEST(modes_agree_on_long_calls)
{
  force(gpu_families[_i]);
  job j = make_job("b4hq16sq2048d128:causal");
  const double graph = median_us(&j, 8, FL4_BENCH_GRAPH, false), events = median_us(&j, 8, FL4_BENCH_EVENTS, false);
  const double eager = median_us(&j, 8, FL4_BENCH_EAGER, false);
  ck_assert_double_lt(fabs(graph / events - 1), 0.1);
  ck_assert_double_gt(eager, 0.9 * events);
  ck_assert_double_lt(eager, 1.3 * events);
  free_call(&j.call);
}
END_TEST

/* A single short call: no time of the host's is in it, other than in eager mode. */
START_TEST(no_launch_latency_in_short_calls)
{
  force(gpu_families[_i]);
  job j = make_job("b1hq2sq64sk64d64");
  const double many = median_us(&j, 50, FL4_BENCH_GRAPH, false), one = median_us(&j, 1, FL4_BENCH_GRAPH, false);
  const double many_events = median_us(&j, 50, FL4_BENCH_EVENTS, false);
  const double eager = median_us(&j, 1, FL4_BENCH_EAGER, false);
  ck_assert_double_lt(many, 20);
  ck_assert_double_lt(one, many + 10);
  ck_assert_double_lt(many_events, many + 5);
  ck_assert_double_gt(eager, many);
  free_call(&j.call);
}
END_TEST

/* More calls than are held back: the rest is queued while the first run. */
START_TEST(very_many_calls)
{
  job j = make_job("b1hq2sq64sk64d64");
  const fl4__work work = {.run = run_forward, .user = &j, .calls = 3000};
  for (int i = 0; i < 2; i++) {
    const fl4_bench_mode mode = i ? FL4_BENCH_EVENTS : FL4_BENCH_GRAPH;
    fl4_bench_mode used;
    fl4__timer *timer;
    double us;
    ck_assert_fl4(open_timer(&work, mode, false, &used, &timer));
    ck_assert_int_eq(used, mode);
    ck_assert_fl4(ctx->device->backend->timing->sample(timer, &us));
    ck_assert(us > 0 && us < 1000);
    ctx->device->backend->timing->close(timer);
  }
  free_call(&j.call);
}
END_TEST

static fl4_status copy_some(void *user, int call, fl4_stream stream)
{
  (void)call;
  void *const *memory = user;
  const cudaError_t error = cudaMemcpyAsync(memory[0], memory[1], 4 << 20, cudaMemcpyDeviceToDevice, stream);
  return error == cudaSuccess ? FL4_OK : fl4__fail(FL4_IO_ERROR, "%s", cudaGetErrorString(error));
}

START_TEST(cold_is_not_faster)
{
  static const char line[] = "b1hq32hkv8sq1sk4096d128:bf16"; /* 17 MB: a warm call finds them in the cache */
  static const fl4_bench_mode modes[] = {FL4_BENCH_GRAPH, FL4_BENCH_EVENTS, FL4_BENCH_EAGER};
  job j = make_job(line);
  for (int i = 0; i < 3; i++) {
    const double warm = median_us(&j, 1, modes[i], false), cold = median_us(&j, 1, modes[i], true);
    ck_assert_msg(cold > 0.97 * warm, "%s: cold %g us, warm %g us", fl4_bench_mode_name(modes[i]), cold, warm);
  }
  free_call(&j.call);

  /* Nothing but memory: here it must show. */
  void *memory[2];
  ck_assert_cuda(cudaMalloc(&memory[0], 4 << 20));
  ck_assert_cuda(cudaMalloc(&memory[1], 4 << 20));
  const fl4__work work = {.run = copy_some, .user = memory, .calls = 1};
  double us[2][21];
  for (int cold = 0; cold < 2; cold++) {
    fl4_bench_mode used;
    fl4__timer *timer;
    ck_assert_fl4(open_timer(&work, FL4_BENCH_EVENTS, cold, &used, &timer));
    for (int i = 0; i < 21; i++) ck_assert_fl4(ctx->device->backend->timing->sample(timer, &us[cold][i]));
    ctx->device->backend->timing->close(timer);
  }
  ck_assert_double_gt(fl4__median(us[1], 21), fl4__median(us[0], 21));
  cudaFree(memory[0]);
  cudaFree(memory[1]);
}
END_TEST

/* ---------------------------------------------------------------- failures */

/* Work that waits is never captured, and nothing holds it back. */
START_TEST(work_that_waits)
{
  job j = make_job("b1hq4sq512d64");
  j.waits = true;
  ck_assert_double_lt(median_us(&j, 3, FL4_BENCH_GRAPH, false), 5000);
  ck_assert_double_lt(median_us(&j, 1, FL4_BENCH_EVENTS, true), 5000);
  free_call(&j.call);
}
END_TEST

/* Work that waits and does not say so cannot be captured; held back, it ends after seconds, with a reason. */
START_TEST(work_that_hides_that_it_waits)
{
  job j = make_job("b1hq4sq512d64");
  const fl4__work work = {.run = run_forward, .user = &j, .calls = 2};
  fl4_bench_mode used;
  fl4__timer *timer;
  double us;
  j.waits = true;
  ck_assert_fl4_fails(open_timer(&work, FL4_BENCH_GRAPH, false, &used, &timer), FL4_IO_ERROR, "cannot wait");
  ck_assert_ptr_null(timer);
  ck_assert_fl4(open_timer(&work, FL4_BENCH_EVENTS, false, &used, &timer));
  ck_assert_fl4_fails(ctx->device->backend->timing->sample(timer, &us), FL4_DEVICE_ERROR, "do they wait for it?");
  j.waits = false; /* the timer has come to no harm */
  ck_assert_fl4(ctx->device->backend->timing->sample(timer, &us));
  ctx->device->backend->timing->close(timer);
  (void)cudaGetLastError(); /* of the wait within the capture */
  free_call(&j.call);
}
END_TEST

/* An error of a call comes through from within a capture, from behind the gate, and in eager mode. */
START_TEST(errors_come_through)
{
  static const fl4_bench_mode modes[] = {FL4_BENCH_GRAPH, FL4_BENCH_EVENTS, FL4_BENCH_EAGER};
  job j = make_job("b1hq4sq512d64");
  const fl4__work work = {.run = run_forward, .user = &j, .calls = 4};
  for (int i = 0; i < 3; i++) {
    fl4_bench_mode used;
    fl4__timer *timer = (fl4__timer *)&j;
    double us;
    j.fails_at = 2;
    if (modes[i] != FL4_BENCH_EAGER) { /* which runs nothing yet */
      ck_assert_fl4_fails(open_timer(&work, modes[i], false, &used, &timer), FL4_IO_ERROR, "call 2 fails");
      ck_assert_ptr_null(timer);
    }
    j.fails_at = -1;
    ck_assert_fl4(open_timer(&work, modes[i], false, &used, &timer));
    if (modes[i] != FL4_BENCH_GRAPH) { /* which runs nothing any more */
      j.fails_at = 2, j.ran = 0;
      ck_assert_fl4_fails(ctx->device->backend->timing->sample(timer, &us), FL4_IO_ERROR, "call 2 fails");
      ck_assert_int_eq(j.ran, 3);
      j.fails_at = -1;
    }
    ck_assert_fl4(ctx->device->backend->timing->sample(timer, &us));
    ctx->device->backend->timing->close(timer);
  }
  ctx->device->backend->timing->close(NULL);
  free_call(&j.call);
}
END_TEST

START_TEST(unprepared_work)
{
  job j = {.call = make_call("b1hq2sq64sk64d24", 1), .fails_at = -1};
  const fl4__work work = {.run = run_forward, .user = &j, .calls = 1};
  fl4_bench_mode used;
  fl4__timer *timer;
  ck_assert_fl4_fails(open_timer(&work, FL4_BENCH_GRAPH, false, &used, &timer), FL4_NOT_PREPARED,
                      "fl4_attention_prepare");
  ck_assert_ptr_null(timer);
  free_call(&j.call);
}
END_TEST

/* A debug context looks at the record of each launch: there the graph becomes events, and nothing hangs. */
START_TEST(debug_context)
{
  fl4_context *shared = ctx;
  ctx = open_context(FL4_CONTEXT_NO_DISK_CACHE | FL4_CONTEXT_DEBUG);
  job j = make_job("b1hq2sq64sk64d64");
  const fl4__work work = {.run = run_forward, .user = &j, .calls = 2};
  fl4_bench_mode used;
  fl4__timer *timer;
  double us;
  ck_assert_fl4(open_timer(&work, FL4_BENCH_GRAPH, false, &used, &timer));
  ck_assert_int_eq(used, FL4_BENCH_EVENTS);
  ck_assert_fl4(ctx->device->backend->timing->sample(timer, &us));
  ctx->device->backend->timing->close(timer);
  free_call(&j.call);
  fl4_context_destroy(&ctx);
  ctx = shared;
}
END_TEST

START_TEST(timers_leave_nothing_behind)
{
  force(gpu_families[_i]);
  job j = make_job("b4hq16sq512d64:causal"); /* fwd_wgmma takes a workspace from the stream for each call */
  const fl4__work work = {.run = run_forward, .user = &j, .calls = 1};
  size_t before = 0, after, total;
  for (int i = 0; i < 40; i++) {
    fl4_bench_mode used;
    fl4__timer *timer;
    double us;
    ck_assert_fl4(open_timer(&work, i % 2 ? FL4_BENCH_GRAPH : FL4_BENCH_EVENTS, true, &used, &timer));
    ck_assert_fl4(ctx->device->backend->timing->sample(timer, &us));
    ctx->device->backend->timing->close(timer);
    if (i == 9) ck_assert_cuda(cudaMemGetInfo(&before, &total)); /* once all that stays is there */
  }
  ck_assert_cuda(cudaMemGetInfo(&after, &total));
  ck_assert_uint_le(before - (after < before ? after : before), 16 << 20);
  free_call(&j.call);
}
END_TEST

START_TEST(copies)
{
  const fl4__backend *backend = ctx->device->backend;
  void *a, *b;
  char text[100] = "from device to device", back[100] = "";
  ck_assert_fl4(backend->alloc(ctx->device, sizeof text, &a));
  ck_assert_fl4(backend->alloc(ctx->device, sizeof text, &b));
  ck_assert_fl4(backend->upload(ctx->device, a, text, sizeof text));
  ck_assert_fl4(backend->copy(ctx->device, b, a, sizeof text));
  ck_assert_fl4(backend->copy(ctx->device, b, NULL, 0));
  ck_assert_fl4(backend->download(ctx->device, back, b, sizeof text));
  ck_assert_str_eq(back, text);
  backend->release(ctx->device, a);
  backend->release(ctx->device, b);
}
END_TEST

/* ---------------------------------------------------------------- limits and health */

/* On an H200, between half of what was measured on one by other programs and a little more. */
START_TEST(limits)
{
  fl4_limits l = FL4_LIMITS_INIT;
  ck_assert_fl4(fl4_bench_limits(ctx, &l));
  printf("# limits of %s: mma %.1f, gemm %.1f TFLOP/s, read %.1f GB/s\n", ctx->device->info.name, l.mma_tflops,
         l.gemm_tflops, l.read_gbps);
  ck_assert(isfinite(l.mma_tflops) && isfinite(l.gemm_tflops) && isfinite(l.read_gbps));
  ck_assert(l.mma_tflops > 1 && l.gemm_tflops >= 0 && l.read_gbps > 10);
  if (!strstr(ctx->device->info.name, "H200")) return;
  ck_assert(l.mma_tflops > 0.5 * 650 && l.mma_tflops < 1.05 * 650);
  ck_assert(l.gemm_tflops > 0.5 * 790 && l.gemm_tflops < 1.05 * 790);
  ck_assert(l.read_gbps > 0.5 * 4800 && l.read_gbps < 4800); /* by its data sheet */
}
END_TEST

START_TEST(limits_without_cublas)
{
  fl4_limits l = FL4_LIMITS_INIT;
  setenv("FLASHL4_CUBLAS", "/nowhere/libcublas.so", 1);
  const fl4_status status = fl4_bench_limits(ctx, &l);
  unsetenv("FLASHL4_CUBLAS");
  ck_assert_fl4(status);
  ck_assert(l.gemm_tflops == 0 && l.mma_tflops > 1 && l.read_gbps > 10);
}
END_TEST

START_TEST(health)
{
  fl4_device_health h = FL4_DEVICE_HEALTH_INIT;
  ck_assert_fl4(fl4_context_get_health(ctx, &h));
  char text[128];
  printf("# SM %d of %d MHz, memory %d MHz, %d C, %.1f of %.1f W, throttled by: %s; driver %s\n", h.sm_clock_mhz,
         h.sm_clock_max_mhz, h.memory_clock_mhz, h.temperature_c, h.power_w, h.power_limit_w,
         fl4_throttle_text(h.throttle_reasons, text), h.driver);
  ck_assert(h.sm_clock_mhz >= 100 && h.sm_clock_mhz <= h.sm_clock_max_mhz);
  ck_assert(h.sm_clock_max_mhz <= 5000);
  ck_assert(h.memory_clock_mhz >= 100 && h.memory_clock_mhz <= 30000);
  ck_assert(h.temperature_c >= 5 && h.temperature_c <= 110);
  ck_assert(h.power_w > 1 && h.power_w < 1.5 * h.power_limit_w);
  ck_assert(h.power_limit_w > 20 && h.power_limit_w < 3000);
  ck_assert_int_ge(h.throttle_reasons, 0);
  ck_assert(h.driver[0] >= '4' && h.driver[0] <= '9' && strchr(h.driver, '.'));
}
END_TEST

/* ---------------------------------------------------------------- a contender against itself */

/* Two of the same are the same, in 20 of 20 runs and within 1 %. */
START_TEST(same_against_same)
{
  enum { RUNS = 20 };
  fl4_problem problem = FL4_PROBLEM_INIT;
  ck_assert_fl4(fl4_problem_parse("b4hq16sq2048d128:causal", &problem));
  fl4_bench_contender two[2] = {FL4_BENCH_CONTENDER_INIT, FL4_BENCH_CONTENDER_INIT};
  two[0].name = "one", two[1].name = "other";
  for (int run = 0; run < RUNS; run++) {
    fl4_bench_options options = FL4_BENCH_OPTIONS_INIT;
    fl4_bench_result r[2] = {FL4_BENCH_RESULT_INIT, FL4_BENCH_RESULT_INIT};
    options.seed = (uint64_t)run + 1, options.max_seconds = 2;
    options.n_contenders = 2, options.contenders = two;
    ck_assert_fl4(fl4_bench(ctx, &problem, 1, &options, r));
    for (int i = 0; i < 2; i++) {
      ck_assert_msg(r[i].status == FL4_OK, "%s: %s", r[i].name, r[i].error);
      ck_assert_int_eq(r[i].checked, 1);
      ck_assert_int_eq(r[i].mode, FL4_BENCH_GRAPH);
    }
    ck_assert_str_eq(r[0].variant, r[1].variant);
    const fl4_comparison *c = &r[1].against;
    printf("# run %2d: %8.2f and %8.2f us, %lld pairs, ratio %.4f [%.4f %.4f] %s\n", run + 1, r[0].stats.p50,
           r[1].stats.p50, (long long)c->n, c->ratio, c->low, c->high, fl4_verdict_name((fl4_verdict)c->verdict));
    ck_assert_int_eq(c->verdict, FL4_VERDICT_SAME);
    ck_assert_double_lt(fabs(c->ratio - 1), 0.01);
  }
}
END_TEST

static Suite *suite(void)
{
  Suite *s = suite_create("gpu_bench");
  TCase *timer = tcase_create("timer");
  tcase_add_unchecked_fixture(timer, open_shared, close_shared);
  tcase_add_checked_fixture(timer, unforce, unforce);
  tcase_add_loop_test(timer, modes_agree_on_long_calls, 0, gpu_families_count());
  tcase_add_loop_test(timer, no_launch_latency_in_short_calls, 0, gpu_families_count());
  tcase_add_test(timer, very_many_calls);
  tcase_add_test(timer, cold_is_not_faster);
  tcase_add_test(timer, work_that_waits);
  tcase_add_test(timer, work_that_hides_that_it_waits);
  tcase_add_test(timer, errors_come_through);
  tcase_add_test(timer, unprepared_work);
  tcase_add_test(timer, debug_context);
  tcase_add_loop_test(timer, timers_leave_nothing_behind, 0, gpu_families_count());
  tcase_add_test(timer, copies);
  suite_add_tcase(s, timer);
  TCase *device = tcase_create("device");
  tcase_add_unchecked_fixture(device, open_shared, close_shared);
  tcase_add_test(device, limits);
  tcase_add_test(device, limits_without_cublas);
  tcase_add_test(device, health);
  tcase_add_test(device, same_against_same);
  suite_add_tcase(s, device);
  return s;
}

FL4_TEST_MAIN_CUDA(suite)

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The GPU's timer on a CUDA runtime of the test's own (fake_cuda.h): the order in which a sample is
 * queued, and every failure. Linked with lib/cuda/timer.c alone.
 */
#include "fake_cuda.h"

static fl4__cuda_device device;

static void set_up(void)
{
  memset(&device, 0, sizeof device);
  pthread_mutex_init(&device.timer_lock, NULL);
  device.ordinal = 3;
  device.base.info.l2_bytes = 1 << 20;
  n_calls = fails_at = objects = entered = n_events = 0;
  capturing = held = gives_up = false;
  *queued = '\0', failed_word = NULL;
}

static int work_fails_at = -1, ran, opened_at;

static fl4_status run(void *user, int i, fl4_stream stream)
{
  (void)user;
  ck_assert_ptr_nonnull(stream);
  ck_assert_int_eq(i, ran);
  ran++;
  ck_assert_msg(may_load(), "what is timed may have to load");
  if (held && gate[0] && opened_at < 0) opened_at = i;
  if (i == work_fails_at) return fl4__fail(FL4_IO_ERROR, "call %d fails", i);
  if (!capturing && i < 20) return fl4__cuda_status(queue("call"), "call");
  return FL4_OK;
}

static fl4_status open_as(fl4__work *work, fl4_bench_mode mode, bool cold, fl4_bench_mode *used, fl4__timer **timer)
{
  ran = 0, opened_at = -1;
  return fl4__timing_cuda.open(&device.base, work, mode, cold, used, timer);
}

static fl4_status sample(fl4__timer *timer, double *us)
{
  ran = 0, opened_at = -1;
  *queued = '\0';
  return fl4__timing_cuda.sample(timer, us);
}

static const struct {
  fl4_bench_mode mode;
  bool cold, waits, debug;
  fl4_bench_mode used;
  const char *queued;
} ways[] = {
    {FL4_BENCH_GRAPH, false, false, false, FL4_BENCH_GRAPH, "hold start graph stop"},
    {FL4_BENCH_GRAPH, true, false, false, FL4_BENCH_GRAPH, "reset hold flush start graph stop"},
    {FL4_BENCH_GRAPH, false, true, false, FL4_BENCH_EVENTS, "start call call call stop"},
    {FL4_BENCH_GRAPH, false, false, true, FL4_BENCH_EVENTS, "start call call call stop"},
    {FL4_BENCH_EVENTS, false, false, false, FL4_BENCH_EVENTS, "hold start call call call stop"},
    {FL4_BENCH_EVENTS, true, false, false, FL4_BENCH_EVENTS, "reset hold flush start call call call stop"},
    {FL4_BENCH_EVENTS, true, true, false, FL4_BENCH_EVENTS, "reset flush start call call call stop"},
    {FL4_BENCH_EAGER, false, false, false, FL4_BENCH_EAGER, "call call call"},
    {FL4_BENCH_EAGER, true, false, false, FL4_BENCH_EAGER, "reset flush call call call"},
};
enum { N_WAYS = sizeof ways / sizeof *ways };

static fl4_debug_record record;

START_TEST(order)
{
  set_up();
  fl4__work work = {.run = run, .calls = 3, .waits = ways[_i].waits};
  device.debug_record = ways[_i].debug ? &record : NULL;
  fl4_bench_mode used;
  fl4__timer *timer;
  double us = 0;
  ck_assert_fl4(open_as(&work, ways[_i].mode, ways[_i].cold, &used, &timer));
  ck_assert_int_eq(used, ways[_i].used);
  for (int i = 0; i < 2; i++) {
    ck_assert_fl4(sample(timer, &us));
    ck_assert_str_eq(queued, ways[_i].queued);
    if (used != FL4_BENCH_EAGER) ck_assert_double_eq_tol(us, 2000, 1e-6); /* 6 ms, three calls */
  }
  fl4__timing_cuda.close(timer);
  ck_assert_int_eq(objects, 0);
  ck_assert_int_eq(entered, 0);
}
END_TEST

/* Opens a timer and takes a sample while a call of the runtime fails, 0: none does; how many there were. */
static int with_failure(int way, int at)
{
  set_up();
  fl4__work work = {.run = run, .calls = 3, .waits = ways[way].waits};
  fl4_bench_mode used;
  fl4__timer *timer = (fl4__timer *)&work;
  double us = -1;
  device.debug_record = ways[way].debug ? &record : NULL;
  fails_at = at;
  fl4_status status = open_as(&work, ways[way].mode, ways[way].cold, &used, &timer);
  const bool opened = status == FL4_OK;
  if (opened) status = sample(timer, &us);
  const int calls = n_calls;
  if (status == FL4_OK) { /* only the reset may fail: then there is nothing that persists */
    ck_assert(at == 0 || strcmp(failed_word, "reset") == 0);
  } else {
    ck_assert_int_eq(status, FL4_DEVICE_ERROR);
    ck_assert_ptr_nonnull(strstr(fl4_last_error(), "failed"));
    ck_assert(us == -1);
  }
  ck_assert(!held && !capturing);
  if (opened) { /* a sample that failed does not spoil the next */
    fails_at = 0;
    ck_assert_fl4(sample(timer, &us));
    fl4__timing_cuda.close(timer);
  } else {
    ck_assert_ptr_null(timer);
  }
  ck_assert_int_eq(objects, 0);
  ck_assert_int_eq(entered, 0);
  return calls;
}

/* Each call of the runtime fails in turn: an error, nothing left over, and no waiting for ever. */
START_TEST(every_failure)
{
  const int calls = with_failure(_i, 0);
  ck_assert_int_ge(calls, 8);
  for (int at = 1; at <= calls; at++) with_failure(_i, at);
}
END_TEST

START_TEST(work_fails)
{
  set_up();
  fl4__work work = {.run = run, .calls = 3};
  fl4_bench_mode used;
  fl4__timer *timer;
  double us;
  work_fails_at = 1;
  ck_assert_fl4_fails(open_as(&work, FL4_BENCH_GRAPH, true, &used, &timer), FL4_IO_ERROR, "call 1 fails");
  ck_assert(!capturing);
  ck_assert_fl4_fails(open_as(&work, FL4_BENCH_EVENTS, true, &used, &timer), FL4_IO_ERROR, "call 1 fails");
  ck_assert_int_eq(objects, 0);
  for (int eager = 0; eager < 2; eager++) {
    work_fails_at = -1;
    ck_assert_fl4(open_as(&work, eager ? FL4_BENCH_EAGER : FL4_BENCH_EVENTS, false, &used, &timer));
    work_fails_at = 1;
    ck_assert_fl4_fails(sample(timer, &us), FL4_IO_ERROR, "call 1 fails");
    ck_assert_int_eq(ran, 2);
    ck_assert(!held);
    fl4__timing_cuda.close(timer);
  }
  ck_assert_int_eq(objects, 0);
  work_fails_at = -1;
}
END_TEST

/* The gate stays closed for as many calls as the driver takes without waiting; then it is opened. */
START_TEST(gate_of_many_calls)
{
  set_up();
  fl4__work work = {.run = run, .calls = 5000};
  fl4_bench_mode used;
  fl4__timer *timer;
  double us;
  ck_assert_fl4(open_as(&work, FL4_BENCH_EVENTS, false, &used, &timer));
  ck_assert_fl4(sample(timer, &us));
  ck_assert_int_eq(ran, 5000);
  ck_assert_int_ge(opened_at, 64);
  ck_assert_int_le(opened_at, 900);
  fl4__timing_cuda.close(timer);
}
END_TEST

/* A device that waited too long for the host: the sample is taken again, but not for ever. */
START_TEST(host_too_slow)
{
  set_up();
  fl4__work work = {.run = run, .calls = 1};
  fl4_bench_mode used;
  fl4__timer *timer;
  double us;
  ck_assert_fl4(open_as(&work, FL4_BENCH_GRAPH, false, &used, &timer));
  gives_up = true;
  ck_assert_fl4_fails(sample(timer, &us), FL4_DEVICE_ERROR, "do they wait for it?");
  ck_assert_str_eq(queued, "hold start graph stop hold start graph stop hold start graph stop");
  gives_up = false;
  ck_assert_fl4(sample(timer, &us));
  ck_assert_str_eq(queued, "hold start graph stop");
  fl4__timing_cuda.close(timer);
  ck_assert_int_eq(objects, 0);
}
END_TEST

START_TEST(module_is_loaded_once)
{
  set_up();
  fl4__work work = {.run = run, .calls = 1};
  fl4_bench_mode used;
  fl4__timer *a, *b;
  ck_assert_fl4(open_as(&work, FL4_BENCH_EVENTS, false, &used, &a));
  const int first = n_calls;
  ck_assert_fl4(open_as(&work, FL4_BENCH_EVENTS, false, &used, &b));
  ck_assert_int_eq(n_calls - first, first - 2); /* loading, and finding the kernel */
  fl4__timing_cuda.close(a);
  fl4__timing_cuda.close(b);
  fl4__timing_cuda.close(NULL);
  ck_assert_int_eq(objects, 0);
}
END_TEST

START_TEST(health)
{
  fl4_device_health h = FL4_DEVICE_HEALTH_INIT;
  set_up();
  fl4__timing_cuda.health(&device.base, &h);
  ck_assert_int_eq(h.sm_clock_mhz, 1234);
  fails_at = 1;
  fl4__timing_cuda.health(&device.base, &h);
  ck_assert_int_eq(h.sm_clock_mhz, -1);
}
END_TEST

static Suite *suite(void)
{
  Suite *s = suite_create("cuda_timer");
  TCase *t = tcase_create("timer");
  tcase_add_loop_test(t, order, 0, N_WAYS);
  tcase_add_loop_test(t, every_failure, 0, N_WAYS);
  tcase_add_test(t, work_fails);
  tcase_add_test(t, gate_of_many_calls);
  tcase_add_test(t, host_too_slow);
  tcase_add_test(t, module_is_loaded_once);
  tcase_add_test(t, health);
  suite_add_tcase(s, t);
  return s;
}

FL4_TEST_MAIN(suite)

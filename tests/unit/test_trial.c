/* SPDX-License-Identifier: Apache-2.0 */
/* Data on a device, and outputs held to a reference. */
#include "check_data.h"
#include "context.h"
#include "error.h"
#include "oracle/trial.h"

static fl4_context *open_host(void)
{
  fl4_context *ctx;
  fl4_context_options options = FL4_CONTEXT_OPTIONS_INIT;
  options.device = "host", options.threads = 1;
  ck_assert_fl4(fl4_context_create(&ctx, &options));
  return ctx;
}

/* A problem on a device, and one output. */
typedef struct setup {
  fl4_context *ctx;
  fl4__trial trial;
  fl4__output output;
} setup;

static setup make(const char *line, uint64_t seed, int copies)
{
  setup s = {.ctx = open_host()};
  const fl4_problem p = problem_of(line);
  ck_assert_fl4(fl4__trial_open(&s.trial, s.ctx, &p, seed, FL4_INPUTS_NORMAL, copies));
  ck_assert_fl4(fl4__output_open(&s.trial, &s.output));
  ck_assert_fl4(fl4__output_poison(&s.trial, &s.output));
  return s;
}

static void run(setup *s, int copy)
{
  const fl4_attention_args args = fl4__trial_args(&s->trial, copy, &s->output);
  ck_assert_fl4(fl4_attention_forward(s->ctx, &args, NULL));
}

static void end(setup *s)
{
  fl4__output_close(&s->trial, &s->output);
  fl4__trial_close(&s->trial);
  fl4__trial_close(&s->trial);
  fl4_context_destroy(&s->ctx);
}

static fl4_check_result judged(const setup *s, const fl4__reference *reference)
{
  fl4_check_result r = FL4_CHECK_RESULT_INIT;
  ck_assert_fl4(fl4__output_judge(&s->trial, &s->output, reference, &r));
  return r;
}

static const char *const lines[] = {"hq4hkv2sq33sk41d40:causal:lse",
                                    "b2hq2sq20d16:bf16:bshd",
                                    "hq2sq30d24:fp32:packed:lse",
                                    "hq3sq17sk9d8:odd",
                                    "b5hq4hkv2sq33sk41d24:ragged:lse",
                                    "b5hq2sq20d16:bf16:packed:ragged=one:causal",
                                    "b3hq4hkv2sq9sk70d16:page=16:lens:sinks:alibi:lse",
                                    "b5hq2sq20sk60d16:ragged:page=8:window=9,2",
                                    "b2hq4hkv2sq9sk70d16:bias=fp16/ij:lse",
                                    "b0hq2sq5d16:lse"};
enum { LINES = sizeof lines / sizeof *lines };

/* ---------------------------------------------------------------- data */

START_TEST(copies_are_equal_and_apart)
{
  setup s = make(lines[_i], 5, 3);
  ck_assert_int_eq(s.trial.copies, 3);
  data expected = make_data(lines[_i], FL4_INPUTS_NORMAL, 5);
  for (int i = 0; i < 3; i++) {
    ck_assert_mem_eq(s.trial.d_input[i], expected.buffer, s.trial.input_bytes);
    for (int j = 0; j < i; j++) ck_assert_ptr_ne(s.trial.d_input[i], s.trial.d_input[j]);
    const fl4_attention_args args = fl4__trial_args(&s.trial, i, &s.output);
    const int64_t element = fl4__dtype_size(s.trial.problem.dtype);
    ck_assert_ptr_eq(args.q, (char *)s.trial.d_input[i] + s.trial.placement.q.offset * element);
    ck_assert_ptr_eq(args.k, (char *)s.trial.d_input[i] + s.trial.placement.k.offset * element);
    ck_assert_ptr_eq(args.v, (char *)s.trial.d_input[i] + s.trial.placement.v.offset * element);
    ck_assert_ptr_eq(args.o, (char *)s.output.o + s.trial.placement.o.offset * element);
    ck_assert_int_eq(args.lse != NULL, s.trial.problem.lse);
  }
  ck_assert_mem_eq(s.trial.input, expected.buffer, s.trial.input_bytes);
  free(expected.buffer);
  end(&s);
}
END_TEST

START_TEST(copies_come_and_go)
{
  setup s = make(lines[0], 1, 2);
  const void *first = s.trial.d_input[0];
  ck_assert_fl4(fl4__trial_set_copies(&s.trial, 5));
  ck_assert_int_eq(s.trial.copies, 5);
  ck_assert_mem_eq(s.trial.d_input[4], s.trial.input, s.trial.input_bytes);
  ck_assert_fl4(fl4__trial_set_copies(&s.trial, 1));
  ck_assert_int_eq(s.trial.copies, 1);
  ck_assert_fl4(fl4__trial_set_copies(&s.trial, 1));
  ck_assert_ptr_eq(s.trial.d_input[0], first);
  end(&s);
}
END_TEST

/* The host device with little memory. */
static int allocations_left;
static fl4_status no_memory_status;

static fl4_status limited_alloc(fl4__device *device, size_t bytes, void **memory)
{
  if (allocations_left-- > 0) return fl4__backend_host.alloc(device, bytes, memory);
  *memory = NULL;
  return fl4__fail(no_memory_status, "nothing left of the device's memory");
}

START_TEST(memory_for_fewer_copies)
{
  const fl4_problem p = problem_of(lines[0]);
  fl4_context *ctx = open_host();
  fl4__backend limited = fl4__backend_host;
  limited.alloc = limited_alloc;
  ctx->device->backend = &limited;
  fl4__trial trial;
  no_memory_status = FL4_OUT_OF_MEMORY;
  allocations_left = 2;
  ck_assert_fl4(fl4__trial_open(&trial, ctx, &p, 0, FL4_INPUTS_NORMAL, 4));
  ck_assert_int_eq(trial.copies, 2);
  fl4__output output;
  allocations_left = 1; /* O, but not the LSE */
  ck_assert_fl4_fails(fl4__output_open(&trial, &output), FL4_OUT_OF_MEMORY, "nothing left");
  ck_assert(!output.o && !output.lse);
  fl4__trial_close(&trial);

  allocations_left = 0;
  ck_assert_fl4_fails(fl4__trial_open(&trial, ctx, &p, 0, FL4_INPUTS_NORMAL, 4), FL4_OUT_OF_MEMORY, "nothing left");
  fl4__trial_close(&trial);
  no_memory_status = FL4_DEVICE_ERROR; /* that is no lack of memory */
  allocations_left = 2;
  ck_assert_fl4_fails(fl4__trial_open(&trial, ctx, &p, 0, FL4_INPUTS_NORMAL, 4), FL4_DEVICE_ERROR, "nothing left");
  fl4__trial_close(&trial);
  ctx->device->backend = &fl4__backend_host;
  fl4_context_destroy(&ctx);
}
END_TEST

START_TEST(impossible_layout)
{
  fl4_context *ctx = open_host();
  fl4_problem p = problem_of("hq1sq8sk8d8:packed");
  p.Sk = 9;
  fl4__trial trial;
  ck_assert_fl4_fails(fl4__trial_open(&trial, ctx, &p, 0, FL4_INPUTS_NORMAL, 1), FL4_INVALID_ARGUMENT, "packed");
  fl4__trial_close(&trial);
  fl4_context_destroy(&ctx);
}
END_TEST

/* ---------------------------------------------------------------- judging */

START_TEST(right_passes_from_every_copy)
{
  setup s = make(lines[_i], 7, 2);
  fl4__reference *reference;
  ck_assert_fl4(fl4__reference_open(&s.trial, FL4_ORACLE_AUTO, &reference));
  for (int copy = 0; copy < 2; copy++) {
    ck_assert_fl4(fl4__output_poison(&s.trial, &s.output));
    run(&s, copy);
    const fl4_check_result r = judged(&s, reference);
    ck_assert_msg(r.passed && r.finite && r.accurate && r.lse_accurate && r.canaries, "copy %d of %s", copy, lines[_i]);
    ck_assert_str_eq(r.oracle, "fp64");
    int64_t rows = 0;
    for (int64_t b = 0; b < s.trial.problem.B; b++) rows += fl4__problem_lengths(&s.trial.problem, b).queries;
    ck_assert_int_eq(r.rows_checked, s.trial.problem.Hq * rows);
  }
  fl4__reference_close(reference);
  end(&s);
}
END_TEST

START_TEST(untouched_output_is_wrong)
{
  setup s = make(lines[_i], 7, 1);
  fl4__reference *reference;
  ck_assert_fl4(fl4__reference_open(&s.trial, FL4_ORACLE_FP64, &reference));
  const fl4_check_result r = judged(&s, reference);
  ck_assert(!r.passed && !r.finite && r.canaries);
  fl4__reference_close(reference);
  end(&s);
}
END_TEST

/* A row of a ragged sequence, and its LSE, are where the call says. */
START_TEST(one_ragged_element_is_found)
{
  setup s = make("b5hq4hkv2sq33sk41d24:ragged:lse", 7, 1);
  fl4__reference *reference;
  ck_assert_fl4(fl4__reference_open(&s.trial, FL4_ORACLE_AUTO, &reference));
  run(&s, 0);
  const fl4_attention_args args = fl4__trial_args(&s.trial, 0, &s.output);
  int64_t b = 1;
  while (args.cu_seqlens_q[b + 1] - args.cu_seqlens_q[b] < 4) b++;
  const int64_t row = args.cu_seqlens_q[b] + 3, rows = args.total_q;
  uint16_t *o = (uint16_t *)args.o + 2 * args.o_stride[1] + row * args.o_stride[2] + 5;
  const uint16_t old = *o;
  fl4__store(o, FL4_DTYPE_FP16, 0, fl4__load(o, FL4_DTYPE_FP16, 0) + 1);
  fl4_check_result r = judged(&s, reference);
  ck_assert(!r.passed && !r.accurate && r.finite && r.canaries && r.lse_accurate);
  ck_assert(r.worst[0] == b && r.worst[1] == 2 && r.worst[2] == 3 && r.worst[3] == 5);
  *o = old;

  float *lse = args.lse + 2 * rows + row;
  const float old_lse = *lse;
  *lse += 0.1f;
  r = judged(&s, reference);
  ck_assert(!r.passed && !r.lse_accurate && r.accurate);
  *lse = old_lse;
  ck_assert(judged(&s, reference).passed);
  args.lse[4 * rows] = 0; /* behind the last row that there is */
  r = judged(&s, reference);
  ck_assert(!r.passed && !r.canaries && r.accurate);
  fl4__reference_close(reference);
  end(&s);
}
END_TEST

START_TEST(one_element_is_found)
{
  setup s = make(lines[0], 7, 1);
  fl4__reference *reference;
  ck_assert_fl4(fl4__reference_open(&s.trial, FL4_ORACLE_FP64, &reference));
  run(&s, 0);
  const fl4__tensor *o = &s.trial.placement.o;
  const int64_t at = o->offset + 3 * o->stride[1] + 20 * o->stride[2] + 5;
  const float old = fl4__load(s.output.o, FL4_DTYPE_FP16, at);
  fl4__store(s.output.o, FL4_DTYPE_FP16, at, old + 1);
  fl4_check_result r = judged(&s, reference);
  ck_assert(!r.passed && !r.accurate && r.finite && r.canaries && r.lse_accurate);
  ck_assert(r.worst[0] == 0 && r.worst[1] == 3 && r.worst[2] == 20 && r.worst[3] == 5);
  fl4__store(s.output.o, FL4_DTYPE_FP16, at, old);

  float *lse = (float *)s.output.lse + s.trial.placement.lse_offset + 30;
  const float old_lse = *lse;
  *lse += 0.1f;
  r = judged(&s, reference);
  ck_assert(!r.passed && !r.lse_accurate && r.accurate);
  *lse = old_lse;

  ((uint16_t *)s.output.o)[3] = 0; /* in the guard before O */
  r = judged(&s, reference);
  ck_assert(!r.passed && !r.canaries && r.accurate && r.lse_accurate);
  fl4__reference_close(reference);
  end(&s);
}
END_TEST

/* One reference serves any number of outputs, also of a device that did not make it. */
START_TEST(a_reference_serves_other_trials)
{
  setup a = make(lines[0], 7, 1), b = make(lines[0], 7, 2), other_data = make(lines[0], 8, 1);
  fl4__reference *reference;
  ck_assert_fl4(fl4__reference_open(&a.trial, FL4_ORACLE_AUTO, &reference));
  run(&b, 1);
  run(&other_data, 0);
  end(&a);
  ck_assert(judged(&b, reference).passed);
  ck_assert(judged(&b, reference).passed);
  ck_assert(!judged(&other_data, reference).passed);
  fl4__reference_close(reference);
  end(&b);
  end(&other_data);
}
END_TEST

START_TEST(long_problems_are_sampled)
{
  setup s = make("hq2sq4096sk4096d40", 3, 1); /* 1.3 · 10⁹ multiply-adds */
  fl4__reference *reference;
  ck_assert_fl4(fl4__reference_open(&s.trial, FL4_ORACLE_AUTO, &reference));
  run(&s, 0);
  fl4_check_result r = judged(&s, reference);
  ck_assert(r.passed);
  ck_assert_str_eq(r.oracle, "fp64, sampled rows");
  ck_assert_int_lt(r.rows_checked, 2 * 4096);
  ck_assert_int_gt(r.rows_checked, 2 * 3000);
  /* Both ends are always among them. */
  const fl4__tensor *o = &s.trial.placement.o;
  fl4__store(s.output.o, FL4_DTYPE_FP16, o->offset + 4095 * o->stride[2], 9);
  r = judged(&s, reference);
  ck_assert(!r.accurate && r.worst[2] == 4095);
  fl4__reference_close(reference);
  end(&s);
}
END_TEST

START_TEST(cublas_needs_a_gpu)
{
  setup s = make(lines[0], 7, 1);
  fl4__reference *reference = (fl4__reference *)&s;
  ck_assert_fl4_fails(fl4__reference_open(&s.trial, FL4_ORACLE_CUBLAS, &reference), FL4_UNSUPPORTED, "CUDA");
  ck_assert_ptr_null(reference);
  fl4__reference_close(NULL);
  end(&s);
}
END_TEST

/* ---------------------------------------------------------------- the check */

static int launches;

/* The host device, but for the last bit of one element, which every other call turns. */
static fl4_status unsteady_launch(fl4__device *device, const fl4__kernel *kernel, const fl4__geometry *geometry,
                                  const fl4_fwd_params *params, void *workspace, fl4_stream stream)
{
  const fl4_status status = fl4__backend_host.launch(device, kernel, geometry, params, workspace, stream);
  *(uint16_t *)(uintptr_t)params->o ^= launches++ % 2;
  return status;
}

START_TEST(check_runs_twice)
{
  const fl4_problem p = problem_of("hq2sq20d16:lse");
  fl4_context *ctx = open_host();
  fl4_check_result r = FL4_CHECK_RESULT_INIT;
  ck_assert_fl4(fl4_check(ctx, &p, NULL, &r));
  ck_assert(r.passed && r.deterministic);
  fl4__backend unsteady = fl4__backend_host;
  unsteady.launch = unsteady_launch;
  ctx->device->backend = &unsteady;
  ck_assert_fl4(fl4_check(ctx, &p, NULL, &r));
  ck_assert_int_eq(launches, 2);
  ck_assert(!r.passed && !r.deterministic && r.accurate && r.finite && r.canaries && r.lse_accurate);
  ctx->device->backend = &fl4__backend_host;
  fl4_context_destroy(&ctx);
}
END_TEST

/* Where nothing can be timed the time is 0. */
START_TEST(check_times_where_there_is_a_clock)
{
  const fl4_problem p = problem_of("hq2sq20d16");
  fl4_context *ctx = open_host();
  fl4_check_options options = FL4_CHECK_OPTIONS_INIT;
  fl4_check_result r = FL4_CHECK_RESULT_INIT;
  options.timed_calls = 4;
  ck_assert_fl4(fl4_check(ctx, &p, &options, &r));
  ck_assert(r.time_us > 0 && r.time_us < 1e6);
  fl4__backend no_clock = fl4__backend_host;
  no_clock.timing = NULL;
  ctx->device->backend = &no_clock;
  ck_assert_fl4(fl4_check(ctx, &p, &options, &r));
  ck_assert(r.passed && r.time_us == 0);
  ctx->device->backend = &fl4__backend_host;
  fl4_context_destroy(&ctx);
}
END_TEST

static Suite *suite(void)
{
  Suite *s = suite_create("trial");
  TCase *t = tcase_create("data");
  tcase_add_loop_test(t, copies_are_equal_and_apart, 0, LINES);
  tcase_add_test(t, copies_come_and_go);
  tcase_add_test(t, memory_for_fewer_copies);
  tcase_add_test(t, impossible_layout);
  suite_add_tcase(s, t);

  t = tcase_create("judge");
  tcase_set_timeout(t, 60);
  tcase_add_loop_test(t, right_passes_from_every_copy, 0, LINES);
  tcase_add_loop_test(t, untouched_output_is_wrong, 0, LINES - 1);
  tcase_add_test(t, one_element_is_found);
  tcase_add_test(t, one_ragged_element_is_found);
  tcase_add_test(t, a_reference_serves_other_trials);
  tcase_add_test(t, long_problems_are_sampled);
  tcase_add_test(t, cublas_needs_a_gpu);
  tcase_add_test(t, check_runs_twice);
  tcase_add_test(t, check_times_where_there_is_a_clock);
  suite_add_tcase(s, t);
  return s;
}

FL4_TEST_MAIN(suite)

/* SPDX-License-Identifier: Apache-2.0 */
/* FLASHL4_CAPTURE: which problems are written, once each, from many threads and processes. */
#include <pthread.h>
#include <stdint.h>

#include "capture.h"
#include "oracle/check.h"
#include "scratch.h"

enum { ROOM = 1 << 16 };
static _Alignas(64) uint16_t q[ROOM], k[ROOM], v[ROOM];
static _Alignas(64) float lse[ROOM];

static void setup(void)
{
  scratch_setup();
  setenv("FLASHL4_CAPTURE", in_scratch("problems"), 1);
}

static fl4_context *open_host(listener *heard)
{
  fl4_context *ctx;
  fl4_context_options options = FL4_CONTEXT_OPTIONS_INIT;
  options.device = "host", options.threads = 1, options.log = listen_fn, options.log_user = heard;
  ck_assert_fl4(fl4_context_create(&ctx, &options));
  return ctx;
}

static fl4_attention_args make_args(int64_t Hq, int64_t S, int64_t D, void *o)
{
  fl4_attention_args a = FL4_ATTENTION_ARGS_INIT;
  a.B = 1, a.Hq = Hq, a.Hkv = Hq, a.Sq = S, a.Sk = S, a.D = D;
  a.q = q, a.k = k, a.v = v, a.o = o;
  return a;
}

static void ck_assert_file(const char *expected)
{
  size_t size;
  char *text = read_file(in_scratch("problems"), &size);
  ck_assert_str_eq(text, expected);
  free(text);
}

START_TEST(writes_each_problem_once)
{
  static _Alignas(64) uint16_t o[ROOM];
  listener heard = {0};
  fl4_context *ctx = open_host(&heard), *other = open_host(&heard);
  fl4_plan_info info = FL4_PLAN_INFO_INIT;
  fl4_attention_args a = make_args(2, 16, 8, o);
  ck_assert_file("");
  ck_assert_fl4(fl4_attention_prepare(ctx, &a)); /* only what runs */
  ck_assert_fl4(fl4_attention_plan_info(ctx, &a, &info));
  ck_assert_file("");
  for (int i = 0; i < 3; i++) {
    ck_assert_fl4(fl4_attention_forward(ctx, &a, NULL));
    ck_assert_fl4(fl4_attention_forward(other, &a, NULL)); /* of the process, not of the context */
    ck_assert_file("hq2sq16d8\n");
  }
  a.lse = lse;
  ck_assert_fl4(fl4_attention_forward(ctx, &a, NULL));
  a.lse = NULL, a.mask = FL4_MASK_CAUSAL, a.dtype = FL4_DTYPE_BF16, a.scale = 2; /* a scale costs no time */
  ck_assert_fl4(fl4_attention_forward(ctx, &a, NULL));

  /* Layouts: heads within the sequence, one tensor for all, and rows that are not aligned. */
  a = make_args(2, 16, 8, o);
  int64_t by_sequence[3] = {2 * 16 * 8, 8, 2 * 8}, packed[3] = {6 * 16 * 8, 8, 6 * 8}, odd[3] = {2 * 16 * 9, 16 * 9, 9};
  for (int i = 0; i < 3; i++) a.q_stride[i] = a.k_stride[i] = a.v_stride[i] = a.o_stride[i] = by_sequence[i];
  ck_assert_fl4(fl4_attention_forward(ctx, &a, NULL));
  for (int i = 0; i < 3; i++) a.q_stride[i] = a.k_stride[i] = a.v_stride[i] = packed[i];
  ck_assert_fl4(fl4_attention_forward(ctx, &a, NULL));
  for (int i = 0; i < 3; i++) a.q_stride[i] = a.k_stride[i] = a.v_stride[i] = a.o_stride[i] = odd[i];
  ck_assert_fl4(fl4_attention_forward(ctx, &a, NULL));

  a = make_args(2, 0, 8, o);
  ck_assert_fl4(fl4_attention_forward(ctx, &a, NULL)); /* nothing runs */
  a = make_args(2, 16, 7, o);
  ck_assert_fl4_fails(fl4_attention_forward(ctx, &a, NULL), FL4_INVALID_ARGUMENT, "D: is 7");
  ck_assert_file("hq2sq16d8\nhq2sq16d8:lse\nhq2sq16d8:bf16:causal\nhq2sq16d8:bshd\nhq2sq16d8:packed\nhq2sq16d8:odd\n");
  ck_assert_int_eq(heard.count[FL4_LOG_WARN], 0);
  fl4_context_destroy(&ctx);
  fl4_context_destroy(&other);
}
END_TEST

/* A call as the library records it; whether any kernel runs it does not matter. */
static void capture(fl4__capture *c, const fl4_attention_args *a)
{
  fl4__problem problem;
  fl4_fwd_params params;
  ck_assert_fl4(fl4__problem_from_args(a, FL4__NEED_SHAPE, &problem, &params));
  fl4__capture_problem(c, &problem, &params);
}

static fl4__capture *open_capture(void)
{
  static const fl4__log quiet;
  fl4__capture *c = fl4__capture_open(&quiet);
  ck_assert_ptr_nonnull(c);
  return c;
}

/* The last line of the file. */
static const char *last_line(void)
{
  static char line[FL4_PROBLEM_LINE_MAX + 1];
  line[0] = '\0';
  FILE *file = fopen(in_scratch("problems"), "r");
  while (fgets(line, sizeof line, file)) {}
  fclose(file);
  line[strcspn(line, "\n")] = '\0';
  return line;
}

static const char *const features[] = {
    "b2hq4hkv2sq16sk40d8:window=5,0",
    "b2hq4hkv2sq16sk40d8:bf16:window=-1,7:lse",
    "b2hq4hkv2sq16sk40d8:window=3,-1:softcap=30",
    "b2hq4hkv2sq16sk40d8:causal:softcap=0.3125:alibi:sinks",
    "b2hq4hkv2sq16sk40d8:softcap=123.0625",
    "b2hq4hkv2sq16sk40d8:bias=fp16",
    "b2hq4hkv2sq16sk40d8:bias=bool/bj",
    "b2hq4hkv2sq16sk40d8:bias=fp32/hi",
    "hq4hkv2sq16sk40d8:bias=bf16/b", /* of size 1 */
    "b2hq4hkv2sq16sk40d8:lens",
    "b2hq4hkv2sq16sk40d8:ragged",
    "b2hq4hkv2sq16sk40d8:ragged:lens:invariant",
    "b2hq4hkv2sq16sk40d8:ragged=full",
    "b2hq4hkv2sq16d8:packed:ragged",
    "b2hq4hkv2sq16sk40d8:bshd:sinks:ragged",
    "b2hq4hkv2sq1sk40d8:page=16",
    "b2hq4hkv2sq1sk40d8:bshd:lens:page=8",
    "b2hq4hkv2sq16sk40d8:ragged:page=8",
    "b2hq4hkv2sq16sk40d8:ragged=full:lens:page=8",
    "b2hq4hkv2sq16sk40d8:odd:lens:page=8:invariant",
};

START_TEST(writes_features)
{
  fl4__capture *c = open_capture();
  fl4_problem p = FL4_PROBLEM_INIT;
  fl4__placement at;
  ck_assert_fl4(fl4_problem_parse(features[_i], &p));
  ck_assert_fl4(fl4__place(&p, &at));
  const fl4_attention_args a = fl4__placement_args(&p, &at, q, k, lse);
  capture(c, &a);
  ck_assert_str_eq(last_line(), features[_i]);
}
END_TEST

/* How many rows ragged tensors have changes from call to call, and is no other problem. */
START_TEST(ragged_calls_are_one_problem)
{
  fl4__capture *c = open_capture();
  static int32_t lengths[8];
  fl4_attention_args a = make_args(2, 16, 8, k);
  a.B = 7, a.cu_seqlens_q = a.cu_seqlens_k = lengths;
  for (int i = 0; i < 50; i++) {
    a.total_q = 40 + i, a.total_k = 60 - i;
    capture(c, &a);
  }
  ck_assert_file("b7hq2sq16d8:ragged\n");
  a.total_q = 7 * 16, a.total_k = 7 * 16;
  capture(c, &a);
  ck_assert_file("b7hq2sq16d8:ragged\nb7hq2sq16d8:ragged=full\n");
}
END_TEST

/* Queries or keys alone, and pages without lengths: lines have no words for them. */
START_TEST(what_has_no_words_is_left_out)
{
  fl4__capture *c = open_capture();
  static int32_t lengths[8];
  fl4_attention_args a = make_args(2, 16, 8, k);
  a.B = 7, a.cu_seqlens_q = lengths, a.total_q = 9;
  capture(c, &a);
  a.page_size = 8, a.n_pages = 20, a.block_table = lengths;
  capture(c, &a);
  a = make_args(2, 16, 8, k);
  a.B = 7, a.cu_seqlens_k = lengths, a.total_k = 9;
  capture(c, &a);
  ck_assert_file("");
}
END_TEST

START_TEST(off_when_not_asked)
{
  static _Alignas(64) uint16_t o[ROOM];
  listener heard = {0};
  const fl4_attention_args a = make_args(2, 16, 8, o);
  unsetenv("FLASHL4_CAPTURE");
  fl4_context *ctx = open_host(&heard);
  setenv("FLASHL4_CAPTURE", in_scratch("problems"), 1); /* too late for this one */
  ck_assert_fl4(fl4_attention_forward(ctx, &a, NULL));
  ck_assert(!exists(in_scratch("problems")));
  fl4_context_destroy(&ctx);

  setenv("FLASHL4_CAPTURE", in_scratch("no/such"), 1);
  ctx = open_host(&heard);
  ck_assert_int_eq(heard.count[FL4_LOG_WARN], 1);
  ck_assert_ptr_nonnull(strstr(heard.last[FL4_LOG_WARN], "no/such cannot be written: No such file"));
  ck_assert_fl4(fl4_attention_forward(ctx, &a, NULL));
  fl4_context_destroy(&ctx);
}
END_TEST

/* Threads on contexts of their own run the same problems, more than the first table holds. */
enum { THREADS = 3, PROBLEMS = 1500 };

static void *run_all(void *user)
{
  uint16_t *o = aligned_alloc(64, 16384);
  fl4_context *ctx = user;
  for (int i = 0; i < PROBLEMS; i++) {
    const fl4_attention_args a = make_args(1, 1 + i % 500, 8, o);
    fl4_attention_args b = a;
    b.Sk = 1 + i / 500;
    if (fl4_attention_forward(ctx, &b, NULL) != FL4_OK) return NULL;
  }
  free(o);
  return user;
}

static void run_threads(void)
{
  listener heard = {0};
  pthread_t threads[THREADS];
  fl4_context *ctx[THREADS];
  for (int i = 0; i < THREADS; i++) {
    ctx[i] = open_host(&heard);
    ck_assert_int_eq(pthread_create(&threads[i], NULL, run_all, ctx[i]), 0);
  }
  for (int i = 0; i < THREADS; i++) {
    void *done;
    pthread_join(threads[i], &done);
    ck_assert_ptr_nonnull(done);
    fl4_context_destroy(&ctx[i]);
  }
}

/* Each line is a problem, and stands there `times` times. */
static void ck_assert_lines(int n, int times)
{
  static int seen[501][4];
  char line[256], again[256];
  FILE *file = fopen(in_scratch("problems"), "r");
  int lines = 0;
  memset(seen, 0, sizeof seen);
  while (fgets(line, sizeof line, file)) {
    fl4_problem p = FL4_PROBLEM_INIT;
    line[strcspn(line, "\n")] = '\0';
    ck_assert_fl4(fl4_problem_parse(line, &p));
    ck_assert_fl4(fl4_problem_format(&p, again, sizeof again));
    ck_assert_str_eq(line, again);
    ck_assert_int_le(++seen[p.Sq][p.Sk < 4 ? p.Sk : 0], times);
    lines++;
  }
  fclose(file);
  ck_assert_int_eq(lines, n * times);
}

START_TEST(many_threads)
{
  run_threads();
  ck_assert_lines(PROBLEMS, 1);
}
END_TEST

static int in_process(void *user)
{
  (void)user;
  run_threads();
  return 0;
}

START_TEST(many_processes)
{
  const pid_t a = start_child(in_process, NULL), b = start_child(in_process, NULL);
  wait_child(a);
  wait_child(b);
  ck_assert_lines(PROBLEMS, 2); /* once each */
}
END_TEST

static Suite *make_suite(void)
{
  Suite *suite = suite_create("capture");
  TCase *c = tcase_create("capture");
  tcase_set_timeout(c, 60);
  tcase_add_checked_fixture(c, setup, scratch_teardown);
  tcase_add_test(c, writes_each_problem_once);
  tcase_add_loop_test(c, writes_features, 0, (int)(sizeof features / sizeof *features));
  tcase_add_test(c, ragged_calls_are_one_problem);
  tcase_add_test(c, what_has_no_words_is_left_out);
  tcase_add_test(c, off_when_not_asked);
  tcase_add_test(c, many_threads);
  tcase_add_test(c, many_processes);
  suite_add_tcase(suite, c);
  return suite;
}

FL4_TEST_MAIN(make_suite)

/* SPDX-License-Identifier: Apache-2.0 */
/* The host device around its kernel: threads, workspace, scratch, kernels, what must not be read. */
#include <math.h>
#include <pthread.h>

#include "check_data.h"
#include "context.h"
#include "families/families.h"
#include "host/forward.h"

static fl4_context *open_host(const char *variant, int threads)
{
  fl4_context *ctx;
  fl4_context_options options = FL4_CONTEXT_OPTIONS_INIT;
  options.device = "host", options.variant = variant, options.threads = threads;
  ck_assert_fl4(fl4_context_create(&ctx, &options));
  return ctx;
}

/* A problem with its inputs and room for outputs. */
typedef struct run {
  data in;
  fl4_attention_args args;
  void *o;
  float *lse;
  size_t o_bytes, lse_bytes;
} run;

static run make_run(const char *line)
{
  run r = {.in = make_data(line, FL4_INPUTS_NORMAL, 3)};
  const fl4_problem *p = &r.in.p;
  r.lse_bytes = (size_t)(p->B * p->Hq * p->Sq) * sizeof(float);
  r.o_bytes = (size_t)(p->B * p->Hq * p->Sq * p->D) * (size_t)fl4__dtype_size(p->dtype);
  r.o = malloc(r.o_bytes), r.lse = malloc(r.lse_bytes);
  r.args = args_of(&r.in);
  r.args.o = r.o, r.args.lse = r.lse;
  return r;
}

static void clear(run *r)
{
  memset(r->o, 0xff, r->o_bytes);
  memset(r->lse, 0xff, r->lse_bytes);
}

static void free_run(run *r)
{
  free(r->in.buffer);
  free(r->o);
  free(r->lse);
}

/* ---------------------------------------------------------------- threads */

START_TEST(any_number_of_threads_gives_the_same_bits)
{
  run r = make_run("b2hq4hkv2sq301sk411d72:bf16:causal");
  void *first = malloc(r.o_bytes), *first_lse = malloc(r.lse_bytes);
  const struct {
    const char *variant;
    int threads;
  } ways[] = {{"host:bm=24", 1},  {"host:bm=24", 2},           {"host:bm=24", 3},
              {"host:bm=24", 16}, {"host:bm=24,threads=2", 3}, {"host:bm=24,threads=3", 3}};
  for (size_t w = 0; w < sizeof ways / sizeof *ways; w++) {
    fl4_context *ctx = open_host(ways[w].variant, ways[w].threads);
    for (int again = 0; again < 2; again++) {
      clear(&r);
      ck_assert_fl4(fl4_attention_forward(ctx, &r.args, NULL));
      if (w == 0 && again == 0) memcpy(first, r.o, r.o_bytes), memcpy(first_lse, r.lse, r.lse_bytes);
      ck_assert_mem_eq(first, r.o, r.o_bytes);
      ck_assert_mem_eq(first_lse, r.lse, r.lse_bytes);
    }
    fl4_context_destroy(&ctx);
  }
  free(first);
  free(first_lse);
  free_run(&r);
}
END_TEST

typedef struct caller {
  pthread_t thread;
  fl4_context *ctx;
  run r;
  const void *expected;
  int wrong;
} caller;

static void *call_often(void *user)
{
  caller *c = user;
  for (int i = 0; i < 20; i++) {
    clear(&c->r);
    if (fl4_attention_forward(c->ctx, &c->r.args, NULL) != FL4_OK || memcmp(c->expected, c->r.o, c->r.o_bytes) != 0)
      c->wrong++;
  }
  return NULL;
}

START_TEST(eight_threads_share_a_device)
{
  static const char *const lines[] = {"hq2sq100d64:causal", "hq2sq30sk200d128:bf16"};
  fl4_context *ctx = open_host(NULL, 2);
  run expected[2];
  caller callers[8];
  for (int i = 0; i < 2; i++) {
    expected[i] = make_run(lines[i]);
    ck_assert_fl4(fl4_attention_forward(ctx, &expected[i].args, NULL));
  }
  for (int i = 0; i < 8; i++) {
    callers[i] = (caller){.ctx = ctx, .r = make_run(lines[i % 2]), .expected = expected[i % 2].o};
    ck_assert_int_eq(pthread_create(&callers[i].thread, NULL, call_often, &callers[i]), 0);
  }
  for (int i = 0; i < 8; i++) {
    pthread_join(callers[i].thread, NULL);
    ck_assert_int_eq(callers[i].wrong, 0);
    free_run(&callers[i].r);
  }
  free_run(&expected[0]);
  free_run(&expected[1]);
  fl4_context_destroy(&ctx);
}
END_TEST

START_TEST(more_threads_than_the_device_has)
{
  run r = make_run("hq1sq8d8");
  fl4_context *ctx = open_host("host:threads=4", 3);
  ck_assert_fl4_fails(fl4_attention_forward(ctx, &r.args, NULL), FL4_UNSUPPORTED, "threads=4, but the device has 3");
  fl4_context_destroy(&ctx);
  free_run(&r);
}
END_TEST

/* ---------------------------------------------------------------- the plan */

START_TEST(plan_says_how_it_runs)
{
  run r = make_run("b2hq8hkv2sq100d64");
  fl4_plan_info info = FL4_PLAN_INFO_INIT, other = FL4_PLAN_INFO_INIT;
  fl4_context *ctx = open_host("host:bm=96,bn=64", 3), *more = open_host("host:bm=48,bn=64", 3);
  ck_assert_fl4(fl4_attention_plan_info(ctx, &r.args, &info));
  ck_assert_str_eq(info.variant, "host:bm=96,bn=64,threads=0");
  ck_assert_int_eq(info.blocks, 2 * 2 * 5); /* 4 query heads × 100 queries, 96 at a time */
  ck_assert_int_eq(info.threads, 3);
  ck_assert_int_eq(info.origin, FL4_KERNEL_BUILT_IN);
  ck_assert_int_eq(info.registers, 0);
  ck_assert_int_eq(info.spill_bytes, 0);
  ck_assert_uint_eq(info.workspace_bytes, 3 * 4 * fl4__host_scratch_layout(96, 64, 64).total);
  ck_assert_uint_eq(info.workspace_bytes % 64, 0);
  ck_assert_fl4(fl4_attention_plan_info(more, &r.args, &other));
  ck_assert_uint_eq(info.kernel_hash, other.kernel_hash); /* the same code */
  ck_assert_uint_ne(info.kernel_hash, 0);
  /* No more threads than tasks. */
  r.args.B = 1, r.args.Sq = 1;
  ck_assert_fl4(fl4_attention_plan_info(ctx, &r.args, &info));
  ck_assert_int_eq(info.threads, 2);
  fl4_context_destroy(&ctx);
  fl4_context_destroy(&more);
  free_run(&r);
}
END_TEST

/* The built-in choice: legal, work for every thread where there is enough, no rows that nobody has. */
START_TEST(choice_is_sensible)
{
  const fl4_device_info device = {.kind = FL4_DEVICE_HOST, .multiprocessors = 8};
  const fl4__family *family = &fl4__family_host;
  for (int64_t Sq = 1; Sq <= 5000; Sq = Sq * 3 + 1)
    for (int64_t heads = 1; heads <= 64; heads *= 4)
      for (int64_t D = 8; D <= 256; D += 248) {
        const fl4__problem p = {.B = 1, .Hq = heads, .Hkv = heads, .Sq = Sq, .Sk = Sq, .D = D};
        fl4__variant v = {.family = family};
        fl4__geometry g = {0};
        char why[160];
        family->choose(&v, &p, &device);
        ck_assert_ptr_null(family->refuse(&v, &p, &device, why));
        family->geometry(&v, &p, &device, &g);
        ck_assert_int_eq(g.blocks, heads * fl4__ceil_div(Sq, v.value[0]));
        ck_assert(g.threads >= 1 && g.threads <= 8);
        if (heads * Sq >= 8 * 4) ck_assert_int_eq(g.threads, 8);
        ck_assert(v.value[0] < 4 * Sq || v.value[0] == 4);
        ck_assert_uint_lt(g.workspace_bytes / (size_t)g.threads, 1200000); /* fits a second-level cache */
      }
}
END_TEST

START_TEST(streams_are_refused)
{
  run r = make_run("hq1sq8d8");
  fl4_context *ctx = open_host(NULL, 1);
  ck_assert_fl4_fails(fl4_attention_forward(ctx, &r.args, (fl4_stream)(void *)&r), FL4_INVALID_ARGUMENT,
                      "stream: is 0x");
  ck_assert_fl4(fl4_attention_forward(ctx, &r.args, NULL));
  fl4_context_destroy(&ctx);
  free_run(&r);
}
END_TEST

START_TEST(workspace_is_used_and_not_exceeded)
{
  run r = make_run("hq4sq130d80:bf16");
  fl4_context *ctx = open_host("host:bm=12,bn=32", 2);
  size_t bytes;
  ck_assert_fl4(fl4_attention_forward(ctx, &r.args, NULL));
  void *expected = malloc(r.o_bytes);
  memcpy(expected, r.o, r.o_bytes);
  ck_assert_fl4(fl4_attention_workspace_size(ctx, &r.args, &bytes));
  ck_assert_uint_gt(bytes, 0);
  char *workspace = aligned_alloc(256, (bytes + 512) / 256 * 256);
  memset(workspace, 0xff, bytes + 64); /* NaN: nothing of it may be read before it is written */
  r.args.workspace = workspace, r.args.workspace_size = bytes;
  clear(&r);
  ck_assert_fl4(fl4_attention_forward(ctx, &r.args, NULL));
  ck_assert_mem_eq(expected, r.o, r.o_bytes);
  size_t written = 0; /* in any thread's part: a busy machine may leave all tasks to one */
  for (size_t i = 0; i < bytes; i++) written += workspace[i] != (char)0xff;
  ck_assert_uint_gt(written, 0);
  for (int i = 0; i < 64; i++) ck_assert_int_eq(workspace[bytes + (size_t)i], (char)0xff);
  r.args.workspace_size = bytes - 1;
  ck_assert_fl4_fails(fl4_attention_forward(ctx, &r.args, NULL), FL4_WORKSPACE_TOO_SMALL, "workspace_size");
  free(workspace);
  free(expected);
  free_run(&r);
  fl4_context_destroy(&ctx);
}
END_TEST

/* ---------------------------------------------------------------- what is read */

/* Keys and values that a query does not see change nothing for it, whatever they hold. */
START_TEST(masked_keys_change_nothing)
{
  const float poisons[] = {NAN, INFINITY, -INFINITY, 1e30f};
  run r = make_run("hq4hkv2sq100sk150d40:fp32:causal");
  fl4_context *ctx = open_host(_i ? "host:bm=48,bn=32" : NULL, 2);
  ck_assert_fl4(fl4_attention_forward(ctx, &r.args, NULL));
  float *expected = malloc(r.o_bytes), *lse = malloc(r.lse_bytes);
  memcpy(expected, r.o, r.o_bytes);
  memcpy(lse, r.lse, r.lse_bytes);
  for (int poison = 0; poison < 4; poison++) {
    /* Key 50 + i is the last that query i sees: all from key 87 on go bad. */
    for (int64_t h = 0; h < 2; h++)
      for (int64_t j = 87; j < 150; j++)
        for (int64_t d = 0; d < 40; d++) {
          const int64_t at = h * r.in.at.k.stride[1] + j * r.in.at.k.stride[2] + d;
          ((float *)r.in.buffer)[r.in.at.k.offset + at] = poisons[poison];
          ((float *)r.in.buffer)[r.in.at.v.offset + at] = poisons[poison];
        }
    clear(&r);
    ck_assert_fl4(fl4_attention_forward(ctx, &r.args, NULL));
    for (int h = 0; h < 4; h++) {
      ck_assert_mem_eq((float *)r.o + h * 4000, expected + h * 4000, 37 * 40 * sizeof(float));
      ck_assert_mem_eq(r.lse + h * 100, lse + h * 100, 37 * sizeof(float));
    }
  }
  free(expected);
  free(lse);
  free_run(&r);
  fl4_context_destroy(&ctx);
}
END_TEST

/* A NaN that is seen comes out, in its own row and no other. */
START_TEST(nan_stays_in_its_row)
{
  run r = make_run("hq1sq50sk60d24:fp32");
  fl4_context *ctx = open_host(NULL, 1);
  ((float *)r.in.buffer)[r.in.at.q.offset + 7 * 24 + 3] = NAN;
  ck_assert_fl4(fl4_attention_forward(ctx, &r.args, NULL));
  for (int i = 0; i < 50; i++) {
    ck_assert_int_eq(isnan(r.lse[i]) != 0, i == 7);
    for (int d = 0; d < 24; d++) ck_assert_int_eq(isnan(((float *)r.o)[i * 24 + d]) != 0, i == 7);
  }
  free_run(&r);
  fl4_context_destroy(&ctx);
}
END_TEST

/* Stride 0 reads one head for all; an output may have any strides that keep its rows apart. */
START_TEST(broadcast_and_transposed_strides)
{
  run r = make_run("b2hq3sq20sk30d16:fp32");
  fl4_context *ctx = open_host(NULL, 2);
  double *ref = malloc(r.o_bytes * 2), *lse = malloc(r.lse_bytes * 2);
  float *wide = malloc(r.o_bytes * 2);
  r.args.k_stride[0] = r.args.k_stride[1] = 0;
  r.args.v_stride[1] = 0;
  r.args.q_stride[2] = 0;
  r.args.o = wide;
  r.args.o_stride[0] = 20, r.args.o_stride[1] = 40, r.args.o_stride[2] = 120; /* [S][H][B][D + 4] */
  r.args.lse_stride[0] = 1, r.args.lse_stride[1] = 2, r.args.lse_stride[2] = 6;
  ck_assert_fl4(fl4_attention_forward(ctx, &r.args, NULL));
  ck_assert_fl4(fl4_oracle_fp64(&r.args, NULL, 0, ref, NULL, lse));
  for (int b = 0; b < 2; b++)
    for (int h = 0; h < 3; h++)
      for (int i = 0; i < 20; i++) {
        const int row = (b * 3 + h) * 20 + i;
        ck_assert_double_eq_tol((double)r.lse[b + 2 * h + 6 * i], lse[row], 1e-5);
        for (int d = 0; d < 16; d++)
          ck_assert_double_eq_tol((double)wide[b * 20 + h * 40 + i * 120 + d], ref[row * 16 + d], 1e-5);
      }
  free(ref);
  free(lse);
  free(wide);
  free_run(&r);
  fl4_context_destroy(&ctx);
}
END_TEST

/* ---------------------------------------------------------------- the backend's own functions */

START_TEST(scratch_is_kept)
{
  fl4_context *ctx = open_host(NULL, 1);
  fl4__device *device = ctx->device;
  const fl4__backend *backend = device->backend;
  void *a, *b, *c;
  ck_assert_fl4(backend->scratch_take(device, 1000, NULL, &a));
  ck_assert_fl4(backend->scratch_take(device, 5000, NULL, &b));
  ck_assert_ptr_ne(a, b);
  ck_assert_uint_eq((uintptr_t)a % 64, 0);
  memset(a, 1, 1000);
  memset(b, 2, 5000);
  backend->scratch_give(device, b, 5000, NULL);
  backend->scratch_give(device, a, 1000, NULL);
  /* The first that is large enough. */
  ck_assert_fl4(backend->scratch_take(device, 4000, NULL, &c));
  ck_assert_ptr_eq(c, b);
  backend->scratch_give(device, c, 4000, NULL);
  /* None is: one is replaced. */
  ck_assert_fl4(backend->scratch_take(device, 100000, NULL, &c));
  memset(c, 3, 100000);
  backend->scratch_give(device, c, 100000, NULL);
  ck_assert_fl4_fails(backend->scratch_take(device, SIZE_MAX, NULL, &c), FL4_OUT_OF_MEMORY, "scratch");
  backend->scratch_give(device, NULL, 0, NULL);
  fl4_context_destroy(&ctx);
}
END_TEST

START_TEST(kernels_are_made_once)
{
  fl4_context *ctx = open_host(NULL, 1);
  fl4__device *device = ctx->device;
  const fl4__problem p = {.B = 1, .Hq = 1, .Hkv = 1, .Sq = 9, .Sk = 9, .D = 64};
  fl4__variant v = {.family = &fl4__family_host};
  fl4__build build;
  const fl4__kernel *a, *b, *c;
  fl4__family_host.choose(&v, &p, &device->info);
  fl4__build_from(&v, &p, false, &build);
  ck_assert_fl4(device->backend->kernel(device, &build, false, &a));
  ck_assert_ptr_nonnull(a);
  ck_assert_fl4(device->backend->kernel(device, &build, true, &b));
  build.D = 72;
  ck_assert_fl4(device->backend->kernel(device, &build, true, &c));
  ck_assert_ptr_eq(a, b);
  ck_assert_ptr_ne(a, c);
  ck_assert_int_eq(a->build.D, 64);
  ck_assert_int_eq(c->build.D, 72);
  fl4_cache_info info = FL4_CACHE_INFO_INIT;
  ck_assert_fl4(fl4_context_get_cache_info(ctx, &info));
  ck_assert_str_eq(info.why_off, "the host device compiles nothing");
  ck_assert_str_eq(info.dir, "");
  ck_assert_int_eq(info.kernels_loaded, 2);
  ck_assert_int_eq(info.compiled, 0);
  fl4_context_destroy(&ctx);
}
END_TEST

START_TEST(memory_and_copies)
{
  fl4_context *ctx = open_host(NULL, 1);
  fl4__device *device = ctx->device;
  const fl4__backend *backend = device->backend;
  void *memory;
  char text[6] = "flash", back[6] = "";
  ck_assert_fl4(backend->alloc(device, sizeof text, &memory));
  ck_assert_uint_eq((uintptr_t)memory % 64, 0);
  ck_assert_fl4(backend->upload(device, memory, text, sizeof text));
  ck_assert_fl4(backend->download(device, back, memory, sizeof back));
  ck_assert_str_eq(back, text);
  ck_assert_fl4(backend->synchronize(device));
  void *other;
  memset(back, 0, sizeof back);
  ck_assert_fl4(backend->alloc(device, sizeof text, &other));
  ck_assert_fl4(backend->copy(device, other, memory, sizeof text));
  ck_assert_fl4(backend->copy(device, other, NULL, 0));
  ck_assert_fl4(backend->download(device, back, other, sizeof back));
  ck_assert_str_eq(back, text);
  backend->release(device, other);
  backend->release(device, memory);
  ck_assert_fl4(backend->alloc(device, 0, &memory));
  ck_assert_ptr_nonnull(memory);
  backend->release(device, memory);
  backend->release(device, NULL);
  ck_assert_fl4_fails(backend->alloc(device, SIZE_MAX - 3, &memory), FL4_OUT_OF_MEMORY, "no memory");
  ck_assert(!backend->capturing(device, NULL));
  fl4_context_destroy(&ctx);
}
END_TEST

static Suite *suite(void)
{
  Suite *s = suite_create("host device");
  TCase *t = tcase_create("device");
  tcase_set_timeout(t, 120);
  tcase_add_test(t, any_number_of_threads_gives_the_same_bits);
  tcase_add_test(t, eight_threads_share_a_device);
  tcase_add_test(t, more_threads_than_the_device_has);
  tcase_add_test(t, plan_says_how_it_runs);
  tcase_add_test(t, choice_is_sensible);
  tcase_add_test(t, streams_are_refused);
  tcase_add_test(t, workspace_is_used_and_not_exceeded);
  tcase_add_loop_test(t, masked_keys_change_nothing, 0, 2);
  tcase_add_test(t, nan_stays_in_its_row);
  tcase_add_test(t, broadcast_and_transposed_strides);
  tcase_add_test(t, scratch_is_kept);
  tcase_add_test(t, kernels_are_made_once);
  tcase_add_test(t, memory_and_copies);
  suite_add_tcase(s, t);
  return s;
}

FL4_TEST_MAIN(suite)

/* SPDX-License-Identifier: Apache-2.0 */
/* Contenders: which library, context and device they are, what they are called, and one call of them. */
#include <stdlib.h>

#include "bench/contender.h"
#include "check_data.h"

#define OTHER(name) FL4_OTHER_BUILDS "/libfl4_" name ".so"

static fl4_context *open_host(const char *variant)
{
  fl4_context *ctx;
  fl4_context_options options = FL4_CONTEXT_OPTIONS_INIT;
  options.device = "host", options.threads = 2, options.variant = variant;
  options.cache_dir = "cached here", options.kernel_dir = "kernels there";
  options.log_level = FL4_LOG_ERROR;
  options.flags = FL4_CONTEXT_NO_DISK_CACHE;
  ck_assert_fl4(fl4_context_create(&ctx, &options));
  return ctx;
}

static fl4_bench_contender description(const char *device, const char *variant, const char *library)
{
  fl4_bench_contender d = FL4_BENCH_CONTENDER_INIT;
  d.device = device, d.variant = variant, d.library = library;
  return d;
}

/* A problem, an output, a call. */
typedef struct setup {
  fl4__trial trial;
  fl4__output output;
  fl4_attention_args args;
  fl4__reference *reference;
} setup;

static setup make(fl4_context *ctx, const char *line)
{
  setup s;
  const fl4_problem p = problem_of(line);
  ck_assert_fl4(fl4__trial_open(&s.trial, ctx, &p, 1, FL4_INPUTS_NORMAL, 1));
  ck_assert_fl4(fl4__output_open(&s.trial, &s.output));
  ck_assert_fl4(fl4__output_poison(&s.trial, &s.output));
  ck_assert_fl4(fl4__reference_open(&s.trial, FL4_ORACLE_AUTO, &s.reference));
  s.args = fl4__trial_args(&s.trial, 0, &s.output);
  return s;
}

static bool passes(const setup *s)
{
  fl4_check_result r = FL4_CHECK_RESULT_INIT;
  ck_assert_fl4(fl4__output_judge(&s->trial, &s->output, s->reference, &r));
  return r.passed != 0;
}

static void end(setup *s)
{
  fl4__reference_close(s->reference);
  fl4__output_close(&s->trial, &s->output);
  fl4__trial_close(&s->trial);
}

/* ---------------------------------------------------------------- libraries */

START_TEST(this_library)
{
  fl4__library library;
  ck_assert_fl4(fl4__library_open(NULL, &library));
  ck_assert_ptr_null(library.handle);
  ck_assert_str_eq(library.version, fl4_version_string());
  ck_assert(library.attention_forward == fl4_attention_forward && library.context_create == fl4_context_create);
  fl4__library_close(&library);
}
END_TEST

START_TEST(another_build_is_another)
{
  fl4__library library;
  ck_assert_fl4(fl4__library_open(FL4_THIS_BUILD, &library));
  ck_assert_ptr_nonnull(library.handle);
  ck_assert_str_eq(library.version, fl4_version_string());
  ck_assert(library.attention_forward != fl4_attention_forward && library.context_create != fl4_context_create);
  /* Its errors stay in its own slot. */
  ck_assert_fl4_fails(fl4_attention_forward(NULL, NULL, NULL), FL4_INVALID_ARGUMENT, "ctx");
  fl4_context_options options = FL4_CONTEXT_OPTIONS_INIT;
  options.device = "toaster";
  fl4_context *ctx;
  ck_assert_int_eq(library.context_create(&ctx, &options), FL4_INVALID_ARGUMENT);
  ck_assert_ptr_nonnull(strstr(library.last_error(), "toaster"));
  ck_assert_ptr_null(strstr(fl4_last_error(), "toaster"));
  fl4__library_close(&library);
  fl4__library_close(&library);
}
END_TEST

START_TEST(what_is_no_library)
{
  fl4__library library;
  ck_assert_fl4_fails(fl4__library_open("/nowhere/libflashl4.so", &library), FL4_LIBRARY_MISSING,
                      "\"/nowhere/libflashl4.so\" cannot be opened: ");
  ck_assert_ptr_nonnull(strstr(fl4_last_error(), "No such file"));
  fl4__library_close(&library);
  ck_assert_fl4_fails(fl4__library_open(__FILE__, &library), FL4_LIBRARY_MISSING, "cannot be opened: ");
  fl4__library_close(&library);
  ck_assert_fl4_fails(fl4__library_open("libm.so.6", &library), FL4_LIBRARY_MISSING,
                      "\"libm.so.6\" has no fl4_version_string(): no libflashl4, or too old");
  fl4__library_close(&library);
}
END_TEST

/* ---------------------------------------------------------------- contenders */

START_TEST(names_say_what_differs)
{
  const struct {
    fl4_bench_contender d;
    const char *name;
  } cases[] = {
      {description(NULL, NULL, NULL), "default"},
      {description(NULL, "host:bm=12", NULL), "host:bm=12"},
      {description("host", NULL, NULL), "host"},
      {description(NULL, NULL, FL4_THIS_BUILD), "library "},
      {description("host", "host:bm=12,bn=64", NULL), "host host:bm=12,bn=64"},
  };
  fl4_context *ctx = open_host(NULL);
  fl4__contender c;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    ck_assert_fl4(fl4__contender_open(ctx, &cases[i].d, &c));
    if (cases[i].d.library)
      ck_assert_int_eq(strncmp(c.name, "library " FL4_THIS_BUILD, 63), 0);
    else
      ck_assert_str_eq(c.name, cases[i].name);
    fl4__contender_close(&c);
  }
  fl4_bench_contender d = FL4_BENCH_CONTENDER_INIT;
  d.kind = FL4_CONTENDER_ORACLE;
  ck_assert_fl4(fl4__contender_open(ctx, &d, &c));
  ck_assert_str_eq(c.name, "oracle");
  fl4__contender_close(&c);
  d.name = "a name of more than sixty-three letters is cut off where there is no room left";
  ck_assert_fl4(fl4__contender_open(ctx, &d, &c));
  ck_assert_uint_eq(strlen(c.name), 63);
  ck_assert_int_eq(strncmp(c.name, d.name, 63), 0);
  fl4__contender_close(&c);
  fl4_context_destroy(&ctx);
}
END_TEST

START_TEST(the_context_itself_where_nothing_differs)
{
  const char *const devices[] = {NULL, "host", "host:0"};
  fl4_context *ctx = open_host("host:bm=12");
  for (int i = 0; i < 3; i++) {
    fl4__contender c;
    const fl4_bench_contender d = description(devices[i], NULL, NULL);
    ck_assert_fl4(fl4__contender_open(ctx, &d, &c));
    ck_assert_ptr_eq(c.ctx, ctx);
    ck_assert_ptr_eq(c.home, ctx);
    ck_assert(!c.own_ctx && !c.own_home);
    fl4__contender_close(&c);
  }
  fl4_context_destroy(&ctx);
}
END_TEST

START_TEST(options_are_those_of_the_context)
{
  fl4_context *ctx = open_host("host:bm=12");
  fl4__contender c;
  const fl4_bench_contender d = description(NULL, "host:bn=64", NULL);
  ck_assert_fl4(fl4__contender_open(ctx, &d, &c));
  ck_assert(c.own_ctx && c.ctx != ctx && c.home == ctx);
  ck_assert_str_eq(c.ctx->cache_dir, "cached here");
  ck_assert_str_eq(c.ctx->kernel_dir, "kernels there");
  ck_assert_int_eq(c.ctx->log.level, FL4_LOG_ERROR);
  ck_assert_int_eq(c.ctx->device->config.threads, 2);
  ck_assert(!c.ctx->device->config.disk_cache && !c.ctx->device->config.debug);
  char text[FL4__VARIANT_TEXT];
  fl4__variant_format(&c.ctx->forced, text);
  ck_assert_str_eq(text, "host:bn=64");
  fl4__contender_close(&c);
  fl4_context_destroy(&ctx);
}
END_TEST

START_TEST(another_build_runs)
{
  fl4_context *ctx = open_host("host:bm=12");
  fl4__contender c;
  setup s = make(ctx, "hq2sq20d16:causal:lse");
  for (int forced = 0; forced < 2; forced++) {
    const fl4_bench_contender d = description(NULL, forced ? "host:bm=24" : NULL, FL4_THIS_BUILD);
    fl4_plan_info plan;
    ck_assert_fl4(fl4__contender_open(ctx, &d, &c));
    ck_assert(c.own_ctx && c.home == ctx);
    ck_assert_fl4(fl4__contender_prepare(&c, &s.args, &plan));
    ck_assert_fl4(fl4__output_poison(&s.trial, &s.output));
    ck_assert_fl4(fl4__contender_run(&c, &s.args, NULL));
    ck_assert_fl4(fl4__contender_collect(&c, &s.trial, &s.output));
    ck_assert(passes(&s));
    /* What the caller's context forces, the other build runs too, unless it is told otherwise. */
    ck_assert_ptr_nonnull(strstr(plan.variant, forced ? "bm=24" : "bm=12"));
    fl4_attention_args bad = s.args;
    bad.D = 7;
    ck_assert_fl4_fails(fl4__contender_run(&c, &bad, NULL), FL4_INVALID_ARGUMENT, "fl4_attention_args.D: is 7");
    bad.D = 9;
    ck_assert_fl4_fails(fl4__contender_prepare(&c, &bad, &plan), FL4_INVALID_ARGUMENT, "fl4_attention_args.D: is 9");
    fl4__contender_close(&c);
  }
  end(&s);
  fl4_context_destroy(&ctx);
}
END_TEST

/* What the calls need is taken and zeroed before the first of them, and theirs. */
START_TEST(workspace)
{
  fl4_context *ctx = open_host("host:bm=12");
  setup s = make(ctx, "hq2sq20d16");
  for (int other = 0; other < 2; other++) {
    const fl4_bench_contender d = description(NULL, NULL, other ? FL4_THIS_BUILD : NULL);
    fl4__contender c;
    fl4_plan_info plan;
    ck_assert_fl4(fl4__contender_open(ctx, &d, &c));
    ck_assert_fl4(fl4__contender_prepare(&c, &s.args, &plan));
    ck_assert_uint_gt(plan.workspace_bytes, 0);
    ck_assert_uint_eq(c.workspace_bytes, plan.workspace_bytes);
    ck_assert_uint_eq((uintptr_t)c.workspace % 256, 0);
    const char *bytes = c.workspace;
    size_t dirty = 0;
    for (size_t i = 0; i < c.workspace_bytes; i++) dirty += bytes[i] != 0;
    ck_assert_uint_eq(dirty, 0);
    ck_assert_fl4(fl4__contender_run(&c, &s.args, NULL));
    ck_assert(passes(&s));
    for (size_t i = 0; i < c.workspace_bytes; i++) dirty += bytes[i] != 0;
    ck_assert_uint_gt(dirty, 0);
    ck_assert_ptr_null(s.args.workspace);
    ck_assert_fl4(fl4__contender_prepare(&c, &s.args, &plan)); /* of the next problem */
    fl4__contender_rest(&c);
    ck_assert(!c.workspace && !c.scratch && c.workspace_bytes == 0);
    fl4__contender_close(&c);
  }
  end(&s);
  fl4_context_destroy(&ctx);
}
END_TEST

/* The test's own tools: they are what the names say. */
START_TEST(other_builds_are_what_they_say)
{
  static const struct {
    const char *file;
    int wrong_from; /* call */
  } builds[] = {{OTHER("wrong"), 0}, {OTHER("late_wrong"), 3}, {OTHER("lazy"), 3}, {OTHER("slow"), 99}};
  fl4_context *ctx = open_host(NULL);
  setup s = make(ctx, "hq2sq20d16");
  for (int i = 0; i < 4; i++) {
    fl4__contender c;
    const fl4_bench_contender d = description(NULL, NULL, builds[i].file);
    ck_assert_fl4(fl4__contender_open(ctx, &d, &c));
    for (int call = 0; call < 5; call++) {
      ck_assert_fl4(fl4__output_poison(&s.trial, &s.output));
      ck_assert_fl4(fl4__contender_run(&c, &s.args, NULL));
      ck_assert_msg(passes(&s) == (call < builds[i].wrong_from), "%s, call %d", builds[i].file, call);
    }
    fl4__contender_close(&c);
  }
  end(&s);
  fl4_context_destroy(&ctx);
}
END_TEST

static const char *const oracle_lines[] = {"hq4hkv2sq33sk41d40:causal:lse", "hq2sq20d16:bf16:bshd",
                                           "hq2sq9d8:fp32:odd:lse", "b5hq4hkv2sq33sk41d24:ragged:lse:sinks",
                                           "b3hq4hkv2sq9sk40d16:window=5,1:page=8:lens:lse"};

START_TEST(an_oracle_is_judged_like_others)
{
  fl4_context *ctx = open_host(NULL);
  setup s = make(ctx, oracle_lines[_i]);
  fl4__contender c;
  fl4_plan_info plan;
  fl4_bench_contender d = FL4_BENCH_CONTENDER_INIT;
  d.kind = FL4_CONTENDER_ORACLE;
  ck_assert_fl4(fl4__contender_open(ctx, &d, &c));
  ck_assert_fl4(fl4__contender_prepare(&c, &s.args, &plan));
  ck_assert_str_eq(plan.variant, "fp64");
  ck_assert_uint_eq(plan.struct_size, sizeof plan);
  ck_assert_fl4(fl4__contender_collect(&c, &s.trial, &s.output)); /* nothing has run: NaN */
  ck_assert(!passes(&s));
  for (int i = 0; i < 2; i++) {
    ck_assert_fl4(fl4__contender_run(&c, &s.args, NULL));
    ck_assert_fl4(fl4__contender_collect(&c, &s.trial, &s.output));
    ck_assert(passes(&s));
  }
  ck_assert_fl4(fl4__contender_collect(&c, &s.trial, &s.output)); /* each result is there once */
  ck_assert(!passes(&s));
  ck_assert_fl4(fl4__contender_prepare(&c, &s.args, &plan));
  fl4__contender_rest(&c);
  fl4__contender_rest(&c);
  ck_assert_ptr_null(c.scratch);
  fl4__contender_close(&c);
  end(&s);
  fl4_context_destroy(&ctx);
}
END_TEST

/* ---------------------------------------------------------------- what is refused */

START_TEST(refused)
{
  fl4_context *ctx = open_host(NULL);
  fl4__contender c;
#define REFUSES(change, status, words)                                                                                 \
  do {                                                                                                                 \
    fl4_bench_contender d = FL4_BENCH_CONTENDER_INIT;                                                                  \
    change;                                                                                                            \
    ck_assert_fl4_fails(fl4__contender_open(ctx, &d, &c), status, words);                                              \
    fl4__contender_close(&c);                                                                                          \
  } while (0)
  REFUSES(d.kind = 2, FL4_INVALID_ARGUMENT, "fl4_bench_contender.kind: is 2");
  REFUSES(d.kind = -1, FL4_INVALID_ARGUMENT, "fl4_bench_contender.kind: is -1");
  REFUSES(d.reserved0 = 1, FL4_INVALID_ARGUMENT, "fl4_bench_contender.reserved0: is 1");
  REFUSES(d.reserved[3] = 5, FL4_INVALID_ARGUMENT, "fl4_bench_contender.reserved[3]: is 5");
  REFUSES((d.kind = 1, d.variant = "host"), FL4_INVALID_ARGUMENT, "fl4_bench_contender.variant: is \"host\"");
  REFUSES((d.kind = 1, d.library = "x.so"), FL4_INVALID_ARGUMENT, "fl4_bench_contender.library: is \"x.so\"");
  REFUSES(d.variant = "nonsense", FL4_INVALID_ARGUMENT, "variant");
  REFUSES((d.variant = "nonsense", d.library = FL4_THIS_BUILD), FL4_INVALID_ARGUMENT, "nonsense");
  REFUSES(d.device = "toaster", FL4_INVALID_ARGUMENT, "is \"toaster\"");
  REFUSES(d.device = "host:5", FL4_NO_DEVICE, "\"host:5\"");
  REFUSES(d.library = "/nowhere.so", FL4_LIBRARY_MISSING, "/nowhere.so");
#undef REFUSES
  fl4_context_destroy(&ctx);
}
END_TEST

static Suite *suite(void)
{
  Suite *s = suite_create("contender");
  TCase *t = tcase_create("library");
  tcase_add_test(t, this_library);
  tcase_add_test(t, another_build_is_another);
  tcase_add_test(t, what_is_no_library);
  suite_add_tcase(s, t);

  t = tcase_create("contender");
  tcase_set_timeout(t, 60);
  tcase_add_test(t, names_say_what_differs);
  tcase_add_test(t, the_context_itself_where_nothing_differs);
  tcase_add_test(t, options_are_those_of_the_context);
  tcase_add_test(t, another_build_runs);
  tcase_add_test(t, workspace);
  tcase_add_test(t, other_builds_are_what_they_say);
  tcase_add_loop_test(t, an_oracle_is_judged_like_others, 0, sizeof oracle_lines / sizeof *oracle_lines);
  tcase_add_test(t, refused);
  suite_add_tcase(s, t);
  return s;
}

FL4_TEST_MAIN(suite)

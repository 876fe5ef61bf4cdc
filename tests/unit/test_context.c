/* SPDX-License-Identifier: Apache-2.0 */
/* Contexts and devices: making and freeing, names, the environment, the log, many threads. */
#include <pthread.h>
#include <stdint.h>

#include "fl4_test.h"

/* Nothing of the caller's environment may reach a test. */
static void clean_environment(void)
{
  static const char *const names[] = {"FLASHL4_DEVICE", "FLASHL4_VARIANT", "FLASHL4_CACHE_DIR", "FLASHL4_KERNEL_DIR",
                                      "FLASHL4_LOG"};
  for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) unsetenv(names[i]);
}

static fl4_status open_device(const char *device, fl4_context **ctx)
{
  fl4_context_options options = FL4_CONTEXT_OPTIONS_INIT;
  options.device = device;
  return fl4_context_create(ctx, &options);
}

static int kind_of(fl4_context *ctx)
{
  fl4_device_info info = FL4_DEVICE_INFO_INIT;
  ck_assert_fl4(fl4_context_get_device_info(ctx, &info));
  return info.kind;
}

START_TEST(creates_and_destroys)
{
  fl4_context *ctx = NULL, *other = NULL;
  ck_assert_fl4(open_device("host", &ctx));
  ck_assert_fl4(open_device("host", &other)); /* any number of them */
  ck_assert_ptr_nonnull(ctx);
  ck_assert_int_eq(kind_of(ctx), FL4_DEVICE_HOST);
  fl4_context_destroy(&ctx);
  ck_assert_ptr_null(ctx);
  ck_assert_int_eq(kind_of(other), FL4_DEVICE_HOST);
  fl4_context_destroy(&ctx); /* already NULL */
  fl4_context_destroy(NULL);
  fl4_context_destroy(&other);
}
END_TEST

START_TEST(default_is_the_first_device)
{
  fl4_context *ctx = NULL;
  fl4_device_info first = FL4_DEVICE_INFO_INIT, info = FL4_DEVICE_INFO_INIT;
  ck_assert_fl4(fl4_device_get_info(0, &first));
  static const char *const defaults[] = {NULL, "auto"};
  for (int i = 0; i < 2; i++) {
    ck_assert_fl4(open_device(defaults[i], &ctx));
    ck_assert_fl4(fl4_context_get_device_info(ctx, &info));
    ck_assert_int_eq(info.kind, first.kind);
    ck_assert_str_eq(info.name, first.name);
    fl4_context_destroy(&ctx);
  }
  ck_assert_fl4(fl4_context_create(&ctx, NULL));
  ck_assert_int_eq(kind_of(ctx), first.kind);
  fl4_context_destroy(&ctx);
}
END_TEST

START_TEST(enumerates_devices)
{
  int n = fl4_device_count();
  ck_assert_int_ge(n, 1);
  for (int i = 0; i < n; i++) {
    fl4_device_info info = FL4_DEVICE_INFO_INIT;
    fl4_context *ctx = NULL;
    char name[32];
    ck_assert_fl4(fl4_device_get_info(i, &info));
    ck_assert_int_eq(info.kind, i == n - 1 ? FL4_DEVICE_HOST : FL4_DEVICE_CUDA);
    ck_assert_int_eq(info.ordinal, i == n - 1 ? 0 : i);
    ck_assert_uint_gt(strlen(info.name), 0);
    ck_assert_uint_gt(strlen(info.isa), 0);
    ck_assert_int_ge(info.multiprocessors, 1);
    ck_assert_uint_eq(info.struct_size, sizeof info);
    snprintf(name, sizeof name, info.kind == FL4_DEVICE_HOST ? "host" : "cuda:%d", i);
    ck_assert_fl4(open_device(name, &ctx));
    fl4_context_destroy(&ctx);
  }
  fl4_device_info info = FL4_DEVICE_INFO_INIT;
  ck_assert_fl4_fails(fl4_device_get_info(n, &info), FL4_INVALID_ARGUMENT, "fl4_device_get_info: index: is ");
  ck_assert_fl4_fails(fl4_device_get_info(-1, &info), FL4_INVALID_ARGUMENT, "index: is -1, must be from 0 to ");
}
END_TEST

START_TEST(refuses_devices)
{
  static const char *const unknown[] = {
      "", "gpu", "hostx", "HOST", "host:", "host:x", "host:0x", "host:-1", "host:99999999999999999999", "autos"};
  fl4_context *ctx = (fl4_context *)(uintptr_t)1;
  for (size_t i = 0; i < sizeof unknown / sizeof unknown[0]; i++) {
    ck_assert_fl4_fails(open_device(unknown[i], &ctx), FL4_INVALID_ARGUMENT, "fl4_context_options.device: is \"");
    ck_assert_ptr_null(ctx);
  }
  ck_assert_fl4_fails(open_device("host:1", &ctx), FL4_NO_DEVICE, "fl4_context_options.device: is \"host:1\"");
  ck_assert_fl4_fails(open_device("cuda:4000", &ctx), FL4_NO_DEVICE, "fl4_context_options.device: is \"cuda:4000\"");
}
END_TEST

START_TEST(refuses_options)
{
  fl4_context *ctx = (fl4_context *)(uintptr_t)1;
  ck_assert_fl4_fails(fl4_context_create(NULL, NULL), FL4_INVALID_ARGUMENT, "fl4_context_create: ctx: is NULL");

#define REFUSED(field, value, words)                                                                                   \
  do {                                                                                                                 \
    fl4_context_options options = FL4_CONTEXT_OPTIONS_INIT;                                                            \
    options.device = "host";                                                                                           \
    options.field = (value);                                                                                           \
    ck_assert_fl4_fails(fl4_context_create(&ctx, &options), FL4_INVALID_ARGUMENT, words);                              \
    ck_assert_ptr_null(ctx);                                                                                           \
  } while (0)
  REFUSED(struct_size, 0, "fl4_context_options.struct_size: is 0");
  REFUSED(flags, 1u << 31, "fl4_context_options.flags: is 0x80000000");
  REFUSED(log_level, -1, "fl4_context_options.log_level: is -1");
  REFUSED(log_level, 5, "fl4_context_options.log_level: is 5");
  REFUSED(threads, -1, "fl4_context_options.threads: is -1");
  REFUSED(threads, 1000000, "fl4_context_options.threads: is 1000000");
  REFUSED(reserved0, 1, "fl4_context_options.reserved0: is 1");
  REFUSED(reserved[2], 9, "fl4_context_options.reserved[2]: is 9");
  REFUSED(variant, "nothing", "unknown family 'nothing'");
  REFUSED(variant, "host:nothing=1", "host has no parameter 'nothing'");
#undef REFUSED

  struct {
    fl4_context_options options;
    uint64_t later;
  } newer = {FL4_CONTEXT_OPTIONS_INIT, 0};
  newer.options.struct_size = sizeof newer;
  newer.options.device = "host";
  ck_assert_fl4(fl4_context_create(&ctx, &newer.options));
  fl4_context_destroy(&ctx);
  newer.later = 1;
  ck_assert_fl4_fails(fl4_context_create(&ctx, &newer.options), FL4_INVALID_ARGUMENT, "fl4_context_options: byte");
}
END_TEST

/* A problem to plan and run, small and awkward. */
enum { B = 2, Hq = 4, Hkv = 2, Sq = 45, Sk = 61, D = 40, Q_SIZE = B * Hq * Sq * D, K_SIZE = B * Hkv * Sk * D };
static uint16_t q[Q_SIZE], k[K_SIZE], v[K_SIZE];

static fl4_attention_args make_args(uint16_t *o, float *lse)
{
  fl4_attention_args a = FL4_ATTENTION_ARGS_INIT;
  a.dtype = FL4_DTYPE_BF16, a.mask = FL4_MASK_CAUSAL;
  a.B = B, a.Hq = Hq, a.Hkv = Hkv, a.Sq = Sq, a.Sk = Sk, a.D = D;
  a.q = q, a.k = k, a.v = v, a.o = o, a.lse = lse;
  return a;
}

static void variant_of(fl4_context *ctx, char text[128])
{
  fl4_attention_args a = make_args(NULL, NULL);
  fl4_plan_info info = FL4_PLAN_INFO_INIT;
  ck_assert_fl4(fl4_attention_plan_info(ctx, &a, &info));
  strcpy(text, info.variant);
}

START_TEST(environment_names_the_device)
{
  fl4_context *ctx = NULL;
  setenv("FLASHL4_DEVICE", "host", 1);
  ck_assert_fl4(fl4_context_create(&ctx, NULL));
  ck_assert_int_eq(kind_of(ctx), FL4_DEVICE_HOST);
  fl4_context_destroy(&ctx);
  setenv("FLASHL4_DEVICE", "toaster", 1);
  ck_assert_fl4_fails(fl4_context_create(&ctx, NULL), FL4_INVALID_ARGUMENT, "toaster");
  ck_assert_fl4(open_device("host", &ctx)); /* what the caller says wins */
  fl4_context_destroy(&ctx);
  setenv("FLASHL4_DEVICE", "", 1); /* empty: not set */
  ck_assert_fl4(fl4_context_create(&ctx, NULL));
  fl4_context_destroy(&ctx);
}
END_TEST

START_TEST(environment_names_the_variant)
{
  fl4_context *ctx = NULL;
  fl4_context_options options = FL4_CONTEXT_OPTIONS_INIT;
  char chosen[128], forced[128], text[128];
  options.device = "host";
  ck_assert_fl4(fl4_context_create(&ctx, &options));
  variant_of(ctx, chosen);
  fl4_context_destroy(&ctx);

  /* Another value of the first parameter than was chosen. */
  snprintf(forced, sizeof forced, "host:bm=%d", strstr(chosen, "bm=48") ? 24 : 48);
  setenv("FLASHL4_VARIANT", forced, 1);
  ck_assert_fl4(fl4_context_create(&ctx, &options));
  variant_of(ctx, text);
  ck_assert_msg(strncmp(text, forced, strlen(forced)) == 0, "%s, not %s", text, forced);
  fl4_context_destroy(&ctx);

  options.variant = chosen; /* what the caller says wins */
  ck_assert_fl4(fl4_context_create(&ctx, &options));
  variant_of(ctx, text);
  ck_assert_str_eq(text, chosen);
  fl4_context_destroy(&ctx);

  options.variant = NULL;
  setenv("FLASHL4_VARIANT", "toaster:heat=9", 1);
  ck_assert_fl4_fails(fl4_context_create(&ctx, &options), FL4_INVALID_ARGUMENT, "unknown family 'toaster'");
}
END_TEST

/* A forced family of another device opens, as it may be meant for a process' other contexts, and fails calls. */
START_TEST(variant_of_another_device)
{
  fl4_context *ctx = NULL;
  fl4_context_options options = FL4_CONTEXT_OPTIONS_INIT;
  fl4_attention_args a = make_args(NULL, NULL);
  options.device = "host", options.variant = "fwd_mma";
  ck_assert_fl4(fl4_context_create(&ctx, &options));
  ck_assert_fl4_fails(fl4_attention_prepare(ctx, &a), FL4_UNSUPPORTED, "variant fwd_mma: is for the GPU");
  fl4_context_destroy(&ctx);
}
END_TEST

START_TEST(options_are_copied)
{
  fl4_context *ctx = NULL;
  char variant[16] = "host:bm=24", device[8] = "host", dir[16] = "nowhere", text[128];
  fl4_context_options options = FL4_CONTEXT_OPTIONS_INIT;
  options.device = device, options.variant = variant, options.cache_dir = dir;
  ck_assert_fl4(fl4_context_create(&ctx, &options));
  memset(variant, 'x', sizeof variant);
  memset(device, 'x', sizeof device);
  memset(dir, 'x', sizeof dir);
  memset(&options, 0x55, sizeof options);
  variant_of(ctx, text);
  ck_assert_msg(strncmp(text, "host:bm=24", 10) == 0, "%s", text);
  fl4_context_destroy(&ctx);
}
END_TEST

START_TEST(host_has_no_cubins)
{
  fl4_context *ctx = NULL;
  fl4_cache_info cache;
  memset(&cache, 0x55, sizeof cache);
  cache.struct_size = sizeof cache;
  memset(cache.reserved, 0, sizeof cache.reserved);
  ck_assert_fl4(open_device("host", &ctx));
  ck_assert_fl4(fl4_context_get_cache_info(ctx, &cache));
  ck_assert_str_eq(cache.dir, "");
  ck_assert_uint_gt(strlen(cache.why_off), 0);
  ck_assert_int_eq(cache.entries, 0);
  ck_assert_int_eq(cache.bytes, 0);
  ck_assert_int_eq(cache.compiled, 0);
  fl4_context_destroy(&ctx);
}
END_TEST

/* Many threads on one context */

enum { THREADS = 8, CALLS = 20 };

typedef struct worker {
  pthread_t thread;
  fl4_context *ctx;
  uint16_t o[Q_SIZE];
  float lse[B * Hq * Sq];
  fl4_status status;
  int differences; /* between this thread's own calls */
  char error[128];
} worker;
static worker workers[THREADS];
static pthread_barrier_t all_failed;

static void *work(void *user)
{
  worker *w = user;
  static uint16_t copies[THREADS][Q_SIZE];
  uint16_t *first = copies[w - workers];
  fl4_attention_args a = make_args(w->o, w->lse);
  for (int i = 0; i < CALLS && w->status == FL4_OK; i++) {
    memset(w->o, 0xFF, sizeof w->o);
    w->status = fl4_attention_forward(w->ctx, &a, NULL);
    if (i == 0) memcpy(first, w->o, sizeof w->o);
    w->differences += memcmp(first, w->o, sizeof w->o) != 0;
  }
  /* Each thread has its own sentence, also after the others have failed. */
  a.D = 8 * (w - workers) + 1;
  fl4_status failed = fl4_attention_forward(w->ctx, &a, NULL);
  pthread_barrier_wait(&all_failed);
  if (failed == FL4_INVALID_ARGUMENT) snprintf(w->error, sizeof w->error, "%s", fl4_last_error());
  return NULL;
}

START_TEST(threads_share_a_context)
{
  fl4_context *ctx = NULL;
  uint32_t state = 1;
  for (int i = 0; i < Q_SIZE; i++) q[i] = (uint16_t)(0x3E00 + ((state = state * 1664525 + 1013904223) >> 24) * 2);
  for (int i = 0; i < K_SIZE; i++) k[i] = (uint16_t)(0xBE00 + ((state = state * 1664525 + 1013904223) >> 24));
  for (int i = 0; i < K_SIZE; i++) v[i] = (uint16_t)(0x3F00 + ((state = state * 1664525 + 1013904223) >> 24));
  ck_assert_fl4(open_device("host", &ctx));
  ck_assert_int_eq(pthread_barrier_init(&all_failed, NULL, THREADS), 0);
  for (int t = 0; t < THREADS; t++) {
    workers[t].ctx = ctx;
    ck_assert_int_eq(pthread_create(&workers[t].thread, NULL, work, &workers[t]), 0);
  }
  for (int t = 0; t < THREADS; t++) pthread_join(workers[t].thread, NULL);
  pthread_barrier_destroy(&all_failed);

  /* Not all equal by being all nothing: values differ along a row. */
  ck_assert_uint_ne(workers[0].o[Q_SIZE - 1], workers[0].o[Q_SIZE - 2]);
  for (int t = 0; t < THREADS; t++) {
    char words[32];
    snprintf(words, sizeof words, "D: is %d,", 8 * t + 1);
    ck_assert_int_eq(workers[t].status, FL4_OK);
    ck_assert_int_eq(workers[t].differences, 0);
    ck_assert_mem_eq(workers[t].o, workers[0].o, sizeof workers[0].o);
    ck_assert_mem_eq(workers[t].lse, workers[0].lse, sizeof workers[0].lse);
    ck_assert_msg(strstr(workers[t].error, words) != NULL, "thread %d: %s", t, workers[t].error);
  }
  fl4_context_destroy(&ctx);
}
END_TEST

static Suite *make_suite(void)
{
  Suite *suite = suite_create("context");
  TCase *c = tcase_create("context");
  tcase_add_checked_fixture(c, clean_environment, NULL);
  tcase_set_timeout(c, 60);
  tcase_add_test(c, creates_and_destroys);
  tcase_add_test(c, default_is_the_first_device);
  tcase_add_test(c, enumerates_devices);
  tcase_add_test(c, refuses_devices);
  tcase_add_test(c, refuses_options);
  tcase_add_test(c, environment_names_the_device);
  tcase_add_test(c, environment_names_the_variant);
  tcase_add_test(c, variant_of_another_device);
  tcase_add_test(c, options_are_copied);
  tcase_add_test(c, host_has_no_cubins);
  tcase_add_test(c, threads_share_a_context);
  suite_add_tcase(suite, c);
  return suite;
}

FL4_TEST_MAIN(make_suite)

/* SPDX-License-Identifier: Apache-2.0 */
/* What wisdom changes about a call, and what it costs: plans, ten thousand pieces, readers on many threads. */
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "families/families.h"
#include "wisdom_data.h"

/* ---------------------------------------------------------------- what it changes */

/* The variant that a call runs. */
static const char *plan_of(fl4_context *context, const char *line)
{
  fl4_attention_args args = FL4_ATTENTION_ARGS_INIT;
  fl4_plan_info info = FL4_PLAN_INFO_INIT;
  const fl4_problem p = parse(line);
  args.B = p.B, args.Hq = p.Hq, args.Hkv = p.Hkv, args.Sq = p.Sq, args.Sk = p.Sk, args.D = p.D;
  args.dtype = p.dtype, args.mask = p.mask, args.flags = p.flags;
  ck_assert_fl4(fl4_attention_plan_info(context, &args, &info));
  return text_of("%s", info.variant);
}

#define OTHER "host:bm=4,bn=32,threads=1"

/* $FLASHL4_WISDOM is a file that has another variant than the built-in choice. */
static const char *name_file(void)
{
  ck_assert_ptr_null(strstr(plan_of(ctx, P), "bm=4,"));
  const char *file = write_text(in_scratch("one.wisdom"), line_of(measured(P, OTHER)));
  setenv("FLASHL4_WISDOM", file, 1);
  return file;
}

START_TEST(a_line_changes_what_runs)
{
  name_file();
  fl4_context *wise = open_context();
  ck_assert_str_eq(plan_of(wise, P), OTHER);
  ck_assert_str_eq(plan_of(wise, "hq8sq600d64"), OTHER);
  ck_assert_str_ne(plan_of(wise, P ":causal"), OTHER);
  ck_assert_fl4(fl4_wisdom_forget(wise));
  ck_assert_str_eq(plan_of(wise, P), plan_of(ctx, P));
  fl4_context_destroy(&wise);
}
END_TEST

/* Tuned for one size it would give other bits there than elsewhere. */
START_TEST(results_that_must_be_the_same_have_none)
{
  const char *file = write_text(in_scratch("same.wisdom"), line_of(measured(P ":invariant", OTHER)));
  setenv("FLASHL4_WISDOM", file, 1);
  fl4_context *wise = open_context();
  ck_assert_uint_gt(fl4_wisdom_count(wise), 0); /* of the system's alone a context here has none */
  ck_assert_str_eq(plan_of(wise, P ":invariant"), plan_of(ctx, P ":invariant"));
  ck_assert_match(wise, P ":invariant", FL4_MATCH_NONE, "host:");
  fl4_context_destroy(&wise);
}
END_TEST

/* What is forced is forced, and needs none. */
START_TEST(a_forced_variant_runs)
{
  const char *file = name_file();
  fl4_context_options options = FL4_CONTEXT_OPTIONS_INIT;
  options.variant = "host:bm=12";
  fl4_context *forced = open_with(options);
  ck_assert_uint_eq(fl4_wisdom_count(forced), 0);
  ck_assert_fl4(fl4_wisdom_load(forced, file, NULL));
  ck_assert_ptr_nonnull(strstr(plan_of(forced, P), "host:bm=12,"));
  ck_assert_match(forced, P, FL4_MATCH_NONE, "host:bm=12,");
  fl4_context_destroy(&forced);
}
END_TEST

/* With kernels of one's own nothing is read, and nothing written that others would take for the library's. */
START_TEST(other_kernels_have_no_wisdom)
{
  const char *out = in_scratch("out.wisdom");
  name_file();
  fl4_context_options options = FL4_CONTEXT_OPTIONS_INIT;
  options.kernel_dir = in_scratch("kernels");
  fl4_context *own = open_with(options);
  ck_assert_uint_eq(fl4_wisdom_count(own), 0);
  learn(own, measured(P, "host:bm=24"));
  ck_assert_match(own, P, FL4_MATCH_EXACT, "host:bm=24");
  ck_assert_fl4(fl4_wisdom_save(own, out));
  ck_assert(!exists(out));
  fl4_context_destroy(&own);
}
END_TEST

/* ---------------------------------------------------------------- many */

static double now_ns(void)
{
  struct timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return 1e9 * (double)t.tv_sec + (double)t.tv_nsec;
}

/* Nanoseconds of a lookup, each of n problems in turn: the least of some tries. */
static double lookup_ns(fl4_context *c, const fl4__problem *problems, int n)
{
  enum { CALLS = 1000 };
  double least = INFINITY;
  for (int try = 0; try < 20; try++) {
    const double start = now_ns();
    for (int i = 0; i < CALLS; i++) {
      fl4__variant v;
      fl4_match match;
      (void)fl4__wisdom_find(c->wisdom, &problems[i % n], &c->device->info, &v, &match);
    }
    least = fmin(least, (now_ns() - start) / CALLS);
  }
  return least;
}

enum { N = 10000 };

static const char *ten_thousand_lines(void)
{
  fl4__text text = {0};
  for (int i = 0; i < N; i++) {
    const char *problem = text_of("b%dhq%dsq%dd64", 1 + i % 10, 1 + i / 10 % 10, 64 + 16 * (i / 100));
    const char *line = line_of(measured(problem, TUNED));
    ck_assert_fl4(fl4__text_add(&text, line, strlen(line)));
  }
  ck_assert_fl4(fl4__text_add(&text, "", 1));
  return keep(text.data);
}

START_TEST(ten_thousand_pieces)
{
  enum { TIMED = 64 };
  static fl4__problem exact[TIMED], bucket[TIMED], near[TIMED], none[TIMED];
  ck_assert_counts(counts_of(ten_thousand_lines()), .used = N);
  ck_assert_uint_eq(fl4_wisdom_count(ctx), N);

  for (int i = 0; i < TIMED; i++) {
    const struct {
      fl4__problem *problem;
      const char *line;
      fl4_match match;
    } cases[] = {{&exact[i], "b3hq2sq%dd64", FL4_MATCH_EXACT},
                 {&bucket[i], "b3hq2sq%dd64:lse", FL4_MATCH_BUCKET},
                 {&near[i], "b16hq16sq%dd64", FL4_MATCH_NEAR},
                 {&none[i], "b3hq2sq%dd128", FL4_MATCH_NONE}};
    for (int k = 0; k < 4; k++) {
      char line[64];
      snprintf(line, sizeof line, cases[k].line, 64 + 16 * i);
      const fl4_problem p = parse(line);
      ck_assert_fl4(fl4__wisdom_problem(&p, cases[k].problem));
      ck_assert_match(ctx, line, cases[k].match, "host");
    }
  }
  fl4_context *one = open_context();
  learn(one, measured("b3hq2sq64d64", TUNED));
  printf("# lookup of exact, bucket, near, none: %.0f %.0f %.0f %.0f ns; of one piece: %.0f %.0f; of none: %.0f\n",
         lookup_ns(ctx, exact, TIMED), lookup_ns(ctx, bucket, TIMED), lookup_ns(ctx, near, TIMED),
         lookup_ns(ctx, none, TIMED), lookup_ns(one, exact, 1), lookup_ns(one, bucket, TIMED), lookup_ns(one, none, 1));
  /* A walk through the pieces takes 10 µs and more. */
  ck_assert_double_lt(lookup_ns(ctx, exact, TIMED), 2000);
  ck_assert_double_lt(lookup_ns(ctx, near, TIMED), 2000);
  ck_assert_double_lt(lookup_ns(ctx, none, TIMED), 2000);
  fl4_context_destroy(&one);
}
END_TEST

/* Readers, while others learn and forget: what is found is always a whole piece of the right kind. */
static atomic_bool over;
static atomic_int torn, found;

static void *read_on(void *user)
{
  (void)user;
  for (unsigned i = 0; !atomic_load(&over); i++) {
    fl4__problem p = {.B = 1, .Hq = 1 + i % 8, .Hkv = 1 + i % 8, .Sq = 1 + i % 3000, .Sk = 512, .D = 64, .aligned = 1};
    fl4__variant v;
    fl4_match match;
    if (!fl4__wisdom_find(ctx->wisdom, &p, &ctx->device->info, &v, &match)) continue;
    atomic_fetch_add(&found, 1);
    if (v.family != &fl4__family_host || fl4__variant_get(&v, "bm") != 24 || match == FL4_MATCH_NONE)
      atomic_fetch_add(&torn, 1);
  }
  return NULL;
}

START_TEST(reads_while_it_learns)
{
  enum { READERS = 3 };
  pthread_t readers[READERS];
  for (int i = 0; i < READERS; i++) ck_assert_int_eq(pthread_create(&readers[i], NULL, read_on, NULL), 0);
  for (int round = 0; round < 4; round++) {
    for (int i = 0; i < 500; i++) {
      const char *problem = text_of("hq%dsq%dsk512d64", 1 + i % 8, 1 + 6 * i);
      learn(ctx, make_entry(problem, TUNED, FL4_TUNE_MEASURE, 1.0 / (1 + round)));
    }
    if (round == 1) ck_assert_fl4(fl4_wisdom_forget(ctx));
  }
  atomic_store(&over, true);
  for (int i = 0; i < READERS; i++) pthread_join(readers[i], NULL);
  ck_assert_int_eq(atomic_load(&torn), 0);
  ck_assert_int_gt(atomic_load(&found), 0);
  ck_assert_uint_eq(fl4_wisdom_count(ctx), 500);
}
END_TEST

static Suite *make_suite(void)
{
  Suite *suite = suite_create("wisdom_calls");
  TCase *c = tcase_create("wisdom_calls");
  tcase_set_timeout(c, 200);
  tcase_add_checked_fixture(c, wisdom_setup, wisdom_teardown);
  tcase_add_test(c, a_line_changes_what_runs);
  tcase_add_test(c, results_that_must_be_the_same_have_none);
  tcase_add_test(c, a_forced_variant_runs);
  tcase_add_test(c, other_kernels_have_no_wisdom);
  tcase_add_test(c, ten_thousand_pieces);
  tcase_add_test(c, reads_while_it_learns);
  suite_add_tcase(suite, c);
  return suite;
}

FL4_TEST_MAIN(make_suite)

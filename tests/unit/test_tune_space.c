/* SPDX-License-Identifier: Apache-2.0 */
/* Search spaces of the families: how many points, why not the others, which are the same. */
#include <math.h>

#include "check_data.h"
#include "error.h"
#include "families/families.h"
#include "tune/family_space.h"

static fl4_device_info gpu(int sm, int smem, int smem_sm)
{
  fl4_device_info d = FL4_DEVICE_INFO_INIT;
  d.kind = FL4_DEVICE_CUDA, d.sm = sm, d.multiprocessors = 132;
  d.smem_per_block = smem, d.smem_per_sm = smem_sm;
  d.registers_per_sm = 65536, d.threads_per_sm = 2048, d.l2_bytes = 50 << 20;
  return d;
}

static fl4_device_info h200(void)
{
  return gpu(90, 227 << 10, 228 << 10);
}

static fl4_device_info l4(void)
{
  return gpu(89, 99 << 10, 100 << 10);
}

static fl4_device_info host(int threads)
{
  fl4_device_info d = FL4_DEVICE_INFO_INIT;
  d.kind = FL4_DEVICE_HOST, d.multiprocessors = threads;
  return d;
}

/* Of a family, NULL: of the first that can. */
static fl4__family_space open_space(const char *family, const char *line, const fl4_device_info *device)
{
  const fl4_problem p = problem_of(line);
  fl4__problem problem;
  fl4__variant choice;
  fl4__family_space s;
  ck_assert_fl4(fl4__problem_call(&p, &problem));
  ck_assert_fl4(fl4__tune_choice(family, &problem, device, &choice));
  ck_assert_fl4(fl4__family_space_open(choice.family, &problem, device, &s));
  return s;
}

static fl4__variant variant_of(const char *text)
{
  fl4__variant v;
  ck_assert_fl4(fl4__variant_parse(text, &v));
  return v;
}

/* ---------------------------------------------------------------- counts */

/* Combination number n, the first parameter changing fastest. */
static fl4__variant combination(const fl4__family *f, int64_t n)
{
  fl4__variant v;
  memset(&v, 0, sizeof v);
  v.family = f;
  for (int i = 0; i < f->n_params; i++) {
    v.value[i] = f->params[i].values[n % f->params[i].n_values];
    n /= f->params[i].n_values;
  }
  return v;
}

/* Of those that can run, the ones that stand for themselves are the points. */
START_TEST(counts)
{
  static const char *const lines[] = {"b4hq32sq4096d128", "hq1sq20sk40d64", "b4hq32sq4096d64:bf16:lse"};
  const fl4_device_info devices[] = {h200(), h200(), l4(), host(4)};
  const fl4_device_info device = devices[_i / 3];
  fl4__family_space s = open_space(_i / 3 == 1 ? "fwd_mma" : NULL, lines[_i % 3], &device);
  int64_t all = 0, points = 0, same = 0, refused = 0, combinations = 1;
  for (int i = 0; i < s.family->n_params; i++) combinations *= s.family->params[i].n_values;
  ck_assert_int_eq(s.info.combinations, combinations);
  for (; all < combinations; all++) {
    fl4__variant v = combination(s.family, all), stands_for;
    char why[160];
    if (s.family->refuse(&v, &s.problem, &device, why)) continue;
    stands_for = v;
    s.family->canonical(&stands_for, &s.problem, &device);
    *(memcmp(&v, &stands_for, sizeof v) == 0 ? &points : &same) += 1;
  }
  ck_assert_int_eq(s.info.valid, points);
  ck_assert_int_eq(s.info.same, same);
  ck_assert_int_eq(s.space.n_points, points);
  ck_assert_int_gt(points, 10);
  ck_assert(_i % 3 != 1 || same > 0); /* few keys: rings without an end */
  for (int r = 0; r < s.info.n_reasons; r++) refused += s.info.reasons[r].count;
  ck_assert_int_eq(refused + points + same, combinations);
  fl4__family_space_close(&s);
}
END_TEST

START_TEST(reasons)
{
  const fl4_device_info device = h200();
  fl4__family_space s = open_space("fwd_mma", "b4hq32sq4096d128", &device);
  ck_assert_int_ge(s.info.n_reasons, 3);
  bool registers = false, rows = false, slices = false;
  for (int i = 0; i < s.info.n_reasons; i++) {
    if (i > 0) ck_assert_int_le(s.info.reasons[i].count, s.info.reasons[i - 1].count);
    ck_assert_int_gt(s.info.reasons[i].count, 0);
    registers |= strstr(s.info.reasons[i].reason, "registers a thread") != NULL;
    rows |= strstr(s.info.reasons[i].reason, "rows a warp") != NULL;
    slices |= strstr(s.info.reasons[i].reason, "times slice=") != NULL;
    for (int k = 0; k < i; k++) ck_assert_str_ne(s.info.reasons[i].reason, s.info.reasons[k].reason);
  }
  ck_assert(registers && rows && slices);
  ck_assert_str_eq(s.info.family, "fwd_mma");
  ck_assert_int_eq(s.info.n_parameters, 11);
  ck_assert_str_eq(s.info.parameters[1].name, "bn");
  ck_assert_int_eq(s.info.parameters[1].n_values, 7);
  ck_assert_int_eq(s.info.parameters[1].values[2], 48);
  ck_assert_str_eq(s.info.parameters[10].name, "ctas");
  for (int i = 0; i < 11; i++) /* qreg, weave and share say yes or no */
    ck_assert(s.space.ordinal[i] == (i != 4 && i != 6 && i != 8));
  fl4__family_space_close(&s);
}
END_TEST

/* ---------------------------------------------------------------- points */

START_TEST(points_are_valid_and_found)
{
  const fl4_device_info devices[] = {h200(), l4(), host(3), h200()};
  for (int i = 0; i < 4; i++) {
    fl4__family_space s = open_space(i == 3 ? "fwd_mma" : NULL, "hq4hkv2sq100sk70d64:causal", &devices[i]);
    ck_assert_int_gt(s.info.same, 0);
    for (int64_t point = 0; point < s.space.n_points; point++) {
      fl4__variant v;
      char why[160];
      fl4__family_space_variant(&s, point, &v);
      ck_assert_ptr_null(v.family->refuse(&v, &s.problem, &s.device, why));
      ck_assert_int_eq(fl4__family_space_find(&s, &v), point);
    }
    /* The built-in choice is one of them. */
    fl4__variant choice;
    ck_assert_fl4(fl4__tune_choice(s.family->name, &s.problem, &s.device, &choice));
    ck_assert_int_ge(fl4__family_space_find(&s, &choice), 0);
    fl4__family_space_close(&s);
  }
}
END_TEST

START_TEST(what_is_not_there)
{
  const fl4_device_info device = l4();
  fl4__family_space s = open_space(NULL, "hq4sq512d128", &device);
  fl4__variant v =
      variant_of("fwd_mma:bm=128,bn=128,warps=8,stages=4,qreg=0,slice=128,weave=0,kgroups=1,share=0,splits=1,ctas=4");
  fl4__variant odd = v;
  ck_assert_int_eq(fl4__family_space_find(&s, &v), -1); /* refused */
  odd.value[0] = 17;
  ck_assert_int_eq(fl4__family_space_find(&s, &odd), -1);
  v = variant_of("fwd_mma:bm=64");
  ck_assert_int_eq(fl4__family_space_find(&s, &v), -1); /* gaps */
  v = variant_of("host");
  ck_assert_int_eq(fl4__family_space_find(&s, &v), -1);
  fl4__family_space_close(&s);
}
END_TEST

/* ---------------------------------------------------------------- the same in disguise */

typedef struct disguise {
  const char *line, *a, *b;
  bool same;
} disguise;

static void check_disguise(const disguise *d, const fl4_device_info *device)
{
  const fl4__variant a = variant_of(d->a), b = variant_of(d->b);
  fl4__family_space s = open_space(a.family->name, d->line, device);
  const int64_t x = fl4__family_space_find(&s, &a), y = fl4__family_space_find(&s, &b);
  ck_assert_msg(x >= 0 && y >= 0, "%s: %s, %s: points %d, %d", d->line, d->a, d->b, (int)x, (int)y);
  ck_assert_msg((x == y) == d->same, "%s: %s, %s: same is %d", d->line, d->a, d->b, x == y);
  fl4__family_space_close(&s);
}

#define MMA "fwd_mma:bm=64,warps=4,qreg=1,slice=16,weave=0,kgroups=1,share=0,splits=1,ctas=1,bn=64,stages="
START_TEST(disguises_of_fwd_mma)
{
  static const disguise cases[] = {
      {"hq4sq64sk64d64", MMA "2", MMA "3", true}, /* one tile */
      {"hq4sq64sk64d64", MMA "3", MMA "4", true},
      {"hq4sq64sk65d64", MMA "2", MMA "3", false}, /* two: with two stages the second is fetched later */
      {"hq4sq64sk65d64", MMA "3", MMA "4", true},
      {"hq4sq64sk128d64", MMA "3", MMA "4", true},
      {"hq4sq64sk129d64", MMA "3", MMA "4", false},
      {"hq4sq64sk0d64", MMA "2", MMA "4", true},
  };
  const fl4_device_info device = h200();
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) check_disguise(&cases[i], &device);
}
END_TEST

#define WGMMA(groups, stages, qbuf, pingpong, sched)                                                                   \
  "fwd_wgmma:bn=64,groups=" #groups ",stages=" #stages ",qbuf=" #qbuf ",pingpong=" #pingpong ",sched=" #sched          \
  ",splits=1,pack=1"
START_TEST(disguises_of_fwd_wgmma)
{
  static const disguise cases[] = {
      /* 64 and 32 row tiles for 132 multiprocessors: a block has one, whatever it does afterwards */
      {"hq8sq512d64", WGMMA(1, 2, 1, 0, 0), WGMMA(1, 2, 2, 1, 2), true},
      {"hq8sq512d64", WGMMA(2, 2, 1, 1, 0), WGMMA(2, 2, 1, 1, 1), true},
      {"hq8sq512d64", WGMMA(2, 2, 1, 1, 0), WGMMA(2, 2, 1, 0, 0), false},
      /* 132 and 133 of them */
      {"hq33sq512d64", WGMMA(2, 2, 1, 1, 0), WGMMA(2, 2, 1, 1, 1), true},
      {"hq133sq128d64", WGMMA(2, 2, 1, 1, 0), WGMMA(2, 2, 1, 1, 1), false},
      {"hq133sq128d64", WGMMA(2, 2, 1, 1, 0), WGMMA(2, 2, 2, 1, 0), true},
      {"hq133sq128d64", WGMMA(2, 2, 1, 1, 1), WGMMA(2, 2, 2, 1, 1), false},
      {"hq133sq128d64", WGMMA(2, 2, 1, 1, 1), WGMMA(2, 2, 1, 1, 2), false},
      {"hq133sq64d64", WGMMA(1, 2, 1, 0, 1), WGMMA(1, 2, 1, 1, 1), true},
      /* two, three and five key tiles; a block that goes on fills its ring all the same */
      {"hq8sq64sk128d64", WGMMA(1, 2, 1, 0, 0), WGMMA(1, 4, 1, 0, 0), true},
      {"hq8sq64sk129d64", WGMMA(1, 2, 1, 0, 0), WGMMA(1, 3, 1, 0, 0), false},
      {"hq8sq64sk129d64", WGMMA(1, 3, 1, 0, 0), WGMMA(1, 4, 1, 0, 0), true},
      {"hq8sq64sk257d64", WGMMA(1, 3, 1, 0, 0), WGMMA(1, 4, 1, 0, 0), false},
      {"hq133sq128sk64d64", WGMMA(2, 2, 1, 1, 1), WGMMA(2, 3, 1, 1, 1), false},
  };
  const fl4_device_info device = h200();
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) check_disguise(&cases[i], &device);
}
END_TEST

START_TEST(disguises_of_host)
{
  static const disguise cases[] = {
      {"hq2sq500d64", "host:bm=96,bn=64,threads=0", "host:bm=96,bn=64,threads=4", true},
      {"hq2sq500d64", "host:bm=96,bn=64,threads=0", "host:bm=96,bn=64,threads=3", false},
      {"hq2sq96d64", "host:bm=96,bn=64,threads=2", "host:bm=96,bn=64,threads=0", true}, /* two tasks */
      {"hq2sq97d64", "host:bm=96,bn=64,threads=2", "host:bm=96,bn=64,threads=0", false},
      {"hq2sq96d64", "host:bm=96,bn=64,threads=0", "host:bm=384,bn=64,threads=0", true},
      {"hq2sq97d64", "host:bm=96,bn=64,threads=0", "host:bm=192,bn=64,threads=0", false},
      {"hq4hkv1sq24d64", "host:bm=96,bn=32,threads=0", "host:bm=384,bn=32,threads=0", true}, /* of the group */
      {"hq4hkv1sq25d64", "host:bm=96,bn=32,threads=0", "host:bm=384,bn=32,threads=0", false},
      {"hq2sq500sk64d64", "host:bm=96,bn=64,threads=0", "host:bm=96,bn=256,threads=0", true},
      {"hq2sq500sk65d64", "host:bm=96,bn=64,threads=0", "host:bm=96,bn=128,threads=0", false},
  };
  const fl4_device_info device = host(4);
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) check_disguise(&cases[i], &device);
}
END_TEST

/* What is canonical says so itself, is not refused, and its launch is no larger. */
START_TEST(canonical_forms)
{
  static const char *const lines[] = {"hq4hkv2sq100sk70d64", "hq2sq5sk300d128:causal", "hq8hkv1sq1sk17d8",
                                      "hq1sq9sk0d32"};
  const struct {
    const fl4__family *family;
    fl4_device_info device;
  } cases[] = {{&fl4__family_fwd_wgmma, h200()},
               {&fl4__family_fwd_mma, h200()},
               {&fl4__family_fwd_mma, l4()},
               {&fl4__family_host, host(1)},
               {&fl4__family_host, host(6)}};
  for (int i = 0; i < 20; i++) {
    const fl4__family *f = cases[i % 5].family;
    const fl4_device_info *device = &cases[i % 5].device;
    const fl4_problem problem = problem_of(lines[i / 5]);
    fl4__problem p;
    ck_assert_fl4(fl4__problem_call(&problem, &p));
    int64_t combinations = 1;
    for (int k = 0; k < f->n_params; k++) combinations *= f->params[k].n_values;
    for (int64_t n = 0; n < combinations; n++) {
      const fl4__variant v = combination(f, n);
      char why[160];
      if (f->refuse(&v, &p, device, why)) continue;
      fl4__variant once = v, twice;
      f->canonical(&once, &p, device);
      twice = once;
      f->canonical(&twice, &p, device);
      ck_assert_mem_eq(&once, &twice, sizeof once);
      ck_assert_ptr_null(f->refuse(&once, &p, device, why));
      fl4__geometry a = {0}, b = {0};
      f->geometry(&v, &p, device, &a);
      f->geometry(&once, &p, device, &b);
      ck_assert(a.blocks == b.blocks && a.threads == b.threads && a.row_tiles == b.row_tiles &&
                a.section_heads == b.section_heads && b.smem_bytes <= a.smem_bytes &&
                memcmp(a.tma_rows, b.tma_rows, sizeof a.tma_rows) == 0 && b.workspace_bytes <= a.workspace_bytes);
    }
  }
}
END_TEST

/* ---------------------------------------------------------------- problems and the call */

/* As a call on the trial's own memory sees it. */
START_TEST(alignment)
{
  static const struct {
    const char *line;
    int aligned;
  } cases[] = {{"hq2sq16d64", 1}, {"hq2sq16d64:odd", 0}, {"hq2sq16d8:packed", 1}, {"b2hq2sq16d24:bshd:lse", 1}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    const fl4_problem p = problem_of(cases[i].line);
    fl4__problem out;
    ck_assert_fl4(fl4__problem_call(&p, &out));
    ck_assert_int_eq(out.aligned, cases[i].aligned);
    ck_assert_int_eq(out.lse, p.lse);
    ck_assert_int_eq(out.D, p.D);
  }
}
END_TEST

START_TEST(the_call)
{
  fl4_context *ctx = NULL;
  fl4_context_options o = FL4_CONTEXT_OPTIONS_INIT;
  o.device = "host", o.threads = 2;
  ck_assert_fl4(fl4_context_create(&ctx, &o));
  fl4_problem p = problem_of("hq2sq40d16");
  fl4_tune_space_info info = FL4_TUNE_SPACE_INFO_INIT;
  ck_assert_fl4(fl4_tune_space(ctx, &p, NULL, &info));
  ck_assert_str_eq(info.family, "host");
  ck_assert_int_eq(info.combinations, 7 * 4 * 12);
  /* bm up to 48, bn up to 64, one thread or all: 4 · 2 · 2 */
  ck_assert_int_eq(info.valid, 16);
  ck_assert_int_eq(info.valid + info.same, 7 * 4 * 3);
  ck_assert_int_eq(info.n_reasons, 1);
  ck_assert_int_eq(info.reasons[0].count, 7 * 4 * 9);
  ck_assert_str_eq(info.reasons[0].reason, "threads=3, but the device has 2");
  ck_assert_fl4(fl4_tune_space(ctx, &p, "host", &info));

  ck_assert_fl4_fails(fl4_tune_space(NULL, &p, NULL, &info), FL4_INVALID_ARGUMENT, "ctx: is NULL");
  ck_assert_fl4_fails(fl4_tune_space(ctx, NULL, NULL, &info), FL4_INVALID_ARGUMENT, "problem: is NULL");
  ck_assert_fl4_fails(fl4_tune_space(ctx, &p, NULL, NULL), FL4_INVALID_ARGUMENT, "info: is NULL");
  ck_assert_fl4_fails(fl4_tune_space(ctx, &p, "fwd_mma", &info), FL4_UNSUPPORTED, "is for the GPU");
  ck_assert_fl4_fails(fl4_tune_space(ctx, &p, "no such", &info), FL4_INVALID_ARGUMENT, "unknown family");
  ck_assert_fl4_fails(fl4_tune_space(ctx, &p, "host:bm=4", &info), FL4_INVALID_ARGUMENT, "is a variant");
  info.struct_size = 3;
  ck_assert_fl4_fails(fl4_tune_space(ctx, &p, NULL, &info), FL4_INVALID_ARGUMENT, "struct_size: is 3");
  info.struct_size = sizeof info;
  p.D = 12;
  ck_assert_fl4_fails(fl4_tune_space(ctx, &p, NULL, &info), FL4_INVALID_ARGUMENT, "D");
  fl4_context_destroy(&ctx);
}
END_TEST

static Suite *make_suite(void)
{
  Suite *s = suite_create("tune_space");
  TCase *tc = tcase_create("space");
  tcase_set_timeout(tc, 120);
  tcase_add_loop_test(tc, counts, 0, 12);
  tcase_add_test(tc, reasons);
  tcase_add_test(tc, points_are_valid_and_found);
  tcase_add_test(tc, what_is_not_there);
  tcase_add_test(tc, disguises_of_fwd_mma);
  tcase_add_test(tc, disguises_of_fwd_wgmma);
  tcase_add_test(tc, disguises_of_host);
  tcase_add_test(tc, canonical_forms);
  tcase_add_test(tc, alignment);
  tcase_add_test(tc, the_call);
  suite_add_tcase(s, tc);
  return s;
}

FL4_TEST_MAIN(make_suite)

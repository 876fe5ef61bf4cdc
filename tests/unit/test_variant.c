/* SPDX-License-Identifier: Apache-2.0 */
/* Variants as text, as options and chosen for problems, on families and devices made up here. */
#include "fl4_test.h"
#include "variant.h"

/* A family whose choice and refusals the tests set. "tile" prefers 64 and refuses what is told. */
static char refusal[160];
static int chosen_stages = 2;

static const char *tile_refuse(const fl4__variant *v, const fl4__problem *p, const fl4_device_info *d, char why[160])
{
  (void)d;
  if (refusal[0]) return strcpy(why, refusal);
  if (p->D > 128) return "D is more than 128";
  if (fl4__variant_get(v, "bm") == 128 && fl4__variant_get(v, "stages") == 4) {
    snprintf(why, 160, "bm=128 with stages=4 does not fit");
    return why;
  }
  return NULL;
}

static void tile_choose(fl4__variant *v, const fl4__problem *p, const fl4_device_info *d)
{
  (void)d;
  v->value[0] = p->Sq < 64 ? 16 : 64;
  v->value[1] = chosen_stages;
  v->value[2] = 1;
}

static bool tile_is_for(const fl4__problem *p)
{
  return p->Sq != 3;
}

static const char *wide_refuse(const fl4__variant *v, const fl4__problem *p, const fl4_device_info *d, char why[160])
{
  (void)v, (void)d;
  snprintf(why, 160, "D is %d, not above 128", (int)p->D);
  return p->D <= 128 ? why : NULL;
}

static void wide_choose(fl4__variant *v, const fl4__problem *p, const fl4_device_info *d)
{
  (void)p, (void)d;
  v->value[0] = 1;
}

static const char *never_refuse(const fl4__variant *v, const fl4__problem *p, const fl4_device_info *d, char why[160])
{
  (void)v, (void)p, (void)d, (void)why;
  return NULL;
}

/* clang-format off */
static const fl4__param tile_params[] = {
  {"bm", "rows", 3, {16, 64, 128}, false},
  {"stages", "tiles in flight", 3, {1, 2, 4}, false},
  {"q_reg", "1: Q in registers", 2, {0, 1}, false},
};
static const fl4__param wide_params[] = {{"n", "anything", 2, {1, 10}, false}};

static const fl4__family tile = {
  .name = "tile", .device = FL4_DEVICE_CUDA, .params = tile_params, .n_params = 3,
  .refuse = tile_refuse, .choose = tile_choose, .is_for = tile_is_for,
};
static const fl4__family wide = {
  .name = "wide", .device = FL4_DEVICE_CUDA, .params = wide_params, .n_params = 1,
  .refuse = wide_refuse, .choose = wide_choose,
};
static const fl4__family cpu = {
  .name = "cpu", .device = FL4_DEVICE_HOST, .params = wide_params, .n_params = 1,
  .refuse = never_refuse, .choose = wide_choose,
};

/* clang-format on */

const fl4__family *const fl4__families[] = {&tile, &wide, &cpu, NULL};

static const fl4_device_info gpu = {
    .struct_size = sizeof gpu, .kind = FL4_DEVICE_CUDA, .name = "GPU X", .isa = "sm_89"};
static const fl4_device_info emu = {.struct_size = sizeof emu, .kind = FL4_DEVICE_EMU, .name = "Emu", .isa = "sm_80"};
static const fl4_device_info host = {.struct_size = sizeof host, .kind = FL4_DEVICE_HOST, .name = "CPU", .isa = "avx2"};

static fl4__problem make_problem(int64_t Sq, int64_t D)
{
  fl4__problem p;
  memset(&p, 0, sizeof p);
  p.B = 1, p.Hq = 2, p.Hkv = 2, p.Sq = Sq, p.Sk = Sq, p.D = D, p.aligned = 1;
  return p;
}

static fl4__variant parsed(const char *text)
{
  fl4__variant v;
  ck_assert_fl4(fl4__variant_parse(text, &v));
  return v;
}

static void ck_assert_text(const fl4__variant *v, const char *expected)
{
  char text[FL4__VARIANT_TEXT];
  fl4__variant_format(v, text);
  ck_assert_str_eq(text, expected);
}

static void reset(void)
{
  refusal[0] = '\0';
  chosen_stages = 2;
}

START_TEST(parses)
{
  fl4__variant v = parsed("tile:stages=4,bm=16");
  ck_assert_ptr_eq(v.family, &tile);
  ck_assert_int_eq(v.value[0], 16);
  ck_assert_int_eq(v.value[1], 4);
  ck_assert_int_eq(v.value[2], FL4__UNSET);
  for (int i = 3; i < FL4__MAX_PARAMS; i++) ck_assert_int_eq(v.value[i], 0);
  ck_assert_int_eq(parsed("tile:q_reg=0").value[2], 0); /* a value like any other */
  ck_assert_ptr_eq(parsed("cpu").family, &cpu);
  ck_assert_int_eq(parsed("wide:n=10").value[0], 10);
}
END_TEST

/* clang-format off */
static const char *const wrong[][2] = {
  {"", "unknown family ''; families are tile wide cpu"},
  {"til", "unknown family 'til'"},
  {"tiles", "unknown family 'tiles'; families are tile wide cpu"},
  {"Tile", "unknown family 'Tile'"},
  {":bm=16", "unknown family ''"},
  {"tile bm=16", "unknown family 'tile bm=16'"},
  {"tile:", "tile has no parameter ''; it has bm stages q_reg"},
  {"tile:bm=16,", "tile has no parameter ''"},
  {"tile:,bm=16", "tile has no parameter ''"},
  {"tile:n=1", "tile has no parameter 'n'; it has bm stages q_reg"},
  {"tile:b=16", "tile has no parameter 'b'"},
  {"tile:bm=16:stages=2", "parameter 'bm' is '16:stages=2', must be one of 16 64 128"},
  {"tile:bm", "parameter 'bm' is '', must be one of 16 64 128"},
  {"tile:bm,stages=2", "parameter 'bm' is '', must be one of"},
  {"tile:bm=", "parameter 'bm' is '', must be one of 16 64 128"},
  {"tile:bm=,stages=2", "parameter 'bm' is ''"},
  {"tile:bm=32", "parameter 'bm' is '32', must be one of 16 64 128"},
  {"tile:bm=0", "parameter 'bm' is '0'"},
  {"tile:bm=-16", "parameter 'bm' is '-16'"},
  {"tile:bm=+16", "parameter 'bm' is '+16'"},
  {"tile:bm= 16", "parameter 'bm' is ' 16'"},
  {"tile:bm=16x", "parameter 'bm' is '16x'"},
  {"tile:bm=4294967312", "parameter 'bm' is '4294967312'"},
  {"tile:bm=99999999999999999999", "must be one of"},
  {"tile:bm=16,bm=16", "parameter 'bm' is given twice"},
  {"tile:q_reg=0,q_reg=0", "parameter 'q_reg' is given twice"},
  {"tile:q_reg=-1", "parameter 'q_reg' is '-1', must be one of 0 1"},
};
/* clang-format on */

START_TEST(refuses_text)
{
  fl4__variant v = {.family = &wide}, before = v;
  ck_assert_fl4_fails(fl4__variant_parse(wrong[_i][0], &v), FL4_INVALID_ARGUMENT, wrong[_i][1]);
  ck_assert_msg(strstr(fl4_last_error(), wrong[_i][0]) != NULL, "%s", fl4_last_error());
  ck_assert_mem_eq(&v, &before, sizeof v);
}
END_TEST

START_TEST(formats)
{
  fl4__variant v = parsed("tile:stages=4,q_reg=0,bm=16");
  ck_assert_text(&v, "tile:bm=16,stages=4,q_reg=0");
  v = parsed("tile:stages=4");
  ck_assert_text(&v, "tile:stages=4");
  v = parsed("cpu");
  ck_assert_text(&v, "cpu");
}
END_TEST

START_TEST(every_variant_comes_back)
{
  for (int i = 0; i < 27; i++) {
    fl4__variant v = {.family = &tile}, back;
    v.value[0] = tile_params[0].values[i % 3];
    v.value[1] = tile_params[1].values[i / 3 % 3];
    v.value[2] = tile_params[2].values[i / 9 % 2];
    char text[FL4__VARIANT_TEXT];
    fl4__variant_format(&v, text);
    ck_assert_fl4(fl4__variant_parse(text, &back));
    ck_assert_mem_eq(&v, &back, sizeof v);
  }
}
END_TEST

START_TEST(gets_values)
{
  fl4__variant v = parsed("tile:stages=4");
  ck_assert_int_eq(fl4__variant_get(&v, "stages"), 4);
  ck_assert_int_eq(fl4__variant_get(&v, "bm"), FL4__UNSET);
  ck_assert_int_eq(fl4__variant_get(&v, "stage"), 0);
  ck_assert_int_eq(fl4__variant_get(&v, ""), 0);
}
END_TEST

START_TEST(makes_options)
{
  static const char *const expected[] = {
      "-DFL4_BM=16",    "-DFL4_STAGES=4",  "-DFL4_Q_REG=1", "-DFL4_D=72",    "-DFL4_BF16=1",
      "-DFL4_CAUSAL=1", "-DFL4_ALIGNED=1", "-DFL4_LSE=1",   "-DFL4_DEBUG=0",
  };
  char options[FL4__MAX_OPTIONS][FL4__OPTION_TEXT];
  fl4__build build;
  fl4__problem p = make_problem(100, 72);
  fl4__variant v = parsed("tile:bm=16,stages=4,q_reg=1");
  p.dtype = FL4_DTYPE_BF16, p.mask = FL4_MASK_CAUSAL, p.lse = 1;
  fl4__build_from(&v, &p, false, &build);
  ck_assert_int_eq(fl4__build_options(&build, options), 9);
  for (int i = 0; i < 9; i++) ck_assert_str_eq(options[i], expected[i]);

  p.dtype = FL4_DTYPE_FP16, p.mask = FL4_MASK_NONE, p.aligned = 0, p.lse = 0;
  fl4__build_from(&v, &p, true, &build);
  ck_assert_int_eq(fl4__build_options(&build, options), 9);
  ck_assert_str_eq(options[4], "-DFL4_BF16=0");
  ck_assert_str_eq(options[5], "-DFL4_CAUSAL=0");
  ck_assert_str_eq(options[6], "-DFL4_ALIGNED=0");
  ck_assert_str_eq(options[7], "-DFL4_LSE=0");
  ck_assert_str_eq(options[8], "-DFL4_DEBUG=1");
}
END_TEST

/* Builds are compared as bytes: equal for problems that share a kernel, unlike for others. */
START_TEST(builds_are_keys)
{
  fl4__variant v = parsed("tile:bm=16");
  fl4__problem p = make_problem(100, 64), q = make_problem(5000, 64);
  fl4__build a, b;
  q.B = 7;
  memset(&a, 0xAA, sizeof a);
  fl4__build_from(&v, &p, false, &a);
  fl4__build_from(&v, &q, false, &b);
  ck_assert_mem_eq(&a, &b, sizeof a);

#define UNLIKE(change)                                                                                                 \
  do {                                                                                                                 \
    fl4__problem other = p;                                                                                            \
    fl4__variant w = v;                                                                                                \
    bool debug = false;                                                                                                \
    change;                                                                                                            \
    fl4__build_from(&w, &other, debug, &b);                                                                            \
    ck_assert_mem_ne(&a, &b, sizeof a);                                                                                \
  } while (0)
  UNLIKE(other.D = 72);
  UNLIKE(other.dtype = FL4_DTYPE_BF16);
  UNLIKE(other.mask = FL4_MASK_CAUSAL);
  UNLIKE(other.aligned = 0);
  UNLIKE(other.lse = 1);
  UNLIKE(w.value[1] = 4);
  UNLIKE(debug = true);
#undef UNLIKE
}
END_TEST

START_TEST(selects_the_first_that_can)
{
  fl4__variant v;
  fl4__problem small = make_problem(10, 64), big = make_problem(1000, 128), wide_one = make_problem(10, 256);
  ck_assert_fl4(fl4__select(NULL, &small, &gpu, &v));
  ck_assert_text(&v, "tile:bm=16,stages=2,q_reg=1");
  ck_assert_fl4(fl4__select(NULL, &big, &gpu, &v));
  ck_assert_text(&v, "tile:bm=64,stages=2,q_reg=1");
  ck_assert_fl4(fl4__select(NULL, &wide_one, &gpu, &v));
  ck_assert_text(&v, "wide:n=1");
  ck_assert_fl4(fl4__select(NULL, &wide_one, &host, &v));
  ck_assert_text(&v, "cpu:n=1");
  ck_assert_fl4(fl4__select(NULL, &big, &emu, &v)); /* an emulated GPU runs CUDA families */
  ck_assert_ptr_eq(v.family, &tile);

  fl4__variant none;
  memset(&none, 0, sizeof none); /* as in a context without a forced variant */
  ck_assert_fl4(fl4__select(&none, &small, &gpu, &v));
  ck_assert_ptr_eq(v.family, &tile);
}
END_TEST

/* It runs a problem that it is not for if it is asked to; nobody is told that it refuses one. */
START_TEST(passes_over_who_is_not_for_it)
{
  fl4__variant v, forced = parsed("tile"), wish;
  fl4__problem p = make_problem(3, 64), wide_one = make_problem(3, 256);
  char why[160];
  ck_assert_fl4(fl4__select(NULL, &wide_one, &gpu, &v));
  ck_assert_text(&v, "wide:n=1");
  ck_assert_fl4_fails(fl4__select(NULL, &p, &gpu, &v), FL4_UNSUPPORTED, "GPU X (sm_89): wide: D is 64, not above 128");
  ck_assert_fl4(fl4__select(&forced, &p, &gpu, &v));
  ck_assert_text(&v, "tile:bm=16,stages=2,q_reg=1");
  ck_assert(fl4__variant_fits(&forced, &p, &gpu, &wish));
  strcpy(refusal, "it rains");
  ck_assert_ptr_null(fl4__family_refusal(&tile, &p, &gpu, why));
  p.Sq = 4;
  ck_assert_str_eq(fl4__family_refusal(&tile, &p, &gpu, why), "it rains");
}
END_TEST

START_TEST(joins_the_reasons)
{
  fl4__variant v;
  fl4__problem p = make_problem(10, 64);
  strcpy(refusal, "it rains");
  ck_assert_fl4_fails(fl4__select(NULL, &p, &gpu, &v), FL4_UNSUPPORTED,
                      "GPU X (sm_89): tile: it rains; wide: D is 64, not above 128");

  /* Long reasons are cut, not run over. */
  memset(refusal, 'x', sizeof refusal - 1);
  ck_assert_fl4_fails(fl4__select(NULL, &p, &gpu, &v), FL4_UNSUPPORTED, "; wide: D is 64");

  fl4_device_info unknown = gpu;
  unknown.kind = 9;
  ck_assert_fl4_fails(fl4__select(NULL, &p, &unknown, &v), FL4_UNSUPPORTED, "this build has no kernels for it");
}
END_TEST

START_TEST(forced_keeps_its_values)
{
  fl4__variant v, forced = parsed("tile:bm=128");
  fl4__problem p = make_problem(10, 64);
  chosen_stages = 1;
  ck_assert_fl4(fl4__select(&forced, &p, &gpu, &v));
  ck_assert_text(&v, "tile:bm=128,stages=1,q_reg=1");
  ck_assert_fl4(fl4__select(&forced, &p, &emu, &v));
  ck_assert_text(&forced, "tile:bm=128"); /* not changed itself */

  forced = parsed("tile:q_reg=0"); /* 0 is a value */
  ck_assert_fl4(fl4__select(&forced, &p, &gpu, &v));
  ck_assert_text(&v, "tile:bm=16,stages=1,q_reg=0");

  forced = parsed("wide"); /* not the first that could, but what was asked for */
  p = make_problem(10, 256);
  ck_assert_fl4(fl4__select(&forced, &p, &gpu, &v));
  ck_assert_text(&v, "wide:n=1");
}
END_TEST

START_TEST(forced_fails_with_the_reason)
{
  fl4__variant v, forced = parsed("tile:bm=128");
  fl4__problem p = make_problem(10, 64), wide_one = make_problem(10, 256);
  chosen_stages = 4;
  ck_assert_fl4_fails(fl4__select(&forced, &p, &gpu, &v), FL4_UNSUPPORTED,
                      "variant tile:bm=128,stages=4,q_reg=1: bm=128 with stages=4 does not fit");
  /* Another family could, but was not asked for. */
  ck_assert_fl4_fails(fl4__select(&forced, &wide_one, &gpu, &v), FL4_UNSUPPORTED, "D is more than 128");
  ck_assert_fl4_fails(fl4__select(&forced, &p, &host, &v), FL4_UNSUPPORTED,
                      "variant tile:bm=128: is for the GPU, this device is CPU (avx2)");
  forced = parsed("cpu");
  ck_assert_fl4_fails(fl4__select(&forced, &p, &gpu, &v), FL4_UNSUPPORTED,
                      "variant cpu: is for the host, this device is GPU X (sm_89)");
  ck_assert_fl4_fails(fl4__select(&forced, &p, &emu, &v), FL4_UNSUPPORTED, "is for the host");
}
END_TEST

static Suite *make_suite(void)
{
  Suite *suite = suite_create("variant");
  TCase *c = tcase_create("variant");
  tcase_add_checked_fixture(c, reset, NULL);
  tcase_add_test(c, parses);
  tcase_add_loop_test(c, refuses_text, 0, (int)(sizeof wrong / sizeof wrong[0]));
  tcase_add_test(c, formats);
  tcase_add_test(c, every_variant_comes_back);
  tcase_add_test(c, gets_values);
  tcase_add_test(c, makes_options);
  tcase_add_test(c, builds_are_keys);
  tcase_add_test(c, selects_the_first_that_can);
  tcase_add_test(c, passes_over_who_is_not_for_it);
  tcase_add_test(c, joins_the_reasons);
  tcase_add_test(c, forced_keeps_its_values);
  tcase_add_test(c, forced_fails_with_the_reason);
  suite_add_tcase(suite, c);
  return suite;
}

FL4_TEST_MAIN(make_suite)

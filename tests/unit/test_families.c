/* SPDX-License-Identifier: Apache-2.0 */
/* The real families' tables: what variant.c and select.c rely on. */
#include <flashl4/flashl4.h>

#include "families/families.h"
#include "fl4_test.h"

/* Every family in turn. */
#define FOR_FAMILIES(f) for (const fl4__family *const *at = fl4__families, *f; (f = *at) != NULL; at++)

START_TEST(tables_are_well_formed)
{
  FOR_FAMILIES(f)
  {
    ck_assert(f->name && f->refuse && f->choose && f->geometry);
    ck_assert_int_ge(f->n_params, 1);
    ck_assert_int_le(f->n_params, FL4__MAX_PARAMS);
    for (int i = 0; i < f->n_params; i++) {
      const fl4__param *p = &f->params[i];
      ck_assert_msg(strspn(p->name, "abcdefghijklmnopqrstuvwxyz0123456789_") == strlen(p->name), "%s.%s", f->name,
                    p->name);
      ck_assert(p->what && p->what[0]);
      ck_assert_int_ge(p->n_values, 1);
      ck_assert_int_le(p->n_values, FL4__MAX_VALUES);
      /* Negative numbers are not read, and one of them means: not set. */
      ck_assert_msg(p->values[0] >= 0, "%s.%s: value %d", f->name, p->name, p->values[0]);
      for (int k = 1; k < p->n_values; k++) ck_assert_int_lt(p->values[k - 1], p->values[k]);
      for (int k = 0; k < i; k++) ck_assert_str_ne(p->name, f->params[k].name);
    }
  }
}
END_TEST

#define ROOM(type, member) sizeof(((type *)0)->member)

/* So do the public structs that tell variants. */
START_TEST(variants_fit_everywhere)
{
  ck_assert_uint_ge(ROOM(fl4_plan_info, variant), FL4__VARIANT_TEXT);
  ck_assert_uint_ge(ROOM(fl4_check_result, variant), FL4__VARIANT_TEXT);
  ck_assert_uint_ge(ROOM(fl4_bench_result, variant), FL4__VARIANT_TEXT);
  ck_assert_uint_ge(ROOM(fl4_tune_candidate, variant), FL4__VARIANT_TEXT);
  ck_assert_uint_ge(ROOM(fl4_tune_report, variant), FL4__VARIANT_TEXT);
  ck_assert_uint_ge(ROOM(fl4_wisdom_entry, variant), FL4__VARIANT_TEXT);
  const fl4_tune_space_info *info = NULL;
  ck_assert_uint_ge(sizeof info->parameters / sizeof info->parameters[0], FL4__MAX_PARAMS);
  ck_assert_uint_ge(sizeof info->parameters[0].values / sizeof info->parameters[0].values[0], FL4__MAX_VALUES);
  FOR_FAMILIES(f)
  for (int i = 0; i < f->n_params; i++) {
    ck_assert_uint_lt(strlen(f->params[i].name), sizeof info->parameters[0].name);
    ck_assert_uint_lt(strlen(f->params[i].what), sizeof info->parameters[0].what);
  }
}
END_TEST

/* The longest text of a family fits, and is read back. */
START_TEST(longest_texts_fit)
{
  FOR_FAMILIES(f)
  {
    fl4__variant v, back;
    char text[FL4__VARIANT_TEXT], options[FL4__MAX_OPTIONS][FL4__OPTION_TEXT];
    fl4__problem p;
    fl4__build build;
    memset(&v, 0, sizeof v);
    memset(&p, 0, sizeof p);
    v.family = f;
    for (int i = 0; i < f->n_params; i++) v.value[i] = f->params[i].values[f->params[i].n_values - 1];
    fl4__variant_format(&v, text);
    ck_assert_uint_lt(strlen(text), FL4__VARIANT_TEXT - 1);
    ck_assert_fl4(fl4__variant_parse(text, &back));
    ck_assert_mem_eq(&v, &back, sizeof v);

    fl4__build_from(&v, &p, false, &build);
    int n = fl4__build_options(&build, options);
    ck_assert_int_le(n, FL4__MAX_OPTIONS);
    for (int i = 0; i < n; i++) ck_assert_uint_lt(strlen(options[i]), FL4__OPTION_TEXT - 1);
  }
}
END_TEST

/* ---------------------------------------------------------------- fwd_wgmma */

static fl4_device_info h200(void)
{
  fl4_device_info d = FL4_DEVICE_INFO_INIT;
  d.kind = FL4_DEVICE_CUDA, d.sm = 90, d.multiprocessors = 132;
  d.smem_per_block = 227 << 10, d.smem_per_sm = 228 << 10;
  d.registers_per_sm = 65536, d.l2_bytes = 60 << 20;
  strcpy(d.isa, "sm_90");
  return d;
}

/* As a call with rows that are aligned would be seen. */
static fl4__problem problem_of(const char *line)
{
  fl4_problem p = FL4_PROBLEM_INIT;
  fl4__problem problem;
  ck_assert_fl4(fl4_problem_parse(line, &p));
  memset(&problem, 0, sizeof problem);
  problem.B = p.B, problem.Hq = p.Hq, problem.Hkv = p.Hkv, problem.Sq = p.Sq, problem.Sk = p.Sk, problem.D = p.D;
  problem.dtype = p.dtype, problem.mask = p.mask, problem.lse = p.lse, problem.aligned = p.layout != FL4_LAYOUT_ODD;
  return problem;
}

static fl4__geometry geometry_of(const char *line, const char *variant)
{
  const fl4__problem p = problem_of(line);
  const fl4_device_info device = h200();
  fl4__variant forced, v;
  fl4__geometry g;
  memset(&g, 0, sizeof g);
  ck_assert_fl4(fl4__variant_parse(variant, &forced));
  ck_assert_fl4(fl4__select(&forced, &p, &device, &v));
  v.family->geometry(&v, &p, &device, &g);
  return g;
}

/* A choice can run, stands for itself, fills small grids, and deals row tiles out where there are more than blocks. */
static void check_choice(const fl4__problem *p)
{
  enum { GROUPS, BN, STAGES, QBUF, PINGPONG, SCHED, SPLITS };
  const fl4_device_info device = h200();
  const fl4__family *f = &fl4__family_fwd_wgmma;
  const int64_t heads = p->B * p->Hq;
  char text[FL4__VARIANT_TEXT], why[160];
  fl4__variant v, canonical;
  memset(&v, 0, sizeof v);
  v.family = f;
  f->choose(&v, p, &device);
  fl4__variant_format(&v, text);
  const char *reason = f->refuse(&v, p, &device, why);
  ck_assert_msg(!reason, "%s: %s", text, reason);
  ck_assert_fl4(fl4__variant_parse(text, &canonical)); /* values of the table only */
  f->canonical(&canonical, p, &device);
  ck_assert_mem_eq(&v, &canonical, sizeof v);
  const bool small = heads * fl4__ceil_div(p->Sq, 64) <= 132;
  const bool one_tile = heads * fl4__ceil_div(p->Sq, 64 * v.value[GROUPS]) <= 132;
  if (small) ck_assert_int_eq(v.value[GROUPS], 1);
  const int splits = v.value[SPLITS];
  ck_assert(splits == 1 ||
            (one_tile && p->Sk / splits >= 512 && heads * fl4__ceil_div(p->Sq, 64 * v.value[GROUPS]) * splits <= 132));
  ck_assert_msg(v.value[SCHED] == (one_tile ? 0 : p->mask == FL4_MASK_CAUSAL ? 2 : 1), "%s", text);
}

START_TEST(choices_of_fwd_wgmma)
{
  static const int64_t rows[] = {1, 64, 65, 132 * 64, 132 * 64 + 1}, heads[] = {1, 8, 133, 4096};
  for (int D = 8; D <= 256; D += 8)
    for (int kind = 0; kind < 8; kind++)
      for (int i = 0; i < 5 * 4; i++)
        for (int64_t Sk = 64; Sk <= 1 << 20; Sk *= 2) {
          const fl4__problem p = {.B = 1,
                                  .Hq = heads[i % 4],
                                  .Hkv = heads[i % 4],
                                  .Sq = rows[i / 4],
                                  .Sk = Sk - 1,
                                  .D = D,
                                  .dtype = kind & 1 ? FL4_DTYPE_BF16 : FL4_DTYPE_FP16,
                                  .mask = kind & 2 ? FL4_MASK_CAUSAL : FL4_MASK_NONE,
                                  .aligned = 1,
                                  .lse = kind >> 2};
          check_choice(&p);
        }
}
END_TEST

/* Else the next family takes the call. */
START_TEST(others_take_what_fwd_wgmma_does_not)
{
  static const char *const lines[] = {"hq4sq64d64:odd", "hq4sq64sk0d64", "hq4sq64d64", "hq4sq64d64"};
  for (int i = 0; i < 4; i++) {
    fl4__problem p = problem_of(lines[i]);
    fl4_device_info device = h200();
    if (i == 2) device.sm = 100;
    if (i == 3) p.invariant = 1;
    fl4__variant v;
    ck_assert_fl4(fl4__select(NULL, &p, &device, &v));
    ck_assert_str_eq(v.family->name, "fwd_mma");
    fl4__geometry g = {.tma_rows = {1, 2, 3}};
    v.family->geometry(&v, &p, &device, &g);
    ck_assert(g.tma_rows[0] == 0 && g.tma_rows[1] == 0 && g.tma_rows[2] == 0);
  }
}
END_TEST

START_TEST(geometry_of_fwd_wgmma)
{
  fl4__geometry g =
      geometry_of("b4hq16sq4000d128:causal", "fwd_wgmma:groups=2,bn=96,stages=2,qbuf=2,pingpong=1,sched=2");
  ck_assert_int_eq(g.blocks, 132);
  ck_assert_int_eq(g.threads, 384);
  ck_assert_int_eq(g.row_tiles, 32);
  ck_assert_int_eq(g.smem_bytes, (2 * 2 * 64 + 2 * 2 * 96) * 256 + 1024);
  ck_assert(g.tma_rows[0] == 64 && g.tma_rows[1] == 96 && g.tma_rows[2] == 96);
  ck_assert_int_eq(g.workspace_bytes, FL4_TICKET_BYTES);
  ck_assert_int_eq(g.section_heads, 16); /* 2 MB each */

  g = geometry_of("b4hq16sq4000d72", "fwd_wgmma:groups=3,bn=64,stages=3,qbuf=1,pingpong=1,sched=1");
  ck_assert_int_eq(g.blocks, 132);
  ck_assert_int_eq(g.threads, 512);
  ck_assert_int_eq(g.row_tiles, 21);
  ck_assert_int_eq(g.smem_bytes, (3 * 64 + 2 * 3 * 64) * 256 + 1024); /* two pages of 64 columns */
  ck_assert_int_eq(g.workspace_bytes, 0);
  ck_assert_int_eq(g.section_heads, 1);

  g = geometry_of("b4hq16sq4000d64", "fwd_wgmma:groups=1,bn=48,stages=2,qbuf=1,pingpong=0,sched=0");
  ck_assert_int_eq(g.blocks, 64 * 63);
  ck_assert_int_eq(g.workspace_bytes, 0);
  g = geometry_of("hq4sq4000d64", "fwd_wgmma:groups=3,bn=48,stages=2,qbuf=1,pingpong=0,sched=1,splits=1");
  ck_assert_int_eq(g.blocks, 84); /* as many as there are tiles */

  g = geometry_of("hq4hkv2sq100sk4000d72", "fwd_wgmma:groups=1,bn=48,stages=2,qbuf=2,pingpong=1,sched=2,splits=6");
  ck_assert_int_eq(g.blocks, 4 * 2 * 6);
  ck_assert_uint_eq(g.workspace_bytes, FL4_TICKET_BYTES + 48 * 4 * (72 / 8 + 1) * 512);
}
END_TEST

/* Where row tiles of three or four groups would leave multiprocessors idle in the last round, they have two. Measured on an H200. */
START_TEST(even_rounds_of_fwd_wgmma)
{
  static const struct {
    const char *line;
    int groups, bn;
  } cases[] = {{"hq8sq4096d128", 2, 160},
               {"hq12sq4096d128", 3, 80},
               {"b4hq16sq4096d128", 3, 80},
               {"hq32hkv8sq4096d128", 2, 160},
               {"hq8sq4096d96", 2, 160},
               {"b4hq16sq4096d96", 3, 96},
               {"hq8sq4096d64", 4, 64},
               {"hq8sq4096d64:causal", 2, 128},
               {"hq16sq2048d64:causal", 2, 128},
               {"b4hq16sq2048d64:causal", 4, 64},
               {"hq8sq4096d128:causal", 2, 128},
               {"b4hq16sq4096d128:causal", 3, 80},
               {"hq32hkv8sq4096d128:causal", 3, 80}};
  const fl4_device_info device = h200();
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    const fl4__problem p = problem_of(cases[i].line);
    fl4__variant v;
    ck_assert_fl4(fl4__select(NULL, &p, &device, &v));
    ck_assert_msg(fl4__variant_get(&v, "groups") == cases[i].groups && fl4__variant_get(&v, "bn") == cases[i].bn,
                  "%s: groups %d bn %d", cases[i].line, fl4__variant_get(&v, "groups"), fl4__variant_get(&v, "bn"));
  }
}
END_TEST

/* Few row tiles: blocks share their keys, if there are enough for each. */
START_TEST(splits_of_fwd_wgmma)
{
  static const struct {
    const char *line;
    int groups, splits;
  } cases[] = {{"hq8sq512d64", 1, 1},
               {"hq8sq512sk1024d64", 1, 2},
               {"hq8sq512sk1023d64", 1, 1},
               {"hq8sq544sk8192d64", 1, 1},
               {"hq1sq64sk100000d128", 1, 32},
               {"hq4sq64sk4096d256", 1, 8},
               {"hq8sq64sk8192d128:causal", 1, 16},
               {"hq4sq4000d64", 2, 1},
               {"hq33sq512d64", 2, 1}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    const fl4__problem p = problem_of(cases[i].line);
    const fl4_device_info device = h200();
    fl4__variant v;
    ck_assert_fl4(fl4__select(NULL, &p, &device, &v));
    ck_assert_msg(
        fl4__variant_get(&v, "groups") == cases[i].groups && fl4__variant_get(&v, "splits") == cases[i].splits,
        "%s: groups %d splits %d", cases[i].line, fl4__variant_get(&v, "groups"), fl4__variant_get(&v, "splits"));
  }
  /* A window bounds the keys. */
  fl4__problem p = problem_of("hq4sq64sk100000d128");
  const fl4_device_info device = h200();
  fl4__variant v;
  p.features = FL4__FEATURE_WINDOW, p.window_left = 2000, p.window_right = 0;
  ck_assert_fl4(fl4__select(NULL, &p, &device, &v));
  ck_assert_int_eq(fl4__variant_get(&v, "splits"), 4);
}
END_TEST

/* Heads are packed where that makes row tiles fewer. */
START_TEST(packs_of_fwd_wgmma)
{
  static const struct {
    const char *line;
    int pack;
  } cases[] = {{"b8hq32hkv8sq16sk4096d128", 4},        {"b8hq32hkv8sq64sk4096d128", 1},
               {"b8hq32hkv8sq65sk4096d128", 4},        {"b8hq32hkv8sq4000sk4096d128", 1},
               {"b8hq28hkv4sq5sk4096d128", 1},         {"b8hq12hkv2sq5sk4096d128", 2},
               {"b8hq128hkv1sq5sk4096d128", 64},       {"b8hq32sq5sk4096d128", 1},
               {"b4hq32hkv8sq300sk300d128:causal", 1}, {"b4hq32hkv8sq70sk300d128:causal", 4}};
  const fl4_device_info device = h200();
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    fl4__problem p = problem_of(cases[i].line);
    fl4__variant forced, v;
    ck_assert_fl4(fl4__variant_parse("fwd_wgmma", &forced));
    ck_assert_fl4(fl4__select(&forced, &p, &device, &v));
    ck_assert_msg(fl4__variant_get(&v, "pack") == cases[i].pack, "%s: pack %d", cases[i].line,
                  fl4__variant_get(&v, "pack"));
    p.features = FL4__FEATURE_ALIBI;
    ck_assert_fl4(fl4__select(&forced, &p, &device, &v));
    ck_assert_int_eq(fl4__variant_get(&v, "pack"), 1);
  }
  fl4__geometry g = geometry_of("b2hq12hkv2sq50sk300d72",
                                "fwd_wgmma:groups=2,bn=48,stages=2,qbuf=1,pingpong=1,sched=1,splits=1,pack=2");
  ck_assert_int_eq(g.tma_heads, 2);
  ck_assert_int_eq(g.row_tiles, 1);
  ck_assert_int_eq(g.blocks, 2 * 6);
}
END_TEST

START_TEST(packs_refused)
{
  const fl4_device_info device = h200();
  fl4__problem p = problem_of("hq12hkv2sq50sk300d64");
  fl4__variant forced, v;
  ck_assert_fl4(fl4__variant_parse("fwd_wgmma:pack=4", &forced));
  ck_assert_fl4_fails(fl4__select(&forced, &p, &device, &v), FL4_UNSUPPORTED,
                      "pack=4 does not divide the 6 query heads of a key head");
  ck_assert_fl4(fl4__variant_parse("fwd_wgmma:pack=2", &forced));
  p.features = FL4__FEATURE_ALIBI;
  ck_assert_fl4_fails(fl4__select(&forced, &p, &device, &v), FL4_UNSUPPORTED, "pack=2: ");
  p.features = 0, p.Sq = INT32_MAX / 2;
  ck_assert_fl4_fails(fl4__select(&forced, &p, &device, &v), FL4_UNSUPPORTED, "pack=2: more than 2^30 rows of heads");
}
END_TEST

static const struct {
  const char *line, *variant, *words;
} refused_splits[] = {
    {"b64hq64sq100sk4000d64", "fwd_wgmma:groups=1,bn=48,splits=2", "splits=2 for more than 4096 warps with rows"},
    {"b30000hq30000sq100sk4000d64", "fwd_wgmma:groups=1,bn=48,splits=2", "more than 2^31 blocks"},
};

START_TEST(too_many_for_splits)
{
  const fl4__problem p = problem_of(refused_splits[_i].line);
  const fl4_device_info device = h200();
  fl4__variant forced, v;
  ck_assert_fl4(fl4__variant_parse(refused_splits[_i].variant, &forced));
  ck_assert_fl4_fails(fl4__select(&forced, &p, &device, &v), FL4_UNSUPPORTED, refused_splits[_i].words);
}
END_TEST

/* A power of two of query heads, whose keys and values are some 32 MB, and no more than there are. */
START_TEST(sections_of_fwd_wgmma)
{
  static const struct {
    const char *line;
    int heads;
  } cases[] = {
      {"b4hq16sq4096d64:causal", 32}, {"b4hq16sq4096d128:causal", 16},     {"b4hq16sq4096d256:causal", 8},
      {"b4hq16sq6000d128:causal", 8}, {"b4hq16sq512d64:causal", 64},       {"b3hq11sq512d64:causal", 32},
      {"hq8sq131072d256:causal", 1},  {"b4hq32hkv8sq4096d128:causal", 64}, {"b4hq32hkv8sq16384d128:causal", 16},
      {"hq1sq64sk1d8:causal", 1},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    ck_assert_msg(geometry_of(cases[i].line, "fwd_wgmma").section_heads == cases[i].heads, "%s: %d", cases[i].line,
                  (int)geometry_of(cases[i].line, "fwd_wgmma").section_heads);
}
END_TEST

/* As many registers as the groups ask for are there, if each thread gets these at the launch. */
START_TEST(registers_of_fwd_wgmma)
{
  static const int pool[] = {0, 240 + 40, 2 * 232 + 40, 3 * 160 + 32, 4 * 112 + 32}; /* wgmma_config.cuh */
  const fl4__family *f = &fl4__family_fwd_wgmma;
  fl4__variant v;
  memset(&v, 0, sizeof v);
  v.family = f;
  for (int groups = 1; groups <= 4; groups++) {
    v.value[0] = groups;
    const int each = f->launch_registers(&v);
    ck_assert_int_ge(each * (groups + 1), pool[groups]);
    ck_assert_int_lt((each - 1) * (groups + 1), pool[groups]);
    ck_assert_int_le((each + 7) / 8 * 8 * 128 * (groups + 1), 65536);
  }
}
END_TEST

static Suite *make_suite(void)
{
  Suite *suite = suite_create("families");
  TCase *c = tcase_create("families");
  tcase_add_test(c, tables_are_well_formed);
  tcase_add_test(c, longest_texts_fit);
  tcase_add_test(c, variants_fit_everywhere);
  tcase_add_test(c, choices_of_fwd_wgmma);
  tcase_add_test(c, others_take_what_fwd_wgmma_does_not);
  tcase_add_test(c, geometry_of_fwd_wgmma);
  tcase_add_test(c, packs_of_fwd_wgmma);
  tcase_add_test(c, packs_refused);
  tcase_add_test(c, even_rounds_of_fwd_wgmma);
  tcase_add_test(c, splits_of_fwd_wgmma);
  tcase_add_loop_test(c, too_many_for_splits, 0, 2);
  tcase_add_test(c, sections_of_fwd_wgmma);
  tcase_add_test(c, registers_of_fwd_wgmma);
  suite_add_tcase(suite, c);
  return suite;
}

FL4_TEST_MAIN(make_suite)

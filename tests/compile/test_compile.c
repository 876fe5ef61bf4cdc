/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The default variants of each family, compiled by NVRTC for the architecture $FL4_TEST_SM: shared memory within the
 * limits of that GPU, code that may run, few spills. No GPU needed.
 */
#include "gpus.h"

/*
 * None where a multiprocessor has 100 KB of shared memory, as on the L4. On the others the fastest variants of fwd_mma that
 * were measured keep some loop variables in memory (docs/kernels.md); of fwd_wgmma those of the thread that copies.
 */
static int most_spills(const fl4__family *family)
{
  if (family == &fl4__family_fwd_wgmma) return 64;
  if (family == &fl4__family_decode_mma) return 0;
  return device.smem_per_sm == 100 * 1024 ? 0 : 256;
}

static void check_default_of(const fl4__family *family, const fl4__problem *p)
{
  fl4__variant forced, v;
  ck_assert_fl4(fl4__variant_parse(family->name, &forced));
  ck_assert_fl4(fl4__select(&forced, p, &device, &v));
  fl4__geometry g;
  v.family->geometry(&v, p, &device, &g);
  ck_assert_int_le(g.smem_bytes, device.smem_per_block);

  fl4__build build;
  fl4__build_from(&v, p, false, &build);
  char text[FL4__MAX_OPTIONS][FL4__OPTION_TEXT], name[FL4__VARIANT_TEXT];
  const char *options[FL4__MAX_OPTIONS];
  const int n = fl4__build_options(&build, text);
  for (int i = 0; i < n; i++) options[i] = text[i];
  fl4__cubin cubin = {0};
  ck_assert_fl4(compile(v.family->source, options, n, &cubin));
  fl4__variant_format(&v, name);
  ck_assert_msg(cubin.resources.spill_bytes <= most_spills(family),
                "%s D=%d mask=%d dtype=%d lse=%d on %s: %d bytes of spills, %d registers", name, (int)p->D, p->mask,
                p->dtype, p->lse, device.isa, cubin.resources.spill_bytes, cubin.resources.registers);
  ck_assert_fl4(fl4__resources_check(name, &cubin.resources, fl4__launch_registers(&v)));
  ck_assert_int_gt(cubin.resources.registers, 32);
  ck_assert_int_le(cubin.resources.registers * g.threads, device.registers_per_sm);
  ck_assert_int_eq(cubin.resources.smem_static, 0);
  fl4__cubin_free(&cubin);
}

static void check_default_lse(int64_t D, int mask, int dtype, int64_t B, int64_t S, bool aligned, bool lse)
{
  fl4__problem p;
  memset(&p, 0, sizeof p);
  p.B = B, p.Hq = 16, p.Hkv = 16, p.Sq = S, p.Sk = S, p.D = D, p.mask = mask, p.dtype = dtype, p.aligned = aligned;
  p.lse = lse;
  FOR_FAMILIES(family)
  if (is_for(family, &p)) check_default_of(family, &p);
}

static void check_default(int64_t D, int mask, int dtype, int64_t B, int64_t S, bool aligned)
{
  check_default_lse(D, mask, dtype, B, S, aligned, false);
}

static const int head_dims[] = {8, 40, 64, 80, 96, 128, 160, 192, 256};
enum { N_HEAD_DIMS = sizeof head_dims / sizeof *head_dims };

START_TEST(large_grid)
{
  check_default(head_dims[_i], FL4_MASK_NONE, FL4_DTYPE_FP16, 4, 4096, true);
  check_default(head_dims[_i], FL4_MASK_CAUSAL, FL4_DTYPE_FP16, 4, 4096, true);
}
END_TEST

/* Fewer rows than a block of the largest kind: the choices for small grids, down to one warp. */
START_TEST(small_grids)
{
  static const int rows[] = {1, 17, 33};
  for (int i = 0; i < 3; i++) check_default(head_dims[_i], i % 2, FL4_DTYPE_BF16, 4, rows[i], true);
  /* Few rows of very many heads. */
  for (int mask = 0; mask < 2; mask++) check_default(head_dims[_i], mask, FL4_DTYPE_FP16, 32, 64, true);
}
END_TEST

START_TEST(unaligned_rows)
{
  check_default(64, FL4_MASK_CAUSAL, FL4_DTYPE_FP16, 4, 1024, false);
  check_default(128, FL4_MASK_NONE, FL4_DTYPE_BF16, 4, 1024, false);
}
END_TEST

START_TEST(bf16)
{
  check_default(128, FL4_MASK_CAUSAL, FL4_DTYPE_BF16, 4, 4096, true);
}
END_TEST

/* With bf16 it has a sum of its own. */
START_TEST(lse)
{
  for (int dtype = FL4_DTYPE_FP16; dtype <= FL4_DTYPE_BF16; dtype++)
    for (int i = 0; i < 3; i++) check_default_lse(64 << i, i % 2, dtype, 4, 4096, true, true);
}
END_TEST

/* Each feature, and those that come together. */
static const int32_t feature_sets[] = {
    FL4__FEATURE_WINDOW,
    FL4__FEATURE_SOFTCAP,
    FL4__FEATURE_ALIBI,
    FL4__FEATURE_SINKS,
    FL4__FEATURE_BIAS,
    FL4__FEATURE_RAGGED_Q,
    FL4__FEATURE_RAGGED_K,
    FL4__FEATURE_USED_K,
    FL4__FEATURE_PAGED,
    FL4__FEATURE_WINDOW | FL4__FEATURE_SOFTCAP,
    FL4__FEATURE_PAGED | FL4__FEATURE_USED_K,
    FL4__FEATURE_RAGGED_Q | FL4__FEATURE_RAGGED_K,
};
enum { N_FEATURE_SETS = sizeof feature_sets / sizeof *feature_sets };

/*
 * Grids of each size, and blocks that share keys; a bias of each type in turn. All of them where nothing may spill; elsewhere each
 * head dimension with one size, another for each set.
 */
START_TEST(features)
{
  static const int rows[] = {4096, 64, 1};
  const bool all = most_spills(&fl4__family_fwd_mma) == 0;
  for (int i = 0; i < 9; i++) {
    if (!all && (i / 3 + i + _i) % 3) continue;
    fl4__problem p;
    memset(&p, 0, sizeof p);
    p.B = i % 3 == 2 ? 1 : 4, p.Hq = p.Hkv = 16, p.Sq = p.total_q = rows[i % 3], p.Sk = 4096, p.D = 64 << i / 3;
    p.dtype = i % 2 ? FL4_DTYPE_FP16 : FL4_DTYPE_BF16, p.lse = p.aligned = true;
    p.features = feature_sets[_i], p.window_left = 1000, p.bias_type = i % 4, p.page_size = 16;
    if (i % 3 == 0 && !(p.features & FL4__FEATURE_WINDOW)) p.mask = FL4_MASK_CAUSAL;
    check_default_of(&fl4__family_fwd_mma, &p);
  }
}
END_TEST

/* Tiles by lists, with each mask. */
START_TEST(listed_tiles)
{
  for (int i = 0; i < 6; i++) {
    fl4__problem p;
    memset(&p, 0, sizeof p);
    p.B = 4, p.Hq = p.Hkv = 16, p.Sq = i % 3 == 2 ? 64 : 4096, p.Sk = 4096, p.D = 64 << _i, p.aligned = 1,
    p.lse = i / 3;
    p.dtype = i % 2 ? FL4_DTYPE_FP16 : FL4_DTYPE_BF16, p.skips = 1, p.window_left = 1000;
    p.features = FL4__FEATURE_BIAS | (i % 3 == 1 ? FL4__FEATURE_WINDOW : 0), p.bias_type = FL4_BIAS_BOOL;
    if (i % 3 == 0) p.mask = FL4_MASK_CAUSAL;
    if (i == 2) p.features |= FL4__FEATURE_USED_K | FL4__FEATURE_PAGED, p.page_size = 16;
    check_default_of(&fl4__family_fwd_mma, &p);
    if (is_for(&fl4__family_fwd_wgmma, &p)) check_default_of(&fl4__family_fwd_wgmma, &p);
  }
}
END_TEST

/* Queries so few that their family is one of its own: blocks of 8 to 32 rows, and what keys there are told in other ways. */
START_TEST(few_queries)
{
  enum {
    PAGES = FL4__FEATURE_PAGED | FL4__FEATURE_USED_K,
    RAGGED = FL4__FEATURE_RAGGED_Q | FL4__FEATURE_RAGGED_K | FL4__FEATURE_SINKS,
    SCORES = FL4__FEATURE_WINDOW | FL4__FEATURE_SOFTCAP | FL4__FEATURE_ALIBI | PAGES
  };
  static const struct {
    int64_t B, Hq, Sq;
    int features;
  } cases[] = {{1, 8, 1, 0},       {64, 8, 1, PAGES},   {64, 32, 4, 0},
               {64, 32, 8, PAGES}, {64, 32, 8, RAGGED}, {64, 32, 8, SCORES}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    fl4__problem p;
    memset(&p, 0, sizeof p);
    p.B = cases[i].B, p.Hq = cases[i].Hq, p.Hkv = 8, p.Sq = cases[i].Sq, p.Sk = 4096, p.D = head_dims[_i];
    p.dtype = i % 2 ? FL4_DTYPE_BF16 : FL4_DTYPE_FP16, p.aligned = 1, p.lse = i % 2, p.features = cases[i].features;
    p.mask = cases[i].features & FL4__FEATURE_WINDOW || i == 0 ? FL4_MASK_NONE : FL4_MASK_CAUSAL;
    p.page_size = 16, p.total_q = p.total_k = 1 << 16;
    if (is_for(&fl4__family_decode_mma, &p)) check_default_of(&fl4__family_decode_mma, &p);
  }
}
END_TEST

/* Debug kernels may spill, but they must compile. */
START_TEST(debug_build)
{
  static const char *const options[] = {"-DFL4_D=64", "-DFL4_DEBUG=1", "-DFL4_CAUSAL=1"};
  fl4__cubin cubin = {0};
  const fl4__problem aligned = {.B = 1, .Hq = 1, .Hkv = 1, .Sq = 1, .D = 64, .aligned = 1};
  FOR_FAMILIES(family)
  if (is_for(family, &aligned)) {
    ck_assert_fl4(compile(family->source, options, 3, &cubin));
    fl4__cubin_free(&cubin);
  }
}
END_TEST

START_TEST(oracle)
{
  static const char *const options[] = {"-DFL4_BF16=0", "-DFL4_BF16=1"};
  for (int i = 0; i < 2; i++) {
    fl4__cubin cubin = {0};
    ck_assert_fl4(compile("oracle.cu", &options[i], 1, &cubin));
    fl4__cubin_free(&cubin);
  }
}
END_TEST

/* Instructions of a cubin by their opcode: the low 12 bits of each 16 bytes. */
static int count_opcode(const fl4__cubin *cubin, unsigned opcode)
{
  int n = 0;
  for (size_t at = 0; at + 16 <= cubin->size; at += 16) {
    uint16_t low;
    memcpy(&low, (const char *)cubin->data + at, sizeof low);
    n += (low & 0xfff) == opcode;
  }
  return n;
}

/* What measures the machine: nothing is spilled, and the work has not been optimised away. */
START_TEST(limits_and_timer)
{
  enum { HMMA = 0x23c, LDG = 0x981 };
  static const char *const options[] = {"-DFL4_BF16=0"};
  fl4__cubin cubin = {0};
  ck_assert_fl4(compile("limits.cu", options, 1, &cubin));
  ck_assert_int_eq(cubin.resources.spill_bytes, 0);
  ck_assert_int_le(cubin.resources.registers, 128);
  ck_assert_int_ge(count_opcode(&cubin, HMMA), 16);
  ck_assert_int_eq(count_opcode(&cubin, HMMA) % 16, 0);
  ck_assert_int_ge(count_opcode(&cubin, LDG), 8);
  fl4__cubin_free(&cubin);
  ck_assert_fl4(compile("timer.cu", NULL, 0, &cubin));
  ck_assert_int_eq(cubin.resources.spill_bytes, 0);
  ck_assert_int_eq(count_opcode(&cubin, LDG), 1); /* of the gate */
  fl4__cubin_free(&cubin);
}
END_TEST

/* What stands beside attention waits for memory: no spills, and registers for three or four blocks of 256 threads at a time; for two
 * of the lists, whose lanes have 16 pieces on their way. */
START_TEST(beside_attention)
{
  char text[4][32];
  const char *options[4] = {text[0], text[1], text[2], text[3]};
  fl4__cubin cubin = {0};
  for (int i = 0; i < 28; i++) {
    const bool merge = i < 16;
    const int a = merge ? i : i - 16;
    snprintf(text[0], 32, "-DFL4_BF16=%d", a % 2);
    snprintf(text[1], 32, "-DFL4_ALIGNED=%d", a / 2 % 2);
    snprintf(text[2], 32, merge ? "-DFL4_PARTS_FP32=%d" : "-DFL4_ROTARY=%d", merge ? a / 4 % 2 : a / 4);
    snprintf(text[3], 32, "-DFL4_OUT_FP32=%d", a / 8 % 2);
    ck_assert_fl4(compile(merge ? "merge_states.cu" : "kv_append.cu", options, merge ? 4 : 3, &cubin));
    ck_assert_msg(cubin.resources.spill_bytes == 0 && cubin.resources.registers <= (merge ? 64 : 80),
                  "%s %s %s: %d registers, %d bytes of spills", text[0], text[1], text[2], cubin.resources.registers,
                  cubin.resources.spill_bytes);
    fl4__cubin_free(&cubin);
  }
  for (int i = 0; i < 6; i++) {
    strcpy(text[0], "-DFL4_D=8");
    snprintf(text[1], 32, "-DFL4_CAUSAL=%d", i % 3 == 1);
    snprintf(text[2], 32, "-DFL4_WINDOW=%d", i % 3 == 2);
    snprintf(text[3], 32, "-DFL4_USED_K=%d", i / 3);
    ck_assert_fl4(compile("mask_tiles.cu", options, 4, &cubin));
    ck_assert_msg(cubin.resources.spill_bytes == 0 && cubin.resources.registers <= 112, "%s %s: %d registers, %d bytes",
                  text[1], text[2], cubin.resources.registers, cubin.resources.spill_bytes);
    fl4__cubin_free(&cubin);
  }
}
END_TEST

enum { N_BAD = 25 };

/* A configuration that the table does not allow is refused by the kernel itself, by name. */
START_TEST(bad_configuration)
{
  static const struct {
    const char *source, *options[2], *says;
  } bad[] = {
      {"fwd_mma.cu", {"-DFL4_D=12", "-DFL4_BN=64"}, "FL4_D:"},
      {"fwd_mma.cu", {"-DFL4_D=64", "-DFL4_BN=272"}, "FL4_BN:"},
      {"fwd_mma.cu", {"-DFL4_D=64", "-DFL4_BN=24"}, "FL4_SLICE:"},
      {"fwd_mma.cu", {"-DFL4_D=64", "-DFL4_SLICE=48"}, "FL4_SLICE:"},
      {"fwd_mma.cu", {"-DFL4_D=64", "-DFL4_BM=48"}, "FL4_BM:"},
      {"fwd_mma.cu", {"-DFL4_D=64", "-DFL4_STAGES=1"}, "FL4_STAGES:"},
      {"fwd_mma.cu", {"-DFL4_D=64", "-DFL4_WEAVE=1"}, "FL4_WEAVE:"},
      {"fwd_mma.cu", {"-DFL4_D=64", "-DFL4_KGROUPS=3"}, "FL4_KGROUPS:"},
      {"fwd_mma.cu", {"-DFL4_D=64", "-DFL4_SPLITS=0"}, "FL4_SPLITS:"},
      {"fwd_mma.cu", {"-DFL4_BN=64", "-DFL4_BM=64"}, "FL4_D:"},
      {"fwd_wgmma.cu", {"-DFL4_D=12", "-DFL4_BN=64"}, "FL4_D:"},
      {"fwd_wgmma.cu", {"-DFL4_D=64", "-DFL4_GROUPS=5"}, "FL4_GROUPS:"},
      {"fwd_wgmma.cu", {"-DFL4_D=64", "-DFL4_BN=24"}, "FL4_BN:"},
      {"fwd_wgmma.cu", {"-DFL4_D=64", "-DFL4_STAGES=1"}, "FL4_STAGES:"},
      {"fwd_wgmma.cu", {"-DFL4_D=64", "-DFL4_QBUF=3"}, "FL4_QBUF:"},
      {"fwd_wgmma.cu", {"-DFL4_D=64", "-DFL4_SCHED=3"}, "FL4_SCHED:"},
      {"fwd_wgmma.cu", {"-DFL4_D=64", "-DFL4_ALIGNED=0"}, "FL4_ALIGNED:"},
      {"fwd_mma.cu", {"-DFL4_D=64", "-DFL4_SKIP=1"}, "FL4_SKIP:"},
      {"decode_mma.cu", {"-DFL4_D=72", "-DFL4_ROWS=8"}, "FL4_D:"},
      {"decode_mma.cu", {"-DFL4_D=64", "-DFL4_ALIGNED=0"}, "FL4_ALIGNED:"},
      {"decode_mma.cu", {"-DFL4_D=64", "-DFL4_BIAS=1"}, "FL4_BIAS:"},
      {"decode_mma.cu", {"-DFL4_D=64", "-DFL4_WARPS=3"}, "FL4_WARPS:"},
      {"decode_mma.cu", {"-DFL4_D=64", "-DFL4_STAGES=9"}, "FL4_STAGES:"},
      {"decode_mma.cu", {"-DFL4_D=64", "-DFL4_KEYS=8"}, "FL4_KEYS:"},
      {"decode_mma.cu", {"-DFL4_D=64", "-DFL4_ROWS=24"}, "FL4_ROWS:"},
  };
  ck_assert_int_eq(sizeof bad / sizeof *bad, N_BAD);
  fl4__cubin cubin = {0};
  ck_assert_fl4_fails(compile(bad[_i].source, bad[_i].options, 2, &cubin), FL4_COMPILE_FAILED, bad[_i].says);
}
END_TEST

static Suite *suite(void)
{
  Suite *s = suite_create("compile");
  TCase *defaults = tcase_create("defaults");
  tcase_set_timeout(defaults, 120);
  tcase_add_unchecked_fixture(defaults, find_device, NULL);
  tcase_add_loop_test(defaults, large_grid, 0, N_HEAD_DIMS);
  tcase_add_loop_test(defaults, small_grids, 0, N_HEAD_DIMS);
  tcase_add_test(defaults, unaligned_rows);
  tcase_add_test(defaults, bf16);
  tcase_add_test(defaults, lse);
  tcase_add_loop_test(defaults, features, 0, N_FEATURE_SETS);
  tcase_add_loop_test(defaults, listed_tiles, 0, 3);
  tcase_add_test(defaults, debug_build);
  tcase_add_test(defaults, oracle);
  tcase_add_test(defaults, limits_and_timer);
  tcase_add_loop_test(defaults, bad_configuration, 0, N_BAD);
  suite_add_tcase(s, defaults);
  TCase *beside = tcase_create("beside");
  tcase_set_timeout(beside, 120);
  tcase_add_unchecked_fixture(beside, find_device, NULL);
  tcase_add_test(beside, beside_attention);
  suite_add_tcase(s, beside);
  TCase *few = tcase_create("few queries");
  tcase_set_timeout(few, 120);
  tcase_add_unchecked_fixture(few, find_device, NULL);
  tcase_add_loop_test(few, few_queries, 0, N_HEAD_DIMS);
  suite_add_tcase(s, few);
  return s;
}

FL4_TEST_MAIN(suite)

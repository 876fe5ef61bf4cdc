/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parameter space of each GPU family for the architecture $FL4_TEST_SM, without a GPU. Combinations of the
 * table are drawn, since there are too many to look at each for each problem: what refuses them is counted.
 * A few of those that claim to be valid are compiled, and must have the resources that their family
 * computes. $FL4_TEST_SAMPLES is the number of the latter, $FL4_TEST_SEED what both are drawn by.
 */
#include "gpus.h"

enum {
  DEFAULT_SAMPLES = 60, /* of some 0.7 s of one core each */
  DEFAULT_SEED = 3,
  DRAWS = 10000, /* of combinations of the table, for each problem */
  DRAWS_UNTIL_VALID = 1 << 23,
  SYSTEM_SMEM = 1024, /* that the driver takes of each block's shared memory, from sm_80 on */
};

/*
 * Bytes of spill stores and loads in a thread's unrolled code. None where a multiprocessor has 100 KB of shared
 * memory, as on the L4. Elsewhere 32 registers put away and fetched once, an eighth of all: the larger tiles that
 * fit there come nearer to the limit than fwd_mma's registers_needed() can tell. Of fwd_wgmma few, for they are in its loop.
 */
static int most_spills(const fl4__family *family)
{
  if (family == &fl4__family_fwd_wgmma) return 64;
  if (family == &fl4__family_decode_mma) return 0;
  return device.smem_per_sm == 100 * 1024 ? 0 : 512;
}

/* All classes of 16, and some that are filled up with 8 zeros. */
static const int head_dims[] = {16,  32,  48,  64,  80,  96, 112, 128, 144, 160, 176,
                                192, 208, 224, 240, 256, 8,  40,  120, 200, 248};
enum { N_HEAD_DIMS = sizeof head_dims / sizeof *head_dims };

static int setting(const char *name, int otherwise)
{
  const char *text = getenv(name);
  return text && *text ? atoi(text) : otherwise;
}

enum { KINDS = 16 };

/*
 * D, and in `kind` a bit each: causal, bf16, rows not aligned, LSE. Few enough rows for blocks that share them,
 * and enough for any block.
 */
static fl4__problem problem_of(int D, int kind)
{
  fl4__problem p;
  memset(&p, 0, sizeof p);
  p.B = 1, p.Hq = 16, p.Hkv = 16, p.Sq = 4096, p.Sk = 4096, p.D = D;
  p.mask = kind & 1 ? FL4_MASK_CAUSAL : FL4_MASK_NONE;
  p.dtype = kind & 2 ? FL4_DTYPE_BF16 : FL4_DTYPE_FP16;
  p.aligned = !(kind & 4);
  p.lse = (kind & 8) != 0;
  return p;
}

/* The same with as few queries as a family is for. */
static fl4__problem problem_for(const fl4__family *family, int D, int kind)
{
  fl4__problem p = problem_of(D, kind);
  if (family->is_for) p.B = 16, p.Hq = 64, p.Sq = 4;
  if (family == &fl4__family_fwd_wgmma) p.Hq = 64, p.Hkv = 1; /* of which any number can be packed */
  return p;
}

/* A number below n, the same for the same seed anywhere (SplitMix64). */
static uint32_t draw(uint64_t *state, uint32_t n)
{
  uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
  z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
  z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
  return (uint32_t)((z ^ z >> 31) % n);
}

/* Any combination, all being as likely. */
static fl4__variant draw_point(const fl4__family *family, uint64_t *state)
{
  fl4__variant v;
  memset(&v, 0, sizeof v);
  v.family = family;
  for (int i = 0; i < family->n_params; i++)
    v.value[i] = family->params[i].values[draw(state, (uint32_t)family->params[i].n_values)];
  return v;
}

/* What is drawn for a test: the same whatever others draw. */
static uint64_t seed_of(int test)
{
  return (uint64_t)setting("FL4_TEST_SEED", DEFAULT_SEED) << 32 | (uint64_t)device.sm << 20 | (uint64_t)test;
}

/* Reasons to refuse, with # for each number, and how often they came. */
enum { MOST_REASONS = 24 };

static struct reasons {
  char text[MOST_REASONS][160];
  int count[MOST_REASONS], n;
} reasons;

static void without_numbers(const char *from, char to[160])
{
  size_t n = 0;
  while (*from && n < 159) {
    const size_t digits = strspn(from, "0123456789");
    to[n++] = digits ? '#' : *from;
    from += digits ? digits : 1;
  }
  to[n] = '\0';
}

static void count_reason(const char *why)
{
  char text[160];
  without_numbers(why, text);
  int i = 0;
  while (i < reasons.n && strcmp(reasons.text[i], text) != 0) i++;
  ck_assert_int_lt(i, MOST_REASONS);
  if (i == reasons.n) strcpy(reasons.text[reasons.n++], text);
  reasons.count[i]++;
}

#define WGMMA(groups, bn, stages, qbuf, sched)                                                                         \
  "fwd_wgmma:groups=" #groups ",bn=" #bn ",stages=" #stages ",qbuf=" #qbuf ",pingpong=0,sched=" #sched
#define MMA(bm, bn, warps, stages, qreg, slice, weave, kgroups, splits, ctas)                                          \
  "fwd_mma:bm=" #bm ",bn=" #bn ",warps=" #warps ",stages=" #stages ",qreg=" #qreg ",slice=" #slice ",weave=" #weave    \
  ",kgroups=" #kgroups ",splits=" #splits ",ctas=" #ctas

#define SHARE(bm, warps, qreg, slice)                                                                                  \
  "fwd_mma:bm=" #bm ",bn=64,warps=" #warps ",stages=2,qreg=" #qreg ",slice=" #slice                                    \
  ",weave=0,kgroups=1,share=1,splits=1,ctas=1"

/* Reasons that a point can be refused for, and a point for each. */
static const struct {
  const char *words, *variant;
  int D, sm, smem_per_sm, dtype;
  int64_t B, Sq;
} refusals[] = {
    {"GPU kernels take fp16", "fwd_mma", 64, 90, 0, FL4_DTYPE_FP32, 1, 64},
    {"the GPU is sm_75", "fwd_mma", 64, 75, 0, FL4_DTYPE_FP16, 1, 64},
    {"warps=2 cannot be kgroups=4 groups", MMA(64, 64, 2, 2, 1, 64, 0, 4, 1, 1), 64, 90, 0, FL4_DTYPE_FP16, 1, 64},
    {"over 1 warps is 64 rows a warp", MMA(64, 64, 1, 2, 1, 64, 0, 1, 1, 1), 64, 90, 0, FL4_DTYPE_FP16, 1, 64},
    {"over 2 warps is 8 rows a warp", MMA(16, 64, 4, 2, 1, 32, 0, 2, 1, 1), 64, 90, 0, FL4_DTYPE_FP16, 1, 64},
    {"bn=48 is not a multiple of kgroups=1 times slice=32", MMA(64, 48, 4, 2, 1, 32, 0, 1, 1, 1), 64, 90, 0,
     FL4_DTYPE_FP16, 1, 64},
    {"bn=64 is not a multiple of kgroups=4 times slice=32", MMA(16, 64, 4, 2, 1, 32, 0, 4, 1, 1), 64, 90, 0,
     FL4_DTYPE_FP16, 1, 64},
    {"share=1 goes with qreg=0, weave=0, kgroups=1 and splits=1", SHARE(64, 4, 1, 32), 128, 90, 0, FL4_DTYPE_FP16, 1,
     64},
    {"share=1 needs bm=64 for each 4 warps, not bm=128 for 4", SHARE(128, 4, 0, 32), 128, 90, 0, FL4_DTYPE_FP16, 1, 64},
    {"share=1 needs slice=32, half of bn, not 64", SHARE(64, 4, 0, 64), 128, 90, 0, FL4_DTYPE_FP16, 1, 64},
    {"share=1 needs D up to a multiple of 64, not 96", SHARE(64, 4, 0, 32), 96, 90, 0, FL4_DTYPE_FP16, 1, 64},
    {"weave=1 needs an even number of slices, bn=96 has 3", MMA(64, 96, 4, 2, 1, 32, 1, 1, 1, 1), 64, 90, 0,
     FL4_DTYPE_FP16, 1, 64},
    {"128 copies of a tile for each thread of warps=1, at most 16", MMA(16, 128, 1, 2, 1, 16, 0, 1, 1, 1), 256, 90, 0,
     FL4_DTYPE_FP16, 1, 64},
    {"bytes of shared memory, a block may have", MMA(128, 128, 8, 4, 0, 32, 0, 1, 1, 1), 256, 90, 0, FL4_DTYPE_FP16, 1,
     64},
    {"bytes of shared memory do not fit", MMA(64, 64, 4, 2, 0, 16, 0, 1, 1, 4), 256, 90, 0, FL4_DTYPE_FP16, 1, 64},
    {"registers a thread, may have", MMA(64, 64, 4, 2, 0, 64, 0, 1, 1, 4), 128, 90, 1 << 20, FL4_DTYPE_FP16, 1, 64},
    {"more than 2^31 blocks", MMA(16, 64, 1, 2, 1, 16, 0, 1, 1, 1), 64, 90, 0, FL4_DTYPE_FP16, 1 << 20, 1 << 20},
    {"splits=2 for more than 4096 warps with rows", MMA(64, 64, 4, 2, 1, 16, 0, 1, 2, 1), 64, 90, 0, FL4_DTYPE_FP16, 1,
     1 << 17},
    {"GPU kernels take fp16", "fwd_wgmma", 64, 90, 0, FL4_DTYPE_FP32, 1, 64},
    {"the GPU is sm_100, needed is sm_90", "fwd_wgmma", 64, 100, 0, FL4_DTYPE_FP16, 1, 64},
    {"the GPU is sm_89, needed is sm_90", "fwd_wgmma", 64, 89, 0, FL4_DTYPE_FP16, 1, 64},
    {"bytes of shared memory, a block may have", WGMMA(2, 128, 2, 2, 1), 192, 90, 0, FL4_DTYPE_FP16, 1, 64},
    {"registers a thread, may have", WGMMA(4, 128, 2, 1, 1), 64, 90, 0, FL4_DTYPE_FP16, 1, 64},
    {"bytes of shared memory, a block may have", "decode_mma:warps=8,stages=6,keys=32,rows=8", 128, 90, 0,
     FL4_DTYPE_FP16, 1, 4},
    {"registers a thread, may have 255", "decode_mma:warps=1,stages=1,keys=16,rows=32", 256, 90, 0, FL4_DTYPE_FP16, 1,
     4},
    {"pack=2 does not divide the 1 query heads of a key head", "fwd_wgmma:pack=2", 64, 90, 0, FL4_DTYPE_FP16, 1, 64},
    {"splits=2 for more than 4096 warps with rows", "fwd_wgmma:groups=1,splits=2,pack=1", 64, 90, 0, FL4_DTYPE_FP16, 1,
     1 << 17},
    {"more than 2^31 blocks", WGMMA(1, 64, 2, 1, 1), 64, 90, 0, FL4_DTYPE_FP16, 1 << 20, 1 << 20},
};
enum { N_REFUSALS = sizeof refusals / sizeof *refusals };

START_TEST(refusal)
{
  fl4__problem p = problem_of(refusals[_i].D, 0);
  p.dtype = refusals[_i].dtype, p.B = refusals[_i].B, p.Sq = refusals[_i].Sq;
  fl4_device_info gpu = gpu_of(90);
  gpu.sm = refusals[_i].sm;
  if (refusals[_i].smem_per_sm) gpu.smem_per_sm = refusals[_i].smem_per_sm;
  fl4__variant forced, v;
  ck_assert_fl4(fl4__variant_parse(refusals[_i].variant, &forced));
  ck_assert_fl4_fails(fl4__select(&forced, &p, &gpu, &v), FL4_UNSUPPORTED, refusals[_i].words);
}
END_TEST

/* Of the problem, whatever the variant. */
START_TEST(refused_problems)
{
  static const char *const words[] = {"rows are not aligned", "there are no keys"};
  const fl4_device_info gpu = gpu_of(90);
  for (int i = 0; i < 2; i++) {
    fl4__problem p = problem_of(64, i == 0 ? 4 : 0);
    if (i == 1) p.Sk = 0;
    fl4__variant forced, v;
    ck_assert_fl4(fl4__variant_parse("fwd_wgmma", &forced));
    ck_assert_fl4_fails(fl4__select(&forced, &p, &gpu, &v), FL4_UNSUPPORTED, words[i]);
  }
}
END_TEST

/* The family's choice for any number of rows and heads: a point of the table, and not refused. */
static void check_choices(const fl4__family *family, int D, int kind)
{
  static const int rows[] = {0, 1, 16, 33, 64, 100, 512, 4096}, batches[] = {1, 3, 64};
  for (int i = 0; i < 8 * 3; i++) {
    fl4__problem p = problem_for(family, D, kind);
    p.Sq = rows[i % 8], p.B = batches[i / 8];
    if (!is_for(family, &p)) continue;
    fl4__variant v;
    memset(&v, 0, sizeof v);
    v.family = family;
    family->choose(&v, &p, &device);
    char why[160] = "", name[FL4__VARIANT_TEXT];
    const char *reason = family->refuse(&v, &p, &device, why);
    fl4__variant_format(&v, name);
    ck_assert_msg(!reason, "%s: %s is chosen for D=%d kind=%d Sq=%d B=%d, and refused: %s", device.isa, name, D, kind,
                  (int)p.Sq, (int)p.B, reason);
    fl4__variant parsed; /* takes values of the table only */
    ck_assert_fl4(fl4__variant_parse(name, &parsed));
    ck_assert_mem_eq(v.value, parsed.value, sizeof v.value);
  }
}

/* Draws until a point is valid. It has params[wanted / 16] at its value number wanted % 16, or any if `wanted` < 0. */
static bool draw_valid(const fl4__family *family, const fl4__problem *p, int wanted, uint64_t *state, fl4__variant *v)
{
  char why[160];
  for (int i = 0; i < DRAWS_UNTIL_VALID; i++) {
    *v = draw_point(family, state);
    if (wanted >= 0) v->value[wanted / 16] = family->params[wanted / 16].values[wanted % 16];
    if (!family->refuse(v, p, &device, why)) return true;
  }
  return false;
}

START_TEST(table)
{
  FOR_FAMILIES(family)
  {
    int valid = 0, all = 0;
    uint64_t state = seed_of(0);
    memset(&reasons, 0, sizeof reasons);
    for (int d = 0; d < N_HEAD_DIMS; d++)
      for (int kind = 0; kind < KINDS; kind++) {
        const fl4__problem p = problem_for(family, head_dims[d], kind);
        if (!is_for(family, &p)) continue;
        const int before = valid;
        for (int i = 0; i < DRAWS; i++, all++) {
          const fl4__variant v = draw_point(family, &state);
          char why[160] = "";
          const char *reason = family->refuse(&v, &p, &device, why);
          if (reason) count_reason(reason);
          valid += !reason;
        }
        fl4__variant rare; /* few are valid where the head dimension is large and the shared memory small */
        ck_assert_msg(valid > before || draw_valid(family, &p, -1, &state, &rare),
                      "%s: no point of %s that was drawn is valid for D=%d kind=%d", device.isa, family->name,
                      head_dims[d], kind);
        check_choices(family, head_dims[d], kind);
      }
    fprintf(stderr, "%s on %s: %d of %d points are valid; refused are\n", family->name, device.isa, valid, all);
    for (int i = 0; i < reasons.n; i++) {
      fprintf(stderr, "%9d  %s\n", reasons.count[i], reasons.text[i]);
      bool known = false;
      for (int k = 0; k < N_REFUSALS; k++) {
        char words[160];
        without_numbers(refusals[k].words, words);
        known |= strstr(reasons.text[i], words) != NULL;
      }
      ck_assert_msg(known, "\"%s\" has no case in refusals[]", reasons.text[i]);
    }
  }
}
END_TEST

/* The parameter and value that a sample must have, in turn, so that none is left to luck. */
static int wanted_of(const fl4__family *family, int sample)
{
  int n = 0;
  for (int i = 0; i < family->n_params; i++) n += family->params[i].n_values;
  int i = 0;
  for (sample %= n; sample >= family->params[i].n_values; i++) sample -= family->params[i].n_values;
  return 16 * i + sample;
}

/* Compiles a point, and compares what it takes with what its family says and the GPU has. */
static void check_resources(const fl4__variant *v, const fl4__problem *p)
{
  fl4__geometry g;
  v->family->geometry(v, p, &device, &g);
  fl4__build build;
  fl4__build_from(v, p, false, &build);
  char text[FL4__MAX_OPTIONS][FL4__OPTION_TEXT], line[160 + FL4__MAX_OPTIONS * FL4__OPTION_TEXT] = "";
  const char *options[FL4__MAX_OPTIONS];
  char arch[16];
  fl4__nvrtc_arch(device.sm, arch);
  int n = fl4__build_options(&build, text);
  ck_assert_int_lt(n, FL4__MAX_OPTIONS);
  snprintf(text[n++], FL4__OPTION_TEXT, "-DFL4_EXPECT_SMEM=%d", (int)g.smem_bytes);
  int length = snprintf(line, sizeof line, "nvcc -cubin -std=c++17 -Xptxas -v -arch=%s", arch);
  for (int i = 0; i < n; i++) {
    options[i] = text[i];
    length += snprintf(line + length, sizeof line - (size_t)length, " %s", text[i]);
  }
  snprintf(line + length, sizeof line - (size_t)length, " kernels/%s", v->family->source);

  fl4__cubin cubin = {0};
  const fl4_status status = compile(v->family->source, options, n, &cubin);
  ck_assert_msg(status == FL4_OK, "%s\n%s", line, fl4_last_error());
  const fl4__resources r = cubin.resources;
  fl4__cubin_free(&cubin);
  const int ctas = fl4__variant_get(v, "ctas") ? fl4__variant_get(v, "ctas") : 1;
  const int registers = (r.registers + 7) / 8 * 8 * g.threads * ctas, smem = r.smem_static + g.smem_bytes;
  ck_assert_msg(r.registers > 0 && registers <= device.registers_per_sm, "%s\n%d registers of %d threads, %d blocks",
                line, r.registers, (int)g.threads, ctas);
  ck_assert_msg(smem <= device.smem_per_block && ctas * (smem + SYSTEM_SMEM) <= device.smem_per_sm,
                "%s\n%d bytes of shared memory, %d blocks", line, smem, ctas);
  ck_assert_msg(r.spill_bytes <= most_spills(v->family), "%s\n%d bytes of spills, %d registers; may have %d bytes",
                line, r.spill_bytes, r.registers, most_spills(v->family));
  ck_assert_fl4(fl4__resources_check(line, &r, fl4__launch_registers(v)));
}

/* Each head dimension and each value of each parameter comes in turn; the rest is drawn, from all that is valid. */
START_TEST(sample)
{
  FOR_FAMILIES(family)
  {
    uint64_t state = seed_of(1 + _i);
    fl4__problem p = problem_for(family, head_dims[_i % N_HEAD_DIMS], (int)draw(&state, KINDS));
    if (!is_for(family, &p)) p.aligned = 1;
    if (!is_for(family, &p)) continue;
    fl4__variant v;
    /* There may be no such value for this head dimension. */
    ck_assert(draw_valid(family, &p, wanted_of(family, _i), &state, &v) || draw_valid(family, &p, -1, &state, &v));
    check_resources(&v, &p);
  }
}
END_TEST

/* The kernel knows its shared memory: a host that computes another size does not get one. */
START_TEST(kernel_knows_its_smem)
{
  static const char *const options[] = {"-DFL4_D=64", "-DFL4_BM=64", "-DFL4_BN=64", "-DFL4_EXPECT_SMEM=40960",
                                        "-DFL4_EXPECT_SMEM=40944"};
  fl4__cubin cubin = {0};
  ck_assert_fl4(compile("fwd_mma.cu", options, 4, &cubin)); /* two stages of two tiles of 64 rows, and Q */
  fl4__cubin_free(&cubin);
  const char *const other[] = {options[0], options[1], options[2], options[4]};
  ck_assert_fl4_fails(compile("fwd_mma.cu", other, 4, &cubin), FL4_COMPILE_FAILED, "FL4_EXPECT_SMEM");
  static const char *const decode[] = {"-DFL4_D=64",    "-DFL4_WARPS=2",          "-DFL4_STAGES=1",
                                       "-DFL4_KEYS=16", "-DFL4_EXPECT_SMEM=9216", "-DFL4_EXPECT_SMEM=9232"};
  ck_assert_fl4(compile("decode_mma.cu", decode, 5, &cubin)); /* a step of two warps, and Q */
  fl4__cubin_free(&cubin);
  const char *const larger[] = {decode[0], decode[1], decode[2], decode[3], decode[5]};
  ck_assert_fl4_fails(compile("decode_mma.cu", larger, 5, &cubin), FL4_COMPILE_FAILED, "FL4_EXPECT_SMEM");
  /* Three groups' query tiles, two stages of keys and values, and the barriers: checked before it is assembled. */
  static const char *const wgmma[] = {"-DFL4_D=64", "-DFL4_GROUPS=3", "-DFL4_QBUF=1", "-DFL4_BN=64",
                                      "-DFL4_EXPECT_SMEM=58367"};
  ck_assert_fl4_fails(compile("fwd_wgmma.cu", wgmma, 5, &cubin), FL4_COMPILE_FAILED, "FL4_EXPECT_SMEM");
}
END_TEST

static Suite *suite(void)
{
  const int samples = setting("FL4_TEST_SAMPLES", DEFAULT_SAMPLES);
  fprintf(stderr, "FL4_TEST_SM=%d FL4_TEST_SEED=%d FL4_TEST_SAMPLES=%d\n", setting("FL4_TEST_SM", 89),
          setting("FL4_TEST_SEED", DEFAULT_SEED), samples);
  Suite *s = suite_create("space");
  TCase *t = tcase_create("table");
  tcase_set_timeout(t, 120);
  tcase_add_unchecked_fixture(t, find_device, NULL);
  tcase_add_loop_test(t, refusal, 0, N_REFUSALS);
  tcase_add_test(t, refused_problems);
  tcase_add_test(t, table);
  tcase_add_test(t, kernel_knows_its_smem);
  tcase_add_loop_test(t, sample, 0, samples);
  suite_add_tcase(s, t);
  return s;
}

FL4_TEST_MAIN(suite)

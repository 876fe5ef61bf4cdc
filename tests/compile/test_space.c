/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The whole parameter space of each GPU family for the architecture $FL4_TEST_SM, without a GPU. Which
 * points claim to be valid is counted; a sample of them is compiled, and must have the resources that
 * its family computes. $FL4_TEST_SAMPLES is the size of the sample, $FL4_TEST_SEED what it is drawn by.
 */
#include "gpus.h"

enum {
  DEFAULT_SAMPLES = 60, /* of some 0.7 s of one core each */
  DEFAULT_SEED = 3,
  SYSTEM_SMEM = 1024, /* that the driver takes of each block's shared memory, from sm_80 on */
  /*
   * Bytes of spill stores and loads in a thread's unrolled code: 32 registers put away and fetched once, an
   * eighth of all. Chosen after 900 valid points drawn by seed 7 (worst 236; 160 had been the bound, which
   * five of them broke) and before 900 others drawn by seed 11, of which 27 spill more than 64 bytes, two more
   * than 160, and the worst 192. The estimate that lets them pass is fwd_mma's registers_needed().
   */
  MOST_SPILLS = 256,
};

/* All classes of 16, and some that are filled up with 8 zeros. */
static const int head_dims[] = {16,  32,  48,  64,  80,  96, 112, 128, 144, 160, 176,
                                192, 208, 224, 240, 256, 8,  40,  120, 200, 248};
enum { N_HEAD_DIMS = sizeof head_dims / sizeof *head_dims };

static int setting(const char *name, int otherwise)
{
  const char *text = getenv(name);
  return text && *text ? atoi(text) : otherwise;
}

/* D, and in `kind` a bit each: causal, bf16, rows not aligned. */
static fl4__problem problem_of(int D, int kind)
{
  fl4__problem p;
  memset(&p, 0, sizeof p);
  p.B = 4, p.Hq = 16, p.Hkv = 16, p.Sq = 4096, p.Sk = 4096, p.D = D;
  p.mask = kind & 1 ? FL4_MASK_CAUSAL : FL4_MASK_NONE;
  p.dtype = kind & 2 ? FL4_DTYPE_BF16 : FL4_DTYPE_FP16;
  p.aligned = !(kind & 4);
  return p;
}

static int n_points(const fl4__family *family)
{
  int n = 1;
  for (int i = 0; i < family->n_params; i++) n *= family->params[i].n_values;
  return n;
}

static fl4__variant point(const fl4__family *family, int number)
{
  fl4__variant v;
  memset(&v, 0, sizeof v);
  v.family = family;
  for (int i = 0; i < family->n_params; i++) {
    v.value[i] = family->params[i].values[number % family->params[i].n_values];
    number /= family->params[i].n_values;
  }
  return v;
}

/* Calls the body for each family of GPUs. */
#define FOR_FAMILIES(family)                                                                                           \
  for (const fl4__family *const *at_ = fl4__families, *family; (family = *at_); at_++)                                 \
    if (family->device == FL4_DEVICE_CUDA)

/* Reasons to refuse, with # for each number, and how often they came. */
static struct reasons {
  char text[16][160];
  int count[16], n;
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
  ck_assert_int_lt(i, 16);
  if (i == reasons.n) strcpy(reasons.text[reasons.n++], text);
  reasons.count[i]++;
}

/* Reasons that a point can be refused for, and a point for each. */
static const struct {
  const char *words, *variant;
  int D, sm, smem_per_sm, dtype;
  int64_t B, Sq;
} refusals[] = {
    {"GPU kernels take fp16", "fwd_mma", 64, 90, 0, FL4_DTYPE_FP32, 1, 64},
    {"the GPU is sm_75", "fwd_mma", 64, 75, 0, FL4_DTYPE_FP16, 1, 64},
    {"is 64 rows a warp", "fwd_mma:bm=64,warps=1", 64, 90, 0, FL4_DTYPE_FP16, 1, 64},
    {"is 8 rows a warp", "fwd_mma:bm=16,warps=2", 64, 90, 0, FL4_DTYPE_FP16, 1, 64},
    {"bytes of shared memory, a block may have", "fwd_mma:bm=128,bn=128,warps=8,stages=4,qreg=0,ctas=1", 256, 90, 0,
     FL4_DTYPE_FP16, 1, 64},
    {"bytes of shared memory do not fit", "fwd_mma:bm=64,bn=64,warps=4,stages=2,qreg=0,ctas=4", 256, 90, 0,
     FL4_DTYPE_FP16, 1, 64},
    {"registers a thread, may have", "fwd_mma:bm=64,bn=64,warps=4,stages=2,qreg=0,ctas=4", 128, 90, 1 << 20,
     FL4_DTYPE_FP16, 1, 64},
    {"more than 2^31 blocks", "fwd_mma:bm=16,bn=64,warps=1,stages=2,qreg=1,ctas=1", 64, 90, 0, FL4_DTYPE_FP16, 1 << 20,
     1 << 20},
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

/* The family's choice for any number of rows and heads: a point of the table, and not refused. */
static void check_choices(const fl4__family *family, int D, int kind)
{
  static const int rows[] = {0, 1, 16, 33, 64, 100, 512, 4096}, batches[] = {1, 3, 64};
  for (int i = 0; i < 8 * 3; i++) {
    fl4__problem p = problem_of(D, kind);
    p.Sq = rows[i % 8], p.B = batches[i / 8];
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

START_TEST(whole_table)
{
  FOR_FAMILIES(family)
  {
    int valid = 0, all = 0;
    memset(&reasons, 0, sizeof reasons);
    for (int d = 0; d < N_HEAD_DIMS; d++)
      for (int kind = 0; kind < 8; kind++) {
        const fl4__problem p = problem_of(head_dims[d], kind);
        const int before = valid;
        for (int i = 0; i < n_points(family); i++, all++) {
          const fl4__variant v = point(family, i);
          char why[160] = "";
          const char *reason = family->refuse(&v, &p, &device, why);
          if (reason) count_reason(reason);
          valid += !reason;
        }
        ck_assert_msg(valid > before, "%s: no point of %s is valid for D=%d kind=%d", device.isa, family->name,
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

/* A number below n, the same for the same seed anywhere (SplitMix64). */
static uint32_t draw(uint64_t *state, uint32_t n)
{
  uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
  z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
  z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
  return (uint32_t)((z ^ z >> 31) % n);
}

/*
 * Counts the valid points that have params[wanted / 16] at its value number wanted % 16, or any value if
 * `wanted` < 0; and gives the nth of them in *found.
 */
static int valid_points(const fl4__family *family, const fl4__problem *p, int wanted, int nth, fl4__variant *found)
{
  int count = 0;
  char why[160];
  for (int i = 0; i < n_points(family); i++) {
    const fl4__variant v = point(family, i);
    if (wanted >= 0 && v.value[wanted / 16] != family->params[wanted / 16].values[wanted % 16]) continue;
    if (family->refuse(&v, p, &device, why)) continue;
    if (count++ == nth) *found = v;
  }
  return count;
}

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
  int n = fl4__build_options(&build, text);
  ck_assert_int_lt(n, FL4__MAX_OPTIONS);
  snprintf(text[n++], FL4__OPTION_TEXT, "-DFL4_EXPECT_SMEM=%d", (int)g.smem_bytes);
  int length = snprintf(line, sizeof line, "nvcc -cubin -std=c++17 -Xptxas -v -arch=%s", device.isa);
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
  ck_assert_msg(r.spill_bytes <= MOST_SPILLS, "%s\n%d bytes of spills, may have %d", line, r.spill_bytes, MOST_SPILLS);
}

/* Each head dimension and each value of each parameter comes in turn; the rest is drawn, from all that is valid. */
START_TEST(sample)
{
  FOR_FAMILIES(family)
  {
    uint64_t state = (uint64_t)setting("FL4_TEST_SEED", DEFAULT_SEED) << 32 | (uint64_t)device.sm << 20 | (uint64_t)_i;
    const fl4__problem p = problem_of(head_dims[_i % N_HEAD_DIMS], (int)draw(&state, 8));
    int wanted = wanted_of(family, _i);
    fl4__variant v;
    memset(&v, 0, sizeof v);
    int n = valid_points(family, &p, wanted, -1, &v);
    if (n == 0) n = valid_points(family, &p, wanted = -1, -1, &v); /* no such value for this head dimension */
    ck_assert_int_gt(n, 0);
    valid_points(family, &p, wanted, (int)draw(&state, (uint32_t)n), &v);
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
  tcase_add_test(t, whole_table);
  tcase_add_test(t, kernel_knows_its_smem);
  tcase_add_loop_test(t, sample, 0, samples);
  suite_add_tcase(s, t);
  return s;
}

FL4_TEST_MAIN(suite)

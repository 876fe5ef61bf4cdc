/* SPDX-License-Identifier: Apache-2.0 */
/* The host kernel against the fp64 oracle: every instruction set, shape, dtype, layout and variant. */
#include <math.h>
#include <stdbool.h>

#include "fl4_test.h"
#include "host/forward.h"
#include "host/vector.h"
#include "oracle/check.h"

/* ---------------------------------------------------------------- devices */

/* Number `i` of the instruction sets that were compiled and this CPU has; NULL behind the last. */
static const char *isa_name(int i)
{
  for (const fl4__host_isa *isa = fl4__host_isas; isa->name; isa++)
    if (isa->supported() && i-- == 0) return isa->name;
  return NULL;
}

static fl4_context *open_host(const char *isa, const char *variant, int threads)
{
  fl4_context *ctx;
  fl4_context_options options = FL4_CONTEXT_OPTIONS_INIT;
  options.device = "host", options.variant = variant, options.threads = threads;
  fl4__host_isa_forced = isa;
  ck_assert_fl4(fl4_context_create(&ctx, &options));
  fl4__host_isa_forced = NULL;
  return ctx;
}

START_TEST(instruction_sets)
{
  ck_assert_str_eq(fl4__host_isa_best()->name, isa_name(0));
  for (int i = 0; isa_name(i); i++) {
    fl4_device_info info = FL4_DEVICE_INFO_INIT;
    fl4_context *ctx = open_host(isa_name(i), NULL, 5);
    ck_assert_fl4(fl4_context_get_device_info(ctx, &info));
    ck_assert_str_eq(info.isa, isa_name(i));
    ck_assert_int_eq(info.multiprocessors, 5);
    ck_assert_int_eq(info.kind, FL4_DEVICE_HOST);
    ck_assert_int_gt(info.memory_bytes, 0);
    ck_assert_int_ne(info.name[0], 0);
    fl4_context_destroy(&ctx);
  }
  fl4__host_isa_forced = "no such";
  ck_assert_str_eq(fl4__host_isa_best()->name, "generic");
}
END_TEST

/* ---------------------------------------------------------------- pieces */

/* This file's own instruction set; the others are tested through the kernel below. */
START_TEST(exp2_is_accurate)
{
  double worst = 0;
  for (float x = 0; x >= -126; x -= 0.0007f) {
    const double exact = exp2((double)x);
    worst = fmax(worst, fabs((double)exp2_nonpositive(splat(x))[0] - exact) / exact);
  }
  ck_assert_double_lt(worst, 1.5 * 0x1p-23);
  ck_assert(exp2_nonpositive(splat(0))[0] == 1);
  ck_assert(exp2_nonpositive(splat(-126))[VL - 1] == 0x1p-126f);
  ck_assert(exp2_nonpositive(splat(-1000))[0] == 0);
  ck_assert(exp2_nonpositive(splat(-INFINITY))[0] == 0);
  ck_assert(isnan(exp2_nonpositive(splat(NAN))[0]));
  ck_assert(isnan(exp2_nonpositive(splat(-NAN))[0]));
}
END_TEST

/* Round trips of all 16-bit patterns, and rounding, against the oracle's conversions. */
START_TEST(conversions_agree_with_the_oracle)
{
  for (uint32_t bits = 0; bits < 65536; bits++) {
    const uint16_t element = (uint16_t)bits;
    const vu upper = (vu){0} + (bits << 16 | (bits * 7919 & 0xffff)); /* noise in the lower half */
    const float fp16 = fp16_upper(upper)[0], bf16 = bf16_upper(upper)[0];
    const float fp16_exact = fl4__load(&element, FL4_DTYPE_FP16, 0),
                bf16_exact = fl4__load(&element, FL4_DTYPE_BF16, 0);
    ck_assert(isnan(fp16_exact) ? isnan(fp16) : memcmp(&fp16, &fp16_exact, 4) == 0);
    ck_assert(isnan(bf16_exact) ? isnan(bf16) : memcmp(&bf16, &bf16_exact, 4) == 0);
  }
  uint32_t state = 1;
  for (int n = 0; n < 600000; n++) {
    state = state * 1664525 + 1013904223;
    /* Every third number around fp16's range, every third a tie of fp16 or bf16. */
    uint32_t bits = state;
    if (n % 3 == 1) bits = (state & 0x8fffffff) | 0x30000000;
    if (n % 3 == 2) bits = (state & (n % 2 ? 0xfffff000 : 0xffff8000)) | (n % 2 ? 0x1000 : 0x8000);
    float x;
    memcpy(&x, &bits, 4);
    uint16_t fp16, bf16;
    fl4__store(&fp16, FL4_DTYPE_FP16, 0, x);
    fl4__store(&bf16, FL4_DTYPE_BF16, 0, x);
    const uint16_t got_fp16 = (uint16_t)fp16_from(splat(0) + (vf)((vu){0} + bits))[1];
    const uint16_t got_bf16 = (uint16_t)bf16_from((vf)((vu){0} + bits))[1];
    if (isnan(x)) {
      ck_assert(isnan(fl4__load(&got_fp16, FL4_DTYPE_FP16, 0)) && isnan(fl4__load(&got_bf16, FL4_DTYPE_BF16, 0)));
    } else {
      const bool zero = fp16 == 0x8000; /* adding 0 above may have taken the sign of −0 */
      ck_assert_msg((zero ? got_fp16 & 0x7fff : got_fp16) == (zero ? 0 : fp16), "%a: fp16 0x%04x, not 0x%04x",
                    (double)x, got_fp16, fp16);
      ck_assert_msg(got_bf16 == bf16, "%a: bf16 0x%04x, not 0x%04x", (double)x, got_bf16, bf16);
    }
  }
}
END_TEST

/* One key: O is V, so all 65536 patterns must come through; K = (x, 0 …), Q = (1, 0 …): the LSE is x. */
START_TEST(every_element_passes_the_kernel)
{
  if (!isa_name(_i)) return;
  static uint16_t q[65536 * 8], k[65536 * 8], v[65536], o[65536];
  static float lse[65536];
  for (int dtype = 0; dtype < 2; dtype++) {
    fl4_context *ctx = open_host(isa_name(_i), NULL, 0);
    fl4_attention_args a = FL4_ATTENTION_ARGS_INIT;
    for (int i = 0; i < 65536; i++) v[i] = (uint16_t)i;
    a.dtype = dtype, a.B = 256, a.Hq = a.Hkv = a.Sq = a.Sk = 1, a.D = 256;
    memset(q, 0, sizeof q);
    memset(k, 0, sizeof k);
    a.q = q, a.k = k, a.v = v, a.o = o;
    ck_assert_fl4(fl4_attention_forward(ctx, &a, NULL));
    for (int i = 0; i < 65536; i++)
      if (isnan(fl4__load(&v[i], dtype, 0)))
        ck_assert(isnan(fl4__load(&o[i], dtype, 0)));
      else
        ck_assert_msg(fl4__load(&o[i], dtype, 0) == fl4__load(&v[i], dtype, 0), "0x%04x became 0x%04x", v[i], o[i]);

    for (int i = 0; i < 65536; i++) {
      fl4__store(q, dtype, i * 8, 1);
      k[i * 8] = isfinite(fl4__load(&v[i], dtype, 0)) ? (uint16_t)i : 0;
    }
    a.B = 65536, a.D = 8, a.v = q, a.o = k + 0, a.scale = 1, a.lse = lse;
    static uint16_t out[65536 * 8];
    a.o = out;
    ck_assert_fl4(fl4_attention_forward(ctx, &a, NULL));
    for (int i = 0; i < 65536; i++) {
      /* In powers of two it passes the range of fp32 below 2¹²⁸·ln 2, and loses the last bits of subnormals. */
      const float x = fl4__load(&k[i * 8], dtype, 0);
      if (fabsf(x) < 1e38f)
        ck_assert_msg(fabsf(lse[i] - x) <= 3e-7f * fabsf(x) + 1e-44f, "LSE of %a is %a", (double)x, (double)lse[i]);
    }
    fl4_context_destroy(&ctx);
  }
}
END_TEST

/* ---------------------------------------------------------------- against the oracle */

static void check_on(fl4_context *ctx, const fl4_problem *problem, fl4_inputs inputs, uint64_t seed)
{
  fl4_check_options options = FL4_CHECK_OPTIONS_INIT;
  fl4_check_result r = FL4_CHECK_RESULT_INIT;
  char line[FL4_PROBLEM_LINE_MAX];
  options.inputs = (int)inputs, options.seed = seed;
  ck_assert_fl4(fl4_problem_format(problem, line, sizeof line));
  ck_assert_fl4(fl4_check(ctx, problem, &options, &r));
  ck_assert_msg(r.passed,
                "%s, %s, %s: finite %d canaries %d same %d; max %g of %g, mean %g of %g, lse %g of %g; at %d,%d,%d,%d",
                line, fl4_inputs_name(inputs), r.variant, r.finite, r.canaries, r.deterministic, r.max_error,
                r.max_allowed, r.mean_error, r.mean_allowed, r.lse_error, r.lse_allowed, (int)r.worst[0],
                (int)r.worst[1], (int)r.worst[2], (int)r.worst[3]);
}

static void check_line(fl4_context *ctx, const char *line, int dtype, fl4_inputs inputs, uint64_t seed)
{
  fl4_problem p = FL4_PROBLEM_INIT;
  ck_assert_fl4(fl4_problem_parse(line, &p));
  p.dtype = dtype;
  check_on(ctx, &p, inputs, seed);
}

static const char *const shapes[] = {
    /* odd lengths, either one the longer, with and without mask */
    "hq1sq1d64:lse",
    "hq1sq1d64:causal:lse",
    "hq2sq17d64:causal:lse",
    "hq1sq113d64:lse",
    "hq2sq203d80:causal:lse",
    "hq1sq1sk203d64:causal:lse",
    "hq1sq203sk1d64:causal:lse",
    "hq1sq17sk113d128:lse",
    "hq2sq113sk17d32:causal:lse",
    "hq1sq113sk203d64:causal:lse",
    "hq1sq203sk113d64:lse",
    /* more keys than a tile, one more and one less than tiles */
    "hq1sq40sk257d64:lse",
    "hq1sq130sk255d64:causal:lse",
    "hq1sq400d16:causal:lse",
    /* shared heads, batches */
    "b2hq8hkv2sq33d64:causal:lse",
    "b3hq4hkv1sq65d128:lse",
    "hq6hkv2sq1sk300d64:causal:lse",
    "hq7hkv1sq19d40:causal:lse",
    /* layouts and scale */
    "b2hq4hkv2sq50d64:causal:bshd:lse",
    "b2hq4hkv2sq50d72:packed:lse",
    "b2hq4hkv2sq50sk70d72:causal:odd:lse",
    "hq2sq64d64:scale=0.5:lse",
    /* nothing to see, nothing to do */
    "b2hq2sq40sk0d64:lse",
    "b2hq2sq40sk0d64:causal",
    "hq2sq0sk9d64:lse",
    "b0hq2sq9d64:lse",
    "hq2sq200sk70d64:causal:lse",
};
enum { N_SHAPES = sizeof shapes / sizeof *shapes };

/* fp32 against exact sums is at the mercy of near ties when scores are 10⁴, so that pair is left out. */
static bool well_posed(int dtype, int inputs)
{
  return dtype != FL4_DTYPE_FP32 || inputs != FL4_INPUTS_LARGE;
}

START_TEST(shapes_dtypes_and_inputs)
{
  if (!isa_name(_i)) return;
  fl4_context *ctx = open_host(isa_name(_i), NULL, 0);
  for (int shape = 0; shape < N_SHAPES; shape++)
    for (int dtype = 0; dtype < 3; dtype++)
      for (int inputs = 0; inputs < FL4_INPUTS_COUNT; inputs++)
        if (well_posed(dtype, inputs)) check_line(ctx, shapes[shape], dtype, (fl4_inputs)inputs, (uint64_t)shape);
  fl4_context_destroy(&ctx);
}
END_TEST

START_TEST(every_head_dimension)
{
  if (!isa_name(_i)) return;
  fl4_context *ctx = open_host(isa_name(_i), NULL, 0);
  for (int D = 8; D <= 256; D += 8)
    for (int dtype = 0; dtype < 3; dtype++) {
      fl4_problem p = FL4_PROBLEM_INIT;
      ck_assert_fl4(fl4_problem_parse("hq2hkv1sq45sk67d8:causal:lse", &p));
      p.D = D, p.dtype = dtype, p.layout = D / 8 % 2 ? FL4_LAYOUT_BHSD : FL4_LAYOUT_ODD;
      check_on(ctx, &p, FL4_INPUTS_NORMAL, (uint64_t)D);
      check_on(ctx, &p, FL4_INPUTS_ONEHOT, (uint64_t)D);
    }
  fl4_context_destroy(&ctx);
}
END_TEST

START_TEST(every_variant)
{
  if (!isa_name(_i)) return;
  const int bms[] = {4, 12, 24, 48, 96, 192, 384}, bns[] = {32, 64, 128, 256};
  for (int m = 0; m < 7; m++)
    for (int n = 0; n < 4; n++) {
      char variant[64];
      snprintf(variant, sizeof variant, "host:bm=%d,bn=%d", bms[m], bns[n]);
      fl4_context *ctx = open_host(isa_name(_i), variant, 2);
      check_line(ctx, "hq4hkv2sq203sk261d72:causal:lse", FL4_DTYPE_BF16, FL4_INPUTS_GROWING, 1);
      check_line(ctx, "hq2sq113d64:lse", FL4_DTYPE_FP16, FL4_INPUTS_ONEHOT, 2);
      check_line(ctx, "hq3hkv1sq77d8:lse", FL4_DTYPE_FP32, FL4_INPUTS_NORMAL, 3);
      fl4_context_destroy(&ctx);
    }
}
END_TEST

static Suite *suite(void)
{
  Suite *s = suite_create("host");
  TCase *t = tcase_create("pieces");
  tcase_set_timeout(t, 120);
  tcase_add_test(t, instruction_sets);
  tcase_add_test(t, exp2_is_accurate);
  tcase_add_test(t, conversions_agree_with_the_oracle);
  tcase_add_loop_test(t, every_element_passes_the_kernel, 0, 3);
  suite_add_tcase(s, t);

  t = tcase_create("oracle");
  tcase_set_timeout(t, 300);
  tcase_add_loop_test(t, shapes_dtypes_and_inputs, 0, 3);
  tcase_add_loop_test(t, every_head_dimension, 0, 3);
  tcase_add_loop_test(t, every_variant, 0, 3);
  suite_add_tcase(s, t);
  return s;
}

FL4_TEST_MAIN(suite)

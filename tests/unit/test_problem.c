/* SPDX-License-Identifier: Apache-2.0 */
/* Problem lines: reading, writing, both ways round, counting, and every way to be wrong. */
#include <float.h>
#include <locale.h>
#include <math.h>

#include "fl4_test.h"
#include "problem.h"

static fl4_problem parsed(const char *line)
{
  fl4_problem p = FL4_PROBLEM_INIT;
  ck_assert_fl4(fl4_problem_parse(line, &p));
  return p;
}

static void ck_assert_same(const fl4_problem *a, const fl4_problem *b)
{
  ck_assert_int_eq(a->dtype, b->dtype);
  ck_assert_int_eq(a->mask, b->mask);
  ck_assert_int_eq(a->layout, b->layout);
  ck_assert_int_eq(a->lse, b->lse);
  ck_assert_int_eq(a->B, b->B);
  ck_assert_int_eq(a->Hq, b->Hq);
  ck_assert_int_eq(a->Hkv, b->Hkv);
  ck_assert_int_eq(a->Sq, b->Sq);
  ck_assert_int_eq(a->Sk, b->Sk);
  ck_assert_int_eq(a->D, b->D);
  ck_assert_msg(a->scale == b->scale, "scale %.9g is not %.9g", (double)a->scale, (double)b->scale);
}

START_TEST(reads_every_field)
{
  fl4_problem p = parsed("b2hq32hkv8sq4096sk100d128:bf16:causal:lse:scale=0.125:bshd");
  ck_assert_int_eq(p.B, 2);
  ck_assert_int_eq(p.Hq, 32);
  ck_assert_int_eq(p.Hkv, 8);
  ck_assert_int_eq(p.Sq, 4096);
  ck_assert_int_eq(p.Sk, 100);
  ck_assert_int_eq(p.D, 128);
  ck_assert_int_eq(p.dtype, FL4_DTYPE_BF16);
  ck_assert_int_eq(p.mask, FL4_MASK_CAUSAL);
  ck_assert_int_eq(p.lse, 1);
  ck_assert_int_eq(p.layout, FL4_LAYOUT_BSHD);
  ck_assert_float_eq(p.scale, 0.125f);
  ck_assert_uint_eq(p.struct_size, sizeof p);
}
END_TEST

START_TEST(fills_defaults)
{
  fl4_problem p = parsed("hq4sq17d8"), full = parsed("d8sq17hkv4sk17b1hq4:bhsd:fp16");
  ck_assert_int_eq(p.B, 1);
  ck_assert_int_eq(p.Hkv, 4);
  ck_assert_int_eq(p.Sk, 17);
  ck_assert_same(&p, &full);
}
END_TEST

START_TEST(reads_each_word)
{
  ck_assert_int_eq(parsed("hq1sq1d8:fp32").dtype, FL4_DTYPE_FP32);
  ck_assert_int_eq(parsed("hq1sq1d8:fp16").dtype, FL4_DTYPE_FP16);
  ck_assert_int_eq(parsed("hq1sq1d8:packed").layout, FL4_LAYOUT_PACKED);
  ck_assert_int_eq(parsed("hq1sq1d8:odd:causal").layout, FL4_LAYOUT_ODD);
  ck_assert_float_eq(parsed("hq1sq1d8:scale=-2.5e-3").scale, -2.5e-3f);
  ck_assert_float_eq(parsed("hq1sq1d8:scale=1.40129846e-45").scale, 1.40129846e-45f);
  ck_assert(!signbit(parsed("hq1sq1d8:scale=-0").scale));
  ck_assert_int_eq(parsed("b0hq1sq0sk0d8").Sk, 0);
}
END_TEST

/* clang-format off */
/* line, and words of the message that names the place and what is allowed */
static const char *const wrong[][2] = {
  {"", "size 'hq' is missing; hq, sq and d must be there"},
  {"hq1d8", "size 'sq' is missing"},
  {"hq1sq1", "size 'd' is missing"},
  {":bf16", "size 'hq' is missing"},
  {"b2x3", "\"b2x3\": unknown size 'x' at column 3; sizes are b hq hkv sq sk d"},
  {"hq1sq1dd8", "unknown size 'dd' at column 7"},
  {"HQ1sq1d8", "unexpected 'H' at column 1; sizes are"},
  {"hq1 sq1d8", "unexpected ' ' at column 4"},
  {"hq1sq1d8 ", "unexpected ' ' at column 9"},
  {"hq1sq1d8,bf16", "unexpected ',' at column 9"},
  {"hq1sq1d8.5", "unexpected '.' at column 9"},
  {"2hq1sq1d8", "unexpected '2' at column 1"},
  {"hq1sq1d", "size 'd' needs a number at column 8"},
  {"hqsq1d8", "unknown size 'hqsq' at column 1"},
  {"hq-sq1d8", "size 'hq' needs a number at column 3"},
  {"hq+1sq1d8", "size 'hq' needs a number at column 3"},
  {"hq1sq1d8hq2", "size 'hq' a second time at column 9"},
  {"hq1sq1d8sk1sk1", "size 'sk' a second time at column 12"},
  {"hq99999999999999999999sq1d8", "out of range at column 3"},
  {"hq1sq-99999999999999999999d8", "out of range at column 6"},
  {"b-1hq1sq1d8", "fl4_problem.B: is -1, must be from 0"},
  {"b2000000000hq1sq1d8", "fl4_problem.B: is 2000000000, must be from 0 to 1073741823"},
  {"hq0sq1d8", "fl4_problem.Hq: is 0, must be from 1"},
  {"hq1hkv0sq1d8", "fl4_problem.Hkv: is 0, must be from 1"},
  {"hq1sq-1d8", "fl4_problem.Sq: is -1"},
  {"hq1sq1sk-1d8", "fl4_problem.Sk: is -1"},
  {"hq4hkv3sq1d8", "fl4_problem.Hkv: is 3, must divide Hq, which is 4"},
  {"hq1sq1d0", "fl4_problem.D: is 0, must be a multiple of 8 from 8 to 256"},
  {"hq1sq1d7", "fl4_problem.D: is 7"},
  {"hq1sq1d-8", "fl4_problem.D: is -8"},
  {"hq1sq1d264", "fl4_problem.D: is 264"},
  {"b1000000000hq1000000000sq1000000000d256", "fl4_problem.B: is 1000000000, must be less: the tensors' size"},
  {"hq1sq1d8:", "nothing between colons at column 10; behind the sizes go fp16"},
  {"hq1sq1d8::lse", "nothing between colons at column 10"},
  {"hq1sq1d8:fp8", "unknown word 'fp8' at column 10; behind the sizes go fp16 bf16 fp32 causal"},
  {"hq1sq1d8:BF16", "unknown word 'BF16'"},
  {"hq1sq1d8:lse ", "unknown word 'lse '"},
  {"hq1sq1d8:scale", "unknown word 'scale'"},
  {"hq1sq1d8:bf16:fp16", "'fp16' at column 15 gives the dtype a second time"},
  {"hq1sq1d8:causal:causal", "gives the mask a second time"},
  {"hq1sq1d8:lse:lse", "gives the lse a second time"},
  {"hq1sq1d8:odd:bhsd", "gives the layout a second time"},
  {"hq1sq1d8:scale=1:scale=1", "gives the scale a second time"},
  {"hq1sq1d8:scale=", "scale needs a number at column 16"},
  {"hq1sq1d8:scale=:lse", "scale needs a number at column 16"},
  {"hq1sq1d8:scale= 1", "scale needs a number"},
  {"hq1sq1d8:scale=1x", "scale needs a number"},
  {"hq1sq1d8:scale=0x10", "scale needs a number"},
  {"hq1sq1d8:scale=1e", "scale needs a number"},
  {"hq1sq1d8:scale=nan", "scale needs a number"},
  {"hq1sq1d8:scale=inf", "scale needs a number"},
  {"hq1sq1d8:scale=1e39", "scale out of range at column 16, must be a finite"},
  {"hq1sq1d8:scale=1e-60", "scale out of range"},
  {"hq1sq2sk3d8:packed", "fl4_problem.layout: is FL4_LAYOUT_PACKED, which needs Sq = Sk; they are 2 and 3"},
};
/* clang-format on */

START_TEST(refuses)
{
  fl4_problem p = FL4_PROBLEM_INIT, untouched = FL4_PROBLEM_INIT;
  ck_assert_fl4_fails(fl4_problem_parse(wrong[_i][0], &p), FL4_INVALID_ARGUMENT, wrong[_i][1]);
  ck_assert_msg(strstr(fl4_last_error(), "fl4_problem_parse") != NULL, "%s", fl4_last_error());
  ck_assert_mem_eq(&p, &untouched, sizeof p);
}
END_TEST

START_TEST(refuses_bad_arguments)
{
  fl4_problem p = FL4_PROBLEM_INIT;
  char long_line[FL4_PROBLEM_LINE_MAX + 1];
  ck_assert_fl4_fails(fl4_problem_parse(NULL, &p), FL4_INVALID_ARGUMENT, "line: is NULL");
  ck_assert_fl4_fails(fl4_problem_parse("hq1sq1d8", NULL), FL4_INVALID_ARGUMENT, "problem: is NULL");
  p.struct_size = 0;
  ck_assert_fl4_fails(fl4_problem_parse("hq1sq1d8", &p), FL4_INVALID_ARGUMENT, "fl4_problem.struct_size: is 0");
  p.struct_size = (size_t)-1;
  ck_assert_fl4_fails(fl4_problem_parse("hq1sq1d8", &p), FL4_INVALID_ARGUMENT, "fl4_problem.struct_size");

  /* 191 characters are read, 192 are not. */
  p.struct_size = sizeof p;
  memset(long_line, '0', sizeof long_line);
  memcpy(long_line, "hq1sq1d", 7);
  long_line[FL4_PROBLEM_LINE_MAX - 2] = '8';
  long_line[FL4_PROBLEM_LINE_MAX - 1] = '\0';
  ck_assert_fl4(fl4_problem_parse(long_line, &p));
  long_line[FL4_PROBLEM_LINE_MAX - 2] = '0';
  long_line[FL4_PROBLEM_LINE_MAX - 1] = '8';
  long_line[FL4_PROBLEM_LINE_MAX] = '\0';
  ck_assert_fl4_fails(fl4_problem_parse(long_line, &p), FL4_INVALID_ARGUMENT, "too long, at most 191 characters");
}
END_TEST

/* A caller built against newer headers: what this library knows is filled, the rest is left. */
START_TEST(fills_a_larger_struct)
{
  struct {
    fl4_problem p;
    uint64_t later;
  } newer = {FL4_PROBLEM_INIT, 0};
  char line[FL4_PROBLEM_LINE_MAX];
  newer.p.struct_size = sizeof newer;
  ck_assert_fl4(fl4_problem_parse("hq3sq5d8", &newer.p));
  ck_assert_uint_eq(newer.p.struct_size, sizeof newer);
  ck_assert_fl4(fl4_problem_format(&newer.p, line, sizeof line));
  ck_assert_str_eq(line, "hq3sq5d8");
  newer.later = 1;
  ck_assert_fl4_fails(fl4_problem_format(&newer.p, line, sizeof line), FL4_INVALID_ARGUMENT, "fl4_problem");
  ck_assert_str_eq(line, "");
}
END_TEST

START_TEST(writes_no_defaults)
{
  static const char *const pairs[][2] = {
      {"b1hq4hkv4sq17sk17d8:fp16:bhsd", "hq4sq17d8"},
      {"d128sq4096hkv8hq32b2:lse:causal:bf16", "b2hq32hkv8sq4096d128:bf16:causal:lse"},
      {"b0hq1sq0sk3d64:odd:scale=0.10000:fp32", "b0hq1sq0sk3d64:fp32:scale=0.100000001:odd"},
      {"hq1sq1d8:scale=0", "hq1sq1d8"},
      {"hq1sq9d8:packed:scale=2", "hq1sq9d8:scale=2:packed"},
      {"hq01sq009d08:bshd", "hq1sq9d8:bshd"},
  };
  for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
    char line[FL4_PROBLEM_LINE_MAX];
    fl4_problem p = parsed(pairs[i][0]);
    ck_assert_fl4(fl4_problem_format(&p, line, sizeof line));
    ck_assert_str_eq(line, pairs[i][1]);
  }
}
END_TEST

START_TEST(format_refuses)
{
  char line[FL4_PROBLEM_LINE_MAX] = "x";
  fl4_problem good = parsed("hq4sq17d8");
  ck_assert_fl4_fails(fl4_problem_format(&good, NULL, 10), FL4_INVALID_ARGUMENT, "buffer: is NULL");
  ck_assert_fl4_fails(fl4_problem_format(&good, line, 0), FL4_INVALID_ARGUMENT, "size: is 0");
  ck_assert_str_eq(line, "x");
  ck_assert_fl4_fails(fl4_problem_format(NULL, line, sizeof line), FL4_INVALID_ARGUMENT, "problem: is NULL");
  ck_assert_str_eq(line, "");
  /* "hq4sq17d8" and its zero are 10 bytes. */
  ck_assert_fl4(fl4_problem_format(&good, line, 10));
  ck_assert_fl4_fails(fl4_problem_format(&good, line, 9), FL4_INVALID_ARGUMENT, "size: is 9, must be at least 10");
  ck_assert_str_eq(line, "");

#define REFUSED(field, value, words)                                                                                   \
  do {                                                                                                                 \
    fl4_problem bad = good;                                                                                            \
    bad.field = (value);                                                                                               \
    ck_assert_fl4_fails(fl4_problem_format(&bad, line, sizeof line), FL4_INVALID_ARGUMENT, words);                     \
    ck_assert_double_eq(fl4_problem_flops(&bad), 0);                                                                   \
    ck_assert_double_eq(fl4_problem_bytes(&bad), 0);                                                                   \
  } while (0)
  REFUSED(struct_size, 0, "fl4_problem.struct_size: is 0");
  REFUSED(dtype, 3, "fl4_problem.dtype: is 3");
  REFUSED(dtype, -1, "fl4_problem.dtype: is -1");
  REFUSED(mask, 2, "fl4_problem.mask: is 2");
  REFUSED(layout, 4, "fl4_problem.layout: is 4");
  REFUSED(layout, -1, "fl4_problem.layout: is -1");
  REFUSED(lse, 2, "fl4_problem.lse: is 2");
  REFUSED(B, INT64_MAX, "fl4_problem.B: is 9223372036854775807");
  REFUSED(Sk, INT64_MIN, "fl4_problem.Sk: is -9223372036854775808");
  REFUSED(scale, NAN, "fl4_problem.scale: is nan, must be finite");
  REFUSED(scale, -INFINITY, "fl4_problem.scale: is -inf, must be finite");
  REFUSED(reserved0, 5, "fl4_problem.reserved0: is 5, must be 0");
  REFUSED(reserved[3], 1, "fl4_problem.reserved[3]: is 1, must be 0");
#undef REFUSED
}
END_TEST

/* xorshift64: the same sequence everywhere */
static uint64_t next_random(uint64_t *state)
{
  *state ^= *state << 13;
  *state ^= *state >> 7;
  *state ^= *state << 17;
  return *state;
}

static int64_t up_to(uint64_t *state, int64_t n)
{
  return (int64_t)(next_random(state) % (uint64_t)(n + 1));
}

START_TEST(any_problem_comes_back)
{
  uint64_t state = 88172645463325252u;
  for (int i = 0; i < 20000; i++) {
    fl4_problem p = FL4_PROBLEM_INIT, back = FL4_PROBLEM_INIT;
    /* Few bits make defaults and zeros frequent. */
    int bits = (int)up_to(&state, 14);
    p.B = up_to(&state, ((int64_t)1 << bits) - 1);
    p.Hkv = 1 + up_to(&state, 15);
    p.Hq = p.Hkv * (1 + up_to(&state, 3));
    p.Sq = up_to(&state, ((int64_t)1 << 2 * bits) - 1);
    p.Sk = up_to(&state, 1) ? p.Sq : up_to(&state, (1 << 30) - 1);
    p.D = 8 + 8 * up_to(&state, 31);
    p.dtype = (int32_t)up_to(&state, 2);
    p.mask = (int32_t)up_to(&state, 1);
    p.lse = (int32_t)up_to(&state, 1);
    p.layout = (int32_t)up_to(&state, 3);
    if (p.layout == FL4_LAYOUT_PACKED) p.Sk = p.Sq;
    if (up_to(&state, 1)) {
      uint32_t pattern = (uint32_t)next_random(&state); /* any float: denormals too */
      memcpy(&p.scale, &pattern, sizeof p.scale);
      if (!isfinite(p.scale)) p.scale = FLT_MAX;
    }
    char line[FL4_PROBLEM_LINE_MAX], again[FL4_PROBLEM_LINE_MAX];
    ck_assert_fl4(fl4_problem_format(&p, line, sizeof line));
    ck_assert_fl4(fl4_problem_parse(line, &back));
    ck_assert_same(&p, &back);
    ck_assert_fl4(fl4_problem_format(&back, again, sizeof again));
    ck_assert_str_eq(line, again);
  }
}
END_TEST

/* A line is the same whatever the program's locale: a comma would not be read back. */
START_TEST(ignores_the_locale)
{
  static const char *const with_comma[] = {"de_DE.UTF-8", "fr_FR.UTF-8", "de_DE", "fr_FR", "nl_NL.UTF-8"};
  char line[FL4_PROBLEM_LINE_MAX];
  for (size_t i = 0; i < sizeof with_comma / sizeof with_comma[0]; i++)
    if (setlocale(LC_ALL, with_comma[i])) break;
  fl4_problem p = parsed("hq1sq1d8:scale=0.25");
  ck_assert_float_eq(p.scale, 0.25f);
  ck_assert_fl4(fl4_problem_format(&p, line, sizeof line));
  ck_assert_str_eq(line, "hq1sq1d8:scale=0.25");
  setlocale(LC_ALL, "C");
}
END_TEST

/* Counted one pair at a time. */
static double slow_flops(const fl4_problem *p)
{
  double pairs = 0;
  for (int64_t i = 0; i < p->Sq; i++)
    for (int64_t j = 0; j < p->Sk; j++) pairs += p->mask == FL4_MASK_NONE || j <= i + p->Sk - p->Sq;
  return 4.0 * (double)(p->D * p->B * p->Hq) * pairs;
}

START_TEST(counts_flops)
{
  static const char *const lines[] = {
      "hq1sq1d8",
      "b3hq4hkv2sq17sk5d16",
      "hq2sq33d8:causal",
      "hq2sq9sk33d8:causal",
      "hq2sq33sk9d8:causal",
      "hq1sq0sk9d8:causal",
      "hq1sq9sk0d8:causal",
      "b0hq1sq4d8",
      "hq2sq1sk50d64:causal:bf16",
  };
  for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
    fl4_problem p = parsed(lines[i]);
    ck_assert_msg(fl4_problem_flops(&p) == slow_flops(&p), "%s: %g, not %g", lines[i], fl4_problem_flops(&p),
                  slow_flops(&p));
  }
  fl4_problem big = parsed("b4hq16sq2048d128");
  ck_assert_double_eq(fl4_problem_flops(&big), 4.0 * 128 * 4 * 16 * 2048.0 * 2048.0);
  ck_assert_double_eq(fl4_problem_flops(NULL), 0);
}
END_TEST

START_TEST(knows_dtypes)
{
  ck_assert_str_eq(fl4__dtype_name(FL4_DTYPE_FP16), "fp16");
  ck_assert_str_eq(fl4__dtype_name(FL4_DTYPE_BF16), "bf16");
  ck_assert_str_eq(fl4__dtype_name(FL4_DTYPE_FP32), "fp32");
  ck_assert_str_eq(fl4__dtype_name(7), "?");
  ck_assert_int_eq(fl4__dtype_size(FL4_DTYPE_FP16), 2);
  ck_assert_int_eq(fl4__dtype_size(FL4_DTYPE_BF16), 2);
  ck_assert_int_eq(fl4__dtype_size(FL4_DTYPE_FP32), 4);
  ck_assert_int_eq(fl4__dtype_size(-1), 0);
}
END_TEST

START_TEST(counts_bytes)
{
  static const struct {
    const char *line;
    double bytes;
  } cases[] = {
      {"hq1sq1d8", 2 * (8 + 8 + 8 + 8)},
      {"b3hq4hkv2sq17sk5d16", 2 * 16.0 * 3 * (2 * 4 * 17 + 2 * 2 * 5)},
      {"b3hq4hkv2sq17sk5d16:bf16:causal", 2 * 16.0 * 3 * (2 * 4 * 17 + 2 * 2 * 5)},
      {"b3hq4hkv2sq17sk5d16:fp32", 4 * 16.0 * 3 * (2 * 4 * 17 + 2 * 2 * 5)},
      {"b3hq4hkv2sq17sk5d16:lse:odd", 2 * 16.0 * 3 * (2 * 4 * 17 + 2 * 2 * 5) + 4.0 * 3 * 4 * 17},
      {"b64hq32hkv8sq1sk131072d128:bf16", 2 * 128.0 * 64 * (2 * 32 + 2 * 8 * 131072.0)},
      {"b0hq1sq4d8:lse", 0},
  };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    fl4_problem p = parsed(cases[i].line);
    ck_assert_msg(fl4_problem_bytes(&p) == cases[i].bytes, "%s: %.0f, not %.0f", cases[i].line, fl4_problem_bytes(&p),
                  cases[i].bytes);
  }
  ck_assert_double_eq(fl4_problem_bytes(NULL), 0);
}
END_TEST

static Suite *make_suite(void)
{
  Suite *suite = suite_create("problem");
  TCase *c = tcase_create("problem");
  tcase_add_test(c, reads_every_field);
  tcase_add_test(c, fills_defaults);
  tcase_add_test(c, reads_each_word);
  tcase_add_loop_test(c, refuses, 0, (int)(sizeof wrong / sizeof wrong[0]));
  tcase_add_test(c, refuses_bad_arguments);
  tcase_add_test(c, fills_a_larger_struct);
  tcase_add_test(c, writes_no_defaults);
  tcase_add_test(c, format_refuses);
  tcase_add_test(c, any_problem_comes_back);
  tcase_add_test(c, ignores_the_locale);
  tcase_add_test(c, counts_flops);
  tcase_add_test(c, counts_bytes);
  tcase_add_test(c, knows_dtypes);
  suite_add_tcase(suite, c);
  return suite;
}

FL4_TEST_MAIN(make_suite)

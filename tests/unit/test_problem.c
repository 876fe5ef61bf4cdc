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
  ck_assert_int_eq(a->window_left, b->window_left);
  ck_assert_int_eq(a->window_right, b->window_right);
  ck_assert_msg(a->softcap == b->softcap, "softcap %.9g is not %.9g", (double)a->softcap, (double)b->softcap);
  ck_assert_uint_eq(a->flags, b->flags);
  ck_assert_int_eq(a->alibi, b->alibi);
  ck_assert_int_eq(a->sinks, b->sinks);
  ck_assert_int_eq(a->bias, b->bias);
  ck_assert_int_eq(a->bias_shared, b->bias_shared);
  ck_assert_int_eq(a->ragged, b->ragged);
  ck_assert_int_eq(a->lens, b->lens);
  ck_assert_int_eq(a->page_size, b->page_size);
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

START_TEST(reads_every_feature)
{
  fl4_problem p = parsed("hq8sq64d64:window=1023,-1:softcap=30:alibi:sinks:bias=fp32/ij:lens=one:page=16:invariant");
  ck_assert_int_eq(p.mask, FL4_MASK_WINDOW);
  ck_assert_int_eq(p.window_left, 1023);
  ck_assert_int_eq(p.window_right, -1);
  ck_assert_float_eq(p.softcap, 30);
  ck_assert(p.alibi == 1 && p.sinks == 1);
  ck_assert_int_eq(p.bias, 1 + FL4_BIAS_FP32);
  ck_assert_int_eq(p.bias_shared, 3);
  ck_assert_int_eq(p.lens, FL4_LENGTHS_ONE);
  ck_assert_int_eq(p.page_size, 16);
  ck_assert_uint_eq(p.flags, FL4_BATCH_INVARIANT);
  ck_assert_int_eq(p.ragged, FL4_LENGTHS_ALL);
  ck_assert_int_eq(parsed("hq1sq1d8:ragged").ragged, FL4_LENGTHS_DRAWN);
  ck_assert_int_eq(parsed("hq1sq1d8:ragged=full").ragged, FL4_LENGTHS_FULL);
  ck_assert_int_eq(parsed("hq1sq1d8:ragged=one").ragged, FL4_LENGTHS_ONE);
  ck_assert_int_eq(parsed("hq1sq1d8:lens").lens, FL4_LENGTHS_DRAWN);
  ck_assert_int_eq(parsed("hq1sq1d8:lens=full").lens, FL4_LENGTHS_FULL);
  static const char *const types[] = {"fp16", "bf16", "fp32", "bool"};
  for (int i = 0; i < 4; i++) {
    char line[64];
    snprintf(line, sizeof line, "hq1sq1d8:bias=%s", types[i]);
    p = parsed(line);
    ck_assert_int_eq(p.bias, 1 + i);
    ck_assert_int_eq(p.bias_shared, 0);
  }
  ck_assert_int_eq(parsed("hq1sq1d8:bias=bool/bj").bias_shared, 6);
  ck_assert_int_eq(parsed("hq1sq1d8:bias=bool/h").bias_shared, 13);
  ck_assert_int_eq(parsed("hq1sq1d8:bias=bool/bhij").bias_shared, 0);
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
  {"hq1sq1d8:window", "unknown word 'window'"},
  {"hq1sq1d8:window=", "window needs two numbers at column 17, as in window=1023,0; -1 is all keys"},
  {"hq1sq1d8:window=5", "window needs two numbers at column 17"},
  {"hq1sq1d8:window=5:lse", "window needs two numbers at column 17"},
  {"hq1sq1d8:window=5,", "window needs two numbers"},
  {"hq1sq1d8:window=,5", "window needs two numbers"},
  {"hq1sq1d8:window=1,2,3", "window needs two numbers"},
  {"hq1sq1d8:window=1, 2", "window needs two numbers"},
  {"hq1sq1d8:window=99999999999,2", "window needs two numbers"},
  {"hq1sq1d8:window=-2,0", "fl4_problem.window_left: is -2, must be from -1 (all keys) to 1073741823"},
  {"hq1sq1d8:window=0,1073741824", "fl4_problem.window_right: is 1073741824, must be from -1 (all keys)"},
  {"hq1sq1d8:causal:window=1,0", "'window=1,0' at column 17 gives the mask a second time"},
  {"hq1sq1d8:softcap=-1", "fl4_problem.softcap: is -1, must be finite and not negative"},
  {"hq1sq1d8:softcap=x", "softcap needs a number at column 18, as in softcap=0.125"},
  {"hq1sq1d8:softcap=1e39", "softcap out of range at column 18"},
  {"hq1sq1d8:softcap=1:softcap=1", "gives the softcap a second time"},
  {"hq1sq1d8:alibi=1", "unknown word 'alibi=1'"},
  {"hq1sq1d8:sinks:sinks", "gives the sinks a second time"},
  {"hq1sq1d8:bias", "unknown word 'bias'"},
  {"hq1sq1d8:bias=", "bias needs fp16, bf16, fp32 or bool at column 15, and may name its dimensions, of bhij in this order"},
  {"hq1sq1d8:bias=fp8", "bias needs fp16"},
  {"hq1sq1d8:bias=fp16/", "bias needs fp16"},
  {"hq1sq1d8:bias=fp16/ji", "bias needs fp16"},
  {"hq1sq1d8:bias=fp16/iij", "bias needs fp16"},
  {"hq1sq1d8:bias=fp16/d", "bias needs fp16"},
  {"hq1sq1d8:bias=fp16:bias=bool", "gives the bias a second time"},
  {"b2hq1sq1d8:bias=fp16:ragged", "fl4_problem.bias: is set with ragged; a bias needs sequences of one length"},
  {"hq1sq1d8:ragged=some", "unknown word 'ragged=some'"},
  {"hq1sq1d8:lens:lens=full", "gives the lens a second time"},
  {"b70000hq1sq70000d8:ragged", "fl4_problem.B: is 70000, must be less: ragged tensors have at most 1073741823 rows"},
  {"hq1sq1d8:page=", "page needs a power of two at column 15, as in page=16"},
  {"hq1sq1d8:page=0", "page needs a power of two"},
  {"hq1sq1d8:page=-8", "page needs a power of two"},
  {"hq1sq1d8:page=9999999999", "page needs a power of two"},
  {"hq1sq1d8:page=4", "fl4_problem.page_size: is 4, must be a power of two from 8 to 65536"},
  {"hq1sq1d8:page=24", "fl4_problem.page_size: is 24, must be a power of two"},
  {"hq1sq1d8:page=131072", "fl4_problem.page_size: is 131072, must be a power of two"},
  {"hq1sq1d8:page=16:page=16", "gives the page a second time"},
  {"hq1sq1d8:page=16:packed", "fl4_problem.layout: is FL4_LAYOUT_PACKED, must be another with pages"},
  {"b1000000000hq1sq1sk16d8:page=8", "fl4_problem.B: is 1000000000, must be less: there are at most 1073741823 pages"},
  {"b1000000hq100000sq1000sk100000d8:bias=bool", "fl4_problem.B: is 1000000, must be less: the tensors' size"},
  {"hq1sq1d8:invariant:invariant", "gives the invariant a second time"},
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

  /* A struct of the first release has room for dense attention, and no other. */
  p.struct_size = offsetof(fl4_problem, window_left);
  ck_assert_fl4(fl4_problem_parse("hq3sq5d8:causal", &p));
  ck_assert_int_eq(p.Sq, 5);
  ck_assert_fl4_fails(fl4_problem_parse("hq7sq1d8:invariant", &p), FL4_INVALID_ARGUMENT,
                      "fl4_problem.struct_size: is 112, must be 168 for what the line has");
  ck_assert_int_eq(p.Hq, 3);
  p.struct_size--;
  ck_assert_fl4_fails(fl4_problem_parse("hq1sq1d8", &p), FL4_INVALID_ARGUMENT, "fl4_problem.struct_size: is 111");

  /* 255 characters are read, 256 are not. */
  p.struct_size = sizeof p;
  memset(long_line, '0', sizeof long_line);
  memcpy(long_line, "hq1sq1d", 7);
  long_line[FL4_PROBLEM_LINE_MAX - 2] = '8';
  long_line[FL4_PROBLEM_LINE_MAX - 1] = '\0';
  ck_assert_fl4(fl4_problem_parse(long_line, &p));
  long_line[FL4_PROBLEM_LINE_MAX - 2] = '0';
  long_line[FL4_PROBLEM_LINE_MAX - 1] = '8';
  long_line[FL4_PROBLEM_LINE_MAX] = '\0';
  ck_assert_fl4_fails(fl4_problem_parse(long_line, &p), FL4_INVALID_ARGUMENT, "too long, at most 255 characters");
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
      {"hq2sq9d8:invariant:page=16:lens:softcap=30.0:window=07,-1:bshd:bf16",
       "hq2sq9d8:bf16:window=7,-1:bshd:softcap=30:lens:page=16:invariant"},
      {"hq2sq9d8:lens=one:bias=bool/bj:sinks:alibi:scale=2", "hq2sq9d8:scale=2:alibi:sinks:bias=bool/bj:lens=one"},
      {"hq2sq9d8:bias=fp16/bhij:softcap=0", "hq2sq9d8:bias=fp16"},
      {"b2hq2sq9d8:lens=full:ragged=one:window=0,0", "b2hq2sq9d8:window=0,0:ragged=one:lens=full"},
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
  REFUSED(mask, 3, "fl4_problem.mask: is 3, must be FL4_MASK_NONE, _CAUSAL or _WINDOW");
  REFUSED(layout, 4, "fl4_problem.layout: is 4");
  REFUSED(layout, -1, "fl4_problem.layout: is -1");
  REFUSED(lse, 2, "fl4_problem.lse: is 2");
  REFUSED(B, INT64_MAX, "fl4_problem.B: is 9223372036854775807");
  REFUSED(Sk, INT64_MIN, "fl4_problem.Sk: is -9223372036854775808");
  REFUSED(scale, NAN, "fl4_problem.scale: is nan, must be finite");
  REFUSED(scale, -INFINITY, "fl4_problem.scale: is -inf, must be finite");
  REFUSED(window_left, 1, "fl4_problem.window_left: is 1, must be 0 without FL4_MASK_WINDOW");
  REFUSED(window_right, -1, "fl4_problem.window_right: is -1, must be 0 without FL4_MASK_WINDOW");
  REFUSED(softcap, INFINITY, "fl4_problem.softcap: is inf, must be finite");
  REFUSED(softcap, NAN, "fl4_problem.softcap: is nan, must be finite");
  REFUSED(flags, 2, "fl4_problem.flags: is 0x2, must be 0 or FL4_BATCH_INVARIANT");
  REFUSED(alibi, 2, "fl4_problem.alibi: is 2, must be 0 or 1");
  REFUSED(sinks, -1, "fl4_problem.sinks: is -1, must be 0 or 1");
  REFUSED(bias, 5, "fl4_problem.bias: is 5, must be 0 or 1 + FL4_BIAS_FP16");
  REFUSED(bias, -1, "fl4_problem.bias: is -1");
  REFUSED(bias_shared, 15, "fl4_problem.bias_shared: is 15, must be from 0 to 14: some dimension is left");
  REFUSED(bias_shared, 1, "fl4_problem.bias_shared: is 1, must be 0 without a bias");
  REFUSED(ragged, 4, "fl4_problem.ragged: is 4, must be FL4_LENGTHS_ALL, _DRAWN, _FULL or _ONE");
  REFUSED(lens, -1, "fl4_problem.lens: is -1, must be FL4_LENGTHS_ALL");
  REFUSED(page_size, -16, "fl4_problem.page_size: is -16, must be a power of two from 8");
  REFUSED(reserved1, 7, "fl4_problem.reserved1: is 7, must be 0");
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

/* Any float: denormals too. */
static float any_float(uint64_t *state)
{
  const uint32_t pattern = (uint32_t)next_random(state);
  float value;
  memcpy(&value, &pattern, sizeof value);
  return isfinite(value) ? value : FLT_MAX;
}

static void any_features(uint64_t *state, fl4_problem *p)
{
  if (up_to(state, 2) == 0) {
    p->mask = FL4_MASK_WINDOW;
    p->window_left = up_to(state, 1) ? up_to(state, FL4__PROBLEM_MAX_SIZE + 1) - 1 : up_to(state, 3) - 1;
    p->window_right = up_to(state, 1) ? up_to(state, FL4__PROBLEM_MAX_SIZE + 1) - 1 : up_to(state, 3) - 1;
  }
  if (up_to(state, 1)) p->softcap = fabsf(any_float(state));
  p->alibi = (int32_t)up_to(state, 1), p->sinks = (int32_t)up_to(state, 1);
  p->flags = (uint32_t)up_to(state, 1);
  p->lens = (int32_t)up_to(state, 3);
  if (up_to(state, 1))
    p->ragged = (int32_t)up_to(state, 3);
  else if ((p->bias = (int32_t)up_to(state, 4)))
    p->bias_shared = (int32_t)up_to(state, 14);
  if (p->layout != FL4_LAYOUT_PACKED && up_to(state, 1)) p->page_size = 8 << up_to(state, 13);
  /* What can be counted; without sequences it is nothing. */
  if (p->ragged || p->bias || p->page_size) p->B = up_to(state, 1), p->Sq &= 0xfffff, p->Sk &= 0xfffff;
}

START_TEST(any_problem_comes_back)
{
  size_t longest = 0;
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
    if (up_to(&state, 1)) p.scale = any_float(&state);
    if (up_to(&state, 1)) any_features(&state, &p);
    char line[FL4_PROBLEM_LINE_MAX], again[FL4_PROBLEM_LINE_MAX];
    ck_assert_fl4(fl4_problem_format(&p, line, sizeof line));
    ck_assert_fl4(fl4_problem_parse(line, &back));
    ck_assert_same(&p, &back);
    ck_assert_fl4(fl4_problem_format(&back, again, sizeof again));
    ck_assert_str_eq(line, again);
    if (strlen(line) > longest) longest = strlen(line);
  }
  ck_assert_uint_gt(longest, 130);

  /* As long as a line can be. */
  fl4_problem p = FL4_PROBLEM_INIT;
  char line[FL4_PROBLEM_LINE_MAX];
  p.Hq = 4194302, p.Hkv = 2097151, p.Sq = 1073741823, p.Sk = 1073741822, p.D = 256;
  p.dtype = FL4_DTYPE_BF16, p.lse = 1, p.scale = -1.17549435e-38f, p.layout = FL4_LAYOUT_BSHD;
  p.mask = FL4_MASK_WINDOW, p.window_left = p.window_right = 1073741823, p.softcap = 1.17549435e-38f;
  p.alibi = p.sinks = 1, p.ragged = p.lens = FL4_LENGTHS_FULL, p.page_size = 65536, p.flags = 1;
  ck_assert_fl4(fl4_problem_format(&p, line, sizeof line));
  ck_assert_uint_lt(strlen(line), FL4_PROBLEM_LINE_MAX - 16); /* a bias in place of ragged has 2 more, a batch 10 */
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

/* Lengths are as the header says, whatever draws them. */
START_TEST(draws_lengths)
{
  fl4_problem p = parsed("b4096hq1sq100sk5000d8:ragged:lens");
  double mean = 0, mean_used = 0;
  bool none = false, all = false;
  for (int64_t b = 0; b < p.B; b++) {
    const fl4__lengths l = fl4__problem_lengths(&p, b), again = fl4__problem_lengths(&p, b);
    ck_assert_mem_eq(&l, &again, sizeof l);
    ck_assert(0 <= l.queries && l.queries <= 100 && 0 <= l.room && l.room <= 5000 && 0 <= l.keys && l.keys <= l.room);
    ck_assert_int_le(llabs(l.room - 50 * l.queries), 50); /* one draw for both */
    none |= l.queries == 0, all |= l.queries == 100;
    mean += (double)l.room / 4096, mean_used += (double)l.keys / 4096;
  }
  ck_assert(none && all);
  ck_assert_double_eq_tol(mean, 2500, 5 * 5000 / sqrt(12.0 * 4096));
  ck_assert_double_eq_tol(mean_used, 5000 / 3.0, 120); /* the lesser of two: another draw */

  p = parsed("b3hq1sq100sk5000d8:ragged=one");
  fl4__lengths l = fl4__problem_lengths(&p, 0);
  ck_assert(l.queries == 100 && l.room == 5000 && l.keys == 5000);
  l = fl4__problem_lengths(&p, 2);
  ck_assert(l.queries == 1 && l.room == 4 && l.keys == 4);
  p = parsed("b3hq1sq0sk5000d8:ragged=full:lens=one");
  l = fl4__problem_lengths(&p, 1);
  ck_assert(l.queries == 0 && l.room == 5000 && l.keys == 4);
  p = parsed("b3hq1sq7sk5000d8");
  l = fl4__problem_lengths(&p, 1);
  ck_assert(l.queries == 7 && l.room == 5000 && l.keys == 5000);
}
END_TEST

static bool sees(const fl4_problem *p, int64_t i, int64_t j, int64_t lq, int64_t lk)
{
  const int64_t ahead = j - (i + lk - lq);
  if (p->mask == FL4_MASK_CAUSAL) return ahead <= 0;
  if (p->mask == FL4_MASK_NONE) return true;
  return (p->window_left < 0 || -ahead <= p->window_left) && (p->window_right < 0 || ahead <= p->window_right);
}

/* Counted one pair at a time. */
static double slow_flops(const fl4_problem *p)
{
  double pairs = 0;
  for (int64_t b = 0; b < p->B; b++) {
    const fl4__lengths l = fl4__problem_lengths(p, b);
    for (int64_t i = 0; i < l.queries; i++)
      for (int64_t j = 0; j < l.keys; j++) pairs += sees(p, i, j, l.queries, l.keys);
  }
  return 4.0 * (double)(p->D * p->Hq) * pairs;
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
      "b3hq2sq40d8:window=7,0",
      "b3hq2sq40d8:window=0,0:sinks",
      "hq2sq40sk20d8:window=7,3",
      "hq2sq20sk40d8:window=-1,3",
      "hq2sq20sk40d8:window=5,-1",
      "hq2sq20sk40d8:window=-1,-1",
      "hq2sq50sk20d8:window=5,100",
      "hq2sq1sk50d8:window=1000,0",
      "b9hq2sq40d8:ragged:causal",
      "b9hq2sq40sk90d8:ragged:window=3,4",
      "b9hq2sq40sk90d8:ragged:lens",
      "b9hq2sq10sk90d8:lens:causal:page=16",
      "b3hq2sq30sk2000d8:ragged=one:lens",
      "b3hq2sq30sk20d8:bias=fp16:causal",
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
      {"hq1sq1sk100d8:window=9,0", 2 * 8.0 * (2 + 2 * 10)},
      {"hq1sq5sk100d8:window=9,3", 2 * 8.0 * (2 * 5 + 2 * 14)},
      {"hq1sq5sk100d8:window=-1,0", 2 * 8.0 * (2 * 5 + 2 * 100)},
      {"hq1sq0sk100d8:window=9,0", 0},
      {"b2hq4hkv2sq3sk100d8:lens=one", 2 * 8.0 * 2 * (2 * 4 * 3) + 2 * 8.0 * 2 * 2 * 101},
      {"b2hq4hkv2sq2048d8:ragged=one:lse", 2 * 8.0 * (2 * 4 + 2 * 2) * 2050 + 4.0 * 4 * 2050},
      /* As above, and the bias of all pairs, of those below the diagonal, of rows, of columns, of heads. */
      {"b2hq4hkv2sq5d16:bias=fp32", 2 * 16.0 * 2 * 12 * 5 + 4 * 2 * 4 * 25},
      {"b2hq4hkv2sq5d16:bias=fp16:causal", 2 * 16.0 * 2 * 12 * 5 + 2 * 2 * 4 * 15},
      {"b2hq4hkv2sq5d16:bias=bool/ij", 2 * 16.0 * 2 * 12 * 5 + 25},
      {"b2hq4hkv2sq5d16:bias=bf16/hi", 2 * 16.0 * 2 * 12 * 5 + 2 * 4 * 5},
      {"b2hq4hkv2sq5sk9d16:bias=bool/bj", 2 * 16.0 * 2 * (2 * 4 * 5 + 2 * 2 * 9) + 2 * 9},
      {"b2hq4hkv2sq5d16:bias=fp16/bh", 2 * 16.0 * 2 * 12 * 5 + 2 * 2 * 4},
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
  tcase_add_test(c, reads_every_feature);
  tcase_add_test(c, fills_defaults);
  tcase_add_test(c, reads_each_word);
  tcase_add_loop_test(c, refuses, 0, (int)(sizeof wrong / sizeof wrong[0]));
  tcase_add_test(c, refuses_bad_arguments);
  tcase_add_test(c, fills_a_larger_struct);
  tcase_add_test(c, writes_no_defaults);
  tcase_add_test(c, format_refuses);
  tcase_add_test(c, any_problem_comes_back);
  tcase_add_test(c, ignores_the_locale);
  tcase_add_test(c, draws_lengths);
  tcase_add_test(c, counts_flops);
  tcase_add_test(c, counts_bytes);
  tcase_add_test(c, knows_dtypes);
  suite_add_tcase(suite, c);
  return suite;
}

FL4_TEST_MAIN(make_suite)

/* SPDX-License-Identifier: Apache-2.0 */
/* The built-in sets: each line is canonical and stands there once, and each set is what it says. */
#include <stdbool.h>

#include "fl4_test.h"

static const char *const names[] = {"canonical", "l4",       "prefill", "stress",  "decode", "models",
                                    "smoke",     "features", "parity",  "extreme", "demo",   "demo-host"};
enum { N_SETS = sizeof names / sizeof names[0] };

static fl4_problem parsed(const char *line)
{
  fl4_problem p = FL4_PROBLEM_INIT;
  ck_assert_fl4(fl4_problem_parse(line, &p));
  return p;
}

static bool one_of(int64_t value, const int64_t *values, int n)
{
  for (int i = 0; i < n; i++)
    if (values[i] == value) return true;
  return false;
}
#define ONE_OF(value, ...)                                                                                             \
  one_of(value, (const int64_t[]){__VA_ARGS__}, (int)(sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t)))

START_TEST(sets_have_names)
{
  for (size_t i = 0; i < N_SETS; i++) {
    ck_assert_str_eq(fl4_shapes_name(i), names[i]);
    ck_assert_uint_gt(strlen(fl4_shapes_what(names[i])), 10);
  }
  ck_assert_ptr_null(fl4_shapes_name(N_SETS));
  ck_assert_ptr_null(fl4_shapes_name((size_t)-1));
}
END_TEST

START_TEST(unknown_sets_are_empty)
{
  static const char *const unknown[] = {"none", "", "canonica", "canonical ", NULL};
  for (size_t i = 0; i < sizeof unknown / sizeof unknown[0]; i++) {
    ck_assert_ptr_null(fl4_shapes_what(unknown[i]));
    ck_assert_uint_eq(fl4_shapes_count(unknown[i]), 0);
    ck_assert_ptr_null(fl4_shapes_line(unknown[i], 0));
    ck_assert_ptr_null(fl4_shapes_note(unknown[i], 0));
  }
}
END_TEST

START_TEST(lines_are_canonical)
{
  const char *set = names[_i];
  const size_t n = fl4_shapes_count(set);
  ck_assert_uint_ge(n, 3);
  for (size_t i = 0; i < n; i++) {
    const char *line = fl4_shapes_line(set, i);
    char again[FL4_PROBLEM_LINE_MAX];
    fl4_problem p = parsed(line);
    ck_assert_fl4(fl4_problem_format(&p, again, sizeof again));
    ck_assert_str_eq(line, again);
    ck_assert_int_ne(p.dtype, FL4_DTYPE_FP32); /* GPUs run the sets too */
    ck_assert_ptr_nonnull(fl4_shapes_note(set, i));
    for (size_t k = 0; k < i; k++) ck_assert_str_ne(line, fl4_shapes_line(set, k));
  }
  ck_assert_ptr_null(fl4_shapes_line(set, n));
  ck_assert_ptr_null(fl4_shapes_note(set, n));
}
END_TEST

START_TEST(canonical_is_the_three)
{
  ck_assert_uint_eq(fl4_shapes_count("canonical"), 3);
  ck_assert_str_eq(fl4_shapes_line("canonical", 0), "b4hq16sq2048d128:causal");
  ck_assert_str_eq(fl4_shapes_line("canonical", 1), "hq8sq4096d128:causal");
  ck_assert_str_eq(fl4_shapes_line("canonical", 2), "b8hq16sq1024d64");
}
END_TEST

static bool is_plain(const fl4_problem *p)
{
  return p->Sk == p->Sq && p->Hkv == p->Hq && !p->lse && !p->layout && p->scale == 0;
}

/* All are of the grid, and no two are equal: each combination is there. */
START_TEST(grids_are_whole)
{
  size_t parity = 0, l4 = 0;
  for (size_t i = 0; i < fl4_shapes_count("parity"); i++) {
    const fl4_problem p = parsed(fl4_shapes_line("parity", i));
    parity += ONE_OF(p.B, 1, 4, 8) && ONE_OF(p.Hq, 8, 16) && ONE_OF(p.Sq, 128, 512, 1024, 2048) &&
              ONE_OF(p.D, 64, 80, 96, 128) && is_plain(&p);
  }
  for (size_t i = 0; i < 192; i++) {
    const fl4_problem p = parsed(fl4_shapes_line("l4", i));
    l4 += ONE_OF(p.B, 1, 4, 8) && ONE_OF(p.Hq, 8, 16) && ONE_OF(p.Sq, 128, 512, 1024, 2048) && ONE_OF(p.D, 64, 128) &&
          is_plain(&p);
  }
  ck_assert_uint_eq(parity, 3 * 2 * 4 * 4 * 2 * 2);
  ck_assert_uint_eq(fl4_shapes_count("parity"), parity);
  ck_assert_uint_eq(l4, 3 * 2 * 4 * 2 * 2 * 2);
  ck_assert_uint_eq(fl4_shapes_count("l4"), 194);
  ck_assert_str_eq(fl4_shapes_line("l4", 192), "hq8sq4096d128:causal");
  ck_assert_str_eq(fl4_shapes_line("l4", 193), "hq8sq8192d128:causal");
}
END_TEST

/* Whatever a line may say beyond dense attention is said, and no line is dense. */
START_TEST(features_are_all_there)
{
  bool window = false, softcap = false, alibi = false, sinks = false, packed = false, odd = false, invariant = false;
  int biases = 0, shared = 0, ragged = 0, lens = 0, pages = 0;
  for (size_t i = 0; i < fl4_shapes_count("features"); i++) {
    const fl4_problem p = parsed(fl4_shapes_line("features", i));
    const bool window_here = p.mask == FL4_MASK_WINDOW;
    ck_assert(window_here || p.softcap > 0 || p.alibi || p.sinks || p.bias || p.ragged || p.lens || p.page_size);
    window |= window_here, softcap |= p.softcap > 0, alibi |= p.alibi, sinks |= p.sinks, invariant |= p.flags != 0;
    packed |= p.layout == FL4_LAYOUT_PACKED, odd |= p.layout == FL4_LAYOUT_ODD;
    biases |= p.bias ? 1 << p.bias : 0, shared |= p.bias_shared, ragged |= 1 << p.ragged, lens |= 1 << p.lens;
    pages |= p.page_size;
  }
  ck_assert(window && softcap && alibi && sinks && packed && odd && invariant);
  ck_assert(biases == 30 && shared == 15 && ragged == 15 && (lens & 11) == 11);
  ck_assert_int_eq(pages, 8 | 16 | 32 | 64 | 128 | 256);
}
END_TEST

/* Each length has its B × H; with the number of problems, each combination is there. */
START_TEST(prefill_is_the_grid)
{
  static const int64_t lengths[] = {512, 1024, 2048, 4096, 8192, 16384}, batches[] = {4, 8, 4, 4, 2, 1};
  size_t found = 0;
  for (size_t i = 0; i < fl4_shapes_count("prefill"); i++) {
    const fl4_problem p = parsed(fl4_shapes_line("prefill", i));
    ck_assert(is_plain(&p) && p.dtype == FL4_DTYPE_FP16 && p.Hq == 16 && ONE_OF(p.D, 64, 80, 96, 128, 192, 256));
    for (int n = 0; n < 6; n++) found += p.Sq == lengths[n] && p.B == batches[n];
  }
  ck_assert_uint_eq(found, 6 * 6 * 2);
  ck_assert_uint_eq(fl4_shapes_count("prefill"), found);
}
END_TEST

/* As many tokens at every length but the longest, D = 256 at the shorter ones, both masks. */
START_TEST(stress_is_long)
{
  size_t causal = 0;
  for (size_t i = 0; i < fl4_shapes_count("stress"); i++) {
    const fl4_problem p = parsed(fl4_shapes_line("stress", i));
    ck_assert(ONE_OF(p.Sq, 4096, 8192, 16384, 32768) && is_plain(&p) && p.dtype == FL4_DTYPE_FP16);
    ck_assert(ONE_OF(p.D, 64, 128) || (p.D == 256 && p.Sq <= 8192));
    ck_assert_int_eq(p.B * p.Hq * p.Sq, p.Sq == 32768 ? 8 * 32768 : 16 * 16384);
    causal += p.mask == FL4_MASK_CAUSAL;
  }
  ck_assert_uint_eq(fl4_shapes_count("stress"), 2 * (4 * 2 + 2));
  ck_assert_uint_eq(causal, 4 * 2 + 2);
}
END_TEST

START_TEST(decode_has_one_query)
{
  double most = 0;
  for (size_t i = 0; i < fl4_shapes_count("decode"); i++) {
    const fl4_problem p = parsed(fl4_shapes_line("decode", i));
    const double cache = 2.0 * 2 * (double)(p.B * p.Hkv * p.Sk * p.D);
    ck_assert(p.Sq == 1 && p.dtype == FL4_DTYPE_BF16 && p.mask == FL4_MASK_NONE && p.layout == 0);
    ck_assert(ONE_OF(p.B, 1, 4, 16, 64) && p.Sk >= 4096 && p.Sk <= 131072 && ONE_OF(p.D, 64, 128));
    ck_assert_double_lt(cache, 4294967296.0);
    most = cache > most ? cache : most;
  }
  ck_assert_double_ge(most, 2147483648.0); /* some reach beyond 2³¹ bytes */
}
END_TEST

/* "model, phase: source" */
START_TEST(models_have_sources)
{
  for (size_t i = 0; i < fl4_shapes_count("models"); i++) {
    const char *note = fl4_shapes_note("models", i), *comma = strchr(note, ','), *source = strstr(note, ": ");
    ck_assert_msg(comma && source && comma < source && strlen(source) > 6, "%s", note);
    ck_assert_ptr_null(strstr(note, "://"));
    for (size_t k = 0; k < i; k++) ck_assert_str_ne(note, fl4_shapes_note("models", k));
  }
  ck_assert_str_eq(fl4_shapes_note("canonical", 0), "");
}
END_TEST

/* One offset of the last problem does not fit 31 bits. */
START_TEST(extreme_goes_beyond_32_bits)
{
  const fl4_problem p = parsed(fl4_shapes_line("extreme", fl4_shapes_count("extreme") - 1));
  ck_assert_int_gt(p.B * p.Hkv * p.Sk * p.D, (int64_t)1 << 31);
}
END_TEST

static Suite *make_suite(void)
{
  Suite *suite = suite_create("shapes");
  TCase *c = tcase_create("shapes");
  tcase_add_test(c, sets_have_names);
  tcase_add_test(c, unknown_sets_are_empty);
  tcase_add_loop_test(c, lines_are_canonical, 0, N_SETS);
  tcase_add_test(c, canonical_is_the_three);
  tcase_add_test(c, grids_are_whole);
  tcase_add_test(c, features_are_all_there);
  tcase_add_test(c, prefill_is_the_grid);
  tcase_add_test(c, stress_is_long);
  tcase_add_test(c, decode_has_one_query);
  tcase_add_test(c, models_have_sources);
  tcase_add_test(c, extreme_goes_beyond_32_bits);
  suite_add_tcase(suite, c);
  return suite;
}

FL4_TEST_MAIN(make_suite)

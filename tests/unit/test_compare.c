/* SPDX-License-Identifier: Apache-2.0 */
/* The rule of comparison: it must let through what is right and nothing else. */
#include "check_data.h"

enum { ROWS = 2 * 256, D = 64 };
static double ref[ROWS * D], low[ROWS * D], other[ROWS * D];

/* Judges `out` against ref and low of the problem below. */
static fl4_check_result judge(int dtype, const double *out)
{
  fl4__compare c;
  fl4_check_result r = FL4_CHECK_RESULT_INIT;
  fl4__compare_init(&c, dtype, 64);
  for (int64_t i = 0; i < ROWS * D; i++)
    fl4__compare_add(&c, (const int64_t[4]){0, i / D / 256, i / D % 256, i % D}, out[i], ref[i], low[i]);
  fl4__compare_judge(&c, false, &r);
  return r;
}

/* ref, low and `other` = ref rounded, as a perfect kernel would write it. */
static data compare_data(int dtype)
{
  data x = make_data(dtype == FL4_DTYPE_FP16 ? "hq2sq256d64" : "hq2sq256d64:bf16", FL4_INPUTS_NORMAL, 11);
  fl4_attention_args a = args_of(&x);
  ck_assert_fl4(fl4_oracle_fp64(&a, NULL, 0, ref, low, NULL));
  for (int i = 0; i < ROWS * D; i++) other[i] = fl4__round_to(ref[i], dtype);
  return x;
}

START_TEST(rule_accepts_what_is_right)
{
  data x = compare_data(_i);
  fl4_check_result perfect = judge(_i, other), same = judge(_i, low);
  ck_assert(perfect.accurate && perfect.finite && same.accurate && same.finite);
  ck_assert_double_eq(same.max_error, same.max_low);
  ck_assert_double_eq(same.mean_error, same.mean_low);
  ck_assert_double_eq_tol(same.correlation, 1, 1e-4);
  ck_assert_double_eq_tol(same.scale, 1, 1e-2);
  ck_assert(same.lse_accurate && same.lse_error == 0);
  free(x.buffer);
}
END_TEST

START_TEST(rule_rejects_a_wrong_scale)
{
  data x = compare_data(_i);
  for (int i = 0; i < ROWS * D; i++) other[i] = fl4__round_to(1.02 * ref[i], _i);
  fl4_check_result r = judge(_i, other);
  ck_assert(!r.accurate && r.finite);
  ck_assert_double_eq_tol(r.scale, 1.02, 1e-3);

  fl4_attention_args a = args_of(&x);
  a.scale = 0.125f * 1.02f; /* of the softmax */
  ck_assert_fl4(fl4_oracle_fp64(&a, NULL, 0, other, NULL, NULL));
  ck_assert(!judge(_i, other).accurate);
  free(x.buffer);
}
END_TEST

START_TEST(rule_rejects_a_dropped_tile)
{
  data x = compare_data(_i);
  fl4_attention_args a = args_of(&x);
  a.Sk = 256 - 16;
  ck_assert_fl4(fl4_oracle_fp64(&a, NULL, 0, other, NULL, NULL));
  ck_assert(!judge(_i, other).accurate);
  /* From one row only. */
  for (int i = D; i < ROWS * D; i++) other[i] = fl4__round_to(ref[i], _i);
  ck_assert(!judge(_i, other).accurate);
  free(x.buffer);
}
END_TEST

START_TEST(rule_rejects_swapped_rows)
{
  data x = compare_data(_i);
  memcpy(other + 40 * D, ref + 41 * D, D * sizeof *ref);
  memcpy(other + 41 * D, ref + 40 * D, D * sizeof *ref);
  fl4_check_result r = judge(_i, other);
  ck_assert(!r.accurate);
  ck_assert(r.worst[1] == 0 && (r.worst[2] == 40 || r.worst[2] == 41));
  const int64_t at = r.worst[2] * D + r.worst[3];
  ck_assert_double_eq(r.worst_out, other[at]);
  ck_assert_double_eq(r.worst_ref, ref[at]);
  free(x.buffer);
}
END_TEST

START_TEST(rule_rejects_nan_and_infinity)
{
  const double bad[] = {NAN, INFINITY, -INFINITY};
  data x = compare_data(_i);
  for (int b = 0; b < 3; b++) {
    const double saved = other[777];
    other[777] = bad[b];
    fl4_check_result r = judge(_i, other);
    ck_assert(!r.finite && !r.accurate);
    ck_assert_int_eq(r.worst[2] * D + r.worst[3], 777);
    ck_assert(r.max_error == INFINITY && r.mean_error == INFINITY);
    other[777] = saved;
  }
  /* Nor does a reference that is NaN, or a yardstick that overflowed, excuse anything. */
  double saved = ref[5];
  ref[5] = NAN;
  ck_assert(!judge(_i, other).accurate);
  ref[5] = saved, other[5] = 1.5, low[5] = INFINITY;
  ck_assert(!judge(_i, other).accurate);
  low[5] = NAN;
  ck_assert(!judge(_i, other).accurate);
  free(x.buffer);
}
END_TEST

START_TEST(rule_is_the_documented_one)
{
  fl4__compare c;
  fl4_check_result r = FL4_CHECK_RESULT_INIT;
  fl4__compare_init(&c, FL4_DTYPE_BF16, 64);
  const int64_t at[4] = {1, 2, 3, 4};
  fl4__compare_add(&c, at, 1.5, 1, 1.25);
  fl4__compare_add(&c, at, -4, -4, -4);
  fl4__compare_judge(&c, true, &r);
  ck_assert_double_eq(r.max_allowed, 2 * 0.25 + 0x1p-7 * 4);
  ck_assert_double_eq_tol(r.mean_allowed, 1.5 * 0.125 + 0x1p-8 * 2.5, 1e-15);
  ck_assert_double_eq(r.max_error, 0.5);
  ck_assert_double_eq(r.mean_error, 0.25);
  ck_assert(!r.accurate); /* the maximum would do, the mean is too large */
  ck_assert_int_eq(r.worst[3], 4);
}
END_TEST

START_TEST(lse_rule)
{
  fl4__compare c;
  fl4_check_result r = FL4_CHECK_RESULT_INIT;
  const struct {
    double out, ref;
    int accurate, finite;
  } cases[] = {
      {5, 5.0009, 1, 1},    {5, 5.0011, 0, 1},       {-INFINITY, -INFINITY, 1, 1}, {-INFINITY, 3, 0, 0},
      {3, -INFINITY, 0, 0}, {NAN, 3, 0, 0},          {NAN, -INFINITY, 0, 0},       {INFINITY, -INFINITY, 0, 0},
      {3, NAN, 0, 0},       {8192, 8192.0075, 1, 1}, {8192, 8192.0085, 0, 1},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    fl4__compare_init(&c, FL4_DTYPE_FP16, 64);
    fl4__compare_add(&c, (const int64_t[4]){0}, 1, 1, 1);
    fl4__compare_lse(&c, cases[i].out, cases[i].ref);
    fl4__compare_judge(&c, true, &r);
    ck_assert_msg(r.lse_accurate == cases[i].accurate && r.finite == cases[i].finite, "lse %g against %g", cases[i].out,
                  cases[i].ref);
    fl4__compare_judge(&c, false, &r); /* not asked for: not judged */
    ck_assert(r.lse_accurate && r.finite && r.accurate);
  }
}
END_TEST

START_TEST(parts_merge_to_the_whole)
{
  data x = compare_data(FL4_DTYPE_FP16);
  other[ROWS * D - 7] += 1;
  fl4__compare whole, parts[3], total;
  fl4__compare_init(&whole, FL4_DTYPE_FP16, 64);
  fl4__compare_init(&total, FL4_DTYPE_FP16, 64);
  for (int t = 0; t < 3; t++) fl4__compare_init(&parts[t], FL4_DTYPE_FP16, 64);
  for (int64_t i = 0; i < ROWS * D; i++) {
    const int64_t at[4] = {0, 0, i / D, i % D};
    fl4__compare_add(&whole, at, other[i], ref[i], low[i]);
    fl4__compare_add(&parts[i % 2 ? 2 : 0], at, other[i], ref[i], low[i]); /* part 1 stays empty */
  }
  fl4__compare_lse(&parts[1], 1, -INFINITY);
  fl4__compare_lse(&whole, 1, -INFINITY);
  for (int t = 0; t < 3; t++) fl4__compare_merge(&total, &parts[t]);
  ck_assert_int_eq(total.n, whole.n);
  ck_assert_int_eq(total.lse_wrong, 1);
  ck_assert_mem_eq(total.worst, whole.worst, sizeof whole.worst);
  fl4_check_result a = FL4_CHECK_RESULT_INIT, b = FL4_CHECK_RESULT_INIT;
  fl4__compare_judge(&whole, true, &a);
  fl4__compare_judge(&total, true, &b);
  ck_assert_double_eq(a.max_error, b.max_error);
  ck_assert_double_eq(a.max_low, b.max_low);
  ck_assert_double_eq_tol(a.mean_error, b.mean_error, 1e-15);
  ck_assert_double_eq_tol(a.correlation, b.correlation, 1e-12);
  ck_assert_int_eq(a.finite, b.finite);
  free(x.buffer);
}
END_TEST

START_TEST(nothing_and_constants_compare)
{
  fl4__compare c;
  fl4_check_result r = FL4_CHECK_RESULT_INIT;
  fl4__compare_init(&c, FL4_DTYPE_FP16, 64);
  fl4__compare_judge(&c, true, &r); /* no query: nothing can be wrong */
  ck_assert(r.accurate && r.finite && r.lse_accurate && r.correlation == 1 && r.scale == 1);
  for (int i = 0; i < 4; i++) fl4__compare_add(&c, (const int64_t[4]){0}, 0, 0, 0);
  fl4__compare_judge(&c, true, &r); /* no key: all zero */
  ck_assert(r.accurate && r.correlation == 1 && r.scale == 1);
  fl4__compare_add(&c, (const int64_t[4]){0}, 1e-6, 0, 0);
  fl4__compare_judge(&c, true, &r);
  ck_assert(!r.accurate && r.correlation == 0 && r.scale == 0);
}
END_TEST

static Suite *suite(void)
{
  Suite *s = suite_create("compare");
  TCase *t = tcase_create("rule");
  tcase_set_timeout(t, 60);
  tcase_add_loop_test(t, rule_accepts_what_is_right, 0, 2);
  tcase_add_loop_test(t, rule_rejects_a_wrong_scale, 0, 2);
  tcase_add_loop_test(t, rule_rejects_a_dropped_tile, 0, 2);
  tcase_add_loop_test(t, rule_rejects_swapped_rows, 0, 2);
  tcase_add_loop_test(t, rule_rejects_nan_and_infinity, 0, 2);
  tcase_add_test(t, rule_is_the_documented_one);
  tcase_add_test(t, lse_rule);
  tcase_add_test(t, parts_merge_to_the_whole);
  tcase_add_test(t, nothing_and_constants_compare);
  suite_add_tcase(s, t);
  return s;
}

FL4_TEST_MAIN(suite)

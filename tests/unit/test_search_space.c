/* SPDX-License-Identifier: Apache-2.0 */
/* Search spaces: points in, sorted, found; limits; distances. */
#include <stdint.h>

#include "no_memory.h"
#include "tune/space.h"
#include "util/random.h"

static const int size[] = {7, 3, 11};
static const bool ordinal[] = {true, false, true};

static fl4__space opened(void)
{
  fl4__space s;
  ck_assert_fl4(fl4__space_open(&s, 3, size, ordinal));
  return s;
}

static void add(fl4__space *s, int a, int b, int c)
{
  const uint16_t values[] = {(uint16_t)a, (uint16_t)b, (uint16_t)c};
  ck_assert_fl4(fl4__space_add(s, values));
}

static int64_t find(const fl4__space *s, int a, int b, int c)
{
  const uint16_t values[] = {(uint16_t)a, (uint16_t)b, (uint16_t)c};
  return fl4__space_find(s, values);
}

/* Points in any order, some of them several times: each is there once, and no other. */
START_TEST(finds_what_was_added)
{
  fl4__random random;
  for (uint64_t seed = 0; seed < 50; seed++) {
    bool there[7][3][11] = {0};
    int n = 0;
    fl4__space s = opened();
    fl4__random_init(&random, seed);
    for (int i = 0; i < (int)seed * 20; i++) {
      const int a = (int)fl4__random_below(&random, 7), b = (int)fl4__random_below(&random, 3),
                c = (int)fl4__random_below(&random, 11);
      add(&s, a, b, c);
      n += !there[a][b][c];
      there[a][b][c] = true;
    }
    fl4__space_seal(&s);
    ck_assert_int_eq(s.n_points, n);
    int64_t next = 0; /* the order is that of the values */
    for (int a = 0; a < 7; a++)
      for (int b = 0; b < 3; b++)
        for (int c = 0; c < 11; c++) {
          const int64_t at = find(&s, a, b, c);
          ck_assert_int_eq(at, there[a][b][c] ? next++ : -1);
          if (at < 0) continue;
          const uint16_t *point = fl4__space_point(&s, at);
          ck_assert(point[0] == a && point[1] == b && point[2] == c);
        }
    fl4__space_close(&s);
  }
}
END_TEST

/* Adding goes on after a seal that dropped most of the points. */
START_TEST(grows_after_seal)
{
  fl4__space s = opened();
  for (int i = 0; i < 600; i++) add(&s, 1, 1, 1);
  fl4__space_seal(&s);
  ck_assert_int_eq(s.n_points, 1);
  for (int i = 0; i < 7 * 3 * 11 * 5; i++) add(&s, i % 7, i / 7 % 3, i / 21 % 11);
  fl4__space_seal(&s);
  ck_assert_int_eq(s.n_points, 7 * 3 * 11);
  for (int i = 0; i < 7 * 3 * 11; i++) ck_assert_int_ge(find(&s, i % 7, i / 7 % 3, i / 21 % 11), 0);
  fl4__space_close(&s);
}
END_TEST

START_TEST(empty)
{
  fl4__space s = opened();
  fl4__space_seal(&s);
  ck_assert_int_eq(s.n_points, 0);
  ck_assert_int_eq(find(&s, 0, 0, 0), -1);
  fl4__space_close(&s);
  fl4__space_close(&s);
}
END_TEST

START_TEST(limits)
{
  fl4__space s;
  int sizes[FL4__MAX_AXES + 1];
  bool ordinals[FL4__MAX_AXES + 1] = {0};
  for (int i = 0; i <= FL4__MAX_AXES; i++) sizes[i] = 2;
  ck_assert_fl4_fails(fl4__space_open(&s, 0, sizes, ordinals), FL4_INVALID_ARGUMENT,
                      "has 0 parameters, must have 1 to 32");
  ck_assert_fl4_fails(fl4__space_open(&s, FL4__MAX_AXES + 1, sizes, ordinals), FL4_INVALID_ARGUMENT,
                      "has 33 parameters");
  ck_assert_fl4(fl4__space_open(&s, FL4__MAX_AXES, sizes, ordinals));
  sizes[3] = 0;
  ck_assert_fl4_fails(fl4__space_open(&s, 5, sizes, ordinals), FL4_INVALID_ARGUMENT, "parameter 3 has 0 values");
  sizes[3] = 65537;
  ck_assert_fl4_fails(fl4__space_open(&s, 5, sizes, ordinals), FL4_INVALID_ARGUMENT, "must have 1 to 65536");
  sizes[3] = 65536;
  ck_assert_fl4(fl4__space_open(&s, 5, sizes, ordinals));
  const uint16_t good[] = {1, 1, 1, 65535, 0}, bad[] = {1, 2, 1, 65535, 0};
  ck_assert_fl4(fl4__space_add(&s, good));
  ck_assert_fl4_fails(fl4__space_add(&s, bad), FL4_INVALID_ARGUMENT, "parameter 1: value 2 of 2");
  ck_assert_int_eq(s.n_points, 1);
  s.n_points = FL4__MAX_POINTS; /* as if there were */
  ck_assert_fl4_fails(fl4__space_add(&s, good), FL4_UNSUPPORTED, "more than 16777216 points");
  fl4__space_close(&s);
}
END_TEST

static fl4_status fill(void)
{
  fl4__space s;
  fl4_status status = fl4__space_open(&s, 3, size, ordinal);
  for (int i = 0; i < 600 && status == FL4_OK; i++) {
    const uint16_t values[] = {(uint16_t)(i % 7), 0, 0};
    status = fl4__space_add(&s, values);
  }
  fl4__space_close(&s);
  return status;
}

START_TEST(no_memory)
{
  ck_assert_fl4_needs(3, fill()); /* for 256, 512, 1024 points */
}
END_TEST

START_TEST(distance)
{
  fl4__space s = opened();
  for (int i = 0; i < 7 * 3 * 11; i++) add(&s, i % 7, i / 7 % 3, i / 21 % 11);
  fl4__space_seal(&s);
#define D(a, b) fl4__space_distance(&s, a, b)
  const int64_t x = find(&s, 3, 1, 5);
  ck_assert_double_eq(D(x, x), 0);
  ck_assert_double_eq_tol(D(x, find(&s, 4, 1, 5)), 0.6 + 0.4 / 6, 1e-12);
  ck_assert_double_eq_tol(D(find(&s, 0, 1, 5), find(&s, 6, 1, 5)), 1, 1e-12);
  ck_assert_double_eq_tol(D(x, find(&s, 3, 2, 5)), 1, 1e-12); /* categorical: all are as unlike */
  ck_assert_double_eq_tol(D(find(&s, 3, 0, 5), find(&s, 3, 2, 5)), 1, 1e-12);
  ck_assert_double_eq_tol(D(find(&s, 0, 0, 0), find(&s, 6, 1, 10)), 3, 1e-12);
  for (int64_t a = 0; a < s.n_points; a++)
    for (int64_t b = 0; b < a; b++) ck_assert(D(a, b) == D(b, a) && D(a, b) >= 0.6 && D(a, b) <= 3);
#undef D
  fl4__space_close(&s);
}
END_TEST

static Suite *make_suite(void)
{
  Suite *s = suite_create("search space");
  TCase *t = tcase_create("space");
  tcase_add_test(t, finds_what_was_added);
  tcase_add_test(t, grows_after_seal);
  tcase_add_test(t, empty);
  tcase_add_test(t, limits);
  tcase_add_test(t, no_memory);
  tcase_add_test(t, distance);
  suite_add_tcase(s, t);
  return s;
}

FL4_TEST_MAIN(make_suite)

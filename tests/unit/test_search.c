/* SPDX-License-Identifier: Apache-2.0 */
/* Search strategies on spaces made up here. */
#include <math.h>
#include <stdint.h>

#include "no_memory.h"
#include "tune/search.h"

enum { N_STRATEGIES = 4 };

/* All combinations but each seventh or so. */
static fl4__space made(int n_axes, const int *size, bool ordinal)
{
  fl4__space s;
  bool ordinals[FL4__MAX_AXES];
  uint16_t values[FL4__MAX_AXES] = {0};
  for (int i = 0; i < n_axes; i++) ordinals[i] = ordinal || i % 2;
  ck_assert_fl4(fl4__space_open(&s, n_axes, size, ordinals));
  for (unsigned n = 0;; n++) {
    if (n * 2654435761u >> 29 || n == 0) ck_assert_fl4(fl4__space_add(&s, values));
    int axis = n_axes - 1;
    while (axis >= 0 && ++values[axis] == size[axis]) values[axis--] = 0;
    if (axis < 0) break;
  }
  fl4__space_seal(&s);
  return s;
}

static double hash_unit(int64_t point)
{
  fl4__random r;
  fl4__random_init(&r, (uint64_t)point);
  return fl4__random_unit(&r);
}

/* Least at the point in the middle, the better the nearer, with bumps; every ninth or so fails. */
static double valley(const fl4__space *s, int64_t point)
{
  const uint16_t *x = fl4__space_point(s, point);
  double cost = 10;
  for (int i = 0; i < s->n_axes; i++) cost += (1 + i % 3) * fabs(x[i] - 0.6 * (s->size[i] - 1));
  return hash_unit(point) < 0.11 ? (double)INFINITY : cost * (1 + 0.1 * hash_unit(point + 1000000));
}

static double all_equal(const fl4__space *s, int64_t point)
{
  (void)s, (void)point;
  return 1;
}

static double all_fail(const fl4__space *s, int64_t point)
{
  (void)s, (void)point;
  return (double)INFINITY;
}

typedef double cost_fn(const fl4__space *, int64_t);

/* Until nothing is left: each point is asked for once. */
static void ask_all(const fl4__space *space, const fl4__strategy *strategy, uint64_t seed, int n, cost_fn *cost)
{
  fl4__search s;
  int64_t points[FL4__BATCH], total = 0;
  bool *asked = calloc((size_t)space->n_points, sizeof *asked);
  ck_assert_fl4(fl4__search_open(&s, space, strategy, seed, NULL, 0));
  for (int got; (got = fl4__search_ask(&s, n, points)) > 0; total += got) {
    ck_assert_int_le(got, n < FL4__BATCH ? n : FL4__BATCH);
    for (int i = 0; i < got; i++) {
      ck_assert(points[i] >= 0 && points[i] < space->n_points);
      ck_assert_msg(!asked[points[i]], "%s: asks for point %d again", strategy->name, (int)points[i]);
      asked[points[i]] = true;
    }
    for (int i = 0; i < got; i++) fl4__search_tell(&s, points[i], cost(space, points[i]));
  }
  ck_assert_msg(total == space->n_points, "%s: asked for %d of %d", strategy->name, (int)total, (int)space->n_points);
  ck_assert_int_eq(fl4__search_ask(&s, n, points), 0);
  fl4__search_close(&s);
  free(asked);
}

START_TEST(every_point_once)
{
  static const int sizes[][4] = {{1, 1, 1, 1}, {2, 1, 1, 1}, {5, 1, 3, 2}, {4, 5, 6, 2}, {1, 200, 1, 2}};
  static cost_fn *const costs[] = {valley, all_equal, all_fail};
  const fl4__strategy *strategy = fl4__strategies[_i];
  for (int i = 0; i < 5; i++) {
    fl4__space space = made(4, sizes[i], i % 2);
    for (int k = 0; k < 3; k++)
      for (uint64_t seed = 0; seed < 5; seed++) ask_all(&space, strategy, seed, 1 + (int)(seed * 3), costs[k]);
    fl4__space_close(&space);
  }
}
END_TEST

/* A plain of 5000 equal points: beginning anew does not go on for ever. */
START_TEST(null_space)
{
  const int size[] = {10, 9, 8, 8};
  fl4__space space = made(4, size, true);
  ask_all(&space, fl4__strategies[_i], 1, FL4__BATCH, all_equal);
  fl4__space_close(&space);
}
END_TEST

/* ---------------------------------------------------------------- determinism */

enum { STEPS = 60 };

/* The order in which a batch is told, by `shuffle`: as asked, or another each time. */
static void questions(const fl4__space *space, const fl4__strategy *strategy, uint64_t seed, int shuffle,
                      int64_t asked[STEPS * FL4__BATCH])
{
  fl4__search s;
  fl4__random other;
  int64_t points[FL4__BATCH];
  fl4__random_init(&other, (uint64_t)shuffle);
  ck_assert_fl4(fl4__search_open(&s, space, strategy, seed, NULL, 0));
  for (int step = 0; step < STEPS; step++) {
    const int got = fl4__search_ask(&s, FL4__BATCH, points);
    for (int i = 0; i < FL4__BATCH; i++) asked[step * FL4__BATCH + i] = i < got ? points[i] : -1;
    for (int i = got; i > 0; i--) {
      const int k = shuffle ? (int)fl4__random_below(&other, (uint32_t)i) : 0;
      /* Half of them cost the same: ties count too. */
      fl4__search_tell(&s, points[k], points[k] % 2 ? 20 : valley(space, points[k]));
      memmove(points + k, points + k + 1, (size_t)(i - k - 1) * sizeof *points);
    }
  }
  fl4__search_close(&s);
}

START_TEST(same_seed_same_questions)
{
  static int64_t a[STEPS * FL4__BATCH], b[STEPS * FL4__BATCH];
  const int size[] = {12, 9, 7, 6};
  const fl4__strategy *strategy = fl4__strategies[_i];
  fl4__space space = made(4, size, true);
  for (uint64_t seed = 0; seed < 5; seed++) {
    questions(&space, strategy, seed, 0, a);
    for (int shuffle = 0; shuffle < 4; shuffle++) {
      questions(&space, strategy, seed, shuffle, b);
      ck_assert_msg(memcmp(a, b, sizeof a) == 0, "%s: seed %d, order %d", strategy->name, (int)seed, shuffle);
    }
    questions(&space, strategy, seed + 1000, 0, b);
    ck_assert_msg((memcmp(a, b, sizeof a) == 0) == (strcmp(strategy->name, "exhaustive") == 0), "%s", strategy->name);
  }
  fl4__space_close(&space);
}
END_TEST

/* ---------------------------------------------------------------- what is known */

START_TEST(first_points_come_first)
{
  const int size[] = {8, 8, 8};
  const int64_t first[] = {77, 3, 77, -1, 1 << 20, 5, 6, 7, 8, 9, 10, 11};
  const int64_t expected[] = {77, 3, 5, 6, 7, 8, 9, 10, 11};
  int64_t points[FL4__BATCH];
  fl4__search s;
  fl4__space space = made(3, size, true);
  ck_assert_fl4(fl4__search_open(&s, &space, fl4__strategies[_i], 4, first, 12));
  ck_assert_int_eq(fl4__search_ask(&s, 0, points), 0);
  ck_assert_int_eq(fl4__search_ask(&s, 1000, points), FL4__BATCH);
  ck_assert_mem_eq(points, expected, sizeof points);
  for (int i = 0; i < FL4__BATCH; i++) fl4__search_tell(&s, points[i], 5);
  ck_assert_int_eq(fl4__search_ask(&s, 3, points), 1); /* the strategy waits for the last of them */
  ck_assert_int_eq(points[0], expected[8]);
  fl4__search_tell(&s, points[0], 5);
  ck_assert_int_eq(fl4__search_ask(&s, 3, points), 3);
  for (int i = 0; i < 3; i++)
    for (int k = 0; k < 9; k++) ck_assert_int_ne(points[i], expected[k]);
  fl4__search_close(&s);
  fl4__space_close(&space);
}
END_TEST

/* What is told unasked is not asked for; a cost may be corrected; what is no cost failed. */
START_TEST(told)
{
  const int size[] = {5, 5};
  fl4__search s;
  fl4__space space = made(2, size, true);
  int64_t points[FL4__BATCH];
  ck_assert_fl4(fl4__search_open(&s, &space, fl4__strategies[_i], 4, NULL, 0));
  ck_assert_int_eq(s.history.best, -1);
  fl4__search_tell(&s, 2, (double)NAN);
  ck_assert_int_eq(s.history.best, -1);
  ck_assert(isinf(s.history.cost[2]));
  fl4__search_tell(&s, 4, 3);
  fl4__search_tell(&s, 1, 3);
  ck_assert_int_eq(s.history.best, 1); /* of equals the least */
  fl4__search_tell(&s, 7, 2);
  ck_assert_int_eq(s.history.best, 7);
  fl4__search_tell(&s, 7, 9);
  ck_assert_int_eq(s.history.best, 1);
  fl4__search_tell(&s, 1, (double)INFINITY);
  ck_assert_int_eq(s.history.best, 4);
  fl4__search_tell(&s, 4, (double)INFINITY);
  fl4__search_tell(&s, 7, (double)INFINITY);
  ck_assert_int_eq(s.history.best, -1);
  fl4__search_tell(&s, 7, 9);
  ck_assert_int_eq(s.history.n, 4);
  int64_t n = 0;
  for (int got; (got = fl4__search_ask(&s, FL4__BATCH, points)) > 0; n += got)
    for (int i = 0; i < got; i++) {
      ck_assert(points[i] != 2 && points[i] != 4 && points[i] != 1 && points[i] != 7);
      fl4__search_tell(&s, points[i], 8);
    }
  ck_assert_int_eq(n, space.n_points - 4);
  fl4__search_close(&s);
  fl4__space_close(&space);
}
END_TEST

START_TEST(names)
{
  static const char *const all[] = {"evolve", "exhaustive", "random", "genetic"};
  for (int i = 0; i < N_STRATEGIES; i++) {
    ck_assert_str_eq(fl4__strategies[i]->name, all[i]);
    ck_assert_ptr_eq(fl4__strategy_find(all[i]), fl4__strategies[i]);
    ck_assert_int_gt((int)strlen(fl4__strategies[i]->what), 0);
  }
  ck_assert_ptr_null(fl4__strategies[N_STRATEGIES]);
  ck_assert_ptr_null(fl4__strategy_find("annealing"));
}
END_TEST

/* ---------------------------------------------------------------- finding */

/* Evaluations until the best is found. */
static int to_best(const fl4__space *space, const fl4__strategy *strategy, uint64_t seed, const double *cost,
                   double best, int cap)
{
  fl4__search s;
  int64_t points[FL4__BATCH];
  int n = 0, found = cap + 1;
  ck_assert_fl4(fl4__search_open(&s, space, strategy, seed, NULL, 0));
  while (n < cap && found > cap) {
    const int got = fl4__search_ask(&s, FL4__BATCH, points);
    for (int i = 0; i < got; i++) {
      n++;
      fl4__search_tell(&s, points[i], cost[points[i]]);
      if (cost[points[i]] <= best && found > cap) found = n;
    }
  }
  fl4__search_close(&s);
  return found;
}

/* One point of ten thousand is 10 % better than all others: at most 300 evaluations for 95 of 100 seeds. */
START_TEST(planted_optimum)
{
  enum { SEEDS = 100, CAP = 300 };
  const int size[] = {10, 12, 10, 10};
  fl4__space space = made(4, size, true);
  double *cost = malloc((size_t)space.n_points * sizeof *cost), best = (double)INFINITY;
  int64_t at = 0;
  int found = 0, by_luck = 0;
  ck_assert_int_ge(space.n_points, 10000);
  for (int64_t i = 0; i < space.n_points; i++) {
    cost[i] = valley(&space, i);
    if (cost[i] < best) best = cost[i], at = i;
  }
  cost[at] = best *= 0.9;
  for (uint64_t seed = 0; seed < SEEDS; seed++) {
    found += to_best(&space, fl4__strategy_find("evolve"), seed, cost, best, CAP) <= CAP;
    by_luck += to_best(&space, fl4__strategy_find("random"), seed, cost, best, CAP) <= CAP;
  }
  ck_assert_msg(found >= 95, "found by %d of %d seeds", found, SEEDS);
  ck_assert_msg(by_luck <= 15, "the test is too easy: %d seeds of %d found it at random", by_luck, SEEDS);
  free(cost);
  fl4__space_close(&space);
}
END_TEST

/* An axis on which neighbours are not alike, declared ordinal: no strategy may be stuck on it. */
START_TEST(ordinal_in_name_only)
{
  const int size[] = {31, 4, 6, 3};
  fl4__space space = made(4, size, true);
  double *cost = malloc((size_t)space.n_points * sizeof *cost), best = (double)INFINITY;
  int found = 0;
  for (int64_t i = 0; i < space.n_points; i++) {
    const uint16_t *x = fl4__space_point(&space, i);
    cost[i] = 1 + 3 * hash_unit(x[0]) + 0.2 * x[1] + 0.3 * abs(x[2] - 2) + (x[3] == 1 ? 0 : 0.5);
    if (cost[i] < best) best = cost[i];
  }
  for (uint64_t seed = 0; seed < 50; seed++)
    found += to_best(&space, fl4__strategy_find("evolve"), seed, cost, best, 300) <= 300;
  ck_assert_msg(found >= 48, "found by %d of 50 seeds", found);
  free(cost);
  fl4__space_close(&space);
}
END_TEST

/* ---------------------------------------------------------------- memory */

static fl4_status open_and_close(const fl4__space *space, const fl4__strategy *strategy)
{
  fl4__search s;
  const fl4_status status = fl4__search_open(&s, space, strategy, 1, NULL, 0);
  if (status == FL4_OK) fl4__search_close(&s);
  return status;
}

START_TEST(no_memory)
{
  const int size[] = {5, 5};
  fl4__space space = made(2, size, true);
  ck_assert_fl4_needs(4 + 7, open_and_close(&space, fl4__strategy_find("evolve")));
  ck_assert_fl4_needs(4 + 1, open_and_close(&space, fl4__strategy_find("exhaustive")));
  ck_assert_fl4_needs(4, open_and_close(&space, fl4__strategy_find("random")));
  ck_assert_fl4_needs(4 + 1, open_and_close(&space, fl4__strategy_find("genetic")));
  fl4__space_close(&space);
}
END_TEST

static Suite *make_suite(void)
{
  Suite *s = suite_create("search");
  TCase *t = tcase_create("search");
  tcase_set_timeout(t, 120);
  tcase_add_loop_test(t, every_point_once, 0, N_STRATEGIES);
  tcase_add_loop_test(t, null_space, 0, N_STRATEGIES);
  tcase_add_loop_test(t, same_seed_same_questions, 0, N_STRATEGIES);
  tcase_add_loop_test(t, first_points_come_first, 0, N_STRATEGIES);
  tcase_add_loop_test(t, told, 0, N_STRATEGIES);
  tcase_add_test(t, names);
  tcase_add_test(t, planted_optimum);
  tcase_add_test(t, ordinal_in_name_only);
  tcase_add_test(t, no_memory);
  suite_add_tcase(s, t);
  return s;
}

FL4_TEST_MAIN(make_suite)

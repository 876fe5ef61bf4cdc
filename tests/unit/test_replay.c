/* SPDX-License-Identifier: Apache-2.0 */
/* Recorded spaces, T4 files and logs: what is read from them, what is refused, what a replay makes of them. */
#include <math.h>
#include <zlib.h>
#ifdef _OPENMP
#include <omp.h>
#endif

#include "no_memory.h"
#include "problem.h"
#include "scratch.h"
#include "tune/log.h"
#include "tune/search.h"
#include "util/random.h"

/* ---------------------------------------------------------------- files */

static const char *t4_file(const char *results)
{
  static char text[1 << 16];
  const char *file = in_scratch("t4.json");
  snprintf(text, sizeof text, "{\"results\": [%s], \"schema_version\": \"1.0.0\"}\n", results);
  write_file(file, text, strlen(text));
  return file;
}

static const char *text_file(const char *text)
{
  const char *file = in_scratch("log.jsonl");
  write_file(file, text, strlen(text));
  return file;
}

#define CONFIG(x)                                                                                                      \
  "{\"configuration\": {" x "}, \"invalidity\": \"correct\", \"measurements\": [{\"name\": \"time\", \"value\": 2}]}"
#define RESULT(x, rest) "{\"configuration\": {\"x\": " x "}, " rest "}"
#define CORRECT(x, value)                                                                                              \
  RESULT(x, "\"invalidity\": \"correct\", \"measurements\": [{\"name\": \"time\", \"value\": " value "}]")

/* clang-format off */
static const char kinds_of_values[] =
    CONFIG("\"n\": 10, \"two\": 1, \"s\": \"b\", \"b\": true, \"one\": 3, \"f\": 0.5") ","
    CONFIG("\"f\": -1e3, \"n\": 9, \"two\": 2, \"s\": \"a\", \"b\": false, \"one\": 3") ","
    CONFIG("\"n\": 100, \"two\": 1, \"s\": \"c\", \"b\": false, \"one\": 3, \"f\": 7");

static const char several_times[] =
    CORRECT("1", "3") "," CORRECT("2", "4") "," CORRECT("1", "5") "," CORRECT("3", "6") ","
    RESULT("2", "\"invalidity\": \"timeout\"");

static const char one_log[] =
    "{\"tuning\": {\"problem\": \"p\"}, \"timestamp\": 1}\n"
    CORRECT("1", "3") "\n\n"
    "{\"begin\": {\"configuration\": {\"x\": 2}}}\n"
    CORRECT("2", "4") "\n"
    "{\"configuration\": {\"x\": 9}, \"inval\n"
    "{\"note\": 1}\n[1]\n{\"configuration\": 5}\n"
    "{\"tuning\": {\"problem\": \"p\"}, \"timestamp\": 2}\n"
    "{\"begin\": {\"configuration\": {\"x\": 3}}}\n"
    "{\"begin\": {\"config";

static const char two_logs[] =
    "{\"tuning\": {\"problem\": \"p\"}}\n"
    CONFIG("\"x\": 1") "\n"
    "{\"tuning\": {\"problem\": \"q\"}}\n"
    CONFIG("\"x\": 2");

static const char small_log[] =
    "{\"tuning\": {\"problem\": \"p\"}}\n"
    "{\"begin\": {\"configuration\": {\"x\": 1}}}\n"
    CORRECT("1", "[3, 4]") "\n"
    CORRECT("2", "4");

static const char small_t4[] =
    CONFIG("\"x\": 1, \"y\": \"a\"") ","
    CONFIG("\"x\": 2, \"y\": \"b\"");
/* clang-format on */

/* The cost of the n-th value of a single parameter. */
static double cost_at(const fl4__record *r, int n)
{
  const uint16_t value = (uint16_t)n;
  const int64_t point = fl4__space_find(r->space, &value);
  ck_assert_int_ge(point, 0);
  return r->cost[point];
}

/* ---------------------------------------------------------------- reading */

START_TEST(axes)
{
  fl4__record r;
  ck_assert_fl4(fl4__record_read(t4_file(kinds_of_values), &r));
  static const int size[] = {3, 2, 3, 2, 1, 3};
  static const bool ordinal[] = {true, false, false, false, false, true};
  static const uint16_t points[3][6] = {{0, 1, 0, 0, 0, 0}, {1, 0, 1, 1, 0, 1}, {2, 0, 2, 0, 0, 2}};
  ck_assert_int_eq(r.space->n_axes, 6);
  ck_assert_int_eq(r.space->n_points, 3);
  ck_assert_int_eq(r.failed, 0);
  ck_assert_mem_eq(r.space->size, size, sizeof size);
  ck_assert_mem_eq(r.space->ordinal, ordinal, sizeof ordinal);
  ck_assert_mem_eq(r.space->points, points, sizeof points);
  fl4__record_close(&r);
  fl4__record_close(&r);
}
END_TEST

START_TEST(objective)
{
  static const struct {
    const char *rest;
    double cost; /* 0: failed */
  } cases[] = {
      {"\"invalidity\": \"correct\", \"measurements\": [{\"name\": \"time\", \"value\": 2.5}]", 2.5},
      {"\"invalidity\": \"correct\", \"measurements\": [{\"name\": \"time\", \"value\": [1, 2, 6]}]", 3},
      {"\"invalidity\": \"correct\", \"measurements\": [{\"name\": \"power\", \"value\": 9}, {\"name\": \"time\", "
       "\"value\": 7}]",
       7},
      {"\"invalidity\": \"correct\", \"times\": {\"runtimes\": [4, 8]}", 6},
      {"\"invalidity\": \"correct\", \"times\": {\"runtimes\": [4, 8]}, \"measurements\": []", 6},
      {"\"invalidity\": \"correct\", \"times\": {\"runtimes\": [4, 8]}, \"measurements\": [{\"name\": \"time\", "
       "\"value\": 5}]",
       5},
      {"\"invalidity\": \"runtime\", \"measurements\": [{\"name\": \"time\", \"value\": 2.5}]", 0},
      {"\"invalidity\": 1, \"measurements\": [{\"name\": \"time\", \"value\": 2.5}]", 0},
      {"\"measurements\": [{\"name\": \"time\", \"value\": 2.5}]", 0},
      {"\"invalidity\": \"correct\", \"measurements\": [{\"name\": \"time\", \"value\": \"InvalidConfig\"}]", 0},
      {"\"invalidity\": \"correct\", \"measurements\": [{\"name\": \"time\", \"value\": []}]", 0},
      {"\"invalidity\": \"correct\", \"measurements\": [{\"name\": \"time\", \"value\": [1, \"x\"]}]", 0},
      {"\"invalidity\": \"correct\", \"measurements\": [{\"name\": \"time\", \"value\": 0}]", 0},
      {"\"invalidity\": \"correct\", \"measurements\": [{\"name\": \"time\", \"value\": -3}]", 0},
      {"\"invalidity\": \"correct\", \"measurements\": [{\"name\": \"time\", \"value\": [1e308, 1e308]}]", 0},
      {"\"invalidity\": \"correct\", \"measurements\": [3, {\"value\": 3}, {\"name\": 3}]", 0},
      {"\"invalidity\": \"correct\", \"times\": 3", 0},
      {"\"invalidity\": \"correct\"", 0},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char one[512];
    fl4__record r;
    snprintf(one, sizeof one, RESULT("1", "%s"), cases[i].rest);
    ck_assert_fl4(fl4__record_read(t4_file(one), &r));
    ck_assert_int_eq(r.failed, cases[i].cost == 0);
    const double expected = cases[i].cost == 0 ? (double)INFINITY : cases[i].cost;
    ck_assert_msg(cost_at(&r, 0) == expected, "%s: %g", cases[i].rest, cost_at(&r, 0));
    fl4__record_close(&r);
  }
}
END_TEST

START_TEST(last_counts)
{
  fl4__record r;
  ck_assert_fl4(fl4__record_read(t4_file(several_times), &r));
  ck_assert_int_eq(r.space->n_points, 3);
  ck_assert_int_eq(r.failed, 1);
  ck_assert_double_eq(cost_at(&r, 0), 5);
  ck_assert(isinf(cost_at(&r, 1)));
  ck_assert_double_eq(cost_at(&r, 2), 6);
  fl4__record_close(&r);
}
END_TEST

/* Lines: damaged and strange ones are passed over, a begin without an outcome failed. */
START_TEST(logs)
{
  fl4__record r;
  ck_assert_fl4(fl4__record_read(text_file(one_log), &r));
  ck_assert_int_eq(r.space->n_points, 3);
  ck_assert_int_eq(r.failed, 1);
  ck_assert_double_eq(cost_at(&r, 0), 3);
  ck_assert_double_eq(cost_at(&r, 1), 4);
  ck_assert(isinf(cost_at(&r, 2)));
  fl4__record_close(&r);
}
END_TEST

static void gzip(const char *from, const char *to)
{
  size_t size;
  char *data = read_file(from, &size);
  gzFile out = gzopen(to, "wb");
  ck_assert_int_eq(gzwrite(out, data, (unsigned)size), (int)size);
  ck_assert_int_eq(gzclose(out), Z_OK);
  free(data);
}

START_TEST(gzipped)
{
  const char *packed = in_scratch("packed.gz");
  fl4__record r;
  gzip(t4_file(CORRECT("1", "3") "," CORRECT("2", "4")), packed);
  ck_assert_fl4(fl4__record_read(packed, &r));
  ck_assert_double_eq(cost_at(&r, 1), 4);
  fl4__record_close(&r);
  gzip(text_file(CORRECT("1", "3") "\n" CORRECT("2", "5")), packed);
  ck_assert_fl4(fl4__record_read(packed, &r));
  ck_assert_double_eq(cost_at(&r, 1), 5);
  fl4__record_close(&r);

  size_t size;
  char *data = read_file(packed, &size);
  write_file(packed, data, size - 6);
  ck_assert_fl4_fails(fl4__record_read(packed, &r), FL4_IO_ERROR, "packed.gz: byte ");
  data[size - 6] ^= 1; /* the check sum */
  write_file(packed, data, size);
  ck_assert_fl4_fails(fl4__record_read(packed, &r), FL4_IO_ERROR, "packed.gz: byte ");
  free(data);
}
END_TEST

/* ---------------------------------------------------------------- what is refused */

START_TEST(t4_errors)
{
  static const struct {
    const char *results, *words;
  } cases[] = {
      {"", "t4.json: holds no evaluation"},
      {"5", "t4.json: results[0]: has no object \"configuration\""},
      {CONFIG("\"x\": 1") ", {\"configuration\": [1]}", "t4.json: results[1]: has no object \"configuration\""},
      {CONFIG(""), "t4.json: its configurations have no parameters"},
      {CONFIG("\"x\": 1, \"y\": 2") "," CONFIG("\"x\": 1"), "t4.json: results[1]: parameter \"y\": is missing"},
      {CONFIG("\"x\": 1") "," CONFIG("\"x\": 1, \"y\": 2"),
       "t4.json: results[1]: parameter \"y\": the first has none of this name"},
      {CONFIG("\"x\": 1") "," CONFIG("\"x\": \"1\""),
       "t4.json: results[1]: parameter \"x\": is a string, the first is a number"},
      {CONFIG("\"x\": \"1\"") "," CONFIG("\"x\": true"),
       "t4.json: results[1]: parameter \"x\": is a boolean, the first is a string"},
      {CONFIG("\"x\": true") "," CONFIG("\"x\": 1"),
       "t4.json: results[1]: parameter \"x\": is a number, the first is a boolean"},
      {CONFIG("\"x\": null"), "t4.json: results[0]: parameter \"x\": must be a number, a string or a boolean"},
      {CONFIG("\"x\": 1") "," CONFIG("\"x\": [1]"), "t4.json: results[1]: parameter \"x\": must be a number"},
  };
  fl4__record r;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    ck_assert_fl4_fails(fl4__record_read(t4_file(cases[i].results), &r), FL4_IO_ERROR, cases[i].words);
    ck_assert(!r.space && !r.cost);
  }
  ck_assert_fl4_fails(fl4__record_read(text_file("{\"results\": {}}"), &r), FL4_IO_ERROR, "\"results\": is not a list");
  ck_assert_fl4_fails(fl4__record_read(text_file("{\"results\": [" CONFIG("\"x\": 1") "]} \n ]"), &r), FL4_IO_ERROR,
                      "something follows the results");
}
END_TEST

START_TEST(too_many_parameters)
{
  char config[1024] = "", one[2048];
  fl4__record r;
  for (int i = 0; i <= FL4__MAX_AXES; i++) snprintf(config + strlen(config), 32, "%s\"p%d\": 1", i ? ", " : "", i);
  snprintf(one, sizeof one, CONFIG("%s"), config);
  ck_assert_fl4_fails(fl4__record_read(t4_file(one), &r), FL4_IO_ERROR, "has more than 32 parameters");
}
END_TEST

START_TEST(too_many_values)
{
  const char *file = in_scratch("many.jsonl");
  FILE *out = fopen(file, "w");
  fl4__record r;
  for (int i = 0; i <= 65536; i++) fprintf(out, "{\"configuration\":{\"x\":%d}}\n", i);
  ck_assert_int_eq(fclose(out), 0);
  ck_assert_fl4_fails(fl4__record_read(file, &r), FL4_INVALID_ARGUMENT,
                      "many.jsonl: search space: parameter 0 has 65537");
}
END_TEST

START_TEST(log_errors)
{
  fl4__record r;
  ck_assert_fl4_fails(fl4__record_read(text_file(""), &r), FL4_IO_ERROR, "log.jsonl: is empty");
  ck_assert_fl4_fails(fl4__record_read(text_file("\n{}\n[]\n"), &r), FL4_IO_ERROR, "log.jsonl: holds no evaluation");
  ck_assert_fl4_fails(fl4__record_read(text_file("{}\n{\"x\": \n{\"y\""), &r), FL4_IO_ERROR,
                      "holds no evaluation; line 2: ");
  ck_assert_fl4_fails(fl4__record_read(text_file("{\"results\": [{\"configuration\": {"), &r), FL4_IO_ERROR,
                      "holds no evaluation; line 1: ");
  ck_assert_fl4_fails(fl4__record_read(text_file("{}\n" CONFIG("\"x\": 1") "\n\n" CONFIG("\"x\": \"1\"")), &r),
                      FL4_IO_ERROR, "log.jsonl: line 4: parameter \"x\": is a string");
  ck_assert_fl4_fails(fl4__record_read(text_file(two_logs), &r), FL4_IO_ERROR,
                      "log.jsonl: line 3: another tuning than that of line 1");
  ck_assert_fl4_fails(fl4__record_read(in_scratch("none"), &r), FL4_IO_ERROR, "none: cannot be read: No such file");
  ck_assert_fl4_fails(fl4__record_read(scratch, &r), FL4_IO_ERROR, "Is a directory");
}
END_TEST

static fl4_status read_and_close(const char *file)
{
  fl4__record r;
  const fl4_status status = fl4__record_read(file, &r);
  if (status == FL4_OK) fl4__record_close(&r);
  return status;
}

START_TEST(no_memory_for_records)
{
  const char *t4 = t4_file(CONFIG("\"x\": 1, \"y\": 2")), *log = text_file(CONFIG("\"x\": 1, \"y\": 2"));
  ck_assert_fl4_needs(1 + 2 + 3, read_and_close(t4));  /* the text; two parameters; the space, its points, the costs */
  ck_assert_fl4_needs(2 + 2 + 3, read_and_close(log)); /* and places */
}
END_TEST

/* ---------------------------------------------------------------- replays */

enum { SIDE = 20, N = SIDE * SIDE };

/* Of a point of a square: one best, four within 5 % of it, every tenth failed. */
static double square_cost(int i)
{
  if (i == 317) return 2;
  if (i % 80 == 41) return 2.1;
  return i % 10 == 0 ? (double)INFINITY : 3 + i % 7;
}

static const char *square_file(void)
{
  const char *file = in_scratch("square.jsonl");
  FILE *out = fopen(file, "w");
  for (int i = 0; i < N; i++) {
    const double cost = square_cost(i);
    fprintf(out, "{\"configuration\":{\"a\":%d,\"b\":%d},\"invalidity\":\"%s\"", i / SIDE, i % SIDE,
            isfinite(cost) ? "correct" : "compile");
    if (isfinite(cost)) fprintf(out, ",\"times\":{\"runtimes\":[%g]}", cost);
    fprintf(out, "}\n");
  }
  ck_assert_int_eq(fclose(out), 0);
  return file;
}

static fl4_replay_report replayed(const char *file, const char *strategy, int seeds, int cap, double *curve)
{
  fl4_replay_report report = FL4_REPLAY_REPORT_INIT;
  ck_assert_fl4(fl4_tune_replay(file, strategy, seeds, cap, curve, &report));
  return report;
}

/* What the exhaustive search does is known in advance. */
START_TEST(exhaustive)
{
  double curve[N], best = (double)INFINITY;
  const fl4_replay_report r = replayed(square_file(), "exhaustive", 7, 0, curve);
  ck_assert_int_eq(r.points, N);
  ck_assert_int_eq(r.failed, N / 10);
  ck_assert_double_eq(r.best, 2);
  ck_assert_double_eq_tol(r.difficulty, 6.0 / N, 1e-12);
  ck_assert_int_eq(r.cap, N);
  ck_assert_int_eq(r.seeds, 7);
  for (int k = 0; k < 3; k++) {
    ck_assert_int_eq(r.to_95[k], 42);
    ck_assert_int_eq(r.to_99[k], 318);
  }
  for (int i = 0; i < N; i++) {
    if (square_cost(i) < best) best = square_cost(i);
    ck_assert_double_eq_tol(curve[i], 2 / best, 1e-11);
  }
  static const int marks[] = {25, 50, 100, 200};
  for (int k = 0; k < 4; k++) ck_assert_double_eq(r.at[k], curve[marks[k] - 1]);
}
END_TEST

START_TEST(cap)
{
  double curve[100];
  fl4_replay_report r = replayed(square_file(), "exhaustive", 3, 100, curve);
  ck_assert_int_eq(r.cap, 100);
  ck_assert_int_eq(r.to_95[0], 42);
  ck_assert_int_eq(r.to_99[0], 100); /* never */
  ck_assert_double_eq_tol(curve[99], 2 / 2.1, 1e-11);
  ck_assert(r.at[2] == curve[99] && isnan(r.at[3]));
  double more[N + 50];
  r = replayed(square_file(), "random", 3, N + 50, more);
  ck_assert_int_eq(r.cap, N + 50);
  ck_assert(more[N - 1] == 1 && more[N + 49] == 1);
  r = replayed(t4_file(CORRECT("1", "3") "," CORRECT("2", "4")), NULL, 1, 0, NULL); /* all points are few */
  ck_assert(r.cap == 2 && r.at[0] == 1 && r.at[3] == 1);
}
END_TEST

/* Percentiles by their definition, from runs made here. */
START_TEST(percentiles)
{
  static const int seeds[] = {1, 2, 3, 9, 10, 11, 64, 101};
  fl4__record record;
  ck_assert_fl4(fl4__record_read(square_file(), &record));
  for (size_t k = 0; k < sizeof seeds / sizeof *seeds; k++) {
    const int n = seeds[k];
    int to[101], most = 0, half = N + 1, nine = N + 1;
    double sum = 0;
    for (int seed = 0; seed < n; seed++) {
      fl4__search s;
      int64_t points[FL4__BATCH];
      ck_assert_fl4(fl4__search_open(&s, record.space, fl4__strategy_find("random"), (uint64_t)seed, NULL, 0));
      double best = (double)INFINITY;
      to[seed] = 0;
      for (int evaluations = 0, got; (got = fl4__search_ask(&s, FL4__BATCH, points)) > 0;)
        for (int i = 0; i < got; i++) {
          const double cost = record.cost[points[i]];
          fl4__search_tell(&s, points[i], cost);
          evaluations++;
          if (cost <= 2.1 && !to[seed]) to[seed] = evaluations;
          if (cost < best) best = cost;
          if (evaluations == 50) sum += 2 / best;
        }
      fl4__search_close(&s);
    }
    for (int v = N; v > 0; v--) {
      int done = 0;
      for (int i = 0; i < n; i++) done += to[i] <= v;
      if (2 * done >= n) half = v;
      if (10 * done >= 9 * n) nine = v;
      if (done == n) most = v;
    }
    const fl4_replay_report r = replayed(square_file(), "random", n, 0, NULL);
    ck_assert_int_eq(r.to_95[0], half);
    ck_assert_int_eq(r.to_95[1], nine);
    ck_assert_int_eq(r.to_95[2], most);
    ck_assert_double_eq_tol(r.at[1], sum / n, 1e-11);
  }
  fl4__record_close(&record);
}
END_TEST

/* Random search has the first of k good points of n after (n + 1) / (k + 1) evaluations in the mean. */
START_TEST(random_is_random)
{
  const fl4_replay_report r = replayed(square_file(), "random", 2000, 0, NULL);
  /* All of the six missed so far: (1 - x)^6 = 1/2, 1/10. */
  ck_assert_int_ge(r.to_95[0], (int)(N * 0.109 * 0.85));
  ck_assert_int_le(r.to_95[0], (int)(N * 0.109 * 1.15));
  ck_assert_int_ge(r.to_95[1], (int)(N * 0.319 * 0.85));
  ck_assert_int_le(r.to_95[1], (int)(N * 0.319 * 1.15));
}
END_TEST

START_TEST(same_whatever_threads)
{
#ifdef _OPENMP
  static double curves[3][N];
  fl4_replay_report r[3];
  for (int i = 0; i < 3; i++) {
    omp_set_num_threads(1 + 3 * i);
    r[i] = replayed(square_file(), "evolve", 23, 0, curves[i]);
  }
  for (int i = 1; i < 3; i++) {
    ck_assert_mem_eq(&r[i], &r[0], sizeof *r);
    ck_assert_mem_eq(curves[i], curves[0], sizeof *curves);
  }
#endif
}
END_TEST

static double uneven(int a, int b, int c, int d)
{
  fl4__random random;
  fl4__random_init(&random, (uint64_t)(((a * 100 + b) * 100 + c) * 100 + d));
  if (fl4__random_unit(&random) < 0.15) return (double)INFINITY;
  const double cost = 5 + abs(a - 9) + 0.7 * abs(b - 3) + 0.6 * abs(a - 2 * b) + abs(c - 2) + (d == 1 ? 0 : 2);
  return cost * (1 + 0.06 * fl4__random_unit(&random));
}

/* On a space with a valley in it evolution is ahead of both yardsticks. */
START_TEST(evolve_is_ahead)
{
  const char *file = in_scratch("valley.jsonl");
  FILE *out = fopen(file, "w");
  for (int a = 0; a < 14; a++)
    for (int b = 0; b < 10; b++)
      for (int c = 0; c < 8; c++)
        for (int d = 0; d < 3; d++) {
          if ((a + b + c) % 4 == 3) continue;
          const double cost = uneven(a, b, c, d);
          fprintf(out, "{\"configuration\":{\"a\":%d,\"b\":%d,\"c\":%d,\"d\":\"%d\"},\"invalidity\":\"%s\",", a, b, c,
                  d, isfinite(cost) ? "correct" : "runtime");
          fprintf(out, "\"measurements\":[{\"name\":\"time\",\"value\":%g}]}\n", isfinite(cost) ? cost : 0);
        }
  ck_assert_int_eq(fclose(out), 0);
  const fl4_replay_report e = replayed(file, "evolve", 60, 0, NULL), g = replayed(file, "genetic", 60, 0, NULL),
                          r = replayed(file, "random", 60, 0, NULL);
  ck_assert_msg(e.to_95[0] < g.to_95[0] && e.to_95[0] < r.to_95[0], "evolve %d, genetic %d, random %d", (int)e.to_95[0],
                (int)g.to_95[0], (int)r.to_95[0]);
  ck_assert_int_le(e.to_95[0], 100);
  ck_assert_int_le(e.to_95[1], 300);
}
END_TEST

START_TEST(arguments)
{
  fl4_replay_report r = FL4_REPLAY_REPORT_INIT;
  const char *file = square_file();
  ck_assert_fl4_fails(fl4_tune_replay(NULL, NULL, 1, 0, NULL, &r), FL4_INVALID_ARGUMENT,
                      "fl4_tune_replay: file: is NULL");
  ck_assert_fl4_fails(fl4_tune_replay(file, "luck", 1, 0, NULL, &r), FL4_INVALID_ARGUMENT,
                      "strategy: is \"luck\", must be evolve, exhaustive, random or genetic");
  ck_assert_fl4_fails(fl4_tune_replay(file, NULL, 0, 0, NULL, &r), FL4_INVALID_ARGUMENT, "seeds: is 0, must be 1 to");
  ck_assert_fl4_fails(fl4_tune_replay(file, NULL, (1 << 20) + 1, 0, NULL, &r), FL4_INVALID_ARGUMENT,
                      "seeds: is 1048577");
  ck_assert_fl4_fails(fl4_tune_replay(file, NULL, 1, -1, NULL, &r), FL4_INVALID_ARGUMENT, "cap: is -1, must be 0 to");
  ck_assert_fl4_fails(fl4_tune_replay(file, NULL, 1, INT32_MAX, NULL, &r), FL4_INVALID_ARGUMENT, "cap: is 2147483647");
  ck_assert_fl4_fails(fl4_tune_replay(file, NULL, 1, 0, NULL, NULL), FL4_INVALID_ARGUMENT, "report: is NULL");
  ck_assert_fl4_fails(fl4_tune_replay(in_scratch("none"), NULL, 1, 0, NULL, &r), FL4_IO_ERROR, "none: cannot be read");
  ck_assert_fl4_fails(fl4_tune_replay(t4_file(RESULT("1", "\"invalidity\": \"compile\"")), NULL, 1, 0, NULL, &r),
                      FL4_IO_ERROR, "t4.json: none of its evaluations is correct");
  r.struct_size = 3;
  ck_assert_fl4_fails(fl4_tune_replay(file, NULL, 1, 0, NULL, &r), FL4_INVALID_ARGUMENT, "fl4_replay_report");
}
END_TEST

static fl4_status replay_once(const char *file)
{
  fl4_replay_report r = FL4_REPLAY_REPORT_INIT;
  return fl4_tune_replay(file, "random", 1, 0, NULL, &r);
}

START_TEST(no_memory_for_replays)
{
#ifdef _OPENMP
  omp_set_num_threads(1);
#endif
  const char *file = t4_file(CORRECT("1", "3"));
  /* The record's; three of the replay, a thread's shares, the search's four. */
  ck_assert_fl4_needs(5 + 3 + 1 + 4, replay_once(file));
}
END_TEST

/* ---------------------------------------------------------------- fuzz */

/* Whatever is done to a file, it is read or refused. */
START_TEST(damaged_files)
{
  const char *file = in_scratch("damaged");
  size_t size;
  fl4__random random;
  fl4__random_init(&random, (uint64_t)_i);
  char *good = read_file(_i % 2 ? t4_file(small_t4) : text_file(small_log), &size);
  char *bad = malloc(size);
  int read = 0;
  for (int n = 0; n < 1500; n++) {
    static const char letters[] = "{}[]\",:0123456789eE-+.\\\n truefalsn\0\x80\xff";
    memcpy(bad, good, size);
    for (int changes = 1 + (int)fl4__random_below(&random, 4); changes > 0; changes--)
      bad[fl4__random_below(&random, (uint32_t)size)] = letters[fl4__random_below(&random, sizeof letters - 1)];
    write_file(file, bad, n % 3 ? size : fl4__random_below(&random, (uint32_t)size));
    if (n % 5 == 0) {
      const char *packed = in_scratch("damaged.gz");
      gzip(file, packed);
      size_t m;
      char *data = read_file(packed, &m);
      data[fl4__random_below(&random, (uint32_t)m)] ^= (char)(1 + fl4__random_below(&random, 255));
      write_file(file, data, m);
      free(data);
    }
    fl4_replay_report report = FL4_REPLAY_REPORT_INIT;
    const fl4_status status = fl4_tune_replay(file, "random", 1, 0, NULL, &report);
    ck_assert_msg(status == FL4_OK || status == FL4_IO_ERROR, "%s", fl4_last_error());
    read += status == FL4_OK;
  }
  ck_assert_int_gt(read, 20); /* else it is the same error all the time */
  free(good);
  free(bad);
}
END_TEST

static Suite *make_suite(void)
{
  Suite *s = suite_create("replay");
  TCase *reading = tcase_create("reading"), *replaying = tcase_create("replaying"), *fuzz = tcase_create("fuzz");
  tcase_add_checked_fixture(reading, scratch_setup, scratch_teardown);
  tcase_add_test(reading, axes);
  tcase_add_test(reading, objective);
  tcase_add_test(reading, last_counts);
  tcase_add_test(reading, logs);
  tcase_add_test(reading, gzipped);
  tcase_add_test(reading, t4_errors);
  tcase_add_test(reading, too_many_parameters);
  tcase_add_test(reading, too_many_values);
  tcase_add_test(reading, log_errors);
  tcase_add_test(reading, no_memory_for_records);
  suite_add_tcase(s, reading);
  tcase_add_checked_fixture(replaying, scratch_setup, scratch_teardown);
  tcase_set_timeout(replaying, 120);
  tcase_add_test(replaying, exhaustive);
  tcase_add_test(replaying, cap);
  tcase_add_test(replaying, percentiles);
  tcase_add_test(replaying, random_is_random);
  tcase_add_test(replaying, same_whatever_threads);
  tcase_add_test(replaying, evolve_is_ahead);
  tcase_add_test(replaying, arguments);
  tcase_add_test(replaying, no_memory_for_replays);
  suite_add_tcase(s, replaying);
  tcase_add_checked_fixture(fuzz, scratch_setup, scratch_teardown);
  tcase_set_timeout(fuzz, 120);
  tcase_add_loop_test(fuzz, damaged_files, 0, 4);
  suite_add_tcase(s, fuzz);
  return s;
}

FL4_TEST_MAIN(make_suite)

/* SPDX-License-Identifier: Apache-2.0 */
/* When sampling stops, by clocks and samples made up here. */
#include "bench/sampler.h"
#include "no_memory.h"
#include "noise.h"

enum { NEVER = 1000000 };

static fl4__sampler opened(int n_contenders, double precision, double max_seconds, int64_t min, int64_t max)
{
  fl4__sampler s;
  ck_assert_fl4(fl4__sampler_open(&s, n_contenders, precision, max_seconds, min, max));
  ck_assert(s.n == 0 && isnan(s.widest));
  return s;
}

static fl4_bench_stop add(fl4__sampler *s, const double *us, double seconds)
{
  fl4_bench_stop stop = FL4_BENCH_STOP_COUNT;
  const int64_t before = s->n;
  ck_assert_fl4(fl4__sampler_add(s, us, seconds, &stop));
  ck_assert_int_eq(s->n, before + 1);
  for (int i = 0; i < s->n_contenders; i++) ck_assert(s->samples[i][before] == us[i]);
  return stop;
}

/* Half width of the interval of the median of the first n samples, relative. */
static double half_width(const fl4__sampler *s, int contender, int64_t n)
{
  fl4_statistics found = FL4_STATISTICS_INIT;
  ck_assert_fl4(fl4_statistics_compute(s->samples[contender], n, &found));
  return (found.p50_high - found.p50_low) / 2 / found.p50;
}

/* ---------------------------------------------------------------- reasons */

/* Steady samples are precise as soon as they may be: at min_samples, and never without an interval. */
START_TEST(stops_when_precise)
{
  static const int64_t least[] = {1, 3, 6, 7, 100, 1000};
  for (size_t i = 0; i < sizeof least / sizeof *least; i++) {
    fl4__sampler s = opened(1, 0.005, 1e9, least[i], NEVER);
    const double us = 12.5;
    const int64_t expected = least[i] < 6 ? 6 : least[i];
    while (s.n < expected - 1) ck_assert_int_eq(add(&s, &us, 0), FL4_BENCH_STOP_NONE);
    ck_assert(isnan(s.widest));
    ck_assert_int_eq(add(&s, &us, 0), FL4_BENCH_STOP_PRECISE);
    ck_assert_double_eq(s.widest, 0);
    fl4__sampler_close(&s);
  }
}
END_TEST

START_TEST(stops_in_time)
{
  fl4__sampler s = opened(1, 0.005, 2, 100, NEVER);
  const double us[] = {1, 2};
  for (int i = 0; i < 50; i++) ck_assert_int_eq(add(&s, &us[i % 2], 1.9999), FL4_BENCH_STOP_NONE);
  ck_assert_int_eq(add(&s, us, 2), FL4_BENCH_STOP_TIME); /* below min_samples */
  ck_assert_int_eq(add(&s, us, 3), FL4_BENCH_STOP_TIME); /* a round more is kept */
  ck_assert_int_eq(s.n, 52);
  fl4__sampler_close(&s);
}
END_TEST

START_TEST(stops_when_full)
{
  fl4__sampler s = opened(1, 0.005, 1e9, 100, 150);
  const double us[] = {1, 2};
  for (int i = 0; i < 149; i++) ck_assert_int_eq(add(&s, &us[i % 2], 0), FL4_BENCH_STOP_NONE);
  ck_assert_int_eq(add(&s, us, 0), FL4_BENCH_STOP_SAMPLES);
  ck_assert_int_eq(add(&s, us, 0), FL4_BENCH_STOP_SAMPLES);
  fl4__sampler_close(&s);

  s = opened(1, 0.005, 1e9, 100, 3); /* the caller's array is smaller than what the caller wants at least */
  add(&s, us, 0), add(&s, us, 0);
  ck_assert_int_eq(add(&s, us, 0), FL4_BENCH_STOP_SAMPLES);
  fl4__sampler_close(&s);
}
END_TEST

/* All reasons in one round: precise says most, then full, which will not change. */
START_TEST(reasons_have_an_order)
{
  const double steady = 5, other = 6;
  fl4__sampler s = opened(1, 0.005, 1, 10, 10);
  for (int i = 0; i < 9; i++) add(&s, &steady, 0);
  ck_assert_int_eq(add(&s, &steady, 1), FL4_BENCH_STOP_PRECISE);
  fl4__sampler_close(&s);

  s = opened(1, 0.005, 1, 10, 10);
  for (int i = 0; i < 9; i++) add(&s, i % 2 ? &steady : &other, 0);
  ck_assert_int_eq(add(&s, &steady, 1), FL4_BENCH_STOP_SAMPLES);
  fl4__sampler_close(&s);
}
END_TEST

/* Noise that has no narrow interval, at any size: half of the samples here, half there. */
START_TEST(noise_that_never_converges)
{
  fl4__sampler s = opened(1, 0.005, 5, 100, 10000);
  fl4__random random;
  fl4__random_init(&random, 3);
  fl4_bench_stop stop = FL4_BENCH_STOP_NONE;
  for (int i = 0; stop == FL4_BENCH_STOP_NONE; i++) {
    const double us = i % 2 ? 10 + 0.01 * noise_unit(&random) : 11 + 0.01 * noise_unit(&random);
    stop = add(&s, &us, 1e-3 * i);
  }
  ck_assert_int_eq(stop, FL4_BENCH_STOP_TIME);
  ck_assert_int_eq(s.n, 5001);
  ck_assert_double_gt(s.widest, 0.04);
  fl4__sampler_close(&s);
}
END_TEST

START_TEST(all_contenders_count)
{
  fl4__random random;
  fl4__random_init(&random, 4);
  for (int noisy = 0; noisy < 3; noisy++) {
    fl4__sampler s = opened(3, 0.005, 1e9, 20, NEVER);
    fl4_bench_stop stop = FL4_BENCH_STOP_NONE;
    int64_t looked = 0;
    while (stop == FL4_BENCH_STOP_NONE) {
      double us[3] = {7, 700, 70};
      us[noisy] *= noise_lognormal(&random, 0.03);
      const double before = s.widest;
      stop = add(&s, us, 0);
      if (s.widest == before || isnan(s.widest)) continue;
      looked = s.n;
      ck_assert_double_eq(s.widest, half_width(&s, noisy, s.n));
      ck_assert((s.widest <= 0.005) == (stop == FL4_BENCH_STOP_PRECISE));
    }
    ck_assert_int_eq(looked, s.n);
    ck_assert_int_gt(s.n, 60); /* 3 % of noise do not give 0.5 % with fewer */
    fl4__sampler_close(&s);
  }
}
END_TEST

/* ---------------------------------------------------------------- looks */

/* At the first round allowed, and then whenever a tenth has been added. */
START_TEST(looks_are_rare)
{
  fl4__sampler s = opened(1, 1e-9, 1e9, 100, 10000);
  fl4__random random;
  fl4__random_init(&random, 5);
  int64_t next = 100;
  int looks = 0;
  for (int i = 1; i <= 10000; i++) {
    const double us = noise_lognormal(&random, 0.01), before = s.widest;
    add(&s, &us, 0);
    if (i != next) {
      ck_assert(s.widest == before || (isnan(s.widest) && isnan(before)));
      continue;
    }
    ck_assert_double_eq(s.widest, half_width(&s, 0, i));
    next = i + (i + 9) / 10;
    looks++;
  }
  ck_assert_int_eq(looks, 48);
  fl4__sampler_close(&s);
}
END_TEST

/* Samples in full, in order, through every growth of their room. */
START_TEST(keeps_all_rounds)
{
  fl4__sampler s = opened(2, 1e-9, 1e9, NEVER, NEVER);
  for (int i = 0; i < 2000; i++) ck_assert_int_eq(add(&s, (double[]){i, 10000 + i}, 0), FL4_BENCH_STOP_NONE);
  for (int i = 0; i < 2000; i++) ck_assert(s.samples[0][i] == i && s.samples[1][i] == 10000 + i);
  ck_assert(isnan(s.widest)); /* never looked */
  fl4__sampler_close(&s);
  fl4__sampler_close(&s);
  ck_assert_ptr_null(s.samples);
}
END_TEST

/* Calls that take no time by a coarse clock. */
START_TEST(times_may_be_zero)
{
  const double zero = 0, some = 0.5;
  fl4__sampler s = opened(1, 0.005, 1e9, 6, NEVER);
  for (int i = 0; i < 5; i++) add(&s, &zero, 0);
  ck_assert_int_eq(add(&s, &zero, 0), FL4_BENCH_STOP_PRECISE);
  fl4__sampler_close(&s);

  s = opened(1, 0.005, 1e9, 7, NEVER); /* the median is 0, its interval is not */
  for (int i = 0; i < 7; i++) ck_assert_int_eq(add(&s, i < 4 ? &zero : &some, 0), FL4_BENCH_STOP_NONE);
  ck_assert(isinf(s.widest));
  fl4__sampler_close(&s);
}
END_TEST

/* ---------------------------------------------------------------- stopping early does not flatter */

typedef struct outcome {
  double bias;    /* mean relative error of the median that was reported */
  int covered;    /* runs whose last interval holds the true median */
  double samples; /* of a run, on average */
  int precise;    /* runs that stopped for that reason */
} outcome;

enum { RUNS = 2000 };

static outcome simulate(double sigma, double outliers, uint64_t seed)
{
  fl4__random random;
  fl4__random_init(&random, seed);
  /* Of an outlier's 20 % the median sees only that so many samples move from below to above. */
  double lower = -1, upper = 1;
  for (int i = 0; i < 60; i++) {
    const double x = (lower + upper) / 2;
    const double below = (1 - outliers) * erfc(-x / sigma / sqrt(2)) / 2 +
                         outliers * erfc(-(x - log(1.2)) / sigma / sqrt(2)) / 2;
    *(below < 0.5 ? &lower : &upper) = x;
  }
  const double truth = exp(lower);
  outcome total = {0};
  for (int run = 0; run < RUNS; run++) {
    fl4__sampler s = opened(1, 0.005, 1e9, 100, 10000);
    fl4_bench_stop stop = FL4_BENCH_STOP_NONE;
    while (stop == FL4_BENCH_STOP_NONE) {
      double us = noise_lognormal(&random, sigma);
      if (noise_unit(&random) < outliers) us *= 1.2;
      if (fl4__sampler_add(&s, &us, 0, &stop) != FL4_OK) ck_abort(); /* an assertion each would take a minute */
    }
    fl4_statistics found = FL4_STATISTICS_INIT;
    ck_assert_fl4(fl4_statistics_compute(s.samples[0], s.n, &found));
    total.bias += (found.p50 / truth - 1) / RUNS;
    total.covered += found.p50_low <= truth && truth <= found.p50_high;
    total.samples += (double)s.n / RUNS;
    total.precise += stop == FL4_BENCH_STOP_PRECISE;
    fl4__sampler_close(&s);
  }
  return total;
}

/* Stopping when the interval looks narrow favours intervals that are narrow by luck; how much? */
START_TEST(optional_stopping_is_harmless)
{
  const struct {
    double sigma, outliers;
  } noise[] = {{0.01, 0}, {0.03, 0}, {0.03, 0.05}, {0.06, 0}};
  for (int i = 0; i < 4; i++) {
    const outcome o = simulate(noise[i].sigma, noise[i].outliers, (uint64_t)i);
    printf("# noise %g, outliers %g: %.0f samples, bias %+.5f %%, %d of %d intervals cover\n", noise[i].sigma,
           noise[i].outliers, o.samples, 100 * o.bias, o.covered, RUNS);
    ck_assert_int_eq(o.precise, RUNS);
    ck_assert_double_le(fabs(o.bias), 0.005 / 20); /* a twentieth of what is claimed */
    ck_assert_int_ge(o.covered, RUNS * 93 / 100);
  }
}
END_TEST

/* ---------------------------------------------------------------- what goes wrong */

START_TEST(refuses_a_broken_clock)
{
  static const double broken[] = {NAN, INFINITY, -1};
  for (int i = 0; i < 3; i++) {
    fl4__sampler s = opened(2, 0.005, 1e9, 6, NEVER);
    fl4_bench_stop stop;
    ck_assert_fl4_fails(fl4__sampler_add(&s, (double[]){1, broken[i]}, 0, &stop), FL4_DEVICE_ERROR, "contender 1");
    ck_assert_int_eq(s.n, 0);
    fl4__sampler_close(&s);
  }
}
END_TEST

START_TEST(memory_runs_out)
{
  fl4__sampler s;
  fl4_bench_stop stop;
  const double us[] = {1, 2};
  no_memory_after = 0;
  ck_assert_int_eq(fl4__sampler_open(&s, 2, 0.005, 1e9, 64, NEVER), FL4_OUT_OF_MEMORY);
  fl4__sampler_close(&s);

  s = opened(2, 0.005, 1e9, 64, NEVER);
  ck_assert_fl4_needs(2, fl4__sampler_add(&s, us, 0, &stop)); /* room for both */
  ck_assert_int_eq(s.n, 1);
  for (int i = 1; i < 63; i++) ck_assert_int_eq(add(&s, us, 0), FL4_BENCH_STOP_NONE);
  for (int fails = 0; fails < 2; fails++) { /* the look of either; the round is kept all the same */
    no_memory_after = fails;
    const fl4_status status = fl4__sampler_add(&s, us, 0, &stop);
    no_memory_after = -1;
    ck_assert_int_eq(status, FL4_OUT_OF_MEMORY);
    ck_assert_int_eq(s.n, 64);
    s.n = 63;
  }
  ck_assert_int_eq(add(&s, us, 0), FL4_BENCH_STOP_PRECISE);
  fl4__sampler_close(&s);
}
END_TEST

/* ---------------------------------------------------------------- words */

START_TEST(names)
{
  ck_assert_str_eq(fl4_bench_mode_name(FL4_BENCH_AUTO), "auto");
  ck_assert_str_eq(fl4_bench_mode_name(FL4_BENCH_GRAPH), "graph");
  ck_assert_str_eq(fl4_bench_mode_name(FL4_BENCH_EVENTS), "events");
  ck_assert_str_eq(fl4_bench_mode_name(FL4_BENCH_EAGER), "eager");
  ck_assert_ptr_null(fl4_bench_mode_name(FL4_BENCH_MODE_COUNT));
  ck_assert_ptr_null(fl4_bench_mode_name((fl4_bench_mode)-1));
  ck_assert_str_eq(fl4_bench_stop_name(FL4_BENCH_STOP_NONE), "not timed");
  ck_assert_str_eq(fl4_bench_stop_name(FL4_BENCH_STOP_PRECISE), "precise");
  ck_assert_str_eq(fl4_bench_stop_name(FL4_BENCH_STOP_TIME), "time");
  ck_assert_str_eq(fl4_bench_stop_name(FL4_BENCH_STOP_SAMPLES), "samples");
  ck_assert_str_eq(fl4_bench_stop_name(FL4_BENCH_STOP_CANCELLED), "cancelled");
  ck_assert_ptr_null(fl4_bench_stop_name(FL4_BENCH_STOP_COUNT));
  ck_assert_ptr_null(fl4_bench_stop_name((fl4_bench_stop)99));
}
END_TEST

START_TEST(throttle_reasons)
{
  static const struct {
    int64_t reasons;
    const char *text;
  } cases[] = {
      {0, "none"},
      {-1, "unknown"},
      {0x1, "idle"},
      {0x2, "app clocks"},
      {0x4, "power cap"},
      {0x8, "hw slowdown"},
      {0x10, "sync boost"},
      {0x20, "sw thermal"},
      {0x40, "hw thermal"},
      {0x80, "power brake"},
      {0x100, "display clocks"},
      {0x24, "power cap, sw thermal"},
      {0x200, "0x200"},
      {0x8004, "power cap, 0x8000"},
      {INT64_MIN, "0x8000000000000000"},
      {INT64_MAX, "idle, app clocks, power cap, hw slowdown, sync boost, sw thermal, hw thermal, power brake, "
                  "display clocks, 0x7ffffffffffffe00"},
      {-2, "app clocks, power cap, hw slowdown, sync boost, sw thermal, hw thermal, power brake, "
           "display clocks, 0xfffffffffffffe00"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char text[130];
    memset(text, '#', sizeof text);
    ck_assert_ptr_eq(fl4_throttle_text(cases[i].reasons, text), text);
    ck_assert_str_eq(text, cases[i].text);
    ck_assert_uint_lt(strlen(text), 128);
    ck_assert(text[128] == '#' && text[129] == '#');
  }
}
END_TEST

static Suite *make_suite(void)
{
  Suite *suite = suite_create("sampler");
  TCase *c = tcase_create("sampler");
  tcase_set_timeout(c, 120);
  tcase_add_test(c, stops_when_precise);
  tcase_add_test(c, stops_in_time);
  tcase_add_test(c, stops_when_full);
  tcase_add_test(c, reasons_have_an_order);
  tcase_add_test(c, noise_that_never_converges);
  tcase_add_test(c, all_contenders_count);
  tcase_add_test(c, looks_are_rare);
  tcase_add_test(c, keeps_all_rounds);
  tcase_add_test(c, times_may_be_zero);
  tcase_add_test(c, optional_stopping_is_harmless);
  tcase_add_test(c, refuses_a_broken_clock);
  tcase_add_test(c, memory_runs_out);
  tcase_add_test(c, names);
  tcase_add_test(c, throttle_reasons);
  suite_add_tcase(suite, c);
  return suite;
}

FL4_TEST_MAIN(make_suite)

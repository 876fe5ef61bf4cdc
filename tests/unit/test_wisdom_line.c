/* SPDX-License-Identifier: Apache-2.0 */
/* A line of wisdom: what it says, what is stale, and that no damage gets through. */
#include "util/random.h"
#include "wisdom_data.h"

static fl4_context *ctx;

static void setup(void)
{
  wisdom_setup();
  setenv("FLASHL4_WISDOM", "off", 1);
  ctx = open_two_threads();
  unsetenv("FLASHL4_WISDOM");
}

static void teardown(void)
{
  fl4_context_destroy(&ctx);
  scratch_teardown();
}

#define P "hq8sq512d64"
#define HEADER "{\"flashl4_wisdom\":1}\n"

/* ---------------------------------------------------------------- lines */

START_TEST(a_line_says_all)
{
  fl4_wisdom_entry e = make_entry(P ":bf16:causal", "host:bm=24,bn=32,threads=1", FL4_TUNE_PATIENT, 12.5);
  strcpy(e.date, "2026-11-22T12:00:00Z");
  char *line = make_line(ctx, "host avx2 2T", e), expected[1024];
  snprintf(
      expected, sizeof expected,
      "{\"wisdom\":1,\"problem\":\"hq8sq512d64:bf16:causal\",\"device\":\"host avx2 2T\","
      "\"variant\":\"host:bm=24,bn=32,threads=1\",\"budget\":\"patient\",\"evaluations\":64,\"improved\":1,"
      "\"p50_us\":12.5,\"default_us\":25.0,\"max_error\":0.001,\"mode\":\"graph\",\"date\":\"2026-11-22T12:00:00Z\","
      "\"space\":\"%016llx\",\"source\":\"0000000000000000\",\"kernel\":\"fedcba9876543210\",\"driver\":\"580.65.06\","
      "\"nvrtc\":13000",
      (unsigned long long)fl4__space_hash(fl4__families[1]));
  char *whole = sealed(expected);
  ck_assert_str_eq(line, whole);
  free(line);
  free(whole);
}
END_TEST

/* What is sealed by its checksum may still not be what this version reads. */
static const struct {
  const char *member, *value;
  fl4__line what;
} others[] = {
    {"wisdom", "2", FL4__LINE_STALE},
    {"wisdom", "\"1\"", FL4__LINE_DAMAGED},
    {"variant", "\"host:bm=7\"", FL4__LINE_STALE},
    {"variant", "\"warp:bm=16\"", FL4__LINE_STALE},
    {"variant", "5", FL4__LINE_DAMAGED},
    {"space", "\"0123456789abcdef\"", FL4__LINE_STALE},
    {"space", "\"x\"", FL4__LINE_DAMAGED},
    {"space", "\"\"", FL4__LINE_DAMAGED},
    {"space", "\"00000000000000000\"", FL4__LINE_DAMAGED},
    {"problem", "\"hq8\"", FL4__LINE_DAMAGED},
    {"problem", "\"hq8sq512d64\\u0000:causal\"", FL4__LINE_DAMAGED},
    {"device", "\"\"", FL4__LINE_DAMAGED},
    {"device", "\"0123456789012345678901234567890123456789012345678901234567890123\"", FL4__LINE_DAMAGED},
    {"budget", "\"much\"", FL4__LINE_DAMAGED},
    {"budget", "1", FL4__LINE_DAMAGED},
    {"evaluations", "-1", FL4__LINE_DAMAGED},
    {"evaluations", "1.5", FL4__LINE_DAMAGED},
    {"evaluations", "2147483648", FL4__LINE_DAMAGED},
    {"improved", "2", FL4__LINE_DAMAGED},
    {"nvrtc", "null", FL4__LINE_DAMAGED},
    {"p50_us", "\"1\"", FL4__LINE_DAMAGED},
    {"p50_us", "1e999", FL4__LINE_DAMAGED},
    {"kernel", "1", FL4__LINE_DAMAGED},
    {"date", "\"a date that is longer than\"", FL4__LINE_DAMAGED},
    {"driver", "\"\xff\"", FL4__LINE_DAMAGED},
    {"more", "1,\"more\":2", FL4__LINE_DAMAGED}, /* twice */
    {"p50_us", "null", FL4__LINE_GOOD},
    {"more", "[{\"of\":\"a later version\"}]", FL4__LINE_GOOD},
    {"source", "\"1\"", FL4__LINE_GOOD}, /* the host has no sources */
};

START_TEST(reads_what_it_knows)
{
  char *line = changed(ctx, others[_i].member, others[_i].value);
  const fl4_wisdom_counts c = counts_of(ctx, line);
  ck_assert_msg(c.used == (others[_i].what == FL4__LINE_GOOD) && c.stale == (others[_i].what == FL4__LINE_STALE) &&
                    c.damaged == (others[_i].what == FL4__LINE_DAMAGED) && c.foreign + c.replaced == 0,
                "%s: %d %d %d", line, (int)c.used, (int)c.stale, (int)c.damaged);
  ck_assert_uint_eq(fl4_wisdom_count(ctx), c.used);
  free(line);
}
END_TEST

START_TEST(stale_sources)
{
  if (!FL4_HAVE_CUDA) return;
  fl4_wisdom_entry e = make_entry(P, "fwd_mma:bm=64", FL4_TUNE_MEASURE, 10);
  char *line = make_line(ctx, "sm_90 132SM 60MB", e), *digit = strstr(line, "\"source\":\"") + 10;
  ck_assert_int_eq(counts_of(ctx, line).foreign, 1);
  *digit = *digit == '0' ? '1' : '0';
  *strstr(line, ",\"crc\"") = '\0';
  char *other = sealed(line);
  ck_assert_int_eq(counts_of(ctx, other).stale, 1);
  free(line);
  free(other);
}
END_TEST

START_TEST(damage_anywhere_is_seen)
{
  fl4_wisdom_entry e = make_entry(P, "host:bm=24,bn=32,threads=1", FL4_TUNE_MEASURE, 10);
  char *line = make_line(ctx, NULL, e), *after = make_line(ctx, NULL, make_entry(P ":bf16", "host", 0, 1));
  const size_t n = strlen(line);
  char *text = malloc(2 * n + strlen(after) + 1);
  for (size_t i = 0; i < n; i++) { /* the last of them is the newline */
    for (int bit = 0; bit < 8; bit++) {
      strcat(strcpy(text, line), after);
      text[i] ^= (char)(1 << bit);
      if (!text[i]) continue;
      const fl4_wisdom_counts c = counts_of(ctx, text);
      ck_assert_msg(c.damaged >= 1 && c.used == (i + 1 < n) && c.foreign + c.stale + c.replaced == 0,
                    "byte %zu, bit %d: %d used, %d damaged", i, bit, (int)c.used, (int)c.damaged);
    }
    strcpy(text, line); /* cut off */
    text[i] = '\0';
    const fl4_wisdom_counts c = counts_of(ctx, text);
    ck_assert_int_eq(c.used, i + 1 == n);
    ck_assert_int_eq(c.damaged, i > 0 && i + 1 < n);
  }
  free(line);
  free(after);
  free(text);
}
END_TEST

/* Mutations of a whole file: nothing falls over, and what is chosen always runs. */
START_TEST(fuzz)
{
  const char *rounds_text = getenv("FL4_TEST_FUZZ");
  const int rounds = rounds_text ? atoi(rounds_text) : 2000;
  fl4__text text = {0};
  fl4__random random;
  fl4__random_init(&random, 7);
  ck_assert_fl4(fl4__text_add(&text, HEADER, strlen(HEADER)));
  static const char *const variants[] = {"host:bm=24", "host:bm=48,threads=2", "host:threads=128", "fwd_mma:bm=64"};
  for (int i = 0; i < 16; i++) {
    char problem[64];
    snprintf(problem, sizeof problem, "hq%dsq%dd64%s", 1 + i % 3, 64 << i % 5, i % 2 ? ":causal" : "");
    char *line = make_line(ctx, i == 7 ? "host x 1T" : NULL, make_entry(problem, variants[i % 4], i % 4, 1 + i));
    ck_assert_fl4(fl4__text_add(&text, line, strlen(line)));
    free(line);
  }
  char *mutant = malloc(2 * text.n);
  for (int round = 0; round < rounds; round++) {
    size_t n = text.n;
    memcpy(mutant, text.data, n);
    for (uint32_t k = 1 + fl4__random_below(&random, 8); k > 0; k--) {
      const size_t at = fl4__random_below(&random, (uint32_t)n), from = fl4__random_below(&random, (uint32_t)n);
      size_t length = fl4__random_below(&random, 200);
      if (length > n - at) length = n - at;
      if (length > n - from) length = n - from;
      switch (fl4__random_below(&random, 5)) {
      case 0: mutant[at] = (char)fl4__random_next(&random); break;
      case 1: mutant[at] = "\n\"{}[]:,0-\\"[fl4__random_below(&random, 11)]; break;
      case 2: memmove(mutant + at, mutant + from, length); break;
      case 3: memmove(mutant + at, mutant + at + length, n - at - length), n -= length; break;
      default: n = fl4__random_below(&random, 4) ? n : at + 1;
      }
      if (n == 0) break;
    }
    if (round % 2) { /* some with a checksum that is right, so that what is behind it is reached */
      const char *at = mutant, *line;
      size_t left = n, length;
      fl4__text right = {0};
      while (fl4__wisdom_next(&at, &left, &line, &length)) {
        if (length < 19) continue;
        char seal[32];
        sprintf(seal, ",\"crc\":\"%08lx\"}\n", crc32(0, (const Bytef *)line, (uInt)(length - 19)));
        ck_assert_fl4(fl4__text_add(&right, line, length - 19));
        ck_assert_fl4(fl4__text_add(&right, seal, strlen(seal)));
      }
      if (right.n && right.n <= 2 * text.n) memcpy(mutant, right.data, n = right.n);
      free(right.data);
    }
    fl4_wisdom_counts c = FL4_WISDOM_COUNTS_INIT;
    ck_assert_fl4(fl4_wisdom_forget(ctx));
    ck_assert_fl4(fl4__wisdom_take(ctx->wisdom, &ctx->device->info, mutant, n, "fuzz", &c));
    ck_assert_uint_eq(fl4_wisdom_count(ctx), (size_t)(c.used + c.foreign));
    for (int i = 0; i < 6; i++) {
      fl4__problem p = {.B = 1,
                        .Hq = 1 + i % 3,
                        .Hkv = 1 + i % 3,
                        .Sq = 64 << i,
                        .Sk = 64 << i,
                        .D = 64,
                        .mask = i % 2,
                        .aligned = 1};
      fl4__variant v;
      fl4_match match;
      char why[160];
      if (fl4__wisdom_find(ctx->wisdom, &p, &ctx->device->info, &v, &match))
        ck_assert(v.family == fl4__families[1] && !v.family->refuse(&v, &p, &ctx->device->info, why));
    }
    if (round % 100 == 0) { /* the store keeps what it forgets until it closes */
      fl4_context_destroy(&ctx);
      ctx = open_two_threads();
    }
  }
  free(mutant);
  free(text.data);
}
END_TEST

static Suite *make_suite(void)
{
  Suite *suite = suite_create("wisdom_line");
  TCase *c = tcase_create("wisdom_line");
  tcase_set_timeout(c, 200);
  tcase_add_checked_fixture(c, setup, teardown);
  tcase_add_test(c, a_line_says_all);
  tcase_add_loop_test(c, reads_what_it_knows, 0, (int)(sizeof others / sizeof *others));
  tcase_add_test(c, stale_sources);
  tcase_add_test(c, damage_anywhere_is_seen);
  tcase_add_test(c, fuzz);
  suite_add_tcase(suite, c);
  return suite;
}

FL4_TEST_MAIN(make_suite)

/* SPDX-License-Identifier: Apache-2.0 */
/* A line of wisdom: what it says, what is stale, and that no damage gets through. */
#include "util/random.h"
#include "families/families.h"
#include "wisdom_data.h"

/* ---------------------------------------------------------------- lines */

START_TEST(a_line_says_all)
{
  fl4_wisdom_entry e = make_entry(P ":bf16:causal", TUNED, FL4_TUNE_PATIENT, 12.5);
  strcpy(e.date, "2026-11-22T12:00:00Z");
  ck_assert_str_eq(
      foreign_line("host avx2 2T", e),
      sealed(text_of(
          "{\"wisdom\":1,\"problem\":\"" P ":bf16:causal\",\"device\":\"host avx2 2T\",\"variant\":\"" TUNED "\","
          "\"budget\":\"patient\",\"evaluations\":64,\"improved\":1,\"p50_us\":12.5,\"default_us\":25.0,"
          "\"max_error\":0.001,\"mode\":\"graph\",\"date\":\"2026-11-22T12:00:00Z\",\"space\":\"%016llx\","
          "\"source\":\"0000000000000000\",\"kernel\":\"fedcba9876543210\",\"driver\":\"580.65.06\",\"nvrtc\":13000",
          (unsigned long long)fl4__space_hash(&fl4__family_host))));
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
  const fl4__line what = others[_i].what;
  const fl4_wisdom_counts expected = {
      .used = what == FL4__LINE_GOOD, .stale = what == FL4__LINE_STALE, .damaged = what == FL4__LINE_DAMAGED};
  const char *line = changed(others[_i].member, others[_i].value);
  ck_assert_msg(same_counts(counts_of(line), expected), "%s", line);
  ck_assert_uint_eq(fl4_wisdom_count(ctx), what == FL4__LINE_GOOD);
}
END_TEST

START_TEST(stale_sources)
{
  if (!FL4_HAVE_CUDA) return;
  const char *line = foreign_line(H200, measured(P, "fwd_mma:bm=64"));
  ck_assert_counts(counts_of(line), .foreign = 1);
  char *members = unsealed(line), *digit = strstr(members, "\"source\":\"") + 10;
  *digit = *digit == '0' ? '1' : '0';
  ck_assert_counts(counts_of(sealed(members)), .stale = 1);
}
END_TEST

/* Each bit of a line is turned over, and the line is cut off at each place; the next one is read all the same. */
START_TEST(damage_anywhere_is_seen)
{
  const char *line = line_of(measured(P, TUNED)), *after = line_of(measured(P ":bf16", "host"));
  const size_t n = strlen(line);
  char *text = keep(malloc(n + strlen(after) + 1));
  for (size_t i = 0; i < n; i++) { /* the last of them is the newline */
    for (int bit = 0; bit < 8; bit++) {
      strcat(strcpy(text, line), after);
      text[i] ^= (char)(1 << bit);
      if (!text[i]) continue;
      const fl4_wisdom_counts c = counts_of(text);
      ck_assert_msg(c.damaged >= 1 && c.used == (i + 1 < n) && c.foreign + c.stale + c.replaced == 0,
                    "byte %zu, bit %d: %d used, %d damaged", i, bit, (int)c.used, (int)c.damaged);
    }
    strcpy(text, line);
    text[i] = '\0';
    ck_assert_counts(counts_of(text), .used = i + 1 == n, .damaged = i > 0 && i + 1 < n);
  }
}
END_TEST

/* ---------------------------------------------------------------- mutations */

static void add(fl4__text *text, const char *more, size_t n)
{
  ck_assert_fl4(fl4__text_add(text, more, n));
}

/* A file of 16 lines, of this device and another, some of which name what cannot run here. */
static fl4__text whole_file(void)
{
  static const char *const variants[] = {"host:bm=24", "host:bm=48,threads=2", "host:threads=128", "fwd_mma:bm=64"};
  fl4__text text = {0};
  add(&text, HEADER, strlen(HEADER));
  for (int i = 0; i < 16; i++) {
    const char *problem = text_of("hq%dsq%dd64%s", 1 + i % 3, 64 << i % 5, i % 2 ? ":causal" : "");
    const fl4_wisdom_entry e = make_entry(problem, variants[i % 4], i % 4, 1 + i);
    const char *line = i == 7 ? foreign_line("host x 1T", e) : line_of(e);
    add(&text, line, strlen(line));
  }
  return text;
}

/* Up to eight changes of n > 0 bytes: bytes, pieces moved, removed, or cut off; how many are left. */
static size_t mutate(char *text, size_t n, fl4__random *random)
{
  for (uint32_t k = 1 + fl4__random_below(random, 8); k > 0 && n > 0; k--) {
    const size_t at = fl4__random_below(random, (uint32_t)n), from = fl4__random_below(random, (uint32_t)n);
    size_t length = fl4__random_below(random, 200);
    if (length > n - at) length = n - at;
    if (length > n - from) length = n - from;
    switch (fl4__random_below(random, 5)) {
    case 0: text[at] = (char)fl4__random_next(random); break;
    case 1: text[at] = "\n\"{}[]:,0-\\"[fl4__random_below(random, 11)]; break;
    case 2: memmove(text + at, text + from, length); break;
    case 3: memmove(text + at, text + at + length, n - at - length), n -= length; break;
    default: n = fl4__random_below(random, 4) ? n : at + 1;
    }
  }
  return n;
}

/* Each line with a checksum that is right, so that what is behind it is reached. */
static fl4__text sealed_again(const char *text, size_t n)
{
  enum { SEAL = sizeof ",\"crc\":\"01234567\"}" - 1 };
  const char *line;
  size_t length;
  fl4__text right = {0};
  while (fl4__wisdom_next(&text, &n, &line, &length)) {
    if (length < SEAL) continue;
    char seal[SEAL + 2];
    length -= SEAL;
    snprintf(seal, sizeof seal, ",\"crc\":\"%08lx\"}\n", crc32(0, (const Bytef *)line, (uInt)length));
    add(&right, line, length);
    add(&right, seal, strlen(seal));
  }
  return right;
}

/* Whatever was read: what is chosen runs. */
static void ck_assert_choices_run(void)
{
  for (int i = 0; i < 6; i++) {
    const int heads = 1 + i % 3, length = 64 << i;
    const fl4__problem p = {
        .B = 1, .Hq = heads, .Hkv = heads, .Sq = length, .Sk = length, .D = 64, .mask = i % 2, .aligned = 1};
    fl4__variant v;
    fl4_match match;
    char why[160];
    if (fl4__wisdom_find(ctx->wisdom, &p, &ctx->device->info, &v, &match))
      ck_assert(v.family == &fl4__family_host && !v.family->refuse(&v, &p, &ctx->device->info, why));
  }
}

static void take(const char *text, size_t n)
{
  fl4_wisdom_counts c = FL4_WISDOM_COUNTS_INIT;
  ck_assert_fl4(fl4_wisdom_forget(ctx));
  ck_assert_fl4(fl4__wisdom_take(ctx->wisdom, &ctx->device->info, text, n, "fuzz", &c));
  ck_assert_uint_eq(fl4_wisdom_count(ctx), (size_t)(c.used + c.foreign));
  ck_assert_choices_run();
}

START_TEST(fuzz)
{
  const char *rounds_text = getenv("FL4_TEST_FUZZ");
  const int rounds = rounds_text ? atoi(rounds_text) : 2000;
  fl4__text text = whole_file();
  char *mutant = keep(malloc(text.n));
  fl4__random random;
  fl4__random_init(&random, 7);
  for (int round = 0; round < rounds; round++) {
    memcpy(mutant, text.data, text.n);
    const size_t n = mutate(mutant, text.n, &random);
    fl4__text right = {0};
    if (round % 2) right = sealed_again(mutant, n);
    if (right.n)
      take(right.data, right.n);
    else
      take(mutant, n);
    free(right.data);
    if (round % 100 == 0) { /* the store keeps what it forgets until it closes */
      fl4_context_destroy(&ctx);
      ctx = open_context();
    }
  }
  free(text.data);
}
END_TEST

static Suite *make_suite(void)
{
  Suite *suite = suite_create("wisdom_line");
  TCase *c = tcase_create("wisdom_line");
  tcase_set_timeout(c, 200);
  tcase_add_checked_fixture(c, wisdom_setup, wisdom_teardown);
  tcase_add_test(c, a_line_says_all);
  tcase_add_loop_test(c, reads_what_it_knows, 0, (int)(sizeof others / sizeof *others));
  tcase_add_test(c, stale_sources);
  tcase_add_test(c, damage_anywhere_is_seen);
  tcase_add_test(c, fuzz);
  suite_add_tcase(suite, c);
  return suite;
}

FL4_TEST_MAIN(make_suite)

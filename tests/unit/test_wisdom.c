/* SPDX-License-Identifier: Apache-2.0 */
/* Wisdom in memory: keys, matches, what replaces what, export and import. */
#include <math.h>

#include "wisdom_data.h"

/* ---------------------------------------------------------------- keys */

START_TEST(names_matches)
{
  static const char *const names[] = {"none", "exact", "bucket", "near"};
  for (int i = 0; i < FL4_MATCH_COUNT; i++) ck_assert_str_eq(fl4_match_name((fl4_match)i), names[i]);
  ck_assert_ptr_null(fl4_match_name(FL4_MATCH_COUNT));
  ck_assert_ptr_null(fl4_match_name((fl4_match)-1));
}
END_TEST

static uint64_t key_of(const char *line)
{
  const fl4_problem p = parse(line);
  fl4__problem canonical;
  ck_assert_fl4(fl4__wisdom_problem(&p, &canonical));
  return fl4__wisdom_key(&canonical);
}

START_TEST(keys_are_powers_of_two)
{
  static const struct {
    const char *a, *b;
    int distance;
  } pairs[] = {
      {"hq8sq1024d64", "hq8sq1000d64", 0},
      {"hq8sq1024d64", "hq8sq725d64", 0}, /* up to √2 either way */
      {"hq8sq1024d64", "hq8sq1448d64", 0},
      {"hq8sq1024d64", "hq8sq1449d64", 2},
      {"hq8sq1024d64", "hq8sq724d64", 2},
      {"hq8sq1024sk1024d64", "hq8sq1024sk4096d64", 4},
      {"b2hq8sq64d64", "b1hq16sq64d64", 0}, /* only their product counts */
      {"b2hq8sq64d64", "b8hq16sq64d64", 9},
      {"hq8sq16d64", "hq8sq256d64", 32},
      {"hq8sq16d64", "hq8sq512d64", -1}, /* too far */
      {"hq8sq16sk0d64", "hq8sq16sk1d64", 1},
      {"hq8sq16d64", "hq8sq16d64:lse", 0},
      {"hq8sq16d64", "hq8sq16d64:bshd", 0},
      {"hq8sq16d64", "hq8sq16d64:scale=2", 0},
      {"hq8sq16d64", "hq8sq16d72", -1},
      {"hq8sq16d64", "hq8sq16d64:bf16", -1},
      {"hq8sq16d64", "hq8sq16d64:causal", -1},
      {"hq8sq16d64", "hq8sq16d64:odd", -1},
      {"hq8sq16d64", "hq8hkv2sq16d64", -1},
      {"hq8hkv4sq16d64", "hq16hkv8sq16d64", 1}, /* as many query heads for each of the others */
      {"hq1sq1d64", "hq1sq1d64:odd", 0},        /* a single row has no neighbour that it misaligns */
      {"hq8sq16d64", "hq8sq16d64:scale=-2", 0}, /* a call would refuse it */
      {"hq8sq16d64", "hq8sq16d64:softcap=20", -1},
      {"hq8sq16d64:softcap=50", "hq8sq16d64:softcap=20", 0},
      {"hq8sq16d64:sinks", "hq8sq16d64:alibi", -1},
      {"hq8sq16d64:sinks", "hq8sq16d64:sinks:invariant", -1},
      {"hq8sq16d64:bias=fp16", "hq8sq16d64:bias=bf16", -1},
      {"hq8sq16d64:bias=fp16", "hq8sq16d64:bias=fp16/ij", 0},
      {"hq8sq16d64:sinks", "hq8sq16d64:sinks:bf16", -1},
      {"hq8sq16d64:sinks", "hq8sq16d72:sinks", -1},
      {"hq8sq16sk64d64:page=16", "hq8sq16sk64d64:page=32", -1},
      {"hq8sq16sk64d64:page=16", "hq8sq16sk256d64:page=16", 4},
      {"hq8sq16sk64d64:page=16:bshd", "hq8sq16sk64d64:page=16", 0},
      {"b8hq8sq16d64:ragged", "b8hq8sq16d64:ragged=full", 0}, /* the rows that there are do not count */
      {"b8hq8sq16d64:ragged", "b8hq8sq16d64:ragged:lens", -1},
      {"hq8sq99d64:window=64,0", "hq8sq99d64:window=60,0", 0},
      {"hq8sq99d64:window=64,0", "hq8sq99d64:window=30,0", -1},
      {"hq8sq99d64:window=64,0", "hq8sq99d64:window=64,64", -1},
      {"hq8sq99d64:window=-1,-1", "hq8sq99d64", 0}, /* windows that are none, or causal */
      {"hq8sq99d64:window=-1,0", "hq8sq99d64:causal", 0},
  };
  for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
    const uint64_t a = key_of(pairs[i].a), b = key_of(pairs[i].b);
    ck_assert_msg(fl4__wisdom_distance(a, b) == pairs[i].distance, "%s and %s: %d", pairs[i].a, pairs[i].b,
                  fl4__wisdom_distance(a, b));
    ck_assert_int_eq(fl4__wisdom_distance(b, a), pairs[i].distance);
    ck_assert_int_eq(a == b, pairs[i].distance == 0);
    ck_assert(a != 0 && b != 0);
  }
  ck_assert(key_of("b1000000000hq1000000000sq0d8") != key_of("b1000000hq1000000sq0d8")); /* nothing overflows */
}
END_TEST

START_TEST(devices_have_keys)
{
  char text[64];
  fl4_device_info d = FL4_DEVICE_INFO_INIT;
  d.kind = FL4_DEVICE_CUDA, d.multiprocessors = 132, d.l2_bytes = 60 << 20;
  strcpy(d.isa, "sm_90");
  fl4__device_key(&d, text);
  ck_assert_str_eq(text, "sm_90 132SM 60MB");
  d.kind = FL4_DEVICE_EMU;
  fl4__device_key(&d, text);
  ck_assert_str_eq(text, "emu sm_90 132SM 60MB");
  d.kind = FL4_DEVICE_HOST, d.multiprocessors = 2;
  strcpy(d.isa, "avx2");
  fl4__device_key(&d, text);
  ck_assert_str_eq(text, "host avx2 2T");
}
END_TEST

START_TEST(hashes_are_of_what_matters)
{
#define PARAM(n, w, count, ...)                                                                                        \
  {                                                                                                                    \
    .name = n, .what = w, .n_values = count, .values = { __VA_ARGS__ }                                                 \
  }
  static const fl4__param two[] = {PARAM("bm", "rows", 2, 16, 32), PARAM("bn", "keys", 1, 64)};
  static const fl4__param other_value[] = {PARAM("bm", "rows", 2, 16, 48), PARAM("bn", "keys", 1, 64)};
  static const fl4__param other_name[] = {PARAM("bm", "rows", 2, 16, 32), PARAM("bx", "keys", 1, 64)};
  static const fl4__param other_words[] = {PARAM("bm", "query rows", 2, 16, 32), PARAM("bn", "keys", 1, 64)};
#undef PARAM
  fl4__family f = {.name = "f", .params = two, .n_params = 2}, g = f;
  const uint64_t hash = fl4__space_hash(&f);
  g.params = other_value;
  ck_assert(fl4__space_hash(&g) != hash);
  g.params = other_name;
  ck_assert(fl4__space_hash(&g) != hash);
  g.params = two, g.n_params = 1;
  ck_assert(fl4__space_hash(&g) != hash);
  g.n_params = 2, g.name = "g";
  ck_assert(fl4__space_hash(&g) != hash);
  g.name = "f", g.params = other_words;
  ck_assert(fl4__space_hash(&g) == hash);

  ck_assert_uint_eq(fl4__source_hash(&f), 0); /* without sources, as the host's */
  for (int i = 0; fl4__families[i]; i++) {
    const bool sources = FL4_HAVE_CUDA && fl4__families[i]->source;
    ck_assert_int_eq(fl4__source_hash(fl4__families[i]) != 0, sources);
    ck_assert_uint_eq(fl4__source_hash(fl4__families[i]), fl4__source_hash(fl4__families[i]));
    g.source = fl4__families[i]->source; /* the family's name is no part of it */
    ck_assert_uint_eq(fl4__source_hash(&g), fl4__source_hash(fl4__families[i]));
  }
  g.source = "oracle.cu";
  ck_assert(!FL4_HAVE_CUDA || fl4__source_hash(&g) != fl4__source_hash(fl4__families[0]));
}
END_TEST

/* ---------------------------------------------------------------- matches */

START_TEST(finds_exact_bucket_and_near)
{
  static const struct {
    const char *problem;
    fl4_match match;
  } cases[] = {
      {P, FL4_MATCH_EXACT},
      {P ":bshd", FL4_MATCH_EXACT}, /* strides are no part of it */
      {P ":lse", FL4_MATCH_BUCKET},
      {"hq8sq500sk600d64", FL4_MATCH_BUCKET},
      {"hq8sq1024d64", FL4_MATCH_NEAR},
      {"b2hq8sq1024d64", FL4_MATCH_NEAR}, /* each by one */
      {"hq8sq16384d64", FL4_MATCH_NONE},
      {"hq8sq512sk2048d64", FL4_MATCH_NONE}, /* one size, two powers of two */
      {"b4hq8sq512d64", FL4_MATCH_NONE},
      {"hq8sq512d72", FL4_MATCH_NONE},
      {P ":causal", FL4_MATCH_NONE},
  };
  ck_assert_match(ctx, P, FL4_MATCH_NONE, "host:bm=");
  learn(ctx, measured(P, TUNED));
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    ck_assert_match(ctx, cases[i].problem, cases[i].match, cases[i].match == FL4_MATCH_NONE ? "host:bm=" : TUNED);

  /* Another problem of the bucket has its own; the larger budget serves the rest. */
  learn(ctx, make_entry("hq8sq520d64", "host:bm=48,bn=64,threads=1", FL4_TUNE_PATIENT, 11));
  ck_assert_match(ctx, P, FL4_MATCH_EXACT, TUNED);
  ck_assert_match(ctx, "hq8sq520d64", FL4_MATCH_EXACT, "host:bm=48");
  ck_assert_match(ctx, "hq8sq500d64", FL4_MATCH_BUCKET, "host:bm=48");
  ck_assert_match(ctx, "hq8sq1024d64", FL4_MATCH_NEAR, "host:bm=48");

  /* What is nearer is found at once, also where something else was found before. */
  learn(ctx, measured("hq8sq1400d64", "host:bm=96,bn=64,threads=1"));
  ck_assert_match(ctx, "hq8sq1024d64", FL4_MATCH_BUCKET, "host:bm=96");
  ck_assert_match(ctx, "hq8sq2048d64", FL4_MATCH_NEAR, "host:bm=96");
  ck_assert_match(ctx, "hq8sq256d64", FL4_MATCH_NEAR, "host:bm=48");
  learn(ctx, measured(P ":causal", "host:bm=12,bn=64,threads=1"));
  ck_assert_match(ctx, P ":causal", FL4_MATCH_EXACT, "host:bm=12");
  ck_assert_match(ctx, P, FL4_MATCH_EXACT, TUNED);
}
END_TEST

START_TEST(fills_the_entry)
{
  learn(ctx, make_entry(P ":bf16", "host:threads=1,bn=32,bm=24", FL4_TUNE_PATIENT, 10.5));
  fl4_wisdom_entry e = look_up(ctx, P ":bf16");
  char device[64];
  fl4__device_key(&ctx->device->info, device);
  ck_assert_uint_eq(e.struct_size, sizeof e);
  ck_assert_str_eq(e.problem, P ":bf16");
  ck_assert_str_eq(e.device, device);
  ck_assert_str_eq(e.variant, TUNED);
  ck_assert_str_eq(e.source, "memory");
  ck_assert_str_eq(e.mode, "graph");
  ck_assert_str_eq(e.driver, "580.65.06");
  ck_assert_int_eq(e.budget, FL4_TUNE_PATIENT);
  ck_assert_int_eq(e.evaluations, 64);
  ck_assert_int_eq(e.improved, 1);
  ck_assert_int_eq(e.nvrtc, 13000);
  ck_assert_double_eq(e.p50_us, 10.5);
  ck_assert_double_eq(e.default_us, 21);
  ck_assert_double_eq(e.max_error, 1e-3);
  ck_assert_uint_eq(e.kernel_hash, 0xfedcba9876543210u);
  ck_assert_int_eq((int)strlen(e.date), 20);

  /* Without any: the built-in choice, and nothing else. */
  e = look_up(ctx, P);
  fl4_wisdom_entry none = FL4_WISDOM_ENTRY_INIT;
  memcpy(none.variant, e.variant, sizeof none.variant);
  ck_assert_mem_eq(&e, &none, sizeof e);
}
END_TEST

/* Where a tuning found nothing better, its neighbours have the built-in choice for their own sizes. */
START_TEST(no_improvement_is_not_copied)
{
  fl4_wisdom_entry e = measured(P, TUNED);
  const char *chosen = text_of("%s", look_up(ctx, "hq8sq500d64").variant);
  ck_assert_str_ne(chosen, TUNED);
  e.improved = 0;
  learn(ctx, e);
  ck_assert_match(ctx, P, FL4_MATCH_EXACT, TUNED);
  ck_assert_match(ctx, "hq8sq500d64", FL4_MATCH_BUCKET, chosen);
}
END_TEST

/* Wisdom may name what the family refuses here; then the built-in choice runs. */
START_TEST(never_what_the_family_refuses)
{
  ck_assert_fl4(fl4_wisdom_import(ctx, line_of(measured(P, "host:bm=24,bn=32,threads=128")), NULL));
  ck_assert_uint_eq(fl4_wisdom_count(ctx), 1);
  ck_assert_match(ctx, P, FL4_MATCH_NONE, "threads=0");
  ck_assert_match(ctx, "hq8sq500d64", FL4_MATCH_NONE, "threads=0");
  ck_assert_match(ctx, "hq8sq900d64", FL4_MATCH_NONE, "threads=0");

  const fl4_wisdom_entry gpu = make_entry(P, "fwd_mma:bm=64,bn=64", FL4_TUNE_EXHAUSTIVE, 0.5);
  ck_assert_fl4(fl4_wisdom_import(ctx, line_of(gpu), NULL));
  ck_assert_match(ctx, P, FL4_MATCH_NONE, "host:bm=");
}
END_TEST

START_TEST(better_support_wins)
{
  static const struct {
    int budget;
    double us;
    const char *date;
    bool wins; /* against patient, 10, 2026-02-01 */
  } others[] = {
      {FL4_TUNE_MEASURE, 5, "2026-03-01T00:00:00Z", false},    {FL4_TUNE_ESTIMATE, 5, "2026-03-01T00:00:00Z", false},
      {FL4_TUNE_EXHAUSTIVE, 20, "2026-01-01T00:00:00Z", true}, {FL4_TUNE_PATIENT, 9.9, "2026-01-01T00:00:00Z", true},
      {FL4_TUNE_PATIENT, 10.1, "2026-03-01T00:00:00Z", false}, {FL4_TUNE_PATIENT, 10, "2026-03-01T00:00:00Z", true},
      {FL4_TUNE_PATIENT, 10, "2026-02-01T00:00:00Z", true}, /* of equals, what comes later */
      {FL4_TUNE_PATIENT, 10, "2026-01-01T00:00:00Z", false},   {FL4_TUNE_PATIENT, NAN, "2026-03-01T00:00:00Z", false},
      {FL4_TUNE_PATIENT, 0, "2026-03-01T00:00:00Z", false},
  };
  for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
    fl4_wisdom_entry first = make_entry(P, "host:bm=24", FL4_TUNE_PATIENT, 10);
    fl4_wisdom_entry second = make_entry(P, "host:bm=48", others[i].budget, others[i].us);
    strcpy(first.date, "2026-02-01T00:00:00Z");
    strcpy(second.date, others[i].date);
    ck_assert_fl4(fl4_wisdom_forget(ctx));
    learn(ctx, first);
    learn(ctx, second);
    ck_assert_uint_eq(fl4_wisdom_count(ctx), 1);
    ck_assert_msg((strstr(look_up(ctx, P).variant, "bm=48") != NULL) == others[i].wins, "%zu", i);
  }
}
END_TEST

/* ---------------------------------------------------------------- by hand, forgetting, listing */

START_TEST(sets_by_hand)
{
  const fl4_problem p = parse(P);
  const fl4_wisdom_entry found = make_entry(P, "host:bm=24", FL4_TUNE_EXHAUSTIVE, 1);
  learn(ctx, found);
  ck_assert_fl4(fl4_wisdom_set(ctx, &p, "host:bm=48"));
  const fl4_wisdom_entry e = look_up(ctx, P);
  ck_assert_ptr_nonnull(strstr(e.variant, "host:bm=48,bn=")); /* gaps are filled */
  ck_assert_str_eq(e.mode, "hand");
  ck_assert_fl4(fl4_wisdom_set(ctx, &p, "host:bm=96"));
  ck_assert_match(ctx, P, FL4_MATCH_EXACT, "host:bm=96");
  learn(ctx, found);
  ck_assert_match(ctx, P, FL4_MATCH_EXACT, "host:bm=96"); /* until it is set otherwise, or forgotten */
  ck_assert_uint_eq(fl4_wisdom_count(ctx), 1);
  ck_assert_match(ctx, "hq8sq400d64", FL4_MATCH_BUCKET, "host:bm=96");
}
END_TEST

START_TEST(sets_though_the_clock_was_wrong_once)
{
  const fl4_problem p = parse(P);
  fl4_wisdom_entry e = make_entry(P, "host:bm=4", FL4_TUNE_EXHAUSTIVE, 1);
  strcpy(e.mode, "hand");
  strcpy(e.date, "2999-01-01T00:00:00Z");
  ck_assert_fl4(fl4_wisdom_import(ctx, line_of(e), NULL));
  ck_assert_match(ctx, P, FL4_MATCH_EXACT, "host:bm=4");
  ck_assert_fl4(fl4_wisdom_set(ctx, &p, "host:bm=48"));
  ck_assert_match(ctx, P, FL4_MATCH_EXACT, "host:bm=48");
}
END_TEST

START_TEST(set_refuses)
{
  const fl4_problem p = parse(P);
  fl4_problem bad = p;
  bad.D = 7;
  ck_assert_fl4_fails(fl4_wisdom_set(NULL, &p, "host"), FL4_INVALID_ARGUMENT, "fl4_wisdom_set: ctx: is NULL");
  ck_assert_fl4_fails(fl4_wisdom_set(ctx, NULL, "host"), FL4_INVALID_ARGUMENT, "problem: is NULL");
  ck_assert_fl4_fails(fl4_wisdom_set(ctx, &p, NULL), FL4_INVALID_ARGUMENT, "fl4_wisdom_set: variant: is NULL");
  ck_assert_fl4_fails(fl4_wisdom_set(ctx, &p, "host:bm=7"), FL4_INVALID_ARGUMENT, "parameter 'bm' is '7'");
  ck_assert_fl4_fails(fl4_wisdom_set(ctx, &p, "warp"), FL4_INVALID_ARGUMENT, "unknown family 'warp'");
  ck_assert_fl4_fails(fl4_wisdom_set(ctx, &p, "fwd_mma"), FL4_UNSUPPORTED, "is for the GPU");
  ck_assert_fl4_fails(fl4_wisdom_set(ctx, &p, "host:threads=3"), FL4_UNSUPPORTED, "threads=3, but the device has 2");
  ck_assert_fl4_fails(fl4_wisdom_set(ctx, &bad, "host"), FL4_INVALID_ARGUMENT, "fl4_problem.D: is 7");
}
END_TEST

START_TEST(forgets)
{
  learn(ctx, measured(P, "host:bm=24"));
  ck_assert_match(ctx, "hq8sq700d64", FL4_MATCH_BUCKET, "host:bm=24");
  ck_assert_fl4(fl4_wisdom_forget(ctx));
  ck_assert_uint_eq(fl4_wisdom_count(ctx), 0);
  ck_assert_match(ctx, P, FL4_MATCH_NONE, "host:");
  ck_assert_match(ctx, "hq8sq700d64", FL4_MATCH_NONE, "host:");
  learn(ctx, measured("hq8sq700d64", "host:bm=48"));
  ck_assert_match(ctx, P, FL4_MATCH_BUCKET, "host:bm=48");
  ck_assert_uint_eq(fl4_wisdom_count(ctx), 1);
  ck_assert_fl4_fails(fl4_wisdom_forget(NULL), FL4_INVALID_ARGUMENT, "fl4_wisdom_forget: ctx: is NULL");
}
END_TEST

START_TEST(lists)
{
  static const char *const variants[] = {"host:bm=48", "fwd_mma:bm=64", "host:bm=24"};
  fl4_wisdom_entry e = FL4_WISDOM_ENTRY_INIT;
  learn(ctx, measured(P, "host:bm=24"));
  const fl4_wisdom_entry faster = make_entry(P, "fwd_mma:bm=64", FL4_TUNE_MEASURE, 1);
  ck_assert_fl4(fl4_wisdom_import(ctx, foreign_line(H200, faster), NULL));
  learn(ctx, measured(P ":causal", "host:bm=24"));
  learn(ctx, make_entry(P, "host:bm=48", FL4_TUNE_PATIENT, 10)); /* takes the place of the first */
  ck_assert_uint_eq(fl4_wisdom_count(ctx), 3);
  for (size_t i = 0; i < 3; i++) {
    ck_assert_fl4(fl4_wisdom_get(ctx, i, &e));
    ck_assert_str_eq(e.variant, variants[i]);
  }
  ck_assert_match(ctx, P, FL4_MATCH_EXACT, "host:bm=48"); /* not what is faster on another device */

  ck_assert_uint_eq(fl4_wisdom_count(NULL), 0);
  ck_assert_fl4_fails(fl4_wisdom_get(ctx, 3, &e), FL4_INVALID_ARGUMENT, "index: is 3, must be less than");
  ck_assert_fl4_fails(fl4_wisdom_get(NULL, 0, &e), FL4_INVALID_ARGUMENT, "ctx: is NULL");
  ck_assert_fl4_fails(fl4_wisdom_get(ctx, 0, NULL), FL4_INVALID_ARGUMENT, "entry: is NULL");
  e.struct_size = 0;
  ck_assert_fl4_fails(fl4_wisdom_get(ctx, 0, &e), FL4_INVALID_ARGUMENT, "fl4_wisdom_entry.struct_size: is 0");
}
END_TEST

START_TEST(lookup_refuses)
{
  const fl4_problem p = parse(P);
  fl4_wisdom_entry e = FL4_WISDOM_ENTRY_INIT;
  ck_assert_fl4_fails(fl4_wisdom_lookup(NULL, &p, &e), FL4_INVALID_ARGUMENT, "fl4_wisdom_lookup: ctx: is NULL");
  ck_assert_fl4_fails(fl4_wisdom_lookup(ctx, NULL, &e), FL4_INVALID_ARGUMENT, "problem: is NULL");
  ck_assert_fl4_fails(fl4_wisdom_lookup(ctx, &p, NULL), FL4_INVALID_ARGUMENT, "entry: is NULL");
  e.struct_size = 8;
  ck_assert_fl4_fails(fl4_wisdom_lookup(ctx, &p, &e), FL4_INVALID_ARGUMENT, "struct_size: is 8");
}
END_TEST

/* A struct of a program that was built later, or earlier, is read and written as far as both know it. */
START_TEST(entries_of_other_sizes)
{
  struct {
    fl4_wisdom_entry entry;
    uint64_t more[2];
  } newer = {.entry = FL4_WISDOM_ENTRY_INIT};
  learn(ctx, measured(P, "host:bm=24"));
  newer.entry.struct_size = sizeof newer;
  ck_assert_fl4(fl4_wisdom_get(ctx, 0, &newer.entry));
  ck_assert_uint_eq(newer.entry.struct_size, sizeof newer);
  ck_assert_str_eq(newer.entry.variant, "host:bm=24");
  newer.more[1] = 1;
  ck_assert_fl4_fails(fl4_wisdom_get(ctx, 0, &newer.entry), FL4_INVALID_ARGUMENT, "too old to know it");

  fl4_wisdom_entry older;
  memset(&older, 0xAA, sizeof older);
  older.struct_size = offsetof(fl4_wisdom_entry, device);
  ck_assert_fl4(fl4_wisdom_get(ctx, 0, &older));
  ck_assert_str_eq(older.problem, P);
  ck_assert_int_eq((unsigned char)older.device[0], 0xAA);
}
END_TEST

START_TEST(learn_refuses)
{
#define REFUSED(change, words)                                                                                         \
  do {                                                                                                                 \
    fl4_wisdom_entry e = measured(P, "host:bm=24");                                                                    \
    change;                                                                                                            \
    ck_assert_fl4_fails(try_to_learn(ctx, e), FL4_INVALID_ARGUMENT, words);                                            \
  } while (0)
  REFUSED(strcpy(e.problem, "hq8"), "size 'sq' is missing");
  REFUSED(strcpy(e.variant, "host:bm=1"), "parameter 'bm'");
  REFUSED(e.budget = FL4_TUNE_BUDGET_COUNT, "budget: is 4");
  REFUSED(e.budget = -1, "budget: is -1");
  REFUSED(e.evaluations = -1, "they are -1, 13000 and 1");
  REFUSED(e.improved = 2, "improved must be 0 or 1");
#undef REFUSED
  ck_assert_uint_eq(fl4_wisdom_count(ctx), 0);
}
END_TEST

/* What a driver may say of itself is no reason to lose a result. */
START_TEST(learns_of_an_odd_driver)
{
  fl4_wisdom_entry e = make_entry(P, "host:bm=24", FL4_TUNE_MEASURE, NAN);
  strcpy(e.driver, "\"x\"\\ \n\xff");
  e.default_us = INFINITY;
  learn(ctx, e);
  e = look_up(ctx, P);
  ck_assert_str_eq(e.driver, "\"x\"\\ \n?");
  ck_assert(isnan(e.p50_us) && isnan(e.default_us));
}
END_TEST

/* ---------------------------------------------------------------- seeds */

START_TEST(seeds_a_tuning)
{
  fl4__variant v[8];
  fl4__problem problem;
  const fl4_problem p = parse("hq8sq1024d64");
  const fl4_device_info *device = &ctx->device->info;
  ck_assert_fl4(fl4__wisdom_problem(&p, &problem));
  ck_assert_int_eq(fl4__wisdom_seeds(ctx->wisdom, &problem, device, 8, v), 0);
  ck_assert_int_eq(fl4__wisdom_seeds(NULL, &problem, device, 8, v), 0);

  learn(ctx, measured("hq8sq4096d64", "host:bm=96"));
  learn(ctx, measured("hq8sq512d64", TUNED));
  learn(ctx, measured("hq8sq2048d64", TUNED));         /* the same again */
  learn(ctx, measured("hq8sq1024d128", "host:bm=12")); /* another kind */
  const char *foreign = foreign_line("host other 64T", measured("hq8sq1024d64", "host:bm=48"));
  const char *refused = line_of(measured("hq8sq1000d64", "host:threads=128"));
  ck_assert_fl4(fl4_wisdom_import(ctx, foreign, NULL));
  ck_assert_match(ctx, "hq8sq1024d64", FL4_MATCH_NEAR, "bm=24"); /* what another device has learnt runs nowhere else */
  ck_assert_match(ctx, "hq8sq1000d64", FL4_MATCH_NEAR, "bm=24");
  ck_assert_fl4(fl4_wisdom_import(ctx, refused, NULL));

  char text[FL4__VARIANT_TEXT];
  ck_assert_int_eq(fl4__wisdom_seeds(ctx->wisdom, &problem, device, 8, v), 3);
  fl4__variant_format(&v[0], text);
  ck_assert_str_eq(text, TUNED);
  ck_assert_int_eq(fl4__variant_get(&v[1], "bm"), 96);
  ck_assert_int_gt(fl4__variant_get(&v[1], "bn"), 0);  /* in full */
  ck_assert_int_eq(fl4__variant_get(&v[2], "bm"), 48); /* other devices come last */
  ck_assert_int_eq(fl4__wisdom_seeds(ctx->wisdom, &problem, device, 1, v), 1);
  ck_assert_int_eq(fl4__wisdom_seeds(ctx->wisdom, &problem, device, 0, v), 0);
}
END_TEST

/* ---------------------------------------------------------------- export and import */

START_TEST(export_comes_back)
{
  learn(ctx, make_entry(P, "host:bm=24", FL4_TUNE_MEASURE, 1.0 / 3));
  learn(ctx, make_entry("hq4sq9d8:fp32", "host:bm=48,threads=0", FL4_TUNE_PATIENT, 1e6));
  ck_assert_fl4(fl4_wisdom_import(ctx, foreign_line(H200, measured(P, "fwd_mma:bm=64")), NULL));
  const char *text = exported(ctx);

  fl4_context *other = open_context();
  fl4_wisdom_counts counts = FL4_WISDOM_COUNTS_INIT;
  ck_assert_fl4(fl4_wisdom_import(other, text, &counts));
  ck_assert_counts(counts, .used = 2, .foreign = 1);
  for (size_t i = 0; i < 3; i++) {
    fl4_wisdom_entry a = FL4_WISDOM_ENTRY_INIT, b = FL4_WISDOM_ENTRY_INIT;
    ck_assert_fl4(fl4_wisdom_get(ctx, i, &a));
    ck_assert_fl4(fl4_wisdom_get(other, i, &b));
    ck_assert_mem_eq(&a, &b, sizeof a);
  }
  ck_assert_str_eq(exported(other), text);
  fl4_context_destroy(&other);
}
END_TEST

START_TEST(export_and_import_refuse)
{
  char small[8];
  size_t size = sizeof small;
  fl4_wisdom_counts counts = FL4_WISDOM_COUNTS_INIT;
  learn(ctx, measured(P, "host:bm=24"));
  ck_assert_fl4_fails(fl4_wisdom_export(ctx, small, &size), FL4_INVALID_ARGUMENT, "size: is 8, must be at least");
  ck_assert_uint_eq(size, strlen(exported(ctx)) + 1);
  ck_assert_fl4_fails(fl4_wisdom_export(NULL, small, &size), FL4_INVALID_ARGUMENT, "ctx: is NULL");
  ck_assert_fl4_fails(fl4_wisdom_export(ctx, small, NULL), FL4_INVALID_ARGUMENT, "size: is NULL");
  ck_assert_fl4_fails(fl4_wisdom_import(NULL, "", NULL), FL4_INVALID_ARGUMENT, "ctx: is NULL");
  ck_assert_fl4_fails(fl4_wisdom_import(ctx, NULL, NULL), FL4_INVALID_ARGUMENT, "text: is NULL");
  counts.struct_size = 1;
  ck_assert_fl4_fails(fl4_wisdom_import(ctx, "", &counts), FL4_INVALID_ARGUMENT, "struct_size: is 1");
}
END_TEST

START_TEST(counts_what_it_reads)
{
  fl4_wisdom_counts c = FL4_WISDOM_COUNTS_INIT;
  const fl4_wisdom_entry good = measured(P, "host:bm=24");
  const char *a = line_of(good), *better = line_of(make_entry(P, "host:bm=48", FL4_TUNE_PATIENT, 10));
  const char *foreign = foreign_line("host x 1T", good), *stale = changed("variant", "\"host:bm=7\"");
  ck_assert_fl4_fails(fl4_wisdom_forget(NULL), FL4_INVALID_ARGUMENT, "ctx");
  /* replaced, used, worse, foreign, the same again; an empty line and a header count for nothing */
  const char *lines = text_of("%s%s%s%s%s", a, better, a, foreign, better);
  ck_assert_fl4(fl4_wisdom_import(ctx, text_of("%srubbish\n%s\n" HEADER, lines, stale), &c));
  ck_assert_str_eq(fl4_last_error(), "fl4_wisdom_forget: ctx: is NULL, must be a context"); /* it did not fail */
  ck_assert_counts(c, .used = 1, .replaced = 3, .foreign = 1, .stale = 1, .damaged = 1);

  /* Known already: still used. Not used: what the context knows better. */
  ck_assert_fl4(fl4_wisdom_import(ctx, better, &c));
  ck_assert_counts(c, .used = 1);
  ck_assert_fl4(fl4_wisdom_import(ctx, text_of("%s%s", better, better), &c));
  ck_assert_counts(c, .used = 1, .replaced = 1);
  ck_assert_fl4(fl4_wisdom_import(ctx, a, &c));
  ck_assert_counts(c, .replaced = 1);
}
END_TEST

static Suite *make_suite(void)
{
  Suite *suite = suite_create("wisdom");
  TCase *c = tcase_create("wisdom");
  tcase_set_timeout(c, 60);
  tcase_add_checked_fixture(c, wisdom_setup, wisdom_teardown);
  tcase_add_test(c, names_matches);
  tcase_add_test(c, keys_are_powers_of_two);
  tcase_add_test(c, devices_have_keys);
  tcase_add_test(c, hashes_are_of_what_matters);
  tcase_add_test(c, finds_exact_bucket_and_near);
  tcase_add_test(c, fills_the_entry);
  tcase_add_test(c, no_improvement_is_not_copied);
  tcase_add_test(c, never_what_the_family_refuses);
  tcase_add_test(c, better_support_wins);
  tcase_add_test(c, sets_by_hand);
  tcase_add_test(c, sets_though_the_clock_was_wrong_once);
  tcase_add_test(c, set_refuses);
  tcase_add_test(c, forgets);
  tcase_add_test(c, lists);
  tcase_add_test(c, lookup_refuses);
  tcase_add_test(c, entries_of_other_sizes);
  tcase_add_test(c, learn_refuses);
  tcase_add_test(c, learns_of_an_odd_driver);
  tcase_add_test(c, seeds_a_tuning);
  tcase_add_test(c, export_comes_back);
  tcase_add_test(c, export_and_import_refuse);
  tcase_add_test(c, counts_what_it_reads);
  suite_add_tcase(suite, c);
  return suite;
}

FL4_TEST_MAIN(make_suite)

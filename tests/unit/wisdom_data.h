/* SPDX-License-Identifier: Apache-2.0 */
/* For tests of wisdom: contexts that know none, entries, lines and files. */
#ifndef FL4_TEST_WISDOM_DATA_H
#define FL4_TEST_WISDOM_DATA_H

#include <zlib.h>

#include <flashl4/tune.h>

#include "context.h"
#include "scratch.h"
#include "wisdom_store.h"

/* The scratch folder is home, and the system's folders are in it. */
static inline void wisdom_setup(void)
{
  static const char *const names[] = {"FLASHL4_WISDOM", "FLASHL4_CAPTURE", "FLASHL4_VARIANT", "XDG_DATA_HOME"};
  scratch_setup();
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) unsetenv(names[i]);
  setenv("XDG_DATA_DIRS", in_scratch("system"), 1);
}

/* What is compiled in does not count here: a context that has read nothing else knows nothing. */
static inline void forget_system(fl4_context *ctx)
{
  for (size_t i = 0; i < fl4_wisdom_count(ctx); i++) {
    fl4_wisdom_entry entry = FL4_WISDOM_ENTRY_INIT;
    ck_assert_fl4(fl4_wisdom_get(ctx, i, &entry));
    if (strcmp(entry.source, "system") != 0) return;
  }
  if (fl4_wisdom_count(ctx) > 0) ck_assert_fl4(fl4_wisdom_forget(ctx));
}

static inline fl4_context *open_heard(listener *heard)
{
  fl4_context *ctx;
  fl4_context_options options = FL4_CONTEXT_OPTIONS_INIT;
  options.device = "host", options.threads = 2;
  if (heard) options.log = listen_fn, options.log_user = heard, options.log_level = FL4_LOG_DEBUG;
  ck_assert_fl4(fl4_context_create(&ctx, &options));
  forget_system(ctx);
  return ctx;
}

static inline fl4_context *open_two_threads(void)
{
  return open_heard(NULL);
}

static inline fl4_problem parse(const char *line)
{
  fl4_problem p = FL4_PROBLEM_INIT;
  ck_assert_fl4(fl4_problem_parse(line, &p));
  return p;
}

/* What a tuning of a problem may have found. */
static inline fl4_wisdom_entry make_entry(const char *problem, const char *variant, int budget, double us)
{
  fl4_wisdom_entry e = FL4_WISDOM_ENTRY_INIT;
  strcpy(e.problem, problem);
  strcpy(e.variant, variant);
  strcpy(e.mode, "graph");
  e.budget = budget, e.evaluations = 64, e.improved = 1;
  e.p50_us = us, e.default_us = 2 * us, e.max_error = 1e-3;
  e.kernel_hash = 0xfedcba9876543210u, e.nvrtc = 13000;
  strcpy(e.driver, "580.65.06");
  return e;
}

static inline void learn(fl4_context *ctx, const char *problem, const char *variant, int budget, double us)
{
  const fl4_wisdom_entry e = make_entry(problem, variant, budget, us);
  ck_assert_fl4(fl4__wisdom_learn(ctx->wisdom, &ctx->device->info, &e));
}

/* A line as a file has it, of this context's device, or of another; free it. */
static inline char *make_line(fl4_context *ctx, const char *device, fl4_wisdom_entry e)
{
  fl4__piece *piece;
  if (device)
    strcpy(e.device, device);
  else
    fl4__device_key(&ctx->device->info, e.device);
  ck_assert_fl4(fl4__piece_make(&e, &piece));
  char *line = malloc(piece->length + 2);
  strcpy(line, piece->line);
  strcat(line, "\n");
  free(piece);
  return line;
}

static inline fl4_wisdom_entry look_up(fl4_context *ctx, const char *problem)
{
  const fl4_problem p = parse(problem);
  fl4_wisdom_entry e = FL4_WISDOM_ENTRY_INIT;
  ck_assert_fl4(fl4_wisdom_lookup(ctx, &p, &e));
  return e;
}

/* What a text holds, for a context that knows nothing else. */
static inline fl4_wisdom_counts counts_of(fl4_context *ctx, const char *text)
{
  fl4_wisdom_counts c = FL4_WISDOM_COUNTS_INIT;
  ck_assert_fl4(fl4_wisdom_forget(ctx));
  ck_assert_fl4(fl4_wisdom_import(ctx, text, &c));
  return c;
}

/* A line with its checksum put right, whatever it says. */
static inline char *sealed(const char *members)
{
  const size_t n = strlen(members);
  char *line = malloc(n + 32);
  sprintf(line, "%s,\"crc\":\"%08lx\"}\n", members, crc32(0, (const Bytef *)members, (uInt)n));
  return line;
}

/* A good line without its checksum, one member being another. */
static inline char *changed(fl4_context *ctx, const char *member, const char *value)
{
  char *line = make_line(ctx, NULL, make_entry("hq8sq512d64", "host:bm=24", FL4_TUNE_MEASURE, 10)), start[64];
  *strstr(line, ",\"crc\"") = '\0';
  char *out = calloc(1, strlen(line) + strlen(member) + strlen(value) + 64);
  snprintf(start, sizeof start, "\"%s\":", member);
  char *at = strstr(line, start);
  if (!at) {
    sprintf(out, "%s,%s%s", line, start, value);
  } else {
    char *end = at + strlen(start);
    if (*end == '"')
      end = strchr(end + 1, '"') + 1;
    else
      end += strcspn(end, ",");
    sprintf(out, "%.*s%s%s%s", (int)(at - line), line, start, value, end);
  }
  free(line);
  char *whole = sealed(out);
  free(out);
  return whole;
}

#define ck_assert_match(ctx, problem, expected, words)                                                                 \
  do {                                                                                                                 \
    const fl4_wisdom_entry got_ = look_up(ctx, problem);                                                               \
    ck_assert_msg(got_.match == (int32_t)(expected) && strstr(got_.variant, words), "%s: %s %s", problem,              \
                  fl4_match_name((fl4_match)got_.match), got_.variant);                                                \
  } while (0)

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* For tests of wisdom: a context that knows none, entries, lines, files, and what is found or counted. */
#ifndef FL4_TEST_WISDOM_DATA_H
#define FL4_TEST_WISDOM_DATA_H

#include <zlib.h>

#include <flashl4/tune.h>

#include "context.h"
#include "scratch.h"
#include "wisdom_store.h"

#define P "hq8sq512d64"                    /* a problem */
#define TUNED "host:bm=24,bn=32,threads=1" /* a variant in full, and not the built-in choice for it */
#define HEADER "{\"flashl4_wisdom\":1}\n"  /* of a file */
#define H200 "sm_90 132SM 60MB"            /* another device */

static fl4_context *ctx; /* of the test that runs; it has read nothing */

/* ---------------------------------------------------------------- texts */

static void **kept;
static size_t n_kept;

/* Freed when the test is over. */
static inline void *keep(void *memory)
{
  if ((n_kept & (n_kept - 1)) == 0) kept = realloc(kept, 2 * (n_kept + 1) * sizeof *kept);
  ck_assert(kept && memory);
  return kept[n_kept++] = memory;
}

__attribute__((format(printf, 1, 2))) static inline const char *text_of(const char *format, ...)
{
  char *text;
  va_list ap;
  va_start(ap, format);
  ck_assert_int_ge(vasprintf(&text, format, ap), 0);
  va_end(ap);
  return keep(text);
}

static inline const char *write_text(const char *path, const char *text)
{
  write_file(path, text, strlen(text));
  return path;
}

static inline const char *read_text(const char *path)
{
  size_t size;
  return keep(read_file(path, &size));
}

/* ---------------------------------------------------------------- contexts */

/* Two threads, whatever the machine has. */
static inline fl4_context *open_with(fl4_context_options options)
{
  fl4_context *context;
  options.device = "host", options.threads = 2;
  ck_assert_fl4(fl4_context_create(&context, &options));
  return context;
}

/* What is compiled in does not count here: a context that has read nothing else knows nothing. */
static inline fl4_context *open_heard(listener *heard)
{
  fl4_context_options options = FL4_CONTEXT_OPTIONS_INIT;
  if (heard) options.log = listen_fn, options.log_user = heard, options.log_level = FL4_LOG_DEBUG;
  fl4_context *context = open_with(options);
  for (size_t i = 0; i < fl4_wisdom_count(context); i++) {
    fl4_wisdom_entry entry = FL4_WISDOM_ENTRY_INIT;
    ck_assert_fl4(fl4_wisdom_get(context, i, &entry));
    if (strcmp(entry.source, "system") != 0) return context;
  }
  ck_assert_fl4(fl4_wisdom_forget(context));
  return context;
}

static inline fl4_context *open_context(void)
{
  return open_heard(NULL);
}

/* The scratch folder is home, and the system's folders are in it. */
static inline void wisdom_setup(void)
{
  static const char *const names[] = {"FLASHL4_CAPTURE", "FLASHL4_VARIANT", "XDG_DATA_HOME"};
  scratch_setup();
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) unsetenv(names[i]);
  setenv("XDG_DATA_DIRS", in_scratch("system"), 1);
  setenv("FLASHL4_WISDOM", "off", 1);
  ctx = open_context();
  unsetenv("FLASHL4_WISDOM");
}

static inline void wisdom_teardown(void)
{
  fl4_context_destroy(&ctx);
  while (n_kept > 0) free(kept[--n_kept]);
  free(kept);
  kept = NULL;
  scratch_teardown();
}

/* ---------------------------------------------------------------- entries and lines */

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

/* What most tunings are. */
static inline fl4_wisdom_entry measured(const char *problem, const char *variant)
{
  return make_entry(problem, variant, FL4_TUNE_MEASURE, 10);
}

static inline fl4_status try_to_learn(fl4_context *context, fl4_wisdom_entry e)
{
  return fl4__wisdom_learn(context->wisdom, &context->device->info, &e);
}

static inline void learn(fl4_context *context, fl4_wisdom_entry e)
{
  ck_assert_fl4(try_to_learn(context, e));
}

/* A line as a file has it, of another device. */
static inline const char *foreign_line(const char *device, fl4_wisdom_entry e)
{
  fl4__piece *piece;
  strcpy(e.device, device);
  ck_assert_fl4(fl4__piece_make(&e, &piece));
  const char *line = text_of("%s\n", piece->line);
  free(piece);
  return line;
}

/* Of this device. */
static inline const char *line_of(fl4_wisdom_entry e)
{
  char device[sizeof e.device];
  fl4__device_key(&ctx->device->info, device);
  return foreign_line(device, e);
}

/* A line with its checksum put right, whatever it says. */
static inline const char *sealed(const char *members)
{
  return text_of("%s,\"crc\":\"%08lx\"}\n", members, crc32(0, (const Bytef *)members, (uInt)strlen(members)));
}

/* What a checksum is of. */
static inline char *unsealed(const char *line)
{
  char *members = keep(strdup(line));
  *strstr(members, ",\"crc\"") = '\0';
  return members;
}

/* A good line but for one member, which is another or there as well. */
static inline const char *changed(const char *member, const char *value)
{
  const char *line = unsealed(line_of(measured(P, "host:bm=24"))), *name = text_of("\"%s\":", member);
  const char *at = strstr(line, name);
  if (!at) return sealed(text_of("%s,%s%s", line, name, value));
  const char *end = at + strlen(name);
  end = *end == '"' ? strchr(end + 1, '"') + 1 : end + strcspn(end, ",");
  return sealed(text_of("%.*s%s%s%s", (int)(at - line), line, name, value, end));
}

/* ---------------------------------------------------------------- what is found and counted */

static inline fl4_wisdom_entry look_up(fl4_context *context, const char *problem)
{
  const fl4_problem p = parse(problem);
  fl4_wisdom_entry e = FL4_WISDOM_ENTRY_INIT;
  ck_assert_fl4(fl4_wisdom_lookup(context, &p, &e));
  return e;
}

#define ck_assert_match(context, problem, expected, words)                                                             \
  do {                                                                                                                 \
    const fl4_wisdom_entry got_ = look_up(context, problem);                                                           \
    ck_assert_msg(got_.match == (int32_t)(expected) && strstr(got_.variant, words), "%s: %s %s", problem,              \
                  fl4_match_name((fl4_match)got_.match), got_.variant);                                                \
  } while (0)

static inline const char *exported(fl4_context *context)
{
  size_t size = 0;
  ck_assert_fl4(fl4_wisdom_export(context, NULL, &size));
  char *text = keep(malloc(size));
  ck_assert_fl4(fl4_wisdom_export(context, text, &size));
  ck_assert_uint_eq(strlen(text) + 1, size);
  return text;
}

/* What a text holds, for a context that knows nothing else. */
static inline fl4_wisdom_counts counts_of(const char *text)
{
  fl4_wisdom_counts c = FL4_WISDOM_COUNTS_INIT;
  ck_assert_fl4(fl4_wisdom_forget(ctx));
  ck_assert_fl4(fl4_wisdom_import(ctx, text, &c));
  return c;
}

static inline bool same_counts(fl4_wisdom_counts a, fl4_wisdom_counts b)
{
  return a.used == b.used && a.replaced == b.replaced && a.foreign == b.foreign && a.stale == b.stale &&
         a.damaged == b.damaged;
}

/* Those that are named, as in .used = 1, and none of the others. */
#define ck_assert_counts(counts, ...)                                                                                  \
  do {                                                                                                                 \
    const fl4_wisdom_counts got_ = (counts), want_ = {__VA_ARGS__};                                                    \
    ck_assert_msg(same_counts(got_, want_), "%s, not %d used, %d replaced, %d foreign, %d stale, %d damaged",          \
                  #__VA_ARGS__, (int)got_.used, (int)got_.replaced, (int)got_.foreign, (int)got_.stale,                \
                  (int)got_.damaged);                                                                                  \
  } while (0)

#endif

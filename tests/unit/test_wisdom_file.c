/* SPDX-License-Identifier: Apache-2.0 */
/* Wisdom in files: appending, merging, the layers that a context reads, and want of memory. */
#include <sys/resource.h>

#include "no_memory.h"
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

/* ---------------------------------------------------------------- saving and loading */

START_TEST(learns_saves_and_loads)
{
  const char *file = in_scratch("a.wisdom");
  size_t size;
  ck_assert_fl4(fl4_wisdom_save(ctx, file));
  ck_assert(!exists(file)); /* nothing was learnt */
  learn(ctx, P, "host:bm=24", FL4_TUNE_MEASURE, 10);
  ck_assert_fl4(fl4_wisdom_save(ctx, file));
  char *text = read_file(file, &size), *again;
  ck_assert_int_eq(strncmp(text, HEADER, strlen(HEADER)), 0);
  ck_assert_fl4(fl4_wisdom_save(ctx, file)); /* nothing new */
  again = read_file(file, &size);
  ck_assert_str_eq(text, again);
  free(again);

  const fl4_problem p = parse(P ":causal");
  ck_assert_fl4(fl4_wisdom_set(ctx, &p, "host:bm=48"));
  size = 0;
  ck_assert_fl4(fl4_wisdom_export(ctx, NULL, &size));
  again = malloc(size);
  ck_assert_fl4(fl4_wisdom_export(ctx, again, &size));
  ck_assert_fl4(fl4_wisdom_import(ctx, again, NULL)); /* read as well is still learnt */
  free(again);
  ck_assert_fl4(fl4_wisdom_save(ctx, file));
  again = read_file(file, &size);
  ck_assert_int_eq(strncmp(text, again, strlen(text)), 0); /* only ever appended to */
  free(again);
  free(text);

  fl4_context *other = open_two_threads();
  fl4_wisdom_counts c = FL4_WISDOM_COUNTS_INIT;
  ck_assert_fl4(fl4_wisdom_load(other, file, &c));
  ck_assert_int_eq(c.used, 2);
  ck_assert_match(other, P, FL4_MATCH_EXACT, "host:bm=24");
  ck_assert_match(other, P ":causal", FL4_MATCH_EXACT, "host:bm=48");
  ck_assert_str_eq(look_up(other, P).source, file);
  const char *copy = in_scratch("b.wisdom");
  ck_assert_fl4(fl4_wisdom_save(other, copy));
  ck_assert(!exists(copy)); /* what is read is not learnt */
  fl4_context_destroy(&other);
}
END_TEST

START_TEST(load_and_save_refuse)
{
  fl4_wisdom_counts c = FL4_WISDOM_COUNTS_INIT;
  ck_assert_fl4_fails(fl4_wisdom_load(NULL, "x", &c), FL4_INVALID_ARGUMENT, "fl4_wisdom_load: ctx: is NULL");
  ck_assert_fl4_fails(fl4_wisdom_load(ctx, NULL, &c), FL4_INVALID_ARGUMENT, "fl4_wisdom_load: file: is NULL");
  ck_assert_fl4_fails(fl4_wisdom_load(ctx, in_scratch("none"), &c), FL4_IO_ERROR, "none: cannot be opened: No such");
  ck_assert_fl4_fails(fl4_wisdom_load(ctx, scratch, &c), FL4_IO_ERROR, "is not a regular file");
  ck_assert_int_eq(mkfifo(in_scratch("fifo"), 0600), 0);
  ck_assert_fl4_fails(fl4_wisdom_load(ctx, in_scratch("fifo"), &c), FL4_IO_ERROR, "fifo: is not a regular file");
  c.struct_size = 3;
  ck_assert_fl4_fails(fl4_wisdom_load(ctx, "x", &c), FL4_INVALID_ARGUMENT, "fl4_wisdom_counts.struct_size: is 3");

  ck_assert_fl4_fails(fl4_wisdom_save(NULL, "x"), FL4_INVALID_ARGUMENT, "fl4_wisdom_save: ctx: is NULL");
  learn(ctx, P, "host:bm=24", FL4_TUNE_MEASURE, 10);
  ck_assert_fl4_fails(fl4_wisdom_save(ctx, in_scratch("no/such")), FL4_IO_ERROR, "no/such: cannot be written");
  ck_assert_fl4_fails(fl4_wisdom_save(ctx, in_scratch("fifo")), FL4_IO_ERROR, "fifo: is not a regular file");
  unsetenv("HOME");
  ck_assert_fl4_fails(fl4_wisdom_save(ctx, NULL), FL4_IO_ERROR, "neither XDG_DATA_HOME nor HOME is set");
  if (access("/dev/full", W_OK) == 0)
    ck_assert_fl4_fails(fl4_wisdom_save(ctx, "/dev/full"), FL4_IO_ERROR, "is not a regular file");
  ck_assert_fl4(fl4_wisdom_save(ctx, in_scratch("good"))); /* nothing was lost by the failures */
  ck_assert_fl4(fl4_wisdom_load(ctx, in_scratch("good"), NULL));
}
END_TEST

/* A line that somebody did not finish costs that line only. */
START_TEST(appends_behind_a_torn_line)
{
  const char *file = in_scratch("a.wisdom");
  size_t size;
  write_file(file, HEADER "{\"wisdom\":1,\"pro", strlen(HEADER) + 16);
  learn(ctx, P, "host:bm=24", FL4_TUNE_MEASURE, 10);
  ck_assert_fl4(fl4_wisdom_save(ctx, file));
  char *text = read_file(file, &size);
  const fl4_wisdom_counts c = counts_of(ctx, text);
  ck_assert_int_eq(c.used, 1);
  ck_assert_int_eq(c.damaged, 1);
  free(text);
}
END_TEST

/* No room for all: the files are as they were, and there is none besides. */
static int save_without_room(void *user)
{
  const char *file = user, *large = in_scratch("large.wisdom");
  const struct rlimit limit = {4000, 4000};
  fl4_wisdom_entry e = make_entry(P, "host:bm=24", FL4_TUNE_MEASURE, 10);
  EXPECT(fl4_wisdom_save(ctx, large) == FL4_OK);
  for (int i = 0; i < 20; i++) {
    snprintf(e.problem, sizeof e.problem, "hq8sq%dd128", 64 + i);
    EXPECT(fl4__wisdom_learn(ctx->wisdom, &ctx->device->info, &e) == FL4_OK);
  }
  signal(SIGXFSZ, SIG_IGN);
  EXPECT(setrlimit(RLIMIT_FSIZE, &limit) == 0);
  EXPECT(fl4_wisdom_save(ctx, file) == FL4_IO_ERROR);
  EXPECT(strstr(fl4_last_error(), "cannot be written: File too large"));
  EXPECT(fl4_wisdom_merge(&large, 1, file, 0, NULL) == FL4_IO_ERROR);
  EXPECT(strstr(fl4_last_error(), "a.wisdom: cannot be replaced: File too large"));
  return 0;
}

START_TEST(all_or_nothing)
{
  const char *file = in_scratch("a.wisdom");
  char line[64];
  size_t size;
  for (int i = 0; i < 20; i++) {
    snprintf(line, sizeof line, "hq8sq%dd64", 64 + i);
    learn(ctx, line, "host:bm=24", FL4_TUNE_MEASURE, 10);
  }
  write_file(file, HEADER, strlen(HEADER));
  in_child(save_without_room, (void *)(uintptr_t)file);
  char *text = read_file(file, &size);
  ck_assert_str_eq(text, HEADER);
  free(text);
  ck_assert_int_eq(remove(file) | remove(in_scratch("large.wisdom")), 0);
  ck_assert_int_eq(rmdir(scratch), 0); /* nothing else is in it */
  ck_assert_int_eq(mkdir(scratch, 0700), 0);
}
END_TEST

enum { PROCESSES = 2, LINES = 200 };

static int append_lines(void *user)
{
  const int process = *(int *)user;
  const char *file = in_scratch("shared.wisdom");
  char problem[64];
  for (int i = 0; i < LINES; i++) {
    snprintf(problem, sizeof problem, "b%dhq8sq%dd64", 1 + process, 64 + i);
    const fl4_wisdom_entry e = make_entry(problem, "host:bm=24", FL4_TUNE_MEASURE, 10);
    EXPECT(fl4__wisdom_learn(ctx->wisdom, &ctx->device->info, &e) == FL4_OK);
    EXPECT(fl4_wisdom_save(ctx, file) == FL4_OK);
  }
  return 0;
}

static int merge_often(void *user)
{
  const char *file = in_scratch("shared.wisdom");
  (void)user;
  for (int i = 0; i < 40; i++) {
    const fl4_status status = fl4_wisdom_merge(&file, 1, file, 1, NULL);
    EXPECT(status == FL4_OK);
    usleep(1000);
  }
  return 0;
}

static void check_nothing_lost(void)
{
  fl4_wisdom_counts c = FL4_WISDOM_COUNTS_INIT;
  ck_assert_fl4(fl4_wisdom_load(ctx, in_scratch("shared.wisdom"), &c));
  ck_assert_int_eq(c.used, PROCESSES * LINES);
  ck_assert_int_eq(c.damaged + c.stale + c.replaced + c.foreign, 0);
}

START_TEST(two_processes_lose_nothing)
{
  pid_t pids[PROCESSES];
  int numbers[PROCESSES];
  for (int i = 0; i < PROCESSES; i++) numbers[i] = i, pids[i] = start_child(append_lines, &numbers[i]);
  for (int i = 0; i < PROCESSES; i++) wait_child(pids[i]);
  check_nothing_lost();
  size_t size;
  char *text = read_file(in_scratch("shared.wisdom"), &size);
  ck_assert_ptr_null(strstr(text + 1, "{\"flashl4_wisdom\"")); /* one header */
  free(text);
}
END_TEST

START_TEST(merging_beside_them_loses_nothing)
{
  pid_t pids[PROCESSES + 1];
  int numbers[PROCESSES];
  write_file(in_scratch("shared.wisdom"), HEADER, strlen(HEADER));
  for (int i = 0; i < PROCESSES; i++) numbers[i] = i, pids[i] = start_child(append_lines, &numbers[i]);
  pids[PROCESSES] = start_child(merge_often, NULL);
  for (int i = 0; i <= PROCESSES; i++) wait_child(pids[i]);
  check_nothing_lost();
}
END_TEST

/* ---------------------------------------------------------------- merging */

START_TEST(merges)
{
  const char *a = in_scratch("a.wisdom"), *b = in_scratch("b.wisdom"), *to = in_scratch("to.wisdom");
  char *weak = make_line(ctx, NULL, make_entry(P, "host:bm=24", FL4_TUNE_MEASURE, 10)),
       *strong = make_line(ctx, NULL, make_entry(P, "host:bm=48", FL4_TUNE_PATIENT, 10)),
       *other = make_line(ctx, NULL, make_entry(P ":causal", "host:bm=48", FL4_TUNE_MEASURE, 10)),
       *foreign = make_line(ctx, "sm_90 132SM 60MB", make_entry(P, "fwd_mma:bm=64", FL4_TUNE_MEASURE, 1)),
       *stale = changed(ctx, "wisdom", "2");
  char text[8192], expected[8192];
  size_t size;
  sprintf(text, HEADER "%s%sdamaged\n%s", weak, foreign, other);
  write_file(a, text, strlen(text));
  sprintf(text, "%s%sdamaged\n%s", stale, weak, strong); /* no header, as it may be */
  text[strlen(text) - 1] = '\0';                         /* and no last newline */
  write_file(b, text, strlen(text));

  fl4_wisdom_counts c = FL4_WISDOM_COUNTS_INIT;
  const char *files[] = {a, b};
  ck_assert_fl4(fl4_wisdom_merge(files, 2, to, 0, &c));
  ck_assert_int_eq(c.used, 3);
  ck_assert_int_eq(c.replaced, 2);
  ck_assert_int_eq(c.stale, 1);
  ck_assert_int_eq(c.damaged, 2);
  ck_assert_int_eq(c.foreign, 0);
  char *got = read_file(to, &size);
  sprintf(expected, HEADER "%s%sdamaged\n%s%s", strong, foreign, other, stale);
  ck_assert_str_eq(got, expected);
  free(got);

  ck_assert_int_eq(chmod(a, 0640), 0);
  ck_assert_fl4(fl4_wisdom_merge(files, 2, a, 1, NULL)); /* into one of them, pruned */
  got = read_file(a, &size);
  sprintf(expected, HEADER "%s%s%s", strong, foreign, other);
  ck_assert_str_eq(got, expected);
  free(got);
  struct stat s;
  ck_assert_int_eq(stat(a, &s), 0);
  ck_assert_uint_eq(s.st_mode & 0777, 0640);

  /* A link stays a link. */
  ck_assert_int_eq(symlink(b, in_scratch("link")), 0);
  ck_assert_fl4(fl4_wisdom_merge(&a, 1, in_scratch("link"), 1, NULL));
  ck_assert_int_eq(lstat(in_scratch("link"), &s), 0);
  ck_assert(S_ISLNK(s.st_mode));
  got = read_file(b, &size);
  ck_assert_str_eq(got, expected);
  free(got);
  free(weak);
  free(strong);
  free(other);
  free(foreign);
  free(stale);
}
END_TEST

START_TEST(merge_refuses)
{
  const char *good[] = {in_scratch("a")}, *none[] = {in_scratch("none")}, *null[] = {good[0], NULL}, *empty[] = {""};
  const char *to = in_scratch("to");
  fl4_wisdom_counts c = FL4_WISDOM_COUNTS_INIT;
  write_file(good[0], "", 0);
  ck_assert_fl4_fails(fl4_wisdom_merge(NULL, 1, to, 0, &c), FL4_INVALID_ARGUMENT, "files: is NULL");
  ck_assert_fl4_fails(fl4_wisdom_merge(good, 0, to, 0, &c), FL4_INVALID_ARGUMENT, "n: is 0");
  ck_assert_fl4_fails(fl4_wisdom_merge(null, 2, to, 0, &c), FL4_INVALID_ARGUMENT, "files[1]: is NULL");
  ck_assert_fl4_fails(fl4_wisdom_merge(empty, 1, to, 0, &c), FL4_INVALID_ARGUMENT, "files[0]: is empty");
  ck_assert_fl4_fails(fl4_wisdom_merge(good, 1, NULL, 0, &c), FL4_INVALID_ARGUMENT, "to: is NULL");
  ck_assert_fl4_fails(fl4_wisdom_merge(good, 1, "", 0, &c), FL4_INVALID_ARGUMENT, "to: is empty");
  ck_assert_fl4_fails(fl4_wisdom_merge(good, 1, to, 2, &c), FL4_INVALID_ARGUMENT, "prune: is 2");
  c.struct_size = 0;
  ck_assert_fl4_fails(fl4_wisdom_merge(good, 1, to, 0, &c), FL4_INVALID_ARGUMENT, "struct_size: is 0");
  ck_assert_fl4_fails(fl4_wisdom_merge(none, 1, to, 0, NULL), FL4_IO_ERROR, "none: cannot be opened");
  ck_assert_fl4_fails(fl4_wisdom_merge(none, 1, none[0], 1, NULL), FL4_IO_ERROR, "none: cannot be opened");
  ck_assert_fl4_fails(fl4_wisdom_merge((const char *[]){scratch}, 1, to, 1, NULL), FL4_IO_ERROR, "not a regular file");
  ck_assert(!exists(to) && !exists(none[0])); /* what it made for the lock is gone */
  ck_assert_fl4_fails(fl4_wisdom_merge(good, 1, in_scratch("no/such"), 0, NULL), FL4_IO_ERROR, "cannot be written");
  ck_assert_fl4_fails(fl4_wisdom_merge(good, 1, scratch, 0, NULL), FL4_IO_ERROR, "cannot be written");
  ck_assert_fl4(fl4_wisdom_merge(good, 1, to, 0, NULL));
  size_t size;
  char *text = read_file(to, &size);
  ck_assert_str_eq(text, HEADER);
  free(text);
}
END_TEST

/* A folder that cannot be written: the file stays as it was. */
static int merge_unprivileged(void *user)
{
  const char *file = user;
  EXPECT(chown(file, 65534, 65534) == 0 || geteuid() != 0);
  EXPECT(become_ordinary_user() == 0);
  EXPECT(chmod(scratch, 0500) == 0);
  EXPECT(fl4_wisdom_merge(&file, 1, file, 1, NULL) == FL4_IO_ERROR);
  EXPECT(strstr(fl4_last_error(), "a.wisdom: cannot be replaced: Permission denied"));
  EXPECT(chmod(scratch, 0700) == 0);
  return 0;
}

START_TEST(merge_into_a_closed_folder)
{
  const char *file = in_scratch("a.wisdom");
  size_t size;
  write_file(file, "damaged\n", 8);
  in_child(merge_unprivileged, (void *)(uintptr_t)file);
  char *text = read_file(file, &size);
  ck_assert_str_eq(text, "damaged\n");
  free(text);
}
END_TEST

/* ---------------------------------------------------------------- layers */

/* A file with one line, in a folder that is made. */
static const char *put(const char *path, const char *variant, int budget)
{
  char *line = make_line(ctx, NULL, make_entry(P, variant, budget, 10)), folder[PATH_MAX];
  strcpy(folder, path);
  for (char *slash = strchr(folder + strlen(scratch) + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
    *slash = '\0';
    (void)mkdir(folder, 0700);
    *slash = '/';
  }
  write_file(path, line, strlen(line));
  free(line);
  return path;
}

/* What a new context runs, and where from. */
static void ck_assert_layer(const char *variant, const char *source)
{
  fl4_context *c = open_two_threads();
  const fl4_wisdom_entry e = look_up(c, P);
  ck_assert_msg(strstr(e.variant, variant) && strstr(e.source, source), "%s of %s, not %s of %s", e.variant, e.source,
                variant, source);
  fl4_context_destroy(&c);
}

START_TEST(layers_in_their_order)
{
  char chosen[128], dirs[4096];
  strcpy(chosen, look_up(ctx, P).variant);
  ck_assert_layer(chosen, "");

  snprintf(dirs, sizeof dirs, "%s/first:relative:%s/second/::", scratch, scratch);
  setenv("XDG_DATA_DIRS", dirs, 1);
  ck_assert_layer(chosen, "");
  put(in_scratch("second/flashl4/a.wisdom"), "host:bm=4", FL4_TUNE_MEASURE);
  ck_assert_layer("host:bm=4,", "second//flashl4/a.wisdom");
  put(in_scratch("second/flashl4/b.wisdom"), "host:bm=12", FL4_TUNE_MEASURE);
  put(in_scratch("second/flashl4/c.txt"), "host:bm=384", FL4_TUNE_PATIENT);
  put(in_scratch("second/flashl4/.d.wisdom"), "host:bm=384", FL4_TUNE_PATIENT);
  ck_assert_layer("host:bm=12,", "second//flashl4/b.wisdom");
  put(in_scratch("first/flashl4/a.wisdom"), "host:bm=24", FL4_TUNE_MEASURE);
  ck_assert_layer("host:bm=24,", "first/flashl4/a.wisdom");

  snprintf(dirs, sizeof dirs, "%s:%s", put(in_scratch("x"), "host:bm=48", 0), put(in_scratch("y"), "host:bm=96", 0));
  setenv("FLASHL4_WISDOM", dirs, 1);
  ck_assert_layer("host:bm=96,", "/y");
  put(in_scratch(".local/share/flashl4/user.wisdom"), "host:bm=192", FL4_TUNE_MEASURE);
  ck_assert_layer("host:bm=192,", "user.wisdom");
  setenv("XDG_DATA_HOME", "relative", 1);
  ck_assert_layer("host:bm=192,", "user.wisdom");
  setenv("XDG_DATA_HOME", in_scratch("home"), 1);
  ck_assert_layer("host:bm=96,", "/y");
  put(in_scratch("home/flashl4/user.wisdom"), "host:bm=384", FL4_TUNE_MEASURE);
  ck_assert_layer("host:bm=384,", "user.wisdom");

  /* Evidence counts for more than the place. */
  put(in_scratch("second/flashl4/a.wisdom"), "host:bm=4", FL4_TUNE_PATIENT);
  ck_assert_layer("host:bm=4,", "second//flashl4/a.wisdom");
  setenv("FLASHL4_WISDOM", "off", 1);
  ck_assert_layer(chosen, "");
}
END_TEST

START_TEST(saves_the_users_file)
{
  learn(ctx, P, "host:bm=24", FL4_TUNE_MEASURE, 10);
  ck_assert_fl4(fl4_wisdom_save(ctx, NULL));
  ck_assert(exists(in_scratch(".local/share/flashl4/user.wisdom")));
  struct stat s;
  ck_assert_int_eq(stat(in_scratch(".local/share"), &s), 0);
  ck_assert_uint_eq(s.st_mode & 0777, 0700);
  ck_assert_layer("host:bm=24,", "user.wisdom");
}
END_TEST

/* One message a file, with numbers; what is fine is not mentioned, and no error is left behind. */
START_TEST(reports_once_a_file)
{
  listener heard = {0};
  char *stale = changed(ctx, "wisdom", "2"), *good = changed(ctx, "wisdom", "1"), text[8192], files[2048];
  sprintf(text, "rubbish\n%s%s%smore\nof it\n", stale, good, stale);
  write_file(in_scratch("bad"), text, strlen(text));
  write_file(in_scratch("good"), good, strlen(good));
  snprintf(files, sizeof files, "%s/bad::%s/good", scratch, scratch);
  setenv("FLASHL4_WISDOM", files, 1);
  ck_assert_fl4_fails(fl4_wisdom_forget(NULL), FL4_INVALID_ARGUMENT, "ctx");
  fl4_context *c = open_heard(&heard);
  ck_assert_int_eq(heard.count[FL4_LOG_WARN], 1);
  ck_assert_ptr_nonnull(strstr(heard.last[FL4_LOG_WARN], "/bad: 3 lines cannot be read, 2 are of kernels"));
  ck_assert_int_eq(heard.count[FL4_LOG_DEBUG], 3); /* the system's too */
  ck_assert_ptr_nonnull(strstr(heard.last[FL4_LOG_DEBUG], "/good: 1 lines count, 0 are replaced"));
  ck_assert_ptr_nonnull(strstr(fl4_last_error(), "fl4_wisdom_forget: ctx"));
  fl4_context_destroy(&c);

  memset(&heard, 0, sizeof heard);
  snprintf(files, sizeof files, "%s/none:%s", scratch, scratch);
  setenv("FLASHL4_WISDOM", files, 1);
  c = open_heard(&heard);
  ck_assert_int_eq(heard.count[FL4_LOG_WARN], 2);
  ck_assert_ptr_nonnull(strstr(heard.last[FL4_LOG_WARN], "is not a regular file"));
  ck_assert_ptr_nonnull(strstr(fl4_last_error(), "fl4_wisdom_forget: ctx"));
  fl4_context_destroy(&c);
  free(stale);
  free(good);
}
END_TEST

/* What is compiled in fits the kernels it is compiled in with. */
START_TEST(system_wisdom_is_good)
{
  listener heard = {0};
  fl4_context *c = open_heard(&heard);
  fl4_wisdom_counts counts = FL4_WISDOM_COUNTS_INIT;
  ck_assert_int_eq(heard.count[FL4_LOG_WARN], 0);
  ck_assert_fl4(fl4_wisdom_import(c, fl4__system_wisdom, &counts));
  ck_assert_int_eq(counts.damaged, 0);
  ck_assert_int_eq(counts.stale, 0);
  ck_assert_int_eq(strncmp(fl4__system_wisdom, HEADER, strlen(HEADER)), 0);
  ck_assert_uint_eq(fl4_wisdom_count(c), (size_t)(counts.used + counts.foreign));
  fl4_context_destroy(&c);
}
END_TEST

/* ---------------------------------------------------------------- want of memory */

/* Reads, learns, exports, saves and merges, from nothing. */
static fl4_status use_all(const char *lines, const char *file)
{
  fl4__wisdom *w;
  fl4__text text = {0};
  const fl4_wisdom_entry e = make_entry(P ":causal", "host:bm=24", FL4_TUNE_MEASURE, 10);
  (void)unlink(file);
  fl4_status status = fl4__wisdom_open(NULL, &w);
  if (status != FL4_OK) return status;
  status = fl4__wisdom_take(w, &ctx->device->info, lines, strlen(lines), "lines", NULL);
  if (status == FL4_OK) status = fl4__wisdom_learn(w, &ctx->device->info, &e);
  if (status == FL4_OK) status = fl4__wisdom_text(w, false, &text);
  if (status == FL4_OK) status = fl4__wisdom_write(w, file);
  if (status == FL4_OK) status = fl4__wisdom_load_file(w, &ctx->device->info, file, NULL);
  if (status == FL4_OK) status = fl4_wisdom_merge(&file, 1, file, 0, NULL);
  free(text.data);
  fl4__wisdom_close(w);
  return status;
}

START_TEST(each_allocation_may_fail)
{
  const char *file = in_scratch("a.wisdom");
  fl4__text text = {0};
  char problem[64];
  for (int i = 0; i < 300; i++) { /* all tables grow */
    snprintf(problem, sizeof problem, "hq8sq%dd64", 1 + i);
    char *line = make_line(ctx, NULL, make_entry(problem, "host:bm=24", FL4_TUNE_MEASURE, 10));
    ck_assert_fl4(fl4__text_add(&text, line, strlen(line)));
    free(line);
  }
  ck_assert_fl4(fl4__text_add(&text, "damaged\n", 9));
  int n = 0;
  for (;; n++) {
    ck_assert_int_lt(n, 10000);
    no_memory_after = n;
    const fl4_status status = use_all(text.data, file);
    const bool hit = no_memory_after < 0;
    no_memory_after = -1;
    if (!hit) {
      ck_assert_fl4(status);
      break;
    }
    ck_assert_msg(status == FL4_OUT_OF_MEMORY && strstr(fl4_last_error(), "no memory"), "allocation %d: %s", n + 1,
                  fl4_last_error());
  }
  ck_assert_int_gt(n, 300);
  free(text.data);

  /* A lookup that cannot remember what it found has found it nevertheless. */
  learn(ctx, P, "host:bm=24", FL4_TUNE_MEASURE, 10);
  const fl4_problem p = parse("hq8sq1024d64");
  fl4__problem near;
  fl4__variant v;
  fl4_match match;
  ck_assert_fl4(fl4__wisdom_problem(&p, &near));
  no_memory_after = 0;
  const bool found = fl4__wisdom_find(ctx->wisdom, &near, &ctx->device->info, &v, &match);
  ck_assert_int_eq(no_memory_after, -1); /* it did ask */
  ck_assert(found && match == FL4_MATCH_NEAR);
  no_memory_after = 0;
  ck_assert_int_eq(fl4__wisdom_seeds(ctx->wisdom, &near, &ctx->device->info, 1, &v), 0);
  ck_assert_int_eq(fl4__wisdom_seeds(ctx->wisdom, &near, &ctx->device->info, 1, &v), 1);
}
END_TEST

static Suite *make_suite(void)
{
  Suite *suite = suite_create("wisdom_file");
  TCase *c = tcase_create("wisdom_file");
  tcase_set_timeout(c, 200);
  tcase_add_checked_fixture(c, setup, teardown);
  tcase_add_test(c, learns_saves_and_loads);
  tcase_add_test(c, load_and_save_refuse);
  tcase_add_test(c, appends_behind_a_torn_line);
  tcase_add_test(c, all_or_nothing);
  tcase_add_test(c, two_processes_lose_nothing);
  tcase_add_test(c, merging_beside_them_loses_nothing);
  tcase_add_test(c, merges);
  tcase_add_test(c, merge_refuses);
  tcase_add_test(c, merge_into_a_closed_folder);
  tcase_add_test(c, layers_in_their_order);
  tcase_add_test(c, saves_the_users_file);
  tcase_add_test(c, reports_once_a_file);
  tcase_add_test(c, system_wisdom_is_good);
  tcase_add_test(c, each_allocation_may_fail);
  suite_add_tcase(suite, c);
  return suite;
}

FL4_TEST_MAIN(make_suite)

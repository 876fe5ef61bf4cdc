/* SPDX-License-Identifier: Apache-2.0 */
/* Wisdom in files: appending, merging, the layers that a context reads, and want of memory. */
#include <sys/resource.h>

#include "no_memory.h"
#include "wisdom_data.h"

#define ck_assert_file(path, text) ck_assert_str_eq(read_text(path), text)

/* ---------------------------------------------------------------- saving and loading */

START_TEST(appends_what_is_learnt)
{
  const char *file = in_scratch("a.wisdom");
  ck_assert_fl4(fl4_wisdom_save(ctx, file));
  ck_assert(!exists(file)); /* nothing was learnt */
  learn(ctx, measured(P, "host:bm=24"));
  ck_assert_fl4(fl4_wisdom_save(ctx, file));
  const char *text = read_text(file);
  ck_assert_int_eq(strncmp(text, HEADER, strlen(HEADER)), 0);
  ck_assert_fl4(fl4_wisdom_save(ctx, file)); /* nothing new */
  ck_assert_file(file, text);

  const fl4_problem p = parse(P ":causal");
  ck_assert_fl4(fl4_wisdom_set(ctx, &p, "host:bm=48"));
  ck_assert_fl4(fl4_wisdom_import(ctx, exported(ctx), NULL)); /* read as well is still learnt */
  ck_assert_fl4(fl4_wisdom_save(ctx, file));
  const char *longer = read_text(file);
  ck_assert_int_eq(strncmp(text, longer, strlen(text)), 0);
  ck_assert_counts(counts_of(longer), .used = 2);
  ck_assert_match(ctx, P ":causal", FL4_MATCH_EXACT, "host:bm=48");
}
END_TEST

START_TEST(loads_what_was_saved)
{
  const char *file = in_scratch("a.wisdom"), *copy = in_scratch("b.wisdom");
  learn(ctx, measured(P, "host:bm=24"));
  learn(ctx, measured(P ":causal", "host:bm=48"));
  ck_assert_fl4(fl4_wisdom_save(ctx, file));
  fl4_context *other = open_context();
  fl4_wisdom_counts c = FL4_WISDOM_COUNTS_INIT;
  ck_assert_fl4(fl4_wisdom_load(other, file, &c));
  ck_assert_counts(c, .used = 2);
  ck_assert_match(other, P, FL4_MATCH_EXACT, "host:bm=24");
  ck_assert_match(other, P ":causal", FL4_MATCH_EXACT, "host:bm=48");
  ck_assert_str_eq(look_up(other, P).source, file);
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
  learn(ctx, measured(P, "host:bm=24"));
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
  const char *file = write_text(in_scratch("a.wisdom"), HEADER "{\"wisdom\":1,\"pro");
  learn(ctx, measured(P, "host:bm=24"));
  ck_assert_fl4(fl4_wisdom_save(ctx, file));
  ck_assert_counts(counts_of(read_text(file)), .used = 1, .damaged = 1);
}
END_TEST

/* No room for all: the files are as they were, and there is none besides. */
static int save_without_room(void *user)
{
  const char *file = user, *large = in_scratch("large.wisdom");
  const struct rlimit limit = {4000, 4000};
  EXPECT(fl4_wisdom_save(ctx, large) == FL4_OK);
  for (int i = 0; i < 20; i++) {
    const fl4_wisdom_entry e = measured(text_of("hq8sq%dd128", 64 + i), "host:bm=24");
    EXPECT(try_to_learn(ctx, e) == FL4_OK);
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
  const char *file = write_text(in_scratch("a.wisdom"), HEADER);
  for (int i = 0; i < 20; i++) learn(ctx, measured(text_of("hq8sq%dd64", 64 + i), "host:bm=24"));
  in_child(save_without_room, (void *)(uintptr_t)file);
  ck_assert_file(file, HEADER);
  ck_assert_int_eq(remove(file) | remove(in_scratch("large.wisdom")), 0);
  ck_assert_int_eq(rmdir(scratch), 0); /* nothing else is in it */
  ck_assert_int_eq(mkdir(scratch, 0700), 0);
}
END_TEST

/* ---------------------------------------------------------------- several processes, one file */

enum { PROCESSES = 2, LINES = 200 };

static int append_lines(void *user)
{
  const int process = *(int *)user;
  const char *file = in_scratch("shared.wisdom");
  for (int i = 0; i < LINES; i++) {
    EXPECT(try_to_learn(ctx, measured(text_of("b%dhq8sq%dd64", 1 + process, 64 + i), "host:bm=24")) == FL4_OK);
    EXPECT(fl4_wisdom_save(ctx, file) == FL4_OK);
  }
  return 0;
}

static int merge_often(void *user)
{
  const char *file = in_scratch("shared.wisdom");
  (void)user;
  for (int i = 0; i < 40; i++) {
    EXPECT(fl4_wisdom_merge(&file, 1, file, 1, NULL) == FL4_OK);
    usleep(1000);
  }
  return 0;
}

/* Processes that append at once, and one more that may merge meanwhile: all lines are there. */
static const char *append_at_once(bool merging)
{
  const char *file = in_scratch("shared.wisdom");
  pid_t pids[PROCESSES];
  int numbers[PROCESSES];
  if (merging) write_text(file, HEADER);
  for (int i = 0; i < PROCESSES; i++) numbers[i] = i, pids[i] = start_child(append_lines, &numbers[i]);
  if (merging) in_child(merge_often, NULL);
  for (int i = 0; i < PROCESSES; i++) wait_child(pids[i]);
  fl4_wisdom_counts c = FL4_WISDOM_COUNTS_INIT;
  ck_assert_fl4(fl4_wisdom_load(ctx, file, &c));
  ck_assert_counts(c, .used = PROCESSES * LINES);
  return file;
}

START_TEST(two_processes_lose_nothing)
{
  const char *text = read_text(append_at_once(false));
  ck_assert_ptr_null(strstr(text + 1, "{\"flashl4_wisdom\"")); /* one header */
}
END_TEST

START_TEST(merging_beside_them_loses_nothing)
{
  append_at_once(true);
}
END_TEST

/* ---------------------------------------------------------------- merging */

START_TEST(merges)
{
  const char *files[] = {in_scratch("a.wisdom"), in_scratch("b.wisdom")}, *to = in_scratch("to.wisdom");
  const char *weak = line_of(measured(P, "host:bm=24")), *other = line_of(measured(P ":causal", "host:bm=48")),
             *strong = line_of(make_entry(P, "host:bm=48", FL4_TUNE_PATIENT, 10)), *stale = changed("wisdom", "2"),
             *foreign = foreign_line(H200, measured(P, "fwd_mma:bm=64"));
  write_text(files[0], text_of(HEADER "%s%sdamaged\n%s", weak, foreign, other));
  /* no header, as it may be, and no last newline */
  write_text(files[1], text_of("%s%sdamaged\n%.*s", stale, weak, (int)strlen(strong) - 1, strong));

  fl4_wisdom_counts c = FL4_WISDOM_COUNTS_INIT;
  ck_assert_fl4(fl4_wisdom_merge(files, 2, to, 0, &c));
  ck_assert_counts(c, .used = 3, .replaced = 2, .stale = 1, .damaged = 2);
  ck_assert_file(to, text_of(HEADER "%s%sdamaged\n%s%s", strong, foreign, other, stale));

  ck_assert_fl4(fl4_wisdom_merge(files, 2, files[0], 1, NULL)); /* into one of them, pruned */
  ck_assert_file(files[0], text_of(HEADER "%s%s%s", strong, foreign, other));
}
END_TEST

START_TEST(merges_into_the_file_as_it_is)
{
  struct stat s;
  const char *line = line_of(measured(P, "host:bm=24")), *link = in_scratch("link");
  const char *file = write_text(in_scratch("a.wisdom"), line), *target = write_text(in_scratch("b.wisdom"), "");
  ck_assert_int_eq(chmod(file, 0640), 0);
  ck_assert_fl4(fl4_wisdom_merge(&file, 1, file, 1, NULL));
  ck_assert_int_eq(stat(file, &s), 0);
  ck_assert_uint_eq(s.st_mode & 0777, 0640);

  ck_assert_int_eq(symlink(target, link), 0);
  ck_assert_fl4(fl4_wisdom_merge(&file, 1, link, 1, NULL));
  ck_assert_int_eq(lstat(link, &s), 0);
  ck_assert(S_ISLNK(s.st_mode));
  ck_assert_file(target, text_of(HEADER "%s", line));
}
END_TEST

START_TEST(merge_refuses)
{
  const char *good[] = {in_scratch("a")}, *none[] = {in_scratch("none")}, *null[] = {good[0], NULL}, *empty[] = {""};
  const char *to = in_scratch("to");
  fl4_wisdom_counts c = FL4_WISDOM_COUNTS_INIT;
  write_text(good[0], "");
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
  ck_assert_file(to, HEADER);
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
  const char *file = write_text(in_scratch("a.wisdom"), "damaged\n");
  in_child(merge_unprivileged, (void *)(uintptr_t)file);
  ck_assert_file(file, "damaged\n");
}
END_TEST

/* ---------------------------------------------------------------- layers */

/* A file with one line, in a folder that is made. */
static const char *put(const char *path, const char *variant, int budget)
{
  char folder[PATH_MAX];
  strcpy(folder, path);
  for (char *slash = strchr(folder + strlen(scratch) + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
    *slash = '\0';
    (void)mkdir(folder, 0700);
    *slash = '/';
  }
  return write_text(path, line_of(make_entry(P, variant, budget, 10)));
}

/* What a new context runs, and where from. */
static void ck_assert_layer(const char *variant, const char *source)
{
  fl4_context *c = open_context();
  const fl4_wisdom_entry e = look_up(c, P);
  ck_assert_msg(strstr(e.variant, variant) && strstr(e.source, source), "%s of %s, not %s of %s", e.variant, e.source,
                variant, source);
  fl4_context_destroy(&c);
}

START_TEST(layers_in_their_order)
{
  const char *chosen = text_of("%s", look_up(ctx, P).variant);
  ck_assert_layer(chosen, "");

  setenv("XDG_DATA_DIRS", text_of("%s/first:relative:%s/second/::", scratch, scratch), 1);
  put(in_scratch("relative/flashl4/a.wisdom"), "host:bm=384", FL4_TUNE_PATIENT);
  ck_assert_int_eq(chdir(scratch), 0);
  ck_assert_layer(chosen, "");
  put(in_scratch("second/flashl4/a.wisdom"), "host:bm=4", FL4_TUNE_MEASURE);
  ck_assert_layer("host:bm=4,", "second//flashl4/a.wisdom");
  put(in_scratch("second/flashl4/b.wisdom"), "host:bm=12", FL4_TUNE_MEASURE);
  put(in_scratch("second/flashl4/c.txt"), "host:bm=384", FL4_TUNE_PATIENT);
  put(in_scratch("second/flashl4/.d.wisdom"), "host:bm=384", FL4_TUNE_PATIENT);
  ck_assert_layer("host:bm=12,", "second//flashl4/b.wisdom");
  put(in_scratch("first/flashl4/a.wisdom"), "host:bm=24", FL4_TUNE_MEASURE);
  ck_assert_layer("host:bm=24,", "first/flashl4/a.wisdom");

  const char *x = put(in_scratch("x"), "host:bm=48", FL4_TUNE_MEASURE);
  const char *y = put(in_scratch("y"), "host:bm=96", FL4_TUNE_MEASURE);
  setenv("FLASHL4_WISDOM", text_of("%s:%s", x, y), 1);
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
  learn(ctx, measured(P, "host:bm=24"));
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
  const char *stale = changed("wisdom", "2"), *good = changed("wisdom", "1");
  write_text(in_scratch("bad"), text_of("rubbish\n%s%s%smore\nof it\n", stale, good, stale));
  write_text(in_scratch("good"), good);
  setenv("FLASHL4_WISDOM", text_of("%s/bad::%s/good", scratch, scratch), 1);
  ck_assert_fl4_fails(fl4_wisdom_forget(NULL), FL4_INVALID_ARGUMENT, "ctx");
  fl4_context *c = open_heard(&heard);
  ck_assert_int_eq(heard.count[FL4_LOG_WARN], 1);
  ck_assert_ptr_nonnull(strstr(heard.last[FL4_LOG_WARN], "/bad: 3 lines cannot be read, 2 are of kernels"));
  ck_assert_int_eq(heard.count[FL4_LOG_DEBUG], 3); /* the system's too */
  ck_assert_ptr_nonnull(strstr(heard.last[FL4_LOG_DEBUG], "/good: 1 lines count, 0 are replaced"));
  ck_assert_ptr_nonnull(strstr(fl4_last_error(), "fl4_wisdom_forget: ctx"));
  fl4_context_destroy(&c);

  memset(&heard, 0, sizeof heard);
  write_text(in_scratch("torn"), "rubbish\n");
  setenv("FLASHL4_WISDOM", text_of("%s/torn:%s/none:%s", scratch, scratch, scratch), 1);
  c = open_heard(&heard);
  ck_assert_int_eq(heard.count[FL4_LOG_WARN], 3);
  ck_assert_ptr_nonnull(strstr(heard.last[FL4_LOG_WARN], "is not a regular file"));
  ck_assert_ptr_nonnull(strstr(fl4_last_error(), "fl4_wisdom_forget: ctx"));
  fl4_context_destroy(&c);
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
  const fl4_wisdom_entry e = measured(P ":causal", "host:bm=24");
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
  for (int i = 0; i < 300; i++) { /* all tables grow */
    const char *line = line_of(measured(text_of("hq8sq%dd64", 1 + i), "host:bm=24"));
    ck_assert_fl4(fl4__text_add(&text, line, strlen(line)));
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
}
END_TEST

/* A lookup that cannot remember what it found has found it nevertheless. */
START_TEST(finds_without_memory)
{
  learn(ctx, measured(P, "host:bm=24"));
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
  tcase_add_checked_fixture(c, wisdom_setup, wisdom_teardown);
  tcase_add_test(c, appends_what_is_learnt);
  tcase_add_test(c, loads_what_was_saved);
  tcase_add_test(c, load_and_save_refuse);
  tcase_add_test(c, appends_behind_a_torn_line);
  tcase_add_test(c, all_or_nothing);
  tcase_add_test(c, two_processes_lose_nothing);
  tcase_add_test(c, merging_beside_them_loses_nothing);
  tcase_add_test(c, merges);
  tcase_add_test(c, merges_into_the_file_as_it_is);
  tcase_add_test(c, merge_refuses);
  tcase_add_test(c, merge_into_a_closed_folder);
  tcase_add_test(c, layers_in_their_order);
  tcase_add_test(c, saves_the_users_file);
  tcase_add_test(c, reports_once_a_file);
  tcase_add_test(c, system_wisdom_is_good);
  tcase_add_test(c, each_allocation_may_fail);
  tcase_add_test(c, finds_without_memory);
  suite_add_tcase(suite, c);
  return suite;
}

FL4_TEST_MAIN(make_suite)

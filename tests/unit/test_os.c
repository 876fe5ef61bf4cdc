/* SPDX-License-Identifier: Apache-2.0 */
/* lib/util/os.c: environment, clock, libraries opened at run time. */
#include <dlfcn.h>

#include "scratch.h"
#include "util/os.h"

START_TEST(getenv_unset_and_empty_are_null)
{
  unsetenv("FL4_TEST_VARIABLE");
  ck_assert_ptr_null(fl4__getenv("FL4_TEST_VARIABLE"));
  setenv("FL4_TEST_VARIABLE", "", 1);
  ck_assert_ptr_null(fl4__getenv("FL4_TEST_VARIABLE"));
  setenv("FL4_TEST_VARIABLE", "x", 1);
  ck_assert_str_eq(fl4__getenv("FL4_TEST_VARIABLE"), "x");
}
END_TEST

START_TEST(clock_runs_in_milliseconds)
{
  double start = fl4__now_ms();
  usleep(20000);
  double took = fl4__now_ms() - start;
  ck_assert_double_ge(took, 20);
  ck_assert_double_lt(took, 2000);
}
END_TEST

/* Opens the first of one or two names; the list of what was tried in `tried`. */
static void *open_names(const char *a, const char *b, char tried[1024])
{
  const char *const names[] = {a, b, NULL};
  void *library = fl4__open_library(names, tried, 1024);
  if (library) dlclose(library);
  return library;
}

START_TEST(library_by_name)
{
  char tried[1024];
  ck_assert_ptr_nonnull(open_names("libfl4-none.so.1", "libm.so.6", tried));
  ck_assert_ptr_nonnull(strstr(tried, "libfl4-none.so.1"));
  ck_assert_ptr_null(strstr(tried, "libm.so.6"));
}
END_TEST

START_TEST(library_nowhere_lists_all_places)
{
  char tried[1024];
  setenv("CUDA_HOME", "/nowhere/a", 1);
  setenv("CUDA_PATH", "/nowhere/b", 1);
  ck_assert_ptr_null(open_names("libfl4-none.so.2", "libfl4-none.so.1", tried));
  static const char *const places[] = {
      "libfl4-none.so.2, /nowhere/a/lib64/libfl4-none.so.2, /nowhere/a/lib/libfl4-none.so.2, /nowhere/b/lib64/",
      "/usr/local/cuda/lib64/libfl4-none.so.2", ", libfl4-none.so.1, ", "/usr/local/cuda/lib/libfl4-none.so.1"};
  for (int i = 0; i < 4; i++) ck_assert_msg(strstr(tried, places[i]) != NULL, "%s: not in: %s", places[i], tried);

  char few[24];
  const char *const names[] = {"libfl4-none.so.1", NULL};
  ck_assert_ptr_null(fl4__open_library(names, few, sizeof few));
  ck_assert_uint_eq(strlen(few), sizeof few - 1);
}
END_TEST

/* libm under another name in the CUDA folder: found there, lib64 as well as lib. */
START_TEST(library_in_cuda_folder)
{
  static const char *const variables[] = {"CUDA_HOME", "CUDA_PATH"}, *const folders[] = {"lib64", "lib"};
  char libm[PATH_MAX], tried[1024];
  Dl_info from;
  void *handle = dlopen("libm.so.6", RTLD_NOW);
  ck_assert_ptr_nonnull(handle);
  ck_assert(dladdr(dlsym(handle, "cos"), &from) && realpath(from.dli_fname, libm));
  setenv(variables[_i % 2], scratch, 1);
  ck_assert_ptr_null(open_names("libfl4-other.so.1", NULL, tried));
  ck_assert_int_eq(mkdir(in_scratch("%s", folders[_i / 2]), 0700), 0);
  ck_assert_int_eq(symlink(libm, in_scratch("%s/libfl4-other.so.1", folders[_i / 2])), 0);
  ck_assert_ptr_nonnull(open_names("libfl4-other.so.1", NULL, tried));
  dlclose(handle);
}
END_TEST

START_TEST(library_as_file)
{
  char tried[1024];
  const char *path = in_scratch("libfl4-text.so");
  write_file(path, "not a library", 13);
  ck_assert_ptr_null(open_names(path, NULL, tried));
  ck_assert_ptr_eq(strstr(tried, path), tried);
  ck_assert_msg(strstr(tried, " (") != NULL, "no reason in: %s", tried);
  ck_assert_ptr_null(open_names("/nowhere/libfl4-none.so", NULL, tried));
  ck_assert_str_eq(tried, "/nowhere/libfl4-none.so");
}
END_TEST

static Suite *suite(void)
{
  Suite *s = suite_create("os");
  TCase *t = tcase_create("os");
  tcase_add_checked_fixture(t, scratch_setup, scratch_teardown);
  tcase_add_test(t, getenv_unset_and_empty_are_null);
  tcase_add_test(t, clock_runs_in_milliseconds);
  tcase_add_test(t, library_by_name);
  tcase_add_test(t, library_nowhere_lists_all_places);
  tcase_add_loop_test(t, library_in_cuda_folder, 0, 4);
  tcase_add_test(t, library_as_file);
  suite_add_tcase(s, t);
  return s;
}

FL4_TEST_MAIN(suite)

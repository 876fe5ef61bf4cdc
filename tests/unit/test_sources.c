/* SPDX-License-Identifier: Apache-2.0 */
/* lib/cuda/sources.c: the embedded kernel sources, and a folder in their place. */
#include "../gpu/sabotages.h"
#include "cuda/sources.h"
#include "scratch.h"

START_TEST(table_is_sorted_text)
{
  ck_assert_int_gt(fl4__n_embedded_sources, 2);
  for (int i = 0; i < fl4__n_embedded_sources; i++) {
    const fl4__source *s = &fl4__embedded_sources[i];
    ck_assert_msg(strstr(s->text, "SPDX-License-Identifier: Apache-2.0") != NULL, "%s", s->name);
    if (i) ck_assert_str_lt(s[-1].name, s->name);
  }
}
END_TEST

START_TEST(from_the_library)
{
  fl4__sources got;
  ck_assert_fl4(fl4__sources_load(NULL, NULL, "fwd_mma.cu", &got));
  ck_assert_str_eq(got.main.name, "fwd_mma.cu");
  ck_assert_ptr_nonnull(strstr(got.main.text, "#include \"fl4_"));
  bool abi = false;
  for (int i = 0; i < got.n_headers; i++) {
    ck_assert_msg(strstr(got.headers[i].name, ".cuh") || strstr(got.headers[i].name, ".h"), "%s", got.headers[i].name);
    abi |= strcmp(got.headers[i].name, "fl4_abi.h") == 0 && strstr(got.headers[i].text, "fl4_fwd_params");
    if (i) ck_assert_str_lt(got.headers[i - 1].name, got.headers[i].name);
  }
  ck_assert(abi);
  fl4__sources_free(&got);
  ck_assert_ptr_null(got.headers);

  ck_assert_fl4_fails(fl4__sources_load(NULL, NULL, "fwd_none.cu", &got), FL4_INTERNAL, "fwd_none.cu");
}
END_TEST

/* What tests on a GPU break in the kernels is still there to be broken. */
START_TEST(sabotages_fit)
{
  for (int i = 0; i < N_MMA + N_WGMMA; i++) {
    const sabotage *f = sabotage_number(i);
    bool there = false;
    for (int n = 0; n < fl4__n_embedded_sources; n++)
      there |= strcmp(fl4__embedded_sources[n].name, f->fault.file) == 0 &&
               strstr(fl4__embedded_sources[n].text, f->fault.from) != NULL;
    ck_assert_msg(there, "%s: %s no longer contains \"%s\"", f->what, f->fault.file, f->fault.from);
  }
}
END_TEST

static void copy_table(void)
{
  for (int i = 0; i < fl4__n_embedded_sources; i++) {
    const fl4__source *s = &fl4__embedded_sources[i];
    write_file(in_scratch("%s", s->name), s->text, strlen(s->text));
  }
}

START_TEST(folder_overrides)
{
  listener heard = {0};
  fl4__log log = {listen_fn, &heard, FL4_LOG_WARN};
  fl4__sources got, built_in;
  copy_table();
  ck_assert_fl4(fl4__sources_load(&log, NULL, "fwd_mma.cu", &built_in));
  ck_assert_int_eq(heard.count[FL4_LOG_WARN], 0);
  ck_assert_fl4(fl4__sources_load(&log, scratch, "fwd_mma.cu", &got));
  ck_assert_int_eq(got.n_headers, built_in.n_headers);
  ck_assert_str_eq(got.main.text, built_in.main.text);
  for (int i = 0; i < got.n_headers; i++) ck_assert_str_eq(got.headers[i].text, built_in.headers[i].text);
  fl4__sources_free(&got);

  /* Text around and beyond the size of the first read, and an empty file. */
  static const size_t sizes[] = {0, 65534, 65535, 65536, 300000};
  char *text = malloc(300001);
  memset(text, 'x', 300001);
  for (int i = 0; i < 5; i++) {
    write_file(in_scratch("fwd_mma.cu"), text, sizes[i]);
    ck_assert_fl4(fl4__sources_load(&log, scratch, "fwd_mma.cu", &got));
    ck_assert_uint_eq(strlen(got.main.text), sizes[i]);
    fl4__sources_free(&got);
  }
  free(text);
  fl4__sources_free(&built_in);
  ck_assert_int_eq(heard.count[FL4_LOG_WARN], 1); /* once for all of them */
  ck_assert_ptr_nonnull(strstr(heard.last[FL4_LOG_WARN], scratch));
}
END_TEST

START_TEST(folder_with_a_file_missing)
{
  fl4__sources got;
  copy_table();
  unlink(in_scratch("fl4_abi.h"));
  ck_assert_fl4_fails(fl4__sources_load(NULL, scratch, "fwd_mma.cu", &got), FL4_IO_ERROR, "fl4_abi.h");
  ck_assert_ptr_null(got.headers);
  mkdir(in_scratch("fl4_abi.h"), 0700);
  ck_assert_fl4_fails(fl4__sources_load(NULL, scratch, "fwd_mma.cu", &got), FL4_IO_ERROR, "fl4_abi.h");
  ck_assert_fl4_fails(fl4__sources_load(NULL, "/nowhere", "fwd_mma.cu", &got), FL4_IO_ERROR, "/nowhere/");

  char *name = malloc(5001);
  memset(name, 'd', 5000), name[5000] = '\0';
  ck_assert_fl4_fails(fl4__sources_load(NULL, name, "fwd_mma.cu", &got), FL4_IO_ERROR, "too long");
  free(name);
}
END_TEST

START_TEST(folder_with_a_huge_file)
{
  fl4__sources got;
  copy_table();
  ck_assert_int_eq(truncate(in_scratch("fwd_mma.cu"), 5 << 20), 0);
  ck_assert_fl4_fails(fl4__sources_load(NULL, scratch, "fwd_mma.cu", &got), FL4_IO_ERROR, "larger");
}
END_TEST

static Suite *suite(void)
{
  Suite *s = suite_create("sources");
  TCase *t = tcase_create("sources");
  tcase_add_checked_fixture(t, scratch_setup, scratch_teardown);
  tcase_add_test(t, table_is_sorted_text);
  tcase_add_test(t, from_the_library);
  tcase_add_test(t, sabotages_fit);
  tcase_add_test(t, folder_overrides);
  tcase_add_test(t, folder_with_a_file_missing);
  tcase_add_test(t, folder_with_a_huge_file);
  suite_add_tcase(s, t);
  return s;
}

FL4_TEST_MAIN(suite)

/* SPDX-License-Identifier: Apache-2.0 */
/* Opening cuBLAS where it is missing, is another library, or has no GPU to work on. */
#include "cuda/cublas.h"

#include "fl4_test.h"

static fl4_status open_as(const char *file)
{
  fl4__cublas *blas = (fl4__cublas *)&blas; /* must become NULL */
  setenv("FLASHL4_CUBLAS", file, 1);
  fl4_status status = fl4__cublas_open(&blas);
  unsetenv("FLASHL4_CUBLAS");
  if (status != FL4_OK) ck_assert_ptr_null(blas);
  fl4__cublas_close(blas);
  return status;
}

START_TEST(missing)
{
  ck_assert_fl4_fails(open_as("/nowhere/libcublas.so.13"), FL4_LIBRARY_MISSING, "/nowhere/libcublas.so.13");
  ck_assert_fl4_fails(open_as("/nowhere/libcublas.so.13"), FL4_LIBRARY_MISSING, "FLASHL4_CUBLAS");
}
END_TEST

START_TEST(another_library)
{
  ck_assert_fl4_fails(open_as("libc.so.6"), FL4_LIBRARY_MISSING, "cublasCreate_v2");
}
END_TEST

START_TEST(closing_nothing)
{
  fl4__cublas_close(NULL);
}
END_TEST

static Suite *suite(void)
{
  Suite *s = suite_create("cublas");
  TCase *t = tcase_create("open");
  tcase_add_test(t, missing);
  tcase_add_test(t, another_library);
  tcase_add_test(t, closing_nothing);
  suite_add_tcase(s, t);
  return s;
}

FL4_TEST_MAIN(suite)

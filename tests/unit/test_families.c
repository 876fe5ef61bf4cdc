/* SPDX-License-Identifier: Apache-2.0 */
/* The real families' tables: what variant.c and select.c rely on. */
#include <flashl4/flashl4.h>

#include "fl4_test.h"
#include "variant.h"

/* Every family in turn. */
#define FOR_FAMILIES(f) for (const fl4__family *const *at = fl4__families, *f; (f = *at) != NULL; at++)

START_TEST(tables_are_well_formed)
{
  FOR_FAMILIES(f)
  {
    ck_assert(f->name && f->refuse && f->choose && f->geometry);
    ck_assert_int_ge(f->n_params, 1);
    ck_assert_int_le(f->n_params, FL4__MAX_PARAMS);
    for (int i = 0; i < f->n_params; i++) {
      const fl4__param *p = &f->params[i];
      ck_assert_msg(strspn(p->name, "abcdefghijklmnopqrstuvwxyz0123456789_") == strlen(p->name), "%s.%s", f->name,
                    p->name);
      ck_assert(p->what && p->what[0]);
      ck_assert_int_ge(p->n_values, 1);
      ck_assert_int_le(p->n_values, FL4__MAX_VALUES);
      /* Negative numbers are not read, and one of them means: not set. */
      ck_assert_msg(p->values[0] >= 0, "%s.%s: value %d", f->name, p->name, p->values[0]);
      for (int k = 1; k < p->n_values; k++) ck_assert_int_lt(p->values[k - 1], p->values[k]);
      for (int k = 0; k < i; k++) ck_assert_str_ne(p->name, f->params[k].name);
    }
  }
}
END_TEST

#define ROOM(type, member) sizeof(((type *)0)->member)

/* So do the public structs that tell variants. */
START_TEST(variants_fit_everywhere)
{
  ck_assert_uint_ge(ROOM(fl4_plan_info, variant), FL4__VARIANT_TEXT);
  ck_assert_uint_ge(ROOM(fl4_check_result, variant), FL4__VARIANT_TEXT);
  ck_assert_uint_ge(ROOM(fl4_bench_result, variant), FL4__VARIANT_TEXT);
  ck_assert_uint_ge(ROOM(fl4_tune_candidate, variant), FL4__VARIANT_TEXT);
  ck_assert_uint_ge(ROOM(fl4_tune_report, variant), FL4__VARIANT_TEXT);
  ck_assert_uint_ge(ROOM(fl4_wisdom_entry, variant), FL4__VARIANT_TEXT);
  const fl4_tune_space_info *info = NULL;
  ck_assert_uint_ge(sizeof info->parameters / sizeof info->parameters[0], FL4__MAX_PARAMS);
  ck_assert_uint_ge(sizeof info->parameters[0].values / sizeof info->parameters[0].values[0], FL4__MAX_VALUES);
  FOR_FAMILIES(f)
  for (int i = 0; i < f->n_params; i++) {
    ck_assert_uint_lt(strlen(f->params[i].name), sizeof info->parameters[0].name);
    ck_assert_uint_lt(strlen(f->params[i].what), sizeof info->parameters[0].what);
  }
}
END_TEST

/* The longest text of a family fits, and is read back. */
START_TEST(longest_texts_fit)
{
  FOR_FAMILIES(f)
  {
    fl4__variant v, back;
    char text[FL4__VARIANT_TEXT], options[FL4__MAX_OPTIONS][FL4__OPTION_TEXT];
    fl4__problem p;
    fl4__build build;
    memset(&v, 0, sizeof v);
    memset(&p, 0, sizeof p);
    v.family = f;
    for (int i = 0; i < f->n_params; i++) v.value[i] = f->params[i].values[f->params[i].n_values - 1];
    fl4__variant_format(&v, text);
    ck_assert_uint_lt(strlen(text), FL4__VARIANT_TEXT - 1);
    ck_assert_fl4(fl4__variant_parse(text, &back));
    ck_assert_mem_eq(&v, &back, sizeof v);

    fl4__build_from(&v, &p, false, &build);
    int n = fl4__build_options(&build, options);
    ck_assert_int_le(n, FL4__MAX_OPTIONS);
    for (int i = 0; i < n; i++) ck_assert_uint_lt(strlen(options[i]), FL4__OPTION_TEXT - 1);
  }
}
END_TEST

static Suite *make_suite(void)
{
  Suite *suite = suite_create("families");
  TCase *c = tcase_create("families");
  tcase_add_test(c, tables_are_well_formed);
  tcase_add_test(c, longest_texts_fit);
  tcase_add_test(c, variants_fit_everywhere);
  suite_add_tcase(suite, c);
  return suite;
}

FL4_TEST_MAIN(make_suite)

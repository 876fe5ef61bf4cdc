/* SPDX-License-Identifier: Apache-2.0 */
/* The tuner's words. */
#include <flashl4/tune.h>

const char *fl4_tune_budget_name(fl4_tune_budget budget)
{
  switch (budget) {
#define CASE(name, text, evaluations)                                                                                  \
  case FL4_TUNE_##name: return text;
    FL4_TUNE_BUDGET_MAP(CASE)
#undef CASE
  case FL4_TUNE_BUDGET_COUNT: break;
  }
  return NULL;
}

const char *fl4_tune_stop_name(fl4_tune_stop stop)
{
  switch (stop) {
#define CASE(name, text)                                                                                               \
  case FL4_TUNE_STOP_##name: return text;
    FL4_TUNE_STOP_MAP(CASE)
#undef CASE
  case FL4_TUNE_STOP_COUNT: break;
  }
  return NULL;
}

const char *fl4_invalidity_name(fl4_invalidity invalidity)
{
  switch (invalidity) {
#define CASE(name, text)                                                                                               \
  case FL4_INVALIDITY_##name: return text;
    FL4_INVALIDITY_MAP(CASE)
#undef CASE
  case FL4_INVALIDITY_COUNT: break;
  }
  return NULL;
}

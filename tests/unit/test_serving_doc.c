/* SPDX-License-Identifier: Apache-2.0 */
/*
 * docs/serving.md says what is so: its C is that of programs which run, and its table is what the families say. The families'
 * own choice for a GPU is asked, so that no GPU is needed.
 */
#include <ctype.h>

#include "fl4_test.h"
#include "oracle/check.h"
#include "variant.h"

/* All of a file, each run of white space as one blank. */
static char *read_squashed(const char *name)
{
  char path[512];
  snprintf(path, sizeof path, "%s/%s", FL4_SOURCE, name);
  FILE *file = fopen(path, "r");
  ck_assert_msg(file != NULL, "cannot open %s", path);
  char *text = malloc(1 << 20);
  ck_assert_ptr_nonnull(text);
  size_t n = 0;
  for (int c; (c = fgetc(file)) != EOF;) {
    ck_assert_uint_lt(n, (1 << 20) - 1);
    if (!isspace(c)) text[n++] = (char)c;
    if (isspace(c) && n > 0 && text[n - 1] != ' ') text[n++] = ' ';
  }
  text[n] = 0;
  fclose(file);
  return text;
}

START_TEST(snippets_are_code_that_runs)
{
  char *document = read_squashed("docs/serving.md"), *recipes = read_squashed("tests/unit/test_serving.c"),
       *engine = read_squashed("examples/engine_decode.c");
  int n = 0;
  for (char *at = document; (at = strstr(at, "```c ")); n++) {
    char *const code = at + 5, *const end = strstr(code, " ```");
    ck_assert_ptr_nonnull(end);
    *end = 0;
    ck_assert_msg(strstr(recipes, code) || strstr(engine, code), "in no program: %s", code);
    at = end + 4;
  }
  ck_assert_int_ge(n, 6);
  free(document), free(recipes), free(engine);
}
END_TEST

/* ---------------------------------------------------------------- the table */

enum { N_FAMILIES = 4 };
static const char *const families[N_FAMILIES] = {"host", "fwd_mma", "fwd_wgmma", "decode_mma"};

static fl4_device_info device_of(int family)
{
  fl4_device_info d = FL4_DEVICE_INFO_INIT;
  d.kind = family == 0 ? FL4_DEVICE_HOST : FL4_DEVICE_CUDA, d.multiprocessors = 132;
  d.sm = 90, d.smem_per_block = 227 << 10, d.smem_per_sm = 228 << 10, d.registers_per_sm = 65536, d.l2_bytes = 50 << 20;
  strcpy(d.name, "H200"), strcpy(d.isa, "sm_90");
  return d;
}

/* Does this family take the call, with what it chooses itself? If not, fl4_last_error() says why. */
static bool takes(int family, const fl4__problem *call)
{
  const fl4_device_info device = device_of(family);
  fl4__variant forced, chosen;
  ck_assert_fl4(fl4__variant_parse(families[family], &forced));
  return fl4__select(&forced, call, &device, &chosen) == FL4_OK;
}

static char *trim(char *cell)
{
  while (*cell == ' ') cell++;
  for (char *end = cell + strlen(cell); end > cell && end[-1] == ' ';) *--end = 0;
  return cell;
}

/* A row: what, `problem`, then a cell for each family. A problem that begins with a colon is the usual one and this. */
static void check_row(fl4_context *host, char *cells[2 + N_FAMILIES])
{
  char line[256], *words = cells[1] + 1;
  words[strlen(words) - 1] = 0;
  snprintf(line, sizeof line, "%s%s", *words == ':' ? "b2hq8hkv2sq4sk300d64:bf16" : "", words);
  fl4_problem problem = FL4_PROBLEM_INIT;
  fl4__problem call;
  ck_assert_fl4(fl4_problem_parse(line, &problem));
  ck_assert_fl4(fl4__problem_call(&problem, &call));
  for (int f = 0; f < N_FAMILIES; f++) {
    const char *cell = cells[2 + f];
    const bool taken = takes(f, &call), refused = strncmp(cell, "no: ", 4) == 0;
    ck_assert_msg(refused || strcmp(cell, "yes") == 0, "%s: %s says neither yes nor no: %s", line, families[f], cell);
    ck_assert_msg(taken != refused, "%s: %s says %s, but %s", line, families[f], cell,
                  taken ? "yes" : fl4_last_error());
    ck_assert_msg(taken || strstr(fl4_last_error(), cell + 4), "%s: %s says %s, but %s", line, families[f], cell,
                  fl4_last_error());
  }
  fl4_check_result result = FL4_CHECK_RESULT_INIT;
  ck_assert_fl4(fl4_check(host, &problem, NULL, &result));
  ck_assert_msg(result.passed, "%s: the host is wrong", line);
}

START_TEST(table_is_what_families_say)
{
  fl4_context_options options = FL4_CONTEXT_OPTIONS_INIT;
  options.device = "host";
  fl4_context *host;
  ck_assert_fl4(fl4_context_create(&host, &options));
  FILE *file = fopen(FL4_SOURCE "/docs/serving.md", "r");
  ck_assert_ptr_nonnull(file);
  char line[1024];
  int rows = 0;
  while (fgets(line, sizeof line, file)) {
    char *cells[2 + N_FAMILIES], *rest = line;
    int n = 0;
    for (char *cell; (cell = strtok(rest, "|\n")) && n < 2 + N_FAMILIES; rest = NULL) cells[n++] = trim(cell);
    if (n < 2 + N_FAMILIES || cells[1][0] != '`') continue;
    check_row(host, cells);
    rows++;
  }
  ck_assert_int_ge(rows, 18);
  fclose(file);
  fl4_context_destroy(&host);
}
END_TEST

/* ---------------------------------------------------------------- everything with everything */

/* What one call can say; an address that nobody reads through stands for each tensor. */
typedef struct said {
  int mask, bias; /* of fl4_mask; 0 none, 1 numbers, 2 bool */
  bool softcap, alibi, sinks, ragged_q, ragged_k, used_k, paged, lse, invariant;
} said;

static fl4_attention_args call_of(const said *s, int64_t D)
{
  void *const there = (void *)4096;
  fl4_attention_args a = FL4_ATTENTION_ARGS_INIT;
  a.dtype = FL4_DTYPE_BF16, a.B = 3, a.Hq = 8, a.Hkv = 2, a.Sq = 4, a.Sk = 3000, a.D = D, a.mask = s->mask;
  if (s->mask == FL4_MASK_WINDOW) a.window_left = 99;
  if (s->softcap) a.softcap = 30;
  if (s->alibi) a.alibi_slopes = there;
  if (s->sinks) a.sinks = there;
  if (s->bias) a.bias = there, a.bias_type = s->bias == 2 ? FL4_BIAS_BOOL : FL4_BIAS_FP32;
  if (s->ragged_q) a.cu_seqlens_q = there, a.total_q = 9;
  if (s->ragged_k) a.cu_seqlens_k = there, a.total_k = 7000;
  if (s->used_k) a.seqused_k = there;
  if (s->paged) a.block_table = there, a.page_size = 16, a.n_pages = 600;
  if (s->lse) a.lse = there;
  if (s->invariant) a.flags = FL4_BATCH_INVARIANT;
  return a;
}

/* What the document has of it. */
static bool refused_by_all(const said *s)
{
  return (s->bias && (s->ragged_q || s->ragged_k)) || (s->paged && s->ragged_k);
}

static bool refused_by(int family, const said *s)
{
  return (family == 2 && s->invariant) || (family == 3 && (s->bias || (s->invariant && s->ragged_q)));
}

START_TEST(all_combinations)
{
  static const int dims[] = {64, 128, 256};
  for (int n = 0; n < 3 * 3 * 512; n++) {
    const int bits = n / 9;
    const said s = {n % 3,     n / 3 % 3, bits & 1,  bits & 2,   bits & 4,  bits & 8,
                    bits & 16, bits & 32, bits & 64, bits & 128, bits & 256};
    for (int d = 0; d < 3; d++) {
      const fl4_attention_args a = call_of(&s, dims[d]);
      fl4__problem call;
      fl4_fwd_params params;
      const fl4_status status = fl4__problem_from_args(&a, FL4__NEED_SHAPE, &call, &params);
      ck_assert_msg(status == (refused_by_all(&s) ? FL4_UNSUPPORTED : FL4_OK), "%d: %s", n, fl4_last_error());
      for (int f = 0; f < N_FAMILIES && status == FL4_OK; f++) {
        const bool taken = takes(f, &call);
        ck_assert_msg(taken != refused_by(f, &s), "%d, d%d, %s: %s", n, dims[d], families[f],
                      taken ? "is taken" : fl4_last_error());
      }
    }
  }
}
END_TEST

static Suite *suite(void)
{
  Suite *s = suite_create("serving_doc");
  TCase *t = tcase_create("serving_doc");
  tcase_add_test(t, snippets_are_code_that_runs);
  tcase_add_test(t, table_is_what_families_say);
  tcase_add_test(t, all_combinations);
  suite_add_tcase(s, t);
  return s;
}

FL4_TEST_MAIN(suite)

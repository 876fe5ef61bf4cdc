/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rig that judges features must itself notice what is wrong. Here the oracle stands in for the device, and is right or
 * makes one mistake: with each mistake a case that is right without it must be refused.
 */
#include "feature_rig.h"

#include <math.h>
#include <stdbool.h>

#include "fl4_test.h"
#include "oracle/check.h"
#include "oracle/sequence.h"

/* A mistake: in the call, before it is computed, or in what was written. */
typedef struct fault {
  const char *name;
  feature_case c;
  void (*args)(fl4_attention_args *a);
  void (*lse_args)(fl4_attention_args *a); /* of the LSE alone */
  void (*written)(const fl4_attention_args *a);
  bool once;         /* the second call does nothing */
  const char *words; /* of what the rig says */
} fault;

static const fault *planted; /* NULL: the library itself runs */
static int calls;            /* since the case began */
static int32_t numbers[256]; /* a copy that a mistake may change */

fl4_status __real_fl4_attention_forward(fl4_context *ctx, const fl4_attention_args *args, fl4_stream stream);
fl4_status __wrap_fl4_attention_forward(fl4_context *ctx, const fl4_attention_args *args, fl4_stream stream);

/* ---------------------------------------------------------------- the stand-in */

static void write_rows(const fl4_attention_args *args, const double *ref, const double *lse)
{
  fl4__problem p;
  fl4_fwd_params params;
  ck_assert_fl4(fl4__problem_from_args(args, FL4__NEED_SHAPE, &p, &params));
  for (int64_t b = 0; b < p.B; b++) {
    const fl4__sequence s = fl4__sequence_of(&p, &params, b);
    for (int64_t h = 0; h < p.Hq; h++)
      for (int64_t i = 0; i < s.queries; i++) {
        const int64_t row = (b * p.Hq + h) * p.Sq + i, o = fl4__query_row(&p, &s, params.o_stride, h, i);
        for (int64_t d = 0; d < p.D; d++) fl4__store(args->o, p.dtype, o + d, (float)ref[row * p.D + d]);
        if (args->lse) args->lse[fl4__query_row(&p, &s, params.lse_stride, h, i)] = (float)lse[row];
      }
  }
}

fl4_status __wrap_fl4_attention_forward(fl4_context *ctx, const fl4_attention_args *args, fl4_stream stream)
{
  if (!planted) return __real_fl4_attention_forward(ctx, args, stream);
  fl4_attention_args wrong = *args, lse_wrong;
  if (++calls == 2 && planted->once) return FL4_OK;
  if (planted->args) planted->args(&wrong);
  if (!wrong.o) return __real_fl4_attention_forward(ctx, &wrong, stream);
  lse_wrong = wrong;
  if (planted->lse_args) planted->lse_args(&lse_wrong);
  const size_t rows = (size_t)(args->B * args->Hq * args->Sq);
  double *ref = malloc((rows * (size_t)args->D + 1) * sizeof *ref), *lse = malloc((rows + 1) * sizeof *lse);
  ck_assert(ref && lse);
  ck_assert_fl4(fl4_oracle_fp64(&wrong, NULL, 0, ref, NULL, NULL));
  ck_assert_fl4(fl4_oracle_fp64(&lse_wrong, NULL, 0, NULL, NULL, lse));
  write_rows(&wrong, ref, lse);
  free(ref), free(lse);
  if (planted->written) planted->written(args);
  return FL4_OK;
}

static bool run(const fault *f, const feature_case *c, char why[512])
{
  fl4_context_options options = FL4_CONTEXT_OPTIONS_INIT;
  fl4_context *ctx;
  options.device = "host";
  ck_assert_fl4(fl4_context_create(&ctx, &options));
  planted = f, calls = 0;
  const bool right = feature_run(ctx, c, NULL, why);
  fl4_context_destroy(&ctx);
  return right;
}

/* ---------------------------------------------------------------- mistakes in the call */

static const int32_t *changed(const int32_t *from, int64_t n, int at, int by)
{
  ck_assert(n <= 256);
  memcpy(numbers, from, (size_t)n * sizeof *from);
  numbers[at] += by;
  return numbers;
}

static void key_more(fl4_attention_args *a)
{
  a->seqused_k = changed(a->seqused_k, a->B, 1, 1);
}
static void key_less(fl4_attention_args *a)
{
  a->seqused_k = changed(a->seqused_k, a->B, 1, -1);
}
static void all_keys(fl4_attention_args *a)
{
  a->seqused_k = NULL;
}
static void other_keys(fl4_attention_args *a)
{
  a->cu_seqlens_k = changed(a->cu_seqlens_k, a->B + 1, 1, 1);
}
static void query_less(fl4_attention_args *a)
{
  a->cu_seqlens_q = changed(a->cu_seqlens_q, a->B + 1, 0, 1);
}
static void query_more(fl4_attention_args *a)
{
  a->cu_seqlens_q = changed(a->cu_seqlens_q, a->B + 1, 0, -1);
}
static void row_behind(fl4_attention_args *a)
{
  a->cu_seqlens_q = changed(a->cu_seqlens_q, a->B + 1, (int)a->B, 1);
}
static void no_mask(fl4_attention_args *a)
{
  a->mask = FL4_MASK_NONE, a->window_left = a->window_right = 0;
}
static void left_more(fl4_attention_args *a)
{
  a->window_left++;
}
static void left_less(fl4_attention_args *a)
{
  a->window_left--;
}
static void right_more(fl4_attention_args *a)
{
  a->window_right++;
}
static void no_softcap(fl4_attention_args *a)
{
  a->softcap = 0;
}
static void no_slopes(fl4_attention_args *a)
{
  a->alibi_slopes = NULL, a->alibi_stride[0] = a->alibi_stride[1] = 0;
}
static void first_slopes(fl4_attention_args *a)
{
  a->alibi_stride[0] = 0;
}
static void no_sinks(fl4_attention_args *a)
{
  a->sinks = NULL;
}
static void other_sinks(fl4_attention_args *a)
{
  a->sinks++;
}
static void no_bias(fl4_attention_args *a)
{
  a->bias = NULL, memset(a->bias_stride, 0, sizeof a->bias_stride), a->bias_type = 0;
}
static void next_bias(fl4_attention_args *a)
{
  a->bias = (const uint16_t *)a->bias + 1;
}
static void first_bias(fl4_attention_args *a)
{
  a->bias_stride[1] = 0;
}
static void values_as_keys(fl4_attention_args *a)
{
  memcpy(a->v_stride, a->k_stride, sizeof a->v_stride);
}
static void no_output(fl4_attention_args *a)
{
  a->o = NULL;
}

static void pages_swapped(fl4_attention_args *a)
{
  const int32_t *table = a->block_table;
  a->block_table = changed(table, a->B * ((a->Sk + a->page_size - 1) / a->page_size), 0, 0);
  numbers[0] = table[1], numbers[1] = table[0];
}

/* ---------------------------------------------------------------- mistakes in what is written */

static int64_t rows_of(const fl4_attention_args *a)
{
  return a->total_q ? a->total_q : a->B * a->Sq;
}
static unsigned char *bytes(void *p)
{
  return p;
}
static void in_front(const fl4_attention_args *a)
{
  bytes(a->o)[-1] = 0;
}
static void behind(const fl4_attention_args *a)
{
  bytes(a->o)[rows_of(a) * a->Hq * a->D * 2] = 0;
}
static void lse_in_front(const fl4_attention_args *a)
{
  a->lse[-1] = 0;
}
static void lse_behind(const fl4_attention_args *a)
{
  a->lse[rows_of(a) * a->Hq] = 0;
}
static void lse_off(const fl4_attention_args *a)
{
  a->lse[5] += 0.01f;
}
static void lse_nan(const fl4_attention_args *a)
{
  a->lse[5] = NAN;
}
static void value_nan(const fl4_attention_args *a)
{
  fl4__store(a->o, a->dtype, 77, NAN);
}
static void value_zero(const fl4_attention_args *a)
{
  memset(a->o, 0, (size_t)a->D * 2);
}
static void other_bit(const fl4_attention_args *a)
{
  bytes(a->o)[0] ^= calls == 2;
}
static void other_lse_bit(const fl4_attention_args *a)
{
  bytes(a->lse)[0] ^= calls == 2;
}
static void query_changed(const fl4_attention_args *a)
{
  bytes((void *)(uintptr_t)a->q)[0]++;
}
static void sink_changed(const fl4_attention_args *a)
{
  bytes((void *)(uintptr_t)a->sinks)[0]++;
}
static void table_changed(const fl4_attention_args *a)
{
  ((int32_t *)(uintptr_t)a->block_table)[0]++;
}

/* ---------------------------------------------------------------- the tests */

#define SIZES(b, sq, ...)                                                                                              \
  {                                                                                                                    \
    .B = b, .Hq = 4, .Hkv = 2, .Sq = sq, .Sk = 40, .D = 32, .seed = 1, __VA_ARGS__                                     \
  }
#define CASE(...) SIZES(2, 9, __VA_ARGS__)
#define DENSE CASE(.lse = true)
#define RAGGED SIZES(3, 9, .ragged_q = true, .ragged_k = true, .lse = true)
#define USED CASE(.used_k = true)
#define PAGED CASE(.page_size = 8)
#define SINKS CASE(.sinks = true, .lse = true)
#define WINDOW CASE(.mask = FL4_MASK_WINDOW, .left = 7, .right = 2)
#define BOUNDS "outside of its rows"
#define ACCURACY "max error"
#define AGAIN "a second call gives other bits"
#define INPUTS "was written to"

static const fault none = {.name = "none", .words = ""};
static const fault faults[] = {
    {"one key more", USED, .args = key_more, .words = "finite 0"},
    {"one key less", USED, .args = key_less, .words = ACCURACY},
    {"all keys of the memory", USED, .args = all_keys, .words = "finite 0"},
    {"one key less of pages", CASE(.used_k = true, .page_size = 8), .args = key_less, .words = ACCURACY},
    {"one key more of pages", CASE(.used_k = true, .page_size = 8), .args = key_more, .words = "finite 0"},
    {"keys of the neighbour", RAGGED, .args = other_keys, .words = ACCURACY},
    {"first query left out", RAGGED, .args = query_less, .words = "finite 0"},
    {"row before the first query", RAGGED, .args = query_more, .words = ACCURACY},
    {"row behind the last query", RAGGED, .args = row_behind, .words = BOUNDS},
    {"no mask", CASE(.mask = FL4_MASK_CAUSAL), .args = no_mask, .words = ACCURACY},
    {"left one more", WINDOW, .args = left_more, .words = ACCURACY},
    {"left one less", WINDOW, .args = left_less, .words = ACCURACY},
    {"right one more", WINDOW, .args = right_more, .words = ACCURACY},
    {"no softcap", CASE(.softcap = 3, .spread = 4), .args = no_softcap, .words = ACCURACY},
    {"no ALiBi", CASE(.alibi = true), .args = no_slopes, .words = ACCURACY},
    {"slopes of the first sequence", CASE(.alibi = true, .own_slopes = true), .args = first_slopes, .words = ACCURACY},
    {"no sinks", SINKS, .args = no_sinks, .words = ACCURACY},
    {"sinks of other heads", SINKS, .args = other_sinks, .words = "finite 0"},
    {"sinks missing in the LSE", SINKS, .lse_args = no_sinks, .words = "lse"},
    {"no bias", CASE(.bias = 1 + FL4_BIAS_BF16), .args = no_bias, .words = ACCURACY},
    {"no mask of bytes", CASE(.bias = 1 + FL4_BIAS_BOOL), .args = no_bias, .words = ACCURACY},
    {"bias of the first head", CASE(.bias = 1 + FL4_BIAS_FP32), .args = first_bias, .words = ACCURACY},
    {"bias of the next key", CASE(.bias = 1, .used_k = true), .args = next_bias, .words = "finite 0"},
    {"pages swapped", CASE(.page_size = 8, .alibi = true), .args = pages_swapped, .words = ACCURACY},
    {"values at the keys' strides", PAGED, .args = values_as_keys, .words = ACCURACY},
    {"the library's error", DENSE, .args = no_output, .words = "fl4_attention_args.o: is NULL"},
    {"byte in front of O", DENSE, .written = in_front, .words = BOUNDS},
    {"byte behind O", DENSE, .written = behind, .words = BOUNDS},
    {"float in front of the LSE", DENSE, .written = lse_in_front, .words = BOUNDS},
    {"float behind the LSE", DENSE, .written = lse_behind, .words = BOUNDS},
    {"LSE off", DENSE, .written = lse_off, .words = "lse"},
    {"LSE NaN", DENSE, .written = lse_nan, .words = "finite 0"},
    {"value NaN", DENSE, .written = value_nan, .words = "finite 0"},
    {"row of zeros", DENSE, .written = value_zero, .words = ACCURACY},
    {"another bit of O", DENSE, .written = other_bit, .words = AGAIN},
    {"another bit of the LSE", DENSE, .written = other_lse_bit, .words = AGAIN},
    {"nothing the second time", DENSE, .once = true, .words = AGAIN},
    {"query changed", DENSE, .written = query_changed, .words = INPUTS},
    {"sink changed", SINKS, .written = sink_changed, .words = INPUTS},
    {"table changed", PAGED, .written = table_changed, .words = INPUTS},
    {"O of no rows", SIZES(2, 0, .lse = false), .written = behind, .words = BOUNDS},
    {"LSE of no rows", SIZES(2, 0, .lse = true), .written = lse_behind, .words = BOUNDS},
};
enum { N_FAULTS = sizeof faults / sizeof *faults };

static void check_right(const fault *f, const feature_case *c)
{
  char why[512], text[256];
  feature_describe(c, text);
  ck_assert_msg(run(f, c, why), "%s: %s", text, why);
}

START_TEST(noticed)
{
  const fault *f = &faults[_i];
  char why[512];
  check_right(&none, &f->c);
  ck_assert_msg(!run(f, &f->c, why), "%s: not noticed", f->name);
  ck_assert_msg(strstr(why, f->words), "%s: \"%s\" does not say \"%s\"", f->name, why, f->words);
}
END_TEST

START_TEST(singles_right)
{
  const feature_case c = feature_single(_i);
  check_right(&none, &c);
}
END_TEST

START_TEST(random_right)
{
  const feature_case c = feature_random((uint64_t)_i, 16, 20, 60);
  check_right(&none, &c);
}
END_TEST

/* The library's own host device. What it does not know it refuses by name, and the rig says so. */
START_TEST(host)
{
  const feature_case c = feature_single(_i);
  char why[512], text[256];
  feature_describe(&c, text);
  const bool right = run(NULL, &c, why);
  ck_assert_msg(right || strstr(why, "is not built in"), "%s: %s", text, why);
}
END_TEST

START_TEST(host_dense)
{
  const feature_case c = {
      .dtype = _i % 2, .mask = _i / 2 % 2, .lse = _i / 4 % 2, .B = 2, .Hq = 4, .Hkv = 2, .Sq = 70, .Sk = 150, .D = 64};
  check_right(NULL, &c);
}
END_TEST

/* One bit of the first sequence that depends on who else is there. */
static void bit_of_batch(const fl4_attention_args *a)
{
  bytes(a->o)[0] ^= a->B > 1;
}
static void lse_bit_of_batch(const fl4_attention_args *a)
{
  bytes(a->lse)[0] ^= a->B > 1;
}
static void bit_of_bound(const fl4_attention_args *a)
{
  bytes(a->o)[0] ^= a->Sk > 40;
}

START_TEST(noticed_in_batches)
{
  static const fault batch_faults[] = {
      {"", CASE(.used_k = true, .lse = true), .words = ""},
      {"", RAGGED, .words = ""},
      {"", CASE(.used_k = true), .written = bit_of_batch, .words = "other bits"},
      {"", CASE(.used_k = true), .written = bit_of_bound, .words = "other bits"},
      {"", DENSE, .written = lse_bit_of_batch, .words = "other bits"},
  };
  const fault *f = &batch_faults[_i];
  fl4_context_options options = FL4_CONTEXT_OPTIONS_INIT;
  fl4_context *ctx;
  char why[512];
  options.device = "host";
  ck_assert_fl4(fl4_context_create(&ctx, &options));
  planted = f;
  const bool same = feature_same_in_batches(ctx, &f->c, 3, 4, why);
  ck_assert_msg(same == !f->written && strstr(why, f->words), "%d: %s", _i, why);
  fl4_context_destroy(&ctx);
}
END_TEST

START_TEST(too_many)
{
  const feature_case c = SIZES(65, 9, .lse = true);
  char why[512];
  ck_assert(!run(&none, &c, why));
  ck_assert_msg(strstr(why, "feature_case.B: is 65, may be at most 64"), "%s", why);
}
END_TEST

static Suite *suite(void)
{
  Suite *s = suite_create("feature_rig");
  TCase *t = tcase_create("rig");
  tcase_set_timeout(t, 60);
  tcase_add_loop_test(t, noticed, 0, N_FAULTS);
  tcase_add_loop_test(t, singles_right, 0, FEATURE_SINGLES);
  tcase_add_loop_test(t, random_right, 0, 60);
  tcase_add_loop_test(t, host, 0, FEATURE_SINGLES);
  tcase_add_loop_test(t, host_dense, 0, 8);
  tcase_add_loop_test(t, noticed_in_batches, 0, 5);
  tcase_add_test(t, too_many);
  suite_add_tcase(s, t);
  return s;
}

FL4_TEST_MAIN(suite)

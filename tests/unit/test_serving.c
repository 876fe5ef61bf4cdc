/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The recipes of docs/serving.md, on the host device: each gives what one whole call gives, by the fp64 oracle. The document
 * shows these functions; test_serving_doc.c sees to it that they are the same.
 */
#include <stdint.h>

#include "fl4_test.h"
#include "oracle/check.h"
#include "util/random.h"

enum { B = 3, Hq = 4, Hkv = 2, D = 32, TOKENS = 48, PAGE = 8, COLUMNS = TOKENS / PAGE };

static void check(fl4_status status)
{
  ck_assert_msg(status == FL4_OK, "%s: %s", fl4_status_name(status), fl4_last_error());
}

/* ---------------------------------------------------------------- recipes */

/* `prefix` keys, a multiple of the page's size, are the same pages for all; own_lengths[b] keys are behind them. */
static void cascade(fl4_context *ctx, const fl4_attention_args *whole, int64_t prefix, const int32_t *own_lengths,
                    void *part, float *part_lse, fl4_stream stream)
{
  const int64_t rows = whole->B * whole->Sq;
  fl4_attention_args shared = *whole, own = *whole;
  shared.B = 1, shared.Sq = rows;              /* the queries of all are those of one sequence, */
  shared.Sk = prefix, shared.seqused_k = NULL; /* whose pages are the first of any line of the table; */
  shared.mask = FL4_MASK_NONE;                 /* they see all of it */
  shared.o = part, shared.lse = part_lse;
  own.Sk -= prefix, own.seqused_k = own_lengths;
  own.sinks = NULL;                             /* they count once */
  own.block_table += prefix / whole->page_size; /* the lines are as long as before */
  check(fl4_attention_forward(ctx, &shared, stream));
  check(fl4_attention_forward(ctx, &own, stream));

  const void *const parts[] = {shared.o, own.o};
  const float *const lses[] = {shared.lse, own.lse};
  fl4_merge_states_args merge = FL4_MERGE_STATES_ARGS_INIT;
  merge.dtype = whole->dtype, merge.n = 2;
  merge.B = 1, merge.Hq = whole->Hq, merge.Sq = rows, merge.D = whole->D;
  merge.parts_list = parts, merge.parts_lse_list = lses;
  merge.o = own.o, merge.lse = own.lse; /* in place */
  memcpy(merge.parts_stride + 1, whole->o_stride, sizeof whole->o_stride);
  memcpy(merge.parts_lse_stride + 1, whole->lse_stride, sizeof whole->lse_stride);
  memcpy(merge.o_stride, whole->o_stride, sizeof whole->o_stride);
  memcpy(merge.lse_stride, whole->lse_stride, sizeof whole->lse_stride);
  check(fl4_merge_states(ctx, &merge, stream));
}

/* What one rank of several does: it has `keys` of all keys, and `later` are behind them. Its part goes to o and lse. */
static void attend_to_share(fl4_context *ctx, const fl4_attention_args *whole, const void *k, const void *v,
                            int64_t keys, int64_t later, void *o, float *lse, fl4_stream stream)
{
  fl4_attention_args share = *whole;
  share.k = k, share.v = v, share.Sk = keys;
  share.o = o, share.lse = lse;
  /* The diagonal ends at the last of all keys: seen from the rank's last one it is so many further right. */
  if (whole->mask == FL4_MASK_CAUSAL) share.mask = FL4_MASK_WINDOW, share.window_left = -1, share.window_right = later;
  if (later > 0) share.sinks = NULL; /* they count once, with the last keys */
  check(fl4_attention_forward(ctx, &share, stream));
}

/* What a rank does when it has the parts of all, one behind the other. */
static void merge_shares(fl4_context *ctx, const fl4_attention_args *whole, int ranks, const void *parts,
                         const float *parts_lse, fl4_stream stream)
{
  fl4_merge_states_args merge = FL4_MERGE_STATES_ARGS_INIT;
  merge.dtype = whole->dtype, merge.n = ranks;
  merge.B = whole->B, merge.Hq = whole->Hq, merge.Sq = whole->Sq, merge.D = whole->D;
  merge.parts = parts, merge.parts_lse = parts_lse, merge.o = whole->o, merge.lse = whole->lse;
  merge.parts_stride[0] = whole->B * whole->Hq * whole->Sq * whole->D;
  merge.parts_lse_stride[0] = whole->B * whole->Hq * whole->Sq;
  memcpy(merge.parts_stride + 1, whole->o_stride, sizeof whole->o_stride);
  memcpy(merge.parts_lse_stride + 1, whole->lse_stride, sizeof whole->lse_stride);
  memcpy(merge.o_stride, whole->o_stride, sizeof whole->o_stride);
  memcpy(merge.lse_stride, whole->lse_stride, sizeof whole->lse_stride);
  check(fl4_merge_states(ctx, &merge, stream));
}

/* Tokens into the cache, and attention to all that are there then. */
static void extend(fl4_context *ctx, const fl4_kv_append_args *append, fl4_attention_args attend, fl4_stream stream)
{
  attend.Sq = append->Sn;
  attend.mask = FL4_MASK_CAUSAL; /* the last query sees the last key */
  attend.seqused_k = append->seqused_k_after;
  check(fl4_kv_append(ctx, append, stream));
  check(fl4_attention_forward(ctx, &attend, stream));
}

/* The calls are those of all `tokens`; `row` is the bytes of a token's keys, or values, `q_row` those of its queries. */
static void prefill_in_chunks(fl4_context *ctx, const fl4_kv_append_args *append, const fl4_attention_args *attend,
                              int64_t tokens, int64_t most, int64_t row, int64_t q_row, fl4_stream stream)
{
  for (int64_t done = 0; done < tokens; done += most) {
    fl4_kv_append_args chunk = *append;
    fl4_attention_args queries = *attend;
    chunk.Sn = tokens - done < most ? tokens - done : most;
    chunk.k_new = (const char *)append->k_new + done * row, chunk.v_new = (const char *)append->v_new + done * row;
    queries.q = (const char *)attend->q + done * q_row, queries.o = (char *)attend->o + done * q_row;
    extend(ctx, &chunk, queries, stream);
    /* On a GPU this is cudaMemcpyAsync(), on the same stream. */
    memcpy((void *)append->seqused_k, append->seqused_k_after, (size_t)append->B * sizeof(int32_t));
  }
}

/* Of the tokens that extend() was given, the first accepted[b] stay. */
static void accept_drafts(int32_t *lengths, const int32_t *accepted, int64_t batch)
{
  for (int64_t b = 0; b < batch; b++) lengths[b] += accepted[b]; /* what lies behind is never read, and written next */
}

/* ---------------------------------------------------------------- what they are tried on */

/* All tokens of all sequences, [b][token][head][D]; a cache with pages in no order; one call for all of it. */
typedef struct scene {
  fl4_context *ctx;
  int64_t element;
  void *q, *k, *v, *o, *pool_k, *pool_v;
  float *lse;
  int32_t table[B][COLUMNS], lengths[B], after[B];
  fl4_attention_args whole;
} scene;

static void *numbers(int dtype, int64_t n, uint64_t seed)
{
  fl4__random r;
  fl4__random_init(&r, seed);
  void *rows = malloc((size_t)(n * fl4__dtype_size(dtype)));
  ck_assert_ptr_nonnull(rows);
  for (int64_t i = 0; i < n; i++) {
    double x = -6;
    for (int j = 0; j < 12; j++) x += fl4__random_unit(&r);
    fl4__store(rows, dtype, i, (float)x);
  }
  return rows;
}

/* Memory that nobody has written holds NaN. */
static void *unwritten(int64_t bytes)
{
  void *memory = malloc((size_t)bytes);
  ck_assert_ptr_nonnull(memory);
  return memset(memory, 0xff, (size_t)bytes);
}

static void token_strides(int64_t stride[3], int64_t tokens, int64_t heads)
{
  stride[0] = tokens * heads * D, stride[1] = D, stride[2] = heads * D;
}

static scene open_scene(int dtype)
{
  scene s = {.element = fl4__dtype_size(dtype)};
  fl4_context_options options = FL4_CONTEXT_OPTIONS_INIT;
  options.device = "host";
  check(fl4_context_create(&s.ctx, &options));
  const int64_t q = (int64_t)B * TOKENS * Hq * D, kv = (int64_t)B * TOKENS * Hkv * D;
  s.q = numbers(dtype, q, 1), s.k = numbers(dtype, kv, 2), s.v = numbers(dtype, kv, 3);
  s.o = unwritten(q * s.element), s.lse = unwritten(q / D * 4);
  s.pool_k = unwritten(kv * s.element), s.pool_v = unwritten(kv * s.element);
  for (int b = 0; b < B; b++)
    for (int c = 0; c < COLUMNS; c++) s.table[b][c] = (c * B + b) * 5 % (B * COLUMNS);

  s.whole = (fl4_attention_args)FL4_ATTENTION_ARGS_INIT;
  fl4_attention_args *a = &s.whole;
  a->dtype = dtype, a->mask = FL4_MASK_CAUSAL;
  a->B = B, a->Hq = Hq, a->Hkv = Hkv, a->Sq = a->Sk = TOKENS, a->D = D;
  a->q = s.q, a->k = s.k, a->v = s.v, a->o = s.o, a->lse = s.lse;
  token_strides(a->q_stride, TOKENS, Hq), token_strides(a->o_stride, TOKENS, Hq);
  token_strides(a->k_stride, TOKENS, Hkv), token_strides(a->v_stride, TOKENS, Hkv);
  a->lse_stride[0] = TOKENS, a->lse_stride[1] = B * TOKENS, a->lse_stride[2] = 1; /* [head][token] */
  return s;
}

static void close_scene(scene *s)
{
  free(s->q), free(s->k), free(s->v), free(s->o), free(s->lse), free(s->pool_k), free(s->pool_v);
  fl4_context_destroy(&s->ctx);
}

/* Everything from token `first` on goes into the cache; `a` then attends to that. */
static fl4_kv_append_args into_cache(scene *s, int64_t first, fl4_attention_args *a)
{
  fl4_kv_append_args append = FL4_KV_APPEND_ARGS_INIT;
  append.dtype = a->dtype, append.B = B, append.Hkv = Hkv, append.Sn = TOKENS - first, append.Sk = TOKENS, append.D = D;
  append.k_new = (char *)s->k + first * Hkv * D * s->element,
  append.v_new = (char *)s->v + first * Hkv * D * s->element;
  token_strides(append.k_new_stride, TOKENS, Hkv), token_strides(append.v_new_stride, TOKENS, Hkv);
  append.k = s->pool_k, append.v = s->pool_v;
  append.block_table = s->table[0], append.n_pages = B * COLUMNS, append.page_size = PAGE;
  append.seqused_k = s->lengths, append.seqused_k_after = s->after;
  a->k = s->pool_k, a->v = s->pool_v;
  memset(a->k_stride, 0, sizeof a->k_stride), memset(a->v_stride, 0, sizeof a->v_stride);
  a->block_table = s->table[0], a->block_table_stride = COLUMNS, a->n_pages = B * COLUMNS, a->page_size = PAGE;
  a->seqused_k = s->after;
  return append;
}

/* Queries first[b] … end[b] − 1 are as the oracle has them; NULL: all. */
static void expect_whole(const scene *s, const fl4_attention_args *a, const int32_t *first, const int32_t *end)
{
  const int64_t size = a->B * Hq * a->Sq;
  double *ref = malloc((size_t)(size * D) * sizeof *ref), *low = malloc((size_t)(size * D) * sizeof *low),
         *lse = malloc((size_t)size * sizeof *lse);
  check(fl4_oracle_fp64(a, NULL, 0, ref, low, lse));
  fl4__compare c;
  fl4__compare_init(&c, a->dtype, D);
  for (int64_t n = 0; n < size; n++) {
    const int64_t i = n % a->Sq, h = n / a->Sq % Hq, b = n / a->Sq / Hq;
    if (first && (i < first[b] || i >= end[b])) continue;
    for (int64_t d = 0; d < D; d++)
      fl4__compare_add(&c, (const int64_t[4]){b, h, i, d},
                       (double)fl4__load(s->o, a->dtype, b * a->o_stride[0] + h * D + i * Hq * D + d), ref[n * D + d],
                       low[n * D + d]);
    if (a->lse) fl4__compare_lse(&c, (double)s->lse[b * a->lse_stride[0] + h * a->lse_stride[1] + i], lse[n]);
  }
  fl4_check_result r = FL4_CHECK_RESULT_INIT;
  fl4__compare_judge(&c, a->lse != NULL, &r);
  ck_assert_msg(r.finite && r.accurate && r.lse_accurate,
                "max error %g of %g, mean %g of %g, LSE %g of %g; at %lld %lld %lld %lld is %g, must be %g",
                r.max_error, r.max_allowed, r.mean_error, r.mean_allowed, r.lse_error, r.lse_allowed,
                (long long)r.worst[0], (long long)r.worst[1], (long long)r.worst[2], (long long)r.worst[3], r.worst_out,
                r.worst_ref);
  free(ref), free(low), free(lse);
}

/* ---------------------------------------------------------------- tests, for each dtype */

static const float sinks[Hq] = {0.5f, -1, 2, 3};

/* Sequences of one prefix and of unlike rests: the pages of the prefix are the first one's for all. */
START_TEST(cascade_is_one_call)
{
  enum { QUERIES = 3, PREFIX = 2 * PAGE };
  static const int32_t own_lengths[B] = {QUERIES, TOKENS - PREFIX, 17};
  scene s = open_scene(_i);
  fl4_attention_args whole = s.whole;
  const fl4_kv_append_args append = into_cache(&s, 0, &whole);
  check(fl4_kv_append(s.ctx, &append, NULL));
  for (int b = 0; b < B; b++) {
    memcpy(s.table[b], s.table[0], PREFIX / PAGE * sizeof **s.table);
    s.after[b] = PREFIX + own_lengths[b];
  }
  whole.Sq = QUERIES;
  token_strides(whole.q_stride, QUERIES, Hq), token_strides(whole.o_stride, QUERIES, Hq);
  whole.lse_stride[0] = QUERIES, whole.lse_stride[1] = B * QUERIES;
  void *part = unwritten((int64_t)B * QUERIES * Hq * D * s.element);
  float *part_lse = unwritten((int64_t)B * QUERIES * Hq * 4);
  cascade(s.ctx, &whole, PREFIX, own_lengths, part, part_lse, NULL);
  expect_whole(&s, &whole, NULL, NULL);
  whole.sinks = sinks;
  cascade(s.ctx, &whole, PREFIX, own_lengths, part, part_lse, NULL);
  expect_whole(&s, &whole, NULL, NULL);
  free(part), free(part_lse);
  close_scene(&s);
}
END_TEST

/* Shares of unlike sizes, the last of which many queries do not see. */
START_TEST(shares_are_one_call)
{
  enum { RANKS = 4 };
  static const int64_t begin[RANKS + 1] = {0, 16, 17, 30, TOKENS};
  scene s = open_scene(_i);
  const int64_t rows = (int64_t)B * TOKENS * Hq;
  char *parts = unwritten(RANKS * rows * D * s.element);
  float *parts_lse = unwritten(RANKS * rows * 4);
  for (int variation = 0; variation < 3; variation++) {
    s.whole.mask = variation ? FL4_MASK_CAUSAL : FL4_MASK_NONE;
    s.whole.sinks = variation == 2 ? sinks : NULL;
    for (int rank = 0; rank < RANKS; rank++) {
      const int64_t at = begin[rank] * Hkv * D * s.element, keys = begin[rank + 1] - begin[rank];
      attend_to_share(s.ctx, &s.whole, (char *)s.k + at, (char *)s.v + at, keys, TOKENS - begin[rank + 1],
                      parts + rank * rows * D * s.element, parts_lse + rank * rows, NULL);
    }
    merge_shares(s.ctx, &s.whole, RANKS, parts, parts_lse, NULL);
    expect_whole(&s, &s.whole, NULL, NULL);
  }
  free(parts), free(parts_lse);
  close_scene(&s);
}
END_TEST

/* In chunks that do not go into the tokens, nor pages into chunks; and in one. */
START_TEST(chunks_are_one_call)
{
  const int64_t chunks[] = {11, 1, TOKENS};
  for (int n = 0; n < 3; n++) {
    scene s = open_scene(_i);
    fl4_attention_args attend = s.whole;
    attend.lse = NULL;
    const fl4_kv_append_args append = into_cache(&s, 0, &attend);
    prefill_in_chunks(s.ctx, &append, &attend, TOKENS, chunks[n], Hkv * D * s.element, Hq * D * s.element, NULL);
    for (int b = 0; b < B; b++) ck_assert_int_eq(s.after[b], TOKENS);
    s.whole.lse = NULL;
    expect_whole(&s, &s.whole, NULL, NULL);
    close_scene(&s);
  }
}
END_TEST

/* Drafts of which some are wrong: the next ones take their places, and nothing of them is seen. */
START_TEST(drafts_are_replaced)
{
  enum { PROMPT = 13, DRAFTS = 4 };
  static const int32_t accepted[B] = {0, 2, DRAFTS};
  scene s = open_scene(_i);
  fl4_attention_args attend = s.whole;
  attend.lse = NULL;
  fl4_kv_append_args append = into_cache(&s, 0, &attend);
  append.Sn = PROMPT;
  extend(s.ctx, &append, attend, NULL);
  int32_t first[B], end[B];
  for (int b = 0; b < B; b++) s.lengths[b] = first[b] = PROMPT;

  /* Two rounds, the tokens of each sequence from its own length on. In the first one those behind `accepted` are wrong. */
  const int64_t kv_row = Hkv * D * s.element, q_row = Hq * D * s.element;
  char *k = unwritten(B * DRAFTS * kv_row), *v = unwritten(B * DRAFTS * kv_row), *q = unwritten(B * DRAFTS * q_row),
       *o = unwritten(B * DRAFTS * q_row);
  append.k_new = k, append.v_new = v, append.Sn = DRAFTS, attend.q = q, attend.o = o;
  token_strides(append.k_new_stride, DRAFTS, Hkv), token_strides(append.v_new_stride, DRAFTS, Hkv);
  token_strides(attend.q_stride, DRAFTS, Hq), token_strides(attend.o_stride, DRAFTS, Hq);
  for (int round = 0; round < 2; round++) {
    for (int n = 0; n < B * DRAFTS; n++) {
      const int b = n / DRAFTS, i = n % DRAFTS, wrong = round == 0 && i >= accepted[b];
      const int64_t from = b * TOKENS + s.lengths[b] + (wrong ? 9 : i);
      memcpy(k + n * kv_row, (char *)s.k + from * kv_row, (size_t)kv_row);
      memcpy(v + n * kv_row, (char *)s.v + from * kv_row, (size_t)kv_row);
      memcpy(q + n * q_row, (char *)s.q + from * q_row, (size_t)q_row);
    }
    extend(s.ctx, &append, attend, NULL);
    for (int n = 0; n < B * DRAFTS; n++) {
      const int b = n / DRAFTS, i = n % DRAFTS;
      if (round == 0 && i >= accepted[b]) continue;
      memcpy((char *)s.o + (b * TOKENS + s.lengths[b] + i) * q_row, o + n * q_row, (size_t)q_row);
      end[b] = s.lengths[b] + i + 1;
    }
    if (round == 0) accept_drafts(s.lengths, accepted, B);
  }
  for (int b = 0; b < B; b++) ck_assert_int_eq(end[b], PROMPT + accepted[b] + DRAFTS);
  s.whole.lse = NULL;
  expect_whole(&s, &s.whole, first, end);
  free(k), free(v), free(q), free(o);
  close_scene(&s);
}
END_TEST

static Suite *suite(void)
{
  Suite *s = suite_create("serving");
  TCase *t = tcase_create("serving");
  tcase_add_loop_test(t, cascade_is_one_call, 0, 3);
  tcase_add_loop_test(t, shares_are_one_call, 0, 3);
  tcase_add_loop_test(t, chunks_are_one_call, 0, 3);
  tcase_add_loop_test(t, drafts_are_replaced, 0, 3);
  suite_add_tcase(s, t);
  return s;
}

FL4_TEST_MAIN(suite)

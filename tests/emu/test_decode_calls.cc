/* SPDX-License-Identifier: Apache-2.0 */
/*
 * decode_mma on the emulated GPU, in calls on data of their own: results that are the same in each batch, lengths that
 * change between calls, and lengths and tables that are none. tests/emu/mutants/ runs its cases too.
 */
#include <algorithm>
#include <climits>
#include <map>
#include <random>

#include "backend.h"
extern "C" {
#include "fl4_test.h"
#include "oracle/check.h"
}

enum { D = 32, SLOTS = 6144 /* three splits of results that are the same in each batch */, HEADS = 2, MOST_BATCH = 8, MOST_QUERIES = 8 };
enum { KEY_ROWS = 9 * SLOTS, COLUMNS = SLOTS / 8 };

using Lengths = std::vector<int32_t>;
using Bits = std::vector<emu::u16>;

static fl4_context *open_emu(const char *device, const char *variant = "decode_mma")
{
  fl4_context_options o = FL4_CONTEXT_OPTIONS_INIT;
  fl4_context *ctx;
  o.device = device, o.variant = variant;
  ck_assert_fl4(fl4_context_create(&ctx, &o));
  return ctx;
}

/* Another order of threads for each; late copies for one half of them, early ones for the other. */
static void schedule(uint64_t i)
{
  emu::options.seed = i + 1;
  emu::options.copies = i % 2 ? emu::Copies::early : emu::Copies::late;
}

/* Memory for some sequences, of the device's kind, which the oracle reads too: keys [b][slot][d] of the one key/value head, or
 * the same as a pool of pages; queries and outputs [b][i][h][d]. */
struct Call {
  fl4_attention_args args = FL4_ATTENTION_ARGS_INIT;
  emu::u16 *q, *kv, *o;
  float *lse;
  int32_t *lengths, *table;
  std::vector<void *> all;
  std::map<std::string, fl4_context *> contexts; /* of devices: a new one compiles anew */

  Call()
  {
    const size_t queries = MOST_BATCH * MOST_QUERIES * HEADS * D, rows = (size_t)KEY_ROWS * D;
    q = allocate<emu::u16>(queries), kv = allocate<emu::u16>(2 * rows), o = allocate<emu::u16>(queries);
    lse = allocate<float>(queries / D), lengths = allocate<int32_t>(MOST_BATCH);
    table = allocate<int32_t>(MOST_BATCH * COLUMNS);
    for (size_t i = 0; i < queries; i++) q[i] = emu::to_half((float)(i * 7919 % 257) / 64.f - 2.f);
    for (int row = 0; row < 2 * KEY_ROWS; row++) fill(row);
    args.Hq = HEADS, args.Hkv = 1, args.D = D, args.q = q, args.k = kv, args.v = kv + rows, args.o = o, args.lse = lse;
    args.mask = FL4_MASK_CAUSAL;
    const int64_t keys[3] = {SLOTS * D, 0, D}, of_query[3] = {MOST_QUERIES * HEADS * D, D, HEADS * D};
    memcpy(args.k_stride, keys, sizeof keys), memcpy(args.v_stride, keys, sizeof keys);
    memcpy(args.q_stride, of_query, sizeof of_query), memcpy(args.o_stride, of_query, sizeof of_query);
    for (int i = 0; i < 3; i++) args.lse_stride[i] = of_query[i] / D;
    args.seqused_k = lengths;
  }
  ~Call()
  {
    for (void *memory : all) emu::global_free(memory);
    for (auto &[device, ctx] : contexts) fl4_context_destroy(&ctx);
  }

  template <class T> T *allocate(size_t n)
  {
    T *memory = static_cast<T *>(emu::global_alloc(n * sizeof(T)));
    memset(memory, 0, n * sizeof(T));
    emu::global_written(memory, n * sizeof(T));
    all.push_back(memory);
    return memory;
  }

  /* Numbers for a row of keys; behind all of them come the values. */
  void fill(int row)
  {
    for (size_t i = (size_t)row * D; i < (size_t)(row + 1) * D; i++)
      kv[i] = emu::to_half((float)(i * 104729 % 509) / 128.f - 2.f);
  }

  /*
   * Large values of keys `first` … `end` - 1 that sum up to nothing: each of the second half is another's of the first with
   * the other sign, and its key the same. What is left is rounding, so that another order of additions shows.
   */
  void cancel(int first, int end)
  {
    for (int row = first; row < end; row++) {
      const int like = std::min(row, first + end - 1 - row);
      const float sign = row == like ? 8192.f : -8192.f;
      for (int d = 0; d < D; d++) {
        kv[row * D + d] = kv[like * D + d];
        kv[(KEY_ROWS + row) * D + d] = emu::to_half(sign * (float)(((long)like * D + d) * 104729 % 509 - 254) / 128.f);
      }
    }
  }

  /* The same keys in pages, of which no two are the same while sequences have few; `shift`: of their order. */
  void in_pages(int page, int shift)
  {
    args.page_size = page, args.n_pages = KEY_ROWS / page, args.block_table = table, args.block_table_stride = COLUMNS;
    args.k_stride[0] = args.v_stride[0] = page * D;
    for (int i = 0; i < MOST_BATCH * COLUMNS; i++)
      table[i] = (int32_t)((i / COLUMNS * 448 + i % COLUMNS * 7 + shift) % args.n_pages);
  }

  /* NaN in all that the sequences do not have: behind their last keys, in pages of nobody, in what the table has there. */
  void plant(int B, int Sk)
  {
    memset(kv, 0xff, (size_t)2 * KEY_ROWS * D * 2);
    for (int b = 0; b < B; b++) {
      for (int column = 0; args.page_size && column < COLUMNS; column++)
        if (column * args.page_size >= lengths[b]) table[b * COLUMNS + column] = column % 2 ? INT32_MIN : INT32_MAX;
      for (int j = 0; j < std::min(lengths[b], Sk); j++) {
        const int row = args.page_size ? table[b * COLUMNS + j / args.page_size] * args.page_size + j % args.page_size
                                       : b * (int)args.k_stride[0] / D + j;
        fill(row), fill(KEY_ROWS + row);
      }
    }
  }

  void shape(int B, int Sq, int Sk, const Lengths &length)
  {
    args.B = B, args.Sq = Sq, args.Sk = Sk;
    args.q = q + (MOST_QUERIES - Sq) * HEADS * D; /* the last one is always the same */
    std::copy(length.begin(), length.end(), lengths);
  }

  /* The output of the last query of a sequence, both heads. */
  Bits run(const char *device, int B, int Sq, int Sk, const Lengths &length, int b = 0)
  {
    fl4_context *&ctx = contexts[device];
    if (!ctx) ctx = open_emu(device);
    shape(B, Sq, Sk, length);
    ck_assert_fl4(fl4_attention_forward(ctx, &args, nullptr));
    fl4_plan_info info = FL4_PLAN_INFO_INIT;
    ck_assert_fl4(fl4_attention_plan_info(ctx, &args, &info));
    ck_assert_msg(strncmp(info.variant, "decode_mma:", 11) == 0, "by %s", info.variant);
    const emu::u16 *last = o + b * args.o_stride[0] + (Sq - 1) * HEADS * D;
    return Bits(last, last + HEADS * D);
  }

  /* Compares what the last call wrote with the oracle. `ragged`: rows of the sequences; else each has Sq. */
  void judge(const Lengths &ragged = {})
  {
    const size_t rows = (size_t)(args.B * HEADS * args.Sq);
    std::vector<double> ref(rows * D), low(rows * D), ref_lse(rows);
    fl4__compare compare;
    fl4_check_result r = FL4_CHECK_RESULT_INIT;
    ck_assert_fl4(fl4_oracle_fp64(&args, nullptr, 0, ref.data(), low.data(), ref_lse.data()));
    fl4__compare_init(&compare, FL4_DTYPE_FP16, D);
    for (int64_t b = 0; b < args.B; b++)
      for (int64_t h = 0; h < HEADS; h++)
        for (int64_t i = 0; i < (ragged.empty() ? args.Sq : ragged[(size_t)b]); i++) {
          const int64_t first = ragged.empty() ? b * args.q_stride[0] / (HEADS * D) : args.cu_seqlens_q[b];
          const int64_t row = (b * HEADS + h) * args.Sq + i, at[4] = {b, h, i, 0};
          const int64_t from = ((first < 0 ? 0 : first) + i) * HEADS + h;
          for (int64_t d = 0; d < D; d++)
            fl4__compare_add(&compare, at, (double)fl4__load(o, FL4_DTYPE_FP16, from * D + d),
                             ref[(size_t)(row * D + d)], low[(size_t)(row * D + d)]);
          fl4__compare_lse(&compare, (double)lse[from], ref_lse[(size_t)row]);
        }
    fl4__compare_judge(&compare, true, &r);
    ck_assert_msg(r.finite && r.accurate && r.lse_accurate, "finite %d; max %g of %g, LSE %g; sequence %d: %g, not %g",
                  r.finite, r.max_error, r.max_allowed, r.lse_error, (int)r.worst[0], r.worst_out, r.worst_ref);
  }
};

/* ---------------------------------------------------------------- the same in each batch */

/* Whatever else is in the batch, however long it may be, on whatever GPU: with and without a window. */
START_TEST(the_same_in_each_batch)
{
  Call call;
  call.args.flags = FL4_BATCH_INVARIANT;
  if (_i) call.args.mask = FL4_MASK_WINDOW, call.args.window_left = 3000, call.args.window_right = 0;
  const int32_t mine = 4690;
  schedule(0);
  const Bits alone = call.run("emu", 1, 1, mine, {mine});
  const struct {
    const char *device;
    int B, Sq, Sk;
    Lengths length;
  } others[] = {{"emu", 1, 1, SLOTS, {mine}},
                {"emu:2", 3, 1, 5000, {mine, 1, 5000}},
                {"emu:2", 2, 4, SLOTS, {mine, 6000}},
                {"emu", 3, 8, 4690, {mine, 0, 17}},
                {"emu:1", 3, 7, 5800, {mine, 1800, 5800}}};
  for (const auto &x : others) {
    schedule((uint64_t)x.Sq);
    ck_assert_msg(alone == call.run(x.device, x.B, x.Sq, x.Sk, x.length), "other bits on %s with B %d, Sq %d, Sk %d",
                  x.device, x.B, x.Sq, x.Sk);
  }
}
END_TEST

/* More splits than are put together at a time, counted from a window that begins in another split for eight queries than for
 * one: 8 and 9 splits; 24, which one block puts together, and 25; 26 and 27. */
START_TEST(the_same_with_a_window_of_many_splits)
{
  static const int32_t lengths[] = {18400, 51100, 55200};
  Call call;
  const int32_t mine = lengths[_i], first = 2052; /* of a split's 2048 keys: eight queries see the split before, too */
  call.args.flags = FL4_BATCH_INVARIANT;
  call.args.mask = FL4_MASK_WINDOW, call.args.window_left = mine - 1 - first, call.args.window_right = 0;
  call.cancel(first, mine);
  schedule(0);
  const Bits alone = call.run("emu", 1, 1, mine, {mine});
  schedule(1);
  ck_assert(alone == call.run("emu:2", 1, 8, KEY_ROWS, {mine}));
}
END_TEST

/* Parts of a row that the last call loaded: 4 columns and the state by each thread, of both heads. */
static emu::u64 parts_loaded()
{
  emu::u64 bytes = 0;
  for (const auto &[site, c] : emu::counts().global)
    if (!strcmp(site.what, "ld.global.cg.v4")) bytes += c.bytes;
  return bytes / (HEADS * D / 4 * 2 * 16);
}

/* Where units are so many that their groups have no tickets, one block puts all splits together, in the order of groups. */
START_TEST(the_same_without_groups)
{
  enum { B = 683, SPLITS = 32, SK = SPLITS * 16 }; /* a unit and its five groups: 6 · 683 tickets are 2 too many */
  fl4_context *ctx = open_emu("emu", "decode_mma:warps=1,stages=2,keys=16,rows=8,splits=32");
  Call call;
  int32_t *lengths = call.allocate<int32_t>(B); /* of all but the first none */
  call.args.seqused_k = lengths;
  call.args.o = call.allocate<emu::u16>(B * HEADS * D), call.args.lse = nullptr;
  call.args.q_stride[0] = call.args.k_stride[0] = call.args.v_stride[0] = 0, call.args.o_stride[0] = HEADS * D;
  call.args.q = call.q, call.args.Sq = 1, call.args.Sk = SK;
  call.cancel(0, SK);
  lengths[0] = SK;
  Bits seen[2];
  for (int i = 0; i < 2; i++) {
    call.args.B = B - i;
    schedule((uint64_t)i);
    emu::reset_counts();
    ck_assert_fl4(fl4_attention_forward(ctx, &call.args, nullptr));
    ck_assert_uint_eq(parts_loaded(), i == 0 ? SPLITS : SPLITS + SPLITS / 8);
    const emu::u16 *bits = static_cast<emu::u16 *>(call.args.o);
    seen[i].assign(bits, bits + HEADS * D);
  }
  ck_assert(seen[0] == seen[1]);
  fl4_context_destroy(&ctx);
}
END_TEST

enum { BATCHES = 200, MINE = 2200 /* keys, of two splits */ };

/* A sequence at any place of a paged batch, among any others, most of them short. */
START_TEST(random_batches)
{
  static const char *const devices[] = {"emu", "emu:1", "emu:2"};
  Call call;
  call.args.flags = FL4_BATCH_INVARIANT;
  call.in_pages(16, 0);
  const std::vector<int32_t> pages(call.table, call.table + COLUMNS);
  const std::vector<emu::u16> queries(call.q, call.q + MOST_QUERIES * HEADS * D);
  schedule(0);
  const Bits alone = call.run("emu", 1, 1, MINE, {MINE});
  std::mt19937 random(1);
  const auto below = [&](int n) { return (int)(random() % (unsigned)n); };
  for (int n = 0; n < BATCHES; n++) {
    const int B = 1 + below(MOST_BATCH), Sq = 1 + below(MOST_QUERIES), place = below(B);
    const int Sk = MINE + below(SLOTS - MINE);
    Lengths length((size_t)B);
    for (int b = 0; b < B; b++) length[(size_t)b] = b == place ? MINE : below(below(12) ? 60 : 3000);
    call.in_pages(16, below(500));
    std::copy(pages.begin(), pages.end(), call.table + place * COLUMNS);
    std::copy(queries.begin(), queries.end(), call.q + place * MOST_QUERIES * HEADS * D);
    schedule((uint64_t)n);
    const char *device = devices[below(3)];
    ck_assert_msg(alone == call.run(device, B, Sq, Sk, length, place), "other bits on %s: B %d, Sq %d, Sk %d, place %d",
                  device, B, Sq, Sk, place);
  }
}
END_TEST

/* ---------------------------------------------------------------- lengths */

static const char *const variants[] = {"decode_mma", "decode_mma:warps=2,stages=2,keys=16,rows=8,splits=3",
                                       "decode_mma:warps=4,stages=1,keys=32,rows=8,splits=1"};

/* Nothing, one key, a page and its neighbours, all: with NaN wherever no key of theirs is. */
START_TEST(lengths_beside_pages)
{
  static const int pages[] = {8, 16, 64, 256};
  const int page = pages[_i % 4], Sk = 300;
  Call call;
  fl4_context *ctx = open_emu("emu", variants[_i % 3]);
  call.args.k_stride[0] = call.args.v_stride[0] = 400 * D;
  if (_i < 8) call.in_pages(page, _i);
  call.shape(6, 1 + _i % 3, Sk, {0, 1, page - 1, page, page + 1, Sk});
  call.plant(6, Sk);
  schedule((uint64_t)_i);
  ck_assert_fl4(fl4_attention_forward(ctx, &call.args, nullptr));
  call.judge();
  fl4_context_destroy(&ctx);
}
END_TEST

/* One plan and one workspace, as in a graph that is replayed: what a call leaves there is nothing to the next, with splits in
 * groups or without. */
START_TEST(lengths_that_change)
{
  static const char *const splits[] = {"decode_mma:warps=2,stages=2,keys=16,rows=8,splits=3",
                                       "decode_mma:warps=1,stages=2,keys=16,rows=8,splits=64"};
  static const Lengths steps[] = {{700, 3, 0}, {5, 650, 64}, {0, 0, 0}, {700, 700, 700}, {1, 129, 400}, {700, 3, 0}};
  Call call;
  fl4_context *ctx = open_emu("emu", splits[_i / 2]);
  call.shape(3, 2, 700, steps[0]);
  if (_i % 2) call.in_pages(16, 3);
  size_t size;
  ck_assert_fl4(fl4_attention_workspace_size(ctx, &call.args, &size));
  ck_assert_uint_gt(size, 0);
  call.args.workspace = call.allocate<char>(size), call.args.workspace_size = size;
  for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
    call.shape(3, 2, 700, steps[i]);
    schedule(i);
    ck_assert_fl4(fl4_attention_forward(ctx, &call.args, nullptr));
    call.judge();
  }
  fl4_context_destroy(&ctx);
}
END_TEST

/* Lengths that are no lengths are taken as none or all. */
START_TEST(lengths_out_of_range)
{
  Call call;
  schedule(3);
  const Bits all = call.run("emu:2", 1, 2, 700, {700});
  ck_assert(all == call.run("emu:2", 2, 2, 700, {INT32_MAX, -1}));
  const Bits none = call.run("emu:2", 2, 2, 700, {INT32_MIN, 5});
  ck_assert(std::all_of(none.begin(), none.end(), [](emu::u16 x) { return x == 0; }));
}
END_TEST

/* So are those of ragged tensors: sequences stay inside of them. */
START_TEST(starts_out_of_range)
{
  static const int32_t starts_q[] = {INT32_MIN, 2, 2, INT32_MAX}, starts_k[] = {-9, 140, 139, INT32_MAX};
  Call call;
  int32_t *q = call.allocate<int32_t>(4), *k = call.allocate<int32_t>(4);
  std::copy(starts_q, starts_q + 4, q), std::copy(starts_k, starts_k + 4, k);
  fl4_context *ctx = open_emu("emu", variants[_i]);
  call.shape(3, 4, 300, {INT32_MAX, 3, 30});
  call.args.q = call.q, call.args.cu_seqlens_q = q, call.args.cu_seqlens_k = k;
  call.args.total_q = 5, call.args.total_k = 200;
  schedule((uint64_t)_i);
  ck_assert_fl4(fl4_attention_forward(ctx, &call.args, nullptr));
  call.judge({2, 0, 3});
  fl4_context_destroy(&ctx);
}
END_TEST

/* Page numbers that are none are those of the first or the last page. */
START_TEST(pages_out_of_range)
{
  static const int32_t wild[] = {INT32_MIN, INT32_MAX, -1, 5, 1 << 20};
  Call call;
  fl4_context *ctx = open_emu("emu", variants[_i % 3]);
  call.in_pages(_i < 3 ? 8 : 64, 0);
  for (int i = 0; i < MOST_BATCH * COLUMNS; i++)
    call.table[i] = i % 7 == 6 ? (int32_t)call.args.n_pages : wild[i % 7 % 5];
  call.shape(2, 3, 700, {700, 123});
  schedule((uint64_t)_i);
  ck_assert_fl4(fl4_attention_forward(ctx, &call.args, nullptr));
  call.judge();
  fl4_context_destroy(&ctx);
}
END_TEST

/* Short sequences of a long bound are shared out all the same: by their own lengths. */
START_TEST(shared_out_by_lengths)
{
  fl4_context *ctx = open_emu("emu", "decode_mma:warps=1,stages=2,keys=16,rows=8,splits=8");
  Call call;
  call.shape(1, 1, SLOTS, {128}); /* eight blocks of one step */
  schedule(1);
  emu::reset_counts();
  ck_assert_fl4(fl4_attention_forward(ctx, &call.args, nullptr));
  ck_assert_uint_eq(parts_loaded(), 8);
  fl4_context_destroy(&ctx);
}
END_TEST

static TCase *tcase(Suite *s, const char *name)
{
  TCase *t = tcase_create(name);
  tcase_set_timeout(t, 120);
  suite_add_tcase(s, t);
  return t;
}

/* The names of the cases are those that mutants run. */
static Suite *suite()
{
  emu::add_device();
  Suite *s = suite_create("decode_calls");
  TCase *t = tcase(s, "invariant");
  tcase_add_loop_test(t, the_same_in_each_batch, 0, 2);
  tcase_add_loop_test(t, the_same_with_a_window_of_many_splits, 0, 3);
  tcase_add_test(tcase(s, "levels"), the_same_without_groups);
  tcase_add_test(tcase(s, "batches"), random_batches);
  t = tcase(s, "lengths");
  tcase_add_loop_test(t, lengths_beside_pages, 0, 12);
  tcase_add_loop_test(t, lengths_that_change, 0, 4);
  t = tcase(s, "hostile");
  tcase_add_test(t, lengths_out_of_range);
  tcase_add_loop_test(t, starts_out_of_range, 0, 3);
  tcase_add_loop_test(t, pages_out_of_range, 0, 6);
  tcase_add_test(tcase(s, "shares"), shared_out_by_lengths);
  return s;
}

FL4_TEST_MAIN_MODE(suite, CK_NOFORK)

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Numbers in device memory that are none: lengths that fall, are negative or too large, pages that there are not. Kernels
 * take them as the oracle does, clamped; nothing is accessed out of bounds, for each tensor is an allocation of its own; and
 * what belongs to no sequence holds NaN.
 */
#include <algorithm>
#include <climits>
#include <cmath>

#include "backend.h"
extern "C" {
#include "fl4_test.h"
#include "oracle/check.h"
}

enum { B = 3, HQ = 2, D = 16, TOTAL_Q = 230, TOTAL_K = 260, N_PAGES = 11 };

/* What a call is told; empty: that it is not. */
struct Numbers {
  int mask, left, right;
  int page_size;
  std::vector<int32_t> cu_q, cu_k, used, table;
};

/* ---------------------------------------------------------------- tensors */

static int32_t clamp(int64_t x, int64_t least, int64_t most)
{
  return (int32_t)std::min(std::max(x, least), most);
}

struct Sequence {
  int first_query = 0, queries, first_key = 0, keys;
};

/* Tensors are [row][head][d], the keys' of one head; each is as large as the arguments say and no larger. */
struct Call {
  const Numbers &n;
  const int dtype, Sq, Sk;
  fl4_attention_args args = FL4_ATTENTION_ARGS_INIT;
  std::vector<void *> memory;
  std::vector<double> ref, low, lse;
  int query_rows, key_rows, columns = 0;

  Call(const Numbers &numbers, int type, int queries, int keys) : n(numbers), dtype(type), Sq(queries), Sk(keys)
  {
    query_rows = n.cu_q.empty() ? B * Sq : TOTAL_Q;
    key_rows = n.page_size ? N_PAGES * n.page_size : n.cu_k.empty() ? B * Sk : TOTAL_K;
    args.dtype = dtype, args.B = B, args.Hq = HQ, args.Hkv = 1, args.Sq = Sq, args.Sk = Sk, args.D = D;
    args.mask = n.mask, args.window_left = n.left, args.window_right = n.right;
    args.q = tensor(query_rows * HQ * D * 2), args.o = tensor(query_rows * HQ * D * 2);
    args.k = tensor(key_rows * D * 2), args.v = tensor(key_rows * D * 2);
    args.lse = static_cast<float *>(tensor(query_rows * HQ * 4));
    const int64_t of_query[3] = {Sq * HQ * D, D, HQ * D}, of_row[3] = {Sq * HQ, 1, HQ};
    const int64_t of_key[3] = {(n.page_size ? n.page_size : Sk) * D, D, D};
    memcpy(args.q_stride, of_query, sizeof of_query), memcpy(args.o_stride, of_query, sizeof of_query);
    memcpy(args.k_stride, of_key, sizeof of_key), memcpy(args.v_stride, of_key, sizeof of_key);
    memcpy(args.lse_stride, of_row, sizeof of_row);
    args.cu_seqlens_q = numbers_of(n.cu_q), args.cu_seqlens_k = numbers_of(n.cu_k);
    args.seqused_k = numbers_of(n.used);
    if (!n.cu_q.empty()) args.total_q = TOTAL_Q;
    if (!n.cu_k.empty()) args.total_k = TOTAL_K;
    if (n.page_size) use_pages();
    for (int b = 0; b < B; b++) fill(b);
    const size_t rows = (size_t)(B * HQ * Sq);
    ref.resize(rows * D), low.resize(rows * D), lse.resize(rows);
    ck_assert_fl4(fl4_oracle_fp64(&args, NULL, 0, ref.data(), low.data(), lse.data()));
  }
  Call(const Call &) = delete;
  ~Call()
  {
    for (void *m : memory) emu::global_free(m);
  }

  void *tensor(size_t bytes)
  {
    memory.push_back(emu::global_alloc(bytes));
    fl4__canary_fill(memory.back(), bytes); /* which is NaN */
    emu::global_written(memory.back(), bytes);
    return memory.back();
  }

  const int32_t *numbers_of(const std::vector<int32_t> &x)
  {
    if (x.empty()) return nullptr;
    void *to = tensor(x.size() * 4);
    memcpy(to, x.data(), x.size() * 4);
    return static_cast<const int32_t *>(to);
  }

  /* The table's numbers, again and again, of which some are none. */
  void use_pages()
  {
    std::vector<int32_t> table;
    columns = (Sk + n.page_size - 1) / n.page_size;
    for (int i = 0; i < B * columns; i++) table.push_back(n.table[(size_t)i % n.table.size()]);
    args.page_size = n.page_size, args.n_pages = N_PAGES;
    args.block_table = numbers_of(table);
  }

  Sequence sequence(int b) const
  {
    Sequence s = {0, Sq, 0, Sk};
    if (!n.cu_q.empty()) {
      s.first_query = clamp(n.cu_q[b], 0, TOTAL_Q);
      s.queries = clamp(clamp(n.cu_q[b + 1], 0, TOTAL_Q) - s.first_query, 0, Sq);
    }
    if (!n.cu_k.empty()) {
      s.first_key = clamp(n.cu_k[b], 0, TOTAL_K);
      s.keys = clamp(clamp(n.cu_k[b + 1], 0, TOTAL_K) - s.first_key, 0, Sk);
    }
    if (!n.used.empty()) s.keys = clamp(n.used[b], 0, s.keys);
    return s;
  }

  int query_row(const Sequence &s, int b, int i) const { return n.cu_q.empty() ? b * Sq + i : s.first_query + i; }

  int key_row(const Sequence &s, int b, int j) const
  {
    if (!n.cu_k.empty()) return s.first_key + j;
    if (!n.page_size) return b * Sk + j;
    const int32_t page = args.block_table[b * columns + j / n.page_size];
    return clamp(page, 0, N_PAGES - 1) * n.page_size + j % n.page_size;
  }

  /* Data that hang on their place alone, for a page may be that of several. */
  void fill_row(const void *tensor, int first, int seed)
  {
    for (int i = first; i < first + D; i++)
      fl4__store(const_cast<void *>(tensor), dtype, i, (float)((i + seed) * 7919 % 1021) / 256.f - 2.f);
  }

  void fill(int b)
  {
    const Sequence s = sequence(b);
    for (int i = 0; i < s.queries * HQ; i++) fill_row(args.q, (query_row(s, b, i / HQ) * HQ + i % HQ) * D, 1);
    for (int j = 0; j < s.keys; j++)
      fill_row(args.k, key_row(s, b, j) * D, 20000), fill_row(args.v, key_row(s, b, j) * D, 30011);
  }

  /* ---------------------------------------------------------------- the verdict */

  /* Compares a row, and puts the canary back. With `may_lack` it need not have been written. */
  void take_row(fl4__compare *c, int row, int b, int h, int i, bool may_lack)
  {
    uint16_t *o = static_cast<uint16_t *>(args.o) + (row * HQ + h) * D;
    const int64_t at = ((int64_t)b * HQ + h) * Sq + i;
    int64_t place[4] = {b, h, i, 0};
    if (may_lack && std::isnan(fl4__load(o, dtype, 0))) return;
    for (int64_t &d = place[3]; d < D; d++)
      fl4__compare_add(c, place, (double)fl4__load(o, dtype, d), ref[at * D + d], low[at * D + d]);
    fl4__compare_lse(c, (double)args.lse[row * HQ + h], lse[at]);
    fl4__canary_fill(o, D * 2), fl4__canary_fill(&args.lse[row * HQ + h], 4);
  }

  bool untouched(const void *tensor, size_t bytes) const
  {
    std::vector<char> canary(bytes);
    fl4__canary_fill(canary.data(), bytes);
    return memcmp(canary.data(), tensor, bytes) == 0;
  }

  void judge(const std::string &what, bool may_lack)
  {
    fl4_check_result r = FL4_CHECK_RESULT_INIT;
    fl4__compare c;
    fl4__compare_init(&c, dtype, D);
    for (int b = 0; b < B; b++) {
      const Sequence s = sequence(b);
      for (int i = 0; i < s.queries * HQ; i++) take_row(&c, query_row(s, b, i / HQ), b, i % HQ, i / HQ, may_lack);
    }
    fl4__compare_judge(&c, true, &r);
    ck_assert_msg(c.n == 0 || (r.finite && r.accurate && r.lse_accurate),
                  "%s: finite %d, max error %g of %g, LSE error %g; worst at b %d h %d i %d: %g, not %g", what.c_str(),
                  r.finite, r.max_error, r.max_allowed, r.lse_error, (int)r.worst[0], (int)r.worst[1], (int)r.worst[2],
                  r.worst_out, r.worst_ref);
    ck_assert_msg(untouched(args.o, (size_t)(query_rows * HQ * D * 2)) &&
                      untouched(args.lse, (size_t)(query_rows * HQ * 4)),
                  "%s: rows of no sequence are written", what.c_str());
  }
};

/* ---------------------------------------------------------------- families */

static const struct Family {
  const char *name, *device;
  int Sq, Sk;
  const char *variants[3];
} families[] = {
    {"fwd_mma",
     "emu",
     90,
     150,
     {"bm=64,bn=32,warps=4,stages=2,qreg=1,slice=16,weave=0,kgroups=1,splits=1,ctas=1",
      "bm=32,bn=32,warps=2,stages=2,qreg=0,slice=16,weave=1,kgroups=1,splits=1,ctas=1",
      "bm=16,bn=32,warps=2,stages=2,qreg=0,slice=16,weave=0,kgroups=2,splits=4,ctas=1"}},
    {"fwd_wgmma",
     "emu:1",
     90,
     150,
     {"groups=1,bn=48,stages=2,qbuf=1,pingpong=0,sched=1", "groups=2,bn=64,stages=2,qbuf=2,pingpong=1,sched=2",
      "groups=1,bn=80,stages=3,qbuf=1,pingpong=0,sched=0"}},
    {"decode_mma",
     "emu:2",
     5,
     150,
     {"warps=2,stages=2,keys=16,rows=8,splits=3,hint=0", "warps=4,stages=1,keys=32,rows=16,splits=1,hint=1",
      "warps=1,stages=3,keys=16,rows=8,splits=0,hint=0"}},
};

enum { N_FAMILIES = sizeof families / sizeof *families, TYPES = 2, RUNS = N_FAMILIES * TYPES };

static fl4_context *open_family(const Family &f, int variant)
{
  fl4_context_options o = FL4_CONTEXT_OPTIONS_INIT;
  fl4_context *ctx;
  const std::string text = std::string(f.name) + ":" + f.variants[variant % 3];
  o.device = f.device, o.variant = text.c_str();
  ck_assert_fl4(fl4_context_create(&ctx, &o));
  return ctx;
}

static void run(fl4_context *ctx, const std::string &what, const Family &f, const Numbers &n, int dtype, bool may_lack)
{
  Call call(n, dtype, f.Sq, f.Sk);
  const fl4_status status = fl4_attention_forward(ctx, &call.args, NULL);
  ck_assert_msg(status == FL4_OK, "%s: %s", what.c_str(), fl4_last_error());
  call.judge(what, may_lack);
}

/* All of these, which one kernel can do; run number `i` has a family, a type and, with `first`, a variant. */
static void run_all(int i, int first, const std::vector<Numbers> &all, bool may_lack = false)
{
  const Family &f = families[i / TYPES];
  const int variant = (first + i) % 3;
  fl4_context *ctx = open_family(f, variant);
  for (size_t k = 0; k < all.size(); k++) {
    const std::string what = std::string(f.name) + ":" + f.variants[variant] + ", numbers " + std::to_string(k);
    emu::options.seed = (emu::u64)i + k + 1;
    emu::options.copies = (i + k) % 2 ? emu::Copies::early : emu::Copies::late;
    run(ctx, what, f, all[k], i % TYPES ? FL4_DTYPE_BF16 : FL4_DTYPE_FP16, may_lack);
  }
  fl4_context_destroy(&ctx);
}

/* ---------------------------------------------------------------- the numbers */

enum { LEAST = INT32_MIN, MOST = INT32_MAX };

/* Queries and keys that begin before the first row, end behind the last, and are more than there may be; keys that fall. */
START_TEST(ragged)
{
  const int causal = FL4_MASK_CAUSAL;
  run_all(_i, 0,
          {{causal, 0, 0, 0, {-5, 17, 100, MOST}, {LEAST, 40, 39, MOST}, {}, {}},
           {causal, 0, 0, 0, {LEAST, LEAST, 0, TOTAL_Q + 1}, {MOST, 5, -7, MOST}, {}, {}},
           {causal, 0, 0, 0, {3, 64, 64, 66}, {200, 100, 0, TOTAL_K}, {}, {}},
           {causal, 0, 0, 0, {3, 64, TOTAL_Q - 2, MOST}, {TOTAL_K - 60, MOST, TOTAL_K - 80, MOST}, {}, {}},
           {causal, 0, 0, 0, {MOST, MOST, MOST, MOST}, {0, 100, 200, 260}, {}, {}},
           {causal, 0, 0, 0, {LEAST, -1, -1, 0}, {0, 100, 200, 260}, {}, {}}});
}
END_TEST

/* Fewer of those keys in use than none, or more than all. */
START_TEST(ragged_in_use)
{
  const int window = FL4_MASK_WINDOW;
  run_all(_i, 1,
          {{window, 30, 5, 0, {-5, 17, 100, MOST}, {LEAST, 40, 39, MOST}, {MOST, 7, -1}, {}},
           {window, 30, 5, 0, {0, 90, 90, 180}, {-9, 100, 130, TOTAL_K + 9}, {LEAST, 31, 129}, {}}});
}
END_TEST

START_TEST(in_use)
{
  run_all(
      _i, 2,
      {{FL4_MASK_NONE, 0, 0, 0, {}, {}, {-1, 1000, 30}, {}}, {FL4_MASK_NONE, 0, 0, 0, {}, {}, {LEAST, MOST, 0}, {}}});
}
END_TEST

/* Queries that fall are against the rule: rows may be left out, but what is written is right, and belongs to a sequence. */
START_TEST(falling_queries)
{
  const int none = FL4_MASK_NONE;
  run_all(_i, 0,
          {{none, 0, 0, 0, {MOST, -3, 50, 20}, {}, {}, {}},
           {none, 0, 0, 0, {140, 200, 0, 80}, {}, {}, {}},
           {none, 0, 0, 0, {200, 100, 0, -100}, {}, {}, {}},
           {none, 0, 0, 0, {0, MOST, LEAST, 0}, {}, {}, {}}},
          true);
}
END_TEST

/* Pages before the first and behind the last, which are taken for these; what lies behind the keys in use makes no difference. */
START_TEST(pages)
{
  const std::vector<int32_t> table = {LEAST, 3, MOST, N_PAGES, 7, -1, 10, 0, 5};
  const int mask = _i % 2 ? FL4_MASK_CAUSAL : FL4_MASK_NONE;
  run_all(_i, 1,
          {{mask, 0, 0, 16, {}, {}, {-1, 1000, 30}, table},
           {mask, 0, 0, 16, {}, {}, {MOST, 150, LEAST}, {MOST}},
           {mask, 0, 0, 8, {}, {}, {149, 33, 150}, table},
           {mask, 0, 0, 64, {}, {}, {65, 64, 127}, table}});
}
END_TEST

/* Ragged queries of pages, without lengths. */
START_TEST(ragged_pages)
{
  run_all(_i, 2,
          {{FL4_MASK_CAUSAL, 0, 0, 16, {-5, 17, 100, MOST}, {}, {}, {-2, 4, N_PAGES - 1, MOST}},
           {FL4_MASK_CAUSAL, 0, 0, 32, {LEAST, 1, 1, MOST}, {}, {}, {LEAST, 1, N_PAGES, 2, 8}}});
}
END_TEST

/* The most keys that there may be, and a window that begins a hundred before the end of the diagonal and has no end: sums that
 * come near 2^31. All pages are one, so that the last keys are those of a short sequence. */
START_TEST(most_keys)
{
  enum { PAGE = 4096, MOST_KEYS = INT32_MAX / 2, COLUMNS = (MOST_KEYS + PAGE - 1) / PAGE };
  const Family &f = families[_i / TYPES];
  const Numbers n = {FL4_MASK_WINDOW, 100, -1, PAGE, {}, {}, {}, {3}};
  fl4_context *ctx = open_family(f, _i);
  Call call(n, _i % TYPES ? FL4_DTYPE_BF16 : FL4_DTYPE_FP16, f.Sq, MOST_KEYS % PAGE);
  call.args.Sk = MOST_KEYS;
  call.args.block_table = call.numbers_of(std::vector<int32_t>((size_t)B * COLUMNS, 3));
  ck_assert_fl4(fl4_attention_forward(ctx, &call.args, NULL));
  call.judge(f.name, false);
  fl4_context_destroy(&ctx);
}
END_TEST

static Suite *suite()
{
  emu::add_device();
  Suite *s = suite_create("hostile");
  TCase *t = tcase_create("numbers");
  tcase_set_timeout(t, 120);
  tcase_add_loop_test(t, ragged, 0, RUNS);
  tcase_add_loop_test(t, ragged_in_use, 0, RUNS);
  tcase_add_loop_test(t, in_use, 0, RUNS);
  tcase_add_loop_test(t, falling_queries, 0, RUNS);
  tcase_add_loop_test(t, pages, 0, RUNS);
  tcase_add_loop_test(t, ragged_pages, 0, RUNS);
  tcase_add_loop_test(t, most_keys, 0, RUNS);
  suite_add_tcase(s, t);
  return s;
}

FL4_TEST_MAIN_MODE(suite, CK_NOFORK)

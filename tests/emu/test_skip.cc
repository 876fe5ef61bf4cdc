/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Masks of bytes that hide whole key tiles, on the emulated GPU: the lists that mask_tiles.cu makes, and the kernels that walk
 * them. Hidden keys and values are read by nobody, so where a tile is hidden from all they may be NaN.
 */
#include <algorithm>
#include <cstring>
#include <vector>

#include "backend.h"
#include "feature_rig.h"
extern "C" {
#include "context.h"
#include "fl4_test.h"
#include "tile_lists.h"
#include "util/random.h"
}

static const char *const variants[] = {
    "fwd_mma:bm=64,bn=32,warps=4,stages=2,qreg=1,slice=16,weave=0,kgroups=1,splits=1,ctas=1",
    "fwd_mma:bm=32,bn=32,warps=2,stages=3,qreg=0,slice=16,weave=1,kgroups=1,splits=1,ctas=1",
    "fwd_mma:bm=16,bn=32,warps=2,stages=2,qreg=0,slice=16,weave=0,kgroups=2,splits=4,ctas=1",
    "fwd_wgmma:groups=1,bn=64,stages=2,qbuf=1,pingpong=0,sched=0",
    "fwd_wgmma:groups=2,bn=48,stages=2,qbuf=2,pingpong=1,sched=2",
    "fwd_wgmma:groups=2,bn=80,stages=3,qbuf=1,pingpong=1,sched=1",
    "fwd_wgmma:groups=2,bn=48,stages=2,qbuf=1,pingpong=1,sched=0,splits=3",
    "fwd_mma:bm=64,bn=32,warps=4,stages=2,qreg=0,slice=16,weave=0,kgroups=1,share=1,splits=1,ctas=1",
};
enum { N_VARIANTS = sizeof variants / sizeof *variants, N_CASES = 8 * N_VARIANTS };
static const char *const cases[N_VARIANTS] = {"mma",   "mma_weaving", "mma_splits", "wgmma",
                                              "wgmma_tickets", "wgmma_turns", "wgmma_splits", "mma_sharing"};

static fl4_context *context(const char *variant)
{
  fl4_context_options o = FL4_CONTEXT_OPTIONS_INIT;
  fl4_context *ctx;
  o.device = strncmp(variant, "fwd_wgmma", 9) == 0 ? "emu:1" : "emu", o.variant = variant;
  ck_assert_fl4(fl4_context_create(&ctx, &o));
  return ctx;
}

/* Each variant with each kind of mask: of its own, or the same for batches, heads, queries; with all that bounds keys beside. */
static void run(int i)
{
  static const int broadcasts[] = {3, 0, 1, 2, 7, 3, 0, 8};
  const char *variant = variants[i % N_VARIANTS];
  const int n = i / N_VARIANTS;
  feature_case c = {};
  c.dtype = i % 2 ? FL4_DTYPE_FP16 : FL4_DTYPE_BF16;
  c.B = 2, c.Hq = 4, c.Hkv = 2, c.Sq = 130 + 7 * n, c.Sk = n % 2 ? 333 : 16 * 20, c.D = n % 3 ? 32 : 40;
  c.bias = 1 + FL4_BIAS_BOOL, c.broadcast = broadcasts[n], c.blocks = n == 4 ? 60 : 100, c.lse = n % 2;
  c.seed = (uint64_t)i;
  if (strstr(variant, "share=1")) c.D = 64;
  switch (n) {
  case 1: c.mask = FL4_MASK_CAUSAL; break;
  case 2: c.mask = FL4_MASK_WINDOW, c.left = 150, c.right = 40; break;
  case 3: c.used_k = c.edges = true, c.mask = FL4_MASK_CAUSAL; break;
  case 5: c.used_k = true, c.page_size = 16, c.sinks = true; break;
  case 6: c.softcap = 4, c.alibi = true, c.mask = FL4_MASK_WINDOW, c.left = 90, c.right = -1; break;
  }
  fl4__fewest_scores_to_skip = 0;
  fl4_context *ctx = context(variant);
  emu::options.seed = c.seed + 1;
  emu::options.copies = c.seed % 2 ? emu::Copies::early : emu::Copies::late;
  char text[256], why[512];
  feature_describe(&c, text);
  const bool is_right = feature_run(ctx, &c, nullptr, why);
  ck_assert_msg(is_right, "%s: %s %s", text, variant, why);
  fl4_context_destroy(&ctx);
}

START_TEST(right)
{
  run(_i);
}
END_TEST

/* Some of these, for the mutants: a mask of each head and sequence with a causal one, a window, and one of which much is hidden. */
START_TEST(some_right)
{
  run(N_VARIANTS + _i), run(2 * N_VARIANTS + _i), run(4 * N_VARIANTS + _i);
}
END_TEST

/* Two thirds of the squares are hidden: what is left is less than half of the work, as no tile is larger than a square. */
START_TEST(less_work)
{
  feature_case c = {};
  c.B = 1, c.Hq = c.Hkv = 2, c.Sq = 192, c.Sk = 512, c.D = 32, c.bias = 1 + FL4_BIAS_BOOL, c.blocks = 64, c.seed = 3;
  if (_i % 2) c.mask = FL4_MASK_CAUSAL;
  uint64_t products[2];
  for (int all = 0; all < 2; all++) {
    fl4__fewest_scores_to_skip = all ? INT64_MAX : 0;
    fl4_context *ctx = context(_i < 2 ? variants[0] : variants[3]);
    char why[512];
    emu::reset_counts();
    const bool is_right = feature_run(ctx, &c, nullptr, why);
    ck_assert_msg(is_right, "%s", why);
    products[all] = emu::counts().mma;
    fl4_context_destroy(&ctx);
  }
  ck_assert_msg(2 * products[0] < products[1], "%llu products in place of %llu", (unsigned long long)products[0],
                (unsigned long long)products[1]);
}
END_TEST

/* ---------------------------------------------------------------- the lists */

struct Mask {
  int B, H, Sq, Sk, row_pad, shift; /* row_pad: bytes between rows; shift: how far its first byte is from a multiple of 16 */
  bool of_b, of_h, of_i, of_j;      /* else the same for all */
  int mask, left, right;            /* as fl4_mask has it */
  int tile_rows, tile_keys;
  std::vector<int32_t> used;        /* or none */
  std::vector<unsigned char> bytes;
  int64_t stride[4];
};

static void make_bytes(Mask *m, fl4__random *random, int one_in)
{
  m->stride[3] = m->of_j;
  m->stride[2] = m->of_i ? (m->of_j ? m->Sk : 1) + m->row_pad : 0;
  m->stride[1] = m->of_h ? m->Sq * std::max<int64_t>(m->stride[2], m->Sk) : 0;
  m->stride[0] = m->of_b ? m->H * std::max<int64_t>(m->stride[1], m->Sq * (m->Sk + m->row_pad)) : 0;
  int64_t last = 0;
  const int n[4] = {m->B, m->H, m->Sq, m->Sk};
  for (int d = 0; d < 4; d++) last += (n[d] - 1) * m->stride[d];
  m->bytes.resize((size_t)last + 1);
  /* Bytes few of which differ from most: 0 in some masks, in others not. */
  const bool mostly_shown = fl4__random_below(random, 3) == 0;
  for (unsigned char &x : m->bytes) x = (fl4__random_below(random, (uint32_t)one_in) == 0) != mostly_shown ? 0x80 : 0;
}

static bool shown(const Mask &m, int b, int h, int i, int j)
{
  return m.bytes[(size_t)(b * m.stride[0] + h * m.stride[1] + i * m.stride[2] + j * m.stride[3])] != 0;
}

/*
 * By the definition: the tiles where a row is shown a key, of those from the first to the last that its rows may see; each as
 * twice its number, and one more if a key is hidden from a row there.
 */
static std::vector<int32_t> expected(const Mask &m, int b, int h, int row_tile)
{
  const int keys = m.used.empty() ? m.Sk : m.used[(size_t)b], shift = keys - m.Sq;
  const int first = row_tile * m.tile_rows, last = std::min(first + m.tile_rows, m.Sq) - 1;
  int begin = 0, end = keys;
  if (m.mask == FL4_MASK_CAUSAL) end = std::clamp(last + shift + 1, 0, keys);
  if (m.mask == FL4_MASK_WINDOW) begin = std::clamp(first + shift - m.left, 0, keys), end = std::clamp(last + shift + m.right + 1, 0, keys);
  std::vector<int32_t> tiles;
  for (int tile = begin / m.tile_keys; tile * m.tile_keys < end; tile++) {
    bool any = false, all = true;
    for (int i = first; i <= last; i++)
      for (int j = tile * m.tile_keys; j < std::min((tile + 1) * m.tile_keys, end); j++) {
        any |= shown(m, b, h, i, j);
        all &= shown(m, b, h, i, j);
      }
    if (any) tiles.push_back(2 * tile + !all);
  }
  return tiles;
}

static void check_lists(fl4_context *ctx, const Mask &m, int n)
{
  fl4__device *d = ctx->device;
  fl4__plan plan = {};
  fl4_fwd_params params = {};
  fl4__tile_lists lists;
  ck_assert_fl4(fl4__variant_parse(variants[0], &plan.variant));
  plan.problem.features = FL4__FEATURE_BIAS | (m.used.empty() ? 0 : FL4__FEATURE_USED_K);
  if (m.mask == FL4_MASK_WINDOW) plan.problem.features |= FL4__FEATURE_WINDOW;
  plan.problem.skips = 1, plan.problem.Sk = m.Sk;
  plan.problem.mask = m.mask == FL4_MASK_CAUSAL ? FL4_MASK_CAUSAL : FL4_MASK_NONE;
  plan.geometry.tile_rows = m.tile_rows, plan.geometry.tile_keys = m.tile_keys;
  plan.geometry.row_tiles = params.row_tiles = (m.Sq + m.tile_rows - 1) / m.tile_rows;
  params.B = m.B, params.Hq = m.H, params.Hkv = 1, params.Sq = m.Sq, params.Sk = m.Sk;
  params.window_left = m.left, params.window_right = m.right;
  std::copy(m.stride, m.stride + 4, params.bias_stride);

  void *bytes, *used = nullptr, *workspace;
  ck_assert_fl4(d->backend->alloc(d, m.bytes.size() + 16, &bytes));
  unsigned char *const first = (unsigned char *)bytes + m.shift;
  ck_assert_fl4(d->backend->upload(d, first, m.bytes.data(), m.bytes.size()));
  params.bias = (uintptr_t)first;
  if (!m.used.empty()) {
    ck_assert_fl4(d->backend->alloc(d, m.used.size() * 4, &used));
    ck_assert_fl4(d->backend->upload(d, used, m.used.data(), m.used.size() * 4));
    params.used_k = (uintptr_t)used;
  }
  ck_assert_fl4(fl4__tile_lists_plan(&plan, &params, &lists));
  ck_assert_int_eq(lists.batches, (m.of_b || used) && m.B > 1 ? m.B : lists.batches);
  ck_assert_int_eq(lists.heads, m.of_h ? m.H : 1);
  ck_assert_uint_ge(lists.offset, FL4_TICKET_BYTES);
  ck_assert_uint_eq(plan.geometry.workspace_bytes, lists.offset + lists.bytes);
  ck_assert_fl4(d->backend->alloc(d, plan.geometry.workspace_bytes, &workspace));
  ck_assert_fl4(fl4__tile_lists_make(d, &plan, &lists, &params, workspace, NULL));
  for (int b = 0; b < m.B; b++)
    for (int h = 0; h < m.H; h++)
      for (int tile = 0; tile < params.row_tiles; tile++) {
        const std::vector<int32_t> want = expected(m, b, h, tile);
        const int64_t at = b * params.list_stride[0] + h * params.list_stride[1] + tile * params.list_stride[2];
        const int32_t *list = (const int32_t *)((char *)workspace + lists.offset) + at;
        const bool is_right = want.empty() ? list[1] > 0 && list[1] % 2 == 1 && list[1] / 2 * m.tile_keys < std::max(m.Sk, 1)
                                           : std::equal(want.begin(), want.end(), list + 1);
        ck_assert_msg(list[0] == (int)want.size() && is_right, "mask %d, batch %d, head %d, row tile %d", n, b, h, tile);
      }
  d->backend->release(d, bytes), d->backend->release(d, workspace);
  if (used) d->backend->release(d, used);
}

/* Sizes beside tiles, rows at any byte, all that may be broadcast, more tiles than a block has threads, nothing shown at all. */
static Mask random_mask(int n)
{
  static const int tile_keys[] = {16, 48, 80, 64, 192, 16}, tile_rows[] = {16, 64, 128, 192};
  fl4__random random;
  fl4__random_init(&random, (uint64_t)n);
  const auto below = [&](int most) { return (int)fl4__random_below(&random, (uint32_t)most); };
  const bool is_long = n % 10 == 9;
  Mask m = {};
  m.B = is_long ? 1 : 1 + below(3), m.H = is_long ? 1 : 1 + below(3);
  m.Sq = 1 + below(is_long ? 40 : 250), m.Sk = is_long ? 5000 : 1 + below(900);
  m.row_pad = n % 3 == 0 ? (16 - m.Sk % 16) % 16 : below(40), m.shift = n % 3 == 0 ? 0 : below(16);
  m.of_b = below(2), m.of_h = below(2), m.of_i = below(4) > 0, m.of_j = below(6) > 0;
  m.mask = below(3), m.left = below(m.Sk), m.right = below(m.Sk);
  m.tile_rows = tile_rows[below(4)], m.tile_keys = tile_keys[below(6)];
  if (n % 4 == 1)
    for (int b = 0; b < m.B; b++) m.used.push_back(b ? below(m.Sk + 1) : 0);
  make_bytes(&m, &random, n % 7 == 6 ? 1 << 30 : 1 + m.tile_keys * (m.of_i ? m.tile_rows : 1) * (1 + below(3)));
  return m;
}

START_TEST(lists)
{
  enum { N_MASKS = 60 };
  fl4_context *ctx = context(variants[0]);
  for (int i = 0; i < N_MASKS; i++) {
    Mask m = random_mask(i);
    emu::options.seed = (uint64_t)i + 1;
    check_lists(ctx, m, i);
  }
  fl4_context_destroy(&ctx);
}
END_TEST

/* A workspace of the caller's, used again for calls with other lists and with none, whose tickets must still be 0. */
START_TEST(workspace_again)
{
  fl4_context *ctx = context(variants[2]);
  fl4_attention_args a = FL4_ATTENTION_ARGS_INIT;
  a.B = 1, a.Hq = a.Hkv = 1, a.Sq = 40, a.Sk = 256, a.D = 32, a.dtype = FL4_DTYPE_FP16;
  fl4__device *d = ctx->device;
  const size_t bytes = 256 * 32 * 2;
  void *q, *k, *v, *o, *mask, *workspace;
  size_t with, without;
  std::vector<unsigned char> zero(bytes), shows(40 * 256, 1);
  for (void **at : {&q, &k, &v, &o}) {
    ck_assert_fl4(d->backend->alloc(d, bytes, at));
    ck_assert_fl4(d->backend->upload(d, *at, zero.data(), bytes));
  }
  ck_assert_fl4(d->backend->alloc(d, shows.size(), &mask));
  ck_assert_fl4(d->backend->upload(d, mask, shows.data(), shows.size()));
  a.q = q, a.k = k, a.v = v, a.o = o;
  ck_assert_fl4(fl4_attention_workspace_size(ctx, &a, &without));
  fl4_attention_args b = a;
  b.bias = mask, b.bias_type = FL4_BIAS_BOOL;
  fl4__fewest_scores_to_skip = INT64_MAX;
  ck_assert_fl4(fl4_attention_workspace_size(ctx, &b, &with));
  ck_assert_uint_eq(with, without);
  fl4__fewest_scores_to_skip = 0;
  ck_assert_fl4(fl4_attention_workspace_size(ctx, &b, &with));
  ck_assert_uint_gt(with, without);
  ck_assert_fl4(d->backend->scratch_take(d, with, NULL, &workspace));
  a.workspace = b.workspace = workspace, a.workspace_size = b.workspace_size = with;
  for (int i = 0; i < 6; i++) ck_assert_fl4(fl4_attention_forward(ctx, i % 2 ? &b : &a, NULL));
  b.workspace_size = with - 1;
  ck_assert_fl4_fails(fl4_attention_forward(ctx, &b, NULL), FL4_WORKSPACE_TOO_SMALL, "workspace_size: is");
  b.flags = FL4_BATCH_INVARIANT; /* whose results may not depend on how large the batch is */
  ck_assert_fl4(fl4_attention_workspace_size(ctx, &b, &with));
  ck_assert_uint_le(with, without);
  d->backend->scratch_give(d, workspace, with, NULL);
  for (void *at : {q, k, v, o, mask}) d->backend->release(d, at);
  fl4_context_destroy(&ctx);
}
END_TEST

/* More lists than a launch has blocks. */
START_TEST(too_many)
{
  fl4__plan plan = {};
  fl4_fwd_params params = {};
  fl4__tile_lists lists;
  ck_assert_fl4(fl4__variant_parse(variants[0], &plan.variant));
  plan.problem.features = FL4__FEATURE_BIAS, plan.problem.skips = 1, plan.problem.Sk = 1000;
  plan.geometry.row_tiles = 1 << 11, plan.geometry.tile_rows = plan.geometry.tile_keys = 16;
  params.B = params.Hq = 1 << 10, params.bias_stride[0] = params.bias_stride[1] = 1;
  ck_assert_fl4_fails(fl4__tile_lists_plan(&plan, &params, &lists), FL4_UNSUPPORTED,
                      "fl4_attention_args.bias: has 2147483648 row tiles of its own, may have 2147483647");
  plan.geometry.row_tiles--;
  ck_assert_fl4(fl4__tile_lists_plan(&plan, &params, &lists));
}
END_TEST

static Suite *suite()
{
  emu::add_device();
  Suite *s = suite_create("skip");
  TCase *of_lists = tcase_create("lists"), *of_kernels = tcase_create("kernels");
  tcase_set_timeout(of_lists, 120), tcase_set_timeout(of_kernels, 120);
  tcase_add_test(of_lists, lists);
  tcase_add_test(of_lists, workspace_again);
  tcase_add_test(of_lists, too_many);
  tcase_add_loop_test(of_kernels, less_work, 0, 4);
  tcase_add_loop_test(of_kernels, right, 0, N_CASES);
  suite_add_tcase(s, of_lists);
  suite_add_tcase(s, of_kernels);
  for (int v = 0; v < N_VARIANTS; v++) {
    TCase *t = tcase_create(cases[v]);
    tcase_set_timeout(t, 120);
    tcase_add_loop_test(t, some_right, v, v + 1);
    suite_add_tcase(s, t);
  }
  return s;
}

FL4_TEST_MAIN_MODE(suite, CK_NOFORK)

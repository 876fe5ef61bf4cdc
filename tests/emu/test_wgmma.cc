/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Matrix products of a warpgroup: what they compute, from tiles that come by copies; and each way to ask for them too
 * early, too late or wrongly.
 */
#include <atomic>
#include <mutex>

#include "test_hopper.h"

/* ---------------------------------------------------------------- a pipeline */

enum { D = 80, PAGES = 2, STAGES = 3, ROWS = 64, THREADS = 256 };
enum { Q_PAGE = ROWS * 128, Q_BYTES = PAGES * Q_PAGE };

/* What is wrong with it. */
enum Flaw {
  NOTHING,
  PARITY,       /* that of the next phase */
  ANNOUNCE,     /* the bytes are not */
  ONE_PAGE,     /* half of them are not */
  EARLY,        /* the stage is released before its product is waited for */
  ONE_WARP,     /* and by one warp of four */
  FENCE,
  WAIT,
  COMMIT,
  PAGE_STRIDE,  /* of K */
  COLUMN_STEP,  /* 16 bytes instead of 32 */
};

/* Small whole numbers, so that sums are exact. */
static float number(emu::u64 i)
{
  return (float)(i * 7919 % 9) - 4;
}

struct Pipeline {
  int n, tiles;
  bool bf16;
  Flaw flaw;
  const Tensor q, k;
  std::atomic<int> wrong{0}; /* elements */

  Pipeline(int n, int tiles, bool bf16, Flaw flaw)
      : n(n), tiles(tiles), bf16(bf16), flaw(flaw), q(D, ROWS, 1, 1, ROWS, elements()),
        k(D, (emu::u64)(n * tiles - 3), 1, 1, n, elements()) /* the last rows are outside */
  {
  }
  std::function<u16(emu::u64)> elements() const
  {
    const bool b = bf16;
    return [b](emu::u64 i) { return b ? emu::to_bf16(number(i)) : emu::to_half(number(i)); };
  }
  float value(u16 x) const { return bf16 ? emu::from_bf16(x) : emu::from_half(x); }
  int tile_bytes() const { return PAGES * n * 128; }
  size_t smem() const { return (size_t)(Q_BYTES + STAGES * tile_bytes() + 64); }

  u32 tile_at(int slot) const { return smem_base() + (u32)(Q_BYTES + slot * tile_bytes()); }
  u32 barrier(int i) const { return tile_at(STAGES) + 8 * (u32)i; } /* q, full, empty */
  u32 full(int slot) const { return barrier(1 + slot); }
  u32 empty(int slot) const { return barrier(1 + STAGES + slot); }

  void load(u32 to, u32 at, const Tensor &t, int rows, int row)
  {
    const u32 bytes = (u32)(PAGES * rows * 128);
    if (flaw == ANNOUNCE) mbarrier_arrive(at);
    else mbarrier_arrive_expect(at, flaw == ONE_PAGE ? bytes / PAGES : bytes);
    for (int page = 0; page < PAGES; page++) tma_load(to + (u32)(page * rows * 128), &t.map, at, page * 64, row, 0, 0);
  }

  void produce()
  {
    load(smem_base(), barrier(0), q, ROWS, 0);
    for (int i = 0; i < tiles; i++) {
      const int slot = i % STAGES;
      mbarrier_wait(empty(slot), (u32)(i / STAGES + 1) & 1);
      load(tile_at(slot), full(slot), k, n, i * n);
    }
  }

  template <int N> void multiply(float (&d)[N / 2], int slot)
  {
    const u32 a = wgmma_matrix(smem_base(), 16), b = wgmma_matrix(tile_at(slot), 16);
    const int k_page = flaw == PAGE_STRIDE ? n * 128 + 1024 : n * 128;
    const u32 step = flaw == COLUMN_STEP ? WGMMA_NEXT_COLUMNS / 2 : WGMMA_NEXT_COLUMNS;
    for (u32 i = 0; i < D / 16; i++)
      emu::wgmma_shared({"test_wgmma.cc", __LINE__, "wgmma"}, d, N, a + i / 4 * (Q_PAGE >> 4) + i % 4 * step,
                        b + i / 4 * ((u32)k_page >> 4) + i % 4 * step, i > 0, bf16);
  }

  template <int N> void compute()
  {
    const int warp = thread_index() / 32, g = thread_index() % 32 / 4, t = thread_index() % 4;
    const auto release = [&](int slot) {
      if (thread_index() % 32 == 0 && (flaw != ONE_WARP || warp == 2)) mbarrier_arrive(empty(slot));
    };
    mbarrier_wait(barrier(0), 0);
    for (int i = 0; i < tiles; i++) {
      const int slot = i % STAGES;
      float d[N / 2];
      mbarrier_wait(full(slot), (u32)(i / STAGES + (flaw == PARITY)) & 1);
      if (flaw != FENCE) wgmma_fence();
      multiply<N>(d, slot);
      if (flaw != COMMIT) wgmma_commit();
      if (flaw == EARLY) release(slot);
      if (flaw != WAIT) wgmma_wait<0>();
      if (flaw != EARLY) release(slot);
      for (int r = 0; r < N / 2; r++) {
        const int row = warp * 16 + g + r / 2 % 2 * 8, column = i * N + r / 4 * 8 + 2 * t + r % 2;
        float sum = 0;
        for (int c = 0; c < D; c++) sum += value(q.at(c, row, 0, 0)) * value(k.at(c, column, 0, 0));
        if (!(d[r] == sum)) wrong++;
      }
    }
  }

  template <int N> void kernel()
  {
    if (thread_index() == 0) {
      mbarrier_init(barrier(0), 1);
      for (int slot = 0; slot < STAGES; slot++)
        mbarrier_init(full(slot), 1), mbarrier_init(empty(slot), flaw == ONE_WARP ? 1 : 4);
      mbarrier_init_fence();
    }
    block_barrier();
    if (warpgroup_index() == 0) compute<N>();
    else if (thread_index() == 128) produce();
  }

  template <int N> std::string run(emu::u64 seed)
  {
    return ::run([this] { kernel<N>(); }, THREADS, {seed, seed % 3 ? emu::Copies::late : emu::Copies::early}, smem());
  }
};

template <int N> static void check_products()
{
  for (int bf16 = 0; bf16 < 2; bf16++)
    for (emu::u64 seed = 0; seed < 3; seed++) {
      Pipeline p(N, 2 + STAGES, bf16, NOTHING);
      ck_assert_sound(p.run<N>(seed));
      ck_assert_int_eq(p.wrong, 0);
    }
}

START_TEST(products)
{
  check_products<8>();
  check_products<64>();
  check_products<80>();
  check_products<128>();
  check_products<256>();
}
END_TEST

/* Each flaw is an error for one of these reasons, or else makes the result wrong, if `may_be_wrong`. */
static void check_flaw(Flaw flaw, int tiles, bool may_be_wrong, std::vector<std::string> reasons)
{
  for (emu::u64 seed = 0; seed < 12; seed++) {
    Pipeline p(64, tiles, false, flaw);
    const std::string error = p.run<64>(seed);
    bool noticed = may_be_wrong && error.empty() && p.wrong > 0;
    for (const std::string &reason : reasons) noticed |= error.find(reason) != std::string::npos;
    ck_assert_msg(noticed, "flaw %d, seed %d: \"%s\", %d wrong", flaw, (int)seed, error.c_str(), (int)p.wrong);
  }
}

START_TEST(flaws_of_the_pipeline)
{
  enum { ALL = 3 * STAGES };
  check_flaw(PARITY, ALL, false, {"nobody wrote it", "while an asynchronous copy", "has not waited", "deadlock"});
  check_flaw(ANNOUNCE, ALL, false,
             {"while an asynchronous copy", "has not waited", "wrong transaction count", "nobody wrote it"});
  check_flaw(ONE_PAGE, ALL, false, {"while an asynchronous copy", "has not waited", "wrong transaction count"});
  check_flaw(EARLY, ALL, false, {"and has not been waited for", "it is still being read"});
  check_flaw(ONE_WARP, ALL, false, {"and has not been waited for", "it is still being read"});
  check_flaw(FENCE, ALL, false, {"no wgmma_fence since the last wait"});
  check_flaw(WAIT, ALL, false, {"and has not been waited for", "no wgmma_fence"});
  check_flaw(WAIT, 1, false, {"a product that was never waited for"});
  check_flaw(COMMIT, 1, false, {"a product that was never committed"});
  check_flaw(PAGE_STRIDE, ALL, true, {"nobody wrote it", "while an asynchronous copy", "has not waited"});
  check_flaw(COLUMN_STEP, ALL, true, {});
}
END_TEST

/* ---------------------------------------------------------------- from registers */

/* Weights of 64 rows and 32 keys, times values. */
template <int N> static void weigh(const Tensor &v, bool bf16, u32 page_bytes, int *wrong)
{
  enum { KEYS = 32 };
  const int warp = thread_index() / 32, g = thread_index() % 32 / 4, t = thread_index() % 4;
  const auto weight = [](int row, int key) { return number((emu::u64)(row * 131 + key * 17 + row * key)); };
  const auto packed = [&](int row, int key) {
    const float x = weight(row, key), y = weight(row, key + 1);
    return bf16 ? emu::to_bf16(x) | (u32)emu::to_bf16(y) << 16 : emu::to_half(x) | (u32)emu::to_half(y) << 16;
  };
  const u32 barrier = smem_base() + 4 * KEYS * 128, matrix = wgmma_matrix(smem_base(), page_bytes);
  if (thread_index() == 0) mbarrier_init(barrier, 1), mbarrier_init_fence();
  block_barrier();
  if (thread_index() == 0) {
    mbarrier_arrive_expect(barrier, 4 * KEYS * 128);
    for (int page = 0; page < 4; page++)
      tma_load(smem_base() + (u32)(page * KEYS * 128), &v.map, barrier, page * 64, 0, 0, 0);
  }
  mbarrier_wait(barrier, 0);
  float d[N / 2];
  const int row = warp * 16 + g;
  for (int i = 0; i < N / 2; i++) d[i] = (float)(i + thread_index());
  wgmma_fence();
  for (int k = 0; k < KEYS; k += 16) {
    const u32 a[4] = {packed(row, k + 2 * t), packed(row + 8, k + 2 * t), packed(row, k + 2 * t + 8),
                      packed(row + 8, k + 2 * t + 8)};
    emu::wgmma_registers({"test_wgmma.cc", __LINE__, "wgmma"}, d, N, a, matrix + (u32)k / 16 * WGMMA_NEXT_ROWS, bf16);
  }
  wgmma_commit(), wgmma_wait<0>();
  for (int i = 0; i < N / 2; i++) {
    float sum = (float)(i + thread_index());
    for (int key = 0; key < KEYS; key++) {
      const u16 x = v.at(i / 4 * 8 + 2 * t + i % 2, key, 0, 0);
      sum += weight(row + i / 2 % 2 * 8, key) * (bf16 ? emu::from_bf16(x) : emu::from_half(x));
    }
    if (!(d[i] == sum)) ++*wrong;
  }
}

template <int N> static int count_wrong(bool bf16, u32 page_bytes, std::string *error, emu::u64 seed)
{
  const Tensor v(N, 32, 1, 1, 32, [=](emu::u64 i) { return bf16 ? emu::to_bf16(number(i)) : emu::to_half(number(i)); });
  int all = 0;
  std::mutex lock;
  *error = run([&] {
    int mine = 0;
    weigh<N>(v, bf16, page_bytes, &mine);
    const std::lock_guard<std::mutex> guard(lock);
    all += mine;
  }, 128, {seed, seed % 2 ? emu::Copies::late : emu::Copies::early}, 4 * 32 * 128 + 8);
  return all;
}

template <int N> static void check_weighing()
{
  for (emu::u64 seed = 0; seed < 4; seed++) {
    std::string error;
    ck_assert_int_eq(count_wrong<N>(seed / 2, 32 * 128, &error, seed), 0);
    ck_assert_sound(error);
    if (N <= 64) continue;
    ck_assert_int_gt(count_wrong<N>(seed / 2, 31 * 128, &error, seed), 0); /* another page stride */
    ck_assert_sound(error);
    count_wrong<N>(seed / 2, 128 * 128, &error, seed);
    ck_assert_says(error, "out of bounds");
  }
}

START_TEST(products_from_registers)
{
  check_weighing<8>();
  check_weighing<64>();
  check_weighing<80>();
  check_weighing<128>();
  check_weighing<256>();
}
END_TEST

/* ---------------------------------------------------------------- rules */

enum { TILE = 64 * 128 }; /* of 64 rows, at the start of shared memory; barriers behind it */
enum { RULES_SMEM = TILE + 1024 };

/* All products are of this tile with itself. */
static const Tensor &ones()
{
  static const Tensor t(64, 64, 1, 1, 64, [](emu::u64) { return emu::to_half(1); });
  return t;
}

static u32 tile_barrier() { return smem_base() + TILE; }

static void load_tile()
{
  if (thread_index() == 0) mbarrier_init(tile_barrier(), 1), mbarrier_init_fence();
  block_barrier();
  if (thread_index() == 0) {
    mbarrier_arrive_expect(tile_barrier(), TILE);
    tma_load(smem_base(), &ones().map, tile_barrier(), 0, 0, 0, 0);
  }
  mbarrier_wait(tile_barrier(), 0);
}

static void multiply(float (&d)[4], int add, int column = 0, FL4_SITE)
{
  const u32 m = wgmma_matrix(smem_base(), 16) + (u32)column / 16 * WGMMA_NEXT_COLUMNS;
  emu::wgmma_shared(FL4_AT("wgmma"), d, 8, m, m, add, false);
}

static void check_rule(std::function<void()> body, std::vector<std::string> reasons = {})
{
  check(body, reasons, 128, RULES_SMEM);
}

static bool all(const float (&d)[4], float x)
{
  for (float y : d)
    if (!(y == x || (x != x && y != y))) return false;
  return true;
}

/* Until it is waited for there is NaN; a later product on the same accumulators keeps it so. */
START_TEST(when_results_are_there)
{
  check_rule([] {
    float a[4] = {1, 1, 1, 1}, b[4];
    load_tile();
    wgmma_fence();
    multiply(a, 1), wgmma_commit();
    multiply(b, 0), wgmma_commit();
    if (!all(a, NAN) || !all(b, NAN)) abort();
    wgmma_wait<1>();
    wgmma_arrived(a);
    if (!all(a, 17) || !all(b, NAN)) abort();
    wgmma_wait<0>();
    wgmma_arrived(b);
    if (!all(b, 16)) abort();
  });
  check_rule([] {
    float a[4] = {1, 2, 3, 4};
    load_tile();
    wgmma_fence();
    multiply(a, 0), multiply(a, 1, 16), wgmma_commit();
    multiply(a, 1, 32), wgmma_commit();
    wgmma_wait<1>();
    if (!all(a, NAN)) abort();
    wgmma_wait<0>();
    if (!all(a, 48)) abort();
    wgmma_fence();
    multiply(a, 1, 48); /* not committed: a wait does not wait for it */
    wgmma_wait<0>();
    if (!all(a, NAN)) abort();
    wgmma_commit(), wgmma_wait<0>();
    if (!all(a, 64)) abort();
  });
  check_rule([] {
    float a[4];
    load_tile();
    wgmma_fence(), multiply(a, 0), wgmma_commit();
    wgmma_arrived(a);
  }, {"the accumulators are of a product that has not been waited for"});
}
END_TEST

START_TEST(when_registers_are_fenced)
{
  check_rule([] {
    float a[4];
    load_tile();
    for (int i = 0; i < 2; i++) {
      if (i == 0) wgmma_fence();
      multiply(a, 0), wgmma_commit(), wgmma_wait<0>();
    }
  }, {"no wgmma_fence since the last wait"});
  check_rule([] {
    float a[4];
    load_tile();
    if (thread_index() != 77) wgmma_fence();
    multiply(a, 0), wgmma_commit(), wgmma_wait<0>();
  }, {"thread 77 (warp 2, lane 13), test_wgmma.cc:"});
}
END_TEST

/* Operands belong to a product until it has been waited for, and then to its warps until they have released them. */
START_TEST(when_operands_may_change)
{
  check_rule([] {
    float a[4];
    load_tile();
    wgmma_fence(), multiply(a, 0), wgmma_commit();
    if (thread_index() == 0) store_shared_32(smem_base(), 0);
    wgmma_wait<0>();
  }, {"a product of test_wgmma.cc:", "and has not been waited for"});
  for (int waits = 0; waits < 2; waits++)
    check_rule([=] {
      float a[4];
      load_tile();
      wgmma_fence(), multiply(a, 0), wgmma_commit(), wgmma_wait<0>();
      if (waits) block_barrier();
      meet();
      if (thread_index() == 100) store_shared_32(smem_base(), 0);
    }, waits ? std::vector<std::string>() : std::vector<std::string>{"it is still being read at test_wgmma.cc:"});
}
END_TEST

/* By all lanes of all warps, not only by those that ask for the product first. */
START_TEST(when_operands_are_seen)
{
  check_rule([] {
    float a[4];
    if (thread_index() == 0) mbarrier_init(tile_barrier(), 1), mbarrier_init_fence();
    block_barrier();
    if (thread_index() == 0) {
      mbarrier_arrive_expect(tile_barrier(), TILE);
      tma_load(smem_base(), &ones().map, tile_barrier(), 0, 0, 0, 0);
      mbarrier_wait(tile_barrier(), 0);
    }
    if (thread_index() != 45) mbarrier_wait(tile_barrier(), 0);
    meet();
    wgmma_fence(), multiply(a, 0), wgmma_commit(), wgmma_wait<0>();
  }, {"thread 45 has not waited for the mbarrier"});
  for (int fenced = 0; fenced < 2; fenced++)
    check_rule([=] {
      float a[4];
      for (int row = thread_index(); row < TILE / 16; row += 128) write_row(row);
      if (fenced) mbarrier_init_fence();
      block_barrier();
      wgmma_fence(), multiply(a, 0), wgmma_commit(), wgmma_wait<0>();
    }, fenced ? std::vector<std::string>() : std::vector<std::string>{"and no proxy fence came between"});
  check_rule([] { /* who wrote it sees it, and no other lane; it is of row 9, which only the first warp takes */
    float a[4];
    for (int row = thread_index(); row < TILE / 16; row += 128) write_row(row);
    mbarrier_init_fence(), block_barrier();
    if (thread_index() == 0) write_row(9 * 8), mbarrier_init_fence();
    meet();
    wgmma_fence(), multiply(a, 0), wgmma_commit(), wgmma_wait<0>();
  }, {"race: thread 0 wrote it"});
  check_rule([] {
    float a[4];
    write_row(thread_index()), mbarrier_init_fence(), block_barrier();
    wgmma_fence(), multiply(a, 0), wgmma_commit(), wgmma_wait<0>();
  }, {"read, and nobody wrote it"});
}
END_TEST

START_TEST(descriptors)
{
  const auto with = [](u32 a, u32 b) {
    check_rule([=] {
      float d[4];
      load_tile();
      wgmma_fence();
      emu::wgmma_shared({"test_wgmma.cc", __LINE__, "wgmma"}, d, 8, a, b, false, false);
    }, {a > 0xffff || b > 0xffff ? "an address or a page that does not fit"
        : a % 64 >= 8 || b % 64 >= 8 ? "eight rows start at a multiple of 1024" : "out of bounds"});
  };
  const u32 base = 1024 >> 4;
  with(base, base + 8);             /* the second row */
  with(base + 8, base);
  with(base, base | 0x8000u << 16);
  with(base | 0x4000u << 16, base);
  with(base, (RULES_SMEM + 1024) >> 4);
  with(base - 64, base);
  check_rule([=] {
    float d[4];
    load_tile();
    wgmma_fence();
    emu::wgmma_registers({"test_wgmma.cc", __LINE__, "wgmma"}, d, 8, {0, 0, 0, 0}, base + WGMMA_NEXT_COLUMNS, false);
  }, {"eight rows start at a multiple of 1024"});
  for (int which = 0; which < 2; which++)
    check_rule([=] {
      const u32 other = thread_index() == 99 ? base + WGMMA_NEXT_COLUMNS : base;
      float d[4];
      load_tile();
      wgmma_fence();
      emu::wgmma_shared({"test_wgmma.cc", __LINE__, "wgmma"}, d, 8, which ? other : base, which ? base : other, false,
                        false);
    }, {"descriptors of the warpgroup's threads are not the same"});
  check_rule([=] {
    float d[4];
    load_tile();
    wgmma_fence();
    multiply(d, thread_index() == 99);
  }, {"descriptors of the warpgroup's threads are not the same"});
  check_rule([=] {
    float d[4];
    load_tile();
    wgmma_fence();
    emu::wgmma_shared({"test_wgmma.cc", __LINE__, "wgmma"}, d, 12, base, base, false, false);
  }, {"N is 12"});
}
END_TEST

START_TEST(warps_stay_together)
{
  check_rule([] {
    float a[4];
    load_tile();
    wgmma_fence();
    if (warp_index() != 1) multiply(a, 0);
  }, {"deadlock: 96 threads wait, 32 have left"});
  check_rule([] {
    float a[4];
    load_tile();
    wgmma_fence();
    multiply(a, 0, 0, "test_wgmma.cc", warp_index() == 1);
  }, {"the warpgroup has diverged"});
  check_rule([] {
    float a[4];
    load_tile();
    wgmma_fence(), multiply(a, 0), wgmma_commit();
    if (thread_index() % 2) wgmma_wait<0>();
  }, {"deadlock"});
}
END_TEST

static Suite *suite(void)
{
  Suite *s = suite_create("wgmma");
  TCase *t = tcase_create("rules");
  tcase_set_timeout(t, 60);
  tcase_add_test(t, products);
  tcase_add_test(t, flaws_of_the_pipeline);
  tcase_add_test(t, products_from_registers);
  tcase_add_test(t, when_results_are_there);
  tcase_add_test(t, when_registers_are_fenced);
  tcase_add_test(t, when_operands_may_change);
  tcase_add_test(t, when_operands_are_seen);
  tcase_add_test(t, descriptors);
  tcase_add_test(t, warps_stay_together);
  suite_add_tcase(s, t);
  return s;
}

FL4_TEST_MAIN_MODE(suite, CK_NOFORK)

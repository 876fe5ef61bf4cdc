/* SPDX-License-Identifier: Apache-2.0 */
/* The bulk copy engine: what lies where, when it may be read, and when it may be copied again. */
#include <atomic>

#include "test_hopper.h"

enum { ROWS = 16, BYTES = ROWS * 128 };
enum { COLUMNS = 72, TENSOR_ROWS = 21, HEADS = 2, BATCHES = 3 }; /* of the tensor */

static void load(const Tensor &t, u32 to = smem_base(), int barrier = 0, int column = 0, int row = 0)
{
  tma_load(to, &t.map, barrier_at(barrier), column, row, 1, 2);
}

static void announce_and_load(const Tensor &t, u32 to = smem_base(), int barrier = 0, int column = 0, int row = 0)
{
  mbarrier_arrive_expect(barrier_at(barrier), BYTES);
  load(t, to, barrier, column, row);
}

/* Each thread has its own chunk. The next copy to it may come then. */
static bool is_box(const Tensor &t, int column, int row, int head, int batch)
{
  const int r = thread_index() / 8, chunk = thread_index() % 8;
  bool good = true;
  u32 x[4];
  load_shared_128(x, smem_base() + (u32)(r * 128 + (chunk ^ r % 8) * 16));
  for (int e = 0; e < 8; e++)
    good &= (u16)(x[e / 2] >> 16 * (e % 2)) == t.at(column + chunk * 8 + e, row + r, head, batch);
  async_fence();
  return good;
}

START_TEST(boxes)
{
  const Tensor t(COLUMNS, TENSOR_ROWS, HEADS, BATCHES, ROWS);
  static const int at[][4] = {
      {0, 0, 0, 0}, {0, 3, 1, 2}, {64, 0, 1, 1},                       /* whole; columns beyond the end */
      {0, 16, 0, 2}, {64, 20, 1, 0}, {0, 21, 0, 0}, {128, 0, 0, 0},    /* rows beyond the end, and both, and all */
      {0, -5, 1, 1}, {-8, 0, 0, 1}, {-16, 0, 1, 0}, {0, 0, 2, 0}, {0, 0, 0, 3}, {8, 1, 1, 1}, {56, 1, 0, 1},
  };
  for (const auto &place : at)
    check([&] {
      init_barriers({1});
      tma_prefetch(&t.map);
      if (thread_index() == 7) {
        mbarrier_arrive_expect(barrier_at(0), BYTES);
        tma_load(smem_base(), &t.map, barrier_at(0), place[0], place[1], place[2], place[3]);
      }
      mbarrier_wait(barrier_at(0), 0);
      if (!is_box(t, place[0], place[1], place[2], place[3])) abort();
    });
}
END_TEST

/* ---------------------------------------------------------------- when it may be read */

static const std::vector<std::string> not_there = {"while an asynchronous copy", "has not waited for the mbarrier"};

START_TEST(waiting)
{
  const Tensor t(COLUMNS, TENSOR_ROWS, HEADS, BATCHES, ROWS);
  check([&] {
    init_barriers({1});
    if (thread_index() == 0) announce_and_load(t);
    meet();
    is_box(t, 0, 0, 1, 2);
  }, not_there);
  for (int barrier = 0; barrier < 2; barrier++) /* who waits lets the others know, or does not */
    check([&] {
      init_barriers({1});
      if (thread_index() == 0) announce_and_load(t), mbarrier_wait(barrier_at(0), 0);
      if (barrier) block_barrier();
      meet();
      if (thread_index() == 5) is_box(t, 0, 0, 1, 2);
    }, barrier ? std::vector<std::string>() : not_there);
  for (int other = 0; other < 2; other++)
    check([&] {
      init_barriers({1, 1});
      if (thread_index() == 0) {
        announce_and_load(t, smem_base(), other);
        announce_and_load(t, smem_base() + BYTES, !other);
      }
      mbarrier_wait(barrier_at(0), 0);
      is_box(t, 0, 0, 1, 2);
      if (thread_index() == 0) mbarrier_wait(barrier_at(1), 0);
    }, other ? not_there : std::vector<std::string>());
  check([&] {
    init_barriers({1});
    if (thread_index() == 0) announce_and_load(t);
  }, {"nobody has waited for the copy"});
  check([&] { /* a wait before it is none */
    init_barriers({1});
    mbarrier_wait(barrier_at(0), 1);
    meet();
    if (thread_index() == 0) announce_and_load(t);
  }, {"nobody has waited for the copy"});
  check([&] {
    init_barriers({1});
    if (thread_index() == 0) announce_and_load(t), mbarrier_wait(barrier_at(0), 0), announce_and_load(t);
  }, {"nobody has waited for the copy"});
}
END_TEST

START_TEST(transaction_counts)
{
  const Tensor t(COLUMNS, TENSOR_ROWS, HEADS, BATCHES, ROWS);
  const auto announce = [&](u32 bytes) {
    init_barriers({1});
    if (thread_index() == 0) mbarrier_arrive_expect(barrier_at(0), bytes), load(t);
    mbarrier_wait(barrier_at(0), 0);
    is_box(t, 0, 0, 1, 2);
  };
  check([&] { announce(BYTES); });
  check([&] { announce(2 * BYTES); }, {"1 of 1 arrivals", "4096 bytes were announced and 2048 copied"});
  check([&] { announce(BYTES - 16); },
        {"wrong transaction count: mbarrier at 0x1400 (offset 0x1000) in phase 0: 0 of 1 arrivals are missing, "
         "2032 bytes were announced and 2048 copied"});
  check([&] { announce(0); }, /* the phase may be over before the copy begins: then nothing was written yet */
        {"while an asynchronous copy", "has not waited for the mbarrier", "nobody wrote it"});
  check([&] { /* nobody reads, nobody notices, but for the count */
    init_barriers({1});
    if (thread_index() == 0) mbarrier_arrive(barrier_at(0)), load(t);
  }, {"the kernel ends with a wrong transaction count"});
  check([&] { /* may be announced when it has begun, but must be before the last arrival */
    init_barriers({2});
    if (thread_index() == 0) load(t), mbarrier_arrive_expect(barrier_at(0), BYTES), mbarrier_arrive(barrier_at(0));
    mbarrier_wait(barrier_at(0), 0);
    is_box(t, 0, 0, 1, 2);
  });
}
END_TEST

/* Copies land in any order, some while threads can still go on without, and others only when none can. */
START_TEST(any_time)
{
  const Tensor t(COLUMNS, TENSOR_ROWS, HEADS, BATCHES, ROWS);
  int first[2] = {}, meanwhile = 0, at_last = 0;
  for (emu::u64 seed = 0; seed < 40; seed++) {
    int came_first = -1, before = -1;
    ck_assert_sound(run([&] {
      init_barriers({1, 1});
      if (block_index()) return;
      if (thread_index() == 0) announce_and_load(t), announce_and_load(t, smem_base() + BYTES, 1);
      if (thread_index() < 2) {
        mbarrier_wait(barrier_at(thread_index()), 0);
        if (came_first < 0) came_first = thread_index();
      }
      if (thread_index() == 2) {
        for (int i = 0; i < 3000; i++) emu::let_others_run({"", 0, ""});
        before = came_first < 0;
      }
    }, 64, {seed, emu::Copies::late}, SMEM));
    first[came_first]++, (before ? at_last : meanwhile)++;
  }
  ck_assert(first[0] > 4 && first[1] > 4);
  ck_assert(meanwhile > 4 && at_last > 4);
}
END_TEST

/* ---------------------------------------------------------------- when it may be written */

/* Who issues a copy knows that the old value has been read. Who waits for it need not be told. */
START_TEST(reads_before)
{
  const Tensor t(COLUMNS, TENSOR_ROWS, HEADS, BATCHES, ROWS);
  check([&] {
    init_barriers({1, 1, 1});
    if (thread_index() == 0) {
      announce_and_load(t), mbarrier_wait(barrier_at(0), 0);
      is_box(t, 0, 0, 1, 2);
      mbarrier_arrive(barrier_at(1));
    }
    if (thread_index() == 1) mbarrier_wait(barrier_at(1), 0), load(t, smem_base(), 2);
    if (thread_index() == 2) mbarrier_arrive_expect(barrier_at(2), BYTES);
    if (thread_index() == 3) mbarrier_wait(barrier_at(2), 0), store_shared_32(smem_base(), 0);
  });
}
END_TEST

/* Each box is read by all, and the next one copied over it. */
static void refill(const Tensor &t, bool waits, u32 readers, std::atomic<int> *wrong)
{
  init_barriers({1, readers});
  for (u32 i = 0; i < 3; i++) {
    if (thread_index() == 40) {
      if (waits) mbarrier_wait(barrier_at(1), (i + 1) & 1);
      announce_and_load(t, smem_base(), 0, 0, (int)i * 5);
    }
    mbarrier_wait(barrier_at(0), i & 1);
    *wrong += !is_box(t, 0, (int)i * 5, 1, 2);
    mbarrier_arrive(barrier_at(1));
    if (!waits) meet();
  }
}

START_TEST(refilling)
{
  const Tensor t(COLUMNS, TENSOR_ROWS, HEADS, BATCHES, ROWS);
  std::atomic<int> wrong{0};
  check([&] { refill(t, true, 128, &wrong); });
  ck_assert_int_eq(wrong, 0);
  check([&] { refill(t, false, 128, &wrong); }, {"race: it is still being read"});
  /* All but one have released. A reader so late that the parity fits again gets another's box: no rule is broken. */
  for (emu::u64 seed = 0; seed < 20; seed++) {
    wrong = 0;
    const std::string error = run([&] { refill(t, true, 127, &wrong); }, 128, {seed, emu::Copies::late}, SMEM);
    ck_assert(!error.empty() || wrong > 0);
  }
}
END_TEST

START_TEST(while_under_way)
{
  const Tensor t(COLUMNS, TENSOR_ROWS, HEADS, BATCHES, ROWS);
  check([&] {
    init_barriers({1, 1});
    if (thread_index() == 0) announce_and_load(t), announce_and_load(t, smem_base(), 1);
  }, {"an asynchronous copy of thread 0 is under way", "has not waited for the mbarrier"});
  check([&] {
    init_barriers({1});
    if (thread_index() == 0) announce_and_load(t), store_shared_32(smem_base(), 0);
  }, {"an asynchronous copy of thread 0 is under way", "has not waited for the mbarrier"});
  /* The source is read late, or early. */
  for (int early = 0; early < 2; early++) {
    const Tensor own(COLUMNS, TENSOR_ROWS, HEADS, BATCHES, ROWS);
    const u32 before = own.at(0, 0, 1, 2), after = before ^ 0x1234;
    char *const element = own.memory + 2 * own.stride[3] + own.stride[2];
    ck_assert_sound(run([&] {
      init_barriers({1});
      if (block_index()) return;
      if (thread_index() == 0) announce_and_load(own), store_global_16(element, (u16)after);
      mbarrier_wait(barrier_at(0), 0);
      if (thread_index() && (read_word(0) & 0xffff) != (early ? before : after)) abort();
    }, 128, {1, early ? emu::Copies::early : emu::Copies::late}, SMEM));
  }
}
END_TEST

/* The engine does not see a store that its thread has not fenced, and may write before it. */
START_TEST(stores_before)
{
  const Tensor t(COLUMNS, TENSOR_ROWS, HEADS, BATCHES, ROWS);
  for (int fenced = 0; fenced < 2; fenced++)
    check([&] {
      init_barriers({1});
      mbarrier_init_fence(); /* too early */
      write_row();
      if (fenced) mbarrier_init_fence();
      block_barrier();
      if (thread_index() == 0) announce_and_load(t);
      mbarrier_wait(barrier_at(0), 0);
    }, fenced ? std::vector<std::string>() : std::vector<std::string>{"and no proxy fence came between"});
}
END_TEST

/* Nor does it wait for loads, which may still be under way when their thread has come to a barrier. */
START_TEST(loads_before)
{
  const Tensor t(COLUMNS, TENSOR_ROWS, HEADS, BATCHES, ROWS);
  for (int fenced = 0; fenced < 2; fenced++)
    for (int matrix = 0; matrix < 2; matrix++)
      check([&] {
        init_barriers({1});
        if (thread_index() == 0) announce_and_load(t);
        mbarrier_wait(barrier_at(0), 0);
        u32 x[4];
        if (matrix) ldmatrix_x4(x, smem_base() + thread_index() % 32 * 16);
        else read_word(thread_index());
        if (fenced) async_fence();
        block_barrier();
        if (thread_index() == 0) announce_and_load(t);
        mbarrier_wait(barrier_at(0), 1);
      }, fenced ? std::vector<std::string>() : std::vector<std::string>{"read it at", "and no proxy fence came between"});
}
END_TEST

/* ---------------------------------------------------------------- rules */

START_TEST(addresses)
{
  const Tensor t(COLUMNS, TENSOR_ROWS, HEADS, BATCHES, ROWS);
  const auto load_to = [&](u32 offset) {
    init_barriers({1});
    if (thread_index() == 0) announce_and_load(t, smem_base() + offset);
    mbarrier_wait(barrier_at(0), 0);
  };
  check([&] { load_to(1024); });
  check([&] { load_to(512); }, {"is not a multiple of 1024"});
  check([&] {
    init_barriers({1});
    if (thread_index() == 0)
      mbarrier_arrive_expect(barrier_at(0), BYTES), tma_load(smem_base(), &t.map, barrier_at(0), -13, 0, 0, 0);
  }, {"column -13 of a tensor is not a multiple of 8"});
  check([&] { load_to(SMEM - 1024); }, {"out of bounds"});
  check([&] { load_to(BARRIERS_AT - 1024); }, {"part of an mbarrier"});
  check([&] {
    if (thread_index() == 0) mbarrier_init(barrier_at(0), 1), announce_and_load(t);
  }, {"no fence came behind it"});
  check([&] {
    if (thread_index() == 0) load(t);
  }, {"there is no mbarrier"});
}
END_TEST

START_TEST(sources)
{
  Tensor t(COLUMNS, TENSOR_ROWS, HEADS, BATCHES, ROWS);
  const auto load_it = [&] {
    init_barriers({1});
    if (thread_index() == 0) announce_and_load(t);
    mbarrier_wait(barrier_at(0), 0);
  };
  emu::u64 more[4] = {COLUMNS, TENSOR_ROWS, HEADS, BATCHES};
  more[1] = 1000; /* the last head's last rows are behind the end */
  ck_assert(emu::encode_tensor_map(&t.map, t.memory + 21 * t.stride[1], more, t.stride, ROWS));
  check(load_it, {"out of bounds: in no allocation"});
  char *memory = static_cast<char *>(emu::global_alloc(t.stride[3] * BATCHES));
  ck_assert(emu::encode_tensor_map(&t.map, memory, t.size, t.stride, ROWS));
  check(load_it, {"is read, and nobody wrote it"});
  emu::global_free(memory);
  memset(&t.map, 0, sizeof t.map);
  check(load_it, {"nobody has encoded it"});
  check([&] { tma_prefetch(&t.map); }, {"nobody has encoded it"});
  check([&] { tma_prefetch(reinterpret_cast<fl4_tensor_map *>(reinterpret_cast<char *>(&t.map) + 32)); },
        {"must be at a multiple of 64"});
}
END_TEST

START_TEST(maps)
{
  fl4_tensor_map map;
  const void *base = reinterpret_cast<void *>(4096);
  const auto encode = [&](const void *from, std::vector<emu::u64> s, std::vector<emu::u64> d, int rows) {
    const emu::u64 size[4] = {s[0], s[1], s[2], s[3]}, stride[4] = {d[0], d[1], d[2], d[3]};
    return emu::encode_tensor_map(&map, from, size, stride, rows);
  };
  ck_assert(encode(base, {8, 1, 1, 1}, {2, 16, 16, 16}, 256));
  ck_assert(!encode(static_cast<const char *>(base) + 8, {8, 1, 1, 1}, {2, 16, 16, 16}, 64));
  ck_assert(!encode(base, {8, 0, 1, 1}, {2, 16, 16, 16}, 64));
  ck_assert(!encode(base, {8, 1, 1, 1}, {4, 16, 16, 16}, 64));
  ck_assert(!encode(base, {8, 1, 1, 1}, {2, 24, 16, 16}, 64));
  ck_assert(!encode(base, {8, 1, 1, 1}, {2, 16, (emu::u64)1 << 40, 16}, 64));
  ck_assert(!encode(base, {8, 1, 1, 1}, {2, 16, 16, 16}, 0));
  ck_assert(!encode(base, {8, 1, 1, 1}, {2, 16, 16, 16}, 257));
}
END_TEST

static Suite *suite(void)
{
  Suite *s = suite_create("tma");
  TCase *t = tcase_create("rules");
  tcase_add_test(t, boxes);
  tcase_add_test(t, waiting);
  tcase_add_test(t, transaction_counts);
  tcase_add_test(t, any_time);
  tcase_add_test(t, reads_before);
  tcase_add_test(t, refilling);
  tcase_add_test(t, while_under_way);
  tcase_add_test(t, stores_before);
  tcase_add_test(t, loads_before);
  tcase_add_test(t, addresses);
  tcase_add_test(t, sources);
  tcase_add_test(t, maps);
  suite_add_tcase(s, t);
  return s;
}

FL4_TEST_MAIN_MODE(suite, CK_NOFORK)

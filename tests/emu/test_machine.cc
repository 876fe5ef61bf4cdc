/* SPDX-License-Identifier: Apache-2.0 */
/* Each rule of the emulated machine, on kernels of a few lines that break it, and on some that do not. */
#include <algorithm>
#include <cstring>
#include <mutex>

#include "state.h"
extern "C" {
#include "fl4_test.h"
}

/* The kernels are C++ with the names that real kernels use. */
#define FL4_BF16 0
#include "ptx.h"

static std::string run(std::function<void()> body, int threads = 64, emu::Options options = {})
{
  emu::Launch l;
  l.kernel = "test", l.blocks = 2, l.threads = threads, l.smem = 4096, l.body = body, l.options = options;
  std::string error;
  emu::Counts counts;
  const bool good = emu::launch(l, &counts, &error);
  ck_assert(good == error.empty());
  return error;
}

#define ck_assert_says(error, words)                                                                                   \
  do {                                                                                                                 \
    const std::string said_ = (error), words_ = (words);                                                               \
    ck_assert_msg(said_.find(words_) != std::string::npos, "\"%s\" does not say \"%s\"", said_.c_str(),               \
                  words_.c_str());                                                                                     \
  } while (0)

#define ck_assert_sound(error)                                                                                         \
  do {                                                                                                                 \
    const std::string said_ = (error);                                                                                 \
    ck_assert_msg(said_.empty(), "%s", said_.c_str());                                                                 \
  } while (0)

#define ck_assert_unordered(error)                                                                                     \
  do {                                                                                                                 \
    const std::string said_ = (error);                                                                                 \
    ck_assert_msg(said_.find("race") != std::string::npos || said_.find("nobody wrote") != std::string::npos ||        \
                      said_.find("under way") != std::string::npos,                                                    \
                  "\"%s\" is no complaint about order", said_.c_str());                                                \
  } while (0)

static u32 word(int i) { return smem_base() + (u32)i * 4; }

static u32 read_word(int i)
{
  u32 x[4];
  load_shared_128(x, word(i / 4 * 4));
  return x[i % 4];
}

static char *global_memory(size_t bytes, bool written)
{
  char *memory = static_cast<char *>(emu::global_alloc(bytes));
  if (written) {
    memset(memory, 1, bytes);
    emu::global_written(memory, bytes);
  }
  return memory;
}

START_TEST(sound_exchange)
{
  ck_assert_sound(run([] {
    const u32 x[4] = {(u32)thread_index(), 1, 2, 3};
    store_shared_128(word(thread_index() * 4), x);
    block_barrier();
    if (read_word((thread_index() ^ 33) * 4) != (u32)(thread_index() ^ 33)) abort();
  }));
}
END_TEST

START_TEST(race_read_after_write)
{
  /* Whoever comes first, it is wrong: never written, or a race. */
  ck_assert_unordered(run([] {
    const u32 x[4] = {};
    store_shared_128(word(thread_index() * 4), x);
    read_word((thread_index() ^ 1) * 4);
  }));
  ck_assert_unordered(run([] {
    const u32 x[4] = {};
    if (thread_index() < 32) store_shared_128(word(thread_index() * 4), x);
    warp_barrier(); /* orders a warp, not the block */
    if (thread_index() >= 32) read_word((thread_index() - 32) * 4);
  }));
  for (emu::u64 seed = 0; seed < 20; seed++) {
    ck_assert_unordered(run(
        [] {
          const u32 x[4] = {};
          if (thread_index() == 0) store_shared_128(word(0), x);
          if (thread_index() == 40) read_word(0);
        },
        64, {seed, emu::Copies::late}));
  }
}
END_TEST

START_TEST(race_write_after_write_and_read)
{
  ck_assert_says(run([] { store_shared_32(word(0), (u32)thread_index()); }), "race");
  ck_assert_says(run([] {
                   const u32 x[4] = {};
                   if (thread_index() == 0) store_shared_128(word(0), x);
                   block_barrier();
                   if (thread_index() < 32) read_word(0);
                   if (thread_index() < 32) shuffle_xor(0, 1); /* waits for the others, orders no memory */
                   if (thread_index() == 0) store_shared_32(word(0), 1);
                   block_barrier();
                 }),
                 "race");
  ck_assert_says(run([] {
                   const u32 x[4] = {};
                   if (thread_index() == 0) store_shared_128(word(0), x);
                   block_barrier();
                   read_word(0);
                   warp_barrier();
                   if (thread_index() == 0) store_shared_32(word(0), 1); /* warp 1 may still read */
                   block_barrier();
                 }),
                 "race");
}
END_TEST

START_TEST(never_written)
{
  ck_assert_says(run([] { read_word(0); }), "nobody wrote it");
  char *memory = global_memory(64, false);
  ck_assert_says(run([=] { load_global_16(memory); }), "nobody wrote it");
  emu::global_free(memory);
}
END_TEST

START_TEST(bounds_and_alignment)
{
  ck_assert_says(run([] { store_shared_32(smem_base() + 4096, 0); }), "out of bounds");
  ck_assert_says(run([] { store_shared_32(smem_base() - 4, 0); }), "out of bounds");
  ck_assert_says(run([] { store_shared_32(smem_base() + 2, 0); }), "not a multiple of 4");
  ck_assert_says(run([] {
                   const u32 x[4] = {};
                   store_shared_128(smem_base() + 8, x);
                 }),
                 "not a multiple of 16");
  ck_assert_says(run([] {
                   u32 r[4];
                   ldmatrix_x4(r, smem_base() + 8);
                 }),
                 "not a multiple of 16");
  char *memory = global_memory(64, true);
  ck_assert_says(run([=] { load_global_16(memory + 64); }), "out of bounds");
  ck_assert_says(run([=] { load_global_16(memory - 2); }), "out of bounds");
  ck_assert_says(run([=] { load_global_16(memory + 1); }), "not a multiple of 2");
  ck_assert_says(run([=] { store_global_32(memory + 64, 0); }), "out of bounds");
  ck_assert_says(run([=] { cp_async_16(smem_base(), memory + 8); }), "not a multiple of 16");
  ck_assert_says(run([=] { cp_async_16(smem_base() + 16 * (u32)thread_index(), memory + 64); }), "out of bounds");
  emu::global_free(memory);
  ck_assert_says(run([=] { load_global_16(memory); }), "out of bounds");
}
END_TEST

/* ---------------------------------------------------------------- asynchronous copies */

static void copy_own(const char *from)
{
  cp_async_16(word(thread_index() * 4), from + 16 * thread_index());
}

START_TEST(copies)
{
  char *memory = global_memory(64 * 16, true);
  for (int early = 0; early < 2; early++) {
    const emu::Options o = {3, early ? emu::Copies::early : emu::Copies::late};
    ck_assert_sound(run([=] {
      copy_own(memory), cp_async_commit(), cp_async_wait<0>(), block_barrier();
      if (read_word((63 - thread_index()) * 4) != 0x01010101) abort();
    }, 64, o));
    ck_assert_says(run([=] { copy_own(memory), cp_async_commit(), block_barrier(), read_word(thread_index() * 4); }, 64, o),
                   "under way");
    ck_assert_says(run([=] {
                     copy_own(memory), cp_async_commit(), cp_async_commit(), cp_async_wait<2>();
                     read_word(thread_index() * 4);
                   }, 64, o),
                   "under way");
    ck_assert_unordered(run([=] {
      copy_own(memory), cp_async_commit(), cp_async_wait<0>();
      read_word((thread_index() ^ 32) * 4); /* the other warp's copies need a barrier */
    }, 64, o));
    ck_assert_says(run([=] { copy_own(memory); }, 64, o), "never committed");
    ck_assert_says(run([=] { copy_own(memory), copy_own(memory); }, 64, o), "under way"); /* in no order */
    ck_assert_says(run([=] { copy_own(memory), cp_async_commit(); }, 64, o), "never waited for");
    ck_assert_says(run([=] {
                     copy_own(memory), cp_async_commit(), cp_async_wait<0>(), block_barrier();
                     read_word((thread_index() ^ 32) * 4);
                     copy_own(memory), cp_async_commit(), cp_async_wait<0>(); /* refill without a barrier */
                   }, 64, o),
                   "race");
  }
  emu::global_free(memory);
}
END_TEST

START_TEST(zero_fill_reads_nothing)
{
  ck_assert_sound(run([=] {
    cp_async_16_zfill(word(thread_index() * 4), reinterpret_cast<const void *>(16), 0);
    cp_async_commit(), cp_async_wait<0>(), block_barrier();
    if (read_word(thread_index() * 4) != 0) abort();
  }));
}
END_TEST

/* ---------------------------------------------------------------- meeting */

START_TEST(barriers)
{
  ck_assert_says(run([] { if (thread_index() != 7) block_barrier(); }), "deadlock: 63 threads wait, 1 have left");
  ck_assert_says(run([] { if (thread_index() != 7) warp_barrier(); }), "deadlock");
  ck_assert_says(run([] {
                   if (thread_index() < 32) block_barrier();
                   else if (thread_index() == 32) warp_barrier();
                 }),
                 "deadlock");
  ck_assert_says(run([] {
                   if (thread_index() % 2) shuffle_xor(0, 1);
                   else warp_any(true);
                 }),
                 "diverged");
}
END_TEST

/* ---------------------------------------------------------------- barriers of some of the warps */

static void sync_at(int id, int threads, FL4_SITE)
{
  emu::named_barrier(FL4_AT("bar.sync"), id, threads);
}

static void arrive_at(int id, int threads, FL4_SITE)
{
  emu::named_barrier_arrive(FL4_AT("bar.arrive"), id, threads);
}

static int warp_index() { return thread_index() / 32; }

/* A row is 16 bytes; each thread has its own. */
static void write_row(int row = thread_index())
{
  store_shared_128(word(row * 4), {(u32)row, 1, 2, 3});
}

static void read_row_of(int warp)
{
  read_word((warp * 32 + (thread_index() ^ 5) % 32) * 4);
}

/*
 * All warps of a warpgroup come by before any goes on, and yet no access is ordered: a race that is
 * found after this is found by the rules, not by chance.
 */
static void meet(FL4_SITE)
{
  emu::with_warpgroup(FL4_AT("meet"), nullptr, [](void *const *) {});
}

START_TEST(named_barrier_hands_over)
{
  ck_assert_sound(run([] {
    if (warp_index() == 0) write_row();
    sync_at(1, 64);
    if (warp_index() == 1) read_row_of(0);
  }));
  ck_assert_unordered(run([] {
    if (warp_index() == 0) write_row();
    if (warp_index() == 1) read_row_of(0);
  }));
  ck_assert_says(run([] {
                   if (warp_index() == 0) write_row();
                   sync_at(warp_index() ? 1 : 2, 64);
                   if (warp_index() == 1) read_row_of(0);
                 }),
                 "deadlock: 64 threads wait, 0 have left; 32 of 64 have reached barrier 1; 32 of 64 have");
}
END_TEST

START_TEST(named_barrier_orders_only_its_own)
{
  for (int reader = 0; reader < 4; reader++) {
    const std::string error = run(
        [=] {
          if (warp_index() == 0) write_row();
          sync_at(warp_index() / 2 ? 7 : 15, 64);
          meet();
          if (warp_index() == reader) read_row_of(0);
        },
        128);
    if (reader < 2) ck_assert_sound(error);
    else ck_assert_says(error, "race: thread");
  }
  /* Two have read; who writes must come after both, whichever read first. */
  for (int other = 0; other < 3; other++) {
    const std::string error = run(
        [=] {
          if (warp_index() == 0) write_row();
          block_barrier();
          if (warp_index() == 1) read_row_of(0);
          meet();
          if (warp_index() == 2) read_row_of(0);
          if (warp_index() == 0 || (warp_index() != 3 && warp_index() != other)) sync_at(1, other ? 64 : 96);
          meet();
          if (warp_index() == 0) write_row();
        },
        128);
    if (other == 0) ck_assert_sound(error);
    else ck_assert_says(error, "race: it is still being read");
  }
  /* An earlier read of a thread may be ordered, and its last one not. */
  ck_assert_says(run(
                     [] {
                       if (warp_index() == 0) write_row();
                       for (int i = 0; i < 2; i++) {
                         block_barrier();
                         if (warp_index() == 1) read_row_of(0);
                       }
                       meet();
                       if (warp_index() == 0) write_row();
                     },
                     128),
                 "race: it is still being read");
}
END_TEST

START_TEST(order_is_transitive)
{
  for (emu::u64 i = 0; i < 16; i++) {
    const bool in_order = i % 2;
    const std::string error = run(
        [=] {
          if (warp_index() == 0) write_row();
          if (warp_index() == 1 && !in_order) arrive_at(2, 64); /* releases what it has seen: not yet the row */
          if (warp_index() <= 1) sync_at(1, 64);
          if (warp_index() == 1 && in_order) arrive_at(2, 64);
          if (warp_index() == 2) sync_at(2, 64);
          meet();
          if (warp_index() == 2) read_row_of(0);
        },
        128, {i, emu::Copies::late});
    if (in_order) ck_assert_sound(error);
    else ck_assert_says(error, "race: thread");
  }
}
END_TEST

/* bar.arrive lets what came before it be seen, and sees nothing. */
START_TEST(arrive_does_not_acquire)
{
  for (int back = 0; back < 2; back++) {
    const std::string error = run(
        [=] {
          write_row();
          if (warp_index() == 0) arrive_at(1, 64);
          if (warp_index() == 1) sync_at(1, 64);
          meet();
          if (warp_index() == !back) read_row_of(back);
        },
        128);
    if (back) ck_assert_says(error, "race: thread");
    else ck_assert_sound(error);
  }
  ck_assert_says(run([] {
                   if (warp_index() == 0) arrive_at(1, 64), write_row(); /* too late for the barrier */
                   if (warp_index() == 1) sync_at(1, 64);
                   meet();
                   if (warp_index() == 1) read_row_of(0);
                 }, 128),
                 "race: thread");
}
END_TEST

/* One buffer, full and empty in turn. Without "empty" it is filled while it is being read. */
static void pipeline(bool with_empty)
{
  enum { TILES = 3, FULL = 4, EMPTY = 5, THREADS = 64 };
  for (int tile = 0; tile < TILES; tile++) {
    const int full = with_empty ? FULL : tile; /* else the barrier would be found, not the buffer */
    if (warp_index() == 0) {
      if (tile > 0 && with_empty) sync_at(EMPTY, THREADS);
      store_shared_128(word(thread_index() * 4), {(u32)(tile * 100 + thread_index()), 1, 2, 3});
      arrive_at(full, THREADS);
    } else {
      const int row = thread_index() % 32 ^ 5;
      sync_at(full, THREADS);
      if (read_word(row * 4) != (u32)(tile * 100 + row)) abort();
      if (tile + 1 < TILES && with_empty) arrive_at(EMPTY, THREADS);
    }
  }
}

START_TEST(full_and_empty)
{
  for (emu::u64 seed = 0; seed < 20; seed++) {
    ck_assert_sound(run([] { pipeline(true); }, 64, {seed, emu::Copies::late}));
    ck_assert_says(run([] { pipeline(false); }, 64, {seed, emu::Copies::late}), "race");
  }
}
END_TEST

START_TEST(named_barrier_rules)
{
  ck_assert_says(run([] { sync_at(-1, 64); }), "barrier -1: must be 0 to 15");
  ck_assert_says(run([] { sync_at(16, 64); }), "barrier 16: must be 0 to 15");
  for (int threads : {-32, 0, 48, 96})
    ck_assert_says(run([=] { arrive_at(1, threads); }),
                   "is of " + std::to_string(threads) + " threads, must be of whole warps, of a block of 64");
  ck_assert_says(run([] { sync_at(1, warp_index() ? 64 : 96); }, 96), " threads here, and of ");
  ck_assert_says(run([] { warp_index() ? sync_at(0, 64) : block_barrier(); }, 96), " threads here, and of ");
  ck_assert_says(run([] { if (thread_index() % 2) sync_at(1, 32); }), "only a part of warp");
  ck_assert_says(run([] { arrive_at(1, 64), arrive_at(1, 64); }), "the thread has arrived at test_machine.cc:");
  ck_assert_says(run([] { if (warp_index()) arrive_at(3, 64), sync_at(3, 64); }), "already, and only");
  ck_assert_says(run([] { thread_index() % 2 ? sync_at(1, 64) : arrive_at(1, 64); }),
                 "has diverged: it is at test_machine.cc:");
  ck_assert_says(run([] { if (thread_index() < 32) arrive_at(4, 64); }), "the thread left barrier 4 with 32 of 64");
  ck_assert_says(run([] { if (thread_index() != 7) block_barrier(); }),
                 "deadlock: 63 threads wait, 1 have left, such as thread 7; 63 of 64 have reached barrier 0");
  ck_assert_sound(run([] { /* the next time it may be of others */
    sync_at(2, 64);
    if (warp_index() == 1) sync_at(2, 32);
  }));
}
END_TEST

/* An instruction of all lanes together has read when it is over: its warp may overwrite, another may not. */
START_TEST(whole_warp_reads)
{
  const auto load = [] {
    u32 r[4];
    ldmatrix_x4(r, word(thread_index() % 32 * 4));
  };
  ck_assert_sound(run([=] {
    write_row(), warp_barrier(), load();
    write_row(thread_index() ^ 3);
  }, 32));
  for (int ordered = 0; ordered < 2; ordered++) {
    const std::string error = run(
        [=] {
          if (warp_index() == 0) write_row(), warp_barrier(), load();
          if (warp_index() < 2 && ordered) sync_at(1, 64);
          meet();
          if (warp_index() == 1) write_row(thread_index() - 32);
        },
        128);
    if (ordered) ck_assert_sound(error);
    else ck_assert_says(error, "race: "); /* with the read and with the write that came before */
  }
  ck_assert_says(run([=] {
                   if (warp_index() == 0) write_row();
                   block_barrier();
                   if (warp_index() == 0) load(), warp_barrier();
                   meet();
                   if (warp_index() == 1) write_row(thread_index() - 32);
                 }, 128),
                 "race: it is still being read");
  /* The lane that wrote sees it, the warp does not; whichever lane comes last. */
  for (emu::u64 seed = 0; seed < 200; seed++)
    ck_assert_says(run([=] {
                     if (block_index()) return;
                     if (thread_index() == 5)
                       for (int row = 0; row < 32; row++) write_row(row);
                     shuffle_xor(0, 1);
                     load();
                   }, 32, {seed, emu::Copies::late}),
                   "race: thread 5 wrote it");
}
END_TEST

/* ---------------------------------------------------------------- blocks that hand over */

/* What can be left out of the hand-over between blocks: all but the fences of 31 lanes, if barriers stand right. */
enum Missing { NOTHING, OTHER_LANES, FENCE, BARRIER, TICKET, FENCE_BEHIND, ORDER, N_MISSING };

/*
 * Each lane of the blocks' warps leaves four numbers; a warp's ticket says how many blocks' have. The last block's
 * reads those of all. Memory: two tickets in 16 bytes, then the numbers.
 */
static void leave_and_collect(char *memory, Missing missing)
{
  const int warp = thread_index() / 32, lane = thread_index() % 32, blocks = grid_blocks();
  const auto of_block = [=](int b) { return memory + 16 + (b * 64 + thread_index()) * 16; };
  const float mine[4] = {(float)block_index(), (float)thread_index(), 0, 0};
  const auto draw = [=] {
    return lane == 0 && missing != TICKET && atomic_wrapping_increment(memory + warp * 4, blocks - 1) == (u32)blocks - 1;
  };
  const bool too_early = missing == ORDER && warp_any(draw());
  store_global_f32x4(of_block(block_index()), mine);
  if (missing != FENCE && missing != OTHER_LANES) gpu_fence();
  if (missing != BARRIER) warp_barrier();
  if (missing == OTHER_LANES && lane == 0) gpu_fence();
  bool last = missing == ORDER ? too_early : warp_any(draw());
  if (missing == TICKET) last = block_index() == blocks - 1; /* by luck */
  if (!last) return;
  if (missing != FENCE_BEHIND && (missing != OTHER_LANES || lane == 0)) gpu_fence();
  if (missing == OTHER_LANES) warp_barrier();
  for (int b = 0; b < blocks; b++) {
    float x[4];
    load_global_f32x4_shared(x, of_block(b));
    if (x[0] != b || x[1] != thread_index()) abort();
  }
}

static std::string run_blocks(int blocks, emu::u64 seed, std::function<void()> body)
{
  emu::Launch l;
  l.kernel = "test", l.blocks = blocks, l.threads = 64, l.smem = 1024, l.body = body;
  l.options.seed = seed, l.in_turn = true;
  std::string error;
  emu::launch(l, nullptr, &error);
  return error;
}

/* The memory of leave_and_collect(). */
static char *tickets_and_numbers(int blocks)
{
  char *memory = static_cast<char *>(emu::global_alloc((size_t)(16 + blocks * 64 * 16)));
  memset(memory, 0, 16);
  emu::global_written(memory, 16);
  return memory;
}

START_TEST(blocks_hand_over)
{
  enum { BLOCKS = 3 };
  int complained[N_MISSING] = {};
  for (emu::u64 seed = 0; seed < 10; seed++)
    for (int missing = NOTHING; missing < N_MISSING; missing++) {
      const bool sound = missing <= OTHER_LANES;
      char *memory = tickets_and_numbers(BLOCKS);
      for (int repeat = 0; repeat < 2; repeat++) { /* the tickets are as before, and what was written is old */
        const std::string error = run_blocks(BLOCKS, seed, [=] { leave_and_collect(memory, (Missing)missing); });
        if (sound) ck_assert_sound(error);
        else if (error.find("no fence and atomic came between") != std::string::npos) complained[missing]++;
        else if (missing != TICKET) ck_assert_says(error, "nobody wrote it");
        if (!sound) break;
        for (int i = 0; i < 16; i++) ck_assert_int_eq(memory[i], 0);
      }
      emu::global_free(memory);
    }
  for (int missing : {FENCE, BARRIER, FENCE_BEHIND, ORDER}) ck_assert_int_eq(complained[missing], 10);
  ck_assert_int_gt(complained[TICKET], 0); /* where the last block is last in the seed's order, too */
}
END_TEST

/* Without any order, two blocks may not even write the same. The next launch may. */
START_TEST(blocks_write_apart)
{
  char *memory = global_memory(64, false);
  ck_assert_says(run_blocks(2, 1, [=] { if (thread_index() == 5) store_global_32(memory, 1); }), "race: block ");
  ck_assert_sound(run_blocks(2, 1, [=] {
    if (thread_index() == 5) store_global_16(memory + 2 * block_index(), 1); /* neighbours in a word */
  }));
  ck_assert_sound(run_blocks(1, 1, [=] { load_global_16(memory + 2); }));
  emu::global_free(memory);
}
END_TEST

/* Blocks come in the order of the seed; each seed in another, and all of them once. */
START_TEST(blocks_in_turn)
{
  enum { BLOCKS = 20, SEEDS = 5 };
  std::vector<int> order[SEEDS];
  for (emu::u64 seed = 0; seed < SEEDS; seed++)
    for (int repeat = 0; repeat < 2; repeat++) {
      std::vector<int> seen;
      ck_assert_sound(run_blocks(BLOCKS, seed, [&] { if (thread_index() == 0) seen.push_back(block_index()); }));
      ck_assert(repeat == 0 || seen == order[seed]);
      order[seed] = seen;
      std::sort(seen.begin(), seen.end());
      for (int i = 0; i < BLOCKS; i++) ck_assert_int_eq(seen[(size_t)i], i);
      for (emu::u64 other = 0; other < seed; other++) ck_assert(order[seed] != order[other]);
    }
}
END_TEST

/* ---------------------------------------------------------------- warpgroups */

START_TEST(warpgroups_meet)
{
  std::vector<int> seen;
  std::mutex lock; /* blocks run side by side */
  const auto body = [&] {
    int mine = thread_index();
    const auto action = [&](void *const *operands) {
      const std::lock_guard<std::mutex> locked(lock);
      for (int i = 0; i < 128; i++) seen.push_back(*static_cast<int *>(operands[i]));
      for (int i = 0; i < 128; i++) *static_cast<int *>(operands[i]) += 1000;
    };
    emu::with_warpgroup({"test_machine.cc", 1, "wgmma"}, &mine, action);
    if (mine != thread_index() + 1000) abort();
  };
  ck_assert_sound(run(body, 256));
  ck_assert_uint_eq(seen.size(), 2 * 256); /* two blocks of two warpgroups: four actions of 128 operands */
  int first[2] = {};
  for (size_t i = 0; i < seen.size(); i++) {
    if (i % 128 == 0) first[seen[i] / 128]++;
    ck_assert_int_eq(seen[i] % 128, (int)i % 128);
  }
  ck_assert(first[0] == 2 && first[1] == 2);
  ck_assert_says(run([] { meet(); }, 96), "warpgroups are of 128 threads, and the block has 96");
  ck_assert_says(run([] { meet("test_machine.cc", warp_index() == 2); }, 128),
                 "the warpgroup has diverged: other lanes are at test_machine.cc:");
  ck_assert_says(run([] { if (warp_index() != 2) meet(); }, 128), "deadlock: 96 threads wait, 32 have left");
}
END_TEST

START_TEST(names_the_place)
{
  const std::string error = run([] { if (thread_index() == 37) read_word(0); });
  ck_assert_says(error, "test, block 0, thread 37 (warp 1, lane 5), test_machine.cc:");
  ck_assert_says(error, "ld.shared.v4");
}
END_TEST

START_TEST(exchanges)
{
  ck_assert_sound(run([] {
    for (int mask = 1; mask < 32; mask *= 2)
      if (shuffle_xor((float)thread_index(), mask) != (float)(thread_index() ^ mask)) abort();
    if (warp_any(false) || !warp_any(thread_index() % 32 == 9)) abort();
  }));
}
END_TEST

START_TEST(conversions)
{
  for (u32 x = 0; x < 0x10000; x++) {
    const float h = emu::from_half((u16)x), b = emu::from_bf16((u16)x);
    if (h == h) ck_assert_uint_eq(emu::to_half(h), x);
    if (b == b) ck_assert_uint_eq(emu::to_bf16(b), x);
  }
  ck_assert_uint_eq(emu::to_half(65520.f), 0x7c00);          /* rounds to infinity */
  ck_assert_uint_eq(emu::to_half(65519.f), 0x7bff);
  ck_assert_uint_eq(emu::to_half(1.f + 0x1p-11f), 0x3c00);   /* ties go to even */
  ck_assert_uint_eq(emu::to_half(1.f + 0x3p-11f), 0x3c02);
  ck_assert_uint_eq(emu::to_half(0x1p-25f), 0);
  ck_assert_uint_eq(emu::to_half(0x1.8p-24f), 2);
  ck_assert_uint_eq(emu::to_bf16(1.f + 0x1p-8f), 0x3f80);
  ck_assert_uint_eq(emu::to_bf16(1.f + 0x3p-8f), 0x3f82);
  ck_assert(emu::exp2_ftz(-127.f) == 0.f && emu::exp2_ftz(-126.f) == 0x1p-126f && emu::exp2_ftz(-INFINITY) == 0.f);
}
END_TEST

START_TEST(conflicts_are_counted)
{
  emu::Launch l;
  l.kernel = "test", l.threads = 32, l.smem = 32 * 128 + 128;
  l.body = [] {
    store_shared_32(smem_base() + 4 * (u32)thread_index(), 0);   /* a word each: one pass */
    block_barrier();
    store_shared_32(smem_base() + 128 * (u32)thread_index(), 0); /* one bank: 32 passes */
  };
  emu::Counts counts;
  std::string error;
  ck_assert(emu::launch(l, &counts, &error));
  ck_assert_uint_eq(counts.shared.size(), 2);
  ck_assert_uint_eq(counts.shared.begin()->second.wavefronts, 1);
  ck_assert_uint_eq(counts.shared.rbegin()->second.wavefronts, 32);
  ck_assert_uint_eq(counts.shared.rbegin()->second.ideal, 1);
}
END_TEST

static Suite *suite(void)
{
  Suite *s = suite_create("machine");
  TCase *t = tcase_create("rules");
  tcase_add_test(t, sound_exchange);
  tcase_add_test(t, race_read_after_write);
  tcase_add_test(t, race_write_after_write_and_read);
  tcase_add_test(t, never_written);
  tcase_add_test(t, bounds_and_alignment);
  tcase_add_test(t, copies);
  tcase_add_test(t, zero_fill_reads_nothing);
  tcase_add_test(t, barriers);
  tcase_add_test(t, named_barrier_hands_over);
  tcase_add_test(t, named_barrier_orders_only_its_own);
  tcase_add_test(t, order_is_transitive);
  tcase_add_test(t, arrive_does_not_acquire);
  tcase_add_test(t, full_and_empty);
  tcase_add_test(t, named_barrier_rules);
  tcase_add_test(t, whole_warp_reads);
  tcase_add_test(t, blocks_hand_over);
  tcase_add_test(t, blocks_write_apart);
  tcase_add_test(t, blocks_in_turn);
  tcase_add_test(t, warpgroups_meet);
  tcase_add_test(t, names_the_place);
  tcase_add_test(t, exchanges);
  tcase_add_test(t, conversions);
  tcase_add_test(t, conflicts_are_counted);
  suite_add_tcase(s, t);
  return s;
}

FL4_TEST_MAIN_MODE(suite, CK_NOFORK)

/* SPDX-License-Identifier: Apache-2.0 */
/* Who sees what: barriers of some of the warps, reads of whole warps, blocks that hand over. As test_machine.cc. */
#include <algorithm>

#include "test_kernels.h"

/* ---------------------------------------------------------------- barriers of some of the warps */

START_TEST(named_barrier_hands_over)
{
  ck_assert_sound(run([] {
    if (warp_index() == 0) write_row();
    named_barrier(1, 64);
    if (warp_index() == 1) read_row_of(0);
  }));
  ck_assert_unordered(run([] {
    if (warp_index() == 0) write_row();
    if (warp_index() == 1) read_row_of(0);
  }));
  ck_assert_says(run([] {
                   if (warp_index() == 0) write_row();
                   named_barrier(warp_index() ? 1 : 2, 64);
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
          named_barrier(warp_index() / 2 ? 7 : 15, 64);
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
          if (warp_index() == 0 || (warp_index() != 3 && warp_index() != other)) named_barrier(1, other ? 64 : 96);
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
          if (warp_index() == 1 && !in_order) named_barrier_arrive(2, 64); /* it has not seen the row yet */
          if (warp_index() <= 1) named_barrier(1, 64);
          if (warp_index() == 1 && in_order) named_barrier_arrive(2, 64);
          if (warp_index() == 2) named_barrier(2, 64);
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
          if (warp_index() == 0) named_barrier_arrive(1, 64);
          if (warp_index() == 1) named_barrier(1, 64);
          meet();
          if (warp_index() == !back) read_row_of(back);
        },
        128);
    if (back) ck_assert_says(error, "race: thread");
    else ck_assert_sound(error);
  }
  ck_assert_says(run([] {
                   if (warp_index() == 0) named_barrier_arrive(1, 64), write_row(); /* too late for the barrier */
                   if (warp_index() == 1) named_barrier(1, 64);
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
      if (tile > 0 && with_empty) named_barrier(EMPTY, THREADS);
      store_shared_128(word(thread_index() * 4), {(u32)(tile * 100 + thread_index()), 1, 2, 3});
      named_barrier_arrive(full, THREADS);
    } else {
      const int row = thread_index() % 32 ^ 5;
      named_barrier(full, THREADS);
      if (read_word(row * 4) != (u32)(tile * 100 + row)) abort();
      if (tile + 1 < TILES && with_empty) named_barrier_arrive(EMPTY, THREADS);
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
  ck_assert_says(run([] { named_barrier(-1, 64); }), "barrier -1: must be 0 to 15");
  ck_assert_says(run([] { named_barrier(16, 64); }), "barrier 16: must be 0 to 15");
  for (int threads : {-32, 0, 48, 96})
    ck_assert_says(run([=] { named_barrier_arrive(1, threads); }),
                   "is of " + std::to_string(threads) + " threads, must be of whole warps, of a block of 64");
  ck_assert_says(run([] { named_barrier(1, warp_index() ? 64 : 96); }, 96), " threads here, and of ");
  ck_assert_says(run([] { warp_index() ? named_barrier(0, 64) : block_barrier(); }, 96), " threads here, and of ");
  ck_assert_says(run([] { if (thread_index() % 2) named_barrier(1, 32); }), "only a part of warp");
  ck_assert_says(run([] { named_barrier_arrive(1, 64), named_barrier_arrive(1, 64); }),
                 "the thread has arrived at test_order.cc:");
  ck_assert_says(run([] { if (warp_index()) named_barrier_arrive(3, 64), named_barrier(3, 64); }), "already, and only");
  ck_assert_says(run([] { thread_index() % 2 ? named_barrier(1, 64) : named_barrier_arrive(1, 64); }),
                 "has diverged: it is at test_order.cc:");
  ck_assert_says(run([] { if (thread_index() < 32) named_barrier_arrive(4, 64); }),
                 "the thread left barrier 4 with 32 of 64");
  ck_assert_says(run([] { if (thread_index() != 7) block_barrier(); }),
                 "deadlock: 63 threads wait, 1 have left, such as thread 7; 63 of 64 have reached barrier 0");
  ck_assert_sound(run([] { /* the next time it may be of others */
    named_barrier(2, 64);
    if (warp_index() == 1) named_barrier(2, 32);
  }));
}
END_TEST

/* An instruction of all lanes together has read when it is over: its warp may overwrite, another may not. */
START_TEST(whole_warp_reads)
{
  ck_assert_sound(run([] {
    write_row(), warp_barrier(), read_rows_together();
    write_row(thread_index() ^ 3);
  }, 32));
  for (int ordered = 0; ordered < 2; ordered++) {
    const std::string error = run(
        [=] {
          if (warp_index() == 0) write_row(), warp_barrier(), read_rows_together();
          if (warp_index() < 2 && ordered) named_barrier(1, 64);
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
                   if (warp_index() == 0) read_rows_together(), warp_barrier();
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
                     read_rows_together();
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
    if (lane || missing == TICKET) return false;
    return atomic_wrapping_increment(memory + warp * 4, blocks - 1) == (u32)blocks - 1;
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

static Suite *suite(void)
{
  Suite *s = suite_create("order");
  TCase *t = tcase_create("rules");
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
  suite_add_tcase(s, t);
  return s;
}

FL4_TEST_MAIN_MODE(suite, CK_NOFORK)

/* SPDX-License-Identifier: Apache-2.0 */
/* Barriers in shared memory, and registers that warpgroups pass on. Kernels as in test_machine.cc. */
#include <atomic>

#include "test_hopper.h"

/* ---------------------------------------------------------------- order */

/* Rows of warp 0 go to warp 1, and when they are read new ones; as often as parities repeat. */
static void hand_over(bool waits_full, bool waits_empty)
{
  init_barriers({32, 32});
  for (u32 i = 0; i < 5; i++) {
    if (warp_index() == 0) {
      if (waits_empty) mbarrier_wait(barrier_at(1), (i + 1) & 1);
      write_row();
      mbarrier_arrive(barrier_at(0));
    }
    if (!waits_full) meet();
    if (warp_index() == 1) {
      if (waits_full) mbarrier_wait(barrier_at(0), i & 1);
      read_row_of(0);
      mbarrier_arrive(barrier_at(1));
    }
    if (!waits_empty) meet();
  }
}

START_TEST(hands_over)
{
  check([] { hand_over(true, true); });
  check([] { hand_over(false, true); }, {"race: thread"});
  check([] { hand_over(true, false); }, {"race: it is still being read"});
}
END_TEST

START_TEST(arrival_releases_what_came_before)
{
  check([] {
    init_barriers({32});
    if (warp_index() == 0) mbarrier_arrive(barrier_at(0)), write_row();
    if (warp_index() == 1) mbarrier_wait(barrier_at(0), 0);
    meet();
    if (warp_index() == 1) read_row_of(0);
  }, {"race: thread"});
  /* Who arrives and does not wait sees nothing. */
  check([] {
    init_barriers({64});
    if (warp_index() < 2) write_row(), mbarrier_arrive(barrier_at(0));
    if (warp_index() == 1) mbarrier_wait(barrier_at(0), 0);
    meet();
    if (warp_index() == 0) read_row_of(1);
  }, {"race: thread"});
  /* What is released in a phase that goes on is not known yet. */
  check([] {
    init_barriers({32});
    if (warp_index() == 0) mbarrier_arrive(barrier_at(0));
    meet();
    if (warp_index() == 0) write_row();
    if (thread_index() < 31) mbarrier_arrive(barrier_at(0));
    meet();
    if (warp_index() == 1) mbarrier_wait(barrier_at(0), 0), read_word(7 * 4);
  }, {"race: thread 7 wrote it"});
  /* What one of those who wait has seen before is not for the others. */
  check([] {
    init_barriers({1});
    if (warp_index() == 0) write_row();
    if (warp_index() < 2) named_barrier(1, 64);
    if (thread_index() == 127) mbarrier_arrive(barrier_at(0));
    for (int warp = 1; warp < 3; warp++) {
      if (warp_index() == warp) mbarrier_wait(barrier_at(0), 0);
      meet();
    }
    if (warp_index() == 2) read_row_of(0);
  }, {"race: thread"});
}
END_TEST

START_TEST(is_transitive)
{
  for (int sees = 0; sees < 2; sees++)
    check([=] {
      init_barriers({32, 1});
      if (warp_index() == 0) write_row(), mbarrier_arrive(barrier_at(0));
      if (thread_index() == 32) {
        if (sees) mbarrier_wait(barrier_at(0), 0);
        mbarrier_arrive(barrier_at(1));
      }
      meet();
      if (warp_index() == 2) mbarrier_wait(barrier_at(1), 0), read_row_of(0);
    }, sees ? std::vector<std::string>() : std::vector<std::string>{"race: thread"});
}
END_TEST

/* Whoever waits for a phase sees what was released in those before it, too. */
START_TEST(phases_add_up)
{
  check([] {
    init_barriers({32});
    if (warp_index() == 0) write_row(), mbarrier_arrive(barrier_at(0));
    meet();
    if (warp_index() == 1) mbarrier_arrive(barrier_at(0));
    meet();
    if (warp_index() == 2) mbarrier_wait(barrier_at(0), 1), read_row_of(0);
  });
}
END_TEST

/* One lane arrives for its warp: what the warp read together is released, what each lane read by itself is not. */
START_TEST(one_lane_for_its_warp)
{
  for (int together = 0; together < 2; together++)
    check([=] {
      init_barriers({1});
      if (warp_index() == 0) {
        write_row(), warp_barrier();
        if (together) read_rows_together();
        else read_row_of(0);
        if (thread_index() == 0) mbarrier_arrive(barrier_at(0));
      }
      meet();
      if (warp_index() == 1) mbarrier_wait(barrier_at(0), 0), write_row(thread_index() - 32);
    }, together ? std::vector<std::string>() : std::vector<std::string>{"race: it is still being read"});
}
END_TEST

/* What is known of other blocks is passed on: the last block's thread 32 reads what thread 0 of the other wrote. */
START_TEST(passes_on_what_is_known)
{
  enum { NOTHING, FENCED, PHASE, KNOWN, N_MISSING };
  char *memory = global_memory(64, false);
  for (int missing = NOTHING; missing < N_MISSING; missing++)
    for (emu::u64 seed = 0; seed < 6; seed++) {
      static bool last;
      memset(memory, 0, 16);
      emu::global_written(memory, 16);
      emu::Launch l;
      l.kernel = "test", l.blocks = 2, l.threads = 128, l.smem = SMEM, l.options.seed = seed, l.in_turn = true;
      l.body = [=] {
        init_barriers({2, 1});
        if (thread_index() == 1) gpu_fence(), mbarrier_arrive(barrier_at(0));
        if (thread_index() == 0 && missing == PHASE) mbarrier_arrive(barrier_at(0));
        meet();
        if (thread_index() == 0) {
          store_global_32(memory + 16 + 4 * block_index(), 1);
          gpu_fence();
          mbarrier_arrive(barrier_at(0)); /* perhaps in a phase that nobody waits for */
        }
        meet();
        if (thread_index() == 64) {
          if (missing != FENCED) mbarrier_wait(barrier_at(0), 0);
          last = atomic_wrapping_increment(memory, 1) == 1;
          gpu_fence();
          mbarrier_arrive(barrier_at(1));
        }
        meet();
        if (thread_index() != 32) return;
        if (missing != KNOWN) mbarrier_wait(barrier_at(1), 0);
        if (last) load_global_16(memory + 16 + 4 * (1 - block_index()));
      };
      std::string error;
      emu::launch(l, nullptr, &error);
      if (missing == NOTHING) ck_assert_sound(error);
      else ck_assert_says(error, "no fence and atomic came between");
    }
  emu::global_free(memory);
}
END_TEST

/* ---------------------------------------------------------------- phases */

START_TEST(parities)
{
  check([] {
    init_barriers({1});
    mbarrier_wait(barrier_at(0), 1); /* the phase before the first is over */
    meet();
    if (thread_index() == 0) mbarrier_arrive(barrier_at(0));
    mbarrier_wait(barrier_at(0), 0);
  });
  /* The wrong one is that of the next phase, or of the one before, which lets pass too early. */
  for (u32 arrivals = 32; arrivals < 34; arrivals++)
    check([=] {
      init_barriers({arrivals});
      if (warp_index() == 0) write_row(), mbarrier_arrive(barrier_at(0));
      meet();
      if (warp_index() == 1) mbarrier_wait(barrier_at(0), 1), read_row_of(0);
    }, {arrivals == 32 ? "deadlock: 32 threads wait, 96 have left" : "race: thread"});
  check([] {
    init_barriers({1, 3});
    mbarrier_wait(barrier_at(1), 0);
  }, {"; 128 wait for the mbarrier at 0x1408 (offset 0x1008) in phase 0: 3 of 3 arrivals are missing, 0 bytes were "
      "announced and 0 copied"});
  check([] {
    init_barriers({1});
    mbarrier_wait(barrier_at(0), 2);
  }, {"a parity of 2"});
}
END_TEST

/* A phase may be over twice before somebody who waits for it looks: then its parity says that it is not. */
START_TEST(who_is_late_may_miss_it)
{
  int missed = 0;
  for (emu::u64 seed = 0; seed < 20; seed++)
    missed += !run([] {
      init_barriers({1});
      if (thread_index() == 40) mbarrier_wait(barrier_at(0), 0);
      if (thread_index() == 3) mbarrier_arrive(barrier_at(0)), mbarrier_arrive(barrier_at(0));
    }, 64, {seed, emu::Copies::late}, SMEM).empty();
  ck_assert_int_eq(missed, 20);
}
END_TEST

START_TEST(may_be_tested)
{
  static std::atomic<int> in_vain, at_once;
  in_vain = at_once = 0;
  check([] {
    init_barriers({32});
    if (warp_index() == 0) write_row(), mbarrier_arrive(barrier_at(0));
    if (warp_index() == 1) {
      int times = 0;
      while (!mbarrier_test(barrier_at(0), 0)) times++;
      (times ? in_vain : at_once)++;
      read_row_of(0);
    }
  });
  ck_assert(in_vain > 0 && at_once > 0);
  check([] {
    init_barriers({33});
    if (warp_index() == 0) write_row(), mbarrier_arrive(barrier_at(0));
    meet();
    if (warp_index() == 1 && !mbarrier_test(barrier_at(0), 0)) read_row_of(0);
  }, {"race: thread"});
  check([] {
    init_barriers({1});
    while (!mbarrier_test(barrier_at(0), 0)) continue; /* for ever */
  }, {"deadlock: 128 threads wait, 0 have left; 128 wait for the mbarrier"});
}
END_TEST

/* ---------------------------------------------------------------- rules */

START_TEST(initialisation)
{
  const auto init = [] { mbarrier_init(barrier_at(0), 128); };
  check([=] {
    if (thread_index() == 0) init();
    block_barrier(), mbarrier_arrive(barrier_at(0));
  }, {"initialised it at test_mbarrier.cc:", "and no fence came behind it"});
  check([=] {
    if (thread_index() == 0) init();
    block_barrier();
    if (thread_index() == 0) mbarrier_init_fence();
    meet(), mbarrier_arrive(barrier_at(0));
  }, {"no barrier came between"});
  check([=] {
    if (thread_index() == 0) init(), mbarrier_init_fence();
    meet(), mbarrier_arrive(barrier_at(0));
  }, {"no barrier came between"});
  check([=] {
    if (thread_index() == 0) init(), mbarrier_arrive(barrier_at(0)); /* its own, it may */
  });
  check([=] {
    if (thread_index() == 0) init(), init();
  }, {"it is one already"});
  check([=] {
    if (thread_index() == 1) store_shared_32(barrier_at(0), 0);
    meet();
    if (thread_index() == 0) init();
  }, {"race: thread 1 wrote it"});
  check([=] { mbarrier_arrive(barrier_at(0)); }, {"there is no mbarrier"});
  check([=] { mbarrier_init(barrier_at(0) + 4, 1); }, {"not a multiple of 8"});
  check([=] { mbarrier_init(smem_base() + SMEM, 1); }, {"out of bounds"});
  check([=] { mbarrier_init(barrier_at(0), 0); }, {"a count of 0"});
  check([=] { mbarrier_init(barrier_at(0), 1 << 20); }, {"a count of 1048576"});
  check([=] {
    init_barriers({1});
    if (thread_index() == 0) store_shared_32(barrier_at(0) + 4, 0);
  }, {"part of an mbarrier"});
}
END_TEST

START_TEST(arrivals_and_bytes)
{
  check([] {
    init_barriers({1});
    if (thread_index() == 0) mbarrier_arrive_expect(barrier_at(0), 64), mbarrier_arrive(barrier_at(0));
  }, {"one arrival too many: mbarrier at 0x1400 (offset 0x1000) in phase 0: 0 of 1 arrivals are missing, 64 bytes"});
  check([] {
    init_barriers({1});
    if (thread_index() == 0) mbarrier_arrive_expect(barrier_at(0), 64);
  }, {"the kernel ends with a wrong transaction count: mbarrier at 0x1400"});
  check([] {
    init_barriers({1});
    mbarrier_arrive_expect(barrier_at(0), 1 << 20);
  }, {"cannot count 1048576 bytes"});
}
END_TEST

/* ---------------------------------------------------------------- registers */

START_TEST(registers)
{
  const auto pass_on = [](bool gives) {
    if (warpgroup_index() > 0) take_registers<240>();
    else if (gives) give_registers<24>();
  };
  check([=] { pass_on(true); }, {}, 384); /* 2 · (240 − 168) = 168 − 24 */
  check([=] { pass_on(false); },
        {"wants 240 registers a thread, and has 168 and a pool of 0"}, 384);
  check([=] {
    if (warpgroup_index() > 0) take_registers<248>();
    else give_registers<24>();
  }, {"wants 248 registers a thread, and has 168 and a pool of 8192"}, 384);
  check([=] {
    if (warpgroup_index() > 0) take_registers<240>();
    else if (warp_index()) give_registers<24>(); /* three warps of four */
  }, {"deadlock"}, 384);
  check([] { take_registers<232>(); }, {}, 256); /* the compiler may have given fewer: it is not known */
  check([] {
    if (warpgroup_index() == 0) take_registers<160>(); /* gives nothing back */
    if (warpgroup_index() == 1) take_registers<176>();
  }, {"wants 176 registers a thread, and has 168 and a pool of 0"}, 384);
  check([] { give_registers<16>(); }, {"16 registers: must be a multiple of 8 from 24 to 256"});
  check([] { give_registers<28>(); }, {"28 registers: must be"});
  check([] { take_registers<264>(); }, {"264 registers: must be"});
  check([] { give_registers<176>(); }, {"176 registers are not fewer than the 168"}, 384);
}
END_TEST

static Suite *suite(void)
{
  Suite *s = suite_create("mbarrier");
  TCase *t = tcase_create("rules");
  tcase_add_test(t, hands_over);
  tcase_add_test(t, arrival_releases_what_came_before);
  tcase_add_test(t, is_transitive);
  tcase_add_test(t, phases_add_up);
  tcase_add_test(t, one_lane_for_its_warp);
  tcase_add_test(t, passes_on_what_is_known);
  tcase_add_test(t, parities);
  tcase_add_test(t, who_is_late_may_miss_it);
  tcase_add_test(t, may_be_tested);
  tcase_add_test(t, initialisation);
  tcase_add_test(t, arrivals_and_bytes);
  tcase_add_test(t, registers);
  suite_add_tcase(s, t);
  return s;
}

FL4_TEST_MAIN_MODE(suite, CK_NOFORK)

/* SPDX-License-Identifier: Apache-2.0 */
/* Each rule of memory, copies and meetings, on kernels of a few lines that break it, and on some that do not. */
#include <mutex>

#include "test_kernels.h"

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
  const std::string error = run([] {
    u32 x[4];
    if (thread_index() == 37) load_shared_128(x, word(0));
  });
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
  tcase_add_test(t, warpgroups_meet);
  tcase_add_test(t, names_the_place);
  tcase_add_test(t, exchanges);
  tcase_add_test(t, conversions);
  tcase_add_test(t, conflicts_are_counted);
  suite_add_tcase(s, t);
  return s;
}

FL4_TEST_MAIN_MODE(suite, CK_NOFORK)

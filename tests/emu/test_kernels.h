/* SPDX-License-Identifier: Apache-2.0 */
/* For tests of the machine's rules: kernels of a few lines, with the names that real ones use, and what is said. */
#ifndef FL4_EMU_TEST_KERNELS_H
#define FL4_EMU_TEST_KERNELS_H

#include <cstring>

#include "state.h"
extern "C" {
#include "fl4_test.h"
}

#define FL4_BF16 0
#include "ptx.h"
#include "ptx_hopper.h"

/* Two blocks of a kernel; what is wrong with it, or "". */
inline std::string run(std::function<void()> body, int threads = 64, emu::Options options = {}, size_t smem = 4096)
{
  emu::Launch l;
  l.kernel = "test", l.blocks = 2, l.threads = threads, l.smem = smem, l.body = body, l.options = options;
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

inline u32 word(int i) { return smem_base() + (u32)i * 4; }

inline u32 read_word(int i)
{
  u32 x[4];
  load_shared_128(x, word(i / 4 * 4));
  return x[i % 4];
}

inline char *global_memory(size_t bytes, bool written)
{
  char *memory = static_cast<char *>(emu::global_alloc(bytes));
  if (written) {
    memset(memory, 1, bytes);
    emu::global_written(memory, bytes);
  }
  return memory;
}

inline int warp_index() { return thread_index() / 32; }

/* A row is 16 bytes; each thread has its own. */
inline void write_row(int row = thread_index())
{
  store_shared_128(word(row * 4), {(u32)row, 1, 2, 3});
}

inline void read_row_of(int warp)
{
  read_word((warp * 32 + (thread_index() ^ 5) % 32) * 4);
}

/* A whole warp's read of the rows of its lanes. */
inline void read_rows_together()
{
  u32 r[4];
  ldmatrix_x4(r, word(thread_index() % 32 * 4));
}

/*
 * All warps of a warpgroup come by before any goes on, and yet no access is ordered: a race that is
 * found after this is found by the rules, not by chance.
 */
inline void meet(FL4_SITE)
{
  emu::with_warpgroup(FL4_AT("meet"), nullptr, [](void *const *) {});
}

#endif

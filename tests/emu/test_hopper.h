/* SPDX-License-Identifier: Apache-2.0 */
/* For tests of what sm_90a adds: kernels of a warpgroup, with barriers in shared memory and tensors to copy from. */
#ifndef FL4_EMU_TEST_HOPPER_H
#define FL4_EMU_TEST_HOPPER_H

#include <initializer_list>

#include "test_kernels.h"

enum { SMEM = 8192, BARRIERS_AT = 4096 };

inline u32 barrier_at(int i)
{
  return smem_base() + BARRIERS_AT + (u32)i * 8;
}

/* Late and early, in several orders: sound, or wrong for one of these reasons. */
inline void check(std::function<void()> body, std::vector<std::string> reasons = {}, int threads = 128,
                  size_t smem = SMEM)
{
  for (emu::u64 seed = 0; seed < 12; seed++) {
    const std::string error = run(body, threads, {seed, seed % 3 ? emu::Copies::late : emu::Copies::early}, smem);
    bool as_expected = reasons.empty() && error.empty();
    std::string expected;
    for (const std::string &reason : reasons) {
      as_expected |= error.find(reason) != std::string::npos;
      expected += " \"" + reason + "\"";
    }
    ck_assert_msg(as_expected, "seed %d: \"%s\", expected%s", (int)seed, error.c_str(),
                  expected.empty() ? " nothing" : expected.c_str());
  }
}

/* Barriers, by number of arrivals. */
inline void init_barriers(std::initializer_list<u32> counts)
{
  int i = 0;
  if (thread_index() == 0) {
    for (u32 count : counts) mbarrier_init(barrier_at(i++), count);
    mbarrier_init_fence();
  }
  block_barrier();
}

/* A tensor of distinct elements, and its map. Sizes and strides are of column, row, head, batch. */
struct Tensor {
  alignas(64) fl4_tensor_map map;
  emu::u64 size[4], stride[4];
  char *memory;

  Tensor(emu::u64 columns, emu::u64 rows, emu::u64 heads, emu::u64 batches, int box_rows,
         const std::function<u16(emu::u64)> &element = [](emu::u64 i) { return (u16)(i * 40503 + 1); })
      : size{columns, rows, heads, batches}, stride{2, (columns * 2 + 31) / 16 * 16}
  {
    stride[2] = stride[1] * rows + 16, stride[3] = stride[2] * heads;
    const size_t bytes = stride[3] * batches;
    memory = static_cast<char *>(emu::global_alloc(bytes));
    for (emu::u64 i = 0; i < bytes / 2; i++) {
      const u16 x = element(i);
      memcpy(memory + 2 * i, &x, 2);
    }
    emu::global_written(memory, bytes);
    ck_assert(emu::encode_tensor_map(&map, memory, size, stride, box_rows));
  }
  Tensor(const Tensor &) = delete;
  ~Tensor() { emu::global_free(memory); }

  /* 0 outside. */
  u16 at(int column, int row, int head, int batch) const
  {
    const int place[4] = {column, row, head, batch};
    const char *address = memory;
    for (int i = 0; i < 4; i++) {
      if (place[i] < 0 || (emu::u64)place[i] >= size[i]) return 0;
      address += (emu::u64)place[i] * stride[i];
    }
    u16 x;
    memcpy(&x, address, 2);
    return x;
  }
};

#endif

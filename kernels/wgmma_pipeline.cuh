// SPDX-License-Identifier: Apache-2.0
//
// How tiles come into shared memory and are given back.
//
// Query, key and value tiles each have a ring of slots, and a slot two barriers: one that is passed when the tile is
// there, one when all that read it have done so. Use number i of a ring is of slot i % slots, and of the barriers'
// phase i / slots. Who waits for "there" waits for that phase; who refills, for the phase before it of "empty", which
// for the first use is passed at once.
#ifndef WGMMA_PIPELINE_CUH
#define WGMMA_PIPELINE_CUH

#include "fl4_common.cuh"
#include "fl4_debug.cuh"
#include "fl4_ptx_hopper.cuh"
#include "wgmma_config.cuh"

// Row tiles that the producer has told of, and what it tells of each.
constexpr bool TOLD_MORE = LENGTHS || WINDOW;  // and splits, which have one row tile, where lengths have it told
constexpr int TOLD = 2, TOLD_BYTES = TOLD_MORE ? 32 : 16;

// Behind the last key of a sequence may lie anything, NaN too, where it is not the end of the tensor: such values become 0
// (wgmma_mender.cuh).
constexpr bool MENDS = LENGTHS || PAGED;

// Addresses in shared memory. Barriers of a ring are 8 bytes apart. Each group of warps has query tiles of its own.
struct Pipeline {
  u32 q, k, v;
  u32 q_full, q_empty, k_full, k_empty, v_full, v_empty, told_full, told_empty;
  u32 told;
  u32 landed, mend_full, mend_empty, mend;  // if MENDS
  u32 bias, bias_full, bias_empty;          // if BIAS; of each slot and group
  u32 entries;                              // if SKIP: what the list says of the tiles whose keys are there
};

FL4_DEV Pipeline pipeline()
{
  Pipeline p;
  p.q = smem_base(), p.k = p.q + K_OFFSET, p.v = p.q + V_OFFSET;
  p.q_full = p.q + BARRIER_OFFSET, p.q_empty = p.q_full + 8 * QBUF * GROUPS;
  p.k_full = p.q_empty + 8 * QBUF * GROUPS, p.k_empty = p.k_full + 8 * STAGES;
  p.v_full = p.k_empty + 8 * STAGES, p.v_empty = p.v_full + 8 * STAGES;
  p.told_full = p.v_empty + 8 * STAGES, p.told_empty = p.told_full + 8 * TOLD;
  p.told = (p.told_empty + 8 * TOLD + TOLD_BYTES - 1) / TOLD_BYTES * TOLD_BYTES;
  p.mend = p.told + TOLD_BYTES * TOLD;
  p.landed = p.mend + 16, p.mend_full = p.landed + 8, p.mend_empty = p.landed + 16;
  p.bias = p.q + BIAS_OFFSET, p.bias_full = p.landed + 24, p.bias_empty = p.bias_full + 8 * BIAS_SLOTS * GROUPS;
  p.entries = p.bias_empty + 8 * BIAS_SLOTS * GROUPS;
  return p;
}
static_assert(8 * (2 * QBUF * GROUPS + 4 * STAGES + 2 * TOLD) + TOLD_BYTES * (TOLD + 1) + 16 + 24 + 16 * BIAS_SLOTS * GROUPS + 4 * STAGES <= BARRIER_BYTES,
              "room for the barriers");

// By one thread, before all others use them. A slot is given back by one lane of each warp that reads it.
FL4_DEV void init_barriers(const Pipeline &p)
{
  for (int i = 0; i < QBUF * GROUPS; i++) mbarrier_init(p.q_full + 8 * i, 1), mbarrier_init(p.q_empty + 8 * i, 4);
  for (int i = 0; i < STAGES; i++) {
    mbarrier_init(p.k_full + 8 * i, 1), mbarrier_init(p.k_empty + 8 * i, 4 * GROUPS);
    mbarrier_init(p.v_full + 8 * i, 1), mbarrier_init(p.v_empty + 8 * i, 4 * GROUPS);
  }
  for (int i = 0; i < TOLD; i++) mbarrier_init(p.told_full + 8 * i, 1), mbarrier_init(p.told_empty + 8 * i, 128 * GROUPS);
  if (MENDS) mbarrier_init(p.landed, 1), mbarrier_init(p.mend_full, 1), mbarrier_init(p.mend_empty, 32);
  for (int i = 0; i < (BIAS ? BIAS_SLOTS * GROUPS : 0); i++)
    mbarrier_init(p.bias_full + 8 * i, 1), mbarrier_init(p.bias_empty + 8 * i, 4);
  mbarrier_init_fence();
}

constexpr int MOST_TRIES = 1 << 24;  // of waiting in a debug build: some seconds

// Waits until phase `phase` of barrier `slot` is over; "phase -1", which always is, is said as any odd number at the
// start. In a debug build not for ever: what did not come is told, the answer is false, and the kernel runs to its end
// without waiting any more. The answer is false also where the phase is over and somebody has given up: then it may be over
// for that reason.
FL4_DEV bool wait_for(const fl4_fwd_params &p, u32 barriers, int slot, u32 phase)
{
  if (!DEBUG) return mbarrier_wait(barriers + 8 * slot, phase & 1), true;
  void *record = reinterpret_cast<void *>(p.debug);
  for (int i = 0; !mbarrier_test(barriers + 8 * slot, phase & 1); i++) {
    const bool in_time = i < MOST_TRIES;
    invariant(p, in_time, FL4_INVARIANT_IN_TIME, (barriers - smem_base() - BARRIER_OFFSET) / 8 + slot, phase);
    if (!in_time || (record && i % 4096 == 4095 && atomic_cas_global(record, 0, 0))) return false;
  }
  return !record || !atomic_cas_global(record, 0, 0);
}

// A place in a ring. Walked instead of computed, for the slots may be three.
struct Place {
  int slot;
  u32 phase;
};
template <int SLOTS> FL4_DEV void advance(Place &at)
{
  if (++at.slot == SLOTS) at.slot = 0, at.phase++;
}

FL4_DEV void wait_for(const fl4_fwd_params &p, u32 barriers, const Place &at) { wait_for(p, barriers, at.slot, at.phase); }
FL4_DEV bool is_over(u32 barriers, const Place &at) { return mbarrier_test(barriers + 8 * at.slot, at.phase & 1); }

// Copies the pages of a box into a slot, which is empty.
FL4_DEV void load_pages(u32 to, u32 barrier, const fl4_tensor_map *map, int bytes, int row, int head, int batch)
{
  mbarrier_arrive_expect(barrier, bytes);
#pragma unroll
  for (int page = 0; page < PAGES; page++)
    tma_load(to + page * (bytes / PAGES), map, barrier, page * 64, row, head, batch);
}

// Gives a slot back: by one lane for its warp, whose lanes have all waited for their products.
FL4_DEV void release(u32 barriers, int slot)
{
  if (lane() == 0) mbarrier_arrive(barriers + 8 * slot);
}

#endif

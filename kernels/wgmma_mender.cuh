// SPDX-License-Identifier: Apache-2.0
//
// Values behind the last key of a sequence: their weights are 0, but 0 times NaN is NaN, and in ragged, paged or partly used
// memory they may be that. The copy engine writes zeros only behind the end of a tensor. So the tile in which a sequence
// ends takes another way: it lands on a barrier of its own, a warp of the producer's group, which has nothing else to do, writes zeros
// over what does not belong to the sequence, and only then the tile is there.
#ifndef WGMMA_MENDER_CUH
#define WGMMA_MENDER_CUH

#include "wgmma_schedule.cuh"

constexpr int NOTHING_MORE = -1;

// By the producer, before copies complete on `landed` and a message is left: the mender has done with the one before. n counts them.
FL4_DEV bool wait_for_mender(const fl4_fwd_params &p, const Pipeline &pipe, int n) { return wait_for(p, pipe.mend_empty, 0, n + 1); }

// Slot `slot` of the values ends after `rows` rows.
FL4_DEV void tell_mender(const Pipeline &pipe, int slot, int rows)
{
  const u32 words[4] = {(u32)slot, (u32)rows, 0, 0};
  store_shared_128(pipe.mend, words);
  mbarrier_arrive(pipe.mend_full);
}

// By a warp.
FL4_DEV void mend(const fl4_fwd_params &p, const Pipeline &pipe)
{
  const u32 zeros[4] = {0, 0, 0, 0};
  for (int n = 0;; n++) {
    u32 words[4];
    if (!wait_for(p, pipe.mend_full, 0, n)) return;
    load_shared_128(words, pipe.mend);
    const int slot = (int)words[0], rows = (int)words[1];
    if (slot == NOTHING_MORE) return;
    if (!wait_for(p, pipe.landed, 0, n)) return;
    for (int page = 0; page < PAGES; page++)
      for (int chunk = rows * 8 + lane(); chunk < BN * 8; chunk += 32)
        store_shared_128(pipe.v + slot * TILE_BYTES + page * KV_PAGE + chunk * 16, zeros);
    async_fence();
    warp_barrier();  // all lanes' zeros are there
    release(pipe.v_full, slot);
    mbarrier_arrive(pipe.mend_empty);
  }
}

#endif

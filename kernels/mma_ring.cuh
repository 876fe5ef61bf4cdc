// SPDX-License-Identifier: Apache-2.0
//
// Key and value tiles on their way through rings in shared memory.
#ifndef MMA_RING_CUH
#define MMA_RING_CUH

#include "fl4_schedule.cuh"
#include "fl4_smem.cuh"

// Tiles are numbered as they are walked: tile 0 is the rightmost.
struct Ring {
  const char *k, *v; // row 0 of the head
  i64 k_row, v_row;  // bytes between rows
  u32 smem;
  int tiles, end; // of the row tile, and where this block stops
  int keys;       // that there are
  int b;          // whose pages they are
#if FL4_SKIP
  const char *list; // of the tiles
#endif
};

// Where the walk stands: the slots of this tile's keys, the next tile's keys, and this tile's values.
struct Slots {
  int k, k_next, v;
};

FL4_DEV int slot_after(int slot, int slots)
{
  return slot + 1 == slots ? 0 : slot + 1;
}
FL4_DEV int slot_before(int slot, int slots)
{
  return slot == 0 ? slots - 1 : slot - 1;
}
FL4_DEV u32 k_slot(u32 smem, int slot)
{
  return smem + (slot == K_SLOTS - 1 ? RING_BYTES - TILE_BYTES : slot * TILE_BYTES);
}
FL4_DEV u32 v_slot(u32 smem, int slot)
{
  return smem + (K_SLOTS - 1 + slot) * TILE_BYTES;
}

template <bool GUARD> FL4_DEV void load_keys(const Ring &r, const fl4_fwd_params &p, int tile, int slot)
{
  const int key0 = FIRST_KEY(r, tile);
  invariant(p, key0 >= 0 && key0 < r.keys, FL4_INVARIANT_IN_RANGE, key0, r.keys);
  if (PAGED)
    load_paged_tile<BN, GUARD>(p, k_slot(r.smem, slot), r.k, p.k_stride[0] * 2, r.k_row, r.b, key0, r.keys - key0);
  else
    load_tile<BN, GUARD>(p, k_slot(r.smem, slot), r.k + key0 * r.k_row, r.k_row, r.keys - key0);
}
template <bool GUARD> FL4_DEV void load_values(const Ring &r, const fl4_fwd_params &p, int tile, int slot)
{
  const int key0 = FIRST_KEY(r, tile);
  invariant(p, key0 >= 0 && key0 < r.keys, FL4_INVARIANT_IN_RANGE, key0, r.keys);
  if (PAGED)
    load_paged_tile<BN, GUARD>(p, v_slot(r.smem, slot), r.v, p.v_stride[0] * 2, r.v_row, r.b, key0, r.keys - key0);
  else
    load_tile<BN, GUARD>(p, v_slot(r.smem, slot), r.v + key0 * r.v_row, r.v_row, r.keys - key0);
}

constexpr int AHEAD = WEAVE || SHARE; // tiles by which keys are needed before values

// What a tile needs beyond the tiles before it: its values, and its keys, or those of a tile AHEAD.
// One group is committed a tile, also when nothing is copied, so that the count of pending groups
// means the same on the last tiles as on the first.
template <bool GUARD_VALUES, bool GUARD_KEYS>
FL4_DEV void load_for(const Ring &r, const fl4_fwd_params &p, int tile, int k, int v)
{
  if (tile + AHEAD < r.end) load_keys<GUARD_KEYS>(r, p, tile + AHEAD, k);
  if (tile < r.end) load_values<GUARD_VALUES>(r, p, tile, v);
  cp_async_commit();
}

FL4_DEV Ring ring_of(const fl4_fwd_params &p, const Work &w, u32 smem)
{
  return {
    reinterpret_cast<const char *>(p.k) + key_offset(w, p.k_stride) * 2,
    reinterpret_cast<const char *>(p.v) + key_offset(w, p.v_stride) * 2,
    p.k_stride[2] * 2,
    p.v_stride[2] * 2,
    smem,
    w.tiles,
    w.end,
    keys(p, w),
    w.b,
#if FL4_SKIP
    w.list,
#endif
  };
}

// Group 0: Q and all that the first tile needs; then a group for each further stage but one. Where warps share rows, the first
// tile's scores come before all else: Q and its keys are a group of their own.
FL4_DEV void begin_walk(const Ring &r, const fl4_fwd_params &p, const Work &w)
{
  const char *q_rows = reinterpret_cast<const char *>(p.q) + query_offset(p, w, p.q_stride, w.row0) * 2;
  load_tile<BM, true>(p, r.smem + Q_OFFSET, q_rows, p.q_stride[2] * 2, queries(p, w) - w.row0);
  if (AHEAD) load_keys<true>(r, p, w.first, 0);
  if (SHARE) cp_async_commit();
  load_for<true, !AHEAD>(r, p, w.first, AHEAD, 0);
#pragma unroll
  for (int i = 1; i < STAGES - 1; i++) load_for<false, false>(r, p, w.first + i, i + AHEAD, i);
}

// Waits for what a tile needs, and refills what the tile before it has left.
FL4_DEV void begin_tile(const Ring &r, const fl4_fwd_params &p, int tile, const Slots &at)
{
  cp_async_wait<STAGES - 2>();
  block_barrier(); // it is there for all; all have done with the tile before it
  load_for<false, false>(r, p, tile + STAGES - 1, slot_before(at.k, K_SLOTS), slot_before(at.v, V_SLOTS));
}

FL4_DEV void end_tile(Slots &at)
{
  at.v = slot_after(at.v, V_SLOTS);
  at.k = WEAVE ? at.k_next : slot_after(at.k, K_SLOTS);
  if (WEAVE) at.k_next = slot_after(at.k, K_SLOTS);
}

// The warp's first row, and the first key of its group in a tile.
FL4_DEV int first_row(const Work &w)
{
  return w.row0 + row_warp() * WARP_ROWS;
}
FL4_DEV int first_key(const Work &w, int tile)
{
  return FIRST_KEY(w, tile) + key_group() * GROUP_KEYS;
}

#endif

// SPDX-License-Identifier: Apache-2.0
//
// Which row tiles a block computes, and in which order.
//
// Row tiles are numbered. Without a mask those of a head are neighbours: they run at the same time and share its keys in the
// L2 cache. With a causal mask heads are taken in sections whose keys and values fit the cache together; inside a section the
// row tiles go from the last, which is the longest, to the first, heads innermost: the short ones fill the end.
//
// Block i begins with tile i. What comes then is told by SCHED: nothing; the tile as many further as there are
// blocks; or the next one that nobody has, for which blocks draw tickets from a counter in the workspace. Each
// block draws until there is none left, so the draws of a launch are as many as tiles: the counter wraps there and is
// 0 again for the next launch.
#ifndef WGMMA_SCHEDULE_CUH
#define WGMMA_SCHEDULE_CUH

#include "wgmma_pipeline.cuh"

struct RowTile {
  int b, h, h_kv;  // batch, query head, key/value head
  int row0;        // first query row
  int key_tiles;   // that any of its rows sees, and at least one
};

FL4_DEV int row_tiles(const fl4_fwd_params &p) { return p.B * p.Hq * p.row_tiles; }

// Keys that row `row` sees.
FL4_DEV int keys_seen(const fl4_fwd_params &p, int row) { return CAUSAL ? min_i32(p.Sk, row + 1 + (p.Sk - p.Sq)) : p.Sk; }

FL4_DEV RowTile row_tile(const fl4_fwd_params &p, int number)
{
  int head, tile;
  if (CAUSAL) {
    const int section_tiles = p.section_heads * p.row_tiles;
    const int section = number / section_tiles, place = number % section_tiles;
    const int first_head = section * p.section_heads, heads = min_i32(p.section_heads, p.B * p.Hq - first_head);
    head = first_head + place % heads, tile = p.row_tiles - 1 - place / heads;
  } else {
    head = number / p.row_tiles, tile = number % p.row_tiles;
  }
  RowTile t;
  t.b = head / p.Hq;
  t.h = head % p.Hq;
  t.h_kv = t.h / (p.Hq / p.Hkv);
  t.row0 = tile * BM;
  t.key_tiles = max_i32(1, (keys_seen(p, t.row0 + BM - 1) + BN - 1) / BN);
  return t;
}

// The number of the tile after `number`; row_tiles() or more if there is none. Known some time after it was asked for.
FL4_DEV int draw_tile(const fl4_fwd_params &p, int number)
{
  if (SCHED == ONE_TILE) return row_tiles(p);
  if (SCHED == IN_TURN) return number + grid_blocks();
  return grid_blocks() + (int)atomic_wrapping_increment(reinterpret_cast<void *>(p.workspace), row_tiles(p) - 1);
}

// The producer tells the warps that compute which tile comes after the block's n-th, one without key tiles if none: it
// works that out while they have better things to do.
FL4_DEV void tell_tile(const fl4_fwd_params &p, const Pipeline &pipe, const RowTile &t, int n)
{
  if (SCHED == ONE_TILE) return;
  const u32 words[4] = {(u32)t.b, (u32)t.h, (u32)t.row0, (u32)t.key_tiles};
  if (!wait_for(p, pipe.told_empty, n % TOLD, n / TOLD + 1)) return;
  store_shared_128(pipe.told + n % TOLD * TOLD_BYTES, words);
  mbarrier_arrive(pipe.told_full + n % TOLD * 8);
}

// False if there is none.
FL4_DEV bool hear_tile(const fl4_fwd_params &p, const Pipeline &pipe, RowTile &t, int n)
{
  if (SCHED == ONE_TILE) return false;
  u32 words[4];
  if (!wait_for(p, pipe.told_full, n % TOLD, n / TOLD)) return false;
  load_shared_128(words, pipe.told + n % TOLD * TOLD_BYTES);
  mbarrier_arrive(pipe.told_empty + n % TOLD * 8);  // each thread for what it has read: racecheck sees no further
  t.b = (int)words[0], t.h = (int)words[1], t.row0 = (int)words[2], t.key_tiles = (int)words[3];
  return t.key_tiles > 0;
}

#endif

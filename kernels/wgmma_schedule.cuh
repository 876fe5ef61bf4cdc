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
//
// Where row tiles are few, several blocks share the keys of each: SPLITS neighbours. They have one row tile.
#ifndef WGMMA_SCHEDULE_CUH
#define WGMMA_SCHEDULE_CUH

#include "fl4_sequence.cuh"
#include "fl4_tiles.cuh"
#include "wgmma_pipeline.cuh"

// Query heads of a key head may be packed: row r of a row tile is then query r / PACK of head h + r % PACK. A prompt's end or a
// few drafts fill tiles better, and each reads the keys once for all of these heads.
struct RowTile {
  int b, h, h_kv;  // batch, first query head, key/value head
  int row0;        // first row
  int key_tiles;   // those before this one have all keys that its rows see; 0: there is no such row tile
  int first_tile;  // those from this one on; with a window it may not be 0. Of a split both are of its share, which may be none
  Sequence s;      // with lengths
};

FL4_DEV int first_tile(const RowTile &t) { return WINDOW || SPLITS > 1 ? t.first_tile : 0; }
FL4_DEV bool is_empty(const RowTile &t) { return SPLITS > 1 && t.first_tile >= t.key_tiles; }
FL4_DEV int first_number() { return block_index() / SPLITS; }
FL4_DEV int queries(const fl4_fwd_params &p, const RowTile &t) { return RAGGED_Q ? t.s.queries : p.Sq; }
FL4_DEV int keys(const fl4_fwd_params &p, const RowTile &t) { return LENGTHS ? t.s.keys : p.Sk; }
FL4_DEV int diagonal(const fl4_fwd_params &p, const RowTile &t, int row) { return row / PACK + (keys(p, t) - queries(p, t)); }

// Ragged queries are one long sequence of row tiles for each head.
FL4_DEV int grid_heads(const fl4_fwd_params &p) { return (RAGGED_Q ? p.Hq : p.B * p.Hq) / PACK; }
FL4_DEV int row_tiles(const fl4_fwd_params &p) { return grid_heads(p) * p.row_tiles; }

// Keys that row `row` sees end here, …
FL4_DEV int keys_seen(const fl4_fwd_params &p, const RowTile &t, int row)
{
  if (CAUSAL) return min_i32(keys(p, t), diagonal(p, t, row) + 1);
  if (WINDOW) return keys_end(p, queries(p, t), keys(p, t), row / PACK);
  return keys(p, t);
}
// … and begin here.
FL4_DEV int first_seen(const fl4_fwd_params &p, const RowTile &t, int row)
{
  return WINDOW ? keys_begin(p, queries(p, t), keys(p, t), row / PACK) : 0;
}

// Entries of the list of a row tile: the producer looks them up, each before it is needed, and tells them with the keys.
FL4_DEV int look_up(const fl4_fwd_params &p, const RowTile &t, int tile)
{
  return listed_entry(tile_list(p, t.b, t.h, t.row0 / BM), tile);
}

// Where a key tile lies, in tiles: of a list, as its entry says, else where its number is. No function, for one that gives back its
// argument changes the order in which the compiler puts instructions, and what was measured would be other kernels.
#define KEY_TILE(entry, number) (SKIP ? tile_of(entry) : (number))

FL4_DEV RowTile row_tile(const fl4_fwd_params &p, int number)
{
  int head, tile;
  if (CAUSAL) {
    const int section_tiles = p.section_heads * p.row_tiles;
    const int section = number / section_tiles, place = number % section_tiles;
    const int first_head = section * p.section_heads, heads = min_i32(p.section_heads, grid_heads(p) - first_head);
    head = first_head + place % heads, tile = p.row_tiles - 1 - place / heads;
  } else {
    head = number / p.row_tiles, tile = number % p.row_tiles;
  }
  RowTile t;
  const int heads_of_batch = p.Hq / PACK;
  t.b = RAGGED_Q ? sequence_of_tile(p, tile, BM) : head / heads_of_batch;
  t.h = head % heads_of_batch * PACK;
  t.h_kv = t.h / (p.Hq / p.Hkv);
  t.row0 = tile * BM;
  if (LENGTHS) t.s = sequence_of(p, t.b);
  if (RAGGED_Q) {
    t.row0 = (tile - t.s.first_query / BM - t.b) * BM;
    t.key_tiles = 0;
    if (t.row0 < 0 || t.row0 >= t.s.queries) return t;
  }
  t.key_tiles = max_i32(1, (keys_seen(p, t, t.row0 + BM - 1) + BN - 1) / BN);
  t.first_tile = min_i32(first_seen(p, t, t.row0) / BN, t.key_tiles - 1);
  if constexpr (SKIP) t.first_tile = 0, t.key_tiles = max_i32(1, listed_tiles(tile_list(p, t.b, t.h, t.row0 / BM)));
  if (SPLITS > 1) {  // rounded up, so that the first has a share, which is told from no row tile
    const int split = block_index() % SPLITS, all = t.key_tiles - t.first_tile, first = t.first_tile;
    t.first_tile = first + (all * split + SPLITS - 1) / SPLITS;
    t.key_tiles = first + (all * (split + 1) + SPLITS - 1) / SPLITS;
  }
  return t;
}

// The number of the tile after `number`; row_tiles() or more if there is none. Known some time after it was asked for.
FL4_DEV int draw_tile(const fl4_fwd_params &p, int number)
{
  if (SCHED == ONE_TILE) return row_tiles(p);
  if (SCHED == IN_TURN) return number + grid_blocks();
  return grid_blocks() + (int)atomic_wrapping_increment(reinterpret_cast<void *>(p.workspace), row_tiles(p) - 1);
}

// The row tile of this number, or of the next that has rows; without key tiles if there is none.
FL4_DEV RowTile row_tile_from(const fl4_fwd_params &p, int &number)
{
  RowTile t = {};
  for (; number < row_tiles(p); number = draw_tile(p, number)) {
    t = row_tile(p, number);
    if (!RAGGED_Q || t.key_tiles > 0) return t;
  }
  t.key_tiles = 0;
  return t;
}

// The producer tells the warps that compute which tile comes next, one without key tiles if none: it works that out while they
// have better things to do. Of dense sequences they know the first one themselves.
constexpr bool TELLS_FIRST = LENGTHS, TELLS = SCHED != ONE_TILE || TELLS_FIRST;

// Message number n.
FL4_DEV void tell_tile(const fl4_fwd_params &p, const Pipeline &pipe, const RowTile &t, int n)
{
  if (!TELLS) return;
  const u32 words[4] = {(u32)t.b, (u32)t.h, (u32)t.row0, (u32)t.key_tiles};
  if (!wait_for(p, pipe.told_empty, n % TOLD, n / TOLD + 1)) return;
  const u32 to = pipe.told + n % TOLD * TOLD_BYTES;
  store_shared_128(to, words);
  if (TOLD_MORE) {
    const u32 more[4] = {(u32)t.first_tile, (u32)t.s.queries, (u32)t.s.keys, (u32)t.s.first_query};
    store_shared_128(to + 16, more);
  }
  mbarrier_arrive(pipe.told_full + n % TOLD * 8);
}

// False if there is none.
FL4_DEV bool hear_tile(const fl4_fwd_params &p, const Pipeline &pipe, RowTile &t, int n)
{
  if (!TELLS) return false;
  u32 words[4], more[4];
  if (!wait_for(p, pipe.told_full, n % TOLD, n / TOLD)) return false;
  const u32 from = pipe.told + n % TOLD * TOLD_BYTES;
  load_shared_128(words, from);
  if (TOLD_MORE) load_shared_128(more, from + 16);
  mbarrier_arrive(pipe.told_empty + n % TOLD * 8);  // each thread for what it has read: racecheck sees no further
  t.b = (int)words[0], t.h = (int)words[1], t.row0 = (int)words[2], t.key_tiles = (int)words[3];
  if (TOLD_MORE) {
    t.first_tile = (int)more[0];
    t.s.queries = (int)more[1], t.s.keys = (int)more[2], t.s.first_query = (int)more[3];
  }
  return t.key_tiles > 0;
}

#endif

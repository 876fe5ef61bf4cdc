// SPDX-License-Identifier: Apache-2.0
//
// Which part of the problem a block computes.
//
// Blocks start in the order of their index; those that share a row tile are neighbours. Heads are taken in sections
// whose keys and values fit the L2 cache together; inside a section the row tiles go from the last to the first, heads innermost.
// With a causal mask the last tiles are the longest, so the longest work starts first and the short
// work fills the end.
#ifndef FL4_SCHEDULE_CUH
#define FL4_SCHEDULE_CUH

#include "fl4_abi.h"
#include "fl4_common.cuh"
#include "fl4_config.cuh"
#include "fl4_ptx.cuh"

struct Work {
  int b, h, h_kv;  // batch, query head, key/value head
  int row0;        // first query row
  int shift;       // Sk - Sq: row i sees keys up to i + shift under the causal mask
  int tiles;       // key tiles of the row tile, numbered from the right
  int first, end;  // those that this block walks
  int exact;       // up to this one they are taken by their true maxima, for they may need a mask
};

FL4_DEV Work work_of_block(const fl4_fwd_params &p)
{
  const int row_tile = block_index() / SPLITS, split = block_index() % SPLITS;
  const int section_blocks = p.section_heads * p.row_tiles;
  const int section = row_tile / section_blocks, place = row_tile % section_blocks;
  const int first_head = section * p.section_heads;
  const int heads = min_i32(p.section_heads, p.B * p.Hq - first_head);
  const int head = first_head + place % heads;

  Work w;
  w.b = head / p.Hq;
  w.h = head % p.Hq;
  w.h_kv = w.h / (p.Hq / p.Hkv);
  w.row0 = (p.row_tiles - 1 - place / heads) * BM;
  w.shift = p.Sk - p.Sq;
  // Keys that any row of the block sees, and keys that every row of it sees.
  const int any = CAUSAL ? max_i32(0, min_i32(p.Sk, w.row0 + BM + w.shift)) : p.Sk;
  const int all = CAUSAL ? max_i32(0, min_i32(p.Sk, w.row0 + 1 + w.shift)) : p.Sk;
  w.tiles = (any + BN - 1) / BN;
  w.exact = w.tiles - all / BN;
  // A partial tile may have few keys, and a maximum of few is a poor reference: one whole tile goes with it.
  if (!CAUSAL && w.exact > 0) w.exact++;
  w.first = w.tiles * split / SPLITS, w.end = w.tiles * (split + 1) / SPLITS;
  return w;
}

#endif

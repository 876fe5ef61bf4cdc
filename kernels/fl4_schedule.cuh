// SPDX-License-Identifier: Apache-2.0
//
// Which part of the problem a block computes.
//
// Blocks start in the order of their index; those that share a row tile are neighbours. Heads are taken in sections
// whose keys and values fit the L2 cache together; inside a section the row tiles go from the last to the first, heads innermost.
// With a causal mask the last tiles are the longest, so the longest work starts first and the short
// work fills the end. Ragged queries are taken the same way, all sequences of a head as one.
#ifndef FL4_SCHEDULE_CUH
#define FL4_SCHEDULE_CUH

#include "fl4_abi.h"
#include "fl4_common.cuh"
#include "fl4_config.cuh"
#include "fl4_ptx.cuh"
#include "fl4_sequence.cuh"
#include "fl4_tiles.cuh"

struct Work {
  int b, h, h_kv;  // batch, query head, key/value head
  int row0;        // first query row
  Sequence s;      // how long it is and where it lies, with lengths of its own
  int shift;       // keys - queries: row i sees keys up to i + shift under the causal mask
  float slope;     // ALiBi's
  int tiles;       // key tiles up to the last that the row tile sees, numbered from the right
  int first, end;  // those that this block walks
  int exact;       // up to this one they are taken by their true maxima, for they may need a mask
  int tail;        // and with a window from this one on
#if FL4_SKIP
  const char *list;  // of the tiles that a mask leaves; then all these numbers are of those in it
#endif
};

// The first key of a tile, numbered from the right, of `from` a Work or a Ring, and whether a mask may hide some of it. No function and no member for nothing: with those
// the compiler puts instructions in another order, and what was measured would be other kernels.
#if FL4_SKIP
#define FIRST_KEY(from, tile) (tile_of(listed_entry(from.list, from.tiles - 1 - (tile))) * BN)
#define MAY_HIDE(from, tile) hides(listed_entry(from.list, from.tiles - 1 - (tile)))
#else
#define FIRST_KEY(from, tile) ((from.tiles - 1 - (tile)) * BN)
#define MAY_HIDE(from, tile) true
#endif

FL4_DEV int queries(const fl4_fwd_params &p, const Work &w) { return RAGGED_Q ? w.s.queries : p.Sq; }
FL4_DEV int keys(const fl4_fwd_params &p, const Work &w) { return LENGTHS ? w.s.keys : p.Sk; }

// Ragged queries are one long row of tiles for each head. Of those a sequence may have fewer than there are numbers.
FL4_DEV int grid_heads(const fl4_fwd_params &p) { return RAGGED_Q ? p.Hq : p.B * p.Hq; }
FL4_DEV bool has_rows(const Work &w) { return !RAGGED_Q || (w.row0 >= 0 && w.row0 < w.s.queries); }

// Where query `row` lies, in elements: ragged ones are told by the row, whatever the batch.
FL4_DEV i64 query_offset(const fl4_fwd_params &p, const Work &w, const fl4_i64 (&stride)[3], int row)
{
  if (RAGGED_Q) return w.h * stride[1] + (w.s.first_query + row) * stride[2];
  return w.b * stride[0] + w.h * stride[1] + row * stride[2];
}
// The same of the first key; of pages, the head's first row in page 0.
FL4_DEV i64 key_offset(const Work &w, const fl4_i64 (&stride)[3])
{
  if (PAGED) return w.h_kv * stride[1];
  if (RAGGED_K) return w.h_kv * stride[1] + w.s.first_key * stride[2];
  return w.b * stride[0] + w.h_kv * stride[1];
}

FL4_DEV void share_keys(Work &w, const fl4_fwd_params &p, int split)
{
  // Keys that any row of the block sees, and keys that every row of it sees.
  const int any = CAUSAL ? max_i32(0, min_i32(keys(p, w), w.row0 + BM + w.shift)) : keys(p, w);
  const int all = CAUSAL ? max_i32(0, min_i32(keys(p, w), w.row0 + 1 + w.shift)) : keys(p, w);
  w.tiles = (any + BN - 1) / BN;
  w.exact = w.tiles - all / BN;
  // A partial tile may have few keys, and a maximum of few is a poor reference: one whole tile goes with it.
  if (!CAUSAL && w.exact > 0) w.exact++;
  w.first = w.tiles * split / SPLITS, w.end = w.tiles * (split + 1) / SPLITS;
}

// The same with a window: keys end and begin anew with each row.
FL4_DEV void share_keys_of_window(Work &w, const fl4_fwd_params &p, int split)
{
  const int n = queries(p, w), m = keys(p, w), last = min_i32(w.row0 + BM, n) - 1;
  w.tiles = (keys_end(p, n, m, last) + BN - 1) / BN;
  w.exact = w.tiles - keys_end(p, n, m, w.row0) / BN + 1;
  w.tail = w.tiles - (keys_begin(p, n, m, last) + BN - 1) / BN;
  const int seen = max_i32(0, w.tiles - keys_begin(p, n, m, w.row0) / BN);
  w.first = seen * split / SPLITS, w.end = seen * (split + 1) / SPLITS;
}

#if FL4_SKIP
// The same by the list: tiles that are not in it count no more.
FL4_DEV void share_listed_keys(Work &w, const fl4_fwd_params &p, int split)
{
  w.list = tile_list(p, w.b, w.h, w.row0 / BM);
  const int all = w.tiles, n = listed_tiles(w.list);
  w.exact = n - listed_before(w.list, n, all - w.exact);
  if (WINDOW) w.tail = n - listed_before(w.list, n, all - w.tail);
  w.tiles = n;
  w.first = n * split / SPLITS, w.end = n * (split + 1) / SPLITS;
}
#endif

FL4_DEV Work work_of_block(const fl4_fwd_params &p)
{
  const int row_tile = block_index() / SPLITS, split = block_index() % SPLITS;
  const int section_blocks = p.section_heads * p.row_tiles;
  const int section = row_tile / section_blocks, place = row_tile % section_blocks;
  const int first_head = section * p.section_heads;
  const int heads = min_i32(p.section_heads, grid_heads(p) - first_head);
  const int head = first_head + place % heads;

  Work w;
  w.b = head / p.Hq;
  w.h = head % p.Hq;
  w.h_kv = w.h / (p.Hq / p.Hkv);
  w.row0 = (p.row_tiles - 1 - place / heads) * BM;
  if (RAGGED_Q) w.b = sequence_of_tile(p, w.row0 / BM, BM);
  if (LENGTHS) w.s = sequence_of(p, w.b);
  if (RAGGED_Q) w.row0 -= (w.s.first_query / BM + w.b) * BM;
  w.shift = keys(p, w) - queries(p, w);
  if (WINDOW)
    share_keys_of_window(w, p, split);
  else
    share_keys(w, p, split);
#if FL4_SKIP
  share_listed_keys(w, p, split);
#endif
  return w;
}

#endif

// SPDX-License-Identifier: Apache-2.0
//
// Which part of the problem a block computes.
//
// The query rows that share a key/value head, all of its query heads' queries, are cut into blocks of ROWS: with a batch and a
// key/value head such a row block is a unit. The keys of a unit are cut into splits, for each of which there is a thread block;
// those of a unit are neighbours in the grid. How many splits there really are is known from the lengths, on the device:
// short sequences have few, and the blocks that are left over end at once.
#ifndef DECODE_SCHEDULE_CUH
#define DECODE_SCHEDULE_CUH

#include "decode_config.cuh"
#include "fl4_abi.h"
#include "fl4_common.cuh"
#include "fl4_ptx.cuh"
#include "fl4_sequence.cuh"

struct Work {
  int unit, split;      // which one it is
  int splits;           // of this unit
  int b, h_kv;          // batch, key/value head
  int group;            // query heads that share it
  int row0, rows;       // the block's first row of those that share the head, and how many it has
  Sequence s;           // with lengths of its own
  int first;            // the key from which the tiles of the split are counted
  int begin, end;       // keys of the split that some row sees
  int all_begin;        // keys that all rows see begin here …
  int all_end;          // … and end here
  int before;           // splits of the first group that lie before the unit's first one
};

FL4_DEV int warp() { return thread_index() / 32; }
FL4_DEV int queries(const fl4_fwd_params &p, const Work &w) { return RAGGED_Q ? w.s.queries : p.Sq; }
FL4_DEV int keys(const fl4_fwd_params &p, const Work &w) { return LENGTHS ? w.s.keys : p.Sk; }

// Small numbers, of which no quotient is negative.
FL4_DEV int quotient(int a, int b) { return (int)((u32)a / (u32)b); }

// Head and query of the block's row `row`: all queries of the first head come first. Rows behind the last are like it.
struct Place {
  int h, i;
  bool there;
};
FL4_DEV Place place_of(const fl4_fwd_params &p, const Work &w, int row)
{
  const int number = w.row0 + min_i32(row, w.rows - 1);
  const int head = p.Sq == 1 ? number : quotient(number, p.Sq), i = p.Sq == 1 ? 0 : number - head * p.Sq;
  return {w.h_kv * w.group + head, i, row < w.rows && (!RAGGED_Q || i < queries(p, w))};
}

// Where it lies, in elements.
FL4_DEV i64 query_offset(const fl4_fwd_params &p, const Work &w, const fl4_i64 (&stride)[3], const Place &at)
{
  if (RAGGED_Q) return at.h * stride[1] + (w.s.first_query + at.i) * stride[2];
  return w.b * stride[0] + at.h * stride[1] + at.i * stride[2];
}
// The same of the first key; of pages, the head's first row in page 0.
FL4_DEV i64 key_offset(const Work &w, const fl4_i64 (&stride)[3])
{
  if (PAGED) return w.h_kv * stride[1];
  if (RAGGED_K) return w.h_kv * stride[1] + w.s.first_key * stride[2];
  return w.b * stride[0] + w.h_kv * stride[1];
}

// Splits of a group, which are put together at a time, and those that one block puts together alone: a second ticket takes as
// long as some more loads of the last block.
enum { MERGED_AT_A_TIME = 8, MOST_ALONE = 24 };

// Groups are counted from the first key of a sequence, not from a window's first one, so that a row's are the same whatever
// else the block sees.
FL4_DEV int group_of(const Work &w, int split) { return quotient(w.before + split, MERGED_AT_A_TIME); }
FL4_DEV int first_of_group(const Work &w, int group) { return group * MERGED_AT_A_TIME - w.before; }

// For how many groups of a unit there are tickets and room: as many as it may have, wherever its first split is in a group; 0
// where its splits are few, or all units' tickets more than there are. The host computes the same.
FL4_DEV int group_places(const fl4_fwd_params &p)
{
  if (p.splits <= MOST_ALONE) return 0;
  const int groups = quotient(p.splits + 2 * (MERGED_AT_A_TIME - 1), MERGED_AT_A_TIME);
  return (i64)p.B * p.Hkv * p.row_tiles * (1 + groups) * 4 <= FL4_TICKET_BYTES ? groups : 0;
}

// The last row sees the last key, whatever the mask; with a window the first row sees the first that is seen. From there on,
// or from a multiple of split_anchor before it, splits have as many tiles each as make them few enough.
FL4_DEV void share_keys(Work &w, const fl4_fwd_params &p)
{
  const int n = queries(p, w), m = keys(p, w), seen = keys_begin(p, n, m, 0);
  const int anchor = WINDOW ? quotient(seen, p.split_anchor) * p.split_anchor : 0;
  const int tiles = (m - anchor + TILE - 1) / TILE;
  int share = p.split_keys / TILE;
  if (share * p.splits < tiles) share = quotient(tiles + p.splits - 1, p.splits);
  w.splits = SHARED_ROWS && tiles > share ? quotient(tiles + share - 1, share) : 1;
  w.first = anchor + w.split * share * TILE;
  w.begin = max_i32(w.first, seen);
  w.end = min_i32(w.first + share * TILE, m);
  w.all_begin = keys_begin(p, n, m, n - 1);
  w.all_end = keys_end(p, n, m, 0);
  w.before = WINDOW ? quotient(anchor, p.split_keys) % MERGED_AT_A_TIME : 0;
}

FL4_DEV Work work_of_block(const fl4_fwd_params &p)
{
  Work w;
  w.unit = quotient(block_index(), p.splits);
  w.split = block_index() - w.unit * p.splits;
  int head = w.unit, row_block = 0;
  if (p.row_tiles > 1) {
    head = quotient(w.unit, p.row_tiles);
    row_block = w.unit - head * p.row_tiles;
  }
  w.b = quotient(head, p.Hkv);
  w.h_kv = head - w.b * p.Hkv;
  w.group = quotient(p.Hq, p.Hkv);
  w.row0 = row_block * ROWS;
  w.rows = min_i32(ROWS, w.group * p.Sq - w.row0);
  if (LENGTHS) w.s = sequence_of(p, w.b);
  share_keys(w, p);
  return w;
}

#endif

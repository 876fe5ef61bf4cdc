// SPDX-License-Identifier: Apache-2.0
//
// Which key tiles of a row tile a mask of bytes leaves: those where it shows some row a key; and in which of these it hides
// any. Attention kernels that are built with FL4_SKIP walk these lists in place of all tiles (fl4_tiles.cuh). Tiles beyond the
// diagonal, a window, or a sequence's length are not in them either.
//
// A block makes one list. Each of its warps glances at some tiles at once, a piece a lane of each, which tells where bytes differ
// from key to key; so such a mask is hardly read. Then it looks at each of the others until it has found both a byte that is 0
// and one that is not: only tiles that are all hidden or all shown, which then cost little, are read to their end.
#include "fl4_aux.h"
#include "fl4_common.cuh"
#include "fl4_sequence.cuh"
#include "fl4_tiles.cuh"

constexpr int WARPS = FL4_AUX_THREADS / 32;
constexpr int AT_ONCE = 16;           // pieces of 16 bytes that a lane has on their way
enum : u32 { SHOWN = 1, HIDDEN = 2 }; // what a tile has

// Piece n of `bytes` bytes from `row` on: pieces lie at multiples of 16, so the first and the last may be less. What of it is the
// row's: bytes begin … end - 1.
struct Piece {
  const char *row;
  int begin, end;
  FL4_MEMBER bool whole() const { return end - begin == 16; }
};
FL4_DEV Piece piece_of(const char *row, int n, int bytes)
{
  const int at = 16 * n - (int)(reinterpret_cast<u64>(row) & 15);
  return {row, max_i32(at, 0), min_i32(at + 16, bytes)};
}

// Is a byte of these four 0?
FL4_DEV u32 zero_among(u32 four)
{
  return (four - 0x01010101u) & ~four & 0x80808080u;
}

// The bytes of a row tile's mask; of a key tile, they begin at `first` in each row.
struct Mask {
  const char *row;
  i64 row_bytes, key_bytes;
  int rows, tile_keys, keys_end;
  bool aligned; // does each row begin with a whole piece?
  int shift;    // 2^shift lanes take the pieces of a row: more than there are, where these are no power of two
  FL4_MEMBER const char *first(int tile) const { return row + tile * tile_keys * key_bytes; }
  FL4_MEMBER int bytes(int tile) const { return key_bytes ? min_i32(tile_keys, keys_end - tile * tile_keys) : 1; }
  FL4_MEMBER bool whole(int tile) const { return aligned && bytes(tile) % 16 == 0; } // nothing but whole pieces
};
FL4_DEV void share_rows_among_lanes(Mask &m)
{
  m.aligned = ((reinterpret_cast<u64>(m.row) | (u64)m.row_bytes) & 15) == 0;
  m.shift = 0;
  while (16 << m.shift < (m.key_bytes ? m.tile_keys : 1) + (m.aligned ? 0 : 15)) m.shift++;
}

// What bytes were found, by a lane, a bit for each tile.
struct Found {
  u32 shown, hidden;
};
FL4_DEV void note(Found &found, const u32 (&x)[4], int tile)
{
  u32 shown = 0, hidden = 0;
#pragma unroll
  for (int word = 0; word < 4; word++) shown |= x[word], hidden |= zero_among(x[word]);
  found.shown |= (u32)(shown != 0) << tile, found.hidden |= (u32)(hidden != 0) << tile;
}

// Where the lane's piece in row 0 of a whole tile lies, and how many rows are taken at once. Lanes that have no piece or no row take
// the last one there is, again.
FL4_DEV const char *piece_of_lane(const Mask &mask, int tile)
{
  const int piece = lane_index() & ((1 << mask.shift) - 1);
  return mask.first(tile) + 16 * min_i32(piece, mask.bytes(tile) / 16 - 1);
}
FL4_DEV i64 row_offset(const Mask &mask, int row)
{
  return min_i32(row, mask.rows - 1) * mask.row_bytes;
}

// The first rows of each of the `n` tiles `tile`, `tile` + WARPS, …, at most AT_ONCE, all of them whole; the last one again where
// there are fewer. To wait for one after the other would take most of the time.
FL4_DEV Found glance(const Mask &mask, int tile, int n)
{
  Found found = {0, 0};
  u32 x[AT_ONCE][4];
#pragma unroll
  for (int i = 0; i < AT_ONCE; i++)
    load_global_128(x[i], piece_of_lane(mask, tile + min_i32(i, n - 1) * WARPS) +
                              row_offset(mask, lane_index() >> mask.shift));
#pragma unroll
  for (int i = 0; i < AT_ONCE; i++) note(found, x[i], i);
  return found;
}

FL4_DEV bool knows_all(const Found &found)
{
  return warp_any(found.shown) && warp_any(found.hidden);
}

// The same of one whole tile, until all is known.
FL4_DEV Found look_at_whole(const Mask &mask, int tile)
{
  const char *at = piece_of_lane(mask, tile);
  const int at_once = 32 >> mask.shift;
  Found found = {0, 0};
  for (int next = 0; next < mask.rows && !knows_all(found); next += at_once * AT_ONCE) {
    const int row = next + (lane_index() >> mask.shift);
    u32 x[AT_ONCE][4];
#pragma unroll
    for (int i = 0; i < AT_ONCE; i++) load_global_128(x[i], at + row_offset(mask, row + i * at_once));
#pragma unroll
    for (int i = 0; i < AT_ONCE; i++) note(found, x[i], 0);
  }
  return found;
}

// And of one with pieces that are not whole, at its end or in each row.
FL4_DEV Found look_at_parts(const Mask &mask, int tile)
{
  const int all = mask.rows << mask.shift;
  Found found = {0, 0};
  for (int next = 0; next < all && !knows_all(found); next += 32) {
    const int item = next + lane_index();
    if (item >= all) continue;
    const Piece piece = piece_of(mask.first(tile) + (item >> mask.shift) * mask.row_bytes,
                                 item & ((1 << mask.shift) - 1), mask.bytes(tile));
    if (piece.whole()) {
      u32 x[4];
      load_global_128(x, piece.row + piece.begin);
      note(found, x, 0);
    }
    for (int at = piece.begin; at < piece.end && !piece.whole(); at++) {
      const u32 byte = load_global_8(piece.row + at);
      found.shown |= byte != 0, found.hidden |= byte == 0;
    }
  }
  return found;
}

// The sum over the lanes up to this one.
FL4_DEV int sum_up_to_lane(int x)
{
#pragma unroll
  for (int step = 1; step < 32; step *= 2) {
    const int below = (int)shuffle_from((u32)x, max_i32(lane_index() - step, 0));
    if (lane_index() >= step) x += below;
  }
  return x;
}

FL4_KERNEL(fl4_mask_tiles, 256, 2)(FL4_PARAM fl4_mask_tiles_params params)
{
  const fl4_fwd_params &p = params.fwd;
  const int row_tile = block_index() % p.row_tiles, head_and_batch = block_index() / p.row_tiles;
  const int h = head_and_batch % params.heads, b = head_and_batch / params.heads;
  const int warp = thread_index() / 32;
  const u32 found = smem_base(), sums = found + 4 * FL4_AUX_THREADS;

  const int keys = sequence_of(p, b).keys;
  const int first_row = row_tile * params.tile_rows, last_row = min_i32(first_row + params.tile_rows, p.Sq) - 1;
  const int keys_end_here = keys_end(p, p.Sq, keys, last_row);
  const int end = (keys_end_here + params.tile_keys - 1) / params.tile_keys;
  Mask mask = {
      reinterpret_cast<const char *>(p.bias) + b * p.bias_stride[0] + h * p.bias_stride[1] +
          first_row * p.bias_stride[2],
      p.bias_stride[2],
      p.bias_stride[3],
      p.bias_stride[2] ? last_row - first_row + 1 : 1,
      params.tile_keys,
      keys_end_here,
      false,
      0,
  };
  share_rows_among_lanes(mask);
  char *const list = tile_list(p, b, h, row_tile);

  int listed = 0;
  for (int first = keys_begin(p, p.Sq, keys, first_row) / params.tile_keys; first < end; first += FL4_AUX_THREADS) {
    const int n = min_i32(FL4_AUX_THREADS, end - first);
    for (int i = warp; i < n; i += WARPS * AT_ONCE) {
      const int several = min_i32((n - i + WARPS - 1) / WARPS, AT_ONCE);
      const bool whole = mask.whole(first + i + (several - 1) * WARPS);
      const Found glanced = whole ? glance(mask, first + i, several) : Found{0, 0};
#pragma unroll 1
      for (int e = 0; e < several; e++) {
        bool shown = warp_any(glanced.shown >> e & 1), hidden = warp_any(glanced.hidden >> e & 1);
        if (!(shown && hidden)) {
          const int tile = first + i + e * WARPS;
          const Found seen = mask.whole(tile) ? look_at_whole(mask, tile) : look_at_parts(mask, tile);
          shown = warp_any(seen.shown), hidden = warp_any(seen.hidden);
        }
        if (lane_index() == 0)
          store_shared_32(found + 4 * (i + e * WARPS), (shown ? SHOWN : 0) | (hidden ? HIDDEN : 0));
      }
    }
    block_barrier();
    const u32 mine = thread_index() < n ? load_shared_32(found + 4 * thread_index()) : 0;
    const int up_to_mine = sum_up_to_lane(mine & SHOWN);
    if (lane_index() == 31) store_shared_32(sums + 4 * warp, up_to_mine);
    block_barrier();
    int before = listed;
#pragma unroll
    for (int w = 0; w < WARPS; w++) {
      const int sum = (int)load_shared_32(sums + 4 * w);
      if (w < warp) before += sum;
      listed += sum;
    }
    if (mine & SHOWN)
      store_global_32(list + 4 * (before + up_to_mine),
                      float_from_bits((u32)entry(first + thread_index(), mine & HIDDEN)));
  }
  if (thread_index() != 0) return;
  store_global_32(list, float_from_bits((u32)listed));
  if (listed == 0) store_global_32(list + 4, float_from_bits((u32)entry(max_i32(end - 1, 0), true)));
}

// SPDX-License-Identifier: Apache-2.0
//
// Which key tiles a row tile has. All from its first to its last, numbered by where they lie; or, where a mask of bytes hides
// some, those of a list (mask_tiles.cu): how many, then which, rising. There tile number i is the one that stands i-th in the list.
// An entry also says whether the mask hides anything in the tile; if not, nobody reads it there.
#ifndef FL4_TILES_CUH
#define FL4_TILES_CUH

#include "fl4_abi.h"
#include "fl4_common.cuh"
#include "fl4_problem.cuh"

FL4_DEV char *tile_list(const fl4_fwd_params &p, int b, int h, int row_tile)
{
  return reinterpret_cast<char *>(p.tile_lists) +
         4 * (b * p.list_stride[0] + h * p.list_stride[1] + row_tile * p.list_stride[2]);
}

FL4_DEV int listed_tiles(const char *list) { return (int)load_global_32(list); }

// Entry i, of which a list without any has one all the same, for those who take one at least: where the tile lies, in tiles, and
// whether the mask hides any of its scores.
FL4_DEV int entry(int tile, bool hides) { return 2 * tile + hides; }
FL4_DEV int tile_of(int entry) { return entry >> 1; }
FL4_DEV bool hides(int entry) { return entry & 1; }
FL4_DEV int listed_entry(const char *list, int i) { return (int)load_global_32(list + 4 + 4 * i); }

// How many of the list's `n` tiles lie before tile `end`.
FL4_DEV int listed_before(const char *list, int n, int end)
{
  int first = 0;
  while (first < n) {
    const int middle = (first + n) / 2;
    if (tile_of(listed_entry(list, middle)) < end)
      first = middle + 1;
    else
      n = middle;
  }
  return first;
}

#endif

// SPDX-License-Identifier: Apache-2.0
//
// How a tile lies in shared memory, so that its rows are read without bank conflicts.
//
// A tile is rows of DP 16-bit elements, without padding, cut into chunks of 16 bytes. ldmatrix reads
// the same chunk of eight neighbouring rows at once; to spread these over all banks, chunk c of row r
// lies at position c ^ ((r >> SHIFT) % GROUP), GROUP = gcd(chunks of a row, 8). The pattern has period
// 8 in the rows for every D, so it is free of conflicts for all of them.
//
// The family's configuration comes before: it says DP, a multiple of 16, and ROW_BYTES.
#ifndef FL4_SWIZZLE_CUH
#define FL4_SWIZZLE_CUH

#include "fl4_ptx.cuh"

template <int CHUNKS_A_ROW> struct Swizzle {
  static constexpr int GROUP = CHUNKS_A_ROW % 8 == 0 ? 8 : CHUNKS_A_ROW % 4 == 0 ? 4 : 2;
  static constexpr int SHIFT = GROUP == 8 ? 0 : GROUP == 4 ? 1 : 2;

  // Byte offset of a chunk in its tile.
  static FL4_MEMBER u32 offset(int row, int chunk)
  {
    return row * (CHUNKS_A_ROW * 16) + (chunk ^ ((row >> SHIFT) & (GROUP - 1))) * 16;
  }

  // Address of the fragment `step` · 16 elements further along the rows than `base`. The step's chunk
  // number is even and the lane's own part is in bit 0, so the XOR of the two swizzles is one XOR.
  static FL4_MEMBER u32 along(u32 base, int step)
  {
    return (base ^ ((step % (GROUP / 2)) * 32)) + (step / (GROUP / 2)) * (GROUP * 16);
  }
};

constexpr int CHUNKS = DP / 8;
FL4_DEV u32 chunk_offset(int row, int chunk) { return Swizzle<CHUNKS>::offset(row, chunk); }
FL4_DEV u32 along_row(u32 base, int step) { return Swizzle<CHUNKS>::along(base, step); }

#endif

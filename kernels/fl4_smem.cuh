// SPDX-License-Identifier: Apache-2.0
//
// Tiles in shared memory: their loading, and the fragments that lanes read.
#ifndef FL4_SMEM_CUH
#define FL4_SMEM_CUH

#include "fl4_config.cuh"
#include "fl4_common.cuh"
#include "fl4_debug.cuh"
#include "fl4_ptx.cuh"
#include "fl4_sequence.cuh"
#include "fl4_swizzle.cuh"

// The lane's row and chunk in a 16×16 block, as ldmatrix wants them for …
FL4_DEV int warp() { return thread_index() / 32; }
FL4_DEV int row_warp() { return KGROUPS == 1 ? warp() : warp() % ROW_WARPS; }
FL4_DEV int key_group() { return KGROUPS == 1 ? 0 : warp() / ROW_WARPS; }
// … Q, rows by the head dimension; and V, keys by the head dimension, read transposed;
FL4_DEV u32 lane_offset_q() { return chunk_offset(lane() % 16, lane() / 16); }
FL4_DEV u32 lane_offset_v() { return chunk_offset(lane() % 16, lane() / 16); }
// … and K, keys by the head dimension: registers {b0, b1 of keys 0-7, b0, b1 of keys 8-15}.
FL4_DEV u32 lane_offset_k() { return chunk_offset(lane() / 16 * 8 + lane() % 8, lane() / 8 % 2); }

// One chunk from global to shared memory, zero if it is not `there`; then `from` is not read.
FL4_DEV void load_chunk(const fl4_fwd_params &p, u32 to, const char *from, bool there)
{
  if (ALIGNED) {
    const bool aligned = (reinterpret_cast<u64>(from) | to) % 16 == 0;
    invariant(p, aligned, FL4_INVARIANT_ALIGNED, 0, 0);
    if (DEBUG && !aligned) return;  // the copy would end the context before the record is read
    cp_async_16_zfill(to, from, there ? 16 : 0);
  } else {
    u32 x[4] = {0, 0, 0, 0};
    if (there) {
#pragma unroll
      for (int i = 0; i < 4; i++)
        x[i] = load_global_16(from + 4 * i) | (u32)load_global_16(from + 4 * i + 2) << 16;
    }
    store_shared_128(to, x);
  }
}

// Rows 0 … ROWS - 1 of a tile by all threads of the block. With GUARD only the first `valid` rows are
// there, and the others become zero. A row's chunks are taken in pieces of a power of two, widest
// first, so that a thread's place is a shift and its next row a constant stride away.
template <int ROWS, bool GUARD, int FIRST = 0>
FL4_DEV void load_tile(const fl4_fwd_params &p, u32 tile, const char *from, i64 row_bytes, int valid)
{
  constexpr int LEFT = CHUNKS - FIRST;
  constexpr int WIDTH = LEFT >= 16 ? 16 : LEFT >= 8 ? 8 : LEFT >= 4 ? 4 : 2;
  constexpr int STEP = THREADS / WIDTH;
  const int chunk = FIRST + thread_index() % WIDTH, first = thread_index() / WIDTH;
  const i64 step_bytes = STEP * row_bytes;
  const char *source = from + first * row_bytes + chunk * 16;  // advanced by additions: products would be
#pragma unroll                                                 // hoisted out of the loop over tiles, and spilled
  for (int i = 0; i * STEP < ROWS; i++, source += step_bytes) {
    const int row = first + i * STEP;
    if (ROWS % STEP != 0 && row >= ROWS) break;
    const u32 to = tile + chunk_offset(row, chunk);
    if (!GUARD && D % 16 == 0 && ALIGNED && !DEBUG) {
      cp_async_16(to, source);
    } else {
      const bool there = (!GUARD || row < valid) && chunk < D / 8;
      load_chunk(p, to, there ? source : from, there);
    }
  }
  if constexpr (LEFT > WIDTH) load_tile<ROWS, GUARD, FIRST + WIDTH>(p, tile, from, row_bytes, valid);
}

// The same of a sequence's keys from `key0` on, where these lie in pages: `from` is the head's first row in page 0. Some pages
// are looked up before the first of their rows is copied, so that their latencies overlap.
template <int ROWS, bool GUARD, int FIRST = 0>
FL4_DEV void load_paged_tile(const fl4_fwd_params &p, u32 tile, const char *from, i64 page_bytes, i64 row_bytes, int b,
                             int key0, int valid)
{
  constexpr int LEFT = CHUNKS - FIRST;
  constexpr int WIDTH = LEFT >= 16 ? 16 : LEFT >= 8 ? 8 : LEFT >= 4 ? 4 : 2, PIECES = LEFT / WIDTH;
  constexpr int STEP = THREADS / WIDTH, COPIES = (ROWS + STEP - 1) / STEP, AT_ONCE = COPIES < 8 ? COPIES : 8;
  const int chunk = FIRST + thread_index() % WIDTH, first = thread_index() / WIDTH, slots = 1 << p.page_shift;
#pragma unroll
  for (int i = 0; i < COPIES; i += AT_ONCE) {
    int page[AT_ONCE];
#pragma unroll
    for (int e = 0; e < AT_ONCE; e++) page[e] = page_of(p, b, key0 + first + (i + e) * STEP);
#pragma unroll
    for (int e = 0; e < AT_ONCE; e++) {
      const int row = first + (i + e) * STEP;
      if (i + e >= COPIES || (ROWS % STEP != 0 && row >= ROWS)) break;
      const char *source = from + page[e] * page_bytes + ((key0 + row) & (slots - 1)) * row_bytes + chunk * 16;
#pragma unroll
      for (int piece = 0; piece < PIECES; piece++) {
        const bool there = (!GUARD || row < valid) && chunk + piece * WIDTH < D / 8;
        const u32 to = tile + chunk_offset(row, chunk + piece * WIDTH);
        load_chunk(p, to, there ? source + piece * (WIDTH * 16) : from, there);
      }
    }
  }
  if constexpr (LEFT > PIECES * WIDTH)
    load_paged_tile<ROWS, GUARD, FIRST + PIECES * WIDTH>(p, tile, from, page_bytes, row_bytes, b, key0, valid);
}

#endif

// SPDX-License-Identifier: Apache-2.0
//
// A warp's own stream of keys and values. Each warp has a ring in shared memory, of slots for the keys and values of a
// step, and waits for nobody but its own copies: no barrier of the block is in the loop.
//
// What counts is that each instruction reads whole lines of 128 bytes: 32 lanes copy neighbouring chunks of rows, and the
// fragments are taken from shared memory by ldmatrix.
//
// Keys and values of a step are groups of copies of their own, keys first. A slot is refilled as soon as its keys, or its
// values, have been used; so 2 · STAGES groups are under way at a time, empty ones at the end.
#ifndef DECODE_RING_CUH
#define DECODE_RING_CUH

#include "decode_schedule.cuh"
#include "fl4_debug.cuh"
#include "fl4_swizzle.cuh"

struct Stream {
  const char *k, *v;  // the first key's row and value; with pages, those in slot 0 of page 0
  i64 k_row, v_row;   // bytes between rows
  u32 ring;           // the warp's
  u64 policy;
  int key, slot;            // the step that is copied next
  int step;                 // with pages: its number, of the steps whose pages are known
  u32 pages, more_pages;    // of the lane's granules of those steps, and of the steps after them
};

FL4_DEV u32 k_slot(u32 ring, int slot) { return ring + slot * SLOT_BYTES; }
FL4_DEV u32 v_slot(u32 ring, int slot) { return ring + slot * SLOT_BYTES + STEP_BYTES; }
FL4_DEV int slot_after(int slot) { return slot + 1 == STAGES ? 0 : slot + 1; }

// The warp's first key. Tiles before the first key that is seen are left out.
FL4_DEV int first_key(const Work &w)
{
  const int hidden = WINDOW ? (w.begin - w.first) / TILE : 0;
  return w.first + hidden * TILE + warp() * KEYS;
}

// The pages of the lane's granule in the steps from `key` on. Beyond the keys that are seen no entry is read.
FL4_DEV u32 look_up(const fl4_fwd_params &p, const Work &w, int key)
{
  const int granule = key + lane() / GRANULES * TILE + lane() % GRANULES * GRANULE;
  return (u32)page_of(p, w.b, clamp_i32(granule, w.begin, w.end - 1));
}

FL4_DEV Stream stream_of(const fl4_fwd_params &p, const Work &w, u32 smem)
{
  Stream s;
  s.k = reinterpret_cast<const char *>(p.k) + key_offset(w, p.k_stride) * 2;
  s.v = reinterpret_cast<const char *>(p.v) + key_offset(w, p.v_stride) * 2;
  s.k_row = p.k_stride[2] * 2, s.v_row = p.v_stride[2] * 2;
  s.ring = smem + warp() * WARP_BYTES;
  s.policy = HINT ? evict_first_policy() : 0;
  s.key = first_key(w), s.slot = 0, s.step = 0;
  if (PAGED && w.begin < w.end) {
    s.pages = look_up(p, w, s.key);
    s.more_pages = look_up(p, w, s.key + PAGED_STEPS * TILE);
  }
  return s;
}

// The first row of a granule of the step.
FL4_DEV const char *granule_at(const fl4_fwd_params &p, const Stream &s, const char *from, i64 page_stride, i64 row,
                               int granule)
{
  const int key = s.key + granule * GRANULE;
  if (!PAGED) return from + key * row;
  const int page = (int)shuffle_from(s.pages, s.step * GRANULES + granule), slots = 1 << p.page_shift;
  return from + page * (page_stride * 2) + (key & (slots - 1)) * row;
}

// One chunk of the row of a key; zero if no row sees that key, and then it is not read.
template <bool WHOLE>
FL4_DEV void load_chunk(const fl4_fwd_params &p, const Work &w, const Stream &s, u32 to, const char *from, int key)
{
  const bool there = WHOLE || (key >= w.begin && key < w.end), aligned = reinterpret_cast<u64>(from) % 16 == 0;
  invariant(p, aligned, FL4_INVARIANT_ALIGNED, 0, 0);
  if (DEBUG && !aligned) return;  // the copy would end the context before the record is read
  if (WHOLE && HINT)
    cp_async_16_by(s.policy, to, from);
  else if (WHOLE)
    cp_async_16(to, from);
  else
    cp_async_16_zfill(to, there ? from : s.k, there ? 16 : 0);
}

// Rows of a step: 32 chunks at a time, which are neighbours. Where these are whole rows of one granule, a lane's next row is a
// constant number of bytes away, and is found by an addition: products would be kept in registers. Where these are not, places are
// worked out again each time.
template <bool WHOLE>
FL4_DEV void load_rows(const fl4_fwd_params &p, const Work &w, const Stream &s, u32 to, const char *from,
                       i64 page_stride, i64 row_bytes)
{
  constexpr bool WHOLE_ROWS = CHUNKS >= 4 && 32 % CHUNKS == 0;
  constexpr int AT_A_TIME = WHOLE_ROWS ? 32 / CHUNKS : 1;
  const char *granule[GRANULES], *at = nullptr;
#pragma unroll
  for (int g = 0; g < GRANULES; g++) granule[g] = granule_at(p, s, from, page_stride, row_bytes, g);
#pragma unroll
  for (int i = 0; i < KEYS * CHUNKS / 32; i++) {
    const int number = i * 32 + (WHOLE_ROWS ? lane() : lane_index());
    const int row = WHOLE_ROWS ? i * AT_A_TIME + lane() / CHUNKS : number / CHUNKS;
    const int chunk = WHOLE_ROWS ? lane() % CHUNKS : number % CHUNKS;
    if (WHOLE_ROWS && i * AT_A_TIME % GRANULE == 0) {
      at = granule[i * AT_A_TIME / GRANULE] + lane() / CHUNKS * row_bytes + chunk * 16;
    } else if (WHOLE_ROWS) {
      at += AT_A_TIME * row_bytes;
    } else {
      at = granule[0];
#pragma unroll
      for (int g = 1; g < GRANULES; g++) at = row >= g * GRANULE ? granule[g] : at;
      at += row % GRANULE * row_bytes + chunk * 16;
    }
    load_chunk<WHOLE>(p, w, s, to + chunk_offset(row, chunk), at, s.key + row);
  }
}

FL4_DEV void load_step(const fl4_fwd_params &p, const Work &w, const Stream &s, u32 to, const char *from,
                       i64 page_stride, i64 row_bytes)
{
  if (s.key < w.end) {
    invariant(p, s.key >= w.first, FL4_INVARIANT_IN_RANGE, s.key, w.first);
    if (s.key >= w.begin && s.key + KEYS <= w.end)
      load_rows<true>(p, w, s, to, from, page_stride, row_bytes);
    else
      load_rows<false>(p, w, s, to, from, page_stride, row_bytes);
  }
  cp_async_commit();
}

FL4_DEV void load_keys(const fl4_fwd_params &p, const Work &w, const Stream &s)
{
  load_step(p, w, s, k_slot(s.ring, s.slot), s.k, p.k_stride[0], s.k_row);
}

// The values of the same step; what is copied next is the next step.
FL4_DEV void load_values(const fl4_fwd_params &p, const Work &w, Stream &s)
{
  load_step(p, w, s, v_slot(s.ring, s.slot), s.v, p.v_stride[0], s.v_row);
  s.key += TILE;
  s.slot = slot_after(s.slot);
  if (!PAGED || ++s.step < PAGED_STEPS || s.key >= w.end) return;
  s.step = 0;
  s.pages = s.more_pages;
  s.more_pages = look_up(p, w, s.key + PAGED_STEPS * TILE);
}

// The block's rows of Q, zero where there is none; a group of copies of its own.
FL4_DEV void load_query(const fl4_fwd_params &p, const Work &w, u32 smem)
{
#pragma unroll
  for (int i = 0; i * THREADS < ROWS * CHUNKS; i++) {
    const int number = i * THREADS + thread_index(), row = number / CHUNKS, chunk = number % CHUNKS;
    if (ROWS * CHUNKS % THREADS != 0 && row >= ROWS) break;
    const Place at = place_of(p, w, row);
    const char *from = reinterpret_cast<const char *>(p.q) + query_offset(p, w, p.q_stride, at) * 2 + chunk * 16;
    cp_async_16_zfill(smem + Q_OFFSET + chunk_offset(row, chunk), at.there ? from : reinterpret_cast<const char *>(p.q),
                      at.there ? 16 : 0);
  }
  cp_async_commit();
}

// The lane's row and chunk in 16×16 blocks, as ldmatrix wants them for the left operand of a product: keys as they lie, …
FL4_DEV u32 lane_offset_k() { return chunk_offset(lane() % 16, lane() / 16); }
// … values transposed; and for the right operand: 8 rows of Q after 8, or the same ones twice.
FL4_DEV u32 lane_offset_v() { return chunk_offset(lane() / 16 * 8 + lane() % 8, lane() / 8 % 2); }
FL4_DEV u32 lane_offset_q() { return chunk_offset(lane() / 16 * 8 % ROWS + lane() % 8, lane() / 8 % 2); }

#endif

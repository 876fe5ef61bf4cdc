// SPDX-License-Identifier: Apache-2.0
//
// Attention forward for sm_90a: bulk copies, barriers in shared memory, matrix products of warpgroups.
//
// A block has groups that compute, 64 query rows each, and one whose first thread copies: query, key and value tiles pass
// through rings in shared memory. A block goes on from row tile to row tile; keys are walked from right to left, so
// that only the first tiles may need a mask. A group's steady loop is one turn a key tile: the products of the weights with
// the values and of the queries with the next keys are issued together; while they run, the other groups take
// exponentials. At the end of a row tile the next keys are the next row tile's, and the output is written beside them.
// (Shah et al., FlashAttention-3, arXiv 2407.08608, for the division of work; fl4_softmax.cuh for the reference that
// lags behind, which takes the maxima out of the loop.)
#include "fl4_abi.h"
#include "fl4_ptx_hopper.cuh"
#include "wgmma_config.cuh"

#include "wgmma_pipeline.cuh"
#include "wgmma_schedule.cuh"
#include "wgmma_mender.cuh"
#include "wgmma_softmax.cuh"
#include "wgmma_merge.cuh"
#include "wgmma_epilogue.cuh"

FL4_WGMMA(FL4_BN)
#if FL4_D != FL4_BN
FL4_WGMMA(FL4_D)
#endif

// ---------------------------------------------------------------- the producer

FL4_DEV void load_queries(const fl4_fwd_tma_params &p, const Pipeline &pipe, const RowTile &t, int n)
{
  const int first = (RAGGED_Q ? t.s.first_query : 0) + t.row0 / PACK;
  for (int group = 0; group < GROUPS; group++) {
    const int slot = n % QBUF * GROUPS + group;
    if (!wait_for(p.fwd, pipe.q_empty, slot, n / QBUF + 1)) return;
    const int query = first + group * (GROUP_ROWS / PACK);
    load_pages(pipe.q + slot * Q_BYTES, pipe.q_full + 8 * slot, &p.q, Q_BYTES, PACK > 1 ? t.h : query,
               PACK > 1 ? query : t.h, RAGGED_Q ? 0 : t.b); // packed, the map has heads where rows are else
  }
}

// Rows of a page of memory that are copied at a time: as many as the tile and the page have in common.
FL4_DEV int rows_of_copy(const fl4_fwd_params &p)
{
  return min_i32(BN & -BN, 1 << p.page_shift);
}

FL4_DEV void load_rows(const fl4_fwd_params &p, u32 to, u32 barrier, const fl4_tensor_map *map, const RowTile &t,
                       int key0)
{
  if (!PAGED) {
    load_pages(to, barrier, map, TILE_BYTES, (RAGGED_K ? t.s.first_key : 0) + key0, t.h_kv, RAGGED_K ? 0 : t.b);
    return;
  }
  const int rows = rows_of_copy(p), in_page = (1 << p.page_shift) - 1;
  constexpr int AT_ONCE = 4; // page numbers that are on their way together
  mbarrier_arrive_expect(barrier, TILE_BYTES);
  for (int first = 0; first < BN; first += AT_ONCE * rows) {
    int page[AT_ONCE];
#pragma unroll
    for (int i = 0; i < AT_ONCE; i++) page[i] = page_of(p, t.b, key0 + first + i * rows);
#pragma unroll
    for (int i = 0; i < AT_ONCE; i++) {
      const int row = first + i * rows;
      if (row >= BN) break;
#pragma unroll
      for (int columns = 0; columns < PAGES; columns++)
        tma_load(to + columns * KV_PAGE + row * 128, map, barrier, columns * 64, (key0 + row) & in_page, t.h_kv,
                 page[i]);
    }
  }
}

FL4_DEV void load_keys(const fl4_fwd_tma_params &p, const Pipeline &pipe, Place &at, const RowTile &t, int key0,
                       int entry)
{
  invariant(p.fwd, key0 >= 0 && (LENGTHS || key0 < p.fwd.Sk), FL4_INVARIANT_IN_RANGE, key0, p.fwd.Sk);
  if (!wait_for(p.fwd, pipe.k_empty, at.slot, at.phase + 1)) return; // another arrival would be one too many
  if constexpr (SKIP) store_shared_32(pipe.entries + 4 * at.slot, entry);
  load_rows(p.fwd, pipe.k + at.slot * TILE_BYTES, pipe.k_full + 8 * at.slot, &p.k, t, key0);
  advance<STAGES>(at);
}

// `mended`: tiles so far that had to be.
FL4_DEV void load_values(const fl4_fwd_tma_params &p, const Pipeline &pipe, Place &at, const RowTile &t, int key0,
                         int &mended)
{
  invariant(p.fwd, key0 >= 0 && (LENGTHS || key0 < p.fwd.Sk), FL4_INVARIANT_IN_RANGE, key0, p.fwd.Sk);
  if (!wait_for(p.fwd, pipe.v_empty, at.slot, at.phase + 1)) return;
  const int rows = keys(p.fwd, t) - key0;
  const bool partial = MENDS && rows < BN;
  if (partial && !wait_for_mender(p.fwd, pipe, mended++)) return;
  load_rows(p.fwd, pipe.v + at.slot * TILE_BYTES, partial ? pipe.landed : pipe.v_full + 8 * at.slot, &p.v, t, key0);
  if (partial) tell_mender(pipe, at.slot, max_i32(rows, 0));
  advance<STAGES>(at);
}

// Keys run one tile ahead of values, as they are used. With one query tile in shared memory it comes last: its slot becomes
// free when the last scores of the row tile before are there, whose values must be on their way by then.
FL4_DEV void produce(const fl4_fwd_tma_params &p, const Pipeline &pipe)
{
  Place k = {0, 0}, v = {0, 0}, bias = {0, 0};
  RowTile before = {};
  int number = first_number(), mended = 0;
  int here = 0; // if SKIP: the entry of the tile whose values come next
  if (!TELLS_FIRST && number >= row_tiles(p.fwd)) return;
  RowTile t = TELLS_FIRST ? row_tile_from(p.fwd, number) : row_tile(p.fwd, number);
  if (TELLS_FIRST) tell_tile(p.fwd, pipe, t, 0);
  for (int n = 0; t.key_tiles > 0 && !is_empty(t); n++) {
    const int last = t.key_tiles - 1;
    const int rest = here; // the one whose values are still to come
    if constexpr (SKIP) here = look_up(p.fwd, t, last);
    if (QBUF > 1) load_queries(p, pipe, t, n);
    load_keys(p, pipe, k, t, KEY_TILE(here, last) * BN, here);
    if (n > 0) load_values(p, pipe, v, before, KEY_TILE(rest, first_tile(before)) * BN, mended);
    if (QBUF == 1) load_queries(p, pipe, t, n);
    if (!SKIP || hides(here)) load_biases(p, pipe, bias, t, KEY_TILE(here, last) * BN);
    for (int tile = last;; tile--) {
      // Late, so that who has a long row tile does not take another before its time.
      if (tile == min_i32(last, first_tile(t) + 1)) number = draw_tile(p.fwd, number);
      if (tile == first_tile(t)) break;
      const int next = SKIP ? look_up(p.fwd, t, tile - 1) : 0;
      load_keys(p, pipe, k, t, KEY_TILE(next, tile - 1) * BN, next);
      load_values(p, pipe, v, t, KEY_TILE(here, tile) * BN, mended);
      if (!SKIP || hides(next)) load_biases(p, pipe, bias, t, KEY_TILE(next, tile - 1) * BN);
      here = next;
    }
    before = t;
    t = row_tile_from(p.fwd, number);
    tell_tile(p.fwd, pipe, t, n + TELLS_FIRST);
  }
  if ((!TELLS_FIRST && SPLITS == 1) || before.key_tiles > 0)
    load_values(p, pipe, v, before, KEY_TILE(here, first_tile(before)) * BN, mended);
  if (MENDS && wait_for_mender(p.fwd, pipe, mended)) tell_mender(pipe, NOTHING_MORE, 0);
}

// ---------------------------------------------------------------- the groups that compute

// S = Q Kᵀ
FL4_DEV void multiply_query_keys(Scores &s, u32 q, u32 k)
{
#pragma unroll
  for (int d = 0; d < D16; d++)
    Wgmma<BN>::shared(s, q + d / 4 * (Q_PAGE >> 4) + d % 4 * WGMMA_NEXT_COLUMNS,
                      k + d / 4 * (KV_PAGE >> 4) + d % 4 * WGMMA_NEXT_COLUMNS, d > 0);
  wgmma_commit();
}

// O += P V
FL4_DEV void multiply_weights_values(float (&o)[D / 2], const Weights &w, u32 v)
{
#pragma unroll
  for (int n = 0; n < BN / 16; n++)
    Wgmma<D>::registers(o, w[4 * n], w[4 * n + 1], w[4 * n + 2], w[4 * n + 3], v + n * WGMMA_NEXT_ROWS);
  wgmma_commit();
}

// By the lane that gives the slot back for its warp.
FL4_DEV int hear_entry(const Pipeline &pipe, int slot)
{
  const u32 entry = lane() == 0 ? load_shared_32(pipe.entries + 4 * slot) : 0;
  return (int)shuffle_from(entry, 0);
}

// The end of a block's only row tile, or of its last.
FL4_DEV void finish_all(Rows &rows, const RowTile &t, int row, const fl4_fwd_params &p)
{
  if (merge_splits(rows, p)) finish(rows, t, row, p);
}

FL4_DEV void compute(const fl4_fwd_tma_params &params, const Pipeline &pipe, int group)
{
  const fl4_fwd_params &p = params.fwd;
  const u32 q_tiles = wgmma_matrix(pipe.q + group * Q_BYTES, 16), k_tiles = wgmma_matrix(pipe.k, 16),
            v_tiles = wgmma_matrix(pipe.v, KV_PAGE);
  const int my_turn = 1 + group, next_turn = 1 + (group + 1) % GROUPS;
  const int warp_row = group * GROUP_ROWS + thread_index() % 128 / 32 * 16, lane_row = warp_row + lane() / 4;
  RowTile t = {};
  if (TELLS_FIRST ? !hear_tile(p, pipe, t, 0) : first_number() >= row_tiles(p)) return;
  Rows rows;
  if (SPLITS > 1 && !TELLS_FIRST) t = row_tile(p, first_number());
  if (is_empty(t)) {
    clear(rows);
    finish_all(rows, t, t.row0 + lane_row, p);
    return;
  }
  if (PINGPONG && group == GROUPS - 1) named_barrier_arrive(1, 256); // the first turn is group 0's

  Scores s;
  Weights weights;
  if (SPLITS == 1 && !TELLS_FIRST) t = row_tile(p, first_number());
  int n = 0;                  // row tiles done
  int tile = t.key_tiles - 1; // key tile whose scores are there
  OpenTiles open = open_tiles(p, t, group);
  int course = BEGINNING;
  Place k = {0, 0}, v = {0, 0}, bias = {0, 0};
  float slope = alibi_slope(p, t.b, t.h);
  clear(rows);

  wait_for(p, pipe.q_full, group, 0);
  wait_for(p, pipe.k_full, k);
  wgmma_fence();
  multiply_query_keys(s, q_tiles, k_tiles);
  wgmma_wait<0>();
  wgmma_arrived(s);
  while (true) {
    // Scores of `tile` are there, and its keys are done with; with the last ones the queries too. Whether the next keys and
    // the values have come is asked now, and the answer used when the weights are there.
    const int listed = SKIP ? hear_entry(pipe, k.slot) : 0;
    release(pipe.k_empty, k.slot);
    advance<STAGES>(k);
    const bool last = tile == first_tile(t);
    if (last) release(pipe.q_empty, n % QBUF * GROUPS + group);
    const bool k_here = is_over(pipe.k_full, k), v_here = is_over(pipe.v_full, v);

    bool few = p.Sq * PACK <=
               GROUP_ROWS; // then reading keys takes the time, and references may as well be those of each tile
    const int at = KEY_TILE(listed, tile);
    score(s, params, pipe, bias, t, slope, t.row0 + lane_row, at * BN, !SKIP || hides(listed));
    if (!open.has(at)) {
      mask_scores(s, p, t, t.row0 + lane_row, at * BN);
      few |= keys_seen(p, t, t.row0 + warp_row) - at * BN < FEW;
    }
    softmax(rows, weights, course, s, few, p);

    RowTile next = t;
    if (last) {
      if (!hear_tile(p, pipe, next, n + TELLS_FIRST)) break;
      n++;
      wait_for(p, pipe.q_full, n % QBUF * GROUPS + group, n / QBUF);
    }
    if (!k_here) wait_for(p, pipe.k_full, k);
    if (!v_here) wait_for(p, pipe.v_full, v);
    if (PINGPONG) named_barrier(my_turn, 256);
    wgmma_fence();
    multiply_weights_values(rows.o, weights, v_tiles + v.slot * (TILE_BYTES >> 4));
    multiply_query_keys(s, q_tiles + n % QBUF * (GROUPS * Q_BYTES >> 4), k_tiles + k.slot * (TILE_BYTES >> 4));
    if (PINGPONG) named_barrier_arrive(next_turn, 256);
    wgmma_wait<1>();
    wgmma_arrived(rows.o);
    release(pipe.v_empty, v.slot);
    advance<STAGES>(v);
    tile--;
    if (last) {
      finish(rows, t, t.row0 + lane_row, p);
      clear(rows);
      t = next, tile = t.key_tiles - 1, open = open_tiles(p, t, group), slope = alibi_slope(p, t.b, t.h);
      course = BEGINNING;
    }
    wgmma_wait<0>();
    wgmma_arrived(s);
  }

  wait_for(p, pipe.v_full, v);
  if (PINGPONG) named_barrier(my_turn, 256);
  wgmma_fence();
  multiply_weights_values(rows.o, weights, v_tiles + v.slot * (TILE_BYTES >> 4));
  if (PINGPONG && group < GROUPS - 1) named_barrier_arrive(next_turn, 256); // nobody comes after the last one
  wgmma_wait<0>();
  wgmma_arrived(rows.o);
  finish_all(rows, t, t.row0 + lane_row, p);
}

FL4_KERNEL(fl4_fwd_wgmma, THREADS, 1)(FL4_PARAM fl4_fwd_tma_params p)
{
  const Pipeline pipe = pipeline();
  const int group = warpgroup_index();
  if (thread_index() == PRODUCER * 128) tma_prefetch(&p.q), tma_prefetch(&p.k), tma_prefetch(&p.v);
  if (BIAS && p.bias_rows && thread_index() == PRODUCER * 128) tma_prefetch(&p.bias);
  if (thread_index() == 0) init_barriers(pipe);
  block_barrier();
  if (group == PRODUCER) {
    give_registers<PRODUCER_REGISTERS>();
    if (thread_index() == PRODUCER * 128) produce(p, pipe);
    if (MENDS && thread_index() / 32 == PRODUCER * 4 + 1) mend(p.fwd, pipe);
  } else {
    take_registers<CONSUMER_REGISTERS>();
    compute(p, pipe, group);
  }
}

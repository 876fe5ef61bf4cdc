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
#include "wgmma_softmax.cuh"
#include "wgmma_epilogue.cuh"

FL4_WGMMA(FL4_BN)
#if FL4_D != FL4_BN
FL4_WGMMA(FL4_D)
#endif

// ---------------------------------------------------------------- the producer

FL4_DEV void load_queries(const fl4_fwd_tma_params &p, const Pipeline &pipe, const RowTile &t, int n)
{
  for (int group = 0; group < GROUPS; group++) {
    const int slot = n % QBUF * GROUPS + group;
    if (!wait_for(p.fwd, pipe.q_empty, slot, n / QBUF + 1)) return;
    load_pages(pipe.q + slot * Q_BYTES, pipe.q_full + 8 * slot, &p.q, Q_BYTES, t.row0 + group * GROUP_ROWS, t.h, t.b);
  }
}

FL4_DEV void load_tile(const fl4_fwd_params &p, u32 ring, u32 full, u32 empty, const fl4_tensor_map *map, Place &at,
                       const RowTile &t, int key0)
{
  invariant(p, key0 >= 0 && key0 < p.Sk, FL4_INVARIANT_IN_RANGE, key0, p.Sk);
  if (!wait_for(p, empty, at.slot, at.phase + 1)) return; // another arrival would be one too many
  load_pages(ring + at.slot * TILE_BYTES, full + 8 * at.slot, map, TILE_BYTES, key0, t.h_kv, t.b);
  advance<STAGES>(at);
}

// Keys run one tile ahead of values, as they are used. With one query tile in shared memory it comes last: its slot becomes
// free when the last scores of the row tile before are there, whose values must be on their way by then.
FL4_DEV void produce(const fl4_fwd_tma_params &p, const Pipeline &pipe)
{
  Place k = {0, 0}, v = {0, 0};
  RowTile before = {};
  int number = block_index();
  if (number >= row_tiles(p.fwd)) return;
  RowTile t = row_tile(p.fwd, number);
  for (int n = 0; t.key_tiles > 0; n++) {
    const int last = t.key_tiles - 1;
    if (QBUF > 1) load_queries(p, pipe, t, n);
    load_tile(p.fwd, pipe.k, pipe.k_full, pipe.k_empty, &p.k, k, t, last * BN);
    if (n > 0) load_tile(p.fwd, pipe.v, pipe.v_full, pipe.v_empty, &p.v, v, before, 0);
    if (QBUF == 1) load_queries(p, pipe, t, n);
    number = draw_tile(p.fwd, number);
    for (int tile = last; tile > 0; tile--) {
      load_tile(p.fwd, pipe.k, pipe.k_full, pipe.k_empty, &p.k, k, t, (tile - 1) * BN);
      load_tile(p.fwd, pipe.v, pipe.v_full, pipe.v_empty, &p.v, v, t, tile * BN);
    }
    before = t;
    t.key_tiles = 0;
    if (number < row_tiles(p.fwd)) t = row_tile(p.fwd, number);
    tell_tile(p.fwd, pipe, t, n);
  }
  load_tile(p.fwd, pipe.v, pipe.v_full, pipe.v_empty, &p.v, v, before, 0);
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

FL4_DEV void compute(const fl4_fwd_tma_params &params, const Pipeline &pipe, int group)
{
  const fl4_fwd_params &p = params.fwd;
  const u32 q_tiles = wgmma_matrix(pipe.q + group * Q_BYTES, 16), k_tiles = wgmma_matrix(pipe.k, 16),
            v_tiles = wgmma_matrix(pipe.v, KV_PAGE);
  const int my_turn = 1 + group, next_turn = 1 + (group + 1) % GROUPS;
  const int warp_row = group * GROUP_ROWS + thread_index() % 128 / 32 * 16, lane_row = warp_row + lane() / 4;
  if (block_index() >= row_tiles(p)) return;
  if (PINGPONG && group == GROUPS - 1) named_barrier_arrive(1, 256); // the first turn is group 0's

  Rows rows;
  Scores s;
  Weights weights;
  RowTile t = row_tile(p, block_index());
  int n = 0;                                                 // row tiles done
  int tile = t.key_tiles - 1;                                // key tile whose scores are there
  int open = keys_seen(p, t.row0 + group * GROUP_ROWS) / BN; // key tiles before this one are seen wholly by all rows
  int course = BEGINNING;
  Place k = {0, 0}, v = {0, 0};
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
    release(pipe.k_empty, k.slot);
    advance<STAGES>(k);
    if (tile == 0) release(pipe.q_empty, n % QBUF * GROUPS + group);
    const bool k_here = is_over(pipe.k_full, k), v_here = is_over(pipe.v_full, v);

    bool few = p.Sq <= GROUP_ROWS; // then reading keys takes the time, and references may as well be those of each tile
    if (tile >= open) {
      mask_scores(s, p, t.row0 + lane_row, tile * BN);
      few |= keys_seen(p, t.row0 + warp_row) - tile * BN < FEW;
    }
    softmax(rows, weights, course, s, few, p);

    RowTile next = t;
    const bool last = tile == 0;
    if (last) {
      if (!hear_tile(p, pipe, next, n++)) break;
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
      t = next, tile = t.key_tiles - 1, open = keys_seen(p, t.row0 + group * GROUP_ROWS) / BN;
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
  finish(rows, t, t.row0 + lane_row, p);
}

FL4_KERNEL(fl4_fwd_wgmma, THREADS, 1)(FL4_PARAM fl4_fwd_tma_params p)
{
  const Pipeline pipe = pipeline();
  const int group = warpgroup_index();
  if (thread_index() == PRODUCER * 128) tma_prefetch(&p.q), tma_prefetch(&p.k), tma_prefetch(&p.v);
  if (thread_index() == 0) init_barriers(pipe);
  block_barrier();
  if (group == PRODUCER) {
    give_registers<PRODUCER_REGISTERS>();
    if (thread_index() == PRODUCER * 128) produce(p, pipe);
  } else {
    take_registers<CONSUMER_REGISTERS>();
    compute(p, pipe, group);
  }
}

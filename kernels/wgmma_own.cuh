// SPDX-License-Identifier: Apache-2.0
//
// The walk of a group that computes only the key tiles of which its rows see a key. With a causal mask or a window the groups of a
// block see different ones; compute() has all of them take all that any of them sees, masked.
//
// A tile that the group does not take it passes: it waits for the slots, has its turn, and gives all of it back, so that rings and
// turns go on as for the others. In the middle of a row tile a turn is that of compute(). At its ends the products come one by one:
// where branches meet while one is under way, the assembler makes all of them wait for each other (C7515).
#ifndef WGMMA_OWN_CUH
#define WGMMA_OWN_CUH

#include "wgmma_merge.cuh"
#include "wgmma_epilogue.cuh"

// Worked out anew each time, for registers are dear.
FL4_DEV bool sees_tile(const fl4_fwd_params &p, const RowTile &t, int group, int tile)
{
  const int row = t.row0 + group * GROUP_ROWS;
  return tile * BN < keys_seen(p, t, row + GROUP_ROWS - 1) && (!WINDOW || (tile + 1) * BN > first_seen(p, t, row));
}

// The compiler need not keep what is there.
FL4_DEV void forget(Weights &w)
{
#pragma unroll
  for (int i = 0; i < BN / 4; i++) w[i] = 0;
}

// The first scores of what follows in a row tile.
FL4_DEV void first_scores(Scores &s, u32 q, u32 k)
{
  wgmma_fence();
  multiply_query_keys(s, q, k);
  wgmma_wait<0>();
  wgmma_arrived(s);
}

FL4_DEV void compute_own(const fl4_fwd_tma_params &params, const Pipeline &pipe, int group)
{
  const fl4_fwd_params &p = params.fwd;
  const u32 q_tiles = wgmma_matrix(pipe.q + group * Q_BYTES, 16), k_tiles = wgmma_matrix(pipe.k, 16),
            v_tiles = wgmma_matrix(pipe.v, KV_PAGE);
  const int my_turn = 1 + group, next_turn = 1 + (group + 1) % GROUPS;
  const int warp_row = group * GROUP_ROWS + thread_index() % 128 / 32 * 16, lane_row = warp_row + lane() / 4;
  RowTile t = {};
  if (TELLS_FIRST ? !hear_tile(p, pipe, t, 0) : first_number() >= row_tiles(p)) return;
  if (!TELLS_FIRST) t = row_tile(p, first_number());
  Rows rows;
  clear(rows);
  if (is_empty(t)) return finish_all(rows, t, t.row0 + lane_row, p);
  if (PINGPONG && group == GROUPS - 1) named_barrier_arrive(1, 256); // the first turn is group 0's

  Scores s;
  Weights weights;
  int n = 0, tile = t.key_tiles - 1, course = BEGINNING;
  OpenTiles open = open_tiles(p, t, group);
  Place k = {0, 0}, v = {0, 0}, bias = {0, 0};
  float slope = alibi_slope(p, t.b, t.h);

  wait_for(p, pipe.q_full, group, 0);
  wait_for(p, pipe.k_full, k);
  warp_barrier();
  if (sees_tile(p, t, group, tile)) first_scores(s, q_tiles, k_tiles);
  while (true) {
    // If the group takes `tile` its scores are there.
    release(pipe.k_empty, k.slot);
    advance<STAGES>(k);
    const bool last = tile == first_tile(t);
    if (last) release(pipe.q_empty, n % QBUF * GROUPS + group);
    const bool k_here = is_over(pipe.k_full, k), v_here = is_over(pipe.v_full, v);

    if (sees_tile(p, t, group, tile)) {
      bool few = p.Sq * PACK <= GROUP_ROWS;
      score(s, params, pipe, bias, t, slope, t.row0 + lane_row, tile * BN);
      if (!open.has(tile)) {
        mask_scores(s, p, t, t.row0 + lane_row, tile * BN);
        few |= keys_seen(p, t, t.row0 + warp_row) - tile * BN < FEW;
      }
      softmax(rows, weights, course, s, few, p);
    } else {
      forget(weights);
    }

    RowTile next = t;
    if (last) {
      if (!hear_tile(p, pipe, next, n + TELLS_FIRST)) break;
      n++;
      wait_for(p, pipe.q_full, n % QBUF * GROUPS + group, n / QBUF);
    }
    if (!k_here) wait_for(p, pipe.k_full, k);
    if (!v_here) wait_for(p, pipe.v_full, v);
    if (PINGPONG) named_barrier(my_turn, 256);
    const bool takes = sees_tile(p, t, group, tile);
    if (!last && takes && (!WINDOW || sees_tile(p, t, group, tile - 1))) {
      wgmma_fence();
      multiply_weights_values(rows.o, weights, v_tiles + v.slot * (TILE_BYTES >> 4));
      multiply_query_keys(s, q_tiles + n % QBUF * (GROUPS * Q_BYTES >> 4), k_tiles + k.slot * (TILE_BYTES >> 4));
      if (PINGPONG) named_barrier_arrive(next_turn, 256);
      wgmma_wait<1>();
      wgmma_arrived(rows.o);
      release(pipe.v_empty, v.slot);
      advance<STAGES>(v);
      tile--;
      wgmma_wait<0>();
      wgmma_arrived(s);
      continue;
    }
    // Without a product lanes would go on by themselves, and their warp give back slots that some have not waited for.
    warp_barrier();
    if (takes) {
      wgmma_fence();
      multiply_weights_values(rows.o, weights, v_tiles + v.slot * (TILE_BYTES >> 4));
      if (PINGPONG) named_barrier_arrive(next_turn, 256);
      wgmma_wait<0>();
      wgmma_arrived(rows.o);
    } else if (PINGPONG) {
      named_barrier_arrive(next_turn, 256);
    }
    release(pipe.v_empty, v.slot);
    advance<STAGES>(v);
    tile--;
    if (last) {
      finish(rows, t, t.row0 + lane_row, p);
      clear(rows);
      t = next, tile = t.key_tiles - 1, open = open_tiles(p, t, group), slope = alibi_slope(p, t.b, t.h);
      course = BEGINNING;
    }
    if (sees_tile(p, t, group, tile))
      first_scores(s, q_tiles + n % QBUF * (GROUPS * Q_BYTES >> 4), k_tiles + k.slot * (TILE_BYTES >> 4));
  }

  wait_for(p, pipe.v_full, v);
  if (PINGPONG) named_barrier(my_turn, 256);
  if (sees_tile(p, t, group, tile)) {
    wgmma_fence();
    multiply_weights_values(rows.o, weights, v_tiles + v.slot * (TILE_BYTES >> 4));
    wgmma_wait<0>();
    wgmma_arrived(rows.o);
  }
  if (PINGPONG && group < GROUPS - 1) named_barrier_arrive(next_turn, 256); // nobody comes after the last one
  finish_all(rows, t, t.row0 + lane_row, p);
}

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* Faults that kernels are given on purpose, and how each must be noticed (tests/gpu/test_gpu_sabotage.c). */
#ifndef FL4_SABOTAGES_H
#define FL4_SABOTAGES_H

#include <stdbool.h>

#include <flashl4/check.h>

typedef struct fault {
  const char *file, *from, *to;
} fault;

/*
 * Must be noticed on the line with these inputs. VIOLATES: the debug build breaks off with these words. IS_WRONG: the check
 * fails. IS_NOTICED: a debug build, one or the other; of faults with which another build might wait for ever. IS_REFUSED: the
 * assembler sees that a product's result is used too early, and the library does not run what it makes of that.
 */
typedef struct sabotage {
  const char *what;
  fault fault;
  const char *variant, *line;
  fl4_inputs inputs;
  bool debug;
  const char *says, *more; /* NULL: whatever it says */
} sabotage;

/* clang-format off */
#define VIOLATES(says, more) true, says, more
#define IS_NOTICED true, NULL, NULL
#define IS_WRONG false, NULL, NULL
#define IS_REFUSED false, "the assembler serialises the matrix products", ""

/* A ring of two slots and one row tile: barriers 0 and 1 are those of the queries, 2 and 3 of "the keys are there". */
#define ONE_TILE "fwd_wgmma:groups=1,bn=64,stages=2,qbuf=1,pingpong=0,sched=0"
#define IN_TURN "fwd_wgmma:groups=2,bn=64,stages=2,qbuf=2,pingpong=0,sched=1"
#define ONE_QUERY_TILE "fwd_wgmma:groups=2,bn=48,stages=2,qbuf=1,pingpong=0,sched=1"
#define BY_TICKET "fwd_wgmma:groups=2,bn=64,stages=2,qbuf=2,pingpong=0,sched=2"
#define LONG_WALK "fwd_wgmma:groups=2,bn=48,stages=2,qbuf=1,pingpong=0,sched=0"

static const sabotage of_fwd_mma[] = {
    {"maxima not of all keys", {"fl4_softmax.cuh", "max_f32(before, row_max(largest) * scale)",
     "row_max(largest) * scale"},
     "fwd_mma", "b1hq2sq64sk500d64", FL4_INPUTS_NORMAL, VIOLATES("MAX_GROWS", "")},
    {"sums of negative ones", {"mma_products.cuh", "PACKED_ONES, PACKED_ONES",
     "PACKED_ONES | 0x80008000u, PACKED_ONES | 0x80008000u"},
     "fwd_mma", "b1hq2sq64sk512d64", FL4_INPUTS_NORMAL, VIOLATES("SUM_GROWS", "")},
    {"weights far too small", {"fl4_softmax.cuh", "[2 * half] * scale - reference)",
     "[2 * half] * scale - reference - 12.f) * 0.f"},
     "fwd_mma", "b1hq2sq64sk1d64", FL4_INPUTS_NORMAL, VIOLATES("SUM_AT_LEAST_ONE", "")},
    {"sums far too large", {"mma_products.cuh", "PACKED_ONES, PACKED_ONES", "0x7bff7bffu, 0x7bff7bffu"},
     "fwd_mma", "b1hq2sq64sk64d64", FL4_INPUTS_EQUAL, VIOLATES("SUM_AT_MOST_KEYS", "")},
    {"divided by nothing", {"fl4_common.cuh", "reciprocal_approx(l)", "reciprocal_approx(l - l)"},
     "fwd_mma", "b1hq2sq64sk64d64", FL4_INPUTS_NORMAL, VIOLATES("FINITE", "")},
    {"keys two bytes on", {"mma_ring.cuh", "r.k + key0 * r.k_row", "r.k + 2 + key0 * r.k_row"},
     "fwd_mma", "b1hq2sq64sk64d64", FL4_INPUTS_NORMAL, VIOLATES("ALIGNED", "")},
    {"a tile beyond the end", {"mma_ring.cuh", "const int key0 = FIRST_KEY(r, tile);\n  invariant",
     "const int key0 = FIRST_KEY(r, tile - 1);\n  invariant"},
     "fwd_mma", "b1hq2sq64sk64d64", FL4_INPUTS_NORMAL, VIOLATES("IN_RANGE", "")},
    {"scale 2 % off", {"fwd_mma.cu", "weigh(weights, sums, s, rows, score_scale(p),",
     "weigh(weights, sums, s, rows, score_scale(p) * 1.02f,"},
     "fwd_mma", "b1hq4sq512sk512d64", FL4_INPUTS_NORMAL, IS_WRONG},
    {"the last tile dropped", {"fwd_mma.cu", ": w.end;\n    if (!WEAVE)", ": w.end - 1;\n    if (!WEAVE)"},
     "fwd_mma", "b1hq4sq512sk512d64", FL4_INPUTS_NORMAL, IS_WRONG},
    {"a stage read too early", {"fwd_mma.cu", "k_slot(lane_at.k, at.k) + slice * SLICE * ROW_BYTES,",
     "k_slot(lane_at.k, slot_after(at.k, K_SLOTS)) + slice * SLICE * ROW_BYTES,"},
     "fwd_mma", "b1hq4sq512sk512d64", FL4_INPUTS_NORMAL, IS_WRONG},
    {"K used as V", {"fwd_mma.cu", "v_slot(lane_at.v, at.v) + slice * SLICE * ROW_BYTES, p, w,",
     "k_slot(lane_at.v, at.k) + slice * SLICE * ROW_BYTES, p, w,"},
     "fwd_mma", "b1hq4sq512sk512d64", FL4_INPUTS_NORMAL, IS_WRONG},
    {"no rescaling of the output", {"fl4_softmax.cuh", "rescale(rows, m, half, exp2_approx(before - reference));",
     ""},
     "fwd_mma", "b1hq4sq512sk500d64", FL4_INPUTS_NORMAL, IS_WRONG},
    {"mask one key too wide", {"fl4_mask.cuh", "lane() / 4 + w.shift + 1", "lane() / 4 + w.shift + 2"},
     "fwd_mma", "b1hq4sq512sk512d64:causal", FL4_INPUTS_NORMAL, IS_WRONG},
    {"keys past the end counted", {"fl4_mask.cuh", ": present;", ": present + 64;"},
     "fwd_mma", "b1hq4sq512sk500d64", FL4_INPUTS_NORMAL, IS_WRONG},
    {"neighbour's key head", {"fl4_schedule.cuh", "w.h / (p.Hq / p.Hkv)", "w.h % p.Hkv"},
     "fwd_mma", "b1hq4hkv2sq512sk512d64", FL4_INPUTS_NORMAL, IS_WRONG},
    {"rows past the end written", {"fl4_epilogue.cuh", "if (row0 + row >= queries(p, w) || ", "if ("},
     "fwd_mma", "b1hq1sq505sk512d64", FL4_INPUTS_NORMAL, IS_WRONG},
    {"LSE without the maximum", {"fl4_common.cuh", "(reference + log2_approx(l))", "log2_approx(l)"},
     "fwd_mma", "b1hq4sq512sk512d64:lse", FL4_INPUTS_NORMAL, IS_WRONG},
    {"one fragment's columns swapped", {"mma_products.cuh", "weights[n][m], v[0], v[1]);", "weights[n][m], v[1], v[0]);"},
     "fwd_mma", "b1hq4sq512sk512d64", FL4_INPUTS_NORMAL, IS_WRONG},
};

static const sabotage of_fwd_wgmma[] = {
    {"keys that never come", {"fwd_wgmma.cu", "load_pages(to, barrier, map, TILE_BYTES,",
     "load_pages(to, barrier, map, TILE_BYTES + 16,"},
     ONE_TILE, "b1hq2sq64sk64d64", FL4_INPUTS_NORMAL, VIOLATES("IN_TIME", "value 2, bound 0")},
    {"queries that never come", {"fwd_wgmma.cu", "&p.q, Q_BYTES,", "&p.q, Q_BYTES + 16,"},
     ONE_TILE, "b1hq2sq64sk64d64", FL4_INPUTS_NORMAL, VIOLATES("IN_TIME", "value 0, bound 0")},
    {"keys never given back", {"fwd_wgmma.cu", "release(pipe.k_empty, k.slot);", ""},
     LONG_WALK, "b1hq2sq128sk2000d64", FL4_INPUTS_NORMAL, VIOLATES("IN_TIME", "")},
    {"values never given back", {"fwd_wgmma.cu", "release(pipe.v_empty, v.slot);", ""},
     LONG_WALK, "b1hq2sq128sk2000d64", FL4_INPUTS_NORMAL, VIOLATES("IN_TIME", "")},
    {"maxima not of all keys", {"wgmma_softmax.cuh", "max_f32(before, highest[half]);", "highest[half];"},
     LONG_WALK, "b1hq2sq128sk2000d64", FL4_INPUTS_PEAKED, VIOLATES("MAX_GROWS", "")},
    {"sums dropped", {"wgmma_softmax.cuh", "rows.sum[half] += sums[half];", "(void)sums[half];"},
     "fwd_wgmma", "b1hq2sq64sk64d64", FL4_INPUTS_NORMAL, VIOLATES("SUM_AT_LEAST_ONE", "")},
    {"sums far too large", {"wgmma_softmax.cuh", "rows.sum[half] += sums[half];",
     "rows.sum[half] += sums[half] * 1000.f;"},
     "fwd_wgmma", "b1hq2sq64sk64d64", FL4_INPUTS_EQUAL, VIOLATES("SUM_AT_MOST_KEYS", "")},
    {"sums that are no numbers", {"wgmma_softmax.cuh", "rows.sum[half] += sums[half];",
     "rows.sum[half] += MINUS_INFINITY * 0.f;"},
     "fwd_wgmma", "b1hq2sq64sk64d64", FL4_INPUTS_NORMAL, VIOLATES("FINITE", "")},
    {"a tile beyond the end", {"fwd_wgmma.cu", "k, t, KEY_TILE(here, last) * BN, here);",
     "k, t, (KEY_TILE(here, last) + 1) * BN, here);"},
     "fwd_wgmma", "b1hq2sq64sk64d64", FL4_INPUTS_NORMAL, VIOLATES("IN_RANGE", "")},
    {"the first keys not waited for", {"fwd_wgmma.cu", "Place k = {0, 0}, v = {0, 0}, bias = {0, 0};\n  float",
     "Place k = {0, 1}, v = {0, 0}, bias = {0, 0};\n  float"},
     LONG_WALK, "b1hq2sq128sk2000d64", FL4_INPUTS_NORMAL, IS_NOTICED},
    {"scores not waited for", {"fwd_wgmma.cu", "wgmma_wait<0>();\n    wgmma_arrived(s);",
     "wgmma_wait<1>();\n    wgmma_arrived(s);"},
     LONG_WALK, "b1hq2sq128sk2000d64", FL4_INPUTS_NORMAL, IS_REFUSED},
    {"the last output not waited for", {"fwd_wgmma.cu", "wgmma_wait<0>();\n  wgmma_arrived(rows.o);",
     "wgmma_wait<1>();\n  wgmma_arrived(rows.o);"},
     LONG_WALK, "b1hq2sq128sk2000d64", FL4_INPUTS_NORMAL, IS_REFUSED},
    {"values' pages too close", {"fwd_wgmma.cu", "wgmma_matrix(pipe.v, KV_PAGE)",
     "wgmma_matrix(pipe.v, KV_PAGE / 2)"},
     "fwd_wgmma", "b1hq4sq512sk512d128", FL4_INPUTS_NORMAL, IS_WRONG},
    {"keys' pages too close", {"fwd_wgmma.cu", "k + d / 4 * (KV_PAGE >> 4)", "k + d / 4 * (KV_PAGE >> 5)"},
     "fwd_wgmma", "b1hq4sq512sk512d128", FL4_INPUTS_NORMAL, IS_WRONG},
    {"no causal mask", {"fwd_wgmma.cu", "if (!open.has(at)) {", "if (false) {"},
     "fwd_wgmma", "b1hq4sq512sk512d64:causal", FL4_INPUTS_NORMAL, IS_WRONG},
    {"keys past the end counted", {"fwd_wgmma.cu", "if (!open.has(at)) {", "if (false) {"},
     "fwd_wgmma", "b1hq4sq512sk500d64", FL4_INPUTS_NORMAL, IS_WRONG},
    {"mask one key too wide", {"wgmma_softmax.cuh", "8 * i + e >= seen ||", "8 * i + e > seen ||"},
     "fwd_wgmma", "b1hq4sq512sk512d64:causal", FL4_INPUTS_NORMAL, IS_WRONG},
    {"no rescaling of the output", {"wgmma_softmax.cuh", "rows.o[i] *= factor[i / 2 % 2];", ";"},
     LONG_WALK, "b1hq4sq512sk2000d64", FL4_INPUTS_SHRINKING, IS_WRONG},
    {"no rescaling of the sums", {"wgmma_softmax.cuh", "rows.sum[half] *= factor[half];", ""},
     LONG_WALK, "b1hq4sq512sk2000d64", FL4_INPUTS_SHRINKING, IS_WRONG},
    {"sums dropped, in a release build", {"wgmma_softmax.cuh", "rows.sum[half] += sums[half];", "(void)sums[half];"},
     "fwd_wgmma", "b1hq2sq64sk64d64", FL4_INPUTS_NORMAL, IS_WRONG},
    {"scale 2 % off", {"wgmma_softmax.cuh", "rows.reference[1], score_scale(p));",
     "rows.reference[1], score_scale(p) * 1.02f);"},
     LONG_WALK, "b1hq4sq512sk2000d64", FL4_INPUTS_NORMAL, IS_WRONG},
    {"neighbour's key head", {"wgmma_schedule.cuh", "t.h / (p.Hq / p.Hkv)", "t.h % p.Hkv"},
     "fwd_wgmma", "b1hq4hkv2sq512sk512d64", FL4_INPUTS_NORMAL, IS_WRONG},
    {"row tiles left out", {"wgmma_schedule.cuh", "number + grid_blocks();", "number + grid_blocks() + 1;"},
     IN_TURN, "b5hq32sq200sk200d64", FL4_INPUTS_NORMAL, IS_WRONG},
    {"queries of the row tile before", {"fwd_wgmma.cu", "q_tiles + n % QBUF * (GROUPS * Q_BYTES >> 4)", "q_tiles"},
     IN_TURN, "b5hq64sq200sk200d64", FL4_INPUTS_NORMAL, IS_WRONG},
    {"rows past the end written", {"wgmma_epilogue.cuh", "store_global_128_if(at < queries(p, t) && ", "store_global_128_if("},
     "fwd_wgmma", "b1hq1sq505sk512d64", FL4_INPUTS_NORMAL, IS_WRONG},
    {"LSE without the maximum", {"fl4_common.cuh", "(reference + log2_approx(l))", "log2_approx(l)"},
     "fwd_wgmma", "b1hq4sq512sk512d64:lse", FL4_INPUTS_NORMAL, IS_WRONG},
    {"keys that never come, row tiles in turn", {"fwd_wgmma.cu", "load_pages(to, barrier, map, TILE_BYTES,",
     "load_pages(to, barrier, map, TILE_BYTES + 16,"},
     IN_TURN, "b5hq32sq200sk200d64", FL4_INPUTS_NORMAL, VIOLATES("IN_TIME", "")},
    {"keys that never come, row tiles by ticket", {"fwd_wgmma.cu", "load_pages(to, barrier, map, TILE_BYTES,",
     "load_pages(to, barrier, map, TILE_BYTES + 16,"},
     BY_TICKET, "b5hq32sq200sk200d64:causal", FL4_INPUTS_NORMAL, VIOLATES("IN_TIME", "")},
};
/* clang-format on */

enum { N_MMA = sizeof of_fwd_mma / sizeof *of_fwd_mma, N_WGMMA = sizeof of_fwd_wgmma / sizeof *of_fwd_wgmma };

static const sabotage *sabotage_number(int i)
{
  return i < N_MMA ? &of_fwd_mma[i] : &of_fwd_wgmma[i - N_MMA];
}

#endif

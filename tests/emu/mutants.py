#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Proof that the emulator and the check bite: the kernels are broken one edit at a time, and every
broken kernel must be noticed.

mutants.py FL4_EMU KERNELS_DIR [--jobs N] [--only NAME]... [--list] [--report FILE]

A mutant is one piece of text in the kernel sources put in place of another, and the runs that should
notice, tried in order. It is killed if the emulator reports a violation, if the check finds the result
wrong, or, for edits that leave every result right, if the counts show bank conflicts. A text that is
no longer there, a mutant that does not compile and a run that ends in any other way are errors of this
table, not kills. First the sound kernels must pass every run.

Exit: 0 all killed, 1 a survivor, an error, or sound kernels that do not pass.
"""
import argparse
import collections
import concurrent.futures
import itertools
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile

# ---------------------------------------------------------------- runs

Run = collections.namedtuple("Run", "problem variant inputs mode counts")


def variant(bm=32, bn=16, warps=2, stages=2, qreg=0):
    return f"fwd_mma:bm={bm},bn={bn},warps={warps},stages={stages},qreg={qreg},ctas=1"


S2, S3 = variant(), variant(stages=3)                  # Q in shared memory, a ring of 2 or 3
S2Q, S3Q = variant(qreg=1), variant(stages=3, qreg=1)  # Q in registers
ROWS32 = variant(bm=64)                                # 32 rows a warp
WIDE = variant(bn=128)                                 # tiles that reach far behind a short K or V
TALL = variant(bm=256, warps=8)                        # and far behind a short Q
CROWD = variant(bm=64, warps=4)                        # more threads than a tile of 16 keys has chunks


def run(problem, variant=S2, inputs="normal", mode="late", counts=False):
    return Run(problem, variant, inputs, mode, counts)


# Four whole tiles; a partial one; a causal mask off the main diagonal; queries that see no key.
WHOLE, PARTIAL = "hq1sq64sk64d16", "hq1sq40sk41d16:lse"
CAUSAL, UNSEEN = "hq1sq64sk77d16:causal", "hq1sq48sk20d16:causal:lse"
ODD = "hq1sq20sk21d24:odd"

# ---------------------------------------------------------------- mutants

Mutant = collections.namedtuple("Mutant", "name what file find replace nth runs")
MUTANTS = []


def mutant(name, what, file, find, replace, *runs, nth=None):
    """`nth`: which of several places, counted from 1; without it the text must be there once."""
    MUTANTS.append(Mutant(name, what, file, find, replace, nth, runs))


def section(title):
    MUTANTS.append(title)


FWD, SMEM, SCHEDULE = "fwd_mma.cu", "fl4_smem.cuh", "fl4_schedule.cuh"
MASK, SOFTMAX, EPILOGUE, CONFIG = "fl4_mask.cuh", "fl4_softmax.cuh", "fl4_epilogue.cuh", "fl4_config.cuh"

WAIT_TILE = "  cp_async_wait<STAGES - 2>();\n  block_barrier(); // the tile"
REFILL = "  if (ahead < r.tiles) load_stage<false>(r, p, ahead, stage == 0 ? STAGES - 1 : stage - 1);\n"
PREFETCH = "      if (tile < w.tiles) load_stage<false>(ring, p, tile, tile);\n      cp_async_commit();\n"

section("Asynchronous copies")
mutant("wait-one-less-2-stages", "one group too many may be pending, ring of 2",
       FWD, WAIT_TILE, WAIT_TILE.replace("- 2", "- 1"), run(WHOLE))
mutant("wait-one-less-3-stages", "one group too many may be pending, ring of 3",
       FWD, WAIT_TILE, WAIT_TILE.replace("- 2", "- 1"), run(WHOLE, S3))
mutant("wait-missing", "nobody waits for a tile",
       FWD, WAIT_TILE, "  block_barrier(); // the tile", run(WHOLE))
mutant("wait-missing-early", "the same, found where copies land at once",
       FWD, WAIT_TILE, "  block_barrier(); // the tile", run(WHOLE, mode="early"))
mutant("wait-for-q-one-less", "Q is read into registers while it may still be on its way",
       FWD, "      cp_async_wait<STAGES - 2>();", "      cp_async_wait<STAGES - 1>();", run(WHOLE, S3Q))
mutant("wait-for-q-missing", "Q is read into registers without a wait",
       FWD, "      cp_async_wait<STAGES - 2>();\n", "", run(WHOLE, S2Q))
mutant("commit-missing-on-tail", "no group where nothing is copied, so the last tiles are not waited for",
       FWD, REFILL + "  cp_async_commit();", REFILL.replace(" load", " {\n    load") + "    cp_async_commit();\n  }",
       run(WHOLE, S3))
mutant("commit-missing-in-prologue", "no group for a stage that has no tile",
       FWD, PREFETCH, PREFETCH.replace(" load", " { load").replace("commit();", "commit(); }"),
       run("hq1sq32sk16d16", S3))
mutant("commit-missing-first", "Q and the first tile are in no group of their own",
       FWD, "    load_stage<true>(ring, p, 0, 0);\n    cp_async_commit();", "    load_stage<true>(ring, p, 0, 0);",
       run(WHOLE))
mutant("commit-missing", "tiles are copied and never committed",
       FWD, REFILL + "  cp_async_commit();", REFILL, run(WHOLE))

section("Barriers")
mutant("barrier-missing-on-tile", "a tile is read before the other threads' part of it is there",
       FWD, WAIT_TILE, "  cp_async_wait<STAGES - 2>(); // the tile", run(WHOLE))
mutant("barrier-after-refill", "a stage is refilled while other warps still read it",
       FWD, "  block_barrier(); // the tile is there for all; all have done with the tile before it\n"
       "  const int ahead = tile + STAGES - 1;\n" + REFILL,
       "  const int ahead = tile + STAGES - 1;\n" + REFILL + "  block_barrier();\n", run(WHOLE), run(WHOLE, S3))
mutant("barrier-missing-before-q", "Q is read before the other threads' part of it is there",
       FWD, "      cp_async_wait<STAGES - 2>();\n      block_barrier();", "      cp_async_wait<STAGES - 2>();",
       run(WHOLE, S2Q))
mutant("barrier-missing-before-o", "O is written over a stage that other warps still read",
       FWD, "    if (Q_IN_REGISTERS) block_barrier(); // O goes where the last stage was\n", "", run(WHOLE, S2Q))
mutant("barrier-of-one-warp", "a barrier that only the first warp reaches",
       FWD, "  block_barrier(); // the tile", "  if (warp() == 0) block_barrier(); // the tile", run(WHOLE))
mutant("barrier-in-one-warp", "a barrier too many, which the other warps never reach",
       FWD, "  finish(state, o, q_tile, p);\n}", "  if (warp() == 1) block_barrier();\n  finish(state, o, q_tile, p);\n}",
       run(WHOLE))
mutant("vote-of-some-lanes", "lanes whose maximum has not grown do not vote, and go on alone",
       SOFTMAX, "if (!warp_any(grown)) return;", "if (!grown || !warp_any(grown)) return;", run(WHOLE))
mutant("warp-barrier-missing", "O is gathered from lanes that may not have written yet",
       EPILOGUE, "  warp_barrier();\n", "", run(WHOLE))
mutant("warp-barrier-of-half-a-warp", "a warp barrier that half of the lanes reach",
       EPILOGUE, "  warp_barrier();\n", "  if (lane() < 16) warp_barrier();\n", run(WHOLE))

section("Ring and tiles")
mutant("prefetch-too-far", "the tile after the one that is due is loaded",
       FWD, "tile + STAGES - 1;", "tile + STAGES;", run(WHOLE))
mutant("prefetch-too-near", "a tile is loaded twice, into the next stage",
       FWD, "tile + STAGES - 1;", "tile + STAGES - 2;", run(WHOLE, S3))
mutant("refill-current-stage", "a tile is loaded over the one that is being read",
       FWD, "stage == 0 ? STAGES - 1 : stage - 1", "stage", run(WHOLE))
mutant("refill-wraps-wrong", "the stage before stage 0 is taken to be stage 0",
       FWD, "stage == 0 ? STAGES - 1 : stage - 1", "stage == 0 ? 0 : stage - 1", run(WHOLE, S3))
mutant("stage-loaded-twice", "two copies race for the same stage; the later one happens to be the right one",
       FWD, "    load_stage<true>(ring, p, 0, 0);", "    load_stage<false>(ring, p, 1, 0);\n    load_stage<true>(ring, p, 0, 0);",
       run(WHOLE))
mutant("prologue-into-wrong-stage", "the second tile is loaded over the first",
       FWD, "load_stage<false>(ring, p, tile, tile)", "load_stage<false>(ring, p, tile, tile - 1)", run(WHOLE, S3))
mutant("stage-beyond-ring", "the stage number wraps one too late",
       FWD, "stage + 1 == STAGES", "stage == STAGES", run(WHOLE), run(WHOLE, S2Q))
mutant("stage-read-ahead", "the stage after the right one is read",
       FWD, "const u32 at = r.smem + stage * STAGE_BYTES;\n  multiply",
       "const u32 at = r.smem + (stage + 1) % STAGES * STAGE_BYTES;\n  multiply", run(WHOLE))
mutant("first-tile-dropped", "the walk starts at the second tile",
       FWD, "int tile = 0, stage = 0;", "int tile = 1, stage = 1;", run(WHOLE))
mutant("last-tile-dropped", "the walk ends one tile early",
       FWD, "; tile < w.tiles;", "; tile < w.tiles - 1;", run(WHOLE))
mutant("one-tile-too-many", "the walk ends one tile late",
       FWD, "; tile < w.tiles;", "; tile <= w.tiles;", run(WHOLE))
mutant("tile-too-many-loaded", "one tile left of the first key is loaded, and never used",
       FWD, "if (ahead < r.tiles)", "if (ahead <= r.tiles)", run("hq1sq16sk128d16", WIDE))
mutant("tiles-from-the-left", "tiles are loaded from left to right, and masked from right to left",
       FWD, "const int key0 = (r.tiles - 1 - tile) * BN;\n  invariant", "const int key0 = tile * BN;\n  invariant",
       run(PARTIAL))
mutant("tile-beside", "each tile is loaded from one tile further right",
       FWD, "const int key0 = (r.tiles - 1 - tile) * BN;\n  invariant",
       "const int key0 = (r.tiles - tile) * BN;\n  invariant", run(WHOLE))
mutant("no-keys-not-noticed", "a block without keys loads a tile all the same",
       FWD, "if (w.tiles > 0) {", "if (true) {", run("hq1sq16sk0d16", WIDE))

section("Addresses and guards")
mutant("k-misaligned", "K is copied from two bytes further on",
       FWD, "r.k + key0 * r.k_row", "r.k + 2 + key0 * r.k_row", run(WHOLE))
mutant("v-row-late", "V is read from one row further down, past its end",
       FWD, "r.v + key0 * r.v_row", "r.v + (key0 + 1) * r.v_row", run(WHOLE))
mutant("row-stride-short", "rows of a tile that one thread copies lie one too close",
       SMEM, "const i64 step_bytes = STEP * row_bytes;", "const i64 step_bytes = (STEP - 1) * row_bytes;",
       run("hq1sq64sk64d128"))
mutant("q-guard-removed", "rows past the end of Q are read, and their results thrown away",
       FWD, "p.q_stride[2] * 2, p.Sq - w.row0);", "p.q_stride[2] * 2, BM);", run("hq1sq1sk1d16", TALL))
mutant("q-guard-off-by-one", "the last row of Q counts as missing",
       FWD, "p.Sq - w.row0);", "p.Sq - w.row0 - 1);", run(PARTIAL))
mutant("key-guard-removed", "rows past the end of K and V are read",
       FWD, "load_stage<true>(ring, p, 0, 0)", "load_stage<false>(ring, p, 0, 0)", run(PARTIAL))
mutant("k-guard-removed", "rows past the end of K are read, and masked",
       FWD, "r.k + key0 * r.k_row, r.k_row, p.Sk - key0)", "r.k + key0 * r.k_row, r.k_row, BN)",
       run("hq1sq1sk1d16", WIDE))
mutant("v-guard-removed", "rows past the end of V are read, with weight 0",
       FWD, "r.v + key0 * r.v_row, r.v_row, p.Sk - key0)", "r.v + key0 * r.v_row, r.v_row, BN)", run(PARTIAL))
mutant("v-guard-off-by-one", "the last row of V counts as missing",
       FWD, "r.v + key0 * r.v_row, r.v_row, p.Sk - key0)", "r.v + key0 * r.v_row, r.v_row, p.Sk - key0 - 1)",
       run(PARTIAL))
mutant("padding-chunk-read", "D % 16 == 8: the half chunk block behind a row is read",
       SMEM, "(!GUARD || row < valid) && chunk < D / 8", "(!GUARD || row < valid)", run("hq1sq20sk21d24"))
mutant("padding-not-zeroed", "what is not there is copied from elsewhere in place of zero",
       SMEM, "there ? 16 : 0", "16", run("hq1sq20sk21d24"))
mutant("padding-not-zeroed-odd", "the same on the element-wise path",
       SMEM, "    if (there) {", "    if (true) {", run(ODD))
mutant("odd-read-too-far", "the element-wise path reads two bytes too far",
       SMEM, "from + 4 * i + 2)", "from + 4 * i + 4)", run(ODD))
mutant("odd-store-short", "the element-wise path leaves the last element of a chunk out",
       EPILOGUE, "for (int e = 0; e < 8; e++)", "for (int e = 0; e < 7; e++)", run(ODD))
mutant("odd-store-low-half", "the element-wise path stores each pair's first element twice",
       EPILOGUE, "e % 2 * 16", "0", run(ODD))
mutant("k-strides-for-q", "K is walked by the row stride of Q",
       FWD, "        p.k_stride[2] * 2,\n", "        p.q_stride[2] * 2,\n", run("hq4hkv2sq32d16:bshd"))
mutant("o-strides-of-q", "O is written by the strides of Q",
       EPILOGUE, "row0 * p.o_stride[2]) * 2", "row0 * p.q_stride[2]) * 2", run("hq2sq64d16:packed"))
mutant("o-row-late", "O is written one row further down",
       EPILOGUE, "row0 * p.o_stride[2]) * 2", "(row0 + 1) * p.o_stride[2]) * 2", run(WHOLE))
mutant("o-guard-removed", "rows past the end of O are written",
       EPILOGUE, "row0 + row >= p.Sq || ", "", run(PARTIAL))
mutant("o-guard-off-by-one", "one row past the end of O is written",
       EPILOGUE, "row0 + row >= p.Sq", "row0 + row > p.Sq", run(PARTIAL))
mutant("o-padding-written", "D % 16 == 8: the padding is written behind each row",
       EPILOGUE, " || chunk >= D / 8", "", run("hq1sq20sk21d24"))
mutant("lse-guard-removed", "the LSE of rows past the end is written",
       EPILOGUE, "if (row < p.Sq) store", "store", run(PARTIAL))
mutant("lse-always", "the LSE is written where none is wanted",
       EPILOGUE, "if (!p.lse || lane() % 4 != 0)", "if (lane() % 4 != 0)", run(WHOLE))

section("Swizzle and fragments")
mutant("swizzle-missing-in-writer", "tiles are written as they come, and read with the swizzle",
       SMEM, "tile + chunk_offset(row, chunk)", "tile + row * ROW_BYTES + chunk * 16", run("hq1sq64sk64d64"))
mutant("swizzle-missing-in-reader", "fragments further along a row are read without the swizzle",
       SMEM, "(base ^ ((step % (GROUP / 2)) * 32))", "(base + (step % (GROUP / 2)) * 32)", run("hq1sq64sk64d64"))
mutant("swizzle-missing-in-epilogue", "O is gathered without the swizzle",
       EPILOGUE, "tile + chunk_offset(row, chunk)", "tile + row * ROW_BYTES + chunk * 16", run("hq1sq64sk64d64"))
mutant("swizzle-group-d96", "the next group of chunks is looked for too far along the row",
       SMEM, "* (GROUP * 16)", "* (GROUP * 32)", run("hq1sq32sk32d96"))
mutant("swizzle-group-d80", "D = 80 is swizzled in groups of 4 chunks, of which the last is not whole",
       SMEM, "CHUNKS % 4 == 0 ? 4 : 2", "4", run("hq1sq32sk32d80"))
mutant("swizzle-shift-d96", "the swizzle turns with every row: right results, bank conflicts",
       SMEM, "GROUP == 4 ? 1 : 2", "GROUP == 4 ? 0 : 2", run("hq1sq32sk32d96", counts=True))
mutant("swizzle-shift-d80", "the same for D = 80",
       SMEM, "GROUP == 4 ? 1 : 2", "GROUP == 4 ? 1 : 0", run("hq1sq32sk32d80", counts=True))
mutant("tile-piece-missing", "D = 96: the last four chunks of a row are not loaded",
       SMEM, "if constexpr (LEFT > WIDTH)", "if constexpr (LEFT < WIDTH)", run("hq1sq32sk32d96"))
mutant("tile-piece-in-place-of-first", "D = 96: the second piece of a row is loaded over the first",
       SMEM, "const int chunk = FIRST + thread", "const int chunk = thread", run("hq1sq32sk32d96"))
mutant("tile-rows-unbounded", "threads without a row write behind the tile",
       SMEM, "    if (ROWS % STEP != 0 && row >= ROWS) break;\n", "", run(WHOLE, CROWD))
mutant("k-fragment-as-q", "K is read in the order of a left operand",
       SMEM, "chunk_offset(lane() / 16 * 8 + lane() % 8, lane() / 8 % 2)", "chunk_offset(lane() % 16, lane() / 16)",
       run(WHOLE))
mutant("k-fragment-twice", "eight keys are taken twice, the next eight never",
       FWD, "mma_16x8x16_first(s[m][2 * n + 1], rows[m], k[2], k[3])",
       "mma_16x8x16_first(s[m][2 * n + 1], rows[m], k[0], k[1])", run(WHOLE))
mutant("v-not-transposed", "V is read as it lies",
       FWD, "ldmatrix_x4_trans(v,", "ldmatrix_x4(v,", run(WHOLE))
mutant("v-fragment-swapped", "the two halves of a V fragment are swapped",
       FWD, "weights[n][m], v[0], v[1])", "weights[n][m], v[1], v[0])", run(WHOLE))
mutant("weights-transposed", "the registers of the weights are in the wrong order",
       SOFTMAX, "n % 2 * 2 + half]", "half * 2 + n % 2]", run(WHOLE))
mutant("weights-swapped", "neighbouring weights are swapped",
       SOFTMAX, "pack_2(a, b)", "pack_2(b, a)", run(WHOLE))
mutant("scores-uninitialised", "the first product adds to what the registers held",
       FWD, "mma_16x8x16_first(s[m][2 * n], rows", "mma_16x8x16(s[m][2 * n], rows", run(WHOLE))
mutant("head-dim-short", "the last 16 elements of D do not count",
       FWD, "for (int d = 0; d < D16; d++) {\n    u32 rows", "for (int d = 0; d < D16 - (D16 > 1); d++) {\n    u32 rows",
       run("hq1sq32sk32d32"))
mutant("second-rows-near", "32 rows a warp: the second 16 are read from 8 rows further",
       FWD, "along_row(q.base, d) + m * 16 * ROW_BYTES", "along_row(q.base, d) + m * 8 * ROW_BYTES", run(WHOLE, ROWS32))
mutant("q-over-ring", "Q lies in the last stage, and is still there to be read from it",
       CONFIG, "(Q_IN_REGISTERS ? STAGES - 1 : STAGES)", "(STAGES - 1)", run(WHOLE))
mutant("q-in-first-stage", "Q in registers passes through the stage of the first tile",
       CONFIG, "(Q_IN_REGISTERS ? STAGES - 1 : STAGES)", "(Q_IN_REGISTERS ? 0 : STAGES)", run(WHOLE, S2Q))

section("Schedule")
mutant("kv-head-interleaved", "query heads share key heads in turns instead of in groups",
       SCHEDULE, "w.h / (p.Hq / p.Hkv)", "w.h % p.Hkv", run("hq4hkv2sq32sk32d16"))
mutant("kv-head-of-q", "the key head is the query head",
       SCHEDULE, "w.h / (p.Hq / p.Hkv)", "w.h", run("hq2hkv1sq32sk32d16"))
mutant("batch-by-key-heads", "the batch is counted in key heads",
       SCHEDULE, "w.b = head / p.Hq", "w.b = head / p.Hkv", run("b2hq2hkv1sq32sk32d16"))
mutant("head-computed-twice", "all blocks of a section compute its first head",
       SCHEDULE, "first_head + place % heads", "first_head", run("hq2sq64sk64d16:causal"))
mutant("section-not-counted", "every section starts at head 0",
       SCHEDULE, "section * p.section_heads;", "0;", run("hq2sq32sk32d16"))
mutant("row-tile-late", "each block computes the next one's rows",
       SCHEDULE, "(p.row_tiles - 1 - place / heads)", "(p.row_tiles - place / heads)", run(WHOLE))
mutant("k-and-v-swapped", "the tiles of K and V are in each other's place",
       FWD, "  load_tile<BN, GUARD>(p, at, r.k + key0 * r.k_row, r.k_row, p.Sk - key0);\n"
       "  load_tile<BN, GUARD>(p, at + TILE_BYTES, r.v + key0",
       "  load_tile<BN, GUARD>(p, at + TILE_BYTES, r.k + key0 * r.k_row, r.k_row, p.Sk - key0);\n"
       "  load_tile<BN, GUARD>(p, at, r.v + key0", run(WHOLE))
mutant("k-from-v", "the pointer of K is that of V",
       FWD, "reinterpret_cast<const char *>(p.k)", "reinterpret_cast<const char *>(p.v)", run(WHOLE))
mutant("v-read-as-k", "K is multiplied with the weights",
       FWD, "at + TILE_BYTES + lane_offset_v()", "at + lane_offset_v()", run(WHOLE))
mutant("warps-share-rows", "all warps take the first warp's Q, and write O to its place",
       FWD, "smem + Q_OFFSET + warp() * WARP_ROWS * ROW_BYTES", "smem + Q_OFFSET", run(WHOLE))
mutant("warps-store-same-rows", "all warps store to the first warp's rows",
       FWD, "const int row0 = w.row0 + warp() * WARP_ROWS;", "const int row0 = w.row0;", run(WHOLE))

section("Masks")
mutant("mask-one-too-wide", "the causal mask shows one key too many",
       MASK, "lane() / 4 + shift + 1 - first", "lane() / 4 + shift + 2 - first", run(CAUSAL))
mutant("mask-one-too-narrow", "the causal mask hides the diagonal",
       MASK, "lane() / 4 + shift + 1 - first", "lane() / 4 + shift - first", run(CAUSAL))
mutant("mask-top-left", "the causal mask is aligned top-left",
       SCHEDULE, "w.shift = p.Sk - p.Sq", "w.shift = 0", run(CAUSAL))
mutant("mask-of-first-warp", "all warps mask by the first warp's rows",
       FWD, "w.row0 + warp() * WARP_ROWS, (r.tiles", "w.row0, (r.tiles", run(CAUSAL))
mutant("mask-of-tile-above", "rows 8 to 15 are masked as rows 0 to 7",
       MASK, "seen + m * 16 + half * 8", "seen + m * 16", run(CAUSAL))
mutant("mask-of-upper-16", "32 rows a warp: the lower 16 are masked as the upper",
       MASK, "seen + m * 16 + half * 8", "seen + half * 8", run(CAUSAL, ROWS32))
mutant("mask-by-wrong-tile", "a tile is masked as its neighbour",
       FWD, "(r.tiles - 1 - tile) * BN, w.shift", "(r.tiles - 2 - tile) * BN, w.shift", run(CAUSAL))
mutant("mask-skipped", "no tile is masked",
       FWD, "if (tile < w.tiles - w.open_tiles) mask", "if (tile < 0) mask", run(PARTIAL), run(CAUSAL))
mutant("partial-tile-open", "a partial tile counts as one that needs no mask",
       SCHEDULE, "w.open_tiles = all / BN", "w.open_tiles = (all + BN - 1) / BN", run(PARTIAL))
mutant("end-one-too-far", "one key past the end counts",
       MASK, "present = p.Sk - first", "present = p.Sk - first + 1", run(PARTIAL))
mutant("end-one-too-near", "the last key does not count",
       MASK, "present = p.Sk - first", "present = p.Sk - first - 1", run(PARTIAL))
mutant("open-by-last-row", "a tile needs no mask if the last row sees all of it",
       SCHEDULE, "w.row0 + 1 + w.shift", "w.row0 + BM + w.shift", run(CAUSAL))
mutant("open-one-too-many", "a tile needs no mask if the first row sees all but one key of it",
       SCHEDULE, "w.row0 + 1 + w.shift", "w.row0 + 2 + w.shift", run("hq1sq32sk46d16:causal"))
mutant("walk-one-key-short", "the last row's last key is in no tile",
       SCHEDULE, "w.row0 + BM + w.shift", "w.row0 + BM - 1 + w.shift", run("hq1sq32sk33d16:causal:lse"))

section("Softmax and epilogue")
mutant("scale-off", "the scale is 2 % too large",
       SOFTMAX, "= p.scale_log2;", "= p.scale_log2 * 1.02f;", run(WHOLE))
mutant("scale-natural", "the scale lacks log2 e",
       SOFTMAX, "= p.scale_log2;", "= p.scale_log2 * 0.6931472f;", run(WHOLE))
mutant("rescale-skipped", "the output so far is not brought to the new maximum",
       SOFTMAX, "if (!warp_any(grown)) return;", "return;", run(WHOLE), run(WHOLE, inputs="shrinking"))
mutant("rescale-by-last-rows", "only the last eight rows of a warp say whether a maximum has grown",
       SOFTMAX, "grown |= new_max", "grown = new_max", run("hq1sq8sk64d16"))
mutant("rescale-of-other-rows", "rows 0 to 7 are rescaled as rows 8 to 15",
       SOFTMAX, "correction[m][e / 2]", "correction[m][1]", run(WHOLE))
mutant("sum-without-correction", "the sum so far is not brought to the new maximum",
       SOFTMAX, "old_sum * correction[m][half] + sum", "old_sum + sum", run(WHOLE))
mutant("sum-forgotten", "only the last tile's weights are summed",
       SOFTMAX, "old_sum * correction[m][half] + sum", "sum", run(WHOLE))
mutant("sum-of-half", "every other weight is left out of the sum",
       SOFTMAX, "sum += a + b;", "sum += a;", run(WHOLE))
mutant("maximum-may-fall", "the maximum is that of the last tile only",
       SOFTMAX, "max_f32(old_max, row_max(tile_max) * scale)", "row_max(tile_max) * scale", run(WHOLE, inputs="large"))
mutant("row-max-of-two-lanes", "the maximum is shared by two of the four lanes of a row",
       SOFTMAX, "return max_f32(x, shuffle_xor(x, 2));", "return x;", run(WHOLE))
mutant("row-sum-of-two-lanes", "the sums of two of the four lanes of a row count",
       SOFTMAX, "return x + shuffle_xor(x, 2);", "return x;", run(WHOLE))
mutant("row-sum-of-other-row", "lanes of different rows are added up",
       SOFTMAX, "x += shuffle_xor(x, 1);", "x += shuffle_xor(x, 4);", run(WHOLE))
mutant("unseen-row-nan", "a row without a key yet subtracts -inf from -inf",
       SOFTMAX, "new_max == MINUS_INFINITY ? 0.f : new_max", "new_max", run(CAUSAL))
mutant("unseen-row-divides", "a row that saw no key is divided by 0",
       EPILOGUE, "l == 0.f ? 0.f : 1.f / l", "1.f / l", run(UNSEEN))
mutant("unseen-row-lse", "the LSE of a row that saw no key is 0",
       EPILOGUE, "l == 0.f ? MINUS_INFINITY", "l == 0.f ? 0.f", run(UNSEEN))
mutant("not-divided", "O is not divided by the sum",
       EPILOGUE, "o[m][n][2 * half] * inverse, b = o[m][n][2 * half + 1] * inverse",
       "o[m][n][2 * half], b = o[m][n][2 * half + 1]", run(WHOLE))
mutant("lse-without-maximum", "the LSE lacks the maximum",
       EPILOGUE, "(state.max[m][half] + log2_approx(l))", "log2_approx(l)", run(PARTIAL))
mutant("lse-base-2", "the LSE is in bits",
       EPILOGUE, " * 0.6931471805599453f", "", run(PARTIAL))

# ---------------------------------------------------------------- the runner

TIMEOUT = 300
Seen = collections.namedtuple("Seen", "verdict text")  # verdict: passed, killed or error


class TableError(Exception):
    """A mutant that cannot be made."""


def find_nth(text, what, nth):
    places = [m.start() for m in re.finditer(re.escape(what), text)]
    if not places:
        raise TableError("the text to replace is not there")
    if nth is None and len(places) > 1:
        raise TableError(f"the text to replace is there {len(places)} times")
    if nth is not None and nth > len(places):
        raise TableError(f"the text to replace is there {len(places)} times, not {nth}")
    return places[(nth or 1) - 1]


def mutate(folder, m):
    file = folder / m.file
    text = file.read_text()
    at = find_nth(text, m.find, m.nth)
    if m.find == m.replace:
        raise TableError("the edit changes nothing")
    file.write_text(text[:at] + m.replace + text[at + len(m.find):])


def copy_kernels(kernels, folder):
    for file in sorted(kernels.iterdir()):
        if file.suffix in (".cu", ".cuh", ".h"):
            shutil.copy(file, folder)


def conflicts(text):
    """The access sites of shared memory that needed more passes than their bytes do; None without counts."""
    rows = re.findall(r"^(\S+:\d+) +(ldmatrix\S*|\S+\.shared\S*) +\d+ +\d+ +(\d+) +(\d+)", text, re.MULTILINE)
    if not rows:
        return None
    return [f"{site} {what}, {passes} passes where {best} would do"
            for site, what, passes, best in rows if int(passes) > int(best)]


def judge(code, out, err, counts):
    if code == 0:
        found = conflicts(err) if counts else []
        if found is None:
            return Seen("error", "no counts were printed")
        return Seen("killed", "bank conflicts at " + "; ".join(found)) if found else Seen("passed", "")
    lines = [line.strip() for line in (out + err).splitlines()]
    if code == 1:
        reasons = [line for line in lines if re.match(r"NaN or inf|max error|LSE error|canaries:|a second run", line)]
        return Seen("killed", "; ".join(reasons)) if reasons else Seen("error", "mismatch without a reason: " + out)
    if code == 4:
        # Only a violation names the thread; anything else, such as a compiler's complaint, is no kill.
        for line in lines:
            at = re.search(r"emu: fl4_\w+, block .*", line)
            if at:
                return Seen("killed", at[0])
    return Seen("error", f"exit {code}: " + (" / ".join(lines[-12:]) or "no output"))


def execute(command, folder, r, seed):
    env = {k: v for k, v in os.environ.items() if not k.startswith(("FLASHL4_", "FL4_EMU_"))}
    env.update(FLASHL4_KERNEL_DIR=str(folder), FL4_EMU_MODE=r.mode, FL4_EMU_SEED=str(seed), OMP_NUM_THREADS="1")
    if r.counts:
        env["FL4_EMU_COUNTS"] = "1"
    args = [command, "check", "--device", "emu", "--problem", r.problem, "--variant", r.variant, "--inputs", r.inputs]
    with subprocess.Popen(args, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          errors="replace", start_new_session=True) as process:
        try:
            out, err = process.communicate(timeout=TIMEOUT)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            return Seen("error", f"no end after {TIMEOUT} s")
    return judge(process.returncode, out, err, r.counts)


def try_mutant(command, kernels, m, seed):
    """What was seen, and the run that saw it."""
    with tempfile.TemporaryDirectory(prefix="fl4-mutant-") as name:
        folder = pathlib.Path(name)
        copy_kernels(kernels, folder)
        try:
            mutate(folder, m)
        except TableError as e:
            return Seen("error", f"{m.file}: {e}: {m.find!r}"), None
        for r in m.runs:
            seen = execute(command, folder, r, seed)
            if seen.verdict != "passed":
                return seen, r
        return Seen("passed", ""), None


def describe(r):
    text = f"{r.problem} {r.variant.removesuffix(',ctas=1')}"
    for word, plain in ((r.inputs, "normal"), (r.mode, "late")):
        if word != plain:
            text += " " + word
    return text + (" counts" if r.counts else "")


def plain(text):
    """Without what changes from run to run: addresses of this process, file names of a temporary folder."""
    text = re.sub(r"0x[0-9a-f]{7,}", "0x…", text)
    return re.sub(r"/\S*/(fl4_\w+\.cuh|\w+\.cu)", r"\1", text)


# ---------------------------------------------------------------- the report

def cell(text):
    return plain(text).replace("|", "\\|")


def write_report(file, results, seed):
    killed = [seen for _, seen, _ in results.values() if seen.verdict == "killed"]
    by_emulator = sum(s.text.startswith("emu:") for s in killed)
    by_counts = sum(s.text.startswith("bank conflicts") for s in killed)
    lines = [
        "# Mutants",
        "",
        "Written by `python3 tests/emu/mutants.py FL4_EMU kernels --report docs/mutants.md`; [testing](testing.md) says how",
        "to add one. Each row is one edit of the kernel sources, `tests/emu/mutants.py` has the text, and the run that noticed",
        "it: a problem, a variant (with `ctas=1`), inputs if not normal, `early` if asynchronous copies land at once. `emu:` is a",
        "violation that the emulator saw; other words are those of `fl4 check`, which judged a result that came out without one.",
        "",
        f"{len(killed)} of {len(results)} mutants killed: {by_emulator} by the emulator's rules,"
        f" {len(killed) - by_emulator - by_counts} by the check, {by_counts} by the counts.",
        f"The sound kernels pass every run. Emulator seed {seed}.",
    ]
    for m in MUTANTS:
        if isinstance(m, str):
            lines += ["", f"## {m}", "", "| mutant | what is wrong | run | seen |", "| --- | --- | --- | --- |"]
            continue
        _, seen, r = results[m.name]
        said = seen.text if seen.verdict == "killed" else "**survived**" if seen.verdict == "passed" else "**error**"
        where = f"`{describe(r)}`" if r else ""
        lines.append(f"| {m.name} (`{m.file}`) | {cell(m.what)} | {where} | {cell(said)} |")
    pathlib.Path(file).write_text("\n".join(lines) + "\n")


# ---------------------------------------------------------------- main

def check_sound(pool, command, kernels, mutants, seed):
    """Does every run pass with the kernels as they are?"""
    runs = list(dict.fromkeys(itertools.chain.from_iterable(m.runs for m in mutants)))
    good = True
    with tempfile.TemporaryDirectory(prefix="fl4-sound-") as name:
        folder = pathlib.Path(name)
        copy_kernels(kernels, folder)
        for r, seen in zip(runs, pool.map(lambda r: execute(command, folder, r, seed), runs)):
            if seen.verdict != "passed":
                print(f"sound kernels fail: {describe(r)}: {plain(seen.text)}", flush=True)
                good = False
    if good:
        print(f"sound kernels pass {len(runs)} runs", flush=True)
    return good


def main():
    parser = argparse.ArgumentParser(description="Breaks the kernels one edit at a time; every break must be noticed.")
    parser.add_argument("command", metavar="FL4_EMU", nargs="?", help="the fl4 command with the emulator")
    parser.add_argument("kernels", metavar="KERNELS_DIR", nargs="?", type=pathlib.Path)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, metavar="N")
    parser.add_argument("--only", action="append", metavar="NAME", help="only this mutant; may be repeated")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="of the emulator's order of threads")
    parser.add_argument("--list", action="store_true", help="show the names and what is wrong with each")
    parser.add_argument("--report", metavar="FILE", help="write the report")
    args = parser.parse_args()

    mutants = [m for m in MUTANTS if not isinstance(m, str)]
    names = [m.name for m in mutants]
    twice = [n for n, times in collections.Counter(names).items() if times > 1]
    unknown = [n for n in args.only or [] if n not in names]
    if twice or unknown:
        parser.error("named twice: " + " ".join(twice) if twice else "no mutant " + " ".join(unknown))
    if args.list:
        for m in mutants:
            print(f"{m.name:32} {m.file:18} {m.what}")
        return 0
    if not args.command or not args.kernels:
        parser.error("FL4_EMU and KERNELS_DIR are needed")
    if args.report and args.only:
        parser.error("--report is about all mutants")
    mutants = [m for m in mutants if not args.only or m.name in args.only]
    args.command = os.path.abspath(args.command)

    results = {}
    with concurrent.futures.ThreadPoolExecutor(max(1, args.jobs)) as pool:
        if not check_sound(pool, args.command, args.kernels, mutants, args.seed):
            return 1
        tried = pool.map(lambda m: try_mutant(args.command, args.kernels, m, args.seed), mutants)
        for m, (seen, r) in zip(mutants, tried):
            results[m.name] = (m, seen, r)
            word = {"killed": "killed  ", "passed": "SURVIVED", "error": "ERROR   "}[seen.verdict]
            print(f"{word} {m.name}: {plain(seen.text) or m.what}", flush=True)
    if args.report:
        write_report(args.report, results, args.seed)

    verdicts = collections.Counter(seen.verdict for _, seen, _ in results.values())
    print(f"{verdicts['killed']} of {len(results)} mutants killed, {verdicts['passed']} survived, {verdicts['error']} errors")
    return 0 if verdicts["killed"] == len(results) else 1


if __name__ == "__main__":
    sys.exit(main())

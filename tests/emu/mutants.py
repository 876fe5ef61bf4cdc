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


def variant(bm=32, bn=16, warps=2, stages=2, qreg=0, slice=16, weave=0, kgroups=1, splits=1):
    return (f"fwd_mma:bm={bm},bn={bn},warps={warps},stages={stages},qreg={qreg},slice={slice},weave={weave},"
            f"kgroups={kgroups},splits={splits},ctas=1")


S2, S3 = variant(), variant(stages=3)                  # Q in shared memory, a ring of 2 or 3
S2Q, S3Q = variant(qreg=1), variant(stages=3, qreg=1)  # Q in registers
ROWS32 = variant(bm=64)                                # 32 rows a warp
WIDE = variant(bn=128, slice=128)                      # tiles that reach far behind a short K or V
TALL = variant(bm=256, warps=8)                        # and far behind a short Q
CROWD = variant(bm=64, warps=4)                        # more threads than a tile of 16 keys has chunks
SLICES = variant(bn=32)                                # two slices a tile
BROAD = variant(bn=32, slice=32)                       # one slice of two fragments
WEAVE, WEAVE3 = variant(bn=32, weave=1), variant(bn=32, weave=1, stages=3)
FULL = variant(bm=64, bn=128, slice=128)              # no registers to keep the scores in
GROUPS2 = variant(bn=32, warps=4, kgroups=2)           # two warps of rows, two of keys
GROUPS4 = variant(bm=16, bn=64, warps=4, kgroups=4)    # one of rows, four of keys
SPLIT2, SPLIT4 = variant(splits=2), variant(splits=4)


def run(problem, variant=S2, inputs="normal", mode="late", counts=False):
    return Run(problem, variant, inputs, mode, counts)


# Whole tiles, more of them; a partial one; a causal mask off the main diagonal; queries that see no key.
WHOLE, LONG, PARTIAL = "hq1sq64sk64d16", "hq1sq32sk192d16", "hq1sq40sk41d16:lse"
CAUSAL, UNSEEN = "hq1sq64sk77d16:causal", "hq1sq48sk20d16:causal:lse"
ODD = "hq1sq20sk21d24:odd"
FEW = "hq4sq1sk192d16"  # one row a warp: no other one makes up for what it does not see
BF16 = "hq1sq40sk141d16:bf16:lse"  # the log-sum-exp has a sum of its own

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
MERGE = "fl4_merge.cuh"

WAIT_TILE = "  cp_async_wait<STAGES - 2>();\n  block_barrier(); // it is there"
REFILL = "  load_for<false, false>(r, p, tile + STAGES - 1, slot_before(at.k, K_SLOTS), slot_before(at.v, V_SLOTS));\n"
FIRST = "    load_for<true, !WEAVE>(ring, p, w.first, WEAVE, 0);\n"
PREFETCH = "load_for<false, false>(ring, p, w.first + i, i + WEAVE, i);"
STORE = ("  store_partial(GlobalPieces{parts + block_index() % SPLITS * PARTIAL_BYTES}, rows);\n"
         "  gpu_fence();\n  warp_barrier();\n")
DRAW = ("  const bool last = lane() == 0 && "
        "atomic_wrapping_increment(workspace + row_warp * 4, SPLITS - 1) == SPLITS - 1;\n")

section("Asynchronous copies")
mutant("wait-one-less-2-stages", "one group too many may be pending, ring of 2",
       FWD, WAIT_TILE, WAIT_TILE.replace("- 2", "- 1"), run(WHOLE))
mutant("wait-one-less-3-stages", "one group too many may be pending, ring of 3",
       FWD, WAIT_TILE, WAIT_TILE.replace("- 2", "- 1"), run(WHOLE, S3))
mutant("wait-one-less-weaving", "one group too many may be pending, and a tile's keys are in the group before its own",
       FWD, WAIT_TILE, WAIT_TILE.replace("- 2", "- 1"), run(LONG, WEAVE3))
mutant("wait-missing", "nobody waits for a tile",
       FWD, WAIT_TILE, "  block_barrier(); // it is there", run(WHOLE))
mutant("wait-missing-early", "the same, found where copies land at once",
       FWD, WAIT_TILE, "  block_barrier(); // it is there", run(WHOLE, mode="early"))
mutant("wait-for-q-one-less", "Q is read into registers while it may still be on its way",
       FWD, "      cp_async_wait<STAGES - 2>();", "      cp_async_wait<STAGES - 1>();", run(WHOLE, S3Q))
mutant("wait-for-q-missing", "Q is read into registers without a wait",
       FWD, "      cp_async_wait<STAGES - 2>();\n", "", run(WHOLE, S2Q))
mutant("commit-missing-on-tail", "no group where nothing is copied, so the last tiles are not waited for",
       FWD, REFILL, REFILL.replace("  load", "  if (tile + STAGES - 1 < r.end)\n    load"), run(WHOLE, S3))
mutant("commit-missing-in-prologue", "no group for a stage that has no tile",
       FWD, PREFETCH, "if (w.first + i < w.end) " + PREFETCH, run("hq1sq32sk16d16", S3))
mutant("commit-missing-first", "Q and the first tile are in no group of their own",
       FWD, FIRST, "    load_keys<true>(ring, p, w.first, 0);\n    load_values<true>(ring, p, w.first, 0);\n",
       run(WHOLE))
mutant("commit-missing", "tiles are copied and never committed",
       FWD, "  cp_async_commit();\n", "", run(WHOLE))

section("Barriers and votes")
mutant("barrier-missing-on-tile", "a tile is read before the other threads' part of it is there",
       FWD, WAIT_TILE, "  cp_async_wait<STAGES - 2>(); // it is there", run(WHOLE))
mutant("barrier-after-refill", "a slot is refilled while other warps still read it",
       FWD, "  block_barrier(); // it is there for all; all have done with the tile before it\n" + REFILL,
       REFILL + "  block_barrier();\n", run(WHOLE), run(WHOLE, S3))
mutant("barrier-missing-before-q", "Q is read before the other threads' part of it is there",
       FWD, "      cp_async_wait<STAGES - 2>();\n      block_barrier();", "      cp_async_wait<STAGES - 2>();",
       run(WHOLE, S2Q))
mutant("barrier-missing-before-o", "O is written over slots that other warps still read",
       FWD, "    if (Q_IN_REGISTERS && KGROUPS == 1) block_barrier(); // O goes where the last slots were\n", "",
       run(WHOLE, S2Q))
mutant("barrier-of-one-warp", "a barrier that only the first warp reaches",
       FWD, "  block_barrier(); // it is", "  if (warp() == 0) block_barrier(); // it is", run(WHOLE))
mutant("barrier-in-one-warp", "a barrier too many, which the other warps never reach",
       FWD, "  finish(rows, smem, p);\n}", "  if (warp() == 1) block_barrier();\n  finish(rows, smem, p);\n}",
       run(WHOLE))
mutant("vote-of-some-lanes", "lanes whose weights are within the limit do not vote, and go on alone",
       SOFTMAX,
       "return warp_any((largest & 0xffff) > WEIGHT_LIMIT_BITS || largest > (WEIGHT_LIMIT_BITS << "
       "16 | 0xffff));",
       "return ((largest & 0xffff) > WEIGHT_LIMIT_BITS || largest > (WEIGHT_LIMIT_BITS << 16 | "
       "0xffff)) && warp_any(true);", run(LONG, inputs="large"))
mutant("vote-missing", "each lane decides for itself whether the scores are taken anew",
       SOFTMAX, "return warp_any((largest & 0xffff)", "return ((largest & 0xffff)", run(LONG, inputs="large"))
mutant("vote-missing-on-far", "each lane decides for itself how the next slice is taken",
       SOFTMAX, "return warp_any(far);", "return far;", run(LONG, inputs="large"))
mutant("warp-barrier-missing", "O is gathered from lanes that may not have written yet",
       EPILOGUE, "  warp_barrier();\n", "", run(WHOLE))
mutant("warp-barrier-of-half-a-warp", "a warp barrier that half of the lanes reach",
       EPILOGUE, "  warp_barrier();\n", "  if (lane() < 16) warp_barrier();\n", run(WHOLE))

section("Rings and tiles")
mutant("prefetch-too-far", "the tile after the one that is due is loaded",
       FWD, "tile + STAGES - 1, slot", "tile + STAGES, slot", run(WHOLE))
mutant("prefetch-too-near", "a tile is loaded twice, into the next slots",
       FWD, "tile + STAGES - 1, slot", "tile + STAGES - 2, slot", run(WHOLE, S3))
mutant("refill-current-keys", "keys are loaded over those that are being read",
       FWD, "slot_before(at.k, K_SLOTS)", "at.k", run(WHOLE))
mutant("refill-current-values", "values are loaded over those that are being read",
       FWD, "slot_before(at.v, V_SLOTS)", "at.v", run(WHOLE))
mutant("refill-next-keys", "weaving: keys are loaded over those that are read next",
       FWD, "slot_before(at.k, K_SLOTS)", "at.k_next", run(LONG, WEAVE))
mutant("refill-wraps-wrong", "the slot before slot 0 is taken to be slot 0",
       FWD, "slot == 0 ? slots - 1 : slot - 1", "slot == 0 ? 0 : slot - 1", run(WHOLE, S3))
mutant("slot-beyond-ring", "the slot number wraps one too late",
       FWD, "slot + 1 == slots", "slot == slots", run(WHOLE), run(WHOLE, S2Q))
mutant("slot-loaded-twice", "two copies race for the same slot; the later one happens to be the right one",
       FWD, FIRST, "    load_values<false>(ring, p, w.first + 1, 0);\n" + FIRST, run(WHOLE))
mutant("prologue-keys-into-wrong-slot", "the second tile's keys are loaded over the first's",
       FWD, PREFETCH, PREFETCH.replace("i + WEAVE, i", "i + WEAVE - 1, i"), run(WHOLE, S3))
mutant("prologue-values-into-wrong-slot", "the second tile's values are loaded over the first's",
       FWD, PREFETCH, PREFETCH.replace("WEAVE, i)", "WEAVE, i - 1)"), run(WHOLE, S3))
mutant("prologue-too-long", "all slots are filled at once: the last ones still hold Q",
       FWD, "i < STAGES - 1; i++", "i < STAGES; i++", run(WHOLE, S2Q))
mutant("keys-read-ahead", "the slot after the right one is read for the keys",
       FWD, "k_slot(lane_at.k, at.k) + slice * SLICE * ROW_BYTES,",
       "k_slot(lane_at.k, (at.k + 1) % K_SLOTS) + slice * SLICE * ROW_BYTES,", run(WHOLE))
mutant("values-read-ahead", "the slot after the right one is read for the values",
       FWD, "v_slot(lane_at.v, at.v) + slice * SLICE * ROW_BYTES, p)",
       "v_slot(lane_at.v, (at.v + 1) % V_SLOTS) + slice * SLICE * ROW_BYTES, p)", run(WHOLE))
mutant("last-key-slot-in-line", "the last slot of keys is looked for behind the others, where values are",
       FWD, "(slot == K_SLOTS - 1 ? RING_BYTES - TILE_BYTES : slot * TILE_BYTES)", "slot * TILE_BYTES", run(WHOLE))
mutant("value-slots-too-early", "the first slot of values is one of keys",
       FWD, "(K_SLOTS - 1 + slot) * TILE_BYTES", "(K_SLOTS - 2 + slot) * TILE_BYTES", run(WHOLE))
mutant("one-key-slot-too-few", "weaving without the slot more that it needs",
       CONFIG, "K_SLOTS = STAGES + WEAVE", "K_SLOTS = STAGES", run(LONG, WEAVE))
mutant("first-tile-dropped", "the walk starts at the second tile",
       FWD, "int tile = w.first;", "int tile = w.first + 1;", run(WHOLE))
mutant("last-tile-dropped", "the walk ends one tile early",
       FWD, "for (; tile < w.end; tile++) {", "for (; tile < w.end - 1; tile++) {", run(WHOLE))
mutant("one-tile-too-many", "the walk ends one tile late",
       FWD, "for (; tile < w.end; tile++) {", "for (; tile <= w.end; tile++) {", run(WHOLE))
mutant("last-tile-dropped-weaving", "weaving: the walk ends one tile early",
       FWD, "if (++tile == w.end) break;", "if (++tile >= w.end - 1) break;", run(LONG, WEAVE))
mutant("masked-walk-too-far", "the tiles that need a mask are walked beyond the end of the block's own",
       FWD, "tile < min_i32(w.exact, w.end)", "tile < w.exact", run(CAUSAL, SPLIT4))
mutant("keys-too-many-loaded", "keys left of the first one are loaded, and never used",
       FWD, "if (tile + WEAVE < r.end)", "if (tile + WEAVE <= r.end)", run("hq1sq16sk128d16", WIDE))
mutant("values-too-many-loaded", "values left of the first key's are loaded, and never used",
       FWD, "if (tile < r.end)", "if (tile <= r.end)", run("hq1sq16sk128d16", WIDE))
mutant("keys-from-the-left", "keys are loaded from left to right, and values from right to left",
       FWD, "const int key0 = (r.tiles - 1 - tile) * BN;\n  invariant", "const int key0 = tile * BN;\n  invariant",
       run(PARTIAL), nth=1)
mutant("values-beside", "values are loaded from one tile further right",
       FWD, "const int key0 = (r.tiles - 1 - tile) * BN;\n  invariant",
       "const int key0 = (r.tiles - tile) * BN;\n  invariant", run(WHOLE), nth=2)
mutant("no-keys-not-noticed", "a block without keys loads a tile all the same",
       FWD, "if (w.first < w.end) {", "if (true) {", run("hq1sq16sk0d16", WIDE))

section("Slices and weaving")
mutant("slice-of-keys-again", "the first slice's keys are taken for each slice",
       FWD, "k_slot(lane_at.k, at.k) + slice * SLICE * ROW_BYTES,", "k_slot(lane_at.k, at.k),", run(WHOLE, SLICES))
mutant("slice-of-values-again", "the first slice's values are taken for each slice",
       FWD, "v_slot(lane_at.v, at.v) + slice * SLICE * ROW_BYTES, p)", "v_slot(lane_at.v, at.v), p)",
       run(WHOLE, SLICES))
mutant("slice-dropped", "the last slice of a tile is left out",
       FWD, "for (int slice = 0; slice < SLICES; slice++) {", "for (int slice = 0; slice < SLICES - 1; slice++) {",
       run(WHOLE, SLICES), nth=1)
mutant("weave-last-tile-not-clamped", "after the last tile scores are taken of a slot in which there may be nothing",
       FWD, "last ? at.k : at.k_next", "at.k_next", run("hq1sq32sk32d16", WEAVE))
mutant("weave-own-tile-again", "the next tile's first scores are those of this tile's",
       FWD, "last ? at.k : at.k_next", "at.k", run(LONG, WEAVE))
mutant("weave-next-slot-stays", "the slot of the next tile's keys is not moved on",
       FWD, "  if (WEAVE) at.k_next = slot_after(at.k, K_SLOTS);\n", "", run(LONG, WEAVE))
mutant("weave-beyond-tile", "the slice after a tile's last is looked for behind the tile",
       FWD, "slice + 1 < SLICES ? keys + SLICE * ROW_BYTES : next_tile", "keys + SLICE * ROW_BYTES", run(LONG, WEAVE))
mutant("weave-over-ready-scores", "the next scores are computed over those that are being weighed",
       FWD, "(s[(slice + 1) % 2], q,", "(s[slice % 2], q,", run(LONG, WEAVE))
mutant("weave-first-scores-missing", "nobody computes the scores of the first slice behind the tiles with a mask",
       FWD, "      multiply_query_keys(s[0], q, k_slot(lane_at.k, at.k));\n", "", run("hq1sq32sk192d16:causal", WEAVE))
mutant("weave-fragment-stale", "the fragment of keys that was read ahead is not the one that is used",
       FWD, "multiply_step(s, q, k[d % 2], d);", "multiply_step(s, q, k[0], d);", run("hq1sq32sk64d32", WEAVE))
mutant("weave-weights-left-out", "D = 48: the weights that do not divide by its steps are never taken",
       FWD, "d * WEIGHT_PAIRS / D16, (d + 1) * WEIGHT_PAIRS / D16",
       "d * (WEIGHT_PAIRS / D16), (d + 1) * (WEIGHT_PAIRS / D16)", run("hq1sq32sk64d48", WEAVE))
mutant("weave-values-of-next-slice", "the weights of a slice meet the values of the next one",
       FWD, "begin_values(v_slot(lane_at.v, at.v) + slice * SLICE * ROW_BYTES);\n    if (beyond",
       "begin_values(v_slot(lane_at.v, at.v) + (slice + 1) % SLICES * SLICE * ROW_BYTES);\n    if (beyond",
       run(LONG, WEAVE))
mutant("values-read-ahead-wrong", "the fragment of values that is read ahead is the second one",
       FWD, "ldmatrix_x4_trans(v.first, along_row(at, 0));", "ldmatrix_x4_trans(v.first, along_row(at, 1));",
       run("hq1sq32sk64d32"))
mutant("values-read-ahead-twice", "the fragment that was read ahead is used for the next 16 keys too",
       FWD, "if (n == 0 && d == 0)", "if (d == 0)", run(WHOLE, BROAD))

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
       FWD, "load_for<true, !WEAVE>(ring", "load_for<false, false>(ring", run(PARTIAL))
mutant("key-guard-removed-weaving", "weaving: rows past the end of K are read, and masked",
       FWD, "if (WEAVE) load_keys<true>", "if (WEAVE) load_keys<false>",
       run("hq1sq1sk1d16", variant(bn=128, slice=64, weave=1)))
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
       EPILOGUE, "if (lane() % 4 == 0 && row < p.Sq) store", "if (lane() % 4 == 0) store", run(PARTIAL))
mutant("lse-always", "the LSE is written where none is wanted",
       EPILOGUE, "  if (!LSE || !p.lse) return;\n", "", run(WHOLE))

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
mutant("partial-by-columns", "a lane's pieces for another warp lie side by side: right results, bank conflicts",
       MERGE, "base + (piece * 32 + lane()) * 16", "base + (lane() * PARTIAL_PIECES + piece) * 16",
       run("hq1sq32sk64d24", GROUPS2, counts=True), nth=1)
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
       FWD, "mma_16x8x16_first(s[m][2 * n + 1], rows[m], k[n][2], k[n][3])",
       "mma_16x8x16_first(s[m][2 * n + 1], rows[m], k[n][0], k[n][1])", run(WHOLE))
mutant("k-fragments-near", "the second 16 keys of a slice are read from 8 keys further",
       FWD, "along_row(keys, d) + n * 16 * ROW_BYTES", "along_row(keys, d) + n * 8 * ROW_BYTES", run(WHOLE, BROAD))
mutant("v-not-transposed", "V is read as it lies",
       FWD, "ldmatrix_x4_trans(v,", "ldmatrix_x4(v,", run(WHOLE, BROAD))
mutant("v-fragment-swapped", "the two halves of a V fragment are swapped",
       FWD, "weights[n][m], v[0], v[1])", "weights[n][m], v[1], v[0])", run(WHOLE))
mutant("weights-transposed", "the registers of the weights are in the wrong order",
       SOFTMAX, "n % 2 * 2 + half]", "half * 2 + n % 2]", run(WHOLE), nth=1)
mutant("weights-swapped", "neighbouring weights are swapped",
       SOFTMAX, "pack_2(a, b)", "pack_2(b, a)", run(WHOLE), nth=1)
mutant("weights-transposed-anew", "the same where they are taken by the true maximum",
       SOFTMAX, "n % 2 * 2 + half]", "half * 2 + n % 2]", run(WHOLE), nth=2)
mutant("weights-swapped-anew", "neighbouring weights are swapped where they are taken by the true maximum",
       SOFTMAX, "pack_2(a, b)", "pack_2(b, a)", run(WHOLE), nth=2)
mutant("scores-uninitialised", "the first product adds to what the registers held",
       FWD, "mma_16x8x16_first(s[m][2 * n], rows", "mma_16x8x16(s[m][2 * n], rows", run(WHOLE))
mutant("head-dim-short", "the last 16 elements of D do not count",
       FWD, "for (int d = 0; d < D16; d++) {\n    u32 k[S16]",
       "for (int d = 0; d < D16 - (D16 > 1); d++) {\n    u32 k[S16]", run("hq1sq32sk32d32"))
mutant("second-rows-near", "32 rows a warp: the second 16 are read from 8 rows further",
       FWD, "along_row(q.base, d) + m * 16 * ROW_BYTES", "along_row(q.base, d) + m * 8 * ROW_BYTES", run(WHOLE, ROWS32))
mutant("q-over-ring", "Q lies in the last slots, and is still there to be read from them",
       CONFIG, "Q_IN_REGISTERS ? RING_BYTES - 2 * TILE_BYTES : RING_BYTES", "RING_BYTES - 2 * TILE_BYTES", run(WHOLE))
mutant("q-in-first-slot", "Q in registers passes through the slot of the first keys",
       CONFIG, "Q_IN_REGISTERS ? RING_BYTES - 2 * TILE_BYTES : RING_BYTES", "Q_IN_REGISTERS ? 0 : RING_BYTES",
       run(WHOLE, S2Q))
mutant("q-one-slot-early", "Q in registers passes through three slots, the first of which is filled with it",
       CONFIG, "Q_IN_REGISTERS ? RING_BYTES - 2 * TILE_BYTES", "Q_IN_REGISTERS ? RING_BYTES - 3 * TILE_BYTES",
       run(WHOLE, S2Q))

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
mutant("split-first-of-all", "all blocks of a row tile take its first part",
       SCHEDULE, "split = block_index() % SPLITS", "split = 0", run(WHOLE, SPLIT2))
mutant("split-starts-late", "three tiles over two blocks: the one in the middle is nobody's",
       SCHEDULE, "w.first = w.tiles * split / SPLITS", "w.first = (w.tiles * split + 1) / SPLITS", run(PARTIAL, SPLIT2))
mutant("split-ends-late", "three tiles over two blocks: the one in the middle is taken by both",
       SCHEDULE, "w.end = w.tiles * (split + 1) / SPLITS", "w.end = (w.tiles * (split + 1) + 1) / SPLITS",
       run(PARTIAL, SPLIT2))
mutant("split-of-row-tiles", "the blocks of a row tile are not neighbours in the grid, and work as if they were",
       SCHEDULE, "row_tile = block_index() / SPLITS", "row_tile = block_index() % (grid_blocks() / SPLITS)",
       run(WHOLE, SPLIT2))
mutant("keys-into-value-slot", "keys are loaded where the values belong",
       FWD, "load_tile<BN, GUARD>(p, k_slot(r.smem, slot), r.k", "load_tile<BN, GUARD>(p, v_slot(r.smem, slot), r.k",
       run(WHOLE))
mutant("k-from-v", "the pointer of K is that of V",
       FWD, "reinterpret_cast<const char *>(p.k)", "reinterpret_cast<const char *>(p.v)", run(WHOLE))
mutant("v-read-as-k", "K is multiplied with the weights",
       FWD, "v_slot(lane_at.v, at.v) + slice * SLICE * ROW_BYTES, p)",
       "k_slot(lane_at.v, at.k) + slice * SLICE * ROW_BYTES, p)", run(WHOLE))
mutant("warps-share-rows", "all warps take the first warp's Q",
       FWD, "smem + Q_OFFSET + row_warp() * WARP_ROWS * ROW_BYTES + lane_offset_q()",
       "smem + Q_OFFSET + lane_offset_q()", run(WHOLE))
mutant("warps-store-same-rows", "all warps store to the first warp's rows",
       FWD, "const int row0 = w.row0 + row_warp() * WARP_ROWS;", "const int row0 = w.row0;", run(WHOLE))
mutant("groups-share-keys", "all key groups take the first group's keys",
       FWD, "smem + key_group() * GROUP_KEYS * ROW_BYTES + lane_offset_k()", "smem + lane_offset_k()",
       run(WHOLE, GROUPS2))
mutant("groups-share-values", "all key groups take the first group's values",
       FWD, "smem + key_group() * GROUP_KEYS * ROW_BYTES + lane_offset_v()", "smem + lane_offset_v()",
       run(WHOLE, GROUPS2))
mutant("groups-interleaved", "neighbouring warps have the same rows, and groups are counted as if they had not",
       SMEM, "warp() % ROW_WARPS", "warp() / KGROUPS", run(WHOLE, GROUPS2))

section("Masks")
mutant("mask-one-too-wide", "the causal mask shows one key too many",
       MASK, "lane() / 4 + shift + 1 - first", "lane() / 4 + shift + 2 - first", run(CAUSAL))
mutant("mask-one-too-narrow", "the causal mask hides the diagonal",
       MASK, "lane() / 4 + shift + 1 - first", "lane() / 4 + shift - first", run(CAUSAL))
mutant("mask-top-left", "the causal mask is aligned top-left",
       SCHEDULE, "w.shift = p.Sk - p.Sq", "w.shift = 0", run(CAUSAL))
mutant("mask-of-first-warp", "all warps mask by the first warp's rows",
       FWD, "p, w.row0 + row_warp() * WARP_ROWS,", "p, w.row0,", run(CAUSAL))
mutant("mask-of-tile-above", "rows 8 to 15 are masked as rows 0 to 7",
       MASK, "seen + m * 16 + half * 8", "seen + m * 16", run(CAUSAL))
mutant("mask-of-upper-16", "32 rows a warp: the lower 16 are masked as the upper",
       MASK, "seen + m * 16 + half * 8", "seen + half * 8", run(CAUSAL, ROWS32))
mutant("mask-by-wrong-tile", "a tile is masked as its neighbour",
       FWD, "(w.tiles - 1 - tile) * BN + key_group()", "(w.tiles - 2 - tile) * BN + key_group()", run(CAUSAL))
mutant("mask-of-first-slice", "each slice of a tile is masked as the first",
       FWD, "mask_scores(s, p, row0, key0 + slice * SLICE, shift)", "mask_scores(s, p, row0, key0, shift)",
       run(CAUSAL, SLICES))
mutant("mask-of-first-group", "each key group masks as the first",
       FWD, " + key_group() * GROUP_KEYS, w.shift", ", w.shift", run(CAUSAL, GROUPS2))
mutant("mask-skipped", "no tile is masked",
       FWD, "    mask_scores(s, p, row0, key0 + slice * SLICE, shift);\n", "", run(PARTIAL), run(CAUSAL))
mutant("masked-slice-dropped", "a slice of which the warp's last row sees one key is left out",
       FWD, "row0 + WARP_ROWS + shift)", "row0 + WARP_ROWS + shift - 1)", run("hq1sq32sk33d16:causal:lse"))
mutant("masked-slice-dropped-at-end", "a slice that has only the last key is left out",
       FWD, "row0 + WARP_ROWS + shift) : p.Sk", "row0 + WARP_ROWS + shift) : p.Sk - 1",
       run("hq1sq20sk17d16:lse", SLICES))
mutant("masked-values-of-first-slice", "the values of the first slice are taken for each slice with a mask",
       FWD, "begin_values(v_slot(lane_at.v, at.v) + slice * SLICE * ROW_BYTES);\n    renew",
       "begin_values(v_slot(lane_at.v, at.v));\n    renew", run(CAUSAL, SLICES))
mutant("partial-tile-open", "a partial tile counts as one that needs no mask",
       SCHEDULE, "w.exact = w.tiles - all / BN", "w.exact = w.tiles - (all + BN - 1) / BN", run(PARTIAL))
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

section("References and sums")
mutant("scale-off", "the scale is 2 % too large in the steady loop",
       FWD, "weigh(weights, sums, s, rows, p.scale_log2,", "weigh(weights, sums, s, rows, p.scale_log2 * 1.02f,",
       run(LONG))
mutant("scale-off-weaving", "the scale is 2 % too large where weights are woven in",
       FWD, "s[slice % 2], rows, p.scale_log2)", "s[slice % 2], rows, p.scale_log2 * 1.02f)", run(LONG, WEAVE))
mutant("scale-off-masked", "the scale is 2 % too large under a mask",
       FWD, "renew(rows, weights, sums, s, p.scale_log2, p);\n    add",
       "renew(rows, weights, sums, s, p.scale_log2 * 1.02f, p);\n    add", run(CAUSAL))
mutant("scale-natural-anew", "the scale lacks log2 e where weights are taken by the true maximum",
       FWD, "if (KEEP_SCORES && rising) rising = renew(rows, weights, sums, s, p.scale_log2, p)",
       "if (KEEP_SCORES && rising) rising = renew(rows, weights, sums, s, p.scale_log2 * 0.6931472f, p)", run(WHOLE))
mutant("scale-natural-once-more", "the same where the scores are computed once more",
       FWD, "    rising = renew(rows, weights, sums, s, p.scale_log2, p)",
       "    rising = renew(rows, weights, sums, s, p.scale_log2 * 0.6931472f, p)", run("hq1sq32sk640d16", FULL))
mutant("no-redo", "weights beyond the limit are used as they are",
       FWD, "rising = beyond_limit(weights);", "rising = false;", run(LONG, inputs="large"))
mutant("no-redo-of-kept-scores", "weights beyond the limit are used as they are, with the scores at hand",
       FWD, "if (KEEP_SCORES && rising)", "if (false)", run(LONG, inputs="large"))
mutant("no-redo-once-more", "weights beyond the limit are used as they are, where the scores are gone",
       FWD, "if (!KEEP_SCORES && rising)", "if (false)", run("hq1sq32sk640d16", FULL, inputs="large"))
mutant("first-scores-not-kept", "the scores of the first slice are not computed where they would be kept",
       FWD, "if (KEEP_SCORES || !rising) {", "if (!rising) {", run(LONG))
mutant("no-redo-weaving", "weaving: weights beyond the limit are used as they are",
       FWD, "if (beyond_limit(weights)) renew(", "if (false) renew(", run(LONG, WEAVE))
mutant("redo-of-next-slice", "weaving: the scores that are taken by their true maximum are those of the next slice",
       FWD, "if (beyond_limit(weights)) renew(rows, weights, sums, s[slice % 2],",
       "if (beyond_limit(weights)) renew(rows, weights, sums, s[(slice + 1) % 2],", run(LONG, WEAVE))
mutant("redo-by-old-reference", "the weights that are taken anew go by the reference from before",
       SOFTMAX, "s[m][n][2 * half] * scale - reference)", "s[m][n][2 * half] * scale - before)",
       run(LONG, inputs="large"))
mutant("redo-without-rescale", "the output so far is not brought to the new reference",
       SOFTMAX, "      rescale(rows, m, half, exp2_approx(before - reference));\n", "", run(LONG, inputs="shrinking"))
mutant("redo-reference-not-kept", "the new reference is forgotten",
       SOFTMAX, "      rows.reference[m][half] = now;\n", "", run(LONG))
mutant("rescale-of-other-rows", "the other eight rows are rescaled",
       SOFTMAX, "rows.o[m][n][2 * half + e] *= factor", "rows.o[m][n][2 * (1 - half) + e] *= factor", run(CAUSAL))
mutant("rescale-of-half", "every other column of the output is not rescaled",
       SOFTMAX, "for (int e = 0; e < 2; e++) rows.o", "for (int e = 0; e < 1; e++) rows.o", run(CAUSAL))
mutant("sum-not-rescaled", "the sum so far is not brought to the new reference",
       SOFTMAX, "  for (int e = 0; e < 2; e++) rows.sum[m][2 * half + e] *= factor;\n", "", run(CAUSAL))
mutant("exact-sum-not-rescaled", "the sum of the log-sum-exp is not brought to the new reference",
       SOFTMAX, "  if (EXACT_SUM) rows.exact[m][half] *= factor;\n", "", run(BF16, inputs="shrinking"))
mutant("limit-of-odd-keys", "weights of keys of even number are not looked at",
       SOFTMAX, "(largest & 0xffff) > WEIGHT_LIMIT_BITS || largest", "largest", run(FEW, inputs="large"))
mutant("limit-of-even-keys", "weights of keys of odd number are not looked at",
       SOFTMAX, " || largest > (WEIGHT_LIMIT_BITS << 16 | 0xffff));", ");", run(FEW, inputs="large"))
mutant("limit-of-first-half", "half of a slice's weights are not looked at",
       SOFTMAX, "i < WEIGHT_PAIRS; i++) largest", "i < WEIGHT_PAIRS / 2; i++) largest", run(FEW, inputs="large"))
mutant("limit-infinite", "fp16: infinite weights are within the limit",
       CONFIG, "FL4_BF16 ? 0x4200u : 0x5000u", "FL4_BF16 ? 0x4200u : 0x7c00u", run(LONG, inputs="large"))
mutant("limit-infinite-bf16", "bf16: infinite weights are within the limit",
       CONFIG, "FL4_BF16 ? 0x4200u : 0x5000u", "FL4_BF16 ? 0x7f80u : 0x5000u", run(LONG + ":bf16", inputs="large"))
mutant("maximum-may-fall", "the new reference is the maximum of the slice only",
       SOFTMAX, "max_f32(before, row_max(largest) * scale)", "row_max(largest) * scale",
       run("hq1sq64sk77d16:causal", inputs="large"))
mutant("row-max-of-two-lanes", "the maximum is shared by two of the four lanes of a row",
       SOFTMAX, "return max_f32(x, shuffle_xor(x, 2));", "return x;", run(WHOLE))
mutant("row-max-of-half", "every other score is left out of the maximum",
       SOFTMAX, "max_f32(largest, max_f32(s[m][n][2 * half], s[m][n][2 * half + 1]))",
       "max_f32(largest, s[m][n][2 * half])", run(LONG, inputs="large"))
mutant("unseen-row-nan", "a row without a key yet subtracts -inf from -inf",
       SOFTMAX, "reference == MINUS_INFINITY ? 0.f : reference", "reference", run(CAUSAL))
mutant("sum-forgotten", "no weight is summed",
       FWD, "mma_16x8x16(rows.sum[m], weights[n][m], PACKED_ONES, PACKED_ONES);", "", run(WHOLE))
mutant("sum-of-half", "eight of sixteen keys are summed",
       FWD, "weights[n][m], PACKED_ONES, PACKED_ONES)", "weights[n][m], PACKED_ONES, 0)", run(WHOLE))
mutant("sum-of-even-keys", "every other key is summed",
       CONFIG, "0x3c003c00u", "0x00003c00u", run(WHOLE))
mutant("sum-of-first-fragment", "the first 16 keys of a slice are summed",
       FWD, "for (int m = 0; m < M16; m++) mma_16x8x16(rows.sum[m]",
       "for (int m = 0; m < M16 && n == 0; m++) mma_16x8x16(rows.sum[m]", run(WHOLE, BROAD))
mutant("sum-by-ones-of-fp16", "bf16: the ones are those of fp16",
       CONFIG, "FL4_BF16 ? 0x3f803f80u : 0x3c003c00u", "0x3c003c00u", run(WHOLE + ":bf16"))
mutant("exact-sum-forgotten-open", "the sum of the log-sum-exp lacks the steady loop",
       FWD, "    add_sums(rows, sums);\n", "", run(BF16), nth=2)
mutant("exact-sum-forgotten-masked", "the sum of the log-sum-exp lacks the tiles with a mask",
       FWD, "    add_sums(rows, sums);\n", "", run(BF16), nth=1)
mutant("exact-sum-forgotten-weaving", "weaving: the sum of the log-sum-exp lacks the steady loop",
       FWD, "    add_sums(rows, sums);\n", "", run(BF16, WEAVE), nth=3)
mutant("exact-sum-of-last-keys", "only a slice's last keys are in the sum of the log-sum-exp",
       SOFTMAX, "n == 0 ? a + b : sums[m][half] + (a + b)", "a + b", run(BF16))
mutant("exact-sum-of-half", "every other weight is left out of the sum of the log-sum-exp",
       SOFTMAX, "sum += a + b;", "sum += a;", run(BF16))
mutant("row-sum-of-two-lanes", "the sums of two of the four lanes of a row count",
       SOFTMAX, "return x + shuffle_xor(x, 2);", "return x;", run(BF16))
mutant("row-sum-of-other-row", "lanes of different rows are added up",
       SOFTMAX, "x += shuffle_xor(x, 1);", "x += shuffle_xor(x, 4);", run(BF16))
mutant("row-sum-of-one-lane", "each lane of a row takes its own sum for the row's",
       EPILOGUE, "row_sum(rows.exact[m][half])", "rows.exact[m][half]", run(BF16))

section("Key groups")
mutant("merge-without-barrier", "a partial result is read before it is there",
       MERGE, "  block_barrier();\n  if (key_group() > 0) return;", "  if (key_group() > 0) return;",
       run(WHOLE, GROUPS2))
mutant("merge-over-tiles", "a partial result is left over tiles that others still read",
       MERGE, "  block_barrier();  // all have done with the tiles\n", "", run(WHOLE, GROUPS2))
mutant("merge-one-group", "only the second group's part is added",
       MERGE, "group < KGROUPS; group++", "group < 2; group++", run(WHOLE, GROUPS4))
mutant("merge-same-group", "the second group's part is added for each group",
       MERGE, "((group - 1) * ROW_WARPS + warp()) * PARTIAL_BYTES", "warp() * PARTIAL_BYTES", run(WHOLE, GROUPS4))
mutant("merge-into-same-place", "all groups leave their part in the same place",
       MERGE, "smem + (warp() - ROW_WARPS) * PARTIAL_BYTES", "smem + row_warp() * PARTIAL_BYTES", run(WHOLE, GROUPS4))
mutant("merge-of-other-rows", "a warp takes the part of other rows",
       MERGE, "((group - 1) * ROW_WARPS + warp()) * PARTIAL_BYTES",
       "((group - 1) * ROW_WARPS + 1 - warp()) * PARTIAL_BYTES", run(WHOLE, GROUPS2))
mutant("partial-too-small", "the exact sum has no place in what a warp hands over",
       CONFIG, "PARTIAL_PIECES = M16 * (D8 + 1 + EXACT_SUM)", "PARTIAL_PIECES = M16 * (D8 + 1)", run(BF16, GROUPS2))
mutant("partial-of-second-rows", "32 rows a warp: the second 16 are handed over in the place of the first",
       MERGE, "const int first = m * (D8 + 1 + EXACT_SUM);\n    const float", "const int first = 0;\n    const float",
       run(WHOLE, variant(bm=32, bn=32, warps=2, kgroups=2)))
mutant("groups-all-store", "each group stores what it has as if it were all",
       FWD, "if (key_group() > 0 || !merge_splits(rows, p)) return;", "if (!merge_splits(rows, p)) return;",
       run(WHOLE, GROUPS2))
mutant("o-over-partial", "O is gathered where another lane may still read a partial result",
       FWD, "  if (KGROUPS > 1) warp_barrier();\n", "", run(WHOLE, GROUPS2))
mutant("o-over-other-partial", "O is gathered where another warp may still read a partial result",
       FWD, ": row_warp() * PARTIAL_BYTES)", ": row_warp() * WARP_ROWS * ROW_BYTES)", run(WHOLE, GROUPS2))

section("Merging")
mutant("merge-factor-of-other-rows", "rows 8 to 15 of a partial result are brought to the reference as rows 0 to 7",
       MERGE, "rows.o[m][n][e] += x[e] * factor[e / 2]", "rows.o[m][n][e] += x[e] * factor[0]", run(WHOLE, GROUPS2))
mutant("merge-sum-of-other-rows", "the sums of rows 8 to 15 are those of rows 0 to 7",
       MERGE, "state[2 + e / 2] * factor[e / 2]", "state[2] * factor[e / 2]", run(WHOLE, GROUPS2))
mutant("merge-sum-without-factor", "the other warp's sum is not brought to the common reference",
       MERGE, "state[2 + e / 2] * factor[e / 2]", "state[2 + e / 2]", run(WHOLE, GROUPS2))
mutant("merge-without-rescale", "what the warp has is not brought to the common reference",
       MERGE, "      rescale(rows, m, half, exp2_approx(rows.reference[m][half] - reference));\n", "",
       run(WHOLE, GROUPS2))
mutant("merge-reference-stays", "the reference stays the warp's own",
       MERGE, "      rows.reference[m][half] = now;\n", "", run(WHOLE, GROUPS4), run(PARTIAL, GROUPS4))
mutant("merge-reference-of-one", "the common reference is the other warp's",
       MERGE, "max_f32(rows.reference[m][half], state[half])", "state[half]",
       run("hq1sq40sk41d16:lse", GROUPS4, inputs="large"))
mutant("merge-unseen-nan", "of a row that neither warp has seen a key of, -inf is subtracted from -inf",
       MERGE, "reference = finite_reference(now)", "reference = now", run(UNSEEN, GROUPS2))
mutant("merge-exact-without-factor", "the sum of the log-sum-exp is not brought to the common reference",
       MERGE, "rows.exact[m][half] += exact[half] * factor[half]", "rows.exact[m][half] += exact[half]",
       run(BF16, GROUPS2))
mutant("merge-exact-forgotten", "the sum of the log-sum-exp is the first group's",
       MERGE, "      if (EXACT_SUM) rows.exact[m][half] += exact[half] * factor[half];\n", "", run(BF16, GROUPS2))

section("Splits and tickets")
mutant("ticket-before-store", "the ticket is drawn before the partial result is stored",
       MERGE, STORE + DRAW, DRAW + STORE, run(WHOLE, SPLIT2))
mutant("ticket-without-fence", "nothing orders the partial result before the ticket, for other multiprocessors",
       MERGE, "  gpu_fence();\n  warp_barrier();\n", "  warp_barrier();\n", run(WHOLE, SPLIT2))
mutant("ticket-without-warp-barrier", "the ticket is drawn before all lanes have stored",
       MERGE, "  gpu_fence();\n  warp_barrier();\n", "  gpu_fence();\n", run(WHOLE, SPLIT2))
mutant("merge-without-fence", "nothing orders the ticket before the reading",
       MERGE, "  gpu_fence();\n  clear(rows);", "  clear(rows);", run(WHOLE, SPLIT2))
mutant("ticket-not-reset", "the ticket goes one further than it should, and is not 0 for the next launch",
       MERGE, "row_warp * 4, SPLITS - 1)", "row_warp * 4, SPLITS)", run(WHOLE, SPLIT2))
mutant("ticket-of-each-lane", "each lane draws a ticket",
       MERGE, "lane() == 0 && atomic", "atomic", run(WHOLE, SPLIT2))
mutant("ticket-of-all-warps", "all warps draw the same ticket",
       MERGE, "(workspace + row_warp * 4,", "(workspace,", run(WHOLE, SPLIT2))
mutant("ticket-of-block", "each block has tickets of its own, so that no ticket is the last",
       MERGE, "(i64)(block_index() / SPLITS) * ROW_WARPS + warp()", "(i64)block_index() * ROW_WARPS + warp()",
       run(WHOLE, SPLIT2))
mutant("last-one-early", "the last ticket but one counts as the last",
       MERGE, "== SPLITS - 1;", "== SPLITS - 2;", run(WHOLE, SPLIT2))
mutant("own-part-twice", "the part of the block that merges counts twice",
       MERGE, "  clear(rows);\n", "", run(WHOLE, SPLIT2))
mutant("first-part-missing", "the first block's part is left out",
       MERGE, "for (int split = 0; split < SPLITS", "for (int split = 1; split < SPLITS", run(WHOLE, SPLIT2))
mutant("parts-in-same-place", "all blocks leave their part in the same place",
       MERGE, "parts + block_index() % SPLITS * PARTIAL_BYTES", "parts", run(WHOLE, SPLIT2))
mutant("parts-overlap", "the parts of neighbouring warps overlap",
       MERGE, "row_warp * (SPLITS * PARTIAL_BYTES)", "row_warp * PARTIAL_BYTES", run(WHOLE, SPLIT2))
mutant("parts-over-tickets", "parts lie where the tickets are",
       MERGE, "workspace + FL4_TICKET_BYTES + row_warp", "workspace + row_warp", run(WHOLE, SPLIT2))
mutant("merged-as-they-come", "parts are added from the last block's on: other bits whenever another block is last",
       MERGE, "GlobalPieces{parts + split * PARTIAL_BYTES}",
       "GlobalPieces{parts + (split + block_index()) % SPLITS * PARTIAL_BYTES}", run(LONG, SPLIT4),
       run(LONG + ":lse", SPLIT4))
mutant("empty-part-not-written", "a block without keys leaves no part",
       MERGE, "  store_partial(GlobalPieces{",
       "  if (rows.reference[0][0] != MINUS_INFINITY) store_partial(GlobalPieces{", run("hq1sq32sk16d16", SPLIT2))

section("Epilogue")
mutant("unseen-row-divides", "a row that saw no key is divided by 0",
       EPILOGUE, "l == 0.f ? 0.f : 1.f / l", "1.f / l", run(UNSEEN))
mutant("unseen-row-lse", "the LSE of a row that saw no key is 0",
       EPILOGUE, "l == 0.f ? MINUS_INFINITY", "l == 0.f ? 0.f", run(UNSEEN))
mutant("not-divided", "O is not divided by the sum",
       EPILOGUE, "rows.o[m][n][2 * half] * inverse, b = rows.o[m][n][2 * half + 1] * inverse",
       "rows.o[m][n][2 * half], b = rows.o[m][n][2 * half + 1]", run(WHOLE))
mutant("lse-without-reference", "the LSE lacks the reference",
       EPILOGUE, "(rows.reference[m][half] + log2_approx(l))", "log2_approx(l)", run(PARTIAL))
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
        # Only a violation names the thread, or a ticket; anything else, such as a compiler's complaint, is no kill.
        for line in lines:
            at = re.search(r"emu: fl4_\w+(, block|: ticket) .*", line)
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
    text = f"{r.problem} {re.sub(',(weave=0|kgroups=1|splits=1|ctas=1)(?![0-9])', '', r.variant)}"
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
        "it: a problem, a variant (`weave=0`, `kgroups=1`, `splits=1` and `ctas=1` are not shown), inputs if not normal, `early` if",
        "asynchronous copies land at once. `emu:` is a violation that the emulator saw; other words are those of `fl4 check`,",
        "which judged a result that came out without one.",
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

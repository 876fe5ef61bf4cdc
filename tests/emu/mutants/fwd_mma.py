# SPDX-License-Identifier: Apache-2.0
"""Mutants of fwd_mma: how tiles come and go, and what a block computes."""
from .fwd_mma_runs import (
    S3, S2Q, S3Q, ROWS32, WIDE, TALL, CROWD, SLICES, BROAD, WEAVE, WEAVE3, GROUPS2, SPLIT2, SPLIT4, WHOLE,
    LONG, PARTIAL, CAUSAL, ODD, run, variant,
)
from .table import Table

MUTANTS = Table()
mutant, section = MUTANTS.mutant, MUTANTS.section

FWD, PRODUCTS, RING = "fwd_mma.cu", "mma_products.cuh", "mma_ring.cuh"
SMEM, SCHEDULE, SOFTMAX = "fl4_smem.cuh", "fl4_schedule.cuh", "fl4_softmax.cuh"
SWIZZLE = "fl4_swizzle.cuh"
EPILOGUE, CONFIG, MERGE = "fl4_epilogue.cuh", "fl4_config.cuh", "fl4_merge.cuh"

WAIT_TILE = "  cp_async_wait<STAGES - 2>();\n  block_barrier(); // it is there"
REFILL = "  load_for<false, false>(r, p, tile + STAGES - 1, slot_before(at.k, K_SLOTS), slot_before(at.v, V_SLOTS));\n"
FIRST = "  load_for<true, !AHEAD>(r, p, w.first, AHEAD, 0);\n"
PREFETCH = "load_for<false, false>(r, p, w.first + i, i + AHEAD, i);"

section("Asynchronous copies")
mutant("wait-one-less-2-stages", "one group too many may be pending, ring of 2",
       RING, WAIT_TILE, WAIT_TILE.replace("- 2", "- 1"), run(WHOLE))
mutant("wait-one-less-3-stages", "one group too many may be pending, ring of 3",
       RING, WAIT_TILE, WAIT_TILE.replace("- 2", "- 1"), run(WHOLE, S3))
mutant("wait-one-less-weaving", "one group too many may be pending, and a tile's keys are in the group before its own",
       RING, WAIT_TILE, WAIT_TILE.replace("- 2", "- 1"), run(LONG, WEAVE3))
mutant("wait-missing", "nobody waits for a tile",
       RING, WAIT_TILE, "  block_barrier(); // it is there", run(WHOLE))
mutant("wait-missing-early", "the same, found where copies land at once",
       RING, WAIT_TILE, "  block_barrier(); // it is there", run(WHOLE, mode="early"))
mutant("wait-for-q-one-less", "Q is read into registers while it may still be on its way",
       FWD, "      cp_async_wait<STAGES - 2>();", "      cp_async_wait<STAGES - 1>();", run(WHOLE, S3Q))
mutant("wait-for-q-missing", "Q is read into registers without a wait",
       FWD, "      cp_async_wait<STAGES - 2>();\n", "", run(WHOLE, S2Q))
mutant("commit-missing-on-tail", "no group where nothing is copied, so the last tiles are not waited for",
       RING, REFILL, REFILL.replace("  load", "  if (tile + STAGES - 1 < r.end)\n    load"), run(WHOLE, S3))
mutant("commit-missing-in-prologue", "no group for a stage that has no tile",
       RING, PREFETCH, "if (w.first + i < w.end) " + PREFETCH, run("hq1sq32sk16d16", S3))
mutant("commit-missing-first", "Q and the first tile are in no group of their own",
       RING, FIRST, "  load_keys<true>(r, p, w.first, 0);\n  load_values<true>(r, p, w.first, 0);\n",
       run(WHOLE))
mutant("commit-missing", "tiles are copied and never committed",
       RING, "  cp_async_commit();\n", "", run(WHOLE))

section("Barriers and votes")
mutant("barrier-missing-on-tile", "a tile is read before the other threads' part of it is there",
       RING, WAIT_TILE, "  cp_async_wait<STAGES - 2>(); // it is there", run(WHOLE))
mutant("barrier-after-refill", "a slot is refilled while other warps still read it",
       RING, "  block_barrier(); // it is there for all; all have done with the tile before it\n" + REFILL,
       REFILL + "  block_barrier();\n", run(WHOLE), run(WHOLE, S3))
mutant("barrier-missing-before-q", "Q is read before the other threads' part of it is there",
       FWD, "      cp_async_wait<STAGES - 2>();\n      block_barrier();", "      cp_async_wait<STAGES - 2>();",
       run(WHOLE, S2Q))
mutant("barrier-missing-before-o", "O is written over slots that other warps still read",
       FWD, "    if (Q_IN_REGISTERS && KGROUPS == 1) block_barrier(); // O goes where the last slots were\n", "",
       run(WHOLE, S2Q))
mutant("barrier-of-one-warp", "a barrier that only the first warp reaches",
       RING, "  block_barrier(); // it is", "  if (warp() == 0) block_barrier(); // it is", run(WHOLE))
mutant("barrier-in-one-warp", "a barrier too many, which the other warps never reach",
       FWD, "  finish(rows, smem, p);\n#endif", "  if (warp() == 1) block_barrier();\n  finish(rows, smem, p);\n#endif",
       run(WHOLE))
mutant("vote-of-some-lanes", "lanes whose weights are within the limit do not vote, and go on alone",
       SOFTMAX,
       "return warp_any(none || (largest & 0xffff) > WEIGHT_LIMIT_BITS || largest > (WEIGHT_LIMIT_BITS << "
       "16 | 0xffff));",
       "return ((largest & 0xffff) > WEIGHT_LIMIT_BITS || largest > (WEIGHT_LIMIT_BITS << 16 | "
       "0xffff)) && warp_any(true);", run(LONG, inputs="large"))
mutant("vote-missing", "each lane decides for itself whether the scores are taken anew",
       SOFTMAX, "return warp_any(none || (largest & 0xffff)", "return ((largest & 0xffff)", run(LONG, inputs="large"))
mutant("vote-missing-on-far", "each lane decides for itself how the next slice is taken",
       SOFTMAX, "return warp_any(far);", "return far;", run(LONG, inputs="large"))
mutant("warp-barrier-missing", "O is gathered from lanes that may not have written yet",
       EPILOGUE, "  warp_barrier();\n", "", run(WHOLE))
mutant("warp-barrier-of-half-a-warp", "a warp barrier that half of the lanes reach",
       EPILOGUE, "  warp_barrier();\n", "  if (lane() < 16) warp_barrier();\n", run(WHOLE))

section("Rings and tiles")
mutant("prefetch-too-far", "the tile after the one that is due is loaded",
       RING, "tile + STAGES - 1, slot", "tile + STAGES, slot", run(WHOLE))
mutant("prefetch-too-near", "a tile is loaded twice, into the next slots",
       RING, "tile + STAGES - 1, slot", "tile + STAGES - 2, slot", run(WHOLE, S3))
mutant("refill-current-keys", "keys are loaded over those that are being read",
       RING, "slot_before(at.k, K_SLOTS)", "at.k", run(WHOLE))
mutant("refill-current-values", "values are loaded over those that are being read",
       RING, "slot_before(at.v, V_SLOTS)", "at.v", run(WHOLE))
mutant("refill-next-keys", "weaving: keys are loaded over those that are read next",
       RING, "slot_before(at.k, K_SLOTS)", "at.k_next", run(LONG, WEAVE))
mutant("refill-wraps-wrong", "the slot before slot 0 is taken to be slot 0",
       RING, "slot == 0 ? slots - 1 : slot - 1", "slot == 0 ? 0 : slot - 1", run(WHOLE, S3))
mutant("slot-beyond-ring", "the slot number wraps one too late",
       RING, "slot + 1 == slots", "slot == slots", run(WHOLE), run(WHOLE, S2Q))
mutant("slot-loaded-twice", "two copies race for the same slot; the later one happens to be the right one",
       RING, FIRST, "  load_values<false>(r, p, w.first + 1, 0);\n" + FIRST, run(WHOLE))
mutant("prologue-keys-into-wrong-slot", "the second tile's keys are loaded over the first's",
       RING, PREFETCH, PREFETCH.replace("i + AHEAD, i", "i + AHEAD - 1, i"), run(WHOLE, S3))
mutant("prologue-values-into-wrong-slot", "the second tile's values are loaded over the first's",
       RING, PREFETCH, PREFETCH.replace("AHEAD, i)", "AHEAD, i - 1)"), run(WHOLE, S3))
mutant("prologue-too-long", "all slots are filled at once: the last ones still hold Q",
       RING, "i < STAGES - 1; i++", "i < STAGES; i++", run(WHOLE, S2Q))
mutant("keys-read-ahead", "the slot after the right one is read for the keys",
       FWD, "k_slot(lane_at.k, at.k) + slice * SLICE * ROW_BYTES,",
       "k_slot(lane_at.k, (at.k + 1) % K_SLOTS) + slice * SLICE * ROW_BYTES,", run(WHOLE))
mutant("values-read-ahead", "the slot after the right one is read for the values",
       FWD, "v_slot(lane_at.v, at.v) + slice * SLICE * ROW_BYTES, p, w,",
       "v_slot(lane_at.v, (at.v + 1) % V_SLOTS) + slice * SLICE * ROW_BYTES, p, w,", run(WHOLE))
mutant("last-key-slot-in-line", "the last slot of keys is looked for behind the others, where values are",
       RING, "(slot == K_SLOTS - 1 ? RING_BYTES - TILE_BYTES : slot * TILE_BYTES)", "slot * TILE_BYTES", run(WHOLE))
mutant("value-slots-too-early", "the first slot of values is one of keys",
       RING, "(K_SLOTS - 1 + slot) * TILE_BYTES", "(K_SLOTS - 2 + slot) * TILE_BYTES", run(WHOLE))
mutant("one-key-slot-too-few", "weaving without the slot more that it needs",
       CONFIG, "K_SLOTS = STAGES + WEAVE", "K_SLOTS = STAGES", run(LONG, WEAVE))
mutant("first-tile-dropped", "the walk starts at the second tile",
       FWD, "int tile = w.first;", "int tile = w.first + 1;", run(WHOLE))
mutant("last-tile-dropped", "the walk ends one tile early",
       FWD, ": w.end;\n    if (!WEAVE)", ": w.end - 1;\n    if (!WEAVE)", run(WHOLE))
mutant("one-tile-too-many", "the walk ends one tile late",
       FWD, ": w.end;\n    if (!WEAVE)", ": w.end + 1;\n    if (!WEAVE)", run(WHOLE))
mutant("last-tile-dropped-weaving", "weaving: the walk ends one tile early",
       FWD, "if (++tile == open_end) break;", "if (++tile >= open_end - 1) break;", run(LONG, WEAVE))
mutant("masked-walk-too-far", "the tiles that need a mask are walked beyond the end of the block's own",
       FWD, "tile < min_i32(w.exact, w.end)", "tile < w.exact", run(CAUSAL, SPLIT4))
mutant("keys-too-many-loaded", "keys left of the first one are loaded, and never used",
       RING, "if (tile + AHEAD < r.end)", "if (tile + AHEAD <= r.end)", run("hq1sq16sk128d16", WIDE))
mutant("values-too-many-loaded", "values left of the first key's are loaded, and never used",
       RING, "if (tile < r.end)", "if (tile <= r.end)", run("hq1sq16sk128d16", WIDE))
mutant("keys-from-the-left", "keys are loaded from left to right, and values from right to left",
       RING, "const int key0 = FIRST_KEY(r, tile);\n  invariant", "const int key0 = tile * BN;\n  invariant",
       run(PARTIAL), nth=1)
mutant("values-beside", "values are loaded from one tile further right",
       RING, "const int key0 = FIRST_KEY(r, tile);\n  invariant",
       "const int key0 = (r.tiles - tile) * BN;\n  invariant", run(WHOLE), nth=2)
mutant("no-keys-not-noticed", "a block without keys loads a tile all the same",
       FWD, "if (w.first < w.end) {", "if (true) {", run("hq1sq16sk0d16", WIDE))

section("Slices and weaving")
mutant("slice-of-keys-again", "the first slice's keys are taken for each slice",
       FWD, "k_slot(lane_at.k, at.k) + slice * SLICE * ROW_BYTES,", "k_slot(lane_at.k, at.k),", run(WHOLE, SLICES))
mutant("slice-of-values-again", "the first slice's values are taken for each slice",
       FWD, "v_slot(lane_at.v, at.v) + slice * SLICE * ROW_BYTES, p, w,", "v_slot(lane_at.v, at.v), p, w,",
       run(WHOLE, SLICES))
mutant("slice-dropped", "the last slice of a tile is left out",
       FWD, "for (int slice = 0; slice < SLICES; slice++) {", "for (int slice = 0; slice < SLICES - 1; slice++) {",
       run(WHOLE, SLICES), nth=1)
mutant("weave-last-tile-not-clamped", "after the last tile scores are taken of a slot in which there may be nothing",
       FWD, "last ? at.k : at.k_next", "at.k_next", run("hq1sq32sk32d16", WEAVE))
mutant("weave-own-tile-again", "the next tile's first scores are those of this tile's",
       FWD, "last ? at.k : at.k_next", "at.k", run(LONG, WEAVE))
mutant("weave-next-slot-stays", "the slot of the next tile's keys is not moved on",
       RING, "  if (WEAVE) at.k_next = slot_after(at.k, K_SLOTS);\n", "", run(LONG, WEAVE))
mutant("weave-beyond-tile", "the slice after a tile's last is looked for behind the tile",
       FWD, "slice + 1 < SLICES ? keys + SLICE * ROW_BYTES : next_tile", "keys + SLICE * ROW_BYTES", run(LONG, WEAVE))
mutant("weave-over-ready-scores", "the next scores are computed over those that are being weighed",
       FWD, "(s[(slice + 1) % 2], q,", "(s[slice % 2], q,", run(LONG, WEAVE))
mutant("weave-first-scores-missing", "nobody computes the scores of the first slice behind the tiles with a mask",
       FWD, "      multiply_query_keys(s[0], q, k_slot(lane_at.k, at.k));\n", "", run("hq1sq32sk192d16:causal", WEAVE))
mutant("weave-fragment-stale", "the fragment of keys that was read ahead is not the one that is used",
       PRODUCTS, "multiply_step(s, q, k[d % 2], d);", "multiply_step(s, q, k[0], d);", run("hq1sq32sk64d32", WEAVE))
mutant("weave-weights-left-out", "D = 48: the weights that do not divide by its steps are never taken",
       PRODUCTS, "d * WEIGHT_PAIRS / D16, (d + 1) * WEIGHT_PAIRS / D16",
       "d * (WEIGHT_PAIRS / D16), (d + 1) * (WEIGHT_PAIRS / D16)", run("hq1sq32sk64d48", WEAVE))
mutant("weave-values-of-next-slice", "the weights of a slice meet the values of the next one",
       FWD, "begin_values(v_slot(lane_at.v, at.v) + slice * SLICE * ROW_BYTES);\n    if (beyond",
       "begin_values(v_slot(lane_at.v, at.v) + (slice + 1) % SLICES * SLICE * ROW_BYTES);\n    if (beyond",
       run(LONG, WEAVE))
mutant("values-read-ahead-wrong", "the fragment of values that is read ahead is the second one",
       PRODUCTS, "ldmatrix_x4_trans(v.first, along_row(at, 0));", "ldmatrix_x4_trans(v.first, along_row(at, 1));",
       run("hq1sq32sk64d32"))
mutant("values-read-ahead-twice", "the fragment that was read ahead is used for the next 16 keys too",
       PRODUCTS, "if (n == 0 && d == 0)", "if (d == 0)", run(WHOLE, BROAD))

section("Addresses and guards")
mutant("k-misaligned", "K is copied from two bytes further on",
       RING, "r.k + key0 * r.k_row", "r.k + 2 + key0 * r.k_row", run(WHOLE))
mutant("v-row-late", "V is read from one row further down, past its end",
       RING, "r.v + key0 * r.v_row", "r.v + (key0 + 1) * r.v_row", run(WHOLE))
mutant("row-stride-short", "rows of a tile that one thread copies lie one too close",
       SMEM, "const i64 step_bytes = STEP * row_bytes;", "const i64 step_bytes = (STEP - 1) * row_bytes;",
       run("hq1sq64sk64d128"))
mutant("q-guard-removed", "rows past the end of Q are read, and their results thrown away",
       RING, "p.q_stride[2] * 2, queries(p, w) - w.row0);", "p.q_stride[2] * 2, BM);", run("hq1sq1sk1d16", TALL))
mutant("q-guard-off-by-one", "the last row of Q counts as missing",
       RING, "queries(p, w) - w.row0);", "queries(p, w) - w.row0 - 1);", run(PARTIAL))
mutant("key-guard-removed", "rows past the end of K and V are read",
       RING, "load_for<true, !AHEAD>(r", "load_for<false, false>(r", run(PARTIAL))
mutant("key-guard-removed-weaving", "weaving: rows past the end of K are read, and masked",
       RING, "if (AHEAD) load_keys<true>", "if (AHEAD) load_keys<false>",
       run("hq1sq1sk1d16", variant(bn=128, slice=64, weave=1)))
mutant("k-guard-removed", "rows past the end of K are read, and masked",
       RING, "r.k + key0 * r.k_row, r.k_row, r.keys - key0)", "r.k + key0 * r.k_row, r.k_row, BN)",
       run("hq1sq1sk1d16", WIDE))
mutant("v-guard-removed", "rows past the end of V are read, with weight 0",
       RING, "r.v + key0 * r.v_row, r.v_row, r.keys - key0)", "r.v + key0 * r.v_row, r.v_row, BN)", run(PARTIAL))
mutant("v-guard-off-by-one", "the last row of V counts as missing",
       RING, "r.v + key0 * r.v_row, r.v_row, r.keys - key0)", "r.v + key0 * r.v_row, r.v_row, r.keys - key0 - 1)",
       run(PARTIAL))
mutant("padding-chunk-read", "D % 16 == 8: the half chunk block behind a row is read",
       SMEM, "(!GUARD || row < valid) && chunk < D / 8", "(!GUARD || row < valid)", run("hq1sq20sk21d24"), nth=1)
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
       RING, "    p.k_stride[2] * 2,\n", "    p.q_stride[2] * 2,\n", run("hq4hkv2sq32d16:bshd"))
mutant("o-strides-of-q", "O is written by the strides of Q",
       EPILOGUE, "query_offset(p, w, p.o_stride, row0) * 2", "query_offset(p, w, p.q_stride, row0) * 2", run("hq2sq64d16:packed"))
mutant("o-row-late", "O is written one row further down",
       EPILOGUE, "query_offset(p, w, p.o_stride, row0) * 2", "query_offset(p, w, p.o_stride, row0 + 1) * 2", run(WHOLE))
mutant("o-guard-removed", "rows past the end of O are written",
       EPILOGUE, "row0 + row >= queries(p, w) || ", "", run(PARTIAL))
mutant("o-guard-off-by-one", "one row past the end of O is written",
       EPILOGUE, "row0 + row >= queries(p, w)", "row0 + row > queries(p, w)", run(PARTIAL))
mutant("o-padding-written", "D % 16 == 8: the padding is written behind each row",
       EPILOGUE, " || chunk >= D / 8", "", run("hq1sq20sk21d24"))
mutant("lse-guard-removed", "the LSE of rows past the end is written",
       EPILOGUE, "if (lane() % 4 == 0 && row < queries(p, w)) store", "if (lane() % 4 == 0) store", run(PARTIAL))
mutant("lse-always", "the LSE is written where none is wanted",
       EPILOGUE, "  if (!LSE || !p.lse) return;\n", "", run(WHOLE))

section("Swizzle and fragments")
mutant("swizzle-missing-in-writer", "tiles are written as they come, and read with the swizzle",
       SMEM, "tile + chunk_offset(row, chunk)", "tile + row * ROW_BYTES + chunk * 16", run("hq1sq64sk64d64"), nth=1)
mutant("swizzle-missing-in-reader", "fragments further along a row are read without the swizzle",
       SWIZZLE, "(base ^ ((step % (GROUP / 2)) * 32))", "(base + (step % (GROUP / 2)) * 32)", run("hq1sq64sk64d64"))
mutant("swizzle-missing-in-epilogue", "O is gathered without the swizzle",
       EPILOGUE, "tile + chunk_offset(row, chunk)", "tile + row * ROW_BYTES + chunk * 16", run("hq1sq64sk64d64"), nth=1)
mutant("swizzle-group-d96", "the next group of chunks is looked for too far along the row",
       SWIZZLE, "* (GROUP * 16)", "* (GROUP * 32)", run("hq1sq32sk32d96"))
mutant("swizzle-group-d80", "D = 80 is swizzled in groups of 4 chunks, of which the last is not whole",
       SWIZZLE, "CHUNKS_A_ROW % 4 == 0 ? 4 : 2", "4", run("hq1sq32sk32d80"))
mutant("swizzle-shift-d96", "the swizzle turns with every row: right results, bank conflicts",
       SWIZZLE, "GROUP == 4 ? 1 : 2", "GROUP == 4 ? 0 : 2", run("hq1sq32sk32d96", counts=True))
mutant("swizzle-shift-d80", "the same for D = 80",
       SWIZZLE, "GROUP == 4 ? 1 : 2", "GROUP == 4 ? 1 : 0", run("hq1sq32sk32d80", counts=True))
mutant("partial-by-columns", "a lane's pieces for another warp lie side by side: right results, bank conflicts",
       MERGE, "base + (piece * 32 + lane()) * 16", "base + (lane() * PARTIAL_PIECES + piece) * 16",
       run("hq1sq32sk64d24", GROUPS2, counts=True), nth=1)
mutant("tile-piece-missing", "D = 96: the last four chunks of a row are not loaded",
       SMEM, "if constexpr (LEFT > WIDTH)", "if constexpr (LEFT < WIDTH)", run("hq1sq32sk32d96"), nth=1)
mutant("tile-piece-in-place-of-first", "D = 96: the second piece of a row is loaded over the first",
       SMEM, "const int chunk = FIRST + thread", "const int chunk = thread", run("hq1sq32sk32d96"), nth=1)
mutant("tile-rows-unbounded", "threads without a row write behind the tile",
       SMEM, "    if (ROWS % STEP != 0 && row >= ROWS) break;\n", "", run(WHOLE, CROWD), nth=1)
mutant("k-fragment-as-q", "K is read in the order of a left operand",
       SMEM, "chunk_offset(lane() / 16 * 8 + lane() % 8, lane() / 8 % 2)", "chunk_offset(lane() % 16, lane() / 16)",
       run(WHOLE))
mutant("k-fragment-twice", "eight keys are taken twice, the next eight never",
       PRODUCTS, "mma_16x8x16_first(s[m][2 * n + 1], rows[m], k[n][2], k[n][3])",
       "mma_16x8x16_first(s[m][2 * n + 1], rows[m], k[n][0], k[n][1])", run(WHOLE))
mutant("k-fragments-near", "the second 16 keys of a slice are read from 8 keys further",
       PRODUCTS, "along_row(keys, d) + n * 16 * ROW_BYTES", "along_row(keys, d) + n * 8 * ROW_BYTES", run(WHOLE, BROAD))
mutant("v-not-transposed", "V is read as it lies",
       PRODUCTS, "ldmatrix_x4_trans(v,", "ldmatrix_x4(v,", run(WHOLE, BROAD))
mutant("v-fragment-swapped", "the two halves of a V fragment are swapped",
       PRODUCTS, "weights[n][m], v[0], v[1])", "weights[n][m], v[1], v[0])", run(WHOLE))
mutant("weights-transposed", "the registers of the weights are in the wrong order",
       SOFTMAX, "n % 2 * 2 + half]", "half * 2 + n % 2]", run(WHOLE), nth=1)
mutant("weights-swapped", "neighbouring weights are swapped",
       SOFTMAX, "pack_2(a, b)", "pack_2(b, a)", run(WHOLE), nth=1)
mutant("weights-transposed-anew", "the same where they are taken by the true maximum",
       SOFTMAX, "n % 2 * 2 + half]", "half * 2 + n % 2]", run(WHOLE), nth=2)
mutant("weights-swapped-anew", "neighbouring weights are swapped where they are taken by the true maximum",
       SOFTMAX, "pack_2(a, b)", "pack_2(b, a)", run(WHOLE), nth=2)
mutant("scores-uninitialised", "the first product adds to what the registers held",
       PRODUCTS, "mma_16x8x16_first(s[m][2 * n], rows", "mma_16x8x16(s[m][2 * n], rows", run(WHOLE))
mutant("head-dim-short", "the last 16 elements of D do not count",
       PRODUCTS, "for (int d = 0; d < D16; d++) {\n    u32 k[S16]",
       "for (int d = 0; d < D16 - (D16 > 1); d++) {\n    u32 k[S16]", run("hq1sq32sk32d32"))
mutant("second-rows-near", "32 rows a warp: the second 16 are read from 8 rows further",
       PRODUCTS, "along_row(q.base, d) + m * 16 * ROW_BYTES", "along_row(q.base, d) + m * 8 * ROW_BYTES", run(WHOLE, ROWS32))
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
       RING, "load_tile<BN, GUARD>(p, k_slot(r.smem, slot), r.k", "load_tile<BN, GUARD>(p, v_slot(r.smem, slot), r.k",
       run(WHOLE))
mutant("k-from-v", "the pointer of K is that of V",
       RING, "reinterpret_cast<const char *>(p.k)", "reinterpret_cast<const char *>(p.v)", run(WHOLE))
mutant("v-read-as-k", "K is multiplied with the weights",
       FWD, "v_slot(lane_at.v, at.v) + slice * SLICE * ROW_BYTES, p, w,",
       "k_slot(lane_at.v, at.k) + slice * SLICE * ROW_BYTES, p, w,", run(WHOLE))
mutant("warps-share-rows", "all warps take the first warp's Q",
       FWD, "smem + Q_OFFSET + row_warp() * WARP_ROWS * ROW_BYTES + lane_offset_q()",
       "smem + Q_OFFSET + lane_offset_q()", run(WHOLE))
mutant("warps-store-same-rows", "all warps store to the first warp's rows",
       RING, "return w.row0 + row_warp() * WARP_ROWS;", "return w.row0;", run(WHOLE))
mutant("groups-share-keys", "all key groups take the first group's keys",
       FWD, "smem + key_group() * GROUP_KEYS * ROW_BYTES + lane_offset_k()", "smem + lane_offset_k()",
       run(WHOLE, GROUPS2))
mutant("groups-share-values", "all key groups take the first group's values",
       FWD, "smem + key_group() * GROUP_KEYS * ROW_BYTES + lane_offset_v()", "smem + lane_offset_v()",
       run(WHOLE, GROUPS2))
mutant("groups-interleaved", "neighbouring warps have the same rows, and groups are counted as if they had not",
       SMEM, "warp() % ROW_WARPS", "warp() / KGROUPS", run(WHOLE, GROUPS2))

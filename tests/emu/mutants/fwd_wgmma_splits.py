# SPDX-License-Identifier: Apache-2.0
"""Mutants of fwd_wgmma: blocks that share the keys of a row tile, heads that share row tiles."""
from .fwd_wgmma_runs import KEYS, ROWS, run, variant
from .table import Table

MUTANTS = Table()
mutant, section = MUTANTS.mutant, MUTANTS.section

FWD, SCHEDULE, MERGE, EPILOGUE = "fwd_wgmma.cu", "wgmma_schedule.cuh", "wgmma_merge.cuh", "wgmma_epilogue.cuh"
SPLIT2, SPLIT3, PAIR2 = variant(splits=2), variant(splits=3), variant(groups=2, splits=2)
FEW = "hq1sq64sk40d16"  # one key tile: the second block has none

STORE = "  store_partial(parts + block_index() % SPLITS * PARTIAL_BYTES, rows);\n"
RELEASE = "  warp_barrier();\n  bool last = false;\n  if (lane() == 0) {\n    gpu_fence();\n"
DRAW = "    last = atomic_wrapping_increment(workspace + row_warp * 4, SPLITS - 1) == SPLITS - 1;\n"
ACQUIRE = "    if (last) gpu_fence();\n  }\n  if (!warp_any(last)) return false;\n  warp_barrier();\n"

section("Shares")
mutant("share-of-all", "all blocks of a row tile take its first share",
       SCHEDULE, "split = block_index() % SPLITS", "split = 0", run(KEYS, SPLIT2))
mutant("share-begins-early", "a tile at the border of two shares belongs to both",
       SCHEDULE, "(all * split + SPLITS - 1) / SPLITS", "all * split / SPLITS", run(KEYS, SPLIT2))
mutant("share-ends-early", "a tile at the border of two shares belongs to none",
       SCHEDULE, "(all * (split + 1) + SPLITS - 1) / SPLITS", "all * (split + 1) / SPLITS", run(KEYS, SPLIT2))
mutant("share-from-the-first-key", "shares of a window begin at the first key",
       SCHEDULE, "const int split = block_index() % SPLITS, all = t.key_tiles - t.first_tile, first = t.first_tile;",
       "const int split = block_index() % SPLITS, all = t.key_tiles - t.first_tile, first = 0;",
       run("hq1sq64sk300d16:window=40,0", SPLIT2))
mutant("share-ignored", "each block walks to the first tile that its rows see",
       SCHEDULE, "return WINDOW || SPLITS > 1 ? t.first_tile : 0;", "return WINDOW ? t.first_tile : 0;", run(KEYS, SPLIT2))
mutant("row-tile-of-block", "blocks that share a row tile take different ones",
       SCHEDULE, "return block_index() / SPLITS;", "return block_index();", run(ROWS, SPLIT2))
mutant("empty-share-loads", "copies for a share without keys, which nobody waits for",
       FWD, "t.key_tiles > 0 && !is_empty(t)", "t.key_tiles > 0", run(FEW, SPLIT2))
mutant("empty-share-computes", "a block without keys computes with tiles that do not come",
       FWD, "  if (is_empty(t)) {\n    clear(rows);\n    finish_all(rows, t, t.row0 + lane_row, p);\n    return;\n  }\n", "",
       run(FEW, SPLIT2))
mutant("empty-share-silent", "a block without keys draws no ticket",
       FWD, "    clear(rows);\n    finish_all(rows, t, t.row0 + lane_row, p);\n    return;", "    return;", run(FEW, SPLIT2))
mutant("values-of-no-tile", "a block without keys loads the values of a tile that it does not have",
       FWD, "(!TELLS_FIRST && SPLITS == 1) || before.key_tiles > 0", "!TELLS_FIRST || before.key_tiles > 0", run(FEW, SPLIT2))

section("Tickets")
mutant("not-put-together", "each block writes its part as the result",
       FWD, "  if (merge_splits(rows, p)) finish", "  finish", run(KEYS, SPLIT2))
mutant("ticket-before-store", "the ticket is drawn before the partial result is stored",
       MERGE, STORE + RELEASE + DRAW + ACQUIRE, RELEASE + DRAW + ACQUIRE.replace("  if (!", STORE + "  if (!"),
       run(KEYS, SPLIT2))
mutant("ticket-without-fence", "nothing orders the partial result before the ticket, for other multiprocessors",
       MERGE, RELEASE, RELEASE.replace("    gpu_fence();\n", ""), run(KEYS, SPLIT2))
mutant("ticket-without-warp-barrier", "the ticket is drawn before all lanes have stored",
       MERGE, RELEASE, RELEASE.replace("  warp_barrier();\n", ""), run(KEYS, SPLIT2))
mutant("merge-without-fence", "nothing orders the ticket before the reading",
       MERGE, ACQUIRE, ACQUIRE.replace("    if (last) gpu_fence();\n", ""), run(KEYS, SPLIT2))
mutant("merge-without-warp-barrier", "nothing orders the fence of the lane that drew the ticket before the others read",
       MERGE, ACQUIRE, ACQUIRE.replace("  warp_barrier();\n", ""), run(KEYS, SPLIT2))
mutant("ticket-not-reset", "the ticket goes one further than it should, and is not 0 for the next launch",
       MERGE, "row_warp * 4, SPLITS - 1)", "row_warp * 4, SPLITS)", run(KEYS, SPLIT2))
mutant("ticket-of-one-group", "the warps of both groups draw the same tickets",
       MERGE, "* (4 * GROUPS) + thread_index() / 32;", "* (4 * GROUPS) + thread_index() % 128 / 32;", run(ROWS, PAIR2))
mutant("ticket-of-next-tile", "row tiles share tickets",
       MERGE, "(block_index() / SPLITS) * (4 * GROUPS)", "(block_index() / SPLITS) * 4", run(ROWS, PAIR2))
mutant("last-one-early", "the last ticket but one counts as the last",
       MERGE, "== SPLITS - 1;", "== SPLITS - 2;", run(KEYS, SPLIT2))

section("Parts")
mutant("own-part-twice", "the part of the block that merges counts twice",
       MERGE, "  clear(rows);\n", "", run(KEYS, SPLIT2))
mutant("first-part-missing", "the first block's part is left out",
       MERGE, "for (int split = 0; split < SPLITS", "for (int split = 1; split < SPLITS", run(KEYS, SPLIT2))
mutant("parts-in-same-place", "all blocks leave their part in the same place",
       MERGE, "parts + block_index() % SPLITS * PARTIAL_BYTES", "parts", run(KEYS, SPLIT2))
mutant("parts-overlap", "the parts of neighbouring warps overlap",
       MERGE, "row_warp * (SPLITS * PARTIAL_BYTES)", "row_warp * PARTIAL_BYTES", run(KEYS, SPLIT2))
mutant("parts-over-tickets", "parts lie where the tickets are",
       MERGE, "workspace + FL4_TICKET_BYTES + row_warp", "workspace + row_warp", run(KEYS, SPLIT2))
mutant("merged-as-they-come", "parts are added from the last block's on: other bits whenever another block is last",
       MERGE, "merge_partial(rows, parts + split * PARTIAL_BYTES)",
       "merge_partial(rows, parts + (split + block_index()) % SPLITS * PARTIAL_BYTES)", run("hq4sq65sk200d16:lse", SPLIT3),
       run("hq4sq65sk200d16:lse", SPLIT3, device="emu:2"))
mutant("part-without-sum", "only the output is put together",
       MERGE, "rows.sum[half] * kept[half] + state[2 + half] * factor[half]", "rows.sum[half]", run(KEYS, SPLIT2))
mutant("part-kept-as-it-is", "what is there is not brought to the new reference",
       MERGE, "rows.o[4 * i + e] * kept[e / 2] + o", "rows.o[4 * i + e] + o", run(KEYS, SPLIT2))
mutant("part-not-rescaled", "a part is not brought to the new reference",
       MERGE, "o[e] * factor[e / 2]", "o[e]", run(KEYS, SPLIT2))
mutant("part-of-lower-half", "both halves of a row pair are scaled as the first",
       MERGE, "rows.o[4 * i + e] * kept[e / 2] + o[e] * factor[e / 2]", "rows.o[4 * i + e] * kept[0] + o[e] * factor[0]",
       run(KEYS, SPLIT2))

# Four heads of 20 queries are two row tiles, the second one partial; the last queries see more keys than the first.
PACK4, PACK_PAIR = variant(pack=4), variant(groups=2, pack=4)
PACKED, PACKED_CAUSAL = "hq8hkv2sq20sk100d16:lse", "b2hq8hkv2sq40sk100d16:causal:lse"

section("Packed heads")
mutant("pack-row-as-query", "rows are taken for queries where keys are masked",
       SCHEDULE, "return row / PACK + (keys", "return row + (keys", run(PACKED_CAUSAL, PACK4))
mutant("pack-heads-by-one", "the next packed heads begin one further",
       SCHEDULE, "head % heads_of_batch * PACK", "head % heads_of_batch", run(PACKED, PACK4))
mutant("pack-batch-of-heads", "batches are counted in single heads",
       SCHEDULE, "heads_of_batch = p.Hq / PACK", "heads_of_batch = p.Hq", run(PACKED_CAUSAL, PACK4))
mutant("pack-grid-of-heads", "as many row tiles as single heads would have",
       SCHEDULE, "(RAGGED_Q ? p.Hq : p.B * p.Hq) / PACK", "(RAGGED_Q ? p.Hq : p.B * p.Hq)", run(PACKED, variant(pack=4, sched=1)))
mutant("pack-queries-of-rows", "a row tile begins at the query of its first row's number",
       FWD, "t.row0 / PACK;", "t.row0;", run(PACKED, PACK4))
mutant("pack-group-of-rows", "the second group's queries begin 64 further",
       FWD, "group * (GROUP_ROWS / PACK)", "group * GROUP_ROWS", run(PACKED_CAUSAL, PACK_PAIR))
mutant("pack-coordinates", "heads and queries are the wrong way round",
       FWD, "PACK > 1 ? t.h : query,", "PACK > 1 ? query : query,", run(PACKED, PACK4))
mutant("pack-output-by-row", "a row is written as if it were a query",
       EPILOGUE, "at = (row + 8 * half) / PACK", "at = (row + 8 * half)", run(PACKED, PACK4))
mutant("pack-output-of-first", "all heads are written to the first",
       EPILOGUE, "head = (row + 8 * half) % PACK", "head = 0", run(PACKED, PACK4))
mutant("pack-lse-of-first", "the LSE of all heads is the first's",
       EPILOGUE, "(at * p.lse_stride[2] + head * p.lse_stride[1])", "(at * p.lse_stride[2])", run(PACKED, PACK4))
mutant("pack-sink-of-first", "all heads have the sink of the first",
       EPILOGUE, "with_sink(p, t.h + head,", "with_sink(p, t.h,", run("hq8hkv2sq20sk100d16:sinks", PACK4))

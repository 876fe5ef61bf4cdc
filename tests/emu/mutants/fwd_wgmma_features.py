# SPDX-License-Identifier: Apache-2.0
"""Mutants of fwd_wgmma: windows, scores, biases, lengths, pages, and values that are mended."""
from .fwd_wgmma_runs import IN_TURN, PAIR, run, variant
from .table import Table

MUTANTS = Table()
mutant, section = MUTANTS.mutant, MUTANTS.section

FWD, PIPELINE, SCHEDULE, SOFTMAX = "fwd_wgmma.cu", "wgmma_pipeline.cuh", "wgmma_schedule.cuh", "wgmma_softmax.cuh"
TILE, MENDER, EPILOGUE = "wgmma_scores.cuh", "wgmma_mender.cuh", "wgmma_epilogue.cuh"
SCORES, SEQUENCE = "fl4_scores.cuh", "fl4_sequence.cuh"

# Windows that begin and end inside of tiles; that have an open tile; whose row tiles begin at different tiles.
WINDOW, BROAD_WINDOW = "hq1sq65sk200d16:window=20,3:lse", "hq1sq64sk300d16:window=160,0"
LONG_WINDOW = "hq1sq200sk200d16:window=20,3"
SOFTCAP, ALIBI = "hq1sq64sk128d16:softcap=1", "hq4sq65sk128d16:alibi"
SINKS = "hq2sq40sk41d16:sinks:lse"
# Biases that the copy engine finds: of three key tiles, of which two are in shared memory at a time; of one or two pages.
BIAS, BIAS32, BOOL = "hq2sq65sk104d16:bias=fp16", "hq2sq65sk104d16:bias=fp32", "hq2sq65sk112d16:bias=bool"
BIAS_WIDE, BIAS_HALF = "hq2sq65sk104d80:bias=fp16", "hq2sq65sk104d16:bias=bf16:bf16"
BIAS_FULL, FULL = "hq1sq65sk104d256:bias=fp16", variant(groups=2, stages=3, sched=1)  # shared memory has room for one tile of them
TALL, BIAS_ROW, BIAS_ROW32 = "hq1sq130sk104d16:bias=fp16", "hq1sq65sk104d16:bias=fp16/bhj", "hq1sq65sk104d16:bias=fp32/bhj"
# And those that it does not find.
SINGLE, SINGLE_BF16, SINGLE_BOOL = "hq2sq40sk61d16:bias=fp16", "hq2sq40sk61d16:bias=bf16", "hq2sq40sk61d16:bias=bool"
RAGGED, RAGGED_CAUSAL = "b4hq2sq200sk90d16:ragged:lse", "b4hq2sq200sk90d16:causal:ragged:lse"
LENS, LENS_CAUSAL, LENS_WIDE = "b4hq2sq40sk90d16:lens:lse", "b4hq2sq40sk90d16:causal:lens", "b2hq1sq40sk90d80:lens"
PAGED, PAGED8, PAGED_WIDE = "b2hq2sq40sk90d16:page=32", "b2hq2sq40sk90d16:page=8", "b2hq1sq40sk90d80:page=32"

STORE_MORE = "    store_shared_128(to + 16, more);\n  }\n  mbarrier_arrive(pipe.told_full + n % TOLD * 8);\n"
HEAR_MORE = ("  if (TOLD_MORE) load_shared_128(more, from + 16);\n"
             "  mbarrier_arrive(pipe.told_empty + n % TOLD * 8);")
SCORE = "    score(s, params, pipe, bias, t, slope, t.row0 + lane_row, at * BN, !SKIP || hides(listed));\n"
MASK = ("    if (!open.has(at)) {\n"
        "      mask_scores(s, p, t, t.row0 + lane_row, at * BN);\n"
        "      few |= keys_seen(p, t, t.row0 + warp_row) - at * BN < FEW;\n"
        "    }\n")
BIAS_DONE = "  warp_barrier();\n  release(pipe.bias_empty, slot);\n"
BIAS_FENCE = "  async_fence();\n"
BIAS_HERE = "  wait_for(p.fwd, pipe.bias_full, slot, at.phase);\n"
ZEROS = "        store_shared_128(pipe.v + slot * TILE_BYTES + page * KV_PAGE + chunk * 16, zeros);\n"

section("Windows")
mutant("window-ends-early", "the last key of a window is not seen",
       SEQUENCE, "queries - 1 - row - p.window_right", "queries - row - p.window_right", run(WINDOW))
mutant("window-ends-late", "a window has one more key on the right",
       SEQUENCE, "queries - 1 - row - p.window_right", "queries - 2 - row - p.window_right", run(WINDOW))
mutant("window-begins-late", "the first key of a window is not seen",
       SEQUENCE, "(queries - row + p.window_left)", "(queries - 1 - row + p.window_left)", run(WINDOW))
mutant("window-begins-early", "a window has one more key on the left",
       SEQUENCE, "(queries - row + p.window_left)", "(queries + 1 - row + p.window_left)", run(WINDOW))
mutant("window-without-left", "keys before the window are not masked",
       SOFTMAX, " || (WINDOW && 8 * i + e < hidden)", "", run(WINDOW))
mutant("window-begins-with-first-row", "the lane's second row has its window begin where that of its first does",
       SOFTMAX, "first_seen(p, t, row + 8 * half) - first", "first_seen(p, t, row) - first", run(WINDOW))
mutant("window-without-end", "row tiles go as far as keys do, and no mask says that they end before",
       SEQUENCE, "return max_i32(0, keys - max_i32(0, queries - 1 - row - p.window_right));", "return keys;", run(WINDOW))
mutant("window-open-too-long", "tiles are taken as seen by all rows until the first row does not see all of them",
       SOFTMAX, "first_seen(p, t, row + GROUP_ROWS - 1)", "first_seen(p, t, row)", run(BROAD_WINDOW))
mutant("window-open-without-begin", "all tiles left of the mask are open",
       SOFTMAX, "(!WINDOW || tile >= first) && ", "", run(BROAD_WINDOW))
mutant("window-open-one-too-many", "so is the one in which the last row's window begins",
       SOFTMAX, "row + GROUP_ROWS - 1) + BN - 1) / BN;", "row + GROUP_ROWS - 1)) / BN;", run(BROAD_WINDOW))
mutant("window-tiles-skipped", "tiles of which only the first rows see keys are left out",
       SCHEDULE, "first_seen(p, t, t.row0) / BN", "first_seen(p, t, t.row0 + BM - 1) / BN", run(WINDOW))
mutant("window-loads-to-first-key", "the producer goes on to the first key",
       FWD, "if (tile == first_tile(t)) break;", "if (tile == 0) break;", run(WINDOW))
mutant("window-walks-to-first-key", "the groups go on to the first key",
       FWD, "last = tile == first_tile(t)", "last = tile == 0", run(WINDOW))
mutant("window-last-values", "a row tile ends with the values of the first keys",
       FWD, "KEY_TILE(rest, first_tile(before)) * BN", "0 * BN", run(WINDOW, IN_TURN))
mutant("window-very-last-values", "so does the last one",
       FWD, "KEY_TILE(here, first_tile(before)) * BN", "0 * BN", run(WINDOW))

section("What is told of row tiles")
mutant("told-more-not-sent", "the second half of the message is not written",
       SCHEDULE, STORE_MORE, STORE_MORE.replace("    store_shared_128(to + 16, more);\n", ""), run(WINDOW, IN_TURN))
mutant("told-more-late", "the second half is written when the message is out",
       SCHEDULE, STORE_MORE, "  }\n  mbarrier_arrive(pipe.told_full + n % TOLD * 8);\n"
       "  if (TOLD_MORE) store_shared_128(to + 16, {(u32)t.first_tile, (u32)t.s.queries, (u32)t.s.keys,"
       " (u32)t.s.first_query});\n", run(LONG_WINDOW, IN_TURN))
mutant("told-more-in-one-place", "the second half overwrites the first",
       SCHEDULE, "store_shared_128(to + 16, more)", "store_shared_128(to, more)", run(WINDOW, IN_TURN))
mutant("told-more-unread", "the first half is read twice",
       SCHEDULE, "load_shared_128(more, from + 16)", "load_shared_128(more, from)", run(LENS))
mutant("told-more-read-late", "the place of the message is given back before its second half is read",
       SCHEDULE, HEAR_MORE, "  mbarrier_arrive(pipe.told_empty + n % TOLD * 8);\n"
       "  if (TOLD_MORE) load_shared_128(more, from + 16);", run("hq1sq330sk330d16:window=20,3", IN_TURN))
mutant("told-messages-overlap", "the second half of a message lies where the next one begins",
       PIPELINE, "TOLD_BYTES = TOLD_MORE ? 32 : 16", "TOLD_BYTES = 16", run(LONG_WINDOW, IN_TURN))
mutant("told-first-tile-stays", "each row tile ends with the tile that the first one does",
       SCHEDULE, "    t.first_tile = (int)more[0];\n", "", run(LONG_WINDOW, IN_TURN))
mutant("told-keys-stay", "each row tile has as many keys as the first",
       SCHEDULE, "t.s.keys = (int)more[2], ", "", run(LENS, IN_TURN))
mutant("told-queries-stay", "each row tile has as many queries as the first",
       SCHEDULE, "t.s.queries = (int)more[1], ", "", run(RAGGED, IN_TURN))
mutant("told-first-query-stays", "each row tile is written where the first sequence's would be",
       SCHEDULE, ", t.s.first_query = (int)more[3];", ";", run(RAGGED, IN_TURN))
mutant("told-first-not", "nobody tells of the first row tile",
       FWD, "  if (TELLS_FIRST) tell_tile(p.fwd, pipe, t, 0);\n", "", run(LENS))
mutant("told-first-again", "the second message goes where the first one is",
       FWD, "tell_tile(p.fwd, pipe, t, n + TELLS_FIRST)", "tell_tile(p.fwd, pipe, t, n)", run(LENS, IN_TURN))
mutant("heard-first-again", "the first message is heard twice",
       FWD, "hear_tile(p, pipe, next, n + TELLS_FIRST)", "hear_tile(p, pipe, next, n)", run(LENS, IN_TURN))

section("Scores")
mutant("scores-as-they-are", "scores are only scaled",
       FWD, SCORE, "", run(SOFTCAP))
mutant("scores-after-mask", "what is masked gets a score again",
       FWD, SCORE + MASK, MASK + SCORE, run("hq1sq64sk100d16:softcap=1"))
mutant("softcap-without-tanh", "scores are multiplied with their cap",
       SCORES, "tanh_by_exp2(s * p.scale_log2)", "(s * p.scale_log2)", run(SOFTCAP))
mutant("softcap-one-sided", "tanh is half of itself",
       SCORES, "1.f - 2.f * reciprocal", "1.f - reciprocal", run(SOFTCAP))
mutant("softcap-in-powers-of-2", "a score with a softcap is a power of two when it is made one",
       SCORES, "p.softcap_log2 * LN_2 *", "p.softcap_log2 *", run(SOFTCAP))
mutant("scaled-twice", "scores are scaled once more where they are weighed",
       SCORES, "return NATURAL ? LOG2_E : p.scale_log2;", "return p.scale_log2;", run(ALIBI))
mutant("slope-sign", "far keys are preferred",
       SCORES, "s - r.slope *", "s + r.slope *", run(ALIBI))
mutant("slope-one-sided", "keys behind the diagonal come closer",
       SCORES, "(distance < 0.f ? -distance : distance)", "distance", run(ALIBI))
mutant("slope-of-first-head", "all heads have the slope of the first",
       SCORES, "b * p.slope_stride[0] + h * p.slope_stride[1]", "b * p.slope_stride[0]", run(ALIBI))
mutant("slope-of-first-row-tile", "all row tiles have the slope of the first",
       FWD, ", slope = alibi_slope(p, t.b, t.h);\n      course", ";\n      course", run(ALIBI, IN_TURN))
mutant("alibi-diagonal", "distances count from the row, not from its key on the diagonal",
       TILE, "diagonal(p.fwd, t, row + 8 * half), first)", "row + 8 * half, first)", run(ALIBI))
mutant("alibi-of-first-row", "the lane's second row counts distances from the diagonal of its first",
       TILE, "diagonal(p.fwd, t, row + 8 * half), first)", "diagonal(p.fwd, t, row), first)", run(ALIBI))
mutant("alibi-of-lane", "all lanes count distances from the tile's first key",
       TILE, "const int first = key0 + 2 * (lane() % 4);", "const int first = key0;", run(ALIBI))
mutant("alibi-of-eight", "the second eight of sixteen keys have the distances of the first",
       TILE, "x, 8 * (i + eight) + e)", "x, 8 * i + e)", run(ALIBI))

section("Sinks")
mutant("sink-not-in-sum", "a sink does not count in the sum of the output",
       EPILOGUE, "inverse_sum(end.sum) * end.factor", "inverse_sum(l)", run(SINKS))
mutant("sink-not-in-lse", "a sink does not count in the LSE",
       EPILOGUE, "log_sum_exp(end.reference, end.sum)", "log_sum_exp(rows.reference[half], l)", run(SINKS))
mutant("sink-reference-kept", "the output is not brought to the sink's reference",
       EPILOGUE, "inverse_sum(end.sum) * end.factor", "inverse_sum(end.sum)", run("hq4sq40sk3d16:sinks:lse"))
mutant("sink-of-first-head", "all heads have the sink of the first",
       SCORES, "p.sinks) + 4 * h", "p.sinks) + 0 * h", run(SINKS))
mutant("sink-in-powers-of-e", "a sink is taken as a power of two",
       SCORES, "sink = LOG2_E * load_float", "sink = load_float", run(SINKS))

section("Biases by the copy engine")
mutant("bias-count-empty-less", "a bias is gone when three of four warps have done with it",
       PIPELINE, "p.bias_empty + 8 * i, 4)", "p.bias_empty + 8 * i, 3)", run(BIAS))
mutant("bias-count-empty-more", "a bias is free when five of four warps have done with it",
       PIPELINE, "p.bias_empty + 8 * i, 4)", "p.bias_empty + 8 * i, 5)", run(BIAS))
mutant("bias-count-full", "the barrier expects one arrival too many",
       PIPELINE, "p.bias_full + 8 * i, 1)", "p.bias_full + 8 * i, 2)", run(BIAS))
mutant("bias-init-of-first-slot", "only the first slot's barriers are initialised",
       PIPELINE, "(BIAS ? BIAS_SLOTS * GROUPS : 0)", "(BIAS ? GROUPS : 0)", run(BIAS))
mutant("bias-rings-share-barriers", "the barriers of free slots lie over those of full ones",
       PIPELINE, "p.bias_full + 8 * BIAS_SLOTS * GROUPS", "p.bias_full + 8 * GROUPS", run(BIAS))
mutant("bias-wait-missing", "a bias may not be there",
       TILE, BIAS_HERE, "", run(BIAS))
mutant("bias-wait-missing-early", "the same, found where copies land at once",
       TILE, BIAS_HERE, "", run(BIAS, mode="early"))
mutant("bias-phase", "a bias is taken to be there from the start",
       TILE, "pipe.bias_full, slot, at.phase)", "pipe.bias_full, slot, at.phase + 1)", run(BIAS))
mutant("bias-refill-without-wait", "the producer does not wait for free slots",
       TILE, "    if (!wait_for(p.fwd, pipe.bias_empty, slot, at.phase + 1)) return;\n", "", run(BIAS))
mutant("bias-phase-of-refill", "the producer waits for the first use of a slot to be over, before it has begun",
       TILE, "pipe.bias_empty, slot, at.phase + 1)", "pipe.bias_empty, slot, at.phase)", run(BIAS))
mutant("bias-released-unread", "a slot is given back before it is read",
       TILE, BIAS_HERE, BIAS_HERE + "  release(pipe.bias_empty, slot);\n", run("hq1sq64sk200d16:bias=fp16"))
mutant("bias-released-early", "a slot is given back when the first lane has read it",
       TILE, BIAS_DONE, "  release(pipe.bias_empty, slot);\n", run(BIAS32))
mutant("bias-fence-missing", "a slot is given back while loads from it may still be under way",
       TILE, BIAS_FENCE, "", run(BIAS))
mutant("bias-fence-of-one-lane", "the same, of all lanes but the one that gives it back",
       TILE, BIAS_FENCE, "  if (lane() == 0) async_fence();\n", run(BIAS))
mutant("bias-never-released", "a slot is not given back",
       TILE, BIAS_DONE, "  warp_barrier();\n", run(BIAS))
mutant("bias-released-for-neighbour", "the other group's slot is given back",
       TILE, "release(pipe.bias_empty, slot)", "release(pipe.bias_empty, slot ^ 1)", run(TALL, PAIR))
mutant("bias-loaded-in-one-slot", "the producer stays in the first slot",
       TILE, "h, b);\n  }\n  advance<BIAS_SLOTS>(at);\n", "h, b);\n  }\n", run(BIAS))
mutant("bias-read-from-one-slot", "the groups stay in the first slot",
       TILE, "slot);\n  advance<BIAS_SLOTS>(at);\n", "slot);\n", run(BIAS))
mutant("bias-one-slot-in-two", "the slots that are walked are more than there are",
       TILE, "advance<BIAS_SLOTS>(at);", "advance<2>(at);", run(BIAS_FULL, FULL), nth=1)
mutant("bias-bytes-of-slot", "as many bytes are expected as a slot has, where one row is copied",
       TILE, "BIAS_PAGES * 128 * p.bias_rows", "BIAS_TILE", run(BIAS_ROW))
mutant("bias-bytes-of-page", "as many bytes are expected as a page has",
       TILE, "BIAS_PAGES * 128 * p.bias_rows", "128 * p.bias_rows", run(BIAS32))
mutant("bias-pages-in-one-place", "all pages go where the first one lies",
       TILE, "slot * BIAS_TILE + page * BIAS_PAGE, &p.bias", "slot * BIAS_TILE, &p.bias", run(BIAS32))
mutant("bias-page-again", "all pages have the columns of the first",
       TILE, "BIAS_BYTES / 2 + page * 64", "BIAS_BYTES / 2", run(BIAS32))
mutant("bias-page-of-first", "columns of the second page are looked for in the first",
       TILE, " + byte / 128 * BIAS_PAGE", "", run(BIAS32))
mutant("bias-columns-of-16-bits", "the column of a key is that of biases of 16 bits",
       TILE, "key0 * BIAS_BYTES / 2", "key0", run(BIAS32), run(BOOL))
mutant("bias-of-first-key-tile", "all key tiles have the columns of the first",
       TILE, "key0 * BIAS_BYTES / 2 + page", "0 * BIAS_BYTES / 2 + page", run(BIAS))
mutant("bias-of-tile-before", "a tile has the bias of the one to its right",
       FWD, "load_biases(p, pipe, bias, t, KEY_TILE(next, tile - 1) * BN)",
       "load_biases(p, pipe, bias, t, KEY_TILE(here, tile) * BN)", run(BIAS))
mutant("bias-of-last-tile-missing", "no bias is copied for the first tile that is walked",
       FWD, "    if (!SKIP || hides(here)) load_biases(p, pipe, bias, t, KEY_TILE(here, last) * BN);\n", "", run(BIAS))
mutant("bias-copied-in-vain", "the groups read biases that have been copied one by one",
       TILE, "if (!p.bias_rows) return score_tile<GLOBAL>", "return score_tile<GLOBAL>", run(BIAS))
mutant("bias-of-first-row-tile", "all row tiles have the rows of the first",
       TILE, "t.row0 + group * GROUP_ROWS, h, b", "group * GROUP_ROWS, h, b", run(BIAS, IN_TURN))
mutant("bias-of-first-group", "all groups have the rows of the first",
       TILE, "t.row0 + group * GROUP_ROWS, h, b", "t.row0, h, b", run(TALL, PAIR))
mutant("bias-groups-share-slots", "the second group's slot is the first group's next one",
       TILE, "slot = at.slot * GROUPS + group;", "slot = at.slot + group;", run(TALL, PAIR))
mutant("bias-slot-of-first-group", "all groups read the first one's slot",
       TILE, "slot = at.slot * GROUPS + warpgroup_index();", "slot = at.slot * GROUPS;", run(TALL, PAIR))
mutant("bias-rows-of-all-groups", "warps are counted through all groups",
       TILE, "warp_row = thread_index() % 128 / 32 * 16", "warp_row = thread_index() / 32 * 16", run(TALL, PAIR))
mutant("bias-of-first-warp", "all warps read the rows of the first",
       TILE, "warp_row = thread_index() % 128 / 32 * 16", "warp_row = 0", run(BIAS))
mutant("bias-of-head", "all heads have the bias of the first",
       TILE, "p.fwd.bias_stride[1] ? t.h : 0", "0", run(BIAS))
mutant("bias-of-batch", "all sequences have the bias of the first",
       TILE, "p.fwd.bias_stride[0] ? t.b : 0", "0", run("b2hq1sq40sk104d16:bias=fp16"))
mutant("bias-of-missing-head", "a bias that all heads share is looked for in each",
       TILE, "p.fwd.bias_stride[1] ? t.h : 0", "t.h", run("hq2sq40sk104d16:bias=fp16/bij"))
mutant("bias-of-missing-batch", "a bias that all sequences share is looked for in each",
       TILE, "p.fwd.bias_stride[0] ? t.b : 0", "t.b", run("b2hq1sq40sk104d16:bias=fp16/hij"))
mutant("bias-of-missing-row", "a bias that all rows share is looked for in each row tile",
       TILE, "p.bias_rows == 1 ? 0 : t.row0", "t.row0", run(BIAS_ROW))
mutant("bias-row-of-lane", "lanes read rows of their own where there is one",
       TILE, "  if (p.bias_rows == 1) row = 0;\n", "", run(BIAS_ROW))
mutant("bias-row-eight-further", "the lane's second row is looked for where there is one",
       TILE, "p.bias_rows == 1 ? 0 : 8 * 128", "8 * 128", run(BIAS_ROW32))
mutant("bias-not-swizzled", "chunks are looked for where they would lie without a swizzle",
       TILE, "(byte ^ row % 8 * 16)", "byte", run(BIAS))
mutant("bias-swizzle-of-first-keys", "the next chunk is looked for beside the first one",
       TILE, "(place ^ (byte % 128 / 16 * 16))", "(place + (byte % 128 / 16 * 16))", run(BIAS))
mutant("bias-halves-of-chunk", "each chunk of bytes has the biases of eight keys, not of sixteen",
       TILE, " + byte % 16 +", " +", run(BOOL))
mutant("bias-first-eight", "all keys of a tile have the biases of the first",
       TILE, "byte = eight * 8 * BIAS_BYTES", "byte = 0 * BIAS_BYTES", run(BIAS))
mutant("bias-of-first-eight", "the second eight of sixteen keys have the biases of the first",
       TILE, "along_bias_row(place, first_eight + i / 2)", "along_bias_row(place, first_eight)", run(BIAS32), run(BOOL))
mutant("bias-of-first-half", "the lane's second row has the biases of its first",
       TILE, "+ i % 2 * below", "+ 0 * below", run(BIAS32), run(BOOL))
mutant("bias-eight-and-half", "the second row's biases are taken for those of the next keys",
       TILE, "x[i / 4][i / 2 % 2][i % 2] = bias_value(i % 2 ?", "x[i / 2 % 2][i / 4][i % 2] = bias_value(i % 2 ?", run(BIAS))
mutant("bias-matrix-rows", "lanes name each row twice",
       TILE, "row = warp_row + lane % 16,", "row = warp_row + lane % 8,", run(BIAS))
mutant("bias-matrix-columns", "lanes name the same columns twice",
       TILE, "byte = lane / 16 * 16;", "byte = 0;", run(BIAS))
mutant("bias-of-other-key", "two biases of 16 bits are taken the wrong way round",
       TILE, "bias_value(i % 2 ? word >> 16 : word & 0xffff)", "bias_value(i % 2 ? word & 0xffff : word >> 16)", run(BIAS))
mutant("bias-of-even-key", "the first of two biases is taken for both keys",
       TILE, "bias_value(two >> 8)", "bias_value(two & 0xff)", run(BOOL))
mutant("bias-of-odd-key", "the second of two biases is taken for both keys",
       TILE, "bias_value(two[0])", "bias_value(two[1])", run(BIAS32))
mutant("bias-added-to-first-row", "the lane's first row's biases are added to both",
       TILE, "x += bias[eight][half][e]", "x += bias[eight][0][e]", run(BIAS))
mutant("bias-half-as-bf16", "fp16 is read as bf16",
       SCORES, "BIAS == 2 ? float_from_bits(bits << 16)", "BIAS >= 1 ? float_from_bits(bits << 16)", run(BIAS))
mutant("bias-bf16-as-half", "bf16 is read as fp16",
       SCORES, "BIAS == 2 ? float_from_bits(bits << 16)", "BIAS == 5 ? float_from_bits(bits << 16)", run(BIAS_HALF))
mutant("bool-inverted", "zeros let keys through",
       SCORES, "bits ? 0.f : MINUS_INFINITY", "bits ? MINUS_INFINITY : 0.f", run(BOOL))
mutant("bias-hides-unnoticed", "a row whose keys were all hidden has weights that are no numbers",
       SOFTMAX, "!(sums[0] <= SUM_LIMIT && sums[1] <= SUM_LIMIT)", "sums[0] > SUM_LIMIT || sums[1] > SUM_LIMIT",
       run("hq4sq65sk208d16:bias=bool"))

section("Biases one by one")
mutant("single-transposed", "a bias is read by keys and queries the wrong way round",
       SCORES, "min_i32(row, p.Sq - 1) * p.bias_stride[2]", "min_i32(row, p.Sq - 1) * p.bias_stride[3]", run(SINGLE))
mutant("single-key-stride", "biases of neighbours are taken to lie beside each other",
       SCORES, "min_i32(key, p.Sk - 1) * p.bias_stride[3]", "min_i32(key, p.Sk - 1)", run("hq2sq40sk61d16:bias=fp16/bhi"))
mutant("single-of-lost-row", "rows behind the last read a bias that is not there",
       SCORES, "min_i32(row, p.Sq - 1)", "row", run("hq1sq1sk61d16:bias=fp16"))
mutant("single-of-head", "all heads have the bias of the first",
       SCORES, "b * p.bias_stride[0] + h * p.bias_stride[1]", "b * p.bias_stride[0]", run(SINGLE))
mutant("single-of-batch", "all sequences have the bias of the first",
       SCORES, "b * p.bias_stride[0] + h * p.bias_stride[1]", "h * p.bias_stride[1]", run("b2hq1sq32sk61d16:bias=fp16"))
mutant("single-bytes", "a bias of a byte is taken for one of two",
       SCORES, "at * BIAS_BYTES;", "at * 2;", run(SINGLE_BOOL))
mutant("single-eight", "the second eight of sixteen keys have the biases of the first",
       TILE, "key + i / 4 * 8 + i % 2", "key + i % 2", run(SINGLE))
mutant("single-even-keys", "the first of two biases is taken for both keys",
       TILE, "key + i / 4 * 8 + i % 2", "key + i / 4 * 8", run(SINGLE_BF16))
mutant("single-of-first-row", "the lane's second row has the biases of its first",
       TILE, "bias_of(p, r[i / 2 % 2],", "bias_of(p, r[0],", run(SINGLE))
mutant("single-of-first-keys", "all keys of a tile have the biases of its first sixteen",
       TILE, "single_biases(bias, p.fwd, r, first + 8 * i)", "single_biases(bias, p.fwd, r, first)", run(SINGLE))

section("Lengths")
mutant("length-of-neighbour", "a sequence has as many keys as the next one",
       SEQUENCE, "p.used_k) + 4 * (i64)b)", "p.used_k) + 4 * (i64)(b ^ 1))", run(LENS))
mutant("length-forgotten", "all sequences have all keys that there may be",
       SCHEDULE, "return LENGTHS ? t.s.keys : p.Sk;", "return p.Sk;", run(LENS))
mutant("length-not-in-mask", "keys behind the last of a sequence are not masked",
       SCHEDULE, "  return keys(p, t);\n", "  return p.Sk;\n",
       run(LENS))
mutant("length-not-in-diagonal", "the diagonal ends at the last key that there may be",
       SCHEDULE, "row / PACK + (keys(p, t) - queries(p, t))", "row / PACK + (p.Sk - p.Sq)", run(LENS_CAUSAL))
mutant("ragged-queries-of-first", "all sequences have the queries of the first",
       FWD, "(RAGGED_Q ? t.s.first_query : 0) + t.row0", "t.row0", run(RAGGED))
mutant("ragged-keys-of-first", "all sequences have the keys of the first",
       FWD, "(RAGGED_K ? t.s.first_key : 0) + key0", "key0", run(RAGGED))
mutant("ragged-batch-of-queries", "ragged queries are looked for in a batch",
       FWD, "query : t.h, RAGGED_Q ? 0 : t.b);", "query : t.h, t.b);", run(RAGGED))
mutant("ragged-batch-of-keys", "ragged keys are looked for in a batch",
       FWD, "t.h_kv, RAGGED_K ? 0 : t.b);", "t.h_kv, t.b);", run(RAGGED))
mutant("ragged-rows-of-first", "all sequences are written where the first one is",
       EPILOGUE, "first_row = RAGGED_Q ? t.s.first_query : 0;", "first_row = 0;", run(RAGGED))
mutant("ragged-batch-of-output", "the output is looked for in a batch",
       EPILOGUE, "b = RAGGED_Q ? 0 : t.b,", "b = t.b,", run(RAGGED))
mutant("ragged-rows-beyond", "rows behind a sequence are written, which are another's",
       EPILOGUE, "at < queries(p, t) && chunk", "at < p.Sq && chunk", run(RAGGED))
mutant("ragged-lse-beyond", "so are their LSE",
       EPILOGUE, "lane() % 4 == 0 && at < queries(p, t)", "lane() % 4 == 0 && at < p.Sq", run(RAGGED))
mutant("ragged-tile-of-neighbour", "a tile goes to the sequence before its own",
       SEQUENCE, "/ rows + middle <= tile)", "/ rows + middle < tile)", run(RAGGED))
mutant("ragged-tiles-overlap", "the tiles of sequences are numbered without room between them",
       SEQUENCE, "/ rows + middle <= tile)", "/ rows <= tile)", run(RAGGED))
mutant("ragged-first-tile", "row tiles are counted from the first of all sequences",
       SCHEDULE, "(tile - t.s.first_query / BM - t.b) * BM", "(tile - t.b) * BM", run(RAGGED))
mutant("ragged-tile-missing", "a sequence's last tile of few rows is taken for none",
       SCHEDULE, "t.row0 >= t.s.queries)", "t.row0 + BM / 2 >= t.s.queries)", run(RAGGED))
mutant("ragged-tile-of-none", "a block ends at the first tile without rows",
       SCHEDULE, "if (!RAGGED_Q || t.key_tiles > 0) return t;", "return t;", run(RAGGED, IN_TURN))
mutant("ragged-end-of-first", "a sequence ends where the first does",
       SEQUENCE, "sequence_start(p.cu_q, b + 1, p.total_q)", "sequence_start(p.cu_q, 1, p.total_q)", run(RAGGED))
mutant("ragged-keys-end-of-first", "its keys do",
       SEQUENCE, "sequence_start(p.cu_k, b + 1, p.total_k)", "sequence_start(p.cu_k, 1, p.total_k)", run(RAGGED))

section("Pages")
mutant("page-of-neighbour", "a page that is the sequence's next one",
       SEQUENCE, "b * p.table_stride + (min_i32(key, p.Sk - 1) >> p.page_shift)",
       "b * p.table_stride + min_i32((key >> p.page_shift) + 1, (p.Sk - 1) >> p.page_shift)", run(PAGED))
mutant("page-of-sequence", "all sequences have the pages of the first",
       SEQUENCE, "b * p.table_stride + (min", "0 * p.table_stride + (min", run(PAGED))
mutant("page-of-tile", "all rows of a tile have the page of its first",
       FWD, "page_of(p, t.b, key0 + first + i * rows)", "page_of(p, t.b, key0)", run(PAGED8))
mutant("page-of-first-four", "pages that do not fit in one go are those of the first",
       FWD, "page_of(p, t.b, key0 + first + i * rows)", "page_of(p, t.b, key0 + i * rows)", run(PAGED8))
mutant("page-slot-of-tile", "slots of a page are counted from the tile's first key",
       FWD, "(key0 + row) & in_page", "row & in_page", run(PAGED))
mutant("page-slot-of-sequence", "slots of a page are counted from the sequence's first key",
       FWD, "(key0 + row) & in_page", "key0 + row", run(PAGED))
mutant("page-box-of-tile", "as many rows are taken for copied as a tile and a large page have in common",
       FWD, "return min_i32(BN & -BN, 1 << p.page_shift);", "return BN & -BN;", run(PAGED8))
mutant("page-box-of-page", "as many as a page has",
       FWD, "return min_i32(BN & -BN, 1 << p.page_shift);", "return 1 << p.page_shift;", run(PAGED))
mutant("page-rows-beyond-tile", "copies go on behind the tile's last row",
       FWD, "      if (row >= BN) break;\n", "", run(PAGED))
mutant("page-rows-in-one-place", "all pages of a tile go where the first one lies",
       FWD, "columns * KV_PAGE + row * 128", "columns * KV_PAGE", run(PAGED))
mutant("page-columns-again", "all columns are the first ones",
       FWD, "map, barrier, columns * 64,", "map, barrier, 0 * 64,", run(PAGED_WIDE))
mutant("page-columns-in-one-place", "all columns go where the first ones lie",
       FWD, "to + columns * KV_PAGE + row", "to + row", run(PAGED_WIDE))
mutant("page-bytes-of-copy", "the barrier expects one copy",
       FWD, "mbarrier_arrive_expect(barrier, TILE_BYTES)", "mbarrier_arrive_expect(barrier, rows * 128)", run(PAGED))
mutant("page-head", "all heads have the keys of the first",
       FWD, "t.h_kv,\n                 page[i])", "0,\n                 page[i])", run(PAGED))

section("Mended values")
mutant("mends-nothing", "values behind the last key stay what they are",
       PIPELINE, "MENDS = LENGTHS || PAGED", "MENDS = false", run(LENS))
mutant("mends-no-pages", "in pages they do",
       PIPELINE, "MENDS = LENGTHS || PAGED", "MENDS = LENGTHS", run(PAGED))
mutant("mends-lengths-alone", "without pages they do",
       PIPELINE, "MENDS = LENGTHS || PAGED", "MENDS = PAGED", run(LENS))
mutant("mended-not", "nobody writes zeros",
       MENDER, ZEROS, "        ;\n", run(LENS))
mutant("mended-one-row-late", "the first row behind the last key stays",
       MENDER, "chunk = rows * 8 + lane()", "chunk = rows * 8 + 8 + lane()", run(LENS))
mutant("mended-one-row-early", "the last key's value becomes 0",
       MENDER, "chunk = rows * 8 + lane()", "chunk = rows * 8 - 8 + lane()", run(LENS))
mutant("mended-by-half-a-warp", "each second chunk stays",
       MENDER, "chunk < BN * 8; chunk += 32", "chunk < BN * 8; chunk += 64", run(LENS))
mutant("mended-not-to-the-end", "the tile's last row stays",
       MENDER, "chunk < BN * 8;", "chunk < BN * 8 - 8;", run(LENS))
mutant("mended-beyond", "rows behind the tile become 0 too",
       MENDER, "chunk < BN * 8;", "chunk < BN * 8 + 8;", run(LENS))
mutant("mended-first-columns", "only the first page of columns is mended",
       MENDER, "page < PAGES; page++", "page < 1; page++", run(LENS_WIDE))
mutant("mended-in-first-slot", "the first slot is mended, wherever the tile is",
       MENDER, "pipe.v + slot * TILE_BYTES + page", "pipe.v + page", run(LENS, IN_TURN))
mutant("mended-keys", "keys become 0 instead of values",
       MENDER, "pipe.v + slot * TILE_BYTES", "pipe.k + slot * TILE_BYTES", run(LENS))
mutant("mended-released-first", "the tile is passed on before zeros are written",
       MENDER, "    for (int page = 0; page < PAGES; page++)\n", "    release(pipe.v_full, slot);\n"
       "    for (int page = 0; page < PAGES; page++)\n", run(LENS))
mutant("mended-fence-missing", "matrix products need not see the zeros",
       MENDER, "    async_fence();\n", "", run(LENS))
mutant("mended-barrier-missing", "the tile is there when the first lane has written its zeros",
       MENDER, "    warp_barrier();  // all lanes' zeros are there\n", "", run(LENS))
mutant("mended-before-it-lands", "zeros are written while the copy is under way",
       MENDER, "    if (!wait_for(p, pipe.landed, 0, n)) return;\n", "", run(LENS))
mutant("mender-unasked", "the mender does not wait for a message",
       MENDER, "    if (!wait_for(p, pipe.mend_full, 0, n)) return;\n", "", run(LENS))
mutant("mender-phase", "the mender waits for the message after",
       MENDER, "wait_for(p, pipe.mend_full, 0, n)", "wait_for(p, pipe.mend_full, 0, n + 1)", run(LENS))
mutant("mender-asked-too-soon", "the next message is left while the last one is read",
       FWD, "if (partial && !wait_for_mender(p.fwd, pipe, mended++)) return;", "", run(LENS, IN_TURN))
mutant("mender-not-counted", "each message is taken for the first",
       FWD, "wait_for_mender(p.fwd, pipe, mended++)", "wait_for_mender(p.fwd, pipe, mended)", run(LENS, IN_TURN))
mutant("mender-not-told", "the mender hears of no tile",
       FWD, "  if (partial) tell_mender(pipe, at.slot, max_i32(rows, 0));\n", "", run(LENS))
mutant("mender-told-of-first-slot", "the mender hears of the first slot",
       FWD, "tell_mender(pipe, at.slot, max_i32", "tell_mender(pipe, 0, max_i32", run(LENS, IN_TURN))
mutant("mender-not-dismissed", "nobody says that nothing more comes",
       FWD, "  if (MENDS && wait_for_mender(p.fwd, pipe, mended)) tell_mender(pipe, NOTHING_MORE, 0);\n", "", run(LENS))
mutant("mender-passed-by", "a tile that is mended is there when it lands",
       FWD, "partial ? pipe.landed : pipe.v_full + 8 * at.slot", "pipe.v_full + 8 * at.slot", run(LENS))
mutant("mender-done-early", "the mender is free when its first lane is",
       PIPELINE, "mbarrier_init(p.mend_empty, 32)", "mbarrier_init(p.mend_empty, 1)", run(LENS, IN_TURN))
mutant("mender-message-over-told", "messages to the mender lie over what is told of row tiles",
       PIPELINE, "p.mend = p.told + TOLD_BYTES * TOLD", "p.mend = p.told", run(LENS, IN_TURN))

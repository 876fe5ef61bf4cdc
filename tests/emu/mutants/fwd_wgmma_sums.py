# SPDX-License-Identifier: Apache-2.0
"""Mutants of fwd_wgmma: which tiles a block computes, masks, weights and sums, and what comes out."""
from .fwd_wgmma_runs import (
    IN_TURN, TICKET, PAIR, KEYS, LONG, ROWS, MANY, HEADS, CAUSAL, UNSEEN, SECTIONS, run,
)
from .table import Table

MUTANTS = Table()
mutant, section = MUTANTS.mutant, MUTANTS.section

FWD, SCHEDULE, SOFTMAX, EPILOGUE = "fwd_wgmma.cu", "wgmma_schedule.cuh", "wgmma_softmax.cuh", "wgmma_epilogue.cuh"
CONFIG, COMMON = "wgmma_config.cuh", "fl4_common.cuh"

OPEN = "open.end = keys_seen(p, t, row) / BN;"
RENEWED = "    renew(rows, weights, sums, s, score_scale(p),"
STEADY = "weigh(weights, sums, s, rows.reference[0], rows.reference[1], score_scale(p))"
HIGHEST = "largest = max_f32(largest, max_f32(s[4 * i + 2 * half], s[4 * i + 2 * half + 1]))"
STORE = "store_global_128_if(at < queries(p, t) && chunk < D / 8, o"

section("Schedule")
mutant("kv-head-interleaved", "query heads share key heads in turns instead of in groups",
       SCHEDULE, "t.h / (p.Hq / p.Hkv)", "t.h % p.Hkv", run(HEADS))
mutant("batch-by-key-heads", "the batch is counted in key heads",
       SCHEDULE, ": head / heads_of_batch;", ": head / p.Hkv;", run(HEADS))
mutant("row-tile-of-group", "row tiles begin as far apart as one group's rows",
       SCHEDULE, "t.row0 = tile * BM", "t.row0 = tile * GROUP_ROWS", run(ROWS, PAIR))
mutant("row-tile-late", "causal: each number is the next row tile",
       SCHEDULE, "tile = p.row_tiles - 1 - place / heads", "tile = p.row_tiles - place / heads", run(SECTIONS))
mutant("section-not-counted", "every section starts at head 0",
       SCHEDULE, "first_head = section * p.section_heads", "first_head = 0", run(SECTIONS))
mutant("section-of-one-head", "the sections' heads overlap",
       SCHEDULE, "first_head = section * p.section_heads", "first_head = section", run(SECTIONS))
mutant("section-last-too-wide", "the last section has as many heads as the others",
       SCHEDULE, "min_i32(p.section_heads, grid_heads(p) - first_head)", "p.section_heads", run(SECTIONS))
mutant("section-one-head-again", "all row tiles of a section are its first head's",
       SCHEDULE, "head = first_head + place % heads", "head = first_head", run(SECTIONS))
mutant("section-in-row-tiles", "a section has as many row tiles as heads",
       SCHEDULE, "section_tiles = p.section_heads * p.row_tiles", "section_tiles = p.section_heads", run(SECTIONS))
mutant("in-turn-neighbour", "each block goes on with its neighbour's row tile",
       SCHEDULE, "return number + grid_blocks();", "return number + 1;", run(ROWS, IN_TURN, device="emu:2"))
mutant("in-turn-too-far", "a block leaves every other row tile of its own out",
       SCHEDULE, "return number + grid_blocks();", "return number + 2 * grid_blocks();",
       run(ROWS, IN_TURN, device="emu:2"))
mutant("one-row-tile-too-many", "a block goes on to the row tile behind the last",
       SCHEDULE, "for (; number < row_tiles(p);", "for (; number <= row_tiles(p);",
       run(ROWS, IN_TURN))
mutant("ticket-from-1", "tickets begin at a row tile that another block began with",
       SCHEDULE, "return grid_blocks() + (int)atomic", "return 1 + (int)atomic",
       run(SECTIONS, TICKET, device="emu:2"))
mutant("ticket-wraps-early", "the ticket comes back to 0 one draw before the last",
       SCHEDULE, "row_tiles(p) - 1);", "row_tiles(p) - 2);", run(SECTIONS, TICKET, device="emu:2"))
mutant("ticket-wraps-late", "the ticket is not 0 after the launch",
       SCHEDULE, "row_tiles(p) - 1);", "row_tiles(p));", run(SECTIONS, TICKET))
mutant("ticket-for-each-tile", "a ticket is drawn for each key tile",
       FWD, "if (tile == min_i32(last, first_tile(t) + 1)) number", "number", run("hq3sq100sk150d16", TICKET, device="emu:2"))
mutant("ticket-not-drawn", "a block draws no ticket when the last row tile is its own",
       SCHEDULE, "  return grid_blocks() + (int)",
       "  if (number == row_tiles(p) - 1) return row_tiles(p);\n  return grid_blocks() + (int)",
       run(SECTIONS, TICKET))
mutant("told-in-first-place", "the producer writes down each row tile in the first place",
       SCHEDULE, "to = pipe.told + n % TOLD * TOLD_BYTES", "to = pipe.told",
       run(ROWS, IN_TURN))
mutant("told-read-from-first-place", "what is told is read from the first place",
       SCHEDULE, "from = pipe.told + n % TOLD * TOLD_BYTES", "from = pipe.told",
       run(ROWS, IN_TURN))
mutant("told-key-head", "the key head is told in place of the query head",
       SCHEDULE, "{(u32)t.b, (u32)t.h, ", "{(u32)t.b, (u32)t.h_kv, ", run(HEADS, IN_TURN))
mutant("told-swapped", "batch and head are taken for each other",
       SCHEDULE, "t.b = (int)words[0], t.h = (int)words[1]", "t.b = (int)words[1], t.h = (int)words[0]",
       run(HEADS, IN_TURN))
mutant("told-row-stays", "the first row is not heard",
       SCHEDULE, "t.row0 = (int)words[2], ", "", run(ROWS, IN_TURN))
mutant("told-key-tiles-stay", "causal: the number of key tiles is not heard",
       SCHEDULE, ", t.key_tiles = (int)words[3];", ";", run(CAUSAL, IN_TURN))
mutant("told-once-too-often", "what is told second is heard first",
       FWD, "hear_tile(p, pipe, next, n + TELLS_FIRST)", "hear_tile(p, pipe, next, n + 1)", run(ROWS, IN_TURN))
mutant("told-end-not-noticed", "the end counts as one more row tile",
       SCHEDULE, "return t.key_tiles > 0;", "return true;", run(ROWS, IN_TURN))
mutant("partial-key-tile-dropped", "keys that fill no tile are left out",
       SCHEDULE, "(keys_seen(p, t, t.row0 + BM - 1) + BN - 1) / BN", "keys_seen(p, t, t.row0 + BM - 1) / BN", run(KEYS))
mutant("walk-one-key-short", "causal: the last row's last key is in no tile",
       SCHEDULE, "keys_seen(p, t, t.row0 + BM - 1)", "keys_seen(p, t, t.row0 + BM - 2)", run("hq1sq64sk97d16:causal"))
mutant("walk-of-first-group", "causal: key tiles are as many as the first group needs",
       SCHEDULE, "keys_seen(p, t, t.row0 + BM - 1)", "keys_seen(p, t, t.row0 + GROUP_ROWS - 1)", run(CAUSAL, PAIR))
mutant("row-tile-without-keys", "causal: a row tile that sees no key has no key tile, and so is not computed",
       SCHEDULE, "max_i32(1, (keys_seen(p, t, t.row0 + BM - 1) + BN - 1) / BN)",
       "(keys_seen(p, t, t.row0 + BM - 1) + BN - 1) / BN",
       run(UNSEEN))
mutant("row-tile-of-before", "the output is written to the next row tile's rows",
       FWD, "      finish(rows, t, t.row0", "      finish(rows, next, next.row0", run(ROWS, IN_TURN))
mutant("key-tiles-of-before", "causal: the next row tile is walked as the one before",
       FWD, "t = next, tile = t.key_tiles - 1, open", "tile = t.key_tiles - 1, t = next, open", run(CAUSAL, IN_TURN))

section("Masks")
mutant("mask-one-too-wide", "the causal mask shows one key too many",
       SCHEDULE, "diagonal(p, t, row) + 1);", "diagonal(p, t, row) + 2);", run(CAUSAL))
mutant("mask-one-too-narrow", "the causal mask hides the diagonal",
       SCHEDULE, "diagonal(p, t, row) + 1);", "diagonal(p, t, row));", run(CAUSAL))
mutant("mask-top-left", "the causal mask is aligned top-left",
       SCHEDULE, "row / PACK + (keys(p, t) - queries(p, t));", "row / PACK;", run(CAUSAL))
mutant("mask-skipped", "no tile is masked",
       FWD, "      mask_scores(s, p, t, t.row0 + lane_row, at * BN);\n", "", run(KEYS), run(CAUSAL))
mutant("mask-at-equal", "the first key that is not seen is shown",
       SOFTMAX, "8 * i + e >= seen ||", "8 * i + e > seen ||", run(KEYS))
mutant("mask-hides-last", "the last key that is seen is hidden",
       SOFTMAX, "8 * i + e >= seen ||", "8 * i + e >= seen - 1 ||", run(KEYS))
mutant("mask-of-upper-rows", "rows 8 to 15 are masked as rows 0 to 7",
       SOFTMAX, "seen = keys_seen(p, t, row + 8 * half) - first", "seen = keys_seen(p, t, row) - first", run(CAUSAL))
mutant("mask-of-other-half", "rows 0 to 7 are masked as rows 8 to 15, and the other way round",
       SOFTMAX, "float &x = s[4 * i + 2 * half + e];", "float &x = s[4 * i + 2 * (1 - half) + e];", run(CAUSAL))
mutant("mask-of-lane", "a lane's keys are taken to be those of a lane with every key",
       SOFTMAX, "key0 + 2 * (lane() % 4)", "key0 + lane() % 4", run(CAUSAL))
mutant("mask-of-odd-keys", "every other key is not masked",
       SOFTMAX, "for (int e = 0; e < 2; e++) {\n        float", "for (int e = 0; e < 1; e++) {\n        float", run(KEYS))
mutant("mask-of-first-row-tile", "all row tiles are masked as the first",
       FWD, "mask_scores(s, p, t, t.row0 + lane_row,", "mask_scores(s, p, t, lane_row,", run(CAUSAL))
mutant("mask-of-first-group", "all groups are masked as the first",
       FWD, "mask_scores(s, p, t, t.row0 + lane_row,", "mask_scores(s, p, t, t.row0 + lane_row % GROUP_ROWS,",
       run(CAUSAL, PAIR))
mutant("mask-of-first-warp", "all warps of a group are masked as its first",
       FWD, "mask_scores(s, p, t, t.row0 + lane_row,", "mask_scores(s, p, t, t.row0 + group * GROUP_ROWS + lane() / 4,",
       run(CAUSAL))
mutant("mask-by-wrong-tile", "a tile is masked as its neighbour",
       FWD, "mask_scores(s, p, t, t.row0 + lane_row, at * BN);", "mask_scores(s, p, t, t.row0 + lane_row, (at + 1) * BN);", run(CAUSAL))
mutant("open-one-too-many", "the first tile that needs a mask gets none",
       SOFTMAX, "tile < end &&", "tile <= end &&", run(KEYS))
mutant("open-partial", "a partial tile counts as one that needs no mask",
       SOFTMAX, OPEN, OPEN.replace(" / BN", " / BN + 1"), run(KEYS))
mutant("open-by-second-row", "a tile needs no mask if the second row sees all of it",
       SOFTMAX, OPEN, OPEN.replace("row)", "row + 1)"), run("hq1sq64sk110d16:causal"))
mutant("open-by-first-group", "a tile needs no mask if the last group's first row sees all of it",
       SOFTMAX, "row = t.row0 + group * GROUP_ROWS;", "row = t.row0 + (GROUPS - 1) * GROUP_ROWS;",
       run("hq1sq128sk150d16:causal", PAIR))
mutant("open-of-before", "the next row tile's masks begin where those of the one before did",
       FWD, ", open = open_tiles(p, t, group), slope", ", slope", run(CAUSAL, IN_TURN))
mutant("open-by-last-row", "a tile needs no mask if the last row sees all of it",
       SOFTMAX, OPEN, OPEN.replace("row)", "row + GROUP_ROWS - 1)"), run(CAUSAL, IN_TURN))

section("References and sums")
mutant("scale-off", "the scale is 2 % too large where references are tried as they stand",
       SOFTMAX, STEADY, STEADY.replace("scale(p)", "scale(p) * 1.02f"), run(LONG))
mutant("scale-off-anew", "the scale is 2 % too large where maxima are taken",
       SOFTMAX, RENEWED, RENEWED.replace("scale(p)", "scale(p) * 1.02f"), run(KEYS))
mutant("scale-missing-in-maximum", "the maximum is that of the scores before they are scaled",
       SOFTMAX, "row_max(largest) * scale", "row_max(largest)", run(KEYS, inputs="large"))
mutant("no-redo", "weights beyond the limit are used as they are",
       SOFTMAX, "  if (!good) {", "  if (!good && course == BEGINNING) {", run(LONG, inputs="large"),
       run(LONG, inputs="shrinking"))
mutant("no-redo-when-warned", "the second time weights beyond the limit are used as they are",
       SOFTMAX, "  if (!good) {", "  if (!good && course != WARNED) {", run(LONG, inputs="shrinking"))
mutant("no-redo-when-rising", "where scores rise there are no weights",
       SOFTMAX, "  if (!good) {", "  if (!good && course != RISING) {", run("hq1sq65sk400d16", inputs="shrinking"))
mutant("limit-infinite", "no sum is beyond the limit",
       CONFIG, "SUM_LIMIT = BN > 128 ? BN / 4 : 32", "SUM_LIMIT = 1e38f", run(LONG, inputs="shrinking"))
mutant("limit-of-upper-rows", "only rows 0 to 7 are held to the limit",
       SOFTMAX, "sums[0] <= SUM_LIMIT && sums[1] <= SUM_LIMIT", "sums[0] <= SUM_LIMIT", run(MANY, IN_TURN, "large"))
mutant("limit-of-lower-rows", "only rows 8 to 15 are held to the limit",
       SOFTMAX, "sums[0] <= SUM_LIMIT && sums[1] <= SUM_LIMIT", "sums[1] <= SUM_LIMIT", run(MANY, IN_TURN, "large"))
mutant("vote-missing", "each lane decides for itself whether maxima are taken",
       SOFTMAX, "return warp_any(!(sums", "return (!(sums", run(LONG, inputs="large"))
mutant("vote-missing-above", "each row decides for itself whether references move",
       SOFTMAX, "if (warp_any(above))", "if (above)", run(KEYS, inputs="large"), run(CAUSAL))
mutant("above-reversed", "references move if the maximum is below",
       SOFTMAX, "highest[half] > rows.reference", "highest[half] < rows.reference", run(ROWS))
mutant("above-of-lower-rows", "references move if rows 8 to 15 want it",
       SOFTMAX, "above |= highest", "above = highest", run(MANY, IN_TURN, "large"))
mutant("slack-too-large", "where scores rise references never move again",
       CONFIG, "RISING_SLACK = 4.f", "RISING_SLACK = 1e9f", run("hq1sq65sk400d16", inputs="shrinking"))
mutant("maximum-may-fall", "the new reference is the maximum of the tile only",
       SOFTMAX, "now = max_f32(before, highest[half])", "now = highest[half]", run(KEYS, inputs="large"))
mutant("maximum-of-two-lanes", "the maximum is shared by two of the four lanes of a row",
       COMMON, "return max_f32(x, shuffle_xor(x, 2));", "return x;", run(KEYS))
mutant("maximum-of-each-lane", "each lane takes its own maximum",
       SOFTMAX, "row_max(largest) * scale", "largest * scale", run(KEYS))
mutant("maximum-of-even-keys", "every other score is left out of the maximum",
       SOFTMAX, HIGHEST, "largest = max_f32(largest, s[4 * i + 2 * half])", run(KEYS, inputs="large"))
mutant("maximum-of-other-half", "the maximum is that of the other eight rows",
       SOFTMAX, HIGHEST, HIGHEST.replace("2 * half", "2 * (1 - half)"), run(KEYS, inputs="large"))
mutant("maximum-of-first-keys", "only the tile's first 8 keys are looked at for the maximum",
       SOFTMAX, "    for (int i = 1; i < BN / 8; i++) largest", "    for (int i = 1; i < 1; i++) largest",
       run(KEYS, inputs="large"))
mutant("reference-not-kept", "the new reference is forgotten",
       SOFTMAX, "      rows.reference[half] = now;\n", "", run(ROWS))
mutant("reference-infinite", "a row without a key yet subtracts -inf from -inf",
       SOFTMAX, "weigh(weights, sums, s, finite_reference(rows.reference[0]),",
       "weigh(weights, sums, s, rows.reference[0],", run(UNSEEN))
mutant("reference-infinite-in-factor", "the same where the output so far is rescaled",
       SOFTMAX, "exp2_approx(before - finite_reference(now))", "exp2_approx(before - now)", run(UNSEEN), run(CAUSAL))
mutant("references-swapped", "rows 0 to 7 are weighed by the references of rows 8 to 15",
       SOFTMAX, "const float reference[2] = {reference0, reference1};",
       "const float reference[2] = {reference1, reference0};", run(KEYS))
mutant("output-not-rescaled", "the output so far is not brought to the new reference",
       SOFTMAX, "rows.o[i] *= factor[i / 2 % 2];", ";", run(KEYS, inputs="shrinking"))
mutant("sum-not-rescaled", "the sum so far is not brought to the new reference",
       SOFTMAX, "      rows.sum[half] *= factor[half];\n", "", run(KEYS, inputs="shrinking"))
mutant("rescale-of-other-rows", "the other eight rows are rescaled",
       SOFTMAX, "factor[i / 2 % 2]", "factor[1 - i / 2 % 2]", run(CAUSAL))
mutant("rescale-by-columns", "even columns are rescaled as rows 0 to 7, odd ones as rows 8 to 15",
       SOFTMAX, "factor[i / 2 % 2]", "factor[i % 2]", run(CAUSAL))
mutant("rescale-unless-0", "factors of 0 are taken to mean that there is no output yet; but references may rise that far",
       SOFTMAX, "output |= before != MINUS_INFINITY", "output |= factor[half] != 0.f", run(CAUSAL, inputs="large"))
mutant("rescale-none-yet", "the output is rescaled where there is none, and nowhere else",
       SOFTMAX, "if (warp_any(", "if (!warp_any(", run(KEYS, inputs="shrinking"), nth=2)
mutant("weights-swapped", "neighbouring weights are swapped",
       SOFTMAX, "pack_2(a, b)", "pack_2(b, a)", run(KEYS))
mutant("weights-of-other-half", "the weights of rows 0 to 7 are where those of rows 8 to 15 belong",
       SOFTMAX, "weights[2 * i + half] = pack", "weights[2 * i + 1 - half] = pack", run(KEYS))
mutant("sum-of-last-keys", "only a tile's last keys are summed",
       SOFTMAX, "i == 0 ? a + b : sums[half] + (a + b)", "a + b", run(KEYS))
mutant("sum-of-even-keys", "every other key is summed",
       SOFTMAX, "i == 0 ? a + b : sums[half] + (a + b)", "i == 0 ? a : sums[half] + a", run(KEYS))
mutant("sum-of-last-tile", "the sum is that of the last tile",
       SOFTMAX, "rows.sum[half] += sums[half];", "rows.sum[half] = sums[half];", run(KEYS))
mutant("sum-of-upper-rows", "the sums of rows 8 to 15 are not kept",
       SOFTMAX, "for (int half = 0; half < 2; half++) rows.sum[half] += ",
       "for (int half = 0; half < 1; half++) rows.sum[half] += ", run(KEYS))
mutant("not-cleared", "a row tile begins with the output of the one before",
       FWD, "      clear(rows);\n", "", run(ROWS, IN_TURN))
mutant("output-not-cleared", "the same, with sums and references of its own",
       SOFTMAX, "rows.o[i] = 0.f;", ";", run(ROWS, IN_TURN))
mutant("reference-not-cleared", "a row tile begins with the references of the one before",
       SOFTMAX, ", rows.reference[half] = MINUS_INFINITY;", ";", run(SECTIONS, IN_TURN, "mixed"),
       run(MANY, IN_TURN, "large"))

section("Rows and output")
mutant("not-divided", "the output is not divided by the sum",
       EPILOGUE, "inverse = inverse_sum(end.sum) * end.factor;", "inverse = 1.f;", run(KEYS))
mutant("unseen-row-divided", "the output of a row that sees no key is 0 / 0",
       COMMON, "l == 0.f ? 0.f : reciprocal", "reciprocal", run(UNSEEN))
mutant("row-sum-of-one-lane", "each lane of a row takes its own sum for the row's",
       EPILOGUE, "row_sum(rows.sum[half])", "rows.sum[half]", run(KEYS))
mutant("row-sum-of-two-lanes", "the sums of two of the four lanes of a row count",
       COMMON, "return x + shuffle_xor(x, 2);", "return x;", run(KEYS))
mutant("row-sum-of-other-half", "rows 8 to 15 are divided by the sums of rows 0 to 7",
       EPILOGUE, "row_sum(rows.sum[half])", "row_sum(rows.sum[0])", run(KEYS))
mutant("columns-swapped", "neighbouring columns of the output are swapped",
       EPILOGUE, "pack_2(rows.o[4 * c + 2 * half] * inverse, rows.o[4 * c + 2 * half + 1] * inverse)",
       "pack_2(rows.o[4 * c + 2 * half + 1] * inverse, rows.o[4 * c + 2 * half] * inverse)", run(KEYS))
mutant("rows-swapped", "rows 8 to 15 are written with the output of rows 0 to 7",
       EPILOGUE, "rows.o[4 * c + 2 * half] * inverse", "rows.o[4 * c] * inverse", run(KEYS))
mutant("columns-not-gathered", "each lane writes its own scattered columns as neighbours",
       EPILOGUE, "      transpose(x);\n", "", run("hq1sq64sk100d32"))
mutant("transpose-odd-lanes", "the first exchange goes the wrong way round",
       EPILOGUE, "bool odd = lane() % 2,", "bool odd = !(lane() % 2),", run("hq1sq64sk100d32"))
mutant("transpose-upper-lanes", "the second exchange goes the wrong way round",
       EPILOGUE, "upper = lane() / 2 % 2;", "upper = lane() % 2;", run("hq1sq64sk100d32"))
mutant("transpose-with-neighbour", "both exchanges are with the same neighbour",
       EPILOGUE, "upper ? x[i] : x[i + 2], 2)", "upper ? x[i] : x[i + 2], 1)", run("hq1sq64sk100d32"))
mutant("transpose-with-other-row", "the second exchange is with a lane of another row",
       EPILOGUE, "upper ? x[i] : x[i + 2], 2)", "upper ? x[i] : x[i + 2], 4)", run("hq1sq64sk100d32"))
mutant("transpose-of-first-pair", "half of the first exchange is left out",
       EPILOGUE, "for (int i = 0; i < 4; i += 2)", "for (int i = 0; i < 2; i += 2)", run("hq1sq64sk100d32"))
mutant("chunks-one-behind", "each lane writes the chunk of the lane before",
       EPILOGUE, "chunk = first + lane() % 4", "chunk = first + (lane() + 1) % 4", run("hq1sq64sk100d32"))
mutant("chunk-guard-removed", "D = 72: what is behind a row is written",
       EPILOGUE, STORE, STORE.replace(" && chunk < D / 8", ""), run("hq1sq64sk48d72"))
mutant("chunk-guard-off-by-one", "D = 72: one chunk behind a row is written",
       EPILOGUE, STORE, STORE.replace("chunk <", "chunk <="), run("hq1sq64sk48d72"))
mutant("chunk-guard-too-near", "D = 72: a row's last chunk is not written",
       EPILOGUE, STORE, STORE.replace("D / 8", "D / 8 - 1"), run("hq1sq64sk48d72"))
mutant("o-guard-removed", "rows past the end of O are written",
       EPILOGUE, STORE, STORE.replace("at < queries(p, t) && ", ""), run(ROWS))
mutant("o-guard-off-by-one", "one row past the end of O is written",
       EPILOGUE, STORE, STORE.replace("at <", "at <="), run(ROWS))
mutant("o-rows-of-lower-half", "rows 8 to 15 are written over rows 0 to 7",
       EPILOGUE, "at = (row + 8 * half) / PACK", "at = row / PACK", run(KEYS))
mutant("o-rows-of-first-tile", "all row tiles but the last are written over the first",
       FWD, "      finish(rows, t, t.row0 + lane_row, p);", "      finish(rows, t, lane_row, p);", run(ROWS, IN_TURN))
mutant("o-rows-of-first-group", "all groups write over the first one's rows",
       FWD, "warp_row = group * GROUP_ROWS + thread_index()", "warp_row = thread_index()", run(ROWS, PAIR))
mutant("o-rows-of-first-warp", "all warps of a group write over the first one's rows",
       FWD, "thread_index() % 128 / 32 * 16, lane_row", "0, lane_row", run(KEYS))
mutant("o-strides-of-q", "O is written by the row stride of Q",
       EPILOGUE, "(at * p.o_stride[2] +", "(at * p.q_stride[2] +", run("hq2sq64d16:packed"))
mutant("o-of-first-head", "O of all heads is written over the first one's",
       EPILOGUE, " + t.h * p.o_stride[1] +", " +", run(HEADS))
mutant("o-of-first-batch", "O of all sequences is written over the first one's",
       EPILOGUE, "(b * p.o_stride[0] + t.h", "(t.h", run(HEADS))
mutant("lse-guard-removed", "the log-sum-exp of rows past the end is written",
       EPILOGUE, "if (lane() % 4 == 0 && at < queries(p, t)) store", "if (lane() % 4 == 0) store", run(ROWS))
mutant("lse-always", "the log-sum-exp is written where none is wanted",
       EPILOGUE, "    if (!LSE || !p.lse) continue;\n", "", run(KEYS))
mutant("lse-rows-near", "the log-sum-exps of rows are written two bytes apart",
       EPILOGUE, "head * p.lse_stride[1]) * 4, value", "head * p.lse_stride[1]) * 2, value", run(ROWS))
mutant("lse-of-first-head", "the log-sum-exp of all heads is written over the first one's",
       EPILOGUE, " + t.h * p.lse_stride[1] +", " +", run(ROWS, IN_TURN))
mutant("lse-of-upper-rows", "rows 8 to 15 have the reference of rows 0 to 7",
       EPILOGUE, "p, t.h + head, rows.reference[half], l)", "p, t.h + head, rows.reference[0], l)", run(ROWS))
mutant("lse-of-one-lane", "the log-sum-exp is of one lane's sum",
       EPILOGUE, "log_sum_exp(end.reference, end.sum)", "log_sum_exp(end.reference, rows.sum[half])",
       run(ROWS))
mutant("lse-unseen-row", "the log-sum-exp of a row that sees no key is not -inf",
       COMMON, "l == 0.f ? MINUS_INFINITY : l", "l", run(UNSEEN))

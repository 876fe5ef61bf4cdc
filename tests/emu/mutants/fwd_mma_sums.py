# SPDX-License-Identifier: Apache-2.0
"""Mutants of fwd_mma: masks, weights and sums, how warps and blocks put theirs together, and what comes out."""
from .fwd_mma_runs import (
    ROWS32, SLICES, BROAD, WEAVE, FULL, GROUPS2, GROUPS4, SPLIT2, SPLIT4, WHOLE, LONG, PARTIAL, CAUSAL,
    UNSEEN, FEW, BF16, run, variant,
)
from .table import Table

MUTANTS = Table()
mutant, section = MUTANTS.mutant, MUTANTS.section

PRODUCTS, RING = "mma_products.cuh", "mma_ring.cuh"
FWD, SCHEDULE, MASK, SOFTMAX = "fwd_mma.cu", "fl4_schedule.cuh", "fl4_mask.cuh", "fl4_softmax.cuh"
EPILOGUE, CONFIG, MERGE, COMMON = "fl4_epilogue.cuh", "fl4_config.cuh", "fl4_merge.cuh", "fl4_common.cuh"

STORE = "  store_partial(GlobalPieces{parts + block_index() % SPLITS * PARTIAL_BYTES}, rows);\n"
RELEASE = "  warp_barrier();\n  bool last = false;\n  if (lane() == 0) {\n    gpu_fence();\n"
DRAW = "    last = atomic_wrapping_increment(workspace + row_warp * 4, SPLITS - 1) == SPLITS - 1;\n"
ACQUIRE = "    if (last) gpu_fence();\n  }\n  if (!warp_any(last)) return false;\n  warp_barrier();\n"

section("Masks")
mutant("mask-one-too-wide", "the causal mask shows one key too many",
       MASK, "lane() / 4 + w.shift + 1 - first", "lane() / 4 + w.shift + 2 - first", run(CAUSAL))
mutant("mask-one-too-narrow", "the causal mask hides the diagonal",
       MASK, "lane() / 4 + w.shift + 1 - first", "lane() / 4 + w.shift - first", run(CAUSAL))
mutant("mask-top-left", "the causal mask is aligned top-left",
       SCHEDULE, "w.shift = keys(p, w) - queries(p, w)", "w.shift = 0", run(CAUSAL))
mutant("mask-of-first-warp", "all warps mask by the first warp's rows",
       FWD, "mask_scores(s, p, w, row0,", "mask_scores(s, p, w, w.row0,", run(CAUSAL))
mutant("mask-of-tile-above", "rows 8 to 15 are masked as rows 0 to 7",
       MASK, "seen + m * 16 + half * 8", "seen + m * 16", run(CAUSAL))
mutant("mask-of-upper-16", "32 rows a warp: the lower 16 are masked as the upper",
       MASK, "seen + m * 16 + half * 8", "seen + half * 8", run(CAUSAL, ROWS32))
mutant("mask-by-wrong-tile", "a tile is masked as its neighbour",
       RING, "FIRST_KEY(w, tile) + key_group()", "FIRST_KEY(w, tile + 1) + key_group()", run(CAUSAL))
mutant("mask-of-first-slice", "each slice of a tile is masked as the first",
       FWD, "mask_scores(s, p, w, row0, key0 + slice * SLICE)", "mask_scores(s, p, w, row0, key0)",
       run(CAUSAL, SLICES))
mutant("mask-of-first-group", "each key group masks as the first",
       RING, "FIRST_KEY(w, tile) + key_group() * GROUP_KEYS;", "FIRST_KEY(w, tile);", run(CAUSAL, GROUPS2))
mutant("mask-skipped", "no tile is masked",
       FWD, "    mask_scores(s, p, w, row0, key0 + slice * SLICE);\n", "", run(PARTIAL), run(CAUSAL))
mutant("masked-slice-dropped", "a slice of which the warp's last row sees one key is left out",
       FWD, "row0 + WARP_ROWS + w.shift)", "row0 + WARP_ROWS + w.shift - 1)", run("hq1sq32sk33d16:causal:lse"))
mutant("masked-slice-dropped-at-end", "a slice that has only the last key is left out",
       FWD, "row0 + WARP_ROWS + w.shift) : keys(p, w)", "row0 + WARP_ROWS + w.shift) : keys(p, w) - 1",
       run("hq1sq20sk17d16:lse", SLICES))
mutant("masked-values-of-first-slice", "the values of the first slice are taken for each slice with a mask",
       FWD, "begin_values(v_slot(lane_at.v, at.v) + slice * SLICE * ROW_BYTES);\n    renew",
       "begin_values(v_slot(lane_at.v, at.v));\n    renew", run(CAUSAL, SLICES))
mutant("partial-tile-open", "a partial tile counts as one that needs no mask",
       SCHEDULE, "w.exact = w.tiles - all / BN", "w.exact = w.tiles - (all + BN - 1) / BN", run(PARTIAL))
mutant("end-one-too-far", "one key past the end counts",
       MASK, "present = keys(p, w) - first", "present = keys(p, w) - first + 1", run(PARTIAL))
mutant("end-one-too-near", "the last key does not count",
       MASK, "present = keys(p, w) - first", "present = keys(p, w) - first - 1", run(PARTIAL))
mutant("open-by-last-row", "a tile needs no mask if the last row sees all of it",
       SCHEDULE, "w.row0 + 1 + w.shift", "w.row0 + BM + w.shift", run(CAUSAL))
mutant("open-one-too-many", "a tile needs no mask if the first row sees all but one key of it",
       SCHEDULE, "w.row0 + 1 + w.shift", "w.row0 + 2 + w.shift", run("hq1sq32sk46d16:causal"))
mutant("walk-one-key-short", "the last row's last key is in no tile",
       SCHEDULE, "w.row0 + BM + w.shift", "w.row0 + BM - 1 + w.shift", run("hq1sq32sk33d16:causal:lse"))

section("References and sums")
mutant("scale-off", "the scale is 2 % too large in the steady loop",
       FWD, "weigh(weights, sums, s, rows, score_scale(p),", "weigh(weights, sums, s, rows, score_scale(p) * 1.02f,",
       run(LONG))
mutant("scale-off-weaving", "the scale is 2 % too large where weights are woven in",
       FWD, "s[slice % 2], rows, score_scale(p))", "s[slice % 2], rows, score_scale(p) * 1.02f)", run(LONG, WEAVE))
mutant("scale-off-masked", "the scale is 2 % too large under a mask",
       FWD, "renew(rows, weights, sums, s, score_scale(p), p);\n    add",
       "renew(rows, weights, sums, s, score_scale(p) * 1.02f, p);\n    add", run(CAUSAL))
mutant("scale-natural-anew", "the scale lacks log2 e where weights are taken by the true maximum",
       FWD, "if (KEEP_SCORES && rising) rising = renew(rows, weights, sums, s, score_scale(p), p)",
       "if (KEEP_SCORES && rising) rising = renew(rows, weights, sums, s, score_scale(p) * 0.6931472f, p)", run(WHOLE))
mutant("scale-natural-once-more", "the same where the scores are computed once more",
       FWD, "    rising = renew(rows, weights, sums, s, score_scale(p), p)",
       "    rising = renew(rows, weights, sums, s, score_scale(p) * 0.6931472f, p)", run("hq1sq32sk640d16", FULL))
mutant("no-redo", "weights beyond the limit are used as they are",
       FWD, "rising = beyond_limit(weights, rows);", "rising = false;", run(LONG, inputs="large"))
mutant("no-redo-of-kept-scores", "weights beyond the limit are used as they are, with the scores at hand",
       FWD, "if (KEEP_SCORES && rising)", "if (false)", run(LONG, inputs="large"))
mutant("no-redo-once-more", "weights beyond the limit are used as they are, where the scores are gone",
       FWD, "if (!KEEP_SCORES && rising)", "if (false)", run("hq1sq32sk640d16", FULL, inputs="large"))
mutant("first-scores-not-kept", "the scores of the first slice are not computed where they would be kept",
       FWD, "if (KEEP_SCORES || !rising) {", "if (!rising) {", run(LONG))
mutant("no-redo-weaving", "weaving: weights beyond the limit are used as they are",
       FWD, "if (beyond_limit(weights, rows)) renew(", "if (false) renew(", run(LONG, WEAVE))
mutant("redo-of-next-slice", "weaving: the scores that are taken by their true maximum are those of the next slice",
       FWD, "if (beyond_limit(weights, rows)) renew(rows, weights, sums, s[slice % 2],",
       "if (beyond_limit(weights, rows)) renew(rows, weights, sums, s[(slice + 1) % 2],", run(LONG, WEAVE))
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
       COMMON, "return max_f32(x, shuffle_xor(x, 2));", "return x;", run(WHOLE))
mutant("row-max-of-half", "every other score is left out of the maximum",
       SOFTMAX, "max_f32(largest, max_f32(s[m][n][2 * half], s[m][n][2 * half + 1]))",
       "max_f32(largest, s[m][n][2 * half])", run(LONG, inputs="large"))
mutant("unseen-row-nan", "a row without a key yet subtracts -inf from -inf",
       COMMON, "reference == MINUS_INFINITY ? 0.f : reference", "reference", run(CAUSAL))
mutant("sum-forgotten", "no weight is summed",
       PRODUCTS, "mma_16x8x16(rows.sum[m], weights[n][m], PACKED_ONES, PACKED_ONES);", "", run(WHOLE))
mutant("sum-of-half", "eight of sixteen keys are summed",
       PRODUCTS, "weights[n][m], PACKED_ONES, PACKED_ONES)", "weights[n][m], PACKED_ONES, 0)", run(WHOLE))
mutant("sum-of-even-keys", "every other key is summed",
       CONFIG, "0x3c003c00u", "0x00003c00u", run(WHOLE))
mutant("sum-of-first-fragment", "the first 16 keys of a slice are summed",
       PRODUCTS, "for (int m = 0; m < M16; m++) mma_16x8x16(rows.sum[m]",
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
       COMMON, "return x + shuffle_xor(x, 2);", "return x;", run(BF16))
mutant("row-sum-of-other-row", "lanes of different rows are added up",
       COMMON, "x += shuffle_xor(x, 1);", "x += shuffle_xor(x, 4);", run(BF16))
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
       FWD, "  if (KGROUPS > 1 || !Q_IN_REGISTERS) warp_barrier(); // its lanes have read what was there\n", "", run(WHOLE, GROUPS2))
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
       MERGE, STORE + RELEASE + DRAW + ACQUIRE, RELEASE + DRAW + ACQUIRE.replace("  if (!", STORE + "  if (!"),
       run(WHOLE, SPLIT2))
mutant("ticket-without-fence", "nothing orders the partial result before the ticket, for other multiprocessors",
       MERGE, RELEASE, RELEASE.replace("    gpu_fence();\n", ""), run(WHOLE, SPLIT2))
mutant("ticket-without-warp-barrier", "the ticket is drawn before all lanes have stored",
       MERGE, RELEASE, RELEASE.replace("  warp_barrier();\n", ""), run(WHOLE, SPLIT2))
mutant("ticket-fence-too-early", "the fence covers the stores of the lane that draws the ticket, not the other lanes'",
       MERGE, RELEASE, "  if (lane() == 0) gpu_fence();\n" + RELEASE.replace("    gpu_fence();\n", ""),
       run(WHOLE, SPLIT2))
mutant("merge-without-fence", "nothing orders the ticket before the reading",
       MERGE, ACQUIRE, ACQUIRE.replace("    if (last) gpu_fence();\n", ""), run(WHOLE, SPLIT2))
mutant("merge-without-warp-barrier", "nothing orders the fence of the lane that drew the ticket before the others read",
       MERGE, ACQUIRE, ACQUIRE.replace("  warp_barrier();\n", ""), run(WHOLE, SPLIT2))
mutant("ticket-not-reset", "the ticket goes one further than it should, and is not 0 for the next launch",
       MERGE, "row_warp * 4, SPLITS - 1)", "row_warp * 4, SPLITS)", run(WHOLE, SPLIT2))
mutant("ticket-of-each-lane", "each lane draws a ticket",
       MERGE, "  if (lane() == 0) {\n", "  {\n", run(WHOLE, SPLIT2))
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
       COMMON, "l == 0.f ? 0.f : ", "", run(UNSEEN))
mutant("unseen-row-lse", "the LSE of a row that saw no key is 0",
       COMMON, "l == 0.f ? MINUS_INFINITY", "l == 0.f ? 0.f", run(UNSEEN))
mutant("not-divided", "O is not divided by the sum",
       EPILOGUE, "rows.o[m][n][2 * half] * inverse, b = rows.o[m][n][2 * half + 1] * inverse",
       "rows.o[m][n][2 * half], b = rows.o[m][n][2 * half + 1]", run(WHOLE))
mutant("lse-without-reference", "the LSE lacks the reference",
       COMMON, "(reference + log2_approx(l))", "log2_approx(l)", run(PARTIAL))
mutant("lse-base-2", "the LSE is in bits",
       COMMON, " * 0.6931471805599453f", "", run(PARTIAL))

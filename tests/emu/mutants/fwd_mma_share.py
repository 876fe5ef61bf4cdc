# SPDX-License-Identifier: Apache-2.0
"""Mutants of fwd_mma where four warps share their rows."""
from .table import Run, Table

MUTANTS = Table()
mutant, section = MUTANTS.mutant, MUTANTS.section

SHARE, CONFIG, RING, PTX = "mma_share.cuh", "fl4_config.cuh", "mma_ring.cuh", "fl4_ptx.cuh"


def variant(bm=64, bn=32, stages=2):
    return (f"fwd_mma:bm={bm},bn={bn},warps={bm // 16},stages={stages},qreg=0,slice={bn // 2},weave=0,kgroups=1,share=1,"
            f"splits=1,ctas=1")


TEAM, TEAMS, LONG_RING = variant(), variant(bm=128), variant(stages=3)


def run(problem, variant=TEAM, inputs="normal", mode="late", counts=False):
    return Run(problem, variant, inputs, mode, counts)


OPEN, CAUSAL, TALL = "hq1sq64sk160d64", "hq1sq100sk130d64:causal:lse", "hq1sq128sk96d64"
BF16, LSE = "hq1sq64sk160d64:bf16:lse", "hq1sq64sk160d64:lse"

section("Weights that warps share")
mutant("share-weights-of-first-team", "a team reads the first one's weights",
       SHARE, "tiles + team() * TEAM_ROWS * WEIGHT_ROW_BYTES", "tiles", run(TALL, TEAMS))
mutant("share-weights-of-first-warp", "warps leave their weights where the first one's go",
       SHARE, "tiles + (row_warp() * WARP_ROWS + lane() / 4)", "tiles + (lane() / 4)", run(OPEN))
mutant("share-weights-of-first-keys", "both halves of the keys go to the first",
       SHARE, "key_group() * S8 + 2 * n + i / 2", "2 * n + i / 2", run(OPEN))
mutant("share-weights-in-order", "weights are left in order, and read as swizzled",
       SHARE, "WeightSwizzle::offset(row, chunk) - row * WEIGHT_ROW_BYTES", "chunk * 16", run(OPEN))
mutant("share-weights-conflict", "and read in order, too: right, with bank conflicts",
       "fl4_swizzle.cuh", "(chunk ^ ((row >> SHIFT) & (GROUP - 1)))", "(CHUNKS_A_ROW == 4 ? chunk : chunk ^ ((row >> SHIFT) & (GROUP - 1)))",
       run("hq1sq64sk160d64"), run("hq1sq64sk160d64", counts=True))
mutant("share-one-buffer", "the next tile's weights are left where this tile's are read",
       SHARE, "buffer ^= 1;", "", run(OPEN))
mutant("share-read-next-buffer", "the next tile's are read",
       SHARE, "at.read + buffer * WEIGHT_TILE_BYTES, v =", "at.read + (buffer ^ 1) * WEIGHT_TILE_BYTES, v =", run(OPEN))
mutant("share-one-row-block", "rows 16 to 31 of a warp are left over the first 16",
       SHARE, "(m * 16 + i % 2 * 8) * WEIGHT_ROW_BYTES + offset", "(i % 2 * 8) * WEIGHT_ROW_BYTES + offset", run(OPEN))
mutant("share-keys-of-first", "all keys' weights are the first sixteen's",
       SHARE, "WeightSwizzle::along(weights, n + 1)", "WeightSwizzle::along(weights, 0)", run(OPEN))
mutant("share-tile-not-left", "the last weights of a tile are not left",
       SHARE, "if (n % 2 == 1 && c + 1 == COLUMNS16)", "if (n == 1 && c + 1 == COLUMNS16)", run(OPEN, variant(bn=64)))

section("Columns and keys that they divide")
mutant("share-columns-of-first", "all warps have the first one's columns",
       SHARE, "^ (team_warp() * 32)", "^ 0", run(OPEN))
mutant("share-columns-in-order", "columns lie as if each warp had its own in a row",
       SHARE, "(n / 2 * TEAM_WARPS + team_warp()) * 2 + n % 2", "team_warp() * 2 * COLUMNS16 + n", run("hq1sq64sk64d128"))
mutant("share-half-the-keys", "both key groups take the first half",
       SHARE, "smem + key_group() * GROUP_KEYS * ROW_BYTES + lane_offset_k()", "smem + lane_offset_k()", run(OPEN))
mutant("share-queries-of-first", "all row warps take the first one's queries",
       SHARE, "row_warp() * WARP_ROWS * ROW_BYTES + lane_offset_q()", "lane_offset_q()", run(OPEN))
mutant("share-values-of-first-step", "each block of columns has the first one's values",
       SHARE, "(step + 1) % COLUMNS16 * 128", "0", run("hq1sq64sk64d128"))
mutant("share-values-of-first-keys", "and all keys the first sixteen's",
       SHARE, "(step + 1) / COLUMNS16 * 16 * ROW_BYTES", "0", run(OPEN))
mutant("share-seen-by-none", "a tile counts as hidden from rows that see its first key",
       SHARE, "key0 < row0 + rows + w.shift", "key0 + 1 < row0 + rows + w.shift", run("hq1sq64sk65d64:causal"), run(CAUSAL))
mutant("share-seen-by-first-row", "a tile is skipped that only the team's last rows see",
       SHARE, "any_seen(w, w.row0 + team() * TEAM_ROWS, TEAM_ROWS,", "any_seen(w, w.row0 + team() * TEAM_ROWS, 1,", run(CAUSAL))
mutant("share-seen-by-first-team", "teams skip what the first does not see",
       SHARE, "any_seen(w, w.row0 + team() * TEAM_ROWS, TEAM_ROWS,", "any_seen(w, w.row0, TEAM_ROWS,", run("hq1sq128sk128d64:causal", TEAMS))
mutant("share-unseen-scores", "scores that are not computed are 0",
       SHARE, "s[m][n][e] = MINUS_INFINITY;", "s[m][n][e] = 0.f;", run("hq1sq128sk128d64:causal", TEAMS), run(CAUSAL, TEAMS))

section("References that a block moves together")
mutant("share-never-moves", "weights beyond the limit are kept",
       SHARE, "move = must_move(rows);", "", run(OPEN, inputs="shrinking"), run(OPEN, inputs="sink"))
mutant("share-moves-alone", "a warp whose weights are good does not move with the others",
       SHARE, "move = block_any(move);", "block_any(false);", run(OPEN, inputs="shrinking"), run(OPEN, inputs="peaked"), run("hq2sq128sk320d64", TEAMS, inputs="onehot"))
mutant("share-masked-stale", "masked tiles are weighed by the references as they stand",
       SHARE, "move = next < w.exact || (WINDOW && next >= w.tail);", "move = false;", run("hq1sq128sk128d64:causal", TEAMS), run(CAUSAL, TEAMS))
mutant("share-own-maxima", "a row's reference is the maximum of the warp's half of the keys",
       SHARE, "max_f32(largest[m][half], other)", "largest[m][half]", run(OPEN, inputs="shrinking"))
mutant("share-maxima-of-own-group", "the other half's maximum is read where the own was left",
       SHARE, "(1 - key_group()) * BM * 4", "key_group() * BM * 4", run(OPEN, inputs="shrinking"))
mutant("share-maxima-too-early", "and before it is there",
       SHARE, "  block_barrier();\n#pragma unroll\n  for (int m = 0; m < M16; m++)\n#pragma unroll\n    for (int half = 0; half < 2; half++) {\n      const float other",
       "#pragma unroll\n  for (int m = 0; m < M16; m++)\n#pragma unroll\n    for (int half = 0; half < 2; half++) {\n      const float other",
       run(OPEN))
mutant("share-weights-too-early", "weights taken anew are read before they are there",
       SHARE, "  block_barrier();\n#pragma unroll\n  for (int m = 0; m < OUT_M16; m++)\n#pragma unroll\n    for (int half = 0; half < 2; half++) {\n      const float factor",
       "#pragma unroll\n  for (int m = 0; m < OUT_M16; m++)\n#pragma unroll\n    for (int half = 0; half < 2; half++) {\n      const float factor",
       run(OPEN))
mutant("share-output-not-rescaled", "the output stays as it was by the old references",
       SHARE, "rows.o[m][n][2 * half + e] *= factor;", "rows.o[m][n][2 * half + e] *= 1.f;", run(OPEN, inputs="shrinking"))
mutant("share-sums-not-rescaled", "the sums do",
       SHARE, "rows.sum[m][half] *= factor;", "", run(OPEN, inputs="shrinking"))
mutant("share-exact-not-rescaled", "the log-sum-exp's own sums do",
       SHARE, "if (EXACT_SUM) rows.exact[m][half] *= factor;", "", run(BF16, inputs="shrinking"))
mutant("share-factors-of-first-team", "teams rescale by the first one's factors",
       SHARE, "smem + FACTORS_OFFSET + (team() * TEAM_ROWS + m * 16 + half * 8 + lane() / 4) * 4));\n#pragma",
       "smem + FACTORS_OFFSET + (m * 16 + half * 8 + lane() / 4) * 4));\n#pragma",
       run("hq1sq128sk320d64", TEAMS, inputs="shrinking"), run("hq1sq128sk320d64", TEAMS, inputs="peaked"))
mutant("share-infinite-reference", "rows that have seen no key keep -inf while weights are taken",
       SHARE, "rows.reference[m][half] = finite_reference(now);", "rows.reference[m][half] = now;", run("hq1sq64sk20d64:causal"))

section("Sums and what comes out")
mutant("share-sums-before-move", "weights that are taken anew count twice",
       SHARE, "    if (move) move_references(rows, s, smem, at, buffer, scale, p);\n    count_tile(rows);\n",
       "    count_tile(rows);\n    if (move) move_references(rows, s, smem, at, buffer, scale, p), count_tile(rows);\n",
       run(OPEN, inputs="shrinking"))
mutant("share-sums-of-last", "of a tile's weights the last sixteen keys count",
       SHARE, "    if (n == 0)\n      mma", "    if (true)\n      mma", run("hq1sq64sk160d64", variant(bn=64)))
mutant("share-half-the-sum", "the other half's sum is not added",
       SHARE, "rows.sum[m][half] + float_from_bits(load_shared_32(row + MAXIMA_OFFSET + place))", "rows.sum[m][half]", run(OPEN))
mutant("share-half-the-exact-sum", "nor, to the log-sum-exp's own",
       SHARE, "if (EXACT_SUM) exact += float", "if (false) exact += float", run(BF16))
mutant("share-exact-of-lane", "and there each lane counts its own keys",
       SHARE, "const float exact = EXACT_SUM ? row_sum(rows.exact[m][half]) : 0.f;", "const float exact = rows.exact[m][half];", run(BF16))
mutant("share-divided-by-first", "all rows are divided by the first team's sums",
       SHARE, "FACTORS_OFFSET + (team() * TEAM_ROWS + of_team) * 4", "FACTORS_OFFSET + of_team * 4", run("hq1sq128sk96d64", TEAMS))
mutant("share-sums-too-early", "the other half's sum is read before it is there",
       SHARE, "  block_barrier();\n#pragma unroll\n  for (int m = 0; m < M16; m++)\n#pragma unroll\n    for (int half = 0; half < 2; half++) {\n      const int place = (m * 16 + half * 8) * 4;\n      float exact",
       "#pragma unroll\n  for (int m = 0; m < M16; m++)\n#pragma unroll\n    for (int half = 0; half < 2; half++) {\n      const int place = (m * 16 + half * 8) * 4;\n      float exact",
       run(OPEN))
mutant("share-output-too-early", "rows leave before all warps have put their columns there",
       SHARE, "  block_barrier();\n  const int first", "  const int first", run(OPEN))
mutant("share-output-of-first-team", "both teams' rows are put in the same place",
       SHARE, "smem + Q_OFFSET + team() * TEAM_ROWS * ROW_BYTES", "smem + Q_OFFSET", run("hq1sq128sk96d64", TEAMS))
mutant("share-rows-of-first-warp", "each warp writes the first sixteen rows",
       SHARE, "w.row0 + team() * TEAM_ROWS + first", "w.row0 + team() * TEAM_ROWS", run(OPEN))

section("Rings")
mutant("share-first-scores-too-early", "the first keys are not waited for",
       SHARE, "cp_async_wait<STAGES - 1>();", "cp_async_wait<STAGES>();", run(OPEN), run(OPEN, LONG_RING))
mutant("share-tiles-too-early", "nor, in a ring of three, the next",
       SHARE, "cp_async_wait<STAGES - 2>();", "cp_async_wait<STAGES - 1>();", run(OPEN, LONG_RING), run(OPEN))
mutant("share-keys-of-this-tile", "the next scores are this tile's",
       SHARE, "Slots slots = {1, 0, 0};", "Slots slots = {0, 0, 0};", run(OPEN), run(OPEN, LONG_RING))
mutant("share-no-group-for-queries", "queries and the first keys are in no group of their own",
       RING, "  if (SHARE) cp_async_commit();\n", "", run(OPEN, LONG_RING), run(OPEN))
mutant("share-values-not-ahead", "keys are loaded in step with values",
       RING, "AHEAD = WEAVE || SHARE", "AHEAD = WEAVE", run(OPEN))
mutant("share-weights-over-queries", "weights lie where the last queries are",
       CONFIG, "WEIGHTS_OFFSET = WALK_BYTES", "WEIGHTS_OFFSET = WALK_BYTES - 16", run(OPEN))
mutant("share-maxima-over-weights", "maxima lie where the last weights are",
       CONFIG, "MAXIMA_OFFSET = WEIGHTS_OFFSET + 2 * WEIGHT_TILE_BYTES", "MAXIMA_OFFSET = WEIGHTS_OFFSET + 2 * WEIGHT_TILE_BYTES - 64", run(OPEN), run(OPEN, inputs="shrinking"))

# SPDX-License-Identifier: Apache-2.0
"""Mutants of fwd_wgmma's groups that go by their own key tiles."""
from .fwd_wgmma_runs import run
from .table import Table

MUTANTS = Table()
mutant, section = MUTANTS.mutant, MUTANTS.section

OWN = "wgmma_own.cuh"

# Several row tiles a block, of groups that see unlike keys on the right, and on both sides; rows that see none.
TWO = "fwd_wgmma:groups=2,bn=48,stages=2,qbuf=1,pingpong=1,sched=1,splits=1,pack=1,own=1"
THREE = "fwd_wgmma:groups=3,bn=48,stages=2,qbuf=2,pingpong=1,sched=2,splits=1,pack=1,own=1"
FREE = "fwd_wgmma:groups=3,bn=48,stages=2,qbuf=1,pingpong=0,sched=1,splits=1,pack=1,own=1"
FOUR = "fwd_wgmma:groups=4,bn=48,stages=2,qbuf=1,pingpong=0,sched=2,splits=1,pack=1,own=1"
FREE4 = "fwd_wgmma:groups=4,bn=48,stages=2,qbuf=1,pingpong=0,sched=1,splits=1,pack=1,own=1"
NONE_SEEN = "b2hq4hkv2sq693sk71d16:causal"
CAUSAL, WINDOW, UNSEEN = "hq2sq400sk400d16:causal:lse", "hq2sq400sk420d16:window=60,10", "hq1sq400sk70d16:causal:lse"

section("Key tiles of a group")
mutant("own-last-tile-missing", "the last tile that only some rows see is passed",
       OWN, "keys_seen(p, t, row + GROUP_ROWS - 1)", "keys_seen(p, t, row)", run(CAUSAL, TWO))
mutant("own-rows-of-block", "a group goes by the first group's rows",
       OWN, "t.row0 + group * GROUP_ROWS;\n  return", "t.row0;\n  return", run(CAUSAL, TWO))
mutant("own-last-key", "a tile of which one key is seen is passed",
       OWN, "return tile * BN < keys", "return tile * BN < -1 + keys", run("hq1sq97sk97d16:causal", TWO), run("hq1sq100sk131d16:causal", TWO))
mutant("own-window-late", "the first tile that only some rows of a window see is passed",
       OWN, "first_seen(p, t, row));", "first_seen(p, t, row + GROUP_ROWS - 1));", run(WINDOW, TWO))
mutant("own-first-never", "the first tile has no scores",
       OWN, "  if (sees_tile(p, t, group, tile)) first_scores(s, q_tiles, k_tiles);\n", "", run(CAUSAL, TWO))
mutant("own-values-not-taken", "values are not taken where a row tile ends",
       OWN, "    if (takes) {\n", "    if (takes && !last) {\n", run(CAUSAL, TWO))
mutant("own-last-values-missing", "nor are the very last",
       OWN, "  if (sees_tile(p, t, group, tile)) {\n    wgmma_fence();", "  if (false) {\n    wgmma_fence();", run(CAUSAL, TWO))
mutant("own-scores-at-end-missing", "after the turns that come one by one there are no new scores",
       OWN, "    if (sees_tile(p, t, group, tile))\n      first_scores", "    if (!last)\n      first_scores", run(CAUSAL, TWO))
mutant("own-queries-of-before", "scores of the next row tile are of the queries before",
       OWN, "first_scores(s, q_tiles + n % QBUF * (GROUPS * Q_BYTES >> 4), k", "first_scores(s, q_tiles, k", run(CAUSAL, THREE))
mutant("own-keys-of-first-slot", "and of the keys in the first slot",
       OWN, "first_scores(s, q_tiles + n % QBUF * (GROUPS * Q_BYTES >> 4), k_tiles + k.slot * (TILE_BYTES >> 4))",
       "first_scores(s, q_tiles + n % QBUF * (GROUPS * Q_BYTES >> 4), k_tiles)", run(CAUSAL, TWO))

section("Passing")
mutant("own-passed-alone", "lanes pass tiles by themselves",
       OWN, "    warp_barrier();\n    if (takes)", "    if (takes)",
       run("hq1sq700sk700d16:window=0,0", FREE4, mode="early"))
mutant("own-first-passed-alone", "and the first one of all",
       OWN, "  warp_barrier();\n  if (sees_tile", "  if (sees_tile",
       run("b2hq4hkv2sq693sk71d16:window=-1,3", FOUR.replace("stages=2", "stages=3"), mode="early"))
mutant("own-values-kept", "values that are passed are not given back",
       OWN, "    release(pipe.v_empty, v.slot);\n    advance<STAGES>(v);\n    tile--;\n    if (last) {",
       "    if (takes) release(pipe.v_empty, v.slot);\n    advance<STAGES>(v);\n    tile--;\n    if (last) {", run(CAUSAL, TWO))
mutant("own-values-not-awaited", "values that are passed have not come yet",
       OWN, "    if (!v_here) wait_for(p, pipe.v_full, v);\n",
       "    if (!v_here && sees_tile(p, t, group, tile)) wait_for(p, pipe.v_full, v);\n", run(CAUSAL, FREE), run(UNSEEN, FREE))
mutant("own-keys-not-awaited", "nor have keys",
       OWN, "    if (!k_here) wait_for(p, pipe.k_full, k);\n",
       "    if (!k_here && (last || sees_tile(p, t, group, tile - 1))) wait_for(p, pipe.k_full, k);\n", run(CAUSAL, FOUR),
       run(NONE_SEEN, FOUR), run("hq2sq700sk700d16:window=20,0", FOUR))
mutant("own-turn-kept", "a group that passes keeps its turn",
       OWN, "    } else if (PINGPONG) {\n      named_barrier_arrive(next_turn, 256);\n    }\n", "    }\n", run(CAUSAL, TWO))
mutant("own-turn-not-taken", "a group that passes takes no turn",
       OWN, "    if (PINGPONG) named_barrier(my_turn, 256);\n    const bool",
       "    if (PINGPONG && sees_tile(p, t, group, tile)) named_barrier(my_turn, 256);\n    const bool", run(CAUSAL, TWO))
mutant("own-not-cleared", "a row tile begins with the output of the one before",
       OWN, "      clear(rows);\n", "", run(CAUSAL, TWO))
mutant("own-open-of-before", "and with its tiles that need no mask",
       OWN, " open = open_tiles(p, t, group), slope", " slope", run(CAUSAL, TWO))

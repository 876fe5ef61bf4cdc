# SPDX-License-Identifier: Apache-2.0
"""Mutants of fwd_wgmma: how tiles come and go, products, turns, registers, and which tiles a block computes."""
from .fwd_wgmma_runs import (
    IN_TURN, BOTH, PAIR, PAIR2, THREE, KEYS, ROWS, SHORT, PAGES, HEADS, run,
)
from .table import Table

MUTANTS = Table()
mutant, section = MUTANTS.mutant, MUTANTS.section

FWD, PIPELINE, SCHEDULE, CONFIG = "fwd_wgmma.cu", "wgmma_pipeline.cuh", "wgmma_schedule.cuh", "wgmma_config.cuh"

FIRST = "  wgmma_fence();\n  multiply_query_keys(s, q_tiles, k_tiles);\n  wgmma_wait<0>();\n  wgmma_arrived(s);\n"
VALUES = "    multiply_weights_values(rows.o, weights, v_tiles + v.slot * (TILE_BYTES >> 4));\n"
TURN = "    if (PINGPONG) named_barrier(my_turn, 256);\n    wgmma_fence();\n" + VALUES
NEXT_KEYS = (
    "    multiply_query_keys(s, q_tiles + n % QBUF * (GROUPS * Q_BYTES >> 4), k_tiles + k.slot * (TILE_BYTES >> 4));\n"
)
LAST = "  if (PINGPONG) named_barrier(my_turn, 256);\n  wgmma_fence();\n  multiply_weights_values"
VALUES_DONE = "    wgmma_wait<1>();\n    wgmma_arrived(rows.o);\n    release(pipe.v_empty, v.slot);\n"
SCORES_DONE = "    wgmma_wait<0>();\n    wgmma_arrived(s);\n  }\n"
READ_TOLD = "  load_shared_128(words, from);\n"
STORE_TOLD = "  store_shared_128(to, words);\n"
STORE_MORE = ("  if (TOLD_MORE) {\n"
              "    const u32 more[4] = {(u32)t.first_tile, (u32)t.s.queries, (u32)t.s.keys, (u32)t.s.first_query};\n"
              "    store_shared_128(to + 16, more);\n  }\n")
ARRIVE_TOLD = "  mbarrier_arrive(pipe.told_full + n % TOLD * 8);\n"
REST = "      if (tile == first_tile(t)) break;\n"
KEYS_OF_TILE = "load_keys(p, pipe, k, t, KEY_TILE(next, tile - 1) * BN, next)"
VALUES_OF_TILE = "pipe, v, t, KEY_TILE(here, tile) * BN, mended)"

section("Barriers in shared memory")
mutant("count-q-full", "queries: the barrier expects one arrival too many",
       PIPELINE, "p.q_full + 8 * i, 1)", "p.q_full + 8 * i, 2)", run(KEYS))
mutant("count-k-full", "keys: the same",
       PIPELINE, "p.k_full + 8 * i, 1)", "p.k_full + 8 * i, 2)", run(KEYS))
mutant("count-q-empty-less", "queries are gone when three of four warps have done with them",
       PIPELINE, "p.q_empty + 8 * i, 4)", "p.q_empty + 8 * i, 3)", run(ROWS, IN_TURN))
mutant("count-q-empty-more", "queries are free when five of four warps have done with them",
       PIPELINE, "p.q_empty + 8 * i, 4)", "p.q_empty + 8 * i, 5)", run(ROWS, IN_TURN))
mutant("count-k-empty-less", "a key tile is gone when all warps but one have done with it",
       PIPELINE, "p.k_empty + 8 * i, 4 * GROUPS)", "p.k_empty + 8 * i, 4 * GROUPS - 1)", run(KEYS))
mutant("count-k-empty-of-group", "a key tile is gone when one of the groups has done with it",
       PIPELINE, "p.k_empty + 8 * i, 4 * GROUPS)", "p.k_empty + 8 * i, 4)", run(ROWS, PAIR))
mutant("count-k-empty-of-threads", "keys: all threads are expected, where warps arrive",
       PIPELINE, "p.k_empty + 8 * i, 4 * GROUPS)", "p.k_empty + 8 * i, 128 * GROUPS)", run(KEYS))
mutant("count-v-empty-less", "a value tile is gone when all warps but one have done with it",
       PIPELINE, "p.v_empty + 8 * i, 4 * GROUPS)", "p.v_empty + 8 * i, 4 * GROUPS - 1)", run(KEYS))
mutant("count-v-empty-more", "values: the barrier expects one warp too many",
       PIPELINE, "p.v_empty + 8 * i, 4 * GROUPS)", "p.v_empty + 8 * i, 4 * GROUPS + 1)", run(KEYS))
mutant("count-told-empty-less", "the next row tile is told over one that a warp has not heard of",
       PIPELINE, "p.told_empty + 8 * i, 128 * GROUPS)", "p.told_empty + 8 * i, 128 * GROUPS - 1)", run(ROWS, IN_TURN))
mutant("count-told-full", "row tiles are told by one thread, two are expected",
       PIPELINE, "p.told_full + 8 * i, 1)", "p.told_full + 8 * i, 2)", run(ROWS, IN_TURN))
mutant("init-one-slot-short", "the last slot's barriers are not initialised",
       PIPELINE, "for (int i = 0; i < STAGES; i++) {", "for (int i = 0; i < STAGES - 1; i++) {", run(KEYS))
mutant("init-of-first-queries", "only the first query tile's barriers are initialised",
       PIPELINE, "i < QBUF * GROUPS; i++", "i < GROUPS; i++", run(ROWS, BOTH))
mutant("init-fence-missing", "the copy engine does not know of the barriers",
       PIPELINE, "  mbarrier_init_fence();\n", "", run(KEYS))
mutant("init-barrier-missing", "barriers are used before they are initialised",
       FWD, "  block_barrier();\n", "", run(KEYS))
mutant("init-by-each-group", "one thread of each group initialises them",
       FWD, "if (thread_index() == 0) init", "if (thread_index() % 128 == 0) init", run(KEYS))
mutant("rings-share-barriers", "the barriers of values are those of keys",
       PIPELINE, "p.v_full = p.k_empty + 8 * STAGES", "p.v_full = p.k_full", run(KEYS))
mutant("barriers-4-bytes", "the next slot's barrier is looked for 4 bytes further",
       PIPELINE, "mbarrier_test(barriers + 8 * at.slot", "mbarrier_test(barriers + 4 * at.slot", run(KEYS))
mutant("barriers-over-told", "what is told lies over the barriers",
       PIPELINE, "p.told = (p.told_empty + 8 * TOLD", "p.told = (p.told_empty", run(ROWS, IN_TURN))

section("Waits and phases")
mutant("wait-for-first-q-missing", "the first scores are of queries that may not be there",
       FWD, "  wait_for(p, pipe.q_full, group, 0);\n", "", run(KEYS))
mutant("wait-for-first-k-missing", "the first scores are of keys that may not be there",
       FWD, "  wait_for(p, pipe.k_full, k);\n  wgmma", "  wgmma", run(KEYS))
mutant("wait-for-first-k-missing-early", "the same, found where copies land at once",
       FWD, "  wait_for(p, pipe.k_full, k);\n  wgmma", "  wgmma", run(KEYS, mode="early"))
mutant("wait-for-q-missing", "the next row tile's queries may not be there",
       FWD, "      wait_for(p, pipe.q_full, n % QBUF * GROUPS + group, n / QBUF);\n", "", run(ROWS, IN_TURN))
mutant("wait-for-k-missing", "the next keys may not be there",
       FWD, "    if (!k_here) wait_for(p, pipe.k_full, k);\n", "", run(KEYS))
mutant("wait-for-v-missing", "the values may not be there",
       FWD, "    if (!v_here) wait_for(p, pipe.v_full, v);\n", "", run(KEYS))
mutant("wait-for-last-v-missing", "the last values may not be there",
       FWD, "  wait_for(p, pipe.v_full, v);\n  if (PING", "  if (PING", run(ROWS))
mutant("wait-if-keys-are-here", "who need not wait for keys waits, who needs does not",
       FWD, "if (!k_here)", "if (k_here)", run(KEYS))
mutant("wait-for-keys-twice", "keys are waited for in place of values",
       FWD, "if (!v_here) wait_for(p, pipe.v_full, v);", "if (!v_here) wait_for(p, pipe.k_full, v);", run(KEYS))
mutant("wait-for-other-group", "a group waits for another group's queries",
       FWD, "wait_for(p, pipe.q_full, group, 0)", "wait_for(p, pipe.q_full, 0, 0)", run(ROWS, PAIR))
mutant("wait-for-told-missing", "the next row tile is heard of before it is told",
       SCHEDULE, "!wait_for(p, pipe.told_full, n % TOLD, n / TOLD)", "false", run(ROWS, IN_TURN))
mutant("refill-k-without-wait", "the producer does not wait for free slots of keys",
       FWD, "!wait_for(p.fwd, pipe.k_empty, at.slot, at.phase + 1)", "false", run(KEYS))
mutant("refill-q-without-wait", "the producer does not wait for free slots of queries",
       FWD, "!wait_for(p.fwd, pipe.q_empty, slot, n / QBUF + 1)", "false", run(ROWS, IN_TURN))
mutant("tell-without-wait", "the producer does not wait until all have heard of the row tile before",
       SCHEDULE, "!wait_for(p, pipe.told_empty, n % TOLD, n / TOLD + 1)", "false", run(SHORT, BOTH))
mutant("phase-of-refill", "the producer waits for the first use of a slot to be over, before it has begun",
       FWD, "pipe.k_empty, at.slot, at.phase + 1)", "pipe.k_empty, at.slot, at.phase)", run(KEYS))
mutant("phase-of-refilled-q", "queries: the same",
       FWD, "slot, n / QBUF + 1)", "slot, n / QBUF)", run(KEYS))
mutant("phase-of-refilled-q-each", "two query tiles: the phase is another with each row tile, not with each second",
       FWD, "slot, n / QBUF + 1)", "slot, n + 1)", run(ROWS, BOTH))
mutant("phase-of-tell", "the producer waits for what nobody has been told yet to be heard",
       SCHEDULE, "n / TOLD + 1)", "n / TOLD)", run(ROWS, IN_TURN))
mutant("phase-of-first-q", "the first queries' phase is taken to be over from the start",
       FWD, "wait_for(p, pipe.q_full, group, 0)", "wait_for(p, pipe.q_full, group, 1)", run(KEYS))
mutant("phase-of-q-each", "two query tiles: the phase is another with each row tile, not with each second",
       FWD, "n % QBUF * GROUPS + group, n / QBUF)", "n % QBUF * GROUPS + group, n)", run(ROWS, BOTH))
mutant("phase-of-q-next", "queries: one phase further is waited for",
       FWD, "n % QBUF * GROUPS + group, n / QBUF)", "n % QBUF * GROUPS + group, n / QBUF + 1)", run(ROWS, IN_TURN))
mutant("phase-of-told-each", "the phase of what is told is another with each row tile",
       SCHEDULE, "pipe.told_full, n % TOLD, n / TOLD)", "pipe.told_full, n % TOLD, n)", run(ROWS, IN_TURN))
mutant("phase-stays", "the phase of a ring does not change when its slots come again",
       PIPELINE, "at.slot = 0, at.phase++;", "at.slot = 0;", run(KEYS))
mutant("phase-of-each-slot", "the phase of a ring changes with each slot",
       PIPELINE, "if (++at.slot == SLOTS) at.slot = 0, at.phase++;",
       "at.phase++;\n  if (++at.slot == SLOTS) at.slot = 0;", run(KEYS))
mutant("phase-asked-wrong", "whether a tile is here is asked of the phase before, which is over",
       PIPELINE, "8 * at.slot, at.phase & 1)", "8 * at.slot, ~at.phase & 1)", run(KEYS))
mutant("ring-too-long", "a ring of two is walked as one of three",
       PIPELINE, "if (++at.slot == SLOTS)", "if (++at.slot == SLOTS + 1)", run(KEYS))
mutant("keys-stay-in-slot", "a group goes on with the slot that it has released",
       FWD, "    release(pipe.k_empty, k.slot);\n    advance<STAGES>(k);\n", "    release(pipe.k_empty, k.slot);\n",
       run(KEYS))
mutant("values-stay-in-slot", "values: the same",
       FWD, "    advance<STAGES>(v);\n", "", run(KEYS))

section("Releases")
mutant("release-k-missing", "keys are never given back",
       FWD, "    release(pipe.k_empty, k.slot);\n", "", run(KEYS))
mutant("release-v-missing", "values are never given back",
       FWD, "    release(pipe.v_empty, v.slot);\n", "", run(KEYS))
mutant("release-q-missing", "queries are never given back",
       FWD, "    if (last) release(pipe.q_empty, n % QBUF * GROUPS + group);\n", "", run(ROWS, IN_TURN))
mutant("release-told-missing", "nobody says that the next row tile has been heard of",
       SCHEDULE, "  mbarrier_arrive(pipe.told_empty + n % TOLD * 8);", "", run(ROWS, IN_TURN))
mutant("release-v-early", "values are given back while they are being read",
       FWD, VALUES_DONE, "    release(pipe.v_empty, v.slot);\n    wgmma_wait<1>();\n    wgmma_arrived(rows.o);\n",
       run(KEYS))
mutant("release-q-early", "queries are given back one key tile before the last",
       FWD, "if (last) release", "if (tile == first_tile(t) + 1) release", run(ROWS, IN_TURN))
mutant("release-q-always", "queries are given back with each key tile",
       FWD, "if (last) release", "release", run(ROWS, IN_TURN))
mutant("release-k-of-first", "the first slot of keys is given back each time",
       FWD, "release(pipe.k_empty, k.slot)", "release(pipe.k_empty, 0)", run(KEYS))
mutant("release-v-of-first", "values: the same",
       FWD, "release(pipe.v_empty, v.slot)", "release(pipe.v_empty, 0)", run(KEYS))
mutant("release-v-as-k", "keys are given back in place of values",
       FWD, "release(pipe.v_empty, v.slot)", "release(pipe.k_empty, v.slot)", run(KEYS))
mutant("release-q-of-first", "two query tiles: the first one is given back each time",
       FWD, "release(pipe.q_empty, n % QBUF * GROUPS + group)", "release(pipe.q_empty, group)", run(ROWS, BOTH))
mutant("release-q-of-other-group", "a group gives the first group's queries back",
       FWD, "release(pipe.q_empty, n % QBUF * GROUPS + group)", "release(pipe.q_empty, n % QBUF * GROUPS)",
       run(ROWS, PAIR))
mutant("release-by-all-lanes", "all lanes give a slot back, where one of each warp is expected",
       PIPELINE, "if (lane() == 0) mbarrier_arrive", "mbarrier_arrive", run(KEYS))
mutant("release-by-one-warp", "one warp of a group gives a slot back, where each is expected",
       PIPELINE, "if (lane() == 0) mbarrier_arrive", "if (thread_index() % 128 == 0) mbarrier_arrive", run(KEYS))
mutant("release-told-unread", "what was told is read once more when it has been given back",
       SCHEDULE, "  t.b = (int)words[0]", READ_TOLD + "  t.b = (int)words[0]", run(SHORT, BOTH))
mutant("release-told-by-a-lane", "one lane of a warp gives back what was told, where each is expected",
       SCHEDULE, "  mbarrier_arrive(pipe.told_empty", "  if (lane() == 0) mbarrier_arrive(pipe.told_empty", run(ROWS, IN_TURN))
mutant("release-told-of-first", "the first place is given back each time",
       SCHEDULE, "mbarrier_arrive(pipe.told_empty + n % TOLD * 8)", "mbarrier_arrive(pipe.told_empty)", run(ROWS, IN_TURN))
mutant("tell-before-store", "the next row tile is announced before it is written down",
       SCHEDULE, STORE_TOLD + STORE_MORE + ARRIVE_TOLD, ARRIVE_TOLD + STORE_TOLD, run(ROWS, IN_TURN))
mutant("tell-nobody", "the next row tile is written down and not announced",
       SCHEDULE, ARRIVE_TOLD, "", run(ROWS, IN_TURN))

section("Bulk copies")
mutant("bytes-half", "half of the bytes are announced",
       PIPELINE, "mbarrier_arrive_expect(barrier, bytes)", "mbarrier_arrive_expect(barrier, bytes / 2)", run(KEYS))
mutant("bytes-of-page", "the bytes of one page are announced, two are copied",
       PIPELINE, "mbarrier_arrive_expect(barrier, bytes)", "mbarrier_arrive_expect(barrier, bytes / PAGES)",
       run(PAGES))
mutant("bytes-too-many", "a row more is announced than is copied",
       PIPELINE, "mbarrier_arrive_expect(barrier, bytes)", "mbarrier_arrive_expect(barrier, bytes + 128)", run(KEYS))
mutant("bytes-not-announced", "the producer arrives, and announces nothing",
       PIPELINE, "mbarrier_arrive_expect(barrier, bytes)", "mbarrier_arrive(barrier)", run(KEYS))
mutant("bytes-announced-only", "one page of two is never copied",
       PIPELINE, "page < PAGES; page++)\n    tma", "page < 1; page++)\n    tma", run(PAGES))
mutant("bytes-of-keys-for-q", "queries: the bytes of a key tile are announced",
       FWD, "&p.q, Q_BYTES,", "&p.q, TILE_BYTES,", run(KEYS))
mutant("copy-by-a-warp", "all lanes of the producer's warp copy",
       FWD, "if (thread_index() == PRODUCER * 128) produce", "if (thread_index() / 32 == PRODUCER * 4) produce",
       run(KEYS))
mutant("pages-in-one-place", "the second page is copied over the first",
       PIPELINE, "to + page * (bytes / PAGES), map", "to, map", run(PAGES))
mutant("page-again", "the first 64 columns are copied for each page",
       PIPELINE, "page * 64, row, head", "0, row, head", run(PAGES))
mutant("page-half", "the second page begins at column 32",
       PIPELINE, "page * 64, row, head", "page * 32, row, head", run(PAGES))
mutant("row-of-first-group", "all groups get the first group's query rows",
       FWD, "query = first + group * (GROUP_ROWS / PACK)", "query = first", run(ROWS, PAIR))
mutant("head-of-keys-for-q", "queries are those of the head of the key head's number",
       FWD, "PACK > 1 ? query : t.h, RAGGED_Q", "PACK > 1 ? query : t.h_kv, RAGGED_Q", run(HEADS))
mutant("head-of-q-for-keys", "keys and values are those of the query head's number",
       FWD, "key0, t.h_kv, RAGGED_K", "key0, t.h, RAGGED_K", run(HEADS))
mutant("batch-of-q", "queries are those of the first sequence",
       FWD, "RAGGED_Q ? 0 : t.b);", "0);", run(HEADS))
mutant("batch-of-keys", "keys and values are those of the first sequence",
       FWD, "t.h_kv, RAGGED_K ? 0 : t.b)", "t.h_kv, 0)", run(HEADS))
mutant("keys-again", "the tile that is there is copied again, in place of the next",
       FWD, KEYS_OF_TILE, KEYS_OF_TILE.replace("tile - 1", "tile"), run(KEYS))
mutant("keys-from-the-left", "the first key tile is the leftmost",
       FWD, "k, t, KEY_TILE(here, last) * BN, here)", "k, t, 0, here)", run(KEYS))
mutant("values-beside", "values are copied from one tile further left",
       FWD, VALUES_OF_TILE, VALUES_OF_TILE.replace(", tile)", ", tile - 1)"), run(KEYS))
mutant("values-row-late", "values are copied from one row further down",
       FWD, VALUES_OF_TILE, VALUES_OF_TILE.replace("BN", "BN + 1"), run(KEYS))
mutant("values-from-k", "values are copied from K",
       FWD, "&p.v, t, key0)", "&p.k, t, key0)", run(KEYS))
mutant("values-dropped", "the second tile's values are not copied",
       FWD, REST, REST.replace("first_tile(t)", "first_tile(t) + 1"), run(KEYS))
mutant("last-values-dropped", "nobody copies the values of the very last tile",
       FWD, "if ((!TELLS_FIRST && SPLITS == 1) || before.key_tiles > 0)", "if (false)", run(KEYS))
mutant("last-values-of-next", "a row tile's last values are those of the next one's head",
       FWD, "if (n > 0) load_values(p, pipe, v, before,", "if (n > 0) load_values(p, pipe, v, t,", run(ROWS, IN_TURN))
mutant("last-values-dropped-once", "the first row tile's last values are not copied",
       FWD, "if (n > 0) load_values", "if (n > 1) load_values", run(ROWS, IN_TURN))
mutant("queries-twice", "one query tile: it is copied ahead of the keys, and behind the values",
       FWD, "if (QBUF > 1) load_queries", "load_queries", run(KEYS))
mutant("tiles-in-one-slot", "all key tiles are copied into the first slot",
       FWD, "pipe.k + at.slot * TILE_BYTES, pipe.k_full", "pipe.k, pipe.k_full", run(KEYS))
mutant("copies-on-one-barrier", "all copies of keys complete on the first barrier",
       FWD, "pipe.k_full + 8 * at.slot, &p.k", "pipe.k_full, &p.k", run(KEYS))
mutant("queries-in-one-slot", "both query tiles are copied into the first slot",
       FWD, "pipe.q + slot * Q_BYTES,", "pipe.q + group * Q_BYTES,", run(ROWS, BOTH))
mutant("queries-on-one-barrier", "both query tiles complete on the first barrier",
       FWD, "pipe.q_full + 8 * slot,", "pipe.q_full + 8 * group,", run(ROWS, BOTH))
mutant("tiles-misaligned", "tiles lie between two places where the swizzle begins",
       CONFIG, "K_OFFSET = QBUF * GROUPS * Q_BYTES", "K_OFFSET = QBUF * GROUPS * Q_BYTES + 512", run(KEYS))
mutant("values-over-keys", "the values' first slot is the keys' last",
       CONFIG, "V_OFFSET = K_OFFSET + STAGES * TILE_BYTES", "V_OFFSET = K_OFFSET + (STAGES - 1) * TILE_BYTES",
       run(KEYS))
mutant("keys-over-queries", "the keys' first slot is the queries' last",
       CONFIG, "K_OFFSET = QBUF * GROUPS * Q_BYTES", "K_OFFSET = QBUF * (GROUPS - 1) * Q_BYTES", run(ROWS, PAIR))
mutant("barriers-over-values", "barriers lie in the values' last slot",
       CONFIG, "BIAS_OFFSET = V_OFFSET + STAGES * TILE_BYTES",
       "BIAS_OFFSET = V_OFFSET + (STAGES - 1) * TILE_BYTES",
       run(KEYS))

section("Products of warpgroups")
mutant("fence-missing-first", "the first scores: the registers may still be written",
       FWD, FIRST, FIRST.replace("  wgmma_fence();\n", ""), run(KEYS))
mutant("fence-missing", "weights may not be in their registers yet",
       FWD, TURN, TURN.replace("    wgmma_fence();\n", ""), run(KEYS))
mutant("fence-missing-last", "the same for the last key tile",
       FWD, LAST, LAST.replace("  wgmma_fence();\n", ""), run(KEYS))
mutant("commit-missing-scores", "products of queries and keys are in no group of their own",
       FWD, "d > 0);\n  wgmma_commit();\n", "d > 0);\n", run(KEYS))
mutant("commit-missing-values", "products of weights and values are in no group of their own",
       FWD, "NEXT_ROWS);\n  wgmma_commit();\n", "NEXT_ROWS);\n", run(KEYS))
mutant("wait-one-less-first", "the first scores are not waited for",
       FWD, FIRST, FIRST.replace("<0>", "<1>"), run(KEYS))
mutant("wait-one-less-values", "the output is not waited for",
       FWD, "wgmma_wait<1>();", "wgmma_wait<2>();", run(KEYS))
mutant("wait-one-less-scores", "the next scores are not waited for",
       FWD, SCORES_DONE, SCORES_DONE.replace("<0>", "<1>"), run(KEYS))
mutant("wait-one-less-last", "the last product is not waited for",
       FWD, "  wgmma_wait<0>();\n  wgmma_arrived(rows.o);", "  wgmma_wait<1>();\n  wgmma_arrived(rows.o);", run(KEYS))
mutant("wait-missing-values", "nobody waits for the output",
       FWD, VALUES_DONE, "    release(pipe.v_empty, v.slot);\n", run(KEYS))
mutant("wait-missing-scores", "nobody waits for the next scores",
       FWD, SCORES_DONE, "  }\n", run(KEYS))
mutant("products-in-wrong-order", "the next scores are issued first, so that the wait is for them",
       FWD, VALUES + NEXT_KEYS, NEXT_KEYS + VALUES, run(KEYS))
mutant("add-always", "scores are added to those before",
       FWD, "WGMMA_NEXT_COLUMNS, d > 0)", "WGMMA_NEXT_COLUMNS, 1)", run(KEYS))
mutant("add-never", "scores are of the last 16 columns alone",
       FWD, "WGMMA_NEXT_COLUMNS, d > 0)", "WGMMA_NEXT_COLUMNS, 0)", run("hq1sq64sk100d32"))
mutant("add-late", "the first 16 columns do not count",
       FWD, "WGMMA_NEXT_COLUMNS, d > 0)", "WGMMA_NEXT_COLUMNS, d > 1)", run("hq1sq64sk100d32"))
mutant("head-dim-short", "the last 16 columns do not count",
       CONFIG, "D16 = (D + 15) / 16", "D16 = D / 16", run("hq1sq64sk100d24"))
mutant("columns-of-q", "the first 16 columns of the queries are taken each time",
       FWD, "q + d / 4 * (Q_PAGE >> 4) + d % 4 * WGMMA_NEXT_COLUMNS", "q + d / 4 * (Q_PAGE >> 4)",
       run("hq1sq64sk100d32"))
mutant("columns-of-k", "keys: 8 columns further instead of 16",
       FWD, "(KV_PAGE >> 4) + d % 4 * WGMMA_NEXT_COLUMNS", "(KV_PAGE >> 4) + d % 4 * (WGMMA_NEXT_COLUMNS / 2)",
       run("hq1sq64sk100d32"))
mutant("columns-beyond-page", "the columns after a page's 64 are looked for in the next row",
       FWD, "k + d / 4 * (KV_PAGE >> 4) + d % 4 * WGMMA_NEXT_COLUMNS", "k + d * WGMMA_NEXT_COLUMNS", run(PAGES))
mutant("page-of-q-for-k", "the keys' second page is looked for where a query tile's would be",
       FWD, "k + d / 4 * (KV_PAGE >> 4)", "k + d / 4 * (Q_PAGE >> 4)", run(PAGES))
mutant("page-of-k-for-q", "the queries' second page is looked for where a key tile's would be",
       FWD, "q + d / 4 * (Q_PAGE >> 4)", "q + d / 4 * (KV_PAGE >> 4)", run(PAGES))
mutant("page-of-values", "the descriptor says that the values' second page is a query tile's page further",
       FWD, "wgmma_matrix(pipe.v, KV_PAGE)", "wgmma_matrix(pipe.v, Q_PAGE)", run(PAGES))
mutant("page-of-values-missing", "the descriptor of the values has no page",
       FWD, "wgmma_matrix(pipe.v, KV_PAGE)", "wgmma_matrix(pipe.v, 16)", run(PAGES))
mutant("keys-of-values-again", "the first 16 values are taken each time",
       FWD, "v + n * WGMMA_NEXT_ROWS", "v", run(KEYS))
mutant("keys-of-values-near", "values: 8 rows further instead of 16",
       FWD, "v + n * WGMMA_NEXT_ROWS", "v + n * WGMMA_NEXT_ROWS / 2", run(KEYS))
mutant("keys-of-values-short", "a tile's last 16 values do not count",
       FWD, "n < BN / 16; n++", "n < BN / 16 - 1; n++", run(KEYS))
mutant("weights-in-wrong-order", "the registers of the weights are in the wrong order",
       FWD, "w[4 * n + 1], w[4 * n + 2]", "w[4 * n + 2], w[4 * n + 1]", run(KEYS))
mutant("weights-again", "the first 16 weights are taken each time",
       FWD, "Wgmma<D>::registers(o, w[4 * n],", "Wgmma<D>::registers(o, w[0],", run(KEYS))
mutant("values-of-first-slot", "values are read from the first slot",
       FWD, VALUES, VALUES.replace("v_tiles + v.slot * (TILE_BYTES >> 4)", "v_tiles"), run(KEYS))
mutant("last-values-of-first-slot", "the last values are read from the first slot",
       FWD, "v_tiles + v.slot * (TILE_BYTES >> 4));\n  if", "v_tiles);\n  if", run("hq1sq64sk96d16"))
mutant("keys-of-first-slot", "keys are read from the first slot",
       FWD, "k_tiles + k.slot * (TILE_BYTES >> 4)", "k_tiles", run(KEYS))
mutant("slot-of-page", "tiles of two pages: slots are looked for a page apart",
       FWD, "k_tiles + k.slot * (TILE_BYTES >> 4)", "k_tiles + k.slot * (KV_PAGE >> 4)", run(PAGES))
mutant("queries-of-first-slot", "two query tiles: the first one is read each time",
       FWD, "q_tiles + n % QBUF * (GROUPS * Q_BYTES >> 4)", "q_tiles", run(ROWS, BOTH))
mutant("queries-of-other-group", "two query tiles: the second one is looked for where the next group's first is",
       FWD, "n % QBUF * (GROUPS * Q_BYTES >> 4)", "n % QBUF * (Q_BYTES >> 4)", run(ROWS, PAIR2))
mutant("groups-share-queries", "all groups take the first group's queries",
       FWD, "wgmma_matrix(pipe.q + group * Q_BYTES, 16)", "wgmma_matrix(pipe.q, 16)", run(ROWS, PAIR))

section("Turns and registers")
mutant("turn-of-first", "all groups wait for the first one's turn",
       FWD, "my_turn = 1 + group,", "my_turn = 1,", run(ROWS, PAIR))
mutant("turn-not-passed-on", "a group gives the turn to itself",
       FWD, "next_turn = 1 + (group + 1) % GROUPS", "next_turn = 1 + group", run(ROWS, PAIR))
mutant("turn-beyond-last", "the last group gives the turn to nobody",
       FWD, "next_turn = 1 + (group + 1) % GROUPS", "next_turn = 1 + (group + 1)", run(ROWS, PAIR))
mutant("turn-skips-one", "three groups: the turn goes the other way round",
       FWD, "next_turn = 1 + (group + 1) % GROUPS", "next_turn = 1 + (group + 2) % GROUPS", run(ROWS, THREE))
mutant("turn-of-all-groups", "a turn is a matter of three groups, not of two",
       FWD, "named_barrier(my_turn, 256);\n    wgmma", "named_barrier(my_turn, 384);\n    wgmma", run(ROWS, THREE))
mutant("turn-of-one-group", "a turn is a matter of one group",
       FWD, "named_barrier_arrive(next_turn, 256);\n    wgmma_wait", "named_barrier_arrive(next_turn, 128);\n    wgmma_wait",
       run(ROWS, PAIR))
mutant("turn-never-begins", "nobody gives the first turn",
       FWD, "  if (PINGPONG && group == GROUPS - 1) named_barrier_arrive(1, 256);", "  ", run(ROWS, PAIR))
mutant("turn-begun-by-first", "the first group gives the first turn, to itself",
       FWD, "if (PINGPONG && group == GROUPS - 1)", "if (PINGPONG && group == 0)", run(ROWS, PAIR))
mutant("turn-not-waited-for", "groups give turns, and do not wait for theirs",
       FWD, "    if (PINGPONG) named_barrier(my_turn, 256);\n", "", run(ROWS, PAIR))
mutant("turn-not-given", "groups wait for turns that nobody gives",
       FWD, "    if (PINGPONG) named_barrier_arrive(next_turn, 256);\n", "", run(ROWS, PAIR))
mutant("turn-given-at-end", "the last group gives a turn when there is nobody left to take it",
       FWD, "if (PINGPONG && group < GROUPS - 1)", "if (PINGPONG)", run(ROWS, PAIR))
mutant("turn-kept-at-end", "the last turns are not given",
       FWD, "if (PINGPONG && group < GROUPS - 1)", "if (false)", run(ROWS, PAIR))
mutant("registers-beyond-pool", "two groups: more registers are taken than there are",
       CONFIG, "GROUPS == 2 ? 232", "GROUPS == 2 ? 240", run(ROWS, PAIR))
mutant("registers-beyond-pool-three", "three groups: the same",
       CONFIG, "GROUPS == 3 ? 160", "GROUPS == 3 ? 168", run(ROWS, THREE))
mutant("registers-kept", "the producer keeps more registers than the others leave",
       CONFIG, "GROUPS <= 2 ? 40 : 32", "GROUPS <= 2 ? 48 : 32", run(ROWS, PAIR))
mutant("registers-not-given", "the producer gives no registers",
       FWD, "    give_registers<PRODUCER_REGISTERS>();\n", "", run(ROWS, PAIR))
mutant("registers-taken-by-one", "one warp of a group takes registers",
       FWD, "    take_registers<CONSUMER_REGISTERS>();\n",
       "    if (thread_index() % 128 < 32) take_registers<CONSUMER_REGISTERS>();\n", run(ROWS, PAIR))
mutant("registers-odd", "a number of registers that is no multiple of 8",
       CONFIG, "GROUPS == 1 ? 240", "GROUPS == 1 ? 236", run(KEYS))

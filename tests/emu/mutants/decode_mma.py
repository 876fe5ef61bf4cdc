# SPDX-License-Identifier: Apache-2.0
"""Mutants of decode_mma: rings of warps, shares of keys, scores, and what is put together in the end."""
from .table import Run, Table

MUTANTS = Table()
mutant, section = MUTANTS.mutant, MUTANTS.section

KERNEL, RING, SCHEDULE = "decode_mma.cu", "decode_ring.cuh", "decode_schedule.cuh"
SOFTMAX, MERGE = "decode_softmax.cuh", "decode_merge.cuh"
SEQUENCE, SCORES = "fl4_sequence.cuh", "fl4_scores.cuh"


def variant(warps=2, stages=2, keys=16, rows=8, splits=1):
    return f"decode_mma:warps={warps},stages={stages},keys={keys},rows={rows},splits={splits},hint=0"


PLAIN, SPLIT, ALONE = variant(), variant(splits=3), variant(warps=1)
MANY = variant(warps=1, splits=64)
DEEP, TALL, WIDE = variant(stages=3), variant(rows=16), variant(keys=32)


def run(problem, variant=PLAIN, inputs="normal", mode="late", counts=False):
    return Run(problem, variant, inputs, mode, counts)


def case(name):
    """Cases of test_decode_calls, which make calls that no problem line says."""
    return Run("case " + name, "decode_mma")


# One row, so that no other makes up for it; whole steps, a partial one; more than a ring holds.
ONE, LONG, PARTIAL = "hq1sq1sk64d32", "hq2hkv1sq1sk320d32:lse", "hq2hkv1sq1sk90d32:lse"
FEW, CAUSAL = "hq6hkv2sq3sk200d32", "hq4hkv1sq5sk100d32:causal:lse"
GROUP = "hq9hkv1sq2sk70d32:lse"  # 18 rows
WINDOW, PAGED_WINDOW = "hq2hkv1sq4sk200d32:window=40,0:lse", "b2hq2hkv1sq2sk300d32:window=85,0:page=16"
PAGED, PAGED_LONG, LENS = "b2hq2hkv2sq1sk200d32:page=8", "hq2hkv1sq1sk700d32:page=8", "b4hq2hkv1sq1sk200d32:lens:lse"
RAGGED = "b5hq2hkv1sq5sk64d32:ragged:lse"
GROUPS = "b2hq4hkv2sq1sk530d32:lse"  # with MANY 34 splits: four groups and a short one
SHIFTED = "b2hq2hkv1sq1sk1040d32:window=1020,0:lse"  # 64 from the second one on: nine groups

section("Rings of warps")
mutant("decode-wait-loose", "a step is used while its copies are under way",
       KERNEL, "cp_async_wait<2 * STAGES - 1>();", "cp_async_wait<2 * STAGES>();", run(LONG))
mutant("decode-wait-alone", "each lane waits for its own copies, and not for the others'",
       KERNEL, "cp_async_wait<2 * STAGES - 1>();\n  warp_barrier();", "cp_async_wait<2 * STAGES - 1>();", run(LONG))
mutant("decode-query-wait", "nobody waits for the queries",
       KERNEL, "  cp_async_wait<2 * STAGES>();\n", "  cp_async_wait<2 * STAGES + 1>();\n", run(ONE))
mutant("decode-query-barrier", "each warp takes its own part of the queries for all of them",
       KERNEL, "cp_async_wait<2 * STAGES>();\n  block_barrier();", "cp_async_wait<2 * STAGES>();\n  warp_barrier();",
       run(GROUP, TALL), run(FEW, variant(warps=4)))
mutant("decode-refill-before-use", "the next keys are copied to where the step's still are",
       KERNEL, "    multiply_keys_query(s, q, k_slot(k_lane, slot));\n    warp_barrier(); // all lanes have read the keys\n    load_keys(p, w, stream);\n",
       "    load_keys(p, w, stream);\n    multiply_keys_query(s, q, k_slot(k_lane, slot));\n    warp_barrier(); // all lanes have read the keys\n",
       run(LONG), run(LONG, mode="early"))
mutant("decode-no-empty-groups", "steps behind the last are no groups of copies, so that waits are for too few",
       RING, "  }\n  cp_async_commit();\n}\n\nFL4_DEV void load_keys", "    cp_async_commit();\n  }\n}\n\nFL4_DEV void load_keys",
       run(LONG))
mutant("decode-slot-stays", "each step is taken from the first slot",
       KERNEL, "    slot = slot_after(slot);\n", "", run(LONG))
mutant("decode-slot-beyond", "the ring has one slot more than there is memory for",
       RING, "slot + 1 == STAGES ? 0", "slot == STAGES ? 0", run(LONG, variant(warps=1, stages=6)), run(LONG, DEEP))
mutant("decode-values-are-keys", "values lie where the keys are",
       RING, "slot * SLOT_BYTES + STEP_BYTES", "slot * SLOT_BYTES", run(LONG))
mutant("decode-ring-of-first", "all warps have the first one's ring",
       RING, "s.ring = smem + warp() * WARP_BYTES;", "s.ring = smem;", run(LONG))
mutant("decode-step-too-short", "a warp's next step is the next warp's",
       RING, "  s.key += TILE;\n", "  s.key += KEYS;\n", run(LONG))
mutant("decode-keys-of-first-warp", "all warps take the keys of the first",
       RING, "hidden * TILE + warp() * KEYS", "hidden * TILE", run(LONG))
mutant("decode-values-behind", "values behind the last key are read",
       RING, "there ? from : s.k, there ? 16 : 0", "from, 16", run(PARTIAL), run(LENS))
mutant("decode-partial-as-whole", "the last step is copied as if all of its keys were there",
       RING, "s.key >= w.begin && s.key + KEYS <= w.end", "s.key >= w.begin", run(PARTIAL), run(LENS))
mutant("decode-row-twice", "every second row of a step is the one before it",
       RING, "at += AT_A_TIME * row_bytes;", "at += 0 * row_bytes;", run("hq2hkv1sq1sk64d64"))
mutant("decode-granule-of-first", "rows that are no power of two: the second eight keys are the first",
       RING, "at = row >= g * GRANULE ? granule[g] : at;", "at = row > 99 ? granule[g] : at;", run("hq2hkv1sq1sk70d48"))

section("Pages of steps")
mutant("decode-page-shift", "slots are counted modulo half of a page",
       RING, "(key & (slots - 1)) * row", "(key & (slots / 2 - 1)) * row", run("b2hq2hkv2sq1sk200d32:page=32"))
mutant("decode-page-of-step", "a step has the pages of the first of those whose pages are known",
       RING, "s.step * GRANULES + granule", "granule", run(PAGED))
mutant("decode-page-of-granule", "a step has one page",
       RING, "s.step * GRANULES + granule", "s.step * GRANULES", run(PAGED))
mutant("decode-pages-stay", "pages of the first steps are taken for those of the next ones",
       RING, "  s.pages = s.more_pages;\n", "", run(PAGED_LONG, ALONE))
mutant("decode-pages-once-ahead", "pages are looked up ahead once",
       RING, "  s.pages = s.more_pages;\n  s.more_pages = look_up(p, w, s.key + PAGED_STEPS * TILE);\n",
       "  s.pages = s.more_pages;\n", run(PAGED_LONG, ALONE))
mutant("decode-pages-of-other-warps", "lanes look pages up as if the warp had each step",
       RING, "lane() / GRANULES * TILE", "lane() / GRANULES * KEYS", run(PAGED))
mutant("decode-page-values-from-keys", "values come from the keys' pool",
       RING, "load_step(p, w, s, v_slot(s.ring, s.slot), s.v,", "load_step(p, w, s, v_slot(s.ring, s.slot), s.k,", run(PAGED))
mutant("decode-page-not-clamped", "a table's entries are taken as they are",
       SEQUENCE, "clamp_i32((int)load_global_32(reinterpret_cast<const char *>(p.block_table) + 4 * at), 0, p.n_pages - 1)",
       "(int)load_global_32(reinterpret_cast<const char *>(p.block_table) + 4 * at)", case("hostile"))
mutant("decode-page-before-first", "a page number may be negative",
       SEQUENCE, "+ 4 * at), 0, p.n_pages - 1)", "+ 4 * at), -1, p.n_pages - 1)", case("hostile"))
mutant("decode-page-behind-last", "a page number may be that behind the last",
       SEQUENCE, "+ 4 * at), 0, p.n_pages - 1)", "+ 4 * at), 0, p.n_pages)", case("hostile"))

section("Shares of keys")
mutant("decode-split-dropped", "the last split is left out where it is a short one",
       SCHEDULE, "quotient(tiles + share - 1, share) : 1", "quotient(tiles, share) : 1",
       run("hq2hkv1sq1sk330d32", SPLIT))
mutant("decode-splits-too-many", "keys are divided among more blocks than there are",
       SCHEDULE, "share = quotient(tiles + p.splits - 1, p.splits)", "share = quotient(tiles, p.splits)",
       run("hq2hkv1sq1sk330d32", SPLIT))
mutant("decode-tile-counted-twice", "a split has the next one's first keys too",
       SCHEDULE, "w.first + share * TILE, m)", "w.first + share * TILE + TILE, m)", run("hq2hkv1sq1sk260d32", SPLIT))
mutant("decode-one-key-more", "the key behind the last is one",
       SCHEDULE, "w.first + share * TILE, m)", "w.first + share * TILE, m + 1)", run(PARTIAL), run(LENS))
mutant("decode-length-ignored", "all keys that there may be are taken",
       SCHEDULE, "m = keys(p, w), seen", "m = p.Sk, seen", run(LENS))
mutant("decode-length-of-first", "all sequences are as long as the first",
       SCHEDULE, "sequence_of(p, w.b)", "sequence_of(p, 0)", run(LENS))
mutant("decode-length-not-clamped", "lengths are taken as they are",
       SEQUENCE, "s.keys = clamp_i32((int)load_global_32(reinterpret_cast<const char *>(p.used_k) + 4 * (i64)b), 0, s.keys)",
       "s.keys = (int)load_global_32(reinterpret_cast<const char *>(p.used_k) + 4 * (i64)b)", case("hostile"))
mutant("decode-start-not-clamped", "sequences of ragged tensors begin where they say",
       SEQUENCE, "return clamp_i32((int)load_global_32(reinterpret_cast<const char *>(starts) + 4 * (i64)b), 0, total);",
       "return (int)load_global_32(reinterpret_cast<const char *>(starts) + 4 * (i64)b);", case("hostile"))
mutant("decode-ragged-queries-of-all", "sequences have as many queries as the longest",
       SCHEDULE, "row < w.rows && (!RAGGED_Q || i < queries(p, w))", "row < w.rows", run(RAGGED))
mutant("decode-ragged-keys-of-first", "all sequences have the first one's keys",
       SCHEDULE, "w.h_kv * stride[1] + w.s.first_key * stride[2]", "w.h_kv * stride[1]", run(RAGGED))
mutant("decode-window-anchor", "with a window splits begin at the first key that is seen, wherever its page begins",
       SCHEDULE, "quotient(seen, p.split_anchor) * p.split_anchor : 0", "seen : 0", run(PAGED_WINDOW))
mutant("decode-anchor-of-tile", "where results are the same in each batch, a window's splits begin at any tile",
       SCHEDULE, "quotient(seen, p.split_anchor) * p.split_anchor : 0", "quotient(seen, TILE) * TILE : 0", case("invariant"))
mutant("decode-first-of-merge", "splits before a window's first one are not counted: parts are added in another order",
       SCHEDULE, "quotient(anchor, p.split_keys) % MERGED_AT_A_TIME : 0", "0 : 0", case("invariant"))
mutant("decode-split-by-batch", "results that are to be the same are shared out by how many keys there may be",
       SCHEDULE, "int share = p.split_keys / TILE;", "int share = p.Sk / TILE / 2;", case("invariant"))
mutant("decode-rows-beyond", "a block that has fewer rows writes all the same",
       SCHEDULE, "min_i32(ROWS, w.group * p.Sq - w.row0)", "ROWS", run(PARTIAL))
mutant("decode-second-row-block", "all row blocks begin with the first row",
       SCHEDULE, "w.row0 = row_block * ROWS;", "w.row0 = 0;", run(GROUP))
mutant("decode-head-of-next-group", "a group's heads are those of the first",
       SCHEDULE, "w.h_kv * w.group + head", "head", run(FEW))

section("Scores of few queries")
mutant("decode-sees-future", "all rows see what the last one does",
       SOFTMAX, "keys_end(p, queries(p, w), keys(p, w), at.i)", "keys_end(p, queries(p, w), keys(p, w), p.Sq - 1)", run(CAUSAL))
mutant("decode-unmasked-too-soon", "a step that the last row sees is taken as seen by all",
       SCHEDULE, "w.all_end = keys_end(p, n, m, 0);", "w.all_end = keys_end(p, n, m, n - 1);",
       run("hq4hkv1sq5sk96d32:causal", ALONE))
mutant("decode-window-open", "keys before the window are not masked",
       SOFTMAX, "key >= end || (WINDOW && key < begin)", "key >= end", run(WINDOW))
mutant("decode-window-of-first-row", "keys before the last row's window are taken as seen by all",
       SCHEDULE, "w.all_begin = keys_begin(p, n, m, n - 1);", "w.all_begin = keys_begin(p, n, m, 0);",
       run("hq2hkv1sq8sk192d32:window=40,0", ALONE))
mutant("decode-window-skips", "the tile of the first key that is seen is left out",
       RING, "(w.begin - w.first) / TILE : 0", "(w.begin - w.first + TILE - 1) / TILE : 0", run(WINDOW))
mutant("decode-softcap-omitted", "scores have no softcap",
       KERNEL, "    transform_scores(s, p, heights, key);\n", "", run("hq4hkv1sq1sk100d32:softcap=1"))
mutant("decode-alibi-sign", "far keys are preferred",
       SCORES, "s - r.slope *", "s + r.slope *", run("hq4hkv1sq1sk100d32:alibi"))
mutant("decode-alibi-second-eight", "keys 8 to 15 of a step are as far as the first ones",
       SOFTMAX, "s[k / 2][n][k % 2 * 2 + e], k * 8)", "s[k / 2][n][k % 2 * 2 + e], k / 2 * 16)",
       run("hq4hkv1sq1sk100d32:alibi"))
mutant("decode-alibi-diagonal", "distances count from the query's number",
       SOFTMAX, "at.i + keys(p, w) - queries(p, w)", "at.i", run("hq4hkv1sq2sk100d32:alibi"))
mutant("decode-never-renewed", "the reference stays where the first step left it",
       SOFTMAX, "return warp_any(above);", "return warp_any(above && rows.largest[0][0] == MINUS_INFINITY);",
       run(LONG, ALONE, "shrinking"), run(LONG, ALONE, "growing"))
mutant("decode-lane-decides", "each lane decides by itself whether references move",
       SOFTMAX, "return warp_any(above);", "return above;", run(LONG))
mutant("decode-output-not-rescaled", "a new reference leaves the output as it was",
       SOFTMAX, "rows.o[d][n][e] *= factor, rows.o[d][n][e + 2] *= factor;", "rows.o[d][n][e] *= factor;",
       run(LONG, ALONE, "growing"), run(LONG, ALONE, "shrinking"))
mutant("decode-sum-not-rescaled", "nor the sum",
       SOFTMAX, "      rows.sum[n][e] *= factor;\n", "", run(LONG, ALONE, "growing"), run(LONG, ALONE, "shrinking"))
mutant("decode-max-of-four", "the maximum is of four of the eight lanes that share a row",
       SOFTMAX, "  return max_f32(x, shuffle_xor(x, 16));\n", "  return x;\n", run(LONG), run(LONG, ALONE, "growing"))
mutant("decode-sum-of-four", "so is the sum",
       SOFTMAX, "return x + shuffle_xor(x, 16);", "return x;", run(LONG))
mutant("decode-weights-not-transposed", "weights are multiplied as they were computed",
       SOFTMAX, "weights[k][n][1] = transpose_matrix(pack_2(x[2], x[3]));", "weights[k][n][1] = pack_2(x[2], x[3]);", run(LONG))
mutant("decode-odd-products-lost", "every second product of scores is forgotten",
       KERNEL, "s[k][n][e] += odd[k][n][e];", "s[k][n][e] += 0.f;", run(LONG))

section("Putting parts of a row together")
mutant("decode-ring-overwritten", "warps put their rows together before all of them are there",
       MERGE, "  store_rows(rows, smem + warp() * WARP_BYTES, scale);\n  block_barrier();\n",
       "  store_rows(rows, smem + warp() * WARP_BYTES, scale);\n", run(LONG))
mutant("decode-warp-dropped", "the last warp's keys are left out",
       MERGE, "SharedRows{smem}, 0, WARPS, row", "SharedRows{smem}, 0, WARPS - 1, row", run(LONG))
mutant("decode-part-dropped", "the last split's keys are left out",
       MERGE, "add(all, merge<MERGED_AT_A_TIME>(x.parts, first, w.splits, row", "add(all, merge<MERGED_AT_A_TIME>(x.parts, first, w.splits - 1, row",
       run(LONG, SPLIT))
mutant("decode-merge-stops", "no more than eight splits are put together",
       MERGE, "first < w.splits; first += MERGED_AT_A_TIME", "first < 1; first += MERGED_AT_A_TIME",
       run("hq2hkv1sq1sk400d32", variant(warps=1, splits=12)))
mutant("decode-weights-of-largest", "parts are added as if they had one reference",
       MERGE, "const float factor = exp2_approx(x[i].reference - reference);", "const float factor = 1.f;",
       run(LONG), run(LONG, SPLIT))
mutant("decode-sum-not-weighted", "so are their sums",
       MERGE, "fma_f32(x[i].sum, factor, all.sum)", "fma_f32(x[i].sum, 1.f, all.sum)", run(LONG))
mutant("decode-kept-not-weighted", "what was put together before is not brought to the new reference",
       MERGE, "to.o[e] * kept);", "to.o[e] * 1.f);", run("hq2hkv1sq1sk400d32", variant(warps=1, splits=12), "growing"),
       run("hq2hkv1sq1sk400d32", variant(warps=1, splits=12), "shrinking"))
mutant("decode-part-of-first", "all splits leave their parts in one place",
       MERGE, "store_part(x.parts, w.split, row", "store_part(x.parts, 0, row", run(LONG, SPLIT))
mutant("decode-units-overlap", "units leave their parts in one place",
       MERGE, "(i64)w.unit * (p.splits + groups) * PART_BYTES", "(i64)w.unit * 0", run("b2hq4hkv2sq1sk320d32", SPLIT))
mutant("decode-ticket-of-all", "all units draw from one ticket",
       MERGE, "workspace + w.unit * (1 + groups) * 4", "workspace + w.unit * groups * 4", run("b2hq4hkv2sq1sk320d32", SPLIT))
mutant("decode-ticket-not-reset", "a ticket goes on counting after the last one",
       MERGE, "increment(ticket, n - 1)", "increment(ticket, 1 << 20)", run(LONG, SPLIT))
mutant("decode-first-finishes", "the first block that comes takes the parts",
       MERGE, "(int)load_shared_32(smem) == n - 1", "(int)load_shared_32(smem) == 0", run(LONG, SPLIT))
mutant("decode-all-finish", "every block takes the parts",
       MERGE, "return (int)load_shared_32(smem) == n - 1;", "return true;", run(LONG, SPLIT))
mutant("decode-fence-before-missing", "a ticket is drawn before the part is there for others",
       MERGE, "    gpu_fence();\n    const u32 drawn", "    const u32 drawn", run(LONG, SPLIT))
mutant("decode-fence-after-missing", "parts are read as they were before the ticket",
       MERGE, "n - 1);\n    gpu_fence();\n", "n - 1);\n", run(LONG, SPLIT))
mutant("decode-barrier-before-ticket", "a ticket is drawn before all threads have left their parts",
       MERGE, "  block_barrier();  // the whole block's part is there; and nobody reads shared memory any more\n", "",
       run(LONG, SPLIT))
mutant("decode-barrier-after-ticket", "threads look at the ticket before it is drawn",
       MERGE, "    store_shared_32(smem, drawn);\n  }\n  block_barrier();\n", "    store_shared_32(smem, drawn);\n  }\n",
       run(LONG, SPLIT))
mutant("decode-group-of-window", "groups are counted from a window's first split, though their firsts are not",
       SCHEDULE, "quotient(w.before + split, MERGED_AT_A_TIME)", "quotient(split, MERGED_AT_A_TIME)", run(SHIFTED, MANY))
mutant("decode-group-begins-later", "a group begins where it would without a window",
       SCHEDULE, "group * MERGED_AT_A_TIME - w.before", "group * MERGED_AT_A_TIME", run(SHIFTED, MANY))
mutant("decode-group-too-many", "there is no room for the group that a window begins and ends in",
       SCHEDULE, "p.splits + 2 * (MERGED_AT_A_TIME - 1)", "p.splits + MERGED_AT_A_TIME - 1",
       run("b2hq2hkv1sq1sk544d32:window=431,0", variant(warps=1, splits=32)))
mutant("decode-groups-without-room", "groups are for fewer splits than the host has room for",
       SCHEDULE, "if (p.splits <= MOST_ALONE) return 0;", "if (p.splits <= MERGED_AT_A_TIME) return 0;",
       run("b2hq2hkv1sq1sk384d32", variant(warps=1, splits=24)))
mutant("decode-groups-without-tickets", "so are they where there are not tickets for all",
       SCHEDULE, "* (1 + groups) * 4 <= FL4_TICKET_BYTES ? groups : 0", "> 0 ? groups : 0", case("levels"))
mutant("decode-groups-without-place", "two levels where groups have no tickets",
       MERGE, "groups > 0 && w.splits > MOST_ALONE", "w.splits > MOST_ALONE", case("levels"))
mutant("decode-ticket-of-all-groups", "all groups of a unit draw from one ticket",
       MERGE, "x.tickets + (1 + group) * 4", "x.tickets + 4", run(GROUPS, MANY))
mutant("decode-ticket-of-group-is-units", "the first group draws from the unit's ticket",
       MERGE, "x.tickets + (1 + group) * 4", "x.tickets + group * 4", run(GROUPS, MANY))
mutant("decode-tickets-overlap", "a unit's ticket is that of the first group of the one before",
       MERGE, "workspace + w.unit * (1 + groups) * 4", "workspace + w.unit * 4", run(GROUPS, MANY))
mutant("decode-groups-overlap", "a unit's groups leave their parts where the next one's splits do",
       MERGE, "w.unit * (p.splits + groups) * PART_BYTES", "w.unit * p.splits * PART_BYTES", run(GROUPS, MANY))
mutant("decode-groups-in-splits", "groups leave their parts in the places of splits",
       MERGE, "{parts + (i64)p.splits * PART_BYTES}", "{parts}", run(GROUPS, MANY))
mutant("decode-group-in-first", "all groups leave their parts in one place",
       MERGE, "store_part(x.groups, group, row", "store_part(x.groups, 0, row", run(GROUPS, MANY))
mutant("decode-last-group-of-eight", "the last group waits for eight splits, though it has fewer",
       MERGE, "min_i32(first + MERGED_AT_A_TIME, w.splits)", "first + MERGED_AT_A_TIME", run(GROUPS, MANY))
mutant("decode-first-group-of-eight", "the first group of a window waits for eight splits, though it has fewer",
       MERGE, "max_i32(first, 0)", "first", run(SHIFTED, MANY))
mutant("decode-group-not-last", "every block of a group puts it together",
       MERGE, "if (!is_last(x.tickets + (1 + group) * 4, n, smem)) return;", "is_last(x.tickets + (1 + group) * 4, n, smem);",
       run(GROUPS, MANY))
mutant("decode-group-of-all", "a group has the splits of all before it, too",
       MERGE, "store_part(x.groups, group, row, quarter, merge<MERGED_AT_A_TIME>(x.parts, first, w.splits, row",
       "store_part(x.groups, group, row, quarter, merge<MERGED_AT_A_TIME>(x.parts, 0, w.splits, row", run(GROUPS, MANY))
mutant("decode-unit-waits-for-splits", "as many blocks draw the unit's ticket as there are splits, not groups",
       MERGE, "    drawers = group_of(w, w.splits - 1) + 1;\n", "", run(GROUPS, MANY))
mutant("decode-unit-without-last-group", "the last group does not draw the unit's ticket",
       MERGE, "drawers = group_of(w, w.splits - 1) + 1;", "drawers = group_of(w, w.splits - 1);", run(GROUPS, MANY))
mutant("decode-last-group-dropped", "the last group's keys are left out",
       MERGE, "const int n = group_of(w, w.splits - 1) + 1;", "const int n = group_of(w, w.splits - 1);", run(GROUPS, MANY))
mutant("decode-groups-stop", "no more than eight groups are put together",
       MERGE, "first < n; first += MERGED_AT_A_TIME", "first < 1; first += MERGED_AT_A_TIME", run(SHIFTED, MANY))
mutant("decode-groups-backwards", "groups are put together from the last to the first, unlike by one block",
       MERGE, "add(all, group[i]);", "add(all, group[MERGED_AT_A_TIME - 1 - i]);", case("levels"), case("invariant"))
mutant("decode-group-reference", "a group is added as if it had the reference of those before",
       MERGE, "factor = exp2_approx(x.reference - reference);", "factor = 1.f;", run(GROUPS, MANY, "growing"),
       run(GROUPS, MANY, "shrinking"))
mutant("decode-group-sum-kept", "the sum of the groups before is not brought to the new reference",
       MERGE, "to.sum * kept);", "to.sum);", run(GROUPS, MANY, "growing"), run(GROUPS, MANY, "shrinking"))
mutant("decode-sink-of-each-split", "each split counts the sink",
       MERGE, "const float state[4] = {x.reference, x.sum, 0.f, 0.f};\n  char *const at",
       "const Ending end = {x.reference, x.sum + (SINKS ? 1.f : 0.f), 1.f};\n  const float state[4] = {end.reference, end.sum, 0.f, 0.f};\n  char *const at",
       run("hq2hkv1sq1sk320d32:sinks:lse", SPLIT))
mutant("decode-sink-not-in-sum", "a sink does not count in the sum of the output",
       MERGE, "end.factor * inverse_sum(end.sum)", "end.factor * inverse_sum(x.sum)", run("hq2hkv1sq1sk40d32:sinks:lse"))
mutant("decode-sink-reference", "the output is not brought to the sink's reference",
       MERGE, "end.factor * inverse_sum(end.sum)", "inverse_sum(end.sum)", run("hq4hkv1sq1sk3d32:sinks:lse"))
mutant("decode-empty-row", "a row without a key is divided by its sum",
       "fl4_common.cuh", "return l == 0.f ? 0.f : reciprocal_approx(l);", "return reciprocal_approx(l);",
       run("b3hq2hkv1sq1sk0d32:lse"), run(LENS))
mutant("decode-empty-split", "a part without a key counts as one with the reference 0",
       SOFTMAX, "return largest == MINUS_INFINITY ? largest : largest * scale;", "return finite_reference(largest) * scale;",
       run("hq8hkv1sq1sk1d32:lse", inputs="large"))

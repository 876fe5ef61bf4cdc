# SPDX-License-Identifier: Apache-2.0
"""Mutants of lists of key tiles: how they are made, and how kernels walk them."""
from .table import Run, Table

MUTANTS = Table()
mutant, section = MUTANTS.mutant, MUTANTS.section

MASK, TILES, MMA, MMA_SCHEDULE, WGMMA, WGMMA_SCHEDULE = (
    "mask_tiles.cu", "fl4_tiles.cuh", "fwd_mma.cu", "fl4_schedule.cuh", "fwd_wgmma.cu", "wgmma_schedule.cuh")


def case(name):
    """A case of tests/emu/test_skip.cc: `lists`, or a variant with windows and masks."""
    return Run("case " + name, "skip")


LISTS = case("lists")

section("How lists are made")
mutant("lists-first-piece", "of a row's bytes the first piece is begun before the row",
       MASK, "max_i32(at, 0)", "at", LISTS)
mutant("lists-last-piece", "and the last one ends behind it",
       MASK, "min_i32(at + 16, bytes)", "at + 16", LISTS)
mutant("lists-pieces-as-aligned", "a row that begins between pieces has no more of them than one that does not",
       MASK, "(m.aligned ? 0 : 15)", "0", LISTS)
mutant("lists-whole-pieces-only", "pieces that are not whole are not looked at",
       MASK, "at < piece.end && !piece.whole()", "at < piece.end && piece.whole()", LISTS)
mutant("lists-first-words", "of sixteen bytes four are looked at",
       MASK, "word < 4; word++", "word < 1; word++", LISTS)
mutant("lists-own-lane", "each lane goes by what it has seen itself",
       MASK, "shown = warp_any(seen.shown)", "shown = seen.shown", LISTS)
mutant("lists-own-lane-hidden", "and by what it has seen hidden",
       MASK, "hidden = warp_any(seen.hidden)", "hidden = seen.hidden", LISTS)
mutant("lists-own-lane-at-once", "or at a glance",
       MASK, "shown = warp_any(glanced.shown >> e & 1)", "shown = glanced.shown >> e & 1", LISTS)
mutant("lists-glance-of-first", "what is glanced at in the first tile counts for all",
       MASK, "hidden = warp_any(glanced.hidden >> e & 1)", "hidden = warp_any(glanced.hidden & 1)", LISTS)
mutant("lists-glance-of-all", "and in any of them",
       MASK, "note(found, x[i], i);", "note(found, x[i], 0), found.shown |= 510 * (found.shown & 1);", LISTS)
mutant("lists-glance-beyond", "lanes go behind a tile's last row",
       MASK, "min_i32(row, mask.rows - 1) * mask.row_bytes", "row * mask.row_bytes", LISTS)
mutant("lists-first-parts", "nor of one with pieces that are not whole",
       MASK, "next < all && !", "next < 1 && !", LISTS)
mutant("lists-row-again-whole", "and of whole tiles",
       MASK, "at + row_offset(mask, row + i * at_once)", "at + row_offset(mask, i * at_once)", LISTS)
mutant("lists-rows-skipped", "every other row of a whole tile is left out",
       MASK, "row_offset(mask, row + i * at_once)", "row_offset(mask, next + 2 * (row - next + i * at_once))", LISTS)
mutant("lists-pieces-beyond", "lanes go behind a whole tile's last piece",
       MASK, "16 * min_i32(piece, mask.bytes(tile) / 16 - 1)", "16 * piece", LISTS)
mutant("lists-glance-parts", "tiles are glanced at that are not whole",
       MASK, "const Found glanced = whole ?", "const Found glanced = mask.aligned ?", LISTS)
mutant("lists-all-whole", "an aligned tile counts as whole at its end, too",
       MASK, "return aligned && bytes(tile) % 16 == 0;", "return aligned;", LISTS)
mutant("lists-half-the-lanes", "half as many lanes take a row as it has pieces",
       MASK, "while (16 << m.shift <", "while (32 << m.shift <", LISTS)
mutant("lists-glance-enough", "tiles are only glanced at",
       MASK, "if (!(shown && hidden)) {", "if (!(shown || hidden)) {", LISTS)
mutant("lists-glance-next", "and takes the next ones too late",
       MASK, "i < n; i += WARPS * AT_ONCE", "i < n; i += WARPS * 32", LISTS)
mutant("lists-enough-shown", "a tile of which something is shown is not looked at any further",
       MASK, "return warp_any(found.shown) && warp_any(found.hidden);", "return warp_any(found.shown);", LISTS)
mutant("lists-enough-hidden", "nor one of which something is hidden",
       MASK, "return warp_any(found.shown) && warp_any(found.hidden);", "return warp_any(found.hidden);", LISTS)
mutant("lists-hidden-words", "of pieces only those that are hidden as a whole count as hidden",
       MASK, "hidden |= zero_among(x[word])", "hidden |= x[word] == 0", LISTS)
mutant("lists-high-bytes", "bytes from 128 on count as 0",
       MASK, "(four - 0x01010101u) & ~four & 0x80808080u", "((four - 0x01010101u) | four) & 0x80808080u", LISTS)
mutant("lists-pieces-not-read", "pieces that are not whole count as hidden",
       MASK, "    if (piece.whole()) {", "    if (!piece.whole()) found.hidden = 1;\n    if (piece.whole()) {", LISTS)
mutant("lists-bytes-shown", "of pieces that are not whole nothing is hidden",
       MASK, "found.shown |= byte != 0, found.hidden |= byte == 0;", "found.shown |= byte != 0;", LISTS)
mutant("lists-none-open", "a list of nothing has a tile that the mask does not hide",
       MASK, "entry(max_i32(end - 1, 0), true)", "entry(max_i32(end - 1, 0), false)", LISTS)
mutant("lists-never-hides", "no tile is said to have hidden keys",
       MASK, "entry(first + thread_index(), mine & HIDDEN)", "entry(first + thread_index(), false)", LISTS)
mutant("lists-first-pieces", "only the first pieces of a tile are looked at",
       MASK, "next < mask.rows && !", "next < 1 && !", LISTS)
mutant("lists-beyond-pieces", "lanes go on behind the last piece of a tile",
       MASK, "if (item >= all) continue;", "if (item >= all + 32) continue;", LISTS, nth=1)
mutant("lists-row-again", "each row is the first",
       MASK, "(item >> mask.shift) * mask.row_bytes", "0", LISTS)
mutant("lists-rows-beyond", "rows behind the last query are looked at",
       MASK, "min_i32(first_row + params.tile_rows, p.Sq) - 1", "first_row + params.tile_rows - 1", LISTS)
mutant("lists-keys-beyond", "keys behind the last that any row sees are looked at",
       MASK, "min_i32(tile_keys, keys_end - tile * tile_keys)", "tile_keys", LISTS)
mutant("lists-one-key-of-many", "of a mask for each key the first is looked at",
       MASK, "key_bytes ? min_i32(tile_keys, keys_end - tile * tile_keys) : 1", "1", LISTS)
mutant("lists-begin-at-0", "tiles before the window are listed",
       MASK, "int first = keys_begin(p, p.Sq, keys, first_row) / params.tile_keys;", "int first = 0;", LISTS)
mutant("lists-begin-with-last-row", "tiles that only the first rows see are not",
       MASK, "keys_begin(p, p.Sq, keys, first_row)", "keys_begin(p, p.Sq, keys, last_row)", LISTS)
mutant("lists-end-with-first-row", "tiles that only the last rows see are not listed",
       MASK, "keys_end(p, p.Sq, keys, last_row)", "keys_end(p, p.Sq, keys, first_row)", LISTS)
mutant("lists-length-of-first", "the first sequence's length is that of all",
       MASK, "sequence_of(p, b).keys", "sequence_of(p, 0).keys", LISTS)
mutant("lists-batch-of-mask", "sequences have the first one's mask",
       MASK, "b * p.bias_stride[0]", "0 * p.bias_stride[0]", LISTS)
mutant("lists-head-of-mask", "heads have the first one's mask",
       MASK, "h * p.bias_stride[1]", "0 * p.bias_stride[1]", LISTS)
mutant("lists-head-of-all", "heads are counted on through the batch",
       MASK, "h = head_and_batch % params.heads", "h = head_and_batch", LISTS)
mutant("lists-once", "tiles beyond those that a block has threads for are not listed",
       MASK, "first < end; first += FL4_AUX_THREADS", "first < end; first += end", LISTS)
mutant("lists-counted-anew", "and those of the next turn are written over the first",
       MASK, "listed += sum;", "listed = first ? listed : listed + sum;", LISTS)
mutant("lists-first-barrier", "threads ask which tiles are shown before all warps have told",
       MASK, "    block_barrier();\n    const u32 mine", "    const u32 mine", LISTS)
mutant("lists-second-barrier", "and for other warps' sums too early",
       MASK, "    block_barrier();\n    int before", "    int before", LISTS)
mutant("lists-warps-before", "tiles of warps before do not count",
       MASK, "if (w < warp) before += sum;", "", LISTS)
mutant("lists-own-warp", "the own warp counts among those before",
       MASK, "if (w < warp)", "if (w <= warp)", LISTS)
mutant("lists-lanes-before", "tiles of lanes before count only to the next but fifteen",
       MASK, "step < 32; step *= 2", "step < 16; step *= 2", LISTS)
mutant("lists-sum-of-first-lane", "a warp's sum is its first lane's",
       MASK, "lane_index() == 31", "lane_index() == 0", LISTS)
mutant("lists-number-in-turn", "a tile's number counts from the turn's first",
       MASK, "entry(first + thread_index(), mine", "entry(thread_index(), mine", LISTS)
mutant("lists-none", "an empty list has no tile for those who take one at least",
       MASK, "  if (listed == 0) store_global_32(list + 4, float_from_bits((u32)entry(max_i32(end - 1, 0), true)));\n", "", LISTS)
mutant("lists-none-beyond", "or one behind the last",
       MASK, "entry(max_i32(end - 1, 0), true)", "entry(end, true)", LISTS)

section("How kernels walk them")
VARIANTS = {name: case(name) for name in
            ("mma", "mma_weaving", "mma_splits", "wgmma", "wgmma_tickets", "wgmma_turns", "wgmma_splits")}
mutant("listed-batch", "a sequence takes another one's list",
       TILES, "b * p.list_stride[0]", "0 * p.list_stride[0]", VARIANTS["mma"])
mutant("listed-row-tile", "a row tile takes the first one's list",
       TILES, "row_tile * p.list_stride[2]", "0 * p.list_stride[2]", VARIANTS["wgmma"])
mutant("listed-one-early", "tiles are looked for one place early",
       TILES, "list + 4 + 4 * i", "list + 4 * i", VARIANTS["mma"])
mutant("listed-before-late", "a tile that may need a mask counts as open",
       TILES, "tile_of(listed_entry(list, middle)) < end", "tile_of(listed_entry(list, middle)) <= end", VARIANTS["mma"])
mutant("listed-exact-none", "fwd_mma: no tile is masked on the right",
       MMA_SCHEDULE, "w.exact = n - listed_before(w.list, n, all - w.exact);", "w.exact = 0;", VARIANTS["mma"])
mutant("listed-tail-none", "fwd_mma: nor on the left",
       MMA_SCHEDULE, "w.tail = n - listed_before(w.list, n, all - w.tail);", "w.tail = n;", VARIANTS["mma"])
mutant("listed-tiles-of-all", "fwd_mma: the list is walked from where all tiles end",
       MMA_SCHEDULE, "  w.tiles = n;\n", "", VARIANTS["mma"])
mutant("listed-share-of-all", "fwd_mma: blocks share all tiles, and not those listed",
       MMA_SCHEDULE, "w.end = n * (split + 1) / SPLITS;\n}\n#endif", "w.end = all * (split + 1) / SPLITS;\n}\n#endif",
       VARIANTS["mma_splits"])
mutant("listed-next-beside", "fwd_mma: with weaving the next scores are those of the tile beside",
       MMA, "SKIP ? first_key(w, next) : key0 - BN", "key0 - BN", VARIANTS["mma_weaving"])
mutant("listed-count-none", "fwd_wgmma: a row tile of which nothing is shown has no key tile",
       WGMMA_SCHEDULE, "max_i32(1, listed_tiles(", "(listed_tiles(", VARIANTS["wgmma_tickets"])
mutant("listed-count-of-all", "fwd_wgmma: as many tiles as without the list are taken",
       WGMMA_SCHEDULE, "  if constexpr (SKIP) t.first_tile = 0, t.key_tiles = max_i32(1, listed_tiles(tile_list(p, t.b, t.h, t.row0 / BM)));\n",
       "", VARIANTS["wgmma"])
mutant("listed-first-of-all", "fwd_wgmma: with a window the first listed are left out",
       WGMMA_SCHEDULE, "if constexpr (SKIP) t.first_tile = 0, t", "if constexpr (SKIP) t", VARIANTS["wgmma_turns"])
mutant("listed-keys-beside", "fwd_wgmma: the next keys are those of the tile beside",
       WGMMA, "KEY_TILE(next, tile - 1) * BN, next)", "max_i32(0, tile_of(here) - 1) * BN, next)", VARIANTS["wgmma_tickets"],
       VARIANTS["wgmma_turns"])
mutant("listed-values-beside", "fwd_wgmma: values come from another tile than keys",
       WGMMA, "KEY_TILE(here, tile) * BN", "tile * BN", VARIANTS["wgmma"])
mutant("listed-entry-stays", "fwd_wgmma: a row tile's values are all those of its last tile",
       WGMMA, "      here = next;\n", "", VARIANTS["wgmma"])
mutant("listed-last-values", "fwd_wgmma: a row tile's last values are those of tile 0",
       WGMMA, "KEY_TILE(here, first_tile(before)) * BN", "0", VARIANTS["wgmma"])
mutant("listed-values-of-next", "fwd_wgmma: or those of the next row tile's last keys",
       WGMMA, "KEY_TILE(rest, first_tile(before)) * BN", "KEY_TILE(here, first_tile(before)) * BN", VARIANTS["wgmma_tickets"])
mutant("listed-biases-beside", "fwd_wgmma: masks come from another tile than keys",
       WGMMA, "KEY_TILE(next, tile - 1) * BN);\n      here", "(tile - 1) * BN);\n      here", VARIANTS["wgmma_tickets"])
mutant("listed-masked-as-numbered", "fwd_wgmma: a tile is masked as if it lay where its number is",
       WGMMA, "const int at = KEY_TILE(listed, tile);", "const int at = tile;", VARIANTS["wgmma_turns"])
mutant("listed-open-copied", "fwd_wgmma: masks are copied for tiles where nobody reads them",
       WGMMA, "if (!SKIP || hides(next)) load_biases", "load_biases", VARIANTS["wgmma_tickets"])
mutant("listed-open-read", "fwd_wgmma: masks are waited for where none is copied",
       WGMMA, "at * BN, !SKIP || hides(listed));", "at * BN, true);", VARIANTS["wgmma_tickets"])
mutant("listed-open-none", "fwd_wgmma: no tile is masked by bytes",
       WGMMA, "at * BN, !SKIP || hides(listed));", "at * BN, !SKIP);", VARIANTS["wgmma_splits"])
mutant("listed-told-early", "fwd_wgmma: an entry is told before the slot is free, whose last one is still read",
       WGMMA, "  if (!wait_for(p.fwd, pipe.k_empty, at.slot, at.phase + 1)) return; // another arrival would be one too many\n  if constexpr (SKIP) store_shared_32(pipe.entries + 4 * at.slot, entry);\n",
       "  if constexpr (SKIP) store_shared_32(pipe.entries + 4 * at.slot, entry);\n  if (!wait_for(p.fwd, pipe.k_empty, at.slot, at.phase + 1)) return; // another arrival would be one too many\n",
       VARIANTS["wgmma"])
mutant("listed-entry-of-first-slot", "fwd_wgmma: entries lie in one place",
       WGMMA, "load_shared_32(pipe.entries + 4 * slot)", "load_shared_32(pipe.entries + 0 * slot)", VARIANTS["wgmma"])
mutant("listed-heard-by-another", "fwd_wgmma: a lane gives the slot back whose entry another reads",
       WGMMA, "lane() == 0 ? load_shared_32(pipe.entries + 4 * slot) : 0;\n  return (int)shuffle_from(entry, 0);",
       "lane() == 9 ? load_shared_32(pipe.entries + 4 * slot) : 0;\n  return (int)shuffle_from(entry, 9);", VARIANTS["wgmma"])
mutant("listed-heard-by-one", "fwd_wgmma: the other lanes do not hear the entry",
       WGMMA, "return (int)shuffle_from(entry, 0);", "return (int)entry;", VARIANTS["wgmma"])
mutant("listed-mma-never-hides", "fwd_mma: no open tile is masked by bytes",
       MMA, "take_open(rows, rising, q, lane_at, at, p, w, first_row(w), first_key(w, tile), MAY_HIDE(w, tile));",
       "take_open(rows, rising, q, lane_at, at, p, w, first_row(w), first_key(w, tile), false);", VARIANTS["mma"])
mutant("listed-mma-masked-never-hides", "fwd_mma: nor one at an end",
       MMA, "take_masked(rows, q, lane_at, at, p, w, first_row(w), first_key(w, tile), MAY_HIDE(w, tile));",
       "take_masked(rows, q, lane_at, at, p, w, first_row(w), first_key(w, tile), false);", VARIANTS["mma"], nth=1)
mutant("listed-weaving-of-this", "fwd_mma: with weaving the next tile's scores are masked if this tile's are",
       MMA, "slice + 1 < SLICES ? biases : next_biases", "biases", VARIANTS["mma_weaving"])
mutant("listed-hides-odd", "bits of an entry are mistaken",
       TILES, "return entry & 1;", "return !(entry & 1);", VARIANTS["mma"])

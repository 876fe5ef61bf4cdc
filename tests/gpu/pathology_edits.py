# SPDX-License-Identifier: Apache-2.0
"""Bad choices that no parameter makes: edits of fwd_mma that leave its results right, and make it slow."""
import contextlib
import pathlib
import sys
import tempfile
import typing

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(TOP / "tests" / "emu"))

from mutants.edit import EditError, copy_kernels, edit

FWD, RING, SMEM, SWIZZLE, SCHEDULE, CONFIG = ("fwd_mma.cu", "mma_ring.cuh", "fl4_smem.cuh", "fl4_swizzle.cuh",
                                              "fl4_schedule.cuh", "fl4_config.cuh")
SOUND = "as it is"


class Pathology(typing.NamedTuple):
    name: str
    what: str
    edits: tuple  # (file, text, other text, and which of several places); nearly always one
    causal: bool = False  # is it one only under a causal mask?
    stages: int = 2  # with fewer it changes nothing


def pathology(name, what, *edits, **more):
    return Pathology(name, what, edits, **more)


REFILL = "  load_for<false, false>(r, p, tile + STAGES - 1, slot_before(at.k, K_SLOTS), slot_before(at.v, V_SLOTS));\n"
END_TILE = "FL4_DEV void end_tile(Slots &at)\n{\n"
SECTIONS = """\
  const int section_blocks = p.section_heads * p.row_tiles;
  const int section = row_tile / section_blocks, place = row_tile % section_blocks;
  const int first_head = section * p.section_heads;
  const int heads = min_i32(p.section_heads, grid_heads(p) - first_head);
  const int head = first_head + place % heads;
"""

PATHOLOGIES = (
    # Shared memory and copies.
    pathology("no swizzle", "the chunks of a row lie in order: eight rows of a chunk are in the same banks",
              (SWIZZLE, "(chunk ^ ((row >> SHIFT) & (GROUP - 1))) * 16", "chunk * 16"),
              (SWIZZLE, "(base ^ ((step % (GROUP / 2)) * 32)) + (step / (GROUP / 2)) * (GROUP * 16)", "base + step * 32")),
    pathology("one stage", "each tile is waited for as soon as its copy is issued: nothing is on its way meanwhile",
              (RING, REFILL, REFILL + "  cp_async_wait<0>();\n")),
    pathology("drain all", "each wait is for all copies under way, also those of the tiles behind the next",
              (RING, "  cp_async_wait<STAGES - 2>();\n  block_barrier(); // it is",
               "  cp_async_wait<0>();\n  block_barrier(); // it is"),
              (FWD, "      cp_async_wait<STAGES - 2>();", "      cp_async_wait<0>();"), stages=3),
    pathology("through registers", "tiles are copied by loads and stores, one after the other, not by cp.async",
              (SMEM, "      cp_async_16(to, source);\n",
               "      float x[4];\n      load_global_f32x4_shared(x, source);\n      store_shared_f32x4(to, x);\n")),
    pathology("guards everywhere", "each tile is copied with the guards that only a partial one needs",
              (RING, REFILL, REFILL.replace("<false, false>", "<true, true>"))),
    pathology("two barriers a tile", "the block meets after each tile too, not only before it",
              (RING, END_TILE, END_TILE + "  block_barrier();\n")),
    # Order.
    pathology("light tiles first", "row tiles are taken from the first to the last: the longest start last",
              (SCHEDULE, "(p.row_tiles - 1 - place / heads) * BM", "place / heads * BM"), causal=True),
    pathology("heads one by one", "all row tiles of a head, then the next head: sections of one head",
              (SCHEDULE, SECTIONS,
               "  const int heads = 1, place = row_tile % p.row_tiles, head = row_tile / p.row_tiles;\n")),
    pathology("all heads at once", "no sections: keys and values of all heads compete for the L2 cache",
              (SCHEDULE, SECTIONS, "  const int heads = grid_heads(p), place = row_tile, head = place % heads;\n")),
    # Registers.
    pathology("spills forced", "registers for twice the blocks a multiprocessor: what has no place goes to memory",
              (FWD, "FL4_KERNEL(fl4_fwd_mma, THREADS, CTAS)", "FL4_KERNEL(fl4_fwd_mma, THREADS, 2 * CTAS)")),
    # Softmax.
    pathology("true maxima", "each slice by its true maximum, as the textbook has it: no reference that lags behind",
              (CONFIG, "ALWAYS_EXACT = BM == 16;", "ALWAYS_EXACT = true;"),
              (FWD, "if (beyond_limit(weights, rows)) renew(", "renew(")),
    pathology("masks everywhere", "each tile is taken as one that may need a mask, also by its true maxima",
              (SCHEDULE, "w.exact = w.tiles - all / BN;", "w.exact = w.tiles;")),
)


@contextlib.contextmanager
def folders(kernels, pathologies=PATHOLOGIES):
    """Folders of kernel sources by name, the sound ones among them. Ends the program if a text is no longer there."""
    with tempfile.TemporaryDirectory(prefix="fl4-pathologies-") as top:
        out = {name: pathlib.Path(top) / name.replace(" ", "-") for name in [SOUND, *(p.name for p in pathologies)]}
        for folder in out.values():
            folder.mkdir()
            copy_kernels(kernels, folder)
        for p in pathologies:
            for file, *rest in p.edits:
                try:
                    edit(out[p.name] / file, *rest)
                except EditError as error:
                    raise SystemExit(f"FAILED {p.name}: {error}") from None
        yield out

# SPDX-License-Identifier: Apache-2.0
"""What the mutants of fwd_wgmma are tried on: variants that show one thing each, and small problems."""
from .table import Run


def variant(groups=1, stages=2, qbuf=1, sched=0, splits=1, pack=1):
    return (f"fwd_wgmma:groups={groups},bn=48,stages={stages},qbuf={qbuf},pingpong={int(groups > 1)},sched={sched},"
            f"splits={splits},pack={pack}")


ONE = variant()                                              # one row tile a block
IN_TURN, BOTH = variant(sched=1), variant(qbuf=2, sched=1)   # every n-th; with one query tile or two
TICKET = variant(sched=2)
PAIR, PAIR2, THREE = variant(groups=2, sched=1), variant(groups=2, qbuf=2, sched=1), variant(groups=3, sched=1)


def run(problem, variant=ONE, inputs="normal", mode="late", device="emu:1"):
    """emu:1 has one multiprocessor, emu:2 has three."""
    return Run(problem, variant, inputs, mode, device=device)


# Key tiles, the last one partial; row tiles of some key tiles, and of one; two pages of columns; shared key heads;
# rows enough that in some warp only half of them rises.
# With no more than 64 queries each key tile is taken by its maxima: LONG is KEYS with a steady loop.
LONG = "hq1sq65sk200d16"
KEYS, ROWS, SHORT, PAGES = "hq1sq64sk200d16", "hq2sq200sk100d16:lse", "hq2sq200sk40d16", "hq1sq64sk100d80"
HEADS, MANY = "b2hq4hkv2sq64sk100d16", "hq16sq70sk144d16"
# A causal mask off the main diagonal; queries that see no key; sections of two heads and one.
CAUSAL, UNSEEN, SECTIONS = "hq1sq130sk150d16:causal:lse", "hq1sq130sk20d16:causal:lse", "hq3sq130sk130d16:causal"

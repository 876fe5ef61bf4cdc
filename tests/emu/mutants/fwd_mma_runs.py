# SPDX-License-Identifier: Apache-2.0
"""What the mutants of fwd_mma are tried on: variants that show one thing each, and small problems."""
from .table import Run


def variant(bm=32, bn=16, warps=2, stages=2, qreg=0, slice=16, weave=0, kgroups=1, splits=1):
    return (f"fwd_mma:bm={bm},bn={bn},warps={warps},stages={stages},qreg={qreg},slice={slice},weave={weave},"
            f"kgroups={kgroups},splits={splits},ctas=1")


S2, S3 = variant(), variant(stages=3)                  # Q in shared memory, a ring of 2 or 3
S2Q, S3Q = variant(qreg=1), variant(stages=3, qreg=1)  # Q in registers
ROWS32 = variant(bm=64)                                # 32 rows a warp
WIDE = variant(bn=128, slice=128)                      # tiles that reach far behind a short K or V
TALL = variant(bm=256, warps=8)                        # and far behind a short Q
CROWD = variant(bm=64, warps=4)                        # more threads than a tile of 16 keys has chunks
SLICES = variant(bn=32)                                # two slices a tile
BROAD = variant(bn=32, slice=32)                       # one slice of two fragments
WEAVE, WEAVE3 = variant(bn=32, weave=1), variant(bn=32, weave=1, stages=3)
FULL = variant(bm=64, bn=128, slice=128)              # no registers to keep the scores in
GROUPS2 = variant(bn=32, warps=4, kgroups=2)           # two warps of rows, two of keys
GROUPS4 = variant(bm=16, bn=64, warps=4, kgroups=4)    # one of rows, four of keys
SPLIT2, SPLIT4 = variant(splits=2), variant(splits=4)


def run(problem, variant=S2, inputs="normal", mode="late", counts=False):
    return Run(problem, variant, inputs, mode, counts)


# Whole tiles, more of them; a partial one; a causal mask off the main diagonal; queries that see no key.
WHOLE, LONG, PARTIAL = "hq1sq64sk64d16", "hq1sq32sk192d16", "hq1sq40sk41d16:lse"
CAUSAL, UNSEEN = "hq1sq64sk77d16:causal", "hq1sq48sk20d16:causal:lse"
ODD = "hq1sq20sk21d24:odd"
FEW = "hq4sq1sk192d16"  # one row a warp: no other one makes up for what it does not see
BF16 = "hq1sq40sk141d16:bf16:lse"  # the log-sum-exp has a sum of its own

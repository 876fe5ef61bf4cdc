# SPDX-License-Identifier: Apache-2.0
"""What tools/peers_decode.py measures, and what is to be reached. Needs neither a GPU nor torch.

A problem belongs to a part, and has contenders. The first of them, "fl4", is ours: contiguous keys, shared out as the
library likes. A ratio is the time of another contender / that of "fl4".
"""
import dataclasses
import statistics

CONTENDERS = {
    "grid": ("fl4", "fa2", "cudnn"),
    "latency": ("fl4", "fa2", "cudnn"),
    "queries": ("fl4", "cudnn"),
    "paged": ("fl4", "page16", "page64"),
    "invariant": ("fl4", "invariant"),
}
PEERS = ("fa2", "cudnn")
HEADS = ((32, 8), (64, 8), (8, 8), (32, 1))
DTYPES = ("bf16", "fp16")
LARGE = 256 * 10**6  # bytes of keys and values from which on reading them is all that takes time


@dataclasses.dataclass(frozen=True)
class Problem:
    """Decode: few queries, many keys, no mask."""

    part: str
    dtype: str
    b: int
    hq: int
    hkv: int
    sq: int
    sk: int
    d: int

    def line(self):
        """As the library takes and shows it."""
        b = f"b{self.b}" if self.b > 1 else ""
        hkv = f"hkv{self.hkv}" if self.hkv != self.hq else ""
        return f"{b}hq{self.hq}{hkv}sq{self.sq}sk{self.sk}d{self.d}" + (":bf16" if self.dtype == "bf16" else "")

    def kv_bytes(self):
        return 4 * self.b * self.hkv * self.sk * self.d

    def bytes(self):
        """Q, K, V and O once each."""
        return self.kv_bytes() + 4 * self.b * self.hq * self.sq * self.d

    def sets(self):
        """Sets of tensors in turn: together some 300 MB, so that no cache holds them."""
        return max(1, min(32, round(3e8 / self.bytes())))

    def calls(self):
        """Of a graph: about a millisecond and a half, and each set as often."""
        n = max(1, min(64, int(1.5e-3 / seconds_of_call(self))))
        return -(-n // self.sets()) * self.sets()

    def room(self):
        """Bytes of device memory that measuring takes: paged ones hold their keys three times."""
        return self.bytes() * self.sets() * (3 if self.part == "paged" else 1)


def seconds_of_call(p, rate=4e12):
    """At so many bytes a second."""
    return 6e-6 + p.bytes() / rate


def seconds(p, rounds):
    """A guess of the whole time on a GPU like the H200: making inputs, the peers' plans, graphs, rounds."""
    n = sum(4 if p.part == "queries" and c == "cudnn" else 1 for c in CONTENDERS[p.part])
    graphs = 7 / 3 if p.part == "latency" else 1  # calls in a row, calls apart, and what keeps them apart
    return 0.25 + p.room() / 2e11 + graphs * n * (rounds + 4) * p.calls() * seconds_of_call(p)


# Of B and Sk, at D = 128 and 64: both ends of either, together too; small, medium and large amounts of keys.
_GRID = {
    128: ((1, 1024), (64, 1024), (1, 4096), (4, 8192), (1, 32768), (16, 4096), (1, 131072), (64, 4096), (16, 32768),
          (64, 131072)),
    64: ((1, 1024), (64, 1024), (16, 4096), (1, 131072), (64, 131072)),
}  # fmt: skip


def _grid(dtype):
    return [Problem("grid", dtype, b, *heads, 1, sk, d) for d, of in _GRID.items() for b, sk in of for heads in HEADS]


def _latency(dtype):
    return [Problem("latency", dtype, 1, 32, 8, 1, 4096, 128)]


def _queries(dtype):
    shapes = ((1, 32, 4096, 128), (16, 32, 4096, 128), (1, 32, 32768, 128), (16, 64, 4096, 128), (16, 32, 4096, 64))
    return [Problem("queries", dtype, b, hq, 8, sq, sk, d) for b, hq, sk, d in shapes for sq in (2, 4, 8)]


def _paged(dtype):
    shapes = ((1, 32, 8, 4096, 128), (16, 32, 8, 4096, 128), (1, 32, 8, 131072, 128), (64, 32, 8, 4096, 128),
              (16, 64, 8, 4096, 128), (16, 8, 8, 4096, 128), (16, 32, 1, 8192, 128), (16, 32, 8, 4096, 64))  # fmt: skip
    return [Problem("paged", dtype, b, hq, hkv, 1, sk, d) for b, hq, hkv, sk, d in shapes if dtype == "bf16"]


def _invariant(dtype):
    shapes = ((1, 32, 8, 32768, 128), (16, 32, 8, 32768, 128), (1, 32, 8, 131072, 128), (4, 32, 8, 131072, 128),
              (1, 64, 8, 32768, 128), (16, 32, 1, 32768, 128), (16, 32, 8, 32768, 64))  # fmt: skip
    return [Problem("invariant", dtype, b, hq, hkv, 1, sk, d) for b, hq, hkv, sk, d in shapes if dtype == "bf16"]


_PARTS = {"latency": _latency, "queries": _queries, "paged": _paged, "invariant": _invariant, "grid": _grid}


def problems(parts=tuple(_PARTS), dtypes=DTYPES, memory=None):
    """Those of the parts that take at most `memory` bytes, the smallest of each part first.

    Pages and invariance are the same code for either dtype, and are measured in bf16 alone.
    """
    found = [p for part in _PARTS if part in parts for dtype in dtypes for p in _PARTS[part](dtype)]
    order = list(_PARTS)
    found.sort(key=lambda p: (order.index(p.part), p.room()))
    return [p for p in found if memory is None or p.room() <= memory]


# ---------------------------------------------------------------- what is to be reached


@dataclasses.dataclass
class Row:
    """What was measured of a problem. `ratios`: of the other contenders that ran."""

    problem: Problem
    p50_us: float
    ratios: dict
    percent_read: float = None
    latency_us: float = None


@dataclasses.dataclass
class Target:
    """`measured` is to be at least, or at most, `wanted`; `where` is the problem that it is of, if it is of one."""

    what: str
    dtype: str
    wanted: float
    least: bool
    measured: float
    where: str
    problems: int

    @property
    def met(self):
        return self.measured >= self.wanted if self.least else self.measured <= self.wanted

    def sentence(self):
        sign, where = "≥" if self.least else "≤", f" {self.where}" if self.where else ""
        return f"{self.what}, {self.dtype}: {self.measured:.3f}{where}, wanted {sign} {self.wanted:g}: " + (
            "met" if self.met else "MISSED")  # fmt: skip


def _extreme(what, dtype, wanted, least, members):
    """Of (value, line)s the worst one."""
    measured, where = (min if least else max)(members)
    return Target(what, dtype, wanted, least, measured, where, len(members))


def targets(rows):
    """What the rows say about each target that they say anything about."""
    out = []
    for dtype in DTYPES:
        of = {part: [r for r in rows if r.problem.part == part and r.problem.dtype == dtype] for part in CONTENDERS}
        best = [(min(r.ratios[q] for q in PEERS if q in r.ratios), r.problem.line())
                for r in of["grid"] if set(PEERS) & set(r.ratios)]  # fmt: skip
        if best:
            mean = statistics.geometric_mean(ratio for ratio, _ in best)
            out.append(Target("grid, better peer / fl4, geomean", dtype, 1.08, True, mean, "", len(best)))
            out.append(_extreme("grid, better peer / fl4, least", dtype, 1.0, True, best))
        large = [(r.percent_read, r.problem.line()) for r in of["grid"]
                 if r.percent_read and r.problem.kv_bytes() >= LARGE]  # fmt: skip
        if large:
            out.append(_extreme("grid, % of read bandwidth, K+V ≥ 256 MB, least", dtype, 97, True, large))
        for r in of["latency"]:
            out.append(_extreme("latency, µs", dtype, 8, False, [(r.latency_us, r.problem.line())]))
        for part, name, what, wanted in (
            ("queries", "cudnn", "Sq 2 to 8, cuDNN / fl4, least", 2.5),
            ("paged", "page16", "pages of 16 / contiguous, most", 1.03),
            ("paged", "page64", "pages of 64 / contiguous, most", 1.03),
            ("invariant", "invariant", "batch invariant / free choice, most", 1.10),
        ):
            members = [(r.ratios[name], r.problem.line()) for r in of[part] if name in r.ratios]
            if members:
                out.append(_extreme(what, dtype, wanted, part == "queries", members))
    return out

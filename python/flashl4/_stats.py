# SPDX-License-Identifier: Apache-2.0
"""What a set of timings says, and whether one set is faster than another: stats.h."""
import array
import ctypes
from dataclasses import dataclass

from . import _api
from ._api import lib as _lib
from ._common import check, values


@dataclass
class Statistics:
    """Order statistics and moments of a sample, in its unit. NaN: the sample is too small to tell."""

    n: int  #: samples
    min: float
    max: float
    mean: float
    stdev: float  #: of the sample (n - 1); NaN for one sample
    p50: float  #: median; needs 6 samples, or is NaN
    p90: float  #: needs 36 samples, or is NaN
    p95: float  #: needs 72 samples, or is NaN
    p99: float  #: needs 368 samples, or is NaN
    p50_low: float  #: lower end of the 95 % confidence interval of the median
    p50_high: float  #: upper end


@dataclass
class Comparison:
    """The other against the base, in times: a ratio above 1 means that the other is slower."""

    n: int  #: pairs, or samples of the smaller side
    paired: bool
    verdict: str  #: "faster", "slower", "same" or "ambiguous"
    ratio: float  #: time of other / base
    low: float  #: lower end of its 95 % bootstrap interval
    high: float  #: upper end
    p_slower: float  #: p-value against "not slower by more than the threshold"
    p_faster: float  #: p-value against "not faster by more than the threshold"
    p_adjusted: float  #: the smaller of the two after Holm's correction over all that were judged together
    threshold: float  #: relative difference that matters
    alpha: float  #: risk of a wrong "faster" or "slower" over all that were judged together


def make_comparison(struct):
    """A Comparison of a C struct; None if it says that nothing was compared."""
    if struct.n == 0:
        return None
    fields = values(struct)
    fields.update(paired=bool(struct.paired), verdict=_api.VERDICTS[struct.verdict])
    return Comparison(**fields)


def _doubles(samples):
    """A C array of any sequence of numbers."""
    data = array.array("d", samples)
    return (ctypes.c_double * len(data)).from_buffer(data)


def statistics(samples):
    """Statistics of finite numbers, such as times, in any order."""
    data, out = _doubles(samples), _api.Statistics()
    check(_lib.fl4_statistics_compute(data, len(data), ctypes.byref(out)))
    return Statistics(**values(out))


def compare(base, other, *, paired=False, threshold=0.01, alpha=0.05, resamples=2000, seed=0):
    """Is `other` faster than `base`? Returns a Comparison, judged by itself.

    Both are sequences of times, in the order measured. paired: base[i] and other[i] were measured side
    by side, so that they share what disturbs them; both have the same length then. `threshold` is the
    relative difference that matters; `resamples` and `seed` are the bootstrap's.
    """
    base, other, out = _doubles(base), _doubles(other), _api.Comparison()
    options = _api.CompareOptions(threshold=threshold, alpha=alpha, resamples=resamples, paired=bool(paired), seed=seed)
    check(_lib.fl4_compare_samples(base, len(base), other, len(other), ctypes.byref(options), ctypes.byref(out)))
    return make_comparison(out)


def judge(comparisons):
    """Judges comparisons that belong together, such as all problems of a run (Holm's correction).

    Returns new Comparisons in the same order; None, as of a base, stays None.
    """
    comparisons = list(comparisons)
    structs = [_api.Comparison(**{**vars(c), "verdict": 0}) if c else _api.Comparison() for c in comparisons]
    if structs:
        pointers = (ctypes.POINTER(_api.Comparison) * len(structs))(*map(ctypes.pointer, structs))
        check(_lib.fl4_compare_judge(pointers, len(structs)))
    return [make_comparison(struct) for struct in structs]

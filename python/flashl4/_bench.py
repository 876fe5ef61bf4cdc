# SPDX-License-Identifier: Apache-2.0
"""How fast is it? bench.h: timings of one contender or of several, paired."""
import array
import contextlib
import ctypes
from dataclasses import dataclass, field
from typing import Optional

import flashl4

from . import _api
from ._api import lib as _lib
from ._common import Watch, check, choice, encoded, format_problem, parse_problem, values
from ._stats import Comparison, Statistics, make_comparison


@dataclass
class Contender:
    """One of those that bench() compares. A plain string stands for Contender(variant=string)."""

    variant: Optional[str] = None  #: None: the library's choice; else "fwd_mma:bm=64,bn=64"
    name: Optional[str] = None  #: in results; None: made of the rest
    kind: str = "forward"  #: or "oracle": the unfused computation, by cuBLAS on CUDA and in fp64 on the host
    device: Optional[str] = None  #: None: the context's; "host": this machine's CPU
    library: Optional[str] = None  #: None: this library; else the file of another build of libflashl4


@dataclass
class Limits:
    """What a device can do at most, as measured. 0: not measured."""

    mma_tflops: float = 0.0  #: 10¹² operations a second: mma.sync, 16-bit, fp32 sums; host: fp32 multiply-adds
    gemm_tflops: float = 0.0  #: cuBLAS, fp16, 8192³, fp32 sums
    read_gbps: float = 0.0  #: 10⁹ bytes a second read from memory


@dataclass
class Health:
    """State of a device at a moment, from NVML. None where it is not known."""

    sm_clock_mhz: Optional[int]
    sm_clock_max_mhz: Optional[int]
    memory_clock_mhz: Optional[int]
    temperature_c: Optional[int]
    power_w: Optional[float]
    power_limit_w: Optional[float]
    throttle_reasons: Optional[int]  #: NVML's bits; 0: none
    throttle: str  #: the same in words: "none", "power cap, thermal", "unknown"
    driver: str  #: version of the driver, or "unknown"


@dataclass
class Progress:
    """What bench() is doing."""

    problem: int  #: index of the problem
    n_problems: int  #: of how many
    line: str  #: the problem
    phase: str  #: "inputs", "checking", "warming up", "timing"
    round: int  #: samples taken of each contender
    seconds: float  #: timing of this problem so far
    precision: float  #: half width of the widest interval of a median, relative; NaN before there is one


@dataclass
class BenchResult:
    """One contender on one problem. Times are microseconds of one call; NaN: not measured."""

    problem: str  #: the problem's line
    name: str  #: of the contender
    status: str  #: "OK", or why there are no timings, "UNSUPPORTED"
    error: str  #: the sentence to it, or what was wrong with the output
    checked: bool  #: the output was right before and after timing
    samples: array.array = field(repr=False)  #: times in the order measured, [stats.n]
    stats: Statistics  #: of the samples
    against: Optional[Comparison]  #: this one against the first contender; None for the first itself
    tflops: float  #: 10¹² operations a second at p50, masked pairs not counted
    gbps: float  #: 10⁹ bytes a second at p50: Q, K, V and O once each
    percent_matrix: float  #: tflops in percent of the matrix limit; NaN without limits
    percent_read: float  #: gbps in percent of the read limit; NaN without limits
    variant: str  #: what ran
    library: str  #: version of the library that ran it
    kernel_hash: int
    registers: int  #: of a thread
    spill_bytes: int  #: of a thread
    smem_bytes: int  #: of a block
    blocks: int  #: launched
    max_error: float  #: max |out - ref| before timing
    max_allowed: float
    oracle: str  #: which oracle judged
    mode: str  #: "graph", "events" or "eager"
    cold: bool
    copies: int  #: sets of tensors that were used in turn
    calls: int  #: calls of a sample, which is their mean
    stop: str  #: "precise", "time", "samples"; "not timed" or "cancelled" where there are no timings
    seconds: float  #: that timing this problem took, all contenders together
    before: Health  #: at the first sample
    after: Health  #: at the last; its throttle reasons are those of the whole time

    @property
    def ok(self):
        """Right, and timed to the end."""
        return self.status == "OK" and self.checked and self.stop in ("precise", "time", "samples")

    @property
    def p50(self):
        """Median, in microseconds."""
        return self.stats.p50

    @property
    def interval(self):
        """95 % confidence interval of the median, (low, high) in microseconds."""
        return self.stats.p50_low, self.stats.p50_high

    @property
    def ratio(self):
        """Time of this one / time of the first contender; NaN if not compared, as the first itself."""
        return self.against.ratio if self.against else float("nan")

    @property
    def verdict(self):
        """Against the first contender: "faster", "slower", "same", "ambiguous"; None if not compared."""
        return self.against.verdict if self.against else None


def _health(struct):
    fields = {name: None if value == -1 else value for name, value in values(struct).items()}
    text = _lib.fl4_throttle_text(struct.throttle_reasons, ctypes.create_string_buffer(128)).decode()
    return Health(throttle=text, **fields)


def health(ctx):
    """State of the context's device now; all None without NVML, and on the host."""
    out = _api.DeviceHealth()
    check(_lib.fl4_context_get_health(ctx, ctypes.byref(out)))
    return _health(out)


def limits(ctx):
    """Measures what the context's device can do at most, in some seconds."""
    out = _api.Limits()
    check(_lib.fl4_bench_limits(ctx, ctypes.byref(out)))
    return Limits(**values(out))


def _contenders(given):
    given = [Contender(c) if c is None or isinstance(c, str) else c for c in given]
    if not given:
        raise ValueError("contenders: there are none; None means the context as it is")
    structs = (_api.BenchContender * len(given))()
    for struct, contender in zip(structs, given):
        struct.init()
        struct.kind = choice("kind", contender.kind, _api.CONTENDER_KINDS)
        for name in ("name", "device", "variant", "library"):
            setattr(struct, name, encoded(getattr(contender, name)))
    return structs


def _result(struct, line, samples):
    fields = values(struct)
    del fields["samples_size"]
    fields.update(
        problem=line, status=_api.STATUS.get(struct.status, "unknown status"), checked=bool(struct.checked),
        samples=array.array("d", samples[: struct.stats.n]), stats=Statistics(**values(struct.stats)),
        against=make_comparison(struct.against), mode=_api.BENCH_MODES[struct.mode], cold=bool(struct.cold),
        stop=_api.BENCH_STOPS[struct.stop], before=_health(struct.before), after=_health(struct.after),
    )  # fmt: skip
    return BenchResult(**fields)


def bench(problems, contenders=None, *, device=None, ctx=None, mode="auto", cold=False, inputs="normal", seconds=5.0,
          precision=0.005, warmup=0.05, min_samples=0, max_samples=0, copies=3, seed=0, oracle="auto",
          threshold=0.01, alpha=0.05, resamples=2000, limits=None, progress=None):  # fmt: skip
    """Times problems and returns a list of BenchResult: problem by problem, each with all contenders.

        a, b = flashl4.bench("b2hq8sq1024d64:bf16:causal", ["fwd_mma:bm=64", "fwd_mma:bm=128"])
        print(a.p50, b.p50, b.ratio, b.verdict)

    problems    a problem line or a sequence of them, such as shapes("canonical")
    contenders  Contenders or variants (strings); the first is the base of the comparisons. None: the context as it is
    device      "cuda:1", "host"; None: the best there is. Or give `ctx`, an open Context, in its place
    mode        "graph" (the GPU's time alone), "events", "eager" (host time included); "auto": the first on a GPU
    cold        caches are flushed before each call
    inputs      kind of data, as in Context.check(); its values come from `seed`, as do order and bootstrap
    seconds     the most that timing a problem takes; it ends earlier once the 95 % interval of every contender's
                median is within ± `precision`, or at `max_samples` (0: 10000); `min_samples` (0: 100) of each are
                taken as long as the time allows
    warmup      seconds of calls before the first sample
    copies      sets of tensors that are used in turn
    oracle      "auto", "fp64" or "cublas": judges the outputs, before and after timing; wrong ones are not timed
    threshold   relative difference that matters; with `alpha`, the risk of a wrong verdict, and `resamples`, of the
                bootstrap, as in compare()
    limits      Limits to give percentages of, as from Context.limits()
    progress    called with a Progress some ten times a second. A true value cancels: the problems that were not
                finished by then have the status "CANCELLED". An exception cancels too and comes out of bench(), as
                does KeyboardInterrupt.

    Numbers but `seed` have their default for 0 too. No other call may use the context or load the device meanwhile.
    """
    if ctx is not None and device is not None:
        raise ValueError("device: must not be given beside ctx")
    problems = [problems] if isinstance(problems, str) else list(problems)
    if not problems:
        raise ValueError("problems: there are none")
    shapes, lines = (_api.Problem * len(problems))(), []
    for line, shape in zip(problems, shapes):
        shape.init()
        parse_problem(line, shape)
        lines.append(format_problem(shape))
    given = _contenders([contenders] if contenders is None or isinstance(contenders, (str, Contender)) else contenders)
    for name, value in (("min_samples", min_samples), ("max_samples", max_samples), ("copies", copies),
                        ("resamples", resamples)):  # fmt: skip
        if not 0 <= value < 2**31:
            raise ValueError(f"{name}: is {value}, must be 0 to {2**31 - 1}")

    # The library holds on to none of these after the call; during it the names below do.
    compare = _api.CompareOptions(threshold=threshold, alpha=alpha, resamples=resamples)
    most = None if limits is None else _api.Limits(**vars(limits))
    size = max_samples or max(min_samples, 10000)
    samples = [(ctypes.c_double * size)() for _ in range(len(problems) * len(given))]
    results = (_api.BenchResult * len(samples))()
    for result, room in zip(results, samples):
        result.init()
        result.samples, result.samples_size = room, size
    options = _api.BenchOptions(
        mode=choice("mode", mode, _api.BENCH_MODES), cold=bool(cold), inputs=choice("inputs", inputs, _api.INPUTS),
        copies=copies, seed=seed, precision=precision, warmup_seconds=warmup, max_seconds=seconds,
        min_samples=min_samples, max_samples=size, oracle=choice("oracle", oracle, _api.ORACLES),
        n_contenders=len(given), contenders=given, compare=ctypes.pointer(compare),
        limits=None if most is None else ctypes.pointer(most),
    )  # fmt: skip

    def told(struct):
        return Progress(line=lines[struct.problem], **values(struct))

    with contextlib.ExitStack() as stack:
        if ctx is None:
            ctx = stack.enter_context(flashl4.Context(device))
        options.progress = stack.enter_context(Watch(_api.BenchProgressFn, progress, told)).function
        status = _lib.fl4_bench(ctx._live(), shapes, len(shapes), ctypes.byref(options), results)
        if status != _api.CANCELLED:
            check(status)
    return [_result(result, lines[i // len(given)], samples[i]) for i, result in enumerate(results)]

# SPDX-License-Identifier: Apache-2.0
"""Which variant is fastest here, and what of that is remembered: tune.h and wisdom.h."""
import array
import ctypes
from dataclasses import dataclass, field
from typing import List, Optional, Tuple

from . import _api
from ._api import lib as _lib
from ._common import Watch, check, choice, encoded, format_problem, parse_problem, values
from ._stats import Comparison, make_comparison


@dataclass
class TuneCandidate:
    """One variant that was tried. Times are microseconds of a call; NaN: not known."""

    variant: str  #: in full
    evaluation: int  #: 0: the built-in choice, then in the order tried
    invalidity: str  #: "correct", or what came in the way: "constraints", "compile", "runtime", …
    p50: float  #: median; of few samples if it was given up early
    p50_low: float  #: lower end of its 95 % interval, or NaN
    p50_high: float  #: upper end
    samples: int  #: fewer than others have: given up early as too slow
    max_error: float  #: of the output
    compile_ms: float  #: 0: it was known already
    registers: int  #: of a thread
    spill_bytes: int  #: of a thread
    smem_bytes: int  #: of a block
    same_as: Optional[int]  #: evaluation with the same machine code, whose times these are
    kernel_hash: int  #: of the machine code
    error: str  #: why it is not correct

    @property
    def ok(self):
        """Its output is right."""
        return self.invalidity == "correct"


@dataclass
class TuneProgress:
    """What a tuning is doing."""

    phase: str  #: "inputs", "compiling", "searching", "final"
    evaluations: int  #: tried so far
    most: int  #: of how many at most
    seconds: float  #: so far
    latest: Optional[TuneCandidate]  #: tried last; None before the first
    best: Optional[TuneCandidate]  #: fastest so far; None before there is one


@dataclass
class TuneReport:
    """Outcome of a tuning."""

    problem: str  #: the problem's line
    variant: str  #: the one to use: the built-in choice unless another is surely better
    improved: bool  #: it is not the built-in choice
    candidates: List[TuneCandidate] = field(repr=False)  #: all that were tried, the fastest first
    comparison: Optional[Comparison]  #: the best other candidate against the built-in choice; None: there was none
    stop: str  #: why it ended: "evaluations", "space", "seconds", "target", "stale", "cancelled"
    space: int  #: valid variants
    evaluations: int  #: tried in this call, those read from the log not counted
    resumed: int  #: read from the log
    failed: int  #: of all tried, those that are not correct
    seconds: float  #: that the call took
    compile_seconds: float  #: of all compilations together, on all threads
    default_us: float  #: p50 of the built-in choice, in the final
    best_us: float  #: p50 of the one to use, in the final


@dataclass
class TuneParameter:
    """A parameter of a family, with the values that are tried."""

    name: str  #: "bm"
    what: str  #: for people
    values: Tuple[int, ...]  #: in rising order


@dataclass
class TuneSpace:
    """What there is to choose from, for a problem on a device."""

    family: str
    combinations: int  #: of all values of all parameters
    valid: int  #: of those, what can run; variants without a difference count once
    same: int  #: of those that can run, how many are another in disguise
    parameters: List[TuneParameter]
    reasons: List[Tuple[str, int]]  #: why combinations were refused, and how many for it; the most frequent first


@dataclass
class Replay:
    """How a strategy did on a recorded space. Evaluations that never got there are counted as `cap`."""

    points: int  #: in the record
    failed: int  #: of those, not correct
    best: float  #: the least cost, in the record's unit
    difficulty: float  #: share of all points within 5 % of the best
    cap: int  #: evaluations a run
    seeds: int  #: runs
    to_95: Tuple[int, int, int]  #: evaluations to 95 % of the best speed: median, 90th percentile, worst run
    to_99: Tuple[int, int, int]  #: to 99 %
    at: Tuple[float, float, float, float]  #: mean share of the best speed after 25, 50, 100 and 200 evaluations
    curve: array.array = field(repr=False)  #: the same after 1, 2 … evaluations, [cap]


@dataclass
class WisdomEntry:
    """One piece of wisdom: what to run for a problem on a kind of device, and on which evidence."""

    problem: str  #: the line that was tuned
    device: str  #: "sm_90 132SM 60MB": what it was tuned on
    variant: str  #: what to run
    source: str  #: "system", or the file's name
    date: str  #: UTC, ISO 8601
    mode: str  #: how it was timed: "graph" …; "hand": it was set
    budget: str  #: of the tuning
    evaluations: int  #: that it made
    improved: bool  #: False: the built-in choice won
    match: Optional[str]  #: of a lookup: "exact", "bucket", "near" or "none"; None in a list
    p50_us: float  #: of the variant, in the final
    default_us: float  #: of the built-in choice, in the final
    max_error: float  #: of the variant's output
    kernel_hash: int  #: of its machine code then
    driver: str  #: of then, like the next
    nvrtc: int  #: major × 1000 + minor × 10


@dataclass
class WisdomCounts:
    """What was read from a file, and what was passed over."""

    used: int  #: lines that count now
    replaced: int  #: lines that later or better ones replace
    foreign: int  #: lines of other devices: kept, and written on, but not used here
    stale: int  #: lines of kernels or parameters that have changed since
    damaged: int  #: lines that cannot be read, or whose checksum is wrong


def _problem(line):
    shape = _api.Problem()
    parse_problem(line, shape)
    return shape


def _int32(**numbers):
    """C would take only the lower half of larger ones."""
    for name, value in numbers.items():
        if not 0 <= value < 2**31:
            raise ValueError(f"{name}: is {value}, must be 0 to {2**31 - 1}")


def _strings(texts):
    """A C array of strings, ended by NULL."""
    return (ctypes.c_char_p * (len(texts) + 1))(*map(encoded, texts), None)


def _candidate(struct):
    fields = values(struct)
    fields.update(
        invalidity=_api.INVALIDITIES[struct.invalidity], same_as=None if struct.same_as < 0 else struct.same_as,
    )  # fmt: skip
    return TuneCandidate(**fields)


def _progress(struct):
    latest, best = (_candidate(p.contents) if p else None for p in (struct.latest, struct.best))
    return TuneProgress(**{**values(struct), "latest": latest, "best": best})


class _Subject:
    """A problem with the options of its tuning, in C, and room for the report. The arguments are tune()'s."""

    def __init__(self, ctx, problem, budget="measure", *, max_evaluations=0, seconds=0.0, target=0.0, seed=0,
                 strategy="evolve", family=None, log=None, mode="auto", cold=False, inputs="normal",
                 compile_threads=0, time_limit=30.0, threshold=0.01, wisdom=True, seeds=(), progress=None):  # fmt: skip
        _int32(max_evaluations=max_evaluations, compile_threads=compile_threads)
        if isinstance(seeds, str):
            raise TypeError("seeds: is a str, must be a sequence of variants")
        self.problem = _problem(problem)
        self.watch = Watch(_api.TuneProgressFn, progress, _progress)
        self.options = _api.TuneOptions(
            budget=choice("budget", budget, _api.TUNE_BUDGETS), max_evaluations=max_evaluations, max_seconds=seconds,
            target_us=target, seed=seed, strategy=encoded(strategy), family=encoded(family), log=encoded(log),
            mode=choice("mode", mode, _api.BENCH_MODES), cold=bool(cold),
            inputs=choice("inputs", inputs, _api.INPUTS), compile_threads=compile_threads, time_limit=time_limit,
            threshold=threshold, no_wisdom=not wisdom, seeds=_strings(list(seeds)), progress=self.watch.function,
        )  # fmt: skip
        self.most = space(ctx, problem, family).valid
        if max_evaluations:
            self.most = min(self.most, max_evaluations)

    def report(self, call):
        """What `call` fills in, given a C report. One that was cancelled has what there is."""
        room = (_api.TuneCandidate * self.most)()
        for struct in room:
            struct.init()
        out = _api.TuneReport(candidates=room, candidates_size=len(room))
        with self.watch:
            status = call(ctypes.byref(out))
            if status != _api.CANCELLED:
                check(status)
        fields = values(out)
        for name in ("candidates_size", "n_candidates", "against"):
            del fields[name]
        fields.update(
            problem=format_problem(self.problem), improved=bool(out.improved), stop=_api.TUNE_STOPS[out.stop],
            candidates=[_candidate(struct) for struct in room[: out.n_candidates]],
            comparison=make_comparison(out.against),
        )  # fmt: skip
        return TuneReport(**fields)


def tune(ctx, problem, *budget, **options):
    """Context.tune()."""
    subject = _Subject(ctx, problem, *budget, **options)
    problem, options = ctypes.byref(subject.problem), ctypes.byref(subject.options)
    return subject.report(lambda report: _lib.fl4_tune(ctx._live(), problem, options, report))


class Tuner:
    """A tuning that goes on in steps, for programs that have idle time now and then.

        with flashl4.Tuner(ctx, "hq32hkv8sq4096d128:bf16:causal", max_evaluations=64) as tuner:
            while not tuner.step():
                ...
            report = tuner.finish()

    The arguments are those of Context.tune(). Closing the context closes it too.
    """

    def __init__(self, ctx, problem, *budget, **options):
        self._ctx, self._handle = ctx, ctypes.c_void_p()
        self._subject = _Subject(ctx, problem, *budget, **options)
        problem, options = ctypes.byref(self._subject.problem), ctypes.byref(self._subject.options)
        with self._subject.watch:
            check(_lib.fl4_tuner_create(ctx._live(), problem, options, ctypes.byref(self._handle)))
        ctx._tuners.append(self._handle)

    def step(self):
        """Makes one evaluation. True: there is nothing left to try, or `progress` cancelled."""
        done = ctypes.c_int32()
        with self._subject.watch:
            status = _lib.fl4_tune_step(self._live(), ctypes.byref(done))
            if status != _api.CANCELLED:
                check(status)
        return bool(done.value) or status == _api.CANCELLED

    def finish(self):
        """The final over what was tried so far, and its TuneReport; the tuning may go on afterwards."""
        return self._subject.report(lambda report: _lib.fl4_tuner_finish(self._live(), report))

    def close(self):
        """Ends the tuning."""
        if self._handle:
            self._ctx._tuners.remove(self._handle)
            _lib.fl4_tuner_destroy(ctypes.byref(self._handle))

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

    def __del__(self):
        if getattr(self, "_handle", None):
            self.close()

    def _live(self):
        if not self._handle:
            raise ValueError("the tuner is closed")
        return self._handle


def space(ctx, problem, family=None):
    """Context.tune_space()."""
    info = _api.TuneSpaceInfo()
    check(_lib.fl4_tune_space(ctx._live(), ctypes.byref(_problem(problem)), encoded(family), ctypes.byref(info)))
    fields = values(info)
    parameters, reasons = info.parameters[: fields.pop("n_parameters")], info.reasons[: fields.pop("n_reasons")]
    fields.update(
        parameters=[TuneParameter(p.name.decode(), p.what.decode(), tuple(p.values[: p.n_values])) for p in parameters],
        reasons=[(r.reason.decode(errors="replace"), r.count) for r in reasons],
    )  # fmt: skip
    return TuneSpace(**fields)


def tune_replay(file, strategy="evolve", seeds=100, cap=0):
    """Plays a search on a recorded space, without a device, and returns a Replay.

    file      in the T4 format, or a log of a tuning; either may be gzipped
    strategy  "evolve", "exhaustive", "random", "genetic"
    seeds     runs, with the seeds 0 … seeds - 1
    cap       evaluations a run at most; 0: 1500, or all points if there are fewer
    """
    _int32(seeds=seeds, cap=cap)
    curve, out = array.array("d", bytes(8 * (cap or _api.REPLAY_CAP))), _api.ReplayReport()
    room = (ctypes.c_double * len(curve)).from_buffer(curve)
    check(_lib.fl4_tune_replay(encoded(file), encoded(strategy), seeds, cap, room, ctypes.byref(out)))
    return Replay(curve=curve[: out.cap], **values(out))


def _entry(struct, match):
    fields = values(struct)
    fields.update(budget=_api.TUNE_BUDGETS[struct.budget], improved=bool(struct.improved), match=match)
    return WisdomEntry(**fields)


def wisdom(ctx):
    """Context.wisdom."""
    out = []
    for index in range(_lib.fl4_wisdom_count(ctx)):
        struct = _api.WisdomEntry()
        check(_lib.fl4_wisdom_get(ctx, index, ctypes.byref(struct)))
        out.append(_entry(struct, None))
    return out


def wisdom_lookup(ctx, problem):
    """Context.wisdom_lookup()."""
    struct = _api.WisdomEntry()
    check(_lib.fl4_wisdom_lookup(ctx, ctypes.byref(_problem(problem)), ctypes.byref(struct)))
    return _entry(struct, _api.MATCHES[struct.match])


def wisdom_set(ctx, problem, variant):
    """Context.wisdom_set()."""
    check(_lib.fl4_wisdom_set(ctx, ctypes.byref(_problem(problem)), encoded(variant)))


def wisdom_read(function, ctx, source):
    """Context.wisdom_load() and Context.wisdom_import()."""
    counts = _api.WisdomCounts()
    check(function(ctx, encoded(source), ctypes.byref(counts)))
    return WisdomCounts(**values(counts))


def wisdom_export(ctx):
    """Context.wisdom_export()."""
    size = ctypes.c_size_t()
    check(_lib.fl4_wisdom_export(ctx, None, ctypes.byref(size)))
    text = ctypes.create_string_buffer(size.value)
    check(_lib.fl4_wisdom_export(ctx, text, ctypes.byref(size)))
    return text.value.decode()


def wisdom_merge(files, to, prune=False):
    """Merges files into the file `to`, which may be one of them: every key's best line, of all devices.

    prune: damaged and stale lines are dropped. Returns WisdomCounts.
    """
    if isinstance(files, str):
        raise TypeError("files: is a str, must be a sequence of names")
    files, counts = list(files), _api.WisdomCounts()
    check(_lib.fl4_wisdom_merge(_strings(files), len(files), encoded(to), bool(prune), ctypes.byref(counts)))
    return WisdomCounts(**values(counts))

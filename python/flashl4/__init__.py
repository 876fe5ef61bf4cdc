# SPDX-License-Identifier: Apache-2.0
"""Attention forward for torch tensors and numpy arrays, by libflashl4 through ctypes.

    import flashl4
    ctx = flashl4.Context()                       # the best device there is; or "cuda:1", "host"
    out = ctx.forward(q, k, v, causal=True)       # q [B, Hq, Sq, D], k and v [B, Hkv, Sk, D]

Tensors may have any strides as long as the last dimension is contiguous, so t.transpose(1, 2) of a
[B, S, H, D] tensor is as good as a copy. There is no autograd. Failures raise flashl4.Error with the
library's sentence. Windows, biases, ragged batches and pages are keywords: see Context.forward().

    a, b = flashl4.bench("b2hq8sq1024d64:bf16:causal", ["fwd_mma:bm=64", "fwd_mma:bm=128"])
    print(a.p50, b.p50, b.ratio, b.verdict)       # microseconds; "faster", "slower", "same", "ambiguous"
    report = ctx.tune("b2hq8sq1024d64:bf16:causal")
    print(report.variant, report.improved)        # ctx runs it from now on; ctx.wisdom_save() keeps it
"""
import ctypes
import math
from types import SimpleNamespace

from . import _api, _bench, _tune
from ._api import lib as _lib
from ._bench import BenchResult, Contender, Health, Limits, Progress, bench
from ._common import Error, choice, encoded, parse_problem, values
from ._common import check as _check
from ._features import Features
from ._stats import Comparison, Statistics, compare, judge, statistics
from ._tensors import Tensor, as_tensor, contiguous, current_stream, like, outer_strides
from ._tune import Replay, TuneCandidate, TuneParameter, TuneProgress, TuneReport, Tuner, TuneSpace
from ._tune import WisdomCounts, WisdomEntry, tune_replay, wisdom_merge

__all__ = [
    "BenchResult", "Comparison", "Contender", "Context", "Error", "Health", "Limits", "Progress", "Replay",
    "Statistics", "Tensor", "TuneCandidate", "TuneParameter", "TuneProgress", "TuneReport", "TuneSpace", "Tuner",
    "WisdomCounts", "WisdomEntry", "bench", "compare", "devices", "judge", "shape_notes", "shape_sets", "shapes",
    "statistics", "tune_replay", "version", "wisdom_merge",
]  # fmt: skip


def _namespace(struct):
    """A C struct as plain Python values."""
    return SimpleNamespace(**values(struct))


def _device(info):
    out = _namespace(info)
    out.kind = _api.DEVICE_KINDS[info.kind]
    return out


def version():
    """Release of the loaded library, "0.1.0"."""
    return _lib.fl4_version_string().decode()


def devices():
    """All devices, the best first; the host is always there."""
    out = []
    for index in range(_lib.fl4_device_count()):
        info = _api.DeviceInfo()
        _check(_lib.fl4_device_get_info(index, ctypes.byref(info)))
        out.append(_device(info))
    return out


def shapes(name):
    """The problem lines of a built-in set, "canonical"; [] if there is no such set."""
    name = name.encode()
    return [_lib.fl4_shapes_line(name, i).decode() for i in range(_lib.fl4_shapes_count(name))]


def shape_notes(name):
    """What each line of shapes(name) is known for, such as a model; "" for most."""
    name = name.encode()
    return [_lib.fl4_shapes_note(name, i).decode() for i in range(_lib.fl4_shapes_count(name))]


def shape_sets():
    """The built-in sets of problems: their names, and what each is for."""
    out = {}
    while name := _lib.fl4_shapes_name(len(out)):
        out[name.decode()] = _lib.fl4_shapes_what(name).decode()
    return out


def _lse_tensor(q, lse):
    """None, a new tensor, or the caller's own: what `lse` asks for."""
    if lse is False:
        return None
    return like(q, tuple(q.shape[:-1])) if lse is True else lse


class Context:
    """One device with its compiled kernels. Any number of threads may use it at once."""

    def __init__(self, device=None, *, variant=None, cache_dir=None, kernel_dir=None, log=None, log_level=0,
                 threads=0, disk_cache=True, debug=False):  # fmt: skip
        """`log(level, message)` receives messages. The rest is as in fl4_context_options."""
        self._handle = ctypes.c_void_p()
        self._tuners = []  # C handles of those that use the context
        options = _api.ContextOptions(
            device=encoded(device), variant=encoded(variant), cache_dir=encoded(cache_dir),
            kernel_dir=encoded(kernel_dir), log_level=log_level, threads=threads,
            flags=(0 if disk_cache else _api.CONTEXT_NO_DISK_CACHE) | (_api.CONTEXT_DEBUG if debug else 0),
        )  # fmt: skip
        if log is not None:
            self._log = _api.LogFn(lambda user, level, text: log(level, text.decode(errors="replace")))
            options.log = self._log  # the library calls it for as long as the context lives
        _check(_lib.fl4_context_create(ctypes.byref(self._handle), ctypes.byref(options)))
        self.device = self._device_info()

    def close(self):
        """Frees the context, and its tuners. Work that it launched must have finished."""
        while self._tuners:
            _lib.fl4_tuner_destroy(ctypes.byref(self._tuners.pop()))
        _lib.fl4_context_destroy(ctypes.byref(self._handle))

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

    def __del__(self):
        if getattr(self, "_handle", None):
            self.close()

    def forward(self, q, k, v, out=None, causal=False, scale=None, lse=False, stream=None, workspace=None, **features):
        """softmax(scale · q kᵀ) v. Returns the output, or (output, lse) if `lse` is true or a tensor.

        What more there may be, as fl4_attention_args describes it; tensors are on the context's device:

        window        (left, right): keys beside the diagonal that are seen, -1 for all; in place of `causal`
        softcap       scores become softcap · tanh(score / softcap)
        alibi         float32 slopes, [Hq] or [B, Hq]
        sinks         float32 [Hq]: a further logit of each row
        bias          added to scores; [B, Hq, Sq, Sk], or 1 where it is shared. bool or uint8: 0 hides the key
        cu_seqlens_q  int32 [B + 1]: q and out are [Hq, rows, D], lse is [Hq, rows]; `max_q` is the greatest length
        cu_seqlens_k  int32 [B + 1]: k and v are [Hkv, rows, D]; `max_k` is the greatest length
        seqused_k     int32 [B]: only so many keys are there
        block_table   int32 [B, columns]: k and v are pools of pages, [pages, Hkv, page size, D]; a pool of
                      [pages, page size, Hkv, D] is given as pool.transpose(1, 2). `max_k` if it is less than all columns
        invariant     true: a row's result does not depend on what else is in the batch

        `workspace`: a contiguous float32 tensor of at least workspace_size() bytes, zeroed before its first use, which
        no other call uses at the same time; it saves what the context's own, taken and cleared for each call, costs.

        On CUDA it is asynchronous on `stream` (an integer handle), or on torch's current stream. A tensor
        made on another stream must be kept until the call has run, as everywhere in torch.
        """
        if out is None:
            out = like(q)
        lse = _lse_tensor(q, lse)
        args = self._args(q, k, v, out, causal, scale, lse, features)
        if stream is None:
            stream = current_stream(q)
        if workspace is not None:
            args.workspace, args.workspace_size = self._workspace(workspace)
        _check(_lib.fl4_attention_forward(self._live(), ctypes.byref(args), stream))
        return out if lse is None else (out, lse)

    def prepare(self, q, k, v, out=None, causal=False, scale=None, lse=False, **features):
        """Compiles what forward() of the same tensors, with or without `lse`, needs, without running it."""
        args = self._args(q, k, v, out, causal, scale, _lse_tensor(q, lse), features)
        _check(_lib.fl4_attention_prepare(self._live(), ctypes.byref(args)))

    def plan(self, q, k, v, out=None, causal=False, scale=None, lse=False, **features):
        """How forward() of the same tensors, with or without `lse`, runs: variant, registers, shared memory, …"""
        info = _api.PlanInfo()
        args = self._args(q, k, v, out, causal, scale, _lse_tensor(q, lse), features)
        _check(_lib.fl4_attention_plan_info(self._live(), ctypes.byref(args), ctypes.byref(info)))
        out = _namespace(info)
        out.origin = _api.ORIGINS[info.origin]
        return out

    def workspace_size(self, q, k, v, out=None, causal=False, scale=None, lse=False, **features):
        """Bytes of a workspace for forward() of the same tensors; 0 if it needs none."""
        size = ctypes.c_size_t()
        args = self._args(q, k, v, out, causal, scale, _lse_tensor(q, lse), features)
        _check(_lib.fl4_attention_workspace_size(self._live(), ctypes.byref(args), ctypes.byref(size)))
        return size.value

    def check(self, problem, inputs="normal", seed=0, timed_calls=0, oracle="auto"):
        """Runs a problem line, "b2hq8sq1024d64:bf16:causal", and compares it with an oracle."""
        shape, result = _api.Problem(), _api.CheckResult()
        parse_problem(problem, shape)
        options = _api.CheckOptions(
            seed=seed, inputs=choice("inputs", inputs, _api.INPUTS), timed_calls=timed_calls,
            oracle=choice("oracle", oracle, _api.ORACLES),
        )  # fmt: skip
        _check(_lib.fl4_check(self._live(), ctypes.byref(shape), ctypes.byref(options), ctypes.byref(result)))
        return _namespace(result)

    def bench(self, problems, contenders=None, **options):
        """flashl4.bench() on this context: the same arguments, but no `device`."""
        return bench(problems, contenders, ctx=self, **options)

    def limits(self):
        """What the device can do at most, measured in some seconds: Limits, for bench(limits=…)."""
        return _bench.limits(self._live())

    def health(self):
        """Clocks, temperature, power and throttle reasons of now: Health, all None where not known."""
        return _bench.health(self._live())

    def tune(self, problem, budget="measure", **options):
        """Looks for the fastest variant for a problem line on this device. Returns a TuneReport.

            report = ctx.tune("hq32hkv8sq4096d128:bf16:causal", max_evaluations=100)
            print(report.variant, report.improved, report.candidates[0].p50)

        Candidates are checked before they are timed; at the end the best and the built-in choice are timed side by
        side, and the choice stays unless another is surely faster: "no improvement" is a normal result. The context's
        wisdom learns it, so that forward() runs it from then on.

        budget           "measure" (64 evaluations), "patient" (300), "exhaustive" (all), "estimate" (none)
        max_evaluations  in place of the budget's
        seconds          the most that the search takes; 0: no limit
        target           stop when a p50 is at most this, in microseconds; 0: no target
        seed             of the search, the inputs and the bootstrap
        strategy         "evolve", "exhaustive", "random", "genetic"
        family           name of the family to search; None: that of the built-in choice
        log              file that each evaluation is appended to; what it has of this problem is not tried again
        mode, cold       how it will be used, as in bench()
        inputs           that are timed, as in check(); correctness is checked on others too
        compile_threads  that compile ahead; 0: one less than there are cores, at most 8
        time_limit       seconds for a candidate
        threshold        gain that matters
        wisdom           False: the context's wisdom is neither asked for seeds nor told the result
        seeds            variants to try first
        progress         called with a TuneProgress for each evaluation, and some ten times a second between. A true
                         value cancels: the report has what is known by then. An exception cancels too and comes
                         out of tune(), as does KeyboardInterrupt.

        No other call may use the context or load the device meanwhile.
        """
        return _tune.tune(self, problem, budget, **options)

    def tune_space(self, problem, family=None):
        """What tune() can choose from: a TuneSpace. Compiles nothing."""
        return _tune.space(self, problem, family)

    @property
    def wisdom(self):
        """All WisdomEntry that the context holds, of other devices too, in a fixed order."""
        return _tune.wisdom(self._live())

    def wisdom_lookup(self, problem):
        """What runs for a problem line, and on which evidence: a WisdomEntry. Of one whose `match` is "none" only
        that and `variant`, the built-in choice, have a meaning."""
        return _tune.wisdom_lookup(self._live(), problem)

    def wisdom_set(self, problem, variant):
        """Adds a piece by hand: `variant` shall run for the problem on this kind of device."""
        _tune.wisdom_set(self._live(), problem, variant)

    def wisdom_load(self, file):
        """Reads a file; what is better supported wins. Returns WisdomCounts."""
        return _tune.wisdom_read(_lib.fl4_wisdom_load, self._live(), file)

    def wisdom_save(self, file=None):
        """Appends what this context has learnt itself since it was created or last saved. None: the user's file."""
        _check(_lib.fl4_wisdom_save(self._live(), encoded(file)))

    def wisdom_forget(self):
        """Forgets all, also what is compiled in, until something is loaded. Files stay."""
        _check(_lib.fl4_wisdom_forget(self._live()))

    def wisdom_export(self):
        """All pieces as text, as a file has them."""
        return _tune.wisdom_export(self._live())

    def wisdom_import(self, text):
        """Reads what wisdom_export() returned. Returns WisdomCounts."""
        return _tune.wisdom_read(_lib.fl4_wisdom_import, self._live(), text)

    def cache(self):
        """State of the cubin cache and of the compiler."""
        info = _api.CacheInfo()
        _check(_lib.fl4_context_get_cache_info(self._live(), ctypes.byref(info)))
        return _namespace(info)

    def _live(self):
        if not self._handle:
            raise ValueError("the context is closed")
        return self._handle

    def _device_info(self):
        info = _api.DeviceInfo()
        _check(_lib.fl4_context_get_device_info(self._handle, ctypes.byref(info)))
        return _device(info)

    def _here(self):
        return f"cuda:{self.device.ordinal}" if self.device.kind == "cuda" else "host"

    def _workspace(self, workspace):
        """Address and bytes."""
        t = as_tensor("workspace", workspace, written=True)
        if t.device != self._here():
            raise ValueError(f"workspace: is on {t.device}, the context is on {self._here()}")
        if t.dtype != "float32" or t.strides != contiguous(t.shape):
            raise ValueError(f"workspace: is {t.dtype} with strides {list(t.strides)}, must be float32 and contiguous")
        return t.pointer, 4 * math.prod(t.shape)

    def _args(self, q, k, v, out, causal, scale, lse, features):
        """The C arguments, after the checks that only Python can make: C sees no shapes."""
        more = Features(**features)
        given = {"q": q, "k": k, "v": v, "out": out, "lse": lse}
        t = {n: as_tensor(n, x, written=n in ("out", "lse")) for n, x in given.items() if x is not None}
        here = self._here()
        for name, tensor in t.items():
            rank = (3 if name == "lse" else 4) - more.ragged(name)
            if len(tensor.shape) != rank:
                raise ValueError(f"{name}: has {len(tensor.shape)} dimensions, must have {rank}")
            if tensor.device != here:
                raise ValueError(f"{name}: is on {tensor.device}, the context is on {here}")
            wanted = "float32" if name == "lse" else t["q"].dtype
            if tensor.dtype != wanted:
                raise TypeError(f"{name}: dtype is {tensor.dtype}, must be {wanted}")
        t = {name: more.view(name, tensor) for name, tensor in t.items()}
        (_, Hq, rows, D), (_, Hkv, keys, _) = t["q"].shape, t["k"].shape
        B, Sq, Sk = more.sizes(t["q"].shape, t["k"].shape, here)
        n, m = more.batches(B, t["q"].shape, t["k"].shape)
        must = {"k": (m, Hkv, keys, D), "v": (m, Hkv, keys, D), "out": (n, Hq, rows, D), "lse": (n, Hq, rows)}
        for name, shape in must.items():
            if name in t and t[name].shape != shape:
                cut = 1 if more.ragged(name) else 0
                raise ValueError(f"{name}: shape is {list(t[name].shape[cut:])}, must be {list(shape[cut:])}")

        if scale == 0:
            raise ValueError("scale: is 0, must not be; None means 1/sqrt(D)")
        if causal and more.window is not None:
            raise ValueError("window: is given with causal; (-1, 0) is causal, (left, 0) a causal window")

        args = _api.AttentionArgs(
            dtype=_api.DTYPES.index(t["q"].dtype), mask=_api.MASKS.index("causal" if causal else "none"),
            B=B, Hq=Hq, Hkv=Hkv, Sq=Sq, Sk=Sk, D=D, scale=0.0 if scale is None else scale,
        )  # fmt: skip
        for name, tensor in t.items():
            field = "o" if name == "out" else name
            setattr(args, field, tensor.pointer)
            getattr(args, f"{field}_stride")[:] = outer_strides(name, tensor, len(tensor.shape))
        if more.ragged("q"):
            args.total_q = rows
        if more.ragged("k"):
            args.total_k = keys
        more.fill(args, t["k"].shape, here)
        return args

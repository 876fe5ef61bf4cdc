#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Forward beside its peers on one GPU, paired in one run: PyTorch's FLASH (FlashAttention-2) and cuDNN, and
FlashAttention-3 if a module of it can be imported.

    tools/peers.py [--problem LINE]... [--shapes SET,...] [--dtype fp16,bf16] [--inputs KIND,...] [--variant V]...
                   [--rounds N] [--out NAME]

Each contender is a CUDA graph of calls over rotating inputs. Rounds replay all of them in random order,
so that clocks and temperature drift the same for all; intervals and verdicts are those of fl4_bench()
(flashl4.compare), all problems judged together. Outputs are compared with each other before timing.
Rates are also in percent of the device's limits, measured at the start. All kernels are compiled before that.
Writes NAME.json (all samples) and NAME.md, at whose end the ratios are summed up. Needs torch with CUDA, and
libflashl4 (by its SONAME, or $FLASHL4_LIBRARY).
"""
import argparse
import concurrent.futures
import dataclasses
import datetime
import functools
import importlib
import importlib.metadata
import json
import os
import pathlib
import random
import re
import statistics
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "python"))

import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

import flashl4

BACKENDS = {"fa2": SDPBackend.FLASH_ATTENTION, "cudnn": SDPBackend.CUDNN_ATTENTION}  # PyTorch's
FA3, FA3_MODULES = "fa3", ("flash_attn_interface", "fa3_fwd_interface")  # what it calls itself, and a build of forward alone
PEERS = (*BACKENDS, FA3)
TITLES = {"fa2": "FA2", "cudnn": "cuDNN", FA3: "FA3"}
BEST = "best"  # of PyTorch's, for each problem: the least ratio


@dataclasses.dataclass
class Problem:
    """A problem line that flashl4 has accepted, taken apart."""

    line: str
    b: int
    hq: int
    hkv: int
    sq: int
    sk: int
    d: int
    causal: bool
    dtype: torch.dtype

    @staticmethod
    def parse(line):
        head, *words = line.split(":")
        unknown = set(words) - {"causal", "bf16", "fp16"}
        if unknown:
            raise SystemExit(f"{line}: PyTorch's backends are not timed with {', '.join(sorted(unknown))}")
        size = {k: int(v) for k, v in re.findall(r"(hq|hkv|sq|sk|b|d)(\d+)", head)}
        size.setdefault("b", 1), size.setdefault("hkv", size["hq"]), size.setdefault("sk", size["sq"])
        dtype = torch.bfloat16 if "bf16" in words else torch.float16
        return Problem(line, **size, causal="causal" in words, dtype=dtype)

    def flops(self):
        """4·D for each pair that the mask lets through; causal is aligned bottom-right."""
        rows = range(self.sk - self.sq + 1, self.sk + 1) if self.causal else None
        pairs = sum(max(0, r) for r in rows) if self.causal else self.sq * self.sk
        return 4.0 * self.b * self.hq * self.d * pairs

    def bytes(self):
        """Q, K, V and O once each."""
        return 2.0 * self.b * self.d * (2 * self.hq * self.sq + 2 * self.hkv * self.sk)

    def peers_agree(self):
        """PyTorch aligns its causal mask top-left: the same thing only for square problems."""
        return not self.causal or self.sq == self.sk

    def dtype_name(self):
        return "bf16" if self.dtype == torch.bfloat16 else "fp16"


def in_dtypes(line, dtypes):
    """A line that names no dtype, in each of them."""
    head, *words = line.split(":")
    if {"fp16", "bf16"} & set(words):
        return [line]
    return [":".join([head, *([dtype] if dtype != "fp16" else []), *words]) for dtype in dtypes]


# ---------------------------------------------------------------- inputs


def normal(p, q, k):
    """N(0, 1): the everyday case."""


def raise_scores(p, q, k, by):
    """Adds by[j] to all scores of key j, along a direction that all queries have."""
    q[..., 0] = 4
    k[..., 0] = by * p.d**0.5 / 4


def sink(p, q, k):
    """Key 0 ten units above the rest, as in real language models."""
    by = torch.zeros(p.sk, device=q.device)
    by[0] = 10
    raise_scores(p, q, k, by)


def growing(p, q, k):
    """Scores rise by 40 units as fwd_mma walks the keys, from right to left: key 0 is the highest."""
    raise_scores(p, q, k, torch.linspace(40, 0, p.sk, device=q.device))


def shrinking(p, q, k):
    """Scores fall by 40 units on that walk: key 0 is the lowest."""
    raise_scores(p, q, k, torch.linspace(0, 40, p.sk, device=q.device))


def onehot(p, q, k):
    """Each query is four times one of the keys that it sees: a score of about 4·√D among N(0, 4²)."""
    seen = torch.arange(p.sk - p.sq + 1, p.sk + 1, device=q.device).clamp(1) if p.causal else p.sk
    picked = (torch.rand(p.b, p.hq, p.sq, device=q.device) * seen).long().clamp(max=p.sk - 1)
    keys = k.repeat_interleave(p.hq // p.hkv, 1)
    q.copy_(4 * keys.gather(2, picked[..., None].expand(-1, -1, -1, p.d)))


def scaled(p, q, k):
    """Scores times 30: one key or a few carry a row, and scores reach hundreds."""
    q.mul_(30)


def peaked(p, q, k):
    """Scores times 2."""
    q.mul_(2)


def equal(p, q, k):
    """All keys alike: O is the mean of V."""
    k[:, :, 1:] = k[:, :, :1]


KINDS = {make.__name__: make for make in (normal, sink, growing, shrinking, onehot, scaled, peaked, equal)}


def make_set(p, kind, device="cuda"):
    """Q, K and V of one call."""
    lengths = (p.hq, p.sq), (p.hkv, p.sk), (p.hkv, p.sk)
    q, k, v = (torch.randn(p.b, heads, n, p.d, device=device, dtype=p.dtype) for heads, n in lengths)
    KINDS[kind](p, q, k)
    return q, k, v


def inputs(p, kind):
    """Sets of Q, K, V, enough of them that together they exceed the L2 cache."""
    elements = p.b * p.d * (p.hq * p.sq + 2 * p.hkv * p.sk)
    return [make_set(p, kind) for _ in range(max(1, min(8, 256_000_000 // (2 * elements))))]


# ---------------------------------------------------------------- calls


def in_parallel(function, jobs):
    """The results of all jobs in their order: for compiling, which takes NVRTC a second or two a kernel."""
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(function, jobs))


def prepare(problems, contexts):
    """Compiles and loads all kernels. Returns why a context cannot run a problem: {(line, name): sentence}."""

    def one(job):
        p, ctx = job[0], contexts[job[1]]
        device = f"cuda:{ctx.device.ordinal}" if ctx.device.kind == "cuda" else "host"

        def shape(heads, n):  # no memory is touched
            return flashl4.Tensor(256, (p.b, heads, n, p.d), str(p.dtype).replace("torch.", ""), device=device)

        try:
            ctx.prepare(shape(p.hq, p.sq), shape(p.hkv, p.sk), shape(p.hkv, p.sk), causal=p.causal)
        except flashl4.Error as error:
            return str(error)

    jobs = [(p, name) for p in problems for name in contexts]
    return {(p.line, name): why for (p, name), why in zip(jobs, in_parallel(one, jobs)) if why}


def capture(call, sets, calls):
    """A graph of `calls` calls over the sets in turn."""
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        for s in sets[:3]:
            call(*s)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=stream):
        for i in range(calls):
            call(*sets[i % len(sets)])
    graph.replay()
    torch.cuda.synchronize()
    return graph


@functools.cache
def flash_attention_3():
    """The module, if there is one."""
    for name in FA3_MODULES:
        try:
            return importlib.import_module(name)
        except (ImportError, OSError):
            pass
    return None


def peer_call(name, causal):
    if name == FA3:
        module = flash_attention_3()
        return module and (lambda *qkv: module.flash_attn_func(*(x.transpose(1, 2) for x in qkv), causal=causal).transpose(1, 2))

    def call(q, k, v):
        with sdpa_kernel(BACKENDS[name]):
            return F.scaled_dot_product_attention(q, k, v, is_causal=causal, enable_gqa=q.shape[1] != k.shape[1])

    return call


def contenders(p, sets, contexts):
    """Name → call. A peer that refuses the problem is left out."""
    out = {}
    for name, ctx in contexts.items():
        o = torch.empty_like(sets[0][0])
        size = ctx.workspace_size(*sets[0], out=o, causal=p.causal)
        w = torch.zeros(size // 4, device="cuda") if size else None  # as an engine would keep one for its stream
        out[name] = lambda q, k, v, ctx=ctx, o=o, w=w: ctx.forward(q, k, v, out=o, causal=p.causal, workspace=w)
    for name in PEERS:
        call = peer_call(name, p.causal)
        if not call:
            continue
        if name in BACKENDS and not p.peers_agree():
            print(f"{p.line}: {name} has another causal mask", file=sys.stderr)
            continue
        try:
            call(*sets[0])
            out[name] = call
        except RuntimeError as error:
            print(f"{p.line}: {name}: {str(error).splitlines()[0]}", file=sys.stderr)
    return out


def disagreement(calls, sets):
    """Largest difference from the first peer's output, relative to its root mean square."""
    outputs = {name: call(*sets[0]).float() for name, call in calls.items()}
    base = next((outputs[name] for name in PEERS if name in outputs), None)
    if base is None:
        return {}
    rms = base.pow(2).mean().sqrt().item() or 1.0
    return {name: (o - base).abs().max().item() / rms for name, o in outputs.items()}


# ---------------------------------------------------------------- measuring


def p90(us):
    """Interpolated between its neighbours. The library's own bounds it, for which it wants 36 samples."""
    return statistics.quantiles(us, n=10, method="inclusive")[8]


def sample(graphs, calls, rounds):
    """Microseconds a call, a list for each contender, in the same order of rounds."""
    times = {name: [] for name in graphs}
    start, stop = torch.cuda.Event(True), torch.cuda.Event(True)
    for i in range(rounds + 2):
        for name in random.sample(list(graphs), len(graphs)):
            start.record()
            graphs[name].replay()
            stop.record()
            stop.synchronize()
            if i >= 2:  # the first rounds warm up
                times[name].append(start.elapsed_time(stop) * 1e3 / calls)
    return times


def measure(p, kind, contexts, rounds, limits):
    """Entries for the JSON file, a dict for each contender, with its comparisons beside it."""
    sets = inputs(p, kind)
    calls = contenders(p, sets, contexts)
    differ = disagreement(calls, sets)
    n = max(1, min(50, int(2e-3 / max(p.flops() / 3e14, p.bytes() / 3e12))))
    graphs = {name: capture(call, sets, n) for name, call in calls.items()}
    times = sample(graphs, n, rounds)
    matrix = max(limits.mma_tflops, limits.gemm_tflops)
    entries = []
    for name, us in times.items():
        entry = {"problem": p.line, "dtype": p.dtype_name(), "inputs": kind, "contender": name, "us": us}
        entry["sets"], entry["calls"] = len(sets), n
        entry["p50_us"], entry["p90_us"] = flashl4.statistics(us).p50, p90(us)
        entry["tflops"], entry["gbps"] = p.flops() / entry["p50_us"] / 1e6, p.bytes() / entry["p50_us"] / 1e3
        entry["percent_matrix"] = 100 * entry["tflops"] / matrix
        entry["percent_read"] = 100 * entry["gbps"] / limits.read_gbps
        entry["differs_from_peer"] = differ.get(name)
        comparisons = {}
        if name not in PEERS:
            entry["variant"] = contexts[name].plan(*sets[0], causal=p.causal).variant
            comparisons = {q: flashl4.compare(us, times[q], paired=True) for q in PEERS if q in times}
            entry["p90_ratios"] = {q: p90(times[q]) / entry["p90_us"] for q in comparisons}
        entries.append((entry, comparisons))
    return entries


# ---------------------------------------------------------------- the summary


def group_order(group):
    return group != "all", not group.startswith("D"), int(group[2:]) if group.startswith("D") else 0, group


def ratios_of(members):
    """Of (ratio of p50, ratio of p90, problem): how many, their geometric means, the least of each and where."""
    out = {"problems": len(members)}
    for i, name in enumerate(("p50", "p90")):
        least, mean = min(members, key=lambda m: m[i]), statistics.geometric_mean(m[i] for m in members)
        out[name] = {"geomean": mean, "min": least[i], "min_problem": least[2]}
    return out


def summarize(results):
    """Time of the peer / ours for each contender, kind of inputs and dtype: of all problems, each D and each mask.

    Of each peer, and of the best one of each problem.
    """
    found = {}  # (contender, inputs, dtype) → group → peer → members
    for e, comparisons in results:
        p = Problem.parse(e["problem"])
        for group in ("all", f"D {p.d}", "causal" if p.causal else "full") if comparisons else ():
            peers = found.setdefault((e["contender"], e["inputs"], e["dtype"]), {}).setdefault(group, {})
            ratios = {q: (c.ratio, e["p90_ratios"][q]) for q, c in comparisons.items()}
            of_torch = [r for q, r in ratios.items() if q in BACKENDS]
            if of_torch:
                ratios[BEST] = tuple(map(min, zip(*of_torch)))
            for q, (p50, p90_ratio) in ratios.items():
                peers.setdefault(q, []).append((p50, p90_ratio, e["problem"]))
    return [
        {"contender": contender, "inputs": kind, "dtype": dtype, "group": group,
         "peers": {q: ratios_of(members) for q, members in groups[group].items()}}
        for (contender, kind, dtype), groups in found.items() for group in sorted(groups, key=group_order)
    ]  # fmt: skip


def fa3_version():
    """Package and version, as "name 1.0"."""
    module = flash_attention_3()
    packages = importlib.metadata.packages_distributions().get(module.__name__, []) if module else []
    return ", ".join(f"{name} {importlib.metadata.version(name)}" for name in packages) or None


def environment(script, **more):
    query = "name,driver_version,clocks.sm,clocks.max.sm,power.draw,power.limit,temperature.gpu"
    smi = subprocess.run(["nvidia-smi", f"--query-gpu={query}", "--format=csv,noheader"],
                         capture_output=True, text=True)  # fmt: skip
    return {
        "gpu": smi.stdout.strip() or torch.cuda.get_device_name(), "torch": torch.__version__,
        "cuda": torch.version.cuda, "cudnn": torch.backends.cudnn.version(), FA3: fa3_version(), "flashl4": flashl4.version(),
        "date": datetime.date.today().isoformat(), "command": " ".join([script, *sys.argv[1:]]), **more,
    }  # fmt: skip


def cell(comparison):
    """Time of the peer / ours: above 1, we are faster. The verdict is about the peer."""
    if comparison is None:
        return "–"
    ours = {"slower": "faster", "faster": "slower"}.get(comparison.verdict, comparison.verdict)
    return f"{comparison.ratio:.3f} ({comparison.low:.3f}–{comparison.high:.3f}) {ours}"


def summary_cells(row, timed):
    """Of each peer: geometric mean, the least with its problem, the same two of p90, number of problems."""
    out = []
    for q in (*timed, BEST):
        found = row["peers"].get(q)
        for part in ("p50", "p90"):
            r = found and found[part]
            out += [f"{r['geomean']:.3f}", f"{r['min']:.3f} {r['min_problem']}"] if r else ["–", "–"]
        out.append(str(found["problems"]) if found else "0")
    return out


def write_markdown(path, info, results, summary):
    limits = info["limits"]
    timed = [q for q in PEERS if any(q in comparisons for _, comparisons in results)]
    with open(path, "w", encoding="utf-8") as f:
        f.write(f"`{info['command']}`, {info['date']}: {info['gpu']}; torch {info['torch']}, cuDNN {info['cudnn']}. ")
        f.write(f"Limits: mma.sync {limits['mma_tflops']:.0f}, cuBLAS {limits['gemm_tflops']:.0f} TFLOP/s, ")
        f.write(f"read {limits['read_gbps']:.0f} GB/s.\n\n")
        f.write("| problem | inputs | contender | p50 µs | p90 µs | TFLOP/s | % | GB/s | % | ")
        f.write(" | ".join(f"{TITLES[q]} / this" for q in timed) + f" |\n|{'---|' * (9 + len(timed))}\n")
        for e, comparisons in results:
            cells = [cell(comparisons.get(q)) if e["contender"] not in PEERS else "" for q in timed]
            f.write(f"| {e['problem']} | {e['inputs']} | {e.get('variant', e['contender'])} | {e['p50_us']:.1f} | "
                    f"{e['p90_us']:.1f} | {e['tflops']:.1f} | {e['percent_matrix']:.1f} | {e['gbps']:.0f} | "
                    f"{e['percent_read']:.1f} | {' | '.join(cells)} |\n")
        peer = "geomean | least | p90: geomean | least | problems"
        f.write("\nTime of the peer / this, above 1: this is faster. First against ")
        f.write(", then against ".join(TITLES[q] for q in timed) + ", then against the better one of PyTorch's two for each problem.\n\n")
        f.write(f"| contender | inputs | dtype | of | {' | '.join([peer] * (len(timed) + 1))} |\n")
        f.write(f"|{'---|' * (4 + 5 * (len(timed) + 1))}\n")
        for row in summary:
            names = [row[key] for key in ("contender", "inputs", "dtype", "group")]
            f.write(f"| {' | '.join(names + summary_cells(row, timed))} |\n")


# ---------------------------------------------------------------- the command


def words(parser, option, texts, known):
    """The words of an option that may come more than once, each time with commas."""
    found = [word for text in texts for word in text.split(",")]
    for word in found:
        if word not in known:
            parser.error(f"{option}: is {word!r}, must be of {' '.join(known)}")
    return list(dict.fromkeys(found))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--problem", action="append", default=[], help="problem line; repeatable")
    parser.add_argument("--shapes", action="append", default=[],
                        help="built-in sets, with commas (default: canonical, if no problem is given)")  # fmt: skip
    parser.add_argument("--dtype", action="append", default=[],
                        help="of lines that name none: fp16 (default), bf16, or both with a comma")  # fmt: skip
    parser.add_argument("--inputs", action="append", default=[],
                        help=f"kinds, with commas: {' '.join(KINDS)} (default: normal)")  # fmt: skip
    parser.add_argument("--variant", action="append", default=[], help="also time this variant; repeatable")
    parser.add_argument("--rounds", type=int, default=40, help="at least 6 (default: 40)")
    parser.add_argument("--out", default="peers", help="result files, without ending")
    options = parser.parse_args()
    if options.rounds < 6:
        parser.error("--rounds: must be at least 6: fewer samples have no median to speak of")
    kinds = words(parser, "--inputs", options.inputs or ["normal"], KINDS)
    dtypes = words(parser, "--dtype", options.dtype or ["fp16"], ("fp16", "bf16"))
    shapes = options.shapes or ([] if options.problem else ["canonical"])
    shapes = words(parser, "--shapes", shapes, flashl4.shape_sets())
    random.seed(1)
    torch.manual_seed(1)

    lines = [line for name in shapes for line in flashl4.shapes(name)] + options.problem
    lines = dict.fromkeys(typed for line in lines for typed in in_dtypes(line, dtypes))
    problems = [Problem.parse(line) for line in lines]
    contexts = {"fl4": flashl4.Context("cuda")}
    contexts.update({v: flashl4.Context("cuda", variant=v) for v in options.variant})
    started = time.monotonic()
    refused = prepare(problems, contexts)
    print(f"kernels of {len(problems)} problems: {time.monotonic() - started:.1f} s", flush=True)
    for (line, name), why in refused.items():
        if name == "fl4":
            raise SystemExit(f"{line}: {why}")
        print(f"{line}: {name}: {why}", file=sys.stderr)
    limits = contexts["fl4"].limits()
    results = []
    for p, kind in ((p, kind) for p in problems for kind in kinds):
        able = {name: ctx for name, ctx in contexts.items() if (p.line, name) not in refused}
        entries = measure(p, kind, able, options.rounds, limits)
        for e, comparisons in entries:
            text = "  ".join(f"{q}/this {cell(c)}" for q, c in comparisons.items())
            print(f"{p.line:34s} {kind:9s} {e.get('variant', e['contender']):56s} {e['p50_us']:9.1f} us "
                  f"{e['tflops']:6.1f} TFLOP/s {e['gbps']:6.0f} GB/s  {text}", flush=True)  # fmt: skip
        results += entries
        torch.cuda.empty_cache()

    # Verdicts hold over all problems together.
    flat = [c for _, comparisons in results for c in comparisons.values()]
    judged = iter(flashl4.judge(flat))
    results = [(e, {q: next(judged) for q in comparisons}) for e, comparisons in results]
    summary = summarize(results)
    info = environment("tools/peers.py", limits=dataclasses.asdict(limits))
    entries = [{**e, "peers": {q: dataclasses.asdict(c) for q, c in comparisons.items()}} for e, comparisons in results]
    document = {"schema": "flashl4-peers-1", "environment": info, "results": entries, "summary": summary}
    pathlib.Path(options.out + ".json").write_text(json.dumps(document, indent=1))
    write_markdown(options.out + ".md", info, results, summary)
    for row in summary:
        for q, r in row["peers"].items() if row["group"] == "all" else ():
            parts = [f"{part} {r[part]['geomean']:.3f}, least {r[part]['min']:.3f} {r[part]['min_problem']}"
                     for part in ("p50", "p90")]  # fmt: skip
            print(f"{row['contender']}, {row['inputs']}, {row['dtype']}, {r['problems']} problems: "
                  f"{q}/this {'; '.join(parts)}")  # fmt: skip


if __name__ == "__main__":
    main()

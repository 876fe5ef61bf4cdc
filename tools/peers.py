#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Forward beside its peers on one GPU, paired in one run: PyTorch's FLASH (FlashAttention-2) and cuDNN.

    tools/peers.py [--problem LINE]... [--shapes SET,...] [--variant V]... [--inputs KIND] [--rounds N] [--out NAME]

Each contender is a CUDA graph of calls over rotating inputs. Rounds replay all of them in random order,
so that clocks and temperature drift the same for all; intervals and verdicts are those of fl4_bench()
(flashl4.compare), all problems judged together. Outputs are compared with each other before timing.
Rates are also in percent of the device's limits, measured at the start. Writes NAME.json (all samples)
and NAME.md. Needs torch with CUDA, and libflashl4 (by its SONAME, or $FLASHL4_LIBRARY).
"""
import argparse
import dataclasses
import datetime
import json
import pathlib
import random
import re
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "python"))

import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

import flashl4

PEERS = {"fa2": SDPBackend.FLASH_ATTENTION, "cudnn": SDPBackend.CUDNN_ATTENTION}


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
        return Problem(line, **size, causal="causal" in words, dtype=torch.bfloat16 if "bf16" in words else torch.float16)

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


def inputs(p, kind):
    """Sets of Q, K, V, enough of them that together they exceed the L2 cache."""
    elements = p.b * p.d * (p.hq * p.sq + 2 * p.hkv * p.sk)
    n = max(1, min(8, 256_000_000 // (2 * elements)))

    def make(heads, length):
        return torch.randn(p.b, heads, length, p.d, device="cuda", dtype=p.dtype)

    sets = [(make(p.hq, p.sq), make(p.hkv, p.sk), make(p.hkv, p.sk)) for _ in range(n)]
    if kind == "sink":  # key 0 ten units above the rest, along a direction that all queries have
        for q, k, _ in sets:
            q[..., 0] = 4
            k[..., 0] = 0
            k[:, :, 0, 0] = 10 * p.d**0.5 / 4
    return sets


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


def contenders(p, sets, contexts):
    """Name → call. A peer that refuses the problem is left out."""
    out = {}
    for name, ctx in contexts.items():
        o = torch.empty_like(sets[0][0])
        out[name] = lambda q, k, v, ctx=ctx, o=o: ctx.forward(q, k, v, out=o, causal=p.causal)
    for name, backend in PEERS.items():
        def call(q, k, v, backend=backend):
            with sdpa_kernel(backend):
                return F.scaled_dot_product_attention(q, k, v, is_causal=p.causal, enable_gqa=q.shape[1] != k.shape[1])
        if not p.peers_agree():
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


def measure(p, contexts, options, limits):
    """Entries for the JSON file, a dict for each contender, with its comparisons beside it."""
    sets = inputs(p, options.inputs)
    calls = contenders(p, sets, contexts)
    differ = disagreement(calls, sets)
    n = max(1, min(50, int(2e-3 / max(p.flops() / 3e14, p.bytes() / 3e12))))
    graphs = {name: capture(call, sets, n) for name, call in calls.items()}
    times = sample(graphs, n, options.rounds)
    matrix = max(limits.mma_tflops, limits.gemm_tflops)
    entries = []
    for name, us in times.items():
        stats = flashl4.statistics(us)
        entry = {"problem": p.line, "inputs": options.inputs, "contender": name, "us": us, "sets": len(sets), "calls": n}
        entry["p50_us"], entry["p90_us"] = stats.p50, stats.p90
        entry["tflops"], entry["gbps"] = p.flops() / stats.p50 / 1e6, p.bytes() / stats.p50 / 1e3
        entry["percent_matrix"], entry["percent_read"] = 100 * entry["tflops"] / matrix, 100 * entry["gbps"] / limits.read_gbps
        entry["differs_from_peer"] = differ.get(name)
        comparisons = {}
        if name not in PEERS:
            entry["variant"] = contexts[name].plan(*sets[0], causal=p.causal).variant
            comparisons = {q: flashl4.compare(us, times[q], paired=True) for q in PEERS if q in times}
        entries.append((entry, comparisons))
    return entries


def environment(limits):
    query = "name,driver_version,clocks.sm,clocks.max.sm,power.draw,power.limit,temperature.gpu"
    smi = subprocess.run(["nvidia-smi", f"--query-gpu={query}", "--format=csv,noheader"], capture_output=True, text=True)
    return {
        "gpu": smi.stdout.strip() or torch.cuda.get_device_name(), "torch": torch.__version__,
        "cuda": torch.version.cuda, "cudnn": torch.backends.cudnn.version(), "flashl4": flashl4.version(),
        "limits": dataclasses.asdict(limits), "date": datetime.date.today().isoformat(),
        "command": " ".join(["tools/peers.py", *sys.argv[1:]]),
    }  # fmt: skip


def cell(comparison):
    """Time of the peer / ours: above 1, we are faster. The verdict is about the peer."""
    if comparison is None:
        return "–"
    ours = {"slower": "faster", "faster": "slower"}.get(comparison.verdict, comparison.verdict)
    return f"{comparison.ratio:.3f} ({comparison.low:.3f}–{comparison.high:.3f}) {ours}"


def write_markdown(path, info, results):
    limits = info["limits"]
    with open(path, "w", encoding="utf-8") as f:
        f.write(f"`{info['command']}`, {info['date']}: {info['gpu']}; torch {info['torch']}, cuDNN {info['cudnn']}. ")
        f.write(f"Limits: mma.sync {limits['mma_tflops']:.0f}, cuBLAS {limits['gemm_tflops']:.0f} TFLOP/s, ")
        f.write(f"read {limits['read_gbps']:.0f} GB/s.\n\n")
        f.write("| problem | contender | p50 µs | p90 µs | TFLOP/s | % | GB/s | % | FA2 / this | cuDNN / this |\n")
        f.write("|---|---|---|---|---|---|---|---|---|---|\n")
        for e, comparisons in results:
            cells = [cell(comparisons.get(p)) if e["contender"] not in PEERS else "" for p in PEERS]
            f.write(f"| {e['problem']} | {e.get('variant', e['contender'])} | {e['p50_us']:.1f} | {e['p90_us']:.1f} | "
                    f"{e['tflops']:.1f} | {e['percent_matrix']:.1f} | {e['gbps']:.0f} | {e['percent_read']:.1f} | "
                    f"{cells[0]} | {cells[1]} |\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--problem", action="append", default=[], help="problem line; repeatable")
    parser.add_argument("--shapes", default="", help="built-in sets, with commas (default: canonical, if no problem is given)")
    parser.add_argument("--variant", action="append", default=[], help="also time this variant; repeatable")
    parser.add_argument("--inputs", choices=["normal", "sink"], default="normal")
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--out", default="peers", help="result files, without ending")
    options = parser.parse_args()
    random.seed(1)
    torch.manual_seed(1)

    sets = options.shapes or ("" if options.problem else "canonical")
    lines = [line for name in filter(None, sets.split(",")) for line in flashl4.shapes(name)] + options.problem
    if not lines:
        parser.error(f"--shapes: no such set; sets are {' '.join(flashl4.shape_sets())}")
    contexts = {"fl4": flashl4.Context("cuda")}
    contexts.update({v: flashl4.Context("cuda", variant=v) for v in options.variant})
    limits = contexts["fl4"].limits()
    results = []
    for line in lines:
        entries = measure(Problem.parse(line), contexts, options, limits)
        for e, comparisons in entries:
            text = "  ".join(f"{q}/this {cell(c)}" for q, c in comparisons.items())
            print(f"{line:34s} {e.get('variant', e['contender']):56s} {e['p50_us']:9.1f} us {e['tflops']:6.1f} TFLOP/s "
                  f"{e['gbps']:6.0f} GB/s  {text}", flush=True)  # fmt: skip
        results += entries
        torch.cuda.empty_cache()

    # Verdicts hold over all problems together.
    flat = [c for _, comparisons in results for c in comparisons.values()]
    judged = iter(flashl4.judge(flat))
    results = [(e, {q: next(judged) for q in comparisons}) for e, comparisons in results]
    info = environment(limits)
    entries = [{**e, "peers": {q: dataclasses.asdict(c) for q, c in comparisons.items()}} for e, comparisons in results]
    document = {"schema": "flashl4-peers-1", "environment": info, "results": entries}
    pathlib.Path(options.out + ".json").write_text(json.dumps(document, indent=1))
    write_markdown(options.out + ".md", info, results)


if __name__ == "__main__":
    main()

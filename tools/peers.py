#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Forward beside its peers on one GPU, paired in one run: PyTorch's FLASH (FlashAttention-2) and cuDNN.

    tools/peers.py [--problem LINE]... [--variant V]... [--rounds N] [--out NAME]

Each contender is a CUDA graph of calls over rotating inputs. Rounds replay all of them in random order,
so that clocks and temperature drift the same for all; the ratio peer/fl4 is the median over the rounds,
with a bootstrap interval. Writes NAME.json (all samples) and NAME.md. Needs torch with CUDA, and
libflashl4 (by its SONAME, or $FLASHL4_LIBRARY).
"""
import argparse
import datetime
import json
import pathlib
import random
import re
import statistics
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "python"))

import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

import flashl4

CANONICAL = [
    "b4hq16sq2048d128:causal", "b1hq8sq4096d128:causal", "b8hq16sq1024d64",
    "b4hq16sq4096d128", "b4hq16sq4096d128:causal", "b4hq16sq4096d64", "b4hq16sq4096d64:causal", "b1hq8sq512d64",
]  # fmt: skip
PEERS = {"fa2": SDPBackend.FLASH_ATTENTION, "cudnn": SDPBackend.CUDNN_ATTENTION}


def parse(line):
    """The sizes and words of a problem line that flashl4 has accepted."""
    head, *words = line.split(":")
    size = dict(re.findall(r"(hq|hkv|sq|sk|b|d)(\d+)", head))
    size = {k: int(v) for k, v in size.items()}
    size.setdefault("b", 1), size.setdefault("hkv", size["hq"]), size.setdefault("sk", size["sq"])
    return size, "causal" in words, torch.bfloat16 if "bf16" in words else torch.float16


def inputs(line):
    """Sets of Q, K, V, enough of them that together they exceed the L2 cache."""
    s, causal, dtype = parse(line)
    elements = s["b"] * s["d"] * (s["hq"] * s["sq"] + 2 * s["hkv"] * s["sk"])
    n = max(1, min(8, 256_000_000 // (2 * elements)))
    make = lambda h, length: torch.randn(s["b"], h, length, s["d"], device="cuda", dtype=dtype)
    return [(make(s["hq"], s["sq"]), make(s["hkv"], s["sk"]), make(s["hkv"], s["sk"])) for _ in range(n)], causal


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


def contenders(sets, causal, contexts):
    """Name → call. A peer that refuses the problem is left out."""
    out = {}
    for name, ctx in contexts.items():
        o = torch.empty_like(sets[0][0])
        out[name] = lambda q, k, v, ctx=ctx, o=o: ctx.forward(q, k, v, out=o, causal=causal)
    for name, backend in PEERS.items():
        def call(q, k, v, backend=backend):
            with sdpa_kernel(backend):
                return F.scaled_dot_product_attention(q, k, v, is_causal=causal, enable_gqa=q.shape[1] != k.shape[1])
        try:
            call(*sets[0])
            out[name] = call
        except RuntimeError as error:
            print(f"{name}: {str(error).splitlines()[0]}", file=sys.stderr)
    return out


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


def ratio(peer, own):
    """Median of the paired ratios and its 95 % bootstrap interval."""
    pairs = [a / b for a, b in zip(peer, own)]
    medians = sorted(statistics.median(random.choices(pairs, k=len(pairs))) for _ in range(1000))
    return statistics.median(pairs), medians[25], medians[974]


def environment():
    query = "name,driver_version,clocks.sm,clocks.max.sm,power.draw,power.limit,temperature.gpu"
    smi = subprocess.run(["nvidia-smi", f"--query-gpu={query}", "--format=csv,noheader"], capture_output=True, text=True)
    return {
        "gpu": smi.stdout.strip() or torch.cuda.get_device_name(), "torch": torch.__version__,
        "cuda": torch.version.cuda, "cudnn": torch.backends.cudnn.version(), "flashl4": flashl4.version(),
        "date": datetime.date.today().isoformat(), "command": " ".join(["tools/peers.py", *sys.argv[1:]]),
    }  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--problem", action="append", help="problem line; repeatable (default: the canonical shapes)")
    parser.add_argument("--variant", action="append", default=[], help="also time this variant; repeatable")
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--out", default="peers", help="result files, without ending")
    options = parser.parse_args()
    random.seed(1)
    torch.manual_seed(1)

    contexts = {"fl4": flashl4.Context("cuda")}
    contexts.update({v: flashl4.Context("cuda", variant=v) for v in options.variant})
    results, rows = [], []
    for line in options.problem or CANONICAL:
        sets, causal = inputs(line)
        size = parse(line)[0]
        flops = 4.0 * size["b"] * size["hq"] * size["sq"] * size["sk"] * size["d"] * (0.5 if causal else 1)
        calls = max(2, min(50, int(2e-3 / (flops / 3e14))))
        graphs = {}
        for name, call in contenders(sets, causal, contexts).items():
            try:
                graphs[name] = capture(call, sets, calls)
            except flashl4.Error as error:
                print(f"{line}: {error}", file=sys.stderr)
        times = sample(graphs, calls, options.rounds)
        for name, us in times.items():
            p50 = statistics.median(us)
            entry = {"problem": line, "contender": name, "us": us, "p50_us": p50, "tflops": flops / p50 / 1e6}
            if name not in PEERS:
                entry["variant"] = contexts[name].plan(*sets[0], causal=causal).variant
                entry["ratios"] = {p: ratio(times[p], us) for p in PEERS if p in times}
            results.append(entry)
            text = " ".join(f"{p}/this {m:.3f} [{lo:.3f}, {hi:.3f}]" for p, (m, lo, hi) in entry.get("ratios", {}).items())
            print(f"{line:30s} {entry.get('variant', name):60s} {p50:9.1f} us {entry['tflops']:6.1f} TFLOP/s  {text}", flush=True)
            rows.append((line, entry.get("variant", name), p50, entry["tflops"], entry.get("ratios", {})))
        del graphs
    info = environment()
    pathlib.Path(options.out + ".json").write_text(json.dumps({"environment": info, "results": results}, indent=1))
    with open(options.out + ".md", "w") as f:
        f.write(f"`{info['command']}`, {info['date']}: {info['gpu']}; torch {info['torch']}, cuDNN {info['cudnn']}\n\n")
        f.write("| problem | contender | p50 µs | TFLOP/s | FA2 / this | cuDNN / this |\n|---|---|---|---|---|---|\n")
        for line, name, p50, tflops, ratios in rows:
            cells = [f"{ratios[p][0]:.3f} ({ratios[p][1]:.3f}–{ratios[p][2]:.3f})" if p in ratios else "" for p in PEERS]
            f.write(f"| {line} | {name} | {p50:.1f} | {tflops:.1f} | {cells[0]} | {cells[1]} |\n")


if __name__ == "__main__":
    main()

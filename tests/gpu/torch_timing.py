#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Does fl4_bench() tell the times that PyTorch's own events and graphs tell of the same kernel?

    tests/gpu/torch_timing.py [LINE]...

Both time fl4_attention_forward() in CUDA graphs over three sets of tensors, in turn, several times: the
median of the ratios must be within 2 %. Exit 1 if not. Needs torch with CUDA.
"""
import pathlib
import statistics
import sys

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path[:0] = [str(TOP / "python"), str(TOP / "tools")]

import torch

import flashl4
import peers

TURNS, SETS, SECONDS, ALLOWED = 7, 3, 0.4, 0.02


def by_torch(ctx, p, sets):
    """Median microseconds of a call, after as much warm-up as fl4_bench() has."""
    outputs = [torch.empty_like(q) for q, _, _ in sets]
    turn = [0]

    def call(q, k, v):
        ctx.forward(q, k, v, out=outputs[turn[0] % SETS], causal=p.causal)
        turn[0] += 1

    calls = max(SETS, int(3e-4 / max(p.flops() / 3e14, p.bytes() / 3e12)) // SETS * SETS)
    graph = peers.capture(call, sets, calls)
    start, stop, times, spent = torch.cuda.Event(True), torch.cuda.Event(True), [], 0.0
    while spent < SECONDS:
        start.record()
        graph.replay()
        stop.record()
        stop.synchronize()
        times.append(start.elapsed_time(stop) * 1e3 / calls)
        spent += start.elapsed_time(stop) / 1e3
    return statistics.median(times[len(times) // 10:])


def main():
    bad = 0
    ctx = flashl4.Context("cuda")
    for line in sys.argv[1:] or [*flashl4.shapes("canonical"), "hq8sq512d64"]:
        p = peers.Problem.parse(line)
        sets = [tuple(torch.randn(p.b, h, n, p.d, device="cuda", dtype=p.dtype)
                      for h, n in ((p.hq, p.sq), (p.hkv, p.sk), (p.hkv, p.sk))) for _ in range(SETS)]  # fmt: skip
        ratios, own, theirs = [], [], []
        for _ in range(TURNS):
            own.append(ctx.bench(line, seconds=SECONDS, copies=SETS, precision=1e-6)[0].p50)
            theirs.append(by_torch(ctx, p, sets))
            ratios.append(own[-1] / theirs[-1])
        ratio = statistics.median(ratios)
        good = abs(ratio - 1) <= ALLOWED
        bad += not good
        print(f"{'ok' if good else 'FAILED':7s} {line:28s} fl4_bench {statistics.median(own):8.2f} us, torch "
              f"{statistics.median(theirs):8.2f} us, ratio {ratio:.4f} ({min(ratios):.4f}–{max(ratios):.4f})", flush=True)  # fmt: skip
    return bad > 0


if __name__ == "__main__":
    sys.exit(main())

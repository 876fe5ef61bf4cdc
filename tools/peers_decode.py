#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Decode beside its peers on one GPU, in one run of some minutes: what is to be reached, and what was.

    tools/peers_decode.py [--variant V] [--part NAME,...] [--dtype bf16,fp16] [--rounds N] [--seconds T] [--out NAME] [--list]

Parts: grid       PyTorch's FLASH and cuDNN; also the share of the read bandwidth that is reached
       latency    a call that overlaps with no other one
       queries    2, 4 and 8 queries, beside cuDNN
       paged      pages of 16 and 64 keys beside contiguous ones
       invariant  FL4_BATCH_INVARIANT beside the free choice

Each contender is a CUDA graph of calls over rotating inputs; rounds replay all of a problem's in random order, so that
ratios are of times that were taken side by side. Kernels are compiled before that, by as many processes as there are cores.
--list shows the problems, and needs neither a GPU nor torch. Writes NAME.json (all samples) and NAME.md. Exit 1 if outputs
differ, ours refuses a problem, the GPU fails or the time is over: what was measured until then is written all the same. A
target that is missed is said, and is no failure. Needs torch with CUDA, and libflashl4 (by its SONAME, or $FLASHL4_LIBRARY).
"""
import argparse
import dataclasses
import json
import os
import pathlib
import random
import subprocess
import sys
import time

TOP = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(TOP / "python"), str(TOP / "tools")]

import decode_problems

MEMORY = 0.6  # of the device's, that the tensors of a problem may take
DIFFERENCE = 0.1  # of two outputs, relative to their root mean square, that rounding does not explain


# ---------------------------------------------------------------- kernels


def compile_share(problems, variant, device="cuda"):
    """Compiles, or reads from the cache, what the problems need of ours. What is refused is said when it is measured."""
    import flashl4

    ctx = flashl4.Context(device, variant=variant)
    where = "host" if ctx.device.kind == "host" else f"cuda:{ctx.device.ordinal}"
    for p in problems:
        dtype = "bfloat16" if p.dtype == "bf16" else "float16"

        def tensor(*sizes, dtype=dtype):  # no memory is touched
            return flashl4.Tensor(256, sizes, dtype, device=where)

        q, dense = tensor(p.b, p.hq, p.sq, p.d), tensor(p.b, p.hkv, p.sk, p.d)
        calls = [(dense, {})]
        if p.part == "invariant":
            calls.append((dense, {"invariant": True}))
        for page in (16, 64) if p.part == "paged" else ():
            columns = p.sk // page
            pool = tensor(p.b * columns, p.hkv, page, p.d)
            calls.append((pool, {"block_table": tensor(p.b, columns, dtype="int32")}))
        for keys, features in calls:
            try:
                ctx.prepare(q, keys, keys, out=q, **features)
            except flashl4.Error:
                pass


def compile_all(problems, variant):
    """Problems whose kernels are likely to be the same go to the same process."""
    kinds = {}
    for p in problems:
        own = p.part if p.part in ("paged", "invariant") else ""
        kinds.setdefault((own, p.dtype, p.d, p.hq // p.hkv * p.sq), []).append(p)
    shares = [[] for _ in range(min(os.cpu_count() or 1, len(kinds)))]
    for i, same in enumerate(kinds.values()):
        shares[i % len(shares)] += same
    command = [sys.executable, __file__, "--compile"] + (["--variant", variant] if variant else [])
    processes = [subprocess.Popen(command, stdin=subprocess.PIPE, text=True) for _ in shares]
    for process, share in zip(processes, shares):
        json.dump([dataclasses.asdict(p) for p in share], process.stdin)
        process.stdin.close()
    failed = sum(process.wait() != 0 for process in processes)
    if failed:
        print(f"{failed} of {len(processes)} processes that compile ahead failed", file=sys.stderr)


# ---------------------------------------------------------------- results


def cell(comparison):
    return f"{comparison.ratio:.3f} ({comparison.low:.3f}–{comparison.high:.3f}) {comparison.verdict}"


def write_markdown(path, info, results, targets):
    with open(path, "w", encoding="utf-8") as f:
        f.write(f"`{info['command']}`, {info['date']}: {info['gpu']}; torch {info['torch']}, cuDNN {info['cudnn']}. ")
        f.write(f"Read bandwidth {info['limits']['read_gbps']:.0f} GB/s; {info['seconds']:.0f} s in all.\n\n")
        if info["stopped"]:
            f.write(f"Stopped early: {info['stopped']}\n\n")
        f.write(f"| target | dtype | wanted | measured | of | problems | |\n|{'---|' * 7}\n")
        for t in targets:
            f.write(f"| {t.what} | {t.dtype} | {'≥' if t.least else '≤'} {t.wanted:g} | {t.measured:.3f} | {t.where} | "
                    f"{t.problems} | {'met' if t.met else '**missed**'} |\n")  # fmt: skip
        f.write("\nRatio: time of this contender / time of fl4, and whether it is faster or slower than that.\n\n")
        f.write("| part | problem | contender | variant | p50 µs | p90 µs | latency µs | GB/s | % | ratio |\n")
        f.write(f"|{'---|' * 10}\n")
        for e, c in results:
            latency = f"{e['latency_us']:.2f}" if "latency_us" in e else ""
            f.write(f"| {e['part']} | {e['problem']} | {e['contender']} | {e['variant']} | "
                    f"{e['p50_us']:.2f} | {e['p90_us']:.2f} | {latency} | {e['gbps']:.0f} | {e['percent_read']:.1f} | "
                    f"{cell(c) if c else ''} |\n")  # fmt: skip


def show(p, entries, comparisons):
    parts = [f"{e['contender']} {e['p50_us']:.2f}" for e in entries]
    ratios = [f"{name}/fl4 {c.ratio:.3f}" for name, c in comparisons.items()]
    share = next((f"{e['percent_read']:.1f} % of reads" for e in entries if e["contender"] == "fl4"), "")
    print(f"{p.part:9s} {p.line():36s} {'  '.join(parts)} us  {'  '.join(ratios)}  {share}", flush=True)


def judged(found):
    """All comparisons of the run judged together: entries with theirs."""
    import flashl4

    verdicts = iter(flashl4.judge([c for _, _, comparisons in found for c in comparisons.values()]))
    out = []
    for _, entries, comparisons in found:
        own = {name: next(verdicts) for name in comparisons}
        out += [(e, own.get(e["contender"])) for e in entries]
    return out


def run(problems, options):
    """Measures all; then, or when the GPU fails, writes what there is. Returns the exit status."""
    import torch

    import decode_timing
    import flashl4
    import peers

    random.seed(1), torch.manual_seed(1)
    started = time.monotonic()
    ctx = flashl4.Context("cuda", variant=options.variant)
    limits = ctx.limits()
    print(f"read {limits.read_gbps:.0f} GB/s", flush=True)
    found, rows, stopped, wrong = [], [], "", 0
    for i, p in enumerate(problems):
        if time.monotonic() - started > options.seconds:
            stopped = f"{len(problems) - i} problems had no turn within {options.seconds:g} s, the first is {p.line()}"
            break
        try:
            entries, comparisons = decode_timing.measure(p, ctx, options.rounds, limits)
        except (RuntimeError, flashl4.Error) as error:
            wrong += 1
            print(f"FAILED {p.line()}: {str(error).splitlines()[0]}", flush=True)
            if not decode_timing.alive():
                stopped = f"the GPU failed at {p.line()}"
                break
            continue
        found.append((p, entries, comparisons))
        if any(e["contender"] == "fl4" for e in entries):
            rows.append(decode_timing.row_of(p, entries, comparisons))
        for e in entries:
            if (e["differs_from_fl4"] or 0) > DIFFERENCE:
                wrong += 1
                print(f"WRONG {p.line()}: fl4 and {e['contender']} differ by {e['differs_from_fl4']:.3g}", flush=True)
        show(p, entries, comparisons)
        decode_timing.alive()
    results, targets = judged(found), decode_problems.targets(rows)
    info = peers.environment("tools/peers_decode.py", limits=dataclasses.asdict(limits), stopped=stopped,
                             seconds=time.monotonic() - started)  # fmt: skip
    document = {"schema": "flashl4-peers-decode-1", "environment": info,
                "results": [{**e, "against_fl4": c and dataclasses.asdict(c)} for e, c in results],
                "targets": [{**dataclasses.asdict(t), "met": t.met} for t in targets]}  # fmt: skip
    pathlib.Path(options.out + ".json").write_text(json.dumps(document, indent=1))
    write_markdown(options.out + ".md", info, results, targets)
    for t in targets:
        print(t.sentence())
    if stopped:
        print(f"stopped: {stopped}", flush=True)
    return int(bool(stopped or wrong or len(rows) < len(found)))


# ---------------------------------------------------------------- the command


def words(parser, option, text, known):
    for word in text.split(","):
        if word not in known:
            parser.error(f"{option}: is {word!r}, must be of {' '.join(known)}")
    return tuple(text.split(","))


def show_list(problems, rounds):
    for p in problems:
        print(f"{p.part:9s} {p.line():36s} {p.kv_bytes() / 1e6:9.1f} MB  {p.sets():2d} sets  {p.calls():3d} calls")
    guess = sum(decode_problems.seconds(p, rounds) for p in problems)
    print(f"{len(problems)} problems, some {guess:.0f} s on an H200 beyond compiling")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--variant", help="of ours: a family or a variant (default: the library's choice)")
    parser.add_argument("--part", default=",".join(decode_problems.CONTENDERS), help="with commas (default: all)")
    parser.add_argument("--dtype", default="bf16,fp16", help="with a comma (default: both)")
    parser.add_argument("--rounds", type=int, default=20, help="at least 6 (default: 20)")
    parser.add_argument("--seconds", type=float, default=200, help="the most that measuring takes (default: 200)")
    parser.add_argument("--memory", type=float, help="10⁹ bytes that a problem may take (default: 0.6 of the device's)")
    parser.add_argument("--out", default="decode", help="result files, without ending")
    parser.add_argument("--list", action="store_true", help="show the problems")
    parser.add_argument("--compile", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.compile:
        return compile_share([decode_problems.Problem(**p) for p in json.load(sys.stdin)], options.variant)
    if options.rounds < 6:
        parser.error(f"--rounds: is {options.rounds}, must be at least 6: fewer samples have no median to speak of")
    if not options.seconds > 0:
        parser.error(f"--seconds: is {options.seconds:g}, must be more than 0")
    if options.memory is not None and options.memory <= 0:
        parser.error(f"--memory: is {options.memory:g}, must be more than 0")
    parts = words(parser, "--part", options.part, tuple(decode_problems.CONTENDERS))
    dtypes = words(parser, "--dtype", options.dtype, decode_problems.DTYPES)
    memory = options.memory and options.memory * 1e9
    if options.list:
        show_list(decode_problems.problems(parts, dtypes, memory), options.rounds)
        return 0
    import flashl4

    if memory is None:
        gpu = next((d for d in flashl4.devices() if d.kind == "cuda"), None)
        if gpu is None:
            raise SystemExit("no CUDA device")
        memory = MEMORY * gpu.memory_bytes
    problems = decode_problems.problems(parts, dtypes, memory)
    started = time.monotonic()
    compile_all(problems, options.variant)
    print(f"kernels of {len(problems)} problems: {time.monotonic() - started:.1f} s", flush=True)
    return run(problems, options)


if __name__ == "__main__":
    sys.exit(main())

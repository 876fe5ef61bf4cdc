#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What single bad choices cost fwd_mma on this GPU: each edit of pathology_edits.py beside the kernel as it is.

    tests/gpu/pathologies.py [--problem LINE]... [--only NAME]... [--rounds N] [--out NAME]

Every edit has a context with kernel sources of its own, and the variant that is chosen for the problem; an edit that
shows only with a third stage is held to the sound kernel with three. Outputs are compared with the sound kernel's, then
all are timed as tools/peers.py times: one process, CUDA graphs of calls over rotating inputs, rounds in random order,
verdicts by flashl4.compare() over all together. Writes NAME.json (all samples) and NAME.md. Exit 1 if an output is wrong
or an edit cannot be made. Needs torch with CUDA, and libflashl4 (by its SONAME, or $FLASHL4_LIBRARY).

pathology_check.py holds the edits to the kernels where there is no GPU.
"""
import argparse
import dataclasses
import json
import pathlib
import random
import re
import sys

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path[:0] = [str(TOP / "python"), str(TOP / "tools")]

import torch

import flashl4
import peers
from pathology_edits import PATHOLOGIES, SOUND, folders

PROBLEMS = tuple(f"b4hq16sq4096d{d}{mask}" for d in (64, 96, 128) for mask in ("", ":causal"))
THIRD = "three stages"


def with_values(variant, **values):
    for name, value in values.items():
        variant = re.sub(rf"\b{name}=\d+", f"{name}={value}", variant)
    return variant


def open_context(folder, variant):
    return flashl4.Context("cuda", kernel_dir=str(folder), variant=variant, disk_cache=False)


def third_stage(folder, p, q, k, v, variant):
    """The variant with three stages, and smaller tiles or fewer blocks where these do not fit. None: not at all."""
    smaller = {"bn": 32, "slice": 32}, {"bn": 32, "slice": 16}  # the latter woven: an even number of slices
    for more in ({}, *smaller, {"ctas": 1}, *({**s, "ctas": 1} for s in smaller)):
        text = with_values(variant, stages=3, **more)
        try:
            return open_context(folder, text).plan(q, k, v, causal=p.causal).variant
        except flashl4.Error:
            continue
    return None


def contenders(p, sets, where, pathologies):
    """{name: (context, name of the one that it is held to)}"""
    chosen = open_context(where[SOUND], "fwd_mma").plan(*sets[0], causal=p.causal).variant
    variants = {SOUND: chosen}
    if any(e.stages > 2 for e in pathologies):
        variants[THIRD] = third_stage(where[SOUND], p, *sets[0], chosen)
    out = {name: (open_context(where[SOUND], v), SOUND) for name, v in variants.items() if v}
    for e in pathologies:
        base = THIRD if e.stages > 2 else SOUND
        if base in out and (p.causal or not e.causal):
            out[e.name] = open_context(where[e.name], variants[base]), base
    return out


def disagrees(p, output, base):
    """How far beyond the roundings of weights and outputs, of one element and its row: 1 is as far as may be."""
    limit = 2**-4 if p.dtype == torch.bfloat16 else 2**-7
    output, base = output.float(), base.float()
    row = base.pow(2).mean(-1, keepdim=True).sqrt()
    return ((output - base).abs() / (limit * (base.abs() + row)).clamp_min(1e-6)).max().item()


def measure(p, where, pathologies, rounds):
    """([(entry, comparison or None)], sentences about what went wrong)."""
    sets = peers.inputs(p, "normal")
    made = contenders(p, sets, where, pathologies)
    contexts = {name: ctx for name, (ctx, _) in made.items()}
    failed = [f"{p.line}: {name}: {why}" for (_, name), why in peers.prepare([p], contexts).items()]
    if failed:
        return [], failed

    calls, bad = {}, []
    for name, ctx in contexts.items():
        o = torch.empty_like(sets[0][0])
        calls[name] = lambda q, k, v, ctx=ctx, o=o: ctx.forward(q, k, v, out=o, causal=p.causal)
    sound = calls[SOUND](*sets[0]).clone()
    for name in list(calls):
        far = disagrees(p, calls[name](*sets[0]), sound)
        if not far <= 1:  # NaN is not
            bad.append(f"{p.line}: {name}: the output is {far:.2g} times as far from the sound kernel's as it may be")
            del calls[name]
    n = max(1, min(50, int(2e-3 / max(p.flops() / 3e14, p.bytes() / 3e12))))
    times = peers.sample({name: peers.capture(call, sets, n) for name, call in calls.items()}, n, rounds)
    entries = []
    for name, us in times.items():
        base, plan = made[name][1], contexts[name].plan(*sets[0], causal=p.causal)
        entry = {"problem": p.line, "choice": name, "held_to": base, "variant": plan.variant, "us": us, "calls": n,
                 "registers": plan.registers, "spill_bytes": plan.spill_bytes, "smem_bytes": plan.smem_bytes,
                 "p50_us": flashl4.statistics(us).p50, "p90_us": peers.p90(us)}  # fmt: skip
        held = name != base and base in times
        entries.append((entry, flashl4.compare(us, times[base], paired=True) if held else None))
    return entries, bad


# ---------------------------------------------------------------- results


def speed(comparison):
    return f"{comparison.ratio:.2f} ({comparison.low:.2f}–{comparison.high:.2f})" if comparison else "–"


def write_markdown(path, info, results):
    lines = list(dict.fromkeys(e["problem"] for e, _ in results))
    found = {(e["choice"], e["problem"]): (e, c) for e, c in results}
    with open(path, "w", encoding="utf-8") as f:
        f.write(f"`{info['command']}`, {info['date']}: {info['gpu']}. Speed that is left, with its interval.\n\n")
        f.write(f"| bad choice | {' | '.join(lines)} |\n|{'---|' * (1 + len(lines))}\n")
        third = "as it is otherwise; smaller tiles or fewer blocks, where it does not fit else"
        for name, what in {THIRD: third, **{e.name: e.what for e in PATHOLOGIES}}.items():
            cells = [speed(found.get((name, line), (None, None))[1]) for line in lines]
            if any(c != "–" for c in cells):
                f.write(f"| {name}: {what} | {' | '.join(cells)} |\n")
        f.write("\n| problem | choice | held to | p50 µs | p90 µs | speed left | registers | spills | variant |\n")
        f.write(f"|{'---|' * 9}\n")
        for e, c in results:
            held_to, left = (e["held_to"], peers.cell(c)) if c else ("", "")
            f.write(f"| {e['problem']} | {e['choice']} | {held_to} | {e['p50_us']:.1f} | {e['p90_us']:.1f} | {left} | "
                    f"{e['registers']} | {e['spill_bytes']} | {e['variant']} |\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--problem", action="append", default=[], help="problem line; repeatable")
    parser.add_argument("--only", action="append", default=[], help="only this bad choice; repeatable")
    parser.add_argument("--rounds", type=int, default=40, help="at least 6 (default: 40)")
    parser.add_argument("--out", default="pathologies", help="result files, without ending")
    options = parser.parse_args()
    if options.rounds < 6:
        parser.error("--rounds: must be at least 6: fewer samples have no median to speak of")
    names = [e.name for e in PATHOLOGIES]
    if unknown := [name for name in options.only if name not in names]:
        parser.error(f"--only: is {unknown[0]!r}, must be of: {', '.join(names)}")
    pathologies = [e for e in PATHOLOGIES if not options.only or e.name in options.only]
    random.seed(1)
    torch.manual_seed(1)

    results, bad = [], []
    with folders(TOP / "kernels", pathologies) as where:
        for line in options.problem or PROBLEMS:
            entries, failed = measure(peers.Problem.parse(line), where, pathologies, options.rounds)
            for e, c in entries:
                print(f"{line:26s} {e['choice']:20s} {e['p50_us']:9.1f} us  {speed(c):20s} {e['registers']:3d} "
                      f"registers {e['spill_bytes']:5d} bytes of spills  {e['variant']}", flush=True)  # fmt: skip
            for text in failed:
                print(f"FAILED {text}", flush=True)
            results, bad = results + entries, bad + failed
            torch.cuda.empty_cache()

    # Verdicts hold over all problems together.
    judged = iter(flashl4.judge([c for _, c in results if c]))
    results = [(e, next(judged) if c else None) for e, c in results]
    info = peers.environment("tests/gpu/pathologies.py")
    entries = [{**e, "base": dataclasses.asdict(c) if c else None} for e, c in results]
    document = {"schema": "flashl4-pathologies-1", "environment": info, "wrong": bad, "results": entries}
    pathlib.Path(options.out + ".json").write_text(json.dumps(document, indent=1))
    write_markdown(options.out + ".md", info, results)
    print(f"{len(results)} timed, {len(bad)} failed")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())

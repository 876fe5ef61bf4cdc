#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Errors of forward against fp64, held to those of a peer on the same inputs. Exit 1 if one is too large.

    tests/gpu/accuracy.py [--family F]... [--variant V]... [--quick] [--out NAME]

The peers are PyTorch's FLASH (FlashAttention-2) and cuDNN backends. Every output, of the kernel with and without
log-sum-exp, must have

    max |error|  at most the larger of 2 × the peer's and one rounding: u · max |O|
    RMS error    at most 1.2 × the peer's
    LSE          within 1e-3 + (D/16 + 3) · 2⁻²³ · max |LSE|, as fl4_check() has it: the second part, of fp32's own
                 roundings, counts only for scores in the thousands

u is half the distance from 1 to the next number of the output's dtype. The best possible output has errors up to
u · max |O|, for being of that dtype; a peer's are smaller where O happens to be representable, as where one key
carries each row and O is a row of V. Twice nothing would then allow nothing, although no output was wrong. The
RMS has no such floor: over many elements roundings do not depend on luck.

This is demanded of fwd_wgmma against cuDNN, of fwd_mma against FlashAttention-2, which are the peers on the same
instructions; against the other peer if that one refuses the problem. The rest is told too, in the column "beyond", and
fails nothing. Where no peer gives a reference (causal with Sq unlike Sk: they align the mask elsewhere), the rule is
fl4_check()'s, against the unfused computation that rounds each result to the dtype: max at most 2 × its max plus
ε · max |O|, mean at most 1.5 × its mean plus ε/2 · mean |O|, with ε = 2u.

Inputs are the kinds of tools/peers.py. Writes NAME.json, all cases. --family: only these, fwd_mma or fwd_wgmma; if none
is given, all that the GPU has. --quick: one seed, fewer shapes. --variant: these too, where they can run. Needs torch
with CUDA, and libflashl4 (by its SONAME, or $FLASHL4_LIBRARY).
"""
import argparse
import dataclasses
import json
import math
import pathlib
import sys
import time

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path[:0] = [str(TOP / "python"), str(TOP / "tools")]

import torch

import compile_ahead
import flashl4
import peers

DIMS = (64, 72, 80, 96, 128, 192, 256)
QUICK = ("b2hq8hkv2sq433", "hq6hkv2sq1000", "hq4hkv2sq203sk777")
SHAPES = QUICK + ("b2hq4sq128", "hq8sq512", "b2hq4sq1024", "hq4sq2048", "hq4sq300sk203", "b8hq8hkv2sq1sk1000")
SEEDS = 3


def problems(shapes):
    words = ("", ":causal", ":bf16", ":bf16:causal")
    return [peers.Problem.parse(f"{shape}d{d}{word}") for d in DIMS for shape in shapes for word in words]


# ---------------------------------------------------------------- references


def scores(p, q, k, first):
    """Of the query rows from `first` on, in the dtype of q; keys that a row does not see are -inf."""
    s = q @ k.transpose(2, 3) * p.d**-0.5
    if p.causal:
        hidden = torch.ones(s.shape[2:], dtype=torch.bool, device=s.device).triu(first + p.sk - p.sq + 1)
        s.masked_fill_(hidden, -math.inf)
    return s


def exact(p, q, k, v):
    """O and LSE in fp64, in pieces of rows whose scores take a gigabyte at most."""
    q, (k, v) = q.double(), (t.double().repeat_interleave(p.hq // p.hkv, 1) for t in (k, v))
    rows = max(1, 2**27 // (p.b * p.hq * p.sk))
    o, lse = torch.empty_like(q), torch.empty_like(q[..., 0])
    for first in range(0, p.sq, rows):
        here = slice(first, first + rows)
        s = scores(p, q[:, :, here], k, first)
        lse[:, :, here] = torch.logsumexp(s, -1)
        weights = torch.exp(s - lse[:, :, here, None]).nan_to_num_(0)  # NaN: the row sees no key
        o[:, :, here] = weights @ v
    return o, lse


def unfused(p, q, k, v):
    """As separate operators of the dtype would: arithmetic in fp32, every result rounded to the dtype."""
    k, v = (t.repeat_interleave(p.hq // p.hkv, 1) for t in (k, v))
    s = scores(p, q.float(), k.float(), 0).to(p.dtype)
    weights = torch.softmax(s.float(), -1).nan_to_num_(0).to(p.dtype)
    return (weights.float() @ v.float()).to(p.dtype)


def references(p, q, k, v, refused):
    """What outputs are held to: "fa2", "cudnn" or, if there is neither, "unfused", with their outputs."""
    found = {}
    for name in peers.BACKENDS if p.peers_agree() else ():
        try:
            found[name] = peers.peer_call(name, p.causal)(q, k, v)
        except RuntimeError as error:
            refused[p.line, name] = str(error).splitlines()[0]
    return found or {"unfused": unfused(p, q, k, v)}


def demanded(contender, rules):
    """The one of them that a contender must keep."""
    own = "cudnn" if contender.startswith("fwd_wgmma") else "fa2"
    return own if own in rules else next(iter(rules))


# ---------------------------------------------------------------- the rules


@dataclasses.dataclass
class Errors:
    """NaN in the output makes all of them NaN, which no rule allows."""

    max: float
    rms: float
    mean: float

    @staticmethod
    def of(out, ref):
        e = (out.double() - ref).abs()
        return Errors(*torch.stack([e.max(), e.square().mean().sqrt(), e.mean()]).tolist())


def allowed_errors(rule, base, size, dtype):
    """What may be, by name; `base` are the reference's Errors, `size` those of O = 0: the magnitudes of O."""
    eps = torch.finfo(dtype).eps
    if rule in peers.BACKENDS:
        return {"max": max(2 * base.max, eps / 2 * size.max), "rms": 1.2 * base.rms}
    return {"max": 2 * base.max + eps * size.max, "mean": 1.5 * base.mean + eps / 2 * size.mean}


def lse_errors(p, lse, ref):
    """The largest error, and what it may be. Infinities must be where they belong."""
    e = (lse.double() - ref).abs().masked_fill(lse.double() == ref, 0)
    largest = ref.masked_fill(ref.isinf(), 0).abs().max()
    return e.max().item(), 1e-3 + (p.d / 16 + 3) * 2**-23 * largest.item()


def share(error, allowed):
    """1 is all that is allowed."""
    return error / allowed if allowed > 0 else 0.0 if error == 0 else math.inf


def passes(case):
    """Comparisons with NaN are false."""
    return all(error <= allowed for error, allowed in case["errors"].values())


# ---------------------------------------------------------------- cases


def run(p, ctx, tensors, lse):
    """The output, poisoned before."""
    out = torch.full_like(tensors[0], math.nan)
    ctx.forward(*tensors, out=out, causal=p.causal, lse=lse)
    return out


def judge(p, kind, seed, contexts, refused):
    """A case for each reference and context, with log-sum-exp and without: two kernels."""
    torch.manual_seed(seed)
    tensors = peers.make_set(p, kind)
    ref, ref_lse = exact(p, *tensors)
    size = Errors.of(torch.zeros_like(ref), ref)
    rules = {rule: Errors.of(out, ref) for rule, out in references(p, *tensors, refused).items()}
    cases = []
    for name, ctx in contexts.items():
        for lse in (False, torch.full(tensors[0].shape[:3], math.nan, device=ref.device)):
            found = Errors.of(run(p, ctx, tensors, lse), ref)
            for rule, base in rules.items():
                allowed = allowed_errors(rule, base, size, p.dtype)
                errors = {what: (getattr(found, what), most) for what, most in allowed.items()}
                if lse is not False:
                    errors["lse"] = lse_errors(p, lse, ref_lse)
                cases.append({"problem": p.line, "dtype": p.dtype_name(), "inputs": kind, "seed": seed,
                              "contender": name, "with_lse": lse is not False, "rule": rule,
                              "demanded": rule == demanded(name, rules), "errors": errors,
                              "reference": dataclasses.asdict(base)})  # fmt: skip
    return cases


def warm_up(all_problems, contexts):
    """Compiles everything, and loads it. Returns why a context cannot run a problem: {(line, name): sentence}."""
    jobs = [(p, name, lse) for p in all_problems for name in contexts for lse in (False, True)]
    compile_ahead.compile_all([
        compile_ahead.job(name, p.b, p.hq, p.hkv, p.sq, p.sk, p.d, str(p.dtype).replace("torch.", ""), p.causal, lse)
        for p, name, lse in jobs
    ])  # fmt: skip

    def one(job):
        p, name, lse = job
        sizes = (p.hq, p.sq), (p.hkv, p.sk), (p.hkv, p.sk)
        try:
            run(p, contexts[name], [torch.zeros(p.b, h, n, p.d, device="cuda", dtype=p.dtype) for h, n in sizes], lse)
        except flashl4.Error as error:
            return str(error)

    return {(p.line, name): why for (p, name, _), why in zip(jobs, peers.in_parallel(one, jobs)) if why}


# ---------------------------------------------------------------- the report


def sentence(case):
    parts = [f"{what} {error:.3g} of {allowed:.3g}" for what, (error, allowed) in case["errors"].items()]
    lse = " with LSE" if case["with_lse"] else ""
    return (f"{case['problem']} {case['inputs']}, seed {case['seed']}, {case['contender']}{lse}, "
            f"against {case['rule']}: {', '.join(parts)}")  # fmt: skip


def summarize(cases):
    """Of each contender, rule, kind of inputs and dtype: the largest shares of what is allowed, and where."""
    groups = {}
    for case in cases:
        groups.setdefault(tuple(case[key] for key in ("contender", "rule", "inputs", "dtype")), []).append(case)
    rows = []
    for (contender, rule, kind, dtype), members in groups.items():
        row = {"contender": contender, "rule": rule, "inputs": kind, "dtype": dtype, "cases": len(members)}
        row["failed"] = sum(case["demanded"] and not passes(case) for case in members)
        row["beyond"] = sum(not case["demanded"] and not passes(case) for case in members)
        for what in ("max", "rms", "mean", "lse"):
            shares = [(share(*case["errors"][what]), case["problem"]) for case in members if what in case["errors"]]
            if shares:  # a NaN is the worst
                row[what] = max(shares, key=lambda s: math.inf if math.isnan(s[0]) else s[0])
        rows.append(row)
    return rows


def table(rows):
    """In percent of what is allowed: 100 % is 2 and 1.2 × the peer's."""
    keys = ("contender", "rule", "inputs", "dtype", "cases", "failed", "beyond")
    head = " | ".join((*keys, "max %", "where", "RMS, mean %", "where", "LSE %")).replace("rule", "against")
    out = [f"| {head} |", f"|{'---|' * (len(keys) + 5)}"]
    for row in sorted(rows, key=lambda r: (r["contender"], r["rule"])):
        names = " | ".join(str(row[key]) for key in keys)
        (most, where), (typical, there), (lse, _) = row["max"], row.get("rms") or row["mean"], row["lse"]
        out.append(f"| {names} | {100 * most:.0f} | {where} | {100 * typical:.0f} | {there} | {100 * lse:.0f} |")
    return "\n".join(out)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--family", action="append", default=[], choices=("fwd_mma", "fwd_wgmma"),
                        help="only this one; repeatable (default: all that the GPU has)")  # fmt: skip
    parser.add_argument("--variant", action="append", default=[], help="also judge this variant; repeatable")
    parser.add_argument("--quick", action="store_true", help="one seed, three shapes")
    parser.add_argument("--out", default="accuracy", help="result file, without ending")
    options = parser.parse_args()
    started = time.monotonic()

    families = options.family or ["fwd_mma"] + ["fwd_wgmma"] * (torch.cuda.get_device_capability() == (9, 0))
    contexts = {v: flashl4.Context("cuda", variant=v) for v in families + options.variant}
    todo = problems(QUICK if options.quick else SHAPES)
    unable = warm_up(todo, contexts)
    for (line, name), why in unable.items():
        print(f"{'FAILED  ' if name in families else 'not run '}{line} {name}: {why}", flush=True)
    print(f"kernels of {len(todo)} problems: {time.monotonic() - started:.0f} s", flush=True)

    cases, refused = [], {}
    for p in todo:
        able = {name: ctx for name, ctx in contexts.items() if (p.line, name) not in unable}
        for kind in peers.KINDS:
            for seed in range(1 if options.quick else SEEDS):
                found = judge(p, kind, seed, able, refused)
                for case in found:
                    if case["demanded"] and not passes(case):
                        print(f"FAILED  {sentence(case)}", flush=True)
                cases += found
    for (line, name), why in refused.items():
        print(f"{line}: no reference of {name}: {why}")
    summary = summarize(cases)
    print(table(summary))
    failed = sum(row["failed"] for row in summary) + sum(name in families for _, name in unable)
    document = {"schema": "flashl4-accuracy-2", "environment": peers.environment("tests/gpu/accuracy.py"),
                "summary": summary, "cases": cases}  # fmt: skip
    pathlib.Path(options.out + ".json").write_text(json.dumps(document))
    print(f"{len(cases)} cases, {failed} failed, {time.monotonic() - started:.0f} s")
    return failed > 0 or not cases


if __name__ == "__main__":
    sys.exit(main())

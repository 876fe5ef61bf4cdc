# SPDX-License-Identifier: Apache-2.0
"""How tools/peers_decode.py times a problem: CUDA graphs of calls over rotating inputs, replayed in turn. Needs torch."""
import torch

import decode_problems
import flashl4
import peers


def make_set(p):
    """Q, K and V of one call."""
    dtype = torch.bfloat16 if p.dtype == "bf16" else torch.float16
    sizes = ((p.b, p.hq, p.sq, p.d), (p.b, p.hkv, p.sk, p.d), (p.b, p.hkv, p.sk, p.d))
    return tuple(torch.randn(*size, device="cuda", dtype=dtype) for size in sizes)


def paged(p, tensors, page):
    """The same call with keys and values in pages of a pool [pages, page, Hkv, D] in disorder, as an engine has them."""
    q, *dense = tensors
    columns = p.sk // page
    order = torch.randperm(p.b * columns, device="cuda")
    pools = []
    for x in dense:
        pool = torch.empty(p.b * columns, page, p.hkv, p.d, device="cuda", dtype=x.dtype)
        pool[order] = x.view(p.b, p.hkv, columns, page, p.d).permute(0, 2, 3, 1, 4).reshape(pool.shape)
        pools.append(pool.transpose(1, 2))
    return q, *pools, order.view(p.b, columns).to(torch.int32)


def our_call(ctx, tensors, **features):
    """forward() of such tensors, with a workspace as an engine keeps one for its stream."""
    names = ("block_table",) if len(tensors) > 3 else ()
    more = {**features, **dict(zip(names, tensors[3:]))}
    out = torch.empty_like(tensors[0])
    size = ctx.workspace_size(*tensors[:3], out=out, **more)
    workspace = torch.zeros(size // 4, device="cuda") if size else None

    def call(q, k, v, *table):
        return ctx.forward(q, k, v, out=out, workspace=workspace, **features, **dict(zip(names, table)))

    return call, ctx.plan(*tensors[:3], out=out, **more).variant


class Contender:
    """A call, the sets of tensors that it takes in turn, and what runs."""

    def __init__(self, call, sets, variant=""):
        self.call, self.sets, self.variant = call, sets, variant


def contenders(p, ctx, sets):
    """Name → Contender, ours first. One that refuses the problem is left out, and said."""
    out = {}
    for name in decode_problems.CONTENDERS[p.part]:
        try:
            if name in decode_problems.PEERS:
                c = Contender(peers.peer_call(name, False), sets)
            else:
                own = [paged(p, s, int(name[4:])) for s in sets] if name.startswith("page") else sets
                call, variant = our_call(ctx, own[0], invariant=name == "invariant")
                c = Contender(call, own, variant)
            c.call(*c.sets[0])
            out[name] = c
        except (RuntimeError, flashl4.Error) as error:
            torch.cuda.synchronize()  # which tells whether the device still works
            print(f"{p.line()}: {name}: {str(error).splitlines()[0]}", flush=True)
    return out


def differences(cs):
    """Largest difference of each from ours, relative to the root mean square of that."""
    outputs = {name: c.call(*c.sets[0]).float() for name, c in cs.items()}
    ours = outputs.get("fl4")
    if ours is None:
        return {}
    rms = ours.pow(2).mean().sqrt().item() or 1.0
    return {name: (o - ours).abs().max().item() / rms for name, o in outputs.items() if name != "fl4"}


# ---------------------------------------------------------------- calls that nothing overlaps with


def spaced(call, mark):
    """The call, and behind it a kernel of one thread: it begins when the call has ended, the next call when it has."""

    def both(*tensors):
        call(*tensors)
        mark.add_(1)

    return both


def latencies(cs, n, rounds):
    """Microseconds of a call by itself, {name: (in a row, apart)}: apart is what a call adds to a chain of such kernels."""
    mark = torch.zeros(1, device="cuda")
    graphs = {("row", name): peers.capture(c.call, c.sets, n) for name, c in cs.items()}
    graphs.update({("apart", name): peers.capture(spaced(c.call, mark), c.sets, n) for name, c in cs.items()})
    graphs["empty", ""] = peers.capture(spaced(lambda *_: None, mark), [()], n)
    times = peers.sample(graphs, n, rounds)
    empty = times["empty", ""]
    out = {}
    for name in cs:
        apart = [with_call - without for with_call, without in zip(times["apart", name], empty)]
        out[name] = times["row", name], apart
    return out


# ---------------------------------------------------------------- a problem


def entry_of(p, name, c, us, limits):
    p50 = flashl4.statistics(us).p50
    gbps = p.bytes() / p50 / 1e3
    return {
        "part": p.part, "problem": p.line(), "dtype": p.dtype, "contender": name, "variant": c.variant, "us": us,
        "p50_us": p50, "p90_us": peers.p90(us), "gbps": gbps, "percent_read": 100 * gbps / limits.read_gbps,
        "sets": len(c.sets), "calls": p.calls(),
    }  # fmt: skip


def measure(p, ctx, rounds, limits):
    """Entries for the JSON file, one a contender, and the others' comparisons with ours: {contender: Comparison}."""
    sets = [make_set(p) for _ in range(p.sets())]
    cs = contenders(p, ctx, sets)
    differ = differences(cs)
    if p.part == "latency":
        both = latencies(cs, p.calls(), rounds)
        times = {name: row for name, (row, _) in both.items()}
    else:
        both = {}
        times = peers.sample({name: peers.capture(c.call, c.sets, p.calls()) for name, c in cs.items()}, p.calls(), rounds)
    entries = [entry_of(p, name, cs[name], us, limits) for name, us in times.items()]
    comparisons = {}
    for e in entries:
        name = e["contender"]
        e["differs_from_fl4"] = differ.get(name)
        if name in both:
            e["apart_us"] = both[name][1]
            e["latency_us"] = max(e["p50_us"], flashl4.statistics(both[name][1]).p50)
        if name != "fl4" and "fl4" in times:
            comparisons[name] = flashl4.compare(times["fl4"], e["us"], paired=True)
    return entries, comparisons


def alive():
    """Gives the problem's memory back. False if the GPU does not work any more, as after an access out of bounds."""
    try:
        torch.cuda.synchronize()
        torch.cuda.empty_cache()
    except RuntimeError:
        return False
    return True


def row_of(p, entries, comparisons):
    """What the targets ask for."""
    ours = next(e for e in entries if e["contender"] == "fl4")
    ratios = {name: c.ratio for name, c in comparisons.items()}
    return decode_problems.Row(p, ours["p50_us"], ratios, ours["percent_read"], ours.get("latency_us"))

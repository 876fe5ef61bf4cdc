# SPDX-License-Identifier: Apache-2.0
"""Which is the fastest on a problem? Several contenders take turns; the first is what the rest is compared with.

    bench.py [PROBLEM [CONTENDER…]] [--device cuda:0] [--seconds 5] [--plot FILE.png]
    bench.py b1hq32hkv8sq4096d128:bf16:causal fwd_mma:bm=64 fwd_mma:bm=128 oracle

A contender is a variant, "default" (the library's choice) or "oracle" (attention unfused). Run it with
python/ on PYTHONPATH. --plot draws the distributions of times and ratios; it needs matplotlib.
"""
import argparse
import sys

import flashl4

try:
    from matplotlib.figure import Figure
except ImportError:
    Figure = None


def contender(what):
    if what == "oracle":
        return flashl4.Contender(kind="oracle", name=what)
    return flashl4.Contender(variant=None if what == "default" else what, name=what)


def show(progress):
    """A line that is written over and over."""
    more = f": {progress.round} samples, {progress.seconds:.1f} s" if progress.phase == "timing" else ""
    print(f"\r\x1b[K{progress.line} {progress.phase}{more}", end="", file=sys.stderr, flush=True)


def report(results):
    for r in results:
        if not r.ok:
            print(f"{r.name}: {r.status}: {r.error}")
            continue
        low, high = r.interval
        print(f"{r.name}: p50 {r.p50:.2f} µs, 95 % interval {low:.2f} to {high:.2f} µs, {r.tflops:.3g} TFLOP/s; "
              f"{r.stats.n} samples, stopped by {r.stop}; ran {r.variant}")  # fmt: skip
    base = results[0]
    for r in results:
        if r.against:
            c = r.against
            print(f"{r.name} / {base.name}: {c.ratio:.4f}, 95 % interval {c.low:.4f} to {c.high:.4f}: "
                  f"{r.name} is {c.verdict}")  # fmt: skip


def plot(results, title, file):
    """Left: how the times of each are distributed. Right: how the ratios to the first are, round by round."""
    figure = Figure(figsize=(11, 4.5), constrained_layout=True)
    times, ratios = figure.subplots(1, 2)
    figure.suptitle(title)

    shown = {times: [], ratios: []}

    def distribution(axes, values, interval, label, color):
        values, n = sorted(values), len(values)
        axes.plot(values, [(i + 1) / n for i in range(n)], drawstyle="steps-post", color=color, label=label)
        axes.axvspan(*interval, color=color, alpha=0.3, linewidth=0)
        shown[axes] += [values[0], values[(n - 1) * 95 // 100], *interval]  # not the last outlier

    for number, r in enumerate(results):
        c, color = r.against, f"C{number}"
        distribution(times, r.samples, r.interval, f"{r.name}: p50 {r.p50:.1f} µs", color)
        if c:
            quotients = [x / y for x, y in zip(r.samples, results[0].samples)]
            distribution(ratios, quotients, (c.low, c.high), f"{r.name}: {c.ratio:.3f}, {c.verdict}", color)
            for edge in (1 / (1 + c.threshold), 1 + c.threshold):
                ratios.axvline(edge, color="gray", linestyle=":", linewidth=1)
    times.set(xlabel="time of a call, µs; band: 95 % interval of the median", ylabel="share of samples")
    ratios.set(xlabel=f"time / time of {results[0].name} in the same round; dotted: threshold")
    for axes, edges in shown.items():
        if edges:
            margin = 0.05 * (max(edges) - min(edges))
            axes.set_xlim(min(edges) - margin, max(edges) + margin)
            axes.legend()
    figure.savefig(file, dpi=120)
    print(f"wrote {file}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("problem", nargs="?", help="b2hq32hkv8sq4096d128:bf16:causal")
    parser.add_argument("contenders", nargs="*", help="variants, default, oracle (default: default oracle)")
    parser.add_argument("--device", help='"cuda:0", "host" (default: the best there is)')
    parser.add_argument("--inputs", default="normal", help="kind of data (default: normal)")
    parser.add_argument("--seconds", type=float, default=0.5, help="of timing, at most (default: 0.5)")
    parser.add_argument("--plot", metavar="FILE.png", help="draw the distributions")
    args = parser.parse_args()
    if args.plot and not Figure:
        parser.error("--plot needs matplotlib, which is not installed")
    try:
        with flashl4.Context(args.device) as ctx:
            host = ctx.device.kind == "host"
            problem = args.problem or ("hq4sq128d64:bf16:causal" if host else "b4hq16sq2048d128:bf16:causal")
            title = f"{problem}, {args.inputs} inputs, on {ctx.device.name}"
            print(title)
            results = ctx.bench(problem, map(contender, args.contenders or ["default", "oracle"]), inputs=args.inputs,
                                seconds=args.seconds, progress=show if sys.stderr.isatty() else None)  # fmt: skip
    except (flashl4.Error, ValueError) as error:
        print(f"bench.py: {error}", file=sys.stderr)
        return 1
    finally:
        if sys.stderr.isatty():
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
    report(results)
    if args.plot and all(r.ok for r in results):
        plot(results, title, args.plot)
    return 0 if all(r.ok for r in results) else 1


if __name__ == "__main__":
    sys.exit(main())

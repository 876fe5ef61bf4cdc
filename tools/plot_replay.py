#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Anytime curves of search strategies: how good is the best so far, after so many evaluations?

    fl4 tune --replay FILE,... --evals 300 --json=replay.json && tools/plot_replay.py replay.json curves.svg

A panel for each recorded space, a line for each strategy: the share of the best speed, mean over the
seeds. Needs matplotlib.
"""
import json
import pathlib
import sys

import matplotlib

matplotlib.use("Agg")
matplotlib.rcParams["svg.hashsalt"] = "flashl4"  # the same picture for the same numbers
import matplotlib.pyplot as plt


def title(file):
    name = pathlib.Path(file).name
    for ending in (".gz", ".jsonl", ".json", "_T4"):
        name = name.removesuffix(ending)
    return name


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    results = json.loads(pathlib.Path(sys.argv[1]).read_text())["results"]
    files = list(dict.fromkeys(r["file"] for r in results))
    columns = min(4, len(files))
    rows = -(-len(files) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(3.6 * columns, 2.8 * rows), squeeze=False, sharex=True)
    for axis in axes.flat[len(files):]:
        axis.axis("off")
    for axis, file in zip(axes.flat, files):
        here = [r for r in results if r["file"] == file]
        for r in here:
            axis.plot(range(1, len(r["curve"]) + 1), [100 * x for x in r["curve"]], label=r["strategy"])
        axis.axhline(95, color="grey", linewidth=0.6, linestyle=":")
        axis.set_ylim(60, 100.5)
        axis.set_title(f"{title(file)}\n{here[0]['points']} points, {100 * here[0]['difficulty']:.2g} % within 5 %", fontsize=8)
        axis.tick_params(labelsize=7)
    axes[0][0].legend(fontsize=7)
    figure.supxlabel("evaluations", fontsize=9)
    figure.supylabel("% of the best speed", fontsize=9)
    figure.tight_layout()
    figure.savefig(sys.argv[2], metadata={"Date": None})


if __name__ == "__main__":
    main()

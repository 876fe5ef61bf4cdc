#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Proof that the emulator and the check bite: the kernels are broken one edit at a time, and every
broken kernel must be noticed.

mutants.py FL4_EMU KERNELS_DIR [--jobs N] [--only [FILE/]REGEX]... [--list] [--report FILE]

The tables are in the folder mutants/: a mutant is one piece of text in the kernel sources put in place of
another, and the runs that should notice, tried in order. It is killed if the emulator reports a violation,
if the check finds the result wrong, or, for edits that leave every result right, if the counts show bank
conflicts. A text that is no longer there, a mutant that does not compile and a run that ends in any other
way are errors of the table, not kills. First the sound kernels must pass every run.

--only takes those whose whole name matches REGEX, of FILE if it is given: an edited source or a family.

Exit: 0 all killed, 1 a survivor, an error, or sound kernels that do not pass.
"""
import argparse
import collections
import concurrent.futures
import itertools
import os
import pathlib
import re
import sys
import tempfile

import mutants  # the folder, not this file
from mutants.edit import copy_kernels
from mutants.trial import execute, try_mutant

Result = collections.namedtuple("Result", "mutant seen run")  # run: the one that saw it


def describe(r):
    text = f"{r.problem} {re.sub(',(weave=0|kgroups=1|share=0|splits=1|ctas=1)(?![0-9])', '', r.variant)}"
    for word, plain in ((r.inputs, "normal"), (r.mode, "late"), (r.device, "emu")):
        if word != plain:
            text += " " + word
    return text + (" counts" if r.counts else "")


def plain(text):
    """Without what changes from run to run: addresses of this process, file names of a temporary folder."""
    text = re.sub(r"0x[0-9a-f]{7,}", "0x…", text)
    return re.sub(r"/\S*/(\w+\.cuh?)\b", r"\1", text)


# ---------------------------------------------------------------- the report

def cell(text):
    return plain(text).replace("|", "\\|")


def summary(results):
    killed = [r.seen for r in results if r.seen.verdict == "killed"]
    by_emulator = sum(s.text.startswith("emu:") for s in killed)
    by_counts = sum(s.text.startswith("bank conflicts") for s in killed)
    return (f"{len(killed)} of {len(results)} mutants killed: {by_emulator} by the emulator's rules,"
            f" {len(killed) - by_emulator - by_counts} by the check, {by_counts} by the counts.")


def write_report(file, results, seed):
    lines = [
        "# Mutants",
        "",
        "Written by `python3 tests/emu/mutants.py FL4_EMU kernels --report docs/mutants.md`; [testing](testing.md) says",
        "how to add one. Each row is one edit of the kernel sources, the tables in `tests/emu/mutants/` have the text, and",
        "the run that noticed it: a problem, a variant (`weave=0`, `kgroups=1`, `share=0`, `splits=1` and `ctas=1` are not shown),",
        "inputs if not normal, `early` if asynchronous copies land at once, the device if not `emu`. `emu:` is a violation",
        "that the emulator saw; other words are those of `fl4 check`, which judged a result that came out without one, or of",
        "`kv_run`, which takes a case of `tests/merge_rig.h` or `tests/append_rig.h`.",
        "",
        summary(results),
        f"The sound kernels pass every run. Emulator seed {seed}.",
    ]
    families = collections.Counter(r.mutant.family for r in results)
    if len(families) > 1:
        lines.append("Of each family: " + ", ".join(f"{family} {n}" for family, n in families.items()) + ".")
    for section in dict.fromkeys(r.mutant.section for r in results):
        head = "| family | mutant | what is wrong | run | seen |"
        lines += ["", f"## {section}", "", head, "| --- " * head.count(" | ") + "| --- |"]
        for m, seen, r in results:
            if m.section == section:
                said = {"killed": seen.text, "passed": "**survived**", "error": "**error**"}[seen.verdict]
                where = f"`{describe(r)}`" if r else ""
                lines.append(f"| {m.family} | {m.name} (`{m.file}`) | {cell(m.what)} | {where} | {cell(said)} |")
    pathlib.Path(file).write_text("\n".join(lines) + "\n")


# ---------------------------------------------------------------- main

def chosen(only, m):
    file, _, pattern = only.rpartition("/")
    return file in ("", m.file, m.family) and re.fullmatch(pattern or ".*", m.name)


def check_sound(pool, command, kernels, table, seed):
    """Does every run pass with the kernels as they are?"""
    runs = list(dict.fromkeys(itertools.chain.from_iterable(m.runs for m in table)))
    good = True
    with tempfile.TemporaryDirectory(prefix="fl4-sound-") as name:
        folder = pathlib.Path(name)
        copy_kernels(kernels, folder)
        for r, seen in zip(runs, pool.map(lambda r: execute(command, folder, r, seed), runs)):
            if seen.verdict != "passed":
                print(f"sound kernels fail: {describe(r)}: {plain(seen.text)}", flush=True)
                good = False
    if good:
        print(f"sound kernels pass {len(runs)} runs", flush=True)
    return good


def main():
    parser = argparse.ArgumentParser(description="Breaks the kernels one edit at a time; every break must be noticed.")
    parser.add_argument("command", metavar="FL4_EMU", nargs="?", help="the fl4 command with the emulator; kv_run is beside it")
    parser.add_argument("kernels", metavar="KERNELS_DIR", nargs="?", type=pathlib.Path)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, metavar="N")
    parser.add_argument("--only", action="append", metavar="[FILE/]REGEX", help="only these mutants; may be repeated")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="of the emulator's order of threads")
    parser.add_argument("--list", action="store_true", help="show the names and what is wrong with each")
    parser.add_argument("--report", metavar="FILE", help="write the report")
    args = parser.parse_args()

    table = mutants.tables()
    times = collections.Counter((m.family, m.name) for m in table)
    twice = [name for (_, name), n in times.items() if n > 1]
    unknown = [only for only in args.only or [] if not any(chosen(only, m) for m in table)]
    if twice or unknown:
        parser.error("named twice: " + " ".join(twice) if twice else "no mutant " + " ".join(unknown))
    if args.only:
        table = [m for m in table if any(chosen(only, m) for only in args.only)]
    if args.list:
        for m in table:
            print(f"{m.family:10} {m.name:32} {m.file:18} {m.what}")
        return 0
    if not args.command or not args.kernels:
        parser.error("FL4_EMU and KERNELS_DIR are needed")
    if args.report and args.only:
        parser.error("--report is about all mutants")
    args.command = os.path.abspath(args.command)

    results = []
    with concurrent.futures.ThreadPoolExecutor(max(1, args.jobs)) as pool:
        if not check_sound(pool, args.command, args.kernels, table, args.seed):
            return 1
        tried = pool.map(lambda m: try_mutant(args.command, args.kernels, m, args.seed), table)
        for m, (seen, r) in zip(table, tried):
            results.append(Result(m, seen, r))
            word = {"killed": "killed  ", "passed": "SURVIVED", "error": "ERROR   "}[seen.verdict]
            print(f"{word} {m.family} {m.name}: {plain(seen.text) or m.what}", flush=True)
    if args.report:
        write_report(args.report, results, args.seed)

    verdicts = collections.Counter(r.seen.verdict for r in results)
    print(f"{verdicts['killed']} of {len(results)} mutants killed, {verdicts['passed']} survived, "
          f"{verdicts['error']} errors")
    return 0 if verdicts["killed"] == len(results) else 1


if __name__ == "__main__":
    sys.exit(main())

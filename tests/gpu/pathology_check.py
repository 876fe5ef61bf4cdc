#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Do the edits of pathology_edits.py still fit the kernels? Needs no GPU.

    tests/gpu/pathology_check.py FL4_EMU KERNELS_DIR [--arch sm_90]

Each edited kernel must give right results on the emulator, and with NVRTC, where there is one, compile to another code
than the sound kernel's. Prints a table: registers and bytes of spills of each build. Exit 1 if an edit fails.
"""
import argparse
import concurrent.futures
import ctypes
import os
import pathlib
import re
import sys

from pathology_edits import PATHOLOGIES, SOUND, folders

from mutants.table import Run
from mutants.trial import execute

KEYS = "bm bn warps stages qreg slice weave kgroups splits ctas".split()


def variant(*values):
    return "fwd_mma:" + ",".join(f"{k}={v}" for k, v in zip(KEYS, values))


# Rings of 2 and 3, Q in registers or not, slices, weaving, groups, splits; partial tiles, each kind of swizzle, a mask.
RUNS = (
    Run("hq2sq64sk77d64:causal", variant(32, 16, 2, 2, 0, 16, 0, 1, 1, 1)),
    Run("hq1sq40sk141d96:lse", variant(32, 32, 2, 3, 1, 32, 0, 1, 1, 1)),
    Run("hq3sq64sk192d80:bf16:causal:lse", variant(32, 32, 2, 3, 0, 16, 1, 1, 1, 1)),
    Run("b2hq2hkv1sq40sk128d24", variant(64, 64, 4, 2, 1, 16, 1, 2, 1, 1), "large"),
    Run("hq1sq32sk192d128:causal", variant(32, 32, 2, 2, 0, 16, 0, 1, 2, 1), mode="early"),
)
# D, then the variant, as an H200 runs a full mask at D = 64, 96 and 128; the last has a third stage.
BUILDS = (
    (64, variant(128, 128, 4, 2, 1, 32, 1, 1, 1, 2)),
    (96, variant(128, 64, 4, 2, 0, 32, 1, 1, 1, 2)),
    (128, variant(128, 64, 4, 2, 0, 64, 0, 1, 1, 2)),
    (64, variant(128, 64, 4, 3, 1, 32, 1, 1, 1, 2)),
)


class Nvrtc:
    """As much of NVRTC as compiling one source takes; OSError if there is none."""

    def __init__(self):
        asked = os.environ.get("FLASHL4_NVRTC")
        for name in [asked] if asked else ["libnvrtc.so.13", "libnvrtc.so.12"]:
            try:
                self.lib = ctypes.CDLL(name)
                return
            except OSError as e:
                error = e
        raise error

    def compile(self, folder, source, options):
        """(log, cubin); the cubin is None if it does not compile."""
        program, size = ctypes.c_void_p(), ctypes.c_size_t()
        text = (folder / source).read_bytes()
        if self.lib.nvrtcCreateProgram(ctypes.byref(program), text, source.encode(), 0, None, None) != 0:
            raise RuntimeError("nvrtcCreateProgram() failed")
        options = [f"--include-path={folder}", "--std=c++17", "--device-as-default-execution-space",
                   "--ptxas-options=-v", *options]  # fmt: skip
        array = (ctypes.c_char_p * len(options))(*(o.encode() for o in options))
        compiled = self.lib.nvrtcCompileProgram(program, len(options), array) == 0

        def get(what):
            getattr(self.lib, f"nvrtcGet{what}Size")(program, ctypes.byref(size))
            buffer = ctypes.create_string_buffer(size.value)
            getattr(self.lib, f"nvrtcGet{what}")(program, buffer)
            return buffer.raw

        out = get("ProgramLog").rstrip(b"\0").decode(errors="replace"), get("CUBIN") if compiled else None
        self.lib.nvrtcDestroyProgram(ctypes.byref(program))
        return out


def build(nvrtc, folder, arch, d, text):
    """(registers, bytes of spills, cubin), or a sentence."""
    options = [f"-DFL4_{k.upper()}={v}" for k, v in re.findall(r"(\w+)=(\d+)", text)]
    options += [f"--gpu-architecture={arch}", f"-DFL4_D={d}", "-DFL4_BF16=0", "-DFL4_CAUSAL=0", "-DFL4_ALIGNED=1",
                "-DFL4_LSE=0", "-DFL4_DEBUG=0"]  # fmt: skip
    log, cubin = nvrtc.compile(folder, "fwd_mma.cu", options)
    used, spilled = re.search(r"Used (\d+) registers", log), re.search(r"(\d+) bytes spill stores, (\d+) bytes", log)
    if cubin is None or not used or not spilled:
        return log.strip() or "no log"
    return int(used[1]), int(spilled[1]) + int(spilled[2]), cubin


def failures_on_emulator(pool, command, where):
    """Sentences by name; none is good."""
    jobs = [(name, r) for name in where for r in RUNS]
    seen = pool.map(lambda job: execute(command, where[job[0]], job[1], 1), jobs)
    out = {name: [] for name in where}
    for (name, r), s in zip(jobs, seen):
        if s.verdict != "passed":
            out[name].append(f"{r.problem}: {s.text}")
    return out


def judge_builds(built, sound, stages):
    """Cells and complaints. `stages`: with fewer, the edit must change nothing; None for the sound kernels."""
    cells, complaints = [], []
    for b, s, (_, text) in zip(built, sound, BUILDS):
        if isinstance(b, str):
            cells.append("no")
            complaints.append(f"{text}: {b}")
            continue
        same = stages is not None and b == s
        if stages is not None and same != (int(re.search(r"stages=(\d+)", text)[1]) < stages):
            complaints.append(f"{text}: {'the same code as' if same else 'not the code of'} the sound kernel")
        cells.append("as it is" if same else f"{b[0]}, {b[1]}")
    return cells, complaints


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("command", metavar="FL4_EMU", help="the fl4 command with the emulator")
    parser.add_argument("kernels", metavar="KERNELS_DIR", type=pathlib.Path)
    parser.add_argument("--arch", default="sm_90", help="default: sm_90")
    args = parser.parse_args()
    try:
        nvrtc = Nvrtc()
    except OSError as error:
        print(f"not compiled: {error}")
        nvrtc = None

    bad = 0
    with folders(args.kernels) as where, concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        wrong = failures_on_emulator(pool, os.path.abspath(args.command), where)
        builds = BUILDS if nvrtc else ()
        for i, (d, text) in enumerate(builds):
            print(f"build {i + 1}: {args.arch}, D = {d}, {text}")
        print(f"| edit | right on the emulator |{''.join(f' {i + 1}: registers, spills |' for i in range(len(builds)))}")
        print("| --- " * (2 + len(builds)) + "|")
        sound = None
        for name, folder in where.items():
            built = list(pool.map(lambda b, f=folder: build(nvrtc, f, args.arch, *b), builds))
            sound = sound or built
            stages = {p.name: p.stages for p in PATHOLOGIES}.get(name)
            cells, complaints = judge_builds(built, sound, stages)
            complaints = wrong[name] + complaints
            right = f"{len(RUNS) - len(wrong[name])} of {len(RUNS)}"
            print(f"| {' | '.join([name, right, *cells])} |", flush=True)
            for text in complaints:
                print(f"FAILED {name}: {text}", flush=True)
            bad += bool(complaints)
    print(f"{len(PATHOLOGIES) + 1 - bad} of {len(PATHOLOGIES) + 1} as they should be")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())

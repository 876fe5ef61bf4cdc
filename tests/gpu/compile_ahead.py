#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compiles kernels into the cubin cache, by as many processes as there are cores.

Within one process NVRTC compiles little at the same time, however many threads ask. compile_all() starts this file for
each share of the jobs; such a process reads its share from standard input. What does not compile, or does not run on
this GPU, is left for the caller to meet again. Needs libflashl4 (by its SONAME, or $FLASHL4_LIBRARY) and no torch.
"""
import json
import os
import pathlib
import subprocess
import sys

TOP = pathlib.Path(__file__).resolve().parent.parent.parent


def job(variant, b, hq, hkv, sq, sk, d, dtype, causal, lse):
    """`variant`: None, or what is forced; `dtype` as in torch, "float16"."""
    return {"variant": variant, "shape": [b, hq, hkv, sq, sk, d], "dtype": dtype, "causal": causal, "lse": lse}


def compile_all(jobs):
    """Jobs that may have the same kernel go to the same process."""
    kinds = {}
    for j in jobs:
        kinds.setdefault((j["variant"], j["shape"][5], j["dtype"], j["causal"], j["lse"]), []).append(j)
    shares = [[] for _ in range(min(os.cpu_count() or 1, len(kinds)))]
    for i, same in enumerate(kinds.values()):
        shares[i % len(shares)] += same
    processes = [subprocess.Popen([sys.executable, __file__], stdin=subprocess.PIPE, text=True) for _ in shares]
    for process, share in zip(processes, shares):
        process.stdin.write(json.dumps(share))
        process.stdin.close()
    failed = sum(process.wait() != 0 for process in processes)
    if failed:
        print(f"{failed} of {len(processes)} processes that compile ahead failed", file=sys.stderr)


def compile_share(jobs, device="cuda"):
    sys.path.insert(0, str(TOP / "python"))
    import flashl4

    contexts = {}
    for j in jobs:
        variant, (b, hq, hkv, sq, sk, d) = j["variant"], j["shape"]
        if variant not in contexts:
            contexts[variant] = flashl4.Context(device, variant=variant)
        ctx = contexts[variant]
        where = "host" if ctx.device.kind == "host" else f"cuda:{ctx.device.ordinal}"

        def shape(*sizes, dtype=j["dtype"]):  # no memory is touched
            return flashl4.Tensor(256, sizes, dtype, device=where)

        lse = shape(b, hq, sq, dtype="float32") if j["lse"] else False
        try:
            ctx.prepare(shape(b, hq, sq, d), shape(b, hkv, sk, d), shape(b, hkv, sk, d), out=shape(b, hq, sq, d),
                        causal=j["causal"], lse=lse)  # fmt: skip
        except flashl4.Error:
            pass


if __name__ == "__main__":
    compile_share(json.load(sys.stdin))

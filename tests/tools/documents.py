# SPDX-License-Identifier: Apache-2.0
"""Makes files of schema flashl4-bench-1, as docs/bench.md has it, from samples that are made up."""
import json
import random


def samples(seed, median=100.0, n=100, noise=0.01, slower=1.0):
    """Times as a GPU gives them: most a little above the fastest, a few far above."""
    source = random.Random(seed)
    values = []
    for _ in range(n):
        value = median * slower * (1 + noise * source.gauss(0, 1))
        values.append(round(value * (1 + 0.3 * source.random() if source.random() < 0.03 else 1), 6))
    return values


def result(problem="hq2sq64d32", times=None, **more):
    row = {"problem": problem, "inputs": "normal", "contender": "default", "note": "", "outcome": "timed",
           "status": "FL4_OK", "error": "", "variant": "host:bm=48", "library": "0.1.0",
           "kernel_hash": "00000000000000aa", "mode": "eager", "cold": False, "copies": 3, "calls": 10,
           "stop": "precise", **more}
    if row["outcome"] == "timed":
        row.update(samples_us=samples(0) if times is None else times, statistics={}, health={})
    return row


def contender(name="default", **more):
    return {"name": name, "kind": "forward", "device": None, "variant": None, "library_file": None, **more}


def document(*results, contenders=None, **more):
    names = list(dict.fromkeys(r["contender"] for r in results))
    return {"schema": "flashl4-bench-1",
            "environment": {"library": "0.1.0", "time": "2026-01-01T00:00:00Z", "driver": "unknown", "nvrtc": None,
                            "command": ["fl4", "bench"]},
            "device": {"device": "cuda:0", "name": "NVIDIA H200", "isa": "sm_90", "multiprocessors": 132},
            "limits": None,
            "options": {"mode": "auto", "cold": False, "inputs": ["normal"], "copies": 3, "seed": 0, "precision": 0.005,
                        "max_seconds": 5.0, "warmup_seconds": 0.05, "min_samples": 100, "max_samples": 10000,
                        "threshold": 0.01, "alpha": 0.05},
            "contenders": contenders or [contender(name) for name in names],
            "results": list(results),
            "summary": {}, **more}


def write(name, content):
    with open(name, "w") as file:
        json.dump(content, file)
    return name

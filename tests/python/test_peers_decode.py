# SPDX-License-Identifier: Apache-2.0
"""tools/peers_decode.py as far as it goes without a GPU and torch: its problems, its targets, its command."""
import pathlib
import re
import subprocess
import sys
import unittest

TOOLS = pathlib.Path(__file__).resolve().parent.parent.parent / "tools"
sys.path.insert(0, str(TOOLS))

import flashl4

import decode_problems
import peers_decode
from decode_problems import Problem, Row


def command(*args):
    return subprocess.run([sys.executable, TOOLS / "peers_decode.py", *args], capture_output=True, text=True, timeout=60)


def row(part, ratios, *sizes, **more):
    return Row(Problem(part, "bf16", *(sizes or (1, 32, 8, 1, 4096, 128))), 10.0, ratios, **more)


def measured(rows):
    return {t.what: (round(t.measured, 6), t.where, t.met) for t in decode_problems.targets(rows)}


class Problems(unittest.TestCase):
    def test_grid_has_both_ends_of_each_factor(self):
        for dtype in ("bf16", "fp16"):
            grid = decode_problems.problems(["grid"], [dtype])
            self.assertLessEqual(len(grid), 60)
            self.assertEqual(len(set(grid)), len(grid))
            self.assertEqual({p.dtype for p in grid}, {dtype})
            corners = {(p.b, p.sk, p.hq, p.hkv, p.d) for p in grid}
            for d in (64, 128):
                for heads in ((32, 8), (64, 8), (8, 8), (32, 1)):
                    for b in (1, 64):
                        for sk in (1024, 131072):
                            self.assertIn((b, sk, *heads, d), corners)

    def test_each_part(self):
        everything = decode_problems.problems()
        self.assertEqual({p.part for p in everything}, set(decode_problems.CONTENDERS))
        self.assertEqual({p.sq for p in everything if p.part == "queries"}, {2, 4, 8})
        self.assertTrue(all(p.sk >= 32768 for p in everything if p.part == "invariant"))
        self.assertTrue(all(p.sk % 64 == 0 for p in everything))
        self.assertEqual([p.line() for p in decode_problems.problems(["latency"], ["fp16"])], ["hq32hkv8sq1sk4096d128"])
        self.assertLess(sum(decode_problems.seconds(p, 20) for p in everything), 120)

    def test_lines_are_the_librarys(self):
        for p in decode_problems.problems():
            shape = flashl4._api.Problem()
            flashl4.parse_problem(p.line(), shape)
            self.assertEqual((shape.B, shape.Hq, shape.Hkv, shape.Sq, shape.Sk, shape.D),
                             (p.b, p.hq, p.hkv, p.sq, p.sk, p.d))  # fmt: skip
            self.assertEqual(flashl4._bench.format_problem(shape), p.line())

    def test_sizes(self):
        p = Problem("grid", "bf16", 16, 32, 8, 1, 4096, 128)
        self.assertEqual(p.kv_bytes(), 2 * 2 * 16 * 8 * 4096 * 128)
        self.assertEqual(p.bytes() - p.kv_bytes(), 2 * 2 * 16 * 32 * 128)
        for p in decode_problems.problems():
            self.assertEqual(p.calls() % p.sets(), 0)
            self.assertTrue(1 <= p.sets() <= 32 and 1 <= p.calls() < 100)
        small = decode_problems.problems(memory=10**9)
        self.assertTrue(0 < len(small) < len(decode_problems.problems()))
        self.assertLessEqual(max(p.room() for p in small), 10**9)


class Targets(unittest.TestCase):
    def test_grid_takes_the_better_peer(self):
        found = measured([row("grid", {"fa2": 2.0, "cudnn": 1.21}), row("grid", {"fa2": 1.0}, 1, 8, 8, 1, 1024, 64)])
        self.assertEqual(found["grid, better peer / fl4, geomean"], (1.1, "", True))
        self.assertEqual(found["grid, better peer / fl4, least"], (1.0, "hq8sq1sk1024d64:bf16", True))
        found = measured([row("grid", {"fa2": 2.0, "cudnn": 0.99})])
        self.assertEqual(found["grid, better peer / fl4, geomean"][2], False)
        self.assertEqual(found["grid, better peer / fl4, least"][::2], (0.99, False))
        self.assertEqual(measured([row("grid", {})]), {})

    def test_bandwidth_is_of_large_ones(self):
        large = (16, 32, 8, 1, 4096, 128)
        name = "grid, % of read bandwidth, K+V ≥ 256 MB, least"
        rows = [row("grid", {"fa2": 2.0}, percent_read=50.0), row("grid", {"fa2": 2.0}, *large, percent_read=97.5)]
        self.assertEqual(measured(rows)[name], (97.5, "b16hq32hkv8sq1sk4096d128:bf16", True))
        self.assertNotIn(name, measured(rows[:1]))

    def test_the_rest(self):
        found = measured([
            row("latency", {"cudnn": 2.0}, latency_us=8.1), row("queries", {"cudnn": 2.6}), row("queries", {"cudnn": 2.4}),
            row("paged", {"page16": 1.02, "page64": 1.04}), row("paged", {"page16": 1.01}),
            row("invariant", {"invariant": 1.09}), row("invariant", {"invariant": 0.9}),
        ])  # fmt: skip
        self.assertEqual({what: (value, met) for what, (value, _, met) in found.items()}, {
            "latency, µs": (8.1, False), "Sq 2 to 8, cuDNN / fl4, least": (2.4, False),
            "pages of 16 / contiguous, most": (1.02, True), "pages of 64 / contiguous, most": (1.04, False),
            "batch invariant / free choice, most": (1.09, True),
        })  # fmt: skip

    def test_sentence(self):
        good, bad = (decode_problems.targets([row("latency", {}, latency_us=us)])[0].sentence() for us in (8.0, 8.5))
        self.assertEqual(good, "latency, µs, bf16: 8.000 hq32hkv8sq1sk4096d128:bf16, wanted ≤ 8: met")
        self.assertTrue(bad.endswith("8.500 hq32hkv8sq1sk4096d128:bf16, wanted ≤ 8: MISSED"))


class Command(unittest.TestCase):
    def test_list(self):
        out = command("--list", "--part", "paged,latency", "--dtype", "bf16").stdout.splitlines()
        wanted = decode_problems.problems(["paged", "latency"], ["bf16"])
        self.assertEqual([line.split()[:2] for line in out[:-1]], [[p.part, p.line()] for p in wanted])
        self.assertTrue(re.fullmatch(r"9 problems, some \d+ s on an H200 beyond compiling", out[-1]), out[-1])
        self.assertLess(len(command("--list", "--memory", "1").stdout.splitlines()), len(decode_problems.problems()))

    def test_wrong_options(self):
        for args, words in (
            (["--part", "grid,gird"], "--part: is 'gird', must be of grid latency"),
            (["--dtype", "fp32"], "--dtype: is 'fp32', must be of bf16 fp16"),
            (["--rounds", "5"], "--rounds: is 5, must be at least 6"),
            (["--seconds", "0"], "--seconds: is 0, must be more than 0"),
            (["--memory", "0"], "--memory: is 0, must be more than 0"),
        ):
            done = command("--list", *args)
            self.assertEqual(done.returncode, 2)
            self.assertIn(words, done.stderr)

    def test_kernels_are_prepared(self):
        """On the host, where nothing is compiled: calls of all parts are as the library takes them."""
        problems = [Problem(part, "fp16", 2, 8, 2, 1, 128, 64) for part in decode_problems.CONTENDERS]
        asked, prepare = [], flashl4.Context.prepare

        def listen(ctx, q, k, v, **features):
            prepare(ctx, q, k, v, **features)
            asked.append((k.shape, sorted(features)))

        flashl4.Context.prepare = listen
        try:
            peers_decode.compile_share(problems, None, device="host")
        finally:
            flashl4.Context.prepare = prepare
        dense = (2, 2, 128, 64)
        self.assertEqual(asked, [
            (dense, ["out"]), (dense, ["out"]), (dense, ["out"]), (dense, ["out"]),
            ((16, 2, 16, 64), ["block_table", "out"]), ((4, 2, 64, 64), ["block_table", "out"]),
            (dense, ["out"]), (dense, ["invariant", "out"]),
        ])  # fmt: skip


if __name__ == "__main__":
    unittest.main()

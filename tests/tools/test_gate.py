#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""fl4 gate from end to end on the host: builds that are alike, slow and wrong, and baselines of all sorts.

test_gate.py FL4 LIBRARY FOLDER    the command, libflashl4, and where libfl4_slow.so and the other builds of
                                   tests/unit/other_build.c are
"""
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

from command import Command, environment
from documents import write

Command.fl4, LIBRARY, OTHERS = map(os.path.abspath, sys.argv[1:4])
P, Q = "hq2sq64d32", "hq2sq33d16:bf16:causal:lse"


def other(build):
    return os.path.join(OTHERS, f"libfl4_{build}.so")


class Gate(Command):
    """In `new`, the build to run as the new one: it is loaded in front of the library."""

    @classmethod
    def setUpClass(cls):
        cls.shared = tempfile.TemporaryDirectory()
        cls.base = os.path.join(cls.shared.name, "base.json")
        subprocess.run([cls.fl4, "bench", "--device", "host", "--problem", P, "--problem", Q, "--inputs", "normal,sink",
                        "--seconds", "0.3", "--warmup", "0.01", "--copies", "2", "--seed", "5", "--json", cls.base],
                       check=True, stdout=subprocess.DEVNULL, env=environment(), timeout=120)

    @classmethod
    def tearDownClass(cls):
        cls.shared.cleanup()

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def file(self, name):
        return os.path.join(self.folder, name)

    def gate(self, code, *args, base=None, new=None):
        env = {"LD_PRELOAD": other(new)} if new else {}
        return self.expect(code, "gate", base or self.base, "--seconds", "0.3", *args, env=env)

    def json(self, code, *args, **more):
        return json.loads(self.gate(code, "--json", *args, **more).stdout)

    def changed(self, change):
        content = self.read(self.base)
        change(content)
        return write(self.file("changed.json"), content)


class Paired(Gate):
    def test_slow_is_red(self):
        out = self.gate(1, "--lib", LIBRARY, new="slow").stdout
        self.assertEqual(len(re.findall(r" [12]\.\d{4}…\d\.\d{4}  SLOWER\n", out)), 4, out)
        self.assertIn("4 slower; threshold 1 %", out)

    def test_identical_is_green(self):
        """Within 10 percent: where memory comes to lie can make 2 on a CPU, for as long as a process lives."""
        for _ in range(3):
            got = self.gate(0, "--lib", LIBRARY, "--threshold", "10")
            self.assertNotIn("SLOWER", got.stdout)
            self.assertIn("is the library that runs here: it is compared with itself", got.stderr)

    def test_faster_is_green(self):
        out = self.gate(0, "--lib", other("slow")).stdout
        self.assertIn("4 faster; ", out)
        self.assertRegex(out, r" 0\.\d{4}…0\.\d{4}  faster\n")

    def test_a_copy_of_the_library(self):
        """Another file, so another build to the loader: their names must not mix."""
        copy = self.file("old.so")
        shutil.copy(LIBRARY, copy)
        out = self.gate(1, "--lib", copy, "--quiet", new="slow").stdout
        self.assertEqual(len(out.splitlines()), 5)
        self.assertEqual(self.gate(0, "--lib", copy, "--threshold", "60%").stderr, "")

    def test_wrong_is_red_and_never_timed(self):
        for build in ("wrong", "late_wrong"):
            found = self.json(1, "--lib", LIBRARY, new=build)
            self.assertEqual({v["state"] for v in found["gate"]["verdicts"]}, {"wrong"})
            self.assertEqual([v["new"]["statistics"] for v in found["gate"]["verdicts"]], [None] * 4)
            self.assertTrue(all("samples_us" not in r for r in found["results"] if r["outcome"] == "wrong"))
            self.assertEqual(found["summary"]["wrong"], 4)
        self.assertIn("WRONG\n    wrong output: ", self.gate(1, "--lib", LIBRARY, new="wrong").stdout)

    def test_wrong_old_library(self):
        out = self.gate(3, "--lib", other("wrong")).stdout
        self.assertIn("4 not in old", out)
        self.assertIn("wrong output: ", out)

    def test_baseline_of_another_device(self):
        foreign = self.changed(lambda c: c["device"].update(name="another machine"))
        self.gate(1, "--lib", LIBRARY, base=foreign, new="slow")
        self.gate(0, "--lib", LIBRARY, "--threshold", "60", base=foreign)


class AgainstSamples(Gate):
    def test_slow_is_red(self):
        got = self.gate(1, new="slow")
        self.assertIn("4 slower; threshold 3 %", got.stdout)
        self.assertIn("WARNING: two runs are compared", got.stderr)

    def test_identical_is_green(self):
        self.gate(0, "--threshold", "60")  # two runs: the machine may have been busy in one of them

    def test_wrong_is_red(self):
        self.assertIn("4 wrong", self.gate(1, new="wrong").stdout)

    def test_another_device_is_refused(self):
        for change in ({"name": "NVIDIA L4"}, {"isa": "sm_89"}, {"multiprocessors": 58}):
            foreign = self.changed(lambda c: c["device"].update(change))
            got = self.gate(3, base=foreign)
            self.assertIn("give the older build with --lib", got.stderr)
            self.assertEqual(got.stdout, "")

    def test_is_the_next_baseline(self):
        name = self.file("next.json")
        self.gate(0, "--json=" + name, "--threshold", "60")
        self.gate(0, "--threshold", "60", base=name)
        self.expect(0, "compare", "--threshold", "60", self.base, name)


class What(Gate):
    def test_runs_what_the_baseline_ran(self):
        name = self.file("base.json")
        self.expect(0, "bench", "--device", "host", "--problem", P, "--inputs", "growing", "--variant", "host:bm=24",
                    "--variant", "host:bm=48", "--with", "oracle", "--lib", LIBRARY, "--cold", "--mode", "eager",
                    "--samples", "30", "--seed", "7", "--warmup", "0.01", "--json", name)
        found = self.json(0, "--threshold", "60", base=name)
        self.assertEqual([(r["problem"], r["inputs"], r["contender"], r["cold"], r["mode"]) for r in found["results"]],
                         [(P, "growing", v, True, "eager") for v in ("host:bm=24", "host:bm=48")])
        self.assertEqual({k: found["options"][k] for k in ("seed", "max_seconds", "max_samples", "warmup_seconds")},
                         {"seed": 7, "max_seconds": 0.3, "max_samples": 30, "warmup_seconds": 0.01})
        found = self.json(0, "--lib", LIBRARY, "--threshold", "60", base=name)
        self.assertEqual(len(found["results"]), 4)
        self.assertEqual([v["contender"] for v in found["gate"]["verdicts"]], ["host:bm=24", "host:bm=48"])
        for new in found["results"][1::2]:
            self.assertTrue(new["comparison"]["base"].endswith(new["contender"]))  # each to its own

    def test_each_result_is_run_its_own_way(self):
        mixed = self.changed(lambda c: c["results"][1].update(cold=True))
        found = self.json(1, base=mixed, new="slow")
        self.assertEqual([r["cold"] for r in found["results"]], [False, True, False, False])

    def test_order_changes_nothing(self):
        backwards = self.changed(lambda c: c["results"].reverse())
        found = self.json(1, "--lib", LIBRARY, base=backwards, new="slow")
        self.assertEqual(found["gate"]["summary"]["slower"], 4)
        self.assertEqual([v["problem"] for v in found["gate"]["verdicts"]], [Q, Q, P, P])

    def test_problem_that_fails(self):
        """A variant that this build refuses has no time: that is no pass."""
        def change(content):
            content["contenders"][0]["variant"] = "fwd_mma"
        out = self.gate(3, base=self.changed(change)).stdout
        self.assertIn("4 not in new", out)
        self.assertIn("variant fwd_mma: is for the GPU", out)

    def test_nothing_to_run(self):
        def peers(content):
            content["contenders"][0]["kind"] = "oracle"
        self.assertIn("no result that can be measured again", self.gate(3, base=self.changed(peers)).stderr)

    def test_strict(self):
        self.assertIn(self.run_it("gate", self.base, "--lib", LIBRARY, "--seconds", "0.001", "--strict",
                                  env={}).returncode, (0, 2))
        found = self.read(self.base)
        for row in found["results"]:
            # From a hundredth to a hundredfold: undecided, however busy this machine is now.
            row["samples_us"] = [row["samples_us"][0] * 10.0 ** (i % 5 - 2) for i in range(10)]
        wild = write(self.file("wild.json"), found)
        self.assertIn("ambiguous", self.gate(2, "--strict", "--threshold", "0.5", base=wild).stdout)
        self.gate(0, "--threshold", "0.5", base=wild)

    def test_files(self):
        data, table = self.file("a.json"), self.file("a.md")
        out = self.gate(1, "--lib", LIBRARY, "--json=" + data, "--markdown", table, new="slow").stdout
        self.assertIn("4 slower", out)
        found = self.read(data)
        self.assertEqual(found["schema"], "flashl4-bench-1")
        self.assertEqual((found["gate"]["baseline"], found["gate"]["paired"]), (self.base, True))
        self.assertEqual((found["gate"]["threshold"], found["gate"]["summary"]["exit"]), (0.01, 1))
        with open(table) as file:
            text = file.read()
        self.assertEqual(text.count("| SLOWER |"), 4)
        self.assertIn(f"Old: {LIBRARY}.", text)


class Usage(Gate):
    def test_usage(self):
        self.refused("gate: needs BASELINE", "gate")
        self.refused("unexpected", "gate", self.base, self.base)
        self.refused("gate takes one older library", "gate", self.base, "--lib", LIBRARY, "--lib", LIBRARY)
        self.refused("--lib: cannot read", "gate", self.base, "--lib", "/nonexistent.so")
        self.refused("cannot be opened", "gate", self.base, "--lib", self.base)
        self.refused("No such file", "gate", self.file("none.json"))
        self.refused("--seconds: is", "gate", self.base, "--seconds", "-1")
        self.refused("--json: cannot write", "gate", self.base, "--json=/nonexistent/x")
        self.refused("must be \"flashl4-bench-1\"", "gate", write(self.file("x.json"), {"schema": "x"}))
        self.expect(4, "gate", self.base, "--device", "cuda:4000")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)

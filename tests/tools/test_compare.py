#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""fl4 compare on files that are made up here: verdicts, matching, and every way to be unusable.

test_compare.py FL4
"""
import copy
import json
import os
import random
import re
import sys
import tempfile
import unittest

from command import Command
from documents import contender, document, result, samples, write

Command.fl4 = sys.argv[1]
P, Q = "hq2sq64d32", "hq4sq128d64:causal"


class Compare(Command):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def file(self, name):
        return os.path.join(self.folder, name)

    def compare(self, code, old, new, *args):
        """Of two documents, or lists of results."""
        files = []
        for name, side in (("old.json", old), ("new.json", new)):
            files.append(write(self.file(name), side if isinstance(side, dict) else document(*side)))
        return self.expect(code, "compare", *files, *args)

    def json(self, code, old, new, *args):
        return json.loads(self.compare(code, old, new, "--json", *args).stdout)


class Verdicts(Compare):
    def test_sign(self):
        """Slower takes more time: the seed of this project had it the other way round."""
        fast, slow = [result(P, samples(1))], [result(P, samples(2, slower=1.2))]
        out = self.compare(1, fast, slow).stdout
        self.assertRegex(out, rf"\n{P} +normal +default +\d+\.\d+ +\d+\.\d +1\.\d{{4}} +1\.\d+…1\.\d+  SLOWER\n")
        self.assertIn("1 slower; threshold 3 %", out)
        out = self.compare(0, slow, fast).stdout
        self.assertRegex(out, r" 0\.8\d+ +0\.8\d+…0\.8\d+  faster\n")
        self.assertIn("1 faster; ", out)
        self.assertIn("1 same; ", self.compare(0, fast, [result(P, samples(3))]).stdout)

    def rate(self, code, old_slower, new_slower, trials=100):
        """How many of the trials end with this code."""
        hits = 0
        for seed in range(trials):
            old = write(self.file("a.json"), document(*(result(p, samples(f"{seed} old {p}", slower=old_slower))
                                                        for p in (P, Q))))
            new = write(self.file("b.json"), document(*(result(p, samples(f"{seed} new {p}", slower=new_slower))
                                                        for p in (P, Q))))
            hits += self.run_it("compare", old, new, "--quiet").returncode == code
        return hits

    def test_five_percent_goes_red(self):
        self.assertGreaterEqual(self.rate(1, 1, 1.05), 95)

    def test_identical_stays_green(self):
        self.assertGreaterEqual(self.rate(0, 1, 1), 95)

    def test_five_percent_faster_stays_green(self):
        self.assertGreaterEqual(self.rate(0, 1.05, 1, trials=20), 19)

    def test_one_of_many(self):
        """A single slow problem among many good ones is found; the rest is not called slower with it."""
        lines = [f"hq{n}sq64d32" for n in range(1, 31)]
        old = [result(p, samples("old" + p)) for p in lines]
        new = [result(p, samples("new" + p, slower=1.08 if p == lines[17] else 1)) for p in lines]
        found = self.json(1, old, new)
        self.assertEqual([v["problem"] for v in found["verdicts"] if v["comparison"]["verdict"] == "slower"],
                         [lines[17]])
        quiet = self.compare(1, old, new, "--quiet").stdout.splitlines()
        self.assertEqual(len(quiet), 2)
        self.assertTrue(quiet[0].startswith(lines[17]))

    def test_threshold(self):
        old, new = [result(P, samples(1))], [result(P, samples(2, slower=1.05))]
        self.compare(1, old, new)
        self.compare(1, old, new, "--threshold", "2")
        self.assertIn("1 same; threshold 10 %", self.compare(0, old, new, "--threshold", "10%").stdout)

    def test_ambiguous(self):
        old, new = [result(P, samples(1, n=12, noise=0.3))], [result(P, samples(2, n=12, noise=0.3))]
        self.assertIn("1 ambiguous", self.compare(0, old, new).stdout)
        self.compare(2, old, new, "--strict")
        self.compare(0, [result(P, samples(1))], [result(P, samples(2))], "--strict")
        both = [result(P, samples(1, n=12, noise=0.3)), result(Q, samples(1))]
        worse = [result(P, samples(2, n=12, noise=0.3)), result(Q, samples(2, slower=1.2))]
        self.compare(1, both, worse, "--strict")  # a regression outweighs

    def test_order_changes_nothing(self):
        lines = [f"hq{n}sq64d32" for n in range(1, 9)]
        old = [result(p, samples("old" + p)) for p in lines]
        new = [result(p, samples("new" + p, slower=1 + 0.01 * i)) for i, p in enumerate(lines)]

        def verdicts(xs, ys):
            found = self.json(1, xs, ys)
            return {v["problem"]: (v["comparison"], v["old"], v["new"]) for v in found["verdicts"]}

        straight = verdicts(old, new)
        self.assertEqual(len(straight), 8)
        for seed in range(3):
            shuffled = new[:]
            random.Random(seed).shuffle(shuffled)
            self.assertEqual(verdicts(old, shuffled), straight)
            self.assertEqual(verdicts(list(reversed(old)), shuffled), straight)

    def test_wrong_output(self):
        bad = result(P, outcome="wrong", status="FL4_WRONG_OUTPUT", error="wrong output: max error 2\nmore")
        out = self.compare(1, [result(P)], [bad]).stdout
        self.assertRegex(out, r" - +- +-  WRONG\n    wrong output: max error 2\n1 wrong; ")
        self.compare(1, [bad], [bad])
        self.compare(3, [bad], [result(P)])  # there is nothing to compare with


class Matching(Compare):
    def test_never_by_position(self):
        old = [result(P, samples(1)), result(Q, samples(2, median=10))]
        found = self.json(0, old, [result(Q, samples(3, median=10)), result(P, samples(4))])
        self.assertEqual([v["problem"] for v in found["verdicts"]], [P, Q])
        self.assertEqual(found["summary"]["same"], 2)

    def test_all_of_the_identity(self):
        for change in ({"inputs": "sink"}, {"mode": "events"}, {"cold": True}):
            out = self.compare(3, [result(P)], [result(P, **change)]).stdout
            self.assertIn("1 not in old, 1 not in new", out)
        self.assertIn("NEW has it as eager, cold caches; this is eager, warm", out)

    def test_contenders(self):
        pair = [result(P, samples(1), contender="a"), result(P, samples(2, slower=2), contender="b")]
        self.assertEqual(self.json(0, pair, pair[::-1])["summary"]["same"], 2)
        # Another variant under the same name is compared, and said.
        new = [result(P, samples(3), contender="a", variant="host:bm=24"), pair[1]]
        self.assertIn("another variant: OLD host:bm=48, NEW host:bm=24", self.compare(0, pair, new).stdout)
        # The same variant under another name too, if there is only one such.
        old = [result(P, samples(1), contender="a", variant="v1"), result(P, samples(2), contender="b", variant="v2")]
        new = [result(P, samples(3), contender="c", variant="v1"), result(P, samples(4), contender="b", variant="v2")]
        out = self.compare(0, old, new).stdout
        self.assertIn("matched by variant: a in OLD", out)
        self.assertIn("2 same", out)
        new[0]["variant"] = "v3"
        self.assertIn("1 not in old, 1 not in new", self.compare(3, old, new).stdout)

    def test_single_results(self):
        old = [result(P, samples(1), contender="v1", variant="v1")]
        new = [result(P, samples(2), contender="v2", variant="v2")]
        self.assertIn("matched by problem: OLD is v1, v1; NEW is v2", self.compare(0, old, new).stdout)

    def test_other_libraries_are_not_taken_for_this_one(self):
        old = document(result(P, samples(1), contender="a.so"), result(P, samples(2)),
                       contenders=[contender("a.so", library_file="a.so"), contender()])
        new = document(result(P, samples(3), contender="b.so"), result(P, samples(4)),
                       contenders=[contender("b.so", library_file="b.so"), contender()])
        self.assertIn("1 same, 1 not in old, 1 not in new", self.compare(3, old, new).stdout)

    def test_missing(self):
        for old, new, words in (([P, Q], [P], "1 same, 1 not in new"), ([P], [P, Q], "1 same, 1 not in old"),
                                ([P, Q], [Q], "1 same, 1 not in new"), ([Q], [P, Q], "1 same, 1 not in old")):
            old, new = ([result(p, samples(p)) for p in side] for side in (old, new))
            self.assertIn(words, self.compare(3, old, new).stdout)
            self.assertIn(words, self.compare(0, old, new, "--allow-missing").stdout)
            shared = next(r for r in new if r["problem"] in [o["problem"] for o in old])
            shared["samples_us"] = samples(9, slower=1.2)
            self.compare(3, old, new)  # what is missing outweighs, as everywhere
            self.compare(1, old, new, "--allow-missing")
        self.assertIn("there is nothing to compare", self.compare(3, [result(P)], [result(Q)], "--allow-missing").stderr)

    def test_not_timed(self):
        no = result(Q, outcome="unsupported", status="FL4_UNSUPPORTED", error="is for the GPU")
        good = result(P, samples(1))
        out = self.compare(0, [good, no], [good, no]).stdout
        self.assertIn("unsupported: is for the GPU", out)
        self.assertIn("1 same, 1 not timed", out)
        self.compare(3, [good, result(Q)], [good, no])  # it was, and is no more
        self.assertIn("there is nothing to compare", self.compare(3, [no], [no]).stderr)

    def test_warnings(self):
        old = document(result(P, samples(1)))
        for change, words in (({"name": "NVIDIA L4"}, "this compares devices"), ({"isa": "sm_89"}, "compares devices"),
                              ({"multiprocessors": 58}, "compares devices")):
            new = document(result(P, samples(1)), device={**old["device"], **change})
            self.assertIn(words, self.compare(0, old, new).stderr)
            self.assertIn(words, self.json(0, old, new)["warnings"][0])
        limits = {"mma_tflops": 800.0, "gemm_tflops": 700.0, "read_gbps": 4000.0}
        old["limits"] = limits
        new = document(result(P, samples(1)), limits={**limits, "read_gbps": 4400.0})
        self.assertIn("read bandwidth measured with NEW is 1.100 times that of OLD", self.compare(0, old, new).stderr)
        new["limits"]["read_gbps"] = 4040
        self.assertEqual(self.compare(0, old, new).stderr, "")
        new["options"]["copies"] = 1
        self.assertIn("OLD used 3 sets of tensors, NEW 1", self.compare(0, old, new).stderr)


class Writers(Compare):
    def test_json(self):
        found = self.json(1, [result(P, samples(1))], [result(P, samples(2, slower=1.1))], "--threshold", "4")
        self.assertEqual((found["schema"], found["threshold"]), ("flashl4-compare-1", 0.04))
        self.assertEqual(found["old"]["file"], self.file("old.json"))
        self.assertEqual(found["environment"]["command"][1], "compare")
        verdict = found["verdicts"][0]
        self.assertEqual({k: verdict[k] for k in ("problem", "inputs", "contender", "mode", "cold", "state")},
                         {"problem": P, "inputs": "normal", "contender": "default", "mode": "eager", "cold": False,
                          "state": "judged"})
        self.assertEqual(verdict["comparison"]["verdict"], "slower")
        self.assertFalse(verdict["comparison"]["paired"])
        self.assertEqual(verdict["old"]["statistics"]["n"], 100)
        self.assertEqual(found["summary"], {"ambiguous": 0, "same": 0, "faster": 0, "slower": 1, "wrong": 0,
                                            "not in old": 0, "not in new": 0, "not timed": 0, "exit": 1})

    def test_json_never_overwrites_an_argument(self):
        old, new = write(self.file("a"), document(result(P))), write(self.file("b"), document(result(P)))
        before = self.read(old)
        self.expect(0, "compare", "--json", old, new)
        self.assertEqual(self.read(old), before)
        self.assertIn("unexpected", self.expect(3, "compare", "--json", self.file("c"), old, new).stderr)
        out = self.expect(0, "compare", old, new, "--json=" + self.file("c")).stdout
        self.assertIn("1 same", out)
        self.assertEqual(self.read(self.file("c"))["summary"]["exit"], 0)

    def test_markdown(self):
        name = self.file("a.md")
        old = document(result(P, samples(1)), contenders=[contender("default")])
        new = document(result(P, samples(2, slower=1.2)), result(Q), device={**old["device"], "name": "NVIDIA L4"})
        self.compare(3, old, new, "--markdown", name)
        with open(name) as file:
            text = file.read()
        table = [line for line in text.splitlines() if line.startswith("|")]
        self.assertEqual(len(table), 4)
        self.assertEqual({len(re.split(r"(?<!\\)\|", line)) for line in table}, {10})
        self.assertIn("**Warning:** OLD is of NVIDIA H200", text)
        self.assertIn("SLOWER", text)
        self.assertIn("1 slower, 1 not in old", text)


class Unusable(Compare):
    """A file that is not what it should be is refused with the place; none is misread, none crashes the command."""

    def refuse(self, words, content, raw=False):
        good = write(self.file("good.json"), document(result(P)))
        bad = self.file("bad.json")
        with open(bad, "wb") as file:
            file.write(content if raw else json.dumps(content).encode())
        for pair in ((good, bad), (bad, good)):
            got = self.refused(words, "compare", *pair)
            self.assertIn(bad, got.stderr)
            self.assertEqual(got.stdout, "")

    def test_usage(self):
        name = write(self.file("a.json"), document(result(P)))
        self.refused("compare: needs OLD NEW", "compare")
        self.refused("compare: needs OLD NEW", "compare", name)
        self.refused("unexpected", "compare", name, name, name)
        self.refused("No such file", "compare", name, self.file("none.json"))
        self.refused("is a folder", "compare", name, self.folder)
        self.refused("--threshold: is", "compare", name, name, "--threshold", "-1")
        self.refused("--json: cannot write", "compare", name, name, "--json=/nonexistent/x")
        self.refused("--markdown: cannot write", "compare", name, name, "--markdown", "/nonexistent/x")
        self.expect(0, "compare", "--strict", name, "--quiet", "--", name)  # options anywhere

    def test_every_field(self):
        """Each field that is read: without it, or with another type, the file is refused by its name."""
        whole = document(result(P), limits={"mma_tflops": 1.0, "gemm_tflops": 1.0, "read_gbps": 1.0})
        not_read = {"note"}
        tried = 0

        def at(path):
            place = copy.deepcopy(whole)
            inner = place
            for key in path[:-1]:
                inner = inner[key]
            return place, inner

        def walk(value, path):
            nonlocal tried
            for key in value if isinstance(value, dict) else range(len(value)):
                here = path + [key]
                if isinstance(key, str) and key not in not_read:
                    for change in ("gone", ["wrong"] if not isinstance(value[key], list) else 7):
                        broken, inner = at(here)
                        if change == "gone":
                            del inner[key]
                        else:
                            inner[key] = change
                        words = key + (": is missing" if change == "gone" and key != "schema" else ":")
                        self.refuse(words, broken)
                        tried += 1
                if isinstance(value[key], (dict, list)) and key != "samples_us":
                    walk(value[key], here)

        walk(whole, [])
        self.assertGreater(tried, 100)

    def test_values(self):
        def broken(words, **change):
            self.refuse(words, document({**result(P), **change}))

        for samples_us, words in (([], "is empty"), ([1.0, -1.0], "samples_us[1]: must be a positive number"),
                                  ([0.0], "samples_us[0]"), ([None], "samples_us[0]"), (["1"], "samples_us[0]"),
                                  ([1, [2]], "samples_us[1]")):
            broken(words, samples_us=samples_us)
        broken("inputs: is no kind", inputs="odd")
        broken("outcome: is no outcome", outcome="fine")
        broken("mode: is no mode", mode="fast")
        broken("results[0].problem: ", problem="b2x3")
        broken('which is written "hq2sq64d32"', problem="b1hq2sq64d32")
        self.refuse('"other" is none of the contenders', document(result(P, contender="other"), contenders=[contender()]))
        self.refuse("are of the same problem and contender", document(result(P), result(Q), result(P)))
        self.refuse("results: is empty", document())
        self.refuse("contenders[0].name: holds a control character",
                    document(result(P, contender="a\x1b[2J"), contenders=[contender("a\x1b[2J")]))
        self.refuse("contenders[0].name: must have from 1 to 127", document(result(P, contender="x" * 128)))
        for key, value in (("copies", 0), ("max_samples", 10**9), ("seed", -1), ("precision", 0.0),
                           ("max_seconds", -1.0), ("mode", "fast")):
            content = document(result(P))
            content["options"][key] = value
            self.refuse(f"options.{key}: ", content)

    def test_schema(self):
        for schema in ("flashl4-bench-2", "flashl4-check-1", ""):
            self.refuse('must be "flashl4-bench-1"', document(result(P), schema=schema))
        for content in ([], 7, "text", None, {}):
            self.refuse("", content)

    def test_garbage(self):
        whole = json.dumps(document(result(P))).encode()
        for raw in (b"", b"\0", b"{", b"[" * 100000, b'{"schema": 1e999}', b"\xff\xfe\x00", whole + b"x",
                    whole.replace(b'"cold"', b'"mode"'), whole.replace(b"5.0", b"NaN"),
                    whole.replace(b"5.0", b"1e999")):
            self.refuse("", raw, raw=True)
        for length in range(0, len(whole) - 1, 97):
            self.refuse("", whole[:length], raw=True)

    def test_flipped_bytes(self):
        """Whatever becomes of it, the command ends by itself, with one of its codes."""
        whole = bytearray(json.dumps(document(result(P, [1.5, 2.5, 3.5]))).encode())
        source = random.Random(1)
        name = self.file("flipped.json")
        good = write(self.file("good.json"), document(result(P)))
        for _ in range(200):
            raw = bytearray(whole)
            for _ in range(source.randint(1, 4)):
                raw[source.randrange(len(raw))] = source.randrange(256)
            with open(name, "wb") as file:
                file.write(raw)
            self.assertIn(self.run_it("compare", good, name).returncode, (0, 1, 3))

    def test_huge(self):
        many = document(*(result(f"hq{n}sq64d32", samples(n, n=500)) for n in range(1, 401)))
        self.assertIn("400 same", self.compare(0, many, many).stdout)
        name = self.file("huge.json")
        with open(name, "wb") as file:
            file.truncate(2 << 30)  # no bytes on disk
        self.refused("is larger than 1024 MiB", "compare", name, name)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)

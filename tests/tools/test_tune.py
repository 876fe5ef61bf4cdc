#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""fl4 tune: every option, the tables, the files as documented, wisdom, the log.

test_tune.py FL4 DOCS    the command, docs/tune.md
"""
import gzip
import json
import os
import re
import sys
import unittest

from command import Command
from tune_command import A, B, Tune

Command.fl4, DOCS = map(os.path.abspath, sys.argv[1:])


class Usage(Tune):
    def refuse(self, words, *args, **more):
        got = self.refused(words, "tune", "--device", "host", *args, **more)
        self.assertEqual(got.stdout, "")

    def test_numbers(self):
        for option in ("seconds", "target", "time-limit", "threshold"):
            for value in ("", "x", "0", "-1", "1x", "nan", "inf", "1e13"):
                self.refuse(f"--{option}: is \"{value}\", must be a number above 0", f"--{option}={value}")
        for option in ("evals", "threads", "seeds", "samples"):
            for value in ("", "x", "0", "-1", "1.5", "1x", "99999999999999999999", "1000001"):
                self.refuse(f"--{option}: is \"{value}\", must be a whole number from 1", f"--{option}", value)
        self.refuse('--seed: is "x"', "--seed", "x")

    def test_names(self):
        self.refuse('--budget: is "big", must be one of measure, estimate, patient, exhaustive', "--budget", "big")
        self.refuse('--mode: is "fast", must be one of auto, graph, events, eager', "--mode", "fast")
        self.refuse('--inputs: is "normal,sink", must be one kind', "--inputs", "normal,sink")
        self.refuse('unknown kind "odd"', "--inputs", "odd")
        self.refuse('unknown set "nothing"', "--shapes", "nothing")
        self.refuse("unknown size 'x'", "--problem", "b2x3")
        self.refuse("unexpected 'canonical'", "canonical")
        self.refuse("unknown or misused option '--csv'", "--csv", "x")

    def test_what_the_library_refuses(self):
        for args, words in ((["--strategy", "luck"], '"luck"'), (["--family", "warp"], "warp")):
            got = self.tune(3, "--problem", A, *args)
            self.assertIn(words, got.stderr)

    def test_what_does_not_go_together(self):
        self.refuse("only one of --space, --ablate and --replay", "--space", "--ablate")
        self.refuse("only one of --space, --ablate and --replay", "--space", "--replay", "x")
        self.refuse("--variant: goes with --ablate", "--variant", "host")
        self.refuse("--variant: 2 given, must be one", "--ablate", "--variant", "host", "--variant", "host")
        self.refuse("--samples: goes with --ablate", "--samples", "9")
        self.refuse("--seeds: goes with --replay", "--seeds", "9")
        self.refuse("--replay: takes no problems", "--replay", "x", "--problem", A)
        self.refuse("--replay: takes no problems", "--replay", "x", "--shapes", "smoke")
        self.refuse("--markdown: does not go with --replay", "--replay", "x", "--markdown", "y")
        self.refuse("--markdown: does not go with --space", "--space", "--markdown", "y")
        self.refuse("only one of --wisdom and --no-wisdom", "--no-wisdom", "--wisdom", "x")
        self.refuse("only one of --json and --markdown", "--json", "-", "--markdown", "-")

    def test_files(self):
        got = self.tune(3, "--problem", A, "--evals", "2", "--wisdom", "/nonexistent/folder/x")
        self.assertIn("cannot save what was learnt", got.stderr)
        self.assertIn("the built-in choice", got.stdout)  # what it found is not lost with it
        for option in ("--json", "--markdown"):
            self.refuse(f"{option}: cannot write", "--problem", A, option, "/nonexistent/folder/x")
            got = self.tune(3, "--problem", A, "--evals", "2", option, "/dev/full")
            self.assertIn(f"{option}: cannot write", got.stderr)
        for more in ([], ["--in-process"]):
            got = self.tune(3, "--problem", A, "--log", "/nonexistent/folder/x", *more)
            self.assertIn("/nonexistent/folder/x", got.stderr)
        got = self.expect(4, "tune", "--device", "host", "--problem", A, env={"TMPDIR": "/nonexistent"})
        self.assertIn("cannot make a folder like /nonexistent/", got.stderr)

    def test_no_device(self):
        self.assertIn("no such device", self.expect(4, "tune", "--device", "cuda:99").stderr)

    def test_problem_that_cannot_be_tuned(self):
        got = self.tune(3, "--problem", "hq2sq0sk4d8", "--problem", A, "--evals", "2")
        self.assertIn("has no query", got.stderr)


class Space(Tune):
    def test_space(self):
        out = self.tune(0, "--space", "--problem", A, "--problem", B).stdout
        found = self.json("--space", "--problem", A, "--problem", B)
        self.assertEqual([r["problem"] for r in found["results"]], [A, B])
        for result in found["results"]:
            space = result["space"]
            self.assertEqual(space["family"], "host")
            combinations = 1
            for parameter in space["parameters"]:
                self.assertEqual(parameter["values"], sorted(set(parameter["values"])))
                combinations *= len(parameter["values"])
            self.assertEqual(space["combinations"], combinations)
            refused = sum(r["count"] for r in space["reasons"])
            self.assertEqual(space["valid"] + space["same"] + refused, combinations)
            self.assertIn(f"\n{result['problem']}: family host\n", out)
            self.assertIn(f"{space['valid']} valid of {combinations} combinations; {space['same']} more could run", out)
            for parameter in space["parameters"]:
                values = ",".join(map(str, parameter["values"]))
                self.assertRegex(out, rf"{parameter['name']} +{values} +{re.escape(parameter['what'])}\n")
            for reason in space["reasons"]:
                self.assertRegex(out, rf" +{reason['count']} refused, such as: {re.escape(reason['reason'])}\n")
        self.assertEqual(self.wisdom(), "")

    def test_unknown_family(self):
        self.assertIn("warp", self.tune(3, "--space", "--problem", A, "--family", "warp").stderr)


class Results(Tune):
    def test_table(self):
        got = self.tune(0, "--problem", A, "--evals", "10")
        self.assertEqual(got.stderr, "")
        self.assertRegex(got.stdout, r"^host: .*\n\nhq2sq100d8\n +# +variant +p50 µs +registers +spills B +smem KiB +max err")
        self.assertRegex(got.stdout, r"\n +1 +host:bm=\d+,bn=\d+,threads=\d+ +[\d.]+")
        self.assertRegex(got.stdout, r"\n +\d+ +host:\S+ .*the built-in choice\n")
        self.assertRegex(got.stdout, r"\n10 tried of \d+ valid variants in [\d.]+ s; ended by: evaluations\n")
        self.assertRegex(got.stdout, r"\n(improved: host:\S+ over default [\d.]+ µs -> [\d.]+ µs, "
                                     r"ratio 0\.\d+ \[0\.\d+, 0\.\d+\]"
                                     r"|no improvement found; the built-in choice stays: host:\S+, [\d.]+ µs.*)\n$")
        quiet = self.tune(0, "--problem", A, "--evals", "3", "--quiet").stdout
        self.assertRegex(quiet, r"^hq2sq100d8\n(improved: |no improvement found; )[^\n]*\n$")

    def test_numbers_hold_together(self):
        r = self.one("--evals", "10")
        self.assertEqual((r["status"], r["error"], r["evaluations"], r["resumed"]), ("FL4_OK", "", 10, 0))
        self.assertEqual(r["stop"], "evaluations")
        self.assertEqual(sorted(c["evaluation"] for c in r["candidates"]), list(range(10)))
        correct = [c for c in r["candidates"] if c["invalidity"] == "correct"]
        self.assertEqual(r["failed"], 10 - len(correct))
        times = [c["p50_us"] for c in correct]
        self.assertEqual(times, sorted(times))
        self.assertGreater(r["space"], 10)
        choice = next(c["variant"] for c in r["candidates"] if c["evaluation"] == 0)
        self.assertEqual(r["improved"], r["variant"] != choice)
        if r["improved"]:
            self.assertLess(r["against"]["high"], 1)
            self.assertLess(r["best_us"], r["default_us"])
        else:
            self.assertEqual(r["variant"], choice)

    def test_budgets(self):
        r = self.one("--budget", "estimate")
        self.assertEqual((r["evaluations"], r["candidates"], r["improved"]), (0, [], False))
        self.assertTrue(r["variant"].startswith("host:"))
        out = self.tune(0, "--problem", A, "--budget", "estimate").stdout
        self.assertIn("no improvement found; the built-in choice stays: host:", out)
        r = self.one("--budget", "patient", "--evals", "4")
        self.assertEqual(r["evaluations"], 4)
        r = self.one("--target", "1e9")
        self.assertEqual((r["evaluations"], r["stop"]), (1, "target"))
        r = self.one("--seconds", "0.3", "--budget", "exhaustive")
        self.assertIn(r["stop"], ("seconds", "space"))
        found = self.json("--problem", A, "--evals", "2", "--seed", "7", "--strategy", "random", "--family", "host",
                          "--mode", "eager", "--cold", "--inputs", "sink", "--threshold", "5", "--time-limit", "20",
                          "--threads", "1")
        self.assertEqual(found["options"], {
            "budget": "measure", "max_evaluations": 2, "max_seconds": None, "target_us": None, "seed": 7,
            "strategy": "random", "family": "host", "mode": "eager", "cold": True, "inputs": "sink", "threshold": 0.05,
            "time_limit": 20.0, "log": None, "wisdom": True, "wisdom_file": None})

    def test_seed(self):
        def tried(seed):
            r = self.one("--evals", "6", "--strategy", "random", "--no-wisdom", "--seed", str(seed))
            return [c["variant"] for c in sorted(r["candidates"], key=lambda c: c["evaluation"])]

        self.assertEqual(tried(1), tried(1))
        self.assertNotEqual(tried(1), tried(2))
        self.assertEqual(tried(1)[0], tried(2)[0])  # the built-in choice

    def test_several(self):
        name, table = self.file("a.json"), self.file("a.md")
        got = self.tune(0, "--shapes", "-", "--problem", B, "--evals", "3", "--json", name, "--markdown", table,
                        input=f"# tiny\n{A}\n\n{B}\n")
        found = self.read(name)
        self.assertEqual([r["problem"] for r in found["results"]], [A, B])
        self.assertEqual(found["summary"], {"problems": 2, "good": 2, "restarts": 0, "exit": 0,
                                            "improved": sum(r["improved"] for r in found["results"])})
        self.assertLess(got.stdout.index(A), got.stdout.index(B))
        with open(table) as file:
            text = file.read()
        for r in found["results"]:
            self.assertIn(f"## {r['problem']}\n", text)
            for c in r["candidates"]:
                self.assertRegex(text, rf"\| \d+ \| {c['variant']} \|")
        self.assertEqual(len(re.findall(r"^\| # \| variant \| p50 µs \|.*\n(?:\| --- ){8}\|$", text, re.M)), 2)
        self.assertEqual(self.tune(0, "--problem", A, "--evals", "1", "--markdown", "-").stdout[:3], "## ")

    def test_file_of_lines(self):
        found = self.json("--shapes", self.write("captured", f"{B}\n{A}\n{B}\n"), "--evals", "1")
        self.assertEqual([r["problem"] for r in found["results"]], [B, A])
        self.refused('captured:2: fl4_problem_parse: "x9": unknown size', "tune", "--device", "host", "--shapes",
                     self.write("captured", f"{A}\nx9\n"))
        self.refused("captured: holds no problem", "tune", "--device", "host", "--shapes",
                     self.write("captured", "#\n"))


class Wisdom(Tune):
    def test_saved(self):
        self.tune(0, "--problem", A, "--evals", "3", "--no-wisdom")
        self.assertEqual(self.wisdom(), "")
        nowhere = {"XDG_DATA_HOME": "", "HOME": ""}
        self.tune(0, "--problem", A, "--evals", "3", "--no-wisdom", env=nowhere)
        self.assertIn("cannot save what was learnt", self.tune(3, "--problem", A, "--evals", "3", env=nowhere).stderr)
        self.tune(0, "--problem", A, "--evals", "3")
        self.assertIn(A, self.wisdom())
        self.assertNotIn(B, self.wisdom())

    def test_elsewhere(self):
        name = self.file("my.wisdom")
        self.tune(0, "--problem", A, "--evals", "3", "--wisdom", name)
        self.assertEqual(self.wisdom(), "")
        with open(name) as file:
            self.assertIn(A, file.read())
        self.tune(0, "--problem", B, "--evals", "3", "--wisdom", name)
        with open(name) as file:
            text = file.read()
        self.assertIn(A, text)
        self.assertIn(B, text)


class Log(Tune):
    def test_resume(self):
        name = self.file("log")
        first = self.one("--evals", "5", "--log", name)
        again = self.one("--evals", "9", "--log", name)
        self.assertEqual((first["evaluations"], first["resumed"]), (5, 0))
        self.assertEqual((again["evaluations"], again["resumed"]), (4, 5))
        tried = [line["configuration"] for line in self.lines("log") if "configuration" in line]
        self.assertEqual(len(tried), 9)
        self.assertEqual(len({json.dumps(c, sort_keys=True) for c in tried}), 9)
        self.assertIn("4 tried of", self.tune(0, "--problem", B, "--evals", "4", "--log", name).stdout)  # its own

    def test_what_began_and_did_not_end(self):
        name = self.file("log")
        self.one("--evals", "4", "--log", name)
        with open(name) as file:
            lines = file.read().splitlines(keepends=True)
        outcomes = [i for i, line in enumerate(lines) if "configuration" in json.loads(line)]
        with open(name, "w") as file:  # as if the fourth had taken the process with it
            file.writelines(lines[:outcomes[3]])
            file.write(lines[outcomes[3]][:20])
        r = self.one("--evals", "4", "--log", name)
        self.assertEqual(r["failed"], 1)
        dead = [c for c in r["candidates"] if c["invalidity"] == "runtime"]
        self.assertEqual([c["evaluation"] for c in dead], [3])
        out = self.tune(0, "--problem", A, "--evals", "4", "--log", name).stdout
        self.assertRegex(out, rf"\n1 failed, runtime; the first {dead[0]['variant']}: \S")

    def test_in_process(self):
        name = self.file("log")
        self.assertEqual(self.one("--evals", "3", "--in-process")["evaluations"], 3)
        self.one("--evals", "3", "--in-process", "--log", name)
        self.assertEqual(self.one("--evals", "3", "--log", name)["resumed"], 3)


class Ablate(Tune):
    def changes(self, ablation):
        family, _, values = ablation["variant"].partition(":")
        values = dict(pair.split("=") for pair in values.split(","))
        for change in ablation["changes"]:
            mine = {**values, change["parameter"]: str(change["value"])}
            self.assertEqual(change["variant"], family + ":" + ",".join(f"{k}={v}" for k, v in mine.items()))
            self.assertNotEqual(str(change["value"]), values[change["parameter"]])
        return {(c["parameter"], c["value"]): c for c in ablation["changes"]}

    def test_given(self):
        args = ["--problem", A, "--ablate", "--variant", "host:bm=24", "--samples", "30"]
        found = self.json(*args)
        ablation = found["results"][0]["ablation"]
        self.assertRegex(ablation["variant"], "^host:bm=24,bn=")
        self.assertEqual(ablation["error"], "")
        changes = self.changes(ablation)
        space = self.json("--space", "--problem", A)["results"][0]["space"]
        self.assertEqual(len(changes), sum(len(p["values"]) - 1 for p in space["parameters"]))
        timed = [c for c in ablation["changes"] if c["against"]]
        self.assertGreaterEqual(len(timed), 9)
        ratios = [c["against"]["ratio"] for c in timed]
        self.assertEqual(ratios, sorted(ratios, reverse=True))
        self.assertEqual(ablation["changes"][:len(timed)], timed)  # what was not timed comes last
        self.assertIn("but the device has", changes["threads", 128]["error"])
        out = self.tune(0, *args).stdout
        self.assertRegex(out, r"\none parameter changed, beside host:bm=24,bn=\d+,threads=0\nchange +ratio")
        self.assertRegex(out, r"\nbm=4 +\d+\.\d+ \[\d+\.\d+, \d+\.\d+\] +(slower|faster|ambiguous|same)")
        self.assertRegex(out, r"\nthreads=128 +\S.*but the device has \d+")
        self.assertEqual(self.wisdom(), "")

    def test_after_tuning(self):
        name = self.file("a.md")
        found = self.json("--problem", A, "--evals", "3", "--ablate", "--samples", "20", "--markdown", name)
        result = found["results"][0]
        self.assertEqual(result["ablation"]["variant"], result["variant"])
        self.changes(result["ablation"])
        with open(name) as file:
            self.assertIn(f"One parameter changed, beside `{result['variant']}`", file.read())

    def test_failures(self):
        got = self.tune(3, "--problem", A, "--ablate", "--variant", "host:bm=25")
        self.assertIn("must be one of 4 12", got.stderr)
        got = self.tune(3, "--problem", A, "--ablate", "--variant", "host:threads=128")
        self.assertIn("but the device has", got.stderr)


def record(points):
    """A file in the T4 format."""
    return {"metadata": {"timeunit": "milliseconds"}, "results": [
        {"timestamp": "2026-01-01T00:00:00Z", "configuration": configuration, "times": {"runtimes": [cost or 0]},
         "invalidity": "correct" if cost else "runtime", "correctness": 1 if cost else 0,
         "measurements": [{"name": "time", "value": cost, "unit": "ms"}] if cost else [], "objectives": ["time"]}
        for configuration, cost in points]}


class Replay(Tune):
    def setUp(self):
        super().setUp()
        self.points = []
        for x in range(8):
            for y in (1, 2, 4, 8, 16):
                for z in ("row", "column"):
                    cost = 1 + 0.1 * abs(x - 5) + 0.05 * abs(y - 8) + (0.3 if z == "row" else 0)
                    self.points.append(({"x": x, "y": y, "z": z}, None if (x, y) == (0, 1) else cost))
        self.name = self.write("space.json", json.dumps(record(self.points)))

    def replay(self, *args, code=0):
        return self.expect(code, "tune", "--replay", *args)

    def test_table(self):
        out = self.replay(self.name, "--seeds", "5").stdout
        header, *rows = out.splitlines()
        self.assertRegex(header, r"^file +strategy +points +within 5 % +to 95 % +p90 +to 99 % +p90 ")
        self.assertEqual([row.split()[:2] for row in rows],
                         [["space.json", s] for s in ("evolve", "genetic", "random", "exhaustive")])
        within = sum(1 for _, cost in self.points if cost and cost <= 1.05)
        for row in rows:
            self.assertRegex(row, rf"space.json +\S+ +80 +{100 * within / 80:.2f} %( +≥?\d+){{4}}(  [\d.]+){{4}}$")
        out = self.replay(self.name, "--seeds", "2", "--evals", "2", "--strategy", "exhaustive", "--quiet").stdout
        self.assertRegex(out, r"^space.json +exhaustive( +\S+){3}( +≥2){4} ")
        self.assertEqual(len(self.replay(self.name, "--seeds", "2", "--quiet").stdout.splitlines()), 4)

    def test_json(self):
        with gzip.open(self.file("packed.json.gz"), "wt") as file:
            json.dump(record(self.points), file)
        got = self.replay(f"{self.name},{self.file('packed.json.gz')}", "--strategy", "random,exhaustive",
                          "--seeds", "7", "--evals", "60", "--json", "-")
        results = json.loads(got.stdout)["results"]
        self.assertEqual([(os.path.basename(r["file"]), r["strategy"]) for r in results],
                         [(f, s) for f in ("space.json", "packed.json.gz") for s in ("random", "exhaustive")])
        self.assertLess(results[0]["to_95"]["median"], results[0]["to_95"]["p90"])  # seeds differ
        self.assertLess(results[0]["to_99"]["median"], results[0]["to_99"]["p90"])
        for r, packed in zip(results[:2], results[2:]):
            self.assertEqual({**r, "file": 0}, {**packed, "file": 0})
            self.assertEqual((r["points"], r["failed"], r["best"], r["cap"], r["seeds"]), (80, 2, 1.0, 60, 7))
            self.assertEqual(len(r["curve"]), 60)
            self.assertEqual(r["curve"], sorted(r["curve"]))
            self.assertAlmostEqual(r["at"]["25"], r["curve"][24])
            self.assertAlmostEqual(r["at"]["50"], r["curve"][49])
            self.assertLessEqual(r["to_95"]["median"], r["to_95"]["p90"])
            self.assertLessEqual(r["to_95"]["p90"], r["to_95"]["worst"])
            self.assertLessEqual(r["to_95"]["median"], r["to_99"]["median"])

    def test_log_of_a_tuning(self):
        self.tune(0, "--problem", A, "--evals", "6", "--log", self.file("log"))
        got = self.replay(self.file("log"), "--strategy", "random", "--seeds", "3", "--json", "-")
        self.assertEqual(json.loads(got.stdout)["results"][0]["points"], 6)

    def test_failures(self):
        self.assertIn("/nonexistent", self.replay("/nonexistent", code=3).stderr)
        self.assertIn("odd.json", self.replay(self.write("odd.json", "{]"), code=3).stderr)
        self.assertIn('"luck"', self.replay(self.name, "--strategy", "luck", code=3).stderr)
        self.replay(f"{self.name},", code=3)
        got = self.replay(self.name, "--seeds", "1", "--json", "/dev/full", code=3)
        self.assertIn("--json: cannot write", got.stderr)


# The schemas

def documented(schema):
    """{field: types} as docs/tune.md has them."""
    with open(DOCS) as file:
        text = file.read().split(f"## {schema}\n")[1].split("\n## ")[0]
    return {name: set(types.split(", "))
            for names, types in re.findall(r"^\| ((?:`[^`]+`(?:, )?)+) \| ([a-z, ]+) \|", text, re.M)
            for name in re.findall(r"`([^`]+)`", names)}


TYPES = {type(None): "null", str: "text", bool: "flag", int: "whole", float: "number", dict: "object"}


def flatten(value, at=""):
    """(field, type) of everything in a document, fields written as in the docs."""
    if isinstance(value, list):
        for item in value:
            yield from flatten(item, at + "[]")
        return
    yield at, TYPES[type(value)]
    if isinstance(value, dict):
        for key, inner in value.items():
            if at.startswith(("environment", "device")):
                continue
            yield from flatten(inner, f"{at}.{key}" if at else key)


class Schema(Tune):
    """docs/tune.md and the files say the same, in both directions."""

    def compare(self, *documents):
        fields = documented(documents[0]["schema"])
        seen = set()
        for document in documents:
            for field, kind in flatten(document):
                if field not in fields and kind == "object":  # it is only there to hold others
                    self.assertTrue(not field or any(name.startswith(field) for name in fields), field)
                    continue
                self.assertIn(field, fields, "is not documented")
                self.assertIn(kind, fields[field], field)
                seen.add(field)
        self.assertEqual(set(fields) - seen, set(), "documented, but not there")

    def test_tune(self):
        log = self.file("log")
        self.one("--evals", "3", "--log", log)
        with open(log) as file:
            lines = file.read().splitlines(keepends=True)
        self.write("log", "".join(lines[:-1]))  # one that died
        args = ["--problem", B, "--problem", A, "--log", log]
        first = self.json(*args, "--evals", "4", "--ablate", "--samples", "20", "--wisdom", self.file("w"))
        second = self.json(*args, "--seconds", "60", "--target", "0.001", "--strategy", "random", "--family", "host",
                           "--threshold", "1", "--time-limit", "30", "--budget", "estimate")
        self.compare(first, second)

    def test_space(self):
        self.compare(self.json("--problem", A, "--space"))

    def test_replay(self):
        points = [({"x": x, "y": y}, 1 + x + y) for x in range(3) for y in range(3)]
        name = self.write("r.json", json.dumps(record(points)))
        self.compare(json.loads(self.expect(0, "tune", "--replay", name, "--seeds", "2", "--json", "-").stdout))


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""fl4 bench: every option, every writer, the schema as documented, wrong outputs, Ctrl-C.

test_bench.py FL4 LIBRARY DOCS [FOLDER]    the command, libflashl4, docs/bench.md, and where libfl4_wrong.so
                                           and the other builds of tests/unit/other_build.c are
"""
import csv
import io
import json
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

from command import Command, environment

Command.fl4, LIBRARY, DOCS, *OTHERS = map(os.path.abspath, sys.argv[1:])
OTHERS = OTHERS[0] if OTHERS else None
A, B = "hq2sq17d8", "hq2sq9d16:bf16:lse"
QUICK = ["--device", "host", "--seconds", "2", "--warmup", "0.01", "--samples", "40"]


class Bench(Command):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def file(self, name):
        return os.path.join(self.folder, name)

    def bench(self, code, *args, **more):
        return self.expect(code, "bench", *QUICK, *args, **more)

    def json(self, *args, code=0, **more):
        return json.loads(self.bench(code, "--json", "-", *args, **more).stdout)


class Usage(Bench):
    def refuse(self, words, *args, **more):
        self.assertEqual(self.refused(words, "bench", "--device", "host", "--problem", A, *args, **more).stdout, "")

    def test_numbers(self):
        for option in ("seconds", "warmup", "precision", "threshold"):
            for value in ("", "x", "0", "-1", "1x", "nan", "inf", "1e9"):
                self.refuse(f"--{option}: is \"{value}\", must be a number above 0", f"--{option}={value}")
        for option in ("samples", "copies"):
            for value in ("", "x", "0", "-1", "1.5", "1x", "99999999999999999999", "1000001"):
                self.refuse(f"--{option}: is \"{value}\", must be a whole number from 1", f"--{option}", value)
        self.refuse("a value is missing behind '--seconds'", "--seconds")

    def test_names(self):
        self.refuse('--mode: is "fast", must be auto, graph, events or eager', "--mode", "fast")
        self.refuse('--with: is "torch", must be oracle or host', "--with", "torch")
        for kinds in ("odd", "normal,odd", "normal,", ",", ""):
            self.refuse("--inputs: unknown kind", "--inputs", kinds)
        self.refuse('unknown set "nothing"', "--shapes", "nothing")
        self.refuse("unknown size 'x'", "--problem", "b2x3")
        self.refuse("unexpected 'canonical'", "canonical")
        self.refuse("is a contender twice", "--variant", "host", "--variant", "host")
        self.refuse("unknown or misused option '--strict'", "--strict")

    def test_files(self):
        for option in ("--json", "--csv", "--markdown"):
            self.refuse(f"{option}: cannot write", option, "/nonexistent/folder/x")
            got = self.bench(3, "--problem", A, option, "/dev/full")
            self.assertIn(f"{option}: cannot write", got.stderr)
        self.refuse("only one of --json, --csv and --markdown", "--json", "-", "--csv", "-")
        self.refuse("only one of", "--markdown", "-", "--csv", "-")

    def test_what_only_the_library_refuses(self):
        self.assertIn("unknown family 'warp'", self.bench(3, "--problem", A, "--variant", "warp").stderr)
        self.refuse('--lib: cannot read "/nonexistent.so"', "--lib", "/nonexistent.so")
        garbage = self.file("garbage.so")
        with open(garbage, "wb") as file:
            file.write(b"no library")
        self.assertIn(garbage, self.bench(3, "--problem", A, "--lib", garbage).stderr)
        # A file here, not what the loader finds under this name: that would be this library itself.
        name = "libflashl4.so.0"
        self.refuse(f'--lib: cannot read "./{name}"', "--lib", name, cwd=self.folder)
        shutil.copy(garbage, self.file(name))
        self.assertIn("cannot be opened", self.bench(3, "--problem", A, "--lib", name, cwd=self.folder).stderr)

    def test_device(self):
        self.assertIn("toaster", self.expect(3, "bench", "--device", "toaster").stderr)
        self.expect(4, "bench", "--device", "cuda:4000")


class Rows(Bench):
    def test_table(self):
        got = self.bench(0, "--problem", A, "--problem", B)
        lines = got.stdout.splitlines()
        self.assertRegex(lines[0], r"^host: .*; warm caches, seed 0$")
        self.assertRegex(lines[1], r"^problem +inputs +contender +p50 µs +± +p90 µs +GFLOP/s +GB/s +stop$")
        for line, (problem, inputs) in zip(lines[2:], ((A, "normal"), (A, "sink"), (B, "normal"), (B, "sink"))):
            self.assertRegex(line, rf"^{problem} +{inputs} +default +[\d.]+ +[\d.]+ % +[\d.]+ +[\d.]+ +[\d.]+ +"
                                   r"(precise|samples|time)$")
        self.assertEqual(lines[-1], "4 timed")
        self.assertEqual(got.stderr, "")  # no progress where there is no terminal

    def test_too_few_samples(self):
        out = self.bench(0, "--problem", A, "--inputs", "normal", "--samples", "5").stdout
        self.assertRegex(out, rf"\n{A} +normal +default( +-){{5}} +samples\n-: too few samples to say; ")
        row = self.json("--problem", A, "--inputs", "normal", "--samples", "10")["results"][0]
        self.assertIsNotNone(row["statistics"]["p50_low"])
        self.assertIsNone(row["statistics"]["p90"])  # needs 36
        got = self.bench(0, "--problem", A, "--inputs", "normal", "--samples", "10", "--csv", "-").stdout
        self.assertEqual(next(csv.DictReader(io.StringIO(got)))["p90_us"], "")

    def test_inputs(self):
        def kinds(*args):
            return [r["inputs"] for r in self.json("--problem", A, "--samples", "3", *args)["results"]]

        self.assertEqual(kinds(), ["normal", "sink"])
        self.assertEqual(kinds("--inputs", "growing"), ["growing"])
        self.assertEqual(kinds("--inputs", "mixed,peaked,mixed"), ["mixed", "peaked"])
        self.assertEqual(kinds("--inputs", "all"), ["normal", "peaked", "onehot", "large", "equal", "sink", "growing",
                                                    "shrinking", "mixed"])

    def test_problems(self):
        def lines(*args, **more):
            found = self.json("--inputs", "normal", "--samples", "1", *args, **more)
            return [r["problem"] for r in found["results"]]

        self.assertEqual(lines("--problem", A, "--problem", B, "--problem", A), [A, B])
        self.assertEqual(lines("--shapes", "-", input=f"# two\n{A}\n\n{B}\n"), [A, B])
        self.assertIn("standard input:2", self.bench(3, "--shapes", "-", input=f"{A}\nb2x3\n").stderr)
        yaml = self.file("a.yaml")
        with open(yaml, "w") as file:
            file.write("problems:\n  - {hq: 2, sq: [9, 17], d: 8, note: small}\n")
        self.assertEqual(lines("--shapes", yaml), ["hq2sq9d8", A])
        found = self.json("--inputs", "normal", "--samples", "1", "--shapes", yaml)
        self.assertEqual([r["note"] for r in found["results"]], ["small", "small"])

    def test_default_problems(self):
        found = self.json("--inputs", "normal", "--samples", "1", "--copies", "1")
        self.assertIn("hq12sq197d64", [r["problem"] for r in found["results"]])  # demo-host

    def test_quiet(self):
        self.assertEqual(self.bench(0, "--problem", A, "--quiet").stdout, "2 timed\n")

    def test_options_arrive(self):
        found = self.json("--problem", A, "--mode", "eager", "--cold", "--copies", "2", "--seed", "9", "--precision",
                          "40%", "--seconds", "30", "--samples", "25", "--warmup", "0.02", "--threshold", "2.5",
                          "--inputs", "normal", "--variant", "host:bm=24")
        options, row = found["options"], found["results"][0]
        self.assertEqual(options, {"mode": "eager", "cold": True, "inputs": ["normal"], "copies": 2, "seed": 9,
                                   "precision": 0.4, "max_seconds": 30, "warmup_seconds": 0.02, "min_samples": 25,
                                   "max_samples": 25, "threshold": 0.025, "alpha": 0.05, "resamples": 2000})
        self.assertEqual((row["mode"], row["cold"], row["calls"]), ("eager", True, 1))
        self.assertTrue(row["variant"].startswith("host:bm=24,"))
        self.assertEqual(len(row["samples_us"]), 25)
        row = self.json("--problem", A, "--copies", "2", "--inputs", "normal")["results"][0]
        self.assertEqual((row["cold"], row["copies"]), (False, 2))

    def test_stops(self):
        def stop(*args):
            return self.json("--problem", A, "--inputs", "normal", *args)["results"][0]

        self.assertEqual(stop("--samples", "7", "--precision", "0.000001")["stop"], "samples")
        late = stop("--samples", "1000000", "--seconds", "0.05", "--precision", "0.000001")
        self.assertEqual(late["stop"], "time")
        self.assertGreaterEqual(late["seconds"], 0.05)
        self.assertEqual(stop("--samples", "1000000", "--seconds", "60", "--precision", "50")["stop"], "precise")

    def test_unsupported(self):
        out = self.bench(3, "--problem", A, "--variant", "fwd_mma").stdout
        self.assertRegex(out, rf"{A} +normal +fwd_mma +unsupported .* -\n    not supported on this device: variant fwd")
        self.assertIn("0 timed, 2 unsupported", out)
        # Beside something that is timed it is no error.
        found = self.json("--problem", A, "--inputs", "normal", "--variant", "fwd_mma", "--variant", "host")
        self.assertEqual([r["outcome"] for r in found["results"]], ["unsupported", "timed"])
        self.assertEqual(found["results"][0]["status"], "FL4_UNSUPPORTED")
        self.assertNotIn("samples_us", found["results"][0])


class Contenders(Bench):
    def names(self, *args):
        found = self.json("--problem", A, "--inputs", "normal", "--samples", "8", *args)
        self.assertEqual([r["contender"] for r in found["results"]], [c["name"] for c in found["contenders"]])
        return found

    def test_order_and_base(self):
        found = self.names("--with", "oracle", "--with", "host", "--variant", "host:bm=24", "--variant", "host:bm=48",
                           "--lib", LIBRARY)
        names = [c["name"] for c in found["contenders"]]
        self.assertEqual(names[2:], ["host:bm=24", "host:bm=48", "oracle", "host"])
        for name, variant in zip(names[:2], ("host:bm=24", "host:bm=48")):
            self.assertTrue(name.endswith(os.path.basename(LIBRARY) + " " + variant), name)  # its end is what tells
            self.assertLess(len(name.encode()), 64)
        self.assertIsNone(found["results"][0]["comparison"])
        for row in found["results"][1:]:
            self.assertEqual(row["comparison"]["base"], names[0])
            self.assertTrue(row["comparison"]["paired"])
            self.assertIn(row["comparison"]["verdict"], ("ambiguous", "same", "faster", "slower"))
        self.assertEqual(found["contenders"][0]["library_file"], LIBRARY)
        self.assertRegex(found["contenders"][0]["library_hash"], r"^[0-9a-f]{16}$")
        self.assertEqual(found["contenders"][0]["library_hash"], found["environment"]["library_hash"])
        self.assertIsNone(found["contenders"][2]["library_file"])
        self.assertEqual(found["contenders"][4]["kind"], "oracle")
        self.assertEqual(found["contenders"][5]["device"], "host")

    def test_slower_is_slower(self):
        """The sign: the oracle is far slower, and that is neither an error nor a regression."""
        out = self.bench(0, "--problem", "hq2sq64d32", "--with", "oracle").stdout
        self.assertRegex(out, r"oracle .* \d+\.\d{4} +\d+\.\d{4}…\d+\.\d{4}  slower +\w+\n")
        self.assertIn("; compared with default: 2 slower", out)
        found = self.json("--problem", "hq2sq64d32", "--inputs", "normal", "--with", "oracle")
        comparison = found["results"][1]["comparison"]
        self.assertEqual(comparison["verdict"], "slower")
        self.assertGreater(comparison["low"], 1)

    def test_threshold(self):
        """The library against itself: within 60 percent, whatever the machine does meanwhile."""
        found = self.json("--problem", "hq2sq64d32", "--inputs", "normal", "--lib", LIBRARY, "--threshold", "60%")
        comparison = found["results"][1]["comparison"]
        self.assertEqual((comparison["verdict"], comparison["threshold"]), ("same", 0.6))


class Limits(Bench):
    def test_alone(self):
        got = self.expect(0, "bench", "--device", "host", "--limits")
        self.assertRegex(got.stdout, r"^limits: multiply-adds [\d.]+ GFLOP/s, read [\d.]+ GB/s\n$")
        found = json.loads(self.expect(0, "bench", "--device", "host", "--limits", "--json").stdout)
        self.assertGreater(found["limits"]["mma_tflops"], 0)
        self.assertGreater(found["limits"]["read_gbps"], 0)
        self.assertEqual(found["results"], [])
        self.assertEqual(found["summary"]["exit"], 0)

    def test_with_problems(self):
        name = self.file("a.json")
        out = self.bench(0, "--problem", A, "--inputs", "normal", "--limits", "--json", name).stdout
        self.assertIn("limits: multiply-adds ", out)
        self.assertRegex(out, r"GB/s +of matrix +of read +stop\n")
        found = self.read(name)
        row, limits = found["results"][0], found["limits"]
        self.assertAlmostEqual(row["percent_matrix"], 100 * row["tflops"] / limits["mma_tflops"], delta=1e-3)
        self.assertAlmostEqual(row["percent_read"], 100 * row["gbps"] / limits["read_gbps"], delta=1e-3)
        found = self.json("--problem", A, "--inputs", "normal")
        self.assertIsNone(found["limits"])
        self.assertIsNone(found["results"][0]["percent_matrix"])


def documented():
    """{field: types} of flashl4-bench-1 as docs/bench.md has them."""
    with open(DOCS) as file:
        text = file.read().split("## flashl4-bench-1")[1].split("## flashl4-compare-1")[0]
    fields = {}
    for names, types in re.findall(r"^\| ((?:`[^`]+`(?:, )?)+) \| ([a-z, ]+) \|", text, re.M):
        for name in re.findall(r"`([^`]+)`", names):
            fields[name] = set(types.split(", "))
    return fields


def type_of(value):
    if value is None:
        return "null"
    return {str: "text", bool: "flag", int: "whole", float: "number", dict: "object"}[type(value)]


def flatten(value, at=""):
    """(field, type) of everything in a document, fields written as in the docs."""
    if isinstance(value, list):
        for item in value:
            yield from flatten(item, at + "[]")
        return
    yield at, type_of(value)
    if isinstance(value, dict):
        for key, inner in value.items():
            if at == "environment.variables" or at == "results[].health":
                key = "*" if at == "environment.variables" else key
            yield from flatten(inner, f"{at}.{key}" if at else key)


class Schema(Bench):
    """docs/bench.md and the file say the same, in both directions."""

    def test_fields(self):
        fields = documented()
        self.assertGreater(len(fields), 90)
        found = self.json("--problem", A, "--with", "oracle", "--limits", "--variant", "host:bm=24")
        seen = set()
        for field, kind in flatten(found):
            health = re.sub(r"health\.(before|after)\.", "health.*.", field)
            name = field if field in fields else health
            if name not in fields:  # what is only there to hold others
                self.assertEqual(kind, "object", f"{field} is not documented")
                continue
            seen.add(name)
            allowed = fields[name] | ({"whole"} if "number" in fields[name] else set())
            self.assertIn(kind, allowed, field)
        missing = {f for f in fields if not f.startswith("gate.")} - seen - {"environment.cpu_governor"}
        self.assertEqual(missing, set(), "documented, but not written")

    def test_values(self):
        found = self.json("--problem", B, "--seed", "3")
        self.assertEqual(found["schema"], "flashl4-bench-1")
        self.assertRegex(found["environment"]["time"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")
        self.assertEqual(found["environment"]["command"][1:2], ["bench"])
        self.assertTrue(os.path.samefile(found["environment"]["library_file"], LIBRARY))
        self.assertEqual(found["environment"]["driver"], "unknown")
        self.assertEqual(found["environment"]["variables"]["OMP_NUM_THREADS"], "1")
        for row in found["results"]:
            samples, statistics = row["samples_us"], row["statistics"]
            self.assertEqual(len(samples), statistics["n"])
            self.assertAlmostEqual(min(samples), statistics["min"], places=6)
            self.assertAlmostEqual(max(samples), statistics["max"], places=6)
            self.assertAlmostEqual(sum(samples) / len(samples), statistics["mean"], delta=1e-6 * statistics["mean"])
            self.assertLessEqual(statistics["p50_low"], statistics["p50"])
            self.assertLessEqual(statistics["p50"], statistics["p50_high"])
            self.assertAlmostEqual(row["tflops"], row["flops"] / statistics["p50"] / 1e6, delta=1e-6 * row["tflops"])
            self.assertAlmostEqual(row["gbps"], row["bytes"] / statistics["p50"] / 1e3, delta=1e-6 * row["gbps"])
            self.assertLessEqual(row["max_error"], row["max_allowed"])
            self.assertIsNone(row["health"]["before"]["power_w"])
            self.assertEqual(row["health"]["after"]["throttle"], "unknown")
        self.assertEqual(found["summary"], {"timed": 2, "wrong": 0, "unsupported": 0, "error": 0, "not_run": 0,
                                            "exit": 0})


class Writers(Bench):
    def test_csv(self):
        awkward = self.file('a,"b"|c.so')
        os.symlink(LIBRARY, awkward)
        table, data = self.file("a.csv"), self.file("a.json")
        self.bench(0, "--problem", A, "--problem", B, "--lib", awkward, "--csv", table, "--json", data)
        with open(table, newline="") as file:
            lines = list(csv.reader(file))
        rows = [dict(zip(lines[0], line)) for line in lines[1:]]
        results = self.read(data)["results"]
        self.assertEqual({len(line) for line in lines}, {len(set(lines[0]))})
        self.assertEqual(len(rows), len(results))
        for row, result in zip(rows, results):
            for key in ("problem", "inputs", "contender", "outcome", "variant", "mode", "stop", "oracle"):
                self.assertEqual(row[key], result[key])
            self.assertEqual(int(row["n"]), len(result["samples_us"]))
            self.assertAlmostEqual(float(row["p50_us"]), result["statistics"]["p50"], delta=1e-6)
            self.assertAlmostEqual(float(row["tflops"]), result["tflops"], delta=1e-9)
            self.assertEqual(row["percent_matrix"], "")
            comparison = result["comparison"]
            self.assertEqual(row["verdict"], comparison["verdict"] if comparison else "")
        self.assertTrue(rows[0]["contender"].endswith('a,"b"|c.so'))
        self.assertEqual(rows[0]["library_file"], awkward)

    def test_markdown(self):
        awkward = self.file("a|b.so")
        os.symlink(LIBRARY, awkward)
        name = self.file("a.md")
        self.bench(0, "--problem", A, "--lib", awkward, "--variant", "host", "--variant", "fwd_mma", "--markdown", name)
        with open(name) as file:
            lines = file.read().splitlines()
        self.assertRegex(lines[0], r"\(host, \w+\); flashl4 [\d.]+; \d{4}-\d\d-\d\d \d\d:\d\d UTC\.$")
        self.assertTrue(lines[2].startswith("    ") and " bench " in lines[2])
        table = [line for line in lines if line.startswith("|")]
        self.assertEqual(len(table), 2 + 2 * 4)
        self.assertEqual({len(re.split(r"(?<!\\)\|", line)) for line in table}, {14})
        self.assertRegex(table[1], r"^\|( -+:? \|)+$")
        self.assertIn("a\\|b.so", table[2])
        self.assertTrue(any(line.startswith(f"- {A}, normal, fwd_mma: not supported") for line in lines))

    def test_standard_output(self):
        self.assertTrue(self.bench(0, "--problem", A, "--csv", "-").stdout.startswith('"problem","inputs"'))
        self.assertIn("\n| problem | inputs |", self.bench(0, "--problem", A, "--markdown", "-").stdout)
        self.assertEqual(len(json.loads(self.bench(0, "--problem", A, "--json").stdout)["results"]), 2)


@unittest.skipUnless(OTHERS, "without Check there are no other builds")
class Wrong(Bench):
    def wrong(self, build, *args):
        env = {"LD_PRELOAD": os.path.join(OTHERS, f"libfl4_{build}.so")}
        return self.bench(1, "--problem", A, "--inputs", "normal", *args, env=env)

    def test_wrong(self):
        for build in ("wrong", "late_wrong"):  # before timing, and after it
            out = self.wrong(build).stdout
            self.assertRegex(out, rf"{A} +normal +default +WRONG( +-)+\n    wrong output: ")
            self.assertIn("0 timed, 1 wrong", out)
            found = json.loads(self.wrong(build, "--json").stdout)
            self.assertEqual(found["results"][0]["outcome"], "wrong")
            self.assertNotIn("samples_us", found["results"][0])  # what is wrong has no time
            self.assertEqual(found["summary"]["exit"], 1)
            row = next(csv.DictReader(io.StringIO(self.wrong(build, "--csv", "-").stdout)))
            self.assertEqual((row["outcome"], row["n"], row["p50_us"], row["tflops"]), ("wrong", "0", "", ""))
        self.assertIn("WRONG", self.wrong("wrong", "--quiet").stdout)

    def test_a_wrong_contender_spoils_no_other(self):
        file = os.path.join(OTHERS, "libfl4_wrong.so")
        found = self.json("--problem", A, "--inputs", "normal", "--lib", file, code=1)
        self.assertEqual([r["outcome"] for r in found["results"]], ["wrong", "timed"])
        self.assertIsNone(found["results"][1]["comparison"])  # there is no base


class Terminal(Bench):
    LONG = ["bench", "--device", "host", "--seconds", "4", "--precision", "0.000001", "--samples", "1000000",
            "--warmup", "0.01", "--copies", "1", "--inputs", "normal"]

    def test_progress(self):
        def stderr(*more):
            ours, theirs = pty.openpty()
            done = subprocess.run([self.fl4, "bench", *QUICK, "--problem", A, "--problem", B, *more], stderr=theirs,
                                  stdout=subprocess.PIPE, env=environment(), text=True, timeout=120)
            os.close(theirs)
            text = b""
            try:
                while chunk := os.read(ours, 65536):
                    text += chunk
            except OSError:  # how a terminal says that it is over
                pass
            os.close(ours)
            self.assertEqual(done.returncode, 0)
            return text.decode(), done.stdout

        err, out = stderr()
        self.assertRegex(err, rf"\r\x1b\[K1/4 {A} normal: [a-z ]+")
        self.assertRegex(err, rf"4/4 {B} sink: ")
        self.assertTrue(err.endswith("\r\x1b[K"))  # it leaves no trace
        self.assertNotIn("\r", out)
        self.assertEqual(stderr("--quiet")[0], "")

    def test_interrupt(self):
        name = self.file("a.json")
        args = [*self.LONG, "--problem", A, "--problem", B, "--problem", "hq2sq33d8", "--json", name]
        run = subprocess.Popen([self.fl4, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(),
                               text=True)
        lines = [run.stdout.readline() for _ in range(3)]  # until the first row is there
        time.sleep(0.3)
        started = time.monotonic()
        run.send_signal(signal.SIGINT)
        out, err = run.communicate(timeout=60)
        self.assertLess(time.monotonic() - started, 2.5)  # not at the end of the problem
        self.assertEqual(run.returncode, 3, out + err)
        self.assertTrue(lines[2].startswith(A))
        self.assertIn("interrupted; 1 of 3 done", err)
        self.assertIn("1 timed, 2 not run", out)
        found = self.read(name)
        self.assertEqual([r["problem"] for r in found["results"]], [A])
        self.assertEqual((found["summary"]["not_run"], found["summary"]["exit"]), (2, 3))


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The fl4 command: exit codes, tables, JSON, and what it says about bad usage.

test_cli.py FL4 FL4_WRONG    the command, and the command with wrong_check.c linked in
"""
import json
import os
import subprocess
import sys
import tempfile
import unittest

FL4, FL4_WRONG = sys.argv[1], sys.argv[2]
SMALL = "hq2sq17d8"


def fl4(*args, command=None, env=None, **more):
    clean = {k: v for k, v in os.environ.items() if not k.startswith("FLASHL4_")}
    clean["FLASHL4_WISDOM"] = "off"
    clean.update(env or {})
    return subprocess.run([command or FL4, *args], env=clean, capture_output=True, text=True, timeout=120, **more)


class Cli(unittest.TestCase):
    def expect(self, code, *args, **more):
        got = fl4(*args, **more)
        self.assertEqual(got.returncode, code, f"{args}: {got.stdout}{got.stderr}")
        return got

    def wrong(self, code, *sizes, extra=()):
        """Runs hq2sq<N>d8 for each N on the command that spoils results."""
        args = [a for n in sizes for a in ("--problem", f"hq2sq{n}d8:lse")]
        return self.expect(code, "check", "--device", "host", *args, *extra, command=FL4_WRONG)


class Usage(Cli):
    def refused(self, words, *args, **more):
        got = self.expect(3, *args, **more)
        self.assertIn(words, got.stderr)
        self.assertEqual(got.stdout, "")

    def test_help(self):
        for args in (["--help"], ["-h"], ["help"]):
            out = self.expect(0, *args).stdout
            self.assertIn("check", out)
            self.assertIn("info", out)
        for args in (["help", "check"], ["check", "--help"], ["check", "-h"]):
            out = self.expect(0, *args).stdout
            for word in ("--problem LINE", "--shapes SET", "--json [FILE]", "shrinking", "Exit: 0"):
                self.assertIn(word, out)
        self.assertNotIn("--problem", self.expect(0, "help", "info").stdout)

    def test_version(self):
        self.assertRegex(self.expect(0, "--version").stdout, r"^fl4 \d+\.\d+\.\d+, libflashl4 \d+\.\d+\.\d+, ABI \d+\n$")

    def test_commands(self):
        self.refused("Usage: fl4 COMMAND")
        self.refused("unknown command 'chekc'", "chekc")
        self.refused("unknown command 'nothing'", "help", "nothing")
        self.refused("unknown command '--device'", "--device", "host", "check")

    def test_options(self):
        self.refused("unknown or misused option '--nothing'", "check", "--nothing")
        self.refused("unknown or misused option '--problem'", "info", "--problem", SMALL)
        self.refused("a value is missing behind '--seed'", "check", "--seed")
        self.refused("unexpected 'smoke'", "check", "smoke")
        self.refused("unexpected 'x'", "info", "--json", "-", "x")
        for seed in ("", "x", "1x", "-1", "1.5", "9223372036854775808"):
            self.refused("--seed: is", "check", "--device", "host", "--seed", seed)

    def test_input(self):
        def check(words, *args):
            self.refused(words, "check", "--device", "host", *args)

        check("unknown size 'x' at column 3", "--problem", "b2x3")
        check("fl4_problem.D: is 7", "--problem", SMALL, "--problem", "hq1sq1d7")
        check("unknown set \"smok\"; sets are canonical l4", "--shapes", "smok")
        check('--oracle: is "me", must be auto, fp64 or cublas', "--oracle", "me")
        check("unknown kind \"odd\"; kinds are all normal peaked", "--inputs", "odd")
        check("unknown family 'warp'", "--variant", "warp")
        check("--json: cannot write", "--problem", SMALL, "--json", "/nonexistent/folder/x.json")
        self.refused("--json: cannot write", "info", "--json", "/nonexistent/folder/x.json")
        for command in ("check", "info"):
            for more in ({"args": ["--device", "toaster"]}, {"env": {"FLASHL4_DEVICE": "toaster"}}):
                got = self.expect(3, command, *more.get("args", []), env=more.get("env"))
                self.assertIn("is \"toaster\"", got.stderr)
            self.assertIn("cuda:4000", self.expect(4, command, "--device", "cuda:4000").stderr)

    def test_output_that_cannot_be_written(self):
        with open("/dev/full", "w") as full:
            got = subprocess.run([FL4, "--help"], stdout=full, stderr=subprocess.PIPE, text=True, timeout=60)
        self.assertEqual(got.returncode, 3)
        self.assertIn("cannot write", got.stderr)
        self.expect(3, "check", "--device", "host", "--problem", SMALL, "--json", "/dev/full")


class Info(Cli):
    def test_text(self):
        out = self.expect(0, "info", "--device", "host").stdout
        for word in ("flashl4", "devices", "host", "threads", "cubin cache of host", "off"):
            self.assertIn(word, out)

    def test_json(self):
        with tempfile.TemporaryDirectory() as folder:
            name = os.path.join(folder, "info.json")
            for args in (["--json"], ["--json", "-"], ["--json=-"], ["--json", name], ["--json=" + name]):
                got = self.expect(0, "info", "--device", "host", *args)
                if name in args[-1]:
                    self.assertIn("devices", got.stdout)  # the table is there as well
                    with open(name) as file:
                        info = json.load(file)
                    os.unlink(name)
                else:
                    info = json.loads(got.stdout)
                self.assertEqual(info["schema"], "flashl4-info-1")
                self.assertEqual(info["devices"][-1]["device"], "host")
                self.assertEqual(info["device"]["device"], "host")
                self.assertGreaterEqual(info["device"]["multiprocessors"], 1)
                self.assertEqual(info["cache"]["dir"], "")
                self.assertEqual(info["environment"]["command"][1:], ["info", "--device", "host", *args])

    def test_environment_is_recorded(self):
        got = self.expect(0, "info", "--json", env={"FLASHL4_DEVICE": "host", "FLASHL4_LOG": "1"})
        found = json.loads(got.stdout)["environment"]["variables"]
        self.assertEqual(found["FLASHL4_DEVICE"], "host")
        self.assertEqual(found["FLASHL4_LOG"], "1")


class Check(Cli):
    def test_table(self):
        got = self.expect(0, "check", "--device", "host", "--problem", SMALL, "--problem", "hq2sq9d16:bf16:lse")
        lines = got.stdout.splitlines()
        self.assertEqual(len(lines), 5, got.stdout)
        self.assertTrue(lines[0].startswith("host: "))
        self.assertTrue(lines[1].startswith("problem "))
        self.assertRegex(lines[2], rf"^{SMALL} .*normal +passed .* host:")
        self.assertRegex(lines[3], r"^hq2sq9d16:bf16:lse +normal +passed .* host:")
        self.assertEqual(lines[4], "2 passed, 0 failed")
        self.assertEqual(got.stderr, "")  # no progress where there is no terminal

    def test_default_is_smoke(self):
        got = self.expect(0, "check", "--device", "host", "--json")
        result = json.loads(got.stdout)
        self.assertGreaterEqual(result["summary"]["passed"], 20)
        self.assertEqual(result["summary"]["failed"], 0)
        self.assertEqual(result["summary"]["unsupported"], 0)

    def test_shapes_and_problems(self):
        def lines(*args):
            got = self.expect(0, "check", "--device", "host", "--json", "-", *args)
            return [row["problem"] for row in json.loads(got.stdout)["results"]]

        self.assertEqual(lines("--problem", SMALL), [SMALL])
        both = lines("--shapes", "smoke", "--problem", SMALL)
        self.assertGreater(len(both), 20)
        self.assertEqual(both[-1], SMALL)
        self.assertIn("hq12sq197d64", lines("--shapes", "demo"))  # the small one on the host

    def test_inputs(self):
        got = self.expect(0, "check", "--device", "host", "--problem", SMALL, "--inputs", "all", "--json")
        rows = json.loads(got.stdout)["results"]
        self.assertEqual([r["inputs"] for r in rows],
                         ["normal", "peaked", "onehot", "large", "equal", "sink", "growing", "shrinking",
                          "mixed"])
        got = self.expect(0, "check", "--device", "host", "--problem", SMALL, "--inputs", "sink", "--json")
        self.assertEqual([r["inputs"] for r in json.loads(got.stdout)["results"]], ["sink"])

    def test_seed(self):
        def result(seed):
            got = self.expect(0, "check", "--device", "host", "--problem", SMALL, "--seed", seed, "--json")
            found = json.loads(got.stdout)
            self.assertEqual(found["seed"], int(seed))
            return [(r["max_error"], r["correlation"]) for r in found["results"]]

        self.assertEqual(result("7"), result("7"))
        self.assertNotEqual(result("7"), result("8"))
        result("9223372036854775807")

    def test_time(self):
        got = self.expect(0, "check", "--device", "host", "--problem", "hq2sq128d64", "--time")
        self.assertIn("µs", got.stdout)
        self.assertIn("GFLOP/s", got.stdout)
        got = self.expect(0, "check", "--device", "host", "--problem", "hq2sq128d64", "--time", "--json")
        row = json.loads(got.stdout)["results"][0]
        self.assertGreater(row["time_us"], 0)
        self.assertEqual(row["flops"], 4 * 64 * 2 * 128 * 128)

    def test_variant(self):
        got = self.expect(0, "check", "--device", "host", "--problem", SMALL, "--variant", "host:bm=24", "--json")
        self.assertTrue(json.loads(got.stdout)["results"][0]["variant"].startswith("host:bm=24"))
        # Nothing could be checked: that is not a good run.
        got = self.expect(3, "check", "--device", "host", "--problem", SMALL, "--variant", "fwd_mma")
        self.assertIn("unsupported", got.stdout)
        self.assertIn("variant fwd_mma: is for the GPU", got.stdout)
        self.assertIn("0 passed, 0 failed, 1 unsupported", got.stdout)

    def test_json_has_everything(self):
        got = self.expect(0, "check", "--device", "host", "--problem", "hq2sq9sk0d8:lse", "--problem", SMALL, "--json")
        found = json.loads(got.stdout)
        self.assertEqual(found["schema"], "flashl4-check-1")
        self.assertEqual(found["device"]["device"], "host")
        self.assertEqual(found["environment"]["command"][1], "check")
        for row in found["results"]:
            self.assertEqual((row["status"], row["verdict"]), ("FL4_OK", "passed"))
            for key in ("max_error", "max_allowed", "max_low", "mean_error", "mean_allowed", "correlation", "scale",
                        "worst", "oracle", "rows_checked", "finite", "canaries", "deterministic", "accurate",
                        "variant", "build_ms"):
                self.assertIn(key, row)
        self.assertIn("lse_error", found["results"][0])
        self.assertNotIn("lse_error", found["results"][1])
        self.assertNotIn("time_us", found["results"][1])
        self.assertEqual(found["summary"], {"passed": 2, "failed": 0, "unsupported": 0, "errors": 0, "not_run": 0,
                                            "exit": 0})

    def test_quiet(self):
        got = self.expect(0, "check", "--device", "host", "--problem", SMALL, "--quiet")
        self.assertEqual(got.stdout, "1 passed, 0 failed\n")


class Wrong(Cli):
    """What is wrong must turn the run red, and say why."""

    def test_good_is_good(self):
        self.assertIn("2 passed, 0 failed", self.wrong(0, 9, 10).stdout)

    def test_mismatch(self):
        out = self.wrong(1, 9, 101, 10).stdout
        self.assertRegex(out, r"hq2sq101d8:lse +normal +FAILED +5.00e-01")
        self.assertIn("    worst element b,h,i,d = 0,1,17,3: 1.5, should be 1\n", out)
        self.assertIn("    max error 5.000e-01, allowed ", out)
        self.assertIn("2 passed, 1 failed", out)

    def test_each_reason(self):
        for sq, words in ((102, "    NaN or infinity"), (103, "    canaries: "), (104, "    a second run"),
                          (105, "    LSE error 3.000e+00, allowed ")):
            self.assertIn(words, self.wrong(1, sq).stdout)

    def test_quiet_still_shows_failures(self):
        out = self.wrong(1, 9, 101, 10, extra=["--quiet"]).stdout
        self.assertNotIn("sq9d8", out)
        self.assertIn("FAILED", out)
        self.assertIn("worst element", out)

    def test_json_of_failures(self):
        found = json.loads(self.wrong(1, 101, 102, 9, 111, extra=["--json"]).stdout)
        self.assertEqual([r["verdict"] for r in found["results"]], ["failed", "failed", "passed", "unsupported"])
        self.assertIsNone(found["results"][1]["max_error"])  # JSON knows no NaN
        self.assertIsNone(found["results"][1]["worst"]["out"])
        self.assertEqual(found["results"][3]["status"], "FL4_UNSUPPORTED")
        self.assertEqual(found["summary"], {"passed": 1, "failed": 2, "unsupported": 1, "errors": 0, "not_run": 0,
                                            "exit": 1})

    def test_unsupported_goes_on(self):
        out = self.wrong(0, 111, 9).stdout
        self.assertIn("    not supported on this device: ", out)
        self.assertIn("1 passed, 0 failed, 1 unsupported", out)
        self.wrong(3, 111)

    def test_errors(self):
        self.assertIn("1 passed, 0 failed, 1 errors", self.wrong(4, 113, 9).stdout)  # the next may fit again
        out = self.wrong(4, 9, 112, 10).stdout  # a broken device stays broken
        self.assertIn("1 passed, 0 failed, 1 errors, 1 not run", out)
        self.assertIn("    the device reported an error: ", out)
        self.assertIn("1 passed, 0 failed, 1 errors", self.wrong(1, 114, 9).stdout)
        self.wrong(4, 101, 113)  # the device's failure outweighs the mismatch


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)

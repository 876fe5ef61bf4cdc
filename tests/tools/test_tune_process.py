#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""fl4 tune as a process: crashes and hangs that it survives, Ctrl-C, kill, what it shows on a terminal.

test_tune_process.py FL4 MORTAL    the command, and one whose tunings die (mortal_tune.c)
"""
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import time
import unittest

from command import Command, environment
from tune_command import A, B, Tune

Command.fl4, MORTAL = map(os.path.abspath, sys.argv[1:])
LONG = "hq8sq384d64"  # one variant takes a good part of a second


def end(run):
    run.kill()
    run.communicate()


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return [int(child) for child in file.read().split()]


def gone(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] in "ZX"
    except FileNotFoundError:
        return True


def wait_until(true, seconds):
    """Whether it came true in time."""
    for _ in range(20 * seconds):
        if true():
            return True
        time.sleep(0.05)
    return False


class Process(Tune):
    def begin(self, *command, **settings):
        """A tuning that goes on while the test does."""
        run = subprocess.Popen(command, env=environment(**self.settings(**settings)), stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True)
        self.addCleanup(end, run)
        return run

    def kill_supervisor(self, run):
        """The child goes with it; one that stayed would hold on to the pipes."""
        child, = children(run.pid)
        run.kill()
        run.wait()
        went = wait_until(lambda: gone(child), 5)
        if not went:
            os.kill(child, signal.SIGKILL)
        self.assertTrue(went, "the child still runs")


class Mortal(Process):
    """A command whose tunings die, see mortal_tune.c."""

    def mortal(self, code, how, *args, at=2, times=1, env=None, **more):
        self.write("left", "x" * times)
        env = self.settings(MORTAL=how, MORTAL_AT=str(at), MORTAL_LEFT=self.file("left"), **(env or {}))
        got = subprocess.run([MORTAL, "tune", "--device", "host", *args], env=environment(**env), capture_output=True,
                             text=True, timeout=240, **more)
        self.assertEqual(got.returncode, code, f"{args}: {got.stdout}{got.stderr}")
        self.assertEqual(os.listdir(self.file("tmp")), [], "a temporary file was left")
        return got


class Isolation(Mortal):
    def test_crash(self):
        name = self.file("a.json")
        got = self.mortal(0, "crash", "--shapes", "-", "--evals", "6", "--json", name, at=3, times=2,
                          input=f"{A}\n{B}\n")
        self.assertEqual(got.stderr.count("was ended by signal 9, Killed; started again"), 2)
        found = self.read(name)
        self.assertEqual([r["problem"] for r in found["results"]], [A, B])
        self.assertEqual(found["summary"]["restarts"], 2)
        self.assertEqual(found["summary"]["good"], 2)
        for r in found["results"]:
            self.assertEqual(len(r["candidates"]), 6)
            self.assertEqual(len(re.findall(rf"^{r['problem']}$", got.stdout, re.M)), 1)  # shown once
        self.assertEqual(len(re.findall("^host: ", got.stdout, re.M)), 1)

    def test_second_problem(self):
        """What was finished before the crash is neither done nor shown again."""
        name = self.file("a.json")
        got = self.mortal(0, "crash", "--problem", A, "--problem", B, "--evals", "5", "--json", name,
                          env={"MORTAL_SQ": "70"})
        self.assertIn("started again", got.stderr)
        found = self.read(name)
        self.assertEqual([(r["problem"], r["resumed"]) for r in found["results"]], [(A, 0), (B, 2)])
        self.assertEqual(len(re.findall(rf"^{A}$", got.stdout, re.M)), 1)
        self.assertIn(A, self.wisdom())
        self.assertIn(B, self.wisdom())

    def test_device_error(self):
        got = self.mortal(0, "device", "--problem", A, "--evals", "5", "--json", self.file("a.json"))
        self.assertIn("met a device error; started again", got.stderr)
        self.assertEqual(self.read(self.file("a.json"))["summary"]["restarts"], 1)
        got = self.mortal(4, "device", "--problem", A, "--evals", "5", "--in-process")
        self.assertNotIn("started again", got.stderr)

    def test_exit(self):
        got = self.mortal(0, "exit", "--problem", A, "--evals", "4")
        self.assertIn("ended with exit code 99; started again", got.stderr)

    def test_hang(self):
        start = time.monotonic()
        got = self.mortal(0, "hang", "--problem", A, "--evals", "5", "--time-limit", "0.5", "--json",
                          self.file("a.json"))
        self.assertIn("did nothing for 10.5 s and was killed; started again", got.stderr)
        self.assertLess(time.monotonic() - start, 60)
        found = self.read(self.file("a.json"))
        self.assertEqual((found["summary"]["restarts"], len(found["results"][0]["candidates"])), (1, 5))

    def test_ablation(self):
        """One that crashes is not tried again, and the other problems get theirs."""
        args = ["--problem", A, "--problem", B, "--ablate", "--samples", "20", "--json", self.file("a.json")]
        for more in (["--evals", "2"], ["--variant", "host:bm=24"]):
            got = self.mortal(4, "ablate", *args, *more)
            self.assertIn("was ended by signal 9, Killed; started again", got.stderr)
            self.assertIn(f"{A}: --ablate: it did not survive its timing", got.stderr)
            first, second = self.read(self.file("a.json"))["results"]
            self.assertEqual((first["ablation"]["error"], first["ablation"]["changes"]),
                             ("it did not survive its timing", []))
            self.assertEqual(second["ablation"]["error"], "")
            self.assertGreater(len(second["ablation"]["changes"]), 9)

    def test_gives_up(self):
        got = self.mortal(4, "crash", "--problem", A, "--evals", "5", at=0, times=1000)
        self.assertEqual(got.stderr.count("started again"), 20)
        self.assertIn("Killed, after 20 restarts", got.stderr)
        got = self.mortal(4, "early", "--problem", A)
        self.assertIn("was ended by signal 9, Killed before it began", got.stderr)
        self.assertNotIn("started again", got.stderr)
        got = self.mortal(-signal.SIGKILL, "crash", "--problem", A, "--in-process")
        self.assertNotIn("improve", got.stdout)

    def hanging(self):
        """A run that hangs; returns when it does."""
        self.write("left", "x")
        run = self.begin(MORTAL, "tune", "--device", "host", "--problem", A, MORTAL="hang", MORTAL_AT="1",
                         MORTAL_LEFT=self.file("left"))
        self.assertTrue(wait_until(lambda: os.path.getsize(self.file("left")) == 0, 30), "it did not hang")
        return run

    def test_two_interrupts(self):
        run = self.hanging()
        child, = children(run.pid)
        run.send_signal(signal.SIGINT)
        time.sleep(0.5)
        self.assertIsNone(run.poll())
        run.send_signal(signal.SIGINT)
        _, err = run.communicate(timeout=30)
        self.assertEqual(run.returncode, 3)
        self.assertIn("interrupted", err)
        self.assertNotIn("started again", err)
        self.assertTrue(gone(child))
        self.assertEqual(os.listdir(self.file("tmp")), [])

    def test_the_child_goes_with_its_supervisor(self):
        self.kill_supervisor(self.hanging())


class Dressed(Mortal):
    """What only a GPU gives; see dress() in mortal_tune.c."""

    def test_notes(self):
        out = self.mortal(0, "dress", "--problem", A, "--evals", "5", "--markdown", self.file("a.md")).stdout
        rows = [line for line in out.splitlines() if "host:bm=" in line][:3]
        self.assertRegex(rows[0], r"^ 1  host:\S+ +10\.50 \[[\d.]+, [\d.]+\] +168 +24 +96\.5 +\S+ *$")
        self.assertRegex(rows[1], r"^ 2  host:\S+ +11\.50 .*  same code as #1$")
        self.assertRegex(rows[2], r"^ 3  host:\S+ +12\.50 +0 .*  given up after 3 samples, the built-in choice$")
        with open(self.file("a.md")) as file:
            text = file.read()
        for where in (out, text):
            self.assertRegex(where, r"\n2 failed, compile; the first host:\S+: too many registers\n")
            self.assertRegex(where, r"\nimproved: host:\S+ over default 123\.4 µs -> 115\.0 µs, "
                                    r"ratio 0\.932 \[0\.930, 0\.935\]\n")
            self.assertNotIn("no improvement", where)
        self.assertIn("| 11.50 ", text)
        self.assertIn(" | same code as #1 |", text)


class Interrupt(Process):
    def start(self, *args):
        """A run that has tried some."""
        run = self.begin(self.fl4, "tune", "--device", "host", "--budget", "exhaustive", "--log", self.file("log"),
                         *args)
        self.assertTrue(wait_until(lambda: self.tried() >= 2, 60), "it tried nothing")
        return run

    def tried(self):
        if not os.path.exists(self.file("log")):
            return 0
        return sum("configuration" in line for line in self.lines("log"))

    def test_keeps_the_best(self):
        for more in ([], ["--in-process"]):
            with self.subTest(more):
                if os.path.exists(self.file("log")):
                    os.unlink(self.file("log"))
                run = self.start("--problem", LONG, "--problem", A, "--json", self.file("a.json"), *more)
                run.send_signal(signal.SIGINT)
                out, err = run.communicate(timeout=60)
                self.assertEqual(run.returncode, 3, err)
                self.assertIn("interrupted; 0 of 2 done", err)
                self.assertIn("; ended by: cancelled\n", out)
                found = self.read(self.file("a.json"))
                self.assertEqual(found["summary"]["exit"], 3)
                result, = found["results"]
                self.assertEqual((result["problem"], result["status"]), (LONG, "FL4_CANCELLED"))
                self.assertEqual(result["stop"], "cancelled")
                self.assertGreaterEqual(len(result["candidates"]), 2)
                self.assertTrue(result["variant"].startswith("host:"))
        self.assertEqual(os.listdir(self.file("tmp")), [])

    def test_killed_and_resumed(self):
        run = self.start("--problem", LONG)
        self.kill_supervisor(run)
        for name in os.listdir(self.file("tmp")):  # nobody could tidy up
            shutil.rmtree(os.path.join(self.file("tmp"), name))
        before = self.tried()
        found = self.json("--problem", LONG, "--log", self.file("log"), "--evals", str(before + 1))
        self.assertIn(found["results"][0]["resumed"], (before, before + 1))  # what was under way counts as failed


class Terminal(Tune):
    def stderr(self, *args):
        ours, theirs = pty.openpty()
        done = subprocess.run([self.fl4, "tune", "--device", "host", *args], stderr=theirs, stdout=subprocess.PIPE,
                              env=environment(**self.settings()), text=True, timeout=240)
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

    def test_progress(self):
        err, out = self.stderr("--problem", A, "--problem", B, "--evals", "4")
        self.assertRegex(err, rf"\r\x1b\[K1/2 {A}: searching 1/4")
        self.assertRegex(err, rf"\r\x1b\[K2/2 {B}: searching 4/4, best [\d.]+ µs \([\d.]+x\) host:bm=")
        self.assertTrue(err.endswith("\r\x1b[K"))  # it leaves no trace
        self.assertNotIn("\r", out)
        self.assertEqual(self.stderr("--problem", A, "--evals", "2", "--quiet")[0], "")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)

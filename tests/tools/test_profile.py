#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""fl4 profile on an ncu that only pretends: what it makes of the numbers, and of all that goes wrong.

test_profile.py FL4
"""
import csv
import io
import itertools
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import unittest

FL4 = sys.argv[1]
PREFILL = "hq16sq4096d128"  # much to compute for each byte
DECODE = "b8hq32hkv8sq1sk8192d128"  # little

# Says and does what the files in $FAKE_NCU tell, and leaves what fl4 check would have left behind.
FAKE = """#!/bin/sh
cd "$FAKE_NCU" || exit 99
for argument in "$0" "$@"; do printf '%s\\n' "$argument"; done >argv
echo "$LC_ALL" >locale
for argument; do
  [ "$before" != --json ] || [ ! -f result ] || cat result >"$argument"
  before=$argument
done
cat out
cat err >&2
if [ -f hang ]; then
  sleep 300 &
  echo $! >pid
  [ "$(cat hang)" = child ] || wait  # else ncu ends; what it started does not, and holds the pipes
fi
exit "$(cat code)"
"""

STALL = "smsp__average_warps_issue_stalled_%s_per_issue_active.ratio"
GOOD = {
    "derived__memory_l1_wavefronts_shared_excessive": ("", "0"),
    "gpu__dram_throughput.avg.pct_of_peak_sustained_elapsed": ("%", "5.13"),
    "gpu__time_duration.sum": ("ns", "1,330,272"),
    "l1tex__data_bank_conflicts_pipe_lsu_mem_shared.sum": ("", "242,028"),
    "l1tex__data_pipe_lsu_wavefronts_mem_shared.sum": ("", "183,442,171"),
    "launch__block_size": ("", "128"),
    "launch__grid_size": ("", "2,048"),
    "launch__occupancy_limit_barriers": ("block", "16"),
    "launch__occupancy_limit_blocks": ("block", "32"),
    "launch__occupancy_limit_registers": ("block", "2"),
    "launch__occupancy_limit_shared_mem": ("block", "2"),
    "launch__occupancy_limit_warps": ("block", "16"),
    "launch__registers_per_thread": ("register/thread", "254"),
    "launch__shared_mem_per_block_dynamic": ("byte/block", "81,920"),
    "launch__shared_mem_per_block_static": ("byte/block", "0"),
    "launch__waves_per_multiprocessor": ("", "7.76"),
    "lts__t_sector_hit_rate.pct": ("%", "92.40"),
    "sm__cycles_active.avg.pct_of_peak_sustained_elapsed": ("%", "97.13"),
    "sm__maximum_warps_per_active_cycle_pct": ("%", "12.50"),
    "sm__pipe_tensor_cycles_active.avg.pct_of_peak_sustained_active": ("%", "72.31"),
    "sm__throughput.avg.pct_of_peak_sustained_elapsed": ("%", "71.27"),
    "sm__warps_active.avg.pct_of_peak_sustained_active": ("%", "12.31"),
    STALL % "barrier": ("inst", "0.41"),
    STALL % "gmma": ("", "n/a"),
    STALL % "long_scoreboard": ("inst", "0.32"),
    STALL % "math_pipe_throttle": ("inst", "0.98"),
    STALL % "not_selected": ("inst", "0.33"),
    STALL % "short_scoreboard": ("inst", "0.50"),
    STALL % "wait": ("inst", "2.88"),
    "smsp__average_warp_latency_per_inst_issued.ratio": ("cycle", "6.90"),
    "smsp__inst_executed_op_local_ld.sum": ("inst", "0"),
    "smsp__inst_executed_op_local_st.sum": ("inst", "0"),
}
BEFORE = ("==PROF== Connected to process 4711 (/usr/bin/fl4)\n"
          '==PROF== Profiling "fl4_fwd_mma" - 0: 0%....50%....100% - 12 passes\n'
          "1 passed, 0 failed\n"
          "==PROF== Disconnected from process 4711\n")
FIRST = ["ID", "Process ID", "Process Name", "Host Name", "Kernel Name", "Context", "Stream", "Block Size", "Grid Size",
         "Device", "CC"]


def table(metrics, launches=1):
    """The table as ncu prints it: names, units, a row a launch; all quoted."""
    text = io.StringIO()
    rows = csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n")
    rows.writerow(FIRST + list(metrics))
    rows.writerow([""] * len(FIRST) + [unit for unit, _ in metrics.values()])
    for i in range(launches):
        rows.writerow([i, 4711, "fl4", "127.0.0.1", "fl4_fwd_mma" if i == 0 else "another", 1, 7, "(128, 1, 1)",
                       "(32, 16, 4)", 0, "9.0"] + [value for _, value in metrics.values()])
    return text.getvalue()


def checked(**more):
    row = {"problem": PREFILL, "status": "FL4_OK", "verdict": "passed", "variant": "fwd_mma:bm=128,bn=64",
           "registers": 254, "spill_bytes": 0, "smem_bytes": 81920}
    row.update(more)
    return json.dumps({"schema": "flashl4-check-1", "results": [row]})


def gpus():
    """Whether this machine has a GPU that the command sees."""
    got = subprocess.run([FL4, "info", "--json"], capture_output=True, text=True, timeout=60)
    return got.returncode == 0 and len(json.loads(got.stdout)["devices"]) > 1


def alive(pid):
    """Whether a process runs; one that ended and that nobody has waited for does not."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


class Profile(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        for name in ("bin", "act", "tmp"):
            os.mkdir(os.path.join(self.folder, name))
        self.ncu = os.path.join(self.folder, "bin", "ncu")
        self.act = os.path.join(self.folder, "act")
        self.temporary = os.path.join(self.folder, "tmp")
        with open(self.ncu, "w") as file:
            file.write(FAKE)
        os.chmod(self.ncu, 0o755)

    def environment(self, **env):
        clean = {k: v for k, v in os.environ.items() if not k.startswith("FLASHL4_")}
        clean.update(FLASHL4_NCU=self.ncu, FAKE_NCU=self.act, TMPDIR=self.temporary)
        clean.update(env)
        return {k: v for k, v in clean.items() if v is not None}

    def pretend(self, out="", err="", code=0, result=checked(), hang=None):
        for name in os.listdir(self.act):
            os.unlink(os.path.join(self.act, name))
        for name, text in (("out", out), ("err", err), ("code", str(code)), ("result", result), ("hang", hang)):
            if text is not None:
                with open(os.path.join(self.act, name), "w", newline="") as file:
                    file.write(text)

    def acted(self, name):
        """What the pretended ncu noted, "" if it was not run or has not got there."""
        try:
            with open(os.path.join(self.act, name)) as file:
                return file.read()
        except FileNotFoundError:
            return ""

    def profile(self, expected, *args, problem=PREFILL, env=None):
        problems = [problem] if problem else []
        got = subprocess.run([FL4, "profile", *problems, *args], env=self.environment(**(env or {})),
                             capture_output=True, text=True, timeout=100)
        self.assertEqual(got.returncode, expected, f"{args}: {got.stdout}{got.stderr}")
        self.assertEqual(os.listdir(self.temporary), [], "a temporary file was left")
        return got

    def measured(self, change=None, drop=(), problem=PREFILL, result=checked()):
        """The lines of a profile with some numbers changed, by name, from the JSON; and the text."""
        metrics = {k: v for k, v in GOOD.items() if k not in drop}
        for name, value in (change or {}).items():
            metrics[name] = (GOOD.get(name, ("", ""))[0], value)
        self.pretend(BEFORE + table(metrics), result=result)
        found = json.loads(self.profile(0, "--json", problem=problem).stdout)
        return {line["name"]: line for line in found["lines"]}, self.profile(0, problem=problem).stdout

    def looks(self, lines):
        return [name for name, line in lines.items() if line["verdict"] == "look here"]

    def unmeasured(self, words, expected=4, **act):
        self.pretend(**act)
        got = self.profile(expected)
        self.assertIn(words, got.stderr)
        self.assertEqual(got.stdout, "")
        return got.stderr


class Numbers(Profile):
    def test_good(self):
        lines, text = self.measured()
        self.assertEqual(self.looks(lines), [])
        self.assertEqual([line["verdict"] for line in lines.values()], ["good"] * 8 + ["no limit"])
        self.assertIn("hq16sq4096d128, inputs normal, seed 0\n", text)
        self.assertIn("fl4_fwd_mma (fwd_mma:bm=128,bn=64), compute capability 9.0\n", text)
        self.assertIn("grid (32, 16, 4), block (128, 1, 1), 254 registers, 81920 B shared memory; 1330.3 µs", text)
        self.assertRegex(text, r"SM busy +71\.3 % +≥ 70 % +good\n")
        self.assertRegex(text, r"tensor pipe +72\.3 % +≥ 50 % +good\n")
        self.assertRegex(text, r"DRAM +5\.1 % +≤ 70 % +good\n")
        self.assertRegex(text, r"bank conflicts +0 +0 +good\n")
        self.assertRegex(text, r"shared-memory replays +0\.1 % +≤ 1 % +good\n")
        self.assertRegex(text, r"spills +0 B, 0 executed +0 +good\n")
        self.assertRegex(text, r"occupancy +12\.3 of 12\.5 % +2 blocks a multiprocessor, limited by registers and "
                               r"shared memory\n")
        self.assertTrue(text.endswith("\nnothing to look at\n"))

    def test_stalls(self):
        _, text = self.measured()
        at = text.index("what warps wait for")
        rows = [row.split("  ") for row in text[at:].splitlines()[1:4]]
        self.assertEqual([row[1] for row in rows], ["wait", "math pipe", "short scoreboard"])
        self.assertRegex(text, r"wait +2\.88 \(42 %\) +the fixed time")
        # The three worst, early, late and between the others in the table, in every order.
        for names in (("barrier", "branch_resolving", "drain"), ("barrier", "drain", "wait"), ("misc", "tex_throttle", "wait")):
            for order in itertools.permutations((3, 4, 5)):
                values = dict(zip(names, order))
                metrics = {**GOOD, STALL % "wait": ("inst", "1"), **{STALL % n: ("inst", str(v)) for n, v in values.items()}}
                self.pretend(table(metrics))
                found = json.loads(self.profile(0, "--json").stdout)["stalls"]
                self.assertEqual([s["cycles"] for s in found], [5, 4, 3])
                names_of = [s["name"].split()[0] for s in found]
                self.assertEqual([n[:3] for n in names_of], [n[:3] for n in sorted(values, key=values.get, reverse=True)])

    def test_command_of_ncu(self):
        self.pretend(BEFORE + table(GOOD))
        self.profile(0, "--variant", "fwd_mma:bm=64", "--inputs", "sink", "--seed", "5", "--device", "cuda:1")
        argv = self.acted("argv").splitlines()
        own = argv.index(os.path.realpath(FL4))
        self.assertEqual(argv[own + 1:own + 13], ["check", "--device", "cuda:1", "--problem", PREFILL, "--inputs", "sink",
                                                  "--seed", "5", "--oracle", "fp64", "--quiet"])
        self.assertEqual(argv[-2:], ["--variant", "fwd_mma:bm=64"])
        options = argv[:own]
        for pair in (["--page", "raw"], ["--clock-control", "none"], ["--kernel-name", "regex:^fl4_"],
                     ["--launch-skip", "1"], ["--launch-count", "1"], ["--target-processes", "all"],
                     ["--section", "SourceCounters"]):
            self.assertEqual(options[options.index(pair[0]) + 1], pair[1])
        self.assertIn("--csv", options)
        asked = options[options.index("--metrics") + 1].split(",")
        self.assertEqual(len(asked), len(set(asked)), "a metric is asked for twice")
        # ncu 2025.3 refuses the whole list for a name that only a section has.
        self.assertEqual(set(GOOD) - set(asked), {"derived__memory_l1_wavefronts_shared_excessive"})
        self.assertEqual(self.acted("locale"), "C\n")
        self.profile(0, "--problem", DECODE, problem=None, env={"FLASHL4_DEVICE": "cuda:2"})
        self.assertIn(f"\n--device\ncuda:2\n--problem\n{DECODE}\n", self.acted("argv"))

    def test_json(self):
        self.pretend(BEFORE + table(GOOD))
        name = os.path.join(self.folder, "profile.json")
        got = self.profile(0, "--json=" + name, "--seed", "3")
        self.assertIn("SM busy", got.stdout)
        with open(name) as file:
            found = json.load(file)
        self.assertEqual(found["schema"], "flashl4-profile-1")
        self.assertEqual((found["problem"], found["seed"], found["exit"]), (PREFILL, 3, 0))
        self.assertEqual(found["variant"], "fwd_mma:bm=128,bn=64")
        self.assertAlmostEqual(found["duration_us"], 1330.272)
        self.assertFalse(found["memory_bound"])
        self.assertEqual(found["metrics"]["launch__grid_size"], {"text": "2,048", "value": 2048, "unit": ""})
        self.assertEqual(found["metrics"]["Kernel Name"]["text"], "fl4_fwd_mma")
        self.assertEqual(set(GOOD) - set(found["metrics"]), set())
        # What could not be measured says so there too.
        self.pretend(code=9)
        self.profile(4, "--json=" + name)
        with open(name) as file:
            found = json.load(file)
        self.assertEqual((found["exit"], found["lines"]), (4, []))

    def test_each_limit(self):
        names = {"SM busy": "sm__throughput.avg.pct_of_peak_sustained_elapsed",
                 "SMs active": "sm__cycles_active.avg.pct_of_peak_sustained_elapsed",
                 "tensor pipe": "sm__pipe_tensor_cycles_active.avg.pct_of_peak_sustained_active",
                 "DRAM": "gpu__dram_throughput.avg.pct_of_peak_sustained_elapsed",
                 "L2 hits": "lts__t_sector_hit_rate.pct"}
        for name, good, bad in (("SM busy", "70.00", "69.99"), ("SMs active", "90", "89.9"),
                                ("tensor pipe", "50", "49.9"), ("DRAM", "70", "70.1"), ("L2 hits", "50", "49.9")):
            self.assertEqual(self.looks(self.measured({names[name]: good})[0]), [])
            lines, text = self.measured({names[name]: bad})
            self.assertEqual(self.looks(lines), [name])
            self.assertRegex(text, rf"{name} .* look here\n    {lines[name]['advice'][:20]}")
            self.assertTrue(text.endswith("\n1 of 9 to look at\n"))
        self.assertIn("(7.76 waves of blocks)", self.measured({names["SMs active"]: "50"})[1])

    def test_bank_conflicts(self):
        lines, text = self.measured({"derived__memory_l1_wavefronts_shared_excessive": "1,048,576",
                                     "l1tex__data_bank_conflicts_pipe_lsu_mem_shared.sum": "91,721,085"})
        self.assertEqual(self.looks(lines), ["bank conflicts", "shared-memory replays"])
        self.assertRegex(text, r"bank conflicts +1048576 +0 +look here\n    addresses .* check the swizzle\n")
        self.assertRegex(text, r"shared-memory replays +50\.0 % +≤ 1 % +look here\n")
        # None counted, of none.
        lines, _ = self.measured({"l1tex__data_bank_conflicts_pipe_lsu_mem_shared.sum": "0",
                                  "l1tex__data_pipe_lsu_wavefronts_mem_shared.sum": "0"})
        self.assertEqual(lines["shared-memory replays"]["verdict"], "good")

    def test_spills(self):
        # Known from the compiler, from the counters, from both; each alone is enough to look.
        lines, text = self.measured(result=checked(spill_bytes=16))
        self.assertEqual(self.looks(lines), ["spills"])
        self.assertRegex(text, r"spills +16 B, 0 executed +0 +look here\n    registers go through memory")
        for name in ("smsp__inst_executed_op_local_ld.sum", "smsp__inst_executed_op_local_st.sum"):
            lines, text = self.measured({name: "4,096"})
            self.assertEqual(self.looks(lines), ["spills"])
            self.assertRegex(text, r"spills +0 B, 4096 executed")
        lines, text = self.measured({"smsp__inst_executed_op_local_ld.sum": "n/a"})
        self.assertRegex(text, r"spills +0 B +0 +good")
        lines, text = self.measured(result=None)
        self.assertRegex(text, r"spills +0 executed +0 +good")
        self.assertIn("fl4_fwd_mma (variant not known)", text)
        lines, text = self.measured({"smsp__inst_executed_op_local_ld.sum": "n/a"}, result="{")
        self.assertRegex(text, r"spills +n/a +0 +n/a")

    def test_unknown_metrics(self):
        name = "sm__pipe_tensor_cycles_active.avg.pct_of_peak_sustained_active"
        for missing in ("n/a", "(!) n/a", "nan", "", "inf", "1,23", "12,3456", "0x10", "7 %", ",5", "1e999", "9" * 70):
            lines, text = self.measured({name: missing})
            self.assertEqual((lines["tensor pipe"]["value"], lines["tensor pipe"]["verdict"]), (None, "n/a"), missing)
            self.assertRegex(text, r"tensor pipe +n/a +≥ 50 % +n/a\n")
            self.assertTrue(text.endswith("\nnothing to look at, 1 not measured\n"))
        lines, _ = self.measured(drop=[name])  # not even a column
        self.assertEqual(lines["tensor pipe"]["verdict"], "n/a")
        # The name that another GPU has for it.
        other = "sm__inst_executed_pipe_tensor.avg.pct_of_peak_sustained_active"
        lines, _ = self.measured({name: "n/a", other: "61.5"})
        self.assertEqual((lines["tensor pipe"]["metric"], lines["tensor pipe"]["value"]), (other, 61.5))

    def test_little_is_known(self):
        _, text = self.measured(drop=set(GOOD) - {"lts__t_sector_hit_rate.pct"}, result=None)
        self.assertIn("n/a registers\n", text)
        self.assertRegex(text, r"occupancy +n/a +n/a\n")
        self.assertTrue(text.endswith("what warps wait for, cycles an instruction\n  n/a\n\n"
                                      "nothing to look at, 8 not measured\n"), text)

    def test_bound_by_memory(self):
        busy = {"gpu__dram_throughput.avg.pct_of_peak_sustained_elapsed": "91.20",
                "sm__throughput.avg.pct_of_peak_sustained_elapsed": "22.00",
                "sm__pipe_tensor_cycles_active.avg.pct_of_peak_sustained_active": "9.00",
                "lts__t_sector_hit_rate.pct": "3.00"}
        lines, text = self.measured(busy, problem=DECODE)
        self.assertEqual(self.looks(lines), [])
        self.assertRegex(text, r"DRAM +91\.2 % +≥ 70 % +good\n")
        self.assertRegex(text, r"SM busy +22\.0 % +no limit: this problem is bound by memory\n")
        lines, text = self.measured({**busy, "gpu__dram_throughput.avg.pct_of_peak_sustained_elapsed": "31.20"},
                                    problem=DECODE)
        self.assertEqual(self.looks(lines), ["DRAM"])
        self.assertIn("more bytes in flight", text)
        # The same numbers are bad for a problem with much to compute.
        self.assertEqual(self.looks(self.measured(busy)[0]), ["SM busy", "tensor pipe", "DRAM", "L2 hits"])

    def test_units_of_older_releases(self):
        for unit, text, us in (("nsecond", "2,500", 2.5), ("usecond", "2.5", 2.5), ("ms", "2.5", 2500), ("odd", "1", None)):
            self.pretend(table({**GOOD, "gpu__time_duration.sum": (unit, text)}))
            self.assertEqual(json.loads(self.profile(0, "--json").stdout)["duration_us"], us)

    def test_noise_around_the_table(self):
        text = table(GOOD, launches=2)
        rows = text.splitlines(keepends=True)
        noisy = 'an odd " quote\n' + BEFORE + rows[0] + "==PROF== a message\n" + rows[1] + "1 passed\n" + "".join(rows[2:])
        self.pretend(noisy + "the end without a newline")
        found = json.loads(self.profile(0, "--json").stdout)
        self.assertEqual(found["metrics"]["Kernel Name"]["text"], "fl4_fwd_mma")  # the first launch
        self.pretend(text.replace("\n", "\r\n"))
        self.assertEqual(json.loads(self.profile(0, "--json").stdout)["metrics"], found["metrics"])
        self.pretend(table(GOOD).replace("fl4_fwd_mma", 'a ""quoted"", name'))
        self.assertIn('a "quoted", name (', self.profile(0).stdout)


class Refused(Profile):
    def test_permission(self):
        words = ("==PROF== Connected to process 4711 (/usr/bin/fl4)\n"
                 "==ERROR== ERR_NVGPUCTRPERM - The user does not have permission to access NVIDIA GPU Performance "
                 "Counters on the target device 0.\n==ERROR== The application returned an error code (1).\n")
        for act in ({"out": words}, {"err": words}, {"out": words, "code": 1}):
            said = self.unmeasured("may not read the GPU's performance counters", result="", **act)
            self.assertIn("options nvidia NVreg_RestrictProfilingToAdminUsers=0", said)
            self.assertIn("ERR_NVGPUCTRPERM", said)  # its own words too

    def test_other_refusals(self):
        for message, words in (
                ("==ERROR== InterprocessLockFailed", "set TMPDIR to a folder of your own"),
                ("==ERROR== Failed to initialize the profiler: LibraryNotLoaded.", "cannot start its profiler"),
                ("==ERROR== Another tool is concurrently collecting profiling data.", "another profiler is using the GPU")):
            self.assertIn(message, self.unmeasured(words, out=message + "\n", code=9))

    def test_no_kernels(self):
        self.unmeasured("ncu saw no launch of flashl4's kernel",
                        out="==PROF== Disconnected from process 1\n==WARNING== No kernels were profiled.\n"
                            "Available Kernels:\n1. other(float *, int)\n")

    def test_nothing(self):
        self.unmeasured("ncu wrote nothing")
        self.unmeasured("ncu wrote no table of results", out="==PROF== Connected to process 1\n")
        header, units, _ = table(GOOD).splitlines(keepends=True)
        self.unmeasured("ncu wrote no table of results", out=header)
        self.unmeasured("ncu wrote no table of results", out=header + units)
        all_unknown = {name: (unit, "n/a") for name, (unit, _) in GOOD.items()}
        self.unmeasured("ncu measured none of the numbers", out=table(all_unknown), result=None)

    def test_garbage(self):
        self.unmeasured("ncu wrote no table of results", out="\x01\x02{]\n" * 100)
        header, units, row = table(GOOD).splitlines(keepends=True)
        for odd in (header + units + row.replace('"0",', "", 1), header + units + row[:-20] + "\n",
                    header + row + row, header + units + units,
                    header[:-20] + "\n" + units + row, header.rsplit(",", 1)[0] + "\n" + units + row,
                    header + units.rsplit(",", 1)[0] + "\n" + row):
            said = self.unmeasured("the table that ncu wrote cannot be read", out=odd)
            self.assertIn("output of ncu", said)

    def test_exit_code(self):
        said = self.unmeasured("ncu failed with exit code 11", code=11, out="line of output\n", err="line of error\n")
        self.assertIn("line of output\n", said)
        self.assertIn("line of error\n", said)
        self.unmeasured("exit code 1", code=1, out=BEFORE + table(GOOD))  # numbers that come with a failure do not count
        many = "".join(f"line {i}\n" for i in range(100))
        said = self.unmeasured("exit code 2", code=2, err=many)
        self.assertIn("line 99\n", said)
        self.assertIn("line 80\n", said)
        self.assertNotIn("line 79\n", said)

    def test_hang(self):
        self.pretend(out="==PROF== Connected\n", hang="self")
        start = time.monotonic()
        got = self.profile(4, env={"FLASHL4_NCU_SECONDS": "1"})
        self.assertLess(time.monotonic() - start, 30)
        self.assertIn("ncu did not end within 1 s and was stopped; FLASHL4_NCU_SECONDS=N allows more", got.stderr)
        self.assertIn("==PROF== Connected", got.stderr)
        self.assert_gone()

    def test_child_that_stays(self):
        self.pretend(out=BEFORE + table(GOOD), hang="child")
        start = time.monotonic()
        self.profile(0)
        self.assertLess(time.monotonic() - start, 30)
        self.assert_gone()

    def assert_gone(self):
        pid = int(self.acted("pid"))
        for _ in range(100):
            if not alive(pid):
                return
            time.sleep(0.05)
        os.kill(pid, signal.SIGKILL)
        self.fail("what ncu started still runs")

    def test_interrupted(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            self.pretend(hang="self")
            run = subprocess.Popen([FL4, "profile", PREFILL], env=self.environment(), stderr=subprocess.DEVNULL)
            for _ in range(600):
                if self.acted("pid").endswith("\n"):
                    break
                time.sleep(0.05)
            run.send_signal(number)
            self.assertEqual(run.wait(timeout=30), -number)
            self.assert_gone()
            self.assertEqual(os.listdir(self.temporary), [])

    def test_much_output(self):
        self.unmeasured("exit code 3", code=3, out="x" * 2000000, err="y" * 2000000)  # neither pipe blocks
        self.unmeasured("ncu wrote more than it can have to say", out="z" * ((16 << 20) + 1))


class Checked(Profile):
    """The check that runs under ncu has its own reasons to fail."""

    def test_wrong_result(self):
        said = self.unmeasured("the kernel's result is wrong", expected=1, out=BEFORE + table(GOOD),
                               result=checked(verdict="failed"))
        self.assertIn(PREFILL, said)

    def test_unsupported(self):
        self.unmeasured("fl4: profile: hq16sq4096d128: D is 7\n", expected=3, code=3,
                        out="==WARNING== No kernels were profiled.\n",
                        result=checked(verdict="unsupported", error="D is 7"))

    def test_error(self):
        self.unmeasured("fl4 check failed under ncu: out of memory", expected=4, code=4,
                        result=checked(verdict="error", error="out of memory"))

    def test_did_not_start(self):
        ended = "==ERROR== The application returned an error code (%d).\n==WARNING== No kernels were profiled.\n"
        for code in (3, 4):
            said = self.unmeasured("fl4 check failed under ncu\n", expected=code, code=1, out=ended % code,
                                   err="fl4: a reason\n", result="")
            self.assertIn("fl4: a reason\n", said)
        self.unmeasured("no launch", expected=4, code=1, out=ended % 77, result="")
        # It did get to a result, so what it ended with afterwards is no reason of its own.
        self.unmeasured("ncu failed with exit code 1", code=1, out=ended.splitlines(keepends=True)[0] % 3)


class Usage(Profile):
    def refused(self, words, *args, expected=3, **more):
        self.pretend(table(GOOD))
        got = self.profile(expected, *args, **more)
        self.assertIn(words, got.stderr)
        self.assertEqual(got.stdout, "")
        self.assertEqual(self.acted("argv"), "", "ncu was run")

    def test_input(self):
        self.refused("0 problems given, must be one", problem=None)
        self.refused("2 problems given, must be one", "--problem", PREFILL)
        self.refused("unexpected 'x'", "x")
        self.refused("unknown size 'x' at column 3", problem="b2x3")
        self.refused("--inputs: is \"all\", must be one kind", "--inputs", "all")
        self.refused("unknown kind \"odd\"", "--inputs", "odd")
        self.refused("--json: cannot write", "--json=/nonexistent/folder/x.json")
        for seconds in ("0", "-1", "x", "1.5", "86401", "9" * 30):
            self.refused(f"FLASHL4_NCU_SECONDS: is \"{seconds}\"", env={"FLASHL4_NCU_SECONDS": seconds})
        self.refused("cannot make a file like /nonexistent/", expected=4, env={"TMPDIR": "/nonexistent"})

    def test_host(self):
        self.refused("the device is the host; only a GPU can be profiled; for the host use: perf", "--device", "host")
        self.refused("the device is the host", env={"FLASHL4_DEVICE": "host"})
        self.refused("the device is \"toaster\"", "--device", "toaster")

    @unittest.skipIf(gpus(), "there is a GPU here")
    def test_no_gpu(self):
        for nothing in (None, ""):
            self.refused("there is no GPU here; only a GPU can be profiled", env={"FLASHL4_NCU": nothing})
            self.refused("there is no GPU here", "--device", "auto", env={"FLASHL4_NCU": nothing})
            self.refused("there is no GPU here", "--device", "cuda", expected=4, env={"FLASHL4_NCU": nothing})

    def test_missing_ncu(self):
        plain = os.path.join(self.folder, "plain")
        with open(plain, "w") as file:
            file.write("not to be run\n")
        for name in ("/nonexistent/ncu", plain, self.folder, "no-such-ncu"):
            self.refused(f"FLASHL4_NCU names \"{name}\", which is not a program here", expected=4, env={"FLASHL4_NCU": name})
        os.chmod(plain, 0o755)  # a program by its mode only
        self.refused(f"cannot run {plain}: ", expected=4, env={"FLASHL4_NCU": plain})

    def test_on_the_path(self):
        self.pretend(table(GOOD))
        path = "/nonexistent::" + os.path.dirname(self.ncu) + ":" + os.environ["PATH"]
        self.profile(0, env={"FLASHL4_NCU": "ncu", "PATH": path})
        self.assertEqual(self.acted("argv").splitlines()[0], self.ncu)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)

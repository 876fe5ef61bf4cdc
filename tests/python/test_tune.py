# SPDX-License-Identifier: Apache-2.0
"""Tuning, replay and wisdom through the Python package, on the host device with one thread."""
import ctypes
import gzip
import json
import math
import os
import pathlib
import re
import signal
import subprocess
import tempfile
import threading
import unittest

os.environ.update(OMP_NUM_THREADS="1", FLASHL4_WISDOM="off")  # before the library is loaded

import flashl4  # noqa: E402
from flashl4 import _api, _tune  # noqa: E402

LINE = "hq2sq70d16:bf16:causal"
SHORT = {"max_evaluations": 6}
OFF = {"wisdom": False}


class Layout(unittest.TestCase):
    """What test_ctypes.py does not see: structs inside structs, and names."""

    def test_parts(self):
        lines = subprocess.run([os.environ["LAYOUT"]], check=True, capture_output=True, text=True).stdout.splitlines()
        parts = {"parameters": _api.TuneParameter, "reasons": _api.TuneReason}
        mine = [f"part fl4_tune_space_info.{array}.{f[0]} {getattr(part, f[0]).offset} {getattr(part, f[0]).size}"
                for array, part in parts.items() for f in part._fields_]  # fmt: skip
        self.assertEqual([line for line in lines if line.startswith("part ")], mine)

    def test_names(self):
        for function, names in ((_api.lib.fl4_tune_budget_name, _api.TUNE_BUDGETS),
                                (_api.lib.fl4_tune_stop_name, _api.TUNE_STOPS),
                                (_api.lib.fl4_invalidity_name, _api.INVALIDITIES),
                                (_api.lib.fl4_match_name, _api.MATCHES)):  # fmt: skip
            self.assertEqual([function(i) for i in range(len(names) + 1)], [*(n.encode() for n in names), None])

    def test_structs_inside(self):
        report = _api.TuneReport()
        self.assertEqual(report.against.struct_size, ctypes.sizeof(_api.Comparison))


class Case(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.ctx = flashl4.Context("host")
        self.addCleanup(self.ctx.close)


class Tune(Case):
    def check_report(self, r, tried=6):
        self.assertEqual((r.problem, r.failed, len(r.candidates)), (LINE, 0, tried))
        self.assertEqual(sorted(c.evaluation for c in r.candidates), list(range(tried)))
        self.assertEqual(len({c.variant for c in r.candidates}), tried)
        for c in r.candidates:
            self.assertTrue(c.ok and c.error == "" and c.variant.startswith("host:"), c)
            self.assertTrue(c.p50 > 0 and c.samples > 0 and 0 < c.max_error < 0.1, c)
            self.assertIsNone(c.same_as)
        times = [c.p50 for c in r.candidates]
        self.assertEqual(times, sorted(times))
        choice = next(c.variant for c in r.candidates if c.evaluation == 0)
        self.assertEqual(r.improved, r.variant != choice)
        self.assertEqual(r.improved, r.best_us != r.default_us)
        self.assertIn(r.variant, [c.variant for c in r.candidates])

    def test_tune(self):
        seen = []
        r = self.ctx.tune(LINE, progress=seen.append, **SHORT)
        self.check_report(r)
        self.assertEqual((r.stop, r.evaluations, r.resumed), ("evaluations", 6, 0))
        self.assertEqual(r.space, self.ctx.tune_space(LINE).valid)
        self.assertTrue(r.comparison.paired and r.comparison.low <= r.comparison.ratio <= r.comparison.high)
        if r.improved:
            self.assertEqual(r.comparison.verdict, "faster")
        self.assertEqual({p.most for p in seen}, {6})
        self.assertLessEqual({"searching", "final"}, {p.phase for p in seen})
        self.assertIsNone(seen[0].latest)
        self.assertIsNone(seen[0].best)
        last = seen[-1]
        self.assertEqual((last.evaluations, last.latest.evaluation), (6, 5))
        self.assertIn(last.best.variant, [c.variant for c in r.candidates])
        # The context has learnt it.
        (entry,) = self.ctx.wisdom
        self.assertEqual((entry.problem, entry.variant, entry.improved), (LINE, r.variant, r.improved))
        self.assertEqual((entry.budget, entry.evaluations, entry.mode, entry.match), ("measure", 6, "eager", None))
        self.assertAlmostEqual(entry.p50_us, r.best_us, places=4)

    def test_options(self):
        seed = "host:bm=4,bn=64,threads=0"
        r = self.ctx.tune(LINE, "patient", strategy="random", seed=3, family="host", mode="eager", inputs="sink",
                          compile_threads=1, time_limit=5.0, threshold=0.5, seeds=[seed], max_evaluations=3,
                          **OFF)  # fmt: skip
        self.check_report(r, 3)
        self.assertEqual([c.variant for c in r.candidates if c.evaluation == 1], [seed])
        self.assertFalse(r.improved)  # nothing takes half of the time
        self.assertEqual(self.ctx.wisdom, [])
        r = self.ctx.tune(LINE, "estimate")
        self.assertEqual((r.candidates, r.comparison, r.improved, r.evaluations), ([], None, False, 0))
        self.assertTrue(r.variant.startswith("host:") and math.isnan(r.default_us))
        r = self.ctx.tune(LINE, target=1e9, **OFF)
        self.assertEqual((r.stop, len(r.candidates)), ("target", 1))
        r = self.ctx.tune(LINE, seconds=1e-9, **OFF)
        self.assertEqual(r.stop, "seconds")

    def test_improved(self):
        """An outcome that no machine can be made to give."""

        def improve(report):
            report._obj.variant, report._obj.improved, report._obj.best_us = b"host:bm=4", 1, 2.0
            return 0

        r = _tune._Subject(self.ctx, LINE).report(improve)
        self.assertEqual((r.variant, r.improved, r.best_us, r.stop), ("host:bm=4", True, 2.0, "not ended"))

    def test_log(self):
        log = self.folder / "log"
        first = self.ctx.tune(LINE, log=log, max_evaluations=4, **OFF)
        again = self.ctx.tune(LINE, log=log, max_evaluations=6, **OFF)
        self.assertEqual((first.evaluations, first.resumed, again.evaluations, again.resumed), (4, 0, 2, 4))
        self.check_report(again)
        unread = self.folder / "none" / "log"
        with self.assertRaisesRegex(flashl4.Error, re.escape(str(unread))):
            self.ctx.tune(LINE, log=unread, **SHORT)

    def test_space(self):
        s = self.ctx.tune_space(LINE)
        self.assertEqual((s.family, s), ("host", self.ctx.tune_space(LINE, "host")))
        self.assertEqual(math.prod(len(p.values) for p in s.parameters), s.combinations)
        self.assertEqual(s.valid + s.same + sum(count for _, count in s.reasons), s.combinations)
        self.assertTrue(0 < s.valid < s.combinations and s.same > 0)
        for p in s.parameters:
            self.assertTrue(p.name and p.what)
            self.assertEqual(list(p.values), sorted(set(p.values)))
        self.assertTrue(s.reasons and all(reason and count > 0 for reason, count in s.reasons))

    def test_refusals(self):
        for error, words, call in (
            (TypeError, "problem: is a int", lambda: self.ctx.tune(1)),
            (flashl4.Error, "hq", lambda: self.ctx.tune("b1")),
            (ValueError, "budget: is 'all', must be one of measure", lambda: self.ctx.tune(LINE, "all")),
            (ValueError, "mode: is 'fast'", lambda: self.ctx.tune(LINE, mode="fast")),
            (ValueError, "inputs: is 'x'", lambda: self.ctx.tune(LINE, inputs="x")),
            (ValueError, "max_evaluations: is -1", lambda: self.ctx.tune(LINE, max_evaluations=-1)),
            (ValueError, "compile_threads: is 4294967297", lambda: self.ctx.tune(LINE, compile_threads=2**32 + 1)),
            (TypeError, "seeds: is a str", lambda: self.ctx.tune(LINE, seeds="host:bm=4")),
            (flashl4.Error, "seeds[1]", lambda: self.ctx.tune(LINE, seeds=["host:bm=4", "host:bm=5"])),
            (flashl4.Error, "toaster", lambda: self.ctx.tune(LINE, family="toaster")),
            (flashl4.Error, "strategy: is \"luck\"", lambda: self.ctx.tune(LINE, strategy="luck")),
            (flashl4.Error, "threshold", lambda: self.ctx.tune(LINE, threshold=2)),
            (flashl4.Error, "max_seconds", lambda: self.ctx.tune(LINE, seconds=-1)),
            (flashl4.Error, "toaster", lambda: self.ctx.tune_space(LINE, "toaster")),
        ):  # fmt: skip
            with self.subTest(words), self.assertRaisesRegex(error, re.escape(words)):
                call()
        self.ctx.close()
        for call in (lambda: self.ctx.tune(LINE), lambda: self.ctx.tune_space(LINE), lambda: self.ctx.wisdom,
                     lambda: self.ctx.wisdom_lookup(LINE), lambda: flashl4.Tuner(self.ctx, LINE)):  # fmt: skip
            with self.assertRaisesRegex(ValueError, "closed"):
                call()

    def test_cancel(self):
        r = self.ctx.tune(LINE, progress=lambda p: p.evaluations == 2)
        self.assertEqual((r.stop, r.evaluations, len(r.candidates)), ("cancelled", 2, 2))
        self.assertEqual(self.ctx.wisdom, [])

    def test_exceptions(self):
        class Surprise(Exception):
            pass

        def surprise(progress):
            calls.append(progress)
            if progress.evaluations == 1:
                raise Surprise("now")

        calls, handler = [], signal.getsignal(signal.SIGINT)
        with self.assertRaisesRegex(Surprise, "now"):
            self.ctx.tune(LINE, progress=surprise)
        self.assertEqual([p.evaluations for p in calls].count(1), 1)
        self.assertIs(signal.getsignal(signal.SIGINT), handler)

    def test_interrupt(self):
        def interrupt(progress):
            if progress.evaluations == 1:
                os.kill(os.getpid(), signal.SIGINT)

        handler = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            with self.assertRaises(KeyboardInterrupt):
                self.ctx.tune(LINE, progress=interrupt)
            self.assertIs(signal.getsignal(signal.SIGINT), signal.default_int_handler)
        finally:
            signal.signal(signal.SIGINT, handler)

    def test_thread(self):
        """Off the main thread there are no signals to care for."""
        reports = []
        thread = threading.Thread(target=lambda: reports.append(self.ctx.tune(LINE, max_evaluations=1, **OFF)))
        thread.start()
        thread.join()
        self.check_report(*reports, 1)


class Steps(Case):
    def test_steps(self):
        with flashl4.Tuner(self.ctx, LINE, **SHORT) as tuner:
            self.assertEqual([tuner.step() for _ in range(6)], [False] * 5 + [True])
            self.assertTrue(tuner.step())
            r = tuner.finish()
        self.assertEqual((r.stop, r.evaluations, len(r.candidates)), ("evaluations", 6, 6))
        self.assertEqual([entry.variant for entry in self.ctx.wisdom], [r.variant])
        with self.assertRaisesRegex(ValueError, "the tuner is closed"):
            tuner.step()
        tuner.close()

    def test_same_search(self):
        """The same seed and the same answers give the same search, in steps or not."""
        with flashl4.Tuner(self.ctx, LINE, strategy="random", seed=5, max_evaluations=4, **OFF) as tuner:
            while not tuner.step():
                pass
            steps = tuner.finish()
        whole, other = (self.ctx.tune(LINE, strategy="random", seed=s, max_evaluations=4, **OFF) for s in (5, 6))
        first, second, third = ({c.evaluation: c.variant for c in r.candidates} for r in (steps, whole, other))
        self.assertEqual(first, second)
        self.assertNotEqual(first, third)

    def test_goes_on(self):
        seen = []
        tuner = flashl4.Tuner(self.ctx, LINE, progress=lambda p: seen.append(p) or len(seen) == 1, **SHORT)
        self.assertTrue(tuner.step())  # cancelled
        self.assertFalse(tuner.step())
        r = tuner.finish()
        self.assertTrue(len(r.candidates) < 6)
        while not tuner.step():
            pass
        self.assertEqual(len(tuner.finish().candidates), 6)
        self.ctx.close()
        with self.assertRaisesRegex(ValueError, "the tuner is closed"):
            tuner.finish()

    def test_exceptions(self):
        """One comes out of the step that it was raised in, and not of the next."""
        calls = []
        tuner = flashl4.Tuner(self.ctx, LINE, progress=lambda p: calls.append(p) or 1 // (len(calls) - 1), **SHORT)
        with self.assertRaises(ZeroDivisionError):
            tuner.step()
        tuner._subject.watch.progress = None
        self.assertFalse(tuner.step())

    def test_dropped(self):
        flashl4.Tuner(self.ctx, LINE, **SHORT)
        self.assertEqual(self.ctx._tuners, [])
        with self.assertRaisesRegex(flashl4.Error, "seeds"):
            flashl4.Tuner(self.ctx, LINE, seeds=["host:bm=5"])
        self.assertEqual(self.ctx._tuners, [])


class Replay(Case):
    def record(self):
        """A log of 12 x 5 points, whose times have one valley; one point is not correct."""
        out = []
        for bm in range(12):
            for bn in range(5):
                good = (bm, bn) != (0, 0)
                ms = 1.0 + 0.1 * abs(bm - 7) + 0.2 * abs(bn - 3)
                times = {"compilation": 0.0, "runtimes": [ms] if good else []}
                out.append(json.dumps({
                    "timestamp": "2026-01-01T00:00:00Z", "configuration": {"bm": bm, "bn": bn}, "times": times,
                    "invalidity": "correct" if good else "compile", "correctness": int(good), "objectives": ["time"],
                    "measurements": [{"name": "time", "value": ms, "unit": "ms"}] if good else [],
                }))  # fmt: skip
        return "".join(line + "\n" for line in out)

    def test_replay(self):
        plain, packed = self.folder / "a.log", self.folder / "b.log.gz"
        plain.write_text(self.record())
        packed.write_bytes(gzip.compress(self.record().encode()))
        r = flashl4.tune_replay(plain, "random", seeds=20)
        self.assertEqual((r.points, r.failed, r.best, r.cap, r.seeds, len(r.curve)), (60, 1, 1.0, 60, 20, 60))
        self.assertAlmostEqual(r.difficulty, 1 / 60)
        self.assertTrue(1 <= r.to_95[0] <= r.to_95[1] <= r.to_95[2] <= 60)
        self.assertEqual(list(r.curve), sorted(r.curve))
        self.assertEqual((r.curve[24], r.curve[49], r.curve[59]), (r.at[0], r.at[1], 1.0))
        self.assertEqual(flashl4.tune_replay(packed, "random", 20), r)
        short = flashl4.tune_replay(plain, "random", 20, cap=10)
        self.assertEqual((short.cap, short.curve), (10, r.curve[:10]))
        self.assertEqual(flashl4.tune_replay(plain, "exhaustive", 1).to_99, (39, 39, 39))  # in the record's order

    def test_refusals(self):
        file = self.folder / "a.log"
        file.write_text("not a record\n")
        for error, words, call in (
            (flashl4.Error, "a.log", lambda: flashl4.tune_replay(file)),
            (flashl4.Error, "none", lambda: flashl4.tune_replay(self.folder / "none")),
            (flashl4.Error, 'strategy: is "luck"', lambda: flashl4.tune_replay(file, "luck")),
            (flashl4.Error, "seeds: is 0", lambda: flashl4.tune_replay(file, seeds=0)),
            (ValueError, "seeds: is 4294967297", lambda: flashl4.tune_replay(file, seeds=2**32 + 1)),
            (ValueError, "cap: is -1", lambda: flashl4.tune_replay(file, cap=-1)),
        ):
            with self.subTest(words), self.assertRaisesRegex(error, re.escape(words)):
                call()


class Wisdom(Case):
    VARIANT = "host:bm=4,bn=64,threads=0"

    def test_lookup(self):
        self.assertEqual(self.ctx.wisdom, [])
        none = self.ctx.wisdom_lookup(LINE)
        self.assertEqual((none.match, none.problem), ("none", ""))
        self.assertTrue(none.variant.startswith("host:") and none.variant != self.VARIANT)
        self.ctx.wisdom_set(LINE, self.VARIANT)
        for line, match in ((LINE, "exact"), ("hq2sq72d16:bf16:causal", "bucket"), ("hq2sq140d16:bf16:causal", "near")):
            entry = self.ctx.wisdom_lookup(line)
            self.assertEqual((entry.match, entry.problem, entry.variant), (match, LINE, self.VARIANT))
        self.assertEqual(self.ctx.wisdom_lookup("hq2sq70d32:bf16:causal").match, "none")
        (entry,) = self.ctx.wisdom
        self.assertEqual((entry.variant, entry.mode, entry.improved), (self.VARIANT, "hand", True))
        self.assertRegex(entry.date, r"^\d{4}-\d\d-\d\dT")
        self.assertTrue(entry.device.startswith("host "), entry.device)
        self.ctx.wisdom_forget()
        self.assertEqual(self.ctx.wisdom, [])
        self.assertEqual(self.ctx.wisdom_lookup(LINE), none)

    def test_it_runs(self):
        wrap, rows = flashl4.Tensor.from_buffer, (ctypes.c_uint16 * (2 * 70 * 16))()
        q = wrap(rows, (1, 2, 70, 16), "bfloat16")
        self.ctx.wisdom_set(LINE, self.VARIANT)
        self.assertEqual(self.ctx.plan(q, q, q, q, causal=True).variant, self.VARIANT)

    def test_files(self):
        file = self.folder / "a.wisdom"
        self.ctx.wisdom_set(LINE, self.VARIANT)
        self.ctx.wisdom_save(file)
        once = file.read_text()
        self.ctx.wisdom_save(file)
        self.assertEqual(file.read_text(), once)  # nothing new
        with open(file, "a") as f:
            f.write("rubbish\n")
        with flashl4.Context("host") as other:
            counts = other.wisdom_load(file)
            self.assertEqual(counts, flashl4.WisdomCounts(used=1, replaced=0, foreign=0, stale=0, damaged=1))
            (entry,) = other.wisdom
            self.assertEqual((entry.variant, entry.source[-9:]), (self.VARIANT, "/a.wisdom"))
            with self.assertRaisesRegex(flashl4.Error, "none.wisdom"):
                other.wisdom_load(self.folder / "none.wisdom")

    def test_user_file(self):
        before = os.environ.get("XDG_DATA_HOME")
        os.environ["XDG_DATA_HOME"] = str(self.folder)
        try:
            self.ctx.wisdom_set(LINE, self.VARIANT)
            self.ctx.wisdom_save()
        finally:
            del os.environ["XDG_DATA_HOME"]
            if before is not None:
                os.environ["XDG_DATA_HOME"] = before
        with flashl4.Context("host") as other:
            self.assertEqual(other.wisdom_load(self.folder / "flashl4" / "user.wisdom").used, 1)

    def test_text(self):
        self.ctx.wisdom_set(LINE, self.VARIANT)
        text = self.ctx.wisdom_export()
        self.assertEqual(len(text.splitlines()), 2)
        with flashl4.Context("host") as other:
            self.assertEqual(other.wisdom_import(text).used, 1)
            self.assertEqual(other.wisdom_lookup(LINE).variant, self.VARIANT)
            self.assertEqual(other.wisdom_export(), text)
            self.assertEqual(other.wisdom_import(text.replace("bm=4", "bm=5")).damaged, 1)

    def test_merge(self):
        names = [self.folder / name for name in ("a.wisdom", "b.wisdom")]
        for name, line in zip(names, (LINE, "hq2sq300d16:bf16")):
            with flashl4.Context("host") as ctx:
                ctx.wisdom_set(line, self.VARIANT)
                ctx.wisdom_save(name)
        with open(names[0], "a") as f:
            f.write("rubbish\n")
        counts = flashl4.wisdom_merge(names, names[1], prune=True)
        self.assertEqual(counts.damaged, 1)
        self.assertNotIn("rubbish", names[1].read_text())
        self.ctx.wisdom_load(names[1])
        self.assertEqual({entry.problem for entry in self.ctx.wisdom}, {LINE, "hq2sq300d16:bf16"})

    def test_refusals(self):
        for error, words, call in (
            (flashl4.Error, "hq", lambda: self.ctx.wisdom_lookup("b1")),
            (flashl4.Error, "bm", lambda: self.ctx.wisdom_set(LINE, "host:bm=5")),
            (flashl4.Error, "variant: is NULL", lambda: self.ctx.wisdom_set(LINE, None)),
            (flashl4.Error, "file: is NULL", lambda: self.ctx.wisdom_load(None)),
            (flashl4.Error, "text: is NULL", lambda: self.ctx.wisdom_import(None)),
            (TypeError, "files: is a str", lambda: flashl4.wisdom_merge("a", "b")),
            (flashl4.Error, "n: is 0", lambda: flashl4.wisdom_merge([], "b")),
            (flashl4.Error, "none", lambda: flashl4.wisdom_merge([self.folder / "none"], self.folder / "to")),
        ):
            with self.subTest(words), self.assertRaisesRegex(error, re.escape(words)):
                call()
        with self.assertRaises(flashl4.Error) as caught:
            self.ctx.wisdom_set(LINE, self.VARIANT)
            self.ctx.wisdom_save(self.folder / "none" / "a.wisdom")
        self.assertEqual(caught.exception.name, "IO_ERROR")


if __name__ == "__main__":
    unittest.main(verbosity=2)

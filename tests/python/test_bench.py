# SPDX-License-Identifier: Apache-2.0
"""Statistics, shape sets and the benchmark through the Python package, on the host device."""
import dataclasses
import math
import os
import random
import re
import signal
import threading
import time
import unittest

import flashl4

LINE = "hq2sq24d16:bf16:causal"
SHORT = {"max_samples": 12, "warmup": 0.001, "seconds": 20}  # enough on any machine
ENDLESS = {"seconds": 30, "min_samples": 10**6, "max_samples": 10**6}  # unless it is stopped


class Samples(unittest.TestCase):
    def test_statistics(self):
        numbers = list(range(1, 101))
        random.Random(1).shuffle(numbers)
        s = flashl4.statistics(numbers)
        self.assertEqual((s.n, s.min, s.max, s.mean, s.p50, s.p90, s.p95), (100, 1, 100, 50.5, 50.5, 90, 95))
        self.assertTrue(s.min < s.p50_low < s.p50 < s.p50_high < s.max)
        self.assertTrue(math.isnan(s.p99))
        self.assertAlmostEqual(s.stdev, math.sqrt(sum((x - 50.5) ** 2 for x in numbers) / 99))
        for samples in ([], [1.0, math.inf], [math.nan]):
            with self.assertRaises(flashl4.Error) as caught:
                flashl4.statistics(samples)
            self.assertEqual(caught.exception.name, "INVALID_ARGUMENT")
        with self.assertRaises(TypeError):
            flashl4.statistics(["a"])

    def test_compare(self):
        noise = random.Random(2)
        base = [100 + noise.random() for _ in range(60)]
        same, slower = ([factor * x + noise.random() / 100 for x in base] for factor in (1.0, 1.1))
        c = flashl4.compare(base, slower, paired=True)
        self.assertEqual((c.n, c.paired, c.verdict, c.threshold, c.alpha), (60, True, "slower", 0.01, 0.05))
        self.assertTrue(1.09 < c.low <= c.ratio <= c.high < 1.11)
        self.assertEqual(flashl4.compare(slower, base, paired=True).verdict, "faster")
        self.assertEqual(flashl4.compare(base, same, paired=True).verdict, "same")
        self.assertEqual(flashl4.compare(base, slower[:40]).verdict, "slower")
        self.assertEqual(flashl4.compare(base, slower, paired=True, threshold=0.2).verdict, "same")
        again = [flashl4.compare(base, same, paired=True, seed=3) for _ in range(2)]
        self.assertEqual(*again)
        with self.assertRaises(flashl4.Error):
            flashl4.compare(base, slower[:40], paired=True)
        with self.assertRaises(flashl4.Error):
            flashl4.compare(base, [-1.0] * 60)

    def test_judge(self):
        noise = random.Random(4)
        base = [100 + noise.random() for _ in range(12)]
        one = flashl4.compare(base, [x * 1.1 for x in base], paired=True)
        self.assertEqual(one.verdict, "slower")
        kept = dataclasses.replace(one)
        many = flashl4.judge([None] + [one] * 1000)
        self.assertEqual(one, kept)
        self.assertIsNone(many[0])
        self.assertEqual({c.verdict for c in many[1:]}, {"ambiguous"})  # 12 pairs cannot carry 1000 problems
        self.assertGreater(many[1].p_adjusted, one.p_adjusted)
        self.assertEqual(flashl4.judge([one]), [one])
        self.assertEqual(flashl4.judge([]), [])


class Shapes(unittest.TestCase):
    def test_sets(self):
        sets = flashl4.shape_sets()
        self.assertIn("smoke", sets)
        for name, what in sets.items():
            self.assertTrue(what, name)
            self.assertTrue(flashl4.shapes(name), name)
            self.assertEqual(len(flashl4.shape_notes(name)), len(flashl4.shapes(name)), name)
        self.assertEqual((flashl4.shapes("no such set"), flashl4.shape_notes("no such set")), ([], []))


class Bench(unittest.TestCase):
    def setUp(self):
        self.ctx = flashl4.Context("host")

    def tearDown(self):
        self.ctx.close()

    def test_one(self):
        (r,) = self.ctx.bench(LINE, **SHORT)
        self.assertTrue(r.ok, r)
        self.assertEqual((r.problem, r.status, r.mode, r.cold), (LINE, "OK", "eager", False))
        self.assertIn(r.stop, ("precise", "samples"))
        self.assertEqual((len(r.samples), r.stats.n), (12, 12))
        self.assertEqual(repr(r.stats), repr(flashl4.statistics(r.samples)))  # NaN is not equal to itself
        self.assertEqual((r.p50, r.interval), (r.stats.p50, (r.stats.p50_low, r.stats.p50_high)))
        self.assertTrue(min(r.samples) > 0)
        self.assertTrue(r.variant.startswith("host:"), r.variant)
        self.assertTrue(r.max_error <= r.max_allowed)
        self.assertEqual((r.against, r.verdict), (None, None))
        self.assertTrue(math.isnan(r.ratio) and math.isnan(r.percent_matrix) and math.isnan(r.percent_read))
        self.assertEqual((r.before.temperature_c, r.after.throttle), (None, "unknown"))
        pairs = 24 * 25 // 2
        self.assertAlmostEqual(r.tflops, 4 * 16 * 2 * pairs / r.p50 * 1e-6)
        self.assertAlmostEqual(r.gbps, 4 * 2 * 24 * 16 * 2 / r.p50 * 1e-3)

    def test_contenders(self):
        contenders = ["host:bm=4", flashl4.Contender("host:bm=12", name="twelve"), flashl4.Contender(kind="oracle")]
        seen, problems = [], [LINE, "hq4hkv2sq1sk33d8:lse"]
        results = flashl4.bench(problems, contenders, device="host", inputs="sink", seed=5, progress=seen.append,
                                limits=flashl4.Limits(mma_tflops=1.0, read_gbps=10.0), **SHORT)  # fmt: skip
        self.assertEqual([r.problem for r in results], [p for p in problems for _ in contenders])
        for first, *others in (results[:3], results[3:]):
            self.assertIsNone(first.against)
            self.assertEqual(others[0].name, "twelve")
            for r in (first, *others):
                self.assertTrue(r.ok, r)
                self.assertEqual(len(r.samples), len(first.samples))
                self.assertAlmostEqual(r.percent_matrix, 100 * r.tflops)
                self.assertAlmostEqual(r.percent_read, 10 * r.gbps)
            for r in others:
                self.assertTrue(r.against.paired)
                self.assertEqual(r.against.n, len(first.samples))
                self.assertTrue(r.against.low <= r.ratio <= r.against.high)
                self.assertIn(r.verdict, ("faster", "slower", "same", "ambiguous"))
                again = flashl4.compare(first.samples, r.samples, paired=True)
                self.assertEqual(r.ratio, again.ratio)
        self.assertTrue("bm=4," in results[0].variant + "," and "bm=12," in results[1].variant + ",")
        self.assertEqual({(p.problem, p.n_problems, p.line) for p in seen}, {(i, 2, p) for i, p in enumerate(problems)})
        self.assertIn("timing", {p.phase for p in seen})

    def test_problems_of_a_contender_are_results(self):
        broken, fine = self.ctx.bench(LINE, ["host:threads=128", "host:bm=4"], **SHORT)
        if self.ctx.device.multiprocessors >= 128:
            self.skipTest("128 threads are possible here")
        self.assertFalse(broken.ok)
        self.assertNotEqual(broken.status, "OK")
        self.assertIn("threads", broken.error)
        self.assertEqual((len(broken.samples), broken.stop, fine.against), (0, "not timed", None))
        self.assertTrue(fine.ok, fine)

    def test_refusals(self):
        for error, words, call in (
            (ValueError, "problems: there are none", lambda: self.ctx.bench([])),
            (ValueError, "contenders: there are none", lambda: self.ctx.bench(LINE, [])),
            (TypeError, "problem: is a int", lambda: self.ctx.bench([1])),
            (ValueError, "mode: is 'fast', must be one of auto", lambda: self.ctx.bench(LINE, mode="fast")),
            (ValueError, "inputs: is 'x'", lambda: self.ctx.bench(LINE, inputs="x")),
            (ValueError, "oracle: is 'x'", lambda: self.ctx.bench(LINE, oracle="x")),
            (ValueError, "kind: is 'x'", lambda: self.ctx.bench(LINE, flashl4.Contender(kind="x"))),
            (ValueError, "max_samples: is -1", lambda: self.ctx.bench(LINE, max_samples=-1)),
            (ValueError, "min_samples: is 4294967296", lambda: self.ctx.bench(LINE, min_samples=2**32)),
            (flashl4.Error, "min_samples: is 9", lambda: self.ctx.bench(LINE, min_samples=9, max_samples=8)),
            (ValueError, "device: must not", lambda: flashl4.bench(LINE, device="host", ctx=self.ctx)),
            (flashl4.Error, "hq", lambda: self.ctx.bench(["b1"])),
            (flashl4.Error, "seconds", lambda: self.ctx.bench(LINE, seconds=-1)),
            (flashl4.Error, "toaster", lambda: flashl4.bench(LINE, device="toaster")),
            (flashl4.Error, "no-such.so", lambda: self.ctx.bench(LINE, flashl4.Contender(library="./no-such.so"))),
        ):  # fmt: skip
            with self.subTest(words), self.assertRaisesRegex(error, re.escape(words)):
                call()
        self.ctx.close()
        for call in (lambda: self.ctx.bench(LINE), self.ctx.limits, self.ctx.health):
            with self.assertRaisesRegex(ValueError, "closed"):
                call()

    def test_cancel(self):
        start = time.monotonic()
        cancelled, left = self.ctx.bench([LINE] * 2, progress=lambda progress: progress.phase == "timing", **ENDLESS)
        self.assertLess(time.monotonic() - start, 20)
        for r in (cancelled, left):
            self.assertEqual((r.ok, r.status, r.stop, len(r.samples)), (False, "CANCELLED", "cancelled", 0))
        done, left = self.ctx.bench([LINE] * 2, progress=lambda progress: progress.problem == 1, **SHORT)
        self.assertTrue(done.ok, done)
        self.assertEqual(left.status, "CANCELLED")

    def test_exceptions(self):
        class Surprise(Exception):
            pass

        def surprise(progress):
            calls.append(progress)
            if progress.phase == "timing":
                raise Surprise("now")

        calls, handler = [], signal.getsignal(signal.SIGINT)
        with self.assertRaisesRegex(Surprise, "now"):
            self.ctx.bench([LINE] * 2, progress=surprise, **ENDLESS)
        self.assertEqual(calls[-1].problem, 0)
        self.assertEqual([p.phase for p in calls].count("timing"), 1)
        self.assertIs(signal.getsignal(signal.SIGINT), handler)

    def interrupt(self, **more):
        """Times, and is sent an interrupt meanwhile."""
        timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
        start = time.monotonic()
        timer.start()
        try:
            return self.ctx.bench(LINE, **ENDLESS, **more)
        finally:
            timer.join()
            self.assertLess(time.monotonic() - start, 20)

    def test_interrupt(self):
        handler = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            for progress in (None, lambda progress: None):
                with self.assertRaises(KeyboardInterrupt):
                    self.interrupt(progress=progress)
                self.assertIs(signal.getsignal(signal.SIGINT), signal.default_int_handler)
            # A handler that only takes note cancels too.
            noted = []
            signal.signal(signal.SIGINT, lambda number, frame: noted.append(number))
            (r,) = self.interrupt()
            self.assertEqual((noted, r.stop), ([signal.SIGINT], "cancelled"))
        finally:
            signal.signal(signal.SIGINT, handler)

    def test_thread(self):
        """Off the main thread there are no signals to care for."""
        results = []
        thread = threading.Thread(target=lambda: results.extend(self.ctx.bench(LINE, **SHORT)))
        thread.start()
        thread.join()
        self.assertTrue(results and results[0].ok, results)

    def test_limits_and_health(self):
        limits = self.ctx.limits()
        self.assertTrue(limits.mma_tflops > 0 and limits.read_gbps > 0, limits)
        self.assertEqual(limits.gemm_tflops, 0)
        health = self.ctx.health()
        self.assertEqual((health.power_w, health.sm_clock_mhz, health.throttle_reasons), (None, None, None))
        self.assertEqual((health.throttle, health.driver), ("unknown", "unknown"))


if __name__ == "__main__":
    unittest.main(verbosity=2)

# SPDX-License-Identifier: Apache-2.0
"""The Python package against the library: the same layouts, and attention that is right.

LAYOUT is the program built from layout.c; SYMBOLS the list of exported functions.
"""
import array
import ctypes
import math
import os
import pathlib
import re
import subprocess
import sys
import threading
import unittest

import flashl4
from flashl4 import _api

try:
    import numpy
except ImportError:
    numpy = None

ROOT = pathlib.Path(__file__).resolve().parents[2]


def attention(q, k, v, B, Hq, Hkv, Sq, Sk, D, causal, scale):
    """softmax(scale · q kᵀ) v in plain Python, on flat lists in [B][H][S][D]; returns (o, lse)."""
    out, lse = [], []
    for b in range(B):
        for h in range(Hq):
            kv = (b * Hkv + h // (Hq // Hkv)) * Sk * D
            for i in range(Sq):
                row = ((b * Hq + h) * Sq + i) * D
                seen = max(0, min(Sk, i + 1 + Sk - Sq)) if causal else Sk
                s = [scale * math.fsum(q[row + d] * k[kv + j * D + d] for d in range(D)) for j in range(seen)]
                top = max(s, default=0.0)
                p = [math.exp(x - top) for x in s]
                total = math.fsum(p)
                lse.append(top + math.log(total) if seen else -math.inf)
                for d in range(D):
                    out.append(math.fsum(x * v[kv + j * D + d] for j, x in enumerate(p)) / total if seen else 0.0)
    return out, lse


def numbers(n, seed):
    """n floats in [-1, 1), the same everywhere."""
    out = array.array("f")
    for _ in range(n):
        seed = (seed * 1664525 + 1013904223) % 2**32
        out.append((seed >> 16) / 2**15 - 1)
    return out


class Layout(unittest.TestCase):
    """_api.py mirrors the headers."""

    @classmethod
    def setUpClass(cls):
        lines = subprocess.run([os.environ["LAYOUT"]], check=True, capture_output=True, text=True).stdout.splitlines()
        cls.c = {kind: [line.split()[1:] for line in lines if line.startswith(kind)] for kind in ("struct", "field", "value")}

    def test_structs(self):
        self.assertEqual({name: int(size) for name, size in self.c["struct"]},
                         {name: ctypes.sizeof(struct) for name, struct in _api.STRUCTS.items()})  # fmt: skip

    def test_fields(self):
        mirrored = [[f"{name}.{f[0]}", getattr(struct, f[0]).offset, getattr(struct, f[0]).size]
                    for name, struct in _api.STRUCTS.items() for f in struct._fields_]  # fmt: skip
        self.assertEqual(sorted([name, int(offset), int(size)] for name, offset, size in self.c["field"]), sorted(mirrored))

    def test_values(self):
        c = {name: int(value) for name, value in self.c["value"]}
        short = {"fp16": "float16", "bf16": "bfloat16", "fp32": "float32"}
        mine = {"FL4_ABI_VERSION": _api.ABI_VERSION, "FL4_CONTEXT_NO_DISK_CACHE": _api.CONTEXT_NO_DISK_CACHE,
                "FL4_CONTEXT_DEBUG": _api.CONTEXT_DEBUG, "FL4_PROBLEM_LINE_MAX": _api.PROBLEM_LINE_MAX,
                "FL4_BATCH_INVARIANT": _api.BATCH_INVARIANT, "FL4_BIAS_BOOL": _api.BIASES.index("bool")}  # fmt: skip
        mine.update({f"FL4_{name}": value for value, name in _api.STATUS.items()})
        mine.update({f"FL4_DTYPE_{s.upper()}": _api.DTYPES.index(name) for s, name in short.items()})
        mine.update({f"FL4_BIAS_{s.upper()}": _api.BIASES.index(name) for s, name in short.items()})
        for prefix, names in (("MASK", _api.MASKS), ("LENGTHS", _api.LENGTHS), ("LAYOUT", _api.LAYOUTS), ("DEVICE", _api.DEVICE_KINDS),
                              ("KERNEL", _api.ORIGINS), ("INPUTS", _api.INPUTS), ("ORACLE", _api.ORACLES),
                              ("VERDICT", _api.VERDICTS), ("BENCH", _api.BENCH_MODES),
                              ("CONTENDER", _api.CONTENDER_KINDS),
                              ("BENCH_STOP", ("none", *_api.BENCH_STOPS[1:]))):  # fmt: skip
            mine.update({f"FL4_{prefix}_{n.upper().replace(' ', '_')}": i for i, n in enumerate(names)})
        self.assertEqual(c, mine)
        self.assertEqual(_api.STATUS[_api.CANCELLED], "CANCELLED")

    def test_functions(self):
        exported = pathlib.Path(os.environ["SYMBOLS"]).read_text().split()
        self.assertEqual(sorted(_api.FUNCTIONS), sorted(exported))

    def test_names(self):
        for status, name in _api.STATUS.items():
            self.assertEqual(_api.lib.fl4_status_name(status), f"FL4_{name}".encode())
        for function, names in ((_api.lib.fl4_inputs_name, _api.INPUTS), (_api.lib.fl4_verdict_name, _api.VERDICTS),
                                (_api.lib.fl4_bench_mode_name, _api.BENCH_MODES),
                                (_api.lib.fl4_bench_stop_name, _api.BENCH_STOPS)):  # fmt: skip
            self.assertEqual([function(i) for i in range(len(names) + 1)], [*(n.encode() for n in names), None])

    def test_structs_inside(self):
        result = _api.BenchResult()
        for struct in (result, result.stats, result.against, result.before, result.after):
            self.assertEqual(struct.struct_size, ctypes.sizeof(struct))

    def test_version(self):
        pyproject = (ROOT / "python" / "pyproject.toml").read_text()
        self.assertEqual(re.search(r'^version = "(.*)"', pyproject, re.M).group(1), flashl4.version())


class Host(unittest.TestCase):
    def setUp(self):
        self.ctx = flashl4.Context("host")

    def tearDown(self):
        self.ctx.close()

    def test_devices(self):
        self.assertEqual(flashl4.devices()[-1].kind, "host")
        self.assertEqual(self.ctx.device.kind, "host")

    def test_buffers(self):
        for causal, scale in ((False, None), (True, None), (True, 0.3)):
            B, Hq, Hkv, Sq, Sk, D = 2, 4, 2, 5, 7, 8
            q, k, v = numbers(B * Hq * Sq * D, 1), numbers(B * Hkv * Sk * D, 2), numbers(B * Hkv * Sk * D, 3)
            o, lse = numbers(len(q), 4), numbers(B * Hq * Sq, 5)
            wrap = flashl4.Tensor.from_buffer
            tensors = (wrap(q, (B, Hq, Sq, D), "float32"), wrap(k, (B, Hkv, Sk, D), "float32"),
                       wrap(v, (B, Hkv, Sk, D), "float32"))  # fmt: skip
            self.ctx.forward(*tensors, out=wrap(o, (B, Hq, Sq, D), "float32"), causal=causal, scale=scale,
                             lse=wrap(lse, (B, Hq, Sq), "float32"))  # fmt: skip
            ref, ref_lse = attention(q, k, v, B, Hq, Hkv, Sq, Sk, D, causal, scale or D**-0.5)
            self.assertLess(max(abs(x - y) for x, y in zip(o, ref)), 1e-5)
            self.assertLess(max(abs(x - y) for x, y in zip(lse, ref_lse)), 1e-5)

    @unittest.skipUnless(numpy, "numpy is not installed")
    def test_numpy(self):
        B, Hq, Hkv, S, D = 1, 4, 2, 9, 16
        for dtype, allowed in ((numpy.float32, 1e-5), (numpy.float16, 2e-3)):
            # [B, S, H, D] in memory, seen as [B, H, S, D]; q, k and v packed as one projection writes them.
            packed = numpy.array(numbers(B * S * (Hq + 2 * Hkv) * D, 6), dtype).reshape(B, S, Hq + 2 * Hkv, D)
            q, k, v = numpy.split(packed.transpose(0, 2, 1, 3), (Hq, Hq + Hkv), axis=1)
            o, lse = self.ctx.forward(q, k, v, causal=True, lse=True)
            ref, ref_lse = attention(*(t.ravel().tolist() for t in (q, k, v)), B, Hq, Hkv, S, S, D, True, D**-0.5)
            self.assertEqual((o.dtype, o.shape, lse.dtype), (dtype, q.shape, numpy.float32))
            self.assertLess(numpy.abs(o.ravel() - numpy.array(ref)).max(), allowed)
            self.assertLess(numpy.abs(lse.ravel() - numpy.array(ref_lse)).max(), allowed)
            self.assertIs(self.ctx.forward(q, k, v, out=o), o)

    @unittest.skipUnless(numpy, "numpy is not installed")
    def test_refusals(self):
        t = numpy.zeros((1, 2, 3, 8), numpy.float32)
        row = numpy.zeros((1, 1, 1, 8), numpy.float32)
        frozen = t.copy()
        frozen.flags.writeable = False
        for error, words, call in (
            (TypeError, "q: is a list", lambda: self.ctx.forward([1], t, t, out=t)),
            (TypeError, "q: dtype is float64", lambda: self.ctx.forward(t.astype(float), t, t)),
            (TypeError, "k: dtype is float16", lambda: self.ctx.forward(t, t.astype(numpy.float16), t)),
            (ValueError, "k: has 3 dimensions", lambda: self.ctx.forward(t, t[0], t)),
            (ValueError, "v: shape is", lambda: self.ctx.forward(t, t, t[:, :1])),
            (ValueError, "out: is read-only", lambda: self.ctx.forward(t, t, t, out=frozen)),
            (ValueError, "last dimension", lambda: self.ctx.forward(t, t, numpy.zeros((1, 2, 3, 16), t.dtype)[..., ::2])),
            (ValueError, "is one row", lambda: self.ctx.forward(t, numpy.broadcast_to(row, t.shape), t)),
            (ValueError, "scale: is 0", lambda: self.ctx.forward(t, t, t, scale=0.0)),
            (ValueError, "the context is on host", lambda: self.ctx.forward(
                flashl4.Tensor(256, t.shape, "float32", device="cuda:0"), t, t, out=t)),
            (ValueError, "too few", lambda: flashl4.Tensor.from_buffer(bytearray(4), (1, 1, 1, 8), "float32")),
        ):  # fmt: skip
            with self.subTest(words), self.assertRaisesRegex(error, re.escape(words)):
                call()

    @unittest.skipUnless(numpy, "numpy is not installed")
    def test_features(self):
        """Each against plain numpy: what Python makes of its keywords."""
        random = numpy.random.default_rng(5)
        B, Hq, Hkv, Sq, Sk, D = 3, 4, 2, 9, 20, 8

        def normal(*shape):
            return random.standard_normal(shape).astype(numpy.float32)

        q, k, v = normal(B, Hq, Sq, D), normal(B, Hkv, Sk, D), normal(B, Hkv, Sk, D)
        i, j = numpy.arange(Sq)[:, None], numpy.arange(Sk)
        group = [h // (Hq // Hkv) for h in range(Hq)]

        def softmax(s, v, sinks=None):
            last = numpy.full_like(s[..., :1], -numpy.inf) if sinks is None else sinks + 0 * s[..., :1]
            s = numpy.concatenate([s, last], -1)
            p = numpy.exp(s - s.max(-1, keepdims=True))
            return (p / p.sum(-1, keepdims=True))[..., :-1] @ v

        scores = q @ k[:, group].transpose(0, 1, 3, 2) / D**0.5
        ahead = j - (i + Sk - Sq)
        slopes, sinks, bias = abs(normal(Hq)), normal(Hq), normal(1, Hq, 1, Sk)
        hidden = random.random((B, 1, Sq, Sk)) < 0.3
        for more, s in (
            ({"window": (4, 1)}, numpy.where((ahead >= -4) & (ahead <= 1), scores, -numpy.inf)),
            ({"window": (-1, 0)}, numpy.where(ahead <= 0, scores, -numpy.inf)),
            ({"softcap": 0.5}, 0.5 * numpy.tanh(scores / 0.5)),
            ({"alibi": slopes}, scores - slopes[:, None, None] * abs(ahead)),
            ({"alibi": numpy.stack([slopes, 0 * slopes, -slopes])},
             scores - numpy.array([1, 0, -1])[:, None, None, None] * slopes[:, None, None] * abs(ahead)),
            ({"bias": bias}, scores + bias),
            ({"bias": bias.astype(numpy.float16)}, scores + bias.astype(numpy.float16)),
            ({"bias": ~hidden}, numpy.where(hidden, -numpy.inf, scores)),
            ({"seqused_k": numpy.array([3, 20, 11], numpy.int32)}, None),
            ({"invariant": True}, scores),
        ):  # fmt: skip
            if s is None:
                s = numpy.where(j < more["seqused_k"][:, None, None, None], scores, -numpy.inf)
            with self.subTest(more.keys()):
                o = self.ctx.forward(q, k, v, **more)
                self.assertLess(abs(o - softmax(s, v[:, group])).max(), 1e-5)
        o = self.ctx.forward(q, k, v, sinks=sinks)
        self.assertLess(abs(o - softmax(scores, v[:, group], sinks[:, None, None])).max(), 1e-5)
        dense, dense_lse = self.ctx.forward(q, k, v, lse=True)

        # Ragged: the same sequences, one after the other.
        def rows(t):
            return numpy.concatenate(list(t), 1)

        cu = [numpy.arange(B + 1, dtype=numpy.int32) * n for n in (Sq, Sk)]
        ragged = {"cu_seqlens_q": cu[0], "cu_seqlens_k": cu[1], "max_q": Sq, "max_k": Sk}
        o, lse = self.ctx.forward(rows(q), rows(k), rows(v), lse=True, **ragged)
        self.assertEqual((o.shape, lse.shape), ((Hq, B * Sq, D), (Hq, B * Sq)))
        self.assertLess(abs(o - rows(dense)).max(), 1e-5)
        self.assertLess(abs(lse - rows(dense_lse)).max(), 1e-5)
        # With batches of queries, and with rows of [B·S, H, D].
        o = self.ctx.forward(q, rows(k), rows(v), cu_seqlens_k=cu[1], max_k=Sk)
        self.assertLess(abs(o - dense).max(), 1e-5)
        by_row = numpy.ascontiguousarray(rows(q).transpose(1, 0, 2))
        o = self.ctx.forward(by_row.transpose(1, 0, 2), k, v, cu_seqlens_q=cu[0], max_q=Sq)
        self.assertLess(abs(o - rows(dense)).max(), 1e-5)

        # Pages of 8 keys, out of order, in both layouts; the last columns are not all used.
        pools = [numpy.full((12, 8, Hkv, D), numpy.nan, numpy.float32) for _ in range(2)]
        table = random.permutation(12)[: B * 3].astype(numpy.int32).reshape(B, 3)
        for b in range(B):
            for key in range(Sk):
                for pool, t in zip(pools, (k, v)):
                    pool[table[b, key // 8], key % 8] = t[b, :, key]
        views = [pool.transpose(0, 2, 1, 3) for pool in pools]
        for k_pages, v_pages in (views, [numpy.ascontiguousarray(t) for t in views]):
            o = self.ctx.forward(q, k_pages, v_pages, block_table=table, max_k=Sk)
            self.assertLess(abs(o - dense).max(), 1e-5)
        used = numpy.full(B, Sk, numpy.int32)
        o = self.ctx.forward(rows(q), *views, block_table=table, seqused_k=used, cu_seqlens_q=cu[0], max_q=Sq)
        self.assertLess(abs(o - rows(dense)).max(), 1e-5)

    @unittest.skipUnless(numpy, "numpy is not installed")
    def test_features_refused(self):
        t = numpy.zeros((2, 4, 3, 8), numpy.float32)
        rows, cu, lens = t[0], numpy.zeros(3, numpy.int32), numpy.zeros(2, numpy.int32)
        table = numpy.zeros((2, 1), numpy.int32)

        def call(q=t, k=t, **more):
            return lambda: self.ctx.forward(q, k, k, **more)

        for error, words, wrong in (
            (TypeError, "unexpected keyword argument 'windows'", call(windows=(1, 0))),
            (ValueError, "window: is given with causal", call(window=(1, 0), causal=True)),
            (TypeError, "alibi: dtype is float16, must be float32", call(alibi=numpy.zeros(4, numpy.float16))),
            (ValueError, "alibi: shape is [2], must be [4] or [2, 4]", call(alibi=numpy.zeros(2, numpy.float32))),
            (ValueError, "sinks: shape is [3], must be [4]", call(sinks=numpy.zeros(3, numpy.float32))),
            (ValueError, "sinks: strides are [2], must be contiguous", call(sinks=numpy.zeros(8, numpy.float32)[::2])),
            (ValueError, "sinks: has 2 dimensions, must have 1", call(sinks=numpy.zeros((2, 4), numpy.float32))),
            (TypeError, "bias: dtype is int32, must be one of float16", call(bias=numpy.zeros((2, 4, 3, 3), numpy.int32))),
            (ValueError, "bias: shape is [4, 3, 3], must be [2, 4, 3, 3]", call(bias=t[0, :, :, :3])),
            (ValueError, "bias: shape is [2, 4, 3, 2]", call(bias=t[..., :2])),
            (ValueError, "bias: is one value for all", call(bias=t[:1, :1, :1, :1])),
            (ValueError, "max_q: is None, must be the greatest length", call(rows, cu_seqlens_q=cu)),
            (ValueError, "max_k: is 3, must be None without cu_seqlens_k", call(max_k=3)),
            (ValueError, "q: has 4 dimensions, must have 3", call(cu_seqlens_q=cu, max_q=3)),
            (ValueError, "k: has 4 dimensions, must have 3", call(cu_seqlens_k=cu, max_k=3)),
            (ValueError, "cu_seqlens_k: has 2 elements, must have 3", call(t, rows, cu_seqlens_k=lens, max_k=3)),
            (ValueError, "cu_seqlens_q: is empty", call(rows, cu_seqlens_q=cu[:0], max_q=3)),
            (TypeError, "cu_seqlens_q: dtype is float32, must be int32", call(rows, cu_seqlens_q=t[0, 0, 0], max_q=3)),
            (ValueError, "seqused_k: has 3 elements, must have 2", call(seqused_k=cu)),
            (ValueError, "k: shape is [5, 4, 3, 8], must be [2, 4, 3, 8]", call(t, numpy.zeros((5, 4, 3, 8), t.dtype))),
            (ValueError, "block_table: has 1 dimensions, must have 2", call(block_table=lens)),
            (ValueError, "block_table: has 3 rows, must have 2", call(block_table=numpy.zeros((3, 1), numpy.int32))),
            (ValueError, "block_table: the last dimension must be contiguous",
             call(block_table=numpy.zeros((2, 4), numpy.int32)[:, ::2])),
            (flashl4.Error, "page_size: is 3, must be a power of two", call(block_table=table)),
            (ValueError, "the context is on host", call(seqused_k=flashl4.Tensor(256, (2,), "int32", device="cuda:0"))),
        ):  # fmt: skip
            with self.subTest(words), self.assertRaisesRegex(error, re.escape(words)):
                wrong()

    def test_workspace(self):
        shape, wrap = (1, 2, 40, 16), flashl4.Tensor.from_buffer
        data = [array.array("f", numbers(2 * 40 * 16, seed)) for seed in (1, 2, 3, 4, 5)]
        q, k, v, o, same = (wrap(x, shape, "float32") for x in data)
        size = self.ctx.workspace_size(q, k, v, out=o)
        self.assertGreater(size, 0)
        memory = bytearray(size + 512)
        at = wrap(memory, (len(memory) // 4,), "float32").pointer
        at += -at % 256  # as forward() wants it

        def workspace(elements, dtype="float32", device="host", strides=None):
            return flashl4.Tensor(at, (elements,), dtype, strides, device)

        self.ctx.forward(q, k, v, out=o)
        self.ctx.forward(q, k, v, out=same, workspace=workspace(size // 4))
        self.assertEqual(data[3], data[4])
        self.assertTrue(any(memory))
        with self.assertRaises(flashl4.Error) as caught:
            self.ctx.forward(q, k, v, out=o, workspace=workspace(size // 4 - 1))
        self.assertEqual(caught.exception.name, "WORKSPACE_TOO_SMALL")
        for wrong in (workspace(size, "float16"), workspace(size // 4, strides=(2,)), workspace(size, device="cuda:0")):
            with self.assertRaisesRegex(ValueError, "workspace: is "):
                self.ctx.forward(q, k, v, out=o, workspace=wrong)

    def test_errors_carry_the_sentence(self):
        with self.assertRaises(flashl4.Error) as caught:
            flashl4.Context("toaster")
        self.assertIn("toaster", str(caught.exception))
        self.assertEqual(caught.exception.name, "INVALID_ARGUMENT")
        wrap, data = flashl4.Tensor.from_buffer, array.array("f", [0] * 7)
        t = wrap(data, (1, 1, 1, 7), "float32")
        with self.assertRaisesRegex(flashl4.Error, "D: is 7"):
            self.ctx.forward(t, t, t, out=wrap(array.array("f", [0] * 7), (1, 1, 1, 7), "float32"))

    def test_closed_context(self):
        self.ctx.close()
        self.ctx.close()
        with self.assertRaisesRegex(ValueError, "closed"):
            self.ctx.cache()

    def test_check(self):
        self.assertTrue(flashl4.shapes("smoke"))
        self.assertEqual(flashl4.shapes("no such set"), [])
        result = self.ctx.check("b1hq4hkv2sq33sk65d24:bf16:causal:lse", inputs="sink", seed=7)
        self.assertTrue(result.passed, result)
        with self.assertRaises(flashl4.Error):
            self.ctx.check("b1hq4")
        with self.assertRaisesRegex(ValueError, "inputs"):
            self.ctx.check("b1hq4sq8d8", inputs="nonsense")

    def test_log(self):
        messages = []
        with flashl4.Context("host", log=lambda *message: messages.append(message), log_level=4) as ctx:
            ctx._log(None, 3, "µ".encode())  # as the library calls it; the host device has nothing to say
        self.assertEqual(messages, [(3, "µ")])

    def test_threads(self):
        data = numbers(2 * 16 * 8, 9)
        t = flashl4.Tensor.from_buffer(data, (1, 2, 16, 8), "float32")
        outs = [array.array("f", [0] * len(data)) for _ in range(8)]

        def run(out):
            self.ctx.forward(t, t, t, out=flashl4.Tensor.from_buffer(out, t.shape, "float32"))

        threads = [threading.Thread(target=run, args=(out,)) for out in outs]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertTrue(any(outs[0]))
        self.assertTrue(all(out == outs[0] for out in outs))


if __name__ == "__main__":
    print("python", sys.version.split()[0], "numpy", numpy.__version__ if numpy else "not installed")
    unittest.main(verbosity=2)

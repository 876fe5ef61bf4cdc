#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""fl4 wisdom on files that the library wrote: list, show, merge, prune, and what it says about bad usage.

test_wisdom.py FL4 LIBRARY
"""
import json
import os
import re
import sys
import tempfile
import unittest

from command import Command

Command.fl4, LIBRARY = sys.argv[1:3]
P, Q = "hq2sq64d32", "hq4sq128d64:causal"

MAKE = """
import ctypes, sys
lib = ctypes.CDLL(sys.argv[1])
lib.fl4_last_error.restype = ctypes.c_char_p
def must(status):
    if status: sys.exit(lib.fl4_last_error().decode())
ctx, problem = ctypes.c_void_p(), (ctypes.c_uint64 * 64)()
must(lib.fl4_context_create(ctypes.byref(ctx), None))
for line, variant in zip(sys.argv[3::2], sys.argv[4::2]):
    problem[0] = int(sys.argv[2].split(':')[1])
    must(lib.fl4_problem_parse(line.encode(), problem))
    must(lib.fl4_wisdom_set(ctx, problem, variant.encode()))
must(lib.fl4_wisdom_save(ctx, sys.argv[2].split(':')[0].encode()))
"""


class Wisdom(Command):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.env = {"FLASHL4_DEVICE": "host", "FLASHL4_WISDOM": "", "HOME": self.folder,
                    "XDG_DATA_HOME": self.folder + "/data", "XDG_DATA_DIRS": self.folder + "/system"}

    def file(self, name):
        return os.path.join(self.folder, name)

    def make(self, name, *pieces):
        """A file with these problems and variants, set by hand."""
        file = self.file(name)
        self.fl4, fl4 = sys.executable, self.fl4
        problem_size = 112  # of fl4_problem
        self.expect(0, "-c", MAKE, LIBRARY, f"{file}:{problem_size}", *pieces, env=self.env)
        self.fl4 = fl4
        return file

    def wisdom(self, code, *args, **env):
        return self.expect(code, "wisdom", *args, env={**self.env, **env})

    def json(self, *args, **env):
        return json.loads(self.wisdom(0, *args, "--json", **env).stdout)

    def text(self, file):
        with open(file) as opened:
            return opened.read()

    def write(self, name, text):
        with open(self.file(name), "w") as opened:
            opened.write(text)
        return self.file(name)


class Shows(Wisdom):
    def test_list(self):
        self.assertIn("0 pieces of wisdom", self.wisdom(0, "list", FLASHL4_WISDOM="off").stdout)
        system = self.json("list")["pieces"]  # what is compiled in
        file = self.make("a.wisdom", P, "host:bm=24", Q, "host:bm=48,threads=1")
        out = self.wisdom(0, "list", FLASHL4_WISDOM=file).stdout
        self.assertRegex(out, r"^problem +device +p50 us +gain +budget +tuned +variant +from\n")
        self.assertRegex(out, rf"\n{P} +host \w+ \d+T +- +- +by hand +20\d\d-\S+Z +host:bm=24 +{re.escape(file)}\n")
        self.assertIn(f"{2 + len(system)} pieces of wisdom", out)
        found = self.json("list", FLASHL4_WISDOM=file)
        self.assertEqual(found["schema"], "flashl4-wisdom-1")
        self.assertEqual([(p["problem"], p["variant"], p["budget"]) for p in found["pieces"] if p not in system],
                         [(P, "host:bm=24", "by hand"), (Q, "host:bm=48,threads=1", "by hand")])

    def test_list_of_a_file(self):
        a, b = self.make("a.wisdom", P, "host:bm=24"), self.make("b.wisdom", Q, "host:bm=48")
        bad = self.write("bad.wisdom", self.text(a) + "damaged\n")
        out = self.wisdom(0, "list", bad, FLASHL4_WISDOM=b).stdout
        self.assertIn(P, out)
        self.assertNotIn(Q, out)
        self.assertIn("1 used, 0 replaced, 0 of other devices, 0 stale, 1 damaged\n", out)
        found = self.json("list", bad)
        self.assertEqual(found["counts"], {"used": 1, "replaced": 0, "foreign": 0, "stale": 0, "damaged": 1})

    def test_show(self):
        file = self.make("a.wisdom", P, "host:bm=24")
        for problem, match in ((P, "exact"), (P + ":lse", "bucket"), ("hq2sq128d32", "near"), (Q, "none")):
            found = self.json("show", problem, FLASHL4_WISDOM=file)
            self.assertEqual(found["match"], match)
            self.assertEqual(found["piece"] is None, match == "none")
            self.assertEqual("bm=24," in found["variant"], match != "none")
        out = self.wisdom(0, "show", P + ":lse", FLASHL4_WISDOM=file).stdout
        self.assertIn(f"match    bucket\ntuned    {P}, on host ", out)
        self.assertIn(f"from     {file}\n", out)
        self.assertIn("match    none\n", self.wisdom(0, "show", P).stdout)

    def test_what_runs(self):
        """The bench's table is of the same variant."""
        file = self.make("a.wisdom", P, "host:bm=4,bn=32,threads=1")
        def variant(wisdom):
            out = self.expect(0, "bench", "--device", "host", "--problem", P, "--inputs", "normal", "--samples", "20",
                              "--warmup", "0.01", "--json", env={**self.env, "FLASHL4_WISDOM": wisdom}).stdout
            return json.loads(out)["results"][0]["variant"]
        self.assertEqual(variant(file), "host:bm=4,bn=32,threads=1")
        self.assertNotEqual(variant("off"), "host:bm=4,bn=32,threads=1")

    def test_layers(self):
        self.make("data.wisdom", P, "host:bm=24")
        os.makedirs(self.file("data/flashl4"))
        os.rename(self.file("data.wisdom"), self.file("data/flashl4/user.wisdom"))
        self.assertEqual(self.json("show", P)["piece"]["source"][-20:], "/flashl4/user.wisdom")
        self.assertEqual(self.json("show", P, FLASHL4_WISDOM="off")["match"], "none")


class Files(Wisdom):
    def test_merge_and_prune(self):
        a, b = self.make("a.wisdom", P, "host:bm=24"), self.make("b.wisdom", P, "host:bm=48", Q, "host:bm=48")
        bad, to = self.write("bad.wisdom", self.text(a) + "damaged\n"), self.file("to.wisdom")
        out = self.wisdom(0, "merge", to, a, bad, b).stdout
        self.assertEqual(out, f"{to}: 2 pieces; 2 replaced, 0 stale, 1 damaged\n")
        lines = self.text(to).splitlines()
        self.assertEqual(lines[0], '{"flashl4_wisdom":1}')
        self.assertEqual([line for line in lines if not line.startswith("{")], ["damaged"])
        self.assertEqual({p["variant"] for p in self.json("list", to)["pieces"]}, {"host:bm=48"})
        self.assertEqual(self.wisdom(0, "prune", to).stdout, f"{to}: 2 pieces; 0 replaced, 0 stale, 1 damaged dropped\n")
        self.assertNotIn("damaged", self.text(to))
        found = self.json("prune", to)
        self.assertEqual((found["file"], found["counts"]["used"], found["counts"]["damaged"]), (to, 2, 0))

    def test_foreign_lines_stay(self):
        a = self.make("a.wisdom", P, "host:bm=24")
        env = {**self.env, "OMP_NUM_THREADS": "2"}
        self.env = env
        b = self.make("b.wisdom", P, "host:bm=48")
        self.wisdom(0, "merge", a, a, b)
        self.assertEqual(len({p["device"] for p in self.json("list", a)["pieces"]}), 2)
        self.wisdom(0, "prune", a)
        self.assertEqual(len(self.json("list", a)["pieces"]), 2)
        self.assertIn("host:bm=48,", self.json("show", P, FLASHL4_WISDOM=a)["variant"])

    def test_damage_is_reported(self):
        a = self.make("a.wisdom", P, "host:bm=24")
        bad = self.write("bad.wisdom", self.text(a).replace("bm=24", "bm=48"))
        got = self.wisdom(0, "show", P, FLASHL4_WISDOM=bad)
        self.assertIn("match    none\n", got.stdout)
        self.assertIn("bad.wisdom: 1 lines cannot be read, 0 are of kernels", got.stderr)


class Usage(Wisdom):
    def refused(self, words, *args):
        got = self.wisdom(3, *args)
        self.assertIn(words, got.stderr)

    def test_usage(self):
        self.refused("wisdom: needs ACTION")
        self.refused("unknown action 'lst'; actions are list, show, merge and prune", "lst")
        self.refused("wisdom list takes one file", "list", "a", "b")
        self.refused("wisdom show takes one problem", "show")
        self.refused("wisdom show takes one problem", "show", P, Q)
        self.refused("size 'sq' is missing", "show", "hq8d64")
        self.refused("wisdom merge takes", "merge", "a")
        self.refused("wisdom prune takes one file", "prune")
        self.refused("none: cannot be opened: No such file", "list", self.file("none"))
        self.refused("none: cannot be opened: No such file", "merge", self.file("to"), self.file("none"))
        self.refused("none: cannot be opened: No such file", "prune", self.file("none"))
        self.assertFalse(os.path.exists(self.file("none")))
        self.refused("cannot be written", "prune", self.folder)
        self.refused("--json: cannot write", "list", "--json=/nonexistent/x")
        self.refused("unknown or misused option '--seed'", "list", "--seed", "1")
        self.wisdom(4, "list", "--device", "cuda:4000")
        self.assertIn("merge TO FROM", self.expect(0, "help", "wisdom").stdout)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)

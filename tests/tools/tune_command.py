# SPDX-License-Identifier: Apache-2.0
"""Runs fl4 tune for the tests of it, on the host and in a folder of each test's own."""
import json
import os
import tempfile

from command import Command

A, B = "hq2sq100d8", "hq2sq70d16:bf16:lse"  # spaces of some 18 variants


class Tune(Command):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        for name in ("data", "tmp"):
            os.mkdir(self.file(name))

    def file(self, name):
        return os.path.join(self.folder, name)

    def write(self, name, text):
        with open(self.file(name), "w") as file:
            file.write(text)
        return self.file(name)

    def lines(self, name):
        """Of a log: each whole one, read."""
        with open(self.file(name)) as file:
            return [json.loads(line) for line in file if line.endswith("\n")]

    def settings(self, **more):
        """Wisdom and temporary files where they can be seen."""
        return {"XDG_DATA_HOME": self.file("data"), "XDG_DATA_DIRS": "/nonexistent", "FLASHL4_WISDOM": "",
                "TMPDIR": self.file("tmp"), **more}

    def run_it(self, *args, env=None, **more):
        got = super().run_it(*args, env=self.settings(**(env or {})), **more)
        self.assertEqual(os.listdir(self.file("tmp")), [], "a temporary file was left")
        return got

    def tune(self, code, *args, **more):
        return self.expect(code, "tune", "--device", "host", *args, **more)

    def json(self, *args, code=0, **more):
        return json.loads(self.tune(code, "--json", "-", *args, **more).stdout)

    def one(self, *args, **more):
        found = self.json("--problem", A, *args, **more)
        self.assertEqual(len(found["results"]), 1)
        return found["results"][0]

    def wisdom(self):
        try:
            with open(os.path.join(self.file("data"), "flashl4", "user.wisdom")) as file:
                return file.read()
        except FileNotFoundError:
            return ""

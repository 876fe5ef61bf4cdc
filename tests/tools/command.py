# SPDX-License-Identifier: Apache-2.0
"""Runs the fl4 command for the tests in this folder."""
import json
import os
import subprocess
import unittest


def environment(**more):
    """No settings and no wisdom of the user's, and one thread: tests share the machine."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("FLASHL4_")}
    return {**clean, "OMP_NUM_THREADS": "1", "FLASHL4_WISDOM": "off", **more}


class Command(unittest.TestCase):
    fl4 = None  # the file

    def run_it(self, *args, env=None, **more):
        return subprocess.run([self.fl4, *args], env=environment(**(env or {})), capture_output=True, text=True,
                              timeout=240, **more)

    def expect(self, code, *args, **more):
        got = self.run_it(*args, **more)
        self.assertEqual(got.returncode, code, f"{args}: {got.stdout}{got.stderr}")
        return got

    def refused(self, words, *args, **more):
        got = self.expect(3, *args, **more)
        self.assertIn(words, got.stderr)
        return got

    def read(self, file):
        with open(file) as opened:
            return json.load(opened)

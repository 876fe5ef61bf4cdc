# SPDX-License-Identifier: Apache-2.0
"""Runs kernels on the emulator, and says what became of it."""
import collections
import os
import pathlib
import re
import signal
import subprocess
import tempfile

from .edit import EditError, copy_kernels, edit

TIMEOUT = 300
BESIDE = ("merge_states", "kv_append")  # kernels that kv_run runs, which is where the fl4 command is
CASE = "case "  # a problem that begins so is a case of a test program there
PROGRAMS = {"decode_mma": "test_decode_calls", "skip": "test_skip"}  # whose it is
Seen = collections.namedtuple("Seen", "verdict text")  # verdict: passed, killed or error


def conflicts(text):
    """The access sites of shared memory that needed more passes than their bytes do; None without counts."""
    rows = re.findall(r"^(\S+:\d+) +(ldmatrix\S*|\S+\.shared\S*) +\d+ +\d+ +(\d+) +(\d+)", text, re.MULTILINE)
    if not rows:
        return None
    return [f"{site} {what}, {passes} passes where {best} would do"
            for site, what, passes, best in rows if int(passes) > int(best)]


def failure(line):
    """What a line of a test program says, without number and file: the emulator's words if it was that."""
    violation = re.search(r"emu: fl4_\w+(, block|: ticket) .*", line)
    return violation[0] if violation else line.split(".cc:", 1)[-1]


def judge(code, out, err, counts):
    if code == 0:
        found = conflicts(err) if counts else []
        if found is None:
            return Seen("error", "no counts were printed")
        return Seen("killed", "bank conflicts at " + "; ".join(found)) if found else Seen("passed", "")
    lines = [line.strip() for line in (out + err).splitlines()]
    if code == 1:
        reasons = [line for line in lines if re.match(r"NaN or inf|max error|LSE error|canaries:|a second run|wrong:", line)]
        reasons = reasons or [failure(line) for line in lines if line.startswith("not ok")][:1]
        if reasons and "COMPILE_FAILED" in reasons[0]:
            return Seen("error", reasons[0])
        return Seen("killed", "; ".join(reasons)) if reasons else Seen("error", "mismatch without a reason: " + out)
    if code == 4:
        # Only a violation names the thread, or a ticket; anything else, such as a compiler's complaint, is no kill.
        for line in lines:
            at = re.search(r"emu: fl4_\w+(, block|: ticket) .*", line)
            if at:
                return Seen("killed", at[0])
    return Seen("error", f"exit {code}: " + (" / ".join(lines[-12:]) or "no output"))


def arguments(command, r):
    if r.problem.startswith(CASE):
        return [str(pathlib.Path(command).with_name(PROGRAMS[r.variant]))]
    if r.variant in BESIDE:
        return [str(pathlib.Path(command).with_name("kv_run")), r.variant, *r.problem.split()]
    return [command, "check", "--device", r.device, "--problem", r.problem, "--variant", r.variant, "--inputs", r.inputs]


def execute(command, folder, r, seed):
    """The run `r` with the kernels in `folder`."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(("FLASHL4_", "FL4_EMU_"))}
    env.update(FLASHL4_KERNEL_DIR=str(folder), FL4_EMU_MODE=r.mode, FL4_EMU_SEED=str(seed), OMP_NUM_THREADS="1")
    if r.counts:
        env["FL4_EMU_COUNTS"] = "1"
    if r.problem.startswith(CASE):
        env["CK_RUN_CASE"] = r.problem[len(CASE):]
    with subprocess.Popen(arguments(command, r), env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          errors="replace", start_new_session=True) as process:
        try:
            out, err = process.communicate(timeout=TIMEOUT)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            return Seen("error", f"no end after {TIMEOUT} s")
    return judge(process.returncode, out, err, r.counts)


def try_mutant(command, kernels, m, seed):
    """What was seen, and the run that saw it."""
    with tempfile.TemporaryDirectory(prefix="fl4-mutant-") as name:
        folder = pathlib.Path(name)
        copy_kernels(kernels, folder)
        try:
            edit(folder / m.file, m.find, m.replace, m.nth)
        except EditError as e:
            return Seen("error", str(e)), None
        for r in m.runs:
            seen = execute(command, folder, r, seed)
            if seen.verdict != "passed":
                return seen, r
        return Seen("passed", ""), None

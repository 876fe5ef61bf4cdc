# SPDX-License-Identifier: Apache-2.0
"""Sums up a `meson test` run, a TAP case at a time: what was skipped and why, then the counts.

meson's own summary counts programs. Cases are read from its JUnit file; its JSON log says which
programs went wrong although none of their cases did (a crash, a timeout, no output at all).
"""
import json
import re
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

GOOD, SKIP = {"OK", "EXPECTEDFAIL"}, "SKIP"


def short(name):
    """"flashl4:unit / os" of meson 1.0 and "unit - flashl4:os" of later ones are "os"."""
    return re.split(r":| / ", name)[-1]


def last_line(text):
    lines = [line.strip() for line in (text or "").splitlines() if line.strip()]
    return lines[-1] if lines else "no reason given"


def skip_reason(run):
    """Why a whole program was skipped: from its TAP plan, else the last thing it said."""
    plan = re.search(r"^1\.\.0\s*#\s*SKIP\s*(.*)$", run.get("stdout") or "", re.M | re.I)
    return plan.group(1) if plan and plan.group(1) else last_line(run.get("stderr") or run.get("stdout"))


def cases_by_program(junit):
    """{program: [(case, outcome, note)]} of the programs that reported single cases."""
    programs = {}
    for suite in ET.parse(junit).getroot().iter("testsuite"):
        for case in suite.findall("testcase"):
            if case.get("classname") != suite.get("name") or "." not in suite.get("name", ""):
                continue  # a program with one result: its JSON line says it all
            outcome = "passed"
            if case.find("skipped") is not None:
                outcome = "skipped"
            elif case.find("failure") is not None or case.find("error") is not None:
                outcome = "failed"
            program = short(suite.get("name").split(".", 1)[1])
            programs.setdefault(program, []).append((case.get("name"), outcome, case.findtext("system-out")))
    return programs


def main(build):
    logs = Path(build) / "meson-logs"
    try:
        cases = cases_by_program(logs / "testlog.junit.xml")
        runs = [json.loads(line) for line in (logs / "testlog.json").read_text().splitlines()]
    except OSError as error:
        print(f"the tests did not run: {error}", file=sys.stderr)
        return 1

    count = {"passed": 0, "failed": 0, "skipped": 0}
    skipped, failed = [], []
    for run in runs:
        name = short(run["name"])
        mine = cases.get(name, [])
        for case, outcome, note in mine:
            count[outcome] += 1
            if outcome == "skipped":
                skipped.append(f"{name}: {case}: {note or 'no reason given'}")
            elif outcome == "failed":
                failed.append(f"{name}: {case}")
        if run["result"] == SKIP and not mine:
            count["skipped"] += 1
            skipped.append(f"{name}: {skip_reason(run)}")
        elif run["result"] in GOOD and not mine:
            count["passed"] += 1
        elif run["result"] not in GOOD | {SKIP} and not any(outcome == "failed" for _, outcome, _ in mine):
            count["failed"] += 1
            failed.append(f"{name}: {run['result'].lower()}, exit status {run['returncode']}")

    for title, lines in (("Skipped", skipped), ("Failed", failed)):
        if lines:
            print(f"\n{title}:")
            print("\n".join(f"  {line}" for line in lines))
    print(f"\n{count['passed']} passed, {count['failed']} failed, {count['skipped']} skipped")
    return 1 if count["failed"] or not count["passed"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else "build"))

# SPDX-License-Identifier: Apache-2.0
"""symbols.py LIBRARY LIST HEADER…: exported symbols = the checked-in list = what the headers declare.

With --write in place of LIBRARY, makes the list from the headers.
"""
import pathlib
import re
import subprocess
import sys


def declared(headers):
    """Functions declared with FL4_API, comments and macro definitions left out."""
    names = set()
    for header in headers:
        text = re.sub(r"/\*.*?\*/", "", pathlib.Path(header).read_text(), flags=re.S)
        text = re.sub(r"^\s*#.*$", "", text, flags=re.M)
        names |= {re.search(r"(\w+)\s*\(", after).group(1) for after in text.split("FL4_API")[1:]}
    return names


def exported(library):
    lines = subprocess.run(["nm", "-D", "--defined-only", library], check=True, capture_output=True, text=True).stdout
    fields = [line.split() for line in lines.splitlines()]
    return {name.split("@")[0] for *_, kind, name in fields if kind != "A"}  # A: the version node itself


def main(library, list_file, *headers):
    in_headers = declared(headers)
    if library == "--write":
        pathlib.Path(list_file).write_text("".join(f"{name}\n" for name in sorted(in_headers)))
        return 0
    lines = pathlib.Path(list_file).read_text().split()
    problems = [] if lines == sorted(set(lines)) else [f"{list_file} is not sorted"]
    for what, names in (("the headers declare", in_headers), ("the library exports", exported(library))):
        problems += [f"{what} {name}, which is not in the list" for name in sorted(names - set(lines))]
        problems += [f"the list has {name}, which is not what {what}" for name in sorted(set(lines) - names)]
    print("\n".join(problems) or f"{len(lines)} symbols")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

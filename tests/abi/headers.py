# SPDX-License-Identifier: Apache-2.0
"""headers.py CC CXX HEADER…: each public header compiles alone, as C11 and as C++17, without a warning.

Every FL4_…_INIT is used once, so that one with a field too few or too many shows. CXX may be "".
"""
import pathlib
import re
import shlex
import subprocess
import sys

WARNINGS = ["-Wall", "-Wextra", "-Werror", "-pedantic", "-Wundef", "-fsyntax-only"]


def program(header):
    text = pathlib.Path(header).read_text()
    structs = [name.lower() for name in re.findall(r"^#define (FL4_\w+)_INIT\b", text, re.M)]
    uses = "".join(f"extern {s} made_{s};\n{s} made_{s} = {s.upper()}_INIT;\n" for s in structs)
    return f"#include <flashl4/{pathlib.Path(header).name}>\n{uses}extern int not_empty;\n"


def main(cc, cxx, *headers):
    failed = 0
    for header in headers:
        languages = [("c", "c11", cc, ["-Wstrict-prototypes", "-Wmissing-prototypes"]), ("c++", "c++17", cxx, [])]
        for language, standard, compiler, more in languages[header.endswith(".hpp") :]:
            if not compiler:
                print(f"{pathlib.Path(header).name} as {language}: no compiler, left out")
                continue
            command = [*shlex.split(compiler), "-x", language, f"-std={standard}", *WARNINGS, *more]
            command += ["-I", str(pathlib.Path(header).parents[1]), "-"]
            result = subprocess.run(command, input=program(header), capture_output=True, text=True)
            print(f"{pathlib.Path(header).name} as {language}: {'ok' if result.returncode == 0 else result.stderr}")
            failed += result.returncode != 0
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

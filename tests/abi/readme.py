# SPDX-License-Identifier: Apache-2.0
"""readme.py README INCLUDE CC CXX: the code in the README compiles. CXX may be ""."""
import pathlib
import re
import shlex
import subprocess
import sys


def main(readme, include, cc, cxx):
    blocks = re.findall(r"^```(\w+)\n(.*?)^```", pathlib.Path(readme).read_text(), re.M | re.S)
    compilers = {"c": (cc, ["-x", "c", "-std=c11"]), "cpp": (cxx, ["-x", "c++", "-std=c++17"])}
    seen, failed = set(), 0
    for language, code in blocks:
        seen.add(language)
        if language == "python":
            compile(code, readme, "exec")
        elif language in compilers and compilers[language][0]:
            compiler, flags = compilers[language]
            command = [*shlex.split(compiler), *flags, "-Wall", "-Wextra", "-Werror", "-fsyntax-only", "-I", include, "-"]
            result = subprocess.run(command, input=code, capture_output=True, text=True)
            print(result.stderr, end="")
            failed += result.returncode != 0
    missing = {"c", "cpp", "python"} - seen
    print(f"{len(blocks)} blocks of code" + "".join(f"; none in {language}" for language in missing))
    return 1 if failed or missing else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

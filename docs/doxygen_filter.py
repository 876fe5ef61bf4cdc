# SPDX-License-Identifier: Apache-2.0
"""doxygen_filter.py HEADER: the header with its lists, X(NAME, value, "text"), written out as enumerators.

Doxygen drops comments when it expands macros, so constants made from a list would go undocumented.
"""
import pathlib
import re
import sys

text = pathlib.Path(sys.argv[1]).read_text()
for name, body in re.findall(r"^#define (FL4_\w+)_MAP\(X\)[\s\\]*\n((?:.*\\\n)*.*\n)", text, re.M):
    entries = re.findall(r"X\((\w+), ([^\n]*)\)(?: +/\* (.*?) \*/)?", body)
    prefix = re.search(rf"^#define {name}_ENUM\(.*?\) (\w+)##", text, re.M).group(1)
    lines = []
    for entry, rest, comment in entries:
        number = re.match(r"(-?\d+), ", rest)
        value = f" = {number.group(1)}" if number else ""
        lines.append(f"  {prefix}{entry}{value}, /**< {comment or rest.split(chr(34))[-2]} */")
    text = re.sub(rf"#define {name}_ENUM\(.*\n\s*{name}_MAP\({name}_ENUM\)\n#undef {name}_ENUM", "\n".join(lines), text)
print(text, end="")

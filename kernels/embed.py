#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the kernel sources into one C file: embed.py OUTPUT.c FILE..."""
import pathlib
import re
import sys


def c_bytes(text):
    """The text as C character constants: unlike a string literal, an array has no limit of length."""
    data = list(text) + [0]
    rows = (data[i:i + 24] for i in range(0, len(data), 24))
    # Octal constants have the type and the sign of a char on every machine.
    return ',\n'.join('  ' + ','.join(str(b) if b < 128 else f"'\\{b:03o}'" for b in row) for row in rows)


def main(output, paths):
    files = sorted((pathlib.Path(p) for p in paths), key=lambda p: p.name)
    names = {file.name for file in files}
    out = ['/* Made by kernels/embed.py from the files of kernels/. */', '#include "cuda/sources.h"', '']
    for i, file in enumerate(files):
        text = file.read_bytes()
        if 0 in text:
            sys.exit(f'{file}: holds a zero byte')
        for header in re.findall(rb'^ *# *include "([^"]*)"', text, re.MULTILINE):
            if header.decode() not in names: # else only the user's first call would tell
                sys.exit(f'{file}: includes {header.decode()}, which kernels/meson.build does not list')
        out += [f'static const char text_{i}[] = {{ /* {file.name} */', c_bytes(text), '};', '']
    out += ['const fl4__source fl4__embedded_sources[] = {']
    out += [f'  {{"{file.name}", text_{i}}},' for i, file in enumerate(files)]
    out += ['};', f'const int fl4__n_embedded_sources = {len(files)};', '']
    pathlib.Path(output).write_text('\n'.join(out))


if __name__ == '__main__':
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2:])

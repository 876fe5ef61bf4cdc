#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the system wisdom into a C file: embed.py KERNELS OUTPUT.c FILE, KERNELS being the folder kernels/."""
import pathlib
import sys

if len(sys.argv) != 4:
    sys.exit(__doc__)
sys.path.insert(0, sys.argv[1])
sys.dont_write_bytecode = True
from embed import c_bytes  # noqa: E402

text = pathlib.Path(sys.argv[3]).read_bytes()
if 0 in text:
    sys.exit(f'{sys.argv[3]}: holds a zero byte')
pathlib.Path(sys.argv[2]).write_text('/* Made by lib/wisdom/embed.py. */\n#include "wisdom_store.h"\n\n'
                                     'const char fl4__system_wisdom[] = {\n' + c_bytes(text) + '};\n')

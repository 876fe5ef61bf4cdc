# SPDX-License-Identifier: Apache-2.0
"""Copies of the kernel sources with another text in one place."""
import re
import shutil


class EditError(Exception):
    """An edit that cannot be made."""


def find_nth(text, what, nth):
    places = [m.start() for m in re.finditer(re.escape(what), text)]
    if not places:
        raise EditError("the text to replace is not there")
    if nth is None and len(places) > 1:
        raise EditError(f"the text to replace is there {len(places)} times")
    if nth is not None and nth > len(places):
        raise EditError(f"the text to replace is there {len(places)} times, not {nth}")
    return places[(nth or 1) - 1]


def edit(file, find, replace, nth=None):
    """`nth`: which of several places, counted from 1; without it the text must be there once."""
    text = file.read_text()
    try:
        at = find_nth(text, find, nth)
        if find == replace:
            raise EditError("the edit changes nothing")
    except EditError as e:
        raise EditError(f"{file.name}: {e}: {find!r}") from None
    file.write_text(text[:at] + replace + text[at + len(find):])


def copy_kernels(kernels, folder):
    for file in sorted(kernels.iterdir()):
        if file.suffix in (".cu", ".cuh", ".h"):
            shutil.copy(file, folder)

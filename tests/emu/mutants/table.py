# SPDX-License-Identifier: Apache-2.0
"""What a mutant is, and the tables of them."""
import typing


class Run(typing.NamedTuple):
    """A call of `fl4 check`, or of kv_run: then the variant is the kernel's name, and the problem the case's fields."""

    problem: str
    variant: str
    inputs: str = "normal"
    mode: str = "late"  # when asynchronous copies land: late, early
    counts: bool = False  # are bank conflicts a kill?
    device: str = "emu"


class Mutant(typing.NamedTuple):
    """One piece of text in the kernel sources in place of another, and the runs that should notice, in order."""

    section: str
    name: str
    what: str
    file: str
    find: str
    replace: str
    nth: typing.Optional[int]
    runs: tuple

    @property
    def family(self):
        """Of the kernel that it is tried on."""
        return self.runs[0].variant.split(":")[0]


class Table(list):
    """Mutants in sections."""

    def section(self, title):
        self.title = title

    def mutant(self, name, what, file, find, replace, *runs, nth=None):
        """`nth`: which of several places, counted from 1; without it the text must be there once."""
        self.append(Mutant(self.title, name, what, file, find, replace, nth, runs))

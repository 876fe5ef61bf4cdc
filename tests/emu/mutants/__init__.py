# SPDX-License-Identifier: Apache-2.0
"""The mutants: tables of them (each file that has MUTANTS), the edits, and what becomes of a mutant that runs."""
import importlib
import pkgutil


def tables():
    """All mutants, in the order of the files' names and of the tables."""
    modules = (importlib.import_module(f"{__name__}.{m.name}") for m in pkgutil.iter_modules(__path__))
    return [m for module in modules for m in getattr(module, "MUTANTS", [])]

# SPDX-License-Identifier: Apache-2.0
"""Pieces that the modules of the package share: errors, C values as Python's, calls that take long."""
import ctypes
import signal

from . import _api
from ._api import lib as _lib


class Error(RuntimeError):
    """A call failed; `status` is the C status and `name` its name, "INVALID_ARGUMENT"."""

    __module__ = "flashl4"  # as users know it

    def __init__(self, status):
        self.status, self.name = status, _api.STATUS.get(status, "unknown status")
        super().__init__(_lib.fl4_last_error().decode(errors="replace") or _lib.fl4_status_string(status).decode())


def check(status):
    """Raises an Error unless the status is that of success."""
    if status != 0:
        raise Error(status)


def values(struct):
    """The fields of a C struct as plain Python values, by name; structs inside stay what they are."""
    out = {}
    for field in struct._fields_:
        name, value = field[0], getattr(struct, field[0])
        if name in ("struct_size", "reserved", "reserved0"):
            continue
        if isinstance(value, bytes):
            value = value.decode(errors="replace")
        elif isinstance(value, ctypes.Array):
            value = tuple(value)
        out[name] = value
    return out


def encoded(text):
    """A C string, or NULL for None."""
    return None if text is None else str(text).encode()


def choice(name, value, names):
    """The number of `value` among the names of a C enumeration."""
    if value not in names:
        raise ValueError(f"{name}: is {value!r}, must be one of {', '.join(names)}")
    return names.index(value)


def parse_problem(line, problem):
    """Fills a C problem from a line."""
    if not isinstance(line, str):
        raise TypeError(f"problem: is a {type(line).__name__}, must be a line such as 'b2hq8sq1024d64:bf16:causal'")
    check(_lib.fl4_problem_parse(line.encode(), ctypes.byref(problem)))


def format_problem(problem):
    """The line of a C problem: equal problems give equal lines."""
    text = ctypes.create_string_buffer(_api.PROBLEM_LINE_MAX)
    check(_lib.fl4_problem_format(ctypes.byref(problem), text, len(text)))
    return text.value.decode()


class Watch:
    """Carries Python's exceptions over a C call with a progress callback: they cancel it, and are raised when it has
    returned. `progress` is called with what `convert` makes of the C struct, and a true value of it cancels too."""

    def __init__(self, function_type, progress, convert):
        self.progress, self.convert = progress, convert
        self.exception = self.signal = self.handler = None
        self.function = function_type(self._call)

    def _call(self, progress, user):
        if self.exception is not None or self.signal:
            return 1
        try:
            if self.progress is None:
                return 0
            return 1 if self.progress(self.convert(progress.contents)) else 0
        except BaseException as exception:
            self.exception = exception
            return 1

    # An interrupt that came while C ran would be raised before the first line of _call(), and so be lost.
    # It is only noted therefore, and dealt with at the end.
    def __enter__(self):
        self.exception = self.signal = self.handler = None
        handler = signal.getsignal(signal.SIGINT)
        if callable(handler):
            try:
                signal.signal(signal.SIGINT, self._interrupted)
                self.handler = handler
            except ValueError:
                pass  # not the main thread, so not the one that interrupts go to
        return self

    def _interrupted(self, *arguments):
        self.signal = arguments

    def __exit__(self, *exception):
        if self.handler:
            signal.signal(signal.SIGINT, self.handler)
        if self.exception is not None:
            raise self.exception
        if self.signal:
            self.handler(*self.signal)

"""Which frames of a traceback a person sees: those of their code, here and on workers, and none of ours.

Owns that choice. A fault of our own keeps all its frames, so that it can be reported. Never shows anything.
Read next: `kernel/showing.py`, `worker/errors.py`.
"""

import opcode
import os
import types
from collections.abc import Iterator
from typing import Any

_RAISE = opcode.opmap["RAISE_VARARGS"]
_LIBRARY = os.path.dirname(os.__file__) + os.sep
STAND_IN = "_cellmesh_stand_in"
"""A global of frames that stand for those of another process."""


def tidy(error: BaseException) -> None:
    """Take our frames out of this exception's traceback, and out of those of what it came from."""
    seen: set[int] = set()
    left: list[Any] = [error]
    while left:
        one = left.pop()
        if isinstance(one, BaseException) and id(one) not in seen:
            seen.add(id(one))
            one.__traceback__ = _tidied(one)
            left += [one.__cause__, one.__context__, *getattr(one, "exceptions", ())]


def fresh(error: BaseException) -> BaseException:
    """This error, to be raised once more: from where it came to us, whatever lines have raised it since."""
    entries = list(_entries(error.__traceback__))
    remote = next((entry for entry in entries if STAND_IN in entry.tb_frame.f_globals), None)
    ours = [entry for entry in entries if _is_ours(entry)]
    if remote is not None or ours:
        error.__traceback__ = remote or ours[-1].tb_next
    return error


def is_stopped_await(error: BaseException) -> bool:
    """Whether this ended a coroutine that awaited something of ours, and we have not raised it."""
    entries = list(_entries(error.__traceback__))
    return _is_cancelled(error) and bool(entries) and _is_ours(entries[-1]) and not _is_raised(entries[-1])


def _tidied(error: BaseException) -> types.TracebackType | None:
    entries = list(_entries(error.__traceback__))
    if not any(map(_is_ours, entries)):
        return error.__traceback__
    interrupted = isinstance(error, KeyboardInterrupt) or _is_cancelled(error)
    meant = _is_raised(entries[-1]) and not isinstance(error, AssertionError)
    if _is_ours(entries[-1]) and not (interrupted or meant):
        return error.__traceback__  # a fault of ours
    shown: list[types.TracebackType] = []
    called: list[types.TracebackType] = []  # libraries that we have called; hidden if they have called us
    inside = False
    for entry in entries:
        if _is_ours(entry):
            inside = True
            called.clear()
        elif inside and _is_library(entry):
            called.append(entry)
        else:
            shown += [*called, entry]
            inside = False
            called.clear()
    if not interrupted:
        shown += called
    trace: types.TracebackType | None = None
    for entry in reversed(shown):
        entry.tb_next = trace
        trace = entry
    return trace


def _entries(trace: types.TracebackType | None) -> Iterator[types.TracebackType]:
    while trace is not None:
        yield trace
        trace = trace.tb_next


def _is_ours(entry: types.TracebackType) -> bool:
    return str(entry.tb_frame.f_globals.get("__name__", "")).partition(".")[0] == "cellmesh"


def _is_library(entry: types.TracebackType) -> bool:
    """Installed, or of Python itself, and of this process."""
    if STAND_IN in entry.tb_frame.f_globals:
        return False
    file = entry.tb_frame.f_code.co_filename
    return file.startswith((_LIBRARY, "<frozen ")) or "site-packages" in file or "dist-packages" in file


def _is_raised(entry: types.TracebackType) -> bool:
    """Whether a `raise` was at work there: the error is meant for people."""
    return entry.tb_frame.f_code.co_code[entry.tb_lasti] == _RAISE


def _is_cancelled(error: BaseException) -> bool:
    """An asyncio.CancelledError, with asyncio not imported for it."""
    return type(error).__name__ == "CancelledError" and not isinstance(error, Exception)

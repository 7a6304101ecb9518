"""An exception that the interpreter raises in another thread, between two bytecodes.

Owns the raising and its being taken back. Never decides who is to be interrupted. Read next: `interrupts.py`,
`host/stopping.py`.
"""

import ctypes

_set = ctypes.pythonapi.PyThreadState_SetAsyncExc


class _TakenBackError(BaseException):
    """Raised and caught in one place."""


def raise_in(thread: int, kind: type[BaseException]) -> None:
    """Have it raised in the thread of this identifier, as soon as that runs Python."""
    _set(ctypes.c_ulong(thread), ctypes.py_object(kind))


def take_back(thread: int) -> None:
    """In that thread: one that was to be raised here, and has not been, never will be.

    CPython (3.11) goes on looking for one that was only deleted: every thread runs slower from then on, and
    hangs when it is traced by the bytecode. So another one takes its place, and is raised here.
    """
    try:
        raise_in(thread, _TakenBackError)
        while True:
            pass
    except _TakenBackError:
        pass

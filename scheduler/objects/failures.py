"""An exception on its way from a worker to the notebook.

Owns the record `Failure`: the exception itself if it can be pickled, what a person reads, and the remote
frames, from which the kernel rebuilds a traceback in the cell's own lines. Never imports user modules by
itself. Read next: `cellmesh/kernel/tracebacks.py`.
"""

from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class RemoteFrame:
    """One frame of user code, outermost first."""

    filename: str
    name: str
    lineno: int
    source: str = ""  # whole text of the file if the notebook may not have it (a cell, a <string>)
    firstlineno: int = 1  # where the function begins


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """An exception whose own pickling fails, in parts: it can be made again without its `__init__`."""

    cls: type[BaseException]
    args: tuple[Any, ...]
    state: dict[str, Any]  # of its attributes those that can be pickled

    def make(self) -> BaseException:
        """The exception.

        >>> Rebuilt(KeyError, ("x",), {"hint": "y"}).make()
        KeyError('x')
        """
        error = self.cls.__new__(self.cls)
        builtin = next(base for base in self.cls.__mro__ if base.__module__ == "builtins")
        with suppress(Exception):  # errno and the like are in no __dict__: the base's own __init__ sets them
            builtin.__init__(error, *self.args)  # type: ignore[misc]
        error.args = self.args
        error.__dict__.update(self.state)
        return error


@dataclass(frozen=True, slots=True)
class Failure:
    """Everything the notebook needs to raise the remote exception as its own."""

    exception: bytes | None  # pickled: itself, or a `Rebuilt`; None if that failed too
    type_name: str
    message: str
    frames: tuple[RemoteFrame, ...]
    text: str  # the full formatted remote traceback
    worker: str  # "worker 1" or "a task worker (pid 123)"
    item: int | None = None  # index in the map
    item_repr: str = ""
    hint: str = ""  # what to try
    notes: tuple[str, ...] = field(default=())


LOST = "WorkerLost"


def lost(why: str, item: int) -> Failure:
    """Of an item that no worker survives: the hub's word, as there is no worker left to tell it."""
    return Failure(None, LOST, why, (), "", "", item)


__all__ = ["LOST", "Failure", "Rebuilt", "RemoteFrame", "lost"]

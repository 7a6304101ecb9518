"""An exception on its way from a worker to the notebook.

Owns the record `Failure`: the exception itself if it can be pickled, what a person reads, and the remote
frames, from which the kernel rebuilds a traceback in the cell's own lines. Never imports user modules by
itself. Read next: `cellmesh/kernel/tracebacks.py`.
"""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class RemoteFrame:
    """One frame of user code, outermost first."""

    filename: str
    name: str
    lineno: int
    source: str = ""  # whole text of the file if the notebook may not have it (a cell, a <string>)


@dataclass(frozen=True, slots=True)
class Failure:
    """Everything the notebook needs to raise the remote exception as its own."""

    exception: bytes | None  # pickled; None if that failed
    type_name: str
    message: str
    frames: tuple[RemoteFrame, ...]
    text: str  # the full formatted remote traceback
    worker: str  # "worker 1" or "a task worker (pid 123)"
    item: int | None = None  # index in the map
    item_repr: str = ""
    hint: str = ""  # what to try
    notes: tuple[str, ...] = field(default=())


__all__ = ["Failure", "RemoteFrame"]

"""Which item a worker is at, where it can be read after the worker's death.

Owns the few bytes of shared memory for that. Only attempts that come after a death are marked: the first one
of a task must not pay for it. Never decides what a death means. Read next: `../core/deaths.py`.
"""

import mmap
import os
import struct
from pathlib import Path

from cellmesh.scheduler.wire import system

_FORM = struct.Struct("=qq")  # the attempt, and the item's index in its task


def _path(prefix: str) -> Path:
    return system.shared_memory_folder() / f"{prefix}at"


class Mark:
    """A worker's mark. `prefix`: of the names of its segments, with which it is swept up."""

    def __init__(self, prefix: str) -> None:
        fd = os.open(_path(prefix), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.ftruncate(fd, _FORM.size)
            self._memory = mmap.mmap(fd, _FORM.size)
        finally:
            os.close(fd)

    def set(self, attempt: int, item: int) -> None:
        """This item is about to run."""
        _FORM.pack_into(self._memory, 0, attempt, item)


def read(prefix: str) -> tuple[int, int] | None:
    """The attempt and the item that a worker was at last, if it had a mark."""
    try:
        data = _path(prefix).read_bytes()
    except OSError:
        return None
    if len(data) != _FORM.size:
        return None
    attempt, item = _FORM.unpack(data)
    return attempt, item

"""Shared-memory segments: write once, map read-only, unlink when nobody needs the name.

Owns files in the shared-memory folder. Never counts references: whoever made or was given a segment says
when its name goes (`unlink`); mapped views stay valid after that, as the operating system keeps the memory
until the last view is gone. Read next: `codec.py`.
"""

import mmap
import os
from collections.abc import Sequence
from itertools import count

from cellmesh.scheduler.wire import system

_counter = count(1)


class StoreFullError(MemoryError):
    """There is no room for a segment."""


def new_name(prefix: str) -> str:
    """A name that no other process makes: the prefix names the hub and the maker."""
    return f"{prefix}{os.getpid():x}-{next(_counter):x}"


def write(name: str, parts: Sequence[bytes | memoryview]) -> int:
    """Make the segment out of these parts; returns its size. Leaves nothing behind if there is no room."""
    path = system.shared_memory_folder() / name
    size = sum(len(part) for part in parts)
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(fd, 0, size)  # ENOSPC here, not SIGBUS later
        for part in parts:
            view = memoryview(part)
            while len(view):
                view = view[os.write(fd, view) :]
    except OSError as error:
        path.unlink(missing_ok=True)
        raise StoreFullError(
            f"No room for {size / 1e6:,.0f} MB in {path.parent} ({error.strerror}). Free objects "
            "(del, %mesh reset) or enlarge it."
        ) from error
    finally:
        os.close(fd)
    return size


def view(name: str) -> memoryview:
    """Map a segment read-only; the view keeps it alive."""
    path = system.shared_memory_folder() / name
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return memoryview(mmap.mmap(fd, 0, access=mmap.ACCESS_READ))
    finally:
        os.close(fd)


def unlink(name: str) -> None:
    """Take the name away; views of it stay valid."""
    (system.shared_memory_folder() / name).unlink(missing_ok=True)

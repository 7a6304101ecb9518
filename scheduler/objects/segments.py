"""Shared-memory segments as their readers see them: map by name, keep as long as a view lives, unlink.

Owns names and mappings. Never counts references: whoever made or was given a segment says when it is free.
A mapped view stays valid after that. The memory of a segment whose name is marked recyclable may be written
again by its maker, so its readers hold a lock (`flock`) on the file: the mapping owns the locked descriptor,
so the lock lives exactly as long as the last array over it, and dies with the process.
Read next: `maker.py`.
"""

import errno
import fcntl
import mmap
import os
import resource
import weakref
from collections.abc import Callable
from itertools import count

from cellmesh.scheduler.wire import system
from cellmesh.scheduler.wire.messages import Ref

RECYCLABLE = "R"  # its maker is told when it is free, and writes it again
ON_DISK = "D"  # the name is a link to a file on disk
PRIVATE = "P"  # some of its buffers may be written to by who loads it
FREE = "F"  # nobody needs it; its maker keeps the memory for what it makes next
_MARKS = 3

_counter = count(1)
_elsewhere: dict[str, Callable[[Ref], bytes | bytearray | None]] = {}
_views: "weakref.WeakSet[mmap.mmap]" = weakref.WeakSet()


class StoreFullError(MemoryError):
    """There is no room for a segment."""


class ObjectGoneError(LookupError):
    """A segment is not there (any more)."""


def new_name(prefix: str, marks: str = "") -> str:
    """A name that no other process makes: the prefix names the hub and the maker."""
    return f"{prefix}{os.getpid():x}-{next(_counter):x}{marks}"


def realm(prefix: str) -> str:
    """How the names of all objects begin that are where those of this prefix are."""
    return prefix[: prefix.rindex("-", 0, -1) + 1]


def has_mark(name: str, mark: str) -> bool:
    """Whether the name is marked so; numbers in names are in lower case."""
    return mark in name[-_MARKS:]


def path_of(name: str) -> str:
    """Where the segment is."""
    return f"{system.shared_memory_folder()}/{name}"


def view(ref: Ref) -> memoryview:
    """Map a segment; the view keeps it alive. What is written to it, if it can be, nobody else sees."""
    path = path_of(ref.name)
    protection = mmap.PROT_READ | (mmap.PROT_WRITE if has_mark(ref.name, PRIVATE) else 0)
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return _brought(ref)
    try:
        if has_mark(ref.name, RECYCLABLE):
            _lock(fd, path, ref)
        if len(_views) >= _most_views():
            return _copy(fd, ref)
        mapped = mmap.mmap(fd, ref.size, flags=mmap.MAP_PRIVATE, prot=protection)
    finally:
        os.close(fd)
    _views.add(mapped)
    return memoryview(mapped)


def viewed() -> bool:
    """Whether this process has a view of some segment."""
    return bool(_views)


def elsewhere(prefix: str, read: Callable[[Ref], bytes | bytearray | None]) -> None:
    """Segments of such names are in another machine's memory: this brings what is in one, if it knows it."""
    _elsewhere[prefix] = read


def nowhere(prefix: str) -> None:
    """They cannot be brought any more."""
    _elsewhere.pop(prefix, None)


def _brought(ref: Ref) -> memoryview:
    for prefix, read in list(_elsewhere.items()):
        if ref.name.startswith(prefix):
            content = read(ref)
            if content is None:
                continue
            return memoryview(bytearray(content) if has_mark(ref.name, PRIVATE) else content)
    raise gone(ref) from None


def _lock(fd: int, path: str, ref: Ref) -> None:
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        if os.stat(path).st_ino == os.fstat(fd).st_ino:
            return
    except (BlockingIOError, FileNotFoundError):
        pass  # its maker is writing something else to it
    raise gone(ref)


def gone(ref: Ref) -> ObjectGoneError:
    return ObjectGoneError(
        f"An object of {ref.size:,d} bytes is gone: the Future that stood for it was dropped, or its session "
        "was reset. Keep a reference to the Future as long as something needs it."
    )


def _most_views() -> int:
    """Each view holds a descriptor: half of those that the process may have are left to the user."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return soft // 2


def _copy(fd: int, ref: Ref) -> memoryview:
    """The content in memory of this process alone."""
    content = memoryview(mmap.mmap(-1, ref.size))
    done = 0
    while done < ref.size:
        step = os.preadv(fd, [content[done:]], done)
        if not step:
            raise OSError(errno.EIO, "a segment is shorter than its reference says", ref.name)
        done += step
    return content


def unlink(name: str) -> None:
    """Take the name away; views of it stay valid."""
    path = path_of(name)
    if has_mark(name, ON_DISK):
        try:
            os.unlink(os.readlink(path))
        except FileNotFoundError:
            pass  # its maker died before it made the file
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass

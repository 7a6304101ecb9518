"""One maker of segments: written once, and again when nobody needs them any more.

Owns the writing of segments. A fresh segment costs a page fault for every 4 KiB, an order of magnitude more
than the copy itself, so a maker keeps some of what is freed and writes it again; what it has written twice
stays mapped. Never decides what is free: the hub says so (`freed`). What does not fit into shared memory
becomes a file on disk under the same name. Read next: `makers.py`, `segments.py`, `room.py`.
"""

import errno
import fcntl
import mmap
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cellmesh.scheduler.wire import system
from cellmesh.scheduler.wire.messages import Ref

from . import segments
from .room import Room, limit
from .segments import FREE, ON_DISK, RECYCLABLE, StoreFullError

RECYCLE_FROM = 256 << 10
"""Smaller ones are made and unlinked: their pages cost hardly more than the word that they are free."""

KEPT_PART = 8
"""A process keeps at most an eighth of the store's limit in segments that are free, and at most 1 GiB."""
KEPT_BYTES = 1 << 30
KEPT = 256
"""And at most so many of them: each write looks through them all."""

MAPPED = 64
"""Segments in use that stay mapped with their maker: each costs a descriptor, and page tables."""

DISK_RESERVE = 64 << 20
"""Bytes of the disk that are left to journals and logs: objects alone must not stop the hub."""

_SLACK = 1 << 20  # a free segment may be so much larger than a small object, without being wasted on it
_SLICE = 16 << 20  # copied or written at a time: other threads get their turn in between, and so does Stop
_VECTORS = 1024  # parts in one system call, at most


@dataclass(slots=True)
class _Segment:
    """Memory that this process may write again once it is free."""

    name: str
    capacity: int
    mapped: mmap.mmap | None = None


class Maker:
    """Writes the segments of this process whose names begin with `prefix`.

    `spill` is the folder for what does not fit into shared memory.
    """

    def __init__(self, prefix: str, spill: Path) -> None:
        self.prefix = prefix
        self._spill = spill
        self._hub = segments.realm(prefix)
        self._room = Room(self._hub, limit())
        self._most = min(KEPT_BYTES, self._room.limit // KEPT_PART)
        self._used: dict[str, _Segment] = {}
        self._free: list[_Segment] = []  # oldest first
        self._lock = threading.Lock()

    def write(self, parts: Sequence[bytes | memoryview], marks: str = "") -> Ref:
        """Make a segment out of these parts."""
        size = sum(len(part) for part in parts)
        if size < RECYCLE_FROM:
            capacity = size
        else:
            marks += RECYCLABLE
            reference = self._write_again(size, parts, marks)
            if reference is not None:
                return reference
            capacity = _capacity(size)
        for _ in range(2):
            if self._room.take(capacity):
                name = _noted(segments.new_name(self.prefix, marks))
                try:
                    _write_file(segments.path_of(name), capacity, parts)
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise
                else:
                    if size >= RECYCLE_FROM:
                        with self._lock:
                            self._used[name] = _Segment(name, capacity)
                    return Ref(name, size)
            if not self._let_go(0):
                break
            self._room.recount()
        return self._write_to_disk(size, parts, marks.replace(RECYCLABLE, ""))

    def freed(self, name: str) -> None:
        """Nobody needs this segment any more: keep it for what is written next, or unlink it."""
        with self._lock:
            segment = self._used.pop(name, None)
        if segment is None:
            segments.unlink(name)
            return
        segment.name = name + FREE  # so that whoever looks from outside can tell
        try:
            os.rename(segments.path_of(name), segments.path_of(segment.name))
        except FileNotFoundError:
            return  # a hub that came back, or the session's end, has unlinked it
        with self._lock:
            self._free.append(segment)
        self._let_go(self._most, KEPT)

    def let_go(self) -> None:
        """Unlink what is free."""
        self._let_go(0)

    def _let_go(self, most: int, count: int = 0) -> bool:
        """Unlink free segments, oldest first, but for so many bytes and segments; whether there was any."""
        found = False
        while True:
            with self._lock:
                kept = sum(segment.capacity for segment in self._free)
                if kept <= most and len(self._free) <= count:
                    return found
                segment = self._free.pop(0)
            segments.unlink(segment.name)
            found = True

    def _write_again(self, size: int, parts: Sequence[bytes | memoryview], marks: str) -> Ref | None:
        while (segment := self._fitting(size)) is not None:
            old = segments.path_of(segment.name)
            try:
                fd = os.open(old, os.O_RDWR | os.O_CLOEXEC)
            except FileNotFoundError:
                continue  # a hub that came back, or the session's end, has unlinked it
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                segment.name = _noted(segments.new_name(self.prefix, marks))  # the old one may still be known
                os.rename(old, segments.path_of(segment.name))
                if segment.mapped is None:
                    flags = mmap.MAP_SHARED | getattr(mmap, "MAP_POPULATE", 0)
                    segment.mapped = mmap.mmap(fd, segment.capacity, flags=flags)
                _copy(parts, segment.mapped)
                fcntl.flock(fd, fcntl.LOCK_UN)  # the mapping has the same description of the file
            except BlockingIOError:
                segments.unlink(segment.name)  # somebody has a view of it
                continue
            except FileNotFoundError:
                continue
            except BaseException:  # Stop too: nobody else knows of it
                segments.unlink(segment.name)
                raise
            finally:
                os.close(fd)
            with self._lock:
                if sum(used.mapped is not None for used in self._used.values()) >= MAPPED:
                    segment.mapped = None
                self._used[segment.name] = segment
            return Ref(segment.name, size)
        return None

    def _fitting(self, size: int) -> _Segment | None:
        """The smallest free segment that is large enough and not far too large."""
        with self._lock:
            fits = [s for s in self._free if size <= s.capacity <= size + size // 4 + _SLACK]
            if not fits:
                return None
            best = min(fits, key=lambda segment: (segment.capacity, segment.mapped is None))
            _noted(best.name)
            self._free.remove(best)
            return best

    def _write_to_disk(self, size: int, parts: Sequence[bytes | memoryview], marks: str) -> Ref:
        name = _noted(segments.new_name(self.prefix, marks + ON_DISK))
        self._spill.mkdir(mode=0o700, exist_ok=True)
        state = os.statvfs(self._spill)
        if size + DISK_RESERVE > state.f_bavail * state.f_frsize:
            raise self._full(size)
        path = self._spill / name.removeprefix(self._hub)
        os.symlink(path, segments.path_of(name))  # first: by its name it is found and swept up
        try:
            _write_file(str(path), size, parts)
        except BaseException as error:
            segments.unlink(name)
            if not isinstance(error, OSError) or error.errno != errno.ENOSPC:
                raise
            raise self._full(size) from None
        return Ref(name, size)

    def _full(self, size: int) -> StoreFullError:
        return StoreFullError(
            f"No room for {size / 1e6:,.0f} MB: neither in {system.shared_memory_folder()} nor on the disk "
            f"of {self._spill}. Free objects (del, %mesh reset), or enlarge one of them."
        )


class _Making(threading.local):
    names: list[str] | None = None


_making = _Making()


def _noted(name: str) -> str:
    if _making.names is not None:
        _making.names.append(name)
    return name


@contextmanager
def undone(free: Callable[[str], object]) -> Iterator[None]:
    """If this is left by an exception (Stop may come at any point), free what this thread has made in it."""
    outer = _making.names
    names = _making.names = [] if outer is None else outer  # one for all: nothing is to be handed over
    inside = len(names)
    try:
        yield
    except BaseException:
        for name in names[inside:]:
            free(name)
        raise
    finally:
        _making.names = outer


def _capacity(size: int) -> int:
    """Rounded up by a sixteenth at most, so that the next object of about this size fits."""
    step = 1 << max(16, size.bit_length() - 5)
    return -(-size // step) * step


def _write_file(path: str, capacity: int, parts: Sequence[bytes | memoryview]) -> None:
    """Make a file with room for `capacity` bytes; leaves none behind if there is not so much room."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        if capacity >= RECYCLE_FROM and hasattr(os, "posix_fallocate"):
            for start in range(0, capacity, _SLICE):  # ENOSPC here, not SIGBUS when it is mapped and written
                os.posix_fallocate(fd, start, min(_SLICE, capacity - start))
        for vector in _vectors(parts):
            while vector:
                written = os.writev(fd, vector)
                while vector and written >= len(vector[0]):
                    written -= len(vector.pop(0))
                if written:
                    vector[0] = vector[0][written:]
    except BaseException:  # Stop too: nobody else knows of it
        os.unlink(path)
        raise
    finally:
        os.close(fd)


def _vectors(parts: Sequence[bytes | memoryview]) -> Iterator[list[memoryview]]:
    """What to write in one system call each: many small parts, or a slice of a large one."""
    vector: list[memoryview] = []
    room = _SLICE
    for part in parts:
        for start in range(0, len(part), _SLICE):
            piece = memoryview(part)[start : start + _SLICE]
            if len(vector) == _VECTORS or len(piece) > room:
                yield vector
                vector, room = [], _SLICE
            vector.append(piece)
            room -= len(piece)
    yield vector


def _copy(parts: Sequence[bytes | memoryview], target: mmap.mmap) -> None:
    offset = 0
    with memoryview(target) as memory:
        for part in parts:
            for start in range(0, len(part), _SLICE):
                piece = part[start : start + _SLICE]
                memory[offset : offset + len(piece)] = piece
                offset += len(piece)

"""Everything that workers printed, in segment files, up to a cap; and reading it back.

Owns the files `<worker>.<number>.log` of a session's log folder: records of a 4-byte length and the msgpack
of [wall time, job, task, stream, text]. Never fails a task: when the disk is full it stops, and says so
once. Read next: `output.py`.
"""

import heapq
import re
import struct
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

import msgspec

_LENGTH = struct.Struct("<I")
_FLUSH = 64 * 1024
SEGMENT = 8 * 1024 * 1024
CAP = 1024**3


@dataclass(frozen=True, slots=True)
class LogRecord:
    """Something printed; `job` is None for what came outside of any task."""

    wall: float
    worker: str  # as the file names it: "w1" is mesh worker 1, "t7" a task worker
    job: int | None
    task: int | None
    stream: str
    text: str


def _slug(label: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "-", label).strip("-")


def _segments(folder: Path) -> list[tuple[str, int, Path]]:
    found = []
    for path in folder.glob("*.log"):
        name, _, number = path.stem.rpartition(".")
        if name and number.isdigit():
            found.append((name, int(number), path))
    return sorted(found)


class LogWriter:
    """Writes one worker's log. Calls come under the output's lock, so it needs none of its own."""

    def __init__(self, folder: str | Path, worker_label: str, cap: int = CAP, segment: int = SEGMENT) -> None:
        self._folder = Path(folder)
        self._name = _slug(worker_label)
        self._cap = cap
        self._segment = segment
        self._encoder = msgspec.msgpack.Encoder()
        self._buffer: list[bytes] = []
        self._buffered = 0
        self._written = 0
        self._file: BinaryIO | None = None
        self.trouble = ""  # why logging stopped, once it has

    def write(self, job: int | None, task: int | None, stream: str, text: str) -> None:
        """Add a record."""
        if self.trouble:
            return
        try:
            record = self._encoder.encode((time.time(), job, task, stream, text))
        except UnicodeEncodeError:  # a lone surrogate, as undecodable file names have
            text = text.encode("utf-8", "backslashreplace").decode()
            record = self._encoder.encode((time.time(), job, task, stream, text))
        self._buffer.append(_LENGTH.pack(len(record)))
        self._buffer.append(record)
        self._buffered += len(record) + _LENGTH.size
        if self._buffered >= _FLUSH:
            self.flush()

    def flush(self) -> None:
        """Hand what is buffered to the operating system."""
        if not self._buffer:
            return
        data = b"".join(self._buffer)
        self._buffer.clear()
        self._buffered = 0
        try:
            if self._file is None or self._written >= self._segment:
                dropped = self._next_segment()
                if dropped:
                    text = f"{dropped:,} bytes of older logs were dropped: the cap is {self._cap:,} bytes.\n"
                    note = self._encoder.encode((time.time(), None, None, "note", text))
                    data = _LENGTH.pack(len(note)) + note + data
            assert self._file is not None
            view = memoryview(data)
            while len(view):  # an unbuffered file may take less than it is given
                view = view[self._file.write(view) :]
            self._written += len(data)
        except OSError as error:
            self.trouble = f"This worker's log stopped: {error.strerror or error} ({self._folder})."
            self._forget_file()

    def close(self) -> None:
        """Write what is left."""
        self.flush()
        self._forget_file()

    def _forget_file(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            file.close()

    def _next_segment(self) -> int:
        """Open a new file, deleting the oldest ones beyond the cap; returns how many bytes went."""
        self._forget_file()
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        segments = _segments(self._folder)
        number = max((n for name, n, _ in segments if name == self._name), default=0) + 1
        known = []
        for _, _, path in segments:
            try:
                status = path.stat()
            except FileNotFoundError:
                continue  # another worker of the session deleted it just now
            known.append((status.st_mtime_ns, status.st_size, path))
        total = sum(size for _, size, _ in known) + self._segment
        dropped = 0
        for _, size, path in sorted(known):
            if total <= self._cap:
                break
            path.unlink(missing_ok=True)
            total -= size
            dropped += size
        self._file = open(self._folder / f"{self._name}.{number}.log", "xb", buffering=0)  # noqa: SIM115
        self._written = 0
        return dropped


def _read_segment(name: str, path: Path) -> Iterator[LogRecord]:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return  # dropped by the cap since it was listed
    offset = 0
    while offset + _LENGTH.size <= len(data):
        (length,) = _LENGTH.unpack_from(data, offset)
        offset += _LENGTH.size
        if offset + length > len(data):
            return  # the writer died, or is still writing
        wall, job, task, stream, text = msgspec.msgpack.decode(data[offset : offset + length])
        offset += length
        yield LogRecord(wall, name, job, task, stream, text)


def read_logs(
    folder: str | Path,
    worker: int | str | None = None,
    job: int | None = None,
    tail: int | None = None,
) -> Iterator[LogRecord]:
    """What the session's workers printed, oldest first; `tail` keeps the last so many lines.

    `worker` is a mesh number or a label as given to `LogWriter`.
    """
    wanted = _slug(f"w{worker}" if isinstance(worker, int) else worker) if worker is not None else None
    segments: dict[str, list[Path]] = {}
    for name, _, path in _segments(Path(folder)):
        if wanted in (None, name):
            segments.setdefault(name, []).append(path)

    def records(name: str) -> Iterator[LogRecord]:
        for path in segments[name]:
            yield from (r for r in _read_segment(name, path) if job is None or r.job == job)

    def newest_first(name: str) -> Iterator[LogRecord]:
        for path in reversed(segments[name]):  # so that a gigabyte is not read for 20 lines
            found = [r for r in _read_segment(name, path) if job is None or r.job == job]
            yield from reversed(found)

    if tail is None:
        yield from heapq.merge(*(records(name) for name in segments), key=lambda r: r.wall)
        return
    newest = (record for name in segments for record in _last_lines(newest_first(name), tail))
    yield from reversed(_last_lines(sorted(newest, key=lambda r: r.wall, reverse=True), tail))


def _last_lines(newest_first: Iterable[LogRecord], lines: int) -> list[LogRecord]:
    """The records that hold the last so many lines, newest first."""
    kept: list[LogRecord] = []
    for record in newest_first:
        if lines <= 0:
            break
        parts = record.text.splitlines(keepends=True)[-lines:]
        lines -= len(parts)
        kept.append(replace(record, text="".join(parts)))
    return kept

"""What workers and actors printed, as it lies in a session's folder of logs; reading it back.

Owns the form of the files `<worker>.<number>.log`: records of a 4-byte length and the msgpack of [wall time,
job, task, stream, text]. Never writes them. Read next: `../worker/logs.py`, which does.
"""

import heapq
import re
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

LENGTH = struct.Struct("<I")
_ODD = re.compile(r"[^A-Za-z0-9]+")


@dataclass(frozen=True, slots=True)
class LogRecord:
    """Something printed; `job` is None for what came outside of any task."""

    wall: float
    worker: str  # as the file names it: "w1" is mesh worker 1, "t7" a task worker, "a9" an actor
    job: int | None
    task: int | None
    stream: str
    text: str


def slug(label: str) -> str:
    """The label as a part of a file name."""
    return _ODD.sub("-", label).strip("-")


def log_files(folder: Path) -> list[tuple[str, int, Path]]:
    """Of all workers: whose, its number, and where it is."""
    found = []
    for path in folder.glob("*.log"):
        name, _, number = path.stem.rpartition(".")
        if name and number.isdigit():
            found.append((name, int(number), path))
    return sorted(found)


def _read_segment(name: str, path: Path) -> Iterator[LogRecord]:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return  # dropped by the cap since it was listed
    offset = 0
    while offset + LENGTH.size <= len(data):
        (length,) = LENGTH.unpack_from(data, offset)
        offset += LENGTH.size
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
    wanted = slug(f"w{worker}" if isinstance(worker, int) else worker) if worker is not None else None
    segments: dict[str, list[Path]] = {}
    for name, _, path in log_files(Path(folder)):
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

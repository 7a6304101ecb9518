"""sys.stdout and sys.stderr of a process in which tasks run in threads: each thread's text goes its own way.

Owns the two streams that stand in for the process's, and which thread prints where. What no task of ours
prints goes where it went before, also what the threads print that a task starts itself. Read next: `work.py`.
"""

from __future__ import annotations

import io
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

from cellmesh.scheduler.worker.streams import Streams, TaskStream


class _Here(threading.local):
    streams: Streams | None = None


_here = _Here()


class ThreadStream(io.TextIOBase):
    """Stands for one of the two, in every thread."""

    def __init__(self, name: Literal["stdout", "stderr"], before: Any) -> None:
        self._name = name
        self.before = before

    def _now(self) -> Any:
        streams = _here.streams
        if streams is None:
            return self.before
        stream: TaskStream = getattr(streams, self._name)
        return stream

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return str(self._now().encoding)

    @property
    def errors(self) -> str:  # type: ignore[override]
        return str(self._now().errors)

    @property
    def buffer(self) -> Any:
        return self._now().buffer

    def fileno(self) -> int:
        return int(self._now().fileno())

    def isatty(self) -> bool:
        return bool(self._now().isatty())

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        return int(self._now().write(text))

    def flush(self) -> None:
        self._now().flush()


@contextmanager
def printing(streams: Streams) -> Iterator[None]:
    """This thread's text goes there meanwhile."""
    for name in ("stdout", "stderr"):
        now = getattr(sys, name)
        if not isinstance(now, ThreadStream):  # whoever replaces them later has his way until the next task
            setattr(sys, name, ThreadStream(name, now))
    before, _here.streams = _here.streams, streams
    try:
        yield
    finally:
        _here.streams = before


def restore() -> None:
    """The process has its own again."""
    for name in ("stdout", "stderr"):
        now = getattr(sys, name)
        if isinstance(now, ThreadStream):
            setattr(sys, name, now.before)

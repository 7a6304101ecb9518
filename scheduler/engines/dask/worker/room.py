"""The cores and the memory of one Dask worker, as tasks of ours take them.

Owns who has how much: Dask counts threads alone. A task that takes several cores, or was promised memory,
waits here until it has its own, and others wait behind it. Never knows what runs. Read next: `work.py`.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

_DUST = 1e-6
"""Sums of parts of a core may be so much less than they should."""


class Room:
    """Of so many cores; `memory` is 0 if nobody counts."""

    def __init__(self, cores: float, memory: float) -> None:
        self._cores = cores
        self._memory = memory or float("inf")
        self._free = [self._cores, self._memory]
        self._waiting: deque[object] = deque()
        self._changed = threading.Condition()

    @contextmanager
    def taken(self, cores: float, memory: float) -> Iterator[None]:
        """So much is this block's; waits for it. What is more than all is all."""
        cores, memory = min(cores, self._cores), min(memory, self._memory)
        turn = object()
        with self._changed:
            self._waiting.append(turn)
            try:
                self._changed.wait_for(lambda: self._waiting[0] is turn and self._has(cores, memory))
                self._give(-cores, -memory)
            finally:
                self._waiting.remove(turn)
                self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._give(cores, memory)
                self._changed.notify_all()

    def _has(self, cores: float, memory: float) -> bool:
        return self._free[0] > cores - _DUST and self._free[1] >= memory

    def _give(self, cores: float, memory: float) -> None:
        self._free[0] += cores
        self._free[1] += memory

"""A cluster that has lost all its workers: whoever waits for them hears of it.

Owns when that is said, in the scheduler. Never ends anything: workers may come. Read next:
`keeper.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from cellmesh.scheduler.engines.dask.between.orders import NOBODY, topic

GRACE_SECONDS = 5.0
"""Workers that are restarted are away for a moment."""


class Deserted:
    """Of one Dask scheduler. `waiting` gives the sessions that have tasks which have not ended."""

    def __init__(self, scheduler: Any, waiting: Callable[[], Iterable[str]]) -> None:
        self._scheduler = scheduler
        self._waiting = waiting
        self._timer: Any = None

    def look(self) -> None:
        """A worker has gone, or tasks have come."""
        if self._timer is None and len(self._scheduler.workers) <= 1:  # Dask may yet count who goes
            self._timer = self._scheduler.loop.asyncio_loop.call_later(GRACE_SECONDS, self._tell)

    def _tell(self) -> None:
        self._timer = None
        if not self._scheduler.workers:
            for session in self._waiting():
                self._scheduler.log_event(topic(session), NOBODY)

"""What a plugin in Dask's loop has set going and waits for no longer.

Owns these asyncio tasks until they end; what one of them raises is in Dask's log. Never starts one again.
Read next: `scheduler/hosting.py` and `worker/lodging.py`, which use it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any


class Chores:
    """Of one plugin. In Dask's loop."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def run(self, what: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Set it going."""
        task = asyncio.ensure_future(what)
        self._tasks.add(task)
        task.add_done_callback(self._ran)
        return task

    async def end(self) -> None:
        """Cancel what has not ended, and wait for that."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _ran(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            logging.getLogger(__name__).error("cellmesh: an actor's order failed", exc_info=task.exception())

"""What actors hold of a Dask worker's GPUs: Dask's tasks do not get it meanwhile, and the other way round.

Owns by how much this worker declares less than it has. Dask's scheduler then sends nothing here that needs
more, as it would to a worker that was started so. Never chooses a GPU: the hub beside does. In Dask's loop.
Read next: `lodging.py`, `scheduler/registry.py`.
"""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

from distributed.worker_state_machine import UnpauseEvent

from cellmesh.scheduler.engines.dask.between.orders import GPU


class Pins:
    """Of one Dask worker."""

    def __init__(self, worker: Any) -> None:
        self._worker = worker
        self._held: dict[int, float] = {}  # by actor
        self._freed = asyncio.Event()
        self._turn = asyncio.Lock()

    def lacks(self) -> bool:
        """Whether tasks of Dask's still have some of what was taken back from them."""
        return bool(self._worker.state.available_resources.get(GPU, 0) < 0)

    async def hold(self, actor: int, gpus: float) -> list[str]:
        """Take them back from Dask; keys of tasks that wait here for what is gone now."""
        if not gpus or actor in self._held:
            return []
        self._held[actor] = gpus
        await self._declare(-gpus)
        left = self._worker.state.total_resources.get(GPU, 0)
        waiting = [
            task for task in self._worker.state.tasks.values() if task.state in ("constrained", "waiting")
        ]
        return [task.key for task in waiting if task.resource_restrictions.get(GPU, 0) > left]

    async def until_free(self) -> None:
        """Wait until the tasks that run here leave what is held."""
        while self.lacks():
            self._freed.clear()
            await self._freed.wait()

    async def free(self, actor: int) -> None:
        """The actor is gone: Dask has its part again."""
        gpus = self._held.pop(actor, 0)
        if gpus:
            await self._declare(gpus)
            if self._worker.state.running:  # it looks at what waits only if something happens
                self._worker.handle_stimulus(UnpauseEvent(stimulus_id=f"cellmesh-{uuid.uuid4().hex}"))

    def task_ended(self) -> None:
        """A task of Dask's has changed."""
        if not self.lacks():
            self._freed.set()

    async def _declare(self, more: float) -> None:
        async with self._turn:
            there = self._worker.state.total_resources.get(GPU, 0)
            await self._worker.set_resources(**{GPU: round(there + more, 3)})

"""The notebooks that listen to what becomes of actors, each over a comm of its own to Dask's scheduler.

Owns the comms. Never decides. Read next: `registry.py`, `notebook/lives.py` (the other end).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

import msgspec
from distributed.comm import CommClosedError
from distributed.core import Status

from cellmesh.scheduler.engines.dask.between.lodge import Found
from cellmesh.scheduler.engines.dask.between.streams import both

KERNEL_SECONDS = 10.0
"""So long may the comm of a kernel that has not said goodbye be away: it may be the network."""

_encode = msgspec.msgpack.Encoder().encode


class Listening:
    """Of one scheduler. `gone` is called when a kernel will not come again."""

    def __init__(self, scheduler: Any, gone: Callable[[str], None]) -> None:
        self._scheduler = scheduler
        self._gone = gone
        self._queues: dict[str, tuple[str, asyncio.Queue[bytes | str]]] = {}  # by kernel; of which session

    async def listen(self, comm: Any, session: str, kernel: str) -> Any:
        """Tell this notebook all that concerns its actors until it hangs up."""
        queue: asyncio.Queue[bytes | str] = asyncio.Queue()
        self._queues[kernel] = session, queue
        await comm.write("here")
        try:
            await both(_write(comm, queue), _until_closed(comm))
        finally:
            comm.abort()
            if self._queues.get(kernel) == (session, queue):
                del self._queues[kernel]
                asyncio.get_running_loop().call_later(KERNEL_SECONDS, self._away, kernel)
        return Status.dont_reply

    def _away(self, kernel: str) -> None:
        if kernel not in self._queues:
            self._gone(kernel)

    def tell(self, sessions: Iterable[str], found: Found) -> None:
        """How an actor is."""
        self._post(sessions, _encode(found))

    def notice(self, sessions: Iterable[str], text: str) -> None:
        """A line for people."""
        self._post(sessions, text)

    def _post(self, sessions: Iterable[str], message: bytes | str) -> None:
        wanted = set(sessions)
        for session, queue in self._queues.values():
            if session in wanted:
                queue.put_nowait(message)


async def _write(comm: Any, queue: asyncio.Queue[bytes | str]) -> None:
    with suppress(CommClosedError, OSError):
        while True:
            await comm.write(await queue.get())


async def _until_closed(comm: Any) -> None:
    with suppress(CommClosedError, OSError):
        await comm.read()

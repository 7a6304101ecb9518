"""News of a Dask worker on their way to the notebooks that listen to it.

Owns who listens, and the comm of each: what gathers while one message is written is the next. Wishes come the
other way. Never keeps anything for a session nobody listens to: `attempts.py` does. Read next: `work.py`,
`notebook/ears.py` (the other end).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from threading import RLock
from typing import Any

from distributed.comm import CommClosedError

from cellmesh.scheduler.engines.dask.between.orders import Drop, News, Stop, encode, read_wish


class Voices:
    """Of one Dask worker. Any thread may tell; `lock` keeps what is told in order."""

    def __init__(self, loop: Any) -> None:
        self.lock = RLock()
        self._loop = loop
        self._listeners: dict[str, list[_Listener]] = {}

    def heard(self, session: str) -> bool:
        """Whether somebody listens."""
        return session in self._listeners

    def tell(self, session: str, news: News) -> None:
        """Have it sent to all that listen."""
        with self.lock:
            for listener in self._listeners.get(session, ()):
                listener.post(news)

    async def speak(
        self, comm: Any, session: str, so_far: Callable[[], list[News]], wish: Callable[[Stop | Drop], None]
    ) -> None:
        """To this comm, until it is closed: `so_far` is what of the session runs already."""
        listener = _Listener(self._loop)
        with self.lock:
            for news in so_far():
                listener.post(news)
            self._listeners.setdefault(session, []).append(listener)
        ways = [asyncio.ensure_future(listener.write(comm)), asyncio.ensure_future(_hear(comm, wish))]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            with self.lock:
                self._listeners[session].remove(listener)
                if not self._listeners[session]:
                    del self._listeners[session]
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            comm.abort()


class _Listener:
    def __init__(self, loop: Any) -> None:
        self._loop = loop
        self._held: list[News] = []
        self._armed = False
        self._there = asyncio.Event()

    def post(self, news: News) -> None:
        self._held.append(news)
        if not self._armed:
            self._armed = True
            self._loop.add_callback(self._there.set)

    async def write(self, comm: Any) -> None:
        with suppress(CommClosedError, OSError):
            while True:
                await self._there.wait()
                self._there.clear()
                self._armed = False
                held, self._held = self._held, []
                await comm.write(encode(held))


async def _hear(comm: Any, wish: Callable[[Stop | Drop], None]) -> None:
    with suppress(CommClosedError, OSError):
        while True:
            wish(read_wish(await comm.read()))

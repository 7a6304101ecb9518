"""Items of a map that come from an async iterable, taken in the loop that runs where the map was launched.

Owns `AsyncSource`. Apart from its siblings, as a script that awaits nothing must not pay for asyncio. Never
sends anything. Read next: `sources.py`, `lazy.py`.
"""

import asyncio
from collections.abc import AsyncIterable, Callable
from contextlib import suppress
from typing import Any

from .sources import Source


class AsyncSource(Source):
    """An async iterable, in the running loop."""

    looped = True

    def __init__(self, items: AsyncIterable[Any]) -> None:
        super().__init__()
        self._items = items
        self._loop = asyncio.get_running_loop()
        self._room = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self, arrived: Callable[[], None]) -> None:
        super().start(arrived)
        self._task = self._loop.create_task(self._run())

    def needs_this_loop(self) -> bool:
        try:
            return asyncio.get_running_loop() is self._loop and not self.ended
        except RuntimeError:
            return False

    def close(self) -> None:
        self._closed = True
        if self._task is not None:
            with suppress(RuntimeError):  # the loop was closed: nothing runs there any more
                self._loop.call_soon_threadsafe(self._task.cancel)

    async def _run(self) -> None:
        try:
            async for item in self._items:
                self._buffer.append(item)
                self._arrived()
                await asyncio.sleep(0)  # an iterator that never waits must not keep the loop for itself
                while len(self._buffer) >= self.ahead:
                    self._room.clear()
                    await self._room.wait()
        except BaseException as error:  # noqa: BLE001 - as above; also when the loop ends first
            self._end(None if self._closed else error)
        else:
            self._end()

    def _make_room(self) -> None:
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._room.set)

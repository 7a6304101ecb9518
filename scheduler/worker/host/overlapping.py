"""`async def` methods: they overlap, on one event loop in a thread of its own.

Owns the loop and its thread, both begun with the first such call. Never begins a coroutine's call: the main
thread does, in the order of arrival. Read next: `calling.py`.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from contextvars import copy_context
from functools import partial
from typing import Any

from .callers import Entry


class Overlapping:
    """Runs coroutines that answer for themselves; for one that ends without, `unanswered` does."""

    def __init__(self, unanswered: Callable[[list[Entry], BaseException], None]) -> None:
        self._unanswered = unanswered
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, entries: list[Entry], coroutine: Coroutine[Any, Any, None]) -> None:
        """Run it in this thread's context. Each of the entries can be cancelled; all are, and it is."""
        loop = self._running()
        task: list[asyncio.Task[None]] = []

        def begin() -> None:
            task.append(loop.create_task(coroutine))
            self._tasks.add(task[0])
            task[0].add_done_callback(partial(self._over, entries))
            stop()

        def stop() -> None:
            if task and all(entry.cancelled for entry in entries):
                task[0].cancel()

        for entry in entries:
            entry.stop = lambda _: loop.call_soon_threadsafe(stop)
        loop.call_soon_threadsafe(begin, context=copy_context())

    def _over(self, entries: list[Entry], task: asyncio.Task[None]) -> None:
        """It may have been cancelled before its first step, or while it cleaned up."""
        self._tasks.discard(task)
        left = [entry for entry in entries if entry.caller.running.get(entry.call.number) is entry]
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        if left:
            self._unanswered(left, error or RuntimeError("The call ended without an answer."))

    def soon(self, then: Callable[[], None]) -> None:
        """Have this called in the loop. Any thread."""
        self._running().call_soon_threadsafe(then)

    def when_idle(self, then: Callable[[], None]) -> None:
        """Have this called once the coroutine that asks really waits for something."""
        self._running().call_soon(then)

    def settle(self) -> None:
        """Wait until nothing runs. Not in the loop's thread."""
        if self._loop is not None:
            asyncio.run_coroutine_threadsafe(self._settle(), self._loop).result()

    def close(self) -> None:
        """Cancel what runs, and end the thread."""
        loop, thread = self._loop, self._thread
        if loop is None or thread is None:
            return
        loop.call_soon_threadsafe(loop.stop)
        thread.join(1.0)  # a coroutine that blocks the loop must not keep the process

    def _running(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            self._thread = threading.Thread(target=self._run, name="cellmesh-async", daemon=True)
            self._thread.start()
        return self._loop

    async def _settle(self) -> None:
        while self._tasks:
            await asyncio.wait(self._tasks)

    def _run(self) -> None:
        loop = self._loop
        assert loop is not None
        asyncio.set_event_loop(loop)
        loop.run_forever()
        for task in self._tasks:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*self._tasks, return_exceptions=True))
        loop.close()

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

from cellmesh.scheduler.worker.raising import raise_in

from .callers import Entry

_PATIENCE = 0.5  # seconds in which a coroutine that is cancelled must have let the loop go on


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
        heard = threading.Event()

        def begin() -> None:
            task.append(loop.create_task(coroutine))
            self._tasks.add(task[0])
            task[0].add_done_callback(partial(self._over, entries))
            stop()

        def stop() -> None:
            heard.set()
            if task and all(entry.cancelled for entry in entries):
                task[0].cancel()

        def ask(_: Entry) -> None:
            heard.clear()
            loop.call_soon_threadsafe(stop)
            if all(entry.cancelled for entry in entries):
                insist = threading.Timer(_PATIENCE, self._insist, (task, heard))
                insist.name, insist.daemon = "cellmesh-insist", True
                insist.start()

        for entry in entries:
            entry.stop = ask
        loop.call_soon_threadsafe(begin, context=copy_context())

    def _over(self, entries: list[Entry], task: asyncio.Task[None]) -> None:
        """It may have been cancelled before its first step, or while it cleaned up."""
        self._tasks.discard(task)
        left = [entry for entry in entries if entry.caller.running.get(entry.call.number) is entry]
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        if left:
            self._unanswered(left, error or RuntimeError("The call ended without an answer."))

    def _insist(self, task: list[asyncio.Task[None]], heard: threading.Event) -> None:
        """It computes, or waits, without an await: the loop cannot tell it, nor run anything else."""
        loop, thread = self._loop, self._thread
        if loop is None or thread is None or heard.is_set() or not task:
            return
        if asyncio.current_task(loop) is task[0]:
            raise_in(thread.ident or 0, KeyboardInterrupt)

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
        while True:
            try:
                loop.run_forever()
                break
            except KeyboardInterrupt:
                continue  # it came as the call that was meant had just ended
        for task in self._tasks:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*self._tasks, return_exceptions=True))
        loop.close()

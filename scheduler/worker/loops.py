"""Top-level `await` in distributed cells, and coroutine functions that are mapped.

Owns one event loop for each runner, made when first needed and kept, so that what one cell starts the next
can await. Never leaves a coroutine running after an interrupt. Read next: `cells.py`.
"""

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any

from .interrupts import Interrupts


class Loop:
    """Runs coroutines to their end."""

    def __init__(self, interrupts: Interrupts) -> None:
        self._interrupts = interrupts
        self._loop: asyncio.AbstractEventLoop | None = None

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """The coroutine's value."""
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return self._run(coroutine)
        return self._run_aside(coroutine)

    def close(self) -> None:
        """Let go of the loop."""
        loop, self._loop = self._loop, None
        if loop is not None:
            loop.close()

    def _run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        if self._loop is None or self._loop.is_closed():
            self._loop = asyncio.new_event_loop()
        loop = self._loop
        task = loop.create_task(coroutine)
        try:
            return loop.run_until_complete(task)
        except BaseException:
            if not task.done():  # an interrupt stopped the loop, not the task
                task.cancel()
                loop.run_until_complete(asyncio.gather(task, return_exceptions=True))
            raise

    def _run_aside(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """In a thread: a notebook's own loop runs in this one (the inline engine)."""
        values: list[Any] = []
        errors: list[BaseException] = []
        loop = asyncio.new_event_loop()
        task = loop.create_task(coroutine)

        def work() -> None:
            try:
                with self._interrupts.here():
                    values.append(loop.run_until_complete(task))
            except BaseException as error:  # noqa: BLE001 - raised in the caller's thread
                errors.append(error)
            finally:
                loop.close()

        thread = threading.Thread(target=work, name="cellmesh-await", daemon=True)
        thread.start()
        try:
            thread.join()
        except BaseException:
            loop.call_soon_threadsafe(task.cancel)
            thread.join()
            raise
        if errors:
            raise errors[0]
        return values[0]

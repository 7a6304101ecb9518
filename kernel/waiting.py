"""Waiting in the notebook's thread so that Stop is felt at once.

Owns the `Bell` that engine threads ring, and the guard that makes SIGINT raise while we wait. Never polls: a
waiter sleeps on a lock of its own, so a KeyboardInterrupt can never leave a shared lock taken.
Read next: `deferring.py` (Stop, put off), `jobs.py`.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # a script that awaits nothing does not pay for it
    import asyncio

BEAT = 0.1


def _nothing() -> None:
    return


class _Waiter:
    __slots__ = ("done", "wake")

    def __init__(self, done: Callable[[], bool], wake: Callable[[], object]) -> None:
        self.done = done
        self.wake = wake


class _Beats:
    """Who is told now and then in one event loop, and the timer that does it."""

    def __init__(self) -> None:
        self.listeners: list[Callable[[], None]] = []
        self.timer: asyncio.TimerHandle | None = None


class Bell:
    """Wakes threads whose condition has come true; ring it after changing what they look at."""

    def __init__(self) -> None:
        # A dict, for its single operations need no lock: whoever takes a waiter out is the one to wake it.
        self._waiters: dict[_Waiter, bool] = {}
        self._beats: dict[asyncio.AbstractEventLoop, _Beats] = {}  # of those who wait in coroutines

    def ring(self) -> None:
        """Look at every waiter's condition, and wake those whose has come true.

        Waiters stay in their place while they are looked at: another thread that rings must find them.
        """
        for waiter in list(self._waiters):
            if waiter.done() and self._waiters.pop(waiter, False):
                waiter.wake()

    def wait(self, done: Callable[[], bool], timeout: float | None = None) -> bool:
        """Sleep until `done()`; False if `timeout` seconds passed first.

        `done` is also called by the ringing thread: it must be quick and must not raise.
        """
        if done():
            return True
        lock = threading.Lock()
        lock.acquire()  # the waiter's own alarm, released by `ring`
        waiter = _Waiter(done, lock.release)
        self._waiters[waiter] = True
        try:
            if done():
                return True
            return lock.acquire(timeout=-1 if timeout is None else max(0.0, timeout)) or done()
        finally:
            self._waiters.pop(waiter, None)

    def enter(self, done: Callable[[], bool], wake: Callable[[], object]) -> object:
        """For who sleeps elsewhere: `wake` is called once `done()`, unless they `leave` with this before."""
        waiter = _Waiter(done, wake)
        self._waiters[waiter] = True
        return waiter

    def leave(self, waiter: object) -> None:
        """They do not sleep any more."""
        assert isinstance(waiter, _Waiter)
        self._waiters.pop(waiter, None)

    def _beat(self, loop: asyncio.AbstractEventLoop, beats: _Beats) -> None:
        """Wake the event loop ten times a second while somebody awaits us.

        ipykernel's SIGINT handler only schedules a callback, which a sleeping loop does not notice (measured
        with ipykernel 7.4, tornado 6.5): without this, Stop would wait for the next message.
        """
        for on_beat in set(beats.listeners):
            on_beat()
        beats.timer = loop.call_later(BEAT, self._beat, loop, beats)

    async def wait_async(self, done: Callable[[], bool], on_beat: Callable[[], None] = _nothing) -> None:
        """Wait in a coroutine until `done()`; `on_beat` is called now and then meanwhile."""
        if done():
            return
        import asyncio

        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()

        def finish() -> None:
            if not future.done():
                future.set_result(None)

        def wake() -> None:
            with suppress(RuntimeError):  # the loop was closed meanwhile: nobody waits any more
                loop.call_soon_threadsafe(finish)

        waiter = _Waiter(done, wake)
        self._waiters[waiter] = True
        beats = self._beats.setdefault(loop, _Beats())
        beats.listeners.append(on_beat)
        if beats.timer is None:
            self._beat(loop, beats)
        try:
            if not done():
                await future
        finally:
            self._waiters.pop(waiter, None)
            beats.listeners.remove(on_beat)
            if not beats.listeners and beats.timer is not None:
                beats.timer.cancel()
                del self._beats[loop]


@contextmanager
def interruptible() -> Iterator[None]:
    """Have SIGINT raise KeyboardInterrupt here, also in a cell with a top-level `await`.

    For those ipykernel installs a handler that only wakes the event loop, which cannot run while we block.
    A handler of the user's own (outside ipykernel) is left alone.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = signal.getsignal(signal.SIGINT)
    module = getattr(handler, "__module__", "") or ""
    if not module.startswith("ipykernel"):
        yield
        return
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)


def deadline_of(timeout: float | None) -> float | None:
    """The monotonic moment at which `timeout` seconds from now will have passed."""
    return None if timeout is None else time.monotonic() + timeout

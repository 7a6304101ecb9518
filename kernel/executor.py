"""`cm.Executor`: the pool behind the standard library's own interface.

Owns what `concurrent.futures` promises beyond `cm.submit`: shutdown, a bound on how many run at once, `map`.
Never runs anything itself and never starts a thread. Read next: `submitting.py`, `futures.py`.
"""

import atexit
import concurrent.futures
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import islice
from typing import Any
from weakref import WeakSet

from . import attaching, options
from .futures import Future
from .jobs import Job
from .session import Session
from .submitting import submissions_of

_in_use: "WeakSet[_Calls]" = WeakSet()
_interpreter_ends = False


class Executor(concurrent.futures.Executor):
    """The pool as a `concurrent.futures.Executor`, for code that takes one.

    >>> with cm.Executor() as pool:
    ...     print(list(pool.map(abs, [-1, -2])), pool.submit(pow, 2, 5).result())

    Args:
        max_workers: at most so many of its calls run at once (default: as many as the pool has cores).

    As everywhere in cellmesh, `Future.cancel()` also ends a call that runs already, and `Future.running()`
    is false until the call is done.
    """

    def __init__(self, max_workers: int | None = None) -> None:
        if max_workers is not None and max_workers <= 0:
            raise ValueError("max_workers must be greater than 0")
        session = attaching.current()
        # The last one registered runs first: the session must still be there.
        atexit.unregister(_at_exit)
        atexit.register(_at_exit)
        cores = session.engine.capacity().cpus
        self._max_workers = max_workers or cores  # the name that those who look for it expect
        # The pool itself lets no more run than it has cores.
        self._calls = _Calls(session, self._max_workers if self._max_workers < cores else None)

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future:
        """Call `fn(*args, **kwargs)` in a worker; returns a Future at once."""
        __tracebackhide__ = True
        return self._calls.submit(fn, args, kwargs, options.title_of(fn))

    def map(
        self,
        fn: Callable[..., Any],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int = 1,
        buffersize: int | None = None,
    ) -> Iterator[Any]:
        """The results of `fn`, in order; all calls are submitted at once.

        Args:
            timeout: seconds from now after which waiting for a result raises TimeoutError.
            chunksize: how many items one call takes along.
            buffersize: items are taken from `iterables` only as results are, at most so many chunks ahead.
        """
        __tracebackhide__ = True
        if chunksize < 1:
            raise ValueError("chunksize must be >= 1.")
        if buffersize is not None and not isinstance(buffersize, int):
            raise TypeError("buffersize must be an integer or None")
        if buffersize is not None and buffersize < 1:
            raise ValueError("buffersize must be None or > 0")
        end = None if timeout is None else time.monotonic() + timeout
        title = options.title_of(fn)
        each = partial(_call_each, fn)
        chunks = _chunks(zip(*iterables, strict=False), chunksize)
        calls = (self._calls.submit(each, (chunk,), {}, title) for chunk in chunks)
        return _in_order(deque(islice(calls, buffersize)), calls, end)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more calls.

        Args:
            wait: return once those that were submitted are over.
            cancel_futures: cancel those that have not begun.
        """
        __tracebackhide__ = True
        self._calls.close(cancel=cancel_futures)
        if wait:
            self._calls.wait()

    def __repr__(self) -> str:
        return f"<cellmesh.Executor: {self._max_workers} at once>"


class _Calls:
    """The calls of one executor that are not over. Outlives the executor as long as there are some.

    With a `limit`, a call beyond it waits for a gate: a Future that is set when an earlier one ends.
    """

    def __init__(self, session: Session, limit: int | None) -> None:
        self._session = session
        self._limit = limit
        self._lock = threading.Lock()
        self._unfinished: set[Future] = set()
        self._begun: set[Future] = set()  # those within the limit
        self._reserved = 0  # that will be, once they are submitted
        self._held: deque[tuple[concurrent.futures.Future[None], Future]] = deque()
        self._closed = False
        _in_use.add(self)

    def submit(
        self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], title: str
    ) -> Future:
        __tracebackhide__ = True
        with self._lock:
            if _interpreter_ends:
                raise RuntimeError("cannot schedule new futures after interpreter shutdown")
            if self._closed:
                raise RuntimeError("cannot schedule new futures after shutdown")
            goes = self._has_room()
            self._reserved += goes
        gate: concurrent.futures.Future[None] = concurrent.futures.Future()
        try:
            submissions = submissions_of(self._session.check())
            future = submissions.submit(
                function, args, kwargs, title, options.DEFAULT, after=() if goes else (gate,)
            )
        except BaseException:
            with self._lock:
                self._reserved -= goes
            self._let_in()
            raise
        with self._lock:
            self._unfinished.add(future)
            self._reserved -= goes
            if goes:
                self._begun.add(future)
            else:
                self._held.append((gate, future))
        self._let_in()
        # Not Future's own: it would take us for someone who asks how the call ended, and a failure be silent.
        concurrent.futures.Future.add_done_callback(future, self._over)
        return future

    def close(self, *, cancel: bool) -> None:
        with self._lock:
            self._closed = True
            held = [future for _, future in self._held]
            sent = self._unfinished.difference(held)
        if not cancel:
            return
        for future in held:
            future.cancel()
        by_job: dict[Job, list[int]] = {}
        for future in sent:
            if future.job is not None:
                by_job.setdefault(future.job, []).append(future.index)
        for job, tasks in by_job.items():
            self._session.engine.cancel(job.id, tasks, queued=True)

    def wait(self) -> None:
        """Until all are over."""
        __tracebackhide__ = True
        while True:
            with self._lock:
                left = next((future for future in self._unfinished if not future.done()), None)
            if left is None or left.job is None:
                return
            left.job.wait_for(left.done)

    def finish(self) -> None:
        """The interpreter ends: as the standard library does, but for a notebook, whose jobs go on."""
        if self._session.pid == os.getpid() and not self._session.hooks.interactive:
            self.wait()

    def _has_room(self) -> bool:
        return self._limit is None or len(self._begun) + self._reserved < self._limit

    def _over(self, future: Any) -> None:
        """From whichever thread completes or cancels it."""
        with self._lock:
            self._unfinished.discard(future)
            self._begun.discard(future)
        self._let_in()

    def _let_in(self) -> None:
        """Open the gate of the next calls, as far as there is room."""
        opened = []
        with self._lock:
            while self._held and self._has_room():
                gate, future = self._held.popleft()
                if not future.done():  # else it was cancelled while it waited
                    self._begun.add(future)
                opened.append(gate)
        for gate in opened:
            gate.set_result(None)


def _chunks(items: Iterator[tuple[Any, ...]], size: int) -> Iterator[list[tuple[Any, ...]]]:
    while chunk := list(islice(items, size)):
        yield chunk


def _call_each(function: Callable[..., Any], chunk: list[tuple[Any, ...]]) -> list[Any]:
    """What one call of `map` does, in the worker."""
    return [function(*args) for args in chunk]


def _in_order(ahead: deque[Future], more: Iterator[Future], end: float | None) -> Iterator[Any]:
    """Hand out the results without keeping them; what is not taken is cancelled."""
    __tracebackhide__ = True
    try:
        while ahead:
            results = ahead[0].result(None if end is None else end - time.monotonic())
            ahead.popleft()
            ahead.extend(islice(more, 1))
            results.reverse()
            while results:
                yield results.pop()
    finally:
        for future in ahead:
            future.cancel()


def _at_exit() -> None:
    global _interpreter_ends
    _interpreter_ends = True
    for calls in list(_in_use):
        calls.finish()

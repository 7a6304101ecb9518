"""`cm.Executor`: the pool behind the standard library's own interface.

Owns its names and their meanings. Never runs anything itself and never starts a thread.
Read next: `bounded.py`.
"""

import concurrent.futures
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import islice
from typing import Any

from . import attaching, options
from .bounded import BoundedCalls
from .futures import Future


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
        cores = session.engine.capacity().cpus
        self._max_workers = max_workers or cores  # the name that those who look for it expect
        self._calls = BoundedCalls(session, self._max_workers)

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future:
        """Call `fn(*args, **kwargs)` in a worker; returns a Future at once."""
        return self._calls.submit(fn, args, kwargs, options.title_of(fn))

    def map(
        self,
        fn: Callable[..., Any],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int | None = None,
        buffersize: int | None = None,
    ) -> Iterator[Any]:
        """The results of `fn`, in order; all calls are submitted at once.

        Args:
            timeout: seconds from now after which waiting for a result raises TimeoutError.
            chunksize: how many items one task takes along (default: as suits how long they take).
            buffersize: items are taken from `iterables` only as results are, at most so many chunks ahead.
        """
        if chunksize is not None and chunksize < 1:
            raise ValueError("chunksize must be >= 1.")
        if buffersize is not None and not isinstance(buffersize, int):
            raise TypeError("buffersize must be an integer or None")
        if buffersize is not None and buffersize < 1:
            raise ValueError("buffersize must be None or > 0")
        end = None if timeout is None else time.monotonic() + timeout
        title = options.title_of(fn)
        if chunksize is None and buffersize is None and iterables:
            results = self._calls.map(fn, _collected(iterables), title)
            if results is not None:
                return results.drain(end)
        each = partial(_call_each, fn)
        chunks = _chunks(zip(*iterables, strict=False), chunksize or 1)
        calls = (self._calls.submit(each, (chunk,), {}, title) for chunk in chunks)
        return _in_order(deque(islice(calls, buffersize)), calls, end)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more calls.

        Args:
            wait: return once those that were submitted are over.
            cancel_futures: cancel those that have not begun.
        """
        self._calls.close(cancel=cancel_futures)
        if wait:
            self._calls.wait()

    def __repr__(self) -> str:
        return f"<cellmesh.Executor: {self._max_workers} at once>"


def _collected(iterables: tuple[Iterable[Any], ...]) -> tuple[Sequence[Any], ...]:
    """The items, taken now and not as workers come to them; the shortest of several counts."""
    if len(iterables) == 1:
        return (list(iterables[0]),)
    return tuple(zip(*zip(*iterables, strict=False), strict=True)) or ((),)


def _chunks(items: Iterator[tuple[Any, ...]], size: int) -> Iterator[list[tuple[Any, ...]]]:
    while chunk := list(islice(items, size)):
        yield chunk


def _call_each(function: Callable[..., Any], chunk: list[tuple[Any, ...]]) -> list[Any]:
    """What one call of `map` does, in the worker."""
    return [function(*args) for args in chunk]


def _in_order(ahead: deque[Future], more: Iterator[Future], end: float | None) -> Iterator[Any]:
    """Hand out the results without keeping them; what is not taken is cancelled."""
    try:
        while ahead:
            results = ahead[0].result(None if end is None else max(0.0, end - time.monotonic()))
            ahead.popleft()
            ahead.extend(islice(more, 1))
            results.reverse()
            while results:
                yield results.pop()
    finally:
        for future in reversed(ahead):  # so that none which ends lets in one that is not wanted
            future.cancel()

"""Items of an iterable without a length, taken a little ahead of need.

Owns the user's iterator: it runs in a thread of its own, an async one in the loop in which the map was
called. Only about two chunks of items wait here. Never sends anything. Read next: `lazy.py`.
"""

import sys
import threading
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable
from itertools import islice
from typing import Any

LEAST = 16
"""Items that may wait to be sent; more, when the map's chunks are larger."""


class Source:
    """What all sources have. `ended`: nothing more will come; `error`: what the iterator raised."""

    looped = False  # taken by an event loop

    def __init__(self) -> None:
        self.ended = False
        self.error: BaseException | None = None
        self.ahead = LEAST  # items that may wait here
        self._buffer: deque[Any] = deque()
        self._arrived: Callable[[], None] = lambda: None
        self._closed = False

    def start(self, arrived: Callable[[], None]) -> None:
        """Begin; `arrived` is called whenever there is something new."""
        self._arrived = arrived

    def __len__(self) -> int:
        return len(self._buffer)

    def take(self, most: int) -> list[Any]:
        """At most so many of the items that are here."""
        pop = self._buffer.popleft
        chunk = [pop() for _ in range(min(most, len(self._buffer)))]
        if len(self._buffer) < self.ahead:
            self._make_room()
        return chunk

    def close(self) -> None:
        """Nothing more is wanted."""
        self._closed = True
        self._make_room()

    def needs_this_loop(self) -> bool:
        """Whether the event loop of this thread must run for items to come."""
        return False

    def _make_room(self) -> None:
        """The buffer was full."""

    def _end(self, error: BaseException | None = None) -> None:
        self.error = error
        self.ended = True
        self._arrived()


class ThreadSource(Source):
    """An ordinary iterable, in a thread: it may block for as long as it likes."""

    def __init__(self, items: Iterable[Any]) -> None:
        super().__init__()
        self._items = items
        self._room = threading.Event()

    def start(self, arrived: Callable[[], None]) -> None:
        super().start(arrived)
        threading.Thread(target=self._run, name="cellmesh-source", daemon=True).start()

    def _run(self) -> None:
        try:
            for item in self._items:
                self._buffer.append(item)
                self._arrived()
                while len(self._buffer) >= self.ahead and not self._closed:
                    self._room.wait()
                    self._room.clear()
                if self._closed:
                    break
        except BaseException as error:  # noqa: BLE001 - the user's iterator raised; the map raises it at that index
            self._end(error)
        else:
            self._end()
        if self._closed and hasattr(self._items, "close"):
            self._items.close()  # a generator's `finally` belongs in its own thread

    def _make_room(self) -> None:
        self._room.set()


class PulledSource(Source):
    """An ordinary iterable, taken from by whoever wants results (the inline engine): nothing runs ahead."""

    def __init__(self, items: Iterable[Any]) -> None:
        super().__init__()
        self._items = iter(items)

    def pull(self) -> None:
        """Have one more item, or the end."""
        try:
            item = list(islice(self._items, 1))
        except Exception as error:  # noqa: BLE001 - as above
            self._end(error)
            return
        self._buffer.extend(item)
        if not item:
            self._end()


def source_of(items: Any, *, pulled: bool) -> Source:
    """The source for an iterable, maybe an async one."""
    if not isinstance(items, AsyncIterable):
        return PulledSource(items) if pulled else ThreadSource(items)
    from .asyncsource import AsyncSource

    try:
        return AsyncSource(items)
    except RuntimeError:
        raise TypeError(
            "An async iterable is consumed by the running event loop, and none runs here. Call cm.map in a "
            "coroutine or in a notebook's cell."
        ) from None


async def together(iterables: list[Any]) -> AsyncIterator[tuple[Any, ...]]:
    """`zip`, also of async iterables."""
    ways = [one.__aiter__() if hasattr(one, "__aiter__") else iter(one) for one in iterables]
    while True:
        row = []
        for way in ways:
            try:
                row.append(await way.__anext__() if hasattr(way, "__anext__") else next(way))
            except (StopIteration, StopAsyncIteration):
                return
        yield tuple(row)


def can_be_cut(items: object) -> bool:
    """Whether slices of it hold just what iterating over it gives."""
    if type(items) in (list, tuple, range):
        return True
    numpy = sys.modules.get("numpy")
    return (
        numpy is not None
        and type(items) is numpy.ndarray
        and items.ndim == 1  # type: ignore[attr-defined]
        and items.dtype.kind in "biufc"  # type: ignore[attr-defined]
    )

"""`h.method.map(xs)`: many calls of one method, and their results in order.

Owns how far ahead an iterable without a length is taken. Every call is a Future of its own; the actor runs
them as it runs all calls. Read next: `handle.py`, `future.py`.
"""

import threading
from collections.abc import AsyncIterator, Callable, Generator, Iterator, Sized
from functools import partial
from typing import Any

from cellmesh.kernel.collecting import first_failure
from cellmesh.kernel.deferring import deferred
from cellmesh.kernel.gathering import as_completed
from cellmesh.kernel.session import Session
from cellmesh.kernel.several import Several
from cellmesh.scheduler.objects import frames

from . import waits
from .caller import Caller
from .future import ActorFuture

AHEAD = 256
"""Calls that are made before somebody takes the first results, if nobody knows how many there will be."""


class _HandedOut:
    """Instead of a call's Future."""

    def done(self) -> bool:
        """It is."""
        return True

    def failed(self) -> bool:
        """Else nothing would have come after it."""
        return False

    def cancel(self) -> bool:
        """It is too late."""
        return False

    def add_done_callback(self, fn: Callable[[Any], object]) -> None:
        """It is done."""
        fn(self)

    def result(self) -> Any:
        """It is not kept."""
        raise RuntimeError(
            "Some of these results were handed out one by one, and are not kept, as their number was not "
            "known before: take them all with .result(), or in the loop."
        )


_HANDED_OUT = _HandedOut()


class MethodResults(Several):
    """The results of a method's map, while it runs and after.

    for y in h.embed.map(xs): ...             # in order, as they come
    h.embed.map(xs).result()                  # the list of all; raises the first failure
    """

    def __init__(
        self,
        caller: Caller,
        title: str,
        items: Any,
        call: Callable[..., ActorFuture],
        window: int | None = None,
    ) -> None:
        self._caller = caller
        self._title = title
        self._call = call
        self._futures: list[ActorFuture | _HandedOut] = []
        self._items: Iterator[Any] | None = iter(items)
        self._total: int | None = len(items) if isinstance(items, Sized) else None
        self._endless = self._total is None
        self._window = window if self._total is not None else None
        self._broken: Exception | None = None  # it could not be fed to its end
        self._lock = threading.RLock()
        self._feed(AHEAD if self._total is None else window or self._total)

    # --- shape ----------------------------------------------------------------------------------------

    def __len__(self) -> int:
        if self._total is None:
            raise TypeError(
                "The number of items is not known yet: they come from an iterable without a length."
            )
        return self._total

    def __repr__(self) -> str:
        done, total = self.progress()
        failed = sum(future.failed() for future in self._futures)
        state = "finished" if self.done() else "running"
        told = f", {failed} failed" if failed else ""
        return f"<cellmesh results of {self._title}: {done}/{'?' if total is None else total}{told}, {state}>"

    @property
    def session(self) -> Session:
        return self._caller.session

    def progress(self) -> tuple[int, int | None]:
        """(items that are done or failed, items in all or None)."""
        return sum(future.done() for future in self._futures), self._total

    def done(self) -> bool:
        """Whether everything is over."""
        return self._items is None and all(future.done() for future in self._futures)

    def failed(self) -> bool:
        """Whether it is done, and not every call has a result."""
        return self.done() and (self._broken is not None or any(future.failed() for future in self._futures))

    def want_all(self) -> None:
        """All of it is wanted, though nobody takes the first results."""
        self._feed_all()

    def add_done_callback(self, fn: Callable[["MethodResults"], object]) -> None:
        """Call `fn` with this once everything is over: from the thread that reads the last answer, or now."""

        def look(_: object = None) -> None:
            with self._lock:  # the next one is being called
                left = next((future for future in self._futures if not future.done()), None)
            if left is None:
                fn(self)
            else:
                left.add_done_callback(look)

        self._feed_all()
        look()

    def wait_for(self, done: Callable[[], bool], timeout: float | None) -> None:
        """Wait until `done()`, which this or something else makes true; TimeoutError if it does not."""
        waits.until(self._caller, done, timeout, self._title, self.progress)

    def cancel(self) -> None:
        """Drop what is queued and interrupt what runs; what has finished stays."""
        self._total = len(self._futures)
        self._items = None
        for future in reversed(self._futures):
            future.cancel()

    # --- taking ---------------------------------------------------------------------------------------

    def result(self, timeout: float | None = None) -> list[Any]:
        """The list of all results, in order; raises the first failure if there is one."""
        self._feed_all()
        self._wait(self.done, timeout)
        return self._all()

    def as_completed(self) -> Iterator[tuple[int, Any]]:
        """`(index, value)` of each item as it comes; a failed one raises."""
        self._feed(None)
        left = [future for future in self._futures if isinstance(future, ActorFuture)]
        place = {id(future): index for index, future in enumerate(self._futures)}
        for future in as_completed(left):
            yield place[id(future)], future.result()

    def __iter__(self) -> Iterator[Any]:
        index = 0
        while self._exists(index):
            self._wait(partial(self._come, index), None)
            if not self._exists(index):
                return
            yield self._taken(index)
            index += 1

    async def __aiter__(self) -> AsyncIterator[Any]:
        index = 0
        while self._exists(index):
            await self._caller.wait_async(partial(self._come, index))
            if not self._exists(index):
                return
            yield self._taken(index)
            index += 1

    def __getitem__(self, index: int) -> Any:
        if index < 0:
            index += len(self)
        if index < 0 or not self._exists(index):
            raise IndexError(f"There is no item {index} in {self!r}.")
        self._wait(partial(self._come, index), None)
        if not self._exists(index):
            raise IndexError(f"There is no item {index} in {self!r}.")
        return self._futures[index].result()

    def __await__(self) -> Generator[Any, None, list[Any]]:
        self._feed_all()
        yield from self._caller.wait_async(self.done).__await__()
        return self._all()

    # ------------------------------------------------------------------------------------------------

    def _taken(self, index: int) -> Any:
        """The result, handed out in order; not kept if nobody knows how many there will be."""
        value = self._futures[index].result()
        if self._endless:
            self._futures[index] = _HANDED_OUT
        return value

    def _exists(self, index: int) -> bool:
        if self._total is None:
            self._feed(index + AHEAD - len(self._futures))
        if index < (len(self._futures) if self._total is None else self._total):
            return True
        if self._broken is not None:
            raise self._broken
        return False

    def _come(self, index: int) -> bool:
        """Whether its result is here, or will never be."""
        return self._futures[index].done() if index < len(self._futures) else self._items is None

    def _feed_all(self) -> None:
        if self._window is None:  # else it feeds itself
            self._feed(None)

    def _feed(self, count: int | None) -> None:
        """Make so many calls more, or all."""
        with self._lock:
            while self._items is not None and (count is None or count > 0):
                try:
                    arguments = next(self._items)
                except StopIteration:
                    self._items = None
                    self._total = len(self._futures)
                    return
                future = self._call(*arguments)
                self._futures.append(future)
                count = None if count is None else count - 1
                if self._window is not None:
                    if future.done():  # nobody is there to answer: in this loop, not deep in a recursion
                        count = None if count is None else count + 1
                    else:
                        future.add_done_callback(self._feed_on)
            if self._total is not None and len(self._futures) >= self._total:
                self._items = None

    def _feed_on(self, _: ActorFuture) -> None:
        """One is answered, so the next is called; what keeps it from that, whoever takes the results gets."""
        try:
            self._feed(1)
        except Exception as error:  # noqa: BLE001 - the user's items, pickled here
            self._broken, self._total = error, len(self._futures)
            self._items = None
            self._caller.session.bell.ring()

    def _wait(self, done: Callable[[], bool], timeout: float | None) -> None:
        try:
            waits.until(self._caller, done, timeout, self._title, self.progress)
        except KeyboardInterrupt:
            with deferred():  # a second Stop must not leave half of them running
                self.cancel()
            raise

    def _all(self) -> list[Any]:
        values: list[Any] = []
        errors: dict[int, BaseException] = {}
        for index, future in enumerate(self._futures):
            try:
                values.append(future.result())
            except Exception as error:  # noqa: BLE001 - whatever the method raised; it is raised below
                values.append(None)
                errors[index] = error
        if errors:
            raise frames.fresh(first_failure(errors, len(errors), values))
        if self._broken is not None:
            raise self._broken
        return values

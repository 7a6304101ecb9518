"""The results of a map, in order, as they come.

Owns `Results`. Never launches: `fan_out` in `launching.py` does. All items run even if some fail: iteration
raises at the failed item's index; `result()` raises the first failure, which carries the rest. Where the
items have no length (a generator), iterating keeps nothing of what it has handed out. Read next: `taking.py`,
`collecting.py`, `arrivals.py`, `feeding.py`.
"""

import time
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from functools import partial
from typing import Any, overload

from cellmesh.scheduler.objects import frames
from cellmesh.widgets import html

from . import collecting, outcomes
from .arrivals import Arrivals, Stretch
from .feeding import Feeder
from .jobs import Job
from .lazy import LazyFeeder
from .session import Session
from .several import Several
from .taking import Completed, Stream


class Results(Several):
    """The results of a map, while it runs and after.

        for y in ys: ...                          # in order, as they come
        for index, y in ys.as_completed(): ...    # whichever comes first
        ys.result()                               # the list of all; raises the first failure
        ys[3], ys[-1], len(ys), await ys, ys.cancel()

    Both loops exist with `async for`, too. A map over a list keeps its results. A map over an iterable
    without a length (a generator, maybe without an end) works a little ahead of its consumer and keeps only
    what it has not handed out yet; without a consumer it pauses, and dropped it ends. `.result()`, `await`
    and indexing keep everything.
    """

    def __init__(self, job: Job, feeder: Feeder | None) -> None:
        self._job = job
        self._session = job.session
        self.arrivals = Arrivals(job, feeder)
        self._lazy = feeder if isinstance(feeder, LazyFeeder) else None
        self._keeps = self._lazy is None
        self.handed = 0  # the lowest index that was not handed out in order
        self._as_completed = False  # nothing is kept, and was handed out in another order
        self._claimed = False
        self.holds: list[Any] = []  # Futures that the function refers to

    # --- shape ----------------------------------------------------------------------------------------

    @property
    def session(self) -> Session:
        return self._session

    @property
    def job(self) -> Job:
        return self._job

    def __len__(self) -> int:
        total = self.arrivals.total()
        if total is None:
            raise TypeError(
                "The number of items is not known yet: they come from an iterable without a length."
            )
        return total

    def __repr__(self) -> str:
        return f"<cellmesh.Results job {self._job.number} {self._job.title}: {self._job.summary()}>"

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        done, total = self.progress()
        return {"text/plain": repr(self), "text/html": html.results(repr(self), done, total)}

    def progress(self) -> tuple[int, int | None]:
        """(items that are done or failed, items in all or None)."""
        return self._job.done + self._job.failed, self.arrivals.total()

    def done(self) -> bool:
        """Whether everything is over."""
        return self.arrivals.all_over()

    def failed(self) -> bool:
        """Whether it is done, and not every item has a result."""
        return self.done() and (self._job.done < self._job.items or self.arrivals.source_error() is not None)

    def add_done_callback(self, fn: Callable[["Results"], object]) -> None:
        """Call `fn` with this once everything is over: from the engine's thread, or now."""

        def tell(_: Job) -> None:
            fn(self)

        self._job.on_end.append(tell)
        if self.done():
            fn(self)

    def wait_for(self, done: Callable[[], bool], timeout: float | None) -> None:
        """Wait until `done()`, which this or something else makes true; TimeoutError if it does not."""
        self._job.wait_for(done, timeout)

    def wait(self, timeout: float | None = None) -> None:
        """Wait until everything is over, whether it succeeded or not."""
        self.wait_until(self.arrivals.all_over, timeout, all=True)

    def cancel(self) -> None:
        """Drop what is queued and interrupt what runs; what has finished stays."""
        self._job.cancel()
        self._session.bell.ring()

    # --- taking ---------------------------------------------------------------------------------------

    def result(self, timeout: float | None = None) -> list[Any]:
        """The list of all results, in order; raises the first failure if there is one."""
        self._keep()
        self.wait(timeout)
        return self._all()

    def as_completed(self) -> Completed:
        """`(index, value)` of each item as it comes, for `for` and `async for`; a failed one raises."""
        self._as_completed = not self._keeps
        return Completed(self)

    def __iter__(self) -> Iterator[Any]:
        return self._in_order() if self._keeps else self._streamed()

    def _in_order(self) -> Iterator[Any]:
        index = 0
        while self._await_index(index):
            values = self._values_from(index)
            yield from values
            index += len(values)
            self._handed_in_order(index)

    def drain(self, end: float | None = None) -> Iterator[Any]:
        """As iterating, once: what was handed out is not kept, and what is not taken is cancelled.

        TimeoutError when it is later than `end` (of the monotonic clock).
        """
        index = 0
        try:
            while self._await_index(index, None if end is None else max(0.0, end - time.monotonic())):
                values = self._values_from(index)
                self.arrivals.forget(index)
                index += len(values)
                values.reverse()
                while values:
                    yield values.pop()
                self._handed_in_order(index)
        finally:
            if not self.done():
                self.cancel()

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> list[Any]: ...
    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return [self[position] for position in range(*index.indices(self._known_total()))]
        if index < 0:
            index += self._known_total()
        self._keep()
        if index < 0 or not self._await_index(index):
            raise IndexError(f"There is no item {index} in {self!r}.")
        value = self._values_from(index)[0]
        self._handed_in_order(index + 1)
        return value

    def __await__(self) -> Generator[Any, None, list[Any]]:
        self._keep()
        yield from self.wait_until_async(self.arrivals.all_over, all=True).__await__()
        return self._all()

    def __aiter__(self) -> AsyncIterator[Any]:
        return self._in_order_async() if self._keeps else self._streamed()

    async def _in_order_async(self) -> AsyncIterator[Any]:
        index = 0
        while True:
            await self.wait_until_async(partial(self.decided, index))
            if not self._exists(index):
                return
            for value in self._values_from(index):
                yield value
                index += 1
            self._handed_in_order(index)

    def __reduce__(self) -> Any:
        raise TypeError(
            "cellmesh Results cannot be pickled: they are on their way. Take them first, with "
            ".result(); a task that maps returns, for example, cm.map(f, xs).result()."
        )

    def __del__(self) -> None:
        # May run anywhere: only note it; the session tells the engine later.
        job, lazy = getattr(self, "_job", None), getattr(self, "_lazy", None)
        if job is None or self._claimed or job.session.dying:
            return
        if lazy is not None:
            self.arrivals.unwanted = True
            lazy.drop()  # and claims it, once it has ended
        else:
            job.session.claims.append((job.id, None))
            job.session.engine.nudge()

    # ------------------------------------------------------------------------------------------------

    def _known_total(self) -> int:
        if self.arrivals.total() is None:
            self.wait_until(lambda: self.arrivals.total() is not None, all=True)
        return len(self)

    def decided(self, index: int) -> bool:
        """The item is here, or it is known that there is none."""
        total = self.arrivals.total()
        beyond = total is not None and index >= total
        return self.arrivals.at(index) is not None or beyond or self.arrivals.all_over()

    def _await_index(self, index: int, timeout: float | None = None) -> bool:
        """Wait for an item; False if there is none of that index."""
        self.wait_until(partial(self.decided, index), timeout)
        return self._exists(index)

    def _exists(self, index: int) -> bool:
        if self.arrivals.at(index) is not None:
            return True
        self.check_end(index)
        return False

    def wait_until(
        self, done: Callable[[], bool], timeout: float | None = None, *, all: bool = False
    ) -> None:
        """Wait for something to come; `all`: everything, whether or not somebody takes it meanwhile."""
        if self._lazy is not None:
            self._lazy.want(float("inf") if all else self.handed + 1)
            self._lazy.pull(done)
            if not done() and self._lazy.source.needs_this_loop():
                raise RuntimeError(
                    "These items come from an async iterable of this very event loop, which cannot run while "
                    "we wait. Use `async for y in ys` or `await ys`."
                )
        self._job.wait_for(done, timeout)
        self._session.router.release(self._job)

    async def wait_until_async(self, done: Callable[[], bool], *, all: bool = False) -> None:
        """`wait_until` in a coroutine."""
        if self._lazy is not None:
            self._lazy.want(float("inf") if all else self.handed + 1)
            self._lazy.pull(done)
        await self._job.wait_for_async(done)

    def want_all(self) -> None:
        """Somebody waits for the end, so work goes on even if nobody takes results meanwhile."""
        if self._lazy is not None:
            self._lazy.want(float("inf"))
            self._lazy.pull(self.arrivals.all_over)

    def _keep(self) -> None:
        """From now on everything is kept."""
        if not self._keeps and (self.handed or self._as_completed):
            raise RuntimeError(
                "Some of these results were handed out one by one, and are not kept, as their number was not "
                "known. Iterate over the rest, or make it a list from the start: list(ys)."
            )
        self._keeps = True

    def _streamed(self) -> Stream:
        if self._as_completed:
            raise RuntimeError("These results are being taken as they complete, and are not kept.")
        return Stream(self)

    def check_end(self, count: int) -> None:
        """After the last of `count` items: raises why there are no more, if that is no good reason."""
        total = self.arrivals.total()
        if total is not None and count < total and self.arrivals.all_over():
            raise outcomes.ending_of(self._job, None)  # it was cancelled before this item was sent
        error = self.arrivals.source_error()
        if error is not None:
            raise frames.fresh(error)

    def handed_out(self, found: Stretch, place: int) -> None:
        """This item of a stretch is handed out (see `taking.py`)."""
        if self._keeps:
            return
        if not self._as_completed:
            self.handed = found.first + place + 1
        if place + 1 == found.count:
            self.arrivals.let_go(found)

    def _values_from(self, index: int) -> list[Any]:
        """The item's value and those that came with it, or raise its error."""
        found = self.arrivals.decoded(index)
        if found.error is not None:
            raise frames.fresh(found.error)
        assert found.values is not None
        return found.values[index - found.first :] if index > found.first else found.values

    def _handed_in_order(self, upto: int) -> None:
        if upto > self.handed:
            self.handed = upto
            if self._job.finished and self.handed >= (self.arrivals.total() or 0):
                self._claim()

    def _all(self) -> list[Any]:
        try:
            return collecting.collected(self.arrivals)
        finally:
            self._claim()  # only now: what is claimed, others may write over

    def _claim(self) -> None:
        if not self._claimed:
            self._claimed = True
            self._job.claim()

"""The results of a map, in order, as they come.

Owns `Results`. Never launches: `fan_out` in `launching.py` does. All items run even if some fail: iteration
raises at the failed item's index; `result()` raises the first failure, which carries the rest.
Read next: `arrivals.py`, `feeding.py`, `outcomes.py`.
"""

import time
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from concurrent.futures import CancelledError
from functools import partial
from typing import Any, overload

from . import outcomes
from .arrivals import Arrivals
from .feeding import Feeder
from .jobs import Job

EXCEPTIONS_KEPT = 1000
"""So many failures are rebuilt for `.results`; the rest stand there as None."""


class Results:
    """Iterate, await, index, or take the whole list with `.result()`."""

    def __init__(self, job: Job, feeder: Feeder | None) -> None:
        self._job = job
        self._session = job.session
        self._arrivals = Arrivals(job, feeder)
        self._handed = 0
        self._claimed = False
        self.holds: list[Any] = []  # Futures that the function refers to

    # --- shape ----------------------------------------------------------------------------------------

    @property
    def job(self) -> Job:
        return self._job

    def __len__(self) -> int:
        total = self._arrivals.total()
        if total is None:
            raise TypeError(
                "The number of items is not known yet: they come from an iterable without a length."
            )
        return total

    def __repr__(self) -> str:
        return f"<cellmesh.Results job {self._job.number} {self._job.title}: {self._job.summary()}>"

    def progress(self) -> tuple[int, int | None]:
        """(items that are done or failed, items in all or None)."""
        return self._job.done + self._job.failed, self._arrivals.total()

    def done(self) -> bool:
        """Whether everything is over."""
        return self._arrivals.all_over()

    def failed(self) -> bool:
        """Whether it is done, and not every item has a result."""
        return self.done() and (self._job.done < self._job.items or self._arrivals.source_error() is not None)

    def add_done_callback(self, fn: Callable[["Results"], object]) -> None:
        """Call `fn` with this once everything is over: from the engine's thread, or now."""

        def tell(_: Job) -> None:
            fn(self)

        self._job.on_end.append(tell)
        if self.done():
            fn(self)

    def wait(self, timeout: float | None = None) -> None:
        """Wait until everything is over, whether it succeeded or not."""
        __tracebackhide__ = True
        self._wait(self._arrivals.all_over, timeout)

    def cancel(self) -> None:
        """Drop what is queued and interrupt what runs; what has finished stays."""
        self._job.cancel()
        self._session.bell.ring()

    # --- taking ---------------------------------------------------------------------------------------

    def result(self, timeout: float | None = None) -> list[Any]:
        """The list of all results, in order; raises the first failure if there is one."""
        __tracebackhide__ = True
        self.wait(timeout)
        return self._collect()

    def __iter__(self) -> Iterator[Any]:
        __tracebackhide__ = True
        index = 0
        while self._await_index(index):
            values = self._values_from(index)
            yield from values
            index += len(values)
            self._handed_out(index)

    def drain(self, end: float | None = None) -> Iterator[Any]:
        """As iterating, once: what was handed out is not kept, and what is not taken is cancelled.

        TimeoutError when it is later than `end` (of the monotonic clock).
        """
        __tracebackhide__ = True
        index = 0
        try:
            while self._await_index(index, None if end is None else max(0.0, end - time.monotonic())):
                values = self._values_from(index)
                self._arrivals.forget(index)
                index += len(values)
                values.reverse()
                while values:
                    yield values.pop()
                self._handed_out(index)
        finally:
            if not self.done():
                self.cancel()

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> list[Any]: ...
    def __getitem__(self, index: int | slice) -> Any:
        __tracebackhide__ = True
        if isinstance(index, slice):
            return [self[position] for position in range(*index.indices(self._known_total()))]
        if index < 0:
            index += self._known_total()
        if index < 0 or not self._await_index(index):
            raise IndexError(f"There is no item {index} in {self!r}.")
        value = self._values_from(index)[0]
        self._handed_out(index + 1)
        return value

    def __await__(self) -> Generator[Any, None, list[Any]]:
        __tracebackhide__ = True
        yield from self._job.wait_for_async(self._arrivals.all_over).__await__()
        return self._collect()

    async def __aiter__(self) -> AsyncIterator[Any]:
        __tracebackhide__ = True
        index = 0
        while True:
            await self._job.wait_for_async(partial(self._decided, index))
            if not self._exists(index):
                return
            for value in self._values_from(index):
                yield value
                index += 1
            self._handed_out(index)

    def __del__(self) -> None:
        # May run anywhere: only note it; the session tells the engine later.
        job = getattr(self, "_job", None)
        if job is not None and not self._claimed and not job.session.dying:
            job.session.claims.append((job.id, None))

    # ------------------------------------------------------------------------------------------------

    def _known_total(self) -> int:
        __tracebackhide__ = True
        if self._arrivals.total() is None:
            self._wait(lambda: self._arrivals.total() is not None, None)
        return len(self)

    def _decided(self, index: int) -> bool:
        """The item is here, or it is known that there is none."""
        total = self._arrivals.total()
        beyond = total is not None and index >= total
        return self._arrivals.at(index) is not None or beyond or self._arrivals.all_over()

    def _await_index(self, index: int, timeout: float | None = None) -> bool:
        """Wait for an item; False if there is none of that index."""
        __tracebackhide__ = True
        self._wait(partial(self._decided, index), timeout)
        return self._exists(index)

    def _exists(self, index: int) -> bool:
        __tracebackhide__ = True
        if self._arrivals.at(index) is not None:
            return True
        total = self._arrivals.total()
        if total is not None and index < total and self._arrivals.all_over():
            raise outcomes.ending_of(self._job, None)  # it was cancelled before this item was sent
        error = self._arrivals.source_error()
        if error is not None:
            raise error
        return False

    def _wait(self, done: Callable[[], bool], timeout: float | None) -> None:
        __tracebackhide__ = True
        self._job.wait_for(done, timeout)
        self._session.router.release(self._job)

    def _values_from(self, index: int) -> list[Any]:
        """The item's value and those that came with it, or raise its error."""
        __tracebackhide__ = True
        found = self._arrivals.decoded(index)
        if found.error is not None:
            raise found.error
        assert found.values is not None
        return found.values[index - found.first :] if index > found.first else found.values

    def _handed_out(self, upto: int) -> None:
        if upto > self._handed:
            self._handed = upto
            if self._job.finished and self._handed >= (self._arrivals.total() or 0):
                self._claim()

    def _collect(self) -> list[Any]:
        __tracebackhide__ = True
        arrivals = self._arrivals
        known = arrivals.total()
        total = arrivals.highest() if known is None else known
        values: list[Any] = []
        errors: dict[int, BaseException] = {}
        bad = 0
        while len(values) < total:
            index = len(values)
            found = arrivals.at(index)
            if bad < EXCEPTIONS_KEPT or (found is not None and found.good):
                found = arrivals.decoded(index)  # even what is good may turn out not to load
            if found is not None and found.values is not None:
                values.extend(found.values[index - found.first :] if index > found.first else found.values)
                continue
            count = 1 if found is None else found.first + found.count - index
            if found is not None and found.error is not None:
                errors.update(dict.fromkeys(range(index, index + count), found.error))
            bad += count
            values.extend([None] * count)
        self._claim()
        if bad:
            raise self._first_failure(errors, bad, values)
        error = arrivals.source_error()
        if error is not None:
            raise error
        return values

    def _first_failure(self, errors: dict[int, BaseException], bad: int, values: list[Any]) -> BaseException:
        """The failure of the lowest index; a cancellation only if there is nothing else."""
        total = len(values)
        cancelled = sum(isinstance(error, CancelledError) for error in errors.values())
        real = [index for index, error in errors.items() if not isinstance(error, CancelledError)]
        chosen = errors[min(real or errors)]
        if total > 1 and not hasattr(chosen, "results"):
            also = f", {cancelled} were cancelled" if cancelled else ""
            chosen.add_note(
                f"{bad - cancelled} of {total} items failed{also}; "
                "the exception's .results has the others' results."
            )
        try:
            chosen.results = [  # type: ignore[attr-defined]
                errors.get(index, value) for index, value in enumerate(values)
            ]
        except AttributeError:
            pass  # an exception class with __slots__: its note has to do
        return chosen

    def _claim(self) -> None:
        if not self._claimed:
            self._claimed = True
            self._job.claim()

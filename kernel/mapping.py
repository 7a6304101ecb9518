"""The results of a map, in order, as they come.

Owns `Results`. Never launches: `fan_out` in `launching.py` does. All items run even if some fail: iteration
raises at the failed item's index; `result()` raises the first failure, which carries the rest.
Read next: `feeding.py`, `outcomes.py`.
"""

from collections.abc import AsyncIterator, Generator, Iterator, Sequence
from concurrent.futures import CancelledError
from typing import Any, overload

from cellmesh.scheduler.wire.messages import Item

from . import outcomes
from .feeding import Feeder
from .jobs import Job, Record

_TAKEN = Item(0, True, b"")
EXCEPTIONS_KEPT = 1000
"""So many failures are rebuilt for `.results`; the rest stand there as None."""


class Results:
    """Iterate, await, index, or take the whole list with `.result()`."""

    def __init__(self, job: Job, feeder: Feeder | None) -> None:
        self._job = job
        self._session = job.session
        self._feeder = feeder
        self._items: dict[int, Item] = {}  # arrived, not decoded
        self._errors: dict[int, BaseException] = {}
        self._values: dict[int, Any] = {}
        self._start: dict[int, int] = {}  # where the item's task begins
        self._missing: dict[int, Record | None] = {}  # over without an item
        self._handed = 0
        self._claimed = False
        self._laid_out = False
        self.holds: list[Any] = []  # Futures that the function refers to
        if feeder is not None:
            job.add_listener(self._hear)

    # --- shape ----------------------------------------------------------------------------------------

    @property
    def job(self) -> Job:
        return self._job

    def __len__(self) -> int:
        if (total := self._total()) is None:
            raise TypeError(
                "The number of items is not known yet: they come from an iterable without a length."
            )
        return total

    def __repr__(self) -> str:
        return f"<cellmesh.Results job {self._job.number} {self._job.title}: {self._job.summary()}>"

    def progress(self) -> tuple[int, int | None]:
        """(items that are done or failed, items in all or None)."""
        return self._job.done + self._job.failed, self._total()

    def done(self) -> bool:
        """Whether everything is over."""
        return self._all_over()

    def cancel(self) -> None:
        """Drop what is queued and interrupt what runs; what has finished stays."""
        self._job.cancel()
        self._session.bell.ring()

    # --- taking ---------------------------------------------------------------------------------------

    def result(self, timeout: float | None = None) -> list[Any]:
        """The list of all results, in order; raises the first failure if there is one."""
        self._wait(self._all_over, timeout)
        return self._collect()

    def __iter__(self) -> Iterator[Any]:
        index = 0
        while self._await_index(index):
            yield self._take(index)
            index += 1

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> list[Any]: ...
    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            total = self._known_total()
            return [self[position] for position in range(*index.indices(total))]
        if index < 0:
            index += self._known_total()
        if index < 0 or not self._await_index(index):
            raise IndexError(f"There is no item {index} in {self!r}.")
        return self._take(index)

    def __await__(self) -> Generator[Any, None, list[Any]]:
        yield from self._session.bell.wait_async(self._all_over).__await__()
        return self._collect()

    async def __aiter__(self) -> AsyncIterator[Any]:
        index = 0
        while True:
            at = index
            await self._session.bell.wait_async(lambda: self._is_here(at) or self._is_beyond(at))  # noqa: B023
            if not self._is_here(index):
                self._raise_source_error()
                return
            yield self._take(index)
            index += 1

    def __del__(self) -> None:
        # May run anywhere: only note it; the session tells the engine later.
        job = getattr(self, "_job", None)
        if job is not None and not self._claimed and not job.session.dying:
            job.session.claims.append((job.id, None))

    # ------------------------------------------------------------------------------------------------

    def _hear(self, record: Record, items: Sequence[Item] | None) -> None:
        """From the engine's thread."""
        start = self._feeder.starts[record.index]  # type: ignore[union-attr]
        if items is not None:
            for item in items:
                self._items[start + item.index] = item
                self._start[start + item.index] = start
            return
        for offset in range(record.size):
            if offset not in record.items:
                self._missing[start + offset] = record
        record.items = dict.fromkeys(record.items, _TAKEN)  # the payloads are ours now

    def _lay_out(self) -> None:
        """A surviving job tells its tasks' sizes as they end; only then are the items' places known."""
        if self._laid_out or self._feeder is not None:
            return
        self._laid_out = True
        start = 0
        for _, record in sorted(self._job.records.items()):
            for offset in range(record.size):
                item = record.items.get(offset)
                if item is None:
                    self._missing[start + offset] = record
                else:
                    self._items[start + offset] = item
                    self._start[start + offset] = start
            start += record.size

    def _total(self) -> int | None:
        if self._feeder is not None:
            return self._feeder.total
        return self._job.total if self._job.finished else None

    def _known_total(self) -> int:
        if self._total() is None:
            self._wait(lambda: self._total() is not None, None)
        return len(self)

    def _is_here(self, index: int) -> bool:
        return (
            index in self._items or index in self._values or index in self._errors or self._is_missing(index)
        )

    def _is_missing(self, index: int) -> bool:
        if index in self._missing:
            return True
        feeder = self._feeder
        if feeder is None:
            return False
        for task, (count, _) in feeder.failed_chunks.items():
            if feeder.starts[task] <= index < feeder.starts[task] + count:
                return True
        return False

    def _is_beyond(self, index: int) -> bool:
        total = self._total()
        if total is not None and index >= total:
            return True
        return self._all_over()

    def _all_over(self) -> bool:
        job = self._job
        if job.finished:
            self._lay_out()
            return True
        # A cancelled map may never be sealed: the user's iterator may never return.
        return job.cancelled and job.over == len(job.records)

    def _await_index(self, index: int) -> bool:
        """Wait for an item; False if there is none of that index."""
        if not self._is_here(index):
            self._wait(lambda: self._is_here(index) or self._is_beyond(index), None)
        if self._is_here(index):
            return True
        total = self._total()
        if self._job.refused or (self._job.cancelled and total is not None and index < total):
            raise outcomes.ending_of(self._job, None)
        self._raise_source_error()
        return False

    def _wait(self, done: Any, timeout: float | None) -> None:
        self._job.wait_for(done, timeout)
        self._session.router.release(self._job)

    def _raise_source_error(self) -> None:
        if self._feeder is not None and self._feeder.error is not None:
            raise self._feeder.error

    def _take(self, index: int) -> Any:
        """The item's value, or raise its error."""
        self._decode(index)
        if index in self._errors:
            raise self._errors[index]
        if index >= self._handed:
            self._handed = index + 1
            if self._job.finished and self._handed >= (self._total() or 0):
                self._claim()
        return self._values[index]

    def _decode(self, index: int) -> None:
        if index in self._values or index in self._errors:
            return
        item = self._items.get(index)
        if item is None:
            self._errors[index] = self._why_missing(index)
            return
        value, error = outcomes.value_of(item, self._start.pop(index), self._job.kind != "cell")
        if error is None:
            self._values[index] = value
        else:
            self._errors[index] = error
        self._items.pop(index, None)

    def _why_missing(self, index: int) -> BaseException:
        if index in self._missing:
            return outcomes.ending_of(self._job, self._missing[index])
        feeder = self._feeder
        if feeder is not None:
            for task, (count, error) in feeder.failed_chunks.items():
                if feeder.starts[task] <= index < feeder.starts[task] + count:
                    return error
        return outcomes.ending_of(self._job, None)

    def _collect(self) -> list[Any]:
        total = self._total()
        if total is None:
            total = max([*self._items, *self._values, *self._errors, *self._missing, -1]) + 1
        bad = [index for index in range(total) if not self._is_good(index)]
        for index in range(total):
            if index not in self._items:
                continue
            if self._items[index].ok or len(self._errors) < EXCEPTIONS_KEPT:
                self._decode(index)
        bad = sorted({*bad, *(index for index in self._errors)})
        if not bad:
            self._raise_source_error()
            values = [self._values[index] for index in range(total)]
            self._claim()
            return values
        for index in bad[:EXCEPTIONS_KEPT]:
            self._decode(index)
        self._claim()
        raise self._first_failure(bad, total)

    def _is_good(self, index: int) -> bool:
        if index in self._values:
            return True
        item = self._items.get(index)
        return item is not None and item.ok

    def _first_failure(self, bad: list[int], total: int) -> BaseException:
        """The failure of the lowest index; cancellations only if there is nothing else."""
        real = [i for i in bad if i in self._errors and not isinstance(self._errors[i], CancelledError)]
        chosen = self._errors[real[0] if real else bad[0]]
        cancelled = sum(isinstance(self._errors.get(index), CancelledError) for index in bad)
        results = [self._values.get(index, self._errors.get(index)) for index in range(total)]
        if total > 1 and not hasattr(chosen, "results"):
            failed = len(bad) - cancelled
            also = f", {cancelled} were cancelled" if cancelled else ""
            chosen.add_note(
                f"{failed} of {total} items failed{also}; the exception's .results has the others' results."
            )
        try:
            chosen.results = results  # type: ignore[attr-defined]
        except AttributeError:
            pass  # an exception class with __slots__: its note has to do
        return chosen

    def _claim(self) -> None:
        if not self._claimed:
            self._claimed = True
            self._job.claim()

"""Where a map's items are, by their index in the map.

Owns `Arrivals`: fed by the job from the engine's thread, read by `Results`. It does not know `Results`, so
that results nobody holds any more are collected while their job still runs. Read next: `mapping.py`.
"""

from collections.abc import Sequence
from typing import Any

from cellmesh.scheduler.wire.messages import Item

from . import outcomes
from .feeding import Feeder
from .jobs import Job, Record, WorkerLost

_TAKEN = Item(0, True, b"")


class Arrivals:
    """Items as they come: undecoded, then (once asked for) values or errors."""

    def __init__(self, job: Job, feeder: Feeder | None) -> None:
        self._job = job
        self._feeder = feeder
        self._items: dict[int, Item] = {}  # arrived, not decoded
        self._start: dict[int, int] = {}  # where the item's task begins
        self._missing: dict[int, Record] = {}  # over without an item
        self.values: dict[int, Any] = {}
        self.errors: dict[int, BaseException] = {}
        self._laid_out = False
        if feeder is not None:
            job.add_listener(self._hear)

    def total(self) -> int | None:
        """How many items there are in all, if that is known."""
        if self._feeder is not None:
            return self._feeder.total
        return self._job.total if self._job.finished else None

    def source_error(self) -> BaseException | None:
        """What the user's iterator raised."""
        return self._feeder.error if self._feeder is not None else None

    def all_over(self) -> bool:
        """Nothing more will come."""
        job = self._job
        if job.finished:
            self._lay_out()
            return True
        # A cancelled map may never be sealed: the user's iterator may never return.
        return job.cancelled and job.over == len(job.records)

    def is_here(self, index: int) -> bool:
        """Whether the item's outcome is known."""
        return (
            index in self._items
            or index in self.values
            or index in self.errors
            or index in self._missing
            or self._never_sent(index) is not None
        )

    def is_good(self, index: int) -> bool:
        """Whether it is a value, as far as can be told without decoding it."""
        item = self._items.get(index)
        return index in self.values or (item is not None and item.ok)

    def decode(self, index: int) -> None:
        """Have the item in `values` or in `errors`."""
        if index in self.values or index in self.errors:
            return
        item = self._items.get(index)
        if item is None:
            self.errors[index] = self._never_sent(index) or self._ending(index)
            return
        value, error = outcomes.value_of(item, self._start.pop(index, 0), many=True)
        if error is None:
            self.values[index] = value
        else:
            self.errors[index] = error
        self._items.pop(index, None)

    def highest(self) -> int:
        """The highest index of which anything is known, plus one."""
        return max([*self._items, *self.values, *self.errors, *self._missing, -1]) + 1

    # ------------------------------------------------------------------------------------------------

    def _hear(self, record: Record, items: Sequence[Item] | None) -> None:
        """From the engine's thread."""
        assert self._feeder is not None
        start = self._feeder.starts[record.index]
        if items is not None:
            for item in items:
                self._start[start + item.index] = start
                self._items[start + item.index] = item
            return
        for offset in range(record.size):
            if offset not in record.items:
                self._missing[start + offset] = record
        record.items = dict.fromkeys(record.items, _TAKEN)  # the payloads are here now

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
                    self._start[start + offset] = start
                    self._items[start + offset] = item
            start += record.size

    def _ending(self, index: int) -> BaseException:
        """Why its task is over without it; of a loss it is said which item that was."""
        error = outcomes.ending_of(self._job, self._missing.get(index))
        if isinstance(error, WorkerLost):
            shown = self._feeder.lost.get(index, "") if self._feeder is not None else ""
            error.add_note(f"cellmesh: item {index}{': ' if shown else ''}{shown}")
        return error

    def _never_sent(self, index: int) -> BaseException | None:
        """Why an item could not even be sent: a Future in it failed."""
        feeder = self._feeder
        if feeder is None:
            return None
        for task, (count, error) in feeder.failed_chunks.items():
            if feeder.starts[task] <= index < feeder.starts[task] + count:
                return error
        return None

"""Where a map's items are, by their index in the map.

Owns `Arrivals`: fed by the job from the engine's thread, read by `Results`. Items that came together stay
together, as a `Stretch`: a million small results are a few hundred of them. It does not know `Results`, so
that results nobody holds any more are collected while their job still runs. Read next: `mapping.py`.
"""

import threading
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cellmesh.scheduler.wire.messages import Item

from . import outcomes
from .feeding import Feeder
from .jobs import Job, Record, WorkerLost


@dataclass(slots=True, eq=False)
class Stretch:
    """Neighbouring items with one fate: values, or one error. Undecoded until somebody asks."""

    first: int
    count: int
    start: int  # where their task begins
    task: int = -1
    size: int = 0  # of their task
    item: Item | None = None  # not decoded yet
    record: Record | None = None  # their task is over without them
    values: list[Any] | None = None
    error: BaseException | None = None

    @property
    def good(self) -> bool:
        """Whether these are values, as far as can be told without decoding them."""
        return self.values is not None or (self.item is not None and self.item.ok)


class Arrivals:
    """Items as they come: undecoded, then (once asked for) values or errors."""

    def __init__(self, job: Job, feeder: Feeder | None) -> None:
        self._job = job
        self._feeder = feeder
        self._stretches: dict[int, Stretch] = {}  # by their first index
        self._firsts: list[int] = []  # their first indices, sorted; remade when some have come
        self._stale = False  # `_firsts` is to be made again
        self._log: list[int] = []  # first indices in the order in which they came
        self._trimmed = 0  # how many are gone from its beginning
        self._handed: dict[int, int] = {}  # of tasks whose items are not kept: how many were handed out
        self._lock = threading.Lock()
        self._laid_out = False
        self.unwanted = False  # nobody holds the results any more
        if feeder is not None:
            job.add_listener(self._hear)
            feeder.unsendable = self._unsendable

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

    def at(self, index: int) -> Stretch | None:
        """The stretch that holds this item; None as long as its outcome is not known."""
        found = self._stretches.get(index)
        if found is not None:
            return found
        if self._stale:
            self._stale = False
            self._firsts = sorted(self._stretches.copy())  # the engine's thread adds to it
        place = bisect_right(self._firsts, index) - 1
        found = self._stretches.get(self._firsts[place]) if place >= 0 else None
        return found if found is not None and index < found.first + found.count else None

    def came(self, place: int) -> int | None:
        """The first index of the stretch that came as number `place`, if it has come."""
        self.all_over()  # a surviving job is laid out then
        with self._lock:
            position = place - self._trimmed
            return self._log[position] if position < len(self._log) else None

    def decoded(self, index: int) -> Stretch:
        """The stretch of an item that is here, with its values or its error."""
        found = self.at(index)
        if found is None:
            return Stretch(index, 1, index, error=self._ending(index, None))
        if found.values is None and found.error is None:
            self._decode(found)
        return found

    def forget(self, index: int) -> None:
        """The values of the stretch that holds this item will not be asked for again."""
        found = self.at(index)
        if found is not None:
            found.values = None

    def let_go(self, found: Stretch) -> None:
        """All of this stretch was handed out, and is not kept; nor is its task, once all of it was."""
        assert self._feeder is not None
        with self._lock:
            self._stretches.pop(found.first, None)
            self._stale = True
            gone = 0
            while gone < len(self._log) and self._log[gone] not in self._stretches:
                gone += 1
            del self._log[:gone]
            self._trimmed += gone
            self._handed[found.task] = self._handed.get(found.task, 0) + found.count
        self._release(found.task, found.size)

    def highest(self) -> int:
        """The highest index of which anything is known, plus one."""
        return max((one.first + one.count for one in self._stretches.values()), default=0)

    # ------------------------------------------------------------------------------------------------

    def _decode(self, found: Stretch) -> None:
        item, found.item = found.item, None
        if item is None:
            found.error = self._ending(found.first, found.record)
        elif item.ok and item.count > 1:
            found.values = outcomes.values_of(item)
        else:
            value, found.error = outcomes.value_of(item, self._job.title, found.start, many=True)
            if found.error is None:
                found.values = [value]
            if isinstance(found.error, WorkerLost):
                self._name(found.first, found.error)

    def _hear(self, record: Record, items: Sequence[Item] | None) -> None:
        """From the engine's thread."""
        assert self._feeder is not None
        if self.unwanted:
            record.items.clear()
            if items is None:
                self._job.release(record.index)
            return
        self._take(record, self._feeder.starts[record.index], items)
        record.items.clear()  # they are here now
        if items is None:
            self._release(record.index, record.size)

    def _release(self, task: int, size: int) -> None:
        """Forget a task that is over and whose items were all handed out."""
        assert self._feeder is not None
        record = self._job.records.get(task)
        with self._lock:
            if self._handed.get(task) != size or (record is not None and not record.state):
                return
            del self._handed[task]
        self._feeder.taken(task)
        self._job.release(task)

    def _unsendable(self, task: int, count: int, error: BaseException) -> None:
        """A Future in these items failed."""
        assert self._feeder is not None
        start = self._feeder.starts[task]
        self._add(Stretch(start, count, start, task, count, error=error))

    def _add(self, stretch: Stretch) -> None:
        with self._lock:
            self._stretches[stretch.first] = stretch
            self._log.append(stretch.first)
            self._stale = True

    def _take(self, record: Record, start: int, items: Sequence[Item] | None) -> None:
        for item in items or ():
            self._add(Stretch(start + item.index, item.count, start, record.index, record.size, item))
        if items is None and record.got.bit_count() < record.size:
            for offset in record.missing():
                self._add(Stretch(start + offset, 1, start, record.index, record.size, record=record))

    def _lay_out(self) -> None:
        """A surviving job tells its tasks' sizes as they end; only then are the items' places known."""
        if self._laid_out or self._feeder is not None:
            return
        self._laid_out = True
        start = 0
        for _, record in sorted(self._job.records.items()):
            self._take(record, start, list(record.items.values()))
            self._take(record, start, None)
            start += record.size

    def _ending(self, index: int, record: Record | None) -> BaseException:
        """Why its task is over without it; of a loss, or a lack of time, it is said which item that was."""
        error = outcomes.ending_of(self._job, record)
        if isinstance(error, WorkerLost | TimeoutError):
            self._name(index, error)
        return error

    def _name(self, index: int, error: BaseException) -> None:
        shown = self._feeder.lost.get(index, "") if self._feeder is not None else ""
        error.add_note(f"cellmesh: item {index}{': ' if shown else ''}{shown}")

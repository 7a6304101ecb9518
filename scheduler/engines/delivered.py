"""What a kernel has been told already.

Owns the memory that makes delivery exactly-once: a hub that came back sends again what is unclaimed. It
lives as long as something of the job can still come. Never tells anything itself. Read next: `embedded.py`.
"""

import threading
from collections.abc import Sequence

from cellmesh.scheduler.wire import messages as msg


class Delivered:
    """What of one job the sink has been told, so that it is told each thing once."""

    def __init__(self) -> None:
        self.last = False  # no more tasks will be sent
        self._open: set[int] = set()  # tasks sent that are not over
        self._items: dict[int, int] = {}  # of tasks that are not over: a bit for each item
        self._settled: set[int] = set()
        self._claimed: set[int] = set()
        self._through = 0  # tasks below this number are settled and claimed: an endless map has many
        self._lock = threading.Lock()

    def send(self, tasks: Sequence[msg.TaskWire], last: bool) -> None:
        """These are about to be sent."""
        for task in tasks:  # one by one: an addition to a set needs no lock, whereas counting would
            self._open.add(task.index)
        self.last = self.last or last

    def fresh(self, task: int, items: list[msg.Item]) -> list[msg.Item]:
        """Those of the task's items that are news."""
        if self._knows(task):
            return []
        seen = self._items.get(task, 0)
        fresh = []
        for item in items:
            bits = ((1 << item.count) - 1) << item.index
            if bits & ~seen:
                seen |= bits
                fresh.append(item)
        self._items[task] = seen
        return fresh

    def done(self, task: int) -> list[int]:
        """The items of a task that is not over which the sink was told."""
        seen = self._items.get(task, 0)
        return [index for index in range(seen.bit_length()) if seen >> index & 1]

    def settle(self, task: int) -> bool:
        """Whether it is news that this task is over."""
        if self._knows(task):
            return False
        self._settled.add(task)
        self._open.discard(task)
        self._items.pop(task, None)
        return True

    def claim(self, tasks: Sequence[int] | None) -> bool:
        """Whether nothing can come any more that anybody wants."""
        self._claimed.update(self._settled if tasks is None else tasks)
        with self._lock:  # any thread may claim
            while self._through in self._settled and self._through in self._claimed:
                self._settled.discard(self._through)
                self._claimed.discard(self._through)
                self._through += 1
        return self.last and not self._open and self._claimed >= self._settled

    def end(self) -> None:
        """A surviving job, whose tasks another kernel sent, is over: all of it has been delivered."""
        self.last = True

    def _knows(self, task: int) -> bool:
        return task < self._through or task in self._settled


class Deliveries(dict[int, Delivered]):
    """By job, those of which something can still come: what was wholly claimed goes from it."""

    def send(self, job: int, tasks: Sequence[msg.TaskWire], last: bool) -> None:
        """These tasks are about to be sent."""
        if job in self:
            self[job].send(tasks, last)

    def fresh(self, job: int, task: int, items: list[msg.Item]) -> list[msg.Item]:
        """Those of the task's items that are news."""
        known = self.get(job)
        return [] if known is None else known.fresh(task, items)

    def settle(self, job: int, task: int) -> bool:
        """Whether it is news that this task is over."""
        known = self.get(job)
        return known is not None and known.settle(task)

    def claim(self, job: int, tasks: Sequence[int] | None) -> None:
        """The user has, or has dropped, these results."""
        known = self.get(job)
        if known is not None and known.claim(tasks):
            self.pop(job, None)

    def stand(self, job: int, *, missing: bool, finished: bool) -> None:
        """The hub has said where a surviving job stands."""
        if missing:
            self.pop(job, None)
        elif finished and job in self:
            self[job].end()

"""A job of an engine without a hub: what it brought, what of that is unclaimed, what is still wanted of it.

Owns the memory of one job, which stays small however long the job goes on. Never decides what runs.
Read next: `inline.py`, `inline_worker.py`, `dask/pool.py`.
"""

import time
from collections import Counter
from collections.abc import Sequence

from cellmesh.scheduler.objects.tail import Tail
from cellmesh.scheduler.wire.messages import Item, JobInfo, Output, TaskWire

from .contract import JobSpec, Sink


class Ledger:
    """A job, what it brought so far, and what is still wanted of it."""

    def __init__(self, spec: JobSpec, number: int, opened: float | None = None) -> None:
        self.spec = spec
        self.sealed = False
        self.cancelled = False
        self.halted = ""  # why no more of it runs
        self.unwanted: set[int] = set()
        self.tasks: dict[int, TaskWire] = {}
        self._settled: dict[int, tuple[str, str, int | None]] = {}  # those that were not claimed
        self._open = 0  # tasks that are not settled
        self._claimed: set[int] = set()
        self._through = 0  # tasks below this number were claimed: an endless map has many
        self._number = number
        self._opened = time.time() if opened is None else opened
        self._ends: Counter[str] = Counter()  # how tasks ended, also those that are forgotten
        self._outputs = Tail()
        self._items: dict[int, list[tuple[int | None, Item]]] = {}
        self._counts = {"items": 0, "done": 0, "failed": 0, "running": 0}

    @property
    def finished(self) -> bool:
        """Nothing of it runs and nothing will come."""
        return (self.sealed or bool(self.halted)) and not self._open

    @property
    def taken(self) -> bool:
        """Whether it is over, and all that it brought was claimed."""
        return self.finished and not self.tasks and bool(self._claimed or self._through)

    def add(self, tasks: Sequence[TaskWire]) -> list[TaskWire]:
        """Take those that are new."""
        fresh = [task for task in tasks if task.index not in self.tasks and not self.is_over(task.index)]
        self._open += len(fresh)
        for task in fresh:
            self.tasks[task.index] = task
            self._counts["items"] += task.size
        return fresh

    def is_over(self, task: int) -> bool:
        """Whether it was settled; perhaps it has been forgotten since."""
        return task in self._settled or task in self._claimed or task < self._through

    def settle(self, task: int, state: str, why: str, worker: int | None) -> bool:
        """Note how it ended; whether that is news."""
        if self.is_over(task):
            return False
        self._settled[task] = (state, why, worker)
        self._ends[state] += 1
        self._open -= 1
        return True

    def halt(self, why: str) -> None:
        """Nothing more of it runs."""
        self.halted = self.halted or why

    def running(self, change: int) -> None:
        """A task of it begins (1) or is over (-1)."""
        self._counts["running"] += change

    def keep_output(self, output: Output) -> None:
        """Remember for whoever attaches."""
        self._outputs.add(output)

    def keep_items(self, task: int, worker: int | None, items: Sequence[Item]) -> None:
        """Remember until claimed."""
        self._items.setdefault(task, []).extend((worker, item) for item in items)
        failed = sum(not item.ok for item in items)
        self._counts["done"] += len(items) - failed
        self._counts["failed"] += failed

    def forget(self, tasks: Sequence[int] | None) -> None:
        """The user has these results. What is not over is not forgotten."""
        for task in list(self.tasks) if tasks is None else tasks:
            if task in self._settled:
                del self.tasks[task], self._settled[task]
                self._items.pop(task, None)
                self.unwanted.discard(task)
                self._claimed.add(task)
        while self._through in self._claimed:
            self._claimed.discard(self._through)
            self._through += 1

    def replay(self, sink: Sink) -> None:
        """Send everything that is kept."""
        if self._outputs.lost:
            text = f"… {self._outputs.lost} earlier outputs were not kept …"
            sink.output(Output(self.spec.job, 0, None, "note", text))
        for output in self._outputs.kept:
            sink.output(output)
        for task, kept in self._items.items():
            for worker, item in kept:
                sink.items(self.spec.job, task, worker, [item])
        for task, end in self._settled.items():
            sink.settled(self.spec.job, task, *end)

    def info(self) -> JobInfo:
        """As a list shows it."""
        spec = self.spec
        return JobInfo(
            id=spec.job,
            number=self._number,
            kind=spec.kind,
            title=spec.title,
            background=spec.background,
            finished=self.finished,
            cancelled=self.cancelled,
            opened=self._opened,
            cell=spec.cell,
            ends={how: self._ends[how] for how in ("timed out", "cancelled", "lost") if self._ends[how]},
            **self._counts,  # type: ignore[arg-type]  # mypy takes them for any field
        )

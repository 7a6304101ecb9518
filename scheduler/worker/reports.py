"""Finished items on their way to the hub: every failure at once, the rest within 20 ms, all at the end.

Owns the items of the task that runs between finishing and being reported, and the thread that reports them
while others run. Plain values that follow one another are reported as one run. Never loses or doubles an
item when interrupted: what is handed over is handed over whole, after the output that came before it.
Read next: `items.py`, `runner.py`.
"""

import threading
import time
from collections.abc import Callable
from typing import Any, Literal

from cellmesh.scheduler.objects import codec
from cellmesh.scheduler.objects.segments import StoreFullError
from cellmesh.scheduler.wire.messages import Item, Report, Run

from .interrupts import Interrupts
from .output import TaskOutput

_BATCH = 0.02

Outcome = Literal["ok", "error", "interrupted"]


class Reporter:
    """Reports one task after another."""

    def __init__(
        self, report: Callable[[Report], None], output: TaskOutput, interrupts: Interrupts, prefix: str
    ) -> None:
        self._report = report
        self._output = output
        self._interrupts = interrupts
        self._prefix = prefix
        self._beat = _Beat(self)
        self._lock = threading.Lock()  # held from taking items to their report, so that reports keep order
        self._task = (0, 0, 0)  # (job, index, attempt)
        self._size = 0
        self._begun = 0.0
        self._items: list[Item] = []
        self._first = 0  # the index of `values[0]`
        self._done = 0  # a bit for each item
        self.values: list[Any] = []  # plain values of items that follow one another, not yet reported
        self.failed = False

    def begin(self, run: Run) -> None:
        """From now on items belong to this run."""
        self._task = (run.job, run.task.index, run.attempt)
        self._size = run.task.size
        self._begun = time.perf_counter()
        self._items = []
        self._done = 0
        self.values = []
        self.failed = False
        if self._size > 1 and self._interrupts.installed:  # inline, nobody could look meanwhile
            self._beat.start()

    def has(self, index: int) -> bool:
        """Whether this item was added."""
        return bool(self._done >> index & 1)

    def open_run(self, index: int) -> list[Any]:
        """A run of plain values begins here: append to the list, until something else is added."""
        with self._lock:
            self._gather()
            self._first = index
            return self.values

    def add(self, item: Item) -> None:
        """An item finished. Reported now or soon; at the latest by `finish`."""
        with self._lock:
            self._gather()
            if self._done >> item.index & 1:
                return
            self._done |= 1 << item.index
            self._items.append(item)
        if not item.ok:
            self.failed = True
            if self._size > 1:  # a task of one item needs one message, not two: its end is at hand
                self._flush()

    def give_back(self, indices: list[int]) -> None:
        """These items will not be run here."""
        with self._lock:
            self._report(Report(*self._task, [], None, returned=indices))

    def finish(self, outcome: Outcome, names: list[str] | None = None) -> None:
        """The task is over."""
        with self._lock:
            seconds = time.perf_counter() - self._begun
            self._report(Report(*self._task, self._taken(), outcome, names, seconds))
            self._size = 0

    def hand_over(self) -> bool:
        """Report what is held; any thread may ask. Whether a task is running."""
        with self._lock:
            items = self._taken()
            if items:
                self._output.settle()
                self._report(Report(*self._task, items, None))
            return self._size > 0

    def _taken(self) -> list[Item]:
        self._gather()
        items, self._items = self._items, []
        return items

    def _gather(self) -> None:
        """Make an item of the plain values so far. The running thread may append meanwhile."""
        count = len(self.values)
        if not count:
            return
        values = self.values[:count]
        del self.values[:count]
        content = values if count > 1 else values[0]
        try:
            payload = codec.dumps(content, self._prefix)
        except StoreFullError:
            payload = codec.dumps(content)
        self._items.append(Item(self._first, True, payload, count))
        self._done |= ((1 << count) - 1) << self._first
        self._first += count

    def _flush(self) -> None:
        self._interrupts.shielded = True
        try:
            self.hand_over()
        finally:
            self._interrupts.shielded = False
        self._interrupts.check()


class _Beat:
    """Has items handed over while others run, by a thread that sleeps unless tasks of several items run."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter
        self._wanted = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="cellmesh-items", daemon=True)
            self._thread.start()
        if not self._wanted.is_set():
            self._wanted.set()

    def _run(self) -> None:
        while self._wanted.wait():
            self._wanted.clear()
            time.sleep(_BATCH)
            while self._reporter.hand_over():
                time.sleep(_BATCH)

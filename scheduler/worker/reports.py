"""Finished items on their way to the hub: the first and every failure at once, the rest each 20 ms.

Owns the items of the task that runs between finishing and being reported, and the thread that reports them
when no further item ends soon. Never loses or doubles one when interrupted: what is handed over is handed
over whole, after the output that came before it. Read next: `runner.py`.
"""

import threading
import time
from collections.abc import Callable
from typing import Literal

from cellmesh.scheduler.wire.messages import Item, Report, Run

from .interrupts import Interrupts
from .output import TaskOutput

_BATCH = 0.02
_GRACE = 0.005  # while items end all the time, the thread that runs them reports them itself

Outcome = Literal["ok", "error", "interrupted"]


class Reporter:
    """Reports one task after another."""

    def __init__(self, report: Callable[[Report], None], output: TaskOutput, interrupts: Interrupts) -> None:
        self._report = report
        self._output = output
        self._interrupts = interrupts
        self._timer = _Timer(self)
        self._lock = threading.Lock()  # held from taking items to their report, so that reports keep order
        self._task = (0, 0, 0)  # (job, index, attempt)
        self._size = 0
        self._items: list[Item] = []
        self._due = 0.0
        self.done: set[int] = set()
        self.failed = False

    def begin(self, run: Run) -> None:
        """From now on items belong to this run."""
        self._task = (run.job, run.task.index, run.attempt)
        self._size = run.task.size
        self._items = []
        self._due = float("-inf")
        self.done = set()
        self.failed = False

    def add(self, item: Item) -> None:
        """An item finished. Reported now or soon; at the latest by `finish`."""
        if item.index in self.done:
            return
        self.done.add(item.index)
        self._items.append(item)
        if not item.ok:
            self.failed = True
        if len(self.done) >= self._size:
            return  # a task of one item needs one message, not two: its end is at hand
        if not item.ok or time.monotonic() >= self._due:
            self._flush()
        elif not self._timer.armed and self._interrupts.installed:  # inline, nobody could look meanwhile
            self._timer.arm()

    def finish(self, outcome: Outcome, names: list[str] | None = None) -> None:
        """The task is over."""
        with self._lock:
            self._report(Report(*self._task, self._taken(), outcome, names))

    def hand_over(self) -> None:
        """Report what is held. Any thread may ask."""
        with self._lock:
            items = self._taken()
            if items:
                self._output.settle()
                self._report(Report(*self._task, items, None, None))
                self._due = time.monotonic() + _BATCH

    def left(self) -> float:
        """In how many seconds what is held is overdue; none if nothing is held."""
        return max(0.0, self._due + _GRACE - time.monotonic()) if self._items else 0.0

    def _taken(self) -> list[Item]:
        items = self._items[:]
        del self._items[: len(items)]  # another one may have been added since: it stays
        return items

    def _flush(self) -> None:
        self._interrupts.shielded = True
        try:
            self.hand_over()
        finally:
            self._interrupts.shielded = False
        self._interrupts.check()


class _Timer:
    """Has items handed over that no further one follows; a thread that is started when first needed."""

    def __init__(self, reporter: Reporter) -> None:
        self.armed = False
        self._reporter = reporter
        self._event = threading.Event()
        self._thread: threading.Thread | None = None

    def arm(self) -> None:
        self.armed = True
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="cellmesh-items", daemon=True)
            self._thread.start()
        self._event.set()

    def _run(self) -> None:
        while True:
            self._event.wait()
            self._event.clear()
            while left := self._reporter.left():
                time.sleep(left)
            self.armed = False  # before the report: what comes after it arms again
            self._reporter.hand_over()

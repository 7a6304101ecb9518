"""Finished items on their way to the hub: the first and every failure at once, the rest each 20 ms.

Owns one task's items between finishing and being reported. Never loses or doubles one when interrupted: what
is handed over is handed over whole, after the output that came before it. Read next: `runner.py`.
"""

import time
from collections.abc import Callable
from typing import Literal

from cellmesh.scheduler.wire.messages import Item, Report, Run

from .interrupts import Interrupts
from .output import TaskOutput

_BATCH = 0.02


class Reporter:
    """Reports one run of a task."""

    def __init__(
        self, run: Run, report: Callable[[Report], None], output: TaskOutput, interrupts: Interrupts
    ) -> None:
        self._run = run
        self._report = report
        self._output = output
        self._interrupts = interrupts
        self._items: list[Item] = []
        self._due = float("-inf")
        self.done: set[int] = set()
        self.failed = False

    def add(self, item: Item) -> None:
        """An item finished. Reported now or soon; at the latest by `finish`."""
        if item.index in self.done:
            return
        self.done.add(item.index)
        self._items.append(item)
        if not item.ok:
            self.failed = True
        # A task of one item needs one message, not two: its end is at hand.
        if len(self.done) < self._run.task.size and (not item.ok or time.monotonic() >= self._due):
            self._flush()

    def finish(
        self, outcome: Literal["ok", "error", "interrupted"] | None, names: list[str] | None = None
    ) -> None:
        """The task is over."""
        run, items = self._run, self._items
        self._items = []
        self._report(Report(run.job, run.task.index, run.attempt, items, outcome, names))

    def _flush(self) -> None:
        self._interrupts.shielded = True
        try:
            self._output.settle()
            self.finish(None)
        finally:
            self._interrupts.shielded = False
        self._due = time.monotonic() + _BATCH
        self._interrupts.check()

"""An attempt in a Dask worker: what it has brought and said so far, for whoever listens and for Dask to keep.

Owns that record. Never runs anything: `work.py` does. Read next: `between/orders.py`, `voices.py`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from threading import RLock

from cellmesh.scheduler.engines.dask.between.orders import (
    Begun,
    Late,
    Lost,
    News,
    Order,
    Outcome,
    Said,
    Told,
    encode,
    ref_name,
)
from cellmesh.scheduler.objects.tail import Tail
from cellmesh.scheduler.wire.messages import Item, Output, Progress, Ref, Report

WORDS = 100
"""So many words of how far it is are kept of an attempt."""


class Attempt:
    """Told everything by the runner; tells it on under `lock`, so that who comes to listen misses nothing."""

    def __init__(self, order: Order, lock: RLock, tell: Callable[[str, News], None]) -> None:
        self.session = order.session
        self.number = order.run.attempt
        self.large: list[bytes] = []  # contents of large results, by number
        self._order = order
        self._lock = lock
        self._tell = tell
        self._items: list[Item] = []
        self._outputs = Tail()
        self._progress: deque[Progress] = deque(maxlen=WORDS)
        self._late = False
        self._lost = ""
        self._end: Report | None = None

    @property
    def place(self) -> tuple[int, int]:
        """Its (job, task)."""
        return self._order.run.job, self._order.run.task.index

    def begin(self) -> None:
        """It runs now."""
        self._tell(self.session, Begun(self.number))

    def emit(self, what: Output | Progress) -> None:
        """It printed or displayed something, or said how far it is."""
        with self._lock:
            if isinstance(what, Progress):
                self._progress.append(what)
                self._tell(self.session, what)
                return
            number = self._outputs.lost + len(self._outputs.kept)
            self._outputs.add(what)
            self._tell(self.session, Said(self.number, number, what))

    def report(self, report: Report) -> None:
        """Items have finished; with an outcome it is over."""
        with self._lock:
            self._items += report.items
            if report.outcome is not None:
                self._end = report
            self._tell(self.session, report)

    def late(self) -> None:
        """It takes too long."""
        with self._lock:
            self._late = True
            self._tell(self.session, Late(self.number))

    def lose(self, why: str) -> None:
        """Its own process is gone."""
        with self._lock:
            self._lost = why
            self._tell(self.session, Lost(self.number, why))

    def write(self, parts: Sequence[bytes | memoryview], marks: str = "") -> Ref:
        """Keep a large result, for Dask (see `makers.Writes`)."""
        content = b"".join(parts)
        self.large.append(content)
        return Ref(ref_name(self.session, self.number, len(self.large) - 1, marks), len(content))

    def so_far(self) -> list[News]:
        """What whoever begins to listen must know."""
        news: list[News] = [Begun(self.number)]
        first = self._outputs.lost
        news += [Said(self.number, first + n, output) for n, output in enumerate(self._outputs.kept)]
        news += self._progress
        if self._items:
            news.append(self._report(None))
        return news

    def outcome(self) -> Outcome:
        """Everything, once it is over; also what the runner did not come to report."""
        with self._lock:
            if self._end is None:
                self.report(self._report("interrupted"))
            assert self._end is not None
            whole = Report(
                self._end.job,
                self._end.task,
                self.number,
                self._items,
                self._end.outcome,
                seconds=self._end.seconds,
            )
            outputs = list(self._outputs.kept)
            told = Told(whole, list(self._progress), outputs, self._outputs.lost, self._late, self._lost)
        return Outcome(encode(told), self.large)

    def _report(self, outcome: str | None) -> Report:
        run = self._order.run
        items = [] if outcome else list(self._items)
        return Report(run.job, run.task.index, self.number, items, outcome)  # type: ignore[arg-type]

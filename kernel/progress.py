"""Progress of what the running cell waits for.

Owns when and how often a line appears: after one second, at most ten times a second, one quiet line at the
end; headless, plain lines far apart. Never runs a thread: whoever waits calls `show`. Read next:
`widgets/text.py`, `widgets/html.py`.
"""

import time
from collections.abc import Callable
from itertools import count
from typing import TYPE_CHECKING

from cellmesh.widgets import html, text
from cellmesh.widgets.viewmodel import ProgressRow

from . import stop, waiting

if TYPE_CHECKING:
    from .jobs import Job
    from .session import Session

FIRST = 1.0
LIVE_PERIOD = 0.1
HEADLESS_PERIOD = 10.0
_ids = count(1)


class Progress:
    """One line in one cell."""

    def __init__(self, session: "Session", row: Callable[[float], ProgressRow]) -> None:
        self._session = session
        self._row = row
        self.cell = session.hooks.current
        self._live = stop.kernel() is not None and (self.cell is None or self.cell.live)
        self._begun = time.monotonic()
        self._next = self._begun + (FIRST if self._live else HEADLESS_PERIOD)
        self._display_id = ""
        self._last: ProgressRow | None = None
        self._ended = False

    def until_next(self, deadline: float | None = None) -> float:
        """Seconds that may be slept before `show` is due."""
        due = self._next if deadline is None else min(self._next, deadline)
        return max(0.0, due - time.monotonic())

    def show(self) -> None:
        """Show the line if it is due."""
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + (LIVE_PERIOD if self._live else HEADLESS_PERIOD)
        self._put(self._row(now - self._begun))

    def pause(self) -> None:
        """The wait is over. If the work is too, the line becomes its last word."""
        seconds = time.monotonic() - self._begun
        row = self._row(seconds)
        if row.finished and not self._ended and (self._display_id or seconds >= FIRST):
            self._ended = True
            self._put(row)

    def _put(self, row: ProgressRow) -> None:
        if row == self._last:
            return
        self._last = row
        line = text.progress(row)
        if not self._live:
            self._session.router.say(f"cellmesh: {line}\n")
            return
        data = {"text/plain": line, "text/html": html.progress(row)}
        update = bool(self._display_id)
        self._display_id = self._display_id or f"cellmesh-progress-{self._session.pid}-{next(_ids)}"
        self._session.router.display(data, self._display_id, update=update)


def of(job: "Job") -> Progress:
    """The job's line in the running cell; several waits in one cell share it."""
    cell = job.session.hooks.current
    bar = job.bar
    if bar is None or (bar.cell and bar.cell.msg_id) != (cell and cell.msg_id):
        bar = job.bar = Progress(job.session, lambda seconds: row_of(job, seconds))
    return bar


def row_of(job: "Job", seconds: float) -> ProgressRow:
    """What the line says about a job."""
    done = job.done + job.failed
    busy = time.monotonic() - job.first_item_at if job.first_item_at else 0.0
    rate = done / seconds if done and seconds > 0 else 0.0
    left = (job.total - done) / rate if rate and busy and not job.finished else None
    ending = "cancelled" if job.cancelled else "done"
    return ProgressRow(
        where=f"cell {job.cell.label} " if job.cell and job.cell.label else "",
        title=job.title,
        done=done,
        total=job.total if job.sealed or job.surviving else None,
        failed=job.failed,
        seconds=int(seconds) if not job.finished else round(seconds, 1),
        rate=float(f"{rate:.2g}"),
        left=None if left is None else float(round(left)),
        finished=job.finished,
        ending=ending,
    )


def wait(session: "Session", done: Callable[[], bool], timeout: float, title: str) -> bool:
    """Wait for something of the session's own (workers), with a line if it lasts."""

    def row(seconds: float) -> ProgressRow:
        ready, all_ = len(session.ready_workers()), len(session.workers)
        return ProgressRow("", title, ready, all_ or None, 0, int(seconds), 0.0, None, done(), "done")

    deadline = time.monotonic() + timeout
    bar = Progress(session, row)
    try:
        with waiting.interruptible():
            while not session.bell.wait(done, bar.until_next(deadline)):
                if time.monotonic() >= deadline:
                    return False
                bar.show()
    finally:
        bar.pause()
    return True

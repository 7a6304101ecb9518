"""Progress of what the running cell waits for.

Owns when and how often a line appears: after one second, at most ten times a second, one quiet line at the
end; headless, plain lines far apart. Never runs a thread: whoever waits calls `show`. Read next:
`widgets/text.py`, `widgets/html.py`.
"""

import time
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING

from cellmesh.scheduler.objects import codec
from cellmesh.scheduler.objects.failures import Failure
from cellmesh.scheduler.worker import lending
from cellmesh.widgets import html, text, viewmodel
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

    def __init__(
        self,
        session: "Session",
        row: Callable[[float], ProgressRow],
        warning: Callable[[], str] = str,
    ) -> None:
        self._session = session
        self._row = row
        self._warning = warning  # a line to be said once, as soon as there is one
        self._warned = False
        self.cell = session.hooks.current
        self._silent = lending.in_task()  # a task's own waits are no news in the notebook
        self._live = stop.kernel() is not None and (self.cell is None or self.cell.live)
        self._begun = time.monotonic()
        self._next = self._begun + (FIRST if self._live else HEADLESS_PERIOD)
        self._display_id = ""
        self._last: ProgressRow | None = None
        self._ended = False
        self._stopped = False

    def until_next(self, deadline: float | None = None) -> float | None:
        """Seconds that may be slept before `show` is due; None: as many as you like."""
        now = time.monotonic()
        if self._silent:
            return None if deadline is None else deadline - now
        due = min(self._next, now + FIRST)  # now and then also look whether something failed
        return max(0.0, (due if deadline is None else min(due, deadline)) - now)

    def show(self) -> None:
        """Show the line if it is due."""
        if self._silent:
            return
        if not self._warned and (warning := self._warning()):
            self._warned = True
            self._session.notices.say(warning)
        now = time.monotonic()
        if now < self._next:
            return
        self._stopped = False  # the cell waits for it again
        self._next = now + (LIVE_PERIOD if self._live else HEADLESS_PERIOD)
        self._put(self._row(now - self._begun))

    def pause(self) -> None:
        """The wait is over. If the work is too, the line becomes its last word."""
        seconds = time.monotonic() - self._begun
        if self._stopped or not (self._display_id or seconds >= FIRST):
            return
        row = self._row(seconds)
        if row.finished and row != self._last:
            if self._live or not self._ended:  # headless, nothing can be taken back: one line
                self._put(row)
            self._ended = True

    def stop(self, ending: str) -> None:
        """Nobody waits any more, though the work is not over: what is on screen must not say that it runs."""
        row = self._row(time.monotonic() - self._begun)
        if self._last is not None and (not row.finished or row.ending == "cancelled"):
            self._put(replace(row, finished=True, ending=ending))
        self._stopped = True

    def _put(self, row: ProgressRow) -> None:
        if row == self._last or self._silent:
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
        bar = Progress(job.session, lambda seconds: row_of(job, seconds), lambda: _first_failure(job))
        job.bar = bar
    return bar


def _first_failure(job: "Job") -> str:
    """What to say of a map's first failure while the others go on."""
    if job.first_failed is None or job.kind not in ("map", "over") or job.finished:
        return ""
    failure: Failure = codec.loads(job.first_failed[1].payload)
    message = failure.message.partition("\n")[0]
    item = f" ({failure.item_repr})" if failure.item_repr else ""
    return f"{job.title}: an item{item} failed, the others go on: {failure.type_name}: {message}"


def ending(job: "Job") -> str:
    """How it ended: `finished`, `failed`, `cancelled` or `timed out`."""
    if job.timed_out:
        return "timed out"
    return "cancelled" if job.cancelled else viewmodel.ending(job.failed + bool(job.refused), job.ends)


def summary(job: "Job") -> str:
    """`40/100, 2 failed, running`."""
    failed = f", {job.failed} failed" if job.failed else ""
    idle = job.kind == "submit" and not job.sealed and job.over == len(job.records)
    state = ending(job) if job.finished or job.cancelled else "idle" if idle else "running"
    return f"{job.done + job.failed}/{job.items}{failed}, {state}"


def row_of(job: "Job", seconds: float) -> ProgressRow:
    """What the line says about a job."""
    done = job.done + job.failed
    busy = time.monotonic() - job.first_item_at if job.first_item_at else 0.0
    rate = done / seconds if done and seconds > 0 else 0.0
    left = (job.items - done) / rate if rate and busy else None
    # A cell's submits share a job that stays open until the cell ends; its line ends with what there is.
    finished = job.finished or (job.kind == "submit" and 0 < job.over == len(job.records))
    word = ending(job)
    return ProgressRow(
        where=f"cell {job.cell.label} " if job.cell and job.cell.label else "",
        title=job.title,
        done=done,
        total=job.items if job.sealed or job.planned or job.surviving or job.kind == "submit" else None,
        failed=job.failed,
        seconds=int(seconds) if not finished else round(seconds, 1),
        rate=float(f"{rate:.2g}"),
        left=None if left is None else float(round(left)),
        finished=finished,
        ending=word if word in ("cancelled", "timed out") or job.refused else "done",
        inside=job.session.within.told(job),
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
    except KeyboardInterrupt:
        bar.stop("stopped")
        raise
    finally:
        bar.pause()
    return True

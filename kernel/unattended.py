"""Work that nobody waits for, or not yet: its failure is told.

Owns those lines, and the handles that have no name. A cell's first failure is told at once; a map's or a
submit's once it is over, its launching cell (a script) has ended and nobody has asked for the results.
Never raises. Read next: `launch.py`, `notices.py`.
"""

import sys
from collections.abc import Callable, Sequence
from typing import Any

from cellmesh.scheduler.objects import codec
from cellmesh.scheduler.objects.failures import Failure
from cellmesh.scheduler.wire.messages import Item

from .jobs import Job, Record
from .session import Session


def keep(session: Session, job: Job, handle: Any) -> None:
    """A background cell without `--out`: the handle is kept until the job is over, and a failure is told."""
    from . import targets  # of cells only: a script must not pay for IPython

    known = targets.memory(session)
    known.handles = [(other, kept) for other, kept in known.handles if not other.finished]
    known.handles.append((job, handle))
    tell_failure(job, background=True)


def tell_failure(job: Job, *, background: bool = False) -> None:
    """Say a line when the first task fails while others are still at work (background: in any case)."""

    def hear(record: Record, items: Sequence[Item] | None) -> None:  # from the engine's thread
        bad = next((item for item in items or () if not item.ok), None)
        left = len(job.records) - job.done - job.failed
        if bad is None or job.failed != 1 or not (left or background):
            return
        failure = codec.loads(bad.payload)
        if isinstance(failure, Failure):
            where = f"cell {job.cell.label}: " if background and job.cell and job.cell.label else ""
            others = f" ({left} other{'s' * (left > 1)} still at work)" if left else ""
            job.session.notices.say(f"{where}{failure.worker} failed: {_first_line(failure)}{others}")

    job.add_listener(hear)


def watch(job: Job, start_of: Callable[[int], int] | None = None) -> None:
    """Have a map's or a submit's failures told if nobody asks for them. `start_of`: a task's first item."""
    watcher = job.session.watcher
    if watcher is None:
        watcher = job.session.watcher = Watcher(job.session)
    assert isinstance(watcher, Watcher)
    watcher.add(job, start_of)


class Watcher:
    """The launches of a session whose results nobody has asked for."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._watched: dict[int, tuple[Job, Callable[[int], int] | None]] = {}
        self._ended: dict[int, tuple[Job, str]] = {}  # with what is to be said once their cell has ended
        session.hooks.on_end.append(self.cell_ends)

    def add(self, job: Job, start_of: Callable[[int], int] | None) -> None:
        self._watched[job.id] = (job, start_of)
        job.on_end.append(self.job_ends)

    def job_ends(self, job: Job) -> None:
        """From the engine's thread, mostly."""
        _, start_of = self._watched.pop(job.id, (job, None))
        unwanted = job.attended or job.refused or job.cancelled
        line = "" if unwanted else _failures(job, start_of)
        if not line:
            return
        current = self._session.hooks.current
        here = current is not None and job.cell is not None and current.msg_id == job.cell.msg_id
        if here or not self._session.hooks.interactive:
            self._ended[job.id] = (job, line)  # it may still be asked for
        else:
            self._session.router.tell(job, line)

    def cell_ends(self) -> None:
        for id in list(self._ended):
            job, line = self._ended.pop(id)
            if not job.attended:
                self._session.router.tell(job, line)

    def script_ends(self) -> None:
        """The last occasion to say what went wrong, or what is cut off."""
        if self._session.hooks.interactive:
            return
        for job, _ in list(self._watched.values()):
            self.job_ends(job)  # a submit's job takes more calls until now
        self.cell_ends()
        running = sum(_runs(job) for job in list(self._session.jobs.values()))
        if running and self._session.spec.grace == 0:
            were = "job was" if running == 1 else "jobs were"
            and_were = "was" if running == 1 else "were"
            print(
                f"cellmesh: {running} {were} still running and {and_were} cancelled as the script ended",
                file=sys.stderr,
            )


def _runs(job: Job) -> bool:
    return not job.finished and (job.kind != "submit" or job.over < len(job.records))


def _failures(job: Job, start_of: Callable[[int], int] | None) -> str:
    """`map f: 2 of 2 items failed, first: ValueError: … (item 0)`, or "" if none did."""
    lost = [r for r in list(job.records.values()) if r.state in ("lost", "timed out")]
    bad = job.failed + sum(len(record.missing()) for record in lost)
    title = job.title if job.kind == "map" else f"submit {job.title}"
    if not bad:
        return ""
    first = ""
    if job.first_failed is not None:
        task, item = job.first_failed
        failure = codec.loads(item.payload)
        if isinstance(failure, Failure):
            place = f" (item {start_of(task) + item.index})" if start_of is not None else ""
            first = f"{_first_line(failure)}{place}"
    if not first and lost:
        kind = "TimeoutError" if lost[0].state == "timed out" else "WorkerLost"
        first = f"{kind}: {' '.join(lost[0].why.split())[:120]}"
    what = "item" if job.kind == "map" else "call"
    counted = f"{bad} of {job.total} {what}s failed, first: {first}"
    return f"{title}: {counted}; .result() raises it"


def _first_line(failure: Failure) -> str:
    text = " ".join(failure.message.split())
    return f"{failure.type_name}: {text[:120]}" if text else failure.type_name

"""Taking up a job again: after a kernel restart, or a page refresh.

Owns `results_of`. Never runs anything anew. What is kept of the job (output, then results) is sent again and
shown in the running cell. Read next: `session.py`, `mapping.py`.
"""

from itertools import count

from cellmesh.scheduler.engines.contract import EngineError

from .futures import Future
from .jobs import Job, Record
from .mapping import Results
from .session import Session


def results_of(session: Session, which: int | None = None) -> Results | list[Future]:
    """Results of a map or an --over cell, Futures of submits and of a cell's workers."""
    found = session.find_job(which)
    if isinstance(found, Job) and not found.surviving:
        raise EngineError(
            f"Job {found.number} is this kernel's own: its results are where the cell put them. "
            "%mesh attach shows its output again."
        )
    job = found if isinstance(found, Job) else session.adopt(found)
    first = job.info is None and not job.refused
    results: Results | list[Future] = []
    if job.kind in ("map", "over"):
        results = Results(job, None)
    if first:
        session.engine.attach_job(job.id)
        job.wait_for(lambda: job.info is not None or bool(job.refused))
    if job.refused:
        raise EngineError(job.refused)
    if isinstance(results, Results):
        return results
    return futures_of(job)


def futures_of(job: Job) -> list[Future]:
    """One Future for each call that is known."""
    futures = {index: _futures_of(job, job.records[index]) for index in sorted(job.records)}
    unfinished = dict(futures)  # whoever drops a finished one frees its result

    def hear(record: Record, items: object) -> None:
        if items is None:
            for future in unfinished.pop(record.index, ()):
                future.resolve(record)

    job.add_listener(hear)
    for index in futures:
        if job.records[index].state:
            hear(job.records[index], None)
    return [future for several in futures.values() for future in several]


def _futures_of(job: Job, record: Record) -> list[Future]:
    several = [Future(job.session, job.title, job, record.index) for _ in range(record.size)]
    if len(several) > 1:  # they travelled together: the engine forgets them together
        calls = _Bundle(job, record)
        for place, future in enumerate(several):
            future.belongs(calls)
            future.sent(record.index, place, calls)
    return several


class _Bundle:
    """A surviving task of several calls; what its Futures ask (`futures.Calls`)."""

    def __init__(self, job: Job, record: Record) -> None:
        self._job = job
        self._record = record
        self._taken = count(1)

    def hand_over(self) -> None:
        """All was sent long ago."""

    def withdraw(self, future: Future) -> None:
        self._job.cancel(tasks=[self._record.index])

    def taken(self, sent: object) -> bool:
        return next(self._taken) == self._record.size


def replay(session: Session, job: Job) -> None:
    """Show the output of one of this kernel's own jobs again, in the running cell, and go on there."""
    job.cell = session.hooks.current
    session.engine.attach_job(job.id)

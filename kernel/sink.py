"""What the engine tells us, handed to whom it concerns.

Owns the `Sink` of a session. Called from the engine's thread (inline: the caller's), and never raises there.
People are woken once per burst, after its output has been published, so that a cell never ends before what
its workers printed. Read next: `session.py`, `outputs.py`.
"""

from collections.abc import Sequence

from cellmesh.scheduler.wire.actors import ActorInfo
from cellmesh.scheduler.wire.messages import Item, JobInfo, Output, Progress, WorkerInfo

from .session import Session


class SessionSink:
    """Implements `contract.Sink`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def items(self, job: int, task: int, worker: int | None, items: Sequence[Item]) -> None:
        known = self._session.jobs.get(job)
        if known is not None:
            self._session.within.came(job, task, items)
            known.on_items(task, worker, items)

    def settled(
        self, job: int, task: int, state: str, why: str, worker: int | None, seconds: float = 0.0
    ) -> None:
        known = self._session.jobs.get(job)
        if known is not None:
            self._session.within.over(job, task)
            self._session.router.settled(known, worker, task)
            known.on_settled(task, state, why, worker, seconds)

    def progress(self, progress: Progress) -> None:
        if progress.job in self._session.jobs:
            self._session.within.take(progress)

    def output(self, output: Output) -> None:
        known = self._session.jobs.get(output.job)
        if known is not None:
            try:
                self._session.router.take(known, output)
            except Exception as error:  # noqa: BLE001 - the engine's thread must live; the person is told
                self._session.notices.internal_error(error)

    def workers(self, workers: Sequence[WorkerInfo]) -> None:
        self._session.workers = tuple(workers)

    def actor(self, info: ActorInfo) -> None:
        from .actors.directory import directory_of  # here: programs without actors do not pay for them

        try:
            directory_of(self._session).on_info(info)
        except Exception as error:  # noqa: BLE001 - as above
            self._session.notices.internal_error(error)

    def notice(self, text: str) -> None:
        self._session.notices.say(text)

    def refused(self, why: str, job: int | None) -> None:
        known = self._session.jobs.get(job) if job is not None else None
        if known is not None:
            known.on_refused(f"job {known.number} ({known.title}): {why}")
        elif job is None:  # else it is over here, and its end was on its way when it was forgotten there
            self._session.refusals.append(why)
            self._session.notices.say(why)

    def lost(self, why: str) -> None:
        self._session.lose(why)
        if self._session.actors is not None:
            from .actors.directory import directory_of

            directory_of(self._session).lose()
        self._session.notices.say(why)

    def job(self, info: JobInfo, missing: bool) -> None:
        known = self._session.jobs.get(info.id)
        if known is None:
            return
        if missing:
            known.on_refused(f"job {known.number} is not known any more: its results were taken or cleared.")
        else:
            known.on_known(info)

    def flushed(self) -> None:
        session = self._session
        try:
            session.router.flush()
            session.bell.ring()
            session.drain_claims()
        except Exception as error:  # noqa: BLE001 - as above
            session.notices.internal_error(error)

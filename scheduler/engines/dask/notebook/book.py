"""What a pool knows of its jobs: which tasks are with Dask, what they brought, what was told of them.

Owns that record, and the telling: items and ends once, whatever is heard twice. Never talks to Dask. Read
next: `pool.py`, `../../ledger.py`, `../../delivered.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import count
from typing import Any

from msgspec.structs import replace

from cellmesh.scheduler.engines.contract import JobSpec
from cellmesh.scheduler.engines.dask.between.keys import Key
from cellmesh.scheduler.engines.dask.between.orders import first_attempt, place_of
from cellmesh.scheduler.engines.delivered import Delivered, Deliveries
from cellmesh.scheduler.engines.ledger import Ledger
from cellmesh.scheduler.wire.messages import JobInfo, Output, Payload, Progress, Ref, Report, TaskWire

from .keeping import Surviving
from .sent import Sent, Wanted
from .told import Told


class Book:
    """Of one session. `over` hears of arguments that nobody needs any more, `forgotten` of jobs.

    For one thread.
    """

    def __init__(
        self,
        session: str,
        told: Told,
        over: Callable[[Payload], None],
        forgotten: Callable[[int], None],
    ) -> None:
        self._session = session
        self._told = told
        self._over = over
        self._forgotten = forgotten
        self._renamed: dict[str, str] = {}  # large results that were made again, by the names first told
        self.jobs: dict[int, Ledger] = {}
        self.attempts: dict[int, Sent] = {}
        self._sent: dict[int, dict[int, Sent]] = {}  # by job and task
        self._delivered = Deliveries()
        self._numbers = count(first_attempt())
        self.latest = 0  # the last attempt that there was
        self._count = count(1)

    # --- jobs -----------------------------------------------------------------------------------------

    def open(self, spec: JobSpec) -> None:
        """A job begins."""
        if spec.job in self.jobs:
            self.refuse(spec.job, "a job of this id is known already")
            return
        self.jobs[spec.job] = Ledger(spec, next(self._count))
        self._delivered[spec.job] = Delivered()
        self._sent[spec.job] = {}

    def refuse(self, job: int, why: str) -> None:
        """A job is not taken."""
        with self._told as sink:
            sink.refused(why, job)

    def add(self, job: int, tasks: Sequence[Wanted], last: bool) -> list[Sent]:
        """Those of these tasks that are to be sent."""
        record = self.jobs.get(job)
        if record is None:
            self.refuse(job, "the dask engine does not know this job (was the session reset?)")
            return []
        record.sealed = record.sealed or last
        wires = [wanted.task for wanted in tasks]
        known = {wanted.task.index: wanted for wanted in tasks}
        self._delivered.send(job, wires, last)
        added = []
        for task in record.add(wires):
            wanted = known[task.index]
            if record.halted or task.index in record.unwanted:
                self.settle(job, task.index, "cancelled", record.halted or "cancelled")
                continue
            key = self._key(record.spec, task)
            added.append(self._enter(Sent(job, task, key, blobs=wanted.blobs, needs=wanted.needs)))
        if record.taken:  # task by task, before it was known that no more would come
            self.forget(job)
        return added

    def _key(self, spec: JobSpec, task: TaskWire) -> Key:
        self.latest = next(self._numbers)
        return Key(spec.kind, self._session, spec.job, task.index, task.size, task.retries, self.latest)

    def _enter(self, sent: Sent) -> Sent:
        self._sent[sent.job][sent.task.index] = self.attempts[sent.attempt] = sent
        return sent

    def again(self, sent: Sent) -> None:
        """It is to be sent once more, for what it has not brought yet."""
        record = self.jobs[sent.job]
        del self.attempts[sent.attempt]
        if sent.worker:
            record.running(-1)
        done = self._delivered[sent.job].done(sent.task.index)
        sent.done = [index for index in done if index not in sent.refs]  # large ones died with the worker
        sent.let_go()
        sent.key, sent.worker, sent.heard = self._key(record.spec, sent.task), "", 0
        self._enter(sent)

    def adopt(self, job: Surviving) -> list[Sent]:
        """A job of an earlier kernel; what of it is with Dask."""
        record = self.jobs[job.spec.job] = Ledger(job.spec, job.number, job.opened)
        record.sealed, record.cancelled = True, job.cancelled
        self._delivered[job.spec.job] = Delivered()
        self._sent[job.spec.job] = {}
        tasks = [TaskWire(key.task, "calls", b"", size=key.size) for key, _, _ in job.tasks]
        self._delivered.send(job.spec.job, record.add(tasks), True)
        return [
            self._enter(Sent(job.spec.job, task, key))
            for task, (key, _, _) in zip(tasks, job.tasks, strict=True)
        ]

    def unwanted(self, job: int, tasks: Sequence[int] | None) -> list[Sent]:
        """These tasks (all, if None) are not wanted any more; those of them that are with Dask."""
        record = self.jobs.get(job)
        if record is None:
            return []
        if tasks is not None:
            record.unwanted.update(task for task in tasks if not record.is_over(task))
        elif not record.finished:
            record.cancelled = True
            record.halt("cancelled")
        known = self._sent[job]
        return [known[task] for task in (known if tasks is None else tasks) if task in known]

    def claim(self, job: int, tasks: Sequence[int] | None) -> list[Sent]:
        """These results are with the user; what of them need not be kept any more."""
        record = self.jobs.get(job)
        if record is None:
            return []
        known = self._sent[job]
        record.forget(tasks)
        over = [task for task in (list(known) if tasks is None else tasks) if task not in record.tasks]
        claimed = [known.pop(task) for task in over if task in known]
        for sent in claimed:
            self._leave(sent)
        self._delivered.claim(job, tasks)
        if record.finished and not record.tasks:
            self.forget(job)
        return claimed

    def forget(self, job: int) -> list[Sent]:
        """Nothing of this job is of interest any more; what was sent of it."""
        self._forgotten(job)
        self.jobs.pop(job, None)
        self._delivered.pop(job, None)
        sent = list(self._sent.pop(job, {}).values())
        for one in sent:
            self._leave(one)
        return sent

    def _leave(self, sent: Sent) -> None:
        self.attempts.pop(sent.attempt, None)
        sent.let_go()
        self._over(sent.task.payload)
        for name in sent.refs.values():
            self._renamed.pop(name, None)

    def attach(self, job: int) -> None:
        """Tell all that is kept of it."""
        if (record := self.jobs.get(job)) is not None:
            with self._told as sink:
                record.replay(sink)
        self.describe(job)

    def describe(self, job: int) -> None:
        """Tell how far it is, after what it brought."""
        record = self.jobs.get(job)
        with self._told as sink:
            if record is None:
                sink.job(Ledger(JobSpec(job, "submit", ""), 0).info(), True)
            else:
                left = [
                    (task.index, task.size)
                    for task in record.tasks.values()
                    if not record.is_over(task.index)
                ]
                for sent in self._sent[job].values():
                    if sent.progress is not None and not sent.over:
                        sink.progress(sent.progress)
                sink.job(replace(record.info(), left=left), False)

    def infos(self) -> list[JobInfo]:
        """As a list shows them."""
        return [record.info() for record in list(self.jobs.values())]

    def open_tasks(self) -> list[Sent]:
        """Those that are not over."""
        return [sent for known in self._sent.values() for sent in known.values() if not sent.over]

    def sent(self, job: int, task: int) -> Sent | None:
        """A task that is with Dask, if it is known."""
        return self._sent.get(job, {}).get(task)

    def find(self, name: str) -> tuple[str, Any] | None:
        """A large result: the name that it has now, and Dask's future of its outcome. Any thread."""
        name = self._renamed.get(name, name)
        place = place_of(name)
        sent = None if place is None else self.attempts.get(place[0])
        return None if sent is None else (name, sent.future)

    # --- what was heard -------------------------------------------------------------------------------

    def begun(self, sent: Sent, address: str) -> None:
        """It runs now, on this worker."""
        if not sent.worker:
            self.jobs[sent.job].running(1)
        sent.worker = address

    def said(self, attempt: int, number: int, output: Output) -> None:
        """It printed something; told if that is news."""
        sent = self.attempts.get(attempt)
        if sent is not None and number >= sent.heard:
            sent.heard = number + 1
            self.jobs[sent.job].keep_output(output)
            with self._told as sink:
                sink.output(output)

    def progress(self, progress: Progress) -> None:
        """How far it is."""
        sent = self._sent.get(progress.job, {}).get(progress.task)
        if sent is not None and not sent.over:
            sent.progress = progress
            with self._told as sink:
                sink.progress(progress)

    def report(self, report: Report) -> list[Sent]:
        """Items are done, or all is over; tasks that are not wanted any more since one has failed."""
        sent = self.attempts.get(report.attempt)
        if sent is None or sent.over:
            return []
        record = self.jobs[sent.job]
        for item in report.items:
            if isinstance(item.payload, Ref):
                first = sent.refs.setdefault(item.index, item.payload.name)
                if first != item.payload.name:
                    self._renamed[first] = item.payload.name
        fresh = self._delivered.fresh(sent.job, sent.task.index, report.items)
        if fresh:
            record.keep_items(sent.task.index, None, fresh)
            with self._told as sink:
                sink.items(sent.job, sent.task.index, None, fresh)
        match report.outcome:
            case "ok":
                self.end(sent, "done", "", report.seconds)
            case "error":
                self.end(sent, "failed", "", report.seconds)
            case "interrupted":
                self.stopped(sent, report.seconds)
        if record.spec.stop_on_error and any(not item.ok for item in fresh) and not record.halted:
            record.halt("an earlier item failed")
            return list(self._sent[sent.job].values())
        return []

    def stopped(self, sent: Sent, seconds: float = 0.0) -> None:
        """It does not go on: it took too long, or is not wanted any more."""
        sent.unwanted = True
        if sent.late:
            self.end(sent, "timed out", f"timed out after {sent.task.timeout:g} s", seconds)
        elif sent.lost:
            self.end(sent, "lost", sent.lost, seconds)
        else:
            self.end(sent, "cancelled", self.jobs[sent.job].halted or "cancelled", seconds)

    def end(self, sent: Sent, state: str, why: str, seconds: float = 0.0) -> None:
        """It is over; told if that is news."""
        if sent.over:
            return
        sent.over = True
        if not sent.refs:  # else it may have to be made again
            self._over(sent.task.payload)
        if sent.worker:
            self.jobs[sent.job].running(-1)
        self.settle(sent.job, sent.task.index, state, why, seconds)

    def settle(self, job: int, task: int, state: str, why: str, seconds: float = 0.0) -> None:
        """A task is over, which may never have been sent."""
        if self.jobs[job].settle(task, state, why, None) and self._delivered.settle(job, task):
            with self._told as sink:
                sink.settled(job, task, state, why, None, seconds)

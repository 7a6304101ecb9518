"""What the hub keeps and the core must not see: payloads, results, output, blobs, segments.

Owns bytes and names of shared memory; lets segments go when what needed them is gone. Never decides when:
the core's `Forget…` commands and the clients' claims do. Read next: `hub.py`.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import chain
from typing import TypeVar

import msgspec

from cellmesh.scheduler.core.ids import JobId, SessionId
from cellmesh.scheduler.objects import segments
from cellmesh.scheduler.objects.tail import Tail
from cellmesh.scheduler.wire import system
from cellmesh.scheduler.wire.messages import Output, Payload, Progress, Ref, Results, Settled, TaskWire

from .blobs import Blobs

Word = TypeVar("Word", Output, Progress)


@dataclass(slots=True)
class TaskRecord:
    wire: TaskWire
    context: str
    results: list[Results] | None = None  # an empty list would be 56 bytes for each task that waits
    settled: Settled | None = None
    progress: Progress | None = None  # its latest word on how far it is


@dataclass(slots=True)
class JobRecord:
    session: SessionId
    client: str
    opened: float  # wall clock
    cell: str
    setup: bool
    parent: tuple[JobId, int] | None = None  # the task that opened it
    tasks: dict[int, TaskRecord] = field(default_factory=dict)
    outputs: Tail = field(default_factory=Tail)
    blobs: list[str] = field(default_factory=list)  # those of its last task, shared by all that need the same
    ends: Counter[str] = field(default_factory=Counter)  # how tasks ended, also those that are forgotten
    attached: bool = False  # by a later kernel than the one that launched it


@dataclass(slots=True)
class Bequest:
    """What a client that is gone had put, for its jobs that were not over."""

    names: list[str]
    heirs: set[JobId]


@dataclass(slots=True)
class SessionRecord:
    logs: str
    prefixes: set[str] = field(default_factory=set)  # of the segments that its clients make
    context: str = ""  # digest of the interpreter record that tasks run under
    template: str = ""  # digest of the template that its workers are forked from
    blobs: Blobs = field(default_factory=Blobs)
    objects: set[str] = field(default_factory=set)  # segments that live until dropped
    bequests: list[Bequest] = field(default_factory=list)
    told_of_disk: bool = False  # that some of its objects do not lie in memory


class Store:
    def __init__(self) -> None:
        self.sessions: dict[SessionId, SessionRecord] = {}
        self.jobs: dict[JobId, JobRecord] = {}
        self._taken: dict[str, dict[JobId, None]] = {}  # jobs by the client that takes their results
        self.free: Callable[[str], None] = segments.unlink  # how the hub lets a segment go
        self.pinned: Counter[str] = Counter()  # segments that actors need, whoever else lets them go
        self._let_go: set[str] = set()  # those of them that nobody else needs

    def release(self, payload: Payload) -> None:
        """Let the segment of a payload go, if it is one."""
        if not isinstance(payload, Ref):
            return
        if payload.name in self.pinned:
            self._let_go.add(payload.name)
        else:
            self.free(payload.name)

    def pin(self, payload: Payload) -> None:
        """Keep the segment of a payload, if it is one, until as many unpin it."""
        if isinstance(payload, Ref):
            self.pinned[payload.name] += 1

    def unpin(self, payload: Payload) -> None:
        """Who pinned it needs it no more."""
        if isinstance(payload, Ref):
            self.pinned[payload.name] -= 1
            if not self.pinned[payload.name]:
                del self.pinned[payload.name]
                if payload.name in self._let_go:
                    self._let_go.remove(payload.name)
                    self.free(payload.name)

    def has_blob(self, payload: Payload) -> bool:
        """Whether some session keeps it."""
        return any(payload in record.blobs.kept.values() for record in self.sessions.values())

    def restore(self, sessions: dict[SessionId, SessionRecord], jobs: dict[JobId, JobRecord]) -> None:
        """Go on from there."""
        self.sessions, self.jobs = sessions, {}
        for job, record in jobs.items():
            self.add_job(job, record)

    def add_job(self, job: JobId, record: JobRecord) -> None:
        """Keep what comes of a job."""
        self.jobs[job] = record
        self._taken.setdefault(record.client, {})[job] = None

    def hand_over(self, job: JobId, client: str) -> None:
        """Another client takes its results from now on."""
        record = self.jobs[job]
        self._not_taken(job, record)
        record.client = client
        self._taken.setdefault(client, {})[job] = None

    def taken_by(self, client: str) -> tuple[JobId, ...]:
        """The jobs whose results this client takes, as they were opened."""
        return tuple(self._taken.get(client, ()))

    def _not_taken(self, job: JobId, record: JobRecord) -> None:
        taken = self._taken[record.client]
        del taken[job]
        if not taken:
            del self._taken[record.client]

    def add_task(self, record: JobRecord, task: TaskWire, context: str) -> None:
        """Keep what a worker needs to run it."""
        if task.index not in record.tasks:
            if task.blobs == record.blobs:  # each list and digest would be 150 bytes otherwise
                msgspec.structs.force_setattr(task, "blobs", record.blobs)
            else:
                record.blobs = task.blobs
            record.tasks[task.index] = TaskRecord(task, context)
            blobs = self.sessions[record.session].blobs
            blobs.need(task.blobs)
            blobs.need((context,))

    def add_result(self, job: JobId, results: Results) -> None:
        """Keep delivered items until they are claimed."""
        task = self.jobs[job].tasks[results.task]
        if task.results is None:
            task.results = [results]
        else:
            task.results.append(results)

    def settle(self, job: JobId, settled: Settled) -> None:
        """The task is over: keep how, and let its arguments go."""
        record = self.jobs.get(job)
        task = record.tasks.get(settled.task) if record else None
        if record is None or task is None:
            return
        resent = settled.state == "lost" and task.wire.verb == "calls"  # one by one: not all were at fault
        if task.settled is None and not resent:
            record.ends[settled.state] += 1
        task.settled = settled
        task.progress = None
        if not record.setup:
            self.release(task.wire.payload)
            self.sessions[record.session].blobs.part(task.wire.blobs)
            task.wire = TaskWire(task.wire.index, task.wire.verb, b"", size=task.wire.size)

    def context(self, record: JobRecord) -> str:
        """Digest of the surroundings for new tasks of the job: those of the task that opened it."""
        while record.parent is not None:
            job, task = record.parent
            above = self.jobs.get(job)
            if above is None:
                break
            if task in above.tasks:
                return above.tasks[task].context
            record = above
        return self.sessions[record.session].context

    def as_of_launch(self, output: Word) -> Word:
        """What a task inside a task says belongs to the launch in the notebook that all began with."""
        record = self.jobs.get(JobId(output.job))
        if record is None or record.parent is None:
            return output
        job, task = record.parent
        while (above := self.jobs.get(job)) is not None and above.parent is not None:
            job, task = above.parent
        return msgspec.structs.replace(output, job=job, task=task)

    def add_output(self, output: Output) -> None:
        """Keep a bounded tail of a job's output."""
        record = self.jobs.get(JobId(output.job))
        for dropped in record.outputs.add(output) if record is not None else ():
            self.release(dropped.data)

    def forget_tasks(self, job: JobId, tasks: tuple[int, ...] | None) -> None:
        """Drop results (and with None the whole job)."""
        record = self.jobs.get(job)
        if record is None:
            return
        blobs = self.sessions[record.session].blobs
        for index in list(record.tasks) if tasks is None else tasks:
            task = record.tasks.pop(index, None)
            if task is not None:
                self.release(task.wire.payload)
                blobs.part(task.wire.blobs)
                blobs.part((task.context,))
                for results in task.results or ():
                    for item in results.items:
                        self.release(item.payload)
        if tasks is None:
            for output in record.outputs.kept:
                self.release(output.data)
            del self.jobs[job]
            self._not_taken(job, record)

    def forget_session(self, session: SessionId) -> None:
        """Drop everything of a session."""
        for job in [job for job, record in self.jobs.items() if record.session == session]:
            self.forget_tasks(job, None)
        record = self.sessions.pop(session, None)
        if record is None:
            return
        for blob in record.blobs.kept.values():
            self.release(blob)
        for name in chain(record.objects, *(bequest.names for bequest in record.bequests)):
            self.free(name)
        for prefix in record.prefixes:
            sweep_prefix(prefix, lambda: set(self.pinned))

    def drop_unwanted(self, session: SessionId) -> set[str]:
        """Drop the blobs that nobody refers to and no task needs; which these are."""
        record = self.sessions.get(session)
        gone = {} if record is None else record.blobs.take_unwanted()
        for payload in gone.values():
            self.release(payload)
        return set(gone)


def sweep_prefix(prefix: str, keep: Callable[[], set[str]] = set) -> None:
    """Unlink the segments of a maker that is gone, except those handed over (asked only if there are any)."""
    names = [path.name for path in system.shared_memory_folder().glob(prefix + "*")]
    for name in set(names) - keep() if names else ():
        segments.unlink(name)

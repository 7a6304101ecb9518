"""Jobs of cells, over the hosts of a session: each hub has its part of a job.

Owns which host has which task, and the balance of items that any mesh worker may take. Never starts
workers: `fleet.py` does. Read next: `host.py`.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from msgspec.structs import replace

from cellmesh.scheduler.engines.contract import EngineError, JobSpec
from cellmesh.scheduler.wire.messages import JobInfo, TaskWire

from .host import Host

AHEAD = 2
"""Items that a host has for each of its mesh workers, so that none waits for the next."""


@dataclass(slots=True)
class Spread:
    """A job, and where its tasks are."""

    spec: JobSpec
    hosts: dict[Host, set[int]] = field(default_factory=dict)  # tasks that are not over
    waiting: deque[TaskWire] = field(default_factory=deque)  # that any host may take
    sealed: bool = False
    tasks: int = 0
    told_to_stop: bool = False
    stands: dict[Host, JobInfo | None] = field(default_factory=dict)  # answers to `attach_job`


class Cells:
    """`place` gives the host of a mesh worker, `sizes` how many mesh workers each host has.

    `bring` has a host know a blob; `settle` tells that a task is over which no host had. Everything is
    called under the lock of `Told`.
    """

    def __init__(
        self,
        place: Callable[[int | None], Host | None],
        sizes: Callable[[], dict[Host, int]],
        bring: Callable[[Host, str], None],
        settle: Callable[[int, int, str, str], None],
    ) -> None:
        self._place = place
        self._sizes = sizes
        self._bring = bring
        self._settle = settle
        self.jobs: dict[int, Spread] = {}
        self.setups: list[tuple[JobSpec, TaskWire]] = []  # cells that new hosts run first

    def open(self, spec: JobSpec) -> None:
        """A job begins; hosts hear of it with its first task there."""
        self.jobs[spec.job] = Spread(spec)

    def submit(self, job: int, tasks: Sequence[TaskWire], *, last: bool) -> None:
        """Send tasks to the hosts of their workers, and what any may take to whoever has room."""
        spread = self.jobs[job]
        if spread.spec.setup and tasks and not spread.tasks:
            self.setups.append((spread.spec, tasks[0]))
        spread.sealed = spread.sealed or last
        spread.tasks += len(tasks)
        there: dict[Host, list[TaskWire]] = {}
        for task in tasks:
            host = None if task.worker is None else self._place(task.worker)
            if task.worker is None:
                spread.waiting.append(task)
            elif host is None:
                self._settle(job, task.index, "lost", self._no_worker(task.worker))
            else:
                there.setdefault(host, []).append(replace(task, worker=host.local(task.worker)))
        for host, parts in there.items():
            self._send(spread, host, parts)
        self._deal(spread)

    def prepare(self, host: Host, new_job: Callable[[], int]) -> None:
        """Run the setup cells on a host that is new to the session; from then on its hub does so."""
        for spec, task in self.setups:
            again = dataclasses.replace(spec, job=new_job())
            host.hidden.add(again.job)
            for digest in task.blobs:
                self._bring(host, digest)
            host.engine.open_job(again)
            size = len(host.numbers)
            host.engine.submit(
                again.job, [replace(task, index=worker, worker=worker) for worker in range(size)], last=True
            )

    def reset(self) -> None:
        """Everything is forgotten."""
        self.jobs.clear()
        self.setups.clear()

    def over(self, host: Host, job: int, task: int, state: str) -> None:
        """A task has ended there: there is room for another."""
        spread = self.jobs.get(job)
        if spread is None:
            return
        spread.hosts.get(host, set()).discard(task)
        if state != "done" and spread.spec.stop_on_error and not spread.told_to_stop:
            spread.told_to_stop = True
            self.cancel(job, None, force=False, queued=False)
        self._deal(spread)

    def cancel(self, job: int, tasks: Sequence[int] | None, *, force: bool, queued: bool) -> None:
        """Drop what waits here, and have the hosts do the same."""
        spread = self.jobs.get(job)
        if spread is None:
            return
        dropped = [task for task in spread.waiting if tasks is None or task.index in tasks]
        spread.waiting = deque(task for task in spread.waiting if task not in dropped)
        for task in dropped:
            self._settle(job, task.index, "cancelled", "cancelled")
        for host, has in spread.hosts.items():
            theirs = None if tasks is None else [task for task in tasks if task in has]
            if theirs is None or theirs:
                host.engine.cancel(job, theirs, force=force, queued=queued)
        self._deal(spread)

    def claim(self, job: int, tasks: Sequence[int] | None) -> None:
        """The results were taken."""
        spread = self.jobs.get(job)
        if spread is None:
            return
        for host in spread.hosts:
            host.engine.claim(job, tasks)
        if tasks is None:
            del self.jobs[job]

    def lost(self, host: Host, why: str) -> None:
        """A host is gone, and what ran there."""
        for job, spread in self.jobs.items():
            for task in sorted(spread.hosts.pop(host, ())):
                self._settle(job, task, "lost", why)
            self._deal(spread)

    def attach(self, job: int, hosts: Iterable[Host]) -> None:
        """Have everything that these hosts keep of it sent."""
        spread = self.jobs.setdefault(job, Spread(JobSpec(job, "cell", "")))
        spread.stands = dict.fromkeys(hosts)
        for host in spread.stands:
            spread.hosts.setdefault(host, set())
            host.engine.attach_job(job)

    def stands(self, host: Host, info: JobInfo, *, missing: bool) -> JobInfo | None:
        """A host has said how a job stands there; the whole, once all have."""
        spread = self.jobs.get(info.id)
        if spread is None or host not in spread.stands:
            return info
        if missing:
            del spread.stands[host]
        else:
            spread.stands[host] = info
            spread.hosts[host] = {task for task, _ in info.left}
        parts = [part for part in spread.stands.values() if part is not None]
        if len(parts) < len(spread.stands):
            return None
        return joined(parts) if parts else info

    def needs(self, digest: str) -> bool:
        """Whether something that has not been sent anywhere refers to this."""
        waiting = [task for spread in self.jobs.values() for task in spread.waiting]
        return any(digest in task.blobs for task in [*waiting, *(task for _, task in self.setups)])

    def _no_worker(self, number: int) -> str:
        size = sum(self._sizes().values())
        if size == 0:
            return "no mesh workers: start them with %mesh start"
        there = "worker 0" if size == 1 else f"workers 0-{size - 1}"
        return f"there is no worker {number} (the mesh has {there})"

    def _send(self, spread: Spread, host: Host, tasks: list[TaskWire]) -> None:
        job = spread.spec.job
        fresh = host not in spread.hosts
        try:
            for digest in {digest for task in tasks for digest in task.blobs}:
                self._bring(host, digest)
        except EngineError as error:  # it is full, or just leaving
            for task in tasks:
                self._settle(job, task.index, "lost", str(error))
            return
        has = spread.hosts.setdefault(host, set())
        if fresh:
            host.engine.open_job(spread.spec)
        has.update(task.index for task in tasks)
        host.engine.submit(job, tasks, last=False)

    def _deal(self, spread: Spread) -> None:
        """Give what waits to hosts with room; a job that has all of its tasks somewhere is sealed there."""
        if spread.waiting:
            sizes = self._sizes()
            room = {host: AHEAD * size - len(spread.hosts.get(host, ())) for host, size in sizes.items()}
            while (
                spread.waiting
                and room
                and (most := max(room, key=lambda host: room[host]))
                and room[most] > 0
            ):
                self._send(spread, most, [spread.waiting.popleft()])
                room[most] -= 1
            if not sizes:
                for task in spread.waiting:
                    self._settle(spread.spec.job, task.index, "lost", "there is no mesh worker")
                spread.waiting.clear()
        if spread.sealed and not spread.waiting:
            spread.sealed = False
            for host in spread.hosts:
                host.engine.submit(spread.spec.job, [], last=True)


def joined(parts: list[JobInfo]) -> JobInfo:
    """A job of which several hosts have a part."""
    first = parts[0]
    ends: dict[str, int] = {}
    for part in parts:
        for how, count in part.ends.items():
            ends[how] = ends.get(how, 0) + count
    return replace(
        first,
        finished=all(part.finished for part in parts),
        cancelled=any(part.cancelled for part in parts),
        items=sum(part.items for part in parts),
        done=sum(part.done for part in parts),
        failed=sum(part.failed for part in parts),
        running=sum(part.running for part in parts),
        opened=min(part.opened for part in parts),
        ends=ends,
        left=sorted(each for part in parts for each in part.left),
    )


def survivors(hosts: Iterable[Host]) -> list[JobInfo]:
    """The jobs that they had when we attached, each once."""
    jobs: dict[int, list[JobInfo]] = {}
    for host in hosts:
        for info in host.jobs:
            jobs.setdefault(info.id, []).append(info)
    return [joined(parts) for parts in jobs.values()]

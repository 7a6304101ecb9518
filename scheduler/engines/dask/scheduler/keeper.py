"""What runs in Dask's scheduler: sessions outlive their kernels there, and deaths are counted one by one.

Owns the memory of each session's jobs, and has Dask keep their results until they are claimed, or the grace
time of a kernel that is gone is over. Never sees a result, and never fails: an exception would end the
connection of the client that it came from. Read next: `between/keys.py`, `notebook/keeping.py` (the
notebook's end).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from distributed.diagnostics.plugin import SchedulerPlugin

from cellmesh.scheduler.engines.dask.between import keys as ours
from cellmesh.scheduler.engines.dask.between.orders import OP
from cellmesh.scheduler.wire.messages import PROTOCOL

from .deserted import Deserted
from .held import HOLD, Held
from .registry import Registry
from .relay import RELAY, Relay
from .roll import LOADS, ROLL, Roll

SESSION = f"{OP}_session"
"""The request with which a notebook takes over its session."""


END = f"{OP}_end"
"""The one with which it ends the session."""


@dataclass(slots=True)
class Job:
    """What is kept of a job."""

    spec: bytes
    number: int
    client: str  # Dask's name of the kernel that has opened it: no other can send its tasks once more
    opened: float = field(default_factory=time.time)
    sealed: bool = False
    cancelled: bool = False
    keys: dict[int, str] = field(default_factory=dict)  # by task; of those not claimed


@dataclass(slots=True)
class Session:
    """What is kept of a notebook."""

    client: str = ""  # Dask's name of its kernel
    gone: bool = False  # that is not connected
    grace: float = 0.0
    jobs: dict[int, Job] = field(default_factory=dict)
    count: int = 0
    end: Any = None  # the timer of its grace time


class Keeper(SchedulerPlugin):  # type: ignore[misc]  # distributed has no types
    """Of one Dask scheduler."""

    name = f"cellmesh-keeper-{PROTOCOL}"
    idempotent = True

    async def start(self, scheduler: Any) -> None:
        """Dask calls this in its scheduler."""
        self._scheduler = scheduler
        self._sessions: dict[str, Session] = {}
        self._running: set[str] = set()  # tasks that nobody wants, and that have not ended
        scheduler.stream_handlers[OP] = self._told
        scheduler.handlers[SESSION] = self._attach
        scheduler.handlers[END] = self._end
        scheduler.handlers[RELAY] = Relay(scheduler).handle
        self._roll = Roll(scheduler)
        self._deserted = Deserted(scheduler, self._waiting)
        self._held = Held(scheduler)
        scheduler.handlers[HOLD] = self._held.hold
        scheduler.handlers[ROLL] = self._roll.handle
        scheduler.handlers[LOADS] = self._roll.loads

    # --- what notebooks say ---------------------------------------------------------------------------

    def _attach(self, session: str, client: str, grace: float) -> dict[str, Any]:
        """A kernel takes its session over; answers what there is of it."""
        kept = self._sessions.setdefault(session, Session())
        if kept.client not in ("", client) and not kept.gone:
            return {"busy": True}
        kept.client, kept.grace = client, grace
        self._there(kept)
        return {"busy": False, "jobs": {job: self._job(about) for job, about in kept.jobs.items()}}

    def _job(self, job: Job) -> dict[str, Any]:
        tasks = {}
        for key in job.keys.values():
            task = self._scheduler.tasks.get(key)
            if task is not None:
                on = task.processing_on
                tasks[key] = task.state, on.address if on is not None else ""
        return {
            "spec": job.spec,
            "number": job.number,
            "opened": job.opened,
            "sealed": job.sealed,
            "cancelled": job.cancelled,
            "tasks": tasks,
        }

    def _told(self, client: str, what: str, session: str, **about: Any) -> None:
        """A word of a kernel, in order with the tasks that it sends."""
        try:
            kept = self._sessions.get(session)
            if kept is not None:
                getattr(self, f"_{what}")(session, kept, **about)
        except Exception:
            logging.getLogger(__name__).exception("cellmesh could not note %r of a notebook", what)

    def _open(self, session: str, kept: Session, *, job: int, spec: bytes) -> None:
        kept.count += 1
        kept.jobs[job] = Job(spec, kept.count, kept.client)

    def _seal(self, session: str, kept: Session, *, job: int) -> None:
        if job in kept.jobs:
            kept.jobs[job].sealed = True

    def _cancel(self, session: str, kept: Session, *, job: int) -> None:
        if job in kept.jobs:
            kept.jobs[job].cancelled = True

    def _claim(self, session: str, kept: Session, *, keys: list[str]) -> None:
        """These are not needed any more."""
        for key in keys:
            about = ours.read(key)
            job = kept.jobs.get(about.job) if about is not None else None
            if job is not None and about is not None and job.keys.get(about.task) == key:
                del job.keys[about.task]
        self._release(session, keys)

    def _forget(self, session: str, kept: Session, *, job: int) -> None:
        """Nothing of this job is needed any more."""
        found = kept.jobs.pop(job, None)
        if found is not None:
            self._release(session, list(found.keys.values()))

    def _end(self, session: str) -> None:
        """Nothing of this session is."""
        self._held.free(session)
        registry = self._scheduler.plugins.get(Registry.name)
        if registry is not None:
            registry.session_over(session)
        kept = self._sessions.pop(session, Session())
        for job in list(kept.jobs):
            self._forget(session, kept, job=job)
        self._scheduler.clients.pop(_wants(session), None)

    # --- what happens in Dask -------------------------------------------------------------------------

    def update_graph(self, scheduler: Any, *, keys: set[str], **_: Any) -> None:
        """Tasks have come: ours are wanted by their session, not only by their kernel."""
        wanted: dict[str, list[str]] = {}
        for key in keys:
            about = ours.read(key)
            kept = self._sessions.get(about.session) if about is not None else None
            job = kept.jobs.get(about.job) if kept is not None and about is not None else None
            if job is None or about is None:
                continue
            job.keys[about.task] = key
            wanted.setdefault(about.session, []).append(key)
            scheduler.tasks[
                key
            ].suspicious = scheduler.allowed_failures  # its kernel decides about each death
        for session, theirs in wanted.items():
            scheduler.client_desires_keys(theirs, _wants(session))
        if wanted:
            self._deserted.look()

    def _waiting(self) -> Iterator[str]:
        """The sessions with tasks that have not ended."""
        for session, kept in self._sessions.items():
            if any(task.state not in ("memory", "erred") for task, _ in self._tasks(kept)):
                yield session

    def add_client(self, scheduler: Any, client: str) -> None:
        """A kernel is there, maybe again.

        If Dask has not noticed yet that its connection was lost, it takes the end of the old one for that of
        the new, whenever it comes (`Scheduler.add_client` knows clients by their names alone): it is made to
        come now, and the kernel connects once more.
        """
        known = [kept for kept in self._sessions.values() if kept.client == client]
        if known and (before := scheduler.client_comms.get(client)) is not None:
            before.abort()
        for kept in known:
            self._there(kept)

    def remove_worker(self, scheduler: Any, worker: str, **_: Any) -> None:
        """A worker has gone."""
        self._roll.left(worker)
        self._deserted.look()

    def remove_client(self, scheduler: Any, client: str) -> None:
        """A kernel is gone: what it had waits for the next, for a while, and survives deaths by itself."""
        for session, kept in self._sessions.items():
            if kept.client == client and not kept.gone:
                kept.gone = True
                for task, about in self._tasks(kept):
                    task.suspicious = scheduler.allowed_failures - about.retries
                kept.end = scheduler.loop.asyncio_loop.call_later(kept.grace, self._end, session)

    def _there(self, kept: Session) -> None:
        """Its kernel is connected, and decides about each death."""
        kept.gone = False
        if kept.end is not None:
            kept.end.cancel()
            kept.end = None
        for task, _ in self._tasks(kept):
            task.suspicious = self._scheduler.allowed_failures

    def _tasks(self, kept: Session) -> Iterator[tuple[Any, ours.Key]]:
        """Those that its kernel has sent."""
        for job in kept.jobs.values():
            for key in job.keys.values() if job.client == kept.client else ():
                about, task = ours.read(key), self._scheduler.tasks.get(key)
                if about is not None and task is not None:
                    yield task, about

    def _release(self, session: str, keys: list[str]) -> None:
        """Nobody wants these. Dask must not take a thread for free in which one of them still runs."""
        if _wants(session) in self._scheduler.clients:
            tasks = {key: self._scheduler.tasks[key] for key in keys if key in self._scheduler.tasks}
            running = [key for key, task in tasks.items() if task.state == "processing"]
            self._running.update(running)
            self._scheduler.client_desires_keys(running, _RUNNING)
            self._scheduler.client_releases_keys(list(tasks), _wants(session))

    def transition(self, key: str, start: str, finish: str, *_: Any, **__: Any) -> None:
        """Something changes in Dask."""
        if self._running and key in self._running and start == "processing":
            self._running.discard(key)
            self._scheduler.loop.add_callback(self._ended, key)

    def _ended(self, key: str) -> None:
        if key in self._scheduler.tasks:
            self._scheduler.client_releases_keys([key], _RUNNING)


_RUNNING = f"{OP}-running"
"""Under this name Dask notes what nobody wants and has not ended."""


def _wants(session: str) -> str:
    """Under this name Dask notes what a session wants."""
    return f"{OP}-{session}"

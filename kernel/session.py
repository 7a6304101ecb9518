"""This process's session: the engine it is attached to, its jobs and its mesh workers.

Owns `Session`, the one place where the notebook side and the engine meet. Never decides where work runs.
Read next: `jobs.py`, `attaching.py` (how a process becomes attached), `sink.py` (what the engine tells us).
"""

import hashlib
import os
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress
from typing import Any, TypeVar, cast

import msgspec

from cellmesh.scheduler.engines.contract import Engine, EngineError, JobSpec, SessionSpec, Survivors
from cellmesh.scheduler.objects import codec
from cellmesh.scheduler.wire.messages import JobInfo, Payload, WorkerInfo
from cellmesh.scheduler.worker import lending

from . import identity, limits, meshing
from .deferring import deferred
from .jobs import Job, Kind
from .notices import Notices
from .outputs import Router
from .stop import Hooks
from .waiting import Bell
from .within import Within

T = TypeVar("T")


class Session:
    """An attached process. Made by `attaching.attach`."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.pid = os.getpid()
        self.bell = Bell()
        # For what Stop waits for; inline the calls themselves run in it, and are what it is pressed for.
        self.uninterrupted = nullcontext if engine.name == "inline" else deferred
        self.hooks = Hooks(self)
        self.notices = Notices(self)
        self.router = Router(self)
        self.within = Within()
        self.spec: SessionSpec
        self.survivors = Survivors()
        self.workers: tuple[WorkerInfo, ...] = ()
        self.jobs: dict[int, Job] = {}
        self.history: deque[Job] = deque(maxlen=100)  # finished and claimed
        self.claims: deque[tuple[int, Sequence[int] | None]] = deque()
        self.drops: deque[str] = deque()  # segments of `cm.put` whose Future is gone
        self.later: deque[Callable[[], object]] = deque()  # what a `__del__` must not do by itself
        self.submissions: object = None  # made by `submitting.submissions_of`
        self.actors: object = None  # made by `actors.directory.directory_of`
        self.on_close: list[Callable[[], None]] = []
        self.watcher: object = None  # made by `unattended.watch`
        self.new_worker_ids_seen: set[int] = set()
        self.dying = False  # the interpreter ends: from now on nothing is claimed
        self.closed = False
        self.captured: dict[str, str] = {}  # name -> digest of what cells captured last
        self.lost = ""  # why the engine is gone, if it is
        self.refusals: deque[str] = deque(maxlen=10)
        self._numbers = 0
        self._context = ""
        self._surroundings: tuple[object, ...] = ()

    # --- attaching ----------------------------------------------------------------------------------

    def opened(self, spec: SessionSpec, survivors: Survivors) -> None:
        """The engine has taken us."""
        self.spec = spec
        self.survivors = survivors
        self.workers = self.workers or survivors.workers
        self._numbers = max((job.number for job in survivors.jobs), default=0)
        self._context = _digest(spec)

    def check(self) -> "Session":
        """This session, if it can be used here and now."""
        if os.getpid() != self.pid:
            raise EngineError(
                "This process was forked from one that is attached, and cannot use its cellmesh session. "
                "Use cellmesh in that process itself, or start a fresh one (spawn)."
            )
        if self.closed:
            raise EngineError(
                "This cellmesh session is closed. Run %load_ext cellmesh or cm.connect() again."
            )
        return self

    def lose(self, why: str) -> None:
        """From the engine's thread: the engine is gone. What waits for it fails now."""
        self.lost = why
        self.refusals.append(why)  # for whoever waits for workers
        self.workers = ()
        self.survivors = Survivors()
        self._refuse_all(why)

    def _refuse_all(self, why: str) -> None:
        for job in list(self.jobs.values()):
            if not job.finished:
                job.on_refused(why)
        self.bell.ring()

    def close(self, *, end_session: bool) -> None:
        """Leave the engine. With `end_session` everything of the session is stopped and freed."""
        if self.closed:
            return
        if not self.lost:
            self.drain_claims()  # else it would be kept there for the next kernel
        self.closed = True
        self.hooks.detach()
        for callback in self.on_close:
            callback()
        if os.getpid() == self.pid:
            self.engine.close(end_session=end_session)
            if not self.dying:
                self._refuse_all("This cellmesh session was closed before that was done.")

    # --- the mesh (see meshing.py) ------------------------------------------------------------------

    def ready_workers(self) -> tuple[WorkerInfo, ...]:
        return tuple(worker for worker in self.workers if worker.state in meshing.READY)

    def ensure_mesh(self, size: int | None = None, gpus: int = 0) -> tuple[WorkerInfo, ...]:
        """The mesh workers, all ready; if there are none, the default mesh starts (one a core or GPU)."""
        return meshing.ensure(self, size, gpus)

    def set_mesh(self, size: int, gpus: int = 0) -> None:
        """Have mesh workers 0..size-1, each with so many GPUs; waits until they are ready."""
        meshing.change(self, size, gpus)

    def wait_workers(
        self,
        predicate: Callable[[Sequence[WorkerInfo]], bool],
        timeout: float,
        title: str = "waiting for workers",
    ) -> None:
        """Wait until the mesh is as `predicate` says; an error if workers keep dying or it takes too long."""
        meshing.wait(self, predicate, timeout, title)

    # --- launching ----------------------------------------------------------------------------------

    def launch(
        self,
        kind: Kind,
        title: str,
        *,
        background: bool = False,
        stop_on_error: bool = False,
        setup: bool = False,
        values: Any = None,
        timeout: float | None = None,
    ) -> Job:
        """Open a job for the running cell; its tasks follow by `Job.submit`."""
        self.check()
        self._numbers += 1
        cell = self.hooks.current
        job = Job(
            self,
            self.engine.new_job_id(),
            kind,
            title,
            background=background,
            cell=cell,
            number=self._numbers,
        )
        job.values = values
        self.jobs[job.id] = job
        self.refresh_context()
        job.parent = lending.parent()
        told = cell.to_json() if cell else ""
        spec = JobSpec(job.id, kind, title, background, stop_on_error, setup, told, job.parent)
        self.engine.open_job(spec)
        if timeout is not None:
            limits.limit(job, timeout)
        return job

    def put_blob(self, payload: Payload) -> str:
        """Make something available to tasks; returns the digest by which they name it."""
        digest = codec.digest(payload)
        self.engine.put_blob(payload, digest)
        return digest

    def put_value(self, value: Any) -> str:
        """`put_blob` of something small, pickled."""
        return self.put_blob(codec.dumps(value))

    def refresh_context(self) -> None:
        """Have tasks from now on run with the cwd, environment and sys.path that the kernel has now."""
        surroundings = identity.surroundings()
        if surroundings == self._surroundings:
            return
        self._surroundings = surroundings
        spec = SessionSpec("", "", 0.0, identity.interpreter())
        digest = _digest(spec)
        if digest != self._context:
            self._context = digest
            self.engine.set_context(spec.interpreter)

    def reset(self) -> None:
        """Cancel all jobs, forget all results, and get fresh mesh workers."""
        self.check()
        jobs = list(self.jobs.values())
        for job in jobs:
            job.cancelled = job.cancelled or not job.finished
            job.claimed = True
        self.engine.reset()
        self.survivors = Survivors()
        self.history.extend(jobs)
        self.jobs.clear()
        for job in jobs:
            if not job.finished:
                job.on_refused("cancelled")  # the engine says no more of it
        self.bell.ring()

    # --- jobs ---------------------------------------------------------------------------------------

    def find_job(self, which: int | None = None) -> Job | JobInfo:
        """A job by its number or id (None: the latest that is running or unclaimed)."""
        known: list[Job | JobInfo] = [*self.history, *self.jobs.values()]
        ours = {job.id for job in known}
        known += [info for info in self.survivors.jobs if info.id not in ours]
        if which is None:
            known = [job for job in known if not (isinstance(job, Job) and job.claimed)]
        else:
            known = [job for job in known if which in (job.number, job.id)]
        if not known:
            wanted = "no job that runs or has results waiting" if which is None else f"no job {which}"
            raise EngineError(f"There is {wanted}. cm.jobs() lists them.")
        return max(known, key=lambda job: (job.opened, job.number))

    def adopt(self, info: JobInfo) -> Job:
        """A job of an earlier kernel of this session becomes ours; its output goes to the running cell."""
        job = Job(
            self,
            info.id,
            cast(Kind, info.kind),
            info.title,
            background=True,
            cell=self.hooks.current,
            number=info.number,
        )
        job.surviving = True
        job.opened = info.opened
        job.total = 0
        self.jobs[job.id] = job
        return job

    def on_job_finished(self, job: Job) -> None:
        """From the engine's thread, mostly: all of the job's tasks are over."""
        job.on_claimed(())
        if job.claimed:
            # Again: the engine drops claims of what was not over. `drain_claims` retires the job.
            self.claims.append((job.id, None))

    def _retire(self, job: Job) -> None:
        if self.jobs.pop(job.id, None) is not None:
            self.history.append(job)
        job.forget()

    def drain_claims(self) -> None:
        """Tell the engine what the user has taken or dropped since the last time."""
        if self.dying or self.closed or os.getpid() != self.pid:
            return
        _tell(self.later, lambda callback: callback())
        _tell(self.drops, self.engine.drop)
        _tell(self.claims, self._claim)

    def _claim(self, claim: tuple[int, Sequence[int] | None]) -> None:
        job_id, tasks = claim
        job = self.jobs.get(job_id)
        if job is not None:
            job.on_claimed(tasks)  # first: a task that ends from now on is claimed again as it does
        self.engine.claim(job_id, tasks)
        if job is not None and job.claimed and job.finished:
            self._retire(job)


def _tell(queue: "deque[T]", tell: Callable[[T], object]) -> None:
    """Tell of each, once, though several threads do so: what Stop keeps from being told goes back."""
    mine: deque[T] = deque()
    try:
        with suppress(IndexError):
            mine.extend(iter(queue.popleft, mine))  # one step for Python: Stop finds each here or there
        while mine:
            tell(mine[0])
            mine.popleft()
    except BaseException as error:
        if isinstance(error, Exception):
            mine.popleft()  # it would raise each time, and nothing after it would ever be told
        queue.extendleft(reversed(mine))
        raise


def _digest(spec: SessionSpec) -> str:
    return hashlib.blake2b(msgspec.msgpack.encode(spec.interpreter), digest_size=16).hexdigest()

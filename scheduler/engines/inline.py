"""The inline engine: everything runs at once, in the caller, one task after another.

Owns namespaces instead of workers, and no process. For debugging (breakpoints work) and for tests. Never
retries and never loses a worker; Stop interrupts the notebook's own thread. Its calls of the sink come in the
order in which any engine makes them. Read next: `ledger.py`, `inline_worker.py`.
"""

import os
import threading
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import count

import msgspec

from cellmesh.scheduler.objects import codec
from cellmesh.scheduler.wire.actors import ActorInfo
from cellmesh.scheduler.wire.messages import (
    HubInfo,
    Interpreter,
    JobInfo,
    Payload,
    Ref,
    Run,
    SessionInfo,
    TaskWire,
)
from cellmesh.scheduler.worker import surroundings
from cellmesh.scheduler.worker.modules import LocalModules

from .contract import Capacity, Engine, EngineError, JobSpec, SessionSpec, Sink, Survivors
from .inline_lives import InlineLives
from .inline_worker import InlineMesh, InlineWorker, shell
from .ledger import Ledger


class InlineEngine(Engine):
    """Runs every task while it is submitted."""

    name = "inline"

    def __init__(self) -> None:
        self._sink: Sink | None = None
        self._spec: SessionSpec | None = None
        self._started = time.time()
        self._running = threading.RLock()  # one task at a time; a task may submit others
        self._jobs: dict[int, Ledger] = {}
        self._mesh = InlineMesh(self._make_worker)
        self._blobs: dict[str, Payload] = {}
        self._actors = InlineLives(self._tell_actor, self._blobs)
        self._context = ""
        self._ids = count(1)
        self._numbers = count(1)
        self._attempts = count(1)
        self._workers = count(1)
        self._modules = LocalModules()
        self._setups: list[tuple[int, TaskWire]] = []

    # --- life ------------------------------------------------------------------------------------

    def open(self, session: SessionSpec, sink: Sink) -> Survivors:
        self._spec, self._sink = session, sink
        self._modules.look()
        self._anyone = self._make_worker(None)
        self.set_context(session.interpreter)
        return Survivors()

    def close(self, *, end_session: bool) -> None:
        for job in self._jobs.values():
            job.halt("cancelled")
        self._jobs.clear()
        self._mesh.close()
        self._actors.close()
        if self._sink is not None:
            self._anyone.close()
        self._blobs.clear()
        self._sink = None

    def _make_worker(self, number: int | None) -> InlineWorker:
        return InlineWorker(next(self._workers), number, self._told(), self._modules)

    def _told(self) -> Sink:
        if self._sink is None:
            raise EngineError("The inline engine is closed. Run cm.connect('inline') to start anew.")
        return self._sink

    # --- what the notebook asks ------------------------------------------------------------------

    def capacity(self) -> Capacity:
        return Capacity(cpus=1)

    def new_job_id(self) -> int:
        return next(self._ids)

    def set_mesh(self, size: int, gpus: int = 0) -> None:
        sink = self._told()
        if gpus:
            sink.notice("The inline engine has no GPUs: its workers run in the notebook's own process.")
        for worker in self._mesh.resize(size):
            for job, task in self._setups:
                self._run(worker, job, task)
        self._tell_mesh()

    def put_blob(self, data: Payload, digest: str) -> None:
        self._blobs[digest] = data

    def drop_blob(self, digest: str) -> None:
        self._blobs.pop(digest, None)

    def set_context(self, interpreter: Interpreter) -> None:
        data = msgspec.msgpack.encode(interpreter)
        self._blobs.pop(self._context, None)
        self._context = codec.digest(data)
        self._blobs[self._context] = data

    def open_job(self, job: JobSpec) -> None:
        if job.job in self._jobs:
            self._told().refused("a job of this id is known already", job.job)
            return
        self._jobs[job.job] = Ledger(job, next(self._numbers))

    def submit(self, job: int, tasks: Sequence[TaskWire], *, last: bool) -> None:
        sink = self._told()
        record = self._jobs.get(job)
        if record is None:
            sink.refused("the inline engine does not know this job (was the session reset?)", job)
            return
        fresh = record.add(tasks)
        record.sealed = record.sealed or last
        with self._having_the_turn():
            try:
                for task in fresh:
                    self._take(record, task)
            except KeyboardInterrupt:
                record.halt("cancelled")
                for task in fresh:
                    self._settle(record, task.index, "cancelled", record.halted, None)
                raise
            finally:
                sink.flushed()
        if record.spec.setup and record.sealed and record.tasks and not record.halted:
            self._setups.append((job, next(iter(record.tasks.values()))))
        if record.taken:  # task by task, before it was known that no more would come
            self._jobs.pop(job, None)

    def cancel(
        self, job: int, tasks: Sequence[int] | None = None, *, force: bool = False, queued: bool = False
    ) -> None:
        record = self._jobs.get(job)
        if record is None or queued:  # nothing ever waits here
            return
        if tasks is None:
            if not record.finished:
                record.cancelled = True
                record.halt("cancelled")
        else:
            record.unwanted.update(task for task in tasks if not record.is_over(task))
        # From another thread, or from the running code itself: it stops between items or at its next print.
        for worker in (*self._mesh, self._anyone):
            if worker.at_work and worker.at_work[0] == job and (tasks is None or worker.at_work[1] in tasks):
                worker.runner.interrupts.request(worker.at_work[2])

    def claim(self, job: int, tasks: Sequence[int] | None = None) -> None:
        record = self._jobs.get(job)
        if record is None or record.spec.setup:
            return
        record.forget(tasks)
        if record.finished and not record.tasks:
            del self._jobs[job]

    def attach_job(self, job: int) -> None:
        sink = self._told()
        record = self._jobs.get(job)
        if record is None:
            spec = JobSpec(job, "submit", "")
            sink.job(Ledger(spec, 0).info(), True)
        else:
            record.replay(sink)
            sink.job(record.info(), False)
        sink.flushed()

    @property
    def actors(self) -> InlineLives:
        return self._actors

    def object_prefix(self) -> str:
        return ""  # one process: there is nobody to share memory with

    def keep(self, data: Payload) -> None:
        assert not isinstance(data, Ref), "without a prefix there are no segments"

    def drop(self, name: str) -> None:
        """There are no segments."""

    def nudge(self) -> None:
        """There are no segments."""

    def reset(self) -> None:
        for job in list(self._jobs):
            self.cancel(job)
        self._jobs.clear()
        self._setups.clear()
        self._actors.reset()
        size = len(self._mesh)
        self.set_mesh(0)
        self.set_mesh(size)

    def status(self, timeout: float = 5.0) -> HubInfo:
        return HubInfo("inline", os.getpid(), 0, 0, 1, 0, [], [self._session()], self._started)

    def logs(self) -> str:
        return ""  # all output is in the cells

    def _tell_actor(self, info: ActorInfo) -> None:
        self._told().actor(info)
        self._told().flushed()

    def _having_the_turn(self) -> AbstractContextManager[object]:
        """A task that submits another has the turn, also in the thread where its coroutines run."""
        at_work = [worker for worker in (*self._mesh, self._anyone) if worker.at_work]
        inside = any(worker.runner.interrupts.runs_here for worker in at_work)
        return nullcontext() if inside else self._running

    # --- running ---------------------------------------------------------------------------------

    def _take(self, record: Ledger, task: TaskWire) -> None:
        """Run one task of a submission, or say why not."""
        if record.halted or task.index in record.unwanted:
            self._settle(record, task.index, "cancelled", record.halted or "cancelled", None)
            return
        if task.gpus:
            why = f"needs {task.gpus} GPUs; the inline engine has none (use cm.connect('embedded'))"
            self._settle(record, task.index, "lost", why, None)
            return
        if task.pool == "task":
            worker: InlineWorker | None = self._anyone
        else:
            worker = self._mesh.next() if task.worker is None else self._mesh.get(task.worker)
        if worker is None:
            self._settle(record, task.index, "lost", self._mesh.why_not(task.worker), task.worker)
            return
        names = worker.runner.names()
        outcome = self._run(worker, record.spec.job, task)
        if worker.runner.names() != names:
            self._tell_mesh()
        if outcome == "interrupted":
            stopped = bool(record.halted) or task.index in record.unwanted
            if not stopped:
                record.halt("cancelled")
            self._settle(record, task.index, "cancelled", record.halted or "cancelled", worker.number)
            if not stopped:  # nobody asked for it through us: it is the notebook's own Stop
                raise KeyboardInterrupt
            return
        self._settle(record, task.index, "done" if outcome == "ok" else "failed", "", worker.number)
        if outcome == "error" and record.spec.stop_on_error:
            record.halt("an earlier item failed")

    def _run(self, worker: InlineWorker, job: int, task: TaskWire) -> str | None:
        with surroundings.restored():
            return worker.run(
                Run(next(self._attempts), job, task, self._context),
                self._blobs,
                self._jobs.get(job),
                shell(),
            )

    def _settle(self, record: Ledger, task: int, state: str, why: str, worker: int | None) -> None:
        if record.settle(task, state, why, worker) and record.spec.job in self._jobs:
            self._told().settled(record.spec.job, task, state, why, worker)  # else it was reset or closed

    # --- telling ---------------------------------------------------------------------------------

    def _tell_mesh(self) -> None:
        self._told().workers(self._mesh.infos())
        self._told().flushed()

    def _session(self) -> SessionInfo:
        spec = self._spec
        jobs: list[JobInfo] = [record.info() for record in self._jobs.values()]
        return SessionInfo(
            id=spec.key if spec else "",
            name=spec.name if spec else "",
            attached=self._sink is not None,
            slots=sum(info.running for info in jobs),
            mesh=self._mesh.infos(),
            task_workers=[os.getpid()],
            jobs=jobs,
        )

"""The contract on a Dask cluster.

Owns nothing but who does what: cells, the mesh and actors are the hubs' beside the Dask workers
(`notebook/fleet.py`); maps and submits are Dask's own (`notebook/pool.py`). Read next: `notebook/fleet.py`,
`notebook/pool.py`.
"""

from __future__ import annotations

import itertools
import time
import uuid
from collections.abc import Callable, Sequence
from typing import Any

from distributed import Client, Future
from msgspec.structs import replace

from cellmesh.scheduler.engines.contract import (
    Capacity,
    Engine,
    JobSpec,
    SessionSpec,
    Sink,
    Survivors,
)
from cellmesh.scheduler.engines.dask.notebook.cells import Cells, survivors
from cellmesh.scheduler.engines.dask.notebook.fleet import Fleet
from cellmesh.scheduler.engines.dask.notebook.lives import FleetLives
from cellmesh.scheduler.engines.dask.notebook.picture import cells_of, found, picture
from cellmesh.scheduler.engines.dask.notebook.pool import Pool
from cellmesh.scheduler.engines.dask.notebook.scaling import Scaling
from cellmesh.scheduler.engines.dask.notebook.told import Told
from cellmesh.scheduler.engines.dask.scheduler.roll import gpus_of
from cellmesh.scheduler.engines.dask.worker.plugin import Plugin
from cellmesh.scheduler.objects import makers
from cellmesh.scheduler.wire.messages import (
    HubInfo,
    Interpreter,
    JobInfo,
    Payload,
    Ref,
    TaskWire,
)


class DaskEngine(Engine):
    """Runs a session on the cluster of this client; an `owned` client is closed with the engine.

    `cluster` is the object that started the workers, if that is known.
    """

    name = "dask"
    patience = 1.0
    most_tasks = 500  # each costs the scheduler a millisecond or more

    def __init__(
        self, client: Client, cluster: Any = None, *, owned: bool = False, checkpoints: str = ""
    ) -> None:
        self._client = client
        self._scaling = Scaling(client, cluster)
        self._owned = owned
        self._checkpoints = checkpoints
        self._base = (uuid.uuid4().int >> 100) << 32
        self._count = itertools.count(1)
        self._numbering = itertools.count(1)
        self._numbers: dict[int, int] = {}  # by job
        self._started = time.time()
        self._blobs: dict[str, Payload] = {}
        self._unwanted: set[str] = set()  # of these, what goes once no cell waits that refers to it
        self._told: Told
        self._fleet: Fleet
        self._cells: Cells
        self._pool: Pool
        self._lives: FleetLives
        self._spec: SessionSpec

    # --- life ------------------------------------------------------------------------------------

    def open(self, session: SessionSpec, sink: Sink) -> Survivors:
        self._client.register_plugin(Plugin())
        self._spec, self._told = session, Told(sink)
        self._fleet = Fleet(self._client, session, self._told, self._blobs.__getitem__, self.new_job_id)
        self._cells = self._fleet.cells
        self._lives = FleetLives(
            self._client, self._fleet, self._told, session, self._blobs.__getitem__, self._checkpoints
        )
        self._pool = Pool(self._client, session.key, self._told, self._blobs.__getitem__)
        left = self._pool.open(session.grace)
        self._pool.set_context(session.interpreter)
        self._lives.open()
        self._fleet.find()
        jobs = sorted([*survivors(self._fleet.hosts.values()), *left], key=lambda job: job.opened)
        for job in jobs:
            self._numbers[job.id] = next(self._numbering)
        note = found(self._client.scheduler.address, self._fleet.members())
        return Survivors(tuple(self._fleet.mesh()), tuple(map(self._numbered, jobs)), (note,))

    def close(self, *, end_session: bool) -> None:
        self._lives.close(end_session=end_session)
        self._pool.close(end_session=end_session)
        self._fleet.close(end_session=end_session)
        if self._owned:
            self._client.close()

    # --- what the notebook asks ------------------------------------------------------------------

    def capacity(self) -> Capacity:
        self._pool.check()
        members = self._fleet.members()
        memory = sum(member.memory for member in members)
        return Capacity(sum(member.threads for member in members), gpus_of(members), memory)

    def new_job_id(self) -> int:
        return self._base | next(self._count)

    def set_mesh(self, size: int, gpus: int = 0) -> None:
        self._pool.check()
        self._fleet.set_mesh(size, gpus)

    def scale(self, least: int, most: int | None = None) -> bool:
        self._pool.check()
        told = self._scaling.to(least, most, lambda: len(self._fleet.members()))
        with self._told as sink:
            sink.notice(told)
            sink.flushed()
        return True

    def put_blob(self, data: Payload, digest: str) -> None:
        self._unwanted.discard(digest)
        if digest in self._blobs and isinstance(data, Ref) and data.name.startswith(self.cell_prefix()):
            makers.freed([data.name])  # it is there already, and equal
        else:
            self._blobs[digest] = data

    def drop_blob(self, digest: str) -> None:
        self._unwanted.add(digest)
        with self._told:
            over = [each for each in self._unwanted if not self._cells.needs(each)]
        for each in over:
            self._unwanted.discard(each)
            self._drop_blob(each)

    def _drop_blob(self, digest: str) -> None:
        data = self._blobs.pop(digest, None)
        if isinstance(data, Ref) and data.name.startswith(self.cell_prefix()):
            makers.freed([data.name])
        self._pool.drop_blob(digest)
        for host in list(self._fleet.hosts.values()):
            host.engine.drop_blob(digest)
            host.large.discard(digest)

    def set_context(self, interpreter: Interpreter) -> None:
        self._pool.set_context(interpreter)
        self._lives.set_context(interpreter)
        for host in list(self._fleet.hosts.values()):
            host.engine.set_context(interpreter)

    def open_job(self, job: JobSpec) -> None:
        self._pool.check()
        self._numbers[job.job] = next(self._numbering)
        if job.kind in ("map", "submit"):
            self._pool.open_job(job)
        else:
            with self._told:
                self._cells.open(job)

    def submit(self, job: int, tasks: Sequence[TaskWire], *, last: bool) -> None:
        if job in self._cells.jobs:
            self._fleet.load(tasks)
            with self._told:
                self._cells.submit(job, tasks, last=last)
        else:
            self._pool.submit(job, tasks, last=last)

    def cancel(
        self, job: int, tasks: Sequence[int] | None = None, *, force: bool = False, queued: bool = False
    ) -> None:
        if job in self._cells.jobs:
            with self._told:
                self._cells.cancel(job, tasks, force=force, queued=queued)
        else:
            self._pool.cancel(job, tasks, force=force, queued=queued)

    def claim(self, job: int, tasks: Sequence[int] | None = None) -> None:
        if tasks is None:
            self._numbers.pop(job, None)
        if job in self._cells.jobs:
            with self._told:
                self._cells.claim(job, tasks)
        else:
            self._pool.claim(job, tasks)

    def attach_job(self, job: int) -> None:
        has = [host for host in self._fleet.hosts.values() if any(info.id == job for info in host.jobs)]
        if has:
            with self._told:
                self._cells.attach(job, has)
        else:
            self._pool.attach_job(job)

    @property
    def actors(self) -> FleetLives:
        return self._lives

    def object_prefix(self) -> str:
        return ""  # there is no memory that all hosts share

    def cell_prefix(self) -> str:
        return self._fleet.freight.prefix

    def task_prefix(self) -> str:
        return self._pool.object_prefix()

    def keep(self, data: Payload) -> None:
        self._pool.keep(data)

    def drop(self, name: str) -> None:
        self._pool.drop(name)

    def future_there(self, job: int, task: int, item: int, payload: Callable[[], Payload]) -> Future:
        return self._pool.future(job, task, item, payload)

    def nudge(self) -> None:
        """There are no segments."""

    def reset(self) -> None:
        self._pool.reset()
        self._lives.reset()
        with self._told:
            self._cells.reset()
        for host in list(self._fleet.hosts.values()):
            host.engine.reset()

    def status(self, timeout: float = 5.0) -> HubInfo:
        self._pool.check()
        cells, mesh = cells_of(self._fleet.hosts.values(), self._spec.key, timeout)
        jobs = [*(self._numbered(job) for job in cells), *(self._numbered(job) for job in self._pool.jobs())]
        return picture(
            self._client.scheduler.address,
            self._spec,
            self._fleet.members(),
            self._fleet.loads(),
            dict(self._fleet.hosts),
            mesh,
            jobs,
            self._lives.all(),
            self._started,
        )

    def _numbered(self, job: JobInfo) -> JobInfo:
        """With the number that the notebook knows it by: hosts and pool count only their own."""
        return replace(job, number=self._numbers.get(job.id, job.number))

    def logs(self) -> str:
        return ""  # they are on the hosts

"""One host of a session: the hub beside a Dask worker, and the numbers that its mesh workers have here.

Owns the translation of what that hub tells (its own numbers, addresses of sockets that are there) into what
the notebook knows. Never decides what runs where: `fleet.py` does. Read next: `sidecar.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from msgspec.structs import replace

from cellmesh.scheduler.objects import segments
from cellmesh.scheduler.wire.actors import ActorInfo
from cellmesh.scheduler.wire.messages import Item, JobInfo, Output, Progress, Ref, WorkerInfo

from .sidecar import Sidecar

if TYPE_CHECKING:
    from .fleet import Fleet
    from .told import Told

_ID_BITS = 40


class Host:
    """Is the sink of its engine; passes on by `told` what it hears."""

    def __init__(self, serial: int, engine: Sidecar, told: Told, fleet: Fleet) -> None:
        self.engine = engine
        self.address = engine.mirror.address
        self.name = engine.mirror.host
        self.actors: dict[int, ActorInfo] = {}  # those that the notebook knows, as last told
        self.numbers: list[int] = []  # of the mesh, by the hub's own
        self.mesh: list[WorkerInfo] = []  # as last told, with the notebook's numbers
        self.jobs: tuple[JobInfo, ...] = ()  # those that it had when we attached
        self.large: set[str] = set()  # digests of what it has that is large
        self.hidden: set[int] = set()  # jobs of ours, of which the notebook hears nothing
        self._serial = serial
        self._told = told
        self._fleet = fleet
        self._prefix = ""

    def shares(self, prefix: str) -> None:
        """What that hub's processes make has names that begin so."""
        self._prefix = prefix
        segments.elsewhere(prefix, self._read)

    def local(self, number: int) -> int:
        """What the hub calls the mesh worker of this number."""
        return self.numbers.index(number)

    def resize(self, numbers: list[int], gpus: int) -> None:
        """Have mesh workers of these numbers; those that it has already are the first of them."""
        self.numbers = numbers
        self.engine.set_mesh(len(numbers), gpus)

    def close(self, *, end_session: bool) -> None:
        """Leave."""
        segments.nowhere(self._prefix)
        self.engine.close(end_session=end_session)

    def _read(self, ref: Ref) -> bytearray:
        return self.engine.mirror.read(ref.name, ref.size)

    def _number(self, worker: int | None) -> int | None:
        return self.numbers[worker] if worker is not None and worker < len(self.numbers) else None

    def info_here(self, info: ActorInfo) -> ActorInfo:
        """An actor as the notebook can reach it."""
        return replace(info, address=self.engine.mirror.door(info.address)) if info.address else info

    def mesh_here(self, workers: Sequence[WorkerInfo]) -> list[WorkerInfo]:
        """Mesh workers as the notebook counts them."""
        known = [(self._number(worker.number), worker) for worker in workers]
        return [
            replace(worker, number=number, id=self._serial << _ID_BITS | worker.id)
            for number, worker in known
            if number is not None
        ]

    # --- what the hub tells: in the engine's thread ---------------------------------------------------

    def items(self, job: int, task: int, worker: int | None, items: Sequence[Item]) -> None:
        with self._told as sink:
            if job in self.hidden:
                return
            sink.items(job, task, self._number(worker), items)

    def settled(
        self, job: int, task: int, state: str, why: str, worker: int | None, seconds: float = 0.0
    ) -> None:
        with self._told as sink:
            if job in self.hidden:
                return
            self._fleet.settled(self, job, task, state)
            sink.settled(job, task, state, why, self._number(worker), seconds)

    def output(self, output: Output) -> None:
        with self._told as sink:
            if output.job in self.hidden:
                return
            sink.output(replace(output, worker=self._number(output.worker)))

    def progress(self, progress: Progress) -> None:
        with self._told as sink:
            sink.progress(progress)

    def workers(self, workers: Sequence[WorkerInfo]) -> None:
        self.mesh = self.mesh_here(workers)
        self._fleet.mesh_changed()

    def actor(self, info: ActorInfo) -> None:
        self.actors[info.id] = info
        with self._told as sink:
            sink.actor(self.info_here(info))

    def notice(self, text: str) -> None:
        with self._told as sink:
            if not self._fleet.closed:
                sink.notice(f"{text} (on {self.name}, beside the Dask worker at {self.address})")

    def refused(self, why: str, job: int | None) -> None:
        with self._told as sink:
            sink.refused(why, job)

    def lost(self, why: str) -> None:
        self._fleet.lost(self)

    def job(self, info: JobInfo, missing: bool) -> None:
        self._fleet.job_stands(self, info, missing=missing)

    def flushed(self) -> None:
        with self._told as sink:
            sink.flushed()

"""What a notebook has the Dask scheduler keep for the next kernel of its session.

Owns the words to `scheduler/keeper.py`, which go the way of the tasks, in order with them. Never waits but
to attach. Read next: `pool.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import msgspec
from distributed import Client, Future

from cellmesh.scheduler.engines.contract import JobSpec, SessionBusyError
from cellmesh.scheduler.engines.dask.between import keys
from cellmesh.scheduler.engines.dask.between.orders import OP
from cellmesh.scheduler.engines.dask.scheduler.keeper import END, SESSION, Keeper
from cellmesh.scheduler.engines.dask.worker.plugin import Plugin
from cellmesh.scheduler.wire.messages import JobInfo

OVER = ("memory", "erred")
"""States of Dask's tasks."""


@dataclass(frozen=True, slots=True)
class Surviving:
    """A job of an earlier kernel: its tasks as Dask's keys, whether each is done, and where it runs."""

    spec: JobSpec
    number: int
    opened: float
    tasks: list[tuple[keys.Key, bool, str]]
    cancelled: bool

    @property
    def info(self) -> JobInfo:
        """As a list shows it."""
        return JobInfo(
            id=self.spec.job,
            number=self.number,
            kind=self.spec.kind,
            title=self.spec.title,
            background=self.spec.background,
            finished=all(done for _, done, _ in self.tasks),
            cancelled=self.cancelled,
            items=sum(key.size for key, _, _ in self.tasks),
            done=sum(key.size for key, done, _ in self.tasks if done),
            failed=0,  # nobody knows until their outcomes are fetched
            running=sum(bool(worker) for _, _, worker in self.tasks),
            opened=self.opened,
            cell=self.spec.cell,
            left=[(key.task, key.size) for key, _, _ in self.tasks],
        )


def _surviving(about: dict[str, Any]) -> Surviving:
    tasks = [(keys.read(key), *stand) for key, stand in about["tasks"].items()]
    return Surviving(
        msgspec.msgpack.decode(about["spec"], type=JobSpec),
        about["number"],
        about["opened"],
        [(key, state in OVER, worker) for key, state, worker in tasks if key is not None],
        about["cancelled"],
    )


class Keeping:
    """Of one session."""

    def __init__(self, client: Client, session: str) -> None:
        self._client = client
        self._session = session

    def attach(self, grace: float) -> dict[int, Surviving]:
        """Take the session over; the jobs that there are of it. Waits for the scheduler."""
        self._client.register_plugin(Plugin())
        self._client.register_plugin(Keeper())
        return self.jobs(grace)

    def jobs(self, grace: float) -> dict[int, Surviving]:
        """How far they are now. Waits for the scheduler."""
        found = self._client.sync(
            getattr(self._client.scheduler, SESSION),
            session=self._session,
            client=self._client.id,
            grace=grace,
        )
        if found["busy"]:
            raise SessionBusyError(
                "Another living kernel holds the session of this notebook on that cluster."
            )
        return {job: _surviving(about) for job, about in found["jobs"].items()}

    def open(self, spec: JobSpec) -> None:
        """A job begins."""
        self._tell("open", job=spec.job, spec=msgspec.msgpack.encode(spec))

    def seal(self, job: int) -> None:
        """No more tasks will come."""
        self._tell("seal", job=job)

    def cancel(self, job: int) -> None:
        """It was cancelled."""
        self._tell("cancel", job=job)

    def claim(self, done: list[str]) -> None:
        """The tasks of these keys are not needed any more."""
        self._tell("claim", keys=done)

    def forget(self, job: int) -> None:
        """Nothing of this job is."""
        self._tell("forget", job=job)

    def futures(self, wanted: Sequence[keys.Key]) -> list[Future]:
        """Dask's futures of tasks that an earlier kernel has sent."""
        found = [Future(str(key), self._client) for key in wanted]
        names = [future.key for future in found]
        self._client._send_to_scheduler(
            {"op": "client-desires-keys", "keys": names, "client": self._client.id}
        )
        return found

    def end(self) -> None:
        """Nothing of the session is. Waits for the scheduler."""
        with suppress(OSError):  # it is gone, and with it all that was kept
            if self._client.status == "running":
                self._client.sync(getattr(self._client.scheduler, END), session=self._session)

    def _tell(self, what: str, **about: Any) -> None:
        if self._client.status == "closed":
            return  # the scheduler is gone, and all that it kept
        # Dask's own stream, which has no public door: only there do words stay in order with tasks.
        self._client._send_to_scheduler({"op": OP, "what": what, "session": self._session, **about})

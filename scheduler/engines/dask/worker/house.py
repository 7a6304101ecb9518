"""The client of the hub beside a Dask worker that its actors of one owner belong to.

Owns their session there, which ends with the Dask worker's process, whatever becomes of the notebook. Never
decides anything. Its methods wait. Read next: `lodging.py`, `../../embedded.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from msgspec.structs import replace

from cellmesh.scheduler.engines.contract import EngineError, SessionSpec
from cellmesh.scheduler.engines.dask.between.lodge import Lodge
from cellmesh.scheduler.engines.embedded import EmbeddedEngine
from cellmesh.scheduler.wire.actors import ActorInfo
from cellmesh.scheduler.wire.messages import (
    Interpreter,
    Item,
    JobInfo,
    Output,
    Progress,
    WorkerInfo,
)

OWNER = "actors of "
"""So begin the names of such sessions."""


class House:
    """Is the sink of its engine: of jobs, which it has none of, nothing is told.

    `told` is called in the engine's thread: with an actor, a line for people, or None if the hub is gone.
    """

    def __init__(
        self, folder: Path, owner: str, name: str, told: Callable[[House, ActorInfo | str | None], None]
    ) -> None:
        self.owner = owner
        self._name = name
        self._told = told
        self.engine = EmbeddedEngine(folder, shares_memory=False)

    @property
    def data(self) -> Path:
        """The hub's data folder."""
        return self.engine.actors.data

    def open(self, interpreter: Interpreter) -> None:
        """Attach."""
        self.engine.open(SessionSpec(f"{OWNER}{self.owner}", self._name, 0.0, interpreter), self)

    def start(self, order: Lodge) -> str:
        """Have this actor live here; else why not."""
        start = order.start
        self.engine.set_context(order.interpreter)
        self.engine.put_blob(order.kind, start.blob)
        answer = self.engine.actors.start(replace(start, options=replace(start.options, detached=False)))
        self.engine.drop_blob(start.blob)
        if answer.actor is None:
            return answer.why
        self._told(self, answer.actor)
        return ""

    def renew(self, actor: int, kind: bytes, blob: str, same: str) -> None:
        """Its class was reloaded."""
        self.engine.put_blob(kind, blob)
        self.engine.actors.renew(actor, blob, same)
        self.engine.drop_blob(blob)

    def close(self) -> None:
        """Nobody of the owner lives here any more."""
        with suppress(EngineError):
            self.engine.close(end_session=True)

    # --- what the hub tells, in the engine's thread ----------------------------------------------------

    def actor(self, info: ActorInfo) -> None:
        self._told(self, info)

    def lost(self, why: str) -> None:
        self._told(self, None)

    def notice(self, text: str) -> None:
        self._told(self, text)

    def items(self, job: int, task: int, worker: int | None, items: Sequence[Item]) -> None: ...

    def settled(
        self, job: int, task: int, state: str, why: str, worker: int | None, seconds: float = 0.0
    ) -> None: ...

    def output(self, output: Output) -> None: ...

    def progress(self, progress: Progress) -> None: ...

    def workers(self, workers: Sequence[WorkerInfo]) -> None: ...

    def refused(self, why: str, job: int | None) -> None: ...

    def job(self, info: JobInfo, missing: bool) -> None: ...

    def flushed(self) -> None: ...

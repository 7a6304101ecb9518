"""A pool on a real cluster, and short ways to launch work on it.

Owns no cluster: `conftest.py` does. Waits by the recorder's deadline, never by sleeping.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from itertools import count
from typing import Any

from conformance.recording import Recorder, interpreter
from distributed import Client

from cellmesh.scheduler.engines.contract import JobSpec
from cellmesh.scheduler.engines.dask.notebook.pool import Pool
from cellmesh.scheduler.engines.dask.notebook.told import Told
from cellmesh.scheduler.objects import codec
from cellmesh.scheduler.wire.messages import TaskWire


class Table:
    """An open pool, its recorder, and short ways to launch work."""

    def __init__(self, client: Client, name: str = "", grace: float = 0.0) -> None:
        self.told = Recorder()
        self.blobs: dict[str, bytes] = {}
        self.pool = Pool(client, name or uuid.uuid4().hex, Told(self.told), self.blobs.__getitem__)
        self.survivors = self.pool.open(grace)
        self.pool.set_context(interpreter())
        self._ids = count(1)

    def close(self) -> None:
        """End the session."""
        self.pool.close(end_session=True)

    def blob(self, value: Any) -> str:
        """Make a value available; its digest."""
        payload = codec.dumps(value)
        assert isinstance(payload, bytes)
        self.blobs[codec.digest(payload)] = payload
        return codec.digest(payload)

    def launch(self, tasks: list[TaskWire], kind: str = "map", **options: Any) -> int:
        """Open a job and submit all of its tasks."""
        job = next(self._ids)
        self.pool.open_job(JobSpec(job, kind, "a job", **options))  # type: ignore[arg-type]
        self.pool.submit(job, tasks, last=True)
        return job

    def task(self, function: Callable[..., Any], *args: Any, index: int = 0, **options: Any) -> TaskWire:
        """One call."""
        return TaskWire(index, "call", codec.dumps((args, {})), [self.blob(function)], **options)

    def call(self, function: Callable[..., Any], *args: Any, **options: Any) -> int:
        """One call; waits for its end."""
        job = self.launch([self.task(function, *args, **options)], "submit")
        self.told.wait_settled(job, 1)
        return job

    def each(
        self, function: Callable[..., Any], values: Sequence[Any], chunk: int, **options: Any
    ) -> list[TaskWire]:
        """The tasks of a map in chunks."""
        blob = self.blob(function)
        chunks = [values[start : start + chunk] for start in range(0, len(values), chunk)]
        return [
            TaskWire(index, "each", codec.dumps(list(part)), [blob], len(part), **options)
            for index, part in enumerate(chunks)
        ]

    def cancel(self, job: int, tasks: Sequence[int] | None = None, *, queued: bool = False) -> None:
        """As the contract has it."""
        self.pool.cancel(job, tasks, force=False, queued=queued)

    def value(self, job: int) -> Any:
        """The first task's first item, loaded."""
        return self.told.values(job)[0, 0]

"""Tasks that submit tasks from a thread of a Dask worker: theirs run under the hub beside it.

Owns the session that the code of a notebook's tasks has in this process, until nobody listens to it any more
and nothing runs. What inner tasks print is the outer one's output; what it submitted is cancelled when it is
stopped. Never opens a session by itself: the kernel package does, when it is asked. Read next: `work.py`,
`../../../worker/lending.py`, `../../embedded.py`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from cellmesh.scheduler.engines.contract import JobSpec
from cellmesh.scheduler.engines.embedded import EmbeddedEngine
from cellmesh.scheduler.wire.messages import Output
from cellmesh.scheduler.worker import lending

from .attempts import Attempt
from .beside import Beside


class Nests:
    """Of one Dask worker. `heard` says whether a session is listened to."""

    def __init__(self, beside: Beside, heard: Callable[[str], bool]) -> None:
        self._beside = beside
        self._heard = heard
        self._nests: dict[str, Nest] = {}
        self._turn = threading.Lock()

    @contextmanager
    def around(self, attempt: Attempt) -> Iterator[None]:
        """What runs in this thread meanwhile is this attempt."""
        with self._turn:
            nest = self._nests.get(attempt.session)
            if nest is None:
                nest = self._nests[attempt.session] = Nest(self._beside, attempt.session)
            nest.users += 1
        try:
            with lending.inside_of(_Task(nest, attempt)):
                yield
        finally:
            nest.over(attempt)
            with self._turn:
                nest.users -= 1
            self.leave(attempt.session)

    def stop(self, attempt: Attempt) -> None:
        """What it has submitted is not wanted any more. Any thread."""
        nest = self._nests.get(attempt.session)
        if nest is not None:
            nest.stop(attempt)

    def leave(self, session: str) -> None:
        """Nothing is kept for a session of which nothing runs, and that nobody listens to."""
        with self._turn:
            nest = self._nests.get(session)
            if nest is not None and not nest.users and not self._heard(session):
                del self._nests[session]
                nest.close()

    def close(self) -> None:
        """The Dask worker closes."""
        with self._turn:
            while self._nests:
                self._nests.popitem()[1].close()


class Nest:
    """Of one session: what the code of its tasks works with."""

    def __init__(self, beside: Beside, session: str) -> None:
        self.users = 0
        self.opened: lending.Opened | None = None
        self.engine: NestEngine | None = None
        self._beside = beside
        self._session = session
        self._opening = threading.Lock()

    def open(self, open: Callable[[Any, str], lending.Opened]) -> Any:
        """The session; `open` makes it of an engine and a key."""
        with self._opening:
            if self.opened is None or (self.engine is not None and self.engine.ended):
                self.engine, self.opened = self._beside.attached(partial(self._made, open))
            return self.opened.session

    def _made(
        self, open: Callable[[Any, str], lending.Opened], folder: Path
    ) -> tuple[NestEngine, lending.Opened]:
        engine = NestEngine(folder)
        return engine, open(engine, f"nested {self._session}")

    def stop(self, attempt: Attempt) -> None:
        if self.engine is not None:
            self.engine.stop(attempt)

    def over(self, attempt: Attempt) -> None:
        if self.opened is not None and self.engine is not None:
            self.opened.task_ends()
            self.engine.over(attempt)

    def close(self) -> None:
        if self.opened is not None:
            self.opened.close()


class NestEngine(EmbeddedEngine):
    """Knows which task has opened which job."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._openers: dict[int, Attempt] = {}

    @property
    def ended(self) -> bool:
        """Whether the hub is gone."""
        return self._gone

    def open_job(self, job: JobSpec) -> None:
        task = lending.inside()
        if isinstance(task, _Task):
            self._openers[job.job] = task.attempt
        super().open_job(job)

    def stop(self, attempt: Attempt) -> None:
        """Cancel what it has opened."""
        for job, opener in list(self._openers.items()):
            if opener is attempt and not self._gone:
                self.cancel(job)

    def over(self, attempt: Attempt) -> None:
        """It has ended: what still runs of its jobs prints for nobody."""
        for job in [job for job, opener in self._openers.items() if opener is attempt]:
            del self._openers[job]

    def _on_messages(self, messages: list[Any]) -> None:
        for message in messages:
            if isinstance(message, Output) and (opener := self._openers.get(message.job)) is not None:
                job, task = opener.place
                opener.emit(replace(message, job=job, task=task, worker=None))
        super()._on_messages([message for message in messages if not isinstance(message, Output)])


class _Task:
    """As `lending.Inside`."""

    def __init__(self, nest: Nest, attempt: Attempt) -> None:
        self._nest = nest
        self.attempt = attempt

    @property
    def parent(self) -> tuple[int, int]:
        return self.attempt.place

    @property
    def session(self) -> Any:
        opened = self._nest.opened
        return None if opened is None else opened.session

    def attached(self, open: Callable[[Any, str], lending.Opened]) -> Any:
        return self._nest.open(open)

"""Tasks that run in a process of their own: a worker of the hub beside the Dask worker, as on one machine.

Owns a client of that hub for each session, until nobody listens to it any more and nothing runs. Dask's
thread waits here meanwhile, so that Dask's resources, priorities and data are true. Never interprets what
comes back: `errands.py` does. Read next: `errands.py`, `work.py`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import msgspec

from cellmesh.scheduler.engines.contract import JobSpec, SessionSpec
from cellmesh.scheduler.engines.embedded import EmbeddedEngine
from cellmesh.scheduler.wire.messages import Interpreter

from .beside import Beside
from .errands import Errand, Errands

FUNCTIONS = 100
"""So many functions are known to the hub of each session after their tasks."""


class Apart:
    """Of one Dask worker. `heard` says whether a session is listened to."""

    def __init__(self, beside: Beside, heard: Callable[[str], bool]) -> None:
        self._beside = beside
        self._heard = heard
        self._clients: dict[str, _Client] = {}
        self._turn = threading.Lock()

    def run(self, session: str, errand: Errand, context: bytes) -> None:
        """Run it, with these surroundings; waits."""
        interpreter = msgspec.msgpack.decode(context, type=Interpreter)
        with self._turn:
            client = self._clients.get(session)
            if client is None or client.errands.gone:
                client = self._beside.attached(lambda folder: _Client(folder, session, interpreter))
                self._clients[session] = client
            client.users += 1
        try:
            client.run(errand, interpreter)
        finally:
            with self._turn:
                client.users -= 1
            self.leave(session)

    def leave(self, session: str) -> None:
        """Nothing is kept for a session of which nothing runs, and that nobody listens to."""
        with self._turn:
            client = self._clients.get(session)
            if client is not None and not client.users and (client.errands.gone or not self._heard(session)):
                del self._clients[session]
                client.close()

    def close(self) -> None:
        """The Dask worker closes."""
        with self._turn:
            while self._clients:
                self._clients.popitem()[1].close()


class _Client:
    """Of the hub, for one session."""

    def __init__(self, folder: Path, session: str, interpreter: Interpreter) -> None:
        self.users = 0
        self.errands = Errands()
        self._engine = EmbeddedEngine(folder)
        self._known: dict[str, int] = {}  # blobs, and how many errands refer to each
        self._turn = threading.Lock()
        self._engine.open(SessionSpec(f"apart {session}", "isolated", 0.0, interpreter), self.errands)

    def run(self, errand: Errand, interpreter: Interpreter) -> None:
        engine = self._engine
        job = engine.new_job_id()
        tasks, blobs = errand.packed(f"{job:x}", engine.object_prefix())
        self.errands.begin(job, errand)
        with self._turn:  # the surroundings are those of what is submitted next
            engine.set_context(interpreter)
            for digest, data in blobs.items():
                self._known[digest] = self._known.pop(digest, 0) + 1
                engine.put_blob(data, digest)
            engine.open_job(JobSpec(job, "map", "isolated"))
            engine.submit(job, tasks, last=True)
        errand.wait(lambda: engine.cancel(job))
        self.errands.end(job)
        engine.claim(job)
        with self._turn:
            for digest in blobs:
                self._known[digest] -= 1
            idle = [digest for digest, users in self._known.items() if not users]
            for digest in idle[: max(0, len(self._known) - FUNCTIONS)]:
                del self._known[digest]
                engine.drop_blob(digest)

    def close(self) -> None:
        self._engine.close(end_session=True)
        self.errands.lost("its Dask worker has closed")

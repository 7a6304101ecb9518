"""The embedded engine, attached to a hub beside a Dask worker.

Owns what differs from a hub on this machine: its Python is that host's, and there is no shared memory
between here and there. Never knows of other hosts: `fleet.py` does. Read next: `../../embedded.py`,
`mirror.py`.
"""

from __future__ import annotations

import dataclasses

import msgspec
from distributed import Client

from cellmesh.scheduler.engines.contract import SessionSpec, Sink, Survivors
from cellmesh.scheduler.engines.embedded import EmbeddedEngine
from cellmesh.scheduler.wire.records import Interpreter

from .mirror import Mirror, ask


class Sidecar(EmbeddedEngine):
    """Of one host. `set_context` waits for an answer from there."""

    away = "that host does not answer; what runs there goes on meanwhile, if it can"

    def __init__(self, client: Client, mirror: Mirror) -> None:
        super().__init__(mirror.folder, shares_memory=False)
        self.mirror = mirror
        self._dask = client

    def open(self, session: SessionSpec, sink: Sink) -> Survivors:
        there = self._translated(session.interpreter)
        return super().open(dataclasses.replace(session, interpreter=there), sink)

    def set_context(self, interpreter: Interpreter) -> None:
        super().set_context(self._translated(interpreter))

    def close(self, *, end_session: bool) -> None:
        super().close(end_session=end_session)
        self.mirror.close()

    def _on_lost(self) -> None:
        if self._dask.status == "connecting":
            self._missed = 0  # the scheduler is away, which is told once, and not for each host
        super()._on_lost()

    def _translated(self, interpreter: Interpreter) -> Interpreter:
        data = msgspec.msgpack.encode(interpreter)
        answer: bytes = ask(self._dask, self.mirror.address, "translate", interpreter=data)
        return msgspec.msgpack.decode(answer, type=Interpreter)

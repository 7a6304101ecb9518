"""What runs in each Dask worker: the door to the hub beside it.

Owns the handler that notebooks call over Dask's own comms, with its TLS; no other port is opened. Installs
itself on every worker that there is and that joins. Read next: `work.py` (tasks in Dask's own threads),
`beside.py`, `between/streams.py`.
"""

from __future__ import annotations

import asyncio
import os
import socket
from typing import Any

import msgspec
from distributed.diagnostics.plugin import WorkerPlugin
from distributed.protocol import to_serialize

from cellmesh.scheduler.engines.dask.between.orders import GPU, OP
from cellmesh.scheduler.engines.dask.between.streams import pump
from cellmesh.scheduler.wire import folders
from cellmesh.scheduler.wire.messages import PROTOCOL
from cellmesh.scheduler.wire.records import Interpreter

from .beside import Beside
from .gate import Gate
from .gpus import own_gpus
from .lodging import Lodging
from .sparing import Origin
from .stock import Stock
from .work import Work


class Plugin(WorkerPlugin):  # type: ignore[misc]  # distributed has no types
    """Of one Dask worker."""

    name = f"cellmesh-{PROTOCOL}"
    idempotent = True

    def __init__(self) -> None:
        self._origin = Origin()

    async def setup(self, worker: Any) -> None:
        """Dask calls this in each worker."""
        self._origin.spare()
        if not worker.state.total_resources and (gpus := own_gpus()):
            await worker.set_resources(GPU=gpus)
        gpus = int(worker.state.total_resources.get(GPU, 0))
        self._notes: dict[str, Any] = {}  # of sessions, about what they have here: for the next kernel
        self._beside = Beside(worker.id, worker.state.nthreads, worker.local_directory, gpus)
        self._lodging = Lodging(worker, self._beside)
        self._stock = Stock(worker, self._beside, OP)
        self._gate = Gate(worker)
        self._beside.begun = self._gate.open_soon
        self._work = Work(worker, self._beside)
        worker.handlers[OP] = self._handle

    async def teardown(self, worker: Any) -> None:
        """And this when it closes."""
        await self._lodging.close()
        await self._gate.close()
        worker.handlers.pop(OP, None)
        self._work.close()
        self._beside.end()

    def transition(self, key: str, start: str, finish: str, **_: Any) -> None:
        """A task of Dask's changes."""
        self._lodging.pins.task_ended()

    async def _handle(self, comm: Any, what: str, **about: Any) -> Any:
        match what:
            case "hub":
                return await self._hub(**about)
            case "note":
                if about["note"] is None:
                    self._notes.pop(about["key"], None)
                else:
                    self._notes[about["key"]] = about["note"]
                return None
            case "lodge":
                return await self._lodging.take(comm, **about)
            case "translate":
                theirs = msgspec.msgpack.decode(about["interpreter"], type=Interpreter)
                return msgspec.msgpack.encode(self._beside.translated(theirs))
            case "listen":
                await self._work.listen(comm, **about)
                return "dont_reply"
            case "stop":
                self._work.stop(**about)
                return None
            case "drop":
                self._work.drop(**about)
                return None
            case "told":
                return self._work.told(**about)
            case "content":
                content = self._work.content(**about)
                return None if content is None else to_serialize(memoryview(content))
            case "open":
                return await self._open(comm, **about)
            case "take":
                return await self._stock.take(comm, **about)
            case "give":
                return await self._stock.give(comm, **about)
        raise ValueError(
            f"cellmesh does not know {what!r}: notebook and workers have different versions of it."
        )

    async def _hub(self, *, start: bool) -> dict[str, Any] | None:
        folder = await asyncio.to_thread(self._beside.started if start else self._beside.living)
        if folder is None:
            return None
        connection = folders.read_connection(folder)
        return {
            "protocol": connection.protocol,
            "name": connection.hub,
            "socket": connection.socket.removeprefix("ipc://"),
            "data": connection.data,
            "prefix": folders.segment_prefix(connection.hub),
            "notes": self._notes,
            "host": socket.gethostname(),
            "pid": os.getpid(),
        }

    async def _open(self, comm: Any, *, path: str) -> str:
        if not self._beside.holds(path):
            raise PermissionError(f"{path} is no socket of cellmesh.")
        try:
            reader, writer = await asyncio.open_unix_connection(path)
        except OSError:
            await comm.write(False)  # it is not there any more
            return "dont_reply"
        await comm.write(True)
        await pump(comm, reader, writer)
        return "dont_reply"

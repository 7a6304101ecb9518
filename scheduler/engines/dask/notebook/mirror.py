"""A hub beside a Dask worker as if it were on this machine: its sockets, forwarded over Dask's comms.

Owns a folder like a hub's, in which the hub's socket and those of its actors are forwarded, and the
requests to the worker's plugin. Never looks into what is forwarded, so whatever speaks to a local hub
speaks to this one. Read next: `worker/plugin.py` (the other end), `ways.py`, `between/streams.py`,
`sidecar.py`.
"""

from __future__ import annotations

import asyncio
import os
import socket
import threading
import uuid
from pathlib import Path
from typing import Any

from distributed import Client

from cellmesh.scheduler.engines.contract import EngineError
from cellmesh.scheduler.engines.dask.between.orders import OP
from cellmesh.scheduler.engines.dask.between.streams import pump
from cellmesh.scheduler.engines.dask.worker.stock import chunks
from cellmesh.scheduler.wire import folders

from .ways import opened

RETRY_SECONDS = 0.1
"""So long is who connects to a socket that is not there kept waiting: he tries again at once."""

ASK_SECONDS = 30.0
"""So long may a worker take to answer; one that starts a hub needs a second."""


class Mirror:
    """Of the hub beside the Dask worker at this address. Made in any thread but Dask's own."""

    def __init__(self, client: Client, address: str, found: dict[str, Any]) -> None:
        self._client = client
        self.address = address
        self.host: str = found["host"]
        self._name = found["name"]
        self.folder, _ = folders.make_hub_folders(f"m{os.getpid():x}-{uuid.uuid4().hex[:8]}")
        self._lock: int | None = folders.take_lock(self.folder / "lock")
        self._doors: dict[str, str] = {}
        self._servers: list[asyncio.Server] = []
        self._closed = False
        self._forwarding: set[asyncio.Task[None]] = set()
        self._making = threading.Lock()
        here = folders.Connection(
            found["protocol"],
            found["name"],
            f"ipc://{self.door(found['socket'])}",
            found["pid"],
            found["data"],
        )
        folders.write_connection(self.folder, here)

    def door(self, path: str) -> str:
        """The socket here that leads to this one there."""
        with self._making:
            here = self._doors.get(path)
            if here is None:
                here = self._doors[path] = str(self.folder / Path(path).name)
                listening = socket.socket(socket.AF_UNIX)
                listening.bind(here)
                listening.listen(128)
                self._client.loop.add_callback(self._serve, listening, path)
        return here

    async def _serve(self, listening: socket.socket, path: str) -> None:
        def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.ensure_future(self._forward(path, reader, writer))
            self._forwarding.add(task)
            task.add_done_callback(self._forwarding.discard)

        server = await asyncio.start_unix_server(accepted, sock=listening)
        if self._closed:
            server.close()
        self._servers.append(server)

    async def _forward(self, path: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        comm = None
        try:
            comm = await opened(self._client, self.address)
            await comm.write({"op": OP, "reply": False, "what": "open", "path": path})
            if await comm.read():
                await pump(comm, reader, writer)
                return
            await asyncio.sleep(RETRY_SECONDS)  # it is just starting, or ending
        except OSError:
            pass  # who connected tries again, for as long as the worker and its hub are there
        finally:
            writer.close()
            if comm is not None:
                comm.abort()
        if not await self._is_there():
            self.lose()

    async def _is_there(self) -> bool:
        if self._client.status != "running":
            return bool(self._client.status == "connecting")
        try:
            if not await self._client.scheduler.ncores(workers=[self.address]):
                return False
        except OSError:
            return True  # as below
        try:
            found = await ask_async(self._client, self.address, "hub", start=False)
        except EngineError:
            return True  # it is busy, or the network is; what is gone the scheduler will know
        return found is not None and found["name"] == self._name

    def read(self, name: str, size: int) -> bytearray:
        """What is in a segment there."""
        try:
            content: bytearray = self._client.sync(self._read, name, size)
        except OSError as error:
            raise EngineError(f"The Dask worker at {self.address} has it no more ({error}).") from error
        return content

    async def _read(self, name: str, size: int) -> bytearray:
        content, done = bytearray(size), 0
        comm = await opened(self._client, self.address)
        try:
            await comm.write({"op": OP, "what": "give", "name": name, "size": size})
            async for chunk in chunks(comm, size):
                content[done : done + len(chunk)] = chunk
                done += len(chunk)
        finally:
            comm.abort()
        return content

    def lose(self) -> None:
        """The worker is gone: whoever looks at the folder sees that its hub has ended. Any thread."""
        lock, self._lock = self._lock, None
        if lock is not None:
            os.close(lock)

    def close(self) -> None:
        """Forward nothing any more. Waits."""
        self._client.sync(self._close)
        self.lose()
        folders.remove_hub(self.folder.name)

    async def _close(self) -> None:
        self._closed = True
        for server in self._servers:
            server.close()
        forwarding = list(self._forwarding)
        for task in forwarding:
            task.cancel()
        await asyncio.gather(*forwarding, return_exceptions=True)


def ask(client: Client, address: str, what: str, **about: Any) -> Any:
    """Ask the plugin of one worker, and wait; EngineError if it cannot be asked."""
    return client.sync(ask_async, client, address, what, **about)


async def ask_async(client: Client, address: str, what: str, **about: Any) -> Any:
    """The same in Dask's loop."""
    try:
        answer = await asyncio.wait_for(_answer(client, address, what, about), ASK_SECONDS)
    except (OSError, TimeoutError) as error:
        raise EngineError(
            f"The Dask worker at {address} does not answer ({error or 'it takes too long'})."
        ) from error
    if isinstance(answer, dict) and answer.get("status") == "uncaught-error":
        raise EngineError(f"The Dask worker at {address} could not do it: {answer.get('exception_text')}")
    return answer


async def _answer(client: Client, address: str, what: str, about: dict[str, Any]) -> Any:
    comm = await opened(client, address)
    try:
        await comm.write({"op": OP, "what": what, **about})
        return await comm.read()
    finally:
        comm.abort()

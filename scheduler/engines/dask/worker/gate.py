"""The way from processes on this host (mesh workers, actors, tasks in Dask's threads) to actors elsewhere.

Owns a socket in the folder of the hub beside, through which they ask the registry of the cluster, and sockets
that lead to actors elsewhere, over Dask's comms. Never decides, never looks into calls. In Dask's loop. Read
next: `../../far_actors.py` (the other end), `scheduler/registry.py`.
"""

from __future__ import annotations

import asyncio
import hashlib
import struct
import uuid
import zlib
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
from distributed.comm import CommClosedError, connect
from msgspec.structs import replace

from cellmesh.scheduler.engines.dask.between.lodge import LIVES, NEWS, Found
from cellmesh.scheduler.engines.dask.between.orders import OP
from cellmesh.scheduler.engines.dask.between.streams import both, pump
from cellmesh.scheduler.wire import actors as wire, folders
from cellmesh.scheduler.wire.records import ActorInfo

from . import copies
from .house import OWNER

_LENGTH = struct.Struct("<I")

NESTED = "nested "

_encode = msgspec.msgpack.Encoder().encode
_asked = msgspec.msgpack.Decoder(wire.ToGate).decode
_found = msgspec.msgpack.Decoder(Found).decode


class Gate:
    """Of one Dask worker."""

    def __init__(self, worker: Any) -> None:
        self._worker = worker
        self._folder = Path()
        self._servers: list[asyncio.Server] = []
        self._doors: dict[tuple[str, str], str] = {}  # by the Dask worker and the socket there
        self._hosts: dict[str, str] = {}  # Dask workers, by how names of objects begin there
        self._guests: set[asyncio.Task[Any]] = set()

    def open_soon(self, folder: Path) -> None:
        """Be there for the processes of this hub. Waits; any thread but Dask's loop."""
        asyncio.run_coroutine_threadsafe(self._open(folder), self._worker.loop.asyncio_loop).result()

    async def _open(self, folder: Path) -> None:
        path = folders.gate(folder)
        if not path.exists():
            self._shut()
            self._folder = folder
            self._servers.append(await asyncio.start_unix_server(self._enter, path))

    async def close(self) -> None:
        """The worker closes."""
        self._shut()
        guests = list(self._guests)
        for guest in guests:
            guest.cancel()
        await asyncio.gather(*guests, return_exceptions=True)

    def _shut(self) -> None:
        for server in self._servers:
            server.close()
        self._servers.clear()
        self._doors.clear()

    # --- a process ------------------------------------------------------------------------------------

    async def _enter(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        guest = asyncio.current_task()
        assert guest is not None
        self._guests.add(guest)
        comm = None
        try:
            entered = await _read(reader)
            session = owner_of(entered.session)
            comm = await connect(
                self._worker.scheduler.address, **self._worker.security.get_connection_args("worker")
            )
            await comm.write({"op": NEWS, "session": session, "kernel": uuid.uuid4().hex})
            await comm.read()
            await both(self._tell(comm, writer), self._serve(session, reader, writer))
        except (OSError, asyncio.IncompleteReadError):
            pass  # one of the two is gone
        finally:
            self._guests.discard(guest)
            writer.close()
            if comm is not None:
                comm.abort()

    async def _tell(self, comm: Any, writer: asyncio.StreamWriter) -> None:
        with suppress(CommClosedError, OSError):
            while True:
                news = await comm.read()
                if not isinstance(news, str):  # what people are told is the notebook's
                    await self._news(_found(news), writer)

    async def _serve(self, session: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, OSError):
            while True:
                await self._answer(session, await _read(reader), writer)

    async def _answer(self, session: str, message: Any, writer: asyncio.StreamWriter) -> None:
        ask = getattr(self._worker.scheduler, LIVES)
        match message:
            case wire.FindActor(request, name, actor):
                found = _found(await ask(what="find", session=session, name=name, actor=actor))
                here = await self._news(found, writer)
                await _write(writer, wire.ActorAnswer(request, here, found.why))
            case wire.ListActors(request):
                all_ = msgspec.msgpack.decode(await ask(what="all", session=session), type=list[Found])
                infos = [await self._news(each, writer) for each in all_]
                await _write(writer, wire.Actors(request, [info for info in infos if info is not None]))
            case wire.FollowActor(actor):
                found = _found(await ask(what="find", session=session, name="", actor=actor))
                if found.actor is None:
                    gone = ActorInfo(actor, "", "", "", "ended", why=found.why)
                    found = Found(gone)
                await self._news(found, writer)
            case wire.EndActor(actor, why):
                await ask(what="end", actor=actor, why=why)
            case wire.ReadFar(request, name, size):
                await _write(writer, wire.FarObject(request, await self._bring(name, size)))

    async def _news(self, found: Found, writer: asyncio.StreamWriter) -> ActorInfo | None:
        """Tell how an actor is, with an address on this host."""
        info, prefix = found.actor, ""
        if info is None:
            return None
        if info.address and found.worker != self._worker.address:
            prefix = folders.segment_prefix(Path(info.address).parent.name)
            self._hosts[prefix] = found.worker
            info = replace(info, address=await self._door(found.worker, info.address))
        await _write(writer, wire.FarActor(info, prefix))
        return info

    # --- other hosts ----------------------------------------------------------------------------------

    async def _door(self, worker: str, path: str) -> str:
        here = self._doors.get((worker, path))
        if here is None:
            name = f"f{zlib.crc32(f'{worker} {path}'.encode()):08x}"
            here = self._doors[worker, path] = str(self._folder / name)
            forward = partial(self._forward, worker, path)
            self._servers.append(await asyncio.start_unix_server(forward, here))
        return here

    async def _forward(
        self, worker: str, path: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        guest = asyncio.current_task()
        assert guest is not None
        self._guests.add(guest)
        try:
            comm = await copies.opened(self._worker, worker)
            await comm.write({"op": OP, "reply": False, "what": "open", "path": path})
            if await comm.read():
                await pump(comm, reader, writer)
        except OSError:
            pass  # who called hears of what becomes of the actor
        finally:
            self._guests.discard(guest)
            writer.close()

    async def _bring(self, name: str, size: int) -> bytes | None:
        worker = next((self._hosts[prefix] for prefix in self._hosts if name.startswith(prefix)), None)
        if worker is None:
            return None
        try:
            comm = await copies.opened(self._worker, worker)
            try:
                await comm.write({"op": OP, "what": "read", "name": name, "size": size})
                answer = await comm.read()
            finally:
                comm.abort()
        except OSError:
            return None
        return answer if isinstance(answer, bytes) else None


def owner_of(session: str) -> str:
    """As the registry knows a session: the hub's name of it says whose it is."""
    for known in (OWNER, NESTED):
        if session.startswith(known):
            return session.removeprefix(known)
    return hashlib.blake2b(session.encode(), digest_size=6).hexdigest()


async def _read(reader: asyncio.StreamReader) -> Any:
    (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
    return _asked(await reader.readexactly(length))


async def _write(writer: asyncio.StreamWriter, message: Any) -> None:
    data = _encode(message)
    writer.write(_LENGTH.pack(len(data)) + data)
    await writer.drain()

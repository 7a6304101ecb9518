"""Actors on a Dask cluster, as a notebook asks for them: each lives beside one Dask worker.

Owns the questions to the registry in Dask's scheduler, which decides, and that its news reach the notebook
with addresses that mean something here. Never sees a call: these go through the host's mirror to the actor's
own socket. Read next: `scheduler/registry.py`, `fleet.py`.
"""

from __future__ import annotations

import asyncio
import queue
import threading
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
from distributed import Client
from distributed.comm import connect
from msgspec.structs import replace

from cellmesh.scheduler.engines.contract import EngineError, Lives, SessionSpec
from cellmesh.scheduler.engines.dask.between.keys import session_of
from cellmesh.scheduler.engines.dask.between.lodge import LIVES, NEWS, Found, Wanted
from cellmesh.scheduler.engines.dask.scheduler.registry import Registry
from cellmesh.scheduler.engines.far_actors import unreached
from cellmesh.scheduler.wire.actors import ActorAnswer, ActorInfo, Recipe, StartActor
from cellmesh.scheduler.wire.messages import Interpreter, Payload

from .fleet import Fleet
from .host import Host
from .told import Told

AGAIN_SECONDS = 0.5
CLOSE_SECONDS = 5.0

_read = msgspec.msgpack.Decoder(Found).decode


class FleetLives(Lives):
    """Of one session. `place` is where checkpoints are kept, "" if with the hosts."""

    def __init__(
        self,
        client: Client,
        fleet: Fleet,
        told: Told,
        spec: SessionSpec,
        blobs: Callable[[str], Payload],
        place: str = "",
    ) -> None:
        self._client = client
        self._fleet = fleet
        self._told = told
        self._spec = spec
        self._interpreter = spec.interpreter
        self._blobs = blobs
        self._place = place
        self._session = session_of(spec.key)
        self._kernel = uuid.uuid4().hex
        self._news: queue.SimpleQueue[bytes | str | None] = queue.SimpleQueue()
        self._there = threading.Event()
        self._ear: asyncio.Task[None] | None = None
        self._strange: dict[int, Host] = {}  # actors that the registry does not know
        self._known: set[int] = set()  # actors that the registry has told us of
        self._teller = threading.Thread(target=self._tell, name="cellmesh-actors", daemon=True)

    # --- life ---------------------------------------------------------------------------------------

    def open(self) -> None:
        """Be known to the registry. Waits."""
        self._client.register_plugin(Registry())
        self._teller.start()
        self._client.loop.add_callback(self._listen)
        if not self._there.wait(10.0):
            raise EngineError(
                f"Dask's scheduler at {self._client.scheduler.address} tells nothing of actors."
            )
        if self._place:
            self._ask("place", session=self._session, place=self._place)

    def close(self, *, end_session: bool) -> None:
        """Leave: what has no name ends, or all of the session."""
        with suppress(EngineError):
            self._ask("leave", kernel=self._kernel)
            if end_session:
                self.reset("ended with its session")
        if self._client.status != "closed":
            self._client.sync(self._deafen)  # waits, as a client that closes ends no comms of ours
        self._news.put(None)
        if threading.current_thread() is not self._teller:
            self._teller.join(CLOSE_SECONDS)  # it may wait for a host that does not answer

    def set_context(self, interpreter: Interpreter) -> None:
        """Surroundings of what is started from now on."""
        self._interpreter = interpreter

    def reset(self, why: str = "was ended by %mesh reset") -> None:
        """End all of the session."""
        self._ask("reset", session=self._session, why=why)

    # --- what the notebook asks -----------------------------------------------------------------------

    def start(self, wanted: StartActor) -> ActorAnswer:
        """Where one of its name lives already, or else where there is room."""
        kind = self._blobs(wanted.blob)
        assert isinstance(kind, bytes)  # as our objects have no names
        about = Wanted(
            wanted, kind, self._interpreter, self._session, self._spec.name, self._kernel, self._place
        )
        return self._answer(_read(self._ask("start", wanted=msgspec.msgpack.encode(about))))

    def find(self, name: str, actor: int = 0) -> ActorAnswer:
        """By name, or by id."""
        found = _read(self._ask("find", session=self._session, name=name, actor=actor))
        if found.actor is None:
            for host in list(self._fleet.hosts.values()):  # one that a cell there has started
                answer = host.engine.actors.find(name, actor)
                if answer.actor is not None and answer.actor.state != "ended":
                    return replace(answer, actor=host.info_here(answer.actor))
        return self._answer(found)

    def all(self) -> list[ActorInfo]:
        """Those of the session, and the detached ones."""
        data = self._ask("all", session=self._session)
        return [
            self._here(each.actor, each.worker)
            for each in msgspec.msgpack.decode(data, type=list[Found])
            if each.actor is not None
        ]

    def end(self, actor: int, why: str) -> None:
        """It is not wanted any more."""
        if (host := self._strange.get(actor)) is not None:
            host.engine.actors.end(actor, why)
        else:
            self._post("end", actor, why=why)

    def follow(self, actor: int, follow: bool = True) -> None:
        """Be told of its changes, or no more."""
        self._post("follow", actor, session=self._session, follow=follow)

    def renew(self, actor: int, blob: str, same: str) -> None:
        """Its class was reloaded."""
        self._ask("renew", actor=actor, kind=self._blobs(blob), blob=blob, same=same)

    def abroad(self, info: ActorInfo) -> ActorInfo:
        return unreached(info)

    def recipe(self, actor: int) -> Recipe:
        """What it was started with."""
        data = self._ask("recipe", actor=actor)
        if data is None:
            return Recipe(0, None)
        start, kind = msgspec.msgpack.decode(data, type=tuple[StartActor, bytes])
        return Recipe(0, start, kind)

    def home(self, actor: int) -> Path:
        """On its host, not here."""
        raise EngineError(
            "Actors on a Dask cluster are kept by their checkpoints, on other hosts: "
            "cm.connect('dask', ..., checkpoints=...) names where. %mesh save is for one machine."
        )

    def _answer(self, found: Found) -> ActorAnswer:
        info = None if found.actor is None else self._here(found.actor, found.worker)
        return ActorAnswer(0, info, found.why, found.fresh)

    def _ask(self, what: str, **about: Any) -> Any:
        if self._client.status != "running":
            raise EngineError("The Dask cluster cannot be reached.")
        try:
            return self._client.sync(getattr(self._client.scheduler, LIVES), what=what, **about)
        except OSError as error:
            raise EngineError(f"Dask's scheduler does not answer ({error}).") from error

    def _post(self, what: str, actor: int, **about: Any) -> None:
        if self._client.status != "closed":  # Dask's own stream has no public door
            message = {"op": LIVES, "what": what, "actor": actor, **about}
            self._client.loop.add_callback(self._client._send_to_scheduler, message)

    # --- news of the registry -------------------------------------------------------------------------

    async def _listen(self) -> None:
        self._ear = asyncio.current_task()
        while self._client.status in ("running", "connecting"):
            with suppress(OSError):
                args = self._client.security.get_connection_args("client")
                comm = await connect(self._client.scheduler.address, **args)
                try:
                    await comm.write({"op": NEWS, "session": self._session, "kernel": self._kernel})
                    await comm.read()
                    self._there.set()
                    for actor in list(self._known):  # what was told meanwhile
                        self._post("follow", actor, session=self._session, follow=True)
                    while True:
                        self._news.put(await comm.read())
                finally:
                    comm.abort()
            await asyncio.sleep(AGAIN_SECONDS)

    async def _deafen(self) -> None:
        if self._ear is not None:
            self._ear.cancel()
            await asyncio.wait([self._ear])

    def _tell(self) -> None:
        """In a thread of its own: it waits for hosts."""
        while (news := self._news.get()) is not None:
            with self._told as sink:
                if isinstance(news, str):
                    sink.notice(news)
                    sink.flushed()
                    continue
            found = _read(news)
            if found.actor is not None and not found.actor.title:
                found = self._stranger(found)
            if found.actor is not None:
                info = self._here(found.actor, found.worker)
                with self._told as sink:
                    sink.actor(info)
                    sink.flushed()

    def _stranger(self, found: Found) -> Found:
        """The registry does not know it: a cell may have started it, under the hub of its own host."""
        assert found.actor is not None
        for host in list(self._fleet.hosts.values()):
            with suppress(EngineError):
                answer = host.engine.actors.find("", found.actor.id)
                if answer.actor is not None and answer.actor.state != "ended":
                    self._strange[answer.actor.id] = host
                    return Found(answer.actor, host.address)
        return found

    def _here(self, info: ActorInfo, worker: str) -> ActorInfo:
        """An actor as the notebook can reach it."""
        if info.state == "ended":
            self._known.discard(info.id)
            return info
        self._known.add(info.id)
        if info.state != "alive" or not info.address:
            return replace(info, address="")
        try:
            return self._fleet.host(worker).info_here(info)
        except EngineError as error:  # mostly it is just leaving, which the registry will tell
            return replace(info, state="starting", address="", why=str(error))

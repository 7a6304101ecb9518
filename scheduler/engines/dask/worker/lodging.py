"""Actors beside one Dask worker: the registry in Dask's scheduler says which, the hub beside hosts them.

Owns what the worker holds for each of them, the copies of their checkpoints, and that they leave with their
state when the worker does. Never decides who lives where, and never sees a call. In Dask's loop.
Read next: `scheduler/registry.py` (who orders), `pins.py`, `house.py`,
`courier.py`.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import msgspec
from msgspec.structs import replace

from cellmesh.scheduler.engines.contract import EngineError, HubGoneError
from cellmesh.scheduler.engines.dask.between.chores import Chores
from cellmesh.scheduler.engines.dask.between.lodge import LIVES, Copy, Lodge, Moved
from cellmesh.scheduler.wire import folders
from cellmesh.scheduler.wire.actors import MOVED, ActorInfo
from cellmesh.scheduler.worker.host import begun

from .beside import Beside
from .courier import Courier
from .house import House
from .pins import Pins

DRAIN_SECONDS = 40.0
"""So long may actors take to leave with their states."""

ATTEMPTS = 3  # a hub may end between being found and being attached to

ASKED_SECONDS = 5.0
"""So long is waited for the scheduler to ask for them, as the worker closes."""


@dataclass(slots=True, eq=False)
class Lodger:
    """An actor that lives here."""

    order: Lodge
    house: House | None = None
    info: ActorInfo | None = None
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    copying: asyncio.Task[None] | None = None
    copied: float = 0.0  # wall clock of the checkpoint that was copied last
    ended: bool = False


class Lodging:
    """Of one Dask worker."""

    def __init__(self, worker: Any, beside: Beside) -> None:
        self._worker = worker
        self._beside = beside
        self.pins = Pins(worker)
        self._courier = Courier(worker)
        self._lodgers: dict[int, Lodger] = {}
        self._houses: dict[str, House] = {}  # by owner
        self._turn = asyncio.Lock()  # houses open and close one by one
        self._chores = Chores()
        self._host_name = socket.gethostname()
        self._leaving = False
        self._left = asyncio.Event()

    # --- what the registry orders ---------------------------------------------------------------------

    async def take(self, comm: Any, do: str, **about: Any) -> Any:
        """One order; most are answered by news to the scheduler."""
        match do:
            case "host":
                order = msgspec.msgpack.decode(about["order"], type=Lodge)
                return await self._host(order)
            case "end":
                self._chores.run(self._end(**about))
            case "renew":
                lodger = self._lodgers.get(about["actor"])
                if lodger is not None and lodger.house is not None:
                    await asyncio.to_thread(
                        lodger.house.renew, about["actor"], about["kind"], about["blob"], about["same"]
                    )
            case "copy":
                lodger = self._lodgers.get(about["actor"])
                if lodger is not None and lodger.order.serial == about["serial"]:
                    lodger.order, lodger.copied = replace(lodger.order, place=about["place"]), 0.0
                    self._copy_if_due(lodger)
            case "drain":
                await comm.write(msgspec.msgpack.encode(await self._drained()))
                self._left.set()
                return "dont_reply"
            case "keep" | "fetch" | "discard":
                return await self._courier.take(comm, do, **about)
        return None

    async def _host(self, order: Lodge) -> list[str]:
        """Hold what it needs, and start it. Answers what of Dask's tasks cannot run here meanwhile."""
        self._leaving = False  # whoever closes is asked for nothing new: it stays, after all
        lodger = self._lodgers[order.start.actor] = Lodger(order)
        stuck = await self.pins.hold(order.start.actor, order.start.options.gpus)
        self._chores.run(self._begin(lodger))
        return stuck

    async def _begin(self, lodger: Lodger) -> None:
        order = lodger.order
        try:
            if self.pins.lacks():
                self._say(lodger, "waits", why="waiting for a GPU, held by tasks of Dask's")
                await self.pins.until_free()
            async with self._turn:
                if lodger.ended:
                    return
                lodger.house = await self._house(order)
                await self._bring(order, lodger.house)
                why = await asyncio.to_thread(lodger.house.start, order)
        except EngineError as error:
            why = f"could not be placed: {error}"
        if why:
            await self._over(lodger, why)

    async def _house(self, order: Lodge) -> House:
        house = self._houses.get(order.owner)
        for attempt in range(ATTEMPTS, 0, -1):
            if house is not None:
                break
            folder = await asyncio.to_thread(self._beside.started)
            house = House(folder, order.owner, order.owner_name, self._heard_from)
            try:
                await asyncio.to_thread(house.open, self._beside.translated(order.interpreter))
            except HubGoneError:  # it ended with its last session, just now
                house = None
                if attempt == 1:
                    raise
        assert house is not None
        self._houses[order.owner] = house
        return house

    async def _bring(self, order: Lodge, house: House) -> None:
        """Put what it goes on from into its home."""
        home = folders.actor_home(house.data, order.start.actor)
        shutil.rmtree(home, ignore_errors=True)
        if not order.start.lives:
            return
        whole = False
        if order.copy is not None:
            try:
                await self._courier.fetch(order.copy, home)
                whole = order.copy.whole
            except (OSError, EngineError) as error:
                told = f"its last checkpoint could not be reached ({error}): it begins anew"
                self._say(self._lodgers[order.start.actor], "note", text=told)
        if not whole:
            home.mkdir(mode=0o700, parents=True, exist_ok=True)
            begun.unmark(home, order.start.lives + 1)

    async def _end(self, actor: int, serial: int, why: str) -> None:
        lodger = self._lodgers.get(actor)
        if lodger is None or lodger.order.serial != serial or lodger.ended:
            return
        if lodger.info is None or lodger.house is None or lodger.info.state == "ended":
            await self._over(lodger, why)
        else:
            lodger.house.engine.actors.end(actor, why)

    # --- what the hub tells ---------------------------------------------------------------------------

    def _heard_from(self, house: House, info: ActorInfo | str | None) -> None:
        """In the thread of the house."""
        self._worker.loop.add_callback(self._heard, house, info)

    def _heard(self, house: House, info: ActorInfo | str | None) -> None:
        if isinstance(info, str):
            told = {"owner": house.owner, "text": f"{info} (on {self._host_name})"}
            self._worker.batched_send({"op": LIVES, "what": "said", "actor": 0, **told})
            return
        if info is None:  # the hub is gone, and all that lived under it
            for each in [each for each in self._lodgers.values() if each.house is house]:
                self._chores.run(self._lost(each))
            if self._houses.get(house.owner) is house:
                del self._houses[house.owner]
            return
        lodger = self._lodgers.get(info.id)
        if lodger is None or lodger.house is not house or lodger.ended:
            return
        lodger.info = info
        lodger.changed.set()
        if self._leaving:
            return  # the registry has it from `_drained`
        if info.state == "ended":
            self._chores.run(self._over(lodger, "", info))
            return
        self._say(lodger, "state", info=msgspec.msgpack.encode(info), host=self._host_name)
        self._copy_if_due(lodger)

    async def _over(self, lodger: Lodger, why: str, info: ActorInfo | None = None) -> None:
        """It has ended for good, or could not begin."""
        lodger.ended = True
        actor = lodger.order.start.actor
        await self.pins.free(actor)
        if self._lodgers.get(actor) is lodger:
            del self._lodgers[actor]
        self._say(lodger, "over", why=why, info=b"" if info is None else msgspec.msgpack.encode(info))
        async with self._turn:
            house = lodger.house
            if house is None or any(each.house is house for each in self._lodgers.values()):
                return
            if self._houses.get(house.owner) is house:
                del self._houses[house.owner]
                await asyncio.to_thread(house.close)

    async def _lost(self, lodger: Lodger) -> None:
        lodger.ended = True
        await self.pins.free(lodger.order.start.actor)
        self._lodgers.pop(lodger.order.start.actor, None)
        self._say(lodger, "lost")

    def _say(self, lodger: Lodger, what: str, **about: Any) -> None:
        order = lodger.order
        self._worker.batched_send(
            {"op": LIVES, "what": what, "actor": order.start.actor, "serial": order.serial, **about}
        )

    # --- copies ---------------------------------------------------------------------------------------

    def _copy_if_due(self, lodger: Lodger) -> None:
        if lodger.info is not None and lodger.info.saved > lodger.copied and lodger.copying is None:
            lodger.copying = self._chores.run(self._copy(lodger))

    async def _copy(self, lodger: Lodger) -> None:
        """Keep a copy of its checkpoint elsewhere, and of the next, for as long as there are new ones."""
        try:
            while lodger.info is not None and lodger.info.saved > lodger.copied and not self._leaving:
                saved = lodger.info.saved
                lodger.copied = saved
                kept = await self._sent(lodger, saved, alone=True)
                if kept is not None:
                    self._say(lodger, "kept", copy=msgspec.msgpack.encode(kept))
        finally:
            lodger.copying = None

    async def _sent(self, lodger: Lodger, saved: float, *, alone: bool) -> Copy | None:
        """Where its home was sent; None if there is nothing in it, or nobody who would keep it."""
        assert lodger.house is not None
        order = lodger.order
        home = folders.actor_home(lodger.house.data, order.start.actor)
        name = f"{order.start.actor:x}-{order.serial}.tar"
        try:
            return await self._courier.send(home, name, order, saved, alone=alone)
        except (OSError, EngineError) as error:
            self._say(lodger, "note", text=f"its checkpoint could not be copied to another host ({error})")
            return None

    # --- the end --------------------------------------------------------------------------------------

    async def _drained(self) -> list[Moved]:
        """All have left with their states: where these are."""
        self._leaving = True
        return list(await asyncio.gather(*(self._leave(each) for each in list(self._lodgers.values()))))

    async def _leave(self, lodger: Lodger) -> Moved:
        """Told to end, its process writes down its state; what its hub then starts again nobody calls."""
        order, info = lodger.order, lodger.info
        copy: Copy | None = None
        lives = order.start.lives if info is None else info.incarnation
        if info is not None and lodger.house is not None and order.start.options.restarts:
            if info.state == "alive":
                with suppress(ProcessLookupError):
                    os.kill(info.pid, signal.SIGTERM)
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._gone(lodger, info.incarnation), DRAIN_SECONDS)
            if lodger.copying is not None:
                await lodger.copying
            assert lodger.info is not None
            copy = await self._sent(lodger, lodger.info.saved, alone=False)
            lodger.house.engine.actors.end(order.start.actor, MOVED)
        lodger.ended = True
        await self.pins.free(order.start.actor)
        self._lodgers.pop(order.start.actor, None)
        return Moved(order.start.actor, order.serial, lives, copy)

    async def _gone(self, lodger: Lodger, incarnation: int) -> None:
        while True:
            info = lodger.info
            if info is None or info.state in ("restarting", "ended") or info.incarnation != incarnation:
                return
            lodger.changed.clear()
            await lodger.changed.wait()

    async def close(self) -> None:
        """The Dask worker closes: the registry, which hears of that, asks for what lives here first."""
        if (self._lodgers or self._leaving) and not self._left.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(self._left.wait(), DRAIN_SECONDS if self._leaving else ASKED_SECONDS)
        await self._chores.end()
        houses = list(self._houses.values())
        self._houses.clear()
        await asyncio.gather(*(asyncio.to_thread(house.close) for house in houses))
        await asyncio.to_thread(self._courier.close)

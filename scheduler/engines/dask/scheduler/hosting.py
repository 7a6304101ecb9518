"""What the registry of a cluster tells Dask workers: host this actor, end it, let it leave with its state.

Owns what each worker has left for actors, who waits for a host, and where copies of checkpoints are. In the
loop of Dask's scheduler. Read next: `placing.py`, `worker/lodging.py` (the workers' end).
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec
from distributed.comm import connect
from msgspec.structs import replace

from cellmesh.scheduler.engines.dask.between.chores import Chores
from cellmesh.scheduler.engines.dask.between.lodge import HELD, Lodge, Moved
from cellmesh.scheduler.engines.dask.between.orders import OP

from . import placing, vacancies
from .known import Actor
from .placing import Room
from .stores import Stores

if TYPE_CHECKING:
    from .registry import Registry

HOST_SECONDS = 10.0
"""So long may a worker that has just come be without our plugin."""

AGAIN_SECONDS = 0.2

ANSWER_SECONDS = 1.0
"""So long is a worker tried that may be gone."""

DRAIN_SECONDS = 60.0


class Hosting:
    """Of one registry."""

    def __init__(self, scheduler: Any, registry: Registry) -> None:
        self._scheduler = scheduler
        self._registry = registry
        self._closing: set[str] = set()  # workers
        self._chores = Chores()
        self.stores = Stores(
            scheduler, registry.book, self._closing, lambda *order: self._chores.run(self._told(*order))
        )

    # --- room -----------------------------------------------------------------------------------------

    def rooms(self) -> list[Room]:
        """The workers that there are, and what is left of them."""
        return vacancies.found(self._scheduler.workers, self._registry.book, self._closing)

    def serve(self) -> None:
        """Give hosts to those that wait, as far as there is room."""
        book = self._registry.book
        for actor in [book.living[each] for each in book.homeless]:
            rooms = self.rooms()
            near = actor.copy.address if actor.copy is not None else ""
            room = placing.choose(
                [r for r in rooms if r.address not in actor.avoided], actor.start.options, near
            )
            if room is not None:
                del book.homeless[actor.id]
                self._place(actor, room.address)
                continue
            if actor.avoided and all(
                r.address in actor.avoided for r in rooms if placing.fits_ever(r, actor.start.options)
            ):
                self._registry.ended(actor, f"could not be placed: {'; '.join(actor.avoided.values())}")
                continue
            holders = sorted(
                {other.label for other in book.living.values() if other.worker and other is not actor}
            )
            why = placing.missing(rooms, actor.start.options, holders)
            if why != actor.info.why:
                state = "restarting" if actor.serial else "waiting"
                self._registry.change(
                    actor, replace(actor.info, state=state, why=why, address="", pid=0, gpus=[])
                )

    def _place(self, actor: Actor, address: str) -> None:
        actor.worker, actor.pinned, actor.leaves = address, False, False
        actor.serial += 1
        actor.hosting = self._chores.run(self._host(actor, address, actor.serial))

    async def _host(self, actor: Actor, address: str, serial: int) -> None:
        wanted = actor.wanted
        start = replace(actor.start, lives=actor.lives, deaths=actor.deaths, replace=False)
        order = Lodge(
            start,
            actor.kind,
            wanted.interpreter,
            actor.owner,
            wanted.session_name,
            serial,
            wanted.place,
            actor.copy,
        )
        data, end = msgspec.msgpack.encode(order), time.monotonic() + HOST_SECONDS
        while True:
            try:
                stuck = await self._call(address, "host", order=data)
                break
            except Exception as error:  # noqa: BLE001 - whatever happened there, it is not hosted there
                if actor.serial != serial or actor.why_ends:
                    return
                if address not in self._scheduler.workers or time.monotonic() > end:
                    self._refused(actor, address, str(error) or type(error).__name__)
                    return
            await asyncio.sleep(AGAIN_SECONDS)
        if actor.serial == serial:
            actor.pinned = True
            self._declare(address)
        for key in stuck:  # Dask sent them there before it knew
            self._scheduler._reschedule(key, address, stimulus_id=f"cellmesh-{uuid.uuid4().hex}")
        self.serve()

    def _refused(self, actor: Actor, address: str, why: str) -> None:
        if address in self._scheduler.workers:
            actor.avoided[address] = f"{address} {why}"
        actor.worker = ""
        self._registry.book.homeless[actor.id] = None
        self.serve()

    def _declare(self, address: str) -> None:
        ws = self._scheduler.workers.get(address)
        if ws is not None:
            held = [a.start.options.gpus for a in self._registry.book.at(address) if a.pinned]
            ws.extra[HELD] = round(sum(held), 3)

    # --- orders ---------------------------------------------------------------------------------------

    def order(self, actor: Actor, do: str, **about: Any) -> None:
        """Have its host do this; one that is gone has nothing to do."""
        if actor.worker:
            about.update(actor=actor.id, serial=actor.serial)
            self._chores.run(self._order(actor.hosting, actor.worker, do, about))

    async def _order(
        self, after: asyncio.Task[None] | None, address: str, do: str, about: dict[str, Any]
    ) -> None:
        if after is not None:
            await asyncio.wait([after])
        await self._told(address, do, about)

    async def _told(self, address: str, do: str, about: dict[str, Any]) -> None:
        try:
            await self._call(address, do, **about)
        except OSError:
            pass  # it is gone; that is noticed, and told

    async def _call(self, address: str, do: str, **about: Any) -> Any:
        return await getattr(self._scheduler.rpc(address), OP)(what="lodge", do=do, **about)

    def place(self, session: str, place: str) -> None:
        """This is where checkpoints of this session's actors are kept, the present ones too."""
        for actor in self.stores.moves(session, place):
            self.order(actor, "copy", place=place)

    # --- ends -----------------------------------------------------------------------------------------

    def left(self, actor: Actor) -> None:
        """It lives no more."""
        self.stores.discard(actor.copy)
        if actor.worker:
            self._declare(actor.worker)
            self._wake_tasks(actor.worker)
        self.serve()

    def _wake_tasks(self, address: str) -> None:
        """Tasks of Dask's that waited for what an actor has held: it does not look by itself."""
        ws = self._scheduler.workers.get(address)
        if ws is not None and ws in self._scheduler.running:
            found = self._scheduler.bulk_schedule_unrunnable_after_adding_worker(ws)
            self._scheduler.transitions(found, f"cellmesh-{uuid.uuid4().hex}")

    def worker_gone(self, address: str) -> None:
        """With all that was beside it."""
        self._closing.discard(address)
        for actor in self.stores.lost(address):
            self.order(actor, "copy", place=actor.wanted.place)
        gone = [actor for actor in self._registry.book.at(address) if not actor.leaves]
        self._part(address, gone, f"is gone (the Dask worker at {address})")
        self.serve()

    def lost(self, actor: Actor, why: str) -> None:
        """Its process went with its host, or its hub."""
        if actor.info.incarnation <= actor.lives and not actor.why_ends:
            self._again(actor, actor.lives, why)  # it has not begun there
            return
        used = max(0, actor.info.incarnation - actor.lives - 1)
        actor.deaths += used + 1
        restarts = actor.start.options.restarts
        if actor.why_ends or actor.deaths > restarts:
            self._registry.ended(actor, actor.why_ends or f"was lost: {why}")
            return
        told = f"{why}; it restarts on another ({restarts - actor.deaths} more of its restarts left)"
        if actor.copy is None:
            told += f", anew: {actor.why_anew}"
        self._registry.notice(actor, told)
        self._again(actor, actor.info.incarnation, why)

    def _again(self, actor: Actor, lives: int, why: str) -> None:
        actor.lives = lives
        actor.worker, actor.pinned = "", False
        actor.avoided.clear()
        book = self._registry.book
        book.homeless.pop(actor.id, None)
        book.homeless = {actor.id: None, **book.homeless}
        self._registry.change(
            actor, replace(actor.info, state="restarting", address="", pid=0, gpus=[], why=why)
        )
        self.serve()

    # --- workers that close ---------------------------------------------------------------------------

    def worker_changes(self, address: str, status: str) -> None:
        """A worker begins to close, or does not after all."""
        if status == "running":
            self._closing.discard(address)
        elif status in ("closing", "closing_gracefully") and address not in self._closing:
            if address not in self._scheduler.workers:
                return
            self._closing.add(address)
            self._part(address, self._registry.book.at(address), "closes")

    def _part(self, address: str, leaving: Sequence[Actor], why: str) -> None:
        """They live there no longer. Who only told nobody that he closes is there yet, and is asked, too."""
        for actor in leaving:
            actor.leaves = True
            told = f"its host {actor.info.host or address} {why}"
            self._registry.change(actor, replace(actor.info, state="restarting", address="", why=told))
        if leaving:
            self._chores.run(self._parted(address, {actor.id: actor for actor in leaving}))

    async def _parted(self, address: str, leaving: dict[int, Actor]) -> None:
        try:
            comm = await connect(address, timeout=ANSWER_SECONDS, **self._scheduler.connection_args)
            try:
                await comm.write({"op": OP, "what": "lodge", "do": "drain"})
                data = await asyncio.wait_for(comm.read(), DRAIN_SECONDS)
            finally:
                comm.abort()
            for moved in msgspec.msgpack.decode(data, type=list[Moved]):
                actor = leaving.get(moved.actor)
                if actor is not None and actor.serial == moved.serial:
                    del leaving[moved.actor]
                    self._moved(actor, moved)
        except (OSError, TimeoutError, msgspec.MsgspecError):
            pass  # it is gone already
        for actor in leaving.values():
            if actor.worker == address and actor.id in self._registry.book.living:
                host = actor.info.host or address
                self.lost(actor, f"its host {host} is gone (the Dask worker at {address})")

    def _moved(self, actor: Actor, moved: Moved) -> None:
        host = actor.info.host or actor.worker
        if actor.why_ends or not actor.start.options.restarts:
            self._registry.ended(actor, actor.why_ends or f"was lost, as its host {host} was closed")
            return
        actor.deaths += max(0, actor.info.incarnation - actor.lives - 1)
        if moved.copy is not None:
            self.stores.kept(actor, moved.copy)
        self._registry.notice(actor, f"its host {host} closes; it goes on elsewhere")
        self._again(actor, moved.lives, f"its host {host} closes")

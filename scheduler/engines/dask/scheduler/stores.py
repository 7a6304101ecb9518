"""Where the copies of actors' checkpoints are, and who is to keep the next one.

Owns the choice, and that a copy goes when there is a later one, or nobody needs it. Never sees a copy. In the
loop of Dask's scheduler. Read next: `hosting.py`, `worker/courier.py` (the workers' end).
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from msgspec.structs import replace

from cellmesh.scheduler.engines.dask.between.lodge import Copy

from .known import Actor, Book


class Stores:
    """Of one scheduler. `order` tells a Dask worker something."""

    def __init__(
        self,
        scheduler: Any,
        book: Book,
        closing: Collection[str],
        order: Callable[[str, str, dict[str, Any]], object],
    ) -> None:
        self._scheduler = scheduler
        self._book = book
        self._closing = closing
        self._order = order

    def keeper(self, actor_id: int) -> str:
        """The address of who is to keep a copy of its checkpoint, best on another machine; "": nobody."""
        actor = self._book.living.get(actor_id)
        if actor is None:
            return ""
        workers = self._scheduler.workers
        others = [each for each in workers if each != actor.worker and each not in self._closing]
        if actor.copy is not None and actor.copy.address in others:
            return actor.copy.address
        own = workers.get(actor.worker)
        host = own.host if own is not None else ""
        kept = [each.copy.address for each in self._book.living.values() if each.copy is not None]
        return min(others, key=lambda each: (workers[each].host == host, kept.count(each)), default="")

    def kept(self, actor: Actor, copy: Copy) -> None:
        """This is the latest."""
        before, actor.copy = actor.copy, copy
        if before is not None and replace(before, saved=copy.saved, whole=copy.whole) != copy:
            self.discard(before)

    def moves(self, session: str, place: str) -> list[Actor]:
        """Those of this session are kept in this place from now on: the actors that were not."""
        moving = [
            actor
            for actor in self._book.living.values()
            if actor.wanted.session == session and actor.wanted.place != place
        ]
        for actor in moving:
            actor.wanted = replace(actor.wanted, place=place)
        return moving

    def discard(self, copy: Copy | None) -> None:
        """Nobody needs it."""
        if copy is None:
            return
        address = copy.address or next(iter(self._scheduler.workers), "")
        if address in self._scheduler.workers:
            self._order(address, "discard", {"place": copy.place, "name": copy.name})

    def lost(self, address: str) -> list[Actor]:
        """A Dask worker is gone with what it kept: the actors that need another copy."""
        bereft = [
            actor
            for actor in self._book.living.values()
            if actor.copy is not None and actor.copy.address == address
        ]
        for actor in bereft:
            actor.copy = None
        return bereft

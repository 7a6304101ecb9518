"""Segments that nobody needs any more: handed back to who made them, or unlinked.

Owns which of the two, how long a maker may keep what it does not write again, and the one line to a session
whose objects go to disk. Never decides when: `store.py` does, for the core and the clients. A maker that
lives writes its memory again (`Freed`); what a dead one made, and what cannot be written again, is unlinked.
Nothing is lost when a maker dies with the word on its way: what it made is swept up by its prefix.
Read next: `store.py`, `../objects/makers.py`.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from cellmesh.scheduler.core.ids import ClientId, JobId, SessionId
from cellmesh.scheduler.objects import segments
from cellmesh.scheduler.wire import folders, messages as msg, system

from .store import Bequest

if TYPE_CHECKING:
    from .hub import Hub
    from .kernels import Client

KEPT_SECONDS = 10.0
"""A maker that was handed nothing back for so long is told to keep nothing."""


class Freeing:
    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._prefix = folders.segment_prefix(hub.name)
        self._gathered: dict[bytes, list[str]] = {}  # by maker
        self._keeping: dict[bytes, float] = {}  # makers, and until when they may; the soonest is first

    def free(self, name: str) -> None:
        """Nobody needs this segment."""
        maker = None
        if segments.has_mark(name, segments.RECYCLABLE) and not self._hub.orders.replaying:
            maker = self._maker(name.removeprefix(self._prefix).partition("-")[0])
        if maker is None:
            segments.unlink(name)
        else:
            self._gathered.setdefault(maker, []).append(name)

    def flush(self, now: float) -> None:
        """Tell the makers, once for a burst."""
        for maker, names in self._gathered.items():
            self._keeping.pop(maker, None)
            if self._hub.peers.send(maker, msg.Freed(names)):
                self._keeping[maker] = now + KEPT_SECONDS
            else:
                for name in names:  # it died meanwhile
                    segments.unlink(name)
        self._gathered.clear()
        while (soonest := self.next()) is not None and soonest <= now:
            maker = next(iter(self._keeping))
            del self._keeping[maker]
            self._hub.peers.send(maker, msg.Freed([]))

    def next(self) -> float | None:
        """When a maker may keep nothing any more."""
        return next(iter(self._keeping.values()), None)

    def recovered(self, now: float) -> None:
        """Which makers keep something is not known any more: any may."""
        makers = [client.identity for client in self._hub.clients.by_id.values()]
        makers += [b"w%d" % worker for worker in self._hub.core.state.workers]
        self._keeping = dict.fromkeys(makers, now + KEPT_SECONDS)

    def bequeath(self, client: Client) -> None:
        """The client is gone: what it had put is its unfinished jobs' now, and goes with the last of them."""
        record = self._hub.store.sessions.get(client.session)
        if record is None:
            return
        prefix = self._hub.orders.client_prefix(client.id)
        names = [name for name in record.objects if name.startswith(prefix)]
        if not names:
            return
        record.objects.difference_update(names)
        heirs = set(self._hub.store.taken_by(client.id))
        record.bequests.append(Bequest(names, heirs))
        jobs = self._hub.core.state.jobs
        self.part(client.session, {job for job in heirs if job not in jobs or jobs[job].finished})

    def part(self, session: SessionId, jobs: set[JobId]) -> None:
        """These jobs of the session are over: free what none is left to need."""
        record = self._hub.store.sessions.get(session)
        if record is None or not record.bequests:
            return
        for bequest in record.bequests:
            bequest.heirs -= jobs
            if not bequest.heirs:
                for name in bequest.names:
                    self.free(name)
        record.bequests = [bequest for bequest in record.bequests if bequest.heirs]

    def look(self, session: SessionId, ref: msg.Ref) -> None:
        """Tell the session, once, if this does not lie in memory."""
        if not segments.has_mark(ref.name, segments.ON_DISK):
            return
        record = self._hub.store.sessions.get(session)
        if record is None or record.told_of_disk:
            return
        record.told_of_disk = True
        folder = system.shared_memory_folder()
        state = os.statvfs(folder)
        self._hub.orders.to_session(
            session,
            msg.Notice(
                f"Large objects do not all fit into shared memory ({folder} has "
                f"{state.f_blocks * state.f_frsize / 1e9:.1f} GB; CELLMESH_STORE_LIMIT sets how much of it "
                f"is used): some are files in {self._hub.orders.spill} now, which is slower. "
                "In a container, give it more: docker run --shm-size=4g."
            ),
            self._hub,
        )

    def _maker(self, who: str) -> bytes | None:
        """The identity of the living maker that a name tells of."""
        if who.startswith("c"):
            client = self._hub.clients.by_id.get(ClientId(who[1:]))
            return None if client is None else client.identity
        identity = who.encode()
        return None if self._hub.peers.get(identity) is None else identity

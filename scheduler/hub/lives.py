"""What the hub keeps of actors and the core must not see: classes, arguments, addresses, who follows them.

Owns these records, and a few of those that have ended, so that a call on one can be told when and why. Never
decides about lives: the core does. Read next: `actors.py` (what is asked and told), `../core/actors.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from cellmesh.scheduler.core.ids import ActorId, ClientId, SessionId
from cellmesh.scheduler.wire.messages import ActorInfo, Payload, StartActor

from .store import Store

REMEMBERED = 200
"""So many actors that have ended are remembered, of all sessions."""


@dataclass(slots=True)
class Life:
    """All that a process needs to be the actor, and who wants to know of it."""

    start: StartActor
    session: SessionId  # whose it is
    kind: Payload  # the pickled class
    context: str  # digest of the surroundings to run under
    surroundings: Payload
    template: str  # digest of the template that its processes are forked from
    starter: str
    opened: float  # wall clock
    home: str  # folder that outlives its processes
    followers: set[ClientId] = field(default_factory=set)
    incarnation: int = 0  # that has come up last, or could not
    address: str = ""
    opener: ClientId | None = None  # the task's process that it ends with: nobody else refers to it
    failure: bytes = b""  # why it could not be made
    last_words: str = ""  # of its last process, for people
    saved: float = 0.0  # wall clock of its last checkpoint


class Lives:
    def __init__(self, store: Store) -> None:
        self._store = store
        self.kept: dict[ActorId, Life] = {}
        self.ended: dict[ActorId, ActorInfo] = {}  # the longest ended first

    def add(self, actor: ActorId, life: Life) -> None:
        """Keep it, and what it needs."""
        self.kept[actor] = life
        for payload in (life.kind, life.surroundings, life.start.payload):
            self._store.pin(payload)
        self._store.release(life.start.payload)  # nobody else has it: it goes with the actor

    def drop(self, actor: ActorId) -> None:
        """It will have no other process."""
        life = self.kept.pop(actor, None)
        if life is not None:
            for payload in (life.kind, life.surroundings, life.start.payload):
                self._store.unpin(payload)

    def renew(self, actor: ActorId, kind: Payload, blob: str, same: str) -> None:
        """From now on it is started with this class."""
        life = self.kept[actor]
        self._store.pin(kind)
        self._store.unpin(life.kind)
        life.kind = kind
        life.start = msgspec.structs.replace(life.start, blob=blob, same=same)

    def end(self, actor: ActorId, info: ActorInfo) -> None:
        """Remember how it ended."""
        self.ended[actor] = info
        if len(self.ended) > REMEMBERED:
            del self.ended[next(iter(self.ended))]

    def forget_session(self, session: SessionId) -> None:
        """Nobody is left who would ask."""
        for actor in [actor for actor, info in self.ended.items() if info.session == session]:
            del self.ended[actor]

    def opened_by(self, client: ClientId) -> list[ActorId]:
        """Those to which nobody else refers."""
        return [actor for actor, life in self.kept.items() if life.opener == client]

    def unfollow(self, client: ClientId) -> None:
        """The client is gone."""
        for life in self.kept.values():
            life.followers.discard(client)

    def templates(self) -> set[str]:
        """Those that restarts will need."""
        return {life.template for life in self.kept.values()}

    def restore(self, kept: dict[ActorId, Life], ended: dict[ActorId, ActorInfo]) -> None:
        """Go on from there, when the sessions are there."""
        for actor, life in kept.items():
            self.add(actor, life)
            for payload in (life.kind, life.surroundings):
                if not self._store.has_blob(payload):
                    self._store.release(payload)  # its session let it go before
        self.ended = ended

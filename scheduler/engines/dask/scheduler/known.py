"""What the registry of a cluster knows of its actors.

Owns the records, and names. Never decides. Read next: `registry.py`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from cellmesh.scheduler.engines.dask.between.lodge import Copy, Wanted
from cellmesh.scheduler.wire.actors import ActorInfo, StartActor

DETACHED = "*detached*"
"""Who owns actors that outlive their sessions."""

REMEMBERED = 200
"""So many actors that have ended are remembered."""


@dataclass(slots=True, eq=False)
class Actor:
    """One that lives, or waits for a host."""

    wanted: Wanted
    owner: str
    info: ActorInfo  # as notebooks are told
    start: StartActor = field(init=False)
    kind: bytes = field(init=False)  # its class, as it was started or reloaded last
    followers: set[str] = field(init=False)  # sessions
    worker: str = ""  # the Dask worker beside which it lives
    serial: int = 0  # of its hosts so far
    pinned: bool = False  # what it holds is taken off what the worker declares
    hosting: asyncio.Task[None] | None = None  # while the worker is told
    lives: int = 0  # processes that it had on earlier hosts
    deaths: int = 0  # of its processes there
    copy: Copy | None = None
    why_ends: str = ""  # once its end is asked for
    leaves: bool = False  # its host closes
    avoided: dict[str, str] = field(default_factory=dict)  # workers that would not have it, and why

    def __post_init__(self) -> None:
        self.start = self.wanted.start
        self.kind = self.wanted.kind
        self.followers = {self.wanted.session}

    @property
    def id(self) -> int:
        return self.start.actor

    @property
    def label(self) -> str:
        """How people call it."""
        return f"actor {self.start.name}" if self.start.name else f"an actor of class {self.start.title}"

    @property
    def why_anew(self) -> str:
        """Why it has no copy to go on from."""
        if not self.info.saved:
            return "it had no checkpoint yet"
        if self.wanted.place:
            return f"its checkpoint has not reached {self.wanted.place}"
        return (
            "no copy of its checkpoint is left. cm.connect('dask', ..., checkpoints=...) names a folder or "
            "URL that all hosts reach, for the next ones"
        )


def blank(wanted: Wanted, owner: str) -> ActorInfo:
    """How one is that has no host yet."""
    start = wanted.start
    return ActorInfo(
        id=start.actor,
        name=start.name,
        title=start.title,
        session=owner,
        state="waiting",
        starter=wanted.session_name,
        cell=start.cell,
        opened=time.time(),
        options=start.options,
        same=start.same,
    )


class Book:
    """All of a cluster."""

    def __init__(self) -> None:
        self.living: dict[int, Actor] = {}
        self.homeless: dict[
            int, None
        ] = {}  # of these, those that wait for a host, in the order of their turns
        self.ended: dict[int, ActorInfo] = {}  # the longest ended first
        self._names: dict[tuple[str, str], int] = {}

    def add(self, actor: Actor) -> None:
        """It lives."""
        self.living[actor.id] = actor
        self.homeless[actor.id] = None
        if actor.start.name:
            self._names[actor.owner, actor.start.name] = actor.id

    def named(self, owner: str, name: str) -> Actor | None:
        """Who has this name."""
        return self.living.get(self._names.get((owner, name), 0)) if name else None

    def names(self, session: str) -> Iterator[str]:
        """That this session finds."""
        return (name for owner, name in self._names if owner in (session, DETACHED))

    def free_name(self, actor: Actor) -> None:
        """Another may have it from now on."""
        if self._names.get((actor.owner, actor.start.name)) == actor.id:
            del self._names[actor.owner, actor.start.name]

    def end(self, actor: Actor, info: ActorInfo) -> None:
        """It lives no more."""
        self.free_name(actor)
        self.living.pop(actor.id, None)
        self.homeless.pop(actor.id, None)
        self.ended[actor.id] = info
        if len(self.ended) > REMEMBERED:
            del self.ended[next(iter(self.ended))]

    def gone(self, actor: int) -> ActorInfo:
        """How one has ended, as far as that is known."""
        unknown = ActorInfo(actor, "", "", "", "ended", why="is not known any more: its session ended")
        return self.ended.get(actor, unknown)

    def at(self, worker: str) -> list[Actor]:
        """Those beside this Dask worker."""
        return [actor for actor in self.living.values() if actor.worker == worker]

    def of_kernel(self, kernel: str) -> list[Actor]:
        """Those that end with this kernel."""
        own = [actor for actor in self.living.values() if actor.wanted.kernel == kernel]
        return [actor for actor in own if not (actor.start.name or actor.start.options.detached)]

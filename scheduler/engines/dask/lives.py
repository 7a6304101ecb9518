"""Actors on a Dask cluster: each lives beside one Dask worker, under the hub there.

Owns on which host an actor is, and who is asked about a name. Never sees a call: these go through the
host's mirror to the actor's own socket. Read next: `fleet.py`, `../embedded_actors.py`.
"""

from __future__ import annotations

from pathlib import Path

from msgspec.structs import replace

from cellmesh.scheduler.core.actors import nobody
from cellmesh.scheduler.engines.contract import Lives
from cellmesh.scheduler.wire.actors import ActorAnswer, ActorInfo, Recipe, StartActor

from .fleet import NO_WORKERS, Fleet
from .host import Host
from .roll import Member


class FleetLives(Lives):
    """Of one session."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._homes: dict[int, Host] = {}  # actors that we know, by id

    def start(self, wanted: StartActor) -> ActorAnswer:
        """Where one of its name lives already, or else where there is most room."""
        host = self._named(wanted.name) if wanted.name else None
        if host is None:
            host, why = self._place(wanted)
            if host is None:
                return ActorAnswer(wanted.request, None, why)
        self._fleet.bring(host, wanted.blob)
        answer = host.engine.actors.start(wanted)
        return self._known(host, answer)

    def find(self, name: str, actor: int = 0) -> ActorAnswer:
        """By name, or by id."""
        answers = []
        for host in list(self._fleet.hosts.values()):
            answer = host.engine.actors.find(name, actor)
            if answer.actor is not None and answer.actor.state != "ended":
                return self._known(host, answer)
            answers.append((answer.actor is not None, answer, host))
        if not answers:
            return ActorAnswer(0, None, nobody(name, ()))
        _, answer, host = max(answers, key=lambda each: each[0])  # who knows how it ended knows best
        return self._known(host, answer)

    def all(self) -> list[ActorInfo]:
        """Of all hosts."""
        return [
            host.info_here(info)
            for host in list(self._fleet.hosts.values())
            for info in host.engine.actors.all()
        ]

    def end(self, actor: int, why: str) -> None:
        """It is not wanted any more."""
        if (host := self._homes.get(actor)) is not None:
            host.engine.actors.end(actor, why)

    def follow(self, actor: int, follow: bool = True) -> None:
        """Be told of its changes, or no more."""
        host = self._homes.get(actor)
        if host is None:
            self.find("", actor)
            host = self._homes.get(actor)
        if host is not None:
            host.engine.actors.follow(actor, follow)

    def renew(self, actor: int, blob: str, same: str) -> None:
        """Its class was reloaded."""
        if (host := self._homes.get(actor)) is not None:
            self._fleet.bring(host, blob)
            host.engine.actors.renew(actor, blob, same)

    def recipe(self, actor: int) -> Recipe:
        """What it was started with."""
        return self._homes[actor].engine.actors.recipe(actor)

    def home(self, actor: int) -> Path:
        """On its host, not here."""
        return self._homes[actor].engine.actors.home(actor)

    def _named(self, name: str) -> Host | None:
        actor = self.find(name).actor
        return None if actor is None or actor.state == "ended" else self._homes[actor.id]

    def _known(self, host: Host, answer: ActorAnswer) -> ActorAnswer:
        if answer.actor is None:
            return answer
        self._homes[answer.actor.id] = host
        host.actors.setdefault(answer.actor.id, answer.actor)
        return replace(answer, actor=host.info_here(answer.actor))

    def _place(self, wanted: StartActor) -> tuple[Host | None, str]:
        """The host with the fewest actors for its threads that could ever have it."""
        members = self._fleet.members()
        if not members:
            return None, NO_WORKERS
        fit = [member for member in members if _fits(member, wanted)]
        if not fit:
            return None, f"needs {wanted.options.cpus:g} cores; no Dask worker has so many threads"
        has = [host.address for host in self._homes.values()]
        best = min(fit, key=lambda member: (has.count(member.address) + 1) / member.threads)
        return self._fleet.host(best.address), ""


def _fits(member: Member, wanted: StartActor) -> bool:
    return wanted.options.cpus <= member.threads

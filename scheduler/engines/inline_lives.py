"""The lives of the actors of the inline engine: who lives, and how the last ones ended.

Owns the living ones, and a few words on those that have ended, so that a call on one can be told why. Never
restarts anything. Read next: `inline_actor.py`, `inline.py`.
"""

from collections.abc import Callable, Mapping

import msgspec

from cellmesh.scheduler.core.actors import nobody, taken
from cellmesh.scheduler.wire.actors import ActorAnswer, ActorInfo, StartActor
from cellmesh.scheduler.wire.messages import Payload

from .contract import Lives
from .inline_actor import InlineActor

REMEMBERED = 200
"""So many actors that have ended are remembered."""


class InlineLives(Lives):
    """All of an engine."""

    def __init__(self, tell: Callable[[ActorInfo], None], blobs: Mapping[str, Payload]) -> None:
        self._tell = tell
        self._blobs = blobs
        self._living: dict[int, InlineActor] = {}
        self._ended: dict[int, ActorInfo] = {}  # the longest ended first

    def start(self, wanted: StartActor) -> ActorAnswer:
        """Make one, or find the living one of its name."""
        if wanted.options.gpus:
            why = "The inline engine has no GPUs: everything runs in this process. cm.connect('embedded')"
            return ActorAnswer(wanted.request, None, why)
        living = self._named(wanted.name)
        if living is not None and not wanted.replace:
            if living.wanted.same == wanted.same:
                return ActorAnswer(wanted.request, living.info)
            return ActorAnswer(wanted.request, None, taken(wanted.name))
        if living is not None:
            self.end(living.info.id, "was replaced")
        made = InlineActor(wanted, self._blobs[wanted.blob])
        if made.info.state == "ended":
            self._remember(made.info)
        else:
            self._living[wanted.actor] = made
        return ActorAnswer(wanted.request, made.info, fresh=True)

    def find(self, name: str, actor: int = 0) -> ActorAnswer:
        """By name, or by id."""
        found = self._named(name) if name else self._living.get(actor)
        if found is not None:
            return ActorAnswer(0, found.info)
        if not name and actor in self._ended:
            return ActorAnswer(0, self._ended[actor])
        before = [info for info in self._ended.values() if name and info.name == name]
        if before:
            return ActorAnswer(0, None, f'The actor "{name}" {before[-1].why}')
        return ActorAnswer(0, None, nobody(name, (info.name for info in self.all() if info.name)))

    def all(self) -> list[ActorInfo]:
        """Those that live."""
        return [one.info for one in self._living.values()]

    def end(self, actor: int, why: str) -> None:
        """It is not wanted any more."""
        found = self._living.pop(actor, None)
        if found is not None:
            self._remember(found.end(why))
            self._tell(found.info)

    def renew(self, actor: int, blob: str, same: str) -> None:
        """Named starts compare with this from now on."""
        found = self._living.get(actor)
        if found is not None:
            found.wanted = msgspec.structs.replace(found.wanted, same=same)
            found.info = msgspec.structs.replace(found.info, same=same)

    def follow(self, actor: int, follow: bool = True) -> None:
        """There is one client, and it is told of all."""
        found = self.find("", actor).actor
        if follow and found is not None:
            self._tell(found)

    def local(self, actor: int) -> InlineActor | None:
        return self._living.get(actor)

    def reset(self) -> None:
        """End all, and say so."""
        for actor in list(self._living):
            self.end(actor, "was ended by %mesh reset")

    def close(self) -> None:
        """End all; nobody listens any more."""
        for one in self._living.values():
            one.end("ended as its notebook left the inline engine")
        self._living.clear()
        self._ended.clear()

    def _remember(self, info: ActorInfo) -> None:
        self._ended[info.id] = info
        if len(self._ended) > REMEMBERED:
            del self._ended[next(iter(self._ended))]

    def _named(self, name: str) -> InlineActor | None:
        return next((one for one in self._living.values() if name and one.info.name == name), None)

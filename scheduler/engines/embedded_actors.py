"""The embedded engine's client side of actors' lives: questions and words to the hub.

Owns what each of them is called, and which actors are followed: a hub that was killed may have taken word of
them with it, so the next one is asked again. Never sees a call: these go straight to the actor's process.
Read next: `questions.py`, `embedded.py`, `../wire/actors.py`.
"""

from collections.abc import Callable
from pathlib import Path

import msgspec

from cellmesh.scheduler.wire import actors as wire, folders
from cellmesh.scheduler.wire.messages import Wire

from .contract import Lives
from .questions import Questions


class EmbeddedActors(Lives):
    """What one client asks its hub about actors."""

    def __init__(self, questions: Questions, post: Callable[[Wire], None]) -> None:
        self._ask = questions.ask
        self._post = post
        self._followed: dict[int, None] = {}
        self.data = Path()  # the hub's data folder, once it is known
        self.session = ""  # as the hub calls it, once that is known
        self.sink: Callable[[wire.ActorInfo], None] = lambda info: None  # who is told of changes

    def start(self, wanted: wire.StartActor) -> wire.ActorAnswer:
        """Waits for the answer, but not until it is alive."""
        answer: wire.ActorAnswer = self._ask(lambda n: msgspec.structs.replace(wanted, request=n))
        return self._found(answer)

    def find(self, name: str, actor: int = 0) -> wire.ActorAnswer:
        """By name, or by id."""
        answer: wire.ActorAnswer = self._ask(lambda n: wire.FindActor(n, name, actor))
        return self._found(answer)

    def all(self) -> list[wire.ActorInfo]:
        """Those of the session, and the detached ones."""
        answer: wire.Actors = self._ask(wire.ListActors)
        return answer.actors

    def end(self, actor: int, why: str) -> None:
        """It is not wanted any more."""
        self._post(wire.EndActor(actor, why))

    def follow(self, actor: int, follow: bool = True) -> None:
        """Be told of its changes, or no more."""
        if follow:
            self._followed[actor] = None
        else:
            self._followed.pop(actor, None)
        self._post(wire.FollowActor(actor, follow))

    def keep(self, actor: int) -> None:
        """It outlives the process of the task that started it."""
        self._post(wire.KeepActor(actor))

    def told(self, info: wire.ActorInfo) -> bool:
        """The hub has said how it is; of one that has ended nothing more will come. Whether to pass it on."""
        if info.state == "ended":
            self._followed.pop(info.id, None)
        return True

    def close(self) -> None:
        """This process leaves the session."""

    def follow_again(self) -> None:
        """The hub is back."""
        for actor in list(self._followed):
            self._post(wire.FollowActor(actor, True))

    def renew(self, actor: int, blob: str, same: str) -> None:
        """Its class was reloaded."""
        self._post(wire.RenewActor(actor, blob, same))

    def recipe(self, actor: int) -> wire.Recipe:
        """What it was started with."""
        answer: wire.Recipe = self._ask(lambda n: wire.AskRecipe(n, actor))
        return answer

    def _found(self, answer: wire.ActorAnswer) -> wire.ActorAnswer:
        if answer.actor is not None and answer.actor.state != "ended":
            self._followed[answer.actor.id] = None  # the hub tells us of it from now on
        return answer

    def home(self, actor: int) -> Path:
        """Where its checkpoint is, or is looked for when it starts."""
        return folders.actor_home(self.data, actor)

"""The embedded engine's client side of actors' lives: questions and words to the hub.

Owns what each of them is called. Never sees a call: these go straight to the actor's process.
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
        self.data = Path()  # the hub's data folder, once it is known

    def start(self, wanted: wire.StartActor) -> wire.ActorAnswer:
        """Waits for the answer, but not until it is alive."""
        answer: wire.ActorAnswer = self._ask(lambda n: msgspec.structs.replace(wanted, request=n))
        return answer

    def find(self, name: str, actor: int = 0) -> wire.ActorAnswer:
        """By name, or by id."""
        answer: wire.ActorAnswer = self._ask(lambda n: wire.FindActor(n, name, actor))
        return answer

    def all(self) -> list[wire.ActorInfo]:
        """Those of the session, and the detached ones."""
        answer: wire.Actors = self._ask(wire.ListActors)
        return answer.actors

    def end(self, actor: int, why: str) -> None:
        """It is not wanted any more."""
        self._post(wire.EndActor(actor, why))

    def follow(self, actor: int, follow: bool = True) -> None:
        """Be told of its changes, or no more."""
        self._post(wire.FollowActor(actor, follow))

    def renew(self, actor: int, blob: str, same: str) -> None:
        """Its class was reloaded."""
        self._post(wire.RenewActor(actor, blob, same))

    def recipe(self, actor: int) -> wire.Recipe:
        """What it was started with."""
        answer: wire.Recipe = self._ask(lambda n: wire.AskRecipe(n, actor))
        return answer

    def home(self, actor: int) -> Path:
        """Where its checkpoint is, or is looked for when it starts."""
        return folders.actor_home(self.data, actor)

"""The embedded engine's client side of actors' lives: questions to the hub, and its answers.

Owns which question waits for which answer. Never sees a call: these go straight to the actor's process.
Read next: `embedded.py`, `../wire/actors.py`.
"""

import itertools
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from cellmesh.scheduler.wire import actors as wire, folders
from cellmesh.scheduler.wire.messages import Wire

from .contract import EngineError, Lives

ANSWER_SECONDS = 30.0

Answer = wire.ActorAnswer | wire.Actors | wire.Recipe


class EmbeddedActors(Lives):
    """What one client asks its hub about actors."""

    def __init__(self, post: Callable[[Wire], None]) -> None:
        self._post = post
        self._count = itertools.count(1)
        self.data = Path()  # the hub's data folder, once it is known
        self._answers: dict[int, Answer] = {}
        self._wanted: dict[int, Wire] = {}  # asked, and not answered
        self._changed = threading.Condition()
        self._gone = False

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

    def answered(self, answer: Answer) -> None:
        """In the engine's thread: the hub has answered."""
        with self._changed:
            if self._wanted.pop(answer.request, None) is not None:
                self._answers[answer.request] = answer
                self._changed.notify_all()

    def lose(self) -> None:
        """There will be no answers any more."""
        with self._changed:
            self._gone = True
            self._changed.notify_all()

    def _ask(self, make: Callable[[int], Wire]) -> Any:
        request = next(self._count)
        question = make(request)
        with self._changed:
            self._wanted[request] = question
        self._post(question)
        with self._changed:
            try:
                come = self._changed.wait_for(lambda: request in self._answers or self._gone, ANSWER_SECONDS)
                if not come or self._gone:
                    why = "has ended" if self._gone else f"did not answer within {ANSWER_SECONDS:g} s"
                    raise EngineError(f"The hub {why}.")
                return self._answers.pop(request)
            finally:
                self._wanted.pop(request, None)
                self._answers.pop(request, None)

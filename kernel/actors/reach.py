"""The way to wherever an actor is now: its socket, or the object itself if it lives in this process.

Owns the connection, the greeting on it, and how often it was tried. Never knows calls. Read next:
`caller.py`, `road.py`.
"""

import os
from collections.abc import Callable
from contextlib import nullcontext, suppress
from typing import TYPE_CHECKING, Any

from cellmesh.kernel.deferring import deferred
from cellmesh.scheduler.engines.contract import EngineError
from cellmesh.scheduler.wire import direct

from .road import Road

if TYPE_CHECKING:
    from .directory import Directory

TRIES = 3
"""Connections that are made in a row to a process that answers nothing."""


class Reach:
    """Of one caller. `on_messages` and `on_lost` are called by whoever reads."""

    def __init__(
        self,
        directory: "Directory",
        actor: int,
        on_messages: Callable[[list[Any]], None],
        on_lost: Callable[[], None],
        idle: Callable[[], bool],
    ) -> None:
        session = directory.session
        self._directory = directory
        self._actor = actor
        self._on_messages = on_messages
        self._on_lost = on_lost
        self._idle = idle  # whether no answer is expected
        name = f"{session.engine.new_job_id():x}-{os.getpid():x}"
        self._greeting = direct.Greet(direct.DIRECT, name, session.spec.name)
        self._bell = session.bell
        self._road: Road | None = None
        self._tried = 0
        self.open = False  # the actor has been met: what is posted is heard
        self._asked = False  # the hub, where it is
        self._broke: Exception | None = None
        self.local = session.engine.actors.local(actor)

    @property
    def connected(self) -> bool:
        """Whether something that is posted goes somewhere."""
        return self.local is not None or self._road is not None

    def greet(self, address: str, *, anew: bool) -> bool:
        """Go there, and say who calls; False if nobody is there."""
        self._asked = self.open = False
        if anew:
            self._tried = 0
        if self.local is None:
            self.leave()
            self._tried += 1
            try:
                self._road = Road(self._directory.roads(), address, self._heard, self._lost)
            except OSError:
                return False
        with nullcontext() if self.local is not None else deferred():
            self.post(self._greeting, prompt=True)
        return True

    def leave(self) -> None:
        """Hang up."""
        self.open = False
        road, self._road = self._road, None
        if road is not None:
            road.close()

    def seek(self, *, anew: bool = False) -> bool:
        """Ask the hub where the actor is: it will tell. False if that was asked too often in a row."""
        if anew:
            self._tried = 0
        if self._tried >= TRIES:
            return False
        if not self._asked:
            self._asked = True
            with suppress(EngineError):  # the hub has ended, and all its actors: that is told already
                self._directory.session.engine.actors.follow(self._actor)
        return True

    @property
    def trouble(self) -> str:
        """What went wrong with the last connection, for people."""
        broke = self._broke
        return "" if broke is None else " ".join(f"{type(broke).__name__}: {broke}".split())[:200]

    def post(self, message: direct.ToHost, *, prompt: bool) -> None:
        """Say something to the actor, at once or with what comes next. While Stop is put off."""
        if self.local is not None:
            self.local.take(message, lambda answer: self._on_messages([answer]))
        elif self._road is not None:
            self._road.post(message, prompt=prompt)

    def settle(self) -> None:
        """What was posted and not sent leaves soon. Free of locks: it may wake another thread."""
        if self._road is not None:
            self._road.settle()

    def flush(self) -> None:
        """Somebody is about to wait: send all that waits to be sent."""
        if self._road is not None:
            self._road.flush()

    def listen(self) -> None:
        """Somebody is about to wait elsewhere: answers must be read without them."""
        if self._road is not None:
            self._road.listen()

    def read_until(self, done: Callable[[], bool], timeout: float) -> bool:
        """Read the answers here; False if they do not come in time, or somebody else reads."""
        road = self._road
        if road is None:
            return done()
        road.flush()
        return road.read_until(done, timeout, self._bell, self._idle)

    def _heard(self, road: Road, messages: list[Any]) -> None:
        if road is self._road:
            if self.open:
                self._tried = 0  # it is good for something
            self._on_messages(messages)
            self._bell.ring()

    def _lost(self, road: Road, error: Exception | None) -> None:
        if road is self._road:
            self._road, self.open = None, False
            self._broke = error
            self._on_lost()
            self._bell.ring()

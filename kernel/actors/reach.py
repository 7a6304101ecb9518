"""The way to wherever an actor is now: its socket, or the object itself if it lives in this process.

Owns the connection, and the greeting on it. Never knows calls. Read next: `caller.py`, `roads.py`.
"""

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from cellmesh.scheduler.wire import direct

from .roads import Road

if TYPE_CHECKING:
    from .directory import Directory


class Reach:
    """Of one caller. `on_messages` and `on_lost` are called by whoever reads."""

    def __init__(
        self,
        directory: "Directory",
        actor: int,
        on_messages: Callable[[list[Any]], None],
        on_lost: Callable[[], None],
    ) -> None:
        session = directory.session
        self._directory = directory
        self._on_messages = on_messages
        self._on_lost = on_lost
        name = f"{session.engine.new_job_id():x}-{os.getpid():x}"
        self._greeting = direct.Greet(direct.DIRECT, name, session.spec.name)
        self._bell = session.bell
        self._road: Road | None = None
        self.local = session.engine.actors.local(actor)

    @property
    def connected(self) -> bool:
        """Whether something that is posted goes somewhere."""
        return self.local is not None or self._road is not None

    def greet(self, address: str) -> None:
        """Go there, and say who calls."""
        if self.local is None:
            self.leave()
            if not address:
                return
            try:
                self._road = Road(self._directory.roads(), address, self._heard, self._lost)
            except OSError:
                return  # it has just died, and the hub will say so
        self.post(self._greeting, prompt=True)

    def leave(self) -> None:
        """Hang up."""
        road, self._road = self._road, None
        if road is not None:
            road.close()

    def post(self, message: direct.ToHost, *, prompt: bool) -> None:
        """Say something to the actor, at once or with what else comes in the next moment."""
        if self.local is not None:
            self.local.take(message, lambda answer: self._on_messages([answer]))
        elif self._road is not None:
            self._road.post(message, prompt=prompt)

    def flush(self) -> None:
        """Somebody is about to wait: send all that waits to be sent."""
        if self._road is not None:
            self._road.flush()

    def read_until(self, done: Callable[[], bool], timeout: float) -> bool:
        """Read the answers here; False if they do not come in time, or somebody else reads."""
        self.flush()
        road = self._road
        return done() or (road is not None and road.read_until(done, timeout, self._bell))

    def _heard(self, road: Road, messages: list[Any]) -> None:
        if road is self._road:
            self._on_messages(messages)
            self._bell.ring()

    def _lost(self, road: Road) -> None:
        if road is self._road:
            self._road = None
            self._on_lost()

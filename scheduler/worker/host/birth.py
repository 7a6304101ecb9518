"""What the class prints while the object is made: for whoever started it, who is not there yet.

Owns it until the first caller greets. Read next: `voices.py`, `hearing.py`.
"""

from __future__ import annotations

from typing import Any

from cellmesh.scheduler.wire.direct import Call, Far
from cellmesh.scheduler.wire.messages import Ref

from .callers import Caller, Entry


class Birth(Caller):
    """Stands for who will come; `entry` for the call that made the object."""

    def __init__(self) -> None:
        super().__init__("", "")
        self.entry = Entry(self, Call(0, "__init__", b""))
        self._words: list[Any] = []  # few: an excerpt, as of any call

    def say(self, message: Any) -> None:
        """Keep it; how far it is, is old by then."""
        if type(message) is not Far:
            self._words.append(message)

    def hand_over(self, caller: Caller) -> None:
        """Somebody is there."""
        words, self._words = self._words, []
        caller.lend(*self._lent)
        for message in words:
            caller.say(message)

    def _lend(self, payload: Ref) -> None:
        self._lent.add(payload.name)

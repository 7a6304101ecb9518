"""An actor that shall end once it has answered what this process has asked.

Owns that wish. Never drops a call. Read next: `caller.py`, `pool.py`.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .caller import Caller


class Retiring:
    """Of one caller."""

    def __init__(self, caller: "Caller") -> None:
        self._caller = caller
        self._wanted = False

    def begin(self) -> None:
        """End it, now or as soon as nothing is left to be answered."""
        self._wanted = True  # first: who answers the last call from now on looks
        if not self._caller.load:
            self._caller.session.engine.actors.end(self._caller.info.id, "was not needed any more")

    def look(self) -> None:
        """Something was answered, by whichever thread."""
        if self._wanted and not self._caller.load:
            session = self._caller.session
            session.later.append(self.begin)
            session.engine.nudge()

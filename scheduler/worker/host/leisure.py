"""What an actor's process does between calls: checkpoints, and giving back memory that nobody wants.

Owns when: after half a second of quiet, and under steady use now and then between two calls, for who always
has calls has state to lose, too. Never writes a state: `checkpoints.py` does. Read next: `lasting.py`.
"""

from __future__ import annotations

import time

from cellmesh.scheduler.objects import makers

from .calling import Calling
from .door import Door
from .hearing import Hearing
from .lasting import Lasting
from .turns import Turns

_SPARE_SECONDS = 10.0
"""Segments that were given back are kept so long for what is made next."""


class Leisure:
    """Of one actor."""

    def __init__(self, calling: Calling, lasting: Lasting, hearing: Hearing, turns: Turns) -> None:
        self._calling = calling
        self._lasting = lasting
        self._checkpoints = lasting.checkpoints
        self._hearing = hearing
        self._turns = turns
        self.door: Door | None = None  # once there is one

    def rest(self) -> float | None:
        """How long to wait for callers, if none comes."""
        self.between()
        due = self._checkpoints.due()
        if due is not None and self._lasting.busy:
            due = None
        if not self._hearing.freed:
            return due
        spare = max(0.0, self._hearing.freed + _SPARE_SECONDS - time.monotonic())
        return spare if due is None else min(due, spare)

    def rested(self) -> None:
        """Somebody came, or nobody did for as long as `rest` said."""
        freed = self._hearing.freed
        if freed and time.monotonic() - freed >= _SPARE_SECONDS:
            self._hearing.freed = 0.0
            makers.rest()
        if self._calling.cut:
            self.between()
        if self._checkpoints.due() == 0 and not self._turns.waiting:
            self._begin()

    def between(self) -> None:
        """Between two calls: what must not wait for quiet."""
        if self._calling.done != self._checkpoints.seen:
            self._checkpoints.active(self._calling.done)
        if self._lasting.between(self._calling.cut):
            self._calling.cut = False
        if self._checkpoints.overdue:
            self._begin()

    def _begin(self) -> None:
        if self.door is not None and not self._lasting.busy:
            self._checkpoints.begin(self.door)

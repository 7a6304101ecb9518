"""How far a call is, by its own word (`cm.track`, plain tqdm): its caller is told, not too often.

Owns which bar of a call speaks: the outermost that is open. Never shows anything. Read next: `voices.py`,
`../tracking.py`.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from cellmesh.scheduler.wire import direct

from .callers import Entry
from .voices import Voices, speaking

_PERIOD = 0.1


class Far:
    """Stands where a task has its tracker. `flush` has what was said sent."""

    def __init__(self, voices: Voices, flush: Callable[[], None]) -> None:
        self._voices = voices
        self._flush = flush
        self._open: dict[Entry, dict[int, object]] = {}  # bars, outermost first
        self._due: dict[Entry, float] = {}

    def tell(self, bar: object, done: float, total: float | None, text: str, *, last: bool = False) -> None:
        """So far is this bar; `last`: it will say no more, so that this must not be left out."""
        entry = speaking.get() or self._voices.in_main
        if entry is None:
            return  # nobody waits for it
        bars = self._open.setdefault(entry, {})
        bars.setdefault(id(bar), bar)
        speaks = next(iter(bars.values())) is bar
        now = time.monotonic()
        if speaks and (last or now >= self._due.get(entry, 0.0)):
            self._due[entry] = now + _PERIOD
            entry.caller.say(direct.Far(entry.call.number, done, total, text))
            self._flush()
        if last:
            del bars[id(bar)]
            if not bars:
                del self._open[entry]
                self._due.pop(entry, None)

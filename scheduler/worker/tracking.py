"""How far the running item is, by its own word: told to the hub, at most ten times a second.

Owns which bar speaks (the outermost that is open) and how often. Never shows anything, and says nothing
unless it is told something. Read next: `bars.py` (plain tqdm), the kernel's `tracking.py` (`cm.track`).
"""

import threading
import time
from collections.abc import Callable
from typing import Protocol

from cellmesh.scheduler.wire.messages import Progress, Run

from . import lending

_PERIOD = 0.1


class Teller(Protocol):
    """What may be told how far something is."""

    def tell(self, bar: object, done: float, total: float | None, text: str, *, last: bool = False) -> None:
        """So far is this bar; `last`: it will say no more, so that this must not be left out."""


class Tracker:
    """Speaks for the task that a runner runs."""

    def __init__(self, emit: Callable[[Progress], None], at: Callable[[], int]) -> None:
        self._emit = emit
        self._at = at  # the item that runs
        self._run: Run | None = None
        self._bars: dict[int, object] = {}  # open ones by id, outermost first
        self._due = 0.0
        self._before: Teller | None = None
        self._thread = 0

    def begin(self, run: Run) -> None:
        """This is what runs from now on, in this thread."""
        self._run = run
        self._bars.clear()
        self._due = 0.0
        self._thread = threading.get_ident()
        self._before = _now.get(self._thread)
        _now[self._thread] = self

    def end(self) -> None:
        """It has ended; what ran around it goes on (a task that the inline engine runs inside another)."""
        self._run = None
        self._bars.clear()
        if self._before is None:
            _now.pop(self._thread, None)
        else:
            _now[self._thread] = self._before

    def tell(self, bar: object, done: float, total: float | None, text: str, *, last: bool = False) -> None:
        """So far is this bar; `last`: it will say no more, so that this must not be left out."""
        self._bars.setdefault(id(bar), bar)
        speaks = next(iter(self._bars.values())) is bar
        if last:
            del self._bars[id(bar)]
        now = time.monotonic()
        run = self._run
        if run is None or not speaks or (now < self._due and not last):
            return
        self._due = now + _PERIOD
        item = self._at() if run.task.size > 1 else 0
        self._emit(Progress(run.job, run.task.index, item, done, total, text))


_now: dict[int, Teller] = {}  # by the thread that runs the task


def stand_in(teller: Teller) -> None:
    """Between tasks this is told what runs in this thread: an actor's methods."""
    _now[threading.get_ident()] = teller


def tracker() -> Teller | None:
    """Who speaks for the task that runs here; None between tasks, and outside them.

    In a thread that a task has started, that of the task, if the process runs only one.
    """
    found = _now.get(threading.get_ident())
    if found is None and len(_now) == 1 and not lending.serves():
        found = next(iter(_now.values()), None)
    return found

"""How a running call is interrupted, by where it runs.

Owns the two ways: a signal in the main thread, an asynchronous exception in others. An interrupt hits the
user's code of the call that is meant, or nothing. Never decides who is interrupted. Read next:
`calling.py`, `../interrupts.py`.
"""

from __future__ import annotations

import asyncio
import threading
from itertools import count

from cellmesh.scheduler.worker.interrupts import Interrupts
from cellmesh.scheduler.worker.raising import raise_in, take_back

from .callers import Entry


class InMain:
    """Of calls in the main thread."""

    def __init__(self, interrupts: Interrupts) -> None:
        self._interrupts = interrupts
        self._attempts = count(1)

    def attempt(self, entry: Entry) -> int:
        """The number under which it can be interrupted, once that begins."""
        entry.attempt = next(self._attempts)
        entry.stop = self._stop
        return entry.attempt

    def begin(self, entry: Entry) -> None:
        """From now on it can be interrupted; raises if it was meanwhile."""
        self._interrupts.begin(self.attempt(entry))
        if entry.cancelled:
            raise KeyboardInterrupt

    def check(self) -> None:
        """Raise an interrupt that came while our own frames were at work."""
        if self._interrupts.pending:
            self._interrupts.check()

    def end(self, entry: Entry) -> None:
        """From now on it cannot."""
        self._interrupts.end()

    def _stop(self, entry: Entry) -> None:
        self._interrupts.request(entry.attempt)


class InThread:
    """Of calls in this one of several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entry: Entry | None = None
        self._thread = threading.get_ident()
        self._raised = False

    def begin(self, entry: Entry) -> None:
        """From now on it can be interrupted; raises if it was meanwhile."""
        with self._lock:
            self._entry = entry
            entry.stop = self._stop
        if entry.cancelled:
            raise KeyboardInterrupt

    def check(self) -> None:
        """Nothing had to wait: exceptions come by themselves."""

    def end(self, entry: Entry) -> None:
        """From now on it cannot; one that is under way is called back."""
        with self._lock:
            self._entry = None
            raised, self._raised = self._raised, False
        if raised:
            take_back(self._thread)

    def _stop(self, entry: Entry) -> None:
        with self._lock:
            if self._entry is entry:
                self._raised = True
                raise_in(self._thread, KeyboardInterrupt)


def is_stop(error: BaseException, entry: Entry) -> bool:
    """Whether this is what a cancel raised, and no exception of the code's own."""
    return entry.cancelled and isinstance(error, KeyboardInterrupt | asyncio.CancelledError)

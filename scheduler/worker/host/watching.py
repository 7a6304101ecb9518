"""Reads what callers say while the main thread runs one method for long.

Owns a thread that looks, every few milliseconds while calls come, whether the main thread is still in the
same one; then it reads in its place, so that Stop, questions and new callers are heard. Without calls it
sleeps. A wake-up for each call would cost more than the call. Never runs a method. Read next: `door.py`.
"""

import threading
from collections.abc import Callable
from time import sleep

from .door import Door

_LOOK = 0.005
_QUIET = 20  # looks without a call, after which it sleeps


class Watch:
    """`soon` is called now and then while a method runs: to send what it has gathered.

    `trouble` is told of an exception, of user code's doing most likely (it may replace anything): Stop and
    questions must be heard all the same.
    """

    def __init__(
        self, door: Door, soon: Callable[[], bool], trouble: Callable[[str, Exception], None]
    ) -> None:
        self._door = door
        self._soon = soon
        self._trouble = trouble
        self._turn = 0
        self._busy = False
        self._asleep = True
        self._reads = False
        self._wanted = threading.Event()
        threading.Thread(target=self._run, name="cellmesh-watch", daemon=True).start()

    def begin(self) -> None:
        """The main thread runs something."""
        self._turn += 1
        self._busy = True
        if self._asleep:
            self._asleep = False
            self._wanted.set()

    def end(self) -> None:
        """It has its hands free."""
        self._busy = False
        if self._reads:
            self._door.wake()

    def _run(self) -> None:
        while True:
            self._wanted.wait()
            self._wanted.clear()
            quiet, seen = 0, -1
            while quiet < _QUIET:
                sleep(_LOOK)
                turn = self._turn
                if self._busy and turn == seen:
                    self._read(turn)
                quiet = quiet + 1 if turn == seen else 0
                seen = turn
            self._asleep = True
            if self._turn != seen or self._busy:  # it began before it could know
                self._asleep = False
                self._wanted.set()

    def _read(self, turn: int) -> None:
        self._reads = True
        try:
            while self._busy and self._turn == turn:
                more = self._soon()
                self._door.wait(_LOOK if more else None)
        except Exception as error:  # noqa: BLE001 - it is told, and in the next look we try again
            self._trouble("callers could not be heard for a moment", error)
        self._reads = False

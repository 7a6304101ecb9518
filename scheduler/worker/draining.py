"""SIGTERM in a worker: its machine, or its place on it, will be taken away soon.

Owns that signal. It tells the hub and does nothing else: the hub sends no new work, and `Stop` once what runs
here is over. The word goes out by a descriptor that the system writes to, as a Python handler waits while the
main thread computes in C. Processes that user code forks take the signal as usual. Read next: `main.py`.
"""

import os
import signal
import socket
from collections.abc import Callable


class TermSignal:
    """Watches for the notice; `fileno` and `look` are for the thread that talks to the hub."""

    def __init__(self, tell: Callable[[], None]) -> None:
        self._tell = tell
        self._told = False
        self._read, self._write = socket.socketpair()
        self._read.setblocking(False)
        self._write.setblocking(False)

    def fileno(self) -> int:
        """Readable when a signal has come."""
        return self._read.fileno()

    def install(self) -> None:
        """Take SIGTERM over. Call it in the main thread."""
        signal.signal(signal.SIGTERM, self._handle)
        signal.set_wakeup_fd(self._write.fileno(), warn_on_full_buffer=False)
        os.register_at_fork(before=_hold, after_in_parent=_let, after_in_child=_as_usual)

    def look(self, _: int) -> None:
        """In the talking thread: tell the hub if it was this signal."""
        try:
            came = self._read.recv(4096)
        except BlockingIOError:
            return
        if signal.SIGTERM in came and not self._told:
            self._told = True
            self._tell()

    def _handle(self, number: int, *_: object) -> None:
        # In case user code has taken the signals' descriptor (event loops do). Not told from here: whom this
        # interrupts may hold the lock that telling takes.
        try:
            self._write.send(bytes([number]))
        except BlockingIOError:
            pass  # it is full of the same


def _hold() -> None:
    # A child that is told to end at once must neither pass for us nor forget it: the signal waits.
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])


def _let() -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])


def _as_usual() -> None:
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    _let()

"""Interrupting exactly the attempt that is meant, and nothing else.

Owns SIGINT in a worker. An interrupt is raised in the main thread only while its attempt runs and only out
of user code: when the signal lands in this package's own frames, it waits until they are left (`check`), so
that reports are whole and none ever hits the next task. Never decides what an interrupt means. Read next:
`runner.py`.
"""

import signal
import threading
from types import FrameType

_MACHINERY = __name__.rpartition(".")[0]
_WAITING = f"{_MACHINERY}.commands"  # waits for subprocesses in its own frames, so it must be interruptible


class Interrupts:
    """The door for interrupts. `request` comes from the IO thread, everything else from the main thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # never taken by the main thread: its handler could not wait for itself
        self._running: int | None = None
        self._wanted: int | None = None
        self._main: int | None = None
        self.pending = False
        self.shielded = False  # set while something that must be whole calls out of this package

    def install(self) -> None:
        """Take SIGINT over. Call it in the main thread."""
        self._main = threading.main_thread().ident
        signal.signal(signal.SIGINT, self._handle)

    def begin(self, attempt: int) -> None:
        """From now on this attempt may be interrupted."""
        self.pending = False
        self._wanted = None
        self._running = attempt

    def end(self) -> None:
        """From now on no interrupt is raised; late ones are dropped."""
        self._running = None
        self.pending = False

    def request(self, attempt: int) -> bool:
        """Interrupt this attempt if it is the one that runs. Again is harmless."""
        with self._lock:
            if self._running != attempt:
                return False
            self._wanted = attempt
            if self._main is None:
                self.pending = True  # not installed: taken at the next check
            else:
                signal.pthread_kill(self._main, signal.SIGINT)
            return True

    def check(self) -> None:
        """Raise what had to wait."""
        if self.pending and not self.shielded:
            self.pending = False
            raise KeyboardInterrupt

    def _handle(self, signum: int, frame: FrameType | None) -> None:
        if self._running is None or self._wanted != self._running:
            return  # late, or from elsewhere
        if self.shielded or _is_machinery(frame):
            self.pending = True
            return
        raise KeyboardInterrupt


def _is_machinery(frame: FrameType | None) -> bool:
    if frame is None:
        return False
    name = str(frame.f_globals.get("__name__", ""))
    return name.startswith(_MACHINERY) and name != _WAITING

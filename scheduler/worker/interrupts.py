"""Interrupting exactly the attempt that is meant, and nothing else.

Owns SIGINT in a worker. An interrupt is raised in the main thread only while its attempt runs and only out
of user code: when the signal lands in this package's own frames (or in zmq's that these call), it waits
until they are left (`check`), so that reports are whole and none ever hits the next task. One that overtakes
its attempt is kept until that begins. Never decides what an interrupt means. Read next: `runner.py`.
"""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

_MACHINERY = __name__.removesuffix(".worker.interrupts")
_OPEN = (
    f"{_MACHINERY}.worker.commands",  # waits in its own frames, so they can be interrupted
    f"{_MACHINERY}.worker.host.state",  # pickles for long; a checkpoint is whole or not at all
    f"{_MACHINERY}.worker.outside",  # its frame stands for a callable that has none
)

_AGAIN = 0.02


class Interrupts:
    """The door for interrupts.

    `expect` and `request` come from the IO thread, everything else from the thread that runs the code.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()  # never taken by the handler: it could not wait for its own thread
        self._expected: set[int] = set()  # attempts that are queued, and have not begun
        self._early: set[int] = set()  # those of them that are to be interrupted
        self._thread: int | None = None
        self._running: int | None = None
        self._wanted: int | None = None
        self._main: int | None = None
        self._raised: int | None = None
        self._insisting: int | None = None
        self._hit = False
        self.pending = False
        self.shielded = False  # set while something that must be whole calls out of this package

    def install(self) -> None:
        """Take SIGINT over. Call it in the main thread."""
        self._main = threading.main_thread().ident
        signal.signal(signal.SIGINT, self._handle)

    @property
    def installed(self) -> bool:
        """Whether this process and its SIGINT are ours; the inline engine's are the notebook's."""
        return self._main is not None

    @property
    def runs_here(self) -> bool:
        """Whether an attempt runs, and in this very thread."""
        return self._running is not None and threading.get_ident() == self._thread

    def expect(self, attempt: int) -> None:
        """This attempt is going to begin."""
        with self._lock:
            self._expected.add(attempt)

    def begin(self, attempt: int) -> None:
        """From now on this attempt may be interrupted; if it is to be already, `check` raises it."""
        with self._lock:
            early = attempt in self._early
            self._early.discard(attempt)
            self._expected.discard(attempt)
            self._thread = threading.get_ident()
            self._hit = False
            self._raised = None
            self._wanted = attempt if early else None
            self._running = attempt
            self.pending = early

    def end(self) -> None:
        """From now on no interrupt is raised; late ones are dropped."""
        with self._lock:
            self._running = None
            self.pending = False

    def is_one(self, error: BaseException) -> bool:
        """Whether this is an interrupt, and no exception of the code's own."""
        return isinstance(error, KeyboardInterrupt) and (self._hit or not self.installed)

    def request(self, attempt: int) -> bool:
        """Interrupt this attempt if it is the one that runs, or is going to. Again is harmless."""
        with self._lock:
            if self._running != attempt:
                if attempt in self._expected:
                    self._early.add(attempt)
                return attempt in self._expected
            if self._insisting == attempt:
                return True
            self._wanted, self._raised = attempt, None
            if self._main is None:
                self.pending = True  # not installed: taken at the next check
            else:
                self._insisting = attempt
                name = "cellmesh-interrupt"
                threading.Thread(target=self._insist, args=(attempt,), name=name, daemon=True).start()
            return True

    def _insist(self, attempt: int) -> None:
        """Signal until it was raised: one signal is not enough.

        It may land in our own frames, or just before the main thread enters a system call, which then is not
        interrupted by it.
        """
        assert self._main is not None
        while self._running == attempt and self._raised != attempt:
            signal.pthread_kill(self._main, signal.SIGINT)
            time.sleep(_AGAIN)
        with self._lock:
            if self._insisting == attempt:
                self._insisting = None

    @contextmanager
    def here(self) -> Iterator[None]:
        """The code goes on in this thread meanwhile; the one that ran it waits."""
        before, self._thread = self._thread, threading.get_ident()
        try:
            yield
        finally:
            self._thread = before

    def check(self) -> None:
        """Raise what had to wait. In other threads than the one that runs the code, nothing happens."""
        if self.pending and not self.shielded and threading.get_ident() == self._thread:
            self._raise()

    def _handle(self, signum: int, frame: FrameType | None) -> None:
        if self._running is None or self._wanted != self._running:
            return  # late, or from elsewhere
        if self._raised == self._running:
            return  # it has been raised already; only a new request raises it again
        if self.shielded or is_machinery(frame):
            self.pending = True
            return
        self._raise()

    def _raise(self) -> NoReturn:
        self.pending = False
        self._raised = self._running
        self._hit = True
        raise KeyboardInterrupt


def is_machinery(frame: FrameType | None) -> bool:
    """Whether our own code runs, or zmq's on its behalf (which users' code may call as well)."""
    while frame is not None:
        name = str(frame.f_globals.get("__name__", ""))
        if not (name == "zmq" or name.startswith("zmq.")):
            return name.startswith(_MACHINERY) and name not in _OPEN
        frame = frame.f_back
    return False

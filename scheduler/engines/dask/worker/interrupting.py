"""Interrupting an attempt that runs in one of Dask's threads.

Owns the exception that is raised in that thread. It is raised by the interpreter between two bytecodes: code
that blocks in a system call notices only when that returns. Never hits what runs next in the thread.
Read next: `../../../worker/interrupts.py`, `work.py`.
"""

from __future__ import annotations

import sys
import threading
import time

from cellmesh.scheduler.worker.interrupts import Interrupts, is_machinery
from cellmesh.scheduler.worker.raising import raise_in, take_back

_AGAIN = 0.02


class ThreadInterrupts(Interrupts):
    """Of one runner; whichever thread runs it is the one that is interrupted."""

    _thrown = False  # an exception is on its way, or has come

    @property
    def installed(self) -> bool:
        """Interrupts come from us alone."""
        return True

    def end(self) -> None:
        """From now on none is raised, not even one that is on its way."""
        while True:
            try:
                with self._lock:
                    super().end()
                    thrown, self._thrown = self._thrown, False
                if thrown:
                    take_back(threading.get_ident())
                return
            except KeyboardInterrupt:
                continue  # it was: once more, without it

    def request(self, attempt: int) -> bool:
        """Interrupt this attempt if it is the one that runs, or is going to. Again is harmless."""
        with self._lock:
            if self._running != attempt:
                if attempt in self._expected:
                    self._early.add(attempt)
                return attempt in self._expected
            self._wanted, self._raised = attempt, None
            self._hit = True
            if self._insisting != attempt:
                self._insisting = attempt
                name = "cellmesh-interrupt"
                threading.Thread(target=self._insist, args=(attempt,), name=name, daemon=True).start()
            return True

    def _insist(self, attempt: int) -> None:
        """Raise it out of user code, or have our own code raise it where it can."""
        while True:
            with self._lock:
                if self._running != attempt or self._raised == attempt or self._thread is None:
                    break
                if not is_machinery(sys._current_frames().get(self._thread)):
                    self.pending = False
                    self._thrown = True
                    raise_in(self._thread, KeyboardInterrupt)
                    break
                self.pending = True
            time.sleep(_AGAIN)
        with self._lock:
            if self._insisting == attempt:
                self._insisting = None

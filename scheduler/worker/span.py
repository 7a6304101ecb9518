"""Which items of a task are still to be run here; the end moves nearer when some are given back.

Owns the agreement between the thread that runs items and the one that is asked to shed: no item is run here
and given back as well, and none is neither. Never runs or reports anything. Read next: `runner.py`.
"""

import threading
from collections.abc import Callable


class Span:
    """The items of the attempt that runs.

    The running thread writes `at` and then reads `end`; the asking thread writes `end` and then reads `at`.
    So at least one of them sees the other, and `over` settles who goes back.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._attempt = 0
        self._skip: frozenset[int] = frozenset()
        self._early: tuple[int, Callable[[list[int]], None]] | None = None  # asked before it began
        self.at = 0  # the item that runs, or is about to
        self.end = 0  # items from here on are not run

    def begin(self, attempt: int, size: int, skip: frozenset[int]) -> None:
        """From now on `at` and `end` are about this attempt."""
        with self._lock:
            self._attempt, self._skip = attempt, skip
            self.at, self.end = -1, size
            early, self._early = self._early, None
            if early is not None and early[0] == attempt:
                self._shed(early[1])

    def over(self, index: int) -> bool:
        """Whether `index`, which lies beyond `end`, really is not to be run."""
        with self._lock:
            return index >= self.end

    def close(self) -> None:
        """The attempt is over, however it ended: there is nothing to give back."""
        with self._lock:
            self._attempt = self.end = 0

    def shed(self, attempt: int, give_back: Callable[[list[int]], None]) -> None:
        """Give back the later half of what has not begun; `give_back` is told before anyone goes on."""
        with self._lock:
            if attempt == self._attempt:
                self._shed(give_back)
            else:
                self._early = attempt, give_back

    def _shed(self, give_back: Callable[[list[int]], None]) -> None:
        size = self.end
        left = [index for index in range(self.at + 1, size) if index not in self._skip]
        returned = left[len(left) // 2 :] if len(left) > 1 else left
        if returned:
            self.end = returned[0]
            if self.at >= returned[0]:  # it ran ahead meanwhile
                self.end, returned = size, []
        give_back(returned)

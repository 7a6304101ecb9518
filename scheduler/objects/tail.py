"""The last outputs of a job, for a front end that comes back; the full text is in the logs.

Owns the bound. Never frees memory: whoever adds is told what was dropped. Read next: `../hub/store.py`.
"""

from collections import deque
from dataclasses import dataclass, field

from cellmesh.scheduler.wire.messages import Output, Ref

OUTPUT_KEPT = 4 << 20
"""Bytes of output kept per job."""


@dataclass(slots=True)
class Tail:
    """
    >>> tail = Tail()
    >>> tail.add(Output(1, 0, None, "stdout", "x" * OUTPUT_KEPT)); tail.lost
    []
    0
    """

    kept: deque[Output] = field(default_factory=deque)
    lost: int = 0  # so many before these were dropped
    _bytes: int = 0

    def add(self, output: Output) -> list[Output]:
        """Keep this one; answers those that had to go for it."""
        self.kept.append(output)
        self._bytes += _weight(output)
        dropped = []
        while self._bytes > OUTPUT_KEPT and len(self.kept) > 1:
            dropped.append(self.kept.popleft())
            self._bytes -= _weight(dropped[-1])
        self.lost += len(dropped)
        return dropped


def _weight(output: Output) -> int:
    return 200 + len(output.text) + (output.data.size if isinstance(output.data, Ref) else len(output.data))

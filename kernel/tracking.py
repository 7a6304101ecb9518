"""`cm.track`: a loop that says how far it is.

Owns that loop. Inside a task it tells the notebook, where the cell that waits shows it; elsewhere it shows a
line of its own. Never changes what is iterated. Read next: `progress.py`, the worker's `tracking.py`.
"""

import sys
import time
from collections.abc import Iterable, Iterator, Sized
from typing import TypeVar

from cellmesh.scheduler.worker import tracking
from cellmesh.widgets import text

T = TypeVar("T")

_PERIOD = 0.1


def track(xs: Iterable[T], total: int | None = None, label: str = "") -> Iterator[T]:
    """Iterate over `xs`, telling how far it is: `for x in cm.track(xs): ...`, in a task or anywhere.

    Args:
        total: how many there will be, for an iterable without a length.
        label: what the line calls it.
    """
    if total is None and isinstance(xs, Sized):
        total = len(xs)
    speaker = tracking.tracker()
    if speaker is None:
        yield from _shown(xs, total, label)
        return
    bar, done = object(), 0
    speaker.tell(bar, done, total, label)
    try:
        for x in xs:
            yield x
            done += 1
            speaker.tell(bar, done, total, label)
    finally:
        speaker.tell(bar, done, total, label, last=True)


def _shown(xs: Iterable[T], total: int | None, label: str) -> Iterator[T]:
    """Outside tasks: one line on stderr, drawn over itself."""
    begun, due, done, drawn = time.monotonic(), 0.0, 0, 0

    def draw() -> int:
        line = text.inside(done, total, label) + f", {text.duration(round(time.monotonic() - begun, 1))}"
        sys.stderr.write("\r" + line.ljust(drawn))
        sys.stderr.flush()
        return len(line)

    try:
        for x in xs:
            now = time.monotonic()
            if now >= due:
                due, drawn = now + _PERIOD, draw()
            yield x
            done += 1
    finally:
        draw()
        sys.stderr.write("\n")

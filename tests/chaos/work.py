"""What the chaos run computes: pure functions, so that every result can be checked.

Owns the tasks, and what their results must be. Never touches cellmesh, but for the tasks that submit tasks.
"""

from __future__ import annotations

import random
import time

RETRIES = 1000  # chaos kills workers all the time
PATIENCE = 60.0


def mix(x: int) -> int:
    """A number that only this number leads to; some take a moment."""
    if x % 7 == 0:
        time.sleep(0.002)
    return (x * 2654435761 + 12345) % (1 << 61)


class Counter:
    """Counts for each of its callers."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}

    def add(self, who: str) -> int:
        self.counts[who] = self.counts.get(who, 0) + 1
        return self.counts[who]


def pair(x: int) -> tuple[int, int]:
    """A result that whoever finds it can check."""
    return x, mix(x)


def block(seed: int, size: int) -> bytes:
    """So many bytes, which depend on the seed."""
    return random.Random(seed).randbytes(size)


def weigh(data: bytes) -> int:
    """A number for a block."""
    import zlib

    return zlib.crc32(data)


def fold(parts: list[int]) -> int:
    """Several results into one."""
    return sum(parts) % (1 << 61)


def refuse(x: int) -> int:
    """Fails for odd numbers."""
    if x % 2:
        raise ValueError(f"odd: {x}")
    return x


def spread(x: int, size: int) -> int:
    """A task that launches tasks of its own, which may do so, too."""
    import cellmesh as cm

    if size > 6:
        halves = [cm.submit(spread, x, size // 2, retries=RETRIES)]
        halves.append(cm.submit(spread, x + size // 2, size - size // 2, retries=RETRIES))
        return fold([half.result(PATIENCE) for half in halves])
    return fold(cm.map(mix, range(x, x + size), retries=RETRIES).result(PATIENCE))


def doze(seconds: float) -> str:
    """To be cancelled."""
    time.sleep(seconds)
    return "woke up"


def hold(seconds: float) -> str:
    """Computes all the time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        sum(range(1000))
    return "done"

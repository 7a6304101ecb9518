"""How many items go into the next task of a map, or calls into the next task of many submits.

Owns `Planner`, pure arithmetic fed with what workers measured. Never submits, never looks at a clock. First
come single items; then, from what they took, chunks of about `TARGET` seconds, smaller towards the end
(guided self-scheduling). Read next: `feeding.py`, `backlog.py`.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

TARGET = 0.05
"""Seconds of work in one chunk: overhead is spread, Stop and progress stay fine-grained."""

GROWTH = 8
EIGHTHS = 8
MOST_TASKS = 4000
"""When a whole sequence is handed over at once, it becomes at most about so many tasks."""

FEWEST_TURNS = 8
"""But every slot has at least about so many, if there are so many items."""


@dataclass(slots=True)
class Planner:
    """Chunk sizes for one map, or for the calls of one function.

    >>> planner = Planner(slots=2)
    >>> planner.next(1000)
    1
    >>> planner.measured(items=1, seconds=0.001)
    >>> planner.next(1000), planner.next(1000)
    (8, 50)
    """

    slots: int
    target: float = TARGET
    most: int = MOST_TASKS
    last: int = 0
    per_item: float | None = None  # seconds that one item keeps one slot busy

    def measured(self, items: int, seconds: float) -> None:
        """A task of so many items ran for so many seconds.

        What one task costs besides its items spoils short ones: larger samples weigh more.
        """
        if items <= 0 or seconds <= 0:
            return
        found = seconds / items
        share = items / (items + max(1, self.last) / 4)
        self.per_item = found if self.per_item is None else share * found + (1 - share) * self.per_item

    def next(self, remaining: int | None) -> int:
        """The size of the next chunk; `remaining` is None if nobody knows."""
        if self.per_item is None:
            self.last = 1
            return 1
        size = max(1, min(int(self.target / self.per_item), max(1, self.last) * GROWTH))
        if remaining is not None:
            size = min(size, max(1, remaining // (4 * self.slots)))
        self.last = max(size, self.last)  # the tail shrinks, later maps of sizes do not restart at one
        return size

    def all(self, remaining: int) -> list[int]:
        """Sizes for everything that is left, to be handed over now."""
        sizes = []
        least = max(1, remaining // max(self.most, FEWEST_TURNS * self.slots))
        while remaining > 0:
            if self.per_item is None:
                size = least
            else:
                self.last = min(remaining, max(self.last, 1) * GROWTH)
                size = max(least, self.next(remaining))
            size = min(size, remaining)
            sizes.append(size)
            remaining -= size
        return sizes


def slots_for(cpus_each: float, gpus_each: float, cpus: int, gpus: int) -> int:
    """How many tasks of this kind can run at once on the whole machine."""
    at_once = int(cpus / cpus_each)
    if gpus_each:
        at_once = min(at_once, int(gpus / gpus_each))
    return max(1, at_once)


def parts_of(missing: Sequence[int]) -> list[Sequence[int]]:
    """Lost neighbours in parts, to find the one that is to blame: the first by itself, then eighths.

    >>> parts_of([3, 4, 5, 9])
    [[3], [4], [5], [9]]
    >>> [len(part) for part in parts_of(range(100))]
    [1, 13, 13, 13, 13, 13, 13, 13, 8]
    """
    size = -(-len(missing) // EIGHTHS)
    parts: list[list[int]] = []
    for index in missing:
        if len(parts) < 2 or len(parts[-1]) >= size or parts[-1][-1] + 1 != index:
            parts.append([index])
        else:
            parts[-1].append(index)
    return [*parts]


def seed_of(seed: int, index: int) -> int:
    """The seed of one item: the same wherever and in whatever chunk it runs; fits numpy's 32 bits."""
    return int.from_bytes(hashlib.blake2b(f"{seed}:{index}".encode(), digest_size=4).digest())

"""What waits: tasks in the order in which they are to be served.

Owns the order within one queue: higher rank first, then first come first served. The first one is never
overtaken by what stands behind it, however little that needs; `placement.py` says what that means for the
rest of the machine. Never looks at workers or free slots. Read next: `placement.py`.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .events import TaskSpec
from .tables import TaskState

if TYPE_CHECKING:
    from .state import Task

Rank = int  # of two ranks the greater one is served first
_DEPTHS = 64  # more than there can be


def rank_of(spec: TaskSpec, depth: int) -> Rank:
    """The higher priority first; of equals the task that is nested deeper, for somebody waits for it."""
    return spec.priority * _DEPTHS + depth


@dataclass(slots=True)
class TaskQueue:
    """Tasks waiting for the same thing.

    Deletion is lazy: an entry whose task is no longer QUEUED is stale, is skipped, and does not count in
    `live`. A task never returns to QUEUED while an entry of it is left, because only `pop` takes it out of
    QUEUED towards RUNNING.
    """

    entries: deque[Task] = field(default_factory=deque)  # of the highest rank that waits
    rank: Rank = 0  # which one that is
    lower: dict[Rank, deque[Task]] = field(default_factory=dict)  # the others; nearly always empty
    live: int = 0  # entries that are not stale

    def push(self, task: Task, rank: Rank, *, front: bool = False) -> None:
        """Let a queued task wait; `front`: its turn had come already."""
        level = self.entries if rank == self.rank else self._level(rank)
        if front:
            level.appendleft(task)
        else:
            level.append(task)
        self.live += 1

    def _level(self, rank: Rank) -> deque[Task]:
        """Where tasks of another rank than the highest so far wait."""
        if not self.live:
            self.entries.clear()
            self.rank = rank
        elif rank > self.rank:
            self.lower[self.rank] = self.entries
            self.entries = deque()
            self.rank = rank
        else:
            return self.lower.setdefault(rank, deque())
        return self.entries

    def first(self) -> Task:
        """Who is served next; `live` must not be 0."""
        while True:
            entries = self.entries
            while entries:
                task = entries[0]
                if task.state is TaskState.QUEUED:
                    return task
                entries.popleft()
            self.rank = max(self.lower)
            self.entries = self.lower.pop(self.rank)

    def first_rank(self) -> Rank:
        """The rank of who is served next."""
        self.first()
        return self.rank

    def pop(self) -> Task:
        """Take the one that `first` has just returned."""
        self.live -= 1
        return self.entries.popleft()

    def drop(self) -> None:
        """Count one entry as stale; its task leaves QUEUED now."""
        self.live -= 1
        if not self.live:
            self.entries.clear()
            self.lower.clear()

    def tasks(self) -> list[Task]:
        """The live entries, in order."""
        levels = [self.entries, *(self.lower[rank] for rank in sorted(self.lower, reverse=True))]
        return [task for level in levels for task in level if task.state is TaskState.QUEUED]

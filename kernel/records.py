"""What a job knows of each of its tasks.

Owns plain records. Never changes them: `jobs.py` does. Read next: `jobs.py`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from cellmesh.scheduler.objects import codec
from cellmesh.scheduler.wire.messages import Item

Kind = Literal["cell", "over", "map", "submit"]
Ending = Literal["done", "failed", "cancelled", "timed out", "lost"]


class WorkerLost(RuntimeError):  # noqa: N818 - it reads as what happened
    """The work was lost with its worker (its process died), and its retries are spent."""


@dataclass(slots=True)
class Record:
    """What is known of one task."""

    index: int
    size: int = 1
    items: dict[int, Item] = field(default_factory=dict)  # runs of items, by the first's index in the task
    got: int = 0  # the items that have come, a bit for each
    state: str = ""  # an Ending, or "" while it is not over
    why: str = ""
    worker: int | None = None  # mesh number of the worker that reported last
    seconds: float = 0.0  # that its last run took in the worker; 0 if that is not known

    def has(self, index: int) -> bool:
        """Whether this item has come."""
        return bool(self.got >> index & 1)

    def item(self, index: int) -> Item | None:
        """The item as if it had come by itself; None if it has not come."""
        found = self.items.get(index)
        if found is not None and found.count == 1:
            return found
        if not self.has(index):
            return None
        found = self.items[max(first for first in self.items if first <= index)]
        return Item(index, True, codec.dumps(codec.loads(found.payload)[index - found.index]))

    def missing(self) -> list[int]:
        """The items that have not come."""
        return [index for index in range(self.size) if not self.got >> index & 1]


Listener = Callable[[Record, Sequence[Item] | None], None]
"""Called from the engine's thread with a task's new items, or with None when it is over."""

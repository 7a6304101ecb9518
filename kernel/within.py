"""How far items that run are, by their own word (`cm.track`, tqdm).

Owns the latest word of each running task. Never shows it: `progress.py` does. Read next: `sink.py`,
`tracking.py`.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from cellmesh.scheduler.wire.messages import Item, Progress
from cellmesh.widgets import text

if TYPE_CHECKING:
    from .jobs import Job

SHOWN = 3
_NAMES = {"map": "item", "over": "item", "cell": "worker", "submit": "call"}


class Within:
    """Written by the engine's thread, read by whoever waits."""

    def __init__(self) -> None:
        self._latest: dict[int, dict[int, Progress]] = {}  # job -> task -> its word

    def take(self, progress: Progress) -> None:
        """A task said something."""
        self._latest.setdefault(progress.job, {})[progress.task] = progress

    def came(self, job: int, task: int, items: Iterable[Item]) -> None:
        """These items are over, so what they said is of no interest any more."""
        latest = self._latest.get(job, {})
        said = latest.get(task)
        if said is not None and any(one.index <= said.item < one.index + one.count for one in items):
            latest.pop(task, None)

    def over(self, job: int, task: int) -> None:
        """A task is over."""
        latest = self._latest.get(job)
        if latest is not None:
            latest.pop(task, None)
            if not latest:
                del self._latest[job]

    def told(self, job: "Job") -> str:
        """`item 3: 40% epoch, item 4: 12% epoch, +2 more`; "" if nothing of it said anything."""
        latest = sorted(self._latest.get(job.id, {}).copy().items())
        lines = [
            f"{_name(job, task, said)}{text.inside(said.done, said.total, said.text)}"
            for task, said in latest[:SHOWN]
        ]
        more = [f"+{len(latest) - SHOWN} more"] if len(latest) > SHOWN else []
        return ", ".join(lines + more)


def _name(job: "Job", task: int, said: Progress) -> str:
    if job.kind == "submit" and len(job.records) == 1:
        return ""
    place = job.place_of(task) if job.place_of is not None else task
    return "" if place is None else f"{_NAMES[job.kind]} {place + said.item}: "

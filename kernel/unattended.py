"""Cells that nobody waits for, or not yet: their first failure is told at once.

Owns that line, and the handles that have no name. Never raises. Read next: `launch.py`, `notices.py`.
"""

from collections.abc import Sequence
from typing import Any

from cellmesh.scheduler.objects import codec
from cellmesh.scheduler.objects.failures import Failure
from cellmesh.scheduler.wire.messages import Item

from . import targets
from .jobs import Job, Record
from .session import Session


def keep(session: Session, job: Job, handle: Any) -> None:
    """A background cell without `--out`: the handle is kept until the job is over, and a failure is told."""
    known = targets.memory(session)
    known.handles = [(other, kept) for other, kept in known.handles if not other.finished]
    known.handles.append((job, handle))
    tell_failure(job, background=True)


def tell_failure(job: Job, *, background: bool = False) -> None:
    """Say a line when the first task fails while others are still at work (background: in any case)."""

    def hear(record: Record, items: Sequence[Item] | None) -> None:  # from the engine's thread
        bad = next((item for item in items or () if not item.ok), None)
        left = len(job.records) - job.done - job.failed
        if bad is None or job.failed != 1 or not (left or background):
            return
        failure = codec.loads(bad.payload)
        if isinstance(failure, Failure):
            where = f"cell {job.cell.label}: " if background and job.cell and job.cell.label else ""
            others = f" ({left} other{'s' * (left > 1)} still at work)" if left else ""
            job.session.notices.say(f"{where}{failure.worker} failed: {_first_line(failure)}{others}")

    job.add_listener(hear)


def _first_line(failure: Failure) -> str:
    text = " ".join(failure.message.split())
    return f"{failure.type_name}: {text[:120]}" if text else failure.type_name

"""What a task or item ended with, as a Python value or exception.

Owns decoding. Never waits. Read next: `futures.py`, `mapping.py`.
"""

from concurrent.futures import CancelledError
from dataclasses import replace
from typing import Any

from cellmesh.scheduler.engines.contract import EngineError
from cellmesh.scheduler.objects import codec
from cellmesh.scheduler.objects.failures import LOST, Failure
from cellmesh.scheduler.wire.messages import Item

from . import stop
from .jobs import Job, Record, WorkerLost
from .tracebacks import rebuild


def value_of(
    item: Item, what: str = "", start: int = 0, many: bool = False
) -> tuple[Any, BaseException | None]:
    """(value, None) or (None, exception). `what` was called; `start`: where in a map its task begins."""
    try:
        loaded = codec.loads(item.payload)
    except Exception as error:  # noqa: BLE001 - a user's class may raise anything as it is loaded; it is handed on
        error.add_note("This happened while the notebook loaded a result; it is not an error of the task.")
        return None, error
    if item.ok:
        return loaded, None
    failure: Failure = loaded
    if failure.type_name == LOST and failure.exception is None:
        return None, WorkerLost(f"{what}: {failure.message}")
    if failure.item is not None and many:
        failure = replace(failure, item=failure.item + start)
    shell = stop.shell()
    return None, rebuild(failure, shell.user_ns if shell is not None else None)


def values_of(item: Item) -> list[Any]:
    """The values of a run of items, all of which succeeded; raises what loading them raises."""
    if item.count == 1:
        return [codec.loads(item.payload)]
    values: list[Any] = codec.loads(item.payload)
    return values


def ending_of(job: Job, record: Record | None, what: str = "") -> BaseException:
    """Why there is no item although the task is over. `what` it ran is by default the job's title."""
    state = record.state if record is not None else "cancelled"
    why = record.why if record is not None else ""
    if job.timed_out and state in ("cancelled", ""):
        return TimeoutError(f"{job.title}: cancelled, as its timeout had passed.")
    if job.refused:
        return EngineError(job.refused)
    if state in ("cancelled", ""):
        because = f": {why}" if why not in ("", "cancelled") else "."
        return CancelledError(f"{what or job.title} was cancelled{because}")
    if state == "timed out":
        return TimeoutError(f"{what or job.title}: {why}")
    if state == "lost":
        return WorkerLost(f"{what or job.title}: {why or 'its worker died'}")
    return RuntimeError(why or f"{job.title}: it ended without a result.")

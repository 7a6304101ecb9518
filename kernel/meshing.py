"""The session's numbered workers: starting them, and waiting until they are as asked.

Owns what `Session` does about its mesh. Never decides where workers run. Read next: `session.py`.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from cellmesh.scheduler.engines.contract import Capacity, EngineError
from cellmesh.scheduler.wire.messages import WorkerInfo

from . import progress

if TYPE_CHECKING:
    from .session import Session

READY = frozenset({"idle", "busy"})
START_TIMEOUT = 60.0
CROWD = 4
"""Workers for each core; more are started, but with a word of warning."""

LEAST_MEMORY = 25_000_000
"""Bytes that a worker takes for itself before it does anything."""

DEATHS = 3
"""So many replacements of one worker while it starts mean that it will never start."""


def ensure(session: "Session", size: int | None = None, gpus: int = 0) -> tuple[WorkerInfo, ...]:
    """The mesh workers, all ready; if there are none, the default mesh starts (one a core or GPU)."""
    session.check()
    if not session.workers or (size is not None and size != len(session.workers)):
        capacity = session.engine.capacity()
        change(session, size or natural(capacity, gpus), gpus)
    elif len(session.ready_workers()) < len(session.workers):
        _wait_shape(session, len(session.workers))
    return session.workers


def natural(capacity: Capacity, gpus: int) -> int:
    """How many workers with so many GPUs a mesh has if nobody says so."""
    return len(capacity.gpus) // gpus if gpus else capacity.cpus


def change(session: "Session", size: int, gpus: int = 0) -> None:
    """Have mesh workers 0..size-1, each with so many GPUs; waits until they are ready."""
    session.check()
    capacity = session.engine.capacity()
    if size < 0:
        raise EngineError(f"A mesh cannot have {size} workers; ask for 1 or more (0 stops it).")
    if size * gpus > len(capacity.gpus):
        raise EngineError(
            f"{size} workers with {gpus} GPU{'s' * (gpus > 1)} each need {size * gpus}; "
            f"this machine has {len(capacity.gpus)}."
        )
    if session.engine.name != "inline" and size > max(CROWD * capacity.cpus, len(session.workers)):
        _warn(session, size, capacity)
    session.engine.set_mesh(size, gpus)
    _wait_shape(session, size)


def _warn(session: "Session", size: int, capacity: Capacity) -> None:
    """Say what so many processes cost; refuse what this machine cannot hold."""
    need, cores = size * LEAST_MEMORY, f"{capacity.cpus} core{'s' * (capacity.cpus != 1)}"
    if capacity.memory and need > capacity.memory:
        raise EngineError(
            f"{size} workers are {size} processes, which take {need / 1e9:.0f} GB of memory before they do "
            f"anything; this machine has {capacity.memory / 1e9:.0f} GB, and {cores}. cm.map and cm.submit "
            "share out any number of calls over one process a core."
        )
    session.notices.say(
        f"starting {size} processes on {cores}: they take turns, and some {need / 1e9:.1f} GB of memory. "
        f"{capacity.cpus} would compute as fast; %mesh scale {capacity.cpus} goes back to that."
    )


def _wait_shape(session: "Session", size: int) -> None:
    def has_shape(workers: Sequence[WorkerInfo]) -> bool:
        return len(workers) == size and all(worker.state in READY for worker in workers)

    wait(session, has_shape, START_TIMEOUT, f"starting {size} worker{'s' * (size != 1)}")


def wait(
    session: "Session",
    predicate: Callable[[Sequence[WorkerInfo]], bool],
    timeout: float,
    title: str,
) -> None:
    """Wait until the mesh is as `predicate` says; an error if workers keep dying or it takes too long."""
    first: dict[int, set[int]] = {}
    failing: list[int] = []
    refused = len(session.refusals)

    def settled() -> bool:
        workers = session.workers
        for worker in workers:
            ids = first.setdefault(worker.number, set())
            ids.add(worker.id)
            if len(ids) > DEATHS and worker.number not in failing:
                failing.append(worker.number)
        return bool(failing) or predicate(workers) or len(session.refusals) > refused

    if not progress.wait(session, settled, timeout, title):
        ready = f"{len(session.ready_workers())} of {len(session.workers)} ready"
        raise EngineError(
            f"{title}: not done after {timeout:g} s ({ready}). %mesh shows the workers, "
            "python -m cellmesh doctor checks the machine."
        )
    if failing:
        raise EngineError(
            f"Mesh worker {failing[0]} keeps dying while it starts. %mesh logs shows what it said last."
        )
    if len(session.refusals) > refused:
        raise EngineError(session.refusals[-1])

"""The session's numbered workers: starting them, and waiting until they are as asked.

Owns what `Session` does about its mesh. Never decides where workers run. Read next: `session.py`.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from cellmesh.scheduler.engines.contract import EngineError
from cellmesh.scheduler.wire.messages import WorkerInfo

from . import progress

if TYPE_CHECKING:
    from .session import Session

READY = frozenset({"idle", "busy"})
START_TIMEOUT = 60.0
DEATHS = 3
"""So many replacements of one worker while it starts mean that it will never start."""


def ensure(session: "Session", size: int | None = None, gpus: int = 0) -> tuple[WorkerInfo, ...]:
    """The mesh workers, all ready; if there are none, the default mesh starts (one a core or GPU)."""
    session.check()
    if not session.workers or (size is not None and size != len(session.workers)):
        capacity = session.engine.capacity()
        change(session, size or (len(capacity.gpus) // gpus if gpus else capacity.cpus), gpus)
    elif len(session.ready_workers()) < len(session.workers):
        _wait_shape(session, len(session.workers))
    return session.workers


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
    session.engine.set_mesh(size, gpus)
    _wait_shape(session, size)


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

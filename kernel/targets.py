"""Which mesh workers a cell goes to, and that they are there.

Owns the checks of `-n`, `--gpus` and `--workers` against the mesh, and the word about replaced workers. Never
launches a job. Read next: `launch.py`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

from IPython.core.error import UsageError

from cellmesh.scheduler.engines.contract import EngineError
from cellmesh.scheduler.wire.messages import WorkerInfo

from .arguments import CellOptions, show_spec
from .session import Session


@dataclass(slots=True)
class Memory:
    """What the cells of a session have left behind."""

    ids: dict[int, int] = field(default_factory=dict)  # worker number -> id when a cell last ran there
    setup: bool = False  # a cell was marked --setup
    pending: list[tuple[Any, frozenset[str]]] = field(default_factory=list)  # (job, names that it may bind)
    announced: set[str] = field(default_factory=set)  # digests of large values
    digests: dict[str, str] = field(default_factory=dict)  # name -> digest that was last sent
    handles: list[tuple[Any, Any]] = field(default_factory=list)  # (job, results) that have no name


_memories: WeakKeyDictionary[Session, Memory] = WeakKeyDictionary()


def memory(session: Session) -> Memory:
    return _memories.setdefault(session, Memory())


def planned(session: Session, options: CellOptions, magic: str) -> tuple[int, ...]:
    """The workers that the cell will go to. Checked against the mesh as it is, or as it would be started."""
    gpus = options.gpus or 0
    if session.workers:
        _same_shape(session.workers, options, magic)
        size = len(session.workers)
    else:
        capacity = session.engine.capacity()
        size = options.size or (len(capacity.gpus) // gpus if gpus else capacity.cpus)
        if gpus and (size == 0 or size * gpus > len(capacity.gpus)):
            raise UsageError(
                f"{magic}: --gpus {gpus} for {max(size, 1)} worker{'s' * (size > 1)} needs "
                f"{max(size, 1) * gpus}; this machine has {len(capacity.gpus) or 'none'}"
            )
    chosen = options.workers if options.workers is not None else tuple(range(size))
    beyond = [worker for worker in chosen if worker >= size]
    if beyond:
        have = "only worker 0" if size == 1 else f"workers 0-{size - 1}"
        raise UsageError(
            f"{magic}: there is no worker {show_spec(tuple(beyond))}; the mesh has {have} "
            f"(%mesh scale {max(beyond) + 1} adds more)"
        )
    return chosen


def ready(session: Session, options: CellOptions, chosen: Sequence[int]) -> bool:
    """Wait until the chosen workers take work. Says which ones are new, and which are waited for.

    True if setup cells may be at work on new ones: what these assign is not known yet.
    """
    stopping = [w.number for w in session.workers if w.state == "stopping" and w.number in chosen]
    if stopping:
        session.notices.say(
            f"waiting for worker {show_spec(tuple(stopping))}, which is still stopping; it is replaced if it "
            "does not yield (Stop replaces it at once)"
        )
    try:
        workers = session.ensure_mesh(options.size, options.gpus or 0)
    except EngineError as error:
        raise UsageError(str(error)) from None
    except KeyboardInterrupt:
        if stopping:
            for job in list(session.jobs.values()):
                if job.cancelled and not job.finished:
                    job.cancel(force=True)
        raise
    found = tuple(worker for worker in workers if worker.number in chosen)
    known = memory(session)
    new = [worker.number for worker in found if known.ids.get(worker.number, worker.id) != worker.id]
    if new:
        which = f"worker {new[0]} is" if len(new) == 1 else f"workers {show_spec(tuple(new))} are"
        again = " (setup cells were run again)" if known.setup else ""
        session.notices.say(f"{which} new: {'its' if len(new) == 1 else 'their'} variables are gone{again}")
    known.ids.update((worker.number, worker.id) for worker in found)
    session.new_worker_ids_seen.update(worker.id for worker in found)
    return bool(new) and known.setup


def owned_names(session: Session, chosen: Sequence[int]) -> dict[str, set[int]]:
    """Names that distributed cells assigned, or are about to, and on which of the workers."""
    owned: dict[str, set[int]] = {}
    for worker in session.workers:
        for name in worker.names:
            owned.setdefault(name, set()).add(worker.number)
    known = memory(session)
    known.pending = [(job, names) for job, names in known.pending if not job.finished]
    for _, names in known.pending:
        for name in names:
            owned.setdefault(name, set()).update(chosen)
    return owned


def may_assign_unseen(session: Session) -> bool:
    """Whether work is under way whose names are not known here: another kernel's cells, before a restart."""
    own = {id(job) for job, _ in memory(session).pending}
    busy = any(worker.state not in ("idle",) for worker in session.workers)
    jobs: Sequence[Any] = list(session.jobs.values())
    return busy and any(job.kind == "cell" and not job.finished and id(job) not in own for job in jobs)


def _same_shape(workers: Sequence[WorkerInfo], options: CellOptions, magic: str) -> None:
    size = len(workers)
    has = f"the mesh has {size} worker{'s' * (size != 1)}"
    if options.size is not None and options.size != size:
        raise UsageError(f"{magic}: {has}; %mesh scale {options.size} changes that, or leave -n out")
    have = len(workers[0].gpus)
    if options.gpus is not None and options.gpus != have:
        each = f"with {have or 'no'} GPU{'s' * (have != 1)} each"
        again = f"%mesh stop and then %mesh start -n {size} --gpus {options.gpus}"
        raise UsageError(f"{magic}: {has} {each}; {again} changes that")


def forget(session: Session) -> None:
    """The session was reset: nothing is left of its cells."""
    _memories.pop(session, None)

"""Slots: the cores and the memory that a worker's task takes, free while that waits for tasks of its own.

Memory is lent like cores: a promise kept loosely is better than a task that waits for ever for its own child.

Owns the counts of what is in use, of the machine and of each session. Never decides who gets it:
`placement.py` does. Read next: `nesting.py`.
"""

from .events import TaskSpec
from .state import Session, State, Worker, WorkerState


def take(state: State, session: Session, worker: Worker, spec: TaskSpec) -> None:
    """Something begins to run."""
    worker.takes = spec
    state.slots_used += spec.cpus
    state.memory_used += spec.memory
    session.running += spec.cpus


def leave(state: State, session: Session, worker: Worker) -> None:
    """What the worker ran is over; what it had lent is with others already."""
    if worker.waits:
        _count_lender(session, worker, -1)
        worker.waits = False
    else:
        _free(state, session, worker)
    worker.takes = None


def lend(state: State, session: Session, worker: Worker) -> None:
    """What the worker runs waits: what it takes is for others."""
    _free(state, session, worker)
    worker.waits = True
    _count_lender(session, worker, 1)


def take_back(state: State, session: Session, worker: Worker) -> None:
    """It goes on at once, even if there are more at work than slots until one of them ends."""
    _count_lender(session, worker, -1)
    worker.waits = False
    assert worker.takes is not None
    take(state, session, worker, worker.takes)


def _free(state: State, session: Session, worker: Worker) -> None:
    spec = worker.takes
    assert spec is not None
    state.slots_used -= spec.cpus
    state.memory_used -= spec.memory
    session.running -= spec.cpus


def _count_lender(session: Session, worker: Worker, change: int) -> None:
    if worker.number is None and worker.state is not WorkerState.ENDING:
        session.shapes[worker.share].lent += change

"""Slots: taken by what a worker runs, and free while that waits for tasks of its own.

Owns the counts of slots in use, of the machine and of each session. Never decides who gets one:
`placement.py` does. Read next: `nesting.py`.
"""

from .state import Session, State, Worker, WorkerState


def take(state: State, session: Session) -> None:
    """Something begins to run."""
    state.slots_used += 1
    session.running += 1


def leave(state: State, session: Session, worker: Worker) -> None:
    """What the worker ran is over; a slot that it had lent is with others already."""
    if worker.waits:
        _count_lender(session, worker, -1)
        worker.waits = False
    else:
        state.slots_used -= 1
        session.running -= 1


def lend(state: State, session: Session, worker: Worker) -> None:
    """What the worker runs waits: its slot is for others."""
    leave(state, session, worker)
    worker.waits = True
    _count_lender(session, worker, 1)


def take_back(state: State, session: Session, worker: Worker) -> None:
    """It goes on at once, even if there are more at work than slots until one of them ends."""
    _count_lender(session, worker, -1)
    worker.waits = False
    take(state, session)


def _count_lender(session: Session, worker: Worker, change: int) -> None:
    if worker.number is None and worker.state is not WorkerState.ENDING:
        session.shapes[len(worker.gpus)].lent += change

"""What is done to workers from outside: their processes are stopped, continued, told to end.

Owns the patience with each. The operating system's word on a stopped process is all the heartbeat there is:
one that computes without ever yielding, or a laptop that slept, is never mistaken for a stuck one. Never
kills what may still get on. Read next: `workers.py`, `mesh.py`.
"""

from .commands import KillWorker
from .events import WorkerDraining, WorkerPaused
from .hosts import host_drains, host_paused
from .mesh import end_if_due
from .state import WorkerState
from .turn import Turn
from .workers import end, offer, unrest, watch_paused

DRAIN_SECONDS = 30.0  # what was told to end has so long to finish its task: the notice of most cloud machines


def worker_paused(turn: Turn, event: WorkerPaused) -> None:
    """Give a stopped worker nothing; one that is needed has its time to go on, then it is replaced."""
    state = turn.state
    worker = state.workers.get(event.worker)
    if worker is None or worker.paused == event.paused:
        return
    worker.paused = event.paused
    if worker.state is WorkerState.ENDING:
        if event.paused:
            turn.out.append(KillWorker(worker.id))  # it cannot end by itself now
        return
    if worker.actor is not None:
        host_paused(turn, worker)
        return
    session = state.sessions[worker.session]
    if not event.paused:
        turn.cancel_timer(f"paused:{worker.id}")
    if worker.state is not WorkerState.IDLE:
        if event.paused:
            watch_paused(turn, session, worker)
    elif worker.number is None:
        end(turn, worker)  # it holds nothing of anybody's: a new one is started when it is needed
    else:
        unrest(turn, session, worker)
        offer(turn, session, worker)


def worker_draining(turn: Turn, event: WorkerDraining) -> None:
    """Let it finish what it runs, then end it; a mesh worker's number goes to a new one."""
    state = turn.state
    worker = state.workers.get(event.worker)
    if worker is None or worker.draining or worker.state is WorkerState.ENDING:
        return
    worker.draining = True
    if worker.actor is not None:
        host_drains(turn, worker)
        return
    if worker.state is WorkerState.IDLE:
        end_if_due(turn, state.sessions[worker.session], worker)
    else:
        turn.set_timer(f"drain:{worker.id}", DRAIN_SECONDS)

"""Setup cells: jobs whose tasks run again on every new mesh worker.

Owns which of them a worker has still to run. Never starts them: `placement.py` does. Read next: `mesh.py`.
"""

from collections import deque

from .ids import JobId, TaskIndex
from .state import Job, Session, State, WorkerState
from .turn import Turn
from .workers import offer


def adopt_setup(turn: Turn, job: Job) -> None:
    """A setup job is over: new mesh workers will run it, and those born while it ran do so now."""
    state = turn.state
    session = state.sessions[job.session]
    if job.cancelled or not job.tasks or job.id in session.setup_jobs:
        return
    session.setup_jobs.append(job.id)
    for number, worker_id in session.mesh.items():
        worker = state.workers[worker_id]
        if worker_id < job.born or not worker.greeted or job.id in worker.setup_seen or worker.retire:
            continue
        worker.setup.append((job.id, min(job.tasks)))
        if worker.state is WorkerState.IDLE:
            session.idle_mesh.pop(number, None)
            offer(turn, session, worker)


def setup_list(state: State, session: Session) -> deque[tuple[JobId, TaskIndex]]:
    """What a new mesh worker must run before anything else."""
    return deque((job, min(state.jobs[job].tasks)) for job in session.setup_jobs)

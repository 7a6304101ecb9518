"""Sessions: attached, orphaned, reset, ended.

Owns the grace time and the clearing up. Never touches another session's things. Read next: `jobs.py`.
"""

from .actors import DETACHED, any_detached, end_actors
from .commands import ForgetSession, ForgetTasks
from .events import ClientLost, SessionAttached, SessionEnded, SessionReset
from .jobs import seal
from .mesh import dismiss, fill
from .nesting import remove
from .state import Session, TaskState, Worker
from .tasks import settle
from .turn import Turn
from .workers import end


def session_attached(turn: Turn, event: SessionAttached) -> None:
    """A kernel came, or came back; a second one takes the session over from the first."""
    state = turn.state
    session = state.sessions.get(event.session)
    if session is None:
        state.sessions[event.session] = Session(event.session, event.name, event.grace, event.client)
        return
    session.client = event.client
    session.name = event.name
    session.grace = event.grace
    turn.cancel_timer(f"grace:{session.id}")
    if session.mesh:
        turn.tell[session.id] = None


def client_lost(turn: Turn, event: ClientLost) -> None:
    """The kernel is gone: its sessions wait for another one, for their grace time."""
    for session in list(turn.state.sessions.values()):
        if session.client != event.client:
            continue
        session.client = None
        for job in [turn.state.jobs[job_id] for job_id in session.jobs]:
            if job.parent is None and not job.sealed and job.opener in (None, event.client):
                seal(turn, job)  # whoever would have sent more is gone
        end_actors(turn, session, "ended with its kernel, as it has no name", unnamed=True)
        turn.cancel_timer(f"grace:{session.id}")
        if session.grace <= 0:
            end_session(turn, session)
        else:
            turn.set_timer(f"grace:{session.id}", session.grace)


def session_ended(turn: Turn, event: SessionEnded) -> None:
    """Clear it for good."""
    session = turn.state.sessions.get(event.session)
    if session is not None:
        end_session(turn, session)


def end_detached(turn: Turn) -> None:
    """The session of detached actors ends with the last of them; what these have started ends, too."""
    session = turn.state.sessions.get(DETACHED)
    if session is not None and not any_detached(turn.state):
        end_session(turn, session)


def session_workers(turn: Turn, session: Session) -> list[Worker]:
    """All its worker processes, ending ones too."""
    return [worker for worker in turn.state.workers.values() if worker.session == session.id]


def end_session(turn: Turn, session: Session) -> None:
    """Cancel its jobs, end its workers, forget it. Its workers stay known, ENDING, until they are gone."""
    state = turn.state
    turn.cancel_timer(f"grace:{session.id}")
    turn.cancel_timer(f"waiting:{session.id}")
    _cancel_all(turn, session, "the session ended")
    end_actors(turn, session, "ended with its session")
    for worker in session_workers(turn, session):
        # Parting from its task has freed the slot, but the process is not idle.
        end(turn, worker)
    for job_id in session.jobs:
        remove(state, state.jobs[job_id])
    del state.sessions[session.id]
    state.gpu_waiting.pop(session.id, None)
    if state.first_in_line == session.id:
        state.first_in_line = None
    turn.tell.pop(session.id, None)
    turn.out.append(ForgetSession(session.id))
    turn.ended = True


def session_reset(turn: Turn, event: SessionReset) -> None:
    """Cancel and forget all its jobs, and give it fresh mesh workers under the same numbers."""
    state = turn.state
    session = state.sessions.get(event.session)
    if session is None:
        return
    busy = [worker for worker in session_workers(turn, session) if worker.task is not None]
    _cancel_all(turn, session, "the session was reset")
    end_actors(turn, session, "was ended by %mesh reset")
    session.setup_jobs.clear()
    session.broken.clear()
    session.bad_starts.clear()
    for job_id in session.jobs:
        remove(state, state.jobs[job_id])
        turn.out.append(ForgetTasks(job_id, None))
    session.jobs.clear()
    for worker in [state.workers[worker_id] for worker_id in session.mesh.values()]:
        dismiss(turn, session, worker, kill=True)
    for worker in busy:
        end(turn, worker, kill=True)
    turn.tell[session.id] = None
    fill(turn, session)


def _cancel_all(turn: Turn, session: Session, why: str) -> None:
    for job_id in session.jobs:
        job = turn.state.jobs[job_id]
        job.cancelled = job.halted = job.sealed = True
        if job.open_tasks:
            for task in list(job.tasks.values()):
                if task.worker is not None or task.state is TaskState.QUEUED:
                    settle(turn, job, task, TaskState.CANCELLED, why)

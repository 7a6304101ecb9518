"""Read-only views of the state, for status lines, panels and the dashboard.

Owns what others may see. Never changes a thing, never walks tasks: a view costs by workers and jobs.
Read next: `story.py`.
"""

from dataclasses import dataclass

from .ids import JobId, SessionId, WorkerId
from .state import State, WorkerState


@dataclass(frozen=True, slots=True)
class WorkerView:
    """One worker process."""

    id: WorkerId
    number: int | None
    state: WorkerState
    gpus: tuple[str, ...]
    fresh: bool


@dataclass(frozen=True, slots=True)
class JobView:
    """One launch. `items_done` succeeded, `items_failed` raised; `running` and `queued` count tasks."""

    id: JobId
    number: int
    kind: str
    title: str
    background: bool
    finished: bool
    cancelled: bool
    items: int
    items_done: int
    items_failed: int
    running: int
    queued: int


@dataclass(frozen=True, slots=True)
class SessionView:
    """One session, as its notebook sees it: mesh workers in order, then task workers."""

    id: SessionId
    name: str
    attached: bool
    mesh_size: int
    mesh_gpus: int
    slots: int
    workers: tuple[WorkerView, ...]
    jobs: tuple[JobView, ...]


@dataclass(frozen=True, slots=True)
class SessionLine:
    """One session, as its neighbours see it."""

    id: SessionId
    name: str
    attached: bool
    slots: int
    workers: int
    gpus: tuple[str, ...]
    jobs: int
    open_jobs: int


@dataclass(frozen=True, slots=True)
class HubView:
    """The whole machine. `gpus` maps each device to the name of the session that holds it."""

    epoch: int
    cpus: int
    slots_used: int
    gpus: tuple[tuple[str, str | None], ...]
    sessions: tuple[SessionLine, ...]


def session_view(state: State, session_id: SessionId) -> SessionView | None:
    """The session's workers and jobs, or None for an unknown one."""
    session = state.sessions.get(session_id)
    if session is None:
        return None
    workers = [
        WorkerView(worker.id, worker.number, worker.state, worker.gpus, worker.fresh)
        for worker in state.workers.values()
        if worker.session == session_id
    ]
    workers.sort(key=lambda view: (view.number is None, view.number or 0, view.id))
    jobs = []
    for job_id in session.jobs:
        job = state.jobs[job_id]
        jobs.append(
            JobView(
                job.id,
                job.number,
                job.kind,
                job.title,
                job.background,
                job.finished,
                job.cancelled,
                job.items,
                job.items_done,
                job.items_failed,
                job.running,
                job.open_tasks - job.running,
            )
        )
    return SessionView(
        session.id,
        session.name,
        session.client is not None,
        session.mesh_size,
        session.mesh_gpus,
        session.running,
        tuple(workers),
        tuple(jobs),
    )


def hub_view(state: State) -> HubView:
    """Slots, devices and sessions of the machine."""
    holder_names: dict[str, str | None] = {}
    for device, holder in state.gpus.items():
        worker = state.workers[holder] if holder is not None else None
        owner = state.sessions.get(worker.session) if worker is not None else None
        ended = "an ended session" if worker is not None else None
        holder_names[device] = owner.name if owner is not None else ended
    lines = []
    for session in state.sessions.values():
        own = [worker for worker in state.workers.values() if worker.session == session.id]
        open_jobs = sum(not state.jobs[job].finished for job in session.jobs)
        lines.append(
            SessionLine(
                session.id,
                session.name,
                session.client is not None,
                session.running,
                len(own),
                tuple(device for worker in own for device in worker.gpus),
                len(session.jobs),
                open_jobs,
            )
        )
    return HubView(state.epoch, state.cpus, state.slots_used, tuple(holder_names.items()), tuple(lines))

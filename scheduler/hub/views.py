"""The core's state as the wire's records, for clients and status views.

Owns translation only. Never changes anything. Read next: `hub.py`.
"""

from collections.abc import Mapping

from cellmesh.scheduler.core.events import ONE
from cellmesh.scheduler.core.ids import JobId, SessionId, WorkerId
from cellmesh.scheduler.core.state import State, WorkerState
from cellmesh.scheduler.wire.messages import JobInfo, SessionInfo, WorkerInfo

from .store import Store


def mesh(
    state: State, session: SessionId, pids: Mapping[WorkerId, int], names: Mapping[WorkerId, list[str]]
) -> list[WorkerInfo]:
    """The session's mesh workers by number."""
    record = state.sessions.get(session)
    if record is None:
        return []
    found = []
    for number, worker_id in sorted(record.mesh.items()):
        worker = state.workers[worker_id]
        stopping = worker.task is not None and is_stopping(state, worker.task)
        found.append(
            WorkerInfo(
                number=number,
                id=worker_id,
                pid=pids.get(worker_id, 0),
                state="stopping" if stopping else worker.state.value,
                gpus=list(worker.gpus),
                names=names.get(worker_id, []),
            )
        )
    return found


def is_stopping(state: State, task: tuple[JobId, int]) -> bool:
    job = state.jobs.get(task[0])
    return job is not None and task[1] in job.tasks and job.tasks[task[1]].state == "stopping"


def job(state: State, store: Store, job_id: JobId) -> JobInfo | None:
    """One job as a list shows it."""
    record, kept = state.jobs.get(job_id), store.jobs.get(job_id)
    if record is None or kept is None:
        return None
    return JobInfo(
        id=job_id,
        number=record.number,
        kind=record.kind,
        title=record.title,
        background=record.background,
        finished=record.finished,
        cancelled=record.cancelled,
        items=record.items,
        done=record.items_done,
        failed=record.items_failed,
        running=record.running,
        opened=kept.opened,
        ends={how: kept.ends[how] for how in ("timed out", "cancelled", "lost") if kept.ends[how]},
        cell=kept.cell,
    )


def session(
    state: State,
    store: Store,
    session_id: SessionId,
    pids: Mapping[WorkerId, int],
    names: Mapping[WorkerId, list[str]],
) -> SessionInfo | None:
    """One session as a status view lists it."""
    record = state.sessions.get(session_id)
    if record is None:
        return None
    launched = [job_id for job_id in record.jobs if not state.jobs[job_id].depth]  # others are parts of these
    jobs = [info for job_id in launched if (info := job(state, store, job_id)) is not None]
    loose = [
        pids.get(worker.id, 0)
        for worker in state.workers.values()
        if worker.session == session_id
        and worker.number is None
        and worker.actor is None
        and worker.state != WorkerState.ENDING
    ]
    return SessionInfo(
        id=session_id,
        name=record.name,
        attached=record.client is not None,
        slots=record.running / ONE,
        mesh=mesh(state, session_id, pids, names),
        task_workers=loose,
        jobs=jobs,
    )

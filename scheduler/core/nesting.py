"""Tasks that submit tasks: whose job is whose, what ends with its parent, and the slots of those that wait.

Owns the tree of jobs. A task that waits for its own children lends its slot, so that a pool of one core gets
on; its process waits with it, which is why the tree has a bound. GPUs are held by processes and not lent.
Never cancels by itself: `tasks.py` says which tasks no longer wait. Read next: `slots.py`.
"""

from .events import TaskWaiting
from .ids import Attempt, JobId, TaskIndex
from .slots import lend, take_back
from .state import Job, Session, State, TaskState, Worker, WorkerState
from .tasks import stop_job
from .turn import Turn

DEEPEST = 32
"""Levels of tasks inside tasks. Each one that waits keeps a process of some 30 MB: what goes deeper is most
likely a recursion without an end, and would take the machine's memory before anybody noticed."""

TOO_DEEP = (
    f"tasks are nested more than {DEEPEST} levels deep, and each level that waits keeps a worker process; "
    "let a task recurse by plain calls from some depth on"
)
MESH_INSIDE = (
    "a task cannot wait for mesh workers, as it may be running on the one it waits for; "
    "inside tasks use cm.submit and cm.map"
)
_HEARD = (TaskState.RUNNING, TaskState.STOPPING, TaskState.DONE, TaskState.FAILED)


def why_refused(state: State, session: Session, parent: tuple[JobId, TaskIndex]) -> str:
    """Why a task may not open a job; empty if it may."""
    job = state.jobs.get(parent[0])
    task = None if job is None else job.tasks.get(parent[1])
    if job is None or task is None or job.session != session.id:
        return "the task that submitted it is over and forgotten"
    if task.state not in _HEARD:
        return "the task that submitted it was stopped"
    return TOO_DEEP if job.depth >= DEEPEST else ""


def adopt(state: State, job: Job, parent: tuple[JobId, TaskIndex]) -> None:
    """The job is a child of this task. To people it is a part of the job they launched: it has its number."""
    above = state.jobs[parent[0]]
    job.parent = parent
    job.depth = above.depth + 1
    job.number = above.number
    state.nested.setdefault(parent, {})[job.id] = None


def remove(state: State, job: Job) -> None:
    """The job is forgotten."""
    del state.jobs[job.id]
    if job.parent is not None:
        children = state.nested[job.parent]
        del children[job.id]
        if not children:
            del state.nested[job.parent]


def end_children(turn: Turn) -> None:
    """Cancel what was submitted by tasks that were stopped, lost or put back in this turn, and so on down."""
    state = turn.state
    while turn.parted:
        parent, _ = turn.parted.popitem()
        for job_id in state.nested.get(parent, ()):
            job = state.jobs[job_id]
            if not job.finished:
                job.cancelled = True
                stop_job(turn, job)


def task_waiting(turn: Turn, event: TaskWaiting) -> None:
    """Lend the slot of what waits, or give it one again at once. Word of earlier attempts says nothing."""
    state = turn.state
    worker = state.workers.get(event.worker)
    if worker is None or worker.waits == event.waits or worker.state is WorkerState.ENDING:
        return
    if event.attempt != _attempt_of(state, worker):
        return
    session = state.sessions[worker.session]
    if event.waits:
        lend(state, session, worker)
        if worker.number is None:
            turn.growing[session.id, worker.share] = None
    else:
        take_back(state, session, worker)


def _attempt_of(state: State, worker: Worker) -> Attempt:
    if worker.task is None:
        return worker.setup_attempt
    return state.jobs[worker.task[0]].tasks[worker.task[1]].attempt

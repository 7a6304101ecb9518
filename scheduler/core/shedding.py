"""The tail: while some workers are idle, others give back items that they have not begun.

Owns who is asked and when. Only free slots that nothing else wants are filled so, and only from tasks that
have run for a while: what is about to end is left alone. Never takes an item from a worker by itself: the
worker's answer says which it will not run. Read next: `pieces.py`, `../worker/span.py`.
"""

from .commands import ShedItems
from .events import Pool
from .pieces import add_piece
from .state import Job, State, Task, TaskState, Worker, WorkerState
from .tasks import enqueue, halted_why, stop
from .turn import Turn

LEAST_SECONDS = 0.05  # what has run for less is most likely about to end: moving items costs messages
TIMER = "shed"


def ask(turn: Turn) -> None:
    """Ask those with the most items left, as many as there are slots for what they give."""
    state = turn.state
    free = state.cpus - state.slots_used
    able: list[tuple[int, Worker, Task]] = []
    for worker_id in state.many:
        worker = state.workers[worker_id]
        if worker.asked:
            assert worker.takes is not None
            free -= worker.takes.cpus
        elif (task := _could_give(state, worker)) is not None:
            able.append((_left(task), worker, task))
    able.sort(key=lambda each: each[0], reverse=True)
    soonest = 0.0
    for _, worker, task in able:
        spec = task.spec
        if free < max(spec.cpus, 1) or (spec.memory and state.memory_used + spec.memory > state.memory):
            continue
        wait = worker.since + LEAST_SECONDS - turn.at
        if wait > 0:
            soonest = min(wait, soonest or wait)
            continue
        worker.asked = True
        free -= spec.cpus
        turn.out.append(ShedItems(worker.id, task.job, task.told_as, task.attempt))
    if soonest and TIMER not in state.timers:
        turn.set_timer(TIMER, soonest)


def _could_give(state: State, worker: Worker) -> Task | None:
    """Its task, if others could run items of that which it has not begun."""
    if not worker.spare or worker.paused or worker.state is not WorkerState.BUSY or worker.task is None:
        return None
    job = state.jobs[worker.task[0]]
    task = job.tasks[worker.task[1]]
    if task.state is not TaskState.RUNNING or job.halted or _left(task) < 2:
        return None
    session = state.sessions[job.session]
    if task.spec.pool is Pool.MESH:
        return task if session.idle_mesh and not session.ready_mesh.live else None
    shape = session.shapes[task.spec.gpus]
    return task if not shape.waiting and (shape.idle or not task.spec.gpus) else None


def _left(task: Task) -> int:
    return task.spec.size - (task.reported | task.given).bit_count()


def answered(turn: Turn, worker: Worker, job: Job, task: Task, returned: tuple[int, ...]) -> None:
    """The worker will not run these items: let another one."""
    if worker.asked:
        worker.asked = False
        worker.spare = bool(returned)  # who has begun everything is not asked again
    items = 0
    for index in returned:
        if 0 <= index < task.spec.size:
            items |= 1 << index
    items &= ~(task.reported | task.given)
    if not items:
        return
    piece = add_piece(turn.state, job, task, items)
    enqueue(turn, turn.state.sessions[job.session], piece, front=True)
    if task.state is TaskState.STOPPING or job.halted:
        stop(turn, job, piece, why=halted_why(job))

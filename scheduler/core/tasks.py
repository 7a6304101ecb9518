"""A task's life: queued, started, settled, put back, cancelled.

Owns the counts that go with each step (slots, open tasks, queue lengths). Never chooses what runs next:
`placement.py` does. Read next: `placement.py`.
"""

from . import slots
from .amounts import too_much
from .commands import InterruptTask, SettleTask, StartTask
from .devices import device_count
from .events import ONE, Pool, TaskSpec
from .pieces import end_piece, not_to_run, offer_items
from .queues import TaskQueue, rank_of
from .setups import adopt_setup
from .state import Job, Session, State, Task, TaskState, Worker, WorkerState
from .transitions import move, shift
from .turn import Turn
from .workers import end, shape_of

OVERDUE = 2.0  # seconds that an interrupted task has to yield (DESIGN.md, "Stop")


def why_never(state: State, session: Session, spec: TaskSpec) -> str:
    """Why this task can never run as things stand; empty if it can."""
    if spec.cpus != ONE or spec.memory or spec.gpus:
        never = too_much(spec, state.cpus, state.memory, device_count(state))
        if never:
            return never
    if spec.pool is Pool.TASK:
        return ""
    size = session.mesh_size
    if size == 0:
        return "no mesh workers: start them with %mesh start"
    if spec.worker is None:
        if len(session.broken) < size:
            return ""
        number, why = next(iter(session.broken.items()))
        return f"no mesh worker can start: worker {number} {why}"
    if not 0 <= spec.worker < size:
        there = "worker 0" if size == 1 else f"workers 0-{size - 1}"
        return f"there is no worker {spec.worker} (the mesh has {there})"
    if spec.worker in session.broken:
        return f"worker {spec.worker} cannot start: it {session.broken[spec.worker]}"
    return ""


def queue_of(session: Session, spec: TaskSpec) -> TaskQueue:
    """Where a task of this kind waits."""
    if spec.pool is Pool.TASK:
        return shape_of(session, spec.gpus).lane_of(spec)
    if spec.worker is None:
        return session.ready_mesh
    queue = session.ready_pinned.get(spec.worker)
    if queue is None:
        queue = session.ready_pinned[spec.worker] = TaskQueue()
    return queue


def enqueue(turn: Turn, session: Session, task: Task, *, front: bool = False) -> None:
    """Let a QUEUED task wait for its turn."""
    spec = task.spec
    state = turn.state
    rank = rank_of(spec, state.jobs[task.job].depth)
    if not spec.cpus:
        state.free_riders += 1
    if spec.pool is Pool.TASK:
        shape = shape_of(session, spec.gpus)
        shape.lane_of(spec).push(task, rank, front=front)
        shape.waiting += 1
        if (shape.live - shape.lent) * spec.cpus < state.cpus:  # else there are workers enough
            turn.growing[session.id, spec.gpus] = None
        return
    queue_of(session, spec).push(task, rank, front=front)
    if spec.worker is not None and spec.worker in session.idle_mesh:
        session.own_work[spec.worker] = None
    elif session.paused:
        turn.stalled[session.id] = None


def start(turn: Turn, session: Session, worker: Worker, task: Task) -> None:
    """Run it there. Both are off their lists already."""
    state = turn.state
    shift(worker, WorkerState.BUSY)
    move(task, TaskState.RUNNING)
    attempt = task.attempt = state.next_attempt
    state.next_attempt = attempt + 1
    task.worker = worker.id
    spec = task.spec
    index = spec.index
    worker.task = (task.job, index)
    worker.fresh = False
    if spec.size > 1 and spec.worker is None:
        offer_items(turn, worker)
    slots.take(state, session, worker, spec)
    if not spec.cpus:
        state.free_riders -= 1
    state.jobs[task.job].running += 1
    if worker.number is None:
        shape = session.shapes[worker.share]
        shape.busy += 1
        shape.waiting -= 1
    skip = not_to_run(task) if task.reported or task.given else ()
    if spec.timeout:
        worker.limit = spec.timeout * (spec.size - len(skip))
        turn.set_timer(f"timeout:{worker.id}:{attempt}", worker.limit)
    told = index if index >= 0 else task.told_as
    turn.out.append(StartTask(worker.id, task.job, told, attempt, skip, task.careful))


def detach(turn: Turn, job: Job, task: Task) -> None:
    """Part a task from its worker: what it took is free."""
    state = turn.state
    assert task.worker is not None
    worker = state.workers[task.worker]
    session = state.sessions[job.session]
    worker.task = None
    task.worker = None
    if state.many:
        state.many.pop(worker.id, None)
    slots.leave(state, session, worker)
    job.running -= 1
    if worker.number is None and worker.state is not WorkerState.ENDING:
        session.shapes[worker.share].busy -= 1
    if task.spec.timeout:
        worker.expired = False
        turn.cancel_timer(f"timeout:{worker.id}:{task.attempt}")
    if task.state is TaskState.STOPPING:
        turn.cancel_timer(f"overdue:{worker.id}:{task.attempt}")


def settle(turn: Turn, job: Job, task: Task, to: TaskState, why: str = "") -> None:
    """The task is over."""
    if task.worker is not None:
        detach(turn, job, task)
        if to is not TaskState.DONE and to is not TaskState.FAILED:
            part(turn, task)
    elif task.state is TaskState.QUEUED:
        session = turn.state.sessions[job.session]
        spec = task.spec
        queue = queue_of(session, spec)
        queue.drop()
        if not spec.cpus:
            turn.state.free_riders -= 1
        if spec.pool is Pool.TASK:
            session.shapes[spec.gpus].waiting -= 1
        # A number in `idle_mesh` has no setup to run, so without pinned tasks it has no own work.
        if not queue.live and task.spec.worker in session.idle_mesh and task.spec.pool is Pool.MESH:
            session.own_work.pop(task.spec.worker, None)
    move(task, to)
    job.open_tasks -= 1
    if not turn.state.splits:
        turn.out.append(SettleTask(job.id, task.spec.index, to, why))
    elif (end := end_piece(turn.state, job, task, why)) is not None:
        turn.out.append(SettleTask(job.id, *end))
        if end[1] is not TaskState.DONE and end[1] is not TaskState.FAILED:
            part(turn, job.tasks[end[0]])
    if job.setup and job.finished:
        adopt_setup(turn, job)
    if job.abandoned and job.finished:
        turn.over[job.id] = None


def part(turn: Turn, task: Task) -> None:
    """Nobody waits any more for what the task has submitted: it ends with this turn.

    Not as soon as the task is interrupted: the end of a child might then reach it before its interrupt does,
    and look like a failure of its own.
    """
    key = task.job, task.spec.index
    if key in turn.state.nested:
        turn.parted[key] = None


def complete(turn: Turn, job: Job, task: Task) -> None:
    """All that it had to do is done: it ended well, or some of its items raised."""
    settle(turn, job, task, TaskState.FAILED if task.failed_items else TaskState.DONE)


def settle_stopped(turn: Turn, job: Job, task: Task, why: str) -> None:
    """It was to stop and has: cancelled, or because its time had passed (a failure of its own)."""
    worker = turn.state.workers[task.worker] if task.worker is not None else None
    if worker is None or not worker.expired:
        settle(turn, job, task, TaskState.CANCELLED, why)
        return
    settle(turn, job, task, TaskState.TIMED_OUT, f"timed out after {worker.limit:g} s")
    if job.stop_on_error and not job.halted:
        stop_job(turn, job, spare=task)


def put_back(turn: Turn, job: Job, task: Task) -> None:
    """A running task goes to the front of its queue; only what it has not reported will run again."""
    detach(turn, job, task)
    part(turn, task)
    move(task, TaskState.QUEUED)
    enqueue(turn, turn.state.sessions[job.session], task, front=True)


def lose_all(turn: Turn, queue: TaskQueue | None, why: str) -> None:
    """What waits there will never run."""
    if queue is not None:
        for task in queue.tasks():
            settle(turn, turn.state.jobs[task.job], task, TaskState.LOST, why)


def stop(turn: Turn, job: Job, task: Task, *, force: bool = False, why: str = "cancelled") -> None:
    """Cancel a task, whatever it is doing. `force` replaces its worker at once."""
    if task.state is TaskState.QUEUED:
        settle(turn, job, task, TaskState.CANCELLED, why)
        if task.spec.pool is Pool.MESH and task.spec.worker is not None:
            unblock(turn, job, task.spec.worker)
        return
    if task.worker is None:
        return
    worker = turn.state.workers[task.worker]
    if task.state is TaskState.RUNNING:
        move(task, TaskState.STOPPING)
        if worker.state is not WorkerState.ENDING and not force:
            if worker.state is WorkerState.BUSY:  # else it is told when it says hello again
                turn.out.append(InterruptTask(worker.id, job.id, task.told_as, task.attempt))
            turn.set_timer(f"overdue:{worker.id}:{task.attempt}", OVERDUE)
    if force:
        overrun(turn, worker, task)


def unblock(turn: Turn, job: Job, number: int) -> None:
    """Stop in a cell that waits for a worker which does not yield replaces the worker at once."""
    state = turn.state
    worker_id = state.sessions[job.session].mesh.get(number)
    if worker_id is not None:
        worker = state.workers[worker_id]
        if worker.task is not None:
            blocker = state.jobs[worker.task[0]].tasks[worker.task[1]]
            if blocker.state is TaskState.STOPPING:
                overrun(turn, worker, blocker)


def overrun(turn: Turn, worker: Worker, task: Task) -> None:
    """Kill the worker of a task that must stop; the task is cancelled when the exit is seen."""
    turn.cancel_timer(f"overdue:{worker.id}:{task.attempt}")
    end(turn, worker, kill=True, reason="did not stop")


def stop_job(
    turn: Turn, job: Job, *, force: bool = False, queued_only: bool = False, spare: Task | None = None
) -> None:
    """Cancel all of a job's tasks (but for the one whose failure is the reason), and those that may come.

    Queued ones first: a task queued behind a sibling on the same worker must not take the sibling, which
    was interrupted only now, for one that does not yield.
    """
    job.sealed = job.halted = True
    if not job.open_tasks:
        return
    queued = [task for task in job.tasks.values() if task.state is TaskState.QUEUED and task is not spare]
    running = [task for task in job.tasks.values() if task.worker is not None and task is not spare]
    for task in queued:
        stop(turn, job, task, why=halted_why(job))
    for task in () if queued_only else running:
        stop(turn, job, task, force=force)


def halted_why(job: Job) -> str:
    """What to say of the tasks of a job that takes no more."""
    return "cancelled" if job.cancelled else "an earlier item failed"

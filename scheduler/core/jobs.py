"""What clients ask of jobs: open, submit, cancel, claim.

Owns idempotence: a client sends again after a hub's death whatever it is unsure of, and what is known is
skipped item by item. Never starts anything: the end of the turn does. Read next: `reports.py`.
"""

from .commands import ForgetTasks, RefuseJob, SettleTask
from .events import CancelRequested, JobOpened, JobsAbandoned, Pool, ResultsClaimed, TasksSubmitted
from .nesting import MESH_INSIDE, adopt, remove, why_refused
from .pieces import is_split, pieces_of
from .setups import adopt_setup
from .state import TERMINAL, Job, Task, TaskState
from .tasks import enqueue, halted_why, stop, stop_job, why_never
from .transitions import move
from .turn import Turn
from .waiting import watch


def job_opened(turn: Turn, event: JobOpened) -> None:
    """Number the job; its tasks follow."""
    state = turn.state
    known = state.jobs.get(event.job)
    if known is not None:
        if (known.session, known.kind) != (event.session, event.kind):
            turn.out.append(RefuseJob(event.job, "another job has this id", taken=event.client))
        return
    session = state.sessions.get(event.session)
    if session is None:
        turn.out.append(RefuseJob(event.job, "the hub does not know this session"))
        return
    if event.parent is not None:
        why = why_refused(state, session, event.parent)
        if why:
            turn.out.append(RefuseJob(event.job, why))
            return
    job = state.jobs[event.job] = Job(
        event.job,
        session.next_job_number,
        event.session,
        event.kind,
        event.title,
        event.background,
        event.stop_on_error,
        event.setup,
        born=state.next_worker,
        opener=event.client,
    )
    if event.parent is None:
        session.next_job_number += 1
    else:
        adopt(state, job, event.parent)
    session.jobs[event.job] = None


def tasks_submitted(turn: Turn, event: TasksSubmitted) -> None:
    """Queue the tasks that are new; settle at once those that can never run."""
    state = turn.state
    job = state.jobs.get(event.job)
    if job is None:
        turn.out.append(RefuseJob(event.job, "the hub does not know this job (was the session reset?)"))
        return
    if job.abandoned:
        return
    session = state.sessions[job.session]
    tasks = job.tasks
    for spec in event.tasks:
        if spec.index in tasks or spec.index in job.claimed or spec.index < job.through:
            continue
        task = tasks[spec.index] = Task(spec, job.id)
        job.items += spec.size
        if job.halted:
            move(task, TaskState.CANCELLED)
            turn.out.append(SettleTask(job.id, spec.index, task.state, halted_why(job)))
            continue
        never = MESH_INSIDE if job.depth and spec.pool is Pool.MESH else why_never(state, session, spec)
        if never:
            move(task, TaskState.LOST)
            turn.out.append(SettleTask(job.id, spec.index, task.state, never))
            continue
        job.open_tasks += 1
        enqueue(turn, session, task)
    if session.running == session.hosting and state.slots_used >= state.cpus:
        watch(turn, session)
    if event.last:
        seal(turn, job)


def seal(turn: Turn, job: Job) -> None:
    """No more tasks will come."""
    job.sealed = True
    if job.setup and job.finished:
        adopt_setup(turn, job)
    _forget_if_claimed(turn, job)


def cancel_requested(turn: Turn, event: CancelRequested) -> None:
    """Cancel tasks, or a whole job. Harmless for what is over."""
    job = turn.state.jobs.get(event.job)
    if job is None:
        return
    if event.tasks is None:
        if not job.finished:
            job.cancelled = True
            stop_job(turn, job, force=event.force, queued_only=event.queued)
            _forget_if_claimed(turn, job)
        return
    state = turn.state
    wanted = [task for index in event.tasks if index in job.tasks for task in pieces_of(state, job, index)]
    # Queued ones first, for the reason given in `stop_job`.
    for task in sorted(wanted, key=lambda task: task.worker is not None):
        if task.state not in TERMINAL and not (event.queued and task.worker is not None):
            stop(turn, job, task, force=event.force)


def results_claimed(turn: Turn, event: ResultsClaimed) -> None:
    """Forget what the user has. A claim on tasks that are not over is dropped: it will be made again.

    Setup jobs are kept, for new mesh workers run them.
    """
    state = turn.state
    job = state.jobs.get(event.job)
    if job is None or job.setup:
        return
    wanted = tuple(job.tasks) if event.tasks is None else event.tasks
    over = tuple(
        index
        for index in wanted
        if index in job.tasks
        and job.tasks[index].state in TERMINAL
        and not (state.splits and is_split(state, job, index))
    )
    for index in over:
        job.tasks.pop(index, None)
        job.claimed.add(index)
    while job.through in job.claimed:
        job.claimed.discard(job.through)
        job.through += 1
    if job.finished and not job.tasks:
        _forget(turn, job)
    elif over:
        turn.out.append(ForgetTasks(job.id, over))


def _forget_if_claimed(turn: Turn, job: Job) -> None:
    """It was claimed task by task before it was known that no more would come."""
    if (job.claimed or job.through) and not job.tasks and job.finished:
        _forget(turn, job)


def jobs_abandoned(turn: Turn, event: JobsAbandoned) -> None:
    """Cancel them, and forget each as soon as it is over."""
    for job_id in event.jobs:
        job = turn.state.jobs.get(job_id)
        if job is None:
            continue
        job.abandoned = True
        if not job.finished:
            job.cancelled = True
            stop_job(turn, job)
        turn.over[job_id] = None


def forget_over(turn: Turn) -> None:
    """Forget those abandoned jobs that have come to their end in this turn."""
    for job_id in turn.over:
        job = turn.state.jobs.get(job_id)
        if job is not None and job.finished:
            _forget(turn, job)
    turn.over.clear()


def _forget(turn: Turn, job: Job) -> None:
    remove(turn.state, job)
    del turn.state.sessions[job.session].jobs[job.id]
    turn.out.append(ForgetTasks(job.id, None))

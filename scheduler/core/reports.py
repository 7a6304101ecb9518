"""What workers report of tasks: items that finished, and ends.

Owns exactly-once: a report counts only for the attempt that is running, and an item only once. Never
sees results: positions in the report stand for them. Read next: `arrivals.py`.
"""

from .commands import DeliverItems
from .events import ItemsReported, Outcome
from .ids import JobId
from .mesh import release, setup_over
from .shedding import answered
from .state import Job, Session, Task, TaskState, Worker, WorkerState
from .tasks import complete, halted_why, settle, settle_stopped, stop_job
from .turn import Turn
from .workers import drop_setup_run


def items_reported(turn: Turn, event: ItemsReported) -> None:
    """Take what is new in a report; late ones (of earlier attempts, of what is over) say nothing.

    The reports of one worker come in order: what follows the outcome is late.
    """
    state = turn.state
    worker = state.workers.get(event.worker)
    if worker is None:
        return
    if worker.setup_attempt == event.attempt and worker.setup_run == (event.job, event.task):
        _setup_reported(turn, state.sessions[worker.session], worker, worker.setup_run, event)
        return
    if worker.task is None or worker.task[0] != event.job:
        return
    job = state.jobs[event.job]
    task = job.tasks[worker.task[1]]
    if task.attempt != event.attempt:
        return
    failed_before = job.items_failed
    if event.items:
        _take(turn, job, task, event)
    if event.returned is not None:
        answered(turn, worker, job, task, event.returned)
    outcome = event.outcome
    if outcome is not None:
        if job.setup:
            worker.setup_seen.add(job.id)
        if outcome is Outcome.OK:
            complete(turn, job, task)
        elif outcome is Outcome.INTERRUPTED and task.state is TaskState.STOPPING:
            settle_stopped(turn, job, task, halted_why(job) if job.halted else "cancelled")
        else:
            settle(turn, job, task, TaskState.FAILED)
        if worker.state is WorkerState.BUSY:  # not while its hello, or its exit, is awaited
            release(turn, state.sessions[worker.session], worker)
    failing = job.items_failed > failed_before or task.state is TaskState.FAILED
    if failing and job.stop_on_error and not job.halted:
        stop_job(turn, job, spare=task)


def _take(turn: Turn, job: Job, task: Task, event: ItemsReported) -> None:
    """Deliver the runs that hold an item which has not been delivered before."""
    seen = task.reported
    everything = (1 << task.spec.size) - 1 & ~task.given
    taken = []
    fresh = failed = 0
    for position, (index, succeeded, count) in enumerate(event.items):
        if index < 0:
            continue
        new = ((1 << count) - 1) << index & everything & ~seen
        if new:
            seen |= new
            taken.append(position)
            many = new.bit_count()
            fresh += many
            if not succeeded:
                failed += many
    if not taken:
        return
    task.reported = seen
    accepted = tuple(taken)
    job.items_done += fresh - failed
    job.items_failed += failed
    task.failed_items += failed
    turn.out.append(DeliverItems(job.id, task.told_as, event.worker, accepted))


def _setup_reported(
    turn: Turn, session: Session, worker: Worker, run: tuple[JobId, int], event: ItemsReported
) -> None:
    """A setup cell run again: its output has been seen before, so only its failure is news."""
    if event.outcome is None:
        return
    drop_setup_run(turn, session, worker)
    failed = event.outcome is not Outcome.OK or not all(succeeded for _, succeeded, _ in event.items)
    setup_over(turn, session, worker, run, failed)
    if worker.state is WorkerState.BUSY:
        release(turn, session, worker)

"""Hellos and exits of workers, starts and recoveries of the hub, and timers.

Owns what a hub's death means: what was believed is kept until each worker says what is so. Never asks
for the time: every delay is a timer. Read next: `core.py`.
"""

from . import shedding
from .actors import DETACHED, end_misfits
from .commands import InterruptTask, KillWorker
from .deaths import orphan
from .events import ONE, HubRecovered, HubStarted, TimerFired, WorkerLost, WorkerReady
from .hosts import host_ready, is_leaving, let_leave, lose_host
from .ids import Attempt, SessionId, WorkerId
from .mesh import release, replace_lost
from .outside import DRAIN_SECONDS
from .pieces import all_reported
from .sessions import end_session
from .setups import setup_list
from .state import Session, State, Task, TaskState, Worker, WorkerState
from .tasks import (
    OVERDUE,
    complete,
    halted_why,
    overrun,
    put_back,
    settle,
    settle_stopped,
    stop,
    why_never,
)
from .transitions import shift
from .turn import Turn
from .waiting import tell
from .workers import PAUSED_SECONDS, bury, drop_setup_run, end, is_kept, is_needed, unrest, write_off

ELSEWHERE_SECONDS = 5.0  # after which a device is asked for again that another hub held: nobody tells
REJOIN = 10.0  # seconds that a living worker has to find the new hub
RETURN = 30.0  # at least so long does a recovered session wait for its kernel


def _new_epoch(state: State, epoch: int) -> None:
    """Ids of workers and attempts never repeat, even if the journal's last words were lost."""
    state.epoch = epoch
    state.next_worker = max(state.next_worker, epoch * 1_000_000 + 1)
    state.next_attempt = max(state.next_attempt, epoch * 2**40 + 1)


def hub_started(turn: Turn, event: HubStarted) -> None:
    """The hub has these cores and devices; on a later start they may differ."""
    state = turn.state
    _new_epoch(state, event.epoch)
    state.cpus = event.cpus * ONE
    state.memory = event.memory
    state.min_workers, state.max_workers = event.min_workers, event.max_workers
    held = {device: shares for device, shares in state.gpus.items() if shares}
    state.gpus = {device: held.pop(device, {}) for device in event.gpus}
    state.gone_gpus = set(held)
    state.gpus.update(held)
    for job in state.jobs.values():
        for task in job.tasks.values():
            if task.state is TaskState.QUEUED:
                never = why_never(state, state.sessions[job.session], task.spec)
                if never:
                    settle(turn, job, task, TaskState.LOST, never)
    end_misfits(turn)
    for session in state.sessions.values():
        turn.growing.update(dict.fromkeys((session.id, gpus) for gpus in session.shapes))


def _task_of(state: State, worker: Worker) -> Task | None:
    return None if worker.task is None else state.jobs[worker.task[0]].tasks[worker.task[1]]


def worker_ready(turn: Turn, event: WorkerReady) -> None:
    """A hello. A repeated one says nothing new; one of a stranger is answered by its end."""
    state = turn.state
    worker = state.workers.get(event.worker)
    if worker is None:
        turn.out.append(KillWorker(event.worker))
        return
    if worker.state is WorkerState.ENDING:
        if not is_leaving(state, worker):
            turn.out.append(KillWorker(worker.id))  # it was to end before it could be told
        return
    if worker.state is not WorkerState.STARTING:
        return
    turn.cancel_timer(f"rejoin:{worker.id}")
    if worker.actor is not None:
        host_ready(turn, worker, event.hosting)
        return
    session = state.sessions[worker.session]
    if worker.number is not None:
        turn.tell[session.id] = None
        if not worker.greeted:
            worker.setup = setup_list(state, session)
    worker.greeted = True
    holding = {attempt for _, _, attempt in event.holding}
    if worker.setup_run is not None:
        if worker.setup_attempt in holding:
            shift(worker, WorkerState.BUSY)
            return
        worker.setup.appendleft(worker.setup_run)
        drop_setup_run(turn, session, worker)
    task = _task_of(state, worker)
    if task is not None:
        if task.attempt in holding:
            shift(worker, WorkerState.BUSY)
            worker.asked = False  # the question may have died with the hub
            if task.state is TaskState.STOPPING:
                turn.out.append(InterruptTask(worker.id, task.job, task.told_as, task.attempt))
            return
        _never_came(turn, task)
    release(turn, session, worker)


def _never_came(turn: Turn, task: Task) -> None:
    """The order to run the task died with the hub: no fault of the task."""
    job = turn.state.jobs[task.job]
    # Its worker may have been waiting to retire: then there is no place to put it back to.
    never = why_never(turn.state, turn.state.sessions[job.session], task.spec)
    if all_reported(task):
        complete(turn, job, task)
    elif task.state is TaskState.STOPPING:
        settle_stopped(turn, job, task, "cancelled")
    elif job.halted:
        settle(turn, job, task, TaskState.CANCELLED, halted_why(job))
    elif never:
        settle(turn, job, task, TaskState.LOST, never)
    else:
        put_back(turn, job, task)


def worker_lost(turn: Turn, event: WorkerLost) -> None:
    """An exit, expected or not."""
    worker = turn.state.workers.get(event.worker)
    if worker is None:
        return
    if event.elsewhere:
        turn.state.elsewhere.add(event.elsewhere)
        turn.set_timer(f"elsewhere:{event.elsewhere}", ELSEWHERE_SECONDS)
    lose_worker(turn, worker, event.why, event.mark, refused=bool(event.elsewhere))


def lose_worker(
    turn: Turn, worker: Worker, why: str, mark: tuple[Attempt, int] | None = None, *, refused: bool = False
) -> None:
    """Its task is retried or lost, its devices come free, its number gets a new worker.

    `refused`: it never was, for another hub was quicker.
    """
    state = turn.state
    why = worker.reason or why
    if worker.actor is not None:
        lose_host(turn, worker, why, refused=refused)
        return
    session = state.sessions.get(worker.session)
    if worker.state is not WorkerState.ENDING:
        write_off(turn, worker)
        if worker.number is None and not worker.proven and session is not None:
            session.shapes[worker.share].bad_starts += 1
    task = _task_of(state, worker)
    if task is not None:
        name = "a task worker" if worker.number is None else f"worker {worker.number}"
        orphan(turn, task, f"{name} {why}", mark)
    bury(turn, worker)
    if session is not None and worker.number is not None:
        replace_lost(turn, session, worker, why)


def timer_fired(turn: Turn, event: TimerFired) -> None:
    """A wake-up call; one that was cancelled meanwhile says nothing."""
    state = turn.state
    if event.timer not in state.timers:
        return
    state.timers.remove(event.timer)
    kind, _, rest_of = event.timer.partition(":")
    if kind == shedding.TIMER:
        return  # the end of the turn looks again
    if kind == "elsewhere":
        state.elsewhere.discard(rest_of)  # the end of the turn asks again
        return
    if kind == "grace":
        end_session(turn, state.sessions[SessionId(rest_of)])
        return
    if kind == "waiting":
        tell(turn, state.sessions[SessionId(rest_of)])
        return
    name, _, attempt = rest_of.partition(":")
    worker = state.workers[WorkerId(int(name))]
    if kind == "idle":
        if not is_kept(state, worker):
            end(turn, worker)
    elif kind == "paused":
        if is_needed(state.sessions[worker.session], worker):
            end(turn, worker, kill=True, reason=f"was stopped (SIGSTOP) for {PAUSED_SECONDS:g} s")
    elif kind == "drain":
        why = f"was told to end (SIGTERM) and did not come to an end within {DRAIN_SECONDS:g} s"
        end(turn, worker, kill=True, reason=why)
    elif kind == "ending":
        turn.out.append(KillWorker(worker.id))
    elif kind == "rejoin":
        end(turn, worker, kill=True, reason="did not come back after the hub's restart")
    elif kind == "overdue":
        task = _task_of(state, worker)
        assert task is not None
        assert task.attempt == int(attempt)
        overrun(turn, worker, task)
    elif kind == "timeout":
        task = _task_of(state, worker)
        assert task is not None
        assert task.attempt == int(attempt)
        if task.state is TaskState.RUNNING and worker.state is not WorkerState.ENDING:
            worker.expired = True
            stop(turn, state.jobs[task.job], task)


def hub_recovered(turn: Turn, event: HubRecovered) -> None:
    """The journal has been replayed: believe it, except for workers that are gone.

    Timers of the old hub are gone with it. Workers keep their tasks and slots until they say hello. All
    sessions wait for their kernels again, orphaned or not, lest one stay for ever whose kernel died with
    the hub.
    """
    state = turn.state
    _new_epoch(state, event.epoch)
    state.timers.clear()
    state.elsewhere.clear()
    living = set(event.workers)
    known = list(state.workers.values())
    for worker in known:
        if worker.id in living and worker.state is not WorkerState.ENDING:
            _await_hello(turn, state.sessions[worker.session], worker)
    for worker in known:
        if worker.id not in living:
            lose_worker(turn, worker, "died while the hub was away")
        elif is_leaving(state, worker):
            let_leave(turn, worker)
        elif worker.state is WorkerState.ENDING:
            turn.out.append(KillWorker(worker.id))  # the order may have died with the hub
    for session in state.sessions.values():
        if session.id == DETACHED:
            continue
        grace = session.grace if session.client is None else max(session.grace, RETURN)
        turn.set_timer(f"grace:{session.id}", grace)
    turn.ended = True


def _await_hello(turn: Turn, session: Session, worker: Worker) -> None:
    if worker.state is WorkerState.IDLE:
        unrest(turn, session, worker)
    if worker.state is not WorkerState.STARTING:
        shift(worker, WorkerState.STARTING)
    if worker.greeted:  # else it is still starting, and may take its time
        turn.set_timer(f"rejoin:{worker.id}", REJOIN)
    worker.paused = False  # the nursery tells the new hub who is
    task = _task_of(turn.state, worker)
    if worker.draining:
        turn.set_timer(f"drain:{worker.id}", DRAIN_SECONDS)
    if task is not None and task.spec.timeout and task.state is TaskState.RUNNING:
        turn.set_timer(f"timeout:{worker.id}:{task.attempt}", worker.limit)  # anew: the hub was away
    if task is not None and task.state is TaskState.STOPPING:
        turn.set_timer(f"overdue:{worker.id}:{task.attempt}", OVERDUE)

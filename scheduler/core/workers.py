"""Worker processes: start, rest, end.

Owns the lists of idle workers. Never looks at what tasks want: `placement.py` does.
Read next: `tasks.py`.
"""

from . import slots
from .commands import KillWorker, StartWorker, StopWorker
from .devices import choose, free_shares, hold, let_go
from .ids import WorkerId
from .state import Session, Shape, State, Worker, WorkerState
from .transitions import shift
from .turn import Turn

PAUSED_SECONDS = 5.0  # so long may a worker that is needed be stopped


def shape_of(session: Session, gpus: int) -> Shape:
    """The session's record for task workers with this share of GPUs (in thousandths)."""
    shape = session.shapes.get(gpus)
    if shape is None:
        shape = session.shapes[gpus] = Shape()
    return shape


def launch(turn: Turn, session: Session, number: int | None, gpus: int) -> Worker | None:
    """Start a worker with this share of GPUs, or None when too little of them is free for it."""
    state = turn.state
    devices = choose(free_shares(state), gpus) if gpus else ()
    if devices is None:
        return None
    worker = Worker(WorkerId(state.next_worker), session.id, number, devices, gpus)
    state.next_worker += 1
    state.workers[worker.id] = worker
    hold(state, worker)
    if number is None:
        shape_of(session, gpus).live += 1
    else:
        session.mesh[number] = worker.id
        turn.tell[session.id] = None
    turn.out.append(StartWorker(worker.id, session.id, number, devices))
    return worker


def rest(turn: Turn, session: Session, worker: Worker) -> None:
    """The worker is free for work (or, with setup cells left, for these only)."""
    shift(worker, WorkerState.IDLE)
    number = worker.number
    if number is None:
        worker.proven = True
        shape = session.shapes[worker.share]
        shape.bad_starts = 0
        shape.idle.append(worker.id)
        turn.rested.append(worker)
    else:
        if not worker.setup and not worker.proven:
            worker.proven = True
            session.bad_starts.pop(number, None)
        offer(turn, session, worker)


def offer(turn: Turn, session: Session, worker: Worker) -> None:
    """Put an idle mesh worker on the lists that it belongs to."""
    number = worker.number
    assert number is not None
    if worker.paused:
        session.paused[number] = None
        watch_paused(turn, session, worker)
    elif worker.setup:
        session.own_work[number] = None
    else:
        session.idle_mesh[number] = worker.id
        pinned = session.ready_pinned.get(number)
        if pinned is not None and pinned.live:
            session.own_work[number] = None


def is_kept(state: State, worker: Worker) -> bool:
    """Whether an idle task worker stays, as one that its session keeps; GPUs are always given back."""
    return not worker.share and state.sessions[worker.session].shapes[0].live <= state.min_workers


def is_needed(session: Session, worker: Worker) -> bool:
    """Whether anything waits for this very worker to go on. Actors are waited for, however long."""
    if worker.actor is not None:
        return False
    if worker.state is not WorkerState.IDLE or worker.setup or session.ready_mesh.live:
        return True
    pinned = session.ready_pinned.get(worker.number) if worker.number is not None else None
    return pinned is not None and pinned.live > 0


def watch_paused(turn: Turn, session: Session, worker: Worker) -> None:
    """A stopped worker that is needed has its time to go on."""
    timer = f"paused:{worker.id}"
    if is_needed(session, worker) and timer not in turn.state.timers:
        turn.set_timer(timer, PAUSED_SECONDS)


def unrest(turn: Turn, session: Session, worker: Worker) -> None:
    """Take the worker off the lists of idle ones; its state is for the caller to change."""
    if worker.number is None:
        session.shapes[worker.share].idle.remove(worker.id)
        turn.cancel_timer(f"idle:{worker.id}")
    else:
        session.idle_mesh.pop(worker.number, None)
        session.own_work.pop(worker.number, None)
        session.paused.pop(worker.number, None)


def drop_setup_run(turn: Turn, session: Session, worker: Worker) -> tuple[int, int] | None:
    """Free the slot of the setup run that the worker is on, if any, and say which it was."""
    run = worker.setup_run
    if run is not None:
        worker.setup_run = None
        worker.setup_attempt = 0
        slots.leave(turn.state, session, worker)
    return run


def write_off(turn: Turn, worker: Worker) -> None:
    """The worker is as good as gone: it counts no more, though it may keep a task till its exit is seen."""
    session = turn.state.sessions[worker.session]
    if worker.state is WorkerState.IDLE:
        unrest(turn, session, worker)
    for timer in ("rejoin", "paused", "drain"):
        turn.cancel_timer(f"{timer}:{worker.id}")
    drop_setup_run(turn, session, worker)
    if worker.number is None and worker.actor is None:
        shape = session.shapes[worker.share]
        shape.live -= 1
        if worker.task is not None:
            shape.busy -= 1
            shape.lent -= worker.waits
        # With a bound on their number, one worker less of any kind is room for all kinds.
        for share in session.shapes if turn.state.max_workers else (worker.share,):
            turn.growing[session.id, share] = None
    shift(worker, WorkerState.ENDING)


def end(turn: Turn, worker: Worker, *, kill: bool = False, reason: str = "") -> None:
    """Stop the worker if it is idle, else (or on demand) kill it. Harmless if it is ending already."""
    if worker.state is WorkerState.ENDING:
        return
    kill = kill or worker.state is not WorkerState.IDLE or worker.paused  # a stopped one hears nothing
    worker.reason = reason
    write_off(turn, worker)
    turn.out.append(KillWorker(worker.id) if kill else StopWorker(worker.id))


def bury(turn: Turn, worker: Worker) -> None:
    """Its exit has been seen: forget it and free its devices."""
    state = turn.state
    turn.cancel_timer(f"ending:{worker.id}")
    let_go(state, worker)
    del state.workers[worker.id]
    turn.ended = True

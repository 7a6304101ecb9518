"""Worker processes: start, rest, end, and the devices they hold.

Owns the lists of idle workers and the devices. Never looks at what tasks want: `placement.py` does.
Read next: `tasks.py`.
"""

from . import slots
from .commands import KillWorker, StartWorker, StopWorker
from .ids import WorkerId
from .state import Session, Shape, State, Worker, WorkerState
from .transitions import shift
from .turn import Turn


def shape_of(session: Session, gpus: int) -> Shape:
    """The session's record for task workers with so many GPUs."""
    shape = session.shapes.get(gpus)
    if shape is None:
        shape = session.shapes[gpus] = Shape()
    return shape


def device_count(state: State) -> int:
    """GPUs that this machine has, whoever holds them."""
    return len(state.gpus) - len(state.gone_gpus)


def free_devices(state: State) -> list[str]:
    """Devices that nobody holds, in their own order."""
    return [device for device, holder in state.gpus.items() if holder is None]


def holders(state: State, besides: Session) -> str:
    """The names of the sessions that hold devices and will not give them back by themselves.

    The session's own mesh does not count, nor what is ending or idle (idle ones are stopped at once).
    """
    names: dict[str, None] = {}
    for holder in state.gpus.values():
        worker = state.workers.get(holder) if holder is not None else None
        if worker is None or worker.state is WorkerState.ENDING:
            continue
        if worker.number is None and worker.state is WorkerState.IDLE:
            continue
        if worker.number is not None and worker.session == besides.id:
            continue
        session = state.sessions.get(worker.session)
        if session is not None:
            names[session.name] = None
    return ", ".join(sorted(names))


def launch(turn: Turn, session: Session, number: int | None, gpus: int) -> Worker | None:
    """Start a worker, or None when there are not enough free devices for it."""
    state = turn.state
    devices: tuple[str, ...] = ()
    if gpus:
        free = free_devices(state)
        if len(free) < gpus:
            return None
        devices = tuple(free[:gpus])
    worker = Worker(WorkerId(state.next_worker), session.id, number, devices)
    state.next_worker += 1
    state.workers[worker.id] = worker
    for device in devices:
        state.gpus[device] = worker.id
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
        shape = session.shapes[len(worker.gpus)]
        shape.bad_starts = 0
        shape.idle.append(worker.id)
        turn.rested.append(worker)
    elif worker.setup:
        session.own_work[number] = None
    else:
        if not worker.proven:
            worker.proven = True
            session.bad_starts.pop(number, None)
        session.idle_mesh[number] = worker.id
        pinned = session.ready_pinned.get(number)
        if pinned is not None and pinned.live:
            session.own_work[number] = None


def unrest(turn: Turn, session: Session, worker: Worker) -> None:
    """Take the worker off the lists of idle ones; its state is for the caller to change."""
    if worker.number is None:
        session.shapes[len(worker.gpus)].idle.remove(worker.id)
        turn.cancel_timer(f"idle:{worker.id}")
    else:
        session.idle_mesh.pop(worker.number, None)
        session.own_work.pop(worker.number, None)


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
    turn.cancel_timer(f"rejoin:{worker.id}")
    drop_setup_run(turn, session, worker)
    if worker.number is None:
        gpus = len(worker.gpus)
        shape = session.shapes[gpus]
        shape.live -= 1
        if worker.task is not None:
            shape.busy -= 1
            shape.lent -= worker.waits
        turn.growing[session.id, gpus] = None
    shift(worker, WorkerState.ENDING)


def end(turn: Turn, worker: Worker, *, kill: bool = False, reason: str = "") -> None:
    """Stop the worker if it is idle, else (or on demand) kill it. Harmless if it is ending already."""
    if worker.state is WorkerState.ENDING:
        return
    kill = kill or worker.state is not WorkerState.IDLE
    worker.reason = reason
    write_off(turn, worker)
    turn.out.append(KillWorker(worker.id) if kill else StopWorker(worker.id))


def bury(turn: Turn, worker: Worker) -> None:
    """Its exit has been seen: forget it and free its devices."""
    state = turn.state
    del state.workers[worker.id]
    for device in worker.gpus:
        if device in state.gone_gpus:
            state.gone_gpus.remove(device)
            del state.gpus[device]
        else:
            state.gpus[device] = None
    turn.ended = True

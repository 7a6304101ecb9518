"""What runs where: slots to sessions, tasks to idle workers, workers to waiting tasks, devices to workers.

Owns the policy. Slots go to the session that holds fewest (max-min fair, no preemption), ties to the one
served longest ago. Within a session the order is: setup cells and pinned tasks, then tasks for any mesh
worker, then the task pool; every fourth dispatch takes the opposite order, so that none starves.
Never changes a state itself: `tasks.py` and `workers.py` do. Read next: `mesh.py`.
"""

from . import slots
from .commands import StartTask
from .ids import WorkerId
from .mesh import MAX_BAD_STARTS, fill, missing
from .state import Session, Shape, State, Worker, WorkerState
from .tasks import lose_all, plural, start
from .transitions import shift
from .turn import Turn
from .workers import end, free_devices, holders, launch

IDLE_SECONDS = 60.0  # an idle task worker is stopped then


def settle_turn(turn: Turn) -> None:
    """Give out what the event at hand has made free, and order what is missing."""
    state = turn.state
    if state.slots_used < state.cpus:
        schedule(turn)
    if turn.growing:
        while turn.growing:
            (session_id, gpus), _ = turn.growing.popitem()
            session = state.sessions.get(session_id)
            if session is not None:
                grow(turn, session, gpus)
    if state.gpu_waiting:
        relieve(turn)
        turn.growing.clear()  # only workers that nothing waits for were stopped
    if turn.rested:
        for worker in turn.rested:
            if worker.state is WorkerState.IDLE:
                turn.set_timer(f"idle:{worker.id}", IDLE_SECONDS)
        turn.rested.clear()


def schedule(turn: Turn) -> None:
    """Fill the free slots."""
    state = turn.state
    while state.slots_used < state.cpus:
        best: Session | None = None
        for session in state.sessions.values():
            if _can_serve(session) and (
                best is None
                or session.running < best.running
                or (session.running == best.running and session.served_at < best.served_at)
            ):
                best = session
        if best is None:
            return
        state.dispatches += 1
        best.served_at = state.dispatches
        _serve(turn, best)


def _can_serve(session: Session) -> bool:
    if session.own_work or (session.idle_mesh and session.ready_mesh.live):
        return True
    for shape in session.shapes.values():  # noqa: SIM110 - the hottest line; any() makes a generator each time
        if shape.idle and shape.ready.live:
            return True
    return False


def _serve(turn: Turn, session: Session) -> None:
    session.served += 1
    if session.served & 3:
        done = _serve_own(turn, session) or _serve_mesh(turn, session) or _serve_pool(turn, session)
    else:
        done = _serve_pool(turn, session) or _serve_mesh(turn, session) or _serve_own(turn, session)
    assert done


def _serve_own(turn: Turn, session: Session) -> bool:
    """Setup, else a pinned task, for the numbered worker that has waited longest."""
    if not session.own_work:
        return False
    number = next(iter(session.own_work))
    del session.own_work[number]
    worker = turn.state.workers[session.mesh[number]]
    if worker.setup:
        _start_setup(turn, session, worker)
    else:
        del session.idle_mesh[number]
        start(turn, session, worker, session.ready_pinned[number].pop())
    return True


def _start_setup(turn: Turn, session: Session, worker: Worker) -> None:
    state = turn.state
    shift(worker, WorkerState.BUSY)
    run = worker.setup.popleft()
    worker.setup_run = run
    worker.setup_attempt = state.next_attempt
    state.next_attempt += 1
    slots.take(state, session)
    turn.out.append(StartTask(worker.id, run[0], run[1], worker.setup_attempt))


def _serve_mesh(turn: Turn, session: Session) -> bool:
    """A task for any mesh worker, to the one that has been idle longest."""
    if not session.idle_mesh or not session.ready_mesh.live:
        return False
    number = next(iter(session.idle_mesh))
    worker = turn.state.workers[session.idle_mesh.pop(number)]
    session.own_work.pop(number, None)
    start(turn, session, worker, session.ready_mesh.pop())
    return True


def _serve_pool(turn: Turn, session: Session) -> bool:
    """A task for a task worker. Kinds of worker take turns, so that none starves another."""
    for gpus, shape in session.shapes.items():
        if not shape.idle or not shape.ready.live:
            continue
        worker = turn.state.workers[shape.idle.pop()]
        turn.cancel_timer(f"idle:{worker.id}")
        start(turn, session, worker, shape.ready.pop())
        if shape.ready.live and not shape.idle and shape.live - shape.lent < turn.state.cpus:
            turn.growing[session.id, gpus] = None
        if len(session.shapes) > 1:
            session.shapes[gpus] = session.shapes.pop(gpus)
        return True
    return False


def _wanted(state: State, shape: Shape) -> int:
    """How many more task workers of this kind have something to do."""
    return min(state.cpus, shape.ready.live + shape.busy - shape.lent) - (shape.live - shape.lent)


def grow(turn: Turn, session: Session, gpus: int) -> None:
    """Start task workers for what waits, if no idle one can take it."""
    state = turn.state
    shape = session.shapes.get(gpus)
    if shape is None:
        return
    if shape.bad_starts >= MAX_BAD_STARTS:
        if shape.live == shape.lent:  # nobody is left who could serve, and those who wait may wait for this
            _give_up(turn, session, shape)
        return
    while not shape.idle and _wanted(state, shape) > 0:
        if launch(turn, session, None, gpus) is None:
            state.gpu_waiting[session.id] = None
            return
        shape.told = False


def _give_up(turn: Turn, session: Session, shape: Shape) -> None:
    """Task workers keep dying at their start: fail what waits for them. New tasks will try again."""
    shape.bad_starts = 0
    if shape.ready.live:
        why = f"{MAX_BAD_STARTS} task workers in a row died while starting"
        turn.notify(session, f"{why}; see their log")
        lose_all(turn, shape.ready, why)


def relieve(turn: Turn) -> None:
    """Serve sessions that wait for devices, and take devices back from idle task workers for them.

    Only task workers that nothing waits for are stopped, and no more than needed: an idle one with a
    queue is about to work.
    """
    state = turn.state
    for session_id in list(state.gpu_waiting):
        del state.gpu_waiting[session_id]
        session = state.sessions.get(session_id)
        if session is not None:
            fill(turn, session)
            for gpus in list(session.shapes):
                if gpus:
                    grow(turn, session, gpus)
    if not state.gpu_waiting:
        return
    short = sum(_shortage(state, state.sessions[session_id]) for session_id in state.gpu_waiting)
    short -= len(free_devices(state))
    idle: dict[WorkerId, Worker] = {}
    for holder in state.gpus.values():
        worker = state.workers.get(holder) if holder is not None else None
        if worker is None:
            continue
        if worker.state is WorkerState.ENDING:
            short -= 1
        elif worker.state is WorkerState.IDLE and worker.number is None and not _queue_of(state, worker):
            idle[worker.id] = worker
    for worker in idle.values():
        if short <= 0:
            break
        end(turn, worker)
        short -= len(worker.gpus)
    for session_id in state.gpu_waiting:
        _tell_waiter(turn, state.sessions[session_id])


def _queue_of(state: State, worker: Worker) -> int:
    """How many tasks wait for task workers of this one's kind."""
    return state.sessions[worker.session].shapes[len(worker.gpus)].ready.live


def _shortage(state: State, session: Session) -> int:
    """Devices that the session could use at once."""
    devices = len(missing(session)) * session.mesh_gpus
    for gpus, shape in session.shapes.items():
        if gpus and not shape.idle:
            devices += gpus * max(0, _wanted(state, shape))
    return devices


def _tell_waiter(turn: Turn, session: Session) -> None:
    """Say once who holds the devices that queued tasks wait for."""
    for gpus, shape in session.shapes.items():
        if gpus and shape.live == 0 and shape.ready.live and not shape.told:
            names = holders(turn.state, besides=session)
            own = sum(len(turn.state.workers[worker].gpus) for worker in session.mesh.values())
            if not names and own:
                names = "this notebook's own mesh workers"
            if names:
                shape.told = True
                turn.notify(session, f"waiting for {plural(gpus, 'GPU')}, held by {names}")

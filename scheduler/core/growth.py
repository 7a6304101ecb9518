"""How many worker processes there are: task workers for what waits, devices for who waits for them.

Owns their number. Never starts a task: `placement.py` does. Read next: `devices.py`.
"""

from .amounts import some
from .devices import choose, free_shares, holders, take
from .events import ONE
from .hosts import shortage
from .ids import WorkerId
from .mesh import MAX_BAD_STARTS, fill, missing
from .state import Session, Shape, State, Worker, WorkerState
from .tasks import lose_all
from .turn import Turn
from .workers import end, launch

LIGHTEST = ONE // 4  # tasks that take less of a core have no more workers than tasks that take this much


def room_for(state: State, cpus: int) -> int:
    """How many tasks that take so much of a core may be at work at once."""
    return max(1, state.cpus // max(cpus, LIGHTEST))


def _wanted(state: State, shape: Shape) -> int:
    """How many more task workers of this kind have something to do."""
    more = shape.waiting + shape.busy - shape.live
    if more <= 0 or not shape.waiting:
        return 0
    lightest = -1
    for lane in shape.lanes.values():
        if lane.live:
            cpus = lane.first().spec.cpus
            lightest = cpus if lightest < 0 else min(cpus, lightest)
    return min(room_for(state, lightest) - shape.live + shape.lent, more)


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
    wanted = 0 if shape.idle else _wanted(state, shape)
    if not gpus:
        wanted = max(wanted, min(state.min_workers - shape.live + shape.lent, _free_places(state, session)))
    for _ in range(wanted):
        if gpus and choose(free_shares(state), gpus) is None:  # then nobody need make room either
            state.gpu_waiting[session.id] = None
            return
        if not _has_place(turn, session, shape):
            return
        launch(turn, session, None, gpus)
        shape.told = False


def _free_places(state: State, session: Session) -> int:
    """How many more task workers the session may have."""
    if not state.max_workers:
        return state.min_workers
    return state.max_workers - sum(shape.live - shape.lent for shape in session.shapes.values())


def _has_place(turn: Turn, session: Session, shape: Shape) -> bool:
    """Whether the session may have one more of this kind, an idle one of another kind making room if need be.

    Each kind may have one, however low the bound: what waits for it would wait for ever otherwise.
    """
    state = turn.state
    if not state.max_workers or shape.live == shape.lent:
        return True
    while _free_places(state, session) <= 0:
        spare = [other.idle[0] for other in session.shapes.values() if other.idle and not other.waiting]
        if not spare:
            return False
        end(turn, state.workers[spare[0]])
    return True


def _give_up(turn: Turn, session: Session, shape: Shape) -> None:
    """Task workers keep dying at their start: fail what waits for them. New tasks will try again."""
    shape.bad_starts = 0
    if shape.waiting:
        why = f"{MAX_BAD_STARTS} task workers in a row died while starting"
        turn.notify(session, f"{why}; see their log")
        turn.again = True
        for lane in shape.lanes.values():
            lose_all(turn, lane, why)


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
            if shortage(state, session):
                state.gpu_waiting[session_id] = None
            for gpus in list(session.shapes):
                if gpus:
                    grow(turn, session, gpus)
    if not state.gpu_waiting:
        return
    _reclaim(turn)
    for session_id in state.gpu_waiting:
        _tell_waiter(turn, state.sessions[session_id])


def _reclaim(turn: Turn) -> None:
    """End idle task workers, so far as who waits can use their devices."""
    state = turn.state
    ending = [worker.id for worker in state.workers.values() if worker.state is WorkerState.ENDING]
    free = free_shares(state, without=ending)
    spare: dict[str, dict[WorkerId, int]] = {device: {} for device in free}
    for device in free:
        for holder, share in state.gpus[device].items():
            if _is_spare(state, state.workers[holder]):
                spare[device][holder] = share
    for session_id in state.gpu_waiting:
        for amount in _shortage(state, state.sessions[session_id]):
            while (devices := choose(free, amount)) is None:
                need = min(amount, ONE)
                able = [
                    device
                    for device, shares in spare.items()
                    if shares and free[device] < need <= free[device] + sum(shares.values())
                ]
                if not able:
                    break
                device = min(able, key=lambda device: len(spare[device]))
                for holder in list(spare[device]):
                    _end_spare(turn, state.workers[holder], free, spare)
                    if free[device] >= need:
                        break
            if devices is not None:
                take(free, devices, amount)


def _is_spare(state: State, worker: Worker) -> bool:
    """Whether it is an idle task worker that nothing waits for."""
    if worker.state is not WorkerState.IDLE or worker.number is not None:
        return False
    return not state.sessions[worker.session].shapes[worker.share].waiting


def _end_spare(
    turn: Turn, worker: Worker, free: dict[str, int], spare: dict[str, dict[WorkerId, int]]
) -> None:
    end(turn, worker)
    for device in worker.gpus:
        if device in spare:
            free[device] += spare[device].pop(worker.id)


def _shortage(state: State, session: Session) -> list[int]:
    """The shares of workers that the session could use at once."""
    shares = [session.mesh_gpus * ONE] * len(missing(session)) + shortage(state, session)
    for gpus, shape in session.shapes.items():
        if gpus and not shape.idle:
            shares += [gpus] * max(0, _wanted(state, shape))
    return shares


def _tell_waiter(turn: Turn, session: Session) -> None:
    """Say once who holds the devices that queued tasks wait for."""
    for gpus, shape in session.shapes.items():
        if gpus and shape.live == 0 and shape.waiting and not shape.told:
            names = holders(turn.state, besides=session)
            own = any(turn.state.workers[worker].gpus for worker in session.mesh.values())
            if not names and own:
                names = "this notebook's own mesh workers"
            if names:
                shape.told = True
                turn.notify(session, f"waiting for {some(gpus, 'GPU')}, held by {names}")

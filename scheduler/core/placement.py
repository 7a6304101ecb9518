"""What runs where: slots to sessions, tasks to idle workers.

Slots go to the session that holds fewest (max-min fair by cores, no preemption), ties to the one served
longest ago. Within a session the order is: setup cells and pinned tasks, then tasks for any mesh worker, then
the task pool; every fourth dispatch takes the opposite order, so that none starves. In the task pool the
higher priority is served first; kinds of task (see `state.Shape`) of equal priority take turns, and within a
kind it is first come first served.

Who takes more than is free when its turn comes is first in line: from then on what it takes is counted as
taken, so only tasks that leave it room are started, and nobody who comes later can keep it from its cores and
memory. There is one first in line at a time, of all sessions, and it keeps its place until it starts (or goes
away, or loses the worker that it was to run on). So wide tasks cost some idling and never wait for ever. What
starts beside it is whoever's turn it is: its own session is not preferred.

Owns the policy. Never changes a state itself: `tasks.py` and `workers.py` do. Read next: `growth.py`.
"""

from . import shedding, slots
from .commands import StartTask
from .events import Pool, TaskSpec
from .growth import grow, relieve
from .hosts import place
from .ids import SessionId
from .queues import TaskQueue
from .state import Session, Shape, Worker, WorkerState
from .tasks import start
from .transitions import shift
from .turn import Turn
from .waiting import watch
from .workers import watch_paused

IDLE_SECONDS = 60.0  # an idle task worker is stopped then
_SETUP = TaskSpec(0)  # what a setup cell takes


def settle_turn(turn: Turn) -> None:
    """Give out what the event at hand has made free, and order what is missing."""
    state = turn.state
    if state.homeless:
        place(turn)
    if state.slots_used < state.cpus or state.free_riders:
        schedule(turn)
    for worker in turn.rested if state.max_workers else ():
        if worker.state is WorkerState.IDLE:  # it may make room for another kind
            shapes = state.sessions[worker.session].shapes
            turn.growing.update(dict.fromkeys((worker.session, gpus) for gpus in shapes))
    while turn.growing:
        (session_id, gpus), _ = turn.growing.popitem()
        session = state.sessions.get(session_id)
        if session is not None:
            grow(turn, session, gpus)
        if turn.again:
            turn.again = False
            schedule(turn)
    if state.gpu_waiting:
        relieve(turn)
        turn.growing.clear()  # only workers that nothing waits for were stopped
    if state.many and state.slots_used < state.cpus and state.first_in_line is None:
        shedding.ask(turn)
    if turn.stalled:
        for session_id in turn.stalled:
            session = state.sessions[session_id]
            for number in session.paused:
                watch_paused(turn, session, state.workers[session.mesh[number]])
        turn.stalled.clear()
    if turn.rested:
        for worker in turn.rested:
            if worker.state is WorkerState.IDLE:
                turn.set_timer(f"idle:{worker.id}", IDLE_SECONDS)
                if state.slots_used >= state.cpus:
                    watch(turn, state.sessions[worker.session])
        turn.rested.clear()


def schedule(turn: Turn) -> None:
    """Fill the free slots."""
    state = turn.state
    turn.kept = None
    passed: set[SessionId] | None = None  # nothing that they have to run fits
    while state.slots_used < state.cpus or state.free_riders:
        best: Session | None = None
        if state.first_in_line is not None and turn.kept is None:
            best = state.sessions.get(state.first_in_line)
            if best is None or not _can_serve(best):
                best = state.first_in_line = None
        if best is None:
            for session in state.sessions.values():
                if (
                    _can_serve(session)
                    and (
                        best is None
                        or session.running < best.running
                        or (session.running == best.running and session.served_at < best.served_at)
                    )
                    and (passed is None or session.id not in passed)
                ):
                    best = session
        if best is None:
            return
        if not _serve(turn, best):
            if turn.stands:  # the first in line stands: what starts beside it is whoever's turn it is
                turn.stands = False
                continue
            passed = {best.id} if passed is None else {*passed, best.id}
            continue
        state.dispatches += 1
        best.served_at = state.dispatches
        best.served += 1
        if best.id == state.first_in_line and not _keeps_its_place(turn, best):
            turn.kept = state.first_in_line = passed = None  # who was passed over may have it now


def _can_serve(session: Session) -> bool:
    if session.own_work or (session.idle_mesh and session.ready_mesh.live):
        return True
    for shape in session.shapes.values():  # noqa: SIM110 - the hottest line; any() makes a generator each time
        if shape.idle and shape.waiting:
            return True
    return False


def _keeps_its_place(turn: Turn, session: Session) -> bool:
    """Whether what was first in line has not started, nor lost the last worker that it could run on."""
    spec = turn.kept
    if spec is None or spec is _SETUP:  # a worker with setup cells to run is given nothing else
        return spec is not None
    if spec.pool is Pool.TASK:
        return bool(session.shapes[spec.gpus].idle)
    return bool(session.idle_mesh) if spec.worker is None else spec.worker in session.idle_mesh


def _fits(turn: Turn, session: Session, spec: TaskSpec) -> bool:
    """Whether what it takes is free, beside what is kept; the first for whom it is not is first in line."""
    state = turn.state
    cpus, memory, kept = spec.cpus, spec.memory, turn.kept
    if kept is None:
        if (not cpus or state.slots_used + cpus <= state.cpus) and (
            not memory or state.memory_used + memory <= state.memory
        ):
            return True
        turn.kept = spec
        turn.stands = True
        if state.first_in_line is None:
            state.first_in_line = session.id
            state.line_order = session.served
        return False
    if turn.stands:
        return False
    return (not cpus or state.slots_used + kept.cpus + cpus <= state.cpus) and (
        not memory or state.memory_used + kept.memory + memory <= state.memory
    )


def _serve(turn: Turn, session: Session) -> bool:
    """Start the next thing of the session that fits; whether there was one."""
    state = turn.state
    served = session.served
    if state.first_in_line is not None and turn.kept is None:
        served = state.line_order  # else something else might have its turn, and take the place
    if (served + 1) & 3:
        return _serve_own(turn, session) or _serve_mesh(turn, session) or _serve_pool(turn, session)
    return _serve_pool(turn, session) or _serve_mesh(turn, session) or _serve_own(turn, session)


def _serve_own(turn: Turn, session: Session) -> bool:
    """Setup, else a pinned task, for the numbered worker that has waited longest."""
    for number in session.own_work:
        worker = turn.state.workers[session.mesh[number]]
        queue = None if worker.setup else session.ready_pinned[number]
        if not _fits(turn, session, _SETUP if queue is None else queue.first().spec):
            continue
        del session.own_work[number]
        if queue is None:
            _start_setup(turn, session, worker)
        else:
            del session.idle_mesh[number]
            start(turn, session, worker, queue.pop())
        return True
    return False


def _start_setup(turn: Turn, session: Session, worker: Worker) -> None:
    state = turn.state
    shift(worker, WorkerState.BUSY)
    run = worker.setup.popleft()
    worker.setup_run = run
    worker.setup_attempt = state.next_attempt
    state.next_attempt += 1
    slots.take(state, session, worker, _SETUP)
    turn.out.append(StartTask(worker.id, run[0], run[1], worker.setup_attempt))


def _serve_mesh(turn: Turn, session: Session) -> bool:
    """A task for any mesh worker, to the one that has been idle longest."""
    queue = session.ready_mesh
    if not session.idle_mesh or not queue.live or not _fits(turn, session, queue.first().spec):
        return False
    number = next(iter(session.idle_mesh))
    worker = turn.state.workers[session.idle_mesh.pop(number)]
    session.own_work.pop(number, None)
    start(turn, session, worker, queue.pop())
    return True


def _serve_pool(turn: Turn, session: Session) -> bool:
    """A task for a task worker: of the highest priority, else of the kind that was served longest ago."""
    shapes = session.shapes
    if len(shapes) == 1:  # as nearly always
        (shape,) = shapes.values()
        if not shape.idle or not shape.waiting:
            return False
        if len(shape.lanes) == 1:
            (lane,) = shape.lanes.values()
            return _serve_lane(turn, session, shape, lane)
    found = [
        (lane.first_rank(), gpus, shape, kind, lane)
        for gpus, shape in shapes.items()
        if shape.idle and shape.waiting
        for kind, lane in shape.lanes.items()
        if lane.live
    ]
    found.sort(key=lambda each: each[0], reverse=True)
    for _, gpus, shape, kind, lane in found:
        if _serve_lane(turn, session, shape, lane):
            shapes[gpus] = shapes.pop(gpus)
            del shape.lanes[kind]
            if lane.live:
                shape.lanes[kind] = lane
            return True
    return False


def _serve_lane(turn: Turn, session: Session, shape: Shape, lane: TaskQueue) -> bool:
    spec = lane.first().spec
    if not _fits(turn, session, spec):
        return False
    state = turn.state
    worker = state.workers[shape.idle.pop()]
    turn.cancel_timer(f"idle:{worker.id}")
    start(turn, session, worker, lane.pop())
    # Others may have waited for this worker, or need less than this task.
    if (
        not shape.idle
        and shape.waiting
        and ((shape.live - shape.lent) * spec.cpus < state.cpus or len(shape.lanes) > 1)
    ):
        turn.growing[session.id, spec.gpus] = None
    return True

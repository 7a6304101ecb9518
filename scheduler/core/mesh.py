"""The numbered workers of a session: scaled, stopped, replaced, reported on.

Owns which numbers exist and who stands for them. Never runs tasks. Read next: `sessions.py`.
"""

from .amounts import plural
from .deaths import orphan
from .devices import device_count, holders
from .events import ONE, MeshRequested
from .ids import JobId
from .state import Session, TaskState, Worker, WorkerState
from .tasks import lose_all, settle, why_never
from .turn import Turn
from .workers import end, launch, rest

MAX_BAD_STARTS = 3  # workers in a row that die before they could work


def missing(session: Session) -> list[int]:
    """Numbers that nobody stands for, though somebody should."""
    return [n for n in range(session.mesh_size) if n not in session.mesh and n not in session.broken]


def fill(turn: Turn, session: Session) -> None:
    """Start workers for missing numbers; what lacks devices is tried again when some come free."""
    for number in missing(session):
        if launch(turn, session, number, session.mesh_gpus * ONE) is None:
            turn.state.gpu_waiting[session.id] = None
            return


def mesh_requested(turn: Turn, event: MeshRequested) -> None:
    """Scale to `size` workers of `gpus` devices each; size 0 stops the mesh."""
    state = turn.state
    session = state.sessions.get(event.session)
    if session is None:
        return
    need = event.size * event.gpus
    if need > device_count(state):
        have = device_count(state)
        each = f"{plural(event.size, 'mesh worker')} with {plural(event.gpus, 'GPU')} each"
        turn.notify(session, f"{each} need {plural(need, 'GPU')}; this machine has {have}")
        return
    turn.tell[session.id] = None
    session.bad_starts.clear()
    session.broken.clear()
    replaced = event.size > 0 and event.gpus != session.mesh_gpus
    old_size = session.mesh_size
    session.mesh_size = max(0, event.size)
    session.mesh_gpus = event.gpus
    if event.size <= 0:
        _stop_mesh(turn, session)
        return
    for number in range(event.size, old_size):
        lose_all(turn, session.ready_pinned.get(number), _removed(number))
    for number, worker_id in list(session.mesh.items()):
        worker = state.workers[worker_id]
        if replaced:
            why = f"worker {number} was replaced by %mesh start with {plural(event.gpus, 'GPU')} a worker"
            dismiss(turn, session, worker)
            if worker.task is not None:
                orphan(turn, state.jobs[worker.task[0]].tasks[worker.task[1]], why)
        elif number < event.size:
            worker.retire = False
        elif worker.task is not None and worker.state is not WorkerState.ENDING:
            worker.retire = True
        else:
            dismiss(turn, session, worker)
    fill(turn, session)
    if missing(session):
        names = holders(state, besides=session)
        if names:
            waiting = plural(len(missing(session)), "mesh worker")
            turn.notify(session, f"{waiting} will start when GPUs come free; they are held by {names}")


def _removed(number: int) -> str:
    return f"worker {number} was removed by %mesh scale"


def dismiss(turn: Turn, session: Session, worker: Worker, *, kill: bool = False) -> None:
    """End a mesh worker whose number is free from now on."""
    assert worker.number is not None
    session.mesh.pop(worker.number, None)
    end(turn, worker, kill=kill)
    turn.tell[session.id] = None


def _stop_mesh(turn: Turn, session: Session) -> None:
    state = turn.state
    why = "the mesh was stopped"
    for queue in [*session.ready_pinned.values(), session.ready_mesh]:
        lose_all(turn, queue, why)
    for worker in [state.workers[worker_id] for worker_id in session.mesh.values()]:
        if worker.task is not None:
            job = state.jobs[worker.task[0]]
            task = job.tasks[worker.task[1]]
            stopping = task.state is TaskState.STOPPING
            settle(turn, job, task, TaskState.CANCELLED if stopping else TaskState.LOST, why)
        dismiss(turn, session, worker)


def replace_lost(turn: Turn, session: Session, worker: Worker, why: str) -> None:
    """A mesh worker is gone: put a new one in its place, unless none is wanted or none can start."""
    number = worker.number
    assert number is not None
    if session.mesh.get(number) != worker.id:
        return  # dismissed earlier, when its number was given away
    del session.mesh[number]
    turn.tell[session.id] = None
    if number >= session.mesh_size or worker.retire:
        lose_all(turn, session.ready_pinned.get(number), _removed(number))
        return
    if not worker.proven and not worker.reason:
        bad = session.bad_starts[number] = session.bad_starts.get(number, 0) + 1
        if bad >= MAX_BAD_STARTS:
            _give_up(turn, session, number, why)
            return
    _take_its_place(turn, session, worker, why)


def _take_its_place(turn: Turn, session: Session, worker: Worker, why: str) -> None:
    text = f"worker {worker.number} {why}; a new worker {worker.number} takes its place"
    if not worker.fresh:
        text += ", without its variables"
    if session.setup_jobs:
        text += "; its setup cells run again"
    turn.notify(session, text)
    fill(turn, session)


def release(turn: Turn, session: Session, worker: Worker) -> None:
    """What the worker ran is over: it rests, or ends if it was to end then."""
    rest(turn, session, worker)
    end_if_due(turn, session, worker)


def end_if_due(turn: Turn, session: Session, worker: Worker) -> None:
    """End an idle worker that is not to get anything any more."""
    number = worker.number
    if worker.retire:
        dismiss(turn, session, worker)
    elif worker.draining and number is not None:
        dismiss(turn, session, worker)
        _take_its_place(turn, session, worker, "was told to end (SIGTERM)")
    elif worker.draining or (worker.paused and number is None):
        end(turn, worker)


def _give_up(turn: Turn, session: Session, number: int, why: str) -> None:
    """The number's workers keep dying at their start: leave it out, and fail what waits for it alone."""
    session.bad_starts.pop(number)
    session.broken[number] = why
    turn.notify(
        session,
        f"worker {number} {why} {MAX_BAD_STARTS} times in a row while starting and is left out; "
        "%mesh start tries again",
    )
    for queue in [session.ready_pinned.get(number), session.ready_mesh]:
        if queue is not None and queue.live:
            reason = why_never(turn.state, session, queue.tasks()[0].spec)
            if reason:
                lose_all(turn, queue, reason)


def setup_over(turn: Turn, session: Session, worker: Worker, run: tuple[JobId, int], failed: bool) -> None:
    """A setup cell has run on a new worker; say so if it did not go well."""
    if failed:
        number = turn.state.jobs[run[0]].number
        turn.notify(session, f"the setup cell of job {number} failed on the new worker {worker.number}")
